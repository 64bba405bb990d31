/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses the kernels for this processor, once; IMGSIM_SIMD names another set. */
#include "simd/kernels.h"

#include "core/status.h"
#include "simd/kernels_sets.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Sets this processor has, best first; the last is always scalar. */
#define SETS_MAX 4

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct ims_kernels *sets[SETS_MAX];
static size_t set_count;
static const struct ims_kernels *chosen;

#if defined(__x86_64__)
static struct ims_kernels avx512_table, avx2_table;

static void find_sets(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        avx512_table = ims_kernels_avx512;
        ims_kernels_avx512_planes(&avx512_table, __builtin_cpu_supports("avx512vnni") != 0);
        ims_kernels_avx512_extend(
            &avx512_table, __builtin_cpu_supports("avx512vnni") != 0,
            __builtin_cpu_supports("avx512vpopcntdq") != 0);
        sets[set_count++] = &avx512_table;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
        __builtin_cpu_supports("popcnt")) {
        avx2_table = ims_kernels_avx2;
        ims_kernels_avx2_planes(&avx2_table);
        sets[set_count++] = &avx2_table;
    }
}
#elif defined(__aarch64__)
static void find_sets(void)
{
    sets[set_count++] = &ims_kernels_neon; /* NEON is part of the base architecture */
}
#else
static void find_sets(void)
{
}
#endif

static const struct ims_kernels *find_named(const char *name)
{
    for (size_t i = 0; i < set_count; i++)
        if (strcmp(sets[i]->name, name) == 0)
            return sets[i];
    return NULL;
}

static void choose(void)
{
    const char *wanted = getenv("IMGSIM_SIMD");

    find_sets();
    sets[set_count++] = &ims_kernels_scalar;
    chosen = sets[0];
    if (wanted == NULL || wanted[0] == '\0')
        return;

    if (find_named(wanted) != NULL)
        chosen = find_named(wanted);
    else
        ims_log(
            IMGSIM_LOG_WARNING, "IMGSIM_SIMD: no set \"%s\" on this processor, using %s", wanted,
            chosen->name);
}

const struct ims_kernels *ims_kernels(void)
{
    pthread_once(&once, choose);
    return chosen;
}

const struct ims_kernels *ims_kernels_named(const char *name)
{
    pthread_once(&once, choose);
    return find_named(name);
}

const char *imgsim_simd_name(void)
{
    return ims_kernels()->name;
}
