/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The true order of rows, for tests: distances of the real numbers that the floats are, without any rounding where rounding
 * could matter, and by other means than the library's.
 *
 * Sums of products are kept as expansions, unevaluated sums of long doubles (Shewchuk, Adaptive Precision Floating-Point
 * Arithmetic and Fast Robust Geometric Predicates, 1997: GROW-EXPANSION with zeros left out, TWO-PRODUCT by Dekker's split).
 * Long doubles have an exponent that is wide enough for products of six floats to lose nothing below it.
 */
#ifndef IMS_TESTS_TRUE_ORDER_H
#define IMS_TESTS_TRUE_ORDER_H

#include "check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PARTS_MAX 64

/* Smallest part first; parts do not overlap. */
struct expansion {
    size_t count;
    long double parts[PARTS_MAX];
};

enum true_kind { TRUE_L2, TRUE_PRODUCT, TRUE_COSINE };

static inline void two_sum(long double a, long double b, long double *sum, long double *error)
{
    const long double whole = a + b;
    const long double virtual_b = whole - a;
    const long double virtual_a = whole - virtual_b;

    *error = (a - virtual_a) + (b - virtual_b);
    *sum = whole;
}

static inline void
two_product(long double a, long double b, long double *product, long double *error)
{
    const long double splitter = (long double)(1ull << ((LDBL_MANT_DIG + 1) / 2)) + 1;
    const long double whole = a * b;
    const long double ta = splitter * a, tb = splitter * b;
    const long double da = ta - a, db = tb - b;
    const long double a_high = ta - da, a_low = a - a_high;
    const long double b_high = tb - db, b_low = b - b_high;

    *error = a_low * b_low - (((whole - a_high * b_high) - a_low * b_high) - a_high * b_low);
    *product = whole;
}

static inline void expansion_add(struct expansion *sum, long double value)
{
    size_t kept = 0;

    for (size_t i = 0; i < sum->count; i++) {
        long double error;

        two_sum(value, sum->parts[i], &value, &error);
        if (error != 0)
            sum->parts[kept++] = error;
    }
    if (value != 0)
        sum->parts[kept++] = value;
    CHECK(kept < PARTS_MAX);
    sum->count = kept;
}

static inline int expansion_sign(const struct expansion *sum)
{
    return sum->count == 0 ? 0 : sum->parts[sum->count - 1] < 0 ? -1 : 1;
}

/* out = a b */
static inline void
expansion_multiply(const struct expansion *a, const struct expansion *b, struct expansion *out)
{
    out->count = 0;
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++) {
            long double product, error;

            two_product(a->parts[i], b->parts[j], &product, &error);
            expansion_add(out, error);
            expansion_add(out, product);
        }
}

static inline int expansion_compare(const struct expansion *a, const struct expansion *b)
{
    struct expansion difference = *a;

    for (size_t i = 0; i < b->count; i++)
        expansion_add(&difference, -b->parts[i]);
    return expansion_sign(&difference);
}

/* What a row's distance rises with: `first`, or less first / sqrt(second). */
struct true_value {
    struct expansion first;
    struct expansion second;
    struct expansion square; /* of first */
};

struct true_row {
    double key;
    double error;
    int64_t id;
    const float *row;
    struct true_value *value;
};

/* first += factor a b; a product of two floats fits a long double. */
static inline void
add_products(struct expansion *first, const float *a, const float *b, size_t count, int factor)
{
    for (size_t i = 0; i < count; i++)
        if (a[i] != 0 && b[i] != 0)
            expansion_add(first, (long double)factor * a[i] * b[i]);
}

static inline struct true_value *
true_value_of(enum true_kind kind, const float *query, const float *row, size_t count)
{
    struct true_value *value = calloc(1, sizeof(*value));

    CHECK(value != NULL);
    if (kind == TRUE_L2) {
        add_products(&value->first, row, row, count, 1);
        add_products(&value->first, query, row, count, -2);
    } else {
        add_products(&value->first, query, row, count, kind == TRUE_PRODUCT ? -1 : 1);
    }
    if (kind == TRUE_COSINE) {
        add_products(&value->second, row, row, count, 1);
        expansion_multiply(&value->first, &value->first, &value->square);
    }
    return value;
}

/* Sign of the difference of two cosines with the same query. */
static inline int compare_cosines(const struct true_value *a, const struct true_value *b)
{
    const int a_sign = expansion_sign(&a->first), b_sign = expansion_sign(&b->first);
    struct expansion left, right;

    if (a_sign != b_sign || a_sign == 0)
        return a_sign - b_sign;
    expansion_multiply(&a->square, &b->second, &left);
    expansion_multiply(&b->square, &a->second, &right);
    return a_sign * expansion_compare(&left, &right);
}

static inline int true_by_key(const void *left, const void *right)
{
    const struct true_row *a = left, *b = right;

    return a->key != b->key ? (a->key < b->key ? -1 : 1) : (a->id > b->id) - (a->id < b->id);
}

static inline int true_by_lower(const void *left, const void *right)
{
    const struct true_row *a = left, *b = right;
    const double x = a->key - a->error, y = b->key - b->error;

    return x != y ? (x < y ? -1 : 1) : (a->id > b->id) - (a->id < b->id);
}

static inline int true_by_difference(const void *left, const void *right)
{
    const struct true_row *a = left, *b = right;
    const int order =
        a->value == b->value ? 0 : expansion_compare(&a->value->first, &b->value->first);

    return order != 0 ? order : (a->id > b->id) - (a->id < b->id);
}

static inline int true_by_cosine(const void *left, const void *right)
{
    const struct true_row *a = left, *b = right;
    const int order = a->value == b->value ? 0 : -compare_cosines(a->value, b->value);

    return order != 0 ? order : (a->id > b->id) - (a->id < b->id);
}

/* Rows whose keys are too close for double precision. */
static inline void order_closely(
    enum true_kind kind,
    const float *query,
    size_t dimension,
    struct true_row *run,
    size_t count)
{
    struct true_value **made = malloc(count * sizeof(struct true_value *));
    size_t made_count = 0;

    CHECK(made != NULL);
    qsort(run, count, sizeof(*run), true_by_key);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || memcmp(run[i].row, run[i - 1].row, dimension * sizeof(float)) != 0)
            made[made_count++] = true_value_of(kind, query, run[i].row, dimension);
        run[i].value = made[made_count - 1];
    }
    qsort(run, count, sizeof(*run), kind == TRUE_COSINE ? true_by_cosine : true_by_difference);
    while (made_count > 0)
        free(made[--made_count]);
    free(made);
}

/* The k-th smallest of some values, which are put in another order (Hoare's FIND). */
static inline double kth_smallest(double *values, size_t count, size_t k)
{
    size_t low = 0, high = count - 1;

    while (low < high) {
        const double pivot = values[(low + high) / 2];
        size_t i = low, j = high;

        for (;;) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i >= j)
                break;
            const double held = values[i];

            values[i++] = values[j];
            values[j--] = held;
        }
        if (k - 1 <= j)
            high = j;
        else
            low = j + 1;
    }
    return values[k - 1];
}

/*
 * The k nearest first, in their true order, ties by id. Keys are off by at most `error`; returns how many there are. `room` has
 * space for count numbers.
 */
static inline size_t true_order(
    enum true_kind kind,
    const float *query,
    size_t dimension,
    struct true_row *rows,
    size_t count,
    size_t k,
    double *room)
{
    double bound = INFINITY;
    size_t kept = 0;

    if (k < count) {
        for (size_t i = 0; i < count; i++)
            room[i] = rows[i].key + rows[i].error;
        bound = kth_smallest(room, count, k);
    }
    for (size_t i = 0; i < count; i++)
        if (rows[i].key - rows[i].error <= bound)
            rows[kept++] = rows[i];
    qsort(rows, kept, sizeof(*rows), true_by_lower);
    for (size_t start = 0, end; start < kept && start < k; start = end) {
        double reach = rows[start].key + rows[start].error;

        for (end = start + 1; end < kept && rows[end].key - rows[end].error <= reach; end++)
            reach = fmax(reach, rows[end].key + rows[end].error);
        if (end - start > 1)
            order_closely(kind, query, dimension, rows + start, end - start);
    }
    return kept < k ? kept : k;
}

#endif
