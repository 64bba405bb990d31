/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of a map's points by label, cluster or folder, for colours and tables. */
#include "map/map.h"

#include "catalog/classes.h"
#include "core/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ims_map_groups_clear(struct ims_map_groups *groups)
{
    for (size_t i = 0; i < groups->count && groups->names != NULL; i++)
        ims_free(groups->names[i]);
    ims_free(groups->of_point);
    ims_free(groups->names);
    ims_free(groups->sizes);
    memset(groups, 0, sizeof(*groups));
}

/* ---- order ---- */

struct ranked {
    size_t size;
    char *name;
    int32_t number;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* Count the groups and number them anew, the largest first; empty ones go. */
static imgsim_status rank_groups(struct ims_map_groups *groups, size_t points)
{
    struct ranked *ranked = ims_calloc(groups->count, sizeof(*ranked));
    int32_t *numbers = ims_alloc_array(groups->count, sizeof(int32_t));

    groups->sizes = ims_calloc(groups->count, sizeof(size_t));
    if (ranked == NULL || numbers == NULL || groups->sizes == NULL) {
        ims_free(ranked);
        ims_free(numbers);
        return ims_fail_memory(groups->count * sizeof(*ranked));
    }
    for (size_t i = 0; i < groups->count; i++) {
        ranked[i].name = groups->names[i];
        ranked[i].number = (int32_t)i;
    }
    for (size_t i = 0; i < points; i++)
        if (groups->of_point[i] >= 0)
            ranked[groups->of_point[i]].size++;
    if (groups->count > 0)
        qsort(ranked, groups->count, sizeof(*ranked), compare_ranked);
    for (size_t i = 0; i < groups->count; i++) {
        groups->names[i] = ranked[i].name;
        groups->sizes[i] = ranked[i].size;
        numbers[ranked[i].number] = (int32_t)i;
    }
    for (size_t i = 0; i < points; i++)
        if (groups->of_point[i] >= 0)
            groups->of_point[i] = numbers[groups->of_point[i]];
    while (groups->count > 0 && groups->sizes[groups->count - 1] == 0)
        ims_free(groups->names[--groups->count]);
    ims_free(ranked);
    ims_free(numbers);
    return IMGSIM_OK;
}

static imgsim_status no_groups(size_t points, struct ims_map_groups *groups)
{
    memset(groups, 0, sizeof(*groups));
    if ((groups->of_point = ims_alloc_array(points, sizeof(int32_t))) == NULL)
        return ims_fail_memory(points * sizeof(int32_t));
    memset(groups->of_point, 0xff, points * sizeof(int32_t));
    return IMGSIM_OK;
}

/* ---- what a catalog says ---- */

/* Clusters of a set, or of the first one in order of name; noise is in no group. */
static imgsim_status
find_clusters(const imgsim_catalog *catalog, const char *set, struct ims_classes *out)
{
    struct ims_cluster_sets sets = {0};
    char prefix[300];
    imgsim_status status = ims_cluster_sets_find(catalog, &sets);
    size_t which = 0;

    if (status != IMGSIM_OK)
        return status;
    while (set != NULL && which < sets.count && strcmp(sets.names[which], set) != 0)
        which++;
    if (sets.count == 0)
        status = ims_fail(
            IMGSIM_ERROR_NOT_FOUND, "the catalog has no clusters; 'imgsim cluster' makes some");
    else if (which == sets.count)
        status = ims_fail(
            IMGSIM_ERROR_NOT_FOUND, "the catalog has no clusters named \"%.100s\", but \"%s\"", set,
            sets.names[0]);
    else {
        snprintf(prefix, sizeof(prefix), IMS_CLUSTER_PREFIX "%s/", sets.names[which]);
        status = ims_classes_by_prefix(catalog, prefix, out);
    }
    ims_cluster_sets_clear(&sets);
    return status;
}

static imgsim_status find_predicted(const imgsim_catalog *catalog, struct ims_classes *out)
{
    imgsim_status status = ims_classes_by_prefix(catalog, IMS_PREDICTED_PREFIX, out);

    if (status == IMGSIM_OK && out->count == 0)
        status = ims_fail(
            IMGSIM_ERROR_NOT_FOUND,
            "no image has a predicted label; 'imgsim label --predict --store' gives some");
    return status;
}

static imgsim_status find_classes(
    const imgsim_catalog *catalog,
    int32_t color_by,
    const char *cluster,
    struct ims_classes *out)
{
    switch (color_by) {
    case IMGSIM_COLOR_AUTO:
        return ims_classes_by_any(catalog, out);
    case IMGSIM_COLOR_LABEL:
        return ims_classes_by_label(catalog, out);
    case IMGSIM_COLOR_FOLDER:
        return ims_classes_by_folder(catalog, out);
    case IMGSIM_COLOR_CLUSTER:
        return find_clusters(catalog, cluster, out);
    case IMGSIM_COLOR_PREDICTED:
        return find_predicted(catalog, out);
    default:
        return IMGSIM_OK;
    }
}

/* The names move from the classes to the groups. */
static void take_classes(
    const int64_t *ids,
    size_t count,
    struct ims_classes *classes,
    struct ims_map_groups *groups)
{
    for (size_t i = 0; i < count; i++)
        groups->of_point[i] = ims_class_of(classes, ids[i]);
    groups->names = classes->names;
    groups->count = classes->count;
    classes->names = NULL;
    classes->count = 0;
}

/* Noise is no cluster. */
static void drop_noise(size_t count, struct ims_map_groups *groups)
{
    for (size_t g = 0; g < groups->count; g++)
        for (size_t i = 0; i < count && strcmp(groups->names[g], "noise") == 0; i++)
            if (groups->of_point[i] == (int32_t)g)
                groups->of_point[i] = -1;
}

imgsim_status ims_groups_of_ids(
    const int64_t *ids,
    size_t count,
    const imgsim_catalog *catalog,
    int32_t color_by,
    const char *cluster,
    struct ims_map_groups *groups)
{
    struct ims_classes classes = {0};
    imgsim_status status = no_groups(count, groups);

    if (status == IMGSIM_OK && catalog != NULL &&
        (status = find_classes(catalog, color_by, cluster, &classes)) == IMGSIM_OK)
        take_classes(ids, count, &classes, groups);
    if (status == IMGSIM_OK && color_by == IMGSIM_COLOR_CLUSTER)
        drop_noise(count, groups);
    if (status == IMGSIM_OK)
        status = rank_groups(groups, count);
    ims_classes_clear(&classes);
    if (status != IMGSIM_OK)
        ims_map_groups_clear(groups);
    return status;
}

imgsim_status ims_groups_name_clusters(
    const int64_t *ids,
    size_t count,
    const imgsim_catalog *catalog,
    struct ims_map_groups *groups)
{
    struct ims_classes classes = {0};
    int32_t *best = ims_alloc_array(groups->count, sizeof(*best));
    uint64_t *votes = ims_alloc_array(groups->count, sizeof(*votes));
    imgsim_status status = IMGSIM_OK;

    if (best == NULL || votes == NULL)
        status = ims_fail_memory(groups->count * sizeof(*votes));
    if (status == IMGSIM_OK && (status = ims_classes_by_any(catalog, &classes)) == IMGSIM_OK)
        status = ims_classes_most_frequent(
            &classes, ids, groups->of_point, count, groups->count, best, votes);
    for (size_t g = 0; g < groups->count && status == IMGSIM_OK; g++) {
        const char *name = best[g] >= 0 ? classes.names[best[g]] : "";
        const size_t size = strlen(groups->names[g]) + strlen(name) + 3;
        char *longer;

        if (best[g] < 0 || 2 * votes[g] < groups->sizes[g])
            continue;
        if ((longer = ims_alloc(size)) == NULL) {
            status = ims_fail_memory(size);
            break;
        }
        snprintf(longer, size, "%s: %s", groups->names[g], name);
        ims_free(groups->names[g]);
        groups->names[g] = longer;
    }
    ims_free(best);
    ims_free(votes);
    ims_classes_clear(&classes);
    return status;
}

imgsim_status ims_map_groups_find(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    int32_t color_by,
    const char *cluster,
    struct ims_map_groups *groups)
{
    return ims_groups_of_ids(map->ids, map->count, catalog, color_by, cluster, groups);
}

/* ---- given ones ---- */

imgsim_status ims_map_groups_given(
    const imgsim_map *map,
    const int32_t *of_point,
    const char *const *names,
    size_t name_count,
    struct ims_map_groups *groups)
{
    imgsim_status status = no_groups(map->count, groups);
    int32_t most = -1;

    if (status != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < map->count; i++)
        most = of_point[i] > most ? of_point[i] : most;
    if ((groups->names = ims_calloc((size_t)most + 2, sizeof(char *))) == NULL) {
        ims_map_groups_clear(groups);
        return ims_fail_memory(((size_t)most + 2) * sizeof(char *));
    }
    for (int32_t g = 0; g <= most; g++) {
        char number[32];

        snprintf(number, sizeof(number), "%d", g);
        groups->names[g] = ims_strdup(
            names != NULL && (size_t)g < name_count && names[g] != NULL ? names[g] : number);
        if (groups->names[g] == NULL) {
            ims_map_groups_clear(groups);
            return ims_fail_memory(sizeof(number));
        }
        groups->count++;
    }
    for (size_t i = 0; i < map->count; i++)
        groups->of_point[i] = of_point[i] >= 0 ? of_point[i] : -1;
    if ((status = rank_groups(groups, map->count)) != IMGSIM_OK)
        ims_map_groups_clear(groups);
    return status;
}

/* Numbers of groups that a caller gives are below. */
#define GROUPS_MAX 10000000

imgsim_status ims_map_groups_read(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    const imgsim_plot_options *options,
    struct ims_map_groups *groups)
{
    if (options->color_by < IMGSIM_COLOR_AUTO || options->color_by > IMGSIM_COLOR_PREDICTED)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown colours %d", options->color_by);
    if (options->groups == NULL && options->color_by == IMGSIM_COLOR_GROUPS)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "colours by groups, but groups is NULL");
    if (options->groups == NULL)
        return ims_map_groups_find(map, catalog, options->color_by, options->cluster, groups);
    for (size_t i = 0; i < map->count; i++)
        if (options->groups[i] >= GROUPS_MAX)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "point %zu has group %d, expected less than %d", i,
                options->groups[i], GROUPS_MAX);
    return ims_map_groups_given(
        map, options->groups, options->group_names, options->group_count, groups);
}
