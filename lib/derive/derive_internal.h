/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share: rows in batches, projections by name, stored indexes. */
#ifndef IMS_DERIVE_INTERNAL_H
#define IMS_DERIVE_INTERNAL_H

#include "catalog/catalog.h"
#include "catalog/classes.h"
#include "core/bitset.h"
#include "core/progress.h"
#include "derive/derive.h"

#include <stdbool.h>

/* Feature names are at most 63 bytes (imgsim_feature_definition). */
#define IMS_FEATURE_NAME_SIZE 64

/* ---- rows in batches ---- */

/* Goes through the mapped rows of some ids in order. Zero it before use. */
struct ims_batches {
    const struct ims_bitset *ids;
    const struct ims_bitset *except; /* NULL, or ids to leave out */
    const uint8_t *rows;             /* row = id */
    size_t row_size;
    size_t capacity; /* rows of a batch at most */
    int64_t next;
    /* The batch: count ids, and their rows one after another, mapped or copied. */
    int64_t *batch_ids;
    const void *batch_rows;
    size_t count;
    uint8_t *copy;
};

/* Over the images of a feature that have a row and are not in `except`; about `bytes` per batch. */
imgsim_status ims_batches_open(
    struct ims_batches *batches,
    const imgsim_features *features,
    const struct ims_bitset *except,
    size_t bytes);
/* The next batch; count 0 at the end. OUT_OF_MEMORY. */
imgsim_status ims_batches_next(struct ims_batches *batches);
void ims_batches_close(struct ims_batches *batches);
/* How many ids there are in all. */
uint64_t ims_batches_total(const struct ims_batches *batches);

/* Bytes of a row in memory: floats or bits. */
size_t ims_feature_row_size(const imgsim_features *features);

/* ---- projections ---- */

/* What a projection's definition says; `found` is false if there is no feature of this name. */
struct ims_projection_info {
    bool found;
    bool is_projection; /* its spec is one of ours */
    uint32_t dimension;
    char source[IMS_FEATURE_NAME_SIZE];
    char fingerprint[128];
    char source_hash[33]; /* ims_source_hash() of the source it was fitted on */
};

imgsim_status ims_projection_find(
    const imgsim_catalog *catalog,
    const char *feature,
    struct ims_projection_info *out);

/* Hash of a feature's fingerprint, which may be of any length. */
void ims_source_hash(const imgsim_features *source, char out[33]);

/* Fit on all rows of the source: phase "fit". */
imgsim_status ims_projection_fit(
    imgsim_projector *projector,
    const imgsim_features *source,
    struct ims_meter *meter);

/* Project the rows of the source that the projection lacks, in one transaction. Counts them. */
imgsim_status ims_projection_fill(
    imgsim_catalog *catalog,
    const char *name,
    const imgsim_features *source,
    const imgsim_projector *projector,
    const char *spec,
    const char *projector_path, /* NULL: the projector is stored already */
    struct ims_meter *meter,
    uint64_t *out_added);

/* Path of a projection's projector; NULL when out of memory. Release with ims_free(). */
char *ims_projector_path(const imgsim_catalog *catalog, const char *feature);

/* ---- predictions ---- */

/* Labels that are to be stored: image ids[i] gets that of class classes[i]. Zero it before use. */
struct ims_prediction_list {
    int64_t *ids;
    int32_t *classes;
    size_t count, id_room, class_room;
};

imgsim_status ims_predictions_keep(struct ims_prediction_list *list, int64_t id, int32_t number);
/* Store them as "predicted:NAME" in the place of all that are there. */
imgsim_status ims_predictions_store(
    imgsim_catalog *catalog,
    const struct ims_prediction_list *list,
    const char *const *names,
    size_t name_count);
void ims_predictions_clear(struct ims_prediction_list *list);

/* IMGSIM_PREDICT_NETWORK (network_predictions.c); options were read and checked. */
imgsim_status ims_predict_by_network(
    imgsim_catalog *catalog,
    const imgsim_predict_options *options,
    struct ims_meter *meter,
    imgsim_predict_report *report);

/* ---- indexes ---- */

/* The projection of "embedding" if there is one, else "embedding", else "hash". NOT_FOUND if none is there. */
imgsim_status ims_choose_feature(const imgsim_catalog *catalog, char out[IMS_FEATURE_NAME_SIZE]);

/* Open a file; *out_index is NULL, with OK, if it is missing, damaged, too new or stale. */
imgsim_status ims_index_open_fresh(
    const char *path,
    const imgsim_features *features,
    int32_t metric,
    imgsim_index **out_index);

/* Whether indexes/FILE is a fresh index, or none of ours to judge (refresh.c). */
imgsim_status
ims_index_may_stay(const imgsim_catalog *catalog, const char *file, const char *path, bool *out);

#endif
