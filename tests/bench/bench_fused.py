# SPDX-License-Identifier: Apache-2.0
"""Exact top k of a weighted sum over embedding, colour and hash: by bounds, by comparing every image, and by NumPy.

usage: ./run bench fused --catalog FOLDER.imgsim [--queries 30] [--threads 2] [--no-numpy] [--json FILE]
       ./run bench fused --make FOLDER --vectors FILE.npy [--images 444668] [--photos FOLDER] [--histograms FOLDER]

The catalog has embedding, color and hash (imgsim scan). --make writes one, with its images of one pixel, into FOLDER: the first rows
of FILE.npy (lifelike.py), histograms resampled from photos (histogram_data.py, kept in --histograms) and hashes of 64 bits, half of them
drawn, half copies of 20,000 with up to six bits flipped.

Compared, taking turns, with the same threads:
- plain: every row of every channel by the library's own kernels in single precision, sparse histograms, k best (fused_scan.c)
- all: the library's own path for images joined as "best", which with one image means the same, in double precision
- numpy: unit rows, and of the histograms, divided by their sums, a row per bin, so that only bins of the query are read

Ids and scores of `all` must be equal, those of the others, in single precision, are counted. Medians of the queries after the tenth, when all
planes are there; the first searches apart. `alone` are searches by bounds one after another, without the others between them. --filter N lets one image in N pass, by a bit set.
"""

import argparse
import ctypes
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import histogram_data
import imgsim

HERE = os.path.dirname(os.path.abspath(__file__))
K = 10
SHARES = {"embedding": 0.7, "color": 0.2, "hash": 0.1}
WARM = 10
PAUSE = 0.05
BATCH = 8192


# ---- a catalog of made rows ----

def make_hashes(count):
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 256, (count, 8), dtype=np.uint8)
    likes = rng.integers(0, 20000, count // 2) % count
    hashes[count - count // 2:] = hashes[likes]
    for _ in range(6):
        rows = count - count // 2 + np.flatnonzero(rng.random(count // 2) < 0.5)
        hashes[rows, rng.integers(0, 8, len(rows))] ^= (1 << rng.integers(0, 8, len(rows))).astype(np.uint8)
    return hashes


def write_pixels(folder, count):
    from bench_rescan import write_tree
    os.makedirs(folder)
    write_tree(folder, count, 1000)


def replace_histograms(path, arrays):
    """Put other histograms in the place of the scanned ones, as docs/file-formats.md has them."""
    with sqlite3.connect(os.path.join(path, "catalog.db")) as db:
        stem, = db.execute("SELECT stem FROM features WHERE name = 'color'").fetchone()
        db.execute("UPDATE features SET entries = ? WHERE name = 'color'", (len(arrays["bins"]),))
    db.close()
    for name, array in arrays.items():
        text = "{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }" % (array.dtype.str, len(array))
        with open(os.path.join(path, "features", "%s.%s.npy" % (stem, name)), "wb") as file:
            file.write(b"\x93NUMPY\x01\x00" + (4086).to_bytes(2, "little") + text.ljust(4085).encode() + b"\n")
            file.write(np.ascontiguousarray(array).tobytes())


def make(options):
    vectors = np.load(options.vectors, mmap_mode="r")
    count = min(options.images, len(vectors))
    if not os.path.exists(os.path.join(options.make, "images")):
        write_pixels(os.path.join(options.make, "images"), count)
    offsets, lengths, bins, counts, _ = histogram_data.resampled(options.photos, count, target=options.histograms)
    hashes = make_hashes(count)
    path = os.path.join(options.make, "catalog.imgsim")
    with imgsim.Catalog(path, create=True) as catalog:
        catalog.scan([os.path.join(options.make, "images")], thumb_side=0, isolation="none")
        catalog.remove_features("hash")
        if len(catalog) != count:
            sys.exit("bench fused: %d images in the catalog instead of %d" % (len(catalog), count))
        for start in range(0, count, BATCH):
            rows = np.arange(start, min(start + BATCH, count))
            catalog.put_features("embedding", np.array(vectors[rows]), rows, fingerprint="made")
            catalog.put_features("hash", hashes[rows], rows, metric="hamming", row_type=3, fingerprint="made")
    replace_histograms(path, {"offsets": offsets, "lengths": lengths, "bins": bins, "counts": counts})
    return path


# ---- the same sum otherwise ----

class Rows(ctypes.Structure):
    _fields_ = [("count", ctypes.c_uint64), ("dimension", ctypes.c_uint32), ("hash_size", ctypes.c_uint32)] + [
        (name, ctypes.c_void_p)
        for name in ("vectors", "norms", "offsets", "lengths", "bins", "counts", "scales", "hashes")]


class Question(ctypes.Structure):
    _fields_ = [("vector", ctypes.c_void_p), ("histogram", ctypes.c_void_p), ("hash", ctypes.c_void_p),
                ("shares", ctypes.c_double * 3), ("sum", ctypes.c_double), ("exclude", ctypes.c_int64),
                ("chi_square", ctypes.c_int32), ("k", ctypes.c_int32)]


class Data:
    """The rows of a catalog as arrays."""

    def __init__(self, folder, catalog):
        def column(name):
            return np.load(os.path.join(folder, "features", "color.%s.npy" % name), mmap_mode="r")
        self.vectors = catalog.features("embedding")
        count = len(self.vectors)
        self.norms = np.concatenate([np.linalg.norm(self.vectors[start:start + BATCH], axis=1)
                                     for start in range(0, count, BATCH)]).astype(np.float32)
        self.offsets, self.lengths, self.bins, self.counts = (
            np.array(column(name)) for name in ("offsets", "lengths", "bins", "counts"))
        total = np.add.reduceat(self.counts.astype(np.int64), self.offsets[:count].astype(np.int64))
        self.scales = (1 / total).astype(np.float32)
        self.hashes = np.ascontiguousarray(catalog.features("hash"))

    def histogram(self, image):
        part = slice(int(self.offsets[image]), int(self.offsets[image]) + int(self.lengths[image]))
        row = np.zeros(histogram_data.BINS, np.float32)
        row[self.bins[part]] = self.counts[part] / self.counts[part].sum()
        return row


class Plain:
    """By the library's kernels, every row."""

    def __init__(self, data, threads):
        build = os.environ["IMGSIM_BUILD_DIR"]
        archives = [os.path.join(build, "libimgsim_%s.a" % name) for name in ("core", "simd", "core")]
        work = tempfile.mkdtemp()
        root = os.path.join(HERE, "..", "..")
        name = os.path.join(work, "fused_scan.so")
        subprocess.run(["cc", "-O3", "-std=c11", "-D_GNU_SOURCE", "-fPIC", "-shared", "-I" + os.path.join(root, "include"),
                        "-I" + os.path.join(root, "lib"), os.path.join(HERE, "fused_scan.c"), "-o", name, *archives,
                        "-lxxhash", "-lpthread", "-lm"], check=True)
        self.library = ctypes.CDLL(name)
        self.library.fused_pool.restype = ctypes.c_void_p
        self.pool = ctypes.c_void_p(self.library.fused_pool(threads))
        self.data = data
        self.rows = Rows(len(data.vectors), data.vectors.shape[1], data.hashes.shape[1])
        for name in ("vectors", "norms", "offsets", "lengths", "bins", "counts", "scales", "hashes"):
            setattr(self.rows, name, getattr(data, name).ctypes.data)

    def search(self, image, metric):
        data = self.data
        vector = np.array(data.vectors[image] / data.norms[image])
        row = data.histogram(image)
        if metric == "chi-square":
            row[row <= np.finfo(np.float64).eps] = 0
        question = Question(vector.ctypes.data, row.ctypes.data, data.hashes[image].ctypes.data,
                            (ctypes.c_double * 3)(*SHARES.values()), float(row.sum(dtype=np.float64)), image,
                            metric == "chi-square", K)
        ids = (ctypes.c_int64 * K)()
        found = self.library.fused_scan(self.pool, ctypes.byref(self.rows), ctypes.byref(question), ids)
        return ids[:found]


class Numpy:
    def __init__(self, data):
        self.data = data
        count = len(data.lengths)
        self.columns = np.zeros((histogram_data.BINS, count), np.float32)
        for start in range(0, count, BATCH):
            rows = np.arange(start, min(start + BATCH, count))
            lengths = data.lengths[rows].astype(np.int64)
            part = slice(int(data.offsets[rows[0]]), int(data.offsets[rows[-1]]) + int(lengths[-1]))
            which = np.repeat(rows, lengths)
            self.columns[data.bins[part], which] = data.counts[part] * data.scales[which]
        self.ones = np.array([bin(i).count("1") for i in range(65536)], dtype=np.uint8)
        self.hashes = data.hashes.view(np.uint64)

    def color(self, row, metric):
        used = np.flatnonzero(row > np.finfo(np.float64).eps)  # chi-square's rule for empty bins; others have no part in either
        sums = np.zeros(self.columns.shape[1], np.float32)
        room = np.empty_like(sums)
        for bin_number in used:
            if metric == "intersection":
                np.minimum(self.columns[bin_number], row[bin_number], out=room)
            else:
                np.subtract(self.columns[bin_number], row[bin_number], out=room)
                np.multiply(room, room, out=room)
                np.multiply(room, 1 / row[bin_number], out=room)
            sums += room
        return sums if metric == "intersection" else 1 / (1 + sums)

    def search(self, image, metric):
        data = self.data
        score = SHARES["embedding"] * np.clip(data.vectors @ data.vectors[image] / (data.norms * data.norms[image]), 0, 1)
        score += SHARES["color"] * self.color(data.histogram(image), metric)
        apart = self.ones[(self.hashes ^ self.hashes[image]).view(np.uint16)].sum(axis=1)
        score += SHARES["hash"] * (1 - apart / (self.hashes.shape[1] * 64))
        score[image] = -1
        best = np.argpartition(-score, K)[:K]
        return best[np.lexsort((best, -score[best]))].tolist()


# ---- measuring ----

def timed(call):
    time.sleep(PAUSE)  # OpenBLAS' threads go on spinning for a while after a product
    started = time.perf_counter()
    result = call()
    return (time.perf_counter() - started) * 1e3, result


def measure(catalog, peers, images, metric, options):
    times = {name: [] for name in ["bounds", *peers]}
    agree = {name: 0 for name in peers}
    for turn, image in enumerate(images.tolist()):
        def ours(combine="mean"):
            return catalog.search(image, K, by=SHARES, metric={"color": metric}, exact=True, threads=options.threads,
                                  combine=combine, filter=options.allowed)
        taken, found = timed(ours)
        times["bounds"].append(taken)
        if turn < WARM and turn > 0:  # planes are being made: the others need no such time
            continue
        found = [(hit.id, hit.score) for hit in found]
        for name, peer in peers.items():
            taken, other = timed(lambda: ours("best") if peer is None else peer.search(image, metric))
            times[name].append(taken)
            if peer is None and found != [(hit.id, hit.score) for hit in other]:
                sys.exit("bench fused: image %d: the answers differ" % image)
            ids = [hit.id for hit in other] if peer is None else other
            agree[name] += sum(hit[0] == id for hit, id in zip(found, ids))
    alone = []
    for image in images.tolist():
        started = time.perf_counter()
        catalog.search(image, K, by=SHARES, metric={"color": metric}, exact=True, threads=options.threads, filter=options.allowed)
        alone.append((time.perf_counter() - started) * 1e3)
    times["alone"] = alone
    result = {"first_ms": [round(taken, 2) for taken in times["bounds"][:WARM]]}
    ours = statistics.median(times["bounds"][WARM:])
    for name, taken in times.items():
        result[name] = statistics.median(taken[WARM if name in ("bounds", "alone") else 1:])
        print("%-13s %-7s %8.2f ms, %5.1f times bounds%s" % (
            metric, name, result[name], result[name] / ours,
            "" if name in ("bounds", "alone") else ", same ids at the same places %.1f %%" % (
                100 * agree[name] / K / len(taken))), flush=True)
    print("%-13s first searches, ms: %s" % (metric, " ".join("%.1f" % taken for taken in result["first_ms"])), flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(usage="\n".join(__doc__.splitlines()[2:4]))
    parser.add_argument("--catalog")
    parser.add_argument("--make")
    parser.add_argument("--vectors")
    parser.add_argument("--images", type=int, default=444668)
    parser.add_argument("--photos", default=os.path.join(os.environ.get("IMGSIM_TEST_DATA", "../shared/data"), "images"))
    parser.add_argument("--histograms")
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-numpy", action="store_true")
    parser.add_argument("--metrics", default="intersection,chi-square")
    parser.add_argument("--filter", type=int, default=0)
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.queries <= WARM:
        parser.error("--queries must be more than %d" % WARM)
    if (options.make is None) == (options.catalog is None) or (options.make is not None and options.vectors is None):
        parser.error("one of --catalog, or --make with --vectors, is needed")
    if options.make is not None:
        print(make(options))
        return
    folder = options.catalog
    catalog = imgsim.Catalog(folder, read_only=True)
    data = Data(folder, catalog)
    count = len(data.vectors)
    options.allowed = None
    peers = {"all": None}
    if options.filter > 1:
        options.allowed = np.random.default_rng(2).integers(0, options.filter, count) == 0
    else:
        peers["plain"] = Plain(data, options.threads)
        if not options.no_numpy:
            peers["numpy"] = Numpy(data)
    images = np.random.default_rng(1).integers(0, count, options.queries)
    print("%d images x %d, top %d, %d threads%s" % (
        count, data.vectors.shape[1], K, options.threads, ", one in %d passes" % options.filter if options.filter else ""))
    result = {"images": count, "threads": options.threads, "filter": options.filter}
    for metric in options.metrics.split(","):
        result[metric] = measure(catalog, peers, images, metric, options)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
