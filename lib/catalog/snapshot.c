/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a handle knows of the catalog: ids, live images and feature sets as of one consistent read.
 */
#include "catalog/catalog_internal.h"

#include "core/file.h"
#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Attempts to read the table of sets while another process is replacing them. */
#define ATTEMPTS_MAX 20

/* ---- rows of the tables `features` and `bits` ---- */

void ims_set_clear(struct ims_feature_set *set)
{
    ims_free(set->name);
    ims_free(set->spec);
    ims_free(set->fingerprint);
    ims_free(set->source);
    ims_free(set->stem);
    memset(set, 0, sizeof(*set));
}

void ims_sets_free(struct ims_feature_set *sets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ims_set_clear(&sets[i]);
    ims_free(sets);
}

/* Whether what a row says can be: nothing in a file may lead us out of our folder or arrays. */
static bool set_is_sound(const struct ims_feature_set *set)
{
    return set->number < IMS_SETS_MAX && ims_set_name_valid(set->name) &&
           ims_set_name_valid(set->stem) && set->dimension >= 1 &&
           set->dimension <= IMS_DIMENSION_MAX && set->row_type >= IMGSIM_ROW_FLOAT32 &&
           set->row_type <= IMGSIM_ROW_BYTES &&
           (set->row_type != IMGSIM_ROW_BITS || set->dimension % 8 == 0) &&
           set->metric >= IMGSIM_METRIC_DEFAULT && set->metric <= IMGSIM_METRIC_CALLBACK &&
           set->entries <= INT64_MAX / 8;
}

static imgsim_status read_set(sqlite3_stmt *row, struct ims_feature_set *set)
{
    set->number = (uint32_t)sqlite3_column_int64(row, 0);
    set->dimension = (uint32_t)sqlite3_column_int64(row, 1);
    set->row_type = sqlite3_column_int(row, 2);
    set->metric = sqlite3_column_int(row, 3);
    set->entries = (uint64_t)sqlite3_column_int64(row, 4);
    set->sequence = sqlite3_column_int64(row, 5);
    if ((set->name = ims_strdup(ims_db_text(row, 6))) == NULL ||
        (set->spec = ims_strdup(ims_db_text(row, 7))) == NULL ||
        (set->fingerprint = ims_strdup(ims_db_text(row, 8))) == NULL ||
        (set->source = ims_strdup(ims_db_text(row, 9))) == NULL ||
        (set->stem = ims_strdup(ims_db_text(row, 10))) == NULL)
        return ims_fail_memory(sizeof(*set));
    if (sqlite3_column_int64(row, 0) != (int64_t)set->number ||
        sqlite3_column_int64(row, 1) != (int64_t)set->dimension || !set_is_sound(set))
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "catalog.db: damaged record of feature \"%s\"", set->name);
    return IMGSIM_OK;
}

imgsim_status ims_sets_load(struct ims_db *db, struct ims_feature_set **out_sets, size_t *out_count)
{
    struct ims_feature_set *sets = NULL;
    sqlite3_stmt *statement = NULL;
    imgsim_status status;
    size_t count = 0;
    bool row;

    *out_sets = NULL;
    *out_count = 0;
    if ((sets = ims_calloc(IMS_SETS_MAX, sizeof(*sets))) == NULL)
        return ims_fail_memory(IMS_SETS_MAX * sizeof(*sets));
    status = ims_db_prepare(
        db,
        "SELECT number, dimension, row_type, metric, entries, sequence, name,"
        " spec, fingerprint, source, stem FROM features ORDER BY sequence, "
        "number",
        &statement);
    while (status == IMGSIM_OK && (status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row) {
        if (count == IMS_SETS_MAX) {
            status = ims_fail(
                IMGSIM_ERROR_CORRUPT, "catalog.db names more than %d features", IMS_SETS_MAX);
            break;
        }
        status = read_set(statement, &sets[count++]);
    }
    sqlite3_finalize(statement);
    if (status != IMGSIM_OK) {
        ims_sets_free(sets, count);
        return status;
    }
    *out_sets = sets;
    *out_count = count;
    return IMGSIM_OK;
}

imgsim_status ims_bits_load(struct ims_db *db, int32_t number, uint8_t *bytes, uint64_t count)
{
    size_t size = (size_t)((count + 7) / 8);
    sqlite3_stmt *statement = NULL;
    imgsim_status status;
    bool row;

    if ((status = ims_db_prepare(
             db, "SELECT block, bits FROM bits WHERE number = ?1", &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_int(statement, 1, number);
    while ((status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row) {
        int64_t block = sqlite3_column_int64(statement, 0);
        const void *blob = sqlite3_column_blob(statement, 1);
        size_t blob_size = (size_t)sqlite3_column_bytes(statement, 1);
        size_t start = (size_t)block * IMS_BLOCK_BYTES;

        if (block < 0 || block > (int64_t)(IMS_IDS_MAX / IMS_BLOCK_IDS) ||
            blob_size > IMS_BLOCK_BYTES) {
            status = ims_fail(IMGSIM_ERROR_CORRUPT, "catalog.db: damaged set of ids");
            break;
        }
        if (blob == NULL || start >= size)
            continue;
        memcpy(bytes + start, blob, blob_size < size - start ? blob_size : size - start);
    }
    sqlite3_finalize(statement);
    if (status == IMGSIM_OK && count % 8 != 0)
        bytes[size - 1] &= (uint8_t)((1u << (count % 8)) - 1);
    return status;
}

/* ---- the snapshot ---- */

static void close_files(struct ims_snapshot_set *set)
{
    for (int i = 0; i < IMS_SET_FILES_MAX; i++) {
        if (set->fds[i] >= 0)
            close(set->fds[i]);
        set->fds[i] = -1;
    }
    set->open_error = 0;
}

static void free_sets(struct ims_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->set_count; i++) {
        close_files(&snapshot->sets[i]);
        ims_bitset_clear(&snapshot->sets[i].present);
        ims_set_clear(&snapshot->sets[i].set);
    }
    ims_free(snapshot->sets);
    snapshot->sets = NULL;
    snapshot->set_count = 0;
}

void ims_snapshot_clear(struct ims_snapshot *snapshot)
{
    free_sets(snapshot);
    ims_bitset_clear(&snapshot->live);
    memset(snapshot, 0, sizeof(*snapshot));
}

/* Ids, live images and counts. */
static imgsim_status load_base(struct ims_db *db, struct ims_snapshot *snapshot)
{
    sqlite3_stmt *statement = NULL;
    imgsim_status status;
    int64_t next_id;
    bool row;

    if ((status = ims_db_number(db, "SELECT value FROM meta WHERE key = 'next_id'", &next_id)) !=
        IMGSIM_OK)
        return status;
    if (next_id < 0 || next_id > (int64_t)IMS_IDS_MAX)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "catalog.db: impossible number of ids, %lld", (long long)next_id);
    snapshot->id_count = (uint64_t)next_id;
    if (!ims_bitset_init(&snapshot->live, snapshot->id_count, false))
        return ims_fail_memory((size_t)snapshot->id_count / 8);
    if ((status = ims_bits_load(db, IMS_BITS_LIVE, snapshot->live.bytes, snapshot->id_count)) !=
        IMGSIM_OK)
        return status;
    snapshot->image_count = ims_bitset_popcount(&snapshot->live);

    if ((status = ims_db_prepare(
             db, "SELECT key, value FROM meta WHERE key LIKE 'files__'", &statement)) != IMGSIM_OK)
        return status;
    while ((status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row) {
        int state = ims_db_text(statement, 0)[6] - '0';
        int64_t value = sqlite3_column_int64(statement, 1);

        if (state >= 0 && state < IMGSIM_FILE_STATE_COUNT && value >= 0)
            snapshot->state_counts[state] = (uint64_t)value;
    }
    sqlite3_finalize(statement);
    return status;
}

/* The sets and which live images have a row; takes the texts over from `sets`. */
static imgsim_status load_sets(struct ims_db *db, struct ims_snapshot *snapshot)
{
    struct ims_feature_set *sets = NULL;
    imgsim_status status;
    size_t count;

    if ((status = ims_sets_load(db, &sets, &count)) != IMGSIM_OK)
        return status;
    if ((snapshot->sets = ims_calloc(count, sizeof(*snapshot->sets))) == NULL) {
        ims_sets_free(sets, count);
        return ims_fail_memory(count * sizeof(*snapshot->sets));
    }
    for (size_t i = 0; i < count; i++) {
        snapshot->sets[i].set = sets[i];
        for (int file = 0; file < IMS_SET_FILES_MAX; file++)
            snapshot->sets[i].fds[file] = -1;
    }
    snapshot->set_count = count;
    ims_free(sets);

    for (size_t i = 0; i < count; i++) {
        struct ims_snapshot_set *set = &snapshot->sets[i];

        if (!ims_bitset_init(&set->present, snapshot->id_count, false))
            return ims_fail_memory((size_t)snapshot->id_count / 8);
        if ((status = ims_bits_load(
                 db, (int32_t)set->set.number, set->present.bytes, snapshot->id_count)) !=
            IMGSIM_OK)
            return status;
        ims_bitset_and(&set->present, &snapshot->live);
        set->image_count = ims_bitset_popcount(&set->present);
    }
    return IMGSIM_OK;
}

/* Hold the files of all sets open. What cannot be opened is reported when the set is asked for. */
static imgsim_status open_files(const imgsim_catalog *catalog, struct ims_snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->set_count; i++) {
        struct ims_snapshot_set *set = &snapshot->sets[i];
        struct ims_set_file files[IMS_SET_FILES_MAX];
        size_t count = ims_set_files(set->set.row_type, set->set.dimension, files);

        for (size_t file = 0; file < count; file++) {
            char name[160];
            char *path;

            snprintf(name, sizeof(name), "features/%s%s", set->set.stem, files[file].suffix);
            if ((path = ims_catalog_inner_path(catalog, name)) == NULL)
                return ims_fail_memory(sizeof(name));
            set->fds[file] = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
            if (set->fds[file] < 0 && set->open_error == 0) {
                set->open_error = errno;
                set->missing_file = (uint32_t)file;
            }
            ims_free(path);
        }
    }
    return IMGSIM_OK;
}

/*
 * One attempt; *out_again: sets were replaced meanwhile, so the files may be of another generation.
 */
static imgsim_status load_once(
    const imgsim_catalog *catalog,
    struct ims_db *db,
    bool with_base,
    struct ims_snapshot *snapshot,
    bool *out_again)
{
    static const char generation_sql[] = "SELECT value FROM meta WHERE key = 'generation'";
    int64_t before = 0, after = 0;
    imgsim_status status;
    bool own = sqlite3_get_autocommit(db->handle) != 0;

    *out_again = false;
    if (own && (status = ims_db_exec(db, "BEGIN")) != IMGSIM_OK)
        return status;
    if ((status = ims_db_number(db, generation_sql, &before)) == IMGSIM_OK &&
        (!with_base || (status = load_base(db, snapshot)) == IMGSIM_OK))
        status = load_sets(db, snapshot);
    if (own && status == IMGSIM_OK)
        status = ims_db_exec(db, "COMMIT");
    else if (own)
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);

    /* Files are removed only after the commit that raised the generation. */
    if (status == IMGSIM_OK && (status = open_files(catalog, snapshot)) == IMGSIM_OK &&
        (status = ims_db_number(db, generation_sql, &after)) == IMGSIM_OK)
        *out_again = own && before != after;
    return status;
}

imgsim_status
ims_snapshot_load(const imgsim_catalog *catalog, struct ims_db *db, struct ims_snapshot *out)
{
    imgsim_status status = IMGSIM_OK;
    bool again = true;

    for (int attempt = 0; again && attempt < ATTEMPTS_MAX; attempt++) {
        ims_snapshot_clear(out);
        if ((status = load_once(catalog, db, true, out, &again)) != IMGSIM_OK)
            break;
    }
    if (status == IMGSIM_OK && again)
        status = ims_fail(
            IMGSIM_ERROR_BUSY, "the catalog's features change faster than they can "
                               "be opened");
    if (status != IMGSIM_OK)
        ims_snapshot_clear(out);
    return status;
}

imgsim_status ims_snapshot_reload_sets(imgsim_catalog *catalog)
{
    struct ims_snapshot fresh = {0};
    struct ims_snapshot *old = &catalog->snapshot;
    struct ims_db *db = NULL;
    imgsim_status status;
    bool again = true;

    if ((status = ims_db_lease(catalog, &db)) != IMGSIM_OK)
        return status;
    fresh.id_count = old->id_count;
    fresh.live = old->live; /* lent; sets are clipped to it */
    for (int attempt = 0; again && attempt < ATTEMPTS_MAX; attempt++) {
        free_sets(&fresh);
        if ((status = load_once(catalog, db, false, &fresh, &again)) != IMGSIM_OK)
            break;
    }
    ims_db_return(catalog, db);
    if (status != IMGSIM_OK) {
        free_sets(&fresh);
        return status;
    }
    free_sets(old);
    old->sets = fresh.sets;
    old->set_count = fresh.set_count;
    return IMGSIM_OK;
}
