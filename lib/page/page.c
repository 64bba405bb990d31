/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page: one HTML file with the viewer, the points and the pictures of representatives inside.
 *
 * Data stand in script elements that no browser runs, as base64 of zlib's format; docs/map-page.md
 * describes each. What the first picture needs comes before the viewer, so that a browser draws
 * while it still reads the rest.
 */
#include "page/write.h"

#include "core/hash.h"
#include "core/memory.h"
#include "core/progress.h"

#include <string.h>

/* ---- pieces ---- */

imgsim_status ims_page_text(struct ims_page *page, const char *text)
{
    return ims_writer_write(&page->writer, text, strlen(text));
}

/* `name` is one of ours; `suffix` numbers it, below 0 for none. */
static imgsim_status open_block(struct ims_page *page, const char *name, int64_t suffix)
{
    struct ims_bytes tag = {0};
    imgsim_status status;

    ims_bytes_text(&tag, "<script type=\"text/plain\" id=\"d-");
    ims_bytes_text(&tag, name);
    if (suffix >= 0)
        ims_bytes_count(&tag, (uint64_t)suffix);
    ims_bytes_text(&tag, "\">");
    if ((status = ims_bytes_status(&tag)) == IMGSIM_OK)
        status = ims_writer_write(&page->writer, tag.data, tag.size);
    ims_bytes_clear(&tag);
    return status;
}

imgsim_status ims_page_block(
    struct ims_page *page,
    const char *name,
    int64_t suffix,
    const struct ims_bytes *bytes)
{
    struct ims_bytes packed = {0};
    imgsim_status status;

    if ((status = ims_bytes_status(bytes)) == IMGSIM_OK &&
        (status = ims_bytes_deflate(&packed, bytes->data, bytes->size)) == IMGSIM_OK &&
        (status = open_block(page, name, suffix)) == IMGSIM_OK &&
        (status = ims_write_base64(&page->writer, packed.data, packed.size)) == IMGSIM_OK)
        status = ims_page_text(page, "</script>\n");
    ims_bytes_clear(&packed);
    return status;
}

imgsim_status ims_page_raw_block(
    struct ims_page *page,
    const char *name,
    int64_t suffix,
    const uint8_t *data,
    size_t size)
{
    imgsim_status status;

    if ((status = open_block(page, name, suffix)) == IMGSIM_OK &&
        (status = ims_write_base64(&page->writer, data, size)) == IMGSIM_OK)
        status = ims_page_text(page, "</script>\n");
    return status;
}

/* "sha256-..." of a script or style: nothing else may run on the page. */
static imgsim_status add_source_hash(struct ims_bytes *out, const void *data, size_t size)
{
    char digits[65];
    uint8_t digest[32];
    imgsim_status status = ims_sha256(data, size, digits);

    if (status != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < 64; i++) {
        char c = digits[i];
        uint8_t value = (uint8_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);

        digest[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : digest[i / 2] | value);
    }
    ims_bytes_text(out, "'sha256-");
    ims_bytes_base64(out, digest, sizeof(digest));
    ims_bytes_text(out, "'");
    return IMGSIM_OK;
}

/* Everything before the data. Pictures may come from the disk or from beside the page, all else is forbidden. */
static imgsim_status write_head(struct ims_page *page)
{
    struct ims_bytes head = {0};
    imgsim_status status;

    ims_bytes_text(
        &head,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "base-uri 'none'; form-action 'none'; img-src 'self' file: data: blob:; script-src ");
    if ((status = add_source_hash(&head, ims_viewer_script, ims_viewer_script_size)) != IMGSIM_OK)
        goto done;
    ims_bytes_text(&head, "; style-src ");
    if ((status = add_source_hash(&head, ims_viewer_style, ims_viewer_style_size)) != IMGSIM_OK)
        goto done;
    ims_bytes_text(
        &head, "\">\n<meta name=\"generator\" content=\"libimgsim\">\n"
               "<meta name=\"referrer\" content=\"no-referrer\">\n<title>Map of images</title>\n"
               "<style>");
    ims_bytes_add(&head, ims_viewer_style, ims_viewer_style_size);
    ims_bytes_text(&head, "</style>\n</head>\n<body>\n");
    ims_bytes_add(&head, ims_viewer_body, ims_viewer_body_size);
    if ((status = ims_bytes_status(&head)) == IMGSIM_OK)
        status = ims_writer_write(&page->writer, head.data, head.size);

done:
    ims_bytes_clear(&head);
    return status;
}

static imgsim_status write_viewer(struct ims_page *page)
{
    imgsim_status status;

    if ((status = ims_page_text(page, "<script>")) == IMGSIM_OK &&
        (status = ims_writer_write(&page->writer, ims_viewer_script, ims_viewer_script_size)) ==
            IMGSIM_OK)
        status = ims_page_text(page, "</script>\n");
    return status;
}

/* ---- what the page is about ---- */

static void add_member(struct ims_bytes *meta, const char *name)
{
    ims_bytes_text(meta, ",\n\"");
    ims_bytes_text(meta, name);
    ims_bytes_text(meta, "\":");
}

static void add_columns(struct ims_bytes *meta, const struct ims_page *page)
{
    add_member(meta, "columns");
    ims_bytes_text(meta, "[");
    for (size_t c = 0; c < page->input->column_count; c++) {
        const struct ims_page_column *column = &page->input->columns[c];

        ims_bytes_text(meta, c > 0 ? ",\n{\"title\":" : "\n{\"title\":");
        ims_bytes_json(meta, column->title);
        ims_bytes_text(meta, ",\"names\":[");
        for (size_t i = 0; i < column->name_count; i++) {
            ims_bytes_text(meta, i > 0 ? "," : "");
            ims_bytes_json(meta, column->names[i]);
        }
        ims_bytes_text(meta, "]}");
    }
    ims_bytes_text(meta, "]");
}

static void add_figures(struct ims_bytes *meta, const struct ims_page *page)
{
    add_member(meta, "figures");
    ims_bytes_text(meta, "[");
    for (size_t i = 0; i < page->input->figure_count; i++) {
        const struct ims_page_figure *figure = &page->input->figures[i];

        ims_bytes_text(meta, i > 0 ? ",\n{\"name\":" : "\n{\"name\":");
        ims_bytes_json(meta, figure->name);
        ims_bytes_text(meta, ",\"value\":");
        ims_bytes_number(meta, figure->value, 6);
        ims_bytes_text(meta, ",\"note\":");
        ims_bytes_json(meta, figure->note != NULL ? figure->note : "");
        ims_bytes_text(meta, "}");
    }
    ims_bytes_text(meta, "]");
}

static void add_pictures(struct ims_bytes *meta, const struct ims_page *page)
{
    add_member(meta, "pictures");
    ims_bytes_text(meta, "{\"count\":");
    ims_bytes_count(meta, page->picture_count);
    ims_bytes_text(meta, ",\"side\":");
    ims_bytes_count(meta, page->settings->picture_side);
    ims_bytes_text(meta, ",\"columns\":");
    ims_bytes_count(meta, IMS_SHEET_COLUMNS);
    ims_bytes_text(meta, ",\"each\":");
    ims_bytes_count(meta, IMS_SHEET_CELLS);
    ims_bytes_text(meta, "}");
    if (page->tiles_link != NULL) {
        add_member(meta, "tiles");
        ims_bytes_json(meta, page->tiles_link);
    }
}

static imgsim_status write_meta(struct ims_page *page)
{
    const struct ims_page_input *input = page->input;
    struct ims_bytes meta = {0};
    imgsim_status status;

    ims_bytes_text(&meta, "<script type=\"application/json\" id=\"d-meta\">{\"format\":1");
    add_member(&meta, "count");
    ims_bytes_count(&meta, input->count);
    if (input->title != NULL) {
        add_member(&meta, "title");
        ims_bytes_json(&meta, input->title);
    }
    if (input->layout != NULL) {
        add_member(&meta, "layout");
        ims_bytes_json(&meta, input->layout);
    }
    add_member(&meta, "version");
    ims_bytes_json(&meta, imgsim_version_string());
    add_member(&meta, "flat");
    ims_bytes_text(&meta, input->flat != NULL ? "true" : "false");
    add_member(&meta, "deep");
    ims_bytes_text(&meta, input->deep != NULL ? "true" : "false");
    add_member(&meta, "neighbours");
    ims_bytes_count(&meta, page->neighbour_count);
    add_member(&meta, "names");
    ims_bytes_text(&meta, input->paths != NULL ? "true" : "false");
    add_member(&meta, "base");
    ims_bytes_json(&meta, page->base_link != NULL ? page->base_link : "");
    if (input->dates != NULL) {
        add_member(&meta, "dates");
        ims_bytes_text(&meta, "{\"start\":");
        ims_bytes_number(&meta, (double)page->date_start, 17);
        ims_bytes_text(&meta, ",\"unit\":");
        ims_bytes_count(&meta, page->date_unit);
        ims_bytes_text(&meta, "}");
    }
    add_columns(&meta, page);
    add_figures(&meta, page);
    add_pictures(&meta, page);
    ims_bytes_text(&meta, "}</script>\n");
    if ((status = ims_bytes_status(&meta)) == IMGSIM_OK)
        status = ims_writer_write(&page->writer, meta.data, meta.size);
    ims_bytes_clear(&meta);
    return status;
}

/* ---- all of it ---- */

static imgsim_status check_column(const struct ims_page_column *column, size_t count)
{
    if (column->title == NULL || column->values == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "a column has no title or no values");
    for (size_t i = 0; i < count; i++)
        if (column->values[i] >= 0 && (size_t)column->values[i] >= column->name_count)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "column %s: value %d of point %zu has no name, there are %zu", column->title,
                (int)column->values[i], i, column->name_count);
    return IMGSIM_OK;
}

imgsim_status ims_page_check(const struct ims_page_input *input)
{
    size_t links;
    imgsim_status status = IMGSIM_OK;

    if (input->count == 0 || input->count > IMS_PAGE_POINTS_MAX)
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "%zu points, a page has 1 to %zu", input->count,
            IMS_PAGE_POINTS_MAX);
    if (input->flat == NULL && input->deep == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "no positions, neither in 2-D nor in 3-D");
    if (input->column_count > IMS_PAGE_COLUMNS_MAX)
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "%zu columns, a page has at most %d", input->column_count,
            IMS_PAGE_COLUMNS_MAX);
    for (size_t c = 0; c < input->column_count && status == IMGSIM_OK; c++)
        status = check_column(&input->columns[c], input->count);
    links = input->neighbours != NULL ? input->count * input->neighbour_count : 0;
    for (size_t i = 0; i < links && status == IMGSIM_OK; i++)
        if (input->neighbours[i] >= input->count)
            status = ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "point %zu has neighbour %u, there are %zu points",
                i / input->neighbour_count, (unsigned)input->neighbours[i], input->count);
    return status;
}

static imgsim_status check_settings(const struct ims_page_settings *settings)
{
    if (settings->picture_side < 16 || settings->picture_side > 240)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "pictures of %u pixels, must be 16 to 240",
            (unsigned)settings->picture_side);
    return IMGSIM_OK;
}

static void page_clear(struct ims_page *page)
{
    ims_quantised_clear(&page->flat);
    ims_quantised_clear(&page->deep);
    ims_free(page->order);
    ims_free(page->codes);
    ims_free(page->places);
    ims_free(page->pictures);
    for (size_t i = 0; page->sheets != NULL && i < page->sheet_count; i++)
        ims_bytes_clear(&page->sheets[i]);
    ims_free(page->sheets);
    ims_free(page->sizes);
    ims_free(page->tile_sizes);
    ims_free(page->base_link);
    ims_free(page->tiles_link);
    ims_writer_close(&page->writer);
}

imgsim_status ims_page_write(
    const struct ims_page_input *input,
    const struct ims_page_settings *settings,
    const char *path)
{
    struct ims_page page = {.input = input, .settings = settings, .path = path};
    imgsim_status status;

    if ((status = ims_page_check(input)) != IMGSIM_OK ||
        (status = check_settings(settings)) != IMGSIM_OK)
        return status;
    ims_page_date_scale(&page);
    if ((status = ims_page_order(&page)) != IMGSIM_OK ||
        (status = ims_page_links(&page)) != IMGSIM_OK ||
        (status = ims_page_choose_pictures(&page)) != IMGSIM_OK ||
        (status = ims_writer_open(&page.writer, path)) != IMGSIM_OK ||
        (status = ims_page_draw_sheets(&page)) != IMGSIM_OK ||
        (status = write_head(&page)) != IMGSIM_OK || (status = write_meta(&page)) != IMGSIM_OK ||
        (status = ims_page_positions(&page)) != IMGSIM_OK ||
        (status = ims_page_columns(&page)) != IMGSIM_OK ||
        (status = write_viewer(&page)) != IMGSIM_OK ||
        (status = ims_page_pictures(&page)) != IMGSIM_OK ||
        (status = ims_page_deep(&page)) != IMGSIM_OK ||
        (status = ims_page_names(&page)) != IMGSIM_OK ||
        (status = ims_page_dates(&page)) != IMGSIM_OK ||
        (status = ims_page_neighbours(&page)) != IMGSIM_OK ||
        (status = ims_page_text(&page, "</body>\n</html>\n")) != IMGSIM_OK)
        goto done;
    status = ims_writer_commit(&page.writer);

done:
    page_clear(&page);
    return status;
}
