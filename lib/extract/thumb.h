/* SPDX-License-Identifier: Apache-2.0 */
/* Thumbnails as an extractor. */
#ifndef IMS_EXTRACT_THUMB_H
#define IMS_EXTRACT_THUMB_H

#include <imgsim/extractor.h>

/* Name of the feature that holds them. */
#define IMS_THUMB_FEATURE "thumbnail"
#define IMS_THUMB_SIDE_DEFAULT 128
#define IMS_THUMB_SIDE_MIN 16
#define IMS_THUMB_SIDE_MAX 512

/*
 * JPEG files of at most side x side pixels, in rows of IMGSIM_ROW_BYTES: the length in 32 bits, then the file. A picture that is
 * smaller keeps its size.
 */
imgsim_status ims_extractor_new_thumb(uint32_t side, imgsim_extractor **out_extractor);
/* The side that a specification names; 0 if it is none of thumbnails. */
uint32_t ims_thumb_spec_side(const char *spec);

#endif
