/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels: values of pairs of rows, of a row and all landmarks, and what rows a kernel can take. */
#include "project/kernel.h"

#include "simd/kernels.h"

#include <math.h>

/* A row of no length is orthogonal to everything. */
static double cosine_factor(const float *row, size_t d)
{
    const double square = ims_kernels()->dot(row, row, d);

    return square > 0.0 ? 1.0 / sqrt(square) : 0.0;
}

static double power(double base, uint32_t exponent)
{
    double out = 1.0;

    for (uint32_t i = 0; i < exponent; i++)
        out *= base;
    return out;
}

/* sum (a - b)^2 / (a + b), in eight partial sums, which the compiler can keep side by side. */
static double chi_square(const float *a, const float *b, size_t d)
{
    float sums[8] = {0};
    double total = 0.0;

    for (size_t i = 0; i < d / 8 * 8; i += 8)
        for (size_t j = 0; j < 8; j++) {
            const float difference = a[i + j] - b[i + j], sum = a[i + j] + b[i + j];

            sums[j] += difference * difference / (sum > 0.0f ? sum : 1.0f);
        }
    for (size_t i = d / 8 * 8; i < d; i++) {
        const double difference = (double)a[i] - b[i], sum = (double)a[i] + b[i];

        total += sum > 0.0 ? difference * difference / sum : 0.0;
    }
    for (size_t j = 0; j < 8; j++)
        total += sums[j];
    return total;
}

double ims_kernel_distance(int32_t kernel, const float *a, const float *b, size_t d)
{
    switch (kernel) {
    case IMGSIM_KERNEL_RBF:
        return ims_kernels()->l2_squared(a, b, d);
    case IMGSIM_KERNEL_CHI_SQUARE:
        return chi_square(a, b, d);
    default:
        return 0.0;
    }
}

double ims_kernel_value(
    const imgsim_projector_options *settings,
    double gamma,
    const float *a,
    const float *b,
    size_t d)
{
    switch (settings->kernel) {
    case IMGSIM_KERNEL_RBF:
    case IMGSIM_KERNEL_CHI_SQUARE:
        return exp(-gamma * ims_kernel_distance(settings->kernel, a, b, d));
    case IMGSIM_KERNEL_COSINE:
        return ims_kernels()->dot(a, b, d) * cosine_factor(a, d) * cosine_factor(b, d);
    case IMGSIM_KERNEL_POLYNOMIAL:
        return power(gamma * ims_kernels()->dot(a, b, d) + settings->offset, settings->degree);
    default: /* IMGSIM_KERNEL_INTERSECTION: new() has looked */
        return ims_kernels()->intersection(a, b, d);
    }
}

/* Products or squared distances of a row with four landmarks at a time, into out. */
static void measure_landmarks(
    bool distances,
    const struct ims_pca_model *model,
    const float *row,
    size_t d,
    double *out)
{
    const struct ims_kernels *kernels = ims_kernels();
    const size_t fours = model->columns / 4 * 4;

    for (size_t i = 0; i < fours; i += 4) {
        const float *landmarks = model->landmarks + i * d;
        float four[4];

        if (distances)
            kernels->l2_squared4(row, landmarks, d, d, four);
        else
            kernels->dot4(row, landmarks, d, d, four);
        for (size_t j = 0; j < 4; j++)
            out[i + j] = four[j];
    }
    for (size_t i = fours; i < model->columns; i++) {
        const float *landmark = model->landmarks + i * d;

        out[i] = distances ? kernels->l2_squared(row, landmark, d) : kernels->dot(row, landmark, d);
    }
}

void ims_kernel_row(
    const imgsim_projector *projector,
    const struct ims_pca_model *model,
    const float *row,
    double *out)
{
    const imgsim_projector_options *settings = &projector->settings;
    const size_t d = projector->input_dimension, count = model->columns;
    double factor;

    switch (settings->kernel) {
    case IMGSIM_KERNEL_RBF:
        measure_landmarks(true, model, row, d, out);
        for (size_t i = 0; i < count; i++)
            out[i] = exp(-model->gamma * out[i]);
        break;
    case IMGSIM_KERNEL_COSINE:
        measure_landmarks(false, model, row, d, out);
        factor = cosine_factor(row, d);
        for (size_t i = 0; i < count; i++)
            out[i] *= factor * model->landmark_factors[i];
        break;
    case IMGSIM_KERNEL_POLYNOMIAL:
        measure_landmarks(false, model, row, d, out);
        for (size_t i = 0; i < count; i++)
            out[i] = power(model->gamma * out[i] + settings->offset, settings->degree);
        break;
    default:
        for (size_t i = 0; i < count; i++)
            out[i] = ims_kernel_value(settings, model->gamma, row, model->landmarks + i * d, d);
    }
}

void ims_kernel_finish(const imgsim_projector *projector, struct ims_pca_model *model)
{
    const size_t d = projector->input_dimension;

    for (size_t i = 0; model->landmarks != NULL && i < model->columns; i++)
        model->landmark_factors[i] = (float)cosine_factor(model->landmarks + i * d, d);
}

imgsim_status ims_kernel_check(
    const imgsim_projector *projector,
    const float *rows,
    size_t row_count,
    size_t first_row)
{
    const size_t d = projector->input_dimension;
    const int32_t kernel = projector->settings.kernel;

    if (kernel != IMGSIM_KERNEL_CHI_SQUARE && kernel != IMGSIM_KERNEL_INTERSECTION)
        return IMGSIM_OK;
    for (size_t i = 0; i < row_count * d; i++)
        if (rows[i] < 0.0f)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "row %zu, column %zu is %g: this kernel is one of histograms, which have no "
                "negative values",
                first_row + i / d, i % d, (double)rows[i]);
    return IMGSIM_OK;
}
