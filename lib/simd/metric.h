/* SPDX-License-Identifier: Apache-2.0 */
/* What a metric is: its name, the rows it takes, and how value, distance and similarity follow from each other. */
#ifndef IMS_SIMD_METRIC_H
#define IMS_SIMD_METRIC_H

#include <imgsim/metric.h>

#include <stdbool.h>

/* Whether the metric is known and takes rows of this type. MAHALANOBIS: float; CALLBACK: any. UINT32: the histogram metrics. */
bool ims_metric_takes(int32_t metric, int32_t row_type);
/* CORRELATION, CHI_SQUARE, INTERSECTION, BHATTACHARYYA, and L1 when the rows are histograms. */
bool ims_metric_is_histogram(int32_t metric);
/* distance from value, and back (metric.h, the public one, defines both). */
double ims_metric_distance(int32_t metric, double value);
double ims_metric_value(int32_t metric, double distance);
double ims_metric_similarity_of(int32_t metric, uint32_t dimension, double value);
/* Bytes of a row. */
size_t ims_row_size(int32_t row_type, uint32_t dimension);
/* Value of any metric but MAHALANOBIS and CALLBACK; arguments are known to be right. */
double ims_metric_compare(
    int32_t metric,
    int32_t row_type,
    const void *a,
    const void *b,
    uint32_t dimension);

#endif
