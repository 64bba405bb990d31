/* SPDX-License-Identifier: Apache-2.0 */
/* Counts of borrowed sparse rows packed to 16 bits, in place of pages of a mapped file that are twice as many. */
#include "index/rows.h"

#include "core/mapping.h"
#include "core/memory.h"

#include <string.h>

/* Entries packed by one thread at a time. */
#define CHUNK ((size_t)1 << 20)

struct packing {
    const uint32_t *counts;
    struct ims_packed_counts *packed;
    size_t entry_count;
    bool shared;
    size_t *large; /* per chunk: how many there are, then where they start */
};

void ims_packed_counts_free(struct ims_packed_counts *packed)
{
    if (packed == NULL)
        return;
    ims_free_aligned(packed->counts);
    ims_free(packed->large);
    ims_free(packed);
}

static size_t chunk_end(const struct packing *work, size_t chunk)
{
    return (chunk + 1) * CHUNK < work->entry_count ? (chunk + 1) * CHUNK : work->entry_count;
}

static imgsim_status pack_chunk(void *context, size_t chunk, uint32_t worker)
{
    struct packing *work = context;
    const size_t first = chunk * CHUNK, end = chunk_end(work, chunk);
    size_t large = 0;

    (void)worker;
    for (size_t e = first; e < end; e++) {
        const uint32_t count = work->counts[e];

        work->packed->counts[e] = (uint16_t)(count < IMS_COUNT_LARGE ? count : IMS_COUNT_LARGE);
        large += count >= IMS_COUNT_LARGE;
    }
    work->large[chunk] = large;
    if (work->shared) /* the few pages with large ones are read again */
        ims_mapping_release(work->counts + first, (end - first) * sizeof(*work->counts));
    return IMGSIM_OK;
}

static void list_large(struct packing *work, size_t chunk)
{
    struct ims_packed_counts *packed = work->packed;
    const size_t first = chunk * CHUNK, end = chunk_end(work, chunk);

    for (size_t e = first; e < end; e++)
        if (packed->counts[e] == IMS_COUNT_LARGE)
            packed->large[packed->large_count++] = (struct ims_large_count){e, work->counts[e]};
    if (work->shared)
        ims_mapping_release(work->counts + first, (end - first) * sizeof(*work->counts));
}

/* Entries that rows lie in. */
static size_t entries_of(const struct ims_rows *rows)
{
    size_t end = 0;

    for (size_t slot = 0; slot < rows->slot_count; slot++)
        if (rows->lengths[slot] > 0 && rows->offsets[slot] + rows->lengths[slot] > end)
            end = rows->offsets[slot] + rows->lengths[slot];
    return end;
}

imgsim_status ims_rows_pack_counts(struct ims_rows *rows, struct ims_pool *pool)
{
    struct packing work = {.counts = rows->counts};
    imgsim_status status;
    size_t chunks, large = 0;

    if (rows->form != IMS_ROWS_SPARSE || rows->counts == NULL || rows->owned ||
        atomic_load(&rows->again) != NULL)
        return IMGSIM_OK;
    work.entry_count = entries_of(rows);
    chunks = (work.entry_count + CHUNK - 1) / CHUNK;
    work.packed = ims_calloc(1, sizeof(*work.packed));
    work.large = ims_calloc(chunks, sizeof(*work.large));
    if (work.packed != NULL)
        work.packed->counts = ims_alloc_aligned(work.entry_count * sizeof(uint16_t));
    if (work.packed == NULL || work.large == NULL || work.packed->counts == NULL) {
        status = ims_fail_memory(work.entry_count * sizeof(uint16_t));
        goto done;
    }
    work.shared = ims_mapping_is_shared(work.counts, work.entry_count * sizeof(*work.counts));
    if (work.shared) /* what searches left behind need not stay beside the copy */
        ims_mapping_release(work.counts, work.entry_count * sizeof(*work.counts));
    if ((status = ims_pool_run(pool, chunks, pack_chunk, &work)) != IMGSIM_OK)
        goto done;
    for (size_t chunk = 0; chunk < chunks; chunk++)
        large += work.large[chunk];
    if ((work.packed->large = ims_alloc_array(large, sizeof(*work.packed->large))) == NULL) {
        status = ims_fail_memory(large * sizeof(*work.packed->large));
        goto done;
    }
    for (size_t chunk = 0; chunk < chunks; chunk++)
        if (work.large[chunk] > 0)
            list_large(&work, chunk);
    atomic_store(&rows->again, work.packed);
    work.packed = NULL;

done:
    ims_packed_counts_free(work.packed);
    ims_free(work.large);
    return status;
}
