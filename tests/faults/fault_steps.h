/* SPDX-License-Identifier: Apache-2.0 */
/* Lets the n-th allocation of a scenario fail, for n from 1 on, until the scenario passes. */
#ifndef IMS_TESTS_FAULT_STEPS_H
#define IMS_TESTS_FAULT_STEPS_H

#include "check.h"

#include "core/memory.h"

/*
 * Run `scenario` with failing allocations and `check` after each run. Each of the first 100 fails once, then every third, then
 * ever fewer, so that long scenarios end in reasonable time.
 */
static inline void
fail_each_allocation(imgsim_status (*scenario)(void), void (*check)(imgsim_status))
{
    imgsim_status status;
    uint64_t n = 1, used, failures = 0;

    do {
        ims_memory_fail_at(n);
        status = scenario();
        used = ims_memory_count();
        ims_memory_fail_at(0);
        if (status != IMGSIM_OK && status != IMGSIM_ERROR_OUT_OF_MEMORY)
            fprintf(
                stderr, "allocation %llu: %s: %s\n", (unsigned long long)n,
                imgsim_status_name(status), imgsim_last_error());
        /* Some things can be done without: a sweep of leftovers, a cache. */
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_OUT_OF_MEMORY);
        failures += status != IMGSIM_OK;
        check(status);
        n += n < 100 ? 1 : n < 400 ? 3 : n / 40;
    } while (used >= n || status != IMGSIM_OK);
    CHECK(failures >= 1);
    printf(
        "%llu failures in %llu allocations\n", (unsigned long long)failures,
        (unsigned long long)used);
}

#endif
