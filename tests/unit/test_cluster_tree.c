/* SPDX-License-Identifier: Apache-2.0 */
/* Agglomerative clustering against the definition of each linkage, joining one pair after another; cuts; micro-clusters. */
#include "cluster_rows.h"

/* Distance of two clusters given as lists of rows, by definition. */
static double plain_distance(
    const float *rows,
    size_t d,
    int32_t linkage,
    const int32_t *members,
    int32_t a,
    int32_t b,
    size_t n)
{
    double least = HUGE_VAL, most = 0, sum = 0, a_count = 0, b_count = 0, square = 0;

    for (size_t i = 0; i < n; i++) {
        a_count += members[i] == a;
        b_count += members[i] == b;
        for (size_t j = 0; j < n && members[i] == a; j++)
            if (members[j] == b) {
                const double distance = sqrt(square_of(rows, d, i, j));

                least = distance < least ? distance : least;
                most = distance > most ? distance : most;
                sum += distance;
            }
    }
    if (linkage == IMGSIM_LINKAGE_SINGLE)
        return least;
    if (linkage == IMGSIM_LINKAGE_COMPLETE)
        return most;
    if (linkage == IMGSIM_LINKAGE_AVERAGE)
        return sum / (a_count * b_count);
    for (size_t j = 0; j < d; j++) {
        double x = 0, y = 0;

        for (size_t i = 0; i < n; i++) {
            x += members[i] == a ? rows[i * d + j] / a_count : 0;
            y += members[i] == b ? rows[i * d + j] / b_count : 0;
        }
        square += (x - y) * (x - y);
    }
    return sqrt(2 * a_count * b_count / (a_count + b_count) * square);
}

/* Join the nearest two until `left` are left, comparing each height with the tree's. */
static void follow(
    const float *rows,
    size_t n,
    size_t d,
    int32_t linkage,
    const double *tree,
    int32_t *members,
    size_t left)
{
    for (size_t i = 0; i < n; i++)
        members[i] = (int32_t)i;
    for (size_t join = 0; join + left < n; join++) {
        double least = HUGE_VAL;
        int32_t from = -1, to = -1;

        for (int32_t a = 0; a < (int32_t)n; a++)
            for (int32_t b = a + 1; b < (int32_t)n; b++) {
                bool has_a = false, has_b = false;
                double distance;

                for (size_t i = 0; i < n; i++) {
                    has_a |= members[i] == a;
                    has_b |= members[i] == b;
                }
                if (!has_a || !has_b)
                    continue;
                distance = plain_distance(rows, d, linkage, members, a, b, n);
                if (distance < least) {
                    least = distance;
                    to = a;
                    from = b;
                }
            }
        CHECK_NEAR(tree[4 * join + 2], least, 1e-9 * least + 1e-12);
        for (size_t i = 0; i < n; i++)
            if (members[i] == from)
                members[i] = to;
    }
}

static void every_linkage_joins_as_it_says(void)
{
    enum { N = 40 };
    float *rows = grouped_rows(12, N, 5, 4, 1.5, 20);
    int32_t members[N], labels[N];

    for (int32_t linkage = IMGSIM_LINKAGE_WARD; linkage <= IMGSIM_LINKAGE_AVERAGE; linkage++) {
        imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_AGGLOMERATIVE, 2);
        imgsim_clusters *clusters;
        size_t count;

        options.linkage = linkage;
        options.k = 5;
        clusters = cluster(rows, N, 5, &options);
        follow(rows, N, 5, linkage, imgsim_clusters_get_tree(clusters), members, 5);
        CHECK(same_partition(imgsim_clusters_get_labels(clusters), members, N));
        CHECK_OK(imgsim_clusters_cut(clusters, 5, 0, labels, &count));
        CHECK_EQUAL(count, 5);
        CHECK(same_partition(labels, members, N));
        /* The same by height: between the last join that is kept and the next. */
        CHECK_OK(imgsim_clusters_cut(
            clusters, 0,
            (imgsim_clusters_get_tree(clusters)[4 * (N - 6) + 2] +
             imgsim_clusters_get_tree(clusters)[4 * (N - 5) + 2]) /
                2,
            labels, &count));
        CHECK_EQUAL(count, 5);
        CHECK(same_partition(labels, members, N));
        imgsim_clusters_free(clusters);
    }
    free(rows);
}

/* Sizes add up, heights rise, children come before their parent and have one parent each. */
static void check_form(const double *tree, size_t leaves)
{
    bool *taken = calloc(2 * leaves, sizeof(bool));

    CHECK(taken != NULL);
    for (size_t join = 0; join + 1 < leaves; join++) {
        const double *row = tree + 4 * join;
        double size = 0;

        CHECK(row[0] < row[1] && row[1] < (double)(leaves + join));
        CHECK(join == 0 || row[2] >= tree[4 * join - 2]);
        for (int side = 0; side < 2; side++) {
            const size_t child = (size_t)row[side];

            CHECK(!taken[child]);
            taken[child] = true;
            size += child < leaves ? 1 : tree[4 * (child - leaves) + 3];
        }
        CHECK(size == row[3]);
    }
    free(taken);
}

static void larger_trees_are_well_formed_on_any_threads(void)
{
    const size_t n = 3000, d = 30;
    float *rows = grouped_rows(6, n, d, 25, 1.5, 0);
    const int32_t linkages[] = {IMGSIM_LINKAGE_WARD, IMGSIM_LINKAGE_SINGLE};

    for (size_t l = 0; l < 2; l++) {
        imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_AGGLOMERATIVE, 1);
        imgsim_clusters *one, *three;

        options.linkage = linkages[l];
        one = cluster(rows, n, d, &options);
        options.threads = 3;
        three = cluster(rows, n, d, &options);
        CHECK_EQUAL(imgsim_clusters_get_leaf_count(one), n);
        check_form(imgsim_clusters_get_tree(one), n);
        CHECK(
            memcmp(
                imgsim_clusters_get_tree(one), imgsim_clusters_get_tree(three),
                4 * (n - 1) * sizeof(double)) == 0);
        imgsim_clusters_free(one);
        imgsim_clusters_free(three);
    }
    free(rows);
}

/* Rows on a lattice: every distance ties with many others. */
static void ties_come_to_an_end(void)
{
    enum { SIDE = 16, N = SIDE * SIDE };
    float rows[N * 2];

    for (int i = 0; i < N; i++) {
        rows[2 * i] = (float)(i % SIDE);
        rows[2 * i + 1] = (float)(i / SIDE);
    }
    for (int32_t linkage = IMGSIM_LINKAGE_WARD; linkage <= IMGSIM_LINKAGE_AVERAGE; linkage++) {
        imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_AGGLOMERATIVE, 2);
        imgsim_clusters *clusters;

        options.linkage = linkage;
        options.k = 4;
        clusters = cluster(rows, N, 2, &options);
        check_form(imgsim_clusters_get_tree(clusters), N);
        CHECK_EQUAL(imgsim_clusters_get_count(clusters), 4);
        imgsim_clusters_free(clusters);
    }
}

static void micro_clusters_stand_for_many_rows(void)
{
    const size_t n = 6000, d = 4;
    float *rows = grouped_rows(21, n, d, 7, 0.2, 0);
    imgsim_cluster_options options = options_of(IMGSIM_CLUSTER_AGGLOMERATIVE, 2);
    imgsim_clusters *whole, *micro;

    options.k = 7;
    whole = cluster(rows, n, d, &options);
    options.micro_clusters = 300;
    micro = cluster(rows, n, d, &options);
    CHECK_EQUAL(imgsim_clusters_get_leaf_count(micro), 300);
    CHECK(imgsim_clusters_get_leaves(micro) != NULL);
    CHECK(imgsim_clusters_get_leaves(whole) == NULL);
    check_form(imgsim_clusters_get_tree(micro), 300);
    CHECK(same_partition(imgsim_clusters_get_labels(whole), imgsim_clusters_get_labels(micro), n));
    imgsim_clusters_free(whole);
    imgsim_clusters_free(micro);
    free(rows);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    every_linkage_joins_as_it_says();
    larger_trees_are_well_formed_on_any_threads();
    ties_come_to_an_end();
    micro_clusters_stand_for_many_rows();
    return 0;
}
