/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of an index and their ids. */
#include "index/rows.h"

#include "core/bitset.h"
#include "core/memory.h"
#include "core/rng.h"
#include "simd/metric.h"
#include "simd/reference.h"

#include <imgsim/metric.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* The table is at most half full. */
#define TABLE_MIN 64

void ims_rows_init(struct ims_rows *rows, int form, uint32_t dimension)
{
    memset(rows, 0, sizeof(*rows));
    rows->form = form;
    rows->dimension = dimension;
    rows->row_size =
        ims_row_size(form == IMS_ROWS_BITS ? IMGSIM_ROW_BITS : IMGSIM_ROW_FLOAT32, dimension);
    rows->owned = true;
    rows->identity = true;
    rows->largest_id = -1;
}

void ims_rows_clear(struct ims_rows *rows)
{
    if (rows->owned) {
        ims_free_aligned(rows->data);
        ims_free(rows->offsets);
        ims_free(rows->lengths);
        ims_free(rows->bins);
        ims_free(rows->packed);
        ims_free(rows->large);
        ims_free(rows->ids);
        ims_free(rows->sums);
    } else if (rows->present != NULL) {
        ims_free(rows->sums); /* of borrowed rows, worked out by us */
    }
    ims_packed_counts_free(atomic_load(&rows->again));
    ims_free(rows->free_slots);
    ims_free(rows->table);
    memset(rows, 0, sizeof(*rows));
}

/* ---- ids ---- */

int64_t ims_rows_id(const struct ims_rows *rows, uint32_t slot)
{
    if (rows->ids != NULL)
        return rows->ids[slot];
    return ims_bits_test(rows->present, rows->present_bits, slot) ? (int64_t)slot : -1;
}

/* Place of an id in the table, or the empty place where it would go. */
static size_t table_place(const struct ims_rows *rows, int64_t id)
{
    size_t place = (size_t)ims_mix64((uint64_t)id) & (rows->table_size - 1);

    while (rows->table[place] != IMS_NO_SLOT && rows->ids[rows->table[place]] != id)
        place = (place + 1) & (rows->table_size - 1);
    return place;
}

uint32_t ims_rows_find(const struct ims_rows *rows, int64_t id)
{
    if (id < 0)
        return IMS_NO_SLOT;
    if (rows->ids == NULL || rows->identity)
        return (uint64_t)id < rows->slot_count && ims_rows_id(rows, (uint32_t)id) == id
                   ? (uint32_t)id
                   : IMS_NO_SLOT;
    return rows->table[table_place(rows, id)];
}

/* A table with room for `count` ids, holding those that are there. */
static imgsim_status build_table(struct ims_rows *rows, size_t count)
{
    size_t size = TABLE_MIN;
    uint32_t *table;

    while (size < 2 * count)
        size *= 2;
    if (rows->table != NULL && size <= rows->table_size)
        return IMGSIM_OK;
    if ((table = ims_alloc_array(size, sizeof(*table))) == NULL)
        return ims_fail_memory(size * sizeof(*table));
    memset(table, 0xff, size * sizeof(*table)); /* IMS_NO_SLOT */
    ims_free(rows->table);
    rows->table = table;
    rows->table_size = size;
    for (size_t slot = 0; slot < rows->slot_count; slot++)
        if (rows->ids[slot] >= 0)
            table[table_place(rows, rows->ids[slot])] = (uint32_t)slot;
    return IMGSIM_OK;
}

/* Remove an id, moving up what was pushed on by it. */
static void table_remove(struct ims_rows *rows, int64_t id)
{
    const size_t mask = rows->table_size - 1;
    size_t hole = table_place(rows, id);
    size_t place = hole;

    assert(rows->table[hole] != IMS_NO_SLOT);
    for (;;) {
        size_t home;

        place = (place + 1) & mask;
        if (rows->table[place] == IMS_NO_SLOT)
            break;
        home = (size_t)ims_mix64((uint64_t)rows->ids[rows->table[place]]) & mask;
        if (((place - home) & mask) >= ((place - hole) & mask)) {
            rows->table[hole] = rows->table[place];
            hole = place;
        }
    }
    rows->table[hole] = IMS_NO_SLOT;
}

imgsim_status ims_rows_index_ids(struct ims_rows *rows)
{
    rows->live_count = 0;
    rows->largest_id = -1;
    rows->identity = true;
    for (size_t slot = 0; slot < rows->slot_count; slot++) {
        const int64_t id = rows->ids[slot];

        if (id < 0)
            continue;
        rows->live_count++;
        rows->identity = rows->identity && (uint64_t)id == slot;
        if (id > rows->largest_id)
            rows->largest_id = id;
    }
    return rows->identity ? IMGSIM_OK : build_table(rows, rows->slot_count);
}

/* An id of the call and the row it came with, to find ids given twice. */
struct given_id {
    int64_t id;
    size_t row;
};

static int compare_given(const void *left, const void *right)
{
    const struct given_id *a = left, *b = right;

    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

static imgsim_status check_given_twice(const int64_t *ids, size_t count)
{
    imgsim_status status = IMGSIM_OK;
    struct given_id *sorted;
    bool rising = true;

    for (size_t row = 1; row < count && rising; row++)
        rising = ids[row - 1] < ids[row];
    if (rising)
        return IMGSIM_OK;

    if ((sorted = ims_alloc_array(count, sizeof(*sorted))) == NULL)
        return ims_fail_memory(count * sizeof(*sorted));
    for (size_t row = 0; row < count; row++)
        sorted[row] = (struct given_id){ids[row], row};
    qsort(sorted, count, sizeof(*sorted), compare_given);
    for (size_t i = 1; i < count && status == IMGSIM_OK; i++)
        if (sorted[i - 1].id == sorted[i].id)
            status = ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "row %zu: id %lld is given twice", sorted[i].row,
                (long long)sorted[i].id);
    ims_free(sorted);
    return status;
}

imgsim_status
ims_rows_check_ids(const struct ims_rows *rows, const int64_t *ids, size_t count, int64_t *out_ids)
{
    if (ids == NULL) {
        if (rows->largest_id > INT64_MAX - 1 - (int64_t)count)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "no ids left after %lld",
                (long long)rows->largest_id);
        for (size_t row = 0; row < count; row++)
            out_ids[row] = rows->largest_id + 1 + (int64_t)row;
        return IMGSIM_OK;
    }
    for (size_t row = 0; row < count; row++) {
        if (ids[row] < 0)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "row %zu: id %lld is negative", row,
                (long long)ids[row]);
        if (ims_rows_find(rows, ids[row]) != IMS_NO_SLOT)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "row %zu: id %lld is in the index", row,
                (long long)ids[row]);
        out_ids[row] = ids[row];
    }
    return check_given_twice(ids, count);
}

/* ---- room ---- */

/* A block of `used` bytes moved into a new one of `capacity` bytes. */
static void *copy_block(const void *block, size_t used, size_t capacity)
{
    void *copy = ims_alloc(capacity > used ? capacity : used);

    if (copy != NULL && used > 0)
        memcpy(copy, block, used);
    return copy;
}

/* Put counts into packed form behind the `used` entries that are there; `large` has room. */
static void pack_counts(
    const uint32_t *counts,
    size_t length,
    size_t used,
    uint16_t *packed,
    struct ims_large_count *large,
    size_t *large_count)
{
    for (size_t e = 0; e < length; e++) {
        packed[used + e] = (uint16_t)(counts[e] < IMS_COUNT_LARGE ? counts[e] : IMS_COUNT_LARGE);
        if (counts[e] >= IMS_COUNT_LARGE)
            large[(*large_count)++] = (struct ims_large_count){used + e, counts[e]};
    }
}

/* Counts of rows that are not owned, as owned rows keep them. */
static bool copy_counts(const struct ims_rows *rows, struct ims_rows *copy)
{
    const size_t entries = rows->entry_count;
    size_t large = rows->large_count;

    if (rows->counts != NULL)
        for (size_t e = 0; e < entries; e++)
            large += rows->counts[e] >= IMS_COUNT_LARGE;
    copy->packed = ims_alloc_array(entries, sizeof(*copy->packed));
    copy->large = ims_alloc_array(large, sizeof(*copy->large));
    copy->large_capacity = large;
    copy->large_count = 0;
    if (copy->packed == NULL || copy->large == NULL)
        return false;
    if (rows->counts != NULL) {
        pack_counts(rows->counts, entries, 0, copy->packed, copy->large, &copy->large_count);
    } else if (entries > 0) {
        memcpy(copy->packed, rows->packed, entries * sizeof(*copy->packed));
        if (large > 0)
            memcpy(copy->large, rows->large, large * sizeof(*copy->large));
        copy->large_count = large;
    }
    return true;
}

imgsim_status ims_rows_own(struct ims_rows *rows)
{
    struct ims_rows copy = *rows;
    const size_t slots = rows->slot_count, entries = rows->entry_count;
    bool complete = true;

    if (rows->owned)
        return IMGSIM_OK;
    atomic_store(&copy.again, NULL);
    copy.owned = true;
    copy.slot_capacity = slots;
    copy.bin_capacity = copy.packed_capacity = entries;
    copy.counts = NULL;
    copy.data = NULL;
    copy.offsets = NULL;
    copy.lengths = NULL;
    copy.bins = NULL;
    copy.packed = NULL;
    copy.large = NULL;
    copy.free_slots = NULL;
    copy.table = NULL;
    complete = (copy.ids = copy_block(rows->ids, slots * sizeof(*copy.ids), 0)) != NULL;
    complete =
        (copy.sums = copy_block(rows->sums, slots * sizeof(*copy.sums), 0)) != NULL && complete;
    if (rows->form == IMS_ROWS_SPARSE) {
        copy.offsets = copy_block(rows->offsets, slots * sizeof(*copy.offsets), 0);
        copy.lengths = copy_block(rows->lengths, slots * sizeof(*copy.lengths), 0);
        copy.bins = copy_block(rows->bins, entries * sizeof(*copy.bins), 0);
        complete = copy_counts(rows, &copy) && complete && copy.offsets != NULL &&
                   copy.lengths != NULL && copy.bins != NULL;
    } else if ((copy.data = ims_alloc_aligned(slots * rows->row_size)) != NULL) {
        memcpy(copy.data, rows->data, slots * rows->row_size);
    } else {
        complete = false;
    }
    if (!complete) {
        ims_rows_clear(&copy);
        return ims_fail_memory(slots * rows->row_size);
    }
    copy.free_slots = rows->free_slots;
    copy.table = rows->table;
    ims_packed_counts_free(atomic_load(&rows->again));
    *rows = copy;
    return IMGSIM_OK;
}

/* Room for slots in every array that has one entry per slot. */
static bool grow_slots(struct ims_rows *rows, size_t needed)
{
    size_t capacity;

    if (needed <= rows->slot_capacity)
        return true;
    capacity = rows->slot_capacity + rows->slot_capacity / 2;
    capacity = capacity < needed ? needed : capacity;
    if (rows->form != IMS_ROWS_SPARSE) {
        size_t size;
        uint8_t *data;

        if (!ims_mul_size(capacity, rows->row_size, &size) ||
            (data = ims_alloc_aligned(size)) == NULL)
            return false;
        if (rows->slot_count > 0)
            memcpy(data, rows->data, rows->slot_count * rows->row_size);
        ims_free_aligned(rows->data);
        rows->data = data;
    } else {
        size_t offsets = rows->slot_capacity, lengths = rows->slot_capacity;

        if (!ims_grow((void **)&rows->offsets, &offsets, capacity, sizeof(*rows->offsets)) ||
            !ims_grow((void **)&rows->lengths, &lengths, capacity, sizeof(*rows->lengths)))
            return false;
    }
    {
        size_t ids = rows->slot_capacity, sums = rows->slot_capacity;

        if (!ims_grow((void **)&rows->ids, &ids, capacity, sizeof(*rows->ids)) ||
            !ims_grow((void **)&rows->sums, &sums, capacity, sizeof(*rows->sums)))
            return false;
    }
    rows->slot_capacity = capacity;
    return true;
}

static int compare_large(const void *left, const void *right)
{
    const struct ims_large_count *a = left, *b = right;

    return a->entry < b->entry ? -1 : a->entry > b->entry;
}

/* Packed counts of the rows, owned or borrowed ones that were packed. False: they are not. */
static bool packed_of(const struct ims_rows *rows, struct ims_packed_counts *out)
{
    const struct ims_packed_counts *again;

    if (rows->counts == NULL) {
        *out = (struct ims_packed_counts){rows->packed, rows->large, rows->large_count};
        return true;
    }
    if ((again = atomic_load_explicit(&rows->again, memory_order_acquire)) == NULL)
        return false;
    *out = *again;
    return true;
}

/* The first large count whose entry is not below `entry`. */
static size_t find_large(const struct ims_packed_counts *rows, uint64_t entry)
{
    size_t low = 0, high = rows->large_count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (rows->large[middle].entry < entry)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Move the sparse entries together once half of them belong to nobody. */
static void compact_entries(struct ims_rows *rows)
{
    const size_t live = rows->entry_count - rows->dead_entries;
    const struct ims_packed_counts old = {rows->packed, rows->large, rows->large_count};
    size_t used = 0, large_used = 0;
    uint16_t *bins, *packed;
    struct ims_large_count *large;

    if (rows->dead_entries < 4096 || rows->dead_entries < rows->entry_count / 2)
        return;
    /* Slots are not in the order of their entries: copy instead of moving within the arrays. */
    bins = ims_alloc_array(live, sizeof(*bins));
    packed = ims_alloc_array(live, sizeof(*packed));
    large = ims_alloc_array(rows->large_count, sizeof(*large));
    if (bins == NULL || packed == NULL || large == NULL) { /* it was only to save memory */
        ims_free(bins);
        ims_free(packed);
        ims_free(large);
        return;
    }
    for (size_t slot = 0; slot < rows->slot_count; slot++) {
        const size_t start = rows->offsets[slot], length = rows->lengths[slot];

        memcpy(bins + used, rows->bins + start, length * sizeof(*bins));
        memcpy(packed + used, rows->packed + start, length * sizeof(*packed));
        for (size_t at = find_large(&old, start);
             at < rows->large_count && rows->large[at].entry < start + length; at++)
            large[large_used++] = (struct ims_large_count){
                rows->large[at].entry - start + used, rows->large[at].count};
        rows->offsets[slot] = used;
        used += length;
    }
    ims_free(rows->bins);
    ims_free(rows->packed);
    ims_free(rows->large);
    rows->bins = bins;
    rows->packed = packed;
    rows->large = large;
    rows->bin_capacity = rows->packed_capacity = live;
    rows->large_capacity = rows->large_count;
    rows->large_count = large_used;
    rows->entry_count = used;
    rows->dead_entries = 0;
    qsort(large, large_used, sizeof(*large), compare_large);
}

/* Room for sparse entries. */
static bool grow_entries(struct ims_rows *rows, size_t entries, size_t large)
{
    return ims_grow(
               (void **)&rows->bins, &rows->bin_capacity, rows->entry_count + entries,
               sizeof(*rows->bins)) &&
           ims_grow(
               (void **)&rows->packed, &rows->packed_capacity, rows->entry_count + entries,
               sizeof(*rows->packed)) &&
           ims_grow(
               (void **)&rows->large, &rows->large_capacity, rows->large_count + large,
               sizeof(*rows->large));
}

imgsim_status ims_rows_reserve(struct ims_rows *rows, size_t count, size_t entries, size_t large)
{
    const size_t reused = count < rows->free_count ? count : rows->free_count;
    const size_t slots = rows->slot_count + (count - reused);

    assert(rows->owned);
    if (slots > IMS_SLOTS_MAX)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "more than %u rows", IMS_SLOTS_MAX);
    compact_entries(rows);
    /* Every slot may become free some day: room for that is made here, where failing is possible. */
    if (!grow_slots(rows, slots) ||
        !ims_grow(
            (void **)&rows->free_slots, &rows->free_capacity, slots, sizeof(*rows->free_slots)))
        return ims_fail_memory(slots * (rows->row_size + sizeof(struct ims_row_sums)));
    if (rows->form == IMS_ROWS_SPARSE && !grow_entries(rows, entries, large))
        return ims_fail_memory(entries * (sizeof(*rows->bins) + sizeof(*rows->packed)));
    return build_table(rows, slots);
}

/* ---- rows ---- */

static uint32_t take_slot(struct ims_rows *rows, int64_t id)
{
    const uint32_t slot =
        rows->free_count > 0 ? rows->free_slots[--rows->free_count] : (uint32_t)rows->slot_count++;

    rows->ids[slot] = id;
    rows->table[table_place(rows, id)] = slot;
    rows->identity = rows->identity && (uint64_t)id == slot;
    rows->live_count++;
    if (id > rows->largest_id)
        rows->largest_id = id;
    return slot;
}

uint32_t ims_rows_put(struct ims_rows *rows, const void *row, int64_t id)
{
    const uint32_t slot = take_slot(rows, id);

    memcpy(rows->data + slot * rows->row_size, row, rows->row_size);
    rows->sums[slot] = ims_rows_sum(rows, slot);
    return slot;
}

uint32_t ims_rows_put_sparse(
    struct ims_rows *rows,
    const uint16_t *bins,
    const uint32_t *counts,
    uint32_t length,
    int64_t id)
{
    const uint32_t slot = take_slot(rows, id);

    rows->offsets[slot] = rows->entry_count;
    rows->lengths[slot] = length;
    if (length > 0) {
        memcpy(rows->bins + rows->entry_count, bins, length * sizeof(*bins));
        pack_counts(
            counts, length, rows->entry_count, rows->packed, rows->large, &rows->large_count);
    }
    rows->entry_count += length;
    rows->sums[slot] = ims_rows_sum(rows, slot);
    return slot;
}

void ims_rows_forget(struct ims_rows *rows, uint32_t slot)
{
    if (rows->table != NULL)
        table_remove(rows, rows->ids[slot]);
    rows->ids[slot] = -1;
    rows->live_count--;
}

void ims_rows_release(struct ims_rows *rows, uint32_t slot)
{
    /* Cleared, so that a saved file depends on the rows that are there only. */
    if (rows->form == IMS_ROWS_SPARSE) {
        rows->dead_entries += rows->lengths[slot];
        rows->lengths[slot] = 0;
        rows->offsets[slot] = 0;
    } else {
        memset(rows->data + slot * rows->row_size, 0, rows->row_size);
    }
    rows->sums[slot] = (struct ims_row_sums){0, 0};
    rows->free_slots[rows->free_count++] = slot;
}

const uint16_t *ims_rows_packed(const struct ims_rows *rows)
{
    struct ims_packed_counts packed;

    return packed_of(rows, &packed) ? packed.counts : NULL;
}

const uint32_t *
ims_rows_counts(const struct ims_rows *rows, size_t entry, size_t length, uint32_t *room)
{
    struct ims_packed_counts packed;
    uint32_t large = 0;

    if (!packed_of(rows, &packed))
        return rows->counts + entry;
    for (size_t e = 0; e < length; e++) {
        room[e] = packed.counts[entry + e];
        large |= (uint32_t)(room[e] == IMS_COUNT_LARGE);
    }
    if (large != 0)
        for (size_t at = find_large(&packed, entry);
             at < packed.large_count && packed.large[at].entry < entry + length; at++)
            room[packed.large[at].entry - entry] = (uint32_t)packed.large[at].count;
    return room;
}

/* Sum of a row's counts. */
static uint64_t count_total(const struct ims_rows *rows, uint32_t slot)
{
    const size_t first = rows->offsets[slot], length = rows->lengths[slot];
    struct ims_packed_counts packed;
    uint64_t total = 0;
    uint32_t part = 0; /* of at most 65536 packed counts */

    if (!packed_of(rows, &packed)) {
        for (size_t e = 0; e < length; e++)
            total += rows->counts[first + e];
        return total;
    }
    for (size_t e = 0; e < length; e++)
        part += packed.counts[first + e];
    total = part;
    if (packed.large_count > 0)
        for (size_t at = find_large(&packed, first);
             at < packed.large_count && packed.large[at].entry < first + length; at++)
            total += packed.large[at].count - IMS_COUNT_LARGE;
    return total;
}

double ims_rows_scale(const struct ims_rows *rows, uint32_t slot)
{
    uint64_t total;

    if (!rows->normalize)
        return 1;
    total = count_total(rows, slot);
    return total > 0 ? 1 / (double)total : 0;
}

size_t ims_rows_entries(
    const struct ims_rows *rows,
    uint32_t slot,
    uint64_t total,
    size_t start,
    const uint16_t **out_bins,
    float values[IMS_ENTRIES])
{
    const size_t length = rows->lengths[slot];
    const size_t used = length - start < IMS_ENTRIES ? length - start : IMS_ENTRIES;
    const uint32_t *counts;
    uint32_t room[IMS_ENTRIES];

    counts = ims_rows_counts(rows, rows->offsets[slot] + start, used, room);
    for (size_t e = 0; e < used; e++)
        values[e] = total > 0 ? (float)((double)counts[e] / (double)total) : (float)counts[e];
    *out_bins = rows->bins + rows->offsets[slot] + start;
    return used;
}

uint64_t ims_rows_divisor(const struct ims_rows *rows, uint32_t slot)
{
    return rows->normalize ? count_total(rows, slot) : 0;
}

void ims_rows_densify(const struct ims_rows *rows, uint32_t slot, float *out)
{
    const uint64_t divisor = ims_rows_divisor(rows, slot);
    const uint16_t *bins;
    float values[IMS_ENTRIES];

    memset(out, 0, rows->dimension * sizeof(*out));
    for (size_t start = 0; start < rows->lengths[slot]; start += IMS_ENTRIES) {
        const size_t used = ims_rows_entries(rows, slot, divisor, start, &bins, values);

        for (size_t e = 0; e < used; e++)
            if (bins[e] < rows->dimension) /* a mapped matrix is not to be trusted */
                out[bins[e]] = values[e];
    }
}

struct ims_row_sums ims_rows_sum(const struct ims_rows *rows, uint32_t slot)
{
    struct ims_row_sums sums = {0, 0};

    if (rows->form == IMS_ROWS_FLOAT) {
        const float *row = ims_rows_at(rows, slot);

        sums.sum = ims_exact_sum(row, rows->dimension);
        sums.squared = ims_exact_dot(row, row, rows->dimension);
    } else if (rows->form == IMS_ROWS_SPARSE) {
        const uint64_t divisor = ims_rows_divisor(rows, slot);
        const uint16_t *bins;
        float values[IMS_ENTRIES];

        for (size_t start = 0; start < rows->lengths[slot]; start += IMS_ENTRIES) {
            const size_t used = ims_rows_entries(rows, slot, divisor, start, &bins, values);

            for (size_t e = 0; e < used; e++) {
                sums.sum += (double)values[e];
                sums.squared += (double)values[e] * (double)values[e];
            }
        }
    }
    return sums;
}
