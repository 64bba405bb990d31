/* SPDX-License-Identifier: Apache-2.0 */
/* A collection written by each release is copied, opened, searched, scanned again and added to. */
#include "formats/release_bed.h"

#include <fcntl.h>

static struct public_bed bed;
static char copied_from[1000];

static int copy_entry(const char *path, const struct stat *info, int flag, struct FTW *position)
{
    char target[2000];
    struct timespec times[2] = {info->st_atim, info->st_mtim};

    (void)position;
    snprintf(target, sizeof(target), "%s%s", bed.photos, path + strlen(copied_from));
    if (flag == FTW_D) {
        CHECK(mkdir(target, 0777) == 0 || strcmp(target, bed.photos) == 0);
    } else {
        char *data = malloc((size_t)info->st_size + 1);
        FILE *file = fopen(path, "rb");

        CHECK(data != NULL && file != NULL);
        CHECK(fread(data, 1, (size_t)info->st_size, file) == (size_t)info->st_size);
        fclose(file);
        bed_write_file(target, data, (size_t)info->st_size);
        free(data);
        CHECK(utimensat(AT_FDCWD, target, times, 0) == 0);
    }
    return 0;
}

static void copy_collection(const char *version)
{
    snprintf(
        copied_from, sizeof(copied_from), "%s/tests/data/%s/collection", IMGSIM_SOURCE_DIR,
        version);
    CHECK(nftw(copied_from, copy_entry, 16, FTW_PHYS) == 0);
    bed.catalog = bed_open_catalog(bed.catalog_path, 0);
}

static void its_files_and_words_are_there(void)
{
    uint64_t counts[IMGSIM_FILE_STATE_COUNT];
    char value[64];

    bed_verify(bed.catalog);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), RELEASE_IMAGES);
    CHECK_OK(imgsim_catalog_count_states(bed.catalog, counts));
    CHECK_EQUAL(counts[IMGSIM_FILE_OK], RELEASE_IMAGES);
    CHECK_EQUAL(counts[IMGSIM_FILE_FAILED], 1);
    CHECK_EQUAL(counts[IMGSIM_FILE_SKIPPED], 1);
    CHECK_OK(imgsim_catalog_get_setting(bed.catalog, "release", value, sizeof(value)));
    CHECK_TEXT(value, RELEASE_NOTE);
}

/* The host's rows bit by bit, and the library's own against what is extracted today. */
static void its_rows_are_those_of_today(void)
{
    static uint8_t row[4096 * sizeof(uint32_t)], today[4096 * sizeof(uint32_t)];

    for (int i = 0; i < 3; i++) {
        const imgsim_extractor *extractor = bed.extractors[i];
        size_t size = imgsim_extractor_get_row_size(extractor);
        imgsim_features *features = NULL;

        CHECK_OK(imgsim_catalog_open_features(
            bed.catalog, imgsim_extractor_get_name(extractor), &features));
        for (unsigned n = 0; n < RELEASE_IMAGES; n++) {
            unsigned number = n % RELEASE_EACH;
            imgsim_image *image = bed_image(n / RELEASE_EACH, number);
            char name[64];
            int64_t id;

            snprintf(
                name, sizeof(name), "family%u/%02u.%s", n / RELEASE_EACH, number,
                number % 2 == 0 ? "png" : "ppm");
            id = bed_find(&bed, bed.catalog, name);
            CHECK_OK(imgsim_features_read(features, &id, 1, row, size));
            CHECK_OK(imgsim_extractor_extract(
                extractor, (const imgsim_image *const *)&image, 1, today, size));
            CHECK(memcmp(row, today, size) == 0);
            imgsim_image_free(image);
        }
        imgsim_features_free(features);
    }
}

/* The best hit for picture 0 of each family is another of the family, by every way of searching. */
static void it_answers(void)
{
    static const char *const ways[] = {"embedding", "fused", "blend", "color=0.7,hash=0.3"};
    imgsim_query_options options;
    imgsim_query *query = NULL;
    imgsim_result *result = NULL;

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    for (unsigned i = 0; i < BED_FAMILIES * 4; i++) {
        char name[64], wanted[64];

        snprintf(name, sizeof(name), "family%u/00.png", i / 4);
        snprintf(wanted, sizeof(wanted), "/family%u/", i / 4);
        options.search = i % 2 == 0 ? IMGSIM_SEARCH_EXACT : IMGSIM_SEARCH_AUTO;
        CHECK_OK(imgsim_query_new(bed.catalog, &options, &query));
        CHECK_OK(imgsim_query_add_channels(query, ways[i % 4], NULL));
        CHECK_OK(imgsim_query_add_id(query, bed_find(&bed, bed.catalog, name), 1));
        CHECK_OK(imgsim_query_search(query, &result));
        if (strstr(bed_hit(result, 0).path, wanted) == NULL)
            fprintf(stderr, "%s by %s: %s\n", name, ways[i % 4], bed_hit(result, 0).path);
        CHECK(strstr(bed_hit(result, 0).path, wanted) != NULL);
        imgsim_result_free(result);
        imgsim_query_free(query);
    }

    CHECK_OK(imgsim_query_new(bed.catalog, NULL, &query));
    CHECK_OK(imgsim_query_add_id(query, 1, 1));
    CHECK_OK(imgsim_query_filter_label(query, "gr\xc3\xbcn"));
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_EQUAL(imgsim_result_get_count(result), 1);
    CHECK_EQUAL(bed_hit(result, 0).id, 2);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

/* The same files keep ids; a new one is projected with the stored projector. */
static void it_is_updated(void)
{
    int64_t before = bed_find(&bed, bed.catalog, "family3/01.ppm");
    imgsim_features *features = NULL;
    imgsim_scan_report report;
    size_t changes = 0;

    bed_write_picture(&bed, 3, 20);
    report = bed_scan(&bed);
    CHECK_EQUAL(report.seen, RELEASE_IMAGES + 3);
    CHECK_EQUAL(report.added, 1);
    /* Thumbnails are new: releases before them left every image without. */
    CHECK_EQUAL(report.refreshed, RELEASE_IMAGES);
    CHECK_EQUAL(report.missing, 0);
    CHECK_OK(imgsim_derive_refresh(bed.catalog, &changes));
    CHECK(changes > 0);
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
    CHECK_EQUAL(bed_find(&bed, bed.catalog, "family3/01.ppm"), before);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), RELEASE_IMAGES + 1);
    CHECK_OK(imgsim_catalog_open_features(bed.catalog, "embedding-pca4", &features));
    CHECK_EQUAL(
        imgsim_features_has_row(features, bed_find(&bed, bed.catalog, "family3/20.png")), 1);
    imgsim_features_free(features);
    CHECK_OK(imgsim_catalog_add_label(bed.catalog, before, "today"));
    bed_derive(&bed, RELEASE_PCA);
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
    bed_verify(bed.catalog);
    it_answers();
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    bed_begin(&bed);
    copy_collection("0.1");
    its_files_and_words_are_there();
    its_rows_are_those_of_today();
    it_answers();
    it_is_updated();
    bed_close(&bed);
    return 0;
}
