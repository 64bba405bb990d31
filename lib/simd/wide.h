/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums of products of floats without any rounding, for numbers that double precision cannot tell apart. A product of two floats is
 * a multiple of 2^-298 below 2^256, so a sum of them fits a fixed point number of a few hundred bits (the idea of Kulisch's long
 * accumulator: Kulisch, Computer Arithmetic and Validity, 2008, chapter 8).
 */
#ifndef IMS_SIMD_WIDE_H
#define IMS_SIMD_WIDE_H

#include <stddef.h>
#include <stdint.h>

/* 256 + 298 bits, 18 for the number of terms, and a digit for the sign. */
#define IMS_WIDE_DIGITS 19

/* sum digits[i] 2^(32 i - 298). Settled: digits from 0 to 2^32 - 1, but the last, which has the sign. */
struct ims_wide {
    int64_t digits[IMS_WIDE_DIGITS];
};

/* sum += factor * sum a_i b_i, |factor| at most 2, at most 65536 values in all; not settled afterwards. */
void ims_wide_add(
    struct ims_wide *sum,
    const float *a,
    const float *b,
    size_t count,
    int32_t factor);
void ims_wide_settle(struct ims_wide *sum);
/* Negative, 0 or positive as a < b, a = b, a > b. Of settled numbers, as are those of the next. */
int ims_wide_compare(const struct ims_wide *a, const struct ims_wide *b);
/* The same for a / sqrt(a_squared) and b / sqrt(b_squared), where 0 / sqrt(0) is 0. */
int ims_wide_compare_ratios(
    const struct ims_wide *a,
    const struct ims_wide *a_squared,
    const struct ims_wide *b,
    const struct ims_wide *b_squared);

#endif
