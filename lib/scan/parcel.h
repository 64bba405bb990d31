/* SPDX-License-Identifier: Apache-2.0 */
/* Results on their way from decoding threads to the store: what of a block is used, packed, and memory that goes round. */
#ifndef IMS_SCAN_PARCEL_H
#define IMS_SCAN_PARCEL_H

#include "scan/scan.h"

/* A result. Zero it before use. */
struct ims_parcel {
    size_t item;
    struct ims_prepared_file prepared;
    struct ims_parcel *next; /* in a list */
};

void ims_parcel_free(struct ims_parcel *parcel);
/* Release a list. */
void ims_parcels_free(struct ims_parcel *first);
/* As new, but for its memory. */
void ims_parcel_reset(struct ims_parcel *parcel);

/*
 * Pack the rows of prepared->block: histograms without the bins that are 0, thumbnails without the room behind them. The block is
 * the decoding thread's, tens of thousands of bytes that stay in its cache; what the storing thread fetches is a tenth of that.
 */
imgsim_status
ims_rows_pack(const struct ims_prepare_settings *settings, struct ims_prepared_file *prepared);

/* A packed row. */
struct ims_packed_row {
    /* UINT32: bins that are not 0 and their counts. */
    uint32_t length;
    const uint16_t *bins;
    const uint32_t *counts;
    /* Others: as in a block, bytes only as many as there are. */
    const void *row;
};

/* Row of extractor `position`, which is in prepared->rows; *cursor is 0 for the first of them and goes from one to the next. */
void ims_rows_next(
    const struct ims_prepare_settings *settings,
    const struct ims_prepared_file *prepared,
    size_t position,
    size_t *cursor,
    struct ims_packed_row *out);

#endif
