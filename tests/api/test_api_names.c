/* SPDX-License-Identifier: Apache-2.0 */
/* Versions, names of statuses, metrics and kinds, and what the process is told. */
#include "check.h"

#include <imgsim/imgsim.h>

#include <pthread.h>

static void the_version_is_that_of_the_headers(void)
{
    char text[32];

    CHECK_EQUAL(imgsim_version(), IMGSIM_VERSION_NUMBER);
    snprintf(
        text, sizeof(text), "%d.%d.%d", IMGSIM_VERSION_MAJOR, IMGSIM_VERSION_MINOR,
        IMGSIM_VERSION_PATCH);
    CHECK_TEXT(imgsim_version_string(), text);
}

static void every_status_has_a_name(void)
{
    CHECK_TEXT(imgsim_status_name(IMGSIM_OK), "IMGSIM_OK");
    for (imgsim_status status = IMGSIM_ERROR_INTERNAL; status < IMGSIM_OK; status++) {
        CHECK(strncmp(imgsim_status_name(status), "IMGSIM_ERROR_", 13) == 0);
        for (imgsim_status other = IMGSIM_ERROR_INTERNAL; other < status; other++)
            CHECK(strcmp(imgsim_status_name(status), imgsim_status_name(other)) != 0);
    }
    CHECK_TEXT(imgsim_status_name(1), "unknown status");
    CHECK_TEXT(imgsim_status_name(IMGSIM_ERROR_INTERNAL - 1), "unknown status");
    CHECK_TEXT(imgsim_status_name(INT32_MIN), "unknown status");
}

static void names_of_metrics_lead_back(void)
{
    int32_t metric = 0;

    for (int32_t i = IMGSIM_METRIC_COSINE; i <= IMGSIM_METRIC_JACCARD; i++) {
        CHECK(imgsim_metric_name(i) != NULL);
        CHECK_OK(imgsim_metric_from_name(imgsim_metric_name(i), &metric));
        CHECK_EQUAL(metric, i);
    }
    CHECK(imgsim_metric_name(99) == NULL);
    CHECK_FAILS(
        imgsim_metric_from_name("nearness", &metric), IMGSIM_ERROR_INVALID_ARGUMENT, "cosine");
}

static void names_of_kinds_lead_back(void)
{
    int32_t kind = -1;

    for (int32_t i = IMGSIM_INDEX_AUTO; i <= IMGSIM_INDEX_HNSW; i++) {
        CHECK_OK(imgsim_index_kind_from_name(imgsim_index_kind_name(i), &kind));
        CHECK_EQUAL(kind, i);
    }
    CHECK(imgsim_index_kind_name(77) == NULL);
    CHECK(imgsim_index_kind_from_name("ivf", &kind) == IMGSIM_ERROR_UNSUPPORTED);
    CHECK(imgsim_index_kind_from_name("tree", &kind) == IMGSIM_ERROR_INVALID_ARGUMENT);
}

static void values_and_similarities(void)
{
    static const float a[2] = {3, 4}, b[2] = {0, 0};
    double value = 0, similarity = 0;

    CHECK_OK(imgsim_compare(IMGSIM_METRIC_L2, IMGSIM_ROW_FLOAT32, a, b, 2, &value));
    CHECK_NEAR(value, 5.0, 1e-12);
    CHECK_OK(imgsim_metric_similarity(IMGSIM_METRIC_L2, 2, value, &similarity));
    CHECK_NEAR(similarity, 1.0 / 6.0, 1e-12);
    CHECK_FAILS(
        imgsim_metric_similarity(IMGSIM_METRIC_L2, 2, NAN, &similarity),
        IMGSIM_ERROR_INVALID_ARGUMENT, "");
}

static void the_build_says_what_it_has(void)
{
    static const char *const names[] = {"torch", "jpeg", "png", "webp", "gif", "tiff",
                                        "heif",  "avif", "jxl", "bmp",  "pnm"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CHECK(imgsim_has_feature(names[i]) == 0 || imgsim_has_feature(names[i]) == 1);
    CHECK_EQUAL(imgsim_has_feature("jpeg"), 1);
    CHECK_EQUAL(imgsim_has_feature("png"), 1);
    CHECK_EQUAL(imgsim_has_feature("time travel"), 0);
    CHECK_EQUAL(imgsim_has_feature(""), 0);
    CHECK(strlen(imgsim_simd_name()) >= 4);
    CHECK(imgsim_cpu_count() >= 1);
    CHECK_OK(imgsim_set_blas_threads(1));
    CHECK_FAILS(imgsim_set_blas_threads(0), IMGSIM_ERROR_INVALID_ARGUMENT, "0");
    CHECK_FAILS(imgsim_set_blas_threads(1025), IMGSIM_ERROR_INVALID_ARGUMENT, "1025");
}

static void on_log(int32_t level, const char *message, void *user_data)
{
    CHECK(level >= IMGSIM_LOG_WARNING && level <= IMGSIM_LOG_DEBUG);
    CHECK(message != NULL);
    ++*(int *)user_data;
}

static void *fail_elsewhere(void *argument)
{
    int32_t kind;

    (void)argument;
    CHECK(imgsim_index_kind_from_name("elsewhere", &kind) != IMGSIM_OK);
    return NULL;
}

static void a_threads_error_is_its_own(void)
{
    pthread_t thread;
    int32_t kind;
    int lines = 0;

    imgsim_set_log_callback(on_log, &lines);
    CHECK(imgsim_last_error() != NULL);
    CHECK(imgsim_index_kind_from_name("here", &kind) != IMGSIM_OK);
    CHECK(pthread_create(&thread, NULL, fail_elsewhere, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(strstr(imgsim_last_error(), "here") != NULL);
    CHECK(strstr(imgsim_last_error(), "elsewhere") == NULL);
    CHECK(strchr(imgsim_last_error(), '\n') == NULL);
    imgsim_set_log_callback(NULL, NULL);
}

int main(void)
{
    the_version_is_that_of_the_headers();
    every_status_has_a_name();
    names_of_metrics_lead_back();
    names_of_kinds_lead_back();
    values_and_similarities();
    the_build_says_what_it_has();
    a_threads_error_is_its_own();
    return 0;
}
