/* SPDX-License-Identifier: Apache-2.0 */
/* The plane kernels of kernels.h for AVX-512 F, BW, DQ, VL, and VNNI where the processor has it. */
#include "simd/kernels_avx512.h"
#include "simd/kernels_levels.h"
#include "simd/kernels_sets.h"

#if defined(__x86_64__)

#include <math.h>
#include <string.h>

/* ---- planes of merged bins ---- */

static inline __m512 code_values(const uint8_t *codes)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)codes)));
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
void ims_kernels_avx512_planes(struct ims_kernels *table, bool has_vnni)
{
    table->plane_dot = plane_dot;
    table->plane_min = plane_min;
    table->plane_levels = ims_plane_levels_avx512;
    table->row_dot = row_dot;
    table->row_min = row_min;
    table->plane_scan = plane_scan;
    table->not_above = not_above;
    table->record_dots = record_dots;
    if (has_vnni) {
        table->plane_scan = plane_scan_vnni;
        table->record_dots = record_dots_vnni;
    }
}

#else
typedef int ims_no_planes_avx512; /* a file is never empty */
#endif
