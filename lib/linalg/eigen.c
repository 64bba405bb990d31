/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eigenvalues and eigenvectors of symmetric matrices, and square roots made from them, by LAPACK.
 */
#include "linalg/linalg.h"

#include "core/memory.h"

#include <assert.h>
#include <lapacke.h>
#include <limits.h>
#include <math.h>
#include <string.h>

/* Relative to the largest entry or eigenvalue: rounding of whoever made the matrix. */
#define ASYMMETRY_MAX 1e-6
#define NEGATIVE_MAX 1e-6

/* Negate a vector whose entry of largest magnitude, the first of equals, is negative. */
static void fix_sign(double *vector, size_t d)
{
    size_t largest = 0;

    for (size_t i = 1; i < d; i++)
        if (fabs(vector[i]) > fabs(vector[largest]))
            largest = i;
    if (vector[largest] < 0.0)
        for (size_t i = 0; i < d; i++)
            vector[i] = -vector[i];
}

/* LAPACK gives rising order, we give falling. */
static void reverse_order(double *values, double *vectors, size_t d, size_t count)
{
    for (size_t i = 0, j = count - 1; i < j; i++, j--) {
        double value = values[i];

        values[i] = values[j];
        values[j] = value;
        for (size_t c = 0; c < d; c++) {
            double entry = vectors[i * d + c];

            vectors[i * d + c] = vectors[j * d + c];
            vectors[j * d + c] = entry;
        }
    }
}

/* Memory of one call of dsyevr. */
struct workspace {
    double *values; /* d of them, also when fewer are wanted */
    double *numbers;
    lapack_int number_count;
    lapack_int *integers;
    lapack_int integer_count;
    lapack_int *support;
};

static void workspace_free(struct workspace *work)
{
    ims_free(work->values);
    ims_free(work->numbers);
    ims_free(work->integers);
    ims_free(work->support);
}

/*
 * One call of LAPACK's dsyevr: our lower triangle by rows is its upper triangle by columns, and its
 * eigenvectors by columns are ours by rows, so nothing has to be transposed.
 */
static lapack_int
call_dsyevr(double *matrix, size_t d, size_t count, struct workspace *work, double *out_vectors)
{
    const lapack_int n = (lapack_int)d;
    const lapack_int first = (lapack_int)(d - count + 1);
    lapack_int found = 0;
    lapack_int info;

    info = LAPACKE_dsyevr_work(
        LAPACK_COL_MAJOR, 'V', count == d ? 'A' : 'I', 'U', n, matrix, n, 0.0, 0.0, first, n, 0.0,
        &found, work->values, out_vectors, n, work->support, work->numbers, work->number_count,
        work->integers, work->integer_count);
    return info == 0 && work->number_count != -1 && found != (lapack_int)count ? 1 : info;
}

/* Ask dsyevr how much memory it wants, and get it. */
static imgsim_status
workspace_new(struct workspace *work, double *matrix, size_t d, size_t count, double *vectors)
{
    double number_count = 0.0;
    lapack_int integer_count = 0;
    struct workspace question = {
        .numbers = &number_count,
        .number_count = -1,
        .integers = &integer_count,
        .integer_count = -1};
    lapack_int info = call_dsyevr(matrix, d, count, &question, vectors);

    if (info != 0)
        return ims_fail(IMGSIM_ERROR_INTERNAL, "LAPACK dsyevr: info %ld", (long)info);
    work->number_count = (lapack_int)number_count;
    work->integer_count = integer_count;
    work->values = ims_alloc_array(d, sizeof(double));
    work->numbers = ims_alloc_array((size_t)work->number_count, sizeof(double));
    work->integers = ims_alloc_array((size_t)work->integer_count, sizeof(lapack_int));
    work->support = ims_alloc_array(2 * d, sizeof(lapack_int));
    if (work->values == NULL || work->numbers == NULL || work->integers == NULL ||
        work->support == NULL)
        return ims_fail_memory((size_t)work->number_count * sizeof(double));
    return IMGSIM_OK;
}

imgsim_status
ims_eigen_symmetric(double *matrix, size_t d, size_t count, double *out_values, double *out_vectors)
{
    struct workspace work = {0};
    imgsim_status status;
    lapack_int info;

    assert(count >= 1 && count <= d && d <= INT_MAX / 64);
    if ((status = workspace_new(&work, matrix, d, count, out_vectors)) != IMGSIM_OK)
        goto done;
    if ((info = call_dsyevr(matrix, d, count, &work, out_vectors)) != 0) {
        status = ims_fail(IMGSIM_ERROR_INTERNAL, "LAPACK dsyevr: info %ld", (long)info);
        goto done;
    }
    memcpy(out_values, work.values, count * sizeof(double));
    reverse_order(out_values, out_vectors, d, count);
    for (size_t i = 0; i < count; i++)
        fix_sign(out_vectors + i * d, d);

done:
    workspace_free(&work);
    return status;
}

bool ims_is_positive_definite(double *matrix, size_t d)
{
    assert(d >= 1 && d <= INT_MAX);
    /* Our lower triangle by rows is the upper one by columns. */
    return LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', (lapack_int)d, matrix, (lapack_int)d) == 0;
}

/* ---- square root ---- */

/* Finite and symmetric up to rounding. */
static imgsim_status check_symmetric(const double *matrix, size_t d)
{
    double largest = 0.0;

    for (size_t i = 0; i < d * d; i++) {
        if (!isfinite(matrix[i]))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "matrix: row %zu, column %zu is not finite", i / d,
                i % d);
        largest = fmax(largest, fabs(matrix[i]));
    }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < i; j++)
            if (fabs(matrix[i * d + j] - matrix[j * d + i]) > ASYMMETRY_MAX * largest)
                return ims_fail(
                    IMGSIM_ERROR_INVALID_ARGUMENT,
                    "matrix is not symmetric: row %zu, column %zu is %g, mirrored %g", i, j,
                    matrix[i * d + j], matrix[j * d + i]);
    return IMGSIM_OK;
}

/*
 * The triangular factor of vectors with rows scaled by sqrt(value): L^(1/2) V^T = Q R, and R^T R =
 * V L V^T.
 */
static imgsim_status
triangular_factor(double *vectors, const double *values, size_t d, float *out_factor)
{
    double *reflections = ims_alloc_array(d, sizeof(double));
    double *work = ims_alloc_array(d, 64 * sizeof(double));
    imgsim_status status = IMGSIM_OK;
    lapack_int info;

    if (reflections == NULL || work == NULL) {
        status = ims_fail_memory(d * 65 * sizeof(double));
        goto done;
    }

    /*
     * LAPACK sees rows as columns, so it gets the transposed matrix: entry (i, j) goes to [j * d +
     * i].
     */
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            vectors[i * d + j] *= sqrt(fmax(values[i], 0.0));
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < i; j++) {
            double entry = vectors[i * d + j];

            vectors[i * d + j] = vectors[j * d + i];
            vectors[j * d + i] = entry;
        }
    info = LAPACKE_dgeqrf_work(
        LAPACK_COL_MAJOR, (lapack_int)d, (lapack_int)d, vectors, (lapack_int)d, reflections, work,
        (lapack_int)(64 * d));
    if (info != 0) {
        status = ims_fail(IMGSIM_ERROR_INTERNAL, "LAPACK dgeqrf: info %ld", (long)info);
        goto done;
    }
    for (size_t i = 0; i < d; i++) {
        double sign = vectors[i * d + i] < 0.0 ? -1.0 : 1.0;

        for (size_t j = 0; j < d; j++)
            out_factor[i * d + j] = j < i ? 0.0f : (float)(sign * vectors[j * d + i]);
    }

done:
    ims_free(reflections);
    ims_free(work);
    return status;
}

imgsim_status ims_square_root(const double *matrix, size_t d, float *out_factor)
{
    imgsim_status status;
    double *copy = NULL, *values = NULL, *vectors = NULL;
    size_t entries;

    if (d == 0 || d > INT_MAX / 64 || !ims_mul_size(d, d, &entries))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "matrix of %zu rows", d);
    if ((status = check_symmetric(matrix, d)) != IMGSIM_OK)
        return status;
    copy = ims_alloc_array(entries, sizeof(double));
    values = ims_alloc_array(d, sizeof(double));
    vectors = ims_alloc_array(entries, sizeof(double));
    if (copy == NULL || values == NULL || vectors == NULL) {
        status = ims_fail_memory(2 * entries * sizeof(double));
        goto done;
    }

    memcpy(copy, matrix, entries * sizeof(double));
    if ((status = ims_eigen_symmetric(copy, d, d, values, vectors)) != IMGSIM_OK)
        goto done;
    if (values[d - 1] < -NEGATIVE_MAX * fmax(fabs(values[0]), fabs(values[d - 1]))) {
        status = ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "matrix has the negative eigenvalue %g, expected positive semi-definite",
            values[d - 1]);
        goto done;
    }
    status = triangular_factor(vectors, values, d, out_factor);

done:
    ims_free(copy);
    ims_free(values);
    ims_free(vectors);
    return status;
}
