/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The k nearest of a stream: a binary max-heap (Williams, CACM 7(6), 1964) in the order of
 * (distance, id).
 */
#include "core/topk.h"

#include <math.h>

/* Let the entry at `root` sink until no child is farther than it. */
static void sink(struct ims_neighbour *items, size_t count, size_t root)
{
    struct ims_neighbour moving = items[root];

    for (;;) {
        size_t child = 2 * root + 1;

        if (child >= count)
            break;
        if (child + 1 < count && ims_nearer(items[child], items[child + 1]))
            child++;
        if (!ims_nearer(moving, items[child]))
            break;
        items[root] = items[child];
        root = child;
    }
    items[root] = moving;
}

/* Let the entry at `leaf` rise while it is farther than its parent. */
static void rise(struct ims_neighbour *items, size_t leaf)
{
    struct ims_neighbour moving = items[leaf];

    while (leaf > 0 && ims_nearer(items[(leaf - 1) / 2], moving)) {
        items[leaf] = items[(leaf - 1) / 2];
        leaf = (leaf - 1) / 2;
    }
    items[leaf] = moving;
}

/* A heap with the farthest at the root becomes a list, nearest first. */
static void sort_heap(struct ims_neighbour *items, size_t count)
{
    while (count > 1) {
        struct ims_neighbour farthest = items[0];

        count--;
        items[0] = items[count];
        items[count] = farthest;
        sink(items, count, 0);
    }
}

double ims_topk_bound(const struct ims_topk *topk)
{
    if (topk->count < topk->capacity)
        return INFINITY;
    return topk->capacity > 0 ? topk->items[0].distance : -INFINITY;
}

bool ims_topk_push(struct ims_topk *topk, double distance, int64_t id)
{
    struct ims_neighbour offered = {distance, id};

    if (isnan(distance))
        return false;
    if (topk->count < topk->capacity) {
        topk->items[topk->count] = offered;
        rise(topk->items, topk->count++);
        return true;
    }
    if (topk->capacity == 0 || !ims_nearer(offered, topk->items[0]))
        return false;
    topk->items[0] = offered;
    sink(topk->items, topk->count, 0);
    return true;
}

void ims_topk_sort(struct ims_topk *topk)
{
    sort_heap(topk->items, topk->count);
}

void ims_neighbours_sort(struct ims_neighbour *items, size_t count)
{
    for (size_t i = count / 2; i > 0; i--)
        sink(items, count, i - 1);
    sort_heap(items, count);
}
