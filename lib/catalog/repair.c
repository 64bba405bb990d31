/* SPDX-License-Identifier: Apache-2.0 */
/* Making a catalog agree with itself: whether its database can be read, records against sets of ids and counts, leftovers. */
#include "catalog/repair.h"

#include "catalog/catalog_internal.h"
#include "catalog/repair_sets.h"

#include "core/file.h"
#include "core/hash.h"
#include "core/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void ims_repair_say(struct ims_repair *repair, const char *format, ...)
{
    char text[IMS_ERROR_TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    for (size_t i = 0; text[i] != '\0'; i++)
        if (text[i] == '\n' || text[i] == '\r')
            text[i] = ' ';
    repair->report.changes++;
    ims_log(IMGSIM_LOG_INFO, "repair: %s", text);
    if (repair->options.callback != NULL)
        repair->options.callback(text, repair->options.user_data);
}

/* ---- whether the database can be read ---- */

/* The pages, the indexes, and every record. CORRUPT if anything is wrong with them. */
static imgsim_status check_database(struct ims_db *db)
{
    struct ims_file_record record;
    sqlite3_stmt *statement = NULL;
    imgsim_status status;
    bool row;

    if ((status = ims_db_prepare(db, "PRAGMA integrity_check(1)", &statement)) != IMGSIM_OK)
        return status;
    if ((status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row &&
        strcmp(ims_db_text(statement, 0), "ok") != 0)
        status = ims_fail(IMGSIM_ERROR_CORRUPT, "catalog.db: %s", ims_db_text(statement, 0));
    sqlite3_finalize(statement);
    if (status != IMGSIM_OK ||
        (status = ims_db_prepare(db, "SELECT " IMS_FILE_COLUMNS " FROM files", &statement)) !=
            IMGSIM_OK)
        return status;
    while ((status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row)
        if ((status = ims_db_record(statement, &record)) != IMGSIM_OK)
            break;
    sqlite3_finalize(statement);
    return status;
}

/* Open the catalog and check its database: CORRUPT and no handle if it has to be salvaged. */
static imgsim_status try_open(const char *path, imgsim_catalog **out_catalog)
{
    struct ims_db *db = NULL;
    imgsim_status status;

    if ((status = imgsim_catalog_open(path, NULL, out_catalog)) != IMGSIM_OK)
        return status;
    if ((status = ims_db_lease(*out_catalog, &db)) == IMGSIM_OK)
        status = check_database(db);
    ims_db_return(*out_catalog, db);
    if (status != IMGSIM_OK) {
        struct ims_error error = {0};

        ims_error_save(&error, status);
        imgsim_catalog_free(*out_catalog);
        *out_catalog = NULL;
        return ims_error_raise(&error);
    }
    return IMGSIM_OK;
}

/* Whether a folder is a catalog of ours although its database does not say so: nobody else has both of these. */
static bool looks_like_ours(const char *folder, const char *database)
{
    char *features = ims_join_path(folder, "features"), *lock = ims_join_path(folder, "lock");
    bool ours = ims_schema_check_file(database) == IMGSIM_OK;
    uint8_t header[72] = {0};
    struct stat info;
    int fd;

    if (!ours && features != NULL && lock != NULL && stat(features, &info) == 0 &&
        stat(lock, &info) == 0) {
        ours = true;
        /* A whole database of somebody else's is not damaged. */
        if ((fd = open(database, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) >= 0) {
            if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
                ours = false;
            else if (
                pread(fd, header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
                memcmp(header, "SQLite format 3", 16) == 0 && header[68] != 0)
                ours = memcmp(header + 68, "imgs", 4) == 0;
            close(fd);
        }
    }
    ims_free(features);
    ims_free(lock);
    return ours;
}

static imgsim_status salvage_under_lock(struct ims_repair *repair, const char *folder)
{
    char *database = ims_join_path(folder, "catalog.db");
    struct ims_error why = {0};
    imgsim_status status;
    int lock = -1;

    ims_error_save(&why, IMGSIM_ERROR_CORRUPT); /* what opening said */
    if (database == NULL)
        return ims_fail_memory(strlen(folder));
    if (!looks_like_ours(folder, database))
        status = ims_error_raise(&why);
    else if ((status = ims_lock_take(folder, "repair", 0, &lock)) == IMGSIM_OK)
        status = ims_salvage(repair, folder, database);
    ims_lock_release(lock);
    ims_free(database);
    return status;
}

imgsim_status
ims_repair_open(struct ims_repair *repair, const char *path, imgsim_catalog **out_catalog)
{
    imgsim_status status = try_open(path, out_catalog);
    char *folder = NULL;

    if (status != IMGSIM_ERROR_CORRUPT)
        return status;
    {
        struct ims_error why = {0};
        bool exists = false;

        ims_error_save(&why, status);
        if ((status = ims_catalog_choose_folder(path, &folder, &exists)) != IMGSIM_OK)
            return status;
        (void)ims_error_raise(&why);
    }
    status = salvage_under_lock(repair, folder);
    ims_free(folder);
    return status != IMGSIM_OK ? status : try_open(path, out_catalog);
}

/* ---- records against sets of ids and counts ---- */

/* Ids whose record says OK, and how many records each state has. */
struct tally {
    struct ims_bitset live;
    uint64_t counts[IMGSIM_FILE_STATE_COUNT];
    uint64_t next_id;
    uint64_t without_uuid;
};

static imgsim_status
tally_records(struct ims_catalog_writer *writer, struct tally *tally, uint64_t ids)
{
    static const uint8_t no_uuid[16];
    struct ims_file_record record;
    sqlite3_stmt *statement = NULL;
    imgsim_status status;
    bool row;

    if (!ims_bitset_init(&tally->live, ids, false))
        return ims_fail_memory((size_t)ids / 8);
    if ((status = ims_db_prepare(
             writer->change.db, "SELECT " IMS_FILE_COLUMNS " FROM files", &statement)) != IMGSIM_OK)
        return status;
    while ((status = ims_db_step(writer->change.db, statement, &row)) == IMGSIM_OK && row) {
        if ((status = ims_db_record(statement, &record)) != IMGSIM_OK)
            break;
        tally->counts[record.state]++;
        if (record.id >= 0 && record.state == IMGSIM_FILE_OK)
            ims_bitset_set(&tally->live, record.id);
        tally->without_uuid += record.id >= 0 && memcmp(record.uuid, no_uuid, 16) == 0;
    }
    sqlite3_finalize(statement);
    return status;
}

/* Images without a UUID get one. */
static imgsim_status give_uuids(struct ims_catalog_writer *writer)
{
    struct ims_db *db = writer->change.db;
    sqlite3_stmt *update = NULL;
    imgsim_status status;
    int64_t number = 0;

    status = ims_db_prepare(db, "UPDATE files SET uuid = ?1 WHERE number = ?2", &update);
    while (status == IMGSIM_OK) {
        uint8_t uuid[16];

        status = ims_db_number(
            db,
            "SELECT coalesce(min(number), 0) FROM files WHERE id IS NOT NULL AND"
            " (uuid IS NULL OR uuid = zeroblob(16))",
            &number);
        if (status != IMGSIM_OK || number == 0 || (status = ims_uuid_new(uuid)) != IMGSIM_OK)
            break;
        sqlite3_bind_blob(update, 1, uuid, 16, SQLITE_TRANSIENT);
        sqlite3_bind_int64(update, 2, number);
        status = ims_db_run(db, update);
    }
    sqlite3_finalize(update);
    return status;
}

/* The number of ids: none that a record has may be above it. */
static imgsim_status mend_ids(struct ims_repair *repair, struct ims_catalog_writer *writer)
{
    imgsim_status status;
    int64_t ids = 0;

    if ((status = ims_db_number(
             writer->change.db, "SELECT coalesce(max(id), -1) + 1 FROM files", &ids)) != IMGSIM_OK)
        return status;
    if ((uint64_t)ids <= writer->next_id)
        return IMGSIM_OK;
    ims_repair_say(
        repair, "catalog.db: %lld ids were given, it counted %llu", (long long)ids,
        (unsigned long long)writer->next_id);
    writer->next_id = (uint64_t)ids;
    if (!ims_bit_table_grow(&writer->live, writer->next_id))
        return ims_fail_memory((size_t)ids / 8);
    for (int i = 0; i < IMS_SETS_MAX; i++)
        if (writer->used[i] && !ims_bit_table_grow(&writer->stores[i].present, writer->next_id))
            return ims_fail_memory((size_t)ids / 8);
    return IMGSIM_OK;
}

static void
mend_live(struct ims_repair *repair, struct ims_catalog_writer *writer, const struct tally *tally)
{
    uint64_t wrong = 0;

    for (uint64_t id = 0; id < (uint64_t)writer->live.blocks * IMS_BLOCK_IDS; id++) {
        bool live = id < writer->next_id && ims_bitset_test(&tally->live, (int64_t)id);

        wrong += live != ims_bit_table_test(&writer->live, (int64_t)id);
        ims_bit_table_put(&writer->live, (int64_t)id, live);
    }
    if (wrong > 0)
        ims_repair_say(
            repair, "catalog.db: the set of live ids was wrong about %llu images",
            (unsigned long long)wrong);
    for (int state = 0; state < IMGSIM_FILE_STATE_COUNT; state++) {
        if (writer->state_counts[state] == tally->counts[state])
            continue;
        ims_repair_say(
            repair, "catalog.db: %llu files are in state %s, it counted %llu",
            (unsigned long long)tally->counts[state], ims_state_name(state),
            (unsigned long long)writer->state_counts[state]);
        writer->state_counts[state] = tally->counts[state];
    }
}

static imgsim_status mend_records(struct ims_repair *repair, struct ims_catalog_writer *writer)
{
    struct tally tally = {0};
    imgsim_status status;

    if ((status = mend_ids(repair, writer)) != IMGSIM_OK ||
        (status = tally_records(writer, &tally, writer->next_id)) != IMGSIM_OK)
        goto done;
    mend_live(repair, writer, &tally);
    if (tally.without_uuid > 0 && (status = give_uuids(writer)) == IMGSIM_OK)
        ims_repair_say(
            repair, "catalog.db: %llu images had no UUID and got new ones",
            (unsigned long long)tally.without_uuid);

done:
    ims_bitset_clear(&tally.live);
    return status;
}

/* ---- leftovers ---- */

/* Indexes are written without the catalog's lock: a file that grows is not left over. */
#define TEMPORARY_AGE 60

static bool is_old_temporary(int folder, const char *name)
{
    size_t length = strlen(name);
    struct stat info;

    return length > 11 && strncmp(name + length - 11, ".tmp-", 5) == 0 &&
           fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
           info.st_mtim.tv_sec < time(NULL) - TEMPORARY_AGE;
}

/* Names of a folder of the catalog that only an interrupted writer can have left. */
static bool is_leftover(const imgsim_catalog *catalog, const char *folder, const char *name)
{
    if (folder[0] == '\0')
        return strcmp(name, "catalog.db.new") == 0 || strncmp(name, "catalog.db.new-", 15) == 0 ||
               strncmp(name, "catalog.db.copy", 15) == 0;
    return strcmp(folder, "features") == 0 && ims_store_is_unnamed(catalog, name);
}

static imgsim_status
remove_leftovers(struct ims_repair *repair, const imgsim_catalog *catalog, const char *folder)
{
    char *path = ims_catalog_inner_path(catalog, folder);
    struct dirent *entry;
    DIR *listing;

    if (path == NULL)
        return ims_fail_memory(64);
    listing = opendir(path);
    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        if ((!is_old_temporary(dirfd(listing), entry->d_name) &&
             !is_leftover(catalog, folder, entry->d_name)) ||
            unlinkat(dirfd(listing), entry->d_name, 0) != 0)
            continue;
        repair->report.leftovers++;
        ims_repair_say(
            repair, "%s%s%s: left by an interrupted writer, removed", folder,
            folder[0] != '\0' ? "/" : "", entry->d_name);
    }
    if (listing != NULL)
        closedir(listing);
    ims_free(path);
    return IMGSIM_OK;
}

/* ---- the whole ---- */

/* Sets to be dropped as a whole, by number. */
static imgsim_status
drop_sets(struct ims_repair *repair, imgsim_catalog *catalog, const struct ims_doomed *doomed)
{
    imgsim_status status = IMGSIM_OK;

    for (int i = 0; i < IMS_SETS_MAX && status == IMGSIM_OK; i++) {
        if (doomed->names[i] == NULL)
            continue;
        if ((status = imgsim_catalog_remove_features(catalog, doomed->names[i])) == IMGSIM_OK)
            repair->report.features_dropped++;
    }
    return status;
}

imgsim_status ims_repair_catalog(struct ims_repair *repair, imgsim_catalog *catalog)
{
    static const char *const folders[] = {"", "features", "indexes", "maps"};
    struct ims_catalog_writer *writer = NULL;
    struct ims_doomed doomed = {{NULL}};
    imgsim_status status = IMGSIM_OK;

    /* Before the writer opens, which sweeps without a word; under its lock nothing of a living writer's is there. */
    {
        int lock = -1;

        if ((status = ims_lock_take(catalog->folder, "repair", 0, &lock)) != IMGSIM_OK)
            return status;
        status = imgsim_catalog_refresh(catalog);
        for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && status == IMGSIM_OK; i++)
            status = remove_leftovers(repair, catalog, folders[i]);
        ims_lock_release(lock);
    }
    if (status != IMGSIM_OK ||
        (status = ims_catalog_writer_open(catalog, "repair", &writer)) != IMGSIM_OK ||
        (status = mend_records(repair, writer)) != IMGSIM_OK ||
        (status = ims_repair_sets(repair, writer, &doomed)) != IMGSIM_OK ||
        (repair->report.changes > 0 && (status = ims_catalog_writer_commit(writer)) != IMGSIM_OK))
        goto done;
    ims_catalog_writer_close(writer);
    writer = NULL;
    if ((status = imgsim_catalog_refresh(catalog)) == IMGSIM_OK)
        status = drop_sets(repair, catalog, &doomed);

done:
    ims_catalog_writer_close(writer);
    for (int i = 0; i < IMS_SETS_MAX; i++)
        ims_free(doomed.names[i]);
    return status == IMGSIM_OK ? imgsim_catalog_refresh(catalog) : status;
}
