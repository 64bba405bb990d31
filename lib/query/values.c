/* SPDX-License-Identifier: Apache-2.0 */
/* Metric values of a query row against stored rows, in double precision. */
#include "query/query.h"

#include "core/memory.h"
#include "index/index.h"
#include "simd/metric.h"

#include <math.h>

/* All rows at once on the query's threads; those of the ids are picked out. */
static imgsim_status values_by_scan(
    imgsim_query *query,
    struct ims_space *space,
    const void *row,
    const int64_t *ids,
    size_t count,
    double *out_values)
{
    imgsim_status status;
    const imgsim_index *index;
    size_t row_count = (size_t)imgsim_features_get_row_count(space->features);
    double *values = NULL;

    if ((status = ims_space_exact(space, &index)) != IMGSIM_OK)
        return status;
    if ((values = ims_alloc_array(row_count, sizeof(*values))) == NULL)
        return ims_fail_memory(row_count * sizeof(*values));
    status = ims_index_values_all(index, row, query->options.threads, values, row_count);
    for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
        out_values[i] = values[ids[i]];
    ims_free(values);
    return status;
}

/* By an index: metrics that need more than a pair of rows. */
static imgsim_status values_by_index(
    struct ims_space *space,
    const void *row,
    const int64_t *ids,
    size_t count,
    double *out_values)
{
    imgsim_status status;
    const imgsim_index *index;

    if ((status = ims_space_exact(space, &index)) != IMGSIM_OK)
        return status;
    return ims_index_values(index, row, ids, count, out_values);
}

/*
 * Pair by pair, straight from the mapped rows: candidates are few, and the index would first look
 * at every row to learn what it keeps about them.
 */
static imgsim_status values_by_pairs(
    const struct ims_space *space,
    const void *row,
    const int64_t *ids,
    size_t count,
    double *out_values)
{
    imgsim_status status = IMGSIM_OK;
    size_t row_size = ims_row_size(space->row_type, space->dimension);
    const uint8_t *rows = imgsim_features_get_rows(space->features);
    bool histogram = space->row_type == IMGSIM_ROW_UINT32;
    int32_t type = space->row_type == IMGSIM_ROW_BITS ? IMGSIM_ROW_BITS : IMGSIM_ROW_FLOAT32;
    uint32_t *counts = NULL;
    float *normal = NULL;

    if (histogram && ((counts = ims_alloc(row_size)) == NULL ||
                      (normal = ims_alloc_array(space->dimension, sizeof(*normal))) == NULL))
        status = ims_fail_memory(row_size);
    for (size_t i = 0; i < count && status == IMGSIM_OK; i++) {
        const void *stored = histogram ? normal : (const void *)(rows + (size_t)ids[i] * row_size);

        if (histogram) {
            status = imgsim_features_read(space->features, &ids[i], 1, counts, row_size);
            if (status != IMGSIM_OK)
                break;
            ims_normalise_counts(counts, space->dimension, normal);
        }
        out_values[i] = ims_metric_compare(space->metric, type, row, stored, space->dimension);
    }
    ims_free(counts);
    ims_free(normal);
    return status;
}

imgsim_status ims_space_values(
    imgsim_query *query,
    struct ims_space *space,
    const void *row,
    const int64_t *ids,
    size_t count,
    bool all,
    double *out_values)
{
    imgsim_status status;
    bool callback = space->metric == IMGSIM_METRIC_CALLBACK;

    if (count == 0)
        return IMGSIM_OK;
    if (all)
        status = values_by_scan(query, space, row, ids, count, out_values);
    else if (callback || space->metric == IMGSIM_METRIC_MAHALANOBIS)
        status = values_by_index(space, row, ids, count, out_values);
    else
        status = values_by_pairs(space, row, ids, count, out_values);

    for (size_t i = 0; callback && i < count && status == IMGSIM_OK; i++)
        if (isnan(out_values[i]))
            status = ims_fail(
                IMGSIM_ERROR_CALLBACK, "the metric of channel \"%s\" returned NaN", space->name);
    return status;
}
