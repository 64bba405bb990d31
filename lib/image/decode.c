/* SPDX-License-Identifier: Apache-2.0 */
/* Recognises a format by a file's first bytes, checks the limits and hands over to its decoder. */
#include "image/decode.h"

#include <stdio.h>
#include <string.h>

/* How a format's files begin. A format without decoder is known only to be named in the message. */
struct signature {
    const char *format;
    bool readable;
    size_t offset;
    size_t size;
    const char *bytes;
};

static const struct signature signatures[] = {
    {"jpeg", true, 0, 3, "\xff\xd8\xff"},
    {"png", true, 0, 8, "\x89PNG\r\n\x1a\n"},
    {"gif", true, 0, 6, "GIF87a"},
    {"gif", true, 0, 6, "GIF89a"},
    {"webp", true, 8, 4, "WEBP"},
    {"tiff", true, 0, 4, "II*\0"},
    {"tiff", true, 0, 4, "MM\0*"},
    {"tiff", true, 0, 4, "II+\0"},
    {"tiff", true, 0, 4, "MM\0+"},
    {"jxl", true, 0, 2, "\xff\x0a"},
    {"jxl", true, 0, 12, "\0\0\0\x0cJXL \r\n\x87\n"},
    {"jpeg2000", false, 0, 12, "\0\0\0\x0cjP  \r\n\x87\n"},
    {"jpeg2000", false, 0, 4, "\xff\x4f\xff\x51"},
    {"ico", false, 0, 4, "\0\0\1\0"},
    {"psd", false, 0, 4, "8BPS"},
    {"qoi", false, 0, 4, "qoif"},
    {"exr", false, 0, 4, "\x76\x2f\x31\x01"},
    {"hdr", false, 0, 10, "#?RADIANCE"},
    {"hdr", false, 0, 6, "#?RGBE"},
    {"farbfeld", false, 0, 8, "farbfeld"},
    {"dds", false, 0, 4, "DDS "},
    {"pdf", false, 0, 5, "%PDF-"},
    {"xcf", false, 0, 9, "gimp xcf "},
};

static bool has_bytes(const struct ims_source *source, size_t offset, const char *bytes, size_t n)
{
    return source->size >= offset + n && memcmp(source->data + offset, bytes, n) == 0;
}

/* "P1" to "P6", then white space or a comment. */
static bool is_pnm(const struct ims_source *source)
{
    const uint8_t *data = source->data;

    return source->size >= 3 && data[0] == 'P' && data[1] >= '1' && data[1] <= '6' &&
           strchr(" \t\r\n#", data[2]) != NULL && data[2] != '\0';
}

/*
 * Format of an ISO base media file by its brands (ISO/IEC 14496-12, 4.3), NULL for films and
 * others.
 */
static const char *media_format(const struct ims_source *source)
{
    static const char heif[][5] = {"mif1", "msf1", "heic", "heix", "heim", "heis", "hevc", "hevx"};
    const char *format = NULL;
    size_t end;

    if (!has_bytes(source, 4, "ftyp", 4) || source->size < 16)
        return NULL;
    end = ((size_t)source->data[2] << 8) | source->data[3];
    if (source->data[0] != 0 || source->data[1] != 0 || end > source->size)
        end = source->size < 64 ? source->size : 64;

    /* The major brand stands at 8, a version number at 12, the compatible brands from 16. */
    for (size_t at = 8; at + 4 <= end; at += at == 8 ? 8 : 4) {
        if (has_bytes(source, at, "avif", 4) || has_bytes(source, at, "avis", 4))
            return "avif";
        for (size_t i = 0; i < sizeof(heif) / sizeof(heif[0]); i++)
            if (has_bytes(source, at, heif[i], 4))
                format = "heif";
    }
    return format;
}

/* Name of the format, NULL if the bytes are no image that we know. */
static const char *recognise(const struct ims_source *source, bool *out_readable)
{
    *out_readable = true;
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++) {
        const struct signature *known = &signatures[i];

        if (has_bytes(source, known->offset, known->bytes, known->size)) {
            *out_readable = known->readable;
            return known->format;
        }
    }
    if (is_pnm(source))
        return "pnm";
    if (ims_bmp_begins(source->data, source->size))
        return "bmp";
    return media_format(source);
}

imgsim_status ims_decode_check_size(
    const struct ims_source *source,
    uint64_t width,
    uint64_t height,
    uint64_t frames)
{
    char detail[96];

    if (width == 0 || height == 0)
        return ims_decode_fail(source, IMGSIM_ERROR_BAD_IMAGE, "damaged", "it has no pixels");
    if (width > IMS_SIDE_MAX || height > IMS_SIDE_MAX ||
        width * height > source->options->max_pixels) {
        snprintf(
            detail, sizeof(detail), "%llu x %llu, the limit is %llu", (unsigned long long)width,
            (unsigned long long)height, (unsigned long long)source->options->max_pixels);
        return ims_decode_fail(source, IMGSIM_ERROR_LIMIT, "too many pixels", detail);
    }
    if (frames > source->options->max_frames) {
        snprintf(
            detail, sizeof(detail), "%llu, the limit is %llu", (unsigned long long)frames,
            (unsigned long long)source->options->max_frames);
        return ims_decode_fail(source, IMGSIM_ERROR_LIMIT, "too many frames", detail);
    }
    return IMGSIM_OK;
}

imgsim_status ims_decode_alloc(
    const struct ims_source *source,
    uint32_t width,
    uint32_t height,
    const char *format,
    imgsim_image **out_image)
{
    if (ims_image_alloc(width, height, out_image) != IMGSIM_OK)
        return ims_decode_fail(source, IMGSIM_ERROR_OUT_OF_MEMORY, "too large for memory", NULL);
    snprintf((*out_image)->format, sizeof((*out_image)->format), "%s", format);
    return IMGSIM_OK;
}

uint32_t ims_decode_reduction(const struct ims_source *source, uint64_t width, uint64_t height)
{
    uint64_t side = width < height ? width : height;
    uint32_t reduction = 1;

    if (source->options->min_side == 0)
        return 1;
    while (reduction < 8 && side / (reduction * 2) >= source->options->min_side)
        reduction *= 2;
    return reduction;
}

imgsim_status ims_image_decode(
    const void *data,
    size_t size,
    const imgsim_image_options *options,
    const char *name_for_errors,
    imgsim_image **out_image)
{
    struct ims_source source = {data, size, name_for_errors, options};
    const char *format;
    bool readable;

    *out_image = NULL;
    if (source.name == NULL)
        source.name = "image";
    if (size == 0)
        return ims_decode_fail(&source, IMGSIM_ERROR_BAD_IMAGE, "empty", NULL);
    if (size > options->max_bytes)
        return ims_decode_fail(&source, IMGSIM_ERROR_LIMIT, "too many bytes", NULL);
    if ((format = recognise(&source, &readable)) == NULL)
        return ims_decode_fail(&source, IMGSIM_ERROR_BAD_IMAGE, "not an image", NULL);
    if (!readable)
        return ims_decode_fail(&source, IMGSIM_ERROR_UNSUPPORTED, "unsupported format", format);

    if (strcmp(format, "jpeg") == 0)
        return ims_decode_jpeg(&source, out_image);
    if (strcmp(format, "pnm") == 0)
        return ims_decode_pnm(&source, out_image);
    if (strcmp(format, "bmp") == 0)
        return ims_decode_bmp(&source, out_image);
    return ims_decode_vips(&source, format, out_image);
}

int ims_image_has_format(const char *format)
{
    if (format == NULL)
        return 0;
    if (strcmp(format, "jpeg") == 0 || strcmp(format, "pnm") == 0 || strcmp(format, "bmp") == 0)
        return 1;
    return ims_decode_vips_has(format);
}
