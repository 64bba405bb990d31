/* SPDX-License-Identifier: Apache-2.0 */
/* What has to be done before the libraries that the command is linked with are set up. */
#include "common.h"

#include <stdlib.h>

/*
 * OpenBLAS starts a thread per processor when it is loaded, and each spins for some 50 ms before it sleeps: more processor time than
 * most commands take. The library splits matrix products over its own threads, so that the command needs none of them; main() says
 * the same by imgsim_set_blas_threads(), which is too late for those at the start. Who sets the variable has it as it is.
 */
static bool has_set;

static void start_no_blas_threads(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    (void)environment;
    if (getenv("OPENBLAS_NUM_THREADS") == NULL)
        has_set = setenv("OPENBLAS_NUM_THREADS", "1", 0) == 0;
}

/* The only functions of a program that run before those of its shared libraries (System V ABI, initialisation). */
__attribute__((section(".preinit_array"), used)) static void (
        *const before_libraries)(int, char **, char **) = start_no_blas_threads;

void cli_restore_environment(void)
{
    if (has_set)
        unsetenv("OPENBLAS_NUM_THREADS");
    has_set = false;
}
