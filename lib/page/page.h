/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map written for people: one page that a browser opens by itself, and the files of TensorBoard's
 * projector. Works on plain arrays, without a catalog.
 */
#ifndef IMS_PAGE_H
#define IMS_PAGE_H

#include "core/status.h"

#include <stdbool.h>

/* Most points of a page; its numbers and a browser's memory end about here. */
#define IMS_PAGE_POINTS_MAX ((size_t)1 << 24)
#define IMS_PAGE_COLUMNS_MAX 16
/* A date that is not known. */
#define IMS_PAGE_NO_DATE INT64_MIN

/* A property by which points are coloured. */
struct ims_page_column {
    const char *title;        /* "Cluster", "Label" */
    const int32_t *values;    /* one per point: a position in names, or -1 for none */
    const char *const *names; /* any bytes */
    size_t name_count;
};

/* A figure about the map's quality. */
struct ims_page_figure {
    const char *name;
    double value;
    const char *note; /* one sentence for people, or NULL */
};

/*
 * The picture of a point as a JPEG file, or NULL where there is none, which is no error. Called
 * from several threads at once. Release the bytes with ims_free().
 */
typedef imgsim_status (
    *ims_page_picture)(void *user_data, size_t point, uint8_t **out_data, size_t *out_size);

/* What both writers get. Borrowed during the call. Zero it before use. */
struct ims_page_input {
    size_t count;
    const float *flat;                     /* count x 2, or NULL */
    const float *deep;                     /* count x 3, or NULL */
    const char *const *paths;              /* count, absolute or not, any bytes; NULL: no names */
    const int64_t *dates;                  /* seconds since 1970, or NULL */
    const struct ims_page_column *columns; /* column_count */
    size_t column_count;
    const uint32_t *neighbours; /* count x neighbour_count points, nearest first, or NULL */
    uint32_t neighbour_count;
    const struct ims_page_figure *figures;
    size_t figure_count;
    const char *title;        /* NULL: "Map of N images" */
    const char *layout;       /* "UMAP of embedding" */
    ims_page_picture picture; /* NULL: no pictures */
    void *picture_data;
    struct ims_pool *pool;   /* NULL: the calling thread */
    struct ims_meter *meter; /* NULL: nobody listens */
};

/* ---- the page ---- */

struct ims_page_settings {
    uint32_t picture_count;    /* representatives shown as pictures */
    uint32_t picture_side;     /* of their longer side in pixels, 16 to 256 */
    uint32_t neighbours_shown; /* most neighbours kept for a point */
    /* Folder for the pictures of all points, beside the page; NULL: only representatives, inside. */
    const char *tiles_folder;
};

imgsim_status ims_page_write(
    const struct ims_page_input *input,
    const struct ims_page_settings *settings,
    const char *path);

/* ---- TensorBoard's projector ---- */

struct ims_projector_settings {
    const float *vectors; /* count x dimension, shown beside the positions; NULL: positions only */
    uint32_t dimension;
    uint32_t sprite_count; /* pictures of the first rows, at most 100,000; 0: no sprite */
};

/* The files are replaced one by one, the configuration last. */
imgsim_status ims_projector_write(
    const struct ims_page_input *input,
    const struct ims_projector_settings *settings,
    const char *folder);

#endif
