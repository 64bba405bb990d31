/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog for other programs: feature rows as dense .npy, the table of files as CSV. */
#include "catalog/catalog_internal.h"

#include "core/file.h"
#include "core/hash.h"
#include "core/memory.h"
#include "core/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- .npy ---- */

/* "a.npy" -> "a.ids.npy". NULL when out of memory. */
static char *ids_path(const char *path)
{
    size_t length = strlen(path);
    char *out = ims_alloc(length + sizeof(".ids.npy"));

    if (length >= 4 && strcmp(path + length - 4, ".npy") == 0)
        length -= 4;
    if (out != NULL) {
        memcpy(out, path, length);
        memcpy(out + length, ".ids.npy", sizeof(".ids.npy"));
    }
    return out;
}

static imgsim_status start_npy(
    struct ims_writer *writer,
    const char *path,
    const char *dtype,
    uint64_t rows,
    uint64_t columns)
{
    uint8_t header[IMS_NPY_DATA];
    imgsim_status status;

    if ((status = ims_npy_header(dtype, rows, columns, header)) != IMGSIM_OK ||
        (status = ims_writer_open(writer, path)) != IMGSIM_OK)
        return status;
    return ims_writer_write(writer, header, sizeof(header));
}

/* Write the rows that there are, and their ids. */
static imgsim_status write_rows(
    const imgsim_features *features,
    struct ims_writer *rows_file,
    struct ims_writer *ids_file)
{
    size_t row_size = ims_row_size(features->set.row_type, features->set.dimension);
    imgsim_status status = IMGSIM_OK;
    void *row;

    if ((row = ims_alloc(row_size)) == NULL)
        return ims_fail_memory(row_size);
    for (int64_t id = 0; id < (int64_t)features->row_count && status == IMGSIM_OK; id++) {
        if (!ims_bitset_test(&features->present, id))
            continue;
        if ((status = imgsim_features_read(features, &id, 1, row, row_size)) == IMGSIM_OK &&
            (status = ims_writer_write(rows_file, row, row_size)) == IMGSIM_OK)
            status = ims_writer_write(ids_file, &id, sizeof(id));
    }
    ims_free(row);
    return status;
}

imgsim_status
imgsim_catalog_export_npy(const imgsim_catalog *catalog, const char *feature, const char *path)
{
    struct ims_writer rows_file = {0}, ids_file = {0};
    imgsim_features *features = NULL;
    imgsim_status status;
    char *second = NULL;
    const char *dtype;
    uint64_t count;

    if (catalog == NULL || feature == NULL || path == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "catalog, feature and path must not be NULL");
    if ((status = imgsim_catalog_open_features(catalog, feature, &features)) != IMGSIM_OK)
        return status;
    if (features->set.row_type == IMGSIM_ROW_BYTES) {
        status = ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "rows of feature \"%s\" differ in size and make no matrix; write thumbnails as files "
            "(imgsim export --thumbs)",
            feature);
        goto done;
    }
    if ((second = ids_path(path)) == NULL) {
        status = ims_fail_memory(strlen(path));
        goto done;
    }
    count = ims_bitset_popcount(&features->present);
    dtype = features->set.row_type == IMGSIM_ROW_FLOAT32  ? "<f4"
            : features->set.row_type == IMGSIM_ROW_UINT32 ? "<u4"
                                                          : "|u1";
    if ((status = start_npy(
             &rows_file, path, dtype, count,
             features->set.row_type == IMGSIM_ROW_BITS ? features->set.dimension / 8
                                                       : features->set.dimension)) == IMGSIM_OK &&
        (status = start_npy(&ids_file, second, "<i8", count, 0)) == IMGSIM_OK &&
        (status = write_rows(features, &rows_file, &ids_file)) == IMGSIM_OK &&
        (status = ims_writer_commit(&ids_file)) == IMGSIM_OK)
        status = ims_writer_commit(&rows_file);

done:
    ims_writer_close(&rows_file);
    ims_writer_close(&ids_file);
    imgsim_features_free(features);
    ims_free(second);
    return status;
}

/* ---- CSV ---- */

/* The table being written. */
struct csv {
    const imgsim_catalog *catalog;
    struct ims_db *db;
    struct ims_writer file;
    struct ims_error error;
};

static void put(struct csv *csv, const char *text, size_t size)
{
    if (csv->error.status == IMGSIM_OK) {
        imgsim_status status = ims_writer_write(&csv->file, text, size);

        if (status != IMGSIM_OK)
            ims_error_save(&csv->error, status);
    }
}

/* A field of any bytes: quoted where RFC 4180 asks for it, quotes doubled. */
static void put_field(struct csv *csv, const char *text, const char *after)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        put(csv, text, strlen(text));
    } else {
        put(csv, "\"", 1);
        while (*text != '\0') {
            size_t plain = strcspn(text, "\"");

            put(csv, text, plain);
            text += plain;
            if (*text == '"') {
                put(csv, "\"\"", 2);
                text++;
            }
        }
        put(csv, "\"", 1);
    }
    put(csv, after, strlen(after));
}

static void put_number(struct csv *csv, const char *format, uint64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), format, value);
    put_field(csv, text, ",");
}

/* The labels of one UUID, joined by '|', as the last field. */
static imgsim_status put_labels(struct csv *csv, const uint8_t uuid[16])
{
    sqlite3_stmt *statement;
    imgsim_status status;
    char *joined = NULL;
    size_t capacity = 0, length = 0;
    bool row;

    if ((status = ims_db_statement(csv->db, IMS_SQL_LABELS_OF, &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_blob(statement, 1, uuid, 16, SQLITE_TRANSIENT);
    while ((status = ims_db_step(csv->db, statement, &row)) == IMGSIM_OK && row) {
        const char *label = ims_db_text(statement, 0);
        size_t size = strlen(label);

        if (!ims_grow((void **)&joined, &capacity, length + size + 2, 1)) {
            status = ims_fail_memory(length + size + 2);
            break;
        }
        if (length > 0)
            joined[length++] = '|';
        memcpy(joined + length, label, size + 1);
        length += size;
    }
    sqlite3_reset(statement);
    put_field(csv, joined != NULL ? joined : "", "\r\n");
    ims_free(joined);
    return status;
}

static int32_t put_file(const imgsim_file_info *file, void *user_data)
{
    struct csv *csv = user_data;
    imgsim_status status;
    uint8_t uuid[16] = {0};

    if (file->id >= 0)
        put_number(csv, "%" PRId64, (uint64_t)file->id);
    else
        put(csv, ",", 1);
    put_field(csv, file->uuid, ",");
    put_field(csv, file->path, ",");
    put_field(csv, file->directory, ",");
    put_field(csv, file->name, ",");
    put_field(csv, file->format, ",");
    put_number(csv, "%" PRIu64, file->width);
    put_number(csv, "%" PRIu64, file->height);
    put_number(csv, "%" PRIu64, file->bytes);
    put_number(csv, "%" PRId64, (uint64_t)file->mtime_ns);
    put_field(csv, file->content_hash, ",");
    put_field(csv, ims_state_name(file->state), ",");
    put_field(csv, file->reason, ",");
    if (!ims_uuid_parse(file->uuid, uuid))
        put(csv, "\r\n", 2);
    else if ((status = put_labels(csv, uuid)) != IMGSIM_OK && csv->error.status == IMGSIM_OK)
        ims_error_save(&csv->error, status);
    return csv->error.status != IMGSIM_OK;
}

imgsim_status imgsim_catalog_export_csv(const imgsim_catalog *catalog, const char *path)
{
    static const char heading[] = "id,uuid,path,directory,name,format,width,height,bytes,mtime_ns,"
                                  "content_hash,state,reason,labels\r\n";
    struct csv csv = {.catalog = catalog};
    imgsim_status status;

    if (catalog == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and path must not be NULL");
    if ((status = ims_db_lease(catalog, &csv.db)) != IMGSIM_OK ||
        (status = ims_writer_open(&csv.file, path)) != IMGSIM_OK)
        goto done;

    /* One read transaction: files and labels belong together. */
    put(&csv, heading, strlen(heading));
    if ((status = ims_db_exec(csv.db, "BEGIN")) != IMGSIM_OK ||
        (status = ims_records_visit(catalog, csv.db, -1, put_file, &csv)) != IMGSIM_OK ||
        (status = ims_error_raise(&csv.error)) != IMGSIM_OK)
        goto done;
    status = ims_writer_commit(&csv.file);

done:
    ims_writer_close(&csv.file);
    ims_db_return(catalog, csv.db);
    return status;
}
