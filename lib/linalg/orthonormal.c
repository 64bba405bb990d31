/* SPDX-License-Identifier: Apache-2.0 */
/* Orthonormal bases by LAPACK's QR factorisation. */
#include "linalg/linalg.h"

#include "core/memory.h"

#include <assert.h>
#include <lapacke.h>
#include <limits.h>

imgsim_status ims_orthonormalize(float *rows, size_t count, size_t d)
{
    const size_t size = count * d;
    double *matrix = ims_alloc_array(size, sizeof(*matrix));
    double *factors = ims_alloc_array(count, sizeof(*factors));
    imgsim_status status = IMGSIM_OK;
    lapack_int info;

    assert(count >= 1 && count <= d && d <= INT_MAX);
    if (matrix == NULL || factors == NULL) {
        status = ims_fail_memory(size * sizeof(*matrix));
        goto done;
    }
    /* Our rows are the columns of a d x count matrix stored by columns. */
    for (size_t i = 0; i < size; i++)
        matrix[i] = rows[i];
    info = LAPACKE_dgeqrf(
        LAPACK_COL_MAJOR, (lapack_int)d, (lapack_int)count, matrix, (lapack_int)d, factors);
    if (info == 0)
        info = LAPACKE_dorgqr(
            LAPACK_COL_MAJOR, (lapack_int)d, (lapack_int)count, (lapack_int)count, matrix,
            (lapack_int)d, factors);
    if (info != 0) {
        status = info == LAPACK_WORK_MEMORY_ERROR
                     ? ims_fail_memory(size * sizeof(*matrix))
                     : ims_fail(IMGSIM_ERROR_INTERNAL, "LAPACK dgeqrf: info %ld", (long)info);
        goto done;
    }
    for (size_t i = 0; i < size; i++)
        rows[i] = (float)matrix[i];

done:
    ims_free(matrix);
    ims_free(factors);
    return status;
}
