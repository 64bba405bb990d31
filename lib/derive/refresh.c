/* SPDX-License-Identifier: Apache-2.0 */
/* After a scan: projections are filled up, and what no longer fits its source is dropped. */
#include "derive/derive_internal.h"

#include "core/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- projections ---- */

/* Names of the projections, which may not be changed while they are visited; and their specs. */
struct projection {
    char name[IMS_FEATURE_NAME_SIZE];
    char *spec;
};

struct projections {
    struct projection *items;
    size_t count;
    size_t capacity;
    bool failed;
};

static int32_t note_projection(const imgsim_feature_info *feature, void *user_data)
{
    struct projections *found = user_data;
    struct projection *item;

    if (feature->source[0] == '\0' || strncmp(feature->spec, "pca:", 4) != 0)
        return 0;
    if (!ims_grow(
            (void **)&found->items, &found->capacity, found->count + 1, sizeof(*found->items)) ||
        (found->items[found->count].spec = ims_strdup(feature->spec)) == NULL) {
        found->failed = true;
        return 1;
    }
    item = &found->items[found->count++];
    snprintf(item->name, sizeof(item->name), "%s", feature->name);
    return 0;
}

/* Whether an error means that a derived thing is of no use any more. */
static bool is_lost(imgsim_status status)
{
    return status == IMGSIM_ERROR_NOT_FOUND || status == IMGSIM_ERROR_CORRUPT ||
           status == IMGSIM_ERROR_UNSUPPORTED;
}

static imgsim_status
drop_projection(imgsim_catalog *catalog, const char *name, const char *why, size_t *changes)
{
    imgsim_status status;

    ims_log(IMGSIM_LOG_WARNING, "dropping the projection \"%s\": %s", name, why);
    if ((status = imgsim_catalog_remove_features(catalog, name)) == IMGSIM_OK)
        (*changes)++;
    return status;
}

/* Whether there is an image that the source has a row of and the projection has not. */
static imgsim_status lacks_rows(
    const imgsim_catalog *catalog,
    const char *name,
    const imgsim_features *source,
    bool *out_lacks)
{
    const struct ims_bitset *wanted = ims_features_present(source);
    imgsim_features *own = NULL;
    imgsim_status status = imgsim_catalog_open_features(catalog, name, &own);

    *out_lacks = false;
    for (uint64_t id = 0; status == IMGSIM_OK && id < wanted->count && !*out_lacks; id++)
        *out_lacks = ims_bitset_test(wanted, (int64_t)id) &&
                     !ims_bitset_test(ims_features_present(own), (int64_t)id);
    imgsim_features_free(own);
    return status;
}

/* Project what the source has and the projection has not. */
static imgsim_status fill_up(
    imgsim_catalog *catalog,
    const struct projection *item,
    const imgsim_features *source,
    const imgsim_projector *projector,
    size_t *changes)
{
    struct ims_meter meter = {0};
    imgsim_status status;
    uint64_t added = 0;
    bool lacks;

    if ((status = lacks_rows(catalog, item->name, source, &lacks)) != IMGSIM_OK || !lacks)
        return status;
    ims_meter_start(&meter, NULL, NULL);
    status = ims_projection_fill(
        catalog, item->name, source, projector, item->spec, NULL, &meter, &added);
    if (status == IMGSIM_OK && added > 0)
        (*changes)++;
    return status;
}

static imgsim_status
refresh_projection(imgsim_catalog *catalog, const struct projection *item, size_t *changes)
{
    struct ims_projection_info info;
    imgsim_projector *projector = NULL;
    imgsim_features *source = NULL;
    imgsim_status status;
    char hash[33];

    if ((status = ims_projection_find(catalog, item->name, &info)) != IMGSIM_OK || !info.found)
        return status;
    status = imgsim_catalog_open_features(catalog, info.source, &source);
    if (status == IMGSIM_ERROR_NOT_FOUND)
        return drop_projection(catalog, item->name, "its source is gone", changes);
    if (status != IMGSIM_OK)
        return status;

    ims_source_hash(source, hash);
    if (strcmp(hash, info.source_hash) != 0) {
        status = drop_projection(catalog, item->name, "its source was made anew", changes);
        goto done;
    }
    status = ims_derive_open_projector(catalog, item->name, &projector);
    if (is_lost(status)) {
        char why[512];

        snprintf(why, sizeof(why), "%s", imgsim_last_error());
        status = drop_projection(catalog, item->name, why, changes);
        goto done;
    }
    if (status == IMGSIM_OK)
        status = fill_up(catalog, item, source, projector, changes);

done:
    imgsim_projector_free(projector);
    imgsim_features_free(source);
    return status;
}

static imgsim_status refresh_projections(imgsim_catalog *catalog, size_t *changes)
{
    struct projections found = {0};
    imgsim_status status = imgsim_catalog_visit_features(catalog, note_projection, &found);

    if (status == IMGSIM_OK && found.failed)
        status = ims_fail_memory((found.count + 1) * sizeof(*found.items));
    for (size_t i = 0; i < found.count && status == IMGSIM_OK; i++)
        status = refresh_projection(catalog, &found.items[i], changes);
    for (size_t i = 0; i < found.count; i++)
        ims_free(found.items[i].spec);
    ims_free(found.items);
    return status == IMGSIM_OK ? imgsim_catalog_refresh(catalog) : status;
}

/* ---- indexes ---- */

/* Feature and metric of a file name of ours, "FEATURE.METRIC.ims". */
static bool
parse_name(const char *file, char out_feature[IMS_FEATURE_NAME_SIZE], int32_t *out_metric)
{
    const char *dot = strchr(file, '.');
    const char *end = dot != NULL ? strchr(dot + 1, '.') : NULL;
    char metric[32];

    if (end == NULL || strcmp(end, ".ims") != 0 || dot - file >= IMS_FEATURE_NAME_SIZE ||
        end - dot > (ptrdiff_t)sizeof(metric))
        return false;
    snprintf(out_feature, IMS_FEATURE_NAME_SIZE, "%.*s", (int)(dot - file), file);
    snprintf(metric, sizeof(metric), "%.*s", (int)(end - dot - 1), dot + 1);
    return imgsim_metric_from_name(metric, out_metric) == IMGSIM_OK;
}

/* Whether a file is a fresh index, or one that a newer version made, which is not ours to judge. */
static imgsim_status may_stay(
    const imgsim_catalog *catalog,
    const char *feature,
    int32_t metric,
    const char *path,
    bool *out)
{
    imgsim_features *features = NULL;
    imgsim_index *index = NULL;
    imgsim_status status;

    *out = false;
    status = imgsim_index_open(path, 0, &index);
    if (status == IMGSIM_ERROR_UNSUPPORTED || status == IMGSIM_ERROR_CORRUPT ||
        status == IMGSIM_ERROR_NOT_FOUND) {
        *out = status != IMGSIM_ERROR_CORRUPT;
        return IMGSIM_OK;
    }
    imgsim_index_free(index);
    index = NULL;
    if (status != IMGSIM_OK)
        return status;

    status = imgsim_catalog_open_features(catalog, feature, &features);
    if (status == IMGSIM_OK)
        status = ims_index_open_fresh(path, features, metric, &index);
    else if (status == IMGSIM_ERROR_NOT_FOUND)
        status = IMGSIM_OK;
    *out = index != NULL;
    imgsim_index_free(index);
    imgsim_features_free(features);
    return status;
}

imgsim_status
ims_index_may_stay(const imgsim_catalog *catalog, const char *file, const char *path, bool *out)
{
    char feature[IMS_FEATURE_NAME_SIZE];
    int32_t metric;

    *out = true; /* whoever named it so */
    if (!parse_name(file, feature, &metric))
        return IMGSIM_OK;
    return may_stay(catalog, feature, metric, path, out);
}

static imgsim_status refresh_index(const imgsim_catalog *catalog, const char *file, size_t *changes)
{
    char feature[IMS_FEATURE_NAME_SIZE];
    imgsim_status status;
    int32_t metric;
    char inner[512];
    char *path;
    bool stays;

    if (!parse_name(file, feature, &metric))
        return IMGSIM_OK;
    snprintf(inner, sizeof(inner), "indexes/%s", file);
    if ((path = ims_catalog_inner_path(catalog, inner)) == NULL)
        return ims_fail_memory(1);
    status = may_stay(catalog, feature, metric, path, &stays);
    if (status == IMGSIM_OK && !stays) {
        ims_log(IMGSIM_LOG_INFO, "removing %s: it is stale", path);
        if (unlink(path) == 0)
            (*changes)++;
        else if (errno != ENOENT)
            status = ims_fail_errno(errno, "cannot remove %s", path);
    }
    ims_free(path);
    return status;
}

static imgsim_status refresh_indexes(const imgsim_catalog *catalog, size_t *changes)
{
    imgsim_status status = IMGSIM_OK;
    struct dirent *entry;
    DIR *listing;
    char *folder = ims_catalog_inner_path(catalog, "indexes");

    if (folder == NULL)
        return ims_fail_memory(1);
    if ((listing = opendir(folder)) == NULL) {
        if (errno != ENOENT)
            status = ims_fail_errno(errno, "cannot list %s", folder);
        goto done;
    }
    while (status == IMGSIM_OK && (entry = readdir(listing)) != NULL)
        status = refresh_index(catalog, entry->d_name, changes);
    closedir(listing);

done:
    ims_free(folder);
    return status;
}

imgsim_status ims_derive_refresh(imgsim_catalog *catalog, size_t *changes)
{
    imgsim_status status;

    if ((status = imgsim_catalog_refresh(catalog)) != IMGSIM_OK ||
        (status = refresh_projections(catalog, changes)) != IMGSIM_OK)
        return status;
    return refresh_indexes(catalog, changes);
}
