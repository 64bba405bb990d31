# SPDX-License-Identifier: Apache-2.0
"""Pages: a map written for people, and for TensorBoard's projector."""

import os
from ctypes import POINTER, byref, c_char_p, c_float, c_int32, c_int64, c_size_t, c_uint32, c_void_p, cast
from itertools import count

import numpy as np

from .arrays import Callbacks, matrix, pointer, text
from .native import PageOptions, PictureCallback, library, make, options

CONTENT = ("also", "catalog", "paths", "columns", "dates", "figures", "neighbours", "pictures", "quality")


class Page:
    """What is shown of a map.

    map: its points and their neighbours. also: a Map of the same points in the other number of dimensions. catalog: paths,
    labels, dates and thumbnails of its images. paths: a path for each point. columns: {"Cluster": values}, where values are
    one number or text per point, None or a negative number for none; the first one colours the page. dates: seconds since
    1970, one per point; NaN for unknown. figures: {"trustworthiness": 0.97} or {...: (0.97, "what it means")}. neighbours:
    points x k places in the map. pictures: called with a place, returns a JPEG's bytes or None. quality: with a catalog, measure
    how well the map keeps neighbourhoods and how well groups lie apart, and show it: True, or the number of neighbours.
    """

    def __init__(self, map, *, also=None, catalog=None, paths=None, columns=None, dates=None, figures=None, neighbours=None,
                 pictures=None, quality=False):
        self._handle = make("imgsim_page_new", map._handle)
        self._count = len(map)
        self._pictures = pictures
        if also is not None:
            library.imgsim_page_add_map(self._handle, also._handle)
        for title, values in (columns or {}).items():
            self._add_column(title, values)
        if catalog is not None:
            library.imgsim_page_add_catalog(self._handle, catalog._handle)
        if paths is not None:
            library.imgsim_page_add_paths(self._handle, _texts(self._each(paths, "paths")))
        if dates is not None:
            library.imgsim_page_add_dates(self._handle, pointer(_dates(self._each(dates, "dates")), c_int64))
        if neighbours is not None:
            links = matrix(neighbours, np.uint32)
            self._each(links, "neighbours")
            library.imgsim_page_add_neighbours(self._handle, pointer(links, c_uint32), links.shape[1])
        if quality:
            if catalog is None:
                raise ValueError("quality needs the catalog of the map")
            settings = options("quality", neighbours=None if quality is True else int(quality))
            library.imgsim_page_add_quality(self._handle, map._handle, catalog._handle, byref(settings), None)
        for name, figure in (figures or {}).items():
            value, note = figure if isinstance(figure, tuple) else (figure, None)
            library.imgsim_page_add_figure(self._handle, name.encode(), float(value), None if note is None else note.encode())

    @classmethod
    def split(cls, map, what):
        """A page from what belongs to its content, and the rest: settings of writing."""
        content = {name: what[name] for name in what if name in CONTENT}
        return cls(map, **content), {name: what[name] for name in what if name not in CONTENT}

    def __del__(self):
        if getattr(self, "_handle", None):
            library.imgsim_page_free(self._handle)

    def _each(self, values, what):
        if len(values) != self._count:
            raise ValueError("%s has %d entries, the map has %d points" % (what, len(values), self._count))
        return values

    def _add_column(self, title, values):
        codes, names = _factorise(self._each(values, title), title)
        library.imgsim_page_add_column(self._handle, os.fsencode(title), pointer(codes, c_int32), _texts(names), len(names))

    def write(self, path, *, progress=None, **settings):
        """One HTML file. Settings: title, tiles_folder, picture_count, picture_side, neighbours_shown, threads."""
        with Callbacks() as callbacks:
            struct = self._begin(callbacks, progress, settings)
            library.imgsim_page_write_html(self._handle, byref(struct), text(path))

    def write_projector(self, folder, vectors=None, *, progress=None, **settings):
        """A folder for TensorBoard. Settings: sprite_count, threads."""
        rows = None if vectors is None else self._each(matrix(vectors, np.float32), "vectors")
        with Callbacks() as callbacks:
            struct = self._begin(callbacks, progress, settings)
            library.imgsim_page_write_projector(
                self._handle, pointer(rows, c_float), 0 if rows is None else rows.shape[1], byref(struct), text(folder))

    def _begin(self, callbacks, progress, settings):
        settings = dict(settings)
        if "neighbours_shown" in settings:
            settings["neighbours"] = settings.pop("neighbours_shown")
        names = [name for name, _type in PageOptions._fields_]
        for name in settings:
            if name not in names:
                raise TypeError("unknown setting %r" % name)
        for name in ("title", "tiles_folder"):
            if name in settings:
                settings[name] = text(settings[name])
        struct = options("page", **settings)
        struct.progress = callbacks.progress(progress)
        if self._pictures is not None:
            self._set_pictures(callbacks)
        return struct

    def _set_pictures(self, callbacks):
        held, turn = {}, count()  # the library borrows a picture until the same thread asks again: there are fewer threads

        def picture(place, out_data, out_size, _data):
            data = self._pictures(place)
            if data is None:
                out_data[0] = None
                return
            held[next(turn) % 1024] = kept = bytes(data)
            out_data[0] = cast(c_char_p(kept), c_void_p)
            out_size[0] = c_size_t(len(kept))
        library.imgsim_page_set_pictures(self._handle, callbacks.wrap(PictureCallback, picture), None)


def _texts(values):
    array = (c_char_p * len(values))()
    array[:] = [text(value) for value in values]
    return cast(array, POINTER(c_char_p))


def _dates(values):
    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    return np.ascontiguousarray(np.where(known, np.where(known, values, 0).astype(np.int64), np.iinfo(np.int64).min))


def _factorise(values, title):
    """Numbers of distinct values and their names, in order of value."""
    array = np.asarray(values)
    if array.dtype.kind in "iu":
        distinct, codes = np.unique(array, return_inverse=True)
        negative = int((distinct < 0).sum())
        names = ["%s %d" % (title, value) for value in distinct[negative:]] or [title]
        return np.ascontiguousarray(codes.reshape(-1) - negative, dtype=np.int32), names
    distinct = sorted({os.fsencode(value) for value in values if value is not None})
    number = {value: i for i, value in enumerate(distinct)}
    codes = np.fromiter((-1 if value is None else number[os.fsencode(value)] for value in values), np.int32, len(values))
    return codes, distinct or [title.encode()]
