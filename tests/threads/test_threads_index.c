/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads search one index, and one projector, and get what one thread gets. */
#include "threads/together.h"

#include <imgsim/index.h>
#include <imgsim/projector.h>

#include <unistd.h>

/* More than an HNSW index compares directly. */
#define ROWS 1600u
#define VALUES 16u
#define QUERIES 24u
#define K 6u
#define THREADS 6
#define ROUNDS 8

static float rows[ROWS * VALUES];
static float projected[QUERIES * 4];
static int64_t expected_ids[QUERIES * K];
static float expected_distances[QUERIES * K];
static imgsim_index *index_handle;
static imgsim_projector *projector;
static uint8_t filter[ROWS / 8];

static void make_rows(void)
{
    uint64_t state = 99;

    for (size_t i = 0; i < ROWS * VALUES; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        rows[i] = (float)((double)(state >> 40) / (1 << 23) - 1.0);
    }
    for (size_t i = 0; i < sizeof(filter); i++)
        filter[i] = 0x55;
}

static imgsim_index *make_index(int32_t kind)
{
    imgsim_index_options options;
    imgsim_index *index = NULL;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.kind = kind;
    options.metric = IMGSIM_METRIC_COSINE;
    options.dimension = VALUES;
    options.threads = 3;
    CHECK_OK(imgsim_index_new(&options, &index));
    CHECK_OK(imgsim_index_add(index, rows, ROWS, NULL));
    return index;
}

/* Whole batches, single queries, filtered and refused ones in turn. */
static void search(int thread)
{
    imgsim_search_options options;
    float distances[QUERIES * K];
    int64_t ids[QUERIES * K];

    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    for (int round = 0; round < ROUNDS; round++) {
        size_t one = (size_t)(thread * ROUNDS + round) % QUERIES;

        options.threads = 1 + (uint32_t)(thread % 3);
        CHECK_OK(imgsim_index_search(index_handle, rows, QUERIES, K, &options, ids, distances));
        CHECK(memcmp(ids, expected_ids, sizeof(ids)) == 0);
        CHECK(memcmp(distances, expected_distances, sizeof(distances)) == 0);
        CHECK_OK(
            imgsim_index_search(index_handle, rows + one * VALUES, 1, K, NULL, ids, distances));
        CHECK(memcmp(ids, expected_ids + one * K, K * sizeof(ids[0])) == 0);
        options.filter = filter;
        options.filter_bits = ROWS;
        CHECK_OK(imgsim_index_search(index_handle, rows, 2, K, &options, ids, distances));
        for (size_t i = 0; i < 2 * K; i++)
            CHECK(ids[i] % 2 == 0);
        options.filter = NULL;
        options.filter_bits = 0;
        CHECK_FAILS(
            imgsim_index_search(index_handle, rows, 1, 0, NULL, ids, distances),
            IMGSIM_ERROR_INVALID_ARGUMENT, "");
        CHECK_EQUAL(imgsim_index_get_count(index_handle), ROWS);
    }
}

static void check_searches(int32_t kind)
{
    char path[600];

    index_handle = make_index(kind);
    CHECK_OK(imgsim_index_search(
        index_handle, rows, QUERIES, K, NULL, expected_ids, expected_distances));
    run_together(THREADS, search);
    snprintf(path, sizeof(path), "%s/i.ims", check_temporary_folder());
    CHECK_OK(imgsim_index_save(index_handle, path));
    imgsim_index_free(index_handle);

    CHECK_OK(imgsim_index_open(path, 0, &index_handle));
    run_together(THREADS, search);
    imgsim_index_free(index_handle);
    CHECK(remove(path) == 0);
    *strrchr(path, '/') = '\0';
    CHECK(rmdir(path) == 0);
}

/* An index of the kind "auto" decides at its first search, whichever thread that is. */
static void an_undecided_index_is_searched_together(void)
{
    index_handle = make_index(IMGSIM_INDEX_EXACT);
    CHECK_OK(imgsim_index_search(
        index_handle, rows, QUERIES, K, NULL, expected_ids, expected_distances));
    imgsim_index_free(index_handle);
    index_handle = make_index(IMGSIM_INDEX_AUTO);
    run_together(THREADS, search);
    CHECK_EQUAL(imgsim_index_get_kind(index_handle), IMGSIM_INDEX_EXACT);
    imgsim_index_free(index_handle);
}

static void transform(int thread)
{
    float out[QUERIES * 4];

    for (int round = 0; round < ROUNDS; round++) {
        CHECK_OK(imgsim_projector_transform(projector, rows, QUERIES, out));
        CHECK(memcmp(out, projected, sizeof(out)) == 0);
        CHECK_EQUAL(strlen(imgsim_projector_get_fingerprint(projector)), 32);
        CHECK_OK(imgsim_projector_transform(projector, rows + (size_t)thread * VALUES, 1, out));
        CHECK(memcmp(out, projected + thread * 4, 4 * sizeof(out[0])) == 0);
    }
}

static void a_projector_is_shared(void)
{
    CHECK_OK(imgsim_projector_new(VALUES, 4, NULL, &projector));
    CHECK_OK(imgsim_projector_add(projector, rows, ROWS));
    CHECK_OK(imgsim_projector_train(projector));
    CHECK_OK(imgsim_projector_transform(projector, rows, QUERIES, projected));
    run_together(THREADS, transform);
    imgsim_projector_free(projector);
}

/* Each thread with an index of its own. */
static void build_alone(int thread)
{
    imgsim_index *index = make_index(thread % 2 == 0 ? IMGSIM_INDEX_HNSW : IMGSIM_INDEX_EXACT);
    int64_t id = -1;
    float distance;

    CHECK_OK(
        imgsim_index_search(index, rows + (size_t)thread * VALUES, 1, 1, NULL, &id, &distance));
    CHECK_EQUAL(id, thread);
    imgsim_index_free(index);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    make_rows();
    check_searches(IMGSIM_INDEX_EXACT);
    check_searches(IMGSIM_INDEX_HNSW);
    an_undecided_index_is_searched_together();
    a_projector_is_shared();
    run_together(4, build_alone);
    return 0;
}
