/* SPDX-License-Identifier: Apache-2.0 */
/* Principal component analysis: fit on any number of rows in bounded memory, transform, save, load. */
#ifndef IMGSIM_PROJECTOR_H
#define IMGSIM_PROJECTOR_H

#include <imgsim/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Mean, principal axes and variances. Release it with imgsim_projector_free(). Since 0.1. */
typedef struct imgsim_projector imgsim_projector;

/** Settings of a projector; fill with imgsim_projector_options_init(). Since 0.1. */
typedef struct imgsim_projector_options {
    /** Written by the init function. */
    size_t struct_size;
    /**
     * Each component is multiplied by its variance to the power of -whiten / 2: 0 (default) is plain PCA, 1 full
     * whitening, 0.5 half. 0 to 1. Components that cannot be told from rounding (a variance of
     * at most 1.2e-7 of the largest) become 0 when whitened.
     */
    double whiten;
    /** Non-zero: scale every projected row to length 1. Default 0. */
    int32_t normalize;
    /** Threads, 0 for one per processor (default). The result does not depend on it. */
    uint32_t threads;
} imgsim_projector_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_projector_options_init(imgsim_projector_options *options, size_t struct_size);

/**
 * Make an empty projector.
 *
 * @param input_dimension   1 to 65536
 * @param output_dimension  1 to input_dimension; known good: 50, 75, 100, 128, 200, 256
 * @param options           NULL for the defaults
 */
IMGSIM_API imgsim_status imgsim_projector_new(
    uint32_t input_dimension,
    uint32_t output_dimension,
    const imgsim_projector_options *options,
    imgsim_projector **out_projector);

/** Release a projector; NULL is fine. */
IMGSIM_API void imgsim_projector_free(imgsim_projector *projector);

/**
 * Take in training rows; call it as often as there are tiles. Memory: 8 x input_dimension^2 bytes and a tile.
 * The sums are exact in the sense of Chan, Golub & LeVeque: rows in one call or in many give the same
 * model to rounding.
 *
 * @param rows  row_count x input_dimension floats, finite
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (NaN or infinity: the text names row and column);
 *         IMGSIM_ERROR_OUT_OF_MEMORY. Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_projector_add(imgsim_projector *projector, const float *rows, size_t row_count);

/**
 * Compute mean, axes and variances of the rows added so far. More rows may be added and this called again.
 * Signs: the component of largest magnitude of each axis is positive.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_READY (fewer than two rows, or fewer rows than
 *         output_dimension, or loaded from a file, which keeps no sums);
 *         IMGSIM_ERROR_INVALID_ARGUMENT (values so large that their squares overflow). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_projector_train(imgsim_projector *projector);

/**
 * Project rows.
 *
 * @param rows      row_count x input_dimension floats
 * @param out_rows  row_count x output_dimension floats
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_READY (not trained); IMGSIM_ERROR_INVALID_ARGUMENT (NaN or
 *         infinity: the text names row and column); IMGSIM_ERROR_OUT_OF_MEMORY. A row gives the same
 *         bits alone and among others. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_projector_transform(
    const imgsim_projector *projector,
    const float *rows,
    size_t row_count,
    float *out_rows);

/** Values in an input row. */
IMGSIM_API uint32_t imgsim_projector_get_input_dimension(const imgsim_projector *projector);
/** Values in a projected row. */
IMGSIM_API uint32_t imgsim_projector_get_output_dimension(const imgsim_projector *projector);
/** Rows trained on; 0 before training. */
IMGSIM_API uint64_t imgsim_projector_get_row_count(const imgsim_projector *projector);
/** Mean, input_dimension values; NULL before training. */
IMGSIM_API const float *imgsim_projector_get_mean(const imgsim_projector *projector);
/** Axes, output_dimension x input_dimension, by falling variance; NULL before training. */
IMGSIM_API const float *imgsim_projector_get_axes(const imgsim_projector *projector);
/** Variance along each axis (n - 1 in the denominator), output_dimension values; NULL before training. */
IMGSIM_API const double *imgsim_projector_get_variances(const imgsim_projector *projector);
/** Variance of the rows in all; 0 before training. */
IMGSIM_API double imgsim_projector_get_total_variance(const imgsim_projector *projector);
/** 32 hexadecimal digits that change with mean, axes and settings; "" before training. */
IMGSIM_API const char *imgsim_projector_get_fingerprint(const imgsim_projector *projector);

/** Save a trained projector; the file is replaced atomically. Since 0.1. */
IMGSIM_API imgsim_status imgsim_projector_save(const imgsim_projector *projector, const char *path);

/** Load a projector. @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND; IMGSIM_ERROR_CORRUPT; IMGSIM_ERROR_UNSUPPORTED. Since 0.1. */
IMGSIM_API imgsim_status imgsim_projector_load(const char *path, imgsim_projector **out_projector);

#ifdef __cplusplus
}
#endif

#endif
