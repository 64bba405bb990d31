/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim search: one to five images -> the most similar ones of the catalog. */
#include "common.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char cli_help_search[] =
    "imgsim search cat.jpg                    the five that look most like it\n"
    "imgsim search a.jpg b.jpg --weight 2,1   like both, more like the first\n"
    "imgsim search a.jpg --not night.jpg      like one and not like the other\n"
    "imgsim search - < a.jpg                  from standard input; ids do, too\n"
    "imgsim search a.jpg --sheet hits.jpg     drawn as a contact sheet\n"
    "\n"
    "-k N             hits (5)\n"
    "--by NAMES       embedding, or embedding=0.7,color=0.2,hash=0.1, or fused, blend\n"
    "--metric NAMES   color=chi-square,hash=jaccard; without --by: by these features\n"
    "--fuse HOW       sum (of similarities) or rrf (reciprocal ranks), over features\n"
    "--images HOW     mean, rrf or best: several images to one question\n"
    "--weight W,...   one per image, those of --not last (1, for --not 0.5)\n"
    "--not IMAGE      hits should not look like this one\n"
    "--exact          compare with every image, whatever indexes there are\n"
    "--cascade[=M]    the M (200) best by projection, then exactly\n"
    "--double         candidates from several indexes, then exactly\n"
    "--min-score S    hits with at least this score, 0 to 1\n"
    "--label L        only images with this label; --under DIR  in this folder\n"
    "--include-self   the query images themselves may be hits\n"
    "--sheet FILE     write a sheet (.jpg, .png, .webp); --html FILE  write a page\n"
    "--model FILE     the network, if its file is not where it was; --trust-model\n"
    "-v, --json       each hit with the parts of its score\n"
    "Exit status 1 when nothing is found.\n";

struct search_settings {
    uint32_t k;
    const char *by, *metric, *weights;
    int32_t fuse, images;
    int32_t exact, merged;
    uint32_t cascade;
    double min_score;
    struct cli_list negatives, labels, folders;
    int32_t include_self, trust;
    const char *sheet, *html;
    /* One entry per image: the operands, then those of --not. */
    const char *names[IMGSIM_QUERY_IMAGES_MAX];
    double weight[IMGSIM_QUERY_IMAGES_MAX];
    size_t count;
};

static int read_options(struct cli *cli, int argc, char **argv, struct search_settings *settings)
{
    static const struct cli_choice fusions[] = {
        {"sum", IMGSIM_FUSE_SUM}, {"rrf", IMGSIM_FUSE_RRF}, {NULL, 0}};
    static const struct cli_choice image_modes[] = {
        {"mean", IMGSIM_IMAGES_MEAN},
        {"rrf", IMGSIM_IMAGES_RRF},
        {"best", IMGSIM_IMAGES_BEST},
        {NULL, 0}};
    const struct cli_option options[] = {
        {"top", 'k', CLI_COUNT, &settings->k, 1, IMGSIM_K_MAX, NULL},
        {"by", 0, CLI_TEXT, &settings->by, 0, 0, NULL},
        {"metric", 0, CLI_TEXT, &settings->metric, 0, 0, NULL},
        {"fuse", 0, CLI_CHOICE, &settings->fuse, 0, 0, fusions},
        {"images", 0, CLI_CHOICE, &settings->images, 0, 0, image_modes},
        {"weight", 0, CLI_TEXT, &settings->weights, 0, 0, NULL},
        {"not", 0, CLI_LIST, &settings->negatives, 0, 0, NULL},
        {"exact", 0, CLI_FLAG, &settings->exact, 0, 0, NULL},
        {"cascade", 0, CLI_COUNT_OPTIONAL, &settings->cascade, 1, 10000000, NULL},
        {"double", 0, CLI_FLAG, &settings->merged, 0, 0, NULL},
        {"min-score", 0, CLI_REAL, &settings->min_score, 0, 1, NULL},
        {"label", 0, CLI_LIST, &settings->labels, 0, 0, NULL},
        {"under", 0, CLI_LIST, &settings->folders, 0, 0, NULL},
        {"include-self", 0, CLI_FLAG, &settings->include_self, 0, 0, NULL},
        {"trust-model", 0, CLI_FLAG, &settings->trust, 0, 0, NULL},
        {"sheet", 0, CLI_TEXT, &settings->sheet, 0, 0, NULL},
        {"html", 0, CLI_TEXT, &settings->html, 0, 0, NULL},
    };

    return cli_parse(cli, argc, argv, options, sizeof(options) / sizeof(options[0]));
}

/* ---- the images to look for ---- */

static int wrong_weights(const struct cli *cli, const struct search_settings *settings)
{
    return cli_usage(
        cli, "--weight: '%s' should be a number above 0 for each image; there %s %zu",
        settings->weights, settings->count == 1 ? "is" : "are", settings->count);
}

/* --weight 2,1,0.5: one positive number per image. */
static int read_weights(const struct cli *cli, struct search_settings *settings)
{
    const char *text = settings->weights;

    for (size_t i = 0; i < settings->count; i++) {
        char number[64];
        const size_t length = strcspn(text, ",");
        double value;

        snprintf(number, sizeof(number), "%.*s", length < 63 ? (int)length : 63, text);
        if (!cli_read_real(number, 1e-6, 1e6, &value))
            return wrong_weights(cli, settings);
        settings->weight[i] = copysign(value, settings->weight[i]);
        text += length;
        if ((*text == ',') != (i + 1 < settings->count))
            return wrong_weights(cli, settings);
        text += *text == ',';
    }
    return CLI_GO_ON;
}

static int gather_images(const struct cli *cli, struct search_settings *settings)
{
    size_t inputs = 0;

    if (cli->operand_count == 0)
        return cli_usage(cli, "search needs an image: a file, '-' for standard input, or an id");
    if (cli->operand_count + settings->negatives.count > IMGSIM_QUERY_IMAGES_MAX)
        return cli_usage(
            cli, "%zu images given, at most %d can be searched for together",
            cli->operand_count + settings->negatives.count, IMGSIM_QUERY_IMAGES_MAX);

    for (size_t i = 0; i < cli->operand_count; i++) {
        settings->names[settings->count] = cli->operands[i];
        settings->weight[settings->count++] = 1;
    }
    for (size_t i = 0; i < settings->negatives.count; i++) {
        settings->names[settings->count] = settings->negatives.items[i];
        settings->weight[settings->count++] = -0.5;
    }
    for (size_t i = 0; i < settings->count; i++)
        inputs += strcmp(settings->names[i], "-") == 0;
    if (inputs > 1)
        return cli_usage(cli, "'-' can be given once: there is one standard input");
    return settings->weights != NULL ? read_weights(cli, settings) : CLI_GO_ON;
}

/* All of standard input; release *out_data with free(). */
static int read_input(unsigned char **out_data, size_t *out_size)
{
    const size_t most = (size_t)1 << 30;
    unsigned char *data = NULL;
    size_t size = 0, room = 0;

    do {
        if (size == room) {
            unsigned char *larger = realloc(data, room = room == 0 ? 1 << 16 : 2 * room);

            if (larger == NULL) {
                free(data);
                return cli_no_memory();
            }
            data = larger;
        }
        size += fread(data + size, 1, room - size, stdin);
    } while (!feof(stdin) && !ferror(stdin) && size <= most);

    if (ferror(stdin) || size > most) {
        cli_message("standard input: %s", size > most ? "longer than 1 GiB" : strerror(errno));
        free(data);
        return size > most ? CLI_USAGE : CLI_IO;
    }
    *out_data = data;
    *out_size = size;
    return CLI_GO_ON;
}

static int add_input(imgsim_query *query, double weight)
{
    unsigned char *data = NULL;
    size_t size = 0;
    imgsim_status status;
    int read = read_input(&data, &size);

    if (read != CLI_GO_ON)
        return read;
    if (size == 0) {
        cli_message("standard input is empty; it should be an image's bytes");
        free(data);
        return CLI_USAGE;
    }
    status = imgsim_query_add_memory(query, data, size, weight);
    free(data);
    if (status != IMGSIM_OK)
        return cli_failed_at(status, CLI_ABOUT_INPUT, "standard input");
    return CLI_GO_ON;
}

/* A file of that name comes first, then the catalog's path, UUID or id. */
static int
add_image(imgsim_query *query, const imgsim_catalog *catalog, const char *name, double weight)
{
    struct stat about;
    imgsim_status status;
    int64_t id = -1;

    if (strcmp(name, "-") == 0)
        return add_input(query, weight);

    if (stat(name, &about) == 0) {
        status = imgsim_query_add_file(query, name, weight);
    } else if (imgsim_catalog_find(catalog, name, &id) == IMGSIM_OK || cli_is_id(name, &id)) {
        status = imgsim_query_add_id(query, id, weight);
    } else if (cli_is_uuid(name)) {
        cli_message("no image with UUID %s in the catalog", name);
        return CLI_USAGE;
    } else {
        cli_message("%s: no such file, nor an image of the catalog", name);
        return CLI_IO;
    }
    if (status == IMGSIM_OK)
        return CLI_GO_ON;
    return id >= 0 ? cli_failed(status, CLI_ABOUT_CATALOG)
                   : cli_failed_at(status, CLI_ABOUT_INPUT, name);
}

/* ---- the question ---- */

/* --metric without --by: the features it names. */
static void names_of_metrics(const char *metrics, char *by, size_t by_size)
{
    size_t used = 0;

    by[0] = '\0';
    while (*metrics != '\0' && used + 1 < by_size) {
        const size_t entry = strcspn(metrics, ",");
        const size_t name = strcspn(metrics, "=,");
        const int written =
            snprintf(by + used, by_size - used, "%s%.*s", used > 0 ? "," : "", (int)name, metrics);

        used += (size_t)written;
        metrics += entry;
        metrics += *metrics == ',';
    }
}

static int add_channels(imgsim_query *query, const struct search_settings *settings)
{
    char by[1024];
    imgsim_status status;

    if (settings->by == NULL && settings->metric == NULL)
        return CLI_GO_ON;
    if (settings->by != NULL)
        snprintf(by, sizeof(by), "%s", settings->by);
    else
        names_of_metrics(settings->metric, by, sizeof(by));
    status = imgsim_query_add_channels(query, by, settings->metric);
    return status == IMGSIM_OK ? CLI_GO_ON : cli_failed(status, CLI_ABOUT_CATALOG);
}

static int add_filters(imgsim_query *query, const struct search_settings *settings)
{
    imgsim_status status = IMGSIM_OK;

    for (size_t i = 0; i < settings->labels.count && status == IMGSIM_OK; i++)
        status = imgsim_query_filter_label(query, settings->labels.items[i]);
    for (size_t i = 0; i < settings->folders.count && status == IMGSIM_OK; i++)
        status = imgsim_query_filter_directory(query, settings->folders.items[i]);
    return status == IMGSIM_OK ? CLI_GO_ON : cli_failed(status, CLI_ABOUT_CATALOG);
}

static int make_query(
    const struct cli *cli,
    const struct search_settings *settings,
    const imgsim_catalog *catalog,
    imgsim_query **out_query)
{
    imgsim_query_options options;
    imgsim_status status;

    imgsim_query_options_init(&options, sizeof(options));
    options.k = settings->k;
    options.images = settings->images;
    options.fusion = settings->fuse;
    options.min_score = settings->min_score;
    options.exclude_queries = !settings->include_self;
    options.threads = cli->threads;
    if (settings->exact)
        options.search = IMGSIM_SEARCH_EXACT;
    else if (settings->merged)
        options.search = IMGSIM_SEARCH_DOUBLE;
    else if (settings->cascade > 0)
        options.search = IMGSIM_SEARCH_CASCADE;
    if (settings->cascade > 0 && settings->cascade != UINT32_MAX)
        options.candidates = settings->cascade;

    status = imgsim_query_new(catalog, &options, out_query);
    return status == IMGSIM_OK ? CLI_GO_ON : cli_failed(status, CLI_ABOUT_CATALOG);
}

/*
 * Give the query a network, run as the catalog's embedding was: --model, $IMGSIM_MODEL, or the
 * trusted one.
 */
static int set_model(
    const struct cli *cli,
    const struct search_settings *settings,
    const imgsim_catalog *catalog,
    imgsim_query *query)
{
    const char *path = cli_model_path(cli);
    struct cli_remembered remembered;
    imgsim_extractor *extractor = NULL;
    imgsim_status status;
    int opened;

    if (!cli_remembered_model(catalog, &remembered)) {
        cli_message("the catalog has no embedding; 'imgsim scan --model FILE PATH' makes it");
        return CLI_USAGE;
    }
    remembered.options.trust = settings->trust;
    opened =
        cli_open_model(cli, path != NULL ? path : remembered.path, &remembered.options, &extractor);
    if (opened != CLI_GO_ON)
        return opened;
    status = imgsim_query_set_extractor(query, "embedding", extractor);
    imgsim_extractor_free(extractor);
    return status == IMGSIM_OK ? CLI_GO_ON : cli_failed(status, CLI_ABOUT_MODEL);
}

static int run_query(
    const struct cli *cli,
    const struct search_settings *settings,
    const imgsim_catalog *catalog,
    imgsim_query *query,
    imgsim_result **out_result)
{
    imgsim_status status;
    int ready;

    if ((cli->model != NULL || settings->trust) &&
        (ready = set_model(cli, settings, catalog, query)) != CLI_GO_ON)
        return ready;
    status = imgsim_query_search(query, out_result);

    /*
     * Loading a network takes its time: the one of the environment is loaded only if it is needed.
     */
    if (status == IMGSIM_ERROR_NOT_READY && cli->model == NULL && cli_model_path(cli) != NULL &&
        cli_has_feature(catalog, "embedding", NULL)) {
        if ((ready = set_model(cli, settings, catalog, query)) != CLI_GO_ON)
            return ready;
        status = imgsim_query_search(query, out_result);
    }
    return status == IMGSIM_OK ? CLI_GO_ON : cli_failed(status, CLI_ABOUT_CATALOG);
}

/* ---- the answer ---- */

static void print_parts(const imgsim_result *result, size_t position)
{
    for (size_t i = 0; i < imgsim_result_get_part_count(result); i++) {
        imgsim_part part = {.struct_size = sizeof(part)};
        const char *metric;

        if (imgsim_result_get_part(result, position, i, &part) != IMGSIM_OK)
            continue;
        metric = imgsim_metric_name(part.metric);
        printf(
            "        %s: %s %.6g, similarity %.4f, weight %.2f", part.feature,
            metric != NULL ? metric : "value", part.value, part.similarity, part.weight);
        if (part.rank > 0)
            printf(", rank %u", part.rank);
        putchar('\n');
    }
}

static int print_table(const struct cli *cli, const imgsim_result *result)
{
    const size_t count = imgsim_result_get_count(result);

    if (count > 0)
        printf("rank   score       size  path\n");
    for (size_t i = 0; i < count; i++) {
        imgsim_hit hit = {.struct_size = sizeof(hit)};
        imgsim_status status = imgsim_result_get_hit(result, i, &hit);
        char size[32];
        char *path;

        if (status != IMGSIM_OK)
            return cli_failed(status, CLI_ABOUT_CATALOG);
        path = cli_show_path(hit.path);
        if (path == NULL)
            return cli_no_memory();
        snprintf(size, sizeof(size), "%ux%u", hit.width, hit.height);
        printf("%4zu  %.4f  %9s  %s\n", i + 1, hit.score, size, path);
        free(path);
        if (cli->verbose)
            print_parts(result, i);
    }
    return CLI_DONE;
}

static json_t *parts_json(const imgsim_result *result, size_t position)
{
    json_t *parts = json_object();

    for (size_t i = 0; i < imgsim_result_get_part_count(result); i++) {
        imgsim_part part = {.struct_size = sizeof(part)};
        const char *metric;
        json_t *entry;

        if (imgsim_result_get_part(result, position, i, &part) != IMGSIM_OK)
            continue;
        metric = imgsim_metric_name(part.metric);
        entry = json_pack(
            "{s:s?, s:f, s:f, s:f}", "metric", metric, "value",
            isfinite(part.value) ? part.value : 0.0, "similarity", part.similarity, "weight",
            part.weight);
        if (entry != NULL && part.rank > 0)
            json_object_set_new(entry, "rank", json_integer(part.rank));
        json_object_set_new(parts, part.feature, entry);
    }
    return parts;
}

static json_t *hit_json(const imgsim_result *result, size_t position)
{
    imgsim_hit hit = {.struct_size = sizeof(hit)};
    json_t *entry;

    if (imgsim_result_get_hit(result, position, &hit) != IMGSIM_OK)
        return NULL;
    entry = json_pack(
        "{s:I, s:s, s:I}", "rank", (json_int_t)position + 1, "id", hit.uuid, "image",
        (json_int_t)hit.id);
    if (entry == NULL || cli_json_path(entry, "path", hit.path) != 0 ||
        json_object_set_new(entry, "score", json_real(hit.score)) != 0 ||
        json_object_set_new(entry, "width", json_integer(hit.width)) != 0 ||
        json_object_set_new(entry, "height", json_integer(hit.height)) != 0 ||
        json_object_set_new(entry, "parts", parts_json(result, position)) != 0) {
        json_decref(entry);
        return NULL;
    }
    return entry;
}

static int print_search(const struct search_settings *settings, const imgsim_result *result)
{
    json_t *queries = json_array(), *hits = json_array();
    json_t *root;

    for (size_t i = 0; i < settings->count; i++)
        json_array_append_new(queries, cli_json_text(settings->names[i]));
    for (size_t i = 0; i < imgsim_result_get_count(result); i++)
        json_array_append_new(hits, hit_json(result, i));
    root = json_pack(
        "{s:s, s:o, s:I, s:b, s:I, s:f, s:I, s:o}", "schema", "imgsim.search/1", "queries", queries,
        "k", (json_int_t)settings->k, "exact", (int)imgsim_result_get_exact(result), "images",
        (json_int_t)imgsim_result_get_image_count(result), "elapsed_ms",
        imgsim_result_get_elapsed_ms(result), "failovers",
        (json_int_t)imgsim_result_get_failovers(result), "hits", hits);
    return cli_print_json(root);
}

static int write_files(
    const struct cli *cli,
    const struct search_settings *settings,
    const imgsim_query *query,
    const imgsim_result *result)
{
    imgsim_status status = IMGSIM_OK;

    if (settings->sheet != NULL)
        status = imgsim_result_write_sheet(result, query, settings->sheet);
    if (status == IMGSIM_OK && settings->html != NULL)
        status = imgsim_result_write_html(result, query, settings->html);
    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_OUTPUT);
    if (settings->sheet != NULL)
        cli_note(cli, "contact sheet: %s", settings->sheet);
    if (settings->html != NULL)
        cli_note(cli, "page: %s", settings->html);
    return CLI_DONE;
}

static int answer(
    const struct cli *cli,
    const struct search_settings *settings,
    const imgsim_query *query,
    const imgsim_result *result)
{
    int status = cli->json ? print_search(settings, result) : print_table(cli, result);

    if (status == CLI_DONE)
        status = write_files(cli, settings, query, result);
    if (status != CLI_DONE)
        return status;
    if (imgsim_result_get_count(result) == 0) {
        cli_note(
            cli, "nothing found among %llu images%s",
            (unsigned long long)imgsim_result_get_image_count(result),
            settings->min_score > 0 ? "; a lower --min-score finds more" : "");
        return CLI_NOTHING;
    }
    if (cli->verbose)
        cli_note(
            cli, "%llu images, %s, %.1f ms",
            (unsigned long long)imgsim_result_get_image_count(result),
            imgsim_result_get_exact(result) ? "compared exactly" : "searched by index",
            imgsim_result_get_elapsed_ms(result));
    return CLI_DONE;
}

int cmd_search(struct cli *cli, int argc, char **argv)
{
    struct search_settings settings = {.k = 5};
    imgsim_catalog *catalog = NULL;
    imgsim_query *query = NULL;
    imgsim_result *result = NULL;
    int status = read_options(cli, argc, argv, &settings);

    if (status == CLI_GO_ON)
        status = gather_images(cli, &settings);
    if (status == CLI_GO_ON && settings.exact + settings.merged + (settings.cascade > 0) > 1)
        status = cli_usage(cli, "--exact, --cascade and --double exclude one another");
    if (status == CLI_GO_ON)
        status = cli_open_catalog(cli, settings.names[0], CLI_READ, &catalog);
    if (status == CLI_GO_ON)
        status = make_query(cli, &settings, catalog, &query);
    if (status == CLI_GO_ON)
        status = add_channels(query, &settings);
    if (status == CLI_GO_ON)
        status = add_filters(query, &settings);
    for (size_t i = 0; i < settings.count && status == CLI_GO_ON; i++)
        status = add_image(query, catalog, settings.names[i], settings.weight[i]);
    if (status == CLI_GO_ON)
        status = run_query(cli, &settings, catalog, query, &result);
    if (status == CLI_GO_ON)
        status = answer(cli, &settings, query, result);

    imgsim_result_free(result);
    imgsim_query_free(query);
    imgsim_catalog_free(catalog);
    return status;
}
