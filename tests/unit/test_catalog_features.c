/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feature sets: sparse rows are exact, sets are added, replaced as a whole and removed, exports can
 * be read back.
 */
#include "catalog_fixture.h"

#include "core/file.h"
#include "core/npy.h"

#include <dirent.h>
#include <unistd.h>

static int32_t note_feature(const imgsim_feature_info *feature, void *user_data)
{
    char *list = user_data;

    snprintf(
        list + strlen(list), 256 - strlen(list), "%s:%llu ", feature->name,
        (unsigned long long)feature->image_count);
    return 0;
}

/* "name:images name:images " in order of making. */
static void check_features(const imgsim_catalog *catalog, const char *expected)
{
    char list[256] = "";

    CHECK_OK(imgsim_catalog_visit_features(catalog, note_feature, list));
    CHECK_TEXT(list, expected);
}

/* Files in features/ whose name begins with `prefix`. */
static int count_files(const imgsim_catalog *catalog, const char *prefix)
{
    char path[700];
    struct dirent *entry;
    int count = 0;
    DIR *folder;

    snprintf(path, sizeof(path), "%s/features", imgsim_catalog_get_path(catalog));
    CHECK((folder = opendir(path)) != NULL);
    while ((entry = readdir(folder)) != NULL)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(folder);
    return count;
}

static void sparse_rows_are_exact(const imgsim_catalog *catalog)
{
    static uint32_t expected[FIXTURE_BINS], got[FIXTURE_BINS];
    imgsim_features *color;
    const uint64_t *offsets;
    const uint32_t *lengths, *counts;
    const uint16_t *bins;
    uint64_t entries = 0;

    CHECK_OK(imgsim_catalog_open_features(catalog, "color", &color));
    CHECK(imgsim_features_get_rows(color) == NULL);
    CHECK_EQUAL(imgsim_features_get_row_type(color), IMGSIM_ROW_UINT32);
    CHECK_EQUAL(imgsim_features_get_metric(color), IMGSIM_METRIC_CHI_SQUARE);
    CHECK_OK(imgsim_features_get_sparse(color, &offsets, &lengths, &bins, &counts));
    for (int64_t id = 0; id < (int64_t)imgsim_features_get_row_count(color); id++) {
        fixture_histogram(id, expected);
        memset(got, 0, sizeof(got));
        for (uint32_t i = 0; i < lengths[id]; i++) {
            CHECK(counts[offsets[id] + i] > 0);
            got[bins[offsets[id] + i]] = counts[offsets[id] + i];
        }
        entries += lengths[id];
        CHECK(memcmp(got, expected, sizeof(got)) == 0);
    }
    CHECK(entries > 1000);
    imgsim_features_free(color);
}

static void refusals_say_what_is_wrong(imgsim_catalog *catalog)
{
    imgsim_feature_definition definition = fixture_definition("mine", IMGSIM_ROW_FLOAT32, 3, "a");
    float rows[6] = {1, 2, 3, 4, NAN, 6};
    int64_t ids[2] = {1, 2};
    imgsim_features *features;
    const uint64_t *offsets;
    const uint32_t *lengths, *counts;
    const uint16_t *bins;

    CHECK_FAILS(
        imgsim_catalog_put_features(catalog, &definition, ids, 2, rows, sizeof(rows)),
        IMGSIM_ERROR_INVALID_ARGUMENT, "id 2 has NaN in column 1");
    rows[4] = -INFINITY;
    CHECK_FAILS(
        imgsim_catalog_put_features(catalog, &definition, ids, 2, rows, sizeof(rows)),
        IMGSIM_ERROR_INVALID_ARGUMENT, "infinity");
    rows[4] = 5;
    CHECK_FAILS(
        imgsim_catalog_put_features(catalog, &definition, ids, 2, rows, sizeof(rows) - 4),
        IMGSIM_ERROR_INVALID_ARGUMENT, "rows_size");
    ids[1] = 100000;
    CHECK_FAILS(
        imgsim_catalog_put_features(catalog, &definition, ids, 2, rows, sizeof(rows)),
        IMGSIM_ERROR_INVALID_ARGUMENT, "100000");
    ids[1] = 2;
    definition.name = "Not Good";
    CHECK_FAILS(
        imgsim_catalog_put_features(catalog, &definition, ids, 2, rows, sizeof(rows)),
        IMGSIM_ERROR_INVALID_ARGUMENT, "Not Good");
    definition.name = "../up";
    CHECK_FAILS(
        imgsim_catalog_put_features(catalog, &definition, ids, 2, rows, sizeof(rows)),
        IMGSIM_ERROR_INVALID_ARGUMENT, "../up");
    definition.name = "mine";
    definition.row_type = IMGSIM_ROW_UINT32;
    CHECK_FAILS(
        imgsim_catalog_put_features(catalog, &definition, ids, 2, rows, sizeof(rows)),
        IMGSIM_ERROR_INVALID_ARGUMENT, "scan");
    definition.row_type = IMGSIM_ROW_BITS;
    CHECK_FAILS(
        imgsim_catalog_put_features(catalog, &definition, ids, 2, rows, sizeof(rows)),
        IMGSIM_ERROR_INVALID_ARGUMENT, "multiple of 8");
    definition.row_type = 9;
    CHECK_FAILS(
        imgsim_catalog_put_features(catalog, &definition, ids, 2, rows, sizeof(rows)),
        IMGSIM_ERROR_UNSUPPORTED, "row type");
    CHECK_FAILS(
        imgsim_catalog_open_features(catalog, "mine", &features), IMGSIM_ERROR_NOT_FOUND,
        "embedding, hash, color");
    CHECK(features == NULL);
    CHECK_FAILS(imgsim_catalog_remove_features(catalog, "mine"), IMGSIM_ERROR_NOT_FOUND, "mine");

    CHECK_OK(imgsim_catalog_open_features(catalog, "hash", &features));
    CHECK_FAILS(
        imgsim_features_get_sparse(features, &offsets, &lengths, &bins, &counts),
        IMGSIM_ERROR_UNSUPPORTED, "hash");
    ids[0] = -1;
    CHECK_FAILS(
        imgsim_features_read(features, ids, 1, rows, sizeof(rows)), IMGSIM_ERROR_NOT_FOUND, "-1");
    CHECK_FAILS(
        imgsim_features_read(features, ids, 2, rows, 15), IMGSIM_ERROR_INVALID_ARGUMENT,
        "out_size");
    imgsim_features_free(features);
}

static void own_sets_are_added_changed_replaced_and_removed(imgsim_catalog *catalog)
{
    imgsim_feature_definition definition = fixture_definition("mine", IMGSIM_ROW_FLOAT32, 2, "one");
    const float first[6] = {10, 11, 20, 21, 30, 31}, changed[2] = {-20, -21};
    const int64_t ids[3] = {7, 3, 8}, middle = 3;
    imgsim_features *old, *now;
    float row[3];

    definition.source = "embedding";
    CHECK_OK(imgsim_catalog_put_features(catalog, &definition, ids, 3, first, sizeof(first)));
    check_features(catalog, "embedding:40 hash:40 color:40 mine:3 ");
    CHECK_OK(imgsim_catalog_open_features(catalog, "mine", &old));
    CHECK_TEXT(ims_features_source(old), "embedding");
    CHECK_TEXT(ims_features_fingerprint(old), "one");
    CHECK_OK(imgsim_features_read(old, &middle, 1, row, sizeof(row)));
    CHECK(row[0] == 20 && row[1] == 21);
    CHECK(imgsim_features_has_row(old, 7) && !imgsim_features_has_row(old, 6));
    CHECK_EQUAL(count_files(catalog, "mine"), 1);

    /* A row changes: the old handle keeps reading what it had. */
    CHECK_OK(imgsim_catalog_put_features(catalog, &definition, &middle, 1, changed, 8));
    CHECK_OK(imgsim_features_read(old, &middle, 1, row, sizeof(row)));
    CHECK(row[0] == 20 && row[1] == 21);
    CHECK_OK(imgsim_catalog_open_features(catalog, "mine", &now));
    CHECK_OK(imgsim_features_read(now, &middle, 1, row, sizeof(row)));
    CHECK(row[0] == -20 && row[1] == -21);
    CHECK_OK(imgsim_features_read(now, ids, 1, row, sizeof(row)));
    CHECK(row[0] == 10 && row[1] == 11);
    imgsim_features_free(now);
    CHECK_EQUAL(count_files(catalog, "mine"), 1);

    /* The same rows again change nothing; new ids are added. */
    CHECK_OK(imgsim_catalog_put_features(catalog, &definition, &middle, 1, changed, 8));
    CHECK_OK(imgsim_catalog_put_features(catalog, &definition, &(int64_t){39}, 1, changed, 8));
    check_features(catalog, "embedding:40 hash:40 color:40 mine:4 ");

    /* Another fingerprint replaces the set as a whole. */
    definition.fingerprint = "two";
    definition.dimension = 3;
    CHECK_OK(imgsim_catalog_put_features(catalog, &definition, ids, 1, first, 12));
    check_features(catalog, "embedding:40 hash:40 color:40 mine:1 ");
    CHECK_OK(imgsim_catalog_open_features(catalog, "mine", &now));
    CHECK_EQUAL(imgsim_features_get_dimension(now), 3);
    CHECK_OK(imgsim_features_read(now, ids, 1, row, sizeof(row)));
    CHECK(row[0] == 10 && row[1] == 11 && row[2] == 20);
    CHECK(!imgsim_features_has_row(now, 3));
    CHECK_EQUAL(count_files(catalog, "mine"), 1);
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));

    CHECK_OK(imgsim_catalog_remove_features(catalog, "mine"));
    check_features(catalog, "embedding:40 hash:40 color:40 ");
    CHECK_EQUAL(count_files(catalog, "mine"), 0);
    CHECK_OK(imgsim_features_read(now, ids, 1, row, sizeof(row)));
    CHECK(row[0] == 10);
    imgsim_features_free(now);
    imgsim_features_free(old);

    /* Its number is free again, without the bits of its former owner. */
    definition.name = "other";
    CHECK_OK(imgsim_catalog_put_features(catalog, &definition, NULL, 0, NULL, 0));
    check_features(catalog, "embedding:40 hash:40 color:40 other:0 ");
    CHECK_OK(imgsim_catalog_remove_features(catalog, "other"));
}

static void a_scan_replaces_a_set_only_when_told(imgsim_catalog *catalog)
{
    imgsim_feature_definition definition =
        fixture_definition("color", IMGSIM_ROW_UINT32, FIXTURE_BINS, "h2");
    static uint32_t histogram[FIXTURE_BINS], expected[FIXTURE_BINS];
    struct ims_catalog_writer *writer;
    struct ims_file_record record;
    imgsim_features *old, *now;
    uint32_t number, again;
    int found;

    CHECK_OK(imgsim_catalog_open_features(catalog, "color", &old));
    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    CHECK_FAILS(
        ims_catalog_writer_feature(writer, &definition, 0, &number), IMGSIM_ERROR_INVALID_ARGUMENT,
        "color");
    CHECK_OK(ims_catalog_writer_feature(writer, &definition, 1, &number));
    CHECK_OK(ims_catalog_writer_feature(writer, &definition, 0, &again));
    CHECK_EQUAL(number, again);
    CHECK_OK(ims_catalog_writer_get_file(writer, "dir5/image5.jpg", &record, &found));
    CHECK(found && (record.features >> number & 1) == 0);
    fixture_histogram(1005, histogram);
    CHECK_OK(ims_catalog_writer_put_row(writer, number, 5, histogram));
    record.features |= UINT64_C(1) << number;
    CHECK_OK(ims_catalog_writer_put_file(writer, &record));
    CHECK_FAILS(
        ims_catalog_writer_put_row(writer, number, 5, histogram), IMGSIM_ERROR_INVALID_ARGUMENT,
        "already");
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);

    CHECK(imgsim_features_has_row(old, 6));
    CHECK_OK(imgsim_catalog_refresh(catalog));
    CHECK_OK(imgsim_catalog_open_features(catalog, "color", &now));
    CHECK(imgsim_features_has_row(now, 5) && !imgsim_features_has_row(now, 6));
    CHECK_OK(imgsim_features_read(now, &(int64_t){5}, 1, histogram, sizeof(histogram)));
    fixture_histogram(1005, expected);
    CHECK(memcmp(histogram, expected, sizeof(expected)) == 0);
    CHECK_EQUAL(count_files(catalog, "color"), 4);
    imgsim_features_free(now);
    imgsim_features_free(old);
    check_features(catalog, "embedding:40 hash:40 color:1 ");
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
}

static void rows_without_a_record_are_marked(imgsim_catalog *catalog)
{
    imgsim_feature_definition definition = fixture_definition("marked", IMGSIM_ROW_FLOAT32, 1, "m");
    struct ims_catalog_writer *writer;
    imgsim_features *features;
    uint32_t number;
    float row;

    CHECK_OK(ims_catalog_writer_open(catalog, "projection", &writer));
    CHECK_OK(ims_catalog_writer_feature(writer, &definition, 0, &number));
    CHECK_OK(ims_catalog_writer_put_row(writer, number, 11, &(float){3.5f}));
    CHECK_OK(ims_catalog_writer_mark_row(writer, number, 11));
    CHECK_FAILS(
        ims_catalog_writer_mark_row(writer, number, 4000), IMGSIM_ERROR_INVALID_ARGUMENT, "4000");
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(catalog));
    CHECK_OK(imgsim_catalog_open_features(catalog, "marked", &features));
    CHECK_OK(imgsim_features_read(features, &(int64_t){11}, 1, &row, sizeof(row)));
    CHECK(row == 3.5f && !imgsim_features_has_row(features, 10));
    imgsim_features_free(features);
    CHECK_OK(imgsim_catalog_remove_features(catalog, "marked"));
}

static void what_was_not_committed_leaves_nothing(imgsim_catalog *catalog)
{
    imgsim_feature_definition definition =
        fixture_definition("embedding", IMGSIM_ROW_FLOAT32, 8, "f2");
    struct ims_catalog_writer *writer;
    uint32_t number;
    int64_t id;

    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    CHECK_OK(ims_catalog_writer_new_id(writer, &id));
    CHECK_EQUAL(id, 40);
    CHECK_OK(ims_catalog_writer_feature(writer, &definition, 1, &number));
    CHECK_EQUAL(count_files(catalog, "embedding"), 2);
    ims_catalog_writer_close(writer);
    CHECK_EQUAL(count_files(catalog, "embedding"), 1);
    CHECK_OK(imgsim_catalog_refresh(catalog));
    CHECK_EQUAL(imgsim_catalog_get_id_count(catalog), 40);
    check_features(catalog, "embedding:40 hash:40 color:40 ");
}

static void a_catalog_has_62_sets_at_most(const char *folder)
{
    imgsim_feature_definition definition = fixture_definition("x", IMGSIM_ROW_BITS, 8, "");
    imgsim_catalog *catalog;
    char path[600], name[16];

    snprintf(path, sizeof(path), "%s/many", folder);
    catalog = fixture_open(path, 1);
    definition.name = name;
    for (int i = 0; i < 62; i++) {
        snprintf(name, sizeof(name), "set-%d", i);
        CHECK_OK(imgsim_catalog_put_features(catalog, &definition, NULL, 0, NULL, 0));
    }
    snprintf(name, sizeof(name), "set-62");
    CHECK_FAILS(
        imgsim_catalog_put_features(catalog, &definition, NULL, 0, NULL, 0), IMGSIM_ERROR_LIMIT,
        "62");
    CHECK_OK(imgsim_catalog_remove_features(catalog, "set-17"));
    CHECK_OK(imgsim_catalog_put_features(catalog, &definition, NULL, 0, NULL, 0));
    imgsim_catalog_free(catalog);
}

static void exported_matrices_are_read_back(const imgsim_catalog *catalog, const char *folder)
{
    static uint32_t expected[FIXTURE_BINS];
    struct ims_map rows = {0}, ids = {0};
    struct ims_npy npy;
    char path[600];

    snprintf(path, sizeof(path), "%s/color.npy", folder);
    CHECK_OK(imgsim_catalog_export_npy(catalog, "color", path));
    CHECK_OK(ims_map_open(&rows, path));
    CHECK_OK(ims_npy_parse(rows.data, rows.size, path, &npy));
    CHECK_TEXT(npy.dtype, "<u4");
    CHECK_EQUAL(npy.shape[0], 40);
    CHECK_EQUAL(npy.shape[1], FIXTURE_BINS);
    for (int64_t id = 0; id < 40; id++) {
        fixture_histogram(id, expected);
        CHECK(
            memcmp(
                rows.data + npy.data_offset + (size_t)id * sizeof(expected), expected,
                sizeof(expected)) == 0);
    }
    snprintf(path, sizeof(path), "%s/color.ids.npy", folder);
    CHECK_OK(ims_map_open(&ids, path));
    CHECK_OK(ims_npy_parse(ids.data, ids.size, path, &npy));
    CHECK_TEXT(npy.dtype, "<i8");
    CHECK_EQUAL(npy.dimensions, 1);
    for (int64_t id = 0; id < 40; id++)
        CHECK_EQUAL(((const int64_t *)(ids.data + npy.data_offset))[id], id);
    ims_map_close(&rows);
    ims_map_close(&ids);
    CHECK_FAILS(
        imgsim_catalog_export_npy(catalog, "embedding", "/nonexistent/x.npy"),
        IMGSIM_ERROR_NOT_FOUND, "/nonexistent");
}

int main(void)
{
    imgsim_catalog *catalog;
    char folder[512], path[600];

    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    snprintf(path, sizeof(path), "%s/photos/.imgsim", folder);
    catalog = fixture_collection(path, 40);
    sparse_rows_are_exact(catalog);
    exported_matrices_are_read_back(catalog, folder);
    refusals_say_what_is_wrong(catalog);
    own_sets_are_added_changed_replaced_and_removed(catalog);
    rows_without_a_record_are_marked(catalog);
    what_was_not_committed_leaves_nothing(catalog);
    a_scan_replaces_a_set_only_when_told(catalog);
    imgsim_catalog_free(catalog);
    a_catalog_has_62_sets_at_most(folder);
    fixture_remove_folder(folder);
    return 0;
}
