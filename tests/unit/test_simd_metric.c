/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: names go both ways, values follow their formulas and OpenCV's conventions, similarities stay in [0, 1]. */
#include "check.h"
#include "core/rng.h"
#include "simd/metric.h"

#include <imgsim/metric.h>

#include <float.h>

static double compare(int32_t metric, const float *a, const float *b, uint32_t dimension)
{
    double value = NAN;

    CHECK_OK(imgsim_compare(metric, IMGSIM_ROW_FLOAT32, a, b, dimension, &value));
    return value;
}

static double compare_counts(int32_t metric, const uint32_t *a, const uint32_t *b, uint32_t count)
{
    double value = NAN;

    CHECK_OK(imgsim_compare(metric, IMGSIM_ROW_UINT32, a, b, count, &value));
    return value;
}

static void names_go_both_ways(void)
{
    int32_t metric = 0;

    for (int32_t known = IMGSIM_METRIC_COSINE; known <= IMGSIM_METRIC_JACCARD; known++) {
        CHECK(imgsim_metric_name(known) != NULL);
        CHECK_OK(imgsim_metric_from_name(imgsim_metric_name(known), &metric));
        CHECK_EQUAL(metric, known);
    }
    CHECK_OK(imgsim_metric_from_name("ip", &metric));
    CHECK_EQUAL(metric, IMGSIM_METRIC_INNER_PRODUCT);
    CHECK(imgsim_metric_name(0) == NULL && imgsim_metric_name(99) == NULL);
    CHECK_FAILS(
        imgsim_metric_from_name("cosin", &metric), IMGSIM_ERROR_INVALID_ARGUMENT, "bhattacharyya");
    CHECK_FAILS(imgsim_metric_from_name(NULL, &metric), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
}

static void vector_metrics_follow_their_formulas(void)
{
    const float a[3] = {1, 2, 2}, b[3] = {2, 0, 1}, zero[3] = {0, 0, 0};
    const float huge[2] = {1e30f, 1e30f}, tiny[2] = {1e-30f, 1e-30f};

    CHECK_NEAR(compare(IMGSIM_METRIC_INNER_PRODUCT, a, b, 3), 4, 0);
    CHECK_NEAR(compare(IMGSIM_METRIC_COSINE, a, b, 3), 4 / (3 * sqrt(5)), 1e-15);
    CHECK_NEAR(compare(IMGSIM_METRIC_L2, a, b, 3), sqrt(6), 1e-15);
    CHECK_NEAR(compare(IMGSIM_METRIC_L1, a, b, 3), 4, 0);
    CHECK_NEAR(compare(IMGSIM_METRIC_ANGULAR, a, b, 3), acos(4 / (3 * sqrt(5))), 1e-15);
    CHECK_NEAR(compare(IMGSIM_METRIC_COSINE, a, zero, 3), 0, 0);
    CHECK_NEAR(compare(IMGSIM_METRIC_COSINE, zero, zero, 3), 0, 0);
    CHECK_NEAR(compare(IMGSIM_METRIC_COSINE, huge, tiny, 2), 1, 1e-15);
    CHECK_NEAR(compare(IMGSIM_METRIC_COSINE, a, a, 3), 1, 0);
}

/* The numbers of cv2.compareHist for the same rows. */
static void histogram_metrics_follow_opencv(void)
{
    const float a[4] = {1, 0, 3, 4}, b[4] = {2, 1, 0, 4}, flat[4] = {2, 2, 2, 2};
    const float empty[4] = {0, 0, 0, 0};

    CHECK_NEAR(compare(IMGSIM_METRIC_CHI_SQUARE, a, b, 4), 1 + 3, 0);
    CHECK_NEAR(compare(IMGSIM_METRIC_INTERSECTION, a, b, 4), 5, 0);
    CHECK_NEAR(
        compare(IMGSIM_METRIC_CORRELATION, a, b, 4),
        (18 - 8 * 7 / 4.0) / sqrt((26 - 64 / 4.0) * (21 - 49 / 4.0)), 1e-15);
    CHECK_NEAR(
        compare(IMGSIM_METRIC_BHATTACHARYYA, a, b, 4), sqrt(1 - (sqrt(2) + 4) / sqrt(8 * 7)),
        1e-15);
    CHECK_NEAR(compare(IMGSIM_METRIC_CORRELATION, a, flat, 4), 1, 0);
    CHECK_NEAR(compare(IMGSIM_METRIC_BHATTACHARYYA, a, empty, 4), 1, 0);
    CHECK_NEAR(compare(IMGSIM_METRIC_BHATTACHARYYA, a, a, 4), 0, 1e-7);
    CHECK_NEAR(compare(IMGSIM_METRIC_CHI_SQUARE, empty, a, 4), 0, 0);
}

static void counts_give_the_same_as_floats(void)
{
    static float x[700], y[700];
    static uint32_t m[700], n[700];
    const uint32_t large_a[2] = {4000000001u, 5}, large_b[2] = {4000000000u, 5};
    struct ims_rng rng;

    ims_rng_init(&rng, 3);
    for (size_t i = 0; i < 700; i++) {
        x[i] = (float)(m[i] = (uint32_t)ims_rng_below(&rng, 50));
        y[i] = (float)(n[i] = (uint32_t)ims_rng_below(&rng, 50));
    }
    for (int32_t metric = IMGSIM_METRIC_CORRELATION; metric <= IMGSIM_METRIC_BHATTACHARYYA;
         metric++)
        CHECK(compare(metric, x, y, 700) == compare_counts(metric, m, n, 700));
    CHECK(compare(IMGSIM_METRIC_L1, x, y, 700) == compare_counts(IMGSIM_METRIC_L1, m, n, 700));
    /* Not representable as float. */
    CHECK_NEAR(compare_counts(IMGSIM_METRIC_L1, large_a, large_b, 2), 1, 0);
}

static void bit_metrics_count_bits(void)
{
    const uint8_t a[2] = {0xf0, 0x01}, b[2] = {0x3c, 0x01}, zero[2] = {0, 0};
    double value;

    CHECK_OK(imgsim_compare(IMGSIM_METRIC_HAMMING, IMGSIM_ROW_BITS, a, b, 16, &value));
    CHECK_NEAR(value, 4, 0);
    CHECK_OK(imgsim_compare(IMGSIM_METRIC_JACCARD, IMGSIM_ROW_BITS, a, b, 16, &value));
    CHECK_NEAR(value, 3.0 / 7, 1e-16);
    CHECK_OK(imgsim_compare(IMGSIM_METRIC_JACCARD, IMGSIM_ROW_BITS, zero, zero, 16, &value));
    CHECK_NEAR(value, 1, 0);
}

static void similarities_stay_between_0_and_1(void)
{
    static const double values[] = {-INFINITY, -1e300, -1, 0, 0.25, 1, 3, 1e300, INFINITY};
    double similarity;

    for (int32_t metric = IMGSIM_METRIC_COSINE; metric <= IMGSIM_METRIC_CALLBACK; metric++)
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            CHECK_OK(imgsim_metric_similarity(metric, 64, values[i], &similarity));
            CHECK(similarity >= 0 && similarity <= 1);
        }
    CHECK_OK(imgsim_metric_similarity(IMGSIM_METRIC_HAMMING, 64, 16, &similarity));
    CHECK_NEAR(similarity, 0.75, 0);
    CHECK_OK(imgsim_metric_similarity(IMGSIM_METRIC_L2, 0, 3, &similarity));
    CHECK_NEAR(similarity, 0.25, 0);
    CHECK_OK(imgsim_metric_similarity(IMGSIM_METRIC_INNER_PRODUCT, 0, 0, &similarity));
    CHECK_NEAR(similarity, 0.5, 0);
    CHECK_OK(imgsim_metric_similarity(IMGSIM_METRIC_BHATTACHARYYA, 0, 0.25, &similarity));
    CHECK_NEAR(similarity, 0.75, 0);
    CHECK_FAILS(
        imgsim_metric_similarity(IMGSIM_METRIC_L2, 0, NAN, &similarity),
        IMGSIM_ERROR_INVALID_ARGUMENT, "number");
    CHECK_FAILS(
        imgsim_metric_similarity(0, 0, 1, &similarity), IMGSIM_ERROR_INVALID_ARGUMENT,
        "unknown metric");
    for (int32_t metric = IMGSIM_METRIC_COSINE; metric <= IMGSIM_METRIC_JACCARD; metric++)
        CHECK_NEAR(ims_metric_value(metric, ims_metric_distance(metric, 0.375)), 0.375, 1e-15);
}

static void wrong_arguments_are_refused(void)
{
    const float a[8] = {0};
    double value;

    CHECK_FAILS(
        imgsim_compare(IMGSIM_METRIC_L2, IMGSIM_ROW_FLOAT32, NULL, a, 8, &value),
        IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    CHECK_FAILS(
        imgsim_compare(IMGSIM_METRIC_L2, IMGSIM_ROW_FLOAT32, a, a, 0, &value),
        IMGSIM_ERROR_INVALID_ARGUMENT, "dimension");
    CHECK_FAILS(
        imgsim_compare(IMGSIM_METRIC_L2, IMGSIM_ROW_BITS, a, a, 8, &value),
        IMGSIM_ERROR_INVALID_ARGUMENT, "l2");
    CHECK_FAILS(
        imgsim_compare(IMGSIM_METRIC_COSINE, IMGSIM_ROW_UINT32, a, a, 8, &value),
        IMGSIM_ERROR_INVALID_ARGUMENT, "cosine");
    CHECK_FAILS(
        imgsim_compare(IMGSIM_METRIC_HAMMING, IMGSIM_ROW_BITS, a, a, 12, &value),
        IMGSIM_ERROR_INVALID_ARGUMENT, "multiple of 8");
    CHECK_FAILS(
        imgsim_compare(IMGSIM_METRIC_MAHALANOBIS, IMGSIM_ROW_FLOAT32, a, a, 8, &value),
        IMGSIM_ERROR_INVALID_ARGUMENT, "metric");
    CHECK_FAILS(
        imgsim_compare(IMGSIM_METRIC_L2, 77, a, a, 8, &value), IMGSIM_ERROR_INVALID_ARGUMENT, "77");
}

int main(void)
{
    names_go_both_ways();
    vector_metrics_follow_their_formulas();
    histogram_metrics_follow_opencv();
    counts_give_the_same_as_floats();
    bit_metrics_count_bits();
    similarities_stay_between_0_and_1();
    wrong_arguments_are_refused();
    return 0;
}
