/* SPDX-License-Identifier: Apache-2.0 */
/* The progress line, and stopping on Ctrl-C. */
#include "common.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;
/*
 * Whether a progress line without a line end is on the terminal; log messages come from any
 * thread.
 */
static atomic_bool line_shown;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void cli_catch_interrupts(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_interrupt;
    /* One chance to stop in order; the second signal does what it always does. */
    action.sa_flags = (int)SA_RESETHAND;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool cli_interrupted(void)
{
    return interrupted != 0;
}

void cli_clear_progress(void)
{
    if (atomic_exchange(&line_shown, false))
        fputs("\r\033[K", stderr);
}

char *cli_duration_text(double seconds, char *buffer)
{
    const unsigned long whole = seconds > 0 && seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 0;

    if (whole >= 3600)
        snprintf(buffer, 32, "%lu h %02lu min", whole / 3600, whole / 60 % 60);
    else if (whole >= 60)
        snprintf(buffer, 32, "%lu min %02lu s", whole / 60, whole % 60);
    else
        snprintf(buffer, 32, "%lu s", whole);
    return buffer;
}

/* "scan  1,234/60,000  212/s  5 failed  4 min 12 s left" */
static void format_line(const imgsim_progress *progress, char *line, size_t line_size)
{
    char number[32];
    size_t used = (size_t)snprintf(
        line, line_size, "%s  %s", progress->phase, cli_count_text(progress->done, number));

    if (progress->total > 0)
        used += (size_t)snprintf(
            line + used, line_size - used, "/%s", cli_count_text(progress->total, number));
    if (progress->rate >= 10)
        used += (size_t)snprintf(
            line + used, line_size - used, "  %s/s",
            cli_count_text((uint64_t)(progress->rate + 0.5), number));
    else if (progress->rate > 0)
        used += (size_t)snprintf(line + used, line_size - used, "  %.1f/s", progress->rate);
    if (progress->failed > 0)
        used += (size_t)snprintf(
            line + used, line_size - used, "  %s failed", cli_count_text(progress->failed, number));
    if (progress->remaining_seconds >= 0 && progress->total > progress->done)
        snprintf(
            line + used, line_size - used, "  %s left",
            cli_duration_text(progress->remaining_seconds, number));
}

static bool is_terminal(void)
{
    const char *kind = getenv("TERM");

    return isatty(STDERR_FILENO) == 1 && (kind == NULL || strcmp(kind, "dumb") != 0);
}

int32_t cli_show_progress(const imgsim_progress *progress, void *user_data)
{
    static double last_line = -1;
    const struct cli *cli = user_data;
    char line[256];

    if (cli->quiet || interrupted)
        return interrupted != 0;
    if (is_terminal()) {
        format_line(progress, line, sizeof(line));
        fprintf(stderr, "\r%s\033[K", line);
        fflush(stderr);
        atomic_store(&line_shown, true);
    } else if (
        cli->progress && (last_line < 0 || progress->elapsed_seconds < last_line ||
                          progress->elapsed_seconds - last_line >= 1)) {
        format_line(progress, line, sizeof(line));
        fprintf(stderr, "%s\n", line);
        last_line = progress->elapsed_seconds;
    }
    return interrupted != 0;
}
