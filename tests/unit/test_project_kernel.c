/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel PCA by landmarks: plain PCA where the kernel is the plain product, kernels by their definitions, files, bad input. */
#include "check.h"

#include "core/memory.h"
#include "core/rng.h"

#include <imgsim/projector.h>

enum { N = 400, D = 12, M = 5 };

static float rows[N * D];

static void fill_rows(bool positive)
{
    struct ims_rng rng;

    ims_rng_init(&rng, 1);
    for (size_t i = 0; i < N * D; i++) {
        rows[i] = (float)(ims_rng_normal(&rng) * pow(0.8, (double)(i % D)) + 0.3);
        if (positive)
            rows[i] = fabsf(rows[i]);
    }
}

static imgsim_projector_options options_of(int32_t kernel, uint32_t landmarks)
{
    imgsim_projector_options options;

    CHECK_OK(imgsim_projector_options_init(&options, sizeof(options)));
    CHECK_EQUAL(options.landmarks, 1000);
    options.kernel = kernel;
    options.landmarks = landmarks;
    options.threads = 2;
    return options;
}

static imgsim_projector *fit(const imgsim_projector_options *options)
{
    imgsim_projector *projector;

    CHECK_OK(imgsim_projector_new(D, M, options, &projector));
    CHECK_OK(imgsim_projector_fit(projector, rows, N, NULL));
    return projector;
}

/* (1 x.y + 0)^1 has the rows themselves as features, which any twelve landmarks span. */
static void a_plain_product_gives_plain_pca(void)
{
    imgsim_projector_options options = options_of(IMGSIM_KERNEL_POLYNOMIAL, 40);
    imgsim_projector *plain, *kernel;
    static float a[N * M], b[N * M];

    fill_rows(false);
    options.gamma = 1.0;
    options.offset = 0.0;
    options.degree = 1;
    kernel = fit(&options);
    CHECK_OK(imgsim_projector_new(D, M, NULL, &plain));
    CHECK_OK(imgsim_projector_fit(plain, rows, N, NULL));
    CHECK_OK(imgsim_projector_transform(plain, rows, N, a));
    CHECK_OK(imgsim_projector_transform(kernel, rows, N, b));
    for (size_t m = 0; m < M; m++) {
        const double expected = imgsim_projector_get_variances(plain)[m];
        const float sign = a[m] * b[m] < 0.0f ? -1.0f : 1.0f;

        CHECK_NEAR(imgsim_projector_get_variances(kernel)[m], expected, 1e-5 * expected);
        for (size_t i = 0; i < N; i++)
            CHECK_NEAR(a[i * M + m], sign * b[i * M + m], 1e-4);
    }
    CHECK_NEAR(
        imgsim_projector_get_total_variance(kernel), imgsim_projector_get_total_variance(plain),
        1e-4);
    CHECK(imgsim_projector_get_axes(kernel) == NULL && imgsim_projector_get_mean(kernel) == NULL);
    CHECK_EQUAL(imgsim_projector_get_landmark_count(kernel), 40);
    CHECK_EQUAL(imgsim_projector_get_landmark_count(plain), 0);
    CHECK(imgsim_projector_get_landmarks(plain) == NULL);
    imgsim_projector_free(plain);
    imgsim_projector_free(kernel);
}

static double kernel_of(const imgsim_projector_options *options, const float *a, const float *b)
{
    double product = 0.0, square_a = 0.0, square_b = 0.0, distance = 0.0, chi = 0.0, least = 0.0;

    for (size_t i = 0; i < D; i++) {
        const double x = a[i], y = b[i];

        product += x * y;
        square_a += x * x;
        square_b += y * y;
        distance += (x - y) * (x - y);
        chi += x + y > 0.0 ? (x - y) * (x - y) / (x + y) : 0.0;
        least += fmin(x, y);
    }
    switch (options->kernel) {
    case IMGSIM_KERNEL_RBF:
        return exp(-options->gamma * distance);
    case IMGSIM_KERNEL_COSINE:
        return product / sqrt(square_a * square_b);
    case IMGSIM_KERNEL_POLYNOMIAL:
        return pow(options->gamma * product + options->offset, options->degree);
    case IMGSIM_KERNEL_CHI_SQUARE:
        return exp(-options->gamma * chi);
    default:
        return least;
    }
}

/*
 * With all rows as landmarks and all components that count, squared distances of projected rows are those of the kernel's space,
 * k(a, a) + k(b, b) - 2 k(a, b), less what the last components would add.
 */
static void distances_are_those_of_the_kernel(void)
{
    enum { FEW = 60 };
    static float out[FEW * FEW];

    fill_rows(true);
    for (int32_t kernel = IMGSIM_KERNEL_RBF; kernel <= IMGSIM_KERNEL_INTERSECTION; kernel++) {
        imgsim_projector_options options = options_of(kernel, FEW);
        const uint32_t components = kernel == IMGSIM_KERNEL_COSINE ? D - 1 : FEW - 5;
        imgsim_projector *projector;

        options.gamma = 0.4;
        options.degree = 4;
        CHECK_OK(imgsim_projector_new(D, components, &options, &projector));
        CHECK_OK(imgsim_projector_fit(projector, rows, FEW, NULL));
        CHECK_EQUAL(
            memcmp(imgsim_projector_get_landmarks(projector), rows, FEW * D * sizeof(float)), 0);
        CHECK_OK(imgsim_projector_transform(projector, rows, FEW, out));
        for (size_t a = 0; a < FEW; a += 7)
            for (size_t b = 0; b < a; b++) {
                const float *x = rows + a * D, *y = rows + b * D;
                const double expected = kernel_of(&options, x, x) + kernel_of(&options, y, y) -
                                        2.0 * kernel_of(&options, x, y);
                double found = 0.0;

                for (size_t m = 0; m < components; m++)
                    found += pow((double)out[a * components + m] - out[b * components + m], 2.0);
                CHECK(found <= expected * 1.001 + 1e-4);
                CHECK(found >= expected * 0.8 - 1e-4);
            }
        imgsim_projector_free(projector);
    }
}

static void the_same_bits_on_any_number_of_threads_and_after_loading(void)
{
    static float a[N * M], b[N * M];
    imgsim_projector_options options = options_of(IMGSIM_KERNEL_RBF, 50);
    imgsim_projector *projector, *other, *loaded;
    const char *folder = check_temporary_folder();
    char path[4096];

    fill_rows(false);
    projector = fit(&options);
    options.threads = 1;
    other = fit(&options);
    CHECK_TEXT(
        imgsim_projector_get_fingerprint(projector), imgsim_projector_get_fingerprint(other));
    snprintf(path, sizeof(path), "%s/kernel.ims", folder);
    CHECK_OK(imgsim_projector_save(projector, path));
    CHECK_OK(imgsim_projector_load(path, &loaded));
    CHECK_TEXT(
        imgsim_projector_get_fingerprint(projector), imgsim_projector_get_fingerprint(loaded));
    CHECK_OK(imgsim_projector_transform(projector, rows, N, a));
    CHECK_OK(imgsim_projector_transform(loaded, rows, N, b));
    CHECK_EQUAL(memcmp(a, b, sizeof(a)), 0);
    /* A row alone has the bits that it has among others. */
    CHECK_OK(imgsim_projector_transform(loaded, rows + 77 * D, 1, b));
    CHECK_EQUAL(memcmp(a + 77 * M, b, M * sizeof(float)), 0);
    CHECK_EQUAL(imgsim_projector_get_landmark_count(loaded), 50);
    CHECK_EQUAL(remove(path), 0);
    CHECK_EQUAL(remove(folder), 0);
    imgsim_projector_free(projector);
    imgsim_projector_free(other);
    imgsim_projector_free(loaded);

    options.seed = 2;
    other = fit(&options);
    options.even_landmarks = 1;
    projector = fit(&options);
    CHECK(
        strcmp(
            imgsim_projector_get_fingerprint(projector), imgsim_projector_get_fingerprint(other)) !=
        0);
    imgsim_projector_free(projector);
    imgsim_projector_free(other);
}

/* Landmarks are rows, and as k-means++ draws them no two are the same while there are others. */
static void landmarks_are_different_rows(void)
{
    imgsim_projector_options options = options_of(IMGSIM_KERNEL_RBF, 20);
    imgsim_projector *projector;
    const float *landmarks;

    fill_rows(false);
    for (size_t i = 30; i < N; i++) /* only thirty different ones */
        memcpy(rows + i * D, rows + i % 30 * D, D * sizeof(float));
    projector = fit(&options);
    landmarks = imgsim_projector_get_landmarks(projector);
    for (size_t a = 0; a < 20; a++) {
        bool found = false;

        for (size_t i = 0; i < 30; i++)
            found |= memcmp(landmarks + a * D, rows + i * D, D * sizeof(float)) == 0;
        CHECK(found);
        for (size_t b = 0; b < a; b++)
            CHECK(memcmp(landmarks + a * D, landmarks + b * D, D * sizeof(float)) != 0);
    }
    imgsim_projector_free(projector);
}

static void refuse_options(imgsim_projector_options options, imgsim_status status, const char *word)
{
    imgsim_projector *projector = NULL;

    CHECK_FAILS(imgsim_projector_new(D, M, &options, &projector), status, word);
    CHECK(projector == NULL);
}

static void wrong_settings_are_refused(void)
{
    imgsim_projector_options options = options_of(IMGSIM_KERNEL_RBF, 20);

    options.gamma = 0.0;
    refuse_options(options, IMGSIM_ERROR_INVALID_ARGUMENT, "gamma is 0");
    options.gamma = NAN;
    refuse_options(options, IMGSIM_ERROR_INVALID_ARGUMENT, "gamma is nan");
    options = options_of(IMGSIM_KERNEL_POLYNOMIAL, 20);
    options.degree = 0;
    refuse_options(options, IMGSIM_ERROR_INVALID_ARGUMENT, "degree");
    options.degree = 3;
    options.offset = -1.0;
    refuse_options(options, IMGSIM_ERROR_INVALID_ARGUMENT, "offset");
    refuse_options(options_of(6, 20), IMGSIM_ERROR_UNSUPPORTED, "kernel 6");
    refuse_options(options_of(IMGSIM_KERNEL_RBF, 0), IMGSIM_ERROR_INVALID_ARGUMENT, "0 landmarks");
    refuse_options(
        options_of(IMGSIM_KERNEL_RBF, M - 1), IMGSIM_ERROR_INVALID_ARGUMENT, "4 landmarks");
    options = options_of(IMGSIM_KERNEL_RBF, 20);
    options.method = IMGSIM_PCA_AUTO;
    refuse_options(options, IMGSIM_ERROR_INVALID_ARGUMENT, "method");
    options = options_of(IMGSIM_KERNEL_RBF, 20);
    options.reserved = 1;
    refuse_options(options, IMGSIM_ERROR_UNSUPPORTED, "reserved");
}

static void refuse_rows(imgsim_projector_options options, imgsim_status status, const char *word)
{
    imgsim_projector *projector;

    CHECK_OK(imgsim_projector_new(D, M, &options, &projector));
    CHECK_FAILS(imgsim_projector_fit(projector, rows, N, NULL), status, word);
    CHECK(imgsim_projector_get_row_count(projector) == 0);
    imgsim_projector_free(projector);
}

static void rows_that_do_not_fit_are_refused(void)
{
    imgsim_projector_options options = options_of(IMGSIM_KERNEL_RBF, 20);
    imgsim_projector *projector;
    float out[M];

    fill_rows(false);
    refuse_rows(options_of(IMGSIM_KERNEL_RBF, N + 1), IMGSIM_ERROR_NOT_READY, "401 landmarks");
    refuse_rows(
        options_of(IMGSIM_KERNEL_CHI_SQUARE, 20), IMGSIM_ERROR_INVALID_ARGUMENT, "histograms");
    rows[100] = NAN;
    refuse_rows(options, IMGSIM_ERROR_INVALID_ARGUMENT, "row 8, column 4 is NaN");
    rows[100] = 1e25f;
    options.kernel = IMGSIM_KERNEL_POLYNOMIAL;
    options.degree = 16;
    refuse_rows(options, IMGSIM_ERROR_INVALID_ARGUMENT, "overflows");
    for (size_t i = 0; i < N * D; i++)
        rows[i] = 2.0f;
    for (int32_t kernel = IMGSIM_KERNEL_RBF; kernel <= IMGSIM_KERNEL_INTERSECTION; kernel++)
        refuse_rows(options_of(kernel, 20), IMGSIM_ERROR_INVALID_ARGUMENT, "all rows are the same");

    /* Two kinds of rows have one direction between them. */
    memset(rows, 0, N / 2 * D * sizeof(float));
    refuse_rows(
        options_of(IMGSIM_KERNEL_RBF, 20), IMGSIM_ERROR_INVALID_ARGUMENT, "directions only");

    fill_rows(true);
    options = options_of(IMGSIM_KERNEL_INTERSECTION, 20);
    CHECK_OK(imgsim_projector_new(D, M, &options, &projector));
    CHECK_FAILS(
        imgsim_projector_add(projector, rows, N), IMGSIM_ERROR_NOT_READY, "fit instead of add");
    CHECK_OK(imgsim_projector_fit(projector, rows, N, NULL));
    rows[3] = -1.0f;
    CHECK_FAILS(
        imgsim_projector_transform(projector, rows, 1, out), IMGSIM_ERROR_INVALID_ARGUMENT,
        "column 3");
    imgsim_projector_free(projector);
}

static void running_out_of_memory_is_reported_and_survived(void)
{
    imgsim_projector_options options = options_of(IMGSIM_KERNEL_RBF, 20);
    static float out[N * M];
    uint64_t n = 0;
    imgsim_status status;

    fill_rows(false);
    options.threads = 1;
    do {
        imgsim_projector *projector = NULL;

        ims_memory_fail_at(++n);
        status = imgsim_projector_new(D, M, &options, &projector);
        if (status == IMGSIM_OK)
            status = imgsim_projector_fit(projector, rows, N, NULL);
        if (status == IMGSIM_OK)
            status = imgsim_projector_transform(projector, rows, N, out);
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_OUT_OF_MEMORY);
        imgsim_projector_free(projector);
    } while (status != IMGSIM_OK && n < 1000);
    ims_memory_fail_at(0);
    CHECK(n > 40 && n < 1000);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    a_plain_product_gives_plain_pca();
    distances_are_those_of_the_kernel();
    the_same_bits_on_any_number_of_threads_and_after_loading();
    landmarks_are_different_rows();
    wrong_settings_are_refused();
    rows_that_do_not_fit_are_refused();
    running_out_of_memory_is_reported_and_survived();
    return 0;
}
