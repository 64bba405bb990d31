/* SPDX-License-Identifier: Apache-2.0 */
/* DBSCAN against its definition written plainly, HDBSCAN's spanning tree against Prim's algorithm, and the same on any threads. */
#include "cluster_rows.h"

#include "cluster/cluster.h"
#include "core/memory.h"

/* DBSCAN as scikit-learn does it: clusters grow one after another from core rows in order; the first to reach a row has it. */
static void
plain_dbscan(const float *rows, size_t n, size_t d, double eps, size_t min_samples, int32_t *labels)
{
    int32_t *stack = malloc(n * sizeof(int32_t));
    bool *core = calloc(n, sizeof(bool));
    int32_t count = 0;

    CHECK(stack != NULL && core != NULL);
    for (size_t i = 0; i < n; i++) {
        size_t near = 0;

        labels[i] = -1;
        for (size_t j = 0; j < n; j++)
            near += square_of(rows, d, i, j) <= eps * eps;
        core[i] = near >= min_samples;
    }
    for (size_t first = 0; first < n; first++) {
        size_t depth = 0;

        if (!core[first] || labels[first] >= 0)
            continue;
        labels[first] = count;
        stack[depth++] = (int32_t)first;
        while (depth > 0) {
            const size_t i = (size_t)stack[--depth];

            for (size_t j = 0; j < n && core[i]; j++)
                if (labels[j] < 0 && square_of(rows, d, i, j) <= eps * eps) {
                    labels[j] = count;
                    stack[depth++] = (int32_t)j;
                }
        }
        count++;
    }
    free(stack);
    free(core);
}

static void compare_dbscan(size_t n, size_t d, double eps, uint32_t min_samples, double offset)
{
    float *rows = grouped_rows(n + d, n, d, 12, 0.8, offset);
    int32_t *labels = malloc(n * sizeof(int32_t));
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_DBSCAN, 2);
    imgsim_clusters *clusters;

    CHECK(labels != NULL);
    plain_dbscan(rows, n, d, eps, min_samples, labels);
    options.eps = eps;
    options.min_samples = min_samples;
    clusters = cluster(rows, n, d, &options);
    CHECK(same_partition(imgsim_clusters_get_labels(clusters), labels, n));
    CHECK(imgsim_clusters_get_count(clusters) > 1);
    CHECK(imgsim_clusters_get_noise_count(clusters) > 0);
    CHECK_NEAR(imgsim_clusters_get_eps(clusters), eps, 0);
    imgsim_clusters_free(clusters);
    free(rows);
    free(labels);
}

static void dbscan_is_what_its_definition_says(void)
{
    compare_dbscan(2000, 1, 0.004, 5, 0);
    compare_dbscan(3000, 2, 0.08, 5, 0);
    compare_dbscan(3000, 2, 0.3, 20, 0);
    compare_dbscan(3000, 2, 0.03, 2, 1e4); /* floats are coarse there: rows lie on a lattice */
    compare_dbscan(2500, 3, 0.25, 6, 0);
    compare_dbscan(1200, 6, 1.0, 6, 0);
    compare_dbscan(800, 40, 6.8, 5, 0);
    compare_dbscan(800, 40, 6.8, 5, 300);
}

/* An extent for which a grid has no keys: the answer is the same. */
static void far_rows_do_not_hinder(void)
{
    enum { N = 600 };
    float *rows = grouped_rows(2, N, 2, 5, 0.5, 0);
    int32_t labels[N];
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_DBSCAN, 2);
    imgsim_clusters *clusters;

    rows[7] = 1e14f;
    rows[8] = -1e14f;
    plain_dbscan(rows, N, 2, 0.2, 4, labels);
    options.eps = 0.2;
    options.min_samples = 4;
    clusters = cluster(rows, N, 2, &options);
    CHECK(same_partition(imgsim_clusters_get_labels(clusters), labels, N));
    imgsim_clusters_free(clusters);
    free(rows);
}

static void eps_is_suggested(void)
{
    float *rows = grouped_rows(6, 1000, 2, 5, 0.1, 0);
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_DBSCAN, 2);
    imgsim_clusters *clusters = cluster(rows, 1000, 2, &options);
    uint64_t held = 0;

    /* Groups are 0.1 wide and several apart. */
    CHECK(imgsim_clusters_get_eps(clusters) > 0.005);
    CHECK(imgsim_clusters_get_eps(clusters) < 1);
    /* A few rows far out of their group may form a cluster of their own; the five largest hold nearly all. */
    CHECK(imgsim_clusters_get_count(clusters) >= 5);
    for (size_t c = 0; c < 5; c++)
        held += imgsim_clusters_get_sizes(clusters)[c];
    CHECK(held >= 900);
    imgsim_clusters_free(clusters);
    free(rows);
}

/* ---- the spanning tree ---- */

static int by_weight(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;

    return a < b ? -1 : a > b;
}

/* Weights of the minimum spanning tree by Prim's algorithm on plain mutual reachability, sorted. */
static void plain_tree(const float *rows, size_t n, size_t d, size_t min_samples, double *out)
{
    double *core = malloc(n * sizeof(double)), *near = malloc(n * sizeof(double));
    bool *inside = calloc(n, sizeof(bool));
    size_t last = 0;

    CHECK(core != NULL && near != NULL && inside != NULL);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            near[j] = square_of(rows, d, i, j);
        qsort(near, n, sizeof(double), by_weight);
        core[i] = near[min_samples - 1];
    }
    for (size_t i = 0; i < n; i++)
        near[i] = HUGE_VAL;
    inside[0] = true;
    for (size_t e = 0; e + 1 < n; e++) {
        size_t next = n;

        for (size_t j = 0; j < n; j++) {
            double weight;

            if (inside[j])
                continue;
            weight = square_of(rows, d, last, j);
            weight = weight > core[last] ? weight : core[last];
            weight = weight > core[j] ? weight : core[j];
            near[j] = weight < near[j] ? weight : near[j];
            if (next == n || near[j] < near[next])
                next = j;
        }
        out[e] = near[next];
        inside[next] = true;
        last = next;
    }
    qsort(out, n - 1, sizeof(double), by_weight);
    free(core);
    free(near);
    free(inside);
}

static void compare_tree(size_t n, size_t d, uint32_t min_samples, double spread)
{
    float *rows = grouped_rows(n * d, n, d, 9, spread, 0);
    double *plain = malloc(n * sizeof(double));
    struct ims_edge *edges = malloc(n * sizeof(*edges)), *again = malloc(n * sizeof(*edges));
    struct ims_meter meter = {0};
    struct ims_cluster_job job = {.rows = rows, .n = n, .d = d, .meter = &meter};

    CHECK(plain != NULL && edges != NULL && again != NULL);
    plain_tree(rows, n, d, min_samples, plain);
    for (uint32_t threads = 1; threads <= 3; threads++) {
        CHECK_OK(ims_pool_new(threads, &job.pool));
        CHECK_OK(ims_spanning_tree(&job, min_samples, threads == 1 ? edges : again, NULL));
        ims_pool_free(job.pool);
        CHECK(threads == 1 || memcmp(edges, again, (n - 1) * sizeof(*edges)) == 0);
    }
    for (size_t e = 0; e + 1 < n; e++)
        CHECK_NEAR(edges[e].weight, plain[e], 1e-13 * plain[e]); /* sums in another order */
    free(rows);
    free(plain);
    free(edges);
    free(again);
}

static void the_spanning_tree_is_minimal(void)
{
    compare_tree(2, 2, 1, 1);
    compare_tree(17, 1, 3, 1);
    compare_tree(2500, 2, 1, 0.5);
    compare_tree(2500, 2, 12, 0.5);
    compare_tree(1500, 3, 5, 0.1); /* groups far apart: lists do not lead out of them */
    compare_tree(1200, 8, 4, 0.5);
    compare_tree(900, 20, 1, 0.2);
    compare_tree(900, 20, 30, 0.2);
    compare_tree(700, 100, 5, 2);
}

/* ---- HDBSCAN ---- */

static void groups_are_found(void)
{
    const size_t sizes[] = {2, 20};

    for (size_t s = 0; s < 2; s++) {
        const size_t n = 1200, d = sizes[s];
        float *rows = grouped_rows(7, n, d, 6, 0.15, 0);
        imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_HDBSCAN, 2);
        imgsim_clusters *clusters = cluster(rows, n, d, &options);
        const float *probabilities = imgsim_clusters_get_probabilities(clusters);

        CHECK_EQUAL(imgsim_clusters_get_count(clusters), 6);
        for (size_t i = 0; i < n; i++) {
            CHECK(probabilities[i] >= 0 && probabilities[i] <= 1);
            CHECK((probabilities[i] > 0) == (imgsim_clusters_get_labels(clusters)[i] >= 0));
        }
        CHECK_EQUAL(imgsim_clusters_get_leaf_count(clusters), n);
        imgsim_clusters_free(clusters);
        free(rows);
    }
}

static void one_group_is_a_cluster_only_if_allowed(void)
{
    const size_t n = 500;
    float *rows = grouped_rows(3, n, 2, 1, 1, 0);
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_HDBSCAN, 1);
    imgsim_clusters *clusters;

    options.min_cluster_size = 200;
    clusters = cluster(rows, n, 2, &options);
    CHECK_EQUAL(imgsim_clusters_get_count(clusters), 0);
    CHECK_EQUAL(imgsim_clusters_get_noise_count(clusters), n);
    imgsim_clusters_free(clusters);
    options.allow_single = 1;
    clusters = cluster(rows, n, 2, &options);
    CHECK_EQUAL(imgsim_clusters_get_count(clusters), 1);
    imgsim_clusters_free(clusters);
    free(rows);
}

static void a_distance_keeps_near_clusters_together(void)
{
    const size_t n = 2000;
    float *rows = grouped_rows(11, n, 2, 10, 0.3, 0);
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_HDBSCAN, 2);
    imgsim_clusters *leaves, *joined;

    options.selection = IMGSIM_SELECT_LEAF;
    leaves = cluster(rows, n, 2, &options);
    options.selection_epsilon = 0.5;
    joined = cluster(rows, n, 2, &options);
    CHECK(imgsim_clusters_get_count(joined) < imgsim_clusters_get_count(leaves));
    CHECK(imgsim_clusters_get_count(joined) >= 2);
    CHECK(imgsim_clusters_get_noise_count(joined) < imgsim_clusters_get_noise_count(leaves));
    imgsim_clusters_free(leaves);
    imgsim_clusters_free(joined);
    free(rows);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    dbscan_is_what_its_definition_says();
    far_rows_do_not_hinder();
    eps_is_suggested();
    the_spanning_tree_is_minimal();
    groups_are_found();
    one_group_is_a_cluster_only_if_allowed();
    a_distance_keeps_near_clusters_together();
    return 0;
}
