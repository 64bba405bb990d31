/* SPDX-License-Identifier: Apache-2.0 */
/* Tells whether an ICC profile is sRGB, so that the usual picture needs no colour transform. */
#include "image/decode.h"

#include <math.h>
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

static bool curve_is_srgb(const struct tag *tag)
{
    if (tag->data == NULL)
        return false;
    for (int i = 0; i <= 32; i++) {
        double x = i / 32.0, y;

        if (memcmp(tag->data, "curv", 4) == 0)
            y = table_curve(tag, x);
        else if (memcmp(tag->data, "para", 4) == 0)
            y = parametric_curve(tag, x);
        else
            return false;
        /*
         * A plain gamma of 2.2 is off by 0.004 and must not pass; rounded tables are off by
         * 0.0005.
         */
        if (!(fabs(y - srgb_curve(x)) < 0.0015))
            return false;
    }
    return true;
}

static bool colorant_is(const struct tag *tag, const double expected[3])
{
    if (tag->data == NULL || tag->size < 20 || memcmp(tag->data, "XYZ ", 4) != 0)
        return false;
    for (int i = 0; i < 3; i++)
        if (!(fabs(fixed(tag->data + 8 + i * 4) - expected[i]) < 0.003))
            return false;
    return true;
}

bool ims_icc_is_srgb(const uint8_t *data, size_t size)
{
    /* sRGB's primaries adapted to D50. */
    static const double colorants[3][3] = {
        {0.4361, 0.2225, 0.0139}, {0.3851, 0.7169, 0.0971}, {0.1431, 0.0606, 0.7141}};
    static const char *const names[3][2] = {{"rXYZ", "rTRC"}, {"gXYZ", "gTRC"}, {"bXYZ", "bTRC"}};
    struct profile profile = {data, size};

    if (size < 132 || memcmp(data + 16, "RGB ", 4) != 0 || memcmp(data + 36, "acsp", 4) != 0)
        return false;
    /* Tables from device to connection space come before the matrix. */
    if (find_tag(&profile, "A2B0").data != NULL || find_tag(&profile, "D2B0").data != NULL)
        return false;
    for (int i = 0; i < 3; i++) {
        struct tag colorant = find_tag(&profile, names[i][0]);
        struct tag curve = find_tag(&profile, names[i][1]);

        if (!colorant_is(&colorant, colorants[i]) || !curve_is_srgb(&curve))
            return false;
    }
    return true;
}
