/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HEIF and AVIF as the installed libvips writes them, in a program that has started libvips before
 * the library does.
 */
#include "image_files.h"

#include <vips/vips.h>

/* False where this libvips has no encoder for it. */
static bool
save_heif(const imgsim_image *picture, VipsForeignHeifCompression codec, struct file_bytes *out)
{
    VipsImage *image = vips_image_new_from_memory(
        picture->pixels, (size_t)picture->width * picture->height * 3, (int)picture->width,
        (int)picture->height, 3, VIPS_FORMAT_UCHAR);
    void *data = NULL;
    size_t size = 0;
    bool saved =
        image != NULL &&
        vips_heifsave_buffer(image, &data, &size, "compression", codec, "Q", 90, NULL) == 0;

    if (saved)
        put_bytes(out, data, size);
    vips_error_clear();
    g_free(data);
    if (image != NULL)
        g_object_unref(image);
    return saved;
}

static void check_cut(const struct file_bytes *file, size_t size)
{
    imgsim_image *image = NULL;

    CHECK_FAILS(
        imgsim_image_load_memory(file->data, size, NULL, &image), IMGSIM_ERROR_BAD_IMAGE,
        "truncated");
    CHECK(image == NULL);
}

/* Decoded like the picture, refused when cut, refused when too large. False: nothing to test. */
static bool check_format(const char *format, VipsForeignHeifCompression codec)
{
    imgsim_image *picture = make_picture(96, 64, 6), *image;
    struct file_bytes file = {0};
    imgsim_image_options options;
    bool tested = ims_image_has_format(format) == 1 && save_heif(picture, codec, &file);

    if (tested) {
        image = load_bytes(&file);
        CHECK_TEXT(image->format, format);
        CHECK_EQUAL(image->width, 96);
        CHECK_EQUAL(image->height, 64);
        CHECK(difference(picture, image) < 6.0);
        imgsim_image_free(image);
        check_cut(&file, file.size / 2);
        check_cut(&file, file.size - 1);
        CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
        options.max_pixels = 96 * 64 - 1;
        CHECK_FAILS(
            imgsim_image_load_memory(file.data, file.size, &options, &image), IMGSIM_ERROR_LIMIT,
            "too many pixels");
    } else {
        printf("libvips cannot write or read %s here\n", format);
    }
    imgsim_image_free(picture);
    free(file.data);
    return tested;
}

int main(void)
{
    bool heif, avif;

    CHECK(VIPS_INIT("test") == 0);
    heif = check_format("heif", VIPS_FOREIGN_HEIF_COMPRESSION_HEVC);
    avif = check_format("avif", VIPS_FOREIGN_HEIF_COMPRESSION_AV1);
    if (!heif && !avif)
        check_skip("libvips has no HEIF here");
    return 0;
}
