/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placing new rows on a map that stays as it is: UMAP's transform (McInnes, Healy & Melville, arXiv:1802.03426) and t-SNE with the
 * positions of the map fixed (Poličar, Stražar & Zupan, Machine Learning 112, 2023).
 */
#include "map/map_graph.h"
#include "map/map_layout.h"

#include "core/memory.h"
#include "core/rng.h"
#include "linalg/linalg.h"
#include "map/map_kernels.h"
#include "map/tsne_repulsion.h"
#include "project/projector.h"
#include "simd/reference.h"

#include <math.h>
#include <string.h>

#define QUERY_ROWS 64
#define POINT_ROWS 1024
#define SPARE 16
#define POINTS 1024
/* t-SNE: neighbours, effective number of them, steps, step lengths. */
#define TSNE_NEIGHBOURS 25
#define TSNE_PERPLEXITY 5.0
#define TSNE_EPOCHS 250
#define TSNE_RATE 0.1f
#define TSNE_EXAGGERATION 1.5f
#define TSNE_MOMENTUM 0.8f
#define TSNE_STEP_MOST 0.25f

struct placing {
    const imgsim_map *map;
    const struct ims_map_rows *known;
    const struct ims_map_rows *rows;
    const imgsim_map_options *options;
    struct ims_map_metric metric; /* of the known rows */
    struct ims_pool *pool;
    struct ims_meter *meter;
    size_t n; /* known */
    size_t m; /* new */
    uint32_t k;
    uint32_t *neighbours;       /* m x k places in the map */
    float *distances;           /* m x k */
    float *positions;           /* (n + m) x d: the map, then the new points */
    struct ims_map_edges edges; /* of n + m vertices, those of the map without edges */
};

/* ---- neighbours ---- */

static double
true_distance(const struct placing *placing, const float *row, double square, size_t place)
{
    const uint32_t d = placing->known->dimension;
    const float *known = ims_map_row(placing->known, place);

    if (!placing->known->normalize)
        return sqrt(ims_exact_l2_squared(row, known, d));
    if (memcmp(row, known, d * sizeof(float)) == 0)
        return 0.0;
    return fmax(
        0.0, 1.0 - ims_exact_cosine_of(
                       ims_exact_dot(row, known, d), square, placing->metric.squares[place]));
}

/* Rank the candidates of one row by true distance. */
static void rank_row(const struct placing *placing, size_t row_number, struct ims_nearest *nearest)
{
    const float *row = ims_map_row(placing->rows, row_number);
    const double square = ims_exact_dot(row, row, placing->known->dimension);

    ims_nearest_shrink(nearest);
    for (size_t i = 0; i < nearest->count; i++)
        nearest->keys[i] = (float)true_distance(placing, row, square, nearest->places[i]);
    ims_map_sort_neighbours(nearest->keys, nearest->places, nearest->count);
    memcpy(
        placing->neighbours + row_number * placing->k, nearest->places,
        placing->k * sizeof(uint32_t));
    memcpy(placing->distances + row_number * placing->k, nearest->keys, placing->k * sizeof(float));
}

struct search_space {
    float *queries;
    float *points;
    float *dots;
    float *keys;
    uint32_t *places;
    float norms[POINT_ROWS];
    float found_keys[POINT_ROWS];
    uint32_t found_places[POINT_ROWS];
    struct ims_nearest nearest[QUERY_ROWS];
};

static void search_tile(
    const struct placing *placing,
    struct search_space *space,
    size_t queries,
    size_t at,
    size_t points)
{
    const size_t d = placing->known->dimension;

    ims_map_copy_rows(placing->known, at, points, space->points);
    for (size_t p = 0; p < points; p++)
        space->norms[p] = placing->known->normalize
                              ? (placing->metric.squares[at + p] > 0.0 ? 1.0f : 0.0f)
                              : (float)placing->metric.squares[at + p];
    ims_gemm_nt(queries, points, d, space->queries, d, space->points, d, space->dots, POINT_ROWS);
    for (size_t q = 0; q < queries; q++) {
        const size_t found = ims_map_kernels()->filter(
            space->dots + q * POINT_ROWS, space->norms, points, space->nearest[q].bound,
            space->found_places, space->found_keys);

        for (size_t f = 0; f < found; f++)
            ims_nearest_push(
                &space->nearest[q], space->found_keys[f], (uint32_t)at + space->found_places[f]);
    }
}

static imgsim_status search_rows(void *context, size_t item, uint32_t worker)
{
    const struct placing *placing = context;
    const size_t d = placing->known->dimension, first = item * QUERY_ROWS;
    const size_t count = placing->m - first < QUERY_ROWS ? placing->m - first : QUERY_ROWS;
    const size_t keep = placing->k + SPARE < placing->n ? placing->k + SPARE : placing->n;
    const size_t capacity = ims_nearest_capacity(keep);
    struct search_space *space = ims_calloc(1, sizeof(*space));
    imgsim_status status = IMGSIM_OK;

    if (space == NULL)
        return ims_fail_memory(sizeof(*space));
    space->queries = ims_alloc_aligned(QUERY_ROWS * d * sizeof(float));
    space->points = ims_alloc_aligned(POINT_ROWS * d * sizeof(float));
    space->dots = ims_alloc_aligned((size_t)QUERY_ROWS * POINT_ROWS * sizeof(float));
    space->keys = ims_alloc_array(QUERY_ROWS * capacity, sizeof(float));
    space->places = ims_alloc_array(QUERY_ROWS * capacity, sizeof(uint32_t));
    if (space->queries == NULL || space->points == NULL || space->dots == NULL ||
        space->keys == NULL || space->places == NULL) {
        status = ims_fail_memory(POINT_ROWS * d * sizeof(float));
        goto done;
    }
    if (worker == 0 && (status = ims_meter_tick(placing->meter, false)) != IMGSIM_OK)
        goto done;
    ims_map_copy_rows(placing->rows, first, count, space->queries);
    for (size_t q = 0; q < count; q++)
        ims_nearest_init(
            &space->nearest[q], keep, space->keys + q * capacity, space->places + q * capacity);
    for (size_t at = 0; at < placing->n; at += POINT_ROWS)
        search_tile(
            placing, space, count, at, placing->n - at < POINT_ROWS ? placing->n - at : POINT_ROWS);
    for (size_t q = 0; q < count; q++)
        rank_row(placing, first + q, &space->nearest[q]);
    atomic_fetch_add(&placing->meter->done, count);

done:
    ims_free_aligned(space->queries);
    ims_free_aligned(space->points);
    ims_free_aligned(space->dots);
    ims_free(space->keys);
    ims_free(space->places);
    ims_free(space);
    return status;
}

/* ---- edges and start ---- */

/* exp(-d / sigma) with sigma such that they sum to log2(k + 1): nobody is certain to be near, unlike within the map. */
static void weigh_row(const struct placing *placing, const float *distances, float *out)
{
    if (placing->map->layout == IMGSIM_LAYOUT_TSNE)
        ims_tsne_weights_row(
            distances, placing->k, fmin(TSNE_PERPLEXITY, fmax(1.0, placing->k / 3.0)), out);
    else
        ims_umap_weights_new(distances, placing->k, out);
}

static imgsim_status make_edges(struct placing *placing)
{
    const size_t n = placing->n, m = placing->m, k = placing->k;
    struct ims_map_edges *edges = &placing->edges;

    edges->count = n + m;
    edges->starts = ims_calloc(n + m + 1, sizeof(uint64_t));
    edges->targets = ims_calloc(m * k + IMS_LANES, sizeof(uint32_t)); /* whole vectors are read */
    edges->weights = ims_alloc_array(m * k, sizeof(float));
    if (edges->starts == NULL || edges->targets == NULL || edges->weights == NULL)
        return ims_fail_memory((n + m) * sizeof(uint64_t));
    memcpy(edges->targets, placing->neighbours, m * k * sizeof(uint32_t));
    for (size_t i = 0; i < m; i++) {
        edges->starts[n + i + 1] = (i + 1) * k;
        weigh_row(placing, placing->distances + i * k, edges->weights + i * k);
    }
    return IMGSIM_OK;
}

/* The weighted mean of the neighbours, or the place of an equal row. */
static void start_points(const struct placing *placing)
{
    const size_t n = placing->n, k = placing->k, d = placing->map->dimension;

    for (size_t i = 0; i < placing->m; i++) {
        float *position = placing->positions + (n + i) * d;
        double sums[IMGSIM_MAP_DIMENSION_MAX] = {0.0}, total = 0.0;
        const size_t near = placing->distances[i * k] == 0.0f ? 1 : k;

        for (size_t j = 0; j < near; j++) {
            const float *other = placing->positions + (size_t)placing->neighbours[i * k + j] * d;
            const double weight = near == 1 ? 1.0 : placing->edges.weights[i * k + j];

            total += weight;
            for (size_t c = 0; c < d; c++)
                sums[c] += weight * other[c];
        }
        for (size_t c = 0; c < d; c++)
            position[c] = (float)(sums[c] / total);
    }
}

/* ---- UMAP ---- */

struct umap_placing {
    const struct placing *placing;
    struct ims_umap_step step;
    float *moved;
};

static imgsim_status move_points(void *context, size_t item, uint32_t worker)
{
    struct umap_placing *job = context;
    const size_t end =
        (item + 1) * POINTS < job->placing->m ? (item + 1) * POINTS : job->placing->m;

    (void)worker;
    ims_map_kernels()->umap_move(&job->step, job->placing->n, 1, item * POINTS, end, job->moved);
    return IMGSIM_OK;
}

/* Points that equal one of the map stay with it. */
static void take_moves(const struct placing *placing, const float *moved)
{
    const size_t d = placing->map->dimension;

    for (size_t i = 0; i < placing->m; i++)
        if (placing->distances[i * placing->k] > 0.0f)
            memcpy(placing->positions + (placing->n + i) * d, moved + i * d, d * sizeof(float));
}

static imgsim_status place_umap(struct placing *placing)
{
    const imgsim_map_options *options = placing->options;
    const uint32_t epochs = options->epochs > 0   ? (options->epochs + 2) / 3
                            : placing->m <= 10000 ? 100
                                                  : 30;
    const double alpha = (options->learning_rate > 0.0 ? options->learning_rate : 1.0) / 4.0;
    struct umap_placing job = {.placing = placing};
    uint32_t *rates = ims_calloc(placing->m * placing->k + IMS_LANES, sizeof(uint32_t));
    imgsim_status status = IMGSIM_OK;
    double a, b;

    job.moved = ims_alloc_array(placing->m * placing->map->dimension, sizeof(float));
    if (rates == NULL || job.moved == NULL) {
        status = ims_fail_memory(placing->m * placing->k * sizeof(uint32_t));
        goto done;
    }
    /* The largest weight of every row is near 1: no division by the largest of all, so that rows do not depend on each other. */
    for (size_t e = 0; e < placing->m * placing->k; e++)
        rates[e] = (uint32_t)(fmin(placing->edges.weights[e], 1.0) * 4294967295.0);
    ims_umap_curve(options->min_dist, options->spread, &a, &b);
    job.step = (struct ims_umap_step){
        .starts = placing->edges.starts + placing->n,
        .targets = placing->edges.targets,
        .rates = rates,
        .positions = placing->positions,
        .count = (uint32_t)placing->n,
        .dimension = placing->map->dimension,
        .negatives = options->negatives,
        .a = (float)a,
        .b = (float)b,
        .repulsion = 1.0f,
    };
    for (uint32_t epoch = 0; epoch < epochs && status == IMGSIM_OK; epoch++) {
        job.step.epoch = epoch;
        job.step.salt = (uint32_t)ims_mix64(options->seed + ((uint64_t)epoch << 32));
        job.step.alpha = (float)(alpha * (1.0 - (double)epoch / epochs));
        status = ims_pool_run(placing->pool, (placing->m + POINTS - 1) / POINTS, move_points, &job);
        take_moves(placing, job.moved);
        if (status == IMGSIM_OK)
            status = ims_meter_tick(placing->meter, false);
    }

done:
    ims_free(rates);
    ims_free(job.moved);
    return status;
}

/* ---- t-SNE ---- */

/* Work arrays of all new points. */
struct tsne_placing {
    float *attraction;
    float *repulsion;
    float *update;
    double *totals;
};

static void step_points(const struct placing *placing, const struct tsne_placing *job)
{
    const size_t d = placing->map->dimension;

    for (size_t i = 0; i < placing->m; i++) {
        const float inverse = (float)(1.0 / fmax(job->totals[i], 1e-30));
        float square = 0.0f, cut = 1.0f;

        if (placing->distances[i * placing->k] == 0.0f)
            continue;
        for (size_t c = i * d; c < (i + 1) * d; c++) {
            job->update[c] =
                TSNE_MOMENTUM * job->update[c] -
                TSNE_RATE * (TSNE_EXAGGERATION * job->attraction[c] - job->repulsion[c] * inverse);
            square += job->update[c] * job->update[c];
        }
        if (square > TSNE_STEP_MOST * TSNE_STEP_MOST)
            cut = TSNE_STEP_MOST / sqrtf(square);
        for (size_t c = i * d; c < (i + 1) * d; c++) {
            job->update[c] *= cut;
            placing->positions[placing->n * d + c] += job->update[c];
        }
    }
}

static imgsim_status descend(
    struct placing *placing,
    const struct tsne_placing *job,
    struct ims_grid *grid,
    struct ims_tree *tree)
{
    const size_t n = placing->n, m = placing->m, d = placing->map->dimension;
    const uint32_t epochs = placing->options->epochs > 0 ? placing->options->epochs : TSNE_EPOCHS;
    const struct ims_tsne_edges edges = {
        placing->edges.starts, placing->edges.targets, placing->edges.weights, placing->positions,
        (uint32_t)d};
    float *places = placing->positions + n * d;
    imgsim_status status = IMGSIM_OK;

    for (uint32_t epoch = 0; epoch < epochs && status == IMGSIM_OK; epoch++) {
        ims_map_kernels()->tsne_attract(&edges, n, n + m, 0, job->attraction);
        status =
            d == 2
                ? ims_grid_fields_at(grid, placing->pool, places, m, job->repulsion, job->totals)
                : ims_tree_fields_at(tree, placing->pool, places, m, job->repulsion, job->totals);
        if (status == IMGSIM_OK)
            step_points(placing, job);
        if (status == IMGSIM_OK)
            status = ims_meter_tick(placing->meter, false);
    }
    return status;
}

static imgsim_status place_tsne(struct placing *placing)
{
    const size_t n = placing->n, m = placing->m, d = placing->map->dimension;
    const size_t room = n > m ? n : m;
    struct tsne_placing job = {0};
    struct ims_grid *grid = NULL;
    struct ims_tree *tree = NULL;
    imgsim_status status;
    double total;

    job.attraction = ims_calloc(m * d, sizeof(float));
    job.repulsion = ims_calloc(room * d, sizeof(float));
    job.update = ims_calloc(m * d, sizeof(float));
    job.totals = ims_calloc(m, sizeof(double));
    if (job.attraction == NULL || job.repulsion == NULL || job.update == NULL ||
        job.totals == NULL) {
        status = ims_fail_memory(room * d * sizeof(float));
        goto done;
    }
    /* The field of the map is computed once. */
    if ((status = d == 2 ? ims_grid_new(&grid) : ims_tree_new(&tree)) != IMGSIM_OK ||
        (status = d == 2 ? ims_grid_repulsion(
                               grid, placing->pool, placing->positions, n, job.repulsion, &total)
                         : ims_tree_repulsion(
                               tree, placing->pool, placing->positions, n, job.repulsion,
                               &total)) != IMGSIM_OK)
        goto done;
    status = descend(placing, &job, grid, tree);

done:
    ims_free(job.attraction);
    ims_free(job.repulsion);
    ims_free(job.update);
    ims_free(job.totals);
    ims_grid_free(grid);
    ims_tree_free(tree);
    return status;
}

/* ---- the request ---- */

static imgsim_status place_all(struct placing *placing, float *out_positions)
{
    const size_t n = placing->n, m = placing->m, d = placing->map->dimension;
    imgsim_status status;

    placing->neighbours = ims_alloc_array(m * placing->k, sizeof(uint32_t));
    placing->distances = ims_alloc_array(m * placing->k, sizeof(float));
    placing->positions = ims_alloc_array((n + m) * d, sizeof(float));
    if (placing->neighbours == NULL || placing->distances == NULL || placing->positions == NULL)
        return ims_fail_memory((n + m) * d * sizeof(float));
    memcpy(placing->positions, placing->map->positions, n * d * sizeof(float));
    ims_meter_phase(placing->meter, "neighbours", m);
    if ((status = ims_map_metric_init(&placing->metric, placing->known, placing->pool)) !=
            IMGSIM_OK ||
        (status = ims_pool_run(
             placing->pool, (m + QUERY_ROWS - 1) / QUERY_ROWS, search_rows, placing)) !=
            IMGSIM_OK ||
        (status = make_edges(placing)) != IMGSIM_OK)
        return status;
    start_points(placing);
    ims_meter_phase(placing->meter, "layout", m);
    status = placing->map->layout == IMGSIM_LAYOUT_TSNE ? place_tsne(placing) : place_umap(placing);
    if (status == IMGSIM_OK)
        memcpy(out_positions, placing->positions + n * d, m * d * sizeof(float));
    return status;
}

static imgsim_status check_request(
    const imgsim_map *map,
    const float *map_rows,
    uint32_t row_dimension,
    const float *rows,
    size_t row_count,
    const float *out_positions)
{
    imgsim_status status;

    if (map == NULL || map_rows == NULL ||
        (row_count > 0 && (rows == NULL || out_positions == NULL)))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "map and rows must not be NULL");
    if (map->layout == IMGSIM_LAYOUT_PCA)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "a PCA map takes no new points; project them instead");
    if (row_dimension == 0 || row_dimension > IMS_PROJECTOR_DIMENSION_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "rows of %u values, expected 1 to %d", row_dimension,
            IMS_PROJECTOR_DIMENSION_MAX);
    if (row_count > INT32_MAX / 4 - map->count)
        return ims_fail(IMGSIM_ERROR_LIMIT, "%zu rows are too many at once", row_count);
    if ((status = ims_check_finite(map_rows, map->count, row_dimension, 0)) != IMGSIM_OK)
        return status;
    return ims_check_finite(rows, row_count, row_dimension, 0);
}

imgsim_status ims_map_place_rows(
    const imgsim_map *map,
    const struct ims_map_rows *known,
    const struct ims_map_rows *rows,
    const imgsim_map_options *options,
    float *out_positions)
{
    struct ims_meter meter = {0};
    struct placing placing = {0};
    imgsim_status status;

    placing.map = map;
    placing.known = known;
    placing.rows = rows;
    placing.options = options;
    placing.meter = &meter;
    placing.n = map->count;
    placing.m = rows->count;
    placing.k = map->neighbour_count;
    if (map->layout == IMGSIM_LAYOUT_TSNE && placing.k > TSNE_NEIGHBOURS)
        placing.k = TSNE_NEIGHBOURS;
    ims_meter_start(&meter, options->progress, options->progress_data);
    if ((status = ims_pool_new(options->threads, &placing.pool)) == IMGSIM_OK)
        status = place_all(&placing, out_positions);
    ims_map_metric_clear(&placing.metric);
    ims_free(placing.neighbours);
    ims_free(placing.distances);
    ims_free(placing.positions);
    ims_map_edges_clear(&placing.edges);
    ims_pool_free(placing.pool);
    return status;
}

imgsim_status imgsim_map_place(
    const imgsim_map *map,
    const float *map_rows,
    uint32_t row_dimension,
    const float *rows,
    size_t row_count,
    const imgsim_map_options *options,
    float *out_positions)
{
    struct ims_map_rows known, fresh;
    imgsim_map_options settings;
    imgsim_status status;

    if ((status = check_request(map, map_rows, row_dimension, rows, row_count, out_positions)) !=
            IMGSIM_OK ||
        (status = ims_map_options_read(options, map->count, &settings)) != IMGSIM_OK ||
        row_count == 0)
        return status;
    known = (struct ims_map_rows){
        map_rows, NULL, map->count, row_dimension, map->metric == IMGSIM_METRIC_COSINE, false};
    fresh = known;
    fresh.base = rows;
    fresh.count = row_count;
    return ims_map_place_rows(map, &known, &fresh, &settings, out_positions);
}
