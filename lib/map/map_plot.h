/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files and colours, for what maps are written as. */
#ifndef IMS_MAP_PLOT_H
#define IMS_MAP_PLOT_H

#include "core/text.h"
#include "map/map.h"

/* Put a whole file in its place. */
imgsim_status ims_plot_write_file(const char *path, const void *data, size_t size);

/* 0xRRGGBB of a point. */
uint32_t ims_plot_color(const struct ims_map_groups *groups, size_t point);

#endif
