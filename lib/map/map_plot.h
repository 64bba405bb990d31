/* SPDX-License-Identifier: Apache-2.0 */
/* Growing texts and whole files, for what maps are written as. */
#ifndef IMS_MAP_PLOT_H
#define IMS_MAP_PLOT_H

#include "map/map.h"

/* Zero it; `failed` once memory ran out, later pieces are then dropped. Release `bytes` with ims_free(). */
struct ims_text {
    char *bytes;
    size_t used;
    size_t room;
    bool failed;
};

void ims_text_put(struct ims_text *text, const char *format, ...) IMS_PRINTF(2, 3);
/* For XML: what has a meaning there, control characters and bytes that are no UTF-8 are replaced. */
void ims_text_put_escaped(struct ims_text *text, const char *value);
/* A field of CSV, quoted if it must be. */
void ims_text_put_field(struct ims_text *text, const char *value);

/* Put a whole file in its place. */
imgsim_status ims_plot_write_file(const char *path, const void *data, size_t size);

/* 0xRRGGBB of a point. */
uint32_t ims_plot_color(const struct ims_map_groups *groups, size_t point);

#endif
