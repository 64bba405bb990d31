/* SPDX-License-Identifier: Apache-2.0 */
/* What sheet and page share: small pictures of images. */
#include "query/query.h"

#include "extract/thumb.h"
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

/* ---- thumbnails ---- */

imgsim_features *ims_picture_thumbs(const imgsim_catalog *catalog)
{
    imgsim_features *thumbs = NULL;

    if (imgsim_catalog_open_features(catalog, IMS_THUMB_FEATURE, &thumbs) != IMGSIM_OK)
        return NULL;
    return thumbs;
}

/* The thumbnail of an id; NULL if there is none. */
static imgsim_image *load_thumb(const imgsim_features *thumbs, int64_t id)
{
    imgsim_image_options options;
    imgsim_image *image = NULL;
    const void *data;
    size_t size;

    if (thumbs == NULL || imgsim_features_get_bytes(thumbs, id, &data, &size) != IMGSIM_OK ||
        imgsim_image_options_init(&options, sizeof(options)) != IMGSIM_OK ||
        imgsim_image_load_memory(data, size, &options, &image) != IMGSIM_OK)
        return NULL;
    return image;
}

static uint32_t longer_side(uint32_t width, uint32_t height)
{
    return width > height ? width : height;
}

/* A picture whose longer side need not be more than `enough`, from the thumbnail or from the file. */
static imgsim_image *choose_source(
    const imgsim_features *thumbs,
    int64_t id,
    const char *path,
    uint32_t enough,
    uint32_t side)
{
    imgsim_image *thumb = load_thumb(thumbs, id), *picture = NULL;

    if (thumb == NULL || longer_side(thumb->width, thumb->height) < enough)
        picture = ims_picture_file(path, side);
    if (picture == NULL && thumb != NULL)
        picture = ims_picture_image(thumb, side);
    imgsim_image_free(thumb);
    return picture;
}

imgsim_image *
ims_picture_hit(const imgsim_features *thumbs, const struct ims_result_hit *hit, uint32_t side)
{
    uint32_t whole = longer_side(hit->width, hit->height);

    return choose_source(thumbs, hit->id, hit->path, whole < side ? whole : side, side);
}

imgsim_image *
ims_picture_query(const imgsim_features *thumbs, const struct ims_query_image *image, uint32_t side)
{
    if (image->image != NULL)
        return ims_picture_image(image->image, side);
    return choose_source(thumbs, image->id, image->path, side, side);
}
