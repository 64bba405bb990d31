/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of products of floats are exact: where double precision rounds, at both ends of the range, and as ratios. */
#include "check.h"
#include "core/rng.h"
#include "simd/wide.h"

#include <float.h>

static struct ims_wide sum_of(const float *a, const float *b, size_t count, int32_t factor)
{
    struct ims_wide sum = {{0}};

    ims_wide_add(&sum, a, b, count, factor);
    ims_wide_settle(&sum);
    return sum;
}

static struct ims_wide number(float value)
{
    const float one = 1;

    return sum_of(&value, &one, 1, 1);
}

static void check_order(struct ims_wide a, struct ims_wide b, int expected)
{
    const int forward = ims_wide_compare(&a, &b), back = ims_wide_compare(&b, &a);

    CHECK_EQUAL((forward > 0) - (forward < 0), expected);
    CHECK_EQUAL((back > 0) - (back < 0), -expected);
}

/* Numbers are in the order of their values, whatever their size and sign. */
static void check_numbers(void)
{
    const float values[] = {
        -FLT_MAX, -3,           -1.0000001f,      -1,      -FLT_MIN, -FLT_TRUE_MIN,
        0,        FLT_TRUE_MIN, 2 * FLT_TRUE_MIN, FLT_MIN, 1,        1.0000001f,
        65536,    FLT_MAX};
    const size_t count = sizeof(values) / sizeof(*values);

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++)
            check_order(number(values[i]), number(values[j]), (i > j) - (i < j));
}

/* What double precision loses: the least product there is beside the largest, in any order. */
static void check_range(void)
{
    const float a[] = {FLT_MAX, FLT_TRUE_MIN, -FLT_MAX}, b[] = {FLT_MAX, FLT_TRUE_MIN, FLT_MAX};
    const float least[] = {FLT_TRUE_MIN};

    check_order(sum_of(a, b, 3, 1), sum_of(least, least, 1, 1), 0);
    check_order(sum_of(a, b, 3, -2), sum_of(least, least, 1, -2), 0);
    check_order(sum_of(a, b, 2, 1), sum_of(a, b, 1, 1), 1);
    check_order(sum_of(a, b, 2, -1), sum_of(a, b, 1, -1), -1);
}

/* The largest sum of the most values, and back to nothing. */
static void check_most(void)
{
    static float row[65536], other[65536];
    struct ims_wide sum = {{0}};

    for (size_t i = 0; i < 65536; i++) {
        row[i] = FLT_MAX;
        other[i] = -FLT_MAX;
    }
    ims_wide_add(&sum, row, row, 65536, 2);
    ims_wide_add(&sum, row, row, 65536, 1);
    ims_wide_settle(&sum);
    CHECK(ims_wide_compare(&sum, &(struct ims_wide){{0}}) > 0);
    ims_wide_add(&sum, row, other, 65536, 2);
    ims_wide_add(&sum, row, other, 65536, 1);
    ims_wide_settle(&sum);
    check_order(sum, (struct ims_wide){{0}}, 0);
}

/* Products of whole numbers against 64-bit arithmetic. */
static void check_integers(void)
{
    struct ims_rng rng;

    ims_rng_init(&rng, 3);
    for (size_t round = 0; round < 2000; round++) {
        float a[7], b[7];
        int64_t sums[2] = {0, 0};
        struct ims_wide wide[2];

        for (size_t which = 0; which < 2; which++) {
            for (size_t i = 0; i < 7; i++) {
                a[i] = (float)((int64_t)ims_rng_below(&rng, 1 << 24) - (1 << 23));
                b[i] = (float)((int64_t)ims_rng_below(&rng, 1 << (4 + round % 20)) - 9);
                sums[which] += (int64_t)a[i] * (int64_t)b[i];
            }
            wide[which] = sum_of(a, b, 7, 1);
        }
        check_order(wide[0], wide[1], (sums[0] > sums[1]) - (sums[0] < sums[1]));
    }
}

static int compare_ratios(float a, float a_squared, float b, float b_squared)
{
    const struct ims_wide w = number(a), x = number(a_squared), y = number(b),
                          z = number(b_squared);
    const int order = ims_wide_compare_ratios(&w, &x, &y, &z);

    CHECK_EQUAL(
        (order > 0) - (order < 0), (ims_wide_compare_ratios(&y, &z, &w, &x) < 0) -
                                       (ims_wide_compare_ratios(&y, &z, &w, &x) > 0));
    return (order > 0) - (order < 0);
}

static void check_ratios(void)
{
    CHECK_EQUAL(compare_ratios(1, 1, 2, 4), 0);
    CHECK_EQUAL(compare_ratios(-1, 1, -2, 4), 0);
    CHECK_EQUAL(compare_ratios(1, 1, 2, 4.0000005f), 1);
    CHECK_EQUAL(compare_ratios(-1, 1, -2, 4.0000005f), -1);
    CHECK_EQUAL(compare_ratios(0, 0, 0, 4), 0);
    CHECK_EQUAL(compare_ratios(0, 0, 1e-20f, 4), -1);
    CHECK_EQUAL(compare_ratios(0, 0, -1e-20f, 4), 1);
    CHECK_EQUAL(compare_ratios(-1, 1, 1, 1), -1);
    CHECK_EQUAL(compare_ratios(FLT_TRUE_MIN, FLT_TRUE_MIN, FLT_MAX, FLT_MAX), -1);
    CHECK_EQUAL(compare_ratios(FLT_MAX, FLT_TRUE_MIN, FLT_MAX, FLT_MAX), 1);
}

int main(void)
{
    check_numbers();
    check_range();
    check_most();
    check_integers();
    check_ratios();
    return 0;
}
