/* SPDX-License-Identifier: Apache-2.0 */
/* The database of a catalog: its tables, how it is made, and whether a file is one. */
#include "catalog/catalog_internal.h"

#include "core/file.h"
#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_OF(value) #value
#define NUMBER_TEXT(value) TEXT_OF(value)

/*
 * Sets of ids (live images, images with a row of a feature) are bit blocks in a table of their own:
 * a reader takes in a collection of millions by reading a few thousand bytes, and giving a feature
 * to all images rewrites a few hundred rows.
 */
static const char schema_text[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE files("
    "  number INTEGER PRIMARY KEY,"
    "  path TEXT NOT NULL UNIQUE,"
    "  format TEXT NOT NULL DEFAULT '',"
    "  reason TEXT NOT NULL DEFAULT '',"
    "  id INTEGER,"
    "  uuid BLOB,"
    "  content_hash BLOB,"
    "  state INTEGER NOT NULL,"
    "  width INTEGER NOT NULL DEFAULT 0,"
    "  height INTEGER NOT NULL DEFAULT 0,"
    "  bytes INTEGER NOT NULL DEFAULT 0,"
    "  mtime_ns INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE UNIQUE INDEX files_id ON files(id) WHERE id IS NOT NULL;"
    "CREATE UNIQUE INDEX files_uuid ON files(uuid) WHERE uuid IS NOT NULL;"
    "CREATE INDEX files_content ON files(content_hash) WHERE content_hash IS NOT NULL;"
    "CREATE TABLE retired(id INTEGER PRIMARY KEY, uuid BLOB NOT NULL) STRICT;"
    "CREATE TABLE bits(number INTEGER NOT NULL, block INTEGER NOT NULL, bits BLOB NOT NULL,"
    "  PRIMARY KEY(number, block)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE labels(uuid BLOB NOT NULL, label TEXT NOT NULL,"
    "  PRIMARY KEY(uuid, label)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX labels_label ON labels(label);"
    "CREATE TABLE features("
    "  number INTEGER PRIMARY KEY,"
    "  name TEXT NOT NULL UNIQUE,"
    "  spec TEXT NOT NULL,"
    "  fingerprint TEXT NOT NULL,"
    "  source TEXT NOT NULL,"
    "  dimension INTEGER NOT NULL,"
    "  row_type INTEGER NOT NULL,"
    "  metric INTEGER NOT NULL,"
    "  stem TEXT NOT NULL,"
    "  entries INTEGER NOT NULL,"
    "  sequence INTEGER NOT NULL) STRICT;"
    "CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE " IMS_CHECKSUMS_TABLE
    "INSERT INTO meta(key, value) VALUES('next_id', 0), ('generation', 0), ('files_0', 0),"
    "  ('files_1', 0), ('files_2', 0), ('files_3', 0), ('files_4', 0), ('files_5', 0);"
    "PRAGMA application_id=" NUMBER_TEXT(
        IMS_CATALOG_APPLICATION) ";"
                                 "PRAGMA user_version=" NUMBER_TEXT(IMS_CATALOG_VERSION) ";";

/* Fill a new, empty database file. */
static imgsim_status fill_database(const char *path)
{
    struct ims_db *db = NULL;
    imgsim_status status;

    /*
     * WAL mode stays with the file; closing the last connection leaves the file alone, complete. Nobody knows it before the caller
     * has synced it, so SQLite need not wait for the disk in between.
     */
    if ((status = ims_db_open(path, IMS_DB_WRITE, &db)) == IMGSIM_OK &&
        (status = ims_db_exec(
             db, "PRAGMA synchronous=OFF; PRAGMA encoding='UTF-8'; PRAGMA journal_mode=WAL;"
                 "BEGIN IMMEDIATE")) == IMGSIM_OK &&
        (status = ims_db_exec(db, schema_text)) == IMGSIM_OK &&
        (status = ims_db_exec(db, "COMMIT")) == IMGSIM_OK)
        status = ims_db_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)");
    ims_db_close(db);
    return status;
}

imgsim_status ims_schema_fill(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    imgsim_status status;

    if (fd < 0)
        return ims_fail_errno(errno, "cannot create %s", path);
    if ((status = fill_database(path)) == IMGSIM_OK && fsync(fd) != 0)
        status = ims_fail_errno(errno, "cannot create %s", path);
    close(fd);
    return status;
}

imgsim_status ims_schema_create(const char *folder, const char *database)
{
    char *path = ims_join_path(folder, "catalog.db.new");
    imgsim_status status = IMGSIM_OK;

    if (path == NULL)
        return ims_fail_memory(strlen(folder));
    unlink(path); /* of a creation that did not come to its end */
    if ((status = ims_schema_fill(path)) != IMGSIM_OK)
        goto done;
    if (rename(path, database) != 0) {
        status = ims_fail_errno(errno, "cannot create %s", database);
        goto done;
    }
    status = ims_fsync_folder(folder);

done:
    if (status != IMGSIM_OK)
        unlink(path);
    ims_free(path);
    return status;
}

/* A big-endian number of SQLite's file header. */
static uint32_t header_number(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static imgsim_status fail_version(const char *database, int64_t version)
{
    return ims_fail(
        IMGSIM_ERROR_UNSUPPORTED, "%s has version %lld, this library reads up to version %d",
        database, (long long)version, IMS_CATALOG_VERSION);
}

imgsim_status ims_schema_check_file(const char *database)
{
    uint8_t header[100];
    struct stat info;
    ssize_t size;
    int fd;

    if ((fd = open(database, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
        return ims_fail_errno(errno, "cannot open %s", database);
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s is not a regular file", database);
    }
    size = pread(fd, header, sizeof(header), 0);
    close(fd);
    if (size < 0)
        return ims_fail_errno(errno, "cannot read %s", database);
    if (size != (ssize_t)sizeof(header) || memcmp(header, "SQLite format 3", 16) != 0 ||
        header_number(header + 68) != IMS_CATALOG_APPLICATION)
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s is not a catalog of imgsim", database);
    if (header_number(header + 60) > IMS_CATALOG_VERSION)
        return fail_version(database, header_number(header + 60));
    return IMGSIM_OK;
}

imgsim_status ims_schema_check_version(struct ims_db *db, const char *database)
{
    imgsim_status status;
    int64_t version;

    if ((status = ims_db_number(db, "PRAGMA user_version", &version)) != IMGSIM_OK)
        return status;
    if (version > IMS_CATALOG_VERSION)
        return fail_version(database, version);
    if (version < 1)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "%s has version %lld, expected 1 to %d", database,
            (long long)version, IMS_CATALOG_VERSION);
    return IMGSIM_OK;
}
