# SPDX-License-Identifier: Apache-2.0
"""Exact search of histograms against OpenCV's compareHist and FAISS's flat indexes: one query at a time, the answers compared.

usage: ./run bench histograms [--rows 444668] [--queries 30] [--peer-queries 3] [--peer-rows 100000] [--threads 2]
                              [--photos FOLDER] [--json FILE]

The rows are histograms of real photos, resampled (histogram_data.py says how); the queries are photos that no row was made from.
imgsim searches with the given threads. OpenCV compares the query with each row in a loop on as many Python threads, on
dense float rows of sum 1 that are in memory: the first --peer-rows of them, the time scaled to all. FAISS
gets the metric nearest to each of ours and a part of the rows as well, for the same reason; its flat indexes compare one query on one
thread, so that it gets as many queries at once as threads, and the time is the one per query. The answers of both are compared with
imgsim's on the rows that they have.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np

import histogram_data
import imgsim

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
DATA = os.environ.get("IMGSIM_TEST_DATA") or os.path.join(ROOT, "..", "shared", "data")
BUILD = os.environ.get("IMGSIM_BUILD_DIR") or os.path.join(ROOT, "build")
K = 10
METRICS = {  # ours: OpenCV's constant, its order (1: smaller is nearer), FAISS's nearest
    "correlation": ("HISTCMP_CORREL", -1, "METRIC_INNER_PRODUCT"),
    "chi-square": ("HISTCMP_CHISQR", 1, "METRIC_L1"),
    "intersection": ("HISTCMP_INTERSECT", -1, "METRIC_L1"),
    "bhattacharyya": ("HISTCMP_BHATTACHARYYA", 1, "METRIC_L2"),
    "l1": (None, 1, "METRIC_L1"),
}


def with_peers():
    """Run this program again in an environment with OpenCV and FAISS from PyPI, made below the build folder."""
    if os.environ.pop("OPENBLAS_CORETYPE", None) is not None:  # the peers choose their own kernels
        os.execv(sys.executable, [sys.executable] + sys.argv)
    try:
        import cv2  # noqa: F401
        import faiss  # noqa: F401
        import PIL  # noqa: F401
        return
    except ImportError:
        pass
    if os.environ.get("IMGSIM_BENCH_HISTOGRAMS"):
        sys.exit("bench histograms: cv2, faiss or PIL cannot be imported")
    folder = os.path.join(os.path.abspath(BUILD), "bench", "histograms")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", folder], check=True)
    print("installing faiss-cpu, opencv-python-headless and pillow from PyPI into %s" % folder, file=sys.stderr)
    subprocess.run([python, "-m", "pip", "install", "-q", "faiss-cpu", "opencv-python-headless", "pillow"], check=True)
    os.environ["IMGSIM_BENCH_HISTOGRAMS"] = "1"
    os.execv(python, [python] + sys.argv)


def seconds(call, count):
    """Median time of a call with 0, 1, ... count - 1."""
    times = []
    for i in range(count):
        started = time.perf_counter()
        call(i)
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def opencv_loop(query, rows, method, threads):
    """compareHist of the query with every row, the rows shared out to threads."""
    import cv2
    cv2.setNumThreads(1)
    out = np.empty(len(rows))

    def part(begin, end):
        compare = cv2.compareHist
        for i in range(begin, end):
            out[i] = compare(query, rows[i], method)

    cuts = np.linspace(0, len(rows), threads + 1).astype(int)
    workers = [threading.Thread(target=part, args=pair) for pair in zip(cuts[:-1], cuts[1:])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return out


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2 ** 20


def make_index(metric, data, threads, count=None):
    offsets, lengths, bins, counts, _ = data
    count = len(lengths) if count is None else count
    entries = int(offsets[count - 1]) + int(lengths[count - 1])
    index = imgsim.Index(histogram_data.BINS, metric=metric, threads=threads, normalize=True)
    index.add_sparse(offsets[:count], lengths[:count], bins[:entries], counts[:entries])
    return index


def agree(ours, values, order):
    """Places of ours that a peer's values confirm: the value there is the k-th best, but for float rounding."""
    best = np.sort(order * values)[:K]
    return float(np.mean(np.abs(order * values[ours] - best) <= 1e-4 * np.maximum(1, np.abs(best))))


def compare(metric, data, queries, dense, options):
    import cv2
    import faiss
    constant, order, nearest = METRICS[metric]
    count, total = len(dense), len(data[1])
    before = resident()
    index = make_index(metric, data, options.threads)
    line = {"metric": metric, "first_ms": 1e3 * seconds(lambda i: index.search(queries[:1], K), 1), "memory_mib": resident() - before}
    small = make_index(metric, data, options.threads, count)
    small.search(queries[:1], K)
    faiss.omp_set_num_threads(options.threads)
    flat = faiss.IndexFlat(histogram_data.BINS, getattr(faiss, nearest))
    flat.add(dense)
    ours, cv, fa, places = [], [], [], []
    for i in range(options.peer_queries):  # in turns
        ours.append(seconds(lambda j: index.search(queries[(7 * i + j) % len(queries)][None], K), len(queries)))
        if constant is not None:
            started = time.perf_counter()
            values = opencv_loop(queries[i], dense, getattr(cv2, constant), options.threads)
            cv.append((time.perf_counter() - started) * total / count)
            places.append(agree(small.search(queries[i][None], K)[0][0], values, order))
        started = time.perf_counter()
        found = flat.search(np.ascontiguousarray(queries[i:i + options.threads]), K)[1]
        fa.append((time.perf_counter() - started) / options.threads * total / count)
        if metric == "l1":
            places.append(float(np.mean(found[0] == small.search(queries[i][None], K)[0][0])))
    one = seconds(lambda j: index.search(queries[j % len(queries)][None], K, threads=1), len(queries))
    started = time.perf_counter()
    index.search(queries, K)
    batch = (time.perf_counter() - started) / len(queries)
    line.update(ms=1e3 * float(np.median(ours)), ms_one_thread=1e3 * one, ms_batch=1e3 * batch,
                opencv_ms=1e3 * float(np.median(cv)) if cv else None, faiss_ms=1e3 * float(np.median(fa)), faiss_metric=nearest,
                agreement=float(np.mean(places)) if places else None)
    return line


def main():
    parser = argparse.ArgumentParser(prog="./run bench histograms", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=444668)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--peer-queries", type=int, default=3)
    parser.add_argument("--peer-rows", type=int, default=100000, help="rows that the peers get, dense (16 KiB each)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photos", default=os.path.join(DATA, "images"))
    parser.add_argument("--kept", default=os.path.join(os.path.abspath(BUILD), "bench", "histogram-rows"))
    parser.add_argument("--json")
    options = parser.parse_args()
    if not os.path.isdir(options.photos):
        sys.exit("bench histograms: no photos in %s, name a folder with --photos" % options.photos)
    with_peers()
    data = [np.asarray(part) for part in histogram_data.resampled(options.photos, options.rows, workers=options.threads, target=options.kept)]
    queries = data[4][:options.queries].astype(np.float32)
    queries /= queries.sum(1, keepdims=True)
    statistics = histogram_data.statistics(options.photos, data)
    print("intersection with the tenth of n: %s" % json.dumps(statistics))
    dense = histogram_data.dense(*data[:4], np.arange(min(options.peer_rows, options.rows)))
    lines = []
    for metric in METRICS:
        line = compare(metric, data, queries, dense, options)
        lines.append(line)
        print("%-14s %6.2f ms (one thread %6.2f, batch %6.2f), first %5.0f ms, %5.0f MiB" % (
            metric, line["ms"], line["ms_one_thread"], line["ms_batch"], line["first_ms"], line["memory_mib"]), end="")
        if line["opencv_ms"] is not None:
            print("; OpenCV %7.0f ms, %5.0fx" % (line["opencv_ms"], line["opencv_ms"] / line["ms"]), end="")
        print("; FAISS %s %6.0f ms, %5.0fx%s" % (
            line["faiss_metric"], line["faiss_ms"], line["faiss_ms"] / line["ms"],
            "" if line["agreement"] is None else "; answers agree %.3f" % line["agreement"]), flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"rows": options.rows, "threads": options.threads, "statistics": statistics, "metrics": lines}, file, indent=1)


if __name__ == "__main__":
    main()
