/* SPDX-License-Identifier: Apache-2.0 */
/* Colours of points: by a property, by folder, by date; light and dark. */

/* sRGB of lightness, chroma and hue: Ottosson, "A perceptual color space for image processing" (2020). */
function oklch(lightness, chroma, hue) {
  const a = chroma * Math.cos(hue * Math.PI / 180), b = chroma * Math.sin(hue * Math.PI / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
  ].map(value => {
    const v = Math.min(1, Math.max(0, value));
    return v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055;
  });
}

const css = colour => `rgb(${colour.map(v => Math.round(v * 255)).join(' ')})`;

/* Hues of the first eight differ for colour-blind eyes too, as their lightness does; the next sixteen fill the gaps. */
const HUES = [
  [255, 0], [55, .1], [165, -.04], [350, .04], [95, .16], [300, -.1], [215, .13], [25, -.06],
  [130, .06], [275, .08], [75, -.04], [190, 0], [325, .12], [145, -.12], [235, -.1], [40, .02],
  [110, -.02], [285, .14], [10, .12], [175, .14], [65, -.14], [340, -.1], [205, -.12], [120, .16],
];
const RAMP = 64;

const theme = { dark: false, paper: [1, 1, 1], grey: [0, 0, 0], palette: [], ramp: [] };

function makeTheme(dark) {
  theme.dark = dark;
  theme.paper = dark ? [0.055, 0.067, 0.086] : [0.969, 0.973, 0.98];
  theme.grey = dark ? [0.36, 0.39, 0.44] : [0.70, 0.73, 0.77];
  const middle = dark ? 0.70 : 0.60;
  theme.palette = HUES.map(([hue, lift]) => oklch(middle + lift * 0.9, 0.155, hue));
  theme.ramp = Array.from({ length: RAMP }, (_, i) => {
    const t = i / (RAMP - 1);
    return dark ? oklch(0.42 + 0.48 * t, 0.14, 290 - 195 * t) : oklch(0.34 + 0.44 * t, 0.15, 295 - 215 * t);
  });
  document.documentElement.classList.toggle('dark', dark);
}

/* ---- colourings ---- */

/* { key, title, ramp, names, values (0: none), counts, slots: colour of each value, off: values that are hidden } */
const colourings = [];
let colouring = null;

/* Values that occur, the most frequent first, get the colours in turn. */
function addColouring(key, title, names, values) {
  const counts = new Uint32Array(names.length + 1);
  for (let i = 0; i < map.count; i++) counts[values[i]]++;
  const sorted = Array.from(counts.keys()).filter(v => v > 0 && counts[v] > 0)
    .sort((a, b) => counts[b] - counts[a] || a - b);
  const slots = new Uint8Array(names.length + 1);
  sorted.forEach((value, i) => { slots[value] = 1 + i % HUES.length; });
  const made = { key, title, names, values, counts, sorted, slots, ramp: false, off: new Set() };
  colourings.push(made);
  return made;
}

function addDateColouring() {
  let low = Infinity, high = 0;
  for (let i = 0; i < map.count; i++) {
    const date = map.dates[i];
    if (date) { low = Math.min(low, date); high = Math.max(high, date); }
  }
  if (high === 0) return;
  const made = { key: 'date', title: 'Date', values: map.dates, ramp: true, low, high, from: low, to: high };
  made.bins = new Uint32Array(RAMP);
  for (let i = 0; i < map.count; i++)
    if (map.dates[i]) made.bins[rampStep(made, map.dates[i])]++;
  colourings.push(made);
}

const rampStep = (by, value) =>
  by.high > by.low ? Math.floor((value - by.low) / (by.high - by.low) * (RAMP - 1) + 0.5) : 0;

/* One colour for all where the collection has no property at all. */
function addPlainColouring() {
  addColouring('plain', 'One colour', ['Images'], new Uint8Array(map.count).fill(1));
}

/* Number of the colour of each place: 0 grey, else into the palette or the ramp. */
function colourNumbers(by) {
  const numbers = new Uint8Array(map.count);
  if (by.ramp)
    for (let i = 0; i < map.count; i++) numbers[i] = by.values[i] ? 1 + rampStep(by, by.values[i]) : 0;
  else
    for (let i = 0; i < map.count; i++) numbers[i] = by.slots[by.values[i]];
  return numbers;
}

/* Whether the legend leaves the place on the map. */
function isShown(by, place) {
  const value = by.values[place];
  return by.ramp ? !value || (value >= by.from && value <= by.to) : !by.off.has(value);
}

const hasHidden = by => by.ramp ? by.from > by.low || by.to < by.high : by.off.size > 0;

function colourOf(by, place) {
  const value = by.values[place];
  if (by.ramp) return value ? theme.ramp[rampStep(by, value)] : theme.grey;
  return by.slots[value] ? theme.palette[by.slots[value] - 1] : theme.grey;
}

/* The value in words, '' where there is none. */
function valueText(by, place) {
  const value = by.values[place];
  if (!value) return '';
  return by.ramp ? dateText(timeOf(place)) : clean(by.names[value - 1]);
}
