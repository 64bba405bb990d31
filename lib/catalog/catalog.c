/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog's handle: opening, refreshing, releasing, and what it knows without asking the
 * database.
 */
#include "catalog/catalog_internal.h"

#include "core/file.h"
#include "core/memory.h"
#include "core/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What a process that creates waits for another one that does the same. */
#define CREATE_WAIT_MS 10000

static const imgsim_catalog_options default_options = {.struct_size = sizeof(default_options)};

imgsim_status imgsim_catalog_options_init(imgsim_catalog_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &default_options, sizeof(default_options));
}

/* ---- which folder ---- */

/* Whether folder/name is there. */
static imgsim_status has_entry(const char *folder, const char *name, bool *out_there)
{
    char *path = ims_join_path(folder, name);
    struct stat info;

    if (path == NULL)
        return ims_fail_memory(strlen(folder));
    *out_there = lstat(path, &info) == 0;
    ims_free(path);
    return IMGSIM_OK;
}

/* The catalog's folder for what the caller named: itself, or the .imgsim in it. */
static imgsim_status
choose_folder(const char *path, bool create, char **out_folder, bool *out_exists)
{
    char *folder = NULL;
    char *inner = NULL;
    imgsim_status status;

    *out_exists = false;
    if ((status = ims_absolute_path(path, &folder)) != IMGSIM_OK ||
        (status = has_entry(folder, "catalog.db", out_exists)) != IMGSIM_OK)
        goto done;
    if (!*out_exists) {
        if ((inner = ims_join_path(folder, ".imgsim")) == NULL) {
            status = ims_fail_memory(strlen(folder));
            goto done;
        }
        if ((status = has_entry(inner, "catalog.db", out_exists)) != IMGSIM_OK)
            goto done;
    }
    if (*out_exists && inner != NULL) {
        ims_free(folder);
        folder = inner;
        inner = NULL;
    } else if (!*out_exists && !create) {
        status =
            ims_fail(IMGSIM_ERROR_NOT_FOUND, "%s holds no catalog; run imgsim scan first", path);
        goto done;
    }
    *out_folder = folder;
    folder = NULL;

done:
    ims_free(folder);
    ims_free(inner);
    return status;
}

imgsim_status ims_catalog_choose_folder(const char *path, char **out_folder, bool *out_exists)
{
    return choose_folder(path, false, out_folder, out_exists);
}

/* Make the folder and an empty database, unless another process was quicker. */
static imgsim_status create_catalog(const imgsim_catalog *catalog)
{
    imgsim_status status;
    bool exists = false;
    int lock = -1;

    if ((status = ims_make_folder(catalog->folder)) != IMGSIM_OK ||
        (status = ims_lock_take(catalog->folder, "create", CREATE_WAIT_MS, &lock)) != IMGSIM_OK)
        return status;
    if ((status = has_entry(catalog->folder, "catalog.db", &exists)) == IMGSIM_OK && !exists)
        status = ims_schema_create(catalog->folder, catalog->database);
    ims_lock_release(lock);
    return status;
}

/* ---- opening ---- */

/*
 * The folder that relative paths start from: the one that holds a folder named .imgsim, else "/".
 */
static char *root_of(const char *folder)
{
    const char *slash = strrchr(folder, '/');
    char *root;

    if (strcmp(slash + 1, ".imgsim") != 0 || slash == folder)
        return ims_strdup("/");
    if ((root = ims_strdup(folder)) != NULL)
        root[slash - folder] = '\0';
    return root;
}

static imgsim_status new_handle(char *folder, int32_t read_only, imgsim_catalog **out_catalog)
{
    imgsim_catalog *catalog = ims_calloc(1, sizeof(*catalog));

    if (catalog == NULL) {
        ims_free(folder);
        return ims_fail_memory(sizeof(*catalog));
    }
    atomic_init(&catalog->references, 1);
    catalog->folder = folder;
    catalog->read_only = read_only;
    if ((catalog->root = root_of(folder)) == NULL ||
        (catalog->database = ims_join_path(folder, "catalog.db")) == NULL ||
        (catalog->pool = ims_calloc(1, sizeof(*catalog->pool))) == NULL) {
        imgsim_catalog_free(catalog);
        return ims_fail_memory(sizeof(*catalog));
    }
    pthread_mutex_init(&catalog->pool->mutex, NULL);
    *out_catalog = catalog;
    return IMGSIM_OK;
}

/* Whether there is no write-ahead log that would have to be read, too. */
static bool log_is_empty(const imgsim_catalog *catalog)
{
    char *path = ims_catalog_inner_path(catalog, "catalog.db-wal");
    struct stat info;
    bool empty;

    if (path == NULL)
        return false;
    empty = stat(path, &info) != 0 || info.st_size == 0;
    ims_free(path);
    return empty;
}

/*
 * Open the first connection; on a medium that cannot be written to, as a file that nobody changes.
 */
static imgsim_status connect(imgsim_catalog *catalog, struct ims_db **out_db)
{
    imgsim_status status;
    struct stat info;

    catalog->mode = catalog->read_only ? IMS_DB_READ : IMS_DB_WRITE;

    if ((status = ims_db_open(catalog->database, catalog->mode, out_db)) == IMGSIM_OK) {
        /* The first read is what needs the log's shared memory file. */
        if ((status = ims_schema_check_version(*out_db, catalog->database)) == IMGSIM_OK)
            return IMGSIM_OK;
    }
    ims_db_close(*out_db);
    *out_db = NULL;
    if (status != IMGSIM_ERROR_IO || !log_is_empty(catalog))
        return status;
    if (stat(catalog->database, &info) != 0)
        return ims_fail_errno(errno, "cannot examine %s", catalog->database);
    catalog->stamp = info.st_mtim;
    catalog->mode = IMS_DB_IMMUTABLE;
    if ((status = ims_db_open(catalog->database, catalog->mode, out_db)) == IMGSIM_OK)
        status = ims_schema_check_version(*out_db, catalog->database);
    if (status != IMGSIM_OK) {
        ims_db_close(*out_db);
        *out_db = NULL;
    }
    return status;
}

imgsim_status imgsim_catalog_open(
    const char *path,
    const imgsim_catalog_options *options,
    imgsim_catalog **out_catalog)
{
    imgsim_catalog_options settings = default_options;
    imgsim_catalog *catalog = NULL;
    struct ims_db *db = NULL;
    char *folder = NULL;
    imgsim_status status;
    bool exists;

    if (path == NULL || out_catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "path and out_catalog must not be NULL");
    *out_catalog = NULL;
    if ((status = ims_options_read(&settings, sizeof(settings), options)) != IMGSIM_OK)
        return status;
    if (settings.create && settings.read_only)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "create and read_only exclude each other");

    if ((status = choose_folder(path, settings.create != 0, &folder, &exists)) != IMGSIM_OK ||
        (status = new_handle(folder, settings.read_only != 0, &catalog)) != IMGSIM_OK)
        return status;
    if ((!exists && (status = create_catalog(catalog)) != IMGSIM_OK) ||
        (status = ims_schema_check_file(catalog->database)) != IMGSIM_OK ||
        (status = connect(catalog, &db)) != IMGSIM_OK ||
        (status = ims_snapshot_load(catalog, db, &catalog->snapshot)) != IMGSIM_OK)
        goto done;

    *out_catalog = catalog;

done:
    ims_db_return(catalog, db);
    if (status != IMGSIM_OK)
        imgsim_catalog_free(catalog);
    return status;
}

int ims_catalog_read_only(const imgsim_catalog *catalog)
{
    return catalog->read_only != 0;
}

const imgsim_catalog *ims_catalog_keep(const imgsim_catalog *catalog)
{
    atomic_fetch_add(&((imgsim_catalog *)(uintptr_t)catalog)->references, 1u);
    return catalog;
}

void imgsim_catalog_free(imgsim_catalog *catalog)
{
    if (catalog == NULL || atomic_fetch_sub(&catalog->references, 1u) != 1u)
        return;
    if (catalog->pool != NULL) {
        ims_db_drain(catalog);
        pthread_mutex_destroy(&catalog->pool->mutex);
        ims_free(catalog->pool);
    }
    ims_snapshot_clear(&catalog->snapshot);
    ims_free(catalog->folder);
    ims_free(catalog->root);
    ims_free(catalog->database);
    ims_free(catalog);
}

imgsim_status imgsim_catalog_refresh(imgsim_catalog *catalog)
{
    struct ims_snapshot fresh = {0};
    struct ims_db *db = NULL;
    imgsim_status status;

    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    status = ims_db_lease(catalog, &db);
    if (status == IMGSIM_ERROR_BUSY && catalog->mode == IMS_DB_IMMUTABLE) {
        /* Nobody else uses the handle now: look again how the database can be opened. */
        ims_db_drain(catalog);
        status = connect(catalog, &db);
    }
    if (status == IMGSIM_OK)
        status = ims_snapshot_load(catalog, db, &fresh);
    ims_db_return(catalog, db);
    if (status != IMGSIM_OK)
        return status;
    ims_snapshot_clear(&catalog->snapshot);
    catalog->snapshot = fresh;
    return IMGSIM_OK;
}

/* ---- what it knows ---- */

const char *imgsim_catalog_get_path(const imgsim_catalog *catalog)
{
    return catalog != NULL ? catalog->folder : "";
}

const char *imgsim_catalog_get_root(const imgsim_catalog *catalog)
{
    return catalog != NULL ? catalog->root : "";
}

uint64_t imgsim_catalog_get_id_count(const imgsim_catalog *catalog)
{
    return catalog != NULL ? catalog->snapshot.id_count : 0;
}

uint64_t imgsim_catalog_get_image_count(const imgsim_catalog *catalog)
{
    return catalog != NULL ? catalog->snapshot.image_count : 0;
}

imgsim_status imgsim_catalog_count_states(const imgsim_catalog *catalog, uint64_t *out_counts)
{
    if (catalog == NULL || out_counts == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and out_counts must not be NULL");
    memcpy(out_counts, catalog->snapshot.state_counts, sizeof(catalog->snapshot.state_counts));
    return IMGSIM_OK;
}

const struct ims_bitset *ims_catalog_live(const imgsim_catalog *catalog)
{
    return &catalog->snapshot.live;
}
