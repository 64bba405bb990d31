/* SPDX-License-Identifier: Apache-2.0 */
/* Decoded images inside the library, resampling, and drawing sheets. */
#ifndef IMS_IMAGE_H
#define IMS_IMAGE_H

#include <imgsim/image.h>

#include "core/status.h"

struct imgsim_image {
    uint32_t width;
    uint32_t height;
    uint32_t full_width;
    uint32_t full_height;
    char format[16];
    uint8_t *pixels; /* width * height * 3 */
};

/* An image of this size with unset pixels. */
imgsim_status ims_image_alloc(uint32_t width, uint32_t height, imgsim_image **out_image);

/* Decode with options that were read and checked before (scan and query do it once). */
imgsim_status ims_image_decode(
    const void *data,
    size_t size,
    const imgsim_image_options *options,
    const char *name_for_errors,
    imgsim_image **out_image);

/*
 * Short reason of the last decoding failure on this thread, for the catalog: "empty", "not an
 * image", "truncated", "damaged", "too many pixels", "too many bytes", "too many frames",
 * "unsupported format", "unreadable", "too large for memory".
 */
const char *ims_image_last_reason(void);

/*
 * Resample the box (left, top, box_width, box_height; fractions allowed) to width x height by the
 * triangle filter widened by the reduction (PIL's and torchvision's antialiased bilinear, with
 * the same 8-bit rounding between the passes).
 */
imgsim_status ims_resample_rgb(
    const imgsim_image *image,
    double left,
    double top,
    double box_width,
    double box_height,
    uint32_t width,
    uint32_t height,
    uint8_t *out_pixels);

/* Reduce the whole image to width x height, no side larger than it is: means over areas, within one step of the exact ones. */
imgsim_status
ims_reduce_rgb(const imgsim_image *image, uint32_t width, uint32_t height, uint8_t *out_pixels);

/*
 * Luma of the image, mean over areas, to width x height, 0..255 as float: the input of perceptual
 * hashes.
 */
imgsim_status
ims_resample_grey(const imgsim_image *image, uint32_t width, uint32_t height, float *out_values);

/* ---- drawing, for contact sheets ---- */

/* A canvas is an image whose pixels are written. */
void ims_canvas_fill(
    imgsim_image *canvas,
    int32_t x,
    int32_t y,
    uint32_t width,
    uint32_t height,
    uint32_t rgb);
/* Paste `image` scaled to fit into the box, centred, keeping its proportions. */
imgsim_status ims_canvas_paste(
    imgsim_image *canvas,
    const imgsim_image *image,
    int32_t x,
    int32_t y,
    uint32_t width,
    uint32_t height);
/*
 * One line of text, any bytes (invalid UTF-8 shown replaced), shortened in the middle to fit
 * max_width. Its top left corner is x, y; pixel_height is the size of the font, a line is about
 * 1.2 times as high. Draws nothing where no font is installed; UNSUPPORTED without the image
 * module.
 */
imgsim_status ims_canvas_text(
    imgsim_image *canvas,
    const char *text,
    int32_t x,
    int32_t y,
    uint32_t max_width,
    uint32_t pixel_height,
    uint32_t rgb,
    int bold);

/* Encode as "jpeg", "png" or "webp"; release with ims_free(). */
imgsim_status ims_image_encode(
    const imgsim_image *image,
    const char *format,
    int quality,
    uint8_t **out_data,
    size_t *out_size);

/* Whether a format's loader is there: "jpeg", "png", ... */
int ims_image_has_format(const char *format);

#endif
