/* SPDX-License-Identifier: Apache-2.0 */
/* A page's view of quality: how well its map keeps neighbourhoods, and how well its groups lie apart in the feature. */
#include "map/map_page.h"

#include "catalog/catalog.h"
#include "core/memory.h"
#include "map/map.h"

#include <imgsim/cluster.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Silhouettes are those of SILHOUETTE_SAMPLE images among SILHOUETTE_ROWS, both evenly taken: all would be all pairs. */
#define SILHOUETTE_ROWS 20000
#define SILHOUETTE_SAMPLE 2000

static imgsim_status add_neighbourhoods(imgsim_page *page, const imgsim_quality *quality)
{
    const struct {
        const char *name, *note;
        double value;
    } figures[] = {
        {"Trustworthiness", "Images near each other on the map are alike; 1 is best.",
         quality->trustworthiness},
        {"Continuity", "Images that are alike are near each other on the map; 1 is best.",
         quality->continuity},
        {"Neighbours kept", "Share of the most similar images that are among the nearest points.",
         quality->preservation},
    };
    imgsim_status status = IMGSIM_OK;

    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]) && status == IMGSIM_OK; i++)
        status = imgsim_page_add_figure(page, figures[i].name, figures[i].value, figures[i].note);
    return status;
}

/* ---- silhouettes ---- */

/* Some of the map's images: their rows in the feature, and which points they are. */
struct sample {
    float *rows;
    size_t *points;
    int32_t *groups;
    size_t count;
    uint32_t dimension;
};

static void sample_clear(struct sample *sample)
{
    ims_free(sample->rows);
    ims_free(sample->points);
    ims_free(sample->groups);
    memset(sample, 0, sizeof(*sample));
}

static imgsim_status
take_sample(const imgsim_map *map, const imgsim_features *features, struct sample *sample)
{
    const size_t count = map->count < SILHOUETTE_ROWS ? map->count : SILHOUETTE_ROWS;
    const float *rows = imgsim_features_get_rows(features);
    const uint32_t dimension = imgsim_features_get_dimension(features);

    sample->dimension = dimension;
    sample->count = count;
    sample->rows = ims_alloc_array(count, dimension * sizeof(float));
    sample->points = ims_alloc_array(count, sizeof(*sample->points));
    sample->groups = ims_alloc_array(count, sizeof(*sample->groups));
    if (sample->rows == NULL || sample->points == NULL || sample->groups == NULL)
        return ims_fail_memory(count * dimension * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        const size_t point = (size_t)((uint64_t)i * map->count / count);

        sample->points[i] = point;
        memcpy(
            sample->rows + i * dimension, rows + (size_t)map->ids[point] * dimension,
            dimension * sizeof(float));
    }
    return IMGSIM_OK;
}

/* Whether two groups or more have images in the sample. */
static bool has_groups(const struct sample *sample)
{
    int32_t first = -1;

    for (size_t i = 0; i < sample->count; i++) {
        if (sample->groups[i] < 0)
            continue;
        if (first >= 0 && sample->groups[i] != first)
            return true;
        first = sample->groups[i];
    }
    return false;
}

static imgsim_status add_silhouette(
    imgsim_page *page,
    const struct ims_own_column *column,
    struct sample *sample,
    int32_t metric,
    const imgsim_quality_options *options)
{
    char name[400];
    imgsim_status status;
    double mean;

    for (size_t i = 0; i < sample->count; i++)
        sample->groups[i] = column->values[sample->points[i]];
    if (!has_groups(sample))
        return IMGSIM_OK;
    status = imgsim_silhouette(
        sample->rows, sample->count, sample->dimension, sample->groups, metric, SILHOUETTE_SAMPLE,
        options->seed, options->threads, &mean, NULL);
    if (status != IMGSIM_OK || isnan(mean))
        return status;
    snprintf(name, sizeof(name), "Silhouette (%.300s)", column->title);
    return imgsim_page_add_figure(
        page, name, mean,
        "How much nearer images are to their own group than to the next, in the feature: -1 to 1.");
}

static imgsim_status add_silhouettes(
    imgsim_page *page,
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    const imgsim_quality_options *options)
{
    imgsim_features *features = NULL;
    struct sample sample = {0};
    imgsim_status status = imgsim_catalog_open_features(catalog, map->feature, &features);

    if (status == IMGSIM_OK)
        status = take_sample(map, features, &sample);
    for (size_t c = 0; c < page->column_count && status == IMGSIM_OK; c++)
        status = add_silhouette(page, &page->columns[c], &sample, map->metric, options);
    sample_clear(&sample);
    imgsim_features_free(features);
    return status;
}

imgsim_status imgsim_page_add_quality(
    imgsim_page *page,
    const imgsim_map *map,
    const imgsim_catalog *catalog,
    const imgsim_quality_options *options,
    imgsim_quality *out_quality)
{
    imgsim_quality quality = {.struct_size = sizeof(quality)};
    imgsim_quality_options settings;
    imgsim_status status;

    if (page == NULL || map == NULL || catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "page, map and catalog must not be NULL");
    if (out_quality != NULL && out_quality->struct_size < sizeof(size_t))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_quality: struct_size is not set");
    if (page->count != map->count ||
        memcmp(page->ids, map->ids, map->count * sizeof(*map->ids)) != 0)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "the page is not one of this map");
    if ((status = ims_quality_options_read(options, &settings)) != IMGSIM_OK ||
        (status = imgsim_map_measure_catalog(map, catalog, &settings, &quality)) != IMGSIM_OK ||
        (status = add_neighbourhoods(page, &quality)) != IMGSIM_OK ||
        (status = add_silhouettes(page, map, catalog, &settings)) != IMGSIM_OK)
        return status;
    if (out_quality != NULL) {
        const size_t known = out_quality->struct_size;

        memcpy(out_quality, &quality, known < sizeof(quality) ? known : sizeof(quality));
        out_quality->struct_size = known;
    }
    return IMGSIM_OK;
}
