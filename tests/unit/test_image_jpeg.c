/* SPDX-License-Identifier: Apache-2.0 */
/* JPEG: orientation, reduction, colour spaces, profiles, truncation and scan bombs. */
#include "image_files.h"

#include <jpeglib.h>

/* A JPEG with its segments chosen: space of the data, quality 95, no subsampling. */
struct recipe {
    J_COLOR_SPACE space;
    int bands;
    int progressive_scans; /* 0: baseline; at most 64 */
    int arithmetic;
    int no_adobe_marker;
    const uint8_t *exif;
    size_t exif_size;
    const uint8_t *profile;
    size_t profile_size;
};

static struct file_bytes
make_jpeg(const uint8_t *pixels, uint32_t width, uint32_t height, const struct recipe *recipe)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct file_bytes file = {0};
    unsigned char *data = NULL;
    unsigned long size = 0;
    jpeg_scan_info scans[64];

    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &data, &size);
    jpeg.image_width = width;
    jpeg.image_height = height;
    jpeg.input_components = recipe->bands;
    jpeg.in_color_space = recipe->space;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 95, TRUE);
    jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
    jpeg.arith_code = recipe->arithmetic;
    if (recipe->no_adobe_marker)
        jpeg.write_Adobe_marker = FALSE;
    /* The constant part, then one frequency per scan. */
    if (recipe->progressive_scans > 0) {
        memset(scans, 0, sizeof(scans));
        for (int i = 0; i < recipe->progressive_scans; i++) {
            scans[i].comps_in_scan = 1;
            scans[i].Ss = scans[i].Se = i;
        }
        jpeg.scan_info = scans;
        jpeg.num_scans = recipe->progressive_scans;
    }
    jpeg_start_compress(&jpeg, TRUE);
    if (recipe->exif != NULL)
        jpeg_write_marker(&jpeg, JPEG_APP0 + 1, recipe->exif, (unsigned)recipe->exif_size);
    if (recipe->profile != NULL)
        jpeg_write_icc_profile(&jpeg, recipe->profile, (unsigned)recipe->profile_size);
    for (uint32_t y = 0; y < height; y++) {
        uint8_t row[3000];
        JSAMPROW rows[1] = {row};

        memcpy(
            row, pixels + (size_t)y * width * (size_t)recipe->bands,
            (size_t)width * (size_t)recipe->bands);
        jpeg_write_scanlines(&jpeg, rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    put_bytes(&file, data, size);
    free(data);
    return file;
}

/* "Exif", then a directory of one entry. */
static void make_exif(uint8_t out[32], uint8_t orientation, int big_endian)
{
    static const uint8_t big[32] = "Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\0\0\0\0\0\0";
    static const uint8_t little[32] =
        "Exif\0\0II*\0\x08\0\0\0\1\0\x12\x01\3\0\1\0\0\0\0\0\0\0\0\0\0";

    memcpy(out, big_endian ? big : little, 32);
    out[big_endian ? 25 : 24] = orientation;
}

static void test_all_orientations_come_out_upright(void)
{
    imgsim_image *picture = make_picture(48, 32, 4);

    for (int orientation = 1; orientation <= 8; orientation++) {
        imgsim_image *stored = store_turned(picture, orientation), *upright;
        struct file_bytes file;
        uint8_t exif[32];
        struct recipe recipe = {.space = JCS_RGB, .bands = 3, .exif = exif, .exif_size = 32};

        make_exif(exif, (uint8_t)orientation, orientation % 2);
        file = make_jpeg(stored->pixels, stored->width, stored->height, &recipe);
        upright = load_bytes(&file);
        CHECK_EQUAL(upright->full_width, 48);
        CHECK_EQUAL(upright->full_height, 32);
        CHECK(difference(picture, upright) < 3.0);
        imgsim_image_free(upright);
        imgsim_image_free(stored);
        free(file.data);
    }
    imgsim_image_free(picture);
}

/* Damaged EXIF means no orientation; it never reads outside (the sanitizer build sees to that). */
static void test_damaged_exif_is_ignored(void)
{
    imgsim_image *picture = make_picture(20, 10, 5), *image;
    struct file_bytes file;
    uint8_t exif[32];
    struct recipe recipe = {.space = JCS_RGB, .bands = 3, .exif = exif, .exif_size = 32};

    for (int broken = 0; broken < 6; broken++) {
        make_exif(exif, broken == 0 ? 9 : 6, 1);
        if (broken == 1)
            exif[13] = 200; /* directory beyond the end */
        if (broken == 2)
            exif[10] = exif[11] = exif[12] = exif[13] = 0xff;
        if (broken == 3)
            exif[17] = 0x13; /* another tag, and more entries than there are */
        exif[14] = broken == 3 ? 0xff : exif[14];
        if (broken == 4)
            exif[19] = 2; /* text */
        recipe.exif_size = broken == 5 ? 20 : 32;
        file = make_jpeg(picture->pixels, 20, 10, &recipe);
        image = load_bytes(&file);
        CHECK_EQUAL(image->width, 20);
        imgsim_image_free(image);
        free(file.data);
    }
    imgsim_image_free(picture);
}

static void test_reduction_keeps_the_shorter_side(void)
{
    static const uint32_t cases[][3] = {{0, 640, 480},   {481, 640, 480}, {480, 640, 480},
                                        {241, 640, 480}, {240, 320, 240}, {120, 160, 120},
                                        {61, 160, 120},  {60, 80, 60},    {1, 80, 60}};
    imgsim_image *picture = make_picture(640, 480, 6), *image = NULL;
    struct recipe recipe = {.space = JCS_RGB, .bands = 3};
    struct file_bytes file = make_jpeg(picture->pixels, 640, 480, &recipe);
    imgsim_image_options options;

    CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        options.min_side = cases[i][0];
        CHECK_OK(imgsim_image_load_memory(file.data, file.size, &options, &image));
        CHECK_EQUAL(image->width, cases[i][1]);
        CHECK_EQUAL(image->height, cases[i][2]);
        CHECK_EQUAL(image->full_width, 640);
        CHECK_EQUAL(image->full_height, 480);
        imgsim_image_free(image);
    }
    imgsim_image_free(picture);
    free(file.data);
}

static void
check_colour_near(const struct recipe *recipe, const uint8_t *pixel, int r, int g, int b, int near)
{
    uint8_t pixels[16 * 16 * 4];

    for (int i = 0; i < 256; i++)
        memcpy(pixels + i * recipe->bands, pixel, (size_t)recipe->bands);
    check_first_pixel(make_jpeg(pixels, 16, 16, recipe), r, g, b, near);
}

static void check_colour(const struct recipe *recipe, const uint8_t *pixel, int r, int g, int b)
{
    check_colour_near(recipe, pixel, r, g, b, 3);
}

static void test_colour_spaces(void)
{
    struct recipe grey = {.space = JCS_GRAYSCALE, .bands = 1};
    struct recipe rgb = {.space = JCS_RGB, .bands = 3};
    struct recipe cmyk = {.space = JCS_CMYK, .bands = 4};
    struct recipe plain_cmyk = {.space = JCS_CMYK, .bands = 4, .no_adobe_marker = 1};
    struct recipe arithmetic = {.space = JCS_RGB, .bands = 3, .arithmetic = 1};
    static const uint8_t value[1] = {90}, colour[3] = {200, 30, 60};
    static const uint8_t full[4] = {255, 255, 255, 255}, none[4] = {0, 0, 0, 0};

    check_colour(&grey, value, 90, 90, 90);
    check_colour(&rgb, colour, 200, 30, 60);
    check_colour(&arithmetic, colour, 200, 30, 60);
    /* With Adobe's marker 255 is no ink, without it is full ink. */
    check_colour(&cmyk, full, 255, 255, 255);
    check_colour(&plain_cmyk, none, 255, 255, 255);
    check_colour_near(&plain_cmyk, full, 10, 10, 10, 15);
}

static void check_every_cut(struct file_bytes file)
{
    imgsim_image *image = NULL;

    for (size_t size = 4; size < file.size - 1; size++) {
        CHECK_FAILS(
            imgsim_image_load_memory(file.data, size, NULL, &image), IMGSIM_ERROR_BAD_IMAGE,
            "truncated");
        CHECK(image == NULL);
    }
    free(file.data);
}

static void test_every_cut_is_truncated(void)
{
    imgsim_image *picture = make_picture(40, 40, 7);
    struct recipe baseline = {.space = JCS_RGB, .bands = 3};
    struct recipe progressive = {.space = JCS_GRAYSCALE, .bands = 1, .progressive_scans = 20};
    uint8_t grey[1600];

    for (int i = 0; i < 1600; i++)
        grey[i] = picture->pixels[3 * i];
    check_every_cut(make_jpeg(picture->pixels, 40, 40, &baseline));
    check_every_cut(make_jpeg(grey, 40, 40, &progressive));
    imgsim_image_free(picture);
}

/* A progressive file whose last scan is repeated a thousand times. */
static void test_scan_bombs_are_refused(void)
{
    uint8_t grey[64 * 64];
    struct recipe recipe = {.space = JCS_GRAYSCALE, .bands = 1, .progressive_scans = 64};
    struct file_bytes file, bomb = {0};
    imgsim_image *image = NULL;
    size_t last_scan = 0;

    for (int i = 0; i < 64 * 64; i++)
        grey[i] = (uint8_t)(i * 7);
    file = make_jpeg(grey, 64, 64, &recipe);
    for (size_t i = 0; i + 1 < file.size; i++)
        if (file.data[i] == 0xff && file.data[i + 1] == 0xda)
            last_scan = i;
    CHECK(last_scan > 0);
    put_bytes(&bomb, file.data, file.size - 2);
    for (int i = 0; i < 1000; i++)
        put_bytes(&bomb, file.data + last_scan, file.size - 2 - last_scan);
    put_bytes(&bomb, "\xff\xd9", 2);

    imgsim_image_free(load_bytes(&file));
    CHECK_FAILS(
        imgsim_image_load_memory(bomb.data, bomb.size, NULL, &image), IMGSIM_ERROR_BAD_IMAGE,
        "scans");
    free(file.data);
    free(bomb.data);
}

static void test_header_limit_and_trailing_bytes(void)
{
    imgsim_image *picture = make_picture(16, 16, 8), *image = NULL;
    struct recipe recipe = {.space = JCS_RGB, .bands = 3};
    struct file_bytes file = make_jpeg(picture->pixels, 16, 16, &recipe);

    put_bytes(&file, "a film that the phone appended", 30);
    imgsim_image_free(load_bytes(&file));
    for (size_t i = 0; i + 9 < file.size; i++)
        if (file.data[i] == 0xff && file.data[i + 1] == 0xc0) {
            memset(file.data + i + 5, 0xf0, 4);
            break;
        }
    CHECK_FAILS(
        imgsim_image_load_memory(file.data, file.size, NULL, &image), IMGSIM_ERROR_LIMIT,
        "too many pixels");
    imgsim_image_free(picture);
    free(file.data);
}

/* An RGB matrix profile: colorants times 65536, one gamma for all (in 1/256). */
static struct file_bytes make_profile(const uint32_t colorants[9], uint32_t gamma)
{
    static const char *const curves[3] = {"rTRC", "gTRC", "bTRC"};
    static const char *const points[3] = {"rXYZ", "gXYZ", "bXYZ"};
    struct file_bytes file = {0};
    uint8_t header[128] = {0};

    memcpy(header + 8, "\x02\x10\0\0mntrRGB XYZ ", 16);
    memcpy(header + 36, "acsp", 4);
    memcpy(header + 68, "\0\0\xf6\xd6\0\1\0\0\0\0\xd3\x2d", 12);
    put_bytes(&file, header, 128);
    put_big_32(&file, 7);
    put_bytes(&file, "wtpt", 4);
    put_big_32(&file, 216);
    put_big_32(&file, 20);
    for (uint32_t i = 0; i < 3; i++) {
        put_bytes(&file, points[i], 4);
        put_big_32(&file, 236 + i * 20);
        put_big_32(&file, 20);
        put_bytes(&file, curves[i], 4);
        put_big_32(&file, 296);
        put_big_32(&file, 14);
    }
    CHECK_EQUAL(file.size, 216);
    put_bytes(&file, "XYZ \0\0\0\0\0\0\xf6\xd6\0\1\0\0\0\0\xd3\x2d", 20);
    for (int i = 0; i < 3; i++) {
        put_bytes(&file, "XYZ \0\0\0\0", 8);
        for (int k = 0; k < 3; k++)
            put_big_32(&file, colorants[i * 3 + k]);
    }
    put_bytes(&file, "curv\0\0\0\0\0\0\0\1", 12);
    put_little(&file, gamma >> 8, 1);
    put_little(&file, gamma & 255, 1);
    put_bytes(&file, "\0\0", 2);
    file.data[2] = (uint8_t)(file.size >> 8);
    file.data[3] = (uint8_t)file.size;
    return file;
}

static void test_profiles_are_applied(void)
{
    /* Adobe RGB (1998) relative to D50, gamma 2.19921875. */
    static const uint32_t adobe[9] = {39960, 20389, 1276, 13448, 40984, 3983, 9781, 4163, 48767};
    static const uint8_t colour[3] = {150, 160, 110}, grey[3] = {128, 128, 128};
    struct file_bytes profile = make_profile(adobe, 563);
    struct recipe with = {
        .space = JCS_RGB, .bands = 3, .profile = profile.data, .profile_size = profile.size};

    /* Adobe RGB 150, 160, 110 is sRGB 147, 161, 108 (by the two matrices and curves). */
    check_colour(&with, colour, 147, 161, 108);
    check_colour(&with, grey, 128, 128, 128);
    /* A profile of another colour space is ignored, and one that makes no sense. */
    memcpy(profile.data + 16, "GRAY", 4);
    check_colour(&with, colour, 150, 160, 110);
    memcpy(profile.data + 16, "RGB ", 4);
    memset(profile.data + 132, 0, profile.size - 132);
    check_colour(&with, colour, 150, 160, 110);
    free(profile.data);
}

int main(void)
{
    test_all_orientations_come_out_upright();
    test_damaged_exif_is_ignored();
    test_reduction_keeps_the_shorter_side();
    test_colour_spaces();
    test_every_cut_is_truncated();
    test_scan_bombs_are_refused();
    test_header_limit_and_trailing_bytes();
    test_profiles_are_applied();
    return 0;
}
