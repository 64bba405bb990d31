/* SPDX-License-Identifier: Apache-2.0 */
/* Float scores of sparse histogram rows: the kernels run over a row's entries, the query's sums stand for the rest. */
#include "index/index_private.h"

#include "simd/kernels.h"

#include <float.h>
#include <math.h>

/* Sum of the query's values that chi-square counts; the others were set to 0. */
static double counted_sum(const imgsim_index *index, const struct ims_prepared_query *query)
{
    double sum = 0;

    for (uint32_t bin = 0; bin < index->dimension; bin++)
        sum += query->scan[bin];
    return sum;
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
    const struct ims_kernels *kernels = ims_kernels();
    const struct ims_rows *rows = &index->rows;
    const double rest =
        index->metric == IMGSIM_METRIC_CHI_SQUARE ? counted_sum(index, query) : query->sum;

    for (size_t i = 0; i < count; i++) {
        const uint16_t *bins = rows->bins + rows->offsets[slots[i]];
        const uint32_t *counts = rows->counts + rows->offsets[slots[i]];
        const size_t length = rows->lengths[slots[i]];
        const float scale = (float)ims_rows_scale(rows, slots[i]);

        switch (index->metric) {
        case IMGSIM_METRIC_INTERSECTION:
            raw[i] = kernels->sparse_intersection(query->scan, bins, counts, length, scale);
            break;
        case IMGSIM_METRIC_BHATTACHARYYA:
            raw[i] = kernels->sparse_sqrt_dot(query->scan, bins, counts, length, scale);
            break;
        case IMGSIM_METRIC_L1:
            raw[i] =
                (float)(rest + kernels->sparse_l1_part(query->scan, bins, counts, length, scale));
            break;
        case IMGSIM_METRIC_CHI_SQUARE:
            raw[i] =
                (float)(rest + kernels->sparse_chi_part(query->scan, bins, counts, length, scale));
            break;
        default: /* correlation */
            raw[i] = kernels->sparse_dot(query->scan, bins, counts, length, scale);
            break;
        }
    }
}
