/* SPDX-License-Identifier: Apache-2.0 */
/* Which images of a catalog look most like one to five others: channels, fusion, filters, result. */
#ifndef IMGSIM_QUERY_H
#define IMGSIM_QUERY_H

#include <imgsim/catalog.h>
#include <imgsim/extractor.h>
#include <imgsim/index.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Most images a query may have, positive and negative together. Since 0.1. */
#define IMGSIM_QUERY_IMAGES_MAX 5

/** A question to a catalog. Make it with imgsim_query_new(), release it with imgsim_query_free(). Since 0.1. */
typedef struct imgsim_query imgsim_query;

/** An answer: hits, best first. Release it with imgsim_result_free(). Since 0.1. */
typedef struct imgsim_result imgsim_result;

/** How several query images become one ranking per channel; docs/searching.md has the formulas. Since 0.1. */
enum {
    /** Weighted mean of the normalised features (default); bits: mean similarity. */
    IMGSIM_IMAGES_MEAN = 0,
    /** Reciprocal rank fusion of each image's ranking; the ranks of negative images are subtracted. */
    IMGSIM_IMAGES_RRF = 1,
    /** The best similarity to any positive image, less the best to any negative one, weights counted. */
    IMGSIM_IMAGES_BEST = 2
};

/** How the channels become one score. Since 0.1. */
enum {
    /** Weighted sum of similarities, weights scaled to sum 1 (default). */
    IMGSIM_FUSE_SUM = 0,
    /** Reciprocal rank fusion: sum of weight / (rrf_k + rank), scaled so that the first rank everywhere is 1. */
    IMGSIM_FUSE_RRF = 1,
    /** The host's function. */
    IMGSIM_FUSE_CALLBACK = 2
};

/** How candidates are found. Since 0.1. */
enum {
    /** An index that is stored, fits and is fresh, else EXACT. */
    IMGSIM_SEARCH_AUTO = 0,
    /** Every image is compared: the true answer. */
    IMGSIM_SEARCH_EXACT = 1,
    /**
     * Candidates from the projected feature's HNSW index, re-ranked by the original rows. If the best coarse score is below
     * failover_score, or the coarse scores are flat, the number of candidates grows by 4, three times at most; then the
     * exact scan runs.
     */
    IMGSIM_SEARCH_CASCADE = 2,
    /** Candidates from every channel's index and from its projection's, merged, re-ranked by the original rows. */
    IMGSIM_SEARCH_DOUBLE = 3
};

/**
 * The host's fusion: similarities of a batch of images to scores.
 *
 * @param similarities   image_count x channel_count, in the order in which channels were added
 * @param out_scores     image_count scores to fill, larger is better, no NaN
 *
 * Non-zero means failure: the search ends with IMGSIM_ERROR_CALLBACK. Since 0.1.
 */
typedef int32_t (*imgsim_fusion_callback)(
    const float *similarities,
    size_t image_count,
    size_t channel_count,
    float *out_scores,
    void *user_data);

/** Settings of a query; fill with imgsim_query_options_init(). Since 0.1. */
typedef struct imgsim_query_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Hits wanted, 1 to IMGSIM_K_MAX. Default 5. */
    uint32_t k;
    /** IMGSIM_IMAGES_MEAN (default), RRF or BEST. */
    int32_t images;
    /** IMGSIM_FUSE_SUM (default), RRF or CALLBACK. */
    int32_t fusion;
    /** IMGSIM_SEARCH_AUTO (default), EXACT, CASCADE or DOUBLE. */
    int32_t search;
    /** Candidates that the cascade re-ranks (M). Default 200. */
    uint32_t candidates;
    /** HNSW: candidates kept while searching, 0 (default): as needed. */
    uint32_t search_width;
    /** Constant of reciprocal rank fusion. Default 60. */
    double rrf_k;
    /** Cascade: a best coarse similarity below this asks for more candidates. Default 0.3. */
    double failover_score;
    /** Cascade: so does a difference between the best and the k-th (at least the second) below this. Default 0.005. */
    double failover_spread;
    /** Hits need at least this score; with a callback's negative scores set it lower. Default 0. */
    double min_score;
    /** Non-zero (default): query images that are in the catalog are left out of the hits. */
    int32_t exclude_queries;
    /** Threads, 0 for one per processor (default). */
    uint32_t threads;
    /** IMGSIM_FUSE_CALLBACK only. */
    imgsim_fusion_callback fuse;
    void *fuse_data;
} imgsim_query_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_query_options_init(imgsim_query_options *options, size_t struct_size);

/**
 * Make a query on a catalog, which it keeps alive. It sees what the catalog handle saw at this moment.
 *
 * @param options  NULL for the defaults
 */
IMGSIM_API imgsim_status imgsim_query_new(
    const imgsim_catalog *catalog,
    const imgsim_query_options *options,
    imgsim_query **out_query);

/** Release a query; NULL is fine. Results made from it stay valid. */
IMGSIM_API void imgsim_query_free(imgsim_query *query);

/** Replace the settings; rows that are loaded stay loaded. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_query_set_options(imgsim_query *query, const imgsim_query_options *options);

/**
 * Add an image to look for, from a file. Up to IMGSIM_QUERY_IMAGES_MAX images in all.
 *
 * @param weight  its share, not 0; below 0: hits should not look like it. At least one image must be positive.
 * @return IMGSIM_OK; what imgsim_image_load_file() returns; IMGSIM_ERROR_LIMIT (too many images). Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_query_add_file(imgsim_query *query, const char *path, double weight);

/** Add an image to look for, from a file's bytes in memory. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_query_add_memory(imgsim_query *query, const void *data, size_t data_size, double weight);

/** Add an image to look for that is decoded already; borrowed. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_query_add_image(imgsim_query *query, const imgsim_image *image, double weight);

/** Add an image of the catalog to look for. @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (no such id). Since 0.1. */
IMGSIM_API imgsim_status imgsim_query_add_id(imgsim_query *query, int64_t id, double weight);

/**
 * Add a row to look for; it speaks in the channel of this feature only.
 *
 * @param row       one row of the feature's row type; copied
 * @param row_size  its bytes
 */
IMGSIM_API imgsim_status imgsim_query_add_row(
    imgsim_query *query,
    const char *feature,
    const void *row,
    size_t row_size,
    double weight);

/** Forget the images to look for; channels and filters stay. Since 0.1. */
IMGSIM_API void imgsim_query_clear_images(imgsim_query *query);

/** Settings of a channel; fill with imgsim_channel_options_init(). Since 0.1. */
typedef struct imgsim_channel_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Share in the fused score, above 0. Default 1. */
    double weight;
    /** Metric; IMGSIM_METRIC_DEFAULT (default): the feature's own. Histograms are divided by their sum first. */
    int32_t metric;
    uint32_t reserved;
    /** IMGSIM_METRIC_CALLBACK: the host's function. */
    imgsim_metric_callback callback;
    void *user_data;
    /** IMGSIM_METRIC_MAHALANOBIS: dimension x dimension, copied. */
    const double *mahalanobis;
} imgsim_channel_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_channel_options_init(imgsim_channel_options *options, size_t struct_size);

/**
 * Compare by a feature. Without any call: "embedding" where the catalog has it, else "color" 0.7 and "hash" 0.3, else
 * the first feature made from images; a query of rows only is compared by their features.
 *
 * @param feature  name of a feature set, each at most once; at most 16 channels
 * @param options  NULL for the defaults
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (no such feature); IMGSIM_ERROR_INVALID_ARGUMENT. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_query_add_channel(
    imgsim_query *query,
    const char *feature,
    const imgsim_channel_options *options);

/**
 * Add channels by text: "embedding=0.7,color=0.2,hash=0.1", one name alone, or a preset: "fused" (embedding 0.7, color
 * 0.2, hash 0.1) or "blend" (embedding 0.7, its projection 0.3); NULL or "": the channels a query has by itself.
 * All of them are added or, on an error, none.
 *
 * @param metrics  NULL or "color=chi-square,embedding=l2"
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (no such feature; the text lists those there are);
 *         IMGSIM_ERROR_INVALID_ARGUMENT (a weight or metric; the text lists the metrics);
 *         IMGSIM_ERROR_NOT_READY ("blend" without a projection). Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_query_add_channels(imgsim_query *query, const char *by, const char *metrics);

/**
 * Give the extractor of a feature, for query images that are not in the catalog. Colour histogram and hash are
 * known from the catalog, and so is a CNN whose model file is still where it was.
 *
 * @param extractor  kept alive by the query
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (its fingerprint is not the feature's). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_query_set_extractor(
    imgsim_query *query,
    const char *feature,
    const imgsim_extractor *extractor);

/** Only images with this label; several calls: any of them. @return IMGSIM_ERROR_NOT_FOUND (no image has it). Since 0.1. */
IMGSIM_API imgsim_status imgsim_query_filter_label(imgsim_query *query, const char *label);

/** Only images in this folder or below; several calls: any of them. @return IMGSIM_ERROR_NOT_FOUND (none there). Since 0.1. */
IMGSIM_API imgsim_status imgsim_query_filter_directory(imgsim_query *query, const char *directory);

/**
 * Only ids whose bit is set (bit i % 8, least significant first, of byte i / 8); copied. Several calls: any of them. An image
 * has to pass all three kinds of filter that are in use. Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_query_filter_bits(imgsim_query *query, const uint8_t *bits, uint64_t bit_count);

/** Forget all filters. Since 0.1. */
IMGSIM_API void imgsim_query_clear_filters(imgsim_query *query);

/**
 * Search.
 *
 * @param out_result  returned: release with imgsim_result_free(); no hit at all is IMGSIM_OK with count 0
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_READY (no image to look for, no feature in the catalog, an extractor is
 *         needed: the text says which); IMGSIM_ERROR_CALLBACK; IMGSIM_ERROR_CORRUPT; IMGSIM_ERROR_OUT_OF_MEMORY. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_query_search(imgsim_query *query, imgsim_result **out_result);

/** Release a result; NULL is fine. */
IMGSIM_API void imgsim_result_free(imgsim_result *result);

/** One hit. Only the library makes these; the texts belong to the result. Since 0.1. */
typedef struct imgsim_hit {
    /** sizeof(imgsim_hit), written by the caller. */
    size_t struct_size;
    /** The image's id. */
    int64_t id;
    /** UUID, 36 characters. */
    const char *uuid;
    /** Absolute path. */
    const char *path;
    /** Fused score, larger is better. */
    double score;
    /** Size of the image in pixels. */
    uint32_t width;
    uint32_t height;
} imgsim_hit;

/** What one channel adds to a hit. Only the library makes these. Since 0.1. */
typedef struct imgsim_part {
    /** sizeof(imgsim_part), written by the caller. */
    size_t struct_size;
    /** Feature of the channel; belongs to the result. */
    const char *feature;
    /** The metric's value against the mean of the query images; with RRF and BEST, against the most similar positive one. */
    double value;
    /** What is fused, in [0, 1]: the value's similarity; with RRF and BEST, their joined score. */
    double similarity;
    /** Weight of the channel as used, all channels summing to 1. */
    double weight;
    /** Metric. */
    int32_t metric;
    /** Place in this channel's own ranking, from 1; 0 where it was not ranked. */
    uint32_t rank;
} imgsim_part;

/** Hits found, at most k. */
IMGSIM_API size_t imgsim_result_get_count(const imgsim_result *result);
/** Channels, the parts of each hit. */
IMGSIM_API size_t imgsim_result_get_part_count(const imgsim_result *result);
/** Images that were eligible: in state OK, with the features, inside the filters. */
IMGSIM_API uint64_t imgsim_result_get_image_count(const imgsim_result *result);
/** Whether every eligible image was compared exactly, so that these are the true hits: 1 or 0. */
IMGSIM_API int32_t imgsim_result_get_exact(const imgsim_result *result);
/** How often the cascade asked for more candidates. */
IMGSIM_API uint32_t imgsim_result_get_failovers(const imgsim_result *result);
/** Time of the search in milliseconds, without decoding the query images. */
IMGSIM_API double imgsim_result_get_elapsed_ms(const imgsim_result *result);
/** Fill in hit `position`, from 0. @return IMGSIM_ERROR_INVALID_ARGUMENT (no such hit). Since 0.1. */
IMGSIM_API imgsim_status
imgsim_result_get_hit(const imgsim_result *result, size_t position, imgsim_hit *out_hit);
/** Fill in part `part` of hit `position`. Since 0.1. */
IMGSIM_API imgsim_status imgsim_result_get_part(
    const imgsim_result *result,
    size_t position,
    size_t part,
    imgsim_part *out_part);

/**
 * Draw a contact sheet: the query images beside the hits with rank, score and file name. JPEG, PNG or WebP by the file's
 * ending; replaced atomically. Images that cannot be read any more are drawn as an empty frame with their name.
 *
 * @param query  the query the result came from, with its images still added
 */
IMGSIM_API imgsim_status
imgsim_result_write_sheet(const imgsim_result *result, const imgsim_query *query, const char *path);

/** Write the same as one HTML file that needs no other. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_result_write_html(const imgsim_result *result, const imgsim_query *query, const char *path);

#ifdef __cplusplus
}
#endif

#endif
