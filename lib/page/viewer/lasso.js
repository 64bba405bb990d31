/* SPDX-License-Identifier: Apache-2.0 */
/* Finding places: under the pointer, in the window, near another, inside a line that was drawn. */

const GRID = 512, GRID_SHIFT = 7; /* cells of 128 units */

/* Bits of 9 with a gap after each. */
function spreadBits(value) {
  value = (value | value << 8) & 0x00ff00ff;
  value = (value | value << 4) & 0x0f0f0f0f;
  value = (value | value << 2) & 0x33333333;
  return (value | value << 1) & 0x55555555;
}
const cellNumber = (x, y) => (spreadBits(x) | spreadBits(y) << 1) >>> 0;

/* Places follow the same curve as cells, so a cell is a stretch of places. */
function prepareCells() {
  if (!map.flat) return;
  const starts = new Uint32Array(GRID * GRID + 1);
  for (let i = 0; i < map.count; i++)
    starts[cellNumber(map.flat[2 * i] >> GRID_SHIFT, map.flat[2 * i + 1] >> GRID_SHIFT) + 1]++;
  for (let cell = 0; cell < GRID * GRID; cell++) starts[cell + 1] += starts[cell];
  map.cells = starts;
}

/* Visit the places of all cells that touch the box. */
function visitBox(left, bottom, right, top, visit) {
  const clampCell = value => Math.min(GRID - 1, Math.max(0, value >> GRID_SHIFT));
  for (let cy = clampCell(bottom); cy <= clampCell(top); cy++)
    for (let cx = clampCell(left); cx <= clampCell(right); cx++) {
      const cell = cellNumber(cx, cy);
      for (let i = map.cells[cell]; i < map.cells[cell + 1]; i++) visit(i);
    }
}

const REACH = 14; /* CSS pixels around the pointer */

/* The nearest visible place to a point of the window, -1 for none. */
function placeAt(x, y, reach = REACH) {
  let best = reach * reach, found = -1;
  const at = [0, 0, 0];
  const consider = place => {
    if (!toWindow(place, at)) return;
    let distance = (at[0] - x) ** 2 + (at[1] - y) ** 2;
    if (distance >= reach * reach) return;
    if (camera.deep) distance += (at[2] / camera.distance) * 30; /* the front before the back */
    if (distance < best && isVisible(place)) { best = distance; found = place; }
  };
  if (camera.deep) {
    best += 100;
    for (let place = 0; place < map.count; place++) consider(place);
    return found;
  }
  const mx = camera.x + (x - camera.width / 2) / camera.scale, my = camera.y - (y - camera.height / 2) / camera.scale;
  const around = reach / camera.scale;
  const picture = pictureAt(x, y);
  if (picture >= 0) return picture;
  if (around < 4096) visitBox(mx - around, my - around, mx + around, my + around, consider);
  else for (let place = 0; place < map.count; place++) consider(place);
  return found;
}

/* The picture drawn under the pointer covers the points below it. */
function pictureAt(x, y) {
  if (!view.pictures || !pictures.level || camera.deep) return -1;
  const reach = (spacing(levelOf(camera.scale)) - 7) / 2, at = [0, 0, 0];
  for (const place of flatPictures().reverse()) {
    toWindow(place, at);
    const small = Math.abs(at[0] - x) <= reach && Math.abs(at[1] - y) <= reach ? smallPicture(place) : null;
    if (!small) continue;
    const grow = Math.min(1.6, 2 * reach / Math.max(small.width, small.height));
    if (Math.abs(at[0] - x) <= small.width * grow / 2 + 2 && Math.abs(at[1] - y) <= small.height * grow / 2 + 2) return place;
  }
  return -1;
}

/* Places in the window, null if there are more than `most`. */
function placesInWindow(most) {
  const dx = camera.width / 2 / camera.scale, dy = camera.height / 2 / camera.scale, found = [];
  const left = camera.x - dx, right = camera.x + dx, bottom = camera.y - dy, top = camera.y + dy;
  const visit = place => {
    const x = map.flat[2 * place], y = map.flat[2 * place + 1];
    if (found.length <= most && x >= left && x <= right && y >= bottom && y <= top) found.push(place);
  };
  if ((right - left) / 128 * ((top - bottom) / 128) <= 20000) visitBox(left, bottom, right, top, visit);
  else if (map.count > 20000) return null;
  else for (let place = 0; place < map.count; place++) visit(place);
  return found.length > most ? null : found;
}

/* The nearest places on the flat map, itself left out. */
function nearestOnMap(place, wanted) {
  const x = map.flat[2 * place], y = map.flat[2 * place + 1];
  for (let reach = 64; ; reach *= 2) {
    const found = [];
    visitBox(x - reach, y - reach, x + reach, y + reach, other => {
      const d = (map.flat[2 * other] - x) ** 2 + (map.flat[2 * other + 1] - y) ** 2;
      if (other !== place && d <= reach * reach) found.push([d, other]);
    });
    if (found.length >= wanted || reach > SPAN) return found.sort((a, b) => a[0] - b[0]).slice(0, wanted).map(pair => pair[1]);
  }
}

/* ---- the line that is drawn ---- */

function drawLasso() {
  const line = view.lasso.line;
  if (line.length < 4) return;
  overlay.beginPath();
  for (let i = 0; i < line.length; i += 2) overlay.lineTo(line[i], line[i + 1]);
  overlay.closePath();
  overlay.fillStyle = theme.dark ? '#ffffff22' : '#1f5fe022';
  overlay.fill();
  overlay.setLineDash([6, 4]);
  overlay.lineWidth = 2;
  overlay.strokeStyle = theme.dark ? '#fff' : '#1f5fe0';
  overlay.stroke();
  overlay.setLineDash([]);
}

/* Even-odd rule. */
function isInside(line, x, y) {
  let inside = false;
  for (let i = 0, j = line.length - 2; i < line.length; j = i, i += 2) {
    const xi = line[i], yi = line[i + 1], xj = line[j], yj = line[j + 1];
    if (yi > y !== yj > y && x < (xj - xi) * (y - yi) / (yj - yi) + xi) inside = !inside;
  }
  return inside;
}

function finishLasso() {
  const line = view.lasso.line, at = [0, 0, 0], marks = new Uint8Array(map.count), places = [];
  setLasso(false);
  if (line.length < 6) return;
  const xs = line.filter((_, i) => i % 2 === 0), ys = line.filter((_, i) => i % 2 === 1);
  const left = Math.min(...xs), right = Math.max(...xs), top = Math.min(...ys), bottom = Math.max(...ys);
  const before = view.focus;
  for (let place = 0; place < map.count; place++) {
    if (!toWindow(place, at) || at[0] < left || at[0] > right || at[1] < top || at[1] > bottom) continue;
    if (!isShown(colouring, place) || (before && !before[place]) || !isInside(line, at[0], at[1])) continue;
    marks[place] = 1;
    places.push(place);
  }
  select(places, marks);
}

function setLasso(on) {
  view.lasso = on ? { line: [], drawing: false } : null;
  $('stage').classList.toggle('lasso', on);
  $('t-lasso').setAttribute('aria-pressed', String(on));
  hint(on ? 'Draw around images; Esc leaves the lasso' : '');
  requestDraw();
}

/* ---- what was chosen ---- */

function select(places, marks) {
  if (places.length === 0) {
    hint('No image inside', 1600);
    return;
  }
  view.selected = places;
  view.focus = marks;
  view.kept = -1;
  updateLook();
  showSelected();
}

const SELECTED_SHOWN = 400;

/* Paths byte for byte, one a line. */
function pathLines(places) {
  const parts = [], end = new Uint8Array([0x0a]);
  for (const place of places) parts.push(pathBytes(place), end);
  return parts;
}

function clearSelection() {
  view.focus = null;
  $('search').value = '';
  $('found').textContent = '';
  $('hits').replaceChildren();
  updateLook();
}

/* The largest groups among what was chosen. */
function selectionShares(places) {
  if (colouring.ramp || colouring.key === 'plain') return null;
  const counts = new Map();
  for (const place of places) counts.set(colouring.values[place], (counts.get(colouring.values[place]) || 0) + 1);
  const list = el('dl', {});
  for (const [value, count] of [...counts].sort((a, b) => b[1] - a[1]).slice(0, 6))
    list.append(el('dt', {}, `${(100 * count / places.length).toFixed(0)} %`),
      el('dd', {}, el('bdi', {}, value ? clean(colouring.names[value - 1]) : 'none')));
  return list;
}

function showSelected() {
  const places = view.selected, list = el('ol', { className: 'paths' });
  list.style.maxHeight = '40vh';
  listPlaces(list, places, SELECTED_SHOWN);
  const strip = el('div', { className: 'strip' });
  const withPicture = places.filter(place => map.pictureOf.has(place)).slice(0, 12);
  for (const place of withPicture) {
    const button = el('button', { title: pathText(place), onclick: () => keep(place) });
    fillBox(button, place, false);
    strip.append(button);
  }
  openSide(
    el('h2', {}, `${number(places.length)} image${places.length === 1 ? '' : 's'} chosen`),
    selectionShares(places),
    strip,
    el('div', { className: 'actions' },
      names.ready ? el('button', { onclick: event => copyText(places.map(pathText).join('\n') + '\n', event.target) }, 'Copy paths') : null,
      names.ready ? el('button', { onclick: () => saveBytes(pathLines(places), 'paths.txt') }, 'Save list') : null,
      el('button', { onclick: () => goToAll(places) }, 'Go there'),
      el('button', { onclick: () => { clearSelection(); letGo(); } }, 'Let go')),
    list,
    places.length > SELECTED_SHOWN ? el('p', { className: 'faint' }, `The first ${SELECTED_SHOWN} are listed; copy and save have all.`) : null);
}
