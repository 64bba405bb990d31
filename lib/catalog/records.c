/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the table of files: visiting, looking up by id, UUID and path. */
#include "catalog/catalog_internal.h"

#include "core/hash.h"
#include "core/memory.h"

#include <string.h>

const char *ims_state_name(int32_t state)
{
    static const char *const names[IMGSIM_FILE_STATE_COUNT] = {"ok",      "skipped", "failed",
                                                               "crashed", "timeout", "missing"};

    return state >= 0 && state < IMGSIM_FILE_STATE_COUNT ? names[state] : "unknown";
}

imgsim_status ims_info_fill(
    const imgsim_catalog *catalog,
    const struct ims_file_record *record,
    struct ims_info_space *space,
    imgsim_file_info *out_info)
{
    const char *root = record->path[0] == '/' ? "" : catalog->root;
    size_t root_length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    size_t separator = record->path[0] != '/';
    size_t path_length = strlen(record->path);
    size_t length = root_length + separator + path_length;
    char *full, *directory, *slash;

    /* The path, and behind it its folder part. */
    if (!ims_grow((void **)&space->text, &space->capacity, 2 * (length + 1), 1))
        return ims_fail_memory(2 * (length + 1));
    full = space->text;
    memcpy(full, root, root_length);
    if (separator != 0)
        full[root_length] = '/';
    memcpy(full + root_length + separator, record->path, path_length + 1);
    directory = full + length + 1;
    slash = strrchr(full, '/');
    memcpy(directory, full, (size_t)(slash - full));
    directory[slash - full] = '\0';

    space->uuid[0] = space->hash[0] = '\0';
    if (record->id >= 0)
        ims_uuid_text(record->uuid, space->uuid);
    if (record->has_hash)
        ims_hex(record->content_hash, 16, space->hash);
    *out_info = (imgsim_file_info){
        .struct_size = sizeof(*out_info),
        .id = record->id,
        .uuid = space->uuid,
        .path = full,
        .directory = slash == full ? "/" : directory,
        .name = slash + 1,
        .format = record->format,
        .reason = record->reason,
        .content_hash = space->hash,
        .state = record->state,
        .width = record->width,
        .height = record->height,
        .bytes = record->bytes,
        .mtime_ns = record->mtime_ns,
    };
    return IMGSIM_OK;
}

/* ---- visiting ---- */

/* Pass the rows of one query on; *out_stopped: the callback has had enough. */
static imgsim_status visit_query(
    const imgsim_catalog *catalog,
    struct ims_db *db,
    const char *sql,
    int32_t state,
    imgsim_file_callback callback,
    void *user_data,
    bool *out_stopped)
{
    struct ims_info_space space = {0};
    struct ims_file_record record;
    sqlite3_stmt *statement = NULL;
    imgsim_file_info info;
    imgsim_status status;
    bool row;

    if ((status = ims_db_prepare(db, sql, &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_int(statement, 1, state);
    while (!*out_stopped && (status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row) {
        if ((status = ims_db_record(statement, &record)) != IMGSIM_OK)
            break;
        /* Ids given after the snapshot wait for the next refresh. */
        if (record.id >= (int64_t)catalog->snapshot.id_count)
            continue;
        if ((status = ims_info_fill(catalog, &record, &space, &info)) != IMGSIM_OK)
            break;
        *out_stopped = callback(&info, user_data) != 0;
    }
    sqlite3_finalize(statement);
    ims_free(space.text);
    return status;
}

imgsim_status ims_records_visit(
    const imgsim_catalog *catalog,
    struct ims_db *db,
    int32_t state,
    imgsim_file_callback callback,
    void *user_data)
{
    imgsim_status status;
    bool stopped = false;

    /* Id -1 comes first; two queries, as each has an index for its order. */
    status = visit_query(
        catalog, db,
        "SELECT " IMS_FILE_COLUMNS " FROM files WHERE id IS NULL AND "
        "(?1 < 0 OR state = ?1) ORDER BY path",
        state, callback, user_data, &stopped);
    if (status != IMGSIM_OK || stopped)
        return status;
    return visit_query(
        catalog, db,
        "SELECT " IMS_FILE_COLUMNS " FROM files WHERE id IS NOT NULL AND "
        "(?1 < 0 OR state = ?1) ORDER BY id",
        state, callback, user_data, &stopped);
}

imgsim_status imgsim_catalog_visit_files(
    const imgsim_catalog *catalog,
    int32_t state,
    imgsim_file_callback callback,
    void *user_data)
{
    struct ims_db *db = NULL;
    imgsim_status status;

    if (catalog == NULL || callback == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and callback must not be NULL");
    if (state < -1 || state >= IMGSIM_FILE_STATE_COUNT)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "file state %d, expected -1 to %d", state,
            IMGSIM_FILE_STATE_COUNT - 1);
    if ((status = ims_db_lease(catalog, &db)) == IMGSIM_OK)
        status = ims_records_visit(catalog, db, state, callback, user_data);
    ims_db_return(catalog, db);
    return status;
}

/* ---- one file ---- */

/*
 * The record of an id. An image that was live in this handle's snapshot may have got a new id
 * since, with its new content: it is then found by its UUID and passed on under the id that was
 * asked for.
 */
static imgsim_status select_id(
    const imgsim_catalog *catalog,
    struct ims_db *db,
    int64_t id,
    struct ims_file_record *out_record)
{
    sqlite3_stmt *statement, *retired;
    imgsim_status status;
    bool row;

    if ((status = ims_db_statement(db, IMS_SQL_FILE_BY_ID, &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_int64(statement, 1, id);
    if ((status = ims_db_step(db, statement, &row)) != IMGSIM_OK)
        return status;
    if (!row && ims_bitset_test(&catalog->snapshot.live, id)) {
        if ((status = ims_db_statement(db, IMS_SQL_RETIRED, &retired)) != IMGSIM_OK ||
            (status = ims_db_statement(db, IMS_SQL_FILE_BY_UUID, &statement)) != IMGSIM_OK)
            return status;
        sqlite3_bind_int64(retired, 1, id);
        if ((status = ims_db_step(db, retired, &row)) != IMGSIM_OK)
            return status;
        if (row) {
            sqlite3_bind_value(statement, 1, sqlite3_column_value(retired, 0));
            if ((status = ims_db_step(db, statement, &row)) != IMGSIM_OK)
                return status;
        }
    }
    if (!row)
        return ims_fail(IMGSIM_ERROR_NOT_FOUND, "no image has id %lld", (long long)id);
    status = ims_db_record(statement, out_record);
    out_record->id = id;
    return status;
}

imgsim_status imgsim_catalog_get_file(
    const imgsim_catalog *catalog,
    int64_t id,
    imgsim_file_callback callback,
    void *user_data)
{
    struct ims_info_space space = {0};
    struct ims_file_record record;
    struct ims_db *db = NULL;
    imgsim_file_info info;
    imgsim_status status;

    if (catalog == NULL || callback == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and callback must not be NULL");
    if (id < 0 || (uint64_t)id >= catalog->snapshot.id_count)
        return ims_fail(IMGSIM_ERROR_NOT_FOUND, "no image has id %lld", (long long)id);
    if ((status = ims_db_lease(catalog, &db)) != IMGSIM_OK)
        return status;
    if ((status = select_id(catalog, db, id, &record)) == IMGSIM_OK &&
        (status = ims_info_fill(catalog, &record, &space, &info)) == IMGSIM_OK)
        callback(&info, user_data);
    ims_db_return(catalog, db);
    ims_free(space.text);
    return status;
}

/* What is known of each id, inside one transaction. */
static imgsim_status visit_ids(
    const imgsim_catalog *catalog,
    struct ims_db *db,
    const int64_t *ids,
    size_t count,
    ims_id_callback callback,
    void *user_data)
{
    struct ims_info_space space = {0};
    struct ims_file_record record;
    imgsim_file_info info;
    imgsim_status status = IMGSIM_OK;

    for (size_t i = 0; i < count && status == IMGSIM_OK; i++) {
        if (ids[i] < 0 || (uint64_t)ids[i] >= catalog->snapshot.id_count)
            continue;
        status = select_id(catalog, db, ids[i], &record);
        if (status == IMGSIM_OK &&
            (status = ims_info_fill(catalog, &record, &space, &info)) == IMGSIM_OK)
            status = callback(&info, i, user_data);
        else if (status == IMGSIM_ERROR_NOT_FOUND)
            status = IMGSIM_OK;
    }
    ims_free(space.text);
    return status;
}

imgsim_status ims_catalog_visit_ids(
    const imgsim_catalog *catalog,
    const int64_t *ids,
    size_t count,
    ims_id_callback callback,
    void *user_data)
{
    struct ims_db *db = NULL;
    imgsim_status status, ended;

    if ((status = ims_db_lease(catalog, &db)) != IMGSIM_OK)
        return status;
    if ((status = ims_db_exec(db, "BEGIN")) == IMGSIM_OK) {
        status = visit_ids(catalog, db, ids, count, callback, user_data);
        ended = ims_db_exec(db, "ROLLBACK"); /* nothing was written */
        status = status == IMGSIM_OK ? ended : status;
    }
    ims_db_return(catalog, db);
    return status;
}

/*
 * Look up by a kept statement with one bound value; *out_id -1: no such file, or one that was never
 * decoded.
 */
static imgsim_status find_row(
    const imgsim_catalog *catalog,
    struct ims_db *db,
    enum ims_sql sql,
    const void *value,
    int size,
    bool *out_found,
    int64_t *out_id)
{
    sqlite3_stmt *statement;
    imgsim_status status;

    *out_id = -1;
    *out_found = false;
    if ((status = ims_db_statement(db, sql, &statement)) != IMGSIM_OK)
        return status;
    if (sql == IMS_SQL_FILE_BY_UUID)
        sqlite3_bind_blob(statement, 1, value, size, SQLITE_STATIC);
    else
        sqlite3_bind_text(statement, 1, value, size, SQLITE_STATIC);
    if ((status = ims_db_step(db, statement, out_found)) == IMGSIM_OK && *out_found) {
        struct ims_file_record record;

        status = ims_db_record(statement, &record);
        if (status == IMGSIM_OK && record.id < (int64_t)catalog->snapshot.id_count)
            *out_id = record.id;
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

imgsim_status imgsim_catalog_find(const imgsim_catalog *catalog, const char *text, int64_t *out_id)
{
    char *candidates[2] = {NULL, NULL};
    struct ims_db *db = NULL;
    imgsim_status status;
    bool found = false, known = false;
    uint8_t uuid[16];
    int64_t id = -1;

    if (catalog == NULL || text == NULL || out_id == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog, text and out_id must not be NULL");
    *out_id = -1;
    if ((status = ims_path_candidates(catalog, text, candidates)) != IMGSIM_OK ||
        (status = ims_db_lease(catalog, &db)) != IMGSIM_OK)
        goto done;
    if (ims_uuid_parse(text, uuid))
        status = find_row(catalog, db, IMS_SQL_FILE_BY_UUID, uuid, 16, &found, &id);
    for (int i = 0; i < 2 && id < 0 && status == IMGSIM_OK; i++) {
        known = known || found;
        status = find_row(catalog, db, IMS_SQL_FILE_BY_PATH, candidates[i], -1, &found, &id);
    }
    known = known || found;
    if (status == IMGSIM_OK && id < 0)
        status = ims_fail(
            IMGSIM_ERROR_NOT_FOUND,
            known ? "%s is in the catalog, but has no image in it (never decoded, or "
                    "newer than this handle)"
                  : "%s is not in the catalog",
            text);
    *out_id = id;

done:
    ims_db_return(catalog, db);
    ims_free(candidates[0]);
    ims_free(candidates[1]);
    return status;
}

/* The inner query goes through the index of contents alone; only copies are looked up in the table of files. */
imgsim_status ims_catalog_visit_copies(
    const imgsim_catalog *catalog,
    void (*callback)(int64_t first, int64_t id, void *user_data),
    void *user_data)
{
    const struct ims_bitset *live = &catalog->snapshot.live;
    sqlite3_stmt *statement = NULL;
    struct ims_db *db = NULL;
    imgsim_status status;
    uint8_t content[16] = {0};
    int64_t first = -1;
    bool row;

    if ((status = ims_db_lease(catalog, &db)) != IMGSIM_OK ||
        (status = ims_db_prepare(
             db,
             "SELECT content_hash, id FROM files WHERE state = 0 AND id IS NOT NULL AND "
             "content_hash"
             " IN (SELECT content_hash FROM files WHERE content_hash IS NOT NULL"
             " GROUP BY content_hash HAVING count(*) > 1) ORDER BY content_hash, id",
             &statement)) != IMGSIM_OK)
        goto done;
    while ((status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row) {
        const void *hash = sqlite3_column_blob(statement, 0);
        int64_t id = sqlite3_column_int64(statement, 1);

        if (hash == NULL || sqlite3_column_bytes(statement, 0) != sizeof(content) ||
            !ims_bitset_test(live, id))
            continue;
        if (first >= 0 && memcmp(hash, content, sizeof(content)) == 0) {
            callback(first, id, user_data);
            continue;
        }
        memcpy(content, hash, sizeof(content));
        first = id;
    }

done:
    sqlite3_finalize(statement);
    ims_db_return(catalog, db);
    return status;
}
