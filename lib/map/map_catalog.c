/* SPDX-License-Identifier: Apache-2.0 */
/* Maps of a catalog's images. */
#include "map/map.h"

#include "catalog/catalog.h"
#include "core/memory.h"

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

/* Ids of the images that have a row, ascending. */
static imgsim_status list_ids(const imgsim_features *features, int64_t **out_ids, size_t *out_count)
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
            IMGSIM_ERROR_UNSUPPORTED, "feature \"%s\" has no float rows to lay out",
            ims_features_name(features));
    if (settings->metric == IMGSIM_METRIC_DEFAULT)
        settings->metric = metric == IMGSIM_METRIC_L2 ? IMGSIM_METRIC_L2 : IMGSIM_METRIC_COSINE;
    return IMGSIM_OK;
}

imgsim_status imgsim_map_new_catalog(
    const imgsim_catalog *catalog,
    const char *feature,
    const imgsim_map_options *options,
    imgsim_map **out_map)
{
    char chosen[IMS_MAP_FEATURE_SIZE];
    imgsim_features *features = NULL;
    struct ims_map_rows rows = {0};
    imgsim_map_options settings;
    int64_t *ids = NULL;
    imgsim_status status;
    size_t count = 0;

    if (out_map == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_map must not be NULL");
    *out_map = NULL;
    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    if ((feature == NULL && (status = choose_feature(catalog, chosen)) != IMGSIM_OK) ||
        (status = imgsim_catalog_open_features(
             catalog, feature != NULL ? feature : chosen, &features)) != IMGSIM_OK ||
        (status = list_ids(features, &ids, &count)) != IMGSIM_OK ||
        (status = ims_map_options_read(options, count, &settings)) != IMGSIM_OK ||
        (status = check_feature(features, &settings)) != IMGSIM_OK)
        goto done;

    rows.base = imgsim_features_get_rows(features);
    rows.places = ids;
    rows.count = count;
    rows.dimension = imgsim_features_get_dimension(features);
    rows.normalize = settings.metric == IMGSIM_METRIC_COSINE;
    if ((status = ims_map_make(&rows, ids, &settings, out_map)) == IMGSIM_OK)
        snprintf(
            (*out_map)->feature, sizeof((*out_map)->feature), "%s", ims_features_name(features));

done:
    ims_free(ids);
    imgsim_features_free(features);
    return status;
}
