/* SPDX-License-Identifier: Apache-2.0 */
/* Opens files and pixels as images of libvips; their pixels come later, when they are read. */
#include "image/vips_private.h"

#include <string.h>

/* The loaders we call, by our names of the formats. libvips never chooses one itself. */
static const struct loader {
    const char *format;
    const char *operation;
} loaders[] = {
    {"png", "pngload_buffer"},   {"gif", "gifload_buffer"},   {"webp", "webpload_buffer"},
    {"tiff", "tiffload_buffer"}, {"heif", "heifload_buffer"}, {"avif", "heifload_buffer"},
    {"jxl", "jxlload_buffer"},
};

static const char *find_loader(const char *format)
{
    for (size_t i = 0; i < sizeof(loaders) / sizeof(loaders[0]); i++)
        if (strcmp(loaders[i].format, format) == 0)
            return loaders[i].operation;
    return NULL;
}

/*
 * Loaders that this libvips marks as unfit for files from strangers count as absent (JPEG XL in
 * 8.14).
 */
bool ims_vips_has_format(const char *format)
{
    const char *operation = find_loader(format);
    VipsOperationClass *class;
    bool trusted;
    GType type;

    if (operation == NULL || (type = vips_type_find("VipsOperation", operation)) == 0)
        return false;
    class = g_type_class_ref(type);
    trusted = (class->flags & VIPS_OPERATION_UNTRUSTED) == 0;
    g_type_class_unref(class);
    return trusted;
}

/*
 * Give the image away, with what its header says. It is computed in at most one thread besides
 * ours.
 */
static void fill_image(VipsImage *in, struct ims_vips_image *out)
{
    memset(out, 0, sizeof(*out));
    vips_image_set_int(in, VIPS_META_CONCURRENCY, 1);
    out->handle = in;
    out->width = (uint32_t)in->Xsize;
    out->height = (uint32_t)in->Ysize;
    out->frames = (uint32_t)vips_image_get_n_pages(in);
    out->orientation = (uint32_t)vips_image_get_orientation(in);
    if (vips_image_get_typeof(in, VIPS_META_ICC_NAME) != 0 &&
        vips_image_get_blob(in, VIPS_META_ICC_NAME, &out->profile, &out->profile_size) != 0) {
        vips_error_clear();
        out->profile_size = 0;
    }
}

bool ims_vips_open_file(
    const char *format,
    const void *data,
    size_t size,
    uint32_t reduction,
    struct ims_vips_image *out_image,
    struct ims_vips_error *error)
{
    VipsBlob *blob = vips_blob_new(NULL, data, size);
    VipsImage *image = NULL;
    int result;

    if (reduction > 1)
        result = vips_call(
            find_loader(format), blob, &image, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
            VIPS_FAIL_ON_ERROR, "scale", 1.0 / reduction, NULL);
    else
        result = vips_call(
            find_loader(format), blob, &image, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
            VIPS_FAIL_ON_ERROR, NULL);
    vips_area_unref(VIPS_AREA(blob));
    if (result != 0)
        return ims_vips_fail(error);
    fill_image(image, out_image);
    return true;
}

bool ims_vips_open_pixels(
    const struct ims_raw_pixels *raw,
    struct ims_vips_image *out_image,
    struct ims_vips_error *error)
{
    VipsImage *tagged = NULL;
    VipsInterpretation space = raw->bands == 1   ? VIPS_INTERPRETATION_B_W
                               : raw->bands == 3 ? VIPS_INTERPRETATION_sRGB
                                                 : VIPS_INTERPRETATION_CMYK;
    VipsImage *memory = vips_image_new_from_memory(
        raw->data, (size_t)raw->width * raw->height * raw->bands, (int)raw->width, (int)raw->height,
        (int)raw->bands, VIPS_FORMAT_UCHAR);

    if (memory == NULL)
        return ims_vips_fail(error);
    if (vips_copy(memory, &tagged, "interpretation", space, NULL) != 0) {
        g_object_unref(memory);
        return ims_vips_fail(error);
    }
    g_object_unref(memory); /* the copy keeps it */
    if (raw->profile_size > 0)
        vips_image_set_blob_copy(tagged, VIPS_META_ICC_NAME, raw->profile, raw->profile_size);
    fill_image(tagged, out_image);
    return true;
}

void ims_vips_close(struct ims_vips_image *image)
{
    if (image->handle != NULL)
        g_object_unref(image->handle);
    memset(image, 0, sizeof(*image));
}
