# SPDX-License-Identifier: Apache-2.0
"""Exact search against what PyPI has: vectors, histograms, hashes, weighted sums; and where a graph is the better choice.

usage: ./run bench exact [--part all] [--rows 444668] [--rounds 5] [--threads 2] [--json FILE] [--real ROWS.npy]
                         [--catalog FOLDER.imgsim] [--choice SIZES] [--plot FILE.svg]

Parts, separated by commas; all of them but choice are `all`, the first four are `vectors`:

  single-b  one query, k = 10, lifelike rows (lifelike.py: 444,668 x 2048): ours, IndexFlatIP, FAISS's PCA + Panorama, USearch
            exact, NumPy; and the time to add all rows and be ready to answer
  batch-b   1,000 queries at a time on the same: ours, IndexFlatIP, NumPy
  single-c  one query on isotropic Gaussian rows, 444,668 x 512, inner product: no axis says more than another
  small     one query on 100,000 lifelike rows: ours against hnswlib at recall 0.99
  real      one query on a file of embeddings (--real), such as those of CIFAR-10; left out of all without one
  histograms, hashes, fused
            ./run bench histograms, hashes and fused, which say what they measure; fused wants a catalog (--catalog) and is left
            out of all without one
  choice    exact search against our HNSW at recall 0.99: one query and time until ready for 1,000 to 444,668 lifelike rows of 512
            values and up to ten million made ones of 64 (choice.py); --plot draws the curves

Every library gets the same rows of length 1, queries and threads; they take turns within one process, in alternating order, and the
table has the medians. OPENBLAS_CORETYPE is taken out of the environment, so that each uses the best code it has. Answers of the
exact ones are compared with ours: rows of equal distance to seven digits may stand in another order there.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
BUILD = os.environ.get("IMGSIM_BUILD_DIR") or os.path.join(ROOT, "build")
PEERS = ("numpy", "faiss-cpu", "hnswlib", "usearch")
K = 10


VECTORS = ("single-b", "batch-b", "single-c", "small")
OTHERS = ("histograms", "hashes", "fused")


def chosen_parts(arguments):
    """The names of the parts, groups replaced by what is in them."""
    groups = {"vectors": VECTORS + (("real",) if arguments.real else ()), "others": OTHERS}
    groups["all"] = groups["vectors"] + ("histograms", "hashes") + (("fused",) if arguments.catalog else ())
    parts = []
    for name in arguments.part.split(","):
        parts += [part for part in groups.get(name, (name,)) if part not in parts]
    for part, needed in (("real", arguments.real), ("fused", arguments.catalog)):
        if "all" in arguments.part.split(",") and not needed:
            print("bench exact: %s is left out" % part, file=sys.stderr)
    unknown = set(parts) - set(VECTORS + OTHERS + ("real", "choice"))
    if unknown:
        sys.exit("bench exact: no part named %s" % ", ".join(sorted(unknown)))
    for part, needed in (("real", arguments.real), ("fused", arguments.catalog)):
        if part in parts and not needed:
            sys.exit("bench exact: the part %s needs %s" % (part, "--real" if part == "real" else "--catalog"))
    return parts


def run_others(parts, arguments):
    """The benchmarks with scripts and environments of their own, each a process; what they measured, by part."""
    found = {}
    for part in parts:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [sys.executable, os.path.join(HERE, "bench_%s.py" % part), "--threads", str(arguments.threads), "--json", file.name]
            command += ["--catalog", arguments.catalog] if part == "fused" else ["--rows", str(arguments.rows)]
            print("\n%s" % part, flush=True)
            if subprocess.run(command).returncode != 0:
                sys.exit("bench exact: the part %s failed" % part)
            found[part] = json.load(file)
    return found


def in_environment():
    """
    Run again with the peers at their newest, in an environment below the build folder, and a clean choice of kernels. Returns only
    there.
    """
    if os.environ.get("IMGSIM_BENCH_EXACT"):
        return
    folder = os.path.join(os.path.abspath(BUILD), "bench", "exact")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(os.path.join(folder, "complete")):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        print("installing %s from PyPI into %s" % (", ".join(PEERS), folder), file=sys.stderr)
        subprocess.run([python, "-m", "pip", "install", "-q"] + list(PEERS), check=True)
        open(os.path.join(folder, "complete"), "w").close()
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    environment.update(IMGSIM_BENCH_EXACT="1", OMP_WAIT_POLICY="passive")
    os.execve(python, [python] + sys.argv, environment)


def resident_copy(rows):
    import numpy as np
    return np.ascontiguousarray(rows, np.float32)


class Ours:
    name = "imgsim"

    def __init__(self, rows, threads, metric="cosine"):
        import imgsim
        self.index = imgsim.Index(rows.shape[1], metric, "exact", threads, max_bytes=1 << 40)
        self.index.add(rows)
        self.index.search(rows[:1], K)  # planes are made now
        self.stats = {}

    def search(self, queries):
        return self.index.search(queries, K, stats=self.stats)[0]


class Flat:
    name = "faiss IndexFlatIP"

    def __init__(self, rows, threads):
        import faiss
        faiss.omp_set_num_threads(threads)
        self.index = faiss.IndexFlatIP(rows.shape[1])
        self.index.add(rows)

    def search(self, queries):
        return self.index.search(queries, K)[1]


class Panorama:
    """PCA to all axes, then FAISS's exact pruning by levels; distances of rows of length 1 order as their products."""

    name = "faiss PCA + FlatL2Panorama"

    def __init__(self, rows, threads, levels=32):
        import faiss
        faiss.omp_set_num_threads(threads)
        dimension = rows.shape[1]
        self.pca = faiss.PCAMatrix(dimension, dimension)
        step = max(1, len(rows) // 65536)
        self.pca.train(resident_copy(rows[::step]))
        self.index = faiss.IndexPreTransform(self.pca, faiss.IndexFlatL2Panorama(dimension, levels))
        self.index.is_trained = True
        for start in range(0, len(rows), 32768):
            self.index.add(resident_copy(rows[start:start + 32768]))

    def search(self, queries):
        return self.index.search(queries, K)[1]


class Numpy:
    name = "NumPy"

    def __init__(self, rows, threads):
        self.rows = rows

    def search(self, queries):
        import numpy as np
        out = np.empty((len(queries), K), np.int64)
        for start in range(0, len(queries), 128):
            scores = queries[start:start + 128] @ self.rows.T
            best = np.argpartition(scores, -K, axis=1)[:, -K:]
            order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
            out[start:start + 128] = np.take_along_axis(best, order, 1)
        return out


class Usearch:
    name = "USearch exact"

    def __init__(self, rows, threads):
        self.rows, self.threads = rows, threads

    def search(self, queries):
        import usearch.index
        found = usearch.index.search(self.rows, queries, K, usearch.index.MetricKind.IP, exact=True, threads=self.threads)
        return found.keys.reshape(len(queries), K).astype("int64")


class Hnswlib:
    name = "hnswlib"

    def __init__(self, rows, threads):
        import hnswlib
        self.index = hnswlib.Index("ip", rows.shape[1])
        self.index.init_index(len(rows), ef_construction=200, M=16)
        self.index.add_items(rows, num_threads=threads)
        self.threads = threads

    def tune(self, queries, truth, wanted):
        """The least efSearch that finds this share."""
        import numpy as np
        for width in (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048):
            self.index.set_ef(width)
            found = self.index.knn_query(queries, K, num_threads=self.threads)[0]
            recall = np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, truth)]) / K
            if recall >= wanted:
                break
        self.name = "hnswlib, ef %d, recall %.3f" % (width, recall)

    def search(self, queries):
        return self.index.knn_query(queries, K, num_threads=1 if len(queries) == 1 else self.threads)[0].astype("int64")


def built(kind, rows, threads, report):
    start = time.perf_counter()
    index = kind(rows, threads)
    report[index.name] = {"ready_seconds": time.perf_counter() - start}
    return index


def take_turns(indexes, queries, at_once, rounds, report):
    """Median seconds of a call with so many queries; the answers of the first round."""
    import numpy as np
    times, answers = {index.name: [] for index in indexes}, {}
    for turn in range(rounds):
        part = queries[turn * at_once % (len(queries) - at_once + 1):][:at_once]
        for index in indexes if turn % 2 == 0 else indexes[::-1]:
            start = time.perf_counter()
            found = index.search(part)
            times[index.name].append(time.perf_counter() - start)
            answers.setdefault(index.name, []).append(found)
    ours = np.concatenate(answers[indexes[0].name])
    for index in indexes:
        entry = report.setdefault(index.name, {})
        entry["seconds"] = float(np.median(times[index.name]))
        entry["same_ids"] = float(np.mean(np.concatenate(answers[index.name]) == ours))
    report[indexes[0].name]["stats"] = dict(indexes[0].stats)


def show(what, report):
    ours = next(iter(report.values()))["seconds"]
    print("\n%s" % what)
    print("%-34s %12s %8s %10s %12s" % ("", "ms a call", "ratio", "same ids", "ready after"))
    for name, entry in report.items():
        if "seconds" in entry:
            ready = "%10.1f s" % entry["ready_seconds"] if "ready_seconds" in entry else ""
            print("%-34s %12.3f %8.2f %9.2f%% %12s" % (
                name, 1e3 * entry["seconds"], entry["seconds"] / ours, 100 * entry["same_ids"], ready))
    print("read: %s" % next(iter(report.values())).get("stats"), flush=True)


def lifelike(count):
    import lifelike as source
    import numpy as np
    folder = os.path.join(os.path.abspath(BUILD), "bench")
    path = os.environ.get("IMGSIM_LIFELIKE") or os.path.join(folder, "lifelike.npy")
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(path):
        source.write(path, 444668, 2048, 2000)
    return np.load(path, mmap_mode="r")[:count], np.load(path[:-4] + ".queries.npy")


def gaussian(count):
    import numpy as np
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((count, 512), dtype=np.float32)
    return rows, rng.standard_normal((1000, 512), dtype=np.float32)


def run_lifelike(arguments, parts, result):
    rows, queries = lifelike(arguments.rows)
    rows = resident_copy(rows)
    if "single-b" in parts:
        report = {}
        indexes = [built(kind, rows, arguments.threads, report) for kind in (Ours, Flat, Panorama)]
        indexes += [Usearch(rows, arguments.threads), Numpy(rows, arguments.threads)]
        take_turns(indexes, queries, 1, 8 * arguments.rounds, report)
        show("one query, %d x %d lifelike rows" % rows.shape, report)
        result["single-b"] = report
    if "batch-b" in parts:
        report = {}
        if "single-b" in parts:
            indexes = [indexes[0], indexes[1], indexes[4]]
        else:
            indexes = [built(kind, rows, arguments.threads, report) for kind in (Ours, Flat)]
        take_turns(indexes, queries, 1000, max(3, arguments.rounds // 2), report)
        show("1,000 queries at a time, %d x %d lifelike rows" % rows.shape, report)
        result["batch-b"] = report


def run_small(arguments, result):
    rows, queries = lifelike(100000)
    rows, report = resident_copy(rows), {}
    indexes = [built(kind, rows, arguments.threads, report) for kind in (Ours, Hnswlib)]
    ready = report.pop("hnswlib")
    indexes[1].tune(queries[:500], indexes[0].search(queries[:500]), 0.99)
    report[indexes[1].name] = ready
    take_turns(indexes, queries, 1, 40 * arguments.rounds, report)
    show("one query, 100,000 x 2048 lifelike rows", report)
    result["small"] = report


def run_plain(name, what, rows, queries, kinds, arguments, result):
    report = {}
    indexes = [built(kind, rows, arguments.threads, report) for kind in kinds]
    take_turns(indexes, queries, 1, 8 * arguments.rounds, report)
    show(what, report)
    result[name] = report


class OursProducts(Ours):
    def __init__(self, rows, threads):
        super().__init__(rows, threads, "inner-product")


def write_json(arguments, figures):
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(figures, file, indent=1)


def main():
    parser = argparse.ArgumentParser(prog="bench exact", description=__doc__.split("\n")[0])
    parser.add_argument("--part", default="all")
    parser.add_argument("--rows", type=int, default=444668)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--real", help="embeddings as .npy, for the part real")
    parser.add_argument("--catalog", help="of embeddings, colours and hashes, for the part fused")
    parser.add_argument("--choice", help="sizes for the part choice: DIMENSION:ROWS,ROWS;DIMENSION:ROWS")
    parser.add_argument("--plot", help="draw the curves of the part choice into this SVG file")
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("--others", help=argparse.SUPPRESS)  # figures of scripts that ran before
    arguments = parser.parse_args()
    parts = chosen_parts(arguments)
    if not os.environ.get("IMGSIM_BENCH_EXACT"):
        found = run_others([part for part in parts if part in OTHERS], arguments)
        if set(parts) <= set(OTHERS):
            write_json(arguments, {"threads": arguments.threads, "parts": found})
            return
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump(found, file)
        sys.argv += ["--others", file.name]
    in_environment()

    import faiss
    import numpy as np
    import imgsim
    sys.path.insert(0, HERE)
    result = {}
    if arguments.others:
        with open(arguments.others) as file:
            result = json.load(file)
        os.unlink(arguments.others)
    print("%s, %d threads; imgsim %s, faiss %s (%s), NumPy %s" % (
        platform.processor() or platform.machine(), arguments.threads, imgsim.simd_name(), faiss.__version__,
        faiss.get_compile_options().strip(), np.__version__))
    if "single-b" in parts or "batch-b" in parts:
        run_lifelike(arguments, parts, result)
    if "single-c" in parts:
        rows, queries = gaussian(arguments.rows)
        run_plain("single-c", "one query, %d x 512 isotropic Gaussian rows" % len(rows), rows, queries,
                  (OursProducts, Flat), arguments, result)
    if "small" in parts:
        run_small(arguments, result)
    if "real" in parts:
        rows = resident_copy(np.load(arguments.real))
        chosen = np.random.default_rng(0).permutation(len(rows))
        run_plain("real", "one query, %s" % os.path.basename(arguments.real), rows[chosen[200:]], rows[chosen[:200]],
                  (Ours, Flat, Panorama), arguments, result)
    if "choice" in parts:
        import choice
        result["choice"] = choice.run(arguments)
    write_json(arguments, {"threads": arguments.threads, "faiss": faiss.__version__, "parts": result})


if __name__ == "__main__":
    main()
