/* SPDX-License-Identifier: Apache-2.0 */
/* Where points lie: positions in 16 bits, their order along a curve, representatives. */
#include "page/pack.h"

#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 65535.0

imgsim_status
ims_quantise(const float *positions, size_t count, uint32_t dimension, struct ims_quantised *out)
{
    double low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {-INFINITY, -INFINITY, -INFINITY};
    double widest = 0;

    for (size_t i = 0; i < count; i++)
        for (uint32_t axis = 0; axis < dimension; axis++) {
            double value = positions[i * dimension + axis];

            if (!isfinite(value))
                return ims_fail(
                    IMGSIM_ERROR_INVALID_ARGUMENT, "point %zu lies at %g, not at a finite place", i,
                    value);
            low[axis] = value < low[axis] ? value : low[axis];
            high[axis] = value > high[axis] ? value : high[axis];
        }
    for (uint32_t axis = 0; axis < dimension; axis++)
        widest = high[axis] - low[axis] > widest ? high[axis] - low[axis] : widest;

    if ((out->values = ims_alloc_array(count, dimension * sizeof(*out->values))) == NULL)
        return ims_fail_memory(count * dimension * sizeof(*out->values));
    out->dimension = dimension;
    out->scale = widest > 0 ? widest / STEPS : 1;
    for (uint32_t axis = 0; axis < dimension; axis++)
        /* The shorter axes lie in the middle of the cube. */
        out->low[axis] = (low[axis] + high[axis]) / 2 - out->scale * (STEPS / 2);
    for (size_t i = 0; i < count; i++)
        for (uint32_t axis = 0; axis < dimension; axis++) {
            double step =
                floor((positions[i * dimension + axis] - out->low[axis]) / out->scale + 0.5);

            step = step > 0 ? step : 0;
            out->values[i * dimension + axis] = (uint16_t)(step < STEPS ? step : STEPS);
        }
    return IMGSIM_OK;
}

void ims_quantised_clear(struct ims_quantised *quantised)
{
    ims_free(quantised->values);
    memset(quantised, 0, sizeof(*quantised));
}

/* ---- the curve ---- */

/* Bits of 16 with a gap after each. */
static uint32_t spread_by_two(uint32_t value)
{
    value = (value | value << 8) & 0x00FF00FF;
    value = (value | value << 4) & 0x0F0F0F0F;
    value = (value | value << 2) & 0x33333333;
    return (value | value << 1) & 0x55555555;
}

/* Bits of 10 with two gaps after each. */
static uint32_t spread_by_three(uint32_t value)
{
    value = (value | value << 16) & 0x030000FF;
    value = (value | value << 8) & 0x0300F00F;
    value = (value | value << 4) & 0x030C30C3;
    return (value | value << 2) & 0x09249249;
}

static uint32_t curve_code(const struct ims_quantised *quantised, size_t point)
{
    const uint16_t *at = quantised->values + point * quantised->dimension;

    if (quantised->dimension == 2)
        return spread_by_two(at[0]) | spread_by_two(at[1]) << 1;
    return spread_by_three(at[0] >> 6) | spread_by_three(at[1] >> 6) << 1 |
           spread_by_three(at[2] >> 6) << 2;
}

/* One pass of a radix sort, by 16 bits of the code, stable. */
static void
sort_pass(const uint64_t *in, uint64_t *out, size_t count, int shift, size_t *starts /* 65536 */)
{
    size_t sum = 0;

    memset(starts, 0, 65536 * sizeof(*starts));
    for (size_t i = 0; i < count; i++)
        starts[in[i] >> shift & 0xFFFF]++;
    for (size_t bucket = 0; bucket < 65536; bucket++) {
        size_t here = starts[bucket];

        starts[bucket] = sum;
        sum += here;
    }
    for (size_t i = 0; i < count; i++)
        out[starts[in[i] >> shift & 0xFFFF]++] = in[i];
}

imgsim_status ims_curve_order(
    const struct ims_quantised *quantised,
    size_t count,
    uint32_t *out_order,
    uint32_t *out_codes)
{
    uint64_t *keys = ims_alloc_array(count, sizeof(*keys));
    uint64_t *other = ims_alloc_array(count, sizeof(*other));
    size_t *starts = ims_alloc_array(65536, sizeof(*starts));
    imgsim_status status = IMGSIM_OK;

    if (keys == NULL || other == NULL || starts == NULL) {
        status = ims_fail_memory(count * sizeof(*keys));
        goto done;
    }
    for (size_t i = 0; i < count; i++)
        keys[i] = (uint64_t)curve_code(quantised, i) << 32 | i;
    sort_pass(keys, other, count, 32, starts);
    sort_pass(other, keys, count, 48, starts);
    for (size_t i = 0; i < count; i++) {
        out_order[i] = (uint32_t)keys[i];
        out_codes[i] = (uint32_t)(keys[i] >> 32);
    }

done:
    ims_free(keys);
    ims_free(other);
    ims_free(starts);
    return status;
}

/* ---- representatives ---- */

/* A cell without one, and the point that may stand for it. */
struct candidate {
    uint32_t place;
    uint32_t population;
};

static int by_population(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->population != y->population)
        return x->population > y->population ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* The place nearest to the mean of the places from `start` to `end`. */
static uint32_t
cell_middle(const struct ims_quantised *quantised, const uint32_t *order, size_t start, size_t end)
{
    uint32_t dimension = quantised->dimension;
    double mean[3] = {0}, best = INFINITY;
    size_t found = start;

    for (size_t i = start; i < end; i++)
        for (uint32_t axis = 0; axis < dimension; axis++)
            mean[axis] += quantised->values[(size_t)order[i] * dimension + axis];
    for (size_t i = start; i < end; i++) {
        double distance = 0;

        for (uint32_t axis = 0; axis < dimension; axis++) {
            double off = quantised->values[(size_t)order[i] * dimension + axis] -
                         mean[axis] / (double)(end - start);

            distance += off * off;
        }
        if (distance < best) {
            best = distance;
            found = i;
        }
    }
    return (uint32_t)found;
}

/* The cells of a level that nobody stands for. */
static size_t level_candidates(
    const struct ims_quantised *quantised,
    const uint32_t *order,
    const uint32_t *codes,
    size_t count,
    int shift,
    const uint8_t *taken,
    struct candidate *candidates)
{
    size_t found = 0, end;

    for (size_t start = 0; start < count; start = end) {
        bool has_one = taken[start] != 0;
        uint32_t cell = shift < 32 ? codes[start] >> shift : 0;

        for (end = start + 1; end < count && (shift < 32 ? codes[end] >> shift : 0) == cell; end++)
            has_one = has_one || taken[end] != 0;
        if (!has_one) {
            candidates[found].place = cell_middle(quantised, order, start, end);
            candidates[found++].population = (uint32_t)(end - start);
        }
    }
    return found;
}

imgsim_status ims_representatives(
    const struct ims_quantised *quantised,
    const uint32_t *order,
    const uint32_t *codes,
    size_t count,
    size_t wanted,
    uint32_t *out_places,
    size_t *out_count)
{
    int bits = (int)quantised->dimension, top = quantised->dimension == 2 ? 32 : 30;
    uint8_t *taken = ims_calloc(count, 1);
    struct candidate *candidates = ims_alloc_array(count, sizeof(*candidates));
    size_t used = 0;
    imgsim_status status = IMGSIM_OK;

    if (taken == NULL || candidates == NULL) {
        status = ims_fail_memory(count * sizeof(*candidates));
        goto done;
    }
    for (int shift = top; shift >= 0 && used < wanted; shift -= bits) {
        size_t found = level_candidates(quantised, order, codes, count, shift, taken, candidates);

        qsort(candidates, found, sizeof(*candidates), by_population);
        for (size_t i = 0; i < found && used < wanted; i++) {
            taken[candidates[i].place] = 1;
            out_places[used++] = candidates[i].place;
        }
    }
    /* Points at one place share the finest cell; the rest follow in order. */
    for (size_t i = 0; i < count && used < wanted; i++)
        if (!taken[i])
            out_places[used++] = (uint32_t)i;
    *out_count = used;

done:
    ims_free(taken);
    ims_free(candidates);
    return status;
}
