# SPDX-License-Identifier: Apache-2.0
"""What Python programs do instead of a scan: run by bench_scan.py as `scan_peer.py MODE FOLDER PROCESSES`.

Each process works through its share of the files on its own and keeps the rows in memory; nothing is sent between processes.
Prints seconds of work (without imports), the processes' peak memory together, and the images done.
"""

import json
import multiprocessing
import os
import resource
import sys
import time


def opencv(paths, flag_name):
    """One decode by OpenCV for histogram and hash."""
    import cv2
    import numpy as np
    flag = getattr(cv2, flag_name)
    hasher = cv2.img_hash.PHash_create()
    histograms = np.empty((len(paths), 4096), np.float32)
    hashes = np.empty((len(paths), 8), np.uint8)
    yield
    for i, path in enumerate(paths):
        image = cv2.imread(path, flag)
        histograms[i] = cv2.calcHist([image], [0, 1, 2], None, [16, 16, 16], [0, 256] * 3).ravel()
        hashes[i] = hasher.compute(image)
    yield


def imagehash_as_usual(paths):
    """OpenCV for the histogram, then imagehash, which opens the file again with PIL."""
    import cv2
    import imagehash
    import numpy as np
    from PIL import Image
    histograms = np.empty((len(paths), 4096), np.float32)
    hashes = []
    yield
    for i, path in enumerate(paths):
        image = cv2.imread(path)
        histograms[i] = cv2.calcHist([image], [0, 1, 2], None, [16, 16, 16], [0, 256] * 3).ravel()
        hashes.append(imagehash.phash(Image.open(path)))
    yield


def work(mode, paths, ready, results):
    import cv2
    cv2.setNumThreads(1)
    if mode == "imagehash":
        steps = imagehash_as_usual(paths)
    else:
        steps = opencv(paths, "IMREAD_REDUCED_COLOR_2" if mode == "opencv-reduced" else "IMREAD_COLOR")
    next(steps)
    ready.wait()
    started = time.monotonic()
    next(steps)
    results.put((started, time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, len(paths)))


def main():
    mode, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    paths = sorted(os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)
    ready = multiprocessing.Barrier(count)
    results = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=work, args=(mode, paths[i::count], ready, results)) for i in range(count)]
    for process in processes:
        process.start()
    reports = [results.get() for _ in processes]
    for process in processes:
        process.join()
    print(json.dumps({"seconds": max(r[1] for r in reports) - min(r[0] for r in reports),
                      "memory": sum(r[2] for r in reports), "images": sum(r[3] for r in reports)}))


if __name__ == "__main__":
    main()
