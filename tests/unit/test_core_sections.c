/* SPDX-License-Identifier: Apache-2.0 */
/* Files of sections: what is written is read, and any damage is noticed. */
#include "check.h"

#include "core/file.h"

static char path[4096];
static uint8_t content[4096];
static size_t content_size;

static void put_bytes(const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK_EQUAL(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

/* A small file of three sections, one of them empty. */
static void write_example(uint32_t version)
{
    static const uint8_t numbers[100] = {1, 2, 3};
    const struct ims_section_data sections[] = {
        {"numbers8", numbers, sizeof(numbers)}, {"text", "hello", 5}, {"nothing", NULL, 0}};
    FILE *file;

    CHECK_OK(ims_sections_write(path, "EXAMPLE", version, sections, 3));
    file = fopen(path, "rb");
    CHECK(file != NULL);
    content_size = fread(content, 1, sizeof(content), file);
    fclose(file);
    CHECK(content_size > 200 && content_size < sizeof(content));
}

static void what_is_written_is_read(void)
{
    struct ims_reader reader = {0};
    const void *data;
    size_t size;

    write_example(3);
    CHECK_OK(ims_reader_open(&reader, path, "EXAMPLE", 5, true));
    CHECK_EQUAL(reader.version, 3);
    CHECK_EQUAL(reader.section_count, 3);
    CHECK_OK(ims_reader_section(&reader, "text", &data, &size));
    CHECK_EQUAL(size, 5);
    CHECK_EQUAL(memcmp(data, "hello", 5), 0);
    CHECK_EQUAL((uintptr_t)data % 64, 0);
    CHECK_OK(ims_reader_section(&reader, "numbers8", &data, &size));
    CHECK_EQUAL(size, 100);
    CHECK_EQUAL((uintptr_t)data % 64, 0);
    CHECK_OK(ims_reader_section(&reader, "nothing", &data, &size));
    CHECK_EQUAL(size, 0);
    CHECK_FAILS(
        ims_reader_section(&reader, "absent", &data, &size), IMGSIM_ERROR_CORRUPT, "absent");
    ims_reader_close(&reader);
    ims_reader_close(&reader);
}

static void a_file_without_sections_is_fine(void)
{
    struct ims_reader reader = {0};

    CHECK_OK(ims_sections_write(path, "EXAMPLE", 1, NULL, 0));
    CHECK_OK(ims_reader_open(&reader, path, "EXAMPLE", 1, true));
    CHECK_EQUAL(reader.section_count, 0);
    ims_reader_close(&reader);
}

static void every_damaged_byte_is_noticed(void)
{
    write_example(1);
    for (size_t i = 0; i < content_size; i++) {
        const uint8_t damage =
            (uint8_t)(1u << (i * 5 % 8)); /* one bit, another from byte to byte */
        struct ims_reader reader = {0};

        content[i] ^= damage;
        put_bytes(content, content_size);
        content[i] ^= damage;
        CHECK_FAILS(ims_reader_open(&reader, path, "EXAMPLE", 1, true), IMGSIM_ERROR_CORRUPT, path);
        CHECK(reader.map.data == NULL && reader.path == NULL);
    }
}

static void every_other_length_is_noticed_without_checksums(void)
{
    struct ims_reader reader = {0};

    write_example(1);
    for (size_t size = 0; size < content_size; size++) {
        put_bytes(content, size);
        CHECK_FAILS(
            ims_reader_open(&reader, path, "EXAMPLE", 1, false), IMGSIM_ERROR_CORRUPT, path);
    }
    content[content_size] = 0;
    put_bytes(content, content_size + 1);
    CHECK_FAILS(ims_reader_open(&reader, path, "EXAMPLE", 1, false), IMGSIM_ERROR_CORRUPT, path);
}

static void a_newer_version_is_refused_as_such(void)
{
    struct ims_reader reader = {0};

    write_example(2);
    CHECK_FAILS(
        ims_reader_open(&reader, path, "EXAMPLE", 1, true), IMGSIM_ERROR_UNSUPPORTED, "version 2");
}

static void another_kind_is_refused(void)
{
    struct ims_reader reader = {0};

    write_example(1);
    CHECK_FAILS(ims_reader_open(&reader, path, "OTHER", 1, true), IMGSIM_ERROR_CORRUPT, "OTHER");
    CHECK_FAILS(
        ims_reader_open(&reader, "/nonexistent", "OTHER", 1, true), IMGSIM_ERROR_NOT_FOUND,
        "/nonexistent");
}

static void a_failed_write_leaves_the_old_file(void)
{
    struct ims_reader reader = {0};
    const struct ims_section_data section = {"x", "y", 1};

    write_example(1);
    CHECK_FAILS(
        ims_sections_write("/nonexistent/file", "EXAMPLE", 1, &section, 1), IMGSIM_ERROR_NOT_FOUND,
        "/nonexistent");
    CHECK_OK(ims_reader_open(&reader, path, "EXAMPLE", 1, true));
    ims_reader_close(&reader);
}

int main(void)
{
    const char *folder = check_temporary_folder();

    snprintf(path, sizeof(path), "%s/example.ims", folder);
    what_is_written_is_read();
    a_file_without_sections_is_fine();
    every_damaged_byte_is_noticed();
    every_other_length_is_noticed_without_checksums();
    a_newer_version_is_refused_as_such();
    another_kind_is_refused();
    a_failed_write_leaves_the_old_file();
    CHECK_EQUAL(remove(path), 0);
    CHECK_EQUAL(remove(folder), 0);
    return 0;
}
