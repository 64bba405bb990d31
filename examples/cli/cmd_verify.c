/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim verify: check the catalog and its files for damage. */
#include "common.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

const char cli_help_verify[] =
    "imgsim verify             a line per problem; exit status 4 if there is any\n"
    "imgsim verify --json\n"
    "\n"
    "Checks the database, the feature matrices, the indexes, and that they agree.\n"
    "It changes nothing.\n";

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

/* Every stored index, with its checksums. */
static void verify_indexes(const imgsim_catalog *catalog, struct problems *problems)
{
    char folder[8192], path[9216], problem[10240];
    struct dirent *entry;
    DIR *directory;

    snprintf(folder, sizeof(folder), "%s/indexes", imgsim_catalog_get_path(catalog));
    directory = opendir(folder);
    if (directory == NULL)
        return; /* there are none */
    while ((entry = readdir(directory)) != NULL) {
        const size_t length = strlen(entry->d_name);
        imgsim_index *index = NULL;

        if (length < 5 || strcmp(entry->d_name + length - 4, ".ims") != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (imgsim_index_open(path, 1, &index) != IMGSIM_OK) {
            snprintf(
                problem, sizeof(problem), "indexes/%s: %s; 'imgsim index' builds it anew",
                entry->d_name, imgsim_last_error());
            on_problem(problem, problems);
        }
        imgsim_index_free(index);
    }
    closedir(directory);
}

int cmd_verify(struct cli *cli, int argc, char **argv)
{
    struct problems problems = {NULL, 0};
    imgsim_catalog *catalog = NULL;
    imgsim_status verified;
    int status = cli_parse(cli, argc, argv, NULL, 0);

    if (status == CLI_GO_ON && cli->operand_count > 0)
        status = cli_usage(cli, "verify takes no '%s'; -c names the catalog", cli->operands[0]);
    if (status == CLI_GO_ON)
        status = cli_open_catalog(cli, NULL, CLI_READ, &catalog);
    if (status != CLI_GO_ON)
        return status;

    if (cli->json)
        problems.json = json_array();
    verified = imgsim_catalog_verify(catalog, on_problem, &problems);
    verify_indexes(catalog, &problems);
    imgsim_catalog_free(catalog);

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
        cli_note(cli, "the catalog is damaged; scan into a new one with 'imgsim scan -c DIR PATH'");
    return status;
}
