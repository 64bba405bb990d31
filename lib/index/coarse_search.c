/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact search of histograms by planes of merged bins: docs/exact-histograms.md.
 *
 * The first plane gives every row a score that its key is not below. Rows of the best scores are looked at first; the k-th of
 * their keys is a bound T. Rows whose score is above T are out; the others are scored by the second plane and then by their
 * entries, best first, while T shrinks. What is left over is decided as in exact.c: the answer does not depend on the planes,
 * nor on the order in which threads lower T.
 */
#include "index/coarse.h"

#include "core/bitset.h"
#include "core/memory.h"
#include "simd/kernels.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

/* Queries whose scores are kept at the same time, and floats for them at most. */
#define QUERIES_MAX 8
#define SCORES_MAX ((size_t)64 << 20)
/* Blocks of rows that all queries look at before the next ones are read. */
#define STRETCH 16
#define PARTS_PER_THREAD 4
/* Rows of each part that the first bound comes from, at least. */
#define SEEDS 32
/* Scores compared with T between two looks at what they leave. */
#define STRIDE 1024
/* Buckets that a part's scores are sorted into; rows taken from them at a time, at first and at most. */
#define BUCKETS 1024
#define CHUNK_FIRST 64
#define CHUNK_MAX 1024
/* Rows scored by their entries between two looks at the bound, and rows whose codes or entries are fetched ahead. */
#define LOOK 4
#define AHEAD 8
/* Where the planes pay: rows per row asked for, queries of mapped rows, share that passes the filter. */
#define K_SHARE 8
#define ASKED_FROM 4
#define SHARE_FROM (1.0 / 64)

/* T of a query. The heap is of the keys' upper bounds that came in, each row once. */
struct shared_bound {
    pthread_mutex_t mutex;
    struct ims_collector heap;
    _Atomic double value;
};

struct hunt {
    const struct ims_search *search;
    size_t first; /* query of the call */
    size_t query_count;
    struct ims_prepared_query prepared[QUERIES_MAX];
    struct ims_coarse_query coarse[QUERIES_MAX];
    struct shared_bound bounds[QUERIES_MAX];
    size_t block_count;
    size_t part_blocks;
    size_t part_count;
    float *scores; /* query_count x block_count x IMS_COARSE_BLOCK */
    size_t seed_room;
    struct ims_collector *collectors; /* query_count x part_count */
};

static bool is_eligible(const struct ims_search *search, size_t slot)
{
    const struct ims_rows *rows = &search->index->rows;
    int64_t id;

    if (slot >= rows->slot_count || (id = ims_rows_id(rows, (uint32_t)slot)) < 0)
        return false;
    return search->filter == NULL || ims_bits_test(search->filter, search->filter_bits, id);
}

/* ---- 1: scores by the first plane, and a bound from the rows of the best scores ---- */

static float smallest(const float scores[IMS_COARSE_BLOCK])
{
    float least[8];

    memcpy(least, scores, sizeof(least));
    for (size_t row = 8; row < IMS_COARSE_BLOCK; row += 8)
        for (size_t lane = 0; lane < 8; lane++)
            least[lane] = scores[row + lane] < least[lane] ? scores[row + lane] : least[lane];
    for (size_t lane = 1; lane < 8; lane++)
        least[0] = least[lane] < least[0] ? least[lane] : least[0];
    return least[0];
}

static void score_block(struct hunt *hunt, size_t query, size_t block, struct ims_topk *seeds)
{
    float *scores = hunt->scores + (query * hunt->block_count + block) * IMS_COARSE_BLOCK;

    ims_coarse_block_scores(hunt->search->index, &hunt->coarse[query], block, scores);
    if ((double)smallest(scores) >= ims_topk_bound(seeds))
        return;
    for (size_t row = 0; row < IMS_COARSE_BLOCK; row++) {
        const size_t slot = block * IMS_COARSE_BLOCK + row;

        if ((double)scores[row] < ims_topk_bound(seeds) && is_eligible(hunt->search, slot))
            ims_topk_push(seeds, (double)scores[row], (int64_t)slot);
    }
}

/* Whether the filter lets no row of a block through; only asked where ids are slots. */
static bool block_is_out(const struct ims_search *search, size_t block)
{
    const uint64_t first = block * (IMS_COARSE_BLOCK / 8);
    const uint64_t bytes = (search->filter_bits + 7) / 8;
    uint64_t bits = 0;

    if (search->filter == NULL || !search->index->rows.identity)
        return false;
    if (first < bytes)
        memcpy(&bits, search->filter + first, bytes - first < 8 ? bytes - first : 8);
    return bits == 0;
}

/* A key that is not answered any more: what exceeds it rounds to a float above max_distance. */
static double farthest(const struct ims_search *search)
{
    return (double)nextafterf(search->max_distance, INFINITY);
}

/* Lower T by the upper bounds of some rows' keys. */
static imgsim_status lower_bound(struct shared_bound *bound, const double *upper, size_t count)
{
    bool complete = true;

    for (size_t i = 0; i < count && complete; i++) {
        if (!(upper[i] < bound->value))
            continue;
        pthread_mutex_lock(&bound->mutex);
        complete = ims_collector_push(&bound->heap, upper[i]);
        if (bound->heap.bound < bound->value)
            bound->value = bound->heap.bound;
        pthread_mutex_unlock(&bound->mutex);
    }
    return complete ? IMGSIM_OK : ims_fail_memory(bound->heap.k * sizeof(double));
}

/* Ask for a row's entries before they are needed. */
static void fetch(const struct ims_rows *rows, uint32_t slot)
{
    const uint16_t *packed;
    size_t first, length;

    if (rows->form != IMS_ROWS_SPARSE)
        return;
    packed = ims_rows_packed(rows);
    first = rows->offsets[slot];
    length = rows->lengths[slot];
    for (size_t e = 0; e < length; e += 32) {
        __builtin_prefetch(rows->bins + first + e);
        if (packed != NULL)
            __builtin_prefetch(packed + first + e);
    }
}

/* Keys of the best rows that one part has for a query. */
static imgsim_status score_seeds(struct hunt *hunt, size_t query, const struct ims_topk *seeds)
{
    struct ims_prepared_query prepared;
    imgsim_status status;
    float *room;

    if ((status = ims_dense_room(hunt->search->index, &room)) != IMGSIM_OK)
        return status;
    prepared = ims_prepared_query_with(&hunt->prepared[query], room);
    for (size_t i = 0; i < seeds->count; i++)
        fetch(&hunt->search->index->rows, (uint32_t)seeds->items[i].id);
    for (size_t i = 0; i < seeds->count && status == IMGSIM_OK; i++) {
        const uint32_t slot = (uint32_t)seeds->items[i].id;
        double lower, upper;

        if ((status = ims_estimate_keys(
                 hunt->search->index, &prepared, &slot, 1, &lower, &upper)) == IMGSIM_OK)
            status = lower_bound(&hunt->bounds[query], &upper, 1);
    }
    ims_free(room);
    return status;
}

static imgsim_status score_part(void *context, size_t part, uint32_t worker)
{
    struct hunt *hunt = context;
    const size_t room = hunt->seed_room, begin = part * hunt->part_blocks;
    const size_t end = begin + hunt->part_blocks < hunt->block_count ? begin + hunt->part_blocks
                                                                     : hunt->block_count;
    struct ims_topk seeds[QUERIES_MAX];
    struct ims_neighbour *items;
    imgsim_status status = IMGSIM_OK;

    (void)worker;
    if ((items = ims_alloc_array(hunt->query_count, room * sizeof(*items))) == NULL)
        return ims_fail_memory(hunt->query_count * room * sizeof(*items));
    for (size_t query = 0; query < hunt->query_count; query++)
        ims_topk_init(&seeds[query], items + query * room, room);
    for (size_t start = begin; start < end; start += STRETCH)
        for (size_t query = 0; query < hunt->query_count; query++)
            for (size_t block = start; block < start + STRETCH && block < end; block++) {
                if (block_is_out(hunt->search, block)) {
                    float *scores =
                        hunt->scores + (query * hunt->block_count + block) * IMS_COARSE_BLOCK;

                    for (size_t row = 0; row < IMS_COARSE_BLOCK; row++)
                        scores[row] = INFINITY;
                } else {
                    score_block(hunt, query, block, &seeds[query]);
                }
            }
    for (size_t query = 0; query < hunt->query_count && status == IMGSIM_OK; query++)
        status = score_seeds(hunt, query, &seeds[query]);
    ims_free(items);
    return status;
}

/* The same rows come by again: their keys must not count twice. */
static void forget_seeds(struct hunt *hunt)
{
    for (size_t query = 0; query < hunt->query_count; query++)
        hunt->bounds[query].heap.upper_count = 0;
}

/* ---- 2: what the scores leave over ---- */

/* Slots of one part whose score is not above T, about in order of their scores. */
struct survivors {
    uint32_t *slots;
    uint32_t starts[BUCKETS + 1]; /* slots of each bucket of scores */
    float least;
    float per_bucket;
};

static size_t bucket_of(const struct survivors *survivors, float score)
{
    const float place = (score - survivors->least) * survivors->per_bucket;

    return !(place > 0) ? 0 : place < BUCKETS - 1 ? (size_t)place : BUCKETS - 1;
}

/* Slots of a part whose score is not above the limit and whose row the filter lets through, in order. */
static imgsim_status find_survivors(
    const struct hunt *hunt,
    const float *scores,
    size_t begin,
    size_t end,
    float limit,
    uint32_t **slots,
    size_t *count)
{
    const struct ims_rows *rows = &hunt->search->index->rows;
    const struct ims_kernels *kernels = ims_kernels();
    const bool all = hunt->search->filter == NULL && rows->live_count == rows->slot_count;
    uint32_t positions[STRIDE];
    size_t capacity = 0;

    for (size_t start = begin; start < end; start += STRIDE) {
        const size_t used = end - start < STRIDE ? end - start : STRIDE;
        const size_t found = kernels->not_above(scores + start, used, limit, positions);

        if (!ims_grow((void **)slots, &capacity, *count + found, sizeof(**slots)))
            return ims_fail_memory((*count + found) * sizeof(**slots));
        for (size_t i = 0; i < found; i++)
            if (all || is_eligible(hunt->search, start + positions[i]))
                (*slots)[(*count)++] = (uint32_t)(start + positions[i]);
    }
    return IMGSIM_OK;
}

/* Counting sort of the slots by their scores. */
static imgsim_status list_survivors(
    const struct hunt *hunt,
    const float *scores,
    size_t begin,
    size_t end,
    float limit,
    struct survivors *out)
{
    imgsim_status status;
    uint32_t places[BUCKETS], *found = NULL;
    size_t count = 0;

    if ((status = find_survivors(hunt, scores, begin, end, limit, &found, &count)) != IMGSIM_OK)
        goto done;
    if ((out->slots = ims_alloc_array(count, sizeof(*out->slots))) == NULL) {
        status = ims_fail_memory(count * sizeof(*out->slots));
        goto done;
    }
    out->least = limit;
    for (size_t i = 0; i < count; i++)
        if (scores[found[i]] < out->least && scores[found[i]] > -FLT_MAX)
            out->least = scores[found[i]];
    out->per_bucket = limit > out->least && limit < FLT_MAX ? BUCKETS / (limit - out->least) : 0;
    memset(out->starts, 0, sizeof(out->starts));
    for (size_t i = 0; i < count; i++)
        out->starts[bucket_of(out, scores[found[i]]) + 1]++;
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        places[bucket] = out->starts[bucket];
        out->starts[bucket + 1] += out->starts[bucket];
    }
    for (size_t i = 0; i < count; i++)
        out->slots[places[bucket_of(out, scores[found[i]])]++] = found[i];

done:
    ims_free(found);
    return status;
}

/* Of some slots those that the second plane does not exclude, best first; returns their number. */
static size_t choose(
    const struct hunt *hunt,
    size_t query,
    const float *scores,
    const uint32_t *slots,
    size_t count,
    struct ims_neighbour out[CHUNK_MAX])
{
    const struct ims_search *search = hunt->search;
    const struct ims_coarse *coarse = search->index->coarse;
    const float limit = ims_coarse_score_of_key(search->index, hunt->bounds[query].value);
    size_t chosen = 0;

    for (size_t i = 0; i < count; i++) {
        float score;

        if (coarse->levels > 1 && i + AHEAD < count)
            for (size_t byte = 0; byte < coarse->groups[1]; byte += 64)
                __builtin_prefetch(
                    coarse->codes[1] + slots[i + AHEAD] * (size_t)coarse->groups[1] + byte);
        if (scores[slots[i]] > limit)
            continue;
        score = coarse->levels > 1
                    ? ims_coarse_row_score(search->index, &hunt->coarse[query], slots[i])
                    : scores[slots[i]];
        if (!(score > limit)) /* not a number: nothing is known */
            out[chosen++] =
                (struct ims_neighbour){isnan(score) ? -INFINITY : (double)score, (int64_t)slots[i]};
    }
    if (coarse->levels > 1)
        atomic_fetch_add(&search->counts->plane_rows[1], count);
    ims_neighbours_sort(out, chosen);
    return chosen;
}

/* Keys of the chosen rows, a few at a time, until the scores are above T. */
static imgsim_status look_closer(
    struct hunt *hunt,
    size_t query,
    const struct ims_prepared_query *prepared,
    const struct ims_neighbour *chosen,
    size_t count,
    struct ims_collector *collector)
{
    const imgsim_index *index = hunt->search->index;
    struct shared_bound *bound = &hunt->bounds[query];
    uint32_t slots[LOOK];
    double lower[LOOK], upper[LOOK];
    imgsim_status status = IMGSIM_OK;

    for (size_t start = 0; start < count && status == IMGSIM_OK; start += LOOK) {
        const size_t left = count - start, used = left < LOOK ? left : LOOK;

        if (chosen[start].distance > (double)ims_coarse_score_of_key(index, bound->value))
            break;
        for (size_t i = 0; i < used; i++)
            slots[i] = (uint32_t)chosen[start + i].id;
        for (size_t i = start == 0 ? 0 : start + AHEAD; i < count && i < start + AHEAD + LOOK; i++)
            fetch(&index->rows, (uint32_t)chosen[i].id);
        if ((status = ims_estimate_keys(index, prepared, slots, used, lower, upper)) != IMGSIM_OK ||
            (status = lower_bound(bound, upper, used)) != IMGSIM_OK)
            break;
        atomic_fetch_add(&hunt->search->counts->rows_read, used);
        collector->bound = bound->value < collector->bound ? bound->value : collector->bound;
        status = ims_collector_add(collector, slots, used, lower, upper);
    }
    return status;
}

static imgsim_status collect_part(void *context, size_t item, uint32_t worker)
{
    struct hunt *hunt = context;
    const imgsim_index *index = hunt->search->index;
    const size_t query = item / hunt->part_count, part = item % hunt->part_count;
    const float *scores = hunt->scores + query * hunt->block_count * IMS_COARSE_BLOCK;
    const size_t begin = part * hunt->part_blocks * IMS_COARSE_BLOCK;
    const size_t last = begin + hunt->part_blocks * IMS_COARSE_BLOCK;
    struct ims_neighbour chosen[CHUNK_MAX];
    struct survivors survivors = {0};
    struct ims_prepared_query prepared;
    size_t chunk = CHUNK_FIRST, total;
    imgsim_status status;
    float *room;

    (void)worker;
    if ((status = ims_dense_room(index, &room)) != IMGSIM_OK)
        return status;
    prepared = ims_prepared_query_with(&hunt->prepared[query], room);
    if ((status = list_survivors(
             hunt, scores, begin, last < index->rows.slot_count ? last : index->rows.slot_count,
             ims_coarse_score_of_key(index, hunt->bounds[query].value), &survivors)) != IMGSIM_OK)
        goto done;
    total = survivors.starts[BUCKETS];
    atomic_fetch_add(&hunt->search->counts->plane_rows[0], last - begin);
    for (size_t start = 0; start < total && status == IMGSIM_OK;) {
        const size_t count = total - start < chunk ? total - start : chunk;

        status = look_closer(
            hunt, query, &prepared, chosen,
            choose(hunt, query, scores, survivors.slots + start, count, chosen),
            &hunt->collectors[item]);
        start += count;
        chunk = 2 * chunk < CHUNK_MAX ? 2 * chunk : CHUNK_MAX;
    }

done:
    ims_free(survivors.slots);
    ims_free(room);
    return status;
}

/* ---- 3: the answer ---- */

static imgsim_status answer_query(void *context, size_t query, uint32_t worker)
{
    struct hunt *hunt = context;

    (void)worker;
    return ims_answer_query(
        hunt->search, hunt->first + query, &hunt->prepared[query],
        &hunt->collectors[query * hunt->part_count], hunt->part_count, hunt->bounds[query].value);
}

static imgsim_status hunt_run(struct hunt *hunt)
{
    struct ims_pool *pool = hunt->search->pool;
    const size_t lists = hunt->query_count * hunt->part_count;
    imgsim_status status;

    if ((status = ims_pool_run(pool, hunt->part_count, score_part, hunt)) != IMGSIM_OK)
        return status;
    hunt->search->counts->plane_count = (uint32_t)hunt->search->index->coarse->levels;
    forget_seeds(hunt);
    if ((status = ims_pool_run(pool, lists, collect_part, hunt)) != IMGSIM_OK)
        return status;
    return ims_pool_run(pool, hunt->query_count, answer_query, hunt);
}

/* Prepare the next queries; *out_usable is false if one is out of the planes' range. */
static imgsim_status prepare_queries(struct hunt *hunt, bool *out_usable)
{
    const struct ims_search *search = hunt->search;
    const float *queries = search->queries;
    imgsim_status status = IMGSIM_OK;

    *out_usable = true;
    for (size_t i = 0; i < hunt->query_count && status == IMGSIM_OK; i++) {
        const float *query = queries + (hunt->first + i) * search->index->dimension;

        if ((status = ims_prepare(search->index, query, &hunt->prepared[i])) == IMGSIM_OK)
            status = ims_coarse_prepare(search->index, &hunt->prepared[i], &hunt->coarse[i]);
        *out_usable = *out_usable && hunt->coarse[i].usable;
    }
    return status;
}

static void clear_queries(struct hunt *hunt)
{
    for (size_t i = 0; i < hunt->query_count; i++) {
        ims_prepared_query_clear(&hunt->prepared[i]);
        ims_coarse_query_clear(&hunt->coarse[i]);
    }
}

static imgsim_status hunt_alloc(struct hunt *hunt)
{
    const size_t lists = hunt->query_count * hunt->part_count;
    const size_t scores = hunt->query_count * hunt->block_count * IMS_COARSE_BLOCK;

    hunt->seed_room = hunt->search->k > SEEDS ? hunt->search->k : SEEDS;
    hunt->scores = ims_alloc_aligned(scores * sizeof(float));
    hunt->collectors = ims_calloc(lists, sizeof(*hunt->collectors));
    if (hunt->scores == NULL || hunt->collectors == NULL)
        return ims_fail_memory(scores * sizeof(float));
    return IMGSIM_OK;
}

static void bounds_init(struct hunt *hunt)
{
    for (size_t i = 0; i < hunt->query_count; i++) {
        pthread_mutex_init(&hunt->bounds[i].mutex, NULL);
        ims_collector_init(&hunt->bounds[i].heap, hunt->search->k);
        hunt->bounds[i].value = farthest(hunt->search);
    }
}

static void bounds_clear(struct hunt *hunt)
{
    for (size_t i = 0; i < hunt->query_count; i++) {
        pthread_mutex_destroy(&hunt->bounds[i].mutex);
        ims_collector_clear(&hunt->bounds[i].heap);
    }
}

/* The queries from hunt->first on, one of them at a time if the planes do not serve one. */
static imgsim_status hunt_round(struct hunt *hunt)
{
    const size_t lists = hunt->query_count * hunt->part_count;
    struct ims_search rest = *hunt->search;
    imgsim_status status;
    bool usable;

    if ((status = prepare_queries(hunt, &usable)) != IMGSIM_OK || usable) {
        for (size_t i = 0; i < lists; i++)
            ims_collector_init(&hunt->collectors[i], hunt->search->k);
        bounds_init(hunt);
        status = status == IMGSIM_OK ? hunt_run(hunt) : status;
        bounds_clear(hunt);
        for (size_t i = 0; i < lists; i++)
            ims_collector_clear(&hunt->collectors[i]);
    } else {
        rest.queries = (const float *)rest.queries + hunt->first * rest.index->dimension;
        rest.query_count = hunt->query_count;
        rest.out_ids += hunt->first * rest.k;
        rest.out_distances += hunt->first * rest.k;
        status = ims_scan_search(&rest);
    }
    clear_queries(hunt);
    return status;
}

/* Share of the rows that the filter lets through, by a look at some of them. */
static double passing_share(const struct ims_search *search)
{
    const size_t slots = search->index->rows.slot_count, step = slots / 1024 + 1;
    size_t looked = 0, passed = 0;

    for (size_t slot = 0; slot < slots; slot += step) {
        looked++;
        passed += is_eligible(search, slot);
    }
    return (double)passed / (double)looked;
}

bool ims_coarse_pays(const struct ims_search *search)
{
    const imgsim_index *index = search->index;
    const uint64_t asked = atomic_fetch_add(&((imgsim_index *)index)->asked, search->query_count) +
                           search->query_count;

    if (!ims_coarse_serves(index) || index->rows.live_count < IMS_COARSE_ROWS ||
        search->k > index->rows.live_count / K_SHARE)
        return false;
    /* Making the planes costs about as much as a few searches without them: a single one of mapped rows goes without. */
    if (index->coarse == NULL && index->rows.present != NULL && asked < ASKED_FROM)
        return false;
    return search->filter == NULL || passing_share(search) > SHARE_FROM;
}

imgsim_status ims_coarse_search(const struct ims_search *search)
{
    struct hunt hunt = {.search = search};
    const size_t slots = search->index->rows.slot_count;
    size_t queries = SCORES_MAX / (slots + 1), parts = PARTS_PER_THREAD;
    imgsim_status status;

    queries = queries < 1 ? 1 : queries < QUERIES_MAX ? queries : QUERIES_MAX;
    queries = queries < search->query_count ? queries : search->query_count;
    parts *= ims_pool_threads(search->pool);
    hunt.block_count = (slots + IMS_COARSE_BLOCK - 1) / IMS_COARSE_BLOCK;
    hunt.part_blocks = (hunt.block_count + parts - 1) / parts;
    hunt.part_blocks = (hunt.part_blocks + STRETCH - 1) / STRETCH * STRETCH;
    hunt.part_count = (hunt.block_count + hunt.part_blocks - 1) / hunt.part_blocks;
    hunt.query_count = queries;
    if ((status = ims_coarse_ready(search->index, search->pool)) == IMGSIM_OK)
        status = hunt_alloc(&hunt);
    for (; hunt.first < search->query_count && status == IMGSIM_OK; hunt.first += queries) {
        const size_t left = search->query_count - hunt.first;

        hunt.query_count = left < queries ? left : queries;
        status = hunt_round(&hunt);
    }
    ims_free_aligned(hunt.scores);
    ims_free(hunt.collectors);
    return status;
}
