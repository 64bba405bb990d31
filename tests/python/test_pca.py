# SPDX-License-Identifier: Apache-2.0
"""PCA against scikit-learn's exact solver, and the interface of Projector."""

import os
import tempfile
import unittest

import imgsim
import numpy as np
import support


def lifelike(count, dim, seed=1):
    """Rows with a slowly falling spectrum and a mean far from zero, as embeddings have."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    rows = (rng.standard_normal((count, dim)) * (np.arange(1, dim + 1) ** -0.7)) @ basis
    return (rows + 3 * rng.random(dim)).astype(np.float32)


class Pca(unittest.TestCase):
    def compare(self, rows, dim):
        support.module("sklearn")
        from sklearn.decomposition import PCA
        theirs = PCA(dim, svd_solver="full").fit(rows.astype(np.float64))
        ours = imgsim.Projector(dim=dim, threads=2).fit(rows)
        np.testing.assert_allclose(ours.explained_variance, theirs.explained_variance_, rtol=1e-4)
        np.testing.assert_allclose(ours.explained_variance_ratio, theirs.explained_variance_ratio_, rtol=1e-4)
        a, b = ours.transform(rows), theirs.transform(rows.astype(np.float64))
        signs = np.sign((a * b).sum(0))
        scale = np.abs(b).max()
        self.assertLess(np.abs(a * signs - b).max() / scale, 1e-3)

    def test_against_scikit_learn(self):
        for dim in (50, 75, 100, 128, 200, 256):
            with self.subTest(dim=dim):
                self.compare(lifelike(3000, 512), dim)

    def test_tiles_and_threads_do_not_matter(self):
        rows = lifelike(5000, 128)
        whole = imgsim.Projector(dim=20, threads=1).fit(rows, tile=5000)
        parts = imgsim.Projector(dim=20, threads=2).fit(rows, tile=617)
        np.testing.assert_allclose(whole.explained_variance, parts.explained_variance, rtol=1e-6)
        np.testing.assert_allclose(whole.axes, parts.axes, atol=1e-4)

    def test_whitening(self):
        rows = lifelike(4000, 64)
        white = imgsim.Projector(dim=10, whiten=1.0).fit(rows).transform(rows)
        np.testing.assert_allclose(white.var(0, ddof=1), 1, rtol=1e-3)
        half = imgsim.Projector(dim=10, whiten=0.5).fit(rows)
        np.testing.assert_allclose(half.transform(rows).var(0, ddof=1), np.sqrt(half.explained_variance), rtol=1e-3)

    def test_save_and_load(self):
        rows = lifelike(500, 32)
        projector = imgsim.Projector(dim=8).fit(rows)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "p.ims")
            projector.save(path)
            again = imgsim.Projector.load(path)
            np.testing.assert_array_equal(again.transform(rows), projector.transform(rows))
            self.assertEqual(again.fingerprint, projector.fingerprint)

    def test_randomised_against_scikit_learn(self):
        support.module("sklearn")
        from sklearn.decomposition import PCA
        rows = lifelike(6000, 256)
        theirs = PCA(10, svd_solver="full").fit(rows.astype(np.float64))
        ours = imgsim.Projector(dim=10, method="randomised", threads=2).fit(rows)
        self.assertEqual(ours.report["method"], "randomised")
        self.assertLessEqual(ours.report["variance_error"], 1e-4)
        np.testing.assert_allclose(ours.explained_variance, theirs.explained_variance_, rtol=1e-4)
        np.testing.assert_allclose(ours.explained_variance_ratio, theirs.explained_variance_ratio_, rtol=1e-4)
        np.testing.assert_allclose(ours.mean, theirs.mean_, atol=1e-5)
        # The sine of the largest angle between the spaces is within what was proved.
        sine = np.linalg.norm(ours.axes - (ours.axes @ theirs.components_.T) @ theirs.components_, 2)
        self.assertLessEqual(sine, ours.report["angle"] + 1e-5)
        again = imgsim.Projector(dim=10, method="randomised", threads=1).fit(rows)
        self.assertEqual(again.fingerprint, ours.fingerprint)

    def test_auto_is_exact_where_that_is_faster(self):
        rows = lifelike(3000, 64)
        self.assertEqual(imgsim.Projector(dim=32, method="auto").fit(rows).report["method"], "exact")

    def test_bad_input(self):
        rows = lifelike(100, 16)
        rows[7, 3] = np.nan
        with self.assertRaisesRegex(imgsim.Error, "7"):
            imgsim.Projector(dim=4).fit(rows)
        with self.assertRaises(imgsim.Error):
            imgsim.Projector(dim=20).fit(lifelike(100, 16))
        with self.assertRaises(imgsim.Error):
            imgsim.Projector(dim=10).fit(lifelike(5, 16))


class Kernel(unittest.TestCase):
    def compare(self, rows, queries, kernel, theirs, matrix=None, **settings):
        """All rows as landmarks: kernel PCA itself. `theirs` is fitted on `matrix(rows, rows)` where there is one."""
        rows64, queries64 = rows.astype(np.float64), queries.astype(np.float64)
        ours = imgsim.Projector(15, kernel=kernel, landmarks=len(rows), threads=2, **settings).fit(rows)
        theirs.fit(matrix(rows64, rows64) if matrix else rows64)
        np.testing.assert_allclose(ours.explained_variance, theirs.eigenvalues_ / (len(rows) - 1), rtol=1e-4)
        for some, some64 in ((rows, rows64), (queries, queries64)):
            a, b = ours.transform(some), theirs.transform(matrix(some64, rows64) if matrix else some64)
            signs = np.sign((a * b).sum(0))
            self.assertLess(np.abs(a * signs - b).max() / np.abs(b).max(), 1e-4)

    def test_all_rows_as_landmarks_against_scikit_learn(self):
        support.module("sklearn")
        from sklearn.decomposition import KernelPCA
        from sklearn.metrics.pairwise import chi2_kernel
        rows, queries = np.split(lifelike(360, 40), [300])
        plain = {"eigen_solver": "dense"}
        self.compare(rows, queries, "rbf", KernelPCA(15, kernel="rbf", gamma=0.02, **plain), gamma=0.02)
        self.compare(rows, queries, "cosine", KernelPCA(15, kernel="cosine", **plain))
        self.compare(rows, queries, "polynomial", KernelPCA(15, kernel="poly", gamma=0.01, coef0=2, degree=3, **plain),
                     gamma=0.01, offset=2.0, degree=3)
        rows, queries = (abs(part) / abs(part).sum(1, keepdims=True) for part in (rows, queries))
        self.compare(rows, queries, "chi-square", KernelPCA(15, kernel="precomputed", **plain),
                     lambda a, b: chi2_kernel(a, b, gamma=5.0), gamma=5.0)
        self.compare(rows, queries, "intersection", KernelPCA(15, kernel="precomputed", **plain),
                     lambda a, b: np.minimum(a[:, None], b[None]).sum(-1))

    def test_landmarks_against_scikit_learn(self):
        """Nystroem with the same landmarks, then PCA: the same variances and distances."""
        support.module("sklearn")
        from sklearn.decomposition import PCA
        from sklearn.kernel_approximation import Nystroem
        rows = lifelike(2000, 30)
        ours = imgsim.Projector(12, kernel="rbf", gamma=0.02, landmarks=80, threads=2, seed=3).fit(rows)
        self.assertEqual(ours.landmarks.shape, (80, 30))
        features = Nystroem(kernel="rbf", gamma=0.02, n_components=80).fit(ours.landmarks.astype(np.float64))
        features = features.transform(rows.astype(np.float64))
        theirs = PCA(12, svd_solver="full").fit(features)
        np.testing.assert_allclose(ours.explained_variance, theirs.explained_variance_, rtol=1e-4)
        np.testing.assert_allclose(ours.explained_variance_ratio, theirs.explained_variance_ratio_, rtol=1e-4)
        a, b = ours.transform(rows), theirs.transform(features)
        self.assertLess(np.abs(a * np.sign((a * b).sum(0)) - b).max() / np.abs(b).max(), 1e-3)

    def test_gamma_is_chosen_from_the_rows(self):
        rows = lifelike(500, 20)
        distances = np.median(((rows[:, None] - rows[None]) ** 2).sum(-1)[np.triu_indices(500, 1)])
        fitted = imgsim.Projector(5, kernel="rbf", landmarks=50).fit(rows)
        self.assertAlmostEqual(fitted.report["gamma"] * distances, 1, delta=0.1)
        self.assertIsNone(fitted.axes)

    def test_bad_input(self):
        rows = lifelike(100, 16)
        for settings, word in (({"gamma": 0}, "gamma is 0"), ({"landmarks": 200}, "100 rows"), ({"landmarks": 3}, "landmarks"),
                               ({"kernel": "chi-square"}, "histograms"), ({"method": "auto"}, "method")):
            with self.assertRaisesRegex(imgsim.Error, word):
                imgsim.Projector(5, **{"kernel": "rbf", "landmarks": 50, **settings}).fit(rows - 2)
        with self.assertRaisesRegex(imgsim.Error, "all rows are the same"):
            imgsim.Projector(5, kernel="rbf", landmarks=50).fit(np.ones((100, 16), np.float32))
        with self.assertRaisesRegex(imgsim.Error, "fit instead of add"):
            imgsim.Projector(5, kernel="rbf", landmarks=50).add(rows)
        with self.assertRaisesRegex(ValueError, "sigmoid"):
            imgsim.Projector(5, kernel="sigmoid")


if __name__ == "__main__":
    support.main()
