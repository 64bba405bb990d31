/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planes of levels for chi-square: a group's mass is known to lie between two edges, which four bits say, and a table per group
 * has the least term of the levels for a query. docs/exact-histograms.md, "Chi-square".
 *
 * Approximations by few bits per dimension, with bounds from the cells' edges: the VA-file, Weber, Schek & Blott, VLDB 1998. The
 * tables in registers: see lib/simd/kernels_levels_avx512.c.
 */
#include "index/coarse.h"

#include "core/memory.h"
#include "simd/kernels.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS (IMS_COARSE_EDGES + 1)
#define TABLE_SIZE 32
/* Where the edges lie: shares of a group's masses that are not 0 below the second and above the last. */
#define BELOW 0.1
#define ABOVE 0.005
/* Groups that have something in fewer rows of the sample get the edges of all groups together. */
#define FEW 10
/* Keys up to this many times the query's sum are told apart. */
#define RANGE 1.5
/* Share of the query's sum that may lie in groups that are not looked at. */
#define LEFT_OUT 0.003
/* What masses, edges, tables and the key itself can be off by, relative to the key and the query's sum. */
#define MARGIN 2e-6

/* ---- edges ---- */

static int compare_floats(const void *left, const void *right)
{
    const float a = *(const float *)left, b = *(const float *)right;

    return a < b ? -1 : a > b;
}

/* Everything above 0, and a geometric row between two shares of the values, which get sorted. */
static void place_edges(float *values, size_t count, float *edges)
{
    float least = 1, most = 1;

    if (count > 0) {
        qsort(values, count, sizeof(*values), compare_floats);
        least = values[(size_t)((double)count * BELOW)];
        most = values[count - 1 - (size_t)((double)count * ABOVE)];
    }
    most = most > 2 * least ? most : 2 * least;
    edges[0] = FLT_TRUE_MIN;
    for (int i = 1; i < IMS_COARSE_EDGES; i++) {
        const double share = (double)(i - 1) / (IMS_COARSE_EDGES - 2);

        edges[i] = (float)((double)least * pow((double)most / (double)least, share));
        if (!(edges[i] > edges[i - 1]))
            edges[i] = nextafterf(edges[i - 1], INFINITY);
    }
}

imgsim_status ims_levels_fit(struct ims_coarse *coarse, const float *masses, size_t rows)
{
    const size_t groups = coarse->groups[0];
    float *values = ims_alloc_array(rows * groups, sizeof(*values));
    float all[IMS_COARSE_EDGES];
    size_t count = 0;

    if (values == NULL)
        return ims_fail_memory(rows * groups * sizeof(*values));
    for (size_t i = 0; i < rows * groups; i += 7) /* a sample of the sample */
        if (masses[i] > 0)
            values[count++] = masses[i];
    place_edges(values, count, all);
    for (size_t g = 0; g < groups; g++) {
        float *edges = coarse->edges + g * IMS_COARSE_EDGES;

        count = 0;
        for (size_t row = 0; row < rows; row++)
            if (masses[row * groups + g] > 0)
                values[count++] = masses[row * groups + g];
        if (count < FEW)
            memcpy(edges, all, sizeof(all));
        else
            place_edges(values, count, edges);
    }
    ims_free(values);
    return IMGSIM_OK;
}

/* ---- codes ---- */

/* Number of edges that are not above the mass. */
static uint8_t code_of(const float *edges, double mass)
{
    size_t at = 0;

    at += mass >= (double)edges[at + 7] ? 8 : 0;
    at += mass >= (double)edges[at + 3] ? 4 : 0;
    at += mass >= (double)edges[at + 1] ? 2 : 0;
    at += mass >= (double)edges[at] ? 1 : 0;
    return (uint8_t)at;
}

void ims_levels_encode(struct ims_coarse *coarse, uint32_t slot, const double *masses)
{
    const size_t groups = coarse->groups[0], pair = slot / (2 * IMS_COARSE_BLOCK);
    const int shift = slot / IMS_COARSE_BLOCK % 2 == 0 ? 0 : 4;
    uint8_t *at = coarse->codes[0] + pair * groups * IMS_COARSE_BLOCK + slot % IMS_COARSE_BLOCK;

    for (size_t g = 0; g < groups; g++, at += IMS_COARSE_BLOCK) {
        const uint8_t code =
            masses[g] > 0 ? code_of(coarse->edges + g * IMS_COARSE_EDGES, masses[g]) : 0;

        *at = (uint8_t)((*at & (15 << (4 - shift))) | code << shift);
    }
}

/* ---- queries ---- */

/* The query's side of the groups. */
struct sides {
    double mass[IMS_COARSE_GROUPS_MAX];
    bool full[IMS_COARSE_GROUPS_MAX]; /* the query has something in every bin */
    bool skip[IMS_COARSE_GROUPS_MAX];
};

struct small_group {
    double mass;
    size_t group;
};

static int compare_masses(const void *left, const void *right)
{
    const struct small_group *a = left, *b = right;

    return a->mass < b->mass ? -1 : a->mass > b->mass;
}

/* A group that is not full has a term of at most its mass: the least of them are not worth their bytes. */
static void skip_least(struct sides *sides, size_t groups, double room)
{
    struct small_group small[IMS_COARSE_GROUPS_MAX];
    size_t count = 0;

    for (size_t g = 0; g < groups; g++)
        if (sides->mass[g] > 0 && !sides->full[g])
            small[count++] = (struct small_group){sides->mass[g], g};
    qsort(small, count, sizeof(*small), compare_masses);
    for (size_t i = 0; i < count && small[i].mass <= room; i++) {
        room -= small[i].mass;
        sides->skip[small[i].group] = true;
    }
}

static void merge(
    const struct ims_coarse *coarse,
    const struct ims_prepared_query *prepared,
    struct sides *sides)
{
    memset(sides, 0, sizeof(*sides));
    for (size_t g = 0; g < coarse->groups[0]; g++)
        sides->full[g] = true;
    for (uint32_t bin = 0; bin < coarse->dimension; bin++) {
        const double value = (double)prepared->scan[bin];
        const size_t g = coarse->group_of[0][bin];

        sides->mass[g] += value;
        sides->full[g] = sides->full[g] && value > 0;
    }
    skip_least(sides, coarse->groups[0], LEFT_OUT * prepared->counted);
}

/* Least term of a group of mass `a` in the query, of a row whose mass lies between two edges. */
static double least_term(double a, bool full, double low, double high)
{
    if (high < a)
        return (a - high) * (a - high) / a;
    return full && low > a ? (low - a) * (low - a) / a : 0;
}

static void fill_table(const float *edges, double a, bool full, double unit, uint8_t *table)
{
    for (size_t code = 0; code < LEVELS; code++) {
        const double low = code > 0 ? (double)edges[code - 1] : 0;
        const double high = code < IMS_COARSE_EDGES ? (double)edges[code] : INFINITY;
        const double units = least_term(a, full, low, high) / unit;
        const unsigned entry = units < UINT16_MAX ? (unsigned)units : UINT16_MAX;

        table[code] = (uint8_t)entry;
        table[LEVELS + code] = (uint8_t)(entry >> 8);
    }
}

imgsim_status ims_levels_prepare(
    const imgsim_index *index,
    const struct ims_prepared_query *prepared,
    struct ims_coarse_query *query)
{
    const struct ims_coarse *coarse = index->coarse;
    const double unit = RANGE * prepared->counted / UINT16_MAX;
    struct sides sides;

    query->list = ims_alloc_array(coarse->groups[0], sizeof(*query->list));
    query->tables = ims_alloc_array(coarse->groups[0], TABLE_SIZE);
    if (query->list == NULL || query->tables == NULL)
        return ims_fail_memory(coarse->groups[0] * (size_t)TABLE_SIZE);
    query->base = -(float)(MARGIN * prepared->counted);
    query->by_sum = (float)(unit * (1 - MARGIN));
    merge(coarse, prepared, &sides);
    for (size_t g = 0; g < coarse->groups[0] && unit > 0; g++) {
        if (!(sides.mass[g] > 0) || sides.skip[g])
            continue;
        fill_table(
            coarse->edges + g * IMS_COARSE_EDGES, sides.mass[g], sides.full[g], unit,
            query->tables + query->list_count * TABLE_SIZE);
        query->list[query->list_count++] = (uint16_t)g;
    }
    return IMGSIM_OK;
}

void ims_levels_scores(
    const struct ims_coarse *coarse,
    const struct ims_coarse_query *query,
    size_t block,
    float out[IMS_COARSE_BLOCK])
{
    const size_t pair_size = (size_t)coarse->groups[0] * IMS_COARSE_BLOCK;
    const float *extra = coarse->extra[0] + block * IMS_COARSE_BLOCK;
    const bool there_is_more = (block / 2 + 2) * 2 * IMS_COARSE_BLOCK <= coarse->capacity;
    uint16_t sums[IMS_COARSE_BLOCK];

    ims_kernels()->plane_levels(
        coarse->codes[0] + block / 2 * pair_size, query->list, query->list_count, query->tables,
        block % 2 == 0 ? 0 : 4, there_is_more ? pair_size : 0, sums);
    for (size_t row = 0; row < IMS_COARSE_BLOCK; row++)
        out[row] = query->base + query->by_sum * (float)sums[row] - extra[row];
}
