/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim export: features as .npy, the catalog as CSV. */
#include "common.h"

#include <string.h>

const char cli_help_export[] =
    "imgsim export --npy embedding rows.npy   rows.npy, and rows.ids.npy: their ids\n"
    "imgsim export --csv images.csv           a line per file: path, state, labels\n"
    "\n"
    "Rows are those of the images that can be found, in order of id; histograms\n"
    "become dense counts, hashes bytes. A file is replaced when it is complete.\n";

int cmd_export(struct cli *cli, int argc, char **argv)
{
    const char *feature = NULL, *csv = NULL, *npy = NULL;
    imgsim_catalog *catalog = NULL;
    imgsim_features *features = NULL;
    imgsim_status written = IMGSIM_OK;
    const struct cli_option table[] = {
        {"npy", 0, CLI_TEXT, &feature, 0, 0, NULL},
        {"csv", 0, CLI_TEXT, &csv, 0, 0, NULL},
    };
    int status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));

    if (status != CLI_GO_ON)
        return status;
    if (feature == NULL && csv == NULL)
        return cli_usage(cli, "export needs --npy FEATURE FILE.npy or --csv FILE.csv");
    if (cli->operand_count != (feature != NULL ? 1 : 0))
        return cli_usage(
            cli, feature != NULL ? "--npy needs a feature and one file name"
                                 : "export takes one file name");
    if (feature != NULL) {
        npy = cli->operands[0];
        if (strlen(npy) < 5 || strcmp(npy + strlen(npy) - 4, ".npy") != 0)
            return cli_usage(cli, "the file name '%s' should end with .npy", npy);
    }

    status = cli_open_catalog(cli, NULL, CLI_READ, &catalog);
    if (status != CLI_GO_ON)
        return status;
    /* A feature that is not there is wrong usage, a folder that is not there an I/O error. */
    if (feature != NULL)
        written = imgsim_catalog_open_features(catalog, feature, &features);
    imgsim_features_free(features);
    if (written != IMGSIM_OK) {
        status = cli_failed(written, CLI_ABOUT_CATALOG);
        goto done;
    }

    if (feature != NULL)
        written = imgsim_catalog_export_npy(catalog, feature, npy);
    if (written == IMGSIM_OK && csv != NULL)
        written = imgsim_catalog_export_csv(catalog, csv);
    status = written == IMGSIM_OK ? CLI_DONE : cli_failed(written, CLI_ABOUT_OUTPUT);

done:
    imgsim_catalog_free(catalog);
    return status;
}
