/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim pca: fit on a feature, store the projection as a feature of its own. */
#include "common.h"

#include <stdlib.h>

const char cli_help_pca[] =
    "imgsim pca --dim 128                 embedding becomes embedding-pca128\n"
    "imgsim pca --dim 64 --whiten 0.5 --normalize --name compact\n"
    "\n"
    "Fits a principal component analysis on a feature of all images and stores the\n"
    "projected rows as a feature of its own, which 'imgsim scan' keeps up to date.\n"
    "Indexes of it are small: see 'imgsim help index', and --cascade of search.\n"
    "\n"
    "--dim N          components (128); known good: 50, 75, 100, 128, 200, 256\n"
    "--feature NAME   what to project (embedding)\n"
    "--name NAME      name of the new feature (FEATURE-pcaN)\n"
    "--whiten X       0 (plain) to 1 (every component of variance 1)\n"
    "--normalize      scale every projected row to length 1\n"
    "--json           also the variance along each axis\n";

static int
report_json(const imgsim_projector *projector, const char *source, const struct cli_feature *made)
{
    const uint32_t dimension = imgsim_projector_get_output_dimension(projector);
    const double *variances = imgsim_projector_get_variances(projector);
    const double total = imgsim_projector_get_total_variance(projector);
    json_t *shares = json_array();
    double kept = 0;

    for (uint32_t i = 0; i < dimension; i++) {
        const double share = total > 0 ? variances[i] / total : 0;

        json_array_append_new(shares, json_real(share));
        kept += share;
    }
    return cli_print_json(json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:o}", "schema", "imgsim.pca/1", "feature", made->name,
        "source", source, "dimension", (json_int_t)dimension, "source_dimension",
        (json_int_t)imgsim_projector_get_input_dimension(projector), "images",
        (json_int_t)imgsim_projector_get_row_count(projector), "explained_variance", kept,
        "explained_variance_by_axis", shares));
}

static int report(
    const struct cli *cli,
    const imgsim_projector *projector,
    const char *source,
    const struct cli_feature *made)
{
    const uint32_t dimension = imgsim_projector_get_output_dimension(projector);
    const double *variances = imgsim_projector_get_variances(projector);
    const double total = imgsim_projector_get_total_variance(projector);
    double kept = 0;
    char number[32];

    if (cli->json)
        return report_json(projector, source, made);
    for (uint32_t i = 0; i < dimension; i++)
        kept += variances[i];
    printf(
        "%s: %u of %u dimensions of %s, %.2f %% of the variance, %s images\n", made->name,
        dimension, imgsim_projector_get_input_dimension(projector), source,
        total > 0 ? 100 * kept / total : 0.0,
        cli_count_text(imgsim_projector_get_row_count(projector), number));
    return CLI_DONE;
}

int cmd_pca(struct cli *cli, int argc, char **argv)
{
    imgsim_projection_options options;
    imgsim_projector_options projector_options;
    imgsim_projector *projector = NULL;
    imgsim_catalog *catalog = NULL;
    imgsim_status made;
    struct cli_feature feature = {.name = ""};
    const char *source = "embedding";
    const char *name = NULL;
    char own_name[96];
    uint32_t dimension = 128;
    double whiten = 0;
    int32_t normalize = 0;
    const struct cli_option table[] = {
        {"dim", 0, CLI_COUNT, &dimension, 1, 65536, NULL},
        {"feature", 0, CLI_TEXT, &source, 0, 0, NULL},
        {"name", 0, CLI_TEXT, &name, 0, 0, NULL},
        {"whiten", 0, CLI_REAL, &whiten, 0, 1, NULL},
        {"normalize", 0, CLI_FLAG, &normalize, 0, 0, NULL},
    };
    int status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));

    if (status == CLI_GO_ON && cli->operand_count > 0)
        status = cli_usage(cli, "pca takes no '%s'", cli->operands[0]);
    if (status == CLI_GO_ON)
        status = cli_open_catalog(cli, NULL, CLI_WRITE, &catalog);
    if (status != CLI_GO_ON)
        return status;

    if (name == NULL) {
        snprintf(own_name, sizeof(own_name), "%s-pca%u", source, dimension);
        name = own_name;
    }
    imgsim_projector_options_init(&projector_options, sizeof(projector_options));
    projector_options.whiten = whiten;
    projector_options.normalize = normalize;
    projector_options.threads = cli->threads;
    imgsim_projection_options_init(&options, sizeof(options));
    options.source = source;
    options.name = name;
    options.projector = &projector_options;
    options.progress = cli_show_progress;
    options.user_data = cli;
    options.dimension = dimension;

    cli_catch_interrupts();
    made = imgsim_derive_projection(catalog, &options, &projector);
    cli_clear_progress();
    if (made != IMGSIM_OK) {
        status = cli_failed(made, CLI_ABOUT_CATALOG);
    } else {
        snprintf(feature.name, sizeof(feature.name), "%s", name);
        status = report(cli, projector, source, &feature);
    }
    imgsim_projector_free(projector);
    imgsim_catalog_free(catalog);
    return status;
}
