/* SPDX-License-Identifier: Apache-2.0 */
/* Perceptual hashes: bits as defined, near for near-duplicates, far for other pictures. */
#include "image_files.h"

#include "core/rng.h"

#include <imgsim/extractor.h>

#include <dirent.h>

static imgsim_extractor *make_hash(int32_t kind, uint32_t bits)
{
    imgsim_hash_options options;
    imgsim_extractor *extractor = NULL;

    CHECK_OK(imgsim_hash_options_init(&options, sizeof(options)));
    options.kind = kind;
    options.bits = bits;
    CHECK_OK(imgsim_extractor_new_hash(&options, &extractor));
    CHECK_EQUAL(imgsim_extractor_get_dimension(extractor), bits);
    CHECK_EQUAL(imgsim_extractor_get_row_size(extractor), bits / 8);
    CHECK_EQUAL(imgsim_extractor_get_row_type(extractor), IMGSIM_ROW_BITS);
    CHECK_EQUAL(imgsim_extractor_get_default_metric(extractor), IMGSIM_METRIC_HAMMING);
    CHECK_TEXT(imgsim_extractor_get_name(extractor), "hash");
    return extractor;
}

static void hash_of(int32_t kind, uint32_t bits, const imgsim_image *image, uint8_t out[32])
{
    imgsim_extractor *extractor = make_hash(kind, bits);

    memset(out, 0xee, 32);
    CHECK_OK(imgsim_extractor_extract(extractor, &image, 1, out, 32));
    if (bits == 64)
        CHECK_EQUAL(out[8], 0xee); /* not a byte beyond the row */
    imgsim_extractor_free(extractor);
}

static int bits_apart(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
    int count = 0;

    for (uint32_t i = 0; i < bits; i++)
        count += ((a[i / 8] ^ b[i / 8]) >> (i % 8)) & 1;
    return count;
}

/* An image of grey cells, one pixel each. */
static imgsim_image *grey_cells(uint32_t width, uint32_t height, const uint8_t *values)
{
    imgsim_image *image = NULL;

    CHECK_OK(ims_image_alloc(width, height, &image));
    for (uint32_t i = 0; i < width * height; i++)
        memset(image->pixels + 3 * i, values[i], 3);
    return image;
}

static void test_dhash_and_ahash_bit_by_bit(void)
{
    uint8_t wide[72], square[64], row[32];
    imgsim_image *image;

    /* Row y rises at the places whose bit is set in y * 37. */
    for (int y = 0; y < 8; y++) {
        wide[9 * y] = 100;
        for (int x = 0; x < 8; x++)
            wide[9 * y + x + 1] =
                (uint8_t)(wide[9 * y + x] + ((y * 37 % 256) >> (7 - x) & 1 ? 10 : -10));
    }
    image = grey_cells(9, 8, wide);
    hash_of(IMGSIM_HASH_DHASH, 64, image, row);
    for (int y = 0; y < 8; y++)
        CHECK_EQUAL(row[y], y * 37 % 256);
    imgsim_image_free(image);

    for (int i = 0; i < 64; i++)
        square[i] = (i * 29 % 64) < 20 ? 200 : 50;
    image = grey_cells(8, 8, square);
    hash_of(IMGSIM_HASH_AHASH, 64, image, row);
    for (int i = 0; i < 64; i++)
        CHECK_EQUAL((row[i / 8] >> (7 - i % 8)) & 1, (i * 29 % 64) < 20);
    imgsim_image_free(image);
}

/* The definition in doubles, on a picture that needs no resampling. */
static void test_phash_is_the_sign_of_low_frequencies(void)
{
    for (uint32_t side = 8; side <= 16; side += 8) {
        uint32_t n = 4 * side;
        imgsim_image *picture = make_picture(n, n, side);
        double values[64 * 64], low[256], sorted[256], median;
        uint8_t row[32];
        int wrong = 0;

        for (uint32_t i = 0; i < n * n; i++) {
            const uint8_t *p = picture->pixels + 3 * i;

            values[i] = (19595.0 * p[0] + 38470.0 * p[1] + 7471.0 * p[2]) / 65536.0;
        }
        for (uint32_t l = 0; l < side; l++)
            for (uint32_t k = 0; k < side; k++) {
                double sum = 0.0;

                for (uint32_t y = 0; y < n; y++)
                    for (uint32_t x = 0; x < n; x++)
                        sum += values[y * n + x] * cos((2 * x + 1) * k * M_PI / (2.0 * n)) *
                               cos((2 * y + 1) * l * M_PI / (2.0 * n));
                low[l * side + k] = sum;
            }
        memcpy(sorted, low, sizeof(sorted));
        for (uint32_t i = 1; i < side * side; i++)
            for (uint32_t k = i; k > 0 && sorted[k - 1] > sorted[k]; k--) {
                double swap = sorted[k];

                sorted[k] = sorted[k - 1];
                sorted[k - 1] = swap;
            }
        median = (sorted[side * side / 2 - 1] + sorted[side * side / 2]) / 2.0;
        hash_of(IMGSIM_HASH_PHASH, side * side, picture, row);
        for (uint32_t i = 0; i < side * side; i++)
            if (fabs(low[i] - median) > 1.0)
                wrong += ((row[i / 8] >> (7 - i % 8)) & 1) != (low[i] > median);
        CHECK_EQUAL(wrong, 0);
        imgsim_image_free(picture);
    }
}

/* An even picture has one frequency above 0 at most: no noise decides any bit. */
static void test_even_pictures_have_one_bit(void)
{
    uint8_t row[32], values[64];

    for (int value = 0; value < 256; value += 51) {
        imgsim_image *image;

        memset(values, value, sizeof(values));
        image = grey_cells(8, 8, values);
        hash_of(IMGSIM_HASH_PHASH, 64, image, row);
        CHECK_EQUAL(row[0], value > 0 ? 0x80 : 0);
        for (int i = 1; i < 8; i++)
            CHECK_EQUAL(row[i], 0);
        hash_of(IMGSIM_HASH_DHASH, 64, image, row);
        for (int i = 0; i < 8; i++)
            CHECK_EQUAL(row[i], 0);
        imgsim_image_free(image);
    }
}

/*
 * A scene of boxes of all sizes: like a photo it has something at every frequency, which waves
 * have not.
 */
static imgsim_image *make_scene(uint64_t seed)
{
    imgsim_image *image = make_picture(300, 200, (uint32_t)seed);
    struct ims_rng rng;

    ims_rng_init(&rng, seed);
    for (uint32_t i = 0; i < 40; i++) {
        uint32_t size = 200 / (1 + i / 2), x = (uint32_t)ims_rng_below(&rng, 300);

        ims_canvas_fill(
            image, (int32_t)x - 40, (int32_t)ims_rng_below(&rng, 200) - 30,
            size + (uint32_t)ims_rng_below(&rng, 20), size + (uint32_t)ims_rng_below(&rng, 20),
            (uint32_t)ims_rng_below(&rng, 1 << 24));
    }
    return image;
}

/* A picture, its reduced version and its JPEG differ in few bits; another one in many. */
static void check_neighbours(const imgsim_image *picture, const imgsim_image *other)
{
    struct file_bytes file = encode_picture(picture, "jpeg");
    imgsim_image *again = load_bytes(&file), *small = NULL;

    CHECK_OK(ims_image_alloc(picture->width * 2 / 3, picture->height * 2 / 3, &small));
    CHECK_OK(ims_resample_rgb(
        picture, 0, 0, picture->width, picture->height, small->width, small->height,
        small->pixels));
    for (int32_t kind = IMGSIM_HASH_PHASH; kind <= IMGSIM_HASH_AHASH; kind++)
        for (uint32_t bits = 64; bits <= 256; bits *= 4) {
            uint8_t a[32], b[32], c[32], d[32];

            hash_of(kind, bits, picture, a);
            hash_of(kind, bits, again, b);
            hash_of(kind, bits, small, c);
            hash_of(kind, bits, other, d);
            CHECK(bits_apart(a, b, bits) <= (int)bits / 16);
            CHECK(bits_apart(a, c, bits) <= (int)bits / 16);
            CHECK(bits_apart(a, d, bits) >= (int)bits / 8);
        }
    imgsim_image_free(again);
    imgsim_image_free(small);
    free(file.data);
}

static void test_near_duplicates_are_near(void)
{
    imgsim_image *pictures[4];

    for (uint32_t i = 0; i < 4; i++)
        pictures[i] = make_scene(i + 1);
    for (uint32_t i = 0; i < 4; i++)
        check_neighbours(pictures[i], pictures[(i + 1) % 4]);
    for (uint32_t i = 0; i < 4; i++)
        imgsim_image_free(pictures[i]);
}

/*
 * Real photos: reduced decoding moves at most a few bits, and no two different photos share a
 * hash.
 */
static void test_photos(void)
{
    enum { MAX = 30 };
    char path[4096];
    uint8_t hashes[MAX][32];
    struct dirent *entry;
    DIR *folder;
    int count = 0;

    if (check_data_folder() == NULL) {
        printf("skipped: the folder of real test photos is not there\n");
        return;
    }
    snprintf(path, sizeof(path), "%s/images/photos-100", check_data_folder());
    CHECK((folder = opendir(path)) != NULL);
    while ((entry = readdir(folder)) != NULL && count < MAX) {
        imgsim_image_options options;
        imgsim_image *full = NULL, *reduced = NULL;
        uint8_t again[32];

        snprintf(path, sizeof(path), "%s/images/photos-100/%s", check_data_folder(), entry->d_name);
        if (imgsim_image_load_file(path, NULL, &full) != IMGSIM_OK)
            continue;
        CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
        options.min_side = 64;
        CHECK_OK(imgsim_image_load_file(path, &options, &reduced));
        hash_of(IMGSIM_HASH_PHASH, 64, full, hashes[count]);
        hash_of(IMGSIM_HASH_PHASH, 64, reduced, again);
        CHECK(bits_apart(hashes[count], again, 64) <= 4);
        for (int i = 0; i < count; i++)
            CHECK(bits_apart(hashes[i], hashes[count], 64) > 10);
        imgsim_image_free(full);
        imgsim_image_free(reduced);
        count++;
    }
    closedir(folder);
    CHECK_EQUAL(count, MAX);
}

static void test_bad_options_are_refused(void)
{
    imgsim_hash_options options;
    imgsim_extractor *extractor = NULL;

    CHECK_OK(imgsim_hash_options_init(&options, sizeof(options)));
    CHECK_EQUAL(options.bits, 64);
    options.bits = 128;
    CHECK_FAILS(
        imgsim_extractor_new_hash(&options, &extractor), IMGSIM_ERROR_INVALID_ARGUMENT, "128");
    options.bits = 64;
    options.kind = 3;
    CHECK_FAILS(imgsim_extractor_new_hash(&options, &extractor), IMGSIM_ERROR_UNSUPPORTED, "3");
    CHECK(extractor == NULL);
}

int main(void)
{
    test_dhash_and_ahash_bit_by_bit();
    test_phash_is_the_sign_of_low_frequencies();
    test_even_pictures_have_one_bit();
    test_near_duplicates_are_near();
    test_photos();
    test_bad_options_are_refused();
    return 0;
}
