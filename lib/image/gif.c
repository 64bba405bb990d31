/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a GIF's canvas that its first frame covers; the rest is transparent, which not
 * every decoder says.
 */
#include "image/decode.h"

#include <string.h>

static size_t table_size(uint8_t flags)
{
    return (flags & 0x80) != 0 ? (size_t)3 << ((flags & 7) + 1) : 0;
}

/*
 * GIF89a, sections 18 to 24: header, screen, global table, extensions of sub-blocks, image
 * descriptor.
 */
static const uint8_t *find_first_frame(const struct ims_source *source)
{
    const uint8_t *data = source->data;
    size_t at;

    if (source->size < 13)
        return NULL;
    at = 13 + table_size(data[10]);
    while (at + 10 <= source->size && data[at] == 0x21) {
        for (at += 2; at < source->size && data[at] != 0;)
            at += 1 + (size_t)data[at];
        at++;
    }
    return at + 10 <= source->size && data[at] == 0x2c ? data + at : NULL;
}

static uint32_t little_16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}

void ims_gif_clear_outside(const struct ims_source *source, imgsim_image *image)
{
    const uint8_t *frame = find_first_frame(source);
    uint32_t left, top, right, bottom;

    if (frame == NULL)
        return;
    left = little_16(frame + 1);
    top = little_16(frame + 3);
    right = left + little_16(frame + 5);
    bottom = top + little_16(frame + 7);
    for (uint32_t y = 0; y < image->height; y++) {
        uint8_t *row = image->pixels + (size_t)y * image->width * 3;

        if (y < top || y >= bottom || left >= image->width) {
            memset(row, 255, (size_t)image->width * 3);
            continue;
        }
        memset(row, 255, (size_t)left * 3);
        if (right < image->width)
            memset(row + (size_t)right * 3, 255, (size_t)(image->width - right) * 3);
    }
}
