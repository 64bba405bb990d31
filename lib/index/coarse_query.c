/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lower bounds of keys from the planes of merged bins: docs/exact-histograms.md has the inequalities, by the numbers given
 * here.
 *
 * Sums of float products and minima of at most 512 terms that are not negative are off by less than 4e-5 of themselves
 * (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1); MARGIN covers that, the roundings of codes, scales and
 * weights, and those of the key itself.
 */
#include "index/coarse.h"

#include "core/memory.h"
#include "simd/kernels.h"
#include "simd/reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define MARGIN 1e-4

void ims_coarse_query_clear(struct ims_coarse_query *query)
{
    ims_free(query->q[0]);
    ims_free(query->list);
    ims_free(query->tables);
    memset(query, 0, sizeof(*query));
}

/* Factors of the score, and what the query's group masses are divided by before their roots are taken, 0: they are not; false: out of range. */
static bool set_factors(
    const imgsim_index *index,
    const struct ims_prepared_query *prepared,
    struct ims_coarse_query *query,
    double *norm)
{
    const double sum = prepared->sum, squared = prepared->squared;
    const double variance = squared - sum * sum / index->dimension;

    *norm = 0;
    query->by_offset = 0;
    query->scaled = false;
    switch (index->metric) {
    case IMGSIM_METRIC_INTERSECTION: /* (1) */
        query->base = 0;
        query->by_extra = query->by_sum = -(float)(1 + MARGIN);
        break;
    case IMGSIM_METRIC_L1: /* (2) */
        query->base = (float)(sum * (1 - MARGIN));
        query->by_offset = (float)(1 - MARGIN);
        query->by_extra = query->by_sum = -(float)(2 * (1 + MARGIN));
        break;
    case IMGSIM_METRIC_CHI_SQUARE: /* (3): coarse_levels.c */
        break;
    case IMGSIM_METRIC_BHATTACHARYYA: /* (4) */
        *norm = sum;
        query->base = (float)(1 - MARGIN);
        query->by_extra = query->by_sum = -(float)(1 + MARGIN);
        query->scaled = true;
        break;
    default: /* correlation (5) */
        if (!(variance >= 1e-6 * squared && variance >= 1e-7 && squared <= 1e18))
            return false;
        *norm = variance;
        query->base = (float)(1 - MARGIN);
        query->by_offset = (float)(sum / sqrt(variance) * (1 - MARGIN));
        query->by_extra = -(float)((1 + MARGIN) * sqrt(squared / variance));
        query->by_sum = -(float)(1 + MARGIN);
        query->scaled = true;
        break;
    }
    return sum >= IMS_COARSE_LEAST && sum <= IMS_COARSE_MOST;
}

/* The query's side of the groups of a level: masses, or roots of them. */
static void merge_query(
    const imgsim_index *index,
    const struct ims_prepared_query *prepared,
    double norm,
    int level,
    float *out)
{
    const struct ims_coarse *coarse = index->coarse;
    double masses[IMS_COARSE_GROUPS_MAX] = {0};

    for (uint32_t bin = 0; bin < index->dimension; bin++) {
        const double value = prepared->scan[bin];

        masses[coarse->group_of[level][bin]] +=
            index->metric == IMGSIM_METRIC_CORRELATION ? value * value : value;
    }
    for (uint32_t g = 0; g < coarse->groups[level]; g++)
        out[g] = (float)(norm > 0 ? sqrt(masses[g] / norm) : masses[g]);
}

/* The groups of the first level where the query has something. */
static void list_groups(const imgsim_index *index, struct ims_coarse_query *query)
{
    for (uint32_t g = 0; g < index->coarse->groups[0]; g++) {
        const float mass = query->q[0][g];

        if (!(mass > 0))
            continue;
        query->q[0][query->list_count] = mass;
        query->list[query->list_count++] = (uint16_t)g;
    }
}

imgsim_status ims_coarse_prepare(
    const imgsim_index *index,
    const struct ims_prepared_query *prepared,
    struct ims_coarse_query *out)
{
    const size_t few = index->coarse->groups[0], many = index->coarse->groups[1];
    imgsim_status status;
    double norm;

    memset(out, 0, sizeof(*out));
    out->usable = set_factors(index, prepared, out, &norm);
    if (!out->usable)
        return IMGSIM_OK;
    if (index->coarse->by_edges) {
        if ((status = ims_levels_prepare(index, prepared, out)) != IMGSIM_OK)
            ims_coarse_query_clear(out);
        return status;
    }
    out->q[0] = ims_alloc_array(few + many, sizeof(float));
    out->list = ims_alloc_array(few, sizeof(*out->list));
    if (out->q[0] == NULL || out->list == NULL) {
        ims_coarse_query_clear(out);
        return ims_fail_memory((few + many) * sizeof(float));
    }
    out->q[1] = out->q[0] + few;
    for (int level = 0; level < IMS_COARSE_LEVELS; level++)
        merge_query(index, prepared, norm, level, out->q[level]);
    list_groups(index, out);
    return IMGSIM_OK;
}

void ims_coarse_block_scores(
    const imgsim_index *index,
    const struct ims_coarse_query *query,
    size_t block,
    float out[IMS_COARSE_BLOCK])
{
    const struct ims_kernels *kernels = ims_kernels();
    const struct ims_coarse *coarse = index->coarse;
    const size_t groups = coarse->groups[0], start = block * IMS_COARSE_BLOCK;
    const uint8_t *codes = coarse->codes[0] + start * groups;
    const float *scale = coarse->scale[0] + start, *extra = coarse->extra[0] + start;
    const float *offset = coarse->offset + start;

    if (coarse->by_edges) {
        ims_levels_scores(coarse, query, block, out);
        return;
    }
    if (query->scaled) {
        kernels->plane_dot(codes, query->list, query->list_count, query->q[0], out);
        for (size_t row = 0; row < IMS_COARSE_BLOCK; row++)
            out[row] *= scale[row];
    } else {
        kernels->plane_min(codes, query->list, query->list_count, query->q[0], scale, out);
    }
    for (size_t row = 0; row < IMS_COARSE_BLOCK; row++)
        out[row] = query->base + query->by_offset * offset[row] + query->by_extra * extra[row] +
                   query->by_sum * out[row];
}

float ims_coarse_row_score(
    const imgsim_index *index,
    const struct ims_coarse_query *query,
    uint32_t slot)
{
    const struct ims_kernels *kernels = ims_kernels();
    const struct ims_coarse *coarse = index->coarse;
    const size_t groups = coarse->groups[1];
    const uint8_t *codes = coarse->codes[1] + slot * groups;
    const float scale = coarse->scale[1][slot];
    float sum;

    if (query->scaled)
        sum = scale * kernels->row_dot(codes, groups, query->q[1]);
    else
        sum = kernels->row_min(codes, groups, query->q[1], scale);
    return query->base + query->by_offset * coarse->offset[slot] +
           query->by_extra * coarse->extra[1][slot] + query->by_sum * sum;
}

float ims_coarse_score_of_key(const imgsim_index *index, double key)
{
    const double score =
        index->metric == IMGSIM_METRIC_BHATTACHARYYA ? (key > 0 ? key * key : 0) : key;

    return nextafterf((float)score, INFINITY);
}
