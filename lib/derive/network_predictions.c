/* SPDX-License-Identifier: Apache-2.0 */
/* Labels for images from the classes that the network told at the scan; nothing is decoded again. */
#include "derive/derive_internal.h"

#include "core/memory.h"
#include "extract/class_names.h"
#include "extract/extractor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One call. */
struct telling {
    imgsim_catalog *catalog;
    const imgsim_predict_options *options;
    imgsim_predict_report *report;
    struct ims_meter *meter;
    imgsim_features *features;
    struct ims_class_names names;
    struct ims_classes labelled;
    struct ims_prediction_list kept;
};

/* "classes:count=1000,...,model=PATH" */
static imgsim_status read_names(struct telling *t)
{
    const char *spec = ims_features_spec(t->features);
    const char *model = strstr(spec, ",model=");
    unsigned count = 0;

    if (sscanf(spec, "classes:count=%5u,", &count) != 1 || count == 0 || model == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "feature \"%s\" does not hold the classes of a network",
            ims_features_name(t->features));
    return ims_class_names_read(
        t->options->names_path, model + strlen(",model="), count, &t->names);
}

static imgsim_status prepare(struct telling *t)
{
    const char *feature = t->options->feature != NULL ? t->options->feature : IMS_CLASSES_FEATURE;
    imgsim_status status = imgsim_catalog_open_features(t->catalog, feature, &t->features);

    if (status == IMGSIM_ERROR_NOT_FOUND)
        return ims_fail(
            IMGSIM_ERROR_NOT_FOUND,
            "the catalog has no feature \"%s\": scan with the network's classes (imgsim scan "
            "--classes)",
            feature);
    if (status != IMGSIM_OK || (status = read_names(t)) != IMGSIM_OK ||
        (status = ims_classes_by_label(t->catalog, &t->labelled)) != IMGSIM_OK)
        return status;
    t->report->label_count = t->names.count;
    for (uint64_t id = 0; id < t->labelled.id_count; id++)
        t->report->labelled_count += ims_class_of(&t->labelled, (int64_t)id) >= 0;
    return IMGSIM_OK;
}

/* One image; its row was written by a scan, but may be damaged. */
static imgsim_status tell(struct telling *t, int64_t id)
{
    const char *labels[IMGSIM_TOP_CLASSES];
    double shares[IMGSIM_TOP_CLASSES];
    uint32_t numbers[IMGSIM_TOP_CLASSES] = {0};
    imgsim_prediction prediction = {.struct_size = sizeof(prediction), .id = id, .label = ""};
    const void *data;
    imgsim_status status;
    size_t size;

    if ((status = imgsim_features_get_bytes(t->features, id, &data, &size)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < size / 8 && i < IMGSIM_TOP_CLASSES; i++) {
        float share;

        memcpy(&numbers[i], (const uint8_t *)data + 8 * i, sizeof(numbers[i]));
        memcpy(&share, (const uint8_t *)data + 8 * i + 4, sizeof(share));
        if (numbers[i] >= t->names.count)
            return ims_fail(
                IMGSIM_ERROR_CORRUPT, "image %lld has class %u, the network has %zu", (long long)id,
                numbers[i], t->names.count);
        labels[i] = t->names.items[numbers[i]];
        shares[i] = (double)share;
        prediction.class_count = i + 1;
    }
    prediction.class_labels = labels;
    prediction.class_shares = shares;
    t->report->asked_count++;
    if (prediction.class_count > 0) {
        prediction.share = shares[0];
        if (shares[0] > t->options->min_share) {
            prediction.label = labels[0];
            t->report->predicted_count++;
            if (t->options->store)
                status = ims_predictions_keep(&t->kept, id, (int32_t)numbers[0]);
        }
    }
    if (status == IMGSIM_OK && t->options->callback != NULL &&
        t->options->callback(&prediction, t->options->user_data))
        status = ims_fail(IMGSIM_ERROR_CANCELLED, "stopped by the callback");
    atomic_fetch_add(&t->meter->done, 1);
    return status == IMGSIM_OK ? ims_meter_tick(t->meter, false) : status;
}

static imgsim_status tell_all(struct telling *t)
{
    const struct ims_bitset *present = ims_features_present(t->features);
    imgsim_status status = IMGSIM_OK;

    if (t->options->ids != NULL) {
        ims_meter_phase(t->meter, "predict", t->options->id_count);
        for (size_t i = 0; i < t->options->id_count && status == IMGSIM_OK; i++)
            status = tell(t, t->options->ids[i]);
        return status;
    }
    ims_meter_phase(t->meter, "predict", ims_bitset_popcount(present));
    for (uint64_t id = 0; id < present->count && status == IMGSIM_OK; id++)
        if (ims_bitset_test(present, (int64_t)id) && ims_class_of(&t->labelled, (int64_t)id) < 0)
            status = tell(t, (int64_t)id);
    return status;
}

imgsim_status ims_predict_by_network(
    imgsim_catalog *catalog,
    const imgsim_predict_options *options,
    struct ims_meter *meter,
    imgsim_predict_report *report)
{
    struct telling t = {.catalog = catalog, .options = options, .meter = meter, .report = report};
    imgsim_status status;

    if ((status = imgsim_catalog_refresh(catalog)) == IMGSIM_OK &&
        (status = prepare(&t)) == IMGSIM_OK && (status = tell_all(&t)) == IMGSIM_OK &&
        options->store)
        status = ims_predictions_store(catalog, &t.kept, t.names.items, t.names.count);
    imgsim_features_free(t.features);
    ims_class_names_clear(&t.names);
    ims_classes_clear(&t.labelled);
    ims_predictions_clear(&t.kept);
    return status;
}
