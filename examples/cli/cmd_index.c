/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim index: build or refresh the stored index of a feature. */
#include "common.h"

#include <string.h>

const char cli_help_index[] =
    "imgsim index                     of the embedding's projection, or of it\n"
    "imgsim index --kind hnsw --feature embedding --metric cosine\n"
    "\n"
    "Builds an index and stores it in the catalog, where searches find it. Run again,\n"
    "it builds anew only if images or settings have changed.\n"
    "\n"
    "--kind KIND        hnsw (a graph: fast, nearly exact), exact,\n"
    "                   auto (exact for small catalogs; the default)\n"
    "--feature NAME     feature to index\n"
    "--metric NAME      metric to index it for (the feature's own)\n"
    "--max-links N      hnsw: links per node, 2 to 128 (16)\n"
    "--build-width N    hnsw: candidates kept while building (200)\n"
    "--search-width N   hnsw: candidates kept while searching (128)\n";

/*
 * What an index is made of unless --feature says: the embedding's projection, the embedding, the
 * hash.
 */
struct default_search {
    char name[64];
};

static int32_t match_projection(const imgsim_feature_info *feature, void *user_data)
{
    struct default_search *search = user_data;

    if (strcmp(feature->source, "embedding") != 0)
        return 0;
    snprintf(search->name, sizeof(search->name), "%s", feature->name);
    return 1;
}

static const char *default_feature(const imgsim_catalog *catalog, struct default_search *search)
{
    search->name[0] = '\0';
    imgsim_catalog_visit_features(catalog, match_projection, search);
    if (search->name[0] != '\0')
        return search->name;
    return cli_has_feature(catalog, "embedding", NULL) ? "embedding" : "hash";
}

static int read_kind(const struct cli *cli, const char *name, int32_t *out_kind)
{
    static const char *const kinds[] = {"exact", "hnsw", "auto"};
    imgsim_status status = imgsim_index_kind_from_name(name, out_kind);
    const char *near;

    if (status == IMGSIM_OK)
        return CLI_GO_ON;
    if (status == IMGSIM_ERROR_UNSUPPORTED)
        return cli_usage(cli, "--kind: %s", imgsim_last_error());
    near = cli_suggest(name, kinds, 3);
    if (near != NULL)
        return cli_usage(cli, "--kind: unknown '%s'; did you mean '%s'?", name, near);
    return cli_usage(cli, "--kind: unknown '%s'; it takes one of: exact, hnsw, auto", name);
}

static int report(const struct cli *cli, const imgsim_index *index, const char *feature)
{
    const char *kind = imgsim_index_kind_name(imgsim_index_get_kind(index));
    const char *metric = imgsim_metric_name(imgsim_index_get_metric(index));
    char number[32];

    if (cli->json)
        return cli_print_json(json_pack(
            "{s:s, s:s, s:s, s:s, s:I, s:I}", "schema", "imgsim.index/1", "feature", feature,
            "kind", kind != NULL ? kind : "", "metric", metric != NULL ? metric : "", "images",
            (json_int_t)imgsim_index_get_count(index), "dimension",
            (json_int_t)imgsim_index_get_dimension(index)));
    printf(
        "%s: %s index, %s, %s images of dimension %u\n", feature, kind != NULL ? kind : "unknown",
        metric != NULL ? metric : "unknown metric",
        cli_count_text(imgsim_index_get_count(index), number), imgsim_index_get_dimension(index));
    return CLI_DONE;
}

struct index_settings {
    const char *kind;
    const char *feature;                           /* NULL: default_feature() */
    const char *metric;                            /* NULL: the feature's */
    uint32_t max_links, build_width, search_width; /* 0: the library's */
};

static int run_index(
    struct cli *cli,
    const struct index_settings *settings,
    imgsim_index_options *options,
    imgsim_catalog *catalog)
{
    struct default_search search;
    imgsim_index *index = NULL;
    imgsim_status status;
    const char *feature =
        settings->feature != NULL ? settings->feature : default_feature(catalog, &search);
    int printed;

    options->threads = cli->threads;
    options->progress = cli_show_progress;
    options->progress_data = cli;
    if (settings->max_links > 0)
        options->max_links = settings->max_links;
    if (settings->build_width > 0)
        options->build_width = settings->build_width;
    if (settings->search_width > 0)
        options->search_width = settings->search_width;

    cli_catch_interrupts();
    status = imgsim_derive_index(catalog, feature, options, &index);
    cli_clear_progress();
    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_CATALOG);
    printed = report(cli, index, feature);
    imgsim_index_free(index);
    return printed;
}

int cmd_index(struct cli *cli, int argc, char **argv)
{
    struct index_settings settings = {.kind = "auto"};
    imgsim_index_options options;
    imgsim_catalog *catalog = NULL;
    const struct cli_option table[] = {
        {"kind", 0, CLI_TEXT, &settings.kind, 0, 0, NULL},
        {"feature", 0, CLI_TEXT, &settings.feature, 0, 0, NULL},
        {"metric", 0, CLI_TEXT, &settings.metric, 0, 0, NULL},
        {"max-links", 0, CLI_COUNT, &settings.max_links, 2, 128, NULL},
        {"build-width", 0, CLI_COUNT, &settings.build_width, 2, 100000, NULL},
        {"search-width", 0, CLI_COUNT, &settings.search_width, 1, 100000, NULL},
    };
    int status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));

    imgsim_index_options_init(&options, sizeof(options));
    options.metric = IMGSIM_METRIC_DEFAULT;
    if (status == CLI_GO_ON && cli->operand_count > 0)
        status = cli_usage(cli, "index takes no '%s'", cli->operands[0]);
    if (status == CLI_GO_ON)
        status = read_kind(cli, settings.kind, &options.kind);
    if (status == CLI_GO_ON && settings.metric != NULL)
        status = cli_read_metric(cli, settings.metric, &options.metric);
    if (status == CLI_GO_ON)
        status = cli_open_catalog(cli, NULL, CLI_WRITE, &catalog);
    if (status == CLI_GO_ON)
        status = run_index(cli, &settings, &options, catalog);
    imgsim_catalog_free(catalog);
    return status;
}
