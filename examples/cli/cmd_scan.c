/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim scan: folders -> catalog. */
#include "common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char cli_help_scan[] =
    "imgsim scan photos                              the catalog is photos/.imgsim\n"
    "imgsim scan photos --model mobilenet_v2.safetensors     embeddings, too: best\n"
    "imgsim scan photos                              again: only what is new\n"
    "\n"
    "Reads every picture below the folders once and stores all features. Stopped with\n"
    "Ctrl-C it goes on where it was when run again.\n"
    "\n"
    "Network:   --model FILE  --architecture NAME  --sha256 HEX  --bf16  --batch N\n"
    "           --preprocess torchvision|squeeze  --input-size N\n"
    "           --classes        keep what it says is in the picture, too\n"
    "           --trust-model    a TorchScript file is a program: run it\n"
    "Colour:    --bins N or NxNxN (16)  --color-space rgb|hsv|lab  --no-color\n"
    "Hash:      --hash phash|dhash|ahash  --hash-bits 64|256  --no-hash\n"
    "Decoding:  --min-side N     JPEGs may be reduced to this shorter side (256)\n"
    "           --full           they may not\n"
    "           --max-pixels N   refuse larger pictures\n"
    "Workers:   --isolation workers|auto|none  --file-timeout S  --worker-memory MB\n"
    "Pictures:  --thumb-side N   longer side of the thumbnails (128)   --no-thumbs\n"
    "Files:     --include '*.jpg'  --exclude 'cache/'  --min-bytes N\n"
    "           --one-file-system  --hidden  --follow-links (to folders)  --recheck\n"
    "Features:  --replace        drop a feature set made with other settings\n"
    "Scripts:   --strict         exit status 6 if some files failed\n"
    "           --json           a report on standard output\n"
    "           --progress       progress lines without a terminal, too; =json\n";

struct scan_settings {
    struct cli_model_options model;
    const char *bins;
    int32_t color_space, no_color;
    int32_t hash, no_hash;
    uint32_t hash_bits;
    uint32_t min_side;
    uint32_t thumb_side; /* 0: not given */
    uint64_t max_pixels;
    uint64_t min_bytes;
    struct cli_list include, exclude;
    int32_t full, hidden, follow_links, one_file_system, recheck, replace, strict, no_thumbs;
    int32_t isolation;
    double file_timeout;
    uint32_t worker_memory;
};

/* The extractors of one scan. */
struct scan_set {
    imgsim_extractor *items[4];
    size_t count;
};

static void set_free(struct scan_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        imgsim_extractor_free(set->items[i]);
    set->count = 0;
}

static int read_settings(struct cli *cli, int argc, char **argv, struct scan_settings *settings)
{
    static const struct cli_choice spaces[] = {
        {"rgb", IMGSIM_COLOR_RGB}, {"hsv", IMGSIM_COLOR_HSV}, {"lab", IMGSIM_COLOR_LAB}, {NULL, 0}};
    static const struct cli_choice hashes[] = {
        {"phash", IMGSIM_HASH_PHASH},
        {"dhash", IMGSIM_HASH_DHASH},
        {"ahash", IMGSIM_HASH_AHASH},
        {NULL, 0}};
    static const struct cli_choice isolations[] = {
        {"workers", IMGSIM_ISOLATION_WORKERS},
        {"auto", IMGSIM_ISOLATION_AUTO},
        {"none", IMGSIM_ISOLATION_NONE},
        {NULL, 0}};
    struct cli_model_options *model = &settings->model;
    const struct cli_option options[] = {
        {"architecture", 0, CLI_TEXT, &model->architecture, 0, 0, NULL},
        {"sha256", 0, CLI_TEXT, &model->sha256, 0, 0, NULL},
        {"bf16", 0, CLI_FLAG, &model->bf16, 0, 0, NULL},
        {"preprocess", 0, CLI_CHOICE, &model->preprocess, 0, 0, cli_preprocess_choices},
        {"input-size", 0, CLI_COUNT, &model->input_size, 32, 1024, NULL},
        {"batch", 0, CLI_COUNT, &model->batch, 1, 256, NULL},
        {"classes", 0, CLI_FLAG, &model->classes, 0, 0, NULL},
        {"trust-model", 0, CLI_FLAG, &model->trust, 0, 0, NULL},
        {"bins", 0, CLI_TEXT, &settings->bins, 0, 0, NULL},
        {"color-space", 0, CLI_CHOICE, &settings->color_space, 0, 0, spaces},
        {"no-color", 0, CLI_FLAG, &settings->no_color, 0, 0, NULL},
        {"hash", 0, CLI_CHOICE, &settings->hash, 0, 0, hashes},
        {"hash-bits", 0, CLI_COUNT, &settings->hash_bits, 64, 256, NULL},
        {"no-hash", 0, CLI_FLAG, &settings->no_hash, 0, 0, NULL},
        {"min-side", 0, CLI_COUNT, &settings->min_side, 0, 1 << 20, NULL},
        {"full", 0, CLI_FLAG, &settings->full, 0, 0, NULL},
        {"thumb-side", 0, CLI_COUNT, &settings->thumb_side, 16, 512, NULL},
        {"no-thumbs", 0, CLI_FLAG, &settings->no_thumbs, 0, 0, NULL},
        {"max-pixels", 0, CLI_SIZE, &settings->max_pixels, 1, 1e15, NULL},
        {"isolation", 0, CLI_CHOICE, &settings->isolation, 0, 0, isolations},
        {"file-timeout", 0, CLI_REAL, &settings->file_timeout, 0.1, 86400, NULL},
        {"worker-memory", 0, CLI_COUNT, &settings->worker_memory, 64, 1 << 24, NULL},
        {"hidden", 0, CLI_FLAG, &settings->hidden, 0, 0, NULL},
        {"follow-links", 0, CLI_FLAG, &settings->follow_links, 0, 0, NULL},
        {"include", 0, CLI_LIST, &settings->include, 0, 0, NULL},
        {"exclude", 0, CLI_LIST, &settings->exclude, 0, 0, NULL},
        {"min-bytes", 0, CLI_SIZE, &settings->min_bytes, 0, 1e15, NULL},
        {"one-file-system", 0, CLI_FLAG, &settings->one_file_system, 0, 0, NULL},
        {"recheck", 0, CLI_FLAG, &settings->recheck, 0, 0, NULL},
        {"replace", 0, CLI_FLAG, &settings->replace, 0, 0, NULL},
        {"strict", 0, CLI_FLAG, &settings->strict, 0, 0, NULL},
    };

    return cli_parse(cli, argc, argv, options, sizeof(options) / sizeof(options[0]));
}

/* "8" or "8x8x4" */
static bool read_bins(const char *text, uint32_t *bins)
{
    unsigned values[3];
    char rest;

    if (sscanf(text, "%2ux%2ux%2u%c", &values[0], &values[1], &values[2], &rest) != 3) {
        if (sscanf(text, "%2u%c", &values[0], &rest) != 1)
            return false;
        values[1] = values[2] = values[0];
    }
    for (size_t i = 0; i < 3; i++) {
        if (values[i] < 2 || values[i] > 32)
            return false;
        bins[i] = values[i];
    }
    return true;
}

/* A pattern that cannot be read is wrong usage. */
static int check_patterns(const struct cli *cli, const struct cli_list *patterns)
{
    for (size_t i = 0; i < patterns->count; i++) {
        int32_t matches;

        if (imgsim_scan_match(patterns->items[i], "x", 0, &matches) != IMGSIM_OK)
            return cli_usage(cli, "%s", imgsim_last_error());
    }
    return CLI_GO_ON;
}

static int check_paths(const struct cli *cli, const struct scan_settings *settings)
{
    if (settings->no_thumbs && settings->thumb_side > 0)
        return cli_usage(cli, "--thumb-side and --no-thumbs contradict each other");
    if (cli->operand_count == 0)
        return cli_usage(cli, "scan needs a folder or a file");
    for (size_t i = 0; i < cli->operand_count; i++) {
        struct stat about;

        if (stat(cli->operands[i], &about) != 0) {
            cli_message("%s: %s", cli->operands[i], strerror(errno));
            return CLI_IO;
        }
    }
    return CLI_GO_ON;
}

static int
make_color(const struct cli *cli, const struct scan_settings *settings, struct scan_set *set)
{
    imgsim_color_options options;
    imgsim_status status;

    imgsim_color_options_init(&options, sizeof(options));
    options.space = settings->color_space;
    if (settings->bins != NULL && !read_bins(settings->bins, options.bins))
        return cli_usage(
            cli, "--bins: '%s' is no number from 2 to 32, nor three as in 8x8x4", settings->bins);
    status = imgsim_extractor_new_color(&options, &set->items[set->count]);
    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_INPUT);
    set->count++;
    return CLI_GO_ON;
}

static int make_hash(const struct scan_settings *settings, struct scan_set *set)
{
    imgsim_hash_options options;
    imgsim_status status;

    imgsim_hash_options_init(&options, sizeof(options));
    options.kind = settings->hash;
    options.bits = settings->hash_bits;
    status = imgsim_extractor_new_hash(&options, &set->items[set->count]);
    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_INPUT);
    set->count++;
    return CLI_GO_ON;
}

/* What the catalog has already: its network, and whether it holds the network's classes. */
struct present {
    struct cli_remembered model;
    bool has_model;
    bool has_classes;
};

/* Nothing where there is no catalog yet; faults are told when it is opened for writing. */
static void look_at_catalog(const char *folder, struct present *out)
{
    struct cli_feature feature;
    imgsim_catalog *catalog = NULL;

    memset(out, 0, sizeof(*out));
    if (imgsim_catalog_open(folder, NULL, &catalog) != IMGSIM_OK)
        return;
    out->has_model = cli_remembered_model(catalog, &out->model);
    out->has_classes = cli_has_feature(catalog, "classes", &feature);
    imgsim_catalog_free(catalog);
}

/* The network's embedding and, where they are wanted, its classes. */
static int make_network(
    const struct cli *cli,
    const char *path,
    const struct cli_model_options *options,
    struct scan_set *set)
{
    imgsim_extractor *network = NULL;
    imgsim_status made;
    int status = cli_open_model(cli, path, options, &network);

    if (status != CLI_GO_ON)
        return status;
    set->items[set->count++] = network;
    if (!options->classes)
        return CLI_GO_ON;
    made = imgsim_extractor_new_classes(network, &set->items[set->count]);
    if (made != IMGSIM_OK)
        return cli_failed(made, CLI_ABOUT_MODEL);
    set->count++;
    return CLI_GO_ON;
}

/* The network that made the catalog's embedding, if its file is still there. */
static int make_remembered(
    const struct cli *cli,
    const struct scan_settings *settings,
    struct present *present,
    struct scan_set *set)
{
    struct cli_remembered *remembered = &present->model;

    if (!present->has_model)
        return settings->model.classes
                   ? cli_usage(cli, "--classes needs a network: name its weights with --model FILE")
                   : CLI_GO_ON;

    if (remembered->path[0] == '\0' || access(remembered->path, R_OK) != 0) {
        cli_message(
            "the embedding is not refreshed: its model %s is gone; name it with --model",
            remembered->path[0] != '\0' ? remembered->path : "file");
        return CLI_GO_ON;
    }
    if (strcmp(remembered->architecture, CLI_TORCHSCRIPT) == 0 && !settings->model.trust) {
        cli_message(
            "the embedding is not refreshed: its model %s is a program; --trust-model runs it",
            remembered->path);
        return CLI_GO_ON;
    }
    remembered->options.trust = settings->model.trust;
    remembered->options.batch = settings->model.batch;
    remembered->options.classes = settings->model.classes || present->has_classes;
    return make_network(cli, remembered->path, &remembered->options, set);
}

static int make_extractors(
    const struct cli *cli,
    const struct scan_settings *settings,
    const char *folder,
    struct scan_set *set)
{
    const char *model = cli_model_path(cli);
    struct cli_model_options options = settings->model;
    struct present present;
    int status = CLI_GO_ON;

    if (!settings->no_color)
        status = make_color(cli, settings, set);
    if (status == CLI_GO_ON && !settings->no_hash)
        status = make_hash(settings, set);
    if (status != CLI_GO_ON)
        return status;

    look_at_catalog(folder, &present);
    options.classes |= present.has_classes;
    status = model == NULL ? make_remembered(cli, settings, &present, set)
                           : make_network(cli, model, &options, set);
    if (status == CLI_GO_ON && set->count == 0)
        return cli_usage(cli, "nothing to compute: --no-color, --no-hash and no --model");
    return status;
}

static int drop_feature(const struct cli *cli, imgsim_catalog *catalog, const char *name)
{
    imgsim_status status = imgsim_catalog_remove_features(catalog, name);

    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_CATALOG);
    cli_note(cli, "the feature set '%s' is computed anew: it had other settings", name);
    return CLI_GO_ON;
}

/* --replace: drop the feature sets that were made with other settings. */
static int drop_changed(
    const struct cli *cli,
    imgsim_catalog *catalog,
    const struct scan_settings *settings,
    const struct scan_set *set)
{
    struct cli_feature thumbs;
    char begin[32];
    for (size_t i = 0; i < set->count; i++) {
        const char *name = imgsim_extractor_get_name(set->items[i]);
        struct cli_feature feature;
        int status;

        if (!cli_has_feature(catalog, name, &feature) ||
            strcmp(feature.fingerprint, imgsim_extractor_get_fingerprint(set->items[i])) == 0)
            continue;
        if ((status = drop_feature(cli, catalog, name)) != CLI_GO_ON)
            return status;
    }
    snprintf(begin, sizeof(begin), "thumb:side=%u,", settings->thumb_side);
    if (settings->thumb_side > 0 && cli_has_feature(catalog, "thumbnail", &thumbs) &&
        strncmp(thumbs.spec, begin, strlen(begin)) != 0)
        return drop_feature(cli, catalog, "thumbnail");
    return CLI_GO_ON;
}

static void print_summary(
    const struct cli *cli,
    const imgsim_catalog *catalog,
    const imgsim_scan_report *report)
{
    const struct {
        uint64_t count;
        const char *what;
    } parts[] = {
        {report->added, "added"},
        {report->unchanged, "unchanged"},
        {report->refreshed, "refreshed"},
        {report->moved, "moved"},
        {report->skipped, "skipped"},
        {report->failed - report->crashed - report->timed_out, "failed"},
        {report->crashed, "crashed"},
        {report->timed_out, "timed out"},
        {report->missing, "missing"},
    };
    char line[512] = "";
    char number[32];
    size_t used = 0;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i].count > 0)
            used += (size_t)snprintf(
                line + used, sizeof(line) - used, "%s %s %s", used > 0 ? "," : ":",
                cli_count_text(parts[i].count, number), parts[i].what);
    }
    cli_note(cli, "%s files seen%s", cli_count_text(report->seen, number), line);
    if (report->failed + report->skipped > 0)
        cli_note(cli, "'imgsim status --failed' says which files failed or were skipped, and why");
    cli_note(
        cli, "%s images in %s", cli_count_text(imgsim_catalog_get_image_count(catalog), number),
        imgsim_catalog_get_path(catalog));
}

static int
print_report(const imgsim_catalog *catalog, const imgsim_scan_report *report, bool complete)
{
    json_t *root = json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I}", "schema",
        "imgsim.scan/1", "complete", complete, "seen", (json_int_t)report->seen, "unchanged",
        (json_int_t)report->unchanged, "added", (json_int_t)report->added, "refreshed",
        (json_int_t)report->refreshed, "moved", (json_int_t)report->moved, "skipped",
        (json_int_t)report->skipped, "failed", (json_int_t)report->failed, "crashed",
        (json_int_t)report->crashed, "timed_out", (json_int_t)report->timed_out, "missing",
        (json_int_t)report->missing, "bytes", (json_int_t)report->bytes, "seconds", report->seconds,
        "images", (json_int_t)imgsim_catalog_get_image_count(catalog));

    if (root != NULL && cli_json_path(root, "catalog", imgsim_catalog_get_path(catalog)) != 0) {
        json_decref(root);
        root = NULL;
    }
    return cli_print_json(root);
}

/* What the report means for the exit status. */
static int judge(
    const struct cli *cli,
    const struct scan_settings *settings,
    const imgsim_catalog *catalog,
    const imgsim_scan_report *report)
{
    const uint64_t images = report->added + report->refreshed + report->moved + report->unchanged;

    if (images == 0 || imgsim_catalog_get_image_count(catalog) == 0) {
        cli_message(
            "no images found in %s%s", cli->operands[0],
            cli->operand_count > 1 ? " and the others" : "");
        return report->failed > 0 && settings->strict ? CLI_SOME_FAILED : CLI_NOTHING;
    }
    return report->failed > 0 && settings->strict ? CLI_SOME_FAILED : CLI_DONE;
}

static int run_scan(
    struct cli *cli,
    const struct scan_settings *settings,
    imgsim_catalog *catalog,
    const struct scan_set *set)
{
    imgsim_scan_report report = {.struct_size = sizeof(report)};
    imgsim_image_options image_options;
    imgsim_scan_options options;
    imgsim_status status;
    int printed = CLI_DONE, judged;

    imgsim_image_options_init(&image_options, sizeof(image_options));
    if (settings->max_pixels > 0)
        image_options.max_pixels = settings->max_pixels;
    imgsim_scan_options_init(&options, sizeof(options));
    options.extractors = (const imgsim_extractor *const *)set->items;
    options.extractor_count = set->count;
    options.image_options = &image_options;
    options.progress = cli_show_progress;
    options.user_data = cli;
    options.threads = cli->threads;
    options.min_side = settings->full ? 0 : settings->min_side;
    options.include_hidden = settings->hidden;
    options.follow_links = settings->follow_links;
    options.recheck = settings->recheck;
    options.include = settings->include.items;
    options.include_count = settings->include.count;
    options.exclude = settings->exclude.items;
    options.exclude_count = settings->exclude.count;
    options.min_bytes = settings->min_bytes;
    options.one_file_system = settings->one_file_system;
    if (settings->no_thumbs)
        options.thumb_side = 0;
    else if (settings->thumb_side > 0)
        options.thumb_side = settings->thumb_side;
    options.isolation = settings->isolation;
    options.file_timeout_ms = (uint32_t)(settings->file_timeout * 1000 + 0.5);
    options.worker_memory = (uint64_t)settings->worker_memory << 20;

    status = imgsim_scan(
        catalog, (const char *const *)cli->operands, cli->operand_count, &options, &report);
    cli_clear_progress();
    if (status != IMGSIM_OK && status != IMGSIM_ERROR_CANCELLED)
        return cli_failed(status, CLI_ABOUT_CATALOG);
    if (status == IMGSIM_OK) {
        imgsim_status derived = imgsim_derive_refresh(catalog, NULL);

        if (derived != IMGSIM_OK)
            return cli_failed_at(derived, CLI_ABOUT_CATALOG, "refreshing projections and indexes");
    }

    print_summary(cli, catalog, &report);
    if (cli->json)
        printed = print_report(catalog, &report, status == IMGSIM_OK);
    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_CATALOG);
    judged = judge(cli, settings, catalog, &report);
    return printed != CLI_DONE ? printed : judged;
}

int cmd_scan(struct cli *cli, int argc, char **argv)
{
    struct scan_settings settings = {
        .hash_bits = 64,
        .min_side = 256,
        .isolation = IMGSIM_ISOLATION_WORKERS,
        .file_timeout = 30,
        .worker_memory = 2048};
    imgsim_catalog_options options;
    imgsim_catalog *catalog = NULL;
    struct scan_set set = {{NULL}, 0};
    char *folder = NULL;
    imgsim_status opened;
    int status;

    cli_model_options_init(&settings.model);
    status = read_settings(cli, argc, argv, &settings);
    if (status == CLI_GO_ON)
        status = check_patterns(cli, &settings.include);
    if (status == CLI_GO_ON)
        status = check_patterns(cli, &settings.exclude);
    if (status == CLI_GO_ON)
        status = check_paths(cli, &settings);
    if (status == CLI_GO_ON)
        status = cli_scan_catalog(cli, cli->operands[0], &folder);
    /* Whatever can be wrong on the command line is found before a catalog is made. */
    if (status == CLI_GO_ON)
        status = make_extractors(cli, &settings, folder, &set);
    if (status != CLI_GO_ON)
        goto done;

    imgsim_catalog_options_init(&options, sizeof(options));
    options.create = 1;
    opened = imgsim_catalog_open(folder, &options, &catalog);
    if (opened != IMGSIM_OK) {
        status = cli_failed(opened, CLI_ABOUT_OPENING);
        goto done;
    }
    cli_catch_interrupts();
    if (settings.replace)
        status = drop_changed(cli, catalog, &settings, &set);
    if (status == CLI_GO_ON)
        status = run_scan(cli, &settings, catalog, &set);

done:
    imgsim_catalog_free(catalog);
    set_free(&set);
    free(folder);
    return status;
}
