/* SPDX-License-Identifier: Apache-2.0 */
/* The orientation in an EXIF block, and turning pixels upright by it. */
#include "image/decode.h"

#include "core/memory.h"

#include <string.h>

/* Bytes of an EXIF block (a TIFF structure) with its byte order. */
struct exif {
    const uint8_t *data;
    size_t size;
    bool big_endian;
};

static uint32_t read_16(const struct exif *exif, size_t at)
{
    const uint8_t *p = exif->data + at;

    return exif->big_endian ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read_32(const struct exif *exif, size_t at)
{
    uint32_t first = read_16(exif, at), second = read_16(exif, at + 2);

    return exif->big_endian ? first << 16 | second : second << 16 | first;
}

/*
 * Tag 0x0112 of the first directory, as EXIF 2.32 section 4.6.4 has it: SHORT, count 1; LONG is
 * seen too.
 */
uint32_t ims_exif_orientation(const uint8_t *data, size_t size)
{
    struct exif exif = {data, size, false};
    size_t directory, count;

    if (size < 14 || (memcmp(data, "II*\0", 4) != 0 && memcmp(data, "MM\0*", 4) != 0))
        return 1;
    exif.big_endian = data[0] == 'M';
    directory = read_32(&exif, 4);
    if (directory < 8 || directory > size - 2)
        return 1;
    count = read_16(&exif, directory);

    for (size_t i = 0; i < count; i++) {
        size_t entry = directory + 2 + i * 12;
        uint32_t type, value;

        if (entry + 12 > size)
            return 1;
        if (read_16(&exif, entry) != 0x0112)
            continue;
        type = read_16(&exif, entry + 2);
        if ((type != 3 && type != 4) || read_32(&exif, entry + 4) != 1)
            return 1;
        value = type == 3 ? read_16(&exif, entry + 8) : read_32(&exif, entry + 8);
        return value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
}

/*
 * Where the upright image's top left pixel lies, and the steps in bytes to its right and lower
 * neighbours.
 */
struct walk {
    ptrdiff_t start;
    ptrdiff_t right;
    ptrdiff_t down;
};

static struct walk upright_walk(uint32_t width, uint32_t height, uint32_t orientation)
{
    ptrdiff_t row = (ptrdiff_t)width * 3;
    ptrdiff_t last_column = row - 3;
    ptrdiff_t last_row = row * ((ptrdiff_t)height - 1);

    switch (orientation) {
    case 2:
        return (struct walk){last_column, -3, row};
    case 3:
        return (struct walk){last_row + last_column, -3, -row};
    case 4:
        return (struct walk){last_row, 3, -row};
    case 5:
        return (struct walk){0, row, 3};
    case 6:
        return (struct walk){last_row, -row, 3};
    case 7:
        return (struct walk){last_row + last_column, -row, -3};
    case 8:
        return (struct walk){last_column, row, -3};
    default:
        return (struct walk){0, 3, row};
    }
}

/* Copy in squares that fit the cache: for 5 to 8 one of the two sides is read across the rows. */
static void copy_walk(
    const uint8_t *from,
    const struct walk *walk,
    uint32_t width,
    uint32_t height,
    uint8_t *to)
{
    enum { SQUARE = 32 };

    for (uint32_t top = 0; top < height; top += SQUARE)
        for (uint32_t left = 0; left < width; left += SQUARE) {
            uint32_t bottom = height - top < SQUARE ? height : top + SQUARE;
            uint32_t right = width - left < SQUARE ? width : left + SQUARE;

            for (uint32_t y = top; y < bottom; y++) {
                const uint8_t *in =
                    from + walk->start + (ptrdiff_t)y * walk->down + (ptrdiff_t)left * walk->right;
                uint8_t *out = to + ((size_t)y * width + left) * 3;

                for (uint32_t x = left; x < right; x++, in += walk->right, out += 3) {
                    out[0] = in[0];
                    out[1] = in[1];
                    out[2] = in[2];
                }
            }
        }
}

imgsim_status ims_image_orient(imgsim_image *image, uint32_t orientation)
{
    size_t size = (size_t)image->width * image->height * 3;
    struct walk walk = upright_walk(image->width, image->height, orientation);
    uint8_t *pixels;
    uint32_t swap;

    if (orientation < 2 || orientation > 8)
        return IMGSIM_OK;
    if ((pixels = ims_alloc(size)) == NULL)
        return ims_fail_memory(size);

    if (orientation >= 5) {
        swap = image->width;
        image->width = image->height;
        image->height = swap;
        swap = image->full_width;
        image->full_width = image->full_height;
        image->full_height = swap;
    }
    copy_walk(image->pixels, &walk, image->width, image->height, pixels);
    ims_free(image->pixels);
    image->pixels = pixels;
    return IMGSIM_OK;
}
