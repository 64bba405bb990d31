/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How good Ritz values and vectors are, proved. docs/pca.md has the derivation.
 *
 * What can be wrong is bounded by two things. The residuals R of the space, which are known; and the largest variance along any
 * direction outside of it, which rows drawn anew bound with a known probability of failure: a direction of large variance has to show
 * in them. Rows are drawn in proportion to what the space leaves of their squared lengths, so that no row can hide one, by Chernoff's
 * bound for sums of independent bounded terms (Chernoff, Ann. Math. Statist. 23, 1952; Hoeffding, JASA 58, 1963, for the form used).
 */
#include "project/projector.h"

#include "core/memory.h"
#include "linalg/linalg.h"

#include <math.h>
#include <string.h>

#define FAILURE 1e-9
/* Shares of the k-th variance that are tried as a limit of the drawn rows' matrix. */
static const double limits[] = {0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
#define LIMIT_COUNT (sizeof(limits) / sizeof(limits[0]))
#define DRAWN_MIN 2048
#define CHUNK_ROWS ((size_t)512)

/* ---- drawing rows ---- */

static double left_of(const struct ims_krylov *krylov, size_t i)
{
    return krylov->left[i] > 0.0f ? krylov->left[i] : 0.0;
}

static double sum_left(const struct ims_krylov *krylov)
{
    double sum = 0.0;

    for (size_t i = 0; i < krylov->rows->count; i++)
        sum += left_of(krylov, i);
    return sum;
}

/*
 * `count` numbers of rows, rising, each drawn with probability left / sum and put back: uniform spacings, which come in order
 * (Devroye, Non-Uniform Random Variate Generation, 1986, V.3).
 */
static imgsim_status draw_by_left(
    const struct ims_krylov *krylov,
    struct ims_rng *rng,
    double sum,
    size_t count,
    int64_t *out)
{
    double *points = ims_alloc_array(count + 1, sizeof(double));
    double total = 0.0, reached;
    size_t row = 0;

    if (points == NULL)
        return ims_fail_memory((count + 1) * sizeof(double));
    for (size_t i = 0; i <= count; i++)
        points[i] = total += -log(1.0 - ims_rng_double(rng));
    reached = left_of(krylov, 0);
    for (size_t i = 0; i < count; i++) {
        while (points[i] / total * sum > reached && row + 1 < krylov->rows->count)
            reached += left_of(krylov, ++row);
        out[i] = (int64_t)row;
    }
    ims_free(points);
    return IMGSIM_OK;
}

/* ---- their matrix ---- */

/* What is outside of the space of a chunk of drawn rows, scaled so that the sum of products estimates the covariance there. */
static void fill_chunk(
    const struct ims_krylov *krylov,
    const int64_t *drawn,
    size_t count,
    double scale,
    float *out,
    float *work)
{
    const size_t d = krylov->rows->d, p = krylov->count;
    float *along = work, *inside = work + p * CHUNK_ROWS;

    for (size_t i = 0; i < count; i++) {
        const float *row = ims_row(krylov->rows, (size_t)drawn[i]);

        for (size_t c = 0; c < d; c++)
            out[i * d + c] = row[c] - krylov->shift[c];
    }
    ims_gemm_nt(p, count, d, krylov->basis, d, out, d, along, count);
    ims_gemm_tn(count, d, p, along, count, krylov->basis, d, inside, d);
    for (size_t i = 0; i < count; i++) {
        const double left = left_of(krylov, (size_t)drawn[i]);
        const float factor = left > 0.0 ? (float)sqrt(scale / left) : 0.0f;

        for (size_t c = 0; c < d; c++)
            out[i * d + c] = (out[i * d + c] - inside[i * d + c]) * factor;
    }
}

static imgsim_status sum_drawn(
    const struct ims_krylov *krylov,
    const int64_t *drawn,
    size_t count,
    double scale,
    imgsim_projector *sums)
{
    const size_t d = krylov->rows->d;
    float *chunk = ims_alloc_array(CHUNK_ROWS * d, sizeof(float));
    float *work = ims_alloc_array(CHUNK_ROWS * (krylov->count + d), sizeof(float));
    imgsim_status status;

    if (chunk == NULL || work == NULL) {
        status = ims_fail_memory(CHUNK_ROWS * (krylov->count + 2 * d) * sizeof(float));
        goto done;
    }
    status = ims_projector_begin_raw(sums);
    for (size_t first = 0; first < count && status == IMGSIM_OK; first += CHUNK_ROWS) {
        const size_t rows = count - first < CHUNK_ROWS ? count - first : CHUNK_ROWS;

        fill_chunk(krylov, drawn + first, rows, scale, chunk, work);
        status = imgsim_projector_add(sums, chunk, rows);
    }

done:
    ims_free(chunk);
    ims_free(work);
    return status;
}

/* ---- the largest variance outside ---- */

/* ln of how improbable it is that `count` terms of mean `mean`, none above `most`, have an average of at most `limit` < mean. */
static double chernoff(double count, double mean, double most, double limit)
{
    return count / most * (mean - limit + limit * log(limit / mean));
}

/* The smallest mean that an average of at most `limit` leaves possible. */
static double largest_mean(double count, double most, double limit)
{
    const double wanted = log((double)LIMIT_COUNT / FAILURE);
    double low = limit, high = 2.0 * limit;

    while (chernoff(count, high, most, limit) < wanted)
        high *= 2.0;
    for (int round = 0; round < 60; round++) {
        const double middle = 0.5 * (low + high);

        if (chernoff(count, middle, most, limit) < wanted)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/*
 * So many rows that the bound will be below the k-th variance, three quarters of the way from what is expected of them, or 0: too many.
 * Outside lies what the first block could not hold, so its last variance is what is expected.
 */
static size_t rows_to_draw(const struct ims_krylov *krylov, size_t k, double most)
{
    const double last = krylov->values[k - 1];
    const double limit = fmin(fmax(ims_expected_outside(krylov), 0.1 * last), 0.85 * last);
    const double count =
        log((double)LIMIT_COUNT / FAILURE) / chernoff(1.0, 0.25 * limit + 0.75 * last, most, limit);

    if (!(count <= (double)krylov->rows->count / 2))
        return 0;
    return count > DRAWN_MIN ? (size_t)count + 1 : DRAWN_MIN;
}

/* A bound on the variance outside of the space, infinity if none below the k-th variance was found. */
static imgsim_status bound_outside(
    const struct ims_krylov *krylov,
    size_t k,
    uint32_t threads,
    struct ims_rng *rng,
    double *out_bound)
{
    const double n = (double)krylov->rows->count, sum = sum_left(krylov), most = sum / (n - 1.0);
    const double last = krylov->values[k - 1];
    const size_t count = last > 0.0 ? rows_to_draw(krylov, k, most) : 0;
    imgsim_projector_options options;
    imgsim_projector *sums = NULL;
    int64_t *drawn = NULL;
    imgsim_status status;

    *out_bound = INFINITY;
    if (count == 0)
        return IMGSIM_OK;
    if ((drawn = ims_alloc_array(count, sizeof(int64_t))) == NULL)
        return ims_fail_memory(count * sizeof(int64_t));
    (void)imgsim_projector_options_init(&options, sizeof(options));
    options.threads = threads;
    if ((status = imgsim_projector_new((uint32_t)krylov->rows->d, 1, &options, &sums)) !=
            IMGSIM_OK ||
        (status = draw_by_left(krylov, rng, sum, count, drawn)) != IMGSIM_OK ||
        (status = sum_drawn(krylov, drawn, count, most / (double)count, sums)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < LIMIT_COUNT; i++)
        if (ims_projector_is_below(sums, limits[i] * last)) {
            *out_bound = largest_mean((double)count, most, limits[i] * last);
            break;
        }

done:
    ims_free(drawn);
    imgsim_projector_free(sums);
    return status;
}

/* ---- the bounds ---- */

/*
 * The `count` largest eigenvalues of diag(values) + R R^T / room. With the variance outside at most b, C is at most
 * diag(values + R R^T / room, b + room) in a basis of the space and the rest, for any room > 0, so these are upper bounds of
 * variances where they exceed b + room.
 */
static imgsim_status upper_bounds(
    const struct ims_krylov *krylov,
    const float *products,
    double room,
    size_t count,
    double *work,
    double *out)
{
    const size_t p = krylov->count;

    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j <= i; j++)
            work[i * p + j] = products[i * p + j] / room + (i == j ? krylov->values[i] : 0.0);
    return ims_eigen_symmetric(work, p, count, out, work + p * p);
}

static void fill_report(
    const struct ims_krylov *krylov,
    size_t k,
    const float *products,
    const double *bounds,
    imgsim_pca_report *report)
{
    const size_t p = krylov->count;

    report->variance_error = 0.0;
    report->residual = 0.0;
    for (size_t i = 0; i < k; i++) {
        const double value = krylov->values[i];

        report->variance_error = fmax(report->variance_error, (bounds[i] - value) / value);
        report->residual = fmax(report->residual, sqrt(products[i * p + i]) / value);
    }
    report->failure = FAILURE;
}

/* Davis & Kahan, SIAM J. Numer. Anal. 7(1), 1970: sine <= |R| / gap, gap from the last value to what else there is. */
static imgsim_status bound_angle(
    const struct ims_krylov *krylov,
    size_t k,
    const float *products,
    double *work,
    double *bounds,
    imgsim_pca_report *report)
{
    const double last = krylov->values[k - 1], outside = report->missed_variance;
    const double room = 0.5 * (last - outside);
    double square = 0.0, other;
    imgsim_status status;

    if ((status = upper_bounds(krylov, products, room, k + 1, work, bounds)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < k; i++)
        square += products[i * krylov->count + i];
    other = fmax(bounds[k], outside + room);
    report->angle = last > other ? fmin(1.0, sqrt(square) / (last - other)) : 1.0;
    return IMGSIM_OK;
}

imgsim_status ims_certify(
    const imgsim_projector *projector,
    const struct ims_krylov *krylov,
    struct ims_rng *rng,
    imgsim_pca_report *report)
{
    const size_t p = krylov->count, d = krylov->rows->d, k = projector->output_dimension;
    float *products = ims_alloc_array(p * p, sizeof(float));
    double *work = ims_alloc_array(2 * p * p, sizeof(double));
    double *bounds = ims_alloc_array(p, sizeof(double));
    imgsim_status status;
    double room;

    report->variance_error = INFINITY;
    report->angle = 1.0;
    if (products == NULL || work == NULL || bounds == NULL) {
        status = ims_fail_memory(2 * p * p * sizeof(double));
        goto done;
    }
    if ((status = bound_outside(krylov, k, projector->threads, rng, &report->missed_variance)) !=
        IMGSIM_OK)
        goto done;
    room = krylov->values[k - 1] - report->missed_variance;
    if (!(room > 0.0))
        goto done;
    ims_gemm_nt(p, p, d, krylov->residuals, d, krylov->residuals, d, products, p);
    if ((status = upper_bounds(krylov, products, room, k, work, bounds)) != IMGSIM_OK)
        goto done;
    fill_report(krylov, k, products, bounds, report);
    status = bound_angle(krylov, k, products, work, bounds, report);

done:
    ims_free(products);
    ims_free(work);
    ims_free(bounds);
    return status;
}
