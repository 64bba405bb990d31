/* SPDX-License-Identifier: Apache-2.0 */
/* Distance kernels in plain C: the ones every other set is tested against. */
#include "simd/kernels_columns.h"
#include "simd/kernels_levels.h"
#include "simd/kernels_planes.h"
#include "simd/kernels_sets.h"

#include <math.h>
#include <string.h>

static float dot(const float *a, const float *b, size_t count)
{
    float sum[4] = {0};
    size_t i = 0;

    for (; i + 4 <= count; i += 4)
        for (size_t lane = 0; lane < 4; lane++)
            sum[lane] += a[i + lane] * b[i + lane];
    for (; i < count; i++)
        sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static float l2_squared(const float *a, const float *b, size_t count)
{
    float sum[4] = {0};
    size_t i = 0;

    for (; i + 4 <= count; i += 4)
        for (size_t lane = 0; lane < 4; lane++) {
            const float difference = a[i + lane] - b[i + lane];

            sum[lane] += difference * difference;
        }
    for (; i < count; i++)
        sum[0] += (a[i] - b[i]) * (a[i] - b[i]);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static float l1(const float *a, const float *b, size_t count)
{
    float sum[4] = {0};
    size_t i = 0;

    for (; i + 4 <= count; i += 4)
        for (size_t lane = 0; lane < 4; lane++)
            sum[lane] += fabsf(a[i + lane] - b[i + lane]);
    for (; i < count; i++)
        sum[0] += fabsf(a[i] - b[i]);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void dot4(const float *query, const float *rows, size_t stride, size_t count, float out[4])
{
    for (size_t row = 0; row < 4; row++)
        out[row] = dot(query, rows + row * stride, count);
}

static void
l2_squared4(const float *query, const float *rows, size_t stride, size_t count, float out[4])
{
    for (size_t row = 0; row < 4; row++)
        out[row] = l2_squared(query, rows + row * stride, count);
}

static float chi_square(const float *a, const float *b, size_t count)
{
    float sum = 0;

    for (size_t i = 0; i < count; i++)
        if (a[i] > 0) {
            const float difference = a[i] - b[i];

            sum += difference * difference / a[i];
        }
    return sum;
}

static float intersection(const float *a, const float *b, size_t count)
{
    float sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += a[i] < b[i] ? a[i] : b[i];
    return sum;
}

static float sqrt_dot(const float *a, const float *b, size_t count)
{
    float sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += sqrtf(a[i] * b[i]);
    return sum;
}

/* Set bits of a word, by adding ever wider fields. */
static uint32_t popcount64(uint64_t word)
{
    word -= (word >> 1) & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + ((word >> 2) & 0x3333333333333333u);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (uint32_t)((word * 0x0101010101010101u) >> 56);
}

/* Up to 8 bytes as a word, missing ones 0. */
static uint64_t load_word(const uint8_t *bytes, size_t byte_count)
{
    uint64_t word = 0;

    memcpy(&word, bytes, byte_count < 8 ? byte_count : 8);
    return word;
}

static uint32_t hamming(const uint8_t *a, const uint8_t *b, size_t byte_count)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < byte_count; i += 8)
        sum += popcount64(load_word(a + i, byte_count - i) ^ load_word(b + i, byte_count - i));
    return sum;
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
    uint32_t both = 0, any = 0;

    for (size_t i = 0; i < byte_count; i += 8) {
        const uint64_t left = load_word(a + i, byte_count - i);
        const uint64_t right = load_word(b + i, byte_count - i);

        both += popcount64(left & right);
        any += popcount64(left | right);
    }
    *out_and = both;
    *out_or = any;
}

static int32_t dot_u8i8(const uint8_t *a, const int8_t *b, size_t count)
{
    int32_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

static void
dot_u8i8_four(const uint8_t *const rows[4], const int8_t *b, size_t count, int32_t out[4])
{
    for (size_t row = 0; row < 4; row++)
        out[row] = dot_u8i8(rows[row], b, count);
}

static float sparse_intersection(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    float sum = 0;

    for (size_t e = 0; e < count; e++) {
        const float value = (float)counts[e] * scale;

        sum += query[bins[e]] < value ? query[bins[e]] : value;
    }
    return sum;
}

static float sparse_sqrt_dot(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    float sum = 0;

    for (size_t e = 0; e < count; e++)
        sum += sqrtf(query[bins[e]] * ((float)counts[e] * scale));
    return sum;
}

static float sparse_dot(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    float sum = 0;

    for (size_t e = 0; e < count; e++)
        sum += query[bins[e]] * ((float)counts[e] * scale);
    return sum;
}

static float sparse_l1_part(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    float sum = 0;

    for (size_t e = 0; e < count; e++)
        sum += fabsf(query[bins[e]] - (float)counts[e] * scale) - query[bins[e]];
    return sum;
}

static float sparse_chi_part(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale)
{
    float sum = 0;

    for (size_t e = 0; e < count; e++) {
        const float expected = query[bins[e]];

        if (expected > 0) {
            const float difference = expected - (float)counts[e] * scale;

            sum += difference * difference / expected - expected;
        }
    }
    return sum;
}

void ims_plane_scan_scalar(
    const uint8_t *blocks,
    size_t block_count,
    size_t axes,
    const struct ims_plane_query *query,
    float *lower,
    float least[IMS_PLANE_ROWS])
{
    for (size_t row = 0; row < IMS_PLANE_ROWS; row++)
        least[row] = INFINITY;
    for (size_t block = 0; block < block_count; block++) {
        const uint8_t *bytes = blocks + block * (axes * IMS_PLANE_ROWS + 128);
        float side[2 * IMS_PLANE_ROWS];

        memcpy(side, bytes + axes * IMS_PLANE_ROWS, sizeof(side));
        for (size_t row = 0; row < IMS_PLANE_ROWS; row++) {
            int32_t high = 0, low = 0;
            float estimate;

            for (size_t axis = 0; axis < axes; axis++) {
                const int32_t byte = bytes[axis / 4 * 4 * IMS_PLANE_ROWS + row * 4 + axis % 4];

                high += byte * query->high[axis];
                low += byte * query->low[axis];
            }
            estimate = query->constant + query->base_factor * side[row] -
                       query->scale_high * (float)(high - query->offset_high) -
                       query->scale_low * (float)(low - query->offset_low);
            lower[block * IMS_PLANE_ROWS + row] =
                estimate - query->tail_factor * side[IMS_PLANE_ROWS + row];
            least[row] = estimate < least[row] ? estimate : least[row];
        }
    }
}

size_t ims_not_above_scalar(const float *values, size_t count, float limit, uint32_t *positions)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        if (!(values[i] > limit))
            positions[found++] = (uint32_t)i;
    return found;
}

void ims_record_dots_scalar(
    const uint8_t *const rows[4],
    const int8_t *high,
    const int8_t *low,
    size_t count,
    int32_t out[4])
{
    for (size_t row = 0; row < 4; row++) {
        out[row] = 0;
        for (size_t i = 0; i < count; i++)
            out[row] += rows[row][i] * (128 * high[i] + low[i]);
    }
}

const struct ims_kernels ims_kernels_scalar = {
    .name = "scalar",
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
    .plane_levels = ims_plane_levels_scalar,
    .row_dot = row_dot,
    .row_min = row_min,
    .plane_scan = ims_plane_scan_scalar,
    .not_above = ims_not_above_scalar,
    .record_dots = ims_record_dots_scalar,
};
