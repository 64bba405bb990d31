/* SPDX-License-Identifier: Apache-2.0 */
/* Distance kernels for AVX-512 F, BW, DQ, VL; VNNI and VPOPCNTDQ where the processor has them. Tails are masked loads. */
#include "simd/kernels_columns.h"
#include "simd/kernels_sets.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

/* Lanes of the last, partial vector of `left` < 16 values. */
static inline __mmask16 tail16(size_t left)
{
    return (__mmask16)((1u << left) - 1);
}

static inline __mmask64 tail64(size_t left)
{
    return ((__mmask64)1 << left) - 1;
}

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

static inline __m512i load_bytes(const uint8_t *bytes, size_t left)
{
    return left < 64 ? _mm512_maskz_loadu_epi8(tail64(left), bytes) : _mm512_loadu_si512(bytes);
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

static int32_t dot_u8i8(const uint8_t *a, const int8_t *b, size_t count)
{
    __m512i s0 = _mm512_setzero_si512(), s1 = s0;

    for (size_t i = 0; i < count; i += 64) {
        const __m512i left = load_bytes(a + i, count - i);
        const __m512i right = load_bytes((const uint8_t *)b + i, count - i);

        s0 = _mm512_add_epi32(
            s0, _mm512_madd_epi16(
                    _mm512_cvtepu8_epi16(_mm512_castsi512_si256(left)),
                    _mm512_cvtepi8_epi16(_mm512_castsi512_si256(right))));
        s1 = _mm512_add_epi32(
            s1, _mm512_madd_epi16(
                    _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(left, 1)),
                    _mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64(right, 1))));
    }
    return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1));
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

/* Sums of the 16 lanes of four vectors at once. */
static inline __m128i reduce_four_integers(__m512i a, __m512i b, __m512i c, __m512i d)
{
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i all =
        _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));

    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
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

/* ---- planes of merged bins ---- */

static inline __m512 code_values(const uint8_t *codes)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)codes)));
}

/* `c` clears the sign where the difference counts both ways. */
static inline __m512 chi_term(__m512 u, __m512 q, __m512 c, __m512 v, __m512 scale, __m512 sum)
{
    const __m512 rooted = _mm512_mul_ps(scale, u);
    const __m512 apart = _mm512_fnmadd_ps(rooted, u, q);
    const __m512 width = _mm512_fmadd_ps(scale, _mm512_set1_ps(0.25f), rooted);
    const __m512 both =
        _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(apart), _mm512_castps_si512(c)));
    const __m512 t = _mm512_max_ps(_mm512_sub_ps(both, width), _mm512_setzero_ps());

    return _mm512_fmadd_ps(_mm512_mul_ps(t, t), v, sum);
}

static inline __m512 sign_mask(float c)
{
    return _mm512_castsi512_ps(_mm512_set1_epi32(c != 0 ? 0x7fffffff : -1));
}

static void
plane_dot(const uint8_t *codes, const uint16_t *list, size_t count, const float *w, float out[64])
{
    for (size_t row = 0; row < 64; row += 32) {
        __m512 s0 = _mm512_setzero_ps(), s1 = _mm512_setzero_ps();

        for (size_t g = 0; g < count; g++) {
            const __m512 weight = _mm512_set1_ps(w[g]);
            const uint8_t *at = codes + list[g] * 64 + row;

            s0 = _mm512_fmadd_ps(code_values(at), weight, s0);
            s1 = _mm512_fmadd_ps(code_values(at + 16), weight, s1);
        }
        _mm512_storeu_ps(out + row, s0);
        _mm512_storeu_ps(out + row + 16, s1);
    }
}

static void plane_min(
    const uint8_t *codes,
    const uint16_t *list,
    size_t count,
    const float *q,
    const float scales[64],
    float out[64])
{
    for (size_t row = 0; row < 64; row += 32) {
        const __m512 scale0 = _mm512_loadu_ps(scales + row),
                     scale1 = _mm512_loadu_ps(scales + row + 16);
        __m512 s0 = _mm512_setzero_ps(), s1 = _mm512_setzero_ps();

        for (size_t g = 0; g < count; g++) {
            const __m512 query = _mm512_set1_ps(q[g]);
            const __m512 u0 = code_values(codes + list[g] * 64 + row);
            const __m512 u1 = code_values(codes + list[g] * 64 + row + 16);

            s0 = _mm512_add_ps(
                s0, _mm512_min_ps(_mm512_mul_ps(scale0, _mm512_mul_ps(u0, u0)), query));
            s1 = _mm512_add_ps(
                s1, _mm512_min_ps(_mm512_mul_ps(scale1, _mm512_mul_ps(u1, u1)), query));
        }
        _mm512_storeu_ps(out + row, s0);
        _mm512_storeu_ps(out + row + 16, s1);
    }
}

static void plane_chi(
    const uint8_t *codes,
    const uint16_t *list,
    size_t count,
    const float *q,
    const float *c,
    const float *v,
    const float scales[64],
    float out[64])
{
    for (size_t row = 0; row < 64; row += 32) {
        const __m512 scale0 = _mm512_loadu_ps(scales + row),
                     scale1 = _mm512_loadu_ps(scales + row + 16);
        __m512 s0 = _mm512_setzero_ps(), s1 = _mm512_setzero_ps();

        for (size_t g = 0; g < count; g++) {
            const __m512 query = _mm512_set1_ps(q[g]), full = sign_mask(c[g]),
                         inverse = _mm512_set1_ps(v[g]);
            const uint8_t *at = codes + list[g] * 64 + row;

            s0 = chi_term(code_values(at), query, full, inverse, scale0, s0);
            s1 = chi_term(code_values(at + 16), query, full, inverse, scale1, s1);
        }
        _mm512_storeu_ps(out + row, s0);
        _mm512_storeu_ps(out + row + 16, s1);
    }
}

static float row_dot(const uint8_t *codes, size_t groups, const float *w)
{
    __m512 sum = _mm512_setzero_ps();

    for (size_t g = 0; g < groups; g += 16)
        sum = _mm512_fmadd_ps(code_values(codes + g), _mm512_loadu_ps(w + g), sum);
    return _mm512_reduce_add_ps(sum);
}

static float row_min(const uint8_t *codes, size_t groups, const float *q, float scale)
{
    const __m512 scales = _mm512_set1_ps(scale);
    __m512 sum = _mm512_setzero_ps();

    for (size_t g = 0; g < groups; g += 16) {
        const __m512 u = code_values(codes + g);

        sum = _mm512_add_ps(
            sum, _mm512_min_ps(_mm512_mul_ps(scales, _mm512_mul_ps(u, u)), _mm512_loadu_ps(q + g)));
    }
    return _mm512_reduce_add_ps(sum);
}

/* Bounds of the 16 rows of a block from the sums. */
static inline __m512
plane_estimates(__m512i high, __m512i low, const struct ims_plane_query *query, const float *base)
{
    const __m512 sums = _mm512_fmadd_ps(
        _mm512_set1_ps(query->scale_high),
        _mm512_cvtepi32_ps(_mm512_sub_epi32(high, _mm512_set1_epi32(query->offset_high))),
        _mm512_mul_ps(
            _mm512_set1_ps(query->scale_low),
            _mm512_cvtepi32_ps(_mm512_sub_epi32(low, _mm512_set1_epi32(query->offset_low)))));

    return _mm512_sub_ps(
        _mm512_fmadd_ps(
            _mm512_set1_ps(query->base_factor), _mm512_loadu_ps(base),
            _mm512_set1_ps(query->constant)),
        sums);
}

/* Four weights as 16 bits, eight times. */
static inline __m512i four_weights(const int8_t *weights)
{
    int32_t four;

    memcpy(&four, weights, sizeof(four));
    return _mm512_cvtepi8_epi16(_mm256_set1_epi32(four));
}

/* Sums of neighbours: of sixteen rows from what two accumulators hold, eight rows each. */
static inline __m512i sixteen_rows(__m512i first, __m512i second)
{
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd =
        _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);

    return _mm512_add_epi32(
        _mm512_permutex2var_epi32(first, even, second),
        _mm512_permutex2var_epi32(first, odd, second));
}

static void plane_scan(
    const uint8_t *blocks,
    size_t block_count,
    size_t axes,
    const struct ims_plane_query *query,
    float *lower,
    float least[IMS_PLANE_ROWS])
{
    __m512 least_of = _mm512_set1_ps(INFINITY);

    for (size_t block = 0; block < block_count; block++) {
        const uint8_t *bytes = blocks + block * (axes * IMS_PLANE_ROWS + 128);
        const float *side = (const float *)(const void *)(bytes + axes * IMS_PLANE_ROWS);
        __m512i h0 = _mm512_setzero_si512(), h1 = h0, l0 = h0, l1 = h0;
        __m512 estimate;

        for (size_t axis = 0; axis < axes; axis += 4) {
            const __m512i codes = _mm512_loadu_si512(bytes + axis * IMS_PLANE_ROWS);
            const __m512i a = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(codes));
            const __m512i b = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(codes, 1));
            const __m512i h = four_weights(query->high + axis), l = four_weights(query->low + axis);

            h0 = _mm512_add_epi32(h0, _mm512_madd_epi16(a, h));
            h1 = _mm512_add_epi32(h1, _mm512_madd_epi16(b, h));
            l0 = _mm512_add_epi32(l0, _mm512_madd_epi16(a, l));
            l1 = _mm512_add_epi32(l1, _mm512_madd_epi16(b, l));
        }
        estimate = plane_estimates(sixteen_rows(h0, h1), sixteen_rows(l0, l1), query, side);
        _mm512_storeu_ps(
            lower + block * IMS_PLANE_ROWS, _mm512_fnmadd_ps(
                                                _mm512_set1_ps(query->tail_factor),
                                                _mm512_loadu_ps(side + IMS_PLANE_ROWS), estimate));
        least_of = _mm512_min_ps(estimate, least_of);
    }
    _mm512_storeu_ps(least, least_of);
}

__attribute__((target("avx512vnni"))) static inline __m512i
add_products(__m512i sum, __m512i codes, const int8_t *weights)
{
    int32_t four;

    memcpy(&four, weights, sizeof(four));
    return _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(four));
}

__attribute__((target("avx512vnni"))) static void plane_scan_vnni(
    const uint8_t *blocks,
    size_t block_count,
    size_t axes,
    const struct ims_plane_query *query,
    float *lower,
    float least[IMS_PLANE_ROWS])
{
    __m512 least_of = _mm512_set1_ps(INFINITY);

    for (size_t block = 0; block < block_count; block++) {
        const uint8_t *bytes = blocks + block * (axes * IMS_PLANE_ROWS + 128);
        const float *side = (const float *)(const void *)(bytes + axes * IMS_PLANE_ROWS);
        __m512i h0 = _mm512_setzero_si512(), h1 = h0, l0 = h0, l1 = h0;
        __m512 estimate;
        size_t axis = 0;

        for (; axis + 8 <= axes; axis += 8) {
            const __m512i first = _mm512_loadu_si512(bytes + axis * IMS_PLANE_ROWS);
            const __m512i second = _mm512_loadu_si512(bytes + (axis + 4) * IMS_PLANE_ROWS);

            h0 = add_products(h0, first, query->high + axis);
            l0 = add_products(l0, first, query->low + axis);
            h1 = add_products(h1, second, query->high + axis + 4);
            l1 = add_products(l1, second, query->low + axis + 4);
        }
        if (axis < axes) {
            const __m512i last = _mm512_loadu_si512(bytes + axis * IMS_PLANE_ROWS);

            h0 = add_products(h0, last, query->high + axis);
            l0 = add_products(l0, last, query->low + axis);
        }
        estimate = plane_estimates(_mm512_add_epi32(h0, h1), _mm512_add_epi32(l0, l1), query, side);
        _mm512_storeu_ps(
            lower + block * IMS_PLANE_ROWS, _mm512_fnmadd_ps(
                                                _mm512_set1_ps(query->tail_factor),
                                                _mm512_loadu_ps(side + IMS_PLANE_ROWS), estimate));
        least_of = _mm512_min_ps(estimate, least_of);
    }
    _mm512_storeu_ps(least, least_of);
}

static size_t not_above(const float *values, size_t count, float limit, uint32_t *positions)
{
    const __m512 limits = _mm512_set1_ps(limit);
    __m512i at = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    size_t found = 0;

    for (size_t i = 0; i < count; i += 16) {
        const __mmask16 there = count - i < 16 ? tail16(count - i) : 0xffff;
        const __mmask16 mask = _mm512_mask_cmp_ps_mask(
            there, _mm512_maskz_loadu_ps(there, values + i), limits, _CMP_NGT_UQ);

        if (mask !=
            0) { /* to memory in two steps: the instruction that does it in one is slow on some */
            const unsigned kept = (unsigned)__builtin_popcount(mask);

            _mm512_mask_storeu_epi32(
                positions + found, (__mmask16)((1u << kept) - 1),
                _mm512_maskz_compress_epi32(mask, at));
            found += kept;
        }
        at = _mm512_add_epi32(at, _mm512_set1_epi32(16));
    }
    return found;
}

static void record_dots(
    const uint8_t *const rows[4],
    const int8_t *high,
    const int8_t *low,
    size_t count,
    int32_t out[4])
{
    for (size_t row = 0; row < 4; row++)
        out[row] = 128 * dot_u8i8(rows[row], high, count) + dot_u8i8(rows[row], low, count);
}

__attribute__((target("avx512vnni"))) static void record_dots_vnni(
    const uint8_t *const rows[4],
    const int8_t *high,
    const int8_t *low,
    size_t count,
    int32_t out[4])
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i h[4] = {zero, zero, zero, zero}, l[4] = {zero, zero, zero, zero};

    for (size_t i = 0; i < count; i += 64) {
        const __mmask64 mask = count - i < 64 ? tail64(count - i) : ~(__mmask64)0;
        const __m512i a = _mm512_maskz_loadu_epi8(mask, high + i);
        const __m512i b = _mm512_maskz_loadu_epi8(mask, low + i);

        for (size_t row = 0; row < 4; row++) {
            const __m512i codes = _mm512_maskz_loadu_epi8(mask, rows[row] + i);

            h[row] = _mm512_dpbusd_epi32(h[row], codes, a);
            l[row] = _mm512_dpbusd_epi32(l[row], codes, b);
        }
    }
    for (size_t row = 0; row < 4; row++)
        l[row] = _mm512_add_epi32(l[row], _mm512_slli_epi32(h[row], 7));
    _mm_storeu_si128((__m128i *)(void *)out, reduce_four_integers(l[0], l[1], l[2], l[3]));
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
    .plane_dot = plane_dot,
    .plane_min = plane_min,
    .plane_chi = plane_chi,
    .row_dot = row_dot,
    .row_min = row_min,
    .plane_scan = plane_scan,
    .not_above = not_above,
    .record_dots = record_dots,
};

void ims_kernels_avx512_extend(struct ims_kernels *table, bool has_vnni, bool has_vpopcntdq)
{
    if (has_vnni) {
        table->dot_u8i8 = dot_u8i8_vnni;
        table->dot_u8i8_four = dot_u8i8_four_vnni;
        table->plane_scan = plane_scan_vnni;
        table->record_dots = record_dots_vnni;
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
