/* SPDX-License-Identifier: Apache-2.0 */
/* The graph in a file: its arrays as sections, searched where they are mapped after their structure was checked. */
#include "index/hnsw.h"

#include "core/bitset.h"
#include "core/memory.h"

#include <string.h>

/* A per-node or per-row array: its section, where it is in the graph, and how large it has to be. */
struct part {
    const char *name;
    void *pointer; /* of the array pointer in the graph */
    size_t size;
};

#define PART_COUNT 12

/* All arrays; sizes follow from the counts in the graph. */
static void list_parts(struct ims_graph *graph, struct part parts[PART_COUNT])
{
    const size_t nodes = graph->node_count, slots = graph->slot_count;
    const size_t stride = graph->code == IMS_CODE_BYTES ? ims_graph_code_stride(graph) : 0;
    const size_t links = graph->max_links * sizeof(uint32_t);
    const struct part all[PART_COUNT] = {
        {"gmean", &graph->mean, graph->dimension * sizeof(float)},
        {"glinks", &graph->links, nodes * 2 * links},
        {"gcodes", &graph->codes, nodes * stride},
        {"gfactors", &graph->factors, nodes * sizeof(struct ims_factor)},
        {"glevels", &graph->levels, nodes},
        {"gustart", &graph->upper_start, nodes * sizeof(uint32_t)},
        {"gupper", &graph->upper, graph->upper_count * links},
        {"gslots", &graph->node_slot, nodes * sizeof(uint32_t)},
        {"gfirst", &graph->first, nodes * sizeof(uint32_t)},
        {"gnext", &graph->next, slots * sizeof(uint32_t)},
        {"gnodes", &graph->slot_node, slots * sizeof(uint32_t)},
        {"gfree", &graph->free_nodes, graph->free_count * sizeof(uint32_t)},
    };

    memcpy(parts, all, sizeof(all));
}

size_t ims_graph_sections(
    const struct ims_graph *graph,
    struct ims_graph_header *header,
    struct ims_section_data *sections)
{
    struct part parts[PART_COUNT];

    list_parts((struct ims_graph *)graph, parts);
    *header = (struct ims_graph_header){
        .code = (uint32_t)graph->code,
        .max_links = graph->max_links,
        .entry = graph->entry,
        .top_level = graph->top_level,
        .node_count = graph->node_count,
        .dead_count = graph->dead_count,
        .drawn = graph->drawn,
        .upper_count = graph->upper_count,
        .free_count = graph->free_count,
        .unrepaired = graph->unrepaired,
    };
    sections[0] = (struct ims_section_data){"ghead", header, sizeof(*header)};
    for (size_t i = 0; i < PART_COUNT; i++) {
        sections[i + 1].name = parts[i].name;
        memcpy(&sections[i + 1].data, parts[i].pointer, sizeof(void *));
        sections[i + 1].size = parts[i].size;
    }
    return PART_COUNT + 1;
}

/* ---- opening ---- */

static imgsim_status damaged(const imgsim_index *index, const char *what)
{
    return ims_fail(IMGSIM_ERROR_CORRUPT, "%s is damaged: %s", index->file.path, what);
}

static imgsim_status read_header(const imgsim_index *index, struct ims_graph *graph)
{
    const struct ims_graph_header *header;
    imgsim_status status;
    const void *data;
    size_t size;

    if ((status = ims_reader_section(&index->file, "ghead", &data, &size)) != IMGSIM_OK)
        return status;
    header = data;
    if (size != sizeof(*header) ||
        (header->code != IMS_CODE_BYTES && header->code != IMS_CODE_FLOATS) ||
        header->max_links != index->max_links || header->node_count > IMS_NODES_MAX ||
        header->upper_count > IMS_NODES_MAX || header->free_count > header->node_count ||
        header->dead_count > header->node_count || header->top_level > IMS_LEVEL_MAX ||
        (header->entry >= header->node_count && header->entry != IMS_NO_NODE))
        return damaged(index, "the header of its graph makes no sense");
    graph->code = (int32_t)header->code;
    graph->entry = header->entry;
    graph->top_level = header->top_level;
    graph->node_count = (size_t)header->node_count;
    graph->dead_count = (size_t)header->dead_count;
    graph->drawn = header->drawn;
    graph->upper_count = (size_t)header->upper_count;
    graph->free_count = (size_t)header->free_count;
    graph->unrepaired = (size_t)header->unrepaired;
    graph->slot_count = index->rows.slot_count;
    return IMGSIM_OK;
}

static imgsim_status map_parts(const imgsim_index *index, struct ims_graph *graph)
{
    struct part parts[PART_COUNT];

    list_parts(graph, parts);
    for (size_t i = 0; i < PART_COUNT; i++) {
        imgsim_status status;
        const void *data;
        size_t size;

        if ((status = ims_reader_section(&index->file, parts[i].name, &data, &size)) != IMGSIM_OK)
            return status;
        if (size != parts[i].size)
            return ims_fail(
                IMGSIM_ERROR_CORRUPT, "%s is damaged: section %s has %zu bytes", index->file.path,
                parts[i].name, size);
        memcpy(parts[i].pointer, &data, sizeof(data));
    }
    return IMGSIM_OK;
}

static bool links_fit(const struct ims_graph *graph, uint32_t node, uint32_t level)
{
    uint32_t most;
    const uint32_t *links = ims_graph_links(graph, node, level, &most);

    for (uint32_t i = 0; i < most && links[i] != IMS_NO_NODE; i++)
        if (links[i] >= graph->node_count || graph->levels[links[i]] == IMS_LEVEL_FREE ||
            graph->levels[links[i]] < level)
            return false;
    return true;
}

/* Every number leads to something that is there. */
static imgsim_status check_nodes(const imgsim_index *index, const struct ims_graph *graph)
{
    size_t dead = 0, unused = 0;

    for (size_t node = 0; node < graph->node_count; node++) {
        const uint32_t level = graph->levels[node];

        if (level == IMS_LEVEL_FREE) {
            unused++;
            continue;
        }
        if (level > graph->top_level ||
            (level > 0 && (graph->upper_start[node] > graph->upper_count ||
                           level > graph->upper_count - graph->upper_start[node])))
            return damaged(index, "a node of its graph has a wrong level");
        if (graph->node_slot[node] >= graph->slot_count)
            return damaged(index, "a node of its graph has no row");
        dead += graph->first[node] == IMS_NO_SLOT;
    }
    if (unused != graph->free_count || dead != graph->dead_count ||
        (graph->entry == IMS_NO_NODE ? unused != graph->node_count
                                     : graph->levels[graph->entry] != graph->top_level))
        return damaged(index, "the nodes of its graph do not add up");
    for (size_t node = 0; node < graph->node_count; node++)
        for (uint32_t level = 0;
             graph->levels[node] != IMS_LEVEL_FREE && level <= graph->levels[node]; level++)
            if (!links_fit(graph, (uint32_t)node, level))
                return damaged(index, "a link of its graph leads nowhere");
    return IMGSIM_OK;
}

/* Each row that is there hangs on one node, once. */
static imgsim_status check_chains(const imgsim_index *index, const struct ims_graph *graph)
{
    const struct ims_rows *rows = &index->rows;
    size_t met = 0;

    for (size_t node = 0; node < graph->node_count; node++) {
        if (graph->levels[node] == IMS_LEVEL_FREE)
            continue;
        for (uint32_t slot = graph->first[node]; slot != IMS_NO_SLOT; slot = graph->next[slot])
            if (slot >= graph->slot_count || graph->slot_node[slot] != node ||
                rows->ids[slot] < 0 || ++met > rows->live_count)
                return damaged(index, "a row of its graph is out of place");
    }
    if (met != rows->live_count)
        return damaged(index, "rows are missing from its graph");
    return IMGSIM_OK;
}

/* Free nodes, each once; a copy, since the list changes while nothing else has to be copied. */
static imgsim_status check_free(const imgsim_index *index, struct ims_graph *graph)
{
    const uint32_t *mapped = graph->free_nodes;
    struct ims_bitset met = {0};
    imgsim_status status = IMGSIM_OK;

    graph->free_nodes = NULL;
    if (!ims_bitset_init(&met, graph->node_count, false) ||
        !ims_grow(
            (void **)&graph->free_nodes, &graph->free_capacity, graph->node_count,
            sizeof(*mapped))) {
        status = ims_fail_memory(graph->node_count * sizeof(*mapped));
        goto done;
    }
    for (size_t i = 0; i < graph->free_count; i++) {
        if (mapped[i] >= graph->node_count || graph->levels[mapped[i]] != IMS_LEVEL_FREE ||
            ims_bitset_test(&met, mapped[i])) {
            status = damaged(index, "the list of free nodes of its graph makes no sense");
            goto done;
        }
        ims_bitset_set(&met, mapped[i]);
        graph->free_nodes[i] = mapped[i];
    }

done:
    ims_bitset_clear(&met);
    return status;
}

imgsim_status ims_graph_open(const imgsim_index *index, struct ims_graph **out_graph)
{
    struct ims_graph *graph;
    imgsim_status status;
    double squared = 0;

    if ((status = ims_graph_new(index, &graph)) != IMGSIM_OK)
        return status;
    ims_free(graph->mean);
    graph->mean = NULL;
    graph->owned = false;
    if ((status = read_header(index, graph)) != IMGSIM_OK ||
        (status = map_parts(index, graph)) != IMGSIM_OK) {
        graph->free_nodes = NULL; /* mapped, perhaps */
        goto done;
    }
    if ((status = check_free(index, graph)) != IMGSIM_OK ||
        (status = check_nodes(index, graph)) != IMGSIM_OK ||
        (status = check_chains(index, graph)) != IMGSIM_OK)
        goto done;
    for (uint32_t i = 0; i < graph->dimension; i++)
        squared += (double)graph->mean[i] * graph->mean[i];
    graph->mean_squared = (float)squared;
    *out_graph = graph;
    graph = NULL; /* now the caller's */

done:
    ims_graph_free(graph);
    return status;
}
