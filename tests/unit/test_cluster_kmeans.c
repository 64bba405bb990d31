/* SPDX-License-Identifier: Apache-2.0 */
/* k-means: bounds leave out nothing that counts, so the partition is that of Lloyd's algorithm written plainly. */
#include "cluster_rows.h"

/* Lloyd's algorithm in double precision from given means, until nothing changes. */
static uint32_t
plain_lloyd(const float *rows, size_t n, size_t d, size_t k, float *means, int32_t *labels)
{
    double *sums = malloc(k * d * sizeof(double));
    size_t *counts = malloc(k * sizeof(size_t));

    CHECK(sums != NULL && counts != NULL);
    for (size_t i = 0; i < n; i++)
        labels[i] = -1;
    for (uint32_t round = 0;; round++) {
        size_t changes = 0;

        memset(sums, 0, k * d * sizeof(double));
        memset(counts, 0, k * sizeof(size_t));
        for (size_t i = 0; i < n; i++) {
            double least = HUGE_VAL;
            int32_t nearest = -1;

            for (size_t c = 0; c < k; c++) {
                const double square = ims_exact_l2_squared(rows + i * d, means + c * d, d);

                if (square < least) {
                    least = square;
                    nearest = (int32_t)c;
                }
            }
            changes += labels[i] != nearest;
            labels[i] = nearest;
            counts[nearest]++;
            for (size_t j = 0; j < d; j++)
                sums[(size_t)nearest * d + j] += rows[i * d + j];
        }
        if (changes == 0) {
            free(sums);
            free(counts);
            return round;
        }
        for (size_t c = 0; c < k; c++)
            for (size_t j = 0; j < d && counts[c] > 0; j++)
                means[c * d + j] = (float)(sums[c * d + j] / (double)counts[c]);
    }
}

static void compare(size_t n, size_t d, size_t k, size_t groups, double spread, double offset)
{
    float *rows = grouped_rows(d + k, n, d, groups, spread, offset);
    float *means = malloc(k * d * sizeof(float)), *first = malloc(k * d * sizeof(float));
    int32_t *labels = malloc(n * sizeof(int32_t));
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_KMEANS, 2);
    imgsim_clusters *clusters;
    double inertia = 0;
    uint32_t rounds;

    CHECK(means != NULL && first != NULL && labels != NULL);
    for (size_t c = 0; c < k; c++)
        memcpy(first + c * d, rows + c * (n / k) * d, d * sizeof(float));
    memcpy(means, first, k * d * sizeof(float));
    rounds = plain_lloyd(rows, n, d, k, means, labels);
    for (size_t i = 0; i < n; i++)
        inertia += ims_exact_l2_squared(rows + i * d, means + (size_t)labels[i] * d, d);

    options.k = (uint32_t)k;
    options.initial_means = first;
    options.tolerance = 0;
    options.max_iterations = 1000;
    clusters = cluster(rows, n, d, &options);
    CHECK(same_partition(imgsim_clusters_get_labels(clusters), labels, n));
    CHECK_EQUAL(imgsim_clusters_get_iterations(clusters), rounds);
    CHECK_NEAR(imgsim_clusters_get_inertia(clusters), inertia, 1e-9 * inertia);
    imgsim_clusters_free(clusters);
    free(rows);
    free(means);
    free(first);
    free(labels);
}

static void the_partition_is_that_of_lloyd(void)
{
    compare(3000, 2, 7, 7, 1.5, 0);
    compare(3000, 2, 60, 5, 1.5, 1000);
    compare(2000, 64, 20, 30, 3, 0);
    compare(2000, 97, 40, 30, 3, 0); /* just enough values for axes */
    compare(3000, 300, 50, 40, 4, 0);
    compare(3000, 300, 50, 40, 4, 500); /* far from the origin: products lose digits */
    compare(1500, 700, 100, 3, 2, 0);   /* more clusters than groups */
}

static void threads_do_not_matter(void)
{
    const size_t n = 5000, d = 200;
    float *rows = grouped_rows(5, n, d, 30, 3, 0);
    imgsim_clusters *results[3];

    for (uint32_t t = 0; t < 3; t++) {
        imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_KMEANS, t + 1);

        options.k = 40;
        options.runs = 2;
        results[t] = cluster(rows, n, d, &options);
    }
    for (int t = 1; t < 3; t++) {
        CHECK(
            memcmp(
                imgsim_clusters_get_labels(results[0]), imgsim_clusters_get_labels(results[t]),
                n * sizeof(int32_t)) == 0);
        CHECK(
            memcmp(
                imgsim_clusters_get_means(results[0]), imgsim_clusters_get_means(results[t]),
                imgsim_clusters_get_count(results[0]) * d * sizeof(float)) == 0);
    }
    for (int t = 0; t < 3; t++)
        imgsim_clusters_free(results[t]);
    free(rows);
}

static void sizes_medoids_and_order_fit_the_labels(void)
{
    const size_t n = 2000, d = 3;
    float *rows = grouped_rows(9, n, d, 6, 0.4, 0);
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_KMEANS, 2);
    imgsim_clusters *clusters;
    const int32_t *labels;
    const uint64_t *sizes;

    options.k = 6;
    clusters = cluster(rows, n, d, &options);
    labels = imgsim_clusters_get_labels(clusters);
    sizes = imgsim_clusters_get_sizes(clusters);
    CHECK_EQUAL(imgsim_clusters_get_count(clusters), 6);
    CHECK_EQUAL(imgsim_clusters_get_noise_count(clusters), 0);
    for (size_t c = 0; c < 6; c++) {
        const float *mean = imgsim_clusters_get_means(clusters) + c * d;
        const size_t medoid = (size_t)imgsim_clusters_get_medoids(clusters)[c];
        const double nearest = ims_exact_l2_squared(rows + medoid * d, mean, d);
        size_t size = 0;

        CHECK(c == 0 || sizes[c] <= sizes[c - 1]);
        CHECK_EQUAL(labels[medoid], c);
        for (size_t i = 0; i < n; i++)
            if (labels[i] == (int32_t)c) {
                size++;
                CHECK(ims_exact_l2_squared(rows + i * d, mean, d) >= nearest - 1e-9);
            }
        CHECK_EQUAL(size, sizes[c]);
    }
    imgsim_clusters_free(clusters);
    free(rows);
}

static void other_rows_go_to_the_nearest_mean(void)
{
    const size_t n = 1500, d = 150, k = 25;
    float *rows = grouped_rows(3, 2 * n, d, 12, 3, 0);
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_KMEANS, 2);
    int32_t *labels = malloc(n * sizeof(int32_t));
    float *distances = malloc(n * sizeof(float));
    imgsim_clusters *clusters;

    options.k = (uint32_t)k;
    clusters = cluster(rows, n, d, &options);
    CHECK_OK(imgsim_clusters_assign(clusters, rows + n * d, n, labels, distances));
    for (size_t i = 0; i < n; i++) {
        const float *means = imgsim_clusters_get_means(clusters);
        double least = HUGE_VAL;

        for (size_t c = 0; c < k; c++) {
            const double square = ims_exact_l2_squared(rows + (n + i) * d, means + c * d, d);

            least = square < least ? square : least;
        }
        CHECK(ims_exact_l2_squared(rows + (n + i) * d, means + (size_t)labels[i] * d, d) == least);
        CHECK_NEAR(distances[i], sqrt(least), 1e-5 * sqrt(least));
    }
    imgsim_clusters_free(clusters);
    free(rows);
    free(labels);
    free(distances);
}

static void spherical_means_have_length_1(void)
{
    const size_t n = 1000, d = 40;
    float *rows = grouped_rows(4, n, d, 8, 2, 0);
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_KMEANS, 2);
    imgsim_clusters *clusters;

    options.k = 8;
    options.metric = IMGSIM_METRIC_COSINE;
    clusters = cluster(rows, n, d, &options);
    for (size_t c = 0; c < imgsim_clusters_get_count(clusters); c++) {
        const float *mean = imgsim_clusters_get_means(clusters) + c * d;

        CHECK_NEAR(ims_exact_dot(mean, mean, d), 1, 1e-5);
    }
    imgsim_clusters_free(clusters);
    free(rows);
}

/* Seeds that leave clusters empty: they are filled with the rows that are farthest off. */
static void empty_clusters_are_filled(void)
{
    const size_t n = 400, d = 2;
    float *rows = grouped_rows(8, n, d, 4, 0.1, 0);
    float first[5 * 2];
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_KMEANS, 1);
    imgsim_clusters *clusters;

    for (size_t c = 0; c < 5; c++) {
        first[2 * c] = c == 0 ? rows[0] : 1e6f;
        first[2 * c + 1] = c == 0 ? rows[1] : 1e6f;
    }
    options.k = 5;
    options.initial_means = first;
    clusters = cluster(rows, n, d, &options);
    CHECK_EQUAL(imgsim_clusters_get_count(clusters), 5);
    imgsim_clusters_free(clusters);
    free(rows);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    the_partition_is_that_of_lloyd();
    threads_do_not_matter();
    sizes_medoids_and_order_fit_the_labels();
    other_rows_go_to_the_nearest_mean();
    spherical_means_have_length_1();
    empty_clusters_are_filled();
    return 0;
}
