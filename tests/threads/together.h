/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a function on several threads that start together. */
#ifndef IMS_TESTS_TOGETHER_H
#define IMS_TESTS_TOGETHER_H

#include "check.h"

#include <pthread.h>

#define TOGETHER_MAX 16

struct together {
    pthread_barrier_t *barrier;
    void (*work)(int thread);
    int thread;
};

static inline void *together_start(void *argument)
{
    const struct together *one = argument;

    pthread_barrier_wait(one->barrier);
    one->work(one->thread);
    return NULL;
}

/* Call work(0) to work(count - 1), each on a thread of its own, and wait for all. */
static inline void run_together(int count, void (*work)(int thread))
{
    struct together all[TOGETHER_MAX];
    pthread_t threads[TOGETHER_MAX];
    pthread_barrier_t barrier;

    CHECK(count <= TOGETHER_MAX);
    CHECK(pthread_barrier_init(&barrier, NULL, (unsigned)count) == 0);
    for (int i = 0; i < count; i++) {
        all[i] = (struct together){&barrier, work, i};
        CHECK(pthread_create(&threads[i], NULL, together_start, &all[i]) == 0);
    }
    for (int i = 0; i < count; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(pthread_barrier_destroy(&barrier) == 0);
}

#endif
