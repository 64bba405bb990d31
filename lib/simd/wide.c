/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed point numbers that hold sums of products of floats exactly. */
#include "simd/wide.h"

#include <stdbool.h>
#include <string.h>

#define DIGIT_MASK 0xffffffffu
/* Of a product of three numbers. */
#define PRODUCT_DIGITS (3 * IMS_WIDE_DIGITS)

/* value = mantissa * 2^(exponent - 149); returns the sign. */
static int64_t take_apart(float value, uint64_t *mantissa, uint32_t *exponent)
{
    uint32_t bits, field;

    memcpy(&bits, &value, sizeof(bits));
    field = bits >> 23 & 0xff;
    *mantissa = (bits & 0x7fffff) | (field > 0 ? 0x800000 : 0);
    *exponent = field > 0 ? field - 1 : 0;
    return bits >> 31 ? -1 : 1;
}

void ims_wide_add(
    struct ims_wide *sum,
    const float *a,
    const float *b,
    size_t count,
    int32_t factor)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t left, right, product, low, high;
        uint32_t left_exponent, right_exponent;
        const int64_t sign = take_apart(a[i], &left, &left_exponent) *
                             take_apart(b[i], &right, &right_exponent) * factor;
        const uint32_t shift = left_exponent + right_exponent;
        int64_t *digit = sum->digits + shift / 32;

        product = left * right;
        low = (product & DIGIT_MASK) << (shift % 32);
        high = (product >> 32) << (shift % 32);
        digit[0] += sign * (int64_t)(low & DIGIT_MASK);
        digit[1] += sign * (int64_t)((low >> 32) + (high & DIGIT_MASK));
        digit[2] += sign * (int64_t)(high >> 32);
    }
}

void ims_wide_settle(struct ims_wide *sum)
{
    int64_t carry = 0;

    for (size_t i = 0; i + 1 < IMS_WIDE_DIGITS; i++) {
        const int64_t value = sum->digits[i] + carry;
        const int64_t digit = value & DIGIT_MASK;

        carry = (value - digit) / ((int64_t)1 << 32);
        sum->digits[i] = digit;
    }
    sum->digits[IMS_WIDE_DIGITS - 1] += carry;
}

int ims_wide_compare(const struct ims_wide *a, const struct ims_wide *b)
{
    for (size_t i = IMS_WIDE_DIGITS; i-- > 0;)
        if (a->digits[i] != b->digits[i])
            return a->digits[i] < b->digits[i] ? -1 : 1;
    return 0;
}

static int sign_of(const struct ims_wide *value)
{
    const struct ims_wide zero = {{0}};

    return ims_wide_compare(value, &zero);
}

/* Magnitude in digits of 32 bits; returns how many of them are used. */
static size_t magnitude(const struct ims_wide *value, uint32_t out[IMS_WIDE_DIGITS])
{
    struct ims_wide positive = *value;
    size_t used = 0;

    if (sign_of(value) < 0) {
        for (size_t i = 0; i < IMS_WIDE_DIGITS; i++)
            positive.digits[i] = -positive.digits[i];
        ims_wide_settle(&positive);
    }
    for (size_t i = 0; i < IMS_WIDE_DIGITS; i++) {
        out[i] = (uint32_t)positive.digits[i];
        used = out[i] != 0 ? i + 1 : used;
    }
    return used;
}

/* out = a b, of a_count + b_count digits; returns how many of them are used. */
static size_t
multiply(const uint32_t *a, size_t a_count, const uint32_t *b, size_t b_count, uint32_t *out)
{
    size_t used = a_count + b_count;

    memset(out, 0, used * sizeof(*out));
    for (size_t i = 0; i < a_count; i++) {
        uint64_t carry = 0;

        for (size_t j = 0; j < b_count; j++) {
            carry += (uint64_t)a[i] * b[j] + out[i + j];
            out[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
        out[i + b_count] = (uint32_t)carry;
    }
    while (used > 0 && out[used - 1] == 0)
        used--;
    return used;
}

/* a^2 b */
static size_t
square_times(const struct ims_wide *a, const struct ims_wide *b, uint32_t out[PRODUCT_DIGITS])
{
    uint32_t first[IMS_WIDE_DIGITS], second[IMS_WIDE_DIGITS], square[2 * IMS_WIDE_DIGITS];
    const size_t first_count = magnitude(a, first), second_count = magnitude(b, second);
    const size_t square_count = multiply(first, first_count, first, first_count, square);

    return multiply(square, square_count, second, second_count, out);
}

int ims_wide_compare_ratios(
    const struct ims_wide *a,
    const struct ims_wide *a_squared,
    const struct ims_wide *b,
    const struct ims_wide *b_squared)
{
    const int a_sign = sign_of(a), b_sign = sign_of(b);
    uint32_t left[PRODUCT_DIGITS], right[PRODUCT_DIGITS];
    size_t left_count, right_count;

    if (a_sign != b_sign || a_sign == 0)
        return a_sign - b_sign;
    left_count = square_times(a, b_squared, left);
    right_count = square_times(b, a_squared, right);
    if (left_count != right_count)
        return left_count < right_count ? -a_sign : a_sign;
    for (size_t i = left_count; i-- > 0;)
        if (left[i] != right[i])
            return left[i] < right[i] ? -a_sign : a_sign;
    return 0;
}
