/* SPDX-License-Identifier: Apache-2.0 */
/* Projectors in files: .ims of the kind "PCA", sections settings, mean, axes, variance, print. */
#include "project/projector.h"

#include "core/file.h"
#include "core/memory.h"

#include <math.h>
#include <string.h>

#define KIND "PCA"
#define VERSION 1

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

imgsim_status imgsim_projector_save(const imgsim_projector *projector, const char *path)
{
    struct file_settings settings = {0};
    const struct ims_pca_model *model;
    size_t d, m;

    if (projector == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "projector and path must not be NULL");
    model = &projector->model;
    if (model->axes == NULL)
        return ims_fail(IMGSIM_ERROR_NOT_READY, "the projector has not been trained");

    d = settings.input_dimension = projector->input_dimension;
    m = settings.output_dimension = projector->output_dimension;
    settings.whiten = projector->whiten;
    settings.normalize = projector->normalize;
    settings.row_count = model->row_count;
    settings.total_variance = model->total_variance;
    {
        const struct ims_section_data sections[] = {
            {"settings", &settings, sizeof(settings)},
            {"mean", model->mean, d * sizeof(double)},
            {"axes", model->axes, m * d * sizeof(float)},
            {"variance", model->variances, m * sizeof(double)},
            {"print", model->fingerprint, 32},
        };

        return ims_sections_write(
            path, KIND, VERSION, sections, sizeof(sections) / sizeof(sections[0]));
    }
}

/* Copy a section of known size. */
/* Values that a projector of ours cannot have. */
static imgsim_status
check_settings(const struct ims_reader *reader, const struct file_settings *settings)
{
    if (settings->input_dimension == 0 || settings->input_dimension > IMS_PROJECTOR_DIMENSION_MAX ||
        settings->output_dimension == 0 || settings->output_dimension > settings->input_dimension ||
        !(settings->whiten >= 0.0 && settings->whiten <= 1.0) ||
        (settings->normalize != 0 && settings->normalize != 1) || settings->reserved != 0 ||
        settings->row_count < 2 || !isfinite(settings->total_variance))
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s has impossible settings", reader->path);
    return IMGSIM_OK;
}

static imgsim_status read_model(const struct ims_reader *reader, imgsim_projector *projector)
{
    const size_t d = projector->input_dimension;
    const size_t m = projector->output_dimension;
    struct ims_pca_model *model = &projector->model;
    char fingerprint[33] = "";
    imgsim_status status;

    if ((status = ims_reader_copy(reader, "mean", model->mean, d * sizeof(double))) != IMGSIM_OK ||
        (status = ims_reader_copy(reader, "axes", model->axes, m * d * sizeof(float))) !=
            IMGSIM_OK ||
        (status = ims_reader_copy(reader, "variance", model->variances, m * sizeof(double))) !=
            IMGSIM_OK ||
        (status = ims_reader_copy(reader, "print", fingerprint, 32)) != IMGSIM_OK ||
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
    imgsim_projector *projector = NULL;
    imgsim_status status;

    if (path == NULL || out_projector == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "path and out_projector must not be NULL");
    *out_projector = NULL;

    if ((status = ims_reader_open(&reader, path, KIND, VERSION, true)) != IMGSIM_OK ||
        (status = ims_reader_copy(&reader, "settings", &settings, sizeof(settings))) != IMGSIM_OK ||
        (status = check_settings(&reader, &settings)) != IMGSIM_OK ||
        (status = imgsim_projector_new(
             settings.input_dimension, settings.output_dimension, NULL, &projector)) != IMGSIM_OK)
        goto done;
    projector->whiten = settings.whiten;
    projector->normalize = settings.normalize;
    projector->loaded = true;
    if ((status = ims_pca_model_init(projector, &projector->model)) != IMGSIM_OK)
        goto done;
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
