/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Area means of luma, the input of perceptual hashes. Everything is an integer until the last division, so the result is the
 * correctly rounded one on every machine: in units of 1/height of an input row each output row is image->height high, and
 * likewise for columns, so that overlaps are whole numbers.
 */
#include "image/image.h"

#include "core/memory.h"
#include "image/pixels.h"

#include <string.h>

/* Which input pixels lie in output cell c of `cells` in one direction: it covers c * input .. (c + 1) * input, pixel i i * cells .. */
static struct ims_cell make_cell(uint64_t c, uint64_t input, uint64_t cells)
{
    uint64_t from = c * input, to = from + input, at = from / cells;
    struct ims_cell cell = {.start = (uint32_t)at, .whole = (uint32_t)cells};

    if (at * cells < from) {
        uint64_t end = (at + 1) * cells < to ? (at + 1) * cells : to;

        cell.first = (uint32_t)(end - from);
        at++;
    }
    if (at * cells < to) {
        cell.count = (uint32_t)((to - at * cells) / cells);
        cell.last = (uint32_t)((to - at * cells) % cells);
    }
    return cell;
}

/* As the kernel sum_cell, for cells of more rows than whose sum fits into 16 bits. */
static void sum_many_rows(
    const imgsim_image *image,
    const struct ims_cell *cell,
    uint16_t *part,
    uint32_t *sums)
{
    const struct ims_pixel_kernels *kernels = ims_pixel_kernels();
    size_t row_size = (size_t)image->width * 3;
    const uint8_t *row = image->pixels + cell->start * row_size;

    memset(sums, 0, row_size * sizeof(*sums));
    for (uint32_t i = 0; i < (cell->first > 0); i++, row += row_size) {
        kernels->sum_rows(row, row_size, 1, row_size, part);
        kernels->add_weighted(part, cell->first, row_size, sums);
    }
    for (size_t left = cell->count, now; left > 0; left -= now, row += now * row_size) {
        now = left < IMS_SUM_ROWS_MAX ? left : IMS_SUM_ROWS_MAX;
        kernels->sum_rows(row, row_size, now, row_size, part);
        kernels->add_weighted(part, cell->whole, row_size, sums);
    }
    if (cell->last > 0) {
        kernels->sum_rows(row, row_size, 1, row_size, part);
        kernels->add_weighted(part, cell->last, row_size, sums);
    }
}

/* Three channels and one that is ignored. */
typedef uint32_t channels __attribute__((vector_size(16)));

static channels load_channels(const uint32_t *from)
{
    channels loaded;

    memcpy(&loaded, from, sizeof(loaded));
    return loaded;
}

/* rgb += weight * (the sum of `count` columns), of which `most` are known to fit into 32 bits. */
static inline void
add_columns(const uint32_t *column, size_t count, size_t most, uint32_t weight, uint64_t rgb[3])
{
    for (size_t end = 0, i = 0; i < count;) {
        channels sum = {0};

        end = count - end < most ? count : end + most;
        for (; i < end; i++, column += 3)
            sum += load_channels(column);
        for (int c = 0; c < 3; c++)
            rgb[c] += (uint64_t)sum[c] * weight;
    }
}

/*
 * One row of cells from the columns' sums, each up to 255 * image->height: the columns of a cell are added up, luma is taken once.
 * It is that of Rec. 601 with 16 bits after the point; the weights sum to 65536.
 */
static void mean_cells(
    const imgsim_image *image,
    const uint32_t *sums,
    const struct ims_cell *cells,
    uint32_t width,
    float *out)
{
    const double area = (double)image->width * image->height * 65536.0;
    const size_t most = UINT32_MAX / (UINT32_C(255) * image->height);

    for (uint32_t x = 0; x < width; x++) {
        const struct ims_cell *cell = &cells[x];
        const uint32_t *column = sums + (size_t)cell->start * 3;
        uint64_t rgb[3] = {0};

        if (cell->first > 0) {
            add_columns(column, 1, 1, cell->first, rgb);
            column += 3;
        }
        add_columns(column, cell->count, most, cell->whole, rgb);
        if (cell->last > 0)
            add_columns(column + 3 * (size_t)cell->count, 1, 1, cell->last, rgb);
        out[x] = (float)((double)(19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2]) / area);
    }
}

imgsim_status
ims_resample_grey(const imgsim_image *image, uint32_t width, uint32_t height, float *out_values)
{
    const struct ims_pixel_kernels *kernels = ims_pixel_kernels();
    size_t row_size = (size_t)image->width * 3;
    struct ims_cell *cells = ims_alloc_array(width, sizeof(*cells));
    /* One more: a pixel's three are loaded as four. */
    uint32_t *sums = ims_alloc_array(row_size + 1, sizeof(*sums) + sizeof(uint16_t));

    if (cells == NULL || sums == NULL) {
        ims_free(cells);
        ims_free(sums);
        return ims_fail_memory(row_size * (sizeof(*sums) + sizeof(uint16_t)));
    }
    for (uint32_t x = 0; x < width; x++)
        cells[x] = make_cell(x, image->width, width);
    sums[row_size] = 0;
    for (uint32_t y = 0; y < height; y++) {
        const struct ims_cell rows = make_cell(y, image->height, height);

        if (rows.count <= IMS_SUM_ROWS_MAX && height <= IMS_CELL_WHOLE_MAX)
            kernels->sum_cell(
                image->pixels + rows.start * row_size, row_size, &rows, row_size, sums);
        else
            sum_many_rows(image, &rows, (uint16_t *)(sums + row_size + 1), sums);
        mean_cells(image, sums, cells, width, out_values + (size_t)y * width);
    }
    ims_free(cells);
    ims_free(sums);
    return IMGSIM_OK;
}
