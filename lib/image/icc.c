/* SPDX-License-Identifier: Apache-2.0 */
/* RGB matrix profiles of the ICC: whether one is sRGB, and pixels from another to sRGB without libvips. */
#include "image/decode.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

/*
 * ICC.1:2022: header of 128 bytes, tag count, then tags of 12 bytes (signature, offset, size). An
 * RGB matrix profile is described wholly by its colorants (rXYZ, gXYZ, bXYZ, relative to D50) and
 * its three curves.
 */
struct profile {
    const uint8_t *data;
    size_t size;
};

/* One tag's bytes; data is NULL where it is missing. */
struct tag {
    const uint8_t *data;
    size_t size;
};

static uint32_t big_32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t big_16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

/* s15Fixed16Number */
static double fixed(const uint8_t *p)
{
    return (double)(int32_t)big_32(p) / 65536.0;
}

static struct tag find_tag(const struct profile *profile, const char *signature)
{
    struct tag none = {NULL, 0};
    uint32_t count = big_32(profile->data + 128);

    for (uint32_t i = 0; i < count && i < 100; i++) {
        size_t at = 132 + (size_t)i * 12;
        uint32_t offset, size;

        if (at + 12 > profile->size)
            return none;
        if (memcmp(profile->data + at, signature, 4) != 0)
            continue;
        offset = big_32(profile->data + at + 4);
        size = big_32(profile->data + at + 8);
        if (offset > profile->size || size > profile->size - offset || size < 12)
            return none;
        return (struct tag){profile->data + offset, size};
    }
    return none;
}

/* sRGB's curve, IEC 61966-2-1. */
static double srgb_curve(double x)
{
    return x <= 0.04045 ? x / 12.92 : pow((x + 0.055) / 1.055, 2.4);
}

/* curveType, 10.6: none is linear, one is a gamma, more are a table. NaN where it is broken. */
static double table_curve(const struct tag *tag, double x)
{
    uint32_t count = big_32(tag->data + 8);
    double place;
    uint32_t index;

    if (count == 0)
        return x;
    if (count > (tag->size - 12) / 2)
        return NAN;
    if (count == 1)
        return pow(x, big_16(tag->data + 12) / 256.0);
    place = x * (count - 1);
    index = (uint32_t)place < count - 1 ? (uint32_t)place : count - 2;
    place -= index;
    return (big_16(tag->data + 12 + index * 2) * (1.0 - place) +
            big_16(tag->data + 14 + index * 2) * place) /
           65535.0;
}

/* parametricCurveType, 10.18, functions 0 to 4. */
static double parametric_curve(const struct tag *tag, double x)
{
    static const uint8_t counts[5] = {1, 3, 4, 5, 7};
    uint32_t function = big_16(tag->data + 8);
    double p[7] = {0}, g, a, b, c, d;

    if (function > 4 || tag->size < 12 + (size_t)counts[function] * 4)
        return NAN;
    for (uint32_t i = 0; i < counts[function]; i++)
        p[i] = fixed(tag->data + 12 + i * 4);
    g = p[0], a = p[1], b = p[2], c = p[3], d = p[4];

    switch (function) {
    case 0:
        return pow(x, g);
    case 1:
        return x >= -b / a ? pow(a * x + b, g) : 0.0;
    case 2:
        return (x >= -b / a ? pow(a * x + b, g) : 0.0) + c;
    case 3:
        return x >= d ? pow(a * x + b, g) : c * x;
    default:
        return x >= d ? pow(a * x + b, g) + p[5] : c * x + p[6];
    }
}

/* A curve of either type at x in [0, 1]; NaN where it is broken. */
static double curve_at(const struct tag *tag, double x)
{
    if (tag->data != NULL && memcmp(tag->data, "curv", 4) == 0)
        return table_curve(tag, x);
    if (tag->data != NULL && memcmp(tag->data, "para", 4) == 0)
        return parametric_curve(tag, x);
    return NAN;
}

/* An RGB profile that its matrix and curves describe wholly. */
struct matrix_profile {
    double colorants[3][3]; /* X, Y, Z of red, green, blue */
    struct tag curves[3];
};

static bool read_colorant(const struct tag *tag, double out[3])
{
    if (tag->data == NULL || tag->size < 20 || memcmp(tag->data, "XYZ ", 4) != 0)
        return false;
    for (int i = 0; i < 3; i++)
        out[i] = fixed(tag->data + 8 + i * 4);
    return true;
}

static bool read_matrix_profile(const uint8_t *data, size_t size, struct matrix_profile *out)
{
    static const char *const names[3][2] = {{"rXYZ", "rTRC"}, {"gXYZ", "gTRC"}, {"bXYZ", "bTRC"}};
    struct profile profile = {data, size};

    if (size < 132 || memcmp(data + 16, "RGB ", 4) != 0 || memcmp(data + 36, "acsp", 4) != 0)
        return false;
    /* Tables from device to connection space come before the matrix. */
    if (find_tag(&profile, "A2B0").data != NULL || find_tag(&profile, "D2B0").data != NULL)
        return false;
    for (int i = 0; i < 3; i++) {
        struct tag colorant = find_tag(&profile, names[i][0]);

        out->curves[i] = find_tag(&profile, names[i][1]);
        if (!read_colorant(&colorant, out->colorants[i]))
            return false;
    }
    return true;
}

/*
 * sRGB's primaries adapted to D50, as its own profile has them.
 */
static const double srgb_colorants[3][3] = {
    {0.436050, 0.222488, 0.013916},
    {0.385147, 0.716873, 0.097092},
    {0.143082, 0.060608, 0.714096}};

static bool curve_is_srgb(const struct tag *tag)
{
    for (int i = 0; i <= 32; i++) {
        double x = i / 32.0;

        /*
         * A plain gamma of 2.2 is off by 0.004 and must not pass; rounded tables are off by
         * 0.0005.
         */
        if (!(fabs(curve_at(tag, x) - srgb_curve(x)) < 0.0015))
            return false;
    }
    return true;
}

bool ims_icc_is_srgb(const uint8_t *data, size_t size)
{
    struct matrix_profile profile;

    if (!read_matrix_profile(data, size, &profile))
        return false;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++)
            if (!(fabs(profile.colorants[i][k] - srgb_colorants[i][k]) < 0.003))
                return false;
        if (!curve_is_srgb(&profile.curves[i]))
            return false;
    }
    return true;
}

/* ---- to sRGB ---- */

/* sRGB's 8 bits of a linear value of 14 bits. */
enum { ENCODE_BITS = 14, MATRIX_BITS = 13 };
static uint8_t encode_table[1 << ENCODE_BITS];
static pthread_once_t encode_once = PTHREAD_ONCE_INIT;

static void make_encode_table(void)
{
    for (int i = 0; i < 1 << ENCODE_BITS; i++) {
        double x = (i + 0.5) / (1 << ENCODE_BITS);

        x = x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1.0 / 2.4) - 0.055;
        encode_table[i] = (uint8_t)floor(255.0 * x + 0.5);
    }
}

static void invert_3x3(double m[3][3], double out[3][3])
{
    double determinant = 0.0;

    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            int a = (i + 1) % 3, b = (i + 2) % 3, c = (k + 1) % 3, d = (k + 2) % 3;

            out[k][i] = m[a][c] * m[b][d] - m[a][d] * m[b][c];
        }
    for (int k = 0; k < 3; k++)
        determinant += m[0][k] * out[k][0];
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            out[i][k] /= determinant;
}

/* Linear light of the profile's device values to that of sRGB: both matrices lead to XYZ relative to D50. */
static bool make_matrix(const struct matrix_profile *profile, struct ims_icc_matrix *out)
{
    double columns[3][3], inverse[3][3];

    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++)
            columns[i][k] = srgb_colorants[k][i];
    invert_3x3(columns, inverse);
    for (int i = 0; i < 3; i++) {
        double weight = 0.0;

        for (int k = 0; k < 3; k++) {
            double sum = 0.0;

            for (int j = 0; j < 3; j++)
                sum += inverse[i][j] * profile->colorants[k][j];
            weight += fabs(sum);
            out->matrix[i][k] = (int32_t)floor(sum * (1 << MATRIX_BITS) + 0.5);
        }
        /* Beyond this the sums below could leave 32 bits, and no real device is there. */
        if (!(weight < 3.5))
            return false;
    }
    return true;
}

bool ims_icc_read_matrix(const uint8_t *data, size_t size, struct ims_icc_matrix *out)
{
    struct matrix_profile profile;

    if (!read_matrix_profile(data, size, &profile) || !make_matrix(&profile, out))
        return false;
    for (int i = 0; i < 3; i++)
        for (int value = 0; value < 256; value++) {
            double light = curve_at(&profile.curves[i], value / 255.0);

            if (!(light >= -0.01 && light <= 1.01))
                return false;
            light = light < 0.0 ? 0.0 : light > 1.0 ? 1.0 : light;
            out->linear[i][value] = (int32_t)floor(65535.0 * light + 0.5);
        }
    return true;
}

/* The lights of a pixel; the fourth stays 0. */
typedef int32_t lights __attribute__((vector_size(16)));

/* What a value of one channel adds to the three lights, so that a pixel takes three loads instead of nine products. */
static void
fill_shares(const struct ims_icc_matrix *matrix, int channel, int32_t first, lights out[256])
{
    for (int value = 0; value < 256; value++) {
        const int32_t light = matrix->linear[channel][value];
        const lights share = {
            first + matrix->matrix[0][channel] * light, first + matrix->matrix[1][channel] * light,
            first + matrix->matrix[2][channel] * light, 0};

        out[value] = share;
    }
}

void ims_icc_apply_matrix(const struct ims_icc_matrix *matrix, uint8_t *pixels, size_t pixel_count)
{
    lights red[256], green[256], blue[256];

    pthread_once(&encode_once, make_encode_table);
    fill_shares(matrix, 0, 1 << (MATRIX_BITS - 1), red);
    fill_shares(matrix, 1, 0, green);
    fill_shares(matrix, 2, 0, blue);
    for (uint8_t *pixel = pixels; pixel < pixels + 3 * pixel_count; pixel += 3) {
        lights light = (red[pixel[0]] + green[pixel[1]] + blue[pixel[2]]) >> MATRIX_BITS;
        lights above = light > 65535;

        light &= ~(light >> 31);
        light = ((light & ~above) | (above & 65535)) >> (16 - ENCODE_BITS);
        pixel[0] = encode_table[light[0]];
        pixel[1] = encode_table[light[1]];
        pixel[2] = encode_table[light[2]];
    }
}
