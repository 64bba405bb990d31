/* SPDX-License-Identifier: Apache-2.0 */
/* Labels from the classes that a network told: names from a file, sureness, storing, and what is wrong. */
#include "catalog_fixture.h"

#include "derive/derive_internal.h"

#include <unistd.h>

#define IMAGES 6
#define CLASSES 3

static char folder[4096];

/* A row of bytes: length, then class and probability; the last image has none. */
struct row {
    uint32_t length;
    struct {
        uint32_t number;
        float probability;
    } classes[5];
};

static void put_classes(imgsim_catalog *catalog, const char *spec)
{
    imgsim_feature_definition definition =
        fixture_definition("classes", IMGSIM_ROW_BYTES, 40, "c1");
    struct ims_catalog_writer *writer = NULL;
    uint32_t number = 0;

    definition.spec = spec;
    definition.metric = IMGSIM_METRIC_DEFAULT;
    CHECK_OK(ims_catalog_writer_open(catalog, "test", &writer));
    CHECK_OK(ims_catalog_writer_feature(writer, &definition, 1, &number));
    for (int64_t id = 0; id < IMAGES - 1; id++) {
        struct row row = {.length = 24};

        /* Image i is most probably of class i % 3, by 0.4, 0.5, ... */
        for (uint32_t c = 0; c < CLASSES; c++) {
            row.classes[c].number = ((uint32_t)id + c) % CLASSES;
            row.classes[c].probability = c == 0 ? 0.4f + 0.1f * (float)id : 0.1f;
        }
        CHECK_OK(ims_catalog_writer_put_row(writer, number, id, &row));
        CHECK_OK(ims_catalog_writer_mark_row(writer, number, id));
    }
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(catalog));
}

static const char *write_names(const char *text)
{
    static char path[4200];
    FILE *file;

    snprintf(path, sizeof(path), "%s/names.txt", folder);
    CHECK((file = fopen(path, "wb")) != NULL);
    fputs(text, file);
    CHECK(fclose(file) == 0);
    return path;
}

static imgsim_predict_options options_with(const char *names)
{
    imgsim_predict_options options;

    CHECK_OK(imgsim_predict_options_init(&options, sizeof(options)));
    options.by = IMGSIM_PREDICT_NETWORK;
    options.names_path = names;
    return options;
}

static int32_t take(const imgsim_prediction *prediction, void *user_data)
{
    char *said = user_data;

    CHECK_EQUAL(prediction->class_count, CLASSES);
    CHECK_NEAR(prediction->share, 0.4 + 0.1 * (double)prediction->id, 1e-6);
    CHECK_NEAR(prediction->class_shares[0], prediction->share, 0);
    CHECK_NEAR(prediction->class_shares[1], 0.1, 1e-6);
    strcat(said, prediction->label[0] != '\0' ? prediction->label : "-");
    strcat(said, "/");
    strcat(said, prediction->class_labels[1]);
    strcat(said, " ");
    return 0;
}

static void the_network_is_believed_where_it_is_sure(imgsim_catalog *catalog)
{
    imgsim_predict_report report = {.struct_size = sizeof(report)};
    imgsim_predict_options options = options_with(write_names("cat\r\ndog\r\nfish, any"));
    struct ims_bitset ids = {0};
    char said[400] = "";
    int64_t asked = 1;

    options.callback = take;
    options.user_data = said;
    options.min_share = 0.55;
    options.store = 1;
    CHECK_OK(imgsim_derive_predictions(catalog, &options, &report));
    CHECK_TEXT(said, "-/dog -/fish, any fish, any/cat cat/dog dog/fish, any ");
    CHECK_EQUAL(report.asked_count, IMAGES - 1);
    CHECK_EQUAL(report.predicted_count, 3);
    CHECK_EQUAL(report.label_count, CLASSES);
    CHECK_EQUAL(report.tried_count, 0);
    CHECK_OK(ims_catalog_ids_with_label(catalog, "predicted:fish, any", &ids));
    CHECK(ims_bitset_test(&ids, 2));
    CHECK_EQUAL(ims_bitset_popcount(&ids), 1);
    ims_bitset_clear(&ids);

    /* Images that have a label are not asked about; stored predictions are replaced. */
    CHECK_OK(imgsim_catalog_add_label(catalog, 4, "mine"));
    options.min_share = 0.65;
    said[0] = '\0';
    CHECK_OK(imgsim_derive_predictions(catalog, &options, &report));
    CHECK_TEXT(said, "-/dog -/fish, any -/cat cat/dog ");
    CHECK_EQUAL(report.labelled_count, 1);
    CHECK_FAILS(
        ims_catalog_ids_with_label(catalog, "predicted:fish, any", &ids), IMGSIM_ERROR_NOT_FOUND,
        "fish");
    options.ids = &asked;
    options.id_count = 1;
    said[0] = '\0';
    CHECK_OK(imgsim_derive_predictions(catalog, &options, &report));
    CHECK_TEXT(said, "-/fish, any ");
    asked = IMAGES - 1;
    CHECK_FAILS(imgsim_derive_predictions(catalog, &options, &report), IMGSIM_ERROR_NOT_FOUND, "5");
}

static void names_must_fit(imgsim_catalog *catalog)
{
    static const struct {
        const char *text, *word;
    } wrong[] = {
        {"a\nb", "2 lines"},  {"a\nb\nc\nd", "4 lines"}, {"a\nb\nc\nd\ne\nf", "more than 4"},
        {"a\n\nc", "line 2"}, {"a\nb\n\xFF", "line 3"},  {"", "0 lines"},
    };
    imgsim_predict_options options;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        options = options_with(write_names(wrong[i].text));
        CHECK_FAILS(
            imgsim_derive_predictions(catalog, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
            wrong[i].word);
    }
    options = options_with(write_names("\xEF\xBB\xBF"
                                       "background\na\nb\nc\n"));
    CHECK_OK(imgsim_derive_predictions(catalog, &options, NULL));
    options = options_with("/nowhere/names.txt");
    CHECK_FAILS(
        imgsim_derive_predictions(catalog, &options, NULL), IMGSIM_ERROR_NOT_FOUND, "names.txt");
    options = options_with(NULL);
    CHECK_FAILS(
        imgsim_derive_predictions(catalog, &options, NULL), IMGSIM_ERROR_NOT_FOUND, "--names");
    options.by = 7;
    CHECK_FAILS(
        imgsim_derive_predictions(catalog, &options, NULL), IMGSIM_ERROR_UNSUPPORTED, "way 7");
}

/* The names are the model's, under "classes" of its metadata. */
static void models_name_their_classes(imgsim_catalog *catalog)
{
    static const char header[] = "{\"__metadata__\":{\"classes\":\"a\\nb\\nc\"}}";
    imgsim_predict_report report = {.struct_size = sizeof(report)};
    imgsim_predict_options options = options_with(NULL);
    char path[4200], spec[4300];
    FILE *file;

    snprintf(path, sizeof(path), "%s/model.safetensors", folder);
    CHECK((file = fopen(path, "wb")) != NULL);
    for (size_t i = 0; i < 8; i++)
        fputc(i == 0 ? (int)sizeof(header) - 1 : 0, file);
    fputs(header, file);
    CHECK(fclose(file) == 0);
    snprintf(spec, sizeof(spec), "classes:count=3,arch=x,model=%s", path);
    CHECK_OK(imgsim_catalog_remove_features(catalog, "classes"));
    put_classes(catalog, spec);
    CHECK_OK(imgsim_derive_predictions(catalog, &options, &report));
    CHECK_EQUAL(report.label_count, CLASSES);

    /* More classes in a row than the network has. */
    CHECK_OK(imgsim_catalog_remove_features(catalog, "classes"));
    put_classes(catalog, "classes:count=2,arch=x,model=/nowhere");
    options.names_path = write_names("a\nb\n");
    CHECK_FAILS(
        imgsim_derive_predictions(catalog, &options, NULL), IMGSIM_ERROR_CORRUPT, "class 2");
    options.feature = "embedding";
    CHECK_FAILS(
        imgsim_derive_predictions(catalog, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
        "embedding");
    CHECK_OK(imgsim_catalog_remove_features(catalog, "classes"));
    options.feature = NULL;
    CHECK_FAILS(
        imgsim_derive_predictions(catalog, &options, NULL), IMGSIM_ERROR_NOT_FOUND, "--classes");
}

int main(void)
{
    imgsim_catalog *catalog;

    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    catalog = fixture_collection(folder, IMAGES);
    put_classes(catalog, "classes:count=3,arch=x,model=/nowhere");
    the_network_is_believed_where_it_is_sure(catalog);
    names_must_fit(catalog);
    models_name_their_classes(catalog);
    imgsim_catalog_free(catalog);
    return 0;
}
