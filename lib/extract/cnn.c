/* SPDX-License-Identifier: Apache-2.0 */
/* CNN embeddings as an extractor: options, preprocessing, normalised rows, specification. */
#include "extract/cnn.h"
#include "extract/extractor.h"

#include "core/file.h"
#include "core/memory.h"
#include "core/options.h"
#include "image/image.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Raised when the same weights and settings give other rows than before. */
#define DEFINITION "1"

static const char *const precision_names[] = {"fp32", "bf16"};
static const char *const preprocess_names[] = {"torchvision", "squeeze"};

/* ---- options ---- */

static const imgsim_cnn_options defaults = {
    .struct_size = sizeof(imgsim_cnn_options),
    .precision = IMGSIM_PRECISION_FP32,
    .preprocess = IMGSIM_PREPROCESS_TORCHVISION,
    .batch_size = 16,
};

imgsim_status imgsim_cnn_options_init(imgsim_cnn_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

static imgsim_status check_sha256_text(const char *text)
{
    size_t digits = 0;

    while (isxdigit((unsigned char)text[digits]))
        digits++;
    if (digits != 64 || text[digits] != '\0')
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "sha256 must be 64 hexadecimal digits");
    return IMGSIM_OK;
}

static imgsim_status check_options(const imgsim_cnn_options *options)
{
    if (options->model_path == NULL || *options->model_path == '\0')
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "model_path must be set");
    if (options->precision < IMGSIM_PRECISION_FP32 || options->precision > IMGSIM_PRECISION_BF16)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown precision %d", options->precision);
    if (options->preprocess < IMGSIM_PREPROCESS_TORCHVISION ||
        options->preprocess > IMGSIM_PREPROCESS_SQUEEZE)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown preprocess %d", options->preprocess);
    if (options->batch_size < 1 || options->batch_size > 256)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "batch_size is %u, expected 1 to 256",
            options->batch_size);
    if (options->input_size != 0 && (options->input_size < 32 || options->input_size > 1024))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "input_size is %u, expected 32 to 1024",
            options->input_size);
    if (options->reserved != 0)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "options: reserved must be 0");
    if (options->threads > 1024)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "threads is %u, expected 0 to 1024", options->threads);
    return options->sha256 != NULL ? check_sha256_text(options->sha256) : IMGSIM_OK;
}

/* ---- preprocessing ---- */

/*
 * Shorter side after resizing: 256 for 224, 342 for 299, and in the same proportion for other
 * sizes.
 */
static uint32_t resize_side(uint32_t input_size)
{
    return (input_size * 256 + 112) / 224;
}

/*
 * Offset of a centre crop: round((length - size) / 2.0) of Python, where halves go to the even
 * number.
 */
static uint32_t crop_offset(uint32_t length, uint32_t size)
{
    const uint32_t half = (length - size) / 2;

    return half + ((length - size) % 2 == 1 && half % 2 == 1 ? 1 : 0);
}

/*
 * torchvision's Resize (shorter side to `side`, the longer truncated) and CenterCrop in one step:
 * the crop's window of the resized picture is a box of the image, at the very scale of the
 * resizing.
 */
static imgsim_status resize_and_crop(const imgsim_image *image, uint32_t size, uint8_t *out)
{
    const uint32_t side = resize_side(size);
    const uint64_t shorter = image->width < image->height ? image->width : image->height;
    const uint64_t longer = image->width < image->height ? image->height : image->width;
    const uint32_t long_side = (uint32_t)(side * longer / shorter);
    const uint32_t width = image->width <= image->height ? side : long_side;
    const uint32_t height = image->width <= image->height ? long_side : side;
    const double x_scale = (double)image->width / width;
    const double y_scale = (double)image->height / height;

    return ims_resample_rgb(
        image, crop_offset(width, size) * x_scale, crop_offset(height, size) * y_scale,
        size * x_scale, size * y_scale, size, size, out);
}

imgsim_status
ims_cnn_prepare(const imgsim_extractor *extractor, const imgsim_image *image, void *out_input)
{
    const struct ims_cnn *cnn = (const struct ims_cnn *)extractor;
    const uint32_t size = cnn->model.input_size;

    if (cnn->preprocess == IMGSIM_PREPROCESS_TORCHVISION)
        return resize_and_crop(image, size, out_input);
    return ims_resample_rgb(image, 0, 0, image->width, image->height, size, size, out_input);
}

/* ---- rows ---- */

/* Scale to length 1, all zeros stay; false if a value is NaN or infinite. */
static int normalise(float *row, uint32_t dimension)
{
    double sum = 0, scale;

    for (uint32_t i = 0; i < dimension; i++)
        sum += (double)row[i] * row[i];
    if (!isfinite(sum))
        return 0;
    scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (uint32_t i = 0; i < dimension; i++)
        row[i] = (float)(row[i] * scale);
    return 1;
}

static imgsim_status
run(const imgsim_extractor *extractor, const void *inputs, size_t count, void *out_rows)
{
    const struct ims_cnn *cnn = (const struct ims_cnn *)extractor;
    float *rows = out_rows;
    imgsim_status status;

    if ((status = ims_cnn_run(cnn, inputs, count, rows)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        if (!normalise(rows + i * cnn->model.dimension, cnn->model.dimension))
            return ims_fail(
                IMGSIM_ERROR_CORRUPT,
                "%s gives values that are not finite: its weights are unusable",
                cnn->model.architecture);
    return IMGSIM_OK;
}

static void free_cnn(imgsim_extractor *extractor)
{
    struct ims_cnn *cnn = (struct ims_cnn *)extractor;

    ims_cnn_model_close(&cnn->model);
    ims_class_memory_free(cnn->memory);
}

static const struct ims_extractor_kind cnn_kind = {
    .name = "cnn",
    .prepare = ims_cnn_prepare,
    .run = run,
    .free = free_cnn,
};

/* ---- making one ---- */

/*
 * Text of everything but the file, and with it: the fingerprint must not depend on where the file
 * lies.
 */
static imgsim_status make_specs(
    const struct ims_cnn *cnn,
    const imgsim_cnn_options *options,
    char *settings,
    size_t settings_size,
    char **out_spec)
{
    char *path = NULL, *spec = NULL;
    imgsim_status status;
    size_t size;

    snprintf(
        settings, settings_size, "cnn:arch=%s,precision=%s,preprocess=%s,size=%u",
        cnn->model.architecture, precision_names[options->precision],
        preprocess_names[options->preprocess], cnn->model.input_size);
    if ((status = ims_absolute_path(options->model_path, &path)) != IMGSIM_OK)
        return status;
    size = strlen(settings) + strlen(path) + sizeof(",model=");
    if ((spec = ims_alloc(size)) == NULL)
        status = ims_fail_memory(size);
    else
        snprintf(spec, size, "%s,model=%s", settings, path);
    ims_free(path);
    *out_spec = spec;
    return status;
}

static imgsim_status finish(struct ims_cnn *cnn, const imgsim_cnn_options *options)
{
    char settings[128], extra[64];
    char *spec = NULL;
    imgsim_status status;
    const size_t side = cnn->model.input_size;

    if ((status = make_specs(cnn, options, settings, sizeof(settings), &spec)) != IMGSIM_OK)
        return status;
    snprintf(extra, sizeof(extra), DEFINITION ":%s", cnn->model.weights_hash);
    status = ims_extractor_init(
        &cnn->base, &cnn_kind, "embedding", IMGSIM_ROW_FLOAT32, cnn->model.dimension,
        IMGSIM_METRIC_COSINE, settings, extra);
    if (status != IMGSIM_OK) {
        ims_free(spec);
        return status;
    }
    ims_free(cnn->base.spec);
    cnn->base.spec = spec;
    cnn->preprocess = options->preprocess;
    cnn->base.min_side = options->preprocess == IMGSIM_PREPROCESS_TORCHVISION
                             ? resize_side(cnn->model.input_size)
                             : cnn->model.input_size;
    cnn->base.input_size = side * side * 3;
    cnn->base.batch_size = options->batch_size;
    return IMGSIM_OK;
}

imgsim_status
imgsim_extractor_new_cnn(const imgsim_cnn_options *given, imgsim_extractor **out_extractor)
{
    imgsim_cnn_options options = defaults;
    struct ims_cnn *cnn = NULL;
    imgsim_status status;

    if (out_extractor == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_extractor must not be NULL");
    *out_extractor = NULL;
    if ((status = ims_options_read(&options, sizeof(options), given)) != IMGSIM_OK ||
        (status = check_options(&options)) != IMGSIM_OK)
        return status;

    if ((cnn = ims_calloc(1, sizeof(*cnn))) == NULL)
        return ims_fail_memory(sizeof(*cnn));
    if ((status = ims_cnn_model_open(&cnn->model, &options)) != IMGSIM_OK ||
        (options.classes && (status = ims_class_memory_new(&cnn->memory)) != IMGSIM_OK) ||
        (status = finish(cnn, &options)) != IMGSIM_OK)
        goto done;

    *out_extractor = &cnn->base;
    cnn = NULL; /* now the caller's */

done:
    if (cnn != NULL) {
        ims_cnn_model_close(&cnn->model);
        ims_class_memory_free(cnn->memory);
        ims_free(cnn->base.spec);
        ims_free(cnn);
    }
    return status;
}

/* ---- from a specification ---- */

/* Index of `text` (length bytes) among two names, or -1. */
static int32_t which(const char *const names[2], const char *text, size_t length)
{
    for (int32_t i = 0; i < 2; i++)
        if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0)
            return i;
    return -1;
}

/* One KEY=VALUE of a specification into the options; false if it is none. */
static int read_setting(
    const char *key,
    size_t length,
    imgsim_cnn_options *options,
    char *arch,
    size_t arch_size)
{
    const char *equals = memchr(key, '=', length);
    size_t key_length, value_length;

    if (equals == NULL)
        return 0;
    key_length = (size_t)(equals - key);
    value_length = length - key_length - 1;
    if (key_length == 4 && memcmp(key, "arch", 4) == 0 && value_length < arch_size) {
        snprintf(arch, arch_size, "%.*s", (int)value_length, equals + 1);
        options->architecture = arch;
        return 1;
    }
    if (key_length == 9 && memcmp(key, "precision", 9) == 0)
        return (options->precision = which(precision_names, equals + 1, value_length)) >= 0;
    if (key_length == 10 && memcmp(key, "preprocess", 10) == 0)
        return (options->preprocess = which(preprocess_names, equals + 1, value_length)) >= 0;
    if (key_length == 5 && memcmp(key, "count", 5) == 0)
        return 1; /* of classes; no setting of the network */
    if (key_length == 4 && memcmp(key, "size", 4) == 0)
        return (options->input_size = (uint32_t)strtoul(equals + 1, NULL, 10)) > 0;
    return 0;
}

/* "cnn:KEY=VALUE,...,model=PATH", or "classes:..."; the path comes last and may contain anything. */
static imgsim_status
read_spec(const char *spec, imgsim_cnn_options *options, char *arch, size_t arch_size)
{
    const char *at = strchr(spec, ':');

    if (at == NULL || (strncmp(spec, "cnn:", 4) != 0 && strncmp(spec, "classes:", 8) != 0))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "not a CNN's specification: \"%.200s\"", spec);
    at++;
    while (strncmp(at, "model=", 6) != 0) {
        const char *comma = strchr(at, ',');

        if (comma == NULL || !read_setting(at, (size_t)(comma - at), options, arch, arch_size))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "a CNN's specification that this version does not understand: "
                "\"%.200s\"",
                spec);
        at = comma + 1;
    }
    options->model_path = at + 6;
    return IMGSIM_OK;
}

imgsim_status
ims_extractor_new_cnn_spec(const char *spec, const char *fingerprint, imgsim_extractor **out)
{
    imgsim_cnn_options options = defaults;
    imgsim_extractor *extractor = NULL;
    char arch[64] = "";
    imgsim_status status;

    *out = NULL;
    if ((status = read_spec(spec, &options, arch, sizeof(arch))) != IMGSIM_OK)
        return status;
    /* A catalog may come from anywhere: it must not make a program of its choice run. */
    if (strcmp(arch, "torchscript") == 0)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "the features come from a TorchScript file, which is a program: %.200s; "
            "open it yourself with trust_model (--trust-model) and give the extractor",
            options.model_path);
    if ((status = imgsim_extractor_new_cnn(&options, &extractor)) != IMGSIM_OK)
        return status;
    if (strcmp(extractor->fingerprint, fingerprint) != 0) {
        imgsim_extractor_free(extractor);
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "the weights in %.300s are not those the features were made with",
            options.model_path);
    }
    *out = extractor;
    return IMGSIM_OK;
}

static const struct ims_extractor_kind cnn_input_kind = {.name = "cnn", .prepare = ims_cnn_prepare};

imgsim_status ims_extractor_new_cnn_input(const char *spec, imgsim_extractor **out)
{
    imgsim_cnn_options options = defaults;
    struct ims_cnn *cnn = NULL;
    char arch[64] = "";
    imgsim_status status;

    *out = NULL;
    if ((status = read_spec(spec, &options, arch, sizeof(arch))) != IMGSIM_OK)
        return status;
    if ((cnn = ims_calloc(1, sizeof(*cnn))) == NULL)
        return ims_fail_memory(sizeof(*cnn));
    cnn->model.input_size = options.input_size;
    cnn->preprocess = options.preprocess;
    status = ims_extractor_init(
        &cnn->base, &cnn_input_kind, "embedding", IMGSIM_ROW_FLOAT32, 1, IMGSIM_METRIC_COSINE, spec,
        NULL);
    if (status != IMGSIM_OK) {
        ims_free(cnn->base.spec);
        ims_free(cnn);
        return status;
    }
    cnn->base.input_size = (size_t)options.input_size * options.input_size * 3;
    *out = &cnn->base;
    return IMGSIM_OK;
}
