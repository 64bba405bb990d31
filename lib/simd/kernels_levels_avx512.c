/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums of tables by levels with AVX-512: a byte shuffle looks up 64 codes at once.
 *
 * Tables of 16 entries in a register: André, Kermarrec & Le Scouarnec, Cache locality is not enough, PVLDB 9(4), 2015. Theirs are
 * of bytes; ours of 16 bits in two, so that rounding hides next to nothing.
 */
#include "simd/kernels_levels.h"

#if defined(__x86_64__)

#include <immintrin.h>

void ims_plane_levels_avx512(
    const uint8_t *codes,
    const uint16_t *list,
    size_t count,
    const uint8_t *tables,
    int shift,
    size_t ahead,
    uint16_t out[LEVEL_ROWS])
{
    const __m512i half = _mm512_set1_epi8(15);
    const __m128i by = _mm_cvtsi32_si128(shift);
    const uint16_t *half_list = list + (shift == 0 ? 0 : count / 2); /* what this call asks for */
    __m512i even = _mm512_setzero_si512(), odd = even;               /* eights of rows */

    for (size_t g = 0; g < count; g++) {
        const uint8_t *line = codes + list[g] * LEVEL_ROWS;
        const __m128i *table = (const __m128i *)(const void *)(tables + g * LEVEL_TABLE);
        const __m512i level =
            _mm512_and_si512(_mm512_srl_epi16(_mm512_loadu_si512(line), by), half);
        const __m512i low =
            _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table)), level);
        const __m512i high =
            _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128(table + 1)), level);

        if (g % 2 == 0)
            _mm_prefetch((const char *)codes + ahead + half_list[g / 2] * LEVEL_ROWS, _MM_HINT_T0);
        even = _mm512_adds_epu16(even, _mm512_unpacklo_epi8(low, high));
        odd = _mm512_adds_epu16(odd, _mm512_unpackhi_epi8(low, high));
    }
    /* Each quarter of `even` is the eight rows before those of `odd`. */
    _mm512_storeu_si512(
        out, _mm512_permutex2var_epi64(even, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), odd));
    _mm512_storeu_si512(
        out + 32,
        _mm512_permutex2var_epi64(even, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), odd));
}

#else
typedef int ims_no_levels_avx512; /* a file is never empty */
#endif
