# SPDX-License-Identifier: Apache-2.0
"""Maps: rows laid out in two or three dimensions."""

from ctypes import byref, c_float, c_int32, c_int64, c_void_p, cast

import numpy as np

from .arrays import Callbacks, ids_array, matrix, metric_code, pointer, view
from .native import MapOptions, library, make, options
from .page import Page


class Map:
    """Rows laid out as points of a plane or of space so that similar ones lie together.

    layout: "umap", "tsne" or "pca". Same rows, settings and seed give the same map whatever the threads. `start` is an array of
    positions to begin from. progress: called with a Progress, a true result stops.
    """

    def __init__(self, rows, layout="umap", dim=2, seed=1, *, ids=None, metric="cosine", **settings):
        rows = matrix(rows, np.float32)
        numbers = ids_array(ids, len(rows))
        with Callbacks() as callbacks:
            struct, _kept = map_options(callbacks, layout, dim, seed, metric, settings)
            self._handle = make("imgsim_map_new", pointer(rows, c_float), len(rows), rows.shape[1],
                                pointer(numbers, c_int64), byref(struct))

    @classmethod
    def of_catalog(cls, catalog, feature=None, layout="umap", dim=2, seed=1, *, metric=None, **settings):
        """The map of a catalog's images; Catalog.map() is the same."""
        self = cls.__new__(cls)
        with Callbacks() as callbacks:
            struct, _kept = map_options(callbacks, layout, dim, seed, metric, settings)
            self._handle = make("imgsim_map_new_catalog", catalog, None if feature is None else feature.encode(),
                                byref(struct))
        return self

    def __del__(self):
        if getattr(self, "_handle", None):
            library.imgsim_map_free(self._handle)

    def __len__(self):
        return library.imgsim_map_get_count(self._handle)

    dim = property(lambda self: library.imgsim_map_get_dimension(self._handle))
    layout = property(lambda self: library.imgsim_layout_name(library.imgsim_map_get_layout(self._handle)).decode())
    feature = property(lambda self: library.imgsim_map_get_feature(self._handle).decode())
    kl = property(lambda self: library.imgsim_map_get_kl(self._handle), doc="t-SNE's divergence, NaN for others.")

    def _array(self, getter, shape, dtype):
        return view(_address(getattr(library, "imgsim_map_get_" + getter)(self._handle)), shape, dtype).copy()

    @property
    def positions(self):
        """Points x dim, float32."""
        return self._array("positions", (len(self), self.dim), np.float32)

    @property
    def ids(self):
        """Ids of the points."""
        return self._array("ids", (len(self),), np.int64)

    @property
    def neighbours(self):
        """Neighbour graph: places in the map, nearest first, points x k; k is 0 for a PCA map."""
        return self._array(
            "neighbours", (len(self), library.imgsim_map_get_neighbour_count(self._handle)), np.uint32)

    @property
    def distances(self):
        """Distances to the neighbours, points x k."""
        return self._array(
            "distances", (len(self), library.imgsim_map_get_neighbour_count(self._handle)), np.float32)

    def write_page(self, path, **what):
        """Write the map as one page that a browser opens by itself; see Page for what can be shown."""
        page, settings = Page.split(self, what)
        page.write(path, **settings)

    def export_tensorboard(self, folder, vectors=None, **what):
        """Write the map for `tensorboard --logdir FOLDER`, with vectors (points x values) beside it; see Page."""
        page, settings = Page.split(self, what)
        page.write_projector(folder, vectors, **settings)


def _address(typed):
    """Number of a typed pointer's address; None for NULL."""
    return cast(typed, c_void_p).value


STARTS = {"auto": 0, "pca": 1, "spectral": 2}


def map_options(callbacks, layout, dim, seed, metric, settings):
    """The options struct and what must stay alive with it."""
    code = c_int32()
    library.imgsim_layout_from_name(layout.encode(), byref(code))
    settings = dict(settings)
    start = settings.pop("start", None)
    kept = None
    if isinstance(start, str):
        if start not in STARTS:
            raise ValueError("start is %r, expected one of %s, or an array" % (start, ", ".join(STARTS)))
        settings["start"] = STARTS[start]
    elif start is not None:
        kept = matrix(start, np.float32, dim, "start")
        settings["start_positions"] = pointer(kept, c_float)
    progress = settings.pop("progress", None)
    names = [name for name, _type in MapOptions._fields_]
    for name in settings:
        if name not in names:
            raise TypeError("unknown setting %r" % name)
    struct = options("map", layout=code.value, dimension=dim, seed=seed,
                     metric=None if metric is None else metric_code(metric), **settings)
    struct.progress = callbacks.progress(progress)
    return struct, kept
