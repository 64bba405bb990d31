/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim status: what the catalog holds, and what failed. */
#include "common.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char cli_help_status[] =
    "imgsim status             files, states, features, indexes, labels\n"
    "imgsim status --failed    every file that is no image of the catalog, and why\n"
    "imgsim status --json      the same for programs\n"
    "\n"
    "Every file that a scan saw is in exactly one state: ok, skipped, failed,\n"
    "crashed, timeout or missing; the numbers add up to the number of files.\n";

static const char *const state_names[IMGSIM_FILE_STATE_COUNT] = {"ok",      "skipped", "failed",
                                                                 "crashed", "timeout", "missing"};

/* "failed:truncated"; states without a reason stand alone. */
static void state_text(const imgsim_file_info *file, char *text, size_t text_size)
{
    const char *name = file->state >= 0 && file->state < IMGSIM_FILE_STATE_COUNT
                           ? state_names[file->state]
                           : "unknown";

    if (file->reason[0] == '\0' || file->state == IMGSIM_FILE_OK ||
        file->state == IMGSIM_FILE_MISSING)
        snprintf(text, text_size, "%s", name);
    else
        snprintf(text, text_size, "%s:%s", name, file->reason);
}

/* ---- the whole ---- */

static int32_t count_state(const imgsim_file_info *file, void *user_data)
{
    json_t *states = user_data;
    char state[256];
    json_t *text;
    const char *key;
    json_int_t count = 1;

    state_text(file, state, sizeof(state));
    text = cli_json_text(state);
    key = json_string_value(text);
    if (key != NULL) {
        count += json_integer_value(json_object_get(states, key));
        json_object_set_new(states, key, json_integer(count));
    }
    json_decref(text);
    return key == NULL;
}

/* {"ok": 1990, "failed:truncated": 12}: only the states that are not OK are visited one by one. */
static imgsim_status gather_states(const imgsim_catalog *catalog, json_t *states, uint64_t *files)
{
    uint64_t counts[IMGSIM_FILE_STATE_COUNT] = {0};
    imgsim_status status = imgsim_catalog_count_states(catalog, counts);

    *files = 0;
    for (int32_t state = 0; state < IMGSIM_FILE_STATE_COUNT && status == IMGSIM_OK; state++) {
        *files += counts[state];
        if (state == IMGSIM_FILE_OK)
            json_object_set_new(states, "ok", json_integer((json_int_t)counts[state]));
        else if (counts[state] > 0)
            status = imgsim_catalog_visit_files(catalog, state, count_state, states);
    }
    return status;
}

/* Visit the files of the catalog's inner folder whose names begin with `prefix`. */
static void visit_folder(
    const imgsim_catalog *catalog,
    const char *inner,
    const char *prefix,
    void (*visit)(const char *path, const char *name, void *user_data),
    void *user_data)
{
    char folder[8192], path[9216];
    struct dirent *entry;
    DIR *directory;

    snprintf(folder, sizeof(folder), "%s/%s", imgsim_catalog_get_path(catalog), inner);
    directory = opendir(folder);
    if (directory == NULL)
        return;
    while ((entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        visit(path, entry->d_name, user_data);
    }
    closedir(directory);
}

static void add_size(const char *path, const char *name, void *user_data)
{
    struct stat about;

    (void)name;
    if (stat(path, &about) == 0)
        *(uint64_t *)user_data += (uint64_t)about.st_size;
}

struct feature_list {
    const imgsim_catalog *catalog;
    json_t *features;
};

static const char *type_name(int32_t row_type)
{
    return row_type == IMGSIM_ROW_FLOAT32  ? "float32"
           : row_type == IMGSIM_ROW_UINT32 ? "uint32"
           : row_type == IMGSIM_ROW_BYTES  ? "bytes"
                                           : "bits";
}

static int32_t list_feature(const imgsim_feature_info *feature, void *user_data)
{
    const struct feature_list *list = user_data;
    const char *metric = imgsim_metric_name(feature->metric);
    char prefix[80];
    uint64_t bytes = 0;
    json_t *entry;

    snprintf(prefix, sizeof(prefix), "%s.", feature->name);
    visit_folder(list->catalog, "features", prefix, add_size, &bytes);
    entry = json_pack(
        "{s:I, s:s, s:s, s:I, s:I}", "dimension", (json_int_t)feature->dimension, "type",
        type_name(feature->row_type), "metric", metric != NULL ? metric : "", "images",
        (json_int_t)feature->image_count, "bytes", (json_int_t)bytes);
    if (entry != NULL) {
        if (feature->source[0] != '\0')
            json_object_set_new(entry, "source", json_string(feature->source));
        json_object_set_new(entry, "spec", cli_json_text(feature->spec));
    }
    return json_object_set_new(list->features, feature->name, entry) != 0;
}

static void list_index(const char *path, const char *name, void *user_data)
{
    json_t *indexes = user_data;
    imgsim_index *index = NULL;
    const size_t length = strlen(name);
    const char *kind, *metric;
    char shown[256];
    json_t *entry;

    if (length < 5 || strcmp(name + length - 4, ".ims") != 0 ||
        imgsim_index_open(path, 0, &index) != IMGSIM_OK)
        return;
    snprintf(shown, sizeof(shown), "%.*s", (int)(length - 4), name);
    kind = imgsim_index_kind_name(imgsim_index_get_kind(index));
    metric = imgsim_metric_name(imgsim_index_get_metric(index));
    entry = json_pack(
        "{s:s, s:s, s:I, s:I}", "kind", kind != NULL ? kind : "", "metric",
        metric != NULL ? metric : "", "images", (json_int_t)imgsim_index_get_count(index),
        "dimension", (json_int_t)imgsim_index_get_dimension(index));
    json_object_set_new(indexes, shown, entry);
    imgsim_index_free(index);
}

static int32_t list_label(const char *label, uint64_t image_count, void *user_data)
{
    return json_object_set_new(user_data, label, json_integer((json_int_t)image_count)) != 0;
}

/* Everything status tells, as JSON; the text is made from it, so that both say the same. */
static int gather(const imgsim_catalog *catalog, json_t **out_root)
{
    json_t *states = json_object(), *features = json_object();
    json_t *indexes = json_object(), *labels = json_object();
    struct feature_list list = {catalog, features};
    uint64_t files = 0;
    imgsim_status status = gather_states(catalog, states, &files);
    json_t *root;

    if (status == IMGSIM_OK)
        status = imgsim_catalog_visit_features(catalog, list_feature, &list);
    if (status == IMGSIM_OK)
        status = imgsim_catalog_visit_labels(catalog, -1, list_label, labels);
    visit_folder(catalog, "indexes", "", list_index, indexes);

    root = json_pack(
        "{s:s, s:I, s:I, s:o, s:o, s:o, s:o}", "schema", "imgsim.status/1", "files",
        (json_int_t)files, "images", (json_int_t)imgsim_catalog_get_image_count(catalog), "states",
        states, "features", features, "indexes", indexes, "labels", labels);
    if (root == NULL || cli_json_path(root, "catalog", imgsim_catalog_get_path(catalog)) != 0) {
        json_decref(root);
        return cli_no_memory();
    }
    if (status != IMGSIM_OK) {
        json_decref(root);
        return cli_failed(status, CLI_ABOUT_CATALOG);
    }
    *out_root = root;
    return CLI_GO_ON;
}

static long long number_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void print_number(const char *name, long long number)
{
    char text[32];

    printf("  %-32s %12s\n", name, cli_count_text((uint64_t)number, text));
}

static void print_text(const imgsim_catalog *catalog, json_t *root)
{
    char *path = cli_show_path(imgsim_catalog_get_path(catalog));
    char files[32], images[32], bytes[32];
    const char *name;
    json_t *value;

    printf(
        "%s: %s files, %s images\n", path != NULL ? path : "catalog",
        cli_count_text((uint64_t)number_of(root, "files"), files),
        cli_count_text((uint64_t)number_of(root, "images"), images));
    free(path);
    printf("states\n");
    json_object_foreach(json_object_get(root, "states"), name, value)
        print_number(name, (long long)json_integer_value(value));
    if (json_object_size(json_object_get(root, "features")) > 0)
        printf("features\n");
    json_object_foreach(json_object_get(root, "features"), name, value) printf(
        "  %-20s %6lld x %-7s  %-12s  %s images, %s bytes\n", name, number_of(value, "dimension"),
        json_string_value(json_object_get(value, "type")),
        json_string_value(json_object_get(value, "metric")),
        cli_count_text((uint64_t)number_of(value, "images"), images),
        cli_count_text((uint64_t)number_of(value, "bytes"), bytes));
    if (json_object_size(json_object_get(root, "indexes")) > 0)
        printf("indexes\n");
    json_object_foreach(json_object_get(root, "indexes"), name, value) printf(
        "  %-32s %-6s  %s images\n", name, json_string_value(json_object_get(value, "kind")),
        cli_count_text((uint64_t)number_of(value, "images"), images));
    if (json_object_size(json_object_get(root, "labels")) > 0)
        printf(
            "labels: %zu ('imgsim label list' shows them)\n",
            json_object_size(json_object_get(root, "labels")));
}

static int print_status(const struct cli *cli, const imgsim_catalog *catalog)
{
    json_t *root = NULL;
    int status = gather(catalog, &root);

    if (status != CLI_GO_ON)
        return status;
    if (cli->json)
        return cli_print_json(root);
    print_text(catalog, root);
    json_decref(root);
    return CLI_DONE;
}

/* ---- --failed ---- */

struct failures {
    json_t *json; /* NULL: a table */
    size_t count;
};

static int32_t list_failure(const imgsim_file_info *file, void *user_data)
{
    struct failures *failures = user_data;
    json_t *entry;

    failures->count++;
    if (failures->json != NULL) {
        entry = json_pack(
            "{s:s, s:o}", "state", state_names[file->state], "reason", cli_json_text(file->reason));
        return entry == NULL || cli_json_path(entry, "path", file->path) != 0 ||
               json_array_append_new(failures->json, entry) != 0;
    } else {
        char *path = cli_show_path(file->path);
        char state[256];

        if (path == NULL)
            return 1;
        state_text(file, state, sizeof(state));
        printf("%-28s  %s\n", state, path);
        free(path);
    }
    return 0;
}

static int print_failed(const struct cli *cli, const imgsim_catalog *catalog)
{
    struct failures failures = {cli->json ? json_array() : NULL, 0};

    for (int32_t state = IMGSIM_FILE_OK + 1; state < IMGSIM_FILE_STATE_COUNT; state++) {
        imgsim_status status = imgsim_catalog_visit_files(catalog, state, list_failure, &failures);

        if (status != IMGSIM_OK) {
            json_decref(failures.json);
            return cli_failed(status, CLI_ABOUT_CATALOG);
        }
    }
    if (cli->json)
        return cli_print_json(json_pack(
            "{s:s, s:I, s:o}", "schema", "imgsim.failed/1", "count", (json_int_t)failures.count,
            "files", failures.json));
    if (failures.count == 0)
        cli_note(cli, "every file is ok");
    return CLI_DONE;
}

int cmd_status(struct cli *cli, int argc, char **argv)
{
    imgsim_catalog *catalog = NULL;
    int32_t failed = 0;
    const struct cli_option table[] = {{"failed", 0, CLI_FLAG, &failed, 0, 0, NULL}};
    int status = cli_parse(cli, argc, argv, table, 1);

    if (status == CLI_GO_ON && cli->operand_count > 0)
        status = cli_usage(cli, "status takes no '%s'; -c names the catalog", cli->operands[0]);
    if (status == CLI_GO_ON)
        status = cli_open_catalog(cli, NULL, CLI_READ, &catalog);
    if (status == CLI_GO_ON)
        status = failed ? print_failed(cli, catalog) : print_status(cli, catalog);
    imgsim_catalog_free(catalog);
    return status;
}
