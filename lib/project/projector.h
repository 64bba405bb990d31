/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a projector: the sums of the fit, the trained model, and the ways to fit one on rows at hand. */
#ifndef IMS_PROJECT_PROJECTOR_H
#define IMS_PROJECT_PROJECTOR_H

#include <imgsim/projector.h>

#include "core/progress.h"
#include "core/rng.h"
#include "core/status.h"
#include "core/threads.h"

#include <stdbool.h>

#define IMS_PROJECTOR_DIMENSION_MAX 65536
#define IMS_LANDMARKS_MAX 16384
#define IMS_DEGREE_MAX 16

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

/*
 * A trained model; axes is NULL before training. With a kernel it is a model of rows k(x, landmarks), so that `columns` is the number
 * of landmarks, else the input dimension.
 */
struct ims_pca_model {
    size_t columns;
    double *mean; /* columns */
    float *mean_rounded;
    float *axes;             /* m x columns */
    float *landmarks;        /* columns x d, or NULL */
    float *landmark_factors; /* columns: 1 / length, for the cosine; or NULL */
    double gamma;            /* of the kernel, found if it was not given */
    double *variances;       /* m */
    float *scales;           /* m: what whitening multiplies with */
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
    imgsim_projector_options settings; /* method, kernel and what belongs to them */
    bool loaded;                       /* from a file, or fitted in a way that has no sums */
    struct ims_pool *pool;
    struct ims_pca_sums sums;
    struct ims_pca_model model;
};

/* Rows at hand: row i is rows[i], or rows[ids[i]]. */
struct ims_rows {
    const float *rows;
    const int64_t *ids; /* NULL: all */
    size_t count;
    size_t d;
};

static inline const float *ims_row(const struct ims_rows *rows, size_t i)
{
    return rows->rows + (rows->ids != NULL ? (size_t)rows->ids[i] : i) * rows->d;
}

/* Room for a model of this projector's dimensions and landmarks, all zero. */
imgsim_status ims_pca_model_init(const imgsim_projector *projector, struct ims_pca_model *model);
/* Fill in what follows from mean, axes and variances: rounded mean, scales, fingerprint. */
imgsim_status ims_pca_model_finish(const imgsim_projector *projector, struct ims_pca_model *model);
void ims_pca_model_clear(struct ims_pca_model *model);
void ims_pca_sums_clear(struct ims_pca_sums *sums);

/* INVALID_ARGUMENT naming row (counted from first_row) and column of the first NaN or infinity. */
imgsim_status
ims_check_finite(const float *rows, size_t row_count, size_t columns, size_t first_row);

/*
 * `count` of the numbers below `total`, each at most once, rising. NULL when out of memory. Algorithm S of Knuth, The Art of Computer
 * Programming 2, 3.4.2.
 */
int64_t *ims_draw_rows(struct ims_rng *rng, size_t total, size_t count);

/* imgsim_projector_fit() with progress: phase "fit"; meter may be NULL. */
imgsim_status ims_projector_fit_rows(
    imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_meter *meter,
    imgsim_pca_report *report);

/* The pool of a projector, made if there is none. */
imgsim_status ims_projector_pool(imgsim_projector *projector);
/* Let the sums be those of the rows as they are, without a shift. Before any row is added. */
imgsim_status ims_projector_begin_raw(imgsim_projector *projector);
/*
 * Of such sums: whether all eigenvalues of the matrix of sums, d x d, are below `limit`, by Cholesky's factorisation of limit I less
 * the matrix. May be asked again and again.
 */
bool ims_projector_is_below(imgsim_projector *projector, double limit);

/* ---- randomised.c, certificate.c ---- */

/* What a fit tried: an orthonormal basis and its image under the covariance C. */
struct ims_krylov {
    const struct ims_rows *rows;
    const int64_t *numbers; /* what messages call the rows; NULL: as they are counted */
    size_t capacity;        /* vectors that fit */
    size_t count;           /* vectors there are: p */
    size_t first_block;     /* vectors of the first block */
    float *basis;           /* p x d */
    float *image;           /* p x d: row i is C basis[i] */
    float *shift;           /* d, near the mean; sums are of rows less this */
    double *totals;         /* d: sums of columns */
    double squares;         /* sum of squared lengths */
    float *
        left; /* rows: at least the squared length of what the basis leaves of each; NULL if not wanted */
    double *values;   /* Ritz values, falling: p */
    float *vectors;   /* Ritz vectors: p x d */
    float *residuals; /* C vectors[i] - values[i] vectors[i]: p x d */
};

/* What the largest variance outside of the space is expected to be at most: what the first block could not hold, and some more. */
double ims_expected_outside(const struct ims_krylov *krylov);
/* Whether the method makes sense for this shape at all, and for AUTO whether it is worth while. */
bool ims_randomised_suits(const imgsim_projector *projector, size_t row_count);
/* Sets *out_done if the model could be certified. */
imgsim_status ims_randomised_fit(
    imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_meter *meter,
    struct ims_pca_model *model,
    imgsim_pca_report *report,
    bool *out_done);
/*
 * Prove that the first k Ritz values are the k largest variances but for a relative error, which it puts into the report together with
 * the other bounds. An error of infinity says that nothing was proved.
 */
imgsim_status ims_certify(
    const imgsim_projector *projector,
    const struct ims_krylov *krylov,
    struct ims_rng *rng,
    imgsim_pca_report *report);

/* ---- kernel.c, kernel_fit.c ---- */

/* out[i] = k(row, landmark i). A row of NaN or infinite kernel values: the caller looks. */
void ims_kernel_row(
    const imgsim_projector *projector,
    const struct ims_pca_model *model,
    const float *row,
    double *out);
/* Rows that the kernel cannot take: INVALID_ARGUMENT naming row and column. */
imgsim_status ims_kernel_check(
    const imgsim_projector *projector,
    const float *rows,
    size_t row_count,
    size_t first_row);
/* What follows from the landmarks: factors of the cosine. */
void ims_kernel_finish(const imgsim_projector *projector, struct ims_pca_model *model);
imgsim_status ims_kernel_fit(
    imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_meter *meter,
    struct ims_pca_model *model);

#endif
