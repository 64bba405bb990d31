/* SPDX-License-Identifier: Apache-2.0 */
/* Inner loops of layouts for processors with AVX-512. */
#if defined(__x86_64__)
#define IMS_MAP_SET ims_map_kernels_avx512
#define IMS_MAP_SET_NAME "avx512"
#include "map/map_kernels_body.h"
#else
typedef int ims_no_avx512; /* a file must not be empty */
#endif
