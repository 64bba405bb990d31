/* SPDX-License-Identifier: Apache-2.0 */
/* Packing rows, and parcels that are used again. */
#include "scan/parcel.h"

#include "core/memory.h"
#include "extract/extractor.h"

#include <string.h>

void ims_parcel_free(struct ims_parcel *parcel)
{
    if (parcel != NULL)
        ims_prepared_file_clear(&parcel->prepared);
    ims_free(parcel);
}

void ims_parcels_free(struct ims_parcel *first)
{
    while (first != NULL) {
        struct ims_parcel *next = first->next;

        ims_parcel_free(first);
        first = next;
    }
}

void ims_parcel_reset(struct ims_parcel *parcel)
{
    const struct ims_prepared_file *prepared = &parcel->prepared;

    *parcel =
        (struct ims_parcel){.prepared = {.block = prepared->block, .packed = prepared->packed}};
}

/* ---- packing ---- */

/*
 * Rows stand one after another, each from a multiple of 8 bytes on. A histogram is its length, the counts and the bins; while it is
 * packed there is room for all of them.
 */
static size_t after(size_t at, size_t size)
{
    return (at + size + 7) & ~(size_t)7;
}

static size_t room_for(const imgsim_extractor *extractor)
{
    return extractor->row_size + (extractor->row_type == IMGSIM_ROW_UINT32
                                      ? sizeof(uint64_t) + extractor->dimension * sizeof(uint16_t)
                                      : 0);
}

static size_t pack_row(const imgsim_extractor *extractor, const uint8_t *row, uint8_t *out)
{
    uint32_t *counts = (uint32_t *)(void *)(out + sizeof(uint64_t));
    uint32_t length;

    if (extractor->row_type == IMGSIM_ROW_UINT32) {
        uint16_t *bins = (uint16_t *)(void *)(counts + extractor->dimension);

        length = ims_sparse_encode(
            (const uint32_t *)(const void *)row, extractor->dimension, bins, counts);
        memcpy(out, &length, sizeof(length));
        memmove(counts + length, bins, length * sizeof(*bins));
        return sizeof(uint64_t) + length * (sizeof(*counts) + sizeof(*bins));
    }
    if (extractor->row_type == IMGSIM_ROW_BYTES) {
        memcpy(&length, row, sizeof(length));
        memcpy(out, row, sizeof(length) + length);
        return sizeof(length) + length;
    }
    memcpy(out, row, extractor->row_size);
    return extractor->row_size;
}

imgsim_status
ims_rows_pack(const struct ims_prepare_settings *settings, struct ims_prepared_file *prepared)
{
    size_t at = 0;

    if (prepared->packed == NULL) {
        for (size_t i = 0; i < settings->extractor_count; i++)
            at = after(at, room_for(settings->extractors[i]));
        if ((prepared->packed = ims_alloc_aligned(at)) == NULL)
            return ims_fail_memory(at);
        at = 0;
    }
    for (size_t i = 0; i < settings->extractor_count; i++)
        if ((prepared->rows >> i & 1) != 0)
            at = after(
                at, pack_row(
                        settings->extractors[i], prepared->block + settings->row_at[i],
                        prepared->packed + at));
    prepared->is_packed = true;
    return IMGSIM_OK;
}

void ims_rows_next(
    const struct ims_prepare_settings *settings,
    const struct ims_prepared_file *prepared,
    size_t position,
    size_t *cursor,
    struct ims_packed_row *out)
{
    const imgsim_extractor *extractor = settings->extractors[position];
    const uint8_t *at = prepared->packed + *cursor;
    size_t size = extractor->row_size;
    uint32_t length;

    *out = (struct ims_packed_row){.row = at};
    memcpy(&length, at, sizeof(length));
    if (extractor->row_type == IMGSIM_ROW_UINT32) {
        out->length = length;
        out->counts = (const uint32_t *)(const void *)(at + sizeof(uint64_t));
        out->bins = (const uint16_t *)(const void *)(out->counts + length);
        size = sizeof(uint64_t) + length * (sizeof(*out->counts) + sizeof(*out->bins));
    } else if (extractor->row_type == IMGSIM_ROW_BYTES) {
        size = sizeof(length) + length;
    }
    *cursor = after(*cursor, size);
}
