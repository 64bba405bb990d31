/* SPDX-License-Identifier: Apache-2.0 */
/* The neighbour graph of a set of rows: every row's k nearest others. */
#ifndef IMS_MAP_GRAPH_H
#define IMS_MAP_GRAPH_H

#include "map/map.h"

/* ---- the nearest of a stream, by a float key ---- */

/* Keeps the `keep` smallest by (key, place); zero it, then ims_nearest_init(). */
struct ims_nearest {
    float *keys;
    uint32_t *places;
    size_t count;
    size_t keep;
    size_t capacity; /* above 2 keep; when full, all but the nearest are dropped */
    float bound;     /* keys from here on are not wanted */
};

/* Room for one: floats (keys), then as many places. */
size_t ims_nearest_capacity(size_t keep);
void ims_nearest_init(struct ims_nearest *nearest, size_t keep, float *keys, uint32_t *places);
/* Keep the nearest alone, lower the bound. */
void ims_nearest_shrink(struct ims_nearest *nearest);
static inline void ims_nearest_push(struct ims_nearest *nearest, float key, uint32_t place)
{
    if (!(key < nearest->bound))
        return;
    if (nearest->count == nearest->capacity) {
        ims_nearest_shrink(nearest);
        if (!(key < nearest->bound))
            return;
    }
    nearest->keys[nearest->count] = key;
    nearest->places[nearest->count++] = place;
}

/* ---- true distances ---- */

/* Rows with what their distances take. */
struct ims_map_metric {
    const struct ims_map_rows *rows;
    double *squares; /* |row|^2 of each */
};

imgsim_status ims_map_metric_init(
    struct ims_map_metric *metric,
    const struct ims_map_rows *rows,
    struct ims_pool *pool);
void ims_map_metric_clear(struct ims_map_metric *metric);
/* 1 - cosine (0 for identical rows), or |a - b|: in double precision the same on every processor. */
double ims_map_distance_exact(const struct ims_map_metric *metric, size_t a, size_t b);
/* The same to float precision, by the kernels. */
float ims_map_distance(const struct ims_map_metric *metric, size_t a, size_t b);

/* ---- nearly true distances ---- */

/*
 * Rows less their mean as 16 bit integers, each row at a scale of its own such that products fit into 32 bits: a quarter of the error
 * of half floats in the same memory, sums that are exact in any order, and distances good to about 1e-4 of themselves. Pairs
 * so near that rounding shows, and rows of zeros under cosine, are compared as floats; so are all if the integers would take more
 * memory than they may.
 */
struct ims_map_fixed {
    const struct ims_map_metric *metric;
    const uint32_t *points; /* point at each place, borrowed */
    size_t stride;          /* values of a row, filled up with 0 */
    int16_t *values;        /* NULL: too many */
    struct ims_map_fixed_row *rows;
};

struct ims_map_fixed_row {
    double unit;   /* what 1 stands for */
    double square; /* |row|^2 of the rounded row; NaN: never to be trusted */
};

/* Copy the rows in order of place, `points` a permutation, into at most so many bytes; `mean` is taken off. Zero it before use. */
imgsim_status ims_map_fixed_init(
    struct ims_map_fixed *fixed,
    const struct ims_map_metric *metric,
    const uint32_t *points,
    const float *mean,
    uint64_t most_bytes,
    struct ims_pool *pool);
void ims_map_fixed_clear(struct ims_map_fixed *fixed);
/* As ims_map_distance() of the points at two places. */
float ims_map_fixed_distance(const struct ims_map_fixed *fixed, size_t a, size_t b);

/* Sort `count` places by (distance, place) with their distances. */
void ims_map_sort_neighbours(float *distances, uint32_t *places, size_t count);

/* ---- the graph ---- */

/*
 * The k nearest others of every point: neighbours and distances, n x k, nearest first, ties by place. k is at most n - 1.
 * Small sets, and all if the options ask for it, exactly; else as in map_lists.c.
 */
imgsim_status
ims_map_graph(const struct ims_map_job *job, uint32_t k, uint32_t *neighbours, float *distances);

/* Every row compared with every other: float products find the candidates, double precision decides. */
imgsim_status ims_map_graph_exact(
    const struct ims_map_job *job,
    const struct ims_map_metric *metric,
    uint32_t k,
    uint32_t *neighbours,
    float *distances);

/* Candidates by inverted lists over principal components and descent, ranked by the true distance. */
imgsim_status ims_map_graph_lists(
    const struct ims_map_job *job,
    const struct ims_map_metric *metric,
    uint32_t k,
    uint32_t *neighbours,
    float *distances);

#endif
