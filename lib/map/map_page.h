/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a page: what was added to a map to show it. */
#ifndef IMS_MAP_MAP_PAGE_H
#define IMS_MAP_MAP_PAGE_H

#include <imgsim/page.h>

#include "page/page.h"

/* Neighbours that are kept of a map's graph. */
#define IMS_PAGE_NEIGHBOURS_MAX 16

/* Texts one after the other, each with NUL. */
struct ims_texts {
    char *bytes;
    const char **items;
    size_t count;
};

struct ims_own_column {
    char *title;
    int32_t *values;
    struct ims_texts names;
};

struct ims_own_figure {
    char *name;
    char *note;
    double value;
};

struct imgsim_page {
    size_t count;
    int64_t *ids;
    float *flat;
    float *deep;
    uint32_t *neighbours; /* count x neighbour_count */
    uint32_t neighbour_count;
    char layout[128];
    struct ims_texts paths;
    int64_t *dates;
    struct ims_own_column columns[IMS_PAGE_COLUMNS_MAX];
    size_t column_count;
    struct ims_own_figure *figures;
    size_t figure_count;
    size_t figure_capacity;
    imgsim_picture_callback picture;
    void *picture_data;
    imgsim_features *thumbnails; /* of the catalog, NULL without */
};

/* Copy texts; release with ims_texts_clear(). */
imgsim_status ims_texts_copy(const char *const *items, size_t count, struct ims_texts *out);
void ims_texts_clear(struct ims_texts *texts);
/* Add a property; takes what `column` owns, also on failure. */
imgsim_status ims_page_take_column(imgsim_page *page, struct ims_own_column *column);

#endif
