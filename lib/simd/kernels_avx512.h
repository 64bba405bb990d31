/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of kernels for AVX-512 share; included by nothing else. */
#ifndef IMS_SIMD_KERNELS_AVX512_H
#define IMS_SIMD_KERNELS_AVX512_H

#if defined(__x86_64__)

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* Lanes of the last, partial vector of `left` < 16 values. */
static inline __mmask16 tail16(size_t left)
{
    return (__mmask16)((1u << left) - 1);
}

static inline __mmask64 tail64(size_t left)
{
    return ((__mmask64)1 << left) - 1;
}

static inline __m512i load_bytes(const uint8_t *bytes, size_t left)
{
    return left < 64 ? _mm512_maskz_loadu_epi8(tail64(left), bytes) : _mm512_loadu_si512(bytes);
}
static inline int32_t dot_u8i8(const uint8_t *a, const int8_t *b, size_t count)
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

#endif

#endif
