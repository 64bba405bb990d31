/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of a map's points by label or folder, for colours and tables. */
#include "map/map.h"

#include "catalog/catalog.h"
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

/* Groups being collected: names in any order, room doubles. */
struct collecting {
    const imgsim_map *map;
    const imgsim_catalog *catalog;
    struct ims_map_groups *groups;
    size_t name_room;
    int32_t last; /* group found last: neighbours often share a folder */
    imgsim_status status;
};

/* Number of a name, made if it is new; -1 when out of memory. */
static int32_t number_of(struct collecting *collecting, const char *name)
{
    struct ims_map_groups *groups = collecting->groups;

    if (collecting->last >= 0 && strcmp(groups->names[collecting->last], name) == 0)
        return collecting->last;
    for (size_t i = 0; i < groups->count; i++)
        if (strcmp(groups->names[i], name) == 0)
            return collecting->last = (int32_t)i;
    if (!ims_grow(
            (void **)&groups->names, &collecting->name_room, groups->count + 1, sizeof(char *)) ||
        (groups->names[groups->count] = ims_strdup(name)) == NULL) {
        collecting->status = ims_fail_memory(strlen(name));
        return -1;
    }
    return collecting->last = (int32_t)groups->count++;
}

/* Place of an id in the map, or the count if it is not there: ids of a catalog's map ascend. */
static size_t place_of(const imgsim_map *map, int64_t id)
{
    size_t low = 0, high = map->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (map->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < map->count && map->ids[low] == id ? low : map->count;
}

/* Above so many folders names are looked up for nothing: colours end long before. */
#define GROUPS_MOST 100000

static int32_t take_folder(const imgsim_file_info *file, void *user_data)
{
    struct collecting *collecting = user_data;
    const size_t place = place_of(collecting->map, file->id);
    const char *slash = strrchr(file->directory, '/');
    int32_t number;

    if (place == collecting->map->count || collecting->groups->count > GROUPS_MOST)
        return 0;
    number = number_of(collecting, slash != NULL && slash[1] != '\0' ? slash + 1 : file->directory);
    collecting->groups->of_point[place] = number;
    return number < 0;
}

static int32_t take_label(const char *label, uint64_t image_count, void *user_data)
{
    struct collecting *collecting = user_data;
    struct ims_bitset ids = {0};
    int32_t number;

    if (image_count == 0)
        return 0;
    if ((number = number_of(collecting, label)) < 0)
        return 1;
    collecting->status = ims_catalog_ids_with_label(collecting->catalog, label, &ids);
    if (collecting->status == IMGSIM_OK)
        for (size_t i = 0; i < collecting->map->count; i++)
            if (collecting->groups->of_point[i] < 0 &&
                ims_bitset_test(&ids, collecting->map->ids[i]))
                collecting->groups->of_point[i] = number;
    ims_bitset_clear(&ids);
    return collecting->status != IMGSIM_OK;
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

/* Count the groups and number them anew, the largest first. */
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
    ims_free(ranked);
    ims_free(numbers);
    return IMGSIM_OK;
}

static imgsim_status no_groups(const imgsim_map *map, struct ims_map_groups *groups)
{
    memset(groups, 0, sizeof(*groups));
    if ((groups->of_point = ims_alloc_array(map->count, sizeof(int32_t))) == NULL)
        return ims_fail_memory(map->count * sizeof(int32_t));
    memset(groups->of_point, 0xff, map->count * sizeof(int32_t));
    return IMGSIM_OK;
}

imgsim_status ims_map_groups_find(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    int32_t color_by,
    struct ims_map_groups *groups)
{
    struct collecting collecting = {map, catalog, groups, 0, -1, IMGSIM_OK};
    imgsim_status status = no_groups(map, groups);

    if (status == IMGSIM_OK && catalog != NULL &&
        (color_by == IMGSIM_COLOR_AUTO || color_by == IMGSIM_COLOR_LABEL))
        status = imgsim_catalog_visit_labels(catalog, -1, take_label, &collecting);
    if (status == IMGSIM_OK && collecting.status == IMGSIM_OK && catalog != NULL &&
        ((color_by == IMGSIM_COLOR_AUTO && groups->count == 0) || color_by == IMGSIM_COLOR_FOLDER))
        status = imgsim_catalog_visit_files(catalog, IMGSIM_FILE_OK, take_folder, &collecting);
    if (status == IMGSIM_OK)
        status = collecting.status;
    if (status == IMGSIM_OK)
        status = rank_groups(groups, map->count);
    if (status != IMGSIM_OK)
        ims_map_groups_clear(groups);
    return status;
}

imgsim_status ims_map_groups_given(
    const imgsim_map *map,
    const int32_t *of_point,
    const char *const *names,
    size_t name_count,
    struct ims_map_groups *groups)
{
    imgsim_status status = no_groups(map, groups);
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
