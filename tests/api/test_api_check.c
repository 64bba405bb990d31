/* SPDX-License-Identifier: Apache-2.0 */
/* A check sees the catalog, what was derived, the maps kept with it and the images' files; a repair leaves files alone. */
#include "public_bed.h"

#include <fcntl.h>

#define EACH 6u
#define IMAGES (BED_FAMILIES * EACH)
#define LINES_SIZE 20000

static struct public_bed bed;
static char inner_path[900];
static char lines[2][LINES_SIZE]; /* by what they are about */
static imgsim_check_report report;

static const char *inner(const char *name)
{
    snprintf(inner_path, sizeof(inner_path), "%s/%s", bed.catalog_path, name);
    return inner_path;
}

static void take_line(int32_t about, const char *line, void *user_data)
{
    CHECK(user_data == &report);
    CHECK(about == IMGSIM_CHECK_CATALOG || about == IMGSIM_CHECK_FILE);
    CHECK(line[0] != '\0' && strchr(line, '\n') == NULL);
    snprintf(lines[about] + strlen(lines[about]), LINES_SIZE - strlen(lines[about]), "%s\n", line);
}

static imgsim_status check(int32_t files)
{
    imgsim_check_options options;

    CHECK_OK(imgsim_check_options_init(&options, sizeof(options)));
    options.files = files;
    options.callback = take_line;
    options.user_data = &report;
    lines[0][0] = lines[1][0] = '\0';
    memset(&report, 0, sizeof(report));
    report.struct_size = sizeof(report);
    return imgsim_catalog_check(bed.catalog, &options, &report);
}

static void check_is_sound(void)
{
    CHECK_OK(check(IMGSIM_CHECK_FILES_CONTENT));
    CHECK_TEXT(lines[0], "");
    CHECK_TEXT(lines[1], "");
    CHECK_EQUAL(report.problems, 0);
    CHECK_EQUAL(report.rows, 5 * IMAGES); /* color, hash, embedding, its projection, thumbnails */
    CHECK_EQUAL(report.rows_unknown, 0);
    CHECK_EQUAL(report.rows_damaged, 0);
    CHECK_EQUAL(report.files, IMAGES);
    CHECK_EQUAL(
        report.files_gone + report.files_changed + report.files_damaged + report.files_unreadable,
        0);
}

/* Other bytes in a file; the former ones go to `old`. */
static void exchange(const char *path, off_t at, const void *data, void *old, size_t size)
{
    int fd = open(path, O_RDWR);

    CHECK(fd >= 0 && pread(fd, old, size, at) == (ssize_t)size);
    CHECK(pwrite(fd, data, size, at) == (ssize_t)size && close(fd) == 0);
}

static uint64_t repair(void)
{
    imgsim_repair_report repaired = {.struct_size = sizeof(repaired)};

    imgsim_catalog_free(bed.catalog);
    CHECK_OK(imgsim_catalog_repair(bed.catalog_path, NULL, &repaired));
    bed.catalog = bed_open_catalog(bed.catalog_path, 0);
    CHECK_EQUAL(repaired.changes, repaired.derived_dropped);
    return repaired.derived_dropped;
}

/* ---- maps ---- */

static void make_map(void)
{
    imgsim_map_options options;
    imgsim_map *map = NULL;

    CHECK_OK(imgsim_map_options_init(&options, sizeof(options)));
    options.layout = IMGSIM_LAYOUT_UMAP;
    options.neighbours = 5;
    options.epochs = 3;
    CHECK_OK(imgsim_map_new_catalog(bed.catalog, "embedding", &options, &map));
    imgsim_map_free(map);
}

static void damaged_maps_are_found_and_removed(void)
{
    static const char *const names[] = {
        "maps/embedding.umap-2.ims", "maps/embedding.cosine.graph.ims"};

    for (size_t i = 0; i < 2; i++) {
        struct stat info;
        off_t step;

        make_map();
        check_is_sound();
        CHECK(stat(inner(names[i]), &info) == 0);
        step = info.st_size / 9 + 1;
        for (off_t at = 3; at < info.st_size; at += step) {
            uint8_t byte, other;

            exchange(inner(names[i]), at, "\x5a", &byte, 1);
            if (byte == 0x5a)
                continue;
            CHECK_FAILS(check(0), IMGSIM_ERROR_CORRUPT, "1 problems");
            CHECK(strncmp(lines[0], names[i], strlen(names[i])) == 0);
            exchange(inner(names[i]), at, &byte, &other, 1);
        }
        check_is_sound();
        CHECK(truncate(inner(names[i]), info.st_size - 1) == 0);
        CHECK_FAILS(check(0), IMGSIM_ERROR_CORRUPT, "");
        CHECK_EQUAL(repair(), 1);
        CHECK(access(inner(names[i]), F_OK) != 0);
        check_is_sound();
    }
}

static void maps_of_other_catalogs_are_found(void)
{
    char from[900], other_folder[700];
    imgsim_map *map = NULL;
    imgsim_map_options options;
    float rows[40];
    int64_t ids[20];

    make_map();
    /* Under the name of another map. */
    snprintf(from, sizeof(from), "%s", inner("maps/embedding.umap-2.ims"));
    CHECK(rename(from, inner("maps/embedding.umap-3.ims")) == 0);
    CHECK_FAILS(check(0), IMGSIM_ERROR_CORRUPT, "1 problems");
    CHECK(strstr(lines[0], "kept as embedding.umap-2.ims") != NULL);
    CHECK_EQUAL(repair(), 1);
    check_is_sound();

    /* Of images that were never given an id: the catalog in whose folder it lies is a smaller one. */
    make_map();
    snprintf(from, sizeof(from), "%s", inner("maps"));
    snprintf(other_folder, sizeof(other_folder), "%s/small", bed.folder);
    {
        struct public_bed whole = bed;

        snprintf(bed.catalog_path, sizeof(bed.catalog_path), "%s", other_folder);
        bed.catalog = bed_open_catalog(other_folder, 1);
        CHECK(rename(from, inner("maps")) == 0);
        CHECK_FAILS(check(0), IMGSIM_ERROR_CORRUPT, "2 problems");
        CHECK(strstr(lines[0], "point 0 is of image 0, of 0 in order") != NULL);
        CHECK(strstr(lines[0], "only 0 ids were given") != NULL);
        CHECK_EQUAL(repair(), 2);
        CHECK_OK(check(0));
        imgsim_catalog_free(bed.catalog);
        bed = whole;
    }

    /* A map of a feature that is gone is no problem, but a repair removes it. */
    for (int i = 0; i < 20; i++)
        ids[i] = i;
    for (int i = 0; i < 40; i++)
        rows[i] = (float)(i * 7 % 11);
    {
        imgsim_feature_definition definition = {
            .struct_size = sizeof(definition),
            .name = "mine",
            .fingerprint = "1",
            .dimension = 2,
            .row_type = IMGSIM_ROW_FLOAT32,
            .metric = IMGSIM_METRIC_L2};

        CHECK_OK(
            imgsim_catalog_put_features(bed.catalog, &definition, ids, 20, rows, sizeof(rows)));
    }
    CHECK_OK(imgsim_map_options_init(&options, sizeof(options)));
    options.layout = IMGSIM_LAYOUT_PCA;
    CHECK_OK(imgsim_map_new_catalog(bed.catalog, "mine", &options, &map));
    imgsim_map_free(map);
    CHECK_OK(imgsim_catalog_remove_features(bed.catalog, "mine"));
    CHECK(access(inner("maps/mine.pca-2.ims"), F_OK) == 0);
    check_is_sound();
    bed_write_file(inner("maps/notes.txt"), "mine", 4);
    CHECK_EQUAL(repair(), 1);
    CHECK(access(inner("maps/mine.pca-2.ims"), F_OK) != 0);
    CHECK(access(inner("maps/notes.txt"), F_OK) == 0);
    check_is_sound();
}

/* ---- the images' files ---- */

static void set_time(const char *path, struct timespec time)
{
    struct timespec times[2] = {time, time};

    CHECK(utimensat(AT_FDCWD, path, times, 0) == 0);
}

static void files_that_differ_are_told(void)
{
    char gone[800], longer[800], touched[800], rotten[800];
    struct stat info;
    uint8_t byte, old;

    snprintf(gone, sizeof(gone), "%s", bed_path(&bed, "family0/01.ppm"));
    snprintf(longer, sizeof(longer), "%s", bed_path(&bed, "family1/01.ppm"));
    snprintf(touched, sizeof(touched), "%s", bed_path(&bed, "family2/01.ppm"));
    snprintf(rotten, sizeof(rotten), "%s", bed_path(&bed, "family3/01.ppm"));
    CHECK(unlink(gone) == 0);
    CHECK(stat(longer, &info) == 0 && truncate(longer, info.st_size + 1) == 0);
    set_time(touched, (struct timespec){.tv_sec = 1000000000});
    CHECK(stat(rotten, &info) == 0);
    exchange(rotten, 500, "\x77", &byte, 1);
    if (byte == 0x77)
        exchange(rotten, 500, "\x78", &old, 1);
    set_time(rotten, info.st_mtim);

    CHECK_OK(check(IMGSIM_CHECK_FILES_NONE));
    CHECK_EQUAL(report.files, 0);
    CHECK_OK(check(IMGSIM_CHECK_FILES_TIMES));
    CHECK_EQUAL(report.files, IMAGES);
    CHECK_EQUAL(report.files_gone, 1);
    CHECK_EQUAL(report.files_changed, 2);
    CHECK_EQUAL(report.files_damaged, 0);
    CHECK(strstr(lines[1], "family0/01.ppm: is gone\n") != NULL);
    CHECK(strstr(lines[1], "family1/01.ppm: has changed since it was scanned\n") != NULL);
    CHECK(strstr(lines[1], "family2/01.ppm: has changed since it was scanned\n") != NULL);

    /* The content tells more: touched is no change, and a bit that turned around is one. */
    CHECK_OK(check(IMGSIM_CHECK_FILES_CONTENT));
    CHECK_EQUAL(report.files_gone, 1);
    CHECK_EQUAL(report.files_changed, 1);
    CHECK_EQUAL(report.files_damaged, 1);
    CHECK_EQUAL(report.files_unreadable, 0);
    CHECK(strstr(lines[1], "family2/01.ppm") == NULL);
    CHECK(strstr(lines[1], "family3/01.ppm: has other content than was scanned") != NULL);

    /* Nothing was changed by that, and a repair does not either. */
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), IMAGES);
    CHECK_EQUAL(repair(), 0);
    CHECK_OK(check(IMGSIM_CHECK_FILES_CONTENT));
    CHECK_EQUAL(report.files_gone + report.files_changed + report.files_damaged, 3);

    if (geteuid() != 0) {
        CHECK(chmod(touched, 0) == 0);
        CHECK_OK(check(IMGSIM_CHECK_FILES_CONTENT));
        CHECK_EQUAL(report.files_unreadable, 1);
        CHECK(chmod(touched, 0644) == 0);
    }
    /* A scan takes in what it can see: the rotten file looks unchanged. */
    (void)bed_scan(&bed);
    CHECK_OK(check(IMGSIM_CHECK_FILES_CONTENT));
    CHECK_EQUAL(report.files, IMAGES - 1);
    CHECK_EQUAL(report.files_gone + report.files_changed, 0);
    CHECK_EQUAL(report.files_damaged, 1);
}

static int32_t stop_at_once(const imgsim_progress *progress, void *user_data)
{
    CHECK_TEXT(progress->phase, "files");
    ++*(int *)user_data;
    return 1;
}

static void arguments_are_checked(void)
{
    imgsim_check_options options;
    imgsim_check_report small = {.struct_size = 4};
    int calls = 0;

    CHECK_FAILS(imgsim_catalog_check(NULL, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "catalog");
    CHECK_FAILS(
        imgsim_catalog_check(bed.catalog, NULL, &small), IMGSIM_ERROR_INVALID_ARGUMENT,
        "struct_size");
    CHECK_OK(imgsim_check_options_init(&options, sizeof(options)));
    options.files = 3;
    CHECK_FAILS(
        imgsim_catalog_check(bed.catalog, &options, NULL), IMGSIM_ERROR_UNSUPPORTED, "files is 3");
    options.files = IMGSIM_CHECK_FILES_TIMES;
    options.progress = stop_at_once;
    options.progress_data = &calls;
    CHECK_FAILS(imgsim_catalog_check(bed.catalog, &options, NULL), IMGSIM_ERROR_CANCELLED, "");
    CHECK_EQUAL(calls, 1);
    CHECK_OK(imgsim_catalog_check(bed.catalog, NULL, NULL));
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    bed_open(&bed, EACH);
    bed_derive(&bed, 4);
    check_is_sound();
    arguments_are_checked();
    damaged_maps_are_found_and_removed();
    maps_of_other_catalogs_are_found();
    files_that_differ_are_told();
    bed_close(&bed);
    return 0;
}
