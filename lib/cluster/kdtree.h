/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balanced k-d tree over rows of a few values (Bentley, CACM 18(9), 1975): node h has the children 2h and 2h + 1, and node p of
 * level l the rows from n p / 2^l to n (p + 1) / 2^l in the tree's order. Boxes around the rows bound distances.
 */
#ifndef IMS_CLUSTER_KDTREE_H
#define IMS_CLUSTER_KDTREE_H

#include "cluster/cluster.h"

/* Rows with more values than this gain nothing from a tree. */
#define IMS_KDTREE_DIMENSION_MAX 8
#define IMS_KDTREE_DEPTH_MAX 40

struct ims_kdtree {
    size_t n, d;
    unsigned depth;  /* levels above the leaves */
    float *values;   /* n x d, in the tree's order */
    int32_t *rows;   /* row number of each place in the tree's order */
    int32_t *places; /* the reverse */
    float *boxes;    /* per node: d least, d greatest values */
};

imgsim_status ims_kdtree_new(const struct ims_cluster_job *job, struct ims_kdtree **out_tree);
void ims_kdtree_free(struct ims_kdtree *tree);

static inline size_t ims_kdtree_first(const struct ims_kdtree *tree, size_t node, unsigned level)
{
    return (size_t)((uint64_t)tree->n * (node - ((size_t)1 << level)) >> level);
}

static inline size_t ims_kdtree_end(const struct ims_kdtree *tree, size_t node, unsigned level)
{
    return (size_t)((uint64_t)tree->n * (node - ((size_t)1 << level) + 1) >> level);
}

static inline double ims_kdtree_square(const float *a, const float *b, size_t d)
{
    double square = 0;

    for (size_t j = 0; j < d; j++) {
        const double difference = (double)a[j] - b[j];

        square += difference * difference;
    }
    return square;
}

/* Squared distance of a point to a node's box. Never above that to a row in it: the same roundings, of smaller numbers. */
static inline double
ims_kdtree_box_square(const struct ims_kdtree *tree, size_t node, const float *point)
{
    const float *least = tree->boxes + node * 2 * tree->d, *most = least + tree->d;
    double square = 0;

    for (size_t j = 0; j < tree->d; j++) {
        const double below = (double)least[j] - point[j], above = (double)point[j] - most[j];
        const double gap = below > 0 ? below : above > 0 ? above : 0;

        square += gap * gap;
    }
    return square;
}

/*
 * The k nearest rows of every row, itself counted, in order of (squared distance, row). Row i's are at i * k.
 */
imgsim_status ims_nearest_by_kdtree(
    const struct ims_kdtree *tree,
    const struct ims_cluster_job *job,
    size_t k,
    int32_t *out_rows,
    double *out_squares);

#endif
