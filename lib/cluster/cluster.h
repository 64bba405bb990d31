/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: the job of one call, its result, and the steps of the methods. */
#ifndef IMS_CLUSTER_H
#define IMS_CLUSTER_H

#include <imgsim/cluster.h>

#include "core/progress.h"
#include "core/status.h"
#include "core/threads.h"

#include <stdbool.h>

#define IMS_CLUSTER_DIMENSION_MAX 65536
#define IMS_NOISE (-1)

struct imgsim_clusters {
    size_t row_count;
    uint32_t dimension;
    int32_t method;
    int32_t metric;
    uint32_t threads;
    size_t count;
    size_t noise_count;
    int32_t *labels;      /* row_count */
    uint64_t *sizes;      /* count */
    int64_t *medoids;     /* count */
    float *probabilities; /* row_count, or NULL */
    float *means;         /* count x dimension, or NULL */
    double inertia;
    uint32_t iterations;
    double eps;
    size_t leaf_count;
    double *tree;    /* (leaf_count - 1) x 4, or NULL */
    int32_t *leaves; /* row_count, or NULL */
};

/* One call: rows (scaled already where the metric wants it), settings, threads, and the result that is being made. */
struct ims_cluster_job {
    const float *rows;
    size_t n;
    size_t d;
    imgsim_cluster_options options;
    struct ims_pool *pool;
    struct ims_meter *meter;
    imgsim_clusters *out;
};

/*
 * Call task for items 0 to count - 1 on the job's pool, with the host asked every now and then whether to stop. The phase's
 * counter rises by `weight` per item.
 */
imgsim_status ims_cluster_run(
    const struct ims_cluster_job *job,
    size_t count,
    uint64_t weight,
    ims_task task,
    void *context);

/* INVALID_ARGUMENT naming the first NaN, infinity or value too large to be squared. */
imgsim_status ims_cluster_check_values(const float *rows, size_t n, size_t d);

/*
 * Copy of rows scaled to length 1; NULL if they have that length already. Release with ims_free_aligned().
 */
imgsim_status ims_unit_rows(const float *rows, size_t n, size_t d, float **out_copy);

/* ---- the methods: each fills labels and what is its own in job->out; numbering, sizes and medoids come after ---- */

imgsim_status ims_kmeans(const struct ims_cluster_job *job);
imgsim_status ims_dbscan(const struct ims_cluster_job *job);
imgsim_status ims_hdbscan(const struct ims_cluster_job *job);
imgsim_status ims_agglomerative(const struct ims_cluster_job *job);

/* ---- numbering (partition.c) ---- */

/*
 * Number clusters by falling size, equal sizes by first row. `labels` are any numbers from 0 to bound - 1, or -1; out_count is
 * how many occur. out_order, if not NULL, gets the old number of each new one (room for `bound`).
 */
imgsim_status
ims_renumber(int32_t *labels, size_t n, size_t bound, size_t *out_count, int32_t *out_order);

/* Sizes, noise and medoids of the numbered labels. */
imgsim_status ims_describe(const struct ims_cluster_job *job);

/* ---- k-means ---- */

/* Draw k rows as seeds by greedy k-means++; the same on every instruction set. */
imgsim_status
ims_kmeans_seed(const struct ims_cluster_job *job, size_t k, uint64_t seed, int64_t *out_rows);

/*
 * k-means of the job's rows: labels and means (k x d), both given; empty clusters are left where rows are too few. `means` holds
 * the seeds.
 */
imgsim_status ims_lloyd(
    const struct ims_cluster_job *job,
    size_t k,
    float *means,
    int32_t *labels,
    uint32_t *out_iterations);

/* Sum of squared distances of the rows to their means, in double precision and a fixed order. */
imgsim_status ims_inertia(
    const struct ims_cluster_job *job,
    const float *means,
    const int32_t *labels,
    double *out);

/* ---- trees ---- */

/* An edge of a spanning tree; ordered by (weight, a, b), a < b, so that the tree is unique. */
struct ims_edge {
    double weight; /* squared distance */
    int32_t a, b;
};

static inline bool ims_edge_less(const struct ims_edge *x, const struct ims_edge *y)
{
    if (x->weight != y->weight)
        return x->weight < y->weight;
    return x->a != y->a ? x->a < y->a : x->b < y->b;
}

/*
 * Minimum spanning tree of all rows by mutual reachability: the greatest of the squared distance and both core distances, which
 * are those to the min_samples-th row, the row itself counted (1: plain distances). Exact: n - 1 edges, sorted.
 * `out_core` (n squared core distances) may be NULL.
 */
imgsim_status ims_spanning_tree(
    const struct ims_cluster_job *job,
    uint32_t min_samples,
    struct ims_edge *out_edges,
    double *out_core);

/* Sort edges by weight; those of equal weight keep their order. */
imgsim_status ims_sort_edges(struct ims_edge *edges, size_t count);

/* Sorted edges as a tree in SciPy's form; heights are the square roots of the weights. `out` has (n - 1) x 4. */
imgsim_status ims_tree_of_edges(const struct ims_edge *edges, size_t n, double *out);

/* Label the leaves of a tree after all joins but the last k - 1 (k > 0), or those up to `height`; labels are 0 to count - 1. */
imgsim_status ims_cut_tree(
    const double *tree,
    size_t leaf_count,
    size_t k,
    double height,
    int32_t *out_labels,
    size_t *out_count);

/* Ward's tree of weighted points (count x d). `out` has (count - 1) x 4; column 3 counts points, not weights. */
imgsim_status ims_ward(
    const struct ims_cluster_job *job,
    const float *points,
    const double *weights,
    size_t count,
    double *out);

/* Sort joins made in any order by height and number them as SciPy does. `first` is the leaf under which a side is found. */
struct ims_join {
    double height;
    int32_t a, b; /* any leaf of either side */
};
imgsim_status ims_tree_of_joins(struct ims_join *joins, size_t leaf_count, double *out);

/* A margin for rounding of float sums of d terms, relative to the sum of the terms' magnitudes. */
double ims_float_margin(size_t d);

#endif
