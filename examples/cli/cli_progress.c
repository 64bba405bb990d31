/* SPDX-License-Identifier: Apache-2.0 */
/* The progress line, and stopping on Ctrl-C. */
#include "common.h"

#include <signal.h>
#include <stdarg.h>
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

/* A line that grows; what does not fit is left out. */
struct line {
    char text[256];
    size_t used;
};

static void add(struct line *line, const char *format, ...) CLI_FORMAT(2);

static void add(struct line *line, const char *format, ...)
{
    va_list arguments;
    int count;

    va_start(arguments, format);
    count = vsnprintf(line->text + line->used, sizeof(line->text) - line->used, format, arguments);
    va_end(arguments);
    if (count > 0 && line->used + (size_t)count < sizeof(line->text))
        line->used += (size_t)count;
    else
        line->text[line->used] = '\0';
}

/* "scan  1,234/60,000  212/s  18 MB/s  5 failed  4 min 12 s left" */
static void format_line(const imgsim_progress *progress, struct line *line)
{
    char number[32];

    add(line, "%s  %s", progress->phase, cli_count_text(progress->done, number));
    if (progress->total > 0)
        add(line, "/%s", cli_count_text(progress->total, number));
    if (progress->rate >= 10)
        add(line, "  %s/s", cli_count_text((uint64_t)(progress->rate + 0.5), number));
    else if (progress->rate > 0)
        add(line, "  %.1f/s", progress->rate);
    if (progress->byte_rate >= 1e5)
        add(line, progress->byte_rate >= 1e7 ? "  %.0f MB/s" : "  %.1f MB/s",
            progress->byte_rate / 1e6);
    if (progress->failed > 0)
        add(line, "  %s failed", cli_count_text(progress->failed, number));
    if (progress->remaining_seconds >= 0 && progress->total > progress->done)
        add(line, "  %s left", cli_duration_text(progress->remaining_seconds, number));
}

/* One JSON object in a line: an event of the schema imgsim.progress/1. */
static void print_event(const imgsim_progress *progress)
{
    json_t *event = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "schema", "imgsim.progress/1",
        "phase", progress->phase, "done", (json_int_t)progress->done, "total",
        (json_int_t)progress->total, "failed", (json_int_t)progress->failed, "bytes",
        (json_int_t)progress->bytes, "total_bytes", (json_int_t)progress->total_bytes,
        "elapsed_seconds", progress->elapsed_seconds, "rate", progress->rate, "bytes_per_second",
        progress->byte_rate);
    char *text = NULL;

    if (event != NULL) {
        json_object_set_new(
            event, "remaining_seconds",
            progress->remaining_seconds >= 0 ? json_real(progress->remaining_seconds)
                                             : json_null());
        text = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(6));
    }
    if (text != NULL)
        fprintf(stderr, "%s\n", text);
    free(text);
    json_decref(event);
}

/* Lines for people come once a second, events for programs five times, and always where a phase begins or ends. */
static bool is_due(const struct cli *cli, const imgsim_progress *progress)
{
    static double last = -1;
    static char phase[32];
    const double interval = cli->progress == CLI_PROGRESS_JSON ? 0.2 : 1;
    const bool new_phase = strcmp(phase, progress->phase) != 0;
    const bool at_end = cli->progress == CLI_PROGRESS_JSON && progress->total > 0 &&
                        progress->done == progress->total;

    if (last >= 0 && progress->elapsed_seconds >= last &&
        progress->elapsed_seconds - last < interval && !new_phase && !at_end)
        return false;
    snprintf(phase, sizeof(phase), "%s", progress->phase);
    last = progress->elapsed_seconds;
    return true;
}

static bool is_terminal(void)
{
    const char *kind = getenv("TERM");

    return isatty(STDERR_FILENO) == 1 && (kind == NULL || strcmp(kind, "dumb") != 0);
}

int32_t cli_show_progress(const imgsim_progress *progress, void *user_data)
{
    const struct cli *cli = user_data;
    struct line line = {.used = 0};

    /* A program that asked for events gets them also where people asked for silence. */
    if (cli->progress == CLI_PROGRESS_JSON) {
        if (is_due(cli, progress))
            print_event(progress);
        return interrupted != 0;
    }
    if (cli->quiet || interrupted)
        return interrupted != 0;
    if (is_terminal()) {
        format_line(progress, &line);
        fprintf(stderr, "\r%s\033[K", line.text);
        fflush(stderr);
        atomic_store(&line_shown, true);
    } else if (cli->progress != 0 && is_due(cli, progress)) {
        format_line(progress, &line);
        fprintf(stderr, "%s\n", line.text);
    }
    return interrupted != 0;
}
