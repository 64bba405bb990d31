/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a catalog is sound: the database in itself, the matrices, and the agreement of the two.
 */
#include "catalog/verify.h"

#include "core/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ims_check_report(struct ims_check *check, const char *format, ...)
{
    char text[IMS_ERROR_TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    for (size_t i = 0; text[i] != '\0'; i++)
        if (text[i] == '\n' || text[i] == '\r')
            text[i] = ' ';
    if (check->problems++ == 0)
        snprintf(check->first, sizeof(check->first), "%.250s", text);
    if (check->callback != NULL)
        check->callback(text, check->user_data);
}

/* SQLite's own check of its pages and indexes. */
static imgsim_status check_database(struct ims_check *check)
{
    sqlite3_stmt *statement = NULL;
    imgsim_status status;
    bool row;

    if ((status = ims_db_prepare(check->db, "PRAGMA quick_check(20)", &statement)) != IMGSIM_OK)
        return status;
    while ((status = ims_db_step(check->db, statement, &row)) == IMGSIM_OK && row)
        if (strcmp(ims_db_text(statement, 0), "ok") != 0)
            ims_check_report(check, "catalog.db: %s", ims_db_text(statement, 0));
    sqlite3_finalize(statement);
    return status;
}

/* One record against the snapshot of the same transaction. */
static void check_record(struct ims_check *check, const struct ims_file_record *record)
{
    static const uint8_t no_uuid[16];
    bool live = record->id >= 0 && ims_bitset_test(&check->snapshot.live, record->id);

    if (record->id >= (int64_t)check->snapshot.id_count)
        ims_check_report(check, "%s: id %lld was never given", record->path, (long long)record->id);
    else if (live != (record->state == IMGSIM_FILE_OK))
        ims_check_report(
            check, "%s: state is %s, but the set of live ids %s it", record->path,
            ims_state_name(record->state), live ? "has" : "lacks");
    if (record->id >= 0 && memcmp(record->uuid, no_uuid, 16) == 0)
        ims_check_report(check, "%s: has id %lld but no UUID", record->path, (long long)record->id);
}

static imgsim_status check_files(struct ims_check *check)
{
    uint64_t counts[IMGSIM_FILE_STATE_COUNT] = {0};
    struct ims_file_record record;
    sqlite3_stmt *statement = NULL;
    imgsim_status status;
    bool row;

    if ((status = ims_db_prepare(
             check->db, "SELECT " IMS_FILE_COLUMNS " FROM files", &statement)) != IMGSIM_OK)
        return status;
    while ((status = ims_db_step(check->db, statement, &row)) == IMGSIM_OK && row) {
        if (ims_db_record(statement, &record) != IMGSIM_OK) {
            ims_check_report(check, "%s", imgsim_last_error());
            continue;
        }
        counts[record.state]++;
        check_record(check, &record);
    }
    sqlite3_finalize(statement);
    if (status != IMGSIM_OK)
        return status;

    for (int state = 0; state < IMGSIM_FILE_STATE_COUNT; state++)
        if (counts[state] != check->snapshot.state_counts[state])
            ims_check_report(
                check, "%llu files are in state %s, the catalog counts %llu",
                (unsigned long long)counts[state], ims_state_name(state),
                (unsigned long long)check->snapshot.state_counts[state]);
    if (counts[IMGSIM_FILE_OK] != check->snapshot.image_count)
        ims_check_report(
            check, "the set of live ids has %llu images, %llu files are ok",
            (unsigned long long)check->snapshot.image_count,
            (unsigned long long)counts[IMGSIM_FILE_OK]);
    return IMGSIM_OK;
}

/* A database that cannot be read any further is a problem, not a failure of the check. */
static imgsim_status note(struct ims_check *check, imgsim_status status)
{
    if (status != IMGSIM_ERROR_CORRUPT)
        return status;
    ims_check_report(check, "%s", imgsim_last_error());
    return IMGSIM_OK;
}

imgsim_status ims_catalog_verify(
    const imgsim_catalog *catalog,
    void (*callback)(const char *problem, void *user_data),
    void *user_data,
    struct ims_verified *out)
{
    struct ims_check check = {.catalog = catalog, .callback = callback, .user_data = user_data};
    imgsim_status status;
    bool loaded = false;

    if ((status = ims_db_lease(catalog, &check.db)) != IMGSIM_OK)
        return status;
    /*
     * One transaction for all: what is compared belongs together, whatever others commit meanwhile.
     */
    if ((status = ims_db_exec(check.db, "BEGIN")) != IMGSIM_OK ||
        (status = note(&check, check_database(&check))) != IMGSIM_OK)
        goto done;
    status = ims_snapshot_load(catalog, check.db, &check.snapshot);
    loaded = status == IMGSIM_OK;
    if ((status = note(&check, status)) != IMGSIM_OK || !loaded ||
        (status = note(&check, check_files(&check))) != IMGSIM_OK ||
        (status = note(&check, ims_check_features(&check))) != IMGSIM_OK)
        goto done;

done:
    ims_snapshot_clear(&check.snapshot);
    ims_db_return(catalog, check.db);
    *out = check.rows;
    if (status == IMGSIM_OK && check.problems > 0)
        status = ims_fail(
            IMGSIM_ERROR_CORRUPT, "%llu problems, the first: %s",
            (unsigned long long)check.problems, check.first);
    return status;
}

imgsim_status imgsim_catalog_verify(
    const imgsim_catalog *catalog,
    void (*callback)(const char *problem, void *user_data),
    void *user_data)
{
    struct ims_verified verified;

    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    return ims_catalog_verify(catalog, callback, user_data, &verified);
}
