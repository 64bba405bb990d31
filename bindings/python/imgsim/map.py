# SPDX-License-Identifier: Apache-2.0
"""Maps: rows laid out in two or three dimensions."""

from collections import namedtuple
from ctypes import POINTER, byref, c_char_p, c_float, c_int32, c_int64, c_void_p, cast, sizeof

import numpy as np

from . import native
from .arrays import Callbacks, ids_array, matrix, metric_code, pointer, text, view
from .native import MapOptions, library, make, options
from .page import Page


class Map:
    """Rows laid out as points of a plane or of space so that similar ones lie together.

    layout: "umap", "tsne" or "pca". Same rows, settings and seed give the same map whatever the threads. `start` is an array of
    positions to begin from. progress: called with a Progress, a true result stops.
    """

    def __init__(self, rows, layout="umap", dim=2, seed=1, *, ids=None, metric="cosine", **settings):
        rows = self._rows = matrix(rows, np.float32)
        self._catalog, self._settings = None, dict(settings)
        numbers = ids_array(ids, len(rows))
        with Callbacks() as callbacks:
            struct, _kept = map_options(callbacks, layout, dim, seed, metric, settings)
            self._handle = make("imgsim_map_new", pointer(rows, c_float), len(rows), rows.shape[1],
                                pointer(numbers, c_int64), byref(struct))

    @classmethod
    def of_catalog(cls, catalog, feature=None, layout="umap", dim=2, seed=1, *, metric=None, **settings):
        """The map of a catalog's images; Catalog.map() is the same."""
        self = cls.__new__(cls)
        self._rows, self._catalog, self._settings = None, catalog, dict(settings)
        with Callbacks() as callbacks:
            struct, _kept = map_options(callbacks, layout, dim, seed, metric, settings)
            self._handle = make("imgsim_map_new_catalog", catalog._handle, text(feature), byref(struct))
        return self

    @classmethod
    def load(cls, path):
        """Read a saved map."""
        self = cls.__new__(cls)
        self._rows, self._catalog, self._settings = None, None, {}
        self._handle = make("imgsim_map_load", text(path))
        return self

    def save(self, path):
        """Save atomically."""
        library.imgsim_map_save(self._handle, text(path))

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


    # ---- quality, new points, files ----

    def quality(self, k=15, *, rows=None, metric=None, anchors=None, threads=None, progress=None):
        """A Quality: how well neighbourhoods are kept. rows: needed only for a map that was loaded from a file."""
        rows = self._rows if rows is None else rows
        if rows is not None:
            return measure(rows, self.positions, k, metric=metric or "cosine", anchors=anchors, threads=threads,
                           progress=progress)
        if self._catalog is None:
            raise ValueError("the rows of a loaded map are not known; pass them as rows")
        out = native.Quality(struct_size=sizeof(native.Quality))
        with Callbacks() as callbacks:
            settings = options("quality", neighbours=k, anchors=anchors, threads=threads)
            settings.progress = callbacks.progress(progress)
            library.imgsim_map_measure_catalog(self._handle, self._catalog._handle, byref(settings), byref(out))
        return Quality(out.trustworthiness, out.continuity, out.preservation, out.anchors, out.neighbours)

    def place(self, rows, map_rows=None, **settings):
        """Positions of more rows on this map, which stays as it is. map_rows: the map's rows, where it was not made from plain ones."""
        known = self._rows if map_rows is None else map_rows
        if known is None:
            raise ValueError("pass the rows of the map as map_rows")
        known = matrix(known, np.float32)
        if len(known) != len(self):
            raise ValueError("map_rows has %d rows, the map %d points" % (len(known), len(self)))
        rows = matrix(rows, np.float32, known.shape[1])
        out = np.empty((len(rows), self.dim), np.float32)
        chosen = {name: value for name, value in self._settings.items() if name not in ("start", "progress")}
        chosen.update(settings)
        with Callbacks() as callbacks:
            struct, _kept = map_options(callbacks, self.layout, self.dim, chosen.pop("seed", 1), None, chosen)
            library.imgsim_map_place(self._handle, pointer(known, c_float), known.shape[1], pointer(rows, c_float),
                                     len(rows), byref(struct), pointer(out, c_float))
        return out

    def write_npy(self, path):
        """Positions as PATH, and their ids as PATH with .ids.npy."""
        library.imgsim_map_write_npy(self._handle, text(path))

    def write_csv(self, path, color_by="auto"):
        """A table of ids, positions and, for a catalog's map, paths and groups; color_by as in write_plot()."""
        settings = _plot_options(color_by)
        library.imgsim_map_write_table(self._handle, self._catalog_handle(), byref(settings), text(path))

    def write_plot(self, path, *, color_by="auto", groups=None, names=None, width=None, height=None, title=None):
        """A picture: .png, .svg, .jpg or .webp.

        color_by: "label", "folder", "predicted", "cluster" (of the first stored set), "cluster:NAME", "none", or "auto":
        labels if any image has one, else folders. groups: a number per point, below 0 for none; names: of the groups.
        """
        settings = _plot_options("groups" if groups is not None else color_by, width=width, height=height,
                                 title=None if title is None else title.encode())
        numbers = None if groups is None else np.ascontiguousarray(groups, np.int32)
        if numbers is not None:
            if numbers.shape != (len(self),):
                raise ValueError("groups has shape %s, expected (%d,)" % (numbers.shape, len(self)))
            settings.groups = pointer(numbers, c_int32)
        if names is not None:
            texts = (c_char_p * max(len(names), 1))(*[str(name).encode() for name in names])
            settings.group_names = cast(texts, POINTER(c_char_p))
            settings.group_count = len(names)
        library.imgsim_map_write_plot(self._handle, self._catalog_handle(), byref(settings), text(path))

    def _catalog_handle(self):
        return None if self._catalog is None else self._catalog._handle


Quality = namedtuple("Quality", "trustworthiness continuity preservation anchors k")
COLORS = {"auto": 0, "none": 1, "label": 2, "folder": 3, "groups": 4, "cluster": 5, "predicted": 6}


def _plot_options(color_by, **settings):
    """What a picture is coloured by; "cluster:NAME" is the set of that name."""
    kind, _colon, name = color_by.partition(":")
    if kind not in COLORS or (name and kind != "cluster"):
        raise ValueError("color_by is %r, expected one of %s, cluster:NAME" % (color_by, ", ".join(COLORS)))
    return options("plot", color_by=COLORS[kind], cluster=name.encode() if name else None, **settings)


def measure(rows, positions, k=15, *, metric="cosine", anchors=None, seed=1, threads=None, progress=None):
    """How well positions, whoever made them, keep the neighbourhoods of rows; anchors: points looked at (all up to 100,000)."""
    rows, positions = matrix(rows, np.float32), matrix(positions, np.float32)
    if len(rows) != len(positions):
        raise ValueError("%d rows and %d positions" % (len(rows), len(positions)))
    out = native.Quality(struct_size=sizeof(native.Quality))
    with Callbacks() as callbacks:
        settings = options("quality", neighbours=k, anchors=anchors, seed=seed, threads=threads,
                           metric=metric_code(metric))
        settings.progress = callbacks.progress(progress)
        library.imgsim_map_measure(pointer(rows, c_float), len(rows), rows.shape[1], pointer(positions, c_float),
                                   positions.shape[1], byref(settings), byref(out))
    return Quality(out.trustworthiness, out.continuity, out.preservation, out.anchors, out.neighbours)


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
