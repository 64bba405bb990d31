/* SPDX-License-Identifier: Apache-2.0 */
/* A decoded image: upright, sRGB, 8-bit RGB, within size limits. */
#ifndef IMGSIM_IMAGE_H
#define IMGSIM_IMAGE_H

#include <imgsim/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A decoded image. Load or make one, release it with imgsim_image_free(). Immutable. Since 0.1. */
typedef struct imgsim_image imgsim_image;

/** How to decode and what to refuse; fill with imgsim_image_options_init(). Since 0.1. */
typedef struct imgsim_image_options {
    /** Written by the init function. */
    size_t struct_size;
    /**
     * Decode at reduced size where the format can (JPEG by 2, 4 or 8, WebP, ...), as long as
     * the shorter side keeps at least this many pixels; 0 decodes in full. Default 0.
     */
    uint32_t min_side;
    uint32_t reserved;
    /** Refuse more pixels (width x height from the header) than this. Default 268435456 (2^28). */
    uint64_t max_pixels;
    /** Refuse longer files than this. Default 1073741824 (1 GiB). */
    uint64_t max_bytes;
    /** Refuse more pages or frames than this. Only the first is decoded. Default 100000. */
    uint64_t max_frames;
} imgsim_image_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_image_options_init(imgsim_image_options *options, size_t struct_size);

/**
 * Decode an image file. Its content decides about the format, not its name.
 *
 * The rule for all formats (docs/formats.md): first frame; EXIF orientation applied; embedded profile or
 * CMYK, grey, Lab, 16-bit to sRGB, 8 bits; transparency over white.
 *
 * @param path       file to read; its limits are checked on the header, before decoding
 * @param options    NULL for the defaults
 * @param out_image  the image, returned: release with imgsim_image_free()
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND; IMGSIM_ERROR_IO (unreadable, a directory);
 *         IMGSIM_ERROR_BAD_IMAGE (empty, no image, truncated, damaged); IMGSIM_ERROR_LIMIT;
 *         IMGSIM_ERROR_UNSUPPORTED (a format that this build does not read). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_image_load_file(
    const char *path,
    const imgsim_image_options *options,
    imgsim_image **out_image);

/** The same from memory; `data` is borrowed during the call. Since 0.1. */
IMGSIM_API imgsim_status imgsim_image_load_memory(
    const void *data,
    size_t data_size,
    const imgsim_image_options *options,
    imgsim_image **out_image);

/**
 * Make an image from pixels of the caller's, which are copied.
 *
 * @param pixels  height x width x 3 bytes, RGB, top row first
 * @param stride  bytes from one row to the next, at least 3 * width; 0 means 3 * width
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (NULL, a side of 0 or more than 2^20, short stride). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_image_new(
    const uint8_t *pixels,
    uint32_t width,
    uint32_t height,
    size_t stride,
    imgsim_image **out_image);

/** Release an image; NULL is fine. */
IMGSIM_API void imgsim_image_free(imgsim_image *image);

/** Width of the pixels held, which may be reduced. */
IMGSIM_API uint32_t imgsim_image_get_width(const imgsim_image *image);
/** Height of the pixels held, which may be reduced. */
IMGSIM_API uint32_t imgsim_image_get_height(const imgsim_image *image);
/** Width of the upright image as stored in the file, before any reduction. */
IMGSIM_API uint32_t imgsim_image_get_full_width(const imgsim_image *image);
/** Height of the upright image as stored in the file, before any reduction. */
IMGSIM_API uint32_t imgsim_image_get_full_height(const imgsim_image *image);
/** Format it came from: "jpeg", "png", "webp", "gif", "tiff", "heif", "avif", "jxl", "pnm", ..., or "pixels". */
IMGSIM_API const char *imgsim_image_get_format(const imgsim_image *image);
/** Pixels, height x width x 3 bytes RGB without gaps; belongs to the image. */
IMGSIM_API const uint8_t *imgsim_image_get_pixels(const imgsim_image *image);

#ifdef __cplusplus
}
#endif

#endif
