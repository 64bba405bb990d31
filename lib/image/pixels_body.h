/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of pixels.h, written once in vectors and compiled once for each instruction set. Integers only: the
 * results do not depend on the set. Included by pixels_*.c, which name the table.
 */
#include "image/pixels.h"

#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* Bytes that are worked on together: as many as the set's registers hold as 16 bits. */
#if defined(__AVX512BW__)
#define LANES 32
#elif defined(__AVX2__)
#define LANES 16
#else
#define LANES 8
#endif
typedef uint8_t bytes_vector __attribute__((vector_size(LANES)));
typedef uint16_t words_vector __attribute__((vector_size(2 * LANES)));

static words_vector load_bytes(const uint8_t *from)
{
    bytes_vector bytes;

    memcpy(&bytes, from, sizeof(bytes));
    return __builtin_convertvector(bytes, words_vector);
}

static void sum_rows(const uint8_t *rows, size_t stride, size_t count, size_t size, uint16_t *out)
{
    size_t i = 0;

    for (; i + LANES <= size; i += LANES) {
        const uint8_t *row = rows + i;
        words_vector sum = {0};

        for (size_t y = 0; y < count; y++, row += stride)
            sum += load_bytes(row);
        memcpy(out + i, &sum, sizeof(sum));
    }
    for (; i < size; i++) {
        uint32_t sum = 0;

        for (size_t y = 0; y < count; y++)
            sum += rows[y * stride + i];
        out[i] = (uint16_t)sum;
    }
}

static void
add_weighted(const uint16_t *restrict values, uint32_t weight, size_t size, uint32_t *restrict sums)
{
    for (size_t i = 0; i < size; i++)
        sums[i] += values[i] * weight;
}

static void weigh_rows(
    const uint8_t *rows,
    size_t stride,
    const uint16_t *weights,
    size_t count,
    size_t size,
    uint16_t *out)
{
    size_t i = 0;

    for (; i + LANES <= size; i += LANES) {
        const uint8_t *row = rows + i;
        words_vector sum = {0};

        for (size_t y = 0; y < count; y++, row += stride)
            sum += load_bytes(row) * weights[y];
        memcpy(out + i, &sum, sizeof(sum));
    }
    for (; i < size; i++) {
        uint32_t sum = 0;

        for (size_t y = 0; y < count; y++)
            sum += (uint32_t)rows[y * stride + i] * weights[y];
        out[i] = (uint16_t)sum;
    }
}

/* Values lose their lowest bit, so that they fit into signed 16 bits and pairs of products into one instruction of x86. */
enum { REDUCE_BITS = 15 };

#if defined(__AVX2__)
/* Red of two neighbours, then green, then blue: with a pair of weights, what one instruction multiplies and adds. */
static __m128i pair_order(void)
{
    return _mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1);
}

static __m256i broadcast_pair(const int16_t *weights)
{
    int32_t pair;

    memcpy(&pair, weights, sizeof(pair));
    return _mm256_set1_epi32(pair);
}

/* Two pixels, one in each half of the registers; writes two bytes more than theirs. */
static void reduce_two(
    const uint16_t *first,
    const uint16_t *second,
    const int16_t *weights,
    size_t taps,
    uint8_t *out)
{
    const __m256i order = _mm256_broadcastsi128_si256(pair_order());
    __m256i sum = _mm256_set1_epi32(1 << (REDUCE_BITS - 1));
    __m256i bytes;

    for (size_t k = 0; k < taps; k += 2, first += 6, second += 6) {
        __m256i both = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128((const void *)first)),
            _mm_loadu_si128((const void *)second), 1);
        __m256i pairs = _mm256_blend_epi32(
            broadcast_pair(weights + k), broadcast_pair(weights + taps + k), 0xf0);

        both = _mm256_shuffle_epi8(_mm256_srli_epi16(both, 1), order);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(both, pairs));
    }
    sum = _mm256_srli_epi32(sum, REDUCE_BITS);
    bytes = _mm256_shuffle_epi8(
        sum, _mm256_setr_epi8(
                 0, 4, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8,
                 -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
    _mm_storel_epi64(
        (void *)out,
        _mm_or_si128(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)));
}
#endif

#if defined(__SSE2__)
static void reduce_row(
    const uint16_t *values,
    const uint32_t *starts,
    const int16_t *weights,
    size_t taps,
    size_t width,
    uint8_t *out)
{
    size_t x = 0;

#if defined(__AVX2__)
    for (; x + 2 < width; x += 2, weights += 2 * taps, out += 6)
        reduce_two(
            values + (size_t)starts[x] * 3, values + (size_t)starts[x + 1] * 3, weights, taps, out);
#endif
    for (; x < width; x++, weights += taps, out += 3) {
        const uint16_t *from = values + (size_t)starts[x] * 3;
        __m128i sum = _mm_set1_epi32(1 << (REDUCE_BITS - 1));
        uint32_t pixel;

        for (size_t k = 0; k < taps; k += 2, from += 6) {
            __m128i first = _mm_loadl_epi64((const void *)from);
            __m128i second = _mm_loadl_epi64((const void *)(from + 3));
            __m128i both = _mm_srli_epi16(_mm_unpacklo_epi16(first, second), 1);
            int32_t pair;

            memcpy(&pair, weights + k, sizeof(pair));
            sum = _mm_add_epi32(sum, _mm_madd_epi16(both, _mm_set1_epi32(pair)));
        }
        sum = _mm_srli_epi32(sum, REDUCE_BITS);
        sum = _mm_packs_epi32(sum, sum);
        pixel = (uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
        /* The fourth byte is the next pixel's, which overwrites it. */
        if (x + 1 < width)
            memcpy(out, &pixel, 4);
        else
            memcpy(out, &pixel, 3);
    }
}
#else
static void reduce_row(
    const uint16_t *values,
    const uint32_t *starts,
    const int16_t *weights,
    size_t taps,
    size_t width,
    uint8_t *out)
{
    for (size_t x = 0; x < width; x++, weights += taps, out += 3) {
        const uint16_t *from = values + (size_t)starts[x] * 3;
        int32_t red = 1 << (REDUCE_BITS - 1), green = red, blue = red;

        for (size_t k = 0; k < taps; k++, from += 3) {
            red += (from[0] >> 1) * weights[k];
            green += (from[1] >> 1) * weights[k];
            blue += (from[2] >> 1) * weights[k];
        }
        out[0] = (uint8_t)(red >> REDUCE_BITS);
        out[1] = (uint8_t)(green >> REDUCE_BITS);
        out[2] = (uint8_t)(blue >> REDUCE_BITS);
    }
}
#endif

static void bins_16(const uint8_t *pixels, size_t count, uint16_t *out)
{
    size_t i = 0;

#if defined(__AVX512BW__)
    /* Sixteen pixels, in the steps of the eight below; the load takes 16 bytes more than theirs. */
    const __m512i quarters = _mm512_setr_epi32(0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11, 12);
    const __m512i spread_16 =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1));
    const __m512i inner_16 = _mm512_set1_epi32(0x00010110);
    const __m512i outer_16 = _mm512_set1_epi32(0x00010010);

    for (; i + 22 <= count; i += 16) {
        __m512i rgb =
            _mm512_permutexvar_epi32(quarters, _mm512_loadu_si512((const void *)(pixels + 3 * i)));
        __m512i halves = _mm512_and_si512(
            _mm512_srli_epi16(_mm512_shuffle_epi8(rgb, spread_16), 4), _mm512_set1_epi8(0x0f));
        __m512i index = _mm512_madd_epi16(_mm512_maddubs_epi16(halves, inner_16), outer_16);

        _mm256_storeu_si256((void *)(out + i), _mm512_cvtepi32_epi16(index));
    }
#endif
#if defined(__AVX2__)
    /* Eight pixels: spread to four bytes each, upper halves, then 16 r + g and b, then 16 times the one plus the other. */
    const __m256i spread = _mm256_setr_epi8(
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, 0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1,
        9, 10, 11, -1);
    const __m256i inner = _mm256_set1_epi32(0x00010110), outer = _mm256_set1_epi32(0x00010010);

    /* The second load takes 4 bytes more than its pixels. */
    for (; i + 10 <= count; i += 8) {
        const uint8_t *from = pixels + 3 * i;
        __m256i rgb = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128((const void *)from)),
            _mm_loadu_si128((const void *)(from + 12)), 1);
        __m256i halves = _mm256_and_si256(
            _mm256_srli_epi16(_mm256_shuffle_epi8(rgb, spread), 4), _mm256_set1_epi8(0x0f));
        __m256i index = _mm256_madd_epi16(_mm256_maddubs_epi16(halves, inner), outer);

        _mm_storeu_si128(
            (void *)(out + i),
            _mm_packus_epi32(_mm256_castsi256_si128(index), _mm256_extracti128_si256(index, 1)));
    }
#endif
    for (; i < count; i++) {
        const uint8_t *p = pixels + 3 * i;

        out[i] = (uint16_t)((p[0] & 0xf0u) << 4 | (p[1] & 0xf0u) | p[2] >> 4);
    }
}

#define IMS_PIXEL_KERNELS                                       \
    {                                                           \
        sum_rows, add_weighted, weigh_rows, reduce_row, bins_16 \
    }
