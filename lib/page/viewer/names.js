/* SPDX-License-Identifier: Apache-2.0 */
/* Paths: bytes as the file system has them, made into text only to be shown. */

const names = {
  ready: false,
  files: null,     /* bytes of all file names, in order of folder and name */
  starts: null,    /* where each begins; one more at the end */
  places: null,    /* of each name */
  nameOf: null,    /* of each place */
  folders: [],     /* bytes of each folder below the common one */
  folderOf: null,  /* of each name */
  root: null,      /* bytes of the common folder */
  searchable: '',  /* one character a byte, lower case */
};

const utf8 = new TextDecoder('utf-8');
const bytewise = new TextDecoder('windows-1252'); /* one character for each byte */

/* For people: nothing that hides, or that turns the direction of writing. */
const clean = text => text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, '\ufffd');

function readVarint(state) {
  let value = 0, shift = 0, byte;
  do {
    byte = state.bytes[state.at++];
    value |= (byte & 0x7f) << shift;
    shift += 7;
  } while (byte & 0x80);
  return value >>> 0;
}

/* Front-coded strings to their bytes, one behind the other, and where each begins. */
function unfront(bytes, count) {
  const head = { bytes, at: 0 };
  const sharedSize = readVarint(head), lengthsSize = readVarint(head);
  const shared = { bytes, at: head.at }, lengths = { bytes, at: head.at + sharedSize };
  let rest = head.at + sharedSize + lengthsSize, total = 0, before = 0;
  const starts = new Uint32Array(count + 1), same = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    same[i] = readVarint(shared);
    total += same[i] + readVarint(lengths);
    starts[i + 1] = total;
  }
  const all = new Uint8Array(total);
  for (let i = 0; i < count; i++) {
    const start = starts[i], size = starts[i + 1] - start, kept = same[i];
    for (let j = 0; j < kept; j++) all[start + j] = all[before + j];
    for (let j = kept; j < size; j++) all[start + j] = bytes[rest++];
    before = start;
  }
  return { all, starts };
}

async function loadNames() {
  const [folders, sizes, files, places] = await Promise.all(
    [block('folders'), block('foldersizes'), block('files'), block('places')]);
  if (!files) return;
  const counts = [], state = { bytes: sizes, at: 0 };
  while (state.at < sizes.length) counts.push(readVarint(state));
  const listed = unfront(folders, counts.length);
  const all = counts.map((_, i) => listed.all.slice(listed.starts[i], listed.starts[i + 1]));
  names.root = all[0];
  names.folders = all.slice(1);
  names.folderOf = new Uint32Array(map.count);
  let at = 0;
  counts.slice(1).forEach((count, folder) => { names.folderOf.fill(folder, at, at += count); });

  const unpacked = unfront(files, map.count);
  names.files = unpacked.all;
  names.starts = unpacked.starts;
  names.places = fromPlanes(places, map.count);
  names.nameOf = new Uint32Array(map.count);
  for (let i = 0; i < map.count; i++) names.nameOf[names.places[i]] = i;
  names.ready = true;
}

/* ---- one path ---- */

const fileBytes = name => names.files.subarray(names.starts[name], names.starts[name + 1]);
const folderBytes = place => names.folders[names.folderOf[names.nameOf[place]]];

function joined(...parts) {
  const used = parts.filter(part => part.length > 0);
  const out = new Uint8Array(used.reduce((sum, part) => sum + part.length, 0) + Math.max(0, used.length - 1));
  let at = 0;
  used.forEach((part, i) => {
    if (i > 0) out[at++] = 0x2f;
    out.set(part, at);
    at += part.length;
  });
  return out;
}

/* The whole path, byte for byte. */
const pathBytes = place => joined(names.root, folderBytes(place), fileBytes(names.nameOf[place]));

const fileText = place => names.ready ? clean(utf8.decode(fileBytes(names.nameOf[place]))) : '';
const shortText = place => names.ready ? clean(utf8.decode(joined(folderBytes(place), fileBytes(names.nameOf[place])))) : '';
const pathText = place => names.ready ? clean(utf8.decode(pathBytes(place))) : `image ${place}`;

/* Percent-encoded, byte for byte, so that odd names are found too. */
function linkOf(place) {
  if (!names.ready) return '';
  const bytes = joined(folderBytes(place), fileBytes(names.nameOf[place]));
  let link = meta.base;
  for (const byte of bytes) {
    const plain = byte < 0x80 && /[A-Za-z0-9\-._~/]/.test(String.fromCharCode(byte));
    link += plain ? String.fromCharCode(byte) : '%' + byte.toString(16).toUpperCase().padStart(2, '0');
  }
  return link;
}

/* ---- folders as a colouring ---- */

/* The deepest level of folders that has at most this many of them. */
const FOLDERS_MAX = 400;

function addFolderColouring() {
  const parts = names.folders.map(bytes => utf8.decode(bytes).split('/'));
  let depth = Math.max(...parts.map(p => p.length), 1), labels;
  do {
    labels = parts.map(p => p.slice(0, depth).join('/') || '.');
  } while (--depth > 0 && new Set(labels).size > FOLDERS_MAX);
  const distinct = [...new Set(labels)];
  if (distinct.length < 2) return;
  const number = new Map(distinct.map((label, i) => [label, i + 1]));
  const ofFolder = labels.map(label => number.get(label));
  const values = new Uint32Array(map.count);
  for (let i = 0; i < map.count; i++) values[names.places[i]] = ofFolder[names.folderOf[i]];
  addColouring('folder', 'Folder', distinct, values);
}

/* ---- search ---- */

const asciiLower = text => text.replace(/[A-Z]+/g, part => part.toLowerCase());

/* Texts to look through: one character a byte, so that a position tells the name. */
function prepareSearch() {
  if (names.searchable || !names.ready) return;
  names.searchable = asciiLower(bytewise.decode(names.files));
  names.searchableFolders = names.folders.map(folder => asciiLower(bytewise.decode(folder)));
}

/* The name in whose bytes this position lies. */
function nameAt(position) {
  let low = 0, high = map.count;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (names.starts[middle] <= position) low = middle;
    else high = middle;
  }
  return low;
}

/* Marks names that contain the word. */
function markFiles(word, marks) {
  const text = names.searchable;
  for (let at = text.indexOf(word); at >= 0;) {
    const name = nameAt(at), end = names.starts[name + 1];
    if (at + word.length <= end) {
      marks[names.places[name]] = 1;
      at = text.indexOf(word, end);
    } else {
      at = text.indexOf(word, at + 1);
    }
  }
}

function markFolders(word, marks) {
  const hit = names.searchableFolders.map(folder => folder.includes(word));
  if (hit.includes(true))
    for (let name = 0; name < map.count; name++)
      if (hit[names.folderOf[name]]) marks[names.places[name]] = 1;
}

/* Labels, clusters and other properties whose name contains the word. */
function markValues(plain, marks) {
  for (const by of colourings) {
    if (by.ramp || by.key === 'plain' || by.key === 'folder') continue;
    const hit = [false, ...by.names.map(name => name.toLowerCase().includes(plain))];
    if (hit.includes(true))
      for (let i = 0; i < map.count; i++) if (hit[by.values[i]]) marks[i] = 1;
  }
}

/* Places whose path or property has this text, or else every word of it, as marks; null for an empty search. */
function search(text) {
  const words = text.split(/\s+/).filter(word => word.length > 0);
  if (words.length === 0) return null;
  prepareSearch();
  const whole = words.length > 1 ? searchWords([text.trim()]) : null;
  return whole && whole.includes(1) ? whole : searchWords(words);
}

function searchWords(words) {
  let all = null;
  for (const word of words) {
    const marks = new Uint8Array(map.count);
    if (names.ready) {
      const bytes = asciiLower(bytewise.decode(new TextEncoder().encode(word)));
      markFiles(bytes, marks);
      markFolders(bytes, marks);
    }
    markValues(word.toLowerCase(), marks);
    if (all) for (let i = 0; i < map.count; i++) all[i] &= marks[i];
    else all = marks;
  }
  return all;
}
