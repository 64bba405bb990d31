/* SPDX-License-Identifier: Apache-2.0 */
/* The panel: title, search, colouring and legend. */

const ENTRIES_MAX = 300; /* lines of a legend or list that are made at once */

const number = value => value.toLocaleString('en-US');

function showTitle() {
  const title = meta.title ? clean(meta.title) : 'Map of images';
  document.title = title;
  $('title').textContent = title;
  $('about').textContent = `${number(map.count)} image${map.count === 1 ? '' : 's'}${meta.layout ? ' \u00b7 ' + clean(meta.layout) : ''}`;
  $('made').textContent = `Made by libimgsim ${meta.version}. This file works alone: it asks nothing of any network.`;
}

/* ---- colouring ---- */

function fillColourings() {
  const select = $('by');
  select.replaceChildren(...colourings.map(by => el('option', { value: by.key }, by.title)));
  select.value = colouring.key;
}

function setColouring(by) {
  colouring = by;
  $('by').value = by.key;
  showLegend();
  updateLook();
  rememberView();
}

function nextColouring() {
  setColouring(colourings[(colourings.indexOf(colouring) + 1) % colourings.length]);
}

/* ---- legend ---- */

function legendChanged() {
  redrawPoints();
  pictures.deepAt = -1;
  showCounts();
}

function legendEntry(by, value) {
  const colour = css(value && by.slots[value] ? theme.palette[by.slots[value] - 1] : theme.grey);
  const swatch = el('span', { className: 'swatch' });
  swatch.style.background = swatch.style.borderColor = colour;
  const text = value ? clean(by.names[value - 1]) : 'none';
  const item = el('li', { className: by.off.has(value) ? 'off' : '' },
    el('button', {
      className: 'entry', title: `${text}: hide or show`, 'aria-pressed': String(!by.off.has(value)),
      onclick: () => { by.off.has(value) ? by.off.delete(value) : by.off.add(value); showLegend(); legendChanged(); },
    }, swatch, el('bdi', { className: 'name' }, text), el('span', { className: 'count' }, number(by.counts[value]))),
    el('button', {
      className: 'only', title: `only ${text}; again for all`,
      onclick: () => { showOnly(by, value); showLegend(); legendChanged(); },
    }, 'only'));
  return item;
}

function showOnly(by, value) {
  const others = [0, ...by.sorted].filter(v => v !== value);
  const alone = !by.off.has(value) && others.every(v => by.off.has(v));
  by.off = new Set(alone ? [] : others);
}

function showLegend() {
  const legend = $('legend'), by = colouring, scrolled = legend.scrollTop;
  if (by.ramp) {
    showDateLegend(legend, by);
    return;
  }
  const values = by.sorted.slice(0, ENTRIES_MAX);
  if (by.counts[0] > 0) values.push(0);
  const list = el('ul', {}, ...values.map(value => legendEntry(by, value)));
  const rest = by.sorted.length - ENTRIES_MAX;
  legend.replaceChildren(list);
  if (by.off.size > 0)
    legend.prepend(el('button', { onclick: () => { by.off.clear(); showLegend(); legendChanged(); } }, 'Show all'));
  if (rest > 0) legend.append(el('p', { className: 'faint' }, `and ${number(rest)} smaller ones; search finds them by name`));
  legend.scrollTop = scrolled;
}

/* How many images each stretch of time has, and two sliders to leave some out. */
function showDateLegend(legend, by) {
  const time = value => dateText((meta.dates.start + (value - 1) * meta.dates.unit) * 1000);
  const chart = el('canvas', { width: 256, height: 64 }), from = el('span', {}), to = el('span', {});
  const refresh = () => {
    const pen = chart.getContext('2d'), most = Math.max(...by.bins);
    pen.clearRect(0, 0, 256, 64);
    by.bins.forEach((count, i) => {
      const value = by.low + i / (RAMP - 1) * (by.high - by.low);
      pen.globalAlpha = value < by.from - 1e-9 || value > by.to + 1e-9 ? 0.2 : 1;
      pen.fillStyle = css(theme.ramp[i]);
      const height = count ? Math.max(2, 60 * Math.sqrt(count / most)) : 0;
      pen.fillRect(i * 4, 64 - height, 4, height);
    });
    from.textContent = time(by.from);
    to.textContent = time(by.to);
  };
  const slider = (key, label) => el('input', {
    type: 'range', min: by.low, max: by.high, value: by[key], 'aria-label': label,
    oninput: event => {
      by[key] = Number(event.target.value);
      if (by.from > by.to) by[key === 'from' ? 'to' : 'from'] = by[key];
      refresh();
      legendChanged();
    },
  });
  legend.replaceChildren(chart, el('div', { className: 'row' }, from, to), slider('from', 'Earliest date shown'), slider('to', 'Latest date shown'));
  refresh();
}

/* ---- search ---- */

const SEARCH_SHOWN = 60;

function listPlaces(list, places, most) {
  list.replaceChildren(...places.slice(0, most).map(place => el('li', {},
    el('button', { title: pathText(place), onclick: () => { keep(place); goTo(place); } }, el('bdi', {}, shortText(place) || pathText(place))))));
}

let searchTimer = 0;

function onSearch() {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(() => {
    const marks = search($('search').value);
    view.focus = marks;
    view.selected = [];
    const places = [];
    if (marks) for (let i = 0; i < map.count; i++) if (marks[i]) places.push(i);
    view.found = places;
    $('found').textContent = marks ? (places.length ? `${number(places.length)} found \u00b7 Enter goes there` : 'nothing found') : '';
    listPlaces($('hits'), places, SEARCH_SHOWN);
    pictures.deepAt = -1;
    updateLook();
  }, map.count > 50000 ? 160 : 60);
}

/* Images that the legend leaves out are said, not only missing. */
function showCounts() {
  const by = colouring;
  if (!hasHidden(by)) { showTitle(); return; }
  let shown = 0;
  for (let i = 0; i < map.count; i++) if (isShown(by, i)) shown++;
  $('about').textContent = `${number(shown)} of ${number(map.count)} images shown`;
}

/* ---- quality ---- */

function showQuality() {
  const dialog = $('quality');
  const rows = meta.figures.map(({ name, value, note }) => {
    const share = value !== null && value >= 0 && value <= 1;
    const bar = el('i', {});
    bar.style.width = share ? `${(value * 100).toFixed(1)}%` : '0';
    return el('div', { className: 'figure' },
      el('div', { className: 'row' }, el('span', {}, clean(name)), el('b', {}, value === null ? '\u2013' : String(Number(value.toPrecision(4))))),
      share ? el('div', { className: 'bar' }, bar) : null,
      note ? el('p', { className: 'note' }, clean(note)) : null);
  });
  dialog.replaceChildren(el('h2', {}, 'How far to trust this map'),
    el('p', { className: 'note' }, 'A flat picture of many dimensions always tears something apart. Click an image to see lines to its true neighbours: long lines are such tears.'),
    ...(rows.length ? rows : [el('p', { className: 'figure' }, 'No figures were computed for this map.')]),
    keptFigure(),
    el('form', { method: 'dialog' }, el('button', {}, 'Close')));
  dialog.showModal();
}

/*
 * Of an even sample of images: how many of the stored true neighbours are among the nearest on the flat map, twice as many of
 * these. Counted here, in the page, from what it draws.
 */
function keptFigure() {
  if (!map.neighbours || !map.flat) return null;
  const sample = Math.min(map.count, 1000), wanted = 2 * meta.neighbours;
  let kept = 0, all = 0;
  for (let i = 0; i < sample; i++) {
    const place = gpu.order[i], near = new Set(nearestOnMap(place, wanted)), truly = neighboursOf(place);
    all += truly.length;
    kept += truly.filter(other => near.has(other)).length;
  }
  const share = all ? kept / all : 0, bar = el('i', {});
  bar.style.width = `${(share * 100).toFixed(1)}%`;
  return el('div', { className: 'figure' },
    el('div', { className: 'row' }, el('span', {}, 'neighbours found beside each other'), el('b', {}, share.toFixed(3))),
    el('div', { className: 'bar' }, bar),
    el('p', { className: 'note' }, `Share of the ${meta.neighbours} nearest images in the collection that are among the ${wanted} nearest on this flat map; counted by the page over ${number(sample)} images.`));
}
