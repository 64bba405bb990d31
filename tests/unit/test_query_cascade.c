/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cascade re-ranks its candidates exactly and knows when to ask for more; merged candidates
 * likewise.
 */
#include "query_bed.h"

static struct bed bed;

static struct plain ask(int channel_count)
{
    struct plain plain = {.rrf_k = 60, .image_count = 1};

    plain.ids[0] = 35;
    plain.weights[0] = 1;
    plain.channels[0] = (struct plain_channel){BED_EMBEDDING, IMGSIM_METRIC_COSINE, 0.8, NULL};
    plain.channels[1] = (struct plain_channel){BED_COLOR, IMGSIM_METRIC_CHI_SQUARE, 0.2, NULL};
    plain.channel_count = channel_count;
    return plain;
}

/* Search with these settings; never_doubt: without failover. */
static imgsim_result *
search(const struct plain *plain, int32_t mode, uint32_t candidates, int never_doubt)
{
    imgsim_query_options options;
    imgsim_query *query;
    imgsim_result *result;

    bed_query(&bed, plain, 5, 1, mode, &query);
    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.k = 5;
    options.search = mode;
    options.images = plain->images;
    options.candidates = candidates;
    if (never_doubt)
        options.failover_score = options.failover_spread = -1;
    CHECK_OK(imgsim_query_set_options(query, &options));
    CHECK_OK(imgsim_query_search(query, &result));
    imgsim_query_free(query);
    return result;
}

/* Leave the hits whose id is marked. */
static void keep(struct plain_answer *answer, const uint8_t marks[BED_IMAGES])
{
    int kept = 0;

    for (int i = 0; i < answer->count; i++)
        if (marks[answer->hits[i].id])
            answer->hits[kept++] = answer->hits[i];
    answer->count = kept;
}

/* Mark the nearest images in one feature. */
static void mark_nearest(int feature, int count, uint8_t marks[BED_IMAGES])
{
    struct plain plain = ask(1);
    static struct plain_answer answer;

    plain.channels[0].feature = feature;
    plain_search(&bed, &plain, &answer);
    for (int i = 0; i < count; i++)
        marks[answer.hits[i].id] = 1;
}

static void candidates_are_ranked_by_the_original_rows(void)
{
    for (int channels = 1; channels <= 2; channels++) {
        struct plain plain = ask(channels);
        static struct plain_answer answer;
        uint8_t marks[BED_IMAGES] = {0};
        imgsim_result *result = search(&plain, IMGSIM_SEARCH_CASCADE, 20, 1);

        plain_search(&bed, &plain, &answer);
        mark_nearest(BED_SMALL, 20, marks);
        keep(&answer, marks);
        bed_check(&plain, &answer, result, 5);
        CHECK_EQUAL(imgsim_result_get_exact(result), 0);
        CHECK_EQUAL(imgsim_result_get_failovers(result), 0);
        imgsim_result_free(result);
    }
}

static void many_candidates_are_the_exact_answer(void)
{
    for (int32_t images = IMGSIM_IMAGES_MEAN; images <= IMGSIM_IMAGES_BEST; images++) {
        struct plain plain = ask(2);
        static struct plain_answer answer;
        imgsim_result *result;

        plain.images = images;
        plain.ids[plain.image_count] = 180;
        plain.weights[plain.image_count++] = 0.5;
        plain_search(&bed, &plain, &answer);
        result = search(&plain, IMGSIM_SEARCH_CASCADE, 5000, 0);
        bed_check(&plain, &answer, result, 5);
        CHECK_EQUAL(imgsim_result_get_exact(result), 1);
        CHECK_EQUAL(imgsim_result_get_failovers(result), 0);
        imgsim_result_free(result);
    }
}

static void every_positive_image_brings_candidates(void)
{
    struct plain plain = ask(1);
    static struct plain_answer answer;
    imgsim_result *result;

    /*
     * The images are unlike each other: the mean's neighbours alone would miss those of the second.
     */
    plain.images = IMGSIM_IMAGES_BEST;
    plain.ids[plain.image_count] = 180;
    plain.weights[plain.image_count++] = 1;
    plain_search(&bed, &plain, &answer);
    result = search(&plain, IMGSIM_SEARCH_CASCADE, 120, 1);
    bed_check(&plain, &answer, result, 5);
    imgsim_result_free(result);
}

/* Ask with thresholds that are always, or never, crossed. */
static void
check_failover(uint32_t candidates, double least_score, double least_spread, uint32_t expected)
{
    struct plain plain = ask(1);
    static struct plain_answer answer;
    imgsim_query_options options;
    imgsim_query *query;
    imgsim_result *result;

    bed_query(&bed, &plain, 5, 1, IMGSIM_SEARCH_CASCADE, &query);
    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.search = IMGSIM_SEARCH_CASCADE;
    options.candidates = candidates;
    options.failover_score = least_score;
    options.failover_spread = least_spread;
    CHECK_OK(imgsim_query_set_options(query, &options));
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_EQUAL(imgsim_result_get_failovers(result), expected);
    CHECK_EQUAL(imgsim_result_get_exact(result), expected > 0);
    if (expected > 0) {
        plain_search(&bed, &plain, &answer);
        bed_check(&plain, &answer, result, 5);
    }
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static void doubt_asks_for_more_and_ends_with_the_exact_scan(void)
{
    check_failover(10, -1, -1, 0);
    check_failover(10, 2, -1, 3);  /* 10, 40, 160 candidates, then all */
    check_failover(10, -1, 2, 3);  /* flat instead of low */
    check_failover(100, 2, -1, 1); /* 100 candidates; 400 would be all */
    check_failover(1, 2, -1, 3);   /* at least k: 5, 20, 80 */
}

/* A projection in which everything looks the same. */
static void put_flat_projection(void)
{
    static float rows[BED_IMAGES][6];
    int64_t ids[BED_IMAGES];
    imgsim_feature_definition definition = {0};

    for (int64_t id = 0; id < BED_IMAGES; id++) {
        ids[id] = id;
        for (int i = 0; i < 6; i++)
            rows[id][i] = 1 + 1e-4f * (float)(id % 7);
    }
    definition.struct_size = sizeof(definition);
    definition.name = "flat";
    definition.source = "embedding";
    definition.dimension = 6; /* more than "small" has: it is preferred */
    definition.row_type = IMGSIM_ROW_FLOAT32;
    definition.metric = IMGSIM_METRIC_COSINE;
    CHECK_OK(
        imgsim_catalog_put_features(bed.catalog, &definition, ids, BED_IMAGES, rows, sizeof(rows)));
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
}

static void flat_coarse_scores_fail_over_by_default(void)
{
    struct plain plain = ask(1);
    static struct plain_answer answer;
    imgsim_result *result;

    put_flat_projection();
    plain_search(&bed, &plain, &answer);
    result = search(&plain, IMGSIM_SEARCH_CASCADE, 10, 0);
    CHECK_EQUAL(imgsim_result_get_failovers(result), 3);
    CHECK_EQUAL(imgsim_result_get_exact(result), 1);
    bed_check(&plain, &answer, result, 5);
    imgsim_result_free(result);
    CHECK_OK(imgsim_catalog_remove_features(bed.catalog, "flat"));
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
}

static void merged_candidates_are_those_of_both_spaces(void)
{
    struct plain plain = ask(2);
    static struct plain_answer answer;
    uint8_t marks[BED_IMAGES] = {0};
    imgsim_result *result = search(&plain, IMGSIM_SEARCH_DOUBLE, 8, 0);

    plain_search(&bed, &plain, &answer);
    mark_nearest(BED_SMALL, 8, marks);
    mark_nearest(BED_EMBEDDING, 8, marks);
    keep(&answer, marks);
    bed_check(&plain, &answer, result, 5);
    CHECK_EQUAL(imgsim_result_get_exact(result), 0);
    imgsim_result_free(result);
}

static void without_float_channels_merging_is_exact(void)
{
    struct plain plain = ask(1);
    static struct plain_answer answer;
    imgsim_result *result;

    plain.channels[0] = (struct plain_channel){BED_HASH, IMGSIM_METRIC_HAMMING, 1, NULL};
    plain_search(&bed, &plain, &answer);
    result = search(&plain, IMGSIM_SEARCH_DOUBLE, 8, 0);
    bed_check(&plain, &answer, result, 5);
    CHECK_EQUAL(imgsim_result_get_exact(result), 1);
    imgsim_result_free(result);
}

static void a_cascade_needs_a_projection(void)
{
    struct plain plain = ask(1);
    imgsim_query *query;
    imgsim_result *result;

    plain.channels[0] = (struct plain_channel){BED_COLOR, IMGSIM_METRIC_CHI_SQUARE, 1, NULL};
    bed_query(&bed, &plain, 5, 1, IMGSIM_SEARCH_CASCADE, &query);
    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_NOT_READY, "imgsim pca");
    CHECK(result == NULL);
    imgsim_query_free(query);
}

int main(void)
{
    bed_open(&bed);
    candidates_are_ranked_by_the_original_rows();
    many_candidates_are_the_exact_answer();
    every_positive_image_brings_candidates();
    doubt_asks_for_more_and_ends_with_the_exact_scan();
    flat_coarse_scores_fail_over_by_default();
    merged_candidates_are_those_of_both_spaces();
    without_float_channels_merging_is_exact();
    a_cascade_needs_a_projection();
    bed_close(&bed);
    return 0;
}
