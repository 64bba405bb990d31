/* SPDX-License-Identifier: Apache-2.0 */
/* Numbering points along the map. */
#include "map/map_order.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

#define ROWS 2048
/* Cells along each side, as powers of 2: two passes of a sort by 11 bits see all of a code. */
#define BITS_PLANE 11
#define BITS_SPACE 7
#define DIGIT_BITS 11

/* ---- the curve ---- */

/* Bits of the coordinates of a cell in turns. */
static uint32_t interleave(const uint32_t *cell, uint32_t dimension, uint32_t bits)
{
    uint32_t code = 0;

    for (uint32_t bit = 0; bit < bits; bit++)
        for (uint32_t c = 0; c < dimension; c++)
            code |= (cell[c] >> bit & 1u) << (bit * dimension + c);
    return code;
}

static void find_codes(const float *positions, size_t count, uint32_t dimension, uint32_t *out)
{
    const uint32_t bits = dimension == 2 ? BITS_PLANE : BITS_SPACE;
    const uint32_t most = (1u << bits) - 1u;
    float low[IMGSIM_MAP_DIMENSION_MAX], high[IMGSIM_MAP_DIMENSION_MAX];

    for (uint32_t c = 0; c < dimension; c++) {
        low[c] = INFINITY;
        high[c] = -INFINITY;
        for (size_t i = 0; i < count; i++) {
            low[c] = fminf(low[c], positions[i * dimension + c]);
            high[c] = fmaxf(high[c], positions[i * dimension + c]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t cell[IMGSIM_MAP_DIMENSION_MAX];

        for (uint32_t c = 0; c < dimension; c++) {
            const double span = (double)high[c] - low[c];
            const double at = ((double)positions[i * dimension + c] - low[c]) / span;

            cell[c] = span > 0.0 ? (uint32_t)(at * most) : 0;
        }
        out[i] = interleave(cell, dimension, bits);
    }
}

/* One stable pass of a radix sort. */
static void sort_digit(
    const uint32_t *codes,
    size_t count,
    uint32_t shift,
    const uint32_t *in,
    uint32_t *out,
    size_t *starts)
{
    const uint32_t mask = (1u << DIGIT_BITS) - 1u;

    memset(starts, 0, ((1u << DIGIT_BITS) + 1) * sizeof(*starts));
    for (size_t i = 0; i < count; i++)
        starts[(codes[i] >> shift & mask) + 1]++;
    for (size_t digit = 0; digit < mask; digit++)
        starts[digit + 1] += starts[digit];
    for (size_t i = 0; i < count; i++) {
        const uint32_t point = in != NULL ? in[i] : (uint32_t)i;

        out[starts[codes[point] >> shift & mask]++] = point;
    }
}

imgsim_status
ims_map_curve(const float *positions, size_t count, uint32_t dimension, uint32_t *out_order)
{
    uint32_t *codes = ims_alloc_array(count, sizeof(uint32_t));
    uint32_t *half = ims_alloc_array(count, sizeof(uint32_t));
    size_t *starts = ims_alloc_array((1u << DIGIT_BITS) + 1, sizeof(size_t));
    imgsim_status status = IMGSIM_OK;

    if (codes == NULL || half == NULL || starts == NULL) {
        status = ims_fail_memory(count * sizeof(uint32_t));
        goto done;
    }
    find_codes(positions, count, dimension, codes);
    sort_digit(codes, count, 0, NULL, half, starts);
    sort_digit(codes, count, DIGIT_BITS, half, out_order, starts);

done:
    ims_free(codes);
    ims_free(half);
    ims_free(starts);
    return status;
}

/* ---- new numbers ---- */

struct renumbering {
    const struct ims_map_edges *from;
    const uint32_t *order;
    uint32_t *numbers; /* new number of each vertex */
    struct ims_map_edges *to;
};

static imgsim_status copy_edges(void *context, size_t item, uint32_t worker)
{
    const struct renumbering *renumbering = context;
    const struct ims_map_edges *from = renumbering->from;
    struct ims_map_edges *to = renumbering->to;
    const size_t first = item * ROWS;
    const size_t end = first + ROWS < from->count ? first + ROWS : from->count;

    (void)worker;
    for (size_t i = first; i < end; i++) {
        const uint64_t begin = from->starts[renumbering->order[i]];
        const size_t length = (size_t)(to->starts[i + 1] - to->starts[i]);

        for (size_t e = 0; e < length; e++)
            to->targets[to->starts[i] + e] = renumbering->numbers[from->targets[begin + e]];
        memcpy(to->weights + to->starts[i], from->weights + begin, length * sizeof(float));
    }
    return IMGSIM_OK;
}

imgsim_status
ims_map_renumber(struct ims_map_edges *edges, const uint32_t *order, struct ims_pool *pool)
{
    const size_t n = edges->count;
    struct ims_map_edges to = {.count = n};
    struct renumbering renumbering = {edges, order, NULL, &to};
    imgsim_status status;

    to.starts = ims_alloc_array(n + 1, sizeof(uint64_t));
    to.targets = ims_alloc_array(edges->starts[n], sizeof(uint32_t));
    to.weights = ims_alloc_array(edges->starts[n], sizeof(float));
    renumbering.numbers = ims_alloc_array(n, sizeof(uint32_t));
    if (to.starts == NULL || to.targets == NULL || to.weights == NULL ||
        renumbering.numbers == NULL) {
        status = ims_fail_memory(edges->starts[n] * sizeof(float));
        goto done;
    }
    to.starts[0] = 0;
    for (size_t i = 0; i < n; i++) {
        renumbering.numbers[order[i]] = (uint32_t)i;
        to.starts[i + 1] = to.starts[i] + edges->starts[order[i] + 1] - edges->starts[order[i]];
    }
    if ((status = ims_pool_run(pool, (n + ROWS - 1) / ROWS, copy_edges, &renumbering)) ==
        IMGSIM_OK) {
        const struct ims_map_edges before = *edges;

        *edges = to;
        to = before;
    }

done:
    ims_map_edges_clear(&to);
    ims_free(renumbering.numbers);
    return status;
}

imgsim_status
ims_map_permute(float *rows, size_t count, size_t width, const uint32_t *order, bool back)
{
    float *copy = ims_alloc_array(count * width, sizeof(float));

    if (copy == NULL)
        return ims_fail_memory(count * width * sizeof(float));
    memcpy(copy, rows, count * width * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        const size_t from = back ? i : order[i], to = back ? order[i] : i;

        memcpy(rows + to * width, copy + from * width, width * sizeof(float));
    }
    ims_free(copy);
    return IMGSIM_OK;
}
