/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Colour histograms: exact counts of pixels per bin, in RGB, HSV or Lab, by integer arithmetic
 * alone.
 */
#include "extract/extractor.h"
#include "image/image.h"
#include "image/pixels.h"

#include "core/memory.h"
#include "core/options.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Several tables are kept, so that equal neighbours do not wait for each other's addition. */
enum { TABLES = 4, TABLE_BINS_MAX = 4096 };

struct color_extractor {
    imgsim_extractor common;
    int32_t space;
    bool sixteen; /* RGB in 16 x 16 x 16 bins */
    /* Share of each channel's value in the index of the bin. */
    uint16_t offsets[3][256];
};

static const imgsim_color_options default_options = {
    .struct_size = sizeof(imgsim_color_options),
    .space = IMGSIM_COLOR_RGB,
    .bins = {16, 16, 16},
};

imgsim_status imgsim_color_options_init(imgsim_color_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &default_options, sizeof(default_options));
}

/* ---- HSV ---- */

/*
 * Value: the largest channel. Saturation: 255 (max - min) / max. Hue: 256 steps to the circle,
 * red at 0; grey has 0. Both quotients are rounded to the nearest, halves up. docs/features.md
 * has the formulas.
 */
static void rgb_to_hsv(const uint8_t *rgb, uint8_t *hsv)
{
    int32_t red = rgb[0], green = rgb[1], blue = rgb[2];
    int32_t maximum = red > green ? red : green, minimum = red < green ? red : green;
    int32_t range, sixths;

    maximum = maximum > blue ? maximum : blue;
    minimum = minimum < blue ? minimum : blue;
    range = maximum - minimum;
    hsv[2] = (uint8_t)maximum;
    if (range == 0) {
        hsv[0] = hsv[1] = 0;
        return;
    }

    /* Place on the circle in units of 1 / (6 * range). */
    if (maximum == red)
        sixths = green >= blue ? green - blue : 6 * range + green - blue;
    else if (maximum == green)
        sixths = 2 * range + blue - red;
    else
        sixths = 4 * range + red - green;
    hsv[0] = (uint8_t)((256 * sixths + 3 * range) / (6 * range));
    hsv[1] = (uint8_t)((2 * 255 * range + maximum) / (2 * maximum));
}

/* ---- Lab ---- */

/*
 * Linear light of an sRGB value in 0..65535, and 32768 f(t / 65535) with f the cube root of CIE
 * 15.
 */
static uint16_t linear_table[256];
static uint16_t root_table[65536];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

/*
 * The functions of libm are off by an ulp at most; no entry lies so near to a half that this
 * could change it.
 */
static void make_tables(void)
{
    for (int i = 0; i < 256; i++) {
        double value = i / 255.0;

        value = value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4);
        linear_table[i] = (uint16_t)floor(65535.0 * value + 0.5);
    }
    for (int i = 0; i < 65536; i++) {
        double t = i / 65535.0;

        t = t > 216.0 / 24389.0 ? cbrt(t) : (24389.0 / 27.0 * t + 16.0) / 116.0;
        root_table[i] = (uint16_t)floor(32768.0 * t + 0.5);
    }
}

/* a / b to the nearest, halves up, b > 0. */
static int32_t divide_round(int32_t a, int32_t b)
{
    int32_t shifted = 2 * a + b;

    return shifted >= 0 ? shifted / (2 * b) : -((2 * b - 1 - shifted) / (2 * b));
}

/*
 * sRGB's matrix (IEC 61966-2-1) in units of 1/10000, each row divided by its sum: white is
 * exactly 1, 1, 1.
 */
static void rgb_to_lab(const uint8_t *rgb, uint8_t *lab)
{
    uint32_t red = linear_table[rgb[0]], green = linear_table[rgb[1]];
    uint32_t blue = linear_table[rgb[2]];
    int32_t x = root_table[(4124 * red + 3576 * green + 1805 * blue + 4752) / 9505];
    int32_t y = root_table[(2126 * red + 7152 * green + 722 * blue + 5000) / 10000];
    int32_t z = root_table[(193 * red + 1192 * green + 9505 * blue + 5445) / 10890];

    lab[0] = (uint8_t)divide_round(255 * (116 * y - 16 * 32768), 100 * 32768);
    lab[1] = (uint8_t)(128 + divide_round(500 * (x - y), 32768));
    lab[2] = (uint8_t)(128 + divide_round(200 * (y - z), 32768));
}

/* ---- counting ---- */

/* Pixels of an RGB histogram; `tables` has TABLES tables of `bins` counts. */
static void count_rgb(
    const struct color_extractor *color,
    const uint8_t *pixels,
    size_t count,
    uint32_t *tables,
    size_t bins)
{
    const uint16_t *red = color->offsets[0], *green = color->offsets[1];
    const uint16_t *blue = color->offsets[2];
    size_t i = 0;

    for (; i + TABLES <= count; i += TABLES, pixels += 3 * TABLES)
        for (size_t t = 0; t < TABLES; t++)
            tables
                [t * bins + red[pixels[3 * t]] + green[pixels[3 * t + 1]] +
                 blue[pixels[3 * t + 2]]]++;
    for (; i < count; i++, pixels += 3)
        tables[red[pixels[0]] + green[pixels[1]] + blue[pixels[2]]]++;
}

/*
 * The same with 16 bins per channel: indexes by vectors, then counts of 16 bits, so that all tables stay in the first cache. A
 * table is added to the row before it can overflow. Images of few pixels are not worth four tables.
 */
static void count_rgb_16(const uint8_t *pixels, size_t count, uint32_t *row)
{
    enum { STRETCH = 1024, FEW = 16384, FULL = 65535 / (STRETCH / TABLES) * STRETCH };
    const struct ims_pixel_kernels *kernels = ims_pixel_kernels();
    uint16_t tables[TABLES][TABLE_BINS_MAX], index[STRETCH];
    size_t counted = 0, done = 0;
    bool few = count < FEW;

    memset(tables, 0, few ? 0 : sizeof(tables));
    while (done < count) {
        size_t now = count - done < STRETCH ? count - done : STRETCH, i = 0;

        kernels->bins_16(pixels + 3 * done, now, index);
        for (; !few && i + TABLES <= now; i += TABLES)
            for (size_t t = 0; t < TABLES; t++)
                tables[t][index[i + t]]++;
        for (; i < now; i++)
            row[index[i]]++;
        done += now;
        counted += now;
        if (!few && (counted + STRETCH > FULL || done == count)) {
            for (size_t bin = 0; bin < TABLE_BINS_MAX; bin++)
                row[bin] +=
                    (uint32_t)tables[0][bin] + tables[1][bin] + tables[2][bin] + tables[3][bin];
            memset(tables, 0, sizeof(tables));
            counted = 0;
        }
    }
}

/* HSV and Lab, converted in stretches that stay in the cache. */
static void count_converted(
    const struct color_extractor *color,
    const uint8_t *pixels,
    size_t count,
    uint32_t *tables,
    size_t bins)
{
    enum { STRETCH = 1024 };
    uint8_t converted[STRETCH * 3];

    while (count > 0) {
        size_t now = count < STRETCH ? count : STRETCH;

        for (size_t i = 0; i < now; i++) {
            if (color->space == IMGSIM_COLOR_HSV)
                rgb_to_hsv(pixels + 3 * i, converted + 3 * i);
            else
                rgb_to_lab(pixels + 3 * i, converted + 3 * i);
        }
        count_rgb(color, converted, now, tables, bins);
        pixels += 3 * now;
        count -= now;
    }
}

static imgsim_status
color_extract(const imgsim_extractor *extractor, const imgsim_image *image, void *out_row)
{
    const struct color_extractor *color = (const struct color_extractor *)extractor;
    size_t bins = extractor->dimension, pixels = (size_t)image->width * image->height;
    uint32_t *row = out_row, *tables;

    if (color->sixteen) {
        memset(row, 0, bins * sizeof(*row));
        count_rgb_16(image->pixels, pixels, row);
        return IMGSIM_OK;
    }
    if ((tables = ims_calloc(TABLES * bins, sizeof(*tables))) == NULL)
        return ims_fail_memory(TABLES * bins * sizeof(*tables));
    if (color->space != IMGSIM_COLOR_RGB)
        count_converted(color, image->pixels, pixels, tables, bins);
    else
        count_rgb(color, image->pixels, pixels, tables, bins);

    memcpy(row, tables, bins * sizeof(*row));
    for (size_t t = 1; t < TABLES; t++)
        for (size_t i = 0; i < bins; i++)
            row[i] += tables[t * bins + i];
    ims_free(tables);
    return IMGSIM_OK;
}

static const struct ims_extractor_kind color_kind = {.name = "color", .extract = color_extract};

/* ---- making ---- */

static imgsim_status check_options(const imgsim_color_options *options)
{
    if (options->space != IMGSIM_COLOR_RGB && options->space != IMGSIM_COLOR_HSV &&
        options->space != IMGSIM_COLOR_LAB)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown colour space %d", (int)options->space);
    for (int i = 0; i < 3; i++)
        if (options->bins[i] < 2 || options->bins[i] > 32)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "bins[%d] is %u, must be 2 to 32", i,
                options->bins[i]);
    return IMGSIM_OK;
}

imgsim_status
imgsim_extractor_new_color(const imgsim_color_options *options, imgsim_extractor **out_extractor)
{
    static const char *const spaces[] = {"rgb", "hsv", "lab"};
    imgsim_status status;
    imgsim_color_options read = default_options;
    struct color_extractor *color;
    char spec[64];

    if (out_extractor == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_extractor must not be NULL");
    *out_extractor = NULL;
    if ((status = ims_options_read(&read, sizeof(read), options)) != IMGSIM_OK ||
        (status = check_options(&read)) != IMGSIM_OK)
        return status;
    if ((color = ims_calloc(1, sizeof(*color))) == NULL)
        return ims_fail_memory(sizeof(*color));

    color->space = read.space;
    color->sixteen = read.space == IMGSIM_COLOR_RGB && read.bins[0] == 16 && read.bins[1] == 16 &&
                     read.bins[2] == 16;
    for (uint32_t value = 0; value < 256; value++) {
        uint32_t bins = read.bins[1] * read.bins[2];

        color->offsets[0][value] = (uint16_t)(value * read.bins[0] / 256 * bins);
        color->offsets[1][value] = (uint16_t)(value * read.bins[1] / 256 * read.bins[2]);
        color->offsets[2][value] = (uint16_t)(value * read.bins[2] / 256);
    }
    if (color->space == IMGSIM_COLOR_LAB)
        pthread_once(&tables_once, make_tables);

    snprintf(
        spec, sizeof(spec), "color:space=%s,bins=%ux%ux%u", spaces[read.space], read.bins[0],
        read.bins[1], read.bins[2]);
    status = ims_extractor_init(
        &color->common, &color_kind, "color", IMGSIM_ROW_UINT32,
        read.bins[0] * read.bins[1] * read.bins[2], IMGSIM_METRIC_INTERSECTION, spec, NULL);
    if (status != IMGSIM_OK) {
        ims_free(color->common.spec);
        ims_free(color);
        return status;
    }
    *out_extractor = &color->common;
    return IMGSIM_OK;
}
