/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Distance kernels for AVX-512 F, BW, DQ, VL; VNNI and VPOPCNTDQ where the processor has them. Tails are masked loads. Those of
 * planes are in kernels_planes_avx512.c.
 */
#include "simd/kernels_avx512.h"
#include "simd/kernels_columns.h"
#include "simd/kernels_sets.h"

#if defined(__x86_64__)

#include <string.h>

static inline float sum4(__m512 a, __m512 b, __m512 c, __m512 d)
{
    return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)));
}

static float dot(const float *a, const float *b, size_t count)
{
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;

    for (; i + 64 <= count; i += 64) {
        s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
        s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
        s2 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32), s2);
        s3 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48), s3);
    }
    for (; i + 16 <= count; i += 16)
        s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
    if (i < count) {
        const __mmask16 mask = tail16(count - i);

        s1 = _mm512_fmadd_ps(
            _mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i), s1);
    }
    return sum4(s0, s1, s2, s3);
}

static inline __m512 add_square(__m512 a, __m512 b, __m512 sum)
{
    const __m512 difference = _mm512_sub_ps(a, b);

    return _mm512_fmadd_ps(difference, difference, sum);
}

static float l2_squared(const float *a, const float *b, size_t count)
{
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;

    for (; i + 64 <= count; i += 64) {
        s0 = add_square(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
        s1 = add_square(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
        s2 = add_square(_mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32), s2);
        s3 = add_square(_mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48), s3);
    }
    for (; i + 16 <= count; i += 16)
        s0 = add_square(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
    if (i < count) {
        const __mmask16 mask = tail16(count - i);

        s1 = add_square(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i), s1);
    }
    return sum4(s0, s1, s2, s3);
}

static float l1(const float *a, const float *b, size_t count)
{
    __m512 s0 = _mm512_setzero_ps(), s1 = s0;
    size_t i = 0;

    for (; i + 32 <= count; i += 32) {
        s0 = _mm512_add_ps(
            s0, _mm512_abs_ps(_mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i))));
        s1 = _mm512_add_ps(
            s1,
            _mm512_abs_ps(_mm512_sub_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16))));
    }
    for (; i < count; i += 16) {
        const __mmask16 mask = count - i < 16 ? tail16(count - i) : 0xffff;

        s0 = _mm512_add_ps(
            s0, _mm512_abs_ps(_mm512_sub_ps(
                    _mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i))));
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
}

/* Sums of the 16 lanes of four vectors at once. */
static inline __m128 reduce_four(__m512 a, __m512 b, __m512 c, __m512 d)
{
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512 low = _mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(1, 0, 1, 0));
    const __m512 high = _mm512_shuffle_ps(ab, cd, _MM_SHUFFLE(3, 2, 3, 2));
    const __m512 all = _mm512_add_ps(low, high);
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));

    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

static void dot4(const float *query, const float *rows, size_t stride, size_t count, float out[4])
{
    const float *r0 = rows, *r1 = rows + stride, *r2 = r1 + stride, *r3 = r2 + stride;
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    __m512 t0 = s0, t1 = s0, t2 = s0, t3 = s0;
    size_t i = 0;

    for (; i + 32 <= count; i += 32) {
        const __m512 q = _mm512_loadu_ps(query + i), p = _mm512_loadu_ps(query + i + 16);

        s0 = _mm512_fmadd_ps(q, _mm512_loadu_ps(r0 + i), s0);
        s1 = _mm512_fmadd_ps(q, _mm512_loadu_ps(r1 + i), s1);
        s2 = _mm512_fmadd_ps(q, _mm512_loadu_ps(r2 + i), s2);
        s3 = _mm512_fmadd_ps(q, _mm512_loadu_ps(r3 + i), s3);
        t0 = _mm512_fmadd_ps(p, _mm512_loadu_ps(r0 + i + 16), t0);
        t1 = _mm512_fmadd_ps(p, _mm512_loadu_ps(r1 + i + 16), t1);
        t2 = _mm512_fmadd_ps(p, _mm512_loadu_ps(r2 + i + 16), t2);
        t3 = _mm512_fmadd_ps(p, _mm512_loadu_ps(r3 + i + 16), t3);
    }
    for (; i < count; i += 16) {
        const __mmask16 mask = count - i < 16 ? tail16(count - i) : 0xffff;
        const __m512 q = _mm512_maskz_loadu_ps(mask, query + i);

        s0 = _mm512_fmadd_ps(q, _mm512_maskz_loadu_ps(mask, r0 + i), s0);
        s1 = _mm512_fmadd_ps(q, _mm512_maskz_loadu_ps(mask, r1 + i), s1);
        s2 = _mm512_fmadd_ps(q, _mm512_maskz_loadu_ps(mask, r2 + i), s2);
        s3 = _mm512_fmadd_ps(q, _mm512_maskz_loadu_ps(mask, r3 + i), s3);
    }
    _mm_storeu_ps(
        out, reduce_four(
                 _mm512_add_ps(s0, t0), _mm512_add_ps(s1, t1), _mm512_add_ps(s2, t2),
                 _mm512_add_ps(s3, t3)));
}

static void
l2_squared4(const float *query, const float *rows, size_t stride, size_t count, float out[4])
{
    const float *r0 = rows, *r1 = rows + stride, *r2 = r1 + stride, *r3 = r2 + stride;
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    __m512 t0 = s0, t1 = s0, t2 = s0, t3 = s0;
    size_t i = 0;

    for (; i + 32 <= count; i += 32) {
        const __m512 q = _mm512_loadu_ps(query + i), p = _mm512_loadu_ps(query + i + 16);

        s0 = add_square(q, _mm512_loadu_ps(r0 + i), s0);
        s1 = add_square(q, _mm512_loadu_ps(r1 + i), s1);
        s2 = add_square(q, _mm512_loadu_ps(r2 + i), s2);
        s3 = add_square(q, _mm512_loadu_ps(r3 + i), s3);
        t0 = add_square(p, _mm512_loadu_ps(r0 + i + 16), t0);
        t1 = add_square(p, _mm512_loadu_ps(r1 + i + 16), t1);
        t2 = add_square(p, _mm512_loadu_ps(r2 + i + 16), t2);
        t3 = add_square(p, _mm512_loadu_ps(r3 + i + 16), t3);
    }
    for (; i < count; i += 16) {
        const __mmask16 mask = count - i < 16 ? tail16(count - i) : 0xffff;
        const __m512 q = _mm512_maskz_loadu_ps(mask, query + i);

        s0 = add_square(q, _mm512_maskz_loadu_ps(mask, r0 + i), s0);
        s1 = add_square(q, _mm512_maskz_loadu_ps(mask, r1 + i), s1);
        s2 = add_square(q, _mm512_maskz_loadu_ps(mask, r2 + i), s2);
        s3 = add_square(q, _mm512_maskz_loadu_ps(mask, r3 + i), s3);
    }
    _mm_storeu_ps(
        out, reduce_four(
                 _mm512_add_ps(s0, t0), _mm512_add_ps(s1, t1), _mm512_add_ps(s2, t2),
                 _mm512_add_ps(s3, t3)));
}

static float chi_square(const float *a, const float *b, size_t count)
{
    __m512 sum = _mm512_setzero_ps();

    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 mask = count - i < 16 ? tail16(count - i) : 0xffff;
        const __m512 expected = _mm512_maskz_loadu_ps(mask, a + i);
        const __m512 difference = _mm512_sub_ps(expected, _mm512_maskz_loadu_ps(mask, b + i));
        const __mmask16 positive = _mm512_cmp_ps_mask(expected, _mm512_setzero_ps(), _CMP_GT_OQ);

        sum = _mm512_add_ps(
            sum, _mm512_maskz_div_ps(positive, _mm512_mul_ps(difference, difference), expected));
    }
    return _mm512_reduce_add_ps(sum);
}

static float intersection(const float *a, const float *b, size_t count)
{
    __m512 sum = _mm512_setzero_ps();

    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 mask = count - i < 16 ? tail16(count - i) : 0xffff;

        sum = _mm512_add_ps(
            sum,
            _mm512_min_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i)));
    }
    return _mm512_reduce_add_ps(sum);
}

static float sqrt_dot(const float *a, const float *b, size_t count)
{
    __m512 sum = _mm512_setzero_ps();

    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 mask = count - i < 16 ? tail16(count - i) : 0xffff;

        sum = _mm512_add_ps(
            sum, _mm512_sqrt_ps(_mm512_mul_ps(
                     _mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i))));
    }
    return _mm512_reduce_add_ps(sum);
}

/* Set bits of each byte: two lookups of four bits (Mula), for processors without VPOPCNTDQ. */
static inline __m512i popcount_bytes(__m512i bytes)
{
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i high_bits = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), low);

    return _mm512_add_epi8(
        _mm512_shuffle_epi8(table, _mm512_and_si512(bytes, low)),
        _mm512_shuffle_epi8(table, high_bits));
}

static uint32_t hamming(const uint8_t *a, const uint8_t *b, size_t byte_count)
{
    __m512i sum = _mm512_setzero_si512();

    for (size_t i = 0; i < byte_count; i += 64) {
        const __m512i differing =
            _mm512_xor_si512(load_bytes(a + i, byte_count - i), load_bytes(b + i, byte_count - i));

        sum = _mm512_add_epi64(
            sum, _mm512_sad_epu8(popcount_bytes(differing), _mm512_setzero_si512()));
    }
    return (uint32_t)_mm512_reduce_add_epi64(sum);
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
    const __m512i zero = _mm512_setzero_si512();
    __m512i both = zero, any = zero;

    for (size_t i = 0; i < byte_count; i += 64) {
        const __m512i left = load_bytes(a + i, byte_count - i);
        const __m512i right = load_bytes(b + i, byte_count - i);

        both = _mm512_add_epi64(
            both, _mm512_sad_epu8(popcount_bytes(_mm512_and_si512(left, right)), zero));
        any = _mm512_add_epi64(
            any, _mm512_sad_epu8(popcount_bytes(_mm512_or_si512(left, right)), zero));
    }
    *out_and = (uint32_t)_mm512_reduce_add_epi64(both);
    *out_or = (uint32_t)_mm512_reduce_add_epi64(any);
}

__attribute__((target("avx512vpopcntdq"))) static uint32_t
hamming_vpopcntdq(const uint8_t *a, const uint8_t *b, size_t byte_count)
{
    __m512i sum = _mm512_setzero_si512();

    for (size_t i = 0; i < byte_count; i += 64)
        sum = _mm512_add_epi64(
            sum, _mm512_popcnt_epi64(_mm512_xor_si512(
                     load_bytes(a + i, byte_count - i), load_bytes(b + i, byte_count - i))));
    return (uint32_t)_mm512_reduce_add_epi64(sum);
}

/* The rows of a mask behind those found before. */
static inline size_t list_rows(uint32_t mask, size_t row, uint32_t *out, size_t found)
{
    for (; mask != 0; mask &= mask - 1)
        out[found++] = (uint32_t)(row + (size_t)__builtin_ctz(mask));
    return found;
}

/* Rows of 64 bits, 32 at a time. */
__attribute__((target("avx512vpopcntdq"))) static size_t
near_words(const uint8_t *a, const uint8_t *rows, size_t count, uint32_t limit, uint32_t *out)
{
    const __m512i most = _mm512_set1_epi64(limit);
    __m512i query;
    uint64_t word;
    size_t found = 0, row = 0;

    memcpy(&word, a, 8);
    query = _mm512_set1_epi64((long long)word);
    for (; row < count; row += 32) {
        uint32_t mask = 0;

        for (size_t part = 0; part < 4 && row + 8 * part < count; part++) {
            const size_t left = count - row - 8 * part;
            const __mmask8 lanes = left < 8 ? (__mmask8)((1u << left) - 1) : 0xff;
            const __m512i other = _mm512_maskz_loadu_epi64(lanes, rows + (row + 8 * part) * 8);

            mask |= (uint32_t)_mm512_mask_cmple_epu64_mask(
                        lanes, _mm512_popcnt_epi64(_mm512_xor_si512(query, other)), most)
                    << (8 * part);
        }
        if (mask != 0)
            found = list_rows(mask, row, out, found);
    }
    return found;
}

/* Rows of 256 bits, two at a time. */
__attribute__((target("avx512vpopcntdq"))) static size_t
near_quads(const uint8_t *a, const uint8_t *rows, size_t count, uint32_t limit, uint32_t *out)
{
    const __m512i most = _mm512_set1_epi64(limit);
    const __m512i query = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)a));
    size_t found = 0;

    for (size_t row = 0; row < count; row += 2) {
        const __mmask8 lanes = count - row < 2 ? 0x0f : 0xff;
        __m512i sum = _mm512_popcnt_epi64(
            _mm512_xor_si512(query, _mm512_maskz_loadu_epi64(lanes, rows + row * 32)));
        __mmask8 mask;

        sum = _mm512_add_epi64(sum, _mm512_permutex_epi64(sum, 0xb1));
        sum = _mm512_add_epi64(sum, _mm512_permutex_epi64(sum, 0x4e));
        mask = _mm512_mask_cmple_epu64_mask(lanes & 0x11, sum, most);
        if (mask != 0)
            found = list_rows((mask & 1u) | (mask >> 3 & 2u), row, out, found);
    }
    return found;
}

static size_t hamming_near_vpopcntdq(
    const uint8_t *a,
    const uint8_t *rows,
    size_t row_size,
    size_t count,
    uint32_t limit,
    uint32_t *out)
{
    size_t found = 0;

    if (row_size == 8)
        return near_words(a, rows, count, limit, out);
    if (row_size == 32)
        return near_quads(a, rows, count, limit, out);
    for (size_t row = 0; row < count; row++) {
        out[found] = (uint32_t)row;
        found += hamming_vpopcntdq(a, rows + row * row_size, row_size) <= limit;
    }
    return found;
}

__attribute__((target("avx512vpopcntdq"))) static void jaccard_vpopcntdq(
    const uint8_t *a,
    const uint8_t *b,
    size_t byte_count,
    uint32_t *out_and,
    uint32_t *out_or)
{
    __m512i both = _mm512_setzero_si512(), any = both;

    for (size_t i = 0; i < byte_count; i += 64) {
        const __m512i left = load_bytes(a + i, byte_count - i);
        const __m512i right = load_bytes(b + i, byte_count - i);

        both = _mm512_add_epi64(both, _mm512_popcnt_epi64(_mm512_and_si512(left, right)));
        any = _mm512_add_epi64(any, _mm512_popcnt_epi64(_mm512_or_si512(left, right)));
    }
    *out_and = (uint32_t)_mm512_reduce_add_epi64(both);
    *out_or = (uint32_t)_mm512_reduce_add_epi64(any);
}

static void
dot_u8i8_four(const uint8_t *const rows[4], const int8_t *b, size_t count, int32_t out[4])
{
    for (size_t row = 0; row < 4; row++)
        out[row] = dot_u8i8(rows[row], b, count);
}

__attribute__((target("avx512vnni"))) static int32_t
dot_u8i8_vnni(const uint8_t *a, const int8_t *b, size_t count)
{
    __m512i s0 = _mm512_setzero_si512(), s1 = s0;
    size_t i = 0;

    for (; i + 128 <= count; i += 128) {
        s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i));
        s1 =
            _mm512_dpbusd_epi32(s1, _mm512_loadu_si512(a + i + 64), _mm512_loadu_si512(b + i + 64));
    }
    for (; i < count; i += 64)
        s0 = _mm512_dpbusd_epi32(
            s0, load_bytes(a + i, count - i), load_bytes((const uint8_t *)b + i, count - i));
    return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1));
}

__attribute__((target("avx512vnni"))) static void
dot_u8i8_four_vnni(const uint8_t *const rows[4], const int8_t *b, size_t count, int32_t out[4])
{
    const uint8_t *const r0 = rows[0], *const r1 = rows[1], *const r2 = rows[2],
                         *const r3 = rows[3];
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;

    for (; i + 64 <= count; i += 64) {
        const __m512i right = _mm512_loadu_si512(b + i);

        s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(r0 + i), right);
        s1 = _mm512_dpbusd_epi32(s1, _mm512_loadu_si512(r1 + i), right);
        s2 = _mm512_dpbusd_epi32(s2, _mm512_loadu_si512(r2 + i), right);
        s3 = _mm512_dpbusd_epi32(s3, _mm512_loadu_si512(r3 + i), right);
    }
    if (i < count) {
        const __mmask64 mask = tail64(count - i);
        const __m512i right = _mm512_maskz_loadu_epi8(mask, b + i);

        s0 = _mm512_dpbusd_epi32(s0, _mm512_maskz_loadu_epi8(mask, r0 + i), right);
        s1 = _mm512_dpbusd_epi32(s1, _mm512_maskz_loadu_epi8(mask, r1 + i), right);
        s2 = _mm512_dpbusd_epi32(s2, _mm512_maskz_loadu_epi8(mask, r2 + i), right);
        s3 = _mm512_dpbusd_epi32(s3, _mm512_maskz_loadu_epi8(mask, r3 + i), right);
    }
    _mm_storeu_si128((__m128i *)(void *)out, reduce_four_integers(s0, s1, s2, s3));
}

/* Sixteen entries of a sparse row: the query's values at their bins, and the row's own. Lanes beyond `left` are 0. */
static inline __m512 gather_query(const float *query, const uint16_t *bins, size_t left)
{
    const __mmask16 mask = left < 16 ? tail16(left) : 0xffff;
    const __m512i index = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, bins));

    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask, index, query, 4);
}

static inline __m512 load_counts(const uint32_t *counts, size_t left, float scale)
{
    const __mmask16 mask = left < 16 ? tail16(left) : 0xffff;

    return _mm512_mul_ps(
        _mm512_cvtepu32_ps(_mm512_maskz_loadu_epi32(mask, counts)), _mm512_set1_ps(scale));
}

static float sparse_intersection(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    __m512 sum = _mm512_setzero_ps();

    for (size_t e = 0; e < count; e += 16)
        sum = _mm512_add_ps(
            sum, _mm512_min_ps(
                     gather_query(query, bins + e, count - e),
                     load_counts(counts + e, count - e, scale)));
    return _mm512_reduce_add_ps(sum);
}

static float sparse_sqrt_dot(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    __m512 sum = _mm512_setzero_ps();

    for (size_t e = 0; e < count; e += 16)
        sum = _mm512_add_ps(
            sum, _mm512_sqrt_ps(_mm512_mul_ps(
                     gather_query(query, bins + e, count - e),
                     load_counts(counts + e, count - e, scale))));
    return _mm512_reduce_add_ps(sum);
}

static float sparse_dot(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    __m512 sum = _mm512_setzero_ps();

    for (size_t e = 0; e < count; e += 16)
        sum = _mm512_fmadd_ps(
            gather_query(query, bins + e, count - e), load_counts(counts + e, count - e, scale),
            sum);
    return _mm512_reduce_add_ps(sum);
}

static float sparse_l1_part(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    __m512 sum = _mm512_setzero_ps();

    for (size_t e = 0; e < count; e += 16) {
        const __m512 expected = gather_query(query, bins + e, count - e);
        const __m512 value = load_counts(counts + e, count - e, scale);

        sum = _mm512_add_ps(
            sum, _mm512_sub_ps(_mm512_abs_ps(_mm512_sub_ps(expected, value)), expected));
    }
    return _mm512_reduce_add_ps(sum);
}

static float sparse_chi_part(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    __m512 sum = _mm512_setzero_ps();

    for (size_t e = 0; e < count; e += 16) {
        const __m512 expected = gather_query(query, bins + e, count - e);
        const __m512 difference =
            _mm512_sub_ps(expected, load_counts(counts + e, count - e, scale));
        const __mmask16 positive = _mm512_cmp_ps_mask(expected, _mm512_setzero_ps(), _CMP_GT_OQ);
        const __m512 share =
            _mm512_maskz_div_ps(positive, _mm512_mul_ps(difference, difference), expected);

        sum = _mm512_add_ps(sum, _mm512_maskz_sub_ps(positive, share, expected));
    }
    return _mm512_reduce_add_ps(sum);
}

const struct ims_kernels ims_kernels_avx512 = {
    .name = "avx512",
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

void ims_kernels_avx512_extend(struct ims_kernels *table, bool has_vnni, bool has_vpopcntdq)
{
    if (has_vnni) {
        table->dot_u8i8 = dot_u8i8_vnni;
        table->dot_u8i8_four = dot_u8i8_four_vnni;
    }
    if (has_vpopcntdq) {
        table->hamming = hamming_vpopcntdq;
        table->hamming_near = hamming_near_vpopcntdq;
        table->jaccard = jaccard_vpopcntdq;
    }
}

#else
typedef int ims_no_avx512; /* a file is never empty */
#endif
