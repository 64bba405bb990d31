# SPDX-License-Identifier: Apache-2.0
"""HNSW against hnswlib from PyPI: queries a second at equal recall, time to build, memory.

usage: ./run bench hnsw [ROWS.npy] [--rows N] [--queries 1000] [--pca 0,128] [--rounds 5] [--threads 2] [--json FILE]

Both build with the same M, efConstruction and threads and search the same queries, which are rows left out of the index, with the
same efSearch; they take turns, in alternating order, and the table has the medians. Recall at 10 is against exact search in double
precision. Without a file of rows, MobileNetV2 embeddings of the 60,000 CIFAR-10 images of the test data are made by the
imgsim command (a quarter of an hour or more); where that is not possible, clusters are drawn, and the table says so.
"""

import argparse
import ctypes
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np

import imgsim

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
DATA = os.environ.get("IMGSIM_TEST_DATA") or os.path.join(ROOT, "..", "shared", "data")
BUILD = os.environ.get("IMGSIM_BUILD_DIR") or os.path.join(ROOT, "build")
LINKS, BUILD_WIDTH, K = 16, 200, 10
WIDTHS = (10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256)


def with_hnswlib():
    """Run this program again in an environment that has hnswlib, made below the build folder."""
    try:
        import hnswlib  # noqa: F401
        return
    except ImportError:
        pass
    if os.environ.get("IMGSIM_BENCH_HNSW"):
        sys.exit("bench hnsw: hnswlib cannot be imported")
    folder = os.path.join(os.path.abspath(BUILD), "bench", "hnsw")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", folder], check=True)
    if subprocess.run([python, "-c", "import hnswlib"], stderr=subprocess.DEVNULL).returncode != 0:
        print("installing hnswlib from PyPI into %s" % folder, file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-q", "hnswlib"], check=True)
    os.environ["IMGSIM_BENCH_HNSW"] = "1"
    os.execv(python, [python] + sys.argv)


def cifar_embeddings(target):
    """Embeddings of the CIFAR-10 images by the imgsim command, kept in `target`; False if that is not possible here."""
    archive = os.path.join(DATA, "images", "cifar10-jpg.tar.gz")
    model = os.path.join(DATA, "models", "mobilenet_v2.safetensors")
    command = os.path.join(BUILD, "bin", "imgsim")
    if not all(os.path.exists(path) for path in (archive, model, command)) or not imgsim.has_feature("torch"):
        return False
    with tempfile.TemporaryDirectory() as work:
        print("making embeddings of the images in %s" % archive, file=sys.stderr)
        subprocess.run(["tar", "-xzf", archive, "-C", work], check=True)
        catalog = os.path.join(work, "catalog")
        subprocess.run([command, "-c", catalog, "scan", "--no-color", "--no-hash", "--model", model, work], check=True)
        subprocess.run([command, "-c", catalog, "export", "--npy", "embedding", target], check=True)
    return True


def clusters(count, dimension):
    """Rows around 1,000 random centres, of length 1."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((1000, dimension)).astype(np.float32)
    rows = centres[rng.integers(0, 1000, count)] + 0.7 * rng.standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def load_rows(path):
    """Rows and what they are."""
    if path is not None:
        return np.load(path, mmap_mode="r"), os.path.basename(path)
    kept = os.path.join(os.path.abspath(BUILD), "bench", "cifar10_mobilenet_v2.npy")
    os.makedirs(os.path.dirname(kept), exist_ok=True)
    if os.path.exists(kept) or cifar_embeddings(kept):
        return np.load(kept, mmap_mode="r"), "MobileNetV2 embeddings of CIFAR-10"
    return clusters(60000, 256), "drawn clusters: the test data or the torch module is missing"


def project(rows, queries, dimension):
    """Both on the first principal axes of the rows, of length 1 again."""
    mean = rows.mean(0)
    covariance = np.cov((rows[:20000] - mean).T)
    axes = np.linalg.eigh(covariance)[1][:, ::-1][:, :dimension].astype(np.float32)
    out = []
    for part in (rows, queries):
        part = (part - mean) @ axes
        out.append(np.ascontiguousarray(part / np.linalg.norm(part, axis=1, keepdims=True)))
    return out


def true_neighbours(rows, queries):
    """By cosine in double precision, ties by row."""
    rows = rows.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = np.empty((len(queries), K), np.int64)
    for i, query in enumerate(queries.astype(np.float64)):
        distances = 1 - rows @ (query / np.linalg.norm(query))
        near = np.flatnonzero(distances <= np.partition(distances, K)[K])
        found[i] = near[np.lexsort((near, distances[near]))][:K]
    return found


def recall(found, truth):
    return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, truth)])) / K


def resident():
    """Memory of this process in MiB, after giving back what is free."""
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Ours:
    name = "imgsim"

    def __init__(self, rows, threads):
        self.index = imgsim.Index(rows.shape[1], "cosine", "hnsw", threads, max_links=LINKS, build_width=BUILD_WIDTH)
        self.index.add(rows)

    def search(self, queries, width, threads):
        return self.index.search(queries, K, search_width=width, threads=threads)[0]


class Hnswlib:
    name = "hnswlib"

    def __init__(self, rows, threads):
        import hnswlib
        self.index = hnswlib.Index("cosine", rows.shape[1])
        self.index.init_index(len(rows), ef_construction=BUILD_WIDTH, M=LINKS)
        self.index.add_items(rows, num_threads=threads)

    def search(self, queries, width, threads):
        self.index.set_ef(width)
        return self.index.knn_query(queries, K, num_threads=threads)[0].astype(np.int64)


def build(kind, rows, threads):
    before, start = resident(), time.perf_counter()
    index = kind(rows, threads)
    return index, {"build_seconds": time.perf_counter() - start, "memory_mib": resident() - before}


def sweep(indexes, queries, truth, threads, rounds):
    """Per index: width, recall and queries a second."""
    points = {index.name: [] for index in indexes}
    for width in WIDTHS:
        times = {index.name: [] for index in indexes}
        for turn in range(rounds):
            for index in indexes if turn % 2 == 0 else indexes[::-1]:
                start = time.perf_counter()
                found = index.search(queries, width, threads)
                times[index.name].append(time.perf_counter() - start)
                if turn == 0:
                    points[index.name].append({"width": width, "recall": recall(found, truth)})
        for name, seconds in times.items():
            points[name][-1]["qps"] = len(queries) / float(np.median(seconds))
    return points


def at_recall(points, wanted):
    """Queries a second where the sweep passes this recall, interpolated in the logarithm; None if it does not."""
    for low, high in zip(points, points[1:]):
        if low["recall"] <= wanted <= high["recall"] and high["recall"] > low["recall"]:
            share = (wanted - low["recall"]) / (high["recall"] - low["recall"])
            return float(np.exp((1 - share) * np.log(low["qps"]) + share * np.log(high["qps"])))
    return points[0]["qps"] if points[0]["recall"] > wanted else None


def measure(rows, queries, threads, rounds):
    truth = true_neighbours(rows, queries)
    report, indexes = {"dimension": rows.shape[1], "rows": len(rows)}, []
    for kind in (Ours, Hnswlib):
        index, report[kind.name] = build(kind, rows, threads)
        indexes.append(index)
    found = indexes[0].index.search(queries, K)[0]
    report["default_recall"] = recall(found, truth)
    report["exact_equal"] = bool((indexes[0].index.search(queries, K, exact=True)[0] == truth).all())
    for used in sorted({1, threads}):
        for name, points in sweep(indexes, queries, truth, used, rounds).items():
            report[name]["sweep_%d" % used] = points
            report[name]["qps_095_%d" % used] = at_recall(points, 0.95)
    return report


def show(report, threads):
    print("\n%d rows of %d values; recall@10 of imgsim with default options %.4f; its exact search is %s" % (
        report["rows"], report["dimension"], report["default_recall"],
        "the truth" if report["exact_equal"] else "NOT the truth"))
    for used in sorted({1, threads}):
        ours, theirs = (report[name]["sweep_%d" % used] for name in ("imgsim", "hnswlib"))
        print("\n%d thread%s   %22s   %22s" % (used, "" if used == 1 else "s", "imgsim", "hnswlib"))
        print("%9s   %10s %11s   %10s %11s" % ("efSearch", "recall", "queries/s", "recall", "queries/s"))
        for a, b in zip(ours, theirs):
            print("%9d   %10.4f %11.0f   %10.4f %11.0f" % (a["width"], a["recall"], a["qps"], b["recall"], b["qps"]))
        ours, theirs = (report[name]["qps_095_%d" % used] for name in ("imgsim", "hnswlib"))
        if ours and theirs:
            print("at recall 0.95: %.0f and %.0f queries/s, ratio %.2f" % (ours, theirs, ours / theirs))
    for name in ("imgsim", "hnswlib"):
        print("%-8s built in %.1f s, memory grew by %.0f MiB" % (
            name, report[name]["build_seconds"], report[name]["memory_mib"]))


def main():
    parser = argparse.ArgumentParser(prog="bench hnsw", description=__doc__.split("\n")[0])
    parser.add_argument("path", nargs="?", help="rows as .npy")
    parser.add_argument("--rows", type=int, help="use only so many rows")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--pca", default="0,128", help="dimensions to project to, 0: none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", help="write all figures to this file")
    arguments = parser.parse_args()
    with_hnswlib()

    everything, what = load_rows(arguments.path)
    count = min(arguments.rows or len(everything), len(everything))
    chosen = np.random.default_rng(0).permutation(len(everything))[:count]
    queries = np.array(everything[np.sort(chosen[:arguments.queries])], np.float32)
    rows = np.array(everything[np.sort(chosen[arguments.queries:])], np.float32)
    print("%s; M %d, efConstruction %d, %d threads to build; %s, %s" % (
        what, LINKS, BUILD_WIDTH, arguments.threads, platform.processor() or platform.machine(),
        imgsim.simd_name()))

    reports = []
    for dimension in (int(part) for part in arguments.pca.split(",")):
        parts = project(rows, queries, dimension) if 0 < dimension < rows.shape[1] else (rows, queries)
        reports.append(measure(*parts, arguments.threads, arguments.rounds))
        show(reports[-1], arguments.threads)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"data": what, "links": LINKS, "build_width": BUILD_WIDTH, "runs": reports}, file, indent=1)


if __name__ == "__main__":
    main()
