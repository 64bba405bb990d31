/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long work of items and bytes will take that is partly done.
 *
 * The time of an item is taken to be proportional to a + b where b are its bytes and a is a number of bytes that stands for what every
 * item costs. Whoever counts items only is wrong as soon as a folder of large files follows one of small ones, and whoever counts
 * bytes only is wrong where networks run. So a handful of values of a is carried along, from 0 to infinity, each judged by how
 * steadily the work so far would have gone by its measure: with n samples of relative deviation s, a model's weight is
 *
 *     prior(a) prior(t) s^-n
 *
 * which is the posterior of normal errors of unknown size; t is the time of a byte that follows from a and the work so far. As long as
 * all items were of one size every a explains the samples equally well, and t decides: items that take a hundred times as long as
 * their bytes ever did cost what they cost by the item. The estimate is the weighted mean of what the models say. Samples lose weight
 * with age, slowly, so that a machine that has become slower is believed after a while.
 */
#include "core/estimate.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Models lie this factor apart from each other, around the one of experience; the first is bytes alone, the last items alone. */
#define MODEL_FACTOR 4.0
/*
 * Widths of the priors of a and t in logarithms: half a model away, or a third of the speed, is not unlikely. Chosen on simulated
 * runs: a wider one of a lets models that nobody would believe have their say while all items are of one size.
 */
#define ITEM_WIDTH 0.7
#define BYTE_WIDTH 1.2
/* Errors of neighbouring samples are alike, so that many samples say less than their number. */
#define COUNT_MAX 40.0
/* Deviations below this say nothing about which model is right. */
#define DEVIATION_MIN 0.02
/* Age at which a sample has lost most of its weight: this, or as long as the work has taken. */
#define AGE_MIN 60.0

void ims_estimate_start(struct ims_estimate *estimate, double item_bytes, double byte_seconds)
{
    memset(estimate, 0, sizeof(*estimate));
    estimate->items_only = !(item_bytes > 0);
    estimate->prior = item_bytes > 0 ? log(item_bytes) : 0;
    estimate->byte_seconds = byte_seconds;
}

void ims_estimate_add(
    struct ims_estimate *estimate,
    double elapsed,
    double seconds,
    double items,
    double bytes)
{
    double keep = exp(-seconds / (elapsed > AGE_MIN ? elapsed : AGE_MIN));
    double *const sums[10] = {&estimate->count,         &estimate->seconds,
                              &estimate->items,         &estimate->bytes,
                              &estimate->seconds_2,     &estimate->items_2,
                              &estimate->bytes_2,       &estimate->seconds_items,
                              &estimate->seconds_bytes, &estimate->items_bytes};
    const double terms[10] = {
        1,
        seconds,
        items,
        bytes,
        seconds * seconds,
        items * items,
        bytes * bytes,
        seconds * items,
        seconds * bytes,
        items * bytes};

    for (int i = 0; i < 10; i++)
        *sums[i] = *sums[i] * keep + terms[i];
}

/* One model: the measure of work is a * items + b * bytes. */
struct model {
    double a, b;
    double prior; /* logarithm */
};

static double log_normal(double distance, double width)
{
    return -0.5 * (distance / width) * (distance / width);
}

static struct model model_at(const struct ims_estimate *estimate, int i)
{
    double distance = (i - (IMS_ESTIMATE_MODELS - 1) / 2.0) * log(MODEL_FACTOR);
    struct model model = {.a = exp(estimate->prior + distance), .b = 1};
    double work = model.a * estimate->items + estimate->bytes;

    model.prior = log_normal(distance, ITEM_WIDTH);
    if (estimate->byte_seconds > 0 && work > 0 && estimate->seconds > 0)
        model.prior +=
            log_normal(log(estimate->seconds / work / estimate->byte_seconds), BYTE_WIDTH);
    if (i == 0)
        model.a = 0;
    if (i == IMS_ESTIMATE_MODELS - 1 || estimate->items_only)
        model = (struct model){.a = 1, .b = 0, .prior = model.prior};
    return model;
}

/* Logarithm of a model's weight: how evenly the samples went by its measure, by the squares of what they are off. */
static double judge(const struct ims_estimate *e, const struct model *model, double rate)
{
    double count = e->count < COUNT_MAX ? e->count : COUNT_MAX;
    double work_2 = model->a * model->a * e->items_2 + 2 * model->a * model->b * e->items_bytes +
                    model->b * model->b * e->bytes_2;
    double work_seconds = model->a * e->seconds_items + model->b * e->seconds_bytes;
    double off = work_2 - 2 * rate * work_seconds + rate * rate * e->seconds_2;
    double relative = off / (rate * rate * e->seconds_2);

    if (!(relative > DEVIATION_MIN * DEVIATION_MIN))
        relative = DEVIATION_MIN * DEVIATION_MIN;
    return model->prior - 0.5 * (count - 1) * log(relative);
}

double ims_estimate_remaining(const struct ims_estimate *estimate, uint64_t items, uint64_t bytes)
{
    double weights[IMS_ESTIMATE_MODELS], times[IMS_ESTIMATE_MODELS];
    double best = -INFINITY, sum = 0, total = 0;
    bool known = false;

    for (int i = 0; i < IMS_ESTIMATE_MODELS; i++) {
        struct model model = model_at(estimate, i);
        double done = model.a * estimate->items + model.b * estimate->bytes;

        weights[i] = -INFINITY;
        times[i] = 0;
        if (!(done > 0) || !(estimate->seconds > 0))
            continue;
        known = true;
        weights[i] = judge(estimate, &model, done / estimate->seconds);
        times[i] = (model.a * (double)items + model.b * (double)bytes) * estimate->seconds / done;
        best = weights[i] > best ? weights[i] : best;
    }
    if (!known)
        return -1.0;
    for (int i = 0; i < IMS_ESTIMATE_MODELS; i++) {
        double weight = exp(weights[i] - best);

        sum += weight;
        total += weight * times[i];
    }
    return total / sum;
}
