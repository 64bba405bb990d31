/* SPDX-License-Identifier: Apache-2.0 */
/* Maps that grow: points that were there stay, new ones are placed among them. */
#ifndef IMS_MAP_EXTEND_H
#define IMS_MAP_EXTEND_H

#include "map/map.h"

/*
 * Positions for all rows, whose places ascend: where a row is of an id of the map, the map's, else placed on it.
 *
 * @param rows           with places: ids of a catalog, ascending
 * @param out_positions  rows x dimension; release with ims_free()
 */
imgsim_status ims_map_extend(
    const imgsim_map *map,
    const struct ims_map_rows *rows,
    const imgsim_map_options *options,
    float **out_positions);

#endif
