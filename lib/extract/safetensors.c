/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the header of a safetensors file and trusts nothing in it. */
#include "extract/safetensors.h"

#include "core/memory.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Longest header the format's reference implementation reads. */
#define HEADER_MAX 100000000u
#define METADATA "__metadata__"

static const struct element {
    const char *name;
    size_t size;
} elements[] = {{"F64", 8}, {"F32", 4}, {"F16", 2},  {"BF16", 2},    {"I64", 8},
                {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U64", 8},     {"U32", 4},
                {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E5M2", 1}, {"F8_E4M3", 1}};

static const struct element *find_element(const char *name)
{
    for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++)
        if (strcmp(elements[i].name, name) == 0)
            return &elements[i];
    return NULL;
}

size_t ims_safetensors_size(const struct ims_torch_tensor *tensor)
{
    size_t size = find_element(tensor->dtype)->size;

    for (uint32_t i = 0; i < tensor->rank; i++)
        size *= (size_t)tensor->shape[i];
    return size;
}

/* Names appear in one-line messages and in maps of C strings. */
static imgsim_status check_name(const char *name)
{
    for (const char *at = name; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return ims_fail(
                IMGSIM_ERROR_CORRUPT,
                "safetensors header: a tensor's name contains control characters");
    if (*name == '\0' || strlen(name) > 512)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT,
            "safetensors header: a tensor's name has %zu bytes, expected 1 to 512", strlen(name));
    return IMGSIM_OK;
}

/* "dtype" and "shape" into the tensor; *out_size is what they need. */
static imgsim_status
read_shape(const json_t *entry, struct ims_torch_tensor *tensor, size_t *out_size)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *shape = json_object_get(entry, "shape");
    const struct element *element = dtype != NULL ? find_element(dtype) : NULL;
    size_t size;

    if (element == NULL)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "safetensors header: tensor %s has %s dtype", tensor->name,
            dtype != NULL ? "an unknown" : "no");
    if (!json_is_array(shape) || json_array_size(shape) > 8)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "safetensors header: tensor %s has no shape of 0 to 8 sizes",
            tensor->name);

    tensor->dtype = element->name;
    tensor->rank = (uint32_t)json_array_size(shape);
    size = element->size;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        const json_t *value = json_array_get(shape, i);
        json_int_t length = json_is_integer(value) ? json_integer_value(value) : -1;

        if (length < 0 || !ims_mul_size(size, (size_t)length, &size))
            return ims_fail(
                IMGSIM_ERROR_CORRUPT, "safetensors header: tensor %s has a bad shape",
                tensor->name);
        tensor->shape[i] = length;
    }
    *out_size = size;
    return IMGSIM_OK;
}

/* "data_offsets" must lie in the data and be as long as the shape says. */
static imgsim_status read_offsets(
    const json_t *entry,
    struct ims_torch_tensor *tensor,
    size_t size,
    const uint8_t *data,
    size_t data_size)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *first = json_array_get(offsets, 0);
    const json_t *second = json_array_get(offsets, 1);
    json_int_t begin, end;

    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(second))
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "safetensors header: tensor %s has no data_offsets",
            tensor->name);
    begin = json_integer_value(first);
    end = json_integer_value(second);
    if (begin < 0 || end < begin || (uint64_t)end > data_size)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT,
            "safetensors header: tensor %s lies at %lld to %lld, the data has %zu "
            "bytes (file truncated or damaged)",
            tensor->name, (long long)begin, (long long)end, data_size);
    if ((uint64_t)(end - begin) != size)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT,
            "safetensors header: tensor %s has %lld bytes, its shape needs %zu", tensor->name,
            (long long)(end - begin), size);
    tensor->data = data + begin;
    return IMGSIM_OK;
}

static imgsim_status check_metadata(json_t *metadata)
{
    const char *key;
    json_t *value;

    if (!json_is_object(metadata))
        return ims_fail(IMGSIM_ERROR_CORRUPT, "safetensors header: " METADATA " is no object");
    json_object_foreach(metadata, key, value)
    {
        if (!json_is_string(value))
            return ims_fail(
                IMGSIM_ERROR_CORRUPT,
                "safetensors header: " METADATA " holds something else than text");
    }
    return IMGSIM_OK;
}

static imgsim_status
read_entries(struct ims_safetensors *file, const uint8_t *data, size_t data_size)
{
    const char *name;
    json_t *entry;

    json_object_foreach((json_t *)file->header, name, entry)
    {
        struct ims_torch_tensor *tensor = &file->tensors[file->tensor_count];
        imgsim_status status;
        size_t size = 0;

        if (strcmp(name, METADATA) == 0) {
            if ((status = check_metadata(entry)) != IMGSIM_OK)
                return status;
            continue;
        }
        if ((status = check_name(name)) != IMGSIM_OK)
            return status;
        tensor->name = name;
        if ((status = read_shape(entry, tensor, &size)) != IMGSIM_OK ||
            (status = read_offsets(entry, tensor, size, data, data_size)) != IMGSIM_OK)
            return status;
        file->tensor_count++;
    }
    return IMGSIM_OK;
}

static int by_position(const void *a, const void *b)
{
    const struct ims_torch_tensor *x = a, *y = b;
    const uintptr_t x_at = (uintptr_t)x->data, y_at = (uintptr_t)y->data;

    if (x_at != y_at)
        return x_at < y_at ? -1 : 1;
    /* Empty tensors come before the one that starts at the same place. */
    return (ims_safetensors_size(x) > 0) - (ims_safetensors_size(y) > 0);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(
        ((const struct ims_torch_tensor *)a)->name, ((const struct ims_torch_tensor *)b)->name);
}

/*
 * The format wants the data covered exactly once, so that nothing hides in a file and nothing is
 * read twice.
 */
static imgsim_status
check_cover(struct ims_safetensors *file, const uint8_t *data, size_t data_size)
{
    const uint8_t *covered = data;

    if (file->tensor_count > 0)
        qsort(file->tensors, file->tensor_count, sizeof(file->tensors[0]), by_position);
    for (size_t i = 0; i < file->tensor_count; i++) {
        const uint8_t *at = file->tensors[i].data;

        if (at != covered)
            return ims_fail(
                IMGSIM_ERROR_CORRUPT,
                "safetensors header: tensor %s %s (it starts at %zu, expected %zu)",
                file->tensors[i].name, at < covered ? "overlaps another" : "comes after a gap",
                (size_t)(at - data), (size_t)(covered - data));
        covered = at + ims_safetensors_size(&file->tensors[i]);
    }
    if (covered != data + data_size)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "safetensors file has %zu bytes of data, its tensors need %zu",
            data_size, (size_t)(covered - data));
    return IMGSIM_OK;
}

/* Length of the header, then the header as JSON. */
static imgsim_status
load_header(struct ims_safetensors *file, const uint8_t *data, size_t size, size_t *out_header_size)
{
    json_error_t error;
    uint64_t header_size = 0;

    if (size < 8)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "weights file has %zu bytes, too few for a safetensors header",
            size);
    for (int i = 7; i >= 0; i--)
        header_size = header_size << 8 | data[i];
    if (header_size > HEADER_MAX)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT,
            "weights file is not safetensors, or its header is longer than %u bytes", HEADER_MAX);
    if (header_size > size - 8)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT,
            "safetensors header of %llu bytes does not fit in the file (%zu bytes)",
            (unsigned long long)header_size, size);

    file->header =
        json_loadb((const char *)data + 8, (size_t)header_size, JSON_REJECT_DUPLICATES, &error);
    if (file->header == NULL) {
        for (char *at = error.text; *at != '\0'; at++)
            if ((unsigned char)*at < 0x20)
                *at = ' ';
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "safetensors header is not valid JSON: %s (byte %d)", error.text,
            error.position);
    }
    if (!json_is_object((json_t *)file->header))
        return ims_fail(IMGSIM_ERROR_CORRUPT, "safetensors header is not a JSON object");
    *out_header_size = (size_t)header_size;
    return IMGSIM_OK;
}

imgsim_status ims_safetensors_parse(struct ims_safetensors *file, const uint8_t *data, size_t size)
{
    size_t header_size = 0, entry_count;
    imgsim_status status;

    if ((status = load_header(file, data, size, &header_size)) != IMGSIM_OK)
        goto done;

    entry_count = json_object_size((json_t *)file->header);
    file->tensors = ims_calloc(entry_count, sizeof(file->tensors[0]));
    if (file->tensors == NULL) {
        status = ims_fail_memory(entry_count * sizeof(file->tensors[0]));
        goto done;
    }
    data += 8 + header_size;
    size -= 8 + header_size;
    if ((status = read_entries(file, data, size)) != IMGSIM_OK ||
        (status = check_cover(file, data, size)) != IMGSIM_OK)
        goto done;
    if (file->tensor_count > 0)
        qsort(file->tensors, file->tensor_count, sizeof(file->tensors[0]), by_name);

done:
    if (status != IMGSIM_OK)
        ims_safetensors_close(file);
    return status;
}

void ims_safetensors_close(struct ims_safetensors *file)
{
    json_decref(file->header);
    ims_free(file->tensors);
    memset(file, 0, sizeof(*file));
}

const struct ims_torch_tensor *
ims_safetensors_find(const struct ims_safetensors *file, const char *name)
{
    const struct ims_torch_tensor key = {.name = name};

    if (file->tensor_count == 0)
        return NULL;
    return bsearch(&key, file->tensors, file->tensor_count, sizeof(key), by_name);
}

const char *ims_safetensors_metadata(const struct ims_safetensors *file, const char *key)
{
    const json_t *metadata = json_object_get(file->header, METADATA);

    return json_string_value(json_object_get(metadata, key));
}
