/* SPDX-License-Identifier: Apache-2.0 */
/* Error text of the calling thread, and handing it from worker threads to the caller. */
#include "core/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char last_error[IMS_ERROR_TEXT_SIZE];

const char *imgsim_last_error(void)
{
    return last_error;
}

/*
 * Keep a text, which may have been made from the one kept now; a text is one line without a final
 * stop.
 */
static void keep_text(const char *text)
{
    size_t length = strlen(text);

    if (length >= sizeof(last_error))
        length = sizeof(last_error) - 1;
    memmove(last_error, text, length);
    last_error[length] = '\0';
    while (length > 0 && (last_error[length - 1] == '\n' || last_error[length - 1] == ' '))
        last_error[--length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (last_error[i] == '\n' || last_error[i] == '\r' || last_error[i] == '\t')
            last_error[i] = ' ';
}

imgsim_status ims_fail(imgsim_status status, const char *format, ...)
{
    char text[IMS_ERROR_TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    keep_text(text);
    return status;
}

/* The system's words for an error; strerror() itself is not safe among threads. */
static const char *system_words(int error, char *buffer, size_t size)
{
#if defined(__GLIBC__)
    return strerror_r(error, buffer, size);
#else
    if (strerror_r(error, buffer, size) != 0)
        snprintf(buffer, size, "error %d", error);
    return buffer;
#endif
}

static imgsim_status status_of_errno(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return IMGSIM_ERROR_NO_SPACE;
    case ENOENT:
    case ENOTDIR:
        return IMGSIM_ERROR_NOT_FOUND;
    case ENOMEM:
        return IMGSIM_ERROR_OUT_OF_MEMORY;
    default:
        return IMGSIM_ERROR_IO;
    }
}

imgsim_status ims_fail_errno(int error, const char *format, ...)
{
    char text[IMS_ERROR_TEXT_SIZE];
    char words[128];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0)
        length = 0;
    if ((size_t)length < sizeof(text))
        snprintf(
            text + length, sizeof(text) - (size_t)length, ": %s",
            system_words(error, words, sizeof(words)));
    keep_text(text);
    return status_of_errno(error);
}

imgsim_status ims_fail_memory(size_t size)
{
    return ims_fail(IMGSIM_ERROR_OUT_OF_MEMORY, "out of memory (%zu bytes)", size);
}

void ims_error_save(struct ims_error *error, imgsim_status status)
{
    error->status = status;
    memcpy(error->text, last_error, sizeof(error->text));
}

imgsim_status ims_error_raise(const struct ims_error *error)
{
    if (error->status != IMGSIM_OK)
        memcpy(last_error, error->text, sizeof(last_error));
    return error->status;
}
