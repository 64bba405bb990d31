/* SPDX-License-Identifier: Apache-2.0 */
/*
 * t-SNE: van der Maaten & Hinton, JMLR 9, 2008, with PCA start and learning rate n / exaggeration (Kobak & Berens, Nature
 * Communications 10, 2019; Belkina et al., ibid.), momentum and gains as in van der Maaten's programs. The factor 4 of the gradient
 * is left out, as is usual; the learning rate takes it in.
 */
#include "map/map_layout.h"

#include "core/memory.h"
#include "core/rng.h"
#include "map/map_kernels.h"
#include "map/map_order.h"
#include "map/tsne_repulsion.h"

#include <math.h>
#include <string.h>

#define EPOCHS 750
#define MOMENTUM 0.8f
#define GAIN_LEAST 0.01f
#define STEP_MOST 5.0f
/* Deviation of the start's first axis, and the jitter that parts identical rows, as a share of it. */
#define START_DEVIATION 1e-4
#define JITTER 0.01
#define POINTS 1024
/* Epochs before which points are numbered along the map anew; later it changes little. */
static const uint32_t renumber_before[] = {0, 40, 120, 300};

struct descent {
    const struct ims_map_job *job;
    struct ims_map_edges *edges;
    uint32_t *order; /* number before of each point */
    size_t n;
    uint32_t d;
    float *positions;
    float *attraction; /* n x d */
    float *repulsion;  /* n x d */
    float *update;     /* n x d */
    float *gains;      /* n x d */
    double *sums;      /* per task: d coordinates, or a divergence */
    struct ims_grid *grid;
    struct ims_tree *tree;
    float exaggeration;
    float rate;
    double total; /* Z */
    uint32_t epoch;
    bool divergence;
};

static size_t task_count(const struct descent *descent)
{
    return (descent->n + POINTS - 1) / POINTS;
}

static size_t task_end(const struct descent *descent, size_t item)
{
    return (item + 1) * POINTS < descent->n ? (item + 1) * POINTS : descent->n;
}

static imgsim_status attract_points(void *context, size_t item, uint32_t worker)
{
    struct descent *descent = context;
    const struct ims_tsne_edges edges = {
        descent->edges->starts, descent->edges->targets, descent->edges->weights,
        descent->positions, descent->d};
    const size_t first = item * POINTS;

    (void)worker;
    descent->sums[item * descent->d] = ims_map_kernels()->tsne_attract(
        &edges, first, task_end(descent, item), descent->divergence,
        descent->attraction + first * descent->d);
    return IMGSIM_OK;
}

/* Both kinds of forces at the present positions, and Z. */
static imgsim_status find_forces(struct descent *descent)
{
    struct ims_pool *pool = descent->job->pool;
    imgsim_status status;

    if ((status = ims_pool_run(pool, task_count(descent), attract_points, descent)) != IMGSIM_OK)
        return status;
    status = descent->d == 2 ? ims_grid_repulsion(
                                   descent->grid, pool, descent->positions, descent->n,
                                   descent->repulsion, &descent->total)
                             : ims_tree_repulsion(
                                   descent->tree, pool, descent->positions, descent->n,
                                   descent->repulsion, &descent->total);
    if (!(descent->total > 1e-30))
        descent->total = 1e-30;
    return status;
}

/* One step of a point: gains grow where the way is straight, shrink where it turns back. */
static void step_point(const struct descent *descent, size_t point, float inverse_total)
{
    float square = 0.0f;

    for (size_t i = point * descent->d; i < (point + 1) * descent->d; i++) {
        const float gradient =
            descent->exaggeration * descent->attraction[i] - descent->repulsion[i] * inverse_total;
        const float update = descent->update[i];
        const bool straight =
            (update > 0.0f) - (update < 0.0f) != (gradient > 0.0f) - (gradient < 0.0f);
        const float gain =
            straight ? descent->gains[i] + 0.2f : descent->gains[i] * 0.8f + GAIN_LEAST;

        descent->gains[i] = gain;
        descent->update[i] = MOMENTUM * update - descent->rate * gain * gradient;
        square += descent->update[i] * descent->update[i];
    }
    if (square > STEP_MOST * STEP_MOST) {
        const float cut = STEP_MOST / sqrtf(square);

        for (size_t i = point * descent->d; i < (point + 1) * descent->d; i++)
            descent->update[i] *= cut;
    }
}

static imgsim_status step_points(void *context, size_t item, uint32_t worker)
{
    struct descent *descent = context;
    const float inverse_total = (float)(1.0 / descent->total);
    double sums[IMGSIM_MAP_DIMENSION_MAX] = {0.0};

    (void)worker;
    for (size_t point = item * POINTS; point < task_end(descent, item); point++) {
        step_point(descent, point, inverse_total);
        for (uint32_t c = 0; c < descent->d; c++) {
            descent->positions[point * descent->d + c] += descent->update[point * descent->d + c];
            sums[c] += descent->positions[point * descent->d + c];
        }
    }
    memcpy(descent->sums + item * descent->d, sums, descent->d * sizeof(double));
    return IMGSIM_OK;
}

/* Keep the map around 0. */
static void centre(const struct descent *descent)
{
    float means[IMGSIM_MAP_DIMENSION_MAX];

    for (uint32_t c = 0; c < descent->d; c++) {
        double sum = 0.0;

        for (size_t item = 0; item < task_count(descent); item++)
            sum += descent->sums[item * descent->d + c];
        means[c] = (float)(sum / (double)descent->n);
    }
    for (size_t i = 0; i < descent->n; i++)
        for (uint32_t c = 0; c < descent->d; c++)
            descent->positions[i * descent->d + c] -= means[c];
}

/* Number the points along the map, and everything that they have. */
static imgsim_status renumber(struct descent *descent)
{
    const size_t n = descent->n, d = descent->d;
    uint32_t *order = ims_alloc_array(n, sizeof(uint32_t));
    imgsim_status status;

    if (order == NULL)
        return ims_fail_memory(n * sizeof(uint32_t));
    if ((status = ims_map_curve(descent->positions, n, descent->d, order)) != IMGSIM_OK ||
        (status = ims_map_renumber(descent->edges, order, descent->job->pool)) != IMGSIM_OK ||
        (status = ims_map_permute(descent->positions, n, d, order, false)) != IMGSIM_OK ||
        (status = ims_map_permute(descent->update, n, d, order, false)) != IMGSIM_OK ||
        (status = ims_map_permute(descent->gains, n, d, order, false)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < n; i++)
        order[i] = descent->order[order[i]];
    memcpy(descent->order, order, n * sizeof(uint32_t));

done:
    ims_free(order);
    return status;
}

static imgsim_status begin_epoch(struct descent *descent)
{
    const size_t times = sizeof(renumber_before) / sizeof(renumber_before[0]);

    for (size_t i = 0; i < times; i++)
        if (descent->epoch == renumber_before[i])
            return renumber(descent);
    return IMGSIM_OK;
}

static imgsim_status run_phase(struct descent *descent, double exaggeration, uint32_t epochs)
{
    const imgsim_map_options *options = descent->job->options;
    imgsim_status status = IMGSIM_OK;

    descent->exaggeration = (float)exaggeration;
    descent->rate =
        (float)(options->learning_rate > 0.0 ? options->learning_rate : fmax((double)descent->n / exaggeration, 50.0 / 4.0));
    memset(descent->update, 0, descent->n * descent->d * sizeof(float));
    for (uint32_t epoch = 0; epoch < epochs && status == IMGSIM_OK; epoch++) {
        if ((status = begin_epoch(descent)) != IMGSIM_OK ||
            (status = find_forces(descent)) != IMGSIM_OK ||
            (status = ims_pool_run(
                 descent->job->pool, task_count(descent), step_points, descent)) != IMGSIM_OK)
            break;
        centre(descent);
        descent->epoch++;
        atomic_fetch_add(&descent->job->meter->done, 1);
        status = ims_meter_tick(descent->job->meter, false);
    }
    return status;
}

/* sum p log p + sum p log(1 + r^2) + log Z */
static imgsim_status measure(struct descent *descent)
{
    const struct ims_map_edges *edges = descent->edges;
    imgsim_status status;
    double kl;

    descent->divergence = true;
    if ((status = find_forces(descent)) != IMGSIM_OK)
        return status;
    kl = log(descent->total);
    for (size_t item = 0; item < task_count(descent); item++)
        kl += descent->sums[item * descent->d];
    for (uint64_t e = 0; e < edges->starts[edges->count]; e++)
        kl += edges->weights[e] * log(edges->weights[e]);
    descent->job->map->kl = kl;
    return IMGSIM_OK;
}

static imgsim_status descent_init(struct descent *descent)
{
    const size_t size = descent->n * descent->d;
    imgsim_status status;

    descent->attraction = ims_alloc_aligned(size * sizeof(float));
    descent->repulsion = ims_alloc_aligned(size * sizeof(float));
    descent->update = ims_alloc_aligned(size * sizeof(float));
    descent->gains = ims_alloc_aligned(size * sizeof(float));
    descent->order = ims_alloc_array(descent->n, sizeof(uint32_t));
    descent->sums = ims_calloc(task_count(descent) * descent->d, sizeof(double));
    if (descent->attraction == NULL || descent->repulsion == NULL || descent->update == NULL ||
        descent->gains == NULL || descent->order == NULL || descent->sums == NULL)
        return ims_fail_memory(4 * size * sizeof(float));
    for (size_t i = 0; i < descent->n; i++)
        descent->order[i] = (uint32_t)i;
    for (size_t i = 0; i < size; i++)
        descent->gains[i] = 1.0f;
    status = descent->d == 2 ? ims_grid_new(&descent->grid) : ims_tree_new(&descent->tree);
    return status;
}

static void descent_clear(struct descent *descent)
{
    ims_free_aligned(descent->attraction);
    ims_free_aligned(descent->repulsion);
    ims_free_aligned(descent->update);
    ims_free_aligned(descent->gains);
    ims_free(descent->order);
    ims_free(descent->sums);
    ims_grid_free(descent->grid);
    ims_tree_free(descent->tree);
}

/* Scale the start so that its first axis has the wanted deviation, a little jittered. */
static void scale_start(const struct ims_map_job *job, float *positions)
{
    const size_t n = job->rows->count, d = job->options->dimension;
    double sum = 0.0, square = 0.0, deviation;
    struct ims_rng rng;

    ims_rng_init(&rng, job->options->seed);
    for (size_t i = 0; i < n; i++) {
        sum += positions[i * d];
        square += (double)positions[i * d] * positions[i * d];
    }
    sum /= (double)n;
    deviation = sqrt(fmax(square / (double)n - sum * sum, 0.0));
    for (size_t i = 0; i < n * d; i++)
        positions[i] =
            (float)((deviation > 0.0 ? positions[i] * START_DEVIATION / deviation : 0.0) + JITTER * START_DEVIATION * ims_rng_normal(&rng));
}

/* Both phases; a warm start needs no early exaggeration. The edges get other numbers. */
static imgsim_status descend(const struct ims_map_job *job, struct ims_map_edges *edges, bool warm)
{
    const imgsim_map_options *options = job->options;
    const uint32_t epochs = options->epochs > 0 ? options->epochs : EPOCHS;
    const uint32_t early = warm ? 0 : epochs / 3;
    struct descent descent = {
        .job = job,
        .edges = edges,
        .n = edges->count,
        .d = options->dimension,
        .positions = job->map->positions,
    };
    imgsim_status status;

    ims_meter_phase(job->meter, "layout", epochs);
    if ((status = descent_init(&descent)) == IMGSIM_OK &&
        (status = run_phase(&descent, options->early_exaggeration, early)) == IMGSIM_OK &&
        (status = run_phase(&descent, options->late_exaggeration, epochs - early)) == IMGSIM_OK)
        status = measure(&descent);
    if (status == IMGSIM_OK)
        status = ims_map_permute(descent.positions, descent.n, descent.d, descent.order, true);
    descent_clear(&descent);
    return status;
}

imgsim_status ims_tsne_layout(const struct ims_map_job *job)
{
    const imgsim_map *map = job->map;
    const uint32_t k = map->neighbour_count;
    const double perplexity = fmin(job->options->perplexity, (double)k / 3.0);
    float *weights = ims_alloc_array(map->count * k, sizeof(float));
    struct ims_map_edges edges = {0};
    imgsim_status status;
    bool warm = false;

    if (weights == NULL)
        return ims_fail_memory(map->count * k * sizeof(float));
    status = ims_tsne_weights(job, k, fmax(perplexity, 1.0), map->distances, weights);
    if (status == IMGSIM_OK)
        status = ims_map_symmetric(job, k, map->neighbours, weights, IMS_UNION_MEAN, &edges);
    ims_free(weights);
    if (status == IMGSIM_OK)
        status = ims_map_start(
            job, &edges,
            job->options->start == IMGSIM_START_SPECTRAL ? IMGSIM_START_SPECTRAL : IMGSIM_START_PCA,
            map->positions, &warm);
    if (status == IMGSIM_OK) {
        if (!warm)
            scale_start(job, map->positions);
        status = descend(job, &edges, warm);
    }
    ims_map_edges_clear(&edges);
    return status;
}
