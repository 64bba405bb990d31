/* SPDX-License-Identifier: Apache-2.0 */
/* A page being written: what its parts share. */
#ifndef IMS_PAGE_WRITE_H
#define IMS_PAGE_WRITE_H

#include "page/pack.h"

/* Pictures of a sheet; small sheets, so that the first ones are there early. */
#define IMS_SHEET_COLUMNS 16
#define IMS_SHEET_CELLS 256
#define IMS_SHEET_QUALITY 74

/* The viewer, from the folder viewer/ by the build. */
extern const unsigned char ims_viewer_script[];
extern const size_t ims_viewer_script_size;
extern const unsigned char ims_viewer_style[];
extern const size_t ims_viewer_style_size;
extern const unsigned char ims_viewer_body[];
extern const size_t ims_viewer_body_size;

struct ims_page {
    const struct ims_page_input *input;
    const struct ims_page_settings *settings;
    const char *path;
    struct ims_writer writer;
    struct ims_quantised flat;
    struct ims_quantised deep;
    uint32_t *order;  /* place -> point */
    uint32_t *codes;  /* of each place along the curve */
    uint32_t *places; /* point -> place */
    /* Representatives, places in order of importance. */
    uint32_t *pictures;
    size_t picture_count;
    struct ims_bytes *sheets; /* JPEG files */
    size_t sheet_count;
    uint8_t *sizes; /* picture_count x 2: width and height inside the cell, 0 without a picture */
    uint8_t *tile_sizes; /* count x 2, by place; NULL without tiles */
    uint32_t neighbour_count;
    int64_t date_start;
    uint32_t date_unit; /* seconds */
    char *base_link;    /* of the folder that all paths share */
    char *tiles_link;   /* of the folder of tiles, NULL without one */
};

imgsim_status ims_page_check(const struct ims_page_input *input);
imgsim_status ims_page_text(struct ims_page *page, const char *text);
/* Bytes, compressed, as the block d-NAMEsuffix; a suffix below 0 is left out. */
imgsim_status ims_page_block(
    struct ims_page *page,
    const char *name,
    int64_t suffix,
    const struct ims_bytes *bytes);
/* The same of what is compressed already. */
imgsim_status ims_page_raw_block(
    struct ims_page *page,
    const char *name,
    int64_t suffix,
    const uint8_t *data,
    size_t size);

/* ---- columns.c ---- */

imgsim_status ims_page_order(struct ims_page *page);
imgsim_status ims_page_positions(struct ims_page *page);
imgsim_status ims_page_deep(struct ims_page *page);
imgsim_status ims_page_columns(struct ims_page *page);
/* What the numbers of d-dates count. */
void ims_page_date_scale(struct ims_page *page);
imgsim_status ims_page_dates(struct ims_page *page);
imgsim_status ims_page_neighbours(struct ims_page *page);

/* ---- names.c ---- */

/* Bytes of the folder that all paths lie in, without the slash at its end; 0 if there is none. */
size_t ims_common_folder(const char *const *paths, size_t count);
imgsim_status ims_page_links(struct ims_page *page);
imgsim_status ims_page_names(struct ims_page *page);

/* ---- sheets.c ---- */

imgsim_status ims_page_choose_pictures(struct ims_page *page);
/* The sheets inside the page, and the tiles beside it. */
imgsim_status ims_page_draw_sheets(struct ims_page *page);
imgsim_status ims_page_pictures(struct ims_page *page);

#endif
