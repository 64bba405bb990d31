/* SPDX-License-Identifier: Apache-2.0 */
/* Scores: what each channel says about images, joined over query images and over channels. */
#include "query/query.h"

#include "core/memory.h"
#include "simd/metric.h"

#include <math.h>
#include <string.h>

/* Images that the host's fusion gets at once. */
#define FUSION_BATCH 4096

/* ---- room ---- */

static imgsim_status
scores_alloc(const imgsim_query *query, size_t count, struct ims_scores *scores)
{
    size_t cells;

    memset(scores, 0, sizeof(*scores));
    scores->count = count;
    scores->channel_count = query->channel_count;
    if (!ims_mul_size(count, query->channel_count, &cells))
        return ims_fail_memory(SIZE_MAX);
    if ((scores->ids = ims_alloc_array(count, sizeof(*scores->ids))) == NULL ||
        (scores->similarity = ims_alloc_array(cells, sizeof(*scores->similarity))) == NULL ||
        (scores->key = ims_alloc_array(count, sizeof(*scores->key))) == NULL ||
        (scores->score = ims_alloc_array(count, sizeof(*scores->score))) == NULL)
        return ims_fail_memory(cells * sizeof(double));
    if (query->options.fusion == IMGSIM_FUSE_RRF &&
        (scores->rank = ims_alloc_array(cells, sizeof(*scores->rank))) == NULL)
        return ims_fail_memory(cells * sizeof(*scores->rank));
    return IMGSIM_OK;
}

imgsim_status ims_scores_init(
    const imgsim_query *query,
    const struct ims_bitset *set,
    struct ims_scores *out_scores)
{
    imgsim_status status;
    size_t filled = 0;

    if ((status = scores_alloc(query, (size_t)ims_bitset_popcount(set), out_scores)) != IMGSIM_OK)
        return status;
    for (uint64_t byte = 0; byte * 8 < set->count; byte++)
        for (unsigned bits = set->bytes[byte]; bits != 0; bits &= bits - 1)
            out_scores->ids[filled++] = (int64_t)(byte * 8) + __builtin_ctz(bits);
    return IMGSIM_OK;
}

void ims_scores_clear(struct ims_scores *scores)
{
    ims_free(scores->ids);
    ims_free(scores->similarity);
    ims_free(scores->key);
    ims_free(scores->rank);
    ims_free(scores->score);
    memset(scores, 0, sizeof(*scores));
}

/* ---- one channel, several images ---- */

/* What joining the images of one channel works on; all arrays have the scores' count. */
struct joining {
    imgsim_query *query;
    struct ims_space *space;
    const struct ims_channel_rows *rows;
    const struct ims_scores *scores;
    double *similarity; /* to fill: what is fused */
    double *key;        /* to fill: the order in the channel */
    double *values;     /* of one row, scratch */
    double *worst;      /* of the negative images, scratch */
    struct ims_order *order;
};

static double clamp_unit(double value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

static imgsim_status joining_values(struct joining *join, size_t row)
{
    return ims_space_values(
        join->query, join->space, ims_rows_at(join->rows, row), join->scores->ids,
        join->scores->count, join->scores->all, join->values);
}

/*
 * Values against the mean: of one row, or of bits, which have no mean: there the values are
 * averaged, p over the positive images, n over the negative ones, and joined as points are
 * (rows.c). Sums come before divisions so that equal images stay equal to the last bit.
 */
static imgsim_status mean_values(struct joining *join, double *out_values)
{
    imgsim_status status;
    size_t count = join->scores->count;
    double positive = 0;
    double negative = 0;

    for (size_t i = 0; i < count; i++) {
        out_values[i] = 0;
        join->worst[i] = 0;
    }
    for (size_t row = 0; row < join->rows->count; row++) {
        double weight = fabs(join->rows->weights[row]);
        double *sum = join->rows->weights[row] > 0 ? out_values : join->worst;

        *(sum == out_values ? &positive : &negative) += weight;
        if ((status = joining_values(join, row)) != IMGSIM_OK)
            return status;
        for (size_t i = 0; i < count; i++)
            sum[i] += weight * join->values[i];
    }
    for (size_t i = 0; i < count; i++) {
        out_values[i] /= positive;
        if (negative > 0)
            out_values[i] += negative / positive * (out_values[i] - join->worst[i] / negative);
    }
    return IMGSIM_OK;
}

static imgsim_status join_mean(struct joining *join)
{
    imgsim_status status;
    const struct ims_space *space = join->space;

    if ((status = mean_values(join, join->key)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < join->scores->count; i++) {
        double value = join->key[i];

        join->similarity[i] = ims_metric_similarity_of(space->metric, space->dimension, value);
        join->key[i] = ims_metric_distance(space->metric, value);
    }
    return IMGSIM_OK;
}

/*
 * Whether all images are positive and of one weight: then the nearest of them decides by its
 * distance alone.
 */
static bool weights_are_equal(const struct ims_channel_rows *rows)
{
    for (size_t row = 0; row < rows->count; row++)
        if (rows->weights[row] != rows->weights[0] || rows->weights[row] < 0)
            return false;
    return true;
}

static double largest_weight(const struct ims_channel_rows *rows)
{
    double largest = 0;

    for (size_t row = 0; row < rows->count; row++)
        largest = rows->weights[row] > largest ? rows->weights[row] : largest;
    return largest;
}

/* BEST: the largest weighted similarity to a positive image less the largest to a negative one. */
static imgsim_status join_best(struct joining *join)
{
    imgsim_status status;
    const struct ims_space *space = join->space;
    size_t count = join->scores->count;
    double largest = largest_weight(join->rows);
    bool equal = weights_are_equal(join->rows);

    for (size_t i = 0; i < count; i++) {
        join->similarity[i] = 0;
        join->worst[i] = 0;
        join->key[i] = INFINITY;
    }
    for (size_t row = 0; row < join->rows->count; row++) {
        double weight = join->rows->weights[row] / largest;
        double *extreme = weight > 0 ? join->similarity : join->worst;

        if ((status = joining_values(join, row)) != IMGSIM_OK)
            return status;
        for (size_t i = 0; i < count; i++) {
            double value = join->values[i];
            double similarity =
                fabs(weight) * ims_metric_similarity_of(space->metric, space->dimension, value);
            double distance = ims_metric_distance(space->metric, value);

            extreme[i] = similarity > extreme[i] ? similarity : extreme[i];
            join->key[i] = distance < join->key[i] ? distance : join->key[i];
        }
    }
    for (size_t i = 0; i < count; i++) {
        double difference = join->similarity[i] - join->worst[i];

        join->similarity[i] = clamp_unit(difference);
        join->key[i] = equal ? join->key[i] : -difference;
    }
    return IMGSIM_OK;
}

/*
 * RRF: reciprocal rank fusion (Cormack, Clarke & Buettcher, SIGIR 2009) of each image's ranking,
 * weighted, scaled so that the first place everywhere is 1. Departure: ranks of negative images are
 * subtracted.
 */
static imgsim_status join_ranks(struct joining *join)
{
    imgsim_status status;
    size_t count = join->scores->count;
    double constant = join->query->options.rrf_k;
    double positive = 0;

    memset(join->key, 0, count * sizeof(*join->key));
    for (size_t row = 0; row < join->rows->count; row++) {
        double weight = join->rows->weights[row];

        if ((status = joining_values(join, row)) != IMGSIM_OK)
            return status;
        for (size_t i = 0; i < count; i++)
            join->values[i] = ims_metric_distance(join->space->metric, join->values[i]);
        ims_order_by_key(join->order, join->values, count);
        for (size_t rank = 1; rank <= count; rank++)
            join->key[join->order->items[rank - 1].position] -= weight / (constant + (double)rank);
        positive += weight > 0 ? weight : 0;
    }
    for (size_t i = 0; i < count; i++) {
        join->key[i] *= (constant + 1) / positive;
        join->similarity[i] = clamp_unit(-join->key[i]);
    }
    return IMGSIM_OK;
}

/* Evaluate one channel: its similarities, and scores->key. */
static imgsim_status channel_compute(
    imgsim_query *query,
    size_t channel,
    const struct ims_channel_rows *rows,
    struct ims_scores *scores,
    struct ims_order *order)
{
    imgsim_status status;
    size_t count = scores->count;
    struct joining join = {
        .query = query,
        .space = &query->channels[channel].space,
        .rows = rows,
        .scores = scores,
        .similarity = scores->similarity + channel * count,
        .key = scores->key,
        .order = order,
        .values = ims_alloc_array(count, sizeof(double)),
        .worst = ims_alloc_array(count, sizeof(double)),
    };

    if (join.values == NULL || join.worst == NULL)
        status = ims_fail_memory(count * sizeof(double));
    else if (query->options.images == IMGSIM_IMAGES_RRF)
        status = join_ranks(&join);
    else if (query->options.images == IMGSIM_IMAGES_BEST)
        status = join_best(&join);
    else
        status = join_mean(&join);
    ims_free(join.values);
    ims_free(join.worst);
    return status;
}

/*
 * The row that a part's value is measured against: of the positive images the most similar one,
 * weights counted.
 */
static imgsim_status nearest_values(struct joining *join, double *out_values)
{
    imgsim_status status;
    const struct ims_space *space = join->space;
    size_t count = join->scores->count;

    for (size_t i = 0; i < count; i++)
        join->worst[i] = -1; /* here: the best so far */
    for (size_t row = 0; row < join->rows->count; row++) {
        double weight = join->rows->weights[row];

        if (weight < 0)
            continue;
        if ((status = joining_values(join, row)) != IMGSIM_OK)
            return status;
        for (size_t i = 0; i < count; i++) {
            double similarity =
                weight * ims_metric_similarity_of(space->metric, space->dimension, join->values[i]);

            if (similarity > join->worst[i]) {
                join->worst[i] = similarity;
                out_values[i] = join->values[i];
            }
        }
    }
    return IMGSIM_OK;
}

imgsim_status ims_channel_values(
    imgsim_query *query,
    struct ims_channel *channel,
    const struct ims_channel_rows *rows,
    const int64_t *ids,
    size_t count,
    double *out_values)
{
    imgsim_status status = IMGSIM_OK;
    struct ims_scores scores = {.ids = (int64_t *)ids, .count = count};
    struct joining join = {.query = query, .space = &channel->space, .rows = rows};

    join.scores = &scores;
    join.values = ims_alloc_array(count, sizeof(double));
    join.worst = ims_alloc_array(count, sizeof(double));
    if (join.values == NULL || join.worst == NULL) {
        status = ims_fail_memory(count * sizeof(double));
        goto done;
    }
    status = query->options.images == IMGSIM_IMAGES_MEAN ? mean_values(&join, out_values)
                                                         : nearest_values(&join, out_values);

done:
    ims_free(join.values);
    ims_free(join.worst);
    return status;
}

/* ---- several channels ---- */

/* Add the channel's share by rank; also notes the ranks. */
static void add_ranks(
    const imgsim_query *query,
    size_t channel,
    struct ims_scores *scores,
    struct ims_order *order)
{
    double constant = query->options.rrf_k;
    double share = ims_channel_share(query, channel) * (constant + 1);
    uint32_t *ranks = scores->rank + channel * scores->count;

    ims_order_by_key(order, scores->key, scores->count);
    for (size_t rank = 1; rank <= scores->count; rank++) {
        size_t position = (size_t)order->items[rank - 1].position;

        ranks[position] = (uint32_t)rank;
        scores->score[position] += share / (constant + (double)rank);
    }
}

static void add_similarities(const imgsim_query *query, size_t channel, struct ims_scores *scores)
{
    double share = ims_channel_share(query, channel);
    const double *similarity = scores->similarity + channel * scores->count;

    for (size_t i = 0; i < scores->count; i++)
        scores->score[i] += share * similarity[i];
}

/* The host's fusion of one batch, similarities image by image. */
static imgsim_status call_fusion(
    const imgsim_query *query,
    struct ims_scores *scores,
    size_t begin,
    size_t count,
    float *similarities,
    float *fused)
{
    size_t channels = scores->channel_count;

    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < channels; c++)
            similarities[i * channels + c] =
                (float)scores->similarity[c * scores->count + begin + i];
    if (query->options.fuse(similarities, count, channels, fused, query->options.fuse_data) != 0)
        return ims_fail(IMGSIM_ERROR_CALLBACK, "the host's fusion failed");
    for (size_t i = 0; i < count; i++) {
        if (isnan(fused[i]))
            return ims_fail(IMGSIM_ERROR_CALLBACK, "the host's fusion returned NaN");
        scores->score[begin + i] = fused[i];
    }
    return IMGSIM_OK;
}

static imgsim_status fuse_by_host(const imgsim_query *query, struct ims_scores *scores)
{
    imgsim_status status = IMGSIM_OK;
    float *similarities = ims_alloc_array(FUSION_BATCH * scores->channel_count, sizeof(float));
    float *fused = ims_alloc_array(FUSION_BATCH, sizeof(float));

    if (similarities == NULL || fused == NULL)
        status = ims_fail_memory(FUSION_BATCH * scores->channel_count * sizeof(float));
    for (size_t i = 0; i < scores->count && status == IMGSIM_OK; i += FUSION_BATCH) {
        size_t left = scores->count - i;

        status = call_fusion(
            query, scores, i, left < FUSION_BATCH ? left : FUSION_BATCH, similarities, fused);
    }
    ims_free(similarities);
    ims_free(fused);
    return status;
}

imgsim_status ims_scores_compute(
    imgsim_query *query,
    const struct ims_channel_rows *rows,
    struct ims_scores *scores)
{
    imgsim_status status = IMGSIM_OK;
    bool ranks = query->options.fusion == IMGSIM_FUSE_RRF;
    struct ims_order order = {0};

    if ((ranks || query->options.images == IMGSIM_IMAGES_RRF) &&
        !ims_order_init(&order, scores->count)) {
        ims_order_clear(&order);
        return ims_fail_memory(scores->count * sizeof(*order.items));
    }

    memset(scores->score, 0, scores->count * sizeof(*scores->score));
    for (size_t c = 0; c < query->channel_count && status == IMGSIM_OK; c++) {
        status = channel_compute(query, c, &rows[c], scores, &order);
        if (status != IMGSIM_OK)
            break;
        if (ranks)
            add_ranks(query, c, scores, &order);
        else if (query->options.fusion == IMGSIM_FUSE_SUM)
            add_similarities(query, c, scores);
    }
    if (status == IMGSIM_OK && query->options.fusion == IMGSIM_FUSE_CALLBACK)
        status = fuse_by_host(query, scores);
    ims_order_clear(&order);
    return status;
}

size_t ims_scores_select(
    const imgsim_query *query,
    const struct ims_scores *scores,
    size_t k,
    struct ims_neighbour *out_best)
{
    struct ims_topk best;
    bool by_key = query->channel_count == 1 && query->options.fusion != IMGSIM_FUSE_CALLBACK;

    ims_topk_init(&best, out_best, k);
    for (size_t i = 0; i < scores->count; i++)
        ims_topk_push(&best, by_key ? scores->key[i] : -scores->score[i], (int64_t)i);
    ims_topk_sort(&best);
    return best.count;
}
