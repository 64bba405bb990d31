/* SPDX-License-Identifier: Apache-2.0 */
/* Error text of the calling thread, and handing it from worker threads to the caller. */
#ifndef IMS_CORE_STATUS_H
#define IMS_CORE_STATUS_H

#include <imgsim/base.h>

#define IMS_ERROR_TEXT_SIZE 1024

#if defined(__GNUC__)
#define IMS_PRINTF(format_position, first) __attribute__((format(printf, format_position, first)))
#else
#define IMS_PRINTF(format_position, first)
#endif

/* Set the thread's error text and return `status`, so that `return ims_fail(...)` reads well. */
imgsim_status ims_fail(imgsim_status status, const char *format, ...) IMS_PRINTF(2, 3);

/*
 * The same from an errno value: ENOSPC/EDQUOT -> NO_SPACE, ENOENT/ENOTDIR -> NOT_FOUND, ENOMEM ->
 * OUT_OF_MEMORY, else IO; appends ": " and the system's words.
 */
imgsim_status ims_fail_errno(int error, const char *format, ...) IMS_PRINTF(2, 3);

/* "out of memory (N bytes)" */
imgsim_status ims_fail_memory(size_t size);

/* An error with its text, to carry from one thread to another. Zero it before use. */
struct ims_error {
    imgsim_status status;
    char text[IMS_ERROR_TEXT_SIZE];
};

/* Keep the thread's text with `status`. */
void ims_error_save(struct ims_error *error, imgsim_status status);

/* Make it this thread's error and return its status. */
imgsim_status ims_error_raise(const struct ims_error *error);

/* Send a line to the log callback, if there is one. */
void ims_log(int32_t level, const char *format, ...) IMS_PRINTF(2, 3);

#endif
