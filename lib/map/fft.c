/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stockham's self-sorting FFT, Van Loan, Computational Frameworks for the Fast Fourier Transform, SIAM 1992, section 1.7, with radices
 * 4, 2, 3 and 5. Sixteen transforms are done side by side, one per lane, so that no butterfly moves values between lanes.
 */
#include "map/fft.h"

#include "core/memory.h"
#include "map/map_kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static size_t without(size_t n, size_t factor)
{
    while (n % factor == 0)
        n /= factor;
    return n;
}

size_t ims_fft_length(size_t least)
{
    size_t n = least + least % 2;

    n = n < 16 ? 16 : n;
    while (without(without(without(n, 2), 3), 5) != 1)
        n += 2;
    return n;
}

static uint32_t next_radix(size_t n)
{
    return n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : n % 3 == 0 ? 3 : 5;
}

imgsim_status ims_fft_init(struct ims_fft *fft, size_t n)
{
    size_t used = 0;

    memset(fft, 0, sizeof(*fft));
    fft->n = n;
    /* A pass of radix r over what is left, m, has m / r groups of r - 1 factors: less than m each. */
    if ((fft->twiddles = ims_alloc_array(4 * n, sizeof(float))) == NULL)
        return ims_fail_memory(4 * n * sizeof(float));
    for (size_t left = n; left > 1;) {
        const uint32_t radix = next_radix(left);
        const size_t groups = left / radix;

        assert(fft->pass_count < IMS_FFT_PASSES);
        fft->radix[fft->pass_count] = radix;
        fft->offset[fft->pass_count++] = used;
        for (size_t p = 0; p < groups; p++)
            for (uint32_t q = 1; q < radix; q++) {
                const double angle = 2.0 * M_PI * (double)(p * q) / (double)left;

                fft->twiddles[used++] = (float)cos(angle);
                fft->twiddles[used++] = (float)-sin(angle);
            }
        left = groups;
    }
    return IMGSIM_OK;
}

void ims_fft_clear(struct ims_fft *fft)
{
    ims_free(fft->twiddles);
    memset(fft, 0, sizeof(*fft));
}

float *ims_fft_run(const struct ims_fft *fft, float *data, float *work, int inverse)
{
    size_t left = fft->n, stride = 1;

    for (uint32_t i = 0; i < fft->pass_count; i++) {
        const uint32_t radix = fft->radix[i];
        const struct ims_fft_pass pass = {
            .in = data,
            .out = work,
            .twiddles = fft->twiddles + fft->offset[i],
            .groups = left / radix,
            .stride = stride,
            .radix = radix,
            .inverse = inverse,
        };
        float *result = work;

        ims_map_kernels()->fft_pass(&pass);
        work = data;
        data = result;
        left /= radix;
        stride *= radix;
    }
    return data;
}
