/* SPDX-License-Identifier: Apache-2.0 */
/* What sheet and page share: small pictures of images. */
#include "query/query.h"

#include "image/image.h"

imgsim_image *ims_picture_image(const imgsim_image *image, uint32_t side)
{
    imgsim_image *small = NULL;
    uint32_t longer = image->width > image->height ? image->width : image->height;
    double scale = longer > side ? (double)side / longer : 1;
    uint32_t width = (uint32_t)(image->width * scale + 0.5);
    uint32_t height = (uint32_t)(image->height * scale + 0.5);

    width = width > 0 ? width : 1;
    height = height > 0 ? height : 1;
    if (ims_image_alloc(width, height, &small) != IMGSIM_OK)
        return NULL;
    if (ims_resample_rgb(image, 0, 0, image->width, image->height, width, height, small->pixels) !=
        IMGSIM_OK) {
        imgsim_image_free(small);
        return NULL;
    }
    return small;
}

imgsim_image *ims_picture_file(const char *path, uint32_t side)
{
    imgsim_image_options options;
    imgsim_image *image = NULL;
    imgsim_image *small = NULL;

    if (path == NULL || imgsim_image_options_init(&options, sizeof(options)) != IMGSIM_OK)
        return NULL;
    options.min_side = side;
    if (imgsim_image_load_file(path, &options, &image) == IMGSIM_OK)
        small = ims_picture_image(image, side);
    imgsim_image_free(image);
    return small;
}

imgsim_image *ims_picture_query(const struct ims_query_image *image, uint32_t side)
{
    if (image->image != NULL)
        return ims_picture_image(image->image, side);
    return ims_picture_file(image->path, side);
}
