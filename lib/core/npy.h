/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NumPy's .npy files, format 1.0 and 2.0, little-endian, C order, 1-D and 2-D; data from byte 4096
 * in those we write.
 */
#ifndef IMS_CORE_NPY_H
#define IMS_CORE_NPY_H

#include "core/file.h"

/* Bytes before the data in files of ours: the header is padded to this. */
#define IMS_NPY_DATA 4096

struct ims_npy {
    /* NumPy's dtype: "<f4", "<i8", "<u4", "<u2", "<u8", "|u1". */
    char dtype[8];
    uint32_t dimensions; /* 1 or 2 */
    uint64_t shape[2];   /* shape[1] is 1 when 1-D */
    uint64_t data_offset;
    uint32_t item_size;
};

/* Fill `out` (IMS_NPY_DATA bytes) with the header of a matrix: columns 0 writes a 1-D shape. */
imgsim_status
ims_npy_header(const char *dtype, uint64_t rows, uint64_t columns, uint8_t out[IMS_NPY_DATA]);
/* Parse a header; `size` bytes are there. CORRUPT with a text naming `path`. */
imgsim_status
ims_npy_parse(const uint8_t *data, size_t size, const char *path, struct ims_npy *out);

#endif
