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

struct ims_pixel_kernels {
    /* out[i] = sum of rows[y * stride + i] over `count` rows, at most IMS_SUM_ROWS_MAX. */
    void (*sum_rows)(const uint8_t *rows, size_t stride, size_t count, size_t size, uint16_t *out);
    /* sums[i] += values[i] * weight */
    void (*add_weighted)(const uint16_t *values, uint32_t weight, size_t size, uint32_t *sums);
    /* out[i] = sum of weights[y] * rows[y * stride + i]; the weights sum to IMS_REDUCE_ONE. */
    void (*weigh_rows)(
        const uint8_t *rows,
        size_t stride,
        const uint16_t *weights,
        size_t count,
        size_t size,
        uint16_t *out);
    /*
     * A row of `width` RGB pixels from weighed ones: pixel x is the sum over k < taps (an even number) of weights[x * taps + k] times
     * pixel starts[x] + k, in 8 bits. Values behind the last pixel are read, times 0: IMS_REDUCE_SLACK and taps * 3 of them.
     */
    void (*reduce_row)(
        const uint16_t *values,
        const uint32_t *starts,
        const int16_t *weights,
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
