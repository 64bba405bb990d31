/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim pca --study: what several numbers of components keep, as a table, as JSON and as a picture. */
#include "common.h"

#include <errno.h>
#include <math.h>
#include <string.h>

const struct cli_choice cli_classes_choices[] = {
    {"auto", IMGSIM_CLASSES_AUTO},
    {"labels", IMGSIM_CLASSES_LABELS},
    {"folders", IMGSIM_CLASSES_FOLDERS},
    {NULL, 0},
};

/* Line 0 is the feature as it is. */
#define LINES_MAX 64

struct table {
    size_t count;
    uint32_t dimensions[LINES_MAX];
    double energy[LINES_MAX];
    double recall[LINES_MAX];
    double precision[LINES_MAX];
    double seconds[LINES_MAX];
    uint32_t source_dimension;
    uint32_t neighbours;
    uint32_t precision_at;
};

/* "50,75,100" after the feature itself. Returns CLI_GO_ON, or CLI_USAGE after a message. */
static int read_dimensions(const struct cli *cli, const char *list, struct table *table)
{
    table->dimensions[0] = 0;
    table->count = 1;
    for (const char *at = list; at != NULL; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        const size_t length = strcspn(at, ",");
        uint64_t number = 0;
        char text[16];

        snprintf(text, sizeof(text), "%.*s", (int)(length < 15 ? length : 15), at);
        if (table->count == LINES_MAX)
            return cli_usage(cli, "--study takes at most %d numbers", LINES_MAX - 1);
        if (!cli_read_size(text, 1, 65536, &number))
            return cli_usage(
                cli, "--study '%s' is not a list of numbers from 1 to 65536, as 50,75,100", list);
        table->dimensions[table->count++] = (uint32_t)number;
    }
    return CLI_GO_ON;
}

/* ---- the table ---- */

/* A name for a line: "embedding" or the number of components. */
static const char *line_name(const struct table *table, size_t line, const char *source, char *room)
{
    if (table->dimensions[line] == 0)
        return source;
    snprintf(room, 32, "%u", table->dimensions[line]);
    return room;
}

static int print_table(const struct table *table, const char *source)
{
    char name[32], recall[32], precision[32];

    snprintf(recall, sizeof(recall), "recall@%u", table->neighbours);
    snprintf(precision, sizeof(precision), "precision@%u", table->precision_at);
    printf(
        "%-12s %10s %11s %13s %12s\n", "components", "variance", recall, precision, "ms a query");
    for (size_t i = 0; i < table->count; i++) {
        printf(
            "%-12s %8.2f %% %11.4f ", line_name(table, i, source, name), 100 * table->energy[i],
            table->recall[i]);
        if (isnan(table->precision[i]))
            printf("%13s", "-");
        else
            printf("%13.4f", table->precision[i]);
        printf(" %12.3f\n", 1e3 * table->seconds[i]);
    }
    return cli_finish_output(CLI_DONE);
}

static int print_json(const struct table *table, const char *source)
{
    json_t *lines = json_array();

    for (size_t i = 0; i < table->count; i++)
        json_array_append_new(
            lines,
            json_pack(
                "{s:I, s:f, s:f, s:o, s:f}", "components", (json_int_t)table->dimensions[i],
                "explained_variance", table->energy[i], "recall", table->recall[i], "precision",
                isnan(table->precision[i]) ? json_null() : json_real(table->precision[i]),
                "seconds_per_query", table->seconds[i]));
    return cli_print_json(json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:o}", "schema", "imgsim.pca-study/1", "source", source,
        "source_dimension", (json_int_t)table->source_dimension, "neighbours",
        (json_int_t)table->neighbours, "precision_at", (json_int_t)table->precision_at, "lines",
        lines));
}

/* ---- the picture ---- */

#define LEFT 64.0
#define TOP 56.0
#define WIDTH 620.0
#define HEIGHT 320.0

/* Where a number of components stands: on a logarithmic scale, the feature itself at the right end. */
static double place_x(const struct table *table, size_t line)
{
    uint32_t least = table->source_dimension;
    const uint32_t dimension =
        table->dimensions[line] > 0 ? table->dimensions[line] : table->source_dimension;

    for (size_t i = 1; i < table->count; i++)
        least = table->dimensions[i] < least ? table->dimensions[i] : least;
    if (least == table->source_dimension)
        return LEFT + WIDTH / 2;
    return LEFT +
           WIDTH * log((double)dimension / least) / log((double)table->source_dimension / least);
}

static double place_y(double share)
{
    return TOP + HEIGHT * (1 - share);
}

/* The order of lines by number of components, the feature itself last. */
static void sort_lines(const struct table *table, size_t order[LINES_MAX])
{
    for (size_t i = 0; i < table->count; i++) {
        size_t at = i;

        for (; at > 0 && place_x(table, order[at - 1]) > place_x(table, i); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static void draw_curve(
    FILE *out,
    const struct table *table,
    const double *values,
    const char *name,
    const char *colour,
    double legend_x)
{
    size_t order[LINES_MAX];

    sort_lines(table, order);
    if (isnan(values[0]))
        return;
    fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2.5\" points=\"", colour);
    for (size_t i = 0; i < table->count; i++)
        fprintf(out, "%.1f,%.1f ", place_x(table, order[i]), place_y(values[order[i]]));
    fprintf(out, "\"/>\n");
    for (size_t i = 0; i < table->count; i++)
        fprintf(
            out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"/>\n", place_x(table, i),
            place_y(values[i]), colour);
    fprintf(
        out,
        "<rect x=\"%.0f\" y=\"22\" width=\"14\" height=\"14\" rx=\"3\" fill=\"%s\"/>"
        "<text x=\"%.0f\" y=\"34\">%s</text>\n",
        legend_x, colour, legend_x + 20, name);
}

static void draw_axes(FILE *out, const struct table *table)
{
    double last = -1e9;
    size_t order[LINES_MAX];

    for (int share = 0; share <= 100; share += 20)
        fprintf(
            out,
            "<path d=\"M%.0f %.1fH%.0f\" stroke=\"#d9dee5\"/>"
            "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%d %%</text>\n",
            LEFT, place_y(share / 100.0), LEFT + WIDTH, LEFT - 10, place_y(share / 100.0) + 5,
            share);
    sort_lines(table, order);
    for (size_t i = 0; i < table->count; i++) {
        const double x = place_x(table, order[i]);
        const uint32_t dimension = table->dimensions[order[i]];

        fprintf(out, "<path d=\"M%.1f %.0fv%.0f\" stroke=\"#eef1f5\"/>\n", x, TOP, HEIGHT);
        if (x - last < 30 && dimension != 0)
            continue; /* numbers would overlap */
        last = x;
        fprintf(
            out, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%u</text>\n", x,
            TOP + HEIGHT + 24, dimension > 0 ? dimension : table->source_dimension);
    }
    fprintf(
        out,
        "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">components; %u: all "
        "dimensions</text>\n",
        LEFT + WIDTH / 2, TOP + HEIGHT + 52, table->source_dimension);
}

static int draw_plot(const struct table *table, const char *path)
{
    FILE *out = fopen(path, "wb");
    char recall[48], precision[48];
    bool failed;

    if (out == NULL) {
        cli_message("%s: %s", path, strerror(errno));
        return CLI_IO;
    }
    snprintf(recall, sizeof(recall), "true nearest %u kept", table->neighbours);
    snprintf(precision, sizeof(precision), "precision at %u", table->precision_at);
    fprintf(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
        "font-family=\"sans-serif\" font-size=\"14\" fill=\"#333c48\">\n"
        "<title>Principal components: what they keep</title>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        LEFT + WIDTH + 32, TOP + HEIGHT + 72);
    draw_axes(out, table);
    draw_curve(out, table, table->energy, "variance kept", "#8a96a8", LEFT);
    draw_curve(out, table, table->recall, recall, "#2463eb", LEFT + 170);
    draw_curve(out, table, table->precision, precision, "#d6303e", LEFT + 380);
    fprintf(out, "</svg>\n");
    failed = ferror(out) != 0;
    failed = fclose(out) != 0 || failed;
    if (failed) {
        cli_message("%s: %s", path, strerror(errno));
        return CLI_IO;
    }
    return CLI_GO_ON;
}

/* ---- the command ---- */

int cli_pca_study(struct cli *cli, const struct cli_study *study, const imgsim_catalog *catalog)
{
    static struct table table;
    imgsim_study_options options;
    struct cli_feature feature;
    imgsim_status status;
    int result = read_dimensions(cli, study->dimensions, &table);

    if (result != CLI_GO_ON)
        return result;
    imgsim_study_options_init(&options, sizeof(options));
    options.source = study->source;
    options.queries = study->queries;
    options.classes = study->classes;
    options.threads = cli->threads;
    options.progress = cli_show_progress;
    options.user_data = cli;
    cli_catch_interrupts();
    status = imgsim_derive_study(
        catalog, &options, table.dimensions, table.count, table.energy, table.recall,
        table.precision, table.seconds);
    cli_clear_progress();
    if (status != IMGSIM_OK)
        return cli_failed(status, CLI_ABOUT_CATALOG);
    table.neighbours = options.neighbours;
    table.precision_at = options.precision_at;
    table.source_dimension =
        cli_has_feature(catalog, study->source, &feature) ? feature.dimension : 0;
    if (study->plot != NULL && (result = draw_plot(&table, study->plot)) != CLI_GO_ON)
        return result;
    return cli->json ? print_json(&table, study->source) : print_table(&table, study->source);
}
