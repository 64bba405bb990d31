# SPDX-License-Identifier: Apache-2.0
"""The histogram metrics against OpenCV's compareHist on pairs of real photos, same pixels."""

import unittest

import imgsim
import numpy as np
import support


class CompareHist(unittest.TestCase):
    def pairs(self, histograms, count):
        rng = np.random.default_rng(1)
        for _ in range(count):
            i, j = rng.integers(0, len(histograms), 2)
            yield histograms[i], histograms[j]

    def check(self, cv2, histograms, count):
        methods = {"correlation": cv2.HISTCMP_CORREL, "chi-square": cv2.HISTCMP_CHISQR,
                   "intersection": cv2.HISTCMP_INTERSECT, "bhattacharyya": cv2.HISTCMP_BHATTACHARYYA}
        for a, b in self.pairs(histograms, count):
            for metric, method in methods.items():
                expected = cv2.compareHist(a.astype(np.float32), b.astype(np.float32), method)
                # Bhattacharyya's square root turns rounding of OpenCV's sums near 1 into something visible near 0.
                floor = 1e-7 if metric == "bhattacharyya" else 0
                self.assertTrue(abs(imgsim.compare(a, b, metric) - expected) <= 1e-5 * abs(expected) + floor,
                                (metric, imgsim.compare(a, b, metric), expected))

    def test_photos(self):
        cv2 = support.module("cv2")
        paths = support.images(support.data("images", "photos-100"))
        extractor = imgsim.Extractor("color")
        counts, normalised = [], []
        for path in paths:
            image = imgsim.Image(path)
            histogram = extractor.extract(image)
            theirs = cv2.calcHist([image.pixels], [0, 1, 2], None, [16] * 3, [0, 256] * 3).ravel()
            np.testing.assert_array_equal(histogram, theirs.astype(np.uint32))
            counts.append(histogram)
            normalised.append((theirs / theirs.sum()).astype(np.float32))
        self.check(cv2, counts, 1000)
        self.check(cv2, normalised, 1000)

    def test_odd_histograms(self):
        cv2 = support.module("cv2")
        rng = np.random.default_rng(2)
        rows = [np.zeros(64, np.float32), np.ones(64, np.float32), np.eye(64, dtype=np.float32)[3],
                rng.random(64).astype(np.float32), rng.poisson(0.1, 64).astype(np.float32)]
        self.check(cv2, rows, 200)


if __name__ == "__main__":
    support.main()
