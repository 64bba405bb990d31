/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: names, row types, and the ways between value, distance and similarity. */
#include "simd/metric.h"

#include "core/status.h"
#include "simd/kernels.h"
#include "simd/reference.h"

#include <math.h>
#include <string.h>

/* A metric and the row types it takes, as bits 1 << row_type. */
struct metric_kind {
    int32_t metric;
    const char *name;
    uint32_t row_types;
    bool histogram;
};

#define FLOATS (1u << IMGSIM_ROW_FLOAT32)
#define COUNTS (1u << IMGSIM_ROW_UINT32)
#define BITS (1u << IMGSIM_ROW_BITS)

static const struct metric_kind kinds[] = {
    {IMGSIM_METRIC_COSINE, "cosine", FLOATS, false},
    {IMGSIM_METRIC_INNER_PRODUCT, "inner-product", FLOATS, false},
    {IMGSIM_METRIC_L2, "l2", FLOATS, false},
    {IMGSIM_METRIC_L1, "l1", FLOATS | COUNTS, false},
    {IMGSIM_METRIC_ANGULAR, "angular", FLOATS, false},
    {IMGSIM_METRIC_MAHALANOBIS, "mahalanobis", FLOATS, false},
    {IMGSIM_METRIC_CORRELATION, "correlation", FLOATS | COUNTS, true},
    {IMGSIM_METRIC_CHI_SQUARE, "chi-square", FLOATS | COUNTS, true},
    {IMGSIM_METRIC_INTERSECTION, "intersection", FLOATS | COUNTS, true},
    {IMGSIM_METRIC_BHATTACHARYYA, "bhattacharyya", FLOATS | COUNTS, true},
    {IMGSIM_METRIC_HAMMING, "hamming", BITS, false},
    {IMGSIM_METRIC_JACCARD, "jaccard", BITS, false},
    {IMGSIM_METRIC_CALLBACK, "callback", FLOATS | COUNTS | BITS, false},
};

static const struct metric_kind *find_kind(int32_t metric)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].metric == metric)
            return &kinds[i];
    return NULL;
}

const char *imgsim_metric_name(int32_t metric)
{
    const struct metric_kind *kind = find_kind(metric);

    return kind != NULL ? kind->name : NULL;
}

imgsim_status imgsim_metric_from_name(const char *name, int32_t *out_metric)
{
    if (name == NULL || out_metric == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "name and out_metric must not be NULL");

    if (strcmp(name, "ip") == 0)
        name = "inner-product";
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].metric != IMGSIM_METRIC_CALLBACK && strcmp(kinds[i].name, name) == 0) {
            *out_metric = kinds[i].metric;
            return IMGSIM_OK;
        }
    return ims_fail(
        IMGSIM_ERROR_INVALID_ARGUMENT,
        "unknown metric \"%s\"; known: cosine, inner-product (ip), l2, l1, angular, "
        "mahalanobis, correlation, chi-square, intersection, bhattacharyya, hamming, "
        "jaccard",
        name);
}

bool ims_metric_takes(int32_t metric, int32_t row_type)
{
    const struct metric_kind *kind = find_kind(metric);

    return kind != NULL && row_type >= IMGSIM_ROW_FLOAT32 && row_type <= IMGSIM_ROW_BITS &&
           (kind->row_types & (1u << row_type)) != 0;
}

bool ims_metric_is_histogram(int32_t metric)
{
    const struct metric_kind *kind = find_kind(metric);

    return kind != NULL && kind->histogram;
}

double ims_metric_distance(int32_t metric, double value)
{
    switch (metric) {
    case IMGSIM_METRIC_COSINE:
    case IMGSIM_METRIC_CORRELATION:
    case IMGSIM_METRIC_JACCARD:
        return 1 - value;
    case IMGSIM_METRIC_INNER_PRODUCT:
    case IMGSIM_METRIC_INTERSECTION:
        return -value;
    case IMGSIM_METRIC_L2:
    case IMGSIM_METRIC_MAHALANOBIS:
        return value * value;
    default:
        return value;
    }
}

double ims_metric_value(int32_t metric, double distance)
{
    switch (metric) {
    case IMGSIM_METRIC_COSINE:
    case IMGSIM_METRIC_CORRELATION:
    case IMGSIM_METRIC_JACCARD:
        return 1 - distance;
    case IMGSIM_METRIC_INNER_PRODUCT:
    case IMGSIM_METRIC_INTERSECTION:
        return -distance;
    case IMGSIM_METRIC_L2:
    case IMGSIM_METRIC_MAHALANOBIS:
        return distance > 0 ? sqrt(distance) : 0;
    default:
        return distance;
    }
}

static double clamp_unit(double value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

double ims_metric_similarity_of(int32_t metric, uint32_t dimension, double value)
{
    switch (metric) {
    case IMGSIM_METRIC_COSINE:
    case IMGSIM_METRIC_CORRELATION:
    case IMGSIM_METRIC_INTERSECTION:
    case IMGSIM_METRIC_JACCARD:
        return clamp_unit(value);
    case IMGSIM_METRIC_INNER_PRODUCT:
        return 1 / (1 + exp(-value));
    case IMGSIM_METRIC_ANGULAR:
        return clamp_unit(1 - value / acos(-1.0));
    case IMGSIM_METRIC_BHATTACHARYYA:
        return clamp_unit(1 - value);
    case IMGSIM_METRIC_HAMMING:
        return clamp_unit(1 - value / (dimension > 0 ? dimension : 1));
    default: /* L2, L1, Mahalanobis, chi-square, callback */
        return 1 / (1 + (value > 0 ? value : 0));
    }
}

imgsim_status
imgsim_metric_similarity(int32_t metric, uint32_t dimension, double value, double *out_similarity)
{
    if (out_similarity == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_similarity must not be NULL");
    if (find_kind(metric) == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "unknown metric %d", (int)metric);
    if (isnan(value))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "value is not a number");
    if (metric == IMGSIM_METRIC_HAMMING && dimension == 0)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "hamming needs a dimension of at least 1");

    *out_similarity = ims_metric_similarity_of(metric, dimension, value);
    return IMGSIM_OK;
}

size_t ims_row_size(int32_t row_type, uint32_t dimension)
{
    if (row_type == IMGSIM_ROW_BYTES)
        return sizeof(uint32_t) + dimension;
    return row_type == IMGSIM_ROW_BITS ? dimension / 8 : (size_t)dimension * sizeof(float);
}

static double compare_floats(int32_t metric, const float *a, const float *b, size_t count)
{
    switch (metric) {
    case IMGSIM_METRIC_COSINE:
        return ims_exact_cosine(a, b, count);
    case IMGSIM_METRIC_INNER_PRODUCT:
        return ims_exact_dot(a, b, count);
    case IMGSIM_METRIC_L2:
        return sqrt(ims_exact_l2_squared(a, b, count));
    case IMGSIM_METRIC_L1:
        return ims_exact_l1(a, b, count);
    case IMGSIM_METRIC_ANGULAR:
        return acos(ims_exact_cosine(a, b, count));
    case IMGSIM_METRIC_CORRELATION:
        return ims_exact_correlation(a, b, count);
    case IMGSIM_METRIC_CHI_SQUARE:
        return ims_exact_chi_square(a, b, count);
    case IMGSIM_METRIC_INTERSECTION:
        return ims_exact_intersection(a, b, count);
    default:
        return ims_exact_bhattacharyya(a, b, count);
    }
}

static double compare_counts(int32_t metric, const uint32_t *a, const uint32_t *b, size_t count)
{
    switch (metric) {
    case IMGSIM_METRIC_L1:
        return ims_exact_l1_u32(a, b, count);
    case IMGSIM_METRIC_CORRELATION:
        return ims_exact_correlation_u32(a, b, count);
    case IMGSIM_METRIC_CHI_SQUARE:
        return ims_exact_chi_square_u32(a, b, count);
    case IMGSIM_METRIC_INTERSECTION:
        return ims_exact_intersection_u32(a, b, count);
    default:
        return ims_exact_bhattacharyya_u32(a, b, count);
    }
}

static double compare_bits(int32_t metric, const uint8_t *a, const uint8_t *b, size_t byte_count)
{
    uint32_t both, any;

    if (metric == IMGSIM_METRIC_HAMMING)
        return ims_kernels()->hamming(a, b, byte_count);
    ims_kernels()->jaccard(a, b, byte_count, &both, &any);
    return any == 0 ? 1 : (double)both / any;
}

double ims_metric_compare(
    int32_t metric,
    int32_t row_type,
    const void *a,
    const void *b,
    uint32_t dimension)
{
    if (row_type == IMGSIM_ROW_BITS)
        return compare_bits(metric, a, b, dimension / 8);
    if (row_type == IMGSIM_ROW_UINT32)
        return compare_counts(metric, a, b, dimension);
    return compare_floats(metric, a, b, dimension);
}

imgsim_status imgsim_compare(
    int32_t metric,
    int32_t row_type,
    const void *a,
    const void *b,
    uint32_t dimension,
    double *out_value)
{
    if (a == NULL || b == NULL || out_value == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "a, b and out_value must not be NULL");
    if (dimension == 0)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "dimension is 0, at least 1 is expected");
    if (find_kind(metric) == NULL || metric == IMGSIM_METRIC_MAHALANOBIS ||
        metric == IMGSIM_METRIC_CALLBACK)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "metric %d cannot compare a pair of rows", (int)metric);
    if (!ims_metric_takes(metric, row_type))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%s does not take rows of type %d",
            imgsim_metric_name(metric), (int)row_type);
    if (row_type == IMGSIM_ROW_BITS && dimension % 8 != 0)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "dimension is %u, bit rows need a multiple of 8",
            (unsigned)dimension);

    *out_value = ims_metric_compare(metric, row_type, a, b, dimension);
    return IMGSIM_OK;
}
