/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whichever allocation fails in a scan, a projection, an index or a search: the call says so, and what was there before stays.
 */
#include "faults/fault_bed.h"
#include "faults/fault_steps.h"

#define EACH 3u
#define IMAGES (BED_FAMILIES * EACH)

static struct public_bed bed;
static float expected[IMAGES][BED_VALUES];

/* ---- scan ---- */

static imgsim_status scan_once(void)
{
    imgsim_catalog_options options;
    imgsim_scan_report report;
    imgsim_status status;

    CHECK_OK(imgsim_catalog_options_init(&options, sizeof(options)));
    options.create = 1;
    if ((status = imgsim_catalog_open(bed.catalog_path, &options, &bed.catalog)) == IMGSIM_OK)
        status = bed_try_scan(&bed, 1, &report);
    return status;
}

static void scan_again(void)
{
    bed_scan(&bed);
}

/* Want of memory is no fault of a file: the next scan, with memory, has every image. */
static void check_scan(imgsim_status status)
{
    (void)status;
    fault_check_again(&bed, EACH, expected, scan_again);
}

/* ---- derive ---- */

static imgsim_status derive_once(void)
{
    imgsim_projection_options projection;
    imgsim_index_options index;
    imgsim_status status;

    CHECK_OK(imgsim_projection_options_init(&projection, sizeof(projection)));
    CHECK_OK(imgsim_index_options_init(&index, sizeof(index)));
    projection.dimension = 4;
    index.kind = IMGSIM_INDEX_HNSW;
    index.metric = IMGSIM_METRIC_DEFAULT;
    index.threads = 1;
    if ((status = imgsim_derive_projection(bed.catalog, &projection, NULL)) == IMGSIM_OK &&
        (status = imgsim_derive_index(bed.catalog, NULL, &index, NULL)) == IMGSIM_OK)
        status = imgsim_derive_refresh(bed.catalog, NULL);
    return status;
}

static void check_derived(imgsim_status status)
{
    imgsim_catalog *reader = bed_open_catalog(bed.catalog_path, 0);

    (void)status;
    bed_verify(reader);
    imgsim_catalog_free(reader);
    /* From the start again; a feature that is not there is fine. */
    status = imgsim_catalog_remove_features(bed.catalog, "embedding-pca4");
    CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_NOT_FOUND);
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
}

/* ---- search ---- */

static imgsim_status search_once(void)
{
    imgsim_query_options options;
    imgsim_query *query = NULL;
    imgsim_result *result = NULL;
    imgsim_status status;
    char path[800];

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.search = IMGSIM_SEARCH_CASCADE;
    options.threads = 1;
    snprintf(path, sizeof(path), "%s/sheet.jpg", bed.folder);
    if ((status = imgsim_query_new(bed.catalog, &options, &query)) != IMGSIM_OK ||
        (status = imgsim_query_set_extractor(query, "embedding", bed.extractors[2])) != IMGSIM_OK ||
        (status = imgsim_query_add_channels(query, "fused", NULL)) != IMGSIM_OK ||
        (status = imgsim_query_add_file(query, bed_path(&bed, "family1/01.ppm"), 1)) != IMGSIM_OK ||
        (status = imgsim_query_add_id(query, 2, -0.2)) != IMGSIM_OK ||
        (status = imgsim_query_filter_directory(query, bed.photos)) != IMGSIM_OK ||
        (status = imgsim_query_search(query, &result)) != IMGSIM_OK ||
        (status = imgsim_result_write_sheet(result, query, path)) != IMGSIM_OK)
        goto done;
    CHECK_EQUAL(imgsim_result_get_count(result), 5);

done:
    imgsim_result_free(result);
    imgsim_query_free(query);
    return status;
}

static void nothing_to_check(imgsim_status status)
{
    (void)status;
}

/* ---- checks and duplicates ---- */

static imgsim_status check_once(void)
{
    imgsim_check_options options;

    CHECK_OK(imgsim_check_options_init(&options, sizeof(options)));
    options.files = IMGSIM_CHECK_FILES_CONTENT;
    return imgsim_catalog_check(bed.catalog, &options, NULL);
}

static imgsim_status find_duplicates_once(void)
{
    imgsim_duplicates_options options;
    imgsim_duplicates *found = NULL;
    imgsim_status status;

    CHECK_OK(imgsim_duplicates_options_init(&options, sizeof(options)));
    options.near = 1;
    options.max_distance = 20;
    options.threads = 1;
    status = imgsim_derive_duplicates(bed.catalog, &options, &found);
    CHECK((found != NULL) == (status == IMGSIM_OK));
    imgsim_duplicates_free(found);
    return status;
}

int main(void)
{
    use_memory_folder();
    CHECK_OK(imgsim_set_blas_threads(1));
    bed_open(&bed, EACH);
    fault_read_rows(&bed, EACH, expected);
    bed_derive(&bed, 4);
    CHECK_OK(search_once());
    fail_each_allocation(search_once, nothing_to_check);
    fail_each_allocation(check_once, nothing_to_check);
    fail_each_allocation(find_duplicates_once, nothing_to_check);
    CHECK_OK(search_once());
    CHECK_OK(imgsim_catalog_remove_features(bed.catalog, "embedding-pca4"));
    fail_each_allocation(derive_once, check_derived);

    imgsim_catalog_free(bed.catalog);
    bed.catalog = NULL;
    bed_remove_folder(bed.catalog_path);
    fail_each_allocation(scan_once, check_scan);
    bed_close(&bed);
    return 0;
}
