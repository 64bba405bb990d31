/* SPDX-License-Identifier: Apache-2.0 */
/* Text for people and pages: growing, escaped, and written the same in every locale. */
#include "query/query.h"

#include "core/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void ims_text_add_bytes(struct ims_text *text, const void *bytes, size_t size)
{
    if (text->failed ||
        !ims_grow((void **)&text->bytes, &text->capacity, text->size + size + 1, 1)) {
        text->failed = true;
        return;
    }
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

void ims_text_add(struct ims_text *text, const char *addition)
{
    ims_text_add_bytes(text, addition, strlen(addition));
}

void ims_text_clear(struct ims_text *text)
{
    ims_free(text->bytes);
    memset(text, 0, sizeof(*text));
}

/* ---- escaping ---- */

/*
 * Bytes of the valid UTF-8 sequence that begins here, 0 if there is none: table 3-7 of the Unicode
 * Standard, which leaves out overlong forms, surrogates and what lies beyond U+10FFFF.
 */
static size_t sequence_size(const unsigned char *bytes)
{
    unsigned char lead = bytes[0];
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    size_t size = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

    if (lead > 0xF4)
        return 0;
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    if (size > 1 && (bytes[1] < low || bytes[1] > high))
        return 0;
    for (size_t i = 2; i < size; i++)
        if (bytes[i] < 0x80 || bytes[i] > 0xBF)
            return 0;
    return size;
}

/* What stands for a character that must not appear as it is; NULL: it may. */
static const char *replacement(const unsigned char *bytes, size_t size)
{
    switch (bytes[0]) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        /* Invalid bytes and the control characters C0, DEL and C1. */
        if (size == 0 || bytes[0] < 0x20 || bytes[0] == 0x7F ||
            (bytes[0] == 0xC2 && bytes[1] < 0xA0))
            return "\xEF\xBF\xBD";
        return NULL;
    }
}

void ims_text_add_html(struct ims_text *text, const char *bytes)
{
    const unsigned char *p = (const unsigned char *)bytes;

    while (*p != '\0') {
        size_t size = sequence_size(p);
        const char *instead = replacement(p, size);

        if (instead != NULL)
            ims_text_add(text, instead);
        else
            ims_text_add_bytes(text, p, size);
        p += size > 0 ? size : 1;
    }
}

void ims_text_add_url(struct ims_text *text, const char *path)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";

    ims_text_add(text, "file://");
    for (const unsigned char *p = (const unsigned char *)path; *p != '\0'; p++) {
        char encoded[4];

        if (strchr(plain, *p) != NULL)
            ims_text_add_bytes(text, p, 1);
        else {
            snprintf(encoded, sizeof(encoded), "%%%02X", *p);
            ims_text_add(text, encoded);
        }
    }
}

void ims_text_add_base64(struct ims_text *text, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0);
        char encoded[4] = {
            digits[group >> 18], digits[group >> 12 & 63], left > 1 ? digits[group >> 6 & 63] : '=',
            left > 2 ? digits[group & 63] : '='};

        ims_text_add_bytes(text, encoded, sizeof(encoded));
    }
}

/* ---- numbers ---- */

void ims_text_add_decimal(struct ims_text *text, double value, int digits)
{
    char number[64];
    double scale = pow(10, digits);
    double scaled = round(fabs(value) * scale);
    uint64_t rest;

    if (!(scaled < 1e15)) { /* also NaN; no decimal point appears */
        snprintf(number, sizeof(number), "%.0f", value);
        ims_text_add(text, number);
        return;
    }
    rest = (uint64_t)scaled;
    snprintf(
        number, sizeof(number), "%s%" PRIu64 "%s", value < 0 && rest > 0 ? "-" : "",
        rest / (uint64_t)scale, digits > 0 ? "." : "");
    ims_text_add(text, number);
    rest %= (uint64_t)scale;
    for (uint64_t place = (uint64_t)scale / 10; place > 0; place /= 10) {
        char digit = (char)('0' + rest / place % 10);

        ims_text_add_bytes(text, &digit, 1);
    }
}

void ims_text_add_count(struct ims_text *text, uint64_t count)
{
    char digits[24];
    size_t length = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, count);

    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            ims_text_add(text, ",");
        ims_text_add_bytes(text, &digits[i], 1);
    }
}

/* ---- lines about results ---- */

const char *ims_short_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *start = slash;

    if (slash == NULL)
        return path;
    while (start > path && start[-1] != '/')
        start--;
    return start == slash ? slash + 1 : start;
}

void ims_text_add_summary(struct ims_text *text, const imgsim_result *result)
{
    ims_text_add_count(text, result->count);
    ims_text_add(text, " of ");
    ims_text_add_count(text, result->image_count);
    ims_text_add(
        text, result->exact ? " images \xC2\xB7 exact \xC2\xB7 "
                            : " images \xC2\xB7 approximate \xC2\xB7 ");
    ims_text_add_decimal(text, result->elapsed_ms, 1);
    ims_text_add(text, " ms");
}

void ims_text_add_channels(struct ims_text *text, const imgsim_result *result)
{
    for (size_t i = 0; i < result->channel_count; i++) {
        const struct ims_result_channel *channel = &result->channels[i];

        ims_text_add(text, i > 0 ? ", " : "");
        ims_text_add(text, channel->feature);
        ims_text_add(text, " ");
        ims_text_add(text, imgsim_metric_name(channel->metric));
        if (result->channel_count > 1) {
            ims_text_add(text, " ");
            ims_text_add_decimal(text, channel->weight * 100, 0);
            ims_text_add(text, " %");
        }
    }
}
