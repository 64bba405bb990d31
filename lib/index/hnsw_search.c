/* SPDX-License-Identifier: Apache-2.0 */
/* Searching the graph: Algorithms 2 and 5 of Malkov & Yashunin (arXiv:1603.09320), then exact distances of the best. */
#include "index/hnsw.h"

#include "core/bitset.h"
#include "core/memory.h"
#include "simd/metric.h"

#include <math.h>
#include <string.h>

#define EXPANDED 0x80000000u
#define LINKS_MAX 256
#define CACHE_LINE 64
#define LINKS_PER_LINE (CACHE_LINE / sizeof(uint32_t))
/* Searches this wide, or as wide as a part of the rows, compare with every row: that is faster, and exact. */
#define WIDTH_MAX 4096
#define ROWS_PER_WIDTH 8
/* Slots looked at to estimate how many rows a filter lets through. */
#define FILTER_SAMPLE 8192
/* Rows scored exactly beyond those asked for. */
#define EXTRA_ROWS 32

/* ---- searchers ---- */

static void searcher_free(struct ims_searcher *searcher)
{
    if (searcher == NULL)
        return;
    ims_free(searcher->visited);
    ims_free(searcher->touched);
    ims_free(searcher->pool);
    ims_free_aligned(searcher->target.code);
    ims_free_aligned(searcher->other_code);
    ims_free(searcher);
}

/* Nodes there may be while a searcher is in use: rows are added within the capacity. */
static size_t searcher_nodes(const struct ims_graph *graph)
{
    return graph->owned ? graph->node_capacity : graph->node_count;
}

static struct ims_searcher *searcher_new(const struct ims_graph *graph, size_t width)
{
    struct ims_searcher *searcher = ims_calloc(1, sizeof(*searcher));
    const size_t nodes = searcher_nodes(graph);
    const size_t words = nodes / 64 + 1;

    if (searcher == NULL)
        return NULL;
    searcher->node_capacity = nodes;
    searcher->width = width;
    searcher->visited = ims_calloc(words, sizeof(*searcher->visited));
    searcher->touched = ims_alloc_array(words, sizeof(*searcher->touched));
    searcher->pool = ims_alloc_array(width + 1, sizeof(*searcher->pool));
    searcher->target.code = ims_alloc_aligned(ims_graph_code_stride(graph));
    searcher->other_code = ims_alloc_aligned(ims_graph_code_stride(graph));
    if (searcher->visited == NULL || searcher->touched == NULL || searcher->pool == NULL ||
        searcher->target.code == NULL || searcher->other_code == NULL) {
        searcher_free(searcher);
        return NULL;
    }
    return searcher;
}

imgsim_status
ims_searcher_take(const struct ims_graph *graph, size_t width, struct ims_searcher **out)
{
    struct ims_graph *changed = (struct ims_graph *)graph; /* the searchers have their mutex */
    struct ims_searcher *searcher;

    pthread_mutex_lock(&changed->mutex);
    if ((searcher = changed->searchers) != NULL)
        changed->searchers = searcher->next;
    pthread_mutex_unlock(&changed->mutex);

    if (searcher != NULL &&
        (searcher->node_capacity < searcher_nodes(graph) || searcher->width < width)) {
        searcher_free(searcher);
        searcher = NULL;
    }
    if (searcher == NULL && (searcher = searcher_new(graph, width)) == NULL)
        return ims_fail_memory(graph->node_count / 8 + width * sizeof(struct ims_hop));
    *out = searcher;
    return IMGSIM_OK;
}

void ims_searcher_give(const struct ims_graph *graph, struct ims_searcher *searcher)
{
    struct ims_graph *changed = (struct ims_graph *)graph;

    if (searcher == NULL)
        return;
    pthread_mutex_lock(&changed->mutex);
    searcher->next = changed->searchers;
    changed->searchers = searcher;
    pthread_mutex_unlock(&changed->mutex);
}

void ims_searchers_free(struct ims_graph *graph)
{
    while (graph->searchers != NULL) {
        struct ims_searcher *next = graph->searchers->next;

        searcher_free(graph->searchers);
        graph->searchers = next;
    }
}

/* ---- one layer ---- */

/* Whether the node is met for the first time. */
static inline bool visit(struct ims_searcher *searcher, uint32_t node)
{
    uint64_t *word = &searcher->visited[node / 64];
    const uint64_t bit = (uint64_t)1 << (node % 64);

    if ((*word & bit) != 0)
        return false;
    if (*word == 0)
        searcher->touched[searcher->touched_count++] = node / 64;
    *word |= bit;
    return true;
}

static void forget_visits(struct ims_searcher *searcher)
{
    for (size_t i = 0; i < searcher->touched_count; i++)
        searcher->visited[searcher->touched[i]] = 0;
    searcher->touched_count = 0;
}

/* Put a hop into the sorted pool, dropping the farthest beyond `width`; returns its place, `width` if it is not kept. */
static size_t pool_insert(struct ims_searcher *searcher, size_t width, struct ims_hop hop)
{
    struct ims_hop *pool = searcher->pool;
    size_t low = 0, high = searcher->pool_count, last;

    if (high == width &&
        !(hop.distance < pool[high - 1].distance || (hop.distance == pool[high - 1].distance &&
                                                     hop.node < (pool[high - 1].node & ~EXPANDED))))
        return width;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const struct ims_hop there = {pool[middle].distance, pool[middle].node & ~EXPANDED};

        if (ims_hop_nearer(there, hop))
            low = middle + 1;
        else
            high = middle;
    }
    last = searcher->pool_count < width ? searcher->pool_count++ : width - 1;
    if (low < last)
        memmove(pool + low + 1, pool + low, (last - low) * sizeof(*pool));
    pool[low] = hop;
    return low;
}

static inline void prefetch_links(const struct ims_graph *graph, uint32_t node)
{
    const uint32_t *links = graph->links + (size_t)node * 2 * graph->max_links;

    for (uint32_t i = 0; i < 2 * graph->max_links; i += LINKS_PER_LINE)
        __builtin_prefetch(links + i);
}

/* The beginning of what a node's distance is computed from; the rest is asked for when it comes to that. */
static inline void prefetch_node(const struct ims_graph *graph, uint32_t node)
{
    if (graph->code == IMS_CODE_BYTES) {
        const uint8_t *code = graph->codes + (size_t)node * ims_graph_code_stride(graph);

        __builtin_prefetch(code);
        __builtin_prefetch(code + CACHE_LINE);
    }
    __builtin_prefetch(&graph->factors[node]);
}

/* Links of a node that were not met before. */
static size_t new_links(
    const struct ims_graph *graph,
    struct ims_searcher *searcher,
    uint32_t node,
    uint32_t level,
    uint32_t out[LINKS_MAX])
{
    uint32_t most;
    const uint32_t *links = ims_graph_links(graph, node, level, &most);
    size_t count = 0;

    for (uint32_t i = 0; i < most && links[i] != IMS_NO_NODE; i++)
        if (visit(searcher, links[i])) {
            prefetch_node(graph, links[i]);
            out[count++] = links[i];
        }
    return count;
}

/*
 * SEARCH-LAYER, Algorithm 2 of Malkov & Yashunin (arXiv:1603.09320).
 *
 * Departure: candidates and results share one sorted list, in which the nearest hop not followed yet comes next; the paper
 * leaves ties open, here they are ordered by node.
 */
void ims_graph_search_layer(
    const imgsim_index *index,
    const struct ims_graph *graph,
    struct ims_searcher *searcher,
    size_t width,
    uint32_t level)
{
    struct ims_hop *pool = searcher->pool;
    uint32_t found[LINKS_MAX];
    float distances[LINKS_MAX];
    size_t next = 0;

    for (size_t i = 0; i < searcher->pool_count; i++)
        visit(searcher, pool[i].node &= ~EXPANDED);
    while (next < searcher->pool_count) {
        size_t count, nearest;

        if ((pool[next].node & EXPANDED) != 0) {
            next++;
            continue;
        }
        count = new_links(graph, searcher, pool[next].node, level, found);
        pool[next].node |= EXPANDED;
        nearest = ++next;
        /* What may be followed next: the next in the list, or what is put before it. */
        if (nearest < searcher->pool_count)
            prefetch_links(graph, pool[nearest].node & ~EXPANDED);
        ims_target_distances(index, graph, &searcher->target, found, count, distances);
        for (size_t i = 0; i < count; i++) {
            const size_t place =
                pool_insert(searcher, width, (struct ims_hop){distances[i], found[i]});

            if (place <= nearest && place < width) {
                nearest = place;
                prefetch_links(graph, found[i]);
            }
        }
        next = nearest;
    }
    for (size_t i = 0; i < searcher->pool_count; i++)
        pool[i].node &= ~EXPANDED;
    forget_visits(searcher);
}

void ims_graph_descend(
    const imgsim_index *index,
    const struct ims_graph *graph,
    struct ims_searcher *searcher,
    uint32_t level)
{
    struct ims_hop here = {0, graph->entry};

    ims_target_distances(index, graph, &searcher->target, &here.node, 1, &here.distance);
    for (uint32_t layer = graph->top_level; layer > level; layer--)
        for (bool moved = true; moved;) {
            float distances[LINKS_MAX];
            uint32_t most, count = 0;
            const uint32_t *links = ims_graph_links(graph, here.node, layer, &most);

            while (count < most && links[count] != IMS_NO_NODE)
                count++;
            ims_target_distances(index, graph, &searcher->target, links, count, distances);
            moved = false;
            for (uint32_t i = 0; i < count; i++) {
                const struct ims_hop there = {distances[i], links[i]};

                if (ims_hop_nearer(there, here)) {
                    here = there;
                    moved = true;
                }
            }
        }
    searcher->pool[0] = here;
    searcher->pool_count = 1;
}

/* ---- answers ---- */

/* What the queries of one call share. */
struct call {
    const struct ims_search *search;
    size_t width;
};

/* Rows of the nodes in the pool that the filter lets through, from the nearest on, until there are `wanted`. */
static imgsim_status collect_rows(
    const struct ims_search *search,
    const struct ims_searcher *searcher,
    size_t wanted,
    uint32_t **slots,
    size_t *out_count)
{
    const struct ims_graph *graph = search->index->graph;
    size_t capacity = 0, count = 0;

    *slots = NULL;
    for (size_t i = 0; i < searcher->pool_count && count < wanted; i++)
        for (uint32_t slot = graph->first[searcher->pool[i].node]; slot != IMS_NO_SLOT;
             slot = graph->next[slot]) {
            if (search->filter != NULL &&
                !ims_bits_test(
                    search->filter, search->filter_bits, ims_rows_id(&search->index->rows, slot)))
                continue;
            if (!ims_grow((void **)slots, &capacity, count + 1, sizeof(**slots)))
                return ims_fail_memory(count * sizeof(**slots));
            (*slots)[count++] = slot;
        }
    *out_count = count;
    return IMGSIM_OK;
}

/* The nearest of some rows: floats choose them, double precision orders them. */
static imgsim_status score_rows(
    const struct ims_search *search,
    const struct ims_prepared_query *prepared,
    const uint32_t *slots,
    size_t count,
    size_t query)
{
    const imgsim_index *index = search->index;
    const size_t kept = search->k + 4 < count ? search->k + 4 : count;
    struct ims_neighbour *nearest = ims_alloc_array(kept, sizeof(*nearest));
    double *bounds = ims_alloc_array(2 * count, sizeof(*bounds));
    imgsim_status status = IMGSIM_OK;
    struct ims_topk topk;

    if (nearest == NULL || bounds == NULL) {
        status = ims_fail_memory(2 * count * sizeof(*bounds));
        goto done;
    }
    if ((status = ims_estimate_keys(index, prepared, slots, count, bounds, bounds + count)) !=
        IMGSIM_OK)
        goto done;
    ims_topk_init(&topk, nearest, kept);
    for (size_t i = 0; i < count; i++)
        ims_topk_push(&topk, (bounds[i] + bounds[count + i]) / 2, slots[i]);
    for (size_t i = 0; i < topk.count; i++) {
        const uint32_t slot = (uint32_t)nearest[i].id;

        nearest[i].distance = ims_exact_key(index, prepared, slot);
        nearest[i].id = ims_rows_id(&index->rows, slot);
    }
    ims_neighbours_sort(nearest, topk.count);
    for (size_t i = 0; i < topk.count; i++)
        nearest[i].distance = ims_key_distance(index->metric, nearest[i].distance);
    ims_write_answers(search, query, nearest, topk.count);

done:
    ims_free(nearest);
    ims_free(bounds);
    return status;
}

/* One query of a call, by comparing with every row. */
static imgsim_status search_exactly(const struct ims_search *search, size_t query)
{
    struct ims_search one = *search;

    one.queries = (const float *)search->queries + query * search->index->dimension;
    one.query_count = 1;
    one.out_ids = search->out_ids + query * search->k;
    one.out_distances = search->out_distances + query * search->k;
    one.pool = NULL;
    return ims_exact_search(&one);
}

static imgsim_status search_one(void *context, size_t query, uint32_t worker)
{
    const struct call *call = context;
    const struct ims_search *search = call->search;
    const imgsim_index *index = search->index;
    const struct ims_graph *graph = index->graph;
    const float *row = (const float *)search->queries + query * index->dimension;
    const size_t wanted =
        2 * search->k > search->k + EXTRA_ROWS ? 2 * search->k : search->k + EXTRA_ROWS;
    struct ims_searcher *searcher = NULL;
    struct ims_prepared_query prepared = {0};
    imgsim_status status;
    uint32_t *slots = NULL;
    size_t count = 0;

    (void)worker;
    if ((status = ims_prepare(index, row, &prepared)) != IMGSIM_OK ||
        (status = ims_searcher_take(graph, call->width, &searcher)) != IMGSIM_OK)
        goto done;
    ims_target_from_row(graph, row, prepared.squared, &searcher->target);
    ims_graph_descend(index, graph, searcher, 0);
    ims_graph_search_layer(index, graph, searcher, call->width, 0);
    if ((status = collect_rows(search, searcher, wanted, &slots, &count)) != IMGSIM_OK)
        goto done;

    /* Too few, or nothing to go by: only all rows can tell. */
    if ((count < search->k && (count < index->rows.live_count || search->filter != NULL)) ||
        (graph->metric == IMGSIM_METRIC_COSINE && prepared.squared == 0))
        status = search_exactly(search, query);
    else
        status = score_rows(search, &prepared, slots, count, query);

done:
    ims_free(slots);
    ims_searcher_give(graph, searcher);
    ims_prepared_query_clear(&prepared);
    return status;
}

/* Share of the rows that the filter lets through, estimated. */
static double filter_share(const struct ims_search *search)
{
    const struct ims_rows *rows = &search->index->rows;
    const size_t step = rows->slot_count / FILTER_SAMPLE + 1;
    size_t looked = 0, passed = 0;

    if (search->filter == NULL)
        return 1;
    for (size_t slot = 0; slot < rows->slot_count; slot += step) {
        const int64_t id = ims_rows_id(rows, (uint32_t)slot);

        looked += id >= 0;
        passed += id >= 0 && ims_bits_test(search->filter, search->filter_bits, id);
    }
    return looked > 0 ? (double)passed / (double)looked : 0;
}

/*
 * K-NN-SEARCH, Algorithm 5. Inside a filter the search is as much wider as rows are left out, so that about as many nodes that
 * count are met; where that gets too wide, the rows that are let through are compared one by one.
 */
imgsim_status ims_graph_search(const struct ims_search *search)
{
    const imgsim_index *index = search->index;
    const double width = (double)search->width / fmax(filter_share(search), 1e-9);
    struct call call = {search, 0};

    if (index->graph->entry == IMS_NO_NODE || width > WIDTH_MAX ||
        width * ROWS_PER_WIDTH > (double)index->rows.live_count)
        return ims_exact_search(search);
    call.width = (size_t)width;
    return ims_pool_run(search->pool, search->query_count, search_one, &call);
}
