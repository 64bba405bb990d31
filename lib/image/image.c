/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image handle: options, reading files, making images of pixels, and what is asked about
 * them.
 */
#include "image/decode.h"

#include "core/memory.h"
#include "core/options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const imgsim_image_options default_options = {
    .struct_size = sizeof(imgsim_image_options),
    .min_side = 0,
    .max_pixels = (uint64_t)1 << 28,
    .max_bytes = (uint64_t)1 << 30,
    .max_frames = 100000,
};

/* Reason of the last failed decoding on this thread: always a constant string. */
static _Thread_local const char *last_reason = "";

const char *ims_image_last_reason(void)
{
    return last_reason;
}

imgsim_status ims_decode_fail(
    const struct ims_source *source,
    imgsim_status status,
    const char *reason,
    const char *detail)
{
    last_reason = reason;
    if (detail == NULL || detail[0] == '\0')
        return ims_fail(status, "%s: %s", source->name, reason);
    return ims_fail(status, "%s: %s: %s", source->name, reason, detail);
}

imgsim_status imgsim_image_options_init(imgsim_image_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &default_options, sizeof(default_options));
}

static imgsim_status read_options(const imgsim_image_options *options, imgsim_image_options *out)
{
    imgsim_status status;

    *out = default_options;
    if ((status = ims_options_read(out, sizeof(*out), options)) != IMGSIM_OK)
        return status;
    if (out->max_pixels == 0 || out->max_bytes == 0 || out->max_frames == 0)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "max_pixels, max_bytes and max_frames must be at least 1");
    return IMGSIM_OK;
}

/*
 * Read up to `limit` bytes of an open file whose size is a hint only: it may grow or shrink
 * meanwhile.
 */
static imgsim_status
read_all(int fd, const struct ims_source *source, size_t hint, uint8_t **out_data, size_t *out_size)
{
    imgsim_status status = IMGSIM_OK;
    size_t capacity = hint + 1;
    size_t used = 0;
    uint8_t *data = ims_alloc(capacity);

    if (data == NULL)
        return ims_decode_fail(source, IMGSIM_ERROR_OUT_OF_MEMORY, "too large for memory", NULL);

    for (;;) {
        ssize_t got;

        if (used == capacity) /* it has grown since its size was asked */
            break;
        got = read(fd, data + used, capacity - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            last_reason = "unreadable";
            status = ims_fail_errno(errno, "%s", source->name);
            goto done;
        }
        if (got == 0)
            break;
        used += (size_t)got;
    }

    *out_data = data;
    *out_size = used;
    data = NULL;

done:
    ims_free(data);
    return status;
}

/* Open a regular file without hanging on a pipe, and check its size. */
static imgsim_status open_file(const struct ims_source *source, int *out_fd, size_t *out_size)
{
    struct stat info;
    int fd = open(source->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        last_reason = "unreadable";
        return ims_fail_errno(errno, "%s", source->name);
    }
    if (fstat(fd, &info) != 0) {
        int error = errno;

        close(fd);
        last_reason = "unreadable";
        return ims_fail_errno(error, "%s", source->name);
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return ims_decode_fail(
            source, IMGSIM_ERROR_IO, "unreadable",
            S_ISDIR(info.st_mode) ? "is a directory" : "is not a regular file");
    }
    if ((uint64_t)info.st_size > source->options->max_bytes) {
        close(fd);
        return ims_decode_fail(source, IMGSIM_ERROR_LIMIT, "too many bytes", NULL);
    }
    *out_fd = fd;
    *out_size = (size_t)info.st_size;
    return IMGSIM_OK;
}

imgsim_status imgsim_image_load_file(
    const char *path,
    const imgsim_image_options *options,
    imgsim_image **out_image)
{
    imgsim_status status;
    imgsim_image_options read;
    struct ims_source source = {NULL, 0, path, &read};
    uint8_t *data = NULL;
    size_t size = 0;
    int fd = -1;

    if (path == NULL || out_image == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "path and out_image must not be NULL");
    *out_image = NULL;

    if ((status = read_options(options, &read)) != IMGSIM_OK ||
        (status = open_file(&source, &fd, &size)) != IMGSIM_OK ||
        (status = read_all(fd, &source, size, &data, &size)) != IMGSIM_OK)
        goto done;
    status = ims_image_decode(data, size, &read, path, out_image);

done:
    if (fd >= 0)
        close(fd);
    ims_free(data);
    return status;
}

imgsim_status imgsim_image_load_memory(
    const void *data,
    size_t data_size,
    const imgsim_image_options *options,
    imgsim_image **out_image)
{
    imgsim_status status;
    imgsim_image_options read;

    if (out_image == NULL || (data == NULL && data_size > 0))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "data and out_image must not be NULL");
    *out_image = NULL;
    if ((status = read_options(options, &read)) != IMGSIM_OK)
        return status;
    return ims_image_decode(data, data_size, &read, "image", out_image);
}

imgsim_status ims_image_alloc(uint32_t width, uint32_t height, imgsim_image **out_image)
{
    imgsim_image *image = NULL;
    size_t size = 0;

    *out_image = NULL;
    if (!ims_mul_size(width, height, &size) || !ims_mul_size(size, 3, &size))
        return ims_fail_memory(SIZE_MAX);
    if ((image = ims_calloc(1, sizeof(*image))) == NULL)
        return ims_fail_memory(sizeof(*image));
    if ((image->pixels = ims_alloc(size)) == NULL) {
        ims_free(image);
        return ims_fail_memory(size);
    }
    image->width = image->full_width = width;
    image->height = image->full_height = height;
    snprintf(image->format, sizeof(image->format), "pixels");
    *out_image = image;
    return IMGSIM_OK;
}

imgsim_status imgsim_image_new(
    const uint8_t *pixels,
    uint32_t width,
    uint32_t height,
    size_t stride,
    imgsim_image **out_image)
{
    imgsim_status status;
    size_t row_size = (size_t)width * 3;

    if (out_image == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_image must not be NULL");
    *out_image = NULL;
    if (pixels == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "pixels must not be NULL");
    if (width == 0 || height == 0 || width > IMS_SIDE_MAX || height > IMS_SIDE_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "image of %u x %u pixels, sides must be 1 to %u", width,
            height, IMS_SIDE_MAX);
    if (stride == 0)
        stride = row_size;
    if (stride < row_size)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "stride is %zu bytes, a row of %u pixels needs %zu",
            stride, width, row_size);

    if ((status = ims_image_alloc(width, height, out_image)) != IMGSIM_OK)
        return status;
    for (uint32_t y = 0; y < height; y++)
        memcpy((*out_image)->pixels + y * row_size, pixels + y * stride, row_size);
    return IMGSIM_OK;
}

void imgsim_image_free(imgsim_image *image)
{
    if (image == NULL)
        return;
    ims_free(image->pixels);
    ims_free(image);
}

uint32_t imgsim_image_get_width(const imgsim_image *image)
{
    return image != NULL ? image->width : 0;
}

uint32_t imgsim_image_get_height(const imgsim_image *image)
{
    return image != NULL ? image->height : 0;
}

uint32_t imgsim_image_get_full_width(const imgsim_image *image)
{
    return image != NULL ? image->full_width : 0;
}

uint32_t imgsim_image_get_full_height(const imgsim_image *image)
{
    return image != NULL ? image->full_height : 0;
}

const char *imgsim_image_get_format(const imgsim_image *image)
{
    return image != NULL ? image->format : "";
}

const uint8_t *imgsim_image_get_pixels(const imgsim_image *image)
{
    return image != NULL ? image->pixels : NULL;
}
