/* SPDX-License-Identifier: Apache-2.0 */
/* Projectors: making, releasing, properties, and projecting rows. */
#include "project/projector.h"

#include "core/hash.h"
#include "core/memory.h"
#include "core/options.h"
#include "simd/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Rows that a thread projects together, few enough to stay in its second cache. */
#define TILE_ROWS 64

static const imgsim_projector_options defaults = {
    .struct_size = sizeof(imgsim_projector_options),
    .whiten = 0.0,
    .normalize = 0,
    .threads = 0,
};

imgsim_status imgsim_projector_options_init(imgsim_projector_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

imgsim_status imgsim_projector_new(
    uint32_t input_dimension,
    uint32_t output_dimension,
    const imgsim_projector_options *options,
    imgsim_projector **out_projector)
{
    imgsim_projector_options settings = defaults;
    imgsim_projector *projector;
    imgsim_status status;

    if (out_projector == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_projector must not be NULL");
    *out_projector = NULL;
    if ((status = ims_options_read(&settings, sizeof(settings), options)) != IMGSIM_OK)
        return status;
    if (input_dimension == 0 || input_dimension > IMS_PROJECTOR_DIMENSION_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "input dimension %u, expected 1 to %d", input_dimension,
            IMS_PROJECTOR_DIMENSION_MAX);
    if (output_dimension == 0 || output_dimension > input_dimension)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u components, expected 1 to the input dimension %u",
            output_dimension, input_dimension);
    if (!(settings.whiten >= 0.0 && settings.whiten <= 1.0))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "whiten is %g, expected 0 to 1", settings.whiten);

    if ((projector = ims_calloc(1, sizeof(*projector))) == NULL)
        return ims_fail_memory(sizeof(*projector));
    projector->input_dimension = input_dimension;
    projector->output_dimension = output_dimension;
    projector->whiten = settings.whiten;
    projector->normalize = settings.normalize != 0;
    projector->threads = settings.threads;
    *out_projector = projector;
    return IMGSIM_OK;
}

void imgsim_projector_free(imgsim_projector *projector)
{
    if (projector == NULL)
        return;
    ims_pool_free(projector->pool);
    ims_pca_sums_clear(&projector->sums);
    ims_pca_model_clear(&projector->model);
    ims_free(projector);
}

/* NaN and infinity have an exponent of ones; looked at as integers, the loop has no branch. */
static bool all_finite(const float *values, size_t count)
{
    const uint32_t exponent = UINT32_C(0x7f800000);
    uint32_t found = 0;

    for (size_t i = 0; i < count; i++) {
        uint32_t bits;

        memcpy(&bits, &values[i], sizeof(bits));
        found |= (uint32_t)((bits & exponent) == exponent);
    }
    return found == 0;
}

imgsim_status
ims_check_finite(const float *rows, size_t row_count, size_t columns, size_t first_row)
{
    for (size_t row = 0; row < row_count; row++) {
        const float *values = rows + row * columns;
        size_t column = 0;

        if (all_finite(values, columns))
            continue;
        while (isfinite(values[column]))
            column++;
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "row %zu, column %zu is %s", first_row + row, column,
            isnan(values[column]) ? "NaN" : "infinite");
    }
    return IMGSIM_OK;
}

/* ---- model ---- */

imgsim_status ims_pca_model_init(const imgsim_projector *projector, struct ims_pca_model *model)
{
    const size_t d = projector->input_dimension;
    const size_t m = projector->output_dimension;

    memset(model, 0, sizeof(*model));
    model->mean = ims_calloc(d, sizeof(double));
    model->mean_rounded = ims_calloc(d, sizeof(float));
    model->axes = ims_calloc(d * m, sizeof(float));
    model->variances = ims_calloc(m, sizeof(double));
    model->scales = ims_calloc(m, sizeof(float));
    if (model->mean == NULL || model->mean_rounded == NULL || model->axes == NULL ||
        model->variances == NULL || model->scales == NULL) {
        ims_pca_model_clear(model);
        return ims_fail_memory(d * m * sizeof(float));
    }
    return IMGSIM_OK;
}

void ims_pca_model_clear(struct ims_pca_model *model)
{
    ims_free(model->mean);
    ims_free(model->mean_rounded);
    ims_free(model->axes);
    ims_free(model->variances);
    ims_free(model->scales);
    memset(model, 0, sizeof(*model));
}

static imgsim_status
make_fingerprint(const imgsim_projector *projector, struct ims_pca_model *model)
{
    struct ims_fingerprint *fingerprint = ims_fingerprint_new();
    const size_t d = projector->input_dimension;
    const size_t m = projector->output_dimension;

    if (fingerprint == NULL)
        return ims_fail_memory(1);
    ims_fingerprint_add_text(fingerprint, "pca");
    ims_fingerprint_add(fingerprint, &projector->input_dimension, sizeof(uint32_t));
    ims_fingerprint_add(fingerprint, &projector->output_dimension, sizeof(uint32_t));
    ims_fingerprint_add(fingerprint, &projector->whiten, sizeof(double));
    ims_fingerprint_add(fingerprint, &projector->normalize, sizeof(int32_t));
    ims_fingerprint_add(fingerprint, &model->row_count, sizeof(uint64_t));
    ims_fingerprint_add(fingerprint, &model->total_variance, sizeof(double));
    ims_fingerprint_add(fingerprint, model->mean, d * sizeof(double));
    ims_fingerprint_add(fingerprint, model->axes, m * d * sizeof(float));
    ims_fingerprint_add(fingerprint, model->variances, m * sizeof(double));
    ims_fingerprint_text(fingerprint, model->fingerprint);
    ims_fingerprint_free(fingerprint);
    return IMGSIM_OK;
}

imgsim_status ims_pca_model_finish(const imgsim_projector *projector, struct ims_pca_model *model)
{
    const double noise = (double)FLT_EPSILON * model->variances[0];

    for (uint32_t i = 0; i < projector->input_dimension; i++)
        model->mean_rounded[i] = (float)model->mean[i];
    for (uint32_t i = 0; i < projector->output_dimension; i++) {
        if (projector->whiten == 0.0)
            model->scales[i] = 1.0f;
        else if (model->variances[i] > noise)
            model->scales[i] = (float)pow(model->variances[i], -0.5 * projector->whiten);
        else
            model->scales[i] = 0.0f; /* whitening would blow rounding errors up to full size */
    }
    return make_fingerprint(projector, model);
}

/* ---- projecting ---- */

/* One call of transform; scratch holds a tile of centred and one of projected rows per worker. */
struct transform {
    const imgsim_projector *projector;
    const float *rows;
    size_t row_count;
    float *out_rows;
    float *scratch;
};

static void scale_to_length_1(float *row, size_t count)
{
    double square = 0.0;

    for (size_t i = 0; i < count; i++)
        square += (double)row[i] * row[i];
    if (square > 0.0)
        for (size_t i = 0; i < count; i++)
            row[i] = (float)(row[i] / sqrt(square));
}

/*
 * rows (count x d) times axes (m x d) transposed, four axes at a time, which stay in the first cache while the rows pass by.
 *
 * Not by BLAS: some of its kernels add up a row's products in an order that depends on the row's place in the matrix, and a
 * row's projection must have the same bits alone and among others.
 */
static void
project_tile(const float *axes, const float *rows, size_t count, size_t d, size_t m, float *out)
{
    const struct ims_kernels *kernels = ims_kernels();
    const size_t fours = m / 4 * 4;

    for (size_t i = 0; i < fours; i += 4)
        for (size_t row = 0; row < count; row++)
            kernels->dot4(rows + row * d, axes + i * d, d, d, out + row * m + i);
    for (size_t i = fours; i < m; i++)
        for (size_t row = 0; row < count; row++)
            out[row * m + i] = kernels->dot(rows + row * d, axes + i * d, d);
}

/*
 * (x - mean) W^T. The mean is taken off before the product and in double precision, not as a bias
 * after it: where the mean is large against the spread, a bias would cancel away the digits that
 * count.
 */
static imgsim_status transform_tile(void *context, size_t item, uint32_t worker)
{
    const struct transform *job = context;
    const struct ims_pca_model *model = &job->projector->model;
    const size_t d = job->projector->input_dimension;
    const size_t m = job->projector->output_dimension;
    const size_t first = item * TILE_ROWS;
    const size_t count =
        job->row_count - first < TILE_ROWS ? job->row_count - first : (size_t)TILE_ROWS;
    float *centred = job->scratch + worker * TILE_ROWS * (d + m);
    float *projected = centred + TILE_ROWS * d;
    imgsim_status status;

    if ((status = ims_check_finite(job->rows + first * d, count, d, first)) != IMGSIM_OK)
        return status;
    for (size_t row = 0; row < count; row++) {
        const float *values = job->rows + (first + row) * d;

        for (size_t i = 0; i < d; i++)
            centred[row * d + i] = (float)((double)values[i] - model->mean[i]);
    }
    project_tile(model->axes, centred, count, d, m, projected);

    for (size_t row = 0; row < count; row++) {
        float *out = job->out_rows + (first + row) * m;

        for (size_t i = 0; i < m; i++)
            out[i] = projected[row * m + i] * model->scales[i];
        if (job->projector->normalize)
            scale_to_length_1(out, m);
    }
    return IMGSIM_OK;
}

imgsim_status imgsim_projector_transform(
    const imgsim_projector *projector,
    const float *rows,
    size_t row_count,
    float *out_rows)
{
    struct transform job = {projector, rows, row_count, out_rows, NULL};
    const size_t tiles = row_count / TILE_ROWS + (row_count % TILE_ROWS != 0);
    struct ims_pool *own_pool = NULL;
    struct ims_pool *pool;
    imgsim_status status;
    size_t tile_size, size;

    if (projector == NULL || (row_count > 0 && (rows == NULL || out_rows == NULL)))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "projector and rows must not be NULL");
    if (projector->model.axes == NULL)
        return ims_fail(IMGSIM_ERROR_NOT_READY, "the projector has not been trained");

    /* The pool of the fit if there is one; a const projector cannot keep a new one. */
    if ((pool = projector->pool) == NULL && tiles > 1) {
        if ((status = ims_pool_new(projector->threads, &own_pool)) != IMGSIM_OK)
            return status;
        pool = own_pool;
    }
    tile_size = TILE_ROWS * ((size_t)projector->input_dimension + projector->output_dimension);
    size = ims_pool_threads(pool) * tile_size * sizeof(float);
    if ((job.scratch = ims_alloc_aligned(size)) == NULL)
        status = ims_fail_memory(size);
    else
        status = ims_pool_run(pool, tiles, transform_tile, &job);
    ims_free_aligned(job.scratch);
    ims_pool_free(own_pool);
    return status;
}

/* ---- properties ---- */

uint32_t imgsim_projector_get_input_dimension(const imgsim_projector *projector)
{
    return projector != NULL ? projector->input_dimension : 0;
}

uint32_t imgsim_projector_get_output_dimension(const imgsim_projector *projector)
{
    return projector != NULL ? projector->output_dimension : 0;
}

uint64_t imgsim_projector_get_row_count(const imgsim_projector *projector)
{
    return projector != NULL ? projector->model.row_count : 0;
}

const float *imgsim_projector_get_mean(const imgsim_projector *projector)
{
    return projector != NULL ? projector->model.mean_rounded : NULL;
}

const float *imgsim_projector_get_axes(const imgsim_projector *projector)
{
    return projector != NULL ? projector->model.axes : NULL;
}

const double *imgsim_projector_get_variances(const imgsim_projector *projector)
{
    return projector != NULL ? projector->model.variances : NULL;
}

double imgsim_projector_get_total_variance(const imgsim_projector *projector)
{
    return projector != NULL ? projector->model.total_variance : 0.0;
}

const char *imgsim_projector_get_fingerprint(const imgsim_projector *projector)
{
    return projector != NULL ? projector->model.fingerprint : "";
}
