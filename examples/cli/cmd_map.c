/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim map: lay the images out, and write the map as a page or for TensorBoard. */
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char cli_help_map[] =
    "imgsim map --out map.html                    a page: double-click it\n"
    "imgsim map --layout tsne --dim both --out map.html   flat, and in space\n"
    "imgsim map --out map.html --folder tiles     pictures of all images beside it\n"
    "imgsim map --tensorboard logs && tensorboard --logdir logs\n"
    "\n"
    "Lays out all images so that similar ones lie together; a map is kept with the\n"
    "catalog and used again. The page works alone, without any network.\n"
    "\n"
    "--layout umap|tsne|pca   (umap)\n"
    "--dim 2|3|both           flat (2), in space, or one page with both\n"
    "--feature NAME           laid out by this (embedding)\n"
    "--neighbours N  --min-dist X  --spread X     UMAP (15, 0.1, 1)\n"
    "--perplexity X           t-SNE (30)\n"
    "--seed N  --epochs N     same seed, same map (1)    --refresh  anew\n"
    "--place                  new images go onto the kept map, all others stay\n"
    "--out FILE.html          the page; FILE.npy, FILE.csv: positions as a table\n"
    "--png FILE, --svg FILE   a picture\n"
    "--color label|folder|cluster[:NAME]|predicted|none   of it, and of CSV\n"
    "--quality                how well neighbourhoods are kept\n"
    "--folder DIR             tiles beside the page; without, only representatives\n"
    "--pictures N             pictures inside the page (5000), --side N pixels (64)\n"
    "--title TEXT             headline\n"
    "--tensorboard DIR        a folder for TensorBoard's projector\n";

enum { DIM_BOTH = 5 };

struct map_settings {
    int32_t layout;
    int32_t dim;
    const char *feature;
    uint32_t neighbours;
    double min_dist;
    double spread;
    double perplexity;
    uint64_t seed;
    int32_t refresh;
    int32_t place;
    const char *out;
    const char *folder;
    uint32_t pictures;
    uint32_t side;
    const char *title;
    const char *tensorboard;
    const char *png;
    const char *svg;
    const char *color_text;
    int32_t color;
    const char *cluster;
    int32_t quality;
    uint32_t epochs;
};

static const struct cli_choice layouts[] = {
    {"umap", IMGSIM_LAYOUT_UMAP},
    {"tsne", IMGSIM_LAYOUT_TSNE},
    {"pca", IMGSIM_LAYOUT_PCA},
    {NULL, 0},
};
static const struct cli_choice dims[] = {{"2", 2}, {"3", 3}, {"both", DIM_BOTH}, {NULL, 0}};

static const struct cli_choice colors[] = {
    {"auto", IMGSIM_COLOR_AUTO},
    {"label", IMGSIM_COLOR_LABEL},
    {"folder", IMGSIM_COLOR_FOLDER},
    {"cluster", IMGSIM_COLOR_CLUSTER},
    {"predicted", IMGSIM_COLOR_PREDICTED},
    {"none", IMGSIM_COLOR_NONE},
    {NULL, 0},
};

/* "label", ..., "cluster" or "cluster:NAME" */
static int
read_color(const struct cli *cli, const char *text, int32_t *out_color, const char **out_set)
{
    const char *near;

    *out_set = NULL;
    if (strncmp(text, "cluster:", 8) == 0 && text[8] != '\0') {
        *out_color = IMGSIM_COLOR_CLUSTER;
        *out_set = text + 8;
        return CLI_GO_ON;
    }
    for (const struct cli_choice *choice = colors; choice->name != NULL; choice++)
        if (strcmp(choice->name, text) == 0) {
            *out_color = choice->value;
            return CLI_GO_ON;
        }
    near = cli_suggest_choice(text, colors);
    if (near != NULL)
        return cli_usage(cli, "--color: unknown '%s'; did you mean '%s'?", text, near);
    return cli_usage(
        cli,
        "--color: unknown '%s'; it takes label, folder, cluster, cluster:NAME, predicted or none",
        text);
}

/* ---- the map ---- */

static imgsim_status lay_out(
    struct cli *cli,
    const struct map_settings *settings,
    const imgsim_catalog *catalog,
    uint32_t dimension,
    imgsim_map **out_map)
{
    imgsim_map_options options;
    imgsim_status status;

    imgsim_map_options_init(&options, sizeof(options));
    options.layout = settings->layout;
    options.dimension = dimension;
    options.neighbours = settings->neighbours;
    options.min_dist = settings->min_dist;
    options.spread = settings->spread;
    options.perplexity = settings->perplexity;
    options.seed = settings->seed;
    options.refresh = settings->refresh;
    options.place = settings->place;
    options.epochs = settings->epochs;
    options.threads = cli->threads;
    options.progress = cli_show_progress;
    options.progress_data = cli;
    status = imgsim_map_new_catalog(catalog, settings->feature, &options, out_map);
    cli_clear_progress();
    return status;
}

/* ---- tables and pictures ---- */

static bool ends_with(const char *name, const char *ending)
{
    const size_t length = strlen(name), end = strlen(ending);

    return length > end && strcmp(name + length - end, ending) == 0;
}

/* Whether --out is a table and not a page. */
static bool is_table(const char *out)
{
    return out != NULL && (ends_with(out, ".npy") || ends_with(out, ".csv"));
}

static int write_plain(
    const struct map_settings *settings,
    const imgsim_catalog *catalog,
    const imgsim_map *map)
{
    imgsim_status status = IMGSIM_OK;
    imgsim_plot_options options;

    imgsim_plot_options_init(&options, sizeof(options));
    options.color_by = settings->color;
    options.cluster = settings->cluster;
    options.title = settings->title;
    if (is_table(settings->out))
        status = ends_with(settings->out, ".npy")
                     ? imgsim_map_write_npy(map, settings->out)
                     : imgsim_map_write_table(map, catalog, &options, settings->out);
    if (status == IMGSIM_OK && settings->png != NULL)
        status = imgsim_map_write_plot(map, catalog, &options, settings->png);
    if (status == IMGSIM_OK && settings->svg != NULL)
        status = imgsim_map_write_plot(map, catalog, &options, settings->svg);
    if (status == IMGSIM_ERROR_NOT_FOUND) /* no such clusters, nothing predicted */
        return cli_failed(status, CLI_ABOUT_CATALOG);
    return status == IMGSIM_OK ? CLI_GO_ON : cli_failed(status, CLI_ABOUT_OUTPUT);
}

/* ---- quality ---- */

/* Measure the map, and add the figures to the page if there is one. Fewer neighbours where there are few images, none if too few. */
static imgsim_status measure(
    struct cli *cli,
    const imgsim_catalog *catalog,
    const imgsim_map *map,
    imgsim_page *page,
    imgsim_quality *out_quality)
{
    const size_t most = (imgsim_map_get_count(map) - 1) / 2;
    imgsim_quality_options options;
    imgsim_status status;

    imgsim_quality_options_init(&options, sizeof(options));
    options.neighbours = most < 15 ? (uint32_t)most : 15;
    options.threads = cli->threads;
    options.progress = cli_show_progress;
    options.progress_data = cli;
    out_quality->struct_size = sizeof(*out_quality);
    if (options.neighbours == 0)
        return IMGSIM_OK;
    status = page != NULL ? imgsim_page_add_quality(page, map, catalog, &options, out_quality)
                          : imgsim_map_measure_catalog(map, catalog, &options, out_quality);
    cli_clear_progress();
    return status;
}

static void tell_quality(const imgsim_quality *quality, json_t *root)
{
    if (root != NULL)
        json_object_set_new(
            root, "quality",
            json_pack(
                "{s:f, s:f, s:f, s:i, s:I}", "trustworthiness", quality->trustworthiness,
                "continuity", quality->continuity, "preservation", quality->preservation,
                "neighbours", (int)quality->neighbours, "anchors", (json_int_t)quality->anchors));
    else
        printf(
            "trustworthiness %.4f, continuity %.4f, neighbours kept %.4f (of %u, %llu images)\n",
            quality->trustworthiness, quality->continuity, quality->preservation,
            quality->neighbours, (unsigned long long)quality->anchors);
}

/* ---- vectors for TensorBoard ---- */

#define VECTOR_VALUES 50
#define BATCH 4096

/* Rows of the map's feature on their first principal axes, count x *out_dimension; release with free(). */
static imgsim_status project_rows(
    struct cli *cli,
    const imgsim_features *features,
    const imgsim_map *map,
    imgsim_projector *projector,
    float *rows,
    float *vectors)
{
    const size_t count = imgsim_map_get_count(map);
    const int64_t *ids = imgsim_map_get_ids(map);
    const uint32_t from = imgsim_projector_get_input_dimension(projector);
    const uint32_t to = imgsim_projector_get_output_dimension(projector);
    imgsim_status status = IMGSIM_OK;

    (void)cli;
    for (int pass = 0; pass < 2 && status == IMGSIM_OK; pass++) {
        for (size_t start = 0; start < count && status == IMGSIM_OK; start += BATCH) {
            const size_t size = count - start < BATCH ? count - start : BATCH;

            status = imgsim_features_read(
                features, ids + start, size, rows, size * from * sizeof(float));
            if (status == IMGSIM_OK)
                status =
                    pass == 0
                        ? imgsim_projector_add(projector, rows, size)
                        : imgsim_projector_transform(projector, rows, size, vectors + start * to);
        }
        if (pass == 0 && status == IMGSIM_OK)
            status = imgsim_projector_train(projector);
    }
    return status;
}

static int make_vectors(
    struct cli *cli,
    const imgsim_catalog *catalog,
    const imgsim_map *map,
    float **out_vectors,
    uint32_t *out_dimension)
{
    imgsim_features *features = NULL;
    imgsim_projector *projector = NULL;
    imgsim_projector_options options;
    float *rows = NULL, *vectors = NULL;
    const size_t count = imgsim_map_get_count(map);
    uint32_t from, to;
    imgsim_status status =
        imgsim_catalog_open_features(catalog, imgsim_map_get_feature(map), &features);

    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_CATALOG);
    from = imgsim_features_get_dimension(features);
    to = from < VECTOR_VALUES ? from : VECTOR_VALUES;
    to = count < to ? (uint32_t)count : to;
    imgsim_projector_options_init(&options, sizeof(options));
    options.threads = cli->threads;
    rows = malloc((size_t)BATCH * from * sizeof(float));
    vectors = malloc(count * to * sizeof(float));
    if (rows == NULL || vectors == NULL)
        status = IMGSIM_ERROR_OUT_OF_MEMORY;
    else if ((status = imgsim_projector_new(from, to, &options, &projector)) == IMGSIM_OK)
        status = project_rows(cli, features, map, projector, rows, vectors);
    free(rows);
    imgsim_projector_free(projector);
    imgsim_features_free(features);
    if (status != IMGSIM_OK) {
        free(vectors);
        return vectors == NULL ? cli_no_memory() : cli_failed(status, CLI_ABOUT_CATALOG);
    }
    *out_vectors = vectors;
    *out_dimension = to;
    return CLI_GO_ON;
}

/* ---- writing ---- */

static imgsim_status build_page(
    const imgsim_catalog *catalog,
    const imgsim_map *map,
    const imgsim_map *also,
    imgsim_page **out_page)
{
    const double kl = imgsim_map_get_kl(map);
    imgsim_status status = imgsim_page_new(map, out_page);

    if (status == IMGSIM_OK && also != NULL)
        status = imgsim_page_add_map(*out_page, also);
    if (status == IMGSIM_OK)
        status = imgsim_page_add_catalog(*out_page, catalog);
    if (status == IMGSIM_OK && isfinite(kl))
        status = imgsim_page_add_figure(
            *out_page, "Kullback-Leibler divergence", kl,
            "What t-SNE made small, in nats; compare only maps of the same images and perplexity.");
    return status;
}

static int write_files(
    struct cli *cli,
    const struct map_settings *settings,
    const imgsim_catalog *catalog,
    const imgsim_map *map,
    const imgsim_page *page)
{
    imgsim_page_options options;
    imgsim_status status = IMGSIM_OK;
    float *vectors = NULL;
    uint32_t dimension = 0;

    imgsim_page_options_init(&options, sizeof(options));
    options.title = settings->title;
    options.tiles_folder = settings->folder;
    options.picture_count = settings->pictures;
    options.picture_side = settings->side;
    options.threads = cli->threads;
    options.progress = cli_show_progress;
    options.progress_data = cli;
    if (settings->out != NULL && !is_table(settings->out))
        status = imgsim_page_write_html(page, &options, settings->out);
    if (status == IMGSIM_OK && settings->tensorboard != NULL) {
        const int made = make_vectors(cli, catalog, map, &vectors, &dimension);

        if (made != CLI_GO_ON)
            return made;
        status =
            imgsim_page_write_projector(page, vectors, dimension, &options, settings->tensorboard);
        free(vectors);
    }
    cli_clear_progress();
    return status == IMGSIM_OK ? CLI_GO_ON : cli_failed(status, CLI_ABOUT_OUTPUT);
}

static json_t *report_json(const struct map_settings *settings, const imgsim_map *map, uint32_t dim)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:I, s:o}", "schema", "imgsim.map/1", "layout",
        imgsim_layout_name(imgsim_map_get_layout(map)), "feature", imgsim_map_get_feature(map),
        "images", (json_int_t)imgsim_map_get_count(map), "dimensions",
        dim == DIM_BOTH ? json_pack("[i, i]", 2, 3) : json_pack("[i]", (int)dim));

    if (root == NULL)
        return NULL;
    if (settings->out != NULL)
        cli_json_path(root, is_table(settings->out) ? "table" : "page", settings->out);
    if (settings->png != NULL)
        cli_json_path(root, "png", settings->png);
    if (settings->svg != NULL)
        cli_json_path(root, "svg", settings->svg);
    if (settings->tensorboard != NULL)
        cli_json_path(root, "tensorboard", settings->tensorboard);
    if (isfinite(imgsim_map_get_kl(map)))
        json_object_set_new(root, "kl", json_real(imgsim_map_get_kl(map)));
    return root;
}

/* Where what was written is, for people. */
static void say_where(const struct cli *cli, const struct map_settings *settings)
{
    if (settings->out != NULL)
        cli_note(cli, "%s: %s", is_table(settings->out) ? "table" : "page", settings->out);
    if (settings->png != NULL)
        cli_note(cli, "picture: %s", settings->png);
    if (settings->svg != NULL)
        cli_note(cli, "picture: %s", settings->svg);
    if (settings->tensorboard != NULL)
        cli_note(cli, "for TensorBoard: %s", settings->tensorboard);
}

static int report(
    struct cli *cli,
    const struct map_settings *settings,
    const imgsim_map *map,
    const imgsim_quality *quality)
{
    json_t *root = cli->json ? report_json(settings, map, (uint32_t)settings->dim) : NULL;
    char number[32];

    if (!cli->json)
        printf(
            "%s of %s, %s images\n", imgsim_layout_name(imgsim_map_get_layout(map)),
            imgsim_map_get_feature(map), cli_count_text(imgsim_map_get_count(map), number));
    if (quality->neighbours > 0 && (root != NULL || !cli->json))
        tell_quality(quality, root);
    say_where(cli, settings);
    return cli->json ? cli_print_json(root) : cli_finish_output(CLI_DONE);
}

static bool wants_page(const struct map_settings *settings)
{
    return settings->tensorboard != NULL || (settings->out != NULL && !is_table(settings->out));
}

static int
run_map(struct cli *cli, const struct map_settings *settings, const imgsim_catalog *catalog)
{
    imgsim_map *map = NULL, *also = NULL;
    imgsim_page *page = NULL;
    imgsim_quality quality = {.struct_size = sizeof(quality)};
    const uint32_t first = settings->dim == 3 ? 3 : 2;
    int status = CLI_GO_ON;
    imgsim_status made;

    cli_catch_interrupts();
    made = lay_out(cli, settings, catalog, first, &map);
    if (made == IMGSIM_OK && settings->dim == DIM_BOTH)
        made = lay_out(cli, settings, catalog, 3, &also);
    if (made == IMGSIM_OK && wants_page(settings))
        made = build_page(catalog, map, also, &page);
    if (made == IMGSIM_OK && settings->quality)
        made = measure(cli, catalog, map, page, &quality);
    if (made != IMGSIM_OK)
        status = cli_failed(made, CLI_ABOUT_CATALOG);
    if (status == CLI_GO_ON)
        status = write_plain(settings, catalog, map);
    if (status == CLI_GO_ON && page != NULL)
        status = write_files(cli, settings, catalog, map, page);
    if (status == CLI_GO_ON)
        status = report(cli, settings, map, &quality);
    imgsim_page_free(page);
    imgsim_map_free(also);
    imgsim_map_free(map);
    return status;
}

int cmd_map(struct cli *cli, int argc, char **argv)
{
    struct map_settings settings = {
        .layout = IMGSIM_LAYOUT_UMAP,
        .dim = 2,
        .min_dist = 0.1,
        .spread = 1,
        .perplexity = 30,
        .seed = 1,
        .pictures = 5000};
    imgsim_catalog *catalog = NULL;
    const struct cli_option table[] = {
        {"layout", 0, CLI_CHOICE, &settings.layout, 0, 0, layouts},
        {"dim", 0, CLI_CHOICE, &settings.dim, 0, 0, dims},
        {"feature", 0, CLI_TEXT, &settings.feature, 0, 0, NULL},
        {"neighbours", 0, CLI_COUNT, &settings.neighbours, 2, 1000, NULL},
        {"min-dist", 0, CLI_REAL, &settings.min_dist, 0, 1000, NULL},
        {"spread", 0, CLI_REAL, &settings.spread, 0.001, 1000, NULL},
        {"perplexity", 0, CLI_REAL, &settings.perplexity, 1, 300, NULL},
        {"seed", 0, CLI_SIZE, &settings.seed, 0, 9007199254740992.0, NULL},
        {"refresh", 0, CLI_FLAG, &settings.refresh, 0, 0, NULL},
        {"place", 0, CLI_FLAG, &settings.place, 0, 0, NULL},
        {"out", 0, CLI_TEXT, &settings.out, 0, 0, NULL},
        {"folder", 0, CLI_TEXT, &settings.folder, 0, 0, NULL},
        {"pictures", 0, CLI_COUNT, &settings.pictures, 0, 1000000, NULL},
        {"side", 0, CLI_COUNT, &settings.side, 16, 240, NULL},
        {"title", 0, CLI_TEXT, &settings.title, 0, 0, NULL},
        {"tensorboard", 0, CLI_TEXT, &settings.tensorboard, 0, 0, NULL},
        {"png", 0, CLI_TEXT, &settings.png, 0, 0, NULL},
        {"svg", 0, CLI_TEXT, &settings.svg, 0, 0, NULL},
        {"color", 0, CLI_TEXT, &settings.color_text, 0, 0, NULL},
        {"quality", 0, CLI_FLAG, &settings.quality, 0, 0, NULL},
        {"epochs", 0, CLI_COUNT, &settings.epochs, 1, 100000, NULL},
    };
    int status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));

    if (status == CLI_GO_ON && cli->operand_count > 0)
        status = cli_usage(cli, "map takes no '%s'", cli->operands[0]);
    if (status == CLI_GO_ON && settings.out == NULL && settings.tensorboard == NULL &&
        settings.png == NULL && settings.svg == NULL && !settings.quality)
        status = cli_usage(cli, "nothing to do: --out, --png, --svg, --tensorboard or --quality");
    if (status == CLI_GO_ON && settings.place && settings.refresh)
        status = cli_usage(cli, "--place and --refresh contradict each other");
    if (status == CLI_GO_ON && settings.place && settings.layout == IMGSIM_LAYOUT_PCA)
        status = cli_usage(cli, "--place goes with umap and tsne; a pca map is made anew at once");
    if (status == CLI_GO_ON && settings.color_text != NULL)
        status = read_color(cli, settings.color_text, &settings.color, &settings.cluster);
    if (status == CLI_GO_ON && settings.folder != NULL &&
        (settings.out == NULL || is_table(settings.out)))
        status = cli_usage(cli, "--folder needs --out: tiles belong to a page");
    if (status == CLI_GO_ON)
        status = cli_open_catalog(cli, NULL, CLI_WRITE, &catalog);
    if (status == CLI_GO_ON)
        status = run_map(cli, &settings, catalog);
    imgsim_catalog_free(catalog);
    return status;
}
