/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of paths: * ? [ ] ** and \, characters in UTF-8.
 *
 * A pattern becomes a row of tokens. Matching keeps the set of positions that may come next and moves it along the path (Thompson,
 * Regular expression search algorithm, CACM 11(6), 1968), so that no pattern, however many stars it has, takes longer than the
 * path's length times its own.
 */
#include "scan/pattern.h"

#include <imgsim/scan.h>

#include "core/memory.h"

#include <string.h>

enum token_kind {
    TOKEN_CHARACTER,
    TOKEN_ONE,     /* ?: any but a slash */
    TOKEN_SET,     /* [...]: one of some ranges; never a slash */
    TOKEN_STAR,    /* *: any number of characters but slashes */
    TOKEN_ALL,     /* **: any number of characters */
    TOKEN_FOLDERS, /* "**" and a slash: any number of folders; followed by TOKEN_INSIDE, which stands inside the name of one */
    TOKEN_INSIDE
};

struct token {
    enum token_kind kind;
    uint32_t code; /* of TOKEN_CHARACTER; first range of TOKEN_SET */
    uint32_t range_count;
    bool negated;
};

struct range {
    uint32_t first;
    uint32_t last;
};

struct ims_pattern {
    struct token *tokens;
    struct range *ranges;
    size_t token_count;
    size_t range_count;
    bool whole_path;  /* has a slash: compared with the path, not the name */
    bool folder_only; /* ends with a slash */
};

/* Bytes that are no UTF-8 count as characters of their own, beyond all others. */
#define NO_UTF8 0x110000u

/* The next character of a text that has one; moves *text behind it. */
static uint32_t next_character(const char **text)
{
    const uint8_t *at = (const uint8_t *)*text;
    uint32_t code = at[0];
    size_t more = code >= 0xf0 && code < 0xf5 ? 3 : code >= 0xe0 ? 2 : code >= 0xc2 ? 1 : 0;

    if (code < 0x80) {
        (*text)++;
        return code;
    }
    if (code >= 0xf5)
        more = 0;
    code &= 0x3fu >> more;
    for (size_t i = 1; i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            more = 0;
            break;
        }
        code = code << 6 | (at[i] & 0x3f);
    }
    *text += more + 1;
    return more > 0 ? code : NO_UTF8 + at[0];
}

/* ---- reading a pattern ---- */

/* Where a pattern is being read, and what has come of it; there is room for as many tokens and ranges as characters. */
struct reader {
    struct ims_pattern *pattern;
    const char *at;
    const char *problem; /* NULL: none */
};

static struct token *add_token(struct reader *reader, enum token_kind kind, uint32_t code)
{
    struct token *token = &reader->pattern->tokens[reader->pattern->token_count++];

    *token = (struct token){.kind = kind, .code = code};
    return token;
}

/* A character that may be written with a backslash. */
static uint32_t read_literal(struct reader *reader)
{
    if (*reader->at == '\\')
        reader->at++;
    if (*reader->at == '\0') {
        reader->problem = "it ends with a backslash";
        return 0;
    }
    return next_character(&reader->at);
}

/* What stands behind '['. */
static void read_set(struct reader *reader)
{
    struct ims_pattern *pattern = reader->pattern;
    struct token *token = add_token(reader, TOKEN_SET, (uint32_t)pattern->range_count);

    token->negated = *reader->at == '!' || *reader->at == '^';
    reader->at += token->negated;
    /* A ']' that comes first stands for itself. */
    for (bool first = true; first || *reader->at != ']'; first = false) {
        struct range *range = &pattern->ranges[pattern->range_count];

        if (*reader->at == '\0' || *reader->at == '/') {
            reader->problem = "a '[' without its ']'";
            return;
        }
        range->first = range->last = read_literal(reader);
        if (reader->at[0] == '-' && reader->at[1] != ']' && reader->at[1] != '\0') {
            reader->at++;
            range->last = read_literal(reader);
        }
        if (reader->problem != NULL)
            return;
        if (range->last < range->first) {
            reader->problem = "a range in '[]' whose end comes before its begin";
            return;
        }
        pattern->range_count++;
        token->range_count++;
    }
    reader->at++;
}

static void read_stars(struct reader *reader, bool at_begin)
{
    size_t stars = strspn(reader->at, "*");

    reader->at += stars;
    if (stars < 2) {
        add_token(reader, TOKEN_STAR, 0);
    } else if (at_begin && *reader->at == '/') {
        reader->at++;
        add_token(reader, TOKEN_FOLDERS, 0);
        add_token(reader, TOKEN_INSIDE, 0);
    } else {
        add_token(reader, TOKEN_ALL, 0);
    }
}

static void read_tokens(struct reader *reader)
{
    bool at_begin = true; /* of a name */

    while (*reader->at != '\0' && reader->problem == NULL) {
        char byte = *reader->at;

        if (byte == '/' && reader->at[1] == '\0') {
            reader->pattern->folder_only = true;
            return;
        }
        if (byte == '*') {
            read_stars(reader, at_begin);
            at_begin = reader->at[-1] == '/';
            continue;
        }
        at_begin = byte == '/';
        if (byte == '[' || byte == '?')
            reader->at++;
        if (byte == '[')
            read_set(reader);
        else if (byte == '?')
            add_token(reader, TOKEN_ONE, 0);
        else
            add_token(reader, TOKEN_CHARACTER, read_literal(reader));
    }
}

static imgsim_status read_pattern(struct ims_pattern *pattern, const char *what, const char *text)
{
    struct reader reader = {.pattern = pattern, .at = text};
    size_t length = strlen(text), room = length + 2;
    const char *slash = strchr(text, '/');

    if (length > IMS_PATTERN_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%s: a pattern of %zu bytes, at most %d are possible",
            what, length, IMS_PATTERN_MAX);
    if ((pattern->tokens = ims_calloc(room, sizeof(*pattern->tokens))) == NULL ||
        (pattern->ranges = ims_calloc(room, sizeof(*pattern->ranges))) == NULL)
        return ims_fail_memory(room * sizeof(*pattern->tokens));
    pattern->whole_path = slash != NULL && slash[1] != '\0';
    if (*reader.at == '/')
        reader.at++;
    read_tokens(&reader);
    if (reader.problem == NULL && pattern->token_count == 0)
        reader.problem = "it is empty";
    if (reader.problem != NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%s: pattern \"%s\": %s", what, text, reader.problem);
    return IMGSIM_OK;
}

imgsim_status ims_patterns_open(
    struct ims_patterns *patterns,
    const char *what,
    const char *const *texts,
    size_t count)
{
    imgsim_status status = IMGSIM_OK;

    if (count == 0)
        return IMGSIM_OK;
    if (texts == NULL || count > IMS_PATTERNS_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%s: %zu patterns%s, at most %d", what, count,
            texts == NULL ? " at NULL" : "", IMS_PATTERNS_MAX);
    if ((patterns->items = ims_calloc(count, sizeof(*patterns->items))) == NULL)
        return ims_fail_memory(count * sizeof(*patterns->items));
    patterns->count = count;
    for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
        status = texts[i] == NULL
                     ? ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "%s: pattern %zu is NULL", what, i)
                     : read_pattern(&patterns->items[i], what, texts[i]);
    return status;
}

void ims_patterns_close(struct ims_patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++) {
        ims_free(patterns->items[i].tokens);
        ims_free(patterns->items[i].ranges);
    }
    ims_free(patterns->items);
    *patterns = (struct ims_patterns){0};
}

/* ---- matching ---- */

static bool in_set(const struct ims_pattern *pattern, const struct token *token, uint32_t code)
{
    const struct range *ranges = pattern->ranges + token->code;

    for (uint32_t i = 0; i < token->range_count; i++)
        if (code >= ranges[i].first && code <= ranges[i].last)
            return !token->negated;
    return token->negated;
}

/* Positions before tokens; `end` is one more than the last that is marked. */
struct positions {
    bool marked[IMS_PATTERN_MAX + 4];
    size_t end;
};

/* Mark a position, and those that it reaches without a character. */
static void mark(const struct ims_pattern *pattern, struct positions *positions, size_t position)
{
    while (!positions->marked[position]) {
        positions->marked[position] = true;
        if (position >= positions->end)
            positions->end = position + 1;
        if (position == pattern->token_count)
            return;
        switch (pattern->tokens[position].kind) {
        case TOKEN_STAR:
        case TOKEN_ALL:
            position++;
            break;
        case TOKEN_FOLDERS:
            position += 2;
            break;
        default:
            return;
        }
    }
}

/* Where one token leads with one character. */
static void
step(const struct ims_pattern *pattern, size_t position, uint32_t code, struct positions *next)
{
    const struct token *token = &pattern->tokens[position];

    switch (token->kind) {
    case TOKEN_CHARACTER:
        if (code == token->code)
            mark(pattern, next, position + 1);
        break;
    case TOKEN_ONE:
        if (code != '/')
            mark(pattern, next, position + 1);
        break;
    case TOKEN_SET:
        if (code != '/' && in_set(pattern, token, code))
            mark(pattern, next, position + 1);
        break;
    case TOKEN_STAR:
        if (code != '/')
            mark(pattern, next, position);
        break;
    case TOKEN_ALL:
        mark(pattern, next, position);
        break;
    case TOKEN_FOLDERS:
        mark(pattern, next, code == '/' ? position : position + 1);
        break;
    case TOKEN_INSIDE:
        mark(pattern, next, code == '/' ? position - 1 : position);
        break;
    }
}

static bool match(const struct ims_pattern *pattern, const char *text)
{
    struct positions sets[2], *now = &sets[0], *next = &sets[1];

    memset(now, 0, sizeof(*now));
    memset(next->marked, 0, pattern->token_count + 1);
    next->end = 0;
    mark(pattern, now, 0);
    while (*text != '\0') {
        uint32_t code = next_character(&text);
        struct positions *swap = now;

        for (size_t i = 0; i < now->end; i++) {
            if (now->marked[i] && i < pattern->token_count)
                step(pattern, i, code, next);
            now->marked[i] = false;
        }
        now->end = 0;
        now = next;
        next = swap;
        if (now->end == 0)
            return false;
    }
    return now->end == pattern->token_count + 1 && now->marked[pattern->token_count];
}

bool ims_patterns_match(const struct ims_patterns *patterns, const char *path, bool is_folder)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;

    for (size_t i = 0; i < patterns->count; i++) {
        const struct ims_pattern *pattern = &patterns->items[i];

        if ((is_folder || !pattern->folder_only) &&
            match(pattern, pattern->whole_path ? path : name))
            return true;
    }
    return false;
}

imgsim_status
imgsim_scan_match(const char *pattern, const char *path, int32_t is_folder, int32_t *out_matches)
{
    struct ims_patterns patterns = {0};
    imgsim_status status;

    if (pattern == NULL || path == NULL || out_matches == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "pattern, path and out_matches must not be NULL");
    *out_matches = 0;
    if ((status = ims_patterns_open(&patterns, "match", &pattern, 1)) == IMGSIM_OK)
        *out_matches = ims_patterns_match(&patterns, path, is_folder != 0);
    ims_patterns_close(&patterns);
    return status;
}
