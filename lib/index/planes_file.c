/* SPDX-License-Identifier: Apache-2.0 */
/* The planes as sections of an index's file, and attached to where they are mapped. */
#include "index/planes.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

static const char *const plane_names[IMS_PLANES_MAX] = {
    "axplane0", "axplane1", "axplane2", "axplane3"};

/* ---- saving ---- */

size_t ims_planes_sections(
    const struct ims_planes *planes,
    struct ims_planes_header *header,
    struct ims_section_data *sections)
{
    size_t count = 0;

    *header = (struct ims_planes_header){
        .rotated = planes->rotated,
        .count = planes->count,
        .delta = planes->delta,
        .eta = planes->eta,
        .typical = planes->typical,
        .reach = planes->reach,
        .code_norm = planes->code_norm,
        .base_size = planes->base_size,
        .tail_size = planes->tail_size,
        .fitted = planes->fitted,
        .slot_count = planes->slot_count,
    };
    for (uint32_t i = 0; i < planes->count; i++) {
        header->axes[i] = planes->planes[i].axes;
        header->residual[i] = planes->planes[i].residual;
    }
    sections[count++] = (struct ims_section_data){"axhead", header, sizeof(*header)};
    sections[count++] =
        (struct ims_section_data){"axmean", planes->mean, planes->dimension * sizeof(float)};
    sections[count++] =
        (struct ims_section_data){"axsteps", planes->steps, planes->axes * sizeof(float)};
    if (planes->rotated)
        sections[count++] = (struct ims_section_data){
            "axturn", planes->rotation, (size_t)planes->axes * planes->dimension * sizeof(float)};
    for (uint32_t i = 0; i < planes->count; i++)
        sections[count++] = (struct ims_section_data){
            plane_names[i], planes->planes[i].data, ims_plane_bytes(planes, i, planes->slot_count)};
    return count;
}

/* ---- opening ---- */

static bool is_size(double value)
{
    return isfinite(value) && value >= 0;
}

static bool header_makes_sense(const imgsim_index *index, const struct ims_planes_header *header)
{
    bool sound = header->rotated <= 1 && header->count >= 1 && header->count <= IMS_PLANES_MAX &&
                 header->slot_count == index->rows.slot_count && is_size(header->delta) &&
                 header->delta < 0.1 && header->eta > 0 && header->eta <= 0.5 &&
                 is_size(header->typical) && is_size(header->reach) && is_size(header->code_norm) &&
                 is_size(header->base_size) && is_size(header->tail_size) &&
                 ims_metric_has_planes(index->metric) && index->rows.form == IMS_ROWS_FLOAT;
    uint64_t axes = 0;

    for (uint32_t i = 0; sound && i < header->count; i++) {
        sound = header->axes[i] > 0 && header->axes[i] % 4 == 0 && is_size(header->residual[i]) &&
                header->axes[i] <= (header->rotated != 0 && i > 0 ? 256u : 65536u);
        axes += header->axes[i];
    }
    return sound &&
           (header->rotated != 0 ? axes <= index->dimension
                                 : header->count == 1 && axes == (index->dimension + 3ull) / 4 * 4);
}

/* A section of exactly so many bytes. */
static imgsim_status
section(const imgsim_index *index, const char *name, size_t size, const void **out)
{
    imgsim_status status;
    size_t found;

    if ((status = ims_reader_section(&index->file, name, out, &found)) == IMGSIM_OK &&
        found != size)
        status = ims_fail(
            IMGSIM_ERROR_CORRUPT, "%s is damaged: section %s has %zu bytes", index->file.path, name,
            found);
    return status;
}

imgsim_status ims_planes_open(const imgsim_index *index, struct ims_planes **out_planes)
{
    const size_t dimension = index->dimension;
    struct ims_planes_header header;
    struct ims_planes *planes;
    const void *data;
    imgsim_status status;

    *out_planes = NULL;
    if ((status = section(index, "axhead", sizeof(header), &data)) != IMGSIM_OK)
        return status;
    memcpy(&header, data, sizeof(header));
    if (!header_makes_sense(index, &header))
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "%s is damaged: its planes make no sense", index->file.path);
    if ((planes = ims_calloc(1, sizeof(*planes))) == NULL)
        return ims_fail_memory(sizeof(*planes));
    planes->rotated = header.rotated != 0;
    planes->dimension = index->dimension;
    planes->delta = header.delta;
    planes->eta = header.eta;
    planes->typical = header.typical;
    planes->reach = header.reach;
    planes->code_norm = header.code_norm;
    planes->base_size = header.base_size;
    planes->tail_size = header.tail_size;
    planes->fitted = (size_t)header.fitted;
    planes->slot_count = (size_t)header.slot_count;
    planes->slot_capacity = planes->slot_count;
    for (; planes->count < header.count && status == IMGSIM_OK; planes->count++) {
        struct ims_plane *plane = &planes->planes[planes->count];

        plane->start = planes->axes;
        plane->axes = header.axes[planes->count];
        plane->record = plane->axes + IMS_PLANE_SIDE;
        plane->residual = header.residual[planes->count];
        planes->axes += plane->axes;
        status = section(
            index, plane_names[planes->count],
            ims_plane_bytes(planes, planes->count, planes->slot_count), &data);
        plane->data = (uint8_t *)data; /* never written: not owned */
    }
    if (status == IMGSIM_OK &&
        (status = section(index, "axmean", dimension * sizeof(float), &data)) == IMGSIM_OK)
        planes->mean = (float *)data;
    if (status == IMGSIM_OK &&
        (status = section(index, "axsteps", planes->axes * sizeof(float), &data)) == IMGSIM_OK)
        planes->steps = (float *)data;
    if (status == IMGSIM_OK && planes->rotated &&
        (status = section(index, "axturn", planes->axes * dimension * sizeof(float), &data)) ==
            IMGSIM_OK)
        planes->rotation = (float *)data;
    if (status != IMGSIM_OK) {
        ims_planes_free(planes);
        return status;
    }
    *out_planes = planes;
    return IMGSIM_OK;
}
