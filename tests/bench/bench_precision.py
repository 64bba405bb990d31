# SPDX-License-Identifier: Apache-2.0
"""Precision at 5 of class search on real photos: ours from the files on, against torchvision and NumPy in fp32.

usage: ./run bench precision [FOLDER OF CLASSES] [--models DIR]

Every photo of a folder of classes is searched by its embedding, without itself; the precision is the share of its five hits that
lie in its own class folder.
"""

import argparse
import json
import os
import struct
import sys
import tempfile
import time

import numpy as np

import imgsim

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.environ.get("IMGSIM_TEST_DATA") or os.path.join(HERE, "..", "..", "..", "shared", "data")


def tensors(path):
    """A safetensors file as torch tensors."""
    import torch
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    return {name: torch.from_numpy(np.frombuffer(
        data, np.float32, int(np.prod(t["shape"])), t["data_offsets"][0]).reshape(t["shape"]).copy())
        for name, t in header.items() if name != "__metadata__"}


def theirs(architecture, weights, paths):
    """Normalised embeddings by torchvision's network and evaluation transform, one image at a time."""
    import torch
    import torchvision
    from PIL import Image
    network = getattr(torchvision.models, architecture)()
    network.load_state_dict(tensors(weights), strict=False)
    network.eval()
    transform = torchvision.transforms.Compose([
        torchvision.transforms.Resize(256), torchvision.transforms.CenterCrop(224), torchvision.transforms.ToTensor(),
        torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    rows = []
    with torch.no_grad():
        for start in range(0, len(paths), 16):
            batch = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths[start:start + 16]])
            rows.append(network.features(batch).mean((2, 3)).numpy())
    rows = np.concatenate(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def precision(ranked, classes):
    """Mean share of the first five that are of the query's class."""
    return float(np.mean(classes[ranked] == classes[:, None]))


def color_metrics(folder):
    """Precision at 5 of the colour histogram alone, by each metric."""
    with tempfile.TemporaryDirectory() as place, imgsim.Catalog(os.path.join(place, "c"), create=True) as catalog:
        catalog.scan([folder], hash=False)
        classes = np.array([os.path.basename(os.path.dirname(path)) for path in catalog.paths])
        found = {}
        for metric in ("intersection", "bhattacharyya", "correlation", "chi-square", "l1"):
            ranked = np.array([[hit.id for hit in catalog.search(i, by="color", metric={"color": metric}, k=5)]
                               for i in range(len(classes))])
            found[metric] = round(precision(ranked, classes), 4)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.path.join(DATA, "images", "caltech101-20"))
    parser.add_argument("--models", default=os.path.join(DATA, "models"))
    parser.add_argument("--json")
    arguments = parser.parse_args()
    if not os.path.isdir(arguments.folder):
        sys.exit("no folder %s: name a folder of classes" % arguments.folder)
    report = []
    for architecture in ("mobilenet_v2", "squeezenet1_1"):
        model = os.path.join(arguments.models, architecture + ".safetensors")
        with tempfile.TemporaryDirectory() as folder, imgsim.Catalog(os.path.join(folder, "c"), create=True) as catalog:
            started = time.monotonic()
            catalog.scan([arguments.folder], model=model, color=False, hash=False)
            scan_seconds = time.monotonic() - started
            paths = catalog.paths
            classes = np.array([os.path.basename(os.path.dirname(path)) for path in paths])
            ranked = np.array([[hit.id for hit in catalog.search(i, by="embedding", k=5)] for i in range(len(paths))])
            ours = np.array(catalog.features("embedding"))
        reference = theirs(architecture, model, paths)
        products = reference @ reference.T
        np.fill_diagonal(products, -np.inf)
        expected = np.argsort(-products, axis=1, kind="stable")[:, :5]
        report.append({
            "network": architecture, "images": len(paths), "scan_seconds": round(scan_seconds, 1),
            "precision_ours": round(precision(ranked, classes), 4),
            "precision_torchvision": round(precision(expected, classes), 4),
            "mean_cosine": round(float((ours * reference).sum(1).mean()), 6),
            "least_cosine": round(float((ours * reference).sum(1).min()), 6)})
    print("%-14s %7s %14s %14s %12s %12s" % ("network", "images", "P@5 imgsim", "P@5 torch", "mean cosine", "least"))
    for row in report:
        print("%-14s %7d %14.4f %14.4f %12.6f %12.6f" % (
            row["network"], row["images"], row["precision_ours"], row["precision_torchvision"], row["mean_cosine"],
            row["least_cosine"]))
    colors = color_metrics(arguments.folder)
    print("\nP@5 of the colour histogram alone: " + ", ".join("%s %.4f" % item for item in colors.items()))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"networks": report, "color": colors}, file, indent=1)


if __name__ == "__main__":
    main()
