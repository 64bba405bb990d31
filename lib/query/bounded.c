/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which images can be among the k best of a weighted sum of similarities: by bounds of the channels' similarities, added up.
 *
 * Every image has an upper bound of its score, at first from what is cheap: hashes themselves, planes of merged bins for
 * histograms, 1 for the rest. The images are looked at in rounds, channel by channel by float arithmetic whose error is
 * bounded, as long as the sum of the bounds reaches T; the lower bounds of those looked at raise T, the k-th best of them.
 * This is the threshold idea of Fagin, Lotem & Naor (PODS 2001) with bounds in place of sorted lists. T only tells what need
 * not be ranked: the answer is the one of ranking everything, whatever the rounds and the threads.
 */
#include "query/query.h"

#include "core/memory.h"
#include "core/threads.h"
#include "index/index.h"
#include "simd/metric.h"

#include <math.h>
#include <string.h>

/* Fewer images are ranked at once; more asked for than one in so many: bounds would not help. */
#define IMAGES_MIN 256
#define K_SHARE 16
/* Images of a task, and of a round at first and at most. */
#define TASK 256
#define ROUND_FIRST 512
#define ROUND_MAX 16384
/* Images that T is seeded from, per image asked for and at least. */
#define SEEDS_PER_HIT 4
#define SEEDS_MIN 256
/* Up to one in so many left over by the cheap bounds are looked at in order of these, else in order of id. */
#define SORT_SHARE 8
/*
 * Similarities and sums of them are computed in a few operations on numbers up to 1: errors of the mathematical library's
 * functions included, both bound and score are off by far less.
 */
#define SLACK 1e-12
/* A cosine may be so much larger than 1 - (1 - cosine) as rounded. */
#define COSINE_SLACK 1e-15

struct bounded_channel {
    const struct ims_space *space;
    const struct ims_channel_rows *rows;
    double share;
    struct ims_key_bounds *bounds[IMGSIM_QUERY_IMAGES_MAX]; /* one, or for bits one per image */
    bool cheap; /* the first bounds are as good as any: bits */
};

struct bounded {
    struct bounded_channel channels[IMS_CHANNELS_MAX];
    size_t channel_count;
    size_t order[IMS_CHANNELS_MAX]; /* of looking closer: largest shares first */
    struct ims_pool *pool;
    int64_t *ids;
    size_t count;
    float *similarity;    /* upper bounds, channel_count x count, rounded up */
    double *upper;        /* count: of the score */
    double threshold;     /* T */
    struct ims_topk best; /* k lower bounds of scores, negated */
    const size_t *items;  /* positions of this round */
    size_t item_count;
    double *lower; /* of this round; -infinity: ruled out */
};

/* ---- bounds of a channel's similarity ---- */

static double similarity_of_key(const struct ims_space *space, double key, double cosine_slack)
{
    double value;

    if (space->metric == IMGSIM_METRIC_ANGULAR) {
        value = 1 - key + cosine_slack;
        value = acos(value > 1 ? 1 : value < -1 ? -1 : value);
    } else {
        value = ims_metric_value(space->metric, key);
    }
    return ims_metric_similarity_of(space->metric, space->dimension, value);
}

/* The similarity falls while the key grows. */
static double upper_similarity(const struct ims_space *space, double key)
{
    return similarity_of_key(space, key, COSINE_SLACK) + SLACK;
}

static double lower_similarity(const struct ims_space *space, double key)
{
    const double similarity = similarity_of_key(space, key, -COSINE_SLACK) - SLACK;

    return similarity > 0 ? similarity : 0;
}

/*
 * Keys of bits against several images, as fusion.c joins them: p + n / p (p - n). The factors sum to 1, so distances join as
 * values do.
 */
static imgsim_status joined_bits(
    const struct bounded_channel *channel,
    const int64_t *ids,
    size_t count,
    double *lower,
    double *upper)
{
    imgsim_status status;
    double keys[TASK], unused[TASK], positive = 0, negative = 0, ratio, margin;
    const double most =
        channel->space->metric == IMGSIM_METRIC_HAMMING ? channel->space->dimension : 1;

    memset(lower, 0, count * sizeof(*lower));
    memset(upper, 0, count * sizeof(*upper));
    for (size_t row = 0; row < channel->rows->count; row++) {
        const double weight = fabs(channel->rows->weights[row]);
        const bool wanted = channel->rows->weights[row] > 0;

        *(wanted ? &positive : &negative) += weight;
        if ((status = ims_key_bounds_estimate(channel->bounds[row], ids, count, keys, unused)) !=
            IMGSIM_OK)
            return status;
        for (size_t i = 0; i < count; i++)
            (wanted ? lower : upper)[i] += weight * keys[i];
    }
    ratio = negative / positive;
    margin = 1e-13 * most * (1 + 2 * ratio);
    for (size_t i = 0; i < count; i++) {
        double key = lower[i] / positive;

        if (negative > 0)
            key += ratio * (key - upper[i] / negative);
        lower[i] = key - margin;
        upper[i] = key + margin;
    }
    return IMGSIM_OK;
}

/* Bounds of the keys from the rows themselves. */
static imgsim_status close_keys(
    const struct bounded_channel *channel,
    const int64_t *ids,
    size_t count,
    double *lower,
    double *upper)
{
    if (channel->rows->count > 1)
        return joined_bits(channel, ids, count, lower, upper);
    return ims_key_bounds_estimate(channel->bounds[0], ids, count, lower, upper);
}

/* ---- the cheap bounds of all images ---- */

static float rounded_up(double value)
{
    return nextafterf((float)value, INFINITY);
}

static double sum_of_bounds(const struct bounded *work, size_t position)
{
    double sum = SLACK;

    for (size_t c = 0; c < work->channel_count; c++)
        sum += work->channels[c].share * (double)work->similarity[c * work->count + position];
    return sum;
}

static imgsim_status first_bounds(void *context, size_t task, uint32_t worker)
{
    struct bounded *work = context;
    const size_t begin = task * TASK;
    const size_t count = work->count - begin < TASK ? work->count - begin : TASK;
    double lower[TASK], upper[TASK];
    imgsim_status status;

    (void)worker;
    for (size_t c = 0; c < work->channel_count; c++) {
        const struct bounded_channel *channel = &work->channels[c];
        float *similarity = work->similarity + c * work->count + begin;

        if (channel->cheap) {
            if ((status = close_keys(channel, work->ids + begin, count, lower, upper)) != IMGSIM_OK)
                return status;
        } else if (ims_key_bounds_has_coarse(channel->bounds[0])) {
            ims_key_bounds_coarse(channel->bounds[0], work->ids + begin, count, lower);
        } else {
            for (size_t i = 0; i < count; i++)
                similarity[i] = rounded_up(1);
            continue;
        }
        for (size_t i = 0; i < count; i++)
            similarity[i] = rounded_up(upper_similarity(channel->space, lower[i]));
    }
    for (size_t i = begin; i < begin + count; i++)
        work->upper[i] = sum_of_bounds(work, i);
    return IMGSIM_OK;
}

/* ---- rounds ---- */

/* Bounds of one more channel for the positions that are left; those whose sum falls below T are taken out. */
static imgsim_status look_at_channel(
    struct bounded *work,
    size_t channel,
    size_t *positions,
    size_t *place,
    size_t *count,
    double *lower_sum)
{
    const struct bounded_channel *asked = &work->channels[channel];
    int64_t ids[TASK];
    double lower[TASK], upper[TASK];
    size_t kept = 0;
    imgsim_status status;

    for (size_t i = 0; i < *count; i++)
        ids[i] = work->ids[positions[i]];
    if ((status = close_keys(asked, ids, *count, lower, upper)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < *count; i++) {
        const size_t at = positions[i];
        float *similarity = &work->similarity[channel * work->count + at];
        const float closer = rounded_up(upper_similarity(asked->space, lower[i]));

        *similarity = closer < *similarity ? closer : *similarity;
        work->upper[at] = sum_of_bounds(work, at);
        if (work->upper[at] < work->threshold)
            continue;
        lower_sum[kept] = lower_sum[i] + asked->share * lower_similarity(asked->space, upper[i]);
        place[kept] = place[i];
        positions[kept++] = at;
    }
    *count = kept;
    return IMGSIM_OK;
}

static imgsim_status look_closer(void *context, size_t task, uint32_t worker)
{
    struct bounded *work = context;
    const size_t begin = task * TASK;
    const size_t all = work->item_count - begin < TASK ? work->item_count - begin : TASK;
    size_t positions[TASK], place[TASK], count = 0;
    double lower_sum[TASK];
    imgsim_status status = IMGSIM_OK;

    (void)worker;
    for (size_t i = begin; i < begin + all; i++) {
        work->lower[i] = -INFINITY;
        if (work->upper[work->items[i]] < work->threshold)
            continue;
        lower_sum[count] = -SLACK;
        place[count] = i;
        positions[count++] = work->items[i];
    }
    for (size_t c = 0; c < work->channel_count && count > 0 && status == IMGSIM_OK; c++)
        status = look_at_channel(work, work->order[c], positions, place, &count, lower_sum);
    for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
        work->lower[place[i]] = lower_sum[i];
    return status;
}

/* Look at some images; the threads share the T of the round's beginning, so that rounds do not depend on them. */
static imgsim_status run_round(struct bounded *work, const size_t *items, size_t count)
{
    imgsim_status status;

    work->items = items;
    work->item_count = count;
    if ((status = ims_pool_run(work->pool, (count + TASK - 1) / TASK, look_closer, work)) !=
        IMGSIM_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (work->lower[i] > -INFINITY)
            ims_topk_push(&work->best, -work->lower[i], (int64_t)items[i]);
    if (-ims_topk_bound(&work->best) > work->threshold)
        work->threshold = -ims_topk_bound(&work->best);
    return IMGSIM_OK;
}

/* A first T from the images of the best cheap bounds. They come by again: their lower bounds must not count twice. */
static imgsim_status seed(struct bounded *work)
{
    imgsim_status status = IMGSIM_OK;
    size_t wanted = work->best.capacity * SEEDS_PER_HIT;
    struct ims_neighbour *likely;
    struct ims_topk best;
    size_t *items;

    wanted = wanted < SEEDS_MIN ? SEEDS_MIN : wanted > ROUND_MAX ? ROUND_MAX : wanted;
    wanted = wanted < work->count ? wanted : work->count;
    likely = ims_alloc_array(wanted, sizeof(*likely));
    items = ims_alloc_array(wanted, sizeof(*items));
    if (likely == NULL || items == NULL) {
        status = ims_fail_memory(wanted * sizeof(*likely));
        goto done;
    }
    ims_topk_init(&best, likely, wanted);
    for (size_t i = 0; i < work->count; i++)
        if (-work->upper[i] < ims_topk_bound(&best))
            ims_topk_push(&best, -work->upper[i], (int64_t)i);
    for (size_t i = 0; i < best.count; i++)
        items[i] = (size_t)likely[i].id;
    status = run_round(work, items, best.count);
    work->best.count = 0;

done:
    ims_free(likely);
    ims_free(items);
    return status;
}

/* Positions whose bounds reach T, in order of their bounds where they are few, else in order of id. */
static imgsim_status list_left(const struct bounded *work, size_t *items, size_t *out_count)
{
    struct ims_order order = {0};
    double *keys;
    size_t count = 0;

    for (size_t i = 0; i < work->count; i++)
        if (!(work->upper[i] < work->threshold))
            items[count++] = i;
    *out_count = count;
    if (count == 0 || count > work->count / SORT_SHARE)
        return IMGSIM_OK;
    keys = ims_alloc_array(count, sizeof(*keys));
    if (keys == NULL || !ims_order_init(&order, count)) {
        ims_order_clear(&order);
        ims_free(keys);
        return ims_fail_memory(count * sizeof(*keys));
    }
    for (size_t i = 0; i < count; i++)
        keys[i] = -work->upper[items[i]];
    ims_order_by_key(&order, keys, count);
    for (size_t i = 0; i < count; i++)
        keys[i] = (double)items[order.items[i].position]; /* positions are far below 2^53 */
    for (size_t i = 0; i < count; i++)
        items[i] = (size_t)keys[i];
    ims_order_clear(&order);
    ims_free(keys);
    return IMGSIM_OK;
}

static imgsim_status rule_out(struct bounded *work)
{
    imgsim_status status;
    size_t count, size = ROUND_FIRST, used;
    size_t *items = NULL;

    if ((status = ims_pool_run(work->pool, (work->count + TASK - 1) / TASK, first_bounds, work)) !=
            IMGSIM_OK ||
        (status = seed(work)) != IMGSIM_OK)
        return status;
    if ((items = ims_alloc_array(work->count, sizeof(*items))) == NULL)
        return ims_fail_memory(work->count * sizeof(*items));
    status = list_left(work, items, &count);
    for (size_t at = 0; at < count && status == IMGSIM_OK; at += used) {
        used = count - at < size ? count - at : size;
        status = run_round(work, items + at, used);
        size = size < ROUND_MAX ? 2 * size : ROUND_MAX;
    }
    ims_free(items);
    return status;
}

/* ---- a search ---- */

bool ims_bounded_serves(
    const imgsim_query *query,
    const struct ims_channel_rows *rows,
    uint64_t eligible_count)
{
    if (query->channel_count < 2 || query->options.fusion != IMGSIM_FUSE_SUM ||
        query->options.images != IMGSIM_IMAGES_MEAN || eligible_count < IMAGES_MIN ||
        query->options.k > eligible_count / K_SHARE)
        return false;
    for (size_t c = 0; c < query->channel_count; c++)
        if (query->channels[c].space.metric == IMGSIM_METRIC_CALLBACK ||
            (rows[c].count > 1 && !rows[c].bits))
            return false;
    return true;
}

static imgsim_status open_channel(
    struct bounded *work,
    imgsim_query *query,
    size_t c,
    const struct ims_channel_rows *rows)
{
    imgsim_status status;
    struct bounded_channel *channel = &work->channels[c];
    const imgsim_index *index;

    channel->space = &query->channels[c].space;
    channel->rows = rows;
    channel->share = ims_channel_share(query, c);
    channel->cheap = rows->bits;
    work->channel_count = c + 1;
    if ((status = ims_space_exact(&query->channels[c].space, &index)) != IMGSIM_OK)
        return status;
    for (size_t row = 0; row < rows->count && status == IMGSIM_OK; row++)
        status =
            ims_key_bounds_new(index, ims_rows_at(rows, row), work->pool, &channel->bounds[row]);
    return status;
}

/* Largest shares first: they tell most. Equal ones in the query's order. */
static void order_channels(struct bounded *work)
{
    for (size_t c = 0; c < work->channel_count; c++) {
        size_t at = c;

        for (; at > 0 && work->channels[work->order[at - 1]].share < work->channels[c].share; at--)
            work->order[at] = work->order[at - 1];
        work->order[at] = c;
    }
}

static imgsim_status make_room(struct bounded *work, const struct ims_bitset *eligible, size_t k)
{
    size_t cells, filled = 0;
    struct ims_neighbour *best = ims_alloc_array(k, sizeof(*best));

    ims_topk_init(&work->best, best, k);
    if (!ims_mul_size(work->count, work->channel_count, &cells))
        return ims_fail_memory(SIZE_MAX);
    work->ids = ims_alloc_array(work->count, sizeof(*work->ids));
    work->similarity = ims_alloc_array(cells, sizeof(*work->similarity));
    work->upper = ims_alloc_array(work->count, sizeof(*work->upper));
    work->lower = ims_alloc_array(ROUND_MAX, sizeof(*work->lower));
    if (best == NULL || work->ids == NULL || work->similarity == NULL || work->upper == NULL ||
        work->lower == NULL)
        return ims_fail_memory(cells * sizeof(*work->similarity));
    for (uint64_t byte = 0; byte * 8 < eligible->count; byte++)
        for (unsigned bits = eligible->bytes[byte]; bits != 0; bits &= bits - 1)
            work->ids[filled++] = (int64_t)(byte * 8) + __builtin_ctz(bits);
    return IMGSIM_OK;
}

static void bounded_clear(struct bounded *work)
{
    for (size_t c = 0; c < work->channel_count; c++)
        for (size_t row = 0; row < work->channels[c].rows->count; row++)
            ims_key_bounds_free(work->channels[c].bounds[row]);
    ims_pool_free(work->pool);
    ims_free(work->best.items);
    ims_free(work->ids);
    ims_free(work->similarity);
    ims_free(work->upper);
    ims_free(work->lower);
}

imgsim_status ims_bounded_candidates(
    imgsim_query *query,
    const struct ims_channel_rows *rows,
    const struct ims_bitset *eligible,
    uint64_t eligible_count,
    struct ims_bitset *out_set)
{
    imgsim_status status = IMGSIM_OK;
    struct bounded work = {.count = (size_t)eligible_count};

    /* What scores less than min_score is no hit, whatever its place. */
    work.threshold = query->options.min_score;
    if (query->options.threads != 1)
        status = ims_pool_new(query->options.threads, &work.pool);
    for (size_t c = 0; c < query->channel_count && status == IMGSIM_OK; c++)
        status = open_channel(&work, query, c, &rows[c]);
    order_channels(&work);
    if (status != IMGSIM_OK ||
        (status = make_room(&work, eligible, query->options.k)) != IMGSIM_OK ||
        (status = rule_out(&work)) != IMGSIM_OK)
        goto done;

    if (!ims_bitset_init(out_set, eligible->count, false)) {
        status = ims_fail_memory((size_t)(eligible->count / 8));
        goto done;
    }
    for (size_t i = 0; i < work.count; i++)
        if (!(work.upper[i] < work.threshold))
            ims_bitset_set(out_set, work.ids[i]);

done:
    bounded_clear(&work);
    return status;
}
