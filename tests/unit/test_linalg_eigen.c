/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eigenvectors are orthonormal, belong to their values and span what they should; square roots
 * square back.
 */
#include "check.h"

#include "core/memory.h"
#include "core/rng.h"
#include "linalg/linalg.h"

#define SIDE_MAX 60
#define UNTOUCHED 4321.5

static double matrix[SIDE_MAX * SIDE_MAX], work[SIDE_MAX * SIDE_MAX];
static double values[SIDE_MAX], vectors[SIDE_MAX * SIDE_MAX];

/* matrix = G^T G with G of `rank` rows: positive semi-definite. */
static void make_matrix(struct ims_rng *rng, size_t d, size_t rank)
{
    static double g[SIDE_MAX * SIDE_MAX];

    for (size_t i = 0; i < rank * d; i++)
        g[i] = ims_rng_normal(rng);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) {
            matrix[i * d + j] = 0.0;
            for (size_t r = 0; r < rank; r++)
                matrix[i * d + j] += g[r * d + i] * g[r * d + j];
        }
}

static double dot(const double *x, const double *y, size_t d)
{
    double sum = 0.0;

    for (size_t i = 0; i < d; i++)
        sum += x[i] * y[i];
    return sum;
}

static double trace(size_t d)
{
    double sum = 0.0;

    for (size_t i = 0; i < d; i++)
        sum += matrix[i * d + i];
    return sum;
}

static void check_pairs(size_t d, size_t count)
{
    const double scale = trace(d) + 1.0;

    for (size_t i = 0; i < count; i++) {
        const double *vector = vectors + i * d;
        size_t largest = 0;

        CHECK(i == 0 || values[i] <= values[i - 1]);
        for (size_t row = 0; row < d; row++) {
            CHECK_NEAR(dot(matrix + row * d, vector, d), values[i] * vector[row], 1e-12 * scale);
            if (fabs(vector[row]) > fabs(vector[largest]))
                largest = row;
        }
        CHECK(vector[largest] > 0.0);
        for (size_t j = 0; j <= i; j++)
            CHECK_NEAR(dot(vector, vectors + j * d, d), i == j ? 1.0 : 0.0, 1e-12);
    }
}

static void pairs_are_orthonormal_and_belong_together(void)
{
    struct ims_rng rng;

    ims_rng_init(&rng, 1);
    for (size_t d = 1; d <= SIDE_MAX; d += d < 8 ? 1 : 13) {
        for (size_t rank = 0; rank <= d; rank += d < 8 ? 1 : 11) {
            for (size_t count = 1; count <= d; count += d < 8 ? 1 : 9) {
                make_matrix(&rng, d, rank);
                for (size_t i = 0; i < d; i++)
                    for (size_t j = 0; j < d; j++)
                        work[i * d + j] = j > i ? UNTOUCHED : matrix[i * d + j];
                CHECK_OK(ims_eigen_symmetric(work, d, count, values, vectors));
                check_pairs(d, count);
                for (size_t i = 0; i < d; i++)
                    for (size_t j = i + 1; j < d; j++)
                        CHECK(work[i * d + j] == UNTOUCHED);
            }
            CHECK_OK(ims_eigen_symmetric(matrix, d, d, values, vectors));
            if (rank < d)
                CHECK_NEAR(values[rank], 0.0, 1e-9);
        }
    }
}

static void a_known_matrix_has_its_known_values(void)
{
    /* The second difference matrix: eigenvalues 2 - 2 cos(pi k / (d + 1)). */
    const size_t d = 20;

    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            matrix[i * d + j] = i == j ? 2.0 : (i + 1 == j || j + 1 == i) ? -1.0 : 0.0;
    memcpy(work, matrix, sizeof(work));
    CHECK_OK(ims_eigen_symmetric(work, d, 5, values, vectors));
    for (size_t k = 0; k < 5; k++)
        CHECK_NEAR(values[k], 2.0 - 2.0 * cos(M_PI * (double)(d - k) / (double)(d + 1)), 1e-13);
    check_pairs(d, 5);
}

static void running_out_of_memory_is_reported(void)
{
    static double small[4] = {2.0, 0.0, 1.0, 2.0};

    for (uint64_t n = 1; n <= 4; n++) {
        ims_memory_fail_at(n);
        CHECK_FAILS(
            ims_eigen_symmetric(small, 2, 1, values, vectors), IMGSIM_ERROR_OUT_OF_MEMORY,
            "memory");
    }
    ims_memory_fail_at(0);
    CHECK_OK(ims_eigen_symmetric(small, 2, 1, values, vectors));
    CHECK_NEAR(values[0], 3.0, 1e-14);
}

static void square_roots_are_triangular_and_square_back(void)
{
    static float root[SIDE_MAX * SIDE_MAX];
    struct ims_rng rng;

    ims_rng_init(&rng, 2);
    for (size_t d = 1; d <= 20; d++) {
        for (size_t rank = 0; rank <= d; rank++) {
            double scale;

            make_matrix(&rng, d, rank);
            scale = trace(d) + 1.0;
            CHECK_OK(ims_square_root(matrix, d, root));
            for (size_t i = 0; i < d; i++) {
                for (size_t j = 0; j < d; j++) {
                    double sum = 0.0;

                    for (size_t k = 0; k < d; k++)
                        sum += (double)root[k * d + i] * root[k * d + j];
                    CHECK_NEAR(sum, matrix[i * d + j], 1e-6 * scale);
                    if (j < i)
                        CHECK(root[i * d + j] == 0.0f);
                }
            }
        }
    }
}

static void matrices_without_root_are_refused(void)
{
    static const double indefinite[4] = {1.0, 2.0, 2.0, 1.0};
    static const double asymmetric[4] = {2.0, 1.0, 0.5, 2.0};
    static const double infinite[4] = {1.0, 0.0, 0.0, INFINITY};
    float root[4];

    CHECK_FAILS(ims_square_root(indefinite, 2, root), IMGSIM_ERROR_INVALID_ARGUMENT, "-1");
    CHECK_FAILS(
        ims_square_root(asymmetric, 2, root), IMGSIM_ERROR_INVALID_ARGUMENT, "not symmetric");
    CHECK_FAILS(ims_square_root(infinite, 2, root), IMGSIM_ERROR_INVALID_ARGUMENT, "finite");
    CHECK_FAILS(ims_square_root(indefinite, 0, root), IMGSIM_ERROR_INVALID_ARGUMENT, "0 rows");
}

int main(void)
{
    pairs_are_orthonormal_and_belong_together();
    a_known_matrix_has_its_known_values();
    running_out_of_memory_is_reported();
    square_roots_are_triangular_and_square_back();
    matrices_without_root_are_refused();
    return 0;
}
