/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sparse histogram rows: only bins that are not zero are kept; what comes from files is checked
 * before use.
 */
#include "catalog/catalog_internal.h"

#include "core/memory.h"
#include "core/npy.h"

#include <string.h>

/* Whether eight counts are all 0, as most are. */
static bool eight_zeros(const uint32_t *row)
{
    uint64_t pairs[4];

    memcpy(pairs, row, sizeof(pairs));
    return (pairs[0] | pairs[1] | pairs[2] | pairs[3]) == 0;
}

uint32_t
ims_sparse_encode(const uint32_t *row, uint32_t dimension, uint16_t *out_bins, uint32_t *out_counts)
{
    uint32_t length = 0;

    for (uint32_t bin = 0, end; bin < dimension; bin = end) {
        end = dimension - bin < 8 ? dimension : bin + 8;
        if (end - bin == 8 && eight_zeros(row + bin))
            continue;
        for (uint32_t i = bin; i < end; i++) {
            out_bins[length] = (uint16_t)i;
            out_counts[length] = row[i];
            length += row[i] != 0;
        }
    }
    return length;
}

imgsim_status ims_sparse_attach(imgsim_features *features)
{
    const uint8_t *offsets = features->maps[IMS_SPARSE_OFFSETS].data + IMS_NPY_DATA;
    const uint8_t *lengths = features->maps[IMS_SPARSE_LENGTHS].data + IMS_NPY_DATA;
    size_t rows = (size_t)features->row_count;

    if ((features->offsets = ims_alloc_array(rows, sizeof(*features->offsets))) == NULL ||
        (features->lengths = ims_alloc_array(rows, sizeof(*features->lengths))) == NULL)
        return ims_fail_memory(rows * sizeof(*features->offsets));
    memcpy(features->offsets, offsets, rows * sizeof(*features->offsets));
    memcpy(features->lengths, lengths, rows * sizeof(*features->lengths));
    if (features->set.row_type == IMGSIM_ROW_BYTES) {
        features->bytes = features->maps[IMS_BYTES_DATA].data + IMS_NPY_DATA;
    } else {
        features->bins = (const uint16_t *)(features->maps[IMS_SPARSE_BINS].data + IMS_NPY_DATA);
        features->counts =
            (const uint32_t *)(features->maps[IMS_SPARSE_COUNTS].data + IMS_NPY_DATA);
    }
    ims_mapping_clear(&features->maps[IMS_SPARSE_OFFSETS]);
    ims_mapping_clear(&features->maps[IMS_SPARSE_LENGTHS]);

    for (size_t id = 0; id < rows; id++) {
        if (!ims_bitset_test(&features->present, (int64_t)id)) {
            features->offsets[id] = 0;
            features->lengths[id] = 0;
        } else if (
            features->lengths[id] > features->set.dimension ||
            features->offsets[id] > features->set.entries ||
            features->lengths[id] > features->set.entries - features->offsets[id]) {
            return ims_fail(
                IMGSIM_ERROR_CORRUPT,
                "feature \"%s\": the row of id %zu lies outside the %llu entries",
                features->set.name, id, (unsigned long long)features->set.entries);
        }
    }
    return IMGSIM_OK;
}

bool ims_sparse_row_sound(const imgsim_features *features, int64_t id)
{
    const uint16_t *bins = features->bins + features->offsets[id];
    uint32_t length = features->lengths[id];
    uint32_t wrong = 0;

    for (uint32_t i = 1; i < length; i++)
        wrong |= (uint32_t)(bins[i - 1] >= bins[i]);
    return wrong == 0 && (length == 0 || bins[length - 1] < features->set.dimension);
}

imgsim_status ims_sparse_check(imgsim_features *features)
{
    int64_t damaged = -1;

    pthread_mutex_lock(&features->mutex);
    if (features->sparse_checked == 0) {
        for (uint64_t id = 0; id < features->row_count && damaged < 0; id++)
            if (!ims_sparse_row_sound(features, (int64_t)id))
                damaged = (int64_t)id;
        features->sparse_checked = damaged < 0 ? 1 : -1;
        features->damaged_id = damaged;
    }
    damaged = features->damaged_id;
    pthread_mutex_unlock(&features->mutex);
    return damaged < 0
               ? IMGSIM_OK
               : ims_fail(
                     IMGSIM_ERROR_CORRUPT, "feature \"%s\": the histogram of id %lld is damaged",
                     features->set.name, (long long)damaged);
}

void ims_sparse_decode(const imgsim_features *features, int64_t id, uint32_t *out_row)
{
    const uint16_t *bins = features->bins + features->offsets[id];
    const uint32_t *counts = features->counts + features->offsets[id];

    memset(out_row, 0, (size_t)features->set.dimension * sizeof(*out_row));
    for (uint32_t i = 0; i < features->lengths[id]; i++)
        out_row[bins[i]] = counts[i];
}
