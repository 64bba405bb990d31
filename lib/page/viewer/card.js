/* SPDX-License-Identifier: Apache-2.0 */
/* Images under the pointer and images kept: pictures, paths, neighbours. */

const hoverAt = { x: 0, y: 0, timer: 0 };

/* The file's own picture, once it is read; `missing` is called if it cannot be. */
function fileImage(place, missing) {
  const image = el('img', { alt: '', decoding: 'async' });
  image.onerror = () => { image.remove(); missing(); };
  image.src = linkOf(place);
  return image;
}

/* Put the small picture into a box, or the file's own, or words. `large`: the file's own over the small one. */
function fillBox(box, place, large) {
  const small = smallPicture(place);
  if (small) {
    const canvas = el('canvas', { width: small.width, height: small.height });
    canvas.getContext('2d').drawImage(small.image, small.x, small.y, small.width, small.height, 0, 0, small.width, small.height);
    box.append(canvas);
  }
  if (names.ready && (large || !small))
    box.append(fileImage(place, () => {
      if (!small) box.append(el('span', {}, el('bdi', {}, fileText(place))));
    }));
  else if (!small)
    box.append(el('span', {}, 'no picture'));
}

/* ---- under the pointer ---- */

function setHover(place) {
  if (place === view.hover) return;
  view.hover = place;
  $('stage').classList.toggle('pointing', place >= 0 && !view.lasso);
  clearTimeout(hoverAt.timer);
  $('hover').hidden = true;
  if (place >= 0) hoverAt.timer = setTimeout(showHover, 60);
  requestDraw();
}

function showHover() {
  const place = view.hover, card = $('hover');
  if (place < 0 || place === view.kept) return;
  const box = el('div', { className: 'box' }), swatch = el('span', { className: 'swatch' }), value = valueText(colouring, place);
  swatch.style.background = swatch.style.borderColor = css(colourOf(colouring, place));
  fillBox(box, place, false);
  card.replaceChildren(box, el('figcaption', {},
    el('div', {}, el('bdi', {}, fileText(place) || pathText(place))),
    value && colouring.key !== 'plain' ? el('div', { className: 'tag' }, swatch, el('bdi', {}, value)) : null));
  card.hidden = false;
  const at = [0, 0, 0];
  toWindow(place, at);
  const width = card.offsetWidth, height = card.offsetHeight;
  const x = at[0] + 18 + width > camera.width ? at[0] - 18 - width : at[0] + 18;
  const y = Math.min(Math.max(8, at[1] - height / 2), camera.height - height - 8);
  card.style.left = `${x}px`;
  card.style.top = `${y}px`;
}

/* ---- kept ---- */

function keep(place) {
  view.kept = place;
  view.trail = view.trail.filter(p => p !== place);
  view.trail.push(place);
  setHover(-1);
  showKept();
  rememberView();
  requestDraw();
}

function letGo() {
  view.kept = -1;
  view.selected = [];
  $('side').hidden = true;
  insets.right = 0;
  rememberView();
  requestDraw();
}

function openSide(...children) {
  const side = $('side');
  side.replaceChildren(el('button', { className: 'close', title: 'Close (Esc)', 'aria-label': 'Close', onclick: letGo }, '\u00d7'), ...children);
  side.hidden = false;
  side.scrollTop = 0;
  insets.right = side.offsetWidth + 12;
}

function factList(place) {
  const list = el('dl', {}), fact = (name, text) => list.append(el('dt', {}, name), el('dd', {}, el('bdi', {}, text)));
  for (const by of colourings) {
    if (by.key === 'plain' || by.key === 'folder') continue;
    fact(by.title, valueText(by, place) || 'none');
  }
  return list;
}

function neighbourStrip(place) {
  const near = neighboursOf(place), strip = el('div', { className: 'strip' });
  for (const other of near) {
    const button = el('button', {
      title: `${pathText(other)}`, 'aria-label': `Neighbour ${fileText(other)}`,
      onclick: () => { keep(other); goTo(other, false); },
      onpointerenter: () => { view.hover = other; requestDraw(); },
      onpointerleave: () => { view.hover = -1; requestDraw(); },
    });
    button.style.borderColor = css(colourOf(colouring, other));
    fillBox(button, other, false);
    strip.append(button);
  }
  return near.length ? [el('h2', {}, 'Most similar in the collection'), strip] : [];
}

function showKept() {
  const place = view.kept, big = el('div', { className: 'big' }), link = linkOf(place);
  fillBox(big, place, true);
  openSide(
    el('h2', {}, el('bdi', {}, fileText(place) || pathText(place))),
    big,
    names.ready ? el('p', { className: 'path', title: 'Path' }, el('bdi', {}, pathText(place))) : null,
    factList(place),
    el('div', { className: 'actions' },
      names.ready ? el('a', { className: 'button', href: link, target: '_blank', rel: 'noopener noreferrer' }, 'Open file') : null,
      names.ready ? el('button', { onclick: event => copyText(pathText(place), event.target) }, 'Copy path') : null,
      el('button', { onclick: () => goTo(place) }, 'Go there')),
    ...neighbourStrip(place));
}

/* ] goes to the nearest neighbour not seen yet on this walk, [ goes back. */
function walk(forward) {
  if (view.kept < 0) return;
  if (!forward) {
    view.trail.pop();
    const last = view.trail.pop();
    if (last !== undefined) { keep(last); goTo(last, false); }
    return;
  }
  const next = neighboursOf(view.kept).find(place => !view.trail.includes(place));
  if (next !== undefined) { keep(next); goTo(next, false); }
}

/* ---- out of the page ---- */

async function copyText(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch (error) {
    /* Without the permission: by way of a field that is selected. */
    const field = el('textarea', { value: text });
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = before; }, 1200);
}

function saveBytes(parts, name) {
  const url = URL.createObjectURL(new Blob(parts, { type: 'text/plain' }));
  const link = el('a', { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
