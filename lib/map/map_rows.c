/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a map in panels, and their first principal components. */
#include "map/map.h"

#include "core/memory.h"
#include "project/projector.h"

#include <math.h>
#include <string.h>

#define PANEL_BYTES ((size_t)4 << 20)

void ims_map_copy_rows(const struct ims_map_rows *rows, size_t first, size_t count, float *out)
{
    const size_t d = rows->dimension;

    for (size_t i = 0; i < count; i++) {
        const float *row = ims_map_row(rows, first + i);
        float *target = out + i * d;
        double square = 0.0;

        memcpy(target, row, d * sizeof(float));
        if (!rows->normalize)
            continue;
        for (size_t c = 0; c < d; c++)
            square += (double)row[c] * row[c];
        if (square > 0.0)
            for (size_t c = 0; c < d; c++)
                target[c] = (float)(row[c] / sqrt(square));
    }
}

/* ---- principal components ---- */

struct projection {
    const struct ims_map_job *job;
    const imgsim_projector *projector;
    size_t panel_rows;
    uint32_t dimension; /* columns of out */
    uint32_t components;
    float *panels; /* per worker: panel_rows x (d + components) */
    float *out;
};

/* Rows of one panel taken every `step` points. */
static void
copy_stepped(const struct ims_map_rows *rows, size_t first, size_t count, size_t step, float *out)
{
    for (size_t i = 0; i < count; i++)
        ims_map_copy_rows(rows, first + i * step, 1, out + i * rows->dimension);
}

static imgsim_status
fit(const struct ims_map_job *job, imgsim_projector *projector, size_t sample, size_t panel_rows)
{
    const struct ims_map_rows *rows = job->rows;
    const size_t step = sample > 0 && rows->count > sample ? rows->count / sample : 1;
    const size_t total = (rows->count + step - 1) / step;
    float *panel = ims_alloc_array(panel_rows * rows->dimension, sizeof(float));
    imgsim_status status = IMGSIM_OK;

    if (panel == NULL)
        return ims_fail_memory(panel_rows * rows->dimension * sizeof(float));
    for (size_t at = 0; at < total && status == IMGSIM_OK; at += panel_rows) {
        const size_t count = total - at < panel_rows ? total - at : panel_rows;

        copy_stepped(rows, at * step, count, step, panel);
        status = imgsim_projector_add(projector, panel, count);
        if (status == IMGSIM_OK)
            status = ims_meter_tick(job->meter, false);
    }
    ims_free(panel);
    if (status == IMGSIM_OK)
        status = imgsim_projector_train(projector);
    return status;
}

static imgsim_status project_panel(void *context, size_t item, uint32_t worker)
{
    const struct projection *projection = context;
    const struct ims_map_rows *rows = projection->job->rows;
    const size_t first = item * projection->panel_rows;
    const size_t count =
        rows->count - first < projection->panel_rows ? rows->count - first : projection->panel_rows;
    const uint32_t m = projection->components;
    float *panel = projection->panels + worker * projection->panel_rows * (rows->dimension + m);
    float *projected = panel + projection->panel_rows * rows->dimension;
    imgsim_status status;

    if (worker == 0 && (status = ims_meter_tick(projection->job->meter, false)) != IMGSIM_OK)
        return status;
    ims_map_copy_rows(rows, first, count, panel);
    if ((status = imgsim_projector_transform(projection->projector, panel, count, projected)) !=
        IMGSIM_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        float *out = projection->out + (first + i) * projection->dimension;

        memcpy(out, projected + i * m, m * sizeof(float));
        for (uint32_t c = m; c < projection->dimension; c++)
            out[c] = 0.0f;
    }
    return IMGSIM_OK;
}

imgsim_status
ims_map_principal(const struct ims_map_job *job, uint32_t dimension, size_t sample, float *out)
{
    const struct ims_map_rows *rows = job->rows;
    const size_t panel_rows = PANEL_BYTES / sizeof(float) / rows->dimension + 1;
    struct projection projection = {job, NULL, panel_rows, dimension, dimension, NULL, out};
    imgsim_projector_options options;
    imgsim_projector *projector = NULL;
    imgsim_status status;
    size_t size;

    if (projection.components > rows->dimension)
        projection.components = rows->dimension;
    if (projection.components > rows->count)
        projection.components = (uint32_t)rows->count;
    if ((status = imgsim_projector_options_init(&options, sizeof(options))) != IMGSIM_OK)
        return status;
    options.threads = job->options->threads;
    if ((status = imgsim_projector_new(
             rows->dimension, projection.components, &options, &projector)) != IMGSIM_OK ||
        (status = fit(job, projector, sample, panel_rows)) != IMGSIM_OK)
        goto done;

    projection.projector = projector;
    size = ims_pool_threads(job->pool) * panel_rows *
           ((size_t)rows->dimension + projection.components) * sizeof(float);
    if ((projection.panels = ims_alloc_aligned(size)) == NULL) {
        status = ims_fail_memory(size);
        goto done;
    }
    status = ims_pool_run(
        job->pool, (rows->count + panel_rows - 1) / panel_rows, project_panel, &projection);

done:
    ims_free_aligned(projection.panels);
    imgsim_projector_free(projector);
    return status;
}
