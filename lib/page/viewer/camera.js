/* SPDX-License-Identifier: Apache-2.0 */
/* Where one looks from: flat (centre and scale) and in space (turning around a point). */

const SPAN = 65535;           /* units of the map, the same along every axis */
const SCALE_MAX = 24;         /* CSS pixels a unit: beyond it only the raster of 16 bits grows */

const camera = {
  deep: false,
  width: 1, height: 1, ratio: 1,
  x: SPAN / 2, y: SPAN / 2, scale: 0.01,
  yaw: 0.6, pitch: -0.35, distance: 2.3, target: [0, 0, 0],
  moved: 0, /* counts changes */
};

const FOCAL = 1.5; /* of the picture's height: about 67 degrees from edge to edge */

/* Parts of the window that panels cover: the whole map is shown beside them. */
const insets = { left: 0, right: 0, bottom: 56 };

function flatHome() {
  const { width, height } = camera;
  const left = width > 760 ? insets.left : 0, right = width > 760 ? insets.right : 0;
  const across = Math.max(120, width - left - right), down = Math.max(120, height - insets.bottom);
  const box = map.box;
  const scale = 0.92 * Math.min(across / Math.max(1, box.right - box.left), down / Math.max(1, box.top - box.bottom));
  const use = Math.min(scale, SCALE_MAX);
  return {
    scale: use,
    x: (box.left + box.right) / 2 - (left - right) / 2 / use,
    y: (box.bottom + box.top) / 2 - insets.bottom / 2 / use,
  };
}

const deepHome = () => ({ yaw: 0.6, pitch: -0.35, distance: camera.width < camera.height ? 4 : 2.3, target: [0, 0, 0] });

/* The box of all points. */
function measureBox() {
  const box = { left: SPAN, right: 0, bottom: SPAN, top: 0 };
  for (let i = 0; map.flat && i < map.count; i++) {
    const x = map.flat[2 * i], y = map.flat[2 * i + 1];
    if (x < box.left) box.left = x;
    if (x > box.right) box.right = x;
    if (y < box.bottom) box.bottom = y;
    if (y > box.top) box.top = y;
  }
  map.box = box;
}

/* ---- from the map to the window ---- */

/* Rows of turning and looking, for points of the cube from -1 to 1. */
function deepAxes() {
  const cy = Math.cos(camera.yaw), sy = Math.sin(camera.yaw), cp = Math.cos(camera.pitch), sp = Math.sin(camera.pitch);
  return { right: [cy, 0, -sy], up: [sy * sp, cp, cy * sp], back: [sy * cp, -sp, cy * cp] };
}

/* Column-major matrix to clip space. */
function deepMatrix() {
  const { right, up, back } = deepAxes(), t = camera.target;
  const dot = axis => axis[0] * t[0] + axis[1] * t[1] + axis[2] * t[2];
  const near = 0.02, far = camera.distance + 4, fy = FOCAL, fx = fy * camera.height / camera.width;
  const a = -(far + near) / (far - near), b = -2 * far * near / (far - near);
  const shift = deepShift();
  const out = new Float32Array(16);
  for (let column = 0; column < 3; column++) {
    out[4 * column] = fx * right[column] - shift * back[column];
    out[4 * column + 1] = fy * up[column];
    out[4 * column + 2] = a * back[column];
    out[4 * column + 3] = -back[column];
  }
  out[12] = -fx * dot(right) + shift * (dot(back) + camera.distance);
  out[13] = -fy * dot(up);
  out[14] = -a * (dot(back) + camera.distance) + b;
  out[15] = dot(back) + camera.distance;
  return out;
}

/* The middle lies in the middle of what the panels leave free, in parts of clip space. */
function deepShift() {
  return camera.width > 760 ? (insets.left - insets.right) / camera.width : 0;
}

const cube = value => value / SPAN * 2 - 1;

/* Place to CSS pixels; out = [x, y, depth], false behind the eye. */
let matrixAt = -1, matrix = null;
function toWindow(place, out) {
  if (!camera.deep) {
    out[0] = camera.width / 2 + (map.flat[2 * place] - camera.x) * camera.scale;
    out[1] = camera.height / 2 - (map.flat[2 * place + 1] - camera.y) * camera.scale;
    out[2] = 1;
    return true;
  }
  if (matrixAt !== camera.moved) { matrix = deepMatrix(); matrixAt = camera.moved; }
  const m = matrix, x = cube(map.deep[3 * place]), y = cube(map.deep[3 * place + 1]), z = cube(map.deep[3 * place + 2]);
  const w = m[3] * x + m[7] * y + m[11] * z + m[15];
  if (w < 0.02) return false;
  out[0] = ((m[0] * x + m[4] * y + m[8] * z + m[12]) / w * 0.5 + 0.5) * camera.width;
  out[1] = (0.5 - (m[1] * x + m[5] * y + m[9] * z + m[13]) / w * 0.5) * camera.height;
  out[2] = w;
  return true;
}

/* ---- moving ---- */

let flight = null;

function touchCamera() {
  camera.moved++;
  requestFrame();
}

function panBy(dx, dy) {
  flight = null;
  if (camera.deep) {
    const { right, up } = deepAxes(), step = camera.distance / (FOCAL * camera.height / 2);
    for (let axis = 0; axis < 3; axis++)
      camera.target[axis] += (-right[axis] * dx + up[axis] * dy) * step;
  } else {
    camera.x -= dx / camera.scale;
    camera.y += dy / camera.scale;
  }
  touchCamera();
}

function turnBy(dx, dy) {
  flight = null;
  camera.yaw -= dx * 0.006;
  camera.pitch = Math.min(1.55, Math.max(-1.55, camera.pitch - dy * 0.006));
  touchCamera();
}

/* Zoom, keeping what is under x, y there. */
function zoomBy(factor, x = camera.width / 2, y = camera.height / 2) {
  flight = null;
  if (camera.deep) {
    camera.distance = Math.min(12, Math.max(0.05, camera.distance / factor));
  } else {
    const scale = Math.min(SCALE_MAX, Math.max(flatHome().scale / 4, camera.scale * factor));
    camera.x += (x - camera.width / 2) * (1 / camera.scale - 1 / scale);
    camera.y -= (y - camera.height / 2) * (1 / camera.scale - 1 / scale);
    camera.scale = scale;
  }
  touchCamera();
}

const calm = matchMedia('(prefers-reduced-motion: reduce)');

/* Move there in a quarter of a second; scales go by their ratio. */
function flyTo(goal) {
  if (calm.matches) {
    Object.assign(camera, goal);
    touchCamera();
    return;
  }
  const from = {};
  for (const key of Object.keys(goal)) from[key] = Array.isArray(goal[key]) ? [...camera[key]] : camera[key];
  flight = { from, goal, start: performance.now() };
  requestFrame();
}

function advanceFlight(now) {
  if (!flight) return;
  const { from, goal, start } = flight;
  const t = Math.min(1, (now - start) / 260), s = t * t * (3 - 2 * t);
  for (const [key, to] of Object.entries(goal)) {
    if (Array.isArray(to)) camera[key] = to.map((v, i) => from[key][i] + (v - from[key][i]) * s);
    else if (key === 'scale' || key === 'distance') camera[key] = from[key] * (to / from[key]) ** s;
    else camera[key] = from[key] + (to - from[key]) * s;
  }
  /* Centre and scale together: keep the way straight on the screen. */
  if ('scale' in goal && from.scale !== goal.scale) {
    const share = (1 / camera.scale - 1 / from.scale) / (1 / goal.scale - 1 / from.scale);
    camera.x = from.x + (goal.x - from.x) * share;
    camera.y = from.y + (goal.y - from.y) * share;
  }
  if (t === 1) flight = null;
  touchCamera();
}

function goHome() {
  flyTo(camera.deep ? deepHome() : flatHome());
}

/* Bring a place into the middle of what is free, closer if it is far. */
function goTo(place, closer = true) {
  if (camera.deep) {
    flyTo({ target: [0, 1, 2].map(axis => cube(map.deep[3 * place + axis])), distance: closer ? Math.min(camera.distance, 1.2) : camera.distance });
    return;
  }
  const home = flatHome();
  const scale = closer ? Math.min(SCALE_MAX, Math.max(camera.scale, home.scale * 6)) : camera.scale;
  const shift = camera.width > 760 ? (insets.left - insets.right) / 2 : 0;
  flyTo({ x: map.flat[2 * place] - shift / scale, y: map.flat[2 * place + 1], scale });
}

/* Show all of these places. */
function goToAll(places) {
  if (places.length === 0) return;
  if (places.length === 1 || camera.deep) {
    goTo(places[0]);
    return;
  }
  const box = { left: SPAN, right: 0, bottom: SPAN, top: 0 };
  for (const place of places) {
    box.left = Math.min(box.left, map.flat[2 * place]);
    box.right = Math.max(box.right, map.flat[2 * place]);
    box.bottom = Math.min(box.bottom, map.flat[2 * place + 1]);
    box.top = Math.max(box.top, map.flat[2 * place + 1]);
  }
  const whole = map.box, least = flatHome().scale;
  map.box = box;
  const goal = flatHome();
  map.box = whole;
  goal.scale = Math.min(goal.scale, least * 64);
  flyTo(goal);
}
