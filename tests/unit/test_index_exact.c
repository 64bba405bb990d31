/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact search gives the true k nearest, ties by id: for every metric, batch, number of threads and instruction set, on rows
 * that float arithmetic alone gets wrong.
 */
#include "../recall/true_order.h"
#include "core/rng.h"
#include "core/topk.h"
#include "each_set.h"
#include "index/index.h"
#include "simd/kernels.h"
#include "simd/metric.h"

#include <imgsim/index.h>

#define ROWS 1400
#define QUERIES 24
#define DIMENSION 48

static float rows[ROWS * DIMENSION];
static float queries[QUERIES * DIMENSION];
static int64_t ids[ROWS];

enum data { ORDINARY, DUPLICATES, FAR_FROM_ORIGIN, EXTREME, HISTOGRAMS, DATA_KINDS };

/* Rows of a kind that is hard in its own way; a tenth of the queries are rows of the index. */
static void make_data(enum data kind)
{
    struct ims_rng rng;

    ims_rng_init(&rng, 11 + kind);
    for (size_t i = 0; i < ROWS; i++) {
        const double power = kind == EXTREME ? ims_rng_double(&rng) * 60 - 30 : 0;

        for (size_t j = 0; j < DIMENSION; j++) {
            double value = ims_rng_normal(&rng) * pow(10, power);

            if (kind == FAR_FROM_ORIGIN)
                value = 1000 + 0.01 * value;
            if (kind == HISTOGRAMS)
                value = ims_rng_below(&rng, 3) == 0 ? (double)ims_rng_below(&rng, 40) : 0;
            if (kind == DUPLICATES && i % 3 != 0)
                value = rows[(i - i % 3) % 30 * DIMENSION + j];
            if (kind == EXTREME && i % 17 == 0)
                value = i % 2 == 0 ? 0 : 1e-44 * (double)(1 + ims_rng_below(&rng, 3));
            rows[i * DIMENSION + j] = (float)value;
        }
        ids[i] = (int64_t)((i * 7919) % ROWS) * 3;
    }
    for (size_t i = 0; i < QUERIES; i++)
        for (size_t j = 0; j < DIMENSION; j++) {
            const float *row = rows + (i * 31 % ROWS) * DIMENSION;

            queries[i * DIMENSION + j] =
                i % 10 == 0 ? row[j]
                            : (kind == HISTOGRAMS ? fabsf(row[j]) + (float)(j % 3) : row[j] * 1.5f);
        }
}

static double true_distance(int32_t metric, const float *query, const float *row)
{
    const double value = ims_metric_compare(metric, IMGSIM_ROW_FLOAT32, query, row, DIMENSION);

    if (metric == IMGSIM_METRIC_L2) { /* the square, not the square of the root */
        double sum[8] = {0};

        for (size_t i = 0; i < DIMENSION; i++)
            sum[i % 8] += ((double)query[i] - row[i]) * ((double)query[i] - row[i]);
        return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    }
    if (metric == IMGSIM_METRIC_ANGULAR) /* ordered before the arc cosine */
        return 1 -
               ims_metric_compare(IMGSIM_METRIC_COSINE, IMGSIM_ROW_FLOAT32, query, row, DIMENSION);
    return ims_metric_distance(metric, value);
}

/* How far the distance of a row may be from the true one; what decides then, or -1 where the one computed does. */
static int
find_kind(int32_t metric, const float *query, const float *row, double key, double *error)
{
    const double unit = (DIMENSION + 40) * (DBL_EPSILON / 2);
    double a = 0, b = 0;

    for (size_t i = 0; i < DIMENSION; i++) {
        a += (double)query[i] * query[i];
        b += (double)row[i] * row[i];
    }
    switch (metric) {
    case IMGSIM_METRIC_L2:
        *error = 2 * unit * key;
        return TRUE_L2;
    case IMGSIM_METRIC_INNER_PRODUCT:
        *error = unit * sqrt(a) * sqrt(b);
        return TRUE_PRODUCT;
    case IMGSIM_METRIC_COSINE:
    case IMGSIM_METRIC_ANGULAR:
        *error = a == 0 || b == 0 ? 0 : 4 * unit;
        return TRUE_COSINE;
    default:
        return -1;
    }
}

static void naive(int32_t metric, const float *query, size_t k, const uint8_t *filter, int64_t *out)
{
    static struct ims_neighbour all[ROWS];
    static struct true_row exact[ROWS];
    static double room[ROWS];
    size_t count = 0;
    int kind = -1;

    for (size_t i = 0; i < ROWS; i++)
        if (filter == NULL || (filter[ids[i] / 8] >> (ids[i] % 8) & 1) != 0) {
            const float *row = rows + i * DIMENSION;
            const double key = true_distance(metric, query, row);

            exact[count] = (struct true_row){.key = key, .id = ids[i], .row = row};
            kind = find_kind(metric, query, row, key, &exact[count].error);
            all[count++] = (struct ims_neighbour){key, ids[i]};
        }
    if (kind < 0)
        ims_neighbours_sort(all, count);
    else if (count > 0)
        count = true_order((enum true_kind)kind, query, DIMENSION, exact, count, k, room);
    for (size_t i = 0; i < k; i++)
        out[i] = i >= count ? -1 : kind < 0 ? all[i].id : exact[i].id;
}

static imgsim_index *new_index(int32_t metric, uint32_t threads)
{
    imgsim_index_options options;
    imgsim_index *index;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.metric = metric;
    options.dimension = DIMENSION;
    options.threads = threads;
    CHECK_OK(imgsim_index_new(&options, &index));
    return index;
}

/* All queries in batches of `batch` against the truth. */
static void check_batches(
    const imgsim_index *index,
    const int64_t *truth,
    size_t k,
    size_t batch,
    const uint8_t *filter)
{
    static int64_t found[QUERIES * ROWS];
    static float distances[QUERIES * ROWS];
    imgsim_search_options options;

    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    options.filter = filter;
    options.filter_bits = filter != NULL ? ROWS * 3 : 0;
    for (size_t start = 0; start < QUERIES; start += batch)
        CHECK_OK(imgsim_index_search(
            index, queries + start * DIMENSION, QUERIES - start < batch ? QUERIES - start : batch,
            k, &options, found + start * k, distances + start * k));
    for (size_t i = 0; i < QUERIES * k; i++) {
        if (found[i] != truth[i])
            fprintf(
                stderr, "metric %s query %zu rank %zu\n",
                imgsim_metric_name(imgsim_index_get_metric(index)), i / k, i % k);
        CHECK_EQUAL(found[i], truth[i]);
        CHECK(i % k == 0 || distances[i] >= distances[i - 1]);
    }
}

static void check_metric(int32_t metric)
{
    static int64_t truth[QUERIES * ROWS];
    static const size_t ks[] = {1, 10, ROWS};

    for (size_t i = 0; i < sizeof(ks) / sizeof(ks[0]); i++) {
        for (size_t query = 0; query < QUERIES; query++)
            naive(metric, queries + query * DIMENSION, ks[i], NULL, truth + query * ks[i]);
        for (uint32_t threads = 1; threads <= 3; threads += 2) {
            imgsim_index *index = new_index(metric, threads);

            CHECK_OK(imgsim_index_add(index, rows, ROWS, ids));
            check_batches(index, truth, ks[i], 1, NULL);
            check_batches(index, truth, ks[i], QUERIES, NULL);
            imgsim_index_free(index);
        }
    }
}

static void every_metric_gives_the_truth(void)
{
    for (int kind = ORDINARY; kind < DATA_KINDS; kind++) {
        make_data((enum data)kind);
        for (int32_t metric = IMGSIM_METRIC_COSINE; metric <= IMGSIM_METRIC_ANGULAR; metric++)
            check_metric(metric);
        if (kind != HISTOGRAMS)
            continue;
        for (int32_t metric = IMGSIM_METRIC_CORRELATION; metric <= IMGSIM_METRIC_BHATTACHARYYA;
             metric++)
            check_metric(metric);
    }
}

static void filters_let_only_their_ids_through(void)
{
    static int64_t truth[QUERIES * 10];
    static uint8_t filter[(ROWS * 3 + 7) / 8];
    static const uint32_t shares[] = {2, 10, 300, 100000};
    imgsim_index *index = new_index(IMGSIM_METRIC_COSINE, 2);

    make_data(ORDINARY);
    CHECK_OK(imgsim_index_add(index, rows, ROWS, ids));
    for (size_t s = 0; s < sizeof(shares) / sizeof(shares[0]); s++) {
        struct ims_rng rng;

        ims_rng_init(&rng, s);
        memset(filter, 0, sizeof(filter));
        for (size_t id = 0; id < ROWS * 3; id++)
            if (ims_rng_below(&rng, shares[s]) == 0)
                filter[id / 8] |= (uint8_t)(1u << (id % 8));
        for (size_t query = 0; query < QUERIES; query++)
            naive(
                IMGSIM_METRIC_COSINE, queries + query * DIMENSION, 10, filter, truth + query * 10);
        check_batches(index, truth, 10, 1, filter);
        check_batches(index, truth, 10, QUERIES, filter);
    }
    imgsim_index_free(index);
}

static void max_distance_ends_the_answers(void)
{
    imgsim_index *index = new_index(IMGSIM_METRIC_L2, 1);
    imgsim_search_options options;
    int64_t found[20];
    float distances[20], limit;

    make_data(ORDINARY);
    CHECK_OK(imgsim_index_add(index, rows, ROWS, ids));
    CHECK_OK(imgsim_index_search(index, queries + DIMENSION, 1, 20, NULL, found, distances));
    limit = distances[7];
    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    options.max_distance = limit;
    CHECK_OK(imgsim_index_search(index, queries + DIMENSION, 1, 20, &options, found, distances));
    CHECK(found[7] >= 0 && distances[7] == limit);
    CHECK(found[8] == -1 && distances[8] == INFINITY);
    imgsim_index_free(index);
}

/* (a - b)^T M (a - b) with M = A^T A of a random A with fewer rows than columns: semi-definite. */
static void mahalanobis_follows_its_formula(void)
{
    static double matrix[DIMENSION * DIMENSION], factor[30 * DIMENSION];
    static struct ims_neighbour all[ROWS];
    imgsim_index_options options;
    imgsim_index *index;
    struct ims_rng rng;
    int64_t found[QUERIES * 5];
    float distances[QUERIES * 5];

    make_data(ORDINARY);
    ims_rng_init(&rng, 5);
    for (size_t i = 0; i < 30 * DIMENSION; i++)
        factor[i] = ims_rng_normal(&rng);
    for (size_t i = 0; i < DIMENSION; i++)
        for (size_t j = 0; j < DIMENSION; j++)
            for (size_t row = 0; row < 30; row++)
                matrix[i * DIMENSION + j] +=
                    factor[row * DIMENSION + i] * factor[row * DIMENSION + j];
    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.metric = IMGSIM_METRIC_MAHALANOBIS;
    options.dimension = DIMENSION;
    CHECK_FAILS(imgsim_index_new(&options, &index), IMGSIM_ERROR_INVALID_ARGUMENT, "matrix");
    options.mahalanobis = matrix;
    CHECK_OK(imgsim_index_new(&options, &index));
    CHECK_OK(imgsim_index_add(index, rows, ROWS, ids));
    CHECK_OK(imgsim_index_search(index, queries, QUERIES, 5, NULL, found, distances));
    for (size_t query = 0; query < QUERIES; query++) {
        for (size_t i = 0; i < ROWS; i++) {
            double sum = 0;

            for (size_t row = 0; row < 30; row++) {
                double part = 0;

                for (size_t j = 0; j < DIMENSION; j++)
                    part += factor[row * DIMENSION + j] *
                            ((double)queries[query * DIMENSION + j] - rows[i * DIMENSION + j]);
                sum += part * part;
            }
            all[i] = (struct ims_neighbour){sum, ids[i]};
        }
        ims_neighbours_sort(all, ROWS);
        for (size_t i = 0; i < 5; i++) {
            CHECK_EQUAL(found[query * 5 + i], all[i].id);
            CHECK_NEAR(
                distances[query * 5 + i], all[i].distance,
                1e-5 * all[ROWS - 1].distance + 1e-5 * all[i].distance);
        }
    }
    imgsim_index_free(index);
}

static void bits_are_counted(void)
{
    static uint8_t bits[ROWS * 8];
    static struct ims_neighbour all[ROWS];
    struct ims_rng rng;
    int64_t found[12];
    float distances[12];

    ims_rng_init(&rng, 9);
    for (size_t i = 0; i < sizeof(bits); i++)
        bits[i] = (uint8_t)(ims_rng_next(&rng) & ims_rng_next(&rng));
    memset(bits + 80, 0, 8);
    for (int32_t metric = IMGSIM_METRIC_HAMMING; metric <= IMGSIM_METRIC_JACCARD; metric++) {
        imgsim_index_options options;
        imgsim_index *index;

        CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
        options.metric = metric;
        options.dimension = 64;
        CHECK_OK(imgsim_index_new(&options, &index));
        CHECK_OK(imgsim_index_add_bits(index, bits, ROWS, NULL));
        CHECK_FAILS(imgsim_index_add(index, rows, 1, NULL), IMGSIM_ERROR_UNSUPPORTED, "floats");
        for (size_t query = 0; query < 30; query++) {
            for (size_t i = 0; i < ROWS; i++)
                all[i] = (struct ims_neighbour){
                    ims_metric_distance(
                        metric, ims_metric_compare(
                                    metric, IMGSIM_ROW_BITS, bits + query * 8, bits + i * 8, 64)),
                    (int64_t)i};
            ims_neighbours_sort(all, ROWS);
            CHECK_OK(
                imgsim_index_search_bits(index, bits + query * 8, 1, 12, NULL, found, distances));
            for (size_t i = 0; i < 12; i++) {
                CHECK_EQUAL(found[i], all[i].id);
                CHECK(distances[i] == (float)all[i].distance);
            }
        }
        imgsim_index_free(index);
    }
}

static int32_t weighted_l1(
    const void *query,
    const void *batch,
    size_t row_count,
    uint32_t dimension,
    int32_t row_type,
    float *out_distances,
    void *user_data)
{
    const float *q = query, *r = batch;

    if (row_type != IMGSIM_ROW_FLOAT32 || *(int *)user_data != 0)
        return *(int *)user_data;
    for (size_t row = 0; row < row_count; row++) {
        out_distances[row] = 0;
        for (uint32_t i = 0; i < dimension; i++)
            out_distances[row] += (float)(i + 1) * fabsf(q[i] - r[row * dimension + i]);
    }
    return 0;
}

static void the_host_may_bring_a_metric(void)
{
    imgsim_index_options options;
    imgsim_index *index;
    struct ims_neighbour all[ROWS];
    int failure = 0;
    int64_t found[7];
    float distances[7], distance = NAN;

    make_data(DUPLICATES);
    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.metric = IMGSIM_METRIC_CALLBACK;
    options.dimension = DIMENSION;
    CHECK_FAILS(imgsim_index_new(&options, &index), IMGSIM_ERROR_INVALID_ARGUMENT, "function");
    options.callback = weighted_l1;
    options.user_data = &failure;
    CHECK_OK(imgsim_index_new(&options, &index));
    CHECK_OK(imgsim_index_add(index, rows, ROWS, ids));
    for (size_t query = 0; query < 10; query++) {
        for (size_t i = 0; i < ROWS; i++) {
            weighted_l1(
                queries + query * DIMENSION, rows + i * DIMENSION, 1, DIMENSION, IMGSIM_ROW_FLOAT32,
                &distance, &failure);
            all[i] = (struct ims_neighbour){distance, ids[i]};
        }
        ims_neighbours_sort(all, ROWS);
        CHECK_OK(
            imgsim_index_search(index, queries + query * DIMENSION, 1, 7, NULL, found, distances));
        for (size_t i = 0; i < 7; i++)
            CHECK_EQUAL(found[i], all[i].id);
    }
    failure = 3;
    CHECK_FAILS(
        imgsim_index_search(index, queries, 1, 7, NULL, found, distances), IMGSIM_ERROR_CALLBACK,
        "3");
    CHECK_FAILS(imgsim_index_save(index, "unused.ims"), IMGSIM_ERROR_UNSUPPORTED, "host");
    imgsim_index_free(index);
}

/* The same histograms dense and sparse, normalised and not: the same answers. */
static void sparse_histograms_give_what_dense_ones_give(void)
{
    static uint64_t offsets[ROWS];
    static uint32_t lengths[ROWS], counts[ROWS * DIMENSION];
    static uint16_t bins[ROWS * DIMENSION];
    static uint8_t present[(ROWS + 7) / 8];
    static float divided[ROWS * DIMENSION];
    static int64_t expected[QUERIES * 10], found[QUERIES * 10];
    static float expected_distances[QUERIES * 10], distances[QUERIES * 10];
    size_t used = 0;

    make_data(HISTOGRAMS);
    memset(present, 0xff, sizeof(present));
    memset(rows + 5 * DIMENSION, 0, DIMENSION * sizeof(float)); /* an empty one */
    for (size_t i = 0; i < ROWS; i++) {
        double sum = 0;

        offsets[i] = used;
        for (size_t j = 0; j < DIMENSION; j++) {
            sum += rows[i * DIMENSION + j];
            if (rows[i * DIMENSION + j] > 0) {
                bins[used] = (uint16_t)j;
                counts[used++] = (uint32_t)rows[i * DIMENSION + j];
            }
        }
        lengths[i] = (uint32_t)(used - offsets[i]);
        for (size_t j = 0; j < DIMENSION; j++)
            divided[i * DIMENSION + j] = sum > 0 ? (float)(rows[i * DIMENSION + j] / sum) : 0;
    }

    for (int normalize = 0; normalize <= 1; normalize++)
        for (int32_t metric = IMGSIM_METRIC_L1; metric <= IMGSIM_METRIC_BHATTACHARYYA; metric++) {
            imgsim_index *dense, *sparse;
            imgsim_index_options options;
            double values[ROWS], value;
            int64_t third = 3;

            if (metric != IMGSIM_METRIC_L1 && metric < IMGSIM_METRIC_CORRELATION)
                continue;
            dense = new_index(metric, 1);
            CHECK_OK(imgsim_index_add(dense, normalize ? divided : rows, ROWS, NULL));
            if (normalize) {
                CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
                options.metric = metric;
                options.dimension = DIMENSION;
                CHECK_OK(ims_index_new_borrowed_sparse(
                    &options, offsets, lengths, bins, counts, ROWS, present, ROWS, 1, &sparse));
            } else {
                sparse = new_index(metric, 1);
                CHECK_OK(
                    imgsim_index_add_sparse(sparse, offsets, lengths, bins, counts, ROWS, NULL));
            }
            for (size_t batch = 1; batch <= QUERIES; batch += QUERIES - 1) {
                CHECK_OK(imgsim_index_search(
                    dense, normalize ? divided : queries, batch, 10, NULL, expected,
                    expected_distances));
                CHECK_OK(imgsim_index_search(
                    sparse, normalize ? divided : queries, batch, 10, NULL, found, distances));
                for (size_t i = 0; i < batch * 10; i++) {
                    CHECK_EQUAL(found[i], expected[i]);
                    CHECK(distances[i] == expected_distances[i]);
                }
            }
            CHECK_OK(ims_index_values_all(sparse, divided, 2, values, ROWS));
            CHECK_OK(ims_index_values(dense, divided, &third, 1, &value));
            if (normalize)
                CHECK(values[3] == value);
            imgsim_index_free(dense);
            imgsim_index_free(sparse);
        }
}

static void borrowed_rows_are_numbered(void)
{
    uint8_t present[(ROWS + 7) / 8];
    imgsim_index_options options;
    imgsim_index *index;
    int64_t found[ROWS];
    float distances[ROWS];
    double values[ROWS], value;
    const int64_t one = 8;

    make_data(ORDINARY);
    memset(present, 0x55, sizeof(present)); /* the even rows */
    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.dimension = DIMENSION;
    CHECK_OK(ims_index_new_borrowed(&options, rows, ROWS, present, 1000, &index));
    CHECK_EQUAL(imgsim_index_get_count(index), 500);
    CHECK(
        ims_index_has_id(index, 998) && !ims_index_has_id(index, 999) &&
        !ims_index_has_id(index, 1002) && !ims_index_has_id(index, -1));
    CHECK_OK(imgsim_index_search(index, rows + 8 * DIMENSION, 1, ROWS, NULL, found, distances));
    CHECK_EQUAL(found[0], 8);
    for (size_t i = 0; i < 500; i++)
        CHECK(found[i] >= 0 && found[i] % 2 == 0 && found[i] < 1000);
    CHECK_EQUAL(found[500], -1);
    CHECK_OK(ims_index_values(index, rows, &one, 1, &value));
    for (size_t i = 0; i < ROWS; i++)
        values[i] = 77;
    CHECK_OK(ims_index_values_all(index, rows, 2, values, ROWS));
    CHECK(values[8] == value && values[9] == 77 && values[1002] == 77);
    CHECK_NEAR(values[0], 1, 1e-15);
    CHECK_FAILS(imgsim_index_add(index, rows, 1, NULL), IMGSIM_ERROR_UNSUPPORTED, "feature");
    imgsim_index_free(index);
}

static void removed_rows_are_gone_and_their_memory_is_used_again(void)
{
    imgsim_index *index = new_index(IMGSIM_METRIC_L2, 1);
    int64_t found[2];
    float distances[2];
    size_t removed;
    const int64_t some[3] = {4, 999999, 4};

    make_data(ORDINARY);
    CHECK_OK(imgsim_index_add(index, rows, 100, NULL));
    CHECK_OK(imgsim_index_remove(index, some, 3, &removed));
    CHECK_EQUAL(removed, 1);
    CHECK_EQUAL(imgsim_index_get_count(index), 99);
    CHECK_OK(imgsim_index_search(index, rows + 4 * DIMENSION, 1, 2, NULL, found, distances));
    CHECK(found[0] != 4 && found[1] != 4);
    CHECK_OK(imgsim_index_add(index, rows + 4 * DIMENSION, 1, NULL));
    CHECK_OK(imgsim_index_search(index, rows + 4 * DIMENSION, 1, 2, NULL, found, distances));
    CHECK_EQUAL(found[0], 100);
    CHECK(distances[0] == 0);
    CHECK_OK(imgsim_index_add(index, rows, 1, some + 1));
    CHECK_FAILS(
        imgsim_index_add(index, rows, 1, some + 1), IMGSIM_ERROR_INVALID_ARGUMENT, "999999");
    imgsim_index_free(index);
}

static void bad_arguments_are_refused(void)
{
    imgsim_index *index = new_index(IMGSIM_METRIC_CHI_SQUARE, 1);
    imgsim_index_options options;
    float bad[DIMENSION] = {0};
    int64_t found[1];
    const int64_t twice[2] = {5, 5}, negative = -3;
    float distance[1];
    int32_t kind;

    CHECK_OK(imgsim_index_search(index, bad, 1, 1, NULL, found, distance));
    CHECK_EQUAL(found[0], -1);
    bad[3] = -1;
    CHECK_FAILS(imgsim_index_add(index, bad, 1, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "-1");
    bad[3] = NAN;
    CHECK_FAILS(imgsim_index_add(index, bad, 1, twice), IMGSIM_ERROR_INVALID_ARGUMENT, "id 5");
    CHECK_FAILS(
        imgsim_index_search(index, bad, 1, 1, NULL, found, distance), IMGSIM_ERROR_INVALID_ARGUMENT,
        "value 3");
    make_data(HISTOGRAMS);
    CHECK_FAILS(imgsim_index_add(index, rows, 2, twice), IMGSIM_ERROR_INVALID_ARGUMENT, "twice");
    CHECK_FAILS(imgsim_index_add(index, rows, 1, &negative), IMGSIM_ERROR_INVALID_ARGUMENT, "-3");
    CHECK_EQUAL(imgsim_index_get_count(index), 0);
    CHECK_FAILS(
        imgsim_index_search(index, rows, 1, 0, NULL, found, distance),
        IMGSIM_ERROR_INVALID_ARGUMENT, "k is 0");
    CHECK_FAILS(
        imgsim_index_search(index, rows, 1, IMGSIM_K_MAX + 1, NULL, found, distance),
        IMGSIM_ERROR_INVALID_ARGUMENT, "100001");
    CHECK_FAILS(
        imgsim_index_search_bits(index, (const uint8_t *)rows, 1, 1, NULL, found, distance),
        IMGSIM_ERROR_UNSUPPORTED, "bit");
    imgsim_index_free(index);

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    CHECK_FAILS(imgsim_index_new(&options, &index), IMGSIM_ERROR_INVALID_ARGUMENT, "dimension");
    options.dimension = 8;
    options.kind = 3;
    CHECK_FAILS(imgsim_index_new(&options, &index), IMGSIM_ERROR_UNSUPPORTED, "kind");
    options.kind = IMGSIM_INDEX_HNSW;
    options.metric = IMGSIM_METRIC_HAMMING;
    CHECK_FAILS(imgsim_index_new(&options, &index), IMGSIM_ERROR_UNSUPPORTED, "hamming");
    CHECK_FAILS(imgsim_index_kind_from_name("ivfpq", &kind), IMGSIM_ERROR_UNSUPPORTED, "ivfpq");
    CHECK_FAILS(imgsim_index_kind_from_name("tree", &kind), IMGSIM_ERROR_INVALID_ARGUMENT, "hnsw");
    CHECK_OK(imgsim_index_kind_from_name("exact", &kind));
    CHECK_EQUAL(kind, IMGSIM_INDEX_EXACT);
}

static void all_checks(void)
{
    every_metric_gives_the_truth();
    filters_let_only_their_ids_through();
    max_distance_ends_the_answers();
    mahalanobis_follows_its_formula();
    bits_are_counted();
    the_host_may_bring_a_metric();
    sparse_histograms_give_what_dense_ones_give();
    borrowed_rows_are_numbered();
    removed_rows_are_gone_and_their_memory_is_used_again();
    bad_arguments_are_refused();
}

int main(void)
{
    return with_each_set(all_checks);
}
