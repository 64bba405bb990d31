/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Index and projector files with a section overwritten: refused when checksums are compared; without them refused, or opened and
 * searched without harm.
 */
#include "public_bed.h"

#define FILE_MAX ((size_t)1 << 20)

static uint8_t original[FILE_MAX], damaged[FILE_MAX];
static char path[700];

static uint64_t number_at(size_t position)
{
    uint64_t value = 0;

    for (int i = 7; i >= 0; i--)
        value = value << 8 | original[position + (size_t)i];
    return value;
}

static size_t read_original(const char *name)
{
    char from[1000];
    FILE *file;
    size_t size;

    snprintf(from, sizeof(from), "%s/tests/data/0.1/%s", IMGSIM_SOURCE_DIR, name);
    CHECK((file = fopen(from, "rb")) != NULL);
    size = fread(original, 1, FILE_MAX, file);
    CHECK(size > 64 && size < FILE_MAX);
    fclose(file);
    return size;
}

/* Whatever comes out of it: no more than k answers per query, nothing written past them. */
static void use_index(imgsim_index *index)
{
    static const float row[64] = {1, 2, 3};
    imgsim_search_options options;
    float distances[3];
    int64_t ids[3];

    CHECK(imgsim_index_get_dimension(index) <= 64 * 32);
    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    for (int32_t exact = 0; exact < 2; exact++) {
        options.exact = exact;
        if (imgsim_index_get_metric(index) == IMGSIM_METRIC_HAMMING)
            (void)imgsim_index_search_bits(
                index, (const uint8_t *)row, 1, 3, &options, ids, distances);
        else
            (void)imgsim_index_search(index, row, 1, 3, &options, ids, distances);
    }
    (void)imgsim_index_add(index, row, 1, NULL);
    (void)imgsim_index_remove(index, ids, 1, NULL);
}

static void check_opening(int is_projector)
{
    imgsim_projector *projector = NULL;
    imgsim_index *index = NULL;
    imgsim_status status;

    if (is_projector) {
        CHECK_FAILS(imgsim_projector_load(path, &projector), IMGSIM_ERROR_CORRUPT, path);
        CHECK(projector == NULL);
        return;
    }
    CHECK_FAILS(imgsim_index_open(path, 1, &index), IMGSIM_ERROR_CORRUPT, path);
    CHECK(index == NULL);
    status = imgsim_index_open(path, 0, &index);
    CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_CORRUPT);
    if (status == IMGSIM_OK)
        use_index(index);
    imgsim_index_free(index);
}

/* The layout is that of docs/file-formats.md: a table of 32 bytes per section from byte 32 on. */
static void overwrite_each_section(const char *name, int is_projector)
{
    static const uint8_t fills[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    size_t size = read_original(name), section_count = original[20], tried = 0;

    for (size_t i = 0; i < section_count; i++) {
        size_t offset = (size_t)number_at(32 + 32 * i + 8);
        size_t length = (size_t)number_at(32 + 32 * i + 16);

        CHECK(offset <= size && length <= size - offset);
        for (size_t fill = 0; fill < sizeof(fills); fill++) {
            memcpy(damaged, original, size);
            memset(damaged + offset, fills[fill], length);
            if (memcmp(damaged, original, size) == 0)
                continue; /* empty, or of these bytes anyway */
            bed_write_file(path, damaged, size);
            check_opening(is_projector);
            tried++;
        }
    }
    CHECK(tried >= section_count);
}

static void cut_off(const char *name, int is_projector)
{
    size_t size = read_original(name);

    for (size_t length = 0; length < size; length += length < 700 ? 13 : size / 7) {
        bed_write_file(path, original, length);
        check_opening(is_projector);
    }
}

int main(void)
{
    static const char *const names[] = {
        "exact-l2.ims", "exact-chi-square.ims", "exact-hamming.ims", "hnsw-cosine.ims",
        "projector.ims"};
    char folder[600];

    CHECK_OK(imgsim_set_blas_threads(1));
    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    snprintf(path, sizeof(path), "%s/damaged.ims", folder);
    for (int i = 0; i < 5; i++) {
        overwrite_each_section(names[i], i == 4);
        cut_off(names[i], i == 4);
    }
    bed_remove_folder(folder);
    return 0;
}
