/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact search by planes: bounds of all rows from the first plane, a threshold from the best of them, and then what is still
 * below it, plane by plane, down to the rows themselves.
 *
 * Seeding the threshold before anything is discarded, and bounding by the energy that is left on the axes not read, follow
 * Panorama (arXiv:2510.00566) and, for the idea of scanning projections first, Ferhatosmanoglu et al., ICDE 2001; unlike
 * there, every discarded row has a bound that holds in spite of rounding, so the answer is certain.
 */
#include "index/collector.h"
#include "index/planes.h"

#include "core/bitset.h"
#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows of one kernel call, of which 16 least estimates are kept, and of one task. */
#define CALL_BLOCKS 16
#define CALL_ROWS (CALL_BLOCKS * IMS_PLANE_ROWS)
#define TASK_ROWS (32 * CALL_ROWS)
/* Queries that are answered together, from how many on, and the rows they look at before going on. */
#define BATCH_QUERIES 128
#define BATCH_FROM 4
#define BATCH_ROWS (8 * CALL_ROWS)
/* Rows scored for the threshold, per row asked for and at least. */
#define SEEDS_PER_ROW 4
#define SEEDS_MIN 48
/* Rows scored by one task, and between two looks at the threshold at first. */
#define SCORE_ROWS 16
#define SCORE_ROUND 64
/* Filters that let less than one in so many rows pass are served by picking rows. */
#define FILTER_SHARE 32
/* Queries whose comparisons cost what planes cost, and rows these are chosen from (planes_fit.c). */
#define WORTH 40
#define SAMPLE_ROWS 16384
/* More rows asked for than one in so many: no bound will help. */
#define K_SHARE 64

/* One query against all rows. */
struct probe {
    const struct ims_search *search;
    const struct ims_planes *planes;
    struct ims_pool *pool;
    struct ims_prepared_query prepared;
    struct ims_plane_target target;
    struct ims_collector collector;
    float threshold;
    size_t task_count;
    float *lower;                 /* per slot */
    float *least;                 /* 16 per kernel call */
    struct ims_plane_list *lists; /* per task */
    struct ims_candidate *rest;   /* what passed all planes, least bound first */
    size_t rest_count;
    size_t seeds;   /* rows scored for the threshold */
    size_t scored;  /* of what passed */
    size_t round;   /* rows of this round */
    double *bounds; /* of this round: lower, upper */
};

/* ---- first plane ---- */

static bool may_answer(const struct ims_search *search, size_t slot)
{
    const int64_t id = ims_rows_id(&search->index->rows, (uint32_t)slot);

    return id >= 0 &&
           (search->filter == NULL || ims_bits_test(search->filter, search->filter_bits, id));
}

static void apply_filter(struct probe *probe, size_t start, size_t end)
{
    const struct ims_search *search = probe->search;

    for (size_t slot = start; slot < end; slot++) {
        if (!may_answer(search, slot))
            probe->lower[slot] = INFINITY;
    }
    for (size_t at = start; at < end; at += CALL_ROWS) {
        float *least = probe->least + at / CALL_BLOCKS;

        for (size_t lane = 0; lane < IMS_PLANE_ROWS; lane++)
            least[lane] = INFINITY;
        for (size_t slot = at; slot < at + CALL_ROWS && slot < end; slot++)
            if (probe->lower[slot] < least[slot % IMS_PLANE_ROWS])
                least[slot % IMS_PLANE_ROWS] = probe->lower[slot];
    }
}

static size_t task_end(const struct probe *probe, size_t task)
{
    const size_t end = (task + 1) * TASK_ROWS;

    return end < probe->planes->slot_count ? end : probe->planes->slot_count;
}

static imgsim_status scan_first(void *context, size_t task, uint32_t worker)
{
    struct probe *probe = context;
    const struct ims_plane *plane = &probe->planes->planes[0];
    const size_t end = task_end(probe, task);

    (void)worker;
    for (size_t at = task * TASK_ROWS; at < end; at += CALL_ROWS) {
        const size_t rows = end - at < CALL_ROWS ? end - at : CALL_ROWS;

        ims_kernels()->plane_scan(
            plane->data + at * plane->record, (rows + IMS_PLANE_ROWS - 1) / IMS_PLANE_ROWS,
            plane->axes, &probe->target.planes[0], probe->lower + at,
            probe->least + at / CALL_BLOCKS);
    }
    if (probe->search->filter != NULL)
        apply_filter(probe, task * TASK_ROWS, end);
    return IMGSIM_OK;
}

/* ---- the threshold ---- */

/* Of the rows behind one of the least estimates the one whose bound is least; IMS_NO_SLOT if there is none. */
static uint32_t best_of_group(const struct probe *probe, size_t group)
{
    const struct ims_plane *plane = &probe->planes->planes[0];
    const size_t call = group / IMS_PLANE_ROWS * CALL_ROWS, start = call + group % IMS_PLANE_ROWS;
    const size_t left = probe->planes->slot_count - call;
    float fresh[CALL_ROWS], least[IMS_PLANE_ROWS];
    const float *lower = probe->lower != NULL ? probe->lower + call : fresh;
    uint32_t best = IMS_NO_SLOT;

    if (probe->lower == NULL)
        ims_kernels()->plane_scan(
            plane->data + call * plane->record,
            ((left < CALL_ROWS ? left : CALL_ROWS) + IMS_PLANE_ROWS - 1) / IMS_PLANE_ROWS,
            plane->axes, &probe->target.planes[0], fresh, least);
    for (size_t i = 0; i < CALL_BLOCKS; i++) {
        const size_t slot = start + i * IMS_PLANE_ROWS;

        if (slot >= probe->planes->slot_count)
            break;
        if (isfinite(lower[slot - call]) && may_answer(probe->search, slot) &&
            (best == IMS_NO_SLOT || lower[slot - call] < lower[best - call]))
            best = (uint32_t)slot;
    }
    return best;
}

/* Score the most promising rows; the k-th best of them bounds the k-th best of all. */
static imgsim_status seed(struct probe *probe)
{
    const size_t k = probe->search->k;
    const size_t wanted = k * SEEDS_PER_ROW > SEEDS_MIN ? k * SEEDS_PER_ROW : SEEDS_MIN;
    const size_t groups = (probe->planes->slot_count + CALL_ROWS - 1) / CALL_ROWS * IMS_PLANE_ROWS;
    struct ims_neighbour *items = ims_alloc_array(wanted, sizeof(*items));
    uint32_t *slots = ims_alloc_array(wanted, sizeof(*slots));
    double *lower = ims_alloc_array(2 * wanted, sizeof(*lower));
    imgsim_status status = IMGSIM_OK;
    struct ims_topk best;
    size_t count = 0;

    if (items == NULL || slots == NULL || lower == NULL) {
        status = ims_fail_memory(wanted * sizeof(*items));
        goto done;
    }
    ims_topk_init(&best, items, wanted);
    for (size_t group = 0; group < groups; group++)
        if (best.count < wanted || probe->least[group] < items[0].distance)
            ims_topk_push(&best, probe->least[group], (int64_t)group);
    for (size_t i = 0; i < best.count; i++)
        if ((slots[count] = best_of_group(probe, (size_t)items[i].id)) != IMS_NO_SLOT)
            count++;
    if ((status = ims_estimate_keys(
             probe->search->index, &probe->prepared, slots, count, lower, lower + wanted)) !=
        IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < count; i++)
        if (!isnan(lower[wanted + i]) && !ims_collector_push(&probe->collector, lower[wanted + i]))
            status = ims_fail_memory(k * sizeof(double));
    probe->seeds = count;
    probe->threshold = ims_plane_threshold(&probe->target, probe->collector.bound);
    /* The same rows come by again: their bounds must not count twice. */
    probe->collector.upper_count = 0;

done:
    ims_free(items);
    ims_free(slots);
    ims_free(lower);
    return status;
}

/* ---- further planes ---- */

static imgsim_status pass_planes(void *context, size_t task, uint32_t worker)
{
    struct probe *probe = context;
    struct ims_plane_list *list = &probe->lists[task];
    const size_t start = task * TASK_ROWS, end = task_end(probe, task);

    (void)worker;
    if (!ims_plane_pass_first(
            probe->planes, &probe->target, start, end - start, probe->lower + start,
            probe->threshold, list))
        return ims_fail_memory(TASK_ROWS * sizeof(float));
    for (uint32_t which = 1; which < probe->planes->count; which++) {
        atomic_fetch_add(&probe->search->counts->plane_rows[which], list->count);
        ims_plane_pass(probe->planes, &probe->target, which, probe->threshold, list, 0);
    }
    return IMGSIM_OK;
}

static int compare_candidates(const void *left, const void *right)
{
    const struct ims_candidate *a = left, *b = right;

    if (a->lower != b->lower)
        return a->lower < b->lower ? -1 : 1;
    return a->slot < b->slot ? -1 : a->slot > b->slot;
}

/* What passed, in one list, least bound first. */
static imgsim_status gather(struct probe *probe)
{
    const struct ims_search *search = probe->search;
    size_t count = 0;

    for (size_t task = 0; task < probe->task_count; task++)
        count += probe->lists[task].count;
    if ((probe->rest = ims_alloc_array(count, sizeof(*probe->rest))) == NULL)
        return ims_fail_memory(count * sizeof(*probe->rest));
    for (size_t task = 0; task < probe->task_count; task++)
        for (size_t i = 0; i < probe->lists[task].count; i++) {
            const uint32_t slot = probe->lists[task].slots[i];
            const float lower = probe->lists[task].lower[i];

            if (may_answer(search, slot))
                probe->rest[probe->rest_count++] =
                    (struct ims_candidate){isnan(lower) ? -INFINITY : (double)lower, slot};
        }
    qsort(probe->rest, probe->rest_count, sizeof(*probe->rest), compare_candidates);
    return IMGSIM_OK;
}

/* ---- the rows themselves ---- */

static imgsim_status score_rows(void *context, size_t item, uint32_t worker)
{
    struct probe *probe = context;
    const size_t start = item * SCORE_ROWS;
    const size_t count = probe->round - start < SCORE_ROWS ? probe->round - start : SCORE_ROWS;
    uint32_t slots[SCORE_ROWS];

    (void)worker;
    for (size_t i = 0; i < count; i++)
        slots[i] = probe->rest[probe->scored + start + i].slot;
    return ims_estimate_keys(
        probe->search->index, &probe->prepared, slots, count, probe->bounds + start,
        probe->bounds + probe->rest_count + start);
}

/* Rows in rising order of their bounds, in rounds, until the next bound is beyond the threshold. */
static imgsim_status score_rest(struct probe *probe)
{
    imgsim_status status = IMGSIM_OK;

    if ((probe->bounds = ims_alloc_array(2 * probe->rest_count, sizeof(double))) == NULL)
        return ims_fail_memory(2 * probe->rest_count * sizeof(double));
    probe->round = SCORE_ROUND;
    while (status == IMGSIM_OK && probe->scored < probe->rest_count) {
        const size_t left = probe->rest_count - probe->scored;

        if (probe->rest[probe->scored].lower >
            ims_plane_threshold(&probe->target, probe->collector.bound))
            break;
        probe->round = probe->round < left ? probe->round : left;
        status = ims_pool_run(
            probe->pool, (probe->round + SCORE_ROWS - 1) / SCORE_ROWS, score_rows, probe);
        for (size_t i = 0; i < probe->round && status == IMGSIM_OK; i++)
            status = ims_collector_add(
                &probe->collector, &probe->rest[probe->scored + i].slot, 1, probe->bounds + i,
                probe->bounds + probe->rest_count + i);
        probe->scored += probe->round;
        probe->round *= 2;
    }
    return status;
}

/* What is left is put in its true order. */
static imgsim_status answer(struct probe *probe, size_t query)
{
    struct ims_collector *kept = &probe->collector;
    size_t count = 0;

    atomic_fetch_add(&probe->search->counts->rows_read, probe->scored + probe->seeds);
    atomic_fetch_add(&probe->search->counts->rows_decided, kept->count);
    atomic_fetch_add(&probe->search->counts->plane_rows[0], probe->search->index->rows.slot_count);
    for (size_t i = 0; i < kept->count; i++)
        if (kept->candidates[i].lower <= kept->bound)
            kept->candidates[count++] = kept->candidates[i];
    return ims_answer(probe->search, query, &probe->prepared, kept->candidates, count);
}

/* ---- one query ---- */

/* In a batch (BATCH_ROWS) first bounds are not kept but computed once more. */
static imgsim_status probe_init(struct probe *probe, const float *query, size_t task_rows)
{
    const size_t slots = probe->planes->slot_count;
    const size_t calls = (slots + CALL_ROWS - 1) / CALL_ROWS;
    imgsim_status status;

    ims_collector_init(&probe->collector, probe->search->k);
    probe->task_count = (slots + task_rows - 1) / task_rows;
    if (task_rows == TASK_ROWS)
        probe->lower = ims_alloc_aligned((slots + IMS_PLANE_ROWS) * sizeof(float));
    probe->least = ims_alloc_aligned(calls * IMS_PLANE_ROWS * sizeof(float));
    probe->lists = ims_calloc(probe->task_count, sizeof(*probe->lists));
    if ((task_rows == TASK_ROWS && probe->lower == NULL) || probe->least == NULL ||
        probe->lists == NULL)
        return ims_fail_memory(slots * sizeof(float));
    if ((status = ims_prepare(probe->search->index, query, &probe->prepared)) != IMGSIM_OK)
        return status;
    return ims_plane_target_init(
        probe->search->index, probe->planes, &probe->prepared, &probe->target);
}

static void probe_clear(struct probe *probe)
{
    ims_free_aligned(probe->lower);
    ims_free_aligned(probe->least);
    for (size_t task = 0; probe->lists != NULL && task < probe->task_count; task++)
        ims_plane_list_clear(&probe->lists[task]);
    ims_free(probe->lists);
    ims_free(probe->rest);
    ims_free(probe->bounds);
    ims_collector_clear(&probe->collector);
    ims_prepared_query_clear(&probe->prepared);
    ims_plane_target_clear(&probe->target);
}

/* A query about which planes say nothing: far out of the range of floats. */
static imgsim_status search_rows(const struct ims_search *search, size_t query)
{
    struct ims_search one = *search;

    one.queries = (const float *)search->queries + query * search->index->dimension;
    one.query_count = 1;
    one.out_ids = search->out_ids + query * search->k;
    one.out_distances = search->out_distances + query * search->k;
    return ims_scan_search(&one);
}

static imgsim_status
search_query(const struct ims_search *search, size_t query, struct ims_pool *pool)
{
    const imgsim_index *index = search->index;
    struct probe probe = {.search = search, .planes = index->planes, .pool = pool};
    imgsim_status status;

    if ((status = probe_init(
             &probe, (const float *)search->queries + query * index->dimension, TASK_ROWS)) !=
        IMGSIM_OK)
        goto done;
    if (!probe.target.usable) {
        status = search_rows(search, query);
        goto done;
    }
    if ((status = ims_pool_run(pool, probe.task_count, scan_first, &probe)) == IMGSIM_OK &&
        (status = seed(&probe)) == IMGSIM_OK &&
        (status = ims_pool_run(pool, probe.task_count, pass_planes, &probe)) == IMGSIM_OK &&
        (status = gather(&probe)) == IMGSIM_OK && (status = score_rest(&probe)) == IMGSIM_OK)
        status = answer(&probe, query);

done:
    probe_clear(&probe);
    return status;
}

static imgsim_status search_item(void *context, size_t query, uint32_t worker)
{
    (void)worker;
    return search_query(context, query, NULL);
}

/* ---- many queries ---- */

/* Queries that go over the rows together, so that a part of the rows stays in the cache while all of them look at it. */
struct batch {
    const struct ims_search *search;
    const struct ims_planes *planes;
    size_t first;
    size_t count;
    struct probe *probes;
};

static imgsim_status start_probe(void *context, size_t item, uint32_t worker)
{
    struct batch *batch = context;
    struct probe *probe = &batch->probes[item];

    (void)worker;
    *probe = (struct probe){.search = batch->search, .planes = batch->planes};
    return probe_init(
        probe,
        (const float *)batch->search->queries +
            (batch->first + item) * batch->search->index->dimension,
        BATCH_ROWS);
}

/* Least estimates of all queries in one part of the rows. */
static imgsim_status estimate_part(void *context, size_t part, uint32_t worker)
{
    struct batch *batch = context;
    const struct ims_plane *plane = &batch->planes->planes[0];
    const size_t start = part * BATCH_ROWS, slots = batch->planes->slot_count;
    float lower[CALL_ROWS];

    (void)worker;
    for (size_t i = 0; i < batch->count; i++)
        for (size_t at = start; at < start + BATCH_ROWS && at < slots; at += CALL_ROWS) {
            const size_t rows = slots - at < CALL_ROWS ? slots - at : CALL_ROWS;

            if (batch->probes[i].target.usable)
                ims_kernels()->plane_scan(
                    plane->data + at * plane->record, (rows + IMS_PLANE_ROWS - 1) / IMS_PLANE_ROWS,
                    plane->axes, &batch->probes[i].target.planes[0], lower,
                    batch->probes[i].least + at / CALL_BLOCKS);
        }
    return IMGSIM_OK;
}

static imgsim_status seed_probe(void *context, size_t item, uint32_t worker)
{
    struct batch *batch = context;

    (void)worker;
    return batch->probes[item].target.usable ? seed(&batch->probes[item]) : IMGSIM_OK;
}

/* What is left of one part of the rows for each query after all planes. */
static imgsim_status pass_part(void *context, size_t part, uint32_t worker)
{
    struct batch *batch = context;
    const struct ims_planes *planes = batch->planes;
    const struct ims_plane *plane = &planes->planes[0];
    const size_t start = part * BATCH_ROWS;
    const size_t rows =
        planes->slot_count - start < BATCH_ROWS ? planes->slot_count - start : BATCH_ROWS;
    float lower[BATCH_ROWS], least[IMS_PLANE_ROWS];
    struct ims_plane_list list = {0};
    imgsim_status status = IMGSIM_OK;

    (void)worker;
    for (size_t i = 0; i < batch->count && status == IMGSIM_OK; i++) {
        struct probe *probe = &batch->probes[i];
        struct ims_plane_list *kept = &probe->lists[part];

        if (!probe->target.usable)
            continue;
        ims_kernels()->plane_scan(
            plane->data + start * plane->record, (rows + IMS_PLANE_ROWS - 1) / IMS_PLANE_ROWS,
            plane->axes, &probe->target.planes[0], lower, least);
        list.count = 0;
        if (!ims_plane_pass_first(
                planes, &probe->target, start, rows, lower, probe->threshold, &list)) {
            status = ims_fail_memory(BATCH_ROWS * sizeof(float));
            break;
        }
        for (uint32_t which = 1; which < planes->count; which++) {
            atomic_fetch_add(&batch->search->counts->plane_rows[which], list.count);
            ims_plane_pass(planes, &probe->target, which, probe->threshold, &list, 0);
        }
        if (list.count == 0)
            continue;
        if (!ims_plane_list_reserve(kept, list.count)) {
            status = ims_fail_memory(list.count * sizeof(float));
            break;
        }
        memcpy(kept->slots, list.slots, list.count * sizeof(*list.slots));
        memcpy(kept->lower, list.lower, list.count * sizeof(*list.lower));
        kept->count = list.count;
    }
    ims_plane_list_clear(&list);
    return status;
}

static imgsim_status finish_probe(void *context, size_t item, uint32_t worker)
{
    struct batch *batch = context;
    struct probe *probe = &batch->probes[item];
    imgsim_status status;

    (void)worker;
    if (!probe->target.usable)
        return search_rows(batch->search, batch->first + item);
    if ((status = gather(probe)) != IMGSIM_OK || (status = score_rest(probe)) != IMGSIM_OK)
        return status;
    return answer(probe, batch->first + item);
}

static imgsim_status search_batch(struct batch *batch)
{
    struct ims_pool *pool = batch->search->pool;
    const size_t parts = (batch->planes->slot_count + BATCH_ROWS - 1) / BATCH_ROWS;
    imgsim_status status;

    memset(batch->probes, 0, batch->count * sizeof(*batch->probes));
    if ((status = ims_pool_run(pool, batch->count, start_probe, batch)) == IMGSIM_OK &&
        (status = ims_pool_run(pool, parts, estimate_part, batch)) == IMGSIM_OK &&
        (status = ims_pool_run(pool, batch->count, seed_probe, batch)) == IMGSIM_OK &&
        (status = ims_pool_run(pool, parts, pass_part, batch)) == IMGSIM_OK)
        status = ims_pool_run(pool, batch->count, finish_probe, batch);
    for (size_t i = 0; i < batch->count; i++)
        probe_clear(&batch->probes[i]);
    return status;
}

imgsim_status ims_planes_search(const struct ims_search *search)
{
    struct batch batch = {.search = search, .planes = search->index->planes};
    imgsim_status status = IMGSIM_OK;

    search->counts->plane_count = search->index->planes->count;
    if (search->query_count < BATCH_FROM) {
        for (size_t query = 0; query < search->query_count && status == IMGSIM_OK; query++)
            status = search_query(search, query, search->pool);
        return status;
    }
    if (search->filter != NULL) /* its rows are marked in bounds that are kept */
        return ims_pool_run(search->pool, search->query_count, search_item, (void *)search);
    if ((batch.probes = ims_alloc_array(BATCH_QUERIES, sizeof(*batch.probes))) == NULL)
        return ims_fail_memory(BATCH_QUERIES * sizeof(*batch.probes));
    for (; batch.first < search->query_count && status == IMGSIM_OK; batch.first += batch.count) {
        const size_t left = search->query_count - batch.first;

        batch.count = left < BATCH_QUERIES ? left : BATCH_QUERIES;
        status = search_batch(&batch);
    }
    ims_free(batch.probes);
    return status;
}

/* ---- whether to ---- */

/* Make the planes, or let them follow the rows; under the index's mutex. */
static imgsim_status bring_up_to_date(imgsim_index *index, struct ims_pool *pool)
{
    const struct ims_rows *rows = &index->rows;
    struct ims_meter meter = {0};
    imgsim_status status = IMGSIM_OK;

    if (index->planes != NULL && rows->owned &&
        (rows->live_count / 4 >= index->planes->fitted ||
         (index->max_bytes > 0 &&
          ims_planes_row_size(index->planes) * rows->slot_count > index->max_bytes))) {
        ims_planes_free(index->planes);
        index->planes = NULL;
        index->planes_tried = 0;
    }
    ims_meter_start(&meter, index->progress, index->progress_data);
    ims_meter_phase(&meter, "planes", rows->live_count);
    if (index->planes == NULL && (rows->owned || rows->present != NULL) &&
        rows->live_count >= IMS_PLANES_ROWS && rows->live_count / 4 >= index->planes_tried) {
        index->planes_tried = rows->live_count;
        status = ims_planes_fit(index, pool, &index->planes);
    }
    if (status == IMGSIM_OK && index->planes != NULL)
        status = ims_planes_extend(index, index->planes, pool, &meter);
    if (status != IMGSIM_OK) {
        ims_planes_free(index->planes);
        index->planes = NULL;
        index->planes_tried = 0;
    }
    return status;
}

imgsim_status ims_planes_prepare(const imgsim_index *index, struct ims_pool *pool)
{
    imgsim_index *changed = (imgsim_index *)index; /* guarded by the mutex */
    imgsim_status status = IMGSIM_OK;

    if (atomic_load(&changed->planes_known))
        return IMGSIM_OK;
    pthread_mutex_lock(&changed->mutex);
    if (!atomic_load(&changed->planes_known) &&
        (status = bring_up_to_date(changed, pool)) == IMGSIM_OK)
        atomic_store(&changed->planes_known, true);
    pthread_mutex_unlock(&changed->mutex);
    return status;
}

/* Whether enough rows pass the filter. */
static bool filter_is_wide(const struct ims_search *search)
{
    const struct ims_rows *rows = &search->index->rows;
    const size_t step = rows->slot_count / 1024 + 1;
    size_t looked = 0, passed = 0;

    if (search->filter == NULL)
        return true;
    for (size_t slot = 0; slot < rows->slot_count; slot += step) {
        const int64_t id = ims_rows_id(rows, (uint32_t)slot);

        looked++;
        passed += id >= 0 && ims_bits_test(search->filter, search->filter_bits, id);
    }
    return passed * FILTER_SHARE >= looked;
}

bool ims_index_wants_planes(const imgsim_index *index)
{
    return ims_metric_has_planes(index->metric) && index->rows.form == IMS_ROWS_FLOAT &&
           index->rows.present == NULL &&
           atomic_load(&((imgsim_index *)index)->kind) == IMGSIM_INDEX_EXACT;
}

/*
 * Making planes costs about as much as WORTH comparisons with every row, and with every row of the sample. Until that much was
 * compared without them, nobody knows whether more queries will come: whoever asks once does not pay for them, and whoever goes
 * on asking pays at most twice. A budget says that they are wanted.
 */
static bool planes_are_worth_it(const struct ims_search *search)
{
    imgsim_index *changed = (imgsim_index *)search->index; /* a counter */
    const uint64_t rows = search->index->rows.live_count;
    const uint64_t sample = rows < SAMPLE_ROWS ? rows : SAMPLE_ROWS;
    const uint64_t more = rows * search->query_count;

    return atomic_load(&changed->planes_known) || search->index->max_bytes > 0 ||
           atomic_fetch_add(&changed->scanned, more) + more >= WORTH * (rows + 2 * sample);
}

imgsim_status ims_planes_ready(const struct ims_search *search, bool *out_ready)
{
    const imgsim_index *index = search->index;
    imgsim_status status;

    *out_ready = false;
    if (!ims_index_wants_planes(index) || search->k > index->rows.live_count / K_SHARE ||
        !filter_is_wide(search) || !planes_are_worth_it(search))
        return IMGSIM_OK;
    if ((status = ims_planes_prepare(index, search->pool)) != IMGSIM_OK)
        return status;
    *out_ready = index->planes != NULL;
    return IMGSIM_OK;
}
