/* SPDX-License-Identifier: Apache-2.0 */
/* The map of a collection: neighbour graph, layouts in two or three dimensions, their quality, plain exports. */
#ifndef IMGSIM_MAP_H
#define IMGSIM_MAP_H

#include <imgsim/catalog.h>
#include <imgsim/metric.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Points of two or three dimensions, one per row of a set, laid out so that similar rows lie together; with the neighbour
 * graph of the rows where the layout has one. Never changed once made: any number of threads may read it. Release it with
 * imgsim_map_free(). Since 0.1.
 */
typedef struct imgsim_map imgsim_map;

/** How points are laid out. Since 0.1. */
enum {
    /** The first principal axes: linear, instant, no neighbour graph. */
    IMGSIM_LAYOUT_PCA = 1,
    /** UMAP: clusters and what lies between them. */
    IMGSIM_LAYOUT_UMAP = 2,
    /** t-SNE: who is next to whom. */
    IMGSIM_LAYOUT_TSNE = 3
};

/** Where UMAP's and t-SNE's points start. Since 0.1. */
enum {
    /** UMAP: spectral; t-SNE: PCA. */
    IMGSIM_START_AUTO = 0,
    /** The first principal axes, scaled. */
    IMGSIM_START_PCA = 1,
    /** Eigenvectors of the neighbour graph; the parts of a graph that falls into parts lie apart. */
    IMGSIM_START_SPECTRAL = 2
};

/** Fewest points of a map, and most dimensions of one. Since 0.1. */
#define IMGSIM_MAP_POINTS_MIN 4
#define IMGSIM_MAP_DIMENSION_MAX 3

/** Settings of a map; fill with imgsim_map_options_init(). Since 0.1. */
typedef struct imgsim_map_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Same seed, same rows and same settings give the same map, whatever the threads. Default 1. */
    uint64_t seed;
    /** IMGSIM_LAYOUT_UMAP (default), TSNE or PCA. */
    int32_t layout;
    /** Dimensions of the map: 2 (default) or 3. */
    uint32_t dimension;
    /** COSINE (distance 1 - cosine) or L2 (distance |a - b|); DEFAULT: the feature's, COSINE for plain rows. */
    int32_t metric;
    /** Threads, 0 for one per processor (default). The map does not depend on it. */
    uint32_t threads;
    /**
     * Neighbours of a point, itself counted as in UMAP's papers, 2 to 1000; 0 (default): 15 for UMAP, and what the perplexity
     * asks for t-SNE. Cut to the number of points.
     */
    uint32_t neighbours;
    /** Steps over all points; 0 (default): UMAP 500 up to 10,000 points, else 200; t-SNE 750. At most 100000. */
    uint32_t epochs;
    /** UMAP: distance in the map below which points count as touching, 0 to spread. Default 0.1. */
    double min_dist;
    /** UMAP: scale of the map, above 0. Default 1. */
    double spread;
    /** UMAP: strangers that push a point away for each neighbour that pulls it, 1 to 100. Default 5. */
    uint32_t negatives;
    /** IMGSIM_START_AUTO (default), PCA or SPECTRAL. */
    int32_t start;
    /** t-SNE: effective number of neighbours, 1 to 300, cut to a third of the points. Default 30. */
    double perplexity;
    /** t-SNE: attraction is multiplied by this in the first third of the steps, 1 to 100. Default 12. */
    double early_exaggeration;
    /** t-SNE: and by this in the rest, 1 to 100. Default 1. */
    double late_exaggeration;
    /** Step length; 0 (default): UMAP 1; t-SNE as many as points / exaggeration, at least 50 / 4. */
    double learning_rate;
    /**
     * Warm start: positions to begin from, points x dimension, borrowed during the call; a row that begins with NaN is
     * placed among its neighbours. NULL (default): as `start` says.
     */
    const float *start_positions;
    /** Told about the phases "read", "neighbours", "start" and "layout"; non-zero stops (optional). */
    imgsim_progress_callback progress;
    void *progress_data;
    /**
     * Neighbour graph: 0 (default) exact for small sets, else candidates by inverted lists and descent, ranked by distances
     * that are good to about 1e-4 of themselves; 1 always exact.
     */
    int32_t exact_neighbours;
    /** Non-zero: make the map anew even if the catalog keeps a fresh one. Default 0. */
    int32_t refresh;
    /**
     * Of a catalog, UMAP and t-SNE: non-zero keeps the places of the images that are on a map of these settings which the catalog
     * keeps, and places images that came since among them, instead of laying all out anew. Not where the feature was made anew.
     * A map laid out from all images at once is not the same; the next call without this makes it. Default 0.
     */
    int32_t place;
    uint32_t reserved;
} imgsim_map_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status imgsim_map_options_init(imgsim_map_options *options, size_t struct_size);

/**
 * Lay out plain rows.
 *
 * @param rows           row_count x row_dimension floats, finite, borrowed during the call; may be mapped from a file
 * @param row_count      IMGSIM_MAP_POINTS_MIN to 500,000,000
 * @param row_dimension  1 to 65536
 * @param ids            row_count ids, or NULL: the row numbers
 * @param options        NULL for the defaults
 * @param out_map        returned: release with imgsim_map_free()
 *
 * Identical rows are fine: they get places next to each other. With fewer distinct rows or values per row than the layout
 * needs, the missing directions are 0 in a PCA map.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (too few rows; NaN or infinity: the text names row and column; a
 *         setting out of range); IMGSIM_ERROR_UNSUPPORTED (unknown layout, another metric);
 *         IMGSIM_ERROR_OUT_OF_MEMORY; IMGSIM_ERROR_CANCELLED. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_map_new(
    const float *rows,
    size_t row_count,
    uint32_t row_dimension,
    const int64_t *ids,
    const imgsim_map_options *options,
    imgsim_map **out_map);

/**
 * Lay out the images of a catalog by one of its features, and keep the map with it (maps/FEATURE.LAYOUT-D.ims): asked for
 * again with the same settings over the same images it is read back. The neighbour graph is kept and reused as well.
 *
 * @param feature  float rows; NULL: "embedding", else the feature made first that has float rows
 * @return as imgsim_map_new(); IMGSIM_ERROR_NOT_FOUND (no such feature); IMGSIM_ERROR_UNSUPPORTED (histograms or bits).
 *         A catalog that cannot be written is no error: the map is then only returned. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_map_new_catalog(
    const imgsim_catalog *catalog,
    const char *feature,
    const imgsim_map_options *options,
    imgsim_map **out_map);

/** Release a map; NULL is fine. */
IMGSIM_API void imgsim_map_free(imgsim_map *map);

/** Points. */
IMGSIM_API size_t imgsim_map_get_count(const imgsim_map *map);
/** Dimensions of the map, 2 or 3. */
IMGSIM_API uint32_t imgsim_map_get_dimension(const imgsim_map *map);
/** IMGSIM_LAYOUT_PCA, UMAP or TSNE. */
IMGSIM_API int32_t imgsim_map_get_layout(const imgsim_map *map);
/** Positions, count x dimension floats, row-major, finite; belong to the map. */
IMGSIM_API const float *imgsim_map_get_positions(const imgsim_map *map);
/** Ids of the points, count; ascending for a map of a catalog; belong to the map. */
IMGSIM_API const int64_t *imgsim_map_get_ids(const imgsim_map *map);
/** Neighbours listed for each point, the point itself left out; 0 when the map has no graph. */
IMGSIM_API uint32_t imgsim_map_get_neighbour_count(const imgsim_map *map);
/**
 * Neighbour graph, count x neighbour_count *places in the map* (not ids), nearest first, equal distances by place; NULL
 * without a graph. Belongs to the map.
 */
IMGSIM_API const uint32_t *imgsim_map_get_neighbours(const imgsim_map *map);
/** Distances of the same, by the map's metric; NULL without a graph. Belongs to the map. */
IMGSIM_API const float *imgsim_map_get_distances(const imgsim_map *map);
/** Name of the feature the map shows, "" for plain rows. */
IMGSIM_API const char *imgsim_map_get_feature(const imgsim_map *map);
/** t-SNE: Kullback-Leibler divergence of the map at its end, in nats; NaN for other layouts. */
IMGSIM_API double imgsim_map_get_kl(const imgsim_map *map);

/* ---- quality ---- */

/** Settings of a measurement; fill with imgsim_quality_options_init(). Since 0.1. */
typedef struct imgsim_quality_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Draws the points that are looked at, where not all are. Default 1. */
    uint64_t seed;
    /** Points looked at, each against all; 0 (default): all up to 100,000, else 5,000. */
    uint64_t anchors;
    /** Distance of the rows: IMGSIM_METRIC_COSINE (default) or L2. */
    int32_t metric;
    /** Neighbours, 1 to less than half the number of points. Default 15. */
    uint32_t neighbours;
    /** Threads, 0 for one per processor (default). */
    uint32_t threads;
    uint32_t reserved;
    /** Told about the phase "measure"; non-zero stops (optional). */
    imgsim_progress_callback progress;
    void *progress_data;
} imgsim_quality_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_quality_options_init(imgsim_quality_options *options, size_t struct_size);

/** How well a map keeps neighbourhoods; all in [0, 1], 1 is best. Set struct_size before the call. Since 0.1. */
typedef struct imgsim_quality {
    /** sizeof(imgsim_quality). */
    size_t struct_size;
    /** Points that are near in the map are near in the rows: 1 - 2 / (A k (2n - 3k - 1)) x the ranks beyond k. */
    double trustworthiness;
    /** The same the other way round: rows that are near are near in the map. */
    double continuity;
    /** Share of the k nearest rows among the k nearest points. */
    double preservation;
    /** Points looked at (A). */
    uint64_t anchors;
    /** Neighbours (k). */
    uint32_t neighbours;
    uint32_t reserved;
} imgsim_quality;

/**
 * Measure positions against the rows they stand for, whoever made them.
 *
 * @param rows           row_count x row_dimension floats, finite
 * @param positions      row_count x dimension floats, finite
 * @param dimension      2 or 3
 * @param options        NULL for the defaults
 * @param out_quality    filled; its struct_size says how much of it the caller knows
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_UNSUPPORTED (metric); IMGSIM_ERROR_CANCELLED;
 *         IMGSIM_ERROR_OUT_OF_MEMORY
 *
 * Source: Venna & Kaski, ICANN 2001; with all points looked at the trustworthiness is scikit-learn's. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_map_measure(
    const float *rows,
    size_t row_count,
    uint32_t row_dimension,
    const float *positions,
    uint32_t dimension,
    const imgsim_quality_options *options,
    imgsim_quality *out_quality);

/**
 * The same for a map of a catalog, whose feature is read again; the metric is the map's.
 *
 * @return as imgsim_map_measure(); IMGSIM_ERROR_NOT_FOUND (the feature is gone, or an image of the map has no row of it)
 */
IMGSIM_API imgsim_status imgsim_map_measure_catalog(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    const imgsim_quality_options *options,
    imgsim_quality *out_quality);

/* ---- new points ---- */

/**
 * Place more rows on a UMAP or t-SNE map, which stays as it is: each among its nearest rows of the map, moved by them and away from
 * the rest. A row equal to one of the map's gets its place.
 *
 * @param map            UMAP or t-SNE
 * @param map_rows       the rows the map was made from, in its order: count x row_dimension
 * @param row_dimension  as when the map was made
 * @param rows           row_count x row_dimension floats, finite
 * @param options        the settings the map was made with; layout, dimension and metric are the map's. NULL for the defaults
 * @param out_positions  row_count x dimension
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_UNSUPPORTED (a PCA map: use a projector);
 *         IMGSIM_ERROR_CANCELLED. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_map_place(
    const imgsim_map *map,
    const float *map_rows,
    uint32_t row_dimension,
    const float *rows,
    size_t row_count,
    const imgsim_map_options *options,
    float *out_positions);

/* ---- files ---- */

/** Save a map; the file is replaced atomically. Since 0.1. */
IMGSIM_API imgsim_status imgsim_map_save(const imgsim_map *map, const char *path);
/** Read a saved map. @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND; IMGSIM_ERROR_CORRUPT; IMGSIM_ERROR_UNSUPPORTED. Since 0.1. */
IMGSIM_API imgsim_status imgsim_map_load(const char *path, imgsim_map **out_map);

/** Write positions as .npy (count x dimension float32), and beside it PATH with ".ids.npy" their ids as int64. Since 0.1. */
IMGSIM_API imgsim_status imgsim_map_write_npy(const imgsim_map *map, const char *path);

/**
 * Write a table as CSV (RFC 4180): id,x,y[,z], and with a catalog also uuid,path,group, where the group is what
 * `color_by` says. Replaced atomically. Since 0.1.
 *
 * @param catalog   NULL for a map of plain rows
 * @param color_by  as in imgsim_plot_options, but not IMGSIM_COLOR_GROUPS; clusters are those of the first set
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (no clusters, nothing predicted); IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_IO
 */
IMGSIM_API imgsim_status imgsim_map_write_csv(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    int32_t color_by,
    const char *path);

/** What points are coloured by. Since 0.1. */
enum {
    /** Labels if any image has one, else folders; nothing without a catalog or groups. */
    IMGSIM_COLOR_AUTO = 0,
    IMGSIM_COLOR_NONE = 1,
    /** An image's first label, those of clusters and predictions left out. */
    IMGSIM_COLOR_LABEL = 2,
    /** The last part of its folder. */
    IMGSIM_COLOR_FOLDER = 3,
    /** The groups given. */
    IMGSIM_COLOR_GROUPS = 4,
    /**
     * Its cluster in a set that the catalog keeps (imgsim_derive_clusters()), noise in no group: "12", or "12: cat" where at least
     * half of the cluster has this label (in a catalog without labels: lies in this folder).
     */
    IMGSIM_COLOR_CLUSTER = 5,
    /** Its predicted label (imgsim_derive_predictions()). */
    IMGSIM_COLOR_PREDICTED = 6
};

/** Settings of a static picture of a map; fill with imgsim_plot_options_init(). Since 0.1. */
typedef struct imgsim_plot_options {
    /** Written by the init function. */
    size_t struct_size;
    /** IMGSIM_COLOR_AUTO (default), ... */
    int32_t color_by;
    /** Size of the picture in pixels, 200 to 8000. Default 1200 x 900. */
    uint32_t width;
    uint32_t height;
    uint32_t reserved;
    /** Line above the picture; NULL: layout and number of points; "" for none. */
    const char *title;
    /** IMGSIM_COLOR_GROUPS: group of each point, -1 for none (drawn grey); count of the map, borrowed. */
    const int32_t *groups;
    /** Names of the groups, group_count; NULL: their numbers. */
    const char *const *group_names;
    size_t group_count;
    /** IMGSIM_COLOR_CLUSTER: name of the set; NULL (default): the first in order of name. */
    const char *cluster;
} imgsim_plot_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status imgsim_plot_options_init(imgsim_plot_options *options, size_t struct_size);

/**
 * Draw a map as a picture, with a legend of its largest groups: PNG (also .jpg, .webp) or SVG by the name's ending. A map of
 * three dimensions is seen slightly from above, nearer points over farther ones. Replaced atomically.
 *
 * @param catalog  NULL for a map of plain rows
 * @param options  NULL for the defaults
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (unknown ending, groups missing); IMGSIM_ERROR_UNSUPPORTED
 *         (the image module is missing); IMGSIM_ERROR_NO_SPACE; IMGSIM_ERROR_IO. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_map_write_plot(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    const imgsim_plot_options *options,
    const char *path);

/**
 * Write a table as imgsim_map_write_csv() does, with the groups that the options of a picture ask for; their sizes and title do
 * not matter.
 *
 * @param catalog  NULL for a map of plain rows, whose table has no groups
 * @param options  NULL for the defaults
 * @return as imgsim_map_write_csv()
 */
IMGSIM_API imgsim_status imgsim_map_write_table(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    const imgsim_plot_options *options,
    const char *path);

/* ---- names ---- */

/** Name of a layout as the command and Python write it ("umap"), NULL if unknown. Since 0.1. */
IMGSIM_API const char *imgsim_layout_name(int32_t layout);
/** Layout of a name: "pca", "umap", "tsne". @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT. Since 0.1. */
IMGSIM_API imgsim_status imgsim_layout_from_name(const char *name, int32_t *out_layout);

#ifdef __cplusplus
}
#endif

#endif
