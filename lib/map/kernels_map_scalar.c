/* SPDX-License-Identifier: Apache-2.0 */
/* Inner loops of layouts for any processor. */
#define IMS_MAP_SET ims_map_kernels_scalar
#define IMS_MAP_SET_NAME "scalar"
#include "map/map_kernels_body.h"
