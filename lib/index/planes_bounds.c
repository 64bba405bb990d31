/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds of keys by planes, for other rooms: searches that add up the keys of several indexes. */
#include "index/planes.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

/* Rows bounded at a time; a multiple of a block's. */
#define BOUNDS_ROWS 256

struct ims_bounds {
    const imgsim_index *index;
    const struct ims_planes *planes;
    float *row; /* the query, after R for Mahalanobis */
    struct ims_prepared_query prepared;
    struct ims_plane_target target;
};

void ims_bounds_free(struct ims_bounds *bounds)
{
    if (bounds == NULL)
        return;
    ims_plane_target_clear(&bounds->target);
    ims_prepared_query_clear(&bounds->prepared);
    ims_free(bounds->row);
    ims_free(bounds);
}

static imgsim_status prepare(struct ims_bounds *bounds, const float *query)
{
    const imgsim_index *index = bounds->index;
    imgsim_status status;

    if ((bounds->row = ims_alloc_array(index->dimension, sizeof(float))) == NULL)
        return ims_fail_memory(index->dimension * sizeof(float));
    if (index->factor == NULL)
        memcpy(bounds->row, query, index->dimension * sizeof(float));
    else if ((status = ims_index_transform(index, NULL, query, 1, bounds->row)) != IMGSIM_OK)
        return status;
    if ((status = ims_prepare(index, bounds->row, &bounds->prepared)) != IMGSIM_OK)
        return status;
    return ims_plane_target_init(index, bounds->planes, &bounds->prepared, &bounds->target);
}

imgsim_status
ims_bounds_new(const imgsim_index *index, const float *query, struct ims_bounds **out_bounds)
{
    struct ims_pool *pool;
    imgsim_status status;

    *out_bounds = NULL;
    if (!ims_index_wants_planes(index))
        return IMGSIM_OK;
    if ((status = ims_index_check_floats(index, "query", query, 1, NULL)) != IMGSIM_OK ||
        (status = ims_index_pool(index, &pool)) != IMGSIM_OK)
        return status;
    return ims_bounds_by_planes(index, query, pool, out_bounds);
}

imgsim_status ims_bounds_by_planes(
    const imgsim_index *index,
    const float *query,
    struct ims_pool *pool,
    struct ims_bounds **out_bounds)
{
    struct ims_bounds *bounds;
    imgsim_status status;

    *out_bounds = NULL;
    if ((status = ims_planes_prepare(index, pool)) != IMGSIM_OK)
        return status;
    if (index->planes == NULL)
        return IMGSIM_OK;
    if ((bounds = ims_calloc(1, sizeof(*bounds))) == NULL)
        return ims_fail_memory(sizeof(*bounds));
    bounds->index = index;
    bounds->planes = index->planes;
    if ((status = prepare(bounds, query)) != IMGSIM_OK || !bounds->target.usable) {
        ims_bounds_free(bounds);
        return status;
    }
    *out_bounds = bounds;
    return IMGSIM_OK;
}

size_t ims_bounds_slot_count(const struct ims_bounds *bounds)
{
    return bounds->planes->slot_count;
}

int64_t ims_bounds_id(const struct ims_bounds *bounds, uint32_t slot)
{
    return ims_rows_id(&bounds->index->rows, slot);
}

uint32_t ims_bounds_slot(const struct ims_bounds *bounds, int64_t id)
{
    return ims_rows_find(&bounds->index->rows, id);
}

static double key_bound(const struct ims_bounds *bounds, float lower)
{
    return isnan(lower) ? -INFINITY : ims_plane_key(&bounds->target, lower);
}

void ims_bounds_block(
    const struct ims_bounds *bounds,
    size_t first,
    size_t count,
    double *out_lower)
{
    const struct ims_plane *plane = &bounds->planes->planes[0];
    float lower[BOUNDS_ROWS], least[IMS_PLANE_ROWS];

    for (size_t at = 0; at < count; at += BOUNDS_ROWS) {
        const size_t rows = count - at < BOUNDS_ROWS ? count - at : BOUNDS_ROWS;

        ims_kernels()->plane_scan(
            plane->data + (first + at) * plane->record,
            (rows + IMS_PLANE_ROWS - 1) / IMS_PLANE_ROWS, plane->axes, &bounds->target.planes[0],
            lower, least);
        for (size_t i = 0; i < rows; i++)
            out_lower[at + i] = key_bound(bounds, lower[i]);
    }
}

/* Bound of one row by the first plane, from its block. */
static float first_bound(const struct ims_bounds *bounds, uint32_t slot)
{
    const struct ims_plane *plane = &bounds->planes->planes[0];
    const size_t row = slot % IMS_PLANE_ROWS;
    float lower[IMS_PLANE_ROWS], least[IMS_PLANE_ROWS];

    ims_kernels()->plane_scan(
        plane->data + (slot - row) * plane->record, 1, plane->axes, &bounds->target.planes[0],
        lower, least);
    return lower[row];
}

imgsim_status ims_bounds_refine(
    const struct ims_bounds *bounds,
    const uint32_t *slots,
    size_t count,
    double limit,
    double *out_lower)
{
    struct ims_plane_list list = {0};
    uint32_t left[BOUNDS_ROWS]; /* positions of the list's rows in the caller's */

    if (!ims_plane_list_reserve(&list, BOUNDS_ROWS))
        return ims_fail_memory(BOUNDS_ROWS * sizeof(float));
    for (size_t at = 0; at < count; at += BOUNDS_ROWS) {
        const size_t rows = count - at < BOUNDS_ROWS ? count - at : BOUNDS_ROWS;

        list.count = 0;
        for (size_t i = 0; i < rows; i++) {
            const float bound = first_bound(bounds, slots[at + i]);

            out_lower[at + i] = key_bound(bounds, bound);
            if (out_lower[at + i] > limit)
                continue;
            left[list.count] = (uint32_t)i;
            list.slots[list.count] = slots[at + i];
            list.lower[list.count] = bound;
            list.estimates[list.count++] =
                bound + bounds->target.planes[0].tail_factor *
                            ims_plane_first_tail(bounds->planes, slots[at + i]);
        }
        for (uint32_t which = 1; which < bounds->planes->count; which++) {
            size_t kept = 0;

            ims_plane_pass(bounds->planes, &bounds->target, which, INFINITY, &list, 0);
            for (size_t i = 0; i < list.count; i++) {
                double *out = &out_lower[at + left[i]];

                *out = fmax(*out, key_bound(bounds, list.lower[i]));
                if (*out > limit)
                    continue;
                left[kept] = left[i];
                list.slots[kept] = list.slots[i];
                list.lower[kept] = list.lower[i];
                list.estimates[kept++] = list.estimates[i];
            }
            list.count = kept;
        }
    }
    ims_plane_list_clear(&list);
    return IMGSIM_OK;
}

uint32_t ims_bounds_planes(const struct ims_bounds *bounds)
{
    return bounds->planes->count;
}

size_t ims_bounds_plane_size(const struct ims_bounds *bounds, uint32_t plane)
{
    return bounds->planes->planes[plane].record;
}

void ims_bounds_scan(const struct ims_bounds *bounds, size_t first, size_t count, float *out_scores)
{
    const struct ims_plane *plane = &bounds->planes->planes[0];
    const size_t whole = count / IMS_PLANE_ROWS, rest = count % IMS_PLANE_ROWS;
    const uint8_t *blocks = plane->data + first * plane->record;
    float last[IMS_PLANE_ROWS], least[IMS_PLANE_ROWS];

    ims_kernels()->plane_scan(
        blocks, whole, plane->axes, &bounds->target.planes[0], out_scores, least);
    if (rest == 0)
        return;
    ims_kernels()->plane_scan(
        blocks + whole * IMS_PLANE_ROWS * plane->record, 1, plane->axes, &bounds->target.planes[0],
        last, least);
    memcpy(out_scores + whole * IMS_PLANE_ROWS, last, rest * sizeof(*last));
}

void ims_bounds_sharpen(
    const struct ims_bounds *bounds,
    uint32_t plane,
    const uint32_t *slots,
    size_t count,
    float *state,
    float *scores)
{
    uint32_t same[BOUNDS_ROWS];
    float lower[BOUNDS_ROWS];

    for (size_t at = 0; at < count; at += BOUNDS_ROWS) {
        struct ims_plane_list list = {.slots = same, .estimates = state + at, .lower = lower};

        list.count = list.capacity = count - at < BOUNDS_ROWS ? count - at : BOUNDS_ROWS;
        memcpy(same, slots + at, list.count * sizeof(*same));
        for (size_t i = 0; plane == 1 && i < list.count; i++)
            __builtin_prefetch(ims_plane_first_tail_at(bounds->planes, same[i]));
        for (size_t i = 0; plane == 1 && i < list.count; i++)
            state[at + i] = scores[at + i] + bounds->target.planes[0].tail_factor *
                                                 ims_plane_first_tail(bounds->planes, same[i]);
        ims_plane_pass(bounds->planes, &bounds->target, plane, INFINITY, &list, 0);
        for (size_t i = 0; i < list.count; i++)
            if (lower[i] > scores[at + i])
                scores[at + i] = lower[i];
    }
}

void ims_bounds_key_terms(const struct ims_bounds *bounds, double *out_factor, double *out_addend)
{
    *out_factor = 1 / bounds->target.threshold_factor;
    *out_addend = -bounds->target.threshold_addend / bounds->target.threshold_factor;
}

void ims_bounds_keys(
    const struct ims_bounds *bounds,
    const uint32_t *slots,
    size_t count,
    double *out_keys)
{
    for (size_t i = 0; i < count; i++)
        out_keys[i] = ims_exact_key(bounds->index, &bounds->prepared, slots[i]);
}
