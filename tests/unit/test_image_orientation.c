/* SPDX-License-Identifier: Apache-2.0 */
/* All eight orientations of TIFF and WebP come out upright; JPEG's are in test_image_jpeg.c. */
#include "image_files.h"

enum { WIDTH = 48, HEIGHT = 32 };

/* A directory of one entry, as PNG and WebP hold it. */
static const uint8_t exif[26] = "II*\0\x08\0\0\0\1\0\x12\x01\3\0\1\0\0\0\1\0\0\0\0\0\0";

static void check_upright(
    const imgsim_image *picture,
    struct file_bytes file,
    double tolerance,
    uint32_t reduction)
{
    imgsim_image_options options;
    imgsim_image *image = NULL;

    CHECK_OK(imgsim_image_options_init(&options, sizeof(options)));
    options.min_side = HEIGHT / reduction;
    CHECK_OK(imgsim_image_load_memory(file.data, file.size, &options, &image));
    CHECK_EQUAL(image->full_width, WIDTH);
    CHECK_EQUAL(image->full_height, HEIGHT);
    CHECK_EQUAL(image->width, WIDTH / reduction);
    CHECK_EQUAL(image->height, HEIGHT / reduction);
    if (reduction == 1)
        CHECK(difference(picture, image) <= tolerance);
    imgsim_image_free(image);
    free(file.data);
}

/* Tag 274 stands where 278 (rows per strip, which may be left out) stood, two entries earlier. */
static struct file_bytes make_turned_tiff(const imgsim_image *stored, int orientation)
{
    struct file_bytes file = make_tiff(stored->width, stored->height, 3, 2, stored->pixels);
    size_t directory = file.data[4] | (size_t)file.data[5] << 8;
    uint8_t *samples = file.data + directory + 2 + 6 * 12, *rows = samples + 12;

    CHECK(samples[0] == (277 & 0xff) && rows[0] == (278 & 0xff));
    memcpy(rows, samples, 12);
    memcpy(samples, exif + 10, 12);
    samples[8] = (uint8_t)orientation;
    return file;
}

static void test_tiff(const imgsim_image *picture)
{
    for (int orientation = 1; orientation <= 8; orientation++) {
        imgsim_image *stored = store_turned(picture, orientation);

        check_upright(picture, make_turned_tiff(stored, orientation), 0.0, 1);
        imgsim_image_free(stored);
    }
}

static void put_riff_chunk(struct file_bytes *file, const char *name, const void *data, size_t size)
{
    put_bytes(file, name, 4);
    put_little(file, (uint32_t)size, 4);
    put_bytes(file, data, size);
    if (size % 2 == 1)
        put_bytes(file, "", 1);
}

static uint32_t little_32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* The chunk with the picture itself; libvips may write others around it. */
static const uint8_t *find_picture(const struct file_bytes *webp)
{
    size_t at = 12;

    while (memcmp(webp->data + at, "VP8 ", 4) != 0) {
        at += 8 + ((size_t)little_32(webp->data + at + 4) + 1) / 2 * 2;
        CHECK(at + 8 <= webp->size);
    }
    return webp->data + at;
}

/*
 * The extended form of WebP: a header chunk with a flag for EXIF, the picture's chunk, EXIF, which
 * some writers begin like JPEG's.
 */
static struct file_bytes
make_turned_webp(const imgsim_image *stored, int orientation, bool like_jpeg)
{
    struct file_bytes plain = encode_picture(stored, "webp"), file = {0}, header = {0};
    const uint8_t *chunk = find_picture(&plain);
    uint8_t turned[32] = "Exif\0";
    size_t skipped = like_jpeg ? 0 : 6;

    memcpy(turned + 6, exif, sizeof(exif));
    turned[6 + 18] = (uint8_t)orientation;
    put_little(&header, 8, 4); /* EXIF */
    put_little(&header, stored->width - 1, 3);
    put_little(&header, stored->height - 1, 3);

    put_bytes(&file, "RIFF....WEBP", 12);
    put_riff_chunk(&file, "VP8X", header.data, header.size);
    put_riff_chunk(&file, "VP8 ", chunk + 8, little_32(chunk + 4));
    put_riff_chunk(&file, "EXIF", turned + skipped, sizeof(turned) - skipped);
    for (int i = 0; i < 4; i++)
        file.data[4 + i] = (uint8_t)((file.size - 8) >> (8 * i));
    free(plain.data);
    free(header.data);
    return file;
}

static void test_webp(const imgsim_image *picture)
{
    for (int orientation = 1; orientation <= 8; orientation++) {
        imgsim_image *stored = store_turned(picture, orientation);

        check_upright(picture, make_turned_webp(stored, orientation, false), 6.0, 1);
        check_upright(picture, make_turned_webp(stored, orientation, true), 6.0, 1);
        check_upright(picture, make_turned_webp(stored, orientation, false), 6.0, 2);
        imgsim_image_free(stored);
    }
}

/* Without the turn the pictures differ by far more than compression changes them. */
static void test_that_the_tolerance_tells(const imgsim_image *picture)
{
    imgsim_image *half_turn = store_turned(picture, 3), *mirrored = store_turned(picture, 2);

    CHECK(difference(picture, half_turn) > 20.0);
    CHECK(difference(picture, mirrored) > 20.0);
    imgsim_image_free(half_turn);
    imgsim_image_free(mirrored);
}

int main(void)
{
    imgsim_image *picture = make_picture(WIDTH, HEIGHT, 4);

    test_that_the_tolerance_tells(picture);
    test_tiff(picture);
    test_webp(picture);
    imgsim_image_free(picture);
    return 0;
}
