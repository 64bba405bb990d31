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
    atomic_store(&meter->total, total);
    meter->phase_started = ims_now();
    meter->rate = 0.0;
    meter->rate_time = meter->phase_started;
    meter->rate_done = 0;
}

/* Rate over the last seconds: samples, each weighted by exp(-age / RATE_WINDOW). */
static void update_rate(struct ims_meter *meter, double now, uint64_t done)
{
    double span = now - meter->rate_time;
    double sample;

    if (span < SAMPLE_INTERVAL)
        return;
    sample = done > meter->rate_done ? (double)(done - meter->rate_done) / span : 0.0;
    if (meter->rate_time == meter->phase_started)
        meter->rate = sample;
    else
        meter->rate += (sample - meter->rate) * (1.0 - exp(-span / RATE_WINDOW));
    meter->rate_time = now;
    meter->rate_done = done;
}

/* Seconds left, by the mean of the recent rate and that of the whole phase; -1 while unknown. */
static double estimate_remaining(double recent, double overall, uint64_t done, uint64_t total)
{
    double rate = recent > 0.0 ? 0.5 * (recent + overall) : overall;

    if (total == 0 || !(rate > 0.0))
        return -1.0;
    return done >= total ? 0.0 : (double)(total - done) / rate;
}

static void fill_progress(struct ims_meter *meter, double now, imgsim_progress *out)
{
    uint64_t done = atomic_load(&meter->done);
    uint64_t total = atomic_load(&meter->total);
    double span = now - meter->phase_started;
    double overall = span > 0.0 ? (double)done / span : 0.0;

    update_rate(meter, now, done);
    out->struct_size = sizeof(*out);
    out->phase = meter->phase;
    out->done = done;
    out->total = total;
    out->failed = atomic_load(&meter->failed);
    out->bytes = atomic_load(&meter->bytes);
    out->elapsed_seconds = now - meter->started;
    out->rate = meter->rate_time > meter->phase_started ? meter->rate : overall;
    out->remaining_seconds = estimate_remaining(meter->rate, overall, done, total);
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
