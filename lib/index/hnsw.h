/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HNSW graph of an index (Malkov & Yashunin, arXiv:1603.09320).
 *
 * Nodes stand for distinct rows: rows with equal bytes share a node, so that duplicates neither fill the lists of links nor
 * hide each other. Distances in the graph are estimated from codes of one byte per value; the index's own rows answer in the
 * end. A node all of whose rows were removed stays as a way through until enough of them have gathered.
 */
#ifndef IMS_INDEX_HNSW_H
#define IMS_INDEX_HNSW_H

#include "core/bitset.h"
#include "core/progress.h"
#include "index/index_private.h"

#define IMS_NO_NODE 0xffffffffu
/* Fewer rows are compared one by one, and have no graph. */
#define IMS_GRAPH_ROWS 1024
/* Layers above layer 0; the draw ends there. */
#define IMS_LEVEL_MAX 30

/* How a node's distances are computed in the graph. */
enum ims_graph_code {
    /* Bytes: value = scale * (byte - 128), of the row less the mean. */
    IMS_CODE_BYTES = 1,
    /* The index's floats, where bytes are too coarse for the data. */
    IMS_CODE_FLOATS = 2
};

/* What goes with a node's code: its scale, and what is added to the distance. */
struct ims_factor {
    float scale;
    float offset;
};

struct ims_searcher;

struct ims_graph {
    uint32_t dimension;
    int32_t metric; /* COSINE, INNER_PRODUCT or L2: what the graph's distances mean */
    uint32_t max_links;
    uint32_t build_width;
    uint64_t seed;
    int32_t code;
    bool owned; /* false: the arrays below are mapped */

    size_t node_count; /* used, freed ones included */
    size_t node_capacity;
    size_t dead_count; /* nodes without rows, still linked */
    uint32_t entry;    /* IMS_NO_NODE while empty */
    uint32_t top_level;

    float *mean;                /* dimension */
    uint32_t *links;            /* layer 0: 2 * max_links per node, IMS_NO_NODE after the last */
    uint8_t *codes;             /* code_stride per node, BYTES only */
    struct ims_factor *factors; /* per node */
    uint8_t *levels;            /* per node; IMS_LEVEL_FREE: not in use */
    uint32_t *upper_start;      /* per node: its block in upper, for nodes of level 1 and more */
    uint32_t *upper;            /* blocks of `level` x max_links */
    size_t upper_count;         /* blocks of max_links */
    size_t upper_capacity;
    uint32_t *node_slot; /* a slot with the node's row */
    uint32_t *first;     /* first of the node's rows, IMS_NO_SLOT: none left */
    uint32_t *next;      /* per slot: next row of the same node */
    uint32_t *slot_node; /* per slot: its node */
    size_t slot_capacity;

    uint32_t *table; /* open addressing, row bytes -> node; owned graphs only */
    size_t table_size;
    uint32_t *free_nodes;
    size_t free_count;
    size_t free_capacity;
    size_t unrepaired; /* nodes linked since the last look for unreachable ones */

    pthread_mutex_t mutex; /* guards the searchers */
    struct ims_searcher *searchers;
};

#define IMS_LEVEL_FREE 0xff

/* ---- hnsw_build.c ---- */

imgsim_status ims_graph_new(const imgsim_index *index, struct ims_graph **out_graph);
void ims_graph_free(struct ims_graph *graph);
/*
 * Link the rows of `slots` in. The graph is the same for any number of threads. After an error `*out_done` of the slots are in
 * the graph.
 */
imgsim_status ims_graph_add(
    imgsim_index *index,
    const uint32_t *slots,
    size_t count,
    struct ims_pool *pool,
    struct ims_meter *meter,
    size_t *out_done);
/* Copy a mapped graph. */
imgsim_status ims_graph_own(struct ims_graph *graph, size_t slot_count);

/* ---- hnsw_remove.c ---- */

/* A row goes; its slot may be released unless the graph still needs it, which returns true. */
bool ims_graph_remove(struct ims_graph *graph, uint32_t slot);
/* Take nodes without rows out, once they are many or `force`; frees their slots. */
imgsim_status ims_graph_sweep(imgsim_index *index, struct ims_pool *pool, bool force);
/* Make every node reachable from the entry on layer 0. */
imgsim_status ims_graph_repair(imgsim_index *index);
/* Nodes in use that cannot be reached from the entry on layer 0. For tests, and for the repair. */
imgsim_status ims_graph_unreachable(const struct ims_graph *graph, size_t *out_count);

/* ---- hnsw_codes.c ---- */

size_t ims_graph_code_stride(const struct ims_graph *graph);
/* Choose mean and code from rows that are there. */
imgsim_status ims_graph_calibrate(
    struct ims_graph *graph,
    const imgsim_index *index,
    const uint32_t *slots,
    size_t count);
/* Write code and factor of a node from its row. */
void ims_graph_encode(struct ims_graph *graph, const imgsim_index *index, uint32_t node);

/* What distances are measured from: a query, or a node. Buffers are the searcher's. */
struct ims_target {
    float *values; /* FLOATS: the row, normalised for cosine */
    int8_t *code;  /* BYTES */
    float
        factor; /* distance = base + offset of the node - factor * scale of the node * (product of codes) */
    float base;
    int32_t code_sum;
    float inverse; /* FLOATS, cosine: unused */
};

void ims_target_from_row(
    const struct ims_graph *graph,
    const float *row,
    double squared,
    struct ims_target *target);
void ims_target_from_node(
    const struct ims_graph *graph,
    const imgsim_index *index,
    uint32_t node,
    struct ims_target *target);
/* Distances of nodes from the target. */
void ims_target_distances(
    const struct ims_graph *graph,
    const imgsim_index *index,
    const struct ims_target *target,
    const uint32_t *nodes,
    size_t count,
    float *out);

/* ---- hnsw_search.c ---- */

/* A node met, and how far it is; `seen` once its links were followed. */
struct ims_hop {
    float distance;
    uint32_t node;
};

static inline bool ims_hop_nearer(struct ims_hop a, struct ims_hop b)
{
    return a.distance < b.distance || (a.distance == b.distance && a.node < b.node);
}

/* Scratch memory of one search at a time. */
struct ims_searcher {
    struct ims_searcher *next;
    size_t node_capacity;
    uint64_t *visited; /* bits */
    uint32_t *touched; /* words of visited that are not 0 */
    size_t touched_count;
    size_t width; /* room in pool and expanded */
    struct ims_hop *pool;
    uint8_t *expanded;
    size_t pool_count;
    uint32_t *batch; /* links of a node not seen before */
    float *batch_distances;
    struct ims_target target;
};

/* A searcher with room for this width, from the graph's own or new. Give it back afterwards. */
imgsim_status
ims_searcher_take(const struct ims_graph *graph, size_t width, struct ims_searcher **out);
void ims_searcher_give(const struct ims_graph *graph, struct ims_searcher *searcher);
void ims_searchers_free(struct ims_graph *graph);

/* From the entry down to layer `level + 1` greedily; returns where to start on layer `level`. */
struct ims_hop ims_graph_descend(
    const struct ims_graph *graph,
    const imgsim_index *index,
    struct ims_searcher *searcher,
    uint32_t level);
/* SEARCH-LAYER: the `width` nearest nodes found on a layer are left in the searcher's pool, nearest first. */
void ims_graph_search_layer(
    const struct ims_graph *graph,
    const imgsim_index *index,
    struct ims_searcher *searcher,
    const struct ims_hop *starts,
    size_t start_count,
    size_t width,
    uint32_t level);
/* The k nearest rows by the graph. */
imgsim_status ims_graph_search(const struct ims_search *search);

/* Links of a node on a layer; *out_count of them may be used. */
static inline uint32_t *
ims_graph_links(const struct ims_graph *graph, uint32_t node, uint32_t level, uint32_t *out_max)
{
    if (level == 0) {
        *out_max = 2 * graph->max_links;
        return graph->links + (size_t)node * 2 * graph->max_links;
    }
    *out_max = graph->max_links;
    return graph->upper + ((size_t)graph->upper_start[node] + level - 1) * graph->max_links;
}

/* ---- hnsw_file.c ---- */

/* Describe the graph in sections; `header` stays valid as long as the caller's block. */
struct ims_graph_header {
    uint32_t code;
    uint32_t max_links;
    uint32_t build_width;
    uint32_t entry;
    uint32_t top_level;
    uint32_t reserved;
    uint64_t seed;
    uint64_t node_count;
    uint64_t upper_count;
    uint64_t dead_count;
};

size_t ims_graph_sections(
    const struct ims_graph *graph,
    size_t slot_count,
    struct ims_graph_header *header,
    struct ims_section_data *sections);
/* Attach to a mapped graph after checking its structure. */
imgsim_status ims_graph_open(imgsim_index *index, struct ims_graph **out_graph);

#endif
