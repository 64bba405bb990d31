# SPDX-License-Identifier: Apache-2.0
"""The C library: where it is found, its structs and the prototype of every exported function."""

import ctypes
import ctypes.util
import os
from ctypes import (
    CFUNCTYPE, POINTER, Structure, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint8, c_uint16,
    c_uint32, c_uint64, c_void_p,
)

Handle = c_void_p


class Status(c_int32):
    """Return type of the functions that can fail: checked after every call."""


class Progress(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("phase", c_char_p), ("done", c_uint64), ("total", c_uint64), ("failed", c_uint64),
        ("bytes", c_uint64), ("elapsed_seconds", c_double), ("rate", c_double), ("remaining_seconds", c_double),
        ("total_bytes", c_uint64), ("byte_rate", c_double),
    ]


ProgressCallback = CFUNCTYPE(c_int32, POINTER(Progress), c_void_p)
LogCallback = CFUNCTYPE(None, c_int32, c_char_p, c_void_p)
MetricCallback = CFUNCTYPE(
    c_int32, c_void_p, c_void_p, c_size_t, c_uint32, c_int32, POINTER(c_float), c_void_p)
PairsCallback = CFUNCTYPE(
    c_int32, POINTER(c_int64), POINTER(c_int64), POINTER(c_float), c_size_t, c_void_p)
FusionCallback = CFUNCTYPE(c_int32, POINTER(c_float), c_size_t, c_size_t, POINTER(c_float), c_void_p)
ExtractCallback = CFUNCTYPE(c_int32, POINTER(c_void_p), c_size_t, c_void_p, c_void_p)
ReleaseCallback = CFUNCTYPE(None, c_void_p)
LabelCallback = CFUNCTYPE(c_int32, c_char_p, c_uint64, c_void_p)
VerifyCallback = CFUNCTYPE(None, c_char_p, c_void_p)
CheckCallback = CFUNCTYPE(None, c_int32, c_char_p, c_void_p)
PictureCallback = CFUNCTYPE(c_int32, c_uint64, POINTER(c_void_p), POINTER(c_size_t), c_void_p)


class ImageOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("min_side", c_uint32), ("reserved", c_uint32), ("max_pixels", c_uint64),
        ("max_bytes", c_uint64), ("max_frames", c_uint64),
    ]


class ColorOptions(Structure):
    _fields_ = [("struct_size", c_size_t), ("space", c_int32), ("bins", c_uint32 * 3)]


class HashOptions(Structure):
    _fields_ = [("struct_size", c_size_t), ("kind", c_int32), ("bits", c_uint32)]


class CnnOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("model_path", c_char_p), ("architecture", c_char_p), ("sha256", c_char_p),
        ("precision", c_int32), ("preprocess", c_int32), ("trust_model", c_int32), ("threads", c_uint32),
        ("batch_size", c_uint32), ("input_size", c_uint32), ("classes", c_int32), ("reserved", c_uint32),
    ]


class HostExtractor(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("name", c_char_p), ("version", c_char_p), ("dimension", c_uint32),
        ("row_type", c_int32), ("default_metric", c_int32), ("concurrent", c_int32), ("extract", ExtractCallback),
        ("release", ReleaseCallback),
    ]


class CatalogOptions(Structure):
    _fields_ = [("struct_size", c_size_t), ("create", c_int32), ("read_only", c_int32)]


class FileInfo(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("id", c_int64), ("uuid", c_char_p), ("path", c_char_p), ("directory", c_char_p),
        ("name", c_char_p), ("format", c_char_p), ("reason", c_char_p), ("content_hash", c_char_p),
        ("state", c_int32), ("width", c_uint32), ("height", c_uint32), ("reserved", c_uint32), ("bytes", c_uint64),
        ("mtime_ns", c_int64),
    ]


class FeatureInfo(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("name", c_char_p), ("spec", c_char_p), ("fingerprint", c_char_p),
        ("source", c_char_p), ("dimension", c_uint32), ("row_type", c_int32), ("metric", c_int32),
        ("reserved", c_uint32), ("image_count", c_uint64),
    ]


FileCallback = CFUNCTYPE(c_int32, POINTER(FileInfo), c_void_p)
FeatureCallback = CFUNCTYPE(c_int32, POINTER(FeatureInfo), c_void_p)


class FeatureDefinition(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("name", c_char_p), ("spec", c_char_p), ("fingerprint", c_char_p),
        ("source", c_char_p), ("dimension", c_uint32), ("row_type", c_int32), ("metric", c_int32),
        ("reserved", c_uint32),
    ]


class ScanOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("extractors", POINTER(c_void_p)), ("extractor_count", c_size_t),
        ("image_options", POINTER(ImageOptions)), ("progress", ProgressCallback), ("user_data", c_void_p),
        ("threads", c_uint32), ("transaction_size", c_uint32), ("min_side", c_uint32), ("include_hidden", c_int32),
        ("follow_links", c_int32), ("recheck", c_int32), ("include", POINTER(c_char_p)), ("include_count", c_size_t),
        ("exclude", POINTER(c_char_p)), ("exclude_count", c_size_t), ("min_bytes", c_uint64),
        ("one_file_system", c_int32), ("thumb_side", c_uint32), ("isolation", c_int32), ("file_timeout_ms", c_uint32),
        ("worker_memory", c_uint64),
    ]


class ScanReport(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("seen", c_uint64), ("unchanged", c_uint64), ("added", c_uint64),
        ("refreshed", c_uint64), ("moved", c_uint64), ("skipped", c_uint64), ("failed", c_uint64),
        ("missing", c_uint64), ("bytes", c_uint64), ("seconds", c_double), ("crashed", c_uint64),
        ("timed_out", c_uint64),
    ]


class DuplicatesOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("feature", c_char_p), ("near", c_int32), ("max_distance", c_uint32),
        ("threads", c_uint32), ("reserved", c_uint32), ("progress", ProgressCallback), ("progress_data", c_void_p),
    ]


class CheckOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("files", c_int32), ("reserved", c_uint32), ("callback", CheckCallback),
        ("user_data", c_void_p), ("progress", ProgressCallback), ("progress_data", c_void_p),
    ]


class CheckReport(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("problems", c_uint64), ("rows", c_uint64), ("rows_unknown", c_uint64),
        ("rows_damaged", c_uint64), ("files", c_uint64), ("files_gone", c_uint64), ("files_changed", c_uint64),
        ("files_damaged", c_uint64), ("files_unreadable", c_uint64),
    ]


class RepairOptions(Structure):
    _fields_ = [("struct_size", c_size_t), ("callback", VerifyCallback), ("user_data", c_void_p)]


class RepairReport(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("changes", c_uint64), ("files_lost", c_uint64), ("rows_dropped", c_uint64),
        ("features_dropped", c_uint64), ("derived_dropped", c_uint64), ("leftovers", c_uint64), ("rebuilt", c_uint64),
    ]


class ProjectorOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("whiten", c_double), ("normalize", c_int32), ("threads", c_uint32), ("method", c_int32),
        ("kernel", c_int32), ("tolerance", c_double), ("seed", c_uint64), ("gamma", c_double), ("offset", c_double),
        ("degree", c_uint32), ("landmarks", c_uint32), ("even_landmarks", c_int32), ("reserved", c_uint32),
    ]


class PcaReport(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("method", c_int32), ("passes", c_uint32), ("variance_error", c_double),
        ("residual", c_double), ("angle", c_double), ("missed_variance", c_double), ("failure", c_double),
        ("gamma", c_double),
    ]


class ProjectionOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("source", c_char_p), ("name", c_char_p), ("projector", POINTER(ProjectorOptions)),
        ("progress", ProgressCallback), ("user_data", c_void_p), ("dimension", c_uint32), ("reserved", c_uint32),
    ]


class StudyOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("source", c_char_p), ("progress", ProgressCallback), ("user_data", c_void_p),
        ("queries", c_uint32), ("neighbours", c_uint32), ("precision_at", c_uint32), ("classes", c_int32),
        ("threads", c_uint32), ("reserved", c_uint32), ("seed", c_uint64),
    ]


class IndexOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("kind", c_int32), ("metric", c_int32), ("dimension", c_uint32),
        ("threads", c_uint32), ("mahalanobis", POINTER(c_double)), ("callback", MetricCallback),
        ("user_data", c_void_p), ("callback_row_type", c_int32), ("max_links", c_uint32), ("build_width", c_uint32),
        ("search_width", c_uint32), ("seed", c_uint64), ("progress", ProgressCallback), ("progress_data", c_void_p),
        ("normalize", c_int32), ("reserved", c_int32),
        ("max_bytes", c_uint64),
    ]


class SearchStats(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("certified", c_int32), ("plane_count", c_uint32), ("queries", c_uint64),
        ("plane_rows", c_uint64 * 8), ("rows_read", c_uint64), ("rows_decided", c_uint64),
    ]


class SearchOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("search_width", c_uint32), ("exact", c_int32), ("filter", POINTER(c_uint8)),
        ("filter_bits", c_uint64), ("max_distance", c_float), ("threads", c_uint32),
        ("stats", POINTER(SearchStats)),
    ]


class PairsOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("max_distance", c_uint32), ("threads", c_uint32), ("progress", ProgressCallback),
        ("progress_data", c_void_p),
    ]


class MapOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("seed", c_uint64), ("layout", c_int32), ("dimension", c_uint32), ("metric", c_int32),
        ("threads", c_uint32), ("neighbours", c_uint32), ("epochs", c_uint32), ("min_dist", c_double),
        ("spread", c_double), ("negatives", c_uint32), ("start", c_int32), ("perplexity", c_double),
        ("early_exaggeration", c_double), ("late_exaggeration", c_double), ("learning_rate", c_double),
        ("start_positions", POINTER(c_float)), ("progress", ProgressCallback), ("progress_data", c_void_p),
        ("exact_neighbours", c_int32), ("refresh", c_int32), ("place", c_int32),
        ("reserved", c_uint32),
    ]


class QualityOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("seed", c_uint64), ("anchors", c_uint64), ("metric", c_int32),
        ("neighbours", c_uint32), ("threads", c_uint32), ("reserved", c_uint32), ("progress", ProgressCallback),
        ("progress_data", c_void_p),
    ]


class Quality(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("trustworthiness", c_double), ("continuity", c_double), ("preservation", c_double),
        ("anchors", c_uint64), ("neighbours", c_uint32), ("reserved", c_uint32),
    ]


class PlotOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("color_by", c_int32), ("width", c_uint32), ("height", c_uint32),
        ("reserved", c_uint32), ("title", c_char_p), ("groups", POINTER(c_int32)), ("group_names", POINTER(c_char_p)),
        ("group_count", c_size_t), ("cluster", c_char_p),
    ]


class QueryOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("k", c_uint32), ("images", c_int32), ("fusion", c_int32), ("search", c_int32),
        ("candidates", c_uint32), ("search_width", c_uint32), ("rrf_k", c_double), ("failover_score", c_double),
        ("failover_spread", c_double), ("min_score", c_double), ("exclude_queries", c_int32), ("threads", c_uint32),
        ("fuse", FusionCallback), ("fuse_data", c_void_p),
    ]


class ChannelOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("weight", c_double), ("metric", c_int32), ("reserved", c_uint32),
        ("callback", MetricCallback), ("user_data", c_void_p), ("mahalanobis", POINTER(c_double)),
    ]


class HitStruct(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("id", c_int64), ("uuid", c_char_p), ("path", c_char_p), ("score", c_double),
        ("width", c_uint32), ("height", c_uint32),
    ]


class PartStruct(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("feature", c_char_p), ("value", c_double), ("similarity", c_double),
        ("weight", c_double), ("metric", c_int32), ("rank", c_uint32),
    ]


class ClusterOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("method", c_int32), ("metric", c_int32), ("seed", c_uint64), ("threads", c_uint32),
        ("k", c_uint32), ("max_iterations", c_uint32), ("runs", c_uint32), ("tolerance", c_double),
        ("initial_means", POINTER(c_float)), ("eps", c_double), ("min_samples", c_uint32),
        ("min_cluster_size", c_uint32), ("selection_epsilon", c_double), ("selection", c_int32),
        ("allow_single", c_int32), ("linkage", c_int32), ("micro_clusters", c_uint32), ("cut_height", c_double),
        ("memory_limit", c_uint64), ("progress", ProgressCallback), ("user_data", c_void_p),
    ]


class ClusterInfo(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("label", c_char_p), ("name", c_char_p), ("share", c_double), ("medoid", c_int64),
        ("size", c_uint64), ("number", c_uint32), ("reserved", c_uint32),
    ]


class ClusterReport(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("image_count", c_uint64), ("cluster_count", c_uint64), ("noise_count", c_uint64),
        ("labelled_count", c_uint64), ("ari", c_double), ("nmi", c_double), ("silhouette", c_double),
    ]


class Prediction(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("id", c_int64), ("label", c_char_p), ("share", c_double), ("distance", c_double),
        ("class_labels", POINTER(c_char_p)), ("class_shares", POINTER(c_double)), ("class_count", c_size_t),
    ]


class PredictReport(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("labelled_count", c_uint64), ("label_count", c_uint64), ("asked_count", c_uint64),
        ("predicted_count", c_uint64), ("tried_count", c_uint64), ("answered_count", c_uint64),
        ("right_count", c_uint64),
    ]


ClusterCallback = CFUNCTYPE(c_int32, POINTER(ClusterInfo), c_void_p)
PredictionCallback = CFUNCTYPE(c_int32, POINTER(Prediction), c_void_p)


class ClusterLabelsOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("feature", c_char_p), ("name", c_char_p), ("cluster", POINTER(ClusterOptions)),
        ("callback", ClusterCallback), ("user_data", c_void_p), ("dry_run", c_int32), ("reserved", c_uint32),
    ]


class PredictOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("feature", c_char_p), ("ids", POINTER(c_int64)), ("id_count", c_size_t),
        ("callback", PredictionCallback), ("user_data", c_void_p), ("progress", ProgressCallback),
        ("progress_data", c_void_p), ("k", c_uint32), ("threads", c_uint32), ("min_share", c_double),
        ("max_distance", c_double), ("try_count", c_uint64), ("store", c_int32), ("reserved", c_uint32),
        ("by", c_int32), ("reserved2", c_uint32), ("names_path", c_char_p),
    ]


class PageOptions(Structure):
    _fields_ = [
        ("struct_size", c_size_t), ("title", c_char_p), ("tiles_folder", c_char_p), ("picture_count", c_uint32),
        ("picture_side", c_uint32), ("neighbours", c_uint32), ("sprite_count", c_uint32), ("threads", c_uint32),
        ("reserved", c_uint32), ("progress", ProgressCallback), ("progress_data", c_void_p),
    ]


_Out = POINTER(c_void_p)

# Options structs that a function imgsim_X_options_init fills in.
OPTIONS = {
    "image": ImageOptions, "color": ColorOptions, "hash": HashOptions, "cnn": CnnOptions, "catalog": CatalogOptions,
    "scan": ScanOptions, "repair": RepairOptions, "projector": ProjectorOptions, "projection": ProjectionOptions,
    "study": StudyOptions, "index": IndexOptions, "search": SearchOptions, "pairs": PairsOptions,
    "cluster": ClusterOptions, "cluster_labels": ClusterLabelsOptions, "predict": PredictOptions, "map": MapOptions,
    "quality": QualityOptions, "plot": PlotOptions, "page": PageOptions, "query": QueryOptions,
    "channel": ChannelOptions,
    "scan": ScanOptions, "projector": ProjectorOptions, "projection": ProjectionOptions, "study": StudyOptions, "index": IndexOptions,
    "search": SearchOptions, "map": MapOptions, "query": QueryOptions, "channel": ChannelOptions,
    "scan": ScanOptions, "projector": ProjectorOptions, "projection": ProjectionOptions, "index": IndexOptions, "cluster": ClusterOptions, "cluster_labels": ClusterLabelsOptions,
    "predict": PredictOptions,
    "search": SearchOptions, "pairs": PairsOptions, "map": MapOptions, "query": QueryOptions, "channel": ChannelOptions,
    "scan": ScanOptions, "projector": ProjectorOptions, "projection": ProjectionOptions, "index": IndexOptions, "cluster": ClusterOptions,
    "search": SearchOptions, "query": QueryOptions, "channel": ChannelOptions,
    "page": PageOptions,
    "scan": ScanOptions, "repair": RepairOptions, "check": CheckOptions,
    "duplicates": DuplicatesOptions, "projector": ProjectorOptions, "projection": ProjectionOptions,
    "index": IndexOptions, "search": SearchOptions, "map": MapOptions, "query": QueryOptions, "channel": ChannelOptions,
    "scan": ScanOptions, "projector": ProjectorOptions, "projection": ProjectionOptions, "index": IndexOptions,
    "search": SearchOptions, "map": MapOptions, "quality": QualityOptions,
    "plot": PlotOptions, "query": QueryOptions, "channel": ChannelOptions,
}

# name: (result, parameters); a result of Status is checked and raises imgsim.Error.
PROTOTYPES = {
    # base.h
    "imgsim_last_error": (c_char_p, []),
    "imgsim_status_name": (c_char_p, [Status]),
    "imgsim_version": (c_uint32, []),
    "imgsim_version_string": (c_char_p, []),
    "imgsim_has_feature": (c_int32, [c_char_p]),
    "imgsim_simd_name": (c_char_p, []),
    "imgsim_cpu_count": (c_uint32, []),
    "imgsim_set_blas_threads": (Status, [c_uint32]),
    "imgsim_set_log_callback": (None, [LogCallback, c_void_p]),
    # metric.h
    "imgsim_metric_name": (c_char_p, [c_int32]),
    "imgsim_metric_from_name": (Status, [c_char_p, POINTER(c_int32)]),
    "imgsim_compare": (Status, [c_int32, c_int32, c_void_p, c_void_p, c_uint32, POINTER(c_double)]),
    "imgsim_metric_similarity": (Status, [c_int32, c_uint32, c_double, POINTER(c_double)]),
    # image.h
    "imgsim_image_load_file": (Status, [c_char_p, POINTER(ImageOptions), _Out]),
    "imgsim_image_load_memory": (Status, [c_void_p, c_size_t, POINTER(ImageOptions), _Out]),
    "imgsim_image_new": (Status, [c_void_p, c_uint32, c_uint32, c_size_t, _Out]),
    "imgsim_image_free": (None, [Handle]),
    "imgsim_image_get_width": (c_uint32, [Handle]),
    "imgsim_image_get_height": (c_uint32, [Handle]),
    "imgsim_image_get_full_width": (c_uint32, [Handle]),
    "imgsim_image_get_full_height": (c_uint32, [Handle]),
    "imgsim_image_get_format": (c_char_p, [Handle]),
    "imgsim_image_get_pixels": (POINTER(c_uint8), [Handle]),
    # extractor.h
    "imgsim_extractor_new_color": (Status, [POINTER(ColorOptions), _Out]),
    "imgsim_extractor_new_hash": (Status, [POINTER(HashOptions), _Out]),
    "imgsim_extractor_new_cnn": (Status, [POINTER(CnnOptions), _Out]),
    "imgsim_extractor_new_classes": (Status, [Handle, _Out]),
    "imgsim_extractor_new_host": (Status, [POINTER(HostExtractor), c_void_p, _Out]),
    "imgsim_extractor_new_spec": (Status, [c_char_p, _Out]),
    "imgsim_extractor_free": (None, [Handle]),
    "imgsim_extractor_get_dimension": (c_uint32, [Handle]),
    "imgsim_extractor_get_row_type": (c_int32, [Handle]),
    "imgsim_extractor_get_row_size": (c_size_t, [Handle]),
    "imgsim_extractor_get_default_metric": (c_int32, [Handle]),
    "imgsim_extractor_get_name": (c_char_p, [Handle]),
    "imgsim_extractor_get_spec": (c_char_p, [Handle]),
    "imgsim_extractor_get_fingerprint": (c_char_p, [Handle]),
    "imgsim_extractor_get_min_side": (c_uint32, [Handle]),
    "imgsim_extractor_extract": (Status, [Handle, POINTER(c_void_p), c_size_t, c_void_p, c_size_t]),
    # catalog.h
    "imgsim_catalog_open": (Status, [c_char_p, POINTER(CatalogOptions), _Out]),
    "imgsim_catalog_free": (None, [Handle]),
    "imgsim_catalog_refresh": (Status, [Handle]),
    "imgsim_catalog_get_path": (c_char_p, [Handle]),
    "imgsim_catalog_get_root": (c_char_p, [Handle]),
    "imgsim_catalog_get_id_count": (c_uint64, [Handle]),
    "imgsim_catalog_get_image_count": (c_uint64, [Handle]),
    "imgsim_catalog_count_states": (Status, [Handle, POINTER(c_uint64)]),
    "imgsim_catalog_visit_files": (Status, [Handle, c_int32, FileCallback, c_void_p]),
    "imgsim_catalog_get_file": (Status, [Handle, c_int64, FileCallback, c_void_p]),
    "imgsim_catalog_find": (Status, [Handle, c_char_p, POINTER(c_int64)]),
    "imgsim_catalog_add_label": (Status, [Handle, c_int64, c_char_p]),
    "imgsim_catalog_add_labels": (Status, [Handle, POINTER(c_int64), POINTER(c_char_p), c_size_t]),
    "imgsim_catalog_replace_labels": (Status, [
        Handle, c_char_p, POINTER(c_int64), POINTER(c_char_p), c_size_t]),
    "imgsim_catalog_remove_label": (Status, [Handle, c_int64, c_char_p]),
    "imgsim_catalog_visit_labels": (Status, [Handle, c_int64, LabelCallback, c_void_p]),
    "imgsim_catalog_visit_features": (Status, [Handle, FeatureCallback, c_void_p]),
    "imgsim_catalog_open_features": (Status, [Handle, c_char_p, _Out]),
    "imgsim_features_free": (None, [Handle]),
    "imgsim_features_get_row_count": (c_uint64, [Handle]),
    "imgsim_features_get_dimension": (c_uint32, [Handle]),
    "imgsim_features_get_row_type": (c_int32, [Handle]),
    "imgsim_features_get_metric": (c_int32, [Handle]),
    "imgsim_features_has_row": (c_int32, [Handle, c_int64]),
    "imgsim_features_get_rows": (c_void_p, [Handle]),
    "imgsim_features_read": (Status, [Handle, POINTER(c_int64), c_size_t, c_void_p, c_size_t]),
    "imgsim_features_get_bytes": (Status, [Handle, c_int64, POINTER(c_void_p), POINTER(c_size_t)]),
    "imgsim_features_get_sparse": (Status, [
        Handle, POINTER(POINTER(c_uint64)), POINTER(POINTER(c_uint32)), POINTER(POINTER(c_uint16)),
        POINTER(POINTER(c_uint32))]),
    "imgsim_catalog_put_features": (Status, [
        Handle, POINTER(FeatureDefinition), POINTER(c_int64), c_size_t, c_void_p, c_size_t]),
    "imgsim_catalog_remove_features": (Status, [Handle, c_char_p]),
    "imgsim_catalog_export_npy": (Status, [Handle, c_char_p, c_char_p]),
    "imgsim_catalog_export_csv": (Status, [Handle, c_char_p]),
    "imgsim_catalog_set_setting": (Status, [Handle, c_char_p, c_char_p]),
    "imgsim_catalog_get_setting": (Status, [Handle, c_char_p, c_char_p, c_size_t]),
    "imgsim_catalog_verify": (Status, [Handle, VerifyCallback, c_void_p]),
    # scan.h
    "imgsim_scan_match": (Status, [c_char_p, c_char_p, c_int32, POINTER(c_int32)]),
    "imgsim_scan": (Status, [Handle, POINTER(c_char_p), c_size_t, POINTER(ScanOptions), POINTER(ScanReport)]),
    # projector.h
    "imgsim_projector_new": (Status, [c_uint32, c_uint32, POINTER(ProjectorOptions), _Out]),
    "imgsim_projector_free": (None, [Handle]),
    "imgsim_projector_add": (Status, [Handle, POINTER(c_float), c_size_t]),
    "imgsim_projector_train": (Status, [Handle]),
    "imgsim_projector_fit": (Status, [Handle, POINTER(c_float), c_size_t, POINTER(PcaReport)]),
    "imgsim_projector_transform": (Status, [Handle, POINTER(c_float), c_size_t, POINTER(c_float)]),
    "imgsim_projector_get_input_dimension": (c_uint32, [Handle]),
    "imgsim_projector_get_output_dimension": (c_uint32, [Handle]),
    "imgsim_projector_get_row_count": (c_uint64, [Handle]),
    "imgsim_projector_get_mean": (POINTER(c_float), [Handle]),
    "imgsim_projector_get_axes": (POINTER(c_float), [Handle]),
    "imgsim_projector_get_variances": (POINTER(c_double), [Handle]),
    "imgsim_projector_get_total_variance": (c_double, [Handle]),
    "imgsim_projector_get_landmarks": (POINTER(c_float), [Handle]),
    "imgsim_projector_get_landmark_count": (c_uint32, [Handle]),
    "imgsim_projector_get_fingerprint": (c_char_p, [Handle]),
    "imgsim_projector_save": (Status, [Handle, c_char_p]),
    "imgsim_projector_load": (Status, [c_char_p, _Out]),
    # cluster.h
    "imgsim_cluster_rows": (Status, [POINTER(c_float), c_size_t, c_uint32, POINTER(ClusterOptions), _Out]),
    "imgsim_clusters_free": (None, [Handle]),
    "imgsim_clusters_get_row_count": (c_size_t, [Handle]),
    "imgsim_clusters_get_count": (c_size_t, [Handle]),
    "imgsim_clusters_get_noise_count": (c_size_t, [Handle]),
    "imgsim_clusters_get_labels": (POINTER(c_int32), [Handle]),
    "imgsim_clusters_get_sizes": (POINTER(c_uint64), [Handle]),
    "imgsim_clusters_get_medoids": (POINTER(c_int64), [Handle]),
    "imgsim_clusters_get_probabilities": (POINTER(c_float), [Handle]),
    "imgsim_clusters_get_means": (POINTER(c_float), [Handle]),
    "imgsim_clusters_get_inertia": (c_double, [Handle]),
    "imgsim_clusters_get_iterations": (c_uint32, [Handle]),
    "imgsim_clusters_get_eps": (c_double, [Handle]),
    "imgsim_clusters_get_leaf_count": (c_size_t, [Handle]),
    "imgsim_clusters_get_tree": (POINTER(c_double), [Handle]),
    "imgsim_clusters_get_leaves": (POINTER(c_int32), [Handle]),
    "imgsim_clusters_cut": (Status, [Handle, c_size_t, c_double, POINTER(c_int32), POINTER(c_size_t)]),
    "imgsim_clusters_assign": (Status, [Handle, POINTER(c_float), c_size_t, POINTER(c_int32), POINTER(c_float)]),
    "imgsim_compare_labels": (Status, [
        POINTER(c_int32), POINTER(c_int32), c_size_t, POINTER(c_double), POINTER(c_double)]),
    "imgsim_silhouette": (Status, [
        POINTER(c_float), c_size_t, c_uint32, POINTER(c_int32), c_int32, c_size_t, c_uint64, c_uint32,
        POINTER(c_double), POINTER(c_float)]),
    "imgsim_cluster_method_name": (c_char_p, [c_int32]),
    "imgsim_cluster_method_from_name": (Status, [c_char_p, POINTER(c_int32)]),
    # derive.h
    "imgsim_derive_projection": (Status, [Handle, POINTER(ProjectionOptions), _Out]),
    "imgsim_derive_index": (Status, [Handle, c_char_p, POINTER(IndexOptions), _Out]),
    "imgsim_derive_clusters": (Status, [Handle, POINTER(ClusterLabelsOptions), POINTER(ClusterReport), _Out]),
    "imgsim_derive_predictions": (Status, [Handle, POINTER(PredictOptions), POINTER(PredictReport)]),
    "imgsim_derive_refresh": (Status, [Handle, POINTER(c_size_t)]),
    "imgsim_derive_study": (
        Status, [Handle, POINTER(StudyOptions), POINTER(c_uint32), c_size_t] + 4 * [POINTER(c_double)]),
    "imgsim_derive_verify": (Status, [Handle, VerifyCallback, c_void_p]),
    "imgsim_check_options_init": (Status, [POINTER(CheckOptions), c_size_t]),
    "imgsim_catalog_check": (Status, [Handle, POINTER(CheckOptions), POINTER(CheckReport)]),
    "imgsim_catalog_repair": (Status, [c_char_p, POINTER(RepairOptions), POINTER(RepairReport)]),
    # duplicates.h
    "imgsim_derive_duplicates": (Status, [Handle, POINTER(DuplicatesOptions), _Out]),
    "imgsim_duplicates_free": (None, [Handle]),
    "imgsim_duplicates_get_group_count": (c_uint64, [Handle]),
    "imgsim_duplicates_get_image_count": (c_uint64, [Handle]),
    "imgsim_duplicates_get_group": (Status, [
        Handle, c_uint64, POINTER(POINTER(c_int64)), POINTER(POINTER(c_uint32)), POINTER(POINTER(c_uint32)),
        POINTER(c_size_t)]),
    # index.h
    "imgsim_index_new": (Status, [POINTER(IndexOptions), _Out]),
    "imgsim_index_free": (None, [Handle]),
    "imgsim_index_add": (Status, [Handle, POINTER(c_float), c_size_t, POINTER(c_int64)]),
    "imgsim_index_add_bits": (Status, [Handle, POINTER(c_uint8), c_size_t, POINTER(c_int64)]),
    "imgsim_index_add_sparse": (Status, [
        Handle, POINTER(c_uint64), POINTER(c_uint32), POINTER(c_uint16), POINTER(c_uint32), c_size_t,
        POINTER(c_int64)]),
    "imgsim_index_remove": (Status, [Handle, POINTER(c_int64), c_size_t, POINTER(c_size_t)]),
    "imgsim_search_stats_init": (Status, [POINTER(SearchStats), c_size_t]),
    "imgsim_index_search": (Status, [
        Handle, POINTER(c_float), c_size_t, c_size_t, POINTER(SearchOptions), POINTER(c_int64), POINTER(c_float)]),
    "imgsim_index_search_bits": (Status, [
        Handle, POINTER(c_uint8), c_size_t, c_size_t, POINTER(SearchOptions), POINTER(c_int64), POINTER(c_float)]),
    "imgsim_pairs_options_init": (Status, [POINTER(PairsOptions), c_size_t]),
    "imgsim_index_pairs": (Status, [Handle, POINTER(PairsOptions), PairsCallback, c_void_p]),
    "imgsim_index_get_count": (c_uint64, [Handle]),
    "imgsim_index_get_dimension": (c_uint32, [Handle]),
    "imgsim_index_get_metric": (c_int32, [Handle]),
    "imgsim_index_get_kind": (c_int32, [Handle]),
    "imgsim_index_kind_name": (c_char_p, [c_int32]),
    "imgsim_index_kind_from_name": (Status, [c_char_p, POINTER(c_int32)]),
    "imgsim_index_set_note": (Status, [Handle, c_char_p]),
    "imgsim_index_get_note": (c_char_p, [Handle]),
    "imgsim_index_save": (Status, [Handle, c_char_p]),
    "imgsim_index_open": (Status, [c_char_p, c_int32, _Out]),
    # map.h
    "imgsim_map_new": (Status, [
        POINTER(c_float), c_size_t, c_uint32, POINTER(c_int64), POINTER(MapOptions), _Out]),
    "imgsim_map_new_catalog": (Status, [Handle, c_char_p, POINTER(MapOptions), _Out]),
    "imgsim_map_free": (None, [Handle]),
    "imgsim_map_get_count": (c_size_t, [Handle]),
    "imgsim_map_get_dimension": (c_uint32, [Handle]),
    "imgsim_map_get_layout": (c_int32, [Handle]),
    "imgsim_map_get_positions": (POINTER(c_float), [Handle]),
    "imgsim_map_get_ids": (POINTER(c_int64), [Handle]),
    "imgsim_map_get_neighbour_count": (c_uint32, [Handle]),
    "imgsim_map_get_neighbours": (POINTER(c_uint32), [Handle]),
    "imgsim_map_get_distances": (POINTER(c_float), [Handle]),
    "imgsim_map_get_feature": (c_char_p, [Handle]),
    "imgsim_map_get_kl": (c_double, [Handle]),
    # page.h
    "imgsim_page_new": (Status, [Handle, _Out]),
    "imgsim_page_free": (None, [Handle]),
    "imgsim_page_add_map": (Status, [Handle, Handle]),
    "imgsim_page_add_catalog": (Status, [Handle, Handle]),
    "imgsim_page_add_paths": (Status, [Handle, POINTER(c_char_p)]),
    "imgsim_page_add_neighbours": (Status, [Handle, POINTER(c_uint32), c_uint32]),
    "imgsim_page_add_dates": (Status, [Handle, POINTER(c_int64)]),
    "imgsim_page_add_column": (Status, [Handle, c_char_p, POINTER(c_int32), POINTER(c_char_p), c_size_t]),
    "imgsim_page_add_figure": (Status, [Handle, c_char_p, c_double, c_char_p]),
    "imgsim_page_add_quality": (Status, [
        Handle, Handle, Handle, POINTER(QualityOptions), POINTER(Quality)]),
    "imgsim_page_set_pictures": (Status, [Handle, PictureCallback, c_void_p]),
    "imgsim_page_write_html": (Status, [Handle, POINTER(PageOptions), c_char_p]),
    "imgsim_page_write_projector": (Status, [
        Handle, POINTER(c_float), c_uint32, POINTER(PageOptions), c_char_p]),
    "imgsim_map_measure": (Status, [
        POINTER(c_float), c_size_t, c_uint32, POINTER(c_float), c_uint32, POINTER(QualityOptions), POINTER(Quality)]),
    "imgsim_map_measure_catalog": (Status, [Handle, Handle, POINTER(QualityOptions), POINTER(Quality)]),
    "imgsim_map_place": (Status, [
        Handle, POINTER(c_float), c_uint32, POINTER(c_float), c_size_t, POINTER(MapOptions), POINTER(c_float)]),
    "imgsim_map_save": (Status, [Handle, c_char_p]),
    "imgsim_map_load": (Status, [c_char_p, _Out]),
    "imgsim_map_write_npy": (Status, [Handle, c_char_p]),
    "imgsim_map_write_csv": (Status, [Handle, Handle, c_int32, c_char_p]),
    "imgsim_map_write_table": (Status, [Handle, Handle, POINTER(PlotOptions), c_char_p]),
    "imgsim_map_write_plot": (Status, [Handle, Handle, POINTER(PlotOptions), c_char_p]),
    "imgsim_layout_name": (c_char_p, [c_int32]),
    "imgsim_layout_from_name": (Status, [c_char_p, POINTER(c_int32)]),
    # query.h
    "imgsim_query_new": (Status, [Handle, POINTER(QueryOptions), _Out]),
    "imgsim_query_free": (None, [Handle]),
    "imgsim_query_set_options": (Status, [Handle, POINTER(QueryOptions)]),
    "imgsim_query_add_file": (Status, [Handle, c_char_p, c_double]),
    "imgsim_query_add_memory": (Status, [Handle, c_void_p, c_size_t, c_double]),
    "imgsim_query_add_image": (Status, [Handle, Handle, c_double]),
    "imgsim_query_add_id": (Status, [Handle, c_int64, c_double]),
    "imgsim_query_add_row": (Status, [Handle, c_char_p, c_void_p, c_size_t, c_double]),
    "imgsim_query_clear_images": (None, [Handle]),
    "imgsim_query_add_channel": (Status, [Handle, c_char_p, POINTER(ChannelOptions)]),
    "imgsim_query_add_channels": (Status, [Handle, c_char_p, c_char_p]),
    "imgsim_query_set_extractor": (Status, [Handle, c_char_p, Handle]),
    "imgsim_query_filter_label": (Status, [Handle, c_char_p]),
    "imgsim_query_filter_directory": (Status, [Handle, c_char_p]),
    "imgsim_query_filter_bits": (Status, [Handle, POINTER(c_uint8), c_uint64]),
    "imgsim_query_clear_filters": (None, [Handle]),
    "imgsim_query_search": (Status, [Handle, _Out]),
    "imgsim_result_free": (None, [Handle]),
    "imgsim_result_get_count": (c_size_t, [Handle]),
    "imgsim_result_get_part_count": (c_size_t, [Handle]),
    "imgsim_result_get_image_count": (c_uint64, [Handle]),
    "imgsim_result_get_exact": (c_int32, [Handle]),
    "imgsim_result_get_failovers": (c_uint32, [Handle]),
    "imgsim_result_get_elapsed_ms": (c_double, [Handle]),
    "imgsim_result_get_hit": (Status, [Handle, c_size_t, POINTER(HitStruct)]),
    "imgsim_result_get_part": (Status, [Handle, c_size_t, c_size_t, POINTER(PartStruct)]),
    "imgsim_result_write_sheet": (Status, [Handle, Handle, c_char_p]),
    "imgsim_result_write_html": (Status, [Handle, Handle, c_char_p]),
}
for _name, _struct in OPTIONS.items():
    PROTOTYPES["imgsim_%s_options_init" % _name] = (Status, [POINTER(_struct), c_size_t])


class Error(Exception):
    """A failure reported by libimgsim: `status` is its code, str() its message."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def _check(status, function, _arguments):
    if status.value != 0:
        raise Error(status.value, library.imgsim_last_error().decode("utf-8", "replace"))
    return None


def _find():
    """IMGSIM_LIBRARY, else the checkout's build folder, else beside this package, else where the system looks."""
    named = os.environ.get("IMGSIM_LIBRARY")
    if named:
        return named
    here = os.path.dirname(os.path.abspath(__file__))
    for folder in (os.path.join(here, "..", "..", "..", "build"), here):
        path = os.path.normpath(os.path.join(folder, "libimgsim.so.0"))
        if os.path.exists(path):
            return path
    return ctypes.util.find_library("imgsim") or "libimgsim.so.0"


def _load():
    path = _find()
    try:
        loaded = ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            "cannot load libimgsim (%s); build it with ./run build, or name it in IMGSIM_LIBRARY" % error) from None
    for name, (result, parameters) in PROTOTYPES.items():
        function = getattr(loaded, name)
        function.restype = result
        function.argtypes = parameters
        if result is Status:
            function.errcheck = _check
    return loaded


library = _load()


def options(name, /, **values):
    """An options struct with the library's defaults, overlaid with the given fields that are not None."""
    struct = OPTIONS[name]()
    getattr(library, "imgsim_%s_options_init" % name)(ctypes.byref(struct), ctypes.sizeof(struct))
    for field, value in values.items():
        if value is not None:
            setattr(struct, field, value)
    return struct


def make(function, *arguments):
    """Call a function whose last parameter returns a handle; gives the handle."""
    out = c_void_p()
    getattr(library, function)(*arguments, ctypes.byref(out))
    return out
