/* SPDX-License-Identifier: Apache-2.0 */
/* Growable options structs: the library's defaults overlaid with the caller's bytes. */
#ifndef IMS_CORE_OPTIONS_H
#define IMS_CORE_OPTIONS_H

#include "core/status.h"

/*
 * Write `defaults` (known bytes, struct_size first) into the caller's struct of `size` bytes; rest
 * zero.
 */
imgsim_status ims_options_init(void *out, size_t size, const void *defaults, size_t known);

/*
 * Copy the caller's options over `out`, which holds the defaults. NULL leaves the defaults. A size
 * of 0 (no init) is INVALID_ARGUMENT, non-zero bytes past `known` are UNSUPPORTED. out's
 * struct_size becomes `known`.
 */
imgsim_status ims_options_read(void *out, size_t known, const void *options);

#endif
