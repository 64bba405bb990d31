/* SPDX-License-Identifier: Apache-2.0 */
/* The public handle of a map: options, making one from plain rows, properties. */
#include "map/map.h"

#include "core/memory.h"
#include "core/options.h"
#include "map/map_graph.h"
#include "map/map_layout.h"
#include "project/projector.h"

#include <math.h>
#include <string.h>

/* Places in arrays of three coordinates a point are 32 bits wide. */
#define POINTS_MOST 500000000

static const imgsim_map_options defaults = {
    .struct_size = sizeof(imgsim_map_options),
    .seed = 1,
    .layout = IMGSIM_LAYOUT_UMAP,
    .dimension = 2,
    .min_dist = 0.1,
    .spread = 1.0,
    .negatives = 5,
    .perplexity = 30.0,
    .early_exaggeration = 12.0,
    .late_exaggeration = 1.0,
};

imgsim_status imgsim_map_options_init(imgsim_map_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

/* ---- names ---- */

static const char *const layout_names[] = {NULL, "pca", "umap", "tsne"};
#define LAYOUT_COUNT (int32_t)(sizeof(layout_names) / sizeof(layout_names[0]))

const char *imgsim_layout_name(int32_t layout)
{
    return layout > 0 && layout < LAYOUT_COUNT ? layout_names[layout] : NULL;
}

imgsim_status imgsim_layout_from_name(const char *name, int32_t *out_layout)
{
    if (name == NULL || out_layout == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "name and out_layout must not be NULL");
    for (int32_t layout = 1; layout < LAYOUT_COUNT; layout++)
        if (strcmp(name, layout_names[layout]) == 0) {
            *out_layout = layout;
            return IMGSIM_OK;
        }
    return ims_fail(
        IMGSIM_ERROR_INVALID_ARGUMENT, "no layout \"%s\"; there are pca, umap, tsne", name);
}

/* ---- options ---- */

static imgsim_status check_real(const char *name, double value, double least, double most)
{
    if (!(value >= least && value <= most))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%s is %g, expected %g to %g", name, value, least, most);
    return IMGSIM_OK;
}

static imgsim_status check_kinds(const imgsim_map_options *options)
{
    if (imgsim_layout_name(options->layout) == NULL)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown layout %d", options->layout);
    if (options->dimension < 2 || options->dimension > IMGSIM_MAP_DIMENSION_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a map of dimension %u, expected 2 or 3",
            options->dimension);
    if (options->metric != IMGSIM_METRIC_DEFAULT && options->metric != IMGSIM_METRIC_COSINE &&
        options->metric != IMGSIM_METRIC_L2)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "maps use the metrics cosine and l2, not %s",
            imgsim_metric_name(options->metric) != NULL ? imgsim_metric_name(options->metric)
                                                        : "this one");
    if (options->start < IMGSIM_START_AUTO || options->start > IMGSIM_START_SPECTRAL)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown start %d", options->start);
    if (options->reserved != 0)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "options: reserved must be 0");
    return IMGSIM_OK;
}

static imgsim_status check_numbers(const imgsim_map_options *options)
{
    imgsim_status status;

    if (options->neighbours == 1 || options->neighbours > 1000)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u neighbours, expected 2 to 1000, or 0",
            options->neighbours);
    if (options->epochs > 100000)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u epochs, expected at most 100000", options->epochs);
    if (options->negatives < 1 || options->negatives > 100)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u negatives, expected 1 to 100", options->negatives);
    if ((status = check_real("spread", options->spread, 1e-3, 1e3)) != IMGSIM_OK ||
        (status = check_real("min_dist", options->min_dist, 0.0, options->spread)) != IMGSIM_OK ||
        (status = check_real("perplexity", options->perplexity, 1.0, 300.0)) != IMGSIM_OK ||
        (status = check_real("early_exaggeration", options->early_exaggeration, 1.0, 100.0)) !=
            IMGSIM_OK ||
        (status = check_real("late_exaggeration", options->late_exaggeration, 1.0, 100.0)) !=
            IMGSIM_OK ||
        (status = check_real("learning_rate", options->learning_rate, 0.0, 1e9)) != IMGSIM_OK)
        return status;
    return IMGSIM_OK;
}

imgsim_status
ims_map_options_read(const imgsim_map_options *options, size_t count, imgsim_map_options *out)
{
    imgsim_status status;

    *out = defaults;
    if ((status = ims_options_read(out, sizeof(*out), options)) != IMGSIM_OK ||
        (status = check_kinds(out)) != IMGSIM_OK || (status = check_numbers(out)) != IMGSIM_OK)
        return status;
    if (count < IMGSIM_MAP_POINTS_MIN || count > POINTS_MOST)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a map of %zu points, expected %d to %d", count,
            IMGSIM_MAP_POINTS_MIN, POINTS_MOST);
    return IMGSIM_OK;
}

/* ---- making one ---- */

struct finite_check {
    const struct ims_map_rows *rows;
};

#define CHECK_ROWS 1024

static imgsim_status check_rows(void *context, size_t item, uint32_t worker)
{
    const struct ims_map_rows *rows = ((const struct finite_check *)context)->rows;
    const size_t first = item * CHECK_ROWS;
    const size_t end = first + CHECK_ROWS < rows->count ? first + CHECK_ROWS : rows->count;
    imgsim_status status;

    (void)worker;
    for (size_t point = first; point < end; point++) {
        const size_t place = rows->places != NULL ? (size_t)rows->places[point] : point;

        if ((status = ims_check_finite(ims_map_row(rows, point), 1, rows->dimension, place)) !=
            IMGSIM_OK)
            return status;
    }
    ims_map_rows_done(rows, first, end - first);
    return IMGSIM_OK;
}

imgsim_status ims_map_alloc(size_t count, uint32_t dimension, imgsim_map **out_map)
{
    imgsim_map *map = ims_calloc(1, sizeof(*map));

    if ((*out_map = map) == NULL)
        return ims_fail_memory(sizeof(*map));
    map->count = count;
    map->dimension = dimension;
    map->kl = NAN;
    map->positions = ims_calloc(count * dimension, sizeof(float));
    map->ids = ims_alloc_array(count, sizeof(int64_t));
    if (map->positions == NULL || map->ids == NULL)
        return ims_fail_memory(count * (dimension * sizeof(float) + sizeof(int64_t)));
    return IMGSIM_OK;
}

/* Neighbours listed for each point: the point itself, which the options count, is left out. */
uint32_t ims_map_neighbour_count(const imgsim_map_options *options, size_t count)
{
    size_t k = options->neighbours > 0 ? options->neighbours - 1 : 14;

    if (options->neighbours == 0 && options->layout == IMGSIM_LAYOUT_TSNE)
        k = (size_t)(3.0 * options->perplexity);
    if (k > count - 1)
        k = count - 1;
    return (uint32_t)(k > 0 ? k : 1);
}

void ims_map_kept_graph_clear(struct ims_map_kept_graph *graph)
{
    ims_free(graph->neighbours);
    ims_free(graph->distances);
    memset(graph, 0, sizeof(*graph));
}

/* The first k columns of a graph kept before. */
static void take_kept(const struct ims_map_kept_graph *kept, imgsim_map *map)
{
    const uint32_t k = map->neighbour_count;

    for (size_t i = 0; i < map->count; i++) {
        memcpy(map->neighbours + i * k, kept->neighbours + i * kept->k, k * sizeof(uint32_t));
        memcpy(map->distances + i * k, kept->distances + i * kept->k, k * sizeof(float));
    }
}

/* A copy of the map's graph, to be kept. */
static imgsim_status keep(const struct ims_map_job *job, struct ims_map_kept_graph *kept)
{
    const imgsim_map *map = job->map;
    const size_t edges = map->count * map->neighbour_count;

    ims_map_kept_graph_clear(kept);
    kept->neighbours = ims_alloc_array(edges, sizeof(uint32_t));
    kept->distances = ims_alloc_array(edges, sizeof(float));
    if (kept->neighbours == NULL || kept->distances == NULL)
        return ims_fail_memory(edges * sizeof(float));
    memcpy(kept->neighbours, map->neighbours, edges * sizeof(uint32_t));
    memcpy(kept->distances, map->distances, edges * sizeof(float));
    kept->count = map->count;
    kept->k = map->neighbour_count;
    kept->exact = job->options->exact_neighbours != 0;
    kept->fresh = true;
    return IMGSIM_OK;
}

static imgsim_status make_graph(const struct ims_map_job *job)
{
    struct ims_map_kept_graph *kept = job->kept;
    imgsim_map *map = job->map;
    imgsim_status status;

    map->neighbour_count = ims_map_neighbour_count(job->options, map->count);
    map->neighbours = ims_alloc_array(map->count * map->neighbour_count, sizeof(uint32_t));
    map->distances = ims_alloc_array(map->count * map->neighbour_count, sizeof(float));
    if (map->neighbours == NULL || map->distances == NULL)
        return ims_fail_memory(map->count * map->neighbour_count * sizeof(float));
    if (kept != NULL && kept->k >= map->neighbour_count && kept->count == map->count &&
        (kept->exact || !job->options->exact_neighbours)) {
        take_kept(kept, map);
        return IMGSIM_OK;
    }
    status = ims_map_graph(job, map->neighbour_count, map->neighbours, map->distances);
    if (status == IMGSIM_OK && kept != NULL)
        status = keep(job, kept);
    return status;
}

static imgsim_status run_layout(const struct ims_map_job *job, const float *positions)
{
    const size_t size = job->map->count * job->map->dimension * sizeof(float);
    imgsim_status status;

    if (job->options->layout != IMGSIM_LAYOUT_PCA && (status = make_graph(job)) != IMGSIM_OK)
        return status;
    if (positions != NULL) {
        memcpy(job->map->positions, positions, size);
        return IMGSIM_OK;
    }
    if (job->options->layout == IMGSIM_LAYOUT_UMAP)
        return ims_umap_layout(job);
    if (job->options->layout == IMGSIM_LAYOUT_TSNE)
        return ims_tsne_layout(job);
    ims_meter_phase(job->meter, "layout", 0);
    return ims_map_principal(job, job->options->dimension, 0, job->map->positions);
}

imgsim_status ims_map_make(
    const struct ims_map_rows *rows,
    const int64_t *ids,
    const imgsim_map_options *options,
    struct ims_map_kept_graph *kept,
    const float *positions,
    imgsim_map **out_map)
{
    struct ims_meter meter = {0};
    struct ims_map_axes axes = {0};
    struct ims_map_job job = {rows, options, NULL, &meter, NULL, kept, &axes, 0};
    struct finite_check check = {rows};
    imgsim_status status;

    if ((status = ims_pool_new(options->threads, &job.pool)) != IMGSIM_OK ||
        (status = ims_map_alloc(rows->count, options->dimension, &job.map)) != IMGSIM_OK)
        goto done;
    axes.values = ims_alloc_array(rows->count * options->dimension, sizeof(float));
    if (axes.values == NULL) {
        status = ims_fail_memory(rows->count * options->dimension * sizeof(float));
        goto done;
    }
    job.map->layout = options->layout;
    job.map->metric = options->metric;
    for (size_t i = 0; i < rows->count; i++)
        job.map->ids[i] = ids != NULL ? ids[i] : (int64_t)i;

    ims_meter_start(&meter, options->progress, options->progress_data);
    ims_meter_phase(&meter, "read", rows->count);
    if ((status = ims_pool_run(
             job.pool, (rows->count + CHECK_ROWS - 1) / CHECK_ROWS, check_rows, &check)) !=
            IMGSIM_OK ||
        (status = run_layout(&job, positions)) != IMGSIM_OK)
        goto done;
    *out_map = job.map;
    job.map = NULL; /* now the caller's */

done:
    ims_free(axes.values);
    imgsim_map_free(job.map);
    ims_pool_free(job.pool);
    return status;
}

imgsim_status imgsim_map_new(
    const float *rows,
    size_t row_count,
    uint32_t row_dimension,
    const int64_t *ids,
    const imgsim_map_options *options,
    imgsim_map **out_map)
{
    struct ims_map_rows set = {rows, NULL, row_count, row_dimension, false, false};
    imgsim_map_options settings;
    imgsim_status status;

    if (out_map == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_map must not be NULL");
    *out_map = NULL;
    if (rows == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "rows must not be NULL");
    if (row_dimension == 0 || row_dimension > IMS_PROJECTOR_DIMENSION_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "rows of %u values, expected 1 to %d", row_dimension,
            IMS_PROJECTOR_DIMENSION_MAX);
    if ((status = ims_map_options_read(options, row_count, &settings)) != IMGSIM_OK)
        return status;
    if (settings.metric == IMGSIM_METRIC_DEFAULT)
        settings.metric = IMGSIM_METRIC_COSINE;
    set.normalize = settings.metric == IMGSIM_METRIC_COSINE;
    set.mapped = ims_map_rows_are_mapped(&set);
    return ims_map_make(&set, ids, &settings, NULL, NULL, out_map);
}

void imgsim_map_free(imgsim_map *map)
{
    if (map == NULL)
        return;
    ims_free(map->positions);
    ims_free(map->ids);
    ims_free(map->neighbours);
    ims_free(map->distances);
    ims_free(map);
}

/* ---- properties ---- */

size_t imgsim_map_get_count(const imgsim_map *map)
{
    return map != NULL ? map->count : 0;
}

uint32_t imgsim_map_get_dimension(const imgsim_map *map)
{
    return map != NULL ? map->dimension : 0;
}

int32_t imgsim_map_get_layout(const imgsim_map *map)
{
    return map != NULL ? map->layout : 0;
}

const float *imgsim_map_get_positions(const imgsim_map *map)
{
    return map != NULL ? map->positions : NULL;
}

const int64_t *imgsim_map_get_ids(const imgsim_map *map)
{
    return map != NULL ? map->ids : NULL;
}

uint32_t imgsim_map_get_neighbour_count(const imgsim_map *map)
{
    return map != NULL ? map->neighbour_count : 0;
}

const uint32_t *imgsim_map_get_neighbours(const imgsim_map *map)
{
    return map != NULL ? map->neighbours : NULL;
}

const float *imgsim_map_get_distances(const imgsim_map *map)
{
    return map != NULL ? map->distances : NULL;
}

const char *imgsim_map_get_feature(const imgsim_map *map)
{
    return map != NULL ? map->feature : "";
}

double imgsim_map_get_kl(const imgsim_map *map)
{
    return map != NULL ? map->kl : NAN;
}
