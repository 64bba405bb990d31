/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that grow, numbers packed into them, compression and base64. */
#include "page/pack.h"

#include "core/memory.h"
#include "core/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <zlib.h>

void ims_bytes_add(struct ims_bytes *bytes, const void *data, size_t size)
{
    size_t needed = 0;

    if (bytes->failed || !ims_add_size(bytes->size, size, &needed) ||
        !ims_grow((void **)&bytes->data, &bytes->capacity, needed, 1)) {
        bytes->failed = true;
        return;
    }
    if (size > 0)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size = needed;
}

void ims_bytes_text(struct ims_bytes *bytes, const char *text)
{
    ims_bytes_add(bytes, text, strlen(text));
}

void ims_bytes_clear(struct ims_bytes *bytes)
{
    ims_free(bytes->data);
    memset(bytes, 0, sizeof(*bytes));
}

imgsim_status ims_bytes_status(const struct ims_bytes *bytes)
{
    return bytes->failed ? ims_fail_memory(bytes->size) : IMGSIM_OK;
}

/* ---- numbers ---- */

void ims_bytes_varint(struct ims_bytes *bytes, uint32_t value)
{
    uint8_t encoded[5];
    size_t size = 0;

    while (value >= 0x80) {
        encoded[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    encoded[size++] = (uint8_t)value;
    ims_bytes_add(bytes, encoded, size);
}

void ims_bytes_count(struct ims_bytes *bytes, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, value);
    ims_bytes_text(bytes, text);
}

void ims_bytes_number(struct ims_bytes *bytes, double value, int digits)
{
    char text[400];

    if (!isfinite(value)) {
        ims_bytes_text(bytes, "null");
        return;
    }
    snprintf(text, sizeof(text), "%.*g", digits, value);
    for (char *p = text; *p != '\0'; p++)
        if (strchr("0123456789+-e", *p) == NULL)
            *p = '.'; /* whatever the locale's decimal point is */
    ims_bytes_text(bytes, text);
}

void ims_bytes_planes(struct ims_bytes *bytes, const uint32_t *values, size_t count, int planes)
{
    uint8_t block[4096];

    for (int plane = 0; plane < planes; plane++)
        for (size_t start = 0; start < count; start += sizeof(block)) {
            size_t size = count - start < sizeof(block) ? count - start : sizeof(block);

            for (size_t i = 0; i < size; i++)
                block[i] = (uint8_t)(values[start + i] >> (8 * plane));
            ims_bytes_add(bytes, block, size);
        }
}

int ims_planes_needed(const uint32_t *values, size_t count)
{
    uint32_t all = 0;

    for (size_t i = 0; i < count; i++)
        all |= values[i];
    return all >> 24 != 0 ? 4 : all >> 16 != 0 ? 3 : all >> 8 != 0 ? 2 : 1;
}

/* ---- text inside a script element ---- */

/* U+2028 to U+202E and U+2066 to U+2069: line separators and direction. */
static bool is_invisible(const unsigned char *bytes, size_t size)
{
    return size == 3 && bytes[0] == 0xE2 &&
           ((bytes[1] == 0x80 && bytes[2] >= 0xA8 && bytes[2] <= 0xAE) ||
            (bytes[1] == 0x81 && bytes[2] >= 0xA6 && bytes[2] <= 0xA9));
}

void ims_bytes_json(struct ims_bytes *bytes, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    char escape[8];

    ims_bytes_add(bytes, "\"", 1);
    while (*p != '\0') {
        size_t size = ims_utf8_size(p);
        unsigned code = *p;

        if (size == 0) {
            ims_bytes_text(bytes, "\\ufffd");
        } else if (
            is_invisible(p, size) ||
            (size == 1 && (code < 0x20 || code == 0x7F || strchr("\"\\<>&'", (int)code) != NULL))) {
            if (size == 3)
                code = (unsigned)(p[0] & 15) << 12 | (unsigned)(p[1] & 63) << 6 | (p[2] & 63);
            snprintf(escape, sizeof(escape), "\\u%04x", code);
            ims_bytes_text(bytes, escape);
        } else {
            ims_bytes_add(bytes, p, size);
        }
        p += size > 0 ? size : 1;
    }
    ims_bytes_add(bytes, "\"", 1);
}

/* ---- compression ---- */

static void *zlib_alloc(void *opaque, unsigned count, unsigned size)
{
    (void)opaque;
    return ims_alloc_array(count, size);
}

static void zlib_free(void *opaque, void *block)
{
    (void)opaque;
    ims_free(block);
}

imgsim_status ims_bytes_deflate(struct ims_bytes *out, const void *data, size_t size)
{
    z_stream stream = {.zalloc = zlib_alloc, .zfree = zlib_free};
    uint8_t block[16384];
    const uint8_t *next = data;
    size_t left = size;
    int result;

    if (deflateInit2(&stream, 6, Z_DEFLATED, 15, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return ims_fail_memory(size);
    do {
        /* zlib counts in 32 bits. */
        unsigned chunk = (unsigned)(left < ((size_t)1 << 30) ? left : (size_t)1 << 30);

        stream.next_in = (Bytef *)(uintptr_t)next;
        stream.avail_in = chunk;
        do {
            stream.next_out = block;
            stream.avail_out = sizeof(block);
            result = deflate(&stream, left == chunk ? Z_FINISH : Z_NO_FLUSH);
            ims_bytes_add(out, block, sizeof(block) - stream.avail_out);
        } while (stream.avail_out == 0);
        next += chunk;
        left -= chunk;
    } while (left > 0);
    deflateEnd(&stream);
    if (result != Z_STREAM_END)
        return ims_fail(IMGSIM_ERROR_INTERNAL, "zlib ended with %d", result);
    return ims_bytes_status(out);
}

/* Bytes of one call, a multiple of three. */
#define BASE64_BLOCK 6144

void ims_bytes_base64(struct ims_bytes *bytes, const uint8_t *data, size_t size)
{
    char block[IMS_BASE64_SIZE(BASE64_BLOCK)];

    for (size_t start = 0; start < size; start += BASE64_BLOCK) {
        size_t part = size - start < BASE64_BLOCK ? size - start : BASE64_BLOCK;

        ims_base64(data + start, part, block);
        ims_bytes_add(bytes, block, IMS_BASE64_SIZE(part));
    }
}

imgsim_status ims_write_base64(struct ims_writer *writer, const uint8_t *data, size_t size)
{
    imgsim_status status = IMGSIM_OK;
    char block[IMS_BASE64_SIZE(BASE64_BLOCK)];

    for (size_t start = 0; start < size && status == IMGSIM_OK; start += BASE64_BLOCK) {
        size_t part = size - start < BASE64_BLOCK ? size - start : BASE64_BLOCK;

        ims_base64(data + start, part, block);
        status = ims_writer_write(writer, block, IMS_BASE64_SIZE(part));
    }
    return status;
}

/* ---- sorted strings ---- */

void ims_front_add(struct ims_front_coder *coder, const void *text, size_t size)
{
    const uint8_t *bytes = text;
    size_t most = size < coder->last_size ? size : coder->last_size;
    size_t shared = 0;

    while (shared < most && bytes[shared] == coder->last[shared])
        shared++;
    ims_bytes_varint(&coder->shared, (uint32_t)shared);
    ims_bytes_varint(&coder->lengths, (uint32_t)(size - shared));
    ims_bytes_add(&coder->rests, bytes + shared, size - shared);
    coder->last = bytes;
    coder->last_size = size;
}

void ims_front_clear(struct ims_front_coder *coder)
{
    ims_bytes_clear(&coder->shared);
    ims_bytes_clear(&coder->lengths);
    ims_bytes_clear(&coder->rests);
}
