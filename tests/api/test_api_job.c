/* SPDX-License-Identifier: Apache-2.0 */
/* The main job from a folder of pictures to the most similar ones, through the public API alone. */
#include "public_bed.h"

#define EACH 12u
#define IMAGES (BED_FAMILIES * EACH)

static struct public_bed bed;

static int32_t count_calls(const imgsim_progress *progress, void *user_data)
{
    CHECK(progress->phase != NULL);
    CHECK(progress->struct_size == sizeof(*progress));
    ++*(int *)user_data;
    return 0;
}

/* Search; the best hit must be of this family. */
static imgsim_result *search(imgsim_query *query, unsigned family)
{
    imgsim_result *result = NULL;
    char wanted[32];

    snprintf(wanted, sizeof(wanted), "/family%u/", family);
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK(imgsim_result_get_count(result) > 0);
    CHECK(strstr(bed_hit(result, 0).path, wanted) != NULL);
    for (size_t i = 1; i < imgsim_result_get_count(result); i++)
        CHECK(bed_hit(result, i).score <= bed_hit(result, i - 1).score);
    return result;
}

/* Set `search`, `fusion` and k of a query; all else as by default. */
static void set_options(imgsim_query *query, int32_t mode, int32_t fusion, uint32_t k)
{
    imgsim_query_options options;

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.search = mode;
    options.fusion = fusion;
    options.k = k;
    options.candidates = 20;
    CHECK_OK(imgsim_query_set_options(query, &options));
}

static void scanning_again_opens_nothing(void)
{
    imgsim_scan_report report = bed_scan(&bed);

    CHECK_EQUAL(report.seen, IMAGES);
    CHECK_EQUAL(report.unchanged, IMAGES);
    CHECK_EQUAL(report.bytes, 0);
}

static void a_file_finds_its_family(void)
{
    const char *outside = bed_write_picture(&bed, 2, 40);
    imgsim_query *query = NULL;
    imgsim_result *result;
    char moved[800];

    snprintf(moved, sizeof(moved), "%s/outside.png", bed.folder);
    CHECK(rename(outside, moved) == 0);
    CHECK_OK(imgsim_query_new(bed.catalog, NULL, &query));
    CHECK_OK(imgsim_query_add_channels(query, "color=0.7,hash=0.3", "color=intersection"));
    CHECK_OK(imgsim_query_add_file(query, moved, 1.0));
    result = search(query, 2);
    CHECK_EQUAL(imgsim_result_get_count(result), 5);
    CHECK_EQUAL(imgsim_result_get_part_count(result), 2);
    CHECK_EQUAL(imgsim_result_get_image_count(result), IMAGES);
    CHECK_EQUAL(imgsim_result_get_exact(result), 1);
    CHECK(imgsim_result_get_elapsed_ms(result) >= 0);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static void memory_pixels_id_and_row_find_the_same_image(void)
{
    uint8_t pixels[BED_PIXELS], data[BED_PIXELS + 256];
    int64_t wanted = bed_find(&bed, bed.catalog, "family3/07.ppm");
    imgsim_image *image = bed_image(3, 7);
    imgsim_query_options options;
    imgsim_query *query = NULL;
    imgsim_result *result;
    float row[BED_VALUES];

    bed_pixels(3, 7, pixels);
    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.exclude_queries = 0;
    CHECK_OK(imgsim_query_new(bed.catalog, &options, &query));
    CHECK_OK(imgsim_query_add_channel(query, "embedding", NULL));
    CHECK_OK(imgsim_query_set_extractor(query, "embedding", bed.extractors[2]));
    CHECK_OK(imgsim_extractor_extract(
        bed.extractors[2], (const imgsim_image *const *)&image, 1, row, sizeof(row)));

    for (int way = 0; way < 4; way++) {
        imgsim_query_clear_images(query);
        if (way == 0)
            CHECK_OK(imgsim_query_add_memory(query, data, bed_png(pixels, data), 1.0));
        else if (way == 1)
            CHECK_OK(imgsim_query_add_image(query, image, 1.0));
        else if (way == 2)
            CHECK_OK(imgsim_query_add_id(query, wanted, 1.0));
        else
            CHECK_OK(imgsim_query_add_row(query, "embedding", row, sizeof(row), 1.0));
        result = search(query, 3);
        CHECK_EQUAL(bed_hit(result, 0).id, wanted);
        CHECK_NEAR(bed_hit(result, 0).score, 1.0, 1e-6);
        imgsim_result_free(result);
    }
    imgsim_query_free(query);
    imgsim_image_free(image);
}

static void filters_keep_to_what_they_say(void)
{
    int64_t id = bed_find(&bed, bed.catalog, "family1/03.ppm");
    int64_t other = bed_find(&bed, bed.catalog, "family4/05.ppm");
    uint8_t bits[(IMAGES + 7) / 8] = {0};
    imgsim_query *query = NULL;
    imgsim_result *result;

    CHECK_OK(imgsim_catalog_add_label(bed.catalog, other, "chosen"));
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
    CHECK_OK(imgsim_query_new(bed.catalog, NULL, &query));
    CHECK_OK(imgsim_query_add_id(query, id, 1.0));

    CHECK_OK(imgsim_query_filter_directory(query, bed_path(&bed, "family0")));
    result = search(query, 0);
    CHECK_EQUAL(imgsim_result_get_image_count(result), EACH);
    imgsim_result_free(result);

    imgsim_query_clear_filters(query);
    CHECK_OK(imgsim_query_filter_label(query, "chosen"));
    result = search(query, 4);
    CHECK_EQUAL(imgsim_result_get_count(result), 1);
    CHECK_EQUAL(bed_hit(result, 0).id, other);
    imgsim_result_free(result);

    imgsim_query_clear_filters(query);
    bits[other / 8] |= (uint8_t)(1 << other % 8);
    CHECK_OK(imgsim_query_filter_bits(query, bits, IMAGES));
    result = search(query, 4);
    CHECK_EQUAL(imgsim_result_get_count(result), 1);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

/* The larger of the similarities: a fusion of the host's. */
static int32_t fuse_largest(
    const float *similarities,
    size_t image_count,
    size_t channel_count,
    float *out_scores,
    void *user_data)
{
    ++*(int *)user_data;
    for (size_t i = 0; i < image_count; i++) {
        out_scores[i] = 0;
        for (size_t c = 0; c < channel_count; c++)
            out_scores[i] = fmaxf(out_scores[i], similarities[i * channel_count + c]);
    }
    return 0;
}

static void channels_are_fused_as_asked(void)
{
    int64_t id = bed_find(&bed, bed.catalog, "family1/03.ppm");
    imgsim_channel_options channel;
    imgsim_query_options options;
    imgsim_query *query = NULL;
    imgsim_result *result;
    int calls = 0;

    CHECK_OK(imgsim_query_new(bed.catalog, NULL, &query));
    CHECK_OK(imgsim_channel_options_init(&channel, sizeof(channel)));
    channel.weight = 3;
    channel.metric = IMGSIM_METRIC_L2;
    CHECK_OK(imgsim_query_add_channel(query, "embedding", &channel));
    CHECK_OK(imgsim_query_add_channel(query, "color", NULL));
    CHECK_OK(imgsim_query_add_id(query, id, 1.0));
    for (int32_t fusion = IMGSIM_FUSE_SUM; fusion <= IMGSIM_FUSE_RRF; fusion++) {
        set_options(query, IMGSIM_SEARCH_EXACT, fusion, 4);
        result = search(query, 1);
        CHECK_EQUAL(imgsim_result_get_count(result), 4);
        for (size_t hit = 0; hit < 4; hit++)
            for (size_t part = 0; part < 2; part++) {
                imgsim_part out = {.struct_size = sizeof(out)};

                CHECK_OK(imgsim_result_get_part(result, hit, part, &out));
                CHECK_TEXT(out.feature, part == 0 ? "embedding" : "color");
                CHECK_EQUAL(out.metric, part == 0 ? IMGSIM_METRIC_L2 : IMGSIM_METRIC_INTERSECTION);
                CHECK_NEAR(out.weight, part == 0 ? 0.75 : 0.25, 1e-12);
                CHECK(out.similarity >= 0 && out.similarity <= 1);
            }
        imgsim_result_free(result);
    }

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.fusion = IMGSIM_FUSE_CALLBACK;
    options.fuse = fuse_largest;
    options.fuse_data = &calls;
    CHECK_OK(imgsim_query_set_options(query, &options));
    imgsim_result_free(search(query, 1));
    CHECK(calls > 0);
    imgsim_query_free(query);
}

static void the_cascade_agrees_with_the_exact_search(void)
{
    imgsim_projection_options projection;
    imgsim_index_options index;
    imgsim_projector *projector = NULL;
    imgsim_index *stored = NULL;
    imgsim_query *query = NULL;
    imgsim_result *exact, *cascade;
    int calls = 0;

    CHECK_OK(imgsim_projection_options_init(&projection, sizeof(projection)));
    projection.dimension = 16;
    projection.progress = count_calls;
    projection.user_data = &calls;
    CHECK_OK(imgsim_derive_projection(bed.catalog, &projection, &projector));
    CHECK_EQUAL(imgsim_projector_get_row_count(projector), IMAGES);
    CHECK(calls > 0);
    CHECK_OK(imgsim_index_options_init(&index, sizeof(index)));
    index.kind = IMGSIM_INDEX_HNSW;
    index.metric = IMGSIM_METRIC_DEFAULT;
    CHECK_OK(imgsim_derive_index(bed.catalog, NULL, &index, &stored));
    CHECK_EQUAL(imgsim_index_get_count(stored), IMAGES);
    CHECK_EQUAL(imgsim_index_get_dimension(stored), 16);
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));

    CHECK_OK(imgsim_query_new(bed.catalog, NULL, &query));
    CHECK_OK(imgsim_query_add_channels(query, "embedding", NULL));
    CHECK_OK(imgsim_query_add_id(query, bed_find(&bed, bed.catalog, "family0/04.png"), 1.0));
    set_options(query, IMGSIM_SEARCH_EXACT, IMGSIM_FUSE_SUM, 5);
    exact = search(query, 0);
    for (int32_t mode = IMGSIM_SEARCH_CASCADE; mode <= IMGSIM_SEARCH_DOUBLE; mode++) {
        set_options(query, mode, IMGSIM_FUSE_SUM, 5);
        cascade = search(query, 0);
        CHECK_EQUAL(imgsim_result_get_count(cascade), 5);
        CHECK(imgsim_result_get_failovers(cascade) <= 4);
        for (size_t i = 0; i < 3; i++)
            CHECK_EQUAL(bed_hit(cascade, i).id, bed_hit(exact, i).id);
        imgsim_result_free(cascade);
    }
    imgsim_result_free(exact);
    imgsim_query_free(query);
    imgsim_index_free(stored);
    imgsim_projector_free(projector);
}

/* The first bytes of a file, and its size. */
static size_t peek(const char *path, char out[64])
{
    FILE *file = fopen(path, "rb");
    size_t size;

    CHECK(file != NULL);
    memset(out, 0, 64);
    CHECK(fread(out, 1, 63, file) > 0);
    CHECK(fseek(file, 0, SEEK_END) == 0);
    size = (size_t)ftell(file);
    fclose(file);
    return size;
}

static void results_are_drawn_and_written(void)
{
    imgsim_image *sheet = NULL;
    imgsim_query *query = NULL;
    imgsim_result *result;
    char path[800], start[64];

    CHECK_OK(imgsim_query_new(bed.catalog, NULL, &query));
    CHECK_OK(imgsim_query_add_id(query, bed_find(&bed, bed.catalog, "family2/08.png"), 1.0));
    result = search(query, 2);
    snprintf(path, sizeof(path), "%s/sheet.png", bed.folder);
    CHECK_OK(imgsim_result_write_sheet(result, query, path));
    CHECK_OK(imgsim_image_load_file(path, NULL, &sheet));
    CHECK_TEXT(imgsim_image_get_format(sheet), "png");
    CHECK(imgsim_image_get_width(sheet) > 200);
    snprintf(path, sizeof(path), "%s/page.html", bed.folder);
    CHECK_OK(imgsim_result_write_html(result, query, path));
    CHECK(peek(path, start) > 1000);
    CHECK(strncmp(start, "<!DOCTYPE html>", 15) == 0 || strncmp(start, "<!doctype html>", 15) == 0);
    imgsim_image_free(sheet);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

/* A new, a changed and a vanished file; the derived things follow. */
static void changes_are_taken_in(void)
{
    imgsim_query *query = NULL;
    imgsim_scan_report report;
    imgsim_result *result;
    size_t changes = 0;
    int64_t before = bed_find(&bed, bed.catalog, "family0/02.png");

    bed_write_picture(&bed, 0, EACH);
    CHECK(remove(bed_path(&bed, "family1/02.png")) == 0);
    {
        uint8_t pixels[BED_PIXELS], data[BED_PIXELS + 256];

        bed_pixels(0, 50, pixels);
        bed_write_file(bed_path(&bed, "family0/02.png"), data, bed_ppm(pixels, data));
    }
    report = bed_scan(&bed);
    CHECK_EQUAL(report.added, 1);
    CHECK_EQUAL(report.refreshed, 1);
    CHECK_EQUAL(report.missing, 1);
    CHECK_OK(imgsim_derive_refresh(bed.catalog, &changes));
    CHECK(changes > 0);
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
    CHECK(bed_find(&bed, bed.catalog, "family0/02.png") != before);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), IMAGES);

    CHECK_OK(imgsim_query_new(bed.catalog, NULL, &query));
    CHECK_OK(imgsim_query_add_channels(query, "blend", NULL));
    CHECK_OK(imgsim_query_add_id(query, bed_find(&bed, bed.catalog, "family0/12.png"), 1.0));
    result = search(query, 0);
    CHECK_EQUAL(imgsim_result_get_image_count(result), IMAGES);
    imgsim_result_free(result);
    imgsim_query_free(query);
    bed_verify(bed.catalog);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    bed_open(&bed, EACH);
    scanning_again_opens_nothing();
    a_file_finds_its_family();
    memory_pixels_id_and_row_find_the_same_image();
    filters_keep_to_what_they_say();
    channels_are_fused_as_asked();
    the_cascade_agrees_with_the_exact_search();
    results_are_drawn_and_written();
    changes_are_taken_in();
    bed_close(&bed);
    return 0;
}
