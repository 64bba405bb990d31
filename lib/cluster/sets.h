/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Disjoint sets that several threads may join at once: a set's root is its smallest member, so the partition does not depend on
 * the order. Anderson & Woll, STOC 1991, with path halving.
 */
#ifndef IMS_CLUSTER_SETS_H
#define IMS_CLUSTER_SETS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef _Atomic uint32_t ims_set_link;

static inline void ims_sets_init(ims_set_link *links, size_t count)
{
    for (size_t i = 0; i < count; i++)
        atomic_init(&links[i], (uint32_t)i);
}

static inline uint32_t ims_sets_find(ims_set_link *links, uint32_t member)
{
    for (;;) {
        uint32_t above = atomic_load_explicit(&links[member], memory_order_relaxed);
        uint32_t next;

        if (above == member)
            return member;
        next = atomic_load_explicit(&links[above], memory_order_relaxed);
        if (next != above)
            atomic_compare_exchange_weak_explicit(
                &links[member], &above, next, memory_order_relaxed, memory_order_relaxed);
        member = next;
    }
}

/* False if they were in one set already. */
static inline bool ims_sets_join(ims_set_link *links, uint32_t a, uint32_t b)
{
    for (;;) {
        uint32_t expected;

        a = ims_sets_find(links, a);
        b = ims_sets_find(links, b);
        if (a == b)
            return false;
        if (a > b) {
            const uint32_t swap = a;

            a = b;
            b = swap;
        }
        expected = b;
        if (atomic_compare_exchange_strong_explicit(
                &links[b], &expected, a, memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}

#endif
