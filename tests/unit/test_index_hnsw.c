/* SPDX-License-Identifier: Apache-2.0 */
/* HNSW finds nearly all of the true nearest, whatever the metric, duplicates, filters and removals; its graph is reproducible. */
#include "check.h"
#include "core/rng.h"
#include "index/hnsw.h"

#include <imgsim/index.h>

#include <unistd.h>

#define ROWS 6000
#define QUERIES 200
#define DIMENSION 32
#define K 10

static float rows[ROWS * DIMENSION];
static float queries[QUERIES * DIMENSION];

/* Clusters of different width around random centres, moved by `offset`; queries are drawn like rows. */
static void make_clusters(uint64_t seed, double width, double offset)
{
    static float centres[60 * DIMENSION];
    struct ims_rng rng;

    ims_rng_init(&rng, seed);
    for (size_t i = 0; i < 60 * DIMENSION; i++)
        centres[i] = (float)ims_rng_normal(&rng);
    for (size_t i = 0; i < ROWS + QUERIES; i++) {
        const size_t cluster = (size_t)ims_rng_below(&rng, 60);
        float *row = i < ROWS ? rows + i * DIMENSION : queries + (i - ROWS) * DIMENSION;

        for (size_t j = 0; j < DIMENSION; j++)
            row[j] =
                (float)(centres[cluster * DIMENSION + j] + offset + width * (1 + (double)(cluster % 5)) * ims_rng_normal(&rng));
    }
}

static imgsim_index_options hnsw_options(int32_t metric, uint32_t threads)
{
    imgsim_index_options options;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.kind = IMGSIM_INDEX_HNSW;
    options.metric = metric;
    options.dimension = DIMENSION;
    options.threads = threads;
    return options;
}

static imgsim_index *build(int32_t metric, uint32_t threads, size_t count)
{
    imgsim_index_options options = hnsw_options(metric, threads);
    imgsim_index *index;

    CHECK_OK(imgsim_index_new(&options, &index));
    CHECK_OK(imgsim_index_add(index, rows, count, NULL));
    return index;
}

static void search(
    const imgsim_index *index,
    int32_t exact,
    const uint8_t *filter,
    uint32_t threads,
    int64_t *ids,
    float *distances)
{
    imgsim_search_options options;

    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    options.exact = exact;
    options.filter = filter;
    options.filter_bits = filter != NULL ? ROWS : 0;
    options.threads = threads;
    CHECK_OK(imgsim_index_search(index, queries, QUERIES, K, &options, ids, distances));
}

/* Share of the true answers that the graph gives; distances must be those of exact search wherever the ids are. */
static double recall(const imgsim_index *index, const uint8_t *filter)
{
    static int64_t truth[QUERIES * K], found[QUERIES * K];
    static float true_distances[QUERIES * K], distances[QUERIES * K];
    size_t hits = 0, wanted = 0;

    search(index, 1, filter, 2, truth, true_distances);
    search(index, 0, filter, 2, found, distances);
    for (size_t query = 0; query < QUERIES; query++)
        for (size_t i = 0; i < K; i++) {
            const size_t at = query * K + i;

            CHECK((found[at] < 0) == (truth[at] < 0)); /* never fewer answers */
            CHECK(i == 0 || distances[at] >= distances[at - 1]);
            if (truth[at] < 0)
                continue;
            wanted++;
            for (size_t j = 0; j < K; j++)
                if (found[at] == truth[query * K + j]) {
                    CHECK(distances[at] == true_distances[query * K + j]);
                    hits++;
                }
        }
    printf(
        "  %s, recall %.4f\n", imgsim_metric_name(imgsim_index_get_metric(index)),
        wanted > 0 ? (double)hits / (double)wanted : 1);
    return wanted > 0 ? (double)hits / (double)wanted : 1;
}

static size_t unreachable(const imgsim_index *index)
{
    size_t count = SIZE_MAX;

    CHECK(index->graph != NULL);
    CHECK_OK(ims_graph_unreachable(index->graph, &count));
    return count;
}

static void recall_is_high_for_each_metric(void)
{
    static const int32_t metrics[] = {
        IMGSIM_METRIC_COSINE, IMGSIM_METRIC_L2, IMGSIM_METRIC_ANGULAR, IMGSIM_METRIC_INNER_PRODUCT};
    static double matrix[DIMENSION * DIMENSION];
    imgsim_index_options options;
    imgsim_index *index;

    make_clusters(1, 0.3, 0);
    for (size_t i = 0; i < 4; i++) {
        double share;

        index = build(metrics[i], 2, ROWS);
        CHECK_EQUAL(unreachable(index), 0);
        share = recall(index, NULL);
        CHECK(share >= (metrics[i] == IMGSIM_METRIC_INNER_PRODUCT ? 0.9 : 0.98));
        imgsim_index_free(index);
    }

    for (size_t i = 0; i < DIMENSION; i++)
        matrix[i * DIMENSION + i] = i < 4 ? 9 : 0.5;
    matrix[1] = matrix[DIMENSION] = 2;
    options = hnsw_options(IMGSIM_METRIC_MAHALANOBIS, 2);
    options.mahalanobis = matrix;
    CHECK_OK(imgsim_index_new(&options, &index));
    CHECK_OK(imgsim_index_add(index, rows, ROWS, NULL));
    CHECK(recall(index, NULL) >= 0.98);
    imgsim_index_free(index);
}

/* Bytes cannot tell rows of a narrow cluster apart: the index has to notice. */
static void recall_is_high_where_bytes_are_too_coarse(void)
{
    imgsim_index *index;

    make_clusters(2, 0.0005, 0);
    index = build(IMGSIM_METRIC_L2, 2, ROWS);
    CHECK_EQUAL(index->graph->code, IMS_CODE_FLOATS);
    CHECK(recall(index, NULL) >= 0.97);
    CHECK_EQUAL(unreachable(index), 0);
    imgsim_index_free(index);
}

static void recall_is_high_far_from_the_origin(void)
{
    imgsim_index *index;

    make_clusters(3, 0.3, 500);
    index = build(IMGSIM_METRIC_L2, 2, ROWS);
    CHECK_EQUAL(index->graph->code, IMS_CODE_BYTES);
    CHECK(recall(index, NULL) >= 0.98);
    imgsim_index_free(index);
}

/* 1,000 copies of one row, 500 of another, rows of zeros: all are found, and nothing is hidden behind them. */
static void duplicates_hide_nothing(void)
{
    static const int32_t metrics[] = {IMGSIM_METRIC_COSINE, IMGSIM_METRIC_L2};

    make_clusters(4, 0.3, 0);
    for (size_t i = 100; i < 1600; i++) {
        if (i < 1100)
            memcpy(rows + i * DIMENSION, rows, DIMENSION * sizeof(float));
        else
            memcpy(rows + i * DIMENSION, rows + DIMENSION, DIMENSION * sizeof(float));
    }
    memset(rows + 2000 * DIMENSION, 0, 20 * DIMENSION * sizeof(float));
    for (size_t m = 0; m < 2; m++) {
        imgsim_index *index = build(metrics[m], 2, ROWS);
        static int64_t found[1001];
        static float distances[1001];

        CHECK_EQUAL(unreachable(index), 0);
        CHECK(recall(index, NULL) >= 0.98);
        CHECK_OK(imgsim_index_search(index, rows, 1, 1001, NULL, found, distances));
        CHECK_EQUAL(found[0], 0);
        for (size_t i = 1; i < 1001; i++)
            CHECK_EQUAL(found[i], 99 + (int64_t)i);
        CHECK_OK(imgsim_index_search(index, rows + DIMENSION, 1, K, NULL, found, distances));
        CHECK(found[0] == 1 && found[1] == 1100 && found[K - 1] == 1100 + K - 2);
        memset(queries, 0, DIMENSION * sizeof(float));
        CHECK_OK(imgsim_index_search(index, queries, 1, K, NULL, found, distances));
        CHECK_EQUAL(found[0], metrics[m] == IMGSIM_METRIC_L2 ? 2000 : 0);
        imgsim_index_free(index);
    }
}

static void filters_never_cost_answers(void)
{
    static const uint32_t shares[] = {2, 5, 20, 100, 1000, 100000};
    static uint8_t filter[ROWS / 8 + 1];
    imgsim_index *index;

    make_clusters(5, 0.3, 0);
    index = build(IMGSIM_METRIC_COSINE, 2, ROWS);
    for (size_t s = 0; s < sizeof(shares) / sizeof(shares[0]); s++) {
        struct ims_rng rng;

        ims_rng_init(&rng, s);
        memset(filter, 0, sizeof(filter));
        for (size_t id = 0; id < ROWS; id++)
            if (ims_rng_below(&rng, shares[s]) == 0)
                filter[id / 8] |= (uint8_t)(1u << (id % 8));
        CHECK(recall(index, filter) >= 0.98);
    }
    /* A filter that goes with what is searched for, and leaves out what is near. */
    memset(filter, 0, sizeof(filter));
    for (size_t id = 0; id < ROWS; id++)
        if (rows[id * DIMENSION] > 1)
            filter[id / 8] |= (uint8_t)(1u << (id % 8));
    CHECK(recall(index, filter) >= 0.95);
    imgsim_index_free(index);
}

/* Contents of a file, to be freed. */
static unsigned char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    unsigned char *data;

    CHECK(file != NULL);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    CHECK((data = malloc(*size)) != NULL);
    CHECK_EQUAL(fread(data, 1, *size, file), *size);
    fclose(file);
    return data;
}

static void the_graph_is_the_same_for_any_number_of_threads(void)
{
    const char *folder = check_temporary_folder();
    unsigned char *first = NULL;
    size_t first_size = 0;
    char path[600];

    make_clusters(6, 0.3, 0);
    memcpy(rows + 4000 * DIMENSION, rows + 500 * DIMENSION, 300 * DIMENSION * sizeof(float));
    snprintf(path, sizeof(path), "%s/graph.ims", folder);
    for (uint32_t threads = 1; threads <= 4; threads *= 2) {
        imgsim_index *index = build(IMGSIM_METRIC_COSINE, threads, 3000);
        const int64_t gone[3] = {5, 17, 2999};
        int64_t single[QUERIES * K], batch[QUERIES * K];
        float distances[QUERIES * K], batch_distances[QUERIES * K];
        unsigned char *data;
        size_t size;

        CHECK_OK(imgsim_index_remove(index, gone, 3, NULL));
        CHECK_OK(imgsim_index_add(index, rows + 3000 * DIMENSION, ROWS - 3000, NULL));
        CHECK_OK(imgsim_index_save(index, path));
        data = read_file(path, &size);
        if (first == NULL) {
            first = data;
            first_size = size;
        } else {
            CHECK_EQUAL(size, first_size);
            CHECK(memcmp(data, first, size) == 0);
            free(data);
        }
        search(index, 0, NULL, 1, single, distances);
        search(index, 0, NULL, 4, batch, batch_distances);
        CHECK(memcmp(single, batch, sizeof(single)) == 0);
        CHECK(memcmp(distances, batch_distances, sizeof(distances)) == 0);
        imgsim_index_free(index);
    }
    free(first);
    unlink(path);
    rmdir(folder);
}

static void rows_come_one_by_one_too(void)
{
    imgsim_index_options options = hnsw_options(IMGSIM_METRIC_L2, 1);
    imgsim_index *index;

    make_clusters(7, 0.3, 0);
    options.build_width = 100;
    CHECK_OK(imgsim_index_new(&options, &index));
    for (size_t i = 0; i < 3000; i++)
        CHECK_OK(imgsim_index_add(index, rows + i * DIMENSION, 1, NULL));
    CHECK_EQUAL(imgsim_index_get_count(index), 3000);
    CHECK(recall(index, NULL) >= 0.97);
    CHECK_EQUAL(unreachable(index), 0);
    imgsim_index_free(index);
}

static void removing_keeps_recall_and_memory(void)
{
    imgsim_index *index;
    int64_t gone[2000], again[2000];
    size_t removed, slots, nodes;

    make_clusters(8, 0.3, 0);
    index = build(IMGSIM_METRIC_COSINE, 2, ROWS);
    for (int round = 0; round < 3; round++) {
        slots = index->rows.slot_count;
        nodes = index->graph->node_count;
        for (size_t i = 0; i < 2000; i++) {
            gone[i] = (int64_t)(3 * i) + (round == 0 ? 0 : 100000 * round);
            again[i] = (int64_t)(3 * i) + 100000 * (round + 1);
        }
        CHECK_OK(imgsim_index_remove(index, gone, 2000, &removed));
        CHECK_EQUAL(removed, 2000);
        CHECK_EQUAL(imgsim_index_get_count(index), ROWS - 2000);
        CHECK(recall(index, NULL) >= 0.97);
        CHECK_EQUAL(unreachable(index), 0);
        for (size_t i = 0; i < 2000; i++)
            CHECK_OK(imgsim_index_add(index, rows + 3 * i * DIMENSION, 1, &again[i]));
        CHECK_EQUAL(index->rows.slot_count, slots);
        CHECK_EQUAL(index->graph->node_count, nodes);
        CHECK(recall(index, NULL) >= 0.97);
    }
    /* One after another, until nothing is left. */
    for (size_t id = 0; id < 400000; id++) {
        const int64_t one = (int64_t)id;

        if (ims_index_has_id(index, one))
            CHECK_OK(imgsim_index_remove(index, &one, 1, NULL));
    }
    CHECK_EQUAL(imgsim_index_get_count(index), 0);
    CHECK(recall(index, NULL) == 1);
    CHECK_OK(imgsim_index_add(index, rows, 2000, NULL));
    CHECK(recall(index, NULL) >= 0.98);
    imgsim_index_free(index);
}

static int32_t stop_building(const imgsim_progress *progress, void *user_data)
{
    (void)progress;
    ++*(int *)user_data;
    return 1;
}

static void a_stopped_build_keeps_what_was_linked(void)
{
    imgsim_index_options options = hnsw_options(IMGSIM_METRIC_L2, 1);
    imgsim_index *index;
    int calls = 0;
    uint64_t count;

    make_clusters(9, 0.3, 0);
    options.progress = stop_building;
    options.progress_data = &calls;
    CHECK_OK(imgsim_index_new(&options, &index));
    CHECK_FAILS(imgsim_index_add(index, rows, ROWS, NULL), IMGSIM_ERROR_CANCELLED, "");
    CHECK(calls > 0);
    count = imgsim_index_get_count(index);
    CHECK(count < ROWS);
    CHECK(recall(index, NULL) >= 0.98);
    imgsim_index_free(index);
}

static void auto_decides_at_the_first_search(void)
{
    imgsim_index_options options = hnsw_options(IMGSIM_METRIC_L2, 2);
    imgsim_index *index;
    static float many[IMS_AUTO_HNSW_ROWS * 4];
    struct ims_rng rng;
    int64_t found;
    float distance;

    options.kind = IMGSIM_INDEX_AUTO;
    CHECK_OK(imgsim_index_new(&options, &index));
    CHECK_OK(imgsim_index_add(index, rows, ROWS, NULL));
    CHECK_EQUAL(imgsim_index_get_kind(index), IMGSIM_INDEX_AUTO);
    CHECK_OK(imgsim_index_search(index, queries, 1, 1, NULL, &found, &distance));
    CHECK_EQUAL(imgsim_index_get_kind(index), IMGSIM_INDEX_EXACT);
    imgsim_index_free(index);

    ims_rng_init(&rng, 10);
    for (size_t i = 0; i < IMS_AUTO_HNSW_ROWS * 4; i++)
        many[i] = (float)ims_rng_normal(&rng);
    options.dimension = 4;
    options.max_links = 6;
    options.build_width = 20;
    CHECK_OK(imgsim_index_new(&options, &index));
    CHECK_OK(imgsim_index_add(index, many, IMS_AUTO_HNSW_ROWS, NULL));
    CHECK_OK(imgsim_index_search(index, many + 400, 1, 1, NULL, &found, &distance));
    CHECK_EQUAL(found, 100);
    CHECK_EQUAL(imgsim_index_get_kind(index), IMGSIM_INDEX_HNSW);
    CHECK_EQUAL(unreachable(index), 0);
    imgsim_index_free(index);
}

static void bad_rows_are_refused(void)
{
    imgsim_index *index;
    int64_t id = 3;

    make_clusters(11, 0.3, 0);
    index = build(IMGSIM_METRIC_COSINE, 1, 1500);
    queries[7] = NAN;
    CHECK_FAILS(imgsim_index_add(index, queries, 1, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "nan");
    queries[7] = INFINITY;
    CHECK_FAILS(imgsim_index_add(index, queries, 1, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "inf");
    CHECK_FAILS(imgsim_index_add(index, rows, 1, &id), IMGSIM_ERROR_INVALID_ARGUMENT, "id 3");
    CHECK_EQUAL(imgsim_index_get_count(index), 1500);
    imgsim_index_free(index);
}

int main(void)
{
    recall_is_high_for_each_metric();
    recall_is_high_where_bytes_are_too_coarse();
    recall_is_high_far_from_the_origin();
    duplicates_hide_nothing();
    filters_never_cost_answers();
    the_graph_is_the_same_for_any_number_of_threads();
    rows_come_one_by_one_too();
    removing_keeps_recall_and_memory();
    a_stopped_build_keeps_what_was_linked();
    auto_decides_at_the_first_search();
    bad_rows_are_refused();
    return 0;
}
