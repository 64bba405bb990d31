/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of DBSCAN: one call, however its neighbours are found. */
#ifndef IMS_CLUSTER_DBSCAN_H
#define IMS_CLUSTER_DBSCAN_H

#include "cluster/cluster.h"
#include "cluster/sets.h"

#define IMS_GRID_DIMENSION_MAX 3

struct ims_dbscan {
    const struct ims_cluster_job *job;
    double square; /* of eps */
    uint32_t min_samples;
    uint8_t *core;       /* n */
    ims_set_link *links; /* n: core rows of a cluster, the first is the root */
};

/*
 * One to three values: labels every row with the first core row of its cluster, or -1. False in *out_done, and nothing done, if the
 * extent is too large against eps.
 */
imgsim_status ims_dbscan_grid(struct ims_dbscan *scan, bool *out_done);

#endif
