/* SPDX-License-Identifier: Apache-2.0 */
/* Feature sets of the host's and of projections: writing and removing them from outside a scan. */
#include "catalog/catalog_internal.h"

#include "core/memory.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- writing ---- */

static imgsim_status check_rows(
    const imgsim_feature_definition *definition,
    const int64_t *ids,
    size_t id_count,
    const void *rows,
    size_t rows_size)
{
    imgsim_status status;
    size_t row_size, needed;

    if ((status = ims_definition_check(definition)) != IMGSIM_OK)
        return status;
    if (definition->row_type == IMGSIM_ROW_UINT32)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "histogram rows come only from a scan; give float or bit rows");
    if (definition->row_type == IMGSIM_ROW_BYTES)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "rows of bytes come only from a scan; give float or bit rows");
    if (id_count > 0 && (ids == NULL || rows == NULL))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "ids and rows must not be NULL");
    row_size = ims_row_size(definition->row_type, definition->dimension);
    if (!ims_mul_size(id_count, row_size, &needed) || rows_size != needed)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "rows_size is %zu, expected %zu rows of %zu bytes",
            rows_size, id_count, row_size);
    if (definition->row_type != IMGSIM_ROW_FLOAT32)
        return IMGSIM_OK;
    for (size_t i = 0; i < id_count; i++)
        if ((status = ims_row_check_finite(
                 (const float *)rows + i * definition->dimension, definition->dimension, ids[i])) !=
            IMGSIM_OK)
            return status;
    return IMGSIM_OK;
}

/*
 * Whether a row that readers may have mapped would change. Committed rows are never overwritten:
 * such a set gets new files first, and old handles go on reading the old ones.
 */
static imgsim_status changes_rows(
    struct ims_store *store,
    const int64_t *ids,
    size_t id_count,
    const uint8_t *rows,
    bool *out_changes)
{
    size_t row_size = ims_row_size(store->set.row_type, store->set.dimension);
    imgsim_status status = IMGSIM_OK;
    uint8_t *stored;

    *out_changes = false;
    if (store->made)
        return IMGSIM_OK;
    if ((stored = ims_alloc(row_size)) == NULL)
        return ims_fail_memory(row_size);
    for (size_t i = 0; i < id_count && !*out_changes && status == IMGSIM_OK; i++) {
        if (!ims_bit_table_test(&store->present, ids[i]))
            continue;
        if ((status = ims_matrix_read(&store->files[0], (uint64_t)ids[i], 1, stored)) == IMGSIM_OK)
            *out_changes = memcmp(stored, rows + i * row_size, row_size) != 0;
    }
    ims_free(stored);
    return status;
}

/* Runs of consecutive ids are written together. */
static imgsim_status put_rows(
    struct ims_catalog_writer *writer,
    struct ims_store *store,
    const int64_t *ids,
    size_t id_count,
    const uint8_t *rows)
{
    size_t row_size = ims_row_size(store->set.row_type, store->set.dimension);
    imgsim_status status;

    for (size_t i = 0; i < id_count;) {
        size_t run = 1;

        while (i + run < id_count && ids[i + run] == ids[i] + (int64_t)run)
            run++;
        if ((status = ims_matrix_write(
                 &store->files[0], (uint64_t)ids[i], run, rows + i * row_size)) != IMGSIM_OK)
            return status;
        for (size_t j = 0; j < run; j++) {
            status = ims_checksums_put(
                writer, store, ids[i + j], ims_checksum_bytes(rows + (i + j) * row_size, row_size));
            if (status != IMGSIM_OK)
                return status;
            ims_bit_table_put(&store->present, ids[i + j], true);
        }
        i += run;
    }
    return IMGSIM_OK;
}

static imgsim_status write_set(
    struct ims_catalog_writer *writer,
    const imgsim_feature_definition *definition,
    const int64_t *ids,
    size_t id_count,
    const void *rows)
{
    struct ims_store *store;
    imgsim_status status;
    uint32_t number;
    bool changes;

    for (size_t i = 0; i < id_count; i++)
        if (ids[i] < 0 || (uint64_t)ids[i] >= writer->next_id)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "id %lld was not given, ids are below "
                "%llu",
                (long long)ids[i], (unsigned long long)writer->next_id);
    if ((status = ims_catalog_writer_feature(writer, definition, 1, &number)) != IMGSIM_OK)
        return status;
    store = &writer->stores[number];
    if ((status = ims_store_open(writer, store)) != IMGSIM_OK ||
        (status = changes_rows(store, ids, id_count, rows, &changes)) != IMGSIM_OK ||
        (changes && (status = ims_store_renew(writer, store, true)) != IMGSIM_OK) ||
        (status = put_rows(writer, store, ids, id_count, rows)) != IMGSIM_OK)
        return status;
    return ims_catalog_writer_commit(writer);
}

imgsim_status imgsim_catalog_put_features(
    imgsim_catalog *catalog,
    const imgsim_feature_definition *definition,
    const int64_t *ids,
    size_t id_count,
    const void *rows,
    size_t rows_size)
{
    struct ims_catalog_writer *writer = NULL;
    imgsim_status status;

    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    if ((status = check_rows(definition, ids, id_count, rows, rows_size)) != IMGSIM_OK ||
        (status = ims_writer_start(catalog, "features", IMS_CHANGE_WAIT_MS, &writer)) != IMGSIM_OK)
        return status;
    status = write_set(writer, definition, ids, id_count, rows);
    ims_catalog_writer_close(writer);
    return status == IMGSIM_OK ? ims_snapshot_reload_sets(catalog) : status;
}

/* ---- removing ---- */

/* Stem and number of a set; NOT_FOUND. */
static imgsim_status
find_set(struct ims_db *db, const char *name, uint32_t *out_number, char **out_stem)
{
    struct ims_feature_set *sets = NULL;
    imgsim_status status;
    size_t count = 0;

    if ((status = ims_sets_load(db, &sets, &count)) != IMGSIM_OK)
        return status;
    status = ims_fail(IMGSIM_ERROR_NOT_FOUND, "no feature \"%s\" to remove", name);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(sets[i].name, name) != 0)
            continue;
        *out_number = sets[i].number;
        *out_stem = ims_strdup(sets[i].stem);
        status = *out_stem != NULL ? IMGSIM_OK : ims_fail_memory(strlen(sets[i].stem));
    }
    ims_sets_free(sets, count);
    return status;
}

/* The projector that a projected feature keeps beside its rows. */
static void remove_projector(const imgsim_catalog *catalog, const char *name)
{
    char inner[128];
    char *path;

    snprintf(inner, sizeof(inner), "features/%.63s.pca.ims", name);
    if ((path = ims_catalog_inner_path(catalog, inner)) != NULL)
        unlink(path);
    ims_free(path);
}

imgsim_status imgsim_catalog_remove_features(imgsim_catalog *catalog, const char *name)
{
    struct ims_change change = {0};
    imgsim_status status;
    char *stem = NULL;
    uint32_t number = 0;
    char sql[256];

    if (catalog == NULL || name == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and name must not be NULL");
    if ((status = ims_change_begin(catalog, "features", IMS_CHANGE_WAIT_MS, &change)) != IMGSIM_OK)
        return status;
    if ((status = find_set(change.db, name, &number, &stem)) != IMGSIM_OK)
        goto done;
    snprintf(
        sql, sizeof(sql),
        "DELETE FROM features WHERE number = %u; DELETE FROM bits WHERE number = %u;"
        "UPDATE meta SET value = value + 1 WHERE key = 'generation'",
        number, number);
    if ((status = ims_db_exec(change.db, sql)) != IMGSIM_OK ||
        (status = ims_checksums_drop(change.db, number)) != IMGSIM_OK ||
        (status = ims_change_commit(&change)) != IMGSIM_OK)
        goto done;

    /* Still under the lock: nobody makes new files of these names meanwhile. */
    ims_store_remove_files(catalog, stem);
    remove_projector(catalog, name);

done:
    ims_change_end(&change);
    ims_free(stem);
    return status == IMGSIM_OK ? ims_snapshot_reload_sets(catalog) : status;
}
