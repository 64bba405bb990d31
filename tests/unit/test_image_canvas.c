/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drawing sheets: nothing leaves its box or the canvas, long names are shortened, any bytes may
 * be a name.
 */
#include "image_files.h"

static imgsim_image *white_canvas(uint32_t width, uint32_t height)
{
    imgsim_image *canvas = NULL;

    CHECK_OK(ims_image_alloc(width, height, &canvas));
    ims_canvas_fill(canvas, 0, 0, width, height, 0xffffff);
    return canvas;
}

/* The box around all pixels that are not white; false if there is none. */
static bool find_ink(const imgsim_image *canvas, uint32_t box[4])
{
    box[0] = canvas->width;
    box[1] = canvas->height;
    box[2] = box[3] = 0;
    for (uint32_t y = 0; y < canvas->height; y++)
        for (uint32_t x = 0; x < canvas->width; x++) {
            const uint8_t *pixel = canvas->pixels + ((size_t)y * canvas->width + x) * 3;

            if (pixel[0] == 255 && pixel[1] == 255 && pixel[2] == 255)
                continue;
            box[0] = x < box[0] ? x : box[0];
            box[1] = y < box[1] ? y : box[1];
            box[2] = x + 1 > box[2] ? x + 1 : box[2];
            box[3] = y + 1 > box[3] ? y + 1 : box[3];
        }
    return box[2] > 0;
}

static void check_ink(imgsim_image *canvas, uint32_t x0, uint32_t y0, uint32_t x1, uint32_t y1)
{
    uint32_t box[4];

    CHECK(find_ink(canvas, box));
    CHECK_EQUAL(box[0], x0);
    CHECK_EQUAL(box[1], y0);
    CHECK_EQUAL(box[2], x1);
    CHECK_EQUAL(box[3], y1);
    imgsim_image_free(canvas);
}

static void test_boxes_are_cut_at_the_edges(void)
{
    static const int32_t cases[][8] = {
        {2, 3, 4, 5, 2, 3, 6, 8},
        {-3, -2, 10, 10, 0, 0, 7, 8},
        {15, 18, 1000, 1000, 15, 18, 20, 20}};

    for (int i = 0; i < 3; i++) {
        const int32_t *c = cases[i];
        imgsim_image *canvas = white_canvas(20, 20);

        ims_canvas_fill(canvas, c[0], c[1], (uint32_t)c[2], (uint32_t)c[3], 0x123456);
        CHECK_EQUAL(canvas->pixels[((size_t)c[5] * 20 + (size_t)c[4]) * 3 + 1], 0x34);
        check_ink(canvas, (uint32_t)c[4], (uint32_t)c[5], (uint32_t)c[6], (uint32_t)c[7]);
    }
}

static void test_pictures_fit_their_box(void)
{
    imgsim_image *dark = NULL, *canvas = white_canvas(100, 100);

    CHECK_OK(ims_image_alloc(40, 20, &dark));
    memset(dark->pixels, 7, 40 * 20 * 3);
    CHECK_OK(ims_canvas_paste(canvas, dark, 10, 10, 60, 60));
    check_ink(canvas, 10, 25, 70, 55);
    canvas = white_canvas(100, 100);
    CHECK_OK(ims_canvas_paste(canvas, dark, 60, -10, 80, 40));
    check_ink(canvas, 60, 0, 100, 30);
    canvas = white_canvas(100, 100);
    CHECK_OK(ims_canvas_paste(canvas, dark, 5, 5, 3, 90)); /* 3 x 2 */
    check_ink(canvas, 5, 49, 8, 51);
    canvas = white_canvas(10, 10);
    CHECK_OK(ims_canvas_paste(canvas, dark, -500, 0, 20, 20));
    CHECK_OK(ims_canvas_paste(canvas, dark, 500, 500, 20, 20));
    CHECK_OK(ims_canvas_paste(canvas, dark, 0, 0, 0, 20));
    CHECK_EQUAL(canvas->pixels[0], 255);
    imgsim_image_free(canvas);
    imgsim_image_free(dark);
}

/* Whether this machine has a font at all. */
static bool has_font(void)
{
    imgsim_image *canvas = white_canvas(100, 40);
    uint32_t box[4];
    bool ink;

    CHECK_OK(ims_canvas_text(canvas, "M", 5, 5, 90, 20, 0, 0));
    ink = find_ink(canvas, box);
    imgsim_image_free(canvas);
    return ink;
}

static void test_text_stays_within_its_width(void)
{
    static const char *const names[] = {
        "a.jpg",
        "holiday/2019/the_third_day_at_the_sea_with_everybody_IMG_20190714_123456.jpeg",
        "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
        "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii",
        "<b>not markup</b> & \"more\"",
        "bytes \xff\xfe\x80 that are no text",
        "line\nbreak\tand\rcontrol \x01\x7f",
        "\xc3\x84rger \xe6\x97\xa5\xe6\x9c\xac \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        imgsim_image *canvas = white_canvas(300, 60);
        uint32_t box[4];

        CHECK_OK(ims_canvas_text(canvas, names[i], 50, 20, 180, 18, 0x112233, i % 2));
        CHECK(find_ink(canvas, box));
        CHECK(box[0] >= 48 && box[2] <= 231);
        CHECK(box[1] >= 18 && box[3] <= 48);
        imgsim_image_free(canvas);
    }
}

static void test_long_names_use_the_width_and_blanks_draw_nothing(void)
{
    imgsim_image *canvas = white_canvas(400, 40);
    char *name = malloc(100001);
    uint32_t box[4];

    CHECK(name != NULL);
    memset(name, 'e', 100000);
    name[100000] = '\0';
    CHECK_OK(ims_canvas_text(canvas, name, 10, 5, 300, 16, 0, 0));
    CHECK(find_ink(canvas, box));
    CHECK(box[2] > 280 && box[2] <= 311);
    free(name);
    imgsim_image_free(canvas);

    canvas = white_canvas(100, 40);
    CHECK_OK(ims_canvas_text(canvas, "", 10, 5, 80, 16, 0, 0));
    CHECK_OK(ims_canvas_text(canvas, "   ", 10, 5, 80, 16, 0, 0));
    CHECK_OK(ims_canvas_text(canvas, "too narrow for a letter", 10, 5, 1, 16, 0, 0));
    CHECK_OK(ims_canvas_text(canvas, "outside", 200, 100, 80, 16, 0, 0));
    CHECK(!find_ink(canvas, box));
    CHECK(ims_canvas_text(canvas, "x", 0, 0, 10, 0, 0, 0) == IMGSIM_ERROR_INVALID_ARGUMENT);
    imgsim_image_free(canvas);
}

/*
 * Lines of one height stand on one base line whatever letters they have: x and z end where M
 * ends.
 */
static void test_lines_share_their_base_line(void)
{
    imgsim_image *canvas = white_canvas(100, 60), *other = white_canvas(100, 60);
    uint32_t small[4], large[4];

    CHECK_OK(ims_canvas_text(canvas, "xz", 10, 10, 90, 24, 0, 0));
    CHECK_OK(ims_canvas_text(other, "M", 10, 10, 90, 24, 0, 0));
    CHECK(find_ink(canvas, small) && find_ink(other, large));
    CHECK(small[1] > large[1]);
    CHECK(abs((int)small[3] - (int)large[3]) <= 1);
    imgsim_image_free(canvas);
    imgsim_image_free(other);
}

static void test_encoders(void)
{
    imgsim_image *picture = make_picture(33, 21, 9), *back;
    struct file_bytes file = encode_picture(picture, "png");
    uint8_t *data;
    size_t size;

    back = load_bytes(&file);
    CHECK(difference(picture, back) == 0.0);
    imgsim_image_free(back);
    free(file.data);
    file = encode_picture(picture, "jpeg");
    back = load_bytes(&file);
    CHECK_TEXT(back->format, "jpeg");
    CHECK(difference(picture, back) < 6.0);
    imgsim_image_free(back);
    free(file.data);
    CHECK_FAILS(
        ims_image_encode(picture, "bmp", 90, &data, &size), IMGSIM_ERROR_UNSUPPORTED, "bmp");
    CHECK_FAILS(
        ims_image_encode(picture, "jpeg", 0, &data, &size), IMGSIM_ERROR_INVALID_ARGUMENT,
        "quality");
    CHECK(data == NULL);
    imgsim_image_free(picture);
}

int main(void)
{
    test_boxes_are_cut_at_the_edges();
    test_pictures_fit_their_box();
    test_encoders();
    if (!has_font())
        check_skip("no font is installed");
    test_text_stays_within_its_width();
    test_long_names_use_the_width_and_blanks_draw_nothing();
    test_lines_share_their_base_line();
    return 0;
}
