/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The assignment of Lloyd's algorithm: every row to its nearest mean, in double precision, at equal distance to the first.
 *
 * Most rows are settled by bounds kept from earlier rounds (Elkan, ICML 2003; Hamerly, SDM 2010), here one for each of a few near
 * means and one for all others. The rest are compared with all means by one product along a few axes, which bounds every distance
 * from below, and in full only with the means that this does not exclude. Float distances carry the margin of their rounding;
 * where that does not tell two means apart, double precision decides. So the result is the same on every instruction set.
 */
#include "cluster/lloyd.h"

#include "linalg/linalg.h"
#include "simd/kernels.h"
#include "simd/reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define ROWS_PER_ITEM ((size_t)512)
#define SCORE_FLOATS ((size_t)1 << 19)

/* The nearest mean so far: its squared distance lies between low and high; exact is below 0 until it is needed. */
struct nearest {
    int32_t mean;
    double low, high, exact;
};

static void
measure(const struct ims_lloyd *l, const float *row, size_t mean, double *out_low, double *out_high)
{
    const size_t d = l->job->d;
    const double square = ims_kernels()->l2_squared(row, l->means + mean * d, d);
    const double loss = square * 2 * l->margin + (double)d * FLT_MIN;

    *out_low = square - loss > 0 ? square - loss : 0;
    *out_high = square + loss;
}

/* Compare a mean, keep it if it is nearer; gives a lower bound on its squared distance. */
static double offer(const struct ims_lloyd *l, const float *row, size_t mean, struct nearest *best)
{
    const size_t d = l->job->d;
    double low, high, exact = -1;
    bool nearer;

    measure(l, row, mean, &low, &high);
    if (best->mean < 0 || high < best->low) {
        nearer = true;
    } else if (low > best->high) {
        nearer = false;
    } else {
        if (best->exact < 0)
            best->exact = ims_exact_l2_squared(row, l->means + (size_t)best->mean * d, d);
        exact = ims_exact_l2_squared(row, l->means + mean * d, d);
        nearer = exact < best->exact || (exact == best->exact && (int32_t)mean < best->mean);
    }
    if (nearer)
        *best = (struct nearest){(int32_t)mean, low, high, exact};
    return low;
}

static float round_up(double square)
{
    return (float)(sqrt(square) * (1 + 1e-6));
}

static float round_down(double square)
{
    return square > 0 ? (float)(sqrt(square) * (1 - 1e-6)) : 0.0f;
}

/* ---- by the bounds of before ---- */

/* Let the bounds follow the means' moves; gives the least distance that a mean other than the own may have. */
static float move_bounds(const struct ims_lloyd *l, size_t i)
{
    const uint32_t *slots = l->slots + i * IMS_LLOYD_SLOTS;
    float *lower = l->lower + i * IMS_LLOYD_SLOTS;
    float least;

    l->upper[i] = (l->upper[i] + l->moves[l->labels[i]]) * (1 + FLT_EPSILON);
    l->far[i] = (l->far[i] - l->move_most) * (1 - FLT_EPSILON);
    least = l->far[i];
    for (size_t s = 0; s < l->slot_counts[i]; s++) {
        lower[s] = (lower[s] - l->moves[slots[s]]) * (1 - FLT_EPSILON);
        least = lower[s] < least ? lower[s] : least;
    }
    return least;
}

/* Compare the means in slots that may be nearer. The old mean takes the slot of one that replaces it. */
static void settle_slots(struct ims_lloyd *l, size_t i, const float *row, struct nearest *best)
{
    uint32_t *slots = l->slots + i * IMS_LLOYD_SLOTS;
    float *lower = l->lower + i * IMS_LLOYD_SLOTS;

    for (size_t s = 0; s < l->slot_counts[i]; s++) {
        const struct nearest old = *best;
        double low;

        if (lower[s] > round_up(best->high))
            continue;
        low = offer(l, row, slots[s], best);
        lower[s] = round_down(low);
        if (best->mean != old.mean) {
            slots[s] = (uint32_t)old.mean;
            lower[s] = round_down(old.low);
        }
    }
}

static void settle_row(struct ims_lloyd *l, size_t i)
{
    const float *row = l->job->rows + i * l->job->d;
    struct nearest best = {l->labels[i], 0, 0, -1};
    const float least = move_bounds(l, i);

    if (l->upper[i] < least)
        return;
    measure(l, row, (size_t)best.mean, &best.low, &best.high);
    l->upper[i] = round_up(best.high);
    if (l->upper[i] < least)
        return;
    if (l->upper[i] >= l->far[i]) {
        l->rescan[i] = 1;
        return;
    }
    settle_slots(l, i, row, &best);
    l->labels[i] = best.mean;
    l->upper[i] = round_up(best.high);
}

static imgsim_status settle_rows(void *context, size_t item, uint32_t worker)
{
    struct ims_lloyd *l = context;
    const size_t end =
        (item + 1) * ROWS_PER_ITEM < l->job->n ? (item + 1) * ROWS_PER_ITEM : l->job->n;

    (void)worker;
    for (size_t i = item * ROWS_PER_ITEM; i < end; i++) {
        l->before[i] = l->labels[i];
        l->rescan[i] = 0;
        if (l->labels[i] < 0)
            l->rescan[i] = 1;
        else
            settle_row(l, i);
    }
    return IMGSIM_OK;
}

/* ---- against all means ---- */

/* Turn products with all means into lower bounds on the squared distances. */
static void bound_row(const struct ims_lloyd *l, size_t i, float *restrict scores)
{
    const struct ims_places *c = &l->centres;
    const float *restrict inside = c->inside_square, *restrict rest = c->rest;
    const float *restrict width = c->width, *restrict square = c->square;
    const float own_inside = l->rows.inside_square[i], own_rest = l->rows.rest[i];
    const float own_width = l->rows.width[i], own_square = l->rows.square[i];
    const float margin = 4 * l->margin;

    for (size_t m = 0; m < l->k; m++) {
        float gap = fabsf(own_rest - rest[m]) - (own_width + width[m]);

        gap = gap > 0 ? gap : 0;
        scores[m] =
            own_inside + inside[m] - 2 * scores[m] + gap * gap - margin * (own_square + square[m]);
    }
}

static size_t least_of(const float *values, size_t count)
{
    size_t least = 0;

    for (size_t i = 1; i < count; i++)
        if (values[i] < values[least])
            least = i;
    return least;
}

/* Keep the nearest of the means other than the own in slots, each with its bound, and one bound for all others. */
static void fill_slots(struct ims_lloyd *l, size_t i, const float *bounds, float limit)
{
    uint32_t *slots = l->slots + i * IMS_LLOYD_SLOTS;
    float *lower = l->lower + i * IMS_LLOYD_SLOTS;
    size_t count = 0, worst = 0;
    float far = limit;

    for (size_t m = 0; m < l->k; m++) {
        if (bounds[m] > limit || (int32_t)m == l->labels[i])
            continue;
        if (count < IMS_LLOYD_SLOTS) {
            slots[count] = (uint32_t)m;
            lower[count] = bounds[m];
            if (lower[count] > lower[worst])
                worst = count;
            count++;
            continue;
        }
        if (bounds[m] < lower[worst]) {
            far = lower[worst] < far ? lower[worst] : far;
            slots[worst] = (uint32_t)m;
            lower[worst] = bounds[m];
            for (size_t s = 0; s < count; s++)
                worst = lower[s] > lower[worst] ? s : worst;
        } else {
            far = bounds[m] < far ? bounds[m] : far;
        }
    }
    for (size_t s = 0; s < count; s++)
        lower[s] = round_down(lower[s]);
    l->slot_counts[i] = (uint8_t)count;
    l->far[i] = round_down(far);
}

static void scan_row(struct ims_lloyd *l, size_t i, float *bounds)
{
    const float *row = l->job->rows + i * l->job->d;
    struct nearest best = {-1, 0, 0, -1};
    float reach;

    bound_row(l, i, bounds);
    if (l->labels[i] >= 0)
        bounds[l->labels[i]] = (float)offer(l, row, (size_t)l->labels[i], &best);
    else {
        const size_t first = least_of(bounds, l->k);

        bounds[first] = (float)offer(l, row, first, &best);
    }
    for (size_t m = 0; m < l->k; m++)
        if (bounds[m] <= best.high && (int32_t)m != best.mean)
            bounds[m] = (float)offer(l, row, m, &best);
    l->labels[i] = best.mean;
    l->upper[i] = round_up(best.high);
    /* Means beyond this would not come near within a few rounds of the present pace. */
    reach = l->upper[i] + 2 * l->move_most;
    fill_slots(l, i, bounds, reach * reach);
}

/* Rows of the list whose scores fit the scratch. */
static size_t rows_per_scan(const struct ims_lloyd *l)
{
    const size_t rows = SCORE_FLOATS / l->k;

    return rows < 8 ? 8 : rows > 256 ? 256 : rows;
}

struct scan_job {
    struct ims_lloyd *l;
    size_t count; /* rows in the list */
};

static imgsim_status scan_rows(void *context, size_t item, uint32_t worker)
{
    const struct scan_job *scan = context;
    struct ims_lloyd *l = scan->l;
    const size_t step = rows_per_scan(l), first = item * step, q = l->q;
    const size_t count = scan->count - first < step ? scan->count - first : step;
    float *scores = l->scratch + worker * l->scratch_size;
    float *inside = scores + step * l->k;

    for (size_t r = 0; r < count; r++)
        memcpy(inside + r * q, l->rows.inside + (size_t)l->list[first + r] * q, q * sizeof(float));
    ims_gemm_nt(count, l->k, q, inside, q, l->centres.inside, q, scores, l->k);
    for (size_t r = 0; r < count; r++)
        scan_row(l, (size_t)l->list[first + r], scores + r * l->k);
    return IMGSIM_OK;
}

imgsim_status ims_lloyd_assign(struct ims_lloyd *l)
{
    struct scan_job scan = {l, 0};
    const size_t step = rows_per_scan(l);
    imgsim_status status;

    if ((status = ims_cluster_run(
             l->job, (l->job->n + ROWS_PER_ITEM - 1) / ROWS_PER_ITEM, 0, settle_rows, l)) !=
        IMGSIM_OK)
        return status;
    for (size_t i = 0; i < l->job->n; i++)
        if (l->rescan[i])
            l->list[scan.count++] = (int32_t)i;
    return ims_cluster_run(l->job, (scan.count + step - 1) / step, 0, scan_rows, &scan);
}
