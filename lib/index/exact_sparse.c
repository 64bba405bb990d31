/* SPDX-License-Identifier: Apache-2.0 */
/* Float scores of sparse histogram rows: the kernels run over a row's entries, the query's sums stand for the rest. */
#include "index/index_private.h"

#include "simd/kernels.h"

#include <float.h>
#include <math.h>

/* Entries whose counts are unpacked at a time. */
#define UNPACK 1024

typedef float (*sparse_kernel)(
    const float *query,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t count,
    float scale);

static sparse_kernel kernel_of(int32_t metric)
{
    const struct ims_kernels *kernels = ims_kernels();

    switch (metric) {
    case IMGSIM_METRIC_INTERSECTION:
        return kernels->sparse_intersection;
    case IMGSIM_METRIC_BHATTACHARYYA:
        return kernels->sparse_sqrt_dot;
    case IMGSIM_METRIC_L1:
        return kernels->sparse_l1_part;
    case IMGSIM_METRIC_CHI_SQUARE:
        return kernels->sparse_chi_part;
    default: /* correlation */
        return kernels->sparse_dot;
    }
}

/*
 * Over the bins where the row is empty, the terms depend on the query only: q for L1, q^2 / q = q for chi-square, 0 for the
 * others. So the kernels give the sum over the entries of (term - q), and the query's sum is added.
 */
void ims_sparse_scores(
    const imgsim_index *index,
    const struct ims_prepared_query *query,
    const uint32_t *slots,
    size_t count,
    float *raw)
{
    const struct ims_rows *rows = &index->rows;
    const sparse_kernel kernel = kernel_of(index->metric);
    const double rest = index->metric == IMGSIM_METRIC_CHI_SQUARE ? query->counted
                        : index->metric == IMGSIM_METRIC_L1       ? query->sum
                                                                  : 0;
    uint32_t room[UNPACK];

    for (size_t i = 0; i < count; i++) {
        const size_t first = rows->offsets[slots[i]], length = rows->lengths[slots[i]];
        const float scale = (float)ims_rows_scale(rows, slots[i]);
        double sum = rest;

        for (size_t start = 0; start < length; start += UNPACK) {
            const size_t used = length - start < UNPACK ? length - start : UNPACK;
            const uint32_t *counts = ims_rows_counts(rows, first + start, used, room);

            sum += (double)kernel(query->scan, rows->bins + first + start, counts, used, scale);
        }
        raw[i] = (float)sum;
    }
}
