/* SPDX-License-Identifier: Apache-2.0 */
/* The plane kernels of kernels.h for AVX2 with FMA. */
#include "simd/kernels_avx2.h"
#include "simd/kernels_levels.h"
#include "simd/kernels_sets.h"

#if defined(__x86_64__)

#include <math.h>
#include <string.h>

/* ---- planes of merged bins ---- */

static inline __m256 code_values(const uint8_t *codes)
{
    return _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)codes)));
}

static void
plane_dot(const uint8_t *codes, const uint16_t *list, size_t count, const float *w, float out[64])
{
    for (size_t row = 0; row < 64; row += 16) {
        __m256 s0 = _mm256_setzero_ps(), s1 = _mm256_setzero_ps();

        for (size_t g = 0; g < count; g++) {
            const __m256 weight = _mm256_set1_ps(w[g]);
            const uint8_t *at = codes + list[g] * 64 + row;

            s0 = _mm256_fmadd_ps(code_values(at), weight, s0);
            s1 = _mm256_fmadd_ps(code_values(at + 8), weight, s1);
        }
        _mm256_storeu_ps(out + row, s0);
        _mm256_storeu_ps(out + row + 8, s1);
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
    for (size_t row = 0; row < 64; row += 16) {
        const __m256 scale0 = _mm256_loadu_ps(scales + row),
                     scale1 = _mm256_loadu_ps(scales + row + 8);
        __m256 s0 = _mm256_setzero_ps(), s1 = _mm256_setzero_ps();

        for (size_t g = 0; g < count; g++) {
            const __m256 query = _mm256_set1_ps(q[g]);
            const __m256 u0 = code_values(codes + list[g] * 64 + row);
            const __m256 u1 = code_values(codes + list[g] * 64 + row + 8);

            s0 = _mm256_add_ps(
                s0, _mm256_min_ps(_mm256_mul_ps(scale0, _mm256_mul_ps(u0, u0)), query));
            s1 = _mm256_add_ps(
                s1, _mm256_min_ps(_mm256_mul_ps(scale1, _mm256_mul_ps(u1, u1)), query));
        }
        _mm256_storeu_ps(out + row, s0);
        _mm256_storeu_ps(out + row + 8, s1);
    }
}

static float row_dot(const uint8_t *codes, size_t groups, const float *w)
{
    __m256 sum = _mm256_setzero_ps();

    for (size_t g = 0; g < groups; g += 8)
        sum = _mm256_fmadd_ps(code_values(codes + g), _mm256_loadu_ps(w + g), sum);
    return reduce(sum);
}

static float row_min(const uint8_t *codes, size_t groups, const float *q, float scale)
{
    const __m256 scales = _mm256_set1_ps(scale);
    __m256 sum = _mm256_setzero_ps();

    for (size_t g = 0; g < groups; g += 8) {
        const __m256 u = code_values(codes + g);

        sum = _mm256_add_ps(
            sum, _mm256_min_ps(_mm256_mul_ps(scales, _mm256_mul_ps(u, u)), _mm256_loadu_ps(q + g)));
    }
    return reduce(sum);
}

/* Four weights as 16 bits, four times. */
static inline __m256i four_weights(const int8_t *weights)
{
    int32_t four;

    memcpy(&four, weights, sizeof(four));
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
}

/* Sums of neighbours: of eight rows from what two accumulators hold, four rows each. */
static inline __m256i eight_rows(__m256i first, __m256i second)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(first, second), _MM_SHUFFLE(3, 1, 2, 0));
}

static inline __m256
plane_half(__m256i high, __m256i low, const struct ims_plane_query *query, const float *base)
{
    const __m256 sums = _mm256_fmadd_ps(
        _mm256_set1_ps(query->scale_high),
        _mm256_cvtepi32_ps(_mm256_sub_epi32(high, _mm256_set1_epi32(query->offset_high))),
        _mm256_mul_ps(
            _mm256_set1_ps(query->scale_low),
            _mm256_cvtepi32_ps(_mm256_sub_epi32(low, _mm256_set1_epi32(query->offset_low)))));

    return _mm256_sub_ps(
        _mm256_fmadd_ps(
            _mm256_set1_ps(query->base_factor), _mm256_loadu_ps(base),
            _mm256_set1_ps(query->constant)),
        sums);
}

static void plane_scan(
    const uint8_t *blocks,
    size_t block_count,
    size_t axes,
    const struct ims_plane_query *query,
    float *lower,
    float least[IMS_PLANE_ROWS])
{
    __m256 least_of[2] = {_mm256_set1_ps(INFINITY), _mm256_set1_ps(INFINITY)};

    for (size_t block = 0; block < block_count; block++) {
        const uint8_t *bytes = blocks + block * (axes * IMS_PLANE_ROWS + 128);
        const float *side = (const float *)(const void *)(bytes + axes * IMS_PLANE_ROWS);
        __m256i high[4], low[4];

        for (size_t i = 0; i < 4; i++)
            high[i] = low[i] = _mm256_setzero_si256();
        for (size_t axis = 0; axis < axes; axis += 4) {
            const __m256i h = four_weights(query->high + axis), l = four_weights(query->low + axis);

            for (size_t i = 0; i < 4; i++) {
                const __m256i codes = _mm256_cvtepu8_epi16(_mm_loadu_si128(
                    (const __m128i *)(const void *)(bytes + axis * IMS_PLANE_ROWS + 16 * i)));

                high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(codes, h));
                low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(codes, l));
            }
        }
        for (size_t half = 0; half < 2; half++) {
            const __m256 estimate = plane_half(
                eight_rows(high[2 * half], high[2 * half + 1]),
                eight_rows(low[2 * half], low[2 * half + 1]), query, side + 8 * half);

            _mm256_storeu_ps(
                lower + block * IMS_PLANE_ROWS + 8 * half,
                _mm256_fnmadd_ps(
                    _mm256_set1_ps(query->tail_factor),
                    _mm256_loadu_ps(side + IMS_PLANE_ROWS + 8 * half), estimate));
            least_of[half] = _mm256_min_ps(estimate, least_of[half]);
        }
    }
    _mm256_storeu_ps(least, least_of[0]);
    _mm256_storeu_ps(least + 8, least_of[1]);
}

static size_t not_above(const float *values, size_t count, float limit, uint32_t *positions)
{
    const __m256 limits = _mm256_set1_ps(limit);
    size_t found = 0, i = 0;

    for (; i + 8 <= count; i += 8) {
        unsigned mask = (unsigned)_mm256_movemask_ps(
            _mm256_cmp_ps(_mm256_loadu_ps(values + i), limits, _CMP_NGT_UQ));

        for (; mask != 0; mask &= mask - 1)
            positions[found++] = (uint32_t)i + (uint32_t)__builtin_ctz(mask);
    }
    for (; i < count; i++)
        if (!(values[i] > limit))
            positions[found++] = (uint32_t)i;
    return found;
}

static void record_dots(
    const uint8_t *const rows[4],
    const int8_t *high,
    const int8_t *low,
    size_t count,
    int32_t out[4])
{
    __m256i sums[4];
    size_t i = 0;

    for (size_t row = 0; row < 4; row++)
        sums[row] = _mm256_setzero_si256();
    for (; i + 16 <= count; i += 16) {
        const __m256i weights = _mm256_add_epi16(
            _mm256_slli_epi16(
                _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(high + i))),
                7),
            _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(low + i))));

        for (size_t row = 0; row < 4; row++)
            sums[row] = _mm256_add_epi32(
                sums[row], _mm256_madd_epi16(
                               _mm256_cvtepu8_epi16(
                                   _mm_loadu_si128((const __m128i *)(const void *)(rows[row] + i))),
                               weights));
    }
    for (size_t row = 0; row < 4; row++) {
        const __m128i half = _mm_add_epi32(
            _mm256_castsi256_si128(sums[row]), _mm256_extracti128_si256(sums[row], 1));
        const __m128i pair = _mm_add_epi32(half, _mm_unpackhi_epi64(half, half));

        out[row] = _mm_cvtsi128_si32(pair) + _mm_extract_epi32(pair, 1);
        for (size_t rest = i; rest < count; rest++)
            out[row] += rows[row][rest] * (128 * high[rest] + low[rest]);
    }
}
void ims_kernels_avx2_planes(struct ims_kernels *table)
{
    table->plane_dot = plane_dot;
    table->plane_min = plane_min;
    table->plane_levels = ims_plane_levels_avx2;
    table->row_dot = row_dot;
    table->row_min = row_min;
    table->plane_scan = plane_scan;
    table->not_above = not_above;
    table->record_dots = record_dots;
}

#else
typedef int ims_no_planes_avx2; /* a file is never empty */
#endif
