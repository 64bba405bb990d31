/* SPDX-License-Identifier: Apache-2.0 */
/* The study of dimensions says what a plain computation of each of its figures says. */
#include "catalog_fixture.h"

#include "derive/derive.h"

#include <math.h>

#define IMAGES 210
#define QUERIES 40
#define NEIGHBOURS 4
#define PRECISION_AT 3

static char folder[4096];

struct columns {
    double energy[4];
    double recall[4];
    double precision[4];
    double seconds[4];
};

static imgsim_status study(
    const imgsim_catalog *catalog,
    const imgsim_study_options *options,
    const uint32_t *dimensions,
    size_t count,
    struct columns *out)
{
    return imgsim_derive_study(
        catalog, options, dimensions, count, out->energy, out->recall, out->precision,
        out->seconds);
}

static imgsim_study_options small_options(void)
{
    imgsim_study_options options;

    CHECK_OK(imgsim_study_options_init(&options, sizeof(options)));
    CHECK_EQUAL(options.queries, 1000);
    options.neighbours = NEIGHBOURS;
    options.precision_at = PRECISION_AT;
    return options;
}

static double cosine_distance(const float *a, const float *b, size_t count)
{
    double ab = 0, aa = 0, bb = 0;

    for (size_t i = 0; i < count; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return 1 - ab / sqrt(aa * bb);
}

/* The `count` nearest others of every row. */
static void rank(const float *rows, size_t width, size_t count, int out[IMAGES][8])
{
    for (int query = 0; query < IMAGES; query++) {
        bool taken[IMAGES] = {0};

        taken[query] = true;
        for (size_t place = 0; place < count; place++) {
            int best = -1;
            double nearest = INFINITY;

            for (int i = 0; i < IMAGES; i++) {
                const double distance =
                    cosine_distance(rows + (size_t)query * width, rows + (size_t)i * width, width);

                if (!taken[i] && distance < nearest) {
                    nearest = distance;
                    best = i;
                }
            }
            taken[best] = true;
            out[query][place] = best;
        }
    }
}

/* All images as queries; folder of image i is i % 7. */
static void figures_are_those_of_a_plain_computation(void)
{
    static float rows[IMAGES * FIXTURE_FLOATS], projected[IMAGES * 8];
    static int truth[IMAGES][8], nearest[IMAGES][8];
    imgsim_catalog *catalog = fixture_collection(folder, IMAGES);
    imgsim_study_options options = small_options();
    const uint32_t dimensions[3] = {8, 0, FIXTURE_FLOATS};
    imgsim_projector *projector;
    struct columns columns;
    double recall = 0, precision = 0, energy = 0;

    options.threads = 2;
    CHECK_OK(study(catalog, &options, dimensions, 3, &columns));

    for (int64_t id = 0; id < IMAGES; id++)
        fixture_floats(id, rows + id * FIXTURE_FLOATS);
    CHECK_OK(imgsim_projector_new(FIXTURE_FLOATS, 8, NULL, &projector));
    CHECK_OK(imgsim_projector_add(projector, rows, IMAGES));
    CHECK_OK(imgsim_projector_train(projector));
    CHECK_OK(imgsim_projector_transform(projector, rows, IMAGES, projected));
    for (int i = 0; i < 8; i++)
        energy += imgsim_projector_get_variances(projector)[i];
    energy /= imgsim_projector_get_total_variance(projector);
    rank(rows, FIXTURE_FLOATS, NEIGHBOURS, truth);
    rank(projected, 8, NEIGHBOURS, nearest);
    for (int query = 0; query < IMAGES; query++) {
        for (int i = 0; i < NEIGHBOURS; i++)
            for (int j = 0; j < NEIGHBOURS; j++)
                recall += truth[query][i] == nearest[query][j];
        for (int i = 0; i < PRECISION_AT; i++)
            precision += nearest[query][i] % 7 == query % 7;
    }
    CHECK_NEAR(columns.energy[0], energy, 1e-6);
    CHECK_NEAR(columns.recall[0], recall / (IMAGES * NEIGHBOURS), 1e-12);
    CHECK_NEAR(columns.precision[0], precision / (IMAGES * PRECISION_AT), 1e-12);
    CHECK(columns.seconds[0] >= 0);

    /* The feature itself, and all of its components, which only take the mean off. */
    CHECK_EQUAL(columns.energy[1], 1.0);
    CHECK_EQUAL(columns.recall[1], 1.0);
    CHECK_NEAR(columns.energy[2], 1.0, 1e-6);
    CHECK(columns.recall[2] > columns.recall[0] && columns.recall[2] < 1.0);
    imgsim_projector_free(projector);
    imgsim_catalog_free(catalog);
}

static void labels_count_before_folders(void)
{
    imgsim_catalog *catalog = fixture_open(folder, 0);
    imgsim_study_options options = small_options();
    const uint32_t dimension = 0;
    struct columns columns;

    options.queries = QUERIES;
    options.classes = IMGSIM_CLASSES_LABELS;
    CHECK_OK(study(catalog, &options, &dimension, 1, &columns));
    CHECK(isnan(columns.precision[0]));
    for (int64_t id = 0; id < IMAGES; id++)
        CHECK_OK(imgsim_catalog_add_label(catalog, id, "everything"));
    CHECK_OK(imgsim_catalog_refresh(catalog));
    options.classes = IMGSIM_CLASSES_AUTO;
    CHECK_OK(study(catalog, &options, &dimension, 1, &columns));
    CHECK_EQUAL(columns.precision[0], 1.0);
    options.classes = IMGSIM_CLASSES_FOLDERS;
    CHECK_OK(study(catalog, &options, &dimension, 1, &columns));
    CHECK(columns.precision[0] < 0.5);
    imgsim_catalog_free(catalog);
}

static int32_t stop(const imgsim_progress *progress, void *user_data)
{
    (void)progress;
    (void)user_data;
    return 1;
}

static void what_cannot_be_is_refused(void)
{
    imgsim_catalog *catalog = fixture_open(folder, 0);
    imgsim_study_options options = small_options();
    uint32_t dimension = FIXTURE_FLOATS + 1;
    struct columns columns;

    CHECK_FAILS(
        study(catalog, &options, &dimension, 1, &columns), IMGSIM_ERROR_INVALID_ARGUMENT,
        "25 components");
    dimension = 2;
    options.classes = 3;
    CHECK_FAILS(
        study(catalog, &options, &dimension, 1, &columns), IMGSIM_ERROR_UNSUPPORTED, "classes");
    options = small_options();
    options.neighbours = 0;
    CHECK_FAILS(
        study(catalog, &options, &dimension, 1, &columns), IMGSIM_ERROR_INVALID_ARGUMENT,
        "neighbours");
    options = small_options();
    options.source = "hash";
    CHECK_FAILS(
        study(catalog, &options, &dimension, 1, &columns), IMGSIM_ERROR_INVALID_ARGUMENT,
        "float rows");
    options.source = "nothing";
    CHECK_FAILS(
        study(catalog, &options, &dimension, 1, &columns), IMGSIM_ERROR_NOT_FOUND, "nothing");
    options = small_options();
    options.progress = stop;
    CHECK_FAILS(study(catalog, &options, &dimension, 1, &columns), IMGSIM_ERROR_CANCELLED, "");
    imgsim_catalog_free(catalog);

    fixture_remove_folder(folder);
    catalog = fixture_collection(folder, 1);
    options = small_options();
    CHECK_FAILS(
        study(catalog, &options, &dimension, 1, &columns), IMGSIM_ERROR_NOT_READY, "1 images");
    imgsim_catalog_free(catalog);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    figures_are_those_of_a_plain_computation();
    labels_count_before_folders();
    what_cannot_be_is_refused();
    fixture_remove_folder(folder);
    return 0;
}
