/* SPDX-License-Identifier: Apache-2.0 */
/* The image handle: made of pixels, read from files, limits and refusals with their reasons. */
#include "image_files.h"

#include <sys/stat.h>
#include <unistd.h>

static void test_pixels_are_copied_row_by_row(void)
{
    uint8_t padded[2 * 10];
    imgsim_image *image = NULL;

    for (int i = 0; i < 20; i++)
        padded[i] = (uint8_t)i;
    CHECK_OK(imgsim_image_new(padded, 3, 2, 10, &image));
    memset(padded, 99, sizeof(padded));
    CHECK_EQUAL(imgsim_image_get_width(image), 3);
    CHECK_EQUAL(imgsim_image_get_height(image), 2);
    CHECK_EQUAL(imgsim_image_get_full_width(image), 3);
    CHECK_EQUAL(imgsim_image_get_full_height(image), 2);
    CHECK_TEXT(imgsim_image_get_format(image), "pixels");
    for (int i = 0; i < 9; i++) {
        CHECK_EQUAL(imgsim_image_get_pixels(image)[i], i);
        CHECK_EQUAL(imgsim_image_get_pixels(image)[9 + i], 10 + i);
    }
    imgsim_image_free(image);
}

static void test_bad_arguments_are_named(void)
{
    uint8_t pixels[12] = {0};
    imgsim_image *image = NULL;
    imgsim_image_options options;

    CHECK_FAILS(imgsim_image_new(NULL, 1, 1, 0, &image), IMGSIM_ERROR_INVALID_ARGUMENT, "pixels");
    CHECK_FAILS(imgsim_image_new(pixels, 0, 1, 0, &image), IMGSIM_ERROR_INVALID_ARGUMENT, "0 x 1");
    CHECK_FAILS(
        imgsim_image_new(pixels, 1, (1 << 20) + 1, 0, &image), IMGSIM_ERROR_INVALID_ARGUMENT,
        "sides");
    CHECK_FAILS(imgsim_image_new(pixels, 2, 2, 5, &image), IMGSIM_ERROR_INVALID_ARGUMENT, "stride");
    CHECK_FAILS(imgsim_image_new(pixels, 1, 1, 0, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "out");
    CHECK_FAILS(imgsim_image_load_file(NULL, NULL, &image), IMGSIM_ERROR_INVALID_ARGUMENT, "path");
    CHECK_FAILS(
        imgsim_image_load_memory(NULL, 3, NULL, &image), IMGSIM_ERROR_INVALID_ARGUMENT, "data");
    CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
    options.struct_size = 0;
    CHECK(imgsim_image_load_memory(pixels, 12, &options, &image) == IMGSIM_ERROR_INVALID_ARGUMENT);
    CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
    options.max_pixels = 0;
    CHECK_FAILS(
        imgsim_image_load_memory(pixels, 12, &options, &image), IMGSIM_ERROR_INVALID_ARGUMENT,
        "max_pixels");
    CHECK(image == NULL);
    imgsim_image_free(NULL);
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK(fwrite(data, 1, size, file) == size);
    fclose(file);
}

static void test_files_are_read_by_content_not_by_name(void)
{
    const char *folder = check_temporary_folder();
    char path[600];
    imgsim_image *picture = make_picture(40, 30, 1), *image = NULL;
    struct file_bytes png = encode_picture(picture, "png");

    snprintf(path, sizeof(path), "%s/called.jpg", folder);
    write_file(path, png.data, png.size);
    CHECK_OK(imgsim_image_load_file(path, NULL, &image));
    CHECK_TEXT(imgsim_image_get_format(image), "png");
    CHECK(difference(picture, image) == 0.0);
    imgsim_image_free(image);
    unlink(path);
    rmdir(folder);
    free(png.data);
    imgsim_image_free(picture);
}

static void test_each_unreadable_file_says_why(void)
{
    const char *folder = check_temporary_folder();
    char path[600];
    imgsim_image *image = NULL;

    snprintf(path, sizeof(path), "%s/missing.jpg", folder);
    CHECK_FAILS(imgsim_image_load_file(path, NULL, &image), IMGSIM_ERROR_NOT_FOUND, "missing.jpg");
    CHECK_TEXT(ims_image_last_reason(), "unreadable");
    CHECK_FAILS(imgsim_image_load_file(folder, NULL, &image), IMGSIM_ERROR_IO, "directory");

    snprintf(path, sizeof(path), "%s/pipe", folder);
    CHECK(mkfifo(path, 0600) == 0);
    CHECK_FAILS(imgsim_image_load_file(path, NULL, &image), IMGSIM_ERROR_IO, "regular");
    unlink(path);

    snprintf(path, sizeof(path), "%s/empty.png", folder);
    write_file(path, "", 0);
    CHECK_FAILS(imgsim_image_load_file(path, NULL, &image), IMGSIM_ERROR_BAD_IMAGE, "empty");
    CHECK_TEXT(ims_image_last_reason(), "empty");
    write_file(path, "Dear diary", 10);
    CHECK_FAILS(
        imgsim_image_load_file(path, NULL, &image), IMGSIM_ERROR_BAD_IMAGE,
        "empty.png: not an image");
    CHECK_TEXT(ims_image_last_reason(), "not an image");
    write_file(path, "qoif\0\0\0\0\0\0", 10);
    CHECK_FAILS(imgsim_image_load_file(path, NULL, &image), IMGSIM_ERROR_UNSUPPORTED, "qoi");
    CHECK_TEXT(ims_image_last_reason(), "unsupported format");
    unlink(path);
    rmdir(folder);
    CHECK(image == NULL);
}

static void test_limits_hold_before_decoding(void)
{
    static const uint8_t colours[3] = {2, 3, 1};
    imgsim_image *image = NULL;
    imgsim_image_options options;
    struct file_bytes huge = make_png(60000, 60000, 8, 2, NULL, 0, NULL, NULL);
    struct file_bytes frames = make_gif(3, 2, colours, 3);

    CHECK_FAILS(
        imgsim_image_load_memory(huge.data, huge.size, NULL, &image), IMGSIM_ERROR_LIMIT,
        "60000 x 60000");
    CHECK_TEXT(ims_image_last_reason(), "too many pixels");

    CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
    options.max_frames = 3;
    CHECK_OK(imgsim_image_load_memory(frames.data, frames.size, &options, &image));
    CHECK_EQUAL(image->pixels[0], 255); /* the first frame: red */
    CHECK_EQUAL(image->pixels[2], 0);
    imgsim_image_free(image);
    options.max_frames = 2;
    CHECK_FAILS(
        imgsim_image_load_memory(frames.data, frames.size, &options, &image), IMGSIM_ERROR_LIMIT,
        "frames");
    CHECK_TEXT(ims_image_last_reason(), "too many frames");

    options.max_frames = 3;
    options.max_bytes = frames.size - 1;
    CHECK_FAILS(
        imgsim_image_load_memory(frames.data, frames.size, &options, &image), IMGSIM_ERROR_LIMIT,
        "too many bytes");
    options.max_bytes = frames.size;
    options.max_pixels = 6;
    CHECK_OK(imgsim_image_load_memory(frames.data, frames.size, &options, &image));
    imgsim_image_free(image);
    options.max_pixels = 5;
    CHECK_FAILS(
        imgsim_image_load_memory(frames.data, frames.size, &options, &image), IMGSIM_ERROR_LIMIT,
        "3 x 2");
    free(huge.data);
    free(frames.data);
}

int main(void)
{
    test_pixels_are_copied_row_by_row();
    test_bad_arguments_are_named();
    test_files_are_read_by_content_not_by_name();
    test_each_unreadable_file_says_why();
    test_limits_hold_before_decoding();
    return 0;
}
