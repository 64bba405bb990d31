/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contract between libimgsim and libimgsim-vips.so, which is opened by lib/image/vips.c when the
 * first image needs it. Limits, reasons of failure and the written rule of docs/formats.md are the
 * library's; the module only knows how to ask libvips.
 */
#ifndef IMS_VIPS_MODULE_H
#define IMS_VIPS_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Raised with every change of this file; both sides compare it. */
#define IMS_VIPS_CONTRACT 1

/* libvips' words for what went wrong, as one line. */
struct ims_vips_error {
    char text[256];
};

/* Packed pixels in some colour space; everything is borrowed. */
struct ims_raw_pixels {
    const uint8_t *data; /* width * height * bands, 8 bits */
    uint32_t width;
    uint32_t height;
    uint32_t bands; /* 1 grey, 3 RGB, 4 CMYK (0 is no ink) */
    const void *profile;
    size_t profile_size; /* 0: none */
};

/* An image whose header was read. What it was opened from must stay until it is closed. */
struct ims_vips_image {
    void *handle;
    uint32_t width;
    uint32_t height;
    uint32_t frames;
    uint32_t orientation; /* 1 to 8, as in EXIF */
    const void *profile;  /* embedded ICC profile; valid until the image is read */
    size_t profile_size;  /* 0: none */
};

/* A drawn line of text: coverage 0 to 255, and where its ink lies from the line's top left. */
struct ims_vips_line {
    uint8_t *coverage; /* NULL: nothing to see; release it */
    int32_t width;
    int32_t height;
    int32_t left;
    int32_t top;
};

/* Functions that can fail return false and fill `error`; outputs are untouched then. */
struct ims_vips_functions {
    uint32_t contract;
    /*
     * Start libvips once per process, its warnings going to `write_log`, and register the calling
     * thread. Comes before every other call; false when libvips cannot be started.
     */
    bool (*enter)(void (*write_log)(const char *text));
    /*
     * Whether libvips has a loader for "png", "gif", "webp", "tiff", "heif", "avif" or "jxl", and
     * trusts it.
     */
    bool (*has_format)(const char *format);
    /* Read a file's header; reduction 2, 4 or 8 only for "webp", else 1. */
    bool (*open_file)(
        const char *format,
        const void *data,
        size_t size,
        uint32_t reduction,
        struct ims_vips_image *out_image,
        struct ims_vips_error *error);
    bool (*open_pixels)(
        const struct ims_raw_pixels *raw,
        struct ims_vips_image *out_image,
        struct ims_vips_error *error);
    /*
     * Decode into width * height * 3 bytes of sRGB, transparency over white: by the embedded
     * profile if that is wanted and it fits, else by the colour space's usual meaning.
     */
    bool (*read_rgb)(
        const struct ims_vips_image *image,
        bool use_profile,
        uint8_t *out_pixels,
        struct ims_vips_error *error);
    void (*close)(struct ims_vips_image *image);
    /* Encode RGB pixels as "png" or "webp" (quality 1 to 100). Release *out_data. */
    bool (*encode)(
        const struct ims_raw_pixels *raw,
        const char *format,
        int quality,
        uint8_t **out_data,
        size_t *out_size,
        struct ims_vips_error *error);
    /* Any bytes, shortened in the middle to max_width. Draws nothing where no font is installed. */
    void (*draw_line)(
        const char *text,
        uint32_t max_width,
        uint32_t pixel_height,
        bool bold,
        struct ims_vips_line *out_line);
    void (*release)(void *block);
};

/* The module's one exported symbol. */
const struct ims_vips_functions *imgsim_vips_functions(void);
#define IMS_VIPS_SYMBOL "imgsim_vips_functions"

#endif
