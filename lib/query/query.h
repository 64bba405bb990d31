/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a query: its images, channels and filters, and the steps from rows to ranked hits. */
#ifndef IMS_QUERY_H
#define IMS_QUERY_H

#include <imgsim/query.h>

#include "core/bitset.h"
#include "core/status.h"
#include "core/text.h"
#include "core/threads.h"
#include "core/topk.h"

#include <imgsim/projector.h>

#include <stdbool.h>

#define IMS_CHANNELS_MAX 16
#define IMS_FEATURE_NAME_SIZE 64

/* ---- images to look for ---- */

/*
 * A row that was read or computed for an image; kept so that searching again does not extract
 * again.
 */
struct ims_known_row {
    struct ims_known_row *next;
    char feature[IMS_FEATURE_NAME_SIZE];
    void *row;
};

/*
 * One image to look for: pixels, an image of the catalog, a row, or pixels that are in the catalog
 * too.
 */
struct ims_query_image {
    double weight;
    int64_t id;     /* -1: not in the catalog */
    bool same_file; /* the catalog's file of this id has this content: its stored rows hold */
    imgsim_image *image;
    uint32_t decoded_side; /* shorter side that decoding kept at least */
    uint8_t *data; /* the file's bytes, for decoding again at another size; NULL for pixels */
    size_t data_size;
    char *name;                          /* path, UUID or what it is, for people */
    char *path;                          /* where its picture can be read, or NULL */
    char feature[IMS_FEATURE_NAME_SIZE]; /* of a given row; "" otherwise */
    struct ims_known_row *rows;
};

/* ---- channels ---- */

/* A feature with a metric: what rows are compared in. */
struct ims_space {
    imgsim_features *features;
    const char *name; /* belongs to the features */
    uint32_t dimension;
    int32_t row_type;
    int32_t metric;
    imgsim_metric_callback callback;
    void *user_data;
    double *mahalanobis;
    imgsim_index *exact;  /* over the mapped rows; made at the first need */
    imgsim_index *stored; /* the catalog's own, fresh; NULL if there is none */
    bool stored_asked;
};

struct ims_channel {
    struct ims_space space;
    double weight;
    struct ims_space
        *projection; /* of the same feature, for coarse search; NULL if there is none */
    bool projection_asked;
};

struct ims_named_extractor {
    const imgsim_extractor *extractor;
    char feature[IMS_FEATURE_NAME_SIZE];
};

struct ims_named_projector {
    imgsim_projector *projector;
    char feature[IMS_FEATURE_NAME_SIZE];
};

/* ---- the query ---- */

struct imgsim_query {
    const imgsim_catalog *catalog;
    imgsim_query_options options;
    struct ims_bitset live; /* as the catalog's handle saw it when the query was made */

    struct ims_query_image images[IMGSIM_QUERY_IMAGES_MAX];
    size_t image_count;

    struct ims_channel channels[IMS_CHANNELS_MAX];
    size_t channel_count;
    bool channels_are_default;

    struct ims_named_extractor *extractors;
    size_t extractor_count;
    size_t extractor_capacity;
    struct ims_named_projector *projectors;
    size_t projector_count;
    size_t projector_capacity;

    /* Each kind: NULL bytes with count 0 when not filtered by it. */
    struct ims_bitset labels;
    struct ims_bitset directories;
    struct ims_bitset bits;

    /* Of searches by bounds, kept from one to the next. */
    struct ims_pool *pool;
    uint32_t pool_threads; /* that it was made for */
    float *room;
    size_t room_size;
};

/* What the channels say about some images; arrays run over the same ids, ascending. */
struct ims_scores {
    int64_t *ids;
    size_t count;
    bool all; /* the ids are all eligible ones */
    size_t channel_count;
    double *similarity; /* channel_count x count, in [0, 1] */
    double *key;        /* count: order within the last evaluated channel, smaller is nearer */
    uint32_t *rank;     /* channel_count x count, from 1; NULL unless ranks are fused */
    double *score;      /* count: fused */
};

/* ---- query.c ---- */

/* The query's threads; NULL for one. */
imgsim_status ims_query_pool(imgsim_query *query, struct ims_pool **out_pool);

/* ---- channel.c ---- */

/* Open a feature for comparing; `options` are known to be right. */
imgsim_status ims_space_open(
    const imgsim_catalog *catalog,
    const char *feature,
    const imgsim_channel_options *options,
    struct ims_space *out_space);
void ims_space_close(struct ims_space *space);
/* The exact index over all rows of the space; belongs to the space. */
imgsim_status ims_space_exact(struct ims_space *space, const imgsim_index **out_index);
/* The stored index, NULL if there is no fresh one; belongs to the space. */
imgsim_status ims_space_stored(
    const imgsim_query *query,
    struct ims_space *space,
    const imgsim_index **out_index);
/* Name of the projection of a feature that serves best, "" if there is none. */
imgsim_status ims_projection_of(
    const imgsim_catalog *catalog,
    const char *feature,
    char out_name[IMS_FEATURE_NAME_SIZE]);
/*
 * The projection that a coarse search of this channel uses, NULL if there is none; belongs to the
 * channel.
 */
imgsim_status ims_channel_projection(
    const imgsim_query *query,
    struct ims_channel *channel,
    struct ims_space **out_projection);
/* Features with weights: channels to be. */
struct ims_channel_choice {
    char names[IMS_CHANNELS_MAX][IMS_FEATURE_NAME_SIZE];
    double weights[IMS_CHANNELS_MAX];
    size_t count;
};
/* The channels a query has when nobody names any. NOT_READY without a feature in the catalog. */
imgsim_status ims_channels_choose(const imgsim_query *query, struct ims_channel_choice *out_choice);
/* Give the query its default channels if nobody named any. */
imgsim_status ims_channels_default(imgsim_query *query);
/* Keep the first `count` channels; clear: none. */
void ims_channels_truncate(imgsim_query *query, size_t count);
void ims_channels_clear(imgsim_query *query);
/* Weight of a channel, all summing to 1. */
double ims_channel_share(const imgsim_query *query, size_t channel);

/* ---- rows.c ---- */

/* Find in which state a file that was added is known to the catalog: sets id and same_file. */
imgsim_status ims_image_recognise(const imgsim_query *query, struct ims_query_image *image);
/* Decode from the bytes so that the shorter side keeps `side` pixels, unless it was decoded so. */
imgsim_status
ims_image_decode_at(struct ims_query_image *image, uint32_t side, const char *name_for_errors);
void ims_image_clear(struct ims_query_image *image);
/* Shorter side a scan of this catalog keeps when decoding: same file, same pixels, same row. */
uint32_t ims_query_min_side(const imgsim_query *query);
/*
 * The image's row of the space's feature: stored, or extracted, or projected. *out_row is NULL,
 * with IMGSIM_OK, when the image is a row of another feature and does not speak here. Belongs to
 * the image.
 */
imgsim_status ims_image_row(
    imgsim_query *query,
    struct ims_query_image *image,
    const struct ims_space *space,
    const void **out_row);

/* Counts to floats of sum 1 (all zeros stay so), rounded as indexes round them. */
void ims_normalise_counts(const uint32_t *counts, uint32_t dimension, float *out_row);

/* Query rows of one space as its index takes them: floats, or bits. */
struct ims_channel_rows {
    size_t count;
    size_t row_size;
    double weights[IMGSIM_QUERY_IMAGES_MAX];
    uint8_t *rows;
    bool bits;
};

/*
 * The rows of all images that speak in the space, histograms divided by their sum. NOT_READY if no
 * positive image speaks.
 */
imgsim_status ims_rows_collect(
    imgsim_query *query,
    const struct ims_space *space,
    struct ims_channel_rows *out_rows);
/*
 * Replace the rows by their mean (docs/searching.md, "Several images"); bits stay as they are.
 * NOT_READY if the negative images cancel the positive ones.
 */
imgsim_status ims_rows_mean(const struct ims_space *space, struct ims_channel_rows *rows);
void ims_channel_rows_clear(struct ims_channel_rows *rows);
/* Row i. */
const void *ims_rows_at(const struct ims_channel_rows *rows, size_t i);

/* ---- filter.c ---- */

/* Images that may be hits: live, with rows in all channels, inside the filters. */
imgsim_status ims_query_eligible(const imgsim_query *query, struct ims_bitset *out_eligible);
/* Take the query images out. */
void ims_query_exclude(const imgsim_query *query, struct ims_bitset *eligible);

/* ---- values.c ---- */

/*
 * Metric values of one query row against the rows of `ids`; all: these are most of the rows there
 * are.
 */
imgsim_status ims_space_values(
    imgsim_query *query,
    struct ims_space *space,
    const void *row,
    const int64_t *ids,
    size_t count,
    bool all,
    double *out_values);

/* ---- order.c ---- */

struct ims_ordered {
    uint64_t key; /* its bits sort as the number does */
    uint64_t position;
};
/* Room to sort; zero it, release it with ims_order_clear(), also after failing to make it. */
struct ims_order {
    struct ims_ordered *items;
    struct ims_ordered *spare;
};
/* False when out of memory. */
bool ims_order_init(struct ims_order *order, size_t count);
void ims_order_clear(struct ims_order *order);
/* Positions in order of (key, position), in order->items; no key is NaN. */
void ims_order_by_key(struct ims_order *order, const double *key, size_t count);

/* ---- fusion.c ---- */

/* Room for the ids of a set and the query's channels. */
imgsim_status ims_scores_init(
    const imgsim_query *query,
    const struct ims_bitset *set,
    struct ims_scores *out_scores);
void ims_scores_clear(struct ims_scores *scores);
/* Evaluate all channels on the ids and fuse. `rows` has one entry per channel. */
imgsim_status ims_scores_compute(
    imgsim_query *query,
    const struct ims_channel_rows *rows,
    struct ims_scores *scores);
/*
 * The k best positions of the scores, in the ids of out_best, best first: by (score falling, id),
 * with one channel by (its key, id).
 */
size_t ims_scores_select(
    const imgsim_query *query,
    const struct ims_scores *scores,
    size_t k,
    struct ims_neighbour *out_best);
/* The metric's value that a part reports for each id: docs/searching.md, "Parts". */
imgsim_status ims_channel_values(
    imgsim_query *query,
    struct ims_channel *channel,
    const struct ims_channel_rows *rows,
    const int64_t *ids,
    size_t count,
    double *out_values);

/* ---- cascade.c ---- */

/* Where the candidates come from; filled by the three searches below. */
struct ims_candidates {
    struct ims_bitset set;
    uint64_t count;
    bool all; /* every eligible image */
    uint32_t failovers;
};
void ims_candidates_clear(struct ims_candidates *candidates);
/* Candidates of a coarse search with failover. */
imgsim_status ims_cascade_candidates(
    imgsim_query *query,
    const struct ims_bitset *eligible,
    uint64_t eligible_count,
    struct ims_candidates *out_candidates);
/* Candidates of every float channel's own index and of its projection's. */
imgsim_status ims_double_candidates(
    imgsim_query *query,
    const struct ims_channel_rows *rows,
    const struct ims_bitset *eligible,
    uint64_t eligible_count,
    struct ims_candidates *out_candidates);
/* The k nearest of one row by an index inside a filter, on the query's threads. */
imgsim_status ims_search_row(
    const imgsim_query *query,
    const imgsim_index *index,
    const struct ims_channel_rows *rows,
    size_t row,
    size_t k,
    const struct ims_bitset *eligible,
    int64_t *out_ids,
    float *out_distances);

/* ---- bounded.c ---- */

/* Whether bounds can rule images out: similarities of several channels summed, none by the host's metric, images by their mean. */
bool ims_bounded_serves(
    const imgsim_query *query,
    const struct ims_channel_rows *rows,
    uint64_t eligible_count);
/*
 * Images of the set that may be among the k best by the sum of similarities, none of those that are is missing; docs/searching.md,
 * "Bounds".
 */
imgsim_status ims_bounded_candidates(
    imgsim_query *query,
    const struct ims_channel_rows *rows,
    const struct ims_bitset *eligible,
    uint64_t eligible_count,
    struct ims_bitset *out_set);

/* ---- result.c ---- */

struct ims_result_hit {
    int64_t id;
    double score;
    char uuid[37];
    char *path;
    uint32_t width;
    uint32_t height;
};

struct ims_result_channel {
    char feature[IMS_FEATURE_NAME_SIZE];
    double weight;
    int32_t metric;
};

struct ims_result_part {
    double value;
    double similarity;
    uint32_t rank;
};

struct imgsim_result {
    size_t count;
    size_t channel_count;
    struct ims_result_hit *hits;
    struct ims_result_part *parts; /* count x channel_count */
    struct ims_result_channel channels[IMS_CHANNELS_MAX];
    uint64_t image_count;
    bool exact;
    uint32_t failovers;
    double elapsed_ms;
};

/* A result with room for `count` hits and the query's channels. */
imgsim_status ims_result_new(const imgsim_query *query, size_t count, imgsim_result **out_result);
/* Append an image as a hit. */
imgsim_status
ims_result_add(imgsim_result *result, const imgsim_file_info *file, int64_t id, double score);

/* ---- picture.c: what sheet and page share ---- */

/*
 * Scaled picture of a file or of an image that is decoded, at most `side` x `side`; NULL if it
 * cannot be read.
 */
imgsim_image *ims_picture_file(const char *path, uint32_t side);
imgsim_image *ims_picture_image(const imgsim_image *image, uint32_t side);
/* The catalog's thumbnails, NULL where it has none; release with imgsim_features_free(). */
imgsim_features *ims_picture_thumbs(const imgsim_catalog *catalog);
/*
 * The same of a hit: its thumbnail where that is as large as the picture would be, else its file, and the thumbnail again where the
 * file cannot be read.
 */
imgsim_image *
ims_picture_hit(const imgsim_features *thumbs, const struct ims_result_hit *hit, uint32_t side);
/* The same of an image to look for. */
imgsim_image *ims_picture_query(
    const imgsim_features *thumbs,
    const struct ims_query_image *image,
    uint32_t side);

/* ---- text.c: text for people, the same in every locale ---- */

/* A path as a file:// URL, percent-encoded. */
void ims_text_add_url(struct ims_text *text, const char *path);
/* A number with a point and this many digits behind it. */
void ims_text_add_decimal(struct ims_text *text, double value, int digits);
/* A count with commas between its thousands. */
void ims_text_add_count(struct ims_text *text, uint64_t count);

/* Last folder and file name of a path: what tells images apart at a glance. */
const char *ims_short_name(const char *path);
/* "5 of 1,949 images · exact · 12.3 ms" */
void ims_text_add_summary(struct ims_text *text, const imgsim_result *result);
/* "embedding cosine 70 %, color chi-square 30 %" */
void ims_text_add_channels(struct ims_text *text, const imgsim_result *result);

#endif
