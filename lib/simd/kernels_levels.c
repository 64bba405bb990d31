/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of tables by levels in plain C. */
#include "simd/kernels_levels.h"

void ims_plane_levels_scalar(
    const uint8_t *codes,
    const uint16_t *list,
    size_t count,
    const uint8_t *tables,
    int shift,
    size_t ahead,
    uint16_t out[LEVEL_ROWS])
{
    uint32_t sums[LEVEL_ROWS] = {0};

    (void)ahead;
    for (size_t g = 0; g < count; g++) {
        const uint8_t *line = codes + list[g] * LEVEL_ROWS;
        const uint8_t *table = tables + g * LEVEL_TABLE;
        uint16_t values[16];

        for (size_t level = 0; level < 16; level++)
            values[level] = (uint16_t)(table[level] | table[16 + level] << 8);
        for (size_t row = 0; row < LEVEL_ROWS; row++)
            sums[row] += values[line[row] >> shift & 15];
    }
    for (size_t row = 0; row < LEVEL_ROWS; row++)
        out[row] = (uint16_t)(sums[row] < UINT16_MAX ? sums[row] : UINT16_MAX);
}
