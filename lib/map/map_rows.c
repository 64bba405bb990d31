/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a map in panels, and their first principal components. */
#include "map/map.h"

#include "core/mapping.h"
#include "core/memory.h"
#include "project/projector.h"
#include "simd/kernels.h"

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

bool ims_map_rows_are_mapped(const struct ims_map_rows *rows)
{
    const float *first = ims_map_row(rows, 0), *last = first;

    for (size_t i = 1; i < rows->count; i++) {
        const float *row = ims_map_row(rows, i);

        first = row < first ? row : first;
        last = row > last ? row : last;
    }
    return ims_mapping_is_shared(first, (size_t)(last - first + rows->dimension) * sizeof(float));
}

void ims_map_rows_done(const struct ims_map_rows *rows, size_t first, size_t count)
{
    const float *begin, *end;

    if (!rows->mapped || count == 0)
        return;
    begin = ims_map_row(rows, first);
    end = ims_map_row(rows, first + count - 1) + rows->dimension;
    if (begin < end) /* places in falling order stay */
        ims_mapping_release(begin, (size_t)(end - begin) * sizeof(float));
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
    float *rest; /* NULL: not wanted */
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
        ims_map_rows_done(rows, at * step, (count - 1) * step + 1);
        status = imgsim_projector_add(projector, panel, count);
        if (status == IMGSIM_OK)
            status = ims_meter_tick(job->meter, false);
    }
    ims_free(panel);
    if (status == IMGSIM_OK)
        status = imgsim_projector_train(projector);
    return status;
}

/* What the components leave of each row, squared. */
static void measure_rest(
    const struct projection *projection,
    const float *panel,
    const float *projected,
    size_t count,
    float *out)
{
    const size_t d = projection->job->rows->dimension, m = projection->components;
    const float *mean = imgsim_projector_get_mean(projection->projector);

    for (size_t i = 0; i < count; i++)
        out[i] = fmaxf(
            0.0f, ims_kernels()->l2_squared(panel + i * d, mean, d) -
                      ims_kernels()->dot(projected + i * m, projected + i * m, m));
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
    ims_map_rows_done(rows, first, count);
    if ((status = imgsim_projector_transform(projection->projector, panel, count, projected)) !=
        IMGSIM_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        float *out = projection->out + (first + i) * projection->dimension;
        const uint32_t taken = m < projection->dimension ? m : projection->dimension;

        memcpy(out, projected + i * m, taken * sizeof(float));
        for (uint32_t c = m; c < projection->dimension; c++)
            out[c] = 0.0f;
    }
    if (projection->rest != NULL)
        measure_rest(projection, panel, projected, count, projection->rest + first);
    return IMGSIM_OK;
}

/* Find so many components of a fit, keep the first `dimension` of them. */
static imgsim_status find_components(
    const struct ims_map_job *job,
    uint32_t components,
    uint32_t dimension,
    size_t sample,
    float *out,
    float *out_mean,
    float *out_rest)
{
    const struct ims_map_rows *rows = job->rows;
    const size_t panel_rows = PANEL_BYTES / sizeof(float) / rows->dimension + 1;
    struct projection projection = {job,        NULL, panel_rows, dimension,
                                    components, NULL, out,        out_rest};
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
    if (out_mean != NULL)
        memcpy(out_mean, imgsim_projector_get_mean(projector), rows->dimension * sizeof(float));
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

imgsim_status
ims_map_principal(const struct ims_map_job *job, uint32_t dimension, size_t sample, float *out)
{
    return find_components(job, dimension, dimension, sample, out, NULL, NULL);
}

imgsim_status ims_map_principal_rest(
    const struct ims_map_job *job,
    uint32_t dimension,
    size_t sample,
    float *out,
    float *out_mean,
    float *out_rest)
{
    const uint32_t d = job->options->dimension;
    const imgsim_status status =
        find_components(job, dimension, dimension, sample, out, out_mean, out_rest);

    if (status != IMGSIM_OK || job->axes == NULL || dimension < d)
        return status;
    for (size_t i = 0; i < job->rows->count; i++)
        memcpy(job->axes->values + i * d, out + i * dimension, d * sizeof(float));
    job->axes->known = true;
    return status;
}

imgsim_status ims_map_first_axes(const struct ims_map_job *job, float *out)
{
    const uint32_t d = job->options->dimension;

    if (job->axes == NULL || !job->axes->known)
        return find_components(job, IMS_MAP_COMPONENTS, d, IMS_MAP_FIT_ROWS, out, NULL, NULL);
    memcpy(out, job->axes->values, job->rows->count * d * sizeof(float));
    return IMGSIM_OK;
}
