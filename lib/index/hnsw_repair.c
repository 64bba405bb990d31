/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping the graph whole: nodes without rows are taken out, and every node can be reached. */
#include "index/hnsw.h"

#include "core/memory.h"

#include <stdlib.h>
#include <string.h>

#define LINKS_MAX 256
/* Nodes without rows are taken out when they are at least so many, and this part of all. */
#define SWEEP_MIN 64
#define SWEEP_PART 8
/* Nodes looked at by one item of parallel work. */
#define SWEEP_BLOCK 128

/* ---- reaching ---- */

/* A walk over layer 0 from the entry: who led to each node, and the nodes in the order they were met. */
struct walk {
    const struct ims_graph *graph;
    uint32_t *parent; /* IMS_NO_NODE: not met; the entry is its own */
    uint32_t *order;
    size_t count;
};

static imgsim_status walk_init(struct walk *walk, const struct ims_graph *graph)
{
    walk->graph = graph;
    walk->count = 0;
    walk->parent = ims_alloc_array(graph->node_count, sizeof(*walk->parent));
    walk->order = ims_alloc_array(graph->node_count, sizeof(*walk->order));
    if (walk->parent == NULL || walk->order == NULL)
        return ims_fail_memory(graph->node_count * sizeof(*walk->order));
    memset(walk->parent, 0xff, graph->node_count * sizeof(*walk->parent));
    return IMGSIM_OK;
}

static void walk_clear(struct walk *walk)
{
    ims_free(walk->parent);
    ims_free(walk->order);
}

/* Everything that can be reached from `node`, which was met over `parent`. */
static void walk_from(struct walk *walk, uint32_t node, uint32_t parent)
{
    size_t next = walk->count;

    walk->parent[node] = parent;
    walk->order[walk->count++] = node;
    while (next < walk->count) {
        const uint32_t here = walk->order[next++];
        uint32_t most;
        const uint32_t *links = ims_graph_links(walk->graph, here, 0, &most);

        for (uint32_t i = 0; i < most && links[i] != IMS_NO_NODE; i++)
            if (walk->parent[links[i]] == IMS_NO_NODE) {
                walk->parent[links[i]] = here;
                walk->order[walk->count++] = links[i];
            }
    }
}

imgsim_status ims_graph_unreachable(const struct ims_graph *graph, size_t *out_count)
{
    struct walk walk;
    imgsim_status status = walk_init(&walk, graph);

    *out_count = 0;
    if (status == IMGSIM_OK && graph->entry != IMS_NO_NODE) {
        walk_from(&walk, graph->entry, graph->entry);
        for (size_t node = 0; node < graph->node_count; node++)
            *out_count += graph->levels[node] != IMS_LEVEL_FREE && walk.parent[node] == IMS_NO_NODE;
    }
    walk_clear(&walk);
    return status;
}

/* Give `from` a link to `to`: in a free place, or instead of a link that nobody needs to be reached; the farthest such. */
static bool give_link(const struct walk *walk, uint32_t from, uint32_t to)
{
    uint32_t most, *links = ims_graph_links(walk->graph, from, 0, &most);
    uint32_t count = 0;

    while (count < most && links[count] != IMS_NO_NODE)
        count++;
    if (count < most) {
        links[count] = to;
        return true;
    }
    for (uint32_t i = most; i > 0; i--)
        if (walk->parent[links[i - 1]] != from) {
            links[i - 1] = to;
            return true;
        }
    return false;
}

/* Link an unreachable node from the nearest node that can be reached and has a link to spare. */
static void
reach(imgsim_index *index, struct walk *walk, struct ims_searcher *searcher, uint32_t node)
{
    const struct ims_graph *graph = index->graph;

    ims_target_from_node(index, graph, node, &searcher->target);
    ims_graph_descend(index, graph, searcher, 0);
    ims_graph_search_layer(index, graph, searcher, graph->build_width, 0);
    for (size_t i = 0; i < searcher->pool_count; i++)
        if (walk->parent[searcher->pool[i].node] != IMS_NO_NODE &&
            give_link(walk, searcher->pool[i].node, node)) {
            walk_from(walk, node, searcher->pool[i].node);
            return;
        }
    /* The walk uses one link less than it met nodes, so some node has one to spare. */
    for (size_t i = 0; i < walk->count; i++)
        if (give_link(walk, walk->order[i], node)) {
            walk_from(walk, node, walk->order[i]);
            return;
        }
}

imgsim_status ims_graph_repair(imgsim_index *index)
{
    struct ims_graph *graph = index->graph;
    struct walk walk = {0};
    struct ims_searcher *searcher = NULL;
    imgsim_status status;

    if (graph->entry == IMS_NO_NODE)
        return IMGSIM_OK;
    if ((status = walk_init(&walk, graph)) != IMGSIM_OK ||
        (status = ims_searcher_take(graph, graph->build_width, &searcher)) != IMGSIM_OK)
        goto done;
    walk_from(&walk, graph->entry, graph->entry);
    for (size_t node = 0; node < graph->node_count; node++)
        if (graph->levels[node] != IMS_LEVEL_FREE && walk.parent[node] == IMS_NO_NODE)
            reach(index, &walk, searcher, (uint32_t)node);
    graph->unrepaired = 0;

done:
    ims_searcher_give(graph, searcher);
    walk_clear(&walk);
    return status;
}

/* ---- taking nodes out ---- */

struct sweep {
    const imgsim_index *index;
    const struct ims_graph *graph;
    struct ims_searcher **searchers; /* one per thread */
    uint32_t **found;                /* likewise: candidates */
    struct ims_hop **hops;
    float **distances;
};

static bool is_dead(const struct ims_graph *graph, uint32_t node)
{
    return graph->first[node] == IMS_NO_SLOT;
}

static int compare_nodes(const void *left, const void *right)
{
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

/* A node's own living links and those of the dead ones it links to, each once; 0 if it links to no dead node. */
static size_t heirs(const struct ims_graph *graph, uint32_t node, uint32_t level, uint32_t *out)
{
    uint32_t most;
    const uint32_t *links = ims_graph_links(graph, node, level, &most);
    size_t count = 0, unique = 0;
    bool any_dead = false;

    for (uint32_t i = 0; i < most && links[i] != IMS_NO_NODE; i++) {
        const uint32_t *further;
        uint32_t further_most;

        if (!is_dead(graph, links[i])) {
            out[count++] = links[i];
            continue;
        }
        any_dead = true;
        further = ims_graph_links(graph, links[i], level, &further_most);
        for (uint32_t j = 0; j < further_most && further[j] != IMS_NO_NODE; j++)
            if (!is_dead(graph, further[j]) && further[j] != node)
                out[count++] = further[j];
    }
    if (!any_dead)
        return 0;
    qsort(out, count, sizeof(*out), compare_nodes);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || out[i] != out[i - 1])
            out[unique++] = out[i];
    return unique > 0 ? unique : SIZE_MAX; /* it has only dead links, and no heir */
}

static void relink(const struct sweep *sweep, uint32_t node, uint32_t level, uint32_t worker)
{
    const struct ims_graph *graph = sweep->graph;
    struct ims_searcher *searcher = sweep->searchers[worker];
    uint32_t *found = sweep->found[worker];
    struct ims_hop *hops = sweep->hops[worker];
    float *distances = sweep->distances[worker];
    const size_t count = heirs(graph, node, level, found);
    uint32_t most, *links = ims_graph_links(graph, node, level, &most);
    size_t chosen = 0;

    if (count == 0)
        return;
    if (count != SIZE_MAX) {
        ims_target_from_node(sweep->index, graph, node, &searcher->target);
        ims_target_distances(sweep->index, graph, &searcher->target, found, count, distances);
        for (size_t i = 0; i < count; i++)
            hops[i] = (struct ims_hop){distances[i], found[i]};
        ims_hops_sort(hops, count);
        chosen =
            ims_graph_select(sweep->index, graph, hops, count, most, searcher->other_code, links);
    }
    for (; chosen < most; chosen++)
        links[chosen] = IMS_NO_NODE;
}

/* Living nodes write their own links and read those of dead ones only: the order does not matter. */
static imgsim_status sweep_block(void *context, size_t item, uint32_t worker)
{
    const struct sweep *sweep = context;
    const struct ims_graph *graph = sweep->graph;
    const size_t end = (item + 1) * SWEEP_BLOCK;

    for (size_t node = item * SWEEP_BLOCK; node < end && node < graph->node_count; node++) {
        if (graph->levels[node] == IMS_LEVEL_FREE || is_dead(graph, (uint32_t)node))
            continue;
        for (uint32_t level = 0; level <= graph->levels[node]; level++)
            relink(sweep, (uint32_t)node, level, worker);
    }
    return IMGSIM_OK;
}

/* The dead nodes' numbers and slots are free again. */
static void free_dead(imgsim_index *index)
{
    struct ims_graph *graph = index->graph;

    for (size_t node = 0; node < graph->node_count; node++) {
        if (graph->levels[node] == IMS_LEVEL_FREE || !is_dead(graph, (uint32_t)node))
            continue;
        ims_rows_release(&index->rows, graph->node_slot[node]);
        ims_graph_discard(graph, (uint32_t)node);
    }
    graph->dead_count = 0;
}

/* The living node of the highest level is the entry, the first of equals. */
static void choose_entry(struct ims_graph *graph)
{
    graph->entry = IMS_NO_NODE;
    graph->top_level = 0;
    for (size_t node = 0; node < graph->node_count; node++)
        if (graph->levels[node] != IMS_LEVEL_FREE &&
            (graph->entry == IMS_NO_NODE || graph->levels[node] > graph->top_level)) {
            graph->entry = (uint32_t)node;
            graph->top_level = graph->levels[node];
        }
}

/* Move the blocks of the upper layers together; `order` has room for every node. */
static void compact_upper(struct ims_graph *graph, uint32_t *upper)
{
    size_t used = 0;

    for (size_t node = 0; node < graph->node_count; node++) {
        const size_t blocks = graph->levels[node] == IMS_LEVEL_FREE ? 0 : graph->levels[node];
        const size_t start = graph->upper_start[node];

        if (blocks > 0)
            memcpy(
                upper + used * graph->max_links, graph->upper + start * graph->max_links,
                blocks * graph->max_links * sizeof(*upper));
        graph->upper_start[node] = blocks > 0 ? (uint32_t)used : 0;
        used += blocks;
    }
    ims_free(graph->upper);
    graph->upper = upper;
    graph->upper_capacity = graph->upper_count * graph->max_links;
    graph->upper_count = used;
}

static void sweep_clear(struct sweep *sweep, uint32_t threads)
{
    for (uint32_t i = 0; i < threads; i++) {
        if (sweep->searchers != NULL)
            ims_searcher_give(sweep->graph, sweep->searchers[i]);
        if (sweep->found != NULL)
            ims_free(sweep->found[i]);
        if (sweep->hops != NULL)
            ims_free(sweep->hops[i]);
        if (sweep->distances != NULL)
            ims_free(sweep->distances[i]);
    }
    ims_free(sweep->searchers);
    ims_free(sweep->found);
    ims_free(sweep->hops);
    ims_free(sweep->distances);
}

static imgsim_status sweep_init(struct sweep *sweep, const imgsim_index *index, uint32_t threads)
{
    const size_t links = 2 * (size_t)index->graph->max_links;
    const size_t room = links * links + links;
    imgsim_status status = IMGSIM_OK;

    sweep->index = index;
    sweep->graph = index->graph;
    sweep->searchers = ims_calloc(threads, sizeof(*sweep->searchers));
    sweep->found = ims_calloc(threads, sizeof(*sweep->found));
    sweep->hops = ims_calloc(threads, sizeof(*sweep->hops));
    sweep->distances = ims_calloc(threads, sizeof(*sweep->distances));
    if (sweep->searchers == NULL || sweep->found == NULL || sweep->hops == NULL ||
        sweep->distances == NULL)
        return ims_fail_memory(threads * sizeof(void *));
    for (uint32_t i = 0; i < threads && status == IMGSIM_OK; i++) {
        sweep->found[i] = ims_alloc_array(room, sizeof(**sweep->found));
        sweep->hops[i] = ims_alloc_array(room, sizeof(**sweep->hops));
        sweep->distances[i] = ims_alloc_array(room, sizeof(**sweep->distances));
        if (sweep->found[i] == NULL || sweep->hops[i] == NULL || sweep->distances[i] == NULL)
            status = ims_fail_memory(room * sizeof(**sweep->hops));
        else
            status = ims_searcher_take(index->graph, 1, &sweep->searchers[i]);
    }
    return status;
}

imgsim_status ims_graph_sweep(imgsim_index *index, struct ims_pool *pool)
{
    struct ims_graph *graph = index->graph;
    const uint32_t threads = ims_pool_threads(pool);
    struct sweep sweep = {0};
    uint32_t *upper = NULL;
    imgsim_status status;

    if (graph->dead_count < SWEEP_MIN || graph->dead_count * SWEEP_PART < graph->node_count)
        return IMGSIM_OK;
    if ((status = sweep_init(&sweep, index, threads)) != IMGSIM_OK)
        goto done;
    if ((upper = ims_alloc_array(graph->upper_count, graph->max_links * sizeof(*upper))) == NULL) {
        status = ims_fail_memory(graph->upper_count * graph->max_links * sizeof(*upper));
        goto done;
    }
    if ((status = ims_pool_run(
             pool, (graph->node_count + SWEEP_BLOCK - 1) / SWEEP_BLOCK, sweep_block, &sweep)) !=
        IMGSIM_OK)
        goto done;
    free_dead(index);
    choose_entry(graph);
    compact_upper(graph, upper);
    upper = NULL; /* now the graph's */
    status = ims_graph_repair(index);

done:
    ims_free(upper);
    sweep_clear(&sweep, threads);
    return status;
}
