/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to catalog.db: opening, errors in our words, kept statements, a pool for readers. */
#include "catalog/catalog_internal.h"

#include "core/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* How long SQLite waits for its own short locks; writers are kept apart by our lock. */
#define BUSY_TIMEOUT_MS 10000
/* Idle connections kept for readers. */
#define IDLE_MAX 8

static const char *const statement_texts[IMS_SQL_COUNT] = {
    [IMS_SQL_FILE_BY_PATH] = "SELECT " IMS_FILE_COLUMNS " FROM files WHERE path = ?1",
    [IMS_SQL_FILE_BY_ID] = "SELECT " IMS_FILE_COLUMNS " FROM files WHERE id = ?1",
    [IMS_SQL_FILE_BY_UUID] = "SELECT " IMS_FILE_COLUMNS " FROM files WHERE uuid = ?1",
    [IMS_SQL_FILES_BY_CONTENT] = "SELECT " IMS_FILE_COLUMNS
                                 " FROM files WHERE content_hash = ?1 AND bytes = ?2 ORDER BY path",
    [IMS_SQL_RETIRED] = "SELECT uuid FROM retired WHERE id = ?1",
    [IMS_SQL_PLACE] = "SELECT number, id, uuid, state FROM files WHERE path = ?1",
    [IMS_SQL_INSERT_FILE] = "INSERT INTO files(" IMS_FILE_COLUMNS
                            ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    [IMS_SQL_UPDATE_FILE] = "UPDATE files SET path = ?1, format = ?2, reason = ?3, id = ?4, "
                            "uuid = ?5, content_hash = ?6, state = ?7, width = ?8, height = ?9, "
                            "bytes = ?10, mtime_ns = ?11 WHERE number = ?12",
    [IMS_SQL_DELETE_FILE] = "DELETE FROM files WHERE number = ?1",
    [IMS_SQL_RETIRE] = "INSERT OR REPLACE INTO retired(id, uuid) VALUES(?1, ?2)",
    [IMS_SQL_PUT_BITS] = "INSERT OR REPLACE INTO bits(number, block, bits) VALUES(?1, ?2, ?3)",
    [IMS_SQL_PUT_META] = "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)",
    [IMS_SQL_GET_CHECKSUMS] = "SELECT checksums FROM checksums WHERE number = ?1 AND block = ?2",
    [IMS_SQL_PUT_CHECKSUMS] =
        "INSERT OR REPLACE INTO checksums(number, block, checksums) VALUES(?1, ?2, ?3)",
    [IMS_SQL_LABELS_OF] = "SELECT label FROM labels WHERE uuid = ?1 ORDER BY label",
};

/* ---- errors ---- */

static imgsim_status status_of_errno(int error)
{
    return error == ENOSPC || error == EDQUOT ? IMGSIM_ERROR_NO_SPACE : IMGSIM_ERROR_IO;
}

/* Our code for SQLite's extended result code. */
static imgsim_status status_of(int code, int system_error)
{
    if (code == SQLITE_IOERR_NOMEM)
        return IMGSIM_ERROR_OUT_OF_MEMORY;
    switch (code & 0xff) {
    case SQLITE_FULL:
        return IMGSIM_ERROR_NO_SPACE;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return IMGSIM_ERROR_BUSY;
    case SQLITE_NOMEM:
        return IMGSIM_ERROR_OUT_OF_MEMORY;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return status_of_errno(system_error);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_PROTOCOL:
        return IMGSIM_ERROR_IO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* a table or column that is not as we made it */
    case SQLITE_CONSTRAINT:
    case SQLITE_SCHEMA:
    case SQLITE_TOOBIG:
        return IMGSIM_ERROR_CORRUPT;
    default:
        return IMGSIM_ERROR_INTERNAL;
    }
}

imgsim_status ims_db_fail(const struct ims_db *db)
{
    const char *path = sqlite3_db_filename(db->handle, "main");
    int code = sqlite3_extended_errcode(db->handle);
    int error = sqlite3_system_errno(db->handle);
    const char *words = sqlite3_errmsg(db->handle);
    imgsim_status status = status_of(code, error);

    if (path == NULL || *path == '\0')
        path = "catalog.db";
    if (((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN) && error != 0) {
        ims_fail_errno(error, "%s: %s", path, words);
        return status;
    }
    return ims_fail(status, "%s: %s", path, words);
}

/* ---- opening ---- */

/* "file:PATH?immutable=1" with the path's special bytes as %XX. */
static char *immutable_uri(const char *path)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t length = strlen(path);
    char *uri = ims_alloc(length * 3 + sizeof("file:?immutable=1"));
    char *out = uri;

    if (uri == NULL)
        return NULL;
    memcpy(out, "file:", 5);
    out += 5;
    for (; *path != '\0'; path++) {
        unsigned char byte = (unsigned char)*path;

        if (byte > 0x20 && byte < 0x7f && byte != '%' && byte != '?' && byte != '#') {
            *out++ = (char)byte;
            continue;
        }
        *out++ = '%';
        *out++ = digits[byte >> 4];
        *out++ = digits[byte & 15];
    }
    memcpy(out, "?immutable=1", sizeof("?immutable=1"));
    return uri;
}

/* Settings of every connection. A catalog is data: what its schema says is not run. */
static imgsim_status configure(struct ims_db *db, enum ims_db_mode mode)
{
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    return ims_db_exec(
        db, mode == IMS_DB_WRITE ? "PRAGMA cell_size_check=ON; PRAGMA synchronous=FULL;"
                                   "PRAGMA cache_size=-16384"
                                 : "PRAGMA cell_size_check=ON; PRAGMA cache_size=-8192");
}

imgsim_status ims_db_open(const char *path, enum ims_db_mode mode, struct ims_db **out_db)
{
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    imgsim_status status = IMGSIM_OK;
    struct ims_db *db;
    char *uri = NULL;

    *out_db = NULL;
    if ((db = ims_calloc(1, sizeof(*db))) == NULL)
        return ims_fail_memory(sizeof(*db));
    if (mode == IMS_DB_IMMUTABLE && (uri = immutable_uri(path)) == NULL) {
        status = ims_fail_memory(strlen(path));
        goto done;
    }

    flags |= mode == IMS_DB_WRITE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
    if (uri != NULL)
        flags |= SQLITE_OPEN_URI;
    if (sqlite3_open_v2(uri != NULL ? uri : path, &db->handle, flags, NULL) != SQLITE_OK) {
        status = db->handle != NULL ? ims_db_fail(db) : ims_fail_memory(sizeof(*db));
        goto done;
    }
    if ((status = configure(db, mode)) != IMGSIM_OK)
        goto done;
    *out_db = db;
    db = NULL;

done:
    ims_free(uri);
    ims_db_close(db);
    return status;
}

void ims_db_close(struct ims_db *db)
{
    if (db == NULL)
        return;
    for (int i = 0; i < IMS_SQL_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close(db->handle);
    ims_free(db);
}

/* ---- statements ---- */

imgsim_status ims_db_exec(struct ims_db *db, const char *sql)
{
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? IMGSIM_OK
                                                                        : ims_db_fail(db);
}

imgsim_status ims_db_prepare(struct ims_db *db, const char *sql, sqlite3_stmt **out_statement)
{
    *out_statement = NULL;
    return sqlite3_prepare_v3(db->handle, sql, -1, 0, out_statement, NULL) == SQLITE_OK
               ? IMGSIM_OK
               : ims_db_fail(db);
}

imgsim_status ims_db_statement(struct ims_db *db, enum ims_sql sql, sqlite3_stmt **out_statement)
{
    *out_statement = db->statements[sql];
    if (*out_statement != NULL) {
        sqlite3_reset(*out_statement);
        sqlite3_clear_bindings(*out_statement);
        return IMGSIM_OK;
    }
    if (sqlite3_prepare_v3(
            db->handle, statement_texts[sql], -1, SQLITE_PREPARE_PERSISTENT, &db->statements[sql],
            NULL) != SQLITE_OK)
        return ims_db_fail(db);
    *out_statement = db->statements[sql];
    return IMGSIM_OK;
}

imgsim_status ims_db_step(struct ims_db *db, sqlite3_stmt *statement, bool *out_row)
{
    int code = sqlite3_step(statement);

    *out_row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? IMGSIM_OK : ims_db_fail(db);
}

imgsim_status ims_db_run(struct ims_db *db, sqlite3_stmt *statement)
{
    imgsim_status status;
    bool row;

    status = ims_db_step(db, statement, &row);
    sqlite3_reset(statement);
    return status;
}

imgsim_status ims_db_number(struct ims_db *db, const char *sql, int64_t *out_number)
{
    sqlite3_stmt *statement = NULL;
    imgsim_status status;
    bool row;

    *out_number = 0;
    if ((status = ims_db_prepare(db, sql, &statement)) != IMGSIM_OK ||
        (status = ims_db_step(db, statement, &row)) != IMGSIM_OK)
        goto done;
    if (row)
        *out_number = sqlite3_column_int64(statement, 0);
    else
        status = ims_fail(
            IMGSIM_ERROR_CORRUPT, "%s: a value of the catalog is missing",
            sqlite3_db_filename(db->handle, "main"));

done:
    sqlite3_finalize(statement);
    return status;
}

const char *ims_db_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);

    return text != NULL ? (const char *)text : "";
}

/* Copy a blob of 16 bytes; 0 if it is NULL or of another size. */
static int take_blob16(sqlite3_stmt *statement, int column, uint8_t out[16])
{
    const void *blob = sqlite3_column_blob(statement, column);

    if (blob == NULL || sqlite3_column_bytes(statement, column) != 16) {
        memset(out, 0, 16);
        return 0;
    }
    memcpy(out, blob, 16);
    return 1;
}

imgsim_status ims_db_record(sqlite3_stmt *statement, struct ims_file_record *out_record)
{
    struct ims_file_record record = {
        .path = ims_db_text(statement, 0),
        .format = ims_db_text(statement, 1),
        .reason = ims_db_text(statement, 2),
        .id = sqlite3_column_type(statement, 3) == SQLITE_NULL ? -1
                                                               : sqlite3_column_int64(statement, 3),
        .state = sqlite3_column_int(statement, 6),
        .width = (uint32_t)sqlite3_column_int64(statement, 7),
        .height = (uint32_t)sqlite3_column_int64(statement, 8),
        .bytes = (uint64_t)sqlite3_column_int64(statement, 9),
        .mtime_ns = sqlite3_column_int64(statement, 10),
    };

    take_blob16(statement, 4, record.uuid);
    record.has_hash = take_blob16(statement, 5, record.content_hash);
    if (record.path[0] == '\0' || record.state < 0 || record.state >= IMGSIM_FILE_STATE_COUNT ||
        record.id < -1 || record.id >= (int64_t)IMS_IDS_MAX)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "catalog.db: damaged record of file \"%s\"", record.path);
    *out_record = record;
    return IMGSIM_OK;
}

/* ---- the readers' pool ---- */

/*
 * A database opened as immutable is read without locks. That is right on a medium that cannot be
 * written to; where only we may not write, somebody else's checkpoint has to be noticed.
 */
static imgsim_status check_immutable(const imgsim_catalog *catalog)
{
    struct stat info;

    if (catalog->mode != IMS_DB_IMMUTABLE)
        return IMGSIM_OK;
    if (stat(catalog->database, &info) != 0)
        return ims_fail_errno(errno, "cannot examine %s", catalog->database);
    if (info.st_mtim.tv_sec == catalog->stamp.tv_sec &&
        info.st_mtim.tv_nsec == catalog->stamp.tv_nsec)
        return IMGSIM_OK;
    return ims_fail(
        IMGSIM_ERROR_BUSY, "%s has been changed by somebody else; refresh the catalog",
        catalog->database);
}

void ims_db_drain(const imgsim_catalog *catalog)
{
    struct ims_db_pool *pool = catalog->pool;
    struct ims_db *db;

    pthread_mutex_lock(&pool->mutex);
    while ((db = pool->idle) != NULL) {
        pool->idle = db->next;
        ims_db_close(db);
    }
    pool->idle_count = 0;
    pthread_mutex_unlock(&pool->mutex);
}

imgsim_status ims_db_lease(const imgsim_catalog *catalog, struct ims_db **out_db)
{
    struct ims_db_pool *pool = catalog->pool;
    imgsim_status status;
    struct ims_db *db;

    *out_db = NULL;
    if ((status = check_immutable(catalog)) != IMGSIM_OK)
        return status;
    pthread_mutex_lock(&pool->mutex);
    if ((db = pool->idle) != NULL) {
        pool->idle = db->next;
        pool->idle_count--;
    }
    pthread_mutex_unlock(&pool->mutex);

    *out_db = db;
    return db != NULL ? IMGSIM_OK : ims_db_open(catalog->database, catalog->mode, out_db);
}

void ims_db_return(const imgsim_catalog *catalog, struct ims_db *db)
{
    struct ims_db_pool *pool = catalog->pool;

    if (db == NULL)
        return;
    /* A statement in mid-course would keep an old state of the database alive. */
    for (int i = 0; i < IMS_SQL_COUNT; i++)
        sqlite3_reset(db->statements[i]);
    if (sqlite3_get_autocommit(db->handle) == 0)
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);

    pthread_mutex_lock(&pool->mutex);
    if (pool->idle_count < IDLE_MAX) {
        db->next = pool->idle;
        pool->idle = db;
        pool->idle_count++;
        db = NULL;
    }
    pthread_mutex_unlock(&pool->mutex);
    ims_db_close(db);
}
