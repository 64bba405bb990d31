/* SPDX-License-Identifier: Apache-2.0 */
/* Index files: what is opened, verified or not, can be searched, changed and saved without harm. */
#include "fuzz/fuzz.h"

#include <imgsim/index.h>

#define K 7

/* Two queries against whatever it says it is. */
static void search(const imgsim_index *index, int32_t exact)
{
    uint32_t dimension = imgsim_index_get_dimension(index);
    int32_t metric = imgsim_index_get_metric(index);
    imgsim_search_options options;
    float distances[2 * K];
    int64_t ids[2 * K];
    float *queries = calloc(2 * (size_t)dimension, sizeof(float));

    CHECK(queries != NULL && dimension >= 1 && dimension <= 65536);
    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    options.exact = exact;
    for (uint32_t i = 0; i < dimension; i++)
        queries[i] = (float)(i % 5);
    if (metric == IMGSIM_METRIC_HAMMING || metric == IMGSIM_METRIC_JACCARD)
        (void)imgsim_index_search_bits(
            index, (const uint8_t *)queries, 2, K, &options, ids, distances);
    else
        (void)imgsim_index_search(index, queries, 2, K, &options, ids, distances);
    free(queries);
}

static void use(const uint8_t *data, size_t size, int32_t verify)
{
    struct fuzz_file file = {0};
    imgsim_index *index = NULL;
    imgsim_status status;

    fuzz_file_open(&file, data, size);
    status = imgsim_index_open(file.path, verify, &index);
    if (status != IMGSIM_OK) {
        fuzz_check_refused(status);
        CHECK(index == NULL);
    } else {
        static const int64_t ids[2] = {0, 5};
        uint32_t dimension = imgsim_index_get_dimension(index);
        float *row = calloc(dimension, sizeof(float));

        CHECK(row != NULL);
        CHECK(strlen(imgsim_index_get_note(index)) < 4096);
        CHECK(imgsim_index_kind_name(imgsim_index_get_kind(index)) != NULL);
        search(index, 0);
        search(index, 1);
        (void)imgsim_index_remove(index, ids, 2, NULL);
        (void)imgsim_index_add(index, row, 1, NULL);
        search(index, 0);
        free(row);
    }
    imgsim_index_free(index);
    fuzz_file_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *mended = fuzz_mend_sums(data, size);

    use(data, size, 1);
    use(data, size, 0);
    use(mended, size, 0);
    use(mended, size, 1);
    free(mended);
    return 0;
}
