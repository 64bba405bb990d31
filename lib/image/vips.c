/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens libimgsim-vips.so when the first image needs it, so that hosts of JPEGs, of indexes and of
 * searches load neither libvips nor its hundred libraries.
 */
#include "image/decode.h"

#include "core/module.h"

#include <stdio.h>

static struct ims_module module = {
    .file = "libimgsim-vips.so",
    .variable = "IMGSIM_VIPS_MODULE",
    .symbol = IMS_VIPS_SYMBOL,
    .contract = IMS_VIPS_CONTRACT,
    .lock = PTHREAD_MUTEX_INITIALIZER,
};

static void log_line(const char *text)
{
    ims_log(IMGSIM_LOG_DEBUG, "libvips: %s", text);
}

const struct ims_vips_functions *ims_vips_open(const char *needed_by, char *why, size_t why_size)
{
    char words[512];
    const struct ims_vips_functions *vips = ims_module_open(&module, words, sizeof(words));

    if (vips == NULL)
        snprintf(
            why, why_size, "%s the image module (libimgsim-vips.so, package libvips42): %s",
            needed_by, words);
    else if (!vips->enter(log_line)) {
        snprintf(why, why_size, "libvips cannot be started");
        vips = NULL;
    }
    return vips;
}
