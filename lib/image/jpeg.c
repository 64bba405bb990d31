/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JPEG by libjpeg-turbo, straight into packed RGB: the format of nearly every photo, where an
 * image library's overhead counts.
 */
#include "image/decode.h"

#include "core/memory.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* No camera or program writes more; files with thousands of scans only burn time. */
#define SCANS_MAX 500

/*
 * State of one file. libjpeg reports errors by a callback that must not return: we leave by
 * longjmp() to decode_guarded(), which is why everything that must be released hangs on this
 * struct and not on local variables.
 */
struct decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    const struct ims_source *source;
    imgsim_image *image;
    uint8_t *raw; /* pixels in the file's own colour space, when libvips has to convert them */
    JOCTET *profile;
    struct ims_icc_matrix matrix;
    bool has_matrix; /* the profile is one of matrix and curves, and not sRGB */
    imgsim_status status;
};

static struct decoder *decoder_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

/* Leave the decoder with libjpeg's own words as the detail. */
static void give_up(struct decoder *decoder, imgsim_status status, const char *reason)
{
    char text[JMSG_LENGTH_MAX];

    decoder->errors.format_message((j_common_ptr)&decoder->jpeg, text);
    decoder->status = ims_decode_fail(decoder->source, status, reason, text);
    longjmp(decoder->jump, 1);
}

static void on_error(j_common_ptr jpeg)
{
    struct decoder *decoder = decoder_of(jpeg);

    switch (decoder->errors.msg_code) {
    case JERR_INPUT_EOF:
    case JERR_INPUT_EMPTY:
        give_up(decoder, IMGSIM_ERROR_BAD_IMAGE, "truncated");
        break;
    case JERR_OUT_OF_MEMORY:
        give_up(decoder, IMGSIM_ERROR_OUT_OF_MEMORY, "too large for memory");
        break;
    case JERR_IMAGE_TOO_BIG:
        give_up(decoder, IMGSIM_ERROR_LIMIT, "too many pixels");
        break;
    case JERR_SOF_UNSUPPORTED: /* lossless, hierarchical */
    case JERR_BAD_PRECISION:   /* 12 bits */
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
        give_up(decoder, IMGSIM_ERROR_UNSUPPORTED, "unsupported format");
        break;
    default:
        give_up(decoder, IMGSIM_ERROR_BAD_IMAGE, "damaged");
    }
}

/*
 * Warnings (level -1) mean invented pixels, but for a few that photos of real cameras raise and
 * that harm nothing.
 */
static void on_message(j_common_ptr jpeg, int level)
{
    struct decoder *decoder = decoder_of(jpeg);

    if (level >= 0)
        return;
    switch (decoder->errors.msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_BOGUS_ICC:
    case JWRN_BOGUS_PROGRESSION:
        return;
    case JWRN_JPEG_EOF:
        give_up(decoder, IMGSIM_ERROR_BAD_IMAGE, "truncated");
        break;
    default:
        give_up(decoder, IMGSIM_ERROR_BAD_IMAGE, "damaged");
    }
}

static void on_progress(j_common_ptr jpeg)
{
    struct decoder *decoder = decoder_of(jpeg);

    if (decoder->jpeg.input_scan_number > SCANS_MAX) {
        decoder->status = ims_decode_fail(
            decoder->source, IMGSIM_ERROR_BAD_IMAGE, "damaged", "more than 500 scans");
        longjmp(decoder->jump, 1);
    }
}

static void start_decoder(struct decoder *decoder)
{
    j_decompress_ptr jpeg = &decoder->jpeg;

    jpeg_create_decompress(jpeg);
    jpeg->client_data = decoder;
    decoder->progress.progress_monitor = on_progress;
    jpeg->progress = &decoder->progress;
    jpeg_mem_src(jpeg, decoder->source->data, decoder->source->size);
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    jpeg_save_markers(jpeg, JPEG_APP0 + 2, 0xffff);
}

/* The first EXIF block decides. */
static uint32_t find_orientation(j_decompress_ptr jpeg)
{
    for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker != NULL; marker = marker->next)
        if (marker->marker == JPEG_APP0 + 1 && marker->data_length >= 6 &&
            memcmp(marker->data, "Exif\0\0", 6) == 0)
            return ims_exif_orientation(marker->data + 6, marker->data_length - 6);
    return 1;
}

/*
 * The embedded profile's size, 0 where there is none that changes anything: sRGB, or one of
 * another colour space.
 */
static size_t read_profile(struct decoder *decoder)
{
    j_decompress_ptr jpeg = &decoder->jpeg;
    const char *space = jpeg->num_components == 1   ? "GRAY"
                        : jpeg->num_components == 3 ? "RGB "
                                                    : "CMYK";
    unsigned int size = 0;

    if (!jpeg_read_icc_profile(jpeg, &decoder->profile, &size) || size < 132 ||
        memcmp(decoder->profile + 16, space, 4) != 0)
        return 0;
    if (ims_icc_is_srgb(decoder->profile, size))
        return 0;
    decoder->has_matrix = ims_icc_read_matrix(decoder->profile, size, &decoder->matrix);
    return size;
}

/*
 * Decode to what we want: RGB, or the file's own space where libvips converts. Returns the
 * components per pixel.
 */
static uint32_t choose_output(j_decompress_ptr jpeg, size_t profile_size)
{
    jpeg->out_color_space = JCS_RGB;
    if (jpeg->num_components == 4)
        jpeg->out_color_space = JCS_CMYK;
    else if (jpeg->num_components == 1 && profile_size > 0)
        jpeg->out_color_space = JCS_GRAYSCALE;
    return jpeg->out_color_space == JCS_RGB ? 3 : (uint32_t)jpeg->num_components;
}

static void read_rows(struct decoder *decoder, uint8_t *pixels, uint32_t bands)
{
    j_decompress_ptr jpeg = &decoder->jpeg;
    size_t row_size = (size_t)jpeg->output_width * bands;
    JSAMPROW rows[8];

    while (jpeg->output_scanline < jpeg->output_height) {
        uint32_t count = 0;

        for (; count < 8 && jpeg->output_scanline + count < jpeg->output_height; count++)
            rows[count] = pixels + (jpeg->output_scanline + count) * row_size;
        jpeg_read_scanlines(jpeg, rows, count);
    }
}

/* Pixels that are not sRGB yet. Files with Adobe's marker hold inverted ink. */
static imgsim_status read_other_space(struct decoder *decoder, uint32_t bands, size_t profile_size)
{
    j_decompress_ptr jpeg = &decoder->jpeg;
    struct ims_raw_pixels raw = {.bands = bands, .profile = decoder->profile};
    size_t size = (size_t)jpeg->output_width * jpeg->output_height * bands;

    if ((decoder->raw = ims_alloc(size)) == NULL)
        return ims_decode_fail(
            decoder->source, IMGSIM_ERROR_OUT_OF_MEMORY, "too large for memory", NULL);
    read_rows(decoder, decoder->raw, bands);
    if (bands == 4 && jpeg->saw_Adobe_marker)
        for (size_t i = 0; i < size; i++)
            decoder->raw[i] = (uint8_t)(255 - decoder->raw[i]);

    raw.data = decoder->raw;
    raw.width = jpeg->output_width;
    raw.height = jpeg->output_height;
    raw.profile_size = profile_size;
    return ims_convert_pixels(decoder->source, &raw, decoder->image);
}

static imgsim_status decode_steps(struct decoder *decoder)
{
    imgsim_status status;
    j_decompress_ptr jpeg = &decoder->jpeg;
    size_t profile_size;
    uint32_t bands;

    jpeg_read_header(jpeg, TRUE);
    if ((status = ims_decode_check_size(
             decoder->source, jpeg->image_width, jpeg->image_height, 1)) != IMGSIM_OK)
        return status;

    /*
     * Exact transform, fine upsampling: libjpeg's defaults, which OpenCV, PIL and libvips use as
     * well.
     */
    profile_size = read_profile(decoder);
    bands = choose_output(jpeg, profile_size);
    jpeg->scale_num = 1;
    jpeg->scale_denom =
        ims_decode_reduction(decoder->source, jpeg->image_width, jpeg->image_height);
    jpeg_start_decompress(jpeg);

    if ((status = ims_decode_alloc(
             decoder->source, jpeg->output_width, jpeg->output_height, "jpeg", &decoder->image)) !=
        IMGSIM_OK)
        return status;
    decoder->image->full_width = jpeg->image_width;
    decoder->image->full_height = jpeg->image_height;

    /* The last row ends it: what follows in the file (previews, films) is none of our business. */
    if (bands != 3 || (profile_size > 0 && !decoder->has_matrix)) {
        if ((status = read_other_space(decoder, bands, profile_size)) != IMGSIM_OK)
            return status;
    } else {
        read_rows(decoder, decoder->image->pixels, 3);
        if (decoder->has_matrix)
            ims_icc_apply_matrix(
                &decoder->matrix, decoder->image->pixels,
                (size_t)jpeg->output_width * jpeg->output_height);
    }
    if (ims_image_orient(decoder->image, find_orientation(jpeg)) != IMGSIM_OK)
        return ims_decode_fail(
            decoder->source, IMGSIM_ERROR_OUT_OF_MEMORY, "too large for memory", NULL);
    return IMGSIM_OK;
}

/* Everything that may longjmp() is below this call. */
static imgsim_status decode_guarded(struct decoder *decoder)
{
    if (setjmp(decoder->jump) != 0)
        return decoder->status;
    start_decoder(decoder);
    return decode_steps(decoder);
}

imgsim_status ims_decode_jpeg(const struct ims_source *source, imgsim_image **out_image)
{
    imgsim_status status;
    struct decoder decoder;

    memset(&decoder, 0, sizeof(decoder));
    decoder.source = source;
    decoder.jpeg.client_data = &decoder;
    decoder.jpeg.err = jpeg_std_error(&decoder.errors);
    decoder.errors.error_exit = on_error;
    decoder.errors.emit_message = on_message;

    status = decode_guarded(&decoder);
    if (status == IMGSIM_OK) {
        *out_image = decoder.image;
        decoder.image = NULL;
    }
    jpeg_destroy_decompress(&decoder.jpeg);
    imgsim_image_free(decoder.image);
    ims_free(decoder.raw);
    free(decoder.profile);
    return status;
}
