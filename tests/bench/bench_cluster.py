# SPDX-License-Identifier: Apache-2.0
"""Clusters against FAISS, scikit-learn, fast_hdbscan, hdbscan and fastcluster from PyPI: seconds, beside what was found.

usage: ./run bench cluster [kmeans dbscan hdbscan ward digits] [--rows ROWS.npy] [--map MAP.npy] [--rounds 3] [--threads 2]
                           [--slow] [--json FILE]

k-means:  60,000 x 1280 MobileNetV2 embeddings of the CIFAR-10 images (made by the imgsim command if --rows names none), k = 1000,
          25 rounds for all. FAISS from random rows, its default, without drawing a sample; scikit-learn from k-means++.
dbscan,   444,668 points of a 2-D map; without --map one is drawn: 900 clumps of very different size and width, a tenth dust.
hdbscan:  DBSCAN at a radius that leaves much of the dust as noise and at its double; HDBSCAN with min_cluster_size 100, min_samples 10.
ward:     20,000 of the embeddings on their first 100 principal axes; fastcluster with its matrix and, with --slow, without.
digits:   all methods on scikit-learn's digits: agreement only.

Programs take turns in one process, in alternating order, after a small run that compiles what is compiled just in time; the table has medians.
hdbscan and scikit-learn's k-means take minutes: they run once, and only with --slow.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time

PACKAGES = ("scikit-learn", "faiss-cpu", "fast_hdbscan", "hdbscan", "fastcluster")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
BUILD = os.environ.get("IMGSIM_BUILD_DIR") or os.path.join(ROOT, "build")
POINTS = 444668


def with_peers():
    """Run this program again in an environment that has the peers, made below the build folder."""
    if os.environ.get("IMGSIM_BENCH_CLUSTER"):
        return
    folder = os.path.join(os.path.abspath(BUILD), "bench", "cluster")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    names = ", ".join(("sklearn", "faiss", "fast_hdbscan", "hdbscan", "fastcluster", "numpy"))
    if subprocess.run([python, "-c", "import " + names], stderr=subprocess.DEVNULL).returncode != 0:
        print("installing %s from PyPI into %s" % (", ".join(PACKAGES), folder), file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    os.environ["IMGSIM_BENCH_CLUSTER"] = "1"
    # Before any of them is loaded: all with the same threads, and BLAS with the kernels it chooses itself.
    threads = str(arguments().threads)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = threads
    os.environ.pop("OPENBLAS_CORETYPE", None)
    os.execv(python, [python] + sys.argv)


def arguments():
    parser = argparse.ArgumentParser(prog="bench cluster", description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", help="kmeans, dbscan, hdbscan, ward, digits; all by default")
    parser.add_argument("--rows", help="embeddings as .npy")
    parser.add_argument("--map", help="positions of a 2-D map as .npy")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slow", action="store_true", help="also the peers that take minutes")
    parser.add_argument("--json", help="write all figures to this file")
    return parser.parse_args()


def take_turns(contestants, rounds):
    """{name: (median seconds, last result)}; contestants: [(name, function, at most so many runs)]."""
    import numpy as np
    seconds, results = {name: [] for name, _run, _most in contestants}, {}
    for turn in range(rounds):
        for name, run, most in contestants if turn % 2 == 0 else contestants[::-1]:
            if len(seconds[name]) < most:
                start = time.perf_counter()
                results[name] = run()
                seconds[name].append(time.perf_counter() - start)
    return {name: (float(np.median(times)), results[name]) for name, times in seconds.items()}


def show(title, table, quality):
    """Print a part's table; gives it for the report. quality: what is told of a result, as a dict."""
    ours = table["imgsim"][0]
    print("\n%s" % title)
    report = {"title": title, "contestants": {}}
    for name, (seconds, result) in table.items():
        told = quality(name, result)
        print("  %-34s %9.3f s  %7s  %s" % (
            name, seconds, "" if name == "imgsim" else "%.1fx" % (seconds / ours),
            ", ".join("%s %s" % item for item in told.items())))
        report["contestants"][name] = dict(told, seconds=seconds)
    sys.stdout.flush()
    return report


def embeddings(path):
    import numpy as np
    if path is None:
        import bench_hnsw
        rows, what = bench_hnsw.load_rows(None)
    else:
        rows, what = np.load(path, mmap_mode="r"), os.path.basename(path)
    return np.ascontiguousarray(rows[:60000], np.float32), what


def draw_map():
    """Clumps of very different size and width, a tenth of the points dust between them."""
    import numpy as np
    rng = np.random.default_rng(1)
    clumps, inside = 900, int(POINTS * 0.9)
    centres, widths = rng.uniform(0, 100, (clumps, 2)), np.exp(rng.normal(-0.6, 0.5, clumps))
    weights = rng.pareto(1.5, clumps) + 0.3
    chosen = rng.choice(clumps, inside, p=weights / weights.sum())
    points = np.concatenate([centres[chosen] + rng.normal(size=(inside, 2)) * widths[chosen, None],
                             rng.uniform(-5, 105, (POINTS - inside, 2))])
    return rng.permutation(points).astype(np.float32)


def same(a, b):
    """Whether two partitions are the same, noise included."""
    return bool(((a < 0) == (b < 0)).all() and len(set(zip(a, b))) == len(set(a)) == len(set(b)))


def bench_kmeans(chosen):
    import faiss
    import imgsim
    import numpy as np
    from sklearn.cluster import KMeans
    rows, what = embeddings(chosen.rows)
    k, rounds = 1000, 25

    def ours():
        return imgsim.cluster(rows, k=k, max_iterations=rounds, tolerance=0, threads=chosen.threads, full=True).inertia

    def by_faiss():
        means = faiss.Kmeans(rows.shape[1], k, niter=rounds, seed=1, max_points_per_centroid=len(rows))
        means.train(rows)
        # FAISS tells the sum before its last step; the distances to the last means are what counts.
        return float(means.index.search(rows, 1)[0].sum(dtype=np.float64))

    def by_sklearn():
        return float(KMeans(k, n_init=1, max_iter=rounds, tol=0, random_state=1).fit(rows).inertia_)
    contestants = [("imgsim", ours, chosen.rounds), ("FAISS", by_faiss, chosen.rounds)]
    if chosen.slow:
        contestants.append(("scikit-learn", by_sklearn, 1))
    table = take_turns(contestants, chosen.rounds)
    return show("k-means, %d x %d (%s), k = %d, %d rounds" % (*rows.shape, what, k, rounds), table,
                lambda _name, inertia: {"inertia": "%.1f" % inertia})


def bench_dbscan(chosen, points, what):
    import imgsim
    from sklearn.cluster import DBSCAN
    reports = []
    for eps in (0.15, 0.3):
        def ours():
            return imgsim.cluster(points, "dbscan", eps=eps, min_samples=10, threads=chosen.threads)

        def theirs():
            return DBSCAN(eps=eps, min_samples=10, n_jobs=chosen.threads).fit(points).labels_
        table = take_turns([("imgsim", ours, chosen.rounds), ("scikit-learn", theirs, chosen.rounds)], chosen.rounds)
        reports.append(show(
            "DBSCAN, %d points (%s), eps %g, min_samples 10" % (len(points), what, eps), table,
            lambda _name, labels: {"clusters": int(labels.max()) + 1, "noise": int((labels < 0).sum()),
                                   "same as imgsim": same(table["imgsim"][1], labels)}))
    return reports


def bench_hdbscan(chosen, points, what):
    import fast_hdbscan
    import hdbscan
    import imgsim
    import numpy as np
    settings = {"min_cluster_size": 100, "min_samples": 10}

    def ours():
        return imgsim.cluster(points, "hdbscan", threads=chosen.threads, **settings)

    def fast():
        return fast_hdbscan.HDBSCAN(**settings).fit(points).labels_

    def plain():
        return hdbscan.HDBSCAN(core_dist_n_jobs=chosen.threads, **settings).fit(points.astype(np.float64)).labels_
    fast_hdbscan.HDBSCAN(**settings).fit(points[:5000])  # compiles
    contestants = [("imgsim", ours, chosen.rounds), ("fast_hdbscan", fast, chosen.rounds)]
    if chosen.slow:
        contestants.append(("hdbscan", plain, 1))
    table = take_turns(contestants, chosen.rounds)
    return show("HDBSCAN, %d points (%s), min_cluster_size 100, min_samples 10" % (len(points), what), table,
                lambda _name, labels: {"clusters": int(labels.max()) + 1, "noise": int((labels < 0).sum()), "ARI with imgsim":
                                       "%.4f" % imgsim.compare_labels(table["imgsim"][1], labels)[0]})


def bench_ward(chosen):
    import fastcluster
    import imgsim
    import numpy as np
    rows, what = embeddings(chosen.rows)
    rows = rows[:20000]
    rows = np.ascontiguousarray(imgsim.Projector(dim=100).fit(rows).transform(rows))

    def ours():
        return imgsim.cluster(rows, "agglomerative", k=50, threads=chosen.threads, full=True).tree
    contestants = [("imgsim", ours, chosen.rounds), ("fastcluster, matrix", lambda: fastcluster.linkage(rows, "ward"), 2)]
    if chosen.slow:
        contestants.append(("fastcluster, without matrix", lambda: fastcluster.linkage_vector(rows, "ward"), 1))
    table = take_turns(contestants, chosen.rounds)
    heights = table["imgsim"][1][:, 2]
    return show("Ward, %d x %d (principal axes of %s)" % (*rows.shape, what), table, lambda _name, tree: {
        "greatest relative difference of heights": "%.1e" % np.abs(tree[:, 2] / heights - 1).max()})


def bench_digits(_chosen):
    import imgsim
    import numpy as np
    from sklearn import cluster as peers
    from sklearn.datasets import load_digits
    rows, target = load_digits(return_X_y=True)
    rows = (rows + np.random.default_rng(0).normal(0, 1e-3, rows.shape)).astype(np.float32)
    start = rows[:10]
    cases = {
        "kmeans": (imgsim.cluster(rows, k=10, initial_means=start, tolerance=0, max_iterations=300),
                   peers.KMeans(10, init=start, n_init=1, tol=0).fit(rows.astype(np.float64)).labels_),
        "dbscan": (imgsim.cluster(rows, "dbscan", eps=22.0), peers.DBSCAN(eps=22.0).fit(rows).labels_),
        "hdbscan": (imgsim.cluster(rows, "hdbscan", min_cluster_size=15, min_samples=5),
                    peers.HDBSCAN(min_cluster_size=15, min_samples=6, copy=True).fit(rows).labels_),
    }
    for linkage in ("ward", "complete", "average", "single"):
        cases[linkage] = (imgsim.cluster(rows, "agglomerative", k=10, linkage=linkage),
                          peers.AgglomerativeClustering(10, linkage=linkage).fit(rows).labels_)
    print("\nscikit-learn's digits, %d x %d" % rows.shape)
    report = {"title": "digits", "methods": {}}
    for name, (ours, theirs) in cases.items():
        ari, truth = imgsim.compare_labels(ours, theirs)[0], imgsim.compare_labels(ours, target)[0]
        print("  %-10s ARI with scikit-learn %.4f, with the digits %.4f" % (name, ari, truth))
        report["methods"][name] = {"ari_peer": ari, "ari_truth": truth}
    return report


def main():
    chosen = arguments()
    with_peers()
    sys.path.insert(0, os.path.join(ROOT, "bindings", "python"))
    sys.path.insert(0, HERE)
    import imgsim
    import numpy as np
    imgsim.set_blas_threads(1)
    parts = chosen.parts or ["kmeans", "dbscan", "hdbscan", "ward", "digits"]
    print("%s, %s, %d threads" % (platform.processor() or platform.machine(), imgsim.simd_name(), chosen.threads))
    reports = []
    if "dbscan" in parts or "hdbscan" in parts:
        points = np.ascontiguousarray(np.load(chosen.map), np.float32) if chosen.map else draw_map()
        what = os.path.basename(chosen.map) if chosen.map else "drawn clumps and dust"
    for part in parts:
        if part == "kmeans":
            reports.append(bench_kmeans(chosen))
        elif part == "dbscan":
            reports += bench_dbscan(chosen, points, what)
        elif part == "hdbscan":
            reports.append(bench_hdbscan(chosen, points, what))
        elif part == "ward":
            reports.append(bench_ward(chosen))
        elif part == "digits":
            reports.append(bench_digits(chosen))
        else:
            sys.exit("bench cluster: no part %r" % part)
    if chosen.json:
        with open(chosen.json, "w") as file:
            json.dump({"threads": chosen.threads, "parts": reports}, file, indent=1)


if __name__ == "__main__":
    main()
