/* SPDX-License-Identifier: Apache-2.0 */
/* What the first bytes of a file tell: whether it may be an image, and how much memory decoding it will take. */
#include "scan/scan.h"

#include <string.h>

struct signature {
    uint8_t at;
    uint8_t size;
    const char *bytes;
};

/* Generous on purpose: what is listed here is read as a whole, and the decoder has the last word. */
static const struct signature signatures[] = {
    {0, 2, "\xff\xd8"},         /* JPEG */
    {0, 4, "\x89PNG"},          /* PNG */
    {0, 4, "GIF8"},             /* GIF */
    {0, 4, "II*\0"},            /* TIFF and raw formats, little-endian */
    {0, 4, "MM\0*"},            /* TIFF, big-endian */
    {0, 4, "II+\0"},            /* BigTIFF */
    {0, 4, "MM\0+"},            /* BigTIFF */
    {8, 4, "WEBP"},             /* WebP in RIFF */
    {0, 2, "\xff\x0a"},         /* JPEG XL codestream */
    {4, 8, "JXL \r\n\x87\n"},   /* JPEG XL container */
    {4, 8, "jP  \r\n\x87\n"},   /* JPEG 2000 */
    {0, 4, "\xff\x4f\xff\x51"}, /* JPEG 2000 codestream */
    {0, 2, "BM"},               /* BMP */
    {0, 10, "#?RADIANCE"},      /* Radiance */
    {0, 6, "#?RGBE"},           /* Radiance */
    {0, 4, "\x76\x2f\x31\x01"}, /* OpenEXR */
    {0, 4, "8BPS"},             /* Photoshop */
    {0, 4, "qoif"},             /* QOI */
    {0, 4, "\0\0\1\0"},         /* ICO */
    {0, 4, "DDS "},             /* DirectDraw surface */
    {0, 8, "farbfeld"},         /* farbfeld */
    {0, 4, "\x08\xf2\xa6\xb6"}, /* VIPS, little-endian */
    {0, 4, "\xb6\xa6\xf2\x08"}, /* VIPS */
    {0, 9, "SIMPLE  ="},        /* FITS */
};

/* "P5\n", "PF ", "P6#": the portable anymap family. */
static bool is_anymap(const uint8_t *data, size_t size)
{
    if (size < 3 || data[0] != 'P' || strchr("1234567Ff", data[1]) == NULL || data[1] == '\0')
        return false;
    return data[2] == ' ' || data[2] == '\n' || data[2] == '\r' || data[2] == '\t' ||
           data[2] == '#';
}

/* An ISO base media file with a brand of still images (ISO/IEC 14496-12, 4.3); films are large and not worth reading. */
static bool is_still_media(const uint8_t *data, size_t size)
{
    static const char brands[][5] = {"avif", "avis", "mif1", "msf1", "heic",
                                     "heix", "heim", "heis", "hevc", "hevx"};

    if (size < 16 || memcmp(data + 4, "ftyp", 4) != 0)
        return false;
    for (size_t at = 8; at + 4 <= size && at < 256; at += 4)
        for (size_t i = 0; i < sizeof(brands) / sizeof(brands[0]); i++)
            if (memcmp(data + at, brands[i], 4) == 0)
                return true;
    return false;
}

bool ims_sniff_image(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        const struct signature *signature = &signatures[i];

        if (size >= (size_t)signature->at + signature->size &&
            memcmp(data + signature->at, signature->bytes, signature->size) == 0)
            return true;
    }
    return is_anymap(data, size) || is_still_media(data, size);
}

static uint64_t big_endian(const uint8_t *data, int count)
{
    uint64_t value = 0;

    for (int i = 0; i < count; i++)
        value = value << 8 | data[i];
    return value;
}

/* Size of a JPEG from its frame header (ITU-T T.81, B.2.2); false if none is found. */
static bool jpeg_size(const uint8_t *data, size_t size, uint64_t *width, uint64_t *height)
{
    size_t at = 2;

    while (at + 9 < size && data[at] == 0xff) {
        uint8_t marker = data[at + 1];

        if (marker == 0xff || marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
            at += marker == 0xff ? 1 : 2;
            continue;
        }
        if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 &&
            marker != 0xcc) {
            *height = big_endian(data + at + 5, 2);
            *width = big_endian(data + at + 7, 2);
            return true;
        }
        if (marker == 0xd9 || marker == 0xda)
            return false;
        at += 2 + (size_t)big_endian(data + at + 2, 2);
    }
    return false;
}

static uint64_t little_endian(const uint8_t *data, int count)
{
    uint64_t value = 0;

    while (count-- > 0)
        value = value << 8 | data[count];
    return value;
}

/* A BMP's pixels: run lengths may say much in few bytes. A height below 0 counts rows from the top. */
static uint64_t bmp_memory(const uint8_t *data)
{
    bool core = little_endian(data + 14, 4) == 12;
    uint64_t width = little_endian(data + 18, core ? 2 : 4);
    uint64_t height = little_endian(data + (core ? 20 : 22), core ? 2 : 4);

    if (!core && height > INT32_MAX)
        height = UINT32_MAX - height + 1;
    return width > UINT32_MAX / 4 || height > UINT32_MAX / 4 ? UINT32_MAX : width * height * 3;
}

uint64_t ims_sniff_memory(const uint8_t *data, size_t size, uint32_t min_side)
{
    uint64_t width, height;

    if (size >= 24 && memcmp(data, "\x89PNG", 4) == 0) {
        width = big_endian(data + 16, 4);
        height = big_endian(data + 20, 4);
        /* A header may claim anything; the decoder refuses what is beyond its limits. */
        return width > UINT32_MAX / 4 || height > UINT32_MAX / 4 ? UINT32_MAX : width * height * 4;
    }
    if (size >= 26 && memcmp(data, "BM", 2) == 0)
        return bmp_memory(data);
    if (size > 2 && memcmp(data, "\xff\xd8", 2) == 0 && jpeg_size(data, size, &width, &height)) {
        uint64_t shorter = width < height ? width : height;
        uint64_t reduction = 1;

        while (min_side > 0 && reduction < 8 && shorter / (reduction * 2) >= min_side)
            reduction *= 2;
        return (width / reduction + 1) * (height / reduction + 1) * 3;
    }
    /* Twelve times is a photo compressed well; more extreme ones are within the decoder's limit on pixels. */
    return (uint64_t)size * 12 + 1048576;
}
