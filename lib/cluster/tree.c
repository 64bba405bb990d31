/* SPDX-License-Identifier: Apache-2.0 */
/* Trees of joins in SciPy's form: from sorted edges, from joins in any order, and cutting them. */
#include "cluster/cluster.h"

#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RADIX_BITS 11

/* Weights are from 0 on: they are ordered as their bits are. Least significant digit first, so equal ones keep their order. */
imgsim_status ims_sort_edges(struct ims_edge *edges, size_t count)
{
    struct ims_edge *other = ims_alloc_array(count, sizeof(*other));
    struct ims_edge *from = edges, *to = other;
    size_t counts[(1 << RADIX_BITS) + 1];

    if (other == NULL)
        return ims_fail_memory(count * sizeof(*other));
    for (unsigned shift = 0; shift < 64; shift += RADIX_BITS) {
        struct ims_edge *swap = from;

        memset(counts, 0, sizeof(counts));
        for (int pass = 0; pass < 2; pass++)
            for (size_t i = 0; i < count; i++) {
                uint64_t bits;
                size_t digit;

                memcpy(&bits, &from[i].weight, sizeof(bits));
                digit = bits >> shift & ((1 << RADIX_BITS) - 1);
                if (pass == 0)
                    counts[digit + 1]++;
                else
                    to[counts[digit]++] = from[i];
                if (pass == 0 && i + 1 == count)
                    for (size_t d = 0; d < 1 << RADIX_BITS; d++)
                        counts[d + 1] += counts[d];
            }
        from = to;
        to = swap;
    }
    if (from != edges)
        memcpy(edges, from, count * sizeof(*edges));
    ims_free(other);
    return IMGSIM_OK;
}

/* Sets of leaves with the number of their top node. */
struct tops {
    uint32_t *links; /* of leaves */
    uint32_t *node;  /* of a root: the node on top of its set */
    uint32_t *size;
};

static bool tops_init(struct tops *tops, size_t count)
{
    tops->links = ims_alloc_array(count, sizeof(uint32_t));
    tops->node = ims_alloc_array(count, sizeof(uint32_t));
    tops->size = ims_alloc_array(count, sizeof(uint32_t));
    if (tops->links == NULL || tops->node == NULL || tops->size == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        tops->links[i] = tops->node[i] = (uint32_t)i;
        tops->size[i] = 1;
    }
    return true;
}

static void tops_clear(struct tops *tops)
{
    ims_free(tops->links);
    ims_free(tops->node);
    ims_free(tops->size);
}

static uint32_t tops_find(struct tops *tops, uint32_t leaf)
{
    while (tops->links[leaf] != leaf) {
        tops->links[leaf] = tops->links[tops->links[leaf]];
        leaf = tops->links[leaf];
    }
    return leaf;
}

/* Write the join of the sets of two leaves as row `number`. */
static void write_join(
    struct tops *tops,
    size_t leaf_count,
    size_t number,
    int32_t a,
    int32_t b,
    double height,
    double *out)
{
    uint32_t x = tops_find(tops, (uint32_t)a), y = tops_find(tops, (uint32_t)b);
    const uint32_t left = tops->node[x], right = tops->node[y];

    if (tops->size[x] < tops->size[y]) {
        const uint32_t swap = x;

        x = y;
        y = swap;
    }
    tops->links[y] = x;
    tops->size[x] += tops->size[y];
    tops->node[x] = (uint32_t)(leaf_count + number);
    out[0] = left < right ? left : right;
    out[1] = left < right ? right : left;
    out[2] = height;
    out[3] = tops->size[x];
}

imgsim_status ims_tree_of_edges(const struct ims_edge *edges, size_t n, double *out)
{
    struct tops tops;
    imgsim_status status = IMGSIM_OK;

    if (!tops_init(&tops, n))
        status = ims_fail_memory(n * sizeof(uint32_t));
    for (size_t e = 0; e + 1 < n && status == IMGSIM_OK; e++)
        write_join(&tops, n, e, edges[e].a, edges[e].b, sqrt(edges[e].weight), out + 4 * e);
    tops_clear(&tops);
    return status;
}

imgsim_status ims_tree_of_joins(struct ims_join *joins, size_t leaf_count, double *out)
{
    const size_t count = leaf_count - 1;
    struct ims_edge *edges = ims_alloc_array(count, sizeof(*edges));
    struct tops tops = {0};
    imgsim_status status;

    if (edges == NULL)
        return ims_fail_memory(count * sizeof(*edges));
    for (size_t e = 0; e < count; e++)
        edges[e] = (struct ims_edge){joins[e].height, joins[e].a, joins[e].b};
    status = ims_sort_edges(edges, count);
    if (status == IMGSIM_OK && !tops_init(&tops, leaf_count))
        status = ims_fail_memory(leaf_count * sizeof(uint32_t));
    for (size_t e = 0; e < count && status == IMGSIM_OK; e++)
        write_join(&tops, leaf_count, e, edges[e].a, edges[e].b, edges[e].weight, out + 4 * e);
    tops_clear(&tops);
    ims_free(edges);
    return status;
}

imgsim_status ims_cut_tree(
    const double *tree,
    size_t leaf_count,
    size_t k,
    double height,
    int32_t *out_labels,
    size_t *out_count)
{
    size_t joins = 0, count = 0;
    const size_t nodes = 2 * leaf_count - 1;
    int32_t *labels = ims_alloc_array(nodes, sizeof(int32_t));

    if (labels == NULL)
        return ims_fail_memory(nodes * sizeof(int32_t));
    while (joins + 1 < leaf_count &&
           (k > 0 ? joins < leaf_count - k : tree[4 * joins + 2] <= height))
        joins++;
    for (size_t node = 0; node < nodes; node++)
        labels[node] = -1;
    /* From the top down: a node that no kept join took has a number of its own, which its leaves inherit. */
    for (size_t node = leaf_count + joins; node-- > 0;) {
        if (labels[node] < 0)
            labels[node] = (int32_t)count++;
        if (node >= leaf_count) {
            labels[(size_t)tree[4 * (node - leaf_count)]] = labels[node];
            labels[(size_t)tree[4 * (node - leaf_count) + 1]] = labels[node];
        }
    }
    memcpy(out_labels, labels, leaf_count * sizeof(int32_t));
    *out_count = count;
    ims_free(labels);
    return IMGSIM_OK;
}
