/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCA against covariances and power iterations in double precision, and the same bits however it is
 * called.
 */
#include "check.h"

#include "core/memory.h"
#include "core/rng.h"

#include <imgsim/projector.h>

/*
 * Rows with `rank` hidden directions of falling strength around an offset, and a little noise of
 * its own.
 */
static float *make_rows(uint64_t seed, size_t n, size_t d, size_t rank, double offset, double noise)
{
    struct ims_rng rng;
    float *rows = malloc(n * d * sizeof(float));
    double *directions = malloc(rank * d * sizeof(double));

    CHECK(rows != NULL && directions != NULL);
    ims_rng_init(&rng, seed);
    for (size_t i = 0; i < rank * d; i++)
        directions[i] = ims_rng_normal(&rng);
    for (size_t row = 0; row < n; row++) {
        double values[1024] = {0};

        for (size_t r = 0; r < rank; r++) {
            double strength = ims_rng_normal(&rng) * pow(0.7, (double)r);

            for (size_t i = 0; i < d; i++)
                values[i] += strength * directions[r * d + i];
        }
        for (size_t i = 0; i < d; i++)
            rows[row * d + i] = (float)(values[i] + offset + noise * ims_rng_normal(&rng));
    }
    free(directions);
    return rows;
}

static imgsim_projector *new_projector(uint32_t d, uint32_t m, uint32_t threads)
{
    imgsim_projector_options options;
    imgsim_projector *projector;

    CHECK_OK(imgsim_projector_options_init(&options, sizeof(options)));
    options.threads = threads;
    CHECK_OK(imgsim_projector_new(d, m, &options, &projector));
    return projector;
}

static imgsim_projector *fit(const float *rows, size_t n, uint32_t d, uint32_t m, uint32_t threads)
{
    imgsim_projector *projector = new_projector(d, m, threads);

    CHECK_OK(imgsim_projector_add(projector, rows, n));
    CHECK_OK(imgsim_projector_train(projector));
    return projector;
}

/* Mean and covariance by their definitions. */
static double *covariance_of(const float *rows, size_t n, size_t d, double *mean)
{
    double *covariance = calloc(d * d, sizeof(double));

    CHECK(covariance != NULL);
    for (size_t i = 0; i < d; i++) {
        mean[i] = 0.0;
        for (size_t row = 0; row < n; row++)
            mean[i] += rows[row * d + i];
        mean[i] /= (double)n;
    }
    for (size_t row = 0; row < n; row++)
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++)
                covariance[i * d + j] += ((double)rows[row * d + i] - mean[i]) *
                                         ((double)rows[row * d + j] - mean[j]) / (double)(n - 1);
    return covariance;
}

/* Largest eigenpair by power iteration; the matrix is then deflated by it. */
static double next_pair(double *matrix, size_t d, double *vector)
{
    double value = 0.0;

    for (size_t i = 0; i < d; i++)
        vector[i] = 1.0 / (1.0 + (double)i);
    for (int round = 0; round < 2000; round++) {
        double product[1024], length = 0.0;

        for (size_t i = 0; i < d; i++) {
            product[i] = 0.0;
            for (size_t j = 0; j < d; j++)
                product[i] += matrix[i * d + j] * vector[j];
            length += product[i] * product[i];
        }
        value = sqrt(length);
        for (size_t i = 0; i < d; i++)
            vector[i] = value > 0.0 ? product[i] / value : 0.0;
    }
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            matrix[i * d + j] -= value * vector[i] * vector[j];
    return value;
}

/* Mean, total variance, variances and axes of a fit agree with those found by power iteration. */
static void check_against_power_iteration(size_t n, size_t d, size_t m, double offset)
{
    float *rows = make_rows(n + d, n, d, m + 2, offset, 0.01);
    imgsim_projector *projector = fit(rows, n, (uint32_t)d, (uint32_t)m, 2);
    const float *axes = imgsim_projector_get_axes(projector);
    double mean[1024], vector[1024], total = 0.0, first = 0.0;
    double *covariance = covariance_of(rows, n, d, mean);

    CHECK_EQUAL(imgsim_projector_get_row_count(projector), n);
    for (size_t i = 0; i < d; i++) {
        CHECK_NEAR(imgsim_projector_get_mean(projector)[i], mean[i], 1e-6 * (1.0 + fabs(offset)));
        total += covariance[i * d + i];
    }
    CHECK_NEAR(imgsim_projector_get_total_variance(projector), total, 1e-5 * total);
    for (size_t c = 0; c < m; c++) {
        double value = next_pair(covariance, d, vector);
        double cosine = 0.0;
        size_t largest = 0;

        if (c == 0)
            first = value;
        CHECK_NEAR(
            imgsim_projector_get_variances(projector)[c], value, 1e-5 * value + 1e-7 * first);
        for (size_t i = 0; i < d; i++) {
            cosine += vector[i] * axes[c * d + i];
            if (fabsf(axes[c * d + i]) > fabsf(axes[c * d + largest]))
                largest = i;
        }
        CHECK_NEAR(fabs(cosine), 1.0, 1e-5);
        CHECK(axes[c * d + largest] > 0.0f);
    }
    imgsim_projector_free(projector);
    free(covariance);
    free(rows);
}

static void fits_agree_with_power_iteration(void)
{
    check_against_power_iteration(500, 30, 5, 0.0);
    check_against_power_iteration(3000, 17, 4, 3.0);
    check_against_power_iteration(300, 150, 6, -1.0);
    check_against_power_iteration(2500, 140, 3, 0.5);
}

static void a_huge_offset_costs_no_digits(void)
{
    check_against_power_iteration(3000, 20, 4, 1e4);
}

static void axes_are_orthonormal(void)
{
    const size_t d = 200, m = 60;
    float *rows = make_rows(5, 2600, d, 80, 1.0, 0.1);
    imgsim_projector *projector = fit(rows, 2600, (uint32_t)d, (uint32_t)m, 3);
    const float *axes = imgsim_projector_get_axes(projector);

    for (size_t a = 0; a < m; a++)
        for (size_t b = 0; b <= a; b++) {
            double sum = 0.0;

            for (size_t i = 0; i < d; i++)
                sum += (double)axes[a * d + i] * axes[b * d + i];
            CHECK_NEAR(sum, a == b ? 1.0 : 0.0, 1e-6);
        }
    imgsim_projector_free(projector);
    free(rows);
}

static void all_components_reconstruct_the_rows(void)
{
    enum { N = 700, D = 40 };
    float *rows = make_rows(6, N, D, 10, 2.0, 0.3);
    imgsim_projector *projector = fit(rows, N, D, D, 2);
    const float *axes = imgsim_projector_get_axes(projector);
    const float *mean = imgsim_projector_get_mean(projector);
    float *projected = malloc(N * D * sizeof(float));
    double squares[D] = {0};

    CHECK(projected != NULL);
    CHECK_OK(imgsim_projector_transform(projector, rows, N, projected));
    for (size_t row = 0; row < N; row++)
        for (size_t i = 0; i < D; i++) {
            double value = mean[i];

            for (size_t c = 0; c < D; c++)
                value += (double)projected[row * D + c] * axes[c * D + i];
            CHECK_NEAR(value, rows[row * D + i], 2e-5);
            squares[i] += (double)projected[row * D + i] * projected[row * D + i];
        }
    for (size_t c = 0; c < D; c++) /* the variance along an axis is that of the projections */
        CHECK_NEAR(
            squares[c] / (N - 1), imgsim_projector_get_variances(projector)[c],
            1e-4 * squares[c] / (N - 1) + 1e-6);
    imgsim_projector_free(projector);
    free(projected);
    free(rows);
}

static void few_directions_leave_the_other_variances_at_zero(void)
{
    enum { N = 400, D = 50, RANK = 3, M = 10 };
    float *rows = make_rows(7, N, D, RANK, 0.0, 0.0);
    imgsim_projector *projector;

    for (size_t row = 0; row < N; row++)
        rows[row * D + 7] = 5.0f; /* a constant column */
    projector = fit(rows, N, D, M, 2);
    CHECK_NEAR(imgsim_projector_get_mean(projector)[7], 5.0, 0.0);
    for (size_t c = 0; c < M; c++) {
        double variance = imgsim_projector_get_variances(projector)[c];

        CHECK(variance >= 0.0);
        if (c >= RANK)
            CHECK(variance < 1e-6 * imgsim_projector_get_variances(projector)[0]);
        else
            CHECK_NEAR(imgsim_projector_get_axes(projector)[c * D + 7], 0.0, 1e-7);
    }
    imgsim_projector_free(projector);
    free(rows);
}

/* Model and projections of two projectors have the same bits. */
static void check_same(const imgsim_projector *a, const imgsim_projector *b, const float *rows)
{
    const size_t d = imgsim_projector_get_input_dimension(a);
    const size_t m = imgsim_projector_get_output_dimension(a);
    float *x = malloc(300 * m * sizeof(float));
    float *y = malloc(300 * m * sizeof(float));

    CHECK(x != NULL && y != NULL);
    CHECK_TEXT(imgsim_projector_get_fingerprint(a), imgsim_projector_get_fingerprint(b));
    CHECK_EQUAL(strlen(imgsim_projector_get_fingerprint(a)), 32);
    CHECK_EQUAL(
        memcmp(imgsim_projector_get_axes(a), imgsim_projector_get_axes(b), d * m * sizeof(float)),
        0);
    CHECK_OK(imgsim_projector_transform(a, rows, 300, x));
    CHECK_OK(imgsim_projector_transform(b, rows, 300, y));
    CHECK_EQUAL(memcmp(x, y, 300 * m * sizeof(float)), 0);
    for (size_t row = 0; row < 300; row += 37) { /* alone as among others */
        CHECK_OK(imgsim_projector_transform(b, rows + row * d, 1, y));
        CHECK_EQUAL(memcmp(x + row * m, y, m * sizeof(float)), 0);
    }
    free(x);
    free(y);
}

static void the_bits_do_not_depend_on_threads_or_calls(void)
{
    enum { N = 5000, D = 300, M = 20 };
    float *rows = make_rows(8, N, D, 30, 1.0, 0.2);
    imgsim_projector *one = fit(rows, N, D, M, 1);

    for (uint32_t threads = 2; threads <= 5; threads += 3) {
        imgsim_projector *many = new_projector(D, M, threads);
        size_t step = 1;

        for (size_t first = 0; first < N;) {
            size_t count = first + step < N ? step : N - first;

            CHECK_OK(imgsim_projector_add(many, rows + first * D, count));
            first += count;
            step = step * 3 % 1009 + 1;
            if (first > 100 && first < 400) /* training in between changes nothing */
                CHECK_OK(imgsim_projector_train(many));
        }
        CHECK_OK(imgsim_projector_train(many));
        check_same(one, many, rows);
        CHECK_OK(imgsim_projector_train(many));
        check_same(one, many, rows);
        imgsim_projector_free(many);
    }
    imgsim_projector_free(one);
    free(rows);
}

static void whitening_and_normalizing_do_what_they_say(void)
{
    enum { N = 2000, D = 30, M = 6 };
    static const double whitens[] = {0.0, 0.5, 1.0};
    float *rows = make_rows(9, N, D, M, 1.0, 0.1);
    float *projected = malloc(N * M * sizeof(float));

    CHECK(projected != NULL);
    for (int w = 0; w < 3; w++) {
        imgsim_projector_options options;
        imgsim_projector *projector;

        CHECK_OK(imgsim_projector_options_init(&options, sizeof(options)));
        options.whiten = whitens[w];
        CHECK_OK(imgsim_projector_new(D, M, &options, &projector));
        CHECK_OK(imgsim_projector_add(projector, rows, N));
        CHECK_OK(imgsim_projector_train(projector));
        CHECK_OK(imgsim_projector_transform(projector, rows, N, projected));
        for (size_t c = 0; c < M; c++) {
            double variance = imgsim_projector_get_variances(projector)[c], sum = 0.0;
            double expected = pow(variance, 1.0 - whitens[w]);

            for (size_t row = 0; row < N; row++)
                sum += (double)projected[row * M + c] * projected[row * M + c];
            CHECK_NEAR(sum / (N - 1), expected, 1e-4 * expected);
        }
        imgsim_projector_free(projector);

        options.normalize = 1;
        CHECK_OK(imgsim_projector_new(D, M, &options, &projector));
        CHECK_OK(imgsim_projector_add(projector, rows, N));
        CHECK_OK(imgsim_projector_train(projector));
        CHECK_OK(imgsim_projector_transform(projector, rows, N, projected));
        for (size_t row = 0; row < N; row++) {
            double square = 0.0;

            for (size_t c = 0; c < M; c++)
                square += (double)projected[row * M + c] * projected[row * M + c];
            CHECK_NEAR(square, 1.0, 1e-6);
        }
        imgsim_projector_free(projector);
    }
    free(projected);
    free(rows);
}

static void whitening_leaves_noise_at_zero(void)
{
    enum { N = 400, D = 50, M = 10 };
    float *rows = make_rows(10, N, D, 3, 0.0, 0.0);
    float projected[M];
    imgsim_projector_options options;
    imgsim_projector *projector;

    CHECK_OK(imgsim_projector_options_init(&options, sizeof(options)));
    options.whiten = 1.0;
    CHECK_OK(imgsim_projector_new(D, M, &options, &projector));
    CHECK_OK(imgsim_projector_add(projector, rows, N));
    CHECK_OK(imgsim_projector_train(projector));
    CHECK_OK(imgsim_projector_transform(projector, rows, 1, projected));
    for (int c = 0; c < M; c++)
        CHECK(fabsf(projected[c]) < 10.0f && (c < 3 || projected[c] == 0.0f));
    imgsim_projector_free(projector);
    free(rows);
}

static void what_is_not_finite_is_named_and_not_taken_in(void)
{
    enum { N = 300, D = 20, M = 4 };
    float *rows = make_rows(11, N, D, 4, 0.0, 0.1);
    float out[M * N];
    imgsim_projector *clean = fit(rows, N, D, M, 2);
    imgsim_projector *tried = new_projector(D, M, 2);
    float kept = rows[213 * D + 17];

    rows[213 * D + 17] = NAN;
    CHECK_FAILS(
        imgsim_projector_add(tried, rows, N), IMGSIM_ERROR_INVALID_ARGUMENT,
        "row 213, column 17 is NaN");
    CHECK_FAILS(
        imgsim_projector_transform(clean, rows, N, out), IMGSIM_ERROR_INVALID_ARGUMENT,
        "row 213, column 17 is NaN");
    rows[213 * D + 17] = -INFINITY;
    CHECK_FAILS(imgsim_projector_add(tried, rows, N), IMGSIM_ERROR_INVALID_ARGUMENT, "infinite");
    rows[213 * D + 17] = kept;
    CHECK_OK(imgsim_projector_add(tried, rows, N));
    CHECK_OK(imgsim_projector_train(tried));
    check_same(clean, tried, rows);

    rows[5 * D + 3] = 3e38f;
    imgsim_projector_free(tried);
    tried = new_projector(D, M, 2);
    CHECK_OK(imgsim_projector_add(tried, rows, N));
    CHECK_FAILS(imgsim_projector_train(tried), IMGSIM_ERROR_INVALID_ARGUMENT, "column 3");
    imgsim_projector_free(clean);
    imgsim_projector_free(tried);
    free(rows);
}

static void too_few_rows_and_wrong_arguments_are_refused(void)
{
    static const float rows[30] = {1, 2, 3, 4, 5, 7, 9, 8};
    float out[3];
    imgsim_projector_options options;
    imgsim_projector *projector;

    CHECK_FAILS(
        imgsim_projector_new(0, 1, NULL, &projector), IMGSIM_ERROR_INVALID_ARGUMENT, "dimension 0");
    CHECK_FAILS(
        imgsim_projector_new(10, 11, NULL, &projector), IMGSIM_ERROR_INVALID_ARGUMENT, "11");
    CHECK(projector == NULL);
    CHECK_FAILS(imgsim_projector_new(10, 1, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    CHECK_OK(imgsim_projector_options_init(&options, sizeof(options)));
    options.whiten = NAN;
    CHECK_FAILS(
        imgsim_projector_new(10, 1, &options, &projector), IMGSIM_ERROR_INVALID_ARGUMENT, "whiten");

    projector = new_projector(10, 3, 1);
    CHECK_FAILS(imgsim_projector_train(projector), IMGSIM_ERROR_NOT_READY, "0 rows");
    CHECK_FAILS(
        imgsim_projector_transform(projector, rows, 1, out), IMGSIM_ERROR_NOT_READY, "trained");
    CHECK(imgsim_projector_get_axes(projector) == NULL);
    CHECK_TEXT(imgsim_projector_get_fingerprint(projector), "");
    CHECK_OK(imgsim_projector_add(projector, rows, 2));
    CHECK_FAILS(imgsim_projector_train(projector), IMGSIM_ERROR_NOT_READY, "2 rows");
    CHECK_OK(imgsim_projector_add(projector, rows + 20, 1));
    CHECK_OK(imgsim_projector_train(projector));
    CHECK_EQUAL(imgsim_projector_get_row_count(projector), 3);
    CHECK_FAILS(imgsim_projector_add(projector, NULL, 1), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
    CHECK_OK(imgsim_projector_add(projector, NULL, 0));
    CHECK_OK(imgsim_projector_transform(projector, NULL, 0, NULL));
    imgsim_projector_free(projector);
    imgsim_projector_free(NULL);
}

/* Everything once, each allocation failing in turn. */
static void running_out_of_memory_is_reported_and_survived(void)
{
    float *rows = make_rows(12, 300, 20, 4, 0.0, 0.1);
    float out[300 * 4];
    uint64_t n = 0;
    imgsim_status status;

    do {
        imgsim_projector *projector = NULL;

        ims_memory_fail_at(++n);
        status = imgsim_projector_new(20, 4, NULL, &projector);
        if (status == IMGSIM_OK)
            status = imgsim_projector_add(projector, rows, 300);
        if (status == IMGSIM_OK)
            status = imgsim_projector_train(projector);
        if (status == IMGSIM_OK)
            status = imgsim_projector_transform(projector, rows, 300, out);
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_OUT_OF_MEMORY);
        imgsim_projector_free(projector);
    } while (status != IMGSIM_OK && n < 1000);
    ims_memory_fail_at(0);
    CHECK(n > 15 && n < 1000);
    free(rows);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    fits_agree_with_power_iteration();
    a_huge_offset_costs_no_digits();
    axes_are_orthonormal();
    all_components_reconstruct_the_rows();
    few_directions_leave_the_other_variances_at_zero();
    the_bits_do_not_depend_on_threads_or_calls();
    whitening_and_normalizing_do_what_they_say();
    whitening_leaves_noise_at_zero();
    what_is_not_finite_is_named_and_not_taken_in();
    too_few_rows_and_wrong_arguments_are_refused();
    running_out_of_memory_is_reported_and_survived();
    return 0;
}
