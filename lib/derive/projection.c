/* SPDX-License-Identifier: Apache-2.0 */
/* Projections kept with a catalog: fit on a feature, rows projected, the projector beside them. */
#include "derive/derive_internal.h"

#include "core/file.h"
#include "core/hash.h"
#include "core/memory.h"
#include "core/options.h"
#include "project/projector.h"

#include <stdio.h>
#include <string.h>

#define BATCH_BYTES ((size_t)16 << 20)
#define SPEC_SIZE 128

/* How a projection's spec begins, and what stands before the hash of its source's fingerprint. */
#define SPEC_KIND "pca:"
#define SPEC_SOURCE ",source="

static const imgsim_projection_options defaults = {
    .struct_size = sizeof(imgsim_projection_options),
    .dimension = 128,
};

imgsim_status imgsim_projection_options_init(imgsim_projection_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

char *ims_projector_path(const imgsim_catalog *catalog, const char *feature)
{
    char name[IMS_FEATURE_NAME_SIZE + 32];

    snprintf(name, sizeof(name), "features/%s.pca.ims", feature);
    return ims_catalog_inner_path(catalog, name);
}

/* ---- looking one up ---- */

struct search {
    const char *name;
    struct ims_projection_info *out;
};

static int32_t look_at_feature(const imgsim_feature_info *feature, void *user_data)
{
    const struct search *search = user_data;
    struct ims_projection_info *out = search->out;
    const char *source_hash;

    if (strcmp(feature->name, search->name) != 0)
        return 0;
    out->found = true;
    out->dimension = feature->dimension;
    out->is_projection =
        feature->source[0] != '\0' && strncmp(feature->spec, SPEC_KIND, strlen(SPEC_KIND)) == 0;
    snprintf(out->source, sizeof(out->source), "%s", feature->source);
    snprintf(out->fingerprint, sizeof(out->fingerprint), "%s", feature->fingerprint);
    if ((source_hash = strstr(feature->spec, SPEC_SOURCE)) != NULL)
        snprintf(
            out->source_hash, sizeof(out->source_hash), "%s", source_hash + strlen(SPEC_SOURCE));
    return 1;
}

imgsim_status ims_projection_find(
    const imgsim_catalog *catalog,
    const char *feature,
    struct ims_projection_info *out)
{
    struct search search = {feature, out};

    memset(out, 0, sizeof(*out));
    return imgsim_catalog_visit_features(catalog, look_at_feature, &search);
}

imgsim_status ims_derive_open_projector(
    const imgsim_catalog *catalog,
    const char *feature,
    imgsim_projector **out_projector)
{
    struct ims_projection_info info;
    imgsim_projector *projector = NULL;
    imgsim_status status;
    char *path = NULL;

    *out_projector = NULL;
    if ((status = ims_projection_find(catalog, feature, &info)) != IMGSIM_OK)
        return status;
    if (!info.found || !info.is_projection)
        return ims_fail(IMGSIM_ERROR_NOT_FOUND, "feature \"%s\" is no projection", feature);
    if ((path = ims_projector_path(catalog, feature)) == NULL)
        return ims_fail_memory(1);
    if ((status = imgsim_projector_load(path, &projector)) != IMGSIM_OK)
        goto done;
    if (strcmp(imgsim_projector_get_fingerprint(projector), info.fingerprint) != 0 ||
        imgsim_projector_get_output_dimension(projector) != info.dimension) {
        status = ims_fail(
            IMGSIM_ERROR_CORRUPT,
            "%s did not make the rows of feature \"%s\"; make the projection again", path, feature);
        goto done;
    }
    *out_projector = projector;
    projector = NULL; /* now the caller's */

done:
    imgsim_projector_free(projector);
    ims_free(path);
    return status;
}

/* ---- projecting rows ---- */

/* Project one batch and hand its rows to the writer. */
static imgsim_status put_batch(
    struct ims_catalog_writer *writer,
    uint32_t number,
    const imgsim_projector *projector,
    const struct ims_batches *batch,
    float *projected)
{
    const size_t dimension = imgsim_projector_get_output_dimension(projector);
    imgsim_status status =
        imgsim_projector_transform(projector, batch->batch_rows, batch->count, projected);

    for (size_t i = 0; i < batch->count && status == IMGSIM_OK; i++) {
        const int64_t id = batch->batch_ids[i];

        status = ims_catalog_writer_put_row(writer, number, id, projected + i * dimension);
        if (status == IMGSIM_OK)
            status = ims_catalog_writer_mark_row(writer, number, id);
    }
    return status;
}

static imgsim_status put_all(
    struct ims_catalog_writer *writer,
    uint32_t number,
    const imgsim_projector *projector,
    struct ims_batches *batches,
    struct ims_meter *meter)
{
    const size_t dimension = imgsim_projector_get_output_dimension(projector);
    float *projected = ims_alloc_array(batches->capacity * dimension, sizeof(float));
    imgsim_status status;

    if (projected == NULL)
        return ims_fail_memory(batches->capacity * dimension * sizeof(float));
    while ((status = ims_batches_next(batches)) == IMGSIM_OK && batches->count > 0) {
        if ((status = put_batch(writer, number, projector, batches, projected)) != IMGSIM_OK)
            break;
        atomic_fetch_add(&meter->done, batches->count);
        if ((status = ims_meter_tick(meter, false)) != IMGSIM_OK)
            break;
    }
    ims_free(projected);
    return status;
}

/* The projection's rows so far, if they were made by this very projector; else NULL. */
static imgsim_status open_existing(
    const imgsim_catalog *catalog,
    const char *name,
    const imgsim_projector *projector,
    imgsim_features **out_features)
{
    struct ims_projection_info info;
    imgsim_status status;

    *out_features = NULL;
    if ((status = ims_projection_find(catalog, name, &info)) != IMGSIM_OK)
        return status;
    if (!info.found || strcmp(info.fingerprint, imgsim_projector_get_fingerprint(projector)) != 0)
        return IMGSIM_OK;
    return imgsim_catalog_open_features(catalog, name, out_features);
}

imgsim_status ims_projection_fill(
    imgsim_catalog *catalog,
    const char *name,
    const imgsim_features *source,
    const imgsim_projector *projector,
    const char *spec,
    const char *projector_path,
    struct ims_meter *meter,
    uint64_t *out_added)
{
    const imgsim_feature_definition definition = {
        .struct_size = sizeof(definition),
        .name = name,
        .spec = spec,
        .fingerprint = imgsim_projector_get_fingerprint(projector),
        .source = ims_features_name(source),
        .dimension = imgsim_projector_get_output_dimension(projector),
        .row_type = IMGSIM_ROW_FLOAT32,
        .metric = imgsim_features_get_metric(source),
    };
    struct ims_catalog_writer *writer = NULL;
    struct ims_batches batches = {0};
    imgsim_features *existing = NULL;
    imgsim_status status;
    uint32_t number;

    /* One transaction: nobody ever sees a projection that lacks images its source has. */
    if ((status = ims_catalog_writer_open(catalog, "projection", &writer)) != IMGSIM_OK ||
        (status = open_existing(catalog, name, projector, &existing)) != IMGSIM_OK ||
        (status = ims_batches_open(
             &batches, source, existing != NULL ? ims_features_present(existing) : NULL,
             BATCH_BYTES)) != IMGSIM_OK ||
        (status = ims_catalog_writer_feature(writer, &definition, 1, &number)) != IMGSIM_OK)
        goto done;
    ims_meter_phase(meter, "transform", ims_batches_total(&batches));
    *out_added = atomic_load(&meter->total);
    if ((status = put_all(writer, number, projector, &batches, meter)) != IMGSIM_OK)
        goto done;

    /* A crash between these two leaves a pair that disagrees: the fingerprints tell. */
    if (projector_path != NULL &&
        (status = imgsim_projector_save(projector, projector_path)) != IMGSIM_OK)
        goto done;
    status = ims_catalog_writer_commit(writer);

done:
    ims_batches_close(&batches);
    ims_catalog_writer_close(writer);
    imgsim_features_free(existing);
    return status;
}

/* ---- making one ---- */

/* Numbers of the rows there are; NULL when out of memory. */
static int64_t *present_rows(const struct ims_bitset *present, size_t count)
{
    int64_t *ids = ims_alloc_array(count, sizeof(int64_t));
    size_t found = 0;

    for (uint64_t id = 0; ids != NULL && id < present->count; id++)
        if (ims_bitset_test(present, (int64_t)id))
            ids[found++] = (int64_t)id;
    return ids;
}

imgsim_status ims_projection_fit(
    imgsim_projector *projector,
    const imgsim_features *source,
    struct ims_meter *meter)
{
    const struct ims_bitset *present = ims_features_present(source);
    struct ims_rows rows = {
        .rows = imgsim_features_get_rows(source),
        .count = ims_bitset_popcount(present),
        .d = imgsim_features_get_dimension(source),
    };
    int64_t *ids = NULL;
    imgsim_status status;

    if (rows.count < present->count) {
        if ((ids = present_rows(present, rows.count)) == NULL)
            return ims_fail_memory(rows.count * sizeof(int64_t));
        rows.ids = ids;
    }
    status = ims_projector_fit_rows(projector, &rows, meter, NULL);
    ims_free(ids);
    return status == IMGSIM_OK ? ims_meter_tick(meter, true) : status;
}

/* The name asked for, or source-pcaN, with a kernel source-kpcaN; it must not be that of something else. */
static imgsim_status choose_name(
    const imgsim_catalog *catalog,
    const imgsim_projection_options *options,
    const imgsim_projector_options *settings,
    char out[IMS_FEATURE_NAME_SIZE])
{
    const char *kind = settings->kernel != IMGSIM_KERNEL_NONE ? "kpca" : "pca";
    struct ims_projection_info info;
    imgsim_status status;
    int length;

    if (options->name != NULL)
        length = snprintf(out, IMS_FEATURE_NAME_SIZE, "%s", options->name);
    else
        length = snprintf(
            out, IMS_FEATURE_NAME_SIZE, "%s-%s%u", options->source, kind, options->dimension);
    if (length >= IMS_FEATURE_NAME_SIZE)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a feature's name has at most %d bytes, this one %d",
            IMS_FEATURE_NAME_SIZE - 1, length);
    if ((status = ims_projection_find(catalog, out, &info)) != IMGSIM_OK)
        return status;
    if (info.found && !info.is_projection)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "feature \"%s\" is no projection and is not replaced by one; choose another name", out);
    return IMGSIM_OK;
}

void ims_source_hash(const imgsim_features *source, char out[33])
{
    const char *fingerprint = ims_features_fingerprint(source);
    uint8_t hash[16];

    ims_hash128(fingerprint, strlen(fingerprint), hash);
    ims_hex(hash, sizeof(hash), out);
}

static void write_spec(
    char out[SPEC_SIZE],
    const imgsim_projector *projector,
    const imgsim_projector_options *settings,
    const imgsim_features *source)
{
    char hash[33], kernel[40] = "";

    ims_source_hash(source, hash);
    if (settings->kernel != IMGSIM_KERNEL_NONE)
        snprintf(
            kernel, sizeof(kernel), ",kernel=%d,landmarks=%u", (int)settings->kernel,
            settings->landmarks);
    snprintf(
        out, SPEC_SIZE, SPEC_KIND "dim=%u,whiten=%.9g,normalize=%d%s" SPEC_SOURCE "%s",
        imgsim_projector_get_output_dimension(projector), settings->whiten,
        settings->normalize != 0, kernel, hash);
}

/* Fit, project, store. */
static imgsim_status make_projection(
    imgsim_catalog *catalog,
    const imgsim_projection_options *options,
    const imgsim_projector_options *settings,
    const imgsim_features *source,
    imgsim_projector *projector)
{
    struct ims_meter meter = {0};
    char name[IMS_FEATURE_NAME_SIZE], spec[SPEC_SIZE];
    imgsim_status status;
    uint64_t added;
    char *path;

    ims_meter_start(&meter, options->progress, options->user_data);
    if ((status = choose_name(catalog, options, settings, name)) != IMGSIM_OK ||
        (status = ims_projection_fit(projector, source, &meter)) != IMGSIM_OK)
        return status;
    write_spec(spec, projector, settings, source);
    if ((path = ims_projector_path(catalog, name)) == NULL)
        return ims_fail_memory(1);
    status = ims_projection_fill(catalog, name, source, projector, spec, path, &meter, &added);
    ims_free(path);
    if (status == IMGSIM_OK)
        status = imgsim_catalog_refresh(catalog);
    if (status == IMGSIM_OK)
        (void)ims_meter_tick(&meter, true); /* all is stored: too late to stop */
    return status;
}

/* Options with every default filled in, and what they say must make sense. */
static imgsim_status read_options(
    const imgsim_projection_options *options,
    imgsim_projection_options *out,
    imgsim_projector_options *out_settings)
{
    imgsim_status status;

    *out = defaults;
    if ((status = ims_options_read(out, sizeof(*out), options)) != IMGSIM_OK ||
        (status = imgsim_projector_options_init(out_settings, sizeof(*out_settings))) !=
            IMGSIM_OK ||
        (status = ims_options_read(out_settings, sizeof(*out_settings), out->projector)) !=
            IMGSIM_OK)
        return status;
    if (out->reserved != 0)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "options: reserved must be 0");
    if (out->source == NULL)
        out->source = "embedding";
    return IMGSIM_OK;
}

imgsim_status imgsim_derive_projection(
    imgsim_catalog *catalog,
    const imgsim_projection_options *options,
    imgsim_projector **out_projector)
{
    imgsim_projection_options checked;
    imgsim_projector_options settings;
    imgsim_projector *projector = NULL;
    imgsim_features *source = NULL;
    imgsim_status status;

    if (out_projector != NULL)
        *out_projector = NULL;
    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    if ((status = read_options(options, &checked, &settings)) != IMGSIM_OK ||
        (status = imgsim_catalog_refresh(catalog)) != IMGSIM_OK ||
        (status = imgsim_catalog_open_features(catalog, checked.source, &source)) != IMGSIM_OK)
        goto done;
    if (imgsim_features_get_row_type(source) != IMGSIM_ROW_FLOAT32) {
        status = ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "feature \"%s\" has no float rows to project",
            checked.source);
        goto done;
    }
    if ((status = imgsim_projector_new(
             imgsim_features_get_dimension(source), checked.dimension, &settings, &projector)) !=
            IMGSIM_OK ||
        (status = make_projection(catalog, &checked, &settings, source, projector)) != IMGSIM_OK)
        goto done;
    if (out_projector != NULL) {
        *out_projector = projector;
        projector = NULL; /* now the caller's */
    }

done:
    imgsim_projector_free(projector);
    imgsim_features_free(source);
    return status;
}
