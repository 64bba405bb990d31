/* SPDX-License-Identifier: Apache-2.0 */
/* A map written for people: one page that a browser opens by itself, and the files of TensorBoard's projector. */
#ifndef IMGSIM_PAGE_H
#define IMGSIM_PAGE_H

#include <imgsim/catalog.h>
#include <imgsim/map.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What is to be shown of a map: its points, their names, properties and pictures. Make it with imgsim_page_new(), add to it,
 * write it, release it with imgsim_page_free(). Since 0.1.
 */
typedef struct imgsim_page imgsim_page;

/** Most points of a page. Since 0.1. */
#define IMGSIM_PAGE_POINTS_MAX 16777216
/** Most properties of a page. Since 0.1. */
#define IMGSIM_PAGE_COLUMNS_MAX 16
/** A date that is not known. Since 0.1. */
#define IMGSIM_PAGE_NO_DATE INT64_MIN

/** Settings of what is written; fill with imgsim_page_options_init(). Since 0.1. */
typedef struct imgsim_page_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Headline, any bytes; NULL (default): "Map of images". */
    const char *title;
    /** Folder for the pictures of all points as tiles beside the page; NULL (default): only representatives, inside the page. */
    const char *tiles_folder;
    /** Most representatives whose pictures are inside the page. Default 5000; 0: none. */
    uint32_t picture_count;
    /** Longer side of these pictures in pixels, 16 to 240; 0 (default): 128 for a thousand, 64 for 5,000 or more. */
    uint32_t picture_side;
    /** Neighbours listed for an image, at most 16; 0 (default): 10 up to 50,000 points, else 5. */
    uint32_t neighbours;
    /** Projector: pictures in its sprite, those of the first rows, at most 100000. Default 100000; 0: no sprite. */
    uint32_t sprite_count;
    /** Threads, 0 for one per processor (default). What is written does not depend on it. */
    uint32_t threads;
    uint32_t reserved;
    /** Told about the phases "pictures", "tiles" and "sprite"; non-zero stops (optional). */
    imgsim_progress_callback progress;
    void *progress_data;
} imgsim_page_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status imgsim_page_options_init(imgsim_page_options *options, size_t struct_size);

/**
 * Begin a page with the points of a map and their nearest neighbours, both copied.
 *
 * @param out_page  returned: release with imgsim_page_free()
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_LIMIT (more than IMGSIM_PAGE_POINTS_MAX points);
 *         IMGSIM_ERROR_OUT_OF_MEMORY. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_page_new(const imgsim_map *map, imgsim_page **out_page);

/** Release a page; NULL is fine. */
IMGSIM_API void imgsim_page_free(imgsim_page *page);

/**
 * Add a map of the same points in the other number of dimensions: the page then turns from flat to space and back. Copied.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (other ids, or the same number of dimensions). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_page_add_map(imgsim_page *page, const imgsim_map *map);

/**
 * Add what a catalog knows of the images whose ids the map has: paths, the properties "Label" (of several the first in order of
 * their bytes), "Predicted label" and "Cluster: NAME" for each set of clusters where there are any, dates (the file's last
 * modification) and, where a scan made them, thumbnails. The catalog is kept alive.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (an id that the catalog does not have); what reading the catalog returns. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_page_add_catalog(imgsim_page *page, const imgsim_catalog *catalog);

/**
 * Add a path for each point, any bytes; copied. The page links them: relative to itself where they lie below its folder.
 *
 * @param paths  one per point
 */
IMGSIM_API imgsim_status imgsim_page_add_paths(imgsim_page *page, const char *const *paths);

/**
 * Give every point its nearest neighbours instead of those of the map; copied.
 *
 * @param neighbours       point count x neighbour_count places in the map, nearest first; a point's own place stands for none
 * @param neighbour_count  1 to 1000; the page keeps the first 16
 */
IMGSIM_API imgsim_status
imgsim_page_add_neighbours(imgsim_page *page, const uint32_t *neighbours, uint32_t neighbour_count);

/** Add a date for each point, seconds since 1970 or IMGSIM_PAGE_NO_DATE; copied. Since 0.1. */
IMGSIM_API imgsim_status imgsim_page_add_dates(imgsim_page *page, const int64_t *dates);

/**
 * Add a property by which points are coloured and found: clusters, labels, ... Copied. The first one added colours the page when
 * it is opened; one of the same title replaces it.
 *
 * @param title       "Cluster" for instance
 * @param values      one per point: a position in `names`, or below 0 for none
 * @param names       name_count texts, any bytes; NULL: "TITLE 1", "TITLE 2", ...
 * @param name_count  1 to 2^24
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (a value without a name); IMGSIM_ERROR_LIMIT (too many properties);
 *         IMGSIM_ERROR_OUT_OF_MEMORY. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_page_add_column(
    imgsim_page *page,
    const char *title,
    const int32_t *values,
    const char *const *names,
    size_t name_count);

/**
 * Add a figure to the page's view of the map's quality; copied.
 *
 * @param name   "trustworthiness" for instance
 * @param value  drawn as a bar where it lies between 0 and 1
 * @param note   a sentence that explains it, or NULL
 */
IMGSIM_API imgsim_status
imgsim_page_add_figure(imgsim_page *page, const char *name, double value, const char *note);

/**
 * Measure the page's map against the feature it shows and add the figures to the page's view of quality: trustworthiness,
 * continuity, neighbours kept and, for each property added so far that has two groups or more, the silhouette of its groups in the
 * feature, of up to 2,000 images among up to 20,000.
 *
 * @param map          that of the page, or the one added to it
 * @param catalog      that of the map
 * @param options      NULL for the defaults
 * @param out_quality  NULL, or filled; its struct_size says how much of it the caller knows
 * @return as imgsim_map_measure_catalog(); IMGSIM_ERROR_INVALID_ARGUMENT (a map of other points). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_page_add_quality(
    imgsim_page *page,
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    const imgsim_quality_options *options,
    imgsim_quality *out_quality);

/**
 * The host's pictures: a JPEG file for a point.
 *
 * @param place     of the point in the map
 * @param out_data  borrowed until the next call on the same thread; NULL: this point has no picture
 * @param out_size  bytes
 *
 * Called from several threads at once. Non-zero means failure: writing ends with IMGSIM_ERROR_CALLBACK. Since 0.1.
 */
typedef int32_t (*imgsim_picture_callback)(
    uint64_t place,
    const void **out_data,
    size_t *out_size,
    void *user_data);

/** Take pictures from the host, before those of a catalog; NULL ends that. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_page_set_pictures(imgsim_page *page, imgsim_picture_callback callback, void *user_data);

/**
 * Write one HTML file that works alone and asks nothing of any network: all points, names, properties, neighbours, pictures of
 * representatives. Opened from the disk it shows the files themselves, too. Replaced atomically; tiles are replaced one by one.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_IO; IMGSIM_ERROR_NO_SPACE; IMGSIM_ERROR_CANCELLED; IMGSIM_ERROR_CALLBACK;
 *         IMGSIM_ERROR_OUT_OF_MEMORY. Since 0.1.
 *
 * Source: docs/map-page.md describes the file.
 */
IMGSIM_API imgsim_status imgsim_page_write_html(
    const imgsim_page *page,
    const imgsim_page_options *options,
    const char *path);

/**
 * Write a folder that TensorBoard's projector opens: `tensorboard --logdir FOLDER`. At most six files: configuration, vectors,
 * positions, properties, sprite, and a bookmark that shows these positions instead of computing others. Rows are ordered so that
 * the first 100,000, which is all that TensorBoard reads, are an even sample.
 *
 * @param vectors    count x dimension floats shown beside the positions (a PCA to 50 values, for instance), or NULL
 * @param dimension  1 to 65536; ignored without vectors
 * @param folder     made if it is not there
 *
 * @return as imgsim_page_write_html(). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_page_write_projector(
    const imgsim_page *page,
    const float *vectors,
    uint32_t dimension,
    const imgsim_page_options *options,
    const char *folder);

#ifdef __cplusplus
}
#endif

#endif
