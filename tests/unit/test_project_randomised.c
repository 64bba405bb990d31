/* SPDX-License-Identifier: Apache-2.0 */
/* Randomised PCA: what its report proves holds against the exact way, above all where a sample misleads. */
#include "check.h"

#include "core/memory.h"
#include "core/rng.h"

#include <imgsim/projector.h>

enum { N = 6000, D = 160, M = 8 };

static imgsim_projector *new_projector(int32_t method, uint32_t threads, uint64_t seed)
{
    imgsim_projector_options options;
    imgsim_projector *projector;

    CHECK_OK(imgsim_projector_options_init(&options, sizeof(options)));
    CHECK_NEAR(options.tolerance, 1e-4, 0.0);
    options.method = method;
    options.threads = threads;
    options.seed = seed;
    CHECK_OK(imgsim_projector_new(D, M, &options, &projector));
    return projector;
}

/* Variances that fall by `fall` from axis to axis down to `floor` of the first, about a mean far away. */
static float *make_rows(uint64_t seed, double fall, double floor)
{
    float *rows = malloc((size_t)N * D * sizeof(float));
    struct ims_rng rng;

    CHECK(rows != NULL);
    ims_rng_init(&rng, seed);
    for (size_t i = 0; i < N; i++) {
        double values[D];

        for (size_t c = 0; c < D; c++)
            values[c] = ims_rng_normal(&rng) * sqrt(fmax(pow(fall, (double)c), floor));
        /* Turned, two axes at a time, so that columns have to do with one another. */
        for (size_t c = 0; c < D; c++) {
            const double other = values[(c * 7 + 3) % D];

            rows[i * D + c] = (float)(0.8 * values[c] + 0.6 * other + 3.0);
        }
    }
    return rows;
}

/* Fit both ways; what the report says of the randomised one must be true. Returns the method that made the model. */
static int32_t compare(const float *rows, uint64_t seed, imgsim_pca_report *report)
{
    imgsim_projector *exact = new_projector(IMGSIM_PCA_EXACT, 2, 1);
    imgsim_projector *fast = new_projector(IMGSIM_PCA_RANDOMISED, 2, seed);
    const double *expected, *found;

    *report = (imgsim_pca_report){.struct_size = sizeof(*report)};
    CHECK_OK(imgsim_projector_fit(exact, rows, N, NULL));
    CHECK_OK(imgsim_projector_fit(fast, rows, N, report));
    CHECK_EQUAL(report->struct_size, sizeof(*report));
    expected = imgsim_projector_get_variances(exact);
    found = imgsim_projector_get_variances(fast);
    for (size_t i = 0; i < M; i++) {
        const double error = (expected[i] - found[i]) / expected[i];

        CHECK(error <= report->variance_error + 2e-6);
        CHECK(error >= -2e-6);
    }
    CHECK(report->variance_error <= 1e-4);
    CHECK_NEAR(
        imgsim_projector_get_total_variance(fast), imgsim_projector_get_total_variance(exact),
        1e-6 * imgsim_projector_get_total_variance(exact));
    for (size_t c = 0; c < D; c++)
        CHECK_NEAR(imgsim_projector_get_mean(fast)[c], imgsim_projector_get_mean(exact)[c], 1e-5);
    imgsim_projector_free(exact);
    imgsim_projector_free(fast);
    return report->method;
}

static void a_falling_spectrum_is_certified(void)
{
    float *rows = make_rows(1, 0.8, 1e-4);
    imgsim_pca_report report;

    CHECK_EQUAL(compare(rows, 1, &report), IMGSIM_PCA_RANDOMISED);
    CHECK(report.passes >= 1 && report.passes <= 12);
    CHECK(report.variance_error > 0.0 && report.residual > 0.0 && report.missed_variance > 0.0);
    CHECK(report.angle > 0.0 && report.angle < 0.2);
    CHECK_NEAR(report.failure, 1e-9, 0.0);
    free(rows);
}

/* All directions alike: nothing can be proved with few of them, so the exact way has to be taken. */
static void a_flat_spectrum_is_fitted_exactly(void)
{
    float *rows = make_rows(2, 0.999, 0.5);
    imgsim_pca_report report;

    CHECK_EQUAL(compare(rows, 1, &report), IMGSIM_PCA_EXACT);
    CHECK_NEAR(report.variance_error, 0.0, 0.0);
    free(rows);
}

/* One row that outweighs the others along a direction of its own, which most samples do not have. */
static void a_direction_in_one_row_is_not_missed(void)
{
    float *rows = make_rows(3, 0.8, 1e-4);
    imgsim_pca_report report;

    for (size_t c = 0; c < D; c++)
        rows[(size_t)4321 * D + c] += (c % 2 == 0 ? 60.0f : -60.0f);
    for (uint64_t seed = 1; seed <= 12; seed++)
        (void)compare(rows, seed, &report);
    free(rows);
}

static void the_bits_do_not_depend_on_threads(void)
{
    float *rows = make_rows(4, 0.8, 1e-4);
    char print[33];

    for (uint32_t threads = 1; threads <= 3; threads++) {
        imgsim_projector *projector = new_projector(IMGSIM_PCA_RANDOMISED, threads, 5);
        imgsim_pca_report report = {.struct_size = sizeof(report)};

        CHECK_OK(imgsim_projector_fit(projector, rows, N, &report));
        CHECK_EQUAL(report.method, IMGSIM_PCA_RANDOMISED);
        if (threads == 1)
            snprintf(print, sizeof(print), "%s", imgsim_projector_get_fingerprint(projector));
        CHECK_TEXT(imgsim_projector_get_fingerprint(projector), print);
        imgsim_projector_free(projector);
    }
    free(rows);
}

/* Fitting exactly is adding and training, to the bit; and more may be added. */
static void exact_fits_go_on(void)
{
    float *rows = make_rows(5, 0.9, 1e-3);
    imgsim_projector *fitted = new_projector(IMGSIM_PCA_EXACT, 2, 1);
    imgsim_projector *added = new_projector(IMGSIM_PCA_AUTO, 2, 1);

    CHECK_OK(imgsim_projector_fit(fitted, rows, N / 2, NULL));
    CHECK_OK(imgsim_projector_add(fitted, rows + (size_t)N / 2 * D, N - N / 2));
    CHECK_OK(imgsim_projector_train(fitted));
    CHECK_OK(imgsim_projector_add(added, rows, N));
    CHECK_OK(imgsim_projector_train(added));
    CHECK_TEXT(imgsim_projector_get_fingerprint(fitted), imgsim_projector_get_fingerprint(added));
    imgsim_projector_free(fitted);

    fitted = new_projector(IMGSIM_PCA_RANDOMISED, 2, 1);
    CHECK_OK(imgsim_projector_fit(fitted, rows, N, NULL));
    CHECK_FAILS(imgsim_projector_add(fitted, rows, 1), IMGSIM_ERROR_NOT_READY, "fitted at once");
    CHECK_FAILS(imgsim_projector_train(fitted), IMGSIM_ERROR_NOT_READY, "fitted at once");
    CHECK_OK(imgsim_projector_fit(fitted, rows, N / 2, NULL)); /* anew */
    CHECK_EQUAL(imgsim_projector_get_row_count(fitted), N / 2);
    imgsim_projector_free(fitted);
    imgsim_projector_free(added);
    free(rows);
}

static void bad_input_is_refused(void)
{
    float *rows = make_rows(6, 0.8, 1e-4);
    imgsim_projector *projector = new_projector(IMGSIM_PCA_RANDOMISED, 2, 1);
    imgsim_projector_options options;
    imgsim_pca_report report = {0};
    imgsim_projector *none = NULL;

    CHECK_FAILS(
        imgsim_projector_fit(projector, rows, N, &report), IMGSIM_ERROR_INVALID_ARGUMENT,
        "struct_size");
    CHECK_FAILS(
        imgsim_projector_fit(projector, rows, M - 1, NULL), IMGSIM_ERROR_NOT_READY, "7 rows");
    for (size_t row = 4999; row < 5020;
         row++) { /* some of them are in the sample, others are not */
        char text[64];

        rows[row * D + 17] = NAN;
        snprintf(text, sizeof(text), "row %zu, column 17 is NaN", row);
        CHECK_FAILS(
            imgsim_projector_fit(projector, rows, N, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, text);
        rows[row * D + 17] = 0.0f;
    }
    rows[(size_t)5000 * D + 17] = INFINITY;
    CHECK_FAILS(
        imgsim_projector_fit(projector, rows, N, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "infinite");
    imgsim_projector_free(projector);

    CHECK_OK(imgsim_projector_options_init(&options, sizeof(options)));
    options.method = 3;
    CHECK_FAILS(imgsim_projector_new(D, M, &options, &none), IMGSIM_ERROR_UNSUPPORTED, "method 3");
    options.method = IMGSIM_PCA_RANDOMISED;
    options.tolerance = 0.0;
    CHECK_FAILS(
        imgsim_projector_new(D, M, &options, &none), IMGSIM_ERROR_INVALID_ARGUMENT, "tolerance");
    free(rows);
}

/* Rows that are all the same have nothing to be found, which is no error, as without this method. */
static void rows_that_are_all_the_same_have_no_variance(void)
{
    float *rows = malloc((size_t)N * D * sizeof(float));
    imgsim_projector *projector = new_projector(IMGSIM_PCA_RANDOMISED, 2, 1);
    imgsim_pca_report report = {.struct_size = sizeof(report)};

    CHECK(rows != NULL);
    for (size_t i = 0; i < (size_t)N * D; i++)
        rows[i] = (float)(i % D);
    CHECK_OK(imgsim_projector_fit(projector, rows, N, &report));
    CHECK_EQUAL(report.method, IMGSIM_PCA_EXACT);
    CHECK_NEAR(imgsim_projector_get_variances(projector)[0], 0.0, 1e-6);
    imgsim_projector_free(projector);
    free(rows);
}

static void running_out_of_memory_is_reported_and_survived(void)
{
    float *rows = make_rows(7, 0.8, 1e-4);
    uint64_t n = 0;
    imgsim_status status;

    do {
        imgsim_projector *projector = new_projector(IMGSIM_PCA_RANDOMISED, 1, 1);

        ims_memory_fail_at(++n);
        status = imgsim_projector_fit(projector, rows, N, NULL);
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_OUT_OF_MEMORY);
        ims_memory_fail_at(0);
        imgsim_projector_free(projector);
    } while (status != IMGSIM_OK && n < 1000);
    CHECK(n > 60 && n < 1000);
    free(rows);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    a_falling_spectrum_is_certified();
    a_flat_spectrum_is_fitted_exactly();
    a_direction_in_one_row_is_not_missed();
    the_bits_do_not_depend_on_threads();
    exact_fits_go_on();
    bad_input_is_refused();
    rows_that_are_all_the_same_have_no_variance();
    running_out_of_memory_is_reported_and_survived();
    return 0;
}
