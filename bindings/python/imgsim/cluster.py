# SPDX-License-Identifier: Apache-2.0
"""Clusters of rows, and how good they are."""

from ctypes import byref, c_double, c_float, c_int32

import numpy as np

from .arrays import Callbacks, matrix, metric_code, pointer
from .native import library, make, options

_LINKAGES = {"ward": 0, "single": 1, "complete": 2, "average": 3}
_SELECTIONS = {"eom": 0, "leaf": 1}


def method_code(name):
    """Number of a method's name."""
    out = c_int32()
    library.imgsim_cluster_method_from_name(name.encode(), byref(out))
    return out.value


def cluster_options(callbacks, method="kmeans", progress=None, *, k=None, metric="l2", seed=None, threads=None,
                    max_iterations=None, runs=None, tolerance=None, initial_means=None, eps=None, min_samples=None,
                    min_cluster_size=None, selection="eom", selection_epsilon=None, allow_single=False,
                    linkage="ward", cut_height=None, micro_clusters=None, memory_limit=None):
    """The options struct of these settings; `initial_means` must stay alive as long as it."""
    if linkage not in _LINKAGES or selection not in _SELECTIONS:
        raise ValueError("linkage is one of %s, selection one of %s" % (
            ", ".join(_LINKAGES), ", ".join(_SELECTIONS)))
    if cut_height is not None and k is None:
        k = 0
    settings = options(
        "cluster", method=method_code(method), metric=metric_code(metric), seed=seed, threads=threads, k=k,
        max_iterations=max_iterations, runs=runs, tolerance=tolerance, eps=eps, min_samples=min_samples,
        min_cluster_size=min_cluster_size, selection=_SELECTIONS[selection], selection_epsilon=selection_epsilon,
        allow_single=int(allow_single), linkage=_LINKAGES[linkage], cut_height=cut_height,
        micro_clusters=micro_clusters, memory_limit=memory_limit, progress=callbacks.progress(progress))
    if initial_means is not None:
        settings.initial_means = pointer(initial_means, c_float)
    return settings


class Clusters:
    """What cluster() found: `labels`, one per row, -1 for noise; clusters are numbered by falling size.

    sizes, medoids (row numbers): per cluster. probabilities: HDBSCAN; means, inertia, iterations: k-means; eps: DBSCAN;
    tree: agglomerative and HDBSCAN, in SciPy's form; leaves: leaf of each row where the tree's leaves are micro-clusters.
    """

    def __init__(self, handle, dimension):
        self._handle = handle
        self._dimension = dimension

    def __del__(self):
        if getattr(self, "_handle", None):
            library.imgsim_clusters_free(self._handle)

    def __len__(self):
        return library.imgsim_clusters_get_count(self._handle)

    def _array(self, getter, shape):
        address = getattr(library, "imgsim_clusters_get_" + getter)(self._handle)
        if not address:
            return None
        return np.ctypeslib.as_array(address, shape).copy() if np.prod(shape) else np.empty(shape, np.int64)

    row_count = property(lambda self: library.imgsim_clusters_get_row_count(self._handle))
    noise_count = property(lambda self: library.imgsim_clusters_get_noise_count(self._handle))
    inertia = property(lambda self: library.imgsim_clusters_get_inertia(self._handle))
    iterations = property(lambda self: library.imgsim_clusters_get_iterations(self._handle))
    eps = property(lambda self: library.imgsim_clusters_get_eps(self._handle))
    labels = property(lambda self: self._array("labels", (self.row_count,)))
    sizes = property(lambda self: self._array("sizes", (len(self),)))
    medoids = property(lambda self: self._array("medoids", (len(self),)))
    probabilities = property(lambda self: self._array("probabilities", (self.row_count,)))
    means = property(lambda self: self._array("means", (len(self), self._dimension)))
    leaves = property(lambda self: self._array("leaves", (self.row_count,)))

    @property
    def tree(self):
        """Joins by rising height, rows of (left, right, height, leaves), as SciPy's linkage matrices."""
        return self._array("tree", (max(library.imgsim_clusters_get_leaf_count(self._handle), 1) - 1, 4))

    def cut(self, k=None, height=None):
        """Labels after cutting the tree into k clusters, or at a height."""
        if (k is None) == (height is None):
            raise ValueError("cut() takes either k or height")
        labels = np.empty(self.row_count, np.int32)
        library.imgsim_clusters_cut(self._handle, k or 0, height or 0.0, pointer(labels, c_int32), None)
        return labels

    def assign(self, rows, distances=False):
        """Cluster of other rows (k-means); with distances=True also how far its mean is."""
        rows = matrix(rows, np.float32, self._dimension)
        labels, found = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32)
        library.imgsim_clusters_assign(
            self._handle, pointer(rows, c_float), len(rows), pointer(labels, c_int32), pointer(found, c_float))
        return (labels, found) if distances else labels


def cluster_rows(rows, method="kmeans", progress=None, **settings):
    """Cluster rows; gives Clusters. cluster() has the settings."""
    rows = matrix(rows, np.float32)
    means = settings.get("initial_means")
    if means is not None:
        settings["initial_means"] = means = matrix(means, np.float32, rows.shape[1], "initial_means")
        settings.setdefault("k", len(means))
        if settings["k"] != len(means):
            raise ValueError("k is %d, but there are %d initial means" % (settings["k"], len(means)))
    with Callbacks() as callbacks:
        chosen = cluster_options(callbacks, method, progress, **settings)
        handle = make("imgsim_cluster_rows", pointer(rows, c_float), len(rows), rows.shape[1], byref(chosen))
    return Clusters(handle, rows.shape[1])


def cluster(rows, method="kmeans", *, full=False, **settings):
    """One label per row, -1 = noise; with full=True the Clusters.

    method: "kmeans" (k, runs, max_iterations, tolerance, initial_means), "dbscan" (eps, min_samples), "hdbscan"
    (min_cluster_size, min_samples, selection="eom" or "leaf", selection_epsilon, allow_single), "agglomerative" (k or
    cut_height, linkage="ward", "single", "complete" or "average", micro_clusters, memory_limit). All: metric="l2" or
    "cosine", seed, threads, progress (called with a Progress, a true result stops).
    """
    found = cluster_rows(rows, method, **settings)
    return found if full else found.labels


def _labels(labels, count=None):
    array = np.ascontiguousarray(labels, np.int32)
    if array.ndim != 1 or (count is not None and len(array) != count):
        raise ValueError("labels have shape %s, expected one per row" % (array.shape,))
    return array


def compare_labels(a, b):
    """Adjusted Rand index and normalised mutual information of two partitions of the same rows."""
    a = _labels(a)
    b = _labels(b, len(a))
    ari, nmi = c_double(), c_double()
    library.imgsim_compare_labels(
        pointer(a, c_int32), pointer(b, c_int32), len(a), byref(ari), byref(nmi))
    return ari.value, nmi.value


def silhouette(rows, labels, metric="l2", *, sample=0, seed=1, threads=0, values=False):
    """Mean silhouette, of all rows or of a sample of them against all; with values=True also that of each row."""
    rows = matrix(rows, np.float32)
    labels = _labels(labels, len(rows))
    mean, each = c_double(), np.empty(len(rows), np.float32) if values else None
    library.imgsim_silhouette(
        pointer(rows, c_float), len(rows), rows.shape[1], pointer(labels, c_int32), metric_code(metric),
        sample, seed, threads, byref(mean), pointer(each, c_float))
    return (mean.value, each) if values else mean.value
