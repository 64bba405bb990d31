/* SPDX-License-Identifier: Apache-2.0 */
/* Distance kernels for NEON, which every 64-bit ARM processor has. Tails are plain C. */
#include "simd/kernels_columns.h"
#include "simd/kernels_sets.h"

#if defined(__aarch64__)

#include "simd/kernels_levels.h"
#include "simd/kernels_planes.h"

#include <arm_neon.h>
#include <math.h>

static float dot(const float *a, const float *b, size_t count)
{
    float32x4_t s0 = vdupq_n_f32(0), s1 = s0, s2 = s0, s3 = s0;
    float sum;
    size_t i = 0;

    for (; i + 16 <= count; i += 16) {
        s0 = vfmaq_f32(s0, vld1q_f32(a + i), vld1q_f32(b + i));
        s1 = vfmaq_f32(s1, vld1q_f32(a + i + 4), vld1q_f32(b + i + 4));
        s2 = vfmaq_f32(s2, vld1q_f32(a + i + 8), vld1q_f32(b + i + 8));
        s3 = vfmaq_f32(s3, vld1q_f32(a + i + 12), vld1q_f32(b + i + 12));
    }
    sum = vaddvq_f32(vaddq_f32(vaddq_f32(s0, s1), vaddq_f32(s2, s3)));
    for (; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

static inline float32x4_t add_square(float32x4_t sum, float32x4_t a, float32x4_t b)
{
    const float32x4_t difference = vsubq_f32(a, b);

    return vfmaq_f32(sum, difference, difference);
}

static float l2_squared(const float *a, const float *b, size_t count)
{
    float32x4_t s0 = vdupq_n_f32(0), s1 = s0, s2 = s0, s3 = s0;
    float sum;
    size_t i = 0;

    for (; i + 16 <= count; i += 16) {
        s0 = add_square(s0, vld1q_f32(a + i), vld1q_f32(b + i));
        s1 = add_square(s1, vld1q_f32(a + i + 4), vld1q_f32(b + i + 4));
        s2 = add_square(s2, vld1q_f32(a + i + 8), vld1q_f32(b + i + 8));
        s3 = add_square(s3, vld1q_f32(a + i + 12), vld1q_f32(b + i + 12));
    }
    sum = vaddvq_f32(vaddq_f32(vaddq_f32(s0, s1), vaddq_f32(s2, s3)));
    for (; i < count; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

static float l1(const float *a, const float *b, size_t count)
{
    float32x4_t s0 = vdupq_n_f32(0), s1 = s0;
    float sum;
    size_t i = 0;

    for (; i + 8 <= count; i += 8) {
        s0 = vaddq_f32(s0, vabdq_f32(vld1q_f32(a + i), vld1q_f32(b + i)));
        s1 = vaddq_f32(s1, vabdq_f32(vld1q_f32(a + i + 4), vld1q_f32(b + i + 4)));
    }
    sum = vaddvq_f32(vaddq_f32(s0, s1));
    for (; i < count; i++)
        sum += fabsf(a[i] - b[i]);
    return sum;
}

static void dot4(const float *query, const float *rows, size_t stride, size_t count, float out[4])
{
    const float *r0 = rows, *r1 = rows + stride, *r2 = r1 + stride, *r3 = r2 + stride;
    float32x4_t s0 = vdupq_n_f32(0), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        const float32x4_t q = vld1q_f32(query + i);

        s0 = vfmaq_f32(s0, q, vld1q_f32(r0 + i));
        s1 = vfmaq_f32(s1, q, vld1q_f32(r1 + i));
        s2 = vfmaq_f32(s2, q, vld1q_f32(r2 + i));
        s3 = vfmaq_f32(s3, q, vld1q_f32(r3 + i));
    }
    out[0] = vaddvq_f32(s0);
    out[1] = vaddvq_f32(s1);
    out[2] = vaddvq_f32(s2);
    out[3] = vaddvq_f32(s3);
    for (; i < count; i++)
        for (size_t row = 0; row < 4; row++)
            out[row] += query[i] * rows[row * stride + i];
}

static void
l2_squared4(const float *query, const float *rows, size_t stride, size_t count, float out[4])
{
    const float *r0 = rows, *r1 = rows + stride, *r2 = r1 + stride, *r3 = r2 + stride;
    float32x4_t s0 = vdupq_n_f32(0), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;

    for (; i + 4 <= count; i += 4) {
        const float32x4_t q = vld1q_f32(query + i);

        s0 = add_square(s0, q, vld1q_f32(r0 + i));
        s1 = add_square(s1, q, vld1q_f32(r1 + i));
        s2 = add_square(s2, q, vld1q_f32(r2 + i));
        s3 = add_square(s3, q, vld1q_f32(r3 + i));
    }
    out[0] = vaddvq_f32(s0);
    out[1] = vaddvq_f32(s1);
    out[2] = vaddvq_f32(s2);
    out[3] = vaddvq_f32(s3);
    for (; i < count; i++)
        for (size_t row = 0; row < 4; row++) {
            const float difference = query[i] - rows[row * stride + i];

            out[row] += difference * difference;
        }
}

/* difference^2 / expected where expected > 0, else 0. */
static inline float32x4_t chi_terms(float32x4_t expected, float32x4_t value)
{
    const float32x4_t difference = vsubq_f32(expected, value);
    const float32x4_t share = vdivq_f32(vmulq_f32(difference, difference), expected);
    const uint32x4_t positive = vcgtq_f32(expected, vdupq_n_f32(0));

    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(share), positive));
}

static float chi_square(const float *a, const float *b, size_t count)
{
    float32x4_t terms = vdupq_n_f32(0);
    float sum;
    size_t i = 0;

    for (; i + 4 <= count; i += 4)
        terms = vaddq_f32(terms, chi_terms(vld1q_f32(a + i), vld1q_f32(b + i)));
    sum = vaddvq_f32(terms);
    for (; i < count; i++)
        if (a[i] > 0)
            sum += (a[i] - b[i]) * (a[i] - b[i]) / a[i];
    return sum;
}

static float intersection(const float *a, const float *b, size_t count)
{
    float32x4_t terms = vdupq_n_f32(0);
    float sum;
    size_t i = 0;

    for (; i + 4 <= count; i += 4)
        terms = vaddq_f32(terms, vminq_f32(vld1q_f32(a + i), vld1q_f32(b + i)));
    sum = vaddvq_f32(terms);
    for (; i < count; i++)
        sum += a[i] < b[i] ? a[i] : b[i];
    return sum;
}

static float sqrt_dot(const float *a, const float *b, size_t count)
{
    float32x4_t terms = vdupq_n_f32(0);
    float sum;
    size_t i = 0;

    for (; i + 4 <= count; i += 4)
        terms = vaddq_f32(terms, vsqrtq_f32(vmulq_f32(vld1q_f32(a + i), vld1q_f32(b + i))));
    sum = vaddvq_f32(terms);
    for (; i < count; i++)
        sum += sqrtf(a[i] * b[i]);
    return sum;
}

/* Set bits of a byte. */
static inline uint32_t popcount8(uint8_t byte)
{
    return (uint32_t)__builtin_popcount(byte);
}

static uint32_t hamming(const uint8_t *a, const uint8_t *b, size_t byte_count)
{
    uint32_t sum = 0;
    size_t i = 0;

    for (; i + 16 <= byte_count; i += 16)
        sum += vaddlvq_u8(vcntq_u8(veorq_u8(vld1q_u8(a + i), vld1q_u8(b + i))));
    for (; i < byte_count; i++)
        sum += popcount8(a[i] ^ b[i]);
    return sum;
}

static size_t hamming_near(
    const uint8_t *a,
    const uint8_t *rows,
    size_t row_size,
    size_t count,
    uint32_t limit,
    uint32_t *out)
{
    size_t found = 0;

    for (size_t row = 0; row < count; row++) {
        out[found] = (uint32_t)row;
        found += hamming(a, rows + row * row_size, row_size) <= limit;
    }
    return found;
}

static void
jaccard(const uint8_t *a, const uint8_t *b, size_t byte_count, uint32_t *out_and, uint32_t *out_or)
{
    uint32_t both = 0, any = 0;
    size_t i = 0;

    for (; i + 16 <= byte_count; i += 16) {
        const uint8x16_t left = vld1q_u8(a + i), right = vld1q_u8(b + i);

        both += vaddlvq_u8(vcntq_u8(vandq_u8(left, right)));
        any += vaddlvq_u8(vcntq_u8(vorrq_u8(left, right)));
    }
    for (; i < byte_count; i++) {
        both += popcount8(a[i] & b[i]);
        any += popcount8(a[i] | b[i]);
    }
    *out_and = both;
    *out_or = any;
}

/* Unsigned times signed bytes, in 16 bits each. */
static int32_t dot_u8i8(const uint8_t *a, const int8_t *b, size_t count)
{
    int32x4_t terms = vdupq_n_s32(0);
    int32_t sum;
    size_t i = 0;

    for (; i + 8 <= count; i += 8) {
        const int16x8_t left = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(a + i)));
        const int16x8_t right = vmovl_s8(vld1_s8(b + i));

        terms = vmlal_s16(terms, vget_low_s16(left), vget_low_s16(right));
        terms = vmlal_high_s16(terms, left, right);
    }
    sum = vaddvq_s32(terms);
    for (; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

static void
dot_u8i8_four(const uint8_t *const rows[4], const int8_t *b, size_t count, int32_t out[4])
{
    for (size_t row = 0; row < 4; row++)
        out[row] = dot_u8i8(rows[row], b, count);
}

/* Four entries of a sparse row: the query's values at their bins, and the row's own. */
static inline float32x4_t gather_query(const float *query, const uint16_t *bins)
{
    const float values[4] = {query[bins[0]], query[bins[1]], query[bins[2]], query[bins[3]]};

    return vld1q_f32(values);
}

static inline float32x4_t load_counts(const uint32_t *counts, float scale)
{
    return vmulq_n_f32(vcvtq_f32_u32(vld1q_u32(counts)), scale);
}

static float sparse_intersection(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    float32x4_t terms = vdupq_n_f32(0);
    float sum;
    size_t e = 0;

    for (; e + 4 <= count; e += 4)
        terms = vaddq_f32(
            terms, vminq_f32(gather_query(query, bins + e), load_counts(counts + e, scale)));
    sum = vaddvq_f32(terms);
    for (; e < count; e++)
        sum += fminf(query[bins[e]], (float)counts[e] * scale);
    return sum;
}

static float sparse_sqrt_dot(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    float32x4_t terms = vdupq_n_f32(0);
    float sum;
    size_t e = 0;

    for (; e + 4 <= count; e += 4)
        terms = vaddq_f32(
            terms,
            vsqrtq_f32(vmulq_f32(gather_query(query, bins + e), load_counts(counts + e, scale))));
    sum = vaddvq_f32(terms);
    for (; e < count; e++)
        sum += sqrtf(query[bins[e]] * ((float)counts[e] * scale));
    return sum;
}

static float sparse_dot(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    float32x4_t terms = vdupq_n_f32(0);
    float sum;
    size_t e = 0;

    for (; e + 4 <= count; e += 4)
        terms = vfmaq_f32(terms, gather_query(query, bins + e), load_counts(counts + e, scale));
    sum = vaddvq_f32(terms);
    for (; e < count; e++)
        sum += query[bins[e]] * ((float)counts[e] * scale);
    return sum;
}

static float sparse_l1_part(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    float32x4_t terms = vdupq_n_f32(0);
    float sum;
    size_t e = 0;

    for (; e + 4 <= count; e += 4) {
        const float32x4_t expected = gather_query(query, bins + e);

        terms = vaddq_f32(
            terms, vsubq_f32(vabdq_f32(expected, load_counts(counts + e, scale)), expected));
    }
    sum = vaddvq_f32(terms);
    for (; e < count; e++)
        sum += fabsf(query[bins[e]] - (float)counts[e] * scale) - query[bins[e]];
    return sum;
}

static float sparse_chi_part(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    float32x4_t terms = vdupq_n_f32(0);
    float sum;
    size_t e = 0;

    for (; e + 4 <= count; e += 4) {
        /* Queries hold no negative values, so where the share is masked out, expected is 0. */
        const float32x4_t expected = gather_query(query, bins + e);

        terms = vaddq_f32(
            terms, vsubq_f32(chi_terms(expected, load_counts(counts + e, scale)), expected));
    }
    sum = vaddvq_f32(terms);
    for (; e < count; e++) {
        const float expected = query[bins[e]];
        const float difference = expected - (float)counts[e] * scale;

        if (expected > 0)
            sum += difference * difference / expected - expected;
    }
    return sum;
}

const struct ims_kernels ims_kernels_neon = {
    .name = "neon",
    .dot = dot,
    .l2_squared = l2_squared,
    .l1 = l1,
    .dot4 = dot4,
    .l2_squared4 = l2_squared4,
    .columns_l2_squared = columns_l2_squared,
    .chi_square = chi_square,
    .intersection = intersection,
    .sqrt_dot = sqrt_dot,
    .hamming = hamming,
    .hamming_near = hamming_near,
    .jaccard = jaccard,
    .dot_u8i8 = dot_u8i8,
    .dot_u8i8_four = dot_u8i8_four,
    .sparse_intersection = sparse_intersection,
    .sparse_sqrt_dot = sparse_sqrt_dot,
    .sparse_dot = sparse_dot,
    .sparse_l1_part = sparse_l1_part,
    .sparse_chi_part = sparse_chi_part,
    .plane_dot = plane_dot,
    .plane_min = plane_min,
    .plane_levels = ims_plane_levels_scalar,
    .row_dot = row_dot,
    .row_min = row_min,
    .plane_scan = ims_plane_scan_scalar,
    .not_above = ims_not_above_scalar,
    .record_dots = ims_record_dots_scalar,
};

#else
typedef int ims_no_neon; /* a file is never empty */
#endif
