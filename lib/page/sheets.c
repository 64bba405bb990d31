/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of a page: sheets of representatives inside it, tiles of all points beside it. */
#include "page/write.h"

#include "core/memory.h"
#include "core/progress.h"
#include "core/threads.h"

#include <stdio.h>
#include <string.h>

#define PAPER 0xE8

imgsim_status ims_page_choose_pictures(struct ims_page *page)
{
    const struct ims_page_input *input = page->input;
    size_t wanted = page->settings->picture_count;
    imgsim_status status;

    wanted = wanted < input->count ? wanted : input->count;
    if (input->picture == NULL || wanted == 0)
        return IMGSIM_OK;
    if ((page->pictures = ims_alloc_array(wanted, sizeof(*page->pictures))) == NULL ||
        (page->sizes = ims_calloc(wanted, 2)) == NULL)
        return ims_fail_memory(wanted * sizeof(*page->pictures));
    status = ims_representatives(
        input->flat != NULL ? &page->flat : &page->deep, page->order, page->codes, input->count,
        wanted, page->pictures, &page->picture_count);
    if (status != IMGSIM_OK)
        return status;
    page->sheet_count = (page->picture_count + IMS_SHEET_CELLS - 1) / IMS_SHEET_CELLS;
    if ((page->sheets = ims_calloc(page->sheet_count, sizeof(*page->sheets))) == NULL)
        return ims_fail_memory(page->sheet_count * sizeof(*page->sheets));
    return IMGSIM_OK;
}

/* ---- one sheet ---- */

/* Pictures of up to IMS_SHEET_CELLS places as one JPEG. */
static imgsim_status draw_sheet(
    const struct ims_page *page,
    const uint32_t *places,
    size_t count,
    uint8_t *sizes,
    struct ims_bytes *out_jpeg)
{
    const struct ims_page_input *input = page->input;
    struct ims_sprite sprite = {0};
    uint8_t *encoded = NULL;
    size_t encoded_size = 0;
    imgsim_status status = ims_sprite_new(
        &sprite, page->settings->picture_side, IMS_SHEET_COLUMNS,
        (uint32_t)((count + IMS_SHEET_COLUMNS - 1) / IMS_SHEET_COLUMNS), PAPER);

    for (size_t i = 0; i < count && status == IMGSIM_OK; i++) {
        uint8_t *jpeg = NULL;
        size_t size = 0;

        status = input->picture(input->picture_data, page->order[places[i]], &jpeg, &size);
        if (status == IMGSIM_OK && jpeg != NULL)
            status =
                ims_sprite_draw(&sprite, (uint32_t)i, jpeg, size, &sizes[2 * i], &sizes[2 * i + 1]);
        ims_free(jpeg);
        if (input->meter != NULL)
            input->meter->done++;
        if (input->meter != NULL && input->meter->stop)
            status = ims_fail(IMGSIM_ERROR_CANCELLED, "stopped");
    }
    if (status == IMGSIM_OK &&
        (status = ims_image_encode(
             sprite.canvas, "jpeg", IMS_SHEET_QUALITY, &encoded, &encoded_size)) == IMGSIM_OK) {
        ims_bytes_add(out_jpeg, encoded, encoded_size);
        status = ims_bytes_status(out_jpeg);
    }
    ims_free(encoded);
    ims_sprite_clear(&sprite);
    return status;
}

static imgsim_status draw_representatives(void *context, size_t item, uint32_t worker)
{
    struct ims_page *page = context;
    size_t start = item * IMS_SHEET_CELLS;
    size_t left = page->picture_count - start;
    imgsim_status status;

    status = draw_sheet(
        page, page->pictures + start, left < IMS_SHEET_CELLS ? left : IMS_SHEET_CELLS,
        page->sizes + 2 * start, &page->sheets[item]);
    if (status == IMGSIM_OK && worker == 0 && page->input->meter != NULL)
        status = ims_meter_tick(page->input->meter, false);
    return status;
}

/* ---- tiles ---- */

struct tiles {
    struct ims_page *page;
    uint8_t *sizes; /* count x 2 */
};

/* Beside the page: FOLDER/012/345.jpg, a thousand files a folder. */
static imgsim_status
write_tile(const struct ims_page *page, size_t tile, const struct ims_bytes *jpeg)
{
    struct ims_writer writer = {0};
    char name[48];
    char *folder = NULL, *path = NULL;
    imgsim_status status = IMGSIM_OK;

    snprintf(name, sizeof(name), "%03zu", tile / 1000);
    if ((folder = ims_join_path(page->settings->tiles_folder, name)) == NULL)
        return ims_fail_memory(sizeof(name));
    snprintf(name, sizeof(name), "%03zu.jpg", tile % 1000);
    if ((path = ims_join_path(folder, name)) == NULL)
        status = ims_fail_memory(sizeof(name));
    if (status == IMGSIM_OK && (status = ims_make_folder(folder)) == IMGSIM_OK &&
        (status = ims_writer_open(&writer, path)) == IMGSIM_OK &&
        (status = ims_writer_write(&writer, jpeg->data, jpeg->size)) == IMGSIM_OK)
        status = ims_writer_commit(&writer);
    ims_writer_close(&writer);
    ims_free(path);
    ims_free(folder);
    return status;
}

static imgsim_status draw_tile(void *context, size_t item, uint32_t worker)
{
    struct tiles *tiles = context;
    struct ims_page *page = tiles->page;
    uint32_t places[IMS_SHEET_CELLS];
    size_t start = item * IMS_SHEET_CELLS;
    size_t left = page->input->count - start;
    size_t count = left < IMS_SHEET_CELLS ? left : IMS_SHEET_CELLS;
    struct ims_bytes jpeg = {0};
    imgsim_status status;

    for (size_t i = 0; i < count; i++)
        places[i] = (uint32_t)(start + i);
    if ((status = draw_sheet(page, places, count, tiles->sizes + 2 * start, &jpeg)) == IMGSIM_OK)
        status = write_tile(page, item, &jpeg);
    ims_bytes_clear(&jpeg);
    if (status == IMGSIM_OK && worker == 0 && page->input->meter != NULL)
        status = ims_meter_tick(page->input->meter, false);
    return status;
}

/* The sizes of all pictures go into the page. */
static imgsim_status draw_tiles(struct ims_page *page)
{
    size_t count = page->input->count;
    struct tiles tiles = {.page = page};
    imgsim_status status;

    if ((tiles.sizes = ims_calloc(count, 2)) == NULL)
        return ims_fail_memory(count * 2);
    if (page->input->meter != NULL)
        ims_meter_phase(page->input->meter, "tiles", count);
    if ((status = ims_make_folder(page->settings->tiles_folder)) == IMGSIM_OK)
        status = ims_pool_run(
            page->input->pool, (count + IMS_SHEET_CELLS - 1) / IMS_SHEET_CELLS, draw_tile, &tiles);
    page->tile_sizes = tiles.sizes;
    return status;
}

imgsim_status ims_page_draw_sheets(struct ims_page *page)
{
    imgsim_status status = IMGSIM_OK;

    if (page->input->meter != NULL)
        ims_meter_phase(page->input->meter, "pictures", page->picture_count);
    if (page->sheet_count > 0)
        status = ims_pool_run(page->input->pool, page->sheet_count, draw_representatives, page);
    if (status == IMGSIM_OK && page->tiles_link != NULL)
        status = draw_tiles(page);
    if (status == IMGSIM_OK && page->input->meter != NULL)
        status = ims_meter_tick(page->input->meter, true);
    return status;
}

/* ---- into the page ---- */

/* Places, widths, heights of the representatives. */
static imgsim_status write_table(struct ims_page *page)
{
    struct ims_bytes bytes = {0};
    imgsim_status status;

    ims_bytes_planes(&bytes, page->pictures, page->picture_count, 4);
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < page->picture_count; i++)
            ims_bytes_add(&bytes, &page->sizes[2 * i + (size_t)side], 1);
    status = ims_page_block(page, "pictures", -1, &bytes);
    ims_bytes_clear(&bytes);
    return status;
}

static imgsim_status write_tile_sizes(struct ims_page *page)
{
    struct ims_bytes bytes = {0};
    imgsim_status status;

    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < page->input->count; i++)
            ims_bytes_add(&bytes, &page->tile_sizes[2 * i + (size_t)side], 1);
    status = ims_page_block(page, "tilesizes", -1, &bytes);
    ims_bytes_clear(&bytes);
    return status;
}

imgsim_status ims_page_pictures(struct ims_page *page)
{
    imgsim_status status = IMGSIM_OK;

    if (page->sheet_count > 0)
        status = write_table(page);
    for (size_t i = 0; i < page->sheet_count && status == IMGSIM_OK; i++)
        status = ims_page_raw_block(
            page, "sheet", (int64_t)i, page->sheets[i].data, page->sheets[i].size);
    if (status == IMGSIM_OK && page->tile_sizes != NULL)
        status = write_tile_sizes(page);
    return status;
}
