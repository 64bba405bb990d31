/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds of the keys of one query for searches that add up several indexes: any metric but the host's. */
#include "index/coarse.h"
#include "index/planes.h"

#include "core/memory.h"
#include "simd/kernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Searches of mapped rows from which on the planes of histograms are made: one alone goes without. */
#define ASKED_FROM 4
/* The same for planes of floats, which take longer to make. */
#define ASKED_FROM_FLOATS 8
/* Rows whose codes are fetched ahead. */
#define AHEAD 8
/* Roundings from a score to a key, and those in it. */
#define ROUNDINGS 8

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

    if (ims_index_has_planes_of_ids(index, 0))
        return ims_bounds_by_planes(index, query, pool, &bounds->planes);
    if (index->rows.present == NULL)
        return IMGSIM_OK;
    if (index->rows.form == IMS_ROWS_FLOAT && ims_metric_has_planes(index->metric) &&
        index->rows.live_count >= IMS_PLANES_ROWS)
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

bool ims_index_has_planes_of_ids(const imgsim_index *index, size_t id_count)
{
    imgsim_index *asked = (imgsim_index *)index; /* only looked at */

    return index->rows.form == IMS_ROWS_FLOAT && index->factor == NULL &&
           (index->rows.present != NULL || index->rows.identity) &&
           index->rows.slot_count >= id_count && atomic_load(&asked->planes_known) &&
           index->planes != NULL;
}

/* Whether estimates are made with the sums of the rows; those of all cost as much as reading them. */
static bool needs_sums(const imgsim_index *index)
{
    if (index->rows.form != IMS_ROWS_SPARSE)
        return index->rows.form == IMS_ROWS_FLOAT;
    return index->metric == IMGSIM_METRIC_CORRELATION ||
           index->metric == IMGSIM_METRIC_BHATTACHARYYA;
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
        (needs_sums(index) && (status = ims_index_sums(index, pool)) != IMGSIM_OK) ||
        (status = prepare_coarse(bounds, query, pool)) != IMGSIM_OK) {
        ims_key_bounds_free(bounds);
        return status;
    }
    *out_bounds = bounds;
    return IMGSIM_OK;
}

bool ims_key_bounds_has_coarse(const struct ims_key_bounds *bounds)
{
    return bounds->coarse.usable || bounds->planes != NULL ||
           (bounds->index->rows.form == IMS_ROWS_BITS && bounds->index->rows.present != NULL);
}

uint32_t ims_key_bounds_steps(const struct ims_key_bounds *bounds)
{
    if (bounds->planes != NULL)
        return ims_bounds_planes(bounds->planes) - 1;
    return bounds->coarse.usable && bounds->index->coarse->levels > 1 ? 1 : 0;
}

size_t ims_key_bounds_step_cost(const struct ims_key_bounds *bounds, uint32_t step)
{
    return bounds->planes != NULL ? ims_bounds_plane_size(bounds->planes, step + 1)
                                  : bounds->index->coarse->groups[1];
}

/* Differing bits of rows of eight bytes, side by side: the baseline processor cannot count bits. */
static void near_words(const uint8_t *rows, uint64_t query, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t word;

        memcpy(&word, rows + i * sizeof(word), sizeof(word));
        word ^= query;
        word -= (word >> 1) & 0x5555555555555555;
        word = (word & 0x3333333333333333) + ((word >> 2) & 0x3333333333333333);
        word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
        word += word >> 8;
        word += word >> 16;
        word += word >> 32;
        out[i] = (float)(int32_t)(word & 0x7f);
    }
}

static void scan_bits(const struct ims_key_bounds *bounds, size_t first, size_t count, float *out)
{
    const imgsim_index *index = bounds->index;
    const size_t size = index->rows.row_size;
    const uint8_t *rows = ims_rows_at(&index->rows, (uint32_t)first);
    uint64_t query;

    if (index->metric == IMGSIM_METRIC_HAMMING && size == sizeof(query)) {
        memcpy(&query, bounds->prepared.row, sizeof(query));
        near_words(rows, query, count, out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t both, any;

        if (index->metric == IMGSIM_METRIC_HAMMING) {
            out[i] = (float)ims_kernels()->hamming(bounds->prepared.row, rows + i * size, size);
        } else {
            ims_kernels()->jaccard(bounds->prepared.row, rows + i * size, size, &both, &any);
            out[i] = any == 0 ? 0 : (float)(1 - (double)both / any);
        }
    }
}

void ims_key_bounds_scan(
    const struct ims_key_bounds *bounds,
    size_t first,
    size_t count,
    float *out_scores)
{
    if (bounds->index->rows.form == IMS_ROWS_BITS) {
        scan_bits(bounds, first, count, out_scores);
    } else if (bounds->planes != NULL) {
        ims_bounds_scan(bounds->planes, first, count, out_scores);
    } else {
        float scores[IMS_COARSE_BLOCK];

        for (size_t at = 0; at < count; at += IMS_COARSE_BLOCK) {
            const size_t left = count - at;

            ims_coarse_block_scores(
                bounds->index, &bounds->coarse, (first + at) / IMS_COARSE_BLOCK, scores);
            memcpy(
                out_scores + at, scores,
                (left < IMS_COARSE_BLOCK ? left : IMS_COARSE_BLOCK) * sizeof(*scores));
        }
    }
}

/* By the second plane. */
static void sharpen_coarse(
    const struct ims_key_bounds *bounds,
    const uint32_t *ids,
    size_t count,
    float *scores)
{
    const struct ims_coarse *coarse = bounds->index->coarse;
    const size_t groups = coarse->groups[1];

    for (size_t i = 0; i < count; i++) {
        float score;

        if (i + AHEAD < count)
            for (size_t byte = 0; byte < groups; byte += 64)
                __builtin_prefetch(coarse->codes[1] + ids[i + AHEAD] * groups + byte);
        score = ims_coarse_row_score(bounds->index, &bounds->coarse, ids[i]);
        if (score > scores[i])
            scores[i] = score;
    }
}

void ims_key_bounds_sharpen(
    const struct ims_key_bounds *bounds,
    uint32_t step,
    const uint32_t *ids,
    size_t count,
    float *state,
    float *scores)
{
    if (bounds->planes != NULL)
        ims_bounds_sharpen(bounds->planes, step + 1, ids, count, state, scores);
    else
        sharpen_coarse(bounds, ids, count, scores);
}

void ims_key_bounds_terms(
    const struct ims_key_bounds *bounds,
    double *out_factor,
    double *out_addend)
{
    *out_factor = 1;
    *out_addend = 0;
    if (bounds->planes != NULL)
        ims_bounds_key_terms(bounds->planes, out_factor, out_addend);
}

void ims_key_bounds_keys(
    const struct ims_key_bounds *bounds,
    const float *scores,
    size_t count,
    float *out_lower)
{
    double factor, addend;

    if (bounds->index->rows.form == IMS_ROWS_BITS) {
        for (size_t i = 0; i < count; i++)
            out_lower[i] = scores[i] * (1 - FLT_EPSILON);
        return;
    }
    ims_key_bounds_terms(bounds, &factor, &addend);
    for (size_t i = 0; i < count; i++) {
        const float key = scores[i] * (float)factor + (float)addend;

        /* Roundings of factor, addend, product, sum and of the score itself. */
        out_lower[i] = key -
                       ROUNDINGS * (FLT_EPSILON / 2) *
                           (fabsf(scores[i] * (float)factor) + fabsf((float)addend)) -
                       FLT_MIN;
    }
    if (bounds->index->metric == IMGSIM_METRIC_BHATTACHARYYA)
        for (size_t i = 0; i < count; i++)
            out_lower[i] = sqrtf(out_lower[i] > 0 ? out_lower[i] : 0) * (1 - 2 * FLT_EPSILON);
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
