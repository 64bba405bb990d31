/* SPDX-License-Identifier: Apache-2.0 */
/* Repairing a catalog, as far as the catalog alone can: its database, its matrices, what interrupted writers left. */
#ifndef IMS_CATALOG_REPAIR_H
#define IMS_CATALOG_REPAIR_H

#include <imgsim/repair.h>

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

/* One repair. */
struct ims_repair {
    imgsim_repair_options options;
    imgsim_repair_report report;
};

/* Tell the host about a change, and count it. */
void ims_repair_say(struct ims_repair *repair, const char *format, ...) IMS_PRINTF(2, 3);

/*
 * Open a catalog; when its database is damaged, build it anew from what can be read and open that. CORRUPT: it is no catalog of
 * ours, or nothing can be read of it.
 */
imgsim_status
ims_repair_open(struct ims_repair *repair, const char *path, imgsim_catalog **out_catalog);
/* Make records, sets of ids, counts and matrices agree, remove leftovers. The handle is refreshed. */
imgsim_status ims_repair_catalog(struct ims_repair *repair, imgsim_catalog *catalog);

/*
 * Copy what can be read of folder/catalog.db into a new database and put that in its place (salvage.c). The caller holds the
 * writer's lock.
 */
imgsim_status ims_salvage(struct ims_repair *repair, const char *folder, const char *database);

#endif
