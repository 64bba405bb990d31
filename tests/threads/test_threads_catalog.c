/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads use one catalog handle, each with a query of its own, while others write labels, scan and refresh handles of
 * their own.
 */
#include "public_bed.h"
#include "threads/together.h"

#include <stdatomic.h>

#define EACH 8u
#define IMAGES (BED_FAMILIES * EACH)
#define READERS 4
#define ROUNDS 6

static struct public_bed bed;
static int64_t expected[IMAGES][3];
static atomic_int readers_left;

static int32_t count_file(const imgsim_file_info *file, void *user_data)
{
    CHECK(file->path[0] == '/');
    ++*(unsigned *)user_data;
    return 0;
}

static void search_for(int64_t id, int64_t hits[3])
{
    imgsim_query_options options;
    imgsim_query *query = NULL;
    imgsim_result *result = NULL;

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.k = 3;
    options.threads = 2;
    options.search = id % 2 == 0 ? IMGSIM_SEARCH_EXACT : IMGSIM_SEARCH_CASCADE;
    CHECK_OK(imgsim_query_new(bed.catalog, &options, &query));
    CHECK_OK(imgsim_query_add_channels(query, id % 3 == 0 ? "fused" : "embedding", NULL));
    CHECK_OK(imgsim_query_add_id(query, id, 1));
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_EQUAL(imgsim_result_get_count(result), 3);
    for (size_t i = 0; i < 3; i++)
        hits[i] = bed_hit(result, i).id;
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static void read_around(int thread)
{
    imgsim_features *features = NULL;
    static const char *const names[3] = {"color", "hash", "embedding"};
    static _Thread_local uint32_t row[4096];
    unsigned files = 0;
    int64_t id = thread;

    CHECK_OK(imgsim_catalog_visit_files(bed.catalog, IMGSIM_FILE_OK, count_file, &files));
    CHECK(files >= IMAGES);
    CHECK_OK(imgsim_catalog_open_features(bed.catalog, names[thread % 3], &features));
    CHECK_EQUAL(imgsim_features_get_row_count(features), IMAGES);
    CHECK_OK(imgsim_features_read(features, &id, 1, row, sizeof(row)));
    imgsim_features_free(features);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), IMAGES);
}

static void reader(int thread)
{
    for (int round = 0; round < ROUNDS; round++) {
        int64_t id = (thread * 7 + round * 5) % (int64_t)IMAGES, hits[3];

        search_for(id, hits);
        CHECK(memcmp(hits, expected[id], sizeof(hits)) == 0);
        read_around(thread);
    }
    atomic_fetch_sub(&readers_left, 1);
}

/* A handle of its own: labels come and go until the readers are done. */
static void writer(void)
{
    imgsim_catalog *own = bed_open_catalog(bed.catalog_path, 0);
    char label[32];

    for (int i = 0; i < 4 || atomic_load(&readers_left) > 0; i++) {
        imgsim_status status;

        snprintf(label, sizeof(label), "label %d", i % 5);
        status = imgsim_catalog_add_label(own, i % (int64_t)IMAGES, label);
        /* The scan beside may be writing. */
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_BUSY);
    }
    imgsim_catalog_free(own);
}

/* Another one: new pictures, scanned, and a refresh that sees them. */
static void scanner(void)
{
    struct public_bed own = bed;
    imgsim_scan_report report;
    unsigned number = EACH;

    own.catalog = bed_open_catalog(bed.catalog_path, 0);
    for (int i = 0; i < 3; i++) {
        imgsim_status status;

        bed_write_picture(&own, 0, number++);
        do {
            status = bed_try_scan(&own, 2, &report);
            CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_BUSY);
        } while (status != IMGSIM_OK);
        CHECK_OK(imgsim_catalog_refresh(own.catalog));
        CHECK_EQUAL(imgsim_catalog_get_image_count(own.catalog), IMAGES + (unsigned)i + 1);
    }
    imgsim_catalog_free(own.catalog);
}

static void work(int thread)
{
    if (thread < READERS)
        reader(thread);
    else if (thread == READERS)
        writer();
    else
        scanner();
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    bed_open(&bed, EACH);
    bed_derive(&bed, 8);
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
    for (int64_t id = 0; id < IMAGES; id++)
        search_for(id, expected[id]);
    atomic_store(&readers_left, READERS);
    run_together(READERS + 2, work);

    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), IMAGES + 3);
    bed_verify(bed.catalog);
    bed_close(&bed);
    return 0;
}
