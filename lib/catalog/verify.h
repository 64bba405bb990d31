/* SPDX-License-Identifier: Apache-2.0 */
/* One check of a catalog: what its parts share, and what it came to. */
#ifndef IMS_CATALOG_VERIFY_H
#define IMS_CATALOG_VERIFY_H

#include "catalog/catalog_internal.h"

struct ims_check {
    const imgsim_catalog *catalog;
    struct ims_db *db; /* in a transaction */
    struct ims_snapshot snapshot;
    void (*callback)(const char *problem, void *user_data);
    void *user_data;
    uint64_t problems;
    char first[256];
    struct ims_verified rows;
};

/* Count a problem, and tell it. */
void ims_check_report(struct ims_check *check, const char *format, ...) IMS_PRINTF(2, 3);
/* Every row of every feature (verify_rows.c). */
imgsim_status ims_check_features(struct ims_check *check);

#endif
