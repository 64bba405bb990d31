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

/* Bounds of so many means have their least beside them, so that most are passed over together. */
#define BLOCK ((size_t)16)

static size_t block_count(const struct ims_lloyd *l)
{
    return (l->k + BLOCK - 1) / BLOCK;
}

/*
 * Turn products with all means into lower bounds on the squared distances. The rests' lengths r are known to +-w, so that
 *   (r - r')^2 >= g^2 - 2 (w + w') (r + r')  with g the difference of what is known:
 * no case to distinguish, four means at a time.
 */
static void bound_all(
    size_t count,
    float own,
    float own_rest,
    float own_width,
    float margin,
    const float *restrict inside,
    const float *restrict rest,
    const float *restrict width,
    const float *restrict square,
    float *restrict scores)
{
    for (size_t m = 0; m < count; m++) {
        const float gap = own_rest - rest[m];
        const float loss = 2 * (own_width + width[m]) * (own_rest + rest[m]) + margin * square[m];

        scores[m] = own + inside[m] - 2 * scores[m] + gap * gap - loss;
    }
}

static float least_value(const float *values, size_t count)
{
    float least[4] = {HUGE_VALF, HUGE_VALF, HUGE_VALF, HUGE_VALF};
    size_t m = 0;

    for (; m + 4 <= count; m += 4)
        for (size_t lane = 0; lane < 4; lane++)
            least[lane] = values[m + lane] < least[lane] ? values[m + lane] : least[lane];
    for (; m < count; m++)
        least[0] = values[m] < least[0] ? values[m] : least[0];
    least[0] = least[1] < least[0] ? least[1] : least[0];
    least[2] = least[3] < least[2] ? least[3] : least[2];
    return least[2] < least[0] ? least[2] : least[0];
}

static void bound_row(const struct ims_lloyd *l, size_t i, float *scores, float *least)
{
    const struct ims_places *c = &l->centres;
    const float margin = 5 * l->margin;

    bound_all(
        l->k, l->rows.inside_square[i] - margin * l->rows.square[i], l->rows.rest[i],
        l->rows.width[i], margin, c->inside_square, c->rest, c->width, c->square, scores);
    for (size_t b = 0; b < block_count(l); b++)
        least[b] =
            least_value(scores + b * BLOCK, (b + 1) * BLOCK < l->k ? BLOCK : l->k - b * BLOCK);
}

/* The mean of the least bound. */
static size_t find_least(const struct ims_lloyd *l, const float *bounds, const float *least)
{
    size_t block = 0, m;

    for (size_t b = 1; b < block_count(l); b++)
        if (least[b] < least[block])
            block = b;
    m = block * BLOCK;
    while (bounds[m] != least[block])
        m++;
    return m;
}

/* Put a near mean into a slot, over the worst when they are full; gives the new worst. */
static size_t keep_near(struct ims_lloyd *l, size_t i, size_t m, float bound, size_t worst)
{
    float *lower = l->lower + i * IMS_LLOYD_SLOTS;
    const bool full = l->slot_counts[i] == IMS_LLOYD_SLOTS;
    const size_t slot = full ? worst : l->slot_counts[i]++;

    l->slots[i * IMS_LLOYD_SLOTS + slot] = (uint32_t)m;
    lower[slot] = bound;
    if (l->slot_counts[i] < IMS_LLOYD_SLOTS)
        return 0;
    for (size_t s = 0; s < IMS_LLOYD_SLOTS; s++)
        worst = lower[s] > lower[worst] ? s : worst;
    return worst;
}

/*
 * Keep the nearest of the means other than the own in slots, each with its bound, and one bound for all others. Once the slots are
 * full, only what is nearer than the worst of them counts.
 */
static void
fill_slots(struct ims_lloyd *l, size_t i, const float *bounds, const float *least, float limit)
{
    float *lower = l->lower + i * IMS_LLOYD_SLOTS;
    size_t worst = 0;

    l->slot_counts[i] = 0;
    for (size_t b = 0; b < block_count(l); b++) {
        const size_t end = (b + 1) * BLOCK < l->k ? (b + 1) * BLOCK : l->k;

        if (least[b] > limit)
            continue;
        for (size_t m = b * BLOCK; m < end; m++) {
            if (bounds[m] > limit || (int32_t)m == l->labels[i])
                continue;
            worst = keep_near(l, i, m, bounds[m], worst);
            if (l->slot_counts[i] == IMS_LLOYD_SLOTS)
                limit = lower[worst];
        }
    }
    for (size_t s = 0; s < l->slot_counts[i]; s++)
        lower[s] = round_down(lower[s]);
    l->far[i] = round_down(limit);
}

/* Not below a squared distance, as a float. */
static float limit_of(double square)
{
    return (float)(square * (1 + 1e-6)) + FLT_MIN;
}

static void scan_row(struct ims_lloyd *l, size_t i, float *bounds, float *least)
{
    const float *row = l->job->rows + i * l->job->d;
    struct nearest best = {-1, 0, 0, -1};
    float limit, reach;
    size_t first;

    bound_row(l, i, bounds, least);
    first = l->labels[i] >= 0 ? (size_t)l->labels[i] : find_least(l, bounds, least);
    /* What has been measured has a bound at least as good, so the blocks' least stay bounds. */
    bounds[first] = (float)offer(l, row, first, &best);
    limit = limit_of(best.high);
    for (size_t b = 0; b < block_count(l); b++) {
        const size_t end = (b + 1) * BLOCK < l->k ? (b + 1) * BLOCK : l->k;

        if (least[b] > limit)
            continue;
        for (size_t m = b * BLOCK; m < end; m++)
            if (bounds[m] <= limit && m != first) {
                bounds[m] = (float)offer(l, row, m, &best);
                limit = limit_of(best.high);
            }
    }
    l->labels[i] = best.mean;
    l->upper[i] = round_up(best.high);
    /* Means beyond this would not come near within a few rounds of the present pace. */
    reach = l->upper[i] + 2 * l->move_most;
    fill_slots(l, i, bounds, least, reach * reach);
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
    float *inside = scores + step * l->k, *least = inside + step * q;

    for (size_t r = 0; r < count; r++)
        memcpy(inside + r * q, l->rows.inside + (size_t)l->list[first + r] * q, q * sizeof(float));
    ims_gemm_nt(count, l->k, q, inside, q, l->centres.inside, q, scores, l->k);
    for (size_t r = 0; r < count; r++)
        scan_row(l, (size_t)l->list[first + r], scores + r * l->k, least);
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
