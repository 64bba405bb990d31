/* SPDX-License-Identifier: Apache-2.0 */
/* What the page carries: blocks of the document, unpacked. docs/map-page.md describes them. */

const $ = id => document.getElementById(id);

/* An element with properties, classes and children; text is always text, never markup. */
function el(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

const meta = JSON.parse($('d-meta').textContent);

/* Everything about the points; arrays are by place: the order along the curve, in which the page stores them. */
const map = {
  count: meta.count,
  flat: null,       /* Uint16Array, 2 a point */
  deep: null,       /* Uint16Array, 3 a point */
  columns: [],      /* Uint32Array each: 0 none, else 1 + number of the name */
  dates: null,      /* Uint32Array: 0 unknown, else 1 + steps since the start */
  neighbours: null, /* Uint32Array, rank after rank; the place itself where there is none */
  pictures: null,   /* of representatives: places, widths, heights */
  pictureOf: new Map(),
  tileSizes: null,  /* widths, then heights, of the tiles beside the page */
};

/* Bytes of base64, by the browser's own decoder where it has one. */
function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/* The bytes of a block, which then leaves the document; null where there is none. */
function rawBlock(name) {
  const element = $('d-' + name);
  if (!element) return null;
  const bytes = bytesOf(element.textContent);
  element.remove();
  return bytes;
}

async function block(name) {
  const bytes = rawBlock(name);
  if (!bytes) return null;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/* Numbers stored as planes of bytes, lowest first; the number of planes follows from the size. */
function fromPlanes(bytes, count, start = 0, planes = Math.round((bytes.length - start) / (count || 1))) {
  const values = new Uint32Array(count);
  for (let plane = 0; plane < planes; plane++) {
    const from = start + plane * count, shift = 8 * plane;
    for (let i = 0; i < count; i++) values[i] |= bytes[from + i] << shift;
  }
  return values;
}

/* 0, 1, 2, 3, ... are 0, -1, 1, -2, ... */
const unzigzag = value => (value >>> 1) ^ -(value & 1);

/* Positions: differences along the curve, modulo 2^16, axis after axis. */
function positionsOf(bytes, count, dimension) {
  const positions = new Uint16Array(count * dimension);
  for (let axis = 0; axis < dimension; axis++) {
    const low = axis * 2 * count, high = low + count;
    let last = 0;
    for (let i = 0; i < count; i++) {
      last = (last + unzigzag(bytes[low + i] | bytes[high + i] << 8)) & 0xffff;
      positions[i * dimension + axis] = last;
    }
  }
  return positions;
}

/* What the first picture needs; it stands in the document before this script. */
async function loadFirst() {
  const [flat, deep, ...columns] = await Promise.all([
    meta.flat ? block('flat') : null,
    meta.flat ? null : block('deep'),
    ...meta.columns.map((_, c) => block('column' + c)),
  ]);
  if (flat) map.flat = positionsOf(flat, map.count, 2);
  if (deep) map.deep = positionsOf(deep, map.count, 3);
  map.columns = columns.map(bytes => fromPlanes(bytes, map.count));
}

async function loadDeep() {
  const bytes = await block('deep');
  if (bytes) map.deep = positionsOf(bytes, map.count, 3);
}

async function loadPictureTable() {
  const [bytes, tiles] = await Promise.all([block('pictures'), block('tilesizes')]);
  if (bytes) {
    const count = meta.pictures.count;
    map.pictures = {
      places: fromPlanes(bytes, count, 0, 4),
      widths: bytes.subarray(4 * count, 5 * count),
      heights: bytes.subarray(5 * count, 6 * count),
    };
    for (let i = 0; i < count; i++)
      if (map.pictures.widths[i]) map.pictureOf.set(map.pictures.places[i], i);
  }
  map.tileSizes = tiles;
}

async function loadDates() {
  const bytes = await block('dates');
  if (bytes) map.dates = fromPlanes(bytes, map.count);
}

async function loadNeighbours() {
  const bytes = await block('neighbours');
  if (!bytes) return;
  const links = fromPlanes(bytes, map.count * meta.neighbours);
  for (let i = 0, place = 0; i < links.length; i++) {
    links[i] = place + unzigzag(links[i]);
    if (++place === map.count) place = 0;
  }
  map.neighbours = links;
}

/* Places of the nearest neighbours in the collection, nearest first. */
function neighboursOf(place) {
  const found = [];
  for (let rank = 0; map.neighbours && rank < meta.neighbours; rank++) {
    const other = map.neighbours[rank * map.count + place];
    if (other !== place && !found.includes(other)) found.push(other);
  }
  return found;
}

/* Time of a date in milliseconds, null if it is not known. */
const timeOf = place =>
  map.dates && map.dates[place] ? (meta.dates.start + (map.dates[place] - 1) * meta.dates.unit) * 1000 : null;

/* A day, or with hours and minutes where the map spans less than two months. */
function dateText(time) {
  const text = new Date(time).toISOString();
  return meta.dates.unit < 3600 ? text.slice(0, 16).replace('T', ' ') : text.slice(0, 10);
}

/*
 * An order in which any first part is an even sample of the map: places along the curve, taken in steps of about the golden
 * section of their number, which is coprime to it.
 */
function evenOrder(count) {
  const gcd = (a, b) => { while (b) [a, b] = [b, a % b]; return a; };
  let step = Math.max(1, Math.round(count * 0.6180339887498949));
  while (gcd(step, count) !== 1) step++;
  const order = new Uint32Array(count);
  for (let i = 0, at = 0; i < count; i++) {
    order[i] = at;
    at = (at + step) % count;
  }
  return order;
}
