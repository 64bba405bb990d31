/* SPDX-License-Identifier: Apache-2.0 */
/* Options: one table per command, read with getopt_long; mistyped words get a suggestion. */
#include "common.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 64
/* getopt_long's value of the option at position i of the table is LONG_BASE + i. */
#define LONG_BASE 256

static const struct cli_choice cli_progress_choices[] = {
    {"lines", CLI_PROGRESS_LINES},
    {"json", CLI_PROGRESS_JSON},
    {NULL, 0}};

/* The options that every command has. */
#define COMMON_COUNT 9
static void common_options(struct cli *cli, struct cli_option *out)
{
    const struct cli_option common[COMMON_COUNT] = {
        {"catalog", 'c', CLI_TEXT, &cli->catalog, 0, 0, NULL},
        {"model", 0, CLI_TEXT, &cli->model, 0, 0, NULL},
        {"threads", 0, CLI_COUNT, &cli->threads, 0, 1024, NULL},
        {"quiet", 'q', CLI_FLAG, &cli->quiet, 0, 0, NULL},
        {"verbose", 'v', CLI_FLAG, &cli->verbose, 0, 0, NULL},
        {"json", 0, CLI_FLAG, &cli->json, 0, 0, NULL},
        {"progress", 0, CLI_CHOICE_OPTIONAL, &cli->progress, 0, 0, cli_progress_choices},
        {"help", 'h', CLI_FLAG, &cli->help, 0, 0, NULL},
        {"version", 0, CLI_FLAG, &cli->version, 0, 0, NULL},
    };

    memcpy(out, common, sizeof(common));
}

/* ---- suggestions ---- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits (insert, delete, replace, swap of neighbours) between two words of fewer than 64 bytes. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[3][64];
    const size_t a_length = strlen(a), b_length = strlen(b);

    if (a_length >= 64 || b_length >= 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        row[0][j] = j;

    for (size_t i = 1; i <= a_length; i++) {
        size_t *now = row[i % 3], *before = row[(i + 2) % 3], *earlier = row[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            now[j] = before[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = smaller(now[j], smaller(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], earlier[j - 2] + 1);
        }
    }
    return row[a_length % 3][b_length];
}

const char *cli_suggest(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = SIZE_MAX;

    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(word);
        size_t distance = edit_distance(word, names[i]);

        /* A word cut short is near, too. */
        if (length >= 3 && strncmp(word, names[i], length) == 0)
            distance = 1;
        if (distance < best_distance) {
            best_distance = distance;
            best = names[i];
        }
    }
    /* More than a third of the word changed is another word. */
    return best != NULL && best_distance <= strlen(best) / 3 ? best : NULL;
}

const char *cli_suggest_choice(const char *word, const struct cli_choice *choices)
{
    const char *names[OPTIONS_MAX];
    size_t count = 0;

    while (count < OPTIONS_MAX && choices[count].name != NULL) {
        names[count] = choices[count].name;
        count++;
    }
    return cli_suggest(word, names, count);
}

/* ---- values ---- */

bool cli_read_size(const char *text, double least, double most, uint64_t *out_value)
{
    char *end = NULL;
    unsigned long long value;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || (double)value < least || (double)value > most)
        return false;
    *out_value = value;
    return true;
}

bool cli_read_real(const char *text, double least, double most, double *out_value)
{
    char *end = NULL;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value) || value < least || value > most)
        return false;
    *out_value = value;
    return true;
}

int cli_read_metric(const struct cli *cli, const char *name, int32_t *out_metric)
{
    const char *names[OPTIONS_MAX];
    const char *near;
    size_t count = 0;

    if (imgsim_metric_from_name(name, out_metric) == IMGSIM_OK)
        return CLI_GO_ON;
    for (int32_t metric = IMGSIM_METRIC_COSINE; metric < IMGSIM_METRIC_CALLBACK; metric++)
        names[count++] = imgsim_metric_name(metric);
    near = cli_suggest(name, names, count);
    if (near != NULL)
        return cli_usage(cli, "--metric: unknown '%s'; did you mean '%s'?", name, near);
    return cli_usage(cli, "--metric: %s", imgsim_last_error());
}

/* An option as it is usually typed: "-k", "--by". Belongs to a static buffer. */
static const char *shown(const struct cli_option *option)
{
    static char text[64];

    if (option->letter != 0)
        snprintf(text, sizeof(text), "-%c", option->letter);
    else
        snprintf(text, sizeof(text), "--%s", option->name);
    return text;
}

static int wrong_choice(const struct cli *cli, const struct cli_option *option, const char *text)
{
    const char *near = cli_suggest_choice(text, option->choices);
    char list[256] = "";
    size_t used = 0;

    if (near != NULL)
        return cli_usage(cli, "%s: unknown '%s'; did you mean '%s'?", shown(option), text, near);
    for (const struct cli_choice *choice = option->choices; choice->name != NULL; choice++) {
        const char *comma = choice == option->choices ? "" : ", ";

        if (used < sizeof(list))
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", comma, choice->name);
    }
    return cli_usage(cli, "%s: unknown '%s'; it takes one of: %s", shown(option), text, list);
}

static int set_number(const struct cli *cli, const struct cli_option *option, const char *text)
{
    uint64_t number = 0;
    double real = 0;

    if (option->kind == CLI_REAL) {
        if (!cli_read_real(text, option->least, option->most, &real))
            return cli_usage(
                cli, "%s: '%s' is no number from %g to %g", shown(option), text, option->least,
                option->most);
        *(double *)option->value = real;
        return CLI_GO_ON;
    }
    if (!cli_read_size(text, option->least, option->most, &number))
        return cli_usage(
            cli, "%s: '%s' is no whole number from %.0f to %.0f", shown(option), text,
            option->least, option->most);
    if (option->kind == CLI_SIZE)
        *(uint64_t *)option->value = number;
    else
        *(uint32_t *)option->value = (uint32_t)number;
    return CLI_GO_ON;
}

static int set_value(const struct cli *cli, const struct cli_option *option, const char *text)
{
    struct cli_list *list = option->value;

    switch (option->kind) {
    case CLI_FLAG:
        *(int32_t *)option->value = 1;
        return CLI_GO_ON;
    case CLI_TEXT:
        if (text[0] == '\0')
            return cli_usage(cli, "%s needs a value that is not empty", shown(option));
        *(const char **)option->value = text;
        return CLI_GO_ON;
    case CLI_LIST:
        if (list->count == CLI_LIST_MAX)
            return cli_usage(cli, "%s: at most %d times", shown(option), CLI_LIST_MAX);
        list->items[list->count++] = text;
        return CLI_GO_ON;
    case CLI_CHOICE_OPTIONAL:
        if (text == NULL)
            text = option->choices[0].name;
        __attribute__((fallthrough));
    case CLI_CHOICE:
        for (const struct cli_choice *choice = option->choices; choice->name != NULL; choice++) {
            if (strcmp(choice->name, text) == 0) {
                *(int32_t *)option->value = choice->value;
                return CLI_GO_ON;
            }
        }
        return wrong_choice(cli, option, text);
    case CLI_COUNT_OPTIONAL:
        if (text == NULL) {
            *(uint32_t *)option->value = UINT32_MAX;
            return CLI_GO_ON;
        }
        return set_number(cli, option, text);
    case CLI_COUNT:
    case CLI_SIZE:
    case CLI_REAL:
        return set_number(cli, option, text);
    }
    return CLI_GO_ON;
}

/* ---- reading a command line ---- */

struct table {
    struct cli_option options[OPTIONS_MAX];
    size_t count;
    struct option longs[OPTIONS_MAX + 1];
    char shorts[2 * OPTIONS_MAX + 4];
};

static void table_fill(
    struct table *table,
    struct cli *cli,
    const char *mode,
    const struct cli_option *options,
    size_t option_count)
{
    char *letter = table->shorts;

    memset(table, 0, sizeof(*table));
    common_options(cli, table->options);
    if (option_count > 0)
        memcpy(table->options + COMMON_COUNT, options, option_count * sizeof(*options));
    table->count = COMMON_COUNT + option_count;

    letter += strlen(strcpy(letter, mode));
    for (size_t i = 0; i < table->count; i++) {
        const struct cli_option *option = &table->options[i];
        const bool optional =
            option->kind == CLI_COUNT_OPTIONAL || option->kind == CLI_CHOICE_OPTIONAL;
        const int argument = option->kind == CLI_FLAG ? no_argument
                             : optional               ? optional_argument
                                                      : required_argument;

        table->longs[i] = (struct option){option->name, argument, NULL, LONG_BASE + (int)i};
        if (option->letter != 0) {
            *letter++ = option->letter;
            if (argument == required_argument)
                *letter++ = ':';
        }
    }
}

static const struct cli_option *table_find(const struct table *table, int found)
{
    if (found >= LONG_BASE)
        return &table->options[found - LONG_BASE];
    for (size_t i = 0; i < table->count; i++) {
        if (table->options[i].letter != 0 && table->options[i].letter == found)
            return &table->options[i];
    }
    return NULL;
}

static int unknown_option(const struct cli *cli, const struct table *table, const char *word)
{
    const char *names[OPTIONS_MAX];
    const char *near;
    char name[64];

    if (optopt >= LONG_BASE)
        return cli_usage(cli, "--%s takes no value", table_find(table, optopt)->name);
    if (optopt != 0)
        return cli_usage(cli, "unknown option '-%c'", optopt);

    snprintf(name, sizeof(name), "%s", word + strspn(word, "-"));
    name[strcspn(name, "=")] = '\0';
    for (size_t i = 0; i < table->count; i++)
        names[i] = table->options[i].name;
    near = cli_suggest(name, names, table->count);
    if (near != NULL)
        return cli_usage(cli, "unknown option '--%s'; did you mean '--%s'?", name, near);
    return cli_usage(cli, "unknown option '--%s'", name);
}

static int parse(struct cli *cli, int argc, char **argv, const struct table *table)
{
    int found;

    opterr = 0;
    optind = 0; /* begin anew */
    while ((found = getopt_long(argc, argv, table->shorts, table->longs, NULL)) != -1) {
        const struct cli_option *option;
        int status;

        if (found == '?')
            return unknown_option(cli, table, argv[optind - 1]);
        if (found == ':') {
            option = table_find(table, optopt);
            return cli_usage(cli, "%s needs a value", shown(option));
        }
        option = table_find(table, found);
        status = set_value(cli, option, optarg);
        if (status != CLI_GO_ON)
            return status;
    }
    return CLI_GO_ON;
}

int cli_parse(
    struct cli *cli,
    int argc,
    char **argv,
    const struct cli_option *options,
    size_t option_count)
{
    struct table table;
    int status;

    table_fill(&table, cli, ":", options, option_count);
    status = parse(cli, argc, argv, &table);
    if (status != CLI_GO_ON)
        return status;

    if (cli->help) {
        fputs(cli->command->help, stdout);
        return CLI_DONE;
    }
    if (cli->version) {
        printf("imgsim %s\n", imgsim_version_string());
        return CLI_DONE;
    }
    cli->operands = argv + optind;
    cli->operand_count = (size_t)(argc - optind);
    return CLI_GO_ON;
}

int cli_parse_leading(struct cli *cli, int argc, char **argv, int *out_next)
{
    struct table table;
    int status;

    table_fill(&table, cli, "+:", NULL, 0);
    status = parse(cli, argc, argv, &table);
    *out_next = optind;
    return status;
}
