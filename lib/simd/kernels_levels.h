/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel of planes of levels of kernels.h, one per instruction set, for the tables to be filled with. */
#ifndef IMS_SIMD_KERNELS_LEVELS_H
#define IMS_SIMD_KERNELS_LEVELS_H

#include <stddef.h>
#include <stdint.h>

#define LEVEL_ROWS 64
/* Bytes of a group's table: 16 low ones, 16 high ones. */
#define LEVEL_TABLE 32

typedef void ims_plane_levels(
    const uint8_t *codes,
    const uint16_t *list,
    size_t count,
    const uint8_t *tables,
    int shift,
    size_t ahead,
    uint16_t out[LEVEL_ROWS]);

ims_plane_levels ims_plane_levels_scalar;
#if defined(__x86_64__)
ims_plane_levels ims_plane_levels_avx2, ims_plane_levels_avx512;
#endif

#endif
