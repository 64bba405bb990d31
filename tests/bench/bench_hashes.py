# SPDX-License-Identifier: Apache-2.0
"""Exact Hamming search and all pairs against FAISS's binary index and NumPy: 64 and 256 bits.

usage: ./run bench hashes [--rows 444668] [--threads 2] [--json FILE]

Half of the hashes are drawn, half are copies of 20,000 others with up to six bits flipped, as near-duplicate photos have. FAISS is
IndexBinaryFlat, whose search compares one query on one thread: it gets as many queries at once as there are threads, and the time is the one
per query; its pairs are range_search of 2,000 of the rows, the time scaled to all. All answers are compared.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

import imgsim

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("IMGSIM_BUILD_DIR") or os.path.join(HERE, "..", "..", "build")
K = 10
SOME = 2000


def with_faiss():
    """Run this program again in an environment with FAISS from PyPI, made below the build folder."""
    if os.environ.pop("OPENBLAS_CORETYPE", None) is not None:  # the peers choose their own kernels
        os.execv(sys.executable, [sys.executable] + sys.argv)
    try:
        import faiss  # noqa: F401
        return
    except ImportError:
        pass
    if os.environ.get("IMGSIM_BENCH_HASHES"):
        sys.exit("bench hashes: faiss cannot be imported")
    folder = os.path.join(os.path.abspath(BUILD), "bench", "hashes")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", folder], check=True)
    print("installing faiss-cpu from PyPI into %s" % folder, file=sys.stderr)
    subprocess.run([python, "-m", "pip", "install", "-q", "faiss-cpu"], check=True)
    os.environ["IMGSIM_BENCH_HASHES"] = "1"
    os.execv(python, [python] + sys.argv)


def hashes(count, bits, rng):
    rows = rng.integers(0, 256, (count, bits // 8), dtype=np.uint8)
    half = count // 2
    rows[half:] = rows[rng.integers(0, min(20000, half), count - half)]
    for _ in range(6):
        who = half + np.flatnonzero(rng.random(count - half) < 0.5)
        bit = rng.integers(0, bits, len(who))
        rows[who, bit // 8] ^= np.left_shift(1, bit % 8).astype(np.uint8)
    return rows


def timed(call):
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def measure(bits, limit, options):
    import faiss
    rng = np.random.default_rng(bits)
    rows = hashes(options.rows, bits, rng)
    queries = hashes(400, bits, rng)
    index = imgsim.Index(bits, metric="hamming", threads=options.threads)
    index.add(rows)
    faiss.omp_set_num_threads(options.threads)
    flat = faiss.IndexBinaryFlat(bits)
    flat.add(rows)
    ours, peer = [], []
    for i in range(0, 200, options.threads):
        ours += [timed(lambda: index.search(queries[i + j:i + j + 1], K))[0] for j in range(options.threads)]
        peer.append(timed(lambda: flat.search(queries[i:i + options.threads], K))[0] / options.threads)
    same = np.array_equal(index.search(queries, K)[1].astype(np.int64), np.sort(flat.search(queries, K)[0], axis=1))
    found = [timed(lambda: index.pairs(limit)) for _ in range(3)]
    some = np.sort(rng.permutation(len(rows))[:SOME])
    took, (starts, distances, near) = timed(lambda: flat.range_search(rows[some], limit + 1))
    pairs = found[0][1][0]
    ours_of_some = np.isin(pairs, some).sum()
    theirs = int(starts[-1]) - SOME
    return {
        "bits": bits, "limit": limit, "ms": 1e3 * float(np.median(ours)), "faiss_ms": 1e3 * float(np.median(peer)), "same_answers": bool(same),
        "pairs": len(pairs), "pairs_s": float(np.median([t for t, _ in found])), "faiss_pairs_s": took * len(rows) / SOME / 2,
        "same_pairs": int(ours_of_some) == theirs,
    }


def main():
    parser = argparse.ArgumentParser(prog="./run bench hashes", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=444668)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json")
    options = parser.parse_args()
    with_faiss()
    lines = []
    for bits, limit in ((64, 8), (256, 31)):
        line = measure(bits, limit, options)
        lines.append(line)
        print("%3d bits: top 10 %.3f ms, FAISS %.3f ms, %.1fx, distances %s; %d pairs within %d in %.2f s, FAISS %.0f s, %s" % (
            bits, line["ms"], line["faiss_ms"], line["faiss_ms"] / line["ms"], "equal" if line["same_answers"] else "DIFFER",
            line["pairs"], limit, line["pairs_s"], line["faiss_pairs_s"], "equal" if line["same_pairs"] else "DIFFER"), flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"rows": options.rows, "threads": options.threads, "results": lines}, file, indent=1)


if __name__ == "__main__":
    main()
