/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim cluster: put images into clusters, which are kept as labels. */
#include "common.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char cli_help_cluster[] =
    "imgsim cluster --method kmeans -k 50        50 clusters of like images\n"
    "imgsim cluster --method hdbscan             as many as there are, and noise\n"
    "imgsim search a.jpg --label cluster:kmeans/12   search within one of them\n"
    "\n"
    "Each image gets a label cluster:NAME/N, numbered from 0 by falling size, or\n"
    "cluster:NAME/noise. Running it again replaces those of the same NAME.\n"
    "\n"
    "--method M       kmeans, dbscan, hdbscan or agglomerative (kmeans)\n"
    "--feature NAME   what to cluster by (projection of the embedding, or it)\n"
    "--name NAME      NAME in the labels (the method)\n"
    "--metric M       l2 or cosine (l2)\n"
    "-k N             kmeans, agglomerative: clusters (8)\n"
    "--runs N, --max-iterations N, --seed N    kmeans\n"
    "--eps X          dbscan: radius; suggested from the data if not given\n"
    "--min-samples N, --min-size N             dbscan, hdbscan\n"
    "--select eom|leaf, --epsilon X, --single  hdbscan\n"
    "--linkage ward|single|complete|average    agglomerative\n"
    "--height X       agglomerative: cut at this height instead of -k\n"
    "--micro N        agglomerative, ward: micro-clusters for many images (20000)\n"
    "--dry-run        tell, but store no labels\n"
    "--remove NAME    take the labels of a set of clusters away\n";

static const struct cli_choice metric_choices[] = {
    {"l2", IMGSIM_METRIC_L2},
    {"cosine", IMGSIM_METRIC_COSINE},
    {NULL, 0}};
static const struct cli_choice method_choices[] = {
    {"kmeans", IMGSIM_CLUSTER_KMEANS},
    {"dbscan", IMGSIM_CLUSTER_DBSCAN},
    {"hdbscan", IMGSIM_CLUSTER_HDBSCAN},
    {"agglomerative", IMGSIM_CLUSTER_AGGLOMERATIVE},
    {NULL, 0}};
static const struct cli_choice select_choices[] = {
    {"eom", IMGSIM_SELECT_EOM},
    {"leaf", IMGSIM_SELECT_LEAF},
    {NULL, 0}};
static const struct cli_choice linkage_choices[] = {
    {"ward", IMGSIM_LINKAGE_WARD},
    {"single", IMGSIM_LINKAGE_SINGLE},
    {"complete", IMGSIM_LINKAGE_COMPLETE},
    {"average", IMGSIM_LINKAGE_AVERAGE},
    {NULL, 0}};

/* ---- what is told ---- */

struct listing {
    const imgsim_catalog *catalog;
    json_t *json; /* NULL: a table */
    json_t *clusters;
    bool failed;
};

static int32_t take_path(const imgsim_file_info *file, void *user_data)
{
    *(char **)user_data = strdup(file->path);
    return 0;
}

static int list_in_json(struct listing *listing, const imgsim_cluster_info *info, const char *path)
{
    json_t *cluster = json_pack(
        "{s:I, s:s, s:I, s:o, s:f, s:I}", "number", (json_int_t)info->number, "label", info->label,
        "size", (json_int_t)info->size, "name", cli_json_text(info->name), "share", info->share,
        "medoid", (json_int_t)info->medoid);

    if (cluster == NULL || cli_json_path(cluster, "medoid_path", path) != 0 ||
        json_array_append_new(listing->clusters, cluster) != 0)
        return 1;
    return 0;
}

static int32_t list_cluster(const imgsim_cluster_info *info, void *user_data)
{
    struct listing *listing = user_data;
    char *path = NULL, *shown, *name;
    char number[32], named[300] = "";

    imgsim_catalog_get_file(listing->catalog, info->medoid, take_path, &path);
    if (listing->json != NULL) {
        listing->failed = list_in_json(listing, info, path != NULL ? path : "") != 0;
        free(path);
        return listing->failed;
    }
    shown = cli_show_path(path != NULL ? path : "");
    name = cli_escape(info->name);
    if (name != NULL && name[0] != '\0')
        snprintf(named, sizeof(named), "  %.255s (%.0f %%)", name, 100 * info->share);
    printf(
        "%-28s %10s  %s%s\n", info->label, cli_count_text(info->size, number),
        shown != NULL ? shown : "", named);
    free(name);
    free(shown);
    free(path);
    return 0;
}

static json_t *number_or_null(double value)
{
    return isnan(value) ? json_null() : json_real(value);
}

static int report_json(
    struct listing *listing,
    const imgsim_cluster_labels_options *options,
    const imgsim_clusters *clusters,
    const imgsim_cluster_report *report)
{
    json_t *json = listing->json;
    const char *method = imgsim_cluster_method_name(options->cluster->method);

    json_object_set_new(json, "schema", json_string("imgsim.cluster/1"));
    json_object_set_new(json, "method", json_string(method));
    json_object_set_new(
        json, "name", cli_json_text(options->name != NULL ? options->name : method));
    json_object_set_new(json, "images", json_integer((json_int_t)report->image_count));
    json_object_set_new(json, "noise", json_integer((json_int_t)report->noise_count));
    json_object_set_new(json, "stored", json_boolean(!options->dry_run));
    json_object_set_new(json, "labelled", json_integer((json_int_t)report->labelled_count));
    json_object_set_new(json, "ari", number_or_null(report->ari));
    json_object_set_new(json, "nmi", number_or_null(report->nmi));
    json_object_set_new(json, "silhouette", number_or_null(report->silhouette));
    if (options->cluster->method == IMGSIM_CLUSTER_KMEANS) {
        json_object_set_new(json, "inertia", json_real(imgsim_clusters_get_inertia(clusters)));
        json_object_set_new(
            json, "iterations", json_integer(imgsim_clusters_get_iterations(clusters)));
    }
    if (options->cluster->method == IMGSIM_CLUSTER_DBSCAN)
        json_object_set_new(json, "eps", json_real(imgsim_clusters_get_eps(clusters)));
    json_object_set(json, "clusters", listing->clusters);
    return cli_print_json(json_incref(json));
}

static void report_table(const imgsim_clusters *clusters, const imgsim_cluster_report *report)
{
    char images[32], count[32], noise[32];

    printf(
        "%s images in %s cluster%s, %s noise", cli_count_text(report->image_count, images),
        cli_count_text(report->cluster_count, count), report->cluster_count == 1 ? "" : "s",
        cli_count_text(report->noise_count, noise));
    if (imgsim_clusters_get_eps(clusters) > 0)
        printf("; eps %.6g", imgsim_clusters_get_eps(clusters));
    if (!isnan(report->silhouette))
        printf("; silhouette %.3f", report->silhouette);
    if (!isnan(report->ari))
        printf("; against labels or folders: ARI %.3f, NMI %.3f", report->ari, report->nmi);
    putchar('\n');
}

/* ---- the command ---- */

static int
run_cluster(struct cli *cli, imgsim_cluster_labels_options *options, imgsim_catalog *catalog)
{
    struct listing listing = {.catalog = catalog};
    imgsim_cluster_report report = {.struct_size = sizeof(report)};
    imgsim_clusters *clusters = NULL;
    imgsim_status status;
    int printed = CLI_DONE;

    if (cli->json) {
        listing.json = json_object();
        listing.clusters = json_array();
        if (listing.json == NULL || listing.clusters == NULL)
            return cli_no_memory();
    }
    options->callback = list_cluster;
    options->user_data = &listing;
    cli_catch_interrupts();
    status = imgsim_derive_clusters(catalog, options, &report, &clusters);
    cli_clear_progress();
    if (listing.failed)
        printed = cli_no_memory();
    else if (status != IMGSIM_OK)
        printed = cli_failed(status, CLI_ABOUT_CATALOG);
    else if (cli->json)
        printed = report_json(&listing, options, clusters, &report);
    else
        report_table(clusters, &report);
    json_decref(listing.json);
    json_decref(listing.clusters);
    imgsim_clusters_free(clusters);
    return printed;
}

static int remove_clusters(const struct cli *cli, imgsim_catalog *catalog, const char *name)
{
    char prefix[300];
    imgsim_status status;

    if (snprintf(prefix, sizeof(prefix), "cluster:%s/", name) >= 255 || name[0] == '\0')
        return cli_usage(cli, "--remove takes the name of a set of clusters");
    status = imgsim_catalog_replace_labels(catalog, prefix, NULL, NULL, 0);
    return status == IMGSIM_OK ? CLI_DONE : cli_failed(status, CLI_ABOUT_CATALOG);
}

int cmd_cluster(struct cli *cli, int argc, char **argv)
{
    imgsim_cluster_options settings;
    imgsim_cluster_labels_options options;
    imgsim_catalog *catalog = NULL;
    const char *remove = NULL;
    uint64_t seed = 1;
    double height = -1;
    const struct cli_option table[] = {
        {"method", 0, CLI_CHOICE, &settings.method, 0, 0, method_choices},
        {"feature", 0, CLI_TEXT, &options.feature, 0, 0, NULL},
        {"name", 0, CLI_TEXT, &options.name, 0, 0, NULL},
        {"metric", 0, CLI_CHOICE, &settings.metric, 0, 0, metric_choices},
        {"clusters", 'k', CLI_COUNT, &settings.k, 1, UINT32_MAX, NULL},
        {"runs", 0, CLI_COUNT, &settings.runs, 1, 1000, NULL},
        {"max-iterations", 0, CLI_COUNT, &settings.max_iterations, 1, UINT32_MAX, NULL},
        {"seed", 0, CLI_SIZE, &seed, 0, 9e15, NULL},
        {"eps", 0, CLI_REAL, &settings.eps, 0, 1e30, NULL},
        {"min-samples", 0, CLI_COUNT, &settings.min_samples, 1, 10000, NULL},
        {"min-size", 0, CLI_COUNT, &settings.min_cluster_size, 2, UINT32_MAX, NULL},
        {"select", 0, CLI_CHOICE, &settings.selection, 0, 0, select_choices},
        {"epsilon", 0, CLI_REAL, &settings.selection_epsilon, 0, 1e30, NULL},
        {"single", 0, CLI_FLAG, &settings.allow_single, 0, 0, NULL},
        {"linkage", 0, CLI_CHOICE, &settings.linkage, 0, 0, linkage_choices},
        {"height", 0, CLI_REAL, &height, 0, 1e30, NULL},
        {"micro", 0, CLI_COUNT, &settings.micro_clusters, 2, 65536, NULL},
        {"dry-run", 0, CLI_FLAG, &options.dry_run, 0, 0, NULL},
        {"remove", 0, CLI_TEXT, &remove, 0, 0, NULL},
    };
    int status;

    imgsim_cluster_options_init(&settings, sizeof(settings));
    imgsim_cluster_labels_options_init(&options, sizeof(options));
    status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));
    settings.seed = seed;
    settings.threads = cli->threads;
    settings.progress = cli_show_progress;
    settings.user_data = cli;
    options.cluster = &settings;
    if (height >= 0) {
        settings.cut_height = height;
        settings.k = 0;
    }
    if (status == CLI_GO_ON && cli->operand_count > 0)
        status = cli_usage(cli, "cluster takes no '%s'", cli->operands[0]);
    if (status == CLI_GO_ON && height >= 0 && settings.method != IMGSIM_CLUSTER_AGGLOMERATIVE)
        status = cli_usage(cli, "--height goes with --method agglomerative");
    if (status == CLI_GO_ON)
        status = cli_open_catalog(cli, NULL, CLI_WRITE, &catalog);
    if (status == CLI_GO_ON)
        status = remove != NULL ? remove_clusters(cli, catalog, remove)
                                : run_cluster(cli, &options, catalog);
    imgsim_catalog_free(catalog);
    return status;
}
