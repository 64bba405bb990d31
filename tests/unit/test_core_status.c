/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts, names of statuses, version and log. */
#include "check.h"

#include "core/status.h"
#include "core/threads.h"

#include <errno.h>
#include <pthread.h>

static void a_failure_keeps_its_text_and_returns_its_status(void)
{
    CHECK_EQUAL(ims_fail(IMGSIM_ERROR_LIMIT, "%d is more than %d", 7, 5), IMGSIM_ERROR_LIMIT);
    CHECK_TEXT(imgsim_last_error(), "7 is more than 5");
}

static void a_text_may_be_made_from_the_last_one(void)
{
    ims_fail(IMGSIM_ERROR_IO, "inner");
    ims_fail(IMGSIM_ERROR_IO, "outer: %s", imgsim_last_error());
    CHECK_TEXT(imgsim_last_error(), "outer: inner");
}

static void a_text_is_one_line_and_cut_where_the_buffer_ends(void)
{
    char longer[3 * IMS_ERROR_TEXT_SIZE];

    ims_fail(IMGSIM_ERROR_IO, "first\nsecond\n");
    CHECK_TEXT(imgsim_last_error(), "first second");
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    ims_fail(IMGSIM_ERROR_IO, "%s", longer);
    CHECK_EQUAL(strlen(imgsim_last_error()), IMS_ERROR_TEXT_SIZE - 1);
    CHECK_EQUAL(ims_fail_errno(ENOENT, "%s", longer), IMGSIM_ERROR_NOT_FOUND);
}

static void system_errors_become_our_codes(void)
{
    CHECK_EQUAL(ims_fail_errno(ENOSPC, "x"), IMGSIM_ERROR_NO_SPACE);
    CHECK_EQUAL(ims_fail_errno(EDQUOT, "x"), IMGSIM_ERROR_NO_SPACE);
    CHECK_EQUAL(ims_fail_errno(ENOMEM, "x"), IMGSIM_ERROR_OUT_OF_MEMORY);
    CHECK_EQUAL(ims_fail_errno(ENOTDIR, "x"), IMGSIM_ERROR_NOT_FOUND);
    CHECK_EQUAL(ims_fail_errno(EACCES, "cannot open %s", "a"), IMGSIM_ERROR_IO);
    CHECK(strncmp(imgsim_last_error(), "cannot open a: ", 15) == 0);
    CHECK(strlen(imgsim_last_error()) > 15);
}

static void *fail_elsewhere(void *argument)
{
    struct ims_error *error = argument;

    CHECK_TEXT(imgsim_last_error(), "");
    ims_error_save(error, ims_fail(IMGSIM_ERROR_CORRUPT, "from the thread"));
    return NULL;
}

static void threads_have_their_own_text_and_hand_it_over(void)
{
    struct ims_error error = {0};
    pthread_t thread;

    ims_fail(IMGSIM_ERROR_IO, "from the caller");
    CHECK_EQUAL(pthread_create(&thread, NULL, fail_elsewhere, &error), 0);
    pthread_join(thread, NULL);
    CHECK_TEXT(imgsim_last_error(), "from the caller");
    CHECK_EQUAL(ims_error_raise(&error), IMGSIM_ERROR_CORRUPT);
    CHECK_TEXT(imgsim_last_error(), "from the thread");
}

static void every_status_has_its_name(void)
{
    CHECK_TEXT(imgsim_status_name(IMGSIM_OK), "IMGSIM_OK");
    CHECK_TEXT(imgsim_status_name(IMGSIM_ERROR_INVALID_ARGUMENT), "IMGSIM_ERROR_INVALID_ARGUMENT");
    CHECK_TEXT(imgsim_status_name(IMGSIM_ERROR_CORRUPT), "IMGSIM_ERROR_CORRUPT");
    CHECK_TEXT(imgsim_status_name(IMGSIM_ERROR_NOT_READY), "IMGSIM_ERROR_NOT_READY");
    CHECK_TEXT(imgsim_status_name(IMGSIM_ERROR_INTERNAL), "IMGSIM_ERROR_INTERNAL");
    CHECK_TEXT(imgsim_status_name(IMGSIM_ERROR_INTERNAL - 1), "unknown status");
    CHECK_TEXT(imgsim_status_name(1), "unknown status");
    CHECK_TEXT(imgsim_status_name(INT32_MIN), "unknown status");
}

static void version_is_that_of_the_headers(void)
{
    char text[32];

    CHECK_EQUAL(imgsim_version(), IMGSIM_VERSION_NUMBER);
    snprintf(
        text, sizeof(text), "%d.%d.%d", IMGSIM_VERSION_MAJOR, IMGSIM_VERSION_MINOR,
        IMGSIM_VERSION_PATCH);
    CHECK_TEXT(imgsim_version_string(), text);
}

static int line_count;
static int inside;

static void receive(int32_t level, const char *message, void *user_data)
{
    CHECK_EQUAL(inside, 0); /* one call at a time */
    inside = 1;
    CHECK_EQUAL(level, IMGSIM_LOG_INFO);
    CHECK(strchr(message, '\n') == NULL);
    CHECK(user_data == &line_count);
    line_count++;
    ims_log(IMGSIM_LOG_INFO, "a receiver that logs is not called again");
    inside = 0;
}

static imgsim_status log_item(void *context, size_t item, uint32_t worker)
{
    (void)context;
    (void)worker;
    ims_log(IMGSIM_LOG_INFO, "item %zu\n", item);
    return IMGSIM_OK;
}

static void log_lines_reach_the_receiver_one_at_a_time(void)
{
    struct ims_pool *pool;

    ims_log(IMGSIM_LOG_INFO, "nobody listens");
    imgsim_set_log_callback(receive, &line_count);
    CHECK_OK(ims_pool_new(4, &pool));
    CHECK_OK(ims_pool_run(pool, 200, log_item, NULL));
    CHECK_EQUAL(line_count, 200);
    imgsim_set_log_callback(NULL, NULL);
    ims_log(IMGSIM_LOG_INFO, "nobody listens any more");
    CHECK_EQUAL(line_count, 200);
    ims_pool_free(pool);
}

int main(void)
{
    a_failure_keeps_its_text_and_returns_its_status();
    a_text_may_be_made_from_the_last_one();
    a_text_is_one_line_and_cut_where_the_buffer_ends();
    system_errors_become_our_codes();
    threads_have_their_own_text_and_hand_it_over();
    every_status_has_its_name();
    version_is_that_of_the_headers();
    log_lines_reach_the_receiver_one_at_a_time();
    return 0;
}
