/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of kernels for AVX2 share; included by nothing else. */
#ifndef IMS_SIMD_KERNELS_AVX2_H
#define IMS_SIMD_KERNELS_AVX2_H

#if defined(__x86_64__)

#include <immintrin.h>

static inline float reduce(__m256 sum)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));

    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_shuffle_ps(half, half, 1)));
}

#endif

#endif
