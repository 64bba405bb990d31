/* SPDX-License-Identifier: Apache-2.0 */
/* All pairs of hashes within a distance, by public headers alone. */
#include "check.h"

#include <imgsim/index.h>

struct found {
    size_t count;
    int64_t a[8];
    int64_t b[8];
};

static int32_t
take(const int64_t *a, const int64_t *b, const float *distances, size_t count, void *data)
{
    struct found *found = data;

    for (size_t i = 0; i < count; i++) {
        CHECK(found->count < 8 && distances[i] <= 1);
        found->a[found->count] = a[i];
        found->b[found->count++] = b[i];
    }
    return 0;
}

int main(void)
{
    static const uint8_t hashes[4 * 2] = {0x0f, 0xff, 0x0f, 0xfe, 0xf0, 0x00, 0x0f, 0xff};
    static const int64_t ids[4] = {7, 3, 5, 9};
    imgsim_index_options options;
    imgsim_pairs_options pairs;
    imgsim_index *index;
    struct found found = {0};

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.metric = IMGSIM_METRIC_HAMMING;
    options.dimension = 16;
    CHECK_OK(imgsim_index_new(&options, &index));
    CHECK_OK(imgsim_index_add_bits(index, hashes, 4, ids));

    CHECK_OK(imgsim_index_pairs(index, NULL, take, &found)); /* copies */
    CHECK_EQUAL(found.count, 1);
    CHECK(found.a[0] == 7 && found.b[0] == 9);

    CHECK_OK(imgsim_pairs_options_init(&pairs, sizeof(pairs)));
    pairs.max_distance = 1;
    found.count = 0;
    CHECK_OK(imgsim_index_pairs(index, &pairs, take, &found));
    CHECK_EQUAL(found.count, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK(found.a[i] != 5 && found.b[i] != 5 && found.a[i] < found.b[i]);
    pairs.max_distance = 17;
    CHECK_FAILS(
        imgsim_index_pairs(index, &pairs, take, &found), IMGSIM_ERROR_INVALID_ARGUMENT, "16 bits");
    imgsim_index_free(index);
    return 0;
}
