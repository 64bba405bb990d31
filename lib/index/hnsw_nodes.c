/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of the graph and the rows they stand for: memory, duplicates, levels. */
#include "index/hnsw.h"

#include "core/hash.h"
#include "core/memory.h"
#include "core/rng.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define TABLE_MIN 1024

/* ---- memory ---- */

/* An aligned block of `used` elements moved into one with room for `capacity`. */
static bool move_aligned(void **block, size_t used, size_t capacity, size_t size)
{
    size_t bytes;
    void *moved;

    if (!ims_mul_size(capacity, size, &bytes) || (moved = ims_alloc_aligned(bytes)) == NULL)
        return false;
    if (used > 0)
        memcpy(moved, *block, used * size);
    ims_free_aligned(*block);
    *block = moved;
    return true;
}

/* ims_grow() with a capacity that several arrays share. */
static bool grow_shared(void **array, size_t capacity, size_t needed, size_t size)
{
    return ims_grow(array, &capacity, needed, size);
}

static bool grow_nodes(struct ims_graph *graph, size_t needed)
{
    const size_t used = graph->node_count, old = graph->node_capacity;
    const size_t capacity = old + old / 2 > needed ? old + old / 2 : needed;
    const size_t stride = graph->code == IMS_CODE_BYTES ? ims_graph_code_stride(graph) : 0;

    if (needed <= old)
        return true;
    if (!move_aligned(
            (void **)&graph->links, used, capacity, 2 * graph->max_links * sizeof(*graph->links)) ||
        !move_aligned((void **)&graph->codes, used, capacity, stride) ||
        !grow_shared((void **)&graph->factors, old, capacity, sizeof(*graph->factors)) ||
        !grow_shared((void **)&graph->levels, old, capacity, sizeof(*graph->levels)) ||
        !grow_shared((void **)&graph->upper_start, old, capacity, sizeof(*graph->upper_start)) ||
        !grow_shared((void **)&graph->node_slot, old, capacity, sizeof(*graph->node_slot)) ||
        !grow_shared((void **)&graph->first, old, capacity, sizeof(*graph->first)) ||
        !ims_grow(
            (void **)&graph->free_nodes, &graph->free_capacity, capacity,
            sizeof(*graph->free_nodes)))
        return false;
    graph->node_capacity = capacity;
    return true;
}

static bool grow_rows(struct ims_graph *graph, size_t needed)
{
    const size_t old = graph->slot_capacity;

    if (needed > old) {
        const size_t capacity = old + old / 2 > needed ? old + old / 2 : needed;

        if (!grow_shared((void **)&graph->next, old, capacity, sizeof(*graph->next)) ||
            !grow_shared((void **)&graph->slot_node, old, capacity, sizeof(*graph->slot_node)))
            return false;
        graph->slot_capacity = capacity;
    }
    for (; graph->slot_count < needed; graph->slot_count++) {
        graph->next[graph->slot_count] = IMS_NO_SLOT;
        graph->slot_node[graph->slot_count] = IMS_NO_NODE;
    }
    return true;
}

/* Blocks of the upper layers that so many nodes may need at most, in practice: levels fall off with 1 / max_links. */
imgsim_status ims_graph_reserve(struct ims_graph *graph, size_t nodes, size_t slot_count)
{
    const size_t needed = graph->node_count + nodes;

    assert(graph->owned);
    if (needed > IMS_NODES_MAX)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "more than %u distinct rows", IMS_NODES_MAX);
    if (!grow_nodes(graph, needed) || !grow_rows(graph, slot_count))
        return ims_fail_memory(needed * ims_graph_code_stride(graph));
    return IMGSIM_OK;
}

/* A copy of `count` elements; NULL when out of memory. */
static void *copy_array(const void *array, size_t count, size_t size, bool aligned)
{
    size_t bytes;
    void *copy;

    if (!ims_mul_size(count, size, &bytes))
        return NULL;
    copy = aligned ? ims_alloc_aligned(bytes) : ims_alloc(bytes);
    if (copy != NULL && bytes > 0)
        memcpy(copy, array, bytes);
    return copy;
}

/* Release the arrays that a graph has per node and per row. */
static void free_arrays(struct ims_graph *graph)
{
    ims_free_aligned(graph->links);
    ims_free_aligned(graph->codes);
    ims_free(graph->mean);
    ims_free(graph->factors);
    ims_free(graph->levels);
    ims_free(graph->upper_start);
    ims_free(graph->upper);
    ims_free(graph->node_slot);
    ims_free(graph->first);
    ims_free(graph->next);
    ims_free(graph->slot_node);
}

imgsim_status ims_graph_own(struct ims_graph *graph)
{
    const struct ims_graph *g = graph;
    struct ims_graph copy = *graph;
    const size_t nodes = g->node_count, slots = g->slot_count;
    const size_t stride = g->code == IMS_CODE_BYTES ? ims_graph_code_stride(g) : 0;

    if (graph->owned)
        return IMGSIM_OK;
    copy.mean = copy_array(g->mean, g->dimension, sizeof(*g->mean), false);
    copy.links = copy_array(g->links, nodes, 2 * g->max_links * sizeof(*g->links), true);
    copy.codes = copy_array(g->codes, nodes, stride, true);
    copy.factors = copy_array(g->factors, nodes, sizeof(*g->factors), false);
    copy.levels = copy_array(g->levels, nodes, sizeof(*g->levels), false);
    copy.upper_start = copy_array(g->upper_start, nodes, sizeof(*g->upper_start), false);
    copy.upper = copy_array(g->upper, g->upper_count, g->max_links * sizeof(*g->upper), false);
    copy.node_slot = copy_array(g->node_slot, nodes, sizeof(*g->node_slot), false);
    copy.first = copy_array(g->first, nodes, sizeof(*g->first), false);
    copy.next = copy_array(g->next, slots, sizeof(*g->next), false);
    copy.slot_node = copy_array(g->slot_node, slots, sizeof(*g->slot_node), false);
    if (copy.mean == NULL || copy.links == NULL || copy.codes == NULL || copy.factors == NULL ||
        copy.levels == NULL || copy.upper_start == NULL || copy.upper == NULL ||
        copy.node_slot == NULL || copy.first == NULL || copy.next == NULL ||
        copy.slot_node == NULL) {
        free_arrays(&copy);
        return ims_fail_memory(nodes * stride);
    }
    copy.owned = true;
    copy.node_capacity = nodes;
    copy.slot_capacity = slots;
    copy.upper_capacity = g->upper_count * g->max_links;
    /* The mutex stays where it is. */
    graph->mean = copy.mean;
    graph->links = copy.links;
    graph->codes = copy.codes;
    graph->factors = copy.factors;
    graph->levels = copy.levels;
    graph->upper_start = copy.upper_start;
    graph->upper = copy.upper;
    graph->node_slot = copy.node_slot;
    graph->first = copy.first;
    graph->next = copy.next;
    graph->slot_node = copy.slot_node;
    graph->owned = true;
    graph->node_capacity = copy.node_capacity;
    graph->slot_capacity = copy.slot_capacity;
    graph->upper_capacity = copy.upper_capacity;
    return IMGSIM_OK;
}

void ims_graph_free(struct ims_graph *graph)
{
    if (graph == NULL)
        return;
    ims_searchers_free(graph);
    if (graph->owned)
        free_arrays(graph);
    ims_free(graph->table);
    ims_free(graph->free_nodes);
    pthread_mutex_destroy(&graph->mutex);
    ims_free(graph);
}

/* ---- duplicates ---- */

/* Place of the node whose row has the bytes of this slot, or the empty place for it. */
static size_t table_place(const imgsim_index *index, uint32_t slot)
{
    const struct ims_graph *graph = index->graph;
    const struct ims_rows *rows = &index->rows;
    const void *row = ims_rows_at(rows, slot);
    size_t place = (size_t)ims_hash64(row, rows->row_size) & (graph->table_size - 1);

    while (graph->table[place] != IMS_NO_NODE &&
           memcmp(ims_rows_at(rows, graph->node_slot[graph->table[place]]), row, rows->row_size) !=
               0)
        place = (place + 1) & (graph->table_size - 1);
    return place;
}

imgsim_status ims_graph_ready_table(imgsim_index *index, size_t more)
{
    struct ims_graph *graph = index->graph;
    const size_t needed = graph->node_count + more;
    size_t size = TABLE_MIN;
    uint32_t *table;

    while (size < 2 * needed)
        size *= 2;
    if (graph->table != NULL && graph->table_size >= size)
        return IMGSIM_OK;
    if ((table = ims_alloc_array(size, sizeof(*table))) == NULL)
        return ims_fail_memory(size * sizeof(*table));
    memset(table, 0xff, size * sizeof(*table)); /* IMS_NO_NODE */
    ims_free(graph->table);
    graph->table = table;
    graph->table_size = size;
    for (size_t node = 0; node < graph->node_count; node++)
        if (graph->levels[node] != IMS_LEVEL_FREE)
            table[table_place(index, graph->node_slot[node])] = (uint32_t)node;
    return IMGSIM_OK;
}

/* floor(-ln(u) / ln(M)), u uniform in (0, 1]: line 4 of Algorithm 1; the i-th draw of a seed is always the same. */
static uint32_t draw_level(struct ims_graph *graph)
{
    const uint64_t bits = ims_mix64(ims_mix64(graph->seed) ^ graph->drawn++) >> 11;
    const double uniform = ((double)bits + 1) / 9007199254740992.0;
    const double level = floor(-log(uniform) / log((double)graph->max_links));

    return level < IMS_LEVEL_MAX ? (uint32_t)level : IMS_LEVEL_MAX;
}

uint32_t ims_graph_attach(imgsim_index *index, uint32_t slot, bool *out_new)
{
    struct ims_graph *graph = index->graph;
    const size_t place = table_place(index, slot);
    uint32_t node = graph->table[place];

    *out_new = node == IMS_NO_NODE;
    if (*out_new) {
        node = graph->free_count > 0 ? graph->free_nodes[--graph->free_count]
                                     : (uint32_t)graph->node_count++;
        graph->table[place] = node;
        graph->levels[node] = (uint8_t)draw_level(graph);
        graph->upper_start[node] = 0;
        graph->node_slot[node] = slot;
        graph->first[node] = IMS_NO_SLOT;
        memset(
            graph->links + (size_t)node * 2 * graph->max_links, 0xff,
            2 * graph->max_links * sizeof(*graph->links));
    } else if (graph->first[node] == IMS_NO_SLOT) { /* its rows were removed: it lives again */
        ims_rows_release(&index->rows, graph->node_slot[node]);
        graph->node_slot[node] = slot;
        graph->dead_count--;
    }
    graph->next[slot] = graph->first[node];
    graph->first[node] = slot;
    graph->slot_node[slot] = node;
    return node;
}

void ims_graph_discard(struct ims_graph *graph, uint32_t node)
{
    for (uint32_t slot = graph->first[node]; slot != IMS_NO_SLOT;) {
        const uint32_t after = graph->next[slot];

        graph->next[slot] = IMS_NO_SLOT;
        graph->slot_node[slot] = IMS_NO_NODE;
        slot = after;
    }
    graph->first[node] = IMS_NO_SLOT;
    graph->levels[node] = IMS_LEVEL_FREE;
    graph->node_slot[node] = 0;
    graph->free_nodes[graph->free_count++] = node;
    ims_free(graph->table); /* made anew when next needed */
    graph->table = NULL;
    graph->table_size = 0;
}

bool ims_graph_remove(struct ims_graph *graph, uint32_t slot)
{
    uint32_t node;
    uint32_t *link;

    /* A row that was put while there was no memory to link it is not known here. */
    if (slot >= graph->slot_count || (node = graph->slot_node[slot]) == IMS_NO_NODE)
        return false;
    for (link = &graph->first[node]; *link != slot; link = &graph->next[*link])
        ;
    *link = graph->next[slot];
    graph->next[slot] = IMS_NO_SLOT;
    graph->slot_node[slot] = IMS_NO_NODE;
    if (graph->first[node] == IMS_NO_SLOT) {
        graph->dead_count++;
        graph->node_slot[node] = slot;
        return true;
    }
    if (graph->node_slot[node] == slot)
        graph->node_slot[node] = graph->first[node];
    return false;
}
