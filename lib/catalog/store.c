/* SPDX-License-Identifier: Apache-2.0 */
/* The writer's side of a feature set: its files, rows into them, a new generation of them. */
#include "catalog/catalog_internal.h"

#include "core/file.h"
#include "core/memory.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Path of a file of a set; NULL when out of memory. */
static char *file_path(const imgsim_catalog *catalog, const char *stem, const char *suffix)
{
    char name[160];

    snprintf(name, sizeof(name), "features/%s%s", stem, suffix);
    return ims_catalog_inner_path(catalog, name);
}

static void prepare_shapes(struct ims_store *store)
{
    struct ims_set_file shapes[IMS_SET_FILES_MAX];

    store->file_count = ims_set_files(store->set.row_type, store->set.dimension, shapes);
    for (size_t i = 0; i < store->file_count; i++)
        store->files[i] = (struct ims_matrix){.fd = -1, .shape = shapes[i]};
}

/* Rows of a file that the catalog names. */
static uint64_t committed_rows(
    const struct ims_catalog_writer *writer,
    const struct ims_store *store,
    const struct ims_matrix *file)
{
    return file->shape.by_id ? writer->committed_id : store->set.entries;
}

imgsim_status ims_store_open(struct ims_catalog_writer *writer, struct ims_store *store)
{
    imgsim_status status = IMGSIM_OK;

    if (store->open)
        return IMGSIM_OK;
    prepare_shapes(store);
    for (size_t i = 0; i < store->file_count && status == IMGSIM_OK; i++) {
        struct ims_matrix *file = &store->files[i];
        char *path = file_path(writer->catalog, store->set.stem, file->shape.suffix);

        status = path == NULL ? ims_fail_memory(sizeof(*file))
                              : ims_matrix_open(file, path, committed_rows(writer, store, file));
    }
    store->open = status == IMGSIM_OK;
    for (size_t i = 0; i < store->file_count && !store->open; i++)
        ims_matrix_close(&store->files[i]);
    return status;
}

/* ---- a new generation ---- */

/*
 * The set's plain name while no file has it, else the name and the generation. NULL when out of
 * memory.
 */
static char *choose_stem(struct ims_catalog_writer *writer, const struct ims_store *store)
{
    struct ims_set_file shapes[IMS_SET_FILES_MAX];
    char stem[96];
    struct stat info;
    char *path;
    int taken;

    ims_set_files(store->set.row_type, store->set.dimension, shapes);
    if ((path = file_path(writer->catalog, store->set.name, shapes[0].suffix)) == NULL)
        return NULL;
    taken = lstat(path, &info) == 0;
    ims_free(path);
    if (!taken)
        return ims_strdup(store->set.name);
    snprintf(stem, sizeof(stem), "%.63s-%lld", store->set.name, (long long)writer->generation);
    return ims_strdup(stem);
}

static imgsim_status create_files(struct ims_catalog_writer *writer, struct ims_store *store)
{
    imgsim_status status = IMGSIM_OK;

    prepare_shapes(store);
    writer->folder_touched = true;
    for (size_t i = 0; i < store->file_count && status == IMGSIM_OK; i++) {
        char *path = file_path(writer->catalog, store->set.stem, store->files[i].shape.suffix);

        status = path == NULL ? ims_fail_memory(sizeof(store->files[i]))
                              : ims_matrix_create(&store->files[i], path);
    }
    return status;
}

imgsim_status ims_store_renew(struct ims_catalog_writer *writer, struct ims_store *store, bool copy)
{
    struct ims_matrix old[IMS_SET_FILES_MAX];
    imgsim_status status = IMGSIM_OK;
    char *old_stem = store->set.stem;
    size_t old_count = store->open ? store->file_count : 0;
    bool was_made = store->made;

    memcpy(old, store->files, sizeof(old));
    writer->generation++;
    if ((store->set.stem = choose_stem(writer, store)) == NULL) {
        store->set.stem = old_stem;
        return ims_fail_memory(sizeof(*store));
    }
    store->open = true;
    store->made = true;
    store->dirty = true;
    if ((status = create_files(writer, store)) == IMGSIM_OK && copy)
        for (size_t i = 0; i < store->file_count && status == IMGSIM_OK; i++)
            status = ims_matrix_copy(
                &store->files[i], &old[i], committed_rows(writer, store, &store->files[i]));
    if (!copy)
        store->entries = 0;

    for (size_t i = 0; i < old_count; i++)
        ims_matrix_close(&old[i]);
    if (old_stem != NULL && was_made) {
        ims_store_remove_files(writer->catalog, old_stem);
        ims_free(old_stem);
    } else if (old_stem != NULL) {
        store->old_stem = old_stem;
    }
    return status;
}

/* ---- rows ---- */

imgsim_status ims_store_put_sparse_row(
    struct ims_catalog_writer *writer,
    struct ims_store *store,
    int64_t id,
    uint32_t length,
    const uint16_t *bins,
    const uint32_t *counts)
{
    uint64_t offset;
    imgsim_status status;

    if ((status = ims_store_open(writer, store)) != IMGSIM_OK)
        return status;
    offset = store->entries;
    if ((status = ims_matrix_write(&store->files[IMS_SPARSE_BINS], offset, length, bins)) !=
            IMGSIM_OK ||
        (status = ims_matrix_write(&store->files[IMS_SPARSE_COUNTS], offset, length, counts)) !=
            IMGSIM_OK ||
        (status = ims_matrix_write(&store->files[IMS_SPARSE_OFFSETS], (uint64_t)id, 1, &offset)) !=
            IMGSIM_OK ||
        (status = ims_matrix_write(&store->files[IMS_SPARSE_LENGTHS], (uint64_t)id, 1, &length)) !=
            IMGSIM_OK)
        return status;
    store->entries += length;
    store->dirty = true;
    return ims_checksums_put(writer, store, id, ims_checksum_sparse(bins, counts, length));
}

/* A row of bytes comes as its length, in 32 bits, and the bytes. */
static imgsim_status put_bytes_row(
    struct ims_catalog_writer *writer,
    struct ims_store *store,
    int64_t id,
    const uint8_t *row)
{
    uint64_t offset = store->entries;
    imgsim_status status;
    uint32_t length;

    memcpy(&length, row, sizeof(length));
    if (length > store->set.dimension)
        return ims_fail(
            IMGSIM_ERROR_INTERNAL, "a row of feature \"%s\" has %u bytes, at most %u",
            store->set.name, length, store->set.dimension);
    if ((status = ims_matrix_write(
             &store->files[IMS_BYTES_DATA], offset, length, row + sizeof(length))) != IMGSIM_OK ||
        (status = ims_matrix_write(&store->files[IMS_SPARSE_OFFSETS], (uint64_t)id, 1, &offset)) !=
            IMGSIM_OK ||
        (status = ims_matrix_write(&store->files[IMS_SPARSE_LENGTHS], (uint64_t)id, 1, &length)) !=
            IMGSIM_OK)
        return status;
    store->entries += length;
    store->dirty = true;
    return ims_checksums_put(writer, store, id, ims_checksum_bytes(row + sizeof(length), length));
}

imgsim_status ims_store_put_row(
    struct ims_catalog_writer *writer,
    struct ims_store *store,
    int64_t id,
    const void *row)
{
    imgsim_status status;

    if ((status = ims_store_open(writer, store)) != IMGSIM_OK)
        return status;
    if (store->set.row_type == IMGSIM_ROW_UINT32) {
        uint32_t length =
            ims_sparse_encode(row, store->set.dimension, writer->bins, writer->counts);

        return ims_store_put_sparse_row(writer, store, id, length, writer->bins, writer->counts);
    }
    if (store->set.row_type == IMGSIM_ROW_BYTES)
        return put_bytes_row(writer, store, id, row);
    if ((status = ims_matrix_write(&store->files[0], (uint64_t)id, 1, row)) != IMGSIM_OK)
        return status;
    return ims_checksums_put(
        writer, store, id, ims_checksum_bytes(row, store->files[0].shape.row_size));
}

imgsim_status ims_store_sync(struct ims_catalog_writer *writer, struct ims_store *store)
{
    imgsim_status status = IMGSIM_OK;

    if (!store->open && writer->next_id == writer->committed_id)
        return IMGSIM_OK;
    if ((status = ims_store_open(writer, store)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < store->file_count && status == IMGSIM_OK; i++)
        status = ims_matrix_sync(
            &store->files[i], store->files[i].shape.by_id ? writer->next_id : store->entries);
    return status;
}

void ims_store_committed(struct ims_catalog_writer *writer, struct ims_store *store)
{
    store->set.entries = store->entries;
    store->made = false;
    store->dirty = false;
    if (store->old_stem != NULL)
        ims_store_remove_files(writer->catalog, store->old_stem);
    ims_free(store->old_stem);
    store->old_stem = NULL;
}

void ims_store_close(struct ims_catalog_writer *writer, struct ims_store *store)
{
    for (size_t i = 0; i < store->file_count && store->open; i++) {
        if (!store->made && store->files[i].fd >= 0)
            ims_matrix_trim(&store->files[i], committed_rows(writer, store, &store->files[i]));
        ims_matrix_close(&store->files[i]);
    }
    if (store->made)
        ims_store_remove_files(writer->catalog, store->set.stem);
    ims_free(store->old_stem);
    ims_bit_table_clear(&store->present);
    ims_checksums_clear(&store->checksums);
    ims_set_clear(&store->set);
    memset(store, 0, sizeof(*store));
}

/* ---- files that nobody names ---- */

static const char *const suffixes[] = {".offsets.npy", ".lengths.npy", ".bins.npy",
                                       ".counts.npy",  ".bytes.npy",   ".npy"};

void ims_store_remove_files(const imgsim_catalog *catalog, const char *stem)
{
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        char *path = file_path(catalog, stem, suffixes[i]);

        if (path != NULL)
            unlink(path);
        ims_free(path);
    }
}

/* Whether a file name is that of a set's file; then its stem. */
static bool stem_of(const char *name, char stem[96])
{
    size_t length = strlen(name);

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        size_t suffix = strlen(suffixes[i]);

        if (length <= suffix || length - suffix >= 96 ||
            strcmp(name + length - suffix, suffixes[i]) != 0)
            continue;
        memcpy(stem, name, length - suffix);
        stem[length - suffix] = '\0';
        return ims_set_name_valid(stem);
    }
    return false;
}

bool ims_store_is_unnamed(const imgsim_catalog *catalog, const char *name)
{
    char stem[96];

    if (!stem_of(name, stem))
        return false;
    for (size_t i = 0; i < catalog->snapshot.set_count; i++)
        if (strcmp(catalog->snapshot.sets[i].set.stem, stem) == 0)
            return false;
    return true;
}

void ims_store_sweep(struct ims_catalog_writer *writer)
{
    char *folder = ims_catalog_inner_path(writer->catalog, "features");
    DIR *listing = folder != NULL ? opendir(folder) : NULL;
    struct dirent *entry;
    char stem[96];

    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        bool named = false;

        if (!stem_of(entry->d_name, stem))
            continue;
        for (int i = 0; i < IMS_SETS_MAX && !named; i++)
            named = writer->used[i] && strcmp(writer->stores[i].set.stem, stem) == 0;
        if (!named) {
            ims_log(
                IMGSIM_LOG_INFO, "removing features/%s, left by an interrupted writer",
                entry->d_name);
            unlinkat(dirfd(listing), entry->d_name, 0);
        }
    }
    if (listing != NULL)
        closedir(listing);
    ims_free(folder);
}
