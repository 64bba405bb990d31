# SPDX-License-Identifier: Apache-2.0
"""A collection from Python: scan, search in every way, labels, features, own extractors and metrics."""

import os
import shutil
import tempfile
import unittest

import imgsim
import numpy as np
import support


class Collection(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.holder, cls.folder = support.gallery(4)
        cls.catalog = imgsim.Catalog(os.path.join(cls.folder, ".imgsim"), create=True)
        cls.report = cls.catalog.scan([cls.folder], threads=2)
        cls.files = support.images(cls.folder)
        cls.files = [path for path in cls.files if ".imgsim" not in path]

    @classmethod
    def tearDownClass(cls):
        cls.catalog.close()
        cls.holder.cleanup()

    def test_scan_finds_everything(self):
        self.assertEqual(self.report["added"], len(self.files))
        self.assertEqual(len(self.catalog), len(self.files))
        self.assertEqual(self.catalog.states["ok"], len(self.files))
        self.assertEqual(sorted(self.catalog.paths), sorted(os.path.realpath(path) for path in self.files))

    def test_scan_again_opens_nothing(self):
        report = self.catalog.scan([self.folder])
        self.assertEqual((report["unchanged"], report["added"], report["refreshed"]), (len(self.files), 0, 0))

    def test_scan_decodes_anywhere(self):
        rows = set()
        for isolation in ("none", "workers", "auto"):
            with tempfile.TemporaryDirectory() as folder, imgsim.Catalog(folder + "/c", create=True) as catalog:
                report = catalog.scan([self.folder], isolation=isolation, file_timeout=10, worker_memory=1 << 28)
                self.assertEqual((report["added"], report["crashed"], report["timed_out"]), (len(self.files), 0, 0))
                rows.add(bytes(np.ascontiguousarray(catalog.features("hash"))))
        self.assertEqual(len(rows), 1)
        with self.assertRaisesRegex(ValueError, "isolation"):
            self.catalog.scan([self.folder], isolation="perhaps")
        with self.assertRaisesRegex(imgsim.Error, "worker_memory"):
            self.catalog.scan([self.folder], isolation="workers", worker_memory=1)

    def test_scan_leaves_out_what_it_is_told(self):
        report = self.catalog.scan([self.folder], exclude="rings/", min_bytes=1, one_file_system=True)
        left = {file.path for file in self.catalog.files("skipped") if file.reason == "excluded"}
        self.assertTrue(left and all("rings" in path for path in left))
        self.assertEqual(report["missing"], 0)
        self.assertEqual(len(self.catalog) + len(left), len(self.files))
        report = self.catalog.scan([self.folder], include=["**/*", b"*"])
        self.assertEqual((report["added"], report["refreshed"]), (0, 0))
        self.assertEqual(len(self.catalog), len(self.files))
        with self.assertRaisesRegex(imgsim.Error, "pattern"):
            self.catalog.scan([self.folder], include="[a")
        self.assertTrue(imgsim.matches("x/**/*.jpg", "x/y/a.jpg") and not imgsim.matches("cache/", "cache"))
        self.assertTrue(imgsim.matches("cache/", "cache", folder=True))

    def test_near_duplicate_is_found(self):
        query = os.path.join(self.folder, "rings", "rings-00.png")
        hits = self.catalog.search([query], k=3, by="hash")
        self.assertEqual([hit.rank for hit in hits], [1, 2, 3])
        hits = self.catalog.search([query], k=5)
        self.assertIn("rings-00-again.png", [os.path.basename(hit.path) for hit in hits])
        self.assertNotIn(os.path.realpath(query), [hit.path for hit in hits])
        self.assertTrue(hits.exact)
        self.assertEqual(set(hits[0].parts), {"color", "hash"})
        self.assertEqual(hits[0].parts["color"].metric, "intersection")

    def test_query_itself_when_asked(self):
        query = self.files[10]
        hits = self.catalog.search(query, k=1, include_queries=True)
        self.assertEqual(hits[0].path, os.path.realpath(query))
        self.assertAlmostEqual(hits[0].score, 1.0, places=6)

    def test_sources_of_a_query_agree(self):
        path = self.files[20]
        number = self.catalog.find(path)
        with open(path, "rb") as file:
            data = file.read()
        pixels = imgsim.Image(path).pixels
        answers = [self.catalog.search([source], k=4, include_queries=True) for source in (path, data, pixels, number)]
        for answer in answers[1:]:
            self.assertEqual([hit.id for hit in answer], [hit.id for hit in answers[0]])
        row = self.catalog.features("hash")[number]
        by_row = self.catalog.search([{"hash": row}], by="hash", k=1)
        self.assertEqual(by_row[0].parts["hash"].value, 0)

    def test_fusion_is_the_weighted_sum(self):
        hits = self.catalog.search(self.files[3], by={"color": 0.6, "hash": 0.4}, metric={"color": "bhattacharyya"}, k=5)
        for hit in hits:
            total = sum(part.weight * part.similarity for part in hit.parts.values())
            self.assertAlmostEqual(hit.score, total, places=9)
        self.assertEqual(sorted((hit.score for hit in hits), reverse=True), [hit.score for hit in hits])

    def test_color_search_equals_numpy(self):
        histograms = self.catalog.features("color").astype(np.float64)
        histograms /= histograms.sum(1, keepdims=True)
        number = self.catalog.find(self.files[7])
        a = histograms[number]
        shared = np.minimum(histograms, a).sum(1)
        apart = np.array([((a[a > 0] - b[a > 0]) ** 2 / a[a > 0]).sum() for b in histograms])
        shared[number], apart[number] = -np.inf, np.inf
        hits = self.catalog.search(number, by="color", k=5)
        self.assertEqual([hit.id for hit in hits], list(np.argsort(-shared, kind="stable")[:5]))
        self.assertAlmostEqual(hits[0].parts["color"].value, shared.max(), places=5)
        hits = self.catalog.search(number, by="color", metric={"color": "chi-square"}, k=5)
        self.assertEqual([hit.id for hit in hits], list(np.argsort(apart, kind="stable")[:5]))
        self.assertAlmostEqual(hits[0].parts["color"].value, apart.min(), places=5)

    def test_several_images_negatives_and_ways(self):
        rings = [path for path in self.files if "/rings/" in path]
        skies = [path for path in self.files if "/skies/" in path]
        for combine in ("mean", "rrf", "best"):
            hits = self.catalog.search(rings[:3], k=5, combine=combine, negatives=skies[:1])
            self.assertEqual(len(hits), 5)
            self.assertFalse({hit.path for hit in hits} & {os.path.realpath(p) for p in rings[:3] + skies[:1]})
        with self.assertRaises(imgsim.Error):
            self.catalog.search(self.files[:6])
        hits = self.catalog.search(rings[:2], fuse="rrf", k=3)
        self.assertEqual(len(hits), 3)

    def test_own_metric_and_own_fusion(self):
        def least(similarities):
            return similarities.min(axis=1)
        hits = self.catalog.search(self.files[0], by={"color": 1, "hash": 1}, fuse=least, k=3)
        for hit in hits:
            self.assertAlmostEqual(hit.score, min(part.similarity for part in hit.parts.values()), places=5)

        def total_variation(query, rows):
            return np.abs(rows.astype(np.float64) - query).sum(1)
        hits = self.catalog.search(self.files[0], metric={"color": total_variation}, k=3)
        plain = self.catalog.search(self.files[0], metric={"color": "l1"}, k=3)
        self.assertEqual([hit.id for hit in hits], [hit.id for hit in plain])

        def broken(_similarities):
            raise ZeroDivisionError("mine")
        with self.assertRaisesRegex(ZeroDivisionError, "mine"):
            self.catalog.search(self.files[0], by={"color": 1, "hash": 1}, fuse=broken)

    def test_filters(self):
        rings = [path for path in self.files if "/rings/" in path]
        self.catalog.add_label(rings, "rings")
        self.assertEqual(self.catalog.labels()["rings"], len(rings))
        self.assertEqual(self.catalog.labels(rings[0]), {"rings": len(rings)})
        hits = self.catalog.search(self.files[0], label="rings", k=100)
        self.assertEqual({hit.path for hit in hits}, {os.path.realpath(path) for path in rings})
        hits = self.catalog.search(self.files[0], under=os.path.join(self.folder, "skies"), k=100)
        self.assertTrue(all("/skies/" in hit.path for hit in hits) and hits)
        hits = self.catalog.search(self.files[0], filter=[5, 6], k=100, include_queries=True)
        self.assertEqual({hit.id for hit in hits}, {5, 6})
        with self.assertRaisesRegex(imgsim.Error, "wombat"):
            self.catalog.search(self.files[0], label="wombat")
        self.catalog.remove_label(rings[0], "rings")
        self.assertEqual(self.catalog.labels()["rings"], len(rings) - 1)

    def test_outputs(self):
        sheet, page = (os.path.join(self.holder.name, name) for name in ("sheet.jpg", "page.html"))
        self.catalog.search(self.files[:2], sheet=sheet, html=page)
        self.assertGreater(imgsim.Image(sheet).width, 400)
        with open(page, encoding="utf-8") as file:
            self.assertIn("data:image/jpeg;base64,", file.read())
        npy, table = (os.path.join(self.holder.name, name) for name in ("color.npy", "files.csv"))
        self.catalog.export_npy("color", npy)
        np.testing.assert_array_equal(np.load(npy), self.catalog.features("color"))
        self.catalog.export_csv(table)
        with open(table) as file:
            self.assertEqual(len(file.readlines()), len(self.files) + 1)
        self.assertEqual(self.catalog.verify(), [])

    def test_unknown_names(self):
        for arguments in ({"by": "shape"}, {"by": "color", "metric": {"color": "cosinus"}}, {"k": 0}):
            with self.assertRaises(imgsim.Error):
                self.catalog.search(self.files[0], **arguments)
        with self.assertRaisesRegex(imgsim.Error, "nothing-here"):
            imgsim.Catalog(os.path.join(self.holder.name, "nothing-here"))


class OwnFeatures(unittest.TestCase):
    def setUp(self):
        self.holder, self.folder = support.gallery(2)
        self.addCleanup(self.holder.cleanup)
        self.catalog = imgsim.Catalog(os.path.join(self.holder.name, "own"), create=True)
        self.addCleanup(self.catalog.close)

    def test_a_damaged_matrix_is_repaired(self):
        self.catalog.scan(self.folder)
        folder = self.catalog.path
        path = os.path.join(folder, "features", "hash.npy")
        self.catalog.close()
        os.truncate(path, os.path.getsize(path) - 8)
        with imgsim.Catalog(folder) as catalog:
            self.assertTrue(any("hash" in problem for problem in catalog.verify()))
        lines, report = imgsim.Catalog.repair(folder)
        self.assertEqual((report["rows_dropped"], report["features_dropped"], report["rebuilt"]), (1, 0, 0))
        self.assertEqual(report["changes"], len(lines))
        with imgsim.Catalog(folder) as catalog:
            self.assertEqual(catalog.verify(), [])
            self.assertEqual(catalog.scan([self.folder])["refreshed"], 1)
        self.assertEqual(imgsim.Catalog.repair(folder)[0], [])
        with self.assertRaises(imgsim.Error):
            imgsim.Catalog.repair(self.folder + "-not-there")

    def test_duplicates(self):
        self.catalog.scan(self.folder)
        count = len(self.catalog.paths)
        self.assertEqual(self.catalog.duplicates(), [])
        shutil.copy(self.catalog.paths[0], os.path.join(self.folder, "copy.png"))
        self.catalog.scan(self.folder)
        group, = self.catalog.duplicates()
        self.assertEqual([(d.id, d.distance, d.copy_of) for d in group], [(0, 0, 0), (count, 0, 0)])
        # A chain: each differs from the one before in one bit. The copy has no row.
        rows = (np.arange(count) ^ np.arange(count) >> 1).astype(np.uint8)[:, None]
        self.catalog.put_features("marks", rows, metric="hamming", row_type=3)
        chain, = self.catalog.duplicates(near=1, feature="marks")
        self.assertEqual(sorted(d.id for d in chain), list(range(count + 1)))
        for d in chain[1:]:
            if count not in (d.id, chain[0].id):
                self.assertEqual(d.distance, bin(rows[d.id, 0] ^ rows[chain[0].id, 0]).count("1"))
        self.assertEqual(next(d for d in chain if d.id == count).copy_of in (0, count), True)
        with self.assertRaisesRegex(imgsim.Error, "nothing"):
            self.catalog.duplicates(near=1, feature="nothing")

    def test_near_duplicates_of_photos(self):
        folder = os.path.join(support.DATA, "neardup", "pdq", "bridge-mods")
        if not os.path.isdir(folder):
            self.skipTest("no test data")
        self.catalog.scan(folder)
        group, = self.catalog.duplicates(near=4)
        self.assertEqual(len(group), 12)
        names = [os.path.basename(self.catalog.paths[d.id]) for d in group]
        self.assertIn("shrink-a-lot.jpg", names)
        self.assertTrue(all(d.distance <= 6 for d in group))

    def test_files_are_compared(self):
        self.catalog.scan(self.folder)
        found = self.catalog.check(files="content")
        self.assertEqual((found.problems, found.files), ([], []))
        count = len(self.catalog.paths)
        self.assertEqual((found.report["files"], found.report["rows_unknown"]), (count, 0))
        path = self.catalog.paths[0]
        os.utime(path, ns=(1, 1))
        self.assertEqual(self.catalog.check(files="content").files, [])
        found = self.catalog.check(files="times")
        self.assertEqual((len(found.files), found.report["files_changed"]), (1, 1))
        self.assertIn(path, found.files[0])
        self.assertEqual(self.catalog.check().files, [])
        calls = []
        with self.assertRaises(imgsim.Error):
            self.catalog.check(files="times", progress=lambda p: calls.append(p.phase) or True)
        self.assertEqual(calls, ["files"])
        with self.assertRaises(ValueError):
            self.catalog.check(files="all")

    def test_own_extractor_pca_index_and_cascade(self):
        def thumbnail(arrays):
            return [a[::a.shape[0] // 8, ::a.shape[1] // 8][:8, :8].reshape(-1).astype(np.float32) for a in arrays]
        extractor = imgsim.Extractor.from_function(thumbnail, "thumb", 192, metric="l2")
        self.catalog.scan(self.folder, extractors=[extractor], color=False, hash=False, thumb_side=0)
        self.assertEqual(list(self.catalog.feature_sets), ["thumb"])
        rows = self.catalog.features("thumb")
        study = self.catalog.pca_study((0, 4, 16), feature="thumb", queries=20, neighbours=3)
        self.assertEqual([row["dim"] for row in study], [0, 4, 16])
        self.assertEqual((study[0]["energy"], study[0]["recall"]), (1.0, 1.0))
        self.assertLess(study[1]["energy"], study[2]["energy"])
        with self.assertRaises(imgsim.Error):
            self.catalog.pca_study((100000,), feature="thumb")
        projector = self.catalog.pca(16, feature="thumb")
        self.assertEqual(projector.explained_variance.shape, (16,))
        small = self.catalog.features("thumb-pca16")
        np.testing.assert_allclose(small, projector.transform(rows), atol=1e-2)
        index = self.catalog.build_index("thumb-pca16", kind="hnsw")
        self.assertEqual(len(index), len(self.catalog))
        exact = self.catalog.search(3, by="thumb", exact=True)
        cascade = self.catalog.search(3, by="thumb", search="cascade", candidates=30)
        self.assertEqual([hit.id for hit in exact], [hit.id for hit in cascade])
        outside = self.catalog.search(self.catalog.paths[3], by="thumb-pca16", extractors={"thumb": extractor}, k=5)
        distances = ((small - small[3]) ** 2).sum(1)
        self.assertEqual([hit.id for hit in outside], list(np.argsort(distances, kind="stable")[1:6]))

    def test_thumbnails(self):
        self.catalog.scan(self.folder, thumb_side=0)
        self.assertIsNone(self.catalog.thumbnail(0))
        report = self.catalog.scan(self.folder, thumb_side=48)
        self.assertEqual(report["refreshed"], len(self.catalog))
        for number, data in enumerate(self.catalog.thumbnails()):
            image = imgsim.Image(data)
            self.assertEqual(max(image.width, image.height), 48)
            self.assertEqual(data, self.catalog.thumbnail(self.catalog.paths[number]))
        with self.assertRaises(ValueError):
            self.catalog.features("thumbnail")
        with self.assertRaises(imgsim.Error):
            self.catalog.search([0], by="thumbnail")
        self.assertTrue(self.catalog.has_features("thumbnail").all())

    def test_rows_of_the_host(self):
        self.catalog.scan(self.folder)
        rows = np.random.default_rng(1).random((len(self.catalog), 10)).astype(np.float32)
        self.catalog.put_features("mine", rows, metric="cosine")
        np.testing.assert_array_equal(self.catalog.features("mine"), rows)
        self.assertTrue(self.catalog.has_features("mine").all())
        rows[3, 4] = np.inf
        with self.assertRaisesRegex(imgsim.Error, "3"):
            self.catalog.put_features("mine", rows)
        self.catalog.remove_features("mine")
        self.assertNotIn("mine", self.catalog.feature_sets)

    def test_stopping_and_going_on(self):
        calls = []

        def stop(progress):
            calls.append(progress)
            return len(calls) > 1
        try:
            self.catalog.scan(self.folder, progress=stop, transaction_size=5, threads=1)
        except imgsim.Error as error:
            self.assertEqual(error.status, -9)
        calls.clear()
        report = self.catalog.scan(self.folder, recheck=True, progress=lambda progress: calls.append(progress))
        self.assertEqual(report["seen"], report["added"] + report["unchanged"] + report["refreshed"])
        self.assertEqual((calls[-1].phase, calls[-1].done), ("scan", calls[-1].total))
        self.assertEqual(calls[-1].total_bytes, report["bytes"])
        self.assertGreater(calls[-1].byte_rate, 0)

        def broken(_progress):
            raise RuntimeError("mine")
        shutil.rmtree(self.catalog.path, ignore_errors=True)
        other = imgsim.Catalog(os.path.join(self.holder.name, "other"), create=True)
        with self.assertRaisesRegex(RuntimeError, "mine"):
            other.scan(self.folder, progress=broken)
        other.close()


if __name__ == "__main__":
    support.main()
