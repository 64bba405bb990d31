/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of Lloyd's algorithm: what is known of each row and each mean, and the bounds made of it. */
#ifndef IMS_CLUSTER_LLOYD_H
#define IMS_CLUSTER_LLOYD_H

#include "cluster/cluster.h"

/* Means whose bounds a row keeps one by one; the others share one bound. */
#define IMS_LLOYD_SLOTS 24

/*
 * Where a vector lies: its part in the span of a few orthonormal axes, and the length of the rest, known to +-width. For any two,
 *   |x - y|^2 >= |Px - Py|^2 + (|rest x| - |rest y|)^2,
 * the triangle inequality in what the axes leave out.
 */
struct ims_places {
    float *inside; /* count x q */
    float *inside_square;
    float *rest;
    float *width;
    float *square; /* of the whole, for margins */
};

struct ims_lloyd {
    const struct ims_cluster_job *job;
    size_t k;
    size_t q;      /* axes */
    float *axes;   /* q x d, orthonormal; NULL: the values themselves, q = d */
    float *shift;  /* d: taken off before the axes */
    float margin;  /* rounding of a product of d terms, relative to the squares */
    double spread; /* mean variance of the columns */
    struct ims_places rows;
    struct ims_places centres;
    float *means; /* k x d, borrowed */
    double *sums; /* k x d */
    uint64_t *counts;
    float *moves; /* k: how far each mean went, rounded up */
    float move_most;
    double move_squares;
    int32_t *labels; /* n, borrowed */
    int32_t *before; /* n: labels of the round before */
    float *upper;    /* n: distance to the own mean at most */
    float *far;      /* n: distance at least to every mean that has no slot */
    uint32_t *slots; /* n x IMS_LLOYD_SLOTS means */
    float *lower;    /* n x IMS_LLOYD_SLOTS: distance at least */
    uint8_t *slot_counts;
    uint8_t *rescan; /* n: bounds do not settle it */
    int32_t *list;   /* n: work space */
    float *scratch;
    size_t scratch_size; /* floats per worker */
};

imgsim_status ims_lloyd_open(
    struct ims_lloyd *l,
    const struct ims_cluster_job *job,
    size_t k,
    float *means,
    int32_t *labels);
void ims_lloyd_close(struct ims_lloyd *l);
/* Places of the means, after they have moved. */
void ims_lloyd_place_means(struct ims_lloyd *l);
/* Put every row to its nearest mean; labels of before go to `before`. */
imgsim_status ims_lloyd_assign(struct ims_lloyd *l);
/* The places of vectors (count x d). `work` has count x d floats. */
void ims_lloyd_place(
    const struct ims_lloyd *l,
    const float *vectors,
    size_t count,
    float *work,
    const struct ims_places *out);

#endif
