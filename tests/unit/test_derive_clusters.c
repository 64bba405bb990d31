/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters kept as labels, and labels predicted from neighbours, on a collection whose groups are known. */
#include "catalog_fixture.h"

#include "core/memory.h"
#include "derive/derive_internal.h"

#include <sys/stat.h>
#include <unistd.h>

#define IMAGES 300
#define GROUPS 5
#define VALUES 6

static char folder[4096];

/* Image i is of group i % 5: that value is large. */
static void put_groups(imgsim_catalog *catalog, int count, int step)
{
    imgsim_feature_definition definition =
        fixture_definition("groups", IMGSIM_ROW_FLOAT32, VALUES, "g1");
    int64_t *ids = malloc((size_t)count * sizeof(*ids));
    float *rows = malloc((size_t)count * VALUES * sizeof(*rows));
    struct ims_rng rng;
    size_t filled = 0;

    CHECK(ids != NULL && rows != NULL);
    ims_rng_init(&rng, 4);
    for (int i = 0; i < count; i += step) {
        for (int j = 0; j < VALUES; j++)
            rows[filled * VALUES + (size_t)j] =
                (float)(0.05 * ims_rng_normal(&rng) + (j == i % GROUPS ? 1 : 0));
        ids[filled++] = i;
    }
    CHECK_OK(imgsim_catalog_put_features(
        catalog, &definition, ids, filled, rows, filled * VALUES * sizeof(*rows)));
    CHECK_OK(imgsim_catalog_refresh(catalog));
    free(ids);
    free(rows);
}

static imgsim_catalog *new_collection(void)
{
    imgsim_catalog *catalog;

    fixture_remove_folder(folder);
    catalog = fixture_collection(folder, IMAGES);
    put_groups(catalog, IMAGES, 1);
    return catalog;
}

struct counts {
    int labels;
    int clusters; /* labels "cluster:..." */
    uint64_t images;
};

static int32_t count_label(const char *label, uint64_t image_count, void *user_data)
{
    struct counts *counts = user_data;

    counts->labels++;
    if (strncmp(label, "cluster:", 8) == 0) {
        counts->clusters++;
        counts->images += image_count;
    }
    return 0;
}

static struct counts count_labels(const imgsim_catalog *catalog)
{
    struct counts counts = {0};

    CHECK_OK(imgsim_catalog_visit_labels(catalog, -1, count_label, &counts));
    return counts;
}

struct told {
    const imgsim_catalog *catalog;
    int count;
    uint64_t size;
    int stop;
};

static int32_t take_cluster(const imgsim_cluster_info *info, void *user_data)
{
    struct told *told = user_data;
    char label[64];

    snprintf(label, sizeof(label), "cluster:kmeans/%d", told->count);
    CHECK_TEXT(info->label, label);
    CHECK_EQUAL(info->number, told->count);
    CHECK(info->medoid >= 0 && info->medoid < IMAGES);
    told->count++;
    told->size += info->size;
    return told->stop;
}

static imgsim_cluster_options settings_of(int32_t method)
{
    imgsim_cluster_options settings;

    CHECK_OK(imgsim_cluster_options_init(&settings, sizeof(settings)));
    settings.method = method;
    settings.k = GROUPS;
    settings.runs = 5;
    return settings;
}

static void clusters_become_labels(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_cluster_options settings = settings_of(IMGSIM_CLUSTER_KMEANS);
    imgsim_cluster_report report = {.struct_size = sizeof(report)};
    struct told told = {.catalog = catalog};
    imgsim_cluster_labels_options options;
    imgsim_clusters *clusters = NULL;
    struct ims_bitset members;

    CHECK_OK(imgsim_cluster_labels_options_init(&options, sizeof(options)));
    options.feature = "groups";
    options.cluster = &settings;
    options.callback = take_cluster;
    options.user_data = &told;
    options.dry_run = 1;
    CHECK_OK(imgsim_derive_clusters(catalog, &options, &report, NULL));
    CHECK_EQUAL(count_labels(catalog).labels, 0);

    options.dry_run = 0;
    told.count = 0;
    told.size = 0;
    CHECK_OK(imgsim_derive_clusters(catalog, &options, &report, &clusters));
    CHECK_EQUAL(told.count, GROUPS);
    CHECK_EQUAL(told.size, IMAGES);
    CHECK_EQUAL(report.image_count, IMAGES);
    CHECK_EQUAL(report.cluster_count, GROUPS);
    CHECK(report.silhouette > 0.8);
    CHECK_EQUAL(report.labelled_count, IMAGES); /* folders, as there is no label */
    CHECK_EQUAL(count_labels(catalog).clusters, GROUPS);
    CHECK_EQUAL(count_labels(catalog).images, IMAGES);

    /* The images of a label are those of the cluster. */
    CHECK_OK(ims_catalog_ids_with_label(catalog, "cluster:kmeans/3", &members));
    for (int64_t id = 0; id < IMAGES; id++)
        CHECK_EQUAL(ims_bitset_test(&members, id), imgsim_clusters_get_labels(clusters)[id] == 3);
    ims_bitset_clear(&members);
    imgsim_clusters_free(clusters);

    /* Once more with fewer: the old ones are gone. Another name stands beside. */
    settings.k = 2;
    told.count = 0;
    CHECK_OK(imgsim_derive_clusters(catalog, &options, NULL, NULL));
    CHECK_EQUAL(count_labels(catalog).clusters, 2);
    CHECK_EQUAL(count_labels(catalog).images, IMAGES);
    options.callback = NULL;
    options.name = "other.1";
    CHECK_OK(imgsim_derive_clusters(catalog, &options, NULL, NULL));
    CHECK_EQUAL(count_labels(catalog).clusters, 4);
    imgsim_catalog_free(catalog);
}

static void noise_has_a_label_and_gaps_do_no_harm(void)
{
    imgsim_catalog *catalog;
    imgsim_cluster_options settings = settings_of(IMGSIM_CLUSTER_DBSCAN);
    imgsim_cluster_report report = {.struct_size = sizeof(report)};
    imgsim_cluster_labels_options options;
    imgsim_clusters *clusters;
    struct ims_bitset noise;

    fixture_remove_folder(folder);
    catalog = fixture_collection(folder, IMAGES);
    put_groups(catalog, IMAGES, 2); /* every other image has a row */
    CHECK_OK(imgsim_cluster_labels_options_init(&options, sizeof(options)));
    settings.eps = 0.1;
    options.feature = "groups";
    options.cluster = &settings;
    CHECK_OK(imgsim_derive_clusters(catalog, &options, &report, &clusters));
    CHECK_EQUAL(report.image_count, IMAGES / 2);
    CHECK(report.noise_count > 0);
    CHECK_OK(ims_catalog_ids_with_label(catalog, "cluster:dbscan/noise", &noise));
    CHECK_EQUAL(ims_bitset_popcount(&noise), report.noise_count);
    for (int64_t row = 0; row < IMAGES / 2; row++)
        CHECK_EQUAL(
            ims_bitset_test(&noise, 2 * row), imgsim_clusters_get_labels(clusters)[row] < 0);
    ims_bitset_clear(&noise);
    imgsim_clusters_free(clusters);
    imgsim_catalog_free(catalog);
}

static const char *group_name(int64_t id)
{
    static const char *const names[GROUPS] = {"ant", "bee", "cat", "dog", "elk"};

    return names[id % GROUPS];
}

static void label_groups(imgsim_catalog *catalog, int64_t step)
{
    for (int64_t id = 0; id < IMAGES; id += step)
        CHECK_OK(imgsim_catalog_add_label(catalog, id, group_name(id)));
}

static int32_t check_name(const imgsim_cluster_info *info, void *user_data)
{
    ++*(int *)user_data;
    CHECK_TEXT(info->name, group_name(info->medoid));
    CHECK_NEAR(info->share, 1, 1e-12);
    return 0;
}

static void names_and_agreement_come_from_labels(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_cluster_options settings = settings_of(IMGSIM_CLUSTER_AGGLOMERATIVE);
    imgsim_cluster_report report = {.struct_size = sizeof(report)};
    imgsim_cluster_labels_options options;
    int told = 0;

    label_groups(catalog, 1);
    CHECK_OK(imgsim_cluster_labels_options_init(&options, sizeof(options)));
    options.feature = "groups";
    options.cluster = &settings;
    options.callback = check_name;
    options.user_data = &told;
    /* Twice: labels of the first time are no classes. */
    CHECK_OK(imgsim_derive_clusters(catalog, &options, &report, NULL));
    CHECK_OK(imgsim_derive_clusters(catalog, &options, &report, NULL));
    CHECK_EQUAL(told, 2 * GROUPS);
    CHECK_EQUAL(report.labelled_count, IMAGES);
    CHECK_NEAR(report.ari, 1, 0);
    CHECK_NEAR(report.nmi, 1, 1e-12);
    imgsim_catalog_free(catalog);
}

static void what_cannot_be_clustered_is_refused(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_cluster_options settings = settings_of(IMGSIM_CLUSTER_KMEANS);
    imgsim_cluster_labels_options options;
    struct told told = {.stop = 1};

    CHECK_OK(imgsim_cluster_labels_options_init(&options, sizeof(options)));
    options.cluster = &settings;
    options.feature = "nothing";
    CHECK_FAILS(
        imgsim_derive_clusters(catalog, &options, NULL, NULL), IMGSIM_ERROR_NOT_FOUND, "nothing");
    options.feature = "hash";
    CHECK_FAILS(
        imgsim_derive_clusters(catalog, &options, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
        "no float rows");
    options.feature = "groups";
    options.name = "No Good";
    CHECK_FAILS(
        imgsim_derive_clusters(catalog, &options, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
        "No Good");
    options.name = NULL;
    settings.k = IMAGES + 1;
    CHECK_FAILS(
        imgsim_derive_clusters(catalog, &options, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
        "only 300 rows");
    settings.k = GROUPS;
    options.callback = take_cluster;
    options.user_data = &told;
    CHECK_FAILS(
        imgsim_derive_clusters(catalog, &options, NULL, NULL), IMGSIM_ERROR_CANCELLED, "callback");
    CHECK_EQUAL(count_labels(catalog).labels, 0);
    imgsim_catalog_free(catalog);
}

/* ---- predictions ---- */

struct answers {
    int asked;
    int right;
    int abstained;
};

static int32_t take_prediction(const imgsim_prediction *prediction, void *user_data)
{
    struct answers *answers = user_data;

    answers->asked++;
    CHECK(prediction->share >= 0 && prediction->share <= 1 + 1e-12);
    if (prediction->label[0] == '\0')
        answers->abstained++;
    else
        answers->right += strcmp(prediction->label, group_name(prediction->id)) == 0;
    return 0;
}

static void neighbours_predict_labels(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_predict_report report = {.struct_size = sizeof(report)};
    imgsim_predict_options options;
    struct answers answers = {0};
    struct ims_bitset members;
    const int64_t one = 7;

    label_groups(catalog, 3);
    CHECK_OK(imgsim_predict_options_init(&options, sizeof(options)));
    options.feature = "groups";
    options.callback = take_prediction;
    options.user_data = &answers;
    options.store = 1;
    options.k = 7;
    CHECK_OK(imgsim_derive_predictions(catalog, &options, &report));
    CHECK_EQUAL(answers.asked, IMAGES - IMAGES / 3);
    CHECK_EQUAL(answers.right, answers.asked);
    CHECK_EQUAL(report.labelled_count, IMAGES / 3);
    CHECK_EQUAL(report.label_count, GROUPS);
    CHECK_EQUAL(report.tried_count, IMAGES / 3);
    CHECK_EQUAL(report.right_count, IMAGES / 3);
    CHECK_OK(ims_catalog_ids_with_label(catalog, "predicted:bee", &members));
    for (int64_t id = 0; id < IMAGES; id++)
        CHECK_EQUAL(ims_bitset_test(&members, id), id % GROUPS == 1 && id % 3 != 0);
    ims_bitset_clear(&members);

    /* What was predicted does not vote, and is asked about again. */
    answers = (struct answers){0};
    options.try_count = 10;
    CHECK_OK(imgsim_derive_predictions(catalog, &options, &report));
    CHECK_EQUAL(answers.asked, IMAGES - IMAGES / 3);
    CHECK_EQUAL(report.label_count, GROUPS);
    CHECK_EQUAL(report.tried_count, 10);

    /* One image; a labelled one does not vote for itself. */
    answers = (struct answers){0};
    options.ids = &one;
    options.id_count = 1;
    options.store = 0;
    CHECK_OK(imgsim_derive_predictions(catalog, &options, &report));
    CHECK_EQUAL(answers.right, 1);
    imgsim_catalog_free(catalog);
}

static void neighbours_that_disagree_abstain(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_predict_report report = {.struct_size = sizeof(report)};
    imgsim_predict_options options;
    struct answers answers = {0};

    /* Labels that have nothing to do with the rows. */
    for (int64_t id = 0; id < IMAGES; id += 2)
        CHECK_OK(imgsim_catalog_add_label(catalog, id, id / 2 % 2 == 0 ? "left" : "right"));
    CHECK_OK(imgsim_predict_options_init(&options, sizeof(options)));
    options.feature = "groups";
    options.callback = take_prediction;
    options.user_data = &answers;
    options.min_share = 0.95;
    CHECK_OK(imgsim_derive_predictions(catalog, &options, &report));
    CHECK(answers.abstained > answers.asked * 9 / 10);
    CHECK(report.answered_count < report.tried_count / 5);
    answers = (struct answers){0};
    options.max_distance = 0; /* nobody is so near */
    options.min_share = 0;
    CHECK_OK(imgsim_derive_predictions(catalog, &options, &report));
    CHECK_EQUAL(answers.abstained, answers.asked);
    imgsim_catalog_free(catalog);
}

static void nothing_to_learn_from_is_said(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_predict_options options;
    const int64_t nowhere = IMAGES + 5;

    CHECK_OK(imgsim_predict_options_init(&options, sizeof(options)));
    options.feature = "groups";
    CHECK_FAILS(
        imgsim_derive_predictions(catalog, &options, NULL), IMGSIM_ERROR_NOT_READY, "label");
    label_groups(catalog, 50);
    options.ids = &nowhere;
    options.id_count = 1;
    CHECK_FAILS(imgsim_derive_predictions(catalog, &options, NULL), IMGSIM_ERROR_NOT_FOUND, "305");
    options.k = 0;
    CHECK_FAILS(
        imgsim_derive_predictions(catalog, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
        "k is 0");
    options.k = 5;
    options.ids = NULL;
    options.id_count = 0;
    options.feature = "hash";
    CHECK_FAILS(
        imgsim_derive_predictions(catalog, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
        "no float rows");
    imgsim_catalog_free(catalog);
}

static void replacing_is_all_or_nothing(void)
{
    imgsim_catalog *catalog = new_collection();
    const int64_t ids[2] = {1, 2}, bad[2] = {1, IMAGES + 1};
    const char *const labels[2] = {"x:a", "x:b"}, *const strange[2] = {"x:a", "y:b"};

    CHECK_OK(imgsim_catalog_add_label(catalog, 3, "x"));
    CHECK_OK(imgsim_catalog_replace_labels(catalog, "x:", ids, labels, 2));
    CHECK_EQUAL(count_labels(catalog).labels, 3);
    CHECK_FAILS(
        imgsim_catalog_replace_labels(catalog, "x:", ids, strange, 2),
        IMGSIM_ERROR_INVALID_ARGUMENT, "y:b");
    CHECK_FAILS(
        imgsim_catalog_replace_labels(catalog, "x:", bad, labels, 2), IMGSIM_ERROR_NOT_FOUND,
        "301");
    CHECK_EQUAL(count_labels(catalog).labels, 3);
    CHECK_OK(imgsim_catalog_replace_labels(catalog, "x:", NULL, NULL, 0));
    CHECK_EQUAL(count_labels(catalog).labels, 1);
    imgsim_catalog_free(catalog);
}

int main(void)
{
    snprintf(folder, sizeof(folder), "%s/catalog", check_temporary_folder());
    CHECK(mkdir(folder, 0777) == 0);
    clusters_become_labels();
    noise_has_a_label_and_gaps_do_no_harm();
    names_and_agreement_come_from_labels();
    what_cannot_be_clustered_is_refused();
    neighbours_predict_labels();
    neighbours_that_disagree_abstain();
    nothing_to_learn_from_is_said();
    replacing_is_all_or_nothing();
    fixture_remove_folder(folder);
    *strrchr(folder, '/') = '\0';
    CHECK(rmdir(folder) == 0);
    return 0;
}
