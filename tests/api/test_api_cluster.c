/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters through the shared library: every function of cluster.h. */
#include "check.h"

#include "public_bed.h"

#define ROWS 120

/* Four groups of 30 rows at the corners of a square. */
static void make_rows(float *rows)
{
    for (int i = 0; i < ROWS; i++) {
        rows[2 * i] = (float)(i % 4 % 2 * 10) + 0.01f * (float)(i % 7);
        rows[2 * i + 1] = (float)(i % 4 / 2 * 10) + 0.01f * (float)(i % 5);
    }
}

static imgsim_clusters *run(const float *rows, int32_t method)
{
    imgsim_cluster_options options;
    imgsim_clusters *clusters = NULL;

    CHECK_OK(imgsim_cluster_options_init(&options, sizeof(options)));
    options.method = method;
    options.k = 4;
    options.eps = 1;
    CHECK_OK(imgsim_cluster_rows(rows, ROWS, 2, &options, &clusters));
    CHECK_EQUAL(imgsim_clusters_get_row_count(clusters), ROWS);
    CHECK_EQUAL(imgsim_clusters_get_count(clusters), 4);
    CHECK_EQUAL(imgsim_clusters_get_noise_count(clusters), 0);
    for (int i = 0; i < ROWS; i++)
        CHECK_EQUAL(imgsim_clusters_get_labels(clusters)[i], i % 4);
    for (int c = 0; c < 4; c++) {
        CHECK_EQUAL(imgsim_clusters_get_sizes(clusters)[c], ROWS / 4);
        CHECK_EQUAL(imgsim_clusters_get_medoids(clusters)[c] % 4, c);
    }
    return clusters;
}

static void every_method_answers(const float *rows)
{
    imgsim_clusters *clusters = run(rows, IMGSIM_CLUSTER_KMEANS);
    int32_t labels[ROWS];
    float distances[ROWS];
    size_t count = 0;

    CHECK(imgsim_clusters_get_means(clusters) != NULL);
    CHECK(imgsim_clusters_get_inertia(clusters) > 0);
    CHECK(imgsim_clusters_get_iterations(clusters) > 0);
    CHECK_OK(imgsim_clusters_assign(clusters, rows, ROWS, labels, distances));
    CHECK_EQUAL(labels[5], 1);
    CHECK_FAILS(
        imgsim_clusters_cut(clusters, 2, 0, labels, &count), IMGSIM_ERROR_NOT_READY, "kmeans");
    imgsim_clusters_free(clusters);

    clusters = run(rows, IMGSIM_CLUSTER_DBSCAN);
    CHECK_NEAR(imgsim_clusters_get_eps(clusters), 1, 0);
    CHECK_FAILS(
        imgsim_clusters_assign(clusters, rows, ROWS, labels, NULL), IMGSIM_ERROR_NOT_READY,
        "dbscan");
    imgsim_clusters_free(clusters);

    clusters = run(rows, IMGSIM_CLUSTER_HDBSCAN);
    CHECK(imgsim_clusters_get_probabilities(clusters)[0] > 0);
    imgsim_clusters_free(clusters);

    clusters = run(rows, IMGSIM_CLUSTER_AGGLOMERATIVE);
    CHECK_EQUAL(imgsim_clusters_get_leaf_count(clusters), ROWS);
    CHECK(imgsim_clusters_get_leaves(clusters) == NULL);
    CHECK_NEAR(imgsim_clusters_get_tree(clusters)[4 * (ROWS - 2) + 3], ROWS, 0);
    CHECK_OK(imgsim_clusters_cut(clusters, 1, 0, labels, &count));
    CHECK_EQUAL(count, 1);
    CHECK_FAILS(
        imgsim_clusters_cut(clusters, ROWS + 1, 0, labels, &count), IMGSIM_ERROR_INVALID_ARGUMENT,
        "leaves");
    imgsim_clusters_free(clusters);
    imgsim_clusters_free(NULL);
}

static void quality_is_told(const float *rows)
{
    int32_t labels[ROWS], other[ROWS];
    double ari, nmi, mean;
    float values[ROWS];

    for (int i = 0; i < ROWS; i++) {
        labels[i] = i % 4;
        other[i] = 3 - i % 4;
    }
    CHECK_OK(imgsim_compare_labels(labels, other, ROWS, &ari, &nmi));
    CHECK_NEAR(ari, 1, 0);
    CHECK_NEAR(nmi, 1, 1e-12);
    CHECK_OK(imgsim_silhouette(rows, ROWS, 2, labels, IMGSIM_METRIC_L2, 0, 1, 0, &mean, values));
    CHECK(mean > 0.99 && values[0] > 0.99f);
    CHECK_OK(imgsim_silhouette(rows, ROWS, 2, labels, IMGSIM_METRIC_L2, 10, 1, 0, &mean, values));
    CHECK(mean > 0.99);
}

static void names_of_methods_lead_back(void)
{
    int32_t method;

    for (int32_t i = IMGSIM_CLUSTER_KMEANS; i <= IMGSIM_CLUSTER_AGGLOMERATIVE; i++) {
        CHECK_OK(imgsim_cluster_method_from_name(imgsim_cluster_method_name(i), &method));
        CHECK_EQUAL(method, i);
    }
    CHECK(imgsim_cluster_method_name(0) == NULL);
    CHECK_FAILS(
        imgsim_cluster_method_from_name("k-means", &method), IMGSIM_ERROR_NOT_FOUND, "kmeans");
}

static int32_t count_cluster(const imgsim_cluster_info *info, void *user_data)
{
    CHECK(info->size > 0);
    ++*(int *)user_data;
    return 0;
}

static int32_t count_prediction(const imgsim_prediction *prediction, void *user_data)
{
    CHECK(prediction->id >= 0);
    ++*(int *)user_data;
    return 0;
}

static void a_catalog_keeps_clusters_and_predictions(void)
{
    struct public_bed bed;
    imgsim_cluster_labels_options options;
    imgsim_cluster_options settings;
    imgsim_cluster_report report = {.struct_size = sizeof(report)};
    imgsim_predict_options predict;
    imgsim_predict_report counts = {.struct_size = sizeof(counts)};
    const int64_t ids[2] = {0, 1};
    const char *const labels[2] = {"mine:a", "mine:b"};
    int told = 0;

    bed_open(&bed, 4);
    CHECK_OK(imgsim_cluster_options_init(&settings, sizeof(settings)));
    CHECK_OK(imgsim_cluster_labels_options_init(&options, sizeof(options)));
    settings.k = 3;
    options.cluster = &settings;
    options.feature = "embedding";
    options.callback = count_cluster;
    options.user_data = &told;
    CHECK_OK(imgsim_derive_clusters(bed.catalog, &options, &report, NULL));
    CHECK_EQUAL(told, 3);
    CHECK_EQUAL(report.cluster_count, 3);

    CHECK_OK(imgsim_catalog_replace_labels(bed.catalog, "mine:", ids, labels, 2));
    CHECK_OK(imgsim_predict_options_init(&predict, sizeof(predict)));
    predict.feature = "embedding";
    predict.callback = count_prediction;
    predict.user_data = &told;
    told = 0;
    CHECK_OK(imgsim_derive_predictions(bed.catalog, &predict, &counts));
    CHECK_EQUAL(told, counts.asked_count);
    CHECK_EQUAL(counts.labelled_count, 2);
    bed_close(&bed);
}

int main(void)
{
    float rows[2 * ROWS];

    make_rows(rows);
    every_method_answers(rows);
    quality_is_told(rows);
    names_of_methods_lead_back();
    a_catalog_keeps_clusters_and_predictions();
    return 0;
}
