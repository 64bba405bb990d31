/* SPDX-License-Identifier: Apache-2.0 */
/* From an image to a row of numbers: colour histogram, perceptual hash, CNN embedding, or the host's own. */
#ifndef IMGSIM_EXTRACTOR_H
#define IMGSIM_EXTRACTOR_H

#include <imgsim/image.h>
#include <imgsim/metric.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Makes feature rows. Immutable: const calls may run on any number of threads. Since 0.1. */
typedef struct imgsim_extractor imgsim_extractor;

/** Colour spaces of a histogram. Since 0.1. */
enum {
    IMGSIM_COLOR_RGB = 0,
    /** Hue, saturation, value, each scaled to 0..255 (hue: 256 steps to the circle). */
    IMGSIM_COLOR_HSV = 1,
    /** CIE L*a*b* (D65) in 8 bits: L* 255 / 100, a* + 128, b* + 128. */
    IMGSIM_COLOR_LAB = 2
};

/** Settings of a colour histogram; fill with imgsim_color_options_init(). Since 0.1. */
typedef struct imgsim_color_options {
    /** Written by the init function. */
    size_t struct_size;
    /** IMGSIM_COLOR_RGB (default), HSV or LAB. */
    int32_t space;
    /** Bins of the first, second and third channel, 2 to 32 each. Default 16, 16, 16. */
    uint32_t bins[3];
} imgsim_color_options;

/** Perceptual hashes. Since 0.1. */
enum {
    /** Signs of low DCT frequencies against their median. */
    IMGSIM_HASH_PHASH = 0,
    /** Signs of horizontal differences. */
    IMGSIM_HASH_DHASH = 1,
    /** Pixels against their mean. */
    IMGSIM_HASH_AHASH = 2
};

/** Settings of a perceptual hash; fill with imgsim_hash_options_init(). Since 0.1. */
typedef struct imgsim_hash_options {
    /** Written by the init function. */
    size_t struct_size;
    /** IMGSIM_HASH_PHASH (default), DHASH or AHASH. */
    int32_t kind;
    /** 64 (default) or 256. */
    uint32_t bits;
} imgsim_hash_options;

/** Number format a network computes in. Since 0.1. */
enum { IMGSIM_PRECISION_FP32 = 0, IMGSIM_PRECISION_BF16 = 1 };

/** How an image becomes the network's input. Since 0.1. */
enum {
    /** torchvision's evaluation transform: shorter side to 256 (299: 342), centre crop, ImageNet mean and deviation. */
    IMGSIM_PREPROCESS_TORCHVISION = 0,
    /** The whole image squeezed to the input size, then ImageNet mean and deviation. */
    IMGSIM_PREPROCESS_SQUEEZE = 1
};

/** Settings of a CNN embedding; fill with imgsim_cnn_options_init(). Since 0.1. */
typedef struct imgsim_cnn_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Weights: a .safetensors file, or a TorchScript file (only with trust_model). Must be set. */
    const char *model_path;
    /**
     * "mobilenet_v2", "squeezenet1_1", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
     * "inception_v3"; NULL recognises it by the tensors' names and shapes. Ignored for TorchScript.
     * InceptionV3 takes its input as inception_v3(transform_input=False) does, unless the file's metadata say
     * "transform_input": "true" (as torchvision's own weights need: imgsim.convert --transform-input).
     */
    const char *architecture;
    /** Expected SHA-256 of the file, 64 hexadecimal digits; NULL does not check. */
    const char *sha256;
    /** IMGSIM_PRECISION_FP32 (default) or BF16. */
    int32_t precision;
    /** IMGSIM_PREPROCESS_TORCHVISION (default) or SQUEEZE. */
    int32_t preprocess;
    /** Non-zero: a TorchScript file may be opened. It is a program and can do anything. Default 0. */
    int32_t trust_model;
    /**
     * Threads of the network, 0 for one per processor (default). They belong to the extractor. In fp32 each has a copy of
     * the weights; fewer threads run where the copies would exceed 2 GiB. The rows do not depend on their number.
     */
    uint32_t threads;
    /** Images that go through the network together, 1 to 256. Default 16. */
    uint32_t batch_size;
    /** Side of the network's input in pixels; 0 (default): 224, InceptionV3 299. 32 to 1024. */
    uint32_t input_size;
    /**
     * Non-zero: keep the last layer, so that imgsim_extractor_new_classes() can tell classes; the embedding's rows and fingerprint do
     * not change. Not with TorchScript. Default 0.
     */
    int32_t classes;
    uint32_t reserved;
} imgsim_cnn_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_color_options_init(imgsim_color_options *options, size_t struct_size);
/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status imgsim_hash_options_init(imgsim_hash_options *options, size_t struct_size);
/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status imgsim_cnn_options_init(imgsim_cnn_options *options, size_t struct_size);

/**
 * Make an extractor of colour histograms: exact pixel counts, bins[0] x bins[1] x bins[2] uint32_t, last
 * channel fastest, bin of a value v in 0..255: v * bins / 256. Default metric: intersection.
 *
 * @param options        NULL for the defaults
 * @param out_extractor  returned: release with imgsim_extractor_free()
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_UNSUPPORTED (unknown space). Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_extractor_new_color(const imgsim_color_options *options, imgsim_extractor **out_extractor);

/**
 * Make an extractor of perceptual hashes (docs/features.md defines each): 64 or 256 bits, most
 * significant bit of the first byte first, so that its hexadecimal form reads row by row. Default metric: Hamming.
 *
 * Source of pHash: Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_UNSUPPORTED (unknown kind). Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_extractor_new_hash(const imgsim_hash_options *options, imgsim_extractor **out_extractor);

/**
 * Make an extractor of CNN embeddings: the network without its last layer, pooled, of length 1 (or all
 * zeros). Default metric: cosine. Opens the torch module.
 *
 * Dimensions: MobileNetV2 1280, SqueezeNet 512, ResNet-18 and -34 512, ResNet-50, -101, -152 2048, InceptionV3 2048.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_NOT_FOUND (no such file);
 *         IMGSIM_ERROR_UNSUPPORTED (no torch module, unknown architecture, TorchScript without trust,
 *         a pickled .pth file, `classes` without a last layer); IMGSIM_ERROR_CORRUPT (truncated, wrong checksum, missing tensors, wrong
 *         shapes, NaN weights). Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_extractor_new_cnn(const imgsim_cnn_options *options, imgsim_extractor **out_extractor);

/** Classes that a row of imgsim_extractor_new_classes() has at most. Since 0.1. */
#define IMGSIM_TOP_CLASSES 5

/**
 * Make an extractor of the classes that a network tells apart by its last layer, as torchvision's models tell those of ImageNet: the
 * IMGSIM_TOP_CLASSES most probable ones with their probabilities (softmax over all). It shares the network: an image that both
 * extractors of a scan look at goes through it once.
 *
 * Its name is "classes", its row type IMGSIM_ROW_BYTES: up to IMGSIM_TOP_CLASSES records (fewer if the network has fewer classes) of a
 * uint32_t, the number of the class from 0, and a float, its probability; the most probable first, equal ones by number. A row from
 * imgsim_extractor_extract() begins with the number of bytes that follow, a uint32_t; imgsim_features_get_bytes() reads those that a
 * scan stored, and imgsim_derive_predictions() makes labels of them.
 *
 * @param network  made by imgsim_extractor_new_cnn() with the option `classes`; kept alive
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (no such network). Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_extractor_new_classes(const imgsim_extractor *network, imgsim_extractor **out_extractor);

/** The host's extractor as a table of callbacks; zero it, set struct_size, fill it. Since 0.1. */
typedef struct imgsim_host_extractor {
    /** sizeof(imgsim_host_extractor). */
    size_t struct_size;
    /** Short name, 1 to 63 of [a-z0-9_-]; copied. */
    const char *name;
    /** All that changes the output, in the host's words ("v2, 64 px"); copied. */
    const char *version;
    /** Values, or bits, in a row: 1 to 65536. */
    uint32_t dimension;
    /** IMGSIM_ROW_FLOAT32, UINT32 or BITS. */
    int32_t row_type;
    /** A metric of that row type. */
    int32_t default_metric;
    /** 0: extract is called from one thread at a time. Non-zero: from several together. */
    int32_t concurrent;
    /**
     * Fill image_count rows, one after another. Non-zero: failure of this batch, which is then tried image by image.
     */
    int32_t (*extract)(
        const imgsim_image *const *images,
        size_t image_count,
        void *out_rows,
        void *user_data);
    /** Called when the extractor is released (optional). */
    void (*release)(void *user_data);
} imgsim_host_extractor;

/**
 * Make an extractor of the host's own. The table is copied; user_data is the host's until `release`.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (a field out of range, the message names it). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_extractor_new_host(
    const imgsim_host_extractor *table,
    void *user_data,
    imgsim_extractor **out_extractor);

/**
 * Make an extractor from its specification, the text that imgsim_extractor_get_spec() returns, for instance
 * "color:space=rgb,bins=16x16x16" or "hash:kind=phash,bits=64". A catalog remembers its extractors so.
 * Specifications of CNNs and of the host's extractors are refused: they need a file or functions.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_UNSUPPORTED. Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_extractor_new_spec(const char *spec, imgsim_extractor **out_extractor);

/** Release an extractor; NULL is fine. */
IMGSIM_API void imgsim_extractor_free(imgsim_extractor *extractor);

/** Values, or bits, in a row. */
IMGSIM_API uint32_t imgsim_extractor_get_dimension(const imgsim_extractor *extractor);
/** IMGSIM_ROW_FLOAT32, UINT32 or BITS. */
IMGSIM_API int32_t imgsim_extractor_get_row_type(const imgsim_extractor *extractor);
/** Bytes of a row. */
IMGSIM_API size_t imgsim_extractor_get_row_size(const imgsim_extractor *extractor);
/** Metric that suits its rows. */
IMGSIM_API int32_t imgsim_extractor_get_default_metric(const imgsim_extractor *extractor);
/** Name its feature gets in a catalog unless the host gives another: "color", "hash", "embedding", or the host's. */
IMGSIM_API const char *imgsim_extractor_get_name(const imgsim_extractor *extractor);
/** What it is, as text; see imgsim_extractor_new_spec(). */
IMGSIM_API const char *imgsim_extractor_get_spec(const imgsim_extractor *extractor);
/** 32 hexadecimal digits that change with whatever changes its rows: settings, weights, definition. */
IMGSIM_API const char *imgsim_extractor_get_fingerprint(const imgsim_extractor *extractor);
/** Shorter side in pixels its images need (imgsim_image_options.min_side); 0: any size will do. */
IMGSIM_API uint32_t imgsim_extractor_get_min_side(const imgsim_extractor *extractor);

/**
 * Compute one row per image.
 *
 * @param images       image_count images, borrowed; a NULL among them is refused
 * @param image_count  0 or more; a network takes them in batches
 * @param out_rows     image_count rows of imgsim_extractor_get_row_size() bytes
 * @param out_size     bytes of out_rows, at least what is needed
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_CALLBACK (a host's extractor failed);
 *         IMGSIM_ERROR_OUT_OF_MEMORY. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_extractor_extract(
    const imgsim_extractor *extractor,
    const imgsim_image *const *images,
    size_t image_count,
    void *out_rows,
    size_t out_size);

#ifdef __cplusplus
}
#endif

#endif
