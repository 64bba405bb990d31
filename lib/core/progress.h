/* SPDX-License-Identifier: Apache-2.0 */
/* Progress of a long operation: rate, time left, and asking the host whether to stop. */
#ifndef IMS_CORE_PROGRESS_H
#define IMS_CORE_PROGRESS_H

#include "core/estimate.h"
#include "core/status.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Zero it, then ims_meter_start(). Counters may be raised from any thread. */
struct ims_meter {
    imgsim_progress_callback callback;
    void *user_data;
    const char *phase;
    atomic_uint_fast64_t done;
    atomic_uint_fast64_t total;
    atomic_uint_fast64_t failed;
    atomic_uint_fast64_t bytes;
    /* Bytes of all items, and their work, done and of all, in bytes too; only phases that called ims_meter_bytes() count them. */
    atomic_uint_fast64_t total_bytes;
    atomic_uint_fast64_t done_work;
    atomic_uint_fast64_t total_work;
    atomic_bool stop;
    double started;
    double phase_started;
    double last_call;
    /* Items and bytes per second of late, and when they were looked at last. */
    double rate;
    double byte_rate;
    double rate_time;
    uint64_t rate_done;
    uint64_t rate_bytes;
    /* Seconds left, when this was estimated, and what was done by then. */
    struct ims_estimate estimate;
    double estimated;
    double estimated_at;
    double sampled_at;
    uint64_t sampled_done;
    uint64_t sampled_work;
};

void ims_meter_start(struct ims_meter *meter, imgsim_progress_callback callback, void *user_data);
/* Begin a phase: counters to zero. `name` is a constant. */
void ims_meter_phase(struct ims_meter *meter, const char *name, uint64_t total);
/* What is known beforehand of a phase whose items have bytes. */
struct ims_meter_load {
    uint64_t bytes; /* of all items, for the host */
    uint64_t
        work; /* the same as they are thought to take time: some bytes may count for more than one */
    double item_work;    /* thought to take as long as an item besides its bytes */
    double work_seconds; /* thought to be the time of one byte of work */
};

/* Tell the load of the phase just begun. Items raise done_work together with done. */
void ims_meter_bytes(struct ims_meter *meter, const struct ims_meter_load *load);
/*
 * From the caller's thread, often: calls the callback when 50 ms have passed (or `force`). Returns
 * CANCELLED with a text once the host has asked to stop.
 */
imgsim_status ims_meter_tick(struct ims_meter *meter, bool force);
/* Monotonic seconds. */
double ims_now(void);

#endif
