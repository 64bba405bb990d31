/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Principal axes without the covariance: block Krylov iterations, each of which reads the rows once.
 *
 * Halko, Martinsson & Tropp, SIAM Review 53(2), 2011, section 4.5; the whole Krylov space instead of its last block: Musco & Musco,
 * NIPS 2015, Algorithm 2. Departures: the first block are the axes of a random sample of the rows, found in the same way from a
 * Gaussian block; the images C v of all vectors are kept, so Rayleigh-Ritz and its residuals cost no reading; a later block has the
 * residuals of those Ritz vectors that are not good enough yet, and no others; and it ends when certificate.c proves the result.
 *
 * Every tile is cut into the same chunks of rows and of columns whatever the number of threads, and sums over tiles are in double
 * precision, so the result has the same bits on any number of threads.
 */
#include "project/projector.h"

#include "core/memory.h"
#include "linalg/linalg.h"
#include "simd/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define TILE_BYTES ((size_t)16 << 20)
#define TILE_ROWS_MAX ((size_t)2048)
#define CHUNK_ROWS ((size_t)256)
#define CHUNK_COLUMNS ((size_t)256)
/* Of the sample: the n-th part of the rows, at least so many for each vector; blocks of its Krylov space. */
#define SAMPLE_PART 8
#define SAMPLE_ROWS_PER_VECTOR 50
#define SAMPLE_BLOCKS 3
/* More than rounding may take from the squared length that is left of a row, so that it stays an upper bound. */
#define LEFT_SLACK 1e-5f
/* Passes over all rows at most, and the vectors that all of them may try, as a multiple of the first block. */
#define PASSES_MAX 12
#define BLOCKS_MAX 6
/* AUTO: a vector of a pass costs as much as 4 columns of the covariance, and some more for being one of few. */
#define COST_OF_VECTOR 5.0
#define AUTO_COST_MAX 0.6

/* ---- one pass ---- */

/* Applying the covariance to some vectors of the basis. */
struct pass {
    struct ims_krylov *krylov;
    const float *vectors; /* width x d */
    size_t width;
    bool first_pass; /* check rows, sum columns and squares */
    size_t tile_rows;
    size_t first; /* the tile */
    size_t count;
    float *tile;     /* tile_rows x d, shifted */
    float *products; /* tile_rows x width */
    double *squares; /* per chunk of rows */
    float *scratch;  /* per thread: width x CHUNK_COLUMNS */
    double *sums;    /* width x d */
};

static size_t part(size_t item, size_t size, size_t total)
{
    const size_t first = item * size;

    return total - first < size ? total - first : size;
}

/* Fetch and shift a chunk of rows, and multiply it with the vectors. */
static imgsim_status multiply_rows(void *context, size_t item, uint32_t worker)
{
    struct pass *pass = context;
    struct ims_krylov *krylov = pass->krylov;
    const struct ims_kernels *kernels = ims_kernels();
    const size_t d = krylov->rows->d;
    const size_t first = item * CHUNK_ROWS;
    const size_t count = part(item, CHUNK_ROWS, pass->count);
    float *tile = pass->tile + first * d;
    float *products = pass->products + first * pass->width;
    double squares = 0.0;
    imgsim_status status;

    (void)worker;
    for (size_t i = 0; i < count; i++) {
        const size_t number = pass->first + first + i;
        const float *row = ims_row(krylov->rows, number);
        const size_t name = krylov->numbers != NULL ? (size_t)krylov->numbers[number] : number;

        if (pass->first_pass && (status = ims_check_finite(row, 1, d, name)) != IMGSIM_OK)
            return status;
        for (size_t c = 0; c < d; c++)
            tile[i * d + c] = row[c] - krylov->shift[c];
    }
    ims_gemm_nt(count, pass->width, d, tile, d, pass->vectors, d, products, pass->width);
    for (size_t i = 0; i < count; i++) {
        const float *row = tile + i * d, *in_space = products + i * pass->width;
        const float square = pass->first_pass ? kernels->dot(row, row, d) : 0.0f;
        float *left = krylov->left != NULL ? krylov->left + pass->first + first + i : NULL;

        squares += square;
        if (left != NULL)
            *left = (pass->first_pass ? square * (1.0f + LEFT_SLACK) : *left) -
                    kernels->dot(in_space, in_space, pass->width);
    }
    pass->squares[item] = squares;
    return IMGSIM_OK;
}

/* Add the tile's part of the images, a chunk of their columns. */
static imgsim_status add_columns(void *context, size_t item, uint32_t worker)
{
    struct pass *pass = context;
    struct ims_krylov *krylov = pass->krylov;
    const size_t d = krylov->rows->d;
    const size_t first = item * CHUNK_COLUMNS;
    const size_t columns = part(item, CHUNK_COLUMNS, d);
    const float *tile = pass->tile + first;
    float *scratch = pass->scratch + worker * pass->width * CHUNK_COLUMNS;

    ims_gemm_tn(
        pass->width, columns, pass->count, pass->products, pass->width, tile, d, scratch, columns);
    for (size_t i = 0; i < pass->width; i++)
        for (size_t c = 0; c < columns; c++)
            pass->sums[i * d + first + c] += scratch[i * columns + c];
    if (pass->first_pass)
        for (size_t row = 0; row < pass->count; row++)
            for (size_t c = 0; c < columns; c++)
                krylov->totals[first + c] += tile[row * d + c];
    return IMGSIM_OK;
}

static imgsim_status
read_all_rows(struct pass *pass, struct ims_pool *pool, struct ims_meter *meter)
{
    struct ims_krylov *krylov = pass->krylov;
    const size_t d = krylov->rows->d;
    imgsim_status status;

    if (meter != NULL)
        ims_meter_phase(meter, "fit", krylov->rows->count);
    for (pass->first = 0; pass->first < krylov->rows->count; pass->first += pass->count) {
        const size_t left = krylov->rows->count - pass->first;
        size_t chunks;

        pass->count = left < pass->tile_rows ? left : pass->tile_rows;
        chunks = (pass->count + CHUNK_ROWS - 1) / CHUNK_ROWS;
        if ((status = ims_pool_run(pool, chunks, multiply_rows, pass)) != IMGSIM_OK)
            return status;
        (void)ims_pool_run(pool, (d + CHUNK_COLUMNS - 1) / CHUNK_COLUMNS, add_columns, pass);
        for (size_t chunk = 0; chunk < chunks; chunk++)
            krylov->squares += pass->squares[chunk];
        if (meter != NULL) {
            atomic_fetch_add(&meter->done, pass->count);
            if ((status = ims_meter_tick(meter, false)) != IMGSIM_OK)
                return status;
        }
    }
    return IMGSIM_OK;
}

/* images = (sums - n (v.t) t) / (n - 1), t the mean of the shifted rows. */
static void finish_images(struct ims_krylov *krylov, const double *sums, size_t width)
{
    const size_t d = krylov->rows->d;
    const double n = (double)krylov->rows->count;
    const float *vectors = krylov->basis + krylov->count * d;
    float *images = krylov->image + krylov->count * d;

    for (size_t i = 0; i < width; i++) {
        double along = 0.0;

        for (size_t c = 0; c < d; c++)
            along += vectors[i * d + c] * krylov->totals[c];
        for (size_t c = 0; c < d; c++)
            images[i * d + c] =
                (float)((sums[i * d + c] - along * krylov->totals[c] / n) / (n - 1.0));
    }
}

/* Take the `width` orthonormal vectors that stand behind the basis into it, with their images. */
static imgsim_status apply_covariance(
    struct ims_krylov *krylov,
    size_t width,
    struct ims_pool *pool,
    struct ims_meter *meter)
{
    const size_t d = krylov->rows->d;
    size_t tile_rows = TILE_BYTES / (d * sizeof(float)) / CHUNK_ROWS * CHUNK_ROWS;
    struct pass pass = {
        .krylov = krylov,
        .vectors = krylov->basis + krylov->count * d,
        .width = width,
        .first_pass = krylov->count == 0,
    };
    imgsim_status status;

    tile_rows = tile_rows > TILE_ROWS_MAX ? TILE_ROWS_MAX : tile_rows;
    pass.tile_rows = tile_rows > 0 ? tile_rows : CHUNK_ROWS;
    pass.tile = ims_alloc_aligned(pass.tile_rows * d * sizeof(float));
    pass.products = ims_alloc_array(pass.tile_rows * width, sizeof(float));
    pass.squares = ims_alloc_array(pass.tile_rows / CHUNK_ROWS, sizeof(double));
    pass.scratch = ims_alloc_array(ims_pool_threads(pool) * width * CHUNK_COLUMNS, sizeof(float));
    pass.sums = ims_calloc(width * d, sizeof(double));
    if (pass.tile == NULL || pass.products == NULL || pass.squares == NULL ||
        pass.scratch == NULL || pass.sums == NULL)
        status = ims_fail_memory(pass.tile_rows * d * sizeof(float));
    else
        status = read_all_rows(&pass, pool, meter);
    if (status == IMGSIM_OK) {
        finish_images(krylov, pass.sums, width);
        if (krylov->count == 0)
            krylov->first_block = width;
        krylov->count += width;
    }
    ims_free_aligned(pass.tile);
    ims_free(pass.products);
    ims_free(pass.squares);
    ims_free(pass.scratch);
    ims_free(pass.sums);
    return status;
}

/* ---- the space ---- */

static void krylov_clear(struct ims_krylov *krylov)
{
    ims_free(krylov->basis);
    ims_free(krylov->image);
    ims_free(krylov->totals);
    ims_free(krylov->left);
    ims_free(krylov->values);
    ims_free(krylov->vectors);
    ims_free(krylov->residuals);
    memset(krylov, 0, sizeof(*krylov));
}

static imgsim_status krylov_init(
    struct ims_krylov *krylov,
    const struct ims_rows *rows,
    float *shift,
    size_t capacity,
    bool with_left)
{
    const size_t d = rows->d;

    *krylov = (struct ims_krylov){.rows = rows, .capacity = capacity, .shift = shift};
    krylov->basis = ims_alloc_array(capacity * d, sizeof(float));
    krylov->image = ims_alloc_array(capacity * d, sizeof(float));
    krylov->totals = ims_calloc(d, sizeof(double));
    krylov->left = with_left ? ims_alloc_array(rows->count, sizeof(float)) : NULL;
    krylov->values = ims_alloc_array(capacity, sizeof(double));
    krylov->vectors = ims_alloc_array(capacity * d, sizeof(float));
    krylov->residuals = ims_alloc_array(capacity * d, sizeof(float));
    if (krylov->basis == NULL || krylov->image == NULL || krylov->totals == NULL ||
        (with_left && krylov->left == NULL) || krylov->values == NULL || krylov->vectors == NULL ||
        krylov->residuals == NULL) {
        krylov_clear(krylov);
        return ims_fail_memory(4 * capacity * d * sizeof(float));
    }
    return IMGSIM_OK;
}

/* block -= (block basis^T) basis */
static imgsim_status take_off_basis(struct ims_krylov *krylov, float *block, size_t width)
{
    const size_t d = krylov->rows->d, p = krylov->count;
    float *along = ims_alloc_array(p * width + width * d, sizeof(float));
    float *inside = along != NULL ? along + p * width : NULL;

    if (along == NULL)
        return ims_fail_memory((p * width + width * d) * sizeof(float));
    ims_gemm_nt(p, width, d, krylov->basis, d, block, d, along, width);
    ims_gemm_tn(width, d, p, along, width, krylov->basis, d, inside, d);
    for (size_t i = 0; i < width * d; i++)
        block[i] -= inside[i];
    ims_free(along);
    return IMGSIM_OK;
}

/* Make the rows behind the basis orthonormal, to one another and to it; twice is enough. */
static imgsim_status orthonormalize_block(struct ims_krylov *krylov, size_t width)
{
    float *block = krylov->basis + krylov->count * krylov->rows->d;
    imgsim_status status = IMGSIM_OK;

    for (int round = 0; round < 2 && status == IMGSIM_OK; round++) {
        if (krylov->count > 0)
            status = take_off_basis(krylov, block, width);
        if (status == IMGSIM_OK)
            status = ims_orthonormalize(block, width, krylov->rows->d);
    }
    return status;
}

/* Rayleigh-Ritz: values, vectors and residuals of all of the space. */
static imgsim_status find_ritz_pairs(struct ims_krylov *krylov)
{
    const size_t d = krylov->rows->d, p = krylov->count;
    float *products = ims_alloc_array(p * p, sizeof(float));
    double *matrix = ims_alloc_array(2 * p * p, sizeof(double));
    double *mixes = matrix != NULL ? matrix + p * p : NULL;
    imgsim_status status;

    if (products == NULL || matrix == NULL) {
        status = ims_fail_memory(2 * p * p * sizeof(double));
        goto done;
    }
    ims_gemm_nt(p, p, d, krylov->basis, d, krylov->image, d, products, p);
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j <= i; j++)
            matrix[i * p + j] = 0.5 * ((double)products[i * p + j] + products[j * p + i]);
    if ((status = ims_eigen_symmetric(matrix, p, p, krylov->values, mixes)) != IMGSIM_OK)
        goto done;

    /* vectors = mixes basis, C vectors = mixes image; the products take their left side transposed. */
    for (size_t i = 0; i < p; i++)
        for (size_t j = 0; j < p; j++)
            products[j * p + i] = (float)mixes[i * p + j];
    ims_gemm_tn(p, d, p, products, p, krylov->basis, d, krylov->vectors, d);
    ims_gemm_tn(p, d, p, products, p, krylov->image, d, krylov->residuals, d);
    for (size_t i = 0; i < p; i++)
        for (size_t c = 0; c < d; c++)
            krylov->residuals[i * d + c] -= (float)(krylov->values[i] * krylov->vectors[i * d + c]);

done:
    ims_free(products);
    ims_free(matrix);
    return status;
}

double ims_expected_outside(const struct ims_krylov *krylov)
{
    return 1.1 * krylov->values[krylov->first_block - 1];
}

/* ---- samples ---- */

int64_t *ims_draw_rows(struct ims_rng *rng, size_t total, size_t count)
{
    int64_t *out = ims_alloc_array(count, sizeof(int64_t));
    size_t found = 0;

    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < total && found < count; i++)
        if (ims_rng_below(rng, total - i) < count - found)
            out[found++] = (int64_t)i;
    return out;
}

/* Mean of the sample's first rows: near the mean of all, which is all that a shift has to be. */
static void find_shift(const struct ims_rows *rows, double *totals, float *out_shift)
{
    const size_t count = rows->count < TILE_ROWS_MAX ? rows->count : TILE_ROWS_MAX;

    memset(totals, 0, rows->d * sizeof(double));
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < rows->d; c++)
            totals[c] += ims_row(rows, i)[c];
    for (size_t c = 0; c < rows->d; c++)
        out_shift[c] = (float)(totals[c] / (double)count);
    memset(totals, 0, rows->d * sizeof(double));
}

/* The first `width` Ritz vectors of a sample, from a Gaussian block, into `out`. */
static imgsim_status start_from_sample(
    const struct ims_rows *sample,
    const int64_t *numbers,
    float *shift,
    size_t width,
    struct ims_pool *pool,
    struct ims_rng *rng,
    float *out)
{
    const size_t d = sample->d;
    struct ims_krylov krylov;
    imgsim_status status;

    if ((status = krylov_init(&krylov, sample, shift, SAMPLE_BLOCKS * width, false)) != IMGSIM_OK)
        return status;
    krylov.numbers = numbers;
    find_shift(sample, krylov.totals, shift);
    for (size_t i = 0; i < width * d; i++)
        krylov.basis[i] = (float)ims_rng_normal(rng);
    for (size_t block = 0; block < SAMPLE_BLOCKS; block++) {
        float *next = krylov.basis + krylov.count * d;

        if (block > 0)
            memcpy(next, krylov.image + (krylov.count - width) * d, width * d * sizeof(float));
        if ((status = orthonormalize_block(&krylov, width)) != IMGSIM_OK ||
            (status = apply_covariance(&krylov, width, pool, NULL)) != IMGSIM_OK)
            goto done;
    }
    if ((status = find_ritz_pairs(&krylov)) == IMGSIM_OK)
        memcpy(out, krylov.vectors, width * d * sizeof(float));

done:
    krylov_clear(&krylov);
    return status;
}

/* ---- the fit ---- */

/* Vectors of the first block: some more than are wanted, as the last ones come slowly. */
static size_t first_width(const imgsim_projector *projector)
{
    const size_t m = projector->output_dimension;

    return m + (m > 10 ? m : 10);
}

static size_t sample_rows(size_t row_count, size_t width)
{
    const size_t most = SAMPLE_ROWS_PER_VECTOR * width;

    return row_count / SAMPLE_PART > most ? row_count / SAMPLE_PART : most;
}

bool ims_randomised_suits(const imgsim_projector *projector, size_t row_count)
{
    const size_t d = projector->input_dimension;
    const size_t width = first_width(projector);
    const double cost = COST_OF_VECTOR * (double)width / (double)d;

    if (SAMPLE_BLOCKS * width > d || row_count < 2 * sample_rows(row_count, width))
        return false;
    /* The sample and two passes. */
    return projector->settings.method == IMGSIM_PCA_RANDOMISED ||
           (row_count >= 8 * d &&
            cost * (2.0 + (double)SAMPLE_BLOCKS / SAMPLE_PART) <= AUTO_COST_MAX);
}

/*
 * Copy behind the basis what the next pass should look at: residuals of Ritz vectors among the first k whose variance is not known
 * well enough, and of later ones that may yet turn out to be larger than the k-th. Returns their number, 0 if all is well.
 */
static size_t
choose_next_block(const imgsim_projector *projector, struct ims_krylov *krylov, double tolerance)
{
    const size_t d = krylov->rows->d, k = projector->output_dimension;
    const double *values = krylov->values;
    const double room = 0.2 * (values[k - 1] - ims_expected_outside(krylov));
    size_t width = 0;

    for (size_t i = 0; i < krylov->count; i++) {
        const float *residual = krylov->residuals + i * d;
        const double rise = ims_kernels()->dot(residual, residual, d) / fmax(room, DBL_MIN);

        if (i < k ? rise <= 0.25 * tolerance * values[i] : values[i] + rise < values[k - 1])
            continue;
        if (krylov->count + width >= krylov->capacity)
            break;
        memcpy(krylov->basis + (krylov->count + width++) * d, residual, d * sizeof(float));
    }
    return width;
}

/* Passes over all rows until it is certified, or not worth going on. */
static imgsim_status iterate(
    imgsim_projector *projector,
    struct ims_krylov *krylov,
    size_t width,
    struct ims_rng *rng,
    struct ims_meter *meter,
    imgsim_pca_report *report,
    bool *out_done)
{
    const double tolerance = projector->settings.tolerance;
    const bool is_auto = projector->settings.method == IMGSIM_PCA_AUTO;
    imgsim_status status;

    while (report->passes < PASSES_MAX && width > 0) {
        if (is_auto && COST_OF_VECTOR * (double)(krylov->count + width) >
                           AUTO_COST_MAX * projector->input_dimension)
            return IMGSIM_OK;
        if ((status = orthonormalize_block(krylov, width)) != IMGSIM_OK ||
            (status = apply_covariance(krylov, width, projector->pool, meter)) != IMGSIM_OK ||
            (status = find_ritz_pairs(krylov)) != IMGSIM_OK)
            return status;
        report->passes++;
        if ((width = choose_next_block(projector, krylov, tolerance)) > 0)
            continue;
        if ((status = ims_certify(projector, krylov, rng, report)) != IMGSIM_OK)
            return status;
        *out_done = report->variance_error <= tolerance;
        /* Where the estimates were too hopeful: once more, more strictly. */
        if (!*out_done && isfinite(report->variance_error))
            width = choose_next_block(projector, krylov, tolerance / 100.0);
    }
    return IMGSIM_OK;
}

/* Mean, axes and variances of the first Ritz pairs. */
static imgsim_status fill_model(
    const imgsim_projector *projector,
    const struct ims_krylov *krylov,
    struct ims_pca_model *model)
{
    const size_t d = krylov->rows->d;
    const double n = (double)krylov->rows->count;
    double of_mean = 0.0;

    for (size_t c = 0; c < d; c++) {
        model->mean[c] = (double)krylov->shift[c] + krylov->totals[c] / n;
        of_mean += krylov->totals[c] * krylov->totals[c] / n;
    }
    model->total_variance = (krylov->squares - of_mean) / (n - 1.0);
    for (size_t i = 0; i < projector->output_dimension; i++) {
        const float *vector = krylov->vectors + i * d;
        double square = 0.0;
        size_t largest = 0;

        model->variances[i] = krylov->values[i];
        for (size_t c = 0; c < d; c++) {
            square += (double)vector[c] * vector[c];
            if (fabsf(vector[c]) > fabsf(vector[largest]))
                largest = c;
        }
        square = vector[largest] < 0.0f ? -sqrt(square) : sqrt(square);
        for (size_t c = 0; c < d; c++)
            model->axes[i * d + c] = (float)(vector[c] / square);
    }
    return ims_pca_model_finish(projector, model);
}

imgsim_status ims_randomised_fit(
    imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_meter *meter,
    struct ims_pca_model *model,
    imgsim_pca_report *report,
    bool *out_done)
{
    const size_t d = rows->d, width = first_width(projector);
    struct ims_krylov krylov = {0};
    struct ims_rows sample = *rows;
    struct ims_rng rng;
    int64_t *drawn = NULL, *ids = NULL;
    float *shift = ims_alloc_array(d, sizeof(float));
    imgsim_status status;

    *out_done = false;
    ims_rng_init(&rng, projector->settings.seed);
    sample.count = sample_rows(rows->count, width);
    drawn = ims_draw_rows(&rng, rows->count, sample.count);
    ids = ims_alloc_array(sample.count, sizeof(int64_t));
    if (shift == NULL || drawn == NULL || ids == NULL) {
        status = ims_fail_memory(d * sizeof(float));
        goto done;
    }
    for (size_t i = 0; i < sample.count; i++)
        ids[i] = rows->ids != NULL ? rows->ids[drawn[i]] : drawn[i];
    sample.ids = ids;
    if ((status = ims_projector_pool(projector)) != IMGSIM_OK ||
        (status = krylov_init(
             &krylov, rows, shift, BLOCKS_MAX * width < d / 2 ? BLOCKS_MAX * width : d / 2,
             true)) != IMGSIM_OK ||
        (status = start_from_sample(
             &sample, drawn, shift, width, projector->pool, &rng, krylov.basis)) != IMGSIM_OK ||
        (status = iterate(projector, &krylov, width, &rng, meter, report, out_done)) != IMGSIM_OK)
        goto done;
    if (*out_done)
        status = fill_model(projector, &krylov, model);

done:
    krylov_clear(&krylov);
    ims_free(drawn);
    ims_free(ids);
    ims_free(shift);
    return status;
}
