/* SPDX-License-Identifier: Apache-2.0 */
/* Searching with stored indexes and real projections. */
#include "query_bed.h"

#include <imgsim/derive.h>

static struct bed bed;

static struct plain ask(void)
{
    struct plain plain = {.rrf_k = 60, .image_count = 1};

    plain.ids[0] = 35;
    plain.weights[0] = 1;
    plain.channels[0] = (struct plain_channel){BED_EMBEDDING, IMGSIM_METRIC_COSINE, 1, NULL};
    plain.channel_count = 1;
    return plain;
}

static void build_index(const char *feature, int32_t kind)
{
    imgsim_index_options options;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.kind = kind;
    options.metric = IMGSIM_METRIC_DEFAULT;
    options.threads = 1;
    CHECK_OK(imgsim_derive_index(bed.catalog, feature, &options, NULL));
}

static imgsim_result *search(int32_t mode, int32_t metric)
{
    struct plain plain = ask();
    imgsim_query *query;
    imgsim_result *result;

    plain.channels[0].metric = metric;
    bed_query(&bed, &plain, 5, 1, mode, &query);
    CHECK_OK(imgsim_query_search(query, &result));
    imgsim_query_free(query);
    return result;
}

static void check_answer(const imgsim_result *result, int32_t metric)
{
    struct plain plain = ask();
    static struct plain_answer answer;

    plain.channels[0].metric = metric;
    plain_search(&bed, &plain, &answer);
    bed_check(&plain, &answer, result, 5);
}

static void auto_takes_a_stored_index_that_fits(void)
{
    imgsim_result *result = search(IMGSIM_SEARCH_AUTO, IMGSIM_METRIC_COSINE);

    CHECK_EQUAL(imgsim_result_get_exact(result), 1); /* there is none yet */
    check_answer(result, IMGSIM_METRIC_COSINE);
    imgsim_result_free(result);

    build_index("embedding", IMGSIM_INDEX_HNSW);
    result = search(IMGSIM_SEARCH_AUTO, IMGSIM_METRIC_COSINE);
    CHECK_EQUAL(imgsim_result_get_exact(result), 0);
    check_answer(result, IMGSIM_METRIC_COSINE); /* so few images are found without fail */
    imgsim_result_free(result);

    result = search(IMGSIM_SEARCH_AUTO, IMGSIM_METRIC_L2); /* of another metric */
    CHECK_EQUAL(imgsim_result_get_exact(result), 1);
    check_answer(result, IMGSIM_METRIC_L2);
    imgsim_result_free(result);

    result = search(IMGSIM_SEARCH_EXACT, IMGSIM_METRIC_COSINE);
    CHECK_EQUAL(imgsim_result_get_exact(result), 1);
    check_answer(result, IMGSIM_METRIC_COSINE);
    imgsim_result_free(result);
}

static void make_projection(void)
{
    imgsim_projection_options options;

    CHECK_OK(imgsim_catalog_remove_features(bed.catalog, "small"));
    CHECK_OK(imgsim_projection_options_init(&options, sizeof(options)));
    options.dimension = 8;
    CHECK_OK(imgsim_derive_projection(bed.catalog, &options, NULL));
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
}

static void query_rows_are_projected_as_the_stored_ones(void)
{
    imgsim_query *by_id, *by_row;
    imgsim_result *first, *second;
    imgsim_query_options options;

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.exclude_queries = 0;
    CHECK_OK(imgsim_query_new(bed.catalog, &options, &by_id));
    CHECK_OK(imgsim_query_new(bed.catalog, &options, &by_row));
    CHECK_OK(imgsim_query_add_id(by_id, 35, 1));
    CHECK_OK(
        imgsim_query_add_row(by_row, "embedding", bed.embedding[35], sizeof(bed.embedding[35]), 1));
    CHECK_OK(imgsim_query_add_channels(by_id, "blend", NULL));
    CHECK_OK(imgsim_query_add_channels(by_row, "embedding=0.7,embedding-pca8=0.3", NULL));
    CHECK_OK(imgsim_query_search(by_id, &first));
    CHECK_OK(imgsim_query_search(by_row, &second));
    for (size_t i = 0; i < 5; i++) {
        imgsim_hit a = {.struct_size = sizeof(a)}, b = {.struct_size = sizeof(b)};
        imgsim_part part = {.struct_size = sizeof(part)};

        CHECK_OK(imgsim_result_get_hit(first, i, &a));
        CHECK_OK(imgsim_result_get_hit(second, i, &b));
        CHECK_EQUAL(a.id, b.id);
        CHECK_NEAR(a.score, b.score, 1e-6);
        CHECK_OK(imgsim_result_get_part(second, i, 1, &part));
        CHECK_TEXT(part.feature, "embedding-pca8");
    }
    imgsim_result_free(first);
    imgsim_result_free(second);
    imgsim_query_free(by_id);
    imgsim_query_free(by_row);
}

static void a_cascade_over_a_stored_index_finds_the_same(void)
{
    for (int32_t mode = IMGSIM_SEARCH_CASCADE; mode <= IMGSIM_SEARCH_DOUBLE; mode++) {
        struct plain plain = ask();
        static struct plain_answer answer;
        imgsim_query_options options;
        imgsim_query *query;
        imgsim_result *result;

        bed_query(&bed, &plain, 5, 1, mode, &query);
        CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
        options.search = mode;
        options.candidates = 100;
        options.failover_score = options.failover_spread = -1;
        CHECK_OK(imgsim_query_set_options(query, &options));
        CHECK_OK(imgsim_query_search(query, &result));
        CHECK_EQUAL(imgsim_result_get_exact(result), 0);
        CHECK_EQUAL(imgsim_result_get_failovers(result), 0);
        plain_search(&bed, &plain, &answer);
        bed_check(&plain, &answer, result, 5);
        imgsim_result_free(result);
        imgsim_query_free(query);
    }
}

int main(void)
{
    bed_open(&bed);
    auto_takes_a_stored_index_that_fits();
    make_projection();
    query_rows_are_projected_as_the_stored_ones();
    a_cascade_over_a_stored_index_finds_the_same();
    build_index("embedding-pca8", IMGSIM_INDEX_HNSW);
    a_cascade_over_a_stored_index_finds_the_same();
    bed_close(&bed);
    return 0;
}
