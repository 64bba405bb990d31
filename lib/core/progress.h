/* SPDX-License-Identifier: Apache-2.0 */
/* Progress of a long operation: rate, time left, and asking the host whether to stop. */
#ifndef IMS_CORE_PROGRESS_H
#define IMS_CORE_PROGRESS_H

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
    atomic_bool stop;
    double started;
    double phase_started;
    double last_call;
    double rate;
    double rate_time;
    uint64_t rate_done;
};

void ims_meter_start(struct ims_meter *meter, imgsim_progress_callback callback, void *user_data);
/* Begin a phase: counters to zero. `name` is a constant. */
void ims_meter_phase(struct ims_meter *meter, const char *name, uint64_t total);
/*
 * From the caller's thread, often: calls the callback when 50 ms have passed (or `force`). Returns
 * CANCELLED with a text once the host has asked to stop.
 */
imgsim_status ims_meter_tick(struct ims_meter *meter, bool force);
/* Monotonic seconds. */
double ims_now(void);

#endif
