/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our sectioned file format, .ims. All numbers are little-endian.
 *
 *   0   8  "IMGSIM\r\n"
 *   8   8  kind, filled up with spaces
 *  16   4  version of the kind
 *  20   4  number of sections
 *  24   8  XXH3-64 of header and table, taken with these eight bytes as zero
 *  32  32  per section: name[8] filled up with zeros, offset, size, XXH3-64 of its bytes
 *
 * Sections follow in the order of the table, each at the next multiple of 64, zeros between; the
 * file ends with the last.
 */
#include "core/file.h"

#include "core/hash.h"
#include "core/memory.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define HEADER_SIZE 32
#define ENTRY_SIZE 32
#define CHECKSUM_AT 24
#define STEP 64
#define HEADER_MAX (HEADER_SIZE + ENTRY_SIZE * IMS_SECTIONS_MAX)

static const uint8_t magic[8] = {'I', 'M', 'G', 'S', 'I', 'M', '\r', '\n'};

static void put_number(uint8_t *out, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_number(const uint8_t *in, int size)
{
    uint64_t value = 0;

    for (int i = 0; i < size; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

static uint64_t next_step(uint64_t position)
{
    return (position + STEP - 1) / STEP * STEP;
}

/* A name of up to 8 bytes in a field of 8. */
static void put_name(uint8_t out[8], const char *name, char fill)
{
    size_t length = strlen(name);

    assert(length <= 8);
    memset(out, fill, 8);
    memcpy(out, name, length);
}

/* Checksum of header and table, in which the place of the checksum itself counts as zero. */
static uint64_t header_checksum(const uint8_t *data, size_t size)
{
    uint8_t header[HEADER_MAX];

    memcpy(header, data, size);
    memset(header + CHECKSUM_AT, 0, 8);
    return ims_hash64(header, size);
}

/* ---- writing ---- */

/* Header and table; returns their size. */
static size_t make_header(
    const char *kind,
    uint32_t version,
    const struct ims_section_data *sections,
    size_t count,
    uint8_t out[HEADER_MAX])
{
    size_t size = HEADER_SIZE + ENTRY_SIZE * count;
    uint64_t position = next_step(size);

    memset(out, 0, HEADER_MAX);
    memcpy(out, magic, sizeof(magic));
    put_name(out + 8, kind, ' ');
    put_number(out + 16, version, 4);
    put_number(out + 20, count, 4);
    for (size_t i = 0; i < count; i++) {
        uint8_t *entry = out + HEADER_SIZE + ENTRY_SIZE * i;

        put_name(entry, sections[i].name, '\0');
        put_number(entry + 8, position, 8);
        put_number(entry + 16, sections[i].size, 8);
        put_number(entry + 24, ims_hash64(sections[i].data, sections[i].size), 8);
        position = next_step(position + sections[i].size);
    }
    put_number(out + CHECKSUM_AT, header_checksum(out, size), 8);
    return size;
}

/* Zeros up to the next step. */
static imgsim_status pad_to_step(struct ims_writer *writer)
{
    static const uint8_t zeros[STEP];

    return ims_writer_write(writer, zeros, next_step(writer->position) - writer->position);
}

imgsim_status ims_sections_write(
    const char *path,
    const char *kind,
    uint32_t version,
    const struct ims_section_data *sections,
    size_t section_count)
{
    struct ims_writer writer = {0};
    uint8_t header[HEADER_MAX];
    imgsim_status status;
    size_t size;

    assert(section_count <= IMS_SECTIONS_MAX);
    size = make_header(kind, version, sections, section_count, header);
    if ((status = ims_writer_open(&writer, path)) != IMGSIM_OK ||
        (status = ims_writer_write(&writer, header, size)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < section_count; i++)
        if ((status = pad_to_step(&writer)) != IMGSIM_OK ||
            (status = ims_writer_write(&writer, sections[i].data, sections[i].size)) != IMGSIM_OK)
            goto done;
    /* An empty last section still has its place within the file. */
    if ((status = pad_to_step(&writer)) != IMGSIM_OK)
        goto done;
    status = ims_writer_commit(&writer);

done:
    ims_writer_close(&writer);
    return status;
}

/* ---- reading ---- */

static imgsim_status damaged(const struct ims_reader *reader, const char *what)
{
    return ims_fail(IMGSIM_ERROR_CORRUPT, "%s is damaged: %s", reader->path, what);
}

/* Magic, kind, and the checksum of header and table. */
static imgsim_status check_header(struct ims_reader *reader, const char *kind, uint32_t max_version)
{
    const uint8_t *data = reader->map.data;
    uint8_t expected[8];
    uint64_t size;

    if (reader->map.size < HEADER_SIZE)
        return damaged(reader, "too short for a header");
    if (memcmp(data, magic, sizeof(magic)) != 0)
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s is not a file of libimgsim", reader->path);
    put_name(expected, kind, ' ');
    if (memcmp(data + 8, expected, 8) != 0)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "%s holds something else, expected %s", reader->path, kind);

    reader->version = (uint32_t)get_number(data + 16, 4);
    reader->section_count = (uint32_t)get_number(data + 20, 4);
    if (reader->section_count > IMS_SECTIONS_MAX)
        return damaged(reader, "too many sections");
    size = HEADER_SIZE + (uint64_t)ENTRY_SIZE * reader->section_count;
    if (reader->map.size < size)
        return damaged(reader, "it ends within its table");
    if (header_checksum(data, (size_t)size) != get_number(data + CHECKSUM_AT, 8))
        return damaged(reader, "the checksum of its header differs");
    if (reader->version > max_version)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "%s has version %u, this library reads up to %u",
            reader->path, reader->version, max_version);
    return IMGSIM_OK;
}

static bool all_zero(const uint8_t *data, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        if (data[i] != 0)
            return false;
    return true;
}

/*
 * Read the table: sections in order, without gaps but those between steps, up to the end of the
 * file.
 */
static imgsim_status read_table(struct ims_reader *reader)
{
    uint64_t end = HEADER_SIZE + (uint64_t)ENTRY_SIZE * reader->section_count;

    for (uint32_t i = 0; i < reader->section_count; i++) {
        const uint8_t *entry = reader->map.data + HEADER_SIZE + ENTRY_SIZE * (size_t)i;
        struct ims_section *section = &reader->sections[i];

        memcpy(section->name, entry, 8);
        section->offset = get_number(entry + 8, 8);
        section->size = get_number(entry + 16, 8);
        section->checksum = get_number(entry + 24, 8);
        if (section->offset != next_step(end))
            return damaged(reader, "a section is out of place");
        if (section->offset > reader->map.size ||
            section->size > reader->map.size - section->offset)
            return damaged(reader, "it is shorter than its table says");
        if (!all_zero(reader->map.data + end, section->offset - end))
            return damaged(reader, "bytes between sections");
        end = section->offset + section->size;
    }
    if (next_step(end) != reader->map.size)
        return damaged(reader, "its length is not what its table says");
    if (!all_zero(reader->map.data + end, reader->map.size - end))
        return damaged(reader, "bytes after the last section");
    return IMGSIM_OK;
}

static imgsim_status verify_sections(const struct ims_reader *reader)
{
    for (uint32_t i = 0; i < reader->section_count; i++) {
        const struct ims_section *section = &reader->sections[i];

        if (ims_hash64(reader->map.data + section->offset, (size_t)section->size) !=
            section->checksum)
            return ims_fail(
                IMGSIM_ERROR_CORRUPT, "%s is damaged: the checksum of section %.8s differs",
                reader->path, section->name);
    }
    return IMGSIM_OK;
}

imgsim_status ims_reader_open(
    struct ims_reader *reader,
    const char *path,
    const char *kind,
    uint32_t max_version,
    bool verify)
{
    imgsim_status status;

    memset(reader, 0, sizeof(*reader));
    if ((reader->path = ims_strdup(path)) == NULL)
        return ims_fail_memory(strlen(path) + 1);
    if ((status = ims_map_open(&reader->map, path)) != IMGSIM_OK ||
        (status = check_header(reader, kind, max_version)) != IMGSIM_OK ||
        (status = read_table(reader)) != IMGSIM_OK ||
        (verify && (status = verify_sections(reader)) != IMGSIM_OK))
        ims_reader_close(reader);
    return status;
}

imgsim_status ims_reader_section(
    const struct ims_reader *reader,
    const char *name,
    const void **out_data,
    size_t *out_size)
{
    uint8_t wanted[8];

    *out_data = NULL;
    *out_size = 0;
    put_name(wanted, name, '\0');
    for (uint32_t i = 0; i < reader->section_count; i++) {
        if (memcmp(reader->sections[i].name, wanted, 8) == 0) {
            *out_data = reader->map.data + reader->sections[i].offset;
            *out_size = (size_t)reader->sections[i].size;
            return IMGSIM_OK;
        }
    }
    return ims_fail(IMGSIM_ERROR_CORRUPT, "%s has no section %s", reader->path, name);
}

imgsim_status
ims_reader_copy(const struct ims_reader *reader, const char *name, void *out, size_t size)
{
    const void *data;
    imgsim_status status;
    size_t found;

    if ((status = ims_reader_section(reader, name, &data, &found)) != IMGSIM_OK)
        return status;
    if (found != size)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "%s: section %s has %zu bytes, expected %zu", reader->path, name,
            found, size);
    if (size > 0)
        memcpy(out, data, size);
    return IMGSIM_OK;
}

void ims_reader_close(struct ims_reader *reader)
{
    ims_map_close(&reader->map);
    ims_free(reader->path);
    reader->path = NULL;
    reader->section_count = 0;
}
