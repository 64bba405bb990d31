/* SPDX-License-Identifier: Apache-2.0 */
/* Projections of a catalog: rows and projector agree, follow the images, and never mislead. */
#include "catalog_fixture.h"

#include "core/file.h"
#include "core/memory.h"
#include "derive/derive.h"

#include <unistd.h>

#define IMAGES 300
#define COMPONENTS 5

static char folder[4096];

static imgsim_projection_options options_of(uint32_t dimension)
{
    imgsim_projection_options options;

    CHECK_OK(imgsim_projection_options_init(&options, sizeof(options)));
    CHECK_EQUAL(options.dimension, 128);
    options.dimension = dimension;
    return options;
}

static imgsim_catalog *new_collection(void)
{
    fixture_remove_folder(folder);
    return fixture_collection(folder, IMAGES);
}

static imgsim_projector *project(imgsim_catalog *catalog, uint32_t dimension)
{
    imgsim_projection_options options = options_of(dimension);
    imgsim_projector *projector;

    CHECK_OK(imgsim_derive_projection(catalog, &options, &projector));
    return projector;
}

/* Every image with an embedding has its projected row, and no other has. */
static void check_rows(const imgsim_catalog *catalog, const char *name)
{
    imgsim_features *source, *projected;
    imgsim_projector *projector;
    uint64_t count = 0;

    CHECK_OK(imgsim_catalog_open_features(catalog, "embedding", &source));
    CHECK_OK(imgsim_catalog_open_features(catalog, name, &projected));
    CHECK_OK(ims_derive_open_projector(catalog, name, &projector));
    CHECK_TEXT(ims_features_fingerprint(projected), imgsim_projector_get_fingerprint(projector));
    CHECK_TEXT(ims_features_source(projected), "embedding");
    CHECK_EQUAL(imgsim_features_get_metric(projected), IMGSIM_METRIC_COSINE);
    for (int64_t id = 0; id < (int64_t)imgsim_catalog_get_id_count(catalog); id++) {
        uint32_t dimension = imgsim_projector_get_output_dimension(projector);
        float row[FIXTURE_FLOATS], expected[FIXTURE_FLOATS];

        CHECK_EQUAL(imgsim_features_has_row(source, id), imgsim_features_has_row(projected, id));
        if (!imgsim_features_has_row(source, id))
            continue;
        fixture_floats(id, row);
        CHECK_OK(imgsim_projector_transform(projector, row, 1, expected));
        CHECK_EQUAL(
            memcmp(
                (const float *)imgsim_features_get_rows(projected) + id * dimension, expected,
                dimension * sizeof(float)),
            0);
        count++;
    }
    CHECK_EQUAL(count, imgsim_catalog_get_image_count(catalog));
    imgsim_projector_free(projector);
    imgsim_features_free(projected);
    imgsim_features_free(source);
}

static bool has_feature(const imgsim_catalog *catalog, const char *name)
{
    imgsim_features *features;
    imgsim_status status = imgsim_catalog_open_features(catalog, name, &features);

    CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_NOT_FOUND);
    imgsim_features_free(features);
    return status == IMGSIM_OK;
}

static void a_projection_is_a_feature_with_its_projector(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_projector *made = project(catalog, COMPONENTS);
    imgsim_projector *direct;
    float rows[IMAGES * FIXTURE_FLOATS];
    char path[4200];

    CHECK_EQUAL(imgsim_projector_get_row_count(made), IMAGES);
    check_rows(catalog, "embedding-pca5");
    snprintf(path, sizeof(path), "%s/features/embedding-pca5.pca.ims", folder);
    CHECK_EQUAL(access(path, R_OK), 0);

    for (int64_t id = 0; id < IMAGES; id++)
        fixture_floats(id, rows + id * FIXTURE_FLOATS);
    CHECK_OK(imgsim_projector_new(FIXTURE_FLOATS, COMPONENTS, NULL, &direct));
    CHECK_OK(imgsim_projector_add(direct, rows, IMAGES));
    CHECK_OK(imgsim_projector_train(direct));
    CHECK_TEXT(imgsim_projector_get_fingerprint(made), imgsim_projector_get_fingerprint(direct));
    imgsim_projector_free(direct);
    imgsim_projector_free(made);

    /* Another handle sees the same. */
    imgsim_catalog_free(catalog);
    catalog = fixture_open(folder, 0);
    check_rows(catalog, "embedding-pca5");
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
    imgsim_catalog_free(catalog);
}

static void making_it_again_replaces_it(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_projection_options options = options_of(COMPONENTS);
    imgsim_projector_options settings;

    options.name = "small";
    CHECK_OK(imgsim_derive_projection(catalog, &options, NULL));
    check_rows(catalog, "small");
    CHECK_OK(imgsim_derive_projection(catalog, &options, NULL));
    check_rows(catalog, "small");
    CHECK_OK(imgsim_projector_options_init(&settings, sizeof(settings)));
    settings.whiten = 0.5;
    settings.normalize = 1;
    options.projector = &settings;
    options.dimension = COMPONENTS + 3;
    CHECK_OK(imgsim_derive_projection(catalog, &options, NULL));
    check_rows(catalog, "small");
    imgsim_catalog_free(catalog);
}

struct stopper {
    const char *phase;
    int calls;
};

static int32_t stop_in_phase(const imgsim_progress *progress, void *user_data)
{
    struct stopper *stopper = user_data;

    stopper->calls++;
    return strcmp(progress->phase, stopper->phase) == 0;
}

static void stopping_leaves_what_was_there(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_projection_options options = options_of(COMPONENTS);
    struct stopper stopper = {"fit", 0};

    options.name = "small";
    options.progress = stop_in_phase;
    options.user_data = &stopper;
    CHECK_FAILS(
        imgsim_derive_projection(catalog, &options, NULL), IMGSIM_ERROR_CANCELLED, "stopped");
    CHECK(stopper.calls > 0);
    CHECK(!has_feature(catalog, "small"));

    options.progress = NULL;
    CHECK_OK(imgsim_derive_projection(catalog, &options, NULL));
    options.progress = stop_in_phase;
    options.dimension = COMPONENTS + 1;
    CHECK_FAILS(
        imgsim_derive_projection(catalog, &options, NULL), IMGSIM_ERROR_CANCELLED, "stopped");
    CHECK_OK(imgsim_catalog_refresh(catalog));
    check_rows(catalog, "small");
    imgsim_catalog_free(catalog);
}

static void what_cannot_be_projected_is_refused(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_projection_options options = options_of(COMPONENTS);

    CHECK_FAILS(
        imgsim_derive_projection(NULL, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "catalog");
    options.source = "nothing";
    CHECK_FAILS(
        imgsim_derive_projection(catalog, &options, NULL), IMGSIM_ERROR_NOT_FOUND, "nothing");
    options.source = "hash";
    CHECK_FAILS(
        imgsim_derive_projection(catalog, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "float");
    options.source = "color";
    CHECK_FAILS(
        imgsim_derive_projection(catalog, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "float");
    options.source = NULL;
    options.name = "color";
    CHECK_FAILS(
        imgsim_derive_projection(catalog, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
        "no projection");
    options.name = "embedding";
    CHECK_FAILS(
        imgsim_derive_projection(catalog, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
        "no projection");
    options.name = "No Name";
    CHECK_EQUAL(imgsim_derive_projection(catalog, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT);
    options.name = NULL;
    options.dimension = FIXTURE_FLOATS + 1;
    CHECK_FAILS(
        imgsim_derive_projection(catalog, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "25");
    imgsim_catalog_free(catalog);

    fixture_remove_folder(folder);
    catalog = fixture_collection(folder, 3);
    options.dimension = 5;
    CHECK_FAILS(
        imgsim_derive_projection(catalog, &options, NULL), IMGSIM_ERROR_NOT_READY, "3 rows");
    imgsim_catalog_free(catalog);
}

static void add_images(imgsim_catalog *catalog, int count)
{
    struct ims_catalog_writer *writer;
    struct fixture_sets sets;
    char name[64];

    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    sets = fixture_add_sets(writer);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "new/image%d.jpg", i);
        fixture_add_image(writer, &sets, name);
    }
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
}

static void new_images_are_projected_by_a_refresh(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_projector *made = project(catalog, COMPONENTS);
    char fingerprint[33];
    size_t changes = 99;

    snprintf(fingerprint, sizeof(fingerprint), "%s", imgsim_projector_get_fingerprint(made));
    imgsim_projector_free(made);
    CHECK_OK(imgsim_derive_refresh(catalog, &changes));
    CHECK_EQUAL(changes, 0);
    add_images(catalog, 40);
    CHECK_OK(imgsim_derive_refresh(catalog, &changes));
    CHECK_EQUAL(changes, 1);
    CHECK_EQUAL(imgsim_catalog_get_image_count(catalog), IMAGES + 40);
    check_rows(catalog, "embedding-pca5");
    CHECK_OK(ims_derive_open_projector(catalog, "embedding-pca5", &made));
    CHECK_TEXT(imgsim_projector_get_fingerprint(made), fingerprint);
    imgsim_projector_free(made);
    CHECK_OK(imgsim_derive_refresh(catalog, NULL));
    imgsim_catalog_free(catalog);
}

static void a_source_made_anew_takes_its_projections_along(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_feature_definition definition =
        fixture_definition("embedding", IMGSIM_ROW_FLOAT32, FIXTURE_FLOATS, "f2");
    float row[FIXTURE_FLOATS] = {1.0f};
    int64_t id = 0;
    size_t changes = 0;

    imgsim_projector_free(project(catalog, COMPONENTS));
    CHECK_OK(imgsim_catalog_put_features(catalog, &definition, &id, 1, row, sizeof(row)));
    CHECK_OK(imgsim_derive_refresh(catalog, &changes));
    CHECK_EQUAL(changes, 1);
    CHECK(!has_feature(catalog, "embedding-pca5"));
    imgsim_catalog_free(catalog);
}

static void a_projector_of_other_rows_is_never_used(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_projection_options options = options_of(COMPONENTS);
    imgsim_projector *projector;
    char own[4200], other[4200];
    size_t changes = 0;

    imgsim_projector_free(project(catalog, COMPONENTS));
    options.name = "other";
    options.dimension = 3;
    CHECK_OK(imgsim_derive_projection(catalog, &options, NULL));
    snprintf(own, sizeof(own), "%s/features/embedding-pca5.pca.ims", folder);
    snprintf(other, sizeof(other), "%s/features/other.pca.ims", folder);
    CHECK_EQUAL(rename(other, own), 0);
    CHECK_FAILS(
        ims_derive_open_projector(catalog, "embedding-pca5", &projector), IMGSIM_ERROR_CORRUPT,
        "did not make");
    CHECK_EQUAL(ims_derive_open_projector(catalog, "other", &projector), IMGSIM_ERROR_NOT_FOUND);
    CHECK_FAILS(
        ims_derive_open_projector(catalog, "embedding", &projector), IMGSIM_ERROR_NOT_FOUND,
        "no projection");
    CHECK_EQUAL(ims_derive_open_projector(catalog, "nothing", &projector), IMGSIM_ERROR_NOT_FOUND);
    CHECK_OK(imgsim_derive_refresh(catalog, &changes));
    CHECK_EQUAL(changes, 2);
    CHECK(!has_feature(catalog, "embedding-pca5") && !has_feature(catalog, "other"));
    imgsim_catalog_free(catalog);
}

static void running_out_of_memory_leaves_what_was_there(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_projection_options options = options_of(COMPONENTS);
    imgsim_status status;
    uint64_t n = 0;

    options.name = "small";
    do {
        ims_memory_fail_at(n += 1 + n / 16);
        status = imgsim_derive_projection(catalog, &options, NULL);
        ims_memory_fail_at(0);
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_OUT_OF_MEMORY);
        CHECK_OK(imgsim_catalog_refresh(catalog));
        if (has_feature(catalog, "small"))
            check_rows(catalog, "small");
    } while (status != IMGSIM_OK && n < 100000);
    CHECK_OK(status);
    check_rows(catalog, "small");
    imgsim_catalog_free(catalog);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    a_projection_is_a_feature_with_its_projector();
    making_it_again_replaces_it();
    stopping_leaves_what_was_there();
    what_cannot_be_projected_is_refused();
    new_images_are_projected_by_a_refresh();
    a_source_made_anew_takes_its_projections_along();
    a_projector_of_other_rows_is_never_used();
    running_out_of_memory_leaves_what_was_there();
    fixture_remove_folder(folder);
    return 0;
}
