/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running out of memory anywhere in a search ends it with an error, and nothing is lost or half-
 * made.
 */
#include "query_bed.h"

#include "core/memory.h"

static struct bed bed;

struct scenario {
    int32_t images;
    int32_t fusion;
    int32_t search;
    const char *by;
};

/* Everything from the query to its page. */
static imgsim_status run(const struct scenario *scenario)
{
    imgsim_status status;
    imgsim_query_options options;
    imgsim_query *query = NULL;
    imgsim_result *result = NULL;
    char path[800];

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.threads = 1;
    options.images = scenario->images;
    options.fusion = scenario->fusion;
    options.search = scenario->search;
    options.fuse = bed_smallest;
    options.candidates = 30;
    if ((status = imgsim_query_new(bed.catalog, &options, &query)) != IMGSIM_OK ||
        (status = imgsim_query_add_id(query, 35, 1)) != IMGSIM_OK ||
        (status = imgsim_query_add_id(query, 101, -0.5)) != IMGSIM_OK ||
        (status = imgsim_query_add_id(query, 7, 1)) != IMGSIM_OK ||
        (status = imgsim_query_add_channels(query, scenario->by, NULL)) != IMGSIM_OK ||
        (status = imgsim_query_filter_directory(query, "sea")) != IMGSIM_OK ||
        (status = imgsim_query_search(query, &result)) != IMGSIM_OK)
        goto done;
    CHECK_EQUAL(imgsim_result_get_count(result), 5);
    snprintf(path, sizeof(path), "%s/page.html", bed.folder);
    status = imgsim_result_write_html(result, query, path);

done:
    if (result == NULL)
        CHECK(status != IMGSIM_OK);
    imgsim_result_free(result);
    imgsim_query_free(query);
    return status;
}

/* Let the first allocation fail, then the second, and so on until all is well. */
static void fail_everywhere(const struct scenario *scenario)
{
    imgsim_status status = IMGSIM_ERROR_OUT_OF_MEMORY;
    uint64_t failures = 0;

    CHECK_OK(run(scenario));
    while (status != IMGSIM_OK) {
        CHECK(failures < 5000);
        ims_memory_fail_at(++failures);
        status = run(scenario);
        ims_memory_fail_at(0);
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_OUT_OF_MEMORY);
    }
    CHECK(failures > 20);
    CHECK_OK(run(scenario));
}

int main(void)
{
    static const struct scenario scenarios[] = {
        {IMGSIM_IMAGES_MEAN, IMGSIM_FUSE_SUM, IMGSIM_SEARCH_EXACT, "embedding"},
        {IMGSIM_IMAGES_MEAN, IMGSIM_FUSE_SUM, IMGSIM_SEARCH_AUTO, "fused"},
        {IMGSIM_IMAGES_RRF, IMGSIM_FUSE_RRF, IMGSIM_SEARCH_EXACT, "fused"},
        {IMGSIM_IMAGES_BEST, IMGSIM_FUSE_CALLBACK, IMGSIM_SEARCH_EXACT, "fused"},
        {IMGSIM_IMAGES_MEAN, IMGSIM_FUSE_SUM, IMGSIM_SEARCH_DOUBLE, "embedding,hash"},
    };

    bed_open(&bed);
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        fail_everywhere(&scenarios[i]);
    bed_close(&bed);
    return 0;
}
