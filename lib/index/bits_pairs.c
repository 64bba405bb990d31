/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All pairs of bit rows within a Hamming distance.
 *
 * Multi-index hashing (Norouzi, Punjani & Fleet, IEEE TPAMI 36(6), 2014): the bits are cut into m chunks with radii a_i such
 * that the sum of (a_i + 1) exceeds the distance r; rows within r then agree on some chunk i to within a_i bits. For each
 * chunk the rows are sorted by its bits, and each row is compared with the rows of the buckets within a_i, which lie together.
 * Departures: m is the one that a count of comparisons makes cheapest, of which m = 1 without bits is comparing all with all;
 * equal rows are merged first, so that many copies cost one; a pair is told where it is met first.
 */
#include "index/index_private.h"

#include "core/memory.h"
#include "core/options.h"
#include "core/progress.h"
#include "simd/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Chunks, their bits and rows per task at most; pairs handed over at a time. */
#define CHUNKS_MAX 64
#define CHUNK_BITS_MAX 20
#define TASK_ROWS 512
#define RUN 512
#define BATCH 4096

static const imgsim_pairs_options default_pairs = {.struct_size = sizeof(imgsim_pairs_options)};

imgsim_status imgsim_pairs_options_init(imgsim_pairs_options *options, size_t struct_size)
{
    if (options == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "options must not be NULL");
    return ims_options_init(options, struct_size, &default_pairs, sizeof(default_pairs));
}

struct chunk {
    uint32_t first; /* bit */
    uint32_t bits;
    uint32_t radius;
};

struct pairs {
    const imgsim_index *index;
    size_t row_size;
    uint32_t limit;
    imgsim_pairs_callback callback;
    void *user_data;
    pthread_mutex_t mutex; /* one callback at a time */
    struct ims_meter meter;

    /* Rows that differ; members[starts[u]] to before starts[u + 1] are the slots of row u. */
    size_t count;
    uint32_t *starts;
    uint32_t *members;

    struct chunk chunks[CHUNKS_MAX];
    size_t chunk_count;

    /* Of the chunk at hand: the rows in order of its bits, and where each value of them starts. */
    size_t chunk;
    uint8_t *rows;
    uint32_t *order; /* row u */
    uint32_t *keys;
    uint32_t *buckets;
    uint32_t *masks; /* differences within the radius, the smallest first; masks[0] = 0 */
    size_t mask_count;
};

struct batch {
    int64_t a[BATCH];
    int64_t b[BATCH];
    float distances[BATCH];
    size_t count;
};

/* ---- rows that differ ---- */

struct sorted_row {
    uint64_t hash; /* its first bytes, most significant first */
    const uint8_t *row;
    uint32_t size;
    uint32_t slot;
};

static int compare_rows(const void *left, const void *right)
{
    const struct sorted_row *a = left, *b = right;
    int order;

    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    order = a->size > 8 ? memcmp(a->row, b->row, a->size) : 0;
    return order != 0 ? order : a->slot < b->slot ? -1 : a->slot > b->slot;
}

static uint64_t first_bytes(const uint8_t *row, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < 8; i++)
        value = value << 8 | (i < size ? row[i] : 0);
    return value;
}

/* Merge equal rows. */
static imgsim_status merge_rows(struct pairs *pairs)
{
    const struct ims_rows *rows = &pairs->index->rows;
    struct sorted_row *sorted = ims_alloc_array(rows->live_count, sizeof(*sorted));
    size_t live = 0;

    pairs->starts = ims_alloc_array(rows->live_count + 1, sizeof(*pairs->starts));
    pairs->members = ims_alloc_array(rows->live_count, sizeof(*pairs->members));
    if (sorted == NULL || pairs->starts == NULL || pairs->members == NULL) {
        ims_free(sorted);
        return ims_fail_memory(rows->live_count * sizeof(*sorted));
    }
    for (size_t slot = 0; slot < rows->slot_count; slot++)
        if (ims_rows_id(rows, (uint32_t)slot) >= 0) {
            const uint8_t *row = ims_rows_at(rows, (uint32_t)slot);

            sorted[live++] = (struct sorted_row){
                first_bytes(row, rows->row_size), row, (uint32_t)rows->row_size, (uint32_t)slot};
        }
    qsort(sorted, live, sizeof(*sorted), compare_rows);
    for (size_t i = 0; i < live; i++) {
        if (i == 0 || memcmp(sorted[i].row, sorted[i - 1].row, rows->row_size) != 0)
            pairs->starts[pairs->count++] = (uint32_t)i;
        pairs->members[i] = sorted[i].slot;
    }
    pairs->starts[pairs->count] = (uint32_t)live;
    ims_free(sorted);
    return IMGSIM_OK;
}

static const uint8_t *row_of(const struct pairs *pairs, uint32_t unique)
{
    return ims_rows_at(&pairs->index->rows, pairs->members[pairs->starts[unique]]);
}

/* ---- chunks ---- */

/* Values of `bits` bits that differ from another in at most `radius`. */
static double ball(uint32_t bits, uint32_t radius)
{
    double sum = 0, ways = 1;

    for (uint32_t i = 0; i <= radius && i <= bits; i++) {
        sum += ways;
        ways *= (double)(bits - i) / (i + 1);
    }
    return sum;
}

/* m disjoint chunks of nearly equal size, whose radii add up; returns about how many vector comparisons a row takes. */
static double cut(uint32_t bits, uint32_t limit, size_t rows, size_t m, struct chunk *chunks)
{
    double cost = 0;
    uint32_t first = 0, left = limit + 1; /* to share out: a_i + 1 each */

    for (size_t i = 0; i < m; i++) {
        const uint32_t part = (uint32_t)((bits - first) / (m - i));
        const uint32_t size =
            part < CHUNK_BITS_MAX ? part : CHUNK_BITS_MAX; /* the rest is not looked at */
        const uint32_t share = (uint32_t)((left + (m - i) - 1) / (m - i));

        if (share == 0)
            return INFINITY; /* a chunk that nothing depends on */
        chunks[i] = (struct chunk){first, size, share - 1};
        first += part;
        left -= share;
        cost += ball(size, share - 1) * (1 + (double)rows / ldexp(8, (int)size));
    }
    return cost;
}

static void choose_chunks(struct pairs *pairs)
{
    const uint32_t bits = pairs->index->dimension;
    double best = (double)pairs->count / 8;
    struct chunk chunks[CHUNKS_MAX];

    pairs->chunk_count = 1;
    pairs->chunks[0] = (struct chunk){0, 0, 0};
    for (size_t m = 1; m <= CHUNKS_MAX && m <= pairs->limit + 1 && m <= bits; m++) {
        const double cost = cut(bits, pairs->limit, pairs->count, m, chunks);

        if (cost < best) {
            best = cost;
            pairs->chunk_count = m;
            memcpy(pairs->chunks, chunks, m * sizeof(*chunks));
        }
    }
}

/* A chunk's bits as a number. */
static uint32_t key_of(const uint8_t *row, struct chunk chunk)
{
    uint32_t key = 0;

    for (uint32_t i = 0; i < chunk.bits; i++) {
        const uint32_t bit = chunk.first + i;

        key |= (uint32_t)(row[bit / 8] >> (bit % 8) & 1) << i;
    }
    return key;
}

static int compare_masks(const void *left, const void *right)
{
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

/* All differences of at most `radius` bits. */
static imgsim_status list_masks(struct pairs *pairs, struct chunk chunk)
{
    const uint32_t values = 1u << chunk.bits;

    pairs->mask_count = 0;
    if ((pairs->masks = ims_alloc_array(
             (size_t)ball(chunk.bits, chunk.radius) + 1, sizeof(*pairs->masks))) == NULL)
        return ims_fail_memory(values * sizeof(*pairs->masks));
    for (uint32_t mask = 0; mask < values; mask++)
        if ((uint32_t)__builtin_popcount(mask) <= chunk.radius)
            pairs->masks[pairs->mask_count++] = mask;
    qsort(pairs->masks, pairs->mask_count, sizeof(*pairs->masks), compare_masks);
    return IMGSIM_OK;
}

/* Counting sort of the rows by a chunk. */
static imgsim_status sort_by_chunk(struct pairs *pairs)
{
    const struct chunk chunk = pairs->chunks[pairs->chunk];
    const size_t values = (size_t)1 << chunk.bits;
    uint32_t *places = ims_calloc(values + 1, sizeof(*places));
    imgsim_status status = IMGSIM_OK;

    pairs->buckets = ims_calloc(values + 1, sizeof(*pairs->buckets));
    if (places == NULL || pairs->buckets == NULL) {
        status = ims_fail_memory((values + 1) * sizeof(*places));
        goto done;
    }
    for (size_t u = 0; u < pairs->count; u++)
        pairs->buckets[key_of(row_of(pairs, (uint32_t)u), chunk) + 1]++;
    for (size_t value = 0; value < values; value++) {
        places[value] = pairs->buckets[value];
        pairs->buckets[value + 1] += pairs->buckets[value];
    }
    for (size_t u = 0; u < pairs->count; u++) {
        const uint8_t *row = row_of(pairs, (uint32_t)u);
        const uint32_t key = key_of(row, chunk), place = places[key]++;

        pairs->order[place] = (uint32_t)u;
        pairs->keys[place] = key;
        memcpy(pairs->rows + place * pairs->row_size, row, pairs->row_size);
    }
    status = list_masks(pairs, chunk);

done:
    ims_free(places);
    return status;
}

/* ---- pairs ---- */

static imgsim_status hand_over(struct pairs *pairs, struct batch *batch)
{
    int32_t answer = 0;

    if (batch->count == 0)
        return IMGSIM_OK;
    pthread_mutex_lock(&pairs->mutex);
    if (!atomic_load(&pairs->meter.stop))
        answer =
            pairs->callback(batch->a, batch->b, batch->distances, batch->count, pairs->user_data);
    if (answer != 0)
        atomic_store(&pairs->meter.stop, true);
    pthread_mutex_unlock(&pairs->mutex);
    batch->count = 0;
    return answer == 0 ? IMGSIM_OK : ims_fail(IMGSIM_ERROR_CANCELLED, "stopped by the callback");
}

static imgsim_status
tell(struct pairs *pairs, struct batch *batch, uint32_t slot_a, uint32_t slot_b, uint32_t distance)
{
    const int64_t a = ims_rows_id(&pairs->index->rows, slot_a);
    const int64_t b = ims_rows_id(&pairs->index->rows, slot_b);

    batch->a[batch->count] = a < b ? a : b;
    batch->b[batch->count] = a < b ? b : a;
    batch->distances[batch->count] = (float)distance;
    return ++batch->count < BATCH ? IMGSIM_OK : hand_over(pairs, batch);
}

/* Every row of one kind with every row of another, or of one kind among each other. */
static imgsim_status
tell_members(struct pairs *pairs, struct batch *batch, uint32_t a, uint32_t b, uint32_t distance)
{
    imgsim_status status = IMGSIM_OK;

    for (uint32_t i = pairs->starts[a]; i < pairs->starts[a + 1]; i++)
        for (uint32_t j = a == b ? i + 1 : pairs->starts[b];
             j < pairs->starts[b + 1] && status == IMGSIM_OK; j++)
            status = tell(pairs, batch, pairs->members[i], pairs->members[j], distance);
    return status;
}

/* Whether two rows meet in a chunk before this one. */
static bool met_before(const struct pairs *pairs, const uint8_t *a, const uint8_t *b)
{
    for (size_t i = 0; i < pairs->chunk; i++)
        if ((uint32_t)__builtin_popcount(
                key_of(a, pairs->chunks[i]) ^ key_of(b, pairs->chunks[i])) <=
            pairs->chunks[i].radius)
            return true;
    return false;
}

/* A row against the sorted rows from `start` to before `end`. */
static imgsim_status
compare_run(struct pairs *pairs, struct batch *batch, size_t place, size_t start, size_t end)
{
    const struct ims_kernels *kernels = ims_kernels();
    const uint8_t *row = pairs->rows + place * pairs->row_size;
    imgsim_status status = IMGSIM_OK;
    uint32_t near[RUN];

    for (; start < end && status == IMGSIM_OK; start += RUN) {
        const uint8_t *run = pairs->rows + start * pairs->row_size;
        const size_t found = kernels->hamming_near(
            row, run, pairs->row_size, end - start < RUN ? end - start : RUN, pairs->limit, near);

        for (size_t i = 0; i < found && status == IMGSIM_OK; i++) {
            const uint8_t *other = run + near[i] * pairs->row_size;

            if (!met_before(pairs, row, other))
                status = tell_members(
                    pairs, batch, pairs->order[place], pairs->order[start + near[i]],
                    kernels->hamming(row, other, pairs->row_size));
        }
    }
    return status;
}

static imgsim_status compare_rows_of_task(void *context, size_t item, uint32_t worker)
{
    struct pairs *pairs = context;
    const size_t first = item * TASK_ROWS;
    const size_t last = first + TASK_ROWS < pairs->count ? first + TASK_ROWS : pairs->count;
    struct batch *batch = ims_alloc(sizeof(*batch));
    imgsim_status status = IMGSIM_OK;

    if (batch == NULL)
        return ims_fail_memory(sizeof(*batch));
    batch->count = 0;
    for (size_t place = first; place < last && status == IMGSIM_OK; place++) {
        const uint32_t key = pairs->keys[place];

        if (pairs->chunk == 0)
            status = tell_members(pairs, batch, pairs->order[place], pairs->order[place], 0);
        for (size_t i = 0; i < pairs->mask_count && status == IMGSIM_OK; i++) {
            const uint32_t other = key ^ pairs->masks[i];

            if (other >= key) /* each two buckets once */
                status = compare_run(
                    pairs, batch, place, other == key ? place + 1 : pairs->buckets[other],
                    pairs->buckets[other + 1]);
        }
    }
    if (status == IMGSIM_OK)
        status = hand_over(pairs, batch);
    atomic_fetch_add(&pairs->meter.done, last - first);
    if (status == IMGSIM_OK && worker == 0)
        status = ims_meter_tick(&pairs->meter, false);
    if (status == IMGSIM_OK && atomic_load(&pairs->meter.stop))
        status = ims_fail(IMGSIM_ERROR_CANCELLED, "stopped by the callback");
    ims_free(batch);
    return status;
}

static imgsim_status find_pairs(struct pairs *pairs, struct ims_pool *pool)
{
    imgsim_status status;

    if ((status = merge_rows(pairs)) != IMGSIM_OK || pairs->count == 0)
        return status;
    pairs->rows = ims_alloc_aligned(pairs->count * pairs->row_size);
    pairs->order = ims_alloc_array(pairs->count, sizeof(*pairs->order));
    pairs->keys = ims_alloc_array(pairs->count, sizeof(*pairs->keys));
    if (pairs->rows == NULL || pairs->order == NULL || pairs->keys == NULL)
        return ims_fail_memory(pairs->count * (pairs->row_size + 8));
    choose_chunks(pairs);
    ims_meter_phase(&pairs->meter, "pairs", pairs->count * pairs->chunk_count);
    for (pairs->chunk = 0; pairs->chunk < pairs->chunk_count && status == IMGSIM_OK;
         pairs->chunk++) {
        if ((status = sort_by_chunk(pairs)) == IMGSIM_OK)
            status = ims_pool_run(
                pool, (pairs->count + TASK_ROWS - 1) / TASK_ROWS, compare_rows_of_task, pairs);
        ims_free(pairs->buckets);
        ims_free(pairs->masks);
        pairs->buckets = pairs->masks = NULL;
    }
    return status == IMGSIM_OK ? ims_meter_tick(&pairs->meter, true) : status;
}

imgsim_status imgsim_index_pairs(
    const imgsim_index *index,
    const imgsim_pairs_options *options,
    imgsim_pairs_callback callback,
    void *user_data)
{
    imgsim_pairs_options known = default_pairs;
    struct pairs pairs = {.index = index, .callback = callback, .user_data = user_data};
    struct ims_pool *pool = NULL;
    imgsim_status status;

    if (index == NULL || callback == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "index and callback must not be NULL");
    if (index->metric != IMGSIM_METRIC_HAMMING)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "pairs are found by hamming, this index has %s",
            imgsim_metric_name(index->metric));
    if ((status = ims_options_read(&known, sizeof(known), options)) != IMGSIM_OK ||
        (status = ims_index_check_range("threads", known.threads, 0, IMS_THREADS_MAX)) != IMGSIM_OK)
        return status;
    if (known.max_distance > index->dimension)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "max_distance is %u, rows have %u bits",
            (unsigned)known.max_distance, (unsigned)index->dimension);

    pairs.row_size = index->rows.row_size;
    pairs.limit = known.max_distance;
    pthread_mutex_init(&pairs.mutex, NULL);
    ims_meter_start(&pairs.meter, known.progress, known.progress_data);
    if ((status = ims_pool_new(known.threads > 0 ? known.threads : index->threads, &pool)) ==
        IMGSIM_OK)
        status = find_pairs(&pairs, pool);
    ims_pool_free(pool);
    pthread_mutex_destroy(&pairs.mutex);
    ims_free(pairs.starts);
    ims_free(pairs.members);
    ims_free_aligned(pairs.rows);
    ims_free(pairs.order);
    ims_free(pairs.keys);
    ims_free(pairs.buckets);
    ims_free(pairs.masks);
    return status;
}
