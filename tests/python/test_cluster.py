# SPDX-License-Identifier: Apache-2.0
"""Clusters against scikit-learn and SciPy on rows without ties, and the interface of imgsim.cluster()."""

import unittest

import imgsim
import numpy as np
import support


def digits():
    """scikit-learn's digits with a little noise, so that no two distances are equal."""
    support.module("sklearn")
    from sklearn.datasets import load_digits
    rows, target = load_digits(return_X_y=True)
    noise = np.random.default_rng(0).normal(0, 1e-3, rows.shape)
    return (rows + noise).astype(np.float32), target.astype(np.int32)


def same(a, b):
    """Whether two label arrays are the same partition with the same noise."""
    a, b = np.asarray(a), np.asarray(b)
    return ((a < 0) == (b < 0)).all() and len(set(zip(a, b))) == len(set(a)) == len(set(b))


class AgainstScikitLearn(unittest.TestCase):
    def test_kmeans(self):
        rows, _target = digits()
        from sklearn.cluster import KMeans
        start = rows[np.random.default_rng(1).choice(len(rows), 10, replace=False)]
        ours = imgsim.cluster(rows, k=10, initial_means=start, tolerance=0, max_iterations=300, full=True)
        theirs = KMeans(10, init=start.astype(np.float64), n_init=1, tol=0, max_iter=300).fit(rows.astype(np.float64))
        self.assertTrue(same(ours.labels, theirs.labels_))
        self.assertAlmostEqual(ours.inertia / theirs.inertia_, 1, 6)
        self.assertTrue(same(ours.assign(rows), ours.labels))

    def test_drawn_seeds_are_as_good(self):
        rows, _target = digits()
        from sklearn.cluster import KMeans
        ours = min(imgsim.cluster(rows, k=10, seed=seed, full=True).inertia for seed in range(5))
        theirs = KMeans(10, n_init=5, random_state=0).fit(rows.astype(np.float64)).inertia_
        self.assertLess(ours, 1.005 * theirs)

    def test_dbscan(self):
        rows, _target = digits()
        from sklearn.cluster import DBSCAN
        rng = np.random.default_rng(2)
        cases = [(rows, 22.0, 5)] + [
            (rng.normal(size=(n, d)).astype(np.float32), eps, least)
            for n, d, eps, least in ((4000, 1, 0.002, 5), (8000, 2, 0.05, 5), (8000, 2, 0.15, 30), (4000, 3, 0.2, 6),
                                     (2000, 6, 0.8, 6))]
        for points, eps, least in cases:
            with self.subTest(shape=points.shape, eps=eps):
                ours = imgsim.cluster(points, "dbscan", eps=eps, min_samples=least)
                theirs = DBSCAN(eps=eps, min_samples=least).fit(points.astype(np.float64)).labels_
                self.assertGreater(theirs.max(), 0)
                self.assertTrue(same(ours, theirs))

    def test_trees(self):
        rows, _target = digits()
        from scipy.cluster import hierarchy
        for linkage in ("ward", "single", "complete", "average"):
            with self.subTest(linkage=linkage):
                ours = imgsim.cluster(rows, "agglomerative", k=10, linkage=linkage, full=True)
                theirs = hierarchy.linkage(rows.astype(np.float64), linkage)
                self.assertTrue(hierarchy.is_valid_linkage(ours.tree))
                np.testing.assert_allclose(ours.tree[:, 2], theirs[:, 2], rtol=1e-6)
                np.testing.assert_array_equal(ours.tree[:, [0, 1, 3]], theirs[:, [0, 1, 3]])
                self.assertTrue(same(ours.labels, hierarchy.fcluster(theirs, 10, "maxclust")))
                height = (theirs[-40, 2] + theirs[-39, 2]) / 2
                self.assertTrue(same(ours.cut(height=height), hierarchy.fcluster(theirs, height, "distance")))
                self.assertTrue(same(ours.cut(k=3), hierarchy.fcluster(theirs, 3, "maxclust")))

    def test_quality(self):
        rows, target = digits()
        from sklearn import metrics
        labels = imgsim.cluster(rows, k=12)
        ari, nmi = imgsim.compare_labels(labels, target)
        self.assertAlmostEqual(ari, metrics.adjusted_rand_score(target, labels), 12)
        self.assertAlmostEqual(nmi, metrics.normalized_mutual_info_score(target, labels), 12)
        for metric, theirs in (("l2", "euclidean"), ("cosine", "cosine")):
            mean, values = imgsim.silhouette(rows, labels, metric, values=True)
            expected = metrics.silhouette_samples(rows.astype(np.float64), labels, metric=theirs)
            np.testing.assert_allclose(values, expected, atol=1e-5)
            self.assertAlmostEqual(mean, expected.mean(), 6)
        sampled = imgsim.silhouette(rows, labels, sample=400, seed=3)
        self.assertAlmostEqual(sampled, imgsim.silhouette(rows, labels), 1)


class Interface(unittest.TestCase):
    def setUp(self):
        rng = np.random.default_rng(5)
        self.centres = rng.uniform(-9, 9, (6, 3))
        self.truth = rng.integers(0, 6, 1200)
        self.rows = (self.centres[self.truth] + rng.normal(0, 0.1, (1200, 3))).astype(np.float32)

    def test_every_method_finds_the_groups(self):
        for method, settings in (("kmeans", {"k": 6, "runs": 5}), ("dbscan", {"eps": 0.5}), ("hdbscan", {}),
                                 ("agglomerative", {"k": 6})):
            with self.subTest(method=method):
                found = imgsim.cluster(self.rows, method=method, full=True, **settings)
                self.assertEqual(len(found), 6)
                self.assertGreater(imgsim.compare_labels(found.labels, self.truth)[0], 0.98)
                self.assertEqual(found.labels.dtype, np.int32)
                self.assertEqual(found.sizes.sum() + found.noise_count, 1200)
                self.assertTrue((np.diff(found.sizes.astype(int)) <= 0).all())
                self.assertTrue((found.labels[found.medoids] == np.arange(6)).all())

    def test_hdbscan_tells_probabilities(self):
        found = imgsim.cluster(self.rows, "hdbscan", min_samples=5, full=True)
        self.assertTrue(((found.probabilities > 0) == (found.labels >= 0)).all())
        self.assertEqual(found.tree.shape, (1199, 4))

    def test_cosine_is_that_of_scaled_rows(self):
        unit = self.rows / np.linalg.norm(self.rows.astype(np.float64), axis=1, keepdims=True)
        for method in ("dbscan", "agglomerative"):
            a = imgsim.cluster(self.rows, method, metric="cosine", eps=0.01, k=6)
            b = imgsim.cluster(unit.astype(np.float32), method, eps=0.01, k=6)
            self.assertTrue(same(a, b))

    def test_progress_and_stopping(self):
        phases = []
        rows = np.random.default_rng(0).normal(size=(3000, 40)).astype(np.float32)
        imgsim.cluster(rows, k=20, progress=lambda p: phases.append(p.phase))
        self.assertTrue(phases)
        with self.assertRaises(imgsim.Error) as caught:
            imgsim.cluster(rows, "agglomerative", progress=lambda p: True)
        self.assertEqual(caught.exception.status, -9)

    def test_bad_input(self):
        rows = self.rows.copy()
        rows[7, 1] = np.nan
        with self.assertRaisesRegex(imgsim.Error, "row 7, column 1 is NaN"):
            imgsim.cluster(rows)
        for settings in ({"k": 1201}, {"method": "nonsense"}, {"metric": "l1"}, {"method": "dbscan", "eps": -1.0}):
            with self.assertRaises(imgsim.Error):
                imgsim.cluster(self.rows, **settings)
        with self.assertRaises(ValueError):
            imgsim.cluster(self.rows, "agglomerative", linkage="median")
        with self.assertRaises(ValueError):
            imgsim.compare_labels([0, 1], [0])
        with self.assertRaises(imgsim.Error):
            imgsim.silhouette(self.rows, np.zeros(1200))


class InACatalog(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder, cls.folder = support.gallery(4)
        cls.catalog = imgsim.Catalog(cls.folder + "/.imgsim", create=True)
        cls.catalog.scan([cls.folder], threads=2)
        ids = np.flatnonzero(cls.catalog.has_features("hash"))
        cls.names = {int(i): cls.catalog.paths[i].split("/")[-2] for i in ids}
        kinds = sorted(set(cls.names.values()))
        rng = np.random.default_rng(0)
        rows = np.eye(len(kinds), dtype=np.float32)[[kinds.index(cls.names[int(i)]) for i in ids]]
        cls.catalog.put_features("kinds", rows + rng.normal(0, 0.02, rows.shape), ids, metric="l2", fingerprint="1")
        cls.kinds = kinds

    @classmethod
    def tearDownClass(cls):
        cls.catalog.close()
        cls.holder.cleanup()

    def test_clusters_are_labels(self):
        found = self.catalog.cluster("agglomerative", "kinds", "tree", k=len(self.kinds))
        self.assertEqual(len(found), len(self.kinds))
        self.assertEqual(len(found.ids), found.image_count)
        self.assertAlmostEqual(found.ari, 1)
        for cluster in found:
            self.assertEqual(cluster.name, self.names[cluster.medoid])
            self.assertEqual(self.catalog.labels()[cluster.label], cluster.size)
            members = found.ids[found.clusters.labels == cluster.number]
            self.assertEqual({self.names[int(i)] for i in members}, {cluster.name})
        hits = self.catalog.search([found[0].medoid], k=3, by="kinds", label=found[0].label)
        self.assertTrue(all(self.names[hit.id] == found[0].name for hit in hits))
        self.catalog.replace_labels("cluster:tree/")
        self.assertFalse([label for label in self.catalog.labels() if label.startswith("cluster:tree/")])

    def test_labels_are_predicted(self):
        known = list(self.names)[::2]
        for number in known:
            self.catalog.add_label(number, self.names[number])
        try:
            found = self.catalog.predict_labels(k=3, feature="kinds", store=True)
            self.assertEqual({p.id for p in found}, set(self.names) - set(known))
            self.assertTrue(all(p.label in (None, self.names[p.id]) for p in found))
            self.assertGreater(found.predicted_count, 0.8 * len(found))
            self.assertEqual(sum(n for label, n in self.catalog.labels().items() if label.startswith("predicted:")),
                             found.predicted_count)
            self.assertEqual(found.accuracy, 1)
            single = self.catalog.predict_labels(found[0].id, k=3, feature="kinds")
            self.assertEqual(single[0], found[0])
        finally:
            self.catalog.replace_labels("predicted:")
            for number in known:
                self.catalog.remove_label(number, self.names[number])

    def test_nothing_to_learn_from(self):
        with self.assertRaisesRegex(imgsim.Error, "label"):
            self.catalog.predict_labels(feature="kinds")


if __name__ == "__main__":
    support.main()
