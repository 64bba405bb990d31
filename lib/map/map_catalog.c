/* SPDX-License-Identifier: Apache-2.0 */
/* Maps of a catalog's images. */
#include "map/map.h"

#include "catalog/catalog.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/memory.h"
#include "map/map_extend.h"

#include <stdio.h>
#include <string.h>

/* ---- which feature ---- */

struct choice {
    char first[IMS_MAP_FEATURE_SIZE];
    bool embedding;
};

static int32_t look_at_feature(const imgsim_feature_info *feature, void *user_data)
{
    struct choice *choice = user_data;

    if (feature->row_type != IMGSIM_ROW_FLOAT32)
        return 0;
    if (strcmp(feature->name, "embedding") == 0)
        choice->embedding = true;
    if (choice->first[0] == '\0')
        snprintf(choice->first, sizeof(choice->first), "%s", feature->name);
    return 0;
}

static imgsim_status choose_feature(const imgsim_catalog *catalog, char out[IMS_MAP_FEATURE_SIZE])
{
    struct choice choice = {"", false};
    imgsim_status status = imgsim_catalog_visit_features(catalog, look_at_feature, &choice);

    if (status != IMGSIM_OK)
        return status;
    if (choice.first[0] == '\0')
        return ims_fail(
            IMGSIM_ERROR_NOT_FOUND,
            "the catalog has no feature of float rows to lay out; scan with a model");
    snprintf(out, IMS_MAP_FEATURE_SIZE, "%s", choice.embedding ? "embedding" : choice.first);
    return IMGSIM_OK;
}

imgsim_status
ims_map_list_ids(const imgsim_features *features, int64_t **out_ids, size_t *out_count)
{
    const struct ims_bitset *present = ims_features_present(features);
    const size_t count = (size_t)ims_bitset_popcount(present);
    int64_t *ids = ims_alloc_array(count, sizeof(int64_t));
    size_t used = 0;

    if (ids == NULL)
        return ims_fail_memory(count * sizeof(int64_t));
    for (uint64_t id = 0; id < present->count; id++)
        if (ims_bitset_test(present, (int64_t)id))
            ids[used++] = (int64_t)id;
    *out_ids = ids;
    *out_count = count;
    return IMGSIM_OK;
}

/* ---- the request ---- */

static imgsim_status check_feature(const imgsim_features *features, imgsim_map_options *settings)
{
    const int32_t metric = imgsim_features_get_metric(features);

    if (imgsim_features_get_row_type(features) != IMGSIM_ROW_FLOAT32)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "feature \"%s\" has no float rows to lay out: an embedding has (imgsim scan --model "
            "FILE), "
            "rows of your own come in by imgsim import",
            ims_features_name(features));
    if (settings->metric == IMGSIM_METRIC_DEFAULT)
        settings->metric = metric == IMGSIM_METRIC_L2 ? IMGSIM_METRIC_L2 : IMGSIM_METRIC_COSINE;
    return IMGSIM_OK;
}

/* ---- kept with the catalog ---- */

bool ims_map_origin(
    const imgsim_features *features,
    const int64_t *ids,
    size_t count,
    int32_t metric,
    char out[33])
{
    struct ims_fingerprint *fingerprint;

    if (ims_features_fingerprint(features)[0] == '\0' ||
        (fingerprint = ims_fingerprint_new()) == NULL)
        return false;
    ims_fingerprint_add_text(fingerprint, ims_features_name(features));
    ims_fingerprint_add_text(fingerprint, ims_features_fingerprint(features));
    ims_fingerprint_add(fingerprint, ids, count * sizeof(int64_t));
    ims_fingerprint_add(fingerprint, &metric, sizeof(metric));
    ims_fingerprint_text(fingerprint, out);
    ims_fingerprint_free(fingerprint);
    return true;
}

/* All settings that change the picture, and the number of this way of making one: raise it when pictures change. */
#define RECIPE 1

static bool write_recipe(const imgsim_map_options *settings, int32_t place, char out[33])
{
    struct ims_fingerprint *fingerprint = ims_fingerprint_new();
    imgsim_map_options copy = *settings;
    const uint32_t recipe = RECIPE;

    if (fingerprint == NULL)
        return false;
    copy.threads = 0;
    copy.start_positions = NULL;
    copy.progress = NULL;
    copy.progress_data = NULL;
    copy.refresh = 0;
    copy.place = place;
    ims_fingerprint_add(fingerprint, &recipe, sizeof(recipe));
    ims_fingerprint_add(fingerprint, &copy, sizeof(copy));
    ims_fingerprint_text(fingerprint, out);
    ims_fingerprint_free(fingerprint);
    return true;
}

/* maps/FEATURE.LAYOUT-D.ims or maps/FEATURE.METRIC.graph.ims; NULL when out of memory. */
static char *inner_path(
    const imgsim_catalog *catalog,
    const char *feature,
    const imgsim_map_options *settings,
    bool graph)
{
    char name[IMS_MAP_FEATURE_SIZE + 64];

    if (graph)
        snprintf(
            name, sizeof(name), "maps/%s.%s.graph.ims", feature,
            imgsim_metric_name(settings->metric));
    else
        snprintf(
            name, sizeof(name), "maps/%s.%s-%u.ims", feature, imgsim_layout_name(settings->layout),
            settings->dimension);
    return ims_catalog_inner_path(catalog, name);
}

/* One request, and where its results are kept; paths are NULL if they are not. */
struct request {
    const imgsim_catalog *catalog;
    imgsim_features *features;
    imgsim_map_options settings;
    struct ims_map_rows rows;
    int64_t *ids;
    char origin[33];
    char recipe[33];
    char placed_recipe[33]; /* of a map that new images were placed on */
    char *map_path;
    char *graph_path;
};

static void request_clear(struct request *request)
{
    imgsim_features_free(request->features);
    ims_free(request->ids);
    ims_free(request->map_path);
    ims_free(request->graph_path);
}

static imgsim_status find_places(struct request *request)
{
    const char *feature = ims_features_name(request->features);

    if (!ims_map_origin(
            request->features, request->ids, request->rows.count, request->settings.metric,
            request->origin))
        return IMGSIM_OK;
    request->graph_path = inner_path(request->catalog, feature, &request->settings, true);
    if (request->graph_path == NULL)
        return ims_fail_memory(1);
    /* The caller's positions are no setting that could be compared later. */
    if (request->settings.start_positions != NULL ||
        !write_recipe(&request->settings, 0, request->recipe) ||
        !write_recipe(&request->settings, 1, request->placed_recipe))
        return IMGSIM_OK;
    request->map_path = inner_path(request->catalog, feature, &request->settings, false);
    return request->map_path != NULL ? IMGSIM_OK : ims_fail_memory(1);
}

/* The map as it was kept, if it is of the same settings; else NULL. It may be stale. */
static imgsim_map *open_kept(const struct request *request)
{
    imgsim_map *map = NULL;
    imgsim_status status;

    if (request->map_path == NULL || request->settings.refresh)
        return NULL;
    status = imgsim_map_load(request->map_path, &map);
    if (status != IMGSIM_OK && status != IMGSIM_ERROR_NOT_FOUND)
        ims_log(IMGSIM_LOG_WARNING, "not using %s: %s", request->map_path, imgsim_last_error());
    if (map != NULL && strcmp(map->recipe, request->recipe) != 0 &&
        (!request->settings.place || strcmp(map->recipe, request->placed_recipe) != 0)) {
        imgsim_map_free(map);
        map = NULL;
    }
    return map;
}

/* Whether a kept map was made from the feature as it is, whatever images there were. */
static bool is_of_feature(const struct request *request, const imgsim_map *map)
{
    char origin[33];

    return map->layout != IMGSIM_LAYOUT_PCA && map->metric == request->settings.metric &&
           ims_map_origin(request->features, map->ids, map->count, map->metric, origin) &&
           strcmp(origin, map->origin) == 0;
}

/* Put results into the catalog; that it cannot be written is no failure of the map. */
static void
store(const struct request *request, const imgsim_map *map, const struct ims_map_kept_graph *graph)
{
    imgsim_status status = IMGSIM_OK;
    char *folder;

    if (ims_catalog_read_only(request->catalog) ||
        (request->map_path == NULL && (request->graph_path == NULL || !graph->fresh)))
        return;
    if ((folder = ims_catalog_inner_path(request->catalog, "maps")) == NULL)
        return;
    if ((status = ims_make_folder(folder)) == IMGSIM_OK && request->map_path != NULL)
        status = imgsim_map_save(map, request->map_path);
    if (status == IMGSIM_OK && request->graph_path != NULL && graph->fresh)
        status = ims_map_graph_save(graph, request->origin, request->graph_path);
    if (status != IMGSIM_OK)
        ims_log(IMGSIM_LOG_WARNING, "the map is not kept: %s", imgsim_last_error());
    ims_free(folder);
}

/* `kept` is a map of some of the images whose points stay; NULL: lay all out. */
static imgsim_status make_map(struct request *request, const imgsim_map *kept, imgsim_map **out_map)
{
    struct ims_map_kept_graph graph = {0};
    imgsim_map *map = NULL;
    imgsim_status status;
    float *positions = NULL;

    if (kept != NULL && (status = ims_map_extend(
                             kept, &request->rows, &request->settings, &positions)) != IMGSIM_OK)
        return status;

    if (request->graph_path != NULL && request->settings.layout != IMGSIM_LAYOUT_PCA &&
        !request->settings.refresh) {
        status = ims_map_graph_load(request->graph_path, request->origin, &graph);
        if (status != IMGSIM_OK && status != IMGSIM_ERROR_NOT_FOUND)
            ims_log(
                IMGSIM_LOG_WARNING, "not using %s: %s", request->graph_path, imgsim_last_error());
    }
    status = ims_map_make(
        &request->rows, request->ids, &request->settings,
        request->graph_path != NULL ? &graph : NULL, positions, &map);
    if (status == IMGSIM_OK) {
        snprintf(map->feature, sizeof(map->feature), "%s", ims_features_name(request->features));
        memcpy(map->origin, request->origin, sizeof(map->origin));
        memcpy(
            map->recipe, positions != NULL ? request->placed_recipe : request->recipe,
            sizeof(map->recipe));
        store(request, map, &graph);
    }
    ims_map_kept_graph_clear(&graph);
    ims_free(positions);
    *out_map = map;
    return status;
}

imgsim_status imgsim_map_new_catalog(
    const imgsim_catalog *catalog,
    const char *feature,
    const imgsim_map_options *options,
    imgsim_map **out_map)
{
    char chosen[IMS_MAP_FEATURE_SIZE];
    struct request request = {.catalog = catalog};
    imgsim_map *kept = NULL;
    imgsim_status status;
    size_t count = 0;

    if (out_map == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_map must not be NULL");
    *out_map = NULL;
    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    if ((feature == NULL && (status = choose_feature(catalog, chosen)) != IMGSIM_OK) ||
        (status = imgsim_catalog_open_features(
             catalog, feature != NULL ? feature : chosen, &request.features)) != IMGSIM_OK ||
        (status = ims_map_list_ids(request.features, &request.ids, &count)) != IMGSIM_OK ||
        (status = ims_map_options_read(options, count, &request.settings)) != IMGSIM_OK ||
        (status = check_feature(request.features, &request.settings)) != IMGSIM_OK)
        goto done;

    request.rows.base = imgsim_features_get_rows(request.features);
    request.rows.places = request.ids;
    request.rows.count = count;
    request.rows.dimension = imgsim_features_get_dimension(request.features);
    request.rows.normalize = request.settings.metric == IMGSIM_METRIC_COSINE;
    request.rows.mapped = count > 0 && ims_map_rows_are_mapped(&request.rows);
    if ((status = find_places(&request)) != IMGSIM_OK)
        goto done;
    kept = open_kept(&request);
    if (kept != NULL && strcmp(kept->origin, request.origin) == 0) {
        *out_map = kept;
        kept = NULL; /* now the caller's */
    } else {
        const bool place = kept != NULL && request.settings.place && is_of_feature(&request, kept);

        status = make_map(&request, place ? kept : NULL, out_map);
    }

done:
    imgsim_map_free(kept);
    request_clear(&request);
    return status;
}
