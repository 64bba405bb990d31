/* SPDX-License-Identifier: Apache-2.0 */
/* Small pictures of large ones: means over areas, fast enough to be made of every image. */
#include "image/image.h"

#include "core/memory.h"
#include "image/pixels.h"

#include <string.h>

/* Which input pixels an output pixel is made of. Zero it before use. */
struct areas {
    uint32_t *starts;
    uint16_t *weights; /* `taps` per output; those of one output sum to IMS_REDUCE_ONE */
    size_t taps;       /* even */
};

static void areas_clear(struct areas *areas)
{
    ims_free(areas->starts);
    ims_free(areas->weights);
}

/*
 * Output i covers the stretch i * input / output to (i + 1) * input / output. In units of 1 / output of an input pixel it is `input`
 * long, and weights are differences of rounded running sums, so that they sum to IMS_REDUCE_ONE exactly.
 */
static imgsim_status areas_init(struct areas *areas, uint32_t input, uint32_t output)
{
    size_t total;

    areas->taps = ((size_t)input / output + 3) & ~(size_t)1;
    if (!ims_mul_size(output, areas->taps, &total))
        return ims_fail_memory(SIZE_MAX);
    areas->starts = ims_alloc_array(output, sizeof(*areas->starts));
    areas->weights = ims_calloc(total, sizeof(*areas->weights));
    if (areas->starts == NULL || areas->weights == NULL)
        return ims_fail_memory(total * sizeof(*areas->weights));

    for (uint64_t i = 0; i < output; i++) {
        uint64_t from = i * input, covered = 0;
        uint64_t pixel = from / output;
        uint16_t *weights = areas->weights + i * areas->taps;
        uint32_t given = 0;

        areas->starts[i] = (uint32_t)pixel;
        for (; covered < input; pixel++, weights++) {
            uint64_t reach = (pixel + 1) * output - from;
            uint32_t share;

            covered = reach < input ? reach : input;
            share = (uint32_t)((2 * covered * IMS_REDUCE_ONE + input) / (2 * (uint64_t)input));
            *weights = (uint16_t)(share - given);
            given = share;
        }
    }
    return IMGSIM_OK;
}

/* The weights in the order in which reduce_row takes them, or NULL; release it with ims_free(). */
static int16_t *make_pairs(const struct areas *areas, uint32_t output)
{
    size_t groups = ((size_t)output + 3) / 4 * (areas->taps / 2), size;
    int16_t *pairs = NULL;

    if (ims_mul_size(groups, IMS_REDUCE_PAIRS, &size))
        pairs = ims_calloc(size, sizeof(*pairs));
    for (size_t x = 0; pairs != NULL && x < output; x++)
        for (size_t k = 0; k < areas->taps; k += 2) {
            const uint16_t *weights = areas->weights + x * areas->taps + k;
            int16_t *at = pairs + (x / 4 * areas->taps + k) / 2 * IMS_REDUCE_PAIRS +
                          x % 4 * (IMS_REDUCE_PAIRS / 4);

            for (size_t i = 0; i < IMS_REDUCE_PAIRS / 4; i++)
                at[i] = (int16_t)weights[i % 2];
        }
    return pairs;
}

/* Input pixels that output i has weights for. */
static size_t areas_count(const struct areas *areas, uint32_t i)
{
    const uint16_t *weights = areas->weights + i * areas->taps;
    size_t count = areas->taps;

    while (weights[count - 1] == 0)
        count--;
    return count;
}

imgsim_status
ims_reduce_rgb(const imgsim_image *image, uint32_t width, uint32_t height, uint8_t *out_pixels)
{
    const struct ims_pixel_kernels *kernels = ims_pixel_kernels();
    size_t row_size = (size_t)image->width * 3;
    struct areas columns = {0}, rows = {0};
    int16_t *values = NULL, *pairs = NULL;
    imgsim_status status;

    if (width < 1 || height < 1 || width > image->width || height > image->height)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u x %u cannot be reduced to %u x %u", image->width,
            image->height, width, height);
    if ((status = areas_init(&columns, image->width, width)) != IMGSIM_OK ||
        (status = areas_init(&rows, image->height, height)) != IMGSIM_OK)
        goto done;
    values = ims_calloc(row_size + 3 * columns.taps + IMS_REDUCE_SLACK, sizeof(*values));
    pairs = make_pairs(&columns, width);
    if (values == NULL || pairs == NULL) {
        status = ims_fail_memory(row_size * sizeof(*values));
        goto done;
    }
    for (uint32_t y = 0; y < height; y++) {
        kernels->weigh_rows(
            image->pixels + rows.starts[y] * row_size, row_size, rows.weights + y * rows.taps,
            areas_count(&rows, y), row_size, values);
        kernels->reduce_row(
            values, columns.starts, pairs, columns.taps, width, out_pixels + (size_t)y * width * 3);
    }

done:
    areas_clear(&columns);
    areas_clear(&rows);
    ims_free(values);
    ims_free(pairs);
    return status;
}
