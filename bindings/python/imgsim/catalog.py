# SPDX-License-Identifier: Apache-2.0
"""The collection: scan, search, labels, features."""

import ctypes
import os
from collections import namedtuple
from ctypes import POINTER, byref, c_char_p, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p

import numpy as np

from . import native
from .arrays import (
    DTYPES, METRIC_CALLBACK, ROW_BYTES, ROW_UINT32, Callbacks, columns, ids_array, matrix, metric_code, metric_name,
    pointer, text, view,
)
from .cluster import Clusters, cluster_options
from .extractor import Extractor, Image, classes_of
from .index import Index, filter_bits
from .map import Map
from .native import library, make, options
from .projector import Projector, projector_options

ISOLATIONS = {"none": 0, "workers": 1, "auto": 2}
STATES = ("ok", "skipped", "failed", "crashed", "timeout", "missing")
_WAYS = {"neighbours": 0, "network": 1}
_IMAGES = {"mean": 0, "rrf": 1, "best": 2}
_FUSIONS = {"sum": 0, "rrf": 1}
_CHECK_FILES = {"none": 0, "times": 1, "content": 2}
_SEARCHES = {"auto": 0, "exact": 1, "cascade": 2, "double": 3}

File = namedtuple("File", "id uuid path format state reason width height bytes mtime_ns content_hash")
Feature = namedtuple("Feature", "name spec fingerprint source dimension row_type metric image_count")


class Part(dict):
    """What one channel adds to a hit: metric, value, similarity, weight, rank; as items and as attributes."""

    __getattr__ = dict.__getitem__


class Hit(namedtuple("Hit", "rank id uuid path score width height parts")):
    """One answer: `id` is the image id (row of the features), `parts` maps channels to Part."""


ImageCluster = namedtuple("ImageCluster", "number label size medoid name share")
Prediction = namedtuple("Prediction", "id label share distance classes", defaults=[()])
Check = namedtuple("Check", "problems files report")
Duplicate = namedtuple("Duplicate", "id distance copy_of")


class ImageClusters(list):
    """Clusters of a catalog's images, by falling size, and how good they are."""

    def __init__(self, found, clusters, ids, report):
        super().__init__(found)
        self.clusters = clusters
        self.ids = ids
        self.image_count = report.image_count
        self.noise_count = report.noise_count
        self.labelled_count = report.labelled_count
        self.ari, self.nmi, self.silhouette = report.ari, report.nmi, report.silhouette


class Predictions(list):
    """Predicted labels, and how often leaving one out gives a right one."""

    def __init__(self, found, report):
        super().__init__(found)
        for name, _type in report._fields_[1:]:
            setattr(self, name, getattr(report, name))

    accuracy = property(lambda self: self.right_count / self.answered_count if self.answered_count else float("nan"))


class Results(list):
    """Hits, best first, with what is known of the search: exact, image_count, failovers, elapsed_ms."""

    def __init__(self, hits, exact, image_count, failovers, elapsed_ms):
        super().__init__(hits)
        self.exact = exact
        self.image_count = image_count
        self.failovers = failovers
        self.elapsed_ms = elapsed_ms


class Catalog:
    """A collection on disk. `path` is its folder ("photos/.imgsim") or a folder that holds one."""

    def __init__(self, path, create=False, read_only=False):
        settings = options("catalog", create=int(create), read_only=int(read_only))
        self._handle = make("imgsim_catalog_open", text(path), byref(settings))
        self._queries = {}
        self._paths = None

    def close(self):
        """Release the catalog; arrays from features() stay valid."""
        if getattr(self, "_handle", None):
            self._drop_queries()
            library.imgsim_catalog_free(self._handle)
            self._handle = None

    __del__ = close

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def _drop_queries(self):
        for query in self._queries.values():
            library.imgsim_query_free(query.handle)
        self._queries = {}
        self._paths = None

    path = property(lambda self: os.fsdecode(library.imgsim_catalog_get_path(self._handle)))
    root = property(lambda self: os.fsdecode(library.imgsim_catalog_get_root(self._handle)))
    id_count = property(lambda self: library.imgsim_catalog_get_id_count(self._handle))

    def __len__(self):
        return library.imgsim_catalog_get_image_count(self._handle)

    def refresh(self):
        """Take in what others have committed since."""
        library.imgsim_catalog_refresh(self._handle)
        self._drop_queries()

    # ---- scan ----

    def scan(self, paths, model=None, threads=None, progress=None, extractors=None, *, architecture=None,
             precision="fp32", trust_model=False, classes=False, color=True, hash=True, min_side=None, transaction_size=None,
             include_hidden=False, follow_links=False, recheck=False, include=(), exclude=(), min_bytes=0,
             one_file_system=False, thumb_side=None, isolation="auto", file_timeout=None, worker_memory=None):
        """Bring the catalog up to date with folders and files; returns the report as a dict.

        model: weights of a network, for the feature "embedding"; classes: keep what the network says is in each picture, too,
        as the feature "classes". extractors: Extractor objects to use besides or, with
        color=False and hash=False, instead. progress: called with a Progress, a true result stops the scan.
        include, exclude: patterns such as "*.jpg" or "cache/", one or a list; docs/scanning.md has their rules.
        thumb_side: longer side of the thumbnails, 0 for none; None: that of the catalog's, 128 in a new one.
        isolation: decode in worker processes ("workers"), here ("none"), or in workers if there can be any ("auto");
        a file may take file_timeout seconds of processor time and worker_memory bytes there.
        """
        chosen = list(extractors or [])
        chosen += [Extractor("color")] if color else []
        chosen += [Extractor("hash")] if hash else []
        if model is not None:
            chosen.append(Extractor("cnn", model=model, architecture=architecture, precision=precision,
                                    trust_model=trust_model, threads=threads, classes=classes))
            chosen += [chosen[-1].classes()] if classes else []
        names = [text(path) for path in ([paths] if isinstance(paths, (str, bytes, os.PathLike)) else paths)]
        report = native.ScanReport(struct_size=ctypes.sizeof(native.ScanReport))
        with Callbacks() as callbacks:
            settings = options("scan", threads=threads, min_side=min_side, transaction_size=transaction_size,
                               include_hidden=int(include_hidden), follow_links=int(follow_links),
                               recheck=int(recheck), min_bytes=min_bytes, one_file_system=int(one_file_system),
                               thumb_side=thumb_side, isolation=_pick(ISOLATIONS, isolation, "isolation"),
                               file_timeout_ms=None if file_timeout is None else max(1, round(file_timeout * 1000)),
                               worker_memory=worker_memory, progress=callbacks.progress(progress))
            handles = (c_void_p * max(len(chosen), 1))(*[extractor._handle for extractor in chosen])
            settings.extractors = ctypes.cast(handles, POINTER(c_void_p))
            settings.extractor_count = len(chosen)
            settings.include, settings.include_count = _texts(include)
            settings.exclude, settings.exclude_count = _texts(exclude)
            try:
                library.imgsim_scan(self._handle, (c_char_p * len(names))(*names), len(names), byref(settings),
                                    byref(report))
            finally:
                self._drop_queries()
        library.imgsim_derive_refresh(self._handle, None)
        return {name: getattr(report, name) for name, _type in report._fields_ if name != "struct_size"}

    # ---- search ----

    def search(self, images, k=5, by=None, fuse="sum", *, metric=None, weights=None, negatives=(), combine="mean",
               search="auto", exact=False, candidates=None, search_width=None, min_score=None, label=None, under=None,
               filter=None, include_queries=False, rrf_k=None, threads=None, model=None, extractors=None, sheet=None,
               html=None):
        """The k images most like 1 to 5 others.

        images: paths, bytes, H x W x 3 uint8 arrays, image ids (int), Image objects, or {feature: row}; weights: one each,
        below 0 for what hits should not look like. negatives: more images, each with weight -0.5.
        by: {"embedding": 0.7, "color": 0.2} or text as for the command; metric: {"color": "chi-square"}, where a function
        (query, rows) -> distances will also do. fuse: "sum", "rrf" or a function(similarities) -> scores.
        combine: "mean", "rrf" or "best" over several images. search: "auto", "exact", "cascade" or "double".
        label, under: one or a list. filter: boolean array by id, or ids. sheet, html: files to write.
        """
        query = self._query(by, metric)
        images = [images] if isinstance(images, (str, bytes, os.PathLike, np.ndarray, int, dict, Image)) else images
        with Callbacks() as callbacks:
            settings = options(
                "query", k=k, images=_pick(_IMAGES, combine, "combine"), candidates=candidates,
                search=1 if exact else _pick(_SEARCHES, search, "search"), search_width=search_width, rrf_k=rrf_k,
                min_score=min_score, exclude_queries=int(not include_queries), threads=threads)
            if callable(fuse):
                settings.fusion = 2
                settings.fuse = callbacks.fusion(fuse)
            else:
                settings.fusion = _pick(_FUSIONS, fuse, "fuse")
            library.imgsim_query_set_options(query.handle, byref(settings))
            with query.callbacks:
                self._extractors(query, model, extractors)
                self._question(query, images, weights, negatives)
                self._filters(query, label, under, filter)
                result = make("imgsim_query_search", query.handle)
        try:
            if sheet is not None:
                library.imgsim_result_write_sheet(result, query.handle, text(sheet))
            if html is not None:
                library.imgsim_result_write_html(result, query.handle, text(html))
            return _results(result)
        finally:
            library.imgsim_result_free(result)

    def _query(self, by, metric):
        """The query object of these channels; it keeps its rows loaded from one search to the next."""
        key = (str(by), str(sorted((metric or {}).items(), key=str)))
        if key not in self._queries:
            handle = make("imgsim_query_new", self._handle, None)
            query = self._queries[key] = _Query(handle, Callbacks())
            try:
                _add_channels(query, by, metric or {})
            except BaseException:
                library.imgsim_query_free(self._queries.pop(key).handle)
                raise
        query = self._queries[key]
        library.imgsim_query_clear_images(query.handle)
        library.imgsim_query_clear_filters(query.handle)
        return query

    @staticmethod
    def _extractors(query, model, extractors):
        given = dict(extractors or {})
        if model is not None:
            given["embedding"] = Extractor("cnn", model=model)
        for feature, extractor in given.items():
            library.imgsim_query_set_extractor(query.handle, text(feature), extractor._handle)

    def _question(self, query, images, weights, negatives):
        images = list(images)
        weights = [1.0] * len(images) if weights is None else list(weights)
        if len(weights) != len(images):
            raise ValueError("%d weights for %d images" % (len(weights), len(images)))
        for image, weight in zip(images, weights):
            self._add_image(query.handle, image, weight)
        for image in [negatives] if isinstance(negatives, (str, bytes, os.PathLike, int)) else negatives:
            self._add_image(query.handle, image, -0.5)

    def _add_image(self, query, image, weight):
        if isinstance(image, dict):
            for feature, row in image.items():
                row = self._row(feature, row)
                library.imgsim_query_add_row(query, text(feature), row.ctypes.data, row.nbytes, weight)
        elif isinstance(image, (int, np.integer)):
            library.imgsim_query_add_id(query, int(image), weight)
        elif isinstance(image, (bytes, bytearray, memoryview)):
            data = np.frombuffer(image, dtype=np.uint8)
            library.imgsim_query_add_memory(query, data.ctypes.data, data.size, weight)
        elif isinstance(image, (np.ndarray, Image)):
            decoded = image if isinstance(image, Image) else Image(image)
            library.imgsim_query_add_image(query, decoded._handle, weight)
        else:
            library.imgsim_query_add_file(query, text(image), weight)

    def _row(self, feature, row):
        info = self.feature_sets.get(feature)
        dtype = DTYPES[info.row_type] if info else np.float32
        return np.ascontiguousarray(row, dtype=dtype)

    @staticmethod
    def _filters(query, label, under, allowed):
        for value in [label] if isinstance(label, str) else label or []:
            library.imgsim_query_filter_label(query.handle, value.encode())
        for value in [under] if isinstance(under, (str, bytes, os.PathLike)) else under or []:
            library.imgsim_query_filter_directory(query.handle, text(value))
        if allowed is not None:
            bits = filter_bits(allowed)
            library.imgsim_query_filter_bits(
                query.handle, bits.ctypes.data_as(POINTER(c_uint8)), bits.size * 8)

    # ---- files and labels ----

    def files(self, state=None):
        """Every file, or those of one state ("ok", "failed", ...), as File tuples."""
        found = []

        def visit(struct, _data):
            found.append(_file(struct.contents))
        with Callbacks() as callbacks:
            library.imgsim_catalog_visit_files(
                self._handle, -1 if state is None else STATES.index(state),
                callbacks.wrap(native.FileCallback, visit), None)
        return found

    @property
    def paths(self):
        """Absolute paths; position = image id; "" for ids that are dead."""
        if self._paths is None:
            paths = [""] * self.id_count
            for file in self.files():
                if file.id >= 0:
                    paths[file.id] = file.path
            self._paths = paths
        return self._paths

    @property
    def states(self):
        """Number of files in each state."""
        counts = (c_uint64 * len(STATES))()
        library.imgsim_catalog_count_states(self._handle, counts)
        return dict(zip(STATES, counts))

    def find(self, name):
        """Image id of a path or UUID."""
        out = c_int64()
        library.imgsim_catalog_find(self._handle, text(name), byref(out))
        return out.value

    def add_label(self, image, label):
        """Label one image, or many: ids, paths or UUIDs."""
        images = [image] if isinstance(image, (str, bytes, os.PathLike, int, np.integer)) else list(image)
        ids = [int(i) if isinstance(i, (int, np.integer)) else self.find(i) for i in images]
        names = [label.encode()] * len(ids)
        library.imgsim_catalog_add_labels(
            self._handle, (c_int64 * len(ids))(*ids), (c_char_p * len(ids))(*names), len(ids))

    def replace_labels(self, prefix, images=(), labels=()):
        """Take away all labels that begin with a prefix, and give new ones that do, one per image, in one step."""
        ids = [int(i) if isinstance(i, (int, np.integer)) else self.find(i) for i in images]
        names = [label.encode() for label in labels]
        if len(ids) != len(names):
            raise ValueError("%d labels for %d images" % (len(names), len(ids)))
        library.imgsim_catalog_replace_labels(
            self._handle, prefix.encode(), (c_int64 * len(ids))(*ids), (c_char_p * len(ids))(*names), len(ids))

    def remove_label(self, image, label):
        """Take a label from an image."""
        number = int(image) if isinstance(image, (int, np.integer)) else self.find(image)
        library.imgsim_catalog_remove_label(self._handle, number, label.encode())

    def labels(self, image=None):
        """{label: number of images}, of all images or of one."""
        number = -1 if image is None else int(image) if isinstance(image, (int, np.integer)) else self.find(image)
        found = {}

        def visit(label, count, _data):
            found[label.decode("utf-8", "replace")] = count
        with Callbacks() as callbacks:
            library.imgsim_catalog_visit_labels(
                self._handle, number, callbacks.wrap(native.LabelCallback, visit), None)
        return found

    # ---- clusters and predicted labels ----

    def cluster(self, method="kmeans", feature=None, name=None, *, dry_run=False, progress=None, **settings):
        """Cluster the images by a feature (the embedding's projection, or the embedding) and keep the result as labels
        "cluster:NAME/0", "cluster:NAME/1", ..., "cluster:NAME/noise"; NAME is the method if not given, and labels of
        the same NAME are replaced. settings: those of imgsim.cluster().

        Returns ImageClusters: a list of ImageCluster, with .clusters (the Clusters of the rows), .ids (of the rows),
        .noise_count, .labelled_count, .ari, .nmi (against labels or folders) and .silhouette.
        """
        found = []

        def visit(struct, _data):
            c = struct.contents
            found.append(ImageCluster(c.number, c.label.decode(), c.size, c.medoid,
                                      c.name.decode("utf-8", "replace"), c.share))
        report = native.ClusterReport(struct_size=ctypes.sizeof(native.ClusterReport))
        means = settings.get("initial_means")
        if means is not None:
            settings["initial_means"] = means = matrix(means, np.float32)
            settings.setdefault("k", len(means))
        with Callbacks() as callbacks:
            inner = cluster_options(callbacks, method, progress, **settings)
            outer = options("cluster_labels", feature=text(feature), name=text(name), dry_run=int(dry_run),
                            callback=callbacks.wrap(native.ClusterCallback, visit))
            outer.cluster = ctypes.pointer(inner)
            out = c_void_p()
            library.imgsim_derive_clusters(self._handle, byref(outer), byref(report), byref(out))
        used = self.feature_sets[feature if feature is not None else self._default_feature()]
        ids = np.flatnonzero(self.has_features(used.name))
        return ImageClusters(found, Clusters(out, used.dimension), ids, report)

    def _default_feature(self):
        """What the library chooses: the projection of "embedding" made last, else "embedding"."""
        projections = [f.name for f in self.feature_sets.values() if f.source == "embedding"]
        return projections[-1] if projections else "embedding"

    def predict_labels(self, images=None, *, k=10, min_share=0.5, max_distance=None, feature=None, store=False,
                       try_count=2000, threads=None, progress=None, by="neighbours", names=None):
        """Labels of images without, or of the given ones, by the vote of the k most similar labelled images.

        by="network" takes what the network said at the scan (scan(classes=True)) instead: the label of the most probable
        class, if it has more probability than min_share; Prediction.classes are (label, probability) of the best five.
        names: a file with a name per line, unless the model itself names its classes.

        Returns Predictions: a list of Prediction (id, label, share, distance), where the label is None if no label has
        more than min_share of the votes, with .labelled_count, .label_count and, from leaving one labelled image out
        at a time, .tried_count, .answered_count, .right_count and .accuracy. store: keep them as "predicted:LABEL".
        """
        found = []

        def visit(struct, _data):
            p = struct.contents
            classes = [(p.class_labels[i].decode("utf-8", "replace"), p.class_shares[i]) for i in range(p.class_count)]
            found.append(Prediction(p.id, p.label.decode("utf-8", "replace") or None, p.share, p.distance, classes))
        report = native.PredictReport(struct_size=ctypes.sizeof(native.PredictReport))
        with Callbacks() as callbacks:
            settings = options(
                "predict", feature=text(feature), k=k, min_share=min_share, max_distance=max_distance,
                store=int(store), by=_pick(_WAYS, by, "by"), names_path=text(names), try_count=try_count,
                threads=threads, progress=callbacks.progress(progress),
                callback=callbacks.wrap(native.PredictionCallback, visit))
            if images is not None:
                images = [images] if isinstance(images, (str, bytes, os.PathLike, int, np.integer)) else images
                ids = [int(i) if isinstance(i, (int, np.integer)) else self.find(i) for i in images]
                settings.ids = (c_int64 * max(len(ids), 1))(*ids)
                settings.id_count = len(ids)
            library.imgsim_derive_predictions(self._handle, byref(settings), byref(report))
        return Predictions(found, report)

    def duplicates(self, near=None, feature=None, threads=None, progress=None):
        """Groups of images with equal content, a list of lists of Duplicate(id, distance, copy_of), the largest first.

        near: also images whose hashes ("hash", or another feature of bits) differ in at most so many bits. The first of
        a group is the one to keep: most pixels, largest file. distance: bits off the first, None if unknown. copy_of: id
        of the first image in the group with the same content. Groups are chains: docs/command.md.
        """
        with Callbacks() as callbacks:
            settings = options("duplicates", feature=text(feature), near=int(near is not None), max_distance=near,
                               threads=threads, progress=callbacks.progress(progress))
            handle = make("imgsim_derive_duplicates", self._handle, byref(settings))
        ids, distances, copies = POINTER(c_int64)(), POINTER(c_uint32)(), POINTER(c_uint32)()
        count, groups = c_size_t(), []
        try:
            for i in range(library.imgsim_duplicates_get_group_count(handle)):
                library.imgsim_duplicates_get_group(
                    handle, i, byref(ids), byref(distances), byref(copies), byref(count))
                groups.append([
                    Duplicate(ids[j], distances[j] if distances[j] != 0xffffffff else None, ids[copies[j]])
                    for j in range(count.value)])
        finally:
            library.imgsim_duplicates_free(handle)
        return groups

    # ---- features ----

    @property
    def feature_sets(self):
        """{name: Feature}, in the order in which they were made."""
        found = {}

        def visit(struct, _data):
            f = struct.contents
            found[f.name.decode()] = Feature(
                f.name.decode(), os.fsdecode(f.spec), f.fingerprint.decode(), f.source.decode(), f.dimension,
                f.row_type, metric_name(f.metric), f.image_count)
        with Callbacks() as callbacks:
            library.imgsim_catalog_visit_features(
                self._handle, callbacks.wrap(native.FeatureCallback, visit), None)
        return found

    def features(self, name):
        """Rows of a feature, row = image id, read-only. Mapped; histograms, kept sparse, become a dense copy.

        Rows of ids without this feature are unspecified; has_features() tells which have one.
        """
        handle = _FeaturesHandle(make("imgsim_catalog_open_features", self._handle, text(name)))
        count = library.imgsim_features_get_row_count(handle.handle)
        row_type = library.imgsim_features_get_row_type(handle.handle)
        if row_type == ROW_BYTES:
            raise ValueError("the rows of %r differ in size: thumbnails() and classes() read them" % name)
        width = columns(row_type, library.imgsim_features_get_dimension(handle.handle))
        if row_type == ROW_UINT32:
            rows = _dense(handle.handle, count, width)
        else:
            rows = _mapped(handle, (count, width), DTYPES[row_type])
        rows.flags.writeable = False
        return rows

    def has_features(self, name):
        """Boolean array by image id: which images have a row of this feature and are in state "ok"."""
        handle = _FeaturesHandle(make("imgsim_catalog_open_features", self._handle, text(name)))
        count = library.imgsim_features_get_row_count(handle.handle)
        return np.array([library.imgsim_features_has_row(handle.handle, i) for i in range(count)], np.bool_)

    def thumbnail(self, image):
        """The thumbnail of an image (id, path or UUID) as the bytes of a JPEG file, None if it has none."""
        number = int(image) if isinstance(image, (int, np.integer)) else self.find(image)
        return next(self.thumbnails([number]))

    def thumbnails(self, ids=None):
        """Thumbnails of many images, by default of all ids, one after another: bytes, or None."""
        yield from self._byte_rows("thumbnail", ids)

    def classes(self, images=None):
        """What the network said about each image (id, path or UUID; by default all ids): see Extractor.classify(), or None."""
        if images is not None:
            images = [int(i) if isinstance(i, (int, np.integer)) else self.find(i) for i in images]
        return [None if row is None else classes_of(row) for row in self._byte_rows("classes", images)]

    def _byte_rows(self, feature, ids):
        if feature not in self.feature_sets:
            yield from (None for _ in (range(self.id_count) if ids is None else ids))
            return
        handle = _FeaturesHandle(make("imgsim_catalog_open_features", self._handle, text(feature)))
        data, size = c_void_p(), c_size_t()
        for number in range(self.id_count) if ids is None else ids:
            if library.imgsim_features_has_row(handle.handle, int(number)):
                library.imgsim_features_get_bytes(handle.handle, int(number), byref(data), byref(size))
                yield ctypes.string_at(data, size.value)
            else:
                yield None

    def put_features(self, name, rows, ids=None, *, metric="cosine", row_type=1, spec="", fingerprint="", source=""):
        """Store rows of your own as a feature; ids default to 0, 1, ..."""
        array = matrix(rows, DTYPES[row_type])
        numbers = ids_array(np.arange(len(array)) if ids is None else ids, len(array))
        definition = native.FeatureDefinition(
            struct_size=ctypes.sizeof(native.FeatureDefinition), name=text(name), spec=text(spec),
            fingerprint=text(fingerprint), source=text(source), row_type=row_type, metric=metric_code(metric),
            dimension=array.shape[1] * 8 if array.dtype == np.uint8 else array.shape[1])
        library.imgsim_catalog_put_features(
            self._handle, byref(definition), numbers.ctypes.data_as(POINTER(c_int64)), len(numbers),
            array.ctypes.data, array.nbytes)
        self._drop_queries()

    def remove_features(self, name):
        """Drop a feature and its files."""
        library.imgsim_catalog_remove_features(self._handle, text(name))
        self._drop_queries()

    def pca(self, dim=128, feature=None, name=None, *, progress=None, **settings):
        """Fit a PCA on a feature ("embedding") and store the projected rows as a feature; returns the Projector. Settings are
        those of Projector: whiten, normalize, threads, method, kernel, landmarks, ..."""
        inner = projector_options(**settings)
        with Callbacks() as callbacks:
            projection = options("projection", source=text(feature), name=text(name), dimension=dim,
                                 progress=callbacks.progress(progress))
            projection.projector = ctypes.pointer(inner)
            handle = make("imgsim_derive_projection", self._handle, byref(projection))
        self._drop_queries()
        projector = Projector.__new__(Projector)
        projector._handle, projector._dim, projector._settings, projector.report = handle, dim, None, None
        return projector

    def pca_study(self, dims=(50, 75, 100, 128, 200, 256), feature=None, *, queries=1000, neighbours=10, precision_at=5,
                  classes="auto", seed=1, threads=None, progress=None):
        """What a feature's principal components keep: a dict per number of components, 0 standing for the feature itself.

        energy, recall of the nearest neighbours, precision on classes ("labels", "folders" or "auto"; NaN without),
        seconds per query.
        """
        numbers = np.ascontiguousarray(dims, dtype=np.uint32)
        table = np.empty((4, len(numbers)))
        with Callbacks() as callbacks:
            settings = options(
                "study", source=text(feature), queries=queries, neighbours=neighbours, precision_at=precision_at,
                classes=("auto", "labels", "folders").index(classes), seed=seed, threads=threads,
                progress=callbacks.progress(progress))
            library.imgsim_derive_study(
                self._handle, byref(settings), pointer(numbers, ctypes.c_uint32), len(numbers),
                *(pointer(column, ctypes.c_double) for column in table))
        names = ("energy", "recall", "precision", "seconds")
        return [dict(zip(("dim",) + names, (int(dim),) + tuple(row)))
                for dim, row in zip(numbers, table.T.tolist())]

    def build_index(self, feature=None, kind="auto", metric=None, *, threads=None, max_links=None, build_width=None,
                    search_width=None, progress=None):
        """Build or refresh the stored index of a feature; returns the Index."""
        code = ctypes.c_int32()
        library.imgsim_index_kind_from_name(kind.encode(), byref(code))
        index = Index.__new__(Index)
        index._callbacks = Callbacks()
        settings = options("index", kind=code.value, metric=0 if metric is None else metric_code(metric),
                           threads=threads, max_links=max_links, build_width=build_width, search_width=search_width)
        with index._callbacks as callbacks:
            settings.progress = callbacks.progress(progress)
            index._handle = make("imgsim_derive_index", self._handle, text(feature), byref(settings))
        self._drop_queries()
        return index

    def map(self, feature=None, layout="umap", dim=2, seed=1, **settings):
        """The map of the images by a feature ("embedding"), kept with the catalog; returns a Map."""
        return Map.of_catalog(self, feature, layout, dim, seed, **settings)

    def export_npy(self, feature, path):
        """Write a feature as PATH (dense rows) and PATH with .ids.npy (their ids)."""
        library.imgsim_catalog_export_npy(self._handle, text(feature), text(path))

    def export_csv(self, path):
        """Write a table of all files."""
        library.imgsim_catalog_export_csv(self._handle, text(path))

    def verify(self):
        """Problems found in the catalog, its matrices, indexes, projectors and maps, one text each; empty when sound."""
        return self.check().problems

    def check(self, files="none", progress=None):
        """Check(problems, files, report): what verify() finds, and with files="times" or "content" a text for each image's
        file that is no longer what was scanned; the report counts rows, rows without checksum, files and more."""
        found = Check([], [], {})

        def note(about, line, _data):
            (found.files if about == 1 else found.problems).append(line.decode("utf-8", "replace"))

        report = native.CheckReport(struct_size=ctypes.sizeof(native.CheckReport))
        with Callbacks() as callbacks:
            settings = options(
                "check", files=_pick(_CHECK_FILES, files, "files"), callback=native.CheckCallback(note),
                progress=callbacks.progress(progress))
            try:
                library.imgsim_catalog_check(self._handle, byref(settings), byref(report))
            except native.Error as error:
                if library.imgsim_status_name(error.status) != b"IMGSIM_ERROR_CORRUPT" or not found.problems:
                    raise
        found.report.update((name, getattr(report, name)) for name, _type in report._fields_ if name != "struct_size")
        return found

    @staticmethod
    def repair(path):
        """Repair the catalog at `path`: (lines that say what was done, the report as a dict). Open it afterwards."""
        lines = []
        report = native.RepairReport(struct_size=ctypes.sizeof(native.RepairReport))
        callback = native.VerifyCallback(lambda line, _data: lines.append(line.decode("utf-8", "replace")))
        settings = options("repair", callback=callback)
        library.imgsim_catalog_repair(text(path), byref(settings), byref(report))
        return lines, {name: getattr(report, name) for name, _type in report._fields_ if name != "struct_size"}


def matches(pattern, path, folder=False):
    """Whether a pattern of scan(include=, exclude=) matches a path below a scanned folder."""
    result = ctypes.c_int32()
    library.imgsim_scan_match(text(pattern), text(path), int(folder), byref(result))
    return bool(result.value)


_Query = namedtuple("_Query", "handle callbacks")


class _FeaturesHandle:
    """Keeps mapped rows alive."""

    def __init__(self, handle):
        self.handle = handle

    def __del__(self):
        library.imgsim_features_free(self.handle)


def _texts(values):
    """One text or many as an array of C strings, and their number."""
    names = [text(value) for value in ([values] if isinstance(values, (str, bytes, os.PathLike)) else values)]
    return (c_char_p * max(len(names), 1))(*names), len(names)


def _pick(table, value, what):
    if value not in table:
        raise ValueError("unknown %s %r, expected one of %s" % (what, value, ", ".join(table)))
    return table[value]


def _mapped(handle, shape, dtype):
    """Rows of a feature as an array that keeps their handle alive."""
    address = library.imgsim_features_get_rows(handle.handle)
    if not address or not shape[0]:
        return np.empty(shape, dtype)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    buffer = (c_uint8 * size).from_address(address)
    buffer.owner = handle
    return np.frombuffer(buffer, dtype=dtype).reshape(shape)


def _dense(handle, count, width):
    """Sparse histograms as a dense array."""
    offsets, lengths = POINTER(c_uint64)(), POINTER(ctypes.c_uint32)()
    bins, counts = POINTER(ctypes.c_uint16)(), POINTER(ctypes.c_uint32)()
    library.imgsim_features_get_sparse(handle, byref(offsets), byref(lengths), byref(bins), byref(counts))
    dense = np.zeros((count, width), np.uint32)
    for i in range(count):
        start, length = offsets[i], lengths[i]
        if length and library.imgsim_features_has_row(handle, i):
            b = view(ctypes.addressof(bins.contents) + 2 * start, (length,), np.uint16)
            dense[i, b] = view(ctypes.addressof(counts.contents) + 4 * start, (length,), np.uint32)
    return dense


def _file(f):
    return File(f.id, f.uuid.decode(), os.fsdecode(f.path), f.format.decode(), STATES[f.state],
                f.reason.decode("utf-8", "replace"), f.width, f.height, f.bytes, f.mtime_ns, f.content_hash.decode())


def _add_channels(query, by, metric):
    """Channels of a query from a text, a dict of weights, or None for the default."""
    named = {name: value for name, value in metric.items() if not callable(value)}
    metrics = ",".join("%s=%s" % item for item in named.items())
    if by is None and metric:
        by = {name: 1.0 for name in metric}
    if isinstance(by, str):
        library.imgsim_query_add_channels(query.handle, by.encode(), metrics.encode() or None)
    elif by is not None:
        for feature, weight in by.items():
            settings = options("channel", weight=weight)
            chosen = metric.get(feature)
            if callable(chosen):
                settings.metric = METRIC_CALLBACK
                settings.callback = query.callbacks.metric(chosen)
            elif chosen is not None:
                settings.metric = metric_code(chosen)
            library.imgsim_query_add_channel(query.handle, text(feature), byref(settings))


def _results(result):
    count = library.imgsim_result_get_count(result)
    part_count = library.imgsim_result_get_part_count(result)
    hit = native.HitStruct(struct_size=ctypes.sizeof(native.HitStruct))
    part = native.PartStruct(struct_size=ctypes.sizeof(native.PartStruct))
    hits = []
    for i in range(count):
        library.imgsim_result_get_hit(result, i, byref(hit))
        parts = {}
        for j in range(part_count):
            library.imgsim_result_get_part(result, i, j, byref(part))
            parts[part.feature.decode()] = Part(
                metric=metric_name(part.metric), value=part.value, similarity=part.similarity, weight=part.weight,
                rank=part.rank)
        hits.append(Hit(i + 1, hit.id, hit.uuid.decode(), os.fsdecode(hit.path), hit.score, hit.width, hit.height,
                        parts))
    return Results(hits, bool(library.imgsim_result_get_exact(result)), library.imgsim_result_get_image_count(result),
                   library.imgsim_result_get_failovers(result), library.imgsim_result_get_elapsed_ms(result))
