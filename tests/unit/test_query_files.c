/* SPDX-License-Identifier: Apache-2.0 */
/* Query images from files, memory and pixels get the rows that a scan gives the same pictures. */
#include "query_bed.h"

#include <imgsim/scan.h>

#include "core/memory.h"
#include "core/rng.h"
#include "image/image.h"

#define PICTURES 12

static struct bed bed;
static char paths[PICTURES][900];

/* A picture of large patches of colour, different for every seed. */
static imgsim_image *make_picture(uint64_t seed, uint32_t width, uint32_t height)
{
    struct ims_rng rng;
    imgsim_image *image;
    uint8_t patches[8][8][3];

    ims_rng_init(&rng, seed);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            for (int c = 0; c < 3; c++)
                patches[i][j][c] = (uint8_t)ims_rng_next(&rng);
    CHECK_OK(ims_image_alloc(width, height, &image));
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            memcpy(
                image->pixels + ((size_t)y * width + x) * 3, patches[y * 8 / height][x * 8 / width],
                3);
    return image;
}

static void write_bytes(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK_EQUAL(fwrite(data, 1, size, file), size);
    CHECK(fclose(file) == 0);
}

static void write_picture(const char *path, uint64_t seed, const char *format)
{
    imgsim_image *image = make_picture(seed, 900 + (uint32_t)seed * 10, 700);
    uint8_t *data;
    size_t size;

    CHECK_OK(ims_image_encode(image, format, 92, &data, &size));
    write_bytes(path, data, size);
    ims_free(data);
    imgsim_image_free(image);
}

static void make_gallery(void)
{
    const char *folder = bed.folder;
    imgsim_scan_options options;

    for (int i = 0; i < PICTURES; i++) {
        snprintf(
            paths[i], sizeof(paths[i]), "%s/p%02d.%s", bed.folder, i, i % 2 == 0 ? "jpg" : "png");
        write_picture(paths[i], (uint64_t)i, i % 2 == 0 ? "jpeg" : "png");
    }
    CHECK_OK(imgsim_scan_options_init(&options, sizeof(options)));
    options.threads = 1;
    CHECK_OK(imgsim_scan(bed.catalog, &folder, 1, &options, NULL));
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), PICTURES);
}

static char *read_bytes(const char *path, size_t *out_size)
{
    FILE *file = fopen(path, "rb");
    char *data = malloc(1 << 24);

    CHECK(file != NULL && data != NULL);
    *out_size = fread(data, 1, 1 << 24, file);
    fclose(file);
    return data;
}

/* Search and give the first hit, whose path ends with `expected`. */
static imgsim_hit first_hit(imgsim_query *query, const char *expected, imgsim_result **out_result)
{
    imgsim_hit hit = {.struct_size = sizeof(hit)};

    CHECK_OK(imgsim_query_search(query, out_result));
    CHECK_OK(imgsim_result_get_hit(*out_result, 0, &hit));
    if (expected != NULL)
        CHECK_TEXT(strrchr(hit.path, '/') + 1, expected);
    return hit;
}

static imgsim_query *new_query(int exclude)
{
    imgsim_query_options options;
    imgsim_query *query;

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.k = PICTURES;
    options.exclude_queries = exclude;
    CHECK_OK(imgsim_query_new(bed.catalog, &options, &query));
    return query;
}

/* Both channels must find the picture itself, with the very same rows. */
static void check_self(imgsim_query *query, const char *name)
{
    imgsim_result *result;
    imgsim_hit hit = first_hit(query, name, &result);

    CHECK_NEAR(hit.score, 1, 1e-7);
    CHECK_EQUAL(imgsim_result_get_part_count(result), 2);
    for (size_t c = 0; c < 2; c++) {
        imgsim_part part = {.struct_size = sizeof(part)};

        CHECK_OK(imgsim_result_get_part(result, 0, c, &part));
        CHECK_NEAR(part.similarity, 1, 1e-7);
    }
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static void a_file_gets_the_rows_of_its_scan(void)
{
    for (int i = 0; i < PICTURES; i++) {
        imgsim_query *query = new_query(0);
        size_t size;
        char *data = read_bytes(paths[i], &size);

        CHECK_OK(imgsim_query_add_file(query, paths[i], 1));
        check_self(query, strrchr(paths[i], '/') + 1);

        /* From memory nothing is known about it: decoded and extracted anew. */
        query = new_query(0);
        CHECK_OK(imgsim_query_add_memory(query, data, size, 1));
        free(data);
        check_self(query, strrchr(paths[i], '/') + 1);
    }
}

static void pixels_are_compared_as_they_are(void)
{
    imgsim_query *query = new_query(0);
    imgsim_image *image = make_picture(3, 930, 700); /* p03.png holds these pixels */

    CHECK_OK(imgsim_query_add_image(query, image, 1));
    imgsim_image_free(image);
    check_self(query, "p03.png");
}

static void the_query_file_is_left_out_and_its_copy_is_not(void)
{
    char copy[1000], link[1000];
    size_t size;
    char *data = read_bytes(paths[4], &size);
    imgsim_query *query = new_query(1);
    imgsim_result *result;
    imgsim_hit hit = {.struct_size = sizeof(hit)};

    CHECK_OK(imgsim_query_add_file(query, paths[4], 1));
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_EQUAL(imgsim_result_get_count(result), PICTURES - 1);
    CHECK_EQUAL(imgsim_result_get_image_count(result), PICTURES);
    CHECK_OK(imgsim_result_get_hit(result, 0, &hit));
    CHECK(hit.score < 0.99);
    imgsim_result_free(result);
    imgsim_query_free(query);

    /* The same file by way of a symbolic link is the same image. */
    snprintf(link, sizeof(link), "%s/link.jpg", bed.folder);
    CHECK(symlink(paths[4], link) == 0);
    query = new_query(1);
    CHECK_OK(imgsim_query_add_file(query, link, 1));
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_EQUAL(imgsim_result_get_count(result), PICTURES - 1);
    imgsim_result_free(result);
    imgsim_query_free(query);
    CHECK(unlink(link) == 0);

    /* A copy elsewhere is an image of its own, and finds the original. */
    snprintf(copy, sizeof(copy), "%s/copy.jpg", bed.folder);
    write_bytes(copy, data, size);
    free(data);
    query = new_query(1);
    CHECK_OK(imgsim_query_add_file(query, copy, 1));
    check_self(query, "p04.jpg");
    CHECK(unlink(copy) == 0);
}

static void a_file_that_has_changed_is_looked_at_anew(void)
{
    imgsim_query *query = new_query(0);
    imgsim_result *result;
    imgsim_hit hit;
    size_t size;
    char *data = read_bytes(paths[6], &size);

    write_picture(paths[6], 8, "jpeg"); /* now it is what p08.jpg is */
    CHECK_OK(imgsim_query_add_file(query, paths[6], 1));
    hit = first_hit(query, "p08.jpg", &result);
    CHECK_NEAR(hit.score, 1, 1e-7);
    imgsim_result_free(result);
    imgsim_query_free(query);
    write_bytes(paths[6], data, size);
    free(data);
}

static void bad_files_are_refused_as_when_loading(void)
{
    imgsim_query *query = new_query(1);
    char path[1000];
    size_t size;
    char *data = read_bytes(paths[0], &size);

    snprintf(path, sizeof(path), "%s/bad.jpg", bed.folder);
    write_bytes(path, "", 0);
    CHECK_FAILS(imgsim_query_add_file(query, path, 1), IMGSIM_ERROR_BAD_IMAGE, "bad.jpg");
    write_bytes(path, data, size / 2);
    CHECK_FAILS(imgsim_query_add_file(query, path, 1), IMGSIM_ERROR_BAD_IMAGE, "bad.jpg");
    CHECK_FAILS(imgsim_query_add_file(query, bed.folder, 1), IMGSIM_ERROR_IO, bed.folder);
    free(data);
    CHECK(unlink(path) == 0);
    imgsim_query_free(query);
}

/* The real photos: each must be found by its bytes, first of all, with its very rows. */
static void real_photos_find_themselves(void)
{
    const char *data_folder = check_data_folder();
    char folder[700];
    const char *folders[1] = {folder};
    struct bed photos;
    imgsim_query_options options;

    if (data_folder == NULL) {
        printf("skipped: real photos, no test data\n");
        return;
    }
    snprintf(folder, sizeof(folder), "%s/images/photos-100", data_folder);
    bed_open_empty(&photos);
    CHECK_OK(imgsim_scan(photos.catalog, folders, 1, NULL, NULL));
    CHECK_OK(imgsim_catalog_refresh(photos.catalog));
    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    for (int64_t id = 0; id < 100; id += 9) {
        imgsim_query *by_id, *by_memory;
        imgsim_result *known, *result;
        imgsim_hit hit = {.struct_size = sizeof(hit)};
        char *data;
        size_t size;

        options.exclude_queries = 0;
        CHECK_OK(imgsim_query_new(photos.catalog, &options, &by_id));
        CHECK_OK(imgsim_query_add_id(by_id, id, 1));
        CHECK_OK(imgsim_query_search(by_id, &known));
        CHECK_OK(imgsim_result_get_hit(known, 0, &hit));
        CHECK_EQUAL(hit.id, id);

        data = read_bytes(hit.path, &size);
        CHECK_OK(imgsim_query_new(photos.catalog, &options, &by_memory));
        CHECK_OK(imgsim_query_add_memory(by_memory, data, size, 1));
        free(data);
        CHECK_OK(imgsim_query_search(by_memory, &result));
        CHECK_EQUAL(imgsim_result_get_count(result), imgsim_result_get_count(known));
        for (size_t i = 0; i < imgsim_result_get_count(result); i++) {
            imgsim_hit right = {.struct_size = sizeof(right)};

            CHECK_OK(imgsim_result_get_hit(known, i, &right));
            CHECK_OK(imgsim_result_get_hit(result, i, &hit));
            CHECK_EQUAL(hit.id, right.id);
            CHECK(hit.score == right.score);
        }
        imgsim_result_free(known);
        imgsim_result_free(result);
        imgsim_query_free(by_id);
        imgsim_query_free(by_memory);
    }
    bed_close(&photos);
}

int main(void)
{
    bed_open_empty(&bed);
    make_gallery();
    a_file_gets_the_rows_of_its_scan();
    pixels_are_compared_as_they_are();
    the_query_file_is_left_out_and_its_copy_is_not();
    a_file_that_has_changed_is_looked_at_anew();
    bad_files_are_refused_as_when_loading();
    bed_close(&bed);
    real_photos_find_themselves();
    return 0;
}
