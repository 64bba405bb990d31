/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim pca: fit on a feature, store the projection as a feature of its own. */
#include "common.h"

const char cli_help_pca[] =
    "imgsim pca --dim 128                 embedding becomes embedding-pca128\n"
    "imgsim pca --dim 64 --whiten 0.5 --normalize --name compact\n"
    "imgsim pca --dim 64 --kernel rbf     embedding becomes embedding-kpca64\n"
    "imgsim pca --study 50,75,100,128,200,256 --plot study.svg\n"
    "\n"
    "Stores the principal components of a feature of all images as a feature of its\n"
    "own, which 'imgsim scan' keeps up to date and 'imgsim index' makes fast.\n"
    "\n"
    "--dim N          components (128); known good: 50, 75, 100, 128, 200, 256\n"
    "--feature NAME   what to project (embedding)\n"
    "--name NAME      name of the new feature (FEATURE-pcaN, FEATURE-kpcaN)\n"
    "--whiten X       0 (plain) to 1 (every component of variance 1)\n"
    "--normalize      scale every projected row to length 1\n"
    "--method HOW     exact (default); randomised: variances proved right within\n"
    "                 0.01 %, by a few passes, else exact; auto: the faster of them\n"
    "--kernel KIND    none, rbf, cosine, polynomial, chi-square, intersection: main\n"
    "                 components of its features, by --landmarks N images (1000)\n"
    "--gamma X        of rbf, chi-square, polynomial; --degree N (3); --seed N (1)\n"
    "--json           also the variance along each axis\n"
    "--study LIST     store nothing; compare several numbers of components: variance\n"
    "                 kept, true neighbours kept, precision on classes, time\n"
    "--queries N      images drawn as queries (1000); --plot FILE.svg: a picture\n"
    "--classes WHAT   auto (labels, else folders), labels or folders\n";

static int report_json(const imgsim_projector *projector, const char *source, const char *name)
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
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:o}", "schema", "imgsim.pca/1", "feature", name,
        "source", source, "dimension", (json_int_t)dimension, "source_dimension",
        (json_int_t)imgsim_projector_get_input_dimension(projector), "images",
        (json_int_t)imgsim_projector_get_row_count(projector), "explained_variance", kept,
        "explained_variance_by_axis", shares));
}

static int report(const imgsim_projector *projector, const char *source, const char *name)
{
    const uint32_t dimension = imgsim_projector_get_output_dimension(projector);
    const double *variances = imgsim_projector_get_variances(projector);
    const double total = imgsim_projector_get_total_variance(projector);
    double kept = 0;
    char number[32];

    for (uint32_t i = 0; i < dimension; i++)
        kept += variances[i];
    printf(
        "%s: %u of %u dimensions of %s, %.2f %% of the variance, %s images\n", name, dimension,
        imgsim_projector_get_input_dimension(projector), source,
        total > 0 ? 100 * kept / total : 0.0,
        cli_count_text(imgsim_projector_get_row_count(projector), number));
    return CLI_DONE;
}

static const struct cli_choice methods[] = {
    {"exact", IMGSIM_PCA_EXACT},
    {"auto", IMGSIM_PCA_AUTO},
    {"randomised", IMGSIM_PCA_RANDOMISED},
    {NULL, 0},
};
static const struct cli_choice kernels[] = {
    {"none", IMGSIM_KERNEL_NONE},
    {"rbf", IMGSIM_KERNEL_RBF},
    {"cosine", IMGSIM_KERNEL_COSINE},
    {"polynomial", IMGSIM_KERNEL_POLYNOMIAL},
    {"chi-square", IMGSIM_KERNEL_CHI_SQUARE},
    {"intersection", IMGSIM_KERNEL_INTERSECTION},
    {NULL, 0},
};

struct pca_settings {
    struct cli_study study;
    const char *source;
    const char *name; /* NULL: source + "-pca" or "-kpca" + dimension */
    uint32_t dimension;
    imgsim_projector_options projector;
};

static int run_pca(struct cli *cli, const struct pca_settings *settings, imgsim_catalog *catalog)
{
    imgsim_projection_options options;
    imgsim_projector_options projector_options = settings->projector;
    imgsim_projector *projector = NULL;
    imgsim_status status;
    const char *name = settings->name;
    char own_name[96];
    int printed;

    if (name == NULL) {
        snprintf(
            own_name, sizeof(own_name), "%.70s-%s%u", settings->source,
            settings->projector.kernel != IMGSIM_KERNEL_NONE ? "kpca" : "pca", settings->dimension);
        name = own_name;
    }
    projector_options.threads = cli->threads;
    imgsim_projection_options_init(&options, sizeof(options));
    options.source = settings->source;
    options.name = name;
    options.projector = &projector_options;
    options.progress = cli_show_progress;
    options.user_data = cli;
    options.dimension = settings->dimension;

    cli_catch_interrupts();
    status = imgsim_derive_projection(catalog, &options, &projector);
    cli_clear_progress();
    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_CATALOG);
    printed = cli->json ? report_json(projector, settings->source, name)
                        : report(projector, settings->source, name);
    imgsim_projector_free(projector);
    return printed;
}

int cmd_pca(struct cli *cli, int argc, char **argv)
{
    struct pca_settings settings = {
        .source = "embedding", .dimension = 128, .study = {.queries = 1000}};
    imgsim_catalog *catalog = NULL;
    const struct cli_option table[] = {
        {"dim", 0, CLI_COUNT, &settings.dimension, 1, 65536, NULL},
        {"feature", 0, CLI_TEXT, &settings.source, 0, 0, NULL},
        {"name", 0, CLI_TEXT, &settings.name, 0, 0, NULL},
        {"whiten", 0, CLI_REAL, &settings.projector.whiten, 0, 1, NULL},
        {"normalize", 0, CLI_FLAG, &settings.projector.normalize, 0, 0, NULL},
        {"method", 0, CLI_CHOICE, &settings.projector.method, 0, 0, methods},
        {"kernel", 0, CLI_CHOICE, &settings.projector.kernel, 0, 0, kernels},
        {"landmarks", 0, CLI_COUNT, &settings.projector.landmarks, 1, 16384, NULL},
        {"gamma", 0, CLI_REAL, &settings.projector.gamma, 0, 1e300, NULL},
        {"degree", 0, CLI_COUNT, &settings.projector.degree, 1, 16, NULL},
        {"seed", 0, CLI_SIZE, &settings.projector.seed, 0, 9e15, NULL},
        {"study", 0, CLI_TEXT, &settings.study.dimensions, 0, 0, NULL},
        {"queries", 0, CLI_COUNT, &settings.study.queries, 1, 100000, NULL},
        {"classes", 0, CLI_CHOICE, &settings.study.classes, 0, 0, cli_classes_choices},
        {"plot", 0, CLI_TEXT, &settings.study.plot, 0, 0, NULL},
    };
    int status;

    imgsim_projector_options_init(&settings.projector, sizeof(settings.projector));
    status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));
    if (status == CLI_GO_ON && cli->operand_count > 0)
        status = cli_usage(cli, "pca takes no '%s'", cli->operands[0]);
    if (status == CLI_GO_ON && settings.study.dimensions == NULL && settings.study.plot != NULL)
        status = cli_usage(cli, "--plot is the picture of a --study");
    settings.study.source = settings.source;
    if (status == CLI_GO_ON)
        status = cli_open_catalog(
            cli, NULL, settings.study.dimensions != NULL ? CLI_READ : CLI_WRITE, &catalog);
    if (status == CLI_GO_ON)
        status = settings.study.dimensions != NULL ? cli_pca_study(cli, &settings.study, catalog)
                                                   : run_pca(cli, &settings, catalog);
    imgsim_catalog_free(catalog);
    return status;
}
