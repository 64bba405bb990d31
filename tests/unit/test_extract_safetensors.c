/* SPDX-License-Identifier: Apache-2.0 */
/* Weights files: what is right is found, and no header, however it lies, gets past the checks. */
#include "check.h"

#include "core/file.h"
#include "core/rng.h"
#include "extract/safetensors.h"

/* A file in memory of exactly its size, so that a sanitizer sees every byte read too much. */
struct image {
    uint8_t *bytes;
    size_t size;
};

static struct image make_file(uint64_t header_size, const char *header, size_t data_size)
{
    const size_t length = strlen(header);
    struct image file = {.size = 8 + length + data_size};

    file.bytes = malloc(file.size);
    CHECK(file.bytes != NULL);
    for (int i = 0; i < 8; i++)
        file.bytes[i] = (uint8_t)(header_size >> (8 * i));
    memcpy(file.bytes + 8, header, length);
    for (size_t i = 0; i < data_size; i++)
        file.bytes[8 + length + i] = (uint8_t)i;
    return file;
}

static void refuses(const char *header, size_t data_size, const char *word)
{
    struct image file = make_file(strlen(header), header, data_size);
    struct ims_safetensors parsed = {0};

    CHECK_FAILS(ims_safetensors_parse(&parsed, file.bytes, file.size), IMGSIM_ERROR_CORRUPT, word);
    CHECK(parsed.tensors == NULL && parsed.header == NULL && parsed.tensor_count == 0);
    CHECK(strchr(imgsim_last_error(), '\n') == NULL);
    free(file.bytes);
}

/* Read every byte of every tensor: it must lie in the file. */
static unsigned touch(const struct ims_safetensors *parsed)
{
    unsigned sum = 0;

    for (size_t i = 0; i < parsed->tensor_count; i++) {
        const uint8_t *data = parsed->tensors[i].data;

        for (size_t j = 0; j < ims_safetensors_size(&parsed->tensors[i]); j++)
            sum += data[j];
    }
    return sum;
}

#define F32(shape, begin, end) \
    "{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" #begin "," #end "]}"

static const char good[] =
    "{\"__metadata__\":{\"architecture\":\"none\"},"
    "\"b\":" F32("2,3", 4, 28) ",\"a\":" F32(
        "",
        0,
        4) ","
           "\"empty\":" F32(
               "0,7",
               28,
               28) ","
                   "\"h\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[28,34]}}   ";

static void good_file_is_read(void)
{
    struct image file = make_file(strlen(good), good, 34);
    struct ims_safetensors parsed = {0};
    const struct ims_torch_tensor *tensor;

    CHECK_OK(ims_safetensors_parse(&parsed, file.bytes, file.size));
    CHECK_EQUAL(parsed.tensor_count, 4);
    CHECK_TEXT(parsed.tensors[0].name, "a");
    CHECK_TEXT(parsed.tensors[3].name, "h");
    tensor = ims_safetensors_find(&parsed, "b");
    CHECK(tensor != NULL && tensor->rank == 2 && tensor->shape[0] == 2 && tensor->shape[1] == 3);
    CHECK_TEXT(tensor->dtype, "F32");
    CHECK_EQUAL(ims_safetensors_size(tensor), 24);
    CHECK_EQUAL(*(const uint8_t *)tensor->data, 4);
    CHECK_EQUAL(ims_safetensors_size(ims_safetensors_find(&parsed, "a")), 4);
    CHECK_EQUAL(ims_safetensors_size(ims_safetensors_find(&parsed, "empty")), 0);
    CHECK_EQUAL(ims_safetensors_size(ims_safetensors_find(&parsed, "h")), 6);
    CHECK(ims_safetensors_find(&parsed, "c") == NULL);
    CHECK_TEXT(ims_safetensors_metadata(&parsed, "architecture"), "none");
    CHECK(ims_safetensors_metadata(&parsed, "licence") == NULL);
    CHECK_EQUAL(touch(&parsed), 33 * 34 / 2);
    ims_safetensors_close(&parsed);
    ims_safetensors_close(&parsed);
    free(file.bytes);
}

static void file_without_tensors_is_empty(void)
{
    struct image file = make_file(2, "{}", 0);
    struct ims_safetensors parsed = {0};

    CHECK_OK(ims_safetensors_parse(&parsed, file.bytes, file.size));
    CHECK_EQUAL(parsed.tensor_count, 0);
    CHECK(ims_safetensors_find(&parsed, "a") == NULL);
    CHECK(ims_safetensors_metadata(&parsed, "a") == NULL);
    ims_safetensors_close(&parsed);
    free(file.bytes);
}

static void lying_header_length_is_refused(void)
{
    static const uint64_t lengths[] = {3, 1000, 99999999, 100000001, UINT64_MAX, INT64_MAX};
    struct ims_safetensors parsed = {0};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct image file = make_file(lengths[i], "{}", 0);

        CHECK_FAILS(
            ims_safetensors_parse(&parsed, file.bytes, file.size), IMGSIM_ERROR_CORRUPT, "header");
        free(file.bytes);
    }
    for (size_t size = 0; size < 8; size++) {
        uint8_t *bytes = calloc(1, size + 1);

        CHECK_FAILS(ims_safetensors_parse(&parsed, bytes, size), IMGSIM_ERROR_CORRUPT, "too few");
        free(bytes);
    }
}

static void bad_json_is_refused(void)
{
    char *deep = malloc(100001);

    refuses("", 0, "JSON");
    refuses("[]", 0, "object");
    refuses("null", 0, "JSON");
    refuses("{\"a\":", 0, "JSON");
    refuses("{} x", 0, "JSON");
    refuses("{\"a\xff\":1}", 0, "JSON");
    refuses("{\"a\\u0000b\":1}", 0, "JSON");
    refuses("{\"a\nb\":1}", 0, "JSON");
    refuses("{\"a\":" F32("1", 0, 4) ",\"a\":" F32("1", 0, 4) "}", 4, "JSON");
    refuses("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", 4, "JSON");
    CHECK(deep != NULL);
    memset(deep, '[', 100000);
    deep[100000] = '\0';
    refuses(deep, 0, "JSON");
    free(deep);
}

static void bad_entries_are_refused(void)
{
    refuses("{\"a\":1}", 0, "dtype");
    refuses("{\"a\":{}}", 0, "dtype");
    refuses("{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype");
    refuses("{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype");
    refuses("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,4]}}", 4, "shape");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":4}}", 4, "data_offsets");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets");
    refuses("{\"a\":" F32("-1", 0, 4) "}", 4, "shape");
    refuses("{\"a\":" F32("1.0", 0, 4) "}", 4, "shape");
    refuses("{\"a\":" F32("\"1\"", 0, 4) "}", 4, "shape");
    refuses("{\"a\":" F32("1,1,1,1,1,1,1,1,1", 0, 4) "}", 4, "shape");
    refuses("{\"a\":" F32("4611686018427387904,4", 0, 0) "}", 0, "shape");
    refuses("{\"a\":" F32("4294967296,4294967296", 0, 0) "}", 0, "shape");
    refuses("{\"a\":" F32("99999999999999999999", 0, 4) "}", 4, "JSON");
    refuses("{\"\":" F32("1", 0, 4) "}", 4, "name");
    refuses("{\"a\\nb\":" F32("1", 0, 4) "}", 4, "name");
    refuses("{\"__metadata__\":[]}", 0, "metadata");
    refuses("{\"__metadata__\":{\"a\":1}}", 0, "metadata");
}

static void offsets_outside_overlapping_or_with_gaps_are_refused(void)
{
    refuses("{\"a\":" F32("1", -4, 0) "}", 4, "lies at");
    refuses("{\"a\":" F32("1", 0, 4) "}", 3, "lies at");
    refuses("{\"a\":" F32("1", 4, 0) "}", 4, "lies at");
    refuses("{\"a\":" F32("1", 9223372036854775803, 9223372036854775807) "}", 4, "lies at");
    refuses("{\"a\":" F32("1", 0.0, 4.0) "}", 4, "data_offsets");
    refuses("{\"a\":" F32("1", 0, 8) "}", 8, "needs 4");
    refuses("{\"a\":" F32("2", 0, 4) "}", 4, "needs 8");
    refuses("{\"a\":" F32("", 0, 8) "}", 8, "needs 4");
    refuses("{\"a\":" F32("2", 0, 8) ",\"b\":" F32("2", 4, 12) "}", 12, "overlaps");
    refuses("{\"a\":" F32("1", 0, 4) ",\"b\":" F32("1", 0, 4) "}", 4, "overlaps");
    refuses("{\"a\":" F32("1", 0, 4) ",\"b\":" F32("1", 8, 12) "}", 12, "gap");
    refuses("{\"a\":" F32("1", 4, 8) "}", 8, "gap");
    refuses("{\"a\":" F32("1", 0, 4) "}", 8, "need 4");
    refuses("{}", 8, "need 0");
}

/* Change bytes at random: either it is refused, or all that it describes lies in the file. */
static void mutated_header_never_reaches_outside(const uint8_t *bytes, size_t size, int rounds)
{
    uint64_t header_size = (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16;
    uint8_t *copy = malloc(size);
    struct ims_rng rng;
    int refused = 0;

    CHECK(copy != NULL && header_size + 8 <= size);
    ims_rng_init(&rng, 7);
    for (int i = 0; i < rounds; i++) {
        struct ims_safetensors parsed = {0};
        imgsim_status status;

        memcpy(copy, bytes, size);
        for (uint64_t j = 0; j <= ims_rng_below(&rng, 3); j++) {
            static const char replacements[] = "0123456789,:[]{}\"-e.a ";
            const uint64_t at = ims_rng_below(&rng, header_size + 8);

            copy[at] = at < 8 || ims_rng_below(&rng, 4) == 0
                           ? (uint8_t)ims_rng_next(&rng)
                           : (uint8_t)replacements[ims_rng_below(&rng, sizeof(replacements) - 1)];
        }
        status = ims_safetensors_parse(&parsed, copy, size);
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_CORRUPT);
        refused += status != IMGSIM_OK;
        if (status == IMGSIM_OK && i % 16 == 0)
            touch(&parsed);
        for (size_t j = 0; j < parsed.tensor_count; j++) {
            const uint8_t *data = parsed.tensors[j].data;

            CHECK(data >= copy && data + ims_safetensors_size(&parsed.tensors[j]) <= copy + size);
        }
        ims_safetensors_close(&parsed);
    }
    CHECK(refused > rounds / 4);
    free(copy);
}

static void mutated_real_header_never_reaches_outside(void)
{
    const char *folder = check_data_folder();
    struct ims_map map = {0};
    char path[4096];

    if (folder == NULL) {
        printf("skipped: no real weights to mutate\n");
        return;
    }
    snprintf(path, sizeof(path), "%s/models/squeezenet1_1.safetensors", folder);
    CHECK_OK(ims_map_open(&map, path));
    mutated_header_never_reaches_outside(map.data, map.size, 300);
    ims_map_close(&map);
}

int main(void)
{
    struct image file = make_file(strlen(good), good, 34);

    good_file_is_read();
    file_without_tensors_is_empty();
    lying_header_length_is_refused();
    bad_json_is_refused();
    bad_entries_are_refused();
    offsets_outside_overlapping_or_with_gaps_are_refused();
    mutated_header_never_reaches_outside(file.bytes, file.size, 20000);
    mutated_real_header_never_reaches_outside();
    free(file.bytes);
    return 0;
}
