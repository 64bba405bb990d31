/* SPDX-License-Identifier: Apache-2.0 */
/* IMGSIM_SIMD forces a set that is there; another name is reported and ignored. */
#include "check.h"
#include "simd/kernels.h"

#include <sys/wait.h>
#include <unistd.h>

static int warnings;

static void count_warning(int32_t level, const char *text, void *user_data)
{
    (void)user_data;
    if (level == IMGSIM_LOG_WARNING && strstr(text, "IMGSIM_SIMD") != NULL)
        warnings++;
}

/* In a process of its own, because the choice is made once: ends with 0 if `wanted` gives `expected` and that many warnings. */
static int child(const char *wanted, const char *expected, int expected_warnings)
{
    const pid_t process = fork();
    int status = 0;

    CHECK(process >= 0);
    if (process == 0) {
        imgsim_set_log_callback(count_warning, NULL);
        setenv("IMGSIM_SIMD", wanted, 1);
        _exit(strcmp(imgsim_simd_name(), expected) == 0 && warnings == expected_warnings ? 0 : 1);
    }
    CHECK_EQUAL(waitpid(process, &status, 0), process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The set a child chooses by itself, told by its exit status. */
static const char *best_name(void)
{
    static const char *const names[] = {"avx512", "avx2", "neon", "scalar"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (child("", names[i], 0) == 0)
            return names[i];
    return "none";
}

int main(void)
{
    static const char *const names[] = {"scalar", "avx2", "avx512", "neon"};
    char best[32];
    size_t there = 0;

    /* All children first: the parent must not have chosen before they are made. */
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        there += child(names[i], names[i], 0) == 0;
    CHECK(there >= 1);
    CHECK_EQUAL(child("scalar", "scalar", 0), 0);

    unsetenv("IMGSIM_SIMD");
    snprintf(best, sizeof(best), "%s", best_name());
    CHECK_EQUAL(child("", best, 0), 0);
    CHECK_EQUAL(child("mmx", best, 1), 0);

    CHECK_TEXT(imgsim_simd_name(), best);
    CHECK(ims_kernels_named(best) == ims_kernels());
    CHECK(ims_kernels() == ims_kernels());
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        there -= ims_kernels_named(names[i]) != NULL;
    CHECK_EQUAL(there, 0);
    return 0;
}
