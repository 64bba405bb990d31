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

#include "core/progress.h"
#include "index/index_private.h"

#define IMS_NO_NODE 0xffffffffu
/* Nodes are numbered with 31 bits: the last marks a hop whose links were followed. */
#define IMS_NODES_MAX 0x7fffffffu
/* Fewer rows are compared one by one, and have no graph. */
#define IMS_GRAPH_ROWS 1024
/* Layers above layer 0; the draw ends there. */
#define IMS_LEVEL_MAX 30
/* Level of a node that is not in use. */
#define IMS_LEVEL_FREE 0xff

/* How a node's distances are computed in the graph. */
enum ims_graph_code {
    /* Bytes: value = scale * (byte - 128), of the row less the mean. */
    IMS_CODE_BYTES = 1,
    /* The index's floats, where bytes are too coarse for the data. */
    IMS_CODE_FLOATS = 2
};

/* What goes with a node's code: its scale, what its own length adds to a distance, the sum of its codes. */
struct ims_factor {
    float scale;
    float offset;
    int32_t code_sum;
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

    size_t node_count; /* freed ones included */
    size_t node_capacity;
    size_t dead_count; /* nodes without rows, still linked */
    uint64_t drawn;    /* levels drawn so far */
    uint32_t entry;    /* IMS_NO_NODE while empty */
    uint32_t top_level;
    size_t unrepaired; /* nodes linked since unreachable ones were last looked for */

    float *mean; /* dimension */
    float mean_squared;
    uint32_t *links;            /* layer 0: 2 * max_links per node, IMS_NO_NODE after the last */
    uint8_t *codes;             /* a stride per node, BYTES only */
    struct ims_factor *factors; /* per node */
    uint8_t *levels;            /* per node */
    uint32_t *upper_start;      /* per node of level 1 and more: its first block in upper */
    uint32_t *upper;            /* blocks of max_links */
    size_t upper_count;
    size_t upper_capacity;
    uint32_t *node_slot; /* a slot with the node's row */
    uint32_t *first;     /* first of the node's rows, IMS_NO_SLOT: none left */
    uint32_t *next;      /* per slot: next row of the same node */
    uint32_t *slot_node; /* per slot: its node */
    size_t slot_count;   /* entries of the two */
    size_t slot_capacity;

    uint32_t *table; /* open addressing, row bytes -> node; NULL: to be made anew */
    size_t table_size;
    uint32_t *free_nodes;
    size_t free_count;
    size_t free_capacity;

    pthread_mutex_t mutex; /* guards the searchers */
    struct ims_searcher *searchers;
};

/* ---- hnsw_build.c ---- */

imgsim_status ims_graph_new(const imgsim_index *index, struct ims_graph **out_graph);
void ims_graph_free(struct ims_graph *graph);
/*
 * Link the rows of `slots` in. The graph is the same for any number of threads. After an error the first `*out_done` of the
 * slots are in the graph.
 */
imgsim_status ims_graph_add(
    imgsim_index *index,
    const uint32_t *slots,
    size_t count,
    struct ims_pool *pool,
    struct ims_meter *meter,
    size_t *out_done);

/* ---- hnsw_nodes.c ---- */

/* Room for so many more nodes, and for rows up to `slot_count`. */
imgsim_status ims_graph_reserve(struct ims_graph *graph, size_t nodes, size_t slot_count);
/* Copy a mapped graph. */
imgsim_status ims_graph_own(struct ims_graph *graph);
/*
 * The node of a row, found by its bytes, or a new one (*out_new) that is not linked yet; room was reserved. The row becomes one
 * of the node's rows.
 */
uint32_t ims_graph_attach(imgsim_index *index, uint32_t slot, bool *out_new);
/* Have a table of rows for ims_graph_attach(), with room for so many more. */
imgsim_status ims_graph_ready_table(imgsim_index *index, size_t more);
/* A new node that could not be linked goes again, with its rows. */
void ims_graph_discard(struct ims_graph *graph, uint32_t node);
/* A row goes; true: the graph still needs what is in its slot. */
bool ims_graph_remove(struct ims_graph *graph, uint32_t slot);

/* ---- hnsw_repair.c ---- */

/* Take nodes without rows out once they are many, and free their slots. */
imgsim_status ims_graph_sweep(imgsim_index *index, struct ims_pool *pool);
/* Make every node reachable from the entry on layer 0. */
imgsim_status ims_graph_repair(imgsim_index *index);
/* Nodes in use that cannot be reached from the entry on layer 0. */
imgsim_status ims_graph_unreachable(const struct ims_graph *graph, size_t *out_count);

/* ---- hnsw_codes.c ---- */

/* What distances are measured from: a query's row, or a node. */
struct ims_target {
    const float *row; /* FLOATS */
    int8_t *code;     /* BYTES: a buffer of the stride */
    int32_t code_sum;
    float factor;
    float base;
};

size_t ims_graph_code_stride(const struct ims_graph *graph);
/* Choose mean and kind of code from rows that are there. */
imgsim_status ims_graph_calibrate(
    const imgsim_index *index,
    struct ims_graph *graph,
    const uint32_t *slots,
    size_t count);
/* Write code and factor of a node from its row. */
void ims_graph_encode(const imgsim_index *index, struct ims_graph *graph, uint32_t node);
/* `squared`: the row's sum of squares. The row is borrowed as long as the target is used. */
void ims_target_from_row(
    const struct ims_graph *graph,
    const float *row,
    double squared,
    struct ims_target *target);
void ims_target_from_node(
    const imgsim_index *index,
    const struct ims_graph *graph,
    uint32_t node,
    struct ims_target *target);
/* Distances of nodes from the target. */
void ims_target_distances(
    const imgsim_index *index,
    const struct ims_graph *graph,
    const struct ims_target *target,
    const uint32_t *nodes,
    size_t count,
    float *out);

/* ---- hnsw_search.c ---- */

/* A node met, and how far it is; in the searcher's pool the top bit of `node` says that its links were followed. */
struct ims_hop {
    float distance;
    uint32_t node;
};

/* Scratch memory of one search at a time. */
struct ims_searcher {
    struct ims_searcher *next;
    size_t node_capacity;
    uint64_t *visited; /* bits */
    uint32_t *touched; /* words of `visited` that are not 0 */
    size_t touched_count;
    size_t width; /* room in the pool */
    struct ims_hop *pool;
    size_t pool_count;
    struct ims_target target;
    int8_t *other_code; /* for a second target */
};

/* A searcher with room for this width, from the graph's own or new. Give it back afterwards. */
imgsim_status
ims_searcher_take(const struct ims_graph *graph, size_t width, struct ims_searcher **out);
void ims_searcher_give(const struct ims_graph *graph, struct ims_searcher *searcher);
void ims_searchers_free(struct ims_graph *graph);

/* From the entry greedily down to `level`, where the searcher's pool then holds one node to start from. */
void ims_graph_descend(
    const imgsim_index *index,
    const struct ims_graph *graph,
    struct ims_searcher *searcher,
    uint32_t level);
/*
 * SEARCH-LAYER, started from the nodes in the searcher's pool: leaves the `width` nearest nodes found there, nearest first.
 */
void ims_graph_search_layer(
    const imgsim_index *index,
    const struct ims_graph *graph,
    struct ims_searcher *searcher,
    size_t width,
    uint32_t level);
/* The k nearest rows by the graph. */
imgsim_status ims_graph_search(const struct ims_search *search);

static inline bool ims_hop_nearer(struct ims_hop a, struct ims_hop b)
{
    return a.distance < b.distance || (a.distance == b.distance && a.node < b.node);
}

/* Links of a node on a layer; up to *out_max of them, IMS_NO_NODE after the last. */
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

/* ---- hnsw_select.c ---- */

/*
 * SELECT-NEIGHBORS-HEURISTIC, Algorithm 4: up to `most` of the candidates, which are sorted nearest first; returns their number.
 * `code` is a buffer for the code of a node.
 */
size_t ims_graph_select(
    const imgsim_index *index,
    const struct ims_graph *graph,
    const struct ims_hop *candidates,
    size_t count,
    size_t most,
    int8_t *code,
    uint32_t *out);
/* Sort nearest first. */
void ims_hops_sort(struct ims_hop *hops, size_t count);

/* ---- hnsw_file.c ---- */

/* Section "ghead". */
struct ims_graph_header {
    uint32_t code;
    uint32_t max_links;
    uint32_t entry;
    uint32_t top_level;
    uint64_t node_count;
    uint64_t dead_count;
    uint64_t drawn;
    uint64_t upper_count;
    uint64_t free_count;
    uint64_t unrepaired;
};

/* Describe the graph in sections, the first of which is `header`; returns their number. */
size_t ims_graph_sections(
    const struct ims_graph *graph,
    struct ims_graph_header *header,
    struct ims_section_data *sections);
/* Attach to a mapped graph after checking its structure. */
imgsim_status ims_graph_open(const imgsim_index *index, struct ims_graph **out_graph);

#endif
