/* SPDX-License-Identifier: Apache-2.0 */
/* Resampling by the antialiased bilinear filter that networks are trained with. */
#include "image/image.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

/*
 * Antialiased bilinear as PIL and torchvision define it, to the same bytes: each output pixel is
 * a weighted mean of the input pixels under a triangle whose half width is the reduction (1 when
 * enlarging), its centre mapped from pixel centre to pixel centre. Weights are normalised in
 * double precision, then rounded to 22 bits after the point; rows first, rounded to 8 bits, then
 * columns.
 */
enum { WEIGHT_BITS = 22 };

/*
 * Weights of one direction: output i takes `counts[i]` input pixels from `starts[i]`. Zero it
 * before use.
 */
struct filter {
    uint32_t *starts;
    uint32_t *counts;
    int32_t *weights; /* width of them per output */
    uint32_t width;
};

static void filter_release(struct filter *filter)
{
    ims_free(filter->starts);
    ims_free(filter->counts);
    ims_free(filter->weights);
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Weights of one output pixel whose centre lies at `centre` in the input. */
static void filter_fill(
    struct filter *filter,
    uint32_t i,
    uint32_t input,
    double centre,
    double reach,
    double *scratch)
{
    double sum = 0.0;
    double first = floor(centre - reach + 0.5), last = floor(centre + reach + 0.5);
    uint32_t start = first > 0.0 ? (uint32_t)first : 0;
    uint32_t end = last < (double)input ? (last > 0.0 ? (uint32_t)last : 0) : input;
    int32_t *weights = filter->weights + (size_t)i * filter->width;
    uint32_t count = end > start ? end - start : 0;

    for (uint32_t x = 0; x < count; x++) {
        scratch[x] = triangle(((double)(x + start) - centre + 0.5) * (1.0 / reach));
        sum += scratch[x];
    }
    for (uint32_t x = 0; x < count; x++) {
        double weight = sum != 0.0 ? scratch[x] / sum : scratch[x];

        weights[x] = (int32_t)(0.5 + weight * (1 << WEIGHT_BITS));
    }
    filter->starts[i] = start;
    filter->counts[i] = count;
}

/* `output` pixels from the stretch `from` .. `from + length` of `input` pixels. */
static imgsim_status
filter_init(struct filter *filter, uint32_t input, double from, double length, uint32_t output)
{
    double scale = length / output;
    double reach = scale > 1.0 ? scale : 1.0;
    double *scratch = NULL;
    size_t total = 0;
    imgsim_status status = IMGSIM_OK;

    filter->width = (uint32_t)ceil(reach) * 2 + 1;
    if (!ims_mul_size(output, filter->width, &total))
        return ims_fail_memory(SIZE_MAX);
    filter->starts = ims_alloc_array(output, sizeof(*filter->starts));
    filter->counts = ims_alloc_array(output, sizeof(*filter->counts));
    filter->weights = ims_calloc(total, sizeof(*filter->weights));
    scratch = ims_alloc_array(filter->width, sizeof(*scratch));
    if (filter->starts == NULL || filter->counts == NULL || filter->weights == NULL ||
        scratch == NULL) {
        status = ims_fail_memory(total * sizeof(*filter->weights));
        goto done;
    }
    for (uint32_t i = 0; i < output; i++)
        filter_fill(filter, i, input, from + (i + 0.5) * scale, reach, scratch);

done:
    ims_free(scratch);
    return status;
}

/* The weights' rounding may lift a sum of 255s by a hair above 255.5. */
static uint8_t weight_down(int32_t sum)
{
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* One row of RGB, by the filter of the columns. */
static void
resample_row(const struct filter *filter, const uint8_t *in, uint32_t width, uint8_t *out)
{
    for (uint32_t x = 0; x < width; x++, out += 3) {
        const int32_t *weights = filter->weights + (size_t)x * filter->width;
        const uint8_t *pixel = in + (size_t)filter->starts[x] * 3;
        int32_t red = 1 << (WEIGHT_BITS - 1), green = red, blue = red;

        for (uint32_t i = 0; i < filter->counts[x]; i++, pixel += 3) {
            red += pixel[0] * weights[i];
            green += pixel[1] * weights[i];
            blue += pixel[2] * weights[i];
        }
        out[0] = weight_down(red);
        out[1] = weight_down(green);
        out[2] = weight_down(blue);
    }
}

/*
 * Output row y from input rows of `row_size` bytes; sums has room for one row. Whole rows at a
 * time, for the compiler's vectors.
 */
static void resample_column(
    const struct filter *filter,
    uint32_t y,
    const uint8_t *first_row,
    size_t row_size,
    int32_t *restrict sums,
    uint8_t *restrict out)
{
    const int32_t *weights = filter->weights + (size_t)y * filter->width;

    for (size_t i = 0; i < row_size; i++)
        sums[i] = 1 << (WEIGHT_BITS - 1);
    for (uint32_t k = 0; k < filter->counts[y]; k++) {
        const uint8_t *restrict row = first_row + k * row_size;
        int32_t weight = weights[k];

        for (size_t i = 0; i < row_size; i++)
            sums[i] += row[i] * weight;
    }
    for (size_t i = 0; i < row_size; i++)
        out[i] = weight_down(sums[i]);
}

/* Rows `top` to `bottom` of the image through the filter of the columns. */
static uint8_t *resample_rows(
    const imgsim_image *image,
    const struct filter *columns,
    uint32_t top,
    uint32_t bottom,
    uint32_t width)
{
    size_t row_size = (size_t)width * 3;
    uint8_t *rows = ims_alloc_array(bottom - top, row_size);

    if (rows == NULL)
        return NULL;
    for (uint32_t y = top; y < bottom; y++)
        resample_row(
            columns, image->pixels + (size_t)y * image->width * 3, width,
            rows + (y - top) * row_size);
    return rows;
}

imgsim_status ims_resample_rgb(
    const imgsim_image *image,
    double left,
    double top,
    double box_width,
    double box_height,
    uint32_t width,
    uint32_t height,
    uint8_t *out_pixels)
{
    imgsim_status status;
    struct filter columns = {0}, rows = {0};
    size_t row_size = (size_t)width * 3;
    uint8_t *narrow = NULL;
    int32_t *sums = NULL;
    uint32_t first, last = 0;

    if (width == 0 || height == 0 || !(box_width > 0.0) || !(box_height > 0.0) || !(left >= 0.0) ||
        !(top >= 0.0) || left + box_width > (double)image->width + 1e-6 ||
        top + box_height > (double)image->height + 1e-6)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "box outside of the image");

    if ((status = filter_init(&columns, image->width, left, box_width, width)) != IMGSIM_OK ||
        (status = filter_init(&rows, image->height, top, box_height, height)) != IMGSIM_OK)
        goto done;

    /* Only the rows that some output row needs. */
    first = rows.starts[0];
    for (uint32_t y = 0; y < height; y++)
        if (rows.starts[y] + rows.counts[y] > last)
            last = rows.starts[y] + rows.counts[y];
    narrow = resample_rows(image, &columns, first, last, width);
    sums = ims_alloc_array(row_size, sizeof(*sums));
    if (narrow == NULL || sums == NULL) {
        status = ims_fail_memory((last - first) * row_size);
        goto done;
    }
    for (uint32_t y = 0; y < height; y++)
        resample_column(
            &rows, y, narrow + (rows.starts[y] - first) * row_size, row_size, sums,
            out_pixels + y * row_size);

done:
    ims_free(narrow);
    ims_free(sums);
    filter_release(&columns);
    filter_release(&rows);
    return status;
}
