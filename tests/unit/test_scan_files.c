/* SPDX-License-Identifier: Apache-2.0 */
/* Every file that a scan sees is in exactly one state, with the right reason, and images have all their features. */
#include "scan_bed.h"

#include <sys/resource.h>
#include <sys/wait.h>

static void write_broken_files(const struct bed *bed)
{
    imgsim_image *image = bed_picture(5, 300, 200);
    uint8_t *data = NULL;
    size_t size;

    bed_write(bed, "empty.jpg", "", 0);
    bed_write(bed, "notes.txt", "hello, world\n", 13);
    bed_write(bed, "fake.jpg", "this is no picture", 18);
    CHECK_OK(ims_image_encode(image, "jpeg", 90, &data, &size));
    bed_write(bed, "cut.jpg", data, size / 2);
    ims_free(data);
    data = NULL;
    CHECK_OK(ims_image_encode(image, "png", 90, &data, &size));
    bed_write(bed, "cut.png", data, size / 2);
    ims_free(data);
    imgsim_image_free(image);
    CHECK(mkfifo(bed_path(bed, "pipe.jpg"), 0666) == 0);
    CHECK(symlink("nowhere.jpg", bed_path(bed, "broken.jpg")) == 0);
}

static void each_file_has_its_state_and_reason(void)
{
    uint64_t counts[IMGSIM_FILE_STATE_COUNT];
    struct bed_file file;
    struct bed bed;

    bed_open(&bed);
    bed_folder(&bed, "sub");
    bed_image(&bed, "a.jpg", 1, "jpeg");
    bed_image(&bed, "sub/b.png", 2, "png");
    bed_image(&bed, "c.misnamed", 3, "pnm");
    write_broken_files(&bed);
    bed_scan(&bed);

    CHECK_EQUAL(bed.report.seen, 10);
    CHECK_EQUAL(bed.report.added, 3);
    CHECK_EQUAL(bed.report.failed, 4);
    CHECK_EQUAL(bed.report.skipped, 3);
    bed_count(&bed, counts);
    CHECK_EQUAL(counts[IMGSIM_FILE_OK], 3);
    CHECK_EQUAL(counts[IMGSIM_FILE_FAILED], 4);
    CHECK_EQUAL(counts[IMGSIM_FILE_SKIPPED], 3);

    bed_check_state(&bed, "empty.jpg", IMGSIM_FILE_FAILED, "empty");
    bed_check_state(&bed, "cut.jpg", IMGSIM_FILE_FAILED, "truncated");
    bed_check_state(&bed, "notes.txt", IMGSIM_FILE_SKIPPED, "not an image");
    bed_check_state(&bed, "fake.jpg", IMGSIM_FILE_SKIPPED, "not an image");
    bed_check_state(&bed, "pipe.jpg", IMGSIM_FILE_SKIPPED, "not a regular file");
    CHECK_EQUAL(bed_get(&bed, "cut.png").state, IMGSIM_FILE_FAILED);
    CHECK(strncmp(bed_get(&bed, "broken.jpg").reason, "broken link", 11) == 0);

    file = bed_get(&bed, "a.jpg");
    CHECK_EQUAL(file.state, IMGSIM_FILE_OK);
    CHECK_TEXT(file.format, "jpeg");
    CHECK_EQUAL(file.width, 61);
    CHECK_EQUAL(file.height, 48);
    CHECK_EQUAL(strlen(file.uuid), 36);
    CHECK_EQUAL(strlen(file.hash), 32);
    CHECK_TEXT(bed_get(&bed, "c.misnamed").format, "pnm");
    CHECK_EQUAL(bed_get(&bed, "cut.jpg").id, -1);
    bed_close(&bed);
}

/* The rows stored are those that the extractors give for the same image. */
static void rows_are_those_of_the_extractors(void)
{
    imgsim_extractor *color = NULL;
    imgsim_image *image = NULL;
    uint32_t expected[4096], stored[4096];
    uint64_t sum = 0;
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "a.png", 1, "png");
    bed_image(&bed, "b.png", 2, "png");
    bed_scan(&bed);
    CHECK_OK(imgsim_extractor_new_color(NULL, &color));
    CHECK_OK(imgsim_image_load_file(bed_path(&bed, "b.png"), NULL, &image));
    CHECK_OK(imgsim_extractor_extract(
        color, (const imgsim_image *const *)&image, 1, expected, sizeof(expected)));
    bed_row(&bed, "color", bed_get(&bed, "b.png").id, stored, sizeof(stored));
    CHECK(memcmp(expected, stored, sizeof(stored)) == 0);
    for (size_t i = 0; i < 4096; i++)
        sum += stored[i];
    CHECK_EQUAL(sum, 62 * 48);
    CHECK(bed_has_row(&bed, "hash", bed_get(&bed, "a.png").id));
    imgsim_image_free(image);
    imgsim_extractor_free(color);
    bed_close(&bed);
}

static void the_decoded_size_is_remembered(void)
{
    struct bed bed;
    char value[16];

    bed_open(&bed);
    bed_image(&bed, "a.png", 1, "png");
    bed_scan(&bed);
    CHECK_OK(imgsim_catalog_get_setting(bed.catalog, "scan.min_side", value, sizeof(value)));
    CHECK_TEXT(value, "256");
    bed.options.min_side = 0;
    bed_scan(&bed);
    CHECK_OK(imgsim_catalog_get_setting(bed.catalog, "scan.min_side", value, sizeof(value)));
    CHECK_TEXT(value, "256");
    bed_image(&bed, "b.png", 2, "png");
    bed_scan(&bed);
    CHECK_OK(imgsim_catalog_get_setting(bed.catalog, "scan.min_side", value, sizeof(value)));
    CHECK_TEXT(value, "0");
    bed_close(&bed);
}

static void equal_files_are_two_images(void)
{
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "a.png", 1, "png");
    bed_image(&bed, "b.png", 1, "png");
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 2);
    CHECK(bed_get(&bed, "a.png").id != bed_get(&bed, "b.png").id);
    CHECK(strcmp(bed_get(&bed, "a.png").uuid, bed_get(&bed, "b.png").uuid) != 0);
    CHECK_TEXT(bed_get(&bed, "a.png").hash, bed_get(&bed, "b.png").hash);
    bed_close(&bed);
}

static void limits_are_kept_and_a_wider_one_is_noticed(void)
{
    imgsim_image_options limits;
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "a.pnm", 1, "pnm");
    bed_image(&bed, "b.png", 1, "png");
    CHECK_OK(imgsim_image_options_init(&limits, sizeof(limits)));
    limits.max_bytes = 4000;
    limits.max_pixels = 1000;
    bed.options.image_options = &limits;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.skipped, 2);
    bed_check_state(&bed, "a.pnm", IMGSIM_FILE_SKIPPED, "too many bytes");
    bed_check_state(&bed, "b.png", IMGSIM_FILE_SKIPPED, "too many pixels");

    limits.max_bytes = 1000000;
    limits.max_pixels = 1000000;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 1);
    CHECK_EQUAL(bed.report.unchanged, 1);
    bed.options.recheck = 1;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 1);
    bed_check_state(&bed, "b.png", IMGSIM_FILE_OK, "");
    bed_close(&bed);
}

static void names_of_any_bytes_are_kept(void)
{
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "\xff\xfe line\nbreak 'quote\" \x01.png", 1, "png");
    bed_image(&bed, "%s%n.png", 2, "png");
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 2);
    CHECK_EQUAL(bed_get(&bed, "\xff\xfe line\nbreak 'quote\" \x01.png").state, IMGSIM_FILE_OK);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.unchanged, 2);
    bed_close(&bed);
}

/* What may not be read is failed, and is looked at again in the next scan. Root may read everything: the test gives that up. */
static void run_without_rights(void)
{
    struct bed bed;

    if (geteuid() == 0)
        CHECK(setegid(65534) == 0 && seteuid(65534) == 0);
    bed_open(&bed);
    bed_folder(&bed, "closed");
    bed_image(&bed, "closed/x.png", 3, "png");
    bed_image(&bed, "a.png", 1, "png");
    bed_image(&bed, "b.png", 2, "png");
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 3);

    CHECK(chmod(bed_path(&bed, "a.png"), 0) == 0 && chmod(bed_path(&bed, "closed"), 0) == 0);
    bed_touch(&bed, "a.png", 1000);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.failed, 2);
    CHECK_EQUAL(bed.report.missing, 0);
    bed_check_state(&bed, "a.png", IMGSIM_FILE_FAILED, "unreadable: Permission denied");
    bed_check_state(&bed, "closed", IMGSIM_FILE_FAILED, "unreadable folder: Permission denied");
    bed_check_state(&bed, "closed/x.png", IMGSIM_FILE_OK, "");
    CHECK_EQUAL(bed_get(&bed, "a.png").id, 0);

    CHECK(chmod(bed_path(&bed, "a.png"), 0666) == 0 && chmod(bed_path(&bed, "closed"), 0777) == 0);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.failed, 0);
    CHECK_EQUAL(bed.report.added + bed.report.refreshed, 0);
    bed_check_state(&bed, "a.png", IMGSIM_FILE_OK, "");
    CHECK_EQUAL(bed_get(&bed, "a.png").id, 0);
    CHECK_EQUAL(bed_records(&bed, "closed"), 0);
    bed_close(&bed);
    _exit(0);
}

static void what_may_not_be_read_is_failed_until_it_may(void)
{
    pid_t child = fork();
    int status;

    CHECK(child >= 0);
    if (child == 0)
        run_without_rights();
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void hidden_files_come_on_request(void)
{
    struct bed bed;

    bed_open(&bed);
    bed_folder(&bed, ".hidden");
    bed_image(&bed, ".hidden/a.png", 1, "png");
    bed_image(&bed, ".b.png", 2, "png");
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.seen, 2);
    CHECK_EQUAL(bed.report.skipped, 2);
    bed_check_state(&bed, ".b.png", IMGSIM_FILE_SKIPPED, "hidden");
    bed_check_state(&bed, ".hidden", IMGSIM_FILE_SKIPPED, "hidden folder");
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.unchanged, 2);
    bed.options.include_hidden = 1;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 2);
    /* The folder is no entry any more, and its record does not stay behind. */
    CHECK_EQUAL(bed.report.missing, 0);
    CHECK_EQUAL(bed_records(&bed, ".hidden"), 0);
    bed.options.include_hidden = 0;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.missing, 0);
    bed_check_state(&bed, ".b.png", IMGSIM_FILE_OK, "");
    bed_close(&bed);
}

static void wrong_arguments_are_refused(void)
{
    imgsim_extractor *color = NULL, *other = NULL;
    imgsim_color_options hsv;
    const imgsim_extractor *twice[2];
    const char *paths[1] = {"/nonexistent"};
    struct bed bed;

    bed_open(&bed);
    CHECK_FAILS(imgsim_scan(NULL, paths, 1, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "");
    CHECK_FAILS(imgsim_scan(bed.catalog, paths, 0, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "");
    CHECK_FAILS(
        imgsim_scan(bed.catalog, paths, 1, NULL, NULL), IMGSIM_ERROR_NOT_FOUND, "/nonexistent");
    bed.options.transaction_size = 0;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_INVALID_ARGUMENT, "transaction_size");
    bed.options.transaction_size = 500;

    CHECK_OK(imgsim_extractor_new_color(NULL, &color));
    CHECK_OK(imgsim_color_options_init(&hsv, sizeof(hsv)));
    hsv.space = IMGSIM_COLOR_HSV;
    CHECK_OK(imgsim_extractor_new_color(&hsv, &other));
    twice[0] = color;
    twice[1] = other;
    bed.options.extractors = twice;
    bed.options.extractor_count = 2;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_INVALID_ARGUMENT, "color");

    /* A feature of the same name with other settings is not mixed in. */
    bed.options.extractor_count = 1;
    bed_image(&bed, "a.png", 1, "png");
    bed_scan(&bed);
    bed.options.extractors = &twice[1];
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_INVALID_ARGUMENT, "color");
    CHECK_OK(imgsim_catalog_remove_features(bed.catalog, "color"));
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.refreshed, 1);
    imgsim_extractor_free(color);
    imgsim_extractor_free(other);
    bed_close(&bed);
}

int main(void)
{
    /* First, because it forks and libvips has threads of its own once it was used. */
    what_may_not_be_read_is_failed_until_it_may();
    each_file_has_its_state_and_reason();
    rows_are_those_of_the_extractors();
    the_decoded_size_is_remembered();
    equal_files_are_two_images();
    limits_are_kept_and_a_wider_one_is_noticed();
    names_of_any_bytes_are_kept();
    hidden_files_come_on_request();
    wrong_arguments_are_refused();
    return 0;
}
