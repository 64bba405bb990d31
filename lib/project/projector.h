/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a projector: the sums of the fit and the trained model. */
#ifndef IMS_PROJECT_PROJECTOR_H
#define IMS_PROJECT_PROJECTOR_H

#include <imgsim/projector.h>

#include "core/status.h"
#include "core/threads.h"

#include <stdbool.h>

#define IMS_PROJECTOR_DIMENSION_MAX 65536

/* Sums over the rows added so far, each row less `shift`; zeroed until the first row. */
struct ims_pca_sums {
    /*
     * d x d. Strictly above the diagonal: sums of products. Diagonal and below: work space of the
     * training, so that the eigendecomposition needs no second matrix.
     */
    double *products;
    double *squares; /* d sums of squares: the diagonal */
    double *totals;  /* d column sums */
    float *shift;    /* d, near the mean: the mean of the first panel */
    float *panel;    /* rows not yet in the sums, panel_capacity x d */
    size_t panel_count;
    size_t panel_capacity;
    double *slice_totals; /* work space: d per slice of a panel */
    float *scratch;       /* work space: one block of products per thread */
    bool shifted;         /* shift is known */
    uint64_t row_count;
};

/* A trained model; axes is NULL before training. */
struct ims_pca_model {
    double *mean;
    float *mean_rounded;
    float *axes;       /* m x d */
    double *variances; /* m */
    float *scales;     /* m: what whitening multiplies with */
    double total_variance;
    uint64_t row_count;
    char fingerprint[33];
};

struct imgsim_projector {
    uint32_t input_dimension;  /* d */
    uint32_t output_dimension; /* m */
    double whiten;
    int32_t normalize;
    uint32_t threads;
    bool loaded; /* from a file, which has no sums */
    struct ims_pool *pool;
    struct ims_pca_sums sums;
    struct ims_pca_model model;
};

/* Room for a model of this projector's dimensions, all zero. */
imgsim_status ims_pca_model_init(const imgsim_projector *projector, struct ims_pca_model *model);
/* Fill in what follows from mean, axes and variances: rounded mean, scales, fingerprint. */
imgsim_status ims_pca_model_finish(const imgsim_projector *projector, struct ims_pca_model *model);
void ims_pca_model_clear(struct ims_pca_model *model);
void ims_pca_sums_clear(struct ims_pca_sums *sums);

/* INVALID_ARGUMENT naming row (counted from first_row) and column of the first NaN or infinity. */
imgsim_status
ims_check_finite(const float *rows, size_t row_count, size_t columns, size_t first_row);

#endif
