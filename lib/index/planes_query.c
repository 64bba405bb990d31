/* SPDX-License-Identifier: Apache-2.0 */
/* A query for the planes, and the rows whose bounds let them pass. docs/exact-search.md has the derivation and the names. */
#include "index/planes.h"

#include "core/memory.h"
#include "simd/reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Values added up in float at a time, as for rows. */
#define PRODUCT_VALUES 512
/* Largest weight: 128 * 127 + 63. */
#define WEIGHT_MAX 16319
/* Operations in float from the numbers to a bound of the last plane. */
#define FLOAT_STEPS 48
#define ABSOLUTE 1e-30
/* Of keys in double precision, against the true ones. */
#define KEY_ROUNDING 1e-11
/* Of rows brought to length 1 in float: squared distances are off by 4 times the error of both. */
#define UNIT_ROUNDING 1e-6
/* Rows asked for ahead. */
#define AHEAD 12

/* What there is to know about a query. */
struct aim {
    const imgsim_index *index;
    const struct ims_planes *planes;
    double *turned; /* p: W Q */
    double squared; /* |Q|^2 */
    double share;   /* lambda: inner products only */
    double constant;
    double margin; /* so far: of the weights and of floats */
};

static bool by_products(const imgsim_index *index)
{
    return index->metric == IMGSIM_METRIC_INNER_PRODUCT;
}

/* Q: the query as rows are centred; for inner products less the share of the mean in it. */
static void centre_query(struct aim *aim, const struct ims_prepared_query *query, float *out)
{
    const imgsim_index *index = aim->index;
    const float *row = query->row, *mean = aim->planes->mean;
    const uint32_t dimension = index->dimension;
    const bool unit =
        index->metric == IMGSIM_METRIC_COSINE || index->metric == IMGSIM_METRIC_ANGULAR;
    const double scale = !unit ? 1 : query->norm > 0 ? 1 / query->norm : 0;

    if (by_products(index)) {
        const double squared = ims_exact_dot(mean, mean, dimension);
        const double product = ims_exact_dot(row, mean, dimension);

        aim->share = squared > 0 ? product / squared : 0;
        for (uint32_t i = 0; i < dimension; i++)
            out[i] = (float)((double)row[i] - aim->share * mean[i]);
        aim->constant = -product;
        /* Rounding of the products, of the share times a row's base, and of Q. */
        aim->margin = 1e-12 * query->norm * sqrt(squared) +
                      aim->planes->reach * (4 * FLT_EPSILON * fabs(aim->share) * sqrt(squared) +
                                            1e-12 * query->norm + FLT_EPSILON * query->norm);
    } else {
        for (uint32_t i = 0; i < dimension; i++)
            out[i] = (float)((double)row[i] * scale) - mean[i];
        aim->constant = 0;
        aim->margin = unit ? UNIT_ROUNDING : 0;
    }
    aim->squared = ims_exact_dot(out, out, dimension);
}

/* p = W Q, added up in double precision over parts of the values. */
static void turn_query(struct aim *aim, const float *centred)
{
    const struct ims_planes *planes = aim->planes;
    const size_t dimension = planes->dimension;
    const struct ims_kernels *kernels = ims_kernels();

    for (size_t axis = 0; axis < planes->axes; axis += 4) {
        for (size_t i = 0; i < 4; i++)
            aim->turned[axis + i] =
                !planes->rotated && axis + i < dimension ? centred[axis + i] : 0;
        for (size_t at = 0; planes->rotated && at < dimension; at += PRODUCT_VALUES) {
            const size_t left = dimension - at;
            float products[4];

            kernels->dot4(
                centred + at, planes->rotation + axis * dimension + at, dimension,
                left < PRODUCT_VALUES ? left : PRODUCT_VALUES, products);
            for (size_t i = 0; i < 4; i++)
                aim->turned[axis + i] += products[i];
        }
    }
}

/* Weights of a plane in whole numbers; returns what one is worth, and *out_error: how far sums may be off, codes of length 1. */
static double put_weights(
    const struct aim *aim,
    const struct ims_plane *plane,
    double factor,
    int8_t *high,
    int8_t *low,
    double *out_error,
    double *out_norm)
{
    double largest = 0, unit, off = 0, squares = 0;

    for (uint32_t i = 0; i < plane->axes; i++)
        largest = fmax(
            largest,
            fabs(factor * aim->turned[plane->start + i] * aim->planes->steps[plane->start + i]));
    unit = largest / WEIGHT_MAX;
    for (uint32_t i = 0; i < plane->axes; i++) {
        const double weight =
            factor * aim->turned[plane->start + i] * aim->planes->steps[plane->start + i];
        const int whole = unit > 0 && isfinite(unit) ? (int)lrint(weight / unit) : 0;
        const int upper = (whole + 64) >> 7;

        high[i] = (int8_t)upper;
        low[i] = (int8_t)(whole - 128 * upper);
        off += (weight - unit * whole) * (weight - unit * whole);
        squares += weight * weight;
    }
    *out_error = sqrt(off) * 1.0001;
    *out_norm = sqrt(squares) + 64 * unit * sqrt((double)plane->axes);
    return unit;
}

/* Constant and factors of a plane's bounds, from p over its axes and those before. */
static void
finish_plane(struct aim *aim, uint32_t which, double turned, struct ims_plane_query *out)
{
    const struct ims_planes *planes = aim->planes;
    const struct ims_plane *plane = &planes->planes[which];
    const double delta = planes->delta, eta = planes->eta, length = sqrt(turned);
    const double error =
        ims_planes_turning_error(planes, plane->start + plane->axes) * sqrt(aim->squared) * 1.01 +
        ABSOLUTE;
    const double stray = error + delta * length; /* |W q_T| */
    const double spread = 2 * error * length + delta * turned + 2 * FLT_EPSILON * aim->squared;
    const double residual = plane->residual;
    double outside_low = 0, outside_high = 0, constant;

    if (planes->rotated) {
        outside_low = fmax(0, aim->squared - turned - spread);
        outside_high = sqrt(fmax(0, aim->squared - turned + spread));
    }
    if (!by_products(aim->index)) {
        constant = (1 - delta - eta) * turned + outside_low -
                   (2 * residual * stray + stray * stray) / eta - 2 * stray * residual;
        out->base_factor = 1;
        out->tail_factor = (float)(2 * outside_high * (1 + FLT_EPSILON));
    } else {
        constant = aim->constant - error * (1.1 * planes->reach + residual);
        if (planes->rotated)
            constant -= (length + stray) * residual;
        out->base_factor = (float)-aim->share;
        out->tail_factor =
            (float)((planes->rotated ? outside_high : length + stray) * (1 + FLT_EPSILON));
    }
    aim->margin += FLOAT_STEPS * (FLT_EPSILON / 2) *
                   (fabs(constant) + 2 * fabs((double)out->base_factor) * planes->base_size +
                    2 * (double)out->tail_factor * planes->tail_size);
    out->constant = (float)(constant - aim->margin);
}

static void fill_planes(struct aim *aim, struct ims_plane_target *target)
{
    const struct ims_planes *planes = aim->planes;
    const double factor = by_products(aim->index) ? 1 : 2 * (1 - planes->delta - planes->eta);
    double turned = 0;

    for (uint32_t which = 0; which < planes->count; which++) {
        const struct ims_plane *plane = &planes->planes[which];
        struct ims_plane_query *out = &target->planes[which];
        int8_t *high = target->weights + 2 * (size_t)plane->start, *low = high + plane->axes;
        int32_t high_sum = 0, low_sum = 0;
        double error, norm;
        const double unit = put_weights(aim, plane, factor, high, low, &error, &norm);

        for (uint32_t i = 0; i < plane->axes; i++) {
            turned += aim->turned[plane->start + i] * aim->turned[plane->start + i];
            high_sum += high[i];
            low_sum += low[i];
        }
        *out = (struct ims_plane_query){
            .high = high,
            .low = low,
            .offset_high = 128 * high_sum,
            .offset_low = 128 * low_sum,
            .scale_high = (float)(128 * unit),
            .scale_low = (float)unit,
        };
        aim->margin += (error + FLOAT_STEPS * (FLT_EPSILON / 2) * norm) * planes->code_norm;
        finish_plane(aim, which, turned, out);
        target->usable = target->usable && isfinite(out->constant) && isfinite(out->tail_factor) &&
                         isfinite(out->scale_high) && isfinite(out->base_factor) &&
                         (unit == 0 || out->scale_low > FLT_MIN);
    }
}

imgsim_status ims_plane_target_init(
    const imgsim_index *index,
    const struct ims_planes *planes,
    const struct ims_prepared_query *query,
    struct ims_plane_target *target)
{
    struct aim aim = {.index = index, .planes = planes};
    float *centred;

    memset(target, 0, sizeof(*target));
    target->weights = ims_alloc_aligned(2 * (size_t)planes->axes + 64);
    centred = ims_alloc_array(planes->dimension, sizeof(float));
    aim.turned = ims_alloc_array(planes->axes, sizeof(double));
    if (target->weights == NULL || centred == NULL || aim.turned == NULL) {
        ims_free(centred);
        ims_free(aim.turned);
        ims_plane_target_clear(target);
        return ims_fail_memory(planes->dimension * sizeof(float));
    }
    centre_query(&aim, query, centred);
    turn_query(&aim, centred);
    target->usable = true;
    fill_planes(&aim, target);

    target->threshold_factor =
        index->metric == IMGSIM_METRIC_COSINE || index->metric == IMGSIM_METRIC_ANGULAR ? 2 : 1;
    target->threshold_addend =
        by_products(index)
            ? KEY_ROUNDING * query->norm *
                  (planes->reach +
                   sqrt(ims_exact_dot(planes->mean, planes->mean, planes->dimension)))
        : target->threshold_factor == 2 ? KEY_ROUNDING
                                        : ABSOLUTE;
    ims_free(centred);
    ims_free(aim.turned);
    return IMGSIM_OK;
}

void ims_plane_target_clear(struct ims_plane_target *target)
{
    ims_free_aligned(target->weights);
    target->weights = NULL;
}

float ims_plane_threshold(const struct ims_plane_target *target, double key)
{
    const double exact =
        target->threshold_factor * key + target->threshold_addend + KEY_ROUNDING * fabs(key);

    return nextafterf((float)exact, INFINITY);
}

double ims_plane_key(const struct ims_plane_target *target, double bound)
{
    return (bound - target->threshold_addend) / target->threshold_factor -
           KEY_ROUNDING * fabs(bound);
}

/* ---- rows that pass ---- */

bool ims_plane_list_reserve(struct ims_plane_list *list, size_t count)
{
    size_t slots = list->capacity, estimates = list->capacity, lower = list->capacity;

    if (count <= list->capacity)
        return true;
    if (!ims_grow((void **)&list->slots, &slots, count, sizeof(*list->slots)) ||
        !ims_grow((void **)&list->estimates, &estimates, count, sizeof(*list->estimates)) ||
        !ims_grow((void **)&list->lower, &lower, count, sizeof(*list->lower)))
        return false;
    list->capacity = slots < estimates ? slots : estimates;
    list->capacity = lower < list->capacity ? lower : list->capacity;
    return true;
}

void ims_plane_list_clear(struct ims_plane_list *list)
{
    ims_free(list->slots);
    ims_free(list->estimates);
    ims_free(list->lower);
    memset(list, 0, sizeof(*list));
}

const uint8_t *ims_plane_first_tail_at(const struct ims_planes *planes, size_t slot)
{
    const struct ims_plane *plane = &planes->planes[0];
    const size_t row = slot % IMS_PLANE_ROWS;

    return plane->data + (slot - row) * plane->record + (size_t)plane->axes * IMS_PLANE_ROWS +
           (IMS_PLANE_ROWS + row) * sizeof(float);
}

float ims_plane_first_tail(const struct ims_planes *planes, size_t slot)
{
    float tail;

    memcpy(&tail, ims_plane_first_tail_at(planes, slot), sizeof(tail));
    return tail;
}

bool ims_plane_pass_first(
    const struct ims_planes *planes,
    const struct ims_plane_target *target,
    size_t start,
    size_t count,
    const float *lower,
    float threshold,
    struct ims_plane_list *list)
{
    const float factor = target->planes[0].tail_factor;
    uint32_t *slots;
    size_t found;

    if (!ims_plane_list_reserve(list, list->count + count))
        return false;
    slots = list->slots + list->count;
    found = ims_kernels()->not_above(lower, count, threshold, slots);
    for (size_t i = 0; i < found; i++) {
        const float bound = lower[slots[i]];

        slots[i] += (uint32_t)start;
        list->lower[list->count + i] = bound;
        list->estimates[list->count + i] =
            planes->count > 1 ? bound + factor * ims_plane_first_tail(planes, slots[i]) : bound;
    }
    list->count += found;
    return true;
}

static inline void prefetch_record(const struct ims_plane *plane, uint32_t slot)
{
    const uint8_t *record = plane->data + (size_t)slot * plane->record;

    for (size_t at = 0; at < plane->record; at += 64)
        __builtin_prefetch(record + at);
}

void ims_plane_pass(
    const struct ims_planes *planes,
    const struct ims_plane_target *target,
    uint32_t which,
    float threshold,
    struct ims_plane_list *list,
    size_t from)
{
    const struct ims_plane *plane = &planes->planes[which];
    const struct ims_plane_query *query = &target->planes[which];
    const float constant = query->constant - target->planes[which - 1].constant;
    const int32_t offset = 128 * query->offset_high + query->offset_low;
    const struct ims_kernels *kernels = ims_kernels();
    size_t kept = from;

    for (size_t i = from; i < from + AHEAD && i < list->count; i++)
        prefetch_record(plane, list->slots[i]);
    for (size_t i = from; i < list->count; i += 4) {
        const size_t used = list->count - i < 4 ? list->count - i : 4;
        const uint8_t *rows[4];
        int32_t dots[4];

        for (size_t j = 0; j < 4; j++) {
            if (i + AHEAD + j < list->count)
                prefetch_record(plane, list->slots[i + AHEAD + j]);
            rows[j] = plane->data + (size_t)list->slots[i + (j < used ? j : 0)] * plane->record;
        }
        kernels->record_dots(rows, query->high, query->low, plane->axes, dots);
        for (size_t j = 0; j < used; j++) {
            const uint32_t slot = list->slots[i + j];
            float side[2], estimate, lower;

            memcpy(side, rows[j] + plane->axes, sizeof(side));
            estimate = list->estimates[i + j] + constant + query->base_factor * side[0] -
                       query->scale_low * (float)(dots[j] - offset);
            lower = estimate - query->tail_factor * side[1];
            /* Written in any case: which rows pass cannot be foreseen, and a wrong guess costs more. */
            list->slots[kept] = slot;
            list->estimates[kept] = estimate;
            list->lower[kept] = lower;
            kept += !(lower > threshold);
        }
    }
    list->count = kept;
}
