/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics in double precision with a fixed order of additions: the same bits from every compiler and processor. */
#include "simd/reference.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

/*
 * Value i is added to lane i % LANES, and the lanes are added pairwise at the end. A compiler may keep the lanes in vector
 * registers of any width without changing a bit; contraction to FMA, which would, is switched off for the whole library.
 */
#define LANES 8
/* Values turned into double at a time by the histogram metrics; a multiple of LANES. */
#define BLOCK 256

static double add_lanes(const double sum[LANES])
{
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

double ims_exact_dot(const float *a, const float *b, size_t count)
{
    double sum[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sum[lane] += (double)a[i + lane] * (double)b[i + lane];
    for (size_t lane = 0; i + lane < count; lane++)
        sum[lane] += (double)a[i + lane] * (double)b[i + lane];
    return add_lanes(sum);
}

double ims_exact_l2_squared(const float *a, const float *b, size_t count)
{
    double sum[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++) {
            const double difference = (double)a[i + lane] - (double)b[i + lane];

            sum[lane] += difference * difference;
        }
    for (size_t lane = 0; i + lane < count; lane++) {
        const double difference = (double)a[i + lane] - (double)b[i + lane];

        sum[lane] += difference * difference;
    }
    return add_lanes(sum);
}

double ims_exact_sum(const float *a, size_t count)
{
    double sum[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            sum[lane] += (double)a[i + lane];
    for (size_t lane = 0; i + lane < count; lane++)
        sum[lane] += (double)a[i + lane];
    return add_lanes(sum);
}

double ims_exact_cosine_of(double dot, double a_squared, double b_squared)
{
    double cosine;

    if (a_squared == 0 || b_squared == 0)
        return 0;
    cosine = dot / (sqrt(a_squared) * sqrt(b_squared));
    return cosine < -1 ? -1 : cosine > 1 ? 1 : cosine;
}

double ims_exact_cosine(const float *a, const float *b, size_t count)
{
    return ims_exact_cosine_of(
        ims_exact_dot(a, b, count), ims_exact_dot(a, a, count), ims_exact_dot(b, b, count));
}

/* ---- histograms: floats or exact counts ---- */

/* A row to read: one of the two is set. */
struct histogram {
    const float *values;
    const uint32_t *counts;
};

/* Up to BLOCK values from `start` on as doubles, the rest of the last LANES zeros; returns that padded number. */
static size_t load_block(struct histogram row, size_t start, size_t count, double out[BLOCK])
{
    const size_t used = count - start < BLOCK ? count - start : BLOCK;
    const size_t padded = (used + LANES - 1) / LANES * LANES;

    if (row.values != NULL)
        for (size_t i = 0; i < used; i++)
            out[i] = (double)row.values[start + i];
    else
        for (size_t i = 0; i < used; i++)
            out[i] = (double)row.counts[start + i];
    for (size_t i = used; i < padded; i++)
        out[i] = 0;
    return padded;
}

/* Sums over both rows that correlation and Bhattacharyya need. */
struct moments {
    double a, b, aa, bb, ab;
};

static struct moments
find_moments(struct histogram a, struct histogram b, size_t count, bool square_root)
{
    double sa[LANES] = {0}, sb[LANES] = {0}, saa[LANES] = {0}, sbb[LANES] = {0}, sab[LANES] = {0};
    double x[BLOCK], y[BLOCK];

    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t used = load_block(a, start, count, x);

        load_block(b, start, count, y);
        for (size_t i = 0; i < used; i += LANES)
            for (size_t lane = 0; lane < LANES; lane++) {
                const double product = x[i + lane] * y[i + lane];

                sa[lane] += x[i + lane];
                sb[lane] += y[i + lane];
                sab[lane] += square_root ? sqrt(product) : product;
            }
        for (size_t i = 0; i < used && !square_root; i += LANES)
            for (size_t lane = 0; lane < LANES; lane++) {
                saa[lane] += x[i + lane] * x[i + lane];
                sbb[lane] += y[i + lane] * y[i + lane];
            }
    }
    return (struct moments){
        add_lanes(sa), add_lanes(sb), add_lanes(saa), add_lanes(sbb), add_lanes(sab)};
}

/* Pearson's r as OpenCV's HISTCMP_CORREL has it: 1 if a histogram is constant. */
static double correlation(struct histogram a, struct histogram b, size_t count)
{
    const struct moments sums = find_moments(a, b, count, false);
    const double scale = 1.0 / (double)count;
    const double covariance = sums.ab - sums.a * sums.b * scale;
    const double variances =
        (sums.aa - sums.a * sums.a * scale) * (sums.bb - sums.b * sums.b * scale);

    return fabs(variances) > DBL_EPSILON ? covariance / sqrt(variances) : 1;
}

/* OpenCV's HISTCMP_BHATTACHARYYA: sums whose product is next to nothing count as 1. */
static double bhattacharyya(struct histogram a, struct histogram b, size_t count)
{
    const struct moments sums = find_moments(a, b, count, true);
    const double product = sums.a * sums.b;
    const double scale = fabs(product) > FLT_EPSILON ? 1 / sqrt(product) : 1;
    const double rest = 1 - sums.ab * scale;

    return rest > 0 ? sqrt(rest) : 0;
}

/* OpenCV's HISTCMP_CHISQR. */
static double chi_square(struct histogram a, struct histogram b, size_t count)
{
    double sum[LANES] = {0};
    double x[BLOCK], y[BLOCK];

    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t used = load_block(a, start, count, x);

        load_block(b, start, count, y);
        for (size_t i = 0; i < used; i += LANES)
            for (size_t lane = 0; lane < LANES; lane++) {
                const double difference = x[i + lane] - y[i + lane];

                if (fabs(x[i + lane]) > DBL_EPSILON)
                    sum[lane] += difference * difference / x[i + lane];
            }
    }
    return add_lanes(sum);
}

/* OpenCV's HISTCMP_INTERSECT, or with `differences` the L1 distance. */
static double overlap(struct histogram a, struct histogram b, size_t count, bool differences)
{
    double sum[LANES] = {0};
    double x[BLOCK], y[BLOCK];

    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t used = load_block(a, start, count, x);

        load_block(b, start, count, y);
        for (size_t i = 0; i < used; i += LANES)
            for (size_t lane = 0; lane < LANES; lane++)
                sum[lane] += differences                 ? fabs(x[i + lane] - y[i + lane])
                             : x[i + lane] < y[i + lane] ? x[i + lane]
                                                         : y[i + lane];
    }
    return add_lanes(sum);
}

static struct histogram of_values(const float *values)
{
    return (struct histogram){.values = values};
}

static struct histogram of_counts(const uint32_t *counts)
{
    return (struct histogram){.counts = counts};
}

double ims_exact_l1(const float *a, const float *b, size_t count)
{
    return overlap(of_values(a), of_values(b), count, true);
}

double ims_exact_intersection(const float *a, const float *b, size_t count)
{
    return overlap(of_values(a), of_values(b), count, false);
}

double ims_exact_correlation(const float *a, const float *b, size_t count)
{
    return correlation(of_values(a), of_values(b), count);
}

double ims_exact_chi_square(const float *a, const float *b, size_t count)
{
    return chi_square(of_values(a), of_values(b), count);
}

double ims_exact_bhattacharyya(const float *a, const float *b, size_t count)
{
    return bhattacharyya(of_values(a), of_values(b), count);
}

double ims_exact_l1_u32(const uint32_t *a, const uint32_t *b, size_t count)
{
    return overlap(of_counts(a), of_counts(b), count, true);
}

double ims_exact_intersection_u32(const uint32_t *a, const uint32_t *b, size_t count)
{
    return overlap(of_counts(a), of_counts(b), count, false);
}

double ims_exact_correlation_u32(const uint32_t *a, const uint32_t *b, size_t count)
{
    return correlation(of_counts(a), of_counts(b), count);
}

double ims_exact_chi_square_u32(const uint32_t *a, const uint32_t *b, size_t count)
{
    return chi_square(of_counts(a), of_counts(b), count);
}

double ims_exact_bhattacharyya_u32(const uint32_t *a, const uint32_t *b, size_t count)
{
    return bhattacharyya(of_counts(a), of_counts(b), count);
}
