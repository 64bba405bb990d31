/* SPDX-License-Identifier: Apache-2.0 */
/* Projectors in files: .ims of the kind "PCA", sections settings, mean, axes, variance, print; with a kernel kernel, landmark. */
#include "project/projector.h"

#include "core/file.h"
#include "core/memory.h"

#include <math.h>
#include <string.h>

#define KIND "PCA"
/* 2 is what has a kernel, so that a library which knows none refuses it. */
#define VERSION 1
#define VERSION_KERNEL 2

/* The section "settings", little-endian; the fields are 8-byte aligned without gaps. */
struct file_settings {
    uint32_t input_dimension;
    uint32_t output_dimension;
    double whiten;
    int32_t normalize;
    uint32_t reserved;
    uint64_t row_count;
    double total_variance;
};

/* The section "kernel". */
struct file_kernel {
    int32_t kernel;
    uint32_t degree;
    uint32_t landmarks;
    uint32_t reserved;
    double gamma;
    double offset;
};

imgsim_status imgsim_projector_save(const imgsim_projector *projector, const char *path)
{
    struct file_settings settings = {0};
    struct file_kernel kernel = {0};
    const struct ims_pca_model *model;
    bool has_kernel;
    size_t d, m;

    if (projector == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "projector and path must not be NULL");
    model = &projector->model;
    if (model->axes == NULL)
        return ims_fail(IMGSIM_ERROR_NOT_READY, "the projector has not been trained");

    has_kernel = model->landmarks != NULL;
    d = model->columns;
    settings.input_dimension = projector->input_dimension;
    m = settings.output_dimension = projector->output_dimension;
    settings.whiten = projector->whiten;
    settings.normalize = projector->normalize;
    settings.row_count = model->row_count;
    settings.total_variance = model->total_variance;
    kernel.kernel = projector->settings.kernel;
    kernel.degree = projector->settings.degree;
    kernel.landmarks = projector->settings.landmarks;
    kernel.gamma = model->gamma;
    kernel.offset = projector->settings.offset;
    {
        const struct ims_section_data sections[] = {
            {"settings", &settings, sizeof(settings)},
            {"mean", model->mean, d * sizeof(double)},
            {"axes", model->axes, m * d * sizeof(float)},
            {"variance", model->variances, m * sizeof(double)},
            {"print", model->fingerprint, 32},
            {"kernel", &kernel, sizeof(kernel)},
            {"landmark", model->landmarks, d * projector->input_dimension * sizeof(float)},
        };
        const size_t count = sizeof(sections) / sizeof(sections[0]);

        return ims_sections_write(
            path, KIND, has_kernel ? VERSION_KERNEL : VERSION, sections,
            has_kernel ? count : count - 2);
    }
}

/* Copy a section of known size. */
/* Values that a projector of ours cannot have. */
static imgsim_status
check_settings(const struct ims_reader *reader, const struct file_settings *settings)
{
    if (settings->input_dimension == 0 || settings->input_dimension > IMS_PROJECTOR_DIMENSION_MAX ||
        settings->output_dimension == 0 ||
        (settings->output_dimension > settings->input_dimension &&
         reader->version < VERSION_KERNEL) ||
        !(settings->whiten >= 0.0 && settings->whiten <= 1.0) ||
        (settings->normalize != 0 && settings->normalize != 1) || settings->reserved != 0 ||
        settings->row_count < 2 || !isfinite(settings->total_variance))
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s has impossible settings", reader->path);
    return IMGSIM_OK;
}

/*
 * The kernel's settings, if there is one. The landmarks' section is looked at before anything is allocated by the numbers that stand
 * in the file.
 */
static imgsim_status read_kernel(
    const struct ims_reader *reader,
    const struct file_settings *settings,
    imgsim_projector_options *options,
    double *out_gamma)
{
    struct file_kernel kernel;
    const void *data;
    size_t size, expected;
    imgsim_status status;

    (void)imgsim_projector_options_init(options, sizeof(*options));
    *out_gamma = 0.0;
    if (reader->version < VERSION_KERNEL)
        return IMGSIM_OK;
    if ((status = ims_reader_copy(reader, "kernel", &kernel, sizeof(kernel))) != IMGSIM_OK ||
        (status = ims_reader_section(reader, "landmark", &data, &size)) != IMGSIM_OK)
        return status;
    expected = (size_t)kernel.landmarks * settings->input_dimension * sizeof(float);
    if (kernel.kernel <= IMGSIM_KERNEL_NONE || kernel.kernel > IMGSIM_KERNEL_INTERSECTION ||
        kernel.landmarks == 0 || kernel.landmarks > IMS_LANDMARKS_MAX || kernel.degree == 0 ||
        kernel.degree > IMS_DEGREE_MAX || kernel.reserved != 0 ||
        settings->output_dimension > kernel.landmarks || !isfinite(kernel.gamma) ||
        kernel.gamma < 0.0 || !isfinite(kernel.offset) || kernel.offset < 0.0 || size != expected)
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s has an impossible kernel", reader->path);
    options->kernel = kernel.kernel;
    options->degree = kernel.degree;
    options->landmarks = kernel.landmarks;
    options->offset = kernel.offset;
    *out_gamma = kernel.gamma;
    return IMGSIM_OK;
}

static imgsim_status read_landmarks(const struct ims_reader *reader, imgsim_projector *projector)
{
    struct ims_pca_model *model = &projector->model;
    const size_t count = model->columns * projector->input_dimension;
    imgsim_status status;

    if (model->landmarks == NULL)
        return IMGSIM_OK;
    status = ims_reader_copy(reader, "landmark", model->landmarks, count * sizeof(float));
    for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
        if (!isfinite(model->landmarks[i]))
            status = ims_fail(
                IMGSIM_ERROR_CORRUPT, "%s: landmark %zu is not finite", reader->path,
                i / projector->input_dimension);
    return status;
}

static imgsim_status read_model(const struct ims_reader *reader, imgsim_projector *projector)
{
    struct ims_pca_model *model = &projector->model;
    const size_t d = model->columns;
    const size_t m = projector->output_dimension;
    char fingerprint[33] = "";
    imgsim_status status;

    if ((status = ims_reader_copy(reader, "mean", model->mean, d * sizeof(double))) != IMGSIM_OK ||
        (status = ims_reader_copy(reader, "axes", model->axes, m * d * sizeof(float))) !=
            IMGSIM_OK ||
        (status = ims_reader_copy(reader, "variance", model->variances, m * sizeof(double))) !=
            IMGSIM_OK ||
        (status = ims_reader_copy(reader, "print", fingerprint, 32)) != IMGSIM_OK ||
        (status = read_landmarks(reader, projector)) != IMGSIM_OK ||
        (status = ims_pca_model_finish(projector, model)) != IMGSIM_OK)
        return status;
    if (strcmp(fingerprint, model->fingerprint) != 0)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "%s: its fingerprint is not that of its content", reader->path);
    for (size_t i = 0; i < m * d; i++)
        if (!isfinite(model->axes[i]))
            return ims_fail(
                IMGSIM_ERROR_CORRUPT, "%s: axis %zu is not finite", reader->path, i / d);
    return IMGSIM_OK;
}

imgsim_status imgsim_projector_load(const char *path, imgsim_projector **out_projector)
{
    struct ims_reader reader = {0};
    struct file_settings settings;
    imgsim_projector_options options;
    imgsim_projector *projector = NULL;
    imgsim_status status;
    double gamma;

    if (path == NULL || out_projector == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "path and out_projector must not be NULL");
    *out_projector = NULL;

    if ((status = ims_reader_open(&reader, path, KIND, VERSION_KERNEL, true)) != IMGSIM_OK ||
        (status = ims_reader_copy(&reader, "settings", &settings, sizeof(settings))) != IMGSIM_OK ||
        (status = check_settings(&reader, &settings)) != IMGSIM_OK ||
        (status = read_kernel(&reader, &settings, &options, &gamma)) != IMGSIM_OK ||
        (status = imgsim_projector_new(
             settings.input_dimension, settings.output_dimension, &options, &projector)) !=
            IMGSIM_OK)
        goto done;
    projector->whiten = settings.whiten;
    projector->normalize = settings.normalize;
    projector->loaded = true;
    if ((status = ims_pca_model_init(projector, &projector->model)) != IMGSIM_OK)
        goto done;
    projector->model.gamma = gamma;
    projector->model.row_count = settings.row_count;
    projector->model.total_variance = settings.total_variance;
    if ((status = read_model(&reader, projector)) != IMGSIM_OK)
        goto done;

    *out_projector = projector;
    projector = NULL; /* now the caller's */

done:
    imgsim_projector_free(projector);
    ims_reader_close(&reader);
    return status;
}
