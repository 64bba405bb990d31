/* SPDX-License-Identifier: Apache-2.0 */
/* What a query refuses and with which words; channels by text; defaults; lifetimes. */
#include "query_bed.h"

#include <imgsim/image.h>

static struct bed bed;

static imgsim_query *new_query(void)
{
    imgsim_query *query;

    CHECK_OK(imgsim_query_new(bed.catalog, NULL, &query));
    return query;
}

static void settings_out_of_range_are_refused(void)
{
    imgsim_query_options options;
    imgsim_query *query = NULL;

    CHECK_FAILS(imgsim_query_new(NULL, NULL, &query), IMGSIM_ERROR_INVALID_ARGUMENT, "catalog");
    CHECK_FAILS(imgsim_query_new(bed.catalog, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "out");
    CHECK_FAILS(imgsim_query_options_init(NULL, 8), IMGSIM_ERROR_INVALID_ARGUMENT, "options");

#define REFUSED(field, bad, status, word)                                             \
    do {                                                                              \
        CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));               \
        options.field = bad;                                                          \
        CHECK_FAILS(imgsim_query_new(bed.catalog, &options, &query), (status), word); \
        CHECK(query == NULL);                                                         \
    } while (0)

    REFUSED(k, 0, IMGSIM_ERROR_INVALID_ARGUMENT, "k is 0");
    REFUSED(k, IMGSIM_K_MAX + 1, IMGSIM_ERROR_INVALID_ARGUMENT, "100000");
    REFUSED(candidates, 0, IMGSIM_ERROR_INVALID_ARGUMENT, "candidates");
    REFUSED(images, 9, IMGSIM_ERROR_UNSUPPORTED, "images");
    REFUSED(fusion, -1, IMGSIM_ERROR_UNSUPPORTED, "fusion");
    REFUSED(fusion, IMGSIM_FUSE_CALLBACK, IMGSIM_ERROR_INVALID_ARGUMENT, "fuse");
    REFUSED(search, 4, IMGSIM_ERROR_UNSUPPORTED, "search");
    REFUSED(rrf_k, -1, IMGSIM_ERROR_INVALID_ARGUMENT, "rrf_k");
    REFUSED(rrf_k, NAN, IMGSIM_ERROR_INVALID_ARGUMENT, "rrf_k");
    REFUSED(min_score, NAN, IMGSIM_ERROR_INVALID_ARGUMENT, "min_score");
    REFUSED(struct_size, 0, IMGSIM_ERROR_INVALID_ARGUMENT, "struct_size");
#undef REFUSED
}

static void images_are_checked(void)
{
    imgsim_query *query = new_query();
    float row[BED_FLOATS] = {1};
    imgsim_result *result;

    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_NOT_READY, "no image");
    CHECK_FAILS(imgsim_query_add_id(query, 1, 0), IMGSIM_ERROR_INVALID_ARGUMENT, "weight");
    CHECK_FAILS(imgsim_query_add_id(query, 1, INFINITY), IMGSIM_ERROR_INVALID_ARGUMENT, "weight");
    CHECK_FAILS(imgsim_query_add_id(query, -1, 1), IMGSIM_ERROR_NOT_FOUND, "-1");
    CHECK_FAILS(imgsim_query_add_id(query, 1000000, 1), IMGSIM_ERROR_NOT_FOUND, "1000000");
    CHECK_FAILS(imgsim_query_add_id(query, 5, 1), IMGSIM_ERROR_NOT_FOUND, "5"); /* it is missing */
    CHECK_FAILS(
        imgsim_query_add_file(query, "/no/such/file.jpg", 1), IMGSIM_ERROR_NOT_FOUND,
        "/no/such/file.jpg");
    CHECK_FAILS(imgsim_query_add_file(query, NULL, 1), IMGSIM_ERROR_INVALID_ARGUMENT, "path");
    CHECK_FAILS(imgsim_query_add_memory(query, "not an image", 12, 1), IMGSIM_ERROR_BAD_IMAGE, "");
    CHECK_FAILS(imgsim_query_add_memory(query, NULL, 0, 1), IMGSIM_ERROR_INVALID_ARGUMENT, "data");
    CHECK_FAILS(imgsim_query_add_image(query, NULL, 1), IMGSIM_ERROR_INVALID_ARGUMENT, "image");
    CHECK_FAILS(
        imgsim_query_add_row(query, "embedding", row, 4, 1), IMGSIM_ERROR_INVALID_ARGUMENT, "48");
    CHECK_FAILS(
        imgsim_query_add_row(query, "nothing", row, sizeof(row), 1), IMGSIM_ERROR_NOT_FOUND,
        "embedding");
    row[3] = NAN;
    CHECK_FAILS(
        imgsim_query_add_row(query, "embedding", row, sizeof(row), 1),
        IMGSIM_ERROR_INVALID_ARGUMENT, "value 3");

    CHECK_OK(imgsim_query_add_id(query, 1, -1));
    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_NOT_READY, "negative");
    for (int id = 2; id < 5; id++)
        CHECK_OK(imgsim_query_add_id(query, id, 1));
    CHECK_OK(imgsim_query_add_id(query, 4, 1)); /* the same one twice is fine */
    CHECK_FAILS(imgsim_query_add_id(query, 6, 1), IMGSIM_ERROR_LIMIT, "5");
    CHECK_OK(imgsim_query_search(query, &result));
    imgsim_result_free(result);

    imgsim_query_clear_images(query);
    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_NOT_READY, "no image");
    CHECK_FAILS(imgsim_query_search(query, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "out_result");
    imgsim_query_free(query);
    imgsim_query_free(NULL);
    imgsim_result_free(NULL);
}

static void rows_that_cancel_out_are_refused(void)
{
    imgsim_query *query = new_query();
    imgsim_result *result;

    CHECK_OK(imgsim_query_add_id(query, 30, 1));
    CHECK_OK(imgsim_query_add_id(query, 40, -1)); /* the same rows */
    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_NOT_READY, "cancel");
    imgsim_query_free(query);
}

static void channels_are_checked(void)
{
    imgsim_query *query = new_query();
    imgsim_channel_options options;

    CHECK_OK(imgsim_channel_options_init(&options, sizeof(options)));
    CHECK_FAILS(
        imgsim_query_add_channel(query, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "feature");
    CHECK_FAILS(imgsim_query_add_channel(query, "nothing", NULL), IMGSIM_ERROR_NOT_FOUND, "hash");
    options.weight = 0;
    CHECK_FAILS(
        imgsim_query_add_channel(query, "hash", &options), IMGSIM_ERROR_INVALID_ARGUMENT, "weight");
    options.weight = 1;
    options.metric = IMGSIM_METRIC_COSINE;
    CHECK_FAILS(
        imgsim_query_add_channel(query, "hash", &options), IMGSIM_ERROR_INVALID_ARGUMENT, "cosine");
    options.metric = 999;
    CHECK_FAILS(imgsim_query_add_channel(query, "hash", &options), IMGSIM_ERROR_UNSUPPORTED, "999");
    options.metric = IMGSIM_METRIC_CALLBACK;
    CHECK_FAILS(
        imgsim_query_add_channel(query, "hash", &options), IMGSIM_ERROR_INVALID_ARGUMENT,
        "callback");
    options.metric = IMGSIM_METRIC_MAHALANOBIS;
    CHECK_FAILS(
        imgsim_query_add_channel(query, "embedding", &options), IMGSIM_ERROR_INVALID_ARGUMENT,
        "matrix");
    CHECK_OK(imgsim_query_add_channel(query, "hash", NULL));
    CHECK_FAILS(
        imgsim_query_add_channel(query, "hash", NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "twice");
    imgsim_query_free(query);
}

/* Search for id 35 and check the channels that the result shows: "name:metric:percent ...". */
static void check_channels(imgsim_query *query, const char *expected)
{
    imgsim_result *result;
    char text[300] = "";

    CHECK_OK(imgsim_query_add_id(query, 35, 1));
    CHECK_OK(imgsim_query_search(query, &result));
    for (size_t i = 0; i < imgsim_result_get_part_count(result); i++) {
        imgsim_part part = {.struct_size = sizeof(part)};
        size_t used = strlen(text);

        CHECK_OK(imgsim_result_get_part(result, 0, i, &part));
        snprintf(
            text + used, sizeof(text) - used, "%s%s:%s:%.0f", i > 0 ? " " : "", part.feature,
            imgsim_metric_name(part.metric), part.weight * 100);
    }
    CHECK_TEXT(text, expected);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static void check_by(const char *by, const char *metrics, const char *expected)
{
    imgsim_query *query = new_query();

    CHECK_OK(imgsim_query_add_channels(query, by, metrics));
    check_channels(query, expected);
}

static void channels_can_be_named_by_text(void)
{
    check_by("fused", NULL, "embedding:cosine:70 color:chi-square:20 hash:hamming:10");
    check_by("blend", NULL, "embedding:cosine:70 small:cosine:30");
    check_by("color", NULL, "color:chi-square:100");
    check_by("hash=3, color=1", "", "hash:hamming:75 color:chi-square:25");
    check_by("embedding,hash=.25", NULL, "embedding:cosine:80 hash:hamming:20");
    check_by(
        "color=2,embedding=2", "embedding=l2,color=intersection",
        "color:intersection:50 embedding:l2:50");
    check_by(NULL, "embedding=ip", "embedding:inner-product:100");
    check_by("", NULL, "embedding:cosine:100");
    check_channels(new_query(), "embedding:cosine:100");
}

static void refuse_by(const char *by, const char *metrics, imgsim_status status, const char *word)
{
    imgsim_query *query = new_query();

    CHECK_FAILS(imgsim_query_add_channels(query, by, metrics), status, word);
    check_channels(query, "embedding:cosine:100"); /* nothing of it stayed */
}

static void wrong_texts_are_refused(void)
{
    refuse_by("shape", NULL, IMGSIM_ERROR_NOT_FOUND, "embedding");
    refuse_by("color=0.5,shape=0.5", NULL, IMGSIM_ERROR_NOT_FOUND, "shape");
    refuse_by("color=0", NULL, IMGSIM_ERROR_INVALID_ARGUMENT, "color");
    refuse_by("color=-1", NULL, IMGSIM_ERROR_INVALID_ARGUMENT, "-1");
    refuse_by("color=", NULL, IMGSIM_ERROR_INVALID_ARGUMENT, "color");
    refuse_by("color=1.5.2", NULL, IMGSIM_ERROR_INVALID_ARGUMENT, "1.5.2");
    refuse_by("color=abc", NULL, IMGSIM_ERROR_INVALID_ARGUMENT, "abc");
    refuse_by("color,,hash", NULL, IMGSIM_ERROR_INVALID_ARGUMENT, "name=value");
    refuse_by("color,", NULL, IMGSIM_ERROR_INVALID_ARGUMENT, "comma");
    refuse_by("=1", NULL, IMGSIM_ERROR_INVALID_ARGUMENT, "=1");
    refuse_by("color,color", NULL, IMGSIM_ERROR_INVALID_ARGUMENT, "twice");
    refuse_by("color", "color=euclid", IMGSIM_ERROR_INVALID_ARGUMENT, "chi-square");
    refuse_by("color", "hash=hamming", IMGSIM_ERROR_INVALID_ARGUMENT, "hash");
    refuse_by("color", "l2", IMGSIM_ERROR_INVALID_ARGUMENT, "feature=metric");
    refuse_by("color", "color=hamming", IMGSIM_ERROR_INVALID_ARGUMENT, "hamming");
    refuse_by("embedding", "embedding=mahalanobis", IMGSIM_ERROR_INVALID_ARGUMENT, "matrix");
}

static void default_channels_follow_the_catalog(void)
{
    struct bed empty;
    imgsim_query *query;
    imgsim_result *result;
    uint8_t pixels[3] = {0};
    imgsim_image *image;

    bed_open_empty(&empty);
    CHECK_OK(imgsim_image_new(pixels, 1, 1, 0, &image));
    CHECK_OK(imgsim_query_new(empty.catalog, NULL, &query));
    CHECK_OK(imgsim_query_add_image(query, image, 1));
    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_NOT_READY, "scan");
    imgsim_query_free(query);
    imgsim_image_free(image);
    bed_close(&empty);

    /* Without an embedding: colour and hash; rows speak for themselves. */
    bed_open(&empty);
    CHECK_OK(imgsim_catalog_remove_features(empty.catalog, "small"));
    CHECK_OK(imgsim_catalog_remove_features(empty.catalog, "embedding"));
    CHECK_OK(imgsim_catalog_refresh(empty.catalog));
    CHECK_OK(imgsim_query_new(empty.catalog, NULL, &query));
    check_channels(query, "color:chi-square:70 hash:hamming:30");
    bed_close(&empty);
}

static void a_query_of_rows_is_compared_by_their_features(void)
{
    imgsim_query *query = new_query();
    imgsim_result *result;
    imgsim_hit hit = {.struct_size = sizeof(hit)};
    imgsim_part part = {.struct_size = sizeof(part)};

    CHECK_OK(imgsim_query_add_row(query, "color", bed.color[35], sizeof(bed.color[35]), 1));
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_EQUAL(imgsim_result_get_part_count(result), 1);
    CHECK_OK(imgsim_result_get_hit(result, 0, &hit));
    CHECK_EQUAL(hit.id, 35); /* a row is no image of the catalog: nothing is left out */
    CHECK_OK(imgsim_result_get_part(result, 0, 0, &part));
    CHECK_TEXT(part.feature, "color");
    CHECK_NEAR(part.value, 0, 1e-9);
    imgsim_result_free(result);

    imgsim_query_clear_images(query);
    CHECK_OK(imgsim_query_add_row(query, "hash", bed.hash[60], BED_HASH_BYTES, 1));
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_OK(imgsim_result_get_hit(result, 0, &hit));
    CHECK_EQUAL(hit.id, 60);
    imgsim_result_free(result);

    /* A row speaks in its own channel only. */
    CHECK_OK(imgsim_query_add_channels(query, "embedding,hash", NULL));
    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_NOT_READY, "embedding");
    CHECK_OK(imgsim_query_add_row(
        query, "embedding", bed.embedding[60], sizeof(bed.embedding[60]), 0.5));
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_OK(imgsim_result_get_hit(result, 0, &hit));
    CHECK_EQUAL(hit.id, 60);
    CHECK_NEAR(hit.score, 1, 1e-9);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static int32_t failing_fusion(
    const float *similarities,
    size_t image_count,
    size_t channel_count,
    float *out_scores,
    void *user_data)
{
    (void)similarities;
    (void)channel_count;
    for (size_t i = 0; i < image_count; i++)
        out_scores[i] = NAN;
    return *(int32_t *)user_data;
}

static int32_t failing_metric(
    const void *query,
    const void *rows,
    size_t row_count,
    uint32_t dimension,
    int32_t row_type,
    float *out_distances,
    void *user_data)
{
    (void)query;
    (void)rows;
    (void)dimension;
    (void)row_type;
    (void)user_data;
    for (size_t i = 0; i < row_count; i++)
        out_distances[i] = 0;
    return 1;
}

static void failing_callbacks_end_the_search(void)
{
    imgsim_query_options options;
    imgsim_channel_options channel;
    imgsim_query *query;
    imgsim_result *result;
    int32_t answer = 1;

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.fusion = IMGSIM_FUSE_CALLBACK;
    options.fuse = failing_fusion;
    options.fuse_data = &answer;
    CHECK_OK(imgsim_query_new(bed.catalog, &options, &query));
    CHECK_OK(imgsim_query_add_id(query, 1, 1));
    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_CALLBACK, "fusion");
    answer = 0;
    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_CALLBACK, "NaN");
    imgsim_query_free(query);

    query = new_query();
    CHECK_OK(imgsim_channel_options_init(&channel, sizeof(channel)));
    channel.metric = IMGSIM_METRIC_CALLBACK;
    channel.callback = failing_metric;
    CHECK_OK(imgsim_query_add_channel(query, "embedding", &channel));
    CHECK_OK(imgsim_query_add_id(query, 1, 1));
    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_CALLBACK, "");
    imgsim_query_free(query);
}

static void images_without_row_are_named(void)
{
    imgsim_query *query = new_query();
    imgsim_result *result;

    CHECK_EQUAL(bed.has[BED_HASH][43], 0);
    CHECK_OK(imgsim_query_add_id(query, 43, 1));
    CHECK_OK(imgsim_query_add_channels(query, "hash", NULL));
    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_NOT_READY, "43");
    imgsim_query_free(query);
}

/* The host's extractor of the tests: the first values of the pixels. */
static int32_t
take_pixels(const imgsim_image *const *images, size_t image_count, void *out_rows, void *user_data)
{
    float *rows = out_rows;

    (void)user_data;
    for (size_t i = 0; i < image_count; i++)
        for (int d = 0; d < 3; d++)
            rows[i * 3 + (size_t)d] = imgsim_image_get_pixels(images[i])[d] + 1.0f;
    return 0;
}

static imgsim_extractor *new_pixel_extractor(const char *version)
{
    imgsim_host_extractor table = {0};
    imgsim_extractor *extractor;

    table.struct_size = sizeof(table);
    table.name = "pixel";
    table.version = version;
    table.dimension = 3;
    table.row_type = IMGSIM_ROW_FLOAT32;
    table.default_metric = IMGSIM_METRIC_L2;
    table.extract = take_pixels;
    CHECK_OK(imgsim_extractor_new_host(&table, NULL, &extractor));
    return extractor;
}

static void put_pixel_feature(const imgsim_extractor *extractor)
{
    imgsim_feature_definition definition = {0};
    float rows[4][3] = {{1, 1, 1}, {201, 11, 21}, {1, 251, 1}, {91, 91, 91}};
    int64_t ids[4] = {10, 11, 12, 13};

    definition.struct_size = sizeof(definition);
    definition.name = "pixel";
    definition.spec = imgsim_extractor_get_spec(extractor);
    definition.fingerprint = imgsim_extractor_get_fingerprint(extractor);
    definition.dimension = 3;
    definition.row_type = IMGSIM_ROW_FLOAT32;
    definition.metric = IMGSIM_METRIC_L2;
    CHECK_OK(imgsim_catalog_put_features(bed.catalog, &definition, ids, 4, rows, sizeof(rows)));
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
}

static void the_hosts_extractor_is_asked_for_and_used(void)
{
    imgsim_extractor *right = new_pixel_extractor("1"), *wrong = new_pixel_extractor("2");
    const uint8_t pixels[3] = {200, 10, 22};
    imgsim_hit hit = {.struct_size = sizeof(hit)};
    imgsim_query *query;
    imgsim_result *result;
    imgsim_image *image;

    put_pixel_feature(right);
    query = new_query();
    CHECK_OK(imgsim_query_add_channel(query, "pixel", NULL));
    CHECK_OK(imgsim_image_new(pixels, 1, 1, 0, &image));
    CHECK_OK(imgsim_query_add_image(query, image, 1));
    imgsim_image_free(image); /* the query has its own */
    CHECK_FAILS(imgsim_query_search(query, &result), IMGSIM_ERROR_NOT_READY, "pixel");

    CHECK_FAILS(
        imgsim_query_set_extractor(query, "pixel", wrong), IMGSIM_ERROR_INVALID_ARGUMENT, "pixel");
    CHECK_FAILS(imgsim_query_set_extractor(query, "voxel", right), IMGSIM_ERROR_NOT_FOUND, "voxel");
    CHECK_OK(imgsim_query_set_extractor(query, "pixel", right));
    imgsim_extractor_free(right); /* kept alive by the query */
    imgsim_extractor_free(wrong);
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_EQUAL(imgsim_result_get_image_count(result), 4);
    CHECK_EQUAL(imgsim_result_get_count(result), 4); /* fewer than the five asked for */
    CHECK_OK(imgsim_result_get_hit(result, 0, &hit));
    CHECK_EQUAL(hit.id, 11);
    CHECK_NEAR(hit.score, 1 / (1 + sqrt(4)), 1e-9); /* (201, 11, 23) to (201, 11, 21) */
    imgsim_result_free(result);
    imgsim_query_free(query);
    CHECK_OK(imgsim_catalog_remove_features(bed.catalog, "pixel"));
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
}

static void results_outlive_query_and_catalog(void)
{
    imgsim_catalog *catalog;
    imgsim_query *query;
    imgsim_result *result, *again;
    imgsim_hit hit = {.struct_size = sizeof(hit)};
    imgsim_part part = {.struct_size = sizeof(part)};

    CHECK_OK(imgsim_catalog_open(bed.catalog_path, NULL, &catalog));
    CHECK_OK(imgsim_query_new(catalog, NULL, &query));
    CHECK_OK(imgsim_query_add_id(query, 35, 1));
    imgsim_catalog_free(catalog); /* the query has a reference */
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_OK(imgsim_query_search(query, &again));
    CHECK_EQUAL(imgsim_result_get_count(again), imgsim_result_get_count(result));
    imgsim_result_free(again);
    imgsim_query_free(query);

    CHECK_OK(imgsim_result_get_hit(result, 0, &hit));
    CHECK_EQUAL(hit.id, 45);
    CHECK(strstr(hit.path, "sea/p045.png") != NULL && hit.path[0] == '/');
    CHECK_EQUAL(strlen(hit.uuid), 36);
    CHECK_EQUAL(hit.width, 145);
    CHECK_EQUAL(hit.height, 50);
    CHECK_OK(imgsim_result_get_part(result, 0, 0, &part));
    CHECK_TEXT(part.feature, "embedding");
    CHECK_FAILS(imgsim_result_get_hit(result, 5, &hit), IMGSIM_ERROR_INVALID_ARGUMENT, "5");
    CHECK_FAILS(imgsim_result_get_part(result, 0, 1, &part), IMGSIM_ERROR_INVALID_ARGUMENT, "1");
    hit.struct_size = 0;
    CHECK_FAILS(imgsim_result_get_hit(result, 0, &hit), IMGSIM_ERROR_INVALID_ARGUMENT, "hit");
    imgsim_result_free(result);
    CHECK_EQUAL(imgsim_result_get_count(NULL), 0);
}

static void older_and_newer_callers_get_what_they_know(void)
{
    struct {
        imgsim_hit hit;
        uint64_t later;
    } newer = {.later = 7};
    imgsim_hit older;
    imgsim_query *query = new_query();
    imgsim_result *result;

    CHECK_OK(imgsim_query_add_id(query, 35, 1));
    CHECK_OK(imgsim_query_search(query, &result));
    newer.hit.struct_size = sizeof(newer);
    CHECK_OK(imgsim_result_get_hit(result, 0, &newer.hit));
    CHECK_EQUAL(newer.hit.id, 45);
    CHECK_EQUAL(newer.later, 0);

    memset(&older, 0x5a, sizeof(older));
    older.struct_size = offsetof(imgsim_hit, uuid);
    CHECK_OK(imgsim_result_get_hit(result, 0, &older));
    CHECK_EQUAL(older.id, 45);
    CHECK(older.width == 0x5a5a5a5a); /* beyond what the caller knows: untouched */
    imgsim_result_free(result);
    imgsim_query_free(query);
}

int main(void)
{
    bed_open(&bed);
    settings_out_of_range_are_refused();
    images_are_checked();
    rows_that_cancel_out_are_refused();
    channels_are_checked();
    channels_can_be_named_by_text();
    wrong_texts_are_refused();
    default_channels_follow_the_catalog();
    a_query_of_rows_is_compared_by_their_features();
    failing_callbacks_end_the_search();
    images_without_row_are_named();
    the_hosts_extractor_is_asked_for_and_used();
    results_outlive_query_and_catalog();
    older_and_newer_callers_get_what_they_know();
    bed_close(&bed);
    return 0;
}
