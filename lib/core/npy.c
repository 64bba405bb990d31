/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's .npy headers, written and read; format: numpy.lib.format in NumPy's documentation. */
#include "core/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

/* Bytes of one value; 0 for a dtype we do not use. */
static uint32_t item_size_of(const char *dtype)
{
    static const struct {
        const char *dtype;
        uint32_t size;
    } known[] = {{"<f4", 4}, {"<f8", 8}, {"<i8", 8}, {"<i4", 4}, {"<u8", 8},
                 {"<u4", 4}, {"<u2", 2}, {"|u1", 1}, {"<f2", 2}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(dtype, known[i].dtype) == 0)
            return known[i].size;
    return 0;
}

imgsim_status
ims_npy_header(const char *dtype, uint64_t rows, uint64_t columns, uint8_t out[IMS_NPY_DATA])
{
    const unsigned text_size = IMS_NPY_DATA - 10;
    char shape[64];
    int length;

    if (item_size_of(dtype) == 0)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "dtype %s is not supported", dtype);
    if (columns == 0)
        snprintf(shape, sizeof(shape), "(%" PRIu64 ",)", rows);
    else
        snprintf(shape, sizeof(shape), "(%" PRIu64 ", %" PRIu64 ")", rows, columns);

    memset(out, ' ', IMS_NPY_DATA);
    memcpy(out, magic, sizeof(magic));
    out[6] = 1;
    out[7] = 0;
    out[8] = (uint8_t)(text_size & 0xff);
    out[9] = (uint8_t)(text_size >> 8);
    length = snprintf(
        (char *)out + 10, text_size, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
        dtype, shape);
    out[10 + length] = ' '; /* over snprintf's NUL */
    out[IMS_NPY_DATA - 1] = '\n';
    return IMGSIM_OK;
}

/* ---- reading: the header is the text of a Python dictionary ---- */

/* The text that is left to read. */
struct cursor {
    const char *at;
    const char *end;
};

static void skip_space(struct cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\n' ||
                                        *cursor->at == '\t' || *cursor->at == '\r'))
        cursor->at++;
}

/* Read one character if it is the next one. */
static bool take(struct cursor *cursor, char wanted)
{
    skip_space(cursor);
    if (cursor->at >= cursor->end || *cursor->at != wanted)
        return false;
    cursor->at++;
    return true;
}

static bool take_word(struct cursor *cursor, const char *word)
{
    size_t length = strlen(word);

    skip_space(cursor);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length) != 0)
        return false;
    cursor->at += length;
    return true;
}

/* A string in single or double quotes, without escapes, shorter than `size`. */
static bool take_string(struct cursor *cursor, char *out, size_t size)
{
    char quote = take(cursor, '\'') ? '\'' : take(cursor, '"') ? '"' : '\0';
    size_t length = 0;

    if (quote == '\0')
        return false;
    while (cursor->at < cursor->end && *cursor->at != quote && length + 1 < size)
        out[length++] = *cursor->at++;
    out[length] = '\0';
    return cursor->at < cursor->end && *cursor->at++ == quote;
}

/* A number; Python 2 wrote an L behind. */
static bool take_number(struct cursor *cursor, uint64_t *out)
{
    const char *start;

    skip_space(cursor);
    start = cursor->at;
    *out = 0;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        uint64_t digit = (uint64_t)(*cursor->at++ - '0');

        if (*out > (UINT64_MAX - digit) / 10)
            return false;
        *out = *out * 10 + digit;
    }
    if (cursor->at == start)
        return false;
    take(cursor, 'L');
    return true;
}

/* "(n,)" or "(n, m)", a comma at the end being fine. */
static bool take_shape(struct cursor *cursor, struct ims_npy *out)
{
    if (!take(cursor, '('))
        return false;
    out->dimensions = 0;
    out->shape[0] = out->shape[1] = 1;
    while (!take(cursor, ')')) {
        if (out->dimensions == 2 || !take_number(cursor, &out->shape[out->dimensions]))
            return false;
        out->dimensions++;
        if (!take(cursor, ',')) {
            if (!take(cursor, ')') || out->dimensions < 2)
                return false;
            return true;
        }
    }
    return out->dimensions > 0;
}

/* Parse the dictionary; NULL, or what is wrong with it. */
static const char *parse_dictionary(struct cursor *cursor, struct ims_npy *out, bool *fortran)
{
    bool has_dtype = false, has_order = false, has_shape = false;

    if (!take(cursor, '{'))
        return "its header is no dictionary";
    while (!take(cursor, '}')) {
        char key[24];

        if (!take_string(cursor, key, sizeof(key)) || !take(cursor, ':'))
            return "its header is no dictionary";
        if (strcmp(key, "descr") == 0) {
            if (!take_string(cursor, out->dtype, sizeof(out->dtype)))
                return "its dtype is not a plain one";
            has_dtype = true;
        } else if (strcmp(key, "fortran_order") == 0) {
            *fortran = take_word(cursor, "True");
            if (!*fortran && !take_word(cursor, "False"))
                return "its fortran_order is neither True nor False";
            has_order = true;
        } else if (strcmp(key, "shape") == 0) {
            if (!take_shape(cursor, out))
                return "its shape is not of one or two dimensions";
            has_shape = true;
        } else {
            return "its header has an unknown key";
        }
        if (!take(cursor, ',')) {
            if (!take(cursor, '}'))
                return "its header is no dictionary";
            break;
        }
    }
    if (!has_dtype || !has_order || !has_shape)
        return "its header is incomplete";
    skip_space(cursor);
    return cursor->at == cursor->end ? NULL : "text after its header";
}

/* What the dictionary says must be something we can use. */
static const char *check_meaning(struct ims_npy *npy, bool fortran)
{
    uint64_t bytes;

    if (strcmp(npy->dtype, "<u1") == 0)
        npy->dtype[0] = '|';
    if ((npy->item_size = item_size_of(npy->dtype)) == 0)
        return "its dtype is not supported";
    if (fortran && npy->dimensions == 2)
        return "it is stored column by column (fortran_order)";
    if (__builtin_mul_overflow(npy->shape[0], npy->shape[1], &bytes) ||
        __builtin_mul_overflow(bytes, (uint64_t)npy->item_size, &bytes) ||
        __builtin_add_overflow(bytes, npy->data_offset, &bytes) || bytes > INT64_MAX)
        return "its shape is impossibly large";
    return NULL;
}

imgsim_status ims_npy_parse(const uint8_t *data, size_t size, const char *path, struct ims_npy *out)
{
    struct cursor cursor;
    const char *problem;
    bool fortran = false;
    size_t start, length;

    memset(out, 0, sizeof(*out));
    if (size < 10 || memcmp(data, magic, sizeof(magic)) != 0)
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s is not a .npy file", path);
    if (data[6] < 1 || data[6] > 3 || data[7] != 0)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "%s: .npy format %u.%u is not supported", path, data[6], data[7]);

    start = data[6] == 1 ? 10 : 12;
    if (size < start)
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s ends within its header", path);
    length = data[8] | (size_t)data[9] << 8;
    if (data[6] != 1)
        length |= (size_t)data[10] << 16 | (size_t)data[11] << 24;
    if (length > size - start)
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s ends within its header", path);

    cursor.at = (const char *)data + start;
    cursor.end = cursor.at + length;
    out->data_offset = start + length;
    if ((problem = parse_dictionary(&cursor, out, &fortran)) != NULL ||
        (problem = check_meaning(out, fortran)) != NULL)
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s: %s", path, problem);
    return IMGSIM_OK;
}
