/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing which candidates a node links to. */
#include "index/hnsw.h"

#include <stdlib.h>

/* Links looked at between two checks. */
#define STEP 8
/* Hops that are sorted by insertion: most lists are little longer than a node's links, and nearly sorted. */
#define FEW 64

static int compare_hops(const void *left, const void *right)
{
    const struct ims_hop *a = left, *b = right;

    return ims_hop_nearer(*a, *b) ? -1 : ims_hop_nearer(*b, *a);
}

void ims_hops_sort(struct ims_hop *hops, size_t count)
{
    if (count > FEW) {
        qsort(hops, count, sizeof(*hops), compare_hops);
        return;
    }
    for (size_t i = 1; i < count; i++) {
        const struct ims_hop moving = hops[i];
        size_t place = i;

        for (; place > 0 && ims_hop_nearer(moving, hops[place - 1]); place--)
            hops[place] = hops[place - 1];
        hops[place] = moving;
    }
}

/* Whether the candidate is nearer to the node than to each of those chosen before. */
static bool is_diverse(
    const imgsim_index *index,
    const struct ims_graph *graph,
    struct ims_hop candidate,
    const uint32_t *chosen,
    size_t count,
    int8_t *code)
{
    struct ims_target target = {.code = code};
    float distances[STEP];

    if (count == 0)
        return true;
    ims_target_from_node(index, graph, candidate.node, &target);
    for (size_t start = 0; start < count; start += STEP) {
        const size_t used = count - start < STEP ? count - start : STEP;

        ims_target_distances(index, graph, &target, chosen + start, used, distances);
        for (size_t i = 0; i < used; i++)
            if (distances[i] <= candidate.distance)
                return false;
    }
    return true;
}

/*
 * Algorithm 4 of Malkov & Yashunin (arXiv:1603.09320), without extending the candidates and without keeping pruned ones.
 *
 * Departure: a candidate as near to a chosen one as to the node is dropped, so that rows hardly apart do not fill the list.
 */
size_t ims_graph_select(
    const imgsim_index *index,
    const struct ims_graph *graph,
    const struct ims_hop *candidates,
    size_t count,
    size_t most,
    int8_t *code,
    uint32_t *out)
{
    size_t chosen = 0;

    for (size_t i = 0; i < count && chosen < most; i++)
        if (is_diverse(index, graph, candidates[i], out, chosen, code))
            out[chosen++] = candidates[i].node;
    return chosen;
}
