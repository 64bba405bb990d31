/* SPDX-License-Identifier: Apache-2.0 */
/* The only caller of OpenBLAS and LAPACKE: tiled products, Gram matrices, principal axes. */
#ifndef IMS_LINALG_H
#define IMS_LINALG_H

#include "core/status.h"

#include <stdbool.h>

/* All matrices are row-major. BLAS is called once per call, on the calling thread. */

/*
 * out (m x n, row stride out_stride) = a (m x k, stride a_stride) * b (n x k, stride b_stride)
 * transposed
 */
void ims_gemm_nt(
    size_t m,
    size_t n,
    size_t k,
    const float *a,
    size_t a_stride,
    const float *b,
    size_t b_stride,
    float *out,
    size_t out_stride);
/* out (m x n) = a (k x m) transposed * b (k x n) */
void ims_gemm_tn(
    size_t m,
    size_t n,
    size_t k,
    const float *a,
    size_t a_stride,
    const float *b,
    size_t b_stride,
    float *out,
    size_t out_stride);

/*
 * One triangle, the diagonal included, of a (k x n) transposed * a into out (n x n); the other is neither read nor written.
 */
void ims_syrk_t(
    bool below,
    size_t n,
    size_t k,
    const float *a,
    size_t a_stride,
    float *out,
    size_t out_stride);

/*
 * The `count` largest eigenvalues, falling, and their eigenvectors (count x d, a row each, sign:
 * the entry of largest magnitude is positive, the first of equals) of a symmetric matrix given by
 * its lower triangle (d x d), which is destroyed; what lies above the diagonal is neither read nor
 * written. LAPACKE_dsyevr. INTERNAL with LAPACK's number on failure.
 */
imgsim_status ims_eigen_symmetric(
    double *matrix,
    size_t d,
    size_t count,
    double *out_values,
    double *out_vectors);

/*
 * Replace `count` rows of d floats, count <= d, by an orthonormal basis of what they span, whose first i vectors span what the
 * first i rows do (where these are independent). Householder's QR in double precision, LAPACKE_dgeqrf and dorgqr.
 */
imgsim_status ims_orthonormalize(float *rows, size_t count, size_t d);

/*
 * Whether a symmetric matrix given by its lower triangle (d x d), which is destroyed, is positive definite: LAPACKE_dpotrf. What lies
 * above the diagonal is neither read nor written.
 */
bool ims_is_positive_definite(double *matrix, size_t d);

/*
 * Upper factor R with R^T R = matrix (d x d, symmetric positive semi-definite, both triangles
 * given), so that (a-b)^T M (a-b) = |R a - R b|^2. From the eigendecomposition, so that
 * semi-definite is fine. INVALID_ARGUMENT if not symmetric or clearly indefinite.
 */
imgsim_status ims_square_root(const double *matrix, size_t d, float *out_factor);

#endif
