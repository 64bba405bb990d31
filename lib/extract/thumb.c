/* SPDX-License-Identifier: Apache-2.0 */
/* Thumbnails: an extractor whose row is a small JPEG file, made from the same pixels as all features. */
#include "extract/thumb.h"

#include "core/memory.h"
#include "extract/extractor.h"
#include "image/image.h"

#include <stdio.h>
#include <string.h>

/* Looks right at this size; below, the blocks show. */
#define QUALITY 80
/* A thumbnail that is larger than its row is written worse, until it fits; noise needs that, photos never do. */
#define QUALITY_STEP 15
#define QUALITY_LEAST 5
/* A row has room for a byte per pixel and the JPEG's tables, within what a catalog's rows may have. */
#define TABLES_SIZE 1024
#define ROW_MAX 65536

struct thumb_extractor {
    imgsim_extractor common;
    uint32_t side;
};

/* Width and height within side x side in the proportions of the image, which is never enlarged. */
static void fit(const imgsim_image *image, uint32_t side, uint32_t *out_width, uint32_t *out_height)
{
    uint64_t width = image->width, height = image->height;
    uint64_t longer = width > height ? width : height;

    if (longer > side) {
        width = (width * side + longer / 2) / longer;
        height = (height * side + longer / 2) / longer;
    }
    *out_width = width > 0 ? (uint32_t)width : 1;
    *out_height = height > 0 ? (uint32_t)height : 1;
}

/* The row: the file's length in 32 bits, then the file. */
static imgsim_status encode(const imgsim_image *small, uint32_t room, uint8_t *out_row)
{
    for (int quality = QUALITY;; quality -= QUALITY_STEP) {
        uint8_t *data = NULL;
        size_t size = 0;
        imgsim_status status = ims_image_encode(small, "jpeg", quality, &data, &size);

        if (status == IMGSIM_OK && size <= room) {
            uint32_t length = (uint32_t)size;

            memcpy(out_row, &length, sizeof(length));
            memcpy(out_row + sizeof(length), data, size);
        }
        ims_free(data);
        if (status != IMGSIM_OK || size <= room)
            return status;
        if (quality - QUALITY_STEP < QUALITY_LEAST)
            return ims_fail(
                IMGSIM_ERROR_LIMIT, "a thumbnail of %u x %u needs %zu bytes, at most %u",
                small->width, small->height, size, room);
    }
}

static imgsim_status
thumb_extract(const imgsim_extractor *extractor, const imgsim_image *image, void *out_row)
{
    const struct thumb_extractor *thumb = (const struct thumb_extractor *)extractor;
    imgsim_image *small = NULL;
    imgsim_status status;
    uint32_t width, height;

    fit(image, thumb->side, &width, &height);
    if (width == image->width && height == image->height)
        return encode(image, extractor->dimension, out_row);
    if ((status = ims_image_alloc(width, height, &small)) == IMGSIM_OK &&
        (status = ims_reduce_rgb(image, width, height, small->pixels)) == IMGSIM_OK)
        status = encode(small, extractor->dimension, out_row);
    imgsim_image_free(small);
    return status;
}

static const struct ims_extractor_kind thumb_kind = {.name = "thumb", .extract = thumb_extract};

imgsim_status ims_extractor_new_thumb(uint32_t side, imgsim_extractor **out_extractor)
{
    uint32_t room = side * side + TABLES_SIZE;
    struct thumb_extractor *thumb;
    imgsim_status status;
    char spec[64];

    *out_extractor = NULL;
    if (side < IMS_THUMB_SIDE_MIN || side > IMS_THUMB_SIDE_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "the side of thumbnails is %u, must be %d to %d", side,
            IMS_THUMB_SIDE_MIN, IMS_THUMB_SIDE_MAX);
    if ((thumb = ims_calloc(1, sizeof(*thumb))) == NULL)
        return ims_fail_memory(sizeof(*thumb));
    thumb->side = side;
    snprintf(spec, sizeof(spec), "thumb:side=%u,quality=%d", side, QUALITY);
    status = ims_extractor_init(
        &thumb->common, &thumb_kind, IMS_THUMB_FEATURE, IMGSIM_ROW_BYTES,
        room < ROW_MAX ? room : ROW_MAX, IMGSIM_METRIC_DEFAULT, spec, NULL);
    if (status != IMGSIM_OK) {
        ims_free(thumb->common.spec);
        ims_free(thumb);
        return status;
    }
    thumb->common.min_side = side;
    *out_extractor = &thumb->common;
    return IMGSIM_OK;
}

uint32_t ims_thumb_spec_side(const char *spec)
{
    unsigned side = 0;

    if (sscanf(spec, "thumb:side=%4u,", &side) != 1 || side < IMS_THUMB_SIDE_MIN ||
        side > IMS_THUMB_SIDE_MAX)
        return 0;
    return side;
}
