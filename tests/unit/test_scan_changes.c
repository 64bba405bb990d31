/* SPDX-License-Identifier: Apache-2.0 */
/* A second scan does only what is new: unchanged, touched, changed, moved, vanished and returned files keep what is theirs. */
#include "scan_bed.h"

static void unchanged_files_are_not_opened(void)
{
    struct bed bed;

    bed_open(&bed);
    bed_folder(&bed, "sub");
    bed_image(&bed, "a.png", 1, "png");
    bed_image(&bed, "sub/b.jpg", 2, "jpeg");
    bed_write(&bed, "notes.txt", "hello", 5);
    bed_write(&bed, "empty.jpg", "", 0);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 2);
    CHECK(bed.report.bytes > 0);
    for (int i = 0; i < 3; i++) {
        bed_scan(&bed);
        CHECK_EQUAL(bed.report.unchanged, 4);
        CHECK_EQUAL(bed.report.bytes, 0);
    }
    /* On request they are read, and found to be the same. */
    bed.options.recheck = 1;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.unchanged, 2);
    CHECK_EQUAL(bed.report.skipped + bed.report.failed, 2);
    CHECK(bed.report.bytes > 0);
    CHECK_EQUAL(imgsim_catalog_get_id_count(bed.catalog), 2);
    bed_close(&bed);
}

static void a_touched_file_keeps_its_id(void)
{
    struct bed_file before, after;
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "a.png", 1, "png");
    bed_scan(&bed);
    before = bed_get(&bed, "a.png");
    bed_touch(&bed, "a.png", 5000);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.unchanged, 1);
    CHECK(bed.report.bytes > 0);
    after = bed_get(&bed, "a.png");
    CHECK_EQUAL(after.id, before.id);
    CHECK_TEXT(after.uuid, before.uuid);
    CHECK_TEXT(after.format, "png");
    CHECK_EQUAL(after.width, before.width);
    CHECK(bed_has_row(&bed, "color", after.id));
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.bytes, 0);
    bed_close(&bed);
}

static void a_changed_file_gets_a_new_id_and_keeps_its_uuid(void)
{
    uint64_t counts[IMGSIM_FILE_STATE_COUNT];
    struct bed_file before, after;
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "a.png", 1, "png");
    bed_image(&bed, "b.png", 2, "png");
    bed_scan(&bed);
    before = bed_get(&bed, "a.png");
    CHECK_OK(imgsim_catalog_add_label(bed.catalog, before.id, "kept"));
    bed_image(&bed, "a.png", 10, "png");
    bed_touch(&bed, "a.png", 6000);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.refreshed, 1);
    after = bed_get(&bed, "a.png");
    CHECK_EQUAL(after.id, 2);
    CHECK_TEXT(after.uuid, before.uuid);
    CHECK(strcmp(after.hash, before.hash) != 0);
    CHECK(bed_has_row(&bed, "color", after.id));
    CHECK(!bed_has_row(&bed, "color", before.id));
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), 2);

    /* Now it breaks, and is mended again: the UUID goes with the path all the time. */
    bed_write(&bed, "a.png", "\x89PNG\r\n\x1a\n broken", 15);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.failed, 1);
    CHECK_EQUAL(bed_get(&bed, "a.png").id, -1);
    bed_count(&bed, counts);
    CHECK_EQUAL(counts[IMGSIM_FILE_OK], 1);
    CHECK_EQUAL(counts[IMGSIM_FILE_FAILED], 1);
    bed_image(&bed, "a.png", 10, "png");
    bed_scan(&bed);
    CHECK_EQUAL(bed_get(&bed, "a.png").state, IMGSIM_FILE_OK);
    CHECK_TEXT(bed_get(&bed, "a.png").uuid, before.uuid);
    bed_close(&bed);
}

static void a_moved_file_is_not_decoded_and_stays_who_it_is(void)
{
    struct bed_file before, after;
    struct bed bed;

    bed_open(&bed);
    bed_folder(&bed, "old");
    bed_folder(&bed, "new");
    bed_image(&bed, "old/a.png", 1, "png");
    bed_image(&bed, "old/b.png", 2, "png");
    bed_scan(&bed);
    before = bed_get(&bed, "old/a.png");
    CHECK(rename(bed_path(&bed, "old/a.png"), bed_path(&bed, "new/c.png")) == 0);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.moved, 1);
    CHECK_EQUAL(bed.report.added, 0);
    CHECK_EQUAL(bed.report.missing, 0);
    after = bed_get(&bed, "new/c.png");
    CHECK_EQUAL(after.id, before.id);
    CHECK_TEXT(after.uuid, before.uuid);
    CHECK_EQUAL(after.state, IMGSIM_FILE_OK);
    CHECK_EQUAL(imgsim_catalog_get_id_count(bed.catalog), 2);
    CHECK(bed_has_row(&bed, "hash", after.id));
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.unchanged, 2);
    bed_close(&bed);
}

/* One vanished, two appear: the first takes it over, the second is a new image; a copy beside the original is new as well. */
static void a_vanished_image_goes_to_one_file_only(void)
{
    struct bed_file before;
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "a.png", 1, "png");
    bed_scan(&bed);
    before = bed_get(&bed, "a.png");
    CHECK(rename(bed_path(&bed, "a.png"), bed_path(&bed, "b.png")) == 0);
    bed_image(&bed, "c.png", 1, "png");
    bed_image(&bed, "d.png", 1, "png");
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.moved, 1);
    CHECK_EQUAL(bed.report.added, 2);
    CHECK_TEXT(bed_get(&bed, "b.png").uuid, before.uuid);
    CHECK_EQUAL(bed_get(&bed, "c.png").id, 1);
    CHECK_EQUAL(bed_get(&bed, "d.png").id, 2);
    CHECK(bed_has_row(&bed, "color", 2));
    bed_image(&bed, "e.png", 1, "png");
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 1);
    CHECK_EQUAL(bed.report.moved, 0);
    bed_close(&bed);
}

static void a_vanished_file_is_missing_and_comes_back_as_it_was(void)
{
    struct bed_file before, after;
    char away[700];
    struct bed bed;

    bed_open(&bed);
    snprintf(away, sizeof(away), "%s/away.png", bed.folder);
    bed_image(&bed, "a.png", 1, "png");
    bed_image(&bed, "b.png", 2, "png");
    bed_scan(&bed);
    before = bed_get(&bed, "a.png");
    CHECK(rename(bed_path(&bed, "a.png"), away) == 0);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.missing, 1);
    after = bed_get(&bed, "a.png");
    CHECK_EQUAL(after.state, IMGSIM_FILE_MISSING);
    CHECK_EQUAL(after.id, before.id);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), 1);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.missing, 0);

    CHECK(rename(away, bed_path(&bed, "a.png")) == 0);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.unchanged, 2);
    after = bed_get(&bed, "a.png");
    CHECK_EQUAL(after.state, IMGSIM_FILE_OK);
    CHECK_EQUAL(after.id, before.id);
    CHECK_TEXT(after.uuid, before.uuid);

    /* Missing for a while, then found elsewhere. */
    CHECK(rename(bed_path(&bed, "a.png"), away) == 0);
    bed_scan(&bed);
    CHECK(rename(away, bed_path(&bed, "z.png")) == 0);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.moved, 1);
    CHECK_TEXT(bed_get(&bed, "z.png").uuid, before.uuid);
    bed_close(&bed);
}

static void only_what_lies_below_the_given_paths_is_missing(void)
{
    struct bed bed;
    const char *paths[1];

    bed_open(&bed);
    bed_folder(&bed, "one");
    bed_folder(&bed, "one-b");
    bed_image(&bed, "one/a.png", 1, "png");
    bed_image(&bed, "one-b/b.png", 2, "png");
    bed_image(&bed, "c.png", 3, "png");
    bed_scan(&bed);
    CHECK(unlink(bed_path(&bed, "one/a.png")) == 0 && unlink(bed_path(&bed, "c.png")) == 0);
    CHECK(unlink(bed_path(&bed, "one-b/b.png")) == 0);
    paths[0] = bed_path(&bed, "one");
    CHECK_OK(imgsim_scan(bed.catalog, paths, 1, &bed.options, &bed.report));
    CHECK_EQUAL(bed.report.missing, 1);
    CHECK_EQUAL(bed_get(&bed, "one/a.png").state, IMGSIM_FILE_MISSING);
    CHECK_EQUAL(bed_get(&bed, "one-b/b.png").state, IMGSIM_FILE_OK);
    CHECK_EQUAL(bed_get(&bed, "c.png").state, IMGSIM_FILE_OK);
    bed_close(&bed);
}

/* A picture moved to a place outside of what was scanned before is found when that place is scanned alone. */
static void a_file_moved_between_scanned_folders_is_found(void)
{
    struct bed_file before;
    struct bed bed;
    const char *paths[1];

    bed_open(&bed);
    bed_folder(&bed, "one");
    bed_folder(&bed, "two");
    bed_image(&bed, "one/a.png", 1, "png");
    bed_scan(&bed);
    before = bed_get(&bed, "one/a.png");
    CHECK(rename(bed_path(&bed, "one/a.png"), bed_path(&bed, "two/a.png")) == 0);
    paths[0] = bed_path(&bed, "two");
    CHECK_OK(imgsim_scan(bed.catalog, paths, 1, &bed.options, &bed.report));
    CHECK_EQUAL(bed.report.moved, 1);
    CHECK_TEXT(bed_get(&bed, "two/a.png").uuid, before.uuid);
    bed_close(&bed);
}

static void a_file_whose_place_a_folder_takes_is_missing(void)
{
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "a", 1, "png");
    bed_scan(&bed);
    CHECK(unlink(bed_path(&bed, "a")) == 0);
    bed_folder(&bed, "a");
    bed_image(&bed, "a/b.png", 2, "png");
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.missing, 1);
    CHECK_EQUAL(bed.report.added, 1);
    CHECK_EQUAL(bed_get(&bed, "a").state, IMGSIM_FILE_MISSING);
    bed_close(&bed);
}

/* Files given directly are images like others, wherever they are. */
static void single_files_can_be_scanned(void)
{
    struct bed bed;
    char outside[700];
    const char *paths[2];
    imgsim_image *image = bed_picture(9, 50, 50);
    uint8_t *data;
    size_t size;
    FILE *file;

    bed_open(&bed);
    CHECK_OK(ims_image_encode(image, "png", 90, &data, &size));
    snprintf(outside, sizeof(outside), "%s/outside.png", bed.folder);
    CHECK((file = fopen(outside, "wb")) != NULL);
    CHECK(fwrite(data, 1, size, file) == size && fclose(file) == 0);
    bed_image(&bed, ".hidden.png", 1, "png");
    bed.report.struct_size = sizeof(bed.report);
    paths[0] = outside;
    paths[1] = bed_path(&bed, ".hidden.png");
    CHECK_OK(imgsim_scan(bed.catalog, paths, 2, &bed.options, &bed.report));
    CHECK_EQUAL(bed.report.added, 2);
    CHECK_OK(imgsim_scan(bed.catalog, paths, 2, &bed.options, &bed.report));
    CHECK_EQUAL(bed.report.unchanged, 2);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.missing, 0);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), 2);
    ims_free(data);
    imgsim_image_free(image);
    bed_close(&bed);
}

int main(void)
{
    unchanged_files_are_not_opened();
    a_touched_file_keeps_its_id();
    a_changed_file_gets_a_new_id_and_keeps_its_uuid();
    a_moved_file_is_not_decoded_and_stays_who_it_is();
    a_vanished_image_goes_to_one_file_only();
    a_vanished_file_is_missing_and_comes_back_as_it_was();
    only_what_lies_below_the_given_paths_is_missing();
    a_file_moved_between_scanned_folders_is_found();
    a_file_whose_place_a_folder_takes_is_missing();
    single_files_can_be_scanned();
    return 0;
}
