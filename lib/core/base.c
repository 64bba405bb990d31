/* SPDX-License-Identifier: Apache-2.0 */
/* Public functions of base.h that need nothing but this folder: version, names of statuses, log. */
#include <imgsim/base.h>

#include "core/status.h"
#include "core/threads.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>

#define TEXT_OF(number) #number
#define TEXT_OF_VALUE(number) TEXT_OF(number)

uint32_t imgsim_version(void)
{
    return IMGSIM_VERSION_NUMBER;
}

const char *imgsim_version_string(void)
{
    return TEXT_OF_VALUE(IMGSIM_VERSION_MAJOR) "." TEXT_OF_VALUE(
        IMGSIM_VERSION_MINOR) "." TEXT_OF_VALUE(IMGSIM_VERSION_PATCH);
}

const char *imgsim_status_name(imgsim_status status)
{
    static const char *const names[] = {
        "IMGSIM_OK",
        "IMGSIM_ERROR_INVALID_ARGUMENT",
        "IMGSIM_ERROR_OUT_OF_MEMORY",
        "IMGSIM_ERROR_IO",
        "IMGSIM_ERROR_NOT_FOUND",
        "IMGSIM_ERROR_UNSUPPORTED",
        "IMGSIM_ERROR_CORRUPT",
        "IMGSIM_ERROR_LIMIT",
        "IMGSIM_ERROR_BAD_IMAGE",
        "IMGSIM_ERROR_CANCELLED",
        "IMGSIM_ERROR_BUSY",
        "IMGSIM_ERROR_NOT_READY",
        "IMGSIM_ERROR_NO_SPACE",
        "IMGSIM_ERROR_CALLBACK",
        "IMGSIM_ERROR_INTERNAL",
    };
    const int32_t count = (int32_t)(sizeof(names) / sizeof(names[0]));

    if (status > 0 || status <= -count)
        return "unknown status";
    return names[-status];
}

uint32_t imgsim_cpu_count(void)
{
    return ims_cpu_count();
}

/* ---- log ---- */

/*
 * The lock keeps calls of the receiver apart; `has_receiver` spares the lock where nobody listens.
 */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static imgsim_log_callback log_receiver;
static void *log_user_data;
static atomic_bool has_receiver;

/* Set while this thread is inside the receiver, which may itself call the library. */
static _Thread_local bool inside_receiver;

void imgsim_set_log_callback(imgsim_log_callback callback, void *user_data)
{
    if (!inside_receiver)
        pthread_mutex_lock(&log_lock);
    log_receiver = callback;
    log_user_data = user_data;
    atomic_store(&has_receiver, callback != NULL);
    if (!inside_receiver)
        pthread_mutex_unlock(&log_lock);
}

void ims_log(int32_t level, const char *format, ...)
{
    char line[IMS_ERROR_TEXT_SIZE];
    va_list arguments;

    if (inside_receiver || !atomic_load_explicit(&has_receiver, memory_order_relaxed))
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    for (char *c = line; *c != '\0'; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';

    pthread_mutex_lock(&log_lock);
    if (log_receiver != NULL) {
        inside_receiver = true;
        log_receiver(level, line, log_user_data);
        inside_receiver = false;
    }
    pthread_mutex_unlock(&log_lock);
}
