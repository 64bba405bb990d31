/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim export: features as .npy, the catalog as CSV, thumbnails as files. */
#include "common.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char cli_help_export[] =
    "imgsim export --npy embedding rows.npy   rows.npy, and rows.ids.npy: their ids\n"
    "imgsim export --csv images.csv           a line per file: path, state, labels\n"
    "imgsim export --thumbs DIR               thumbnails as DIR/ID.jpg\n"
    "\n"
    "Rows are those of the images that can be found, in order of id; histograms\n"
    "become dense counts, hashes bytes. A file is replaced when it is complete.\n";

/* Write a file under a name that appears when it is complete. */
static bool write_file(const char *path, const void *data, size_t size)
{
    const size_t length = strlen(path) + sizeof(".part");
    char *part = malloc(length);
    FILE *file = NULL;
    bool written = false;

    if (part != NULL) {
        snprintf(part, length, "%s.part", path);
        file = fopen(part, "wb");
    }
    if (file != NULL) {
        written = fwrite(data, 1, size, file) == size;
        written = fclose(file) == 0 && written;
        written = written && rename(part, path) == 0;
        if (!written)
            unlink(part);
    }
    free(part);
    return written;
}

static int write_thumb(const imgsim_features *thumbs, int64_t id, const char *folder)
{
    const size_t size = strlen(folder) + 32;
    char *path = malloc(size);
    const void *data;
    size_t bytes;
    int status = CLI_GO_ON;

    if (path == NULL)
        return cli_failed(IMGSIM_ERROR_OUT_OF_MEMORY, CLI_ABOUT_OUTPUT);
    snprintf(path, size, "%s/%" PRId64 ".jpg", folder, id);
    if (imgsim_features_get_bytes(thumbs, id, &data, &bytes) != IMGSIM_OK) {
        status = cli_failed(IMGSIM_ERROR_CORRUPT, CLI_ABOUT_CATALOG);
    } else if (!write_file(path, data, bytes)) {
        cli_message("%s: %s", path, strerror(errno));
        status = CLI_IO;
    }
    free(path);
    return status;
}

static int export_thumbs(const struct cli *cli, const imgsim_catalog *catalog, const char *folder)
{
    imgsim_features *thumbs = NULL;
    const int64_t ids = (int64_t)imgsim_catalog_get_id_count(catalog);
    int status = CLI_GO_ON;
    uint64_t count = 0;
    char number[32];

    if (!cli_has_feature(catalog, "thumbnail", NULL)) {
        cli_message("the catalog has no thumbnails; 'imgsim scan' makes them");
        return CLI_NOTHING;
    }
    if (imgsim_catalog_open_features(catalog, "thumbnail", &thumbs) != IMGSIM_OK)
        return cli_failed(IMGSIM_ERROR_CORRUPT, CLI_ABOUT_CATALOG);
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        cli_message("%s: %s", folder, strerror(errno));
        status = CLI_IO;
    }
    for (int64_t id = 0; id < ids && status == CLI_GO_ON; id++) {
        if (!imgsim_features_has_row(thumbs, id))
            continue;
        status = write_thumb(thumbs, id, folder);
        count += status == CLI_GO_ON;
    }
    imgsim_features_free(thumbs);
    if (status == CLI_GO_ON)
        cli_note(cli, "%s thumbnails in %s", cli_count_text(count, number), folder);
    return status;
}

static int
export_npy(const struct cli *cli, const imgsim_catalog *catalog, const char *name, const char *path)
{
    imgsim_status status = imgsim_catalog_export_npy(catalog, name, path);
    struct cli_feature feature;
    char number[32];

    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_OUTPUT);
    if (cli_has_feature(catalog, name, &feature))
        cli_note(
            cli, "%s rows of %s in %s", cli_count_text(feature.image_count, number), name, path);
    return CLI_GO_ON;
}

static int export_csv(const struct cli *cli, const imgsim_catalog *catalog, const char *path)
{
    uint64_t counts[IMGSIM_FILE_STATE_COUNT], files = 0;
    imgsim_status status = imgsim_catalog_export_csv(catalog, path);
    char number[32];

    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_OUTPUT);
    if (imgsim_catalog_count_states(catalog, counts) == IMGSIM_OK) {
        for (int i = 0; i < IMGSIM_FILE_STATE_COUNT; i++)
            files += counts[i];
        cli_note(cli, "%s files in %s", cli_count_text(files, number), path);
    }
    return CLI_GO_ON;
}

/* What the command line asks for; NULL: not asked for. */
struct wishes {
    const char *feature, *npy, *csv, *thumbs;
};

static int read_wishes(struct cli *cli, int argc, char **argv, struct wishes *wishes)
{
    const struct cli_option table[] = {
        {"npy", 0, CLI_TEXT, &wishes->feature, 0, 0, NULL},
        {"csv", 0, CLI_TEXT, &wishes->csv, 0, 0, NULL},
        {"thumbs", 0, CLI_TEXT, &wishes->thumbs, 0, 0, NULL},
    };
    int status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));

    if (status != CLI_GO_ON)
        return status;
    if (wishes->feature == NULL && wishes->csv == NULL && wishes->thumbs == NULL)
        return cli_usage(
            cli, "export needs --npy FEATURE FILE.npy, --csv FILE.csv or --thumbs FOLDER");
    if (cli->operand_count != (wishes->feature != NULL ? 1 : 0))
        return cli_usage(
            cli, wishes->feature != NULL ? "--npy needs a feature and one file name"
                                         : "export takes one file name");
    if (wishes->feature == NULL)
        return CLI_GO_ON;
    wishes->npy = cli->operands[0];
    if (strlen(wishes->npy) < 5 || strcmp(wishes->npy + strlen(wishes->npy) - 4, ".npy") != 0)
        return cli_usage(cli, "the file name '%s' should end with .npy", wishes->npy);
    return CLI_GO_ON;
}

int cmd_export(struct cli *cli, int argc, char **argv)
{
    struct wishes wishes = {0};
    imgsim_catalog *catalog = NULL;
    imgsim_features *features = NULL;
    imgsim_status written = IMGSIM_OK;
    int status = read_wishes(cli, argc, argv, &wishes);

    if (status == CLI_GO_ON)
        status = cli_open_catalog(cli, NULL, CLI_READ, &catalog);
    if (status != CLI_GO_ON)
        return status;
    /* A feature that is not there is wrong usage, a folder that is not there an I/O error. */
    if (wishes.feature != NULL)
        written = imgsim_catalog_open_features(catalog, wishes.feature, &features);
    imgsim_features_free(features);
    if (written != IMGSIM_OK) {
        status = cli_failed(written, CLI_ABOUT_CATALOG);
        goto done;
    }

    status = CLI_GO_ON;
    if (wishes.feature != NULL)
        status = export_npy(cli, catalog, wishes.feature, wishes.npy);
    if (status == CLI_GO_ON && wishes.csv != NULL)
        status = export_csv(cli, catalog, wishes.csv);
    if (status == CLI_GO_ON && wishes.thumbs != NULL)
        status = export_thumbs(cli, catalog, wishes.thumbs);
    status = status == CLI_GO_ON ? CLI_DONE : status;

done:
    imgsim_catalog_free(catalog);
    return status;
}
