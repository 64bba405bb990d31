/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for a fuzzing engine: every file of a corpus, then seeded mutations of them. What fails can be repeated: the same
 * seed gives the same inputs.
 *
 * fuzz_NAME CORPUS [MUTATIONS [SEED]]; CORPUS may be a single file
 */
#include "fuzz/fuzz.h"

#include "core/rng.h"

#include <dirent.h>

#define FILES_MAX 256
#define SIZE_LIMIT ((size_t)1 << 18)

struct input {
    uint8_t *data;
    size_t size;
};

static struct input inputs[FILES_MAX];
static size_t input_count;

static void read_input(const char *path)
{
    struct input *input = &inputs[input_count];
    FILE *file = fopen(path, "rb");

    CHECK(file != NULL);
    CHECK(input_count < FILES_MAX);
    CHECK((input->data = malloc(SIZE_LIMIT)) != NULL);
    input->size = fread(input->data, 1, SIZE_LIMIT, file);
    fclose(file);
    input_count++;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_corpus(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, by_name);

    if (count < 0) {
        read_input(path);
        return;
    }
    for (int i = 0; i < count; i++) {
        char name[4096];

        if (entries[i]->d_name[0] != '.') {
            snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
            read_input(name);
        }
        free(entries[i]);
    }
    free(entries);
}

/* Write a number of 1, 2, 4 or 8 bytes that parsers stumble over. */
static void put_number(struct ims_rng *rng, uint8_t *data, size_t size)
{
    static const uint64_t numbers[] = {0,          1,
                                       2,          7,
                                       8,          63,
                                       64,         127,
                                       128,        255,
                                       256,        4096,
                                       65535,      65536,
                                       0x7fffffff, 0x80000000,
                                       UINT32_MAX, UINT64_C(1) << 32,
                                       INT64_MAX,  UINT64_C(1) << 63,
                                       UINT64_MAX};
    uint64_t number = numbers[ims_rng_below(rng, sizeof(numbers) / sizeof(numbers[0]))];
    size_t width = (size_t)1 << ims_rng_below(rng, 4);
    size_t at = (size_t)ims_rng_below(rng, size);

    for (size_t i = 0; i < width && at + i < size; i++)
        data[at + i] = (uint8_t)(number >> (8 * i));
}

/* One change; returns the new size. */
static size_t change(struct ims_rng *rng, uint8_t *data, size_t size)
{
    const struct input *other = &inputs[ims_rng_below(rng, input_count)];
    size_t at = (size_t)ims_rng_below(rng, size), length = (size_t)ims_rng_below(rng, 32) + 1;

    switch (ims_rng_below(rng, 7)) {
    case 0:
        data[at] ^= (uint8_t)(1u << ims_rng_below(rng, 8));
        return size;
    case 1:
        data[at] = (uint8_t)ims_rng_next(rng);
        return size;
    case 2: /* cut off */
        return ims_rng_below(rng, 4) == 0 ? at + 1 : size;
    case 3: /* leave out */
        length = length < size - at ? length : size - at;
        memmove(data + at, data + at + length, size - at - length);
        return size > length ? size - length : 1;
    case 4: /* put in twice */
        length = length < size - at ? length : size - at;
        if (size + length > SIZE_LIMIT)
            return size;
        memmove(data + at + length, data + at, size - at);
        return size + length;
    case 5: /* a piece of another */
        if (other->size == 0)
            return size;
        length = length < other->size ? length : other->size;
        length = length < size - at ? length : size - at;
        memcpy(data + at, other->data + ims_rng_below(rng, other->size - length + 1), length);
        return size;
    default:
        put_number(rng, data, size);
        return size;
    }
}

int main(int argc, char **argv)
{
    uint64_t mutations = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    uint8_t *data = malloc(SIZE_LIMIT);
    struct ims_rng rng;

    CHECK(argc > 1 && data != NULL);
    read_corpus(argv[1]);
    CHECK(input_count > 0);
    for (size_t i = 0; i < input_count; i++)
        LLVMFuzzerTestOneInput(inputs[i].data, inputs[i].size);
    LLVMFuzzerTestOneInput(data, 0);

    for (uint64_t n = 0; n < mutations; n++) {
        const struct input *input;
        size_t size;

        ims_rng_init(&rng, seed * 1000003 + n);
        input = &inputs[ims_rng_below(&rng, input_count)];
        if ((size = input->size) == 0)
            continue;
        memcpy(data, input->data, size);
        for (uint64_t changes = 1 + ims_rng_below(&rng, 5); changes > 0; changes--)
            size = change(&rng, data, size);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%zu files, %llu mutations\n", input_count, (unsigned long long)mutations);
    for (size_t i = 0; i < input_count; i++)
        free(inputs[i].data);
    free(data);
    return 0;
}
