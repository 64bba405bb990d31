/* SPDX-License-Identifier: Apache-2.0 */
/* Colour histograms: exact counts, every number of bins, and colour spaces as defined. */
#include "check.h"

#include "core/memory.h"
#include "core/rng.h"
#include "image/image.h"

#include <imgsim/extractor.h>

static imgsim_image *one_colour(uint8_t r, uint8_t g, uint8_t b, uint32_t width, uint32_t height)
{
    imgsim_image *image = NULL;

    CHECK_OK(ims_image_alloc(width, height, &image));
    for (size_t i = 0; i < (size_t)width * height; i++) {
        image->pixels[3 * i] = r;
        image->pixels[3 * i + 1] = g;
        image->pixels[3 * i + 2] = b;
    }
    return image;
}

static imgsim_image *noise(uint32_t width, uint32_t height, uint64_t seed)
{
    imgsim_image *image = NULL;
    struct ims_rng rng;

    ims_rng_init(&rng, seed);
    CHECK_OK(ims_image_alloc(width, height, &image));
    for (size_t i = 0; i < (size_t)width * height * 3; i++)
        image->pixels[i] = (uint8_t)ims_rng_below(&rng, 256);
    return image;
}

static imgsim_extractor *make_color(int32_t space, uint32_t b0, uint32_t b1, uint32_t b2)
{
    imgsim_color_options options;
    imgsim_extractor *extractor = NULL;

    CHECK_OK(imgsim_color_options_init(&options, sizeof(options)));
    options.space = space;
    options.bins[0] = b0;
    options.bins[1] = b1;
    options.bins[2] = b2;
    CHECK_OK(imgsim_extractor_new_color(&options, &extractor));
    return extractor;
}

static uint32_t *extract(const imgsim_extractor *extractor, const imgsim_image *image)
{
    size_t size = imgsim_extractor_get_row_size(extractor);
    uint32_t *row = malloc(size);

    CHECK(row != NULL);
    memset(row, 0xee, size);
    CHECK_OK(imgsim_extractor_extract(extractor, &image, 1, row, size));
    return row;
}

/* The public definition: bin of v is v * bins / 256, last channel fastest. */
static void
check_against_definition(const imgsim_image *image, uint32_t b0, uint32_t b1, uint32_t b2)
{
    imgsim_extractor *extractor = make_color(IMGSIM_COLOR_RGB, b0, b1, b2);
    uint32_t *expected = calloc((size_t)b0 * b1 * b2, sizeof(*expected));
    uint32_t *row = extract(extractor, image);

    CHECK(expected != NULL);
    for (size_t i = 0; i < (size_t)image->width * image->height; i++) {
        const uint8_t *p = image->pixels + 3 * i;

        expected[((p[0] * b0 / 256) * b1 + p[1] * b1 / 256) * b2 + p[2] * b2 / 256]++;
    }
    CHECK(memcmp(expected, row, (size_t)b0 * b1 * b2 * sizeof(*row)) == 0);
    free(expected);
    free(row);
    imgsim_extractor_free(extractor);
}

static void test_counts_are_exact_for_all_bins(void)
{
    imgsim_image *image = noise(101, 67, 1), *tiny = noise(3, 1, 2);

    for (uint32_t bins = 2; bins <= 32; bins++) {
        check_against_definition(image, bins, bins, bins);
        check_against_definition(image, bins, 2 + bins % 7, 32);
    }
    check_against_definition(image, 8, 16, 32);
    check_against_definition(image, 16, 32, 8);
    check_against_definition(tiny, 16, 16, 16);
    check_against_definition(tiny, 5, 4, 3);
    imgsim_image_free(image);
    imgsim_image_free(tiny);
}

static void test_counts_sum_to_the_pixels_in_every_space(void)
{
    imgsim_image *image = noise(123, 45, 3);

    for (int32_t space = IMGSIM_COLOR_RGB; space <= IMGSIM_COLOR_LAB; space++) {
        imgsim_extractor *extractor = make_color(space, 16, 16, 16);
        uint32_t *row = extract(extractor, image);
        uint64_t sum = 0;

        for (int i = 0; i < 4096; i++)
            sum += row[i];
        CHECK_EQUAL(sum, 123 * 45);
        free(row);
        imgsim_extractor_free(extractor);
    }
    imgsim_image_free(image);
}

/* The one bin a colour falls into, 32 bins: each channel's value divided by 8. */
static void check_colour(int32_t space, const uint8_t *rgb, int first, int second, int third)
{
    imgsim_image *image = one_colour(rgb[0], rgb[1], rgb[2], 5, 3);
    imgsim_extractor *extractor = make_color(space, 32, 32, 32);
    uint32_t *row = extract(extractor, image);
    int expected = (first / 8 * 32 + second / 8) * 32 + third / 8;

    for (int i = 0; i < 32768; i++)
        if (row[i] != 0) {
            CHECK_EQUAL(i, expected);
            CHECK_EQUAL(row[i], 15);
        }
    CHECK_EQUAL(row[expected], 15);
    free(row);
    imgsim_extractor_free(extractor);
    imgsim_image_free(image);
}

/* Hue in 256 steps; L* 255 / 100, a* + 128, b* + 128: values of the literature, rounded. */
static void test_primary_colours(void)
{
    static const struct {
        uint8_t rgb[3];
        int hsv[3];
        int lab[3];
    } colours[] = {
        {{255, 0, 0}, {0, 255, 255}, {136, 208, 195}},
        {{0, 255, 0}, {85, 255, 255}, {224, 42, 211}},
        {{0, 0, 255}, {171, 255, 255}, {82, 207, 20}},
        {{255, 255, 0}, {43, 255, 255}, {248, 106, 222}},
        {{0, 255, 255}, {128, 255, 255}, {232, 80, 114}},
        {{255, 0, 255}, {213, 255, 255}, {154, 226, 67}},
        {{255, 255, 255}, {0, 0, 255}, {255, 128, 128}},
        {{0, 0, 0}, {0, 0, 0}, {0, 128, 128}},
        {{128, 128, 128}, {0, 0, 128}, {137, 128, 128}},
        {{128, 64, 64}, {0, 128, 128}, {91, 155, 141}},
        {{255, 0, 1}, {0, 255, 255}, {136, 208, 194}},
        {{10, 200, 100}, {107, 242, 200}, {181, 71, 164}},
    };

    for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++) {
        check_colour(
            IMGSIM_COLOR_HSV, colours[i].rgb, colours[i].hsv[0], colours[i].hsv[1],
            colours[i].hsv[2]);
        check_colour(
            IMGSIM_COLOR_LAB, colours[i].rgb, colours[i].lab[0], colours[i].lab[1],
            colours[i].lab[2]);
    }
}

static void test_what_the_extractor_says_about_itself(void)
{
    imgsim_extractor *extractor = NULL, *other = make_color(IMGSIM_COLOR_LAB, 2, 3, 32);

    CHECK_OK(imgsim_extractor_new_color(NULL, &extractor));
    CHECK_EQUAL(imgsim_extractor_get_dimension(extractor), 4096);
    CHECK_EQUAL(imgsim_extractor_get_row_type(extractor), IMGSIM_ROW_UINT32);
    CHECK_EQUAL(imgsim_extractor_get_row_size(extractor), 16384);
    CHECK_EQUAL(imgsim_extractor_get_default_metric(extractor), IMGSIM_METRIC_INTERSECTION);
    CHECK_TEXT(imgsim_extractor_get_name(extractor), "color");
    CHECK_TEXT(imgsim_extractor_get_spec(extractor), "color:space=rgb,bins=16x16x16");
    CHECK_EQUAL(strlen(imgsim_extractor_get_fingerprint(extractor)), 32);
    CHECK_EQUAL(imgsim_extractor_get_min_side(extractor), 0);
    CHECK_TEXT(imgsim_extractor_get_spec(other), "color:space=lab,bins=2x3x32");
    CHECK(
        strcmp(
            imgsim_extractor_get_fingerprint(extractor), imgsim_extractor_get_fingerprint(other)) !=
        0);
    imgsim_extractor_free(extractor);
    imgsim_extractor_free(other);
}

static void test_bad_options_are_refused(void)
{
    imgsim_color_options options;
    imgsim_extractor *extractor = NULL;

    CHECK_OK(imgsim_color_options_init(&options, sizeof(options)));
    options.bins[1] = 1;
    CHECK_FAILS(
        imgsim_extractor_new_color(&options, &extractor), IMGSIM_ERROR_INVALID_ARGUMENT, "bins[1]");
    options.bins[1] = 33;
    CHECK_FAILS(
        imgsim_extractor_new_color(&options, &extractor), IMGSIM_ERROR_INVALID_ARGUMENT, "33");
    options.bins[1] = 16;
    options.space = 3;
    CHECK_FAILS(
        imgsim_extractor_new_color(&options, &extractor), IMGSIM_ERROR_UNSUPPORTED, "space");
    CHECK(extractor == NULL);
    CHECK_FAILS(imgsim_extractor_new_color(NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
}

int main(void)
{
    test_counts_are_exact_for_all_bins();
    test_counts_sum_to_the_pixels_in_every_space();
    test_primary_colours();
    test_what_the_extractor_says_about_itself();
    test_bad_options_are_refused();
    return 0;
}
