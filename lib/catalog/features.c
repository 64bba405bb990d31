/* SPDX-License-Identifier: Apache-2.0 */
/* Reading feature sets: listing, mapping, copying rows out. */
#include "catalog/catalog_internal.h"

#include "core/memory.h"
#include "core/npy.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- definitions ---- */

bool ims_set_name_valid(const char *name)
{
    size_t length = strlen(name);

    /* A stem is a name with a generation behind it. */
    if (length < 1 || length > 63 + 21 || name[0] < 'a' || name[0] > 'z')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

imgsim_status ims_definition_check(const imgsim_feature_definition *definition)
{
    if (definition == NULL || definition->struct_size < sizeof(*definition))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "the feature definition is NULL or its struct_size is not set");
    if (definition->name == NULL || !ims_set_name_valid(definition->name) ||
        strlen(definition->name) > 63)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "feature name \"%s\", expected 1 to 63 of [a-z0-9_-], the first a letter",
            definition->name != NULL ? definition->name : "");
    if (definition->row_type < IMGSIM_ROW_FLOAT32 || definition->row_type > IMGSIM_ROW_BYTES)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "row type %d is not known", definition->row_type);
    if (definition->dimension < 1 || definition->dimension > IMS_DIMENSION_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "dimension is %u, expected 1 to %u",
            definition->dimension, IMS_DIMENSION_MAX);
    if (definition->row_type == IMGSIM_ROW_BITS && definition->dimension % 8 != 0)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "dimension of bit rows is %u, expected a multiple of 8",
            definition->dimension);
    if (definition->metric < IMGSIM_METRIC_DEFAULT || definition->metric > IMGSIM_METRIC_CALLBACK)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "metric %d is not known", definition->metric);
    return IMGSIM_OK;
}

imgsim_status ims_row_check_finite(const float *row, uint32_t dimension, int64_t id)
{
    uint32_t wrong = 0;

    for (uint32_t i = 0; i < dimension; i++) {
        uint32_t bits;

        memcpy(&bits, &row[i], sizeof(bits));
        wrong |= (uint32_t)((bits & 0x7f800000u) == 0x7f800000u);
    }
    if (wrong == 0)
        return IMGSIM_OK;
    for (uint32_t i = 0; i < dimension; i++)
        if (!isfinite(row[i]))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "the row of id %lld has %s in column %u",
                (long long)id, isnan(row[i]) ? "NaN" : "infinity", i);
    return IMGSIM_OK;
}

/* ---- listing ---- */

imgsim_status imgsim_catalog_visit_features(
    const imgsim_catalog *catalog,
    imgsim_feature_callback callback,
    void *user_data)
{
    if (catalog == NULL || callback == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog and callback must not be NULL");
    for (size_t i = 0; i < catalog->snapshot.set_count; i++) {
        const struct ims_snapshot_set *set = &catalog->snapshot.sets[i];
        imgsim_feature_info info = {
            .struct_size = sizeof(info),
            .name = set->set.name,
            .spec = set->set.spec,
            .fingerprint = set->set.fingerprint,
            .source = set->set.source,
            .dimension = set->set.dimension,
            .row_type = set->set.row_type,
            .metric = set->set.metric,
            .image_count = set->image_count,
        };

        if (callback(&info, user_data) != 0)
            break;
    }
    return IMGSIM_OK;
}

/* NOT_FOUND, listing what there is. */
static imgsim_status fail_no_feature(const imgsim_catalog *catalog, const char *name)
{
    char list[512] = "";
    size_t used = 0;

    for (size_t i = 0; i < catalog->snapshot.set_count && used < sizeof(list); i++)
        used += (size_t)snprintf(
            list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "",
            catalog->snapshot.sets[i].set.name);
    if (used == 0)
        return ims_fail(IMGSIM_ERROR_NOT_FOUND, "no feature \"%s\": the catalog has none", name);
    return ims_fail(IMGSIM_ERROR_NOT_FOUND, "no feature \"%s\"; there are: %s", name, list);
}

/* ---- mapping ---- */

static imgsim_status copy_set(const struct ims_snapshot_set *from, imgsim_features *features)
{
    struct ims_feature_set *to = &features->set;

    *to = from->set;
    to->name = to->spec = to->fingerprint = to->source = to->stem = NULL;
    if ((to->name = ims_strdup(from->set.name)) == NULL ||
        (to->spec = ims_strdup(from->set.spec)) == NULL ||
        (to->fingerprint = ims_strdup(from->set.fingerprint)) == NULL ||
        (to->source = ims_strdup(from->set.source)) == NULL ||
        (to->stem = ims_strdup(from->set.stem)) == NULL ||
        !ims_bitset_copy(&features->present, from->present.bytes, from->present.count))
        return ims_fail_memory(sizeof(*features));
    return IMGSIM_OK;
}

static imgsim_status
map_files(const struct ims_snapshot_set *from, const char *folder, imgsim_features *features)
{
    struct ims_set_file files[IMS_SET_FILES_MAX];
    size_t count = ims_set_files(from->set.row_type, from->set.dimension, files);
    imgsim_status status = IMGSIM_OK;
    char name[1024];

    for (size_t i = 0; i < count && status == IMGSIM_OK; i++) {
        snprintf(name, sizeof(name), "%s/features/%s%s", folder, from->set.stem, files[i].suffix);
        if (from->open_error != 0 && from->missing_file == i)
            return from->open_error == ENOENT
                       ? ims_fail(IMGSIM_ERROR_CORRUPT, "%s is missing", name)
                       : ims_fail_errno(from->open_error, "cannot open %s", name);
        if (from->fds[i] < 0)
            return ims_fail(IMGSIM_ERROR_CORRUPT, "%s could not be opened", name);
        status = ims_matrix_map(
            from->fds[i], &files[i], files[i].by_id ? features->row_count : features->set.entries,
            name, &features->maps[i]);
    }
    return status;
}

imgsim_status ims_features_map(
    const struct ims_snapshot *snapshot,
    const struct ims_snapshot_set *set,
    const char *folder,
    imgsim_features **out_features)
{
    imgsim_features *features = ims_calloc(1, sizeof(*features));
    imgsim_status status;

    *out_features = NULL;
    if (features == NULL)
        return ims_fail_memory(sizeof(*features));
    features->row_count = snapshot->id_count;
    features->damaged_id = -1;
    pthread_mutex_init(&features->mutex, NULL);
    if ((status = copy_set(set, features)) != IMGSIM_OK ||
        (status = map_files(set, folder, features)) != IMGSIM_OK)
        goto done;
    if (features->set.row_type == IMGSIM_ROW_UINT32 || features->set.row_type == IMGSIM_ROW_BYTES)
        status = ims_sparse_attach(features);
    else
        features->rows = features->maps[0].data + IMS_NPY_DATA;
    if (status != IMGSIM_OK)
        goto done;

    *out_features = features;
    features = NULL;

done:
    imgsim_features_free(features);
    return status;
}

imgsim_status imgsim_catalog_open_features(
    const imgsim_catalog *catalog,
    const char *name,
    imgsim_features **out_features)
{
    if (catalog == NULL || name == NULL || out_features == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "catalog, name and out_features must not be NULL");
    *out_features = NULL;
    for (size_t i = 0; i < catalog->snapshot.set_count; i++)
        if (strcmp(catalog->snapshot.sets[i].set.name, name) == 0)
            return ims_features_map(
                &catalog->snapshot, &catalog->snapshot.sets[i], catalog->folder, out_features);
    return fail_no_feature(catalog, name);
}

void imgsim_features_free(imgsim_features *features)
{
    if (features == NULL)
        return;
    for (int i = 0; i < IMS_SET_FILES_MAX; i++)
        ims_mapping_clear(&features->maps[i]);
    pthread_mutex_destroy(&features->mutex);
    ims_bitset_clear(&features->present);
    ims_set_clear(&features->set);
    ims_free(features->offsets);
    ims_free(features->lengths);
    ims_free(features);
}

/* ---- what a handle knows ---- */

uint64_t imgsim_features_get_row_count(const imgsim_features *features)
{
    return features != NULL ? features->row_count : 0;
}

uint32_t imgsim_features_get_dimension(const imgsim_features *features)
{
    return features != NULL ? features->set.dimension : 0;
}

int32_t imgsim_features_get_row_type(const imgsim_features *features)
{
    return features != NULL ? features->set.row_type : 0;
}

int32_t imgsim_features_get_metric(const imgsim_features *features)
{
    return features != NULL ? features->set.metric : IMGSIM_METRIC_DEFAULT;
}

int32_t imgsim_features_has_row(const imgsim_features *features, int64_t id)
{
    return features != NULL && ims_bitset_test(&features->present, id);
}

const void *imgsim_features_get_rows(const imgsim_features *features)
{
    return features != NULL ? features->rows : NULL;
}

const struct ims_bitset *ims_features_present(const imgsim_features *features)
{
    return &features->present;
}

const char *ims_features_fingerprint(const imgsim_features *features)
{
    return features->set.fingerprint;
}

const char *ims_features_spec(const imgsim_features *features)
{
    return features->set.spec;
}

const char *ims_features_source(const imgsim_features *features)
{
    return features->set.source;
}

const char *ims_features_name(const imgsim_features *features)
{
    return features->set.name;
}

/* ---- rows ---- */

imgsim_status imgsim_features_read(
    const imgsim_features *features,
    const int64_t *ids,
    size_t id_count,
    void *out_rows,
    size_t out_size)
{
    size_t row_size, needed;
    uint8_t *out = out_rows;

    if (features == NULL || (id_count > 0 && (ids == NULL || out_rows == NULL)))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "features, ids and out_rows must not be NULL");
    if (features->set.row_type == IMGSIM_ROW_BYTES)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "rows of feature \"%s\" differ in size: read them with imgsim_features_get_bytes",
            features->set.name);
    row_size = ims_row_size(features->set.row_type, features->set.dimension);
    if (!ims_mul_size(id_count, row_size, &needed) || out_size < needed)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "out_size is %zu, expected %zu rows of %zu bytes",
            out_size, id_count, row_size);
    for (size_t i = 0; i < id_count; i++, out += row_size) {
        if (!imgsim_features_has_row(features, ids[i]))
            return ims_fail(
                IMGSIM_ERROR_NOT_FOUND, "id %lld has no row of feature \"%s\"", (long long)ids[i],
                features->set.name);
        if (features->rows != NULL) {
            memcpy(out, (const uint8_t *)features->rows + (size_t)ids[i] * row_size, row_size);
        } else if (ims_sparse_row_sound(features, ids[i])) {
            ims_sparse_decode(features, ids[i], (uint32_t *)(void *)out);
        } else {
            return ims_fail(
                IMGSIM_ERROR_CORRUPT, "feature \"%s\": the histogram of id %lld is damaged",
                features->set.name, (long long)ids[i]);
        }
    }
    return IMGSIM_OK;
}

imgsim_status imgsim_features_get_bytes(
    const imgsim_features *features,
    int64_t id,
    const void **out_data,
    size_t *out_size)
{
    if (features == NULL || out_data == NULL || out_size == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "features and outputs must not be NULL");
    *out_data = NULL;
    *out_size = 0;
    if (features->set.row_type != IMGSIM_ROW_BYTES)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "feature \"%s\" does not consist of bytes",
            features->set.name);
    if (!imgsim_features_has_row(features, id))
        return ims_fail(
            IMGSIM_ERROR_NOT_FOUND, "id %lld has no row of feature \"%s\"", (long long)id,
            features->set.name);
    *out_data = features->bytes + features->offsets[id];
    *out_size = features->lengths[id];
    return IMGSIM_OK;
}

imgsim_status imgsim_features_get_sparse(
    const imgsim_features *features,
    const uint64_t **out_offsets,
    const uint32_t **out_lengths,
    const uint16_t **out_bins,
    const uint32_t **out_counts)
{
    imgsim_status status;

    if (features == NULL || out_offsets == NULL || out_lengths == NULL || out_bins == NULL ||
        out_counts == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "features and outputs must not be NULL");
    *out_offsets = NULL;
    *out_lengths = NULL;
    *out_bins = NULL;
    *out_counts = NULL;
    if (features->set.row_type != IMGSIM_ROW_UINT32)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "feature \"%s\" does not consist of histograms",
            features->set.name);
    /* The check is remembered in the handle, under its mutex. */
    if ((status = ims_sparse_check((imgsim_features *)(uintptr_t)features)) != IMGSIM_OK)
        return status;
    *out_offsets = features->offsets;
    *out_lengths = features->lengths;
    *out_bins = features->bins;
    *out_counts = features->counts;
    return IMGSIM_OK;
}
