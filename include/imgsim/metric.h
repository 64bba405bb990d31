/* SPDX-License-Identifier: Apache-2.0 */
/* How alike two rows are: the metrics, their values, distances and similarities. */
#ifndef IMGSIM_METRIC_H
#define IMGSIM_METRIC_H

#include <imgsim/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What a row of a feature or an index consists of. Since 0.1.
 */
enum {
    /** dimension x float */
    IMGSIM_ROW_FLOAT32 = 1,
    /** dimension x uint32_t: exact counts of a histogram */
    IMGSIM_ROW_UINT32 = 2,
    /** dimension bits in dimension / 8 bytes; dimension is a multiple of 8 */
    IMGSIM_ROW_BITS = 3,
    /** bytes, as many as each row has, at most dimension: thumbnails. No metric compares them. */
    IMGSIM_ROW_BYTES = 4
};

/**
 * Metrics. Each has three readings (docs/metrics.md has the formulas):
 *
 * - its *value*, the number its literature and peers use;
 * - a *distance*, smaller is nearer, which indexes order by;
 * - a *similarity* in [0, 1], larger is nearer, which fusion adds up.
 *
 * The first row of a pair is the query's, the second the stored one's. Since 0.1.
 */
enum {
    /** The feature's own default. */
    IMGSIM_METRIC_DEFAULT = 0,
    /** value: cosine; distance: 1 - cosine in [0, 2]; similarity: max(0, cosine). Float rows.
     *  A row of zeros has cosine 0 to everything. */
    IMGSIM_METRIC_COSINE = 1,
    /** value: a . b; distance: -a . b; similarity: 1 / (1 + exp(-a . b)). Float rows. */
    IMGSIM_METRIC_INNER_PRODUCT = 2,
    /** value: |a - b|; distance: |a - b|^2; similarity: 1 / (1 + |a - b|). Float rows. */
    IMGSIM_METRIC_L2 = 3,
    /** value = distance: sum |a_i - b_i|; similarity: 1 / (1 + value). Float and histogram rows. */
    IMGSIM_METRIC_L1 = 4,
    /** value = distance: arccos(cosine) in [0, pi]; similarity: 1 - value / pi. Float rows. */
    IMGSIM_METRIC_ANGULAR = 5,
    /** value: sqrt((a - b)^T M (a - b)); distance: its square; similarity: 1 / (1 + value). Float rows. */
    IMGSIM_METRIC_MAHALANOBIS = 6,
    /** value: Pearson's r; distance: 1 - r; similarity: max(0, r). Histogram rows. */
    IMGSIM_METRIC_CORRELATION = 7,
    /** value = distance: sum over a_i > 0 of (a_i - b_i)^2 / a_i (OpenCV's HISTCMP_CHISQR);
     *  similarity: 1 / (1 + value). Histogram rows. */
    IMGSIM_METRIC_CHI_SQUARE = 8,
    /** value: sum min(a_i, b_i); distance: -value; similarity: value, at most 1. Histogram rows. */
    IMGSIM_METRIC_INTERSECTION = 9,
    /** value = distance: sqrt(1 - sum sqrt(a_i b_i) / sqrt(sum a sum b)); similarity: 1 - value.
     *  Histogram rows. */
    IMGSIM_METRIC_BHATTACHARYYA = 10,
    /** value = distance: number of bits that differ; similarity: 1 - value / dimension. Bit rows. */
    IMGSIM_METRIC_HAMMING = 11,
    /** value: |a and b| / |a or b| (1 for two rows of zeros); distance: 1 - value; similarity: value.
     *  Bit rows. */
    IMGSIM_METRIC_JACCARD = 12,
    /** The host's function, imgsim_metric_callback; value = distance. */
    IMGSIM_METRIC_CALLBACK = 13
};

/**
 * The host's metric: distances of one query row to a batch of stored rows.
 *
 * @param query          the query's row, `dimension` values of `row_type`
 * @param rows           row_count rows, one after another
 * @param out_distances  row_count distances to fill, smaller is nearer, no NaN
 *
 * May be called from several threads together unless the calling object uses one thread.
 * Non-zero means failure: the search ends with IMGSIM_ERROR_CALLBACK. Since 0.1.
 */
typedef int32_t (*imgsim_metric_callback)(
    const void *query,
    const void *rows,
    size_t row_count,
    uint32_t dimension,
    int32_t row_type,
    float *out_distances,
    void *user_data);

/** Name of a metric as the command and Python write it ("chi-square"), NULL if unknown. Since 0.1. */
IMGSIM_API const char *imgsim_metric_name(int32_t metric);

/**
 * Metric of a name: "cosine", "inner-product" or "ip", "l2", "l1", "angular", "mahalanobis", "correlation",
 * "chi-square", "intersection", "bhattacharyya", "hamming", "jaccard".
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (unknown name; the text lists the known ones). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_metric_from_name(const char *name, int32_t *out_metric);

/**
 * Value of a metric for one pair of rows, taken as they are: histograms are not normalised here.
 *
 * @param metric     any but DEFAULT, MAHALANOBIS and CALLBACK
 * @param row_type   IMGSIM_ROW_FLOAT32 (vector and histogram metrics), IMGSIM_ROW_UINT32 (histogram
 *                   metrics) or IMGSIM_ROW_BITS (bit metrics)
 * @param a          the query's row
 * @param b          the stored row
 * @param dimension  values, or bits, in each row; at least 1
 * @param out_value  the value; computed in double precision
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (NULL, dimension 0, metric not of this row type)
 *
 * Source of the histogram metrics: OpenCV's compareHist, whose numbers these are. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_compare(
    int32_t metric,
    int32_t row_type,
    const void *a,
    const void *b,
    uint32_t dimension,
    double *out_value);

/**
 * Similarity in [0, 1] of a metric's value. `dimension` matters for HAMMING only. For CALLBACK the
 * similarity is 1 / (1 + max(0, value)).
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (unknown metric, NULL, value is NaN). Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_metric_similarity(int32_t metric, uint32_t dimension, double value, double *out_similarity);

#ifdef __cplusplus
}
#endif

#endif
