/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of an index: floats, bits or sparse histograms in slots, with their ids; owned, borrowed or mapped. */
#ifndef IMS_INDEX_ROWS_H
#define IMS_INDEX_ROWS_H

#include "core/status.h"
#include "core/threads.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Slots are numbered with 32 bits. */
#define IMS_SLOTS_MAX 0xfffffff0u
#define IMS_NO_SLOT 0xffffffffu

enum ims_rows_form { IMS_ROWS_FLOAT, IMS_ROWS_BITS, IMS_ROWS_SPARSE };

#define IMS_COUNT_LARGE 0xffffu

/* A count that does not fit in 16 bits, and the entry it belongs to. */
struct ims_large_count {
    uint64_t entry;
    uint64_t count;
};

/* Counts of borrowed rows, packed. */
struct ims_packed_counts {
    uint16_t *counts;
    struct ims_large_count *large;
    size_t large_count;
};

/* Of one row in double precision, by lib/simd/reference.h: the sum of its values and of their squares. */
struct ims_row_sums {
    double sum;
    double squared;
};

/*
 * A slot holds a row or is free. Where `owned` is false the arrays belong to somebody else (the caller, a mapping), and
 * ims_rows_own() has to be called before a change. An id of -1 marks a slot without a row.
 */
struct ims_rows {
    int form;
    uint32_t dimension;
    size_t row_size; /* bytes of a dense row */
    bool owned;
    bool normalize; /* sparse: a row counts as divided by its sum */

    size_t slot_count;
    size_t slot_capacity;
    size_t live_count;
    int64_t largest_id; /* -1 if there was none */
    bool identity;      /* every row's id is its slot */

    uint8_t *data; /* dense rows, one after another */
    uint64_t *offsets;
    uint32_t *lengths;
    uint16_t *bins;
    /*
     * Counts of the entries: as the caller has them where they are borrowed, else packed to 16 bits. A packed count of
     * IMS_COUNT_LARGE stands for one in the list of large counts, which is sorted by entry.
     */
    const uint32_t *counts;
    _Atomic(struct ims_packed_counts *) again; /* borrowed ones once more, from then on used */
    uint16_t *packed;
    struct ims_large_count *large;
    size_t entry_count;
    size_t bin_capacity;
    size_t packed_capacity;
    size_t large_count;
    size_t large_capacity;
    size_t dead_entries;

    int64_t *ids;           /* NULL: id = slot, if its bit in `present` is set */
    const uint8_t *present; /* of borrowed rows */
    uint64_t present_bits;
    struct ims_row_sums *sums; /* NULL until known, borrowed rows only */

    uint32_t *free_slots; /* last in, first out */
    size_t free_count;
    size_t free_capacity;
    uint32_t *table; /* open addressing, id -> slot; NULL while `identity` */
    size_t table_size;
    size_t table_used;
};

/* Empty rows that own their memory. */
void ims_rows_init(struct ims_rows *rows, int form, uint32_t dimension);
void ims_rows_clear(struct ims_rows *rows);

/* Copy everything borrowed or mapped; nothing if owned already. */
imgsim_status ims_rows_own(struct ims_rows *rows);

/*
 * Ids for `count` new rows: the given ones, checked, or the next ones. `out_ids` has room for them. INVALID_ARGUMENT names the
 * row of an id that is negative or there twice.
 */
imgsim_status
ims_rows_check_ids(const struct ims_rows *rows, const int64_t *ids, size_t count, int64_t *out_ids);

/* Make room so that adding `count` rows (of `entries` sparse entries, `large` of them large, in all) cannot fail. */
imgsim_status ims_rows_reserve(struct ims_rows *rows, size_t count, size_t entries, size_t large);
/* Put a row into a free or new slot; room was reserved. */
uint32_t ims_rows_put(struct ims_rows *rows, const void *row, int64_t id);
uint32_t ims_rows_put_sparse(
    struct ims_rows *rows,
    const uint16_t *bins,
    const uint32_t *counts,
    uint32_t length,
    int64_t id);
/* Take the row's id away; the slot stays unused until ims_rows_release(). */
void ims_rows_forget(struct ims_rows *rows, uint32_t slot);
/* Let a forgotten slot be reused; room for it was made by reserving or owning. */
void ims_rows_release(struct ims_rows *rows, uint32_t slot);

/*
 * Pack borrowed counts on the threads of `pool`, while others may read them: 2 bytes an entry, for which the mapped pages of 4 are
 * let go, chunk by chunk. Nothing where they are not borrowed, or packed already.
 */
imgsim_status ims_rows_pack_counts(struct ims_rows *rows, struct ims_pool *pool);
void ims_packed_counts_free(struct ims_packed_counts *packed);

/* Slot of an id, IMS_NO_SLOT if it is not there. */
uint32_t ims_rows_find(const struct ims_rows *rows, int64_t id);
/* Find out largest id, live rows and table from `ids` (after opening a file). */
imgsim_status ims_rows_index_ids(struct ims_rows *rows);

/* Id of a slot's row, -1 if it has none. */
int64_t ims_rows_id(const struct ims_rows *rows, uint32_t slot);

/*
 * Counts of `length` entries from `entry` on: in place where they are borrowed, else unpacked into `room`, which has space
 * for them.
 */
const uint32_t *
ims_rows_counts(const struct ims_rows *rows, size_t entry, size_t length, uint32_t *room);

/* Packed counts of all entries, NULL if they are not packed. */
const uint16_t *ims_rows_packed(const struct ims_rows *rows);

/* Sums of a row from its values. */
struct ims_row_sums ims_rows_sum(const struct ims_rows *rows, uint32_t slot);
/* What a sparse row's counts are multiplied with: 1, or 1 / their sum; 0 for an empty row that is to be normalised. */
double ims_rows_scale(const struct ims_rows *rows, uint32_t slot);
/* Entries handed out at a time. */
#define IMS_ENTRIES 256
/* What the counts of a sparse row are divided by: their sum, or 0 where they are taken as they are or there are none. */
uint64_t ims_rows_divisor(const struct ims_rows *rows, uint32_t slot);
/*
 * Up to IMS_ENTRIES entries of a sparse row from its entry `start` on, each value the float nearest to what it is; returns
 * their number. `divisor` is ims_rows_divisor().
 */
size_t ims_rows_entries(
    const struct ims_rows *rows,
    uint32_t slot,
    uint64_t divisor,
    size_t start,
    const uint16_t **out_bins,
    float values[IMS_ENTRIES]);
/* A sparse row as `dimension` floats, each the float nearest to its value. */
void ims_rows_densify(const struct ims_rows *rows, uint32_t slot, float *out);

static inline const void *ims_rows_at(const struct ims_rows *rows, uint32_t slot)
{
    return rows->data + slot * rows->row_size;
}

#endif
