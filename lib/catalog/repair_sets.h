/* SPDX-License-Identifier: Apache-2.0 */
/* Repairing feature sets: rows that are damaged, files that are too short or not what they should be. */
#ifndef IMS_CATALOG_REPAIR_SETS_H
#define IMS_CATALOG_REPAIR_SETS_H

#include "catalog/catalog_internal.h"
#include "catalog/repair.h"

/* Names of the sets that have to go as a whole, by number; release each with ims_free(). */
struct ims_doomed {
    char *names[IMS_SETS_MAX];
};

/* Drop damaged rows of a writer's sets and mend their files; sets that cannot be mended are noted. Before its first row. */
imgsim_status ims_repair_sets(
    struct ims_repair *repair,
    struct ims_catalog_writer *writer,
    struct ims_doomed *doomed);

#endif
