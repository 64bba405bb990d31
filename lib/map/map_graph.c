/* SPDX-License-Identifier: Apache-2.0 */
/* The neighbour graph: what both routes share, and the exact one. */
#include "map/map_graph.h"

#include "core/memory.h"
#include "linalg/linalg.h"
#include "map/map_kernels.h"
#include "simd/kernels.h"
#include "simd/reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Rows of a query tile and of a point tile, and candidates kept beyond k. */
#define QUERY_ROWS 256
#define POINT_ROWS 1024
#define SPARE 16

/* Above this many multiplications the candidates come from lists. */
#define EXACT_WORK 1e11

/* ---- the nearest of a stream ---- */

size_t ims_nearest_capacity(size_t keep)
{
    return 2 * keep + 64;
}

void ims_nearest_init(struct ims_nearest *nearest, size_t keep, float *keys, uint32_t *places)
{
    nearest->keys = keys;
    nearest->places = places;
    nearest->count = 0;
    nearest->keep = keep;
    nearest->capacity = ims_nearest_capacity(keep);
    nearest->bound = INFINITY;
}

static bool before(float key_a, uint32_t place_a, float key_b, uint32_t place_b)
{
    return key_a < key_b || (key_a == key_b && place_a < place_b);
}

static void swap(float *keys, uint32_t *places, size_t a, size_t b)
{
    const float key = keys[a];
    const uint32_t place = places[a];

    keys[a] = keys[b];
    places[a] = places[b];
    keys[b] = key;
    places[b] = place;
}

/* Hoare's selection: the `keep` smallest come first. */
static void select_nearest(float *keys, uint32_t *places, size_t count, size_t keep)
{
    size_t low = 0, high = count - 1;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const float key = keys[middle];
        const uint32_t place = places[middle];
        size_t i = low, j = high;

        for (;;) {
            while (before(keys[i], places[i], key, place))
                i++;
            while (before(key, place, keys[j], places[j]))
                j--;
            if (i >= j)
                break;
            swap(keys, places, i++, j--);
        }
        if (keep - 1 <= j)
            high = j;
        else
            low = j + 1;
    }
}

void ims_nearest_shrink(struct ims_nearest *nearest)
{
    if (nearest->count <= nearest->keep)
        return;
    select_nearest(nearest->keys, nearest->places, nearest->count, nearest->keep);
    nearest->count = nearest->keep;
    nearest->bound = nearest->keys[0];
    for (size_t i = 1; i < nearest->count; i++)
        if (nearest->keys[i] > nearest->bound)
            nearest->bound = nearest->keys[i];
}

/* Insertion into a sorted row: rows are short, and candidates come nearly sorted. */
void ims_map_sort_neighbours(float *distances, uint32_t *places, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const float distance = distances[i];
        const uint32_t place = places[i];
        size_t j = i;

        for (; j > 0 && before(distance, place, distances[j - 1], places[j - 1]); j--) {
            distances[j] = distances[j - 1];
            places[j] = places[j - 1];
        }
        distances[j] = distance;
        places[j] = place;
    }
}

/* ---- true distances ---- */

static imgsim_status compute_squares(void *context, size_t item, uint32_t worker)
{
    struct ims_map_metric *metric = context;
    const size_t first = item * POINT_ROWS;
    const size_t end =
        first + POINT_ROWS < metric->rows->count ? first + POINT_ROWS : metric->rows->count;

    (void)worker;
    for (size_t i = first; i < end; i++) {
        const float *row = ims_map_row(metric->rows, i);

        metric->squares[i] = ims_exact_dot(row, row, metric->rows->dimension);
    }
    ims_map_rows_done(metric->rows, first, end - first);
    return IMGSIM_OK;
}

imgsim_status ims_map_metric_init(
    struct ims_map_metric *metric,
    const struct ims_map_rows *rows,
    struct ims_pool *pool)
{
    metric->rows = rows;
    if ((metric->squares = ims_alloc_array(rows->count, sizeof(double))) == NULL)
        return ims_fail_memory(rows->count * sizeof(double));
    return ims_pool_run(pool, (rows->count + POINT_ROWS - 1) / POINT_ROWS, compute_squares, metric);
}

void ims_map_metric_clear(struct ims_map_metric *metric)
{
    ims_free(metric->squares);
    metric->squares = NULL;
}

double ims_map_distance_exact(const struct ims_map_metric *metric, size_t a, size_t b)
{
    const uint32_t d = metric->rows->dimension;
    const float *row_a = ims_map_row(metric->rows, a), *row_b = ims_map_row(metric->rows, b);

    if (!metric->rows->normalize)
        return sqrt(ims_exact_l2_squared(row_a, row_b, d));
    if (memcmp(row_a, row_b, d * sizeof(float)) == 0)
        return 0.0; /* also two rows of zeros: nobody is nearer to them */
    return fmax(
        0.0, 1.0 - ims_exact_cosine_of(
                       ims_exact_dot(row_a, row_b, d), metric->squares[a], metric->squares[b]));
}

float ims_map_distance(const struct ims_map_metric *metric, size_t a, size_t b)
{
    const uint32_t d = metric->rows->dimension;
    const float *row_a = ims_map_row(metric->rows, a), *row_b = ims_map_row(metric->rows, b);
    double cosine;

    if (!metric->rows->normalize)
        return sqrtf(ims_kernels()->l2_squared(row_a, row_b, d));
    cosine = ims_exact_cosine_of(
        ims_kernels()->dot(row_a, row_b, d), metric->squares[a], metric->squares[b]);
    /* Near 1 the digits of the difference are those of the product's rounding. */
    return cosine > 0.999 ? (float)ims_map_distance_exact(metric, a, b) : (float)(1.0 - cosine);
}

/* ---- exact ---- */

/* Work space of one worker. */
struct space {
    float *queries;           /* QUERY_ROWS x d */
    float *points;            /* POINT_ROWS x d */
    float *dots;              /* QUERY_ROWS x POINT_ROWS */
    float *norms;             /* POINT_ROWS */
    struct ims_nearest *best; /* QUERY_ROWS */
    uint32_t found_places[POINT_ROWS];
    float found_keys[POINT_ROWS];
};

struct exact {
    const struct ims_map_job *job;
    const struct ims_map_metric *metric;
    uint32_t k;
    size_t keep;
    double margin; /* of a key: twice what the float products may be off by */
    uint32_t *neighbours;
    float *distances;
    struct space *spaces;
};

static void space_clear(struct space *space)
{
    ims_free_aligned(space->queries);
    ims_free_aligned(space->points);
    ims_free_aligned(space->dots);
    ims_free(space->norms);
    if (space->best != NULL) {
        ims_free(space->best[0].keys);
        ims_free(space->best[0].places);
    }
    ims_free(space->best);
}

static imgsim_status space_init(struct space *space, size_t d, size_t keep)
{
    const size_t capacity = ims_nearest_capacity(keep);
    float *keys;
    uint32_t *places;

    space->queries = ims_alloc_aligned(QUERY_ROWS * d * sizeof(float));
    space->points = ims_alloc_aligned(POINT_ROWS * d * sizeof(float));
    space->dots = ims_alloc_aligned((size_t)QUERY_ROWS * POINT_ROWS * sizeof(float));
    space->norms = ims_alloc_array(POINT_ROWS, sizeof(float));
    space->best = ims_calloc(QUERY_ROWS, sizeof(*space->best));
    if (space->best == NULL)
        return ims_fail_memory(QUERY_ROWS * sizeof(*space->best));
    keys = space->best[0].keys = ims_alloc_array(QUERY_ROWS * capacity, sizeof(float));
    places = space->best[0].places = ims_alloc_array(QUERY_ROWS * capacity, sizeof(uint32_t));
    if (space->queries == NULL || space->points == NULL || space->dots == NULL ||
        space->norms == NULL || keys == NULL || places == NULL)
        return ims_fail_memory((QUERY_ROWS + POINT_ROWS) * d * sizeof(float));
    for (size_t i = 0; i < QUERY_ROWS; i++)
        ims_nearest_init(&space->best[i], keep, keys + i * capacity, places + i * capacity);
    return IMGSIM_OK;
}

/* Offer the rows of one point tile to the rows of the query tile. */
static void offer_tile(
    struct space *space,
    size_t query_first,
    size_t query_count,
    size_t point_first,
    size_t point_count)
{
    const struct ims_map_kernels *kernels = ims_map_kernels();

    for (size_t q = 0; q < query_count; q++) {
        struct ims_nearest *best = &space->best[q];
        const size_t found = kernels->filter(
            space->dots + q * POINT_ROWS, space->norms, point_count, best->bound,
            space->found_places, space->found_keys);

        for (size_t f = 0; f < found; f++) {
            const size_t point = point_first + space->found_places[f];

            if (point != query_first + q)
                ims_nearest_push(best, space->found_keys[f], (uint32_t)point);
        }
    }
}

/* Every other point in double precision: for a row whose candidates cannot be trusted, by ties or rounding. */
static void decide_slowly(const struct exact *exact, size_t point, uint32_t *places, float *out)
{
    const size_t n = exact->job->rows->count;
    const uint32_t k = exact->k;
    size_t count = 0;

    for (size_t other = 0; other < n; other++) {
        float distance;
        size_t at;

        if (other == point)
            continue;
        distance = (float)ims_map_distance_exact(exact->metric, point, other);
        if (count == k && !(distance < out[k - 1]))
            continue;
        at = count < k ? count++ : (size_t)k - 1;
        for (; at > 0 && distance < out[at - 1]; at--) {
            out[at] = out[at - 1];
            places[at] = places[at - 1];
        }
        out[at] = distance;
        places[at] = (uint32_t)other;
    }
}

/* A squared distance, of normalised rows for cosine, from a distance. */
static double to_square(const struct exact *exact, double distance)
{
    return exact->job->rows->normalize ? 2.0 * distance : distance * distance;
}

/*
 * The k nearest of a row's candidates by true distance. Whoever is no candidate has a key of at least the bound, so a true squared
 * distance of at least bound + |query|^2 - margin: if the k-th candidate is nearer than that, nobody was missed. Nobody is nearer
 * than k identical rows either.
 */
static void decide(const struct exact *exact, struct ims_nearest *best, size_t point, double square)
{
    const size_t n = exact->job->rows->count;
    const uint32_t k = exact->k;
    uint32_t *places = exact->neighbours + point * k;
    float *distances = exact->distances + point * k;

    ims_nearest_shrink(best);
    for (size_t i = 0; i < best->count; i++)
        best->keys[i] = (float)ims_map_distance_exact(exact->metric, point, best->places[i]);
    ims_map_sort_neighbours(best->keys, best->places, best->count);
    if (best->count < n - 1 && best->keys[k - 1] > 0.0f &&
        !(to_square(exact, best->keys[k - 1]) <
          (double)best->bound + square - exact->margin * (1.0 + square))) {
        decide_slowly(exact, point, places, distances);
        return;
    }
    memcpy(places, best->places, k * sizeof(*places));
    memcpy(distances, best->keys, k * sizeof(*distances));
}

static float
row_square(const struct ims_map_rows *rows, const struct ims_map_metric *metric, size_t i)
{
    if (rows->normalize)
        return metric->squares[i] > 0.0 ? 1.0f : 0.0f;
    return (float)metric->squares[i];
}

static imgsim_status find_tile(void *context, size_t item, uint32_t worker)
{
    const struct exact *exact = context;
    const struct ims_map_rows *rows = exact->job->rows;
    const size_t n = rows->count, d = rows->dimension;
    const size_t first = item * QUERY_ROWS;
    const size_t count = n - first < QUERY_ROWS ? n - first : QUERY_ROWS;
    struct space *space = &exact->spaces[worker];
    imgsim_status status;

    if (worker == 0 && (status = ims_meter_tick(exact->job->meter, false)) != IMGSIM_OK)
        return status;
    ims_map_copy_rows(rows, first, count, space->queries);
    for (size_t q = 0; q < count; q++) {
        space->best[q].count = 0;
        space->best[q].bound = INFINITY;
    }
    for (size_t at = 0; at < n; at += POINT_ROWS) {
        const size_t points = n - at < POINT_ROWS ? n - at : POINT_ROWS;

        ims_map_copy_rows(rows, at, points, space->points);
        for (size_t p = 0; p < points; p++)
            space->norms[p] = row_square(rows, exact->metric, at + p);
        ims_gemm_nt(count, points, d, space->queries, d, space->points, d, space->dots, POINT_ROWS);
        offer_tile(space, first, count, at, points);
    }
    for (size_t q = 0; q < count; q++)
        decide(exact, &space->best[q], first + q, row_square(rows, exact->metric, first + q));
    atomic_fetch_add(&exact->job->meter->done, count);
    return IMGSIM_OK;
}

/* The largest |row|^2: margins are relative to it. */
static double largest_square(const struct ims_map_metric *metric)
{
    double largest = 0.0;

    if (metric->rows->normalize)
        return 1.0;
    for (size_t i = 0; i < metric->rows->count; i++)
        if (metric->squares[i] > largest)
            largest = metric->squares[i];
    return largest;
}

imgsim_status ims_map_graph_exact(
    const struct ims_map_job *job,
    const struct ims_map_metric *metric,
    uint32_t k,
    uint32_t *neighbours,
    float *distances)
{
    const size_t n = job->rows->count, d = job->rows->dimension;
    const uint32_t threads = ims_pool_threads(job->pool);
    struct exact exact = {job, metric, k, k + SPARE, 0.0, neighbours, distances, NULL};
    imgsim_status status = IMGSIM_OK;

    if (exact.keep > n - 1)
        exact.keep = n - 1;
    /* A float product of d terms is off by at most (d + 2) u |a| |b|; keys add two roundings. Higham, 2002, section 3.1. */
    exact.margin = 2.0 * ((double)d + 8.0) * FLT_EPSILON * fmax(1.0, largest_square(metric));
    if ((exact.spaces = ims_calloc(threads, sizeof(*exact.spaces))) == NULL)
        return ims_fail_memory(threads * sizeof(*exact.spaces));
    for (uint32_t t = 0; t < threads && status == IMGSIM_OK; t++)
        status = space_init(&exact.spaces[t], d, exact.keep);
    if (status == IMGSIM_OK)
        status = ims_pool_run(job->pool, (n + QUERY_ROWS - 1) / QUERY_ROWS, find_tile, &exact);
    for (uint32_t t = 0; t < threads; t++)
        space_clear(&exact.spaces[t]);
    ims_free(exact.spaces);
    return status;
}

/* ---- which route ---- */

imgsim_status
ims_map_graph(const struct ims_map_job *job, uint32_t k, uint32_t *neighbours, float *distances)
{
    const double n = (double)job->rows->count;
    const bool small = n * n * job->rows->dimension <= EXACT_WORK;
    struct ims_map_metric metric = {0};
    imgsim_status status;

    ims_meter_phase(job->meter, "neighbours", job->rows->count);
    if ((status = ims_map_metric_init(&metric, job->rows, job->pool)) == IMGSIM_OK)
        status = small || job->options->exact_neighbours
                     ? ims_map_graph_exact(job, &metric, k, neighbours, distances)
                     : ims_map_graph_lists(job, &metric, k, neighbours, distances);
    ims_map_metric_clear(&metric);
    return status;
}
