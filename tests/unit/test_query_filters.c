/* SPDX-License-Identifier: Apache-2.0 */
/* What may be a hit: labels, folders, bits, excluded query images, and the least score. */
#include "query_bed.h"

static struct bed bed;

static imgsim_query *new_query(uint32_t k, int exclude)
{
    struct plain plain = {.rrf_k = 60, .include_queries = !exclude, .image_count = 1};
    imgsim_query *query;

    plain.ids[0] = 35;
    plain.weights[0] = 1;
    plain.channels[0] = (struct plain_channel){BED_EMBEDDING, IMGSIM_METRIC_COSINE, 1, NULL};
    plain.channel_count = 1;
    bed_query(&bed, &plain, k, 1, IMGSIM_SEARCH_EXACT, &query);
    return query;
}

/* Whether the ids are hits of a search for all: 1 per id. */
static size_t search_ids(imgsim_query *query, uint8_t found[BED_IMAGES], uint64_t *images)
{
    imgsim_result *result;
    size_t count;

    memset(found, 0, BED_IMAGES);
    CHECK_OK(imgsim_query_search(query, &result));
    count = imgsim_result_get_count(result);
    for (size_t i = 0; i < count; i++) {
        imgsim_hit hit = {.struct_size = sizeof(hit)};

        CHECK_OK(imgsim_result_get_hit(result, i, &hit));
        CHECK_EQUAL(found[hit.id], 0);
        found[hit.id] = 1;
    }
    *images = imgsim_result_get_image_count(result);
    imgsim_result_free(result);
    return count;
}

/* A search for all must find exactly the live ids that `wanted` says, less the query image. */
static void check_found(imgsim_query *query, int (*wanted)(int64_t id))
{
    uint8_t found[BED_IMAGES];
    uint64_t images, expected = 0;

    search_ids(query, found, &images);
    for (int64_t id = 0; id < BED_IMAGES; id++) {
        int eligible = bed.live[id] && wanted(id);

        CHECK_EQUAL(found[id], eligible && id != 35);
        expected += (uint64_t)eligible;
    }
    CHECK_EQUAL(images, expected);
}

static int is_any(int64_t id)
{
    (void)id;
    return 1;
}

static int is_red(int64_t id)
{
    return id % 7 == 0;
}

static int is_red_or_blue(int64_t id)
{
    return id % 7 == 0 || id % 10 == 3;
}

static int is_on_land(int64_t id)
{
    return id % 3 != 0;
}

static int is_red_on_land(int64_t id)
{
    return is_red(id) && is_on_land(id);
}

static int is_low(int64_t id)
{
    return id < 100;
}

static int is_low_or_high(int64_t id)
{
    return id < 100 || (id >= 200 && id < 250);
}

static int is_all_kinds(int64_t id)
{
    return is_red_or_blue(id) && is_on_land(id) && is_low(id);
}

static void add_labels(void)
{
    for (int64_t id = 0; id < BED_IMAGES; id++) {
        if (bed.live[id] && is_red(id))
            CHECK_OK(imgsim_catalog_add_label(bed.catalog, id, "red"));
        if (bed.live[id] && id % 10 == 3)
            CHECK_OK(imgsim_catalog_add_label(bed.catalog, id, "blue"));
    }
}

static void labels_and_folders_limit_the_hits(void)
{
    imgsim_query *query = new_query(BED_IMAGES, 1);
    char folder[700];

    check_found(query, is_any);
    CHECK_OK(imgsim_query_filter_label(query, "red"));
    check_found(query, is_red);
    CHECK_OK(imgsim_query_filter_label(query, "blue"));
    check_found(query, is_red_or_blue);
    imgsim_query_clear_filters(query);
    check_found(query, is_any);

    snprintf(folder, sizeof(folder), "%s/sea/land", bed.folder);
    CHECK_OK(imgsim_query_filter_directory(query, folder));
    check_found(query, is_on_land);
    CHECK_OK(imgsim_query_filter_label(query, "red"));
    check_found(query, is_red_on_land);
    snprintf(folder, sizeof(folder), "%s/sea", bed.folder);
    CHECK_OK(imgsim_query_filter_directory(query, folder));
    check_found(query, is_red);
    imgsim_query_free(query);
}

static void bits_limit_the_hits(void)
{
    imgsim_query *query = new_query(BED_IMAGES, 1);
    uint8_t low[13] = {0}, high[32] = {0};

    for (int id = 0; id < 100; id++)
        low[id / 8] |= (uint8_t)(1 << (id % 8));
    for (int id = 200; id < 256; id++)
        high[id / 8] |= (uint8_t)(1 << (id % 8));
    low[12] = 0xff; /* bits beyond the count do not count */

    CHECK_OK(imgsim_query_filter_bits(query, low, 100));
    check_found(query, is_low);
    CHECK_OK(imgsim_query_filter_bits(query, high, 250));
    check_found(query, is_low_or_high);

    imgsim_query_clear_filters(query);
    CHECK_OK(imgsim_query_filter_bits(query, low, 100));
    CHECK_OK(imgsim_query_filter_label(query, "red"));
    CHECK_OK(imgsim_query_filter_label(query, "blue"));
    CHECK_OK(imgsim_query_filter_directory(query, "sea/land"));
    check_found(query, is_all_kinds);
    imgsim_query_free(query);
}

static void a_filter_without_images_gives_no_hits(void)
{
    imgsim_query *query = new_query(5, 1);
    uint8_t none = 0, found[BED_IMAGES];
    uint64_t images;

    CHECK_OK(imgsim_query_filter_bits(query, &none, 0));
    CHECK_EQUAL(search_ids(query, found, &images), 0);
    CHECK_EQUAL(images, 0);
    imgsim_query_free(query);
}

static void unknown_labels_and_folders_are_refused(void)
{
    imgsim_query *query = new_query(BED_IMAGES, 1);

    CHECK_FAILS(imgsim_query_filter_label(query, "green"), IMGSIM_ERROR_NOT_FOUND, "green");
    CHECK_FAILS(imgsim_query_filter_directory(query, "desert"), IMGSIM_ERROR_NOT_FOUND, "desert");
    CHECK_FAILS(imgsim_query_filter_label(query, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "label");
    CHECK_FAILS(imgsim_query_filter_directory(NULL, "sea"), IMGSIM_ERROR_INVALID_ARGUMENT, "query");
    CHECK_FAILS(imgsim_query_filter_bits(query, NULL, 8), IMGSIM_ERROR_INVALID_ARGUMENT, "bits");
    check_found(query, is_any); /* nothing of it stayed */
    imgsim_query_free(query);
}

static void query_images_can_be_hits(void)
{
    imgsim_query *query = new_query(3, 0);
    imgsim_result *result;
    imgsim_hit hit = {.struct_size = sizeof(hit)};

    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_OK(imgsim_result_get_hit(result, 0, &hit));
    CHECK_EQUAL(hit.id, 35);
    CHECK_NEAR(hit.score, 1, 1e-9);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static void low_scores_are_left_out(void)
{
    struct plain plain = {.rrf_k = 60, .image_count = 1, .channel_count = 1};
    static struct plain_answer answer;
    imgsim_query_options options;
    imgsim_query *query;
    imgsim_result *result;
    size_t expected = 0;

    plain.ids[0] = 35;
    plain.weights[0] = 1;
    plain.channels[0] = (struct plain_channel){BED_EMBEDDING, IMGSIM_METRIC_COSINE, 1, NULL};
    plain_search(&bed, &plain, &answer);
    while (answer.hits[expected].score >= 0.5)
        expected++;
    CHECK(expected > 1 && expected < 200);

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.k = BED_IMAGES;
    options.min_score = 0.5;
    query = new_query(3, 1);
    CHECK_OK(imgsim_query_set_options(query, &options));
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_EQUAL(imgsim_result_get_count(result), expected);
    imgsim_result_free(result);

    options.min_score = 1.5;
    CHECK_OK(imgsim_query_set_options(query, &options));
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_EQUAL(imgsim_result_get_count(result), 0);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

int main(void)
{
    bed_open(&bed);
    add_labels();
    labels_and_folders_limit_the_hits();
    bits_limit_the_hits();
    a_filter_without_images_gives_no_hits();
    unknown_labels_and_folders_are_refused();
    query_images_can_be_hits();
    low_scores_are_left_out();
    bed_close(&bed);
    return 0;
}
