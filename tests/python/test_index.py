# SPDX-License-Identifier: Apache-2.0
"""Indexes from Python: exact search equals double-precision NumPy in ids, with ties by id; the rest of the interface."""

import os
import tempfile
import unittest

import imgsim
import numpy as np
import support


def reference(rows, queries, metric):
    """Distances in double precision, queries x rows."""
    rows, queries = rows.astype(np.float64), queries.astype(np.float64)
    if metric == "l1":
        return np.stack([np.abs(rows - query).sum(1) for query in queries])
    products = queries @ rows.T
    if metric == "inner-product":
        return -products
    if metric == "l2":
        return np.stack([((rows - query) ** 2).sum(1) for query in queries])
    norms = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(rows, axis=1)[None, :]
    cosine = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return np.arccos(np.clip(cosine, -1, 1)) if metric == "angular" else 1 - cosine


class Exact(unittest.TestCase):
    def check(self, metric, rows, queries, k=10):
        index = imgsim.Index(dim=rows.shape[1], metric=metric, threads=2)
        index.add(rows)
        ids, distances = index.search(queries, k=k)
        for start in range(0, len(queries), 500):
            expected = reference(rows, queries[start:start + 500], metric)
            for i, line in enumerate(expected):
                order = np.lexsort((np.arange(len(line)), line))[:k]
                got = ids[start + i]
                if not np.array_equal(order, got):
                    # Only values that agree to the last digits of double precision may change places.
                    np.testing.assert_allclose(line[got], line[order], rtol=1e-13, atol=1e-15)
                np.testing.assert_allclose(distances[start + i], line[got], rtol=1e-5, atol=1e-6)

    def test_ten_thousand_random_queries(self):
        rng = np.random.default_rng(1)
        rows = rng.standard_normal((5000, 64)).astype(np.float32)
        queries = rng.standard_normal((10000, 64)).astype(np.float32)
        index = imgsim.Index(dim=64, metric="l2", threads=2)
        index.add(rows)
        ids, _distances = index.search(queries, k=10)
        wrong = 0
        for start in range(0, len(queries), 1000):
            distances = reference(rows, queries[start:start + 1000], "l2")
            expected = np.argsort(distances, axis=1, kind="stable")[:, :10]
            wrong += int((expected != ids[start:start + 1000]).any(axis=1).sum())
        self.assertEqual(wrong, 0)

    def test_every_vector_metric(self):
        rng = np.random.default_rng(2)
        rows = rng.standard_normal((2000, 48)).astype(np.float32)
        rows[::7] = rows[3]
        rows[5] = 0
        queries = np.concatenate([rng.standard_normal((200, 48)), rows[:20]]).astype(np.float32)
        for metric in ("cosine", "inner-product", "l2", "l1", "angular"):
            with self.subTest(metric=metric):
                self.check(metric, rows, queries)

    def test_ties_come_in_order_of_id(self):
        rows = np.tile(np.float32([[1, 0], [0, 1]]), (50, 1))
        index = imgsim.Index(dim=2)
        index.add(rows, ids=np.arange(100)[::-1].copy())
        ids, distances = index.search(np.float32([[1, 0]]), k=60)
        even = np.sort(np.arange(100)[::-1][0::2])
        np.testing.assert_array_equal(ids[0, :50], even)
        self.assertTrue((distances[0, :50] == 0).all())

    def test_answer_does_not_depend_on_batch_and_threads(self):
        rng = np.random.default_rng(3)
        rows = rng.standard_normal((3000, 100)).astype(np.float32)
        queries = rng.standard_normal((300, 100)).astype(np.float32)
        index = imgsim.Index(dim=100, threads=2)
        index.add(rows)
        ids, distances = index.search(queries, k=7)
        one = imgsim.Index(dim=100, threads=1)
        one.add(rows)
        for i in range(0, 300, 37):
            single, value = one.search(queries[i], k=7)
            np.testing.assert_array_equal(single[0], ids[i])
            np.testing.assert_array_equal(value[0], distances[i])


class Interface(unittest.TestCase):
    def test_fewer_rows_than_k(self):
        index = imgsim.Index(dim=3)
        index.add(np.eye(3, dtype=np.float32))
        ids, distances = index.search(np.eye(3)[0], k=5)
        self.assertEqual(ids.shape, (1, 5))
        self.assertEqual(list(ids[0]), [0, 1, 2, -1, -1])
        self.assertEqual(list(distances[0, 3:]), [np.inf, np.inf])

    def test_filter_remove_and_ids(self):
        rng = np.random.default_rng(4)
        rows = rng.standard_normal((100, 8)).astype(np.float32)
        for kind in ("exact", "hnsw"):
            index = imgsim.Index(dim=8, kind=kind)
            index.add(rows, ids=np.arange(100) * 3)
            self.assertEqual(index.remove([0, 3, 4]), 2)
            self.assertEqual(len(index), 98)
            ids, _ = index.search(rows[0], k=98, filter=[6, 9, 12])
            self.assertEqual(set(ids[0][:3]), {6, 9, 12})
            self.assertEqual(ids[0][3], -1)

    def test_hnsw_saves_and_opens(self):
        rng = np.random.default_rng(5)
        rows = rng.standard_normal((2000, 32)).astype(np.float32)
        index = imgsim.Index(dim=32, kind="hnsw", threads=2, seed=7)
        index.add(rows)
        exact = imgsim.Index(dim=32)
        exact.add(rows)
        found, _ = index.search(rows[:200], k=10)
        truth, _ = exact.search(rows[:200], k=10)
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, truth)])
        self.assertGreater(recall, 0.95)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.ims")
            index.save(path)
            again = imgsim.Index.open(path, verify=True)
            self.assertEqual((again.kind, again.metric, again.dim, len(again)), ("hnsw", "cosine", 32, 2000))
            np.testing.assert_array_equal(again.search(rows[:200], k=10)[0], found)

    def test_own_metric(self):
        index = imgsim.Index(dim=4, metric=lambda query, rows: np.abs(rows - query).max(1))
        rows = np.random.default_rng(6).random((50, 4)).astype(np.float32)
        index.add(rows)
        ids, _ = index.search(rows[10], k=3)
        self.assertEqual(list(ids[0]), list(np.argsort(np.abs(rows - rows[10]).max(1), kind="stable")[:3]))

    def test_exception_of_own_metric_comes_back(self):
        def fail(_query, _rows):
            raise KeyError("mine")
        index = imgsim.Index(dim=4, metric=fail)
        index.add(np.ones((3, 4)))
        with self.assertRaisesRegex(KeyError, "mine"):
            index.search(np.ones(4), k=1)

    def test_bits(self):
        rng = np.random.default_rng(7)
        rows = rng.integers(0, 256, (500, 8), dtype=np.uint8)
        index = imgsim.Index(dim=64, metric="hamming")
        index.add(rows)
        ids, distances = index.search(rows[:20], k=5)
        bits = np.unpackbits(rows, axis=1).astype(int)
        for i in range(20):
            expected = np.abs(bits - bits[i]).sum(1)
            order = np.argsort(expected, kind="stable")[:5]
            np.testing.assert_array_equal(ids[i], order)
            np.testing.assert_array_equal(distances[i], expected[order])

    def test_bad_input(self):
        index = imgsim.Index(dim=4)
        index.add(np.ones((2, 4)))
        with self.assertRaisesRegex(imgsim.Error, "[Nn]a[Nn]|finite"):
            index.add(np.full((1, 4), np.nan))
        with self.assertRaisesRegex(imgsim.Error, "k"):
            index.search(np.ones(4), k=0)
        with self.assertRaisesRegex(ValueError, "expected 4"):
            index.add(np.ones((1, 5)))
        with self.assertRaisesRegex(imgsim.Error, "ivf"):
            imgsim.Index(dim=4, kind="ivf")
        self.assertEqual(len(index), 2)


class Histograms(unittest.TestCase):
    def test_sparse_rows_are_searched_exactly(self):
        rng = np.random.default_rng(4)
        dense = rng.integers(1, 500, (1500, 512)) * (rng.random((1500, 512)) < 0.1)
        dense[0, 3] = 70000  # beyond 16 bits
        lengths = np.count_nonzero(dense, axis=1)
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        bins, counts = np.nonzero(dense)[1], dense[np.nonzero(dense)]
        rows = (dense / dense.sum(1, keepdims=True)).astype(np.float32)
        index = imgsim.Index(512, metric="l1", normalize=True)
        index.add_sparse(offsets, lengths, bins, counts)
        ids, distances = index.search(rows[:20], k=5)
        for i in range(20):
            truth = np.abs(rows[i].astype(np.float64) - rows.astype(np.float64)).sum(1)
            np.testing.assert_array_equal(ids[i], np.lexsort((np.arange(1500), truth))[:5])
        with self.assertRaises(ValueError):
            index.add_sparse(offsets, lengths[:-1], bins, counts)
        with self.assertRaises(ValueError):
            index.add_sparse(offsets, lengths + 1, bins, counts)
        with self.assertRaises(imgsim.Error):
            index.add_sparse([0], [2], [5, 4], [1, 1])  # not ascending
        with self.assertRaises(imgsim.Error):
            imgsim.Index(512, metric="cosine", normalize=True)


class Pairs(unittest.TestCase):
    def test_all_pairs_within_a_distance(self):
        rng = np.random.default_rng(5)
        rows = rng.integers(0, 256, (400, 8), dtype=np.uint8)
        flips = np.left_shift(1, rng.integers(0, 8, (200, 8))) * (rng.random((200, 8)) < 0.5)
        rows[200:] = rows[:200] ^ flips.astype(np.uint8)
        index = imgsim.Index(64, metric="hamming", threads=2)
        index.add(rows)
        bits = np.unpackbits(rows, axis=1).astype(np.int64)
        truth = (bits[:, None] != bits[None]).sum(2)
        for limit in (0, 3, 8):
            pairs, distances = index.pairs(limit)
            first, second = np.nonzero(np.triu(truth <= limit, 1))
            np.testing.assert_array_equal(pairs, np.stack([first, second], axis=1))
            np.testing.assert_array_equal(distances, truth[first, second])
        with self.assertRaises(imgsim.Error):
            index.pairs(65)


if __name__ == "__main__":
    support.main()
