/* SPDX-License-Identifier: Apache-2.0 */
/* Progress: figures that make sense at all times, and stopping. */
#include "check.h"

#include "core/progress.h"

struct seen {
    int calls;
    int stop_at;
    imgsim_progress last;
};

static int32_t watch(const imgsim_progress *progress, void *user_data)
{
    struct seen *seen = user_data;

    CHECK_EQUAL(progress->struct_size, sizeof(*progress));
    CHECK(isfinite(progress->rate) && progress->rate >= 0.0);
    CHECK(isfinite(progress->elapsed_seconds) && progress->elapsed_seconds >= 0.0);
    CHECK(isfinite(progress->remaining_seconds));
    CHECK(progress->remaining_seconds >= 0.0 || progress->remaining_seconds == -1.0);
    seen->last = *progress;
    seen->calls++;
    return seen->calls == seen->stop_at;
}

static void figures_are_passed_on(void)
{
    struct ims_meter meter = {0};
    struct seen seen = {0};

    ims_meter_start(&meter, watch, &seen);
    CHECK_OK(ims_meter_tick(&meter, true));
    CHECK_TEXT(seen.last.phase, "");
    ims_meter_phase(&meter, "scan", 100);
    atomic_fetch_add(&meter.done, 10);
    atomic_fetch_add(&meter.failed, 2);
    atomic_fetch_add(&meter.bytes, 12345);
    CHECK_OK(ims_meter_tick(&meter, true));
    CHECK_EQUAL(seen.calls, 2);
    CHECK_TEXT(seen.last.phase, "scan");
    CHECK_EQUAL(seen.last.done, 10);
    CHECK_EQUAL(seen.last.total, 100);
    CHECK_EQUAL(seen.last.failed, 2);
    CHECK_EQUAL(seen.last.bytes, 12345);
    ims_meter_phase(&meter, "fit", 0);
    CHECK_OK(ims_meter_tick(&meter, true));
    CHECK_EQUAL(seen.last.done, 0);
    CHECK_EQUAL(seen.last.bytes, 0);
    CHECK_NEAR(seen.last.remaining_seconds, -1.0, 0.0);
}

/* Large files are left: what counts is their bytes. */
static void bytes_count(void)
{
    struct ims_meter meter = {0};
    struct seen seen = {0};
    const struct ims_meter_load load = {.bytes = 8000000, .work = 11000000, .item_work = 1};

    ims_meter_start(&meter, watch, &seen);
    ims_meter_phase(&meter, "scan", 110);
    ims_meter_bytes(&meter, &load);
    CHECK_OK(ims_meter_tick(&meter, true));
    CHECK_EQUAL(seen.last.total_bytes, 8000000);
    meter.phase_started -= 10.0;
    meter.rate_time = meter.sampled_at = meter.estimated_at = meter.phase_started;
    atomic_store(&meter.done, 100);
    atomic_store(&meter.done_work, 1000000);
    atomic_store(&meter.bytes, 2000000);
    CHECK_OK(ims_meter_tick(&meter, true));
    CHECK_NEAR(seen.last.byte_rate, 200000, 2000);
    CHECK(seen.last.remaining_seconds > 60 && seen.last.remaining_seconds < 101);
}

static void the_host_is_not_called_too_often(void)
{
    struct ims_meter meter = {0};
    struct seen seen = {0};

    ims_meter_start(&meter, watch, &seen);
    for (int i = 0; i < 1000; i++)
        CHECK_OK(ims_meter_tick(&meter, false));
    CHECK(seen.calls < 1000);
    meter.last_call -= 1.0; /* as if a second had passed */
    seen.calls = 0;
    CHECK_OK(ims_meter_tick(&meter, false));
    CHECK_EQUAL(seen.calls, 1);
}

static void rate_and_remaining_follow_the_work(void)
{
    struct ims_meter meter = {0};
    struct seen seen = {0};

    /* Time is moved by setting the starts back: 100 items in 10 seconds, then nothing for 1000. */
    ims_meter_start(&meter, watch, &seen);
    ims_meter_phase(&meter, "scan", 400);
    meter.started -= 10.0;
    meter.phase_started -= 10.0;
    meter.rate_time = meter.sampled_at = meter.estimated_at = meter.phase_started;
    atomic_store(&meter.done, 100);
    CHECK_OK(ims_meter_tick(&meter, true));
    CHECK_NEAR(seen.last.rate, 10.0, 0.1);
    CHECK_NEAR(seen.last.remaining_seconds, 30.0, 0.5);
    CHECK_NEAR(seen.last.elapsed_seconds, 10.0, 0.1);

    meter.started -= 1000.0;
    meter.phase_started -= 1000.0;
    meter.rate_time -= 1000.0;
    meter.sampled_at -= 1000.0;
    meter.estimated_at -= 1000.0;
    CHECK_OK(ims_meter_tick(&meter, true));
    CHECK(seen.last.rate < 0.1);
    CHECK(seen.last.remaining_seconds > 1000.0);

    atomic_store(&meter.done, 400);
    CHECK_OK(ims_meter_tick(&meter, true));
    CHECK_NEAR(seen.last.remaining_seconds, 0.0, 0.0);
    atomic_store(&meter.done, 500); /* more than was thought */
    CHECK_OK(ims_meter_tick(&meter, true));
    CHECK_NEAR(seen.last.remaining_seconds, 0.0, 0.0);
}

static void a_stopped_operation_stays_stopped(void)
{
    struct ims_meter meter = {0};
    struct seen seen = {.stop_at = 2};

    ims_meter_start(&meter, watch, &seen);
    CHECK_OK(ims_meter_tick(&meter, true));
    CHECK_FAILS(ims_meter_tick(&meter, true), IMGSIM_ERROR_CANCELLED, "stopped");
    CHECK_FAILS(ims_meter_tick(&meter, true), IMGSIM_ERROR_CANCELLED, "stopped");
    CHECK_EQUAL(seen.calls, 2);
    CHECK(atomic_load(&meter.stop));
}

static void nobody_has_to_watch(void)
{
    struct ims_meter meter = {0};

    ims_meter_start(&meter, NULL, NULL);
    ims_meter_phase(&meter, "scan", 3);
    CHECK_OK(ims_meter_tick(&meter, true));
    atomic_store(&meter.stop, true);
    CHECK_FAILS(ims_meter_tick(&meter, false), IMGSIM_ERROR_CANCELLED, "stopped");
}

int main(void)
{
    figures_are_passed_on();
    the_host_is_not_called_too_often();
    rate_and_remaining_follow_the_work();
    bytes_count();
    a_stopped_operation_stays_stopped();
    nobody_has_to_watch();
    return 0;
}
