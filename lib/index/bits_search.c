/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact Hamming search: rows within a limit are picked out by one kernel, and the limit shrinks as they are counted.
 *
 * The limit T is the smallest distance at which k rows were found; distances are small integers, so that a table of counts
 * tells it without sorting. Every row at T or nearer is kept, because ties are decided by id.
 */
#include "index/index_private.h"

#include "core/bitset.h"
#include "core/memory.h"
#include "simd/kernels.h"

#include <math.h>
#include <string.h>

/* Rows given to the kernel at a time, and parts of the rows per thread. */
#define RUN 512
#define PARTS_PER_THREAD 2

struct bits_hunt {
    const struct ims_search *search;
    size_t part_rows;
    size_t part_count;
    uint32_t limit; /* no answer is farther */
    struct bits_list {
        struct ims_neighbour *items;
        size_t count;
        size_t capacity;
    } * lists; /* query_count x part_count */
};

static bool is_eligible(const struct ims_search *search, size_t slot)
{
    const int64_t id = ims_rows_id(&search->index->rows, (uint32_t)slot);

    return id >= 0 &&
           (search->filter == NULL || ims_bits_test(search->filter, search->filter_bits, id));
}

/* Counts of rows by distance, and the limit that follows. */
struct limiter {
    size_t k;
    uint32_t limit;
    size_t total; /* rows counted at the limit or nearer */
    size_t *counts;
};

static void count_row(struct limiter *limiter, uint32_t distance)
{
    limiter->counts[distance]++;
    limiter->total++;
    while (limiter->limit > 0 && limiter->total - limiter->counts[limiter->limit] >= limiter->k)
        limiter->total -= limiter->counts[limiter->limit--];
}

/* Drop what the limit has passed since. */
static void compact(struct bits_list *list, uint32_t limit)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].distance <= limit)
            list->items[kept++] = list->items[i];
    list->count = kept;
}

static imgsim_status
keep(struct bits_list *list, struct limiter *limiter, uint32_t distance, int64_t id)
{
    count_row(limiter, distance);
    if (list->count >= 4 * limiter->k + 1024 && list->count >= 2 * limiter->total)
        compact(list, limiter->limit);
    if (!ims_grow((void **)&list->items, &list->capacity, list->count + 1, sizeof(*list->items)))
        return ims_fail_memory(list->count * sizeof(*list->items));
    list->items[list->count++] = (struct ims_neighbour){distance, id};
    return IMGSIM_OK;
}

static imgsim_status scan_part(void *context, size_t item, uint32_t worker)
{
    struct bits_hunt *hunt = context;
    const struct ims_search *search = hunt->search;
    const struct ims_rows *rows = &search->index->rows;
    const struct ims_kernels *kernels = ims_kernels();
    const size_t query = item / hunt->part_count, begin = item % hunt->part_count * hunt->part_rows;
    const size_t end =
        begin + hunt->part_rows < rows->slot_count ? begin + hunt->part_rows : rows->slot_count;
    const uint8_t *row = (const uint8_t *)search->queries + query * rows->row_size;
    struct limiter limiter = {.k = search->k, .limit = hunt->limit};
    imgsim_status status = IMGSIM_OK;
    uint32_t near[RUN];

    (void)worker;
    if ((limiter.counts = ims_calloc(search->index->dimension + 1, sizeof(size_t))) == NULL)
        return ims_fail_memory((search->index->dimension + 1) * sizeof(size_t));
    for (size_t start = begin; start < end && status == IMGSIM_OK; start += RUN) {
        const uint8_t *run = rows->data + start * rows->row_size;
        const size_t found = kernels->hamming_near(
            row, run, rows->row_size, end - start < RUN ? end - start : RUN, limiter.limit, near);

        for (size_t i = 0; i < found && status == IMGSIM_OK; i++) {
            const size_t slot = start + near[i];
            const uint32_t distance =
                kernels->hamming(row, run + near[i] * rows->row_size, rows->row_size);

            if (distance <= limiter.limit && is_eligible(search, slot))
                status =
                    keep(&hunt->lists[item], &limiter, distance, ims_rows_id(rows, (uint32_t)slot));
        }
    }
    atomic_fetch_add(&search->counts->rows_read, end - begin);
    ims_free(limiter.counts);
    return status;
}

static imgsim_status answer(void *context, size_t query, uint32_t worker)
{
    struct bits_hunt *hunt = context;
    const struct bits_list *lists = hunt->lists + query * hunt->part_count;
    struct ims_neighbour *answers;
    struct ims_topk topk;
    size_t room = 0;

    (void)worker;
    for (size_t part = 0; part < hunt->part_count; part++)
        room += lists[part].count;
    room = room < hunt->search->k ? room : hunt->search->k;
    if ((answers = ims_alloc_array(room, sizeof(*answers))) == NULL)
        return ims_fail_memory(room * sizeof(*answers));
    ims_topk_init(&topk, answers, room);
    for (size_t part = 0; part < hunt->part_count; part++)
        for (size_t i = 0; i < lists[part].count; i++)
            ims_topk_push(&topk, lists[part].items[i].distance, lists[part].items[i].id);
    ims_topk_sort(&topk);
    ims_write_answers(hunt->search, query, answers, topk.count);
    ims_free(answers);
    return IMGSIM_OK;
}

imgsim_status ims_bits_search(const struct ims_search *search)
{
    const struct ims_rows *rows = &search->index->rows;
    const size_t parts =
        search->query_count == 1 ? PARTS_PER_THREAD * ims_pool_threads(search->pool) : 1;
    struct bits_hunt hunt = {.search = search, .limit = search->index->dimension};
    imgsim_status status;
    size_t lists;

    if (search->max_distance < (float)hunt.limit)
        hunt.limit = search->max_distance > 0 ? (uint32_t)search->max_distance : 0;
    hunt.part_rows = (rows->slot_count + parts - 1) / parts;
    hunt.part_rows = hunt.part_rows > RUN ? hunt.part_rows : RUN;
    hunt.part_count = (rows->slot_count + hunt.part_rows - 1) / hunt.part_rows;
    hunt.part_count = hunt.part_count > 0 ? hunt.part_count : 1;
    if (!ims_mul_size(search->query_count, hunt.part_count, &lists) ||
        (hunt.lists = ims_calloc(lists, sizeof(*hunt.lists))) == NULL)
        return ims_fail_memory(search->query_count * sizeof(*hunt.lists));
    status = ims_pool_run(search->pool, lists, scan_part, &hunt);
    if (status == IMGSIM_OK)
        status = ims_pool_run(search->pool, search->query_count, answer, &hunt);
    for (size_t i = 0; i < lists; i++)
        ims_free(hunt.lists[i].items);
    ims_free(hunt.lists);
    return status;
}
