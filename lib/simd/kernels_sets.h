/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of kernels.h that this build contains, one per instruction set, for kernels.c to choose from. */
#ifndef IMS_SIMD_KERNELS_SETS_H
#define IMS_SIMD_KERNELS_SETS_H

#include "simd/kernels.h"

#include <stdbool.h>

extern const struct ims_kernels ims_kernels_scalar;

/* Plain C, for sets without a version of their own. */
void ims_plane_scan_scalar(
    const uint8_t *blocks,
    size_t block_count,
    size_t axes,
    const struct ims_plane_query *query,
    float *lower,
    float least[IMS_PLANE_ROWS]);
size_t ims_not_above_scalar(const float *values, size_t count, float limit, uint32_t *positions);
void ims_record_dots_scalar(
    const uint8_t *const rows[4],
    const int8_t *high,
    const int8_t *low,
    size_t count,
    int32_t out[4]);

#if defined(__x86_64__)
/* Needs AVX2, FMA and POPCNT; the other fills in the kernels of planes. */
extern const struct ims_kernels ims_kernels_avx2;
void ims_kernels_avx2_planes(struct ims_kernels *table);
/* Needs AVX-512 F, BW, DQ and VL. */
extern const struct ims_kernels ims_kernels_avx512;
void ims_kernels_avx512_planes(struct ims_kernels *table, bool has_vnni);
/* Replaces the entries for which the processor has an instruction: AVX-512 VNNI, VPOPCNTDQ. */
void ims_kernels_avx512_extend(struct ims_kernels *table, bool has_vnni, bool has_vpopcntdq);
#elif defined(__aarch64__)
extern const struct ims_kernels ims_kernels_neon;
#endif

#endif
