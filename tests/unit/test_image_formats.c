/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The written rule for all formats (docs/formats.md), line by line, on files whose every byte is
 * known.
 */
#include "image_files.h"

static struct file_bytes text_file(const char *text, size_t size)
{
    struct file_bytes file = {0};

    put_bytes(&file, text, size);
    return file;
}

static void test_png_depths_and_transparency(void)
{
    static const uint8_t rgb[3] = {10, 200, 30}, rgb16[6] = {10, 255, 200, 0, 30, 127};
    static const uint8_t grey16[2] = {100, 255}, grey[1] = {77};
    static const uint8_t clear[4] = {10, 20, 30, 0}, half[4] = {0, 100, 255, 128};
    static const uint8_t grey_alpha[2] = {100, 64};
    static const uint8_t deep_alpha[8] = {0, 0, 255, 255, 100, 0, 128, 200};

    check_first_pixel(make_png(1, 1, 8, 2, rgb, 3, NULL, NULL), 10, 200, 30, 0);
    check_first_pixel(make_png(1, 1, 16, 2, rgb16, 6, NULL, NULL), 10, 200, 30, 0);
    check_first_pixel(make_png(1, 1, 8, 0, grey, 1, NULL, NULL), 77, 77, 77, 0);
    check_first_pixel(make_png(1, 1, 16, 0, grey16, 2, NULL, NULL), 100, 100, 100, 0);
    /* Over white: (c * a + 255 * (255 - a)) / 255. */
    check_first_pixel(make_png(1, 1, 8, 6, clear, 4, NULL, NULL), 255, 255, 255, 0);
    check_first_pixel(make_png(1, 1, 8, 6, half, 4, NULL, NULL), 127, 177, 255, 0);
    check_first_pixel(make_png(1, 1, 8, 4, grey_alpha, 2, NULL, NULL), 216, 216, 216, 0);
    check_first_pixel(make_png(1, 1, 16, 6, deep_alpha, 8, NULL, NULL), 127, 255, 177, 0);
}

static void test_png_orientation_of_its_exif_chunk(void)
{
    static const uint8_t two[6] = {255, 0, 0, 0, 0, 255};
    struct file_bytes exif = {0};
    struct file_bytes file;
    imgsim_image *image;

    /* Orientation 6: turn by 90 degrees clockwise. */
    put_bytes(&exif, "MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0", 26);
    file = make_png(2, 1, 8, 2, two, 6, "eXIf", &exif);
    image = load_bytes(&file);
    CHECK_EQUAL(image->width, 1);
    CHECK_EQUAL(image->height, 2);
    CHECK_EQUAL(image->full_width, 1);
    CHECK_EQUAL(image->pixels[0], 255);
    CHECK_EQUAL(image->pixels[5], 255);
    imgsim_image_free(image);
    free(file.data);
    free(exif.data);
}

static void test_gif_first_frame(void)
{
    static const uint8_t colours[2] = {3, 2};

    check_first_pixel(make_gif(5, 4, colours, 2), 0, 0, 255, 0);
}

static void test_tiff_colour_spaces(void)
{
    static const uint8_t rgb[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    static const uint8_t grey[4] = {9, 9, 9, 9};
    static const uint8_t no_ink[16] = {0},
                         cyan[16] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0};
    static const uint8_t lab_grey[12] = {128, 0, 0, 128, 0, 0, 128, 0, 0, 128, 0, 0};
    struct file_bytes file = make_tiff(2, 2, 4, 5, cyan);
    imgsim_image *image = load_bytes(&file);

    CHECK(image->pixels[0] < 100 && image->pixels[1] > 120 && image->pixels[2] > 180);
    imgsim_image_free(image);
    free(file.data);
    check_first_pixel(make_tiff(2, 2, 3, 2, rgb), 1, 2, 3, 0);
    check_first_pixel(make_tiff(2, 2, 1, 1, grey), 9, 9, 9, 0);
    check_first_pixel(make_tiff(2, 2, 1, 0, grey), 246, 246, 246, 0); /* white is 0 */
    check_first_pixel(make_tiff(2, 2, 4, 5, no_ink), 255, 255, 255, 1);
    check_first_pixel(make_tiff(2, 2, 3, 8, lab_grey), 119, 119, 119, 2); /* L* 50 */
}

/* One pixel of linear light in 32-bit floats: 0.5 is 188 in sRGB; more than white is white. */
static void test_floating_point_is_linear_light(void)
{
    const float values[3] = {0.5f, 0.0f, 7.0f};
    struct file_bytes file =
        make_tiff(1, 4, 3, 2, (const uint8_t *)values); /* 12 bytes of pixels */
    size_t directory = 28;

    CHECK_EQUAL(file.data[4], directory);
    file.data[20] = file.data[22] = file.data[24] = 32; /* bits */
    for (size_t entry = directory + 2; entry < directory + 2 + 9 * 12; entry += 12) {
        if (file.data[entry] == 1 && file.data[entry + 1] == 1) /* 257: height */
            file.data[entry + 8] = 1;
        if (file.data[entry] ==
            22) { /* 278: rows per strip; here it makes room for 339: sample format, float */
            file.data[entry] = 83;
            file.data[entry + 2] = 3;
            file.data[entry + 8] = 3;
        }
    }
    /* Tags stand in rising order: 339 goes behind 279. */
    for (int i = 0; i < 12; i++) {
        uint8_t *a = file.data + directory + 2 + 7 * 12 + i, swap = a[0];

        a[0] = a[12];
        a[12] = swap;
    }
    check_first_pixel(file, 188, 0, 255, 1);
}

static void test_png_gamma_is_not_applied(void)
{
    static const uint8_t rgb[3] = {10, 100, 200};
    struct file_bytes linear = {0};

    put_big_32(&linear, 100000);
    check_first_pixel(make_png(1, 1, 8, 2, rgb, 3, "gAMA", &linear), 10, 100, 200, 0);
    free(linear.data);
}

/* What the first frame of a GIF leaves out of its canvas is transparent: white. */
/* An animated PNG's still image is that of IDAT, whatever frames follow. */
static void test_apng_still_image(void)
{
    static const uint8_t still[3] = {10, 200, 30};
    struct file_bytes animation = {0}, control = {0}, frame = {0}, file;
    uint8_t end[12];

    put_big_32(&animation, 2); /* frames */
    put_big_32(&animation, 0);
    file = make_png(1, 1, 8, 2, still, 3, "acTL", &animation);
    memcpy(end, file.data + file.size - sizeof(end), sizeof(end));
    file.size -= sizeof(end);
    for (uint32_t i = 0; i < 5; i++)
        put_big_32(&control, i == 1 || i == 2); /* number, width, height, x, y */
    put_bytes(&control, "\0\1\0\1\0\0", 6);
    put_png_chunk(&file, "fcTL", &control);
    put_big_32(&frame, 1);
    put_bytes(&frame, "\x78\x01\x01\4\0\xfb\xff\0\xff\0\0\x03\xfc\x01\0", 15);
    put_png_chunk(&file, "fdAT", &frame);
    put_bytes(&file, end, sizeof(end));
    check_first_pixel(file, 10, 200, 30, 0);
    free(animation.data);
    free(control.data);
    free(frame.data);
}

/* Two pages: a second directory behind the first. */
static void test_tiff_first_page(void)
{
    enum { DIRECTORY = 2 + 9 * 12 + 4 };
    static const uint8_t first[3] = {1, 2, 3}, second[3] = {9, 9, 9};
    struct file_bytes file = make_tiff(1, 1, 3, 2, first), page = make_tiff(1, 1, 3, 2, second);
    struct file_bytes next = {0};
    size_t strip = file.size;
    uint8_t *entries;

    put_bytes(&file, second, 3);
    put_bytes(&file, "", 1);
    put_little(&next, (uint32_t)file.size, 4);
    memcpy(file.data + strip - 4, next.data, 4);
    put_bytes(&file, page.data + page.size - DIRECTORY, DIRECTORY);
    entries = file.data + file.size - DIRECTORY + 2;
    CHECK_EQUAL(entries[5 * 12], 273 & 255);
    entries[5 * 12 + 8] = (uint8_t)strip;
    free(page.data);
    free(next.data);
    check_first_pixel(file, 1, 2, 3, 0);
}

/* Where libvips does not trust its loader the format is named, not read. */
static void test_jpeg_xl(void)
{
    imgsim_image *image = NULL;

    if (ims_image_has_format("jxl"))
        CHECK_FAILS(
            imgsim_image_load_memory("\xff\x0a\0\0", 4, NULL, &image), IMGSIM_ERROR_BAD_IMAGE, "");
    else
        CHECK_FAILS(
            imgsim_image_load_memory("\xff\x0a\0\0", 4, NULL, &image), IMGSIM_ERROR_UNSUPPORTED,
            "jxl");
}

static void test_gif_canvas_beyond_its_frame(void)
{
    static const uint8_t colours[1] = {2};
    struct file_bytes file = make_gif(3, 2, colours, 1);
    imgsim_image *image;

    file.data[6] = 5; /* canvas of 5 x 2 */
    image = load_bytes(&file);
    CHECK_EQUAL(image->width, 5);
    CHECK_EQUAL(image->pixels[2 * 3 + 1], 0);
    CHECK_EQUAL(image->pixels[3 * 3 + 1], 255);
    CHECK_EQUAL(image->pixels[4 * 3 + 2], 255);
    imgsim_image_free(image);
    free(file.data);
}

static void test_pnm_plain_and_raw(void)
{
    static const char plain_bits[] = "P1 # comment\n2 1\n10";
    static const char plain_grey[] = "P2\n1 1 # width, height\n100\n50\n";
    static const char plain_rgb[] = "P3 1 1 255 1 2\n3";
    static const char raw_bits[] = "P4 9 1\n\x00\x80";
    static const char raw_grey[] = "P5 1 1 65535\n\x12\xff";
    static const char raw_rgb[] = "P6\n1 1\n255\n\x01\x02\x03";

    check_first_pixel(text_file(plain_bits, sizeof(plain_bits) - 1), 0, 0, 0, 0);
    check_first_pixel(text_file(plain_grey, sizeof(plain_grey) - 1), 128, 128, 128, 0);
    check_first_pixel(text_file(plain_rgb, sizeof(plain_rgb) - 1), 1, 2, 3, 0);
    check_first_pixel(text_file(raw_bits, sizeof(raw_bits) - 1), 255, 255, 255, 0);
    check_first_pixel(text_file(raw_grey, sizeof(raw_grey) - 1), 18, 18, 18, 0);
    check_first_pixel(text_file(raw_rgb, sizeof(raw_rgb) - 1), 1, 2, 3, 0);
}

static void check_pnm_fails(const char *text, size_t size, imgsim_status status, const char *reason)
{
    imgsim_image *image = NULL;

    CHECK_FAILS(imgsim_image_load_memory(text, size, NULL, &image), status, reason);
    CHECK_TEXT(ims_image_last_reason(), reason);
}

static void test_broken_pnm(void)
{
    check_pnm_fails("P6 2 1 255\n12345", 16, IMGSIM_ERROR_BAD_IMAGE, "truncated");
    check_pnm_fails("P6 2", 4, IMGSIM_ERROR_BAD_IMAGE, "truncated");
    check_pnm_fails("P6 2 1 255", 10, IMGSIM_ERROR_BAD_IMAGE, "truncated");
    check_pnm_fails("P2 2 x 255 1", 12, IMGSIM_ERROR_BAD_IMAGE, "damaged");
    check_pnm_fails("P2 1 1 70000 1", 14, IMGSIM_ERROR_BAD_IMAGE, "damaged");
    check_pnm_fails("P2 0 1 255 1", 12, IMGSIM_ERROR_BAD_IMAGE, "damaged");
    check_pnm_fails("P5 99999999999 1 1 1", 20, IMGSIM_ERROR_BAD_IMAGE, "damaged");
    check_pnm_fails("P5 1048577 1 255\n1", 18, IMGSIM_ERROR_LIMIT, "too many pixels");
}

static void test_webp_is_reduced_and_knows_its_full_size(void)
{
    imgsim_image *picture = make_picture(400, 300, 2), *image = NULL;
    struct file_bytes file = encode_picture(picture, "webp");
    imgsim_image_options options;

    image = load_bytes(&file);
    CHECK_TEXT(image->format, "webp");
    CHECK(difference(picture, image) < 4.0);
    imgsim_image_free(image);
    CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
    options.min_side = 75;
    CHECK_OK(imgsim_image_load_memory(file.data, file.size, &options, &image));
    CHECK_EQUAL(image->width, 100);
    CHECK_EQUAL(image->height, 75);
    CHECK_EQUAL(image->full_width, 400);
    CHECK_EQUAL(image->full_height, 300);
    imgsim_image_free(image);
    imgsim_image_free(picture);
    free(file.data);
}

/* Cut anywhere: never OK, never a crash, and "truncated" where the format can tell. */
static void check_cuts(const char *name, struct file_bytes file, size_t last)
{
    imgsim_image *image = NULL;
    size_t truncated = 0, cuts = 0;

    for (size_t size = 1; size < last; size += 1 + last / 97, cuts++) {
        imgsim_status status = imgsim_image_load_memory(file.data, size, NULL, &image);

        if (status != IMGSIM_ERROR_BAD_IMAGE) {
            fprintf(
                stderr, "%s cut to %zu of %zu bytes: %s\n", name, size, file.size,
                imgsim_status_name(status));
            exit(1);
        }
        truncated += strcmp(ims_image_last_reason(), "truncated") == 0;
    }
    CHECK(truncated * 10 >= cuts * 8 || strcmp(name, "tiff") == 0);
    free(file.data);
}

static void test_cut_files_fail(void)
{
    static const uint8_t colours[1] = {2};
    imgsim_image *picture = make_picture(64, 48, 3);
    struct file_bytes jpeg = encode_picture(picture, "jpeg");
    struct file_bytes png = encode_picture(picture, "png");
    struct file_bytes webp = encode_picture(picture, "webp");
    struct file_bytes gif = make_gif(60, 40, colours, 1);
    struct file_bytes tiff = make_tiff(64, 48, 3, 2, picture->pixels);
    struct file_bytes pnm = {0};

    put_bytes(&pnm, "P6 64 48 255\n", 13);
    put_bytes(&pnm, picture->pixels, 64 * 48 * 3);
    check_cuts("jpeg", jpeg, jpeg.size);
    check_cuts("png", png, png.size - 12); /* without IEND alone every pixel is there */
    check_cuts("webp", webp, webp.size - 1);
    check_cuts("gif", gif, gif.size - 3);
    check_cuts("tiff", tiff, tiff.size - 4);
    check_cuts("pnm", pnm, pnm.size);
    imgsim_image_free(picture);
}

static void test_formats_that_this_build_reads(void)
{
    CHECK_EQUAL(ims_image_has_format("jpeg"), 1);
    CHECK_EQUAL(ims_image_has_format("png"), 1);
    CHECK_EQUAL(ims_image_has_format("gif"), 1);
    CHECK_EQUAL(ims_image_has_format("webp"), 1);
    CHECK_EQUAL(ims_image_has_format("tiff"), 1);
    CHECK_EQUAL(ims_image_has_format("pnm"), 1);
    CHECK_EQUAL(ims_image_has_format("bmp"), 1);
    CHECK_EQUAL(ims_image_has_format("svg"), 0);
    CHECK_EQUAL(ims_image_has_format("magick"), 0);
    CHECK_EQUAL(ims_image_has_format(NULL), 0);
}

/*
 * What libvips could read by loaders not made for strangers' files is refused by name, or is no
 * image.
 */
static void test_untrusted_loaders_are_out_of_reach(void)
{
    static const char svg[] =
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"9\" height=\"9\"/>";
    imgsim_image *image = NULL;

    CHECK_FAILS(
        imgsim_image_load_memory(svg, sizeof(svg) - 1, NULL, &image), IMGSIM_ERROR_BAD_IMAGE,
        "not an image");
    CHECK_FAILS(
        imgsim_image_load_memory("%PDF-1.4 and so on", 18, NULL, &image), IMGSIM_ERROR_UNSUPPORTED,
        "pdf");
    CHECK_FAILS(
        imgsim_image_load_memory("8BPS\0\1abcdefgh", 14, NULL, &image), IMGSIM_ERROR_UNSUPPORTED,
        "psd");
    CHECK_FAILS(
        imgsim_image_load_memory("#?RADIANCE\n\n", 12, NULL, &image), IMGSIM_ERROR_UNSUPPORTED,
        "hdr");
}

int main(void)
{
    test_png_depths_and_transparency();
    test_png_orientation_of_its_exif_chunk();
    test_gif_first_frame();
    test_apng_still_image();
    test_tiff_first_page();
    test_jpeg_xl();
    test_gif_canvas_beyond_its_frame();
    test_tiff_colour_spaces();
    test_floating_point_is_linear_light();
    test_png_gamma_is_not_applied();
    test_pnm_plain_and_raw();
    test_broken_pnm();
    test_webp_is_reduced_and_knows_its_full_size();
    test_cut_files_fail();
    test_formats_that_this_build_reads();
    test_untrusted_loaders_are_out_of_reach();
    return 0;
}
