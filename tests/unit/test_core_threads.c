/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: every item once, errors, nesting, several callers. */
#include "check.h"

#include "core/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#define ITEMS 5000

struct count {
    atomic_int done[ITEMS];
    uint32_t threads;
    atomic_int bad_workers;
};

static imgsim_status count_item(void *context, size_t item, uint32_t worker)
{
    struct count *count = context;

    atomic_fetch_add(&count->done[item], 1);
    if (worker >= count->threads)
        atomic_fetch_add(&count->bad_workers, 1);
    return IMGSIM_OK;
}

static void every_item_is_done_once(void)
{
    static const size_t sizes[] = {0, 1, 2, 3, 7, 100, ITEMS};
    static struct count count;

    for (uint32_t threads = 1; threads <= 8; threads++) {
        struct ims_pool *pool;

        CHECK_OK(ims_pool_new(threads, &pool));
        CHECK_EQUAL(ims_pool_threads(pool), threads);
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            memset(&count, 0, sizeof(count));
            count.threads = threads;
            CHECK_OK(ims_pool_run(pool, sizes[s], count_item, &count));
            for (size_t i = 0; i < ITEMS; i++)
                CHECK_EQUAL(count.done[i], i < sizes[s] ? 1 : 0);
            CHECK_EQUAL(count.bad_workers, 0);
        }
        ims_pool_free(pool);
    }
    memset(&count, 0, sizeof(count));
    count.threads = 1;
    CHECK_OK(ims_pool_run(NULL, 10, count_item, &count));
    CHECK_EQUAL(count.done[9], 1);
    CHECK_EQUAL(ims_pool_threads(NULL), 1);
    ims_pool_free(NULL);
}

static imgsim_status fail_some(void *context, size_t item, uint32_t worker)
{
    atomic_int *calls = context;

    (void)worker;
    atomic_fetch_add(calls, 1);
    if (item % 2 == 0)
        sched_yield();
    if (item >= 37 && item % 3 == 1)
        return ims_fail(IMGSIM_ERROR_LIMIT, "item %zu", item);
    return IMGSIM_OK;
}

static void the_error_of_the_lowest_failed_item_is_raised(void)
{
    struct ims_pool *pool;
    atomic_int calls;

    CHECK_OK(ims_pool_new(6, &pool));
    for (int round = 0; round < 200; round++) {
        atomic_store(&calls, 0);
        CHECK_EQUAL(ims_pool_run(pool, 1000, fail_some, &calls), IMGSIM_ERROR_LIMIT);
        CHECK_TEXT(imgsim_last_error(), "item 37");
        CHECK(atomic_load(&calls) >= 38 && atomic_load(&calls) < 1000);
    }
    atomic_store(&calls, 0);
    CHECK_EQUAL(ims_pool_run(NULL, 1000, fail_some, &calls), IMGSIM_ERROR_LIMIT);
    CHECK_TEXT(imgsim_last_error(), "item 37");
    CHECK_EQUAL(calls, 38);
    ims_pool_free(pool);
}

struct nest {
    struct ims_pool *pool;
    atomic_int inner;
};

static imgsim_status inner_item(void *context, size_t item, uint32_t worker)
{
    struct nest *nest = context;

    (void)item;
    CHECK_EQUAL(worker, 0); /* a busy pool runs inline */
    atomic_fetch_add(&nest->inner, 1);
    return IMGSIM_OK;
}

static imgsim_status outer_item(void *context, size_t item, uint32_t worker)
{
    struct nest *nest = context;

    (void)item;
    (void)worker;
    return ims_pool_run(nest->pool, 10, inner_item, nest);
}

static void a_loop_inside_a_loop_runs_inline(void)
{
    struct nest nest = {0};

    CHECK_OK(ims_pool_new(4, &nest.pool));
    CHECK_OK(ims_pool_run(nest.pool, 100, outer_item, &nest));
    CHECK_EQUAL(nest.inner, 1000);
    ims_pool_free(nest.pool);
}

static imgsim_status add_item(void *context, size_t item, uint32_t worker)
{
    (void)worker;
    atomic_fetch_add((atomic_long *)context, (long)item);
    return IMGSIM_OK;
}

static void *call_often(void *argument)
{
    for (int round = 0; round < 300; round++) {
        atomic_long sum;

        atomic_store(&sum, 0);
        CHECK_OK(ims_pool_run(argument, 100, add_item, &sum));
        CHECK_EQUAL(sum, 4950);
    }
    return NULL;
}

static void several_callers_may_share_a_pool(void)
{
    struct ims_pool *pool;
    pthread_t callers[4];

    CHECK_OK(ims_pool_new(3, &pool));
    for (int i = 0; i < 4; i++)
        CHECK_EQUAL(pthread_create(&callers[i], NULL, call_often, pool), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(callers[i], NULL);
    ims_pool_free(pool);
}

static pthread_t main_thread;
static atomic_int signals_elsewhere;
static atomic_int signals_here;

static void on_signal(int number)
{
    (void)number;
    if (pthread_equal(pthread_self(), main_thread))
        atomic_fetch_add(&signals_here, 1);
    else
        atomic_fetch_add(&signals_elsewhere, 1);
}

static imgsim_status send_signal(void *context, size_t item, uint32_t worker)
{
    (void)context;
    (void)item;
    (void)worker;
    kill(getpid(), SIGUSR1);
    return IMGSIM_OK;
}

static void signals_are_not_handled_on_our_threads(void)
{
    struct ims_pool *pool;

    main_thread = pthread_self();
    signal(SIGUSR1, on_signal);
    CHECK_OK(ims_pool_new(4, &pool));
    CHECK_OK(ims_pool_run(pool, 200, send_signal, NULL));
    ims_pool_free(pool);
    CHECK_EQUAL(signals_elsewhere, 0);
    CHECK(signals_here > 0);
}

static void there_is_at_least_one_processor(void)
{
    struct ims_pool *pool;

    CHECK(ims_cpu_count() >= 1);
    CHECK_EQUAL(imgsim_cpu_count(), ims_cpu_count());
    CHECK_OK(ims_pool_new(0, &pool));
    CHECK_EQUAL(ims_pool_threads(pool), ims_cpu_count());
    ims_pool_free(pool);
    CHECK_FAILS(ims_pool_new(100000, &pool), IMGSIM_ERROR_INVALID_ARGUMENT, "100000");
    CHECK(pool == NULL);
}

static void the_affinity_mask_counts(void)
{
    cpu_set_t before, one;
    int cpu = 0;

    CHECK_EQUAL(sched_getaffinity(0, sizeof(before), &before), 0);
    while (!CPU_ISSET(cpu, &before))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    CHECK_EQUAL(sched_setaffinity(0, sizeof(one), &one), 0);
    CHECK_EQUAL(ims_cpu_count(), 1);
    CHECK_EQUAL(sched_setaffinity(0, sizeof(before), &before), 0);
}

int main(void)
{
    every_item_is_done_once();
    the_error_of_the_lowest_failed_item_is_raised();
    a_loop_inside_a_loop_runs_inline();
    several_callers_may_share_a_pool();
    signals_are_not_handled_on_our_threads();
    there_is_at_least_one_processor();
    the_affinity_mask_counts();
    return 0;
}
