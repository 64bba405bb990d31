/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drawing on an image: boxes, scaled pictures and lines of text. Whatever lies outside of the
 * canvas is cut off.
 */
#include "image/decode.h"

#include "core/memory.h"

#include <stdio.h>
#include <string.h>

#include <vips/vips.h>

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

/*
 * A line drawn by pango: coverage 0..255, and where its ink lies from the line's top left. Zero
 * it before use.
 */
struct line {
    uint8_t *coverage;
    int width;
    int height;
    int left;
    int top;
};

/*
 * Valid UTF-8 without line breaks and control characters; release with g_free(). Names of files
 * are any bytes, and what is no text becomes U+FFFD.
 */
static char *clean_text(const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);

    for (char *p = valid; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    return valid;
}

/* False where there is nothing to see: blanks only, or no font at all. */
static bool render_line(const char *text, uint32_t pixel_height, int bold, struct line *out)
{
    char *markup = g_markup_escape_text(text, -1);
    char font[64];
    VipsImage *image = NULL;
    size_t size = 0;

    snprintf(font, sizeof(font), "Sans %s%u", bold ? "Bold " : "", pixel_height);
    memset(out, 0, sizeof(*out));
    if (vips_text(&image, markup, "font", font, "dpi", 72, NULL) == 0 && image->Bands == 1) {
        vips_image_set_int(image, VIPS_META_CONCURRENCY, 1);
        out->coverage = vips_image_write_to_memory(image, &size);
        out->width = image->Xsize;
        out->height = image->Ysize;
        out->left = image->Xoffset;
        out->top = image->Yoffset;
    }
    if (out->coverage == NULL)
        vips_error_clear();
    if (image != NULL)
        g_object_unref(image);
    g_free(markup);
    return out->coverage != NULL;
}

/*
 * The first and last characters, `kept` in all, with an ellipsis between them; release with
 * g_free().
 */
static char *shorten(const char *text, long length, long kept)
{
    const char *tail = g_utf8_offset_to_pointer(text, length - kept / 2);
    const char *head_end = g_utf8_offset_to_pointer(text, kept - kept / 2);

    return g_strdup_printf("%.*s\xe2\x80\xa6%s", (int)(head_end - text), text, tail);
}

/* The longest shortened form that fits, by bisection over the number of characters. */
static bool render_fitting(
    const char *text,
    uint32_t max_width,
    uint32_t pixel_height,
    int bold,
    struct line *out)
{
    long length = g_utf8_strlen(text, -1);
    long fits = -1, too_long = length;
    struct line line;

    /*
     * A character is hardly narrower than a sixth of its height; nothing much longer needs to be
     * drawn to be measured.
     */
    if (pixel_height > 0 && length > (long)(max_width / pixel_height + 1) * 8)
        too_long = (long)(max_width / pixel_height + 1) * 8;
    else if (!render_line(text, pixel_height, bold, out))
        return false;
    else if (out->left + out->width <= (int64_t)max_width)
        return true;

    g_free(out->coverage);
    out->coverage = NULL;
    while (too_long - fits > 1) {
        long kept = fits + (too_long - fits) / 2;
        char *shorter = shorten(text, length, kept);
        bool drawn = render_line(shorter, pixel_height, bold, &line);

        g_free(shorter);
        if (!drawn || line.left + line.width > (int64_t)max_width) {
            g_free(line.coverage);
            too_long = kept;
            continue;
        }
        g_free(out->coverage);
        *out = line;
        fits = kept;
    }
    return out->coverage != NULL;
}

/* Mix the colour in by coverage. */
static void
blend_line(imgsim_image *canvas, const struct line *line, int64_t left, int64_t top, uint32_t rgb)
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
    struct line line = {0};
    char *clean;

    if (text == NULL || pixel_height == 0 || pixel_height > 1000)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "text of %u pixels height", pixel_height);
    if (!ims_vips_enter())
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "libvips cannot be started");

    clean = clean_text(text);
    if (render_fitting(clean, max_width, pixel_height, bold, &line))
        blend_line(canvas, &line, (int64_t)x + line.left, (int64_t)y + line.top, rgb);
    g_free(line.coverage);
    g_free(clean);
    return IMGSIM_OK;
}
