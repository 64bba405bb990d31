/* SPDX-License-Identifier: Apache-2.0 */
/* The library's own pool of threads. */
#include "core/threads.h"

#include "core/memory.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#define THREADS_MAX 1024

/* One thread of the pool and its number, 1 or more; the caller of a loop is number 0. */
struct worker {
    struct ims_pool *pool;
    pthread_t thread;
    uint32_t number;
};

/* The parallel loop that is being run. */
struct loop {
    ims_task task;
    void *context;
    size_t count;
    atomic_size_t next;  /* the next item to hand out */
    atomic_bool stopped; /* an item failed: hand out no more */
    size_t failed_item;  /* guarded by the pool's mutex, as is error */
    struct ims_error error;
};

struct ims_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work;     /* a loop wants helpers, or the pool ends */
    pthread_cond_t finished; /* the last helper has left the loop */
    struct worker *workers;
    uint32_t worker_count;
    uint32_t wanted;  /* helpers that may still join the loop */
    uint32_t running; /* helpers inside it */
    bool ending;
    atomic_bool busy; /* somebody's loop occupies the pool */
    struct loop loop;
};

/*
 * Items are handed out in order, so that whatever precedes a failed item has been handed out and
 * will be finished: the lowest failed item is the same whatever the threads.
 */
static void run_items(struct ims_pool *pool, uint32_t worker)
{
    struct loop *loop = &pool->loop;

    while (!atomic_load_explicit(&loop->stopped, memory_order_relaxed)) {
        size_t item = atomic_fetch_add_explicit(&loop->next, 1, memory_order_relaxed);
        imgsim_status status;

        if (item >= loop->count)
            break;
        if ((status = loop->task(loop->context, item, worker)) == IMGSIM_OK)
            continue;
        atomic_store_explicit(&loop->stopped, true, memory_order_relaxed);
        pthread_mutex_lock(&pool->mutex);
        if (loop->error.status == IMGSIM_OK || item < loop->failed_item) {
            loop->failed_item = item;
            ims_error_save(&loop->error, status);
        }
        pthread_mutex_unlock(&pool->mutex);
    }
}

static void *worker_main(void *argument)
{
    const struct worker *self = argument;
    struct ims_pool *pool = self->pool;

    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->wanted == 0 && !pool->ending)
            pthread_cond_wait(&pool->work, &pool->mutex);
        if (pool->ending)
            break;
        pool->wanted--;
        pool->running++;
        pthread_mutex_unlock(&pool->mutex);

        run_items(pool, self->number);

        pthread_mutex_lock(&pool->mutex);
        pool->wanted = 0; /* nothing is left to hand out: late ones need not look */
        if (--pool->running == 0)
            pthread_cond_signal(&pool->finished);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/*
 * Start the threads with signals blocked, so that the host's handlers run on the host's threads.
 * Signals that a fault of the thread itself raises stay open: blocking them would only hide the
 * fault from crash handlers.
 */
static int start_workers(struct ims_pool *pool, uint32_t count)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t blocked, previous;
    int error = 0;

    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &previous);
    for (uint32_t i = 0; i < count && error == 0; i++) {
        struct worker *worker = &pool->workers[i];

        worker->pool = pool;
        worker->number = i + 1;
        if ((error = pthread_create(&worker->thread, NULL, worker_main, worker)) == 0)
            pool->worker_count++;
    }
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    return error;
}

imgsim_status ims_pool_new(uint32_t threads, struct ims_pool **out_pool)
{
    struct ims_pool *pool;
    int error;

    *out_pool = NULL;
    if (threads > THREADS_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u threads, expected 0 to %d", threads, THREADS_MAX);
    if (threads == 0)
        threads = ims_cpu_count();
    if ((pool = ims_calloc(1, sizeof(*pool))) == NULL)
        return ims_fail_memory(sizeof(*pool));
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->finished, NULL);
    if ((pool->workers = ims_calloc(threads, sizeof(*pool->workers))) == NULL) {
        ims_pool_free(pool);
        return ims_fail_memory(threads * sizeof(*pool->workers));
    }

    /* Results do not depend on the number of threads: fewer than asked for are enough. */
    if ((error = start_workers(pool, threads - 1)) != 0)
        ims_log(
            IMGSIM_LOG_WARNING, "only %u of %u threads could be started (error %d)",
            pool->worker_count + 1, threads, error);
    *out_pool = pool;
    return IMGSIM_OK;
}

void ims_pool_free(struct ims_pool *pool)
{
    if (pool == NULL)
        return;
    assert(!atomic_load(&pool->busy));
    pthread_mutex_lock(&pool->mutex);
    pool->ending = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->worker_count; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    ims_free(pool->workers);
    ims_free(pool);
}

uint32_t ims_pool_threads(const struct ims_pool *pool)
{
    return pool != NULL ? pool->worker_count + 1 : 1;
}

static imgsim_status run_inline(size_t count, ims_task task, void *context)
{
    for (size_t item = 0; item < count; item++) {
        imgsim_status status = task(context, item, 0);

        if (status != IMGSIM_OK)
            return status;
    }
    return IMGSIM_OK;
}

/* Let up to `helpers` threads join the loop that has been set up. */
static void call_helpers(struct ims_pool *pool, size_t helpers)
{
    pthread_mutex_lock(&pool->mutex);
    pool->wanted = (uint32_t)helpers;
    if (helpers == pool->worker_count)
        pthread_cond_broadcast(&pool->work);
    else
        for (size_t i = 0; i < helpers; i++)
            pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
}

imgsim_status ims_pool_run(struct ims_pool *pool, size_t count, ims_task task, void *context)
{
    imgsim_status status;
    size_t helpers;

    if (pool == NULL || pool->worker_count == 0 || count <= 1 || atomic_exchange(&pool->busy, true))
        return run_inline(count, task, context);

    pool->loop.task = task;
    pool->loop.context = context;
    pool->loop.count = count;
    pool->loop.error.status = IMGSIM_OK;
    atomic_store(&pool->loop.next, 0);
    atomic_store(&pool->loop.stopped, false);
    helpers = count - 1 < pool->worker_count ? count - 1 : pool->worker_count;
    call_helpers(pool, helpers);

    run_items(pool, 0);

    pthread_mutex_lock(&pool->mutex);
    pool->wanted = 0;
    while (pool->running > 0)
        pthread_cond_wait(&pool->finished, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
    status = ims_error_raise(&pool->loop.error);
    atomic_store(&pool->busy, false);
    return status;
}
