/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of pixels.h with AVX-512 F and BW. */
#if defined(__x86_64__)
#include "image/pixels_body.h"
#include "image/pixels_sets.h"

const struct ims_pixel_kernels ims_pixels_avx512 = IMS_PIXEL_KERNELS;
#else
/* Nothing of this file is for this processor. */
typedef int ims_pixels_no_avx512;
#endif
