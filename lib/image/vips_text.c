/* SPDX-License-Identifier: Apache-2.0 */
/* Draws one line of text by libvips and pango, shortened to fit. */
#include "image/vips_private.h"

#include <stdio.h>
#include <string.h>

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
static bool
render_line(const char *text, uint32_t pixel_height, bool bold, struct ims_vips_line *out)
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
static void render_fitting(
    const char *text,
    uint32_t max_width,
    uint32_t pixel_height,
    bool bold,
    struct ims_vips_line *out)
{
    long length = g_utf8_strlen(text, -1);
    long fits = -1, too_long = length;
    struct ims_vips_line line;

    /*
     * A character is hardly narrower than a sixth of its height; nothing much longer needs to be
     * drawn to be measured.
     */
    if (pixel_height > 0 && length > (long)(max_width / pixel_height + 1) * 8)
        too_long = (long)(max_width / pixel_height + 1) * 8;
    else if (
        !render_line(text, pixel_height, bold, out) || out->left + out->width <= (int64_t)max_width)
        return;

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
}

void ims_vips_draw_line(
    const char *text,
    uint32_t max_width,
    uint32_t pixel_height,
    bool bold,
    struct ims_vips_line *out_line)
{
    char *clean = clean_text(text);

    memset(out_line, 0, sizeof(*out_line));
    render_fitting(clean, max_width, pixel_height, bold, out_line);
    g_free(clean);
}
