/* SPDX-License-Identifier: Apache-2.0 */
/* Progress of a long operation: rate, time left, and asking the host whether to stop. */
#include "core/progress.h"

#include <math.h>
#include <time.h>

/*
 * Seconds between two calls of the host, between two samples of the rate, and over which the rate
 * is smoothed.
 */
#define CALL_INTERVAL 0.05
#define SAMPLE_INTERVAL 0.5
#define RATE_WINDOW 4.0
/* The time that has passed is cut into at most this many samples for the estimate of what is left, none shorter than these seconds. */
#define SAMPLES 60
#define SPAN_MIN 0.1
/* Delay of the time left that is shown, as a share of the time that has passed. */
#define DELAY 0.03

double ims_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void ims_meter_start(struct ims_meter *meter, imgsim_progress_callback callback, void *user_data)
{
    meter->callback = callback;
    meter->user_data = user_data;
    atomic_store(&meter->stop, false);
    meter->started = ims_now();
    meter->last_call = meter->started;
    ims_meter_phase(meter, "", 0);
}

void ims_meter_phase(struct ims_meter *meter, const char *name, uint64_t total)
{
    meter->phase = name;
    atomic_store(&meter->done, 0);
    atomic_store(&meter->failed, 0);
    atomic_store(&meter->bytes, 0);
    atomic_store(&meter->total_bytes, 0);
    atomic_store(&meter->done_work, 0);
    atomic_store(&meter->total_work, 0);
    atomic_store(&meter->total, total);
    meter->phase_started = ims_now();
    meter->rate = meter->byte_rate = 0.0;
    meter->rate_time = meter->sampled_at = meter->estimated_at = meter->phase_started;
    meter->rate_done = meter->rate_bytes = 0;
    meter->sampled_done = meter->sampled_work = 0;
    meter->estimated = -1.0;
    ims_estimate_start(&meter->estimate, 0, 0);
}

void ims_meter_bytes(struct ims_meter *meter, const struct ims_meter_load *load)
{
    atomic_store(&meter->total_bytes, load->bytes);
    atomic_store(&meter->total_work, load->work);
    ims_estimate_start(&meter->estimate, load->item_work, load->work_seconds);
}

/* One smoothed rate: samples, each weighted by exp(-age / RATE_WINDOW); the first is taken as it is. */
static double smooth(double rate, double sample, double span, bool first)
{
    return first ? sample : rate + (sample - rate) * (1.0 - exp(-span / RATE_WINDOW));
}

/* Rates over the last seconds. */
static void update_rate(struct ims_meter *meter, double now, uint64_t done, uint64_t bytes)
{
    double span = now - meter->rate_time;
    bool first = meter->rate_time == meter->phase_started;
    double items = done > meter->rate_done ? (double)(done - meter->rate_done) : 0.0;
    double read = bytes > meter->rate_bytes ? (double)(bytes - meter->rate_bytes) : 0.0;

    if (span < SAMPLE_INTERVAL)
        return;
    meter->rate = smooth(meter->rate, items / span, span, first);
    meter->byte_rate = smooth(meter->byte_rate, read / span, span, first);
    meter->rate_time = now;
    meter->rate_done = done;
    meter->rate_bytes = bytes;
}

/* Hand what was done since the last sample to the estimate; samples grow with the time that has passed. */
static void update_estimate(struct ims_meter *meter, double now, uint64_t done, uint64_t work)
{
    double elapsed = now - meter->phase_started, span = now - meter->sampled_at;
    double interval = elapsed / SAMPLES;

    if (done < meter->sampled_done || work < meter->sampled_work ||
        span < (interval > SPAN_MIN ? interval : SPAN_MIN))
        return;
    ims_estimate_add(
        &meter->estimate, elapsed, span, (double)(done - meter->sampled_done),
        (double)(work - meter->sampled_work));
    meter->sampled_at = now;
    meter->sampled_done = done;
    meter->sampled_work = work;
}

/*
 * Seconds left, -1 while unknown. It follows the estimate with a delay that is short beside the time that has passed, so that it
 * counts down and does not jump.
 */
static double
remaining(struct ims_meter *meter, double now, uint64_t done, uint64_t total, uint64_t done_work)
{
    uint64_t total_work = atomic_load(&meter->total_work);
    uint64_t work_left = total_work > done_work ? total_work - done_work : 0;
    double elapsed = now - meter->phase_started, passed = now - meter->estimated_at, fresh;

    if (total == 0)
        return -1.0;
    if (done >= total)
        return 0.0;
    fresh = ims_estimate_remaining(&meter->estimate, total - done, work_left);
    if (fresh < 0)
        return -1.0;
    if (meter->estimated < 0)
        meter->estimated = fresh;
    else
        meter->estimated =
            meter->estimated - passed +
            (fresh - meter->estimated + passed) * (1.0 - exp(-passed / (DELAY * elapsed)));
    if (meter->estimated < 0)
        meter->estimated = 0;
    meter->estimated_at = now;
    return meter->estimated;
}

static void fill_progress(struct ims_meter *meter, double now, imgsim_progress *out)
{
    uint64_t done = atomic_load(&meter->done);
    uint64_t done_work = atomic_load(&meter->done_work);
    uint64_t total = atomic_load(&meter->total);
    uint64_t bytes = atomic_load(&meter->bytes);
    double span = now - meter->phase_started;
    bool sampled;

    update_rate(meter, now, done, bytes);
    update_estimate(meter, now, done, done_work);
    sampled = meter->rate_time > meter->phase_started;
    *out = (imgsim_progress){
        .struct_size = sizeof(*out),
        .phase = meter->phase,
        .done = done,
        .total = total,
        .failed = atomic_load(&meter->failed),
        .bytes = bytes,
        .elapsed_seconds = now - meter->started,
        .total_bytes = atomic_load(&meter->total_bytes),
    };
    out->rate = sampled ? meter->rate : span > 0.0 ? (double)done / span : 0.0;
    out->byte_rate = sampled ? meter->byte_rate : span > 0.0 ? (double)bytes / span : 0.0;
    out->remaining_seconds = remaining(meter, now, done, total, done_work);
}

imgsim_status ims_meter_tick(struct ims_meter *meter, bool force)
{
    double now = ims_now();

    if (meter->callback != NULL && !atomic_load(&meter->stop) &&
        (force || now - meter->last_call >= CALL_INTERVAL)) {
        imgsim_progress progress;

        meter->last_call = now;
        fill_progress(meter, now, &progress);
        if (meter->callback(&progress, meter->user_data) != 0)
            atomic_store(&meter->stop, true);
    }
    if (atomic_load(&meter->stop))
        return ims_fail(IMGSIM_ERROR_CANCELLED, "stopped by the progress callback");
    return IMGSIM_OK;
}
