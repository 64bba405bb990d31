/* SPDX-License-Identifier: Apache-2.0 */
/* The neighbour graph: exact with ties, near enough by lists, and what layouts make of graphs that fall into parts. */
#include "check.h"
#include "core/memory.h"
#include "core/rng.h"
#include "map/map_graph.h"
#include "map/map_layout.h"
#include "map/map_order.h"
#include "simd/reference.h"

static imgsim_map_options options;
static struct ims_meter meter;

static struct ims_map_job make_job(const struct ims_map_rows *rows, struct ims_pool *pool)
{
    CHECK_OK(imgsim_map_options_init(&options, sizeof(options)));
    ims_meter_start(&meter, NULL, NULL);
    return (struct ims_map_job){rows, &options, pool, &meter, NULL, NULL, NULL, 0};
}

/* Rows around centres. */
static float *make_rows(size_t n, uint32_t d, size_t centres, double spread)
{
    float *rows = malloc(n * d * sizeof(float));
    struct ims_rng rng, centre;

    ims_rng_init(&rng, 5);
    for (size_t i = 0; i < n; i++) {
        ims_rng_init(&centre, 100 + i * 7919 % centres);
        for (uint32_t c = 0; c < d; c++)
            rows[i * d + c] = (float)(ims_rng_normal(&centre) + spread * ims_rng_normal(&rng));
    }
    return rows;
}

/* The k nearest of one point by double precision, ties by place. */
static void true_neighbours(
    const struct ims_map_metric *metric,
    size_t point,
    uint32_t k,
    uint32_t *places,
    float *distances)
{
    uint32_t count = 0;

    for (size_t other = 0; other < metric->rows->count; other++) {
        const float distance = (float)ims_map_distance_exact(metric, point, other);
        uint32_t at;

        if (other == point || (count == k && !(distance < distances[k - 1])))
            continue;
        at = count < k ? count++ : k - 1;
        for (; at > 0 && distance < distances[at - 1]; at--) {
            distances[at] = distances[at - 1];
            places[at] = places[at - 1];
        }
        distances[at] = distance;
        places[at] = (uint32_t)other;
    }
}

static void the_exact_graph_is_exact(bool cosine, bool ties)
{
    enum { N = 1500, D = 24, K = 10 };
    float *rows = make_rows(N, D, 40, 0.5), distances[K];
    struct ims_map_rows set = {rows, NULL, N, D, cosine, false};
    uint32_t *neighbours = malloc(N * K * sizeof(uint32_t)), places[K];
    float *found = malloc(N * K * sizeof(float));
    struct ims_map_metric metric = {0};
    struct ims_pool *pool = NULL;
    struct ims_map_job job;

    for (size_t i = 0; i < (size_t)N * D && ties; i++)
        rows[i] = roundf(rows[i]); /* many equal distances, some equal rows */
    CHECK_OK(ims_pool_new(2, &pool));
    job = make_job(&set, pool);
    CHECK_OK(ims_map_metric_init(&metric, &set, pool));
    CHECK_OK(ims_map_graph(&job, K, neighbours, found));
    for (size_t i = 0; i < N; i++) {
        true_neighbours(&metric, i, K, places, distances);
        CHECK(memcmp(distances, found + i * K, sizeof(distances)) == 0);
        for (size_t j = 0; j < K; j++)
            CHECK(neighbours[i * K + j] == places[j] || distances[K - 1] == 0.0f);
    }
    ims_map_metric_clear(&metric);
    ims_pool_free(pool);
    free(rows);
    free(neighbours);
    free(found);
}

static void lists_find_most_neighbours(uint32_t k, uint64_t fixed_bytes, double least)
{
    enum { N = 6000, D = 160 };
    float *rows = make_rows(N, D, 150, 0.8);
    struct ims_map_rows set = {rows, NULL, N, D, true, false};
    const size_t edges = (size_t)N * k;
    uint32_t *truth = malloc(edges * sizeof(uint32_t)), *found[2];
    float *distances = malloc(edges * sizeof(float));
    struct ims_map_metric metric = {0};
    struct ims_pool *pool = NULL;
    size_t same = 0;

    for (uint32_t threads = 1; threads <= 2; threads++) {
        struct ims_map_job job;

        CHECK_OK(ims_pool_new(threads, &pool));
        job = make_job(&set, pool);
        job.fixed_bytes = fixed_bytes;
        found[threads - 1] = malloc(edges * sizeof(uint32_t));
        CHECK_OK(ims_map_metric_init(&metric, &set, pool));
        CHECK_OK(ims_map_graph_lists(&job, &metric, k, found[threads - 1], distances));
        if (threads == 2)
            CHECK_OK(ims_map_graph_exact(&job, &metric, k, truth, distances));
        ims_map_metric_clear(&metric);
        ims_pool_free(pool);
    }
    CHECK(memcmp(found[0], found[1], edges * sizeof(uint32_t)) == 0);
    for (size_t i = 0; i < N; i++)
        for (size_t a = 0; a < k; a++)
            for (size_t b = 0; b < k; b++)
                same += truth[i * k + a] == found[0][i * k + b];
    printf("recall of %u neighbours: %.4f\n", k, (double)same / (double)edges);
    CHECK((double)same >= least * (double)edges);
    free(rows);
    free(truth);
    free(found[0]);
    free(found[1]);
    free(distances);
}

/* Distances by integers are near the true ones, also where rows nearly coincide, lie far from 0 or are 0. */
static void integers_give_nearly_true_distances(bool cosine)
{
    enum { N = 400, D = 75 };
    float *rows = make_rows(N, D, 20, 0.3), mean[D] = {0.0f};
    struct ims_map_rows set = {rows, NULL, N, D, cosine, false};
    struct ims_map_metric metric = {0};
    struct ims_map_fixed fixed = {0};
    uint32_t points[N];

    for (size_t i = 0; i < N; i++) {
        points[i] = (uint32_t)((i * 7 + 3) % N);
        for (size_t c = 0; c < D; c++)
            rows[i * D + c] += cosine ? 0.5f : 300.0f;
    }
    for (size_t c = 0; c < D; c++) {
        rows[5 * D + c] = rows[9 * D + c]; /* equal */
        rows[6 * D + c] = rows[9 * D + c] * (1.0f + (c == 2 ? 1e-4f : 0.0f));
        rows[7 * D + c] = 0.0f;
        rows[8 * D + c] = c == 4 ? 1000.0f : 0.0f; /* one value has it all */
        mean[c] = cosine ? 0.04f : 300.0f;
    }
    CHECK_OK(ims_map_metric_init(&metric, &set, NULL));
    CHECK_OK(ims_map_fixed_init(&fixed, &metric, points, mean, N * 96 * sizeof(int16_t), NULL));
    CHECK(fixed.values != NULL);
    for (size_t a = 0; a < N; a++)
        for (size_t b = 0; b < N; b++) {
            const double truth = ims_map_distance_exact(&metric, points[a], points[b]);

            if (a != b)
                CHECK_NEAR(ims_map_fixed_distance(&fixed, a, b), truth, 2e-3 * truth + 1e-9);
        }
    ims_map_fixed_clear(&fixed);

    /* A byte less is too little: floats. */
    CHECK_OK(ims_map_fixed_init(&fixed, &metric, points, mean, N * 96 * sizeof(int16_t) - 1, NULL));
    CHECK(fixed.values == NULL);
    for (size_t b = 1; b < N; b++)
        CHECK(
            ims_map_fixed_distance(&fixed, 0, b) ==
            ims_map_distance(&metric, points[0], points[b]));
    ims_map_fixed_clear(&fixed);
    ims_map_metric_clear(&metric);
    free(rows);
}

/* Identical rows, far more than a list holds: an answer in good time, everybody's neighbours at distance 0. */
static void identical_rows_do_no_harm(void)
{
    enum { N = 5000, D = 8, K = 5 };
    float *rows = calloc((size_t)N * D, sizeof(float));
    struct ims_map_rows set = {rows, NULL, N, D, false, false};
    uint32_t *neighbours = malloc(N * K * sizeof(uint32_t));
    float *distances = malloc(N * K * sizeof(float));
    struct ims_map_metric metric = {0};
    struct ims_pool *pool = NULL;
    struct ims_map_job job;

    for (size_t i = 0; i < (size_t)N * D; i++)
        rows[i] = 1.0f;
    CHECK_OK(ims_pool_new(2, &pool));
    job = make_job(&set, pool);
    CHECK_OK(ims_map_metric_init(&metric, &set, pool));
    for (int route = 0; route < 2; route++) {
        CHECK_OK((route == 0 ? ims_map_graph_exact : ims_map_graph_lists)(
            &job, &metric, K, neighbours, distances));
        for (size_t e = 0; e < (size_t)N * K; e++) {
            CHECK(distances[e] == 0.0f);
            CHECK(neighbours[e] < N && neighbours[e] != e / K);
        }
    }
    ims_map_metric_clear(&metric);
    ims_pool_free(pool);
    free(rows);
    free(neighbours);
    free(distances);
}

/* A graph of two parts that know nothing of each other, and of a few isolated pairs, is laid out, its parts apart. */
static void parts_lie_apart(void)
{
    enum { N = 900, D = 6 };
    float *rows = make_rows(N, D, 1, 1.0);
    imgsim_map *map = NULL;
    imgsim_map_options settings;
    double middles[2][2] = {{0.0}}, widths[2] = {0.0};

    for (size_t i = 0; i < N; i++) {
        rows[i * D] += i % 2 == 0 ? 0.0f : 1000.0f;
        if (i >= N - 4) /* two pairs far from everything */
            rows[i * D + 1] += i >= N - 2 ? 9000.0f : 5000.0f;
    }
    CHECK_OK(imgsim_map_options_init(&settings, sizeof(settings)));
    settings.metric = IMGSIM_METRIC_L2;
    settings.neighbours = 10;
    CHECK_OK(imgsim_map_new(rows, N, D, NULL, &settings, &map));
    for (size_t i = 0; i < N - 4; i++)
        for (size_t c = 0; c < 2; c++)
            middles[i % 2][c] += imgsim_map_get_positions(map)[i * 2 + c] / ((N - 4) / 2.0);
    for (size_t i = 0; i < N - 4; i++)
        widths[i % 2] += hypot(
                             imgsim_map_get_positions(map)[i * 2] - middles[i % 2][0],
                             imgsim_map_get_positions(map)[i * 2 + 1] - middles[i % 2][1]) /
                         ((N - 4) / 2.0);
    CHECK(
        hypot(middles[0][0] - middles[1][0], middles[0][1] - middles[1][1]) >
        0.5 * (widths[0] + widths[1]));
    for (size_t i = 0; i < N * 2; i++)
        CHECK(isfinite(imgsim_map_get_positions(map)[i]));
    imgsim_map_free(map);
    free(rows);
}

/* Numbers along the map: a permutation that keeps every edge with its ends, and cuts the way from point to point. */
static void renumbering_keeps_the_graph(uint32_t d)
{
    enum { N = 5000, K = 3 };
    uint32_t order[N], *targets = malloc(N * K * sizeof(uint32_t));
    float *positions = make_rows(N, d, 30, 0.3), *old = malloc(N * d * sizeof(float));
    struct ims_map_edges edges = {.count = N};
    double way = 0.0, old_way = 0.0;
    bool seen[N] = {false};

    edges.starts = ims_alloc_array(N + 1, sizeof(uint64_t));
    edges.targets = ims_alloc_array(N * K, sizeof(uint32_t));
    edges.weights = ims_alloc_array(N * K, sizeof(float));
    for (size_t i = 0; i <= N; i++)
        edges.starts[i] = i * K - (i > 9 ? 2 : 0); /* one vertex has fewer */
    for (size_t e = 0; e < edges.starts[N]; e++) {
        edges.targets[e] = targets[e] = (uint32_t)(e * 7919 % N);
        edges.weights[e] = (float)e;
    }
    memcpy(old, positions, N * d * sizeof(float));
    CHECK_OK(ims_map_curve(positions, N, d, order));
    CHECK_OK(ims_map_renumber(&edges, order, NULL));
    CHECK_OK(ims_map_permute(positions, N, d, order, false));
    for (size_t i = 0; i < N; i++) {
        CHECK(order[i] < N && !seen[order[i]]);
        seen[order[i]] = true;
        CHECK(memcmp(positions + i * d, old + order[i] * d, d * sizeof(float)) == 0);
        for (uint64_t e = edges.starts[i]; e < edges.starts[i + 1]; e++)
            CHECK_EQUAL(order[edges.targets[e]], targets[(size_t)edges.weights[e]]);
        for (size_t c = 0; c < d && i > 0; c++) {
            way += fabs(positions[i * d + c] - positions[(i - 1) * d + c]);
            old_way += fabs(old[i * d + c] - old[(i - 1) * d + c]);
        }
    }
    CHECK(way < 0.2 * old_way);
    CHECK_OK(ims_map_permute(positions, N, d, order, true));
    CHECK(memcmp(positions, old, N * d * sizeof(float)) == 0);
    ims_map_edges_clear(&edges);
    free(targets);
    free(positions);
    free(old);
}

int main(void)
{
    the_exact_graph_is_exact(true, false);
    the_exact_graph_is_exact(false, false);
    the_exact_graph_is_exact(false, true);
    the_exact_graph_is_exact(true, true);
    lists_find_most_neighbours(14, 0, 0.97);
    lists_find_most_neighbours(14, 1, 0.97);
    lists_find_most_neighbours(90, 0, 0.95);
    integers_give_nearly_true_distances(true);
    integers_give_nearly_true_distances(false);
    identical_rows_do_no_harm();
    parts_lie_apart();
    renumbering_keeps_the_graph(2);
    renumbering_keeps_the_graph(3);
    return 0;
}
