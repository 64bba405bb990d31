/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mean, axes, steps and widths of the planes, from a sample of the rows.
 *
 * The axes are the leading principal ones, by subspace iteration with a Rayleigh-Ritz step at the end (Golub & Van Loan, Matrix
 * Computations, 8.2.4; Halko, Martinsson & Tropp, SIAM Review 53(2), 2011, algorithm 4.4). They need not be exact: bounds hold
 * for any W, and only their sharpness depends on it.
 */
#include "index/planes.h"

#include "core/memory.h"
#include "core/rng.h"
#include "linalg/linalg.h"
#include "simd/reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define SAMPLE_ROWS 16384
#define SAMPLE_BYTES ((size_t)192 << 20)
#define ITERATIONS 3
#define MORE_AXES 24
#define AXES_MAX 488
/* Share of the variance that may be left after this many axes for planes of axes to pay; else all values are kept. */
#define COMPACT_AXES 256
#define COMPACT_LEFT 0.36
/* Axes are added until this share is left. */
#define ENOUGH_LEFT 0.04
/* The first plane is as narrow as leaves no more than this. */
#define FIRST_LEFT 0.40
#define FIRST_MIN 64
#define FIRST_MAX 256
/* A step covers this much more than the sample's largest value. */
#define STEP_ROOM 1.5
#define CODE_MAX 127
/* Rows far from this size come near the limits of floats. */
#define TYPICAL_MIN 1e-9
#define TYPICAL_MAX 1e9

bool ims_metric_has_planes(int32_t metric)
{
    return metric == IMGSIM_METRIC_COSINE || metric == IMGSIM_METRIC_ANGULAR ||
           metric == IMGSIM_METRIC_INNER_PRODUCT || metric == IMGSIM_METRIC_L2 ||
           metric == IMGSIM_METRIC_MAHALANOBIS;
}

void ims_planes_free(struct ims_planes *planes)
{
    if (planes == NULL)
        return;
    if (planes->owned) {
        ims_free(planes->mean);
        ims_free_aligned(planes->rotation);
        ims_free(planes->steps);
        for (uint32_t i = 0; i < planes->count; i++)
            ims_free_aligned(planes->planes[i].data);
    }
    ims_free(planes);
}

size_t ims_planes_row_size(const struct ims_planes *planes)
{
    size_t size = 0;

    for (uint32_t i = 0; i < planes->count; i++)
        size += planes->planes[i].record;
    return size;
}

void ims_planes_centre(
    const imgsim_index *index,
    const struct ims_planes *planes,
    uint32_t slot,
    float *out)
{
    const float *row = ims_rows_at(&index->rows, slot);
    const uint32_t dimension = index->dimension;

    if (index->metric == IMGSIM_METRIC_COSINE || index->metric == IMGSIM_METRIC_ANGULAR) {
        const double squared = index->rows.sums[slot].squared;
        const double scale = squared > 0 ? 1 / sqrt(squared) : 0;

        for (uint32_t i = 0; i < dimension; i++)
            out[i] = (float)((double)row[i] * scale) - planes->mean[i];
    } else {
        for (uint32_t i = 0; i < dimension; i++)
            out[i] = row[i] - planes->mean[i];
    }
}

/* ---- the sample ---- */

struct fit {
    const imgsim_index *index;
    struct ims_planes *planes;
    struct ims_pool *pool;
    uint32_t *slots;
    size_t count;
    float *sample; /* count x dimension, less the mean */
    double *sums;  /* of a block of rows: block x dimension, for the mean */
    double total;  /* variance of all axes */
    double *left;  /* after the first i axes, as a share */
    size_t found;  /* axes of the rotation */
};

#define FIT_BLOCK 256

static imgsim_status choose_sample(struct fit *fit)
{
    const struct ims_rows *rows = &fit->index->rows;
    size_t most = SAMPLE_BYTES / (fit->index->dimension * sizeof(float));
    size_t step, live = 0;

    most = most < SAMPLE_ROWS ? most : SAMPLE_ROWS;
    most = most < 1024 ? 1024 : most;
    step = (rows->live_count + most - 1) / most;
    fit->slots = ims_alloc_array(most + 1, sizeof(*fit->slots));
    if (fit->slots == NULL)
        return ims_fail_memory(most * sizeof(*fit->slots));
    for (size_t slot = 0; slot < rows->slot_count && fit->count < most; slot++)
        if (ims_rows_id(rows, (uint32_t)slot) >= 0 && live++ % step == 0)
            fit->slots[fit->count++] = (uint32_t)slot;
    if ((fit->sample = ims_alloc_aligned(fit->count * fit->index->dimension * sizeof(float))) ==
        NULL)
        return ims_fail_memory(fit->count * fit->index->dimension * sizeof(float));
    return IMGSIM_OK;
}

static imgsim_status centre_block(void *context, size_t item, uint32_t worker)
{
    struct fit *fit = context;
    const size_t dimension = fit->index->dimension;
    const size_t end = (item + 1) * FIT_BLOCK < fit->count ? (item + 1) * FIT_BLOCK : fit->count;

    (void)worker;
    for (size_t i = item * FIT_BLOCK; i < end; i++)
        ims_planes_centre(fit->index, fit->planes, fit->slots[i], fit->sample + i * dimension);
    return IMGSIM_OK;
}

/* The sample's rows, less their mean. */
static imgsim_status take_sample(struct fit *fit)
{
    const size_t dimension = fit->index->dimension;
    const size_t blocks = (fit->count + FIT_BLOCK - 1) / FIT_BLOCK;
    imgsim_status status;
    double *mean = ims_calloc(dimension, sizeof(*mean));

    if (mean == NULL)
        return ims_fail_memory(dimension * sizeof(*mean));
    memset(fit->planes->mean, 0, dimension * sizeof(float));
    if ((status = ims_pool_run(fit->pool, blocks, centre_block, fit)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < fit->count; i++)
        for (size_t j = 0; j < dimension; j++)
            mean[j] += fit->sample[i * dimension + j];
    for (size_t j = 0; j < dimension; j++)
        fit->planes->mean[j] = (float)(mean[j] / (double)fit->count);
    for (size_t i = 0; i < fit->count; i++)
        for (size_t j = 0; j < dimension; j++)
            fit->sample[i * dimension + j] -= fit->planes->mean[j];
    for (size_t i = 0; i < fit->count; i++) {
        const float *row = fit->sample + i * dimension;

        fit->total += ims_exact_dot(row, row, dimension) / (double)fit->count;
    }

done:
    ims_free(mean);
    return status;
}

/* ---- principal axes ---- */

/* One step of the iteration: basis (axes x d) becomes an orthonormal basis of X^T X basis. */
static imgsim_status improve(struct fit *fit, float *basis, size_t axes, float *products)
{
    const size_t dimension = fit->index->dimension;

    ims_gemm_nt(
        fit->count, axes, dimension, fit->sample, dimension, basis, dimension, products, axes);
    ims_gemm_tn(
        axes, dimension, fit->count, products, axes, fit->sample, dimension, basis, dimension);
    return ims_orthonormalize(basis, axes, dimension);
}

/* Turn the basis so that its vectors are the principal axes within it; variances in falling order. */
static imgsim_status
turn(struct fit *fit, float *basis, size_t axes, size_t kept, float *products, double *variances)
{
    const size_t dimension = fit->index->dimension;
    imgsim_status status = IMGSIM_OK;
    float *gram = ims_alloc_array(axes, axes * sizeof(float));
    double *matrix = ims_alloc_array(axes, axes * sizeof(double));
    double *vectors = ims_alloc_array(axes, axes * sizeof(double));
    float *turned = ims_alloc_aligned(kept * dimension * sizeof(float));

    if (gram == NULL || matrix == NULL || vectors == NULL || turned == NULL) {
        status = ims_fail_memory(kept * dimension * sizeof(float));
        goto done;
    }
    ims_gemm_nt(
        fit->count, axes, dimension, fit->sample, dimension, basis, dimension, products, axes);
    ims_gemm_tn(axes, axes, fit->count, products, axes, products, axes, gram, axes);
    for (size_t i = 0; i < axes * axes; i++)
        matrix[i] = (double)gram[i] / (double)fit->count;
    if ((status = ims_eigen_symmetric(matrix, axes, kept, variances, vectors)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < kept * axes; i++)
        gram[i] = (float)vectors[i];
    /* (kept x axes) times (axes x dimension) */
    for (size_t i = 0; i < axes; i++)
        for (size_t j = 0; j < kept; j++)
            products[i * kept + j] = gram[j * axes + i];
    ims_gemm_tn(kept, dimension, axes, products, kept, basis, dimension, turned, dimension);
    memcpy(basis, turned, kept * dimension * sizeof(float));
    status = ims_orthonormalize(basis, kept, dimension);

done:
    ims_free(gram);
    ims_free(matrix);
    ims_free(vectors);
    ims_free_aligned(turned);
    return status;
}

static imgsim_status find_axes(struct fit *fit)
{
    const size_t dimension = fit->index->dimension;
    size_t kept = dimension / 4 * 4 < AXES_MAX ? dimension / 4 * 4 : AXES_MAX, axes;
    double *variances = NULL;
    float *basis = NULL, *products = NULL;
    imgsim_status status = IMGSIM_OK;
    struct ims_rng rng;

    kept = kept < fit->count / 4 ? kept : fit->count / 16 * 4;
    axes = kept + MORE_AXES < dimension ? kept + MORE_AXES : dimension;
    axes = axes < fit->count ? axes : fit->count;
    variances = ims_calloc(axes, sizeof(*variances));
    basis = ims_alloc_aligned(axes * dimension * sizeof(float));
    products = ims_alloc_aligned((fit->count > axes ? fit->count : axes) * axes * sizeof(float));
    fit->left = ims_calloc(kept + 1, sizeof(*fit->left));
    if (variances == NULL || basis == NULL || products == NULL || fit->left == NULL) {
        status = ims_fail_memory(axes * dimension * sizeof(float));
        goto done;
    }
    ims_rng_init(&rng, fit->index->seed);
    for (size_t i = 0; i < axes * dimension; i++)
        basis[i] = (float)(ims_rng_double(&rng) - 0.5);
    for (size_t i = 0; i < ITERATIONS && status == IMGSIM_OK; i++)
        status = improve(fit, basis, axes, products);
    if (status != IMGSIM_OK ||
        (status = turn(fit, basis, axes, kept, products, variances)) != IMGSIM_OK)
        goto done;
    fit->left[0] = 1;
    for (size_t i = 0; i < kept; i++)
        fit->left[i + 1] = fit->left[i] - variances[i] / fit->total;
    fit->found = kept;
    fit->planes->rotation = basis;
    basis = NULL;

done:
    ims_free(variances);
    ims_free_aligned(basis);
    ims_free_aligned(products);
    return status;
}

/* ---- widths ---- */

/* Planes of these widths one after another, while they fit into `room` bytes per row. */
static void lay_out(struct ims_planes *planes, const uint32_t *widths, size_t count, size_t room)
{
    for (size_t i = 0; i < count; i++) {
        struct ims_plane *plane = &planes->planes[planes->count];

        plane->start = planes->axes;
        plane->axes = widths[i];
        plane->record = widths[i] + IMS_PLANE_SIDE;
        if (ims_planes_row_size(planes) + plane->record > room)
            break;
        planes->axes += widths[i];
        planes->count++;
    }
}

static uint32_t first_width(const struct fit *fit)
{
    uint32_t width = FIRST_MIN;

    while (width < FIRST_MAX && width * 2 <= fit->found && fit->left[width] > FIRST_LEFT)
        width *= 2;
    return width;
}

/* Choose between axes in several planes and all values in one. */
static void choose_planes(struct fit *fit, size_t room)
{
    struct ims_planes *planes = fit->planes;
    const uint32_t dimension = planes->dimension;
    const size_t half = dimension / 2 < COMPACT_AXES ? dimension / 2 : COMPACT_AXES;
    const size_t compact = fit->found < half ? fit->found : half;
    /* Records after the first plane fill whole cache lines. */
    uint32_t widths[IMS_PLANES_MAX] = {0, 56, 120, 248};
    size_t count = 1;

    if (fit->found >= FIRST_MIN && fit->left[compact] <= COMPACT_LEFT) {
        uint32_t axes = widths[0] = first_width(fit);

        planes->rotated = true;
        while (count < IMS_PLANES_MAX && axes + widths[count] <= fit->found &&
               fit->left[axes] > ENOUGH_LEFT)
            axes += widths[count++];
        lay_out(planes, widths, count, room);
        return;
    }
    widths[0] = (dimension + 3) / 4 * 4;
    lay_out(planes, widths, 1, room);
}

/* Step of each axis from the largest value in the sample; |W W^T - I|. */
static imgsim_status find_steps(struct fit *fit)
{
    struct ims_planes *planes = fit->planes;
    const size_t dimension = planes->dimension, axes = planes->axes;
    float *products = NULL;
    double squares = 0;

    if (planes->rotated) {
        if ((products = ims_alloc_aligned(fit->count * axes * sizeof(float))) == NULL)
            return ims_fail_memory(fit->count * axes * sizeof(float));
        ims_gemm_nt(
            fit->count, axes, dimension, fit->sample, dimension, planes->rotation, dimension,
            products, axes);
    }
    for (size_t axis = 0; axis < axes; axis++) {
        const float *values = planes->rotated ? products : fit->sample;
        const size_t stride = planes->rotated ? axes : dimension;
        float largest = 0;

        for (size_t i = 0; i < fit->count && axis < stride; i++)
            largest = fmaxf(largest, fabsf(values[i * stride + axis]));
        planes->steps[axis] = (float)(largest * STEP_ROOM / CODE_MAX);
        squares += (double)planes->steps[axis] * planes->steps[axis] / 12;
    }
    planes->eta = sqrt(squares) / (0.7 * planes->typical);
    planes->eta = planes->eta < 1e-4 ? 1e-4 : planes->eta > 0.25 ? 0.25 : planes->eta;
    ims_free_aligned(products);
    return IMGSIM_OK;
}

struct delta_work {
    const struct ims_planes *planes;
    double *squares; /* per axis */
};

static imgsim_status delta_row(void *context, size_t axis, uint32_t worker)
{
    const struct delta_work *work = context;
    const struct ims_planes *planes = work->planes;
    const size_t dimension = planes->dimension;

    (void)worker;
    for (size_t other = 0; other <= axis; other++) {
        const double product = ims_exact_dot(
            planes->rotation + axis * dimension, planes->rotation + other * dimension, dimension);
        const double off = product - (axis == other);

        work->squares[axis] += (axis == other ? 1 : 2) * off * off;
    }
    return IMGSIM_OK;
}

/* The Frobenius norm of W W^T - I, rounded up: no less than the spectral norm. */
static imgsim_status find_delta(struct fit *fit)
{
    struct delta_work work = {fit->planes, ims_calloc(fit->planes->axes, sizeof(*work.squares))};
    imgsim_status status;
    double sum = 0;

    if (work.squares == NULL)
        return ims_fail_memory(fit->planes->axes * sizeof(*work.squares));
    status = ims_pool_run(fit->pool, fit->planes->axes, delta_row, &work);
    for (size_t axis = 0; axis < fit->planes->axes; axis++)
        sum += work.squares[axis];
    fit->planes->delta = sqrt(sum) * 1.01 + 1e-12 * fit->planes->axes;
    ims_free(work.squares);
    return status;
}

/* ---- fitting ---- */

static imgsim_status fit_planes(struct fit *fit, size_t room)
{
    struct ims_planes *planes = fit->planes;
    const uint32_t dimension = planes->dimension;
    imgsim_status status;

    if ((planes->mean = ims_alloc_array(dimension, sizeof(float))) == NULL)
        return ims_fail_memory(dimension * sizeof(float));
    if ((status = choose_sample(fit)) != IMGSIM_OK || (status = take_sample(fit)) != IMGSIM_OK)
        return status;
    planes->typical = sqrt(fit->total);
    if (!(planes->typical >= TYPICAL_MIN && planes->typical <= TYPICAL_MAX))
        return IMGSIM_OK; /* no planes */
    if (dimension >= 2 * FIRST_MIN && (status = find_axes(fit)) != IMGSIM_OK)
        return status;
    choose_planes(fit, room);
    if (planes->count == 0)
        return IMGSIM_OK;
    if (!planes->rotated) {
        ims_free_aligned(planes->rotation);
        planes->rotation = NULL;
    }
    if ((planes->steps = ims_calloc(planes->axes, sizeof(float))) == NULL)
        return ims_fail_memory(planes->axes * sizeof(float));
    if ((status = find_steps(fit)) != IMGSIM_OK)
        return status;
    return planes->rotated ? find_delta(fit) : IMGSIM_OK;
}

imgsim_status
ims_planes_fit(const imgsim_index *index, struct ims_pool *pool, struct ims_planes **out_planes)
{
    struct fit fit = {.index = index, .pool = pool, .planes = ims_calloc(1, sizeof(*fit.planes))};
    imgsim_status status;
    size_t room = SIZE_MAX;

    *out_planes = NULL;
    if (fit.planes == NULL)
        return ims_fail_memory(sizeof(*fit.planes));
    if (index->dimension < IMS_PLANES_DIMENSION) {
        ims_planes_free(fit.planes);
        return IMGSIM_OK;
    }
    if (index->max_bytes > 0)
        room = (size_t)(index->max_bytes / index->rows.live_count);
    fit.planes->owned = true;
    fit.planes->dimension = index->dimension;
    fit.planes->fitted = index->rows.live_count;
    status = fit_planes(&fit, room);
    if (status == IMGSIM_OK && fit.planes->steps != NULL) {
        *out_planes = fit.planes;
        fit.planes = NULL;
    }
    ims_planes_free(fit.planes);
    ims_free(fit.slots);
    ims_free_aligned(fit.sample);
    ims_free(fit.left);
    return status;
}
