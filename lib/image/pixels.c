/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses the functions of pixels.h. */
#include "image/pixels.h"

#include "image/pixels_sets.h"

#include <imgsim/base.h>

#include <string.h>

const struct ims_pixel_kernels *ims_pixel_kernels_named(const char *name)
{
#if defined(__x86_64__)
    if (strcmp(name, "avx512") == 0)
        return &ims_pixels_avx512;
    if (strcmp(name, "avx2") == 0)
        return &ims_pixels_avx2;
#endif
    return strcmp(name, "scalar") == 0 ? &ims_pixels_scalar : NULL;
}

const struct ims_pixel_kernels *ims_pixel_kernels(void)
{
    const struct ims_pixel_kernels *named = ims_pixel_kernels_named(imgsim_simd_name());

    return named != NULL ? named : &ims_pixels_scalar;
}
