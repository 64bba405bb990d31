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
    .method = IMGSIM_PCA_EXACT,
    .kernel = IMGSIM_KERNEL_NONE,
    .tolerance = 1e-4,
    .seed = 1,
    .gamma = -1.0,
    .offset = 1.0,
    .degree = 3,
    .landmarks = 1000,
    .even_landmarks = 0,
};

imgsim_status imgsim_projector_options_init(imgsim_projector_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

/* Settings of a kernel. */
static imgsim_status check_kernel(const imgsim_projector_options *settings, uint32_t components)
{
    if (settings->kernel < IMGSIM_KERNEL_NONE || settings->kernel > IMGSIM_KERNEL_INTERSECTION)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown kernel %d", (int)settings->kernel);
    if (settings->kernel == IMGSIM_KERNEL_NONE)
        return IMGSIM_OK;
    if (settings->method != IMGSIM_PCA_EXACT)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a kernel is fitted by its landmarks, not by method %d",
            (int)settings->method);
    if (settings->landmarks == 0 || settings->landmarks > IMS_LANDMARKS_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u landmarks, expected 1 to %d", settings->landmarks,
            IMS_LANDMARKS_MAX);
    if (components > settings->landmarks)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u components, expected 1 to the %u landmarks",
            components, settings->landmarks);
    if (!isfinite(settings->gamma) || settings->gamma == 0.0)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "gamma is %g, expected a number above 0, or one below to have it chosen",
            settings->gamma);
    if (!(settings->offset >= 0.0 && isfinite(settings->offset)))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "offset is %g, expected at least 0", settings->offset);
    if (settings->degree == 0 || settings->degree > IMS_DEGREE_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "degree is %u, expected 1 to %d", settings->degree,
            IMS_DEGREE_MAX);
    return IMGSIM_OK;
}

/* Settings whose ranges do not depend on one another. */
static imgsim_status check_settings(const imgsim_projector_options *settings)
{
    if (!(settings->whiten >= 0.0 && settings->whiten <= 1.0))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "whiten is %g, expected 0 to 1", settings->whiten);
    if (settings->method < IMGSIM_PCA_EXACT || settings->method > IMGSIM_PCA_RANDOMISED)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown method %d", (int)settings->method);
    if (!(settings->tolerance > 0.0 && settings->tolerance <= 0.1))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "tolerance is %g, expected above 0 to 0.1",
            settings->tolerance);
    if (settings->reserved != 0)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "options: reserved must be 0");
    return IMGSIM_OK;
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
    if (output_dimension == 0 ||
        (output_dimension > input_dimension && settings.kernel == IMGSIM_KERNEL_NONE))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u components, expected 1 to the input dimension %u",
            output_dimension, input_dimension);
    if ((status = check_settings(&settings)) != IMGSIM_OK ||
        (status = check_kernel(&settings, output_dimension)) != IMGSIM_OK)
        return status;

    if ((projector = ims_calloc(1, sizeof(*projector))) == NULL)
        return ims_fail_memory(sizeof(*projector));
    projector->input_dimension = input_dimension;
    projector->output_dimension = output_dimension;
    projector->whiten = settings.whiten;
    projector->normalize = settings.normalize != 0;
    projector->threads = settings.threads;
    projector->settings = settings;
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
    const bool has_kernel = projector->settings.kernel != IMGSIM_KERNEL_NONE;
    const size_t d = has_kernel ? projector->settings.landmarks : projector->input_dimension;
    const size_t m = projector->output_dimension;

    memset(model, 0, sizeof(*model));
    model->columns = d;
    if (has_kernel) {
        model->landmarks = ims_alloc_array(d, projector->input_dimension * sizeof(float));
        model->landmark_factors = ims_calloc(d, sizeof(float));
        if (model->landmarks == NULL || model->landmark_factors == NULL) {
            ims_pca_model_clear(model);
            return ims_fail_memory(d * projector->input_dimension * sizeof(float));
        }
    }
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
    ims_free(model->landmarks);
    ims_free(model->landmark_factors);
    ims_free(model->variances);
    ims_free(model->scales);
    memset(model, 0, sizeof(*model));
}

static void add_kernel(
    struct ims_fingerprint *fingerprint,
    const imgsim_projector *projector,
    const struct ims_pca_model *model)
{
    const imgsim_projector_options *settings = &projector->settings;

    if (model->landmarks == NULL)
        return;
    ims_fingerprint_add_text(fingerprint, "kernel");
    ims_fingerprint_add(fingerprint, &settings->kernel, sizeof(int32_t));
    ims_fingerprint_add(fingerprint, &settings->degree, sizeof(uint32_t));
    ims_fingerprint_add(fingerprint, &settings->offset, sizeof(double));
    ims_fingerprint_add(fingerprint, &model->gamma, sizeof(double));
    ims_fingerprint_add(
        fingerprint, model->landmarks, model->columns * projector->input_dimension * sizeof(float));
}

static imgsim_status
make_fingerprint(const imgsim_projector *projector, struct ims_pca_model *model)
{
    struct ims_fingerprint *fingerprint = ims_fingerprint_new();
    const size_t d = model->columns;
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
    add_kernel(fingerprint, projector, model);
    ims_fingerprint_text(fingerprint, model->fingerprint);
    ims_fingerprint_free(fingerprint);
    return IMGSIM_OK;
}

imgsim_status ims_pca_model_finish(const imgsim_projector *projector, struct ims_pca_model *model)
{
    const double noise = (double)FLT_EPSILON * model->variances[0];

    for (size_t i = 0; i < model->columns; i++)
        model->mean_rounded[i] = (float)model->mean[i];
    for (uint32_t i = 0; i < projector->output_dimension; i++) {
        if (projector->whiten == 0.0)
            model->scales[i] = 1.0f;
        else if (model->variances[i] > noise)
            model->scales[i] = (float)pow(model->variances[i], -0.5 * projector->whiten);
        else
            model->scales[i] = 0.0f; /* whitening would blow rounding errors up to full size */
    }
    ims_kernel_finish(projector, model);
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
    double *kernel_rows; /* one per worker, with a kernel */
};

/* A row less the mean, or what a kernel makes of it less the mean. False: the kernel's values overflow. */
static bool centre_row(const struct transform *job, const float *row, uint32_t worker, float *out)
{
    const struct ims_pca_model *model = &job->projector->model;
    const size_t columns = model->columns;
    double *values;

    if (model->landmarks == NULL) {
        for (size_t i = 0; i < columns; i++)
            out[i] = (float)((double)row[i] - model->mean[i]);
        return true;
    }
    values = job->kernel_rows + worker * columns;
    ims_kernel_row(job->projector, model, row, values);
    for (size_t i = 0; i < columns; i++) {
        if (!isfinite(values[i]))
            return false;
        out[i] = (float)(values[i] - model->mean[i]);
    }
    return true;
}

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
    const size_t columns = model->columns;
    const size_t m = job->projector->output_dimension;
    const size_t first = item * TILE_ROWS;
    const size_t count =
        job->row_count - first < TILE_ROWS ? job->row_count - first : (size_t)TILE_ROWS;
    float *centred = job->scratch + worker * TILE_ROWS * (columns + m);
    float *projected = centred + TILE_ROWS * columns;
    imgsim_status status;

    if ((status = ims_check_finite(job->rows + first * d, count, d, first)) != IMGSIM_OK ||
        (status = ims_kernel_check(job->projector, job->rows + first * d, count, first)) !=
            IMGSIM_OK)
        return status;
    for (size_t row = 0; row < count; row++)
        if (!centre_row(job, job->rows + (first + row) * d, worker, centred + row * columns))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "row %zu: values so large that the kernel overflows",
                first + row);
    project_tile(model->axes, centred, count, columns, m, projected);

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
    struct transform job = {projector, rows, row_count, out_rows, NULL, NULL};
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
    tile_size = TILE_ROWS * (projector->model.columns + projector->output_dimension);
    size = ims_pool_threads(pool) * tile_size * sizeof(float);
    job.scratch = ims_alloc_aligned(size);
    if (projector->model.landmarks != NULL)
        job.kernel_rows =
            ims_alloc_array(ims_pool_threads(pool) * projector->model.columns, sizeof(double));
    if (job.scratch == NULL || (projector->model.landmarks != NULL && job.kernel_rows == NULL))
        status = ims_fail_memory(size);
    else
        status = ims_pool_run(pool, tiles, transform_tile, &job);
    ims_free_aligned(job.scratch);
    ims_free(job.kernel_rows);
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
    return projector != NULL && projector->model.landmarks == NULL ? projector->model.mean_rounded
                                                                   : NULL;
}

const float *imgsim_projector_get_axes(const imgsim_projector *projector)
{
    return projector != NULL && projector->model.landmarks == NULL ? projector->model.axes : NULL;
}

const double *imgsim_projector_get_variances(const imgsim_projector *projector)
{
    return projector != NULL ? projector->model.variances : NULL;
}

double imgsim_projector_get_total_variance(const imgsim_projector *projector)
{
    return projector != NULL ? projector->model.total_variance : 0.0;
}

const float *imgsim_projector_get_landmarks(const imgsim_projector *projector)
{
    return projector != NULL ? projector->model.landmarks : NULL;
}

uint32_t imgsim_projector_get_landmark_count(const imgsim_projector *projector)
{
    return projector != NULL && projector->settings.kernel != IMGSIM_KERNEL_NONE
               ? projector->settings.landmarks
               : 0;
}

const char *imgsim_projector_get_fingerprint(const imgsim_projector *projector)
{
    return projector != NULL ? projector->model.fingerprint : "";
}
