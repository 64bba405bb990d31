/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program's checks with every instruction set that this processor has. */
#ifndef EACH_SET_H
#define EACH_SET_H

#include "check.h"
#include "simd/kernels.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The choice of instructions is made once per process: one child for each set. */
static int with_each_set(void (*all_checks)(void))
{
    static const char *const sets[] = {"scalar", "avx2", "avx512", "neon"};

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        const pid_t child = fork();
        int status = 0;

        CHECK(child >= 0);
        if (child == 0) {
            setenv("IMGSIM_SIMD", sets[i], 1);
            if (strcmp(ims_kernels()->name, sets[i]) == 0)
                all_checks();
            exit(0);
        }
        CHECK_EQUAL(waitpid(child, &status, 0), child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    return 0;
}

#endif
