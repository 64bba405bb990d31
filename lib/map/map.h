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
    /* What it was made from, and by which settings: 32 hexadecimal digits, "" for plain rows. */
    char origin[33];
    char recipe[33];
};

/* A neighbour graph that may be there before: then map->neighbours is filled from it, else kept in it. Zero it before use. */
struct ims_map_kept_graph {
    size_t count;
    uint32_t k;
    bool exact;
    bool fresh; /* made by this call */
    uint32_t *neighbours;
    float *distances;
};

void ims_map_kept_graph_clear(struct ims_map_kept_graph *graph);

/* ---- rows ---- */

/* Rows of a set: plain, or those of some ids in a mapped matrix. */
struct ims_map_rows {
    const float *base;
    const int64_t *places; /* row number in `base` of each point; NULL: all in order */
    size_t count;
    uint32_t dimension;
    bool normalize; /* cosine: rows are handed out at length 1 */
    bool mapped;    /* in a shared mapping of a file: pages that were read may go */
};

/* One row as it is stored. */
static inline const float *ims_map_row(const struct ims_map_rows *rows, size_t point)
{
    const size_t place = rows->places != NULL ? (size_t)rows->places[point] : point;

    return rows->base + place * rows->dimension;
}

/* Copy rows `first` to first + count - 1 out, at length 1 if asked; a row of zeros stays. */
void ims_map_copy_rows(const struct ims_map_rows *rows, size_t first, size_t count, float *out);

/* What `mapped` is to be. */
bool ims_map_rows_are_mapped(const struct ims_map_rows *rows);
/* Rows `first` to first + count - 1 will not be read again for a while: a mapped file need not fill the memory. */
void ims_map_rows_done(const struct ims_map_rows *rows, size_t first, size_t count);

/* ---- one layout being made ---- */

/* Components that a step has found on its way, for the start of the layout; the options' dimension of them. */
struct ims_map_axes {
    float *values; /* n x dimension */
    bool known;
};

/* What all steps of a layout take. */
struct ims_map_job {
    const struct ims_map_rows *rows;
    const imgsim_map_options *options;
    struct ims_pool *pool;
    struct ims_meter *meter;
    imgsim_map *map;
    struct ims_map_kept_graph *kept; /* NULL: none */
    struct ims_map_axes *axes;       /* NULL: none */
    uint64_t
        fixed_bytes; /* the most that ranking may take for rows in integers; 0: IMS_MAP_FIXED_BYTES */
};

#define IMS_MAP_FIXED_BYTES ((uint64_t)4 << 30)

/* Components that the neighbour graph of a large set is made from, and rows that their axes are fitted on. */
#define IMS_MAP_COMPONENTS 128
#define IMS_MAP_FIT_ROWS 10000

/*
 * The first `dimension` principal components of all rows, n x dimension; directions that the rows lack are 0. Fitted on at most
 * `sample` rows, evenly taken (0: all).
 */
imgsim_status
ims_map_principal(const struct ims_map_job *job, uint32_t dimension, size_t sample, float *out);
/* The same with the mean that was taken off (as many values as a row has), and of each row what is left, squared. */
imgsim_status ims_map_principal_rest(
    const struct ims_map_job *job,
    uint32_t dimension,
    size_t sample,
    float *out,
    float *out_mean,
    float *out_rest);
/* As many of the components as a layout has dimensions, n x that, the same bits whether the graph needed components or not. */
imgsim_status ims_map_first_axes(const struct ims_map_job *job, float *out);

/* Make a map of rows; `options` were read and checked, their metric is known. */
imgsim_status ims_map_make(
    const struct ims_map_rows *rows,
    const int64_t *ids,
    const imgsim_map_options *options,
    struct ims_map_kept_graph *kept, /* NULL: none */
    const float *positions,          /* where the points are already; NULL: lay them out */
    imgsim_map **out_map);

/* Places for rows on a map that stays as it is; `known` are the map's. Options were read and checked. */
imgsim_status ims_map_place_rows(
    const imgsim_map *map,
    const struct ims_map_rows *known,
    const struct ims_map_rows *rows,
    const imgsim_map_options *options,
    float *out_positions);

/*
 * What a map or graph of a catalog was made from: the feature's name and fingerprint, which images, and the metric. False: nothing
 * would tell a stale one.
 */
bool ims_map_origin(
    const imgsim_features *features,
    const int64_t *ids,
    size_t count,
    int32_t metric,
    char out[33]);

/* Ids of the images that have a row of a feature, ascending; release with ims_free(). */
imgsim_status
ims_map_list_ids(const imgsim_features *features, int64_t **out_ids, size_t *out_count);

/* An empty map of this size; release it with imgsim_map_free() also on failure. */
imgsim_status ims_map_alloc(size_t count, uint32_t dimension, imgsim_map **out_map);

/* ---- groups of points, for colours ---- */

/* Groups in order of size, then of name. Zero it before use. */
struct ims_map_groups {
    int32_t *of_point; /* count of the map; -1: none */
    char **names;
    size_t *sizes;
    size_t count;
};

/*
 * Groups of a map's points by what its catalog says; none with IMGSIM_COLOR_NONE or without a catalog. NOT_FOUND: it has no such
 * clusters, or nothing was predicted. `cluster` is the name of a set, NULL for the first.
 */
imgsim_status ims_map_groups_find(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    int32_t color_by,
    const char *cluster,
    struct ims_map_groups *groups);
/* The same for images by their ids. */
imgsim_status ims_groups_of_ids(
    const int64_t *ids,
    size_t count,
    const imgsim_catalog *catalog,
    int32_t color_by,
    const char *cluster,
    struct ims_map_groups *groups);
/* For people: "12" becomes "12: cat" where at least half of the cluster is cats, by label or folder. */
imgsim_status ims_groups_name_clusters(
    const int64_t *ids,
    size_t count,
    const imgsim_catalog *catalog,
    struct ims_map_groups *groups);
/* The same from numbers and names given. */
imgsim_status ims_map_groups_given(
    const imgsim_map *map,
    const int32_t *of_point,
    const char *const *names,
    size_t name_count,
    struct ims_map_groups *groups);
/* What the options of a picture or a table ask for. */
imgsim_status ims_map_groups_read(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    const imgsim_plot_options *options,
    struct ims_map_groups *groups);
void ims_map_groups_clear(struct ims_map_groups *groups);

/* Read options over the defaults. */
imgsim_status
ims_quality_options_read(const imgsim_quality_options *options, imgsim_quality_options *settings);

/* ---- files ---- */

imgsim_status
ims_map_graph_save(const struct ims_map_kept_graph *graph, const char *origin, const char *path);
/*
 * NOT_FOUND, CORRUPT, UNSUPPORTED, or OK with *graph filled; NOT_FOUND as well if it was made from something else than `origin`
 * (NULL: from whatever it was).
 */
imgsim_status
ims_map_graph_load(const char *path, const char *origin, struct ims_map_kept_graph *graph);

/* Neighbours listed for each of `count` points. */
uint32_t ims_map_neighbour_count(const imgsim_map_options *options, size_t count);

/* Read options over the defaults and check them against the number of points. */
imgsim_status
ims_map_options_read(const imgsim_map_options *options, size_t count, imgsim_map_options *out);

#endif
