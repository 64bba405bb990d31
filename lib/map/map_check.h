/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the maps and neighbour graphs that are kept with a catalog are sound. */
#ifndef IMS_MAP_CHECK_H
#define IMS_MAP_CHECK_H

#include <imgsim/catalog.h>

#include "catalog/repair.h"

/*
 * Look at every file in maps/: header, checksums, values that can be, and whether the catalog has given the ids and has the feature.
 * A stale map is no problem: it is noticed and not used. Each problem is told and counted in *out_problems; with `repair` (else
 * NULL) the file is removed instead, and so is the map of a feature that is gone.
 */
imgsim_status ims_maps_check(
    const imgsim_catalog *catalog,
    struct ims_repair *repair,
    void (*callback)(const char *problem, void *user_data),
    void *user_data,
    uint64_t *out_problems);

#endif
