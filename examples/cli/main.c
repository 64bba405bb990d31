/* SPDX-License-Identifier: Apache-2.0 */
/* The command `imgsim`: finds the command of the first word and runs it. */
#include "common.h"

#include <signal.h>
#include <string.h>

static const struct cli_command commands[] = {
    {"scan", "find pictures, compute their features, store them", cli_help_scan, cmd_scan},
    {"search", "the images that look most like one to five others", cli_help_search, cmd_search},
    {"pca", "project a feature to fewer dimensions", cli_help_pca, cmd_pca},
    {"index", "build or refresh an index for fast searches", cli_help_index, cmd_index},
    {"map", "a map of all images: a page, or for TensorBoard", cli_help_map, cmd_map},
    {"cluster", "put images into clusters, kept as labels", cli_help_cluster, cmd_cluster},
    {"label", "give images labels, list them", cli_help_label, cmd_label},
    {"dups", "images that are there more than once, or nearly", cli_help_dups, cmd_dups},
    {"export", "write features as .npy, the catalog as CSV", cli_help_export, cmd_export},
    {"import", "take rows of your own in from an .npy file", cli_help_import, cmd_import},
    {"status", "what the catalog holds, and what failed", cli_help_status, cmd_status},
    {"verify", "check the catalog and its files for damage", cli_help_verify, cmd_verify},
    {"model", "show the network of the catalog or of a file", cli_help_model, cmd_model},
    {"version", "what this build can do", cli_help_version, cmd_version},
    {"help", "explain a command", cli_help_help, cmd_help},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_overview(void)
{
    fputs(
        "imgsim scan photos                         read the pictures below photos/\n"
        "imgsim search a.jpg b.jpg --sheet s.jpg    the five most like both, drawn\n\n"
        "Commands ('imgsim help COMMAND' tells more):\n",
        stdout);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-8s  %s\n", commands[i].name, commands[i].summary);
    fputs(
        "\nOptions of every command:\n"
        "  -c, --catalog DIR   else $IMGSIM_CATALOG, else the nearest .imgsim upwards\n"
        "  --model FILE        the network's weights; else $IMGSIM_MODEL\n"
        "  --threads N, -q, -v, --json, --progress, -h, --version\n",
        stdout);
}

const struct cli_command *cli_find_command(const char *name)
{
    const char *names[COMMAND_COUNT];
    const char *near;

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
        names[i] = commands[i].name;
    }
    near = cli_suggest(name, names, COMMAND_COUNT);
    if (near != NULL)
        cli_message("unknown command '%s'; did you mean '%s'?", name, near);
    else
        cli_message("unknown command '%s'; 'imgsim help' lists the commands", name);
    return NULL;
}

const char cli_help_help[] = "imgsim help           the commands\n"
                             "imgsim help search    one of them\n\n"
                             "The same as 'imgsim search --help'.\n";

int cmd_help(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *command;
    int status = cli_parse(cli, argc, argv, NULL, 0);

    if (status != CLI_GO_ON)
        return status;
    if (cli->operand_count > 1)
        return cli_usage(cli, "help takes one command");
    if (cli->operand_count == 0) {
        print_overview();
        return CLI_DONE;
    }
    command = cli_find_command(cli->operands[0]);
    if (command == NULL)
        return CLI_USAGE;
    fputs(command->help, stdout);
    return CLI_DONE;
}

/* Warnings of the library always, the rest with -v. */
static void on_log(int32_t level, const char *message, void *user_data)
{
    const struct cli *cli = user_data;

    if (level == IMGSIM_LOG_WARNING || cli->verbose)
        cli_note(cli, "%s", message);
}

static int run(struct cli *cli, int argc, char **argv)
{
    int next = 0;
    int status = cli_parse_leading(cli, argc, argv, &next);

    if (status != CLI_GO_ON)
        return status;
    if (cli->version) {
        printf("imgsim %s\n", imgsim_version_string());
        return CLI_DONE;
    }
    if (next == argc && !cli->help) {
        cli_message("a command is missing; 'imgsim help' lists them");
        return CLI_USAGE;
    }
    if (next == argc) {
        print_overview();
        return CLI_DONE;
    }

    cli->command = cli_find_command(argv[next]);
    if (cli->command == NULL)
        return CLI_USAGE;
    return cli->command->run(cli, argc - next, argv + next);
}

int main(int argc, char **argv)
{
    struct cli cli;

    memset(&cli, 0, sizeof(cli));
    signal(SIGPIPE, SIG_IGN);
    imgsim_set_log_callback(on_log, &cli);
    /* The library splits matrix products over its own threads. */
    imgsim_set_blas_threads(1);
    cli_allow_all_processors();
    return cli_finish_output(run(&cli, argc, argv));
}
