/* SPDX-License-Identifier: Apache-2.0 */
/* Predicted labels on their way into the catalog, whoever predicts them. */
#include "derive/derive_internal.h"

#include "core/memory.h"

#include <stdio.h>
#include <string.h>

#define LABEL_SIZE 256

imgsim_status ims_predictions_keep(struct ims_prediction_list *list, int64_t id, int32_t number)
{
    if (!ims_grow((void **)&list->ids, &list->id_room, list->count + 1, sizeof(*list->ids)) ||
        !ims_grow(
            (void **)&list->classes, &list->class_room, list->count + 1, sizeof(*list->classes)))
        return ims_fail_memory((list->count + 1) * sizeof(*list->ids));
    list->ids[list->count] = id;
    list->classes[list->count++] = number;
    return IMGSIM_OK;
}

imgsim_status ims_predictions_store(
    imgsim_catalog *catalog,
    const struct ims_prediction_list *list,
    const char *const *names,
    size_t name_count)
{
    char(*texts)[LABEL_SIZE] = ims_alloc_array(name_count, LABEL_SIZE);
    const char **labels = ims_alloc_array(list->count, sizeof(*labels));
    imgsim_status status;

    if (texts == NULL || labels == NULL) {
        status = ims_fail_memory(list->count * sizeof(*labels));
    } else {
        /* A label that leaves no room for the prefix is cut, at worst inside a character, which is then refused. */
        for (size_t c = 0; c < name_count; c++)
            snprintf(
                texts[c], LABEL_SIZE, IMS_PREDICTED_PREFIX "%.*s",
                (int)(LABEL_SIZE - 1 - strlen(IMS_PREDICTED_PREFIX)), names[c]);
        for (size_t i = 0; i < list->count; i++)
            labels[i] = texts[list->classes[i]];
        status = imgsim_catalog_replace_labels(
            catalog, IMS_PREDICTED_PREFIX, list->ids, labels, list->count);
    }
    ims_free(texts);
    ims_free(labels);
    return status;
}

void ims_predictions_clear(struct ims_prediction_list *list)
{
    ims_free(list->ids);
    ims_free(list->classes);
    memset(list, 0, sizeof(*list));
}
