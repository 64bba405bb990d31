/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of pixels.h with AVX2. */
#if defined(__x86_64__)
#include "image/pixels_body.h"
#include "image/pixels_sets.h"

const struct ims_pixel_kernels ims_pixels_avx2 = IMS_PIXEL_KERNELS;
#else
/* Nothing of this file is for this processor. */
typedef int ims_pixels_no_avx2;
#endif
