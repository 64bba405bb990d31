/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim import: rows of the host's own as a feature set. */
#include "cli_npy.h"
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char cli_help_import[] =
    "imgsim import clip rows.npy              rows.ids.npy beside it has their ids\n"
    "imgsim import clip rows.npy --ids ids.npy\n"
    "imgsim search photos/a.jpg --by clip     for images of the catalog\n"
    "\n"
    "Takes the rows of an .npy file in as the feature set FEATURE: float32 or float64\n"
    "values, or uint8 for rows of bits. A set of this name is replaced as a whole.\n"
    "Ids are those of the catalog ('imgsim export --csv' lists them), int64 in a file\n"
    "of one dimension. Without one, row i belongs to id i, and every id needs a row.\n"
    "\n"
    "--ids FILE.npy   the ids\n"
    "--metric NAME    default metric (cosine; hamming for bits)\n"
    "--spec TEXT      what made the rows, for 'imgsim status' to tell\n";

/* Rows stored in one transaction: about 64 MB. */
#define CHUNK_BYTES ((size_t)64 << 20)

/* 64-bit FNV-1a: enough to tell one import from another. */
static uint64_t fold(uint64_t hash, const unsigned char *data, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 1099511628211u;
    return hash;
}

static bool is_bits(const struct cli_npy *rows)
{
    return strcmp(rows->type, "|u1") == 0;
}

/* One value as float; data may lie at any address. */
static float value_at(const struct cli_npy *rows, uint64_t position)
{
    float single;
    double full;

    if (rows->item_size == sizeof(single)) {
        memcpy(&single, rows->data + position * sizeof(single), sizeof(single));
        return single;
    }
    memcpy(&full, rows->data + position * sizeof(full), sizeof(full));
    return (float)full;
}

static int check_rows(const char *path, const struct cli_npy *rows)
{
    if (is_bits(rows))
        return CLI_GO_ON;
    if (strcmp(rows->type, "<f4") != 0 && strcmp(rows->type, "<f8") != 0) {
        cli_message("%s: has type %s; float32, float64 or uint8 can be imported", path, rows->type);
        return CLI_USAGE;
    }
    /* Looked at before anything is written, so that a bad file changes nothing. */
    for (uint64_t i = 0; i < rows->rows; i++) {
        for (uint64_t j = 0; j < rows->columns; j++) {
            if (!isfinite(value_at(rows, i * rows->columns + j))) {
                cli_message(
                    "%s: row %llu, column %llu is NaN or infinite; nothing was imported", path,
                    (unsigned long long)i, (unsigned long long)j);
                return CLI_USAGE;
            }
        }
    }
    return CLI_GO_ON;
}

/* FILE.npy -> FILE.ids.npy if it is there; release with free(). */
static char *ids_beside(const char *path)
{
    const size_t length = strlen(path);
    char *beside;

    if (length < 4 || strcmp(path + length - 4, ".npy") != 0)
        return NULL;
    beside = malloc(length + 5);
    if (beside == NULL)
        return NULL;
    snprintf(beside, length + 5, "%.*s.ids.npy", (int)(length - 4), path);
    if (access(beside, F_OK) == 0)
        return beside;
    free(beside);
    return NULL;
}

static int read_ids(const char *path, uint64_t expected, uint64_t id_count, int64_t *ids)
{
    struct cli_npy file;
    int status = cli_npy_open(path, &file);

    if (status != CLI_GO_ON)
        return status;
    if (strcmp(file.type, "<i8") != 0 || file.columns != 1 || file.rows != expected) {
        cli_message(
            "%s: has %llu rows of %s; %llu of int64 are needed", path,
            (unsigned long long)file.rows, file.type, (unsigned long long)expected);
        status = CLI_USAGE;
    } else {
        memcpy(ids, file.data, expected * sizeof(*ids));
    }
    for (uint64_t i = 0; i < expected && status == CLI_GO_ON; i++) {
        if (ids[i] < 0 || (uint64_t)ids[i] >= id_count) {
            cli_message(
                "%s: row %llu: no id %lld in the catalog", path, (unsigned long long)i,
                (long long)ids[i]);
            status = CLI_USAGE;
        }
    }
    cli_npy_close(&file);
    return status;
}

static int find_ids(
    const char *path,
    const char *ids_path,
    const imgsim_catalog *catalog,
    const struct cli_npy *rows,
    int64_t *ids)
{
    const uint64_t id_count = imgsim_catalog_get_id_count(catalog);
    char *beside = ids_path == NULL ? ids_beside(path) : NULL;
    int status = CLI_GO_ON;

    if (ids_path == NULL)
        ids_path = beside;
    if (ids_path != NULL) {
        status = read_ids(ids_path, rows->rows, id_count, ids);
    } else if (rows->rows != id_count) {
        cli_message(
            "%s: has %llu rows, the catalog %llu ids; say whose they are with --ids", path,
            (unsigned long long)rows->rows, (unsigned long long)id_count);
        status = CLI_USAGE;
    } else {
        for (uint64_t i = 0; i < rows->rows; i++)
            ids[i] = (int64_t)i;
    }
    free(beside);
    return status;
}

/* Store rows first to first + count - 1. */
static imgsim_status put_chunk(
    imgsim_catalog *catalog,
    const imgsim_feature_definition *definition,
    const struct cli_npy *rows,
    const int64_t *ids,
    uint64_t first,
    uint64_t count,
    float *buffer)
{
    const uint64_t values = count * rows->columns;

    if (is_bits(rows))
        return imgsim_catalog_put_features(
            catalog, definition, ids + first, count, rows->data + first * rows->columns, values);
    for (uint64_t i = 0; i < values; i++)
        buffer[i] = value_at(rows, first * rows->columns + i);
    return imgsim_catalog_put_features(
        catalog, definition, ids + first, count, buffer, values * sizeof(float));
}

static int put_rows(
    imgsim_catalog *catalog,
    const imgsim_feature_definition *definition,
    const struct cli_npy *rows,
    const int64_t *ids)
{
    const uint64_t fitting = CHUNK_BYTES / (rows->columns * sizeof(float));
    const uint64_t chunk = fitting == 0 ? 1 : fitting < rows->rows ? fitting : rows->rows;
    float *buffer = malloc(chunk * rows->columns * sizeof(float));
    imgsim_status status = IMGSIM_OK;

    if (buffer == NULL)
        return cli_no_memory();
    for (uint64_t first = 0; first < rows->rows && status == IMGSIM_OK; first += chunk) {
        const uint64_t left = rows->rows - first;

        status =
            put_chunk(catalog, definition, rows, ids, first, left < chunk ? left : chunk, buffer);
    }
    free(buffer);
    return status == IMGSIM_OK ? CLI_DONE : cli_failed(status, CLI_ABOUT_CATALOG);
}

static int import(
    const struct cli *cli,
    imgsim_catalog *catalog,
    const char *ids_path,
    imgsim_feature_definition *definition)
{
    const char *path = cli->operands[1];
    struct cli_npy rows;
    int64_t *ids = NULL;
    char fingerprint[64];
    char number[32];
    uint64_t hash = 14695981039346656037u;
    int status = cli_npy_open(path, &rows);

    if (status != CLI_GO_ON)
        return status;
    status = check_rows(path, &rows);
    if (status == CLI_GO_ON && rows.rows == 0) {
        cli_message("%s: has no rows", path);
        status = CLI_USAGE;
    }
    if (status == CLI_GO_ON && (ids = malloc(rows.rows * sizeof(*ids))) == NULL)
        status = cli_no_memory();
    if (status == CLI_GO_ON)
        status = find_ids(path, ids_path, catalog, &rows, ids);
    if (status != CLI_GO_ON)
        goto done;

    hash = fold(hash, rows.data, rows.rows * rows.columns * rows.item_size);
    hash = fold(hash, (const unsigned char *)ids, rows.rows * sizeof(*ids));
    snprintf(fingerprint, sizeof(fingerprint), "import-%016llx", (unsigned long long)hash);
    definition->fingerprint = fingerprint;
    definition->dimension = (uint32_t)(is_bits(&rows) ? 8 * rows.columns : rows.columns);
    definition->row_type = is_bits(&rows) ? IMGSIM_ROW_BITS : IMGSIM_ROW_FLOAT32;
    if (definition->metric == IMGSIM_METRIC_DEFAULT)
        definition->metric = is_bits(&rows) ? IMGSIM_METRIC_HAMMING : IMGSIM_METRIC_COSINE;

    status = put_rows(catalog, definition, &rows, ids);
    if (status == CLI_DONE)
        cli_note(
            cli, "%s: %s rows of dimension %u", definition->name, cli_count_text(rows.rows, number),
            definition->dimension);

done:
    free(ids);
    cli_npy_close(&rows);
    return status;
}

int cmd_import(struct cli *cli, int argc, char **argv)
{
    imgsim_feature_definition definition = {.struct_size = sizeof(definition)};
    imgsim_catalog *catalog = NULL;
    const char *ids = NULL, *metric = NULL, *spec = NULL;
    const struct cli_option table[] = {
        {"ids", 0, CLI_TEXT, &ids, 0, 0, NULL},
        {"metric", 0, CLI_TEXT, &metric, 0, 0, NULL},
        {"spec", 0, CLI_TEXT, &spec, 0, 0, NULL},
    };
    int status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));

    if (status != CLI_GO_ON)
        return status;
    if (cli->operand_count != 2)
        return cli_usage(cli, "import needs a feature's name and an .npy file");
    definition.name = cli->operands[0];
    definition.spec = spec;
    definition.metric = IMGSIM_METRIC_DEFAULT;
    if (metric != NULL)
        status = cli_read_metric(cli, metric, &definition.metric);
    if (status != CLI_GO_ON)
        return status;

    status = cli_open_catalog(cli, NULL, CLI_WRITE, &catalog);
    if (status == CLI_GO_ON)
        status = import(cli, catalog, ids, &definition);
    imgsim_catalog_free(catalog);
    return status;
}
