/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeds of k-means: greedy k-means++ (Arthur & Vassilvitskii, SODA 2007): each next seed is the best of a few rows drawn with
 * probability proportional to their squared distance to the seeds so far.
 *
 * Departures: beyond 64 values distances are estimated from 64 of the values of a randomised Hadamard transform (Ailon & Chazelle,
 * SIAM J. Comput. 39(1), 2009; Tropp, Adv. Adapt. Data Anal. 3, 2011): seeds are draws anyway. Beyond a number of rows seeds are
 * drawn from a sample. Every sum has a fixed order, so that the seeds are the same on every instruction set.
 */
#include "cluster/cluster.h"

#include "core/memory.h"
#include "core/rng.h"
#include "simd/kernels.h"

#include <math.h>
#include <string.h>

#define SKETCH_VALUES 64
#define BLOCK_ROWS ((size_t)IMS_COLUMN_ROWS)
#define SAMPLE_ROWS ((size_t)131072)
#define SAMPLE_PER_SEED 16
#define TRIALS_MAX 16

struct seeding {
    const struct ims_cluster_job *job;
    const int64_t *sample; /* row numbers, or NULL: all rows */
    size_t n;              /* rows that take part */
    size_t m;              /* values of a sketch */
    size_t padded;         /* values of the transform, a power of two; 0: rows as they are */
    size_t blocks;
    const float *signs;     /* padded */
    const uint32_t *chosen; /* m values of the transform */
    float *sketch;          /* blocks x m x BLOCK_ROWS */
    float *work;            /* padded per worker */
    float *nearest;         /* blocks x BLOCK_ROWS: squared distance to the seeds so far */
    double *sums;           /* blocks x (trials + 1) */
    size_t trials;
    float points[TRIALS_MAX][SKETCH_VALUES];
};

static const float *row_of(const struct seeding *s, size_t i)
{
    return s->job->rows + (size_t)(s->sample != NULL ? s->sample[i] : (int64_t)i) * s->job->d;
}

/* Walsh-Hadamard transform in place; additions of whole stretches, whatever the vector length. */
static void transform(float *values, size_t count)
{
    for (size_t half = 1; half < count; half *= 2)
        for (size_t first = 0; first < count; first += 2 * half)
            for (size_t i = first; i < first + half; i++) {
                const float x = values[i], y = values[i + half];

                values[i] = x + y;
                values[i + half] = x - y;
            }
}

static imgsim_status sketch_block(void *context, size_t item, uint32_t worker)
{
    struct seeding *s = context;
    float *block = s->sketch + item * s->m * BLOCK_ROWS;
    float *work = s->work + worker * s->padded;

    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        const size_t i = item * BLOCK_ROWS + r < s->n ? item * BLOCK_ROWS + r : s->n - 1;
        const float *row = row_of(s, i);

        if (s->padded == 0) {
            for (size_t j = 0; j < s->m; j++)
                block[j * BLOCK_ROWS + r] = row[j];
            continue;
        }
        for (size_t j = 0; j < s->job->d; j++)
            work[j] = row[j] * s->signs[j];
        memset(work + s->job->d, 0, (s->padded - s->job->d) * sizeof(float));
        transform(work, s->padded);
        for (size_t j = 0; j < s->m; j++)
            block[j * BLOCK_ROWS + r] = work[s->chosen[j]];
    }
    return IMGSIM_OK;
}

/* Rows of a block that exist. */
static size_t block_rows(const struct seeding *s, size_t block)
{
    return s->n - block * BLOCK_ROWS < BLOCK_ROWS ? s->n - block * BLOCK_ROWS : BLOCK_ROWS;
}

/* What the sum of the nearest distances would be with each trial as the next seed. */
static imgsim_status try_block(void *context, size_t item, uint32_t worker)
{
    struct seeding *s = context;
    const float *nearest = s->nearest + item * BLOCK_ROWS;
    float squares[BLOCK_ROWS];

    (void)worker;
    for (size_t t = 0; t < s->trials; t++) {
        double sum[8] = {0};
        const size_t rows = block_rows(s, item);

        ims_kernels()->columns_l2_squared(
            s->sketch + item * s->m * BLOCK_ROWS, s->points[t], s->m, squares);
        for (size_t r = 0; r < rows; r++)
            sum[r % 8] += squares[r] < nearest[r] ? squares[r] : nearest[r];
        s->sums[t * s->blocks + item] =
            ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
    }
    return IMGSIM_OK;
}

/* Take points[0] as a seed: nearest distances and, per block, their sum in the last row of sums. */
static imgsim_status take_block(void *context, size_t item, uint32_t worker)
{
    struct seeding *s = context;
    float *nearest = s->nearest + item * BLOCK_ROWS;
    float squares[BLOCK_ROWS];
    double sum = 0;

    (void)worker;
    ims_kernels()->columns_l2_squared(
        s->sketch + item * s->m * BLOCK_ROWS, s->points[0], s->m, squares);
    for (size_t r = 0; r < block_rows(s, item); r++) {
        if (squares[r] < nearest[r])
            nearest[r] = squares[r];
        sum += nearest[r];
    }
    s->sums[TRIALS_MAX * s->blocks + item] = sum;
    return IMGSIM_OK;
}

static void load_point(struct seeding *s, size_t trial, size_t i)
{
    const float *block = s->sketch + i / BLOCK_ROWS * s->m * BLOCK_ROWS + i % BLOCK_ROWS;

    for (size_t j = 0; j < s->m; j++)
        s->points[trial][j] = block[j * BLOCK_ROWS];
}

/* The row where the running sum of nearest distances passes `wanted`. */
static size_t draw(const struct seeding *s, double wanted)
{
    const double *sums = s->sums + TRIALS_MAX * s->blocks;
    size_t block = 0, i;

    while (block + 1 < s->blocks && wanted >= sums[block])
        wanted -= sums[block++];
    i = block * BLOCK_ROWS;
    while (i + 1 < s->n && i + 1 < (block + 1) * BLOCK_ROWS && wanted >= s->nearest[i])
        wanted -= s->nearest[i++];
    return i;
}

static double sum_blocks(const struct seeding *s, size_t trial)
{
    double sum = 0;

    for (size_t block = 0; block < s->blocks; block++)
        sum += s->sums[trial * s->blocks + block];
    return sum;
}

/* The first row that is no seed yet: where all rows are as near as can be. */
static size_t first_free(const struct seeding *s, const size_t *seeds, size_t count)
{
    for (size_t i = 0; i < s->n; i++) {
        bool taken = false;

        for (size_t j = 0; j < count && !taken; j++)
            taken = seeds[j] == i;
        if (!taken)
            return i;
    }
    return 0;
}

/* Draw trials, keep the best in points[0]; gives its row. */
static imgsim_status next_seed(
    struct seeding *s,
    struct ims_rng *rng,
    const size_t *seeds,
    size_t count,
    size_t *out_row)
{
    const double total = sum_blocks(s, TRIALS_MAX);
    size_t rows[TRIALS_MAX], best = 0;
    double best_sum = HUGE_VAL;
    imgsim_status status;

    if (!(total > 0)) {
        *out_row = first_free(s, seeds, count);
        load_point(s, 0, *out_row);
        return IMGSIM_OK;
    }
    for (size_t t = 0; t < s->trials; t++) {
        rows[t] = draw(s, ims_rng_double(rng) * total);
        load_point(s, t, rows[t]);
    }
    if ((status = ims_pool_run(s->job->pool, s->blocks, try_block, s)) != IMGSIM_OK)
        return status;
    for (size_t t = 0; t < s->trials; t++) {
        const double sum = sum_blocks(s, t);

        if (sum < best_sum) {
            best_sum = sum;
            best = t;
        }
    }
    *out_row = rows[best];
    load_point(s, 0, *out_row);
    return IMGSIM_OK;
}

static imgsim_status draw_seeds(struct seeding *s, size_t k, struct ims_rng *rng, size_t *out)
{
    imgsim_status status = IMGSIM_OK;

    for (size_t i = 0; i < s->blocks * BLOCK_ROWS; i++)
        s->nearest[i] = HUGE_VALF;
    for (size_t c = 0; c < k && status == IMGSIM_OK; c++) {
        if (c == 0) {
            out[0] = (size_t)ims_rng_below(rng, s->n);
            load_point(s, 0, out[0]);
        } else {
            status = next_seed(s, rng, out, c, &out[c]);
        }
        if (status == IMGSIM_OK)
            status = ims_pool_run(s->job->pool, s->blocks, take_block, s);
        atomic_fetch_add(&s->job->meter->done, 1);
        if (status == IMGSIM_OK)
            status = ims_meter_tick(s->job->meter, false);
    }
    return status;
}

/* `count` of n numbers, rising: Vitter's selection sampling (Knuth, TAOCP 2, Algorithm S). */
static void draw_sample(struct ims_rng *rng, size_t n, size_t count, int64_t *out)
{
    size_t taken = 0;

    for (size_t i = 0; taken < count; i++)
        if (ims_rng_below(rng, n - i) < count - taken)
            out[taken++] = (int64_t)i;
}

/* The transform's signs and the values of it that are kept. */
static void draw_transform(struct seeding *s, struct ims_rng *rng, float *signs, uint32_t *chosen)
{
    int64_t kept[SKETCH_VALUES];

    for (size_t j = 0; j < s->padded; j++)
        signs[j] = (ims_rng_next(rng) >> 63) != 0 ? 1.0f : -1.0f;
    draw_sample(rng, s->padded, s->m, kept);
    for (size_t j = 0; j < s->m; j++)
        chosen[j] = (uint32_t)kept[j];
}

static size_t sample_size(size_t n, size_t k)
{
    const size_t wanted = k * SAMPLE_PER_SEED > SAMPLE_ROWS ? k * SAMPLE_PER_SEED : SAMPLE_ROWS;

    return n < wanted ? n : wanted;
}

static imgsim_status
prepare(struct seeding *s, size_t k, struct ims_rng *rng, int64_t *sample, float *signs)
{
    static const uint32_t none[1];
    uint32_t *chosen = NULL;
    imgsim_status status;

    (void)k;
    if (sample != NULL)
        draw_sample(rng, s->job->n, s->n, sample);
    s->sample = sample;
    s->signs = signs;
    s->chosen = none;
    if (s->padded > 0) {
        if ((chosen = ims_alloc_array(s->m, sizeof(*chosen))) == NULL)
            return ims_fail_memory(s->m * sizeof(*chosen));
        draw_transform(s, rng, signs, chosen);
        s->chosen = chosen;
    }
    status = ims_cluster_run(s->job, s->blocks, 0, sketch_block, s);
    ims_free(chosen);
    return status;
}

imgsim_status
ims_kmeans_seed(const struct ims_cluster_job *job, size_t k, uint64_t seed, int64_t *out_rows)
{
    struct seeding *s = ims_calloc(1, sizeof(*s));
    const size_t n = sample_size(job->n, k);
    const size_t threads = ims_pool_threads(job->pool);
    size_t *seeds = ims_alloc_array(k, sizeof(size_t));
    int64_t *sample = NULL;
    float *signs = NULL;
    struct ims_rng rng;
    imgsim_status status = ims_fail_memory(n * SKETCH_VALUES * sizeof(float));

    if (s == NULL || seeds == NULL)
        goto done;
    s->job = job;
    s->n = n;
    s->m = job->d <= SKETCH_VALUES ? job->d : SKETCH_VALUES;
    while (job->d > SKETCH_VALUES && s->padded < job->d)
        s->padded = s->padded == 0 ? SKETCH_VALUES : 2 * s->padded;
    s->blocks = (n + BLOCK_ROWS - 1) / BLOCK_ROWS;
    s->trials = 2 + (size_t)log((double)k);
    s->trials = s->trials > TRIALS_MAX ? TRIALS_MAX : s->trials;
    s->sketch = ims_alloc_aligned(s->blocks * s->m * BLOCK_ROWS * sizeof(float));
    s->nearest = ims_alloc_aligned(s->blocks * BLOCK_ROWS * sizeof(float));
    s->sums = ims_calloc(s->blocks * (TRIALS_MAX + 1), sizeof(double));
    s->work = ims_alloc_array(threads * s->padded, sizeof(float));
    signs = ims_alloc_array(s->padded, sizeof(float));
    if (n < job->n && (sample = ims_alloc_array(n, sizeof(int64_t))) == NULL)
        goto done;
    if (s->sketch == NULL || s->nearest == NULL || s->sums == NULL || s->work == NULL ||
        signs == NULL)
        goto done;

    ims_rng_init(&rng, seed);
    if ((status = prepare(s, k, &rng, sample, signs)) != IMGSIM_OK ||
        (status = draw_seeds(s, k, &rng, seeds)) != IMGSIM_OK)
        goto done;
    for (size_t c = 0; c < k; c++)
        out_rows[c] = sample != NULL ? sample[seeds[c]] : (int64_t)seeds[c];

done:
    if (s != NULL) {
        ims_free_aligned(s->sketch);
        ims_free_aligned(s->nearest);
        ims_free(s->sums);
        ims_free(s->work);
    }
    ims_free(s);
    ims_free(seeds);
    ims_free(sample);
    ims_free(signs);
    return status;
}
