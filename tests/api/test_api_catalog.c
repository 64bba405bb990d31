/* SPDX-License-Identifier: Apache-2.0 */
/* Files, labels, features, settings and exports of a catalog, through the public API alone. */
#include "public_bed.h"

#define EACH 4u
#define IMAGES (BED_FAMILIES * EACH)

static struct public_bed bed;

struct visit {
    int count;
    int64_t id;
    char uuid[40];
    char text[256];
};

static int32_t on_file(const imgsim_file_info *file, void *user_data)
{
    struct visit *visit = user_data;

    CHECK(file->struct_size == sizeof(*file));
    CHECK_EQUAL(strlen(file->uuid), 36);
    CHECK_EQUAL(strlen(file->content_hash), 32);
    CHECK_EQUAL(file->width, BED_WIDTH);
    CHECK_EQUAL(file->height, BED_HEIGHT);
    CHECK_EQUAL(file->state, IMGSIM_FILE_OK);
    CHECK(file->id >= visit->id);
    visit->id = file->id;
    snprintf(visit->uuid, sizeof(visit->uuid), "%s", file->uuid);
    visit->count++;
    return 0;
}

static int32_t stop_at_once(const imgsim_file_info *file, void *user_data)
{
    (void)file;
    ++*(int *)user_data;
    return 1;
}

static void files_are_visited_and_found(void)
{
    uint64_t counts[IMGSIM_FILE_STATE_COUNT];
    struct visit visit = {.id = -1};
    int stopped = 0;
    int64_t id;

    CHECK_OK(imgsim_catalog_count_states(bed.catalog, counts));
    CHECK_EQUAL(counts[IMGSIM_FILE_OK], IMAGES);
    CHECK_OK(imgsim_catalog_visit_files(bed.catalog, -1, on_file, &visit));
    CHECK_EQUAL(visit.count, IMAGES);
    CHECK_OK(imgsim_catalog_visit_files(bed.catalog, IMGSIM_FILE_FAILED, on_file, &visit));
    CHECK_EQUAL(visit.count, IMAGES);
    CHECK_OK(imgsim_catalog_visit_files(bed.catalog, -1, stop_at_once, &stopped));
    CHECK_EQUAL(stopped, 1);
    visit = (struct visit){.id = -1};
    CHECK_OK(imgsim_catalog_get_file(bed.catalog, 3, on_file, &visit));
    CHECK_EQUAL(visit.count, 1);
    CHECK_OK(imgsim_catalog_find(bed.catalog, visit.uuid, &id));
    CHECK_EQUAL(id, 3);
    CHECK_FAILS(
        imgsim_catalog_get_file(bed.catalog, 999, on_file, &visit), IMGSIM_ERROR_NOT_FOUND, "999");
    CHECK_EQUAL(imgsim_catalog_get_id_count(bed.catalog), IMAGES);
    CHECK_TEXT(imgsim_catalog_get_path(bed.catalog), bed.catalog_path);
    CHECK_TEXT(imgsim_catalog_get_root(bed.catalog), bed.photos);
}

static int32_t on_label(const char *label, uint64_t image_count, void *user_data)
{
    struct visit *visit = user_data;
    size_t used = strlen(visit->text);

    snprintf(
        visit->text + used, sizeof(visit->text) - used, "%s=%llu;", label,
        (unsigned long long)image_count);
    return 0;
}

static void labels_come_and_go(void)
{
    static const int64_t ids[3] = {1, 2, 3};
    static const char *const labels[3] = {"sea", "land", "sea"};
    static const int64_t bad[2] = {1, 999};
    struct visit visit = {0};

    CHECK_OK(imgsim_catalog_add_labels(bed.catalog, ids, labels, 3));
    CHECK_OK(imgsim_catalog_add_label(bed.catalog, 1, "blue"));
    CHECK_OK(imgsim_catalog_visit_labels(bed.catalog, -1, on_label, &visit));
    CHECK_TEXT(visit.text, "blue=1;land=1;sea=2;");
    CHECK(imgsim_catalog_add_labels(bed.catalog, bad, labels, 2) == IMGSIM_ERROR_NOT_FOUND);
    CHECK_OK(imgsim_catalog_remove_label(bed.catalog, 1, "blue"));
    CHECK_OK(imgsim_catalog_remove_label(bed.catalog, 1, "blue"));
    visit = (struct visit){0};
    CHECK_OK(imgsim_catalog_visit_labels(bed.catalog, 1, on_label, &visit));
    CHECK_TEXT(visit.text, "sea=2;");
}

static int32_t on_feature(const imgsim_feature_info *feature, void *user_data)
{
    struct visit *visit = user_data;
    size_t used = strlen(visit->text);

    CHECK_EQUAL(feature->image_count, IMAGES);
    snprintf(visit->text + used, sizeof(visit->text) - used, "%s ", feature->name);
    return 0;
}

static void a_dense_feature_has_a_row_per_image(void)
{
    imgsim_features *features = NULL;
    float row[BED_VALUES], expected[BED_VALUES];
    imgsim_image *image = bed_image(2, 1);
    int64_t id = bed_find(&bed, bed.catalog, "family2/01.ppm");
    const float *rows;

    CHECK_OK(imgsim_catalog_open_features(bed.catalog, "embedding", &features));
    CHECK_EQUAL(imgsim_features_get_row_count(features), IMAGES);
    CHECK_EQUAL(imgsim_features_get_dimension(features), BED_VALUES);
    CHECK_EQUAL(imgsim_features_get_row_type(features), IMGSIM_ROW_FLOAT32);
    CHECK_EQUAL(imgsim_features_get_metric(features), IMGSIM_METRIC_COSINE);
    CHECK_EQUAL(imgsim_features_has_row(features, id), 1);
    CHECK_EQUAL(imgsim_features_has_row(features, IMAGES), 0);
    CHECK((rows = imgsim_features_get_rows(features)) != NULL);
    CHECK_OK(imgsim_features_read(features, &id, 1, row, sizeof(row)));
    bed_tiles_of(image, expected);
    CHECK(memcmp(row, expected, sizeof(row)) == 0);
    CHECK(memcmp(rows + id * BED_VALUES, expected, sizeof(row)) == 0);
    imgsim_features_free(features);
    imgsim_image_free(image);
}

static void a_histogram_is_kept_exactly(void)
{
    const uint64_t *offsets;
    const uint32_t *lengths, *counts;
    const uint16_t *bins;
    imgsim_features *features = NULL;
    static uint32_t row[4096];
    uint64_t sum = 0;
    int64_t id = 5;

    CHECK_OK(imgsim_catalog_open_features(bed.catalog, "color", &features));
    CHECK(imgsim_features_get_rows(features) == NULL);
    CHECK_OK(imgsim_features_read(features, &id, 1, row, sizeof(row)));
    CHECK_OK(imgsim_features_get_sparse(features, &offsets, &lengths, &bins, &counts));
    for (uint32_t i = 0; i < lengths[id]; i++) {
        CHECK_EQUAL(row[bins[offsets[id] + i]], counts[offsets[id] + i]);
        sum += counts[offsets[id] + i];
    }
    CHECK_EQUAL(sum, BED_WIDTH * BED_HEIGHT);
    imgsim_features_free(features);
}

static void a_thumbnail_is_kept(void)
{
    imgsim_features *features = NULL;
    imgsim_image *image = NULL;
    const void *data;
    size_t size;

    CHECK_OK(imgsim_catalog_open_features(bed.catalog, "thumbnail", &features));
    CHECK_EQUAL(imgsim_features_get_row_type(features), IMGSIM_ROW_BYTES);
    CHECK_OK(imgsim_features_get_bytes(features, 5, &data, &size));
    CHECK_OK(imgsim_image_load_memory(data, size, NULL, &image));
    CHECK_EQUAL(imgsim_image_get_width(image), BED_WIDTH);
    CHECK_EQUAL(imgsim_image_get_height(image), BED_HEIGHT);
    imgsim_image_free(image);
    CHECK_FAILS(
        imgsim_features_get_bytes(features, IMAGES, &data, &size), IMGSIM_ERROR_NOT_FOUND,
        "thumbnail");
    imgsim_features_free(features);
}

static void the_hosts_features_are_kept(void)
{
    static const int64_t ids[2] = {4, 6};
    static const float rows[4] = {1, 2, 3, 4};
    imgsim_feature_definition definition = {
        .struct_size = sizeof(definition),
        .name = "own",
        .fingerprint = "1",
        .dimension = 2,
        .row_type = IMGSIM_ROW_FLOAT32,
        .metric = IMGSIM_METRIC_L2,
    };
    imgsim_features *features = NULL;
    struct visit visit = {0};
    float out[4];

    CHECK_OK(imgsim_catalog_visit_features(bed.catalog, on_feature, &visit));
    CHECK_TEXT(visit.text, "color hash embedding thumbnail ");
    CHECK_OK(imgsim_catalog_put_features(bed.catalog, &definition, ids, 2, rows, sizeof(rows)));
    CHECK_OK(imgsim_catalog_open_features(bed.catalog, "own", &features));
    CHECK_EQUAL(imgsim_features_has_row(features, 5), 0);
    CHECK_OK(imgsim_features_read(features, ids, 2, out, sizeof(out)));
    CHECK(memcmp(out, rows, sizeof(rows)) == 0);
    imgsim_features_free(features);
    CHECK_OK(imgsim_catalog_remove_features(bed.catalog, "own"));
    CHECK_FAILS(
        imgsim_catalog_open_features(bed.catalog, "own", &features), IMGSIM_ERROR_NOT_FOUND,
        "embedding");
}

static void settings_and_exports(void)
{
    char value[16], path[800], start[32] = "";
    FILE *file;

    CHECK_OK(imgsim_catalog_set_setting(bed.catalog, "a.key", "value"));
    CHECK_OK(imgsim_catalog_get_setting(bed.catalog, "a.key", value, sizeof(value)));
    CHECK_TEXT(value, "value");
    CHECK(imgsim_catalog_get_setting(bed.catalog, "a.key", value, 3) == IMGSIM_ERROR_LIMIT);
    CHECK_OK(imgsim_catalog_set_setting(bed.catalog, "a.key", NULL));
    CHECK(
        imgsim_catalog_get_setting(bed.catalog, "a.key", value, sizeof(value)) ==
        IMGSIM_ERROR_NOT_FOUND);

    snprintf(path, sizeof(path), "%s/files.csv", bed.folder);
    CHECK_OK(imgsim_catalog_export_csv(bed.catalog, path));
    CHECK((file = fopen(path, "rb")) != NULL);
    CHECK(fgets(start, sizeof(start), file) != NULL);
    CHECK(strncmp(start, "id,uuid,path,directory,name", 27) == 0);
    fclose(file);

    snprintf(path, sizeof(path), "%s/color.npy", bed.folder);
    CHECK_OK(imgsim_catalog_export_npy(bed.catalog, "color", path));
    CHECK((file = fopen(path, "rb")) != NULL);
    CHECK(fseek(file, 0, SEEK_END) == 0);
    CHECK((size_t)ftell(file) >= IMAGES * 4096 * sizeof(uint32_t));
    fclose(file);
    snprintf(path, sizeof(path), "%s/color.ids.npy", bed.folder);
    CHECK(access(path, R_OK) == 0);
}

static void a_reader_does_not_write(void)
{
    imgsim_catalog_options options;
    imgsim_catalog *reader = NULL;

    CHECK_OK(imgsim_catalog_options_init(&options, sizeof(options)));
    options.read_only = 1;
    CHECK_OK(imgsim_catalog_open(bed.photos, &options, &reader));
    CHECK_EQUAL(imgsim_catalog_get_image_count(reader), IMAGES);
    CHECK(imgsim_catalog_add_label(reader, 0, "x") != IMGSIM_OK);
    bed_verify(reader);
    imgsim_catalog_free(reader);
}

int main(void)
{
    bed_open(&bed, EACH);
    files_are_visited_and_found();
    labels_come_and_go();
    a_dense_feature_has_a_row_per_image();
    a_histogram_is_kept_exactly();
    a_thumbnail_is_kept();
    the_hosts_features_are_kept();
    settings_and_exports();
    a_reader_does_not_write();
    bed_verify(bed.catalog);
    bed_close(&bed);
    return 0;
}
