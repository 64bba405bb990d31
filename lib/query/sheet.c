/* SPDX-License-Identifier: Apache-2.0 */
/* The contact sheet: query images on the left, hits in a grid with rank, score and file name. */
#include "query/query.h"

#include "core/file.h"
#include "core/memory.h"
#include "image/image.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Hits beyond this are not drawn; the last line says how many there are. */
#define SHEET_HITS_MAX 100

/* Measures in pixels. */
#define TILE 224    /* box of a picture */
#define CAPTION 66  /* score bar, score and name below it */
#define GAP 24      /* between tiles */
#define MARGIN 40   /* around everything */
#define HEADING 56  /* line above the tiles */
#define FOOTER 44   /* line below them */
#define DIVISION 64 /* between queries and hits */
#define FRAME 5     /* around a query image */

#define COLOR_PAPER 0xFBFBFCu
#define COLOR_BOX 0xEFF1F4u
#define COLOR_LINE 0xDDE1E7u
#define COLOR_TEXT 0x1B2430u
#define COLOR_FAINT 0x66707Fu
#define COLOR_ACCENT 0x2463EBu
#define COLOR_NEGATIVE 0xD6303Eu
#define COLOR_WHITE 0xFFFFFFu

struct sheet {
    imgsim_image *canvas;
    const imgsim_result *result;
    const imgsim_query *query;
    imgsim_features *thumbs;
    size_t hits; /* drawn ones */
    uint32_t columns;
    uint32_t query_columns;
    uint32_t rows;
    imgsim_status status; /* of the first thing that failed */
};

/* ---- layout ---- */

static uint32_t divide_up(size_t a, size_t b)
{
    return (uint32_t)((a + b - 1) / b);
}

static uint32_t across(uint32_t tiles)
{
    return tiles * TILE + (tiles > 0 ? tiles - 1 : 0) * GAP;
}

static void layout_with(struct sheet *sheet, uint32_t columns)
{
    size_t queries = sheet->query->image_count;

    sheet->columns = columns;
    sheet->rows = sheet->hits > 0 ? divide_up(sheet->hits, columns) : 1;
    sheet->query_columns = queries > 0 ? divide_up(queries, sheet->rows) : 0;
    /* Two queries fit better under each other than beside each other. */
    if (queries > 1 && sheet->rows == 1) {
        sheet->rows = 2;
        sheet->query_columns = divide_up(queries, 2);
    }
}

/* Few hits stand in one row; more of them in a grid near the shape of a screen. */
static void layout(struct sheet *sheet)
{
    const double screen = 1.6;
    double best_error = INFINITY;
    uint32_t best = 1;

    if (sheet->hits <= 5 && sheet->query->image_count <= 2) {
        layout_with(sheet, sheet->hits > 0 ? (uint32_t)sheet->hits : 1);
        return;
    }
    for (uint32_t columns = 1; columns <= 12 && columns <= sheet->hits; columns++) {
        double error;

        layout_with(sheet, columns);
        error = fabs(
            log(((double)(sheet->query_columns + columns) * TILE) /
                ((double)sheet->rows * (TILE + CAPTION)) / screen));
        if (error < best_error) {
            best_error = error;
            best = columns;
        }
    }
    layout_with(sheet, best);
}

static uint32_t hits_left(const struct sheet *sheet)
{
    return MARGIN + across(sheet->query_columns) + (sheet->query_columns > 0 ? DIVISION : 0);
}

static uint32_t row_top(uint32_t row)
{
    return MARGIN + HEADING + row * (TILE + CAPTION + GAP);
}

/* ---- drawing ---- */

static void fill(struct sheet *sheet, uint32_t x, uint32_t y, uint32_t w, uint32_t h, uint32_t rgb)
{
    ims_canvas_fill(sheet->canvas, (int32_t)x, (int32_t)y, w, h, rgb);
}

static void text(
    struct sheet *sheet,
    const char *line,
    uint32_t x,
    uint32_t y,
    uint32_t width,
    uint32_t height,
    uint32_t rgb,
    int bold)
{
    if (sheet->status == IMGSIM_OK)
        sheet->status =
            ims_canvas_text(sheet->canvas, line, (int32_t)x, (int32_t)y, width, height, rgb, bold);
}

/* A picture in its box; an empty box says that it cannot be read. Releases the picture. */
static void draw_picture(struct sheet *sheet, imgsim_image *picture, uint32_t x, uint32_t y)
{
    fill(sheet, x, y, TILE, TILE, COLOR_LINE);
    fill(sheet, x + 1, y + 1, TILE - 2, TILE - 2, picture != NULL ? COLOR_BOX : COLOR_PAPER);
    if (picture == NULL)
        text(sheet, "no picture", x + 72, y + TILE / 2 - 9, TILE - 80, 16, COLOR_FAINT, 0);
    else if (sheet->status == IMGSIM_OK)
        sheet->status = ims_canvas_paste(
            sheet->canvas, picture, (int32_t)x + 1, (int32_t)y + 1, TILE - 2, TILE - 2);
    imgsim_image_free(picture);
}

static void draw_query(struct sheet *sheet, size_t i)
{
    const struct ims_query_image *image = &sheet->query->images[i];
    uint32_t column = (uint32_t)(i % sheet->query_columns);
    uint32_t x = MARGIN + column * (TILE + GAP);
    uint32_t y = row_top((uint32_t)(i / sheet->query_columns));
    uint32_t rgb = image->weight > 0 ? COLOR_ACCENT : COLOR_NEGATIVE;
    struct ims_text note = {0};

    fill(sheet, x - FRAME, y - FRAME, TILE + 2 * FRAME, TILE + 2 * FRAME, rgb);
    draw_picture(sheet, ims_picture_query(sheet->thumbs, image, TILE - 2), x, y);
    text(sheet, ims_short_name(image->name), x, y + TILE + 16, TILE, 17, COLOR_TEXT, 1);
    if (image->weight != 1) {
        ims_text_add(&note, image->weight > 0 ? "weight " : "not like this, weight ");
        ims_text_add_decimal(&note, image->weight, 2);
        if (!note.failed)
            text(sheet, note.bytes, x, y + TILE + 42, TILE, 15, COLOR_FAINT, 0);
    }
    ims_text_clear(&note);
}

/* The part of the score bar that is filled. */
static uint32_t bar_width(double score)
{
    if (!(score > 0))
        return 0;
    return score >= 1 ? TILE : (uint32_t)(score * TILE + 0.5);
}

static void draw_hit(struct sheet *sheet, size_t i)
{
    const struct ims_result_hit *hit = &sheet->result->hits[i];
    uint32_t x = hits_left(sheet) + (uint32_t)(i % sheet->columns) * (TILE + GAP);
    uint32_t y = row_top((uint32_t)(i / sheet->columns));
    char rank[24];
    uint32_t badge = 18 + 11 * (uint32_t)snprintf(rank, sizeof(rank), "%zu", i + 1);
    struct ims_text score = {0};

    draw_picture(sheet, ims_picture_hit(sheet->thumbs, hit, TILE - 2), x, y);
    fill(sheet, x, y, badge, 30, COLOR_TEXT);
    text(sheet, rank, x + 9, y + 6, badge, 18, COLOR_WHITE, 1);

    fill(sheet, x, y + TILE + 6, TILE, 4, COLOR_LINE);
    fill(sheet, x, y + TILE + 6, bar_width(hit->score), 4, COLOR_ACCENT);
    ims_text_add_decimal(&score, hit->score, 3);
    if (!score.failed)
        text(sheet, score.bytes, x, y + TILE + 17, TILE, 21, COLOR_TEXT, 1);
    ims_text_clear(&score);
    text(sheet, ims_short_name(hit->path), x, y + TILE + 45, TILE, 15, COLOR_FAINT, 0);
}

/* What was searched, at the bottom. */
static void draw_footer(struct sheet *sheet)
{
    struct ims_text line = {0};

    ims_text_add_summary(&line, sheet->result);
    ims_text_add(&line, " \xC2\xB7 ");
    ims_text_add_channels(&line, sheet->result);
    if (sheet->hits < sheet->result->count) {
        ims_text_add(&line, " \xC2\xB7 the first ");
        ims_text_add_count(&line, sheet->hits);
        ims_text_add(&line, " are shown");
    }
    if (!line.failed)
        text(
            sheet, line.bytes, MARGIN, sheet->canvas->height - MARGIN - 16,
            sheet->canvas->width - 2 * MARGIN, 16, COLOR_FAINT, 0);
    ims_text_clear(&line);
}

static void draw_all(struct sheet *sheet)
{
    uint32_t left = hits_left(sheet);

    fill(sheet, 0, 0, sheet->canvas->width, sheet->canvas->height, COLOR_PAPER);
    if (sheet->query_columns > 0) {
        text(sheet, "Query", MARGIN, MARGIN, across(sheet->query_columns), 24, COLOR_ACCENT, 1);
        fill(
            sheet, left - DIVISION / 2, MARGIN, 2, sheet->canvas->height - 2 * MARGIN - FOOTER,
            COLOR_LINE);
    }
    text(
        sheet, sheet->hits > 0 ? "Most similar" : "Nothing found", left, MARGIN,
        across(sheet->columns), 24, COLOR_TEXT, 1);
    for (size_t i = 0; i < sheet->query->image_count && sheet->status == IMGSIM_OK; i++)
        draw_query(sheet, i);
    for (size_t i = 0; i < sheet->hits && sheet->status == IMGSIM_OK; i++)
        draw_hit(sheet, i);
    draw_footer(sheet);
}

/* ---- writing ---- */

/* Format by the file's ending; NULL if it is none of ours. */
static const char *format_of(const char *path)
{
    const char *dot = strrchr(path, '.');

    if (dot == NULL)
        return NULL;
    if (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0)
        return "jpeg";
    if (strcasecmp(dot, ".png") == 0)
        return "png";
    return strcasecmp(dot, ".webp") == 0 ? "webp" : NULL;
}

static imgsim_status write_image(const imgsim_image *image, const char *format, const char *path)
{
    imgsim_status status;
    struct ims_writer writer = {0};
    uint8_t *data = NULL;
    size_t size;

    if ((status = ims_image_encode(image, format, 90, &data, &size)) != IMGSIM_OK)
        return status;
    if ((status = ims_writer_open(&writer, path)) == IMGSIM_OK &&
        (status = ims_writer_write(&writer, data, size)) == IMGSIM_OK)
        status = ims_writer_commit(&writer);
    ims_writer_close(&writer);
    ims_free(data);
    return status;
}

imgsim_status
imgsim_result_write_sheet(const imgsim_result *result, const imgsim_query *query, const char *path)
{
    imgsim_status status;
    struct sheet sheet = {.result = result, .query = query};
    const char *format;

    if (result == NULL || query == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "result, query and path must not be NULL");
    if ((format = format_of(path)) == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a sheet is .jpg, .png or .webp, \"%s\" is not", path);

    sheet.hits = result->count < SHEET_HITS_MAX ? result->count : SHEET_HITS_MAX;
    layout(&sheet);
    if ((status = ims_image_alloc(
             hits_left(&sheet) + across(sheet.columns) + MARGIN,
             row_top(sheet.rows) - GAP + FOOTER + MARGIN, &sheet.canvas)) != IMGSIM_OK)
        return status;
    sheet.thumbs = ims_picture_thumbs(query->catalog);
    draw_all(&sheet);
    status = sheet.status;
    if (status == IMGSIM_OK)
        status = write_image(sheet.canvas, format, path);
    imgsim_features_free(sheet.thumbs);
    imgsim_image_free(sheet.canvas);
    return status;
}
