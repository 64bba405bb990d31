/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns, file systems and sizes: what is left out has its reason, and an image that was left out comes back as it was. */
#include "scan_bed.h"

static void tell(struct bed *bed, const char *const *include, const char *const *exclude)
{
    size_t count = 0;

    while (include != NULL && include[count] != NULL)
        count++;
    bed->options.include = include;
    bed->options.include_count = count;
    for (count = 0; exclude != NULL && exclude[count] != NULL;)
        count++;
    bed->options.exclude = exclude;
    bed->options.exclude_count = count;
}

static void fill(struct bed *bed)
{
    bed_folder(bed, "holiday");
    bed_folder(bed, "holiday/cache");
    bed_folder(bed, "other");
    bed_image(bed, "a.png", 1, "png");
    bed_image(bed, "b.ppm", 2, "pnm");
    bed_image(bed, "holiday/c.png", 3, "png");
    bed_image(bed, "holiday/d.ppm", 4, "pnm");
    bed_image(bed, "holiday/cache/e.png", 5, "png");
    bed_image(bed, "other/f.png", 6, "png");
}

static void patterns_choose_files(void)
{
    struct bed bed;

    bed_open(&bed);
    fill(&bed);
    tell(
        &bed, (const char *const[]){"*.png", NULL},
        (const char *const[]){"cache/", "/other", NULL});
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 2);
    CHECK_EQUAL(bed.report.skipped, 4);
    bed_check_state(&bed, "a.png", IMGSIM_FILE_OK, "");
    bed_check_state(&bed, "holiday/c.png", IMGSIM_FILE_OK, "");
    bed_check_state(&bed, "b.ppm", IMGSIM_FILE_SKIPPED, "not included");
    bed_check_state(&bed, "holiday/d.ppm", IMGSIM_FILE_SKIPPED, "not included");
    bed_check_state(&bed, "holiday/cache", IMGSIM_FILE_SKIPPED, "excluded folder");
    bed_check_state(&bed, "other", IMGSIM_FILE_SKIPPED, "excluded folder");
    CHECK_EQUAL(bed_records(&bed, "other/f.png"), 0);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.unchanged, 6);
    CHECK_EQUAL(bed.report.missing, 0);

    /* Without the rules all is taken, and the folders' records do not stay behind. */
    tell(&bed, NULL, NULL);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 4);
    CHECK_EQUAL(bed.report.missing, 0);
    CHECK_EQUAL(bed_records(&bed, "other"), 0);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), 6);
    bed_close(&bed);
}

static void a_folder_that_is_included_is_taken_whole(void)
{
    struct bed bed;

    bed_open(&bed);
    fill(&bed);
    tell(&bed, (const char *const[]){"holiday/", NULL}, (const char *const[]){"e.*", NULL});
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 2);
    bed_check_state(&bed, "holiday/d.ppm", IMGSIM_FILE_OK, "");
    bed_check_state(&bed, "holiday/cache/e.png", IMGSIM_FILE_SKIPPED, "excluded");
    bed_check_state(&bed, "other/f.png", IMGSIM_FILE_SKIPPED, "not included");
    bed_close(&bed);
}

static void an_image_that_was_left_out_comes_back_as_it_was(void)
{
    struct bed_file before[3], after;
    const char *const names[3] = {"a.png", "holiday/c.png", "holiday/cache/e.png"};
    struct bed bed;

    bed_open(&bed);
    fill(&bed);
    bed_scan(&bed);
    for (int i = 0; i < 3; i++)
        before[i] = bed_get(&bed, names[i]);
    CHECK_OK(imgsim_catalog_add_label(bed.catalog, before[2].id, "dear"));

    tell(&bed, NULL, (const char *const[]){"holiday", "a.*", NULL});
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.missing, 0);
    /* a.png, the folder, and three known images below it. */
    CHECK_EQUAL(bed.report.skipped, 5);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), 2);
    for (int i = 0; i < 3; i++) {
        bed_check_state(&bed, names[i], IMGSIM_FILE_SKIPPED, "excluded");
        CHECK_EQUAL(bed_get(&bed, names[i]).id, before[i].id);
    }
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.skipped, 0);
    CHECK_EQUAL(bed.report.unchanged, bed.report.seen);

    tell(&bed, NULL, NULL);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added + bed.report.refreshed, 0);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), 6);
    for (int i = 0; i < 3; i++) {
        after = bed_get(&bed, names[i]);
        CHECK_EQUAL(after.state, IMGSIM_FILE_OK);
        CHECK_EQUAL(after.id, before[i].id);
        CHECK_TEXT(after.uuid, before[i].uuid);
        CHECK_TEXT(after.hash, before[i].hash);
    }
    CHECK_OK(imgsim_catalog_verify(bed.catalog, NULL, NULL));
    bed_close(&bed);
}

/* A picture that was left out and goes elsewhere is still that picture. */
static void an_image_that_was_left_out_can_move(void)
{
    struct bed_file before;
    struct bed bed;

    bed_open(&bed);
    fill(&bed);
    bed_scan(&bed);
    before = bed_get(&bed, "a.png");
    tell(&bed, NULL, (const char *const[]){"a.*", NULL});
    bed_scan(&bed);
    CHECK(rename(bed_path(&bed, "a.png"), bed_path(&bed, "z.png")) == 0);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.moved, 1);
    CHECK_TEXT(bed_get(&bed, "z.png").uuid, before.uuid);
    CHECK_EQUAL(bed_get(&bed, "z.png").id, before.id);
    bed_close(&bed);
}

static void small_files_are_left_out(void)
{
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "a.png", 1, "png");
    bed_write(&bed, "icon.png", "tiny", 4);
    bed_write(&bed, "void", "", 0);
    bed.options.min_bytes = 100;
    bed_scan(&bed);
    bed_check_state(&bed, "a.png", IMGSIM_FILE_OK, "");
    bed_check_state(&bed, "icon.png", IMGSIM_FILE_SKIPPED, "too few bytes");
    bed_check_state(&bed, "void", IMGSIM_FILE_SKIPPED, "too few bytes");
    bed.options.min_bytes = 0;
    bed_scan(&bed);
    bed_check_state(&bed, "icon.png", IMGSIM_FILE_SKIPPED, "not an image");
    bed_check_state(&bed, "void", IMGSIM_FILE_FAILED, "empty");
    bed_close(&bed);
}

/* A mount takes a privilege; a link into another file system does not. */
static void other_file_systems_are_left_out(void)
{
    char outside[64] = "/dev/shm/imgsim-test-XXXXXX", picture[96];
    struct stat there, here;
    struct bed bed;

    bed_open(&bed);
    if (mkdtemp(outside) == NULL) {
        printf("not tested: other file systems, as /dev/shm cannot be written to\n");
        bed_close(&bed);
        return;
    }
    snprintf(picture, sizeof(picture), "%s/p.png", outside);
    CHECK(stat(outside, &there) == 0 && stat(bed.photos, &here) == 0);
    bed_image(&bed, "p.png", 1, "png");
    CHECK(symlink(picture, bed_path(&bed, "file")) == 0);
    CHECK(symlink(outside, bed_path(&bed, "folder")) == 0);
    CHECK(close(open(picture, O_CREAT | O_WRONLY, 0666)) == 0);
    bed.options.follow_links = 1;
    bed.options.one_file_system = 1;
    bed_scan(&bed);
    if (there.st_dev != here.st_dev) {
        bed_check_state(&bed, "file", IMGSIM_FILE_SKIPPED, "other file system");
        bed_check_state(&bed, "folder", IMGSIM_FILE_SKIPPED, "other file system");
    }
    bed.options.one_file_system = 0;
    bed_scan(&bed);
    bed_check_state(&bed, "file", IMGSIM_FILE_FAILED, "empty");
    bed_check_state(&bed, "folder/p.png", IMGSIM_FILE_FAILED, "empty");
    CHECK_EQUAL(bed_records(&bed, "folder"), 0);
    CHECK(unlink(picture) == 0 && rmdir(outside) == 0);
    bed_close(&bed);
}

static void wrong_patterns_end_the_scan_before_it_begins(void)
{
    struct bed bed;

    bed_open(&bed);
    tell(&bed, (const char *const[]){"a", "[b", NULL}, NULL);
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_INVALID_ARGUMENT, "include: pattern \"[b\"");
    bed.options.include = NULL;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    tell(&bed, NULL, (const char *const[]){"", NULL});
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_INVALID_ARGUMENT, "exclude");
    bed_close(&bed);
}

/* 60 folders of 200 bytes each; the picture at the bottom is read, hashed and decoded like any other. */
static void files_beyond_the_longest_path_are_read(void)
{
    struct bed_file file = {.id = -2};
    struct bed bed;
    char name[201], *path;
    struct bed_search search = {NULL, &file};
    size_t length = 0;
    int here;

    bed_open(&bed);
    bed_image(&bed, "a.png", 1, "png");
    memset(name, 'n', 200);
    name[200] = '\0';
    CHECK((path = malloc(60 * 201 + 1000)) != NULL);
    length = (size_t)sprintf(path, "%s", bed.photos);
    CHECK((here = open(".", O_RDONLY)) >= 0 && chdir(bed.photos) == 0);
    for (int i = 0; i < 60; i++) {
        CHECK(mkdir(name, 0777) == 0);
        length += (size_t)sprintf(path + length, "/%s", name);
        if (i < 59)
            CHECK(chdir(name) == 0);
    }
    CHECK(link(bed_path(&bed, "a.png"), "b") == 0 && chdir(name) == 0 && rename("../b", "b") == 0);
    sprintf(path + length, "/b");
    CHECK(fchdir(here) == 0);

    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 2);
    search.path = path;
    CHECK_OK(imgsim_catalog_visit_files(bed.catalog, -1, bed_match, &search));
    CHECK_EQUAL(file.found, 1);
    CHECK_EQUAL(file.state, IMGSIM_FILE_OK);
    CHECK_TEXT(file.hash, bed_get(&bed, "a.png").hash);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.unchanged, 2);

    CHECK(chdir(bed.photos) == 0);
    for (int i = 0; i < 60; i++)
        CHECK(chdir(name) == 0);
    CHECK(unlink("b") == 0);
    for (int i = 0; i < 60; i++)
        CHECK(chdir("..") == 0 && rmdir(name) == 0);
    CHECK(fchdir(here) == 0 && close(here) == 0);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.missing, 1);
    free(path);
    bed_close(&bed);
}

int main(void)
{
    patterns_choose_files();
    a_folder_that_is_included_is_taken_whole();
    an_image_that_was_left_out_comes_back_as_it_was();
    an_image_that_was_left_out_can_move();
    small_files_are_left_out();
    other_file_systems_are_left_out();
    wrong_patterns_end_the_scan_before_it_begins();
    files_beyond_the_longest_path_are_read();
    return 0;
}
