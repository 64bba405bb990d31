/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a map, and what the files of this room share. */
#ifndef IMS_MAP_MAP_H
#define IMS_MAP_MAP_H

#include <imgsim/map.h>

#include "core/progress.h"
#include "core/status.h"
#include "core/threads.h"

#include <stdbool.h>

#define IMS_MAP_FEATURE_SIZE 64

struct imgsim_map {
    size_t count; /* n */
    uint32_t dimension;
    int32_t layout;
    int32_t metric;
    uint32_t neighbour_count; /* k without the point itself */
    float *positions;         /* n x dimension */
    int64_t *ids;             /* n */
    uint32_t *neighbours;     /* n x k */
    float *distances;         /* n x k */
    double kl;
    char feature[IMS_MAP_FEATURE_SIZE];
};

/* ---- rows ---- */

/* Rows of a set: plain, or those of some ids in a mapped matrix. */
struct ims_map_rows {
    const float *base;
    const int64_t *places; /* row number in `base` of each point; NULL: all in order */
    size_t count;
    uint32_t dimension;
    bool normalize; /* cosine: rows are handed out at length 1 */
};

/* One row as it is stored. */
static inline const float *ims_map_row(const struct ims_map_rows *rows, size_t point)
{
    const size_t place = rows->places != NULL ? (size_t)rows->places[point] : point;

    return rows->base + place * rows->dimension;
}

/* Copy rows `first` to first + count - 1 out, at length 1 if asked; a row of zeros stays. */
void ims_map_copy_rows(const struct ims_map_rows *rows, size_t first, size_t count, float *out);

/* ---- one layout being made ---- */

/* What all steps of a layout take. */
struct ims_map_job {
    const struct ims_map_rows *rows;
    const imgsim_map_options *options;
    struct ims_pool *pool;
    struct ims_meter *meter;
    imgsim_map *map;
};

/*
 * The first `dimension` principal components of all rows, n x dimension; directions that the rows lack are 0. Fitted on at most
 * `sample` rows, evenly taken (0: all).
 */
imgsim_status
ims_map_principal(const struct ims_map_job *job, uint32_t dimension, size_t sample, float *out);

/* Make a map of rows; `options` were read and checked, their metric is known. */
imgsim_status ims_map_make(
    const struct ims_map_rows *rows,
    const int64_t *ids,
    const imgsim_map_options *options,
    imgsim_map **out_map);

/* Read options over the defaults and check them against the number of points. */
imgsim_status
ims_map_options_read(const imgsim_map_options *options, size_t count, imgsim_map_options *out);

#endif
