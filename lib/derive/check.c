/* SPDX-License-Identifier: Apache-2.0 */
/* Whether stored indexes and projectors are sound; what is not is removed by a repair. */
#include "catalog/repair.h"
#include "derive/derive_internal.h"

#include "core/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A check (callback) or a repair. */
struct check {
    imgsim_catalog *catalog;
    void (*callback)(const char *problem, void *user_data);
    void *user_data;
    struct ims_repair *repair; /* NULL: nothing is changed */
    uint64_t problems;
    char first[IMS_ERROR_TEXT_SIZE];
};

static void report(struct check *check, const char *format, ...) IMS_PRINTF(2, 3);

static void report(struct check *check, const char *format, ...)
{
    char text[IMS_ERROR_TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    for (size_t i = 0; text[i] != '\0'; i++)
        if (text[i] == '\n' || text[i] == '\r')
            text[i] = ' ';
    if (check->problems++ == 0)
        memcpy(check->first, text, sizeof(text));
    if (check->callback != NULL)
        check->callback(text, check->user_data);
}

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), end_length = strlen(end);

    return length > end_length && strcmp(name + length - end_length, end) == 0;
}

/* Remove a file of a repair's, and say why. */
static imgsim_status
remove_file(struct check *check, const char *path, const char *inner, const char *why)
{
    if (unlink(path) != 0 && errno != ENOENT)
        return ims_fail_errno(errno, "cannot remove %s", path);
    check->repair->report.derived_dropped++;
    ims_repair_say(check->repair, "%s: removed: %.700s", inner, why);
    return IMGSIM_OK;
}

/* A file that is of no use: reported, or removed. */
static imgsim_status
condemn(struct check *check, const char *path, const char *inner, const char *why, const char *way)
{
    char text[IMS_ERROR_TEXT_SIZE];

    snprintf(text, sizeof(text), "%s", why); /* may be the thread's own error text */
    if (check->repair != NULL)
        return remove_file(check, path, inner, text);
    report(check, "%s: %.700s; %s", inner, text, way);
    return IMGSIM_OK;
}

/* ---- indexes ---- */

static imgsim_status check_index(struct check *check, const char *name)
{
    imgsim_index *index = NULL;
    imgsim_status status;
    char inner[300];
    char *path;
    bool stays = true;

    if (!ends_with(name, ".ims"))
        return IMGSIM_OK;
    snprintf(inner, sizeof(inner), "indexes/%s", name);
    if ((path = ims_catalog_inner_path(check->catalog, inner)) == NULL)
        return ims_fail_memory(sizeof(inner));
    status = imgsim_index_open(path, 1, &index);
    imgsim_index_free(index);
    if (status == IMGSIM_ERROR_CORRUPT || status == IMGSIM_ERROR_IO)
        status = condemn(check, path, inner, imgsim_last_error(), "'imgsim index' builds it anew");
    else if (status == IMGSIM_ERROR_UNSUPPORTED || status == IMGSIM_ERROR_NOT_FOUND)
        status = IMGSIM_OK; /* of a newer version, or gone meanwhile */
    else if (
        status == IMGSIM_OK && check->repair != NULL &&
        (status = ims_index_may_stay(check->catalog, name, path, &stays)) == IMGSIM_OK && !stays)
        status = remove_file(check, path, inner, "it is stale; 'imgsim index' builds it anew");
    ims_free(path);
    return status;
}

/* ---- projectors ---- */

struct names {
    char (*items)[IMS_FEATURE_NAME_SIZE];
    size_t count;
    size_t capacity;
    bool failed;
};

static int32_t note_projection(const imgsim_feature_info *feature, void *user_data)
{
    struct names *names = user_data;

    if (feature->source[0] == '\0' || strncmp(feature->spec, "pca:", 4) != 0)
        return 0;
    names->failed = !ims_grow(
        (void **)&names->items, &names->capacity, names->count + 1, sizeof(*names->items));
    if (names->failed)
        return 1;
    snprintf(names->items[names->count++], IMS_FEATURE_NAME_SIZE, "%s", feature->name);
    return 0;
}

/* A projection without its projector cannot be asked for by pictures from elsewhere, nor filled up. */
static imgsim_status check_projection(struct check *check, const char *name)
{
    imgsim_projector *projector = NULL;
    imgsim_status status = ims_derive_open_projector(check->catalog, name, &projector);

    imgsim_projector_free(projector);
    if (status != IMGSIM_ERROR_CORRUPT && status != IMGSIM_ERROR_NOT_FOUND &&
        status != IMGSIM_ERROR_IO)
        return status == IMGSIM_ERROR_UNSUPPORTED ? IMGSIM_OK : status;
    if (check->repair == NULL) {
        report(
            check, "feature \"%s\": %.700s; 'imgsim pca' makes it anew", name, imgsim_last_error());
        return IMGSIM_OK;
    }
    ims_repair_say(
        check->repair, "feature \"%s\": dropped with its projector: %.700s", name,
        imgsim_last_error());
    check->repair->report.features_dropped++;
    check->repair->report.derived_dropped++;
    return imgsim_catalog_remove_features(check->catalog, name);
}

/* A projector whose projection is gone. */
static imgsim_status check_orphan(struct check *check, const struct names *names, const char *name)
{
    char feature[IMS_FEATURE_NAME_SIZE], inner[300];
    imgsim_status status;
    char *path;

    if (check->repair == NULL || !ends_with(name, ".pca.ims") ||
        strlen(name) - 8 >= sizeof(feature))
        return IMGSIM_OK;
    snprintf(feature, sizeof(feature), "%.*s", (int)(strlen(name) - 8), name);
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i], feature) == 0)
            return IMGSIM_OK;
    snprintf(inner, sizeof(inner), "features/%s", name);
    if ((path = ims_catalog_inner_path(check->catalog, inner)) == NULL)
        return ims_fail_memory(sizeof(inner));
    status = remove_file(check, path, inner, "its projection is gone");
    ims_free(path);
    return status;
}

/* ---- both ---- */

static imgsim_status visit_folder(
    struct check *check,
    const char *folder,
    const struct names *names,
    imgsim_status (*visit)(struct check *, const struct names *, const char *))
{
    char *path = ims_catalog_inner_path(check->catalog, folder);
    imgsim_status status = IMGSIM_OK;
    struct dirent *entry;
    DIR *listing;

    if (path == NULL)
        return ims_fail_memory(64);
    if ((listing = opendir(path)) == NULL && errno != ENOENT)
        status = ims_fail_errno(errno, "cannot list %s", path);
    while (status == IMGSIM_OK && listing != NULL && (entry = readdir(listing)) != NULL)
        status = visit(check, names, entry->d_name);
    if (listing != NULL)
        closedir(listing);
    ims_free(path);
    return status;
}

static imgsim_status visit_index(struct check *check, const struct names *names, const char *name)
{
    (void)names;
    return check_index(check, name);
}

static imgsim_status check_all(struct check *check)
{
    struct names names = {0};
    imgsim_status status;

    if ((status = imgsim_catalog_visit_features(check->catalog, note_projection, &names)) !=
        IMGSIM_OK)
        goto done;
    if (names.failed) {
        status = ims_fail_memory((names.count + 1) * sizeof(*names.items));
        goto done;
    }
    for (size_t i = 0; i < names.count && status == IMGSIM_OK; i++)
        status = check_projection(check, names.items[i]);
    if (status == IMGSIM_OK &&
        (status = visit_folder(check, "features", &names, check_orphan)) == IMGSIM_OK)
        status = visit_folder(check, "indexes", &names, visit_index);

done:
    ims_free(names.items);
    return status;
}

imgsim_status imgsim_derive_verify(
    const imgsim_catalog *catalog,
    void (*callback)(const char *problem, void *user_data),
    void *user_data)
{
    struct check check = {.callback = callback, .user_data = user_data};
    imgsim_status status;

    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    check.catalog = (imgsim_catalog *)(uintptr_t)catalog; /* changed by repairs only */
    if ((status = check_all(&check)) == IMGSIM_OK && check.problems > 0)
        status = ims_fail(
            IMGSIM_ERROR_CORRUPT, "%llu problems, the first: %.700s",
            (unsigned long long)check.problems, check.first);
    return status;
}

imgsim_status ims_derive_repair(struct ims_repair *repair, imgsim_catalog *catalog)
{
    struct check check = {.catalog = catalog, .repair = repair};

    return check_all(&check);
}
