/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers of the test programs: a failed check prints where and what, and the program ends with 1; 77 means skipped. */
#ifndef IMS_TESTS_CHECK_H
#define IMS_TESTS_CHECK_H

#include <imgsim/base.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

#define CHECK_OK(call)                                                     \
    do {                                                                   \
        imgsim_status check_status = (call);                               \
        if (check_status != IMGSIM_OK) {                                   \
            fprintf(                                                       \
                stderr, "%s:%d: %s: %s (%s)\n", __FILE__, __LINE__, #call, \
                imgsim_status_name(check_status), imgsim_last_error());    \
            exit(1);                                                       \
        }                                                                  \
    } while (0)

/* The call must fail with this status, and its text must contain `word`. */
#define CHECK_FAILS(call, status, word)                                                           \
    do {                                                                                          \
        imgsim_status check_status = (call);                                                      \
        if (check_status != (status)) {                                                           \
            fprintf(                                                                              \
                stderr, "%s:%d: %s: got %s, expected %s\n", __FILE__, __LINE__, #call,            \
                imgsim_status_name(check_status), imgsim_status_name(status));                    \
            exit(1);                                                                              \
        }                                                                                         \
        if (strstr(imgsim_last_error(), (word)) == NULL) {                                        \
            fprintf(                                                                              \
                stderr, "%s:%d: %s: \"%s\" does not mention \"%s\"\n", __FILE__, __LINE__, #call, \
                imgsim_last_error(), (word));                                                     \
            exit(1);                                                                              \
        }                                                                                         \
    } while (0)

#define CHECK_EQUAL(a, b)                                                                      \
    do {                                                                                       \
        long long check_a = (long long)(a), check_b = (long long)(b);                          \
        if (check_a != check_b) {                                                              \
            fprintf(                                                                           \
                stderr, "%s:%d: %s is %lld, expected %lld\n", __FILE__, __LINE__, #a, check_a, \
                check_b);                                                                      \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

#define CHECK_NEAR(a, b, tolerance)                                                              \
    do {                                                                                         \
        double check_a = (a), check_b = (b);                                                     \
        if (!(fabs(check_a - check_b) <= (tolerance))) {                                         \
            fprintf(                                                                             \
                stderr, "%s:%d: %s is %.17g, expected %.17g\n", __FILE__, __LINE__, #a, check_a, \
                check_b);                                                                        \
            exit(1);                                                                             \
        }                                                                                        \
    } while (0)

#define CHECK_TEXT(a, b)                                                                           \
    do {                                                                                           \
        const char *check_a = (a), *check_b = (b);                                                 \
        if (strcmp(check_a, check_b) != 0) {                                                       \
            fprintf(                                                                               \
                stderr, "%s:%d: %s is \"%s\", expected \"%s\"\n", __FILE__, __LINE__, #a, check_a, \
                check_b);                                                                          \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* Folder of the real test photos, or NULL: the test then skips what needs them, saying so. */
static inline const char *check_data_folder(void)
{
    const char *folder = getenv("IMGSIM_TEST_DATA");

#ifdef IMGSIM_SOURCE_DIR
    if (folder == NULL)
        folder = IMGSIM_SOURCE_DIR "/../shared/data";
#endif
    if (folder != NULL) {
        FILE *probe;
        char path[4096];

        snprintf(path, sizeof(path), "%s/README.md", folder);
        if ((probe = fopen(path, "rb")) != NULL) {
            fclose(probe);
            return folder;
        }
    }
    return NULL;
}

/* Say what is skipped and end with the status CTest takes for that. */
static inline void check_skip(const char *why)
{
    printf("skipped: %s\n", why);
    exit(77);
}

/* A new folder for this test below TMPDIR; its name is in a static buffer. */
static inline const char *check_temporary_folder(void)
{
    static char folder[512];
    const char *base = getenv("TMPDIR");

    snprintf(folder, sizeof(folder), "%s/imgsim-test-XXXXXX", base != NULL ? base : "/tmp");
    CHECK(mkdtemp(folder) != NULL);
    return folder;
}

#endif
