/* SPDX-License-Identifier: Apache-2.0 */
/* How long work of items and bytes will take that is partly done. */
#ifndef IMS_CORE_ESTIMATE_H
#define IMS_CORE_ESTIMATE_H

#include <stdint.h>

/* Ways in which items and bytes may share the time, see estimate.c. */
#define IMS_ESTIMATE_MODELS 9

/* Zero it, then ims_estimate_start(). Times are the caller's: nothing here looks at a clock. */
struct ims_estimate {
    double prior;        /* log of the bytes that are thought to take as long as an item */
    double byte_seconds; /* thought to be the time of a byte; 0: nothing is thought */
    int items_only;      /* no bytes are counted */
    double count;        /* weights of the samples */
    double seconds, items, bytes;
    double seconds_2, items_2, bytes_2; /* weighed squares and products */
    double seconds_items, seconds_bytes, items_bytes;
};

/*
 * By experience: `item_bytes` take as long as an item besides its bytes, 0: bytes play no part; a byte takes `byte_seconds`, 0: no
 * experience. Both are where learning begins, and may be off by a factor of a few.
 */
void ims_estimate_start(struct ims_estimate *estimate, double item_bytes, double byte_seconds);
/* What was done in a stretch of time; `elapsed` is the time since the start at its end. */
void ims_estimate_add(
    struct ims_estimate *estimate,
    double elapsed,
    double seconds,
    double items,
    double bytes);
/* Seconds for what is left; -1 while nothing is known. */
double ims_estimate_remaining(const struct ims_estimate *estimate, uint64_t items, uint64_t bytes);

#endif
