/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact search: float arithmetic finds every row that may be among the k nearest, double precision decides.
 *
 * A row's key (what rows are ordered by) is known between two bounds after the float pass. With T the k-th smallest of the
 * upper bounds, no row whose lower bound exceeds T can be an answer, and every other is kept, however many there are. What is
 * kept is scored again by lib/simd/reference.h and put in its true order (rank.c). So the answer does not depend on how the float
 * pass was made: one row after another or by a matrix product, in which parts, by which instructions.
 */
#include "index/coarse.h"
#include "index/index_private.h"
#include "index/planes.h"

#include "core/bitset.h"
#include "core/memory.h"
#include "linalg/linalg.h"

#include <math.h>
#include <string.h>

/* Rows scored between two looks at the bound. */
#define BLOCK_ROWS 1024
/* Queries per matrix product, and from how many on it pays. */
#define PRODUCT_QUERIES 256
#define PRODUCT_FROM 16
/* Queries that walk over the rows together, so that a block of rows is read from memory once. */
#define WALK_QUERIES 16
/* Rows kept per row asked for, beyond a block, from which on a second look at them pays. */
#define TIGHTEN_FROM 4
/* Parts of the rows per thread, so that threads end together. */
#define PARTS_PER_THREAD 4

/* ---- one round: some queries against all rows ---- */

struct round {
    const struct ims_search *search;
    size_t first;       /* query of the call */
    size_t query_count; /* in this round */
    struct ims_prepared_query *prepared;
    bool by_products;
    size_t part_count; /* of the rows */
    size_t part_rows;
    struct ims_collector *collectors; /* query_count x part_count */
    float *dots;                      /* of a matrix product: queries x BLOCK_ROWS */
    float *product_queries;
    size_t block_start;
};

/* Slots in [start, end) that have a row the filter lets through. */
static size_t
list_rows(const struct ims_search *search, size_t start, size_t end, uint32_t out[BLOCK_ROWS])
{
    const struct ims_rows *rows = &search->index->rows;
    size_t count = 0;

    for (size_t slot = start; slot < end; slot++) {
        const int64_t id = ims_rows_id(rows, (uint32_t)slot);

        if (id >= 0 &&
            (search->filter == NULL || ims_bits_test(search->filter, search->filter_bits, id)))
            out[count++] = (uint32_t)slot;
    }
    return count;
}

/* Some queries against one part of the rows, block by block. */
static imgsim_status walk_part(void *context, size_t item, uint32_t worker)
{
    struct round *round = context;
    const struct ims_search *search = round->search;
    const size_t part = item % round->part_count;
    const size_t first = item / round->part_count * WALK_QUERIES;
    const size_t last =
        first + WALK_QUERIES < round->query_count ? first + WALK_QUERIES : round->query_count;
    const size_t total = search->index->rows.slot_count;
    const size_t part_end =
        (part + 1) * round->part_rows < total ? (part + 1) * round->part_rows : total;
    uint32_t slots[BLOCK_ROWS];
    double lower[BLOCK_ROWS], upper[BLOCK_ROWS];
    imgsim_status status = IMGSIM_OK;
    float *room;

    (void)worker;
    if ((status = ims_dense_room(search->index, &room)) != IMGSIM_OK)
        return status;
    for (size_t start = part * round->part_rows; start < part_end; start += BLOCK_ROWS) {
        const size_t end = start + BLOCK_ROWS < part_end ? start + BLOCK_ROWS : part_end;
        const size_t count = list_rows(search, start, end, slots);

        atomic_fetch_add(&search->counts->rows_read, count * (last - first));
        for (size_t query = first; query < last && status == IMGSIM_OK && count > 0; query++) {
            const struct ims_prepared_query mine =
                ims_prepared_query_with(&round->prepared[query], room);

            if ((status = ims_estimate_keys(search->index, &mine, slots, count, lower, upper)) ==
                IMGSIM_OK)
                status = ims_collector_add(
                    &round->collectors[query * round->part_count + part], slots, count, lower,
                    upper);
        }
        if (status != IMGSIM_OK)
            break;
    }
    ims_free(room);
    return status;
}

/* One query's row of a matrix product. */
static imgsim_status collect_dots(void *context, size_t query, uint32_t worker)
{
    struct round *round = context;
    const struct ims_search *search = round->search;
    const size_t total = search->index->rows.slot_count;
    const size_t end =
        round->block_start + BLOCK_ROWS < total ? round->block_start + BLOCK_ROWS : total;
    const float *dots = round->dots + query * BLOCK_ROWS;
    uint32_t slots[BLOCK_ROWS];
    float raw[BLOCK_ROWS];
    double lower[BLOCK_ROWS], upper[BLOCK_ROWS];
    const size_t count = list_rows(search, round->block_start, end, slots);

    (void)worker;
    atomic_fetch_add(&search->counts->rows_read, count);
    for (size_t i = 0; i < count; i++)
        raw[i] = dots[slots[i] - round->block_start];
    ims_estimate_from_dots(search->index, &round->prepared[query], slots, raw, count, lower, upper);
    return ims_collector_add(
        &round->collectors[query * round->part_count], slots, count, lower, upper);
}

/* All queries against all rows by matrix products, a block of rows at a time; BLAS has threads of its own. */
static imgsim_status walk_by_products(struct round *round)
{
    imgsim_status status = IMGSIM_OK;
    const imgsim_index *index = round->search->index;
    const size_t dimension = index->dimension, total = index->rows.slot_count;
    const float *rows = (const float *)(const void *)index->rows.data;

    round->dots = ims_alloc_array(round->query_count, BLOCK_ROWS * sizeof(float));
    round->product_queries = ims_alloc_array(round->query_count, dimension * sizeof(float));
    if (round->dots == NULL || round->product_queries == NULL) {
        status = ims_fail_memory(round->query_count * (BLOCK_ROWS + dimension) * sizeof(float));
        goto done;
    }
    for (size_t query = 0; query < round->query_count; query++)
        memcpy(
            round->product_queries + query * dimension, round->prepared[query].scan,
            dimension * sizeof(float));

    for (round->block_start = 0; round->block_start < total && status == IMGSIM_OK;
         round->block_start += BLOCK_ROWS) {
        const size_t left = total - round->block_start;

        ims_gemm_nt(
            round->query_count, left < BLOCK_ROWS ? left : BLOCK_ROWS, dimension,
            round->product_queries, dimension, rows + round->block_start * dimension, dimension,
            round->dots, BLOCK_ROWS);
        status = ims_pool_run(round->search->pool, round->query_count, collect_dots, round);
    }

done:
    ims_free(round->dots);
    ims_free(round->product_queries);
    round->dots = NULL;
    round->product_queries = NULL;
    return status;
}

/*
 * Far from the origin, distances that follow from dot products are so uncertain that nearly all rows are kept. The kernels of
 * differences are not, so they choose among those first.
 */
static imgsim_status tighten(const struct round *round, size_t query)
{
    const struct ims_search *search = round->search;
    struct ims_collector *kept = &round->collectors[query * round->part_count];
    uint32_t slots[BLOCK_ROWS];
    double lower[BLOCK_ROWS], upper[BLOCK_ROWS];
    imgsim_status status = IMGSIM_OK;
    struct ims_collector chosen;

    ims_collector_init(&chosen, search->k);
    for (size_t start = 0; start < kept->count && status == IMGSIM_OK; start += BLOCK_ROWS) {
        const size_t left = kept->count - start;
        const size_t count = left < BLOCK_ROWS ? left : BLOCK_ROWS;

        for (size_t i = 0; i < count; i++)
            slots[i] = kept->candidates[start + i].slot;
        if ((status = ims_estimate_keys(
                 search->index, &round->prepared[query], slots, count, lower, upper)) == IMGSIM_OK)
            status = ims_collector_add(&chosen, slots, count, lower, upper);
    }
    ims_collector_clear(kept);
    *kept = chosen;
    return status;
}

imgsim_status ims_answer_query(
    const struct ims_search *search,
    size_t query,
    const struct ims_prepared_query *prepared,
    const struct ims_collector *parts,
    size_t part_count,
    double bound)
{
    struct ims_collector all;
    struct ims_candidate *candidates = NULL;
    imgsim_status status = IMGSIM_OK;
    size_t room = 0, count = 0;

    ims_collector_init(&all, search->k);
    all.bound = bound;
    /* The k-th smallest upper bound of all parts together. */
    for (size_t part = 0; part < part_count; part++) {
        for (size_t i = 0; i < parts[part].upper_count; i++)
            if (!ims_collector_push(&all, parts[part].uppers[i])) {
                status = ims_fail_memory(all.upper_count * sizeof(double));
                goto done;
            }
        room += parts[part].count;
    }
    if ((candidates = ims_alloc_array(room, sizeof(*candidates))) == NULL) {
        status = ims_fail_memory(room * sizeof(*candidates));
        goto done;
    }
    for (size_t part = 0; part < part_count; part++)
        for (size_t i = 0; i < parts[part].count; i++)
            if (parts[part].candidates[i].lower <= all.bound)
                candidates[count++] = parts[part].candidates[i];
    status = ims_answer(search, query, prepared, candidates, count);

done:
    ims_free(candidates);
    ims_collector_clear(&all);
    return status;
}

imgsim_status ims_answer(
    const struct ims_search *search,
    size_t query,
    const struct ims_prepared_query *prepared,
    const struct ims_candidate *candidates,
    size_t count)
{
    const size_t room = count < search->k ? count : search->k;
    struct ims_neighbour *answers = ims_alloc_array(room, sizeof(*answers));
    imgsim_status status;
    size_t found;

    if (answers == NULL)
        return ims_fail_memory(room * sizeof(*answers));
    status = ims_rank(search->index, prepared, candidates, count, search->k, answers, &found);
    if (status == IMGSIM_OK) {
        for (size_t i = 0; i < found; i++)
            answers[i].distance = ims_key_distance(search->index->metric, answers[i].distance);
        ims_write_answers(search, query, answers, found);
    }
    ims_free(answers);
    return status;
}

/* Answer a query from what its parts kept. */
static imgsim_status finish_query(void *context, size_t query, uint32_t worker)
{
    struct round *round = context;
    struct ims_collector *parts = &round->collectors[query * round->part_count];
    imgsim_status status;

    (void)worker;
    if (round->by_products && parts->count > TIGHTEN_FROM * round->search->k + BLOCK_ROWS &&
        (status = tighten(round, query)) != IMGSIM_OK)
        return status;
    return ims_answer_query(
        round->search, round->first + query, &round->prepared[query], parts, round->part_count,
        INFINITY);
}

void ims_write_answers(
    const struct ims_search *search,
    size_t query,
    const struct ims_neighbour *neighbours,
    size_t count)
{
    int64_t *ids = search->out_ids + query * search->k;
    float *distances = search->out_distances + query * search->k;
    size_t i = 0;

    for (; i < count && i < search->k; i++) {
        const float distance = (float)neighbours[i].distance;

        if (distance > search->max_distance)
            break;
        ids[i] = neighbours[i].id;
        distances[i] = distance;
    }
    for (; i < search->k; i++) {
        ids[i] = -1;
        distances[i] = INFINITY;
    }
}

/* ---- rounds ---- */

/* Whether enough rows pass the filter that computing all products costs less than picking rows. */
static bool products_pay(const struct ims_search *search, size_t query_count)
{
    const imgsim_index *index = search->index;
    const size_t step = index->rows.slot_count / 1024 + 1;
    size_t looked = 0, passed = 0;
    uint32_t slot[BLOCK_ROWS];

    if (!ims_metric_by_dots(index->metric) || index->rows.form != IMS_ROWS_FLOAT ||
        query_count < PRODUCT_FROM || index->dimension < 8)
        return false;
    if (search->filter == NULL)
        return true;
    for (size_t at = 0; at < index->rows.slot_count; at += step) {
        looked++;
        passed += list_rows(search, at, at + 1, slot);
    }
    return passed * 4 >= looked;
}

static size_t query_size(const imgsim_index *index)
{
    return index->row_type == IMGSIM_ROW_BITS ? index->dimension / 8
                                              : index->dimension * sizeof(float);
}

static imgsim_status run_round(struct round *round)
{
    imgsim_status status = IMGSIM_OK;
    const struct ims_search *search = round->search;
    const imgsim_index *index = search->index;
    const uint8_t *queries = (const uint8_t *)search->queries + round->first * query_size(index);
    const size_t groups = (round->query_count + WALK_QUERIES - 1) / WALK_QUERIES;

    for (size_t query = 0; query < round->query_count && status == IMGSIM_OK; query++)
        status = ims_prepare(index, queries + query * query_size(index), &round->prepared[query]);
    if (status == IMGSIM_OK)
        status = round->by_products
                     ? walk_by_products(round)
                     : ims_pool_run(search->pool, groups * round->part_count, walk_part, round);
    if (status == IMGSIM_OK)
        status = ims_pool_run(search->pool, round->query_count, finish_query, round);
    for (size_t query = 0; query < round->query_count; query++)
        ims_prepared_query_clear(&round->prepared[query]);
    return status;
}

/* How many parts the rows are cut into: enough work for all threads when there are few queries. */
static void choose_parts(struct round *round, size_t queries)
{
    const size_t threads = ims_pool_threads(round->search->pool);
    const size_t total = round->search->index->rows.slot_count;
    const size_t groups = (queries + WALK_QUERIES - 1) / WALK_QUERIES;
    size_t parts = 1;

    if (!round->by_products && threads > 1 && groups < PARTS_PER_THREAD * threads)
        parts = (PARTS_PER_THREAD * threads + groups - 1) / groups;
    round->part_rows = (total + parts - 1) / parts;
    round->part_rows = (round->part_rows + BLOCK_ROWS - 1) / BLOCK_ROWS * BLOCK_ROWS;
    round->part_rows = round->part_rows > 0 ? round->part_rows : BLOCK_ROWS;
    round->part_count = (total + round->part_rows - 1) / round->part_rows;
    round->part_count = round->part_count > 0 ? round->part_count : 1;
}

/* Metrics whose keys or margins take a row's sum or norm. */
static bool needs_sums(const imgsim_index *index, bool by_products)
{
    switch (index->metric) {
    case IMGSIM_METRIC_COSINE:
    case IMGSIM_METRIC_ANGULAR:
    case IMGSIM_METRIC_INNER_PRODUCT:
    case IMGSIM_METRIC_CORRELATION:
    case IMGSIM_METRIC_BHATTACHARYYA:
        return true;
    default:
        return by_products;
    }
}

imgsim_status ims_scan_search(const struct ims_search *search)
{
    imgsim_status status;
    struct round round = {.search = search};
    const size_t queries =
        search->query_count < PRODUCT_QUERIES ? search->query_count : PRODUCT_QUERIES;
    size_t collectors;

    if (search->query_count == 0)
        return IMGSIM_OK;
    round.by_products = products_pay(search, queries);
    if (needs_sums(search->index, round.by_products) &&
        (status = ims_index_sums(search->index, search->pool)) != IMGSIM_OK)
        return status;
    choose_parts(&round, queries);
    collectors = queries * round.part_count;
    round.prepared = ims_calloc(queries, sizeof(*round.prepared));
    round.collectors = ims_calloc(collectors, sizeof(*round.collectors));
    if (round.prepared == NULL || round.collectors == NULL) {
        status = ims_fail_memory(collectors * sizeof(*round.collectors));
        goto done;
    }

    for (; round.first < search->query_count && status == IMGSIM_OK; round.first += queries) {
        const size_t left = search->query_count - round.first;

        round.query_count = left < queries ? left : queries;
        for (size_t i = 0; i < collectors; i++)
            ims_collector_init(&round.collectors[i], search->k);
        status = run_round(&round);
        for (size_t i = 0; i < collectors; i++)
            ims_collector_clear(&round.collectors[i]);
    }

done:
    ims_free(round.collectors);
    ims_free(round.prepared);
    return status;
}

imgsim_status ims_exact_search(const struct ims_search *search)
{
    imgsim_status status;
    bool ready;

    if (search->query_count == 0)
        return IMGSIM_OK;
    if (search->index->metric == IMGSIM_METRIC_HAMMING)
        return ims_bits_search(search);
    if (ims_coarse_pays(search))
        return ims_coarse_search(search);
    if ((status = ims_planes_ready(search, &ready)) != IMGSIM_OK)
        return status;
    return ready ? ims_planes_search(search) : ims_scan_search(search);
}
