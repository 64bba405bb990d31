/* SPDX-License-Identifier: Apache-2.0 */
/* Thumbnails: proportions, size, that they look like the picture, and that they fit into their row. */
#include "check.h"

#include "core/rng.h"
#include "extract/extractor.h"
#include "extract/thumb.h"
#include "image/image.h"

static imgsim_image *gradient(uint32_t width, uint32_t height)
{
    imgsim_image *image = NULL;

    CHECK_OK(ims_image_alloc(width, height, &image));
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint8_t *pixel = image->pixels + 3 * ((size_t)y * width + x);

            pixel[0] = (uint8_t)(x * 255 / width);
            pixel[1] = (uint8_t)(y * 255 / height);
            pixel[2] = 90;
        }
    return image;
}

/* The thumbnail of an image, decoded; *out_size is that of its file. */
static imgsim_image *make(const imgsim_image *image, uint32_t side, size_t *out_size)
{
    imgsim_extractor *extractor = NULL;
    imgsim_image *thumb = NULL;
    uint32_t length;
    uint8_t *row;

    CHECK_OK(ims_extractor_new_thumb(side, &extractor));
    CHECK_EQUAL(imgsim_extractor_get_row_type(extractor), IMGSIM_ROW_BYTES);
    CHECK_TEXT(imgsim_extractor_get_name(extractor), "thumbnail");
    CHECK_EQUAL(ims_thumb_spec_side(imgsim_extractor_get_spec(extractor)), side);
    CHECK((row = malloc(extractor->row_size)) != NULL);
    CHECK_OK(imgsim_extractor_extract(extractor, &image, 1, row, extractor->row_size));
    memcpy(&length, row, sizeof(length));
    CHECK(length <= extractor->dimension);
    CHECK_OK(imgsim_image_load_memory(row + sizeof(length), length, NULL, &thumb));
    CHECK_TEXT(thumb->format, "jpeg");
    *out_size = length;
    free(row);
    imgsim_extractor_free(extractor);
    return thumb;
}

static void check_size(
    uint32_t width,
    uint32_t height,
    uint32_t side,
    uint32_t expected_width,
    uint32_t expected_height)
{
    imgsim_image *image = gradient(width, height);
    size_t size;
    imgsim_image *thumb = make(image, side, &size);

    CHECK_EQUAL(thumb->width, expected_width);
    CHECK_EQUAL(thumb->height, expected_height);
    imgsim_image_free(thumb);
    imgsim_image_free(image);
}

static void proportions_are_kept(void)
{
    check_size(500, 375, 128, 128, 96);
    check_size(375, 500, 128, 96, 128);
    check_size(129, 129, 128, 128, 128);
    check_size(32, 32, 128, 32, 32);
    check_size(128, 7, 128, 128, 7);
    check_size(4000, 3, 128, 128, 1);
    check_size(1, 1, 16, 1, 1);
    check_size(1000, 800, 512, 512, 410);
}

/* Every pixel of a smooth picture comes back within what JPEG takes. */
static void it_looks_like_the_picture(void)
{
    imgsim_image *image = gradient(640, 480);
    size_t size;
    imgsim_image *thumb = make(image, 128, &size);

    for (uint32_t y = 0; y < thumb->height; y++)
        for (uint32_t x = 0; x < thumb->width; x++) {
            const uint8_t *pixel = thumb->pixels + 3 * ((size_t)y * thumb->width + x);

            CHECK_NEAR(pixel[0], (x + 0.5) * 255 / thumb->width, 10);
            CHECK_NEAR(pixel[1], (y + 0.5) * 255 / thumb->height, 10);
            CHECK_NEAR(pixel[2], 90, 10);
        }
    CHECK(size < 4000);
    imgsim_image_free(thumb);
    imgsim_image_free(image);
}

/* Noise is what JPEG is worst at. */
static void the_worst_fits(uint32_t side)
{
    imgsim_image *image = NULL;
    imgsim_image *thumb;
    struct ims_rng rng;
    size_t size;

    ims_rng_init(&rng, side);
    CHECK_OK(ims_image_alloc(side, side, &image));
    for (size_t i = 0; i < (size_t)side * side * 3; i++)
        image->pixels[i] = ims_rng_below(&rng, 2) != 0 ? 255 : 0;
    thumb = make(image, side, &size);
    CHECK_EQUAL(thumb->width, side);
    imgsim_image_free(thumb);
    imgsim_image_free(image);
}

static void settings_are_checked(void)
{
    imgsim_extractor *extractor = NULL;

    CHECK_FAILS(ims_extractor_new_thumb(15, &extractor), IMGSIM_ERROR_INVALID_ARGUMENT, "15");
    CHECK_FAILS(ims_extractor_new_thumb(513, &extractor), IMGSIM_ERROR_INVALID_ARGUMENT, "513");
    CHECK(extractor == NULL);
    CHECK_EQUAL(ims_thumb_spec_side("thumb:side=128,quality=80"), 128);
    CHECK_EQUAL(ims_thumb_spec_side("thumb:side=9,quality=80"), 0);
    CHECK_EQUAL(ims_thumb_spec_side("thumb:side=99999,quality=80"), 0);
    CHECK_EQUAL(ims_thumb_spec_side("color:space=rgb"), 0);
    CHECK_EQUAL(ims_thumb_spec_side(""), 0);
}

int main(void)
{
    proportions_are_kept();
    it_looks_like_the_picture();
    the_worst_fits(16);
    the_worst_fits(128);
    the_worst_fits(512);
    settings_are_checked();
    return 0;
}
