/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products against plain loops in double precision. */
#include "check.h"

#include "core/rng.h"
#include "linalg/linalg.h"

#define SIDE 40
#define STRIDE 50
#define UNTOUCHED 1234.5f

static float a[STRIDE * STRIDE], b[STRIDE * STRIDE], out[STRIDE * STRIDE];

static void fill(struct ims_rng *rng, float *values)
{
    for (int i = 0; i < STRIDE * STRIDE; i++)
        values[i] = (float)ims_rng_normal(rng);
}

enum form { NT, TN };

/*
 * Entry (i, j) of the product by its definition, and the sum of the magnitudes, which bounds the
 * rounding.
 */
static double entry(enum form form, size_t i, size_t j, size_t k, double *out_magnitude)
{
    double sum = 0.0;

    *out_magnitude = 0.0;
    for (size_t c = 0; c < k; c++) {
        double x = form == TN ? a[c * STRIDE + i] : a[i * STRIDE + c];
        double y = form == NT ? b[j * STRIDE + c] : b[c * STRIDE + j];

        sum += x * y;
        *out_magnitude += fabs(x * y);
    }
    return sum;
}

static void check_product(struct ims_rng *rng, enum form form, size_t m, size_t n, size_t k)
{
    fill(rng, a);
    fill(rng, b);
    for (int i = 0; i < STRIDE * STRIDE; i++)
        out[i] = UNTOUCHED;
    if (form == NT)
        ims_gemm_nt(m, n, k, a, STRIDE, b, STRIDE, out, STRIDE);
    else
        ims_gemm_tn(m, n, k, a, STRIDE, b, STRIDE, out, STRIDE);
    for (size_t i = 0; i < STRIDE; i++) {
        for (size_t j = 0; j < STRIDE; j++) {
            double magnitude, expected;

            if (i >= m || j >= n) {
                CHECK(out[i * STRIDE + j] == UNTOUCHED);
                continue;
            }
            expected = entry(form, i, j, k, &magnitude);
            CHECK_NEAR(out[i * STRIDE + j], expected, 1.2e-7 * (double)(k + 1) * magnitude);
        }
    }
}

static void products_agree_with_their_definition(void)
{
    static const size_t sizes[] = {0, 1, 2, 3, 7, 16, 17, 33, SIDE};
    const size_t count = sizeof(sizes) / sizeof(sizes[0]);
    struct ims_rng rng;

    ims_rng_init(&rng, 1);
    for (size_t m = 0; m < count; m++)
        for (size_t n = 0; n < count; n++)
            for (size_t k = 0; k < count; k++)
                for (enum form form = NT; form <= TN; form++)
                    check_product(&rng, form, sizes[m], sizes[n], sizes[k]);
}

static void blas_threads_have_limits(void)
{
    CHECK_FAILS(imgsim_set_blas_threads(0), IMGSIM_ERROR_INVALID_ARGUMENT, "1 to");
    CHECK_FAILS(imgsim_set_blas_threads(5000), IMGSIM_ERROR_INVALID_ARGUMENT, "5000");
    CHECK_OK(imgsim_set_blas_threads(1));
}

/* An orthonormal basis of what the first rows span, for every number of first rows. */
static void rows_become_orthonormal(void)
{
    enum { COUNT = 7, D = 31 };
    float rows[COUNT * D], basis[COUNT * D];
    struct ims_rng rng;

    ims_rng_init(&rng, 3);
    for (int i = 0; i < COUNT * D; i++)
        basis[i] = rows[i] = (float)(ims_rng_normal(&rng) * (i < D ? 1e4 : 1e-3));
    CHECK_OK(ims_orthonormalize(basis, COUNT, D));
    for (int i = 0; i < COUNT; i++) {
        double left = 0, whole = 0;

        for (int j = 0; j < COUNT; j++) {
            double dot = 0;

            for (int c = 0; c < D; c++)
                dot += (double)basis[i * D + c] * basis[j * D + c];
            CHECK_NEAR(dot, i == j, 1e-6);
        }
        for (int c = 0; c < D; c++) {
            double inside = 0;

            for (int j = 0; j <= i; j++) {
                double dot = 0;

                for (int e = 0; e < D; e++)
                    dot += (double)basis[j * D + e] * rows[i * D + e];
                inside += dot * basis[j * D + c];
            }
            left += (rows[i * D + c] - inside) * (rows[i * D + c] - inside);
            whole += (double)rows[i * D + c] * rows[i * D + c];
        }
        CHECK(left <= 1e-10 * whole);
    }
}

int main(void)
{
    rows_become_orthonormal();
    blas_threads_have_limits();
    products_agree_with_their_definition();
    return 0;
}
