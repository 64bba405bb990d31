# SPDX-License-Identifier: Apache-2.0
"""Lifelike rows: drawn vectors that are as hard to search as embeddings of photos, in any number, from a seed.

usage: tests/bench/lifelike.py OUT.npy [--rows 444668] [--dimension 2048] [--queries 0] [--seed 1]
       tests/bench/lifelike.py --check FILE.npy [--queries 200]

What is met are figures of the MobileNetV2 embeddings of the 60,000 CIFAR-10 images (1280 values, unit length, 30,000 of them
compared): the share of variance left after the first m principal axes, the mean squared distance to the 10th neighbour and to any
other row, and the share of rows that the first m axes cannot rule out as one of the ten nearest (`--check` prints all of them):

    m           1     2     4     8    16    32    64   128   256   512
    left     .889  .825  .756  .661  .562  .455  .343  .235  .142  .068         10th neighbour .34, any other .69
    rows not ruled out                           .41   .20  .064  .014

A row is m + z, brought to length 1, in a rotated system. m is fixed and as long as the embeddings' mean. z has the variances of the
table along its axes; part of it is the offset of one of 1,000 groups of unequal size (the classes), the rest is normal noise of a
length of its own, which makes some rows typical, with near neighbours, and some rare, without. With more rows drawn, neighbours come
closer; SPREAD is set so that the 10th of 444,668 is where the 10th of 30,000 embeddings is, so that the rows are not easier: .340,
any other .688, not ruled out .45, .22, .067 and .010 (of 59,800 embeddings: .325, .694; .37, .17, .050 and .0098).

Rows are drawn in blocks of 8,192, each from the seed and its number, so memory is bounded, and the first rows of a large file are
those of a small one. `--queries` writes that many further rows of the same kind to OUT.queries.npy, OUT.groups.npy gets the groups.
"""

import argparse
import os
import sys
import time

import numpy as np

BLOCK = 8192
QUERY_BLOCK = 1 << 20  # block numbers from here on are queries
AXES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
LEFT = (1.0, 0.889, 0.825, 0.756, 0.661, 0.562, 0.455, 0.343, 0.235, 0.142, 0.068)
VARIANCE = 0.355  # of all axes before rows are brought to length 1
GROUPS = 1000
GROUP_SHARE = (0.2, 0.05)  # of the variance that is between groups: the first 32 axes, the others
SPREAD = 0.26  # of the logarithm of the noise's length on the first 128 axes
REST = 0.5  # power of that length on the others: near rows are near on the first axes above all


def variances(dimension):
    """Variance of each axis: LEFT between its points as a power of the axis' number, the rest falling faster."""
    out = np.zeros(dimension)
    bounds, left = list(AXES) + [dimension], list(LEFT) + [0.0]
    for start, end, before, after in zip(bounds, bounds[1:], left, left[1:]):
        if start >= dimension:
            break
        steepness = 2.5 if end > 512 else 1.1
        weights = np.arange(start + 1, end + 1, dtype=np.float64) ** -steepness
        out[start:min(end, dimension)] = ((before - after) * weights / weights.sum())[:dimension - start]
    return out / out.sum() * VARIANCE


class Source:
    """Blocks of rows."""

    def __init__(self, dimension, seed=1):
        self.dimension, self.seed = dimension, seed
        rng = np.random.default_rng([seed, 0])
        scale = variances(dimension)
        self.share = np.where(np.arange(dimension) < 32, *GROUP_SHARE).astype(np.float32)
        self.noise = np.sqrt(scale * (1 - self.share)).astype(np.float32)
        self.centres = (rng.standard_normal((GROUPS, dimension)) * np.sqrt(scale * self.share)).astype(np.float32)
        sizes = (np.arange(GROUPS) + 10.0) ** -0.7
        self.sizes = sizes / sizes.sum()
        # One rotation for all: orthogonal up to rounding. The mean has values of one sign, as averages of activations have.
        self.rotation = np.linalg.qr(rng.standard_normal((dimension, dimension), dtype=np.float32))[0].T.copy()
        mean = np.abs(rng.standard_normal(dimension)).astype(np.float32)
        self.mean = mean * np.float32(np.sqrt(1 - VARIANCE) / np.linalg.norm(mean))

    def block(self, number, count=BLOCK):
        """The first `count` rows of a block, and their groups."""
        rng = np.random.default_rng([self.seed, 1 + number])
        groups = rng.choice(GROUPS, BLOCK, p=self.sizes)[:count]
        length = np.exp(SPREAD * rng.standard_normal(BLOCK)[:count] - SPREAD ** 2).astype(np.float32)
        rows = rng.standard_normal((count, self.dimension), dtype=np.float32)
        rows *= self.noise
        rows[:, :128] *= length[:, None]
        rows[:, 128:] *= length[:, None] ** np.float32(REST)
        rows += self.centres[groups]
        rows = rows @ self.rotation
        rows += self.mean
        rows /= np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64)).astype(np.float32)[:, None]
        return rows, groups

    def blocks(self, first, count):
        for start in range(0, count, BLOCK):
            yield (start,) + self.block(first + start // BLOCK, min(BLOCK, count - start))


def write(path, row_count, dimension, query_count=0, seed=1, report=None):
    """Rows to `path`, queries and groups beside it; replaced by rename, so a file is complete."""
    source = Source(dimension, seed)
    stem = path[:-4] if path.endswith(".npy") else path
    groups = np.empty(row_count, np.int32)
    for target, first, count in ((stem + ".queries.npy", QUERY_BLOCK, query_count), (stem + ".npy", 0, row_count)):
        if count == 0:
            continue
        out = np.lib.format.open_memmap(target + ".tmp", "w+", np.float32, (count, dimension))
        for start, rows, labels in source.blocks(first, count):
            out[start:start + len(rows)] = rows
            if first == 0:
                groups[start:start + len(rows)] = labels
            if report is not None:
                report(start + len(rows), count)
        out.flush()
        del out
        os.replace(target + ".tmp", target)
    np.save(stem + ".groups.npy", groups)


def check(rows, query_count, neighbours=10):
    """The figures of the table above; queries are the last rows."""
    queries, rows = np.asarray(rows[-query_count:], np.float32), rows[:-query_count]
    sample = np.asarray(rows[::max(1, len(rows) // 20000)], np.float32)
    mean = sample.mean(0)
    values, axes = np.linalg.eigh(np.cov((sample - mean).T.astype(np.float64)))
    values, axes = values[::-1], axes[:, ::-1].astype(np.float32)
    energy = {m: float(values[m:].sum() / values.sum()) for m in AXES[1:]}

    cuts = (32, 64, 128, 256)
    near = (queries - mean) @ axes
    distances = np.empty((len(queries), len(rows)), np.float32)
    bounds = {m: np.empty_like(distances) for m in cuts}
    for start in range(0, len(rows), BLOCK):
        far = (np.asarray(rows[start:start + BLOCK], np.float32) - mean) @ axes
        part = slice(start, start + len(far))
        distances[:, part] = squared(near, far)
        for m in cuts:
            rest = [np.linalg.norm(side[:, m:], axis=1) for side in (near, far)]
            bounds[m][:, part] = squared(near[:, :m], far[:, :m]) + (rest[0][:, None] - rest[1][None]) ** 2
    tenth = np.partition(distances, neighbours - 1, 1)[:, neighbours - 1]
    left = {m: float((bounds[m] <= tenth[:, None]).mean()) for m in cuts}
    return {"rows": len(rows), "variance left": energy, "tenth neighbour": float(tenth.mean()),
            "any other": float(distances.mean(dtype=np.float64)), "rows not ruled out": left}


def squared(a, b):
    return (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T


def main():
    parser = argparse.ArgumentParser(prog="lifelike.py", description=__doc__.split("\n")[0])
    parser.add_argument("path", help="file to write, or to check")
    parser.add_argument("--check", action="store_true", help="print the figures of a file")
    parser.add_argument("--rows", type=int, default=444668)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.check:
        for name, value in check(np.load(arguments.path, mmap_mode="r"), arguments.queries or 200).items():
            print("%-20s %s" % (name, {m: round(v, 4) for m, v in value.items()} if isinstance(value, dict) else
                                round(value, 4)))
        return
    start = time.perf_counter()
    write(arguments.path, arguments.rows, arguments.dimension, arguments.queries or 0, arguments.seed,
          lambda done, count: print("\r%d of %d rows" % (done, count), end="", file=sys.stderr))
    print("\r%d x %d in %.0f s" % (arguments.rows, arguments.dimension, time.perf_counter() - start), file=sys.stderr)


if __name__ == "__main__":
    main()
