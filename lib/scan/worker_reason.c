/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts for files that a worker did not survive, and reading them again: they carry what it depends on whether another try may go
 * better, the library's version or the limit that was reached.
 */
#include "scan/worker.h"

#include "extract/extractor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define MEGABYTE 1048576u
#define STUCK "stuck for "

/* "while decoding", "in extractor color" */
static void
name_step(const struct ims_prepare_settings *settings, uint32_t step, char *text, size_t size)
{
    if (step < settings->extractor_count)
        snprintf(text, size, "in extractor %s", settings->extractors[step]->name);
    else
        snprintf(text, size, "while decoding");
}

static void name_signal(int number, char *text, size_t size)
{
    const char *name = sigabbrev_np(number);

    if (name != NULL)
        snprintf(text, size, "SIG%s", name);
    else
        snprintf(text, size, "signal %d", number);
}

/* Whole seconds or milliseconds: no number that depends on the locale. */
static void name_time(uint64_t milliseconds, char *text, size_t size)
{
    if (milliseconds % 1000 == 0)
        snprintf(text, size, "%llu s", (unsigned long long)milliseconds / 1000);
    else
        snprintf(text, size, "%llu ms", (unsigned long long)milliseconds);
}

static uint64_t read_time(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);

    return strncmp(end, " ms", 3) == 0 ? value : value * 1000;
}

void ims_worker_set_memory(uint64_t limit, struct ims_prepared_file *out)
{
    ims_prepared_set(
        out, IMGSIM_FILE_FAILED, IMS_REASON_MEMORY " (limit %llu MB)",
        (unsigned long long)(limit / MEGABYTE));
}

void ims_worker_set_end(
    const struct ims_worker_settings *settings,
    const struct ims_worker_end *end,
    struct ims_prepared_file *out)
{
    uint64_t time = settings->timeout_ms;
    char step[96], how[96];

    name_step(settings->prepare, end->step, step, sizeof(step));
    if (end->timed_out) {
        name_time(end->stuck ? time * IMS_WORKER_PATIENCE : time, how, sizeof(how));
        ims_prepared_set(out, IMGSIM_FILE_TIMEOUT, "%s%s %s", end->stuck ? STUCK : "", how, step);
        return;
    }
    if (end->fault == IMS_FAULT_MEMORY) {
        ims_worker_set_memory(settings->memory, out);
        return;
    }
    if (end->lost) {
        snprintf(how, sizeof(how), "lost process");
    } else if (WIFSIGNALED(end->wait_status)) {
        name_signal(WTERMSIG(end->wait_status), how, sizeof(how));
        if (end->fault == IMS_FAULT_STACK)
            strcat(how, " (stack overflow)");
        else if (end->fault == IMS_FAULT_CALL)
            snprintf(
                how + strlen(how), sizeof(how) - strlen(how), " (system call %u)", end->fault_call);
    } else {
        snprintf(how, sizeof(how), "exit %d", WEXITSTATUS(end->wait_status));
    }
    ims_prepared_set(
        out, IMGSIM_FILE_CRASHED, "%s %s (imgsim %s)", how, step, imgsim_version_string());
}

/* ---- reading them ---- */

/* Whether the reason ends in this version's name. */
static bool is_of_this_version(const char *reason)
{
    char mark[64];
    size_t length = strlen(reason), size;

    size = (size_t)snprintf(mark, sizeof(mark), "(imgsim %s)", imgsim_version_string());
    return length >= size && strcmp(reason + length - size, mark) == 0;
}

/* The limit in megabytes of a file that was too large for a worker's memory; 0 for other reasons. */
static uint64_t memory_limit_of(const char *reason)
{
    static const char start[] = IMS_REASON_MEMORY " (limit ";

    return strncmp(reason, start, sizeof(start) - 1) == 0
               ? strtoull(reason + sizeof(start) - 1, NULL, 10)
               : 0;
}

bool ims_reason_outgrown(int32_t state, const char *reason, const struct ims_isolation *isolation)
{
    uint64_t limit, time = isolation->timeout_ms;

    if (state == IMGSIM_FILE_FAILED) {
        limit = memory_limit_of(reason);
        return limit != 0 &&
               (isolation->mode == IMGSIM_ISOLATION_NONE || isolation->memory / MEGABYTE > limit);
    }
    /* Without a worker nobody would survive another try. */
    if (isolation->mode == IMGSIM_ISOLATION_NONE)
        return false;
    if (state == IMGSIM_FILE_CRASHED)
        return !is_of_this_version(reason);
    if (state == IMGSIM_FILE_TIMEOUT) {
        if (strncmp(reason, STUCK, sizeof(STUCK) - 1) == 0)
            return time * IMS_WORKER_PATIENCE > read_time(reason + sizeof(STUCK) - 1);
        return time > read_time(reason);
    }
    return false;
}
