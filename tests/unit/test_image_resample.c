/* SPDX-License-Identifier: Apache-2.0 */
/* Resampling: byte for byte what Pillow gives, and area means of luma that are exact. */
#include "image_files.h"

/*
 * The picture of 7 x 5 that the expected bytes below were made from with Pillow 9.4: resize((w,
 * h), BILINEAR, box).
 */
static imgsim_image *small_picture(void)
{
    imgsim_image *image = NULL;

    CHECK_OK(ims_image_alloc(7, 5, &image));
    for (uint32_t y = 0; y < 5; y++)
        for (uint32_t x = 0; x < 7; x++)
            for (uint32_t c = 0; c < 3; c++)
                image->pixels[(y * 7 + x) * 3 + c] =
                    (uint8_t)(y * y * 31 + x * x * 17 + c * 59 + x * y * 13);
    return image;
}

static void check_bytes(const uint8_t *out, const uint8_t *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK_EQUAL(out[i], expected[i]);
}

static void test_equal_to_pillow(void)
{
    static const uint8_t reduced[18] = {75,  121, 153, 136, 124, 132, 121, 130, 126,
                                        118, 135, 130, 129, 137, 116, 149, 174, 122};
    static const uint8_t boxed[48] = {76,  130, 167, 161, 115, 171, 126, 108, 160, 113, 70,  109,
                                      161, 185, 109, 180, 107, 143, 191, 107, 121, 149, 193, 130,
                                      94,  145, 145, 126, 155, 105, 154, 181, 117, 127, 183, 206,
                                      105, 116, 139, 104, 163, 89,  151, 124, 96,  138, 191, 100};
    static const uint8_t enlarged_row[27] = {0,   59,  118, 11,  70,  129, 40,  99,  158,
                                             87,  146, 148, 153, 212, 15,  46,  105, 108,
                                             101, 160, 77,  146, 205, 93,  100, 159, 218};
    imgsim_image *image = small_picture();
    uint8_t out[9 * 6 * 3];

    CHECK_OK(ims_resample_rgb(image, 0, 0, 7, 5, 3, 2, out));
    check_bytes(out, reduced, 18);
    CHECK_OK(ims_resample_rgb(image, 0.5, 1.25, 6.25, 3.25, 4, 4, out));
    check_bytes(out, boxed, 48);
    CHECK_OK(ims_resample_rgb(image, 0, 0, 7, 5, 9, 6, out));
    check_bytes(out, enlarged_row, 27);
    CHECK_OK(ims_resample_rgb(image, 0, 0, 7, 5, 7, 5, out));
    check_bytes(out, image->pixels, 7 * 5 * 3);
    imgsim_image_free(image);
}

static void test_even_pictures_stay_even(void)
{
    imgsim_image *image = NULL;
    uint8_t out[40 * 30 * 3];
    float grey[40 * 30];

    CHECK_OK(ims_image_alloc(123, 77, &image));
    memset(image->pixels, 255, 123 * 77 * 3);
    CHECK_OK(ims_resample_rgb(image, 3.3, 4.4, 100.1, 50.7, 40, 30, out));
    CHECK_OK(ims_resample_grey(image, 40, 30, grey));
    for (int i = 0; i < 40 * 30; i++) {
        CHECK_EQUAL(out[3 * i], 255);
        CHECK(grey[i] == 255.0f);
    }
    imgsim_image_free(image);
}

static void test_boxes_outside_are_refused(void)
{
    imgsim_image *image = small_picture();
    uint8_t out[12];

    CHECK_FAILS(
        ims_resample_rgb(image, 1, 0, 7, 5, 2, 2, out), IMGSIM_ERROR_INVALID_ARGUMENT, "box");
    CHECK_FAILS(
        ims_resample_rgb(image, -1, 0, 5, 5, 2, 2, out), IMGSIM_ERROR_INVALID_ARGUMENT, "box");
    CHECK_FAILS(
        ims_resample_rgb(image, 0, 0, 0, 5, 2, 2, out), IMGSIM_ERROR_INVALID_ARGUMENT, "box");
    CHECK_FAILS(
        ims_resample_rgb(image, 0, 0, (double)NAN, 5, 2, 2, out), IMGSIM_ERROR_INVALID_ARGUMENT,
        "box");
    imgsim_image_free(image);
}

/* The definition, computed in the plainest way: every pixel by its overlap with every cell. */
static double plain_mean(const imgsim_image *image, double x0, double y0, double x1, double y1)
{
    double sum = 0.0, area = 0.0;

    for (uint32_t y = 0; y < image->height; y++)
        for (uint32_t x = 0; x < image->width; x++) {
            const uint8_t *p = image->pixels + ((size_t)y * image->width + x) * 3;
            double across = fmin(x + 1, x1) - fmax(x, x0), down = fmin(y + 1, y1) - fmax(y, y0);
            double part = across > 0 && down > 0 ? across * down : 0.0;

            sum += part * (19595.0 * p[0] + 38470.0 * p[1] + 7471.0 * p[2]) / 65536.0;
            area += part;
        }
    return sum / area;
}

static void test_grey_is_the_mean_over_areas(void)
{
    static const uint32_t sizes[][4] = {{7, 5, 3, 2},    {7, 5, 7, 5}, {7, 5, 9, 8},
                                        {40, 30, 9, 8},  {1, 1, 3, 3}, {3, 90, 8, 8},
                                        {65, 33, 32, 32}};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t w = sizes[i][2], h = sizes[i][3];
        imgsim_image *image = make_picture(sizes[i][0], sizes[i][1], (uint32_t)i);
        double sx = (double)image->width / w, sy = (double)image->height / h;
        float out[32 * 32];

        CHECK_OK(ims_resample_grey(image, w, h, out));
        for (uint32_t y = 0; y < h; y++)
            for (uint32_t x = 0; x < w; x++)
                CHECK_NEAR(
                    out[y * w + x], plain_mean(image, x * sx, y * sy, (x + 1) * sx, (y + 1) * sy),
                    1e-4);
        imgsim_image_free(image);
    }
}

int main(void)
{
    test_equal_to_pillow();
    test_even_pictures_stay_even();
    test_boxes_outside_are_refused();
    test_grey_is_the_mean_over_areas();
    return 0;
}
