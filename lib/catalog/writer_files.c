/* SPDX-License-Identifier: Apache-2.0 */
/* The writer's side of the table of files: looking up, putting, moving, walking through. */
#include "catalog/catalog_internal.h"

#include "core/hash.h"
#include "core/memory.h"

#include <string.h>

/* Where a path stands now. */
struct place {
    bool found;
    int64_t number;
    int64_t id;
    int32_t state;
    uint8_t uuid[16];
};

static bool is_zero(const uint8_t uuid[16])
{
    static const uint8_t zero[16];

    return memcmp(uuid, zero, 16) == 0;
}

static imgsim_status
find_place(struct ims_catalog_writer *writer, const char *path, struct place *out)
{
    sqlite3_stmt *statement;
    imgsim_status status;

    *out = (struct place){.id = -1};
    if ((status = ims_db_statement(writer->change.db, IMS_SQL_PLACE, &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
    if ((status = ims_db_step(writer->change.db, statement, &out->found)) == IMGSIM_OK &&
        out->found) {
        const void *uuid = sqlite3_column_blob(statement, 2);

        out->number = sqlite3_column_int64(statement, 0);
        if (sqlite3_column_type(statement, 1) != SQLITE_NULL)
            out->id = sqlite3_column_int64(statement, 1);
        if (uuid != NULL && sqlite3_column_bytes(statement, 2) == 16)
            memcpy(out->uuid, uuid, 16);
        out->state = sqlite3_column_int(statement, 3);
        if (out->id >= (int64_t)writer->next_id || out->state < 0 ||
            out->state >= IMGSIM_FILE_STATE_COUNT)
            status =
                ims_fail(IMGSIM_ERROR_CORRUPT, "catalog.db: damaged record of file \"%s\"", path);
    }
    sqlite3_reset(statement);
    return status;
}

/*
 * An id that no file has any more: it leaves the answers; its UUID is remembered for handles opened
 * earlier.
 */
static imgsim_status retire(struct ims_catalog_writer *writer, int64_t id, const uint8_t uuid[16])
{
    sqlite3_stmt *statement;
    imgsim_status status;

    ims_bit_table_put(&writer->live, id, false);
    if ((status = ims_db_statement(writer->change.db, IMS_SQL_RETIRE, &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_blob(statement, 2, uuid, 16, SQLITE_STATIC);
    return ims_db_run(writer->change.db, statement);
}

static imgsim_status
check_record(const struct ims_catalog_writer *writer, const struct ims_file_record *record)
{
    if (record->path == NULL || record->path[0] == '\0')
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "the file's path is empty");
    if (record->state < 0 || record->state >= IMGSIM_FILE_STATE_COUNT)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%s: state %d is not known", record->path,
            record->state);
    if (record->id < -1 || record->id >= (int64_t)writer->next_id ||
        (record->id < 0 && record->state == IMGSIM_FILE_OK))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%s: id %lld was not given", record->path,
            (long long)record->id);
    for (uint32_t number = 0; number < 64; number++)
        if ((record->features >> number & 1) != 0 &&
            (number >= IMS_SETS_MAX || !writer->used[number]))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "%s: there is no feature number %u", record->path,
                number);
    return IMGSIM_OK;
}

static void bind_blob16(sqlite3_stmt *statement, int index, const uint8_t blob[16], bool there)
{
    if (there)
        sqlite3_bind_blob(statement, index, blob, 16, SQLITE_STATIC);
    else
        sqlite3_bind_null(statement, index);
}

/* Insert a record, or update row `number` (0: insert). */
static imgsim_status
write_record(struct ims_db *db, const struct ims_file_record *record, int64_t number)
{
    sqlite3_stmt *statement;
    imgsim_status status;

    if ((status = ims_db_statement(
             db, number != 0 ? IMS_SQL_UPDATE_FILE : IMS_SQL_INSERT_FILE, &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_text(statement, 1, record->path, -1, SQLITE_STATIC);
    sqlite3_bind_text(
        statement, 2, record->format != NULL ? record->format : "", -1, SQLITE_STATIC);
    sqlite3_bind_text(
        statement, 3, record->reason != NULL ? record->reason : "", -1, SQLITE_STATIC);
    if (record->id >= 0)
        sqlite3_bind_int64(statement, 4, record->id);
    bind_blob16(statement, 5, record->uuid, !is_zero(record->uuid));
    bind_blob16(statement, 6, record->content_hash, record->has_hash != 0);
    sqlite3_bind_int(statement, 7, record->state);
    sqlite3_bind_int64(statement, 8, record->width);
    sqlite3_bind_int64(statement, 9, record->height);
    sqlite3_bind_int64(statement, 10, (int64_t)record->bytes);
    sqlite3_bind_int64(statement, 11, record->mtime_ns);
    if (number != 0)
        sqlite3_bind_int64(statement, 12, number);
    return ims_db_run(db, statement);
}

/* Put a checked record in a place, and keep ids, counts and sets of ids in step. */
static imgsim_status put_in_place(
    struct ims_catalog_writer *writer,
    const struct ims_file_record *record,
    const struct place *place)
{
    struct ims_file_record full = *record;
    imgsim_status status;

    /* A changed image keeps its UUID. */
    if (full.id >= 0 && is_zero(full.uuid)) {
        if (place->found && !is_zero(place->uuid))
            memcpy(full.uuid, place->uuid, 16);
        else if ((status = ims_uuid_new(full.uuid)) != IMGSIM_OK)
            return status;
    }
    if (place->found && place->id >= 0 && place->id != full.id &&
        (status = retire(writer, place->id, is_zero(full.uuid) ? place->uuid : full.uuid)) !=
            IMGSIM_OK)
        return status;
    if ((status = write_record(writer->change.db, &full, place->found ? place->number : 0)) !=
        IMGSIM_OK)
        return status;

    if (place->found)
        writer->state_counts[place->state]--;
    writer->state_counts[full.state]++;
    if (full.id < 0)
        return IMGSIM_OK;
    ims_bit_table_put(&writer->live, full.id, full.state == IMGSIM_FILE_OK);
    for (uint32_t number = 0; number < IMS_SETS_MAX; number++)
        if ((full.features >> number & 1) != 0)
            ims_bit_table_put(&writer->stores[number].present, full.id, true);
    return IMGSIM_OK;
}

imgsim_status
ims_catalog_writer_put_file(struct ims_catalog_writer *writer, const struct ims_file_record *record)
{
    imgsim_status status;
    struct place place;

    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    if ((status = check_record(writer, record)) != IMGSIM_OK)
        return status;
    if ((status = find_place(writer, record->path, &place)) == IMGSIM_OK)
        status = put_in_place(writer, record, &place);
    return ims_writer_poison(writer, status);
}

imgsim_status
ims_catalog_writer_add_file(struct ims_catalog_writer *writer, const struct ims_file_record *record)
{
    const struct place nowhere = {.id = -1};
    imgsim_status status;

    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    if ((status = check_record(writer, record)) != IMGSIM_OK)
        return status;
    return ims_writer_poison(writer, put_in_place(writer, record, &nowhere));
}

/* Take what stands at a path away, if anything does. */
static imgsim_status remove_place(struct ims_catalog_writer *writer, const struct place *place)
{
    sqlite3_stmt *statement;
    imgsim_status status;

    if (!place->found)
        return IMGSIM_OK;
    if (place->id >= 0 && (status = retire(writer, place->id, place->uuid)) != IMGSIM_OK)
        return status;
    if ((status = ims_db_statement(writer->change.db, IMS_SQL_DELETE_FILE, &statement)) !=
        IMGSIM_OK)
        return status;
    sqlite3_bind_int64(statement, 1, place->number);
    writer->state_counts[place->state]--;
    return ims_db_run(writer->change.db, statement);
}

imgsim_status ims_catalog_writer_forget_file(struct ims_catalog_writer *writer, const char *path)
{
    imgsim_status status;
    struct place place;

    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    if ((status = find_place(writer, path, &place)) == IMGSIM_OK)
        status = remove_place(writer, &place);
    return ims_writer_poison(writer, status);
}

/* What a moved file has at its new path: all it had, with the new path, size, time and state. */
static imgsim_status move_to(
    struct ims_catalog_writer *writer,
    const char *old_path,
    const struct place *old,
    const struct ims_file_record *record)
{
    struct ims_file_record moved;
    imgsim_status status;
    struct place target;
    int found = 0;

    if (strcmp(old_path, record->path) != 0 &&
        ((status = find_place(writer, record->path, &target)) != IMGSIM_OK ||
         (status = remove_place(writer, &target)) != IMGSIM_OK))
        return status;
    if ((status = ims_catalog_writer_get_file(writer, old_path, &moved, &found)) != IMGSIM_OK)
        return status;
    moved.path = record->path;
    moved.bytes = record->bytes;
    moved.mtime_ns = record->mtime_ns;
    moved.state = record->state;
    moved.reason = record->reason;
    if (moved.id < 0 && moved.state == IMGSIM_FILE_OK)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%s was never decoded, it cannot be OK", old_path);
    return put_in_place(writer, &moved, old);
}

imgsim_status ims_catalog_writer_move_file(
    struct ims_catalog_writer *writer,
    const char *old_path,
    const struct ims_file_record *record)
{
    struct ims_file_record checked = *record;
    imgsim_status status;
    struct place old;

    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    checked.id = -1; /* the file keeps its own id and features; an OK one has an id */
    checked.features = 0;
    if (checked.state == IMGSIM_FILE_OK)
        checked.state = IMGSIM_FILE_MISSING;
    if ((status = check_record(writer, &checked)) != IMGSIM_OK)
        return status;
    if ((status = find_place(writer, old_path, &old)) != IMGSIM_OK)
        return ims_writer_poison(writer, status);
    if (!old.found)
        return ims_fail(IMGSIM_ERROR_NOT_FOUND, "%s is not in the catalog", old_path);
    return ims_writer_poison(writer, move_to(writer, old_path, &old, record));
}

/* ---- looking up ---- */

/* Read a row and add which features the id has. */
static imgsim_status take_record(
    const struct ims_catalog_writer *writer,
    sqlite3_stmt *statement,
    struct ims_file_record *out)
{
    imgsim_status status = ims_db_record(statement, out);

    if (status != IMGSIM_OK || out->id < 0)
        return status;
    for (uint32_t number = 0; number < IMS_SETS_MAX; number++)
        if (writer->used[number] && ims_bit_table_test(&writer->stores[number].present, out->id))
            out->features |= UINT64_C(1) << number;
    return IMGSIM_OK;
}

imgsim_status ims_catalog_writer_get_file(
    struct ims_catalog_writer *writer,
    const char *path,
    struct ims_file_record *out,
    int *out_found)
{
    sqlite3_stmt *statement;
    imgsim_status status;
    bool row;

    *out_found = 0;
    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    if ((status = ims_db_statement(writer->change.db, IMS_SQL_FILE_BY_PATH, &statement)) !=
        IMGSIM_OK)
        return ims_writer_poison(writer, status);
    sqlite3_bind_text(statement, 1, path, -1, SQLITE_TRANSIENT);
    if ((status = ims_db_step(writer->change.db, statement, &row)) != IMGSIM_OK)
        return ims_writer_poison(writer, status);
    *out_found = row;
    return row ? take_record(writer, statement, out) : IMGSIM_OK;
}

imgsim_status ims_catalog_writer_find_content(
    struct ims_catalog_writer *writer,
    const uint8_t hash[16],
    uint64_t bytes,
    ims_record_callback callback,
    void *user_data)
{
    struct ims_file_record record;
    sqlite3_stmt *statement;
    imgsim_status status;
    bool row;

    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    if ((status = ims_db_statement(writer->change.db, IMS_SQL_FILES_BY_CONTENT, &statement)) !=
        IMGSIM_OK)
        return ims_writer_poison(writer, status);
    sqlite3_bind_blob(statement, 1, hash, 16, SQLITE_TRANSIENT);
    sqlite3_bind_int64(statement, 2, (int64_t)bytes);
    while ((status = ims_db_step(writer->change.db, statement, &row)) == IMGSIM_OK && row)
        if ((status = take_record(writer, statement, &record)) != IMGSIM_OK ||
            callback(&record, user_data) != 0)
            break;
    sqlite3_reset(statement);
    return ims_writer_poison(writer, status);
}

imgsim_status ims_catalog_writer_visit(
    struct ims_catalog_writer *writer,
    ims_record_callback callback,
    void *user_data)
{
    struct ims_file_record record;
    sqlite3_stmt *statement = NULL;
    imgsim_status status;
    bool row;

    if (writer->failed.status != IMGSIM_OK)
        return ims_error_raise(&writer->failed);
    status = ims_db_prepare(
        writer->change.db, "SELECT " IMS_FILE_COLUMNS " FROM files ORDER BY path", &statement);
    while (status == IMGSIM_OK &&
           (status = ims_db_step(writer->change.db, statement, &row)) == IMGSIM_OK && row)
        if ((status = take_record(writer, statement, &record)) != IMGSIM_OK ||
            callback(&record, user_data) != 0)
            break;
    sqlite3_finalize(statement);
    return ims_writer_poison(writer, status);
}
