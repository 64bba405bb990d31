/* SPDX-License-Identifier: Apache-2.0 */
/* Inner loops of layouts for processors with AVX2. */
#if defined(__x86_64__)
#define IMS_MAP_SET ims_map_kernels_avx2
#define IMS_MAP_SET_NAME "avx2"
#include "map/map_kernels_body.h"
#else
typedef int ims_no_avx2; /* a file must not be empty */
#endif
