/* SPDX-License-Identifier: Apache-2.0 */
/* The index handle, and what its files share: one search, exact scoring, the graph. */
#ifndef IMS_INDEX_PRIVATE_H
#define IMS_INDEX_PRIVATE_H

#include "core/file.h"
#include "core/threads.h"
#include "index/index.h"
#include "index/rows.h"

#include <pthread.h>
#include <stdatomic.h>

struct ims_candidate;
struct ims_coarse;
struct ims_collector;
struct ims_graph;
struct ims_planes;

/* Rows at which IMGSIM_INDEX_AUTO becomes HNSW: without planes, and with. docs/choosing-an-index.md has the measurements. */
#define IMS_AUTO_HNSW_ROWS 50000
#define IMS_AUTO_PLANES_ROWS 2000000
#define IMS_NOTE_MAX 4095
#define IMS_WIDTH_MAX 100000
#define IMS_THREADS_MAX 1024

struct imgsim_index {
    atomic_int kind; /* AUTO becomes one of the others */
    int32_t metric;
    int32_t row_type; /* of queries, and of what a callback gets */
    uint32_t dimension;
    uint32_t threads;
    uint32_t max_links;
    uint32_t build_width;
    uint32_t search_width;
    uint64_t seed;
    uint64_t max_bytes; /* of planes; 0: as much as they take */
    imgsim_metric_callback callback;
    void *user_data;
    imgsim_progress_callback progress;
    void *progress_data;

    float *
        factor; /* Mahalanobis: R, dimension x dimension; rows are kept as R * row, compared by L2 */
    bool normalize; /* sparse rows to come count as divided by their sums */
    struct ims_rows rows;
    struct ims_graph *graph;    /* NULL while there is none */
    struct ims_coarse *coarse;  /* planes of histograms; NULL until a search makes them */
    atomic_uint_fast64_t asked; /* queries searched for so far */
    char *note;
    struct ims_reader file; /* what rows and graph are mapped from, if they are */

    pthread_mutex_t mutex; /* guards what a search makes when it is first needed */
    struct ims_pool *pool;
    atomic_bool sums_known;
    struct ims_planes *planes;    /* NULL while there are none */
    atomic_bool planes_known;     /* they are as the rows are */
    atomic_uint_fast64_t scanned; /* rows compared without planes, of all queries */
    size_t planes_tried; /* rows there were when planes were last made, or found to be of no use */
};

/* What a search did; raised from any thread. */
struct ims_search_counts {
    atomic_uint_fast64_t plane_rows[IMGSIM_PLANES_MAX];
    atomic_uint_fast64_t rows_read;
    atomic_uint_fast64_t rows_decided;
    uint32_t plane_count;
};

/* One call of a search function: everything checked, defaults filled in. */
struct ims_search {
    const imgsim_index *index;
    const void *queries;
    size_t query_count;
    size_t k;
    const uint8_t *filter;
    uint64_t filter_bits;
    uint32_t width; /* HNSW candidates, at least k */
    float max_distance;
    struct ims_pool *pool; /* NULL: one thread */
    int64_t *out_ids;
    float *out_distances;
    struct ims_search_counts *counts;
};

/* ---- index.c ---- */

/* An index without rows; options are checked. `form` is that of its rows. */
imgsim_status ims_index_make(const imgsim_index_options *options, int form, imgsim_index **out);
/* The index's own pool, made when first asked for; NULL when one thread is enough. */
imgsim_status ims_index_pool(const imgsim_index *index, struct ims_pool **out_pool);
/* Decide an AUTO index, building the graph if it becomes HNSW. */
imgsim_status ims_index_settle(const imgsim_index *index);
/* The graph over all rows that are there. */
imgsim_status ims_index_build_graph(imgsim_index *index, struct ims_pool *pool);
/* Sparse rows are histograms: metrics that take counts, and the host's. */
imgsim_status ims_index_check_sparse(int32_t metric);
imgsim_status
ims_index_check_range(const char *name, uint32_t value, uint32_t least, uint32_t most);
/* Whether HNSW serves the metric. */
bool ims_metric_has_graph(int32_t metric);

/* ---- index_add.c ---- */

/* Finite floats, not negative where they are counts. `what` and, where given, ids name a row in the error. */
imgsim_status ims_index_check_floats(
    const imgsim_index *index,
    const char *what,
    const float *rows,
    size_t row_count,
    const int64_t *ids);
/* R * row for `count` rows, into `out`. */
imgsim_status ims_index_transform(
    const imgsim_index *index,
    struct ims_pool *pool,
    const float *rows,
    size_t count,
    float *out);

/* ---- exact_score.c ---- */

/* A query made ready for scoring. */
struct ims_prepared_query {
    const void *row; /* as rows are kept: after R for Mahalanobis */
    float *scan;     /* what the float kernels get; NULL where that is `row` */
    double sum;      /* of values, squares */
    double squared;
    double norm;
    double counted; /* chi-square: sum of the values that it counts, those of `scan` */
    float *dense;   /* a sparse row made dense, for exact measures */
};

/* Callers of these may come from several threads, each with its own `prepared`. */
imgsim_status
ims_prepare(const imgsim_index *index, const void *query, struct ims_prepared_query *prepared);
void ims_prepared_query_clear(struct ims_prepared_query *prepared);
/*
 * Threads that share a prepared query measure with room of their own for a dense row: *out_room is released with ims_free(),
 * NULL where none is needed.
 */
imgsim_status ims_dense_room(const imgsim_index *index, float **out_room);
static inline struct ims_prepared_query
ims_prepared_query_with(const struct ims_prepared_query *prepared, float *room)
{
    struct ims_prepared_query mine = *prepared;

    mine.dense = room;
    return mine;
}

/*
 * The number rows are ordered by, in double precision and the same on every processor: the metric's distance, but 1 - cosine
 * for angular.
 */
double
ims_exact_key(const imgsim_index *index, const struct ims_prepared_query *query, uint32_t slot);
/* The metric's value, the same way. */
double
ims_exact_value(const imgsim_index *index, const struct ims_prepared_query *query, uint32_t slot);
/* How far ims_exact_key() may be from the true key; 0 for metrics without a true order. */
double ims_key_error(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    uint32_t slot,
    double key);
/*
 * Whether rows are ordered by the true key, that of the real numbers which the floats are: cosine, angular, inner product, L2,
 * and Mahalanobis after R. Others are ordered by the key as computed.
 */
bool ims_metric_has_true_order(const imgsim_index *index);
/* Distance to answer with, from the key. */
double ims_key_distance(int32_t metric, double key);

/*
 * Bounds of the keys of `count` rows from float arithmetic: lower[i] <= key <= upper[i], of the key as computed and of the true
 * one.
 */
imgsim_status ims_estimate_keys(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const uint32_t *slots,
    size_t count,
    double *lower,
    double *upper);
/* The same from dot products that are known already; raw[i] belongs to slots[i]. */
void ims_estimate_from_dots(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const uint32_t *slots,
    const float *raw,
    size_t count,
    double *lower,
    double *upper);
/* Whether keys follow from dot products, so that a matrix product can do the work. */
bool ims_metric_by_dots(int32_t metric);
/* Whether the estimates are the keys themselves: bits and the host's function. */
bool ims_estimates_are_keys(const imgsim_index *index);
/* Make sure the sums of borrowed rows are known. */
imgsim_status ims_index_sums(const imgsim_index *index, struct ims_pool *pool);

/* ---- rank.c ---- */

/*
 * The k nearest of the candidates in their true order, ties by id: at most k, and at most `count`, neighbours with keys that do
 * not fall. Every row that may be one of them must be among the candidates.
 */
imgsim_status ims_rank(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const struct ims_candidate *candidates,
    size_t count,
    size_t k,
    struct ims_neighbour *out,
    size_t *out_count);

/* ---- exact_sparse.c ---- */

/* Float estimate of what the metric sums up over a sparse row's entries, and the terms of the rest. */
void ims_sparse_scores(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const uint32_t *slots,
    size_t count,
    float *raw);

/* ---- bits_search.c ---- */

/* The true answer of a Hamming search. */
imgsim_status ims_bits_search(const struct ims_search *search);

/* ---- exact.c ---- */

/* The true answer. */
imgsim_status ims_exact_search(const struct ims_search *search);
/* The same, by comparing with every row that the filter lets through. */
imgsim_status ims_scan_search(const struct ims_search *search);
/*
 * Score the candidates that `part_count` collectors kept for a query, sort, answer. `bound`: no answer's key is above it, as
 * far as is known without the collectors.
 */
imgsim_status ims_answer_query(
    const struct ims_search *search,
    size_t query,
    const struct ims_prepared_query *prepared,
    const struct ims_collector *parts,
    size_t part_count,
    double bound);
/* The same from candidates among which all answers are. */
imgsim_status ims_answer(
    const struct ims_search *search,
    size_t query,
    const struct ims_prepared_query *prepared,
    const struct ims_candidate *candidates,
    size_t count);
/* Write the k answers of one query from `count` neighbours, nearest first. */
void ims_write_answers(
    const struct ims_search *search,
    size_t query,
    const struct ims_neighbour *neighbours,
    size_t count);

#endif
