/* SPDX-License-Identifier: Apache-2.0 */
/* Places of rows and means along a few axes, from which bounds on their distances are made; memory of Lloyd's algorithm. */
#include "cluster/lloyd.h"

#include "core/memory.h"
#include "core/rng.h"
#include "linalg/linalg.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Rows up to this many values are compared whole; longer ones along so many axes first. */
#define WHOLE_MAX ((size_t)96)
#define AXES ((size_t)128)
/* The axes: principal ones, roughly, of so many rows by so many steps of subspace iteration. */
#define SAMPLE_ROWS ((size_t)2048)
#define STEPS 2
/* Rows of a tile of places, floats of the scores of a tile, and blocks of the sums for the mean. */
#define TILE_ROWS ((size_t)256)
#define SCORE_FLOATS ((size_t)1 << 19)
#define SUM_BLOCKS ((size_t)256)

double ims_float_margin(size_t d)
{
    /* Sums in four lanes or more lose at most d / 4 + 8 roundings; random ones, a few times the root of d. */
    return ((double)d / 4 + 8) * (FLT_EPSILON / 2);
}

/* ---- the mean ---- */

struct mean_job {
    const struct ims_cluster_job *job;
    double *sums; /* SUM_BLOCKS x d */
};

static imgsim_status sum_block(void *context, size_t item, uint32_t worker)
{
    const struct mean_job *m = context;
    const size_t n = m->job->n, d = m->job->d;
    const size_t length = (n + SUM_BLOCKS - 1) / SUM_BLOCKS;
    double *sums = m->sums + item * d;

    (void)worker;
    for (size_t i = item * length; i < n && i < (item + 1) * length; i++)
        for (size_t j = 0; j < d; j++)
            sums[j] += m->job->rows[i * d + j];
    return IMGSIM_OK;
}

static imgsim_status find_shift(struct ims_lloyd *l)
{
    const size_t d = l->job->d;
    struct mean_job m = {l->job, ims_calloc(SUM_BLOCKS * d, sizeof(double))};
    imgsim_status status;

    if (m.sums == NULL)
        return ims_fail_memory(SUM_BLOCKS * d * sizeof(double));
    status = ims_cluster_run(l->job, SUM_BLOCKS, 0, sum_block, &m);
    for (size_t block = 1; block < SUM_BLOCKS; block++)
        for (size_t j = 0; j < d; j++)
            m.sums[j] += m.sums[block * d + j];
    for (size_t j = 0; j < d; j++)
        l->shift[j] = (float)(m.sums[j] / (double)l->job->n);
    ims_free(m.sums);
    return status;
}

/* ---- axes ---- */

/* Take the earlier rows' directions out of row i and scale it to length 1, in double precision; rows that vanish become 0. */
static void orthonormalise_row(double *rows, size_t i, size_t d)
{
    double *row = rows + i * d;
    double before = 0, square = 0;

    for (size_t j = 0; j < d; j++)
        before += row[j] * row[j];
    for (int pass = 0; pass < 2; pass++)
        for (size_t e = 0; e < i; e++) {
            const double *earlier = rows + e * d;
            double lanes[4] = {0}, dot;
            size_t j = 0;

            for (; j + 4 <= d; j += 4)
                for (size_t lane = 0; lane < 4; lane++)
                    lanes[lane] += row[j + lane] * earlier[j + lane];
            for (; j < d; j++)
                lanes[0] += row[j] * earlier[j];
            dot = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
            for (j = 0; j < d; j++)
                row[j] -= dot * earlier[j];
        }
    for (size_t j = 0; j < d; j++)
        square += row[j] * row[j];
    for (size_t j = 0; j < d; j++)
        row[j] = square > 1e-16 * before && square > 0 ? row[j] / sqrt(square) : 0;
}

static imgsim_status orthonormalise(float *axes, size_t q, size_t d)
{
    double *rows = ims_alloc_array(q * d, sizeof(double));

    if (rows == NULL)
        return ims_fail_memory(q * d * sizeof(double));
    for (size_t i = 0; i < q * d; i++)
        rows[i] = axes[i];
    for (size_t i = 0; i < q; i++)
        orthonormalise_row(rows, i, d);
    for (size_t i = 0; i < q * d; i++)
        axes[i] = (float)rows[i];
    ims_free(rows);
    return IMGSIM_OK;
}

/*
 * Roughly principal axes by subspace iteration on a sample (Halko, Martinsson & Tropp, SIAM Review 53(2), 2011). They decide how
 * tight the bounds are, never what comes out.
 */
static imgsim_status find_axes(struct ims_lloyd *l)
{
    const size_t n = l->job->n, d = l->job->d, q = l->q;
    const size_t count = n < SAMPLE_ROWS ? n : SAMPLE_ROWS;
    float *sample = ims_alloc_aligned(count * d * sizeof(float));
    float *inside = ims_alloc_aligned(count * q * sizeof(float));
    struct ims_rng rng;
    imgsim_status status = IMGSIM_OK;

    if (sample == NULL || inside == NULL) {
        status = ims_fail_memory(count * d * sizeof(float));
        goto done;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < d; j++)
            sample[i * d + j] = l->job->rows[(size_t)((double)i / count * n) * d + j] - l->shift[j];
    ims_rng_init(&rng, 1);
    for (size_t i = 0; i < q * d; i++)
        l->axes[i] = (float)ims_rng_normal(&rng);
    for (int step = 0; step < STEPS && status == IMGSIM_OK; step++) {
        ims_gemm_nt(count, q, d, sample, d, l->axes, d, inside, q);
        ims_gemm_tn(q, d, count, inside, q, sample, d, l->axes, d);
        status = orthonormalise(l->axes, q, d);
    }

done:
    ims_free_aligned(sample);
    ims_free_aligned(inside);
    return status;
}

/* ---- places ---- */

/* The rest's length from what the whole and the part inside leave, and how far rounding may have put it off. */
static void place_rest(const struct ims_lloyd *l, const struct ims_places *out, size_t i)
{
    const double loss = 4.0 * l->margin * out->square[i];
    const double left = (double)out->square[i] - out->inside_square[i];
    const double low = sqrt(left - loss > 0 ? left - loss : 0);
    const double high = sqrt(left + loss > 0 ? left + loss : 0);

    out->rest[i] = (float)((low + high) / 2);
    out->width[i] = (float)((high - low) / 2 * (1 + 1e-6) + high * 1e-6);
}

void ims_lloyd_place(
    const struct ims_lloyd *l,
    const float *vectors,
    size_t count,
    float *work,
    const struct ims_places *out)
{
    const size_t d = l->job->d, q = l->q;

    for (size_t i = 0; i < count; i++) {
        double square = 0;

        for (size_t j = 0; j < d; j++) {
            work[i * d + j] = vectors[i * d + j] - l->shift[j];
            square += (double)work[i * d + j] * work[i * d + j];
        }
        out->square[i] = (float)square;
    }
    if (l->axes == NULL)
        memcpy(out->inside, work, count * d * sizeof(float));
    else
        ims_gemm_nt(count, q, d, work, d, l->axes, d, out->inside, q);
    for (size_t i = 0; i < count; i++) {
        double square = 0;

        for (size_t j = 0; j < q; j++)
            square += (double)out->inside[i * q + j] * out->inside[i * q + j];
        out->inside_square[i] = (float)square;
        if (l->axes == NULL)
            out->rest[i] = out->width[i] = 0;
        else
            place_rest(l, out, i);
    }
}

static struct ims_places places_from(const struct ims_places *places, size_t first, size_t q)
{
    return (struct ims_places){
        places->inside + first * q, places->inside_square + first, places->rest + first,
        places->width + first, places->square + first};
}

static imgsim_status place_tile(void *context, size_t item, uint32_t worker)
{
    const struct ims_lloyd *l = context;
    const size_t n = l->job->n, d = l->job->d, first = item * TILE_ROWS;
    const size_t count = n - first < TILE_ROWS ? n - first : TILE_ROWS;
    const struct ims_places out = places_from(&l->rows, first, l->q);

    ims_lloyd_place(
        l, l->job->rows + first * d, count, l->scratch + worker * l->scratch_size, &out);
    return IMGSIM_OK;
}

static imgsim_status place_means_tile(void *context, size_t item, uint32_t worker)
{
    const struct ims_lloyd *l = context;
    const size_t d = l->job->d, first = item * TILE_ROWS;
    const size_t count = l->k - first < TILE_ROWS ? l->k - first : TILE_ROWS;
    const struct ims_places out = places_from(&l->centres, first, l->q);

    ims_lloyd_place(l, l->means + first * d, count, l->scratch + worker * l->scratch_size, &out);
    return IMGSIM_OK;
}

void ims_lloyd_place_means(struct ims_lloyd *l)
{
    (void)ims_pool_run(l->job->pool, (l->k + TILE_ROWS - 1) / TILE_ROWS, place_means_tile, l);
}

/* ---- memory ---- */

static bool places_init(struct ims_places *places, size_t count, size_t q)
{
    size_t size;

    if (!ims_mul_size(count, q * sizeof(float), &size))
        return false;
    places->inside = ims_alloc_aligned(size);
    places->inside_square = ims_alloc_array(count, sizeof(float));
    places->rest = ims_alloc_array(count, sizeof(float));
    places->width = ims_alloc_array(count, sizeof(float));
    places->square = ims_alloc_array(count, sizeof(float));
    return places->inside != NULL && places->inside_square != NULL && places->rest != NULL &&
           places->width != NULL && places->square != NULL;
}

static void places_clear(struct ims_places *places)
{
    ims_free_aligned(places->inside);
    ims_free(places->inside_square);
    ims_free(places->rest);
    ims_free(places->width);
    ims_free(places->square);
}

static bool alloc_all(struct ims_lloyd *l)
{
    const size_t n = l->job->n, d = l->job->d, k = l->k;
    const size_t place = TILE_ROWS * d, score = SCORE_FLOATS + 8 * k + TILE_ROWS * 2 * l->q;

    l->scratch_size = place > score ? place : score;
    l->scratch =
        ims_alloc_aligned(ims_pool_threads(l->job->pool) * l->scratch_size * sizeof(float));
    l->shift = ims_calloc(d, sizeof(float));
    l->sums = ims_calloc(k * d, sizeof(double));
    l->counts = ims_calloc(k, sizeof(uint64_t));
    l->moves = ims_calloc(k, sizeof(float));
    l->before = ims_alloc_array(n, sizeof(int32_t));
    l->upper = ims_calloc(n, sizeof(float));
    l->far = ims_calloc(n, sizeof(float));
    l->slots = ims_calloc(n * IMS_LLOYD_SLOTS, sizeof(uint32_t));
    l->lower = ims_calloc(n * IMS_LLOYD_SLOTS, sizeof(float));
    l->slot_counts = ims_calloc(n, 1);
    l->rescan = ims_calloc(n, 1);
    l->list = ims_alloc_array(n, sizeof(int32_t));
    if (l->q < d)
        l->axes = ims_alloc_aligned(l->q * d * sizeof(float));
    return places_init(&l->rows, n, l->q) && places_init(&l->centres, k, l->q) &&
           l->scratch != NULL && l->shift != NULL && l->sums != NULL && l->counts != NULL &&
           l->moves != NULL && l->before != NULL && l->upper != NULL && l->far != NULL &&
           l->slots != NULL && l->lower != NULL && l->slot_counts != NULL && l->rescan != NULL &&
           l->list != NULL && (l->q == d || l->axes != NULL);
}

imgsim_status ims_lloyd_open(
    struct ims_lloyd *l,
    const struct ims_cluster_job *job,
    size_t k,
    float *means,
    int32_t *labels)
{
    imgsim_status status;
    double total = 0;

    memset(l, 0, sizeof(*l));
    l->job = job;
    l->k = k;
    l->q = job->d <= WHOLE_MAX ? job->d : AXES < job->d ? AXES : job->d;
    l->means = means;
    l->labels = labels;
    l->margin = (float)ims_float_margin(job->d);
    if (!alloc_all(l))
        return ims_fail_memory(job->n * (l->q + 2 * IMS_LLOYD_SLOTS) * sizeof(float));
    for (size_t i = 0; i < job->n; i++)
        labels[i] = l->before[i] = -1;
    if ((status = find_shift(l)) != IMGSIM_OK ||
        (l->axes != NULL && (status = find_axes(l)) != IMGSIM_OK))
        return status;
    status = ims_cluster_run(job, (job->n + TILE_ROWS - 1) / TILE_ROWS, 0, place_tile, l);
    for (size_t i = 0; i < job->n; i++)
        total += l->rows.square[i];
    l->spread = total / (double)job->n / (double)job->d;
    return status;
}

void ims_lloyd_close(struct ims_lloyd *l)
{
    places_clear(&l->rows);
    places_clear(&l->centres);
    ims_free_aligned(l->scratch);
    ims_free_aligned(l->axes);
    ims_free(l->shift);
    ims_free(l->sums);
    ims_free(l->counts);
    ims_free(l->moves);
    ims_free(l->before);
    ims_free(l->upper);
    ims_free(l->far);
    ims_free(l->slots);
    ims_free(l->lower);
    ims_free(l->slot_counts);
    ims_free(l->rescan);
    ims_free(l->list);
}
