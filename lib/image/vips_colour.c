/* SPDX-License-Identifier: Apache-2.0 */
/* Any image of libvips to packed pixels of 8-bit sRGB. */
#include "image/vips_private.h"

#include <assert.h>
#include <string.h>

/* Steps of a libvips pipeline, released together. */
struct steps {
    VipsImage *images[16];
    int count;
    bool use_profile; /* the embedded one says something */
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

/* By the profile if there is one and it fits, else by the usual meaning of the colour space. */
static VipsImage *colour_to_srgb(struct steps *steps, VipsImage *in, VipsInterpretation space)
{
    VipsImage **out = next_step(steps);

    /* Ink without a profile is taken as libvips' own CMYK, a common offset press. */
    if (steps->use_profile || space == VIPS_INTERPRETATION_CMYK) {
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

/* Run the pipeline and take its bytes. The image has `count` pixels. */
static bool take_pixels(VipsImage *in, bool has_alpha, size_t count, uint8_t *out_pixels)
{
    size_t size = 0;
    uint8_t *bytes = vips_image_write_to_memory(in, &size);

    if (bytes == NULL)
        return false;
    if (has_alpha && size == count * 4)
        blend_over_white(bytes, count, out_pixels);
    else if (!has_alpha && size == count * 3)
        memcpy(out_pixels, bytes, size);
    else
        count = 0;
    g_free(bytes);
    return count > 0;
}

bool ims_vips_read_rgb(
    const struct ims_vips_image *image,
    bool use_profile,
    uint8_t *out_pixels,
    struct ims_vips_error *error)
{
    struct steps steps = {.use_profile = use_profile};
    VipsImage **joined = next_step(&steps), **unpacked = next_step(&steps);
    VipsImage *in = image->handle, *rgb, *alpha = NULL;
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
    ok = take_pixels(rgb, alpha != NULL, (size_t)image->width * image->height, out_pixels);

done:
    release_steps(&steps);
    return ok ? true : ims_vips_fail(error);
}
