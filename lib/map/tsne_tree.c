/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repulsion in space by a tree: Barnes & Hut, Nature 324, 1986; for t-SNE van der Maaten, JMLR 15, 2014. A cell of size s at distance
 * r counts as one charge when s / r < THETA.
 *
 * Departure: points are sorted by Morton code and sixteen neighbours in that order go through the tree together; a cell is opened
 * as soon as one of them is too near. That is at least as exact as one walk per point.
 */
#include "map/tsne_repulsion.h"

#include "core/memory.h"
#include "map/map_kernels.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define THETA 0.5f
/* Bits of a Morton code along each axis, and points of a leaf. */
#define BITS 16
#define LEAF 8
#define TASK_GROUPS 64

struct sorted {
    uint64_t code;
    uint32_t point;
    uint32_t reserved;
};

struct ims_tree {
    struct sorted *sorted;
    struct sorted *spare;
    size_t sorted_room, spare_room;
    struct ims_bh_cell *cells; /* depth first */
    size_t cell_room;
    size_t cell_count;
    float *charges; /* points in order of the tree, x 3 */
    size_t charge_room;
    size_t charge_count;
    double low[3];
    double size;
    /* Work of a call. */
    const float *positions;
    size_t count;
    float *forces;
    double *totals;
    bool per_point;
};

imgsim_status ims_tree_new(struct ims_tree **out_tree)
{
    *out_tree = ims_calloc(1, sizeof(**out_tree));
    return *out_tree != NULL ? IMGSIM_OK : ims_fail_memory(sizeof(**out_tree));
}

void ims_tree_free(struct ims_tree *tree)
{
    if (tree == NULL)
        return;
    ims_free(tree->sorted);
    ims_free(tree->spare);
    ims_free(tree->cells);
    ims_free(tree->charges);
    ims_free(tree);
}

/* ---- order ---- */

static uint64_t spread_bits(uint64_t value)
{
    uint64_t out = 0;

    for (int bit = 0; bit < BITS; bit++)
        out |= (value >> bit & 1) << (3 * bit);
    return out;
}

static uint64_t code_of(const struct ims_tree *tree, const float *position)
{
    uint64_t code = 0;

    for (int axis = 0; axis < 3; axis++) {
        const double at = (position[axis] - tree->low[axis]) / tree->size * (1 << BITS);
        const double inside = at < 0.0 ? 0.0 : fmin(at, (1 << BITS) - 1);

        code |= spread_bits((uint64_t)inside) << axis;
    }
    return code;
}

/* Least significant digit first, 12 bits at a time: equal codes keep the order of their points. */
static void sort_codes(struct sorted **codes, struct sorted **spare, size_t count)
{
    size_t starts[4097];

    for (int shift = 0; shift < 3 * BITS; shift += 12) {
        struct sorted *from = *codes, *to = *spare;

        memset(starts, 0, sizeof(starts));
        for (size_t i = 0; i < count; i++)
            starts[(from[i].code >> shift & 4095) + 1]++;
        for (size_t d = 0; d < 4096; d++)
            starts[d + 1] += starts[d];
        for (size_t i = 0; i < count; i++)
            to[starts[from[i].code >> shift & 4095]++] = from[i];
        *codes = to;
        *spare = from;
    }
}

static bool sort_points(struct ims_tree *tree, const float *positions, size_t count)
{
    if (!ims_grow((void **)&tree->sorted, &tree->sorted_room, count, sizeof(*tree->sorted)) ||
        !ims_grow((void **)&tree->spare, &tree->spare_room, count, sizeof(*tree->spare)))
        return false;
    for (size_t i = 0; i < count; i++)
        tree->sorted[i] = (struct sorted){code_of(tree, positions + i * 3), (uint32_t)i, 0};
    sort_codes(&tree->sorted, &tree->spare, count);
    return true;
}

static void fit_box(struct ims_tree *tree, const float *positions, size_t count)
{
    double high[3] = {-INFINITY, -INFINITY, -INFINITY};

    tree->size = 0.0;
    for (int axis = 0; axis < 3; axis++) {
        tree->low[axis] = INFINITY;
        for (size_t i = 0; i < count; i++) {
            tree->low[axis] = fmin(tree->low[axis], positions[i * 3 + axis]);
            high[axis] = fmax(high[axis], positions[i * 3 + axis]);
        }
        tree->size = fmax(tree->size, high[axis] - tree->low[axis]);
    }
    tree->size = fmax(tree->size * 1.0001, 1e-12);
}

/* ---- cells ---- */

/* Cells of the points first to end - 1, which share the code above `level` groups of three bits. */
static bool build(struct ims_tree *tree, size_t first, size_t end, int level)
{
    const size_t own = tree->cell_count++;
    double sums[3] = {0.0};
    size_t at = first;

    if (!ims_grow((void **)&tree->cells, &tree->cell_room, own + 1, sizeof(*tree->cells)))
        return false;
    for (size_t i = first; i < end; i++)
        for (int axis = 0; axis < 3; axis++)
            sums[axis] += tree->charges[i * 3 + (size_t)axis];
    for (int axis = 0; axis < 3; axis++)
        tree->cells[own].centre[axis] = (float)(sums[axis] / (double)(end - first));
    tree->cells[own].mass = (float)(end - first);
    tree->cells[own].reach = (float)pow(tree->size / pow(2.0, BITS - level) / (double)THETA, 2.0);
    tree->cells[own].first = (uint32_t)first;
    tree->cells[own].leaf = end - first <= LEAF || level == 0 ? (uint32_t)(end - first) : 0;
    while (tree->cells[own].leaf == 0 && at < end) {
        const uint64_t digit = tree->sorted[at].code >> (3 * (level - 1));
        size_t next = at;

        while (next < end && tree->sorted[next].code >> (3 * (level - 1)) == digit)
            next++;
        if (!build(tree, at, next, level - 1))
            return false;
        at = next;
    }
    tree->cells[own].skip = (uint32_t)tree->cell_count;
    return true;
}

static imgsim_status make_tree(struct ims_tree *tree, const float *positions, size_t count)
{
    fit_box(tree, positions, count);
    if (!sort_points(tree, positions, count) ||
        !ims_grow((void **)&tree->charges, &tree->charge_room, count * 3, sizeof(float)))
        return ims_fail_memory(count * sizeof(struct sorted));
    for (size_t i = 0; i < count; i++)
        memcpy(
            tree->charges + i * 3, positions + (size_t)tree->sorted[i].point * 3,
            3 * sizeof(float));
    tree->charge_count = count;
    tree->cell_count = 0;
    return build(tree, 0, count, BITS) ? IMGSIM_OK : ims_fail_memory(sizeof(*tree->cells));
}

/* ---- fields ---- */

static imgsim_status walk_groups(void *context, size_t item, uint32_t worker)
{
    struct ims_tree *tree = context;
    const size_t first = item * TASK_GROUPS * IMS_LANES;
    const size_t end = first + TASK_GROUPS * IMS_LANES < tree->count
                           ? first + TASK_GROUPS * IMS_LANES
                           : tree->count;
    double total = 0.0;

    (void)worker;
    for (size_t at = first; at < end; at += IMS_LANES) {
        const size_t used = end - at < IMS_LANES ? end - at : IMS_LANES;
        float y[3][IMS_LANES], fields[4][IMS_LANES];

        for (size_t l = 0; l < IMS_LANES; l++)
            for (size_t axis = 0; axis < 3; axis++)
                y[axis][l] =
                    tree->positions[(size_t)tree->sorted[at + (l < used ? l : 0)].point * 3 + axis];
        ims_map_kernels()->tree_walk(tree->cells, tree->cell_count, tree->charges, y, fields);
        for (size_t l = 0; l < used; l++) {
            const size_t point = tree->sorted[at + l].point;

            for (size_t axis = 0; axis < 3; axis++)
                tree->forces[point * 3 + axis] = fields[axis][l];
            total += fields[3][l];
            if (tree->per_point)
                tree->totals[point] = fields[3][l];
        }
    }
    if (!tree->per_point)
        tree->totals[item] = total;
    return IMGSIM_OK;
}

static imgsim_status run_groups(struct ims_tree *tree, struct ims_pool *pool, size_t *out_tasks)
{
    const size_t points = TASK_GROUPS * IMS_LANES;

    *out_tasks = (tree->count + points - 1) / points;
    return ims_pool_run(pool, *out_tasks, walk_groups, tree);
}

imgsim_status ims_tree_repulsion(
    struct ims_tree *tree,
    struct ims_pool *pool,
    const float *positions,
    size_t count,
    float *out_forces,
    double *out_total)
{
    double *totals = ims_alloc_array(count / IMS_LANES + 1, sizeof(double));
    imgsim_status status;
    size_t tasks = 0;

    *out_total = 0.0;
    if (totals == NULL)
        return ims_fail_memory(count * sizeof(double));
    tree->positions = positions;
    tree->count = count;
    tree->forces = out_forces;
    tree->totals = totals;
    tree->per_point = false;
    if ((status = make_tree(tree, positions, count)) == IMGSIM_OK &&
        (status = run_groups(tree, pool, &tasks)) == IMGSIM_OK)
        for (size_t i = 0; i < tasks; i++)
            *out_total += totals[i];
    *out_total -= (double)count; /* each point's own part, which leaves give exactly */
    ims_free(totals);
    return status;
}

imgsim_status ims_tree_fields_at(
    struct ims_tree *tree,
    struct ims_pool *pool,
    const float *positions,
    size_t count,
    float *out_forces,
    double *out_totals)
{
    size_t tasks;

    if (!sort_points(tree, positions, count))
        return ims_fail_memory(count * sizeof(struct sorted));
    tree->positions = positions;
    tree->count = count;
    tree->forces = out_forces;
    tree->totals = out_totals;
    tree->per_point = true;
    return run_groups(tree, pool, &tasks);
}
