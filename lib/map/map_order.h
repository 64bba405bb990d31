/* SPDX-License-Identifier: Apache-2.0 */
/* Numbering points along the map, so that those that a force joins lie together in memory. */
#ifndef IMS_MAP_ORDER_H
#define IMS_MAP_ORDER_H

#include "map/map_edges.h"

/*
 * Points along the curve of Morton (A computer oriented geodetic data base, IBM, 1966) through positions of 2 or 3 coordinates,
 * those in one cell by number: out_order[new number] = number.
 */
imgsim_status
ims_map_curve(const float *positions, size_t count, uint32_t dimension, uint32_t *out_order);

/* Give the vertices of a graph new numbers, order[new] = old; every vertex keeps its edges in their order. */
imgsim_status
ims_map_renumber(struct ims_map_edges *edges, const uint32_t *order, struct ims_pool *pool);

/* Rows of `width` floats in a new order (or, with `back`, in the one before). */
imgsim_status
ims_map_permute(float *rows, size_t count, size_t width, const uint32_t *order, bool back);

#endif
