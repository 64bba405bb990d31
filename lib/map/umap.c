/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UMAP: McInnes, Healy & Melville, arXiv:1802.03426. Attraction along the edges of the neighbour graph, each as often as its weight
 * says, and repulsion from strangers drawn at random.
 *
 * Departure: the paper moves both ends of one edge after another, so that the picture depends on how threads interleave. Here
 * points are cut into blocks, every BLOCKS-th point one; the points of a block move together, each by its own edges and
 * strangers in turn while all others stand still, then the next block does. A point moves by twice the pull of an edge, as the
 * other end's share. That is the same for any number of threads.
 */
#include "map/map_layout.h"

#include "core/memory.h"
#include "core/rng.h"
#include "map/map_kernels.h"

#include <math.h>
#include <string.h>

#define BLOCKS 16
#define ITEM_POINTS 256
/* Where the start is put before the layout, and the jitter that parts points at one place. */
#define START_SIZE 10.0
#define JITTER 1e-4

uint32_t ims_umap_epochs(const imgsim_map_options *options, size_t count)
{
    if (options->epochs > 0)
        return options->epochs;
    return count <= 10000 ? 500 : 200;
}

/* ---- pulls ---- */

/* Edges as the epochs read them: those of a block's points lie together. Zero it before use. */
struct pulls {
    uint64_t *starts; /* n + 1, by block and point */
    uint32_t *targets;
    uint32_t *rates;
};

static void pulls_clear(struct pulls *pulls)
{
    ims_free(pulls->starts);
    ims_free(pulls->targets);
    ims_free(pulls->rates);
}

/* Points of a block. */
static size_t block_size(size_t n, size_t block)
{
    return n > block ? (n - block - 1) / BLOCKS + 1 : 0;
}

/* Turn weights into rates, without the edges that are too weak to pull even once. */
static imgsim_status
pulls_init(struct pulls *pulls, const struct ims_map_edges *edges, uint32_t epochs)
{
    const size_t n = edges->count;
    uint64_t used = 0;
    size_t row = 0;
    float largest = 0.0f;

    pulls->starts = ims_alloc_array(n + 1, sizeof(uint64_t));
    /* The kernel reads whole vectors. */
    pulls->targets = ims_calloc(edges->starts[n] + IMS_LANES, sizeof(uint32_t));
    pulls->rates = ims_calloc(edges->starts[n] + IMS_LANES, sizeof(uint32_t));
    if (pulls->starts == NULL || pulls->targets == NULL || pulls->rates == NULL)
        return ims_fail_memory(edges->starts[n] * sizeof(uint32_t));
    for (uint64_t e = 0; e < edges->starts[n]; e++)
        if (edges->weights[e] > largest)
            largest = edges->weights[e];
    for (size_t block = 0; block < BLOCKS; block++)
        for (size_t i = block; i < n; i += BLOCKS) {
            pulls->starts[row++] = used;
            for (uint64_t e = edges->starts[i]; e < edges->starts[i + 1]; e++) {
                const double rate = (double)edges->weights[e] / largest;

                if (rate * epochs < 1.0)
                    continue;
                pulls->targets[used] = edges->targets[e];
                pulls->rates[used++] = (uint32_t)(rate * 4294967295.0);
            }
        }
    pulls->starts[row] = used;
    return IMGSIM_OK;
}

/* ---- the start ---- */

/* Fit every axis to 0 to START_SIZE, a little jittered. */
static void scale_start(const struct ims_map_job *job, float *positions)
{
    const size_t n = job->rows->count, d = job->options->dimension;
    struct ims_rng rng;
    double largest = 0.0;

    ims_rng_init(&rng, job->options->seed);
    for (size_t i = 0; i < n * d; i++)
        largest = fmax(largest, fabs(positions[i]));
    for (size_t i = 0; i < n * d; i++)
        positions[i] =
            (float)((largest > 0.0 ? positions[i] * START_SIZE / largest : 0.0) + JITTER * ims_rng_normal(&rng));
    for (size_t c = 0; c < d; c++) {
        float low = INFINITY, high = -INFINITY;

        for (size_t i = 0; i < n; i++) {
            low = fminf(low, positions[i * d + c]);
            high = fmaxf(high, positions[i * d + c]);
        }
        for (size_t i = 0; i < n; i++)
            positions[i * d + c] =
                high > low
                    ? (float)(START_SIZE * (positions[i * d + c] - low) / ((double)high - low))
                    : 0.0f;
    }
}

/* ---- epochs ---- */

struct block {
    const struct ims_umap_step *step;
    size_t first;
    size_t count; /* points of the block */
    float *moved;
};

static imgsim_status move_items(void *context, size_t item, uint32_t worker)
{
    const struct block *block = context;
    const size_t begin = item * ITEM_POINTS;
    const size_t end = begin + ITEM_POINTS < block->count ? begin + ITEM_POINTS : block->count;

    (void)worker;
    ims_map_kernels()->umap_move(block->step, block->first, BLOCKS, begin, end, block->moved);
    return IMGSIM_OK;
}

static imgsim_status run_epoch(
    const struct ims_map_job *job,
    const struct pulls *pulls,
    struct ims_umap_step *step,
    float *positions,
    float *moved)
{
    const size_t n = step->count, d = step->dimension;

    for (size_t b = 0; b < BLOCKS; b++) {
        /* Another order of the blocks every epoch. */
        const size_t first = (b * 5 + step->epoch * 7) % BLOCKS;
        struct block block = {step, first, block_size(n, first), moved};
        imgsim_status status;

        step->starts = pulls->starts;
        for (size_t before = 0; before < first; before++)
            step->starts += block_size(n, before);
        status = ims_pool_run(
            job->pool, (block.count + ITEM_POINTS - 1) / ITEM_POINTS, move_items, &block);
        if (status != IMGSIM_OK)
            return status;
        for (size_t i = 0; i < block.count; i++)
            memcpy(positions + (first + i * BLOCKS) * d, moved + i * d, d * sizeof(float));
    }
    return IMGSIM_OK;
}

static imgsim_status
run_epochs(const struct ims_map_job *job, const struct pulls *pulls, uint32_t epochs)
{
    const imgsim_map_options *options = job->options;
    const size_t n = job->map->count;
    const double alpha = options->learning_rate > 0.0 ? options->learning_rate : 1.0;
    float *moved = ims_alloc_array((n / BLOCKS + 1) * options->dimension, sizeof(float));
    struct ims_umap_step step = {
        .targets = pulls->targets,
        .rates = pulls->rates,
        .positions = job->map->positions,
        .count = (uint32_t)n,
        .dimension = options->dimension,
        .negatives = options->negatives,
        .repulsion = 1.0f,
    };
    imgsim_status status = IMGSIM_OK;
    double a, b;

    if (moved == NULL)
        return ims_fail_memory((n / BLOCKS + 1) * options->dimension * sizeof(float));
    ims_umap_curve(options->min_dist, options->spread, &a, &b);
    step.a = (float)a;
    step.b = (float)b;
    ims_meter_phase(job->meter, "layout", epochs);
    for (uint32_t epoch = 0; epoch < epochs && status == IMGSIM_OK; epoch++) {
        step.epoch = epoch;
        step.salt = (uint32_t)ims_mix64(options->seed + ((uint64_t)epoch << 32));
        step.alpha = (float)(alpha * (1.0 - (double)(epoch > 0 ? epoch - 1 : 0) / epochs));
        if ((status = run_epoch(job, pulls, &step, job->map->positions, moved)) == IMGSIM_OK) {
            atomic_fetch_add(&job->meter->done, 1);
            status = ims_meter_tick(job->meter, false);
        }
    }
    ims_free(moved);
    return status;
}

imgsim_status ims_umap_layout(const struct ims_map_job *job)
{
    const imgsim_map *map = job->map;
    const uint32_t k = map->neighbour_count;
    const uint32_t epochs = ims_umap_epochs(job->options, map->count);
    float *weights = ims_alloc_array(map->count * k, sizeof(float));
    struct ims_map_edges edges = {0};
    struct pulls pulls = {0};
    imgsim_status status;
    bool warm = false;

    if (weights == NULL)
        return ims_fail_memory(map->count * k * sizeof(float));
    if ((status = ims_umap_weights(job, k, map->distances, weights)) != IMGSIM_OK ||
        (status = ims_map_symmetric(job, k, map->neighbours, weights, IMS_UNION_FUZZY, &edges)) !=
            IMGSIM_OK ||
        (status = ims_map_start(
             job, &edges,
             job->options->start == IMGSIM_START_PCA ? IMGSIM_START_PCA : IMGSIM_START_SPECTRAL,
             map->positions, &warm)) != IMGSIM_OK)
        goto done;
    if (!warm)
        scale_start(job, map->positions);
    if ((status = pulls_init(&pulls, &edges, epochs)) != IMGSIM_OK)
        goto done;
    ims_map_edges_clear(&edges);
    status = run_epochs(job, &pulls, epochs);

done:
    ims_free(weights);
    pulls_clear(&pulls);
    ims_map_edges_clear(&edges);
    return status;
}
