/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All points by WebGL2. The flat map is drawn into a picture somewhat larger than the window, a slice of the points each
 * frame, and the canvas that shows the last finished picture is moved and scaled as a whole until the next is ready: panning
 * draws nothing, however many points there are and however slow the machine. In space there is nothing to move: an even
 * sample of the points is shown at once and the rest follows as soon as the view rests.
 */

const MARGIN = 0.15; /* of the window, on each side of the picture */

const VERTEX = `#version 300 es
uniform vec4 u_view;
uniform mat4 u_matrix;
uniform vec3 u_palette[65];
uniform vec3 u_paper;
uniform vec3 u_grey;
uniform vec3 u_size;
uniform vec2 u_fog;
in vec3 a_at;
in vec2 a_look;
out vec3 v_colour;
void main() {
  float state = a_look.y;
  v_colour = u_palette[int(a_look.x)];
  if (state == 1.0) v_colour = mix(u_grey, u_paper, 0.55);
#ifdef DEEP
  gl_Position = u_matrix * vec4(a_at * 2.0 - 1.0, 1.0);
  float depth = gl_Position.w;
  v_colour = mix(v_colour, u_paper, clamp((depth - u_fog.x) * u_fog.y, 0.0, 0.72));
  gl_PointSize = clamp(u_size.x * u_size.z / max(depth, 0.02), u_size.y, 40.0);
#else
  gl_Position = vec4(a_at.xy * u_view.xy + u_view.zw, 0.0, 1.0);
  gl_PointSize = u_size.x;
#endif
  if (state == 2.0) gl_PointSize = max(gl_PointSize * 1.5, 3.0);
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
uniform float u_edge;
in vec3 v_colour;
out vec4 colour;
void main() {
#ifdef ROUND
  float off = length(gl_PointCoord - 0.5) * 2.0;
  float cover = 1.0 - smoothstep(1.0 - u_edge, 1.0, off);
#ifdef DEEP
  if (off > 1.0) discard;
  colour = vec4(v_colour, 1.0);
#else
  colour = vec4(v_colour, cover);
#endif
#else
  colour = vec4(v_colour, 1.0);
#endif
}`;

const SHOW_VERTEX = `#version 300 es
uniform vec4 u_place;
out vec2 v_at;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  v_at = corner;
  gl_Position = vec4(u_place.xy + corner * u_place.zw, 0.0, 1.0);
}`;
const SHOW_FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D u_picture;
in vec2 v_at;
out vec4 colour;
void main() { colour = vec4(texture(u_picture, v_at).rgb, 1.0); }`;

const gpu = {
  gl: null, programs: new Map(), buffers: {}, front: null, back: null,
  order: null,     /* even order of all places */
  list: null,      /* places of the job */
  look: null,      /* Uint8Array: number of the colour and state of each place */
  job: null,       /* what is being drawn */
  stale: true,     /* colours, sizes or choice changed since the front picture was begun */
  budget: 120000,  /* points a frame */
  size: 1,         /* the user's factor */
  first: true,
  recent: 0,       /* frames in which the last slice may still be felt */
  all: false,      /* the list on the graphics processor is the even order of all */
  shown: null,     /* picture in the canvas */
  again: 0,        /* frames in which it is still to be put there */
};

function makeProgram(defines, vertex, fragment) {
  const gl = gpu.gl, program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source.replace('\n', '\n' + defines.map(d => `#define ${d}\n`).join('')));
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.bindAttribLocation(program, 0, 'a_at');
  gl.bindAttribLocation(program, 1, 'a_look');
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  const uniforms = new Proxy({}, { get: (cache, name) => cache[name] ??= gl.getUniformLocation(program, name) });
  return { program, uniforms };
}

function programFor(...defines) {
  const key = defines.join();
  if (!gpu.programs.has(key)) gpu.programs.set(key, makeProgram(defines, VERTEX, FRAGMENT));
  return gpu.programs.get(key);
}

/* False where the browser has no WebGL2. */
function startPoints() {
  const gl = $('points').getContext('webgl2', { alpha: false, antialias: false, depth: false, powerPreference: 'high-performance' });
  if (!gl) return false;
  gpu.gl = gl;
  gpu.show = makeProgram([], SHOW_VERTEX, SHOW_FRAGMENT);
  for (const name of ['flat', 'deep', 'look', 'list']) gpu.buffers[name] = gl.createBuffer();
  gpu.order = evenOrder(map.count);
  gpu.list = new Uint32Array(map.count);
  gpu.look = new Uint8Array(2 * map.count);
  if (map.flat) upload(gpu.buffers.flat, map.flat);
  if (map.deep) uploadDeep();
  return true;
}

function upload(buffer, data) {
  const gl = gpu.gl;
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
}

/* Four numbers a point: graphics processors like their rows aligned. */
function uploadDeep() {
  const rows = new Uint16Array(4 * map.count);
  for (let i = 0; i < map.count; i++) rows.set(map.deep.subarray(3 * i, 3 * i + 3), 4 * i);
  upload(gpu.buffers.deep, rows);
}

/* States: 0 as it is, 1 in the background, 2 chosen. `focus` marks what was searched or drawn around. */
function updateLook() {
  const numbers = colourNumbers(colouring), focus = view.focus;
  for (let i = 0; i < map.count; i++) {
    gpu.look[2 * i] = numbers[i];
    gpu.look[2 * i + 1] = focus ? (focus[i] ? 2 : 1) : 0;
  }
  upload(gpu.buffers.look, gpu.look);
  redrawPoints();
}

function redrawPoints() {
  gpu.stale = true;
  requestDraw();
}

/* ---- pictures ---- */

function makePicture(width, height) {
  const gl = gpu.gl;
  const picture = { width, height, texture: gl.createTexture(), frame: gl.createFramebuffer(), depth: gl.createRenderbuffer(), camera: null };
  gl.bindTexture(gl.TEXTURE_2D, picture.texture);
  gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
  for (const [name, value] of [['WRAP_S', 'CLAMP_TO_EDGE'], ['WRAP_T', 'CLAMP_TO_EDGE'], ['MIN_FILTER', 'NEAREST'], ['MAG_FILTER', 'NEAREST']])
    gl.texParameteri(gl.TEXTURE_2D, gl['TEXTURE_' + name], gl[value]);
  gl.bindRenderbuffer(gl.RENDERBUFFER, picture.depth);
  gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_COMPONENT16, width, height);
  gl.bindFramebuffer(gl.FRAMEBUFFER, picture.frame);
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, picture.texture, 0);
  gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, picture.depth);
  return picture;
}

function dropPicture(picture) {
  const gl = gpu.gl;
  if (!picture) return;
  gl.deleteFramebuffer(picture.frame);
  gl.deleteTexture(picture.texture);
  gl.deleteRenderbuffer(picture.depth);
}

/* CSS pixels by which both canvases are larger than the window, on each side. */
const margin = { x: 0, y: 0 };

function sizeCanvas(canvas) {
  const { width, height, ratio } = camera;
  margin.x = Math.round(width * MARGIN);
  margin.y = Math.round(height * MARGIN);
  canvas.width = Math.round((width + 2 * margin.x) * ratio);
  canvas.height = Math.round((height + 2 * margin.y) * ratio);
  canvas.style.width = `${width + 2 * margin.x}px`;
  canvas.style.height = `${height + 2 * margin.y}px`;
  canvas.style.left = `${-margin.x}px`;
  canvas.style.top = `${-margin.y}px`;
}

/* Move and scale a canvas that was drawn for another place of the camera; the browser does it without drawing it again. */
function follow(canvas, shot) {
  let transform = '';
  if (shot && !shot.deep && !camera.deep) {
    const grow = camera.scale / shot.scale, snap = grow === 1 ? camera.ratio : 64;
    const dx = Math.round((shot.x - camera.x) * camera.scale * snap) / snap;
    const dy = Math.round((camera.y - shot.y) * camera.scale * snap) / snap;
    if (dx !== 0 || dy !== 0 || grow !== 1) transform = `translate(${dx}px,${dy}px) scale(${grow})`;
  }
  if (canvas.style.transform !== transform) canvas.style.transform = transform;
}

/* The window has another size. */
function resizePoints() {
  const { width, height, ratio } = camera, canvas = $('points');
  gpu.edgeX = Math.round(width * MARGIN) * ratio;
  gpu.edgeY = Math.round(height * MARGIN) * ratio;
  sizeCanvas(canvas);
  dropPicture(gpu.front);
  dropPicture(gpu.back);
  gpu.front = makePicture(canvas.width, canvas.height);
  gpu.back = makePicture(canvas.width, canvas.height);
  gpu.shown = null;
  gpu.job = null;
  redrawPoints();
}

/* ---- what is to be drawn ---- */

/* CSS pixels of a point: small where there are many, growing slowly as one zooms in. */
function pointSize() {
  const base = Math.max(1.7, 9.2 - 1.35 * Math.log10(map.count));
  const closer = camera.deep ? 1 : Math.max(1, camera.scale / flatHome().scale);
  return gpu.size * Math.min(base * closer ** 0.33, Math.max(base, 9));
}

/* Places inside the picture, background first, in even order; the number of them goes into the job. */
function fillList() {
  const { order, list, look } = gpu, by = colouring, some = hasHidden(by), focus = view.focus;
  const reachX = camera.width * (0.5 + MARGIN) / camera.scale, reachY = camera.height * (0.5 + MARGIN) / camera.scale;
  const left = camera.x - reachX, right = camera.x + reachX, bottom = camera.y - reachY, top = camera.y + reachY;
  const box = map.box, deep = camera.deep;
  const across = Math.min(right, box.right) - Math.max(left, box.left), down = Math.min(top, box.top) - Math.max(bottom, box.bottom);
  /* Where most of the map is in the picture, choosing costs more than it saves. */
  const inside = deep || (across > 0 && down > 0 && across * down > 0.4 * (box.right - box.left) * (box.top - box.bottom)) ||
    (left <= box.left && right >= box.right && bottom <= box.bottom && top >= box.top);
  if (inside && !some && !focus) {
    if (!gpu.all) list.set(order);
    return map.count;
  }
  let used = 0;
  for (let pass = focus ? 0 : 1; pass < 2; pass++)
    for (let i = 0; i < order.length; i++) {
      const place = order[i];
      if (!inside) {
        const x = map.flat[2 * place], y = map.flat[2 * place + 1];
        if (x < left || x > right || y < bottom || y > top) continue;
      }
      if (focus && (look[2 * place + 1] === 2) !== (pass === 1)) continue;
      if (some && !isShown(by, place)) continue;
      list[used++] = place;
    }
  return used;
}

function startJob() {
  const gl = gpu.gl;
  const count = fillList();
  gl.bindVertexArray(null);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gpu.buffers.list);
  const all = count === map.count && gpu.list[0] === gpu.order[0] && !view.focus && !hasHidden(colouring);
  if (!all || !gpu.all) gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, gpu.list.subarray(0, count), gl.DYNAMIC_DRAW);
  gpu.all = all;
  gpu.back.camera = { x: camera.x, y: camera.y, scale: camera.scale, moved: camera.moved, deep: camera.deep };
  gpu.job = { count, done: 0, matrix: camera.deep ? deepMatrix() : null, size: pointSize(), distance: camera.distance };
  gpu.stale = false;
  gl.bindFramebuffer(gl.FRAMEBUFFER, gpu.back.frame);
  gl.viewport(0, 0, gpu.back.width, gpu.back.height);
  gl.clearColor(...theme.paper, 1);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
}

/* Uniforms of the job's picture. */
function setView(program, job) {
  const gl = gpu.gl, { uniforms } = program, shot = gpu.back.camera, ratio = camera.ratio;
  const across = gpu.back.width, down = gpu.back.height;
  const size = job.size * ratio;
  gl.useProgram(program.program);
  gl.uniform3fv(uniforms.u_palette, paletteValues());
  gl.uniform3fv(uniforms.u_paper, theme.paper);
  gl.uniform3fv(uniforms.u_grey, theme.grey);
  gl.uniform1f(uniforms.u_edge, Math.min(1, 2.4 / size));
  if (job.matrix) {
    /* The same picture with a margin around it. */
    const inner = new Float32Array(job.matrix), sx = (across - 2 * gpu.edgeX) / across, sy = (down - 2 * gpu.edgeY) / down;
    for (let column = 0; column < 4; column++) { inner[4 * column] *= sx; inner[4 * column + 1] *= sy; }
    gl.uniformMatrix4fv(uniforms.u_matrix, false, inner);
    gl.uniform3f(uniforms.u_size, size * 1.15, Math.max(1, ratio), 3);
    gl.uniform2f(uniforms.u_fog, Math.max(0.2, job.distance - 0.9), 0.3);
  } else {
    const kx = 2 * shot.scale * ratio / across, ky = 2 * shot.scale * ratio / down;
    gl.uniform4f(uniforms.u_view, SPAN * kx, SPAN * ky, -shot.x * kx, -shot.y * ky);
    gl.uniform3f(uniforms.u_size, size, 1, 1);
  }
}

function paletteValues() {
  const values = new Float32Array(65 * 3);
  values.set(theme.grey, 0);
  (colouring.ramp ? theme.ramp : theme.palette).forEach((colour, i) => values.set(colour, 3 * (i + 1)));
  return values;
}

/* The next slice of the points. */
function drawSlice() {
  const gl = gpu.gl, job = gpu.job, deep = job.matrix !== null;
  const round = job.size * camera.ratio > 3.2;
  const program = programFor(...(deep ? ['DEEP'] : []), ...(round ? ['ROUND'] : []));
  gl.bindFramebuffer(gl.FRAMEBUFFER, gpu.back.frame);
  gl.viewport(0, 0, gpu.back.width, gpu.back.height);
  setView(program, job);
  gl.enableVertexAttribArray(0);
  gl.bindBuffer(gl.ARRAY_BUFFER, deep ? gpu.buffers.deep : gpu.buffers.flat);
  gl.vertexAttribPointer(0, deep ? 3 : 2, gl.UNSIGNED_SHORT, true, deep ? 8 : 4, 0);
  gl.enableVertexAttribArray(1);
  gl.bindBuffer(gl.ARRAY_BUFFER, gpu.buffers.look);
  gl.vertexAttribPointer(1, 2, gl.UNSIGNED_BYTE, false, 2, 0);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gpu.buffers.list);
  if (deep) gl.enable(gl.DEPTH_TEST);
  else gl.disable(gl.DEPTH_TEST);
  if (round && !deep) { gl.enable(gl.BLEND); gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA); }
  const slice = Math.min(gpu.budget, job.count - job.done);
  if (slice > 0) gl.drawElements(gl.POINTS, slice, gl.UNSIGNED_INT, 4 * job.done);
  gl.disable(gl.BLEND);
  gl.disable(gl.DEPTH_TEST);
  job.done += slice;
  gpu.recent = 3; /* a slice may delay the frames after it */
}

/* ---- on the screen ---- */

/* Put a picture into the canvas, as it is. */
function showPicture(picture) {
  const gl = gpu.gl, canvas = $('points'), shot = picture.camera;
  gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(...theme.paper, 1);
  gl.clear(gl.COLOR_BUFFER_BIT);
  gpu.shown = picture;
  if (!shot || shot.deep !== camera.deep) return;
  gl.useProgram(gpu.show.program);
  gl.bindTexture(gl.TEXTURE_2D, picture.texture);
  gl.uniform4f(gpu.show.uniforms.u_place, -1, -1, 2, 2);
  gl.disableVertexAttribArray(0);
  gl.disableVertexAttribArray(1);
  gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
}

/* A picture that was moved is drawn anew only when its margin is used up, or when the hand rests. */
function isWorthRedrawing(shot, resting) {
  if (gpu.stale || !shot || shot.deep !== camera.deep) return true;
  if (shot.deep) return shot.moved !== camera.moved;
  if (shot.scale !== camera.scale) return true;
  const usedX = Math.abs(shot.x - camera.x) * camera.scale / camera.width;
  const usedY = Math.abs(shot.y - camera.y) * camera.scale / camera.height;
  return usedX > MARGIN / 2 || usedY > MARGIN / 2 || (resting && (usedX > 0 || usedY > 0));
}

/* One frame; true while there is more to draw. */
function drawPoints(resting) {
  const jobIsOld = gpu.job && (gpu.stale || (camera.deep ? gpu.back.camera.moved !== camera.moved : gpu.back.camera.deep));
  if (jobIsOld) gpu.job = null;
  if (!gpu.job && isWorthRedrawing(gpu.front.camera, resting)) startJob();
  let changed = false;
  if (gpu.job) {
    drawSlice();
    changed = true;
    if (gpu.job.done >= gpu.job.count) {
      [gpu.front, gpu.back] = [gpu.back, gpu.front];
      gpu.job = null;
      gpu.again = 3; /* a busy browser may leave out the very last frame */
    }
  }
  const partly = gpu.job && (camera.deep || gpu.first || !gpu.front.camera || gpu.front.camera.deep !== camera.deep);
  const picture = partly ? gpu.back : gpu.front;
  if (gpu.shown !== picture || (partly && changed) || gpu.again-- > 0) showPicture(picture);
  follow($('points'), picture.camera);
  if (!gpu.job && gpu.first) {
    gpu.first = false;
    performance.mark('map-drawn');
  }
  return gpu.job !== null || isWorthRedrawing(gpu.front.camera, resting);
}

/* More points a frame where frames come fast, fewer where they do not. */
function adaptBudget(elapsed) {
  if (gpu.recent-- <= 0) return;
  if (elapsed > 34) gpu.budget = Math.max(40000, Math.floor(gpu.budget * 0.6));
  else if (elapsed < 20) gpu.budget = Math.min(4000000, Math.floor(gpu.budget * 1.12));
}
