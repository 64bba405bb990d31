/* SPDX-License-Identifier: Apache-2.0 */
/* Chooses the inner loops of layouts that go with the distance kernels. */
#include "map/map_kernels.h"

#include "simd/kernels.h"

#include <string.h>

const struct ims_map_kernels *ims_map_kernels_named(const char *name)
{
    if (ims_kernels_named(name) == NULL)
        return NULL;
#if defined(__x86_64__)
    if (strcmp(name, "avx512") == 0)
        return &ims_map_kernels_avx512;
    if (strcmp(name, "avx2") == 0)
        return &ims_map_kernels_avx2;
#endif
    return &ims_map_kernels_scalar;
}

const struct ims_map_kernels *ims_map_kernels(void)
{
    return ims_map_kernels_named(ims_kernels()->name);
}
