/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database with damaged pages: what can be read goes into a new one.
 *
 * Reading works on a copy. Its first page, which holds the header and the schema, is replaced by that of a fresh database when
 * SQLite cannot make sense of it: the schema is the same in every catalog of a version, and so are the places of its tables. Tables
 * are read by ranges of their keys; a range that fails is halved until only what lies on damaged pages is missing.
 */
#include "catalog/catalog_internal.h"
#include "catalog/repair.h"

#include "core/file.h"
#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Queries that may fail while ranges are halved. */
#define PROBES_MAX 20000
#define COPY_SIZE ((size_t)1 << 20)
#define COLUMNS_MAX 12

/* A table and how it is read: by ranges of a whole number, or from both ends of its primary key. */
struct table {
    const char *name;
    const char *columns;
    const char *key;
    int column_count;
    bool by_number;
};

static const struct table tables[] = {
    {"files", "number, " IMS_FILE_COLUMNS, "number", 12, true},
    {"retired", "id, uuid", "id", 2, true},
    {"features",
     "number, name, spec, fingerprint, source, dimension, row_type, metric, stem, entries, "
     "sequence",
     "number", 11, true},
    {"bits", "number, block, bits", "number, block", 3, false},
    {"meta", "key, value", "key", 2, false},
    {"settings", "key, value", "key", 2, false},
    {"labels", "uuid, label", "uuid, label", 2, false},
    {"checksums", "number, block, checksums", "number, block", 3, false},
};

struct salvage {
    struct ims_repair *repair;
    const struct table *table;
    struct ims_db *from;
    struct ims_db *to;
    sqlite3_stmt *insert;
    uint32_t probes;
    bool damaged; /* something of the table could not be read */
    uint64_t copied;
    bool checksums; /* they can be read */
};

/* ---- the copy to read from ---- */

static imgsim_status copy_bytes(int from, int to, const char *path)
{
    uint8_t *buffer = ims_alloc(COPY_SIZE);
    imgsim_status status = buffer != NULL ? IMGSIM_OK : ims_fail_memory(COPY_SIZE);

    for (off_t position = 0; status == IMGSIM_OK;) {
        ssize_t size = pread(from, buffer, COPY_SIZE, position);

        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            status = ims_fail_errno(errno, "cannot read %s", path);
        if (size <= 0)
            break;
        status = ims_pwrite_all(to, buffer, (size_t)size, (uint64_t)position, path);
        position += size;
    }
    ims_free(buffer);
    return status;
}

/* Copy a file; one that is not there gives none. */
static imgsim_status copy_file(const char *from, const char *to)
{
    int source = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK), target;
    imgsim_status status;

    unlink(to);
    if (source < 0)
        return errno == ENOENT ? IMGSIM_OK : ims_fail_errno(errno, "cannot read %s", from);
    if ((target = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) < 0) {
        status = ims_fail_errno(errno, "cannot create %s", to);
    } else {
        status = copy_bytes(source, target, to);
        close(target);
    }
    close(source);
    return status;
}

static void put_big(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Give a copy the first page of a fresh database, and its own number of pages. */
static imgsim_status replace_first_page(const char *copy, const char *fresh)
{
    uint8_t page[65536];
    imgsim_status status = IMGSIM_OK;
    int from = open(fresh, O_RDONLY | O_CLOEXEC), to = open(copy, O_RDWR | O_CLOEXEC);
    struct stat info;
    size_t size;

    if (from < 0 || to < 0 || fstat(to, &info) != 0) {
        status = ims_fail_errno(errno, "cannot open %s", copy);
        goto done;
    }
    if ((status = ims_pread_all(from, page, 100, 0, fresh)) != IMGSIM_OK)
        goto done;
    size = (size_t)page[16] << 8 | page[17];
    size = size == 1 ? 65536 : size;
    if (size < 512 || size > sizeof(page) || info.st_size < (off_t)size) {
        status = ims_fail(IMGSIM_ERROR_CORRUPT, "%s has no whole page", copy);
        goto done;
    }
    if ((status = ims_pread_all(from, page, size, 0, fresh)) != IMGSIM_OK)
        goto done;
    put_big(page + 28, (uint32_t)((uint64_t)info.st_size / size));
    put_big(page + 32, 0); /* no list of free pages */
    put_big(page + 36, 0);
    memcpy(page + 92, page + 24, 4); /* the number of pages is valid for this change counter */
    status = ims_pwrite_all(to, page, size, 0, copy);

done:
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return status;
}

/* Open the copy if its schema can be read; *out_db NULL otherwise. */
static imgsim_status try_copy(const char *copy, struct ims_db **out_db)
{
    imgsim_status status;
    int64_t count = 0;

    *out_db = NULL;
    if ((status = ims_schema_check_file(copy)) == IMGSIM_OK &&
        (status = ims_db_open(copy, IMS_DB_WRITE, out_db)) == IMGSIM_OK)
        status = ims_db_number(
            *out_db, "SELECT count(*) FROM sqlite_schema WHERE name IN ('files', 'bits', 'meta')",
            &count);
    if (status == IMGSIM_OK && count == 3)
        return IMGSIM_OK;
    ims_db_close(*out_db);
    *out_db = NULL;
    return status == IMGSIM_ERROR_CORRUPT || status == IMGSIM_OK ? IMGSIM_OK : status;
}

/* ---- rows ---- */

/* Put the row that `select` stands at into the new database; rows that it does not take are lost. */
static imgsim_status copy_row(struct salvage *salvage, sqlite3_stmt *select)
{
    imgsim_status status;

    for (int i = 0; i < salvage->table->column_count; i++)
        sqlite3_bind_value(salvage->insert, i + 1, sqlite3_column_value(select, i));
    status = ims_db_run(salvage->to, salvage->insert);
    sqlite3_clear_bindings(salvage->insert);
    if (status == IMGSIM_ERROR_CORRUPT) { /* a value of a wrong type */
        salvage->damaged = true;
        return IMGSIM_OK;
    }
    salvage->copied += status == IMGSIM_OK;
    return status;
}

/* Read one query to its end or to its first damage. *out_last: whole number in the first column of the last row. */
static imgsim_status copy_query(
    struct salvage *salvage,
    const char *order,
    int64_t first,
    int64_t last,
    bool *out_whole,
    int64_t *out_last)
{
    const struct table *table = salvage->table;
    sqlite3_stmt *select = NULL;
    imgsim_status status;
    char sql[512];
    bool row;

    *out_whole = false;
    if (table->by_number)
        snprintf(
            sql, sizeof(sql),
            "SELECT %s FROM %s NOT INDEXED WHERE %s BETWEEN ?1 AND ?2 ORDER BY %s", table->columns,
            table->name, table->key, table->key);
    else
        snprintf(
            sql, sizeof(sql), "SELECT %s FROM %s ORDER BY %s", table->columns, table->name, order);
    if ((status = ims_db_prepare(salvage->from, sql, &select)) != IMGSIM_OK)
        return status == IMGSIM_ERROR_CORRUPT ? IMGSIM_OK : status;
    sqlite3_bind_int64(select, 1, first);
    sqlite3_bind_int64(select, 2, last);
    while ((status = ims_db_step(salvage->from, select, &row)) == IMGSIM_OK && row) {
        *out_last = sqlite3_column_int64(select, 0);
        if ((status = copy_row(salvage, select)) != IMGSIM_OK) {
            sqlite3_finalize(select);
            return status;
        }
    }
    sqlite3_finalize(select);
    *out_whole = status == IMGSIM_OK;
    return status == IMGSIM_ERROR_CORRUPT || status == IMGSIM_OK ? IMGSIM_OK : status;
}

/* Copy the rows whose key lies in a range, going around what is damaged. */
static imgsim_status copy_range(struct salvage *salvage, int64_t first, int64_t last)
{
    int64_t reached = first - 1, middle;
    imgsim_status status;
    bool whole;

    if (first > last || salvage->probes++ >= PROBES_MAX)
        return IMGSIM_OK;
    if ((status = copy_query(salvage, NULL, first, last, &whole, &reached)) != IMGSIM_OK || whole)
        return status;
    salvage->damaged = true;
    first = reached + 1;
    if (first >= last)
        return IMGSIM_OK;
    middle = first + (last - first) / 2;
    if ((status = copy_range(salvage, first, middle)) != IMGSIM_OK)
        return status;
    return copy_range(salvage, middle + 1, last);
}

/* From the begin as far as it goes, then from the end. */
static imgsim_status copy_both_ways(struct salvage *salvage)
{
    static const char *const reversed[][2] = {
        {"number, block", "number DESC, block DESC"},
        {"key", "key DESC"},
        {"uuid, label", "uuid DESC, label DESC"},
    };
    imgsim_status status;
    int64_t reached;
    bool whole;

    if ((status = copy_query(salvage, salvage->table->key, 0, 0, &whole, &reached)) != IMGSIM_OK ||
        whole)
        return status;
    salvage->damaged = true;
    for (size_t i = 0; i < sizeof(reversed) / sizeof(reversed[0]); i++)
        if (strcmp(reversed[i][0], salvage->table->key) == 0)
            return copy_query(salvage, reversed[i][1], 0, 0, &whole, &reached);
    return IMGSIM_OK;
}

static imgsim_status copy_table(struct salvage *salvage, const struct table *table)
{
    char sql[512], marks[COLUMNS_MAX * 2 + 1] = "";
    imgsim_status status;

    salvage->table = table;
    salvage->damaged = false;
    salvage->probes = 0;
    salvage->copied = 0;
    if (strcmp(table->name, "checksums") == 0 && !salvage->checksums)
        return IMGSIM_OK;
    for (int i = 0; i < table->column_count; i++)
        strcat(marks, i == 0 ? "?" : ",?");
    snprintf(
        sql, sizeof(sql), "INSERT OR IGNORE INTO %s(%s) VALUES(%s)", table->name, table->columns,
        marks);
    if ((status = ims_db_prepare(salvage->to, sql, &salvage->insert)) != IMGSIM_OK)
        return status;
    status = table->by_number ? copy_range(salvage, 0, INT64_C(1) << 40) : copy_both_ways(salvage);
    sqlite3_finalize(salvage->insert);
    if (status == IMGSIM_OK && salvage->damaged)
        ims_repair_say(
            salvage->repair, "catalog.db: of table %s only %llu rows could be read", table->name,
            (unsigned long long)salvage->copied);
    return status;
}

/* ---- sense ---- */

/* What no writer of ours can have written, and values that were lost; the rest is ims_repair_catalog()'s. */
static const char mend_text[] =
    "DELETE FROM files WHERE path = '' OR state NOT BETWEEN 0 AND 5 OR id < 0 OR"
    " id >= 2147483648 OR (state = 0 AND id IS NULL) OR length(uuid) <> 16 OR"
    " length(content_hash) <> 16;"
    "DELETE FROM retired WHERE id < 0 OR id >= 2147483648 OR length(uuid) <> 16;"
    "DELETE FROM labels WHERE length(uuid) <> 16;"
    "DELETE FROM bits WHERE number < -1 OR number > 61 OR block < 0 OR block > 524288 OR"
    " length(bits) > 512 OR (number >= 0 AND number NOT IN (SELECT number FROM features));"
    "DELETE FROM checksums WHERE number NOT IN (SELECT number FROM features) OR block < 0 OR"
    " length(checksums) <> 4096;"
    "UPDATE meta SET value = max(value, (SELECT coalesce(max(id), -1) + 1 FROM files),"
    " (SELECT coalesce(max(id), -1) + 1 FROM retired)) WHERE key = 'next_id';"
    "UPDATE meta SET value = value + 1 WHERE key = 'generation';";

/* Feature sets that could lead us astray; their bits go with them. */
static imgsim_status mend_features(struct salvage *salvage)
{
    struct ims_feature_set *sets = NULL;
    imgsim_status status;
    size_t count;

    if ((status = ims_sets_load(salvage->to, &sets, &count)) == IMGSIM_OK)
        ims_sets_free(sets, count);
    if (status != IMGSIM_ERROR_CORRUPT)
        return status;
    ims_repair_say(
        salvage->repair, "catalog.db: all features are dropped: %s", imgsim_last_error());
    return ims_db_exec(salvage->to, "DELETE FROM features; DELETE FROM bits WHERE number >= 0");
}

/* How many files the old database counted, -1 if it does not say. */
static int64_t count_before(struct ims_db *db)
{
    int64_t count = -1;

    if (ims_db_number(db, "SELECT sum(value) FROM meta WHERE key LIKE 'files__'", &count) !=
        IMGSIM_OK)
        return -1;
    return count;
}

static imgsim_status fill(struct salvage *salvage)
{
    imgsim_repair_report *report = &salvage->repair->report;
    int64_t before = count_before(salvage->from), after = 0;
    imgsim_status status;

    if ((status = ims_db_exec(salvage->to, "BEGIN IMMEDIATE; DELETE FROM meta")) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
        if ((status = copy_table(salvage, &tables[i])) != IMGSIM_OK)
            return status;
    if ((status = ims_db_exec(
             salvage->to, "INSERT OR IGNORE INTO meta(key, value) VALUES('next_id', 0),"
                          " ('generation', 0), ('files_0', 0), ('files_1', 0), ('files_2', 0),"
                          " ('files_3', 0), ('files_4', 0), ('files_5', 0)")) != IMGSIM_OK ||
        (status = mend_features(salvage)) != IMGSIM_OK ||
        (status = ims_db_exec(salvage->to, mend_text)) != IMGSIM_OK ||
        (status = ims_db_number(salvage->to, "SELECT count(*) FROM files", &after)) != IMGSIM_OK ||
        (status = ims_db_exec(salvage->to, "COMMIT")) != IMGSIM_OK ||
        (status = ims_db_exec(salvage->to, "PRAGMA wal_checkpoint(TRUNCATE)")) != IMGSIM_OK)
        return status;
    if (after == 0 && before != 0)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "catalog.db: no record of a file can be read any more");
    if (before > after)
        report->files_lost = (uint64_t)(before - after);
    ims_repair_say(
        salvage->repair, "catalog.db: built anew with the records of %lld files, %s%llu lost",
        (long long)after, before < 0 ? "of an unknown number, at least " : "",
        (unsigned long long)report->files_lost);
    return IMGSIM_OK;
}

/* ---- the exchange ---- */

/* A name for the old database that is not taken: catalog.db.damaged, catalog.db.damaged-1, ... */
static imgsim_status keep_old(const char *database, char **out_kept)
{
    size_t size = strlen(database) + 32;
    char *kept = ims_alloc(size);

    if (kept == NULL)
        return ims_fail_memory(size);
    for (int i = 0; i < 1000; i++) {
        snprintf(kept, size, i == 0 ? "%s.damaged" : "%s.damaged-%d", database, i);
        if (link(database, kept) == 0) {
            *out_kept = kept;
            return IMGSIM_OK;
        }
        if (errno != EEXIST)
            break;
    }
    /* A file system without links: then it is copied. */
    if (errno == EPERM || errno == EOPNOTSUPP) {
        *out_kept = kept;
        return copy_file(database, kept);
    }
    ims_free(kept);
    return ims_fail_errno(errno, "cannot keep %s", database);
}

/*
 * The write-ahead log belongs to the old database and would be played into the new one, so it moves away first. A crash in between
 * leaves the old database, damaged as it was.
 */
static imgsim_status
exchange(struct ims_repair *repair, const char *folder, const char *database, const char *fresh)
{
    static const char *const sides[] = {"-wal", "-shm"};
    size_t size = strlen(database) + 64;
    char *kept = NULL, *from = ims_alloc(size), *to = ims_alloc(size);
    imgsim_status status;

    if (from == NULL || to == NULL) {
        status = ims_fail_memory(size);
        goto done;
    }
    if ((status = keep_old(database, &kept)) != IMGSIM_OK)
        goto done;
    for (int i = 0; i < 2; i++) {
        snprintf(from, size, "%s%s", database, sides[i]);
        snprintf(to, size, "%s%s", kept, sides[i]);
        if ((i == 0 ? rename(from, to) : unlink(from)) != 0 && errno != ENOENT) {
            status = ims_fail_errno(errno, "cannot move %s away", from);
            goto done;
        }
    }
    if (rename(fresh, database) != 0)
        status = ims_fail_errno(errno, "cannot replace %s", database);
    if (status == IMGSIM_OK && (status = ims_fsync_folder(folder)) == IMGSIM_OK) {
        repair->report.rebuilt = 1;
        ims_repair_say(repair, "the damaged database is kept as %s", kept);
    }

done:
    ims_free(kept);
    ims_free(from);
    ims_free(to);
    return status;
}

static void remove_with_sides(const char *path)
{
    char *name = ims_alloc(strlen(path) + 8);

    for (int i = 0; name != NULL && i < 3; i++) {
        sprintf(name, "%s%s", path, i == 0 ? "" : i == 1 ? "-wal" : "-shm");
        unlink(name);
    }
    ims_free(name);
}

/*
 * Checksums cannot be read by a schema that is not the database's own: a catalog that is older than they are got their table later,
 * at another place. Rows without checksums are those of such a catalog.
 */
static imgsim_status
open_copy(struct salvage *salvage, const char *database, const char *copy, const char *fresh)
{
    struct ims_db **out_db = &salvage->from;
    size_t size = strlen(database) + 64;
    char *from = ims_alloc(size), *to = ims_alloc(size);
    imgsim_status status = IMGSIM_OK;

    if (from == NULL || to == NULL)
        status = ims_fail_memory(size);
    for (int attempt = 0; attempt < 2 && status == IMGSIM_OK && *out_db == NULL; attempt++) {
        remove_with_sides(copy);
        snprintf(from, size, "%s-wal", database);
        snprintf(to, size, "%s-wal", copy);
        if ((status = copy_file(database, copy)) != IMGSIM_OK ||
            (status = copy_file(from, to)) != IMGSIM_OK ||
            (attempt == 1 && (status = replace_first_page(copy, fresh)) != IMGSIM_OK))
            break;
        if ((status = try_copy(copy, out_db)) == IMGSIM_OK && *out_db != NULL && attempt == 0 &&
            ims_checksums_exist(*out_db, &salvage->checksums) != IMGSIM_OK)
            salvage->checksums = false;
    }
    if (status == IMGSIM_OK && *out_db == NULL)
        status = ims_fail(IMGSIM_ERROR_CORRUPT, "%s: its tables cannot be found", database);
    ims_free(from);
    ims_free(to);
    return status;
}

imgsim_status ims_salvage(struct ims_repair *repair, const char *folder, const char *database)
{
    struct salvage salvage = {.repair = repair};
    char *fresh = ims_join_path(folder, "catalog.db.new");
    char *copy = ims_join_path(folder, "catalog.db.copy");
    imgsim_status status;

    if (fresh == NULL || copy == NULL) {
        status = ims_fail_memory(strlen(folder));
        goto done;
    }
    remove_with_sides(fresh);
    if ((status = ims_schema_fill(fresh)) != IMGSIM_OK ||
        (status = open_copy(&salvage, database, copy, fresh)) != IMGSIM_OK ||
        (status = ims_db_open(fresh, IMS_DB_WRITE, &salvage.to)) != IMGSIM_OK)
        goto done;
    status = fill(&salvage);
    ims_db_close(salvage.to);
    salvage.to = NULL;
    if (status == IMGSIM_OK)
        status = exchange(repair, folder, database, fresh);

done:
    ims_db_close(salvage.from);
    ims_db_close(salvage.to);
    if (fresh != NULL && copy != NULL) {
        remove_with_sides(fresh);
        remove_with_sides(copy);
    }
    ims_free(fresh);
    ims_free(copy);
    return status;
}
