/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as the catalog keeps them: below the root without it, elsewhere absolute. */
#include "catalog/catalog_internal.h"

#include "core/file.h"
#include "core/memory.h"

#include <string.h>

char *ims_catalog_store_path(const imgsim_catalog *catalog, const char *absolute)
{
    size_t length = strlen(catalog->root);

    if (length > 1 && strncmp(absolute, catalog->root, length) == 0 && absolute[length] == '/' &&
        absolute[length + 1] != '\0')
        return ims_strdup(absolute + length + 1);
    return ims_strdup(absolute);
}

char *ims_catalog_full_path(const imgsim_catalog *catalog, const char *stored)
{
    return stored[0] == '/' ? ims_strdup(stored) : ims_join_path(catalog->root, stored);
}

char *ims_catalog_inner_path(const imgsim_catalog *catalog, const char *name)
{
    return ims_join_path(catalog->folder, name);
}

imgsim_status
ims_path_candidates(const imgsim_catalog *catalog, const char *text, char *out_candidates[2])
{
    char *absolute = NULL;
    imgsim_status status;

    out_candidates[0] = out_candidates[1] = NULL;
    if ((status = ims_absolute_path(text, &absolute)) != IMGSIM_OK)
        return status;
    /* The root itself is "" in stored paths. */
    out_candidates[0] = strcmp(absolute, catalog->root) == 0 && strcmp(absolute, "/") != 0
                            ? ims_strdup("")
                            : ims_catalog_store_path(catalog, absolute);
    ims_free(absolute);
    if (out_candidates[0] == NULL || (out_candidates[1] = ims_strdup(text)) == NULL) {
        ims_free(out_candidates[0]);
        out_candidates[0] = NULL;
        return ims_fail_memory(strlen(text));
    }
    return IMGSIM_OK;
}

/* Set the live ids below a stored folder path; *out_found: there were some. */
static imgsim_status ids_below_stored(
    const imgsim_catalog *catalog,
    struct ims_db *db,
    const char *folder,
    struct ims_bitset *ids,
    bool *out_found)
{
    size_t length = strlen(folder);
    sqlite3_stmt *statement = NULL;
    char *bounds = NULL;
    imgsim_status status;
    bool row;

    while (length > 0 && folder[length - 1] == '/')
        length--;
    if ((bounds = ims_alloc(2 * (length + 2))) == NULL)
        return ims_fail_memory(length);
    memcpy(bounds, folder, length);
    bounds[length] = '/';
    memcpy(bounds + length + 1, folder, length);
    bounds[2 * length + 1] = '0'; /* the byte after '/': what lies below is between the two */

    /* "" is the root: all that is not absolute; "/" is everything absolute. */
    status = ims_db_prepare(
        db,
        folder[0] == '\0' ? "SELECT id FROM files WHERE state = 0 AND id IS "
                            "NOT NULL AND (path < ?2 OR path >= ?3)"
                          : "SELECT id FROM files WHERE state = 0 AND id IS "
                            "NOT NULL AND (path = ?1 OR (path >= ?2 AND "
                            "path < ?3))",
        &statement);
    if (status != IMGSIM_OK)
        goto done;
    sqlite3_bind_text(statement, 1, bounds, (int)length, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, bounds, (int)length + 1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, bounds + length + 1, (int)length + 1, SQLITE_STATIC);
    while ((status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row) {
        int64_t id = sqlite3_column_int64(statement, 0);

        if (ims_bitset_test(&catalog->snapshot.live, id)) {
            ims_bitset_set(ids, id);
            *out_found = true;
        }
    }

done:
    sqlite3_finalize(statement);
    ims_free(bounds);
    return status;
}

imgsim_status ims_catalog_ids_below(
    const imgsim_catalog *catalog,
    const char *directory,
    struct ims_bitset *out_ids)
{
    char *candidates[2] = {NULL, NULL};
    struct ims_db *db = NULL;
    imgsim_status status;
    bool found = false;

    memset(out_ids, 0, sizeof(*out_ids));
    if (!ims_bitset_init(out_ids, catalog->snapshot.id_count, false))
        return ims_fail_memory((size_t)catalog->snapshot.id_count / 8);
    if ((status = ims_path_candidates(catalog, directory, candidates)) != IMGSIM_OK ||
        (status = ims_db_lease(catalog, &db)) != IMGSIM_OK)
        goto done;
    for (int i = 0; i < 2 && !found && status == IMGSIM_OK; i++)
        status = ids_below_stored(catalog, db, candidates[i], out_ids, &found);
    if (status == IMGSIM_OK && !found)
        status = ims_fail(IMGSIM_ERROR_NOT_FOUND, "no image of the catalog is below %s", directory);

done:
    ims_db_return(catalog, db);
    ims_free(candidates[0]);
    ims_free(candidates[1]);
    if (status != IMGSIM_OK)
        ims_bitset_clear(out_ids);
    return status;
}
