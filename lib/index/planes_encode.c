/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows into planes: codes, and the two numbers that make a bound of them, rounded outward. The names follow
 * docs/exact-search.md: X a row less the mean, a = W X as computed, y = W^T c with c what the codes stand for, rho = X - y.
 */
#include "index/planes.h"

#include "core/memory.h"
#include "linalg/linalg.h"
#include "simd/reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Rows centred and turned at a time, and by one thread. */
#define ENCODE_ROWS 2048
#define ENCODE_BLOCK 64
/* Values added up in float at a time. */
#define PRODUCT_VALUES 512
#define CODE_MAX 127
/* Rows this much longer than is typical do not count: they pass every plane. */
#define REACH 64
/* Neither do those whose codes are this much worse, where the worst one counts for all. */
#define RESIDUAL 4
/* A little more than what falls below the normal range of floats can add up to. */
#define ABSOLUTE 1e-30
#define ROUNDING 1e-13

size_t ims_plane_bytes(const struct ims_planes *planes, uint32_t plane, size_t slot_count)
{
    const size_t rows = plane == 0
                            ? (slot_count + IMS_PLANE_ROWS - 1) / IMS_PLANE_ROWS * IMS_PLANE_ROWS
                            : slot_count;

    return rows * planes->planes[plane].record;
}

/* ---- one row ---- */

/* What there is to know about a row so far, over the axes up to some plane. */
struct row_sums {
    double squared;      /* |X|^2 */
    double turned;       /* |a|^2 */
    double coded;        /* |c|^2 */
    double product;      /* a . c */
    double residual;     /* |a - c|^2 */
    double codes;        /* sum of squared codes */
    double mean_product; /* mean . X */
    double base;         /* of the planes so far, as stored */
};

static void put_codes(
    const struct ims_planes *planes,
    const struct ims_plane *plane,
    const float *turned,
    uint8_t *out,
    size_t group_stride,
    struct row_sums *sums)
{
    for (uint32_t i = 0; i < plane->axes; i++) {
        const float value = turned[plane->start + i], step = planes->steps[plane->start + i];
        const float scaled = step > 0 ? value / step : 0;
        const int code = (int)(scaled < -CODE_MAX  ? -CODE_MAX
                               : scaled > CODE_MAX ? CODE_MAX
                                                   : scaled + (scaled < 0 ? -0.5f : 0.5f));
        const double coded = (double)step * code;

        out[i / 4 * group_stride + i % 4] = (uint8_t)(code + 128);
        sums->turned += (double)value * value;
        sums->coded += coded * coded;
        sums->product += value * coded;
        sums->residual += (value - coded) * (value - coded);
        sums->codes += (double)code * code;
    }
}

static float round_down(double value)
{
    const float nearest = (float)value;

    return (double)nearest > value ? nextafterf(nearest, -INFINITY) : nearest;
}

static float round_up(double value)
{
    return -round_down(-value);
}

/* Sums in float over parts of the row, then over the parts (see relative_error() in exact_score.c). */
double ims_planes_turning_error(const struct ims_planes *planes, size_t axes)
{
    const size_t parts = (planes->dimension + PRODUCT_VALUES - 1) / PRODUCT_VALUES;

    if (!planes->rotated)
        return FLT_EPSILON; /* of taking the mean away */
    return FLT_EPSILON + 1.01 * sqrt((double)axes) * (double)(PRODUCT_VALUES + parts + 24) *
                             (FLT_EPSILON / 2) * (1 + planes->delta);
}

/* Largest numbers met, by one thread. */
struct extremes {
    double reach;
    double code_norm;
    double base_size;
    double tail_size;
    double residual[IMS_PLANES_MAX];
};

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* What a plane adds to the row's base, and its tail after that plane. Rows that must pass get an infinite tail. */
static void put_numbers(
    const imgsim_index *index,
    const struct ims_planes *planes,
    uint32_t which,
    struct row_sums *sums,
    float *base,
    float *tail,
    struct extremes *extremes)
{
    const bool products = index->metric == IMGSIM_METRIC_INNER_PRODUCT;
    const struct ims_plane *plane = &planes->planes[which];
    const double delta = planes->delta, eta = planes->eta;
    const double length = sqrt(sums->squared), coded = sqrt(sums->coded);
    const double error =
        ims_planes_turning_error(planes, plane->start + plane->axes) * length * 1.01 + ABSOLUTE;
    const double residual = sqrt(sums->residual) * (1 + ROUNDING) + error + delta * coded;
    const double within = fmax(0, sqrt(sums->turned) - error);
    const double outside =
        sums->squared * (1 + 2 * FLT_EPSILON) - (1 - delta) * within * within + ABSOLUTE;
    double number, rest;

    if (planes->rotated)
        rest = sqrt(fmax(0, outside)) + 2 * delta * coded;
    else
        rest = products ? residual : 0;
    if (products)
        number = sums->mean_product;
    else
        number = (1 - delta - eta) * sums->coded + sums->squared - 2 * sums->product +
                 (1 - delta) * sums->coded - 2 * error * coded - 2 * FLT_EPSILON * sums->squared -
                 residual * residual / eta - ROUNDING * (sums->squared + sums->coded) - ABSOLUTE;
    number -= sums->base;
    *base = products ? (float)number : round_down(number);
    *tail = round_up(rest);
    if (!(length <= REACH * planes->typical) || !isfinite(*base) || !isfinite(*tail) ||
        (products && planes->rotated && residual > RESIDUAL * eta * planes->typical)) {
        *base = 0;
        *tail = INFINITY;
        return;
    }
    sums->base += *base;
    extremes->reach = larger(extremes->reach, length);
    extremes->code_norm = larger(extremes->code_norm, sqrt(sums->codes));
    extremes->base_size = larger(extremes->base_size, fabs((double)*base));
    extremes->tail_size = larger(extremes->tail_size, *tail);
    extremes->residual[which] = larger(extremes->residual[which], residual);
}

static void encode_row(
    const imgsim_index *index,
    struct ims_planes *planes,
    uint32_t slot,
    const float *centred,
    const float *turned,
    struct extremes *extremes)
{
    struct row_sums sums = {.squared = ims_exact_dot(centred, centred, planes->dimension)};

    if (index->metric == IMGSIM_METRIC_INNER_PRODUCT)
        sums.mean_product = ims_exact_dot(planes->mean, centred, planes->dimension);
    for (uint32_t which = 0; which < planes->count; which++) {
        const struct ims_plane *plane = &planes->planes[which];
        float base, tail;

        if (which == 0) {
            const size_t row = slot % IMS_PLANE_ROWS;
            uint8_t *block = plane->data + (slot - row) * plane->record;
            uint8_t *side = block + (size_t)plane->axes * IMS_PLANE_ROWS;

            put_codes(planes, plane, turned, block + 4 * row, 4 * IMS_PLANE_ROWS, &sums);
            put_numbers(index, planes, which, &sums, &base, &tail, extremes);
            memcpy(side + row * sizeof(float), &base, sizeof(base));
            memcpy(side + (IMS_PLANE_ROWS + row) * sizeof(float), &tail, sizeof(tail));
        } else {
            uint8_t *record = plane->data + (size_t)slot * plane->record;

            put_codes(planes, plane, turned, record, 4, &sums);
            put_numbers(index, planes, which, &sums, &base, &tail, extremes);
            memcpy(record + plane->axes, &base, sizeof(base));
            memcpy(record + plane->axes + sizeof(base), &tail, sizeof(tail));
        }
    }
}

void ims_planes_forget(struct ims_planes *planes, uint32_t slot)
{
    const struct ims_plane *plane = &planes->planes[0];
    const size_t row = slot % IMS_PLANE_ROWS;
    const float none = NAN; /* never the least estimate */

    if (slot < planes->slot_count)
        memcpy(
            plane->data + (slot - row) * plane->record + (size_t)plane->axes * IMS_PLANE_ROWS +
                row * sizeof(float),
            &none, sizeof(none));
}

static void keep_extremes(struct ims_planes *planes, const struct extremes *extremes)
{
    planes->reach = larger(planes->reach, extremes->reach);
    planes->code_norm = larger(planes->code_norm, extremes->code_norm);
    planes->base_size = larger(planes->base_size, extremes->base_size);
    planes->tail_size = larger(planes->tail_size, extremes->tail_size);
    for (uint32_t i = 0; i < planes->count; i++)
        planes->planes[i].residual = larger(planes->planes[i].residual, extremes->residual[i]);
}

/* ---- many rows ---- */

struct encoding {
    const imgsim_index *index;
    struct ims_planes *planes;
    size_t start; /* slot of the first row in the buffers */
    size_t count;
    float *centred;            /* ENCODE_ROWS x dimension */
    float *turned;             /* ENCODE_ROWS x axes */
    float *part;               /* the same, of some of the values */
    bool more;                 /* `part` is to be added to `turned` */
    struct extremes *extremes; /* per block of ENCODE_BLOCK rows */
};

static void encoding_clear(struct encoding *work)
{
    ims_free_aligned(work->centred);
    ims_free_aligned(work->turned);
    ims_free_aligned(work->part);
    ims_free(work->extremes);
}

static imgsim_status encoding_init(
    struct encoding *work,
    const imgsim_index *index,
    struct ims_planes *planes,
    size_t rows)
{
    const size_t axes = planes->axes, dimension = planes->dimension;

    *work = (struct encoding){.index = index, .planes = planes};
    work->centred = ims_alloc_aligned(rows * (dimension > axes ? dimension : axes) * sizeof(float));
    work->turned = ims_alloc_aligned(rows * axes * sizeof(float));
    work->part = ims_alloc_aligned(rows * axes * sizeof(float));
    work->extremes = ims_calloc(rows / ENCODE_BLOCK + 1, sizeof(*work->extremes));
    if (work->centred == NULL || work->turned == NULL || work->part == NULL ||
        work->extremes == NULL) {
        encoding_clear(work);
        return ims_fail_memory(rows * (dimension + 2 * axes) * sizeof(float));
    }
    return IMGSIM_OK;
}

static size_t block_end(const struct encoding *work, size_t block)
{
    const size_t end = (block + 1) * ENCODE_BLOCK;

    return end < work->count ? end : work->count;
}

static imgsim_status centre_rows(void *context, size_t block, uint32_t worker)
{
    struct encoding *work = context;
    const struct ims_planes *planes = work->planes;

    (void)worker;
    for (size_t i = block * ENCODE_BLOCK; i < block_end(work, block); i++)
        ims_planes_centre(
            work->index, planes, (uint32_t)(work->start + i),
            work->centred + i * planes->dimension);
    return IMGSIM_OK;
}

static imgsim_status add_part(void *context, size_t block, uint32_t worker)
{
    struct encoding *work = context;
    const size_t axes = work->planes->axes;

    (void)worker;
    for (size_t i = block * ENCODE_BLOCK * axes; i < block_end(work, block) * axes; i++)
        work->turned[i] = work->more ? work->turned[i] + work->part[i] : work->part[i];
    return IMGSIM_OK;
}

static imgsim_status encode_rows(void *context, size_t block, uint32_t worker)
{
    struct encoding *work = context;
    struct ims_planes *planes = work->planes;
    const size_t axes = planes->axes, dimension = planes->dimension;

    (void)worker;
    for (size_t i = block * ENCODE_BLOCK; i < block_end(work, block); i++) {
        const uint32_t slot = (uint32_t)(work->start + i);
        const float *centred = work->centred + i * dimension;
        float *turned = work->turned + i * axes;

        if (!planes->rotated) {
            memcpy(turned, centred, dimension * sizeof(float));
            memset(turned + dimension, 0, (axes - dimension) * sizeof(float));
        }
        encode_row(work->index, planes, slot, centred, turned, &work->extremes[block]);
        if (ims_rows_id(&work->index->rows, slot) < 0)
            ims_planes_forget(planes, slot);
    }
    return IMGSIM_OK;
}

/* a = W X for the rows in the buffer; sums over parts of the values, whose error ims_planes_turning_error() knows. */
static imgsim_status turn_rows(struct encoding *work, struct ims_pool *pool, size_t blocks)
{
    const struct ims_planes *planes = work->planes;
    const size_t axes = planes->axes, dimension = planes->dimension;
    imgsim_status status = IMGSIM_OK;

    for (size_t at = 0; at < dimension && status == IMGSIM_OK; at += PRODUCT_VALUES) {
        const size_t left = dimension - at;

        ims_gemm_nt(
            work->count, axes, left < PRODUCT_VALUES ? left : PRODUCT_VALUES, work->centred + at,
            dimension, planes->rotation + at, dimension, work->part, axes);
        work->more = at > 0;
        status = ims_pool_run(pool, blocks, add_part, work);
    }
    return status;
}

static imgsim_status encode_buffer(struct encoding *work, struct ims_pool *pool)
{
    const size_t blocks = (work->count + ENCODE_BLOCK - 1) / ENCODE_BLOCK;
    imgsim_status status;

    memset(work->extremes, 0, blocks * sizeof(*work->extremes));
    if ((status = ims_pool_run(pool, blocks, centre_rows, work)) != IMGSIM_OK ||
        (work->planes->rotated && (status = turn_rows(work, pool, blocks)) != IMGSIM_OK) ||
        (status = ims_pool_run(pool, blocks, encode_rows, work)) != IMGSIM_OK)
        return status;
    for (size_t block = 0; block < blocks; block++)
        keep_extremes(work->planes, &work->extremes[block]);
    return IMGSIM_OK;
}

/* ---- room ---- */

static imgsim_status resize(struct ims_planes *planes, size_t slot_capacity)
{
    uint8_t *data[IMS_PLANES_MAX] = {NULL};

    for (uint32_t i = 0; i < planes->count; i++)
        if ((data[i] = ims_alloc_aligned(ims_plane_bytes(planes, i, slot_capacity))) == NULL) {
            for (uint32_t j = 0; j < i; j++)
                ims_free_aligned(data[j]);
            return ims_fail_memory(ims_plane_bytes(planes, i, slot_capacity));
        }
    for (uint32_t i = 0; i < planes->count; i++) {
        const size_t used = ims_plane_bytes(planes, i, planes->slot_count);

        if (used > 0)
            memcpy(data[i], planes->planes[i].data, used);
        /* Slots of a block that have no row yet read as rows without one. */
        memset(data[i] + used, 0xff, ims_plane_bytes(planes, i, slot_capacity) - used);
        if (planes->owned)
            ims_free_aligned(planes->planes[i].data);
        planes->planes[i].data = data[i];
    }
    planes->slot_capacity = slot_capacity;
    return IMGSIM_OK;
}

imgsim_status ims_planes_own(struct ims_planes *planes)
{
    const size_t dimension = planes->dimension, axes = planes->axes;
    float *mean, *steps, *rotation = NULL;
    imgsim_status status;

    if (planes->owned)
        return IMGSIM_OK;
    mean = ims_alloc_array(dimension, sizeof(float));
    steps = ims_alloc_array(axes, sizeof(float));
    if (planes->rotated)
        rotation = ims_alloc_aligned(axes * dimension * sizeof(float));
    if (mean == NULL || steps == NULL || (planes->rotated && rotation == NULL))
        status = ims_fail_memory(axes * dimension * sizeof(float));
    else
        status = resize(planes, planes->slot_count);
    if (status != IMGSIM_OK) {
        ims_free(mean);
        ims_free(steps);
        ims_free_aligned(rotation);
        return status;
    }
    memcpy(mean, planes->mean, dimension * sizeof(float));
    memcpy(steps, planes->steps, axes * sizeof(float));
    if (planes->rotated)
        memcpy(rotation, planes->rotation, axes * dimension * sizeof(float));
    planes->mean = mean;
    planes->steps = steps;
    planes->rotation = rotation;
    planes->owned = true;
    return IMGSIM_OK;
}

imgsim_status ims_planes_extend(
    const imgsim_index *index,
    struct ims_planes *planes,
    struct ims_pool *pool,
    struct ims_meter *meter)
{
    const size_t total = index->rows.slot_count;
    struct encoding work;
    imgsim_status status;

    if (planes->slot_count >= total)
        return IMGSIM_OK;
    if ((status = ims_planes_own(planes)) != IMGSIM_OK)
        return status;
    if (total > planes->slot_capacity) {
        /* The first time just enough; room to grow when rows came later. */
        const size_t wanted = planes->slot_count > 0 ? total + total / 4 : total;

        if ((status = resize(planes, wanted)) != IMGSIM_OK)
            return status;
    }
    if ((status = encoding_init(
             &work, index, planes,
             total - planes->slot_count < ENCODE_ROWS ? total - planes->slot_count
                                                      : ENCODE_ROWS)) != IMGSIM_OK)
        return status;
    for (work.start = planes->slot_count; work.start < total && status == IMGSIM_OK;
         work.start += work.count) {
        const size_t left = total - work.start;

        work.count = left < ENCODE_ROWS ? left : ENCODE_ROWS;
        status = encode_buffer(&work, pool);
        if (status == IMGSIM_OK && meter != NULL) {
            atomic_fetch_add(&meter->done, work.count);
            status = ims_meter_tick(meter, false);
        }
    }
    if (status == IMGSIM_OK)
        planes->slot_count = total;
    encoding_clear(&work);
    return status;
}

imgsim_status
ims_planes_replace(const imgsim_index *index, struct ims_planes *planes, uint32_t slot)
{
    struct encoding work;
    imgsim_status status;

    if (slot >= planes->slot_count)
        return IMGSIM_OK;
    if ((status = encoding_init(&work, index, planes, 1)) != IMGSIM_OK)
        return status;
    work.start = slot;
    work.count = 1;
    status = encode_buffer(&work, NULL);
    encoding_clear(&work);
    return status;
}
