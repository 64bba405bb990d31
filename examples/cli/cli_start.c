/* SPDX-License-Identifier: Apache-2.0 */
/* What has to be done before the libraries that the command is linked with are set up. */
#include "common.h"

#include <sched.h>

/*
 * OpenBLAS starts a thread per processor when it is loaded, and each spins for some 50 ms before it sleeps: more processor time than
 * most commands take. The library splits matrix products over its own threads, so that the command needs none of them; main() says
 * the same by imgsim_set_blas_threads(), which is too late for those at the start. OpenBLAS counts the processors that the process
 * may run on, so it may run on one only until main() takes that back. (A variable set here would be forgotten: the C library takes the
 * environment up later.)
 */
static cpu_set_t processors;
static bool has_set;

static void allow_one_processor(void)
{
    cpu_set_t one;
    int cpu = 0;

    if (sched_getaffinity(0, sizeof(processors), &processors) != 0)
        return;
    while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &processors))
        cpu++;
    if (cpu == CPU_SETSIZE)
        return;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    has_set = sched_setaffinity(0, sizeof(one), &one) == 0;
}

/* The only functions of a program that run before those of its shared libraries (System V ABI, initialisation). */
__attribute__((section(".preinit_array"), used)) static void (*const before_libraries)(void) =
    allow_one_processor;

void cli_allow_all_processors(void)
{
    if (has_set)
        sched_setaffinity(0, sizeof(processors), &processors);
    has_set = false;
}
