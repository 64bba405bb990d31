/* SPDX-License-Identifier: Apache-2.0 */
/* Maps and neighbour graphs in files: .ims of the kinds "MAP" and "GRAPH"; positions as .npy. */
#include "map/map.h"

#include "core/file.h"
#include "core/memory.h"
#include "core/npy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAP_KIND "MAP"
#define GRAPH_KIND "GRAPH"
#define VERSION 1

/* The section "settings" of both, little-endian, without gaps. */
struct file_settings {
    uint64_t count;
    uint32_t dimension; /* 0 in a graph */
    int32_t layout;     /* 0 in a graph */
    int32_t metric;     /* 0 in a graph */
    uint32_t neighbours;
    double kl;
    uint32_t exact; /* of a graph */
    uint32_t reserved;
    char feature[IMS_MAP_FEATURE_SIZE];
    char origin[40];
    char recipe[40];
};

imgsim_status imgsim_map_save(const imgsim_map *map, const char *path)
{
    struct file_settings settings = {0};
    size_t n, k;

    if (map == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "map and path must not be NULL");
    n = settings.count = map->count;
    k = settings.neighbours = map->neighbour_count;
    settings.dimension = map->dimension;
    settings.layout = map->layout;
    settings.metric = map->metric;
    settings.kl = map->kl;
    memcpy(settings.feature, map->feature, sizeof(map->feature));
    memcpy(settings.origin, map->origin, sizeof(map->origin));
    memcpy(settings.recipe, map->recipe, sizeof(map->recipe));
    {
        const struct ims_section_data sections[] = {
            {"settings", &settings, sizeof(settings)},
            {"ids", map->ids, n * sizeof(int64_t)},
            {"places", map->positions, n * map->dimension * sizeof(float)},
            {"near", map->neighbours, n * k * sizeof(uint32_t)},
            {"distance", map->distances, n * k * sizeof(float)},
        };

        return ims_sections_write(
            path, MAP_KIND, VERSION, sections, sizeof(sections) / sizeof(sections[0]));
    }
}

/* ---- reading ---- */

/* Values that no file of ours has; also keeps sizes from overflowing. */
static imgsim_status
read_settings(const struct ims_reader *reader, bool graph, struct file_settings *out)
{
    imgsim_status status = ims_reader_copy(reader, "settings", out, sizeof(*out));

    if (status != IMGSIM_OK)
        return status;
    if (out->count < IMGSIM_MAP_POINTS_MIN || out->count > reader->map.size ||
        out->neighbours >= out->count || out->neighbours > 1000 ||
        memchr(out->feature, '\0', sizeof(out->feature)) == NULL ||
        memchr(out->origin, '\0', 33) == NULL || memchr(out->recipe, '\0', 33) == NULL ||
        (graph ? out->neighbours == 0
               : out->dimension < 2 || out->dimension > IMGSIM_MAP_DIMENSION_MAX ||
                     imgsim_layout_name(out->layout) == NULL ||
                     (out->metric != IMGSIM_METRIC_COSINE && out->metric != IMGSIM_METRIC_L2)))
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s has impossible settings", reader->path);
    return IMGSIM_OK;
}

/* The two arrays of a graph, checked: places lie inside. */
static imgsim_status read_graph(
    const struct ims_reader *reader,
    size_t count,
    uint32_t k,
    uint32_t **out_neighbours,
    float **out_distances)
{
    const size_t edges = count * k;
    imgsim_status status;

    *out_neighbours = ims_alloc_array(edges, sizeof(uint32_t));
    *out_distances = ims_alloc_array(edges, sizeof(float));
    if (*out_neighbours == NULL || *out_distances == NULL)
        return ims_fail_memory(edges * sizeof(float));
    if ((status = ims_reader_copy(reader, "near", *out_neighbours, edges * sizeof(uint32_t))) !=
            IMGSIM_OK ||
        (status = ims_reader_copy(reader, "distance", *out_distances, edges * sizeof(float))) !=
            IMGSIM_OK)
        return status;
    for (size_t e = 0; e < edges; e++)
        if ((*out_neighbours)[e] >= count || !((*out_distances)[e] >= 0.0f))
            return ims_fail(
                IMGSIM_ERROR_CORRUPT, "%s: neighbour %zu of point %zu is impossible", reader->path,
                e % k, e / k);
    return IMGSIM_OK;
}

static imgsim_status
read_map(const struct ims_reader *reader, const struct file_settings *settings, imgsim_map *map)
{
    const size_t n = map->count, values = n * map->dimension;
    imgsim_status status;

    map->layout = settings->layout;
    map->metric = settings->metric;
    map->kl = settings->kl;
    memcpy(map->feature, settings->feature, sizeof(map->feature));
    memcpy(map->origin, settings->origin, sizeof(map->origin));
    memcpy(map->recipe, settings->recipe, sizeof(map->recipe));
    if ((status = ims_reader_copy(reader, "ids", map->ids, n * sizeof(int64_t))) != IMGSIM_OK ||
        (status = ims_reader_copy(reader, "places", map->positions, values * sizeof(float))) !=
            IMGSIM_OK)
        return status;
    for (size_t i = 0; i < values; i++)
        if (!isfinite(map->positions[i]))
            return ims_fail(
                IMGSIM_ERROR_CORRUPT, "%s: point %zu is nowhere", reader->path, i / map->dimension);
    map->neighbour_count = settings->neighbours;
    return settings->neighbours == 0
               ? IMGSIM_OK
               : read_graph(reader, n, settings->neighbours, &map->neighbours, &map->distances);
}

imgsim_status imgsim_map_load(const char *path, imgsim_map **out_map)
{
    struct ims_reader reader = {0};
    struct file_settings settings;
    imgsim_map *map = NULL;
    imgsim_status status;

    if (path == NULL || out_map == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "path and out_map must not be NULL");
    *out_map = NULL;
    if ((status = ims_reader_open(&reader, path, MAP_KIND, VERSION, true)) != IMGSIM_OK ||
        (status = read_settings(&reader, false, &settings)) != IMGSIM_OK ||
        (status = ims_map_alloc(settings.count, settings.dimension, &map)) != IMGSIM_OK ||
        (status = read_map(&reader, &settings, map)) != IMGSIM_OK)
        goto done;
    *out_map = map;
    map = NULL; /* now the caller's */

done:
    imgsim_map_free(map);
    ims_reader_close(&reader);
    return status;
}

/* ---- graphs ---- */

imgsim_status
ims_map_graph_save(const struct ims_map_kept_graph *graph, const char *origin, const char *path)
{
    struct file_settings settings = {.count = graph->count, .neighbours = graph->k};
    const size_t edges = graph->count * graph->k;
    const struct ims_section_data sections[] = {
        {"settings", &settings, sizeof(settings)},
        {"near", graph->neighbours, edges * sizeof(uint32_t)},
        {"distance", graph->distances, edges * sizeof(float)},
    };

    settings.exact = graph->exact;
    snprintf(settings.origin, sizeof(settings.origin), "%s", origin);
    return ims_sections_write(
        path, GRAPH_KIND, VERSION, sections, sizeof(sections) / sizeof(sections[0]));
}

imgsim_status
ims_map_graph_load(const char *path, const char *origin, struct ims_map_kept_graph *graph)
{
    struct ims_reader reader = {0};
    struct file_settings settings;
    imgsim_status status;

    if ((status = ims_reader_open(&reader, path, GRAPH_KIND, VERSION, true)) != IMGSIM_OK ||
        (status = read_settings(&reader, true, &settings)) != IMGSIM_OK)
        goto done;
    if (origin != NULL && strcmp(settings.origin, origin) != 0) {
        status = ims_fail(IMGSIM_ERROR_NOT_FOUND, "%s is stale", path);
        goto done;
    }
    graph->count = settings.count;
    graph->k = settings.neighbours;
    graph->exact = settings.exact != 0;
    graph->fresh = false;
    status = read_graph(&reader, graph->count, graph->k, &graph->neighbours, &graph->distances);

done:
    if (status != IMGSIM_OK)
        ims_map_kept_graph_clear(graph);
    ims_reader_close(&reader);
    return status;
}

/* ---- .npy ---- */

static imgsim_status write_npy(
    const char *path,
    const char *dtype,
    const void *data,
    size_t rows,
    size_t columns,
    size_t size)
{
    struct ims_writer writer = {0};
    uint8_t header[IMS_NPY_DATA];
    imgsim_status status;

    if ((status = ims_npy_header(dtype, rows, columns, header)) == IMGSIM_OK &&
        (status = ims_writer_open(&writer, path)) == IMGSIM_OK &&
        (status = ims_writer_write(&writer, header, sizeof(header))) == IMGSIM_OK &&
        (status = ims_writer_write(&writer, data, size)) == IMGSIM_OK)
        status = ims_writer_commit(&writer);
    ims_writer_close(&writer);
    return status;
}

imgsim_status imgsim_map_write_npy(const imgsim_map *map, const char *path)
{
    imgsim_status status;
    size_t stem;
    char *ids;

    if (map == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "map and path must not be NULL");
    stem = strlen(path);
    if (stem >= 4 && strcmp(path + stem - 4, ".npy") == 0)
        stem -= 4;
    if ((ids = ims_alloc(stem + 9)) == NULL)
        return ims_fail_memory(stem + 9);
    memcpy(ids, path, stem);
    memcpy(ids + stem, ".ids.npy", 9);
    status = write_npy(
        path, "<f4", map->positions, map->count, map->dimension,
        map->count * map->dimension * sizeof(float));
    if (status == IMGSIM_OK)
        status = write_npy(ids, "<i8", map->ids, map->count, 0, map->count * sizeof(int64_t));
    ims_free(ids);
    return status;
}
