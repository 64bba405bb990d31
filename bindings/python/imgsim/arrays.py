# SPDX-License-Identifier: Apache-2.0
"""NumPy arrays as the library's rows, paths as its texts, Python functions as its callbacks."""

import os
from collections import namedtuple
from ctypes import POINTER, byref, c_double, c_int32, c_uint8

import numpy as np

from . import native
from .native import library

ROW_FLOAT32, ROW_UINT32, ROW_BITS, ROW_BYTES = 1, 2, 3, 4
DTYPES = {ROW_FLOAT32: np.float32, ROW_UINT32: np.uint32, ROW_BITS: np.uint8, ROW_BYTES: np.uint8}
METRIC_CALLBACK = 13
BIT_METRICS = ("hamming", "jaccard")
HISTOGRAM_METRICS = ("correlation", "chi-square", "intersection", "bhattacharyya", "l1")


def columns(row_type, dimension):
    """Array elements per row: bits come eight to a byte, bytes after their number."""
    return dimension // 8 if row_type == ROW_BITS else dimension + 4 if row_type == ROW_BYTES else dimension


def text(value):
    """str, bytes or path-like as the bytes the library wants; None stays None."""
    return None if value is None else os.fsencode(value)


def metric_code(name):
    """Number of a metric's name; numbers pass through."""
    if isinstance(name, int):
        return name
    out = c_int32()
    library.imgsim_metric_from_name(name.encode(), byref(out))
    return out.value


def metric_name(code):
    """Name of a metric's number."""
    name = library.imgsim_metric_name(code)
    return name.decode() if name else "callback" if code == METRIC_CALLBACK else str(code)


def matrix(rows, dtype, width=None, what="rows"):
    """Rows as a C-contiguous 2-D array of dtype; one row may be given as 1-D."""
    array = np.asarray(rows)
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2:
        raise ValueError("%s must have 1 or 2 dimensions, not %d" % (what, array.ndim))
    if width is not None and array.shape[1] != width:
        raise ValueError("%s have %d values each, expected %d" % (what, array.shape[1], width))
    if dtype == np.uint8 and array.dtype != np.uint8:
        raise ValueError("%s of bits must be uint8, eight bits to a byte, not %s" % (what, array.dtype))
    return np.ascontiguousarray(array, dtype=dtype)


def pointer(array, ctype):
    """Address of an array's data; None for no array."""
    return None if array is None else array.ctypes.data_as(POINTER(ctype))


def ids_array(ids, count):
    """Ids as int64, checked against the number of rows; None stays None."""
    if ids is None:
        return None
    array = np.ascontiguousarray(ids, dtype=np.int64)
    if array.shape != (count,):
        raise ValueError("ids has shape %s, expected (%d,)" % (array.shape, count))
    return array


def compare(a, b, metric="cosine"):
    """Value of a metric for one pair of rows, the query's row first.

    uint8 rows are bits for "hamming" and "jaccard"; uint32 rows are exact counts for the histogram metrics; everything
    else is taken as float32. Histograms are compared as they are, like OpenCV's compareHist.
    """
    name = metric if isinstance(metric, str) else metric_name(metric)
    a, b = np.asarray(a), np.asarray(b)
    if name in BIT_METRICS:
        row_type = ROW_BITS
    elif name in HISTOGRAM_METRICS and a.dtype == np.uint32 and b.dtype == np.uint32:
        row_type = ROW_UINT32
    else:
        row_type = ROW_FLOAT32
    a, b = matrix(a.ravel(), DTYPES[row_type]), matrix(b.ravel(), DTYPES[row_type])
    if a.shape != b.shape:
        raise ValueError("rows have %d and %d values" % (a.size, b.size))
    out = c_double()
    dimension = a.size * 8 if row_type == ROW_BITS else a.size
    library.imgsim_compare(metric_code(metric), row_type, a.ctypes.data, b.ctypes.data, dimension, byref(out))
    return out.value


class Progress(namedtuple("Progress", "phase done total failed bytes elapsed rate remaining total_bytes byte_rate",
                          defaults=(0, 0.0))):
    """How far a long operation has come; `remaining` is None while unknown, rates are per second of late."""

    def __str__(self):
        left = "" if self.remaining is None else ", %.0f s left" % self.remaining
        return "%s %d/%d, %.0f/s, %d failed%s" % (self.phase, self.done, self.total, self.rate, self.failed, left)


class Callbacks:
    """C functions made from Python ones. An exception inside one ends the operation and is raised again by `guard`."""

    def __init__(self):
        self.error = None
        self.kept = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        if self.error is not None and (kind is None or issubclass(kind, native.Error)):
            error, self.error = self.error, None
            raise error

    def wrap(self, ctype, function):
        """A C callback of this type: returns the function's truth as its result, 1 after an exception."""
        def call(*arguments):
            try:
                return int(bool(function(*arguments)))
            except BaseException as error:  # noqa: B902 - KeyboardInterrupt has to stop the operation as well
                self.error = error
                return 1
        callback = ctype(call)
        self.kept.append(callback)
        return callback

    def progress(self, function):
        """Calls function(Progress); a true result stops. Without a function, Ctrl-C still stops."""
        def call(struct, _data):
            p = struct.contents
            return function is not None and function(Progress(
                p.phase.decode(), p.done, p.total, p.failed, p.bytes, p.elapsed_seconds, p.rate,
                p.remaining_seconds if p.remaining_seconds >= 0 else None, p.total_bytes, p.byte_rate))
        return self.wrap(native.ProgressCallback, call)

    def metric(self, function):
        """function(query, rows) -> one distance per row."""
        def call(query, rows, row_count, dimension, row_type, out, _data):
            width, dtype = columns(row_type, dimension), DTYPES[row_type]
            q = view(query, (width,), dtype)
            r = view(rows, (row_count, width), dtype)
            np.ctypeslib.as_array(out, (row_count,))[:] = function(q, r)
        return self.wrap(native.MetricCallback, call)

    def fusion(self, function):
        """function(similarities: images x channels) -> one score per image."""
        def call(similarities, image_count, channel_count, out, _data):
            s = np.ctypeslib.as_array(similarities, (image_count, channel_count))
            np.ctypeslib.as_array(out, (image_count,))[:] = function(s)
        return self.wrap(native.FusionCallback, call)


def view(address, shape, dtype):
    """Memory of the library as an array, without a copy; valid as long as its owner."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size == 0 or not address:
        return np.empty(shape, dtype)
    return np.frombuffer((c_uint8 * size).from_address(address), dtype=dtype).reshape(shape)
