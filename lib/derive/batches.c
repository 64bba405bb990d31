/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a feature in batches: runs of ids as they are mapped, scattered ones copied. */
#include "derive/derive_internal.h"

#include "core/memory.h"

#include <string.h>

size_t ims_feature_row_size(const imgsim_features *features)
{
    size_t dimension = imgsim_features_get_dimension(features);

    return imgsim_features_get_row_type(features) == IMGSIM_ROW_BITS ? dimension / 8
                                                                     : dimension * sizeof(float);
}

imgsim_status ims_batches_open(
    struct ims_batches *batches,
    const imgsim_features *features,
    const struct ims_bitset *except,
    size_t bytes)
{
    memset(batches, 0, sizeof(*batches));
    batches->ids = ims_features_present(features);
    batches->except = except;
    batches->rows = imgsim_features_get_rows(features);
    batches->row_size = ims_feature_row_size(features);
    batches->capacity = bytes / batches->row_size > 0 ? bytes / batches->row_size : 1;
    batches->batch_ids = ims_alloc_array(batches->capacity, sizeof(int64_t));
    if (batches->batch_ids == NULL)
        return ims_fail_memory(batches->capacity * sizeof(int64_t));
    return IMGSIM_OK;
}

static bool wanted(const struct ims_batches *batches, int64_t id)
{
    return ims_bitset_test(batches->ids, id) &&
           (batches->except == NULL || !ims_bitset_test(batches->except, id));
}

imgsim_status ims_batches_next(struct ims_batches *batches)
{
    const size_t size = batches->row_size;
    size_t count = 0;

    for (; count < batches->capacity && (uint64_t)batches->next < batches->ids->count;
         batches->next++)
        if (wanted(batches, batches->next))
            batches->batch_ids[count++] = batches->next;
    batches->count = count;
    if (count == 0)
        return IMGSIM_OK;

    /* Without a gap the mapped rows serve as they are. */
    if (batches->batch_ids[count - 1] - batches->batch_ids[0] == (int64_t)count - 1) {
        batches->batch_rows = batches->rows + (size_t)batches->batch_ids[0] * size;
        return IMGSIM_OK;
    }
    if (batches->copy == NULL && (batches->copy = ims_alloc_array(batches->capacity, size)) == NULL)
        return ims_fail_memory(batches->capacity * size);
    for (size_t i = 0; i < count; i++)
        memcpy(
            batches->copy + i * size, batches->rows + (size_t)batches->batch_ids[i] * size, size);
    batches->batch_rows = batches->copy;
    return IMGSIM_OK;
}

uint64_t ims_batches_total(const struct ims_batches *batches)
{
    uint64_t total = 0;

    if (batches->except == NULL)
        return ims_bitset_popcount(batches->ids);
    for (uint64_t id = 0; id < batches->ids->count; id++)
        total += wanted(batches, (int64_t)id);
    return total;
}

void ims_batches_close(struct ims_batches *batches)
{
    ims_free(batches->batch_ids);
    ims_free(batches->copy);
    memset(batches, 0, sizeof(*batches));
}
