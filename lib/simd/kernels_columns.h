/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel that every set compiles from the same lines: each lane adds its own terms in order, nothing is contracted, so the bits
 * are the same on every instruction set.
 */
#ifndef IMS_SIMD_KERNELS_COLUMNS_H
#define IMS_SIMD_KERNELS_COLUMNS_H

#include "simd/kernels.h"

#include <string.h>

typedef float ims_lanes __attribute__((vector_size(64)));

/* Squared distances of IMS_COLUMN_ROWS rows, kept column after column, to one point. */
static inline void
columns_l2_squared(const float *columns, const float *point, size_t count, float *out)
{
    ims_lanes sum[4] = {{0}, {0}, {0}, {0}};

    for (size_t i = 0; i < count; i++) {
        ims_lanes value[4];

        memcpy(value, columns + i * IMS_COLUMN_ROWS, sizeof(value));
        for (int part = 0; part < 4; part++) {
            const ims_lanes difference = value[part] - point[i];

            sum[part] += difference * difference;
        }
    }
    memcpy(out, sum, sizeof(sum));
}

#endif
