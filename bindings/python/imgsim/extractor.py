# SPDX-License-Identifier: Apache-2.0
"""Images and the extractors that turn them into rows."""

import ctypes
import os
from ctypes import byref, c_uint32, c_void_p

import numpy as np

from . import native
from .arrays import DTYPES, ROW_BYTES, ROW_FLOAT32, Callbacks, columns, metric_code, metric_name, text, view
from .native import library, make, options

_SPACES = {"rgb": 0, "hsv": 1, "lab": 2}
_HASHES = {"phash": 0, "dhash": 1, "ahash": 2}
_PRECISIONS = {"fp32": 0, "bf16": 1}
_PREPROCESSES = {"torchvision": 0, "squeeze": 1}


def classes_of(data):
    """(number, probability) of each class in a row of the feature "classes", the most probable first."""
    records = np.frombuffer(data, np.dtype([("number", "<u4"), ("probability", "<f4")]))
    return [(int(number), float(probability)) for number, probability in records]


def _choice(table, value, what):
    if value not in table:
        raise ValueError("unknown %s %r, expected one of %s" % (what, value, ", ".join(table)))
    return table[value]


class Image:
    """A decoded image, upright, sRGB: from a path, bytes of a file, or an H x W x 3 uint8 array."""

    def __init__(self, source, min_side=0, max_pixels=None, max_bytes=None):
        settings = options("image", min_side=min_side, max_pixels=max_pixels, max_bytes=max_bytes)
        if isinstance(source, (bytes, bytearray, memoryview)):
            data = np.frombuffer(source, dtype=np.uint8)
            self._handle = make("imgsim_image_load_memory", data.ctypes.data, data.size, byref(settings))
        elif isinstance(source, np.ndarray):
            if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8:
                raise ValueError("pixels must be height x width x 3 uint8, not %s %s" % (source.shape, source.dtype))
            pixels = np.ascontiguousarray(source)
            self._handle = make("imgsim_image_new", pixels.ctypes.data, pixels.shape[1], pixels.shape[0], 0)
        else:
            self._handle = make("imgsim_image_load_file", text(source), byref(settings))

    def __del__(self):
        if getattr(self, "_handle", None):
            library.imgsim_image_free(self._handle)

    width = property(lambda self: library.imgsim_image_get_width(self._handle))
    height = property(lambda self: library.imgsim_image_get_height(self._handle))
    full_width = property(lambda self: library.imgsim_image_get_full_width(self._handle))
    full_height = property(lambda self: library.imgsim_image_get_full_height(self._handle))
    format = property(lambda self: library.imgsim_image_get_format(self._handle).decode())

    @property
    def pixels(self):
        """Copy of the pixels, height x width x 3 uint8 RGB."""
        return np.ctypeslib.as_array(
            library.imgsim_image_get_pixels(self._handle), (self.height, self.width, 3)).copy()


class Extractor:
    """Turns images into rows: Extractor("color"), Extractor("hash"), Extractor("cnn", model=...).

    color: bins (a number or three), space "rgb", "hsv" or "lab".
    hash: hash "phash", "dhash" or "ahash", bits 64 or 256.
    cnn: model (.safetensors, or TorchScript with trust_model=True), architecture, sha256, precision "fp32" or "bf16",
    preprocess "torchvision" or "squeeze", threads, batch_size, input_size, classes: keep the last layer.
    """

    def __init__(self, kind, *, bins=16, space="rgb", hash="phash", bits=64, model=None, architecture=None,
                 sha256=None, precision="fp32", preprocess="torchvision", trust_model=False, threads=None,
                 batch_size=None, input_size=None, classes=False):
        self._callbacks = None
        if kind == "color":
            triple = (bins, bins, bins) if np.isscalar(bins) else tuple(bins)
            settings = options("color", space=_choice(_SPACES, space, "colour space"), bins=(c_uint32 * 3)(*triple))
        elif kind == "hash":
            settings = options("hash", kind=_choice(_HASHES, hash, "hash"), bits=bits)
        elif kind == "cnn":
            settings = options(
                "cnn", model_path=text(model), architecture=text(architecture), sha256=text(sha256),
                precision=_choice(_PRECISIONS, precision, "precision"),
                preprocess=_choice(_PREPROCESSES, preprocess, "preprocess"), trust_model=int(trust_model),
                threads=threads, batch_size=batch_size, input_size=input_size, classes=int(classes))
        else:
            raise ValueError("unknown extractor %r, expected color, hash or cnn" % (kind,))
        self._handle = make("imgsim_extractor_new_" + kind, byref(settings))

    @classmethod
    def from_function(cls, function, name, dimension, *, row_type=ROW_FLOAT32, metric="cosine", version="1"):
        """An extractor of your own: function(list of H x W x 3 uint8 arrays) -> one row each."""
        self = cls.__new__(cls)
        callbacks = self._callbacks = Callbacks()

        def extract(images, image_count, out_rows, _data):
            arrays = [np.ctypeslib.as_array(
                library.imgsim_image_get_pixels(images[i]),
                (library.imgsim_image_get_height(images[i]), library.imgsim_image_get_width(images[i]), 3))
                for i in range(image_count)]
            rows = view(out_rows, (image_count, columns(row_type, dimension)), DTYPES[row_type])
            rows[:] = function(arrays)

        table = native.HostExtractor(
            struct_size=ctypes.sizeof(native.HostExtractor), name=text(name), version=text(version),
            dimension=dimension, row_type=row_type, default_metric=metric_code(metric),
            extract=callbacks.wrap(native.ExtractCallback, extract))
        self._handle = make("imgsim_extractor_new_host", byref(table), None)
        return self

    def classes(self):
        """The extractor of what this network says is in a picture; it must have been made with classes=True.

        Its rows are bytes that classes_of() reads. Given to a scan beside this one, both go through the network once.
        """
        other = type(self).__new__(type(self))
        other._callbacks = None
        other._handle = make("imgsim_extractor_new_classes", self._handle)
        return other

    def classify(self, images, min_side=None):
        """The most probable classes of each image: a list of (number, probability), the most probable first."""
        extractor = self if self.row_type == ROW_BYTES else self.classes()
        return [classes_of(row[4:4 + int(row[:4].view(np.uint32)[0])]) for row in extractor.extract_batch(images, min_side)]

    def __del__(self):
        if getattr(self, "_handle", None):
            library.imgsim_extractor_free(self._handle)

    dimension = property(lambda self: library.imgsim_extractor_get_dimension(self._handle))
    row_type = property(lambda self: library.imgsim_extractor_get_row_type(self._handle))
    default_metric = property(lambda self: metric_name(library.imgsim_extractor_get_default_metric(self._handle)))
    name = property(lambda self: library.imgsim_extractor_get_name(self._handle).decode())
    spec = property(lambda self: os.fsdecode(library.imgsim_extractor_get_spec(self._handle)))
    fingerprint = property(lambda self: library.imgsim_extractor_get_fingerprint(self._handle).decode())
    min_side = property(lambda self: library.imgsim_extractor_get_min_side(self._handle))

    def extract(self, image, min_side=None):
        """One row of one image: a path, bytes, an H x W x 3 uint8 array or an Image.

        Histogram: uint32 counts; hash: uint8, eight bits to a byte; embedding: float32 of length 1. min_side lets the
        decoder reduce large images (a scan uses 256); by default only as the extractor itself allows.
        """
        return self.extract_batch([image], min_side)[0]

    def extract_batch(self, images, min_side=None):
        """Rows of many images, in their order. They are decoded and go through a network a batch at a time."""
        images = list(images)
        side = self.min_side if min_side is None else min_side
        rows = np.empty((len(images), columns(self.row_type, self.dimension)), DTYPES[self.row_type])
        for start in range(0, len(images), 64):
            self._extract_into(images[start:start + 64], side, rows[start:start + 64])
        return rows

    def _extract_into(self, sources, side, rows):
        images = [source if isinstance(source, Image) else Image(source, min_side=side) for source in sources]
        handles = (c_void_p * len(images))(*[image._handle for image in images])
        try:
            library.imgsim_extractor_extract(self._handle, handles, len(images), rows.ctypes.data, rows.nbytes)
        except native.Error:
            if self._callbacks is not None and self._callbacks.error is not None:
                error, self._callbacks.error = self._callbacks.error, None
                raise error
            raise
