/* SPDX-License-Identifier: Apache-2.0 */
/* Where a layout begins. */
#include "map/map_layout.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

/* Rounds in which places spread along the graph to points that have none. */
#define FILL_ROUNDS 20

/* Put points without a place at the weighted mean of their neighbours that have one; returns how many remain. */
static size_t
fill_round(const struct ims_map_edges *edges, uint32_t d, float *positions, float *next)
{
    size_t left = 0;

    memcpy(next, positions, edges->count * d * sizeof(float));
    for (size_t i = 0; i < edges->count; i++) {
        double sums[IMGSIM_MAP_DIMENSION_MAX] = {0.0}, total = 0.0;

        if (!isnan(positions[i * d]))
            continue;
        for (uint64_t e = edges->starts[i]; e < edges->starts[i + 1]; e++) {
            const float *other = positions + (size_t)edges->targets[e] * d;

            if (isnan(other[0]))
                continue;
            total += edges->weights[e];
            for (uint32_t c = 0; c < d; c++)
                sums[c] += (double)edges->weights[e] * other[c];
        }
        left += total == 0.0;
        for (uint32_t c = 0; c < d && total > 0.0; c++)
            next[i * d + c] = (float)(sums[c] / total);
    }
    memcpy(positions, next, edges->count * d * sizeof(float));
    return left;
}

static imgsim_status
warm_start(const struct ims_map_job *job, const struct ims_map_edges *edges, float *positions)
{
    const size_t n = edges->count, d = job->options->dimension;
    const float *given = job->options->start_positions;
    float *next = ims_alloc_array(n * d, sizeof(float));
    size_t left = n;

    if (next == NULL)
        return ims_fail_memory(n * d * sizeof(float));
    memcpy(positions, given, n * d * sizeof(float));
    for (int round = 0; round < FILL_ROUNDS && left > 0; round++)
        left = fill_round(edges, (uint32_t)d, positions, next);
    for (size_t i = 0; i < n; i++) /* nobody near has a place */
        if (isnan(positions[i * d]))
            memset(positions + i * d, 0, d * sizeof(float));
    ims_free(next);
    return IMGSIM_OK;
}

imgsim_status ims_map_start(
    const struct ims_map_job *job,
    const struct ims_map_edges *edges,
    int32_t start,
    float *positions,
    bool *out_warm)
{
    imgsim_status status;

    ims_meter_phase(job->meter, "start", 0);
    if ((*out_warm = job->options->start_positions != NULL))
        return warm_start(job, edges, positions);
    if ((status = ims_map_first_axes(job, positions)) != IMGSIM_OK)
        return status;
    return start == IMGSIM_START_SPECTRAL ? ims_map_spectral(job, edges, positions) : IMGSIM_OK;
}
