/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recall of HNSW with default options on real embeddings: a matrix of rows as .npy, named by IMGSIM_TEST_ROWS, else
 * rows.npy in the folder of test data. Every 50th row is a query and stays out of the index.
 */
#include "check.h"
#include "core/npy.h"

#include <imgsim/index.h>

#include <unistd.h>

#define K 10
#define QUERY_STEP 50
#define RECALL_MIN 0.97

static imgsim_index *build(const float *rows, size_t count, uint32_t dimension)
{
    imgsim_index_options options;
    imgsim_index *index;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.kind = IMGSIM_INDEX_HNSW;
    options.dimension = dimension;
    CHECK_OK(imgsim_index_new(&options, &index));
    for (size_t row = 0; row < count; row += QUERY_STEP) {
        const size_t left = count - row - 1;

        CHECK_OK(imgsim_index_add(
            index, rows + (row + 1) * dimension, left < QUERY_STEP - 1 ? left : QUERY_STEP - 1,
            NULL));
    }
    return index;
}

int main(void)
{
    const char *path = getenv("IMGSIM_TEST_ROWS");
    const char *folder = check_data_folder();
    struct ims_map map = {0};
    struct ims_npy npy;
    imgsim_index *index;
    imgsim_search_options exact;
    char name[4096];
    size_t hits = 0, wanted = 0;
    const float *rows;

    if (path == NULL && folder != NULL) {
        snprintf(name, sizeof(name), "%s/rows.npy", folder);
        path = name;
    }
    if (path == NULL || access(path, R_OK) != 0)
        check_skip("no matrix of embeddings; name one with IMGSIM_TEST_ROWS");
    CHECK_OK(ims_map_open(&map, path));
    CHECK_OK(ims_npy_parse(map.data, map.size, path, &npy));
    CHECK_TEXT(npy.dtype, "<f4");
    CHECK(map.size - npy.data_offset >= npy.shape[0] * npy.shape[1] * sizeof(float));
    rows = (const float *)(const void *)(map.data + npy.data_offset);

    index = build(rows, npy.shape[0], (uint32_t)npy.shape[1]);
    CHECK_OK(imgsim_search_options_init(&exact, sizeof(exact)));
    exact.exact = 1;
    for (size_t row = 0; row < npy.shape[0]; row += QUERY_STEP) {
        int64_t truth[K], found[K];
        float distances[K];

        CHECK_OK(
            imgsim_index_search(index, rows + row * npy.shape[1], 1, K, &exact, truth, distances));
        CHECK_OK(
            imgsim_index_search(index, rows + row * npy.shape[1], 1, K, NULL, found, distances));
        for (size_t i = 0; i < K; i++)
            for (size_t j = 0; j < K; j++)
                hits += truth[i] >= 0 && truth[i] == found[j];
        wanted += K;
    }
    printf("%s: recall@%d %.4f\n", path, K, (double)hits / (double)wanted);
    CHECK((double)hits >= RECALL_MIN * (double)wanted);
    imgsim_index_free(index);
    ims_map_close(&map);
    return 0;
}
