/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a page back: its blocks, unpacked, as the viewer does it. */
#ifndef IMS_TESTS_PAGE_READ_H
#define IMS_TESTS_PAGE_READ_H

#include "core/file.h"
#include "page/pack.h"

#include "check.h"

#include <zlib.h>

/* A whole file with NUL at its end; release with free(). */
static inline char *page_text(const char *path)
{
    struct ims_map map = {0};
    char *text;

    CHECK_OK(ims_map_open(&map, path));
    CHECK((text = malloc(map.size + 1)) != NULL);
    memcpy(text, map.data, map.size);
    text[map.size] = '\0';
    CHECK(strlen(text) == map.size);
    ims_map_close(&map);
    return text;
}

static inline int base64_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/* Bytes of the base64 here, up to the next '<'. */
static inline struct ims_bytes base64_bytes(const char *text)
{
    struct ims_bytes bytes = {0};
    uint32_t group = 0;
    int bits = 0;

    for (; *text != '<' && *text != '='; text++) {
        int value = base64_value(*text);

        CHECK(value >= 0);
        group = group << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            uint8_t byte = (uint8_t)(group >> (bits - 8));

            bits -= 8;
            ims_bytes_add(&bytes, &byte, 1);
        }
    }
    CHECK(!bytes.failed);
    return bytes;
}

/* What zlib's format holds; releases the packed bytes. */
static inline struct ims_bytes inflated(struct ims_bytes *packed)
{
    struct ims_bytes bytes = {0};
    z_stream stream = {.next_in = packed->data, .avail_in = (unsigned)packed->size};
    uint8_t block[4096];
    int result;

    CHECK(inflateInit(&stream) == Z_OK);
    do {
        stream.next_out = block;
        stream.avail_out = sizeof(block);
        result = inflate(&stream, Z_NO_FLUSH);
        CHECK(result == Z_OK || result == Z_STREAM_END);
        ims_bytes_add(&bytes, block, sizeof(block) - stream.avail_out);
    } while (result != Z_STREAM_END);
    CHECK(stream.avail_in == 0);
    inflateEnd(&stream);
    ims_bytes_clear(packed);
    return bytes;
}

static inline const char *find_block(const char *page, const char *name)
{
    char tag[96];
    const char *at;

    snprintf(tag, sizeof(tag), "<script type=\"text/plain\" id=\"d-%s\">", name);
    at = strstr(page, tag);
    return at != NULL ? at + strlen(tag) : NULL;
}

static inline struct ims_bytes page_block(const char *page, const char *name)
{
    const char *at = find_block(page, name);
    struct ims_bytes packed;

    CHECK(at != NULL);
    packed = base64_bytes(at);
    return inflated(&packed);
}

/* Value `i` of `count` in planes. */
static inline uint32_t plane_value(const struct ims_bytes *bytes, size_t count, size_t i)
{
    uint32_t value = 0;

    for (size_t plane = 0; plane < bytes->size / count; plane++)
        value |= (uint32_t)bytes->data[plane * count + i] << (8 * plane);
    return value;
}

static inline int32_t unzigzag(uint32_t value)
{
    return (int32_t)(value >> 1) ^ -(int32_t)(value & 1);
}

static inline uint32_t read_varint(const uint8_t **at)
{
    uint32_t value = 0;
    int shift = 0;

    do {
        value |= (uint32_t)(**at & 0x7F) << shift;
        shift += 7;
    } while ((*(*at)++ & 0x80) != 0);
    return value;
}

/* Front-coded strings of a block, each ending with NUL, one after the other; release with ims_bytes_clear(). */
static inline struct ims_bytes front_texts(const struct ims_bytes *block, size_t count)
{
    struct ims_bytes texts = {0};
    const uint8_t *at = block->data, *shared, *lengths, *rests;
    uint32_t shared_size = read_varint(&at), lengths_size = read_varint(&at);
    size_t last = 0;

    shared = at;
    lengths = shared + shared_size;
    rests = lengths + lengths_size;
    for (size_t i = 0; i < count; i++) {
        size_t same = read_varint(&shared), rest = read_varint(&lengths), start = texts.size;

        for (size_t j = 0; j < same; j++) {
            uint8_t byte = texts.data[last + j];

            ims_bytes_add(&texts, &byte, 1);
        }
        ims_bytes_add(&texts, rests, rest);
        ims_bytes_add(&texts, "", 1);
        rests += rest;
        last = start;
    }
    CHECK(rests == block->data + block->size);
    return texts;
}

#endif
