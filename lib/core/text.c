/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that grow, UTF-8, and what is escaped for pages and tables. */
#include "core/text.h"

#include "core/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- UTF-8 ---- */

size_t ims_utf8_size(const unsigned char *bytes)
{
    unsigned char lead = bytes[0];
    unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    size_t size = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

    if (lead > 0xF4 || (size > 1 && (bytes[1] < low || bytes[1] > high)))
        return 0;
    for (size_t i = 2; i < size; i++)
        if (bytes[i] < 0x80 || bytes[i] > 0xBF)
            return 0;
    return size;
}

bool ims_utf8_is_control(const unsigned char *bytes, size_t size)
{
    return (size == 1 && (bytes[0] < 0x20 || bytes[0] == 0x7F)) ||
           (size == 2 && bytes[0] == 0xC2 && bytes[1] < 0xA0);
}

/* ---- base64 ---- */

void ims_base64(const uint8_t *data, size_t size, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3, out += 4) {
        size_t left = size - i;
        uint32_t group = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                         (left > 2 ? data[i + 2] : 0);

        out[0] = digits[group >> 18];
        out[1] = digits[group >> 12 & 63];
        out[2] = left > 1 ? digits[group >> 6 & 63] : '=';
        out[3] = left > 2 ? digits[group & 63] : '=';
    }
}

/* ---- texts ---- */

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

void ims_text_add_format(struct ims_text *text, const char *format, ...)
{
    char piece[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(piece, sizeof(piece), format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof(piece))
        length = (int)sizeof(piece) - 1;
    ims_text_add_bytes(text, piece, (size_t)length);
}

void ims_text_clear(struct ims_text *text)
{
    ims_free(text->bytes);
    memset(text, 0, sizeof(*text));
}

/* ---- escaping ---- */

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
        return size == 0 || ims_utf8_is_control(bytes, size) ? "\xEF\xBF\xBD" : NULL;
    }
}

void ims_text_add_html(struct ims_text *text, const char *bytes)
{
    const unsigned char *p = (const unsigned char *)bytes;

    while (*p != '\0') {
        size_t size = ims_utf8_size(p);
        const char *instead = replacement(p, size);

        if (instead != NULL)
            ims_text_add(text, instead);
        else
            ims_text_add_bytes(text, p, size);
        p += size > 0 ? size : 1;
    }
}

/* Bytes of one call, a multiple of three. */
#define BASE64_BLOCK 768

void ims_text_add_base64(struct ims_text *text, const uint8_t *bytes, size_t size)
{
    char block[IMS_BASE64_SIZE(BASE64_BLOCK)];

    for (size_t start = 0; start < size; start += BASE64_BLOCK) {
        size_t part = size - start < BASE64_BLOCK ? size - start : BASE64_BLOCK;

        ims_base64(bytes + start, part, block);
        ims_text_add_bytes(text, block, IMS_BASE64_SIZE(part));
    }
}

void ims_text_add_field(struct ims_text *text, const char *value)
{
    if (strpbrk(value, ",\"\r\n") == NULL) {
        ims_text_add(text, value);
        return;
    }
    ims_text_add(text, "\"");
    for (; *value != '\0'; value++) {
        if (*value == '"')
            ims_text_add(text, "\"");
        ims_text_add_bytes(text, value, 1);
    }
    ims_text_add(text, "\"");
}
