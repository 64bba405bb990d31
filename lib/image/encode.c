/* SPDX-License-Identifier: Apache-2.0 */
/* Packed RGB to a JPEG, PNG or WebP file in memory. */
#include "image/decode.h"

#include "core/memory.h"

#include <string.h>

#include <turbojpeg.h>

static imgsim_status
encode_jpeg(const imgsim_image *image, int quality, uint8_t **out_data, size_t *out_size)
{
    imgsim_status status = IMGSIM_OK;
    tjhandle encoder = tjInitCompress();
    unsigned long capacity = tjBufSize((int)image->width, (int)image->height, TJSAMP_420);
    unsigned long size = capacity;
    uint8_t *data = NULL, *shrunk;

    if (encoder == NULL || capacity == (unsigned long)-1 || (data = ims_alloc(capacity)) == NULL) {
        status = ims_fail_memory(capacity);
        goto done;
    }
    if (tjCompress2(
            encoder, image->pixels, (int)image->width, 0, (int)image->height, TJPF_RGB, &data,
            &size, TJSAMP_420, quality, TJFLAG_NOREALLOC | TJFLAG_ACCURATEDCT) != 0) {
        status =
            ims_fail(IMGSIM_ERROR_UNSUPPORTED, "cannot write JPEG: %s", tjGetErrorStr2(encoder));
        goto done;
    }

    /* The buffer was made for the worst case. */
    shrunk = ims_realloc(data, size);
    *out_data = shrunk != NULL ? shrunk : data;
    *out_size = size;
    data = NULL;

done:
    ims_free(data);
    if (encoder != NULL)
        tjDestroy(encoder);
    return status;
}

static imgsim_status encode_vips(
    const imgsim_image *image,
    const char *format,
    int quality,
    uint8_t **out_data,
    size_t *out_size)
{
    imgsim_status status = IMGSIM_OK;
    struct ims_raw_pixels raw = {
        .data = image->pixels, .width = image->width, .height = image->height, .bands = 3};
    const struct ims_vips_functions *vips;
    struct ims_vips_error error;
    uint8_t *buffer = NULL;
    size_t size = 0;
    char why[768];

    if ((vips = ims_vips_open("writing PNG and WebP needs", why, sizeof(why))) == NULL)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "%s", why);
    if (!vips->encode(&raw, format, quality, &buffer, &size, &error))
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "cannot write %s: %s", format, error.text);

    if ((*out_data = ims_alloc(size)) != NULL) {
        memcpy(*out_data, buffer, size);
        *out_size = size;
    } else {
        status = ims_fail_memory(size);
    }
    vips->release(buffer);
    return status;
}

imgsim_status ims_image_encode(
    const imgsim_image *image,
    const char *format,
    int quality,
    uint8_t **out_data,
    size_t *out_size)
{
    *out_data = NULL;
    *out_size = 0;
    if (quality < 1 || quality > 100)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "quality is %d, must be 1 to 100", quality);
    if (strcmp(format, "jpeg") == 0)
        return encode_jpeg(image, quality, out_data, out_size);
    if (strcmp(format, "png") == 0 || strcmp(format, "webp") == 0)
        return encode_vips(image, format, quality, out_data, out_size);
    return ims_fail(
        IMGSIM_ERROR_UNSUPPORTED, "cannot write \"%s\", only jpeg, png and webp", format);
}
