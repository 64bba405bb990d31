# SPDX-License-Identifier: Apache-2.0
"""Nearest rows of a set."""

from ctypes import (
    byref, c_double, c_float, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64, sizeof,
)
from ctypes import pointer as ctypes_pointer

import numpy as np

from .arrays import (
    BIT_METRICS, METRIC_CALLBACK, Callbacks, ids_array, matrix, metric_code, metric_name, pointer, text,
)
from .native import PairsCallback, SearchStats, library, make, options


class Index:
    """An index of rows: exact or HNSW ("auto" decides by size).

    dim counts values, or bits for "hamming" and "jaccard". `metric` may be a function(query, rows) -> distances.
    max_links, build_width and search_width are HNSW's M, efConstruction and efSearch. normalize=True: sparse histograms count
    as divided by their sums (queries are taken as they are).
    """

    def __init__(self, dim, metric="cosine", kind="exact", threads=None, *, mahalanobis=None, max_links=None,
                 build_width=None, search_width=None, seed=None, progress=None, normalize=None, max_bytes=None):
        code = c_int32()
        library.imgsim_index_kind_from_name(kind.encode(), byref(code))
        self._callbacks = Callbacks()
        settings = options("index", kind=code.value, dimension=dim, threads=threads, max_links=max_links,
                           build_width=build_width, search_width=search_width, seed=seed,
                           normalize=None if normalize is None else int(normalize), max_bytes=max_bytes)
        if callable(metric):
            settings.metric = METRIC_CALLBACK
            settings.callback = self._callbacks.metric(metric)
            settings.callback_row_type = 1
        else:
            settings.metric = metric_code(metric)
        if mahalanobis is not None:
            weights = np.ascontiguousarray(mahalanobis, dtype=np.float64)
            if weights.shape != (dim, dim):
                raise ValueError("mahalanobis has shape %s, expected (%d, %d)" % (weights.shape, dim, dim))
            settings.mahalanobis = pointer(weights, c_double)
        settings.progress = self._callbacks.progress(progress)
        self._handle = make("imgsim_index_new", byref(settings))

    @classmethod
    def open(cls, path, verify=False):
        """Open a saved index by mapping it; verify=True compares all checksums."""
        self = cls.__new__(cls)
        self._callbacks = Callbacks()
        self._handle = make("imgsim_index_open", text(path), int(verify))
        return self

    def __del__(self):
        if getattr(self, "_handle", None):
            library.imgsim_index_free(self._handle)

    def __len__(self):
        return library.imgsim_index_get_count(self._handle)

    dim = property(lambda self: library.imgsim_index_get_dimension(self._handle))
    metric = property(lambda self: metric_name(library.imgsim_index_get_metric(self._handle)))
    kind = property(lambda self: library.imgsim_index_kind_name(
        library.imgsim_index_get_kind(self._handle)).decode())

    @property
    def note(self):
        """Text kept with the index."""
        return library.imgsim_index_get_note(self._handle).decode("utf-8", "replace")

    @note.setter
    def note(self, value):
        library.imgsim_index_set_note(self._handle, value.encode())

    def _rows(self, rows, what):
        if self.metric in BIT_METRICS:
            return matrix(rows, np.uint8, self.dim // 8, what), c_uint8, "_bits"
        return matrix(rows, np.float32, self.dim, what), c_float, ""

    def add(self, rows, ids=None):
        """Add rows; without ids they continue after the largest id."""
        array, ctype, suffix = self._rows(rows, "rows")
        numbers = ids_array(ids, len(array))
        with self._callbacks:
            getattr(library, "imgsim_index_add" + suffix)(
                self._handle, pointer(array, ctype), len(array), pointer(numbers, c_int64))

    def add_sparse(self, offsets, lengths, bins, counts, ids=None):
        """Add sparse histograms: row i has lengths[i] entries of bins and counts from offsets[i] on, bins ascending."""
        offsets = np.ascontiguousarray(offsets, dtype=np.uint64)
        lengths = np.ascontiguousarray(lengths, dtype=np.uint32)
        bins = np.ascontiguousarray(bins, dtype=np.uint16)
        counts = np.ascontiguousarray(counts, dtype=np.uint32)
        if offsets.shape != lengths.shape or offsets.ndim != 1 or bins.shape != counts.shape or bins.ndim != 1:
            raise ValueError("offsets and lengths, and bins and counts, have to be one-dimensional and of one length each")
        if offsets.size and int((offsets + lengths).max()) > bins.size:
            raise ValueError("a row ends behind the %d entries" % bins.size)
        numbers = ids_array(ids, len(offsets))
        with self._callbacks:
            library.imgsim_index_add_sparse(
                self._handle, pointer(offsets, c_uint64), pointer(lengths, c_uint32), pointer(bins, c_uint16),
                pointer(counts, c_uint32), len(offsets), pointer(numbers, c_int64))

    def remove(self, ids):
        """Remove rows by id; tells how many were there."""
        numbers = np.ascontiguousarray(np.atleast_1d(ids), dtype=np.int64)
        removed = c_size_t()
        library.imgsim_index_remove(self._handle, pointer(numbers, c_int64), numbers.size, byref(removed))
        return removed.value

    def search(self, queries, k=10, *, search_width=None, exact=False, filter=None, max_distance=None, threads=None,
               stats=None):
        """ids (int64) and distances (float32), queries x k, nearest first; -1 and inf where there are fewer.

        filter: a boolean array by id, or an array of the ids allowed.
        stats: a dict that gets what the search did: certified, queries, plane_rows (bounds taken from each plane),
        rows_read and rows_decided (rows compared in float, and in double precision).
        """
        array, ctype, suffix = self._rows(queries, "queries")
        settings = options("search", search_width=search_width, exact=int(exact), max_distance=max_distance,
                           threads=threads)
        bits = None if filter is None else filter_bits(filter)
        if bits is not None:
            settings.filter = pointer(bits, c_uint8)
            settings.filter_bits = bits.size * 8
        counts = SearchStats()
        library.imgsim_search_stats_init(byref(counts), sizeof(counts))
        if stats is not None:
            settings.stats = ctypes_pointer(counts)
        ids = np.empty((len(array), k), np.int64)
        distances = np.empty((len(array), k), np.float32)
        with self._callbacks:
            getattr(library, "imgsim_index_search" + suffix)(
                self._handle, pointer(array, ctype), len(array), k, byref(settings), pointer(ids, c_int64),
                pointer(distances, c_float))
        if stats is not None:
            stats.update(
                certified=bool(counts.certified), queries=counts.queries,
                plane_rows=list(counts.plane_rows[:counts.plane_count]), rows_read=counts.rows_read,
                rows_decided=counts.rows_decided)
        return ids, distances

    def pairs(self, max_distance, *, threads=None, progress=None):
        """All pairs of rows within a Hamming distance: ids (pairs x 2, the smaller first) and distances, in order of ids."""
        found = []

        def take(a, b, distances, count, _data):
            found.append((np.ctypeslib.as_array(a, (count,)).copy(), np.ctypeslib.as_array(b, (count,)).copy(),
                          np.ctypeslib.as_array(distances, (count,)).copy()))

        settings = options("pairs", max_distance=max_distance, threads=threads)
        callbacks = Callbacks()
        settings.progress = callbacks.progress(progress)
        with callbacks:
            library.imgsim_index_pairs(self._handle, byref(settings), callbacks.wrap(PairsCallback, take), None)
        if not found:
            return np.empty((0, 2), np.int64), np.empty(0, np.float32)
        first, second, distances = (np.concatenate(part) for part in zip(*found))
        order = np.lexsort((second, first))
        return np.stack([first[order], second[order]], axis=1), distances[order]

    def save(self, path):
        """Save atomically: written beside, synced, renamed over `path`."""
        library.imgsim_index_save(self._handle, text(path))


def filter_bits(allowed):
    """A boolean array by id, or ids, as the library's bits; at least one byte."""
    allowed = np.asarray(allowed)
    if allowed.dtype != np.bool_:
        flags = np.zeros(int(allowed.max()) + 1 if allowed.size else 0, np.bool_)
        flags[allowed.astype(np.int64)] = True
        allowed = flags
    bits = np.packbits(allowed, bitorder="little")
    return bits if bits.size else np.zeros(1, np.uint8)
