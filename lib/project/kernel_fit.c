/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Principal components of a kernel's features, by landmarks.
 *
 * Kernel PCA: Schölkopf, Smola & Müller, Neural Computation 10(5), 1998. Nyström's method: Williams & Seeger, NIPS 2000. With the
 * landmarks' kernel matrix U S U^T, a row x has the features z(x) = S^(-1/2) U^T k(x, landmarks), whose products are the kernel's as
 * far as the landmarks span them. Plain PCA of z over all rows, exact and streamed, gives axes R; what is kept is R S^(-1/2) U^T, so
 * that projecting a row takes k(x, landmarks) and one product.
 *
 * Landmarks are drawn as seeds of k-means in the kernel's space: Arthur & Vassilvitskii, SODA 2007.
 */
#include "project/kernel.h"

#include "core/memory.h"
#include "linalg/linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_ROWS ((size_t)64)
#define TILE_ROWS ((size_t)1024)
/* Rows that landmarks are chosen from, per landmark, and pairs whose median gives gamma. */
#define CHOICE 10
#define PAIRS 1000
/* Eigenvalues of the landmarks' matrix below this part of the largest are rounding. */
#define NOISE 1e-7
/* Variance of the features relative to their squares below which all rows are the same. */
#define SAME 1e-10

/* ---- rows ---- */

struct check {
    const imgsim_projector *projector;
    const struct ims_rows *rows;
};

static imgsim_status check_chunk(void *context, size_t item, uint32_t worker)
{
    const struct check *check = context;
    const size_t d = check->rows->d;
    imgsim_status status = IMGSIM_OK;

    (void)worker;
    for (size_t i = item * TILE_ROWS;
         i < (item + 1) * TILE_ROWS && i < check->rows->count && status == IMGSIM_OK; i++) {
        const float *row = ims_row(check->rows, i);

        if ((status = ims_check_finite(row, 1, d, i)) == IMGSIM_OK)
            status = ims_kernel_check(check->projector, row, 1, i);
    }
    return status;
}

static imgsim_status check_rows(imgsim_projector *projector, const struct ims_rows *rows)
{
    struct check check = {projector, rows};

    return ims_pool_run(
        projector->pool, (rows->count + TILE_ROWS - 1) / TILE_ROWS, check_chunk, &check);
}

static imgsim_status all_the_same(void)
{
    return ims_fail(
        IMGSIM_ERROR_INVALID_ARGUMENT,
        "all rows are the same to the kernel: there is nothing to tell apart");
}

/* ---- gamma ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* 1 / the median over pairs of different rows; of those that differ, if most do not. */
static imgsim_status median_gamma(
    const imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_rng *rng,
    double *out)
{
    double *values = ims_alloc_array(PAIRS, sizeof(double));
    size_t same = 0;

    if (values == NULL)
        return ims_fail_memory(PAIRS * sizeof(double));
    for (size_t i = 0; i < PAIRS; i++) {
        const size_t a = ims_rng_below(rng, rows->count);
        const size_t b = (a + 1 + ims_rng_below(rng, rows->count - 1)) % rows->count;

        values[i] = ims_kernel_distance(
            projector->settings.kernel, ims_row(rows, a), ims_row(rows, b), rows->d);
    }
    qsort(values, PAIRS, sizeof(double), by_value);
    while (same < PAIRS && values[same] <= 0.0)
        same++;
    *out = same < PAIRS / 2 ? values[PAIRS / 2] : same < PAIRS ? values[(same + PAIRS) / 2] : 0.0;
    ims_free(values);
    if (*out == 0.0)
        return all_the_same();
    *out = 1.0 / *out;
    return isfinite(*out) ? IMGSIM_OK : all_the_same();
}

static imgsim_status choose_gamma(
    const imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_rng *rng,
    double *out)
{
    const imgsim_projector_options *settings = &projector->settings;

    switch (settings->kernel) {
    case IMGSIM_KERNEL_RBF:
    case IMGSIM_KERNEL_CHI_SQUARE:
        *out = settings->gamma;
        return *out > 0.0 ? IMGSIM_OK : median_gamma(projector, rows, rng, out);
    case IMGSIM_KERNEL_POLYNOMIAL:
        *out = settings->gamma > 0.0 ? settings->gamma : 1.0 / (double)rows->d;
        return IMGSIM_OK;
    default:
        *out = 0.0; /* it has none */
        return IMGSIM_OK;
    }
}

/* ---- landmarks ---- */

/* Squared distances in the kernel's space from the rows to choose from to the nearest landmark so far. */
struct choice {
    const imgsim_projector *projector;
    double gamma;
    const struct ims_rows *rows; /* to choose from */
    const float *landmark;
    double landmark_square; /* k(landmark, landmark) */
    double *squares;        /* k(row, row) */
    double *distances;
};

static imgsim_status measure_chunk(void *context, size_t item, uint32_t worker)
{
    const struct choice *choice = context;
    const imgsim_projector_options *settings = &choice->projector->settings;
    const size_t d = choice->rows->d;

    (void)worker;
    for (size_t i = item * CHUNK_ROWS; i < (item + 1) * CHUNK_ROWS && i < choice->rows->count;
         i++) {
        const float *row = ims_row(choice->rows, i);
        double distance;

        if (choice->landmark == NULL) {
            choice->squares[i] = ims_kernel_value(settings, choice->gamma, row, row, d);
            continue;
        }
        if (choice->distances[i] == 0.0)
            continue;
        distance = choice->squares[i] + choice->landmark_square -
                   2.0 * ims_kernel_value(settings, choice->gamma, row, choice->landmark, d);
        /* Rounding makes rows that are the same no farther than this. */
        if (!(distance > 1e-6 * (choice->squares[i] + choice->landmark_square)))
            distance = 0.0;
        if (distance < choice->distances[i])
            choice->distances[i] = distance;
    }
    return IMGSIM_OK;
}

/* A row drawn in proportion to its distance; where all are at none, the first that is not chosen yet. */
static size_t
draw_by_distance(const struct choice *choice, const uint8_t *chosen, struct ims_rng *rng)
{
    double total = 0.0, target;
    size_t last = SIZE_MAX;

    for (size_t i = 0; i < choice->rows->count; i++)
        total += choice->distances[i];
    target = total * ims_rng_double(rng);
    for (size_t i = 0; i < choice->rows->count && total > 0.0; i++) {
        if (choice->distances[i] <= 0.0)
            continue;
        last = i;
        if ((target -= choice->distances[i]) < 0.0)
            break;
    }
    for (size_t i = 0; i < choice->rows->count && last == SIZE_MAX; i++)
        if (!chosen[i])
            last = i;
    return last;
}

static imgsim_status draw_far_apart(
    imgsim_projector *projector,
    const struct ims_rows *from,
    struct ims_rng *rng,
    struct ims_pca_model *model)
{
    const size_t d = from->d, chunks = (from->count + CHUNK_ROWS - 1) / CHUNK_ROWS;
    struct choice choice = {.projector = projector, .gamma = model->gamma, .rows = from};
    uint8_t *chosen = ims_calloc(from->count, 1);
    imgsim_status status = IMGSIM_OK;

    choice.squares = ims_alloc_array(from->count, sizeof(double));
    choice.distances = ims_alloc_array(from->count, sizeof(double));
    if (chosen == NULL || choice.squares == NULL || choice.distances == NULL) {
        status = ims_fail_memory(from->count * sizeof(double));
        goto done;
    }
    (void)ims_pool_run(projector->pool, chunks, measure_chunk, &choice);
    for (size_t i = 0; i < from->count; i++)
        choice.distances[i] = INFINITY;
    for (size_t i = 0; i < model->columns; i++) {
        const size_t row = i == 0 ? (size_t)ims_rng_below(rng, from->count)
                                  : draw_by_distance(&choice, chosen, rng);

        chosen[row] = 1;
        memcpy(model->landmarks + i * d, ims_row(from, row), d * sizeof(float));
        choice.landmark = ims_row(from, row);
        choice.landmark_square = choice.squares[row];
        (void)ims_pool_run(projector->pool, chunks, measure_chunk, &choice);
        choice.distances[row] = 0.0;
    }

done:
    ims_free(chosen);
    ims_free(choice.squares);
    ims_free(choice.distances);
    return status;
}

static imgsim_status choose_landmarks(
    imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_rng *rng,
    struct ims_pca_model *model)
{
    const size_t wanted = model->columns, d = rows->d;
    const bool copy = wanted == rows->count || projector->settings.even_landmarks != 0;
    struct ims_rows from = *rows;
    imgsim_status status = IMGSIM_OK;
    int64_t *drawn;

    from.count = copy ? wanted : rows->count / CHOICE < wanted ? rows->count : CHOICE * wanted;
    if ((drawn = ims_draw_rows(rng, rows->count, from.count)) == NULL)
        return ims_fail_memory(from.count * sizeof(int64_t));
    for (size_t i = 0; i < from.count && rows->ids != NULL; i++)
        drawn[i] = rows->ids[drawn[i]];
    from.ids = drawn;
    if (!copy)
        status = draw_far_apart(projector, &from, rng, model);
    for (size_t i = 0; i < wanted && copy; i++)
        memcpy(model->landmarks + i * d, ims_row(&from, i), d * sizeof(float));
    ims_free(drawn);
    return status;
}

/* ---- whitening ---- */

static imgsim_status overflows(size_t row)
{
    return ims_fail(
        IMGSIM_ERROR_INVALID_ARGUMENT, "row %zu: values so large that the kernel overflows", row);
}

struct landmark_matrix {
    const imgsim_projector *projector;
    const struct ims_pca_model *model;
    double *values; /* columns x columns */
};

static imgsim_status fill_landmark_row(void *context, size_t item, uint32_t worker)
{
    const struct landmark_matrix *matrix = context;
    const struct ims_pca_model *model = matrix->model;
    double *row = matrix->values + item * model->columns;

    (void)worker;
    ims_kernel_row(
        matrix->projector, model, model->landmarks + item * matrix->projector->input_dimension,
        row);
    for (size_t i = 0; i < model->columns; i++)
        if (!isfinite(row[i]))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "values so large that the kernel overflows");
    return IMGSIM_OK;
}

/* S^(-1/2) U^T in *out (*out_rank x landmarks); release with ims_free(). */
static imgsim_status whiten_landmarks(
    imgsim_projector *projector,
    struct ims_pca_model *model,
    float **out,
    size_t *out_rank)
{
    const size_t m = model->columns;
    struct landmark_matrix matrix = {projector, model, ims_alloc_array(m * m, sizeof(double))};
    double *vectors = ims_alloc_array(m * m, sizeof(double));
    double *values = ims_alloc_array(m, sizeof(double));
    imgsim_status status;

    *out = NULL;
    if (matrix.values == NULL || vectors == NULL || values == NULL) {
        status = ims_fail_memory(2 * m * m * sizeof(double));
        goto done;
    }
    ims_kernel_finish(projector, model);
    if ((status = ims_pool_run(projector->pool, m, fill_landmark_row, &matrix)) != IMGSIM_OK ||
        (status = ims_eigen_symmetric(matrix.values, m, m, values, vectors)) != IMGSIM_OK)
        goto done;
    *out_rank = 0;
    while (*out_rank < m && values[*out_rank] > NOISE * values[0])
        ++*out_rank;
    if (*out_rank == 0) {
        status = all_the_same();
        goto done;
    }
    if ((*out = ims_alloc_array(*out_rank * m, sizeof(float))) == NULL) {
        status = ims_fail_memory(*out_rank * m * sizeof(float));
        goto done;
    }
    for (size_t i = 0; i < *out_rank; i++)
        for (size_t j = 0; j < m; j++)
            (*out)[i * m + j] = (float)(vectors[i * m + j] / sqrt(values[i]));

done:
    ims_free(matrix.values);
    ims_free(vectors);
    ims_free(values);
    return status;
}

/* ---- features of all rows ---- */

struct features {
    const imgsim_projector *projector;
    const struct ims_pca_model *model;
    const struct ims_rows *rows;
    const float *whitening; /* rank x m */
    size_t rank;
    size_t first; /* the tile */
    size_t count;
    float *kernel_rows; /* TILE_ROWS x m */
    float *features;    /* TILE_ROWS x rank */
    double *totals;     /* of the kernel's values, m per chunk */
    double *scratch;    /* m per worker */
};

static imgsim_status fill_features(void *context, size_t item, uint32_t worker)
{
    const struct features *job = context;
    const size_t m = job->model->columns, first = item * CHUNK_ROWS;
    const size_t count = job->count - first < CHUNK_ROWS ? job->count - first : CHUNK_ROWS;
    double *values = job->scratch + worker * m, *totals = job->totals + item * m;
    float *kernel_rows = job->kernel_rows + first * m;

    memset(totals, 0, m * sizeof(double));
    for (size_t i = 0; i < count; i++) {
        ims_kernel_row(
            job->projector, job->model, ims_row(job->rows, job->first + first + i), values);
        for (size_t j = 0; j < m; j++) {
            if (!isfinite(values[j]))
                return overflows(job->first + first + i);
            totals[j] += values[j];
            kernel_rows[i * m + j] = (float)values[j];
        }
    }
    ims_gemm_nt(
        count, job->rank, m, kernel_rows, m, job->whitening, m, job->features + first * job->rank,
        job->rank);
    return IMGSIM_OK;
}

/* Add the features of all rows to `inner`, and the means of the kernel's values to the model. */
static imgsim_status add_features(
    struct features *job,
    struct ims_pool *pool,
    struct ims_meter *meter,
    imgsim_projector *inner,
    struct ims_pca_model *model)
{
    const size_t m = model->columns, n = job->rows->count;
    imgsim_status status;

    if (meter != NULL)
        ims_meter_phase(meter, "fit", n);
    for (job->first = 0; job->first < n; job->first += job->count) {
        size_t chunks;

        job->count = n - job->first < TILE_ROWS ? n - job->first : TILE_ROWS;
        chunks = (job->count + CHUNK_ROWS - 1) / CHUNK_ROWS;
        if ((status = ims_pool_run(pool, chunks, fill_features, job)) != IMGSIM_OK ||
            (status = imgsim_projector_add(inner, job->features, job->count)) != IMGSIM_OK)
            return status;
        for (size_t chunk = 0; chunk < chunks; chunk++)
            for (size_t j = 0; j < m; j++)
                model->mean[j] += job->totals[chunk * m + j] / (double)n;
        if (meter != NULL) {
            atomic_fetch_add(&meter->done, job->count);
            if ((status = ims_meter_tick(meter, false)) != IMGSIM_OK)
                return status;
        }
    }
    return IMGSIM_OK;
}

static imgsim_status stream_features(
    imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_meter *meter,
    const float *whitening,
    size_t rank,
    imgsim_projector *inner,
    struct ims_pca_model *model)
{
    const size_t m = model->columns;
    struct features job = {
        .projector = projector,
        .model = model,
        .rows = rows,
        .whitening = whitening,
        .rank = rank,
    };
    imgsim_status status;

    job.kernel_rows = ims_alloc_array(TILE_ROWS * m, sizeof(float));
    job.features = ims_alloc_array(TILE_ROWS * rank, sizeof(float));
    job.totals = ims_alloc_array(TILE_ROWS / CHUNK_ROWS * m, sizeof(double));
    job.scratch = ims_alloc_array(ims_pool_threads(projector->pool) * m, sizeof(double));
    if (job.kernel_rows == NULL || job.features == NULL || job.totals == NULL ||
        job.scratch == NULL)
        status = ims_fail_memory(TILE_ROWS * (m + rank) * sizeof(float));
    else
        status = add_features(&job, projector->pool, meter, inner, model);
    ims_free(job.kernel_rows);
    ims_free(job.features);
    ims_free(job.totals);
    ims_free(job.scratch);
    return status;
}

/* ---- the fit ---- */

/* Axes for the kernel's values, those for the features times the whitening; `row` has room for as many as there are landmarks. */
static void fold_axes(
    const struct ims_pca_model *inner,
    const float *whitening,
    size_t components,
    double *row,
    struct ims_pca_model *model)
{
    const size_t m = model->columns, rank = inner->columns;

    for (size_t i = 0; i < components; i++) {
        memset(row, 0, m * sizeof(double));
        for (size_t r = 0; r < rank; r++) {
            const double part = inner->axes[i * rank + r];

            for (size_t j = 0; j < m; j++)
                row[j] += part * whitening[r * m + j];
        }
        for (size_t j = 0; j < m; j++)
            model->axes[i * m + j] = (float)row[j];
    }
}

/* Mean square of the features, which their variance is measured by. */
static double mean_square(const struct ims_pca_model *inner)
{
    double square = inner->total_variance;

    for (size_t i = 0; i < inner->columns; i++)
        square += inner->mean[i] * inner->mean[i];
    return square;
}

static imgsim_status fit_features(
    imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_meter *meter,
    const float *whitening,
    size_t rank,
    struct ims_pca_model *model)
{
    const uint32_t components = projector->output_dimension;
    imgsim_projector_options options;
    imgsim_projector *inner = NULL;
    imgsim_status status;
    double *row;

    if (components > rank && rank > 1)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "%u components, but the landmarks span %zu directions only: ask for fewer, or take "
            "more "
            "landmarks",
            components, rank);
    (void)imgsim_projector_options_init(&options, sizeof(options));
    options.threads = projector->threads;
    if ((row = ims_alloc_array(model->columns, sizeof(double))) == NULL)
        return ims_fail_memory(model->columns * sizeof(double));
    if ((status = imgsim_projector_new(
             (uint32_t)rank, components < rank ? components : (uint32_t)rank, &options, &inner)) !=
            IMGSIM_OK ||
        (status = stream_features(projector, rows, meter, whitening, rank, inner, model)) !=
            IMGSIM_OK ||
        (status = imgsim_projector_train(inner)) != IMGSIM_OK)
        goto done;
    if (inner->model.total_variance <= SAME * mean_square(&inner->model)) {
        status = all_the_same();
        goto done;
    }
    if (components > rank) {
        status = ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "%u components, but the landmarks span one direction only", components);
        goto done;
    }
    fold_axes(&inner->model, whitening, components, row, model);
    memcpy(model->variances, inner->model.variances, components * sizeof(double));
    model->total_variance = inner->model.total_variance;
    status = ims_pca_model_finish(projector, model);

done:
    imgsim_projector_free(inner);
    ims_free(row);
    return status;
}

imgsim_status ims_kernel_fit(
    imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_meter *meter,
    struct ims_pca_model *model)
{
    struct ims_rng rng;
    float *whitening = NULL;
    size_t rank = 0;
    imgsim_status status;

    ims_rng_init(&rng, projector->settings.seed);
    if ((status = ims_projector_pool(projector)) != IMGSIM_OK ||
        (status = check_rows(projector, rows)) != IMGSIM_OK ||
        (status = choose_gamma(projector, rows, &rng, &model->gamma)) != IMGSIM_OK ||
        (status = choose_landmarks(projector, rows, &rng, model)) != IMGSIM_OK ||
        (status = whiten_landmarks(projector, model, &whitening, &rank)) != IMGSIM_OK)
        goto done;
    status = fit_features(projector, rows, meter, whitening, rank, model);

done:
    ims_free(whitening);
    return status;
}
