/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of images, by UUID, and settings of the collection. */
#include "catalog/catalog_internal.h"

#include "core/memory.h"
#include "core/text.h"

#include <string.h>

#define LABEL_SIZE_MAX 255
#define KEY_SIZE_MAX 63
#define INSERT_LABEL "INSERT OR IGNORE INTO labels(uuid, label) VALUES(?1, ?2)"

/* ---- what a label may be ---- */

static imgsim_status check_label(const char *label)
{
    size_t length = label != NULL ? strlen(label) : 0;
    const uint8_t *text = (const uint8_t *)label;

    if (length < 1 || length > LABEL_SIZE_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "label has %zu bytes, expected 1 to %d", length,
            LABEL_SIZE_MAX);
    while (*text != '\0') {
        const size_t size = ims_utf8_size(text);

        if (size == 0 || ims_utf8_is_control(text, size))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "label \"%s\" is not UTF-8 without control characters", label);
        text += size;
    }
    return IMGSIM_OK;
}

/* ---- changing ---- */

/* Run a statement on the UUID of an id (?1) and a label (?2). */
static imgsim_status
change_label(struct ims_db *db, sqlite3_stmt *statement, int64_t id, const char *label)
{
    struct ims_file_record record;
    sqlite3_stmt *file;
    imgsim_status status;
    bool row;

    if ((status = ims_db_statement(db, IMS_SQL_FILE_BY_ID, &file)) != IMGSIM_OK)
        return status;
    sqlite3_bind_int64(file, 1, id);
    if ((status = ims_db_step(db, file, &row)) != IMGSIM_OK)
        return status;
    if (!row)
        return ims_fail(IMGSIM_ERROR_NOT_FOUND, "no image has id %lld", (long long)id);
    if ((status = ims_db_record(file, &record)) != IMGSIM_OK)
        return status;
    sqlite3_reset(file);
    sqlite3_bind_blob(statement, 1, record.uuid, 16, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, label, -1, SQLITE_STATIC);
    status = ims_db_run(db, statement);
    sqlite3_clear_bindings(statement);
    return status;
}

/* The same change for many images, inside a transaction. */
static imgsim_status give_labels(
    struct ims_db *db,
    const char *sql,
    const int64_t *ids,
    const char *const *labels,
    size_t count)
{
    sqlite3_stmt *statement = NULL;
    imgsim_status status = ims_db_prepare(db, sql, &statement);

    for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
        status = change_label(db, statement, ids[i], labels[i]);
    sqlite3_finalize(statement);
    return status;
}

/* The same in a transaction of its own. */
static imgsim_status change_labels(
    imgsim_catalog *catalog,
    const char *sql,
    const int64_t *ids,
    const char *const *labels,
    size_t count)
{
    struct ims_change change = {0};
    imgsim_status status;

    for (size_t i = 0; i < count; i++)
        if ((status = check_label(labels[i])) != IMGSIM_OK)
            return status;
    if ((status = ims_change_begin(catalog, "label", IMS_CHANGE_WAIT_MS, &change)) != IMGSIM_OK)
        return status;
    if ((status = give_labels(change.db, sql, ids, labels, count)) == IMGSIM_OK)
        status = ims_change_commit(&change);
    ims_change_end(&change);
    return status;
}

imgsim_status imgsim_catalog_add_labels(
    imgsim_catalog *catalog,
    const int64_t *ids,
    const char *const *labels,
    size_t count)
{
    if (catalog == NULL || (count > 0 && (ids == NULL || labels == NULL)))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog, ids and labels must not be NULL");
    return change_labels(catalog, INSERT_LABEL, ids, labels, count);
}

imgsim_status imgsim_catalog_add_label(imgsim_catalog *catalog, int64_t id, const char *label)
{
    if (catalog == NULL || label == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and label must not be NULL");
    return imgsim_catalog_add_labels(catalog, &id, &label, 1);
}

imgsim_status imgsim_catalog_remove_label(imgsim_catalog *catalog, int64_t id, const char *label)
{
    if (catalog == NULL || label == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and label must not be NULL");
    return change_labels(
        catalog, "DELETE FROM labels WHERE uuid = ?1 AND label = ?2", &id, &label, 1);
}

/* Take away all labels that begin with a prefix. */
static imgsim_status drop_prefix(struct ims_db *db, const char *prefix)
{
    sqlite3_stmt *statement = NULL;
    imgsim_status status;

    if ((status = ims_db_prepare(
             db, "DELETE FROM labels WHERE substr(label, 1, length(?1)) = ?1", &statement)) !=
        IMGSIM_OK)
        return status;
    sqlite3_bind_text(statement, 1, prefix, -1, SQLITE_STATIC);
    status = ims_db_run(db, statement);
    sqlite3_finalize(statement);
    return status;
}

static imgsim_status check_replacing(const char *prefix, const char *const *labels, size_t count)
{
    imgsim_status status = check_label(prefix);

    for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
        if ((status = check_label(labels[i])) == IMGSIM_OK &&
            strncmp(labels[i], prefix, strlen(prefix)) != 0)
            status = ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "label \"%s\" does not begin with \"%s\"", labels[i],
                prefix);
    return status;
}

imgsim_status imgsim_catalog_replace_labels(
    imgsim_catalog *catalog,
    const char *prefix,
    const int64_t *ids,
    const char *const *labels,
    size_t count)
{
    struct ims_change change = {0};
    imgsim_status status;

    if (catalog == NULL || prefix == NULL || (count > 0 && (ids == NULL || labels == NULL)))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "catalog, prefix, ids and labels must not be NULL");
    if ((status = check_replacing(prefix, labels, count)) != IMGSIM_OK ||
        (status = ims_change_begin(catalog, "label", IMS_CHANGE_WAIT_MS, &change)) != IMGSIM_OK)
        return status;
    if ((status = drop_prefix(change.db, prefix)) == IMGSIM_OK)
        status = give_labels(change.db, INSERT_LABEL, ids, labels, count);
    if (status == IMGSIM_OK)
        status = ims_change_commit(&change);
    ims_change_end(&change);
    return status;
}

/* ---- reading ---- */

imgsim_status ims_catalog_visit_label_pairs(
    const imgsim_catalog *catalog,
    imgsim_status (*callback)(int64_t id, const char *label, void *user_data),
    void *user_data)
{
    sqlite3_stmt *statement = NULL;
    struct ims_db *db = NULL;
    imgsim_status status;
    bool row;

    if ((status = ims_db_lease(catalog, &db)) != IMGSIM_OK ||
        (status = ims_db_prepare(
             db,
             "SELECT f.id, l.label FROM labels l JOIN files f ON f.uuid = l.uuid WHERE "
             "f.state = 0 AND f.id IS NOT NULL ORDER BY l.label, f.id",
             &statement)) != IMGSIM_OK)
        goto done;
    while ((status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row)
        if ((status = callback(
                 sqlite3_column_int64(statement, 0), ims_db_text(statement, 1), user_data)) !=
            IMGSIM_OK)
            break;

done:
    sqlite3_finalize(statement);
    ims_db_return(catalog, db);
    return status;
}

imgsim_status imgsim_catalog_visit_labels(
    const imgsim_catalog *catalog,
    int64_t id,
    imgsim_label_callback callback,
    void *user_data)
{
    sqlite3_stmt *statement = NULL;
    struct ims_db *db = NULL;
    imgsim_status status;
    bool row;

    if (catalog == NULL || callback == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and callback must not be NULL");
    if ((status = ims_db_lease(catalog, &db)) != IMGSIM_OK ||
        (status = ims_db_prepare(
             db,
             "SELECT l.label, COUNT(f.number) FROM labels l LEFT JOIN files f "
             "ON f.uuid = l.uuid AND f.state = 0 WHERE ?1 < 0 OR l.label IN "
             "(SELECT label FROM labels WHERE uuid = (SELECT uuid FROM files "
             "WHERE id = ?1)) GROUP BY l.label ORDER BY l.label",
             &statement)) != IMGSIM_OK)
        goto done;
    sqlite3_bind_int64(statement, 1, id);
    while ((status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row)
        if (callback(
                ims_db_text(statement, 0), (uint64_t)sqlite3_column_int64(statement, 1),
                user_data) != 0)
            break;

done:
    sqlite3_finalize(statement);
    ims_db_return(catalog, db);
    return status;
}

imgsim_status ims_catalog_ids_with_label(
    const imgsim_catalog *catalog,
    const char *label,
    struct ims_bitset *out_ids)
{
    sqlite3_stmt *statement = NULL;
    struct ims_db *db = NULL;
    imgsim_status status;
    bool row, found = false;

    memset(out_ids, 0, sizeof(*out_ids));
    if (!ims_bitset_init(out_ids, catalog->snapshot.id_count, false))
        return ims_fail_memory((size_t)catalog->snapshot.id_count / 8);
    if ((status = ims_db_lease(catalog, &db)) != IMGSIM_OK ||
        (status = ims_db_prepare(
             db,
             "SELECT f.id FROM labels l JOIN files f ON f.uuid = l.uuid WHERE "
             "l.label = ?1 AND f.state = 0 AND f.id IS NOT NULL",
             &statement)) != IMGSIM_OK)
        goto done;
    sqlite3_bind_text(statement, 1, label, -1, SQLITE_STATIC);
    while ((status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row) {
        int64_t id = sqlite3_column_int64(statement, 0);

        if (ims_bitset_test(&catalog->snapshot.live, id)) {
            ims_bitset_set(out_ids, id);
            found = true;
        }
    }
    if (status == IMGSIM_OK && !found)
        status = ims_fail(IMGSIM_ERROR_NOT_FOUND, "no image has the label \"%s\"", label);

done:
    sqlite3_finalize(statement);
    ims_db_return(catalog, db);
    if (status != IMGSIM_OK)
        ims_bitset_clear(out_ids);
    return status;
}

/* ---- settings ---- */

static imgsim_status check_key(const char *key)
{
    size_t length = key != NULL ? strlen(key) : 0;

    if (length < 1 || length > KEY_SIZE_MAX ||
        strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_.-") != length)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "key \"%s\", expected 1 to %d of [a-z0-9_.-]",
            key != NULL ? key : "", KEY_SIZE_MAX);
    return IMGSIM_OK;
}

imgsim_status ims_setting_put(struct ims_db *db, const char *key, const char *value)
{
    sqlite3_stmt *statement = NULL;
    imgsim_status status;

    if ((status = check_key(key)) != IMGSIM_OK ||
        (status = ims_db_prepare(
             db,
             value != NULL ? "INSERT OR REPLACE INTO settings(key, value) VALUES(?1, ?2)"
                           : "DELETE FROM settings WHERE key = ?1",
             &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    if (value != NULL)
        sqlite3_bind_text(statement, 2, value, -1, SQLITE_STATIC);
    status = ims_db_run(db, statement);
    sqlite3_finalize(statement);
    return status;
}

imgsim_status
imgsim_catalog_set_setting(imgsim_catalog *catalog, const char *key, const char *value)
{
    struct ims_change change = {0};
    imgsim_status status;

    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    if ((status = check_key(key)) != IMGSIM_OK ||
        (status = ims_change_begin(catalog, "settings", IMS_CHANGE_WAIT_MS, &change)) != IMGSIM_OK)
        return status;
    if ((status = ims_setting_put(change.db, key, value)) == IMGSIM_OK)
        status = ims_change_commit(&change);
    ims_change_end(&change);
    return status;
}

imgsim_status imgsim_catalog_get_setting(
    const imgsim_catalog *catalog,
    const char *key,
    char *out_value,
    size_t value_size)
{
    sqlite3_stmt *statement = NULL;
    struct ims_db *db = NULL;
    imgsim_status status;
    bool row;

    if (catalog == NULL || out_value == NULL || value_size == 0)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and out_value must not be NULL");
    out_value[0] = '\0';
    if ((status = check_key(key)) != IMGSIM_OK ||
        (status = ims_db_lease(catalog, &db)) != IMGSIM_OK ||
        (status = ims_db_prepare(db, "SELECT value FROM settings WHERE key = ?1", &statement)) !=
            IMGSIM_OK)
        goto done;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    if ((status = ims_db_step(db, statement, &row)) != IMGSIM_OK)
        goto done;
    if (!row) {
        status =
            ims_fail(IMGSIM_ERROR_NOT_FOUND, "the catalog remembers nothing under \"%s\"", key);
    } else {
        const char *value = ims_db_text(statement, 0);
        size_t length = strlen(value);
        size_t fits = length < value_size ? length : value_size - 1;

        memcpy(out_value, value, fits);
        out_value[fits] = '\0';
        if (fits < length)
            status = ims_fail(
                IMGSIM_ERROR_LIMIT, "\"%s\" needs a buffer of %zu bytes, given %zu", key,
                length + 1, value_size);
    }

done:
    sqlite3_finalize(statement);
    ims_db_return(catalog, db);
    return status;
}
