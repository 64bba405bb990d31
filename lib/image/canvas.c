/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drawing on an image: boxes, scaled pictures and lines of text. Whatever lies outside of the
 * canvas is cut off.
 */
#include "image/decode.h"

#include <string.h>

/* The part of a box that lies on the canvas. */
struct clip {
    int64_t left;
    int64_t top;
    int64_t right;
    int64_t bottom;
};

static struct clip
clip_box(const imgsim_image *canvas, int64_t x, int64_t y, int64_t width, int64_t height)
{
    struct clip clip = {x > 0 ? x : 0, y > 0 ? y : 0, x + width, y + height};

    if (clip.right > canvas->width)
        clip.right = canvas->width;
    if (clip.bottom > canvas->height)
        clip.bottom = canvas->height;
    return clip;
}

static uint8_t *pixel_at(imgsim_image *canvas, int64_t x, int64_t y)
{
    return canvas->pixels + ((size_t)y * canvas->width + (size_t)x) * 3;
}

void ims_canvas_fill(
    imgsim_image *canvas,
    int32_t x,
    int32_t y,
    uint32_t width,
    uint32_t height,
    uint32_t rgb)
{
    struct clip clip = clip_box(canvas, x, y, width, height);

    for (int64_t row = clip.top; row < clip.bottom; row++) {
        for (int64_t column = clip.left; column < clip.right; column++) {
            uint8_t *pixel = pixel_at(canvas, column, row);

            pixel[0] = (uint8_t)(rgb >> 16);
            pixel[1] = (uint8_t)(rgb >> 8);
            pixel[2] = (uint8_t)rgb;
        }
    }
}

/* The largest size of the image's proportions within the box, at least 1 x 1. */
static void fit_size(const imgsim_image *image, uint32_t *width, uint32_t *height)
{
    uint64_t across = (uint64_t)*width * image->height, down = (uint64_t)*height * image->width;

    if (across < down)
        *height = (uint32_t)((across + image->width / 2) / image->width);
    else
        *width = (uint32_t)((down + image->height / 2) / image->height);
    *width = *width > 0 ? *width : 1;
    *height = *height > 0 ? *height : 1;
}

imgsim_status ims_canvas_paste(
    imgsim_image *canvas,
    const imgsim_image *image,
    int32_t x,
    int32_t y,
    uint32_t width,
    uint32_t height)
{
    imgsim_status status;
    uint32_t fit_width = width, fit_height = height;
    imgsim_image *scaled = NULL;
    struct clip clip;
    int64_t left, top;

    if (width == 0 || height == 0)
        return IMGSIM_OK;
    fit_size(image, &fit_width, &fit_height);
    if ((status = ims_image_alloc(fit_width, fit_height, &scaled)) != IMGSIM_OK ||
        (status = ims_resample_rgb(
             image, 0.0, 0.0, image->width, image->height, fit_width, fit_height,
             scaled->pixels)) != IMGSIM_OK)
        goto done;

    left = (int64_t)x + (width - fit_width) / 2;
    top = (int64_t)y + (height - fit_height) / 2;
    clip = clip_box(canvas, left, top, fit_width, fit_height);
    for (int64_t row = clip.top; row < clip.bottom && clip.left < clip.right; row++)
        memcpy(
            pixel_at(canvas, clip.left, row), pixel_at(scaled, clip.left - left, row - top),
            (size_t)(clip.right - clip.left) * 3);

done:
    imgsim_image_free(scaled);
    return status;
}

/* ---- text ---- */

/* Mix the colour in by coverage. */
static void blend_line(
    imgsim_image *canvas,
    const struct ims_vips_line *line,
    int64_t left,
    int64_t top,
    uint32_t rgb)
{
    struct clip clip = clip_box(canvas, left, top, line->width, line->height);
    uint8_t colour[3] = {(uint8_t)(rgb >> 16), (uint8_t)(rgb >> 8), (uint8_t)rgb};

    for (int64_t y = clip.top; y < clip.bottom; y++)
        for (int64_t x = clip.left; x < clip.right; x++) {
            int alpha = line->coverage[(y - top) * line->width + (x - left)];
            uint8_t *pixel = pixel_at(canvas, x, y);

            for (int band = 0; band < 3; band++)
                pixel[band] =
                    (uint8_t)((pixel[band] * (255 - alpha) + colour[band] * alpha + 127) / 255);
        }
}

imgsim_status ims_canvas_text(
    imgsim_image *canvas,
    const char *text,
    int32_t x,
    int32_t y,
    uint32_t max_width,
    uint32_t pixel_height,
    uint32_t rgb,
    int bold)
{
    const struct ims_vips_functions *vips;
    struct ims_vips_line line;
    char why[768];

    if (text == NULL || pixel_height == 0 || pixel_height > 1000)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "text of %u pixels height", pixel_height);
    if ((vips = ims_vips_open("drawing text needs", why, sizeof(why))) == NULL)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "%s", why);

    vips->draw_line(text, max_width, pixel_height, bold != 0, &line);
    if (line.coverage != NULL)
        blend_line(canvas, &line, (int64_t)x + line.left, (int64_t)y + line.top, rgb);
    vips->release(line.coverage);
    return IMGSIM_OK;
}
