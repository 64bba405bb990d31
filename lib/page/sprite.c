/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures side by side in one image. */
#include "page/pack.h"

#include "core/memory.h"

#include <string.h>

imgsim_status ims_sprite_new(
    struct ims_sprite *sprite,
    uint32_t side,
    uint32_t columns,
    uint32_t rows,
    uint8_t grey)
{
    imgsim_status status = ims_image_alloc(side * columns, side * rows, &sprite->canvas);

    if (status != IMGSIM_OK)
        return status;
    sprite->side = side;
    sprite->columns = columns;
    sprite->rows = rows;
    memset(sprite->canvas->pixels, grey, (size_t)side * columns * side * rows * 3);
    return IMGSIM_OK;
}

void ims_sprite_clear(struct ims_sprite *sprite)
{
    imgsim_image_free(sprite->canvas);
    memset(sprite, 0, sizeof(*sprite));
}

/* The size of the picture's proportions within side x side. */
static void fit(const imgsim_image *picture, uint32_t side, uint32_t *width, uint32_t *height)
{
    uint32_t longer = picture->width > picture->height ? picture->width : picture->height;

    *width = (uint32_t)(((uint64_t)picture->width * side + longer / 2) / longer);
    *height = (uint32_t)(((uint64_t)picture->height * side + longer / 2) / longer);
    *width = *width > 0 ? *width : 1;
    *height = *height > 0 ? *height : 1;
}

/* Copy into the cell, repeating the last column and row. */
static void fill_cell(
    struct ims_sprite *sprite,
    uint32_t cell,
    const uint8_t *pixels,
    uint32_t width,
    uint32_t height)
{
    size_t stride = (size_t)sprite->canvas->width * 3;
    uint8_t *corner = sprite->canvas->pixels + cell / sprite->columns * sprite->side * stride +
                      (size_t)(cell % sprite->columns) * sprite->side * 3;

    for (uint32_t y = 0; y < sprite->side; y++) {
        const uint8_t *from = pixels + (size_t)(y < height ? y : height - 1) * width * 3;
        uint8_t *to = corner + y * stride;

        memcpy(to, from, (size_t)width * 3);
        for (uint32_t x = width; x < sprite->side; x++)
            memcpy(to + (size_t)x * 3, from + (size_t)(width - 1) * 3, 3);
    }
}

/* Decode no larger than a cell needs; NULL for a picture that cannot be read. */
static imgsim_status
read_picture(const uint8_t *jpeg, size_t size, uint32_t side, imgsim_image **out_picture)
{
    imgsim_image_options options;
    imgsim_status status = imgsim_image_options_init(&options, sizeof(options));

    *out_picture = NULL;
    if (status != IMGSIM_OK)
        return status;
    options.min_side = side;
    status = imgsim_image_load_memory(jpeg, size, &options, out_picture);
    return status == IMGSIM_ERROR_OUT_OF_MEMORY ? status : IMGSIM_OK;
}

/* A box of the picture, scaled to width x height, into the cell. */
static imgsim_status draw_box(
    struct ims_sprite *sprite,
    uint32_t cell,
    const imgsim_image *picture,
    const double box[4], /* left, top, width, height */
    uint32_t width,
    uint32_t height)
{
    uint8_t *pixels = ims_alloc((size_t)width * height * 3);
    imgsim_status status;

    if (pixels == NULL)
        return ims_fail_memory((size_t)width * height * 3);
    status = ims_resample_rgb(picture, box[0], box[1], box[2], box[3], width, height, pixels);
    if (status == IMGSIM_OK)
        fill_cell(sprite, cell, pixels, width, height);
    ims_free(pixels);
    return status;
}

imgsim_status
ims_sprite_fill(struct ims_sprite *sprite, uint32_t cell, const uint8_t *jpeg, size_t size)
{
    imgsim_image *picture;
    imgsim_status status = read_picture(jpeg, size, sprite->side, &picture);

    if (status == IMGSIM_OK && picture != NULL) {
        double shorter = picture->width < picture->height ? picture->width : picture->height;
        double box[4] = {
            (picture->width - shorter) / 2, (picture->height - shorter) / 2, shorter, shorter};

        status = draw_box(sprite, cell, picture, box, sprite->side, sprite->side);
    }
    imgsim_image_free(picture);
    return status;
}

imgsim_status ims_sprite_draw(
    struct ims_sprite *sprite,
    uint32_t cell,
    const uint8_t *jpeg,
    size_t size,
    uint8_t *out_width,
    uint8_t *out_height)
{
    imgsim_image *picture;
    uint32_t width, height;
    imgsim_status status = read_picture(jpeg, size, sprite->side, &picture);

    *out_width = *out_height = 0;
    if (status == IMGSIM_OK && picture != NULL) {
        double box[4] = {0, 0, picture->width, picture->height};

        fit(picture, sprite->side, &width, &height);
        if ((status = draw_box(sprite, cell, picture, box, width, height)) == IMGSIM_OK) {
            *out_width = (uint8_t)width;
            *out_height = (uint8_t)height;
        }
    }
    imgsim_image_free(picture);
    return status;
}
