/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels for images without, by the vote of the nearest labelled ones (Cover & Hart, IEEE Trans. Inf. Theory 13(1), 1967; votes that
 * count by nearness: Dudani, IEEE Trans. SMC 6(4), 1976), and how often that is right, leaving one out.
 */
#include "derive/derive_internal.h"

#include "core/memory.h"
#include "core/options.h"
#include "simd/metric.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BATCH_BYTES ((size_t)16 << 20)
#define ASKED_AT_ONCE ((size_t)1024)
#define K_MAX 1000

static const imgsim_predict_options defaults = {
    .struct_size = sizeof(imgsim_predict_options),
    .k = 10,
    .min_share = 0.5,
    .max_distance = HUGE_VAL,
    .try_count = 2000,
};

imgsim_status imgsim_predict_options_init(imgsim_predict_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

/* One call. */
struct predicting {
    imgsim_catalog *catalog;
    imgsim_predict_options options;
    imgsim_predict_report report;
    imgsim_features *features;
    struct ims_classes classes;
    imgsim_index *index; /* of the labelled images */
    int32_t metric;
    struct ims_meter meter;
    double *votes; /* per class, all 0 between images */
    int64_t *ids;  /* images asked about at once */
    float *rows;
    int64_t *near_ids; /* ASKED_AT_ONCE x (k + 1) */
    float *near_distances;
    struct ims_prediction_list kept;
};

/* ---- the vote ---- */

struct verdict {
    int32_t label; /* class, or -1 */
    double share;
    double distance;
};

/* The neighbours of one image, `except` left out; distances are rising. */
static struct verdict
count_votes(struct predicting *p, const int64_t *ids, const float *distances, int64_t except)
{
    struct verdict verdict = {-1, 0, HUGE_VAL};
    double best = 0, total = 0;
    uint32_t voters = 0;

    for (uint32_t e = 0; e <= p->options.k && voters < p->options.k && ids[e] >= 0; e++) {
        const uint64_t first = p->classes.starts[ids[e]], end = p->classes.starts[ids[e] + 1];
        double similarity;

        if (ids[e] == except || distances[e] > p->options.max_distance)
            continue;
        if (voters++ == 0)
            verdict.distance = distances[e];
        similarity = ims_metric_similarity_of(
            p->metric, imgsim_features_get_dimension(p->features),
            ims_metric_value(p->metric, distances[e]));
        total += similarity;
        for (uint64_t c = first; c < end; c++) {
            double *votes = &p->votes[p->classes.of[c]];

            *votes += similarity / (double)(end - first);
            /* Only what passes the best takes its place: of equal ones the nearest's stays. */
            if (*votes > best) {
                best = *votes;
                verdict.label = p->classes.of[c];
            }
        }
    }
    for (uint32_t e = 0; e <= p->options.k && ids[e] >= 0; e++)
        for (uint64_t c = p->classes.starts[ids[e]]; c < p->classes.starts[ids[e] + 1]; c++)
            p->votes[p->classes.of[c]] = 0;
    verdict.share = total > 0 ? best / total : 0;
    if (!(verdict.share > p->options.min_share))
        verdict.label = -1;
    return verdict;
}

static imgsim_status find_neighbours(struct predicting *p, size_t count)
{
    const size_t size = imgsim_features_get_dimension(p->features) * sizeof(float);
    imgsim_search_options options;
    imgsim_status status;

    if ((status = imgsim_features_read(p->features, p->ids, count, p->rows, count * size)) !=
            IMGSIM_OK ||
        (status = imgsim_search_options_init(&options, sizeof(options))) != IMGSIM_OK)
        return status;
    options.threads = p->options.threads;
    return imgsim_index_search(
        p->index, p->rows, count, p->options.k + 1, &options, p->near_ids, p->near_distances);
}

/* ---- images without labels ---- */

static imgsim_status answer(struct predicting *p, size_t count)
{
    const size_t k = p->options.k + 1;
    imgsim_status status = find_neighbours(p, count);

    for (size_t i = 0; i < count && status == IMGSIM_OK; i++) {
        const struct verdict verdict =
            count_votes(p, p->near_ids + i * k, p->near_distances + i * k, p->ids[i]);
        const imgsim_prediction prediction = {
            .struct_size = sizeof(prediction),
            .id = p->ids[i],
            .label = verdict.label >= 0 ? p->classes.names[verdict.label] : "",
            .share = verdict.share,
            .distance = verdict.distance,
        };

        p->report.asked_count++;
        if (verdict.label >= 0) {
            p->report.predicted_count++;
            if (p->options.store)
                status = ims_predictions_keep(&p->kept, p->ids[i], verdict.label);
        }
        if (p->options.callback != NULL && p->options.callback(&prediction, p->options.user_data))
            status = ims_fail(IMGSIM_ERROR_CANCELLED, "stopped by the callback");
    }
    atomic_fetch_add(&p->meter.done, count);
    return status == IMGSIM_OK ? ims_meter_tick(&p->meter, false) : status;
}

static imgsim_status answer_listed(struct predicting *p)
{
    imgsim_status status = IMGSIM_OK;

    ims_meter_phase(&p->meter, "predict", p->options.id_count);
    for (size_t first = 0; first < p->options.id_count && status == IMGSIM_OK;) {
        size_t count = 0;

        while (first < p->options.id_count && count < ASKED_AT_ONCE)
            p->ids[count++] = p->options.ids[first++];
        status = answer(p, count);
    }
    return status;
}

static imgsim_status answer_unlabelled(struct predicting *p)
{
    const struct ims_bitset *present = ims_features_present(p->features);
    imgsim_status status = IMGSIM_OK;
    size_t count = 0;

    ims_meter_phase(&p->meter, "predict", ims_bitset_popcount(present) - p->report.labelled_count);
    for (uint64_t id = 0; id < present->count && status == IMGSIM_OK; id++) {
        if (!ims_bitset_test(present, (int64_t)id) || ims_class_of(&p->classes, (int64_t)id) >= 0)
            continue;
        p->ids[count++] = (int64_t)id;
        if (count == ASKED_AT_ONCE) {
            status = answer(p, count);
            count = 0;
        }
    }
    return status == IMGSIM_OK && count > 0 ? answer(p, count) : status;
}

/* ---- leaving one out ---- */

static bool has_class(const struct ims_classes *classes, int64_t id, int32_t label)
{
    for (uint64_t c = classes->starts[id]; c < classes->starts[id + 1]; c++)
        if (classes->of[c] == label)
            return true;
    return false;
}

static imgsim_status try_some(struct predicting *p, size_t count)
{
    const size_t k = p->options.k + 1;
    imgsim_status status = find_neighbours(p, count);

    for (size_t i = 0; i < count && status == IMGSIM_OK; i++) {
        const struct verdict verdict =
            count_votes(p, p->near_ids + i * k, p->near_distances + i * k, p->ids[i]);

        p->report.tried_count++;
        p->report.answered_count += verdict.label >= 0;
        p->report.right_count +=
            verdict.label >= 0 && has_class(&p->classes, p->ids[i], verdict.label);
    }
    atomic_fetch_add(&p->meter.done, count);
    return status == IMGSIM_OK ? ims_meter_tick(&p->meter, false) : status;
}

/* Labelled images, spread over all. */
static imgsim_status try_labelled(struct predicting *p)
{
    const struct ims_bitset *present = ims_features_present(p->features);
    const uint64_t labelled = p->report.labelled_count;
    const uint64_t wanted = p->options.try_count < labelled ? p->options.try_count : labelled;
    uint64_t seen = 0;
    imgsim_status status = IMGSIM_OK;
    size_t count = 0;

    ims_meter_phase(&p->meter, "try", wanted);
    for (uint64_t id = 0; id < present->count && status == IMGSIM_OK; id++) {
        if (!ims_bitset_test(present, (int64_t)id) || ims_class_of(&p->classes, (int64_t)id) < 0)
            continue;
        /* The n-th of all is taken where n * wanted / labelled steps on. */
        seen++;
        if (seen * wanted / labelled == (seen - 1) * wanted / labelled)
            continue;
        p->ids[count++] = (int64_t)id;
        if (count == ASKED_AT_ONCE) {
            status = try_some(p, count);
            count = 0;
        }
    }
    return status == IMGSIM_OK && count > 0 ? try_some(p, count) : status;
}

/* ---- preparing ---- */

/* An index of the labelled images. */
static imgsim_status build_index(struct predicting *p)
{
    struct ims_batches batches = {0};
    struct ims_bitset unlabelled = {0};
    imgsim_index_options options;
    imgsim_status status = imgsim_index_options_init(&options, sizeof(options));

    options.kind = IMGSIM_INDEX_AUTO;
    options.metric = p->metric;
    options.dimension = imgsim_features_get_dimension(p->features);
    options.threads = p->options.threads;
    if (!ims_bitset_init(&unlabelled, p->classes.id_count, false))
        return ims_fail_memory((size_t)p->classes.id_count / 8);
    for (uint64_t id = 0; id < p->classes.id_count; id++)
        if (ims_class_of(&p->classes, (int64_t)id) < 0)
            ims_bitset_set(&unlabelled, (int64_t)id);
    if (status == IMGSIM_OK && (status = imgsim_index_new(&options, &p->index)) == IMGSIM_OK)
        status = ims_batches_open(&batches, p->features, &unlabelled, BATCH_BYTES);
    if (status == IMGSIM_OK) {
        p->report.labelled_count = ims_batches_total(&batches);
        ims_meter_phase(&p->meter, "build", p->report.labelled_count);
    }
    while (status == IMGSIM_OK && (status = ims_batches_next(&batches)) == IMGSIM_OK &&
           batches.count > 0) {
        if ((status = imgsim_index_add(
                 p->index, batches.batch_rows, batches.count, batches.batch_ids)) != IMGSIM_OK)
            break;
        atomic_fetch_add(&p->meter.done, batches.count);
        status = ims_meter_tick(&p->meter, false);
    }
    ims_batches_close(&batches);
    ims_bitset_clear(&unlabelled);
    return status;
}

static imgsim_status prepare(struct predicting *p)
{
    char chosen[IMS_FEATURE_NAME_SIZE];
    const char *feature = p->options.feature;
    const size_t k = p->options.k + 1;
    imgsim_status status;

    if (feature == NULL) {
        if ((status = ims_choose_feature(p->catalog, chosen)) != IMGSIM_OK)
            return status;
        feature = chosen;
    }
    if ((status = imgsim_catalog_open_features(p->catalog, feature, &p->features)) != IMGSIM_OK ||
        (status = ims_classes_by_label(p->catalog, &p->classes)) != IMGSIM_OK)
        return status;
    if (imgsim_features_get_row_type(p->features) != IMGSIM_ROW_FLOAT32)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "feature \"%s\" has no float rows to compare; an embedding has (scan with a model)",
            feature);
    p->metric = imgsim_features_get_metric(p->features);
    p->report.label_count = p->classes.count;
    p->votes = ims_calloc(p->classes.count, sizeof(double));
    p->ids = ims_alloc_array(ASKED_AT_ONCE, sizeof(int64_t));
    p->rows =
        ims_alloc_array(ASKED_AT_ONCE, imgsim_features_get_dimension(p->features) * sizeof(float));
    p->near_ids = ims_alloc_array(ASKED_AT_ONCE * k, sizeof(int64_t));
    p->near_distances = ims_alloc_array(ASKED_AT_ONCE * k, sizeof(float));
    if (p->votes == NULL || p->ids == NULL || p->rows == NULL || p->near_ids == NULL ||
        p->near_distances == NULL)
        return ims_fail_memory(ASKED_AT_ONCE * k * sizeof(int64_t));
    if ((status = build_index(p)) != IMGSIM_OK)
        return status;
    if (p->report.labelled_count == 0)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY,
            "no image with the feature \"%s\" has a label to learn from; 'imgsim label add', "
            "'import' or "
            "'folders' gives some",
            feature);
    return IMGSIM_OK;
}

/* ---- the call ---- */

static imgsim_status check_options(const imgsim_predict_options *o)
{
    if (o->k < 1 || o->k > K_MAX)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "k is %u, expected 1 to %d", o->k, K_MAX);
    if (!(o->min_share >= 0 && o->min_share <= 1))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "min_share is %g, expected 0 to 1", o->min_share);
    if (isnan(o->max_distance))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "max_distance is NaN");
    if (o->ids == NULL && o->id_count > 0)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "ids must not be NULL");
    if (o->by != IMGSIM_PREDICT_NEIGHBOURS && o->by != IMGSIM_PREDICT_NETWORK)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown way %d to predict", o->by);
    if (o->reserved != 0 || o->reserved2 != 0)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "options: reserved must be 0");
    return IMGSIM_OK;
}

static imgsim_status run(struct predicting *p)
{
    imgsim_status status;

    if ((status = imgsim_catalog_refresh(p->catalog)) != IMGSIM_OK ||
        (status = prepare(p)) != IMGSIM_OK ||
        (status = p->options.ids != NULL ? answer_listed(p) : answer_unlabelled(p)) != IMGSIM_OK ||
        (status = try_labelled(p)) != IMGSIM_OK)
        return status;
    return p->options.store
               ? ims_predictions_store(
                     p->catalog, &p->kept, (const char *const *)p->classes.names, p->classes.count)
               : IMGSIM_OK;
}

imgsim_status imgsim_derive_predictions(
    imgsim_catalog *catalog,
    const imgsim_predict_options *options,
    imgsim_predict_report *report)
{
    struct predicting p = {.catalog = catalog, .options = defaults};
    imgsim_status status;

    if (catalog == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "catalog must not be NULL");
    if (report != NULL && report->struct_size < sizeof(size_t))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "report: struct_size is not set");
    if ((status = ims_options_read(&p.options, sizeof(p.options), options)) != IMGSIM_OK ||
        (status = check_options(&p.options)) != IMGSIM_OK)
        return status;
    ims_meter_start(&p.meter, p.options.progress, p.options.progress_data);
    status = p.options.by == IMGSIM_PREDICT_NETWORK
                 ? ims_predict_by_network(catalog, &p.options, &p.meter, &p.report)
                 : run(&p);
    if (status == IMGSIM_OK && report != NULL) {
        p.report.struct_size = report->struct_size;
        memcpy(
            report, &p.report,
            report->struct_size < sizeof(p.report) ? report->struct_size : sizeof(p.report));
    }
    imgsim_index_free(p.index);
    ims_classes_clear(&p.classes);
    imgsim_features_free(p.features);
    ims_free(p.votes);
    ims_free(p.ids);
    ims_free(p.rows);
    ims_free(p.near_ids);
    ims_free(p.near_distances);
    ims_predictions_clear(&p.kept);
    return status;
}
