/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the decoders of this room share: the source, the limits, the ways to fail, orientation and
 * profiles.
 */
#ifndef IMS_DECODE_H
#define IMS_DECODE_H

#include "image/image.h"
#include "image/vips_module.h"

#include <stdbool.h>

/* Longer sides than this are refused everywhere. */
#define IMS_SIDE_MAX ((uint32_t)1 << 20)

/* A file's bytes while they are being decoded; everything is borrowed. */
struct ims_source {
    const uint8_t *data;
    size_t size;
    const char *name;
    const imgsim_image_options *options;
};

/*
 * Remember the reason (a constant string) and fail with "NAME: REASON[: DETAIL]"; detail may be
 * NULL.
 */
imgsim_status ims_decode_fail(
    const struct ims_source *source,
    imgsim_status status,
    const char *reason,
    const char *detail);

/* Compare what the header says with the limits. A side of 0 is damage. */
imgsim_status ims_decode_check_size(
    const struct ims_source *source,
    uint64_t width,
    uint64_t height,
    uint64_t frames);

/* An image for decoded pixels; a lack of memory is a reason of this file. */
imgsim_status ims_decode_alloc(
    const struct ims_source *source,
    uint32_t width,
    uint32_t height,
    const char *format,
    imgsim_image **out_image);

/* The largest of 1, 2, 4, 8 by which the shorter side may be divided under options->min_side. */
uint32_t ims_decode_reduction(const struct ims_source *source, uint64_t width, uint64_t height);

/* One decoder per file: the source is known to begin like its format. */
imgsim_status ims_decode_jpeg(const struct ims_source *source, imgsim_image **out_image);
imgsim_status ims_decode_bmp(const struct ims_source *source, imgsim_image **out_image);
/* Whether bytes begin like a BMP: "BM" alone also begins texts. */
bool ims_bmp_begins(const uint8_t *data, size_t size);
imgsim_status ims_decode_pnm(const struct ims_source *source, imgsim_image **out_image);
/* `format` is "png", "gif", "webp", "tiff", "heif", "avif" or "jxl". */
imgsim_status
ims_decode_vips(const struct ims_source *source, const char *format, imgsim_image **out_image);
/* Make white what the first frame leaves out of the canvas. The image has the canvas' size. */
void ims_gif_clear_outside(const struct ims_source *source, imgsim_image *image);
/* Whether the module is there, and its libvips has a loader for the format and trusts it. */
bool ims_decode_vips_has(const char *format);

/*
 * To sRGB by libvips: the profile where it fits, else the colour space's usual meaning. Writes
 * out->pixels.
 */
imgsim_status ims_convert_pixels(
    const struct ims_source *source,
    const struct ims_raw_pixels *raw,
    imgsim_image *out);

/* ---- EXIF ---- */

/*
 * Orientation, 1 to 8, in the TIFF structure of an EXIF block (after "Exif\0\0"); 1 where there
 * is none.
 */
uint32_t ims_exif_orientation(const uint8_t *data, size_t size);

/* Turn and mirror the image in place so that it is upright; swaps the sides for 5 to 8. */
imgsim_status ims_image_orient(imgsim_image *image, uint32_t orientation);

/* ---- ICC ---- */

/* Whether a profile describes sRGB: its three colorants and its curves, whatever its name says. */
bool ims_icc_is_srgb(const uint8_t *data, size_t size);

/* From another RGB matrix profile to sRGB, relative to white, colours out of its gamut clipped. */
struct ims_icc_matrix {
    int32_t linear[3][256]; /* light of each channel's values, 0..65535 */
    int32_t matrix[3][3];   /* to sRGB's light, 13 bits after the point */
};

/* False where the profile is none of this kind: libvips converts those. */
bool ims_icc_read_matrix(const uint8_t *data, size_t size, struct ims_icc_matrix *out);
/* Convert RGB pixels in place. */
void ims_icc_apply_matrix(const struct ims_icc_matrix *matrix, uint8_t *pixels, size_t pixel_count);

/* ---- the image module ---- */

/*
 * Open the module and prepare the calling thread for it. NULL when it is missing, with "NEEDED_BY
 * the image module (...): the loader's words" in `why`; `needed_by` is "PNG images need" and the
 * like.
 */
const struct ims_vips_functions *ims_vips_open(const char *needed_by, char *why, size_t why_size);

#endif
