/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters of bad or odd input: clear errors, or a defined result. */
#include "cluster_rows.h"

#include "core/memory.h"

static const int32_t methods[] = {
    IMGSIM_CLUSTER_KMEANS, IMGSIM_CLUSTER_DBSCAN, IMGSIM_CLUSTER_HDBSCAN,
    IMGSIM_CLUSTER_AGGLOMERATIVE};

static imgsim_status
try(const float *rows, size_t n, uint32_t d, const imgsim_cluster_options *options)
{
    imgsim_clusters *clusters = NULL;
    imgsim_status status = imgsim_cluster_rows(rows, n, d, options, &clusters);

    CHECK((status == IMGSIM_OK) == (clusters != NULL));
    imgsim_clusters_free(clusters);
    return status;
}

static void bad_values_are_named(void)
{
    float rows[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

    for (size_t m = 0; m < 4; m++) {
        imgsim_cluster_options options = options_of(methods[m], 1);

        options.k = 2;
        rows[5] = NAN;
        CHECK_FAILS(
            try(rows, 4, 3, &options), IMGSIM_ERROR_INVALID_ARGUMENT, "row 1, column 2 is NaN");
        rows[5] = INFINITY;
        CHECK_FAILS(try(rows, 4, 3, &options), IMGSIM_ERROR_INVALID_ARGUMENT, "infinite");
        rows[5] = 1e20f;
        CHECK_FAILS(try(rows, 4, 3, &options), IMGSIM_ERROR_INVALID_ARGUMENT, "row 1");
        rows[5] = 5;
        CHECK_FAILS(try(rows, 0, 3, &options), IMGSIM_ERROR_INVALID_ARGUMENT, "no rows");
        CHECK_FAILS(try(rows, 4, 0, &options), IMGSIM_ERROR_INVALID_ARGUMENT, "dimension 0");
        CHECK_FAILS(try(NULL, 4, 3, &options), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    }
}

static void bad_settings_are_refused(void)
{
    const float rows[6] = {0, 1, 2, 3, 4, 5};
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_KMEANS, 1);

    options.k = 4;
    CHECK_FAILS(try(rows, 3, 2, &options), IMGSIM_ERROR_INVALID_ARGUMENT, "only 3 rows");
    options.k = 0;
    CHECK_FAILS(try(rows, 3, 2, &options), IMGSIM_ERROR_INVALID_ARGUMENT, "k is 0");
    options.k = 2;
    options.metric = IMGSIM_METRIC_L1;
    CHECK_FAILS(try(rows, 3, 2, &options), IMGSIM_ERROR_UNSUPPORTED, "cosine");
    options.metric = IMGSIM_METRIC_L2;
    options.runs = 0;
    CHECK_FAILS(try(rows, 3, 2, &options), IMGSIM_ERROR_INVALID_ARGUMENT, "runs");
    options = options_of(99, 1);
    CHECK_FAILS(try(rows, 3, 2, &options), IMGSIM_ERROR_UNSUPPORTED, "method 99");
    options = options_of(IMGSIM_CLUSTER_AGGLOMERATIVE, 1);
    options.k = 2;
    options.linkage = 9;
    CHECK_FAILS(try(rows, 3, 2, &options), IMGSIM_ERROR_UNSUPPORTED, "linkage 9");
    options.linkage = IMGSIM_LINKAGE_AVERAGE;
    options.memory_limit = 10;
    CHECK_FAILS(try(rows, 3, 2, &options), IMGSIM_ERROR_LIMIT, "memory_limit");
    options = options_of(IMGSIM_CLUSTER_HDBSCAN, 1);
    options.min_cluster_size = 1;
    CHECK_FAILS(try(rows, 3, 2, &options), IMGSIM_ERROR_INVALID_ARGUMENT, "min_cluster_size");
    options = options_of(IMGSIM_CLUSTER_DBSCAN, 1);
    options.eps = -1;
    CHECK_FAILS(try(rows, 3, 2, &options), IMGSIM_ERROR_INVALID_ARGUMENT, "eps");
}

/* All rows equal: one cluster, whatever is asked for. */
static void equal_rows_are_one_cluster(void)
{
    enum { N = 300 };
    const uint32_t dimensions[] = {1, 2, 12, 200};
    static float rows[N * 200];

    for (size_t i = 0; i < N * 200; i++)
        rows[i] = 0.3f;
    for (size_t m = 0; m < 4; m++)
        for (size_t e = 0; e < 4; e++) {
            imgsim_cluster_options options = options_of(methods[m], 2);
            imgsim_clusters *clusters;

            options.k = methods[m] == IMGSIM_CLUSTER_KMEANS ? 5 : 0;
            options.allow_single = 1;
            clusters = cluster(rows, N, dimensions[e], &options);
            CHECK_EQUAL(imgsim_clusters_get_count(clusters), 1);
            CHECK_EQUAL(imgsim_clusters_get_noise_count(clusters), 0);
            CHECK_EQUAL(imgsim_clusters_get_medoids(clusters)[0], 0);
            imgsim_clusters_free(clusters);
        }
}

/* Two places with many equal rows each. */
static void copies_are_no_trouble(void)
{
    enum { N = 400 };
    float rows[N * 2];

    for (size_t i = 0; i < N; i++)
        rows[2 * i] = rows[2 * i + 1] = i % 2 == 0 ? 0.0f : 5.0f;
    for (size_t m = 0; m < 4; m++) {
        imgsim_cluster_options options = options_of(methods[m], 2);
        imgsim_clusters *clusters;

        options.k = methods[m] == IMGSIM_CLUSTER_KMEANS ? 7 : 2;
        clusters = cluster(rows, N, 2, &options);
        CHECK_EQUAL(imgsim_clusters_get_count(clusters), 2);
        for (size_t i = 0; i < N; i++)
            CHECK_EQUAL(imgsim_clusters_get_labels(clusters)[i], i % 2);
        imgsim_clusters_free(clusters);
    }
}

static void one_row_is_enough(void)
{
    const float row[3] = {1, 2, 3};

    for (size_t m = 0; m < 4; m++) {
        imgsim_cluster_options options = options_of(methods[m], 1);
        imgsim_clusters *clusters;

        options.k = 1;
        clusters = cluster(row, 1, 3, &options);
        CHECK(imgsim_clusters_get_count(clusters) + imgsim_clusters_get_noise_count(clusters) == 1);
        imgsim_clusters_free(clusters);
    }
}

static void as_many_clusters_as_rows(void)
{
    float *rows = grouped_rows(1, 50, 3, 4, 1, 0);
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_KMEANS, 1);
    imgsim_clusters *clusters;

    options.k = 50;
    clusters = cluster(rows, 50, 3, &options);
    CHECK_EQUAL(imgsim_clusters_get_count(clusters), 50);
    CHECK_NEAR(imgsim_clusters_get_inertia(clusters), 0, 0);
    imgsim_clusters_free(clusters);
    free(rows);
}

static int32_t stop(const imgsim_progress *progress, void *user_data)
{
    (void)progress;
    ++*(int *)user_data;
    return 1;
}

static void a_callback_can_stop_it(void)
{
    float *rows = grouped_rows(1, 4000, 40, 10, 2, 0);

    for (size_t m = 0; m < 4; m++) {
        imgsim_cluster_options options = options_of(methods[m], 2);
        int calls = 0;

        options.k = 10;
        options.progress = stop;
        options.user_data = &calls;
        CHECK_FAILS(try(rows, 4000, 40, &options), IMGSIM_ERROR_CANCELLED, "callback");
        CHECK_EQUAL(calls, 1);
    }
    free(rows);
}

/* Each allocation fails in turn: a clear status, and nothing is left behind (the sanitizers look). */
static void running_out_of_memory_is_told(void)
{
    const size_t sizes[] = {2, 12, 120};

    for (size_t m = 0; m < 4; m++)
        for (size_t e = 0; e < 3; e++) {
            float *rows = grouped_rows(5, 150, sizes[e], 4, 0.5, 0);
            imgsim_cluster_options options = options_of(methods[m], 1);
            imgsim_status status = IMGSIM_ERROR_OUT_OF_MEMORY;

            options.k = 4;
            options.metric = e == 1 ? IMGSIM_METRIC_COSINE : IMGSIM_METRIC_L2;
            options.micro_clusters = e == 0 ? 50 : 20000;
            for (uint64_t n = 1; status != IMGSIM_OK; n++) {
                CHECK(n < 10000);
                ims_memory_fail_at(n);
                status = try(rows, 150, (uint32_t)sizes[e], &options);
                ims_memory_fail_at(0);
                CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_OUT_OF_MEMORY);
            }
            free(rows);
        }
}

static void quality_needs_something_to_judge(void)
{
    const float rows[6] = {0, 1, 2, 3, 4, 5};
    const int32_t one[3] = {0, 0, 0}, two[3] = {0, 0, 1}, noise[3] = {-1, -1, -1};
    double mean, ari, nmi;

    CHECK_FAILS(
        imgsim_silhouette(rows, 3, 2, one, IMGSIM_METRIC_L2, 0, 1, 1, &mean, NULL),
        IMGSIM_ERROR_INVALID_ARGUMENT, "two clusters");
    CHECK_FAILS(
        imgsim_silhouette(rows, 3, 2, noise, IMGSIM_METRIC_L2, 0, 1, 1, &mean, NULL),
        IMGSIM_ERROR_INVALID_ARGUMENT, "two clusters");
    CHECK_FAILS(
        imgsim_silhouette(rows, 3, 2, two, IMGSIM_METRIC_L1, 0, 1, 1, &mean, NULL),
        IMGSIM_ERROR_UNSUPPORTED, "cosine");
    CHECK_OK(imgsim_compare_labels(one, noise, 3, &ari, &nmi));
    CHECK_NEAR(ari, 1, 0);
    CHECK_NEAR(nmi, 1, 0);
    CHECK_FAILS(
        imgsim_compare_labels(one, two, 0, &ari, &nmi), IMGSIM_ERROR_INVALID_ARGUMENT, "row");
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    bad_values_are_named();
    bad_settings_are_refused();
    equal_rows_are_one_cluster();
    copies_are_no_trouble();
    one_row_is_enough();
    as_many_clusters_as_rows();
    a_callback_can_stop_it();
    running_out_of_memory_is_told();
    quality_needs_something_to_judge();
    return 0;
}
