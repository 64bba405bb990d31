/* SPDX-License-Identifier: Apache-2.0 */
/* Packed RGB to a PNG or WebP file in memory. */
#include "image/vips_private.h"

#include <string.h>

bool ims_vips_encode(
    const struct ims_raw_pixels *raw,
    const char *format,
    int quality,
    uint8_t **out_data,
    size_t *out_size,
    struct ims_vips_error *error)
{
    struct ims_vips_image image;
    void *data = NULL;
    size_t size = 0;
    int result;

    if (!ims_vips_open_pixels(raw, &image, error))
        return false;
    if (strcmp(format, "png") == 0)
        result =
            vips_pngsave_buffer(image.handle, &data, &size, "compression", 6, "strip", TRUE, NULL);
    else
        result =
            vips_webpsave_buffer(image.handle, &data, &size, "Q", quality, "strip", TRUE, NULL);
    ims_vips_close(&image);
    if (result != 0)
        return ims_vips_fail(error);
    *out_data = data;
    *out_size = size;
    return true;
}
