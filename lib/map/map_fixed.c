/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in 16 bit integers: ranking the candidates of a neighbour graph reads much memory, and floats of a mapped file are twice as much. */
#include "map/map_graph.h"

#include "core/memory.h"
#include "map/map_kernels.h"
#include "simd/kernels.h"

#include <math.h>
#include <string.h>

/* Rows of a task, and what a row's length is in integers: products stay below 2^31 by Cauchy and Schwarz, rounding included. */
#define ROWS 512
#define LENGTH 46000.0
#define LARGEST 32766.0
/* Vectors of the kernels: rows are filled up to a whole number of them. */
#define FILL 32
/* A squared distance below this share of the rows' squares is not told from integers. */
#define NEAR 1e-3

struct filling {
    struct ims_map_fixed *fixed;
    const uint32_t *places; /* place of each point */
    const float *mean;
};

/* One row less the mean in integers. */
static void
fill_row(const struct filling *filling, float *row, size_t point, int16_t *out, size_t place)
{
    const struct ims_map_fixed *fixed = filling->fixed;
    const struct ims_map_rows *rows = fixed->metric->rows;
    struct ims_map_fixed_row *about = &fixed->rows[place];
    float largest = 0.0f, scale, square;

    for (size_t c = 0; c < rows->dimension; c++) {
        const float size = fabsf(row[c] -= filling->mean[c]);

        largest = size > largest ? size : largest;
    }
    square = ims_kernels()->dot(row, row, rows->dimension);
    scale = (float)fmin(LENGTH / sqrt(square), LARGEST / largest);
    if (!isfinite(scale)) /* nothing is left */
        scale = 0.0f;
    about->unit = scale > 0.0f ? 1.0 / scale : 0.0;
    for (size_t c = 0; c < rows->dimension; c++) {
        const float value = row[c] * scale;

        out[c] = (int16_t)(int32_t)(value + (value < 0.0f ? -0.5f : 0.5f));
    }
    memset(out + rows->dimension, 0, (fixed->stride - rows->dimension) * sizeof(*out));
    about->square =
        about->unit * about->unit * ims_map_kernels()->dot_fixed(out, out, fixed->stride);
    if (rows->normalize && fixed->metric->squares[point] == 0.0)
        about->square = NAN;
}

static imgsim_status fill_rows(void *context, size_t item, uint32_t worker)
{
    const struct filling *filling = context;
    const struct ims_map_fixed *fixed = filling->fixed;
    const struct ims_map_rows *rows = fixed->metric->rows;
    const size_t first = item * ROWS;
    const size_t end = first + ROWS < rows->count ? first + ROWS : rows->count;
    float *row = ims_alloc_array(rows->dimension, sizeof(float));

    (void)worker;
    if (row == NULL)
        return ims_fail_memory(rows->dimension * sizeof(float));
    for (size_t point = first; point < end; point++) {
        const size_t place = filling->places[point];

        ims_map_copy_rows(rows, point, 1, row);
        fill_row(filling, row, point, fixed->values + place * fixed->stride, place);
    }
    ims_free(row);
    ims_map_rows_done(rows, first, end - first);
    return IMGSIM_OK;
}

imgsim_status ims_map_fixed_init(
    struct ims_map_fixed *fixed,
    const struct ims_map_metric *metric,
    const uint32_t *points,
    const float *mean,
    uint64_t most_bytes,
    struct ims_pool *pool)
{
    const size_t n = metric->rows->count;
    struct filling filling = {fixed, NULL, mean};
    uint32_t *places;
    imgsim_status status;

    fixed->metric = metric;
    fixed->points = points;
    fixed->stride = ((size_t)metric->rows->dimension + FILL - 1) / FILL * FILL;
    if ((uint64_t)n * fixed->stride * sizeof(int16_t) > most_bytes)
        return IMGSIM_OK;
    places = ims_alloc_array(n, sizeof(uint32_t));
    fixed->values = ims_alloc_aligned(n * fixed->stride * sizeof(int16_t));
    fixed->rows = ims_alloc_array(n, sizeof(*fixed->rows));
    if (places == NULL || fixed->values == NULL || fixed->rows == NULL) {
        ims_free(places);
        return ims_fail_memory(n * fixed->stride * sizeof(int16_t));
    }
    for (size_t place = 0; place < n; place++)
        places[points[place]] = (uint32_t)place;
    filling.places = places;
    status = ims_pool_run(pool, (n + ROWS - 1) / ROWS, fill_rows, &filling);
    ims_free(places);
    return status;
}

void ims_map_fixed_clear(struct ims_map_fixed *fixed)
{
    ims_free_aligned(fixed->values);
    ims_free(fixed->rows);
    memset(fixed, 0, sizeof(*fixed));
}

float ims_map_fixed_distance(const struct ims_map_fixed *fixed, size_t a, size_t b)
{
    const struct ims_map_fixed_row *about_a, *about_b;
    double dot, squares, square;

    if (fixed->values == NULL)
        return ims_map_distance(fixed->metric, fixed->points[a], fixed->points[b]);
    about_a = &fixed->rows[a];
    about_b = &fixed->rows[b];
    dot = about_a->unit * about_b->unit *
          ims_map_kernels()->dot_fixed(
              fixed->values + a * fixed->stride, fixed->values + b * fixed->stride, fixed->stride);
    squares = about_a->square + about_b->square;
    square = squares - 2.0 * dot;
    if (!(square > NEAR * squares))
        return ims_map_distance(fixed->metric, fixed->points[a], fixed->points[b]);
    return (float)(fixed->metric->rows->normalize ? square / 2.0 : sqrt(square));
}
