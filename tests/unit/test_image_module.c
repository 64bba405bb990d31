/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image module is opened by the first picture that needs it and no sooner, and where it is
 * missing the rest works and the message says what to install.
 */
#include "image_files.h"

#include <dlfcn.h>

static bool vips_is_loaded(void)
{
    void *library = dlopen("libvips.so.42", RTLD_LAZY | RTLD_NOLOAD);

    if (library != NULL)
        dlclose(library);
    return library != NULL;
}

static void check_unreadable(const struct file_bytes *file, const char *words)
{
    imgsim_image *image = NULL;

    CHECK_FAILS(
        imgsim_image_load_memory(file->data, file->size, NULL, &image), IMGSIM_ERROR_UNSUPPORTED,
        words);
    CHECK(image == NULL);
    CHECK_TEXT(ims_image_last_reason(), "unsupported format");
}

/* JPEG and PNM are read, JPEG is written, pictures are pasted. */
static void test_what_works_without(const imgsim_image *picture)
{
    struct file_bytes jpeg = encode_picture(picture, "jpeg"), pnm = {0};
    imgsim_image *image = load_bytes(&jpeg), *canvas = NULL;

    put_bytes(&pnm, "P6 1 1 255\n\1\2\3", 14);
    check_first_pixel(pnm, 1, 2, 3, 0);
    CHECK_OK(ims_image_alloc(20, 20, &canvas));
    CHECK_OK(ims_canvas_paste(canvas, image, 0, 0, 20, 20));
    CHECK(ims_image_has_format("jpeg") && ims_image_has_format("pnm"));
    imgsim_image_free(canvas);
    imgsim_image_free(image);
    free(jpeg.data);
}

static void test_what_is_missing_is_named(const imgsim_image *picture, const struct file_bytes *png)
{
    imgsim_image *canvas = NULL;
    uint8_t *data = NULL;
    size_t size = 0;

    setenv("IMGSIM_VIPS_MODULE", "/nonexistent/libimgsim-vips.so", 1);
    CHECK_EQUAL(ims_image_has_format("png"), 0);
    check_unreadable(png, "PNG images need the image module (libimgsim-vips.so");
    check_unreadable(png, "/nonexistent/libimgsim-vips.so: cannot open");
    CHECK_FAILS(
        ims_image_encode(picture, "webp", 80, &data, &size), IMGSIM_ERROR_UNSUPPORTED, "module");
    CHECK(data == NULL && size == 0);
    CHECK_OK(ims_image_alloc(100, 30, &canvas));
    CHECK_FAILS(
        ims_canvas_text(canvas, "text", 0, 0, 90, 16, 0, 0), IMGSIM_ERROR_UNSUPPORTED, "module");
    imgsim_image_free(canvas);
    test_what_works_without(picture);
}

/* Any library will do: it has no table of ours. */
static void test_another_library_is_refused(const struct file_bytes *png)
{
    setenv("IMGSIM_VIPS_MODULE", "libm.so.6", 1);
    check_unreadable(png, "another version of libimgsim");
}

/* What was missing is looked for again: a program need not be started anew. */
static void test_it_is_found_when_it_comes(const struct file_bytes *png)
{
    imgsim_image *image;

    CHECK(!vips_is_loaded());
    unsetenv("IMGSIM_VIPS_MODULE");
    image = load_bytes(png);
    CHECK_EQUAL(image->pixels[1], 2);
    CHECK(vips_is_loaded());
    CHECK_EQUAL(ims_image_has_format("png"), 1);
    imgsim_image_free(image);
}

int main(void)
{
    static const uint8_t rgb[3] = {1, 2, 3};
    imgsim_image *picture = make_picture(40, 30, 5);
    struct file_bytes png = make_png(1, 1, 8, 2, rgb, 3, NULL, NULL);

    test_what_works_without(picture);
    CHECK(!vips_is_loaded());
    test_what_is_missing_is_named(picture, &png);
    test_another_library_is_refused(&png);
    test_it_is_found_when_it_comes(&png);
    imgsim_image_free(picture);
    free(png.data);
    return 0;
}
