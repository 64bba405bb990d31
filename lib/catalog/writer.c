/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer: a series of transactions. What it promises: rows are written and synced before the
 * transaction that names them is committed, so whatever happens in between, the catalog names only
 * rows that are there. docs/file-formats.md has the whole protocol.
 */
#include "catalog/catalog_internal.h"

#include "core/file.h"
#include "core/hash.h"
#include "core/memory.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

imgsim_status ims_writer_poison(struct ims_catalog_writer *writer, imgsim_status status)
{
    if (status != IMGSIM_OK && writer->failed.status == IMGSIM_OK)
        ims_error_save(&writer->failed, status);
    return status;
}

/* ---- sets of ids in blocks ---- */

bool ims_bit_table_grow(struct ims_bit_table *table, uint64_t ids)
{
    size_t needed = (size_t)((ids + IMS_BLOCK_IDS - 1) / IMS_BLOCK_IDS);
    size_t blocks = table->blocks != 0 ? table->blocks : 16;
    uint8_t *bytes, *dirty;

    if (needed <= table->blocks)
        return true;
    while (blocks < needed)
        blocks *= 2;
    if ((bytes = ims_realloc(table->bytes, blocks * IMS_BLOCK_BYTES)) == NULL)
        return false;
    table->bytes = bytes;
    if ((dirty = ims_realloc(table->dirty, blocks)) == NULL)
        return false;
    table->dirty = dirty;
    memset(bytes + table->blocks * IMS_BLOCK_BYTES, 0, (blocks - table->blocks) * IMS_BLOCK_BYTES);
    memset(dirty + table->blocks, 0, blocks - table->blocks);
    table->blocks = blocks;
    return true;
}

bool ims_bit_table_test(const struct ims_bit_table *table, int64_t id)
{
    return ims_bits_test(table->bytes, (uint64_t)table->blocks * IMS_BLOCK_IDS, id);
}

void ims_bit_table_put(struct ims_bit_table *table, int64_t id, bool value)
{
    uint8_t mask = (uint8_t)(1u << (id & 7));

    if (id < 0 || ims_bit_table_test(table, id) == value)
        return;
    table->bytes[id >> 3] ^= mask;
    table->dirty[id / IMS_BLOCK_IDS] = 1;
}

void ims_bit_table_clear(struct ims_bit_table *table)
{
    ims_free(table->bytes);
    ims_free(table->dirty);
    memset(table, 0, sizeof(*table));
}

static imgsim_status
load_bits(struct ims_catalog_writer *writer, int32_t number, struct ims_bit_table *table)
{
    if (!ims_bit_table_grow(table, writer->next_id + 1))
        return ims_fail_memory((size_t)writer->next_id / 8);
    return ims_bits_load(writer->change.db, number, table->bytes, writer->next_id);
}

static imgsim_status
save_bits(struct ims_catalog_writer *writer, int32_t number, struct ims_bit_table *table)
{
    sqlite3_stmt *statement;
    imgsim_status status;

    for (size_t block = 0; block < table->blocks; block++) {
        if (!table->dirty[block])
            continue;
        if ((status = ims_db_statement(writer->change.db, IMS_SQL_PUT_BITS, &statement)) !=
            IMGSIM_OK)
            return status;
        sqlite3_bind_int(statement, 1, number);
        sqlite3_bind_int64(statement, 2, (int64_t)block);
        sqlite3_bind_blob(
            statement, 3, table->bytes + block * IMS_BLOCK_BYTES, IMS_BLOCK_BYTES, SQLITE_STATIC);
        if ((status = ims_db_run(writer->change.db, statement)) != IMGSIM_OK)
            return status;
        table->dirty[block] = 0;
    }
    return IMGSIM_OK;
}

/* ---- opening and closing ---- */

static imgsim_status load_stores(struct ims_catalog_writer *writer)
{
    struct ims_feature_set *sets = NULL;
    imgsim_status status;
    size_t count = 0;

    if ((status = ims_sets_load(writer->change.db, &sets, &count)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        struct ims_store *store = &writer->stores[sets[i].number];

        store->set = sets[i];
        store->entries = sets[i].entries;
        writer->used[sets[i].number] = true;
    }
    ims_free(sets);
    for (int i = 0; i < IMS_SETS_MAX && status == IMGSIM_OK; i++)
        if (writer->used[i])
            status = load_bits(writer, i, &writer->stores[i].present);
    return status;
}

/* Everything a writer keeps in memory of the catalog. */
static imgsim_status load_all(struct ims_catalog_writer *writer)
{
    struct ims_db *db = writer->change.db;
    imgsim_status status;
    int64_t value;

    if ((status = ims_db_number(db, "SELECT value FROM meta WHERE key = 'next_id'", &value)) !=
        IMGSIM_OK)
        return status;
    if (value < 0 || value > (int64_t)IMS_IDS_MAX)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "catalog.db: impossible number of ids, %lld", (long long)value);
    writer->next_id = writer->committed_id = (uint64_t)value;
    if ((status = ims_db_number(db, "SELECT value FROM meta WHERE key = 'generation'", &value)) !=
        IMGSIM_OK)
        return status;
    writer->generation = value;

    for (int state = 0; state < IMGSIM_FILE_STATE_COUNT; state++) {
        char sql[64];

        snprintf(sql, sizeof(sql), "SELECT value FROM meta WHERE key = 'files_%d'", state);
        if ((status = ims_db_number(db, sql, &value)) != IMGSIM_OK)
            return status;
        writer->state_counts[state] = (uint64_t)value;
    }
    if ((status = load_bits(writer, IMS_BITS_LIVE, &writer->live)) != IMGSIM_OK)
        return status;
    return load_stores(writer);
}

imgsim_status ims_writer_start(
    imgsim_catalog *catalog,
    const char *purpose,
    uint32_t wait_ms,
    struct ims_catalog_writer **out_writer)
{
    struct ims_catalog_writer *writer;
    imgsim_status status;
    char *folder = NULL;

    *out_writer = NULL;
    if ((writer = ims_calloc(1, sizeof(*writer))) == NULL)
        return ims_fail_memory(sizeof(*writer));
    ims_catalog_keep(catalog);
    writer->catalog = catalog;
    if ((status = ims_change_begin(catalog, purpose, wait_ms, &writer->change)) != IMGSIM_OK)
        goto done;
    if ((folder = ims_catalog_inner_path(catalog, "features")) == NULL ||
        (writer->bins = ims_alloc(IMS_DIMENSION_MAX * sizeof(*writer->bins))) == NULL ||
        (writer->counts = ims_alloc(IMS_DIMENSION_MAX * sizeof(*writer->counts))) == NULL) {
        status = ims_fail_memory(IMS_DIMENSION_MAX * sizeof(*writer->counts));
        goto done;
    }
    if ((status = ims_make_folder(folder)) != IMGSIM_OK ||
        (status = ims_checksums_make(writer->change.db)) != IMGSIM_OK ||
        (status = load_all(writer)) != IMGSIM_OK)
        goto done;
    ims_store_sweep(writer);
    *out_writer = writer;
    writer = NULL;

done:
    ims_free(folder);
    ims_catalog_writer_close(writer);
    return status;
}

imgsim_status ims_catalog_writer_open(
    imgsim_catalog *catalog,
    const char *purpose,
    struct ims_catalog_writer **out_writer)
{
    return ims_writer_start(catalog, purpose, 0, out_writer);
}

void ims_catalog_writer_close(struct ims_catalog_writer *writer)
{
    if (writer == NULL)
        return;
    for (int i = 0; i < IMS_SETS_MAX; i++)
        if (writer->used[i])
            ims_store_close(writer, &writer->stores[i]);
    ims_change_end(&writer->change);
    ims_bit_table_clear(&writer->live);
    ims_free(writer->bins);
    ims_free(writer->counts);
    imgsim_catalog_free(writer->catalog);
    ims_free(writer);
}

/* ---- feature sets ---- */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

/* Put a definition's texts and numbers into a set; its number, stem and entries stay. */
static imgsim_status define(struct ims_store *store, const imgsim_feature_definition *definition)
{
    struct ims_feature_set *set = &store->set;
    const char *const texts[4] = {
        definition->name, definition->spec, definition->fingerprint, definition->source};
    char **const places[4] = {&set->name, &set->spec, &set->fingerprint, &set->source};

    for (int i = 0; i < 4; i++) {
        char *copy = ims_strdup(texts[i] != NULL ? texts[i] : "");

        if (copy == NULL)
            return ims_fail_memory(64);
        ims_free(*places[i]);
        *places[i] = copy;
    }
    set->dimension = definition->dimension;
    set->row_type = definition->row_type;
    set->metric = definition->metric;
    store->dirty = true;
    return IMGSIM_OK;
}

/* Forget which ids have a row, and the rows' checksums. */
static imgsim_status drop_bits(struct ims_catalog_writer *writer, struct ims_store *store)
{
    imgsim_status status;
    char sql[64];

    snprintf(sql, sizeof(sql), "DELETE FROM bits WHERE number = %u", store->set.number);
    ims_bit_table_clear(&store->present);
    ims_checksums_clear(&store->checksums);
    if (!ims_bit_table_grow(&store->present, writer->next_id + 1))
        return ims_fail_memory((size_t)writer->next_id / 8);
    if ((status = ims_checksums_drop(writer->change.db, store->set.number)) != IMGSIM_OK)
        return status;
    return ims_db_exec(writer->change.db, sql);
}

static imgsim_status add_store(
    struct ims_catalog_writer *writer,
    const imgsim_feature_definition *definition,
    uint32_t *out_number)
{
    struct ims_store *store;
    imgsim_status status;
    uint32_t number = 0;

    while (number < IMS_SETS_MAX && writer->used[number])
        number++;
    if (number == IMS_SETS_MAX)
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "the catalog has %d feature sets, the most it can have",
            IMS_SETS_MAX);
    store = &writer->stores[number];
    memset(store, 0, sizeof(*store));
    store->set.number = number;
    store->set.sequence = writer->generation + 1;
    writer->used[number] = true;
    if ((status = define(store, definition)) != IMGSIM_OK ||
        (status = ims_store_renew(writer, store, false)) != IMGSIM_OK ||
        (status = drop_bits(writer, store)) != IMGSIM_OK)
        return status;
    *out_number = number;
    return IMGSIM_OK;
}

/* Whether a set has the rows of a definition. */
static bool
same_rows(const struct ims_feature_set *set, const imgsim_feature_definition *definition)
{
    return same_text(set->fingerprint, definition->fingerprint) &&
           set->dimension == definition->dimension && set->row_type == definition->row_type;
}

static imgsim_status replace_store(
    struct ims_catalog_writer *writer,
    struct ims_store *store,
    const imgsim_feature_definition *definition)
{
    imgsim_status status;

    if ((status = define(store, definition)) != IMGSIM_OK ||
        (status = drop_bits(writer, store)) != IMGSIM_OK)
        return status;
    return ims_store_renew(writer, store, false);
}

static struct ims_store *find_store(struct ims_catalog_writer *writer, const char *name)
{
    for (int i = 0; i < IMS_SETS_MAX; i++)
        if (writer->used[i] && strcmp(writer->stores[i].set.name, name) == 0)
            return &writer->stores[i];
    return NULL;
}

imgsim_status ims_catalog_writer_feature(
    struct ims_catalog_writer *writer,
    const imgsim_feature_definition *definition,
    int replace,
    uint32_t *out_number)
{
    struct ims_store *store;
    imgsim_status status;

    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    if ((status = ims_definition_check(definition)) != IMGSIM_OK)
        return status;
    if ((store = find_store(writer, definition->name)) == NULL)
        return ims_writer_poison(writer, add_store(writer, definition, out_number));

    *out_number = store->set.number;
    if (same_rows(&store->set, definition)) {
        if (same_text(store->set.spec, definition->spec) &&
            same_text(store->set.source, definition->source) &&
            store->set.metric == definition->metric)
            return IMGSIM_OK;
        return ims_writer_poison(writer, define(store, definition));
    }
    if (!replace)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "feature \"%s\" is in the catalog with other settings (%s), these are %s",
            definition->name, store->set.spec,
            definition->spec != NULL ? definition->spec : "not named");
    return ims_writer_poison(writer, replace_store(writer, store, definition));
}

/* ---- ids and rows ---- */

imgsim_status ims_catalog_writer_new_id(struct ims_catalog_writer *writer, int64_t *out_id)
{
    uint64_t ids = writer->next_id + 1;

    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    if (ids > IMS_IDS_MAX)
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "the catalog has given all its %llu ids",
            (unsigned long long)IMS_IDS_MAX);
    if (!ims_bit_table_grow(&writer->live, ids))
        return ims_fail_memory((size_t)ids / 8);
    for (int i = 0; i < IMS_SETS_MAX; i++)
        if (writer->used[i] && !ims_bit_table_grow(&writer->stores[i].present, ids))
            return ims_fail_memory((size_t)ids / 8);
    *out_id = (int64_t)writer->next_id;
    writer->next_id = ids;
    return IMGSIM_OK;
}

/* The store of feature `number`, when a row of this id may be put there. */
static imgsim_status find_place_for_row(
    struct ims_catalog_writer *writer,
    uint32_t number,
    int64_t id,
    struct ims_store **out_store)
{
    struct ims_store *store;

    *out_store = NULL;
    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    if (number >= IMS_SETS_MAX || !writer->used[number] || id < 0 ||
        (uint64_t)id >= writer->next_id)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "row of id %lld for feature %u: no such id or feature",
            (long long)id, number);
    store = &writer->stores[number];
    if (ims_bit_table_test(&store->present, id))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "id %lld has its row of feature \"%s\" already",
            (long long)id, store->set.name);
    *out_store = store;
    return IMGSIM_OK;
}

imgsim_status ims_catalog_writer_put_row(
    struct ims_catalog_writer *writer,
    uint32_t number,
    int64_t id,
    const void *row)
{
    struct ims_store *store = NULL;
    imgsim_status status;

    if (row == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "row of id %lld is NULL", (long long)id);
    if ((status = find_place_for_row(writer, number, id, &store)) != IMGSIM_OK)
        return status;
    if (store->set.row_type == IMGSIM_ROW_FLOAT32 &&
        (status = ims_row_check_finite(row, store->set.dimension, id)) != IMGSIM_OK)
        return status;
    return ims_store_put_row(writer, store, id, row);
}

imgsim_status ims_catalog_writer_put_sparse_row(
    struct ims_catalog_writer *writer,
    uint32_t number,
    int64_t id,
    uint32_t length,
    const uint16_t *bins,
    const uint32_t *counts)
{
    struct ims_store *store = NULL;
    imgsim_status status = find_place_for_row(writer, number, id, &store);

    if (status != IMGSIM_OK)
        return status;
    assert(store->set.row_type == IMGSIM_ROW_UINT32 && length <= store->set.dimension);
    return ims_store_put_sparse_row(writer, store, id, length, bins, counts);
}

imgsim_status
ims_catalog_writer_mark_row(struct ims_catalog_writer *writer, uint32_t number, int64_t id)
{
    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    if (number >= IMS_SETS_MAX || !writer->used[number] || id < 0 ||
        (uint64_t)id >= writer->next_id)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "row of id %lld for feature %u: no such id or feature",
            (long long)id, number);
    ims_bit_table_put(&writer->stores[number].present, id, true);
    return IMGSIM_OK;
}

/* ---- commit ---- */

static imgsim_status put_meta(struct ims_db *db, const char *key, int64_t value)
{
    sqlite3_stmt *statement;
    imgsim_status status;

    if ((status = ims_db_statement(db, IMS_SQL_PUT_META, &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, value);
    return ims_db_run(db, statement);
}

static imgsim_status save_set(struct ims_db *db, const struct ims_store *store)
{
    const struct ims_feature_set *set = &store->set;
    sqlite3_stmt *statement = NULL;
    imgsim_status status;

    if ((status = ims_db_prepare(
             db,
             "INSERT OR REPLACE INTO features(number, dimension, row_type, "
             "metric, entries, sequence, name, spec, fingerprint, source, stem)"
             " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
             &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_int64(statement, 1, set->number);
    sqlite3_bind_int64(statement, 2, set->dimension);
    sqlite3_bind_int(statement, 3, set->row_type);
    sqlite3_bind_int(statement, 4, set->metric);
    sqlite3_bind_int64(statement, 5, (int64_t)store->entries);
    sqlite3_bind_int64(statement, 6, set->sequence);
    sqlite3_bind_text(statement, 7, set->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 8, set->spec, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 9, set->fingerprint, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 10, set->source, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 11, set->stem, -1, SQLITE_STATIC);
    status = ims_db_run(db, statement);
    sqlite3_finalize(statement);
    return status;
}

/* Write what is kept in memory into the tables. */
static imgsim_status save_all(struct ims_catalog_writer *writer)
{
    struct ims_db *db = writer->change.db;
    imgsim_status status;

    if ((status = save_bits(writer, IMS_BITS_LIVE, &writer->live)) != IMGSIM_OK)
        return status;
    for (int i = 0; i < IMS_SETS_MAX; i++) {
        if (!writer->used[i])
            continue;
        if ((status = save_bits(writer, i, &writer->stores[i].present)) != IMGSIM_OK ||
            (status = ims_checksums_save(db, &writer->stores[i])) != IMGSIM_OK ||
            (writer->stores[i].dirty && (status = save_set(db, &writer->stores[i])) != IMGSIM_OK))
            return status;
    }
    for (int state = 0; state < IMGSIM_FILE_STATE_COUNT; state++) {
        char key[16];

        snprintf(key, sizeof(key), "files_%d", state);
        if ((status = put_meta(db, key, (int64_t)writer->state_counts[state])) != IMGSIM_OK)
            return status;
    }
    if ((status = put_meta(db, "next_id", (int64_t)writer->next_id)) != IMGSIM_OK)
        return status;
    return put_meta(db, "generation", writer->generation);
}

/* Everything the transaction names must be on the disk before it is. */
static imgsim_status sync_all(struct ims_catalog_writer *writer)
{
    imgsim_status status = IMGSIM_OK;
    char *folder;

    for (int i = 0; i < IMS_SETS_MAX && status == IMGSIM_OK; i++)
        if (writer->used[i])
            status = ims_store_sync(writer, &writer->stores[i]);
    if (status != IMGSIM_OK || !writer->folder_touched)
        return status;
    if ((folder = ims_catalog_inner_path(writer->catalog, "features")) == NULL)
        return ims_fail_memory(64);
    if ((status = ims_fsync_folder(folder)) == IMGSIM_OK)
        status = ims_fsync_folder(writer->catalog->folder);
    ims_free(folder);
    writer->folder_touched = status != IMGSIM_OK;
    return status;
}

imgsim_status ims_catalog_writer_commit(struct ims_catalog_writer *writer)
{
    imgsim_status status;

    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    if ((status = sync_all(writer)) != IMGSIM_OK || (status = save_all(writer)) != IMGSIM_OK ||
        (status = ims_change_commit(&writer->change)) != IMGSIM_OK)
        return ims_writer_poison(writer, status);

    writer->committed_id = writer->next_id;
    for (int i = 0; i < IMS_SETS_MAX; i++)
        if (writer->used[i])
            ims_store_committed(writer, &writer->stores[i]);
    return ims_writer_poison(writer, ims_db_exec(writer->change.db, "BEGIN IMMEDIATE"));
}
