/* SPDX-License-Identifier: Apache-2.0 */
/* imgsim label --predict: labels for images without, by the most similar labelled ones or by the network. */
#include "common.h"

#include <stdlib.h>
#include <string.h>

struct listing {
    const imgsim_catalog *catalog;
    json_t *array; /* NULL: a table */
    bool failed;
};

static int32_t take_path(const imgsim_file_info *file, void *user_data)
{
    *(char **)user_data = strdup(file->path);
    return 0;
}

/* What the network said, the most probable first. */
static json_t *list_classes(const imgsim_prediction *prediction)
{
    json_t *classes = json_array();

    for (size_t i = 0; i < prediction->class_count; i++)
        json_array_append_new(
            classes, json_pack(
                         "{s:o, s:f}", "label", cli_json_text(prediction->class_labels[i]),
                         "probability", prediction->class_shares[i]));
    return classes;
}

static bool list_in_json(json_t *array, const imgsim_prediction *prediction, const char *path)
{
    const bool agreed = prediction->label[0] != '\0';
    json_t *item = json_pack(
        "{s:I, s:o, s:f}", "image", (json_int_t)prediction->id, "label",
        agreed ? cli_json_text(prediction->label) : json_null(), "share", prediction->share);

    if (item == NULL || cli_json_path(item, "path", path) != 0 ||
        json_array_append_new(array, item) != 0)
        return false;
    return prediction->class_count == 0 ||
           json_object_set_new(item, "classes", list_classes(prediction)) == 0;
}

static int32_t list_prediction(const imgsim_prediction *prediction, void *user_data)
{
    struct listing *listing = user_data;
    char *path = NULL;

    imgsim_catalog_get_file(listing->catalog, prediction->id, take_path, &path);
    if (listing->array != NULL) {
        listing->failed = !list_in_json(listing->array, prediction, path != NULL ? path : "");
    } else {
        char *shown = cli_show_path(path != NULL ? path : "");
        char *label = cli_escape(prediction->label);

        printf(
            "%5.1f %%  %-24s %s\n", 100 * prediction->share,
            label != NULL && label[0] != '\0' ? label : "-", shown != NULL ? shown : "");
        free(shown);
        free(label);
    }
    free(path);
    return listing->failed;
}

static int report(
    const struct cli *cli,
    const struct listing *listing,
    const imgsim_predict_report *report,
    const imgsim_predict_options *options)
{
    if (cli->json)
        return cli_print_json(json_pack(
            "{s:s, s:I, s:I, s:I, s:I, s:b, s:{s:I, s:I, s:I}, s:O}", "schema",
            "imgsim.predictions/1", "labelled", (json_int_t)report->labelled_count, "labels",
            (json_int_t)report->label_count, "asked", (json_int_t)report->asked_count, "predicted",
            (json_int_t)report->predicted_count, "stored", options->store != 0, "leave_one_out",
            "tried", (json_int_t)report->tried_count, "answered",
            (json_int_t)report->answered_count, "right", (json_int_t)report->right_count,
            "predictions", listing->array));
    if (options->by == IMGSIM_PREDICT_NETWORK) {
        cli_note(
            cli, "%llu of %llu images got a label, one of %llu classes",
            (unsigned long long)report->predicted_count, (unsigned long long)report->asked_count,
            (unsigned long long)report->label_count);
        return CLI_DONE;
    }
    cli_note(
        cli, "%llu of %llu images got a label from %llu labelled ones with %llu labels",
        (unsigned long long)report->predicted_count, (unsigned long long)report->asked_count,
        (unsigned long long)report->labelled_count, (unsigned long long)report->label_count);
    if (report->answered_count > 0)
        cli_note(
            cli,
            "leaving one out, %.1f %% of %llu tried images got an answer, and %.1f %% of those "
            "were right",
            100.0 * (double)report->answered_count / (double)report->tried_count,
            (unsigned long long)report->tried_count,
            100.0 * (double)report->right_count / (double)report->answered_count);
    return CLI_DONE;
}

static int find_images(const imgsim_catalog *catalog, char **words, size_t count, int64_t **out_ids)
{
    *out_ids = malloc(count * sizeof(int64_t));
    if (*out_ids == NULL)
        return cli_no_memory();
    for (size_t i = 0; i < count; i++) {
        const int status = cli_find_image(catalog, words[i], &(*out_ids)[i]);

        if (status != CLI_GO_ON)
            return status;
    }
    return CLI_GO_ON;
}

int cli_predict(struct cli *cli, imgsim_predict_options *options, imgsim_catalog *catalog)
{
    struct listing listing = {.catalog = catalog};
    imgsim_predict_report counts = {.struct_size = sizeof(counts)};
    int64_t *ids = NULL;
    imgsim_status predicted;
    int status = CLI_GO_ON;

    if (cli->operand_count > 0)
        status = find_images(catalog, cli->operands, cli->operand_count, &ids);
    if (status == CLI_GO_ON && cli->json && (listing.array = json_array()) == NULL)
        status = cli_no_memory();
    if (status == CLI_GO_ON) {
        options->ids = ids;
        options->id_count = cli->operand_count;
        options->callback = list_prediction;
        options->user_data = &listing;
        options->progress = cli_show_progress;
        options->progress_data = cli;
        options->threads = cli->threads;
        cli_catch_interrupts();
        predicted = imgsim_derive_predictions(catalog, options, &counts);
        cli_clear_progress();
        if (listing.failed)
            status = cli_no_memory();
        else if (predicted != IMGSIM_OK)
            status = cli_failed(predicted, CLI_ABOUT_CATALOG);
        else
            status = report(cli, &listing, &counts, options);
    }
    json_decref(listing.array);
    free(ids);
    return status;
}
