# SPDX-License-Identifier: Apache-2.0
"""Maps against umap-learn and openTSNE from PyPI: time, quality, memory.

usage: ./run bench map [ROWS.npy] [--labels LABELS.npy] [--rows N] [--rounds 3] [--threads 2] [--only umap,seeded,tsne] [--json FILE]

Rows are scikit-learn's digits, or those of a file (mapped). Every contestant gets the same rows, of length 1, with Euclidean
distance and the same threads; compilers have run before; they take turns in alternating order and the table has the medians. Quality is measured by
imgsim.measure() for all of them, which is first checked against scikit-learn here: trustworthiness and continuity of 15 neighbours, and
the share of points whose 15 neighbours in the map vote for their label. For t-SNE the divergence of every map is computed
from one set of affinities, openTSNE's.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("IMGSIM_BUILD_DIR") or os.path.join(HERE, "..", "..", "build")
PEERS = ("umap-learn", "openTSNE", "scikit-learn")


def with_peers():
    """Run this program again in an environment that has the peers, made below the build folder; peers choose their own BLAS kernels."""
    if os.environ.get("IMGSIM_BENCH_MAP"):
        return
    python = os.environ.get("IMGSIM_BENCH_PYTHON")
    if not python:
        folder = os.path.join(os.path.abspath(BUILD), "bench", "map")
        python = os.path.join(folder, "bin", "python")
        if not os.path.exists(python):
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        if subprocess.run([python, "-c", "import umap, openTSNE, sklearn"], stderr=subprocess.DEVNULL).returncode != 0:
            print("installing %s from PyPI into %s" % (", ".join(PEERS), folder), file=sys.stderr)
            subprocess.run([python, "-m", "pip", "install", "-q", *PEERS], check=True)
    os.environ["IMGSIM_BENCH_MAP"] = "1"
    os.environ.pop("OPENBLAS_CORETYPE", None)
    os.execv(python, [python] + sys.argv)


def load(arguments):
    """Rows of length 1 as float32, labels or None, and what they are."""
    if arguments.path is None:
        from sklearn.datasets import load_digits
        rows, labels = load_digits(return_X_y=True)
        what = "scikit-learn's digits"
    else:
        rows, what = np.load(arguments.path, mmap_mode="r"), os.path.basename(arguments.path)
        labels = np.load(arguments.labels) if arguments.labels else None
    count = min(arguments.rows or len(rows), len(rows))
    if arguments.path is not None and count == len(rows) and rows.nbytes > 2**30:
        return rows, labels, what  # as they are: a mapped file
    rows = np.array(rows[:count], np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, None if labels is None else labels[:count], what


def agreement(positions, labels, k=15):
    """Share of points whose neighbours in the map vote for their label."""
    from sklearn.neighbors import NearestNeighbors
    near = NearestNeighbors(n_neighbors=k + 1).fit(positions).kneighbors(positions, return_distance=False)[:, 1:]
    votes = np.asarray(labels)[near]
    return float(np.mean([np.bincount(row, minlength=labels.max() + 1).argmax() == own for row, own in zip(votes, labels)]))


def ours(layout, threads):
    import imgsim
    return lambda rows: imgsim.Map(rows, layout=layout, metric="l2", threads=threads).positions


def umap_learn(threads, seed=None):
    import umap
    jobs = 1 if seed is not None else threads
    return lambda rows: umap.UMAP(random_state=seed, n_jobs=jobs).fit_transform(rows)


def open_tsne(threads):
    import openTSNE
    return lambda rows: np.asarray(openTSNE.TSNE(n_jobs=threads, random_state=1, negative_gradient_method="fft").fit(rows))


def contests(threads):
    return {
        "umap": (("imgsim", ours("umap", threads)), ("umap-learn", umap_learn(threads))),
        "seeded": (("imgsim", ours("umap", threads)), ("umap-learn seeded", umap_learn(threads, 1))),
        "tsne": (("imgsim", ours("tsne", threads)), ("openTSNE", open_tsne(threads))),
    }


def divergence(affinities, positions):
    """sum p log(p / q) over the affinities given, q over all pairs, in blocks."""
    y = np.asarray(positions, np.float64)
    total = 0.0
    for start in range(0, len(y), 1000):
        square = (y[start:start + 1000] ** 2).sum(1)[:, None] + (y ** 2).sum(1)[None] - 2 * y[start:start + 1000] @ y.T
        total += (1 / (1 + np.maximum(square, 0))).sum()
    total -= len(y)
    p = affinities.tocoo()
    q = 1 / (1 + ((y[p.row] - y[p.col]) ** 2).sum(1))
    return float((p.data * np.log(p.data / q)).sum() + np.log(total))


def check_evaluator():
    """Our evaluator against scikit-learn's."""
    import imgsim
    from sklearn.manifold import trustworthiness
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((1500, 30)).astype(np.float32)
    mine = imgsim.measure(rows, rows[:, :2], 15, metric="l2").trustworthiness
    theirs = trustworthiness(rows, rows[:, :2], n_neighbors=15)
    if abs(mine - theirs) > 1e-5:
        sys.exit("bench map: trustworthiness %.6f, scikit-learn has %.6f" % (mine, theirs))


def run(pair, rows, labels, rounds, affinities):
    """Medians and quality of the contestants of one pair."""
    import imgsim
    report = {name: {"seconds": []} for name, _make in pair}
    for turn in range(rounds):
        for name, make in pair if turn % 2 == 0 else pair[::-1]:
            start, used = time.perf_counter(), time.process_time()
            positions = make(rows)
            entry = report[name]
            entry["seconds"].append(time.perf_counter() - start)
            entry["cpu_seconds"] = time.process_time() - used
            if turn == 0:
                entry["positions"] = positions
            elif name == "imgsim":
                entry["repeatable"] = bool(np.array_equal(entry["positions"], positions))
    for entry in report.values():
        positions = np.ascontiguousarray(entry.pop("positions"), np.float32)
        entry["median_seconds"] = float(np.median(entry["seconds"]))
        quality = imgsim.measure(rows, positions, 15, metric="l2", anchors=3000)
        entry["trustworthiness"], entry["continuity"] = quality.trustworthiness, quality.continuity
        entry["preservation"] = quality.preservation
        if labels is not None:
            entry["accuracy"] = agreement(positions, labels)
        if affinities is not None:
            entry["divergence"] = divergence(affinities, positions)
    return report


def show(name, report):
    print("\n%-18s %9s %9s %8s %8s %8s %8s %8s" % (
        name, "seconds", "CPU s", "trust", "contin", "kept", "labels", "KL"))
    for who, entry in report.items():
        print("%-18s %9.2f %9.2f %8.4f %8.4f %8.4f %8s %8s" % (
            who, entry["median_seconds"], entry["cpu_seconds"], entry["trustworthiness"], entry["continuity"],
            entry["preservation"], "%.4f" % entry["accuracy"] if "accuracy" in entry else "-",
            "%.4f" % entry["divergence"] if "divergence" in entry else "-"))
    (_us, mine), (_them, theirs) = report.items()
    print("ratio %.2f; imgsim %s" % (
        theirs["median_seconds"] / mine["median_seconds"],
        "gives the same bits again" if mine.get("repeatable", True) else "DIFFERS when run again"))


def main():
    parser = argparse.ArgumentParser(prog="bench map", description=__doc__.split("\n")[0])
    parser.add_argument("path", nargs="?", help="rows as .npy; without, scikit-learn's digits")
    parser.add_argument("--labels", help="integers as .npy, one per row")
    parser.add_argument("--rows", type=int, help="use only so many rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="umap,seeded,tsne", help="which contests; ours: imgsim's UMAP alone")
    parser.add_argument("--json", help="write all figures to this file")
    arguments = parser.parse_args()
    with_peers()
    os.environ["NUMBA_NUM_THREADS"] = str(arguments.threads)

    import imgsim
    imgsim.set_blas_threads(1)
    check_evaluator()
    rows, labels, what = load(arguments)
    print("%s: %d x %d, %d threads; %s, %s" % (
        what, *rows.shape, arguments.threads, platform.processor() or platform.machine(), imgsim.simd_name()))
    reports = {}
    chosen = contests(arguments.threads) if arguments.only != "ours" else {}
    for name in arguments.only.split(","):
        if name == "ours":
            start = time.perf_counter()
            imgsim.Map(rows, threads=arguments.threads)
            reports[name] = {"seconds": time.perf_counter() - start,
                             "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
            print("imgsim's UMAP: %(seconds).1f s, %(peak_mib).0f MiB, the mapped file included" % reports[name])
            continue
        for _who, make in chosen[name]:
            make(rows[:1200])  # compilers
        affinities = None
        if name == "tsne":
            from openTSNE.affinity import PerplexityBasedNN
            affinities = PerplexityBasedNN(rows, perplexity=30, n_jobs=arguments.threads, random_state=1).P
        reports[name] = run(chosen[name], rows, labels, arguments.rounds, affinities)
        show(name, reports[name])
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"data": what, "shape": list(rows.shape), "threads": arguments.threads, "runs": reports}, file, indent=1)


if __name__ == "__main__":
    main()
