/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of tables by levels with AVX2, 32 codes at once: as kernels_levels_avx512.c. */
#include "simd/kernels_levels.h"

#if defined(__x86_64__)

#include <immintrin.h>

void ims_plane_levels_avx2(
    const uint8_t *codes,
    const uint16_t *list,
    size_t count,
    const uint8_t *tables,
    int shift,
    size_t ahead,
    uint16_t out[LEVEL_ROWS])
{
    const __m256i half = _mm256_set1_epi8(15);
    const __m128i by = _mm_cvtsi32_si128(shift);
    const uint16_t *half_list = list + (shift == 0 ? 0 : count / 2); /* what this call asks for */
    __m256i even[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    __m256i odd[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

    for (size_t g = 0; g < count; g++) {
        const uint8_t *line = codes + list[g] * LEVEL_ROWS;
        const __m128i *table = (const __m128i *)(const void *)(tables + g * LEVEL_TABLE);
        const __m256i lows = _mm256_broadcastsi128_si256(_mm_loadu_si128(table));
        const __m256i highs = _mm256_broadcastsi128_si256(_mm_loadu_si128(table + 1));

        if (g % 2 == 0)
            _mm_prefetch((const char *)codes + ahead + half_list[g / 2] * LEVEL_ROWS, _MM_HINT_T0);
        for (int i = 0; i < 2; i++) {
            const __m256i *at = (const __m256i *)(const void *)(line + 32 * i);
            const __m256i level =
                _mm256_and_si256(_mm256_srl_epi16(_mm256_loadu_si256(at), by), half);
            const __m256i low = _mm256_shuffle_epi8(lows, level);
            const __m256i high = _mm256_shuffle_epi8(highs, level);

            even[i] = _mm256_adds_epu16(even[i], _mm256_unpacklo_epi8(low, high));
            odd[i] = _mm256_adds_epu16(odd[i], _mm256_unpackhi_epi8(low, high));
        }
    }
    for (int i = 0; i < 2; i++) {
        __m256i *to = (__m256i *)(void *)(out + 32 * i);

        _mm256_storeu_si256(to, _mm256_permute2x128_si256(even[i], odd[i], 0x20));
        _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(even[i], odd[i], 0x31));
    }
}

#else
typedef int ims_no_levels_avx2; /* a file is never empty */
#endif
