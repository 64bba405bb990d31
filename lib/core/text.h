/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that grow, UTF-8, and what is escaped for pages and tables. */
#ifndef IMS_TEXT_H
#define IMS_TEXT_H

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes of the valid UTF-8 sequence that begins here, 0 if there is none: table 3-7 of the Unicode
 * Standard, which leaves out overlong forms, surrogates and what lies beyond U+10FFFF.
 */
size_t ims_utf8_size(const unsigned char *bytes);
/* Whether a sequence of that many bytes is a control character: C0, DEL or C1. */
bool ims_utf8_is_control(const unsigned char *bytes, size_t size);

/* Characters of base64 that `size` bytes take. */
#define IMS_BASE64_SIZE(size) (((size) + 2) / 3 * 4)
/* Standard base64 with padding, without NUL: IMS_BASE64_SIZE(size) characters. */
void ims_base64(const uint8_t *data, size_t size, char *out);

/*
 * A growing text; zero it, release it with ims_text_clear(). Once memory runs out it stays failed.
 */
struct ims_text {
    char *bytes; /* ends with NUL once something was appended */
    size_t size;
    size_t capacity;
    bool failed;
};

void ims_text_add(struct ims_text *text, const char *addition);
void ims_text_add_bytes(struct ims_text *text, const void *bytes, size_t size);
/* Pieces of at most 511 bytes. */
void ims_text_add_format(struct ims_text *text, const char *format, ...) IMS_PRINTF(2, 3);
/* Any bytes as text or attribute of HTML or XML: escaped, valid UTF-8, without control characters. */
void ims_text_add_html(struct ims_text *text, const char *bytes);
void ims_text_add_base64(struct ims_text *text, const uint8_t *bytes, size_t size);
/* A field of CSV, quoted if it must be. */
void ims_text_add_field(struct ims_text *text, const char *value);
void ims_text_clear(struct ims_text *text);

#endif
