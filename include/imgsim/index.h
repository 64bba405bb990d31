/* SPDX-License-Identifier: Apache-2.0 */
/* Nearest rows of a set: exact or HNSW behind one handle. Works on plain rows and ids, without a catalog. */
#ifndef IMGSIM_INDEX_H
#define IMGSIM_INDEX_H

#include <imgsim/metric.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Largest k of a search. Since 0.1. */
#define IMGSIM_K_MAX 100000

/** An index. Make one with imgsim_index_new() or open a file; release it with imgsim_index_free(). Since 0.1. */
typedef struct imgsim_index imgsim_index;

/** Kinds of index. Others are refused with IMGSIM_ERROR_UNSUPPORTED. Since 0.1. */
enum {
    /**
     * Exact or HNSW by the number of rows, decided at the first search or save: HNSW from 2,000,000 rows on, from 50,000 where exact
     * search has no planes (rows of fewer than 16 values), never where it does not serve the metric.
     */
    IMGSIM_INDEX_AUTO = 0,
    /**
     * The answer is the true one, ties by id, whatever the batch, threads and processor: for cosine, angular, inner product, L2 and
     * Mahalanobis by the distances of the real numbers that the floats are, for others by distances in double precision. From 1,024 rows on planes (small copies
     * of the rows) rule out most of them by bounds; docs/exact-search.md. They are made when the index is saved, or once so many
     * queries came that they are worth it, and are saved with it.
     */
    IMGSIM_INDEX_EXACT = 1,
    /** Hierarchical navigable small world graph; cosine, inner product, L2, angular, Mahalanobis. */
    IMGSIM_INDEX_HNSW = 2
};

/** Settings of an index; fill with imgsim_index_options_init(). Since 0.1. */
typedef struct imgsim_index_options {
    /** Written by the init function. */
    size_t struct_size;
    /** IMGSIM_INDEX_AUTO, EXACT (default) or HNSW. */
    int32_t kind;
    /** Any of imgsim_metric. Default IMGSIM_METRIC_COSINE. */
    int32_t metric;
    /** Values, or bits, in a row: 1 to 65536. Must be set. */
    uint32_t dimension;
    /** Threads for building and for batches, 0 for one per processor (default). */
    uint32_t threads;
    /** Mahalanobis only: dimension x dimension, symmetric positive semi-definite, copied. */
    const double *mahalanobis;
    /** IMGSIM_METRIC_CALLBACK only: the host's function and its row type (default IMGSIM_ROW_FLOAT32). */
    imgsim_metric_callback callback;
    void *user_data;
    int32_t callback_row_type;
    /** HNSW: links per node above layer 0 (M in the paper), 2 to 128. Default 16. */
    uint32_t max_links;
    /** HNSW: candidates kept while inserting (efConstruction), at least max_links, at most 100000. Default 200. */
    uint32_t build_width;
    /** HNSW: candidates kept while searching (efSearch) unless a search says otherwise, 1 to 100000. Default 128. */
    uint32_t search_width;
    /** HNSW: seed of the layer draw. Default 1. */
    uint64_t seed;
    /** Told while building; non-zero stops (optional). */
    imgsim_progress_callback progress;
    void *progress_data;
    /**
     * Sparse histograms only: non-zero: each row counts as divided by its sum, values being the floats nearest to count / sum;
     * queries are taken as they are. 0 (default): counts as they are.
     */
    int32_t normalize;
    /** 0. */
    int32_t reserved;
    /**
     * Exact: bytes the index may take beside its rows for the planes that make searches fast (docs/exact-search.md). 0 (default):
     * what they need, at most a third of the rows. Any other number: at most that, made at the first search; 1: none. Not saved.
     * Histograms (docs/exact-histograms.md): 0: up to 340 bytes a row; with fewer there are smaller planes, with fewer than 76
     * none.
     */
    uint64_t max_bytes;
} imgsim_index_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_index_options_init(imgsim_index_options *options, size_t struct_size);

/** Planes a search may read before the rows themselves. Since 0.1. */
#define IMGSIM_PLANES_MAX 8

/** What a search did; fill with imgsim_search_stats_init() and name it in the options. Since 0.1. */
typedef struct imgsim_search_stats {
    /** Written by the init function. */
    size_t struct_size;
    /** 1: every row left out of an answer has a bound that keeps it out, or was compared; 0: a graph was searched. */
    int32_t certified;
    /** Planes that were read; 0: none, rows only. */
    uint32_t plane_count;
    /** Queries answered. */
    uint64_t queries;
    /** Bounds taken from each plane, of all queries together. */
    uint64_t plane_rows[IMGSIM_PLANES_MAX];
    /** Rows compared in float, and of them those compared once more in double precision, of all queries together. */
    uint64_t rows_read;
    uint64_t rows_decided;
} imgsim_search_stats;

/** Write zeros into `stats`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status imgsim_search_stats_init(imgsim_search_stats *stats, size_t struct_size);

/** Settings of one search; fill with imgsim_search_options_init(). Since 0.1. */
typedef struct imgsim_search_options {
    /** Written by the init function. */
    size_t struct_size;
    /** HNSW: candidates kept (efSearch), at least k is used; 0 (default): the index's own. */
    uint32_t search_width;
    /** Non-zero: compare with every row, also in an HNSW index. Default 0. */
    int32_t exact;
    /**
     * Only ids whose bit is set may be answered: bit i % 8 (least significant first) of byte i / 8. Ids beyond
     * filter_bits are out. NULL: no filter.
     */
    const uint8_t *filter;
    uint64_t filter_bits;
    /** Only rows at this distance or nearer are answered. Default +infinity. */
    float max_distance;
    /** Threads for this search, 0 (default): the index's own. The answer does not depend on it. */
    uint32_t threads;
    /** Where to write what the search did; NULL (default): nowhere. Not for two searches at a time. */
    imgsim_search_stats *stats;
} imgsim_search_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_search_options_init(imgsim_search_options *options, size_t struct_size);

/**
 * Make an empty index.
 *
 * @param options    dimension must be set
 * @param out_index  returned: release with imgsim_index_free()
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_UNSUPPORTED (unknown kind or metric, HNSW
 *         with a metric it does not serve). Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_index_new(const imgsim_index_options *options, imgsim_index **out_index);

/** Release an index; NULL is fine. */
IMGSIM_API void imgsim_index_free(imgsim_index *index);

/**
 * Add rows, which are copied. HNSW links them in at once, on all threads.
 *
 * @param rows       row_count x dimension floats, finite (vector and histogram metrics)
 * @param row_count  0 or more
 * @param ids        row_count ids, 0 or more, not in the index yet; NULL continues after the largest id
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (NaN, infinity, negative histogram counts, an id twice:
 *         the text names row and id); IMGSIM_ERROR_UNSUPPORTED (a bit metric); IMGSIM_ERROR_CANCELLED;
 *         IMGSIM_ERROR_OUT_OF_MEMORY. Nothing is added on an error, except when cancelled. Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_index_add(imgsim_index *index, const float *rows, size_t row_count, const int64_t *ids);

/** The same for bit rows: row_count x dimension / 8 bytes. Since 0.1. */
IMGSIM_API imgsim_status imgsim_index_add_bits(
    imgsim_index *index,
    const uint8_t *rows,
    size_t row_count,
    const int64_t *ids);

/**
 * The same for sparse histograms: row i has lengths[i] entries from offsets[i] on. They are kept in 4 bytes an entry, and
 * searched exactly by planes of merged bins (docs/exact-histograms.md), which the first search makes.
 *
 * @param offsets  row_count offsets into bins and counts
 * @param lengths  row_count lengths
 * @param bins     bin of each entry, ascending within a row, below dimension
 * @param counts   count of each entry
 */
IMGSIM_API imgsim_status imgsim_index_add_sparse(
    imgsim_index *index,
    const uint64_t *offsets,
    const uint32_t *lengths,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t row_count,
    const int64_t *ids);

/**
 * Remove rows by id. Their memory is reused by later additions.
 *
 * @param out_removed  NULL, or how many of the ids were there
 */
IMGSIM_API imgsim_status
imgsim_index_remove(imgsim_index *index, const int64_t *ids, size_t id_count, size_t *out_removed);

/**
 * Find the k nearest stored rows of each query.
 *
 * Row i of the outputs answers row i of the queries, nearest first, equal distances in order of id.
 * Rows with fewer than k answers end with id -1 and distance +infinity.
 *
 * @param index          searching from several threads at once is fine
 * @param queries        query_count x dimension floats, finite
 * @param query_count    0 or more
 * @param k              1 to IMGSIM_K_MAX; more than there are rows is fine
 * @param options        NULL for the defaults
 * @param out_ids        query_count x k
 * @param out_distances  query_count x k; the metric's distance (metric.h), smaller is nearer
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (NULL, k out of range, NaN or infinity in a query);
 *         IMGSIM_ERROR_UNSUPPORTED (a bit metric); IMGSIM_ERROR_CALLBACK; IMGSIM_ERROR_OUT_OF_MEMORY
 *
 * Source: HNSW: Malkov & Yashunin, arXiv:1603.09320, Algorithms 2 and 5. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_index_search(
    const imgsim_index *index,
    const float *queries,
    size_t query_count,
    size_t k,
    const imgsim_search_options *options,
    int64_t *out_ids,
    float *out_distances);

/** The same for bit rows: query_count x dimension / 8 bytes. Since 0.1. */
IMGSIM_API imgsim_status imgsim_index_search_bits(
    const imgsim_index *index,
    const uint8_t *queries,
    size_t query_count,
    size_t k,
    const imgsim_search_options *options,
    int64_t *out_ids,
    float *out_distances);

/**
 * Told some pairs of rows at a time: ids_a[i] < ids_b[i] at distances[i]. Called from one thread at a time, not always the
 * caller's; the order of the pairs is not specified. Non-zero stops. Since 0.1.
 */
typedef int32_t (*imgsim_pairs_callback)(
    const int64_t *ids_a,
    const int64_t *ids_b,
    const float *distances,
    size_t count,
    void *user_data);

/** Settings of imgsim_index_pairs(); fill with imgsim_pairs_options_init(). Since 0.1. */
typedef struct imgsim_pairs_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Bits in which the rows of a pair may differ, 0 (default: copies) to dimension. */
    uint32_t max_distance;
    /** Threads, 0 (default): the index's own number. The pairs do not depend on it. */
    uint32_t threads;
    /** Told while searching; non-zero stops (optional). */
    imgsim_progress_callback progress;
    void *progress_data;
} imgsim_pairs_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_pairs_options_init(imgsim_pairs_options *options, size_t struct_size);

/**
 * All pairs of rows within a Hamming distance, each once: none is missed. Memory is a few times the rows', however many
 * pairs there are.
 *
 * @param index     with IMGSIM_METRIC_HAMMING
 * @param options   NULL for the defaults
 * @param callback  gets the pairs
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_UNSUPPORTED (another metric); IMGSIM_ERROR_CANCELLED (by a
 *         callback); IMGSIM_ERROR_OUT_OF_MEMORY
 *
 * Source: multi-index hashing: Norouzi, Punjani & Fleet, IEEE TPAMI 36(6), 2014, doi:10.1109/TPAMI.2013.231. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_index_pairs(
    const imgsim_index *index,
    const imgsim_pairs_options *options,
    imgsim_pairs_callback callback,
    void *user_data);

/** Rows in the index. */
IMGSIM_API uint64_t imgsim_index_get_count(const imgsim_index *index);
/** Values, or bits, in a row. */
IMGSIM_API uint32_t imgsim_index_get_dimension(const imgsim_index *index);
/** Metric. */
IMGSIM_API int32_t imgsim_index_get_metric(const imgsim_index *index);
/** IMGSIM_INDEX_EXACT or HNSW; AUTO before it was decided. */
IMGSIM_API int32_t imgsim_index_get_kind(const imgsim_index *index);
/** Name of a kind: "exact", "hnsw", "auto"; NULL if unknown. */
IMGSIM_API const char *imgsim_index_kind_name(int32_t kind);

/**
 * Kind of a name. "ivf" and "ivfpq" are known names of kinds not built in.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_UNSUPPORTED (not built in); IMGSIM_ERROR_INVALID_ARGUMENT (unknown). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_index_kind_from_name(const char *name, int32_t *out_kind);

/** Set the text kept with the index, at most 4095 bytes: what it was made from (a fingerprint). Saved with it. Since 0.1. */
IMGSIM_API imgsim_status imgsim_index_set_note(imgsim_index *index, const char *note);
/** The text kept with the index, "" if none. */
IMGSIM_API const char *imgsim_index_get_note(const imgsim_index *index);

/**
 * Save an index: written beside, synced, then renamed over `path`. An index with a metric callback is refused. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_index_save(const imgsim_index *index, const char *path);

/**
 * Open a saved index by mapping it. Adding to it or removing from it copies it into memory first.
 *
 * @param verify  non-zero: read everything and compare the checksums; 0: header and structure only
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND; IMGSIM_ERROR_CORRUPT; IMGSIM_ERROR_UNSUPPORTED (newer format). Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_index_open(const char *path, int32_t verify, imgsim_index **out_index);

#ifdef __cplusplus
}
#endif

#endif
