# SPDX-License-Identifier: Apache-2.0
"""Colour histograms of real photos, resampled to any number of rows, for the benchmarks of exact search.

Each row is the 16x16x16 histogram of a picture made from the pixels of real photos (by default those of the test data): a random
part of one photo (40 to 100 % of its area), or in three of ten cases of two photos side by side, under a random tone
curve: a gamma per channel (log-normal, deviation 0.25), a gain shared by the channels (0.15) and one per channel (0.06). A curve
moves most pixels by a bin or more, so that rows made from the same photo are no duplicates of each other. How near the neighbours are is
checked against the photos themselves: of `statistics()` the line for the made rows must not show nearer neighbours than the one for
the photos at the same number of rows. The queries are photos that no row was made from, as they are.
"""

import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np

BINS = 4096
SIDE = 256  # the shorter side that a scan keeps
SEED = 7
CHUNK = 4096


def find_photos(folder):
    """Photos below a folder, sorted."""
    found = []
    for where, _, names in os.walk(folder):
        found += [os.path.join(where, name) for name in names if name.lower().endswith((".jpg", ".jpeg", ".png"))]
    return sorted(found)


def load(path):
    """Pixels as a scan decodes them, about: RGB, shorter side at most SIDE."""
    from PIL import Image
    image = Image.open(path).convert("RGB")
    scale = SIDE / min(image.size)
    if scale < 1:
        image = image.resize([max(1, round(side * scale)) for side in image.size], Image.BILINEAR)
    return np.asarray(image)


def part(rng, pixels):
    """A random part of a picture."""
    height, width = pixels.shape[:2]
    share = np.sqrt(rng.uniform(0.4, 1.0))
    stretch = np.exp(rng.normal(0, 0.1))
    h, w = (max(1, min(side, int(side * share * f))) for side, f in ((height, stretch), (width, 1 / stretch)))
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    return pixels[top:top + h, left:left + w].reshape(-1, 3)


def curves(rng):
    """A table per channel: value -> share of the bin's number."""
    gamma = np.exp(rng.normal(0, 0.25, 3))
    gain = np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.06, 3))
    values = np.arange(256) / 255
    return [((np.clip(gain[c] * values ** gamma[c], 0, 1) * 255).astype(np.int64) >> 4) << (8 - 4 * c) for c in range(3)]


def make(rng, photos):
    """One picture's histogram, sparse."""
    counts = np.zeros(BINS, np.int64)
    for _ in range(2 if rng.random() < 0.3 else 1):
        pixels, tables = part(rng, photos[rng.integers(len(photos))]), curves(rng)
        counts += np.bincount(tables[0][pixels[:, 0]] + tables[1][pixels[:, 1]] + tables[2][pixels[:, 2]], minlength=BINS)
    bins = np.flatnonzero(counts)
    return bins.astype(np.uint16), counts[bins].astype(np.uint32)


_photos = None


def _start(paths):
    global _photos
    _photos = [load(path) for path in paths]


def _chunk(job):
    chunk, count = job
    rng = np.random.default_rng((SEED, chunk))
    rows = [make(rng, _photos) for _ in range(count)]
    return ([len(bins) for bins, _ in rows], np.concatenate([bins for bins, _ in rows]),
            np.concatenate([counts for _, counts in rows]))


def histogram(pixels):
    """Dense counts of a picture as it is."""
    flat = pixels.reshape(-1, 3).astype(np.int64) >> 4
    return np.bincount(flat[:, 0] << 8 | flat[:, 1] << 4 | flat[:, 2], minlength=BINS).astype(np.uint32)


def resampled(folder, count, query_count=100, workers=2, target=None):
    """offsets, lengths, bins, counts of `count` rows, and dense counts of the queries; kept in the folder `target`."""
    names = ("offsets", "lengths", "bins", "counts", "queries")
    files = target and [os.path.join(target, "%s-%d-%d.npy" % (name, count, query_count)) for name in names]
    if files and all(os.path.exists(file) for file in files):
        return [np.load(file, mmap_mode="r") for file in files]
    paths = find_photos(folder)
    order = np.random.default_rng(SEED).permutation(len(paths))
    queries = np.stack([histogram(load(paths[i])) for i in order[:query_count]])
    jobs = [(chunk, min(CHUNK, count - start)) for chunk, start in enumerate(range(0, count, CHUNK))]
    with ProcessPoolExecutor(workers, initializer=_start, initargs=([paths[i] for i in order[query_count:]],)) as pool:
        parts = list(pool.map(_chunk, jobs))
    lengths = np.concatenate([np.asarray(p[0], np.uint32) for p in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths[:-1], dtype=np.uint64)]).astype(np.uint64)
    made = [offsets, lengths, np.concatenate([p[1] for p in parts]), np.concatenate([p[2] for p in parts]), queries]
    if files:
        os.makedirs(target, exist_ok=True)
        for file, array in zip(files, made):
            np.save(file, array)
    return made


def dense(offsets, lengths, bins, counts, rows, dtype=np.float32):
    """Some rows, each divided by its sum."""
    out = np.zeros((len(rows), BINS), dtype)
    for i, row in enumerate(rows):
        start = int(offsets[row])
        values = counts[start:start + int(lengths[row])]
        out[i, bins[start:start + len(values)]] = values / values.sum()
    return out


def statistics(folder, data, sizes=(250, 500, 1000, 1800)):
    """Median over the queries of the intersection with the tenth nearest of n rows: photos, and made rows."""
    offsets, lengths, bins, counts, queries = data
    paths = find_photos(folder)
    order = np.random.default_rng(SEED).permutation(len(paths))
    photos = np.stack([histogram(load(paths[i])) for i in order[len(queries):]]).astype(np.float32)
    photos /= photos.sum(1, keepdims=True)
    rng = np.random.default_rng(1)
    made = dense(offsets, lengths, bins, counts, rng.permutation(len(lengths))[:max(sizes)])
    lines = {}
    for name, rows in (("photos", photos), ("made", made)):
        table = np.stack([np.minimum(q / q.sum(), rows).sum(1) for q in queries.astype(np.float32)])
        lines[name] = {n: float(np.median([np.sort(row[rng.permutation(len(rows))[:n]])[-10] for row in table])) for n in sizes}
        lines[name]["entries"] = float(np.mean(np.count_nonzero(rows, axis=1)))
    return lines
