/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the maps and neighbour graphs that are kept with a catalog are sound. */
#include "map/map_check.h"

#include "map/map.h"

#include "catalog/catalog.h"
#include "core/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GRAPH_END ".graph.ims"

struct check {
    const imgsim_catalog *catalog;
    struct ims_repair *repair;
    void (*callback)(const char *problem, void *user_data);
    void *user_data;
    uint64_t problems;
};

/* A file that is looked at, and what is wrong with it. */
struct kept {
    const char *name;
    char *path;
    char feature[IMS_MAP_FEATURE_SIZE];
    char fault[IMS_ERROR_TEXT_SIZE]; /* "": nothing */
    bool orphan;                     /* its feature is gone */
};

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), end_length = strlen(end);

    return length > end_length && strcmp(name + length - end_length, end) == 0;
}

/* The feature is what stands before the first dot: names of features have none. */
static void read_feature(struct kept *kept)
{
    size_t length = strcspn(kept->name, ".");

    if (length >= sizeof(kept->feature))
        length = sizeof(kept->feature) - 1;
    memcpy(kept->feature, kept->name, length);
    kept->feature[length] = '\0';
}

struct search {
    const char *name;
    bool found;
};

static int32_t compare_feature(const imgsim_feature_info *feature, void *user_data)
{
    struct search *search = user_data;

    search->found = strcmp(feature->name, search->name) == 0;
    return search->found;
}

/* Ids ascend and were given. */
static void check_ids(const struct check *check, const imgsim_map *map, struct kept *kept)
{
    const int64_t given = (int64_t)imgsim_catalog_get_id_count(check->catalog);

    for (size_t i = 0; i < map->count; i++) {
        if (map->ids[i] >= 0 && map->ids[i] < given && (i == 0 || map->ids[i - 1] < map->ids[i]))
            continue;
        snprintf(
            kept->fault, sizeof(kept->fault), "point %zu is of image %lld, of %lld in order", i,
            (long long)map->ids[i], (long long)given);
        return;
    }
}

static imgsim_status check_map(const struct check *check, struct kept *kept)
{
    imgsim_map *map = NULL;
    imgsim_status status = imgsim_map_load(kept->path, &map);
    char name[IMS_MAP_FEATURE_SIZE + 64];

    if (status != IMGSIM_OK)
        return status;
    snprintf(
        name, sizeof(name), "%s.%s-%u.ims", map->feature, imgsim_layout_name(map->layout),
        map->dimension);
    if (strcmp(name, kept->name) != 0)
        snprintf(kept->fault, sizeof(kept->fault), "it is the map that is kept as %s", name);
    else
        check_ids(check, map, kept);
    imgsim_map_free(map);
    return IMGSIM_OK;
}

static imgsim_status check_graph(const struct check *check, struct kept *kept)
{
    struct ims_map_kept_graph graph = {0};
    imgsim_status status = ims_map_graph_load(kept->path, NULL, &graph);

    if (status == IMGSIM_OK && graph.count > imgsim_catalog_get_id_count(check->catalog))
        snprintf(
            kept->fault, sizeof(kept->fault), "it has %zu points, only %llu ids were given",
            graph.count, (unsigned long long)imgsim_catalog_get_id_count(check->catalog));
    ims_map_kept_graph_clear(&graph);
    return status;
}

/* What is wrong with a file; files of newer versions and those that went meanwhile are fine. */
static imgsim_status examine(const struct check *check, struct kept *kept)
{
    struct search search = {.name = kept->feature};
    imgsim_status status;

    status = ends_with(kept->name, GRAPH_END) ? check_graph(check, kept) : check_map(check, kept);
    if (status == IMGSIM_ERROR_CORRUPT || status == IMGSIM_ERROR_IO)
        snprintf(kept->fault, sizeof(kept->fault), "%s", imgsim_last_error());
    else if (status != IMGSIM_OK)
        return status == IMGSIM_ERROR_UNSUPPORTED || status == IMGSIM_ERROR_NOT_FOUND ? IMGSIM_OK
                                                                                      : status;
    if ((status = imgsim_catalog_visit_features(check->catalog, compare_feature, &search)) !=
        IMGSIM_OK)
        return status;
    kept->orphan = !search.found;
    return IMGSIM_OK;
}

static imgsim_status act(struct check *check, const struct kept *kept)
{
    char line[IMS_ERROR_TEXT_SIZE];

    if (check->repair != NULL && (kept->fault[0] != '\0' || kept->orphan)) {
        if (unlink(kept->path) != 0 && errno != ENOENT)
            return ims_fail_errno(errno, "cannot remove %s", kept->path);
        check->repair->report.derived_dropped++;
        ims_repair_say(
            check->repair, "maps/%s: removed: %.700s", kept->name,
            kept->fault[0] != '\0' ? kept->fault : "its feature is gone");
    } else if (kept->fault[0] != '\0') {
        check->problems++;
        snprintf(
            line, sizeof(line), "maps/%.255s: %.700s; 'imgsim map' makes it anew", kept->name,
            kept->fault);
        if (check->callback != NULL)
            check->callback(line, check->user_data);
    }
    return IMGSIM_OK;
}

static imgsim_status visit(struct check *check, const char *name)
{
    struct kept kept = {.name = name};
    imgsim_status status;
    char inner[300];

    if (!ends_with(name, ".ims"))
        return IMGSIM_OK;
    snprintf(inner, sizeof(inner), "maps/%s", name);
    if ((kept.path = ims_catalog_inner_path(check->catalog, inner)) == NULL)
        return ims_fail_memory(sizeof(inner));
    read_feature(&kept);
    if ((status = examine(check, &kept)) == IMGSIM_OK)
        status = act(check, &kept);
    ims_free(kept.path);
    return status;
}

imgsim_status ims_maps_check(
    const imgsim_catalog *catalog,
    struct ims_repair *repair,
    void (*callback)(const char *problem, void *user_data),
    void *user_data,
    uint64_t *out_problems)
{
    struct check check = {catalog, repair, callback, user_data, 0};
    char *path = ims_catalog_inner_path(catalog, "maps");
    imgsim_status status = IMGSIM_OK;
    struct dirent *entry;
    DIR *listing;

    *out_problems = 0;
    if (path == NULL)
        return ims_fail_memory(64);
    if ((listing = opendir(path)) == NULL && errno != ENOENT)
        status = ims_fail_errno(errno, "cannot list %s", path);
    while (status == IMGSIM_OK && listing != NULL && (entry = readdir(listing)) != NULL)
        status = visit(&check, entry->d_name);
    if (listing != NULL)
        closedir(listing);
    ims_free(path);
    *out_problems = check.problems;
    return status;
}
