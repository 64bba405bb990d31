# SPDX-License-Identifier: Apache-2.0
"""Exact top k of a weighted sum over embedding, colour and hash: by bounds, by ranking every image, and by NumPy.

usage: ./run bench fused --catalog FOLDER.imgsim [--queries 20] [--threads 2] [--json FILE]

The catalog has embedding, color and hash (imgsim scan). Ranking every image is the library's own path for images joined as "best", which with
one image means the same; ids and scores must be equal. NumPy keeps unit rows and hash bytes in memory, and histograms as the dense rows of
float32 divided by their sums, without columns empty in all; its scores are in single precision. The three take turns; medians of the queries
after the fifth, the first one apart.
"""

import argparse
import json
import statistics
import sys
import time

import numpy as np

import imgsim

K = 10
SHARES = {"embedding": 0.7, "color": 0.2, "hash": 0.1}


class Plain:
    """The same sum by NumPy."""

    def __init__(self, catalog):
        self.embedding = np.array(catalog.features("embedding"))
        self.embedding /= np.linalg.norm(self.embedding, axis=1, keepdims=True)
        color = np.asarray(catalog.features("color"))
        used = np.flatnonzero(color.any(axis=0))
        self.color = color[:, used].astype(np.float32)
        self.color /= self.color.sum(axis=1, keepdims=True)
        self.hash = np.ascontiguousarray(catalog.features("hash")).view(np.uint64)
        self.ones = np.array([bin(i).count("1") for i in range(65536)], dtype=np.uint8)

    def color_similarity(self, row, metric):
        used = np.flatnonzero(row > np.finfo(np.float64).eps)  # chi-square's rule for empty bins; others have no part in either
        if metric == "intersection":
            return np.minimum(self.color[:, used], row[used]).sum(axis=1)
        distance = (np.square(self.color[:, used] - row[used]) / row[used]).sum(axis=1)
        return 1 / (1 + distance)

    def search(self, image, metric):
        score = SHARES["embedding"] * np.clip(self.embedding @ self.embedding[image], 0, 1)
        score += SHARES["color"] * self.color_similarity(self.color[image], metric)
        apart = self.ones[(self.hash ^ self.hash[image]).view(np.uint16)].sum(axis=1)
        score += SHARES["hash"] * (1 - apart / (self.hash.shape[1] * 64))
        score[image] = -1
        best = np.argpartition(-score, K)[:K]
        return best[np.lexsort((best, -score[best]))]


def timed(call):
    started = time.perf_counter()
    result = call()
    return (time.perf_counter() - started) * 1e3, result


def measure(catalog, plain, images, metric, threads):
    times = {"bounds": [], "all": [], "numpy": []}
    agree = 0
    for image in images.tolist():
        def ours(combine):
            return catalog.search(image, K, by=SHARES, metric={"color": metric}, exact=True, threads=threads,
                                  combine=combine)
        found = {}
        for name, call in (("bounds", lambda: ours("mean")), ("all", lambda: ours("best")),
                           ("numpy", lambda: plain.search(image, metric))):
            taken, found[name] = timed(call)
            times[name].append(taken)
        by_bounds, by_all = ([(hit.id, hit.score) for hit in found[name]] for name in ("bounds", "all"))
        if by_bounds != by_all:
            sys.exit("bench fused: image %d: the answers differ" % image)
        agree += sum(hit[0] == id for hit, id in zip(by_bounds, found["numpy"]))
    result = {"numpy_agreement": agree / (K * len(images))}
    for name, taken in times.items():
        result[name] = {"median_ms": statistics.median(taken[5:]), "first_ms": taken[0]}
    for name in times:
        print("%-13s %-7s %8.1f ms, the first %8.1f ms, %5.1f times bounds" % (
            metric, name, result[name]["median_ms"], result[name]["first_ms"],
            result[name]["median_ms"] / result["bounds"]["median_ms"]))
    print("%-13s same ids as NumPy at the same places: %.1f %%" % (metric, 100 * result["numpy_agreement"]))
    return result


def main():
    parser = argparse.ArgumentParser(usage=__doc__.splitlines()[2])
    parser.add_argument("--catalog", required=True)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json")
    options = parser.parse_args()
    if options.queries < 6:
        parser.error("--queries must be at least 6")
    catalog = imgsim.Catalog(options.catalog, read_only=True)
    plain = Plain(catalog)
    images = np.random.default_rng(1).integers(0, len(plain.embedding), options.queries)
    print("%d images, top %d, %d threads" % (len(plain.embedding), K, options.threads))
    result = {"images": len(plain.embedding), "threads": options.threads}
    for metric in ("intersection", "chi-square"):
        result[metric] = measure(catalog, plain, images, metric, options.threads)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
