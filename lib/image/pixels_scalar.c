/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of pixels.h for every processor; the reference of the others. */
#include "image/pixels_body.h"
#include "image/pixels_sets.h"

const struct ims_pixel_kernels ims_pixels_scalar = IMS_PIXEL_KERNELS;
