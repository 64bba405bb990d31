/* SPDX-License-Identifier: Apache-2.0 */
/* Repulsion of t-SNE: sums over all pairs, by interpolation on a grid in the plane and by a tree in space. */
#ifndef IMS_MAP_TSNE_REPULSION_H
#define IMS_MAP_TSNE_REPULSION_H

#include "core/status.h"
#include "core/threads.h"

#include <stdbool.h>

/*
 * For charges at `sources` (source_count x d) the fields at `targets` (target_count x d):
 *   out_forces (target_count x d): sum_j (y - y_j) / (1 + |y - y_j|^2)^2
 *   *out_total: the sum over all targets of sum_j 1 / (1 + |y - y_j|^2), a charge's own part left out
 */
struct ims_grid; /* 2-D */
imgsim_status ims_grid_new(struct ims_grid **out_grid);
void ims_grid_free(struct ims_grid *grid);
imgsim_status ims_grid_repulsion(
    struct ims_grid *grid,
    struct ims_pool *pool,
    const float *positions,
    size_t count,
    float *out_forces,
    double *out_total);
/* Fields of the charges of the last ims_grid_repulsion() at other places, which are pulled back onto the grid if outside. */
imgsim_status ims_grid_fields_at(
    struct ims_grid *grid,
    struct ims_pool *pool,
    const float *positions,
    size_t count,
    float *out_forces,
    double *out_totals);

struct ims_tree; /* 3-D */
imgsim_status ims_tree_new(struct ims_tree **out_tree);
void ims_tree_free(struct ims_tree *tree);
imgsim_status ims_tree_repulsion(
    struct ims_tree *tree,
    struct ims_pool *pool,
    const float *positions,
    size_t count,
    float *out_forces,
    double *out_total);
imgsim_status ims_tree_fields_at(
    struct ims_tree *tree,
    struct ims_pool *pool,
    const float *positions,
    size_t count,
    float *out_forces,
    double *out_totals);

#endif
