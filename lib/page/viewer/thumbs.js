/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies over the points: pictures that refine as one zooms, names of groups, marks. A plain canvas, because pictures from
 * the disk may be shown there but not be handed to WebGL.
 */

const pictures = {
  sheets: [],        /* ImageBitmap of each sheet once decoded */
  level: null,       /* from which level on each representative is shown */
  tiles: new Map(),  /* number -> image, the least recently used first */
  deep: [],          /* representatives chosen in space */
  deepAt: -1,
  extra: [],         /* places shown from tiles in the last frame */
};
const TILES_KEPT = 80;
const LEVELS = 30;

/* ---- where pictures come from ---- */

/* Decode the sheets one by one, the most important first; the page stays responsive in between. */
async function loadSheets() {
  const sheets = meta.pictures.count ? Math.ceil(meta.pictures.count / meta.pictures.each) : 0;
  for (let i = 0; i < sheets; i++) {
    const bytes = rawBlock('sheet' + i);
    if (!bytes) continue;
    try {
      pictures.sheets[i] = await createImageBitmap(new Blob([bytes], { type: 'image/jpeg' }));
    } catch (error) {
      continue;
    }
    requestDraw();
  }
}

function tileImage(number) {
  let image = pictures.tiles.get(number);
  if (!image) {
    image = new Image();
    image.onload = requestDraw;
    image.src = `${meta.tiles}${String(Math.floor(number / 1000)).padStart(3, '0')}/${String(number % 1000).padStart(3, '0')}.jpg`;
    if (pictures.tiles.size >= TILES_KEPT) pictures.tiles.delete(pictures.tiles.keys().next().value);
  } else {
    pictures.tiles.delete(number);
  }
  pictures.tiles.set(number, image);
  return image.complete && image.naturalWidth > 0 ? image : null;
}

/* The small picture of a place: { image, x, y, width, height }, or null if it is not there, or not yet. */
function smallPicture(place) {
  const { columns, each, side } = meta.pictures;
  const number = map.pictureOf.get(place);
  if (number !== undefined && pictures.sheets[Math.floor(number / each)]) {
    const cell = number % each;
    return {
      image: pictures.sheets[Math.floor(number / each)],
      x: cell % columns * side, y: Math.floor(cell / columns) * side,
      width: map.pictures.widths[number], height: map.pictures.heights[number],
    };
  }
  if (map.tileSizes && map.tileSizes[place]) {
    const image = tileImage(Math.floor(place / each)), cell = place % each;
    if (image) return {
      image, x: cell % columns * side, y: Math.floor(cell / columns) * side,
      width: map.tileSizes[place], height: map.tileSizes[map.count + place],
    };
  }
  return null;
}

/* ---- which pictures a level shows ---- */

/* CSS pixels from one picture to the next at a level. */
const spacing = level => 50 + level * 2;
/* Scale of a level: half a power of two each. */
const levelScale = level => 260 / SPAN * 2 ** (level / 2);
const levelOf = scale => Math.max(0, Math.min(LEVELS - 1, Math.floor(2 * Math.log2(scale * SPAN / 260))));

/*
 * Coarse to fine: a representative appears at the first level at which it lies apart from all that are there already, the
 * important ones first. So pictures neither overlap nor vanish as one comes closer, and panning changes nothing.
 */
function prepareLevels() {
  if (!map.pictures || !map.flat) return;
  const count = meta.pictures.count, level = new Uint8Array(count).fill(255);
  let waiting = [...Array(count).keys()].filter(i => map.pictures.widths[i] > 0);
  const placed = [];
  for (let at = 0; at < LEVELS && waiting.length > 0; at++) {
    const apart = spacing(at) / levelScale(at), cells = new Map();
    const cellOf = (x, y) => Math.floor(x / apart) * 131071 + Math.floor(y / apart);
    const put = i => {
      const place = map.pictures.places[i], cell = cellOf(map.flat[2 * place], map.flat[2 * place + 1]);
      const there = cells.get(cell);
      if (there) there.push(place);
      else cells.set(cell, [place]);
    };
    const isFree = (x, y) => {
      for (let dx = -apart; dx <= apart; dx += apart)
        for (let dy = -apart; dy <= apart; dy += apart)
          for (const other of cells.get(cellOf(x + dx, y + dy)) || [])
            if (Math.abs(map.flat[2 * other] - x) < apart && Math.abs(map.flat[2 * other + 1] - y) < apart) return false;
      return true;
    };
    placed.forEach(put);
    waiting = waiting.filter(i => {
      const place = map.pictures.places[i];
      if (!isFree(map.flat[2 * place], map.flat[2 * place + 1])) return true;
      level[i] = at;
      placed.push(i);
      put(i);
      return false;
    });
  }
  pictures.level = level;
}

const isVisible = place => isShown(colouring, place) && (!view.focus || view.focus[place]);

/* Places of the flat map's pictures in the window, unimportant ones first. */
function flatPictures() {
  const level = levelOf(camera.scale), found = [], at = [0, 0, 0], edge = spacing(level);
  for (let i = 0; i < meta.pictures.count; i++) {
    if (pictures.level[i] > level) continue;
    const place = map.pictures.places[i];
    toWindow(place, at);
    if (at[0] < -edge - margin.x || at[1] < -edge - margin.y || at[0] > camera.width + edge + margin.x || at[1] > camera.height + edge + margin.y) continue;
    if (isVisible(place)) found.push(place);
  }
  if (meta.tiles && map.tileSizes) addTilePictures(found, spacing(level));
  return found.reverse();
}

/* Close enough, pictures of all points come from the tiles where there is room; those already shown stay. */
function addTilePictures(found, apart) {
  const places = placesInWindow(1500);
  if (!places) { pictures.extra = []; return; }
  const taken = new Map(), at = [0, 0, 0];
  const key = (x, y) => Math.floor(x / apart) * 8191 + Math.floor(y / apart);
  const tryPlace = place => {
    toWindow(place, at);
    const [x, y] = at;
    for (let dx = -1; dx <= 1; dx++)
      for (let dy = -1; dy <= 1; dy++)
        for (const [ox, oy] of taken.get(key(x + dx * apart, y + dy * apart)) || [])
          if (Math.abs(ox - x) < apart && Math.abs(oy - y) < apart) return false;
    const k = key(x, y);
    if (!taken.has(k)) taken.set(k, []);
    taken.get(k).push([x, y]);
    return true;
  };
  found.forEach(tryPlace);
  const inside = new Set(places), extra = [];
  for (const place of [...pictures.extra.filter(p => inside.has(p)), ...places])
    if (!extra.includes(place) && map.tileSizes[place] && !found.includes(place) && isVisible(place) && tryPlace(place)) extra.push(place);
  pictures.extra = extra;
  found.push(...extra);
}

/* In space: the most important ones that do not cover each other, chosen anew whenever the view rests. */
function deepPictures(resting) {
  const at = [0, 0, 0];
  if (resting && pictures.deepAt !== camera.moved) {
    const chosen = [];
    for (let i = 0; i < meta.pictures.count && chosen.length < 90; i++) {
      const place = map.pictures.places[i];
      if (!map.pictures.widths[i] || !isVisible(place) || !toWindow(place, at)) continue;
      if (at[2] > camera.distance + 0.35 || at[0] < 0 || at[1] < 0 || at[0] > camera.width || at[1] > camera.height) continue;
      if (chosen.every(c => Math.abs(c.x - at[0]) > 58 || Math.abs(c.y - at[1]) > 58)) chosen.push({ place, x: at[0], y: at[1] });
    }
    pictures.deep = chosen.map(c => c.place);
    pictures.deepAt = camera.moved;
  }
  const depth = place => (toWindow(place, at) ? at[2] : 0);
  return pictures.deep.map(place => [depth(place), place]).filter(([d]) => d > 0).sort((a, b) => b[0] - a[0]).map(([, place]) => place);
}

/* ---- drawing ---- */

let overlay = null; /* 2-D context */

function drawPicture(place, size) {
  const small = smallPicture(place), at = [0, 0, 0];
  if (!small || !toWindow(place, at)) return;
  let reach = size;
  if (camera.deep) reach = Math.max(22, Math.min(size * 1.5, size * camera.distance / at[2]));
  const grow = Math.min(1.6, reach / Math.max(small.width, small.height));
  const width = Math.round(small.width * grow), height = Math.round(small.height * grow);
  const x = Math.round(at[0] - width / 2), y = Math.round(at[1] - height / 2);
  overlay.fillStyle = css(theme.paper);
  overlay.fillRect(x - 3, y - 3, width + 6, height + 6);
  overlay.fillStyle = css(colourOf(colouring, place));
  overlay.fillRect(x - 2, y - 2, width + 4, height + 4);
  overlay.drawImage(small.image, small.x, small.y, small.width, small.height, x, y, width, height);
}

/* ---- names of groups ---- */

/* The place in the thick of each of the largest groups. */
function prepareGroups(by) {
  if (by.groups || by.ramp || !map.flat || by.key === 'plain') return;
  const most = 60, grid = 48, side = (SPAN + 1) / grid;
  const rank = new Map(by.sorted.slice(0, most).map((value, i) => [value, i]));
  const counts = new Uint32Array(rank.size * grid * grid);
  const cellOf = i => Math.floor(map.flat[2 * i + 1] / side) * grid + Math.floor(map.flat[2 * i] / side);
  for (let i = 0; i < map.count; i++) {
    const r = rank.get(by.values[i]);
    if (r !== undefined) counts[r * grid * grid + cellOf(i)]++;
  }
  const best = [...rank.values()].map(r => {
    const cells = counts.subarray(r * grid * grid, (r + 1) * grid * grid);
    return cells.indexOf(Math.max(...cells));
  });
  const sums = best.map(() => [0, 0, 0]);
  const each = visit => {
    for (let i = 0; i < map.count; i++) {
      const r = rank.get(by.values[i]);
      if (r === undefined) continue;
      const cell = cellOf(i), off = Math.abs(cell % grid - best[r] % grid), down = Math.abs(Math.floor(cell / grid) - Math.floor(best[r] / grid));
      if (off <= 1 && down <= 1) visit(i, r);
    }
  };
  each((i, r) => { sums[r][0] += map.flat[2 * i]; sums[r][1] += map.flat[2 * i + 1]; sums[r][2]++; });
  const nearest = best.map(() => [Infinity, -1]);
  each((i, r) => {
    const d = (map.flat[2 * i] - sums[r][0] / sums[r][2]) ** 2 + (map.flat[2 * i + 1] - sums[r][1] / sums[r][2]) ** 2;
    if (d < nearest[r][0]) nearest[r] = [d, i];
  });
  by.groups = by.sorted.slice(0, most).map((value, i) => ({ value, place: nearest[i][1], text: clean(by.names[value - 1]) }));
}

/* Folders are told apart by their last part. */
const groupText = (by, text) => by.key === 'folder' && text.includes('/') ? text.slice(text.lastIndexOf('/') + 1) : text;

function drawNames(by) {
  prepareGroups(by);
  const taken = [], at = [0, 0, 0], closer = camera.deep ? 1 : Math.max(1, camera.scale / flatHome().scale);
  overlay.textAlign = 'center';
  overlay.textBaseline = 'middle';
  overlay.lineJoin = 'round';
  for (const group of (by.groups || []).slice(0, Math.round(24 * closer))) {
    if (by.off.has(group.value) || !toWindow(group.place, at)) continue;
    const [x, y] = at, size = Math.min(17, 11 + Math.log10(by.counts[group.value] + 1));
    let text = groupText(by, group.text);
    if (text.length > 28) text = text.slice(0, 27) + '\u2026';
    overlay.font = `600 ${size}px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif`;
    const half = overlay.measureText(text).width / 2 + 5;
    if (x < -margin.x || y < -margin.y || x > camera.width + margin.x || y > camera.height + margin.y) continue;
    if (taken.some(t => Math.abs(t[0] - x) < t[2] + half && Math.abs(t[1] - y) < size + 6)) continue;
    taken.push([x, y, half]);
    overlay.lineWidth = 4;
    overlay.strokeStyle = css(theme.paper);
    overlay.strokeText(text, x, y);
    overlay.fillStyle = theme.dark ? '#fff' : '#101820';
    overlay.fillText(text, x, y);
  }
}

/* ---- marks ---- */

function drawRing(place, radius, colour) {
  const at = [0, 0, 0];
  if (!toWindow(place, at)) return;
  for (const [width, style] of [[4.5, css(theme.paper)], [2, colour]]) {
    overlay.lineWidth = width;
    overlay.strokeStyle = style;
    overlay.beginPath();
    overlay.arc(at[0], at[1], radius, 0, 7);
    overlay.stroke();
  }
}

/* The kept image and the way to its neighbours: long lines show where the map tears them apart. */
function drawKept() {
  const ink = theme.dark ? '#fff' : '#101820', from = [0, 0, 0], to = [0, 0, 0];
  if (!toWindow(view.kept, from)) return;
  overlay.strokeStyle = ink;
  overlay.globalAlpha = 0.75;
  overlay.lineWidth = 1.2;
  for (const other of neighboursOf(view.kept)) {
    if (!toWindow(other, to)) continue;
    overlay.beginPath();
    overlay.moveTo(from[0], from[1]);
    overlay.lineTo(to[0], to[1]);
    overlay.stroke();
    overlay.beginPath();
    overlay.arc(to[0], to[1], 4, 0, 7);
    overlay.fillStyle = css(colourOf(colouring, other));
    overlay.fill();
    overlay.stroke();
  }
  overlay.globalAlpha = 1;
  drawRing(view.kept, 9, ink);
}

function resizeOverlay() {
  const canvas = $('overlay');
  sizeCanvas(canvas);
  overlay = canvas.getContext('2d');
  drawnOver.stale = true;
}

/* The camera for which the overlay was drawn; stale when something else than the camera has changed. */
const drawnOver = { x: 0, y: 0, scale: 0, deep: false, stale: true };

/* While one pans the overlay moves along with the points; it is drawn anew at rest or when its margin is used up. */
function isOverlayGood(resting) {
  if (drawnOver.stale || camera.deep || drawnOver.deep || drawnOver.scale !== camera.scale || view.lasso) return false;
  const dx = Math.abs(drawnOver.x - camera.x) * camera.scale, dy = Math.abs(drawnOver.y - camera.y) * camera.scale;
  return resting ? dx === 0 && dy === 0 : dx < margin.x * 0.8 && dy < margin.y * 0.8;
}

function drawOverlay(resting) {
  if (!isOverlayGood(resting)) {
    Object.assign(drawnOver, { x: camera.x, y: camera.y, scale: camera.scale, deep: camera.deep, stale: false });
    drawOverlayAnew(resting);
  }
  follow($('overlay'), drawnOver);
}

function drawOverlayAnew(resting) {
  overlay.setTransform(camera.ratio, 0, 0, camera.ratio, margin.x * camera.ratio, margin.y * camera.ratio);
  overlay.clearRect(-margin.x, -margin.y, camera.width + 2 * margin.x, camera.height + 2 * margin.y);
  if (view.pictures && map.pictures) {
    const size = spacing(levelOf(camera.scale)) - 7;
    if (camera.deep) deepPictures(resting).forEach(place => drawPicture(place, 50));
    else if (pictures.level) flatPictures().forEach(place => drawPicture(place, size));
  }
  if (view.names && !colouring.ramp) drawNames(colouring);
  if (view.kept >= 0) drawKept();
  if (view.hover >= 0 && view.hover !== view.kept) drawRing(view.hover, 8, theme.dark ? '#fff' : '#101820');
  if (view.lasso) drawLasso();
}
