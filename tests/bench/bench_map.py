# SPDX-License-Identifier: Apache-2.0
"""Maps against umap-learn and openTSNE from PyPI: time, quality, memory.

usage: ./run bench map [--part digits,umap,seeded,tsne,drawn-umap,drawn-tsne] [--real ROWS.npy --labels LABELS.npy]
                       [--drawn lifelike.npy] [--rows N] [--rounds 3] [--threads 2] [--json FILE]

digits: UMAP, UMAP with a seed and t-SNE of scikit-learn's digits. umap, seeded, tsne: the same of a file of embeddings. Every
contestant gets the same rows, of length 1, with Euclidean distance and the same threads; compilers have run before; they take turns
in alternating order and the table has the medians. Quality is measured by imgsim.measure() for all of them, which is first checked
against scikit-learn here: trustworthiness and continuity of 15 neighbours, the share of the 15 kept, and the share of
points whose 15 neighbours in the map vote for their label. The divergence of every map of t-SNE is computed from affinities
that nobody has optimised: openTSNE's of the exact neighbours, its normalisation from 10,000 rows of all pairs. (Affinities of one's own
approximate neighbours make one's own map look 2 to 3 % better than it is.)

drawn-umap, drawn-tsne: imgsim alone, in a process of its own, on a mapped file as tests/bench/lifelike.py makes it: from the file to
positions, with the peak memory of the process, the mapped file's pages counted, and the recall of the neighbour graph.
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
    os.environ.pop("OPENBLAS_L2_SIZE", None)
    os.execv(python, [python] + sys.argv)


def load(arguments, part):
    """Rows of length 1 as float32, and labels or None."""
    if part == "digits":
        from sklearn.datasets import load_digits
        rows, labels = load_digits(return_X_y=True)
    else:
        rows = np.load(arguments.real, mmap_mode="r")
        labels = np.load(arguments.labels) if arguments.labels else None
    count = min(arguments.rows or len(rows), len(rows))
    rows = np.array(rows[:count], np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, None if labels is None else labels[:count]


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
    return openTSNE.TSNE(n_jobs=threads, random_state=1, negative_gradient_method="fft").fit


def contests(threads):
    return {
        "umap": (("imgsim", ours("umap", threads)), ("umap-learn", umap_learn(threads))),
        "seeded": (("imgsim", ours("umap", threads)), ("umap-learn seeded", umap_learn(threads, 1))),
        "tsne": (("imgsim", ours("tsne", threads)), ("openTSNE", open_tsne(threads))),
    }


def divergence(affinities, positions, most=10000):
    """sum p log(p / q) over the affinities given, q over all pairs of every so many-th row with all."""
    y = np.asarray(positions, np.float64)
    anchors = y[::max(1, len(y) // most)]
    total = 0.0
    for start in range(0, len(anchors), 500):
        block = anchors[start:start + 500]
        square = (block ** 2).sum(1)[:, None] + (y ** 2).sum(1)[None] - 2 * block @ y.T
        total += (1 / (1 + np.maximum(square, 0))).sum()
    total = (total - len(anchors)) * len(y) / len(anchors)
    p = affinities.tocoo()
    q = 1 / (1 + ((y[p.row] - y[p.col]) ** 2).sum(1))
    return float((p.data * np.log(p.data / q)).sum() + np.log(total))


def exact_affinities(rows, threads, perplexity=30):
    """openTSNE's affinities of the exact neighbours."""
    import imgsim
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors
    exact = imgsim.Map(rows, layout="tsne", metric="l2", threads=threads, epochs=1, exact_neighbours=True,
                       perplexity=perplexity)
    knn = PrecomputedNeighbors(exact.neighbours.astype(np.int64), exact.distances.astype(np.float64))
    return PerplexityBasedNN(None, perplexity=perplexity, knn_index=knn, n_jobs=threads).P


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


def run(pair, rows, labels, rounds, threads, divergent=False):
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
                entry["positions"] = np.asarray(positions)
            elif name == "imgsim":
                entry["repeatable"] = bool(np.array_equal(entry["positions"], positions))
    affinities = exact_affinities(rows, threads) if divergent else None
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
        {True: "gives the same bits again", False: "DIFFERS when run again"}.get(mine.get("repeatable"), "ran once")))


CONTESTS = {"umap": ("umap",), "seeded": ("seeded",), "tsne": ("tsne",), "digits": ("umap", "seeded", "tsne")}
DRAWN = ("drawn-umap", "drawn-tsne")


def alone(path, layout, threads):
    """One map of a mapped file, in this process: what it took, then how good it is. Prints JSON."""
    import imgsim
    imgsim.set_blas_threads(1)
    rows = np.load(path, mmap_mode="r")
    start, used = time.perf_counter(), time.process_time()
    chart = imgsim.Map(rows, layout=layout, threads=threads)
    report = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - used,
              "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, "kl": chart.kl}
    queries = np.random.default_rng(1).choice(len(rows), 300, replace=False)
    k = chart.neighbours.shape[1]
    report["neighbours"], report["recall"] = k, recall(rows, chart.neighbours, queries, k)
    groups = path[:-4] + ".groups.npy"
    if os.path.exists(groups):
        report["accuracy"] = agreement(chart.positions, np.load(groups))
    quality = imgsim.measure(rows, chart.positions, 15, metric="cosine", anchors=200)
    report.update(trustworthiness=quality.trustworthiness, continuity=quality.continuity, preservation=quality.preservation)
    print(json.dumps(report))


def recall(rows, neighbours, queries, k):
    """Share of the k nearest rows of unit length among the neighbours found, over some queries."""
    asked = np.array(rows[queries])
    near = np.full((len(queries), k), -np.inf, np.float32)
    places = np.zeros((len(queries), k), np.int64)
    for start in range(0, len(rows), 16384):
        dots = asked @ np.array(rows[start:start + 16384]).T
        inside = (queries >= start) & (queries < start + dots.shape[1])
        dots[inside, queries[inside] - start] = -np.inf
        both = np.concatenate([near, dots], 1)
        where = np.concatenate([places, np.broadcast_to(np.arange(start, start + dots.shape[1]), dots.shape)], 1)
        best = np.argpartition(-both, k - 1, 1)[:, :k]
        near, places = np.take_along_axis(both, best, 1), np.take_along_axis(where, best, 1)
    return float(np.mean([np.isin(places[i], neighbours[query]).mean() for i, query in enumerate(queries)]))


def run_alone(arguments, part):
    layout = part.split("-")[1]
    command = [sys.executable, os.path.abspath(__file__), "--alone", layout, "--drawn", arguments.drawn,
               "--threads", str(arguments.threads)]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    print("%-18s %.1f s, %.1f CPU s, peak %.0f MB, recall of %d neighbours %.3f, trust %.4f, contin %.4f, kept %.4f, labels %.4f, KL %.4f" % (
        part, report["seconds"], report["cpu_seconds"], report["peak_mb"], report["neighbours"], report["recall"],
        report["trustworthiness"], report["continuity"], report["preservation"], report.get("accuracy", float("nan")), report["kl"]))
    return report


def run_part(arguments, part):
    rows, labels = load(arguments, part)
    print("%s: %d x %d" % (part, *rows.shape))
    chosen, reports = contests(arguments.threads), {}
    for name in CONTESTS[part]:
        for _who, make in chosen[name]:
            make(rows[:1200])  # compilers
        reports[name] = run(chosen[name], rows, labels, arguments.rounds, arguments.threads, name == "tsne")
        show(name, reports[name])
    return reports


def commit():
    found = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL)
    return found.stdout.decode().strip()


def main():
    parser = argparse.ArgumentParser(prog="bench map", description=__doc__.split("\n")[0])
    parser.add_argument("--part", default="digits", help="any of %s" % ", ".join(list(CONTESTS) + list(DRAWN)))
    parser.add_argument("--real", help="embeddings as .npy, for umap, seeded and tsne")
    parser.add_argument("--labels", help="integers as .npy, one per row of --real")
    parser.add_argument("--drawn", default="lifelike.npy", help="drawn rows as .npy; made if it is not there")
    parser.add_argument("--rows", type=int, help="use only so many rows of --real")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with_peers()
    os.environ["NUMBA_NUM_THREADS"] = str(arguments.threads)
    if arguments.alone:
        alone(arguments.drawn, arguments.alone, arguments.threads)
        return
    parts = arguments.part.split(",")
    unknown = [part for part in parts if part not in CONTESTS and part not in DRAWN]
    if unknown:
        sys.exit("bench map: no part %s" % ", ".join(unknown))
    if arguments.real is None and any(part in ("umap", "seeded", "tsne") for part in parts):
        sys.exit("bench map: umap, seeded and tsne need --real ROWS.npy")
    if any(part in DRAWN for part in parts) and not os.path.exists(arguments.drawn):
        import lifelike
        lifelike.write(arguments.drawn, 444668, 2048)

    import imgsim
    imgsim.set_blas_threads(1)
    check_evaluator()
    print("%d threads; %s, %s; commit %s" % (
        arguments.threads, platform.processor() or platform.machine(), imgsim.simd_name(), commit()))
    reports = {"threads": arguments.threads, "commit": commit(), "parts": {}}
    for part in parts:
        reports["parts"][part] = run_alone(arguments, part) if part in DRAWN else run_part(arguments, part)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(reports, file, indent=1)


if __name__ == "__main__":
    main()
