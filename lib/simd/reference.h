/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of metrics in double precision, the same bits on every processor: plain C with a fixed order of additions, compiled
 * without contraction. The public imgsim_compare() and the last step of every exact search use these.
 */
#ifndef IMS_SIMD_REFERENCE_H
#define IMS_SIMD_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

double ims_exact_dot(const float *a, const float *b, size_t count);
double ims_exact_l2_squared(const float *a, const float *b, size_t count);
double ims_exact_l1(const float *a, const float *b, size_t count);
double ims_exact_sum(const float *a, size_t count);
/* Cosine; 0 if either row is all zeros; in [-1, 1]. */
double ims_exact_cosine(const float *a, const float *b, size_t count);
/* The same from sums known before: a . b, a . a and b . b. */
double ims_exact_cosine_of(double dot, double a_squared, double b_squared);
/* The four of OpenCV's compareHist, its conventions for empty and constant histograms included. */
double ims_exact_correlation(const float *a, const float *b, size_t count);
double ims_exact_chi_square(const float *a, const float *b, size_t count);
double ims_exact_intersection(const float *a, const float *b, size_t count);
double ims_exact_bhattacharyya(const float *a, const float *b, size_t count);
/* The same and L1 for exact counts. */
double ims_exact_correlation_u32(const uint32_t *a, const uint32_t *b, size_t count);
double ims_exact_chi_square_u32(const uint32_t *a, const uint32_t *b, size_t count);
double ims_exact_intersection_u32(const uint32_t *a, const uint32_t *b, size_t count);
double ims_exact_bhattacharyya_u32(const uint32_t *a, const uint32_t *b, size_t count);
double ims_exact_l1_u32(const uint32_t *a, const uint32_t *b, size_t count);

#endif
