/* SPDX-License-Identifier: Apache-2.0 */
/* What a row's distance is: exactly, in double precision, and quickly, as bounds from float arithmetic. */
#include "index/index_private.h"

#include "core/memory.h"
#include "simd/kernels.h"
#include "simd/metric.h"
#include "simd/reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Bins a sparse entry can name; queries for them are padded to this, so that no bin leads outside. */
#define SPARSE_BINS 65536
/* Rows given to a callback, or scored, at a time. */
#define CALLBACK_ROWS 1024

/* ---- queries ---- */

/* Rows kept as R x are compared by L2. */
static int32_t row_metric(const imgsim_index *index)
{
    return index->metric == IMGSIM_METRIC_MAHALANOBIS ? IMGSIM_METRIC_L2 : index->metric;
}

/* The query as the float kernels want it: of length 1 for cosine, without next-to-empty bins for chi-square. */
static void
fill_scan(const imgsim_index *index, const float *row, struct ims_prepared_query *prepared)
{
    const int32_t metric = index->metric;

    for (uint32_t i = 0; i < index->dimension; i++) {
        if (metric == IMGSIM_METRIC_COSINE || metric == IMGSIM_METRIC_ANGULAR)
            prepared->scan[i] = prepared->norm > 0 ? (float)((double)row[i] / prepared->norm) : 0;
        else if (metric == IMGSIM_METRIC_CHI_SQUARE)
            prepared->scan[i] = fabs((double)row[i]) > DBL_EPSILON ? row[i] : 0;
        else
            prepared->scan[i] = row[i];
    }
}

imgsim_status
ims_prepare(const imgsim_index *index, const void *query, struct ims_prepared_query *prepared)
{
    const bool sparse = index->rows.form == IMS_ROWS_SPARSE;
    const size_t count = sparse ? SPARSE_BINS : index->dimension;
    const bool callback = index->metric == IMGSIM_METRIC_CALLBACK;

    memset(prepared, 0, sizeof(*prepared));
    prepared->row = query;
    if (index->rows.form == IMS_ROWS_BITS || (callback && !sparse))
        return IMGSIM_OK;
    if ((prepared->scan = ims_calloc(count, sizeof(float))) == NULL ||
        (sparse && (prepared->dense = ims_calloc(index->dimension, sizeof(float))) == NULL)) {
        ims_prepared_query_clear(prepared);
        return ims_fail_memory(count * sizeof(float));
    }
    if (callback)
        return IMGSIM_OK;

    prepared->sum = ims_exact_sum(query, index->dimension);
    prepared->squared = ims_exact_dot(query, query, index->dimension);
    prepared->norm = sqrt(prepared->squared);
    fill_scan(index, query, prepared);
    prepared->counted = ims_exact_sum(prepared->scan, index->dimension);
    return IMGSIM_OK;
}

void ims_prepared_query_clear(struct ims_prepared_query *prepared)
{
    ims_free(prepared->scan);
    ims_free(prepared->dense);
    prepared->scan = NULL;
    prepared->dense = NULL;
}

imgsim_status ims_dense_room(const imgsim_index *index, float **out_room)
{
    *out_room = NULL;
    if (index->rows.form == IMS_ROWS_SPARSE &&
        (*out_room = ims_calloc(index->dimension, sizeof(float))) == NULL)
        return ims_fail_memory(index->dimension * sizeof(float));
    return IMGSIM_OK;
}

/* ---- exact ---- */

/* Cosine from the sums that are known of both rows. */
static double exact_cosine(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const float *row,
    uint32_t slot)
{
    return ims_exact_cosine_of(
        ims_exact_dot(query->row, row, index->dimension), query->squared,
        index->rows.sums[slot].squared);
}

double
ims_exact_value(const imgsim_index *index, const struct ims_prepared_query *query, uint32_t slot)
{
    const int32_t metric = row_metric(index);
    const void *row;

    if (index->rows.form == IMS_ROWS_BITS)
        return ims_metric_compare(
            metric, IMGSIM_ROW_BITS, query->row, ims_rows_at(&index->rows, slot), index->dimension);
    if (index->rows.form == IMS_ROWS_SPARSE) {
        ims_rows_densify(&index->rows, slot, query->dense);
        row = query->dense;
    } else {
        row = ims_rows_at(&index->rows, slot);
    }
    if (metric == IMGSIM_METRIC_COSINE)
        return exact_cosine(index, query, row, slot);
    if (metric == IMGSIM_METRIC_ANGULAR)
        return acos(exact_cosine(index, query, row, slot));
    return ims_metric_compare(metric, IMGSIM_ROW_FLOAT32, query->row, row, index->dimension);
}

double
ims_exact_key(const imgsim_index *index, const struct ims_prepared_query *query, uint32_t slot)
{
    switch (row_metric(index)) {
    case IMGSIM_METRIC_L2:
        return ims_exact_l2_squared(query->row, ims_rows_at(&index->rows, slot), index->dimension);
    case IMGSIM_METRIC_ANGULAR: /* the arc cosine of two C libraries may differ in the last bit */
        return 1 - exact_cosine(index, query, ims_rows_at(&index->rows, slot), slot);
    default:
        return ims_metric_distance(index->metric, ims_exact_value(index, query, slot));
    }
}

bool ims_metric_has_true_order(const imgsim_index *index)
{
    const int32_t metric = row_metric(index);

    return index->rows.form == IMS_ROWS_FLOAT &&
           (metric == IMGSIM_METRIC_COSINE || metric == IMGSIM_METRIC_ANGULAR ||
            metric == IMGSIM_METRIC_INNER_PRODUCT || metric == IMGSIM_METRIC_L2);
}

/*
 * Products of floats are exact in double precision; a sum of n in eight lanes goes through n / 8 + 3 additions, each of which is
 * off by 2^-53 at most (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). Some for differences, squares and
 * what follows the sums, and room for the products of errors.
 */
double ims_key_error(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    uint32_t slot,
    double key)
{
    const double unit = (index->dimension / 8 + 16) * (DBL_EPSILON / 2) * 1.01;
    double norm;

    if (!ims_metric_has_true_order(index))
        return 0;
    if (row_metric(index) == IMGSIM_METRIC_L2)
        return unit * key;
    norm = query->norm * sqrt(index->rows.sums[slot].squared);
    if (index->metric == IMGSIM_METRIC_INNER_PRODUCT)
        return unit * norm;
    return norm > 0 ? 2 * unit : 0;
}

double ims_key_distance(int32_t metric, double key)
{
    return metric == IMGSIM_METRIC_ANGULAR ? acos(1 - key) : key;
}

/* ---- bounds ---- */

/*
 * Rounding errors of sums in float. A sum of n products, added in any order, with or without FMA, is off by at most
 * n u / (1 - n u) times the sum of their magnitudes, u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms,
 * section 3.1); by Cauchy and Schwarz that sum is at most |a| |b|. The few roundings in the terms themselves are added to n.
 * Results below the normal range add an absolute error of 2^-149 per operation.
 */
static double relative_error(size_t terms)
{
    return 1.01 * (double)(terms + 24) * (FLT_EPSILON / 2);
}

static double absolute_error(size_t terms)
{
    return (double)(2 * terms + 24) * (double)FLT_TRUE_MIN;
}

/* Sum of a row's squares; a metric that asks for it made sure that it is known. */
static double row_squared(const imgsim_index *index, uint32_t slot)
{
    return index->rows.sums[slot].squared;
}

static void exact_bounds(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    uint32_t slot,
    double *lower,
    double *upper)
{
    const double key = ims_exact_key(index, query, slot);
    const double error = ims_key_error(index, query, slot, key);

    *lower = key - error;
    *upper = key + error;
}

/* Pearson's r from a dot product, OpenCV's rule for constant histograms left to the exact path. */
static void correlation_bounds(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    uint32_t slot,
    double dot,
    double relative,
    double *lower,
    double *upper)
{
    const double scale = 1.0 / index->dimension;
    const struct ims_row_sums sums = index->rows.sums[slot];
    const double query_variance = query->squared - query->sum * query->sum * scale;
    const double row_variance = sums.squared - sums.sum * sums.sum * scale;
    const double root = sqrt(query_variance * row_variance);
    const double r = (dot - query->sum * sums.sum * scale) / root;
    /* The variances are differences in double precision: what cancels leaves their errors behind. */
    const double cancelled = query->squared / query_variance + sums.squared / row_variance;
    const double margin =
        (relative * query->norm * sqrt(sums.squared) + absolute_error(index->dimension)) / root +
        1e-12 * cancelled * (1 + fabs(r));

    *lower = 1 - r - margin;
    *upper = 1 - r + margin;
    if (!(query_variance * row_variance > 2 * DBL_EPSILON) || !isfinite(*lower) ||
        !isfinite(*upper))
        exact_bounds(index, query, slot, lower, upper);
}

void ims_estimate_from_dots(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const uint32_t *slots,
    const float *raw,
    size_t count,
    double *lower,
    double *upper)
{
    const double relative = relative_error(index->dimension);
    const double absolute = absolute_error(index->dimension);
    /* Of the squares, and of the distance in double precision that this one stands for. */
    const double sums = (index->dimension / 8 + 16) * DBL_EPSILON;

    for (size_t i = 0; i < count; i++) {
        const uint32_t slot = slots[i];
        const double dot = raw[i], squared = row_squared(index, slot), norm = sqrt(squared);
        double key, margin;

        switch (row_metric(index)) {
        case IMGSIM_METRIC_COSINE:
        case IMGSIM_METRIC_ANGULAR:
            key = squared > 0 ? 1 - dot / norm : 1;
            margin = squared > 0 ? 2 * relative + absolute / norm : 0;
            break;
        case IMGSIM_METRIC_INNER_PRODUCT:
            key = -dot;
            margin = relative * query->norm * norm + absolute;
            break;
        case IMGSIM_METRIC_L2:
            key = query->squared + squared - 2 * dot;
            margin =
                2 * (relative * query->norm * norm + absolute) + sums * (query->squared + squared);
            break;
        default:
            correlation_bounds(index, query, slot, dot, relative, lower + i, upper + i);
            continue;
        }
        lower[i] = key - margin;
        upper[i] = key + margin;
        if (!isfinite(lower[i]) || !isfinite(upper[i]))
            exact_bounds(index, query, slot, lower + i, upper + i);
    }
}

/* Bounds of sums of terms that are not negative: their error is relative to the sum itself. */
static void bounds_from_sums(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const uint32_t *slots,
    const float *raw,
    size_t count,
    double *lower,
    double *upper)
{
    const bool sparse = index->rows.form == IMS_ROWS_SPARSE;

    for (size_t i = 0; i < count; i++) {
        const size_t terms = sparse ? index->rows.lengths[slots[i]] : index->dimension;
        const double relative = relative_error(terms), absolute = absolute_error(terms);
        double value = raw[i], margin = relative * value + absolute;

        if (sparse &&
            (index->metric == IMGSIM_METRIC_L1 || index->metric == IMGSIM_METRIC_CHI_SQUARE))
            /* Terms over the row's entries have both signs; their magnitudes add up to less than this. */
            margin = 4 * relative * (fabs(value) + 4 * fabs(query->sum)) + absolute;
        switch (index->metric) {
        case IMGSIM_METRIC_INTERSECTION:
            value = -value;
            break;
        case IMGSIM_METRIC_BHATTACHARYYA: {
            const double product = query->sum * index->rows.sums[slots[i]].sum;
            const double scale = product > FLT_EPSILON ? 1 / sqrt(product) : 1;

            /* Products that fell to 0 have roots up to 2^-74.5. */
            margin = 1e-12 + scale * (margin + 4e-23 * ((double)terms + 24.0));
            value = 1 - value * scale;
            lower[i] = sqrt(fmax(value - margin, 0));
            upper[i] = sqrt(fmax(value + margin, 0));
            if (!isfinite(upper[i]) || isnan(value) || fabs(product / FLT_EPSILON - 1) < 1e-6)
                exact_bounds(index, query, slots[i], lower + i, upper + i);
            continue;
        }
        case IMGSIM_METRIC_CHI_SQUARE:
            margin += absolute / DBL_EPSILON; /* squares that fell to 0, divided by small bins */
            break;
        default:
            break;
        }
        lower[i] = value - margin;
        upper[i] = value + margin;
        if (!isfinite(lower[i]) || !isfinite(upper[i]))
            exact_bounds(index, query, slots[i], lower + i, upper + i);
    }
}

/* ---- float scores ---- */

typedef float (*pair_kernel)(const float *a, const float *b, size_t count);
typedef void (
    *four_kernel)(const float *query, const float *rows, size_t stride, size_t count, float out[4]);

/* Kernel of a metric on dense rows, and the one that takes four rows if there is one. */
static pair_kernel dense_kernel(int32_t metric, four_kernel *four)
{
    const struct ims_kernels *kernels = ims_kernels();

    *four = NULL;
    switch (metric) {
    case IMGSIM_METRIC_L2:
        *four = kernels->l2_squared4;
        return kernels->l2_squared;
    case IMGSIM_METRIC_L1:
        return kernels->l1;
    case IMGSIM_METRIC_CHI_SQUARE:
        return kernels->chi_square;
    case IMGSIM_METRIC_INTERSECTION:
        return kernels->intersection;
    case IMGSIM_METRIC_BHATTACHARYYA:
        return kernels->sqrt_dot;
    default:
        *four = kernels->dot4;
        return kernels->dot;
    }
}

static bool follow_each_other(const uint32_t slots[4])
{
    return slots[1] == slots[0] + 1 && slots[2] == slots[0] + 2 && slots[3] == slots[0] + 3;
}

static void dense_scores(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const uint32_t *slots,
    size_t count,
    float *raw)
{
    const uint32_t dimension = index->dimension;
    const float *rows = (const float *)(const void *)index->rows.data;
    four_kernel four;
    const pair_kernel one = dense_kernel(row_metric(index), &four);
    size_t i = 0;

    while (i < count) {
        const float *row = rows + (size_t)slots[i] * dimension;

        if (four != NULL && i + 4 <= count && follow_each_other(slots + i)) {
            four(query->scan, row, dimension, dimension, raw + i);
            i += 4;
        } else {
            raw[i++] = one(query->scan, row, dimension);
        }
    }
}

static void bit_keys(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const uint32_t *slots,
    size_t count,
    double *keys)
{
    const struct ims_kernels *kernels = ims_kernels();

    for (size_t i = 0; i < count; i++) {
        const uint8_t *row = ims_rows_at(&index->rows, slots[i]);
        uint32_t both, any;

        if (index->metric == IMGSIM_METRIC_HAMMING) {
            keys[i] = kernels->hamming(query->row, row, index->rows.row_size);
        } else {
            kernels->jaccard(query->row, row, index->rows.row_size, &both, &any);
            keys[i] = any == 0 ? 0 : 1 - (double)both / any;
        }
    }
}

/* One row for the host's function, as its row type says. */
static void callback_row(const imgsim_index *index, uint32_t slot, uint8_t *out)
{
    const struct ims_rows *rows = &index->rows;

    if (rows->form != IMS_ROWS_SPARSE) {
        memcpy(out, ims_rows_at(rows, slot), rows->row_size);
    } else if (index->row_type == IMGSIM_ROW_UINT32) {
        memset(out, 0, rows->row_size);
        for (uint32_t e = 0; e < rows->lengths[slot]; e++) {
            const size_t entry = rows->offsets[slot] + e;
            uint32_t room;

            if (rows->bins[entry] < rows->dimension)
                memcpy(
                    out + rows->bins[entry] * sizeof(uint32_t),
                    ims_rows_counts(rows, entry, 1, &room), sizeof(uint32_t));
        }
    } else {
        ims_rows_densify(rows, slot, (float *)(void *)out);
    }
}

static imgsim_status callback_keys(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const uint32_t *slots,
    size_t count,
    double *keys)
{
    imgsim_status status = IMGSIM_OK;
    const size_t row_size = index->rows.row_size;
    uint8_t *rows = NULL;
    float distances[CALLBACK_ROWS];
    int32_t answer;

    if ((rows = ims_alloc_array(count < CALLBACK_ROWS ? count : CALLBACK_ROWS, row_size)) == NULL)
        return ims_fail_memory(CALLBACK_ROWS * row_size);
    for (size_t start = 0; start < count && status == IMGSIM_OK; start += CALLBACK_ROWS) {
        const size_t used = count - start < CALLBACK_ROWS ? count - start : CALLBACK_ROWS;

        for (size_t i = 0; i < used; i++)
            callback_row(index, slots[start + i], rows + i * row_size);
        answer = index->callback(
            query->row, rows, used, index->dimension, index->row_type, distances, index->user_data);
        if (answer != 0)
            status =
                ims_fail(IMGSIM_ERROR_CALLBACK, "the metric's function returned %d", (int)answer);
        for (size_t i = 0; i < used && status == IMGSIM_OK; i++) {
            keys[start + i] = distances[i];
            if (isnan(distances[i]))
                status = ims_fail(IMGSIM_ERROR_CALLBACK, "the metric's function gave no number");
        }
    }
    ims_free(rows);
    return status;
}

bool ims_metric_by_dots(int32_t metric)
{
    return metric == IMGSIM_METRIC_COSINE || metric == IMGSIM_METRIC_ANGULAR ||
           metric == IMGSIM_METRIC_INNER_PRODUCT || metric == IMGSIM_METRIC_L2 ||
           metric == IMGSIM_METRIC_MAHALANOBIS || metric == IMGSIM_METRIC_CORRELATION;
}

bool ims_estimates_are_keys(const imgsim_index *index)
{
    return index->rows.form == IMS_ROWS_BITS || index->metric == IMGSIM_METRIC_CALLBACK;
}

imgsim_status ims_estimate_keys(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const uint32_t *slots,
    size_t count,
    double *lower,
    double *upper)
{
    float raw[CALLBACK_ROWS];

    if (ims_estimates_are_keys(index)) {
        imgsim_status status = IMGSIM_OK;

        if (index->metric == IMGSIM_METRIC_CALLBACK)
            status = callback_keys(index, query, slots, count, lower);
        else
            bit_keys(index, query, slots, count, lower);
        memcpy(upper, lower, count * sizeof(*upper));
        return status;
    }
    for (size_t start = 0; start < count; start += CALLBACK_ROWS) {
        const size_t used = count - start < CALLBACK_ROWS ? count - start : CALLBACK_ROWS;

        if (index->rows.form == IMS_ROWS_SPARSE)
            ims_sparse_scores(index, query, slots + start, used, raw);
        else
            dense_scores(index, query, slots + start, used, raw);
        if (ims_metric_by_dots(index->metric) && row_metric(index) != IMGSIM_METRIC_L2)
            ims_estimate_from_dots(
                index, query, slots + start, raw, used, lower + start, upper + start);
        else
            bounds_from_sums(index, query, slots + start, raw, used, lower + start, upper + start);
    }
    return IMGSIM_OK;
}

/* ---- sums of borrowed rows ---- */

#define SUM_BLOCK 256

struct sums_work {
    const struct ims_rows *rows;
    struct ims_row_sums *sums;
};

static imgsim_status sum_block(void *context, size_t item, uint32_t worker)
{
    struct sums_work *work = context;
    const size_t end = (item + 1) * SUM_BLOCK;

    (void)worker;
    for (size_t slot = item * SUM_BLOCK; slot < end && slot < work->rows->slot_count; slot++)
        if (ims_rows_id(work->rows, (uint32_t)slot) >= 0)
            work->sums[slot] = ims_rows_sum(work->rows, (uint32_t)slot);
    return IMGSIM_OK;
}

imgsim_status ims_index_sums(const imgsim_index *index, struct ims_pool *pool)
{
    imgsim_index *changed = (imgsim_index *)index; /* what only caches is guarded by the mutex */
    imgsim_status status = IMGSIM_OK;
    const size_t count = index->rows.slot_count;

    if (atomic_load(&changed->sums_known))
        return IMGSIM_OK;
    pthread_mutex_lock(&changed->mutex);
    if (!atomic_load(&changed->sums_known)) {
        struct sums_work work = {&index->rows, ims_calloc(count, sizeof(*work.sums))};

        if (work.sums == NULL)
            status = ims_fail_memory(count * sizeof(*work.sums));
        else
            status = ims_pool_run(pool, (count + SUM_BLOCK - 1) / SUM_BLOCK, sum_block, &work);
        if (status == IMGSIM_OK) {
            changed->rows.sums = work.sums;
            atomic_store(&changed->sums_known, true);
        } else {
            ims_free(work.sums);
        }
    }
    pthread_mutex_unlock(&changed->mutex);
    return status;
}
