/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of rows and queries for recall_exact.c, most of them with something wrong. */
#ifndef IMS_TESTS_EXACT_SETS_H
#define IMS_TESTS_EXACT_SETS_H

#include "check.h"
#include "core/rng.h"

#include <imgsim/index.h>

#include <float.h>
#include <stdbool.h>

#define ROWS_MAX 3000
#define VALUES_MAX (1500 * 1024)
#define QUERIES_MAX 1000
/* Values of the distances that are looked at for one set, k of all queries, and steps of finding out what is true. */
#define ANSWERS_MAX 200000
#define WORK_MAX 1.5e8

enum trouble {
    NONE,
    DUPLICATES,
    TIES,  /* small whole numbers */
    ZEROS, /* a third of the rows */
    DENORMALS,
    LENGTHS,    /* from 1e-12 to 1e12 */
    TRANSLATED, /* far from the origin */
    OUTLIERS,   /* some rows far from all others */
    CONSTANT,   /* all the same */
    NUDGED,     /* rows and queries that differ by one unit in the last place of a value or two */
    MULTIPLES,  /* of a few rows: the same direction but for rounding */
    SHELL,      /* as far from the first queries as rounding allows */
    MIDPOINTS, /* halfway between two codes of the planes, or one unit in the last place beside that */
    CANCELLING, /* products with the queries are differences of huge numbers */
    TROUBLES
};

static const char *const trouble_names[TROUBLES] = {
    "none",     "duplicates", "ties",   "zeros",     "denormals", "lengths",   "translated",
    "outliers", "constant",   "nudged", "multiples", "shell",     "midpoints", "cancelling"};

struct set {
    uint32_t dimension;
    size_t row_count;
    size_t query_count;
    int32_t metric;
    enum trouble trouble;
    size_t rank; /* directions with most of the variance */
    size_t k;
    float *rows;      /* by id */
    uint8_t *present; /* per id */
    uint8_t *bits;    /* the same as bits */
    uint8_t *filter;  /* bits */
    float *queries;
    double *matrix; /* Mahalanobis */
};

static struct ims_rng rng;

static double uniform(double low, double high)
{
    return low + (high - low) * ims_rng_double(&rng);
}

static size_t below(size_t bound)
{
    return (size_t)ims_rng_below(&rng, bound);
}

/* ---- rows ---- */

/* One unit in the last place up or down, of so many values. */
static void nudge(float *row, uint32_t dimension, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float *value = &row[below(dimension)];

        *value = nextafterf(*value, below(2) ? FLT_MAX : -FLT_MAX);
    }
}

/* Change the length of a row as the trouble wants it, and its values. */
static void spoil(const struct set *set, float *row)
{
    double length = 1;

    if (set->trouble == LENGTHS)
        length = pow(10, uniform(-12, 12));
    if (set->trouble == OUTLIERS && below(200) == 0)
        length = pow(10, uniform(2, 15));
    if (set->trouble == DENORMALS)
        length = pow(10, uniform(-45, -36));
    for (uint32_t i = 0; i < set->dimension; i++) {
        double value = row[i] * length;

        if (set->trouble == TIES)
            value = (double)((int)(value * 2) % 3);
        if (set->trouble == TRANSLATED)
            value = 3000 + value;
        if (set->trouble == CONSTANT)
            value = 0.37;
        row[i] = (float)value;
    }
    if (set->trouble == ZEROS && below(3) == 0)
        memset(row, 0, set->dimension * sizeof(*row));
    if (set->trouble == CANCELLING && set->dimension > 1) {
        const float huge = (float)pow(10, uniform(3, 9));

        row[0] = huge;
        row[1] = nextafterf(-huge, below(2) ? 0 : -huge);
    }
}

static void fill_row(const struct set *set, const float *directions, float *row)
{
    const uint32_t dimension = set->dimension;

    for (uint32_t i = 0; i < dimension; i++)
        row[i] = (float)(ims_rng_normal(&rng) * (set->rank > 0 ? 0.02 : 1));
    for (size_t r = 0; r < set->rank; r++) {
        const float weight = (float)(ims_rng_normal(&rng) / sqrt((double)r + 1));

        for (uint32_t i = 0; i < dimension; i++)
            row[i] += weight * directions[r * dimension + i];
    }
    spoil(set, row);
}

/* Values halfway between codes, whose step is 1.5 / 127 of the largest value of an axis, in pairs with the mean 0. */
static void fill_midpoints(const struct set *set, size_t i, float *row)
{
    const uint32_t dimension = set->dimension;
    const bool exact = below(3) > 0;

    for (uint32_t j = 0; j < dimension; j++) {
        const double most = set->rank > 0 ? 1.0 / (1 + j % 97) : 1, step = 1.5 * most / 127;
        double value = (floor(uniform(-84, 84)) + 0.5) * step;

        if (i < 2 * dimension && i / 2 == j)
            value = most;
        if (i % 2 == 1 && i < set->row_count)
            value = -row[(int64_t)j - (int64_t)dimension];
        row[j] = (float)value;
    }
    if (!exact && i % 2 == 0)
        nudge(row, dimension, dimension);
}

static void fill_rows(const struct set *set, const float *directions)
{
    const uint32_t dimension = set->dimension;

    for (size_t i = 0; i < set->row_count; i++) {
        float *row = set->rows + i * dimension;
        const float *other = set->rows + below(i < 5 ? i + 1 : 5) * dimension;

        if (set->trouble == DUPLICATES && i > 10 && below(2) == 0) {
            other = set->rows + below(below(2) ? 10 : i) * dimension;
            memcpy(row, other, dimension * sizeof(*row));
        } else if (set->trouble == NUDGED && i > 5) {
            memcpy(row, other, dimension * sizeof(*row));
            nudge(row, dimension, below(4));
        } else if (set->trouble == MULTIPLES && i > 5) {
            const double factor = below(2) ? ldexp(1, (int)below(9) - 4) : uniform(0.1, 10);

            for (uint32_t j = 0; j < dimension; j++)
                row[j] = (float)(other[j] * factor);
            nudge(row, dimension, below(3));
        } else if (set->trouble == MIDPOINTS) {
            fill_midpoints(set, i, row);
        } else {
            fill_row(set, directions, row);
        }
    }
}

/* Rows at the distance 1 of the first query but for their rounding. */
static void fill_shell(const struct set *set)
{
    const uint32_t dimension = set->dimension;

    for (size_t i = 0; i < set->row_count; i++) {
        float *row = set->rows + i * dimension;
        double squared = 0;

        for (uint32_t j = 0; j < dimension; j++)
            squared += (double)row[j] * row[j];
        for (uint32_t j = 0; j < dimension && squared > 0; j++)
            row[j] = (float)(set->queries[j] + row[j] / sqrt(squared));
    }
}

static void fill_queries(const struct set *set, const float *directions)
{
    const uint32_t dimension = set->dimension;

    for (size_t i = 0; i < set->query_count; i++) {
        float *query = set->queries + i * dimension;
        const float *row = set->rows + below(set->row_count) * dimension;

        if (set->trouble == MIDPOINTS)
            fill_midpoints(set, SIZE_MAX - 1, query);
        else
            fill_row(set, directions, query);
        if (i % 4 == 1 || (set->trouble == NUDGED && i % 4 != 0))
            memcpy(query, row, dimension * sizeof(*query));
        if (i % 8 == 5 || (set->trouble == NUDGED && i % 2 == 0))
            nudge(query, dimension, 1 + below(2));
        if (i == 7)
            memset(query, 0, dimension * sizeof(*query));
        for (uint32_t j = 0; j < dimension && i % 16 == 3; j++)
            query[j] *= 1e-3f;
        if (set->trouble == CANCELLING && dimension > 1 && i % 2 == 0)
            query[1] = query[0];
        if (set->trouble == SHELL && i % 3 == 0 && i > 0) {
            memcpy(query, set->queries, dimension * sizeof(*query));
            nudge(query, dimension, below(2));
        }
    }
}

static void fill(const struct set *set)
{
    const uint32_t dimension = set->dimension;
    float *directions = malloc((set->rank + 1) * dimension * sizeof(*directions));

    CHECK(directions != NULL);
    for (size_t i = 0; i < set->rank * dimension; i++)
        directions[i] = (float)(ims_rng_normal(&rng) / sqrt(dimension));
    fill_rows(set, directions);
    fill_queries(set, directions);
    if (set->trouble == SHELL)
        fill_shell(set);
    free(directions);
}

/* ---- choosing ---- */

static void choose_sizes(struct set *set)
{
    static const uint32_t ranges[][2] = {{1, 20}, {16, 130}, {100, 520}, {500, 1100}, {2048, 4096}};
    static const size_t queries[] = {9, 9, 24, 24, 24, 48, 48, 48, 48, 48, 130, 130, 300};
    const size_t draw = below(40);
    const size_t range = draw < 10 ? 0 : draw < 24 ? 1 : draw < 36 ? 2 : draw < 39 ? 3 : 4;
    size_t most;

    set->dimension = ranges[range][0] + (uint32_t)below(ranges[range][1] - ranges[range][0] + 1);
    most = VALUES_MAX / set->dimension < ROWS_MAX ? VALUES_MAX / set->dimension : ROWS_MAX;
    most = most < 1100 ? 1100 : most;
    set->row_count = below(8) == 0 ? 1 + below(900) : 1024 + below(most - 1024 + 1);
    set->query_count = below(40) == 0 ? QUERIES_MAX : queries[below(13)];
    while (set->query_count > 9 &&
           (double)set->query_count * (double)set->row_count * set->dimension > WORK_MAX)
        set->query_count = set->query_count / 2;
    /* From one to all rows. */
    set->k = 1 + below(below(4) == 0 ? 40 : 10);
    if (below(12) == 0)
        set->k = below(3) == 0 ? set->row_count + below(3) : 1 + below(set->row_count);
    while (set->query_count > 9 && set->query_count * set->k > ANSWERS_MAX)
        set->query_count = set->query_count / 2;
}

static void choose(struct set *set)
{
    choose_sizes(set);
    set->metric = (int32_t[]){
        IMGSIM_METRIC_COSINE, IMGSIM_METRIC_INNER_PRODUCT, IMGSIM_METRIC_L2, IMGSIM_METRIC_ANGULAR,
        IMGSIM_METRIC_MAHALANOBIS}[below(set->dimension <= 130 ? 5 : 4)];
    set->trouble = (enum trouble)below(TROUBLES);
    /* The transformed rows of a huge matrix times a huge row are refused. */
    if (set->metric == IMGSIM_METRIC_MAHALANOBIS && set->trouble == OUTLIERS)
        set->trouble = NONE;
    /* Where nearly all is equally far, what is true takes longest. */
    if ((set->trouble == MULTIPLES || set->trouble == NUDGED || set->trouble == SHELL) &&
        set->query_count > 48)
        set->query_count = 48;
    set->rank = below(2) == 0 ? 0 : 1 + below(set->dimension / 3 + 1);
    set->rank = set->rank < 40 ? set->rank : 40;
    set->rows = malloc(set->row_count * set->dimension * sizeof(float));
    set->queries = malloc(set->query_count * set->dimension * sizeof(float));
    set->present = calloc(set->row_count, 1);
    set->bits = calloc(set->row_count / 8 + 1, 1);
    set->filter = calloc(set->row_count / 8 + 1, 1);
    set->matrix = calloc((size_t)set->dimension * set->dimension, sizeof(double));
    CHECK(
        set->rows != NULL && set->queries != NULL && set->present != NULL && set->bits != NULL &&
        set->filter != NULL && set->matrix != NULL);
    for (uint32_t i = 0; i < set->dimension; i++) /* has a root in floats */
        set->matrix[(size_t)i * set->dimension + i] = 1.0 / 64 * (1 + i % 5) * (1 + i % 5);
    fill(set);
}

static void release(struct set *set)
{
    free(set->rows);
    free(set->queries);
    free(set->present);
    free(set->bits);
    free(set->filter);
    free(set->matrix);
}

#endif
