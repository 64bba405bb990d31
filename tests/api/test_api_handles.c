/* SPDX-License-Identifier: Apache-2.0 */
/* Images, extractors, projectors and indexes without a catalog, through the public API alone. */
#include "public_bed.h"

/* More than an HNSW index compares directly. */
#define ROWS 1200u
#define VALUES 8u

static float rows[ROWS * VALUES];

/* Numbers that repeat on every machine, in [-1, 1). */
static void make_rows(void)
{
    uint64_t state = 12345;

    for (size_t i = 0; i < ROWS * VALUES; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        rows[i] = (float)((double)(state >> 40) / (1 << 23) - 1.0) * (i % VALUES < 3 ? 3.0F : 1.0F);
    }
}

static void images_are_decoded(void)
{
    uint8_t pixels[BED_PIXELS], data[BED_PIXELS + 256];
    imgsim_image_options options;
    imgsim_image *image = NULL;
    size_t size;

    bed_pixels(1, 2, pixels);
    size = bed_png(pixels, data);
    CHECK_OK(imgsim_image_load_memory(data, size, NULL, &image));
    CHECK_EQUAL(imgsim_image_get_width(image), BED_WIDTH);
    CHECK_EQUAL(imgsim_image_get_height(image), BED_HEIGHT);
    CHECK_EQUAL(imgsim_image_get_full_width(image), BED_WIDTH);
    CHECK_EQUAL(imgsim_image_get_full_height(image), BED_HEIGHT);
    CHECK_TEXT(imgsim_image_get_format(image), "png");
    CHECK(memcmp(imgsim_image_get_pixels(image), pixels, sizeof(pixels)) == 0);
    imgsim_image_free(image);

    CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
    options.max_pixels = 100;
    CHECK(imgsim_image_load_memory(data, size, &options, &image) == IMGSIM_ERROR_LIMIT);
    CHECK(image == NULL);
    CHECK(imgsim_image_load_memory(data, size / 2, NULL, &image) == IMGSIM_ERROR_BAD_IMAGE);
    CHECK(imgsim_image_load_file("/nowhere/at/all.png", NULL, &image) == IMGSIM_ERROR_NOT_FOUND);
}

/* Its getters, and that its specification makes it again. */
static void check_extractor(imgsim_extractor *extractor, const char *name, uint32_t dimension)
{
    const char *spec = imgsim_extractor_get_spec(extractor);
    imgsim_extractor *again = NULL;

    CHECK_TEXT(imgsim_extractor_get_name(extractor), name);
    CHECK_EQUAL(imgsim_extractor_get_dimension(extractor), dimension);
    CHECK_EQUAL(strlen(imgsim_extractor_get_fingerprint(extractor)), 32);
    CHECK(imgsim_extractor_get_min_side(extractor) <= 1024);
    CHECK_OK(imgsim_extractor_new_spec(spec, &again));
    CHECK_TEXT(imgsim_extractor_get_spec(again), spec);
    CHECK_TEXT(
        imgsim_extractor_get_fingerprint(again), imgsim_extractor_get_fingerprint(extractor));
    imgsim_extractor_free(again);
    imgsim_extractor_free(extractor);
}

static void extractors_say_what_they_are(void)
{
    imgsim_extractor *extractor = NULL;
    imgsim_color_options color;
    imgsim_hash_options hash;
    imgsim_cnn_options cnn;

    CHECK_OK(imgsim_color_options_init(&color, sizeof(color)));
    color.space = IMGSIM_COLOR_HSV;
    color.bins[0] = 8;
    color.bins[1] = 4;
    color.bins[2] = 4;
    CHECK_OK(imgsim_extractor_new_color(&color, &extractor));
    CHECK_EQUAL(imgsim_extractor_get_row_type(extractor), IMGSIM_ROW_UINT32);
    CHECK_EQUAL(imgsim_extractor_get_row_size(extractor), 128 * sizeof(uint32_t));
    CHECK_EQUAL(imgsim_extractor_get_default_metric(extractor), IMGSIM_METRIC_INTERSECTION);
    check_extractor(extractor, "color", 128);

    CHECK_OK(imgsim_hash_options_init(&hash, sizeof(hash)));
    hash.kind = IMGSIM_HASH_DHASH;
    hash.bits = 256;
    CHECK_OK(imgsim_extractor_new_hash(&hash, &extractor));
    CHECK_EQUAL(imgsim_extractor_get_row_type(extractor), IMGSIM_ROW_BITS);
    check_extractor(extractor, "hash", 256);

    CHECK_OK(imgsim_cnn_options_init(&cnn, sizeof(cnn)));
    cnn.model_path = "/nowhere/weights.safetensors";
    extractor = (imgsim_extractor *)&cnn;
    CHECK(imgsim_extractor_new_cnn(&cnn, &extractor) != IMGSIM_OK);
    CHECK(extractor == NULL);
}

static void a_projector_is_fitted_and_kept(void)
{
    imgsim_projector_options options;
    imgsim_projector *projector = NULL, *loaded = NULL;
    float out[4 * 3], again[4 * 3];
    char folder[600], path[700];

    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    snprintf(path, sizeof(path), "%s/p.ims", folder);
    CHECK_OK(imgsim_projector_options_init(&options, sizeof(options)));
    options.whiten = 0.5;
    CHECK_OK(imgsim_projector_new(VALUES, 3, &options, &projector));
    CHECK(imgsim_projector_get_mean(projector) == NULL);
    CHECK(imgsim_projector_train(projector) == IMGSIM_ERROR_NOT_READY);
    CHECK_OK(imgsim_projector_add(projector, rows, ROWS / 2));
    CHECK_OK(imgsim_projector_add(projector, rows + ROWS / 2 * VALUES, ROWS - ROWS / 2));
    CHECK_OK(imgsim_projector_train(projector));
    CHECK_EQUAL(imgsim_projector_get_input_dimension(projector), VALUES);
    CHECK_EQUAL(imgsim_projector_get_output_dimension(projector), 3);
    CHECK_EQUAL(imgsim_projector_get_row_count(projector), ROWS);
    CHECK(imgsim_projector_get_mean(projector) != NULL);
    CHECK(imgsim_projector_get_axes(projector) != NULL);
    CHECK(imgsim_projector_get_variances(projector)[0] > 1.0);
    CHECK(
        imgsim_projector_get_total_variance(projector) >
        imgsim_projector_get_variances(projector)[0]);
    CHECK_OK(imgsim_projector_transform(projector, rows, 4, out));
    CHECK_OK(imgsim_projector_save(projector, path));
    CHECK_OK(imgsim_projector_load(path, &loaded));
    CHECK_TEXT(
        imgsim_projector_get_fingerprint(loaded), imgsim_projector_get_fingerprint(projector));
    CHECK_OK(imgsim_projector_transform(loaded, rows, 4, again));
    CHECK(memcmp(out, again, sizeof(out)) == 0);
    imgsim_projector_free(loaded);
    imgsim_projector_free(projector);
    bed_remove_folder(folder);
}

static imgsim_index *new_index(int32_t kind, int32_t metric, uint32_t dimension)
{
    imgsim_index_options options;
    imgsim_index *index = NULL;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.kind = kind;
    options.metric = metric;
    options.dimension = dimension;
    options.threads = 2;
    CHECK_OK(imgsim_index_new(&options, &index));
    return index;
}

/* Every row finds itself first; a removed one is gone; a filter holds; a saved one answers alike. */
static void check_index(int32_t kind, const char *path)
{
    imgsim_index *index = new_index(kind, IMGSIM_METRIC_L2, VALUES), *opened = NULL;
    static int64_t ids[ROWS * 3], again[ROWS * 3];
    static float distances[ROWS * 3], same[ROWS * 3];
    int64_t removed = 7;
    imgsim_search_options options;
    imgsim_search_stats stats;
    uint8_t filter[2] = {0x10, 0};
    size_t count = 0;

    CHECK_OK(imgsim_index_add(index, rows, ROWS, NULL));
    CHECK_OK(imgsim_index_search(index, rows, ROWS, 3, NULL, ids, distances));
    for (int64_t i = 0; i < ROWS; i++)
        CHECK(ids[i * 3] == i && distances[i * 3] == 0);
    CHECK_OK(imgsim_index_remove(index, &removed, 1, &count));
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(imgsim_index_get_count(index), ROWS - 1);
    CHECK_OK(imgsim_index_search(index, rows, ROWS, 3, NULL, ids, distances));
    CHECK(ids[removed * 3] != removed);

    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    options.filter = filter;
    options.filter_bits = 16;
    CHECK_OK(imgsim_index_search(index, rows, 1, 3, &options, again, same));
    CHECK(again[0] == 4 && again[1] == -1 && isinf(same[1]));
    CHECK_OK(imgsim_search_stats_init(&stats, sizeof(stats)));
    CHECK_FAILS(
        imgsim_search_stats_init(NULL, sizeof(stats)), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    options.stats = &stats;
    options.filter = NULL;
    CHECK_OK(imgsim_index_search(index, rows, 3, 2, &options, again, same));
    CHECK_EQUAL(stats.queries, 3);
    CHECK_EQUAL(stats.certified, kind == IMGSIM_INDEX_EXACT);
    CHECK(stats.plane_count == 0 && (stats.rows_read >= 3 * 2 || kind != IMGSIM_INDEX_EXACT));
    stats.struct_size = 0;
    CHECK_FAILS(
        imgsim_index_search(index, rows, 1, 2, &options, again, same),
        IMGSIM_ERROR_INVALID_ARGUMENT, "imgsim_search_stats_init");

    CHECK_OK(imgsim_index_set_note(index, "made from nothing"));
    CHECK_OK(imgsim_index_save(index, path));
    for (int32_t verify = 0; verify <= 1; verify++) {
        CHECK_OK(imgsim_index_open(path, verify, &opened));
        CHECK_TEXT(imgsim_index_get_note(opened), "made from nothing");
        CHECK_EQUAL(imgsim_index_get_kind(opened), kind);
        CHECK_EQUAL(imgsim_index_get_metric(opened), IMGSIM_METRIC_L2);
        CHECK_EQUAL(imgsim_index_get_dimension(opened), VALUES);
        CHECK_OK(imgsim_index_search(opened, rows, ROWS, 3, NULL, again, same));
        CHECK(memcmp(ids, again, sizeof(ids)) == 0);
        CHECK(memcmp(distances, same, sizeof(distances)) == 0);
        imgsim_index_free(opened);
    }
    imgsim_index_free(index);
}

static void indexes_answer_and_are_kept(void)
{
    char folder[600], path[700];

    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    snprintf(path, sizeof(path), "%s/i.ims", folder);
    check_index(IMGSIM_INDEX_EXACT, path);
    check_index(IMGSIM_INDEX_HNSW, path);
    bed_remove_folder(folder);
}

static void bits_and_histograms_have_their_own_ways_in(void)
{
    static const uint8_t bits[3] = {0x0f, 0xff, 0x00};
    static const uint64_t offsets[2] = {0, 2};
    static const uint32_t lengths[2] = {2, 1}, counts[3] = {5, 5, 10};
    static const uint16_t bins[3] = {0, 3, 1};
    static const int64_t names[2] = {10, 20};
    static const float query[4] = {0, 1, 0, 0};
    imgsim_index *index = new_index(IMGSIM_INDEX_EXACT, IMGSIM_METRIC_HAMMING, 8);
    float distances[3];
    int64_t ids[3];

    CHECK_OK(imgsim_index_add_bits(index, bits, 3, NULL));
    CHECK_OK(imgsim_index_search_bits(index, bits, 1, 3, NULL, ids, distances));
    CHECK(ids[0] == 0 && ids[1] == 1 && ids[2] == 2);
    CHECK(distances[0] == 0 && distances[1] == 4 && distances[2] == 4);
    imgsim_index_free(index);

    index = new_index(IMGSIM_INDEX_EXACT, IMGSIM_METRIC_INTERSECTION, 4);
    CHECK_OK(imgsim_index_add_sparse(index, offsets, lengths, bins, counts, 2, names));
    CHECK_OK(imgsim_index_search(index, query, 1, 2, NULL, ids, distances));
    CHECK_EQUAL(ids[0], 20);
    CHECK_EQUAL(ids[1], 10);
    imgsim_index_free(index);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    make_rows();
    images_are_decoded();
    extractors_say_what_they_are();
    a_projector_is_fitted_and_kept();
    indexes_answer_and_are_kept();
    bits_and_histograms_have_their_own_ways_in();
    return 0;
}
