/* SPDX-License-Identifier: Apache-2.0 */
/* What must not be NULL, or is out of range, is refused with a text; outputs are then NULL. */
#include "public_bed.h"

/* The call must be refused as an invalid argument, with a text. */
#define REFUSED(call) CHECK_FAILS(call, IMGSIM_ERROR_INVALID_ARGUMENT, "")

static struct public_bed bed;

/* Something to give where an output is, to see that it is set to NULL. */
static void *const rubbish = &bed;

static int32_t on_file(const imgsim_file_info *file, void *user_data)
{
    (void)file;
    (void)user_data;
    return 0;
}

/* An options struct: no pointer, no size, a size that is not set, a byte the library does not know. */
#define CHECK_OPTIONS(type, init, use)                         \
    do {                                                       \
        struct {                                               \
            type options;                                      \
            uint64_t later;                                    \
        } newer;                                               \
        const type *options = &newer.options;                  \
                                                               \
        REFUSED(init(NULL, sizeof(type)));                     \
        REFUSED(init(&newer.options, 0));                      \
        memset(&newer, 0xee, sizeof(newer));                   \
        CHECK_OK(init(&newer.options, sizeof(newer)));         \
        CHECK_EQUAL(newer.options.struct_size, sizeof(newer)); \
        CHECK_EQUAL(newer.later, 0);                           \
        newer.later = 1;                                       \
        CHECK((use) == IMGSIM_ERROR_UNSUPPORTED);              \
        memset(&newer, 0, sizeof(newer));                      \
        REFUSED(use);                                          \
    } while (0)

static void options_have_a_size(void)
{
    imgsim_catalog *catalog = NULL;
    imgsim_extractor *extractor = NULL;
    imgsim_image *image = NULL;
    imgsim_index *index = NULL;
    imgsim_projector *projector = NULL;
    imgsim_query *query = NULL;
    const char *paths[1] = {bed.photos};
    float distance, row[BED_VALUES] = {1};
    const uint32_t dimension = 2;
    double column[4];
    int64_t id;

    CHECK_OPTIONS(
        imgsim_catalog_options, imgsim_catalog_options_init,
        imgsim_catalog_open(bed.photos, options, &catalog));
    CHECK_OPTIONS(
        imgsim_color_options, imgsim_color_options_init,
        imgsim_extractor_new_color(options, &extractor));
    CHECK_OPTIONS(
        imgsim_hash_options, imgsim_hash_options_init,
        imgsim_extractor_new_hash(options, &extractor));
    CHECK_OPTIONS(
        imgsim_cnn_options, imgsim_cnn_options_init, imgsim_extractor_new_cnn(options, &extractor));
    CHECK_OPTIONS(
        imgsim_image_options, imgsim_image_options_init,
        imgsim_image_load_memory("P6\n", 3, options, &image));
    CHECK_OPTIONS(
        imgsim_index_options, imgsim_index_options_init, imgsim_index_new(options, &index));
    CHECK_OPTIONS(
        imgsim_projector_options, imgsim_projector_options_init,
        imgsim_projector_new(4, 2, options, &projector));
    CHECK_OPTIONS(
        imgsim_query_options, imgsim_query_options_init,
        imgsim_query_new(bed.catalog, options, &query));
    CHECK_OPTIONS(
        imgsim_repair_options, imgsim_repair_options_init,
        imgsim_catalog_repair(bed.catalog_path, options, NULL));
    CHECK_OPTIONS(
        imgsim_scan_options, imgsim_scan_options_init,
        imgsim_scan(bed.catalog, paths, 1, options, NULL));
    CHECK_OPTIONS(
        imgsim_projection_options, imgsim_projection_options_init,
        imgsim_derive_projection(bed.catalog, options, NULL));
    CHECK_OPTIONS(
        imgsim_study_options, imgsim_study_options_init,
        imgsim_derive_study(
            bed.catalog, options, &dimension, 1, &column[0], &column[1], &column[2], &column[3]));
    CHECK_OK(imgsim_query_new(bed.catalog, NULL, &query));
    CHECK_OPTIONS(
        imgsim_channel_options, imgsim_channel_options_init,
        imgsim_query_add_channel(query, "embedding", options));
    CHECK_OK(imgsim_derive_index(bed.catalog, "embedding", NULL, &index));
    CHECK_OPTIONS(
        imgsim_search_options, imgsim_search_options_init,
        imgsim_index_search(index, row, 1, 1, options, &id, &distance));
    imgsim_index_free(index);
    imgsim_query_free(query);
}

static void images_and_extractors(void)
{
    imgsim_host_extractor table = {.struct_size = sizeof(table), .name = "own"};
    const uint8_t pixels[12] = {0};
    imgsim_image *image = rubbish;
    const imgsim_image *none[1] = {NULL};
    imgsim_extractor *extractor = rubbish;
    static uint32_t row[4096];

    REFUSED(imgsim_image_load_file(NULL, NULL, &image));
    REFUSED(imgsim_image_load_file("x", NULL, NULL));
    REFUSED(imgsim_image_load_memory(NULL, 5, NULL, &image));
    CHECK(image == NULL || image == rubbish);
    image = rubbish;
    REFUSED(imgsim_image_new(NULL, 2, 2, 0, &image));
    CHECK(image == NULL);
    REFUSED(imgsim_image_new(pixels, 0, 2, 0, &image));
    REFUSED(imgsim_image_new(pixels, 2, (1u << 20) + 1, 0, &image));
    REFUSED(imgsim_image_new(pixels, 2, 2, 5, &image));
    REFUSED(imgsim_image_new(pixels, 2, 2, 0, NULL));
    CHECK(imgsim_image_load_memory("", 0, NULL, &image) == IMGSIM_ERROR_BAD_IMAGE);

    REFUSED(imgsim_extractor_new_color(NULL, NULL));
    REFUSED(imgsim_extractor_new_hash(NULL, NULL));
    REFUSED(imgsim_extractor_new_cnn(NULL, &extractor));
    REFUSED(imgsim_extractor_new_classes(NULL, &extractor));
    REFUSED(imgsim_extractor_new_spec(NULL, &extractor));
    REFUSED(imgsim_extractor_new_spec("color:bins=0", &extractor));
    REFUSED(imgsim_extractor_new_host(NULL, NULL, &extractor));
    REFUSED(imgsim_extractor_new_host(&table, NULL, &extractor));
    CHECK(extractor == NULL);
    REFUSED(imgsim_extractor_extract(NULL, none, 1, row, sizeof(row)));
    REFUSED(imgsim_extractor_extract(bed.extractors[0], none, 1, row, sizeof(row)));
    REFUSED(imgsim_extractor_extract(bed.extractors[0], NULL, 1, row, sizeof(row)));
    CHECK_OK(imgsim_image_new(pixels, 2, 2, 0, &image));
    none[0] = image;
    REFUSED(imgsim_extractor_extract(bed.extractors[0], none, 1, NULL, sizeof(row)));
    REFUSED(imgsim_extractor_extract(bed.extractors[0], none, 1, row, sizeof(row) - 1));
    imgsim_image_free(image);
}

static void catalogs(void)
{
    imgsim_feature_definition definition = {.struct_size = sizeof(definition), .name = "Own"};
    imgsim_catalog *catalog = rubbish;
    imgsim_features *features = rubbish;
    const int64_t ids[1] = {0};
    const char *labels[1] = {NULL};
    float row[BED_VALUES] = {0};
    char value[8];
    int64_t id;

    REFUSED(imgsim_catalog_open(NULL, NULL, &catalog));
    REFUSED(imgsim_catalog_open(bed.photos, NULL, NULL));
    REFUSED(imgsim_catalog_refresh(NULL));
    REFUSED(imgsim_catalog_count_states(bed.catalog, NULL));
    REFUSED(imgsim_catalog_visit_files(bed.catalog, -1, NULL, NULL));
    REFUSED(imgsim_catalog_visit_files(bed.catalog, 99, on_file, NULL));
    REFUSED(imgsim_catalog_get_file(bed.catalog, 0, NULL, NULL));
    REFUSED(imgsim_catalog_find(bed.catalog, NULL, &id));
    REFUSED(imgsim_catalog_find(bed.catalog, "x", NULL));
    REFUSED(imgsim_catalog_add_label(bed.catalog, 0, NULL));
    REFUSED(imgsim_catalog_add_label(bed.catalog, 0, ""));
    REFUSED(imgsim_catalog_add_label(bed.catalog, 0, "two\nlines"));
    REFUSED(imgsim_catalog_add_label(bed.catalog, 0, "\xff"));
    REFUSED(imgsim_catalog_add_labels(bed.catalog, ids, labels, 1));
    REFUSED(imgsim_catalog_add_labels(bed.catalog, NULL, labels, 1));
    REFUSED(imgsim_catalog_remove_label(bed.catalog, 0, NULL));
    REFUSED(imgsim_catalog_visit_labels(bed.catalog, -1, NULL, NULL));
    REFUSED(imgsim_catalog_visit_features(bed.catalog, NULL, NULL));
    REFUSED(imgsim_catalog_open_features(bed.catalog, NULL, &features));
    CHECK_FAILS(
        imgsim_catalog_open_features(bed.catalog, "none", &features), IMGSIM_ERROR_NOT_FOUND,
        "hash");
    CHECK(features == NULL);
    REFUSED(imgsim_features_read(NULL, ids, 1, row, sizeof(row)));
    CHECK_OK(imgsim_catalog_open_features(bed.catalog, "embedding", &features));
    REFUSED(imgsim_features_read(features, NULL, 1, row, sizeof(row)));
    REFUSED(imgsim_features_read(features, ids, 1, row, sizeof(row) - 1));
    REFUSED(imgsim_features_get_sparse(features, NULL, NULL, NULL, NULL));
    REFUSED(imgsim_features_get_bytes(features, 0, NULL, NULL));
    imgsim_features_free(features);
    REFUSED(imgsim_catalog_put_features(bed.catalog, NULL, ids, 1, row, sizeof(row)));
    definition.dimension = BED_VALUES;
    definition.row_type = IMGSIM_ROW_FLOAT32;
    definition.metric = IMGSIM_METRIC_L2;
    REFUSED(imgsim_catalog_put_features(bed.catalog, &definition, ids, 1, row, sizeof(row)));
    definition.name = "own";
    row[3] = NAN;
    CHECK_FAILS(
        imgsim_catalog_put_features(bed.catalog, &definition, ids, 1, row, sizeof(row)),
        IMGSIM_ERROR_INVALID_ARGUMENT, "3");
    REFUSED(imgsim_catalog_remove_features(bed.catalog, NULL));
    REFUSED(imgsim_catalog_export_npy(bed.catalog, NULL, "x.npy"));
    REFUSED(imgsim_catalog_export_npy(bed.catalog, "hash", NULL));
    REFUSED(imgsim_catalog_export_csv(bed.catalog, NULL));
    REFUSED(imgsim_catalog_set_setting(bed.catalog, NULL, "x"));
    REFUSED(imgsim_catalog_set_setting(bed.catalog, "Upper case", "x"));
    REFUSED(imgsim_catalog_get_setting(bed.catalog, "x", NULL, 8));
    REFUSED(imgsim_catalog_get_setting(bed.catalog, NULL, value, sizeof(value)));
    REFUSED(imgsim_catalog_verify(NULL, NULL, NULL));
}

static void scans_and_derived(void)
{
    const char *paths[1] = {NULL};
    imgsim_scan_report report = {0};
    imgsim_index *index = rubbish;
    const uint32_t dimension = 2;
    double column[4];

    REFUSED(imgsim_scan(NULL, paths, 1, NULL, NULL));
    REFUSED(imgsim_scan(bed.catalog, NULL, 1, NULL, NULL));
    REFUSED(imgsim_scan(bed.catalog, paths, 1, NULL, NULL));
    REFUSED(imgsim_scan(bed.catalog, paths, 0, NULL, NULL));
    REFUSED(imgsim_scan_match(NULL, "a", 0, &(int32_t){0}));
    REFUSED(imgsim_scan_match("[a", "a", 0, &(int32_t){0}));
    paths[0] = bed.photos;
    REFUSED(imgsim_scan(bed.catalog, paths, 1, NULL, &report));
    REFUSED(imgsim_derive_projection(NULL, NULL, NULL));
    REFUSED(imgsim_derive_index(NULL, NULL, NULL, &index));
    REFUSED(imgsim_derive_refresh(NULL, NULL));
    REFUSED(imgsim_derive_study(
        NULL, NULL, &dimension, 1, &column[0], &column[1], &column[2], &column[3]));
    REFUSED(imgsim_derive_study(
        bed.catalog, NULL, &dimension, 0, &column[0], &column[1], &column[2], &column[3]));
    REFUSED(imgsim_derive_study(
        bed.catalog, NULL, &dimension, 1, &column[0], &column[1], &column[2], NULL));
    REFUSED(imgsim_derive_verify(NULL, NULL, NULL));
    REFUSED(imgsim_catalog_repair(NULL, NULL, NULL));
    REFUSED(imgsim_catalog_repair("", NULL, NULL));
    REFUSED(imgsim_catalog_repair(bed.catalog_path, NULL, &(imgsim_repair_report){0}));
    CHECK(imgsim_derive_index(bed.catalog, "none", NULL, &index) == IMGSIM_ERROR_NOT_FOUND);
    CHECK(index == NULL);
}

static void projectors_and_indexes(void)
{
    imgsim_index_options options;
    imgsim_projector *projector = rubbish;
    imgsim_index *index = rubbish;
    float row[4] = {0, 1, NAN, 2}, out[4];
    int64_t ids[2] = {3, 3};
    int32_t number;
    double value;

    REFUSED(imgsim_projector_new(0, 1, NULL, &projector));
    REFUSED(imgsim_projector_new(4, 5, NULL, &projector));
    REFUSED(imgsim_projector_new(65537, 5, NULL, &projector));
    CHECK(projector == NULL);
    REFUSED(imgsim_projector_new(4, 2, NULL, NULL));
    CHECK_OK(imgsim_projector_new(4, 2, NULL, &projector));
    REFUSED(imgsim_projector_add(projector, NULL, 1));
    REFUSED(imgsim_projector_add(projector, row, 1));
    REFUSED(imgsim_projector_train(NULL));
    REFUSED(imgsim_projector_fit(NULL, row, 1, NULL));
    REFUSED(imgsim_projector_fit(projector, NULL, 1, NULL));
    CHECK(imgsim_projector_fit(projector, row, 1, NULL) == IMGSIM_ERROR_NOT_READY);
    CHECK(imgsim_projector_get_landmarks(projector) == NULL);
    CHECK(imgsim_projector_get_landmark_count(projector) == 0);
    CHECK(imgsim_projector_transform(projector, row, 1, out) == IMGSIM_ERROR_NOT_READY);
    CHECK(imgsim_projector_save(projector, "x.ims") == IMGSIM_ERROR_NOT_READY);
    imgsim_projector_free(projector);
    REFUSED(imgsim_projector_load(NULL, &projector));

    REFUSED(imgsim_index_new(NULL, &index));
    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    REFUSED(imgsim_index_new(&options, &index));
    options.dimension = 4;
    REFUSED(imgsim_index_new(&options, NULL));
    options.kind = 9;
    CHECK(imgsim_index_new(&options, &index) == IMGSIM_ERROR_UNSUPPORTED);
    options.kind = IMGSIM_INDEX_EXACT;
    CHECK_OK(imgsim_index_new(&options, &index));
    REFUSED(imgsim_index_add(index, NULL, 1, NULL));
    CHECK_FAILS(imgsim_index_add(index, row, 1, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "row 0");
    REFUSED(imgsim_index_search(index, row, 1, 1, NULL, ids, out));
    row[2] = 0;
    REFUSED(imgsim_index_search(index, row, 1, 0, NULL, ids, out));
    REFUSED(imgsim_index_search(index, row, 1, IMGSIM_K_MAX + 1, NULL, ids, out));
    REFUSED(imgsim_index_search(index, row, 1, 1, NULL, NULL, out));
    REFUSED(imgsim_index_search(index, NULL, 1, 1, NULL, ids, out));
    CHECK(imgsim_index_add_bits(index, (const uint8_t *)row, 1, NULL) != IMGSIM_OK);
    CHECK_EQUAL(imgsim_index_get_count(index), 0);
    REFUSED(imgsim_index_remove(index, NULL, 1, NULL));
    REFUSED(imgsim_index_set_note(index, NULL));
    REFUSED(imgsim_index_save(index, NULL));
    imgsim_index_free(index);
    REFUSED(imgsim_index_open(NULL, 1, &index));
    REFUSED(imgsim_index_kind_from_name(NULL, &number));
    REFUSED(imgsim_metric_from_name(NULL, &number));
    REFUSED(imgsim_compare(IMGSIM_METRIC_L2, IMGSIM_ROW_FLOAT32, NULL, row, 4, &value));
    REFUSED(imgsim_compare(IMGSIM_METRIC_L2, IMGSIM_ROW_FLOAT32, row, row, 0, &value));
    REFUSED(imgsim_compare(IMGSIM_METRIC_L2, IMGSIM_ROW_BITS, row, row, 8, &value));
    REFUSED(imgsim_metric_similarity(IMGSIM_METRIC_L2, 1, 1.0, NULL));
    CHECK_EQUAL(imgsim_has_feature(NULL), 0);
}

static void queries(void)
{
    imgsim_part part = {.struct_size = sizeof(part)};
    imgsim_hit hit = {.struct_size = sizeof(hit)};
    imgsim_query *query = rubbish;
    imgsim_result *result = rubbish;
    float row[BED_VALUES] = {1};

    REFUSED(imgsim_query_new(NULL, NULL, &query));
    CHECK(query == NULL || query == rubbish);
    REFUSED(imgsim_query_new(bed.catalog, NULL, NULL));
    CHECK_OK(imgsim_query_new(bed.catalog, NULL, &query));
    CHECK(imgsim_query_search(query, &result) == IMGSIM_ERROR_NOT_READY);
    CHECK(result == NULL);
    REFUSED(imgsim_query_add_file(query, NULL, 1));
    REFUSED(imgsim_query_add_memory(query, NULL, 4, 1));
    REFUSED(imgsim_query_add_image(query, NULL, 1));
    REFUSED(imgsim_query_add_id(query, 0, 0));
    REFUSED(imgsim_query_add_id(query, 0, NAN));
    CHECK(imgsim_query_add_id(query, 999, 1) == IMGSIM_ERROR_NOT_FOUND);
    REFUSED(imgsim_query_add_row(query, "embedding", NULL, sizeof(row), 1));
    REFUSED(imgsim_query_add_row(query, "embedding", row, sizeof(row) - 4, 1));
    CHECK(imgsim_query_add_row(query, "none", row, sizeof(row), 1) == IMGSIM_ERROR_NOT_FOUND);
    CHECK(imgsim_query_add_channel(query, "none", NULL) == IMGSIM_ERROR_NOT_FOUND);
    REFUSED(imgsim_query_add_channel(query, NULL, NULL));
    REFUSED(imgsim_query_add_channels(query, "color=-1", NULL));
    REFUSED(imgsim_query_add_channels(query, "color", "color=nearness"));
    REFUSED(imgsim_query_set_extractor(query, "embedding", NULL));
    REFUSED(imgsim_query_set_extractor(query, "embedding", bed.extractors[0]));
    CHECK(imgsim_query_filter_label(query, "none") == IMGSIM_ERROR_NOT_FOUND);
    CHECK(imgsim_query_filter_directory(query, "/none") == IMGSIM_ERROR_NOT_FOUND);
    REFUSED(imgsim_query_filter_label(query, NULL));
    REFUSED(imgsim_query_filter_directory(query, NULL));
    REFUSED(imgsim_query_filter_bits(query, NULL, 8));
    REFUSED(imgsim_query_set_options(NULL, NULL));
    for (int i = 0; i < IMGSIM_QUERY_IMAGES_MAX; i++)
        CHECK_OK(imgsim_query_add_id(query, i, 1));
    CHECK(imgsim_query_add_id(query, 5, 1) == IMGSIM_ERROR_LIMIT);
    REFUSED(imgsim_query_search(query, NULL));
    REFUSED(imgsim_query_search(NULL, &result));
    CHECK_OK(imgsim_query_search(query, &result));
    REFUSED(imgsim_result_get_hit(result, 5, &hit));
    REFUSED(imgsim_result_get_hit(result, 0, NULL));
    REFUSED(imgsim_result_get_part(result, 0, 9, &part));
    REFUSED(imgsim_result_get_part(result, 0, 0, NULL));
    REFUSED(imgsim_result_write_sheet(result, query, NULL));
    REFUSED(imgsim_result_write_sheet(NULL, query, "x.png"));
    REFUSED(imgsim_result_write_html(result, NULL, "x.html"));
    imgsim_result_free(result);
    imgsim_query_free(query);
}

int main(void)
{
    bed_open(&bed, 3);
    options_have_a_size();
    images_and_extractors();
    catalogs();
    scans_and_derived();
    projectors_and_indexes();
    queries();
    bed_verify(bed.catalog);
    bed_close(&bed);
    return 0;
}
