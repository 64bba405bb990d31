/* SPDX-License-Identifier: Apache-2.0 */
/* Layouts by UMAP and t-SNE: from the neighbour graph to positions. */
#ifndef IMS_MAP_LAYOUT_H
#define IMS_MAP_LAYOUT_H

#include "map/map_edges.h"

/*
 * Replace principal components (n x dimension) by a start from the graph; parts of a graph that falls into parts are laid out each
 * by itself around the middle of its components.
 */
imgsim_status ims_map_spectral(
    const struct ims_map_job *job,
    const struct ims_map_edges *edges,
    float *positions);

/*
 * Where to begin: the caller's positions, else principal components, else what ims_map_spectral() makes of them. Not scaled.
 * *out_warm tells that the positions are the caller's.
 */
imgsim_status ims_map_start(
    const struct ims_map_job *job,
    const struct ims_map_edges *edges,
    int32_t start,
    float *positions,
    bool *out_warm);

/* Lay out map->positions; the graph is in the map. */
imgsim_status ims_umap_layout(const struct ims_map_job *job);
imgsim_status ims_tsne_layout(const struct ims_map_job *job);

/* Epochs of a layout if the options leave them open. */
uint32_t ims_umap_epochs(const imgsim_map_options *options, size_t count);

#endif
