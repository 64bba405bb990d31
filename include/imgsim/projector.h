/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Principal component analysis: fit on any number of rows in bounded memory, transform, save, load. Exact, certified randomised, and
 * of a kernel's features by landmarks.
 */
#ifndef IMGSIM_PROJECTOR_H
#define IMGSIM_PROJECTOR_H

#include <imgsim/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How the axes are found, when all rows are at hand: imgsim_projector_fit(). Since 0.1. */
enum {
    /** From the sums of products of all rows (default). */
    IMGSIM_PCA_EXACT = 0,
    /** The randomised way where it reads less than it saves, else exact. */
    IMGSIM_PCA_AUTO = 1,
    /**
     * Block Krylov iterations from the axes of a random sample of the rows. Every variance is proved to be within `tolerance`, or the
     * exact way is taken instead; imgsim_pca_report says which.
     */
    IMGSIM_PCA_RANDOMISED = 2
};

/** What rows are compared by before their principal components are taken: k(x, y). Since 0.1. */
enum {
    /** None: plain PCA (default). */
    IMGSIM_KERNEL_NONE = 0,
    /** exp(-gamma |x - y|^2) */
    IMGSIM_KERNEL_RBF = 1,
    /** x.y / (|x| |y|); 0 where a row is zero */
    IMGSIM_KERNEL_COSINE = 2,
    /** (gamma x.y + offset)^degree */
    IMGSIM_KERNEL_POLYNOMIAL = 3,
    /** exp(-gamma sum (x_i - y_i)^2 / (x_i + y_i)), histograms: no negative values */
    IMGSIM_KERNEL_CHI_SQUARE = 4,
    /** sum min(x_i, y_i), histograms */
    IMGSIM_KERNEL_INTERSECTION = 5
};

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
    /** IMGSIM_PCA_EXACT (default), AUTO or RANDOMISED. A kernel takes no other than EXACT. */
    int32_t method;
    /** IMGSIM_KERNEL_NONE (default), RBF, ... */
    int32_t kernel;
    /** RANDOMISED: relative error of a variance at most, above 0 to 0.1. Default 1e-4. */
    double tolerance;
    /** Of the samples and landmarks: same rows, settings and seed, same model. Default 1. */
    uint64_t seed;
    /**
     * RBF, CHI_SQUARE: above 0, or negative (default, -1) for 1 / the median of what it is multiplied with, over pairs of a sample.
     * POLYNOMIAL: above 0, or negative for 1 / input_dimension.
     */
    double gamma;
    /** POLYNOMIAL: added to the product, at least 0. Default 1. */
    double offset;
    /** POLYNOMIAL: 1 to 16. Default 3. */
    uint32_t degree;
    /** Landmarks of a kernel: rows that all others are compared with, 1 to 16384, at least the components. Default 1000. */
    uint32_t landmarks;
    /** Non-zero: landmarks are drawn evenly; 0 (default): as k-means++ draws its seeds, far from one another. */
    int32_t even_landmarks;
    uint32_t reserved;
} imgsim_projector_options;

/** How a fit went; zero it, set struct_size. Since 0.1. */
typedef struct imgsim_pca_report {
    /** sizeof(imgsim_pca_report). */
    size_t struct_size;
    /** IMGSIM_PCA_EXACT or IMGSIM_PCA_RANDOMISED: what made the model. */
    int32_t method;
    /** Times that the randomised way read all rows, also when the exact one had to follow. */
    uint32_t passes;
    /**
     * RANDOMISED: proved bound on the relative error of any variance, which is never too large by more than rounding. EXACT: 0.
     */
    double variance_error;
    /** RANDOMISED: largest |C v - variance v| / variance over the axes v, C the covariance. EXACT: 0. */
    double residual;
    /**
     * RANDOMISED: bound on the sine of the largest angle between the space of the axes and the true one, by Davis & Kahan; 1 where
     * nothing is known, as the next variance is too near the last one's. EXACT: 0.
     */
    double angle;
    /** RANDOMISED: bound on the variance along any direction that no axis tried has a part in. EXACT: 0. */
    double missed_variance;
    /** Probability, over the seed alone, that these bounds are wrong: 1e-9. EXACT: 0. */
    double failure;
    /** The kernel's gamma; 0 without one. */
    double gamma;
} imgsim_pca_report;

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
 * Exact and without a kernel only: other ways read the rows several times, see imgsim_projector_fit().
 *
 * @param rows  row_count x input_dimension floats, finite
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (NaN or infinity: the text names row and column);
 *         IMGSIM_ERROR_NOT_READY (from a file, fitted, or with a kernel); IMGSIM_ERROR_OUT_OF_MEMORY. Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_projector_add(imgsim_projector *projector, const float *rows, size_t row_count);

/**
 * Compute mean, axes and variances of the rows added so far. More rows may be added and this called again.
 * Signs: the component of largest magnitude of each axis is positive.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_READY (fewer than two rows, or fewer rows than
 *         output_dimension, or loaded from a file or fitted, which keeps no sums);
 *         IMGSIM_ERROR_INVALID_ARGUMENT (values so large that their squares overflow). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_projector_train(imgsim_projector *projector);

/**
 * Fit on rows that are all at hand, in memory or mapped: by the method and the kernel of the options. Replaces what was added and
 * trained before. Memory: 8 x input_dimension^2 bytes (EXACT), up to twice that and 4 bytes a row (RANDOMISED), 30 x landmarks^2
 * bytes and the landmarks (kernel), and a tile.
 *
 * @param rows    row_count x input_dimension floats, finite
 * @param report  NULL, or filled in
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_READY (fewer than two rows, than components or than landmarks);
 *         IMGSIM_ERROR_INVALID_ARGUMENT (NaN or infinity: the text names row and column; a kernel of rows that are all the same or have
 *         fewer different directions than components; a negative value where the kernel is one of histograms);
 *         IMGSIM_ERROR_OUT_OF_MEMORY.
 *
 * Source: randomised: Halko, Martinsson & Tropp, SIAM Review 53(2), 2011; Musco & Musco, NIPS 2015; how its certificate is had stands
 * in docs/pca.md. Kernels: Schölkopf, Smola & Müller, Neural Computation 10(5), 1998; Williams & Seeger, NIPS 2000. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_projector_fit(
    imgsim_projector *projector,
    const float *rows,
    size_t row_count,
    imgsim_pca_report *report);

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
/** Mean, input_dimension values; NULL before training and with a kernel. */
IMGSIM_API const float *imgsim_projector_get_mean(const imgsim_projector *projector);
/** Axes, output_dimension x input_dimension, by falling variance; NULL before training and with a kernel. */
IMGSIM_API const float *imgsim_projector_get_axes(const imgsim_projector *projector);
/** Variance along each axis (n - 1 in the denominator), output_dimension values; NULL before training. */
IMGSIM_API const double *imgsim_projector_get_variances(const imgsim_projector *projector);
/** Variance of the rows in all, of a kernel's features as far as the landmarks span them; 0 before training. */
IMGSIM_API double imgsim_projector_get_total_variance(const imgsim_projector *projector);
/** 32 hexadecimal digits that change with mean, axes and settings; "" before training. */
IMGSIM_API const char *imgsim_projector_get_fingerprint(const imgsim_projector *projector);

/** Landmarks of a kernel's projector, as many rows of input_dimension as it was made with; NULL before training and without a kernel. */
IMGSIM_API const float *imgsim_projector_get_landmarks(const imgsim_projector *projector);
/** How many of them there are; 0 without a kernel. */
IMGSIM_API uint32_t imgsim_projector_get_landmark_count(const imgsim_projector *projector);

/** Save a trained projector; the file is replaced atomically. Since 0.1. */
IMGSIM_API imgsim_status imgsim_projector_save(const imgsim_projector *projector, const char *path);

/** Load a projector. @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND; IMGSIM_ERROR_CORRUPT; IMGSIM_ERROR_UNSUPPORTED. Since 0.1. */
IMGSIM_API imgsim_status imgsim_projector_load(const char *path, imgsim_projector **out_projector);

#ifdef __cplusplus
}
#endif

#endif
