/* SPDX-License-Identifier: Apache-2.0 */
/* The k nearest of a stream, ordered by (distance, id): a max-heap on the worst one kept. */
#ifndef IMS_CORE_TOPK_H
#define IMS_CORE_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ims_neighbour {
    double distance;
    int64_t id;
};

/* `items` has room for `capacity`; count are kept. */
struct ims_topk {
    struct ims_neighbour *items;
    size_t count;
    size_t capacity;
};

/* Whether a is nearer than b: smaller distance, at equal distance smaller id. */
static inline bool ims_nearer(struct ims_neighbour a, struct ims_neighbour b)
{
    return a.distance < b.distance || (a.distance == b.distance && a.id < b.id);
}

static inline void
ims_topk_init(struct ims_topk *topk, struct ims_neighbour *items, size_t capacity)
{
    topk->items = items;
    topk->count = 0;
    topk->capacity = capacity;
}

/* Distance that a new one must not exceed; +infinity until full. */
double ims_topk_bound(const struct ims_topk *topk);
/* Offer one; true if it was kept. NaN is never kept. */
bool ims_topk_push(struct ims_topk *topk, double distance, int64_t id);
/* Sort nearest first; the heap is then used up. */
void ims_topk_sort(struct ims_topk *topk);
/* Sort any neighbours nearest first. */
void ims_neighbours_sort(struct ims_neighbour *items, size_t count);

#endif
