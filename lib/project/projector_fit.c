/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fit: exact PCA from sums of products, in one pass over the rows.
 *
 * Rows are shifted by the mean of the first panel, which removes the cancellation of
 * E[x x^T] - m m^T: Chan, Golub & LeVeque, The American Statistician 37(3), 1983. Products of 1024
 * rows are summed in single precision by BLAS and then added to sums in double precision.
 *
 * Rows are gathered in panels whose size depends on the dimension alone, and each block of the
 * matrix of sums is one work item that goes through its panel in order. So the sums have the same
 * bits however the rows were handed in and whatever the number of threads, and no thread needs a
 * matrix of its own.
 */
#include "project/projector.h"

#include "core/memory.h"
#include "linalg/linalg.h"

#include <math.h>
#include <string.h>

/* Rows per single-precision sum, and columns per block of the matrix of sums. */
#define SLICE_ROWS ((size_t)1024)
#define BLOCK_COLUMNS ((size_t)384)
#define PANEL_ROWS_MAX ((size_t)2048)
#define PANEL_BYTES ((size_t)16 << 20)

/* ---- memory ---- */

void ims_pca_sums_clear(struct ims_pca_sums *sums)
{
    ims_free_aligned(sums->products);
    ims_free(sums->squares);
    ims_free(sums->totals);
    ims_free(sums->shift);
    ims_free_aligned(sums->panel);
    ims_free(sums->slice_totals);
    ims_free_aligned(sums->scratch);
    memset(sums, 0, sizeof(*sums));
}

/* Rows of a panel: about 16 MB, whole slices, at least one. */
static size_t panel_rows(size_t d)
{
    size_t rows = PANEL_BYTES / (d * sizeof(float)) / SLICE_ROWS * SLICE_ROWS;

    if (rows > PANEL_ROWS_MAX)
        rows = PANEL_ROWS_MAX;
    return rows > 0 ? rows : SLICE_ROWS;
}

imgsim_status ims_projector_pool(imgsim_projector *projector)
{
    return projector->pool != NULL ? IMGSIM_OK : ims_pool_new(projector->threads, &projector->pool);
}

/* Get all memory at the first rows, so that adding rows cannot fail half-way. */
static imgsim_status prepare_sums(imgsim_projector *projector)
{
    struct ims_pca_sums *sums = &projector->sums;
    const size_t d = projector->input_dimension;
    size_t threads;
    imgsim_status status;

    if (sums->products != NULL)
        return IMGSIM_OK;
    if ((status = ims_projector_pool(projector)) != IMGSIM_OK)
        return status;
    threads = ims_pool_threads(projector->pool);
    sums->panel_capacity = panel_rows(d);
    sums->squares = ims_calloc(d, sizeof(double));
    sums->totals = ims_calloc(d, sizeof(double));
    sums->shift = ims_calloc(d, sizeof(float));
    sums->panel = ims_alloc_aligned(sums->panel_capacity * d * sizeof(float));
    sums->slice_totals = ims_alloc_array(sums->panel_capacity / SLICE_ROWS * d, sizeof(double));
    sums->scratch = ims_alloc_aligned(threads * BLOCK_COLUMNS * BLOCK_COLUMNS * sizeof(float));
    sums->products = ims_alloc_aligned(d * d * sizeof(double));
    if (sums->squares == NULL || sums->totals == NULL || sums->shift == NULL ||
        sums->panel == NULL || sums->slice_totals == NULL || sums->scratch == NULL ||
        sums->products == NULL) {
        ims_pca_sums_clear(sums);
        return ims_fail_memory(d * d * sizeof(double));
    }
    memset(sums->products, 0, d * d * sizeof(double));
    return IMGSIM_OK;
}

/* ---- one panel ---- */

static size_t slices_of(size_t row_count)
{
    return (row_count + SLICE_ROWS - 1) / SLICE_ROWS;
}

/* Adding a panel to the sums of products above the diagonal, or to their copy below it. */
struct panel_job {
    struct ims_pca_sums *sums;
    float *panel; /* shifted in place */
    size_t row_count;
    size_t d;
    const float *shift;
    bool below;
    double *diagonal; /* entry i is at diagonal[i * diagonal_step] */
    size_t diagonal_step;
    double *totals;
};

/* Shift the rows of one slice and sum its columns. */
static imgsim_status shift_slice(void *context, size_t item, uint32_t worker)
{
    const struct panel_job *job = context;
    const size_t first = item * SLICE_ROWS;
    const size_t end = first + SLICE_ROWS < job->row_count ? first + SLICE_ROWS : job->row_count;
    double *totals = job->sums->slice_totals + item * job->d;

    (void)worker;
    memset(totals, 0, job->d * sizeof(double));
    for (size_t row = first; row < end; row++) {
        float *values = job->panel + row * job->d;

        for (size_t i = 0; i < job->d; i++) {
            values[i] -= job->shift[i];
            totals[i] += values[i];
        }
    }
    return IMGSIM_OK;
}

/* A block of the matrix of sums. */
struct block {
    size_t first_row;
    size_t row_count;
    size_t first_column;
    size_t column_count;
};

/* The item-th block of the lower triangle, counted row by row; mirrored for the upper one. */
static struct block find_block(size_t item, size_t d, bool below)
{
    size_t far = 0, first_far, first_near, far_count, near_count;

    while (item > far)
        item -= ++far;
    first_far = far * BLOCK_COLUMNS;
    first_near = item * BLOCK_COLUMNS;
    far_count = d - first_far < BLOCK_COLUMNS ? d - first_far : BLOCK_COLUMNS;
    near_count = d - first_near < BLOCK_COLUMNS ? d - first_near : BLOCK_COLUMNS;
    return below ? (struct block){first_far, far_count, first_near, near_count}
                 : (struct block){first_near, near_count, first_far, far_count};
}

/* Add products of one slice, summed in single precision, to a block of the sums. */
static void add_block(const struct panel_job *job, const struct block *block, const float *products)
{
    const bool diagonal = block->first_row == block->first_column;

    for (size_t i = 0; i < block->row_count; i++) {
        const size_t row = block->first_row + i;
        double *out = job->sums->products + row * job->d + block->first_column;
        size_t begin = diagonal && !job->below ? i + 1 : 0;
        size_t end = diagonal && job->below ? i : block->column_count;

        for (size_t j = begin; j < end; j++)
            out[j] += products[i * BLOCK_COLUMNS + j];
        if (diagonal)
            job->diagonal[row * job->diagonal_step] += products[i * BLOCK_COLUMNS + i];
    }
}

/* One block of the sums: goes through the slices in order. */
static imgsim_status multiply_block(void *context, size_t item, uint32_t worker)
{
    const struct panel_job *job = context;
    const size_t d = job->d;
    const struct block block = find_block(item, d, job->below);
    float *products = job->sums->scratch + worker * BLOCK_COLUMNS * BLOCK_COLUMNS;

    for (size_t first = 0; first < job->row_count; first += SLICE_ROWS) {
        const float *slice = job->panel + first * d;
        const size_t left = job->row_count - first;

        const size_t rows = left < SLICE_ROWS ? left : SLICE_ROWS;

        if (block.first_row == block.first_column)
            ims_syrk_t(
                job->below, block.row_count, rows, slice + block.first_row, d, products,
                BLOCK_COLUMNS);
        else
            ims_gemm_tn(
                block.row_count, block.column_count, rows, slice + block.first_row, d,
                slice + block.first_column, d, products, BLOCK_COLUMNS);
        add_block(job, &block, products);
    }
    return IMGSIM_OK;
}

/* Add a panel; cannot fail, as all memory is there. */
static void add_panel(struct ims_pool *pool, struct panel_job *job)
{
    const size_t slices = slices_of(job->row_count);
    const size_t block_rows = (job->d + BLOCK_COLUMNS - 1) / BLOCK_COLUMNS;

    (void)ims_pool_run(pool, slices, shift_slice, job);
    (void)ims_pool_run(pool, block_rows * (block_rows + 1) / 2, multiply_block, job);
    for (size_t slice = 0; slice < slices; slice++)
        for (size_t i = 0; i < job->d; i++)
            job->totals[i] += job->sums->slice_totals[slice * job->d + i];
}

/* Mean of the panel, rounded: near the mean of all rows, which is all that a shift has to be. */
static void find_shift(struct ims_pca_sums *sums, size_t d, float *out_shift)
{
    double *totals = sums->slice_totals;

    memset(totals, 0, d * sizeof(double));
    for (size_t row = 0; row < sums->panel_count; row++)
        for (size_t i = 0; i < d; i++)
            totals[i] += sums->panel[row * d + i];
    for (size_t i = 0; i < d; i++)
        out_shift[i] = (float)(totals[i] / (double)sums->panel_count);
}

/* The panel is full: into the sums with it. */
static void flush_panel(imgsim_projector *projector)
{
    struct ims_pca_sums *sums = &projector->sums;
    struct panel_job job = {
        .sums = sums,
        .panel = sums->panel,
        .row_count = sums->panel_count,
        .d = projector->input_dimension,
        .shift = sums->shift,
        .below = false,
        .diagonal = sums->squares,
        .diagonal_step = 1,
        .totals = sums->totals,
    };

    if (!sums->shifted)
        find_shift(sums, projector->input_dimension, sums->shift);
    sums->shifted = true;
    add_panel(projector->pool, &job);
    sums->row_count += sums->panel_count;
    sums->panel_count = 0;
}

/* Rows on their way into the panel. */
struct intake {
    const float *rows;
    size_t row_count;
    size_t d;
    float *panel;
};

static size_t slice_end(const struct intake *intake, size_t item)
{
    const size_t end = (item + 1) * SLICE_ROWS;

    return end < intake->row_count ? end : intake->row_count;
}

static imgsim_status check_slice(void *context, size_t item, uint32_t worker)
{
    const struct intake *intake = context;
    const size_t first = item * SLICE_ROWS;

    (void)worker;
    return ims_check_finite(
        intake->rows + first * intake->d, slice_end(intake, item) - first, intake->d, first);
}

static imgsim_status copy_slice(void *context, size_t item, uint32_t worker)
{
    const struct intake *intake = context;
    const size_t first = item * SLICE_ROWS * intake->d;

    (void)worker;
    memcpy(
        intake->panel + first, intake->rows + first,
        (slice_end(intake, item) * intake->d - first) * sizeof(float));
    return IMGSIM_OK;
}

imgsim_status imgsim_projector_add(imgsim_projector *projector, const float *rows, size_t row_count)
{
    struct intake intake = {.rows = rows, .row_count = row_count};
    struct ims_pca_sums *sums;
    imgsim_status status;
    size_t d;

    if (projector == NULL || (rows == NULL && row_count > 0))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "projector and rows must not be NULL");
    if (projector->loaded)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY,
            "a projector from a file or fitted at once takes no more rows; make a new one");
    if (projector->settings.kernel != IMGSIM_KERNEL_NONE)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY,
            "with a kernel all rows are needed at once: fit instead of add and train");
    d = projector->input_dimension;
    intake.d = d;
    if ((status = prepare_sums(projector)) != IMGSIM_OK ||
        (status = ims_pool_run(projector->pool, slices_of(row_count), check_slice, &intake)) !=
            IMGSIM_OK)
        return status;

    sums = &projector->sums;
    while (row_count > 0) {
        size_t count = sums->panel_capacity - sums->panel_count;

        if (count > row_count)
            count = row_count;
        intake = (struct intake){rows, count, d, sums->panel + sums->panel_count * d};
        (void)ims_pool_run(projector->pool, slices_of(count), copy_slice, &intake);
        sums->panel_count += count;
        rows += count * d;
        row_count -= count;
        if (sums->panel_count == sums->panel_capacity)
            flush_panel(projector);
    }
    return IMGSIM_OK;
}

/* ---- sums of rows as they are ---- */

imgsim_status ims_projector_begin_raw(imgsim_projector *projector)
{
    imgsim_status status = prepare_sums(projector);

    if (status == IMGSIM_OK)
        projector->sums.shifted = true; /* by zeros */
    return status;
}

bool ims_projector_is_below(imgsim_projector *projector, double limit)
{
    struct ims_pca_sums *sums = &projector->sums;
    const size_t d = projector->input_dimension;

    if (sums->panel_count > 0)
        flush_panel(projector);
    for (size_t row = 0; row < d; row++) {
        for (size_t column = 0; column < row; column++)
            sums->products[row * d + column] = -sums->products[column * d + row];
        sums->products[row * d + row] = limit - sums->squares[row];
    }
    return ims_is_positive_definite(sums->products, d);
}

/* ---- training ---- */

/* Copy the sums to the diagonal and below it, which the eigendecomposition uses up. */
static void copy_to_lower(struct ims_pca_sums *sums, size_t d)
{
    double *products = sums->products;

    for (size_t row = 0; row < d; row++) {
        for (size_t column = 0; column < row; column++)
            products[row * d + column] = products[column * d + row];
        products[row * d + row] = sums->squares[row];
    }
}

/*
 * Add the rows that wait in the panel to the copy below the diagonal and to `totals`. The panel
 * itself is left alone, so that rows added later meet the same panels as without this training.
 */
static imgsim_status
add_waiting_rows(imgsim_projector *projector, const float *shift, double *totals)
{
    struct ims_pca_sums *sums = &projector->sums;
    const size_t d = projector->input_dimension;
    const size_t size = sums->panel_count * d * sizeof(float);
    struct panel_job job = {
        .sums = sums,
        .row_count = sums->panel_count,
        .d = d,
        .shift = shift,
        .below = true,
        .diagonal = sums->products,
        .diagonal_step = d + 1,
        .totals = totals,
    };

    if (sums->panel_count == 0)
        return IMGSIM_OK;
    if ((job.panel = ims_alloc_aligned(size)) == NULL)
        return ims_fail_memory(size);
    memcpy(job.panel, sums->panel, size);
    add_panel(projector->pool, &job);
    ims_free_aligned(job.panel);
    return IMGSIM_OK;
}

/*
 * C = (S - n t t^T) / (n - 1) below the diagonal, t the mean of the shifted rows; gives its trace.
 */
static imgsim_status
finish_covariance(double *matrix, size_t d, uint64_t n, const double *totals, double *out_trace)
{
    const double rows = (double)n;

    *out_trace = 0.0;
    for (size_t row = 0; row < d; row++) {
        const double mean = totals[row] / rows;

        for (size_t column = 0; column <= row; column++)
            matrix[row * d + column] =
                (matrix[row * d + column] - mean * totals[column]) / (rows - 1.0);
        if (!isfinite(matrix[row * d + row]))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "values of column %zu are too large: their squares overflow", row);
        *out_trace += matrix[row * d + row];
    }
    return IMGSIM_OK;
}

/* Mean, axes and variances from covariance (destroyed), shift and sums. */
static imgsim_status fill_model(
    const imgsim_projector *projector,
    double *covariance,
    const float *shift,
    const double *totals,
    struct ims_pca_model *model)
{
    const size_t d = projector->input_dimension;
    const size_t m = projector->output_dimension;
    double *vectors = ims_alloc_array(d * m, sizeof(double));
    imgsim_status status;

    if (vectors == NULL)
        return ims_fail_memory(d * m * sizeof(double));
    if ((status = ims_eigen_symmetric(covariance, d, m, model->variances, vectors)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < m; i++)
        if (model->variances[i] < 0.0) /* zero but for rounding */
            model->variances[i] = 0.0;
    for (size_t i = 0; i < d * m; i++)
        model->axes[i] = (float)vectors[i];
    for (size_t i = 0; i < d; i++)
        model->mean[i] = (double)shift[i] + totals[i] / (double)model->row_count;
    status = ims_pca_model_finish(projector, model);

done:
    ims_free(vectors);
    return status;
}

/* Train from the sums, with `shift` and `totals` as d values of work space. */
static imgsim_status
train_model(imgsim_projector *projector, float *shift, double *totals, struct ims_pca_model *model)
{
    struct ims_pca_sums *sums = &projector->sums;
    const size_t d = projector->input_dimension;
    imgsim_status status;

    memcpy(shift, sums->shift, d * sizeof(float));
    memcpy(totals, sums->totals, d * sizeof(double));
    if (!sums->shifted)
        find_shift(sums, d, shift);
    copy_to_lower(sums, d);
    if ((status = add_waiting_rows(projector, shift, totals)) != IMGSIM_OK ||
        (status = finish_covariance(
             sums->products, d, model->row_count, totals, &model->total_variance)) != IMGSIM_OK)
        return status;
    return fill_model(projector, sums->products, shift, totals, model);
}

imgsim_status imgsim_projector_train(imgsim_projector *projector)
{
    struct ims_pca_model model = {0};
    imgsim_status status;
    double *totals = NULL;
    float *shift = NULL;
    uint64_t rows;

    if (projector == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "projector must not be NULL");
    if (projector->loaded)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY,
            "a projector from a file or fitted at once cannot be trained again; make a new one");
    rows = projector->sums.row_count + projector->sums.panel_count;
    if (rows < 2 || rows < projector->output_dimension)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY, "%llu rows are not enough for %u components, which need %u",
            (unsigned long long)rows, projector->output_dimension,
            projector->output_dimension < 2 ? 2 : projector->output_dimension);

    shift = ims_alloc_array(projector->input_dimension, sizeof(float));
    totals = ims_alloc_array(projector->input_dimension, sizeof(double));
    if (shift == NULL || totals == NULL) {
        status = ims_fail_memory(projector->input_dimension * sizeof(double));
        goto done;
    }
    if ((status = ims_pca_model_init(projector, &model)) != IMGSIM_OK)
        goto done;
    model.row_count = rows;
    if ((status = train_model(projector, shift, totals, &model)) != IMGSIM_OK)
        goto done;

    ims_pca_model_clear(&projector->model);
    projector->model = model;
    memset(&model, 0, sizeof(model)); /* now the projector's */

done:
    ims_pca_model_clear(&model);
    ims_free(shift);
    ims_free(totals);
    return status;
}
