/* SPDX-License-Identifier: Apache-2.0 */
/* A map as a static picture: pixels or SVG, with a legend; and as a table. */
#include "map/map_plot.h"

#include "catalog/catalog.h"
#include "core/memory.h"
#include "core/options.h"
#include "image/image.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MARGIN 28
#define HEADING 48
#define LEGEND 250
#define LINE 26
#define FONT 17

static const imgsim_plot_options defaults = {
    .struct_size = sizeof(imgsim_plot_options),
    .width = 1200,
    .height = 900,
};

imgsim_status imgsim_plot_options_init(imgsim_plot_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

/* ---- colours ---- */

/* Told apart on white, neighbours in the list more than others. */
static const uint32_t palette[] = {
    0x2F6FDE, 0xE8590C, 0x2B9A3E, 0xD6336C, 0x7C3AED, 0x0C9BA8, 0xC79A00,
    0x8B5A2B, 0xE03131, 0x74B816, 0x4DABF7, 0xB197FC, 0xF783AC, 0x20C997,
    0xFFA94D, 0x364FC7, 0x862E9C, 0x5C940D, 0xA61E4D, 0x087F5B,
};
#define PALETTE (sizeof(palette) / sizeof(palette[0]))
#define COLOR_OTHER 0xB4BAC2u
#define COLOR_ALONE 0x2F6FDEu
#define COLOR_TEXT 0x1B2430u
#define COLOR_FAINT 0x66707Fu

uint32_t ims_plot_color(const struct ims_map_groups *groups, size_t point)
{
    const int32_t group = groups->of_point[point];

    if (groups->count == 0)
        return COLOR_ALONE;
    return group >= 0 && (size_t)group < PALETTE ? palette[group] : COLOR_OTHER;
}

/* ---- where points come to lie ---- */

/* A point in pixels, and how near it is to the eye. */
struct placed {
    float x;
    float y;
    float depth;
    uint32_t point;
};

/* The plane as it is; space turned by 30 degrees and seen from 20 above. */
static struct placed project(const imgsim_map *map, size_t point)
{
    const float *at = map->positions + point * map->dimension;
    const float turn = 0.5236f, rise = 0.3491f;
    struct placed out = {at[0], at[1], 0.0f, (uint32_t)point};
    float across, away;

    if (map->dimension == 2)
        return out;
    across = cosf(turn) * at[0] - sinf(turn) * at[2];
    away = sinf(turn) * at[0] + cosf(turn) * at[2];
    out.x = across;
    out.y = cosf(rise) * at[1] - sinf(rise) * away;
    out.depth = -(sinf(rise) * at[1] + cosf(rise) * away);
    return out;
}

/* Far ones first; in the plane in an order that has nothing to do with groups. */
static int compare_placed(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    const uint32_t hash_x = x->point * 0x9e3779b1u, hash_y = y->point * 0x9e3779b1u;

    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    return hash_x < hash_y ? -1 : hash_x > hash_y;
}

struct plot {
    const imgsim_map *map;
    imgsim_plot_options options;
    struct ims_map_groups groups;
    struct placed *placed;
    float radius;
    float left, top, right, bottom; /* the field in pixels */
    char title[160];
};

static float radius_of(size_t count, float field)
{
    const float r = 0.35f * field / sqrtf((float)count);

    return r < 0.8f ? 0.8f : (r > 5.0f ? 5.0f : r);
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

/*
 * What the field shows of one axis: all points, or where a few lie far outside, what the others need and a little more. The few
 * are then drawn at the edge.
 */
static void find_range(float *values, size_t count, float *out_low, float *out_high)
{
    const size_t few = count / 500;
    float low, high, room;

    qsort(values, count, sizeof(*values), compare_floats);
    low = values[few];
    high = values[count - 1 - few];
    room = 0.15f * (high - low);
    *out_low = fmaxf(values[0], low - room);
    *out_high = fminf(values[count - 1], high + room);
}

/* Fit the points into the field, the same scale both ways, y upwards. */
static imgsim_status place_points(struct plot *plot)
{
    const size_t n = plot->map->count;
    float low[2], high[2], scale, *values;

    if ((plot->placed = ims_alloc_array(n, sizeof(*plot->placed))) == NULL)
        return ims_fail_memory(n * sizeof(*plot->placed));
    if ((values = ims_alloc_array(n, sizeof(float))) == NULL)
        return ims_fail_memory(n * sizeof(float));
    for (size_t i = 0; i < n; i++)
        plot->placed[i] = project(plot->map, i);
    for (int axis = 0; axis < 2; axis++) {
        for (size_t i = 0; i < n; i++)
            values[i] = axis == 0 ? plot->placed[i].x : plot->placed[i].y;
        find_range(values, n, &low[axis], &high[axis]);
    }
    ims_free(values);
    scale = fminf(
        (plot->right - plot->left) / fmaxf(high[0] - low[0], 1e-20f),
        (plot->bottom - plot->top) / fmaxf(high[1] - low[1], 1e-20f));
    for (size_t i = 0; i < n; i++) {
        struct placed *placed = &plot->placed[i];

        placed->x =
            (plot->left + plot->right) / 2.0f + scale * (placed->x - (low[0] + high[0]) / 2.0f);
        placed->y =
            (plot->top + plot->bottom) / 2.0f - scale * (placed->y - (low[1] + high[1]) / 2.0f);
    }
    qsort(plot->placed, n, sizeof(*plot->placed), compare_placed);
    return IMGSIM_OK;
}

/* Lines of the legend: groups with colours of their own that fit, and one for the others. */
static size_t legend_lines(const struct plot *plot)
{
    const size_t fit = (size_t)((plot->bottom - plot->top) / LINE);
    size_t lines = plot->groups.count < PALETTE ? plot->groups.count : PALETTE;

    return lines + 1 > fit ? (fit > 1 ? fit - 1 : 0) : lines;
}

static size_t others(const struct plot *plot, size_t lines)
{
    size_t named = 0;

    for (size_t i = 0; i < lines; i++)
        named += plot->groups.sizes[i];
    return plot->map->count - named;
}

static void legend_text(const struct plot *plot, size_t line, size_t lines, char *out, size_t size)
{
    if (line < lines)
        snprintf(out, size, "%s (%zu)", plot->groups.names[line], plot->groups.sizes[line]);
    else
        snprintf(out, size, "others (%zu)", others(plot, lines));
}

/* ---- pixels ---- */

static void blend(uint8_t *pixel, uint32_t rgb, float share)
{
    for (int c = 0; c < 3; c++) {
        const float to = (float)(rgb >> (16 - 8 * c) & 255);

        pixel[c] = (uint8_t)(pixel[c] + (to - pixel[c]) * share + 0.5f);
    }
}

/* A soft-edged disc. */
static void
draw_disc(imgsim_image *canvas, float x, float y, float radius, uint32_t rgb, float alpha)
{
    const int32_t left = (int32_t)floorf(x - radius - 1.0f),
                  right = (int32_t)ceilf(x + radius + 1.0f);
    const int32_t top = (int32_t)floorf(y - radius - 1.0f),
                  bottom = (int32_t)ceilf(y + radius + 1.0f);

    for (int32_t py = top; py <= bottom; py++)
        for (int32_t px = left; px <= right; px++) {
            const float dx = (float)px + 0.5f - x, dy = (float)py + 0.5f - y;
            const float inside = radius + 0.5f - sqrtf(dx * dx + dy * dy);

            if (inside <= 0.0f || px < 0 || py < 0 || px >= (int32_t)canvas->width ||
                py >= (int32_t)canvas->height)
                continue;
            blend(
                canvas->pixels + ((size_t)py * canvas->width + (size_t)px) * 3, rgb,
                alpha * fminf(inside, 1.0f));
        }
}

static imgsim_status draw_words(const struct plot *plot, imgsim_image *canvas)
{
    const size_t lines = legend_lines(plot);
    const size_t all = lines + (lines > 0 && others(plot, lines) > 0);
    const int32_t x = (int32_t)plot->right + MARGIN;
    imgsim_status status = IMGSIM_OK;
    char text[300];

    if (plot->title[0] != '\0')
        status = ims_canvas_text(
            canvas, plot->title, MARGIN, 14, canvas->width - 2 * MARGIN, 22, COLOR_TEXT, 1);
    for (size_t line = 0; line < all && status == IMGSIM_OK; line++) {
        const int32_t y = (int32_t)plot->top + (int32_t)line * LINE;

        draw_disc(
            canvas, (float)x + 8.0f, (float)y + 12.0f, 6.0f,
            line < lines ? palette[line] : COLOR_OTHER, 1.0f);
        legend_text(plot, line, lines, text, sizeof(text));
        status = ims_canvas_text(
            canvas, text, x + 24, y + 1, LEGEND - MARGIN - 24, FONT,
            line < lines ? COLOR_TEXT : COLOR_FAINT, 0);
    }
    return status;
}

static imgsim_status write_pixels(const struct plot *plot, const char *format, const char *path)
{
    const float alpha = plot->radius < 1.5f ? 0.65f : 0.8f;
    imgsim_image *canvas = NULL;
    imgsim_status status = ims_image_alloc(plot->options.width, plot->options.height, &canvas);
    uint8_t *data = NULL;
    size_t size = 0;

    if (status != IMGSIM_OK)
        return status;
    ims_canvas_fill(canvas, 0, 0, canvas->width, canvas->height, 0xFFFFFF);
    for (size_t i = 0; i < plot->map->count; i++)
        draw_disc(
            canvas, plot->placed[i].x, plot->placed[i].y, plot->radius,
            ims_plot_color(&plot->groups, plot->placed[i].point), alpha);
    if ((status = draw_words(plot, canvas)) == IMGSIM_OK &&
        (status = ims_image_encode(canvas, format, 92, &data, &size)) == IMGSIM_OK)
        status = ims_plot_write_file(path, data, size);
    ims_free(data);
    imgsim_image_free(canvas);
    return status;
}

/* ---- SVG ---- */

static void
svg_text(struct ims_text *svg, float x, float y, int size, uint32_t rgb, const char *text)
{
    ims_text_add_format(
        svg, "<text x=\"%.0f\" y=\"%.0f\" font-size=\"%d\" fill=\"#%06x\">", (double)x, (double)y,
        size, rgb);
    ims_text_add_html(svg, text);
    ims_text_add_format(svg, "</text>\n");
}

/* All points of one colour as one path of dots: a few bytes each. */
static void svg_points(const struct plot *plot, struct ims_text *svg, uint32_t rgb)
{
    bool begun = false;

    for (size_t i = 0; i < plot->map->count; i++) {
        if (ims_plot_color(&plot->groups, plot->placed[i].point) != rgb)
            continue;
        if (!begun)
            ims_text_add_format(svg, "<path stroke=\"#%06x\" d=\"", rgb);
        begun = true;
        ims_text_add_format(
            svg, "M%.1f %.1fh0", (double)plot->placed[i].x, (double)plot->placed[i].y);
    }
    if (begun)
        ims_text_add_format(svg, "\"/>\n");
}

static imgsim_status write_svg(const struct plot *plot, const char *path)
{
    const size_t lines = legend_lines(plot);
    const size_t all = lines + (lines > 0 && others(plot, lines) > 0);
    struct ims_text svg = {0};
    imgsim_status status;
    char text[300];

    ims_text_add_format(
        &svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" viewBox=\"0 0 %u "
        "%u\" "
        "font-family=\"sans-serif\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        plot->options.width, plot->options.height, plot->options.width, plot->options.height);
    if (plot->title[0] != '\0')
        svg_text(&svg, MARGIN, 34, 22, COLOR_TEXT, plot->title);
    ims_text_add_format(
        &svg,
        "<g fill=\"none\" stroke-linecap=\"round\" stroke-opacity=\"0.75\" "
        "stroke-width=\"%.1f\">\n",
        2.0 * (double)plot->radius);
    svg_points(plot, &svg, plot->groups.count == 0 ? COLOR_ALONE : COLOR_OTHER);
    for (size_t i = 0; i < plot->groups.count && i < PALETTE; i++)
        svg_points(plot, &svg, palette[i]);
    ims_text_add_format(&svg, "</g>\n");
    for (size_t line = 0; line < all; line++) {
        const float y = plot->top + (float)(line * LINE);

        ims_text_add_format(
            &svg, "<circle cx=\"%.0f\" cy=\"%.0f\" r=\"6\" fill=\"#%06x\"/>\n",
            (double)(plot->right + MARGIN + 8), (double)(y + 12),
            line < lines ? palette[line] : COLOR_OTHER);
        legend_text(plot, line, lines, text, sizeof(text));
        svg_text(&svg, plot->right + MARGIN + 24, y + 18, FONT, COLOR_TEXT, text);
    }
    ims_text_add_format(&svg, "</svg>\n");
    status =
        svg.failed ? ims_fail_memory(svg.size) : ims_plot_write_file(path, svg.bytes, svg.size);
    ims_text_clear(&svg);
    return status;
}

/* ---- the request ---- */

static imgsim_status
read_options(struct plot *plot, const imgsim_catalog *catalog, const imgsim_plot_options *options)
{
    const imgsim_map *map = plot->map;
    imgsim_status status;

    plot->options = defaults;
    if ((status = ims_options_read(&plot->options, sizeof(plot->options), options)) != IMGSIM_OK)
        return status;
    if (plot->options.width < 200 || plot->options.width > 8000 || plot->options.height < 200 ||
        plot->options.height > 8000)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a picture of %u x %u, expected 200 to 8000 each",
            plot->options.width, plot->options.height);
    if (plot->options.title != NULL)
        snprintf(plot->title, sizeof(plot->title), "%s", plot->options.title);
    else
        snprintf(
            plot->title, sizeof(plot->title), "%s of %zu %s",
            map->layout == IMGSIM_LAYOUT_TSNE   ? "t-SNE"
            : map->layout == IMGSIM_LAYOUT_UMAP ? "UMAP"
                                                : "PCA",
            map->count, map->feature[0] != '\0' ? "images" : "points");
    if ((status = ims_map_groups_read(map, catalog, &plot->options, &plot->groups)) != IMGSIM_OK)
        return status;
    return plot->options.color_by == IMGSIM_COLOR_CLUSTER && catalog != NULL
               ? ims_groups_name_clusters(map->ids, map->count, catalog, &plot->groups)
               : IMGSIM_OK;
}

static const char *format_of(const char *path)
{
    const char *dot = strrchr(path, '.');

    if (dot == NULL || strchr(dot, '/') != NULL)
        return NULL;
    if (strcasecmp(dot, ".svg") == 0)
        return "svg";
    if (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0)
        return "jpeg";
    if (strcasecmp(dot, ".png") == 0)
        return "png";
    return strcasecmp(dot, ".webp") == 0 ? "webp" : NULL;
}

imgsim_status imgsim_map_write_plot(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    const imgsim_plot_options *options,
    const char *path)
{
    struct plot plot = {.map = map};
    const char *format;
    imgsim_status status;

    if (map == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "map and path must not be NULL");
    if ((format = format_of(path)) == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a plot is .png, .svg, .jpg or .webp, \"%s\" is not",
            path);
    if ((status = read_options(&plot, catalog, options)) != IMGSIM_OK)
        goto done;
    plot.left = MARGIN;
    plot.top = plot.title[0] != '\0' ? HEADING + MARGIN / 2 : MARGIN;
    plot.right = (float)plot.options.width - MARGIN -
                 (plot.groups.count > 0 && plot.options.width >= 600 ? LEGEND : 0);
    plot.bottom = (float)plot.options.height - MARGIN;
    plot.radius = radius_of(map->count, fminf(plot.right - plot.left, plot.bottom - plot.top));
    if ((status = place_points(&plot)) == IMGSIM_OK)
        status =
            strcmp(format, "svg") == 0 ? write_svg(&plot, path) : write_pixels(&plot, format, path);

done:
    ims_map_groups_clear(&plot.groups);
    ims_free(plot.placed);
    return status;
}
