# SPDX-License-Identifier: Apache-2.0
"""Principal component analysis."""

from ctypes import byref, c_float, sizeof

import numpy as np

from .arrays import matrix, pointer, text
from .native import PcaReport, library, make, options

METHODS = {"exact": 0, "auto": 1, "randomised": 2}
KERNELS = {None: 0, "none": 0, "rbf": 1, "cosine": 2, "polynomial": 3, "chi-square": 4, "intersection": 5}


def code(table, what, name):
    """Number of a name."""
    if name not in table:
        raise ValueError("unknown %s %r, expected one of %s" % (what, name, ", ".join(str(key) for key in table)))
    return table[name]


def projector_options(whiten=0.0, normalize=False, threads=None, method="exact", tolerance=None, kernel=None, landmarks=None,
                      gamma=None, offset=None, degree=None, even_landmarks=False, seed=None):
    """The options struct of a projector."""
    return options(
        "projector", whiten=whiten, normalize=int(normalize), threads=threads, method=code(METHODS, "method", method),
        tolerance=tolerance, kernel=code(KERNELS, "kernel", kernel), landmarks=landmarks, gamma=gamma, offset=offset,
        degree=degree, even_landmarks=int(even_landmarks), seed=seed)


class Projector:
    """PCA to `dim` components: Projector(dim=128).fit(rows).transform(rows).

    whiten: 0 plain, 1 full whitening, 0.5 half; normalize scales projected rows to length 1. method: "exact", "randomised" (every
    variance proved to be within `tolerance`, else exact) or "auto"; `report` tells after fit() what was done. kernel: "rbf",
    "cosine", "polynomial", "chi-square" or "intersection", by `landmarks` rows; gamma None: chosen from the rows.
    """

    def __init__(self, dim, whiten=0.0, normalize=False, threads=None, *, method="exact", tolerance=None, kernel=None,
                 landmarks=None, gamma=None, offset=None, degree=None, even_landmarks=False, seed=None):
        self._dim = dim
        self._settings = projector_options(
            whiten, normalize, threads, method, tolerance, kernel, landmarks, gamma, offset, degree, even_landmarks, seed)
        self._handle = None
        self.report = None

    @classmethod
    def load(cls, path):
        """Load a saved projector."""
        self = cls.__new__(cls)
        self._settings = self.report = None
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
        """Fit on all rows, which may be mapped from a file. With `tile` they are added as many at a time (exact only)."""
        rows = np.asanyarray(rows)
        plain = self._settings is None or (self._settings.method == 0 and self._settings.kernel == 0)
        if tile is None and plain and not (rows.dtype == np.float32 and rows.flags.c_contiguous):
            tile = max(1, (16 << 20) // max(1, 4 * rows.shape[-1]))  # what has to be converted is so a tile at a time
        if tile is not None:
            for start in range(0, len(rows), tile):
                self.add(rows[start:start + tile])
            return self.train()
        rows = matrix(rows, np.float32)
        if self._handle is None:
            self._handle = make("imgsim_projector_new", rows.shape[1], self._dim, byref(self._settings))
        rows = matrix(rows, np.float32, self.input_dim)
        report = PcaReport(struct_size=sizeof(PcaReport))
        library.imgsim_projector_fit(self._handle, pointer(rows, c_float), len(rows), byref(report))
        self.report = {name: getattr(report, name) for name, _ in PcaReport._fields_[1:]}
        self.report["method"] = [name for name, value in METHODS.items() if value == report.method][0]
        return self

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
        """Mean of the training rows; None with a kernel."""
        return self._array("mean", (self.input_dim,))

    @property
    def axes(self):
        """Principal axes, dim x input_dim; None with a kernel."""
        return self._array("axes", (self.dim, self.input_dim))

    @property
    def landmarks(self):
        """Landmarks of a kernel; None without."""
        return self._array("landmarks", (library.imgsim_projector_get_landmark_count(self._handle), self.input_dim))

    @property
    def explained_variance(self):
        """Variance along each axis (n - 1 in the denominator)."""
        return self._array("variances", (self.dim,))

    @property
    def explained_variance_ratio(self):
        """Share of each axis in the variance of all."""
        return self.explained_variance / self.total_variance
