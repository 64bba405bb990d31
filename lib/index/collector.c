/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows may be among the k nearest, as bounds of their keys come in. */
#include "index/collector.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

void ims_collector_init(struct ims_collector *collector, size_t k)
{
    memset(collector, 0, sizeof(*collector));
    collector->k = k;
    collector->bound = INFINITY;
    collector->compact_at = 2 * k + 256;
}

void ims_collector_clear(struct ims_collector *collector)
{
    ims_free(collector->uppers);
    ims_free(collector->candidates);
}

bool ims_collector_push(struct ims_collector *collector, double upper)
{
    double *heap;
    size_t at;

    if (collector->upper_count < collector->k) {
        if (!ims_grow(
                (void **)&collector->uppers, &collector->upper_capacity, collector->upper_count + 1,
                sizeof(*collector->uppers)))
            return false;
        heap = collector->uppers;
        for (at = collector->upper_count++; at > 0 && heap[(at - 1) / 2] < upper; at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
        heap[at] = upper;
    } else if (upper < collector->uppers[0]) {
        heap = collector->uppers;
        for (at = 0; 2 * at + 1 < collector->k;) {
            size_t child = 2 * at + 1;

            if (child + 1 < collector->k && heap[child + 1] > heap[child])
                child++;
            if (heap[child] <= upper)
                break;
            heap[at] = heap[child];
            at = child;
        }
        heap[at] = upper;
    }
    if (collector->upper_count == collector->k && collector->uppers[0] < collector->bound)
        collector->bound = collector->uppers[0];
    return true;
}

/* Drop the candidates that the bound has passed since. */
static void compact(struct ims_collector *collector)
{
    size_t kept = 0;

    for (size_t i = 0; i < collector->count; i++)
        if (collector->candidates[i].lower <= collector->bound)
            collector->candidates[kept++] = collector->candidates[i];
    collector->count = kept;
    collector->compact_at = 2 * kept + 256;
}

imgsim_status ims_collector_add(
    struct ims_collector *collector,
    const uint32_t *slots,
    size_t count,
    const double *lower,
    const double *upper)
{
    for (size_t i = 0; i < count; i++) {
        if (!(lower[i] <= collector->bound)) /* farther, or not a number */
            continue;
        if (!ims_collector_push(collector, upper[i]) ||
            !ims_grow(
                (void **)&collector->candidates, &collector->capacity, collector->count + 1,
                sizeof(*collector->candidates)))
            return ims_fail_memory(collector->count * sizeof(*collector->candidates));
        collector->candidates[collector->count++] = (struct ims_candidate){lower[i], slots[i]};
        if (collector->count >= collector->compact_at)
            compact(collector);
    }
    return IMGSIM_OK;
}
