/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small image files made byte by byte, so that tests know every pixel without trusting a library.
 */
#ifndef IMS_TESTS_IMAGE_FILES_H
#define IMS_TESTS_IMAGE_FILES_H

#include "check.h"

#include "core/memory.h"
#include "image/image.h"

/* A growing file. Zero it before use. */
struct file_bytes {
    uint8_t *data;
    size_t size;
};

static inline void put_bytes(struct file_bytes *file, const void *bytes, size_t size)
{
    file->data = realloc(file->data, file->size + size + 1);
    CHECK(file->data != NULL);
    memcpy(file->data + file->size, bytes, size);
    file->size += size;
}

static inline void put_big_32(struct file_bytes *file, uint32_t value)
{
    uint8_t bytes[4] = {
        (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value};

    put_bytes(file, bytes, 4);
}

static inline void put_little(struct file_bytes *file, uint32_t value, int count)
{
    for (int i = 0; i < count; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));

        put_bytes(file, &byte, 1);
    }
}

static inline uint32_t crc_of(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static inline void
put_png_chunk(struct file_bytes *file, const char *name, const struct file_bytes *content)
{
    size_t start = file->size + 4;

    put_big_32(file, (uint32_t)content->size);
    put_bytes(file, name, 4);
    if (content->size > 0)
        put_bytes(file, content->data, content->size);
    put_big_32(file, crc_of(file->data + start, file->size - start));
}

/*
 * A PNG of unpacked rows: type 0 grey, 2 RGB, 4 grey + alpha, 6 RGBA; at most 65535 bytes of
 * rows. `extra` chunks come before IDAT.
 */
static inline struct file_bytes make_png(
    uint32_t width,
    uint32_t height,
    uint8_t depth,
    uint8_t type,
    const uint8_t *rows,
    size_t row_size,
    const char *extra_name,
    const struct file_bytes *extra)
{
    struct file_bytes file = {0}, header = {0}, data = {0}, raw = {0}, none = {0};
    uint8_t tail[5] = {depth, type, 0, 0, 0};
    uint32_t a = 1, b = 0;

    put_bytes(&file, "\x89PNG\r\n\x1a\n", 8);
    put_big_32(&header, width);
    put_big_32(&header, height);
    put_bytes(&header, tail, 5);
    put_png_chunk(&file, "IHDR", &header);
    if (extra_name != NULL)
        put_png_chunk(&file, extra_name, extra);

    for (uint32_t y = 0; rows != NULL && y < height; y++) {
        put_bytes(&raw, "", 1); /* no filter */
        put_bytes(&raw, rows + y * row_size, row_size);
    }
    CHECK(raw.size < 65536);
    put_bytes(&data, "\x78\x01\x01", 3); /* zlib, one stored block */
    put_little(&data, (uint32_t)raw.size, 2);
    put_little(&data, ~(uint32_t)raw.size, 2);
    for (size_t i = 0; i < raw.size; i++) {
        a = (a + raw.data[i]) % 65521;
        b = (b + a) % 65521;
    }
    if (raw.size > 0)
        put_bytes(&data, raw.data, raw.size);
    put_big_32(&data, b << 16 | a);
    put_png_chunk(&file, "IDAT", &data);
    put_png_chunk(&file, "IEND", &none);
    free(header.data);
    free(data.data);
    free(raw.data);
    return file;
}

/*
 * A GIF of one colour per frame out of black, white, red, blue: width x height, codes of 2 bits,
 * a clear code before each pixel.
 */
static inline struct file_bytes
make_gif(uint16_t width, uint16_t height, const uint8_t *colours, int frames)
{
    static const uint8_t palette[12] = {0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255};
    struct file_bytes file = {0};

    put_bytes(&file, "GIF89a", 6);
    put_little(&file, width, 2);
    put_little(&file, height, 2);
    put_bytes(&file, "\x81\0\0", 3);
    put_bytes(&file, palette, 12);
    for (int frame = 0; frame < frames; frame++) {
        uint32_t bits = 0, used = 0;
        struct file_bytes codes = {0};

        put_bytes(&file, ",\0\0\0\0", 5);
        put_little(&file, width, 2);
        put_little(&file, height, 2);
        put_bytes(&file, "\0\2", 2);
        for (int i = 0; i <= width * height; i++) {
            uint32_t pair = i < width * height ? 4u | (uint32_t)colours[frame] << 3 : 5u;

            bits |= pair << used;
            for (used += i < width * height ? 6 : 3; used >= 8; used -= 8, bits >>= 8)
                put_little(&codes, bits & 0xff, 1);
        }
        put_little(&codes, bits, 1);
        for (size_t at = 0; at < codes.size; at += 255) {
            size_t count = codes.size - at < 255 ? codes.size - at : 255;

            put_little(&file, (uint32_t)count, 1);
            put_bytes(&file, codes.data + at, count);
        }
        put_bytes(&file, "", 1);
        free(codes.data);
    }
    put_bytes(&file, ";", 1);
    return file;
}

/*
 * A little-endian TIFF of one uncompressed 8-bit strip: photometric 0/1 grey, 2 RGB, 5 CMYK, 8
 * Lab.
 */
static inline struct file_bytes make_tiff(
    uint32_t width,
    uint32_t height,
    uint32_t bands,
    uint32_t photometric,
    const uint8_t *pixels)
{
    uint32_t size = width * height * bands;
    uint32_t bits_at = 8 + size + (size & 1);
    uint32_t directory = bits_at + 8;
    const uint32_t entries[9][4] = {
        {256, 4, 1, width}, {257, 4, 1, height},      {258, 3, bands, bands > 2 ? bits_at : 8},
        {259, 3, 1, 1},     {262, 3, 1, photometric}, {273, 4, 1, 8},
        {277, 3, 1, bands}, {278, 4, 1, height},      {279, 4, 1, size},
    };
    struct file_bytes file = {0};

    put_bytes(&file, "II*\0", 4);
    put_little(&file, directory, 4);
    put_bytes(&file, pixels, size);
    if (size & 1)
        put_bytes(&file, "", 1);
    for (int i = 0; i < 4; i++)
        put_little(&file, 8, 2);
    put_little(&file, 9, 2);
    for (int i = 0; i < 9; i++) {
        put_little(&file, entries[i][0], 2);
        put_little(&file, entries[i][1], 2);
        put_little(&file, entries[i][2], 4);
        put_little(&file, entries[i][3], 4);
    }
    put_little(&file, 0, 4);
    return file;
}

/* A picture of smooth waves and a few edges, different for each seed. */
static inline imgsim_image *make_picture(uint32_t width, uint32_t height, uint32_t seed)
{
    imgsim_image *image = NULL;

    CHECK_OK(ims_image_alloc(width, height, &image));
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint8_t *pixel = image->pixels + ((size_t)y * width + x) * 3;
            double u = (double)x / width, v = (double)y / height, s = seed;

            pixel[0] = (uint8_t)(127 + 120 * sin(5 * u + 3 * v + s));
            pixel[1] = (uint8_t)(127 + 120 * sin(7 * v - 2 * u + 2 * s));
            pixel[2] =
                (uint8_t)(127 + 60 * sin(9 * u * v + 3 * s) + (u > 0.3 + 0.04 * (seed % 9) && v > 0.4 ? 60 : 0));
        }
    return image;
}

/*
 * The picture as a camera held otherwise stores it, with orientation 1 to 8: the first row and the
 * first column of what is stored are the sides that EXIF 2.32 names for each.
 */
static inline imgsim_image *store_turned(const imgsim_image *upright, int orientation)
{
    bool swapped = orientation >= 5;
    uint32_t w = swapped ? upright->height : upright->width;
    uint32_t h = swapped ? upright->width : upright->height;
    imgsim_image *stored = NULL;

    CHECK_OK(ims_image_alloc(w, h, &stored));
    for (uint32_t y = 0; y < upright->height; y++)
        for (uint32_t x = 0; x < upright->width; x++) {
            uint32_t sx = swapped ? y : x, sy = swapped ? x : y;

            if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8)
                sx = w - 1 - sx;
            if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7)
                sy = h - 1 - sy;
            memcpy(
                stored->pixels + ((size_t)sy * w + sx) * 3,
                upright->pixels + ((size_t)y * upright->width + x) * 3, 3);
        }
    return stored;
}

static inline struct file_bytes encode_picture(const imgsim_image *image, const char *format)
{
    struct file_bytes file = {0};
    uint8_t *data = NULL;
    size_t size = 0;

    CHECK_OK(ims_image_encode(image, format, 90, &data, &size));
    put_bytes(&file, data, size);
    ims_free(data);
    return file;
}

static inline imgsim_image *load_bytes(const struct file_bytes *file)
{
    imgsim_image *image = NULL;

    CHECK_OK(imgsim_image_load_memory(file->data, file->size, NULL, &image));
    CHECK(image != NULL);
    return image;
}

/* Decode, expect this pixel at the left top, release everything. */
static inline void check_first_pixel(struct file_bytes file, int red, int green, int blue, int near)
{
    imgsim_image *image = load_bytes(&file);

    CHECK_NEAR(image->pixels[0], red, near);
    CHECK_NEAR(image->pixels[1], green, near);
    CHECK_NEAR(image->pixels[2], blue, near);
    imgsim_image_free(image);
    free(file.data);
}

/* Mean absolute difference of two pictures of one size. */
static inline double difference(const imgsim_image *a, const imgsim_image *b)
{
    size_t size = (size_t)a->width * a->height * 3;
    double sum = 0.0;

    CHECK_EQUAL(a->width, b->width);
    CHECK_EQUAL(a->height, b->height);
    for (size_t i = 0; i < size; i++)
        sum += abs(a->pixels[i] - b->pixels[i]);
    return sum / (double)size;
}

/* ---- profiles ---- */

/* Colorants of Adobe RGB (1998) relative to D50, times 65536. */
static const uint32_t adobe_rgb[9] = {39960, 20389, 1276, 13448, 40984, 3983, 9781, 4163, 48767};

static inline struct file_bytes gamma_curve(double gamma)
{
    struct file_bytes tag = {0};

    put_bytes(&tag, "curv\0\0\0\0\0\0\0\1", 12);
    put_little(&tag, (uint32_t)gamma, 1);
    put_little(&tag, (uint32_t)(gamma * 256) & 255, 1);
    return tag;
}

/*
 * A profile of three colorants and one curve for all; releases the curve. `extra` is one more
 * empty tag's name.
 */
static inline struct file_bytes
make_matrix_profile(const uint32_t colorants[9], struct file_bytes tag, const char *extra)
{
    static const char *const names[6] = {"rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC"};
    struct file_bytes file = {0};
    uint8_t header[128] = {0};
    uint32_t count = extra != NULL ? 7 : 6, start = 132 + 12 * count;

    memcpy(header + 12, "mntrRGB XYZ ", 12);
    memcpy(header + 36, "acsp", 4);
    put_bytes(&file, header, 128);
    put_big_32(&file, count);
    for (uint32_t i = 0; i < 6; i++) {
        put_bytes(&file, names[i], 4);
        put_big_32(&file, i < 3 ? start + 20 * i : start + 60);
        put_big_32(&file, i < 3 ? 20 : (uint32_t)tag.size);
    }
    if (extra != NULL) {
        put_bytes(&file, extra, 4);
        put_big_32(&file, start);
        put_big_32(&file, 20);
    }
    for (uint32_t i = 0; i < 3; i++) {
        put_bytes(&file, "XYZ \0\0\0\0", 8);
        for (uint32_t k = 0; k < 3; k++)
            put_big_32(&file, colorants[3 * i + k]);
    }
    put_bytes(&file, tag.data, tag.size);
    free(tag.data);
    return file;
}

#endif
