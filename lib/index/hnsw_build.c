/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building the graph: INSERT, Algorithm 1 of Malkov & Yashunin (arXiv:1603.09320), a batch of rows at a time.
 *
 * Departure: the paper inserts one row after another. Here the rows of a batch search the graph as it was before the batch, in
 * parallel, and are besides compared with the rows before them in the batch; then all links are made, in a fixed order (batch
 * insertion as in ParlayANN, arXiv:2305.04359). So the graph does not depend on the number of threads.
 */
#include "index/hnsw.h"

#include "core/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 256
#define LINKS_MAX 256
/* Look for unreachable nodes once this part of the nodes is new. */
#define REPAIR_PART 16

/* What one thread works with. */
struct worker {
    struct ims_searcher *searcher;
    struct ims_hop *candidates; /* build_width */
};

struct batch {
    imgsim_index *index;
    struct ims_graph *graph;
    struct worker *workers;
    uint32_t worker_count;
    uint32_t nodes[BATCH];
    size_t count;
    uint32_t top_level; /* of the batch */
    uint32_t *plan;     /* count x (top_level + 1) x max_links */
    size_t plan_capacity;
    uint64_t *pairs; /* target node, source node */
    size_t pair_count;
    size_t pair_capacity;
    uint32_t *groups; /* where in pairs a new target begins */
    size_t group_count;
    size_t group_capacity;
    uint32_t level; /* the layer being linked */
};

imgsim_status ims_graph_new(const imgsim_index *index, struct ims_graph **out_graph)
{
    struct ims_graph *graph = ims_calloc(1, sizeof(*graph));

    if (graph == NULL)
        return ims_fail_memory(sizeof(*graph));
    graph->dimension = index->dimension;
    graph->metric = index->metric == IMGSIM_METRIC_ANGULAR       ? IMGSIM_METRIC_COSINE
                    : index->metric == IMGSIM_METRIC_MAHALANOBIS ? IMGSIM_METRIC_L2
                                                                 : index->metric;
    graph->max_links = index->max_links;
    graph->build_width = index->build_width;
    graph->seed = index->seed;
    graph->owned = true;
    graph->entry = IMS_NO_NODE;
    pthread_mutex_init(&graph->mutex, NULL);
    if ((graph->mean = ims_calloc(index->dimension, sizeof(float))) == NULL) {
        ims_graph_free(graph);
        return ims_fail_memory(index->dimension * sizeof(float));
    }
    *out_graph = graph;
    return IMGSIM_OK;
}

/* ---- planning: candidates and choice, in parallel ---- */

static uint32_t *plan_links(const struct batch *batch, size_t item, uint32_t level)
{
    return batch->plan + (item * (batch->top_level + 1) + level) * batch->graph->max_links;
}

/* Put a hop into a sorted list of at most `most`; returns the new count. */
static size_t insert_hop(struct ims_hop *hops, size_t count, size_t most, struct ims_hop hop)
{
    size_t place = count;

    if (count == most) {
        if (!ims_hop_nearer(hop, hops[count - 1]))
            return count;
        place = --count;
    }
    for (; place > 0 && ims_hop_nearer(hop, hops[place - 1]); place--)
        hops[place] = hops[place - 1];
    hops[place] = hop;
    return count + 1;
}

/* Candidates of a layer: what the search left in the pool, and the batch's earlier rows; the nearest build_width. */
static size_t gather(
    const struct batch *batch,
    struct worker *worker,
    size_t item,
    uint32_t level,
    size_t found,
    const float *batch_distances)
{
    const struct ims_graph *graph = batch->graph;
    size_t count = 0;

    for (size_t i = 0; i < found; i++)
        if (graph->first[worker->searcher->pool[i].node] != IMS_NO_SLOT)
            worker->candidates[count++] = worker->searcher->pool[i];
    for (size_t i = 0; i < item; i++)
        if (graph->levels[batch->nodes[i]] >= level)
            count = insert_hop(
                worker->candidates, count, graph->build_width,
                (struct ims_hop){batch_distances[i], batch->nodes[i]});
    return count;
}

static imgsim_status plan_node(void *context, size_t item, uint32_t number)
{
    const struct batch *batch = context;
    const struct ims_graph *graph = batch->graph;
    struct worker *worker = &batch->workers[number];
    struct ims_searcher *searcher = worker->searcher;
    const uint32_t node = batch->nodes[item], level = graph->levels[node];
    float batch_distances[BATCH];

    ims_target_from_node(batch->index, graph, node, &searcher->target);
    ims_target_distances(
        batch->index, graph, &searcher->target, batch->nodes, item, batch_distances);
    searcher->pool_count = 0;
    if (graph->entry != IMS_NO_NODE)
        ims_graph_descend(batch->index, graph, searcher, level);
    for (uint32_t layer = level;; layer--) {
        uint32_t *links = plan_links(batch, item, layer);
        size_t found = 0, chosen;

        if (graph->entry != IMS_NO_NODE && layer <= graph->top_level) {
            ims_graph_search_layer(batch->index, graph, searcher, graph->build_width, layer);
            found = searcher->pool_count;
        }
        chosen = ims_graph_select(
            batch->index, graph, worker->candidates,
            gather(batch, worker, item, layer, found, batch_distances), graph->max_links,
            searcher->other_code, links);
        for (; chosen < graph->max_links; chosen++)
            links[chosen] = IMS_NO_NODE;
        if (layer == 0)
            return IMGSIM_OK;
    }
}

/* ---- linking ---- */

static imgsim_status encode_node(void *context, size_t item, uint32_t worker)
{
    const struct batch *batch = context;

    (void)worker;
    ims_graph_encode(batch->index, batch->graph, batch->nodes[item]);
    return IMGSIM_OK;
}

/* Links back from one node to the batch's nodes that chose it; the nearest diverse ones stay if they are too many. */
static imgsim_status link_group(void *context, size_t item, uint32_t number)
{
    const struct batch *batch = context;
    const struct ims_graph *graph = batch->graph;
    struct ims_searcher *searcher = batch->workers[number].searcher;
    const size_t start = batch->groups[item];
    const size_t end = item + 1 < batch->group_count ? batch->groups[item + 1] : batch->pair_count;
    const uint32_t node = (uint32_t)(batch->pairs[start] >> 32);
    uint32_t all[LINKS_MAX + BATCH];
    float distances[LINKS_MAX + BATCH];
    struct ims_hop hops[LINKS_MAX + BATCH];
    uint32_t most, *links = ims_graph_links(graph, node, batch->level, &most);
    size_t count = 0, chosen;

    while (count < most && links[count] != IMS_NO_NODE) {
        all[count] = links[count];
        count++;
    }
    for (size_t i = start; i < end; i++)
        all[count++] = (uint32_t)batch->pairs[i];
    if (count <= most) {
        memcpy(links, all, count * sizeof(*links));
        return IMGSIM_OK;
    }
    ims_target_from_node(batch->index, graph, node, &searcher->target);
    ims_target_distances(batch->index, graph, &searcher->target, all, count, distances);
    for (size_t i = 0; i < count; i++)
        hops[i] = (struct ims_hop){distances[i], all[i]};
    ims_hops_sort(hops, count);
    chosen = ims_graph_select(batch->index, graph, hops, count, most, searcher->other_code, links);
    for (; chosen < most; chosen++)
        links[chosen] = IMS_NO_NODE;
    return IMGSIM_OK;
}

static int compare_pairs(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

/* Write the batch's own links of a layer, and list those back: by target, then source. */
static void write_links(struct batch *batch, uint32_t level)
{
    const struct ims_graph *graph = batch->graph;

    batch->level = level;
    batch->pair_count = 0;
    batch->group_count = 0;
    for (size_t item = 0; item < batch->count; item++) {
        const uint32_t node = batch->nodes[item];
        uint32_t most, *links;

        if (graph->levels[node] < level)
            continue;
        links = ims_graph_links(graph, node, level, &most);
        memcpy(links, plan_links(batch, item, level), graph->max_links * sizeof(*links));
        for (uint32_t i = 0; i < graph->max_links && links[i] != IMS_NO_NODE; i++)
            batch->pairs[batch->pair_count++] = (uint64_t)links[i] << 32 | node;
    }
    qsort(batch->pairs, batch->pair_count, sizeof(*batch->pairs), compare_pairs);
    for (size_t i = 0; i < batch->pair_count; i++)
        if (i == 0 || batch->pairs[i] >> 32 != batch->pairs[i - 1] >> 32)
            batch->groups[batch->group_count++] = (uint32_t)i;
}

/* Room for links above layer 0, and for the plan. */
static imgsim_status prepare_memory(struct batch *batch)
{
    struct ims_graph *graph = batch->graph;
    const size_t links = graph->max_links;
    size_t blocks = graph->upper_count;

    batch->top_level = 0;
    for (size_t item = 0; item < batch->count; item++) {
        const uint32_t level = graph->levels[batch->nodes[item]];

        blocks += level;
        batch->top_level = level > batch->top_level ? level : batch->top_level;
    }
    if (!ims_grow(
            (void **)&graph->upper, &graph->upper_capacity, blocks * links,
            sizeof(*graph->upper)) ||
        !ims_grow(
            (void **)&batch->plan, &batch->plan_capacity,
            batch->count * (batch->top_level + 1) * links, sizeof(*batch->plan)) ||
        !ims_grow(
            (void **)&batch->pairs, &batch->pair_capacity, batch->count * links,
            sizeof(*batch->pairs)) ||
        !ims_grow(
            (void **)&batch->groups, &batch->group_capacity, batch->count * links,
            sizeof(*batch->groups)))
        return ims_fail_memory(blocks * links * sizeof(*graph->upper));
    for (size_t item = 0; item < batch->count; item++) {
        const uint32_t node = batch->nodes[item];

        graph->upper_start[node] = (uint32_t)graph->upper_count;
        memset(
            graph->upper + graph->upper_count * links, 0xff,
            graph->levels[node] * links * sizeof(*graph->upper));
        graph->upper_count += graph->levels[node];
    }
    return IMGSIM_OK;
}

static imgsim_status insert_batch(struct batch *batch, struct ims_pool *pool)
{
    struct ims_graph *graph = batch->graph;
    imgsim_status status;

    if (batch->count == 0)
        return IMGSIM_OK;
    if ((status = prepare_memory(batch)) != IMGSIM_OK) {
        for (size_t item = batch->count; item > 0; item--)
            ims_graph_discard(graph, batch->nodes[item - 1]);
        return status;
    }
    /* None of these fails: everything they need was made before. */
    (void)ims_pool_run(pool, batch->count, encode_node, batch);
    (void)ims_pool_run(pool, batch->count, plan_node, batch);
    for (uint32_t level = 0; level <= batch->top_level; level++) {
        write_links(batch, level);
        (void)ims_pool_run(pool, batch->group_count, link_group, batch);
    }
    for (size_t item = 0; item < batch->count; item++) {
        const uint32_t level = graph->levels[batch->nodes[item]];

        if (graph->entry == IMS_NO_NODE || level > graph->top_level) {
            graph->entry = batch->nodes[item];
            graph->top_level = level;
        }
    }
    graph->unrepaired += batch->count;
    return IMGSIM_OK;
}

/* ---- adding ---- */

static void batch_clear(struct batch *batch)
{
    for (uint32_t i = 0; batch->workers != NULL && i < batch->worker_count; i++) {
        ims_searcher_give(batch->graph, batch->workers[i].searcher);
        ims_free(batch->workers[i].candidates);
    }
    ims_free(batch->workers);
    ims_free(batch->plan);
    ims_free(batch->pairs);
    ims_free(batch->groups);
}

static imgsim_status batch_init(struct batch *batch, imgsim_index *index, struct ims_pool *pool)
{
    const size_t width = index->graph->build_width;
    imgsim_status status = IMGSIM_OK;

    batch->index = index;
    batch->graph = index->graph;
    batch->worker_count = ims_pool_threads(pool);
    if ((batch->workers = ims_calloc(batch->worker_count, sizeof(*batch->workers))) == NULL)
        return ims_fail_memory(batch->worker_count * sizeof(*batch->workers));
    for (uint32_t i = 0; i < batch->worker_count && status == IMGSIM_OK; i++) {
        struct worker *worker = &batch->workers[i];

        status = ims_searcher_take(index->graph, width, &worker->searcher);
        worker->candidates = ims_alloc_array(width, sizeof(*worker->candidates));
        if (status == IMGSIM_OK && worker->candidates == NULL)
            status = ims_fail_memory(width * sizeof(*worker->candidates));
    }
    return status;
}

imgsim_status ims_graph_add(
    imgsim_index *index,
    const uint32_t *slots,
    size_t count,
    struct ims_pool *pool,
    struct ims_meter *meter,
    size_t *out_done)
{
    struct ims_graph *graph = index->graph;
    struct batch batch = {0};
    imgsim_status status = IMGSIM_OK;
    size_t at = 0;

    *out_done = 0;
    assert(graph->owned);
    if ((graph->entry == IMS_NO_NODE && graph->node_count == 0 &&
         (status = ims_graph_calibrate(index, graph, slots, count)) != IMGSIM_OK) ||
        (status = ims_graph_reserve(graph, count, index->rows.slot_count)) != IMGSIM_OK ||
        (status = ims_graph_ready_table(index, count)) != IMGSIM_OK ||
        (status = batch_init(&batch, index, pool)) != IMGSIM_OK)
        goto done;

    while (at < count && status == IMGSIM_OK) {
        batch.count = 0;
        for (; at < count && batch.count < BATCH; at++) {
            bool is_new;
            const uint32_t node = ims_graph_attach(index, slots[at], &is_new);

            if (is_new)
                batch.nodes[batch.count++] = node;
        }
        if ((status = insert_batch(&batch, pool)) != IMGSIM_OK)
            break;
        *out_done = at;
        atomic_store(&meter->done, at);
        status = ims_meter_tick(meter, at == count);
    }
    if (status == IMGSIM_OK && graph->unrepaired * REPAIR_PART >= graph->node_count)
        status = ims_graph_repair(index);

done:
    batch_clear(&batch);
    return status;
}
