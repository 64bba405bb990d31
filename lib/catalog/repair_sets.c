/* SPDX-License-Identifier: Apache-2.0 */
/* Repairing feature sets: rows that are damaged, files that are too short or not what they should be. */
#include "catalog/repair_sets.h"

#include "core/memory.h"
#include "core/npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One set being mended. */
struct mending {
    struct ims_repair *repair;
    struct ims_catalog_writer *writer;
    struct ims_store *store;
    struct ims_set_file shapes[IMS_SET_FILES_MAX];
    size_t file_count;
    struct ims_map maps[IMS_SET_FILES_MAX];
    uint64_t rows[IMS_SET_FILES_MAX]; /* whole ones that each file has */
    uint64_t dropped;
    uint64_t sealed;                /* got the checksum that they lacked */
    char doom[IMS_ERROR_TEXT_SIZE]; /* why the set has to go; "" if it has not */
};

static char *path_of(const struct mending *mending, size_t file)
{
    char name[160];

    snprintf(
        name, sizeof(name), "features/%s%s", mending->store->set.stem,
        mending->shapes[file].suffix);
    return ims_catalog_inner_path(mending->writer->catalog, name);
}

/* Rows that the catalog expects of a file. */
static uint64_t wanted_rows(const struct mending *mending, size_t file)
{
    return mending->shapes[file].by_id ? mending->writer->next_id : mending->store->set.entries;
}

/* That a file's header is that of the set; otherwise the set's doom. */
static void check_header(struct mending *mending, size_t file, const char *path)
{
    const struct ims_set_file *shape = &mending->shapes[file];
    const struct ims_map *map = &mending->maps[file];
    uint64_t columns = shape->columns != 0 ? shape->columns : 1;
    struct ims_npy npy;

    if (map->size < IMS_NPY_DATA) {
        snprintf(mending->doom, sizeof(mending->doom), "%s has no whole header", path);
    } else if (ims_npy_parse(map->data, IMS_NPY_DATA, path, &npy) != IMGSIM_OK) {
        snprintf(mending->doom, sizeof(mending->doom), "%s", imgsim_last_error());
    } else if (
        strcmp(npy.dtype, shape->dtype) != 0 || npy.shape[1] != columns ||
        npy.data_offset != IMS_NPY_DATA) {
        snprintf(mending->doom, sizeof(mending->doom), "%s has another shape", path);
    } else {
        mending->rows[file] = (map->size - IMS_NPY_DATA) / shape->row_size;
    }
}

static imgsim_status map_file(struct mending *mending, size_t file)
{
    char *path = path_of(mending, file);
    imgsim_status status;

    if (path == NULL)
        return ims_fail_memory(160);
    status = ims_map_open(&mending->maps[file], path);
    if (status == IMGSIM_OK) {
        check_header(mending, file, path);
    } else if (status != IMGSIM_ERROR_OUT_OF_MEMORY) {
        snprintf(mending->doom, sizeof(mending->doom), "%s", imgsim_last_error());
        status = IMGSIM_OK;
    }
    ims_free(path);
    return status;
}

/* ---- rows ---- */

static void drop_row(struct mending *mending, int64_t id)
{
    ims_bit_table_put(&mending->store->present, id, false);
    mending->dropped++;
}

static bool dense_row_sound(const struct mending *mending, uint64_t id)
{
    const struct ims_feature_set *set = &mending->store->set;
    const uint8_t *rows = mending->maps[0].data + IMS_NPY_DATA;

    if (id >= mending->rows[0])
        return false;
    return set->row_type != IMGSIM_ROW_FLOAT32 ||
           ims_row_check_finite(
               (const float *)(const void *)(rows + id * mending->shapes[0].row_size),
               set->dimension, (int64_t)id) == IMGSIM_OK;
}

static bool sparse_row_sound(const struct mending *mending, uint64_t id)
{
    const struct ims_feature_set *set = &mending->store->set;
    const uint64_t *offsets =
        (const uint64_t *)(const void *)(mending->maps[IMS_SPARSE_OFFSETS].data + IMS_NPY_DATA);
    const uint32_t *lengths =
        (const uint32_t *)(const void *)(mending->maps[IMS_SPARSE_LENGTHS].data + IMS_NPY_DATA);
    const uint16_t *bins =
        (const uint16_t *)(const void *)(mending->maps[IMS_SPARSE_BINS].data + IMS_NPY_DATA);
    const uint32_t *counts =
        (const uint32_t *)(const void *)(mending->maps[IMS_SPARSE_COUNTS].data + IMS_NPY_DATA);
    uint64_t entries = set->entries;

    for (int file = IMS_SPARSE_BINS; file <= IMS_SPARSE_COUNTS; file++)
        entries = entries < mending->rows[file] ? entries : mending->rows[file];
    if (id >= mending->rows[IMS_SPARSE_OFFSETS] || id >= mending->rows[IMS_SPARSE_LENGTHS] ||
        lengths[id] > set->dimension || offsets[id] > entries ||
        lengths[id] > entries - offsets[id])
        return false;
    for (uint64_t i = offsets[id]; i < offsets[id] + lengths[id]; i++)
        if (counts[i] == 0 || bins[i] >= set->dimension ||
            (i > offsets[id] && bins[i - 1] >= bins[i]))
            return false;
    return true;
}

/* Rows of bytes are thumbnails: JPEG files from their first marker to their last. */
static bool bytes_row_sound(const struct mending *mending, uint64_t id)
{
    const struct ims_feature_set *set = &mending->store->set;
    const uint64_t *offsets =
        (const uint64_t *)(const void *)(mending->maps[IMS_SPARSE_OFFSETS].data + IMS_NPY_DATA);
    const uint32_t *lengths =
        (const uint32_t *)(const void *)(mending->maps[IMS_SPARSE_LENGTHS].data + IMS_NPY_DATA);
    const uint8_t *bytes = mending->maps[IMS_BYTES_DATA].data + IMS_NPY_DATA;
    uint64_t entries =
        set->entries < mending->rows[IMS_BYTES_DATA] ? set->entries : mending->rows[IMS_BYTES_DATA];

    if (id >= mending->rows[IMS_SPARSE_OFFSETS] || id >= mending->rows[IMS_SPARSE_LENGTHS] ||
        lengths[id] < 4 || lengths[id] > set->dimension || offsets[id] > entries ||
        lengths[id] > entries - offsets[id])
        return false;
    bytes += offsets[id];
    return bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[lengths[id] - 2] == 0xff &&
           bytes[lengths[id] - 1] == 0xd9;
}

static bool row_sound(const struct mending *mending, uint64_t id)
{
    switch (mending->store->set.row_type) {
    case IMGSIM_ROW_UINT32:
        return sparse_row_sound(mending, id);
    case IMGSIM_ROW_BYTES:
        return bytes_row_sound(mending, id);
    default:
        return dense_row_sound(mending, id);
    }
}

/* The checksum of a row that is sound. */
static uint64_t row_checksum(const struct mending *mending, uint64_t id)
{
    const uint8_t *data[IMS_SET_FILES_MAX] = {NULL};
    uint64_t offset;
    uint32_t length;

    for (size_t i = 0; i < mending->file_count; i++)
        data[i] = mending->maps[i].data + IMS_NPY_DATA;
    if (mending->file_count == 1) {
        size_t size = mending->shapes[0].row_size;

        return ims_checksum_bytes(data[0] + id * size, size);
    }
    offset = ((const uint64_t *)(const void *)data[IMS_SPARSE_OFFSETS])[id];
    length = ((const uint32_t *)(const void *)data[IMS_SPARSE_LENGTHS])[id];
    if (mending->store->set.row_type == IMGSIM_ROW_BYTES)
        return ims_checksum_bytes(data[IMS_BYTES_DATA] + offset, length);
    return ims_checksum_sparse(
        (const uint16_t *)(const void *)data[IMS_SPARSE_BINS] + offset,
        (const uint32_t *)(const void *)data[IMS_SPARSE_COUNTS] + offset, length);
}

/* Drop a row that cannot be, or does not match its checksum; one that has none gets it. */
static imgsim_status mend_row(struct mending *mending, uint64_t id, uint64_t checksum)
{
    uint64_t found;

    if (!row_sound(mending, id)) {
        drop_row(mending, (int64_t)id);
        return IMGSIM_OK;
    }
    found = row_checksum(mending, id);
    if (checksum == IMS_CHECKSUM_NONE) {
        mending->sealed++;
        return ims_checksums_put(mending->writer, mending->store, (int64_t)id, found);
    }
    if (found != checksum)
        drop_row(mending, (int64_t)id);
    return IMGSIM_OK;
}

static imgsim_status mend_rows(struct mending *mending)
{
    struct ims_checksum_reader reader;
    imgsim_status status =
        ims_checksums_open(&reader, mending->writer->change.db, mending->store->set.number);

    for (uint64_t id = 0; id < mending->writer->next_id && status == IMGSIM_OK; id++) {
        uint64_t checksum;

        if (ims_bit_table_test(&mending->store->present, (int64_t)id) &&
            (status = ims_checksums_get(&reader, id, &checksum)) == IMGSIM_OK)
            status = mend_row(mending, id, checksum);
    }
    return status;
}

/* ---- files ---- */

/* Make a file as long as the catalog expects; what is added is named by nobody. */
static imgsim_status lengthen(struct mending *mending, size_t file)
{
    uint64_t wanted = wanted_rows(mending, file);
    imgsim_status status = IMGSIM_OK;
    uint64_t size;
    char *path;
    int fd;

    if (mending->rows[file] >= wanted)
        return IMGSIM_OK;
    if (__builtin_mul_overflow(wanted, (uint64_t)mending->shapes[file].row_size, &size) ||
        size > INT64_MAX / 2)
        return ims_fail(IMGSIM_ERROR_LIMIT, "features: impossible number of rows");
    if ((path = path_of(mending, file)) == NULL)
        return ims_fail_memory(160);
    if ((fd = open(path, O_RDWR | O_CLOEXEC)) < 0 ||
        ftruncate(fd, (off_t)(size + IMS_NPY_DATA)) != 0 || fdatasync(fd) != 0)
        status = ims_fail_errno(errno, "cannot enlarge %s", path);
    if (status == IMGSIM_OK)
        ims_repair_say(
            mending->repair, "%s: lengthened from %llu to %llu rows", path,
            (unsigned long long)mending->rows[file], (unsigned long long)wanted);
    if (fd >= 0)
        close(fd);
    ims_free(path);
    return status;
}

static imgsim_status mend_set(struct mending *mending)
{
    struct ims_repair *repair = mending->repair;
    const char *name = mending->store->set.name;
    imgsim_status status = IMGSIM_OK;

    for (size_t i = 0; i < mending->file_count && status == IMGSIM_OK; i++)
        status = map_file(mending, i);
    if (status != IMGSIM_OK)
        return status;
    if (mending->doom[0] != '\0') {
        ims_repair_say(
            repair, "feature \"%s\": dropped, to be computed again: %.700s", name, mending->doom);
        return IMGSIM_OK;
    }
    if ((status = mend_rows(mending)) != IMGSIM_OK)
        return status;
    if (mending->dropped > 0) {
        repair->report.rows_dropped += mending->dropped;
        ims_repair_say(
            repair, "feature \"%s\": %llu damaged rows dropped, to be computed again", name,
            (unsigned long long)mending->dropped);
    }
    if (mending->sealed > 0)
        ims_repair_say(
            repair, "feature \"%s\": %llu rows had no checksum and got one", name,
            (unsigned long long)mending->sealed);
    for (size_t i = 0; i < mending->file_count && status == IMGSIM_OK; i++)
        status = lengthen(mending, i);
    return status;
}

imgsim_status ims_repair_sets(
    struct ims_repair *repair,
    struct ims_catalog_writer *writer,
    struct ims_doomed *doomed)
{
    imgsim_status status = IMGSIM_OK;

    for (int i = 0; i < IMS_SETS_MAX && status == IMGSIM_OK; i++) {
        struct mending mending = {.repair = repair, .writer = writer, .store = &writer->stores[i]};

        if (!writer->used[i])
            continue;
        mending.file_count = ims_set_files(
            writer->stores[i].set.row_type, writer->stores[i].set.dimension, mending.shapes);
        status = mend_set(&mending);
        for (size_t file = 0; file < mending.file_count; file++)
            ims_map_close(&mending.maps[file]);
        if (status == IMGSIM_OK && mending.doom[0] != '\0' &&
            (doomed->names[i] = ims_strdup(writer->stores[i].set.name)) == NULL)
            status = ims_fail_memory(64);
    }
    return status;
}
