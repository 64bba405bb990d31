/* SPDX-License-Identifier: Apache-2.0 */
/* Searching an index: checks, threads, and handing the queries to exact search or graph; values for fusion. */
#include "index/hnsw.h"

#include "core/memory.h"
#include "core/options.h"
#include "simd/metric.h"

#include <math.h>
#include <string.h>

/* Multiplications and additions below which a search is not worth waking other threads. */
#define SMALL_WORK 2000000

static const imgsim_search_options default_search = {
    .struct_size = sizeof(imgsim_search_options),
    .max_distance = INFINITY,
};

imgsim_status imgsim_search_options_init(imgsim_search_options *options, size_t struct_size)
{
    if (options == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "options must not be NULL");
    return ims_options_init(options, struct_size, &default_search, sizeof(default_search));
}

imgsim_status imgsim_search_stats_init(imgsim_search_stats *stats, size_t struct_size)
{
    static const imgsim_search_stats none = {.struct_size = sizeof(imgsim_search_stats)};

    if (stats == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "stats must not be NULL");
    return ims_options_init(stats, struct_size, &none, sizeof(none));
}

/* Write what the caller's struct has room for. */
static void write_stats(const struct ims_search *search, bool graph, imgsim_search_stats *stats)
{
    const struct ims_search_counts *counts = search->counts;
    const size_t size = stats->struct_size;
    imgsim_search_stats known = {
        .struct_size = size,
        .certified = !graph,
        .plane_count = counts->plane_count,
        .queries = search->query_count,
        .rows_read = atomic_load(&counts->rows_read),
        .rows_decided = atomic_load(&counts->rows_decided),
    };

    for (size_t i = 0; i < IMGSIM_PLANES_MAX; i++)
        known.plane_rows[i] = atomic_load(&counts->plane_rows[i]);
    memcpy(stats, &known, size < sizeof(known) ? size : sizeof(known));
}

/* ---- searching ---- */

/* The pool for a search: none for little work, the index's, or one of its own (*out_own) for another number of threads. */
static imgsim_status search_pool(
    const imgsim_index *index,
    uint32_t threads,
    double work,
    struct ims_search *search,
    struct ims_pool **out_own)
{
    imgsim_status status;

    *out_own = NULL;
    search->pool = NULL;
    threads = threads > 0 ? threads : index->threads;
    if (threads == 1 || (work < SMALL_WORK && index->metric != IMGSIM_METRIC_CALLBACK))
        return IMGSIM_OK;
    if (threads == index->threads)
        return ims_index_pool(index, &search->pool);
    if ((status = ims_pool_new(threads, out_own)) == IMGSIM_OK)
        search->pool = *out_own;
    return status;
}

static imgsim_status run_search(struct ims_search *search, const imgsim_search_options *options)
{
    const imgsim_index *index = search->index;
    imgsim_status status;
    struct ims_pool *own = NULL;
    float *changed = NULL;
    const double work =
        (double)search->query_count * (double)index->rows.live_count * (double)index->dimension;
    bool graph;

    if ((status = ims_index_settle(index)) != IMGSIM_OK ||
        (status = search_pool(index, options->threads, work, search, &own)) != IMGSIM_OK)
        goto done;
    if (index->factor != NULL) {
        if ((changed = ims_alloc_array(search->query_count, index->dimension * sizeof(float))) ==
            NULL) {
            status = ims_fail_memory(search->query_count * index->dimension * sizeof(float));
            goto done;
        }
        if ((status = ims_index_transform(
                 index, search->pool, search->queries, search->query_count, changed)) != IMGSIM_OK)
            goto done;
        search->queries = changed;
    }
    graph = atomic_load(&((imgsim_index *)index)->kind) == IMGSIM_INDEX_HNSW &&
            index->graph != NULL && options->exact == 0;
    status = graph ? ims_graph_search(search) : ims_exact_search(search);
    if (status == IMGSIM_OK && options->stats != NULL)
        write_stats(search, graph, options->stats);

done:
    ims_free(changed);
    ims_pool_free(own);
    return status;
}

static imgsim_status search_index(
    const imgsim_index *index,
    const void *queries,
    size_t query_count,
    size_t k,
    const imgsim_search_options *options,
    int64_t *out_ids,
    float *out_distances)
{
    imgsim_search_options known = default_search;
    struct ims_search_counts counts = {0};
    struct ims_search search;
    imgsim_status status;

    if (query_count > 0 && (queries == NULL || out_ids == NULL || out_distances == NULL))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "queries and outputs must not be NULL");
    if (k == 0 || k > IMGSIM_K_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "k is %zu, expected 1 to %d", k, IMGSIM_K_MAX);
    if ((status = ims_options_read(&known, sizeof(known), options)) != IMGSIM_OK ||
        (status = ims_index_check_range("search_width", known.search_width, 0, IMS_WIDTH_MAX)) !=
            IMGSIM_OK ||
        (status = ims_index_check_range("threads", known.threads, 0, IMS_THREADS_MAX)) != IMGSIM_OK)
        return status;
    if (known.stats != NULL && known.stats->struct_size < sizeof(size_t))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "stats: struct_size is %zu, call imgsim_search_stats_init()", known.stats->struct_size);
    if (isnan(known.max_distance))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "max_distance is not a number");
    if (index->row_type == IMGSIM_ROW_FLOAT32 && query_count > 0 &&
        (status = ims_index_check_floats(index, "query", queries, query_count, NULL)) != IMGSIM_OK)
        return status;

    search = (struct ims_search){
        .index = index,
        .queries = queries,
        .query_count = query_count,
        .k = k,
        .filter = known.filter,
        .filter_bits = known.filter_bits,
        .width = known.search_width > 0 ? known.search_width : index->search_width,
        .max_distance = known.max_distance,
        .out_ids = out_ids,
        .out_distances = out_distances,
        .counts = &counts,
    };
    search.width = search.width < k ? (uint32_t)k : search.width;
    return run_search(&search, &known);
}

imgsim_status imgsim_index_search(
    const imgsim_index *index,
    const float *queries,
    size_t query_count,
    size_t k,
    const imgsim_search_options *options,
    int64_t *out_ids,
    float *out_distances)
{
    if (index == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "index must not be NULL");
    if (index->row_type == IMGSIM_ROW_BITS)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "this %s index takes bit rows",
            imgsim_metric_name(index->metric));
    return search_index(index, queries, query_count, k, options, out_ids, out_distances);
}

imgsim_status imgsim_index_search_bits(
    const imgsim_index *index,
    const uint8_t *queries,
    size_t query_count,
    size_t k,
    const imgsim_search_options *options,
    int64_t *out_ids,
    float *out_distances)
{
    if (index == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "index must not be NULL");
    if (index->row_type != IMGSIM_ROW_BITS)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "this %s index does not take bit rows",
            imgsim_metric_name(index->metric));
    return search_index(index, queries, query_count, k, options, out_ids, out_distances);
}

/* ---- values, for fusion ---- */

int ims_index_has_id(const imgsim_index *index, int64_t id)
{
    return ims_rows_find(&index->rows, id) != IMS_NO_SLOT;
}

/* A query for ims_exact_value(); `*changed` is to be released. */
static imgsim_status prepare_values(
    const imgsim_index *index,
    const void *query,
    struct ims_pool *pool,
    float **changed,
    struct ims_prepared_query *prepared)
{
    imgsim_status status;

    *changed = NULL;
    memset(prepared, 0, sizeof(*prepared));
    if ((status = ims_index_sums(index, pool)) != IMGSIM_OK)
        return status;
    if (index->factor != NULL) {
        if ((*changed = ims_alloc_array(index->dimension, sizeof(float))) == NULL)
            return ims_fail_memory(index->dimension * sizeof(float));
        if ((status = ims_index_transform(index, NULL, query, 1, *changed)) != IMGSIM_OK)
            return status;
        query = *changed;
    }
    return ims_prepare(index, query, prepared);
}

/* Values of some slots; of the host's metric, its distances. */
static imgsim_status slot_values(
    const imgsim_index *index,
    const struct ims_prepared_query *prepared,
    const uint32_t *slots,
    size_t count,
    double *out)
{
    double upper[1];

    for (size_t i = 0; i < count; i++) {
        if (index->metric == IMGSIM_METRIC_CALLBACK) {
            imgsim_status status = ims_estimate_keys(index, prepared, slots + i, 1, out + i, upper);

            if (status != IMGSIM_OK)
                return status;
        } else {
            out[i] = ims_exact_value(index, prepared, slots[i]);
        }
    }
    return IMGSIM_OK;
}

imgsim_status ims_index_values(
    const imgsim_index *index,
    const void *query,
    const int64_t *ids,
    size_t id_count,
    double *out_values)
{
    imgsim_status status;
    struct ims_prepared_query prepared;
    float *changed;

    if ((status = prepare_values(index, query, NULL, &changed, &prepared)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < id_count && status == IMGSIM_OK; i++) {
        const uint32_t slot = ims_rows_find(&index->rows, ids[i]);

        if (slot == IMS_NO_SLOT)
            status =
                ims_fail(IMGSIM_ERROR_NOT_FOUND, "id %lld is not in the index", (long long)ids[i]);
        else
            status = slot_values(index, &prepared, &slot, 1, out_values + i);
    }

done:
    ims_prepared_query_clear(&prepared);
    ims_free(changed);
    return status;
}

#define VALUES_BLOCK 1024

struct values_work {
    const imgsim_index *index;
    const void *query;
    double *out;
    size_t count;
};

static imgsim_status values_block(void *context, size_t item, uint32_t worker)
{
    const struct values_work *work = context;
    const struct ims_rows *rows = &work->index->rows;
    uint32_t slots[VALUES_BLOCK];
    double values[VALUES_BLOCK];
    struct ims_prepared_query prepared;
    imgsim_status status;
    size_t count = 0;

    (void)worker;
    for (size_t slot = item * VALUES_BLOCK;
         slot < (item + 1) * VALUES_BLOCK && slot < rows->slot_count; slot++) {
        const int64_t id = ims_rows_id(rows, (uint32_t)slot);

        if (id >= 0 && (uint64_t)id < work->count)
            slots[count++] = (uint32_t)slot;
    }
    /* Each block has its own, because exact values need room to spread a sparse row. */
    if ((status = ims_prepare(work->index, work->query, &prepared)) == IMGSIM_OK) {
        status = slot_values(work->index, &prepared, slots, count, values);
        for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
            work->out[ims_rows_id(rows, slots[i])] = values[i];
        ims_prepared_query_clear(&prepared);
    }
    return status;
}

imgsim_status ims_index_values_all(
    const imgsim_index *index,
    const void *query,
    uint32_t threads,
    double *out_values,
    size_t value_count)
{
    imgsim_status status;
    struct values_work work = {index, query, out_values, value_count};
    struct ims_search search;
    struct ims_pool *own = NULL;
    float *changed = NULL;
    const double size = (double)index->rows.live_count * (double)index->dimension;

    if ((status = search_pool(index, threads, size, &search, &own)) != IMGSIM_OK ||
        (status = ims_index_sums(index, search.pool)) != IMGSIM_OK)
        goto done;
    if (index->factor != NULL) {
        if ((changed = ims_alloc_array(index->dimension, sizeof(float))) == NULL) {
            status = ims_fail_memory(index->dimension * sizeof(float));
            goto done;
        }
        if ((status = ims_index_transform(index, NULL, query, 1, changed)) != IMGSIM_OK)
            goto done;
        work.query = changed;
    }
    status = ims_pool_run(
        search.pool, (index->rows.slot_count + VALUES_BLOCK - 1) / VALUES_BLOCK, values_block,
        &work);

done:
    ims_free(changed);
    ims_pool_free(own);
    return status;
}
