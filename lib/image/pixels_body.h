/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of pixels.h, written once in vectors and compiled once for each instruction set. Integers only: the
 * results do not depend on the set. Included by pixels_*.c, which name the table.
 */
#include "image/pixels.h"

#include <stdbool.h>
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
typedef uint32_t longs_vector __attribute__((vector_size(4 * LANES)));

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

/* BLOCKS vectors of the sums of an area's rows. */
#define BLOCKS 4
static inline void sum_cell_blocks(
    const uint8_t *row,
    size_t stride,
    const struct ims_cell *cell,
    size_t blocks,
    uint32_t *out)
{
    words_vector whole[BLOCKS] = {0}, edges[BLOCKS] = {0};

    if (cell->first > 0) {
        for (size_t b = 0; b < blocks; b++)
            edges[b] = load_bytes(row + b * LANES) * (uint16_t)cell->first;
        row += stride;
    }
    for (size_t y = 0; y < cell->count; y++, row += stride)
        for (size_t b = 0; b < blocks; b++)
            whole[b] += load_bytes(row + b * LANES);
    if (cell->last > 0)
        for (size_t b = 0; b < blocks; b++)
            edges[b] += load_bytes(row + b * LANES) * (uint16_t)cell->last;
    for (size_t b = 0; b < blocks; b++) {
        longs_vector sum = __builtin_convertvector(whole[b], longs_vector) * cell->whole +
                           __builtin_convertvector(edges[b], longs_vector);

        memcpy(out + b * LANES, &sum, sizeof(sum));
    }
}

static void sum_cell(
    const uint8_t *rows,
    size_t stride,
    const struct ims_cell *cell,
    size_t size,
    uint32_t *out)
{
    const uint32_t rows_whole = cell->first > 0;
    size_t i = 0;

    for (; i + BLOCKS * LANES <= size; i += BLOCKS * LANES)
        sum_cell_blocks(rows + i, stride, cell, BLOCKS, out + i);
    for (; i + LANES <= size; i += LANES)
        sum_cell_blocks(rows + i, stride, cell, 1, out + i);
    /* The last vector once more, where it reaches back into the one before. */
    if (i < size && size >= LANES) {
        sum_cell_blocks(rows + size - LANES, stride, cell, 1, out + size - LANES);
        i = size;
    }
    for (; i < size; i++) {
        const uint8_t *value = rows + i + rows_whole * stride;
        uint32_t sum = 0;

        for (size_t y = 0; y < cell->count; y++, value += stride)
            sum += *value;
        sum *= cell->whole;
        if (cell->first > 0)
            sum += rows[i] * cell->first;
        if (cell->last > 0)
            sum += *value * cell->last;
        out[i] = sum;
    }
}

#if defined(__AVX2__)
/*
 * One vector of bytes of weighed rows, two rows at a time: bytes of both side by side, less 128 so that they have a sign, times their
 * weights. No sum leaves 16 bits, because all weights together are IMS_REDUCE_ONE; none may be that by itself.
 */
#if defined(__AVX512BW__)
#define WIDE 64
static inline void
weigh_wide(const uint8_t *row, size_t stride, const uint16_t *weights, size_t count, int16_t *out)
{
    const __m512i sign = _mm512_set1_epi8((char)0x80);
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    __m512i low = _mm512_setzero_si512(), high = low;

    for (size_t y = 0; y < count; y += 2, row += 2 * stride) {
        const bool two = y + 1 < count;
        const __m512i a = _mm512_loadu_si512((const void *)row);
        const __m512i b = two ? _mm512_loadu_si512((const void *)(row + stride)) : a;
        const __m512i pair =
            _mm512_set1_epi16((int16_t)(weights[y] | (two ? weights[y + 1] : 0) << 8));

        low = _mm512_add_epi16(
            low, _mm512_maddubs_epi16(pair, _mm512_xor_si512(_mm512_unpacklo_epi8(a, b), sign)));
        high = _mm512_add_epi16(
            high, _mm512_maddubs_epi16(pair, _mm512_xor_si512(_mm512_unpackhi_epi8(a, b), sign)));
    }
    _mm512_storeu_si512((void *)out, _mm512_permutex2var_epi64(low, first, high));
    _mm512_storeu_si512((void *)(out + 32), _mm512_permutex2var_epi64(low, second, high));
}
#else
#define WIDE 32
static inline void
weigh_wide(const uint8_t *row, size_t stride, const uint16_t *weights, size_t count, int16_t *out)
{
    const __m256i sign = _mm256_set1_epi8((char)0x80);
    __m256i low = _mm256_setzero_si256(), high = low;

    for (size_t y = 0; y < count; y += 2, row += 2 * stride) {
        const bool two = y + 1 < count;
        const __m256i a = _mm256_loadu_si256((const void *)row);
        const __m256i b = two ? _mm256_loadu_si256((const void *)(row + stride)) : a;
        const __m256i pair =
            _mm256_set1_epi16((int16_t)(weights[y] | (two ? weights[y + 1] : 0) << 8));

        low = _mm256_add_epi16(
            low, _mm256_maddubs_epi16(pair, _mm256_xor_si256(_mm256_unpacklo_epi8(a, b), sign)));
        high = _mm256_add_epi16(
            high, _mm256_maddubs_epi16(pair, _mm256_xor_si256(_mm256_unpackhi_epi8(a, b), sign)));
    }
    _mm256_storeu_si256((void *)out, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_storeu_si256((void *)(out + 16), _mm256_permute2x128_si256(low, high, 0x31));
}
#endif

/* Whether the weights fit into the bytes of weigh_wide: one row may have them all. */
static bool weights_are_bytes(const uint16_t *weights, size_t count)
{
    for (size_t y = 0; y < count; y++)
        if (weights[y] > 255)
            return false;
    return true;
}
#endif

static void weigh_rows(
    const uint8_t *rows,
    size_t stride,
    const uint16_t *weights,
    size_t count,
    size_t size,
    int16_t *out)
{
    size_t i = 0;

#if defined(__AVX2__)
    if (size >= WIDE && weights_are_bytes(weights, count)) {
        for (; i + WIDE <= size; i += WIDE)
            weigh_wide(rows + i, stride, weights, count, out + i);
        /* The last vector once more, where it reaches back into the one before. */
        if (i < size)
            weigh_wide(rows + size - WIDE, stride, weights, count, out + size - WIDE);
        return;
    }
#endif
    for (; i + LANES <= size; i += LANES) {
        const uint8_t *row = rows + i;
        words_vector sum = {0};

        for (size_t y = 0; y < count; y++, row += stride)
            sum += load_bytes(row) * weights[y];
        sum ^= 0x8000;
        memcpy(out + i, &sum, sizeof(sum));
    }
    for (; i < size; i++) {
        int32_t sum = -32768;

        for (size_t y = 0; y < count; y++)
            sum += rows[y * stride + i] * weights[y];
        out[i] = (int16_t)sum;
    }
}

/* The sum that a reduced value begins with: what makes up for the 32768 less, and a half. The value is in bits 16 to 23 then. */
enum { REDUCE_FIRST = (1 << 23) + (1 << 15) };

#if defined(__AVX2__)
/* Red of two neighbours, then green, then blue: with a pair of weights, what one instruction multiplies and adds. */
static inline __m128i pair_order(void)
{
    return _mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1);
}

static inline __m128i load_two(const int16_t *from)
{
    return _mm_loadu_si128((const void *)from);
}

/* Two pixels, one in each half of the registers; writes two bytes more than theirs. */
static inline void reduce_two(
    const int16_t *first,
    const int16_t *second,
    const int16_t *pairs,
    size_t taps,
    uint8_t *out)
{
    const __m256i order = _mm256_broadcastsi128_si256(pair_order());
    __m256i sum = _mm256_set1_epi32(REDUCE_FIRST);
    __m256i bytes;

    for (size_t k = 0; k < taps; k += 2, first += 6, second += 6, pairs += IMS_REDUCE_PAIRS) {
        const __m256i both =
            _mm256_inserti128_si256(_mm256_castsi128_si256(load_two(first)), load_two(second), 1);

        sum = _mm256_add_epi32(
            sum, _mm256_madd_epi16(
                     _mm256_shuffle_epi8(both, order), _mm256_loadu_si256((const void *)pairs)));
    }
    bytes = _mm256_shuffle_epi8(
        sum, _mm256_setr_epi8(
                 2, 6, 10, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 6, 10,
                 -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
    _mm_storel_epi64(
        (void *)out,
        _mm_or_si128(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)));
}
#endif

#if defined(__AVX512BW__)
/* Four pixels, one in each quarter of the registers; writes four bytes more than theirs. */
static inline void reduce_four(
    const int16_t *values,
    const uint32_t *starts,
    const int16_t *pairs,
    size_t taps,
    uint8_t *out)
{
    const __m512i order = _mm512_broadcast_i32x4(pair_order());
    const int16_t *a = values + (size_t)starts[0] * 3, *b = values + (size_t)starts[1] * 3;
    const int16_t *c = values + (size_t)starts[2] * 3, *d = values + (size_t)starts[3] * 3;
    __m512i sum = _mm512_set1_epi32(REDUCE_FIRST);
    __m256i half;

    for (size_t k = 0; k < 3 * taps; k += 6, pairs += IMS_REDUCE_PAIRS) {
        const __m256i low =
            _mm256_inserti128_si256(_mm256_castsi128_si256(load_two(a + k)), load_two(b + k), 1);
        const __m256i high =
            _mm256_inserti128_si256(_mm256_castsi128_si256(load_two(c + k)), load_two(d + k), 1);
        const __m512i all = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);

        sum = _mm512_add_epi32(
            sum, _mm512_madd_epi16(
                     _mm512_shuffle_epi8(all, order), _mm512_loadu_si512((const void *)pairs)));
    }
    sum = _mm512_shuffle_epi8(
        sum, _mm512_setr_epi32(
                 (int)0xff0a0602, -1, -1, -1, (int)0x02ffffff, (int)0xffff0a06, -1, -1, -1,
                 (int)0x0602ffff, (int)0xffffff0a, -1, -1, -1, (int)0x0a0602ff, -1));
    half = _mm256_or_si256(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
    _mm_storeu_si128(
        (void *)out, _mm_or_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1)));
}
#endif

/* Where the pairs of pixel x stand for the first tap. */
static inline const int16_t *pairs_of(const int16_t *pairs, size_t taps, size_t x)
{
    return pairs + x / 4 * (taps / 2) * IMS_REDUCE_PAIRS + x % 4 * (IMS_REDUCE_PAIRS / 4);
}

static inline void reduce_one(const int16_t *from, const int16_t *pairs, size_t taps, uint8_t *out)
{
#if defined(__SSE2__)
    __m128i sum = _mm_set1_epi32(REDUCE_FIRST);
    uint32_t pixel;

    for (size_t k = 0; k < taps; k += 2, from += 6, pairs += IMS_REDUCE_PAIRS) {
        const __m128i first = _mm_loadl_epi64((const void *)from);
        const __m128i second = _mm_loadl_epi64((const void *)(from + 3));

        sum = _mm_add_epi32(
            sum, _mm_madd_epi16(
                     _mm_unpacklo_epi16(first, second), _mm_loadu_si128((const void *)pairs)));
    }
    sum = _mm_srli_epi32(sum, 16);
    sum = _mm_packs_epi32(sum, sum);
    pixel = (uint32_t)_mm_cvtsi128_si32(_mm_packus_epi16(sum, sum));
    memcpy(out, &pixel, 3);
#else
    int32_t sum[3] = {REDUCE_FIRST, REDUCE_FIRST, REDUCE_FIRST};

    for (size_t k = 0; k < taps; k += 2, from += 6, pairs += IMS_REDUCE_PAIRS)
        for (int c = 0; c < 3; c++)
            sum[c] += from[c] * pairs[0] + from[3 + c] * pairs[1];
    for (int c = 0; c < 3; c++)
        out[c] = (uint8_t)(sum[c] >> 16);
#endif
}

static void reduce_row(
    const int16_t *values,
    const uint32_t *starts,
    const int16_t *pairs,
    size_t taps,
    size_t width,
    uint8_t *out)
{
    size_t x = 0;

#if defined(__AVX512BW__)
    for (; x + 6 <= width; x += 4)
        reduce_four(values, starts + x, pairs_of(pairs, taps, x), taps, out + 3 * x);
#endif
#if defined(__AVX2__)
    for (; x + 3 <= width; x += 2)
        reduce_two(
            values + (size_t)starts[x] * 3, values + (size_t)starts[x + 1] * 3,
            pairs_of(pairs, taps, x), taps, out + 3 * x);
#endif
    for (; x < width; x++)
        reduce_one(values + (size_t)starts[x] * 3, pairs_of(pairs, taps, x), taps, out + 3 * x);
}

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

#define IMS_PIXEL_KERNELS                                                 \
    {                                                                     \
        sum_rows, add_weighted, sum_cell, weigh_rows, reduce_row, bins_16 \
    }
