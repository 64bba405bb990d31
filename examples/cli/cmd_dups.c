/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim dups: images that are there more than once, and those that look nearly the same. */
#include "common.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char cli_help_dups[] =
    "imgsim dups               groups of files with the same content\n"
    "imgsim dups --near        also pictures whose hashes differ in up to 4 bits\n"
    "imgsim dups --near=8      ... in up to 8 bits\n"
    "imgsim dups --json\n"
    "\n"
    "The first of a group is the one to keep: most pixels, then the largest file.\n"
    "Before each of the others stands 'copy', or in how many bits its hash differs\n"
    "from that of the first. Groups are chains: two neighbours differ in so many\n"
    "bits at most, the ends may differ in more. --feature NAME takes another feature\n"
    "of bits than the hash. The exit status is 1 if there are no duplicates.\n";

/* One image of a group. */
struct shown {
    char *path;
    char uuid[40];
    uint32_t width, height;
    uint64_t bytes;
    bool failed;
};

static int32_t take_file(const imgsim_file_info *file, void *user_data)
{
    struct shown *shown = user_data;

    shown->path = malloc(strlen(file->path) + 1);
    shown->failed = shown->path == NULL;
    if (!shown->failed)
        strcpy(shown->path, file->path);
    snprintf(shown->uuid, sizeof(shown->uuid), "%s", file->uuid);
    shown->width = file->width;
    shown->height = file->height;
    shown->bytes = file->bytes;
    return 0;
}

/* An image that has gone since is left out: NOT_FOUND. Returns CLI_GO_ON or an exit status. */
static int look_up(const imgsim_catalog *catalog, int64_t id, struct shown *shown, bool *out_there)
{
    imgsim_status status = imgsim_catalog_get_file(catalog, id, take_file, shown);

    *out_there = status == IMGSIM_OK;
    if (status != IMGSIM_OK && status != IMGSIM_ERROR_NOT_FOUND)
        return cli_failed(status, CLI_ABOUT_CATALOG);
    return shown->failed ? cli_no_memory() : CLI_GO_ON;
}

/* One group, its images and how they belong to it. */
struct group {
    const int64_t *ids;
    const uint32_t *distances;
    const uint32_t *copies;
    size_t count;
};

/* ---- the table ---- */

static void relation_text(const struct group *group, size_t i, char *out, size_t size)
{
    if (i == 0)
        snprintf(out, size, "first");
    else if (group->copies[i] == 0)
        snprintf(out, size, "copy");
    else if (group->distances[i] == IMGSIM_DISTANCE_UNKNOWN)
        snprintf(out, size, "? bits");
    else
        snprintf(
            out, size, "%" PRIu32 " bit%s", group->distances[i],
            group->distances[i] == 1 ? "" : "s");
}

static int print_image(const struct group *group, size_t i, const struct shown *shown)
{
    char *path = cli_show_path(shown->path);
    char relation[32], pixels[32], bytes[32];

    if (path == NULL)
        return cli_no_memory();
    relation_text(group, i, relation, sizeof(relation));
    snprintf(pixels, sizeof(pixels), "%" PRIu32 "x%" PRIu32, shown->width, shown->height);
    printf("  %-7s  %11s  %13s  %s\n", relation, pixels, cli_count_text(shown->bytes, bytes), path);
    free(path);
    return CLI_GO_ON;
}

static int print_group(const imgsim_catalog *catalog, const struct group *group)
{
    int status = CLI_GO_ON;

    printf("%zu images\n", group->count);
    for (size_t i = 0; i < group->count && status == CLI_GO_ON; i++) {
        struct shown shown = {0};
        bool there;

        status = look_up(catalog, group->ids[i], &shown, &there);
        if (status == CLI_GO_ON && there)
            status = print_image(group, i, &shown);
        free(shown.path);
    }
    return status;
}

/* ---- JSON ---- */

static json_t *image_json(const struct group *group, size_t i, const struct shown *shown)
{
    json_t *image = json_pack(
        "{s:s, s:I, s:I, s:I}", "id", shown->uuid, "width", (json_int_t)shown->width, "height",
        (json_int_t)shown->height, "bytes", (json_int_t)shown->bytes);

    if (image == NULL || cli_json_path(image, "path", shown->path) != 0 ||
        json_object_set_new(
            image, "distance",
            group->distances[i] == IMGSIM_DISTANCE_UNKNOWN
                ? json_null()
                : json_integer(group->distances[i])) != 0 ||
        json_object_set_new(
            image, "copy_of",
            group->copies[i] == i ? json_null() : json_integer(group->copies[i])) != 0) {
        json_decref(image);
        return NULL;
    }
    return image;
}

static int group_json(const imgsim_catalog *catalog, const struct group *group, json_t *groups)
{
    json_t *images = json_array();
    int status = json_array_append_new(groups, images) == 0 ? CLI_GO_ON : cli_no_memory();

    for (size_t i = 0; i < group->count && status == CLI_GO_ON; i++) {
        struct shown shown = {0};
        bool there;

        status = look_up(catalog, group->ids[i], &shown, &there);
        /* One that is gone keeps its place, as copy_of counts places. */
        if (status == CLI_GO_ON &&
            json_array_append_new(images, there ? image_json(group, i, &shown) : json_null()) != 0)
            status = cli_no_memory();
        free(shown.path);
    }
    return status;
}

/* ---- the command ---- */

static int show(
    const struct cli *cli,
    const imgsim_catalog *catalog,
    const imgsim_duplicates *duplicates,
    const imgsim_duplicates_options *options)
{
    const uint64_t count = imgsim_duplicates_get_group_count(duplicates);
    const uint64_t images = imgsim_duplicates_get_image_count(duplicates);
    json_t *groups = cli->json ? json_array() : NULL;
    int status = CLI_GO_ON, end = count > 0 ? CLI_DONE : CLI_NOTHING;
    char numbers[3][32];

    for (uint64_t i = 0; i < count && status == CLI_GO_ON; i++) {
        struct group group;

        imgsim_duplicates_get_group(
            duplicates, i, &group.ids, &group.distances, &group.copies, &group.count);
        status = cli->json ? group_json(catalog, &group, groups) : print_group(catalog, &group);
    }
    if (status != CLI_GO_ON) {
        json_decref(groups);
        return status;
    }
    if (cli->json) {
        json_t *near = options->near ? json_integer(options->max_distance) : json_null();

        status = cli_print_json(json_pack(
            "{s:s, s:o, s:I, s:I, s:o}", "schema", "imgsim.dups/1", "near", near, "images",
            (json_int_t)images, "duplicates", (json_int_t)(images - count), "groups", groups));
        return status != CLI_DONE ? status : end;
    }
    if (count == 0)
        cli_note(cli, "no duplicates");
    else
        cli_note(
            cli, "%s images in %s group%s: %s could go", cli_count_text(images, numbers[0]),
            cli_count_text(count, numbers[1]), count == 1 ? "" : "s",
            cli_count_text(images - count, numbers[2]));
    return end;
}

static int run_dups(struct cli *cli, imgsim_duplicates_options *options)
{
    imgsim_duplicates *duplicates = NULL;
    imgsim_catalog *catalog = NULL;
    imgsim_status found;
    int status = cli_open_catalog(cli, NULL, CLI_READ, &catalog);

    if (status != CLI_GO_ON)
        return status;
    options->threads = cli->threads;
    options->progress = cli_show_progress;
    options->progress_data = cli;
    cli_catch_interrupts();
    found = imgsim_derive_duplicates(catalog, options, &duplicates);
    cli_clear_progress();
    status = found != IMGSIM_OK ? cli_failed(found, CLI_ABOUT_CATALOG)
                                : show(cli, catalog, duplicates, options);
    imgsim_duplicates_free(duplicates);
    imgsim_catalog_free(catalog);
    return status;
}

int cmd_dups(struct cli *cli, int argc, char **argv)
{
    imgsim_duplicates_options options;
    const char *feature = NULL;
    uint32_t near = 0;
    bool asked;
    const struct cli_option table[] = {
        {"near", 0, CLI_COUNT_OPTIONAL, &near, 0, 65536, NULL},
        {"feature", 0, CLI_TEXT, &feature, 0, 0, NULL},
    };
    int status;

    near = UINT32_MAX - 1; /* not asked for */
    status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));
    asked = near != UINT32_MAX - 1;
    if (status == CLI_GO_ON && cli->operand_count > 0)
        status = cli_usage(cli, "dups takes no '%s'; -c names the catalog", cli->operands[0]);
    if (status == CLI_GO_ON && feature != NULL && !asked)
        status = cli_usage(cli, "--feature is what --near compares");
    if (status != CLI_GO_ON)
        return status;
    imgsim_duplicates_options_init(&options, sizeof(options));
    options.feature = feature;
    options.near = asked;
    if (asked && near != UINT32_MAX)
        options.max_distance = near;
    return run_dups(cli, &options);
}
