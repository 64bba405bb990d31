# SPDX-License-Identifier: Apache-2.0
"""Neighbours of vectors with NumPy: build an index, save it, open it, compare it with the truth.

PYTHONPATH=bindings/python python3 examples/neighbours.py
"""

import tempfile
import pathlib

import numpy as np

import imgsim

K = 10

generator = np.random.default_rng(seed=1)
centres = generator.normal(size=(50, 64))
rows = (centres[generator.integers(50, size=5000)] + generator.normal(scale=0.4, size=(5000, 64))).astype(np.float32)
queries = rows[:100]

with tempfile.TemporaryDirectory() as folder:
    path = str(pathlib.Path(folder) / "rows.ims")
    index = imgsim.Index(dim=64, metric="cosine", kind="hnsw", threads=2)
    index.add(rows, ids=None)
    index.save(path)
    ids, distances = imgsim.Index.open(path).search(queries, k=K)

# The same by brute force: cosine is the product of rows of length 1.
unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
truth = np.argsort(-(unit[:100] @ unit.T), axis=1, kind="stable")[:, :K]
found = np.mean([len(set(a) & set(b)) / K for a, b in zip(ids, truth)])

print("nearest to row 0:", ", ".join(f"{i} ({d:.3f})" for i, d in zip(ids[0], distances[0])))
print(f"recall@{K} against NumPy: {found:.3f}")
