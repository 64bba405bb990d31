/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which images can be among the k best of a weighted sum of similarities: by bounds of the channels' similarities, added up.
 *
 * Every image has an upper bound of its score, at first from what is cheap: hashes themselves, planes of the others' rows, 1 where
 * there are none. The best of them are looked at by float arithmetic whose error is bounded; the k-th best of their lower bounds
 * is T. Images whose bounds fall below T are out; those of the others are sharpened, channel by channel, from further planes
 * and at last from the rows, best first, while T rises. This is the threshold idea of Fagin, Lotem & Naor (PODS 2001) with
 * bounds in place of sorted lists. T only tells what need not be ranked: the answer is the one of ranking everything, whatever
 * the rounds and the threads.
 */
#include "query/bounded.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

/* Fewer images are ranked at once; more asked for than one in so many: bounds would not help. */
#define IMAGES_MIN 256
#define K_SHARE 16
/* Images of a task, and of a round at first and at most. */
#define TASK 16
#define ROUND_FIRST 64
#define ROUND_MAX 16384
/* Images that T is seeded from, per image asked for and at least. */
#define SEEDS_PER_HIT 4
#define SEEDS_MIN 48
/* Up to one in so many left over by the coarse bounds are looked at in order of these, else in order of id. */
#define SORT_SHARE 8
/* A cosine may be so much larger than 1 - (1 - cosine) as rounded. */
#define COSINE_SLACK 1e-15

/* A part of a list whose rows are looked at. */
struct round {
    struct ims_bounded *work;
    const struct ims_bounded_list *list;
    size_t first;
    size_t count;
    double *lower; /* of the scores; -infinity: ruled out */
    double *upper;
};

/* ---- bounds from the rows themselves ---- */

static double upper_similarity(const struct ims_space *space, double key)
{
    return ims_similarity_of_key(space, key, COSINE_SLACK) + IMS_SLACK;
}

static double lower_similarity(const struct ims_space *space, double key)
{
    const double similarity = ims_similarity_of_key(space, key, -COSINE_SLACK) - IMS_SLACK;

    return similarity > 0 ? similarity : 0;
}

/*
 * Keys of bits against several images, as fusion.c joins them: p + n / p (p - n). The factors sum to 1, so distances join as
 * values do.
 */
static imgsim_status joined_bits(
    const struct ims_bounded_channel *channel,
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
    const struct ims_bounded_channel *channel,
    const int64_t *ids,
    size_t count,
    double *lower,
    double *upper)
{
    if (channel->rows->count > 1)
        return joined_bits(channel, ids, count, lower, upper);
    return ims_key_bounds_estimate(channel->bounds[0], ids, count, lower, upper);
}

/* Look at one more channel of the images that are left; those whose sums fall below T are taken out. */
static imgsim_status look_at_channel(
    const struct round *round,
    size_t c,
    size_t *places,
    size_t *count,
    double *upper,
    double *lower)
{
    const struct ims_bounded *work = round->work;
    const struct ims_bounded_channel *channel = &work->channels[c];
    const float *similarity = round->list->similarity + c * round->list->capacity;
    int64_t ids[TASK];
    double least[TASK], most[TASK];
    size_t kept = 0;
    imgsim_status status;

    for (size_t i = 0; i < *count; i++)
        ids[i] = round->list->ids[places[i]];
    if ((status = close_keys(channel, ids, *count, least, most)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < *count; i++) {
        const double known = (double)similarity[places[i]];
        const double closer = upper_similarity(channel->space, least[i]);
        const double sum = upper[i] + channel->share * ((closer < known ? closer : known) - known);

        if (sum < work->threshold)
            continue;
        lower[kept] = lower[i] + channel->share * lower_similarity(channel->space, most[i]);
        upper[kept] = sum;
        places[kept++] = places[i];
    }
    *count = kept;
    return IMGSIM_OK;
}

static imgsim_status look_at_rows(void *context, size_t task, uint32_t worker)
{
    const struct round *round = context;
    const struct ims_bounded *work = round->work;
    const size_t begin = task * TASK, left = round->count - begin;
    size_t places[TASK], count = left < TASK ? left : TASK;
    double upper[TASK], lower[TASK];
    imgsim_status status = IMGSIM_OK;

    (void)worker;
    for (size_t i = 0; i < count; i++) {
        places[i] = round->first + begin + i;
        round->lower[begin + i] = -INFINITY;
        lower[i] = -IMS_SLACK;
        upper[i] = IMS_SLACK;
        for (size_t c = 0; c < work->channel_count; c++)
            upper[i] += work->channels[c].share *
                        (double)round->list->similarity[c * round->list->capacity + places[i]];
    }
    for (size_t c = 0; c < work->channel_count && count > 0 && status == IMGSIM_OK; c++)
        status = look_at_channel(round, work->order[c], places, &count, upper, lower);
    for (size_t i = 0; i < count && status == IMGSIM_OK; i++) {
        round->lower[places[i] - round->first] = lower[i];
        round->upper[places[i] - round->first] = upper[i];
    }
    return status;
}

/* ---- rounds ---- */

/* What is left of the images looked at: ids, and bounds of their scores. */
struct found {
    struct ims_neighbour *items;
    size_t count;
    size_t capacity;
};

/* Look at some images; the threads share the T of the round's beginning, so that rounds do not depend on them. */
static imgsim_status run_round(struct round *round, struct ims_topk *best, struct found *found)
{
    struct ims_bounded *work = round->work;
    imgsim_status status =
        ims_pool_run(work->pool, (round->count + TASK - 1) / TASK, look_at_rows, round);

    for (size_t i = 0; i < round->count && status == IMGSIM_OK; i++) {
        if (!(round->lower[i] > -INFINITY))
            continue;
        ims_topk_push(best, -round->lower[i], (int64_t)round->list->ids[round->first + i]);
        if (found == NULL)
            continue;
        if (!ims_grow(
                (void **)&found->items, &found->capacity, found->count + 1, sizeof(*found->items)))
            return ims_fail_memory(found->count * sizeof(*found->items));
        found->items[found->count++] =
            (struct ims_neighbour){round->upper[i], (int64_t)round->list->ids[round->first + i]};
    }
    if (-ims_topk_bound(best) > work->threshold)
        work->threshold = -ims_topk_bound(best);
    return status;
}

/* Look at the images of a list, at most `most` of them; once they are in order, until the next bound does not reach T. */
static imgsim_status run_rounds(
    struct ims_bounded *work,
    const struct ims_bounded_list *list,
    size_t most,
    bool sorted,
    struct found *found)
{
    struct ims_neighbour *items = ims_alloc_array(work->k, sizeof(*items));
    struct round round = {.work = work, .list = list};
    size_t size = ROUND_FIRST, room = ROUND_MAX < list->count ? ROUND_MAX : list->count;
    imgsim_status status = IMGSIM_OK;
    struct ims_topk best;

    round.lower = ims_alloc_array(room, sizeof(*round.lower));
    round.upper = ims_alloc_array(room, sizeof(*round.upper));
    if (items == NULL || round.lower == NULL || round.upper == NULL)
        status = ims_fail_memory(2 * room * sizeof(*round.lower));
    ims_topk_init(&best, items, work->k);
    most = most < list->count ? most : list->count;
    for (; round.first < most && status == IMGSIM_OK; round.first += round.count) {
        const size_t left = most - round.first;

        if (sorted &&
            (double)list->upper[round.first] + 4 * (double)IMS_FLOAT_SLACK < work->threshold)
            break;
        round.count = left < size ? left : size;
        status = run_round(&round, &best, found);
        size = size < ROUND_MAX ? 2 * size : ROUND_MAX;
    }
    ims_free(items);
    ims_free(round.lower);
    ims_free(round.upper);
    return status;
}

/* A first T from the images of the best bounds. They come by again: their lower bounds must not count twice. */
static imgsim_status seed(struct ims_bounded *work)
{
    const size_t wanted = work->k * SEEDS_PER_HIT > SEEDS_MIN ? work->k * SEEDS_PER_HIT : SEEDS_MIN;
    struct ims_bounded_list list = {0};
    imgsim_status status;

    if ((status = ims_bounded_seeds(work, &list)) == IMGSIM_OK)
        status = run_rounds(work, &list, wanted, true, NULL);
    ims_bounded_list_clear(&list);
    return status;
}

static imgsim_status rule_out(struct ims_bounded *work, struct found *found)
{
    struct ims_bounded_list list = {0};
    imgsim_status status;
    bool few;

    if ((status = ims_bounded_scan(work)) != IMGSIM_OK || (status = seed(work)) != IMGSIM_OK ||
        (status = ims_bounded_survivors(work, &list)) != IMGSIM_OK)
        goto done;
    few = list.count <= work->eligible_count / SORT_SHARE;
    if (!few || (status = ims_bounded_sort(work, &list)) == IMGSIM_OK)
        status = run_rounds(work, &list, list.count, few, found);

done:
    ims_bounded_list_clear(&list);
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

/* A stored exact index with planes where there is a fresh one, else the one over the catalog's rows. */
static imgsim_status choose_index(
    const struct ims_bounded *work,
    imgsim_query *query,
    struct ims_space *space,
    const imgsim_index **out_index)
{
    imgsim_status status;

    *out_index = NULL;
    if (space->row_type == IMGSIM_ROW_FLOAT32 &&
        (status = ims_space_stored(query, space, out_index)) != IMGSIM_OK)
        return status;
    if (*out_index != NULL && imgsim_index_get_kind(*out_index) == IMGSIM_INDEX_EXACT &&
        ims_index_has_planes_of_ids(*out_index, work->id_count))
        return IMGSIM_OK;
    return ims_space_exact(space, out_index);
}

static imgsim_status open_channel(
    struct ims_bounded *work,
    imgsim_query *query,
    size_t c,
    const struct ims_channel_rows *rows)
{
    struct ims_bounded_channel *channel = &work->channels[c];
    const imgsim_index *index;
    imgsim_status status;

    channel->space = &query->channels[c].space;
    channel->rows = rows;
    channel->share = ims_channel_share(query, c);
    work->channel_count = c + 1;
    if ((status = choose_index(work, query, &query->channels[c].space, &index)) != IMGSIM_OK)
        return status;
    for (size_t row = 0; row < rows->count && status == IMGSIM_OK; row++)
        status =
            ims_key_bounds_new(index, ims_rows_at(rows, row), work->pool, &channel->bounds[row]);
    if (status != IMGSIM_OK)
        return status;
    channel->scanned = ims_key_bounds_has_coarse(channel->bounds[0]);
    channel->step_count = channel->scanned ? ims_key_bounds_steps(channel->bounds[0]) : 0;
    return IMGSIM_OK;
}

/* Bits before histograms, which are kept sparse, before floats. */
static int row_cost(const struct ims_bounded_channel *channel)
{
    return channel->rows->bits ? 0 : channel->space->row_type == IMGSIM_ROW_UINT32 ? 1 : 2;
}

/* What costs least first, then the largest shares: they tell most. Equal ones in the query's order. */
static void order_channels(struct ims_bounded *work)
{
    for (size_t c = 0; c < work->channel_count; c++) {
        const int cost = row_cost(&work->channels[c]);
        size_t at = c;

        for (; at > 0; at--) {
            const struct ims_bounded_channel *before = &work->channels[work->order[at - 1]];

            if (row_cost(before) < cost ||
                (row_cost(before) == cost && before->share >= work->channels[c].share))
                break;
            work->order[at] = work->order[at - 1];
        }
        work->order[at] = c;
    }
}

/* The cheapest steps first, those of a channel in their order; equal ones in that of the channels. */
static void order_steps(struct ims_bounded *work)
{
    for (size_t i = 0; i < work->channel_count; i++) {
        const size_t c = work->order[i];
        size_t cost = 0;

        for (uint32_t step = 0; step < work->channels[c].step_count && step < IMS_BOUNDED_STEPS;
             step++) {
            const size_t own = ims_key_bounds_step_cost(work->channels[c].bounds[0], step);
            size_t at = work->step_count++;

            cost = own > cost ? own : cost;
            for (; at > 0 && work->steps[at - 1].cost > cost; at--)
                work->steps[at] = work->steps[at - 1];
            work->steps[at] = (struct ims_bounded_step){c, step, cost};
        }
    }
}

/* Room per id, kept with the query: asking the system for it anew costs more than much of the search. */
static imgsim_status make_room(struct ims_bounded *work, imgsim_query *query)
{
    const size_t ids = (work->id_count + IMS_KEY_BLOCK) / IMS_KEY_BLOCK * IMS_KEY_BLOCK;
    size_t columns = 1, cells;

    for (size_t c = 0; c < work->channel_count; c++)
        columns += work->channels[c].scanned;
    if (!ims_mul_size(ids, columns, &cells))
        return ims_fail_memory(SIZE_MAX);
    if (cells > query->room_size) {
        ims_free_aligned(query->room);
        query->room_size = 0;
        if ((query->room = ims_alloc_aligned(cells * sizeof(float))) == NULL)
            return ims_fail_memory(cells * sizeof(float));
        query->room_size = cells;
    }
    work->below = query->room;
    columns = 1;
    for (size_t c = 0; c < work->channel_count; c++)
        if (work->channels[c].scanned)
            work->channels[c].scores = query->room + ids * columns++;
    return IMGSIM_OK;
}

static void bounded_clear(struct ims_bounded *work)
{
    for (size_t c = 0; c < work->channel_count; c++)
        for (size_t row = 0; row < work->channels[c].rows->count; row++)
            ims_key_bounds_free(work->channels[c].bounds[row]);
    for (size_t task = 0; work->lists != NULL && task < work->task_count; task++)
        ims_bounded_list_clear(&work->lists[task]);
    ims_free(work->lists);
    ims_free(work->least);
}

/* One more than the largest id of a set: every channel has rows up to there. */
static size_t id_count(const struct ims_bitset *set)
{
    uint64_t count = set->count;

    while (count > 0 && !ims_bitset_test(set, (int64_t)count - 1))
        count--;
    return (size_t)count;
}

imgsim_status ims_bounded_candidates(
    imgsim_query *query,
    const struct ims_channel_rows *rows,
    const struct ims_bitset *eligible,
    uint64_t eligible_count,
    struct ims_bitset *out_set)
{
    imgsim_status status;
    struct found found = {0};
    struct ims_bounded work = {
        .eligible = eligible,
        .id_count = id_count(eligible),
        .eligible_count = (size_t)eligible_count,
        .k = query->options.k,
        /* What scores less than min_score is no hit, whatever its place; no score is below 0. */
        .threshold = query->options.min_score > 0 ? query->options.min_score : 0,
    };

    work.task_count = (work.id_count + IMS_BOUNDED_TASK - 1) / IMS_BOUNDED_TASK;
    status = ims_query_pool(query, &work.pool);
    for (size_t c = 0; c < query->channel_count && status == IMGSIM_OK; c++)
        status = open_channel(&work, query, c, &rows[c]);
    order_channels(&work);
    order_steps(&work);
    if (status != IMGSIM_OK || (status = make_room(&work, query)) != IMGSIM_OK ||
        (status = rule_out(&work, &found)) != IMGSIM_OK)
        goto done;

    if (!ims_bitset_init(out_set, eligible->count, false)) {
        status = ims_fail_memory((size_t)(eligible->count / 8));
        goto done;
    }
    for (size_t i = 0; i < found.count; i++)
        if (!(found.items[i].distance < work.threshold))
            ims_bitset_set(out_set, found.items[i].id);

done:
    ims_free(found.items);
    bounded_clear(&work);
    return status;
}
