/* SPDX-License-Identifier: Apache-2.0 */
/* A map as a table. */
#include "map/map_plot.h"

#include "catalog/catalog.h"
#include "core/file.h"
#include "core/options.h"

#include <inttypes.h>

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

    ims_text_add_format(&table->text, "%" PRId64, map->ids[point]);
    for (uint32_t c = 0; c < map->dimension; c++)
        ims_text_add_format(
            &table->text, ",%.9g", (double)map->positions[point * map->dimension + c]);
    if (table->catalog) {
        ims_text_add_format(&table->text, ",%s,", uuid);
        ims_text_add_field(&table->text, path);
        ims_text_add_format(&table->text, ",");
        ims_text_add_field(&table->text, group >= 0 ? table->groups->names[group] : "");
    }
    ims_text_add_format(&table->text, "\r\n");
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

imgsim_status imgsim_map_write_table(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    const imgsim_plot_options *options,
    const char *path)
{
    struct ims_map_groups groups = {0};
    struct table table = {.map = map, .groups = &groups, .catalog = catalog != NULL};
    imgsim_plot_options settings;
    imgsim_status status;

    if (map == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "map and path must not be NULL");
    if ((status = imgsim_plot_options_init(&settings, sizeof(settings))) != IMGSIM_OK ||
        (status = ims_options_read(&settings, sizeof(settings), options)) != IMGSIM_OK ||
        (status = ims_map_groups_read(map, catalog, &settings, &groups)) != IMGSIM_OK)
        return status;
    ims_text_add_format(&table.text, "id,x,y%s", map->dimension > 2 ? ",z" : "");
    ims_text_add_format(&table.text, "%s\r\n", catalog != NULL ? ",uuid,path,group" : "");
    if (catalog != NULL)
        status = imgsim_catalog_visit_files(catalog, IMGSIM_FILE_OK, take_file, &table);
    while (table.next < map->count && !table.text.failed)
        put_line(&table, "", "");
    if (status == IMGSIM_OK)
        status = table.text.failed ? ims_fail_memory(table.text.size)
                                   : ims_plot_write_file(path, table.text.bytes, table.text.size);
    ims_text_clear(&table.text);
    ims_map_groups_clear(&groups);
    return status;
}

imgsim_status imgsim_map_write_csv(
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    int32_t color_by,
    const char *path)
{
    imgsim_plot_options options;
    imgsim_status status = imgsim_plot_options_init(&options, sizeof(options));

    if (status != IMGSIM_OK)
        return status;
    if (color_by == IMGSIM_COLOR_GROUPS)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "groups %d are not in a catalog", color_by);
    options.color_by = color_by;
    return imgsim_map_write_table(map, catalog, &options, path);
}
