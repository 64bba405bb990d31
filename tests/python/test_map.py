# SPDX-License-Identifier: Apache-2.0
"""Maps: affinities against an independent NumPy reference, quality against scikit-learn, and the interface of Map."""

import os
import struct
import subprocess
import tempfile
import unittest

import imgsim
import numpy as np
import support


def clouds(count=400, dim=20, seed=3, groups=5):
    """Rows around centres, and which."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, count)
    return (rng.standard_normal((groups, dim)) * 3)[group] + rng.standard_normal((count, dim)), group


def neighbours(rows, k):
    """Places and distances of the k nearest others, in double precision."""
    rows = np.asarray(rows, np.float64)
    distances = np.sqrt(np.maximum(((rows[:, None, :] - rows[None]) ** 2).sum(-1), 0))
    np.fill_diagonal(distances, np.inf)
    places = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return places, np.take_along_axis(distances, places, 1)


def umap_reference(places, distances):
    """The fuzzy simplicial set by the paper's formulas: rho, sigma by bisection, a + b - ab."""
    n, k = places.shape
    graph = np.zeros((n, n))
    for i in range(n):
        row = distances[i]
        near = row[row > 0]
        rho = near[0] if near.size else 0.0
        low, high = 1e-12, 1e6
        for _ in range(200):
            sigma = np.sqrt(low * high)
            total = np.exp(-np.maximum(row - rho, 0) / sigma).sum()
            low, high = (low, sigma) if total > np.log2(k + 1) else (sigma, high)
        least = 1e-3 * (row.sum() / (k + 1) if rho > 0 else distances.sum() / (n * (k + 1)))
        graph[i, places[i]] = np.exp(-np.maximum(row - rho, 0) / max(sigma, least))
    return graph + graph.T - graph * graph.T


def tsne_reference(places, distances, perplexity):
    """Joint probabilities with the entropy of every row found by bisection."""
    n, _k = places.shape
    joint = np.zeros((n, n))
    for i in range(n):
        square = distances[i] ** 2
        low, high = 1e-12, 1e12
        for _ in range(300):
            beta = np.sqrt(low * high)
            p = np.exp(-beta * (square - square.min()))
            p /= p.sum()
            entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
            low, high = (beta, high) if entropy > np.log(perplexity) else (low, beta)
        joint[i, places[i]] = p
    return (joint + joint.T) / (2 * n)


def affinities(places, distances, perplexity):
    """The library's own, dense."""
    program = os.environ.get("IMGSIM_AFFINITIES")
    if not program:
        raise unittest.SkipTest("IMGSIM_AFFINITIES does not name the program")
    n, k = places.shape
    data = struct.pack("=IId", n, k, perplexity) + places.astype(np.uint32).tobytes() + \
        distances.astype(np.float32).tobytes()
    printed = subprocess.run([program], input=data, stdout=subprocess.PIPE, check=True).stdout
    table = np.array([line.split() for line in printed.splitlines()], np.float64)
    out = np.zeros((n, n))
    out[table[:, 0].astype(int), table[:, 1].astype(int)] = table[:, 2]
    return out


class Affinities(unittest.TestCase):
    def test_umap(self):
        for k in (4, 14, 40):
            rows, _group = clouds()
            rows[7] = rows[3]  # identical rows
            places, distances = neighbours(rows, k)
            np.testing.assert_allclose(
                affinities(places, distances, 0.0), umap_reference(places, distances), atol=1e-4)

    def test_tsne(self):
        for perplexity in (5.0, 30.0):
            rows, _group = clouds()
            places, distances = neighbours(rows, int(3 * perplexity))
            ours = affinities(places, distances, perplexity)
            reference = tsne_reference(places, distances, perplexity)
            self.assertAlmostEqual(ours.sum(), 1.0, 4)
            np.testing.assert_allclose(ours * len(rows), reference * len(rows), atol=1e-4)

    def test_tsne_against_scikit_learn(self):
        support.module("sklearn")
        from scipy.sparse import csr_matrix
        from sklearn.manifold._t_sne import _joint_probabilities_nn
        rows, _group = clouds()
        places, distances = neighbours(rows, 90)
        n, k = places.shape
        squares = csr_matrix((distances.ravel() ** 2, places.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
        squares.sort_indices()
        theirs = _joint_probabilities_nn(squares.astype(np.float32), 30.0, 0).toarray()
        np.testing.assert_allclose(affinities(places, distances, 30.0) * n, theirs * n, atol=1e-4)


class Quality(unittest.TestCase):
    def test_trustworthiness_is_scikit_learns(self):
        support.module("sklearn")
        from sklearn.manifold import trustworthiness
        rows, _group = clouds()
        rng = np.random.default_rng(1)
        for positions in (rows[:, :2], rows[:, :3], rng.standard_normal((len(rows), 2))):
            positions = positions.astype(np.float32)
            for k in (5, 15):
                for metric, theirs in (("l2", "euclidean"), ("cosine", "cosine")):
                    ours = imgsim.measure(rows, positions, k, metric=metric)
                    self.assertAlmostEqual(
                        ours.trustworthiness,
                        trustworthiness(rows.astype(np.float32), positions, n_neighbors=k, metric=theirs), 5)
                self.assertAlmostEqual(  # continuity is trustworthiness with the roles exchanged
                    imgsim.measure(rows, positions, k, metric="l2").continuity,
                    trustworthiness(positions, rows.astype(np.float32), n_neighbors=k), 5)

    def test_a_sample_is_near_the_whole(self):
        rows, _group = clouds(3000)
        positions = rows[:, :2].astype(np.float32)
        whole, part = imgsim.measure(rows, positions), imgsim.measure(rows, positions, anchors=600)
        self.assertEqual((whole.anchors, part.anchors), (3000, 600))
        self.assertAlmostEqual(whole.trustworthiness, part.trustworthiness, 1)

    def test_divergence_is_that_of_the_definition(self):
        rows, _group = clouds()
        chart = imgsim.Map(rows, layout="tsne", metric="l2", perplexity=20)
        places, distances = neighbours(rows, 60)
        p = tsne_reference(places, distances, 20)
        y = chart.positions.astype(np.float64)
        q = 1 / (1 + ((y[:, None] - y[None]) ** 2).sum(-1))
        np.fill_diagonal(q, 0)
        q /= q.sum()
        mask = p > 0
        self.assertAlmostEqual(chart.kl, (p[mask] * np.log(p[mask] / q[mask])).sum(), 2)


class Interface(unittest.TestCase):
    def test_layouts_keep_neighbourhoods(self):
        rows, group = clouds(500)
        for layout in ("umap", "tsne"):
            for dim in (2, 3):
                chart = imgsim.Map(rows, layout=layout, dim=dim, metric="l2", threads=2)
                again = imgsim.Map(rows, layout=layout, dim=dim, metric="l2", threads=1)
                np.testing.assert_array_equal(chart.positions, again.positions)
                self.assertEqual(chart.positions.shape, (500, dim))
                self.assertGreater(chart.quality(metric="l2").trustworthiness, 0.9)
                places, _distances = neighbours(chart.positions, 10)
                self.assertGreater((group[places] == group[:, None]).mean(), 0.97)
                other = imgsim.Map(rows, layout=layout, dim=dim, metric="l2", seed=2)
                self.assertFalse(np.array_equal(chart.positions, other.positions))

    def test_the_graph(self):
        rows, _group = clouds()
        chart = imgsim.Map(rows, metric="l2", neighbours=8, epochs=5, ids=np.arange(400) * 2)
        places, distances = neighbours(rows.astype(np.float32), 7)
        np.testing.assert_array_equal(chart.neighbours, places)
        np.testing.assert_allclose(chart.distances, distances, rtol=1e-5)
        np.testing.assert_array_equal(chart.ids, np.arange(400) * 2)

    def test_new_rows_land_among_their_like(self):
        rows, group = clouds(600)
        for layout in ("umap", "tsne"):
            chart = imgsim.Map(rows[:500], layout=layout, metric="l2")
            placed = chart.place(rows[500:])
            distances = ((placed[:, None] - chart.positions[None]) ** 2).sum(-1)
            nearest = np.argsort(distances, axis=1)[:, :9]
            self.assertGreater((group[:500][nearest] == group[500:, None]).mean(), 0.95)

    def test_files_and_plots(self):
        rows, group = clouds()
        chart = imgsim.Map(rows, layout="pca")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "map")
            chart.save(path + ".ims")
            np.testing.assert_array_equal(imgsim.Map.load(path + ".ims").positions, chart.positions)
            chart.write_npy(path + ".npy")
            np.testing.assert_array_equal(np.load(path + ".npy"), chart.positions)
            np.testing.assert_array_equal(np.load(path + ".ids.npy"), chart.ids)
            chart.write_csv(path + ".csv")
            with open(path + ".csv") as file:
                table = np.loadtxt(file, delimiter=",", skiprows=1)
            np.testing.assert_allclose(table[:, 1:], chart.positions, rtol=1e-6)
            chart.write_plot(path + ".svg", groups=group, names=["<a>", "b", "c", "d", "e"])
            with open(path + ".svg") as file:
                text = file.read()
            self.assertIn("&lt;a&gt;", text)
            self.assertEqual(text.count("h0"), 400)

    def test_bad_requests(self):
        rows, _group = clouds(50)
        bad = rows.copy()
        bad[17, 2] = np.nan
        with self.assertRaisesRegex(imgsim.Error, "row 17"):
            imgsim.Map(bad)
        with self.assertRaisesRegex(imgsim.Error, "3 points"):
            imgsim.Map(rows[:3])
        with self.assertRaisesRegex(imgsim.Error, "mds"):
            imgsim.Map(rows, layout="mds")
        with self.assertRaises(TypeError):
            imgsim.Map(rows, nonsense=1)
        with self.assertRaisesRegex(imgsim.Error, "PCA"):
            imgsim.Map(rows, layout="pca").place(rows[:2])


if __name__ == "__main__":
    support.main()
