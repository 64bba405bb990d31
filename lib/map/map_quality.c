/* SPDX-License-Identifier: Apache-2.0 */
/* How well a map keeps neighbourhoods: trustworthiness and continuity (Venna & Kaski, ICANN 2001), and neighbours kept. */
#include "map/map_graph.h"

#include "catalog/catalog.h"
#include "core/memory.h"
#include "core/options.h"
#include "core/rng.h"
#include "linalg/linalg.h"
#include "map/map_kernels.h"
#include "project/projector.h"

#include <math.h>
#include <string.h>

#define ALL_UP_TO 100000
#define SAMPLED 5000
/* Anchors of a tile, fewer where the rows are so many that their distances would not fit. */
#define TILE 128
#define TILE_BYTES ((size_t)48 << 20)
#define PANEL 1024

static const imgsim_quality_options defaults = {
    .struct_size = sizeof(imgsim_quality_options),
    .seed = 1,
    .metric = IMGSIM_METRIC_COSINE,
    .neighbours = 15,
};

imgsim_status imgsim_quality_options_init(imgsim_quality_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

struct measuring {
    const struct ims_map_rows *rows;
    struct ims_map_metric metric;
    const float *columns[3]; /* positions by coordinate */
    float *coordinates;
    uint32_t dimension;
    uint32_t k;
    uint32_t *anchors;
    size_t anchor_count;
    size_t tile;
    struct ims_meter *meter;
    double (*sums)[3]; /* per tile: ranks beyond k of either kind, neighbours kept */
};

/* Work space of a tile. */
struct space {
    float *queries; /* tile x d */
    float *panel;   /* PANEL x d */
    float *high;    /* tile x n distances of rows */
    float *low;     /* n distances of points */
    float *keys;
    uint32_t *places;
    float zeros[PANEL];
    float found_keys[PANEL];
    uint32_t found_places[PANEL];
};

static void space_free(struct space *space)
{
    if (space == NULL)
        return;
    ims_free_aligned(space->queries);
    ims_free_aligned(space->panel);
    ims_free_aligned(space->high);
    ims_free_aligned(space->low);
    ims_free(space->keys);
    ims_free(space->places);
    ims_free(space);
}

static struct space *space_new(const struct measuring *measuring)
{
    const size_t n = measuring->rows->count, d = measuring->rows->dimension;
    const size_t capacity = ims_nearest_capacity(measuring->k);
    struct space *space = ims_calloc(1, sizeof(*space));

    if (space == NULL)
        return NULL;
    space->queries = ims_alloc_aligned(measuring->tile * d * sizeof(float));
    space->panel = ims_alloc_aligned(PANEL * d * sizeof(float));
    space->high = ims_alloc_aligned(measuring->tile * n * sizeof(float));
    space->low = ims_alloc_aligned(n * sizeof(float));
    space->keys = ims_alloc_array(2 * capacity, sizeof(float));
    space->places = ims_alloc_array(2 * capacity, sizeof(uint32_t));
    if (space->queries == NULL || space->panel == NULL || space->high == NULL ||
        space->low == NULL || space->keys == NULL || space->places == NULL) {
        space_free(space);
        return NULL;
    }
    return space;
}

/* Rows first to first + count - 1 as they are stored, copied only if ids have gaps. */
static const float *
raw_rows(const struct ims_map_rows *rows, size_t first, size_t count, float *panel)
{
    const size_t d = rows->dimension;

    if (rows->places == NULL ||
        rows->places[first + count - 1] - rows->places[first] == (int64_t)(count - 1))
        return ims_map_row(rows, first);
    for (size_t i = 0; i < count; i++)
        memcpy(panel + i * d, ims_map_row(rows, first + i), d * sizeof(float));
    return panel;
}

/* Something that grows with the distance: 1 - cosine, or the squared distance. */
static float key_of(const struct measuring *measuring, double dot, size_t a, size_t b)
{
    const double square_a = measuring->metric.squares[a], square_b = measuring->metric.squares[b];

    if (!measuring->rows->normalize)
        return (float)(square_a + square_b - 2.0 * dot);
    return square_a > 0.0 && square_b > 0.0 ? (float)(1.0 - dot / sqrt(square_a * square_b)) : 1.0f;
}

/* Distances of the tile's anchors to all rows; an anchor's to itself is infinite. */
static void fill_high(
    const struct measuring *measuring,
    struct space *space,
    const uint32_t *anchors,
    size_t count)
{
    const struct ims_map_rows *rows = measuring->rows;
    const size_t n = rows->count, d = rows->dimension;

    for (size_t a = 0; a < count; a++)
        memcpy(space->queries + a * d, ims_map_row(rows, anchors[a]), d * sizeof(float));
    for (size_t at = 0; at < n; at += PANEL) {
        const size_t points = n - at < PANEL ? n - at : PANEL;

        ims_gemm_nt(
            count, points, d, space->queries, d, raw_rows(rows, at, points, space->panel), d,
            space->high + at, n);
        for (size_t a = 0; a < count; a++)
            for (size_t p = 0; p < points; p++)
                space->high[a * n + at + p] =
                    key_of(measuring, space->high[a * n + at + p], anchors[a], at + p);
    }
    for (size_t a = 0; a < count; a++)
        space->high[a * n + anchors[a]] = INFINITY;
}

/* The k smallest of n values, ties by place, into `out`. */
static void
smallest(struct space *space, const float *values, size_t n, uint32_t k, size_t half, uint32_t *out)
{
    const size_t capacity = ims_nearest_capacity(k);
    struct ims_nearest nearest;

    ims_nearest_init(&nearest, k, space->keys + half * capacity, space->places + half * capacity);
    for (size_t at = 0; at < n; at += PANEL) {
        const size_t count = ims_map_kernels()->filter(
            space->zeros, values + at, n - at < PANEL ? n - at : PANEL, nearest.bound,
            space->found_places, space->found_keys);

        for (size_t i = 0; i < count; i++)
            ims_nearest_push(&nearest, space->found_keys[i], (uint32_t)at + space->found_places[i]);
    }
    ims_nearest_shrink(&nearest);
    memcpy(out, nearest.places, k * sizeof(uint32_t));
}

/* Ranks beyond k, by `values`, of those among `found` that are not among `wanted`; counts those that are. */
static double ranks_beyond(
    const float *values,
    size_t n,
    uint32_t k,
    const uint32_t *found,
    const uint32_t *wanted,
    double *kept)
{
    double sum = 0.0;

    for (uint32_t i = 0; i < k; i++) {
        bool known = false;

        for (uint32_t j = 0; j < k && !known; j++)
            known = wanted[j] == found[i];
        if (known)
            *kept += 1.0;
        else
            sum += (double)(ims_map_kernels()->rank(values, n, values[found[i]], found[i]) + 1) - k;
    }
    return sum > 0.0 ? sum : 0.0;
}

static imgsim_status measure_tile(void *context, size_t item, uint32_t worker)
{
    struct measuring *measuring = context;
    const size_t n = measuring->rows->count, first = item * measuring->tile;
    const size_t count = measuring->anchor_count - first < measuring->tile
                             ? measuring->anchor_count - first
                             : measuring->tile;
    const uint32_t k = measuring->k;
    struct space *space = space_new(measuring);
    uint32_t *near_high = ims_alloc_array(2 * (size_t)k, sizeof(uint32_t));
    imgsim_status status = IMGSIM_OK;

    if (space == NULL || near_high == NULL) {
        status = ims_fail_memory(measuring->tile * n * sizeof(float));
        goto done;
    }
    if (worker == 0 && (status = ims_meter_tick(measuring->meter, false)) != IMGSIM_OK)
        goto done;
    fill_high(measuring, space, measuring->anchors + first, count);
    for (size_t a = 0; a < count; a++) {
        const uint32_t anchor = measuring->anchors[first + a];
        const float point[3] = {
            measuring->columns[0][anchor], measuring->columns[1][anchor],
            measuring->dimension > 2 ? measuring->columns[2][anchor] : 0.0f};
        const float *high = space->high + a * n;
        uint32_t *near_low = near_high + k;
        double twice = 0.0;

        ims_map_kernels()->low_distances(
            measuring->columns, measuring->dimension, point, n, space->low);
        space->low[anchor] = INFINITY;
        smallest(space, high, n, k, 0, near_high);
        smallest(space, space->low, n, k, 1, near_low);
        measuring->sums[item][0] += ranks_beyond(high, n, k, near_low, near_high, &twice);
        measuring->sums[item][1] += ranks_beyond(space->low, n, k, near_high, near_low, &twice);
        measuring->sums[item][2] += twice / 2.0;
    }
    atomic_fetch_add(&measuring->meter->done, count);

done:
    ims_free(near_high);
    space_free(space);
    return status;
}

/* ---- the request ---- */

/* Places of the points looked at, ascending: all, or drawn without repetition. */
static imgsim_status choose_anchors(struct measuring *measuring, uint64_t wanted, uint64_t seed)
{
    const size_t n = measuring->rows->count;
    struct ims_rng rng;
    size_t left = n, used = 0;

    measuring->anchor_count = wanted > 0       ? (wanted < n ? (size_t)wanted : n)
                              : n <= ALL_UP_TO ? n
                                               : SAMPLED;
    measuring->anchors = ims_alloc_array(measuring->anchor_count, sizeof(uint32_t));
    if (measuring->anchors == NULL)
        return ims_fail_memory(measuring->anchor_count * sizeof(uint32_t));
    ims_rng_init(&rng, seed);
    /* Knuth's algorithm S: each point with the chance that is left. */
    for (size_t i = 0; i < n; i++, left--)
        if (measuring->anchor_count == n ||
            ims_rng_below(&rng, left) < measuring->anchor_count - used)
            measuring->anchors[used++] = (uint32_t)i;
    return IMGSIM_OK;
}

static imgsim_status copy_columns(struct measuring *measuring, const float *positions)
{
    const size_t n = measuring->rows->count;

    measuring->coordinates = ims_alloc_aligned(measuring->dimension * n * sizeof(float));
    if (measuring->coordinates == NULL)
        return ims_fail_memory(measuring->dimension * n * sizeof(float));
    for (uint32_t c = 0; c < measuring->dimension; c++) {
        measuring->columns[c] = measuring->coordinates + c * n;
        for (size_t i = 0; i < n; i++) {
            const float value = positions[i * measuring->dimension + c];

            if (!isfinite(value))
                return ims_fail(
                    IMGSIM_ERROR_INVALID_ARGUMENT, "position %zu, coordinate %u is not finite", i,
                    c);
            measuring->coordinates[c * n + i] = value;
        }
    }
    return IMGSIM_OK;
}

static void write_quality(const struct measuring *measuring, size_t tiles, imgsim_quality *out)
{
    const double n = (double)measuring->rows->count, k = measuring->k;
    const double a = (double)measuring->anchor_count;
    imgsim_quality quality = {.struct_size = out->struct_size};
    double sums[3] = {0.0};
    size_t known = sizeof(quality);

    for (size_t tile = 0; tile < tiles; tile++)
        for (int i = 0; i < 3; i++)
            sums[i] += measuring->sums[tile][i];
    quality.trustworthiness = 1.0 - 2.0 / (a * k * (2.0 * n - 3.0 * k - 1.0)) * sums[0];
    quality.continuity = 1.0 - 2.0 / (a * k * (2.0 * n - 3.0 * k - 1.0)) * sums[1];
    quality.preservation = sums[2] / (a * k);
    quality.anchors = measuring->anchor_count;
    quality.neighbours = measuring->k;
    if (out->struct_size < known)
        known = out->struct_size;
    memcpy(out, &quality, known);
}

static imgsim_status measure(
    const struct ims_map_rows *rows,
    const float *positions,
    uint32_t dimension,
    const imgsim_quality_options *options,
    imgsim_quality *out_quality)
{
    const size_t n = rows->count;
    struct ims_meter meter = {0};
    struct measuring measuring = {
        .rows = rows, .dimension = dimension, .k = options->neighbours, .meter = &meter};
    struct ims_pool *pool = NULL;
    imgsim_status status;
    size_t tiles;

    if (options->neighbours < 1 || 2 * (size_t)options->neighbours >= n)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "%u neighbours of %zu points, expected 1 to less than half of them",
            options->neighbours, n);
    measuring.tile = TILE_BYTES / sizeof(float) / n;
    measuring.tile = measuring.tile > TILE ? TILE : measuring.tile < 8 ? 8 : measuring.tile;
    ims_meter_start(&meter, options->progress, options->progress_data);
    if ((status = ims_pool_new(options->threads, &pool)) != IMGSIM_OK ||
        (status = ims_map_metric_init(&measuring.metric, rows, pool)) != IMGSIM_OK ||
        (status = copy_columns(&measuring, positions)) != IMGSIM_OK ||
        (status = choose_anchors(&measuring, options->anchors, options->seed)) != IMGSIM_OK)
        goto done;
    tiles = (measuring.anchor_count + measuring.tile - 1) / measuring.tile;
    if ((measuring.sums = ims_calloc(tiles, sizeof(*measuring.sums))) == NULL) {
        status = ims_fail_memory(tiles * sizeof(*measuring.sums));
        goto done;
    }
    ims_meter_phase(&meter, "measure", measuring.anchor_count);
    if ((status = ims_pool_run(pool, tiles, measure_tile, &measuring)) == IMGSIM_OK)
        write_quality(&measuring, tiles, out_quality);

done:
    ims_free(measuring.sums);
    ims_free(measuring.anchors);
    ims_free_aligned(measuring.coordinates);
    ims_map_metric_clear(&measuring.metric);
    ims_pool_free(pool);
    return status;
}

imgsim_status
ims_quality_options_read(const imgsim_quality_options *options, imgsim_quality_options *settings)
{
    *settings = defaults;
    return ims_options_read(settings, sizeof(*settings), options);
}

static imgsim_status read_options(
    const imgsim_quality_options *options,
    const imgsim_quality *out,
    imgsim_quality_options *settings)
{
    imgsim_status status;

    if (out == NULL || out->struct_size < sizeof(size_t))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "out_quality must not be NULL, and its struct_size be set");
    if ((status = ims_quality_options_read(options, settings)) != IMGSIM_OK)
        return status;
    if (settings->metric != IMGSIM_METRIC_COSINE && settings->metric != IMGSIM_METRIC_L2)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "maps are measured by cosine or l2");
    return IMGSIM_OK;
}

imgsim_status imgsim_map_measure(
    const float *rows,
    size_t row_count,
    uint32_t row_dimension,
    const float *positions,
    uint32_t dimension,
    const imgsim_quality_options *options,
    imgsim_quality *out_quality)
{
    struct ims_map_rows set = {rows, NULL, row_count, row_dimension, false, false};
    imgsim_quality_options settings;
    imgsim_status status;

    if (rows == NULL || positions == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "rows and positions must not be NULL");
    if (row_dimension == 0 || row_dimension > IMS_PROJECTOR_DIMENSION_MAX || dimension < 2 ||
        dimension > IMGSIM_MAP_DIMENSION_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "rows of %u values and a map of dimension %u",
            row_dimension, dimension);
    if ((status = read_options(options, out_quality, &settings)) != IMGSIM_OK ||
        (status = ims_check_finite(rows, row_count, row_dimension, 0)) != IMGSIM_OK)
        return status;
    set.normalize = settings.metric == IMGSIM_METRIC_COSINE;
    return measure(&set, positions, dimension, &settings, out_quality);
}

imgsim_status imgsim_map_measure_catalog(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    const imgsim_quality_options *options,
    imgsim_quality *out_quality)
{
    imgsim_features *features = NULL;
    imgsim_quality_options settings;
    struct ims_map_rows rows;
    imgsim_status status;

    if (map == NULL || catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "map and catalog must not be NULL");
    if ((status = read_options(options, out_quality, &settings)) != IMGSIM_OK ||
        (status = imgsim_catalog_open_features(catalog, map->feature, &features)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < map->count && status == IMGSIM_OK; i++)
        if (!ims_bitset_test(ims_features_present(features), map->ids[i]))
            status = ims_fail(
                IMGSIM_ERROR_NOT_FOUND, "image %lld of the map has no row of \"%s\"",
                (long long)map->ids[i], map->feature);
    if (status == IMGSIM_OK) {
        rows = (struct ims_map_rows){imgsim_features_get_rows(features),
                                     map->ids,
                                     map->count,
                                     imgsim_features_get_dimension(features),
                                     map->metric == IMGSIM_METRIC_COSINE,
                                     false};
        status = measure(&rows, map->positions, map->dimension, &settings, out_quality);
    }
    imgsim_features_free(features);
    return status;
}
