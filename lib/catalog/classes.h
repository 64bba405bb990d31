/* SPDX-License-Identifier: Apache-2.0 */
/* Images in classes: by what people say they are, by their folders, or by what this library found. */
#ifndef IMS_CLASSES_H
#define IMS_CLASSES_H

#include "catalog/catalog.h"

/* Labels that this library gives begin with one of these: "cluster:SET/NUMBER", "predicted:LABEL". */
#define IMS_CLUSTER_PREFIX "cluster:"
#define IMS_PREDICTED_PREFIX "predicted:"

/* Classes of images. Zero it before use. */
struct ims_classes {
    char **names;
    size_t count;
    size_t room;
    /* Classes of id i: of[starts[i]] to of[starts[i + 1] - 1]. */
    uint64_t *starts; /* id_count + 1 */
    int32_t *of;
    uint64_t id_count;
};

/* Labels of all images in state OK; those that this library gave are left out. */
imgsim_status ims_classes_by_label(const imgsim_catalog *catalog, struct ims_classes *out);
/* Labels that begin with `prefix`; the names are what follows it. */
imgsim_status
ims_classes_by_prefix(const imgsim_catalog *catalog, const char *prefix, struct ims_classes *out);
/* The name of the folder each image is in. */
imgsim_status ims_classes_by_folder(const imgsim_catalog *catalog, struct ims_classes *out);
/* Labels if any image has one, else folders. */
imgsim_status ims_classes_by_any(const imgsim_catalog *catalog, struct ims_classes *out);
void ims_classes_clear(struct ims_classes *classes);

/* The first class of an id, -1 if it has none. */
static inline int32_t ims_class_of(const struct ims_classes *classes, int64_t id)
{
    return (uint64_t)id < classes->id_count && classes->starts[id] < classes->starts[id + 1]
               ? classes->of[classes->starts[id]]
               : -1;
}

/*
 * The most frequent class in each of `group_count` groups: id i is in groups[i], -1 for none. best[g] is -1 where no id has a class;
 * of equally frequent ones the first.
 */
imgsim_status ims_classes_most_frequent(
    const struct ims_classes *classes,
    const int64_t *ids,
    const int32_t *groups,
    size_t count,
    size_t group_count,
    int32_t *best,
    uint64_t *best_count);

/* Names of the stored sets of clusters, in order of bytes. Zero it before use. */
struct ims_cluster_sets {
    char **names;
    size_t count;
    size_t room;
};

imgsim_status ims_cluster_sets_find(const imgsim_catalog *catalog, struct ims_cluster_sets *out);
void ims_cluster_sets_clear(struct ims_cluster_sets *sets);

#endif
