/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact search gives the answer of a plain computation: every metric, way to join images, and
 * fusion.
 */
#include "query_bed.h"

static struct bed bed;

/* Ask by query and plainly, on one thread and on two. */
static void compare(const struct plain *plain, uint32_t k)
{
    static struct plain_answer answer;

    plain_search(&bed, plain, &answer);
    for (uint32_t threads = 1; threads <= 2; threads++) {
        imgsim_query *query;
        imgsim_result *result;

        bed_query(&bed, plain, k, threads, IMGSIM_SEARCH_EXACT, &query);
        CHECK_OK(imgsim_query_search(query, &result));
        bed_check(plain, &answer, result, k);
        CHECK_EQUAL(imgsim_result_get_exact(result), 1);
        CHECK_EQUAL(imgsim_result_get_failovers(result), 0);
        imgsim_result_free(result);
        imgsim_query_free(query);
    }
}

/* A positive definite matrix. */
static const double *matrix(void)
{
    static double values[BED_FLOATS * BED_FLOATS];

    for (int i = 0; i < BED_FLOATS; i++)
        for (int j = 0; j < BED_FLOATS; j++)
            values[i * BED_FLOATS + j] = i == j ? 1 + 0.25 * i : 0.03;
    return values;
}

static struct plain one_image(int feature, int32_t metric)
{
    struct plain plain = {.rrf_k = 60};

    plain.ids[0] = 35; /* its rows are those of id 45, too */
    plain.weights[0] = 1;
    plain.image_count = 1;
    plain.channels[0] = (struct plain_channel){feature, metric, 1, matrix()};
    plain.channel_count = 1;
    return plain;
}

static void every_metric_ranks_as_plainly_computed(void)
{
    static const int32_t metrics[][2] = {
        {BED_EMBEDDING, IMGSIM_METRIC_COSINE},    {BED_EMBEDDING, IMGSIM_METRIC_INNER_PRODUCT},
        {BED_EMBEDDING, IMGSIM_METRIC_L2},        {BED_EMBEDDING, IMGSIM_METRIC_L1},
        {BED_EMBEDDING, IMGSIM_METRIC_ANGULAR},   {BED_EMBEDDING, IMGSIM_METRIC_MAHALANOBIS},
        {BED_EMBEDDING, IMGSIM_METRIC_CALLBACK},  {BED_COLOR, IMGSIM_METRIC_CORRELATION},
        {BED_COLOR, IMGSIM_METRIC_CHI_SQUARE},    {BED_COLOR, IMGSIM_METRIC_INTERSECTION},
        {BED_COLOR, IMGSIM_METRIC_BHATTACHARYYA}, {BED_COLOR, IMGSIM_METRIC_L1},
        {BED_HASH, IMGSIM_METRIC_HAMMING},        {BED_HASH, IMGSIM_METRIC_JACCARD},
    };

    for (size_t m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++)
        for (int32_t images = IMGSIM_IMAGES_MEAN; images <= IMGSIM_IMAGES_BEST; images++)
            for (int include = 0; include < 2; include++) {
                struct plain plain = one_image(metrics[m][0], metrics[m][1]);

                plain.images = images;
                plain.include_queries = include;
                compare(&plain, 12);
            }
}

static void add_image(struct plain *plain, int64_t id, double weight)
{
    plain->ids[plain->image_count] = id;
    plain->weights[plain->image_count++] = weight;
}

static void several_images_join_as_documented(void)
{
    static const int32_t metrics[][2] = {
        {BED_EMBEDDING, IMGSIM_METRIC_COSINE},      {BED_EMBEDDING, IMGSIM_METRIC_INNER_PRODUCT},
        {BED_EMBEDDING, IMGSIM_METRIC_L2},          {BED_EMBEDDING, IMGSIM_METRIC_L1},
        {BED_EMBEDDING, IMGSIM_METRIC_MAHALANOBIS}, {BED_EMBEDDING, IMGSIM_METRIC_CALLBACK},
        {BED_COLOR, IMGSIM_METRIC_CHI_SQUARE},      {BED_COLOR, IMGSIM_METRIC_INTERSECTION},
        {BED_HASH, IMGSIM_METRIC_HAMMING},          {BED_HASH, IMGSIM_METRIC_JACCARD},
    };

    for (size_t m = 0; m < sizeof(metrics) / sizeof(metrics[0]); m++)
        for (int32_t images = IMGSIM_IMAGES_MEAN; images <= IMGSIM_IMAGES_BEST; images++)
            for (int kind = 0; kind < 4; kind++) {
                struct plain plain = one_image(metrics[m][0], metrics[m][1]);

                plain.images = images;
                add_image(&plain, 101, 1);
                if (kind == 1)
                    add_image(&plain, 77, 0.4);
                if (kind == 2)
                    add_image(&plain, 12, -0.5);
                if (kind == 3) {
                    add_image(&plain, 200, 2);
                    add_image(&plain, 150, -1.25);
                    add_image(&plain, 3, -0.25);
                }
                compare(&plain, 15);
            }
}

static struct plain three_channels(void)
{
    struct plain plain = one_image(BED_EMBEDDING, IMGSIM_METRIC_COSINE);

    plain.channels[0].weight = 0.7;
    plain.channels[1] = (struct plain_channel){BED_COLOR, IMGSIM_METRIC_CHI_SQUARE, 0.2, NULL};
    plain.channels[2] = (struct plain_channel){BED_HASH, IMGSIM_METRIC_HAMMING, 0.3, NULL};
    plain.channel_count = 3;
    return plain;
}

static void channels_fuse_as_documented(void)
{
    for (int32_t fusion = IMGSIM_FUSE_SUM; fusion <= IMGSIM_FUSE_CALLBACK; fusion++)
        for (int32_t images = IMGSIM_IMAGES_MEAN; images <= IMGSIM_IMAGES_BEST; images++)
            for (int channels = 1; channels <= 3; channels++)
                for (int count = 1; count <= 3; count++) {
                    struct plain plain = three_channels();

                    plain.channel_count = channels;
                    plain.images = images;
                    plain.fusion = fusion;
                    plain.rrf_k = fusion == IMGSIM_FUSE_RRF ? 10 : 60;
                    if (count > 1)
                        add_image(&plain, 210, 0.5);
                    if (count > 2)
                        add_image(&plain, 99, -0.3);
                    compare(&plain, 25);
                }
}

static void equal_rows_come_in_order_of_id(void)
{
    struct plain plain = three_channels();
    imgsim_query *query;
    imgsim_result *result;
    imgsim_hit first = {.struct_size = sizeof(first)};
    imgsim_hit second = {.struct_size = sizeof(second)};

    plain.include_queries = 1;
    bed_query(&bed, &plain, 2, 1, IMGSIM_SEARCH_EXACT, &query);
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_OK(imgsim_result_get_hit(result, 0, &first));
    CHECK_OK(imgsim_result_get_hit(result, 1, &second));
    CHECK_EQUAL(first.id, 35);
    CHECK_EQUAL(second.id, 45);
    CHECK(first.score == second.score);
    CHECK_NEAR(first.score, 1, 1e-9);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static void all_images_can_be_asked_for(void)
{
    struct plain plain = one_image(BED_EMBEDDING, IMGSIM_METRIC_COSINE);

    compare(&plain, BED_IMAGES * 3);
    plain = three_channels();
    compare(&plain, BED_IMAGES * 3);
}

static void parts_tell_shares_and_ranks(void)
{
    struct plain plain = three_channels();
    imgsim_query *query;
    imgsim_result *result;
    imgsim_part part = {.struct_size = sizeof(part)};

    bed_query(&bed, &plain, 4, 1, IMGSIM_SEARCH_EXACT, &query);
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_OK(imgsim_result_get_part(result, 0, 0, &part));
    CHECK_NEAR(part.weight, 0.7 / 1.2, 1e-12);
    CHECK_OK(imgsim_result_get_part(result, 0, 2, &part));
    CHECK_NEAR(part.weight, 0.3 / 1.2, 1e-12);
    CHECK_EQUAL(part.rank, 0); /* a sum does not rank its channels */
    imgsim_result_free(result);
    imgsim_query_free(query);

    plain.fusion = IMGSIM_FUSE_RRF;
    bed_query(&bed, &plain, 4, 1, IMGSIM_SEARCH_EXACT, &query);
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_OK(imgsim_result_get_part(result, 0, 1, &part));
    CHECK_EQUAL(part.rank, 1); /* id 45 has the very rows of the query */
    CHECK_OK(imgsim_result_get_part(result, 1, 1, &part));
    CHECK(part.rank > 1);
    imgsim_result_free(result);
    imgsim_query_free(query);

    plain = one_image(BED_HASH, IMGSIM_METRIC_HAMMING);
    bed_query(&bed, &plain, 4, 1, IMGSIM_SEARCH_EXACT, &query);
    CHECK_OK(imgsim_query_search(query, &result));
    for (size_t i = 0; i < 4; i++) {
        CHECK_OK(imgsim_result_get_part(result, i, 0, &part));
        CHECK_EQUAL(part.rank, i + 1);
    }
    imgsim_result_free(result);
    imgsim_query_free(query);
}

int main(void)
{
    bed_open(&bed);
    every_metric_ranks_as_plainly_computed();
    several_images_join_as_documented();
    channels_fuse_as_documented();
    equal_rows_come_in_order_of_id();
    all_images_can_be_asked_for();
    parts_tell_shares_and_ranks();
    bed_close(&bed);
    return 0;
}
