/* SPDX-License-Identifier: Apache-2.0 */
/* Every format but JPEG and PNM, and every colour space but sRGB, by libvips. */
#include "image/decode.h"

#include "core/memory.h"

#include <assert.h>
#include <string.h>
#include <vips/vips.h>

/* The loaders we call, by our names of the formats. libvips never chooses one itself. */
static const struct loader {
    const char *format;
    const char *operation;
} loaders[] = {
    {"png", "pngload_buffer"},   {"gif", "gifload_buffer"},   {"webp", "webpload_buffer"},
    {"tiff", "tiffload_buffer"}, {"heif", "heifload_buffer"}, {"avif", "heifload_buffer"},
    {"jxl", "jxlload_buffer"},
};

static const char *find_loader(const char *format)
{
    for (size_t i = 0; i < sizeof(loaders) / sizeof(loaders[0]); i++)
        if (strcmp(loaders[i].format, format) == 0)
            return loaders[i].operation;
    return NULL;
}

/*
 * Loaders that this libvips marks as unfit for files from strangers count as absent (JPEG XL in
 * 8.14).
 */
bool ims_decode_vips_has(const char *format)
{
    const char *operation = find_loader(format);
    VipsOperationClass *class;
    bool trusted;
    GType type;

    if (operation == NULL || !ims_vips_enter() ||
        (type = vips_type_find("VipsOperation", operation)) == 0)
        return false;
    class = g_type_class_ref(type);
    trusted = (class->flags & VIPS_OPERATION_UNTRUSTED) == 0;
    g_type_class_unref(class);
    return trusted;
}

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

static imgsim_status fail_vips(const struct ims_source *source, const char *format)
{
    char text[256];
    bool cut = is_cut(source, format);

    ims_vips_error(text, sizeof(text));
    if (!cut && (strstr(text, "nsupported") != NULL || strstr(text, "not implemented") != NULL))
        return ims_decode_fail(source, IMGSIM_ERROR_UNSUPPORTED, "unsupported format", text);
    return ims_decode_fail(source, IMGSIM_ERROR_BAD_IMAGE, cut ? "truncated" : "damaged", text);
}

/* ---- loading ---- */

/* Read the header. Pixels come later, row by row, in at most one thread besides ours. */
static imgsim_status
open_image(const struct ims_source *source, const char *format, double scale, VipsImage **out_vips)
{
    VipsBlob *blob = vips_blob_new(NULL, source->data, source->size);
    VipsImage *image = NULL;
    int result;

    if (scale < 1.0)
        result = vips_call(
            find_loader(format), blob, &image, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
            VIPS_FAIL_ON_ERROR, "scale", scale, NULL);
    else
        result = vips_call(
            find_loader(format), blob, &image, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
            VIPS_FAIL_ON_ERROR, NULL);
    vips_area_unref(VIPS_AREA(blob));
    if (result != 0)
        return fail_vips(source, format);
    vips_image_set_int(image, VIPS_META_CONCURRENCY, 1);
    *out_vips = image;
    return IMGSIM_OK;
}

/* ---- colours ---- */

/* Steps of a libvips pipeline, released together. */
struct steps {
    VipsImage *images[16];
    int count;
};

static VipsImage **next_step(struct steps *steps)
{
    assert(steps->count < 16);
    return &steps->images[steps->count++];
}

static void release_steps(struct steps *steps)
{
    for (int i = 0; i < steps->count; i++)
        if (steps->images[i] != NULL)
            g_object_unref(steps->images[i]);
}

/* Bands that carry colour. */
static int colour_bands(const VipsImage *image, VipsInterpretation space)
{
    if (space == VIPS_INTERPRETATION_CMYK)
        return image->Bands < 4 ? 1 : 4;
    return image->Bands < 3 ? 1 : 3;
}

/* Whether the embedded profile says something that sRGB does not say already. */
static bool has_profile(VipsImage *image)
{
    const void *profile;
    size_t size;

    return vips_image_get_typeof(image, VIPS_META_ICC_NAME) != 0 &&
           vips_image_get_blob(image, VIPS_META_ICC_NAME, &profile, &size) == 0 && size >= 132 &&
           !ims_icc_is_srgb(profile, size);
}

/* By the profile if there is one and it fits, else by the usual meaning of the colour space. */
static VipsImage *colour_to_srgb(struct steps *steps, VipsImage *in, VipsInterpretation space)
{
    VipsImage **out = next_step(steps);

    /* Ink without a profile is taken as libvips' own CMYK, a common offset press. */
    if (has_profile(in) || space == VIPS_INTERPRETATION_CMYK) {
        if (vips_icc_transform(
                in, out, "srgb", "embedded", TRUE, "input_profile",
                space == VIPS_INTERPRETATION_CMYK ? "cmyk" : "none", "intent", VIPS_INTENT_RELATIVE,
                "black_point_compensation", TRUE, "depth", 8, NULL) == 0)
            return *out;
        vips_error_clear();
        out = next_step(steps);
    }
    if (space == VIPS_INTERPRETATION_sRGB && in->BandFmt == VIPS_FORMAT_UCHAR)
        return in;
    if (vips_colourspace_issupported(in)) {
        if (vips_colourspace(in, out, VIPS_INTERPRETATION_sRGB, NULL) == 0)
            return *out;
        vips_error_clear();
        out = next_step(steps);
    }
    return vips_cast(in, out, VIPS_FORMAT_UCHAR, NULL) == 0 ? *out : NULL;
}

/* Three 8-bit bands. */
static VipsImage *colour_to_rgb(struct steps *steps, VipsImage *in)
{
    VipsInterpretation space = vips_image_guess_interpretation(in);
    VipsImage **tagged = next_step(steps), **bands = next_step(steps);
    VipsImage **bytes = next_step(steps), **joined = next_step(steps);
    VipsImage *colour, *same[3];

    if (vips_copy(in, tagged, "interpretation", space, NULL) != 0 ||
        vips_extract_band(*tagged, bands, 0, "n", colour_bands(in, space), NULL) != 0 ||
        (colour = colour_to_srgb(steps, *bands, space)) == NULL ||
        vips_cast(colour, bytes, VIPS_FORMAT_UCHAR, NULL) != 0)
        return NULL;
    if ((*bytes)->Bands >= 3)
        return *bytes;
    same[0] = same[1] = same[2] = *bytes;
    return vips_bandjoin(same, joined, 3, NULL) == 0 ? *joined : NULL;
}

/* Transparency in 8 bits: the upper byte of 16 bits, 0..1 of numbers with a point. */
static VipsImage *alpha_to_bytes(struct steps *steps, VipsImage *in, int band)
{
    VipsImage **alpha = next_step(steps), **scaled = next_step(steps), **bytes = next_step(steps);
    double factor = 1.0;

    if (vips_extract_band(in, alpha, band, NULL) != 0)
        return NULL;
    if (in->BandFmt == VIPS_FORMAT_USHORT)
        factor = 1.0 / 256.0;
    else if (vips_band_format_isfloat(in->BandFmt))
        factor = 255.0;
    if (vips_linear1(*alpha, scaled, factor, 0.0, NULL) != 0 ||
        vips_cast(*scaled, bytes, VIPS_FORMAT_UCHAR, NULL) != 0)
        return NULL;
    return *bytes;
}

/* Over white, in sRGB's own numbers: c * a + 255 * (1 - a), rounded. */
static void blend_over_white(const uint8_t *rgba, size_t count, uint8_t *rgb)
{
    for (size_t i = 0; i < count; i++, rgba += 4, rgb += 3)
        for (int band = 0; band < 3; band++)
            rgb[band] = (uint8_t)((rgba[band] * rgba[3] + 255 * (255 - rgba[3]) + 127) / 255);
}

/* Run the pipeline and take its bytes. The image has as many pixels as `out`. */
static bool take_pixels(VipsImage *in, bool has_alpha, imgsim_image *out)
{
    size_t size = 0, count = (size_t)out->width * out->height;
    uint8_t *bytes = vips_image_write_to_memory(in, &size);

    if (bytes == NULL)
        return false;
    if (has_alpha && size == count * 4)
        blend_over_white(bytes, count, out->pixels);
    else if (!has_alpha && size == count * 3)
        memcpy(out->pixels, bytes, size);
    else
        count = 0;
    g_free(bytes);
    return count > 0;
}

/* Any image of libvips to packed sRGB; false with libvips' error set. */
static bool write_rgb(VipsImage *in, imgsim_image *out)
{
    struct steps steps = {{NULL}, 0};
    VipsImage **joined = next_step(&steps), **unpacked = next_step(&steps);
    VipsImage *rgb, *alpha = NULL;
    bool ok = false;
    int bands;

    /* Lab TIFFs come packed: three values in four bytes, which are not four bands. */
    if (in->Coding == VIPS_CODING_LABQ) {
        if (vips_LabQ2Lab(in, unpacked, NULL) != 0)
            goto done;
        in = *unpacked;
    }
    bands = colour_bands(in, vips_image_guess_interpretation(in));
    if ((rgb = colour_to_rgb(&steps, in)) == NULL)
        goto done;
    if (in->Bands > bands && vips_image_hasalpha(in)) {
        if ((alpha = alpha_to_bytes(&steps, in, bands)) == NULL ||
            vips_bandjoin2(rgb, alpha, joined, NULL) != 0)
            goto done;
        rgb = *joined;
    }
    ok = take_pixels(rgb, alpha != NULL, out);

done:
    release_steps(&steps);
    return ok;
}

imgsim_status ims_convert_pixels(
    const struct ims_source *source,
    const struct ims_raw_pixels *raw,
    imgsim_image *out)
{
    imgsim_status status = IMGSIM_OK;
    VipsImage *memory = NULL, *tagged = NULL;
    VipsInterpretation space = raw->bands == 1   ? VIPS_INTERPRETATION_B_W
                               : raw->bands == 3 ? VIPS_INTERPRETATION_sRGB
                                                 : VIPS_INTERPRETATION_CMYK;

    if (!ims_vips_enter())
        return ims_decode_fail(
            source, IMGSIM_ERROR_UNSUPPORTED, "unsupported format", "libvips cannot be started");
    memory = vips_image_new_from_memory(
        raw->data, (size_t)raw->width * raw->height * raw->bands, (int)raw->width, (int)raw->height,
        (int)raw->bands, VIPS_FORMAT_UCHAR);
    if (memory == NULL || vips_copy(memory, &tagged, "interpretation", space, NULL) != 0) {
        status = fail_vips(source, "jpeg");
        goto done;
    }
    vips_image_set_int(tagged, VIPS_META_CONCURRENCY, 1);
    if (raw->profile_size > 0)
        vips_image_set_blob_copy(tagged, VIPS_META_ICC_NAME, raw->profile, raw->profile_size);
    if (!write_rgb(tagged, out))
        status = fail_vips(source, "jpeg");

done:
    if (tagged != NULL)
        g_object_unref(tagged);
    if (memory != NULL)
        g_object_unref(memory);
    return status;
}

/* WebP can be decoded at reduced size; other formats of this file cannot. */
static imgsim_status
reopen_reduced(const struct ims_source *source, const char *format, VipsImage **vips)
{
    imgsim_status status;
    uint32_t reduction =
        ims_decode_reduction(source, (uint64_t)(*vips)->Xsize, (uint64_t)(*vips)->Ysize);
    VipsImage *reduced = NULL;

    if (strcmp(format, "webp") != 0 || reduction == 1)
        return IMGSIM_OK;
    if ((status = open_image(source, format, 1.0 / reduction, &reduced)) != IMGSIM_OK)
        return status;
    g_object_unref(*vips);
    *vips = reduced;
    return IMGSIM_OK;
}

imgsim_status
ims_decode_vips(const struct ims_source *source, const char *format, imgsim_image **out_image)
{
    imgsim_status status;
    VipsImage *vips = NULL;
    imgsim_image *image = NULL;
    uint32_t full_width, full_height;

    if (!ims_decode_vips_has(format))
        return ims_decode_fail(source, IMGSIM_ERROR_UNSUPPORTED, "unsupported format", format);

    /* The header, and the limits on it. */
    if ((status = open_image(source, format, 1.0, &vips)) != IMGSIM_OK ||
        (status = ims_decode_check_size(
             source, (uint64_t)vips->Xsize, (uint64_t)vips->Ysize,
             (uint64_t)vips_image_get_n_pages(vips))) != IMGSIM_OK)
        goto done;
    full_width = (uint32_t)vips->Xsize;
    full_height = (uint32_t)vips->Ysize;

    /* The pixels, converted on their way. */
    if ((status = reopen_reduced(source, format, &vips)) != IMGSIM_OK ||
        (status = ims_decode_alloc(
             source, (uint32_t)vips->Xsize, (uint32_t)vips->Ysize, format, &image)) != IMGSIM_OK)
        goto done;
    image->full_width = full_width;
    image->full_height = full_height;
    if (!write_rgb(vips, image)) {
        status = fail_vips(source, format);
        goto done;
    }
    if (strcmp(format, "gif") == 0)
        ims_gif_clear_outside(source, image);
    if (ims_image_orient(image, (uint32_t)vips_image_get_orientation(vips)) != IMGSIM_OK) {
        status = ims_decode_fail(source, IMGSIM_ERROR_OUT_OF_MEMORY, "too large for memory", NULL);
        goto done;
    }

    *out_image = image;
    image = NULL;

done:
    imgsim_image_free(image);
    if (vips != NULL)
        g_object_unref(vips);
    return status;
}
