/* SPDX-License-Identifier: Apache-2.0 */
/* Results become records and rows of the catalog, in the order of the paths, so that ids do not depend on threads. */
#include "scan/parcel.h"

#include "core/hash.h"
#include "extract/extractor.h"

#include <string.h>

/* Rows of slow networks are not at risk for longer than this. */
#define SECONDS_PER_TRANSACTION 10.0
/* What one result comes to. */
struct outcome {
    struct ims_verdict verdict;
    struct ims_file_record record;
    uint64_t *count; /* of the report */
};

static const struct ims_known *known_of(const struct ims_store *store, const struct ims_item *item)
{
    return item->known == IMS_NONE ? NULL : &store->plan->known[item->known];
}

/* Extractors whose features are not among `features`. */
static uint64_t lacking(const struct ims_store *store, uint64_t features)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < store->settings->extractor_count; i++)
        if ((features >> store->numbers[i] & 1) == 0)
            mask |= UINT64_C(1) << i;
    return mask;
}

static bool same_content(const struct ims_known *known, const struct ims_prepared_file *prepared)
{
    return known->id >= 0 && known->has_hash && prepared->has_hash &&
           memcmp(known->hash, prepared->hash, sizeof(known->hash)) == 0;
}

/* First vanished image of this content, or with `untaken` the first that no other file took over; SIZE_MAX if none. */
static size_t
find_moved(const struct ims_plan *plan, const struct ims_prepared_file *prepared, bool untaken)
{
    for (size_t i = ims_plan_find_gone(plan, prepared->hash); i < plan->gone_count; i++) {
        const struct ims_known *gone = &plan->gone[i];

        if (memcmp(gone->hash, prepared->hash, sizeof(gone->hash)) != 0)
            break;
        if (gone->bytes == prepared->bytes && (!untaken || !plan->missing[gone->missing].moved))
            return i;
    }
    return SIZE_MAX;
}

static void judge(
    const struct ims_store *store,
    const struct ims_item *item,
    const struct ims_prepared_file *prepared,
    bool untaken,
    struct ims_verdict *out)
{
    const struct ims_known *known = known_of(store, item);

    *out = (struct ims_verdict){.needed = lacking(store, 0), .moved = SIZE_MAX};
    if (known != NULL && same_content(known, prepared)) {
        out->same = true;
        out->needed = lacking(store, known->features);
    } else if (known == NULL) {
        out->moved = find_moved(store->plan, prepared, untaken);
        if (out->moved != SIZE_MAX)
            out->needed = lacking(store, store->plan->gone[out->moved].features);
    }
}

void ims_store_judge(
    const struct ims_store *store,
    const struct ims_item *item,
    const struct ims_prepared_file *prepared,
    struct ims_verdict *out)
{
    judge(store, item, prepared, false, out);
}

/* ---- records ---- */

static void fill_record(
    struct ims_file_record *record,
    const struct ims_item *item,
    const struct ims_prepared_file *prepared)
{
    *record = (struct ims_file_record){
        .path = item->stored,
        .format = prepared->format,
        .reason = prepared->reason,
        .id = -1,
        .has_hash = prepared->has_hash,
        .state = prepared->state,
        .width = prepared->width,
        .height = prepared->height,
        .bytes = prepared->bytes,
        .mtime_ns = prepared->mtime_ns};
    memcpy(record->content_hash, prepared->hash, sizeof(record->content_hash));
}

/* Let the record go on being the image that `known` was. */
static void inherit(struct ims_file_record *record, const struct ims_known *known)
{
    record->id = known->id;
    record->features = known->features;
    record->has_hash = known->has_hash;
    memcpy(record->uuid, known->uuid, sizeof(record->uuid));
    memcpy(record->content_hash, known->hash, sizeof(record->content_hash));
    if (record->width == 0) {
        record->format = known->format;
        record->width = known->width;
        record->height = known->height;
    }
}

/* A file that is not OK. Its image stays what it was if the content is the same or could not be looked at. */
static void judge_failure(
    const struct ims_store *store,
    const struct ims_item *item,
    const struct ims_prepared_file *prepared,
    struct outcome *outcome)
{
    const struct ims_known *known = known_of(store, item);

    outcome->count =
        prepared->state == IMGSIM_FILE_SKIPPED ? &store->report->skipped : &store->report->failed;
    outcome->verdict = (struct ims_verdict){.moved = SIZE_MAX};
    if (known == NULL)
        return;
    if (same_content(known, prepared) ||
        (!prepared->has_hash && ims_reason_passes(prepared->reason)))
        inherit(&outcome->record, known);
    else
        memcpy(outcome->record.uuid, known->uuid, sizeof(known->uuid));
    /* Size and content belong together: a file that was left out may be found again elsewhere. */
    if (ims_entry_was_told(item->kind) || ims_entry_by_default(item->kind)) {
        outcome->record.bytes = known->bytes;
        outcome->record.mtime_ns = known->mtime_ns;
    }
}

static imgsim_status take_uuid(struct ims_store *store, uint8_t out[16])
{
    const uint32_t count = sizeof(store->random) / sizeof(store->random[0]);
    imgsim_status status;

    if (store->random_left == 0) {
        if ((status = ims_uuids_new(store->random, count)) != IMGSIM_OK)
            return status;
        store->random_left = count;
    }
    memcpy(out, store->random[--store->random_left], 16);
    return IMGSIM_OK;
}

static bool has_uuid(const uint8_t uuid[16])
{
    for (int i = 0; i < 16; i++)
        if (uuid[i] != 0)
            return true;
    return false;
}

/* A file that is OK: which image it is. */
static imgsim_status
judge_image(struct ims_store *store, const struct ims_item *item, struct outcome *outcome)
{
    const struct ims_known *known = known_of(store, item);
    const struct ims_verdict *verdict = &outcome->verdict;
    imgsim_scan_report *report = store->report;
    imgsim_status status;

    if (verdict->same) {
        inherit(&outcome->record, known);
        outcome->count = verdict->needed != 0 ? &report->refreshed : &report->unchanged;
        return IMGSIM_OK;
    }
    if (verdict->moved != SIZE_MAX) {
        inherit(&outcome->record, &store->plan->gone[verdict->moved]);
        outcome->count = &report->moved;
        return IMGSIM_OK;
    }
    /* Content that was not there before: a new id; the UUID belongs to the path. */
    if (known != NULL && has_uuid(known->uuid))
        memcpy(outcome->record.uuid, known->uuid, sizeof(known->uuid));
    else if ((status = take_uuid(store, outcome->record.uuid)) != IMGSIM_OK)
        return status;
    outcome->count = known != NULL && known->id >= 0 ? &report->refreshed : &report->added;
    return ims_catalog_writer_new_id(store->writer, &outcome->record.id);
}

/* ---- writing ---- */

static imgsim_status commit(struct ims_store *store)
{
    imgsim_status status = ims_catalog_writer_commit(store->writer);

    if (status == IMGSIM_OK)
        store->committed = *store->report;
    store->uncommitted = 0;
    store->last_commit = ims_now();
    return status;
}

static bool transaction_is_full(const struct ims_store *store)
{
    return store->uncommitted >= store->transaction_size ||
           ims_now() - store->last_commit >= SECONDS_PER_TRANSACTION;
}

static imgsim_status count_write(struct ims_store *store)
{
    store->uncommitted++;
    return transaction_is_full(store) ? commit(store) : IMGSIM_OK;
}

static imgsim_status put_packed_row(
    struct ims_store *store,
    size_t position,
    int64_t id,
    const struct ims_packed_row *row)
{
    const uint32_t number = store->numbers[position];

    if (store->settings->extractors[position]->row_type == IMGSIM_ROW_UINT32)
        return ims_catalog_writer_put_sparse_row(
            store->writer, number, id, row->length, row->bins, row->counts);
    return ims_catalog_writer_put_row(store->writer, number, id, row->row);
}

static imgsim_status
put_rows(struct ims_store *store, const struct ims_prepared_file *prepared, struct outcome *outcome)
{
    const struct ims_prepare_settings *settings = store->settings;
    struct ims_packed_row row;
    imgsim_status status;
    size_t cursor = 0;

    for (size_t i = 0; i < settings->extractor_count; i++) {
        if (prepared->is_packed && (prepared->rows >> i & 1) != 0)
            ims_rows_next(settings, prepared, i, &cursor, &row);
        if ((outcome->verdict.needed >> i & 1) == 0)
            continue;
        if (prepared->is_packed)
            status = put_packed_row(store, i, outcome->record.id, &row);
        else
            status = ims_catalog_writer_put_row(
                store->writer, store->numbers[i], outcome->record.id,
                prepared->block + settings->row_at[i]);
        if (status != IMGSIM_OK)
            return status;
        outcome->record.features |= UINT64_C(1) << store->numbers[i];
    }
    return IMGSIM_OK;
}

static imgsim_status write_outcome(
    struct ims_store *store,
    const struct ims_item *item,
    const struct ims_prepared_file *prepared,
    struct outcome *outcome)
{
    const struct ims_plan *plan = store->plan;
    imgsim_status status;

    if (outcome->record.state == IMGSIM_FILE_OK &&
        (status = put_rows(store, prepared, outcome)) != IMGSIM_OK)
        return status;
    if (outcome->verdict.moved != SIZE_MAX) {
        struct ims_vanished *vanished = &plan->missing[plan->gone[outcome->verdict.moved].missing];

        vanished->moved = true;
        status = ims_catalog_writer_move_file(
            store->writer, plan->text + vanished->path, &outcome->record);
        if (status != IMGSIM_OK)
            return status;
    } else if (known_of(store, item) == NULL) {
        return ims_catalog_writer_add_file(store->writer, &outcome->record);
    }
    return ims_catalog_writer_put_file(store->writer, &outcome->record);
}

/* Whether the record says all this already: a file that was read again by request and is as before. */
static bool nothing_new(
    const struct ims_store *store,
    const struct ims_item *item,
    const struct outcome *outcome)
{
    const struct ims_known *known = known_of(store, item);

    return outcome->verdict.same && outcome->verdict.needed == 0 &&
           known->state == IMGSIM_FILE_OK && known->bytes == outcome->record.bytes &&
           known->mtime_ns == outcome->record.mtime_ns;
}

imgsim_status ims_store_put(
    struct ims_store *store,
    const struct ims_item *item,
    const struct ims_prepared_file *prepared,
    bool forced,
    bool *out_again)
{
    struct outcome outcome = {0};
    imgsim_status status;
    bool written;

    *out_again = false;
    fill_record(&outcome.record, item, prepared);
    if (prepared->state != IMGSIM_FILE_OK) {
        judge_failure(store, item, prepared, &outcome);
    } else {
        if (forced)
            outcome.verdict = (struct ims_verdict){.needed = lacking(store, 0), .moved = SIZE_MAX};
        else
            judge(store, item, prepared, true, &outcome.verdict);
        if ((outcome.verdict.needed & ~prepared->rows) != 0) {
            *out_again = true;
            return IMGSIM_OK;
        }
        if ((status = judge_image(store, item, &outcome)) != IMGSIM_OK)
            return status;
    }
    written = !nothing_new(store, item, &outcome);
    if (written && (status = write_outcome(store, item, prepared, &outcome)) != IMGSIM_OK)
        return status;

    ++*outcome.count;
    store->report->crashed += prepared->state == IMGSIM_FILE_CRASHED;
    store->report->timed_out += prepared->state == IMGSIM_FILE_TIMEOUT;
    store->report->bytes += prepared->bytes_read;
    atomic_fetch_add_explicit(&store->meter->done, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(
        &store->meter->done_work, ims_file_work(item->bytes), memory_order_relaxed);
    if (prepared->state != IMGSIM_FILE_OK)
        atomic_fetch_add_explicit(&store->meter->failed, 1, memory_order_relaxed);
    return written ? count_write(store) : IMGSIM_OK;
}

/* A record whose file is gone, or lies below a folder that was left out (`kind`). */
static imgsim_status mark(struct ims_store *store, const char *path, enum ims_entry_kind kind)
{
    char reason[IMS_REASON_SIZE] = "";
    struct ims_file_record record;
    imgsim_status status;
    int found;

    if ((status = ims_catalog_writer_get_file(store->writer, path, &record, &found)) != IMGSIM_OK)
        return status;
    if (!found)
        return IMGSIM_OK;
    record.path = path;
    record.state = IMGSIM_FILE_MISSING;
    record.reason = reason;
    if (kind != IMS_ENTRY_FILE)
        ims_entry_judge(kind, 0, &record.state, reason);
    if ((status = ims_catalog_writer_put_file(store->writer, &record)) != IMGSIM_OK)
        return status;
    if (kind == IMS_ENTRY_FILE) {
        store->report->missing++;
    } else {
        store->report->seen++;
        store->report->skipped++;
    }
    return count_write(store);
}

static imgsim_status forget(struct ims_store *store, const char *path)
{
    imgsim_status status = ims_catalog_writer_forget_file(store->writer, path);

    return status != IMGSIM_OK ? status : count_write(store);
}

imgsim_status ims_store_finish(struct ims_store *store)
{
    const struct ims_plan *plan = store->plan;
    imgsim_status status = IMGSIM_OK;

    for (size_t i = 0; i < plan->missing_count && status == IMGSIM_OK; i++) {
        const struct ims_vanished *vanished = &plan->missing[i];
        const char *path = plan->text + vanished->path;

        if (!vanished->in_scope || vanished->moved)
            continue;
        if (vanished->folder)
            status = forget(store, path);
        else
            status = mark(store, path, vanished->kind);
        if (status == IMGSIM_OK)
            status = ims_meter_tick(store->meter, false);
    }
    return status;
}

imgsim_status ims_store_commit(struct ims_store *store)
{
    return store->uncommitted > 0 ? commit(store) : IMGSIM_OK;
}
