/* SPDX-License-Identifier: Apache-2.0 */
/* Fourier transforms of a length 2^a 3^b 5^c, sixteen at once, in single precision. */
#ifndef IMS_MAP_FFT_H
#define IMS_MAP_FFT_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

#define IMS_FFT_PASSES 24
#define IMS_FFT_LANES 16

/* A length's passes and twiddle factors. Zero it before use. */
struct ims_fft {
    size_t n;
    uint32_t pass_count;
    uint32_t radix[IMS_FFT_PASSES];
    size_t offset[IMS_FFT_PASSES]; /* of its twiddles */
    float *twiddles;
};

/* The smallest even length of at least `least` that these transforms can do. */
size_t ims_fft_length(size_t least);
/* `n` must be one of those. */
imgsim_status ims_fft_init(struct ims_fft *fft, size_t n);
void ims_fft_clear(struct ims_fft *fft);
/*
 * Transform n x [re, im] x 16 floats in `data`; `work` is as large. Returns which of the two holds the result. Inverse is not
 * divided by n. Relative error (root of the mean square) below 1e-6 for lengths up to 10,000.
 */
float *ims_fft_run(const struct ims_fft *fft, float *data, float *work, int inverse);

#endif
