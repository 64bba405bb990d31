/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to every pixel of every image: one table of functions per instruction set, all with the same results. */
#ifndef IMS_IMAGE_PIXELS_H
#define IMS_IMAGE_PIXELS_H

#include <stddef.h>
#include <stdint.h>

/* Rows of bytes whose sum fits into 16 bits. */
#define IMS_SUM_ROWS_MAX 257
/* What the weights of a reduction sum to: 255 times that fits into 16 bits. */
#define IMS_REDUCE_ONE 256
/* Values that reduce_row may read, and ignores, behind the last one. */
#define IMS_REDUCE_SLACK 8
/* Pairs of weights stand in groups of four pixels, each pair four times, in the order in which reduce_row takes them. */
#define IMS_REDUCE_PAIRS 32

/* Units that a whole row may have in a cell: twice that many times 255 fits into 16 bits. */
#define IMS_CELL_WHOLE_MAX 128

/* The rows or columns of an area: one of weight `first` if that is not 0, `count` of weight `whole`, one of weight `last` if not 0. */
struct ims_cell {
    uint32_t start; /* the first of them */
    uint32_t first; /* below whole, as is last */
    uint32_t count;
    uint32_t last;
    uint32_t whole;
};

struct ims_pixel_kernels {
    /* out[i] = sum of rows[y * stride + i] over `count` rows, at most IMS_SUM_ROWS_MAX. */
    void (*sum_rows)(const uint8_t *rows, size_t stride, size_t count, size_t size, uint16_t *out);
    /* sums[i] += values[i] * weight */
    void (*add_weighted)(const uint16_t *values, uint32_t weight, size_t size, uint32_t *sums);
    /* out[i] = the weighted sum of an area's rows; at most IMS_SUM_ROWS_MAX of them whole, whole at most IMS_CELL_WHOLE_MAX. */
    void (*sum_cell)(
        const uint8_t *rows, /* the area's first */
        size_t stride,
        const struct ims_cell *cell,
        size_t size,
        uint32_t *out);
    /* out[i] = sum of weights[y] * rows[y * stride + i], less 32768; the weights sum to IMS_REDUCE_ONE. */
    void (*weigh_rows)(
        const uint8_t *rows,
        size_t stride,
        const uint16_t *weights,
        size_t count,
        size_t size,
        int16_t *out);
    /*
     * A row of `width` RGB pixels from weighed ones: pixel x is the sum over k < taps (an even number) of its weight k times pixel
     * starts[x] + k, rounded to 8 bits. Weights k and k + 1 of pixel x stand four times from
     * pairs[(x / 4 * taps + k) / 2 * IMS_REDUCE_PAIRS + x % 4 * 8] on, k even; there are pairs for a multiple of four pixels. Values
     * behind the last pixel are read, times 0: IMS_REDUCE_SLACK and taps * 3 of them.
     */
    void (*reduce_row)(
        const int16_t *values,
        const uint32_t *starts,
        const int16_t *pairs,
        size_t taps,
        size_t width,
        uint8_t *out);
    /* Index of each RGB pixel in a histogram of 16 x 16 x 16 bins. */
    void (*bins_16)(const uint8_t *pixels, size_t count, uint16_t *out);
};

/* The table for this processor, by the same choice as the distance kernels'. */
const struct ims_pixel_kernels *ims_pixel_kernels(void);
/* Table of a set's name ("scalar", "avx2", "avx512"), NULL if it is not compiled in. For tests, which ask the processor first. */
const struct ims_pixel_kernels *ims_pixel_kernels_named(const char *name);

#endif
