/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that a file is mapped to: pages that were read may be given back, and are read again from the system's cache. */
#ifndef IMS_CORE_MAPPING_H
#define IMS_CORE_MAPPING_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether all of this memory lies in shared mappings of files, so that letting pages go loses nothing, whoever mapped them. False
 * where that cannot be told.
 */
bool ims_mapping_is_shared(const void *data, size_t size);

/* Let the whole pages within go; for memory of which ims_mapping_is_shared() is true only. */
void ims_mapping_release(const void *data, size_t size);

#endif
