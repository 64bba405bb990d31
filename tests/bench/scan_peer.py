# SPDX-License-Identifier: Apache-2.0
"""What Python programs do instead of a scan: run by bench_scan.py as `scan_peer.py MODE FOLDER PROCESSES`, for
torchvision with ARCHITECTURE BATCH THREADS behind it.

Each process works through its share of the files on its own and keeps the rows in memory; nothing is sent between processes.
Prints seconds of work (without imports) and the images done.
"""

import json
import multiprocessing
import os
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


def imagededup(paths):
    """imagededup's perceptual hash alone, image by image as its encode_images does in each process."""
    from imagededup.methods import PHash
    hasher = PHash(verbose=False)
    yield
    hashes = [hasher.encode_image(image_file=path) for path in paths]
    yield len(hashes)


def torchvision_rows(paths, architecture, batch, threads, workers, weights):
    """Embeddings by torchvision as its tutorials have it: a DataLoader of `workers` processes, the network in this one."""
    import torch
    import torchvision
    from PIL import Image
    from torchvision import transforms

    class Files(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, i):
            return prepare(Image.open(paths[i]).convert("RGB"))
    prepare = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
                                  transforms.Normalize([.485, .456, .406], [.229, .224, .225])])
    torch.set_num_threads(threads)
    network = getattr(torchvision.models, architecture)(weights=None).eval()
    if weights:
        network.load_state_dict(torch.load(weights))
    setattr(network, "fc" if hasattr(network, "fc") else "classifier", torch.nn.Identity())
    network = network.to(memory_format=torch.channels_last)
    started, count = time.monotonic(), 0
    with torch.inference_mode():
        for images in torch.utils.data.DataLoader(Files(), batch_size=batch, num_workers=workers):
            count += network(images.to(memory_format=torch.channels_last)).shape[0]
    return {"seconds": time.monotonic() - started, "images": count}


def work(mode, paths, ready, results):
    import cv2
    cv2.setNumThreads(1)
    if mode == "imagehash":
        steps = imagehash_as_usual(paths)
    elif mode == "imagededup":
        steps = imagededup(paths)
    else:
        steps = opencv(paths, "IMREAD_REDUCED_COLOR_2" if mode == "opencv-reduced" else "IMREAD_COLOR")
    next(steps)
    ready.wait()
    started = time.monotonic()
    next(steps)
    results.put((started, time.monotonic(), len(paths)))


def main():
    mode, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    paths = sorted(os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)
    if mode == "torchvision":
        architecture, batch, threads = sys.argv[4], int(sys.argv[5]), int(sys.argv[6])
        print(json.dumps(torchvision_rows(paths, architecture, batch, threads, count, None)))
        return
    ready = multiprocessing.Barrier(count)
    results = multiprocessing.Queue()
    processes = [multiprocessing.Process(target=work, args=(mode, paths[i::count], ready, results)) for i in range(count)]
    for process in processes:
        process.start()
    reports = [results.get() for _ in processes]
    for process in processes:
        process.join()
    print(json.dumps({"seconds": max(r[1] for r in reports) - min(r[0] for r in reports),
                      "images": sum(r[2] for r in reports)}))


if __name__ == "__main__":
    main()
