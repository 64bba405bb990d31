/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of pixels.h that this build contains, for pixels.c to choose from. */
#ifndef IMS_IMAGE_PIXELS_SETS_H
#define IMS_IMAGE_PIXELS_SETS_H

#include "image/pixels.h"

extern const struct ims_pixel_kernels ims_pixels_scalar;
#if defined(__x86_64__)
extern const struct ims_pixel_kernels ims_pixels_avx2;
extern const struct ims_pixel_kernels ims_pixels_avx512;
#endif

#endif
