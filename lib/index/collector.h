/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of one query that may still be answers. With T the k-th smallest upper bound that came in, no row whose lower
 * bound exceeds T is one; every other is kept, however many there are.
 */
#ifndef IMS_INDEX_COLLECTOR_H
#define IMS_INDEX_COLLECTOR_H

#include "core/status.h"

#include <stdbool.h>

struct ims_candidate {
    double lower;
    uint32_t slot;
};

struct ims_collector {
    size_t k;
    double
        bound; /* T: no answer has a lower bound above it; may be set lower than +infinity from the start */
    double *uppers; /* max-heap of the k smallest upper bounds */
    size_t upper_count;
    size_t upper_capacity;
    struct ims_candidate *candidates;
    size_t count;
    size_t capacity;
    size_t compact_at;
};

void ims_collector_init(struct ims_collector *collector, size_t k);
void ims_collector_clear(struct ims_collector *collector);
/* Keep an upper bound if it is among the k smallest, and lower T; false when out of memory. */
bool ims_collector_push(struct ims_collector *collector, double upper);
/* Keep those of `count` rows that may be answers. */
imgsim_status ims_collector_add(
    struct ims_collector *collector,
    const uint32_t *slots,
    size_t count,
    const double *lower,
    const double *upper);

#endif
