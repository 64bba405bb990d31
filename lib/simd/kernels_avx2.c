/* SPDX-License-Identifier: Apache-2.0 */
/* Distance kernels for AVX2 with FMA. Tails are copied into a zeroed vector. Those of planes are in kernels_planes_avx2.c. */
#include "simd/kernels_avx2.h"
#include "simd/kernels_columns.h"
#include "simd/kernels_sets.h"

#if defined(__x86_64__)

#include <string.h>

/* Eight floats, or the last `left` and zeros. */
static inline __m256 load8(const float *values, size_t left)
{
    float padded[8] = {0};

    if (left >= 8)
        return _mm256_loadu_ps(values);
    memcpy(padded, values, left * sizeof(float));
    return _mm256_loadu_ps(padded);
}

static inline __m256 absolute(__m256 values)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), values);
}

static inline __m256 add_square(__m256 a, __m256 b, __m256 sum)
{
    const __m256 difference = _mm256_sub_ps(a, b);

    return _mm256_fmadd_ps(difference, difference, sum);
}

static float dot(const float *a, const float *b, size_t count)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;

    for (; i + 32 <= count; i += 32) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
        s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
        s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
    }
    for (; i < count; i += 8)
        s0 = _mm256_fmadd_ps(load8(a + i, count - i), load8(b + i, count - i), s0);
    return reduce(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
}

static float l2_squared(const float *a, const float *b, size_t count)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;

    for (; i + 32 <= count; i += 32) {
        s0 = add_square(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
        s1 = add_square(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
        s2 = add_square(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
        s3 = add_square(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
    }
    for (; i < count; i += 8)
        s0 = add_square(load8(a + i, count - i), load8(b + i, count - i), s0);
    return reduce(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
}

static float l1(const float *a, const float *b, size_t count)
{
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;

    for (; i + 16 <= count; i += 16) {
        s0 = _mm256_add_ps(
            s0, absolute(_mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i))));
        s1 = _mm256_add_ps(
            s1, absolute(_mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8))));
    }
    for (; i < count; i += 8)
        s0 = _mm256_add_ps(
            s0, absolute(_mm256_sub_ps(load8(a + i, count - i), load8(b + i, count - i))));
    return reduce(_mm256_add_ps(s0, s1));
}

static void dot4(const float *query, const float *rows, size_t stride, size_t count, float out[4])
{
    const float *r0 = rows, *r1 = rows + stride, *r2 = r1 + stride, *r3 = r2 + stride;
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    __m256 t0 = s0, t1 = s0, t2 = s0, t3 = s0;
    size_t i = 0;

    for (; i + 16 <= count; i += 16) {
        const __m256 q = _mm256_loadu_ps(query + i), p = _mm256_loadu_ps(query + i + 8);

        s0 = _mm256_fmadd_ps(q, _mm256_loadu_ps(r0 + i), s0);
        s1 = _mm256_fmadd_ps(q, _mm256_loadu_ps(r1 + i), s1);
        s2 = _mm256_fmadd_ps(q, _mm256_loadu_ps(r2 + i), s2);
        s3 = _mm256_fmadd_ps(q, _mm256_loadu_ps(r3 + i), s3);
        t0 = _mm256_fmadd_ps(p, _mm256_loadu_ps(r0 + i + 8), t0);
        t1 = _mm256_fmadd_ps(p, _mm256_loadu_ps(r1 + i + 8), t1);
        t2 = _mm256_fmadd_ps(p, _mm256_loadu_ps(r2 + i + 8), t2);
        t3 = _mm256_fmadd_ps(p, _mm256_loadu_ps(r3 + i + 8), t3);
    }
    for (; i < count; i += 8) {
        const __m256 q = load8(query + i, count - i);

        s0 = _mm256_fmadd_ps(q, load8(r0 + i, count - i), s0);
        s1 = _mm256_fmadd_ps(q, load8(r1 + i, count - i), s1);
        s2 = _mm256_fmadd_ps(q, load8(r2 + i, count - i), s2);
        s3 = _mm256_fmadd_ps(q, load8(r3 + i, count - i), s3);
    }
    out[0] = reduce(_mm256_add_ps(s0, t0));
    out[1] = reduce(_mm256_add_ps(s1, t1));
    out[2] = reduce(_mm256_add_ps(s2, t2));
    out[3] = reduce(_mm256_add_ps(s3, t3));
}

static void
l2_squared4(const float *query, const float *rows, size_t stride, size_t count, float out[4])
{
    const float *r0 = rows, *r1 = rows + stride, *r2 = r1 + stride, *r3 = r2 + stride;
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;

    for (size_t i = 0; i < count; i += 8) {
        const __m256 q = load8(query + i, count - i);

        s0 = add_square(q, load8(r0 + i, count - i), s0);
        s1 = add_square(q, load8(r1 + i, count - i), s1);
        s2 = add_square(q, load8(r2 + i, count - i), s2);
        s3 = add_square(q, load8(r3 + i, count - i), s3);
    }
    out[0] = reduce(s0);
    out[1] = reduce(s1);
    out[2] = reduce(s2);
    out[3] = reduce(s3);
}

/* difference^2 / expected where expected > 0, else 0; both by masks, so that 0 / 0 does not get through. */
static inline __m256 chi_terms(__m256 expected, __m256 value, __m256 *positive)
{
    const __m256 difference = _mm256_sub_ps(expected, value);

    *positive = _mm256_cmp_ps(expected, _mm256_setzero_ps(), _CMP_GT_OQ);
    return _mm256_and_ps(*positive, _mm256_div_ps(_mm256_mul_ps(difference, difference), expected));
}

static float chi_square(const float *a, const float *b, size_t count)
{
    __m256 sum = _mm256_setzero_ps();
    __m256 positive;

    for (size_t i = 0; i < count; i += 8)
        sum = _mm256_add_ps(
            sum, chi_terms(load8(a + i, count - i), load8(b + i, count - i), &positive));
    return reduce(sum);
}

static float intersection(const float *a, const float *b, size_t count)
{
    __m256 sum = _mm256_setzero_ps();

    for (size_t i = 0; i < count; i += 8)
        sum = _mm256_add_ps(sum, _mm256_min_ps(load8(a + i, count - i), load8(b + i, count - i)));
    return reduce(sum);
}

static float sqrt_dot(const float *a, const float *b, size_t count)
{
    __m256 sum = _mm256_setzero_ps();

    for (size_t i = 0; i < count; i += 8)
        sum = _mm256_add_ps(
            sum, _mm256_sqrt_ps(_mm256_mul_ps(load8(a + i, count - i), load8(b + i, count - i))));
    return reduce(sum);
}

/* Up to 8 bytes as a word, missing ones 0. */
static inline uint64_t load_word(const uint8_t *bytes, size_t left)
{
    uint64_t word = 0;

    if (left >= 8)
        memcpy(&word, bytes, 8);
    else
        memcpy(&word, bytes, left);
    return word;
}

static uint32_t hamming(const uint8_t *a, const uint8_t *b, size_t byte_count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < byte_count; i += 8)
        sum += (uint64_t)_mm_popcnt_u64(
            load_word(a + i, byte_count - i) ^ load_word(b + i, byte_count - i));
    return (uint32_t)sum;
}

static size_t hamming_near(
    const uint8_t *a,
    const uint8_t *rows,
    size_t row_size,
    size_t count,
    uint32_t limit,
    uint32_t *out)
{
    uint64_t word;
    size_t found = 0;

    if (row_size == 8) {
        memcpy(&word, a, 8);
        for (size_t row = 0; row < count; row++) {
            uint64_t other;

            memcpy(&other, rows + row * 8, 8);
            out[found] = (uint32_t)row;
            found += (uint64_t)__builtin_popcountll(word ^ other) <= limit;
        }
        return found;
    }
    for (size_t row = 0; row < count; row++) {
        out[found] = (uint32_t)row;
        found += hamming(a, rows + row * row_size, row_size) <= limit;
    }
    return found;
}

static void
jaccard(const uint8_t *a, const uint8_t *b, size_t byte_count, uint32_t *out_and, uint32_t *out_or)
{
    uint64_t both = 0, any = 0;

    for (size_t i = 0; i < byte_count; i += 8) {
        const uint64_t left = load_word(a + i, byte_count - i);
        const uint64_t right = load_word(b + i, byte_count - i);

        both += (uint64_t)_mm_popcnt_u64(left & right);
        any += (uint64_t)_mm_popcnt_u64(left | right);
    }
    *out_and = (uint32_t)both;
    *out_or = (uint32_t)any;
}

/* Sixteen products in 16 bits, added in pairs; the 8-bit multiplication would saturate. */
static inline __m256i multiply_bytes(const uint8_t *a, __m256i right)
{
    return _mm256_madd_epi16(
        _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)a)), right);
}

static inline __m256i load_signed(const int8_t *b)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)b));
}

static inline int32_t reduce_integers(__m256i sum)
{
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));

    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(1, 0, 3, 2)));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtsi128_si32(half);
}

static int32_t dot_u8i8(const uint8_t *a, const int8_t *b, size_t count)
{
    __m256i sum = _mm256_setzero_si256();
    int32_t total;
    size_t i = 0;

    for (; i + 16 <= count; i += 16)
        sum = _mm256_add_epi32(sum, multiply_bytes(a + i, load_signed(b + i)));
    total = reduce_integers(sum);
    for (; i < count; i++)
        total += a[i] * b[i];
    return total;
}

static void
dot_u8i8_four(const uint8_t *const rows[4], const int8_t *b, size_t count, int32_t out[4])
{
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;

    for (; i + 16 <= count; i += 16) {
        const __m256i right = load_signed(b + i);

        s0 = _mm256_add_epi32(s0, multiply_bytes(rows[0] + i, right));
        s1 = _mm256_add_epi32(s1, multiply_bytes(rows[1] + i, right));
        s2 = _mm256_add_epi32(s2, multiply_bytes(rows[2] + i, right));
        s3 = _mm256_add_epi32(s3, multiply_bytes(rows[3] + i, right));
    }
    out[0] = reduce_integers(s0);
    out[1] = reduce_integers(s1);
    out[2] = reduce_integers(s2);
    out[3] = reduce_integers(s3);
    for (; i < count; i++)
        for (size_t row = 0; row < 4; row++)
            out[row] += rows[row][i] * b[i];
}

/* Unsigned to float, rounded once: both halves of 16 bits are exact. */
static inline __m256 unsigned_to_float(__m256i values)
{
    const __m256 low = _mm256_cvtepi32_ps(_mm256_and_si256(values, _mm256_set1_epi32(0xffff)));
    const __m256 high = _mm256_cvtepi32_ps(_mm256_srli_epi32(values, 16));

    return _mm256_fmadd_ps(high, _mm256_set1_ps(65536.0f), low);
}

/* Eight entries of a sparse row: the query's values at their bins, and the row's own. Lanes beyond `left` are 0. */
static inline void load_entries(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t left,
    float scale,
    __m256 *expected,
    __m256 *value)
{
    uint16_t bin[8] = {0};
    uint32_t number[8] = {0};
    const size_t used = left < 8 ? left : 8;
    __m256i index;

    memcpy(bin, bins, used * sizeof(*bin));
    memcpy(number, counts, used * sizeof(*number));
    index = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)bin));
    *expected = _mm256_i32gather_ps(query, index, 4);
    *value = _mm256_mul_ps(
        unsigned_to_float(_mm256_loadu_si256((const __m256i *)(const void *)number)),
        _mm256_set1_ps(scale));
    if (left < 8) {
        const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)left), lanes);

        *expected = _mm256_and_ps(*expected, _mm256_castsi256_ps(mask));
    }
}

static float sparse_intersection(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    __m256 sum = _mm256_setzero_ps(), expected, value;

    for (size_t e = 0; e < count; e += 8) {
        load_entries(query, bins + e, counts + e, count - e, scale, &expected, &value);
        sum = _mm256_add_ps(sum, _mm256_min_ps(expected, value));
    }
    return reduce(sum);
}

static float sparse_sqrt_dot(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    __m256 sum = _mm256_setzero_ps(), expected, value;

    for (size_t e = 0; e < count; e += 8) {
        load_entries(query, bins + e, counts + e, count - e, scale, &expected, &value);
        sum = _mm256_add_ps(sum, _mm256_sqrt_ps(_mm256_mul_ps(expected, value)));
    }
    return reduce(sum);
}

static float sparse_dot(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    __m256 sum = _mm256_setzero_ps(), expected, value;

    for (size_t e = 0; e < count; e += 8) {
        load_entries(query, bins + e, counts + e, count - e, scale, &expected, &value);
        sum = _mm256_fmadd_ps(expected, value, sum);
    }
    return reduce(sum);
}

static float sparse_l1_part(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    __m256 sum = _mm256_setzero_ps(), expected, value;

    for (size_t e = 0; e < count; e += 8) {
        load_entries(query, bins + e, counts + e, count - e, scale, &expected, &value);
        sum = _mm256_add_ps(sum, _mm256_sub_ps(absolute(_mm256_sub_ps(expected, value)), expected));
    }
    return reduce(sum);
}

static float sparse_chi_part(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    __m256 sum = _mm256_setzero_ps(), expected, value, positive;

    for (size_t e = 0; e < count; e += 8) {
        __m256 share;

        load_entries(query, bins + e, counts + e, count - e, scale, &expected, &value);
        share = chi_terms(expected, value, &positive);
        sum = _mm256_add_ps(sum, _mm256_sub_ps(share, _mm256_and_ps(positive, expected)));
    }
    return reduce(sum);
}

const struct ims_kernels ims_kernels_avx2 = {
    .name = "avx2",
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
};

#else
typedef int ims_no_avx2; /* a file is never empty */
#endif
