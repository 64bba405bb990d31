/* SPDX-License-Identifier: Apache-2.0 */
/* Maps that grow: points that were there stay, new ones are placed among them. */
#include "map/map_extend.h"

#include "core/memory.h"

#include <string.h>

/* Which images are on the map and still there, and which are new. */
struct growth {
    imgsim_map *known; /* those that stay, in order of id */
    int64_t *fresh;
    size_t fresh_count;
};

/* Walk both lists of ids, which ascend. */
static imgsim_status
split(const imgsim_map *map, const struct ims_map_rows *rows, struct growth *growth)
{
    const uint32_t d = map->dimension;
    imgsim_status status = ims_map_alloc(map->count, d, &growth->known);
    imgsim_map *known = growth->known;
    size_t at = 0;

    if (status != IMGSIM_OK)
        return status;
    if ((growth->fresh = ims_alloc_array(rows->count, sizeof(int64_t))) == NULL)
        return ims_fail_memory(rows->count * sizeof(int64_t));
    known->count = 0;
    known->layout = map->layout;
    known->metric = map->metric;
    for (size_t i = 0; i < rows->count; i++) {
        while (at < map->count && map->ids[at] < rows->places[i])
            at++;
        if (at == map->count || map->ids[at] != rows->places[i]) {
            growth->fresh[growth->fresh_count++] = rows->places[i];
            continue;
        }
        memcpy(known->positions + known->count * d, map->positions + at * d, d * sizeof(float));
        known->ids[known->count++] = map->ids[at];
    }
    known->neighbour_count = map->neighbour_count;
    if (known->count < IMGSIM_MAP_POINTS_MIN)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY,
            "of the map's images only %zu are left, too few to place others among; lay it out anew",
            known->count);
    if (known->neighbour_count >= known->count)
        known->neighbour_count = (uint32_t)known->count - 1;
    return IMGSIM_OK;
}

/* Both sets back in one, in order of id. */
static void merge(const struct growth *growth, const float *placed, uint32_t d, float *out)
{
    const imgsim_map *known = growth->known;
    size_t k = 0, f = 0;

    while (k < known->count || f < growth->fresh_count) {
        const bool old =
            f == growth->fresh_count || (k < known->count && known->ids[k] < growth->fresh[f]);

        memcpy(out, old ? known->positions + k * d : placed + f * d, d * sizeof(float));
        out += d;
        k += old;
        f += !old;
    }
}

imgsim_status ims_map_extend(
    const imgsim_map *map,
    const struct ims_map_rows *rows,
    const imgsim_map_options *options,
    float **out_positions)
{
    const uint32_t d = map->dimension;
    struct growth growth = {0};
    struct ims_map_rows known = *rows, fresh = *rows;
    float *placed = NULL, *positions = NULL;
    imgsim_status status = split(map, rows, &growth);

    *out_positions = NULL;
    if (status != IMGSIM_OK)
        goto done;
    known.places = growth.known->ids;
    known.count = growth.known->count;
    fresh.places = growth.fresh;
    fresh.count = growth.fresh_count;
    placed = ims_alloc_array(fresh.count, d * sizeof(float));
    positions = ims_alloc_array(rows->count, d * sizeof(float));
    if (placed == NULL || positions == NULL)
        status = ims_fail_memory(rows->count * d * sizeof(float));
    else if (fresh.count > 0)
        status = ims_map_place_rows(growth.known, &known, &fresh, options, placed);
    if (status == IMGSIM_OK) {
        merge(&growth, placed, d, positions);
        *out_positions = positions;
        positions = NULL; /* now the caller's */
    }

done:
    imgsim_map_free(growth.known);
    ims_free(growth.fresh);
    ims_free(placed);
    ims_free(positions);
    return status;
}
