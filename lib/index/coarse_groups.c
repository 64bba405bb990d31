/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bins are merged: boxes of the colour cube, halved where most of the mass lies.
 *
 * The splitting is that of a k-d tree (Bentley, CACM 18(9), 1975) by weight, heaviest box first, as in median cut (Heckbert,
 * SIGGRAPH 1982): along the axis of largest variance, at the weighted median. Where the number of bins is no cube, the bins are
 * taken as a line.
 */
#include "index/coarse.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

struct box {
    uint32_t low[3], high[3]; /* bins from low to before high */
    uint32_t parent;          /* group of the first level */
    double weight;
    bool whole; /* it cannot be split */
};

struct cube {
    const double *weights;
    uint32_t side[3];
};

static uint32_t bin_at(const struct cube *cube, uint32_t x, uint32_t y, uint32_t z)
{
    return (x * cube->side[1] + y) * cube->side[2] + z;
}

static struct cube cube_of(const double *weights, uint32_t dimension)
{
    const uint32_t side = (uint32_t)lround(cbrt(dimension));

    if (side > 1 && side * side * side == dimension)
        return (struct cube){weights, {side, side, side}};
    return (struct cube){weights, {1, 1, dimension}};
}

/* Weight of each layer of a box along an axis. */
static void add_layers(const struct cube *cube, const struct box *box, int axis, double *layers)
{
    memset(layers, 0, (box->high[axis] - box->low[axis]) * sizeof(*layers));
    for (uint32_t x = box->low[0]; x < box->high[0]; x++)
        for (uint32_t y = box->low[1]; y < box->high[1]; y++)
            for (uint32_t z = box->low[2]; z < box->high[2]; z++) {
                const uint32_t at[3] = {x, y, z};

                layers[at[axis] - box->low[axis]] += cube->weights[bin_at(cube, x, y, z)];
            }
}

static double variance(const double *layers, uint32_t count)
{
    double sum = 0, first = 0, second = 0;

    for (uint32_t i = 0; i < count; i++) {
        sum += layers[i];
        first += layers[i] * i;
        second += layers[i] * i * i;
    }
    return sum > 0 ? second / sum - first / sum * (first / sum) : 0;
}

/* Where the layers are cut: after the one that reaches half the weight, both sides keeping one. */
static uint32_t median(const double *layers, uint32_t count)
{
    double half = 0, sum = 0;
    uint32_t at = 0;

    for (uint32_t i = 0; i < count; i++)
        half += layers[i] / 2;
    while (at + 1 < count && sum + layers[at] < half)
        sum += layers[at++];
    at += 1;
    return at < count ? at : count - 1;
}

/* Halve a box; the upper half goes to `upper`. `layers` has room for two axes. */
static void split(const struct cube *cube, struct box *box, struct box *upper, double *layers)
{
    double best = -1;
    int best_axis = 0;
    uint32_t cut = 0;

    for (int axis = 0; axis < 3; axis++) {
        const uint32_t count = box->high[axis] - box->low[axis];
        double spread;

        if (count < 2)
            continue;
        add_layers(cube, box, axis, layers);
        spread = variance(layers, count);
        if (spread > best) {
            best = spread;
            best_axis = axis;
            cut = median(layers, count);
        }
    }
    *upper = *box;
    box->high[best_axis] = box->low[best_axis] + cut;
    upper->low[best_axis] = box->high[best_axis];
}

static void weigh(const struct cube *cube, struct box *box)
{
    box->weight = 0;
    box->whole = true;
    for (int axis = 0; axis < 3; axis++)
        box->whole = box->whole && box->high[axis] - box->low[axis] < 2;
    for (uint32_t x = box->low[0]; x < box->high[0]; x++)
        for (uint32_t y = box->low[1]; y < box->high[1]; y++)
            for (uint32_t z = box->low[2]; z < box->high[2]; z++)
                box->weight += cube->weights[bin_at(cube, x, y, z)];
}

/* Split the heaviest boxes until there are `count`; returns how many there are. */
static uint32_t
split_to(const struct cube *cube, struct box *boxes, uint32_t have, uint32_t count, double *layers)
{
    while (have < count) {
        uint32_t heaviest = have;

        for (uint32_t i = 0; i < have; i++)
            if (!boxes[i].whole && (heaviest == have || boxes[i].weight > boxes[heaviest].weight))
                heaviest = i;
        if (heaviest == have)
            break;
        split(cube, &boxes[heaviest], &boxes[have], layers);
        weigh(cube, &boxes[heaviest]);
        weigh(cube, &boxes[have]);
        have++;
    }
    return have;
}

imgsim_status ims_coarse_merge(
    const double *weights,
    uint32_t dimension,
    uint32_t counts[IMS_COARSE_LEVELS],
    uint16_t *const group_of[IMS_COARSE_LEVELS])
{
    const struct cube cube = cube_of(weights, dimension);
    struct box *boxes = ims_calloc(counts[1], sizeof(*boxes));
    double *layers = ims_alloc_array(dimension, sizeof(*layers));
    imgsim_status status = IMGSIM_OK;

    if (boxes == NULL || layers == NULL) {
        status = ims_fail_memory(dimension * sizeof(*layers));
        goto done;
    }
    memcpy(boxes[0].high, cube.side, sizeof(cube.side));
    weigh(&cube, &boxes[0]);
    counts[0] = split_to(&cube, boxes, 1, counts[0], layers);
    for (uint32_t i = 0; i < counts[0]; i++)
        boxes[i].parent = i;
    counts[1] = split_to(&cube, boxes, counts[0], counts[1], layers);

    for (uint32_t i = 0; i < counts[1]; i++)
        for (uint32_t x = boxes[i].low[0]; x < boxes[i].high[0]; x++)
            for (uint32_t y = boxes[i].low[1]; y < boxes[i].high[1]; y++)
                for (uint32_t z = boxes[i].low[2]; z < boxes[i].high[2]; z++) {
                    group_of[0][bin_at(&cube, x, y, z)] = (uint16_t)boxes[i].parent;
                    group_of[1][bin_at(&cube, x, y, z)] = (uint16_t)i;
                }

done:
    ims_free(boxes);
    ims_free(layers);
    return status;
}
