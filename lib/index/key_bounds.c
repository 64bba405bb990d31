/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds of the keys of one query for searches that add up several indexes: any metric but the host's. */
#include "index/coarse.h"
#include "index/planes.h"

#include "core/memory.h"
#include "simd/metric.h"

#include <math.h>
#include <string.h>

/* Searches of mapped rows from which on the planes of histograms are made: one alone goes without. */
#define ASKED_FROM 4
/* The same for planes of floats, which take longer to make. */
#define ASKED_FROM_FLOATS 8
/* Rows bounded by planes at a time. */
#define PLANE_BLOCK 64

struct ims_key_bounds {
    const imgsim_index *index;
    float *changed; /* the query after R, Mahalanobis */
    struct ims_prepared_query prepared;
    struct ims_coarse_query coarse;
    struct ims_bounds *planes; /* floats; NULL where there are none */
};

void ims_key_bounds_free(struct ims_key_bounds *bounds)
{
    if (bounds == NULL)
        return;
    ims_prepared_query_clear(&bounds->prepared);
    ims_coarse_query_clear(&bounds->coarse);
    ims_bounds_free(bounds->planes);
    ims_free(bounds->changed);
    ims_free(bounds);
}

/* The query after R, where rows are kept so. */
static imgsim_status change_query(struct ims_key_bounds *bounds, const void **query)
{
    const imgsim_index *index = bounds->index;

    if (index->factor == NULL)
        return IMGSIM_OK;
    if ((bounds->changed = ims_alloc_array(index->dimension, sizeof(float))) == NULL)
        return ims_fail_memory(index->dimension * sizeof(float));
    imgsim_status status = ims_index_transform(index, NULL, *query, 1, bounds->changed);
    *query = bounds->changed;
    return status;
}

static imgsim_status
prepare_coarse(struct ims_key_bounds *bounds, const void *query, struct ims_pool *pool)
{
    imgsim_status status;
    const imgsim_index *index = bounds->index;
    const uint64_t asked = atomic_fetch_add(&((imgsim_index *)index)->asked, 1) + 1;

    if (index->rows.form == IMS_ROWS_FLOAT && index->factor == NULL &&
        ims_metric_has_planes(index->metric) && index->rows.live_count >= IMS_PLANES_ROWS)
        return asked < ASKED_FROM_FLOATS
                   ? IMGSIM_OK
                   : ims_bounds_by_planes(index, query, pool, &bounds->planes);
    if (!ims_coarse_serves(index) || index->rows.live_count < IMS_COARSE_ROWS ||
        (index->coarse == NULL && asked < ASKED_FROM))
        return IMGSIM_OK;
    if ((status = ims_coarse_ready(index, pool)) != IMGSIM_OK)
        return status;
    return ims_coarse_prepare(index, &bounds->prepared, &bounds->coarse);
}

imgsim_status ims_key_bounds_new(
    const imgsim_index *index,
    const void *query,
    struct ims_pool *pool,
    struct ims_key_bounds **out_bounds)
{
    imgsim_status status;
    struct ims_key_bounds *bounds = ims_calloc(1, sizeof(*bounds));

    *out_bounds = NULL;
    if (bounds == NULL)
        return ims_fail_memory(sizeof(*bounds));
    bounds->index = index;
    if ((status = change_query(bounds, &query)) != IMGSIM_OK ||
        (status = ims_prepare(index, query, &bounds->prepared)) != IMGSIM_OK ||
        (index->rows.form != IMS_ROWS_BITS &&
         (status = ims_index_sums(index, pool)) != IMGSIM_OK) ||
        (status = prepare_coarse(bounds, query, pool)) != IMGSIM_OK) {
        ims_key_bounds_free(bounds);
        return status;
    }
    *out_bounds = bounds;
    return IMGSIM_OK;
}

bool ims_key_bounds_are_keys(const struct ims_key_bounds *bounds)
{
    return ims_estimates_are_keys(bounds->index);
}

bool ims_key_bounds_has_coarse(const struct ims_key_bounds *bounds)
{
    return bounds->coarse.usable || bounds->planes != NULL;
}

/* Key that a score leaves possible, two steps of a float below it for the rounding of key and score. */
static double key_of_score(const imgsim_index *index, float score)
{
    if (isnan(score))
        return -INFINITY;
    score = nextafterf(nextafterf(score, -INFINITY), -INFINITY);
    if (index->metric == IMGSIM_METRIC_BHATTACHARYYA)
        return score > 0 ? sqrt((double)score) * (1 - 1e-12) : 0;
    return (double)score;
}

/* By the first plane. */
static void
plane_keys(const struct ims_key_bounds *bounds, const int64_t *ids, size_t count, double *out_lower)
{
    const size_t slots = ims_bounds_slot_count(bounds->planes);
    double lower[PLANE_BLOCK];
    size_t known = SIZE_MAX; /* block of the bounds */

    for (size_t i = 0; i < count; i++) {
        const uint32_t slot = ims_rows_find(&bounds->index->rows, ids[i]);
        const size_t first = slot / PLANE_BLOCK * PLANE_BLOCK;

        if (first != known) {
            known = first;
            ims_bounds_block(
                bounds->planes, first, slots - first < PLANE_BLOCK ? slots - first : PLANE_BLOCK,
                lower);
        }
        out_lower[i] = lower[slot - first];
    }
}

void ims_key_bounds_coarse(
    const struct ims_key_bounds *bounds,
    const int64_t *ids,
    size_t count,
    double *out_lower)
{
    float scores[IMS_COARSE_BLOCK];
    size_t known = SIZE_MAX; /* block of the scores */

    if (bounds->planes != NULL) {
        plane_keys(bounds, ids, count, out_lower);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t slot = ims_rows_find(&bounds->index->rows, ids[i]);

        if (slot / IMS_COARSE_BLOCK != known) {
            known = slot / IMS_COARSE_BLOCK;
            ims_coarse_block_scores(bounds->index, &bounds->coarse, known, scores);
        }
        out_lower[i] = key_of_score(bounds->index, scores[slot % IMS_COARSE_BLOCK]);
    }
}

imgsim_status ims_key_bounds_estimate(
    const struct ims_key_bounds *bounds,
    const int64_t *ids,
    size_t count,
    double *out_lower,
    double *out_upper)
{
    imgsim_status status;
    struct ims_prepared_query mine;
    uint32_t slots[IMS_KEY_BOUNDS_MAX];
    float *room;

    for (size_t i = 0; i < count; i++)
        slots[i] = ims_rows_find(&bounds->index->rows, ids[i]);
    if ((status = ims_dense_room(bounds->index, &room)) != IMGSIM_OK)
        return status;
    mine = ims_prepared_query_with(&bounds->prepared, room);
    status = ims_estimate_keys(bounds->index, &mine, slots, count, out_lower, out_upper);
    ims_free(room);
    return status;
}
