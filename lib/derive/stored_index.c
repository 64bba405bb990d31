/* SPDX-License-Identifier: Apache-2.0 */
/* Indexes kept with a catalog: built over a feature's rows, opened only while they are fresh. */
#include "derive/derive_internal.h"

#include "core/file.h"
#include "core/memory.h"
#include "core/options.h"
#include "index/index.h"

#include <stdio.h>
#include <string.h>

#define BATCH_BYTES ((size_t)64 << 20)
#define NOTE_SIZE 1024

/* ---- freshness ---- */

/*
 * How the note of an index of these rows begins; false without a fingerprint, as the rows may then
 * change unnoticed.
 */
static bool write_origin(char out[NOTE_SIZE], const imgsim_features *features)
{
    int length = snprintf(
        out, NOTE_SIZE, "feature=%s fingerprint=%s ", ims_features_name(features),
        ims_features_fingerprint(features));

    return ims_features_fingerprint(features)[0] != '\0' && length < NOTE_SIZE;
}

/*
 * Made from these rows, and holding every image that has one. Images that are gone meanwhile do no
 * harm: searches ask for live ids only. The row of an id never changes under one fingerprint.
 */
static bool is_fresh(const imgsim_index *index, const imgsim_features *features)
{
    const struct ims_bitset *present = ims_features_present(features);
    char origin[NOTE_SIZE];

    if (!write_origin(origin, features) ||
        strncmp(imgsim_index_get_note(index), origin, strlen(origin)) != 0 ||
        imgsim_index_get_dimension(index) != imgsim_features_get_dimension(features) ||
        imgsim_index_get_count(index) < ims_bitset_popcount(present))
        return false;
    for (uint64_t id = 0; id < present->count; id++)
        if (ims_bitset_test(present, (int64_t)id) && !ims_index_has_id(index, (int64_t)id))
            return false;
    return true;
}

imgsim_status ims_index_open_fresh(
    const char *path,
    const imgsim_features *features,
    int32_t metric,
    imgsim_index **out_index)
{
    imgsim_index *index = NULL;
    imgsim_status status = imgsim_index_open(path, 0, &index);

    *out_index = NULL;
    if (status == IMGSIM_ERROR_NOT_FOUND)
        return IMGSIM_OK;
    if (status == IMGSIM_ERROR_CORRUPT || status == IMGSIM_ERROR_UNSUPPORTED) {
        ims_log(IMGSIM_LOG_WARNING, "not using %s: %s", path, imgsim_last_error());
        return IMGSIM_OK;
    }
    if (status != IMGSIM_OK)
        return status;
    if (imgsim_index_get_metric(index) == metric && is_fresh(index, features))
        *out_index = index;
    else
        imgsim_index_free(index);
    return IMGSIM_OK;
}

/* Path of the index of a feature and metric; NULL when out of memory. */
static char *index_path(const imgsim_catalog *catalog, const char *feature, int32_t metric)
{
    const char *metric_name = imgsim_metric_name(metric);
    char name[IMS_FEATURE_NAME_SIZE + 64];

    snprintf(
        name, sizeof(name), "indexes/%s.%s.ims", feature,
        metric_name != NULL ? metric_name : "unknown");
    return ims_catalog_inner_path(catalog, name);
}

imgsim_status ims_derive_open_index(
    const imgsim_catalog *catalog,
    const char *feature,
    int32_t metric,
    imgsim_index **out_index)
{
    imgsim_features *features = NULL;
    imgsim_status status;
    char *path = NULL;

    *out_index = NULL;
    if ((status = imgsim_catalog_open_features(catalog, feature, &features)) != IMGSIM_OK)
        return status;
    if (metric == IMGSIM_METRIC_DEFAULT)
        metric = imgsim_features_get_metric(features);
    if ((path = index_path(catalog, feature, metric)) == NULL)
        status = ims_fail_memory(1);
    else
        status = ims_index_open_fresh(path, features, metric, out_index);
    ims_free(path);
    imgsim_features_free(features);
    return status;
}

/* ---- building ---- */

/* The build adds batch after batch; the host is told about the whole. */
struct build_progress {
    imgsim_progress_callback callback;
    void *user_data;
    uint64_t base;
    uint64_t total;
};

static int32_t pass_on(const imgsim_progress *progress, void *user_data)
{
    const struct build_progress *build = user_data;
    imgsim_progress whole = *progress;

    whole.total = build->total;
    whole.done += build->base;
    if (whole.done > whole.total) /* a graph may begin with rows of earlier batches */
        whole.done = whole.total;
    whole.remaining_seconds =
        whole.rate > 0.0 ? (double)(whole.total - whole.done) / whole.rate : -1.0;
    return build->callback(&whole, build->user_data);
}

static imgsim_status
add_rows(imgsim_index *index, const imgsim_features *features, struct build_progress *progress)
{
    const bool bits = imgsim_features_get_row_type(features) == IMGSIM_ROW_BITS;
    struct ims_batches batches;
    imgsim_status status;

    if ((status = ims_batches_open(&batches, features, NULL, BATCH_BYTES)) != IMGSIM_OK)
        return status;
    progress->total = ims_batches_total(&batches);
    while ((status = ims_batches_next(&batches)) == IMGSIM_OK && batches.count > 0) {
        status =
            bits
                ? imgsim_index_add_bits(index, batches.batch_rows, batches.count, batches.batch_ids)
                : imgsim_index_add(index, batches.batch_rows, batches.count, batches.batch_ids);
        if (status != IMGSIM_OK)
            break;
        progress->base += batches.count;
    }
    ims_batches_close(&batches);
    return status;
}

/* What the index is made from and by which settings: the same request finds it again. */
static imgsim_status write_note(
    char out[NOTE_SIZE],
    const imgsim_features *features,
    const imgsim_index_options *settings)
{
    const char *kind = imgsim_index_kind_name(settings->kind);
    size_t length;

    if (!write_origin(out, features))
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "feature \"%s\" has no fingerprint to tell whether an index of it is fresh",
            ims_features_name(features));
    length = strlen(out);
    if ((size_t)snprintf(
            out + length, NOTE_SIZE - length, "kind=%s links=%u build=%u search=%u seed=%llu",
            kind != NULL ? kind : "unknown", settings->max_links, settings->build_width,
            settings->search_width, (unsigned long long)settings->seed) >= NOTE_SIZE - length)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "the fingerprint of feature \"%s\" is too long",
            ims_features_name(features));
    return IMGSIM_OK;
}

/* Build the index and put it in its place. */
static imgsim_status build_index(
    const imgsim_catalog *catalog,
    const imgsim_features *features,
    const imgsim_index_options *settings,
    const char *note,
    const char *path)
{
    struct build_progress progress = {settings->progress, settings->progress_data, 0, 0};
    imgsim_index_options options = *settings;
    imgsim_index *index = NULL;
    imgsim_status status;
    char *folder = ims_catalog_inner_path(catalog, "indexes");

    if (folder == NULL)
        return ims_fail_memory(1);
    if (settings->progress != NULL) {
        options.progress = pass_on;
        options.progress_data = &progress;
    }
    if ((status = imgsim_index_new(&options, &index)) != IMGSIM_OK ||
        (status = add_rows(index, features, &progress)) != IMGSIM_OK)
        goto done;

    /* An index of the kind AUTO is built when it is saved, as a whole. */
    progress.base = 0;
    if ((status = imgsim_index_set_note(index, note)) != IMGSIM_OK ||
        (status = ims_make_folder(folder)) != IMGSIM_OK)
        goto done;
    status = imgsim_index_save(index, path);

done:
    imgsim_index_free(index);
    ims_free(folder);
    return status;
}

/* ---- the request ---- */

struct choice {
    char projection[IMS_FEATURE_NAME_SIZE];
    bool embedding;
    bool hash;
};

static int32_t weigh_feature(const imgsim_feature_info *feature, void *user_data)
{
    struct choice *choice = user_data;

    if (strcmp(feature->name, "embedding") == 0)
        choice->embedding = true;
    else if (strcmp(feature->name, "hash") == 0)
        choice->hash = true;
    else if (strcmp(feature->source, "embedding") == 0)
        snprintf(choice->projection, sizeof(choice->projection), "%s", feature->name);
    return 0;
}

/* The projection of the embedding made last, else the embedding, else the hash. */
imgsim_status ims_choose_feature(const imgsim_catalog *catalog, char out[IMS_FEATURE_NAME_SIZE])
{
    struct choice choice = {0};
    imgsim_status status = imgsim_catalog_visit_features(catalog, weigh_feature, &choice);

    if (status != IMGSIM_OK)
        return status;
    if (choice.projection[0] == '\0' && !choice.embedding && !choice.hash)
        return ims_fail(
            IMGSIM_ERROR_NOT_FOUND, "the catalog has neither an embedding nor a hash to index");
    snprintf(
        out, IMS_FEATURE_NAME_SIZE, "%s",
        choice.projection[0] != '\0' ? choice.projection
        : choice.embedding           ? "embedding"
                                     : "hash");
    return IMGSIM_OK;
}

static imgsim_status read_options(
    const imgsim_index_options *options,
    const imgsim_features *features,
    imgsim_index_options *out)
{
    imgsim_status status;

    if ((status = imgsim_index_options_init(out, sizeof(*out))) != IMGSIM_OK)
        return status;
    out->metric = IMGSIM_METRIC_DEFAULT;
    if ((status = ims_options_read(out, sizeof(*out), options)) != IMGSIM_OK)
        return status;
    out->dimension = imgsim_features_get_dimension(features);
    if (out->metric == IMGSIM_METRIC_DEFAULT)
        out->metric = imgsim_features_get_metric(features);
    if (out->metric == IMGSIM_METRIC_CALLBACK || out->metric == IMGSIM_METRIC_MAHALANOBIS)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "an index kept with a catalog cannot know the caller's function or matrix");
    if (imgsim_features_get_row_type(features) == IMGSIM_ROW_BYTES)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "\"%s\" holds thumbnails, which no index compares",
            ims_features_name(features));
    if (imgsim_features_get_row_type(features) == IMGSIM_ROW_UINT32)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "histograms such as \"%s\" are searched without a stored index",
            ims_features_name(features));
    return IMGSIM_OK;
}

/* Find the fresh index of the same settings, or build it; then open it if it is wanted. */
static imgsim_status provide_index(
    const imgsim_catalog *catalog,
    const imgsim_features *features,
    const imgsim_index_options *settings,
    imgsim_index **out_index)
{
    imgsim_index *stored = NULL;
    imgsim_status status;
    char note[NOTE_SIZE];
    char *path = index_path(catalog, ims_features_name(features), settings->metric);

    if (path == NULL)
        return ims_fail_memory(1);
    if ((status = write_note(note, features, settings)) != IMGSIM_OK ||
        (status = ims_index_open_fresh(path, features, settings->metric, &stored)) != IMGSIM_OK)
        goto done;
    if (stored == NULL || strcmp(imgsim_index_get_note(stored), note) != 0) {
        imgsim_index_free(stored);
        stored = NULL;
        if ((status = build_index(catalog, features, settings, note, path)) != IMGSIM_OK ||
            (out_index != NULL && (status = imgsim_index_open(path, 0, &stored)) != IMGSIM_OK))
            goto done;
    }
    if (out_index != NULL) {
        *out_index = stored;
        stored = NULL; /* now the caller's */
    }

done:
    imgsim_index_free(stored);
    ims_free(path);
    return status;
}

imgsim_status imgsim_derive_index(
    imgsim_catalog *catalog,
    const char *feature,
    const imgsim_index_options *options,
    imgsim_index **out_index)
{
    char chosen[IMS_FEATURE_NAME_SIZE];
    imgsim_features *features = NULL;
    imgsim_index_options settings;
    imgsim_status status;

    if (out_index != NULL)
        *out_index = NULL;
    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    if ((status = imgsim_catalog_refresh(catalog)) != IMGSIM_OK ||
        (feature == NULL && (status = ims_choose_feature(catalog, chosen)) != IMGSIM_OK) ||
        (status = imgsim_catalog_open_features(
             catalog, feature != NULL ? feature : chosen, &features)) != IMGSIM_OK ||
        (status = read_options(options, features, &settings)) != IMGSIM_OK)
        goto done;
    status = provide_index(catalog, features, &settings, out_index);

done:
    imgsim_features_free(features);
    return status;
}
