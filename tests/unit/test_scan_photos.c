/* SPDX-License-Identifier: Apache-2.0 */
/* Scans of real photos, and of files made to break decoders: they end, and every file is in exactly one state. */
#include "scan_bed.h"

static void scan_folder(struct bed *bed, const char *folder)
{
    const imgsim_scan_report *report = &bed->report;
    const char *paths[1] = {folder};
    uint64_t counts[IMGSIM_FILE_STATE_COUNT], sum = 0;

    memset(&bed->report, 0, sizeof(bed->report));
    bed->report.struct_size = sizeof(bed->report);
    CHECK_OK(imgsim_scan(bed->catalog, paths, 1, &bed->options, &bed->report));
    CHECK_EQUAL(
        report->unchanged + report->added + report->refreshed + report->moved + report->skipped +
            report->failed,
        report->seen);
    bed_count(bed, counts);
    for (int i = 0; i < IMGSIM_FILE_STATE_COUNT; i++)
        sum += counts[i];
    CHECK_EQUAL(sum, report->seen);
}

static void photos_are_all_taken(const char *data)
{
    imgsim_features *features;
    struct bed bed;
    char folder[4200];

    bed_open(&bed);
    snprintf(folder, sizeof(folder), "%s/images/photos-100", data);
    scan_folder(&bed, folder);
    CHECK(bed.report.added >= 100);
    CHECK_EQUAL(bed.report.failed, 0);
    CHECK_OK(imgsim_catalog_open_features(bed.catalog, "hash", &features));
    for (int64_t id = 0; id < 100; id++)
        CHECK(imgsim_features_has_row(features, id));
    imgsim_features_free(features);
    scan_folder(&bed, folder);
    CHECK_EQUAL(bed.report.unchanged, bed.report.seen);
    CHECK_EQUAL(bed.report.bytes, 0);
    bed_close(&bed);
}

static void hostile_files_are_survived(const char *data)
{
    struct bed bed;
    char folder[4200];

    bed_open(&bed);
    snprintf(folder, sizeof(folder), "%s/hostile", data);
    scan_folder(&bed, folder);
    printf(
        "hostile: %llu seen, %llu images, %llu skipped, %llu failed\n",
        (unsigned long long)bed.report.seen, (unsigned long long)bed.report.added,
        (unsigned long long)bed.report.skipped, (unsigned long long)bed.report.failed);
    CHECK(bed.report.added > 100);
    CHECK(bed.report.failed > 10);
    CHECK_OK(imgsim_catalog_verify(bed.catalog, NULL, NULL));
    bed_close(&bed);
}

int main(void)
{
    const char *data = check_data_folder();

    if (data == NULL)
        check_skip("no folder of test data");
    photos_are_all_taken(data);
    hostile_files_are_survived(data);
    return 0;
}
