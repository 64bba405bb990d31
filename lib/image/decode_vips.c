/* SPDX-License-Identifier: Apache-2.0 */
/* Every format but JPEG and PNM, and every colour space but sRGB, by the image module. */
#include "image/decode.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- what was wrong ---- */

static uint32_t big_32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Chunks of length, name, data, checksum, until "IEND". */
static bool png_is_cut(const uint8_t *data, size_t size)
{
    for (size_t at = 8; at + 12 <= size;) {
        size_t length = big_32(data + at);

        if (memcmp(data + at + 4, "IEND", 4) == 0)
            return false;
        if (length > size - at - 12)
            return true;
        at += 12 + length;
    }
    return true;
}

/* Boxes of length (1: 64 bits follow, 0: the rest) and name. */
static bool boxes_are_cut(const uint8_t *data, size_t size)
{
    size_t at = 0;

    while (at + 8 <= size) {
        uint64_t length = big_32(data + at);

        if (length == 0)
            return false;
        if (length == 1)
            length = at + 16 <= size
                         ? (uint64_t)big_32(data + at + 8) << 32 | big_32(data + at + 12)
                         : UINT64_MAX;
        if (length < 8)
            return false;
        if (length > size - at)
            return true;
        at += (size_t)length;
    }
    return at != size;
}

/*
 * Whether a file that could not be decoded ends too early by its own account. libvips' texts do
 * not tell reliably.
 */
static bool is_cut(const struct ims_source *source, const char *format)
{
    const uint8_t *data = source->data;
    size_t size = source->size;

    if (strcmp(format, "png") == 0)
        return png_is_cut(data, size);
    if (strcmp(format, "webp") == 0) /* RIFF's length is little-endian */
        return size < 12 || ((uint64_t)data[7] << 24 | (uint64_t)data[6] << 16 |
                             (uint64_t)data[5] << 8 | data[4]) > size - 8;
    if (strcmp(format, "gif") == 0)
        return data[size - 1] != 0x3b;
    if (strcmp(format, "heif") == 0 || strcmp(format, "avif") == 0)
        return boxes_are_cut(data, size);
    return false;
}

static imgsim_status
fail_vips(const struct ims_source *source, const char *format, const struct ims_vips_error *error)
{
    bool cut = is_cut(source, format);

    if (!cut && (strstr(error->text, "nsupported") != NULL ||
                 strstr(error->text, "not implemented") != NULL))
        return ims_decode_fail(source, IMGSIM_ERROR_UNSUPPORTED, "unsupported format", error->text);
    return ims_decode_fail(
        source, IMGSIM_ERROR_BAD_IMAGE, cut ? "truncated" : "damaged", error->text);
}

/* ---- the module ---- */

/* The module, for files of a format that it reads. */
static imgsim_status open_for_format(
    const struct ims_source *source,
    const char *format,
    const struct ims_vips_functions **out_vips)
{
    char needed_by[32], why[768];

    snprintf(needed_by, sizeof(needed_by), "%s images need", format);
    for (char *p = needed_by; *p != '\0' && *p != ' '; p++)
        *p = (char)toupper((unsigned char)*p);
    if ((*out_vips = ims_vips_open(needed_by, why, sizeof(why))) == NULL)
        return ims_decode_fail(source, IMGSIM_ERROR_UNSUPPORTED, "unsupported format", why);
    if (!(*out_vips)->has_format(format))
        return ims_decode_fail(source, IMGSIM_ERROR_UNSUPPORTED, "unsupported format", format);
    return IMGSIM_OK;
}

bool ims_decode_vips_has(const char *format)
{
    char why[768];
    const struct ims_vips_functions *vips = ims_vips_open("", why, sizeof(why));

    return vips != NULL && vips->has_format(format);
}

/* Decode; a profile that is sRGB changes nothing. */
static bool read_pixels(
    const struct ims_vips_functions *vips,
    const struct ims_vips_image *opened,
    imgsim_image *image,
    struct ims_vips_error *error)
{
    bool use_profile =
        opened->profile_size >= 132 && !ims_icc_is_srgb(opened->profile, opened->profile_size);

    return vips->read_rgb(opened, use_profile, image->pixels, error);
}

imgsim_status ims_convert_pixels(
    const struct ims_source *source,
    const struct ims_raw_pixels *raw,
    imgsim_image *out)
{
    imgsim_status status = IMGSIM_OK;
    const struct ims_vips_functions *vips;
    struct ims_vips_image opened = {0};
    struct ims_vips_error error;
    char why[768];

    if ((vips = ims_vips_open("its colours need", why, sizeof(why))) == NULL)
        return ims_decode_fail(source, IMGSIM_ERROR_UNSUPPORTED, "unsupported format", why);
    if (!vips->open_pixels(raw, &opened, &error) || !read_pixels(vips, &opened, out, &error))
        status = fail_vips(source, "jpeg", &error);
    vips->close(&opened);
    return status;
}

/* WebP can be decoded at reduced size; other formats of this file cannot. */
static imgsim_status reopen_reduced(
    const struct ims_vips_functions *vips,
    const struct ims_source *source,
    const char *format,
    struct ims_vips_image *opened)
{
    uint32_t reduction = ims_decode_reduction(source, opened->width, opened->height);
    struct ims_vips_image reduced;
    struct ims_vips_error error;

    if (strcmp(format, "webp") != 0 || reduction == 1)
        return IMGSIM_OK;
    if (!vips->open_file(format, source->data, source->size, reduction, &reduced, &error))
        return fail_vips(source, format, &error);
    vips->close(opened);
    *opened = reduced;
    return IMGSIM_OK;
}

imgsim_status
ims_decode_vips(const struct ims_source *source, const char *format, imgsim_image **out_image)
{
    imgsim_status status;
    const struct ims_vips_functions *vips;
    struct ims_vips_image opened = {0};
    struct ims_vips_error error;
    imgsim_image *image = NULL;
    uint32_t full_width, full_height;

    if ((status = open_for_format(source, format, &vips)) != IMGSIM_OK)
        return status;

    /* The header, and the limits on it. */
    if (!vips->open_file(format, source->data, source->size, 1, &opened, &error))
        return fail_vips(source, format, &error);
    full_width = opened.width;
    full_height = opened.height;
    if ((status = ims_decode_check_size(source, full_width, full_height, opened.frames)) !=
        IMGSIM_OK)
        goto done;

    /* The pixels, converted on their way. */
    if ((status = reopen_reduced(vips, source, format, &opened)) != IMGSIM_OK ||
        (status = ims_decode_alloc(source, opened.width, opened.height, format, &image)) !=
            IMGSIM_OK)
        goto done;
    image->full_width = full_width;
    image->full_height = full_height;
    if (!read_pixels(vips, &opened, image, &error)) {
        status = fail_vips(source, format, &error);
        goto done;
    }
    if (strcmp(format, "gif") == 0)
        ims_gif_clear_outside(source, image);
    if (ims_image_orient(image, opened.orientation) != IMGSIM_OK) {
        status = ims_decode_fail(source, IMGSIM_ERROR_OUT_OF_MEMORY, "too large for memory", NULL);
        goto done;
    }

    *out_image = image;
    image = NULL;

done:
    imgsim_image_free(image);
    vips->close(&opened);
    return status;
}
