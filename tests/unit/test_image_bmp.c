/* SPDX-License-Identifier: Apache-2.0 */
/* BMP in all its kinds, byte by byte; broken ones are refused, and mutated ones harm nothing. */
#include "image_files.h"

#include "core/rng.h"

enum { CORE = 12, INFO = 40, OS2 = 64, V3 = 56, V4 = 108, V5 = 124 };

/* What a file consists of; masks stand in the header from V3 on, else behind it. */
struct plan {
    uint32_t header;
    int32_t width, height;
    uint32_t bits, compression;
    uint32_t masks[4], mask_count;
    const uint8_t *palette; /* blue, green, red, nothing */
    uint32_t colours;
    const struct file_bytes *profile;
    const void *pixels;
    size_t pixels_size;
};

static void fill_up(struct file_bytes *file, size_t size)
{
    while (file->size < size)
        put_little(file, 0, 1);
}

static struct file_bytes make_bmp(const struct plan *plan)
{
    struct file_bytes file = {0};
    bool core = plan->header == CORE;
    uint32_t entry = core ? 3 : 4;
    uint32_t behind = plan->header < V3 ? 4 * plan->mask_count : 0;
    uint32_t at = 14 + plan->header + behind + entry * plan->colours;

    put_bytes(&file, "BM", 2);
    put_little(&file, at + (uint32_t)plan->pixels_size, 4);
    put_little(&file, 0, 4);
    put_little(&file, at, 4);
    put_little(&file, plan->header, 4);
    put_little(&file, (uint32_t)plan->width, core ? 2 : 4);
    put_little(&file, (uint32_t)plan->height, core ? 2 : 4);
    put_little(&file, 1, 2);
    put_little(&file, plan->bits, 2);
    if (!core) {
        put_little(&file, plan->compression, 4);
        fill_up(&file, 14 + 32);
        put_little(&file, plan->colours, 4);
        fill_up(&file, 14 + 40);
    }
    for (uint32_t i = 0; i < plan->mask_count; i++)
        put_little(&file, plan->masks[i], 4);
    if (plan->profile != NULL) {
        fill_up(&file, 14 + 56);
        put_little(&file, 0x4d424544, 4);
        fill_up(&file, 14 + 112);
        put_little(&file, at - 14 + (uint32_t)plan->pixels_size, 4);
        put_little(&file, (uint32_t)plan->profile->size, 4);
    }
    fill_up(&file, 14 + plan->header + behind);
    for (uint32_t i = 0; i < plan->colours; i++)
        put_bytes(&file, plan->palette + 4 * (size_t)i, entry);
    put_bytes(&file, plan->pixels, plan->pixels_size);
    if (plan->profile != NULL)
        put_bytes(&file, plan->profile->data, plan->profile->size);
    return file;
}

/* The file's pixels are these, RGB from the top left on. */
static void check_pixels(const struct plan *plan, const char *expected)
{
    struct file_bytes file = make_bmp(plan);
    imgsim_image *image = load_bytes(&file);
    size_t count = (size_t)image->width * image->height * 3;
    char text[512] = "";

    CHECK_TEXT(image->format, "bmp");
    CHECK_EQUAL(image->width, (uint32_t)plan->width);
    CHECK_EQUAL(image->height, (uint32_t)abs(plan->height));
    for (size_t i = 0; i < count; i++)
        snprintf(
            text + strlen(text), sizeof(text) - strlen(text), "%d%s", image->pixels[i],
            i % 3 == 2 ? (i + 1 < count ? "  " : "") : " ");
    CHECK_TEXT(text, expected);
    imgsim_image_free(image);
    free(file.data);
}

static void check_fails(const struct plan *plan, const char *reason)
{
    struct file_bytes file = make_bmp(plan);
    imgsim_image *image = NULL;

    CHECK(imgsim_image_load_memory(file.data, file.size, NULL, &image) != IMGSIM_OK);
    CHECK_TEXT(ims_image_last_reason(), reason);
    CHECK(image == NULL);
    free(file.data);
}

static const uint8_t red_green[8] = {0, 0, 255, 0, 0, 255, 0, 0};
static const uint8_t four[16] = {0, 0, 0, 0, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0};

static void palettes_of_every_depth(void)
{
    static const uint8_t one[4] = {0x40}, two[4] = {0x1b}, nibbles[4] = {0x12, 0x30};
    static const uint8_t eight[4] = {3, 2, 1};
    static const char *const all = "255 0 0  0 255 0  0 0 255";
    struct plan plan = {.width = 2, .height = 1, .pixels_size = 4};

    plan = (struct plan){INFO, 2, 1, 1, 0, {0}, 0, red_green, 2, NULL, one, 4};
    check_pixels(&plan, "255 0 0  0 255 0");
    plan.header = CORE;
    check_pixels(&plan, "255 0 0  0 255 0");
    plan = (struct plan){INFO, 4, 1, 2, 0, {0}, 0, four, 4, NULL, two, 4};
    check_pixels(&plan, "0 0 0  255 0 0  0 255 0  0 0 255");
    plan = (struct plan){INFO, 3, 1, 4, 0, {0}, 0, four, 4, NULL, nibbles, 4};
    check_pixels(&plan, all);
    plan = (struct plan){INFO, 3, 1, 8, 0, {0}, 0, four, 4, NULL, eight, 4};
    check_pixels(&plan, "0 0 255  0 255 0  255 0 0");
    plan.header = V5;
    check_pixels(&plan, "0 0 255  0 255 0  255 0 0");
    /* A colour that the palette lacks is black. */
    plan.colours = 3;
    check_pixels(&plan, "0 0 0  0 255 0  255 0 0");
}

static void rows_and_their_order(void)
{
    static const uint8_t rows[16] = {1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t two_rows[8] = {3, 2, 1, 0, 6, 5, 4, 0};
    struct plan plan = {INFO, 1, 2, 24, 0, {0}, 0, NULL, 0, NULL, two_rows, 8};

    check_pixels(&plan, "4 5 6  1 2 3");
    plan.height = -2;
    check_pixels(&plan, "1 2 3  4 5 6");
    /* The last row's padding may be missing. */
    plan.pixels_size = 7;
    check_pixels(&plan, "1 2 3  4 5 6");
    plan.pixels_size = 6;
    check_fails(&plan, "truncated");
    plan = (struct plan){INFO, 1, 1, 24, 0, {0}, 0, NULL, 0, NULL, rows, 4};
    check_pixels(&plan, "3 2 1");
}

static void fields_of_bits(void)
{
    static const uint8_t white_red[4] = {0xff, 0x7f, 0x00, 0x7c}, sixes[4] = {0xe0, 0x07, 0x1f, 0};
    static const uint8_t words[8] = {30, 20, 10, 99, 60, 50, 40, 0}, ten[4] = {0xff, 3, 0, 0x20};
    struct plan plan = {INFO, 2, 1, 16, 0, {0}, 0, NULL, 0, NULL, white_red, 4};

    check_pixels(&plan, "255 255 255  255 0 0");
    plan = (struct plan){INFO, 2, 1, 16, 3, {0xf800, 0x07e0, 0x1f}, 3, NULL, 0, NULL, sixes, 4};
    check_pixels(&plan, "0 255 0  0 0 255");
    plan.header = V4;
    check_pixels(&plan, "0 255 0  0 0 255");
    /* The fourth byte is nothing without a mask. */
    plan = (struct plan){INFO, 2, 1, 32, 0, {0}, 0, NULL, 0, NULL, words, 8};
    check_pixels(&plan, "10 20 30  40 50 60");
    plan = (struct plan){INFO, 1, 1, 32, 3, {0x3ff, 0xffc00, 0x3ff00000}, 3, NULL, 0, NULL, ten, 4};
    check_pixels(&plan, "255 0 128");
    /* Masks that overlap, that have gaps, that leave the pixel. */
    plan.masks[1] = 0x200;
    check_fails(&plan, "damaged");
    plan.masks[1] = 0x50000;
    check_fails(&plan, "damaged");
    plan = (struct plan){INFO, 2, 1, 16, 3, {0x1f0000, 0x07e0, 0x1f}, 3, NULL, 0, NULL, sixes, 4};
    check_fails(&plan, "damaged");
}

static void transparency(void)
{
    static const uint8_t half[8] = {255, 100, 0, 128, 30, 20, 10, 0};
    static const uint8_t clear[8] = {30, 20, 10, 0, 60, 50, 40, 0};
    struct plan plan = {V5, 2,    1, 32,   3,    {0xff0000, 0xff00, 0xff, 0xff000000},
                        4,  NULL, 0, NULL, half, 8};

    check_pixels(&plan, "127 177 255  255 255 255");
    plan.header = INFO;
    plan.compression = 6;
    check_pixels(&plan, "127 177 255  255 255 255");
    /* Zero everywhere means that nobody wrote it. */
    plan.pixels = clear;
    check_pixels(&plan, "10 20 30  40 50 60");
}

static void run_lengths(void)
{
    static const uint8_t eight[] = {2, 1, 1, 2, 0, 0, 0, 3, 3, 2, 1, 0, 0, 1};
    static const uint8_t four_bits[] = {3, 0x12, 0, 0, 0, 3, 0x32, 0x10, 0, 1};
    static const uint8_t jump[] = {0, 2, 1, 1, 1, 3, 0, 1}, early[] = {1, 3, 0, 1};
    static const uint8_t long_run[] = {9, 1, 0, 0, 3, 2, 0, 1}, no_end[] = {3, 1, 0, 0, 3, 2};
    static const uint8_t three[] = {2, 30, 20, 10, 1, 3, 2, 1, 0, 0, 3, 6, 5, 4, 0, 1};
    static const uint8_t above[] = {0, 0, 0, 0, 3, 1, 0, 1}, aside[] = {0, 2, 9, 0, 0, 1};
    static const uint8_t cut[] = {3, 1, 0, 0, 0, 3, 3, 2};
    struct plan plan = {INFO, 3, 2, 8, 1, {0}, 0, four, 4, NULL, eight, sizeof(eight)};

    check_pixels(&plan, "0 0 255  0 255 0  255 0 0  255 0 0  255 0 0  0 255 0");
    plan = (struct plan){INFO, 3, 2, 4, 2, {0}, 0, four, 4, NULL, four_bits, sizeof(four_bits)};
    check_pixels(&plan, "0 0 255  0 255 0  255 0 0  255 0 0  0 255 0  255 0 0");
    plan = (struct plan){OS2, 3, 2, 24, 4, {0}, 0, NULL, 0, NULL, three, sizeof(three)};
    check_pixels(&plan, "4 5 6  4 5 6  4 5 6  10 20 30  10 20 30  1 2 3");
    /* What is jumped over, or left out at the end, has colour 0. */
    plan = (struct plan){INFO, 3, 2, 8, 1, {0}, 0, four, 4, NULL, jump, sizeof(jump)};
    check_pixels(&plan, "0 0 0  0 0 255  0 0 0  0 0 0  0 0 0  0 0 0");
    plan = (struct plan){INFO, 3, 2, 8, 1, {0}, 0, four, 4, NULL, early, sizeof(early)};
    check_pixels(&plan, "0 0 0  0 0 0  0 0 0  0 0 255  0 0 0  0 0 0");
    /* A run ends with its line; the last code may be missing. */
    plan = (struct plan){INFO, 3, 2, 8, 1, {0}, 0, four, 4, NULL, long_run, sizeof(long_run)};
    check_pixels(&plan, "0 255 0  0 255 0  0 255 0  255 0 0  255 0 0  255 0 0");
    plan = (struct plan){INFO, 3, 2, 8, 1, {0}, 0, four, 4, NULL, no_end, sizeof(no_end)};
    check_pixels(&plan, "0 255 0  0 255 0  0 255 0  255 0 0  255 0 0  255 0 0");
    plan = (struct plan){INFO, 3, 2, 8, 1, {0}, 0, four, 4, NULL, above, sizeof(above)};
    check_fails(&plan, "damaged");
    plan = (struct plan){INFO, 3, 2, 8, 1, {0}, 0, four, 4, NULL, aside, sizeof(aside)};
    check_fails(&plan, "damaged");
    plan = (struct plan){INFO, 3, 2, 8, 1, {0}, 0, four, 4, NULL, cut, sizeof(cut)};
    check_fails(&plan, "truncated");
    plan = (struct plan){INFO, 3, -2, 8, 1, {0}, 0, four, 4, NULL, eight, sizeof(eight)};
    check_fails(&plan, "damaged");
}

static void what_is_refused(void)
{
    static const uint8_t pixels[4] = {0};
    struct plan plan = {INFO, 1, 1, 24, 4, {0}, 0, NULL, 0, NULL, pixels, 4};

    check_fails(&plan, "unsupported format");
    plan.compression = 77;
    check_fails(&plan, "unsupported format");
    plan.compression = 1;
    check_fails(&plan, "damaged");
    plan.compression = 0;
    plan.bits = 7;
    check_fails(&plan, "damaged");
    plan.bits = 24;
    plan.width = -1;
    check_fails(&plan, "damaged");
    plan.width = 0;
    check_fails(&plan, "damaged");
    plan.width = 1;
    plan.height = INT32_MIN;
    check_fails(&plan, "too many pixels");
    plan.height = 1 << 19;
    plan.width = 1 << 19;
    check_fails(&plan, "too many pixels");
    plan = (struct plan){OS2, 1, 1, 1, 3, {0}, 0, red_green, 2, NULL, pixels, 4};
    check_fails(&plan, "unsupported format");
}

/* A profile inside the file is applied, one of another colour space is not. */
static void a_profile_is_applied(void)
{
    static const uint8_t pixels[8] = {0, 255, 0, 128, 128, 128, 0, 0};
    struct file_bytes profile = make_matrix_profile(adobe_rgb, gamma_curve(563.0 / 256.0), NULL);
    struct plan plan = {V5, 2, 1, 24, 0, {0}, 0, NULL, 0, NULL, pixels, 8};

    check_pixels(&plan, "0 255 0  128 128 128");
    plan.profile = &profile;
    plan.pixels = "\xff\0\0\0\0\xff\0";
    check_pixels(&plan, "0 2 255  255 0 0");
    plan.pixels = "\x20\x40\xa0\x80\x80\x80\0";
    check_pixels(&plan, "185 62 23  129 129 129");
    memcpy(profile.data + 16, "CMYK", 4);
    check_pixels(&plan, "160 64 32  128 128 128");
    free(profile.data);
}

/* Cut anywhere before the last pixel is there. */
static void cut_files_fail(void)
{
    static const uint8_t eight[] = {2, 1, 1, 2, 0, 0, 0, 3, 3, 2, 1, 0, 0, 1};
    struct plan plan = {INFO, 3, 2, 8, 1, {0}, 0, four, 4, NULL, eight, sizeof(eight)};
    struct file_bytes file = make_bmp(&plan);
    imgsim_image *image = NULL;

    for (size_t size = 2; size < file.size - 3; size++) {
        uint8_t *exact = malloc(size);

        CHECK(exact != NULL);
        memcpy(exact, file.data, size);
        CHECK(imgsim_image_load_memory(exact, size, NULL, &image) == IMGSIM_ERROR_BAD_IMAGE);
        CHECK_TEXT(ims_image_last_reason(), "truncated");
        free(exact);
    }
    free(file.data);
    CHECK_FAILS(
        imgsim_image_load_memory("BMW drives past the house", 25, NULL, &image),
        IMGSIM_ERROR_BAD_IMAGE, "not an image");
}

/* Whatever changes in a file, it is decoded or refused. */
static void mutated_files_harm_nothing(void)
{
    static const uint8_t eight[] = {2, 1, 1, 2, 0, 0, 0, 3, 3, 2, 1, 0, 0, 2, 0, 0, 0, 1};
    static uint8_t pixels[64];
    const struct plan plans[] = {
        {INFO, 3, 2, 8, 1, {0}, 0, four, 4, NULL, eight, sizeof(eight)},
        {INFO, 3, 2, 4, 2, {0}, 0, four, 4, NULL, eight, sizeof(eight)},
        {OS2, 3, 2, 24, 4, {0}, 0, NULL, 0, NULL, eight, sizeof(eight)},
        {INFO, 3, 2, 16, 3, {0xf800, 0x07e0, 0x1f}, 3, NULL, 0, NULL, pixels, 16},
        {V5, 2, 2, 32, 3, {0xff0000, 0xff00, 0xff, 0xff000000}, 4, NULL, 0, NULL, pixels, 16},
        {CORE, 5, 2, 4, 0, {0}, 0, four, 4, NULL, pixels, 8},
    };
    size_t good = 0, bad = 0;
    imgsim_image_options options;
    struct ims_rng rng;

    CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
    options.max_pixels = 1 << 16;
    ims_rng_init(&rng, 11);
    for (size_t i = 0; i < 60000; i++) {
        struct file_bytes file = make_bmp(&plans[i % 6]);
        size_t changes = 1 + ims_rng_below(&rng, 4);
        imgsim_image *image = NULL;

        for (size_t k = 0; k < changes; k++)
            file.data[2 + ims_rng_below(&rng, (uint32_t)file.size - 2)] =
                (uint8_t)ims_rng_below(&rng, 256);
        if (imgsim_image_load_memory(file.data, file.size, &options, &image) == IMGSIM_OK)
            good++;
        else
            bad++;
        imgsim_image_free(image);
        free(file.data);
    }
    printf("%zu decoded, %zu refused\n", good, bad);
    CHECK(good > 1000 && bad > 1000);
}

/* Files of others that hold the same picture. */
static void files_of_others_agree(void)
{
    static const char *const pairs[][2] = {
        {"rgb32bf", "rgb24"},
        {"pal8os2-sz", "pal8rle"},
        {"pal8v4", "pal8v5"},
        {"V3_A4_R4_G4_B4", "V3_A4_R4_G4_B4_Top_Down"},
        {"Info_R8_G8_B8", "Info_R8_G8_B8_Top_Down"},
        {"Info_4_Bit", "Info_4_Bit_Top_Down"},
    };
    const char *data = check_data_folder();

    for (size_t i = 0; data != NULL && i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        imgsim_image *images[2] = {NULL, NULL};

        for (int k = 0; k < 2; k++) {
            char path[4096];

            snprintf(
                path, sizeof(path), "%s/hostile/image-rs/images/bmp/images/%s.bmp", data,
                pairs[i][k]);
            CHECK_OK(imgsim_image_load_file(path, NULL, &images[k]));
        }
        CHECK(difference(images[0], images[1]) == 0.0);
        imgsim_image_free(images[0]);
        imgsim_image_free(images[1]);
    }
}

int main(void)
{
    palettes_of_every_depth();
    rows_and_their_order();
    fields_of_bits();
    transparency();
    run_lengths();
    what_is_refused();
    a_profile_is_applied();
    cut_files_fail();
    mutated_files_harm_nothing();
    files_of_others_agree();
    return 0;
}
