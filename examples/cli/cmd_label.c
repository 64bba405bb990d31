/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim label: give images labels, take them away, list them. */
#include "cli_csv.h"
#include "common.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char cli_help_label[] =
    "imgsim label add cat a.jpg b.jpg    two images get the label 'cat'\n"
    "imgsim label remove cat b.jpg       one loses it\n"
    "imgsim label import labels.csv      columns path,label or id,label\n"
    "imgsim label folders                every image gets its folder's name\n"
    "imgsim label list                   labels and how many images have them\n"
    "imgsim label list a.jpg             the labels of an image\n"
    "imgsim label --predict [IMAGE...]   labels from the most similar labelled images\n"
    "imgsim label --predict --by network --names FILE    from the network's classes\n"
    "\n"
    "An IMAGE is a path, a UUID or an id; an image may have several labels. Searches\n"
    "can be limited to one: 'imgsim search a.jpg --label cat'.\n"
    "The CSV may begin with a header line (path,label; id,label; uuid,label); other\n"
    "columns are then allowed, in any order. Quotes are those of RFC 4180. If a line\n"
    "is wrong, nothing is imported.\n"
    "\n"
    "--predict: of IMAGEs, or of all images without a label. --store keeps them as\n"
    "labels 'predicted:LABEL'. --neighbours N vote (10), a label needs --min-share X\n"
    "(0.5) of the votes. --feature NAME. --try N labelled ones, to tell how good.\n"
    "--by network: what 'imgsim scan --classes' stored; a class needs the probability\n"
    "--min-share X (0.5). --names FILE has a name per line, if the model has none.\n";

/* Pairs to store in one transaction. */
struct pairs {
    int64_t *ids;
    char **labels;
    size_t count;
    size_t room;
};

static void pairs_free(struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++)
        free(pairs->labels[i]);
    free(pairs->labels);
    free(pairs->ids);
}

static bool pairs_add(struct pairs *pairs, int64_t id, const char *label)
{
    if (pairs->count == pairs->room) {
        const size_t room = pairs->room == 0 ? 256 : 2 * pairs->room;
        int64_t *ids = realloc(pairs->ids, room * sizeof(*ids));
        char **labels;

        if (ids == NULL)
            return false;
        pairs->ids = ids;
        labels = realloc(pairs->labels, room * sizeof(*labels));
        if (labels == NULL)
            return false;
        pairs->labels = labels;
        pairs->room = room;
    }
    pairs->labels[pairs->count] = strdup(label);
    if (pairs->labels[pairs->count] == NULL)
        return false;
    pairs->ids[pairs->count++] = id;
    return true;
}

static int pairs_store(const struct cli *cli, imgsim_catalog *catalog, const struct pairs *pairs)
{
    imgsim_status status = imgsim_catalog_add_labels(
        catalog, pairs->ids, (const char *const *)pairs->labels, pairs->count);

    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_CATALOG);
    cli_note(cli, "%zu label%s given", pairs->count, pairs->count == 1 ? "" : "s");
    return CLI_DONE;
}

/* ---- add, remove ---- */

static int label_add(const struct cli *cli, imgsim_catalog *catalog, char **words, size_t count)
{
    struct pairs pairs = {0};
    int status = CLI_GO_ON;

    for (size_t i = 1; i < count && status == CLI_GO_ON; i++) {
        int64_t id;

        status = cli_find_image(catalog, words[i], &id);
        if (status == CLI_GO_ON && !pairs_add(&pairs, id, words[0]))
            status = cli_no_memory();
    }
    if (status == CLI_GO_ON)
        status = pairs_store(cli, catalog, &pairs);
    pairs_free(&pairs);
    return status;
}

static int label_remove(imgsim_catalog *catalog, char **words, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        int64_t id;
        imgsim_status removed;
        int status = cli_find_image(catalog, words[i], &id);

        if (status != CLI_GO_ON)
            return status;
        removed = imgsim_catalog_remove_label(catalog, id, words[0]);
        if (removed != IMGSIM_OK)
            return cli_failed(removed, CLI_ABOUT_CATALOG);
    }
    return CLI_DONE;
}

/* ---- import ---- */

struct columns {
    size_t image;
    size_t label;
    size_t count;
    bool header;
};

/*
 * Which columns hold image and label: by the header if the first line is one, else the first two.
 */
static struct columns find_columns(const struct cli_csv *csv)
{
    struct columns columns = {SIZE_MAX, SIZE_MAX, csv->field_count, true};

    for (size_t i = 0; i < csv->field_count; i++) {
        const char *name = csv->fields[i];

        /* A byte order mark is what some programs write in front. */
        if (i == 0 && strncmp(name, "\xEF\xBB\xBF", 3) == 0)
            name += 3;
        if (strcmp(name, "label") == 0)
            columns.label = i;
        else if (
            columns.image == SIZE_MAX &&
            (strcmp(name, "path") == 0 || strcmp(name, "uuid") == 0 || strcmp(name, "id") == 0))
            columns.image = i;
    }
    if (columns.image == SIZE_MAX || columns.label == SIZE_MAX)
        columns = (struct columns){0, 1, 2, false};
    return columns;
}

static int bad_line(const char *path, const struct cli_csv *csv, const char *problem)
{
    cli_message("%s: line %zu: %s; nothing was imported", path, csv->line, problem);
    return CLI_USAGE;
}

/*
 * A path as it stands, then relative to the folder that the catalog belongs to, then a UUID or an
 * id.
 */
static bool find_listed(const imgsim_catalog *catalog, const char *text, int64_t *out_id)
{
    if (imgsim_catalog_find(catalog, text, out_id) == IMGSIM_OK)
        return true;
    return cli_is_id(text, out_id) && (uint64_t)*out_id < imgsim_catalog_get_id_count(catalog);
}

static int read_pairs(
    const imgsim_catalog *catalog,
    const char *path,
    struct cli_csv *csv,
    struct pairs *pairs)
{
    struct columns columns = {0};
    bool first = true;
    enum cli_csv_result result;

    while ((result = cli_csv_read(csv)) == CLI_CSV_RECORD) {
        int64_t id;
        char problem[512];

        if (first) {
            first = false;
            columns = find_columns(csv);
            if (columns.header)
                continue;
        }
        if (csv->field_count != columns.count) {
            snprintf(
                problem, sizeof(problem), "%zu columns, expected %zu", csv->field_count,
                columns.count);
            return bad_line(path, csv, problem);
        }
        if (!find_listed(catalog, csv->fields[columns.image], &id)) {
            snprintf(
                problem, sizeof(problem), "'%.400s' is no image of the catalog",
                csv->fields[columns.image]);
            return bad_line(path, csv, problem);
        }
        if (csv->fields[columns.label][0] == '\0')
            return bad_line(path, csv, "the label is empty");
        if (!pairs_add(pairs, id, csv->fields[columns.label]))
            return cli_no_memory();
    }
    if (result == CLI_CSV_BAD)
        return bad_line(path, csv, csv->problem);
    return CLI_GO_ON;
}

static int label_import(const struct cli *cli, imgsim_catalog *catalog, const char *path)
{
    struct cli_csv csv = {.file = fopen(path, "rb")};
    struct pairs pairs = {0};
    int status;

    if (csv.file == NULL) {
        cli_message("%s: %s", path, strerror(errno));
        return CLI_IO;
    }
    status = read_pairs(catalog, path, &csv, &pairs);
    if (status == CLI_GO_ON && pairs.count == 0)
        status = bad_line(path, &csv, "no label in the file");
    if (status == CLI_GO_ON)
        status = pairs_store(cli, catalog, &pairs);
    pairs_free(&pairs);
    cli_csv_close(&csv);
    fclose(csv.file);
    return status;
}

/* ---- folders ---- */

static int32_t take_folder(const imgsim_file_info *file, void *user_data)
{
    const char *slash = strrchr(file->directory, '/');
    const char *name = slash != NULL ? slash + 1 : file->directory;

    if (name[0] == '\0')
        return 0; /* the root folder has no name */
    return pairs_add(user_data, file->id, name) ? 0 : 1;
}

static int label_folders(const struct cli *cli, imgsim_catalog *catalog)
{
    struct pairs pairs = {0};
    imgsim_status visited =
        imgsim_catalog_visit_files(catalog, IMGSIM_FILE_OK, take_folder, &pairs);
    int status;

    if (visited != IMGSIM_OK) {
        status = cli_failed(visited, CLI_ABOUT_CATALOG);
    } else if (pairs.count == 0) {
        cli_message("no image to label; 'imgsim scan' takes some in");
        status = CLI_NOTHING;
    } else {
        status = pairs_store(cli, catalog, &pairs);
    }
    pairs_free(&pairs);
    return status;
}

/* ---- list ---- */

struct listing {
    json_t *json; /* NULL: a table */
    size_t count;
};

static int32_t list_label(const char *label, uint64_t image_count, void *user_data)
{
    struct listing *listing = user_data;

    listing->count++;
    if (listing->json != NULL) {
        json_object_set_new(listing->json, label, json_integer((json_int_t)image_count));
    } else {
        char *shown = cli_escape(label);

        printf("%8llu  %s\n", (unsigned long long)image_count, shown != NULL ? shown : label);
        free(shown);
    }
    return 0;
}

static int label_list(const struct cli *cli, const imgsim_catalog *catalog, const char *image)
{
    struct listing listing = {cli->json ? json_object() : NULL, 0};
    imgsim_status status;
    int64_t id = -1;
    int found = image != NULL ? cli_find_image(catalog, image, &id) : CLI_GO_ON;

    if (found == CLI_GO_ON) {
        status = imgsim_catalog_visit_labels(catalog, id, list_label, &listing);
        found = status == IMGSIM_OK ? CLI_DONE : cli_failed(status, CLI_ABOUT_CATALOG);
    }
    if (found != CLI_DONE) {
        json_decref(listing.json);
        return found;
    }
    if (cli->json)
        return cli_print_json(
            json_pack("{s:s, s:o}", "schema", "imgsim.labels/1", "labels", listing.json));
    if (listing.count == 0)
        cli_note(cli, "no labels; 'imgsim label add LABEL IMAGE' gives one");
    return CLI_DONE;
}

/* ---- the command ---- */

static const struct label_verb {
    const char *name;
    size_t least, most; /* words after the verb */
    enum cli_access access;
    const char *takes;
} verbs[] = {
    {"add", 2, SIZE_MAX, CLI_WRITE, "a label and images"},
    {"remove", 2, SIZE_MAX, CLI_WRITE, "a label and images"},
    {"import", 1, 1, CLI_WRITE, "a CSV file"},
    {"folders", 0, 0, CLI_WRITE, "nothing else"},
    {"list", 0, 1, CLI_READ, "at most one image"},
};
#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static const struct label_verb *find_verb(const struct cli *cli, const char *word)
{
    const char *names[VERB_COUNT];
    const char *near;

    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, word) == 0)
            return &verbs[i];
        names[i] = verbs[i].name;
    }
    near = cli_suggest(word, names, VERB_COUNT);
    if (near != NULL)
        cli_usage(cli, "unknown 'label %s'; did you mean 'label %s'?", word, near);
    else
        cli_usage(cli, "unknown 'label %s'; it takes add, remove, import, folders or list", word);
    return NULL;
}

static int run_verb(const struct cli *cli, imgsim_catalog *catalog, const struct label_verb *verb)
{
    char **words = cli->operands + 1;
    const size_t count = cli->operand_count - 1;

    if (strcmp(verb->name, "add") == 0)
        return label_add(cli, catalog, words, count);
    if (strcmp(verb->name, "remove") == 0)
        return label_remove(catalog, words, count);
    if (strcmp(verb->name, "import") == 0)
        return label_import(cli, catalog, words[0]);
    if (strcmp(verb->name, "folders") == 0)
        return label_folders(cli, catalog);
    return label_list(cli, catalog, count > 0 ? words[0] : NULL);
}

static int run_predict(struct cli *cli, imgsim_predict_options *options)
{
    imgsim_catalog *catalog = NULL;
    const char *near_path = cli->operand_count > 0 ? cli->operands[0] : NULL;
    int status = cli_open_catalog(cli, near_path, CLI_WRITE, &catalog);

    if (status == CLI_GO_ON)
        status = cli_predict(cli, options, catalog);
    imgsim_catalog_free(catalog);
    return status;
}

static int run_words(struct cli *cli)
{
    const struct label_verb *verb = find_verb(cli, cli->operands[0]);
    imgsim_catalog *catalog = NULL;
    const char *near_path = NULL;
    int status;

    if (verb == NULL)
        return CLI_USAGE;
    if (cli->operand_count - 1 < verb->least || cli->operand_count - 1 > verb->most)
        return cli_usage(cli, "label %s takes %s", verb->name, verb->takes);

    if (verb->least == 2)
        near_path = cli->operands[2];
    else if (verb->access == CLI_READ && cli->operand_count > 1)
        near_path = cli->operands[1];
    status = cli_open_catalog(cli, near_path, verb->access, &catalog);
    if (status == CLI_GO_ON)
        status = run_verb(cli, catalog, verb);
    imgsim_catalog_free(catalog);
    return status;
}

int cmd_label(struct cli *cli, int argc, char **argv)
{
    static const struct cli_choice ways[] = {
        {"neighbours", IMGSIM_PREDICT_NEIGHBOURS},
        {"network", IMGSIM_PREDICT_NETWORK},
        {NULL, 0},
    };
    imgsim_predict_options options;
    int32_t predict = 0;
    const struct cli_option table[] = {
        {"predict", 0, CLI_FLAG, &predict, 0, 0, NULL},
        {"store", 0, CLI_FLAG, &options.store, 0, 0, NULL},
        {"neighbours", 0, CLI_COUNT, &options.k, 1, 1000, NULL},
        {"min-share", 0, CLI_REAL, &options.min_share, 0, 1, NULL},
        {"feature", 0, CLI_TEXT, &options.feature, 0, 0, NULL},
        {"try", 0, CLI_SIZE, &options.try_count, 0, 9e15, NULL},
        {"by", 0, CLI_CHOICE, &options.by, 0, 0, ways},
        {"names", 0, CLI_TEXT, &options.names_path, 0, 0, NULL},
    };
    int status;

    imgsim_predict_options_init(&options, sizeof(options));
    status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));
    if (status != CLI_GO_ON)
        return status;
    if (options.names_path != NULL && options.by != IMGSIM_PREDICT_NETWORK)
        return cli_usage(cli, "--names goes with --by network");
    if (predict)
        return run_predict(cli, &options);
    if (options.by != IMGSIM_PREDICT_NEIGHBOURS)
        return cli_usage(cli, "--by goes with --predict");
    if (options.store)
        return cli_usage(cli, "--store goes with --predict");
    if (cli->operand_count == 0)
        return cli_usage(
            cli, "label needs one of: add, remove, import, folders, list; or --predict");
    return run_words(cli);
}
