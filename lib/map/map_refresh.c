/* SPDX-License-Identifier: Apache-2.0 */
/* After a scan: what was derived from features is brought up to date or removed, kept maps and neighbour graphs among it. */
#include "map/map.h"

#include "catalog/catalog.h"
#include "core/file.h"
#include "core/memory.h"
#include "derive/derive.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Feature, and the metric of a graph, by the file's name; 0 is a map, -1 none of ours. */
static int32_t read_name(const char *file, char out_feature[IMS_MAP_FEATURE_SIZE])
{
    const char *dot = strchr(file, '.');
    const char *end = dot != NULL ? strchr(dot + 1, '.') : NULL;
    char metric[32];
    int32_t found = -1;

    if (end == NULL || dot - file >= IMS_MAP_FEATURE_SIZE || end - dot > (ptrdiff_t)sizeof(metric))
        return -1;
    snprintf(out_feature, IMS_MAP_FEATURE_SIZE, "%.*s", (int)(dot - file), file);
    if (strcmp(end, ".ims") == 0)
        return 0;
    snprintf(metric, sizeof(metric), "%.*s", (int)(end - dot - 1), dot + 1);
    if (strcmp(end, ".graph.ims") == 0 && imgsim_metric_from_name(metric, &found) != IMGSIM_OK)
        found = -1;
    return found;
}

/* A graph serves the very images it was made of. */
static bool graph_may_stay(const imgsim_features *features, int32_t metric, const char *path)
{
    struct ims_map_kept_graph graph = {0};
    int64_t *ids = NULL;
    char origin[33];
    size_t count = 0;
    imgsim_status status = ims_map_list_ids(features, &ids, &count);

    if (status == IMGSIM_OK && ims_map_origin(features, ids, count, metric, origin))
        status = ims_map_graph_load(path, origin, &graph);
    ims_map_kept_graph_clear(&graph);
    ims_free(ids);
    return status != IMGSIM_ERROR_NOT_FOUND;
}

/* A map of other images than there are now still takes new ones, as long as its feature is the one it was made from. */
static bool map_may_stay(const imgsim_features *features, const char *path)
{
    imgsim_map *map = NULL;
    char origin[33];
    bool stays = true;

    if (imgsim_map_load(path, &map) == IMGSIM_OK &&
        ims_map_origin(features, map->ids, map->count, map->metric, origin))
        stays = strcmp(origin, map->origin) == 0;
    imgsim_map_free(map);
    return stays; /* damaged ones are for a check to tell, newer ones not ours to judge */
}

static imgsim_status refresh_file(const imgsim_catalog *catalog, const char *file, size_t *changes)
{
    imgsim_features *features = NULL;
    char feature[IMS_MAP_FEATURE_SIZE], inner[300];
    const int32_t kind = read_name(file, feature);
    imgsim_status status;
    char *path;
    bool stays = false;

    if (kind < 0)
        return IMGSIM_OK;
    snprintf(inner, sizeof(inner), "maps/%.250s", file);
    if ((path = ims_catalog_inner_path(catalog, inner)) == NULL)
        return ims_fail_memory(sizeof(inner));
    status = imgsim_catalog_open_features(catalog, feature, &features);
    if (status == IMGSIM_OK)
        stays = kind == 0 ? map_may_stay(features, path) : graph_may_stay(features, kind, path);
    else if (status == IMGSIM_ERROR_NOT_FOUND)
        status = IMGSIM_OK;
    if (status == IMGSIM_OK && !stays) {
        ims_log(IMGSIM_LOG_INFO, "removing %s: it is stale", path);
        if (unlink(path) == 0)
            (*changes)++;
        else if (errno != ENOENT)
            status = ims_fail_errno(errno, "cannot remove %s", path);
    }
    imgsim_features_free(features);
    ims_free(path);
    return status;
}

static imgsim_status refresh_maps(const imgsim_catalog *catalog, size_t *changes)
{
    char *folder = ims_catalog_inner_path(catalog, "maps");
    imgsim_status status = IMGSIM_OK;
    struct dirent *entry;
    DIR *listing;

    if (folder == NULL)
        return ims_fail_memory(64);
    if ((listing = opendir(folder)) == NULL && errno != ENOENT)
        status = ims_fail_errno(errno, "cannot list %s", folder);
    while (status == IMGSIM_OK && listing != NULL && (entry = readdir(listing)) != NULL)
        status = refresh_file(catalog, entry->d_name, changes);
    if (listing != NULL)
        closedir(listing);
    ims_free(folder);
    return status;
}

imgsim_status imgsim_derive_refresh(imgsim_catalog *catalog, size_t *out_changes)
{
    imgsim_status status;
    size_t changes = 0;

    if (out_changes != NULL)
        *out_changes = 0;
    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    if ((status = ims_derive_refresh(catalog, &changes)) != IMGSIM_OK ||
        (status = refresh_maps(catalog, &changes)) != IMGSIM_OK)
        return status;
    if (out_changes != NULL)
        *out_changes = changes;
    return IMGSIM_OK;
}
