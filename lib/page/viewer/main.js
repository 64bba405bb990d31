/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the page: start, frames, pointer, keys, and the address that keeps the view. */

const view = {
  hover: -1, kept: -1, trail: [],
  focus: null,      /* marks of what was searched or drawn around; the rest steps back */
  selected: [], found: [],
  pictures: true, names: true,
  lasso: null,      /* { line, drawing } */
};

/* ---- frames ---- */

/* `settling`: frames still to be shown after the last change; a busy browser may leave out the very last one. */
let frameWanted = false, lastFrame = 0, lastMove = 0, seenMove = -1, settling = 0;

/* Something has changed that is drawn. */
function requestDraw() {
  drawnOver.stale = true;
  requestFrame();
}

/* Only the camera has moved. */
function requestFrame() {
  settling = 3;
  scheduleFrame();
}

function scheduleFrame() {
  if (frameWanted || !gpu.front) return;
  frameWanted = true;
  requestAnimationFrame(frame);
}

function frame(now) {
  frameWanted = false;
  advanceFlight(now);
  if (seenMove !== camera.moved) { seenMove = camera.moved; lastMove = now; }
  const resting = now - lastMove > 90;
  if (now - lastFrame < 250) adaptBudget(now - lastFrame);
  lastFrame = now;
  const more = drawPoints(resting);
  drawOverlay(resting);
  settling = more || !resting || flight ? 3 : settling - 1;
  if (settling > 0) scheduleFrame();
}

let hintTimer = 0;

function hint(text, milliseconds = 0) {
  clearTimeout(hintTimer);
  $('hint').textContent = text;
  $('hint').hidden = text === '';
  if (milliseconds) hintTimer = setTimeout(() => hint(''), milliseconds);
}

/* ---- window ---- */

function resize() {
  const stage = $('stage'), wide = camera.width;
  camera.width = Math.max(1, stage.clientWidth);
  camera.height = Math.max(1, stage.clientHeight);
  camera.ratio = Math.min(2, window.devicePixelRatio || 1);
  measureInsets();
  if (wide === 1) Object.assign(camera, flatHome());
  resizeOverlay();
  resizePoints();
  touchCamera();
}

function measureInsets() {
  insets.left = $('panel').hidden ? 0 : $('panel').offsetWidth + 12;
  insets.right = $('side').hidden ? 0 : $('side').offsetWidth + 12;
}

function setTheme(dark) {
  makeTheme(dark);
  showLegend();
  if (view.kept >= 0) showKept();
  redrawPoints();
}

function togglePressed(id, on) {
  $(id).setAttribute('aria-pressed', String(on));
}

function setDeep(deep) {
  if (deep && !map.deep) { hint(meta.deep ? 'The map in space is still being read' : 'This page has no map in space', 1800); return; }
  if (!deep && !map.flat) { hint('This page has only a map in space', 1800); return; }
  flight = null;
  camera.deep = deep;
  togglePressed('t-2d', !deep);
  togglePressed('t-3d', deep);
  pictures.deepAt = -1;
  setHover(-1);
  rememberView();
  touchCamera();
}

function togglePanel() {
  $('panel').hidden = !$('panel').hidden;
  togglePressed('t-panel', !$('panel').hidden);
  measureInsets();
  touchCamera();
}

function toggleView(what, button) {
  view[what] = !view[what];
  togglePressed(button, view[what]);
  requestDraw();
}

/* ---- the address keeps the view ---- */

let addressTimer = 0;

function rememberView() {
  clearTimeout(addressTimer);
  addressTimer = setTimeout(() => {
    const short = value => Number(value.toPrecision(6));
    const parts = camera.deep
      ? ['3d', camera.yaw, camera.pitch, camera.distance, ...camera.target]
      : ['2d', camera.x, camera.y, camera.scale];
    const text = [`v=${parts.map(p => typeof p === 'number' ? short(p) : p).join(',')}`, `c=${colouring.key}`];
    if (view.kept >= 0) text.push(`p=${view.kept}`);
    try {
      history.replaceState(null, '', '#' + text.join('&'));
    } catch (error) { /* some browsers forbid it to local files */ }
  }, 300);
}

function recallView() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const by = colourings.find(c => c.key === parts.get('c'));
  if (by) colouring = by;
  const [mode, ...values] = (parts.get('v') || '').split(',');
  const numbers = values.map(Number);
  if (mode === '2d' && numbers.length === 3 && numbers.every(Number.isFinite) && numbers[2] > 0)
    [camera.x, camera.y, camera.scale] = numbers;
  return { deep: mode === '3d' && numbers.length === 6 && numbers.every(Number.isFinite) ? numbers : null, kept: Number(parts.get('p') ?? -1) };
}

/* ---- pointer ---- */

const pointers = new Map(); /* fingers and mouse buttons that are down */
let pressed = null;

function stagePoint(event) {
  const box = $('stage').getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function onPointerDown(event) {
  const [x, y] = stagePoint(event);
  if (event.target.closest('button, a, input')) return;
  $('stage').setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, [x, y]);
  setHover(-1);
  if (view.lasso) {
    view.lasso.drawing = true;
    view.lasso.line = [x, y];
    return;
  }
  pressed = { x, y, moved: pointers.size > 1, button: event.button, shift: event.shiftKey };
}

function onPointerMove(event) {
  const [x, y] = stagePoint(event), before = pointers.get(event.pointerId);
  hoverAt.x = x;
  hoverAt.y = y;
  if (view.lasso && view.lasso.drawing) {
    view.lasso.line.push(x, y);
    requestDraw();
    return;
  }
  if (!before) {
    if (event.pointerType === 'mouse') scheduleHover();
    return;
  }
  if (pointers.size === 2) pinch(event.pointerId, x, y);
  else if (pressed) drag(x - before[0], y - before[1], x, y);
  pointers.set(event.pointerId, [x, y]);
}

function drag(dx, dy, x, y) {
  if (!pressed.moved && Math.hypot(x - pressed.x, y - pressed.y) < 4) return;
  pressed.moved = true;
  $('stage').classList.add('moving');
  if (camera.deep && !pressed.shift && pressed.button === 0) turnBy(dx, dy);
  else panBy(dx, dy);
}

/* Two fingers: their middle moves the map, their distance zooms it. */
function pinch(id, x, y) {
  const [[, other]] = [...pointers].filter(([key]) => key !== id), before = pointers.get(id);
  const apart = Math.hypot(x - other[0], y - other[1]), was = Math.hypot(before[0] - other[0], before[1] - other[1]);
  panBy((x - before[0]) / 2, (y - before[1]) / 2);
  if (was > 0 && apart > 0) zoomBy(apart / was, (x + other[0]) / 2, (y + other[1]) / 2);
}

function onPointerUp(event) {
  const [x, y] = stagePoint(event);
  pointers.delete(event.pointerId);
  $('stage').classList.remove('moving');
  if (view.lasso && view.lasso.drawing) {
    finishLasso();
    return;
  }
  if (pressed && !pressed.moved && event.button === 0 && event.type === 'pointerup') {
    const place = placeAt(x, y, event.pointerType === 'mouse' ? REACH : 24);
    if (place >= 0) keep(place);
    else if (view.kept >= 0) letGo();
  }
  if (pointers.size === 0) pressed = null;
  rememberView();
}

/* At most one search a frame for what lies under the pointer; in space it looks at every point, so less often. */
let hoverWanted = false;

function scheduleHover() {
  if (hoverWanted) return;
  hoverWanted = true;
  setTimeout(() => {
    hoverWanted = false;
    if (pointers.size === 0 && !view.lasso) setHover(placeAt(hoverAt.x, hoverAt.y));
  }, camera.deep && map.count > 50000 ? 70 : 16);
}

function onWheel(event) {
  event.preventDefault();
  const [x, y] = stagePoint(event), lines = event.deltaMode === 1 ? 16 : 1;
  zoomBy(Math.exp(-Math.max(-120, Math.min(120, event.deltaY * lines)) * 0.0022), x, y);
  rememberView();
}

/* ---- keys ---- */

function escape() {
  if (view.lasso) setLasso(false);
  else if (view.kept >= 0 || !$('side').hidden) { const chosen = view.selected.length > 0; letGo(); if (chosen) clearSelection(); }
  else if (view.focus) clearSelection();
}

function move(dx, dy) {
  if (camera.deep) turnBy(-dx, -dy);
  else panBy(dx, dy);
  rememberView();
}

const KEYS = {
  ArrowLeft: () => move(70, 0), ArrowRight: () => move(-70, 0), ArrowUp: () => move(0, 70), ArrowDown: () => move(0, -70),
  '+': () => zoomBy(1.35), '=': () => zoomBy(1.35), '-': () => zoomBy(1 / 1.35), 0: goHome, Home: goHome,
  2: () => setDeep(false), 3: () => setDeep(true),
  l: () => setLasso(!view.lasso), c: nextColouring, p: togglePanel,
  t: () => toggleView('pictures', 't-pictures'), n: () => toggleView('names', 't-names'),
  q: showQuality, d: () => setTheme(!theme.dark), '?': () => $('help').showModal(),
  ']': () => walk(true), '[': () => walk(false),
  ',': () => { gpu.size = Math.max(0.4, gpu.size / 1.2); redrawPoints(); }, '.': () => { gpu.size = Math.min(5, gpu.size * 1.2); redrawPoints(); },
  Enter: () => { const place = placeAt((camera.width + insets.left - insets.right) / 2, camera.height / 2, 60); if (place >= 0) keep(place); },
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (event.key === 'Escape') {
    escape();
    if (document.activeElement === $('search')) $('stage').focus();
    return;
  }
  const tag = document.activeElement.tagName;
  if (tag === 'INPUT' || tag === 'SELECT' || tag === 'TEXTAREA') return;
  if (event.key === '/') {
    event.preventDefault();
    if ($('panel').hidden) togglePanel();
    $('search').focus();
    return;
  }
  if (event.key === 'Enter' && tag === 'BUTTON') return;
  const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (action) { event.preventDefault(); action(); }
}

/* ---- start ---- */

function connect() {
  const stage = $('stage'), click = (id, action) => { $(id).onclick = action; };
  stage.addEventListener('pointerdown', onPointerDown);
  stage.addEventListener('pointermove', onPointerMove);
  stage.addEventListener('pointerup', onPointerUp);
  stage.addEventListener('pointercancel', onPointerUp);
  stage.addEventListener('pointerleave', () => setHover(-1));
  stage.addEventListener('wheel', onWheel, { passive: false });
  stage.addEventListener('dblclick', event => zoomBy(2, ...stagePoint(event)));
  document.addEventListener('keydown', onKey);
  window.addEventListener('resize', resize);
  $('search').addEventListener('input', onSearch);
  $('search').addEventListener('keydown', event => { if (event.key === 'Enter') goToAll(view.found); });
  $('by').addEventListener('change', () => setColouring(colourings.find(by => by.key === $('by').value)));
  click('t-panel', togglePanel);
  click('t-2d', () => setDeep(false));
  click('t-3d', () => setDeep(true));
  click('t-in', () => zoomBy(1.35));
  click('t-out', () => zoomBy(1 / 1.35));
  click('t-home', goHome);
  click('t-lasso', () => setLasso(!view.lasso));
  click('t-pictures', () => toggleView('pictures', 't-pictures'));
  click('t-names', () => toggleView('names', 't-names'));
  click('t-quality', showQuality);
  click('t-theme', () => setTheme(!theme.dark));
  click('t-help', () => $('help').showModal());
  $('points').addEventListener('webglcontextlost', () => hint('The graphics processor gave up; load the page again'));
}

function hideWhatIsMissing() {
  $('t-dims').hidden = !(meta.flat && meta.deep);
  $('t-pictures').hidden = meta.pictures.count === 0 && !meta.tiles;
  if (!meta.names) $('search').placeholder = 'Search groups';
  togglePressed('t-panel', true);
  togglePressed('t-2d', meta.flat);
  togglePressed('t-3d', !meta.flat);
}

/* What stands behind this script in the document is read after the first picture. */
async function loadRest(recalled) {
  if (document.readyState === 'loading') await new Promise(done => document.addEventListener('DOMContentLoaded', done));
  await loadPictureTable();
  prepareLevels();
  prepareCells();
  const sheets = loadSheets();
  await loadNames();
  if (names.ready) {
    addFolderColouring();
    if (colouring.key === 'plain' && colourings.length > 1) colouring = colourings[1];
  }
  await loadDates();
  if (map.dates) addDateColouring();
  if (colourings.length > 1 && colourings[0].key === 'plain') colourings.shift();
  fillColourings();
  await loadNeighbours();
  if (meta.flat && meta.deep) {
    await loadDeep();
    uploadDeep();
  }
  await sheets;
  afterLoading(recalled);
}

function afterLoading(recalled) {
  const parts = new URLSearchParams(location.hash.slice(1));
  const by = colourings.find(c => c.key === parts.get('c')) || colouring;
  setColouring(by);
  if (recalled.deep && map.deep) {
    [camera.yaw, camera.pitch, camera.distance] = recalled.deep;
    camera.target = recalled.deep.slice(3);
    setDeep(true);
  }
  if (Number.isInteger(recalled.kept) && recalled.kept >= 0 && recalled.kept < map.count) keep(recalled.kept);
  performance.mark('map-complete');
  document.documentElement.dataset.state = 'complete';
  requestDraw();
}

async function start() {
  try {
    await loadFirst();
    meta.columns.forEach((column, c) => addColouring(column.title.toLowerCase(), column.title, column.names, map.columns[c]));
    if (colourings.length === 0) addPlainColouring();
    colouring = colourings[0];
    makeTheme(matchMedia('(prefers-color-scheme: dark)').matches);
    measureBox();
    camera.deep = !meta.flat;
    if (!startPoints()) {
      hint('This browser shows no WebGL2, by which the map is drawn');
      return;
    }
    showTitle();
    hideWhatIsMissing();
    fillColourings();
    showLegend();
    connect();
    resize();
    const recalled = recallView();
    fillColourings();
    showLegend();
    updateLook();
    document.documentElement.dataset.state = 'started';
    await loadRest(recalled);
  } catch (error) {
    hint(`The map cannot be shown: ${error.message}`);
    throw error;
  }
}

start();
