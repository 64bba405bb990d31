/* SPDX-License-Identifier: Apache-2.0 */
/* The library's own pool of threads: a parallel loop with error hand-over and cancelling. */
#ifndef IMS_CORE_THREADS_H
#define IMS_CORE_THREADS_H

#include "core/status.h"

struct ims_pool;

/* Does item `item`; `worker` is 0 to threads - 1. A status other than OK stops the loop. */
typedef imgsim_status (*ims_task)(void *context, size_t item, uint32_t worker);

/*
 * 0 threads: one per processor. The calling thread is one of them: a pool of 1 starts none. Threads
 * block all signals.
 */
imgsim_status ims_pool_new(uint32_t threads, struct ims_pool **out_pool);
void ims_pool_free(struct ims_pool *pool);
/* Threads of the pool; 1 for NULL. */
uint32_t ims_pool_threads(const struct ims_pool *pool);

/*
 * Call task for items 0 to count - 1, each once, handed out in order, on the pool's threads and the
 * caller's. Returns when all are done; the error of the lowest failed item becomes the caller's. A
 * NULL pool, and a pool that is busy with another caller's loop, run the loop on the calling thread
 * (worker 0).
 */
imgsim_status ims_pool_run(struct ims_pool *pool, size_t count, ims_task task, void *context);

/* Processors this process may use (affinity mask, cgroup quota). */
uint32_t ims_cpu_count(void);

#endif
