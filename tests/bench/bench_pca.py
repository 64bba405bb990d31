# SPDX-License-Identifier: Apache-2.0
"""PCA against scikit-learn from PyPI: time to fit and to project, how far the variances agree, peak memory.

usage: ./run bench pca [ROWS.npy] [--rows 444668] [--dim 100] [--rounds 3] [--incremental] [--randomised] [--json FILE]

Each program is a process of its own and reads the same mapped file with two threads; they take turns, and the table has the
medians. scikit-learn's solvers are covariance_eigh (the fastest here) and randomized (what its `auto` takes for such rows); with
--incremental also IncrementalPCA with its default batches, which takes minutes; with --randomised also our randomised method. Ours is fitted in bounded memory in every case. Without
a file of rows, lifelike ones of 2048 values are drawn (lifelike.py), which takes 3.6 GB of disk at the full number.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
RANDOMISED = "imgsim randomised"
BUILD = os.environ.get("IMGSIM_BUILD_DIR") or os.path.join(ROOT, "build")


def environment():
    """Python of an environment that has scikit-learn's newest version, made below the build folder."""
    folder = os.path.join(os.path.abspath(BUILD), "bench", "pca")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    if subprocess.run([python, "-c", "import sklearn"], stderr=subprocess.DEVNULL).returncode != 0:
        print("installing scikit-learn from PyPI into %s" % folder, file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-q", "scikit-learn"], check=True)
    return python


def work(solver, path, rows, dim):
    """One program: fit, project, and a line of JSON."""
    import numpy as np
    data = np.load(path, mmap_mode="r")[:rows]
    started = time.perf_counter()
    if solver.startswith("imgsim"):
        import imgsim
        imgsim.set_blas_threads(1)
        model = imgsim.Projector(dim, threads=2, method="randomised" if solver == RANDOMISED else "exact").fit(data)
        print("report: %s" % model.report, file=sys.stderr)
        version = "%s, %s" % (imgsim.version(), imgsim.simd_name())
    else:
        import sklearn
        from sklearn.decomposition import PCA, IncrementalPCA
        from threadpoolctl import threadpool_info
        version = "%s, BLAS %s" % (sklearn.__version__, threadpool_info()[0].get("architecture"))
        data = np.ascontiguousarray(data)
        started = time.perf_counter()  # reading is not counted
        model = (IncrementalPCA(dim) if solver == "incremental" else
                 PCA(dim, svd_solver=solver, random_state=0)).fit(data)
    fitted = time.perf_counter()
    projected = model.transform(data)
    ended = time.perf_counter()
    variances = model.explained_variance if solver.startswith("imgsim") else model.explained_variance_
    print(json.dumps({
        "solver": solver, "version": version, "fit": fitted - started, "project": ended - fitted,
        "variances": [float(value) for value in variances], "deviation": float(projected[:1000].std()),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--rows", type=int, default=444668)
    parser.add_argument("--dim", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--incremental", action="store_true")
    parser.add_argument("--randomised", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(arguments.work, arguments.file, arguments.rows, arguments.dim)

    python = environment()
    path = arguments.file
    if path is None:
        path = os.path.join(os.path.abspath(BUILD), "bench", "lifelike-%d.npy" % arguments.rows)
        if not os.path.exists(path):
            subprocess.run([sys.executable, os.path.join(HERE, "lifelike.py"), path, "--rows",
                            str(arguments.rows)], check=True)
    peers = ["covariance_eigh", "randomized"] + (["incremental"] if arguments.incremental else [])
    results = {}
    for turn in range(arguments.rounds):
        programs = ["imgsim"] + ([RANDOMISED] if arguments.randomised else []) + (peers if turn == 0 else peers[:1])
        for solver in programs if turn % 2 == 0 else reversed(programs):
            # OpenBLAS chooses its own kernels: what the environment says would slow one side down.
            plain = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
            plain.update({"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"})
            done = subprocess.run(
                [sys.executable if solver.startswith("imgsim") else python, os.path.abspath(__file__), path, "--work", solver,
                 "--rows", str(arguments.rows), "--dim", str(arguments.dim)],
                env=plain, check=True, stdout=subprocess.PIPE)
            result = json.loads(done.stdout)
            results.setdefault(solver, []).append(result)
            print("round %d: %-16s fit %6.2f s, project %5.2f s" % (turn + 1, solver, result["fit"], result["project"]),
                  file=sys.stderr)

    ours = results["imgsim"]
    truth = results["covariance_eigh"][0]["variances"]
    fit = statistics.median(result["fit"] for result in ours)
    whole = statistics.median(result["fit"] + result["project"] for result in ours)
    print("%-24s %9s %9s %12s %14s %9s" % ("", "fit, s", "project", "imgsim: fit", "fit + project", "peak MB"))
    for solver, runs in results.items():
        its_fit = statistics.median(result["fit"] for result in runs)
        its_whole = statistics.median(result["fit"] + result["project"] for result in runs)
        print("%-24s %9.2f %9.2f %11.2fx %13.2fx %9.0f" % (
            solver if solver.startswith("imgsim") else "scikit-learn " + solver[:11], its_fit, its_whole - its_fit,
            its_fit / fit, its_whole / whole, max(result["peak_mb"] for result in runs)))
    worst = max(abs(a - b) / b for a, b in zip(ours[0]["variances"], truth))
    print("largest relative difference of a variance from covariance_eigh's: imgsim %.1e%s" % (worst, "".join(
        ", %s %.1e" % (solver, max(abs(a - b) / b for a, b in zip(results[solver][0]["variances"], truth)))
        for solver in ([RANDOMISED] if arguments.randomised else []) + peers[1:])))
    print("%d rows, %d components; %s" % (arguments.rows, arguments.dim, "; ".join(
        "%s %s" % ("imgsim" if solver == "imgsim" else "scikit-learn", results[solver][0]["version"])
        for solver in ("imgsim", "covariance_eigh"))))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"machine": platform.processor(), "results": results}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
