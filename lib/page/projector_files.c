/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of TensorBoard's projector, without event files: TensorBoard takes a folder with a projector_config.pbtxt as a run.
 *
 * Its page reads 100,000 rows at most, so rows are ordered such that any first part is an even sample of the map, and it would
 * compute UMAP of 5,000 of them by itself, so bookmarks carry the positions of ours. Facts about the formats are from
 * TensorBoard's sources, tensorboard/plugins/projector (Apache-2.0).
 */
#include "page/write.h"

#include "core/memory.h"
#include "core/progress.h"
#include "core/threads.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Rows that TensorBoard's page reads, and the largest side of a sprite. */
#define ROWS_SHOWN ((size_t)100000)
#define SPRITE_SIDE_MAX 8192
#define CELL_SIDE_MAX 64
#define SPRITE_QUALITY 80

struct projector {
    const struct ims_page_input *input;
    const struct ims_projector_settings *settings;
    const char *folder;
    uint32_t *rows; /* row -> point */
    size_t shown;
    struct ims_sprite sprite;
};

/* ---- order ---- */

static size_t greatest_divisor(size_t a, size_t b)
{
    while (b != 0) {
        size_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/*
 * Points along the curve, in steps of about the golden section of their number: each next one falls into the largest gap of those
 * before (Swierczkowski, "On successive settings of an arc on the circumference of a circle", Fund. Math. 46, 1958).
 */
static imgsim_status order_rows(struct projector *projector)
{
    const struct ims_page_input *input = projector->input;
    struct ims_quantised quantised = {0};
    size_t count = input->count, step = (size_t)((double)count * 0.6180339887498949 + 0.5);
    uint32_t *order = ims_alloc_array(count, sizeof(*order));
    uint32_t *codes = ims_alloc_array(count, sizeof(*codes));
    imgsim_status status = IMGSIM_OK;

    projector->rows = ims_alloc_array(count, sizeof(*projector->rows));
    if (order == NULL || codes == NULL || projector->rows == NULL) {
        status = ims_fail_memory(count * sizeof(*order));
        goto done;
    }
    if ((status = ims_quantise(
             input->flat != NULL ? input->flat : input->deep, count, input->flat != NULL ? 2 : 3,
             &quantised)) != IMGSIM_OK ||
        (status = ims_curve_order(&quantised, count, order, codes)) != IMGSIM_OK)
        goto done;
    step = step > 0 ? step : 1;
    while (greatest_divisor(step, count) != 1)
        step++;
    for (size_t row = 0, place = 0; row < count; row++) {
        projector->rows[row] = order[place];
        place = (place + step) % count;
    }

done:
    ims_quantised_clear(&quantised);
    ims_free(order);
    ims_free(codes);
    return status;
}

/* ---- files ---- */

static imgsim_status
open_file(const struct projector *projector, const char *name, struct ims_writer *writer)
{
    char *path = ims_join_path(projector->folder, name);
    imgsim_status status;

    if (path == NULL)
        return ims_fail_memory(strlen(projector->folder) + strlen(name) + 2);
    status = ims_writer_open(writer, path);
    ims_free(path);
    return status;
}

static imgsim_status
write_file(const struct projector *projector, const char *name, const struct ims_bytes *bytes)
{
    struct ims_writer writer = {0};
    imgsim_status status;

    if ((status = ims_bytes_status(bytes)) == IMGSIM_OK &&
        (status = open_file(projector, name, &writer)) == IMGSIM_OK &&
        (status = ims_writer_write(&writer, bytes->data, bytes->size)) == IMGSIM_OK)
        status = ims_writer_commit(&writer);
    ims_writer_close(&writer);
    return status;
}

static imgsim_status flush(struct ims_writer *writer, struct ims_bytes *bytes, size_t least)
{
    imgsim_status status = ims_bytes_status(bytes);

    if (status == IMGSIM_OK && bytes->size >= least) {
        status = ims_writer_write(writer, bytes->data, bytes->size);
        bytes->size = 0;
    }
    return status;
}

/* ---- tensors ---- */

/*
 * Rows of float32. TensorBoard first takes a tensor for text and for bytes only if that is not UTF-8: the lowest byte of the first
 * value becomes 0xFF, which no UTF-8 has; that changes it by less than 1 in 30,000.
 */
static imgsim_status write_tensor(
    const struct projector *projector,
    const char *name,
    const float *vectors,
    uint32_t given, /* values in a row of `vectors` */
    uint32_t wanted /* and of the file: the rest is 0 */)
{
    struct ims_writer writer = {0};
    struct ims_bytes bytes = {0};
    float zero = 0;
    imgsim_status status = open_file(projector, name, &writer);

    for (size_t row = 0; row < projector->input->count && status == IMGSIM_OK; row++) {
        const float *vector = vectors + (size_t)projector->rows[row] * given;

        for (uint32_t i = 0; i < given; i++)
            if (!isfinite(vector[i])) {
                status = ims_fail(
                    IMGSIM_ERROR_INVALID_ARGUMENT, "value %u of vector %u is not finite",
                    (unsigned)i, (unsigned)projector->rows[row]);
                goto done;
            }
        ims_bytes_add(&bytes, vector, given * sizeof(float));
        for (uint32_t i = given; i < wanted; i++)
            ims_bytes_add(&bytes, &zero, sizeof(zero));
        if (row == 0 && !bytes.failed)
            bytes.data[0] = 0xFF;
        status = flush(&writer, &bytes, (size_t)1 << 18);
    }
    if (status == IMGSIM_OK && (status = flush(&writer, &bytes, 0)) == IMGSIM_OK)
        status = ims_writer_commit(&writer);

done:
    ims_bytes_clear(&bytes);
    ims_writer_close(&writer);
    return status;
}

/* ---- properties ---- */

/* A cell of the table: no tab, no end of line; what is no UTF-8 is replaced by the reader. */
static void add_cell(struct ims_bytes *bytes, const char *text, size_t size, const char *end)
{
    size_t start = bytes->size;

    ims_bytes_add(bytes, text, size);
    for (size_t i = start; !bytes->failed && i < bytes->size; i++)
        if ((unsigned char)bytes->data[i] < 0x20 || bytes->data[i] == 0x7F)
            bytes->data[i] = ' ';
    ims_bytes_text(bytes, end);
}

static void add_date(struct ims_bytes *bytes, int64_t date)
{
    time_t seconds = (time_t)date;
    struct tm parts;
    char text[64];

    if (date == IMS_PAGE_NO_DATE || gmtime_r(&seconds, &parts) == NULL)
        return;
    snprintf(
        text, sizeof(text), "%04d-%02d-%02d", parts.tm_year + 1900, parts.tm_mon + 1,
        parts.tm_mday);
    ims_bytes_text(bytes, text);
}

/* Always at least two columns: TensorBoard takes the first line for titles only if it has a tab. */
static void add_titles(struct ims_bytes *bytes, const struct ims_page_input *input)
{
    ims_bytes_text(bytes, input->paths != NULL ? "name\tfolder" : "name\tnumber");
    for (size_t c = 0; c < input->column_count; c++) {
        ims_bytes_text(bytes, "\t");
        add_cell(bytes, input->columns[c].title, strlen(input->columns[c].title), "");
    }
    ims_bytes_text(bytes, input->dates != NULL ? "\tdate\n" : "\n");
}

static void add_row(struct ims_bytes *bytes, const struct ims_page_input *input, uint32_t point)
{
    if (input->paths != NULL) {
        const char *path = input->paths[point], *slash = strrchr(path, '/');
        const char *name = slash != NULL ? slash + 1 : path;

        add_cell(bytes, name, strlen(name), "\t");
        add_cell(bytes, path, slash != NULL ? (size_t)(slash - path) : 0, "");
    } else {
        ims_bytes_text(bytes, "image ");
        ims_bytes_count(bytes, point);
        ims_bytes_text(bytes, "\t");
        ims_bytes_count(bytes, point);
    }
    for (size_t c = 0; c < input->column_count; c++) {
        int32_t value = input->columns[c].values[point];
        const char *name = value >= 0 ? input->columns[c].names[value] : "";

        ims_bytes_text(bytes, "\t");
        add_cell(bytes, name, strlen(name), "");
    }
    if (input->dates != NULL) {
        ims_bytes_text(bytes, "\t");
        add_date(bytes, input->dates[point]);
    }
    ims_bytes_text(bytes, "\n");
}

static imgsim_status write_metadata(const struct projector *projector)
{
    struct ims_writer writer = {0};
    struct ims_bytes bytes = {0};
    imgsim_status status = open_file(projector, "metadata.tsv", &writer);

    add_titles(&bytes, projector->input);
    for (size_t row = 0; row < projector->input->count && status == IMGSIM_OK; row++) {
        add_row(&bytes, projector->input, projector->rows[row]);
        status = flush(&writer, &bytes, (size_t)1 << 18);
    }
    if (status == IMGSIM_OK && (status = flush(&writer, &bytes, 0)) == IMGSIM_OK)
        status = ims_writer_commit(&writer);
    ims_bytes_clear(&bytes);
    ims_writer_close(&writer);
    return status;
}

/* ---- sprite ---- */

static imgsim_status draw_row(void *context, size_t item, uint32_t worker)
{
    struct projector *projector = context;
    const struct ims_page_input *input = projector->input;
    size_t start = item * projector->sprite.columns, end = start + projector->sprite.columns;
    imgsim_status status = IMGSIM_OK;

    end = end < projector->settings->sprite_count ? end : projector->settings->sprite_count;
    end = end < projector->shown ? end : projector->shown;
    for (size_t row = start; row < end && status == IMGSIM_OK; row++) {
        uint8_t *jpeg = NULL;
        size_t size = 0;

        status = input->picture(input->picture_data, projector->rows[row], &jpeg, &size);
        if (status == IMGSIM_OK && jpeg != NULL)
            status = ims_sprite_fill(&projector->sprite, (uint32_t)row, jpeg, size);
        ims_free(jpeg);
        if (input->meter != NULL)
            input->meter->done++;
    }
    if (status == IMGSIM_OK && worker == 0 && input->meter != NULL)
        status = ims_meter_tick(input->meter, false);
    return status;
}

/* Cells for all rows that are shown: TensorBoard counts them through, whether they have a picture or not. */
static imgsim_status write_sprite(struct projector *projector)
{
    uint32_t columns = (uint32_t)ceil(sqrt((double)projector->shown));
    uint32_t rows = (uint32_t)((projector->shown + columns - 1) / columns);
    uint32_t side = SPRITE_SIDE_MAX / columns;
    struct ims_bytes bytes = {0};
    imgsim_status status;

    side = side < CELL_SIDE_MAX ? side : CELL_SIDE_MAX;
    if (projector->input->meter != NULL)
        ims_meter_phase(projector->input->meter, "sprite", projector->shown);
    if ((status = ims_sprite_new(&projector->sprite, side, columns, rows, 0x80)) != IMGSIM_OK ||
        (status = ims_pool_run(projector->input->pool, rows, draw_row, projector)) != IMGSIM_OK ||
        (projector->input->meter != NULL &&
         (status = ims_meter_tick(projector->input->meter, true)) != IMGSIM_OK))
        return status;
    status = ims_image_encode(
        projector->sprite.canvas, "jpeg", SPRITE_QUALITY, &bytes.data, &bytes.size);
    if (status == IMGSIM_OK)
        status = write_file(projector, "sprite.jpg", &bytes);
    ims_bytes_clear(&bytes);
    return status;
}

/* ---- bookmarks ---- */

/* Positions under the names of a UMAP of TensorBoard's own, which it then does not compute. */
static void add_positions(
    struct ims_bytes *bytes,
    const struct projector *projector,
    const float *positions,
    uint32_t dimension)
{
    for (size_t row = 0; row < projector->shown; row++) {
        ims_bytes_text(bytes, row > 0 ? ",{" : "{");
        for (uint32_t axis = 0; axis < dimension; axis++) {
            char key[16];

            snprintf(key, sizeof(key), "%s\"umap-%u\":", axis > 0 ? "," : "", (unsigned)axis);
            ims_bytes_text(bytes, key);
            ims_bytes_number(bytes, positions[(size_t)projector->rows[row] * dimension + axis], 6);
        }
        ims_bytes_text(bytes, "}");
    }
}

/* One state of the page; every field that TensorBoard reads without asking is there. */
static void add_state(
    struct ims_bytes *bytes,
    const struct projector *projector,
    const char *label,
    const float *positions,
    uint32_t dimension,
    bool selected)
{
    const struct ims_page_input *input = projector->input;

    ims_bytes_text(bytes, "{\"label\":");
    ims_bytes_json(bytes, label);
    ims_bytes_text(bytes, ",\"isSelected\":");
    ims_bytes_text(bytes, selected ? "true" : "false");
    ims_bytes_text(bytes, ",\"selectedProjection\":\"umap\",\"umapIs3d\":");
    ims_bytes_text(bytes, dimension == 3 ? "true" : "false");
    ims_bytes_text(
        bytes, ",\"umapNeighbors\":15,\"tSNEIteration\":0,\"tSNEPerplexity\":0,"
               "\"tSNELearningRate\":0,\"tSNEis3d\":true,\"pcaComponentDimensions\":[0,1,2],"
               "\"customSelectedSearchByMetadataOption\":\"name\",\"customXLeftText\":\"\","
               "\"customXLeftRegex\":false,\"customXRightText\":\"\",\"customXRightRegex\":false,"
               "\"customYUpText\":\"\",\"customYUpRegex\":false,\"customYDownText\":\"\","
               "\"customYDownRegex\":false,\"shuffledDataIndices\":[],\"filteredPoints\":null,"
               "\"selectedPoints\":[],\"forceCategoricalColoring\":false,"
               "\"selectedLabelOption\":\"name\",\"selectedColorOptionName\":");
    ims_bytes_json(bytes, input->column_count > 0 ? input->columns[0].title : "");
    ims_bytes_text(bytes, ",\"dataSetDimensions\":[");
    ims_bytes_count(bytes, projector->shown);
    ims_bytes_text(bytes, ",");
    ims_bytes_count(
        bytes, projector->settings->vectors != NULL ? projector->settings->dimension : 3);
    ims_bytes_text(
        bytes, dimension == 3
                   ? "],\"cameraDef\":{\"orthographic\":false,\"position\":[0.45,0.9,1.6],"
                     "\"target\":[0,0,0],\"zoom\":1.2},\"projections\":["
                   : "],\"cameraDef\":{\"orthographic\":true,\"position\":[0,0,4],"
                     "\"target\":[0,0,0],\"zoom\":1.2},\"projections\":[");
    add_positions(bytes, projector, positions, dimension);
    ims_bytes_text(bytes, "]}");
}

static imgsim_status write_bookmarks(const struct projector *projector)
{
    const struct ims_page_input *input = projector->input;
    struct ims_bytes bytes = {0};
    imgsim_status status;

    ims_bytes_text(&bytes, "[");
    if (input->flat != NULL)
        add_state(&bytes, projector, "map, flat", input->flat, 2, true);
    if (input->deep != NULL) {
        ims_bytes_text(&bytes, input->flat != NULL ? "," : "");
        add_state(&bytes, projector, "map, in space", input->deep, 3, input->flat == NULL);
    }
    ims_bytes_text(&bytes, "]\n");
    status = write_file(projector, "bookmarks.json", &bytes);
    ims_bytes_clear(&bytes);
    return status;
}

/* ---- configuration ---- */

static void add_embedding(
    struct ims_bytes *bytes,
    const struct projector *projector,
    const char *name,
    uint32_t dimension)
{
    char text[512];

    snprintf(
        text, sizeof(text),
        "embeddings {\n  tensor_name: \"%s\"\n  tensor_shape: %zu\n  tensor_shape: %u\n"
        "  tensor_path: \"%s.bytes\"\n  metadata_path: \"metadata.tsv\"\n"
        "  bookmarks_path: \"bookmarks.json\"\n",
        name, projector->input->count, (unsigned)dimension, name);
    ims_bytes_text(bytes, text);
    if (projector->sprite.canvas != NULL) {
        snprintf(
            text, sizeof(text),
            "  sprite {\n    image_path: \"sprite.jpg\"\n    single_image_dim: %u\n"
            "    single_image_dim: %u\n  }\n",
            (unsigned)projector->sprite.side, (unsigned)projector->sprite.side);
        ims_bytes_text(bytes, text);
    }
    ims_bytes_text(bytes, "}\n");
}

static imgsim_status write_configuration(const struct projector *projector)
{
    struct ims_bytes bytes = {0};
    imgsim_status status;

    if (projector->settings->vectors != NULL)
        add_embedding(&bytes, projector, "vectors", projector->settings->dimension);
    add_embedding(&bytes, projector, "map", 3);
    status = write_file(projector, "projector_config.pbtxt", &bytes);
    ims_bytes_clear(&bytes);
    return status;
}

imgsim_status ims_projector_write(
    const struct ims_page_input *input,
    const struct ims_projector_settings *settings,
    const char *folder)
{
    struct projector projector = {.input = input, .settings = settings, .folder = folder};
    const float *positions = input->deep != NULL ? input->deep : input->flat;
    imgsim_status status;

    if ((status = ims_page_check(input)) != IMGSIM_OK)
        return status;
    projector.shown = input->count < ROWS_SHOWN ? input->count : ROWS_SHOWN;
    if ((status = order_rows(&projector)) != IMGSIM_OK ||
        (status = ims_make_folder(folder)) != IMGSIM_OK)
        goto done;
    if (settings->vectors != NULL)
        status = write_tensor(
            &projector, "vectors.bytes", settings->vectors, settings->dimension,
            settings->dimension);
    if (status != IMGSIM_OK ||
        (status = write_tensor(
             &projector, "map.bytes", positions, input->deep != NULL ? 3 : 2, 3)) != IMGSIM_OK ||
        (status = write_metadata(&projector)) != IMGSIM_OK ||
        (status = write_bookmarks(&projector)) != IMGSIM_OK)
        goto done;
    if (input->picture != NULL && settings->sprite_count > 0 &&
        (status = write_sprite(&projector)) != IMGSIM_OK)
        goto done;
    status = write_configuration(&projector);

done:
    ims_sprite_clear(&projector.sprite);
    ims_free(projector.rows);
    return status;
}
