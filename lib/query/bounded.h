/* SPDX-License-Identifier: Apache-2.0 */
/* Inside a search by bounds: its channels, and what is known about the images so far. */
#ifndef IMS_QUERY_BOUNDED_H
#define IMS_QUERY_BOUNDED_H

#include "query/query.h"

#include "core/threads.h"
#include "index/index.h"

/*
 * Similarities and sums of them in float are off by a few units in the last place of numbers up to 1; this much is added to bounds,
 * or taken off what they are compared with.
 */
#define IMS_FLOAT_SLACK 1e-6f
/* Similarities are computed in a few operations on numbers up to 1 in double precision: bound and score are off by far less. */
#define IMS_SLACK 1e-12

struct ims_bounded_channel {
    const struct ims_space *space;
    const struct ims_channel_rows *rows;
    double share;
    struct ims_key_bounds *bounds[IMGSIM_QUERY_IMAGES_MAX]; /* one, or for bits one per image */
    uint32_t step_count; /* how often coarse bounds can be sharpened */
    bool scanned;        /* there are coarse bounds */
    float *scores;       /* per id, of the channels that are scanned */
};

/* Images that the coarse bounds leave, in columns of `capacity`: id, bound of the score, bounds of the channels' similarities. */
struct ims_bounded_list {
    uint32_t *ids;
    float *upper;
    float *similarity; /* channel_count x capacity */
    size_t count;
    size_t capacity;
};

/* Steps of one channel at most, and of all. */
#define IMS_BOUNDED_STEPS 8

/* One sharpening of the bounds of a channel. */
struct ims_bounded_step {
    size_t channel;
    uint32_t step;
    size_t cost; /* bytes read per image */
};

struct ims_bounded {
    struct ims_bounded_channel channels[IMS_CHANNELS_MAX];
    size_t channel_count;
    size_t order
        [IMS_CHANNELS_MAX]; /* of looking at the rows: the shortest first, then the largest shares */
    struct ims_bounded_step steps[IMS_CHANNELS_MAX * IMS_BOUNDED_STEPS]; /* in order */
    size_t step_count;
    struct ims_pool *pool;
    const struct ims_bitset *eligible;
    size_t id_count; /* ids there are */
    size_t eligible_count;
    size_t k;
    double threshold; /* T */
    float *
        below; /* per id: the bound of the score, negated; +infinity where the image is not eligible */
    size_t task_count;
    float *least;                   /* of `below`, bounded_scan.c */
    struct ims_bounded_list *lists; /* per task */
};

/* ---- bounded_scan.c ---- */

/* Ids of one task. */
#define IMS_BOUNDED_TASK 4096

/* Coarse bounds of all images, and the best of each task. */
imgsim_status ims_bounded_scan(struct ims_bounded *work);
/* Those of the best images, sharpened, best first. */
imgsim_status ims_bounded_seeds(struct ims_bounded *work, struct ims_bounded_list *out);
/* Images whose sharpened bounds reach T, in order of id. */
imgsim_status ims_bounded_survivors(struct ims_bounded *work, struct ims_bounded_list *out);
/* Order a list by falling bounds, equal ones by id. */
imgsim_status ims_bounded_sort(const struct ims_bounded *work, struct ims_bounded_list *list);
imgsim_status ims_bounded_list_init(
    const struct ims_bounded *work,
    struct ims_bounded_list *list,
    size_t capacity);
void ims_bounded_list_clear(struct ims_bounded_list *list);
/* Bounds of the similarity of one channel from lower bounds of keys. */
void ims_upper_similarities(
    const struct ims_space *space,
    const float *keys,
    size_t count,
    float *out_similarity);
/* The same of one in double precision, which `cosine_slack` is added to where it is a cosine. */
double ims_similarity_of_key(const struct ims_space *space, double key, double cosine_slack);

#endif
