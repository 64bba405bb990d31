/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a page and the projector's files: options, pictures, threads. */
#include "map/map_page.h"

#include "core/memory.h"
#include "core/options.h"
#include "core/progress.h"
#include "core/threads.h"

#include <math.h>
#include <string.h>

static const imgsim_page_options defaults = {
    .struct_size = sizeof(imgsim_page_options),
    .picture_count = 5000,
    .sprite_count = 100000,
};

imgsim_status imgsim_page_options_init(imgsim_page_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

static imgsim_status read_options(const imgsim_page_options *options, imgsim_page_options *out)
{
    imgsim_status status;

    *out = defaults;
    if ((status = ims_options_read(out, sizeof(*out), options)) != IMGSIM_OK)
        return status;
    if (out->neighbours > IMS_PAGE_NEIGHBOURS_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%u neighbours, expected at most %d",
            (unsigned)out->neighbours, IMS_PAGE_NEIGHBOURS_MAX);
    if (out->sprite_count > 100000)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a sprite of %u pictures, expected at most 100000",
            (unsigned)out->sprite_count);
    if (out->reserved != 0)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "reserved must be 0");
    return IMGSIM_OK;
}

/* As large as 5,000 pictures of 64 pixels take room together. */
static uint32_t picture_side(const imgsim_page *page, const imgsim_page_options *options)
{
    double count =
        (double)(page->count < options->picture_count ? page->count : options->picture_count);
    uint32_t side = count > 0 ? (uint32_t)(64 * sqrt(5000 / count)) / 8 * 8 : 128;

    if (options->picture_side != 0)
        return options->picture_side;
    return side < 64 ? 64 : side > 128 ? 128 : side;
}

/* ---- pictures ---- */

static imgsim_status
copy_picture(const void *data, size_t size, uint8_t **out_data, size_t *out_size)
{
    if ((*out_data = ims_alloc(size)) == NULL)
        return ims_fail_memory(size);
    memcpy(*out_data, data, size);
    *out_size = size;
    return IMGSIM_OK;
}

static imgsim_status picture_of(void *user_data, size_t point, uint8_t **out_data, size_t *out_size)
{
    const imgsim_page *page = user_data;
    const void *data = NULL;
    size_t size = 0;
    imgsim_status status;

    *out_data = NULL;
    *out_size = 0;
    if (page->picture != NULL) {
        if (page->picture(point, &data, &size, page->picture_data) != 0)
            return ims_fail(
                IMGSIM_ERROR_CALLBACK, "the callback for the picture of point %zu failed", point);
        if (data != NULL)
            return copy_picture(data, size, out_data, out_size);
    }
    if (page->thumbnails == NULL)
        return IMGSIM_OK;
    status = imgsim_features_get_bytes(page->thumbnails, page->ids[point], &data, &size);
    if (status == IMGSIM_ERROR_NOT_FOUND)
        return IMGSIM_OK;
    return status == IMGSIM_OK ? copy_picture(data, size, out_data, out_size) : status;
}

/* ---- writing ---- */

/* What both writers get, for one call. */
struct job {
    struct ims_page_input input;
    struct ims_page_column columns[IMS_PAGE_COLUMNS_MAX];
    struct ims_page_figure *figures;
    struct ims_meter meter;
    imgsim_page_options options;
};

static imgsim_status
job_open(struct job *job, const imgsim_page *page, const imgsim_page_options *options)
{
    imgsim_status status;

    if ((status = read_options(options, &job->options)) != IMGSIM_OK)
        return status;
    for (size_t c = 0; c < page->column_count; c++)
        job->columns[c] = (struct ims_page_column){
            .title = page->columns[c].title,
            .values = page->columns[c].values,
            .names = page->columns[c].names.items,
            .name_count = page->columns[c].names.count};
    if ((job->figures = ims_alloc_array(page->figure_count, sizeof(*job->figures))) == NULL)
        return ims_fail_memory(page->figure_count * sizeof(*job->figures));
    for (size_t i = 0; i < page->figure_count; i++)
        job->figures[i] = (struct ims_page_figure){
            page->figures[i].name, page->figures[i].value, page->figures[i].note};
    job->input = (struct ims_page_input){
        .count = page->count,
        .flat = page->flat,
        .deep = page->deep,
        .paths = page->paths.items,
        .dates = page->dates,
        .columns = job->columns,
        .column_count = page->column_count,
        .neighbours = page->neighbours,
        .neighbour_count = page->neighbour_count,
        .figures = job->figures,
        .figure_count = page->figure_count,
        .title = job->options.title,
        .layout = page->layout,
        .picture = page->picture != NULL || page->thumbnails != NULL ? picture_of : NULL,
        .picture_data = (void *)(uintptr_t)page,
        .meter = &job->meter};
    ims_meter_start(&job->meter, job->options.progress, job->options.progress_data);
    return ims_pool_new(job->options.threads, &job->input.pool);
}

static void job_close(struct job *job)
{
    ims_pool_free(job->input.pool);
    ims_free(job->figures);
}

imgsim_status imgsim_page_write_html(
    const imgsim_page *page,
    const imgsim_page_options *options,
    const char *path)
{
    struct job job = {0};
    struct ims_page_settings settings;
    imgsim_status status;

    if (page == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "page and path must not be NULL");
    if ((status = job_open(&job, page, options)) == IMGSIM_OK) {
        settings = (struct ims_page_settings){
            .picture_count = job.options.picture_count,
            .picture_side = picture_side(page, &job.options),
            .neighbours_shown = job.options.neighbours != 0 ? job.options.neighbours
                                : page->count <= 50000      ? 10
                                                            : 5,
            .tiles_folder = job.options.tiles_folder};
        status = ims_page_write(&job.input, &settings, path);
    }
    job_close(&job);
    return status;
}

imgsim_status imgsim_page_write_projector(
    const imgsim_page *page,
    const float *vectors,
    uint32_t dimension,
    const imgsim_page_options *options,
    const char *folder)
{
    struct job job = {0};
    struct ims_projector_settings settings;
    imgsim_status status;

    if (page == NULL || folder == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "page and folder must not be NULL");
    if (vectors != NULL && (dimension == 0 || dimension > 65536))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "vectors of %u values, expected 1 to 65536",
            (unsigned)dimension);
    if ((status = job_open(&job, page, options)) == IMGSIM_OK) {
        settings = (struct ims_projector_settings){
            .vectors = vectors, .dimension = dimension, .sprite_count = job.options.sprite_count};
        status = ims_projector_write(&job.input, &settings, folder);
    }
    job_close(&job);
    return status;
}
