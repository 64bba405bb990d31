/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters of a catalog's images, kept as labels: rows of a feature, names from labels or folders, quality. */
#include "derive/derive_internal.h"

#include "core/memory.h"
#include "core/options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAME_SIZE 64
#define LABEL_SIZE 128
#define BATCH_BYTES ((size_t)64 << 20)
#define SILHOUETTE_ROWS 2000

static const imgsim_cluster_labels_options defaults = {
    .struct_size = sizeof(imgsim_cluster_labels_options),
};

imgsim_status
imgsim_cluster_labels_options_init(imgsim_cluster_labels_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

/* One call. */
struct clustering {
    imgsim_catalog *catalog;
    imgsim_cluster_labels_options options;
    imgsim_cluster_options settings;
    char name[NAME_SIZE];
    imgsim_features *features;
    int64_t *ids; /* of the rows */
    const float *rows;
    float *copy;
    size_t count;
    size_t dimension;
    struct ims_classes classes;
    imgsim_clusters *clusters;
};

/* ---- rows ---- */

/* The rows as they are mapped if every id has one, else a copy without gaps. */
static imgsim_status load_rows(struct clustering *c)
{
    const struct ims_bitset *present = ims_features_present(c->features);
    struct ims_batches batches = {0};
    imgsim_status status;
    size_t done = 0;

    c->dimension = imgsim_features_get_dimension(c->features);
    c->count = (size_t)ims_bitset_popcount(present);
    if (c->count == 0)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY, "no image has the feature \"%s\"",
            ims_features_name(c->features));
    if ((c->ids = ims_alloc_array(c->count, sizeof(int64_t))) == NULL)
        return ims_fail_memory(c->count * sizeof(int64_t));
    for (uint64_t id = 0; id < present->count; id++)
        if (ims_bitset_test(present, (int64_t)id))
            c->ids[done++] = (int64_t)id;
    c->rows =
        (const float *)imgsim_features_get_rows(c->features) + (size_t)c->ids[0] * c->dimension;
    if (c->ids[c->count - 1] - c->ids[0] == (int64_t)c->count - 1)
        return IMGSIM_OK;

    if ((c->copy = ims_alloc_array(c->count, c->dimension * sizeof(float))) == NULL)
        return ims_fail_memory(c->count * c->dimension * sizeof(float));
    status = ims_batches_open(&batches, c->features, NULL, BATCH_BYTES);
    done = 0;
    while (status == IMGSIM_OK && (status = ims_batches_next(&batches)) == IMGSIM_OK &&
           batches.count > 0) {
        memcpy(
            c->copy + done * c->dimension, batches.batch_rows,
            batches.count * c->dimension * sizeof(float));
        done += batches.count;
    }
    ims_batches_close(&batches);
    c->rows = c->copy;
    return status;
}

static imgsim_status open_rows(struct clustering *c)
{
    char chosen[IMS_FEATURE_NAME_SIZE];
    const char *feature = c->options.feature;
    imgsim_status status;

    if (feature == NULL) {
        if ((status = ims_choose_feature(c->catalog, chosen)) != IMGSIM_OK)
            return status;
        feature = chosen;
    }
    if ((status = imgsim_catalog_open_features(c->catalog, feature, &c->features)) != IMGSIM_OK)
        return status;
    if (imgsim_features_get_row_type(c->features) != IMGSIM_ROW_FLOAT32)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "feature \"%s\" has no float rows to cluster; an embedding has (scan with a model)",
            feature);
    return load_rows(c);
}

/* ---- telling ---- */

static imgsim_status tell_clusters(const struct clustering *c)
{
    const size_t clusters = imgsim_clusters_get_count(c->clusters);
    int32_t *best = ims_alloc_array(clusters, sizeof(*best));
    uint64_t *best_count = ims_alloc_array(clusters, sizeof(*best_count));
    imgsim_status status;

    if (best == NULL || best_count == NULL)
        status = ims_fail_memory(clusters * sizeof(*best_count));
    else
        status = ims_classes_most_frequent(
            &c->classes, c->ids, imgsim_clusters_get_labels(c->clusters), c->count, clusters, best,
            best_count);
    for (size_t k = 0; k < clusters && status == IMGSIM_OK; k++) {
        char label[LABEL_SIZE];
        const imgsim_cluster_info info = {
            .struct_size = sizeof(info),
            .label = label,
            .name = best[k] >= 0 ? c->classes.names[best[k]] : "",
            .share = (double)best_count[k] / (double)imgsim_clusters_get_sizes(c->clusters)[k],
            .medoid = c->ids[imgsim_clusters_get_medoids(c->clusters)[k]],
            .size = imgsim_clusters_get_sizes(c->clusters)[k],
            .number = (uint32_t)k,
        };

        snprintf(label, sizeof(label), IMS_CLUSTER_PREFIX "%s/%zu", c->name, k);
        if (c->options.callback(&info, c->options.user_data) != 0)
            status = ims_fail(IMGSIM_ERROR_CANCELLED, "stopped by the callback");
    }
    ims_free(best);
    ims_free(best_count);
    return status;
}

/* Agreement with the first class of each image that has one. */
static imgsim_status compare_with_classes(const struct clustering *c, imgsim_cluster_report *report)
{
    const int32_t *labels = imgsim_clusters_get_labels(c->clusters);
    int32_t *given = ims_alloc_array(c->count, sizeof(*given));
    int32_t *found = ims_alloc_array(c->count, sizeof(*found));
    imgsim_status status = IMGSIM_OK;
    size_t count = 0;

    report->ari = report->nmi = NAN;
    if (given == NULL || found == NULL)
        status = ims_fail_memory(c->count * sizeof(*given));
    for (size_t i = 0; i < c->count && status == IMGSIM_OK; i++) {
        const int32_t name = ims_class_of(&c->classes, c->ids[i]);

        if (name < 0)
            continue;
        given[count] = name;
        found[count++] = labels[i];
    }
    report->labelled_count = count;
    if (status == IMGSIM_OK && count > 0)
        status = imgsim_compare_labels(given, found, count, &report->ari, &report->nmi);
    ims_free(given);
    ims_free(found);
    return status;
}

static imgsim_status fill_report(const struct clustering *c, imgsim_cluster_report *report)
{
    imgsim_status status;

    report->image_count = c->count;
    report->cluster_count = imgsim_clusters_get_count(c->clusters);
    report->noise_count = imgsim_clusters_get_noise_count(c->clusters);
    report->silhouette = NAN;
    if ((status = compare_with_classes(c, report)) != IMGSIM_OK)
        return status;
    if (report->cluster_count < 2)
        return IMGSIM_OK;
    return imgsim_silhouette(
        c->rows, c->count, (uint32_t)c->dimension, imgsim_clusters_get_labels(c->clusters),
        c->settings.metric, SILHOUETTE_ROWS, c->settings.seed, c->settings.threads,
        &report->silhouette, NULL);
}

/* ---- storing ---- */

static imgsim_status store_labels(const struct clustering *c)
{
    const int32_t *numbers = imgsim_clusters_get_labels(c->clusters);
    const size_t clusters = imgsim_clusters_get_count(c->clusters);
    char(*texts)[LABEL_SIZE] = ims_alloc_array(clusters + 1, LABEL_SIZE);
    const char **labels = ims_alloc_array(c->count, sizeof(*labels));
    char prefix[NAME_SIZE + 16];
    imgsim_status status;

    if (texts == NULL || labels == NULL) {
        status = ims_fail_memory(c->count * sizeof(*labels));
    } else {
        snprintf(prefix, sizeof(prefix), IMS_CLUSTER_PREFIX "%s/", c->name);
        for (size_t k = 0; k < clusters; k++)
            snprintf(texts[k], LABEL_SIZE, "%s%zu", prefix, k);
        snprintf(texts[clusters], LABEL_SIZE, "%snoise", prefix);
        for (size_t i = 0; i < c->count; i++)
            labels[i] = texts[numbers[i] >= 0 ? (size_t)numbers[i] : clusters];
        status = imgsim_catalog_replace_labels(c->catalog, prefix, c->ids, labels, c->count);
    }
    ims_free(texts);
    ims_free(labels);
    return status;
}

/* ---- the call ---- */

static imgsim_status
read_settings(struct clustering *c, const imgsim_cluster_labels_options *options)
{
    const char *name;
    imgsim_status status;

    c->options = defaults;
    if ((status = ims_options_read(&c->options, sizeof(c->options), options)) != IMGSIM_OK ||
        (status = imgsim_cluster_options_init(&c->settings, sizeof(c->settings))) != IMGSIM_OK ||
        (status = ims_options_read(&c->settings, sizeof(c->settings), c->options.cluster)) !=
            IMGSIM_OK)
        return status;
    if (c->options.reserved != 0)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "options: reserved must be 0");
    name =
        c->options.name != NULL ? c->options.name : imgsim_cluster_method_name(c->settings.method);
    if (name == NULL)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown method %d", c->settings.method);
    if (name[0] == '\0' || strlen(name) >= NAME_SIZE ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.-") != strlen(name))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "name \"%s\", expected 1 to %d of [a-z0-9_.-]", name,
            NAME_SIZE - 1);
    snprintf(c->name, sizeof(c->name), "%s", name);
    return IMGSIM_OK;
}

static imgsim_status run(struct clustering *c, imgsim_cluster_report *report)
{
    imgsim_status status;

    if ((status = imgsim_catalog_refresh(c->catalog)) != IMGSIM_OK ||
        (status = open_rows(c)) != IMGSIM_OK ||
        (status = ims_classes_by_any(c->catalog, &c->classes)) != IMGSIM_OK ||
        (status = imgsim_cluster_rows(
             c->rows, c->count, (uint32_t)c->dimension, &c->settings, &c->clusters)) != IMGSIM_OK ||
        (report != NULL && (status = fill_report(c, report)) != IMGSIM_OK) ||
        (c->options.callback != NULL && (status = tell_clusters(c)) != IMGSIM_OK))
        return status;
    return c->options.dry_run ? IMGSIM_OK : store_labels(c);
}

imgsim_status imgsim_derive_clusters(
    imgsim_catalog *catalog,
    const imgsim_cluster_labels_options *options,
    imgsim_cluster_report *report,
    imgsim_clusters **out_clusters)
{
    struct clustering c = {.catalog = catalog};
    imgsim_cluster_report filled = {.struct_size = sizeof(filled)};
    imgsim_status status;

    if (out_clusters != NULL)
        *out_clusters = NULL;
    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    if (report != NULL && report->struct_size < sizeof(size_t))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "report: struct_size is not set");
    if ((status = read_settings(&c, options)) == IMGSIM_OK)
        status = run(&c, report != NULL ? &filled : NULL);
    if (status == IMGSIM_OK && report != NULL) {
        filled.struct_size = report->struct_size;
        memcpy(
            report, &filled,
            report->struct_size < sizeof(filled) ? report->struct_size : sizeof(filled));
    }
    if (status == IMGSIM_OK && out_clusters != NULL) {
        *out_clusters = c.clusters;
        c.clusters = NULL; /* now the caller's */
    }
    imgsim_clusters_free(c.clusters);
    ims_classes_clear(&c.classes);
    imgsim_features_free(c.features);
    ims_free(c.ids);
    ims_free(c.copy);
    return status;
}
