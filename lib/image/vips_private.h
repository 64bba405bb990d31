/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of libimgsim-vips.so share. vips_module.h describes the functions of its table. */
#ifndef IMS_VIPS_PRIVATE_H
#define IMS_VIPS_PRIVATE_H

#include "image/vips_module.h"

#include <vips/vips.h>

/* Take libvips' error text as one line and clear it; false, for `return`. */
bool ims_vips_fail(struct ims_vips_error *error);

bool ims_vips_has_format(const char *format);
bool ims_vips_open_file(
    const char *format,
    const void *data,
    size_t size,
    uint32_t reduction,
    struct ims_vips_image *out_image,
    struct ims_vips_error *error);
bool ims_vips_open_pixels(
    const struct ims_raw_pixels *raw,
    struct ims_vips_image *out_image,
    struct ims_vips_error *error);
void ims_vips_close(struct ims_vips_image *image);
bool ims_vips_read_rgb(
    const struct ims_vips_image *image,
    bool use_profile,
    uint8_t *out_pixels,
    struct ims_vips_error *error);
bool ims_vips_encode(
    const struct ims_raw_pixels *raw,
    const char *format,
    int quality,
    uint8_t **out_data,
    size_t *out_size,
    struct ims_vips_error *error);
void ims_vips_draw_line(
    const char *text,
    uint32_t max_width,
    uint32_t pixel_height,
    bool bold,
    struct ims_vips_line *out_line);

#endif
