/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim verify: check the catalog and its files for damage, and repair it. */
#include "common.h"

#include <stdlib.h>
#include <string.h>

const char cli_help_verify[] =
    "imgsim verify             a line per problem; exit status 4 if there is any\n"
    "imgsim verify --json\n"
    "imgsim verify --repair    puts right what can be, drops what cannot, says so\n"
    "\n"
    "Checks the database, the feature matrices, the indexes and the projectors, and\n"
    "that they agree. Without --repair it changes nothing. What a repair drops is\n"
    "computed again by the next scan; a database that has to be built anew is kept\n"
    "as catalog.db.damaged.\n";

struct problems {
    json_t *json; /* NULL: lines */
    size_t count;
};

static void on_problem(const char *problem, void *user_data)
{
    struct problems *problems = user_data;

    problems->count++;
    if (problems->json != NULL) {
        json_array_append_new(problems->json, cli_json_text(problem));
    } else {
        char *line = cli_escape(problem);

        printf("%s\n", line != NULL ? line : "a problem, and no memory to show it");
        free(line);
    }
}

static int verify(const struct cli *cli)
{
    struct problems problems = {NULL, 0};
    imgsim_catalog *catalog = NULL;
    imgsim_status verified, derived;
    int status = cli_open_catalog(cli, NULL, CLI_READ, &catalog);

    if (status != CLI_GO_ON)
        return status;
    if (cli->json)
        problems.json = json_array();
    verified = imgsim_catalog_verify(catalog, on_problem, &problems);
    derived = imgsim_derive_verify(catalog, on_problem, &problems);
    imgsim_catalog_free(catalog);

    if (verified == IMGSIM_OK || verified == IMGSIM_ERROR_CORRUPT)
        verified = derived != IMGSIM_OK ? derived : verified;
    if (verified != IMGSIM_OK && verified != IMGSIM_ERROR_CORRUPT) {
        json_decref(problems.json);
        return cli_failed(verified, CLI_ABOUT_CATALOG);
    }
    status = problems.count > 0 || verified != IMGSIM_OK ? CLI_DAMAGED : CLI_DONE;
    if (cli->json) {
        int printed = cli_print_json(json_pack(
            "{s:s, s:b, s:o}", "schema", "imgsim.verify/1", "sound", status == CLI_DONE, "problems",
            problems.json));

        return printed != CLI_DONE ? printed : status;
    }
    if (status == CLI_DONE)
        cli_note(cli, "no problem found");
    else
        cli_note(cli, "the catalog is damaged; 'imgsim verify --repair' repairs it");
    return status;
}

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
    struct problems lines = {cli->json ? json_array() : NULL, 0};
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
    options.callback = on_problem;
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
    int32_t wants_repair = 0;
    const struct cli_option table[] = {{"repair", 0, CLI_FLAG, &wants_repair, 0, 0, NULL}};
    int status = cli_parse(cli, argc, argv, table, 1);

    if (status == CLI_GO_ON && cli->operand_count > 0)
        status = cli_usage(cli, "verify takes no '%s'; -c names the catalog", cli->operands[0]);
    if (status != CLI_GO_ON)
        return status;
    return wants_repair ? repair(cli) : verify(cli);
}
