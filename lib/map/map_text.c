/* SPDX-License-Identifier: Apache-2.0 */
/* Texts that grow, and a map as a table. */
#include "map/map_plot.h"

#include "catalog/catalog.h"
#include "core/file.h"
#include "core/memory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void append(struct ims_text *text, const char *bytes, size_t size)
{
    if (text->failed)
        return;
    if (!ims_grow((void **)&text->bytes, &text->room, text->used + size, 1)) {
        text->failed = true;
        return;
    }
    memcpy(text->bytes + text->used, bytes, size);
    text->used += size;
}

void ims_text_put(struct ims_text *text, const char *format, ...)
{
    char piece[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(piece, sizeof(piece), format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof(piece))
        length = (int)sizeof(piece) - 1;
    append(text, piece, (size_t)length);
}

/* Bytes of the UTF-8 character that begins here, 0 if none does. */
static size_t character_length(const unsigned char *at)
{
    const size_t length = at[0] < 0x80                    ? 1
                          : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                          : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                          : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                          : 0;

    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return length;
}

void ims_text_put_escaped(struct ims_text *text, const char *value)
{
    for (const unsigned char *at = (const unsigned char *)value; *at != '\0';) {
        const size_t length = character_length(at);

        if (*at == '<')
            append(text, "&lt;", 4);
        else if (*at == '>')
            append(text, "&gt;", 4);
        else if (*at == '&')
            append(text, "&amp;", 5);
        else if (*at == '"')
            append(text, "&quot;", 6);
        else if (length == 0 || *at < 0x20 || *at == 0x7f)
            append(text, "\xef\xbf\xbd", 3); /* U+FFFD */
        else
            append(text, (const char *)at, length);
        at += length > 0 ? length : 1;
    }
}

void ims_text_put_field(struct ims_text *text, const char *value)
{
    if (strpbrk(value, ",\"\r\n") == NULL) {
        append(text, value, strlen(value));
        return;
    }
    append(text, "\"", 1);
    for (; *value != '\0'; value++) {
        if (*value == '"')
            append(text, "\"", 1);
        append(text, value, 1);
    }
    append(text, "\"", 1);
}

imgsim_status ims_plot_write_file(const char *path, const void *data, size_t size)
{
    struct ims_writer writer = {0};
    imgsim_status status;

    if ((status = ims_writer_open(&writer, path)) == IMGSIM_OK &&
        (status = ims_writer_write(&writer, data, size)) == IMGSIM_OK)
        status = ims_writer_commit(&writer);
    ims_writer_close(&writer);
    return status;
}

/* ---- the table ---- */

struct table {
    const imgsim_map *map;
    const struct ims_map_groups *groups;
    struct ims_text text;
    size_t next; /* point whose line comes next */
    bool catalog;
};

/* One line; uuid and path are "" for an image that is gone. */
static void put_line(struct table *table, const char *uuid, const char *path)
{
    const imgsim_map *map = table->map;
    const size_t point = table->next++;
    const int32_t group = table->groups->of_point[point];

    ims_text_put(&table->text, "%" PRId64, map->ids[point]);
    for (uint32_t c = 0; c < map->dimension; c++)
        ims_text_put(&table->text, ",%.9g", (double)map->positions[point * map->dimension + c]);
    if (table->catalog) {
        ims_text_put(&table->text, ",%s,", uuid);
        ims_text_put_field(&table->text, path);
        ims_text_put(&table->text, ",");
        ims_text_put_field(&table->text, group >= 0 ? table->groups->names[group] : "");
    }
    ims_text_put(&table->text, "\r\n");
}

/* Files come in order of id, as do the points of a catalog's map. */
static int32_t take_file(const imgsim_file_info *file, void *user_data)
{
    struct table *table = user_data;

    while (table->next < table->map->count && table->map->ids[table->next] < file->id)
        put_line(table, "", "");
    if (table->next < table->map->count && table->map->ids[table->next] == file->id)
        put_line(table, file->uuid, file->path);
    return table->text.failed;
}

imgsim_status imgsim_map_write_csv(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    int32_t color_by,
    const char *path)
{
    struct ims_map_groups groups = {0};
    struct table table = {.map = map, .groups = &groups, .catalog = catalog != NULL};
    imgsim_status status;

    if (map == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "map and path must not be NULL");
    if (color_by < IMGSIM_COLOR_AUTO || color_by > IMGSIM_COLOR_FOLDER)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "groups %d are not in a catalog", color_by);
    if ((status = ims_map_groups_find(map, catalog, color_by, &groups)) != IMGSIM_OK)
        return status;
    ims_text_put(&table.text, "id,x,y%s", map->dimension > 2 ? ",z" : "");
    ims_text_put(&table.text, "%s\r\n", catalog != NULL ? ",uuid,path,group" : "");
    if (catalog != NULL)
        status = imgsim_catalog_visit_files(catalog, IMGSIM_FILE_OK, take_file, &table);
    while (table.next < map->count && !table.text.failed)
        put_line(&table, "", "");
    if (status == IMGSIM_OK)
        status = table.text.failed ? ims_fail_memory(table.text.used)
                                   : ims_plot_write_file(path, table.text.bytes, table.text.used);
    ims_free(table.text.bytes);
    ims_map_groups_clear(&groups);
    return status;
}
