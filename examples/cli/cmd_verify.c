/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim verify: check the catalog and its files for damage, and repair it. */
#include "common.h"

#include <stdlib.h>
#include <string.h>

const char cli_help_verify[] =
    "imgsim verify                   a line per problem; exit status 4 if any\n"
    "imgsim verify --files           also: are the files what was scanned?\n"
    "imgsim verify --files=content   reads and compares every file\n"
    "imgsim verify --repair          puts right what can be, drops what cannot\n"
    "\n"
    "Checks the database, every row of every feature with its checksum, the indexes,\n"
    "the projectors and the maps, and that they agree. Without --repair it changes\n"
    "nothing. What a repair drops is computed again by the next scan; a database that\n"
    "has to be built anew is kept as catalog.db.damaged.\n"
    "\n"
    "--files compares size and time of each file, --files=content the content, too;\n"
    "if the catalog is sound and a file is gone, changed or damaged, the exit status\n"
    "is 6. 'imgsim scan' takes changes in; a damaged file has to come from a backup.\n";

static const struct cli_choice files_choices[] = {
    {"times", IMGSIM_CHECK_FILES_TIMES},
    {"content", IMGSIM_CHECK_FILES_CONTENT},
    {NULL, 0}};

/* Lines as they come: printed, or kept for JSON. */
struct lines {
    json_t *json;  /* NULL: lines */
    json_t *files; /* NULL: lines */
};

static void take_line(json_t *array, const char *text)
{
    if (array != NULL) {
        json_array_append_new(array, cli_json_text(text));
    } else {
        char *line = cli_escape(text);

        cli_clear_progress();
        printf("%s\n", line != NULL ? line : "a problem, and no memory to show it");
        free(line);
    }
}

static void on_change(const char *line, void *user_data)
{
    take_line(((const struct lines *)user_data)->json, line);
}

static void on_line(int32_t about, const char *line, void *user_data)
{
    const struct lines *lines = user_data;

    take_line(about == IMGSIM_CHECK_FILE ? lines->files : lines->json, line);
}

/* ---- checking ---- */

static uint64_t files_wrong(const imgsim_check_report *report)
{
    return report->files_gone + report->files_changed + report->files_damaged +
           report->files_unreadable;
}

static json_t *files_json(const imgsim_check_report *report, json_t *lines)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:o}", "checked", (json_int_t)report->files, "gone",
        (json_int_t)report->files_gone, "changed", (json_int_t)report->files_changed, "damaged",
        (json_int_t)report->files_damaged, "unreadable", (json_int_t)report->files_unreadable,
        "lines", lines);
}

static int
print_json(const imgsim_check_report *report, struct lines *lines, bool files, int status)
{
    json_t *root = json_pack(
        "{s:s, s:b, s:o, s:I, s:I, s:I}", "schema", "imgsim.verify/1", "sound",
        status != CLI_DAMAGED, "problems", lines->json, "rows", (json_int_t)report->rows,
        "rows_unknown", (json_int_t)report->rows_unknown, "rows_damaged",
        (json_int_t)report->rows_damaged);
    int printed;

    if (files && root != NULL)
        json_object_set_new(root, "files", files_json(report, lines->files));
    else
        json_decref(lines->files);
    printed = cli_print_json(root);
    return printed != CLI_DONE ? printed : status;
}

static void
print_summary(const struct cli *cli, const imgsim_check_report *report, bool files, int status)
{
    char numbers[5][32], about_files[256] = "", about_rows[256] = "";

    if (files)
        snprintf(
            about_files, sizeof(about_files),
            "; of %s files %s are gone, %s changed, %s damaged, %s unreadable",
            cli_count_text(report->files, numbers[0]),
            cli_count_text(report->files_gone, numbers[1]),
            cli_count_text(report->files_changed, numbers[2]),
            cli_count_text(report->files_damaged, numbers[3]),
            cli_count_text(report->files_unreadable, numbers[4]));
    if (report->rows_unknown > 0)
        snprintf(
            about_rows, sizeof(about_rows),
            "; %s of %s rows have no checksum yet, 'imgsim verify --repair' gives them one",
            cli_count_text(report->rows_unknown, numbers[0]),
            cli_count_text(report->rows, numbers[1]));
    cli_note(
        cli, "%s%s%s",
        status == CLI_DAMAGED ? "the catalog is damaged; 'imgsim verify --repair' repairs it"
                              : "no problem found",
        about_files, about_rows);
}

static int verify(struct cli *cli, int32_t files)
{
    struct lines lines = {NULL, NULL};
    imgsim_check_report report = {.struct_size = sizeof(report)};
    imgsim_check_options options;
    imgsim_catalog *catalog = NULL;
    imgsim_status checked;
    int status = cli_open_catalog(cli, NULL, CLI_READ, &catalog);

    if (status != CLI_GO_ON)
        return status;
    if (cli->json) {
        lines.json = json_array();
        lines.files = json_array();
    }
    imgsim_check_options_init(&options, sizeof(options));
    options.files = files;
    options.callback = on_line;
    options.user_data = &lines;
    options.progress = cli_show_progress;
    options.progress_data = cli;
    cli_catch_interrupts();
    checked = imgsim_catalog_check(catalog, &options, &report);
    cli_clear_progress();
    imgsim_catalog_free(catalog);
    if (checked != IMGSIM_OK && checked != IMGSIM_ERROR_CORRUPT) {
        json_decref(lines.json);
        json_decref(lines.files);
        return cli_failed(checked, CLI_ABOUT_CATALOG);
    }

    status = checked != IMGSIM_OK       ? CLI_DAMAGED
             : files_wrong(&report) > 0 ? CLI_SOME_FAILED
                                        : CLI_DONE;
    if (cli->json)
        return print_json(&report, &lines, files != IMGSIM_CHECK_FILES_NONE, status);
    print_summary(cli, &report, files != IMGSIM_CHECK_FILES_NONE, status);
    return status;
}

/* ---- repairing ---- */

static int
print_repair(const struct cli *cli, const imgsim_repair_report *report, json_t *lines, bool sound)
{
    int status = sound ? CLI_DONE : CLI_DAMAGED, printed;

    if (!cli->json) {
        if (sound && report->changes == 0)
            cli_note(cli, "no problem found");
        else if (sound)
            cli_note(cli, "repaired; run 'imgsim scan' to compute what was dropped");
        return status;
    }
    printed = cli_print_json(json_pack(
        "{s:s, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:b}", "schema", "imgsim.repair/1", "sound",
        sound, "changes", lines, "files_lost", (json_int_t)report->files_lost, "rows_dropped",
        (json_int_t)report->rows_dropped, "features_dropped", (json_int_t)report->features_dropped,
        "derived_dropped", (json_int_t)report->derived_dropped, "leftovers",
        (json_int_t)report->leftovers, "rebuilt", report->rebuilt != 0));
    return printed != CLI_DONE ? printed : status;
}

static int repair(const struct cli *cli)
{
    struct lines lines = {cli->json ? json_array() : NULL, NULL};
    imgsim_repair_report report = {.struct_size = sizeof(report)};
    imgsim_repair_options options;
    imgsim_status repaired;
    char *folder = NULL;
    int status = cli_find_catalog(cli, NULL, &folder);

    if (status != CLI_GO_ON) {
        json_decref(lines.json);
        return status;
    }
    imgsim_repair_options_init(&options, sizeof(options));
    options.callback = on_change;
    options.user_data = &lines;
    repaired = imgsim_catalog_repair(folder, &options, &report);
    free(folder);
    if (repaired != IMGSIM_OK) {
        status = cli_failed(repaired, CLI_ABOUT_OPENING);
        if (repaired != IMGSIM_ERROR_CORRUPT || !cli->json) {
            json_decref(lines.json);
            return status;
        }
    }
    return print_repair(cli, &report, lines.json, repaired == IMGSIM_OK);
}

int cmd_verify(struct cli *cli, int argc, char **argv)
{
    int32_t wants_repair = 0, files = IMGSIM_CHECK_FILES_NONE;
    const struct cli_option table[] = {
        {"repair", 0, CLI_FLAG, &wants_repair, 0, 0, NULL},
        {"files", 0, CLI_CHOICE_OPTIONAL, &files, 0, 0, files_choices},
    };
    int status = cli_parse(cli, argc, argv, table, sizeof(table) / sizeof(table[0]));

    if (status == CLI_GO_ON && cli->operand_count > 0)
        status = cli_usage(cli, "verify takes no '%s'; -c names the catalog", cli->operands[0]);
    if (status == CLI_GO_ON && wants_repair && files != IMGSIM_CHECK_FILES_NONE)
        status = cli_usage(cli, "--repair leaves the images' files alone; check them with --files");
    if (status != CLI_GO_ON)
        return status;
    return wants_repair ? repair(cli) : verify(cli, files);
}
