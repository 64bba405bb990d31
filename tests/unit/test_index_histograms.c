/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histograms searched by planes of merged bins: the bounds hold for rows made to break them, and the answers are those of
 * comparing with every row, for every metric, filter, number of threads and instruction set, from memory and from files.
 */
#include "core/rng.h"
#include "core/topk.h"
#include "each_set.h"
#include "index/coarse.h"
#include "simd/kernels.h"
#include "simd/metric.h"

#include <imgsim/index.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROWS 2600
#define QUERIES 10
#define K 9
#define BINS_MAX 4096

static uint64_t offsets[ROWS];
static uint32_t lengths[ROWS];
static uint16_t *bins;
static uint32_t *counts;
static float *dense; /* ROWS x dimension */
static float queries[QUERIES * BINS_MAX];
static uint32_t dimension;
static bool normalize;

/* The first two also with many bins. */
static const int32_t metrics[] = {
    IMGSIM_METRIC_CHI_SQUARE, IMGSIM_METRIC_INTERSECTION, IMGSIM_METRIC_L1,
    IMGSIM_METRIC_CORRELATION, IMGSIM_METRIC_BHATTACHARYYA};

/* Counts of one row, hard in its own way. */
static void fill_row(struct ims_rng *rng, size_t row, uint32_t *out)
{
    const uint32_t centre = (uint32_t)ims_rng_below(rng, dimension);

    memset(out, 0, dimension * sizeof(*out));
    switch (row % 13) {
    case 0: /* empty, or nearly */
        out[centre] = row % 2 == 0 ? 0 : 1;
        break;
    case 1: /* one bin */
        out[centre] = 1 + (uint32_t)ims_rng_below(rng, 70000);
        break;
    case 2: /* all mass in neighbouring bins */
        for (uint32_t i = 0; i < 12; i++)
            out[(centre + i) % dimension] = (uint32_t)ims_rng_below(rng, 50);
        break;
    case 3: /* huge counts, many of them beyond 16 bits */
        for (uint32_t i = 0; i < dimension; i += 1 + (uint32_t)ims_rng_below(rng, 9))
            out[i] = (uint32_t)ims_rng_below(rng, 3) == 0 ? 65535 : 4000000000u / dimension;
        break;
    case 4: /* flat */
        for (uint32_t i = 0; i < dimension; i++)
            out[i] = 7;
        break;
    case 5: /* nearly flat: the variance cancels */
        for (uint32_t i = 0; i < dimension; i++)
            out[i] = 100000 + (i == centre);
        break;
    default: /* like a photo: some dense parts and scattered single pixels */
        for (uint32_t i = 0; i < dimension / 6; i++) {
            const uint32_t bin = (uint32_t)ims_rng_below(rng, dimension);

            out[bin] += 1 + (uint32_t)ims_rng_below(rng, i % 7 == 0 ? 3000 : 4);
        }
        break;
    }
}

static void make_rows(void)
{
    struct ims_rng rng;
    uint32_t row_counts[BINS_MAX];
    size_t used = 0;

    ims_rng_init(&rng, dimension);
    for (size_t row = 0; row < ROWS; row++) {
        uint64_t total = 0;

        if (row % 50 != 49) /* else a copy of the row before */
            fill_row(&rng, row, row_counts);
        offsets[row] = used;
        for (uint32_t bin = 0; bin < dimension; bin++) {
            total += row_counts[bin];
            if (row_counts[bin] > 0) {
                bins[used] = (uint16_t)bin;
                counts[used++] = row_counts[bin];
            }
        }
        lengths[row] = (uint32_t)(used - offsets[row]);
        for (uint32_t bin = 0; bin < dimension; bin++)
            dense[row * dimension + bin] = row_counts[bin] == 0 ? 0
                                           : normalize
                                               ? (float)((double)row_counts[bin] / (double)total)
                                               : (float)row_counts[bin];
    }
    for (size_t query = 0; query < QUERIES; query++) {
        const float *row = dense + (query * 391 + query) % ROWS * dimension;

        for (uint32_t bin = 0; bin < dimension; bin++) {
            queries[query * dimension + bin] = row[bin];
            if (query % 3 == 1) /* moved a little */
                queries[query * dimension + bin] = row[bin] * (0.5f + (float)ims_rng_double(&rng));
            if (query == 5) /* empty */
                queries[query * dimension + bin] = 0;
            if (query == 8) /* below what the planes serve */
                queries[query * dimension + bin] = row[bin] * 1e-12f;
        }
    }
}

static uint64_t max_bytes;

static imgsim_index *new_index(int32_t metric)
{
    imgsim_index_options options;
    imgsim_index *index;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.metric = metric;
    options.dimension = dimension;
    options.threads = 2;
    options.normalize = normalize;
    options.max_bytes = max_bytes;
    CHECK_OK(imgsim_index_new(&options, &index));
    return index;
}

static double keys[QUERIES][ROWS]; /* of the metric that is looked at */

static double true_key(int32_t metric, const float *query, size_t row)
{
    return ims_metric_distance(
        metric,
        ims_metric_compare(metric, IMGSIM_ROW_FLOAT32, query, dense + row * dimension, dimension));
}

static void find_keys(int32_t metric)
{
    for (size_t query = 0; query < QUERIES; query++)
        for (size_t row = 0; row < ROWS; row++)
            keys[query][row] = true_key(metric, queries + query * dimension, row);
}

static bool passes(const uint8_t *filter, size_t id)
{
    return filter == NULL || (filter[id / 8] >> (id % 8) & 1) != 0;
}

static void check_answers(
    const imgsim_index *index,
    int32_t metric,
    const uint8_t *filter,
    const bool *gone,
    size_t k)
{
    static int64_t found[2][QUERIES * 300];
    static float distances[2][QUERIES * 300];
    struct ims_neighbour items[300];
    imgsim_search_options options;

    CHECK(k <= 300);
    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    options.filter = filter;
    options.filter_bits = filter != NULL ? ROWS : 0;
    for (uint32_t threads = 1; threads <= 2; threads++) {
        options.threads = threads;
        CHECK_OK(imgsim_index_search(
            index, queries, QUERIES, k, &options, found[threads - 1], distances[threads - 1]));
    }
    for (size_t i = 0; i < QUERIES * k; i++)
        if (found[0][i] != found[1][i])
            fprintf(
                stderr, "%s, query %zu, place %zu: id %lld with one thread, %lld with two\n",
                imgsim_metric_name(metric), i / k, i % k, (long long)found[0][i],
                (long long)found[1][i]);
    CHECK(memcmp(found[0], found[1], QUERIES * k * sizeof(int64_t)) == 0);
    CHECK(memcmp(distances[0], distances[1], QUERIES * k * sizeof(float)) == 0);
    for (size_t query = 0; query < QUERIES; query++) {
        struct ims_topk topk;

        ims_topk_init(&topk, items, k);
        for (size_t row = 0; row < ROWS; row++)
            if (passes(filter, row) && !(gone != NULL && gone[row]))
                ims_topk_push(&topk, keys[query][row], (int64_t)row);
        ims_topk_sort(&topk);
        for (size_t i = 0; i < k; i++) {
            CHECK_EQUAL(found[0][query * k + i], i < topk.count ? items[i].id : -1);
            if (i < topk.count)
                CHECK(distances[0][query * k + i] == (float)items[i].distance);
        }
    }
}

/* No row's key is below what the planes say of it. */
static void check_bounds(const imgsim_index *index, int32_t metric)
{
    size_t below = 0, excluded = 0;

    CHECK_OK(ims_coarse_ready(index, NULL));
    for (size_t query = 0; query < QUERIES; query++) {
        struct ims_prepared_query prepared;
        struct ims_coarse_query coarse;
        float scores[IMS_COARSE_BLOCK];

        CHECK_OK(ims_prepare(index, queries + query * dimension, &prepared));
        CHECK_OK(ims_coarse_prepare(index, &prepared, &coarse));
        for (size_t row = 0; row < ROWS && coarse.usable; row++) {
            const double key = keys[query][row];
            const float limit = ims_coarse_score_of_key(index, key);

            if (row % IMS_COARSE_BLOCK == 0)
                ims_coarse_block_scores(index, &coarse, row / IMS_COARSE_BLOCK, scores);
            below += scores[row % IMS_COARSE_BLOCK] > limit;
            if (index->coarse->levels > 1)
                below += ims_coarse_row_score(index, &coarse, (uint32_t)row) > limit;
            excluded += scores[row % IMS_COARSE_BLOCK] > -INFINITY;
        }
        ims_coarse_query_clear(&coarse);
        ims_prepared_query_clear(&prepared);
    }
    if (below > 0)
        fprintf(
            stderr, "%s: %zu rows are nearer than their bounds\n", imgsim_metric_name(metric),
            below);
    CHECK_EQUAL(below, 0);
    CHECK(excluded > QUERIES * ROWS / 4); /* the bounds say something */
}

static void check_metric(int32_t metric)
{
    static uint8_t filter[ROWS / 8 + 1], few[ROWS / 8 + 1];
    static bool gone[ROWS];
    imgsim_index *index = new_index(metric), *opened;
    char path[64];

    find_keys(metric);
    for (size_t id = 0; id < ROWS; id++) {
        filter[id / 8] |= (uint8_t)((id % 10 != 0) << (id % 8));
        few[id / 8] |= (uint8_t)((id % 97 == 0) << (id % 8));
    }
    /* A part of the rows at first: the planes grow with the rest. */
    CHECK_OK(imgsim_index_add_sparse(index, offsets, lengths, bins, counts, 1100, NULL));
    {
        int64_t id;
        float distance;

        CHECK_OK(imgsim_index_search(index, queries, 1, 1, NULL, &id, &distance));
        CHECK(index->coarse != NULL && index->coarse->slot_count == 1100);
    }
    CHECK_OK(imgsim_index_add_sparse(
        index, offsets + 1100, lengths + 1100, bins, counts, ROWS - 1100, NULL));
    check_bounds(index, metric);
    check_answers(index, metric, NULL, NULL, K);
    check_answers(index, metric, NULL, NULL, 1);
    check_answers(index, metric, NULL, NULL, 300);
    check_answers(index, metric, filter, NULL, K);
    check_answers(index, metric, few, NULL, K);

    snprintf(path, sizeof(path), "histograms-%d.ims", (int)getpid());
    CHECK_OK(imgsim_index_save(index, path));
    CHECK_OK(imgsim_index_open(path, 1, &opened));
    unlink(path);
    CHECK(opened->coarse != NULL);
    check_answers(opened, metric, NULL, NULL, K);

    /* Rows go, and come back in each other's places. */
    for (size_t i = 0; i < 60; i++) {
        const int64_t id = (int64_t)(i * 41);

        CHECK_OK(imgsim_index_remove(opened, &id, 1, NULL));
        gone[id] = true;
    }
    check_answers(opened, metric, filter, gone, K);
    for (size_t i = 0; i < 60; i++) {
        const int64_t id = (int64_t)(i * 41);

        CHECK_OK(imgsim_index_add_sparse(opened, offsets + id, lengths + id, bins, counts, 1, &id));
        gone[id] = false;
    }
    check_bounds(index, metric);
    check_answers(opened, metric, NULL, gone, K);
    imgsim_index_free(opened);
    imgsim_index_free(index);
}

/* Dense rows of the histogram metrics have planes, too. */
static void check_dense(int32_t metric)
{
    imgsim_index *index = new_index(metric);

    find_keys(metric);
    CHECK_OK(imgsim_index_add(index, dense, ROWS, NULL));
    check_answers(index, metric, NULL, NULL, K);
    CHECK_EQUAL(index->coarse != NULL, metric != IMGSIM_METRIC_L1);
    imgsim_index_free(index);
}

/* Planes stay within max_bytes, also when rows are added, and the answers are the same. */
static void budget_holds(int32_t metric)
{
    static const uint64_t per_row[] = {1000, 300, 150, 90, 20};
    const bool by_edges = metric == IMGSIM_METRIC_CHI_SQUARE;
    size_t before = SIZE_MAX;

    find_keys(metric);
    for (size_t i = 0; i < sizeof(per_row) / sizeof(per_row[0]); i++) {
        imgsim_index *index;
        int64_t id;
        float distance;

        max_bytes = per_row[i] * ROWS;
        index = new_index(metric);
        CHECK_OK(imgsim_index_add_sparse(index, offsets, lengths, bins, counts, 1100, NULL));
        CHECK_OK(imgsim_index_search(index, queries, 1, 1, NULL, &id, &distance));
        CHECK(index->coarse == NULL || ims_coarse_bytes(index->coarse) <= max_bytes);
        CHECK_OK(imgsim_index_add_sparse(
            index, offsets + 1100, lengths + 1100, bins, counts, ROWS - 1100, NULL));
        check_answers(index, metric, NULL, NULL, K);
        if (i < 4) {
            check_bounds(index, metric);
            CHECK(ims_coarse_bytes(index->coarse) <= max_bytes);
            CHECK(ims_coarse_bytes(index->coarse) <= before);
            CHECK_EQUAL(index->coarse->levels, !by_edges && i == 0 ? 2 : 1);
            before = ims_coarse_bytes(index->coarse);
        } else {
            CHECK(index->coarse == NULL || index->coarse->slot_count < ROWS);
        }
        imgsim_index_free(index);
    }
    max_bytes = 1;
    {
        imgsim_index *index = new_index(metric);

        CHECK_OK(imgsim_index_add_sparse(index, offsets, lengths, bins, counts, ROWS, NULL));
        check_answers(index, metric, NULL, NULL, K);
        CHECK(index->coarse == NULL);
        imgsim_index_free(index);
    }
    max_bytes = 0;
}

/* Rows of somebody else, in memory and mapped: their counts are packed with the planes, and stay as they are. */
static void borrowed_counts_are_packed(int32_t metric)
{
    static uint8_t present[ROWS / 8 + 1];
    const size_t size = (offsets[ROWS - 1] + lengths[ROWS - 1]) * sizeof(*counts);
    char path[64];
    uint32_t *mapped;
    int file;

    find_keys(metric);
    memset(present, 0xff, sizeof(present));
    snprintf(path, sizeof(path), "counts-%d", (int)getpid());
    CHECK((file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600)) >= 0);
    CHECK(write(file, counts, size) == (ssize_t)size);
    mapped = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
    CHECK(mapped != MAP_FAILED);
    for (int pass = 0; pass < 2; pass++) {
        imgsim_index_options options;
        imgsim_index *index;

        CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
        options.metric = metric;
        options.dimension = dimension;
        CHECK_OK(ims_index_new_borrowed_sparse(
            &options, offsets, lengths, bins, pass == 0 ? counts : mapped, ROWS, present, ROWS,
            normalize, &index));
        check_answers(index, metric, NULL, NULL, K);
        CHECK(index->coarse != NULL && ims_rows_packed(&index->rows) != NULL);
        check_bounds(index, metric);
        check_answers(index, metric, NULL, NULL, 300);
        imgsim_index_free(index);
        CHECK(memcmp(counts, mapped, size) == 0);
    }
    munmap(mapped, size);
    close(file);
    unlink(path);
}

static void max_distance_cuts(void)
{
    imgsim_index *index = new_index(IMGSIM_METRIC_L1);
    imgsim_search_options options;
    int64_t ids[K];
    float distances[K];

    CHECK_OK(imgsim_index_add_sparse(index, offsets, lengths, bins, counts, ROWS, NULL));
    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    CHECK_OK(imgsim_index_search(index, queries + dimension, 1, K, &options, ids, distances));
    options.max_distance = distances[4];
    CHECK_OK(imgsim_index_search(index, queries + dimension, 1, K, &options, ids, distances));
    CHECK(ids[4] >= 0 && distances[4] == options.max_distance);
    options.max_distance = nextafterf(distances[0], -INFINITY);
    CHECK_OK(imgsim_index_search(index, queries + dimension, 1, K, &options, ids, distances));
    CHECK_EQUAL(ids[0], -1);
    imgsim_index_free(index);
}

static void wrong_options_are_refused(void)
{
    imgsim_index_options options;
    imgsim_index *index = new_index(IMGSIM_METRIC_INTERSECTION);

    CHECK_FAILS(imgsim_index_add(index, dense, 1, NULL), IMGSIM_ERROR_UNSUPPORTED, "normalizes");
    imgsim_index_free(index);
    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.dimension = 64;
    options.normalize = 1;
    CHECK_FAILS(imgsim_index_new(&options, &index), IMGSIM_ERROR_INVALID_ARGUMENT, "normalize");
    options.normalize = 0;
    options.reserved = 1;
    CHECK_FAILS(imgsim_index_new(&options, &index), IMGSIM_ERROR_UNSUPPORTED, "reserved");
}

static void all_checks(void)
{
    static const uint32_t dimensions[] = {512, 100, 4096};

    bins = calloc((size_t)ROWS * BINS_MAX, sizeof(*bins));
    counts = calloc((size_t)ROWS * BINS_MAX, sizeof(*counts));
    dense = calloc((size_t)ROWS * BINS_MAX, sizeof(*dense));
    CHECK(bins != NULL && counts != NULL && dense != NULL);
    for (size_t d = 0; d < 3; d++) {
        dimension = dimensions[d];
        for (int pass = 0; pass < (d == 0 ? 2 : 1); pass++) {
            normalize = pass == 0;
            make_rows();
            for (size_t m = 0; m < (d == 2 ? 2 : sizeof(metrics) / sizeof(metrics[0])); m++)
                check_metric(metrics[m]);
            borrowed_counts_are_packed(metrics[d]);
            if (normalize) {
                for (size_t m = 0; m < 2 && d == 0; m++)
                    budget_holds(metrics[m]);
                max_distance_cuts();
                wrong_options_are_refused();
            } else {
                for (size_t m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++)
                    check_dense(metrics[m]);
            }
        }
    }
    free(bins);
    free(counts);
    free(dense);
}

int main(void)
{
    return with_each_set(all_checks);
}
