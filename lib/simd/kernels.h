/* SPDX-License-Identifier: Apache-2.0 */
/* Distance kernels: one instance per instruction set, chosen once, never changed afterwards. */
#ifndef IMS_SIMD_KERNELS_H
#define IMS_SIMD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Rows of a block that is kept column after column. */
#define IMS_COLUMN_ROWS 64

/*
 * One query against rows kept as bytes (lib/index/planes.h). The weight of an axis is 128 * high + low; the offsets are 128
 * times the sums of high and of low, because a byte is a code plus 128.
 */
struct ims_plane_query {
    const int8_t *high;
    const int8_t *low;
    int32_t offset_high;
    int32_t offset_low;
    float scale_high;
    float scale_low;
    float constant;
    float base_factor;
    float tail_factor;
};

/* Rows side by side in a block of a plane, which holds (axes / 4) x 16 x 4 bytes, 16 floats `base` and 16 floats `tail`. */
#define IMS_PLANE_ROWS 16

/*
 * Any length from 0, any alignment. Integer kernels give the same result on every instruction set; float kernels differ by
 * rounding only, and are used where a margin covers that. What must be the same everywhere is computed by lib/simd/reference.h.
 */
struct ims_kernels {
    const char *name;
    /* sum a_i b_i */
    float (*dot)(const float *a, const float *b, size_t count);
    /* sum (a_i - b_i)^2 */
    float (*l2_squared)(const float *a, const float *b, size_t count);
    /* sum |a_i - b_i| */
    float (*l1)(const float *a, const float *b, size_t count);
    /* One query against four rows at `stride` floats: out[0..3]. */
    void (*dot4)(const float *query, const float *rows, size_t stride, size_t count, float out[4]);
    void (*l2_squared4)(
        const float *query,
        const float *rows,
        size_t stride,
        size_t count,
        float out[4]);
    /*
     * Squared distances of IMS_COLUMN_ROWS rows, kept column after column, to a point of `count` values. The same bits on every
     * instruction set.
     */
    void (*columns_l2_squared)(const float *columns, const float *point, size_t count, float *out);
    /* sum over a_i > 0 of (a_i - b_i)^2 / a_i; a is the query */
    float (*chi_square)(const float *a, const float *b, size_t count);
    /* sum min(a_i, b_i) */
    float (*intersection)(const float *a, const float *b, size_t count);
    /* sum sqrt(a_i b_i); no negative values */
    float (*sqrt_dot)(const float *a, const float *b, size_t count);
    /* Differing bits of byte_count bytes. */
    uint32_t (*hamming)(const uint8_t *a, const uint8_t *b, size_t byte_count);
    /* Which of `count` rows of row_size bytes differ from `a` in at most `limit` bits: their numbers, in order, into out. */
    size_t (*hamming_near)(
        const uint8_t *a,
        const uint8_t *rows,
        size_t row_size,
        size_t count,
        uint32_t limit,
        uint32_t *out);
    /* |a and b| and |a or b| */
    void (*jaccard)(
        const uint8_t *a,
        const uint8_t *b,
        size_t byte_count,
        uint32_t *out_and,
        uint32_t *out_or);
    /* sum a_i b_i, unsigned times signed bytes, exact for up to 65536 values; the other takes four rows. */
    int32_t (*dot_u8i8)(const uint8_t *a, const int8_t *b, size_t count);
    void (*dot_u8i8_four)(
        const uint8_t *const rows[4],
        const int8_t *b,
        size_t count,
        int32_t out[4]);
    /*
     * Sparse row against a dense query: over the row's entries e with bin c = bins[e] and value v = counts[e] * scale,
     *   intersection: sum min(query[c], v);  sqrt_dot: sum sqrt(query[c] * v);
     *   dot: sum query[c] * v;  l1_part: sum |query[c] - v| - query[c] (add the query's sum for the L1 distance);
     *   chi_part: sum over query[c] > 0 of ((query[c] - v)^2 / query[c] - query[c]) (add the query's sum).
     */
    float (*sparse_intersection)(
        const float *query,
        const uint16_t *bins,
        const uint32_t *counts,
        size_t count,
        float scale);
    float (*sparse_sqrt_dot)(
        const float *query,
        const uint16_t *bins,
        const uint32_t *counts,
        size_t count,
        float scale);
    float (*sparse_dot)(
        const float *query,
        const uint16_t *bins,
        const uint32_t *counts,
        size_t count,
        float scale);
    float (*sparse_l1_part)(
        const float *query,
        const uint16_t *bins,
        const uint32_t *counts,
        size_t count,
        float scale);
    float (*sparse_chi_part)(
        const float *query,
        const uint16_t *bins,
        const uint32_t *counts,
        size_t count,
        float scale);
    /*
     * Planes of merged bins (docs/exact-histograms.md). 64 rows whose codes u stand group after group, codes[64 g + row], over
     * the groups g of a list, whose weights stand in the order of the list:
     *   plane_dot: sum w u;
     *   plane_min: sum min(q, s u^2), s = scales[row].
     * The forms for one row take its codes in a line, for all groups, whose number is a multiple of 16.
     */
    void (*plane_dot)(
        const uint8_t *codes,
        const uint16_t *list,
        size_t count,
        const float *w,
        float out[64]);
    void (*plane_min)(
        const uint8_t *codes,
        const uint16_t *list,
        size_t count,
        const float *q,
        const float scales[64],
        float out[64]);
    float (*row_dot)(const uint8_t *codes, size_t groups, const float *w);
    float (*row_min)(const uint8_t *codes, size_t groups, const float *q, float scale);
    /*
     * Planes of levels (the same page). Of 64 rows, whose codes of four bits are the low (shift 0) or high (shift 4) halves of
     * codes[64 g + row], over the groups g of a list: the sum of what the group's table has at the row's code, 65535 at most.
     * A table is 16 low and 16 high bytes of 16 numbers; tables stand in the order of the list. Each shift asks memory
     * for half of the lines that lie `ahead` bytes further.
     */
    void (*plane_levels)(
        const uint8_t *codes,
        const uint16_t *list,
        size_t count,
        const uint8_t *tables,
        int shift,
        size_t ahead,
        uint16_t out[64]);
    /*
     * Bounds of rows in blocks, `axes` a multiple of four: with sums over axes of byte times weight less the offset,
     *   estimate = constant + base_factor * base - scale_high * high_sum - scale_low * low_sum,
     *   lower[row] = estimate - tail_factor * tail,  least[i] = the least estimate of rows i, 16 + i, ... of this call.
     */
    void (*plane_scan)(
        const uint8_t *blocks,
        size_t block_count,
        size_t axes,
        const struct ims_plane_query *query,
        float *lower,
        float least[IMS_PLANE_ROWS]);
    /* Positions of the values that are not greater than the limit (NaN is not), rising; returns their number. */
    size_t (*not_above)(const float *values, size_t count, float limit, uint32_t *positions);
    /* sum rows_i * (128 * high_i + low_i) for four rows, exact for up to 256 values. */
    void (*record_dots)(
        const uint8_t *const rows[4],
        const int8_t *high,
        const int8_t *low,
        size_t count,
        int32_t out[4]);
};

/* The table in use: the best this processor has, or what IMGSIM_SIMD names. */
const struct ims_kernels *ims_kernels(void);

/* Table of a name if it is compiled in and the processor has it, else NULL. For tests. */
const struct ims_kernels *ims_kernels_named(const char *name);

#endif
