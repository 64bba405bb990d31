/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A profile is sRGB by its numbers: colorants and curves, in any of their encodings, and nothing
 * broken is read beyond its end.
 */
#include "image_files.h"

#include "core/rng.h"
#include "image/decode.h"

/* Colorants of sRGB relative to D50, times 65536. */
static const uint32_t srgb[9] = {28577, 14581, 912, 25241, 46981, 6363, 9377, 3972, 46799};

static double curve(double x)
{
    return x <= 0.04045 ? x / 12.92 : pow((x + 0.055) / 1.055, 2.4);
}

/* sRGB's curve as a table of `count` values. */
static struct file_bytes table_curve(uint32_t count)
{
    struct file_bytes tag = {0};

    put_bytes(&tag, "curv\0\0\0\0", 8);
    put_big_32(&tag, count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = (uint32_t)(65535.0 * curve((double)i / (count - 1)) + 0.5);

        put_little(&tag, value >> 8, 1);
        put_little(&tag, value & 255, 1);
    }
    return tag;
}

static struct file_bytes parametric_curve(void)
{
    struct file_bytes tag = {0};

    put_bytes(&tag, "para\0\0\0\0\0\3\0\0", 12);
    put_big_32(&tag, (uint32_t)(2.4 * 65536 + 0.5));
    put_big_32(&tag, (uint32_t)(65536 / 1.055 + 0.5));
    put_big_32(&tag, (uint32_t)(65536 * 0.055 / 1.055 + 0.5));
    put_big_32(&tag, (uint32_t)(65536 / 12.92 + 0.5));
    put_big_32(&tag, (uint32_t)(65536 * 0.04045 + 0.5));
    return tag;
}

static void check_profile(struct file_bytes file, bool expected)
{
    CHECK_EQUAL(ims_icc_is_srgb(file.data, file.size), expected);
    free(file.data);
}

static void test_srgb_in_every_encoding(void)
{
    check_profile(make_matrix_profile(srgb, table_curve(1024), NULL), true);
    check_profile(make_matrix_profile(srgb, table_curve(4096), NULL), true);
    check_profile(make_matrix_profile(srgb, parametric_curve(), NULL), true);
}

static void test_near_misses(void)
{
    check_profile(make_matrix_profile(adobe_rgb, table_curve(1024), NULL), false);
    check_profile(make_matrix_profile(srgb, gamma_curve(2.2), NULL), false);
    check_profile(make_matrix_profile(srgb, gamma_curve(1.0), NULL), false);
    /* A profile with tables is described by them, not by its matrix. */
    check_profile(make_matrix_profile(srgb, parametric_curve(), "A2B0"), false);
    check_profile(make_matrix_profile(srgb, parametric_curve(), "cprt"), true);
}

/* One channel of Adobe RGB to sRGB by the formulas; the matrix leads through the colorants of both profiles. */
static int adobe_to_srgb(const uint8_t *pixel, int channel)
{
    static const double matrix[3][3] = {
        {1.398323, -0.398170, -0.000130}, {0.0, 0.999567, 0.000556}, {0.0, -0.043038, 1.041979}};
    double light = 0.0;

    for (int k = 0; k < 3; k++)
        light += matrix[channel][k] * pow(pixel[k] / 255.0, 563.0 / 256.0);
    light = light < 0.0 ? 0.0 : light > 1.0 ? 1.0 : light;
    light = light <= 0.0031308 ? 12.92 * light : 1.055 * pow(light, 1.0 / 2.4) - 0.055;
    return (int)floor(255.0 * light + 0.5);
}

static void test_a_matrix_profile_is_converted(void)
{
    struct file_bytes file = make_matrix_profile(adobe_rgb, gamma_curve(563.0 / 256.0), NULL);
    struct ims_icc_matrix matrix;
    struct ims_rng rng;

    CHECK(ims_icc_read_matrix(file.data, file.size, &matrix));
    ims_rng_init(&rng, 2);
    for (int round = 0; round < 5000; round++) {
        uint8_t pixel[3], before[3];

        for (int i = 0; i < 3; i++)
            before[i] = round < 256 ? (uint8_t)round : (uint8_t)ims_rng_below(&rng, 256);
        memcpy(pixel, before, 3);
        ims_icc_apply_matrix(&matrix, pixel, 1);
        for (int i = 0; i < 3; i++)
            CHECK(abs(pixel[i] - adobe_to_srgb(before, i)) <= 1);
    }
    free(file.data);
}

static void test_other_profiles_are_left_to_libvips(void)
{
    static const uint32_t absurd[9] = {6553600, 0, 0, 0, 6553600, 0, 0, 0, 6553600};
    struct file_bytes tables = make_matrix_profile(adobe_rgb, gamma_curve(2.0), "A2B0");
    struct file_bytes wild = make_matrix_profile(absurd, gamma_curve(2.0), NULL);
    struct ims_icc_matrix matrix;

    CHECK(!ims_icc_read_matrix(tables.data, tables.size, &matrix));
    CHECK(!ims_icc_read_matrix(wild.data, wild.size, &matrix));
    free(tables.data);
    free(wild.data);
}

static void test_broken_profiles_are_none(void)
{
    struct file_bytes file = make_matrix_profile(srgb, table_curve(256), NULL);
    struct ims_icc_matrix matrix;
    struct ims_rng rng;

    for (size_t size = 0; size < file.size; size++) {
        uint8_t *cut =
            malloc(size + 1); /* its own block, so that a sanitizer sees any step beyond */

        CHECK(cut != NULL);
        memcpy(cut, file.data, size);
        CHECK(!ims_icc_is_srgb(cut, size));
        ims_icc_read_matrix(cut, size, &matrix);
        free(cut);
    }
    ims_rng_init(&rng, 1);
    for (int round = 0; round < 20000; round++) {
        uint8_t copy[1024];

        CHECK(file.size <= sizeof(copy));
        memcpy(copy, file.data, file.size);
        for (int i = 0; i < 4; i++)
            copy[128 + ims_rng_below(&rng, file.size - 128)] = (uint8_t)ims_rng_below(&rng, 256);
        ims_icc_is_srgb(copy, file.size);
        ims_icc_read_matrix(copy, file.size, &matrix);
    }
    free(file.data);
}

int main(void)
{
    test_srgb_in_every_encoding();
    test_near_misses();
    test_a_matrix_profile_is_converted();
    test_other_profiles_are_left_to_libvips();
    test_broken_profiles_are_none();
    return 0;
}
