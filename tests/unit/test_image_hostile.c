/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real files of other projects' test suites: all orientations upright, every PNG variant, and
 * nothing that crashes us.
 */
#include "image_files.h"

#include <ftw.h>

static size_t decoded, refused;

static imgsim_image *load_data(const char *name)
{
    char path[4096];
    imgsim_image *image = NULL;

    snprintf(path, sizeof(path), "%s/hostile/%s", check_data_folder(), name);
    CHECK_OK(imgsim_image_load_file(path, NULL, &image));
    return image;
}

static void test_eight_orientations_show_one_picture(void)
{
    static const char *const kinds[2] = {"Landscape", "Portrait"};

    for (int kind = 0; kind < 2; kind++) {
        char name[100];
        imgsim_image *first, *turned;

        snprintf(name, sizeof(name), "exif-orientation/%s_1.jpg", kinds[kind]);
        first = load_data(name);
        for (int i = 0; i <= 8; i++) {
            snprintf(name, sizeof(name), "exif-orientation/%s_%d.jpg", kinds[kind], i);
            turned = load_data(name);
            CHECK(difference(first, turned) < 6.0); /* each was compressed anew */
            imgsim_image_free(turned);
        }
        imgsim_image_free(first);
    }
}

/* PngSuite stores the same pixels plain and interlaced, and compressed in several ways. */
static void test_png_variants_agree(void)
{
    static const char *const pairs[][2] = {
        {"basn2c08", "basi2c08"}, {"basn0g16", "basi0g16"}, {"basn3p08", "basi3p08"},
        {"basn6a16", "basi6a16"}, {"basn4a08", "basi4a08"}, {"z00n2c08", "z09n2c08"},
        {"oi1n2c16", "oi9n2c16"},
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char name[100];
        imgsim_image *a, *b;

        snprintf(name, sizeof(name), "pngsuite/png/%s.png", pairs[i][0]);
        a = load_data(name);
        snprintf(name, sizeof(name), "pngsuite/png/%s.png", pairs[i][1]);
        b = load_data(name);
        CHECK(difference(a, b) == 0.0);
        imgsim_image_free(a);
        imgsim_image_free(b);
    }
}

static int visit(const char *path, const struct stat *info, int type)
{
    imgsim_image_options options;
    imgsim_image *image = NULL;
    imgsim_status status;

    (void)info;
    if (type != FTW_F)
        return 0;
    CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
    options.max_pixels = 1 << 25;
    status = imgsim_image_load_file(path, &options, &image);
    if (status == IMGSIM_OK) {
        CHECK(image->width > 0 && image->height > 0 && image->full_width >= image->width);
        decoded++;
    } else {
        CHECK(
            status == IMGSIM_ERROR_BAD_IMAGE || status == IMGSIM_ERROR_UNSUPPORTED ||
            status == IMGSIM_ERROR_LIMIT);
        CHECK(ims_image_last_reason()[0] != '\0');
        refused++;
    }
    imgsim_image_free(image);

    /* Reduced decoding finds the same verdict. */
    options.min_side = 16;
    CHECK(imgsim_image_load_file(path, &options, &image) == status);
    imgsim_image_free(image);
    return 0;
}

static void test_every_hostile_file_gets_a_verdict(void)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/hostile", check_data_folder());
    CHECK(ftw(path, visit, 16) == 0);
    printf("%zu decoded, %zu refused\n", decoded, refused);
    CHECK(decoded > 500 && refused > 200);
}

static void test_these_are_broken(void)
{
    static const struct {
        const char *name;
        imgsim_status status;
        const char *reason;
    } files[] = {
        {"wuffs/peacock.default.truncated.jpeg", IMGSIM_ERROR_BAD_IMAGE, "truncated"},
        {"wuffs/peacock.progressive.truncated.jpeg", IMGSIM_ERROR_BAD_IMAGE, "truncated"},
        {"wuffs/hippopotamus.regular.truncated.png", IMGSIM_ERROR_BAD_IMAGE, "truncated"},
        {"wuffs/hippopotamus.interlaced.truncated.gif", IMGSIM_ERROR_BAD_IMAGE, "truncated"},
        {"libjpeg-turbo-test/monkey12.jpg", IMGSIM_ERROR_UNSUPPORTED, "unsupported format"},
        {"libjpeg-turbo-test/test1.icc", IMGSIM_ERROR_BAD_IMAGE, "not an image"},
        {"pngsuite/png/xcsn0g01.png", IMGSIM_ERROR_BAD_IMAGE, "damaged"},
        {"pngsuite/png/xhdn0g08.png", IMGSIM_ERROR_BAD_IMAGE, "damaged"},
    };

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[4096];
        imgsim_image *image = NULL;

        snprintf(path, sizeof(path), "%s/hostile/%s", check_data_folder(), files[i].name);
        CHECK_FAILS(imgsim_image_load_file(path, NULL, &image), files[i].status, files[i].reason);
        CHECK_TEXT(ims_image_last_reason(), files[i].reason);
    }
}

int main(void)
{
    if (check_data_folder() == NULL)
        check_skip("the folder of real test photos is not there");
    test_eight_orientations_show_one_picture();
    test_png_variants_agree();
    test_these_are_broken();
    test_every_hostile_file_gets_a_verdict();
    return 0;
}
