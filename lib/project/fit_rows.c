/* SPDX-License-Identifier: Apache-2.0 */
/* Fitting on rows that are all at hand: which way is taken, and the exact one. */
#include "project/projector.h"

#include "core/memory.h"

#include <string.h>

#define TILE_BYTES ((size_t)16 << 20)

/* Add a tile of rows, as they are or gathered. */
static imgsim_status add_tile(
    imgsim_projector *projector,
    const struct ims_rows *rows,
    size_t first,
    size_t count,
    float *copy)
{
    if (rows->ids == NULL)
        return imgsim_projector_add(projector, ims_row(rows, first), count);
    for (size_t i = 0; i < count; i++)
        memcpy(copy + i * rows->d, ims_row(rows, first + i), rows->d * sizeof(float));
    return imgsim_projector_add(projector, copy, count);
}

/* By sums of products; tiles are small enough to stay in the cache while they are checked, copied and multiplied. */
static imgsim_status
fit_exactly(imgsim_projector *projector, const struct ims_rows *rows, struct ims_meter *meter)
{
    const size_t size = rows->d * sizeof(float);
    const size_t tile = TILE_BYTES / size > 0 ? TILE_BYTES / size : 1;
    float *copy = rows->ids != NULL ? ims_alloc_array(tile, size) : NULL;
    imgsim_status status = IMGSIM_OK;

    if (rows->ids != NULL && copy == NULL)
        return ims_fail_memory(tile * size);
    if (meter != NULL)
        ims_meter_phase(meter, "fit", rows->count);
    for (size_t first = 0; first < rows->count && status == IMGSIM_OK; first += tile) {
        const size_t count = rows->count - first < tile ? rows->count - first : tile;

        status = add_tile(projector, rows, first, count, copy);
        if (status == IMGSIM_OK && meter != NULL) {
            atomic_fetch_add(&meter->done, count);
            status = ims_meter_tick(meter, false);
        }
    }
    ims_free(copy);
    return status == IMGSIM_OK ? imgsim_projector_train(projector) : status;
}

/* Enough rows for what is asked of them. */
static imgsim_status check_count(const imgsim_projector *projector, size_t row_count)
{
    const bool has_kernel = projector->settings.kernel != IMGSIM_KERNEL_NONE;

    if (has_kernel && row_count < projector->settings.landmarks)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY, "%zu rows are not enough for %u landmarks", row_count,
            projector->settings.landmarks);
    if (row_count < 2 || row_count < projector->output_dimension)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY, "%zu rows are not enough for %u components, which need %u",
            row_count, projector->output_dimension,
            projector->output_dimension < 2 ? 2 : projector->output_dimension);
    return IMGSIM_OK;
}

/* Into `model`; *out_done is false where the exact way has to be taken. */
static imgsim_status fit_specially(
    imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_meter *meter,
    struct ims_pca_model *model,
    imgsim_pca_report *report,
    bool *out_done)
{
    const bool has_kernel = projector->settings.kernel != IMGSIM_KERNEL_NONE;
    imgsim_status status;

    *out_done = false;
    if (!has_kernel && (projector->settings.method == IMGSIM_PCA_EXACT ||
                        !ims_randomised_suits(projector, rows->count)))
        return IMGSIM_OK;
    if ((status = ims_pca_model_init(projector, model)) != IMGSIM_OK)
        return status;
    model->row_count = rows->count;
    if (!has_kernel)
        return ims_randomised_fit(projector, rows, meter, model, report, out_done);
    *out_done = true;
    status = ims_kernel_fit(projector, rows, meter, model);
    report->gamma = model->gamma;
    return status;
}

/* Whatever was tried before: an exact model has no error. */
static void
report_method(const imgsim_projector *projector, bool special, imgsim_pca_report *report)
{
    if (special && projector->settings.kernel == IMGSIM_KERNEL_NONE) {
        report->method = IMGSIM_PCA_RANDOMISED;
        return;
    }
    report->method = IMGSIM_PCA_EXACT;
    report->variance_error = report->residual = report->angle = 0.0;
    report->missed_variance = report->failure = 0.0;
}

imgsim_status ims_projector_fit_rows(
    imgsim_projector *projector,
    const struct ims_rows *rows,
    struct ims_meter *meter,
    imgsim_pca_report *report)
{
    struct ims_pca_model model = {0};
    imgsim_pca_report own = {.struct_size = sizeof(own)};
    imgsim_status status;
    bool special = false;

    if ((status = check_count(projector, rows->count)) != IMGSIM_OK ||
        (status = fit_specially(projector, rows, meter, &model, &own, &special)) != IMGSIM_OK)
        goto done;
    ims_pca_sums_clear(&projector->sums);
    projector->loaded = false;
    if (!special) {
        status = fit_exactly(projector, rows, meter);
    } else {
        ims_pca_model_clear(&projector->model);
        projector->model = model;
        projector->loaded = true;         /* there are no sums to add to */
        memset(&model, 0, sizeof(model)); /* now the projector's */
    }
    report_method(projector, special, &own);
    if (status == IMGSIM_OK && report != NULL)
        *report = own;

done:
    ims_pca_model_clear(&model);
    return status;
}

imgsim_status imgsim_projector_fit(
    imgsim_projector *projector,
    const float *rows,
    size_t row_count,
    imgsim_pca_report *report)
{
    imgsim_pca_report filled;
    imgsim_status status;
    struct ims_rows all = {.rows = rows, .count = row_count};

    if (projector == NULL || (rows == NULL && row_count > 0))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "projector and rows must not be NULL");
    if (report != NULL && report->struct_size < sizeof(size_t))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "report: struct_size is not set");
    all.d = projector->input_dimension;
    if ((status = ims_projector_fit_rows(projector, &all, NULL, &filled)) == IMGSIM_OK &&
        report != NULL) {
        filled.struct_size = report->struct_size;
        memcpy(
            report, &filled,
            report->struct_size < sizeof(filled) ? report->struct_size : sizeof(filled));
    }
    return status;
}
