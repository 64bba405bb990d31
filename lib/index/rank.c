/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last step of an exact search: the rows that are left, in the order of their true distances.
 *
 * A key in double precision is off by a few units of its last digits, for which there is a bound. Where the ranges of two keys do
 * not touch, they are in order; rows whose ranges do are compared without any rounding (simd/wide.h). So the order is that of
 * the real numbers that the floats stand for, and only rows that are equally far in that sense are ordered by id.
 */
#include "index/collector.h"
#include "index/index_private.h"

#include "core/memory.h"
#include "simd/wide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the true key rises with: `first`, or less first / sqrt(second). */
struct exact {
    bool ratio;
    struct ims_wide first;
    struct ims_wide second;
};

struct contender {
    double key;
    double error;
    int64_t id;
    uint32_t slot;
    bool repeated; /* the row before it has the same values */
    const struct exact *exact;
};

static int by_lower(const void *left, const void *right)
{
    const struct contender *a = left, *b = right;
    const double x = a->key - a->error, y = b->key - b->error;

    if (x != y)
        return x < y ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int by_key(const void *left, const void *right)
{
    const struct contender *a = left, *b = right;

    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static int by_exact(const void *left, const void *right)
{
    const struct contender *a = left, *b = right;
    int order = 0;

    if (a->exact != b->exact && a->exact->ratio)
        order = -ims_wide_compare_ratios(
            &a->exact->first, &a->exact->second, &b->exact->first, &b->exact->second);
    else if (a->exact != b->exact)
        order = ims_wide_compare(&a->exact->first, &b->exact->first);
    return order != 0 ? order : a->id < b->id ? -1 : a->id > b->id;
}

static void
measure(const imgsim_index *index, const float *query, const float *row, struct exact *exact)
{
    const size_t count = index->dimension;

    memset(exact, 0, sizeof(*exact));
    switch (index->metric) {
    case IMGSIM_METRIC_INNER_PRODUCT:
        ims_wide_add(&exact->first, query, row, count, -1);
        break;
    case IMGSIM_METRIC_COSINE:
    case IMGSIM_METRIC_ANGULAR:
        exact->ratio = true;
        ims_wide_add(&exact->first, query, row, count, 1);
        ims_wide_add(&exact->second, row, row, count, 1);
        break;
    default: /* |row - query|^2 less |query|^2, which all have in common */
        ims_wide_add(&exact->first, row, row, count, 1);
        ims_wide_add(&exact->first, query, row, count, -2);
        break;
    }
    ims_wide_settle(&exact->first);
    ims_wide_settle(&exact->second);
}

/* Rows whose ranges of keys touch, into their true order. */
static imgsim_status order_run(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    struct contender *run,
    size_t count)
{
    const struct ims_rows *rows = &index->rows;
    struct exact *values;
    size_t distinct = 0;

    qsort(run, count, sizeof(*run), by_key);
    for (size_t i = 0; i < count; i++) {
        run[i].repeated = i > 0 && run[i].key == run[i - 1].key &&
                          memcmp(
                              ims_rows_at(rows, run[i].slot), ims_rows_at(rows, run[i - 1].slot),
                              rows->row_size) == 0;
        distinct += !run[i].repeated;
    }
    if (distinct == 1)
        return IMGSIM_OK;
    if ((values = ims_alloc_array(distinct, sizeof(*values))) == NULL)
        return ims_fail_memory(distinct * sizeof(*values));
    distinct = 0;
    for (size_t i = 0; i < count; i++) {
        if (!run[i].repeated)
            measure(index, query->row, ims_rows_at(rows, run[i].slot), &values[distinct++]);
        run[i].exact = &values[distinct - 1];
    }
    qsort(run, count, sizeof(*run), by_exact);
    ims_free(values);
    return IMGSIM_OK;
}

/* The nearest by keys as computed: metrics without a true order. */
static void rank_by_keys(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const struct ims_candidate *candidates,
    size_t count,
    struct ims_topk *topk)
{
    for (size_t i = 0; i < count; i++)
        ims_topk_push(
            topk,
            ims_estimates_are_keys(index) ? candidates[i].lower
                                          : ims_exact_key(index, query, candidates[i].slot),
            ims_rows_id(&index->rows, candidates[i].slot));
    ims_topk_sort(topk);
}

/* Of the candidates those that may be among the k nearest, least possible key first; returns their number. */
static imgsim_status find_contenders(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const struct ims_candidate *candidates,
    size_t count,
    size_t k,
    struct contender *out,
    size_t *out_count)
{
    struct ims_collector uppers;
    size_t kept = 0;

    ims_collector_init(&uppers, k);
    for (size_t i = 0; i < count; i++) {
        const uint32_t slot = candidates[i].slot;
        const double key = ims_exact_key(index, query, slot);
        const double error = ims_key_error(index, query, slot, key);

        out[i] = (struct contender){
            .key = key, .error = error, .id = ims_rows_id(&index->rows, slot), .slot = slot};
        if (!ims_collector_push(&uppers, key + error)) {
            ims_collector_clear(&uppers);
            return ims_fail_memory(k * sizeof(double));
        }
    }
    for (size_t i = 0; i < count; i++)
        if (out[i].key - out[i].error <= uppers.bound)
            out[kept++] = out[i];
    ims_collector_clear(&uppers);
    qsort(out, kept, sizeof(*out), by_lower);
    *out_count = kept;
    return IMGSIM_OK;
}

imgsim_status ims_rank(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const struct ims_candidate *candidates,
    size_t count,
    size_t k,
    struct ims_neighbour *out,
    size_t *out_count)
{
    struct contender *contenders;
    imgsim_status status;
    struct ims_topk topk;
    size_t start = 0;

    ims_topk_init(&topk, out, k < count ? k : count);
    if (!ims_metric_has_true_order(index)) {
        rank_by_keys(index, query, candidates, count, &topk);
        *out_count = topk.count;
        return IMGSIM_OK;
    }
    if ((contenders = ims_alloc_array(count, sizeof(*contenders))) == NULL)
        return ims_fail_memory(count * sizeof(*contenders));
    status = find_contenders(index, query, candidates, count, k, contenders, &count);
    while (status == IMGSIM_OK && start < count && topk.count < topk.capacity) {
        double reach = contenders[start].key + contenders[start].error, error = 0;
        size_t end = start;

        for (; end < count && contenders[end].key - contenders[end].error <= reach; end++) {
            reach = fmax(reach, contenders[end].key + contenders[end].error);
            error = fmax(error, contenders[end].error);
        }
        if (end - start > 1 && error > 0)
            status = order_run(index, query, contenders + start, end - start);
        for (; start < end && topk.count < topk.capacity && status == IMGSIM_OK; start++) {
            double key = contenders[start].key;

            /* Distances as they are told do not fall, though computed ones of such rows may. */
            if (topk.count > 0)
                key = fmax(key, out[topk.count - 1].distance);
            out[topk.count++] = (struct ims_neighbour){key, contenders[start].id};
        }
    }
    ims_free(contenders);
    *out_count = topk.count;
    return status;
}
