/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products by OpenBLAS, and the number of its threads. */
#include "linalg/linalg.h"

#include <assert.h>
#include <cblas.h>
#include <limits.h>

#define BLAS_THREADS_MAX 1024

imgsim_status imgsim_set_blas_threads(uint32_t thread_count)
{
    if (thread_count == 0 || thread_count > BLAS_THREADS_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u threads, expected 1 to %d", thread_count,
            BLAS_THREADS_MAX);
    openblas_set_num_threads((int)thread_count);
    return IMGSIM_OK;
}

/* Dimensions come from rows in memory, whose tiles are small; BLAS counts in int. */
static int blas_int(size_t value)
{
    assert(value <= INT_MAX);
    return (int)value;
}

/* A stride of 0 columns is refused by BLAS even where nothing is to be done. */
static int blas_stride(size_t stride)
{
    return stride > 0 ? blas_int(stride) : 1;
}

void ims_gemm_nt(
    size_t m,
    size_t n,
    size_t k,
    const float *a,
    size_t a_stride,
    const float *b,
    size_t b_stride,
    float *out,
    size_t out_stride)
{
    cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, blas_int(m), blas_int(n), blas_int(k), 1.0f, a,
        blas_stride(a_stride), b, blas_stride(b_stride), 0.0f, out, blas_stride(out_stride));
}

void ims_gemm_tn(
    size_t m,
    size_t n,
    size_t k,
    const float *a,
    size_t a_stride,
    const float *b,
    size_t b_stride,
    float *out,
    size_t out_stride)
{
    cblas_sgemm(
        CblasRowMajor, CblasTrans, CblasNoTrans, blas_int(m), blas_int(n), blas_int(k), 1.0f, a,
        blas_stride(a_stride), b, blas_stride(b_stride), 0.0f, out, blas_stride(out_stride));
}

void ims_syrk_t(
    bool below,
    size_t n,
    size_t k,
    const float *a,
    size_t a_stride,
    float *out,
    size_t out_stride)
{
    cblas_ssyrk(
        CblasRowMajor, below ? CblasLower : CblasUpper, CblasTrans, blas_int(n), blas_int(k), 1.0f,
        a, blas_stride(a_stride), 0.0f, out, blas_stride(out_stride));
}
