/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upper bounds of the scores of all images from the channels' coarse bounds, in single precision, and the images that they and
 * the sharper ones after them leave. docs/searching.md, "Bounds".
 */
#include "query/bounded.h"

#include "core/memory.h"
#include "simd/kernels.h"
#include "simd/metric.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Images bounded together: all that is known about them stays in the nearest cache. */
#define BATCH 512
/* Of every LANES-th of LANE_IDS images in a row one can be a seed, the best: like images often stand next to each other. */
#define LANES 32
#define LANE_IDS 512
#define TASK_LANES (IMS_BOUNDED_TASK / LANE_IDS * LANES)
/* Seeds that are sharpened before T is known, per image asked for and at least. */
#define SEEDS_PER_HIT 8
#define SEEDS_MIN 128

/* ---- similarities ---- */

double ims_similarity_of_key(const struct ims_space *space, double key, double cosine_slack)
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

/* 1 where nothing is known, the key being no number. */
static inline float unit(float similarity)
{
    similarity = similarity < 1 ? similarity : 1;
    return (similarity > 0 ? similarity : 0) + IMS_FLOAT_SLACK;
}

/*
 * Where the similarity is a straight line in the key until it is cut to [0, 1], it is one in the score: at most unit(*out_base +
 * *out_slope * score). What is lost by rounding is a few units in the last place of numbers up to 1, and of the key's addend.
 */
static bool similarity_line(
    const struct ims_space *space,
    const struct ims_key_bounds *bounds,
    float *out_base,
    float *out_slope)
{
    double factor, addend;

    ims_key_bounds_terms(bounds, &factor, &addend);
    switch (space->metric) {
    case IMGSIM_METRIC_COSINE:
    case IMGSIM_METRIC_CORRELATION:
    case IMGSIM_METRIC_JACCARD:
        *out_base = (float)(1 - addend + (double)IMS_FLOAT_SLACK * (1 + fabs(addend)));
        *out_slope = (float)-factor;
        return true;
    case IMGSIM_METRIC_INTERSECTION:
        *out_base = (float)(-addend + (double)IMS_FLOAT_SLACK * (1 + fabs(addend)));
        *out_slope = (float)-factor;
        return true;
    case IMGSIM_METRIC_HAMMING:
        *out_base = 1;
        *out_slope = -1 / (float)(space->dimension > 0 ? space->dimension : 1);
        return true;
    default:
        return false;
    }
}

/* The similarity falls while the key grows. */
void ims_upper_similarities(
    const struct ims_space *space,
    const float *keys,
    size_t count,
    float *out_similarity)
{
    const float scale = 1 / (float)(space->dimension > 0 ? space->dimension : 1);

    switch (space->metric) {
    case IMGSIM_METRIC_COSINE:
    case IMGSIM_METRIC_CORRELATION:
    case IMGSIM_METRIC_JACCARD:
    case IMGSIM_METRIC_BHATTACHARYYA:
        for (size_t i = 0; i < count; i++)
            out_similarity[i] = unit(1 - keys[i]);
        break;
    case IMGSIM_METRIC_INTERSECTION:
        for (size_t i = 0; i < count; i++)
            out_similarity[i] = unit(-keys[i]);
        break;
    case IMGSIM_METRIC_HAMMING:
        for (size_t i = 0; i < count; i++)
            out_similarity[i] = unit(1 - keys[i] * scale);
        break;
    case IMGSIM_METRIC_L2:
    case IMGSIM_METRIC_MAHALANOBIS:
        for (size_t i = 0; i < count; i++)
            out_similarity[i] = unit(1 / (1 + sqrtf(keys[i] > 0 ? keys[i] : 0)));
        break;
    case IMGSIM_METRIC_L1:
    case IMGSIM_METRIC_CHI_SQUARE:
        for (size_t i = 0; i < count; i++)
            out_similarity[i] = unit(1 / (1 + (keys[i] > 0 ? keys[i] : 0)));
        break;
    default: /* functions of the mathematical library */
        for (size_t i = 0; i < count; i++)
            out_similarity[i] =
                isnan(keys[i])
                    ? 1 + IMS_FLOAT_SLACK
                    : unit((float)ims_similarity_of_key(space, (double)keys[i], IMS_SLACK));
    }
}

/* ---- coarse bounds ---- */

/* Keys of bits against several images: fusion.c joins values by factors that sum to 1, and distances join as values do. */
static void
joined_scores(const struct ims_bounded_channel *channel, size_t first, size_t count, float *out)
{
    double wanted[BATCH] = {0}, unwanted[BATCH] = {0}, positive = 0, negative = 0;
    float scores[BATCH];

    for (size_t row = 0; row < channel->rows->count; row++) {
        const double weight = fabs(channel->rows->weights[row]);
        const bool plus = channel->rows->weights[row] > 0;
        double *sums = plus ? wanted : unwanted;

        *(plus ? &positive : &negative) += weight;
        ims_key_bounds_scan(channel->bounds[row], first, count, scores);
        for (size_t i = 0; i < count; i++)
            sums[i] += weight * (double)scores[i];
    }
    for (size_t i = 0; i < count; i++) {
        const double key = wanted[i] / positive;
        const double away = negative > 0 ? negative / positive * (key - unwanted[i] / negative) : 0;

        /* Jaccard's scores are rounded. */
        out[i] =
            (float)(key + away - 2 * (double)IMS_FLOAT_SLACK * (fabs(key) + 1) * (1 + 2 * negative / positive));
    }
}

/* Bounds of the similarities of up to BATCH images from their scores. */
static void similarities(
    const struct ims_bounded_channel *channel,
    const float *scores,
    size_t count,
    float *out_similarity)
{
    float keys[BATCH], base, slope;

    if (similarity_line(channel->space, channel->bounds[0], &base, &slope)) {
        for (size_t i = 0; i < count; i++)
            out_similarity[i] = unit(base + slope * scores[i]);
    } else {
        ims_key_bounds_keys(channel->bounds[0], scores, count, keys);
        ims_upper_similarities(channel->space, keys, count, out_similarity);
    }
}

/* Scores of up to BATCH images in a row. */
static void
scan_channel(const struct ims_bounded_channel *channel, size_t first, size_t count, float *scores)
{
    if (channel->rows->count > 1)
        joined_scores(channel, first, count, scores);
    else
        ims_key_bounds_scan(channel->bounds[0], first, count, scores);
}

/* 64 ids of a set from a multiple of 64 on. */
static uint64_t id_bits(const struct ims_bitset *set, size_t first)
{
    const size_t bytes = (size_t)((set->count + 7) / 8), at = first / 8;
    uint64_t bits = 0;

    for (size_t i = 0; i < 8 && at + i < bytes; i++)
        bits |= (uint64_t)set->bytes[at + i] << (8 * i);
    return bits;
}

/* Up to BATCH images in a row, some of which are eligible. */
static void scan_run(struct ims_bounded *work, size_t first, size_t count)
{
    float sums[BATCH], similarity[BATCH], *below = work->below + first;
    float missing = 0;

    for (size_t c = 0; c < work->channel_count; c++)
        if (!work->channels[c].scanned)
            missing += (float)work->channels[c].share * (1 + IMS_FLOAT_SLACK);
    for (size_t i = 0; i < count; i++)
        sums[i] = missing;
    for (size_t c = 0; c < work->channel_count; c++) {
        const struct ims_bounded_channel *channel = &work->channels[c];
        const float share = (float)channel->share;

        if (!channel->scanned)
            continue;
        scan_channel(channel, first, count, channel->scores + first);
        similarities(channel, channel->scores + first, count, similarity);
        for (size_t i = 0; i < count; i++)
            sums[i] += share * similarity[i];
    }
    for (size_t at = 0; at < count; at += IMS_KEY_BLOCK) {
        const uint64_t bits = id_bits(work->eligible, first + at);

        for (size_t i = at; i < count && i < at + IMS_KEY_BLOCK; i++)
            below[i] = bits == UINT64_MAX || ((bits >> (i - at)) & 1) ? -sums[i] : INFINITY;
    }
}

/* The ids from `first` on that are to be bounded together, up to `end`; blocks without an eligible one are left out. */
static size_t next_run(const struct ims_bounded *work, size_t *first, size_t end)
{
    size_t last;

    for (; *first < end && id_bits(work->eligible, *first) == 0; *first += IMS_KEY_BLOCK)
        for (size_t i = *first; i < *first + IMS_KEY_BLOCK && i < end; i++)
            work->below[i] = INFINITY;
    for (last = *first; last < end && last < *first + BATCH && id_bits(work->eligible, last) != 0;)
        last += IMS_KEY_BLOCK;
    return last < end ? last : end;
}

static size_t task_end(const struct ims_bounded *work, size_t task)
{
    const size_t end = (task + 1) * IMS_BOUNDED_TASK;

    return end < work->id_count ? end : work->id_count;
}

/* The least of every LANES-th value of a task's ids, for each lane of each LANE_IDS of them. */
static void find_least(const float *below, size_t count, float least[TASK_LANES])
{
    for (size_t at = 0; at < IMS_BOUNDED_TASK; at += LANE_IDS, least += LANES) {
        for (size_t lane = 0; lane < LANES; lane++)
            least[lane] = INFINITY;
        for (size_t first = at; first < at + LANE_IDS && first < count; first += LANES)
            for (size_t lane = 0; lane < LANES && first + lane < count; lane++)
                least[lane] = below[first + lane] < least[lane] ? below[first + lane] : least[lane];
    }
}

static imgsim_status scan_task(void *context, size_t task, uint32_t worker)
{
    struct ims_bounded *work = context;
    const size_t start = task * IMS_BOUNDED_TASK, end = task_end(work, task);

    (void)worker;
    for (size_t first = start; first < end;) {
        const size_t last = next_run(work, &first, end);

        if (last > first)
            scan_run(work, first, last - first);
        first = last;
    }
    find_least(work->below + start, end - start, work->least + task * TASK_LANES);
    return IMGSIM_OK;
}

imgsim_status ims_bounded_scan(struct ims_bounded *work)
{
    work->least = ims_alloc_array(work->task_count * TASK_LANES, sizeof(*work->least));
    if (work->least == NULL)
        return ims_fail_memory(work->task_count * TASK_LANES * sizeof(*work->least));
    return ims_pool_run(work->pool, work->task_count, scan_task, work);
}

/* Up to best->capacity images of the best bounds, one of each lane. */
static void choose_seeds(const struct ims_bounded *work, struct ims_topk *best)
{
    double bound = INFINITY;

    for (size_t lane = 0; lane < work->task_count * TASK_LANES; lane++)
        if ((double)work->least[lane] < bound) {
            ims_topk_push(best, (double)work->least[lane], (int64_t)lane);
            bound = ims_topk_bound(best);
        }
    for (size_t i = 0; i < best->count; i++) {
        const size_t lane = (size_t)best->items[i].id;
        size_t id = lane / LANES * LANE_IDS + lane % LANES;

        while (!((double)work->below[id] <= best->items[i].distance))
            id += LANES;
        best->items[i].id = (int64_t)id;
    }
}

/* ---- lists ---- */

imgsim_status ims_bounded_list_init(
    const struct ims_bounded *work,
    struct ims_bounded_list *list,
    size_t capacity)
{
    size_t cells;

    memset(list, 0, sizeof(*list));
    if (!ims_mul_size(capacity, work->channel_count, &cells))
        return ims_fail_memory(SIZE_MAX);
    list->ids = ims_alloc_array(capacity, sizeof(*list->ids));
    list->upper = ims_alloc_array(capacity, sizeof(*list->upper));
    list->similarity = ims_alloc_array(cells, sizeof(*list->similarity));
    list->capacity = capacity;
    if (list->ids == NULL || list->upper == NULL || list->similarity == NULL) {
        ims_bounded_list_clear(list);
        return ims_fail_memory(cells * sizeof(*list->similarity));
    }
    return IMGSIM_OK;
}

void ims_bounded_list_clear(struct ims_bounded_list *list)
{
    ims_free(list->ids);
    ims_free(list->upper);
    ims_free(list->similarity);
    memset(list, 0, sizeof(*list));
}

/* Append rows of one list to another that has room. */
static void append(
    const struct ims_bounded *work,
    struct ims_bounded_list *to,
    const struct ims_bounded_list *from)
{
    if (from->count == 0)
        return;
    memcpy(to->ids + to->count, from->ids, from->count * sizeof(*to->ids));
    memcpy(to->upper + to->count, from->upper, from->count * sizeof(*to->upper));
    for (size_t c = 0; c < work->channel_count; c++)
        memcpy(
            to->similarity + c * to->capacity + to->count, from->similarity + c * from->capacity,
            from->count * sizeof(*to->similarity));
    to->count += from->count;
}

imgsim_status ims_bounded_sort(const struct ims_bounded *work, struct ims_bounded_list *list)
{
    struct ims_bounded_list sorted;
    struct ims_neighbour *order = ims_alloc_array(list->count, sizeof(*order));
    imgsim_status status;

    if (order == NULL)
        return ims_fail_memory(list->count * sizeof(*order));
    if ((status = ims_bounded_list_init(work, &sorted, list->count)) == IMGSIM_OK) {
        for (size_t i = 0; i < list->count; i++)
            order[i] = (struct ims_neighbour){-(double)list->upper[i], (int64_t)i};
        ims_neighbours_sort(order, list->count); /* positions are in order of the ids */
        for (size_t i = 0; i < list->count; i++) {
            const size_t from = (size_t)order[i].id;

            sorted.ids[i] = list->ids[from];
            sorted.upper[i] = list->upper[from];
            for (size_t c = 0; c < work->channel_count; c++)
                sorted.similarity[c * sorted.capacity + i] =
                    list->similarity[c * list->capacity + from];
        }
        sorted.count = list->count;
        ims_bounded_list_clear(list);
        *list = sorted;
    }
    ims_free(order);
    return status;
}

/* ---- sharper bounds ---- */

/* Up to BATCH images that are looked at closer, in order of id. */
struct batch {
    struct ims_bounded_list list; /* its arrays below */
    uint32_t ids[BATCH];
    float upper[BATCH];
    float similarity[IMS_CHANNELS_MAX * BATCH];
    float scores[IMS_CHANNELS_MAX][BATCH];
    float state[IMS_CHANNELS_MAX][BATCH];
};

/* Take out the images whose bounds do not reach the limit. */
static void compact(const struct ims_bounded *work, struct batch *batch, float limit)
{
    size_t kept = 0;

    for (size_t i = 0; i < batch->list.count; i++) {
        float sum = 0;

        for (size_t c = 0; c < work->channel_count; c++)
            sum += (float)work->channels[c].share * batch->similarity[c * BATCH + i];
        if (sum < limit)
            continue;
        batch->ids[kept] = batch->ids[i];
        batch->upper[kept] = sum;
        for (size_t c = 0; c < work->channel_count; c++) {
            batch->similarity[c * BATCH + kept] = batch->similarity[c * BATCH + i];
            batch->scores[c][kept] = batch->scores[c][i];
            batch->state[c][kept] = batch->state[c][i];
        }
        kept++;
    }
    batch->list.count = kept;
}

static void
sharpen_batch(const struct ims_bounded *work, struct batch *batch, size_t c, uint32_t step)
{
    const struct ims_bounded_channel *channel = &work->channels[c];

    ims_key_bounds_sharpen(
        channel->bounds[0], step, batch->ids, batch->list.count, batch->state[c], batch->scores[c]);
    similarities(channel, batch->scores[c], batch->list.count, batch->similarity + c * BATCH);
}

/* All bounds that there are but those from the rows, of a batch whose ids are filled in. */
static void look_closer(const struct ims_bounded *work, struct batch *batch, float limit)
{
    for (size_t c = 0; c < work->channel_count; c++) {
        const struct ims_bounded_channel *channel = &work->channels[c];
        if (channel->scanned) {
            for (size_t i = 0; i < batch->list.count; i++)
                batch->scores[c][i] = channel->scores[batch->ids[i]];
            similarities(
                channel, batch->scores[c], batch->list.count, batch->similarity + c * BATCH);
        } else {
            for (size_t i = 0; i < batch->list.count; i++)
                batch->similarity[c * BATCH + i] = 1 + IMS_FLOAT_SLACK;
        }
    }
    compact(work, batch, limit);
    for (size_t i = 0; i < work->step_count && batch->list.count > 0; i++) {
        sharpen_batch(work, batch, work->steps[i].channel, work->steps[i].step);
        compact(work, batch, limit);
    }
}

static void batch_init(struct batch *batch)
{
    batch->list = (struct ims_bounded_list){
        .ids = batch->ids,
        .upper = batch->upper,
        .similarity = batch->similarity,
        .capacity = BATCH,
    };
}

/* What a bound must reach to be of interest, with room for the roundings of the sum. */
static float limit_of(double threshold)
{
    return nextafterf((float)threshold, -INFINITY) - 4 * IMS_FLOAT_SLACK;
}

static int by_id(const void *left, const void *right)
{
    const int64_t a = ((const struct ims_neighbour *)left)->id;
    const int64_t b = ((const struct ims_neighbour *)right)->id;

    return a < b ? -1 : a > b;
}

imgsim_status ims_bounded_seeds(struct ims_bounded *work, struct ims_bounded_list *out)
{
    const size_t asked = work->k * SEEDS_PER_HIT > SEEDS_MIN ? work->k * SEEDS_PER_HIT : SEEDS_MIN;
    const size_t lanes = work->task_count * TASK_LANES, wanted = asked < lanes ? asked : lanes;
    struct batch *batch = ims_alloc(sizeof(*batch));
    struct ims_neighbour *likely = ims_alloc_array(wanted, sizeof(*likely));
    struct ims_topk best;
    imgsim_status status;

    if (batch == NULL || likely == NULL) {
        status = ims_fail_memory(sizeof(*batch) + wanted * sizeof(*likely));
        goto done;
    }
    if ((status = ims_bounded_list_init(work, out, wanted)) != IMGSIM_OK)
        goto done;
    ims_topk_init(&best, likely, wanted);
    choose_seeds(work, &best);
    qsort(likely, best.count, sizeof(*likely), by_id);
    batch_init(batch);
    for (size_t at = 0; at < best.count; at += BATCH) {
        batch->list.count = best.count - at < BATCH ? best.count - at : BATCH;
        for (size_t i = 0; i < batch->list.count; i++)
            batch->ids[i] = (uint32_t)likely[at + i].id;
        look_closer(work, batch, -INFINITY);
        append(work, out, &batch->list);
    }
    status = ims_bounded_sort(work, out);

done:
    ims_free(batch);
    ims_free(likely);
    return status;
}

static imgsim_status survivors_task(void *context, size_t task, uint32_t worker)
{
    struct ims_bounded *work = context;
    const size_t first = task * IMS_BOUNDED_TASK, end = task_end(work, task);
    const float limit = limit_of(work->threshold);
    struct ims_bounded_list *list = &work->lists[task];
    uint32_t positions[IMS_BOUNDED_TASK];
    struct batch *batch;
    size_t found;
    imgsim_status status;

    (void)worker;
    found = ims_kernels()->not_above(work->below + first, end - first, -limit, positions);
    if (found == 0)
        return IMGSIM_OK;
    if ((batch = ims_alloc(sizeof(*batch))) == NULL)
        return ims_fail_memory(sizeof(*batch));
    status = ims_bounded_list_init(work, list, found);
    batch_init(batch);
    for (size_t at = 0; at < found && status == IMGSIM_OK; at += BATCH) {
        batch->list.count = found - at < BATCH ? found - at : BATCH;
        for (size_t i = 0; i < batch->list.count; i++)
            batch->ids[i] = (uint32_t)first + positions[at + i];
        look_closer(work, batch, limit);
        append(work, list, &batch->list);
    }
    ims_free(batch);
    return status;
}

imgsim_status ims_bounded_survivors(struct ims_bounded *work, struct ims_bounded_list *out)
{
    imgsim_status status;
    size_t count = 0;

    if ((work->lists = ims_calloc(work->task_count, sizeof(*work->lists))) == NULL)
        return ims_fail_memory(work->task_count * sizeof(*work->lists));
    if ((status = ims_pool_run(work->pool, work->task_count, survivors_task, work)) != IMGSIM_OK)
        return status;
    for (size_t task = 0; task < work->task_count; task++)
        count += work->lists[task].count;
    if ((status = ims_bounded_list_init(work, out, count)) != IMGSIM_OK)
        return status;
    for (size_t task = 0; task < work->task_count; task++)
        append(work, out, &work->lists[task]);
    return IMGSIM_OK;
}
