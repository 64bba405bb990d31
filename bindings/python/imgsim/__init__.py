# SPDX-License-Identifier: Apache-2.0
"""libimgsim in Python: find the images of a collection that look most like one to five others.

Pure ctypes over the C library; NumPy arrays are passed without copies where their layout allows. The headers in
include/imgsim/ are the full reference; every failure raises imgsim.Error with `.status` and the library's message.
"""

from .arrays import ROW_BITS, ROW_FLOAT32, ROW_UINT32, compare, metric_code, metric_name
from .catalog import (
    Catalog, Feature, File, Hit, ImageCluster, ImageClusters, Part, Prediction, Predictions, Results, matches,
)
from .cluster import Clusters, cluster, compare_labels, silhouette
from .extractor import Extractor, Image
from .index import Index
from .map import Map, Quality, measure
from .native import Error, library
from .page import Page
from .projector import Projector

__all__ = [
    "Catalog", "Clusters", "Error", "Extractor", "Feature", "File", "Hit", "Image", "ImageCluster", "ImageClusters",
    "Index", "Map", "Page", "Part", "Prediction", "Predictions", "Projector", "Results", "cluster", "compare",
    "compare_labels", "has_feature", "matches", "metric_code", "metric_name",
    "set_blas_threads", "silhouette", "simd_name", "version",
    "ROW_BITS", "ROW_FLOAT32", "ROW_UINT32",
]

__version__ = "0.1.0"


def version():
    """Version of the loaded library, "0.1.0" for instance."""
    return library.imgsim_version_string().decode()


def has_feature(name):
    """Whether "torch" or an image format such as "jpeg" is there in this build and on this machine."""
    return bool(library.imgsim_has_feature(name.encode()))


def simd_name():
    """Instruction set of the distance kernels: "scalar", "avx2", "avx512" or "neon"."""
    return library.imgsim_simd_name().decode()


def set_blas_threads(count):
    """Threads of OpenBLAS in this process; with 1 libimgsim is fastest (it brings its own)."""
    library.imgsim_set_blas_threads(count)
