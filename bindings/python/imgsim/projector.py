# SPDX-License-Identifier: Apache-2.0
"""Principal component analysis."""

from ctypes import byref, c_float

import numpy as np

from .arrays import matrix, pointer, text
from .native import library, make, options


class Projector:
    """PCA to `dim` components: Projector(dim=128).fit(rows).transform(rows).

    whiten: 0 plain, 1 full whitening, 0.5 half; normalize scales projected rows to length 1.
    """

    def __init__(self, dim, whiten=0.0, normalize=False, threads=None):
        self._dim = dim
        self._settings = options("projector", whiten=whiten, normalize=int(normalize), threads=threads)
        self._handle = None

    @classmethod
    def load(cls, path):
        """Load a saved projector."""
        self = cls.__new__(cls)
        self._settings = None
        self._handle = make("imgsim_projector_load", text(path))
        self._dim = library.imgsim_projector_get_output_dimension(self._handle)
        return self

    def __del__(self):
        if getattr(self, "_handle", None):
            library.imgsim_projector_free(self._handle)

    def add(self, rows):
        """Take in training rows; call it as often as there are tiles, then train()."""
        rows = matrix(rows, np.float32)
        if self._handle is None:
            self._handle = make("imgsim_projector_new", rows.shape[1], self._dim, byref(self._settings))
        rows = matrix(rows, np.float32, self.input_dim)
        library.imgsim_projector_add(self._handle, pointer(rows, c_float), len(rows))
        return self

    def train(self):
        """Compute mean, axes and variances of the rows added so far."""
        if self._handle is None:
            raise ValueError("no rows were added")
        library.imgsim_projector_train(self._handle)
        return self

    def fit(self, rows, tile=None):
        """Add all rows, a tile at a time (they may be mapped from a file), and train."""
        rows = np.asanyarray(rows)
        tile = tile or max(1, (16 << 20) // max(1, 4 * rows.shape[1]))  # rows that stay in the cache while they are added
        for start in range(0, len(rows), tile):
            self.add(rows[start:start + tile])
        return self.train()

    def transform(self, rows, tile=65536):
        """Projected rows, float32."""
        if self._handle is None:
            raise ValueError("the projector is not trained")
        rows = np.asarray(rows)
        single = rows.ndim == 1
        rows = rows[None, :] if single else rows
        out = np.empty((len(rows), self._dim), np.float32)
        for start in range(0, len(rows), tile):
            part = matrix(rows[start:start + tile], np.float32, self.input_dim)
            library.imgsim_projector_transform(
                self._handle, pointer(part, c_float), len(part), pointer(out[start:start + tile], c_float))
        return out[0] if single else out

    def save(self, path):
        """Save a trained projector atomically."""
        library.imgsim_projector_save(self._handle, text(path))

    dim = property(lambda self: self._dim)
    input_dim = property(lambda self: library.imgsim_projector_get_input_dimension(self._handle))
    row_count = property(lambda self: library.imgsim_projector_get_row_count(self._handle))
    total_variance = property(lambda self: library.imgsim_projector_get_total_variance(self._handle))
    fingerprint = property(lambda self: library.imgsim_projector_get_fingerprint(self._handle).decode())

    def _array(self, getter, shape):
        address = getattr(library, "imgsim_projector_get_" + getter)(self._handle)
        return np.ctypeslib.as_array(address, shape).copy() if address else None

    @property
    def mean(self):
        """Mean of the training rows."""
        return self._array("mean", (self.input_dim,))

    @property
    def axes(self):
        """Principal axes, dim x input_dim."""
        return self._array("axes", (self.dim, self.input_dim))

    @property
    def explained_variance(self):
        """Variance along each axis (n - 1 in the denominator)."""
        return self._array("variances", (self.dim,))

    @property
    def explained_variance_ratio(self):
        """Share of each axis in the variance of all."""
        return self.explained_variance / self.total_variance
