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

    def test_bad_input(self):
        rows = lifelike(100, 16)
        rows[7, 3] = np.nan
        with self.assertRaisesRegex(imgsim.Error, "7"):
            imgsim.Projector(dim=4).fit(rows)
        with self.assertRaises(imgsim.Error):
            imgsim.Projector(dim=20).fit(lifelike(100, 16))
        with self.assertRaises(imgsim.Error):
            imgsim.Projector(dim=10).fit(lifelike(5, 16))


if __name__ == "__main__":
    support.main()
