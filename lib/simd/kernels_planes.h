/* SPDX-License-Identifier: Apache-2.0 */
/* The plane kernels of kernels.h in plain C, for the sets that have no better ones. */
#ifndef IMS_SIMD_KERNELS_PLANES_H
#define IMS_SIMD_KERNELS_PLANES_H

#include <stddef.h>
#include <stdint.h>

#define PLANE_ROWS 64
#define PLANE_LANES 16

static inline float plane_term_min(float u, float q, float scale)
{
    const float mass = scale * (u * u);

    return q < mass ? q : mass;
}

static void plane_dot(
    const uint8_t *codes,
    const uint16_t *list,
    size_t count,
    const float *w,
    float out[PLANE_ROWS])
{
    for (size_t row = 0; row < PLANE_ROWS; row++)
        out[row] = 0;
    for (size_t g = 0; g < count; g++)
        for (size_t row = 0; row < PLANE_ROWS; row++)
            out[row] += (float)codes[list[g] * PLANE_ROWS + row] * w[g];
}

static void plane_min(
    const uint8_t *codes,
    const uint16_t *list,
    size_t count,
    const float *q,
    const float scales[PLANE_ROWS],
    float out[PLANE_ROWS])
{
    for (size_t row = 0; row < PLANE_ROWS; row++)
        out[row] = 0;
    for (size_t g = 0; g < count; g++)
        for (size_t row = 0; row < PLANE_ROWS; row++)
            out[row] += plane_term_min((float)codes[list[g] * PLANE_ROWS + row], q[g], scales[row]);
}

static inline float plane_add_lanes(const float lanes[PLANE_LANES])
{
    float sum = 0;

    for (size_t lane = 0; lane < PLANE_LANES; lane++)
        sum += lanes[lane];
    return sum;
}

static float row_dot(const uint8_t *codes, size_t groups, const float *w)
{
    float lanes[PLANE_LANES] = {0};

    for (size_t g = 0; g < groups; g += PLANE_LANES)
        for (size_t lane = 0; lane < PLANE_LANES; lane++)
            lanes[lane] += (float)codes[g + lane] * w[g + lane];
    return plane_add_lanes(lanes);
}

static float row_min(const uint8_t *codes, size_t groups, const float *q, float scale)
{
    float lanes[PLANE_LANES] = {0};

    for (size_t g = 0; g < groups; g += PLANE_LANES)
        for (size_t lane = 0; lane < PLANE_LANES; lane++)
            lanes[lane] += plane_term_min((float)codes[g + lane], q[g + lane], scale);
    return plane_add_lanes(lanes);
}

#endif
