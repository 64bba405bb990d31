/* SPDX-License-Identifier: Apache-2.0 */
/* What the command says: messages, exit statuses, texts made safe for terminals, JSON. */
#include "common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- texts ---- */

/*
 * Bytes of the UTF-8 character at `text`, 0 if there is none (RFC 3629, section 4); a final NUL is
 * none.
 */
static size_t utf8_length(const unsigned char *text)
{
    const unsigned char first = text[0];
    unsigned char low = 0x80, high = 0xBF;
    size_t length;

    if (first == 0)
        return 0;
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        length = 2;
    else if (first >= 0xE0 && first <= 0xEF)
        length = 3;
    else if (first >= 0xF0 && first <= 0xF4)
        length = 4;
    else
        return 0;

    /* Over-long forms, surrogates, and what lies beyond U+10FFFF. */
    if (first == 0xE0)
        low = 0xA0;
    else if (first == 0xED)
        high = 0x9F;
    else if (first == 0xF0)
        low = 0x90;
    else if (first == 0xF4)
        high = 0x8F;
    if (text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if (text[i] < 0x80 || text[i] > 0xBF)
            return 0;
    }
    return length;
}

/* Terminals obey C0 and C1 control characters; C1 are U+0080 to U+009F. */
static bool is_control(const unsigned char *text, size_t length)
{
    return (length == 1 && (text[0] < 0x20 || text[0] == 0x7F)) ||
           (length == 2 && text[0] == 0xC2 && text[1] < 0xA0);
}

static char *escape(const char *bytes, bool backslashes)
{
    const unsigned char *text = (const unsigned char *)bytes;
    char *out = malloc(4 * strlen(bytes) + 1);
    char *end = out;

    if (out == NULL)
        return NULL;
    while (*text != '\0') {
        size_t length = utf8_length(text);

        if (length == 0 || is_control(text, length)) {
            if (length == 0)
                length = 1;
            for (size_t i = 0; i < length; i++)
                end += *text == '\n' && length == 1 ? sprintf(end, "\\n")
                                                    : sprintf(end, "\\x%02x", (unsigned)text[i]);
        } else if (*text == '\\' && backslashes) {
            end += sprintf(end, "\\\\");
        } else {
            memcpy(end, text, length);
            end += length;
        }
        text += length;
    }
    *end = '\0';
    return out;
}

char *cli_escape(const char *bytes)
{
    return escape(bytes, true);
}

char *cli_show_path(const char *path)
{
    char *here = getcwd(NULL, 0);
    const size_t length = here != NULL ? strlen(here) : 0;
    char *shown;

    if (length > 1 && strncmp(path, here, length) == 0 && path[length] == '/' &&
        path[length + 1] != '\0')
        path += length + 1;
    shown = escape(path, true);
    free(here);
    return shown;
}

char *cli_count_text(uint64_t number, char *buffer)
{
    char digits[24];
    const int count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
    char *end = buffer;

    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            *end++ = ',';
        *end++ = digits[i];
    }
    *end = '\0';
    return buffer;
}

/* ---- messages ---- */

static void say(const char *text)
{
    char *safe = escape(text, false);

    cli_clear_progress();
    fprintf(stderr, "imgsim: %s\n", safe != NULL ? safe : "out of memory");
    free(safe);
}

void cli_message(const char *format, ...)
{
    char text[8192];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    say(text);
}

void cli_note(const struct cli *cli, const char *format, ...)
{
    char text[8192];
    va_list arguments;

    if (cli->quiet)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    say(text);
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    char text[8192];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (cli->command != NULL)
        cli_message("%s ('imgsim help %s' tells more)", text, cli->command->name);
    else
        cli_message("%s ('imgsim help' tells more)", text);
    return CLI_USAGE;
}

static int exit_of_opening(imgsim_status status)
{
    switch (status) {
    case IMGSIM_ERROR_NOT_FOUND:
    case IMGSIM_ERROR_UNSUPPORTED: /* made by a newer version: sound, but not for us */
    case IMGSIM_ERROR_BUSY:
        return CLI_NO_CATALOG;
    case IMGSIM_ERROR_CORRUPT:
        return CLI_DAMAGED;
    case IMGSIM_ERROR_INVALID_ARGUMENT:
        return CLI_USAGE;
    default:
        return CLI_IO;
    }
}

static int exit_of(imgsim_status status, enum cli_about about)
{
    switch (status) {
    case IMGSIM_OK:
        return CLI_DONE;
    case IMGSIM_ERROR_CANCELLED:
        return CLI_INTERRUPTED;
    case IMGSIM_ERROR_BUSY:
        return CLI_NO_CATALOG;
    case IMGSIM_ERROR_NOT_FOUND:
        return about == CLI_ABOUT_INPUT || about == CLI_ABOUT_OUTPUT ? CLI_IO : CLI_USAGE;
    case IMGSIM_ERROR_CORRUPT:
        return about == CLI_ABOUT_CATALOG || about == CLI_ABOUT_OUTPUT ? CLI_DAMAGED : CLI_USAGE;
    case IMGSIM_ERROR_INVALID_ARGUMENT:
    case IMGSIM_ERROR_UNSUPPORTED:
    case IMGSIM_ERROR_LIMIT:
    case IMGSIM_ERROR_BAD_IMAGE:
    case IMGSIM_ERROR_NOT_READY:
        return CLI_USAGE;
    default:
        return CLI_IO;
    }
}

int cli_failed_at(imgsim_status status, enum cli_about about, const char *what)
{
    if (status == IMGSIM_ERROR_CANCELLED)
        cli_message("interrupted; run the same command again to go on");
    else if (what != NULL && strstr(imgsim_last_error(), what) == NULL)
        cli_message("%s: %s", what, imgsim_last_error());
    else
        cli_message("%s", imgsim_last_error());
    return about == CLI_ABOUT_OPENING ? exit_of_opening(status) : exit_of(status, about);
}

int cli_failed(imgsim_status status, enum cli_about about)
{
    return cli_failed_at(status, about, NULL);
}

int cli_no_memory(void)
{
    cli_message("out of memory");
    return CLI_IO;
}

/* ---- JSON ---- */

static bool is_utf8(const char *bytes)
{
    const unsigned char *text = (const unsigned char *)bytes;

    while (*text != '\0') {
        const size_t length = utf8_length(text);

        if (length == 0)
            return false;
        text += length;
    }
    return true;
}

json_t *cli_json_text(const char *bytes)
{
    const unsigned char *text = (const unsigned char *)bytes;
    char *valid = malloc(3 * strlen(bytes) + 1);
    char *end = valid;
    json_t *string;

    if (valid == NULL)
        return NULL;
    while (*text != '\0') {
        const size_t length = utf8_length(text);

        if (length == 0) {
            memcpy(end, "\xEF\xBF\xBD", 3); /* U+FFFD */
            end += 3;
            text++;
        } else {
            memcpy(end, text, length);
            end += length;
            text += length;
        }
    }
    string = json_stringn(valid, (size_t)(end - valid));
    free(valid);
    return string;
}

int cli_json_path(json_t *object, const char *key, const char *path)
{
    const size_t length = strlen(path);
    char name[64];
    char *hex;
    int status;

    if (json_object_set_new(object, key, cli_json_text(path)) != 0)
        return -1;
    if (is_utf8(path))
        return 0;

    hex = malloc(2 * length + 1);
    if (hex == NULL)
        return -1;
    for (size_t i = 0; i < length; i++)
        sprintf(hex + 2 * i, "%02x", (unsigned)(unsigned char)path[i]);
    snprintf(name, sizeof(name), "%s_bytes", key);
    status = json_object_set_new(object, name, json_string(hex));
    free(hex);
    return status;
}

int cli_print_json(json_t *root)
{
    int status = -1;

    if (root == NULL)
        return cli_no_memory();
    cli_clear_progress();
    status = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(root);
    if (status != 0 && !ferror(stdout))
        return cli_no_memory();
    putchar('\n');
    return CLI_DONE;
}

int cli_finish_output(int exit_status)
{
    const bool failed_before = ferror(stdout) != 0;

    errno = 0;
    if (fflush(stdout) == 0 && !failed_before)
        return exit_status;
    /*
     * A reader that went away wants no more: "imgsim search ... | head" is no mistake to talk
     * about.
     */
    if (errno != EPIPE)
        cli_message(
            "cannot write to standard output: %s",
            errno != 0 ? strerror(errno) : "an earlier write failed");
    return CLI_IO;
}
