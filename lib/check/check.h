/* SPDX-License-Identifier: Apache-2.0 */
/* One check of a catalog and of all that belongs to it. */
#ifndef IMS_CHECK_CHECK_H
#define IMS_CHECK_CHECK_H

#include <imgsim/repair.h>

#include "core/progress.h"

struct ims_check_all {
    const imgsim_catalog *catalog;
    imgsim_check_options options;
    imgsim_check_report report;
    struct ims_meter meter;
};

/* Compare the files of all images with what the catalog knows (check_files.c). */
imgsim_status ims_check_image_files(struct ims_check_all *check);

#endif
