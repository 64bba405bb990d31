/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the projectors and indexes that are stored with a catalog, and whether they are fresh. */
#ifndef IMS_DERIVE_H
#define IMS_DERIVE_H

#include <imgsim/derive.h>

#include "core/status.h"

/*
 * The projector that made a feature. NOT_FOUND if the feature is no projection or its projector is
 * gone; CORRUPT if the projector did not make these rows.
 */
imgsim_status ims_derive_open_projector(
    const imgsim_catalog *catalog,
    const char *feature,
    imgsim_projector **out_projector);

/*
 * The stored index of a feature and metric, if there is one that is fresh: made from this feature's
 * rows (fingerprint) and holding every image in state OK that has a row. *out_index is NULL, with
 * IMGSIM_OK, if not.
 */
imgsim_status ims_derive_open_index(
    const imgsim_catalog *catalog,
    const char *feature,
    int32_t metric,
    imgsim_index **out_index);

/* Remove what imgsim_derive_verify() complains about, and stale indexes. */
struct ims_repair;
imgsim_status ims_derive_repair(struct ims_repair *repair, imgsim_catalog *catalog);

/* What imgsim_derive_refresh() does about projections and indexes; adds to *changes. */
imgsim_status ims_derive_refresh(imgsim_catalog *catalog, size_t *changes);

#endif
