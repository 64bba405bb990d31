/* SPDX-License-Identifier: Apache-2.0 */
/* What other rooms of the library may do with an index beyond the public header. */
#ifndef IMS_INDEX_H
#define IMS_INDEX_H

#include <imgsim/index.h>

#include "core/status.h"
#include "core/topk.h"

/*
 * An exact index over rows that stay the caller's (a mapped matrix): row i has id i. Only ids whose bit is set in `present`
 * (bit_count bits) are in. Rows: float or bits by the metric; they must outlive the index.
 */
imgsim_status ims_index_new_borrowed(
    const imgsim_index_options *options,
    const void *rows,
    size_t row_count,
    const uint8_t *present,
    uint64_t bit_count,
    imgsim_index **out_index);

/*
 * The same over mapped sparse histograms. With `normalize` each histogram counts as divided by its sum: its values are the
 * floats nearest to count / sum.
 */
imgsim_status ims_index_new_borrowed_sparse(
    const imgsim_index_options *options,
    const uint64_t *offsets,
    const uint32_t *lengths,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t row_count,
    const uint8_t *present,
    uint64_t bit_count,
    int normalize,
    imgsim_index **out_index);

/* Whether a row has this id: 1 or 0. */
int ims_index_has_id(const imgsim_index *index, int64_t id);

/*
 * Metric *values* (not distances), in double precision by lib/simd/reference.h, of one query against given ids, which must be in
 * the index. The query is one row of the index's row type (histograms: floats).
 */
imgsim_status ims_index_values(
    const imgsim_index *index,
    const void *query,
    const int64_t *ids,
    size_t id_count,
    double *out_values);

/* Metric values of one query against every row of the index, at out_values[id]; other entries are left alone. For fusion. */
imgsim_status ims_index_values_all(
    const imgsim_index *index,
    const void *query,
    uint32_t threads,
    double *out_values,
    size_t value_count);

/* Whether the index holds a row of this id: 1 or 0. */
int ims_index_has_id(const imgsim_index *index, int64_t id);

#endif
