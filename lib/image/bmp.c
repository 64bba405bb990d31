/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BMP of Windows and OS/2: 1 to 32 bits, palettes, bit fields, run lengths, profiles. libvips has no loader of its own for it.
 *
 * Source: Microsoft, "Bitmap Storage", BITMAPFILEHEADER and BITMAPCOREHEADER to BITMAPV5HEADER; for OS/2 2.x, whose headers of 16 to
 * 64 bytes begin alike, IBM, "Presentation Manager Programming Reference", BITMAPINFOHEADER2.
 */
#include "image/decode.h"

#include <limits.h>
#include <string.h>

enum { FILE_HEADER = 14, CORE_HEADER = 12, OS2_HEADER = 64, V3_HEADER = 56, V5_HEADER = 124 };
enum {
    BMP_RGB = 0,
    BMP_RLE8 = 1,
    BMP_RLE4 = 2,
    BMP_BITFIELDS = 3,
    BMP_ALPHA_BITFIELDS = 6,
    /* Ours, for OS/2's 4, which is JPEG in Windows' files. */
    BMP_RLE24 = 100
};

/* One channel of a pixel of 16 or 32 bits. */
struct field {
    uint32_t mask;
    uint32_t shift;
    uint32_t maximum; /* 0: not there */
};

struct bmp {
    const struct ims_source *source;
    uint32_t header_size;
    uint32_t width;
    uint32_t height;
    bool top_down;
    uint32_t bits;
    uint32_t compression;
    size_t pixels_at;
    struct field fields[4]; /* red, green, blue, alpha */
    uint8_t palette[256][3];
    uint32_t colours;
    imgsim_image *image;
};

static uint32_t little_16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}

static uint32_t little_32(const uint8_t *p)
{
    return little_16(p + 2) << 16 | little_16(p);
}

static imgsim_status fail(const struct bmp *bmp, const char *reason, const char *detail)
{
    return ims_decode_fail(bmp->source, IMGSIM_ERROR_BAD_IMAGE, reason, detail);
}

static imgsim_status unsupported(const struct bmp *bmp, const char *detail)
{
    return ims_decode_fail(bmp->source, IMGSIM_ERROR_UNSUPPORTED, "unsupported format", detail);
}

/* ---- the header ---- */

static imgsim_status read_sizes(struct bmp *bmp)
{
    const uint8_t *header = bmp->source->data + FILE_HEADER;
    int64_t width, height;

    if (bmp->header_size == CORE_HEADER) {
        width = little_16(header + 4);
        height = little_16(header + 6);
        bmp->bits = little_16(header + 10);
    } else {
        width = (int32_t)little_32(header + 4);
        height = (int32_t)little_32(header + 8);
        bmp->bits = little_16(header + 14);
        bmp->compression = bmp->header_size >= 20 ? little_32(header + 16) : BMP_RGB;
    }
    bmp->top_down = height < 0;
    height = height < 0 ? -height : height;
    if (width < 0)
        return fail(bmp, "damaged", "its width is negative");
    bmp->width = (uint32_t)width;
    bmp->height = (uint32_t)height;
    return ims_decode_check_size(bmp->source, bmp->width, bmp->height, 1);
}

/* Which compressions go with which numbers of bits. */
static imgsim_status check_kind(struct bmp *bmp)
{
    uint32_t bits = bmp->bits;
    bool fits;

    if (bmp->header_size == OS2_HEADER && bmp->compression == 4)
        bmp->compression = BMP_RLE24;
    else if (bmp->header_size == OS2_HEADER && bmp->compression == 3)
        return unsupported(bmp, "bmp with Huffman coding");
    switch (bmp->compression) {
    case BMP_RGB:
        fits = bits == 1 || bits == 2 || bits == 4 || bits == 8 || bits == 16 || bits == 24 ||
               bits == 32;
        break;
    case BMP_RLE8:
        fits = bits == 8;
        break;
    case BMP_RLE4:
        fits = bits == 4;
        break;
    case BMP_RLE24:
        fits = bits == 24;
        break;
    case BMP_BITFIELDS:
    case BMP_ALPHA_BITFIELDS:
        fits = bits == 16 || bits == 32;
        break;
    case 4:
    case 5:
        return unsupported(bmp, "bmp around a JPEG or PNG file");
    default:
        return unsupported(bmp, "bmp of an unknown compression");
    }
    if (bits == 64)
        return unsupported(bmp, "bmp of 64 bits");
    return fits ? IMGSIM_OK : fail(bmp, "damaged", "its compression does not go with its bits");
}

/* Bits of a mask must stand together. */
static bool set_field(struct field *field, uint32_t mask)
{
    *field = (struct field){.mask = mask};
    if (mask == 0)
        return true;
    while ((mask >> field->shift & 1) == 0)
        field->shift++;
    field->maximum = mask >> field->shift;
    return (field->maximum & (field->maximum + 1)) == 0;
}

/* Masks of 16 and 32 bits: given, or 5 each, or 8 each. *masks_size: bytes of masks behind the header. */
static imgsim_status read_fields(struct bmp *bmp, size_t *masks_size)
{
    static const uint32_t five[4] = {0x7c00, 0x03e0, 0x001f, 0};
    static const uint32_t eight[4] = {0xff0000, 0x00ff00, 0x0000ff, 0};
    const uint8_t *at = bmp->source->data + FILE_HEADER + 40;
    bool given = bmp->compression == BMP_BITFIELDS || bmp->compression == BMP_ALPHA_BITFIELDS;
    uint32_t count =
        bmp->header_size >= V3_HEADER || bmp->compression == BMP_ALPHA_BITFIELDS ? 4 : 3;
    uint32_t all = 0;

    *masks_size = 0;
    if (bmp->bits != 16 && bmp->bits != 32)
        return IMGSIM_OK;
    if (given && bmp->header_size < 52)
        *masks_size = 4 * (size_t)count;
    if (given && bmp->source->size < FILE_HEADER + 40 + 4 * (size_t)count)
        return fail(bmp, "truncated", NULL);
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t mask = bmp->bits == 16 ? five[i] : eight[i];

        if (given)
            mask = i < count ? little_32(at + 4 * (size_t)i) : 0;
        if ((all & mask) != 0 || (bmp->bits == 16 && mask > 0xffff) ||
            !set_field(&bmp->fields[i], mask))
            return fail(bmp, "damaged", "its masks are no bit fields");
        all |= mask;
    }
    return IMGSIM_OK;
}

/* Colours that lie between the header and the pixels; those that are not there are black. */
static imgsim_status read_palette(struct bmp *bmp, size_t at)
{
    const struct ims_source *source = bmp->source;
    size_t entry = bmp->header_size == CORE_HEADER ? 3 : 4;
    uint32_t most = bmp->bits <= 8 ? 1u << bmp->bits : 0;
    uint32_t used = 0;

    if (bmp->header_size >= 36)
        used = little_32(source->data + FILE_HEADER + 32);
    if (most == 0)
        return IMGSIM_OK;
    bmp->colours = used == 0 || used > most ? most : used;
    if (bmp->pixels_at >= at && (bmp->pixels_at - at) / entry < bmp->colours)
        bmp->colours = (uint32_t)((bmp->pixels_at - at) / entry);
    if (at > source->size || (source->size - at) / entry < bmp->colours)
        return fail(bmp, "truncated", NULL);
    for (uint32_t i = 0; i < bmp->colours; i++)
        for (uint32_t c = 0; c < 3; c++)
            bmp->palette[i][c] = source->data[at + i * entry + 2 - c];
    return IMGSIM_OK;
}

static imgsim_status read_header(struct bmp *bmp)
{
    const struct ims_source *source = bmp->source;
    imgsim_status status;
    size_t masks_size, end;

    if (source->size < FILE_HEADER + 4)
        return fail(bmp, "truncated", NULL);
    bmp->pixels_at = little_32(source->data + 10);
    bmp->header_size = little_32(source->data + FILE_HEADER);
    if (bmp->header_size != CORE_HEADER && (bmp->header_size < 16 || bmp->header_size > 65536))
        return fail(bmp, "damaged", "no header of this size is known");
    if (source->size - FILE_HEADER < bmp->header_size)
        return fail(bmp, "truncated", NULL);
    if ((status = read_sizes(bmp)) != IMGSIM_OK || (status = check_kind(bmp)) != IMGSIM_OK ||
        (status = read_fields(bmp, &masks_size)) != IMGSIM_OK)
        return status;
    end = FILE_HEADER + (size_t)bmp->header_size + masks_size;
    if ((status = read_palette(bmp, end)) != IMGSIM_OK)
        return status;
    if (bmp->pixels_at < FILE_HEADER + (size_t)bmp->header_size)
        return fail(bmp, "damaged", "its pixels begin inside its header");
    return bmp->pixels_at < source->size ? IMGSIM_OK : fail(bmp, "truncated", NULL);
}

/* ---- rows of pixels ---- */

/* A row of the image by its number in the file. */
static uint8_t *row_at(const struct bmp *bmp, uint32_t y)
{
    uint32_t row = bmp->top_down ? y : bmp->height - 1 - y;

    return bmp->image->pixels + (size_t)row * bmp->width * 3;
}

static void put_colour(const struct bmp *bmp, uint32_t index, uint8_t *out)
{
    memcpy(out, bmp->palette[index], 3);
}

/* A field's value in 8 bits, rounded to the nearest. */
static uint32_t field_value(const struct field *field, uint32_t pixel)
{
    uint64_t value = (pixel & field->mask) >> field->shift;

    if (field->maximum == 0)
        return 0;
    return (uint32_t)((2 * value * 255 + field->maximum) / (2 * (uint64_t)field->maximum));
}

static void put_fields(const struct bmp *bmp, uint32_t pixel, bool with_alpha, uint8_t *out)
{
    uint32_t alpha = with_alpha ? field_value(&bmp->fields[3], pixel) : 255;

    for (int c = 0; c < 3; c++) {
        uint32_t value = field_value(&bmp->fields[c], pixel);

        out[c] = (uint8_t)((value * alpha + 255 * (255 - alpha) + 127) / 255);
    }
}

static void read_row(const struct bmp *bmp, const uint8_t *in, bool with_alpha, uint8_t *out)
{
    uint32_t bits = bmp->bits, mask = bits < 8 ? (1u << bits) - 1 : 0xff;

    for (size_t x = 0; x < bmp->width; x++, out += 3) {
        if (bits <= 8) {
            size_t bit = x * bits;

            put_colour(bmp, in[bit / 8] >> (8 - bits - bit % 8) & mask, out);
        } else if (bits == 24) {
            out[0] = in[3 * x + 2];
            out[1] = in[3 * x + 1];
            out[2] = in[3 * x];
        } else {
            uint32_t pixel = bits == 16 ? little_16(in + 2 * x) : little_32(in + 4 * x);

            put_fields(bmp, pixel, with_alpha, out);
        }
    }
}

/* Many programs leave the alpha channel at zero; it counts when some pixel shows. */
static bool alpha_counts(const struct bmp *bmp, const uint8_t *rows, size_t stride)
{
    if (bmp->fields[3].maximum == 0)
        return false;
    for (size_t y = 0; y < bmp->height; y++)
        for (size_t x = 0; x < bmp->width; x++) {
            const uint8_t *in = rows + y * stride + x * (bmp->bits / 8);
            uint32_t pixel = bmp->bits == 16 ? little_16(in) : little_32(in);

            if ((pixel & bmp->fields[3].mask) != 0)
                return true;
        }
    return false;
}

static imgsim_status read_rows(struct bmp *bmp)
{
    const uint8_t *rows = bmp->source->data + bmp->pixels_at;
    size_t there = bmp->source->size - bmp->pixels_at;
    size_t used = ((size_t)bmp->width * bmp->bits + 7) / 8, stride = (used + 3) & ~(size_t)3;
    bool with_alpha;

    /* The last row's padding may be missing. */
    if (there < used || (there - used) / stride < bmp->height - 1)
        return fail(bmp, "truncated", NULL);
    with_alpha = alpha_counts(bmp, rows, stride);
    for (uint32_t y = 0; y < bmp->height; y++)
        read_row(bmp, rows + y * stride, with_alpha, row_at(bmp, y));
    return IMGSIM_OK;
}

/* ---- run lengths ---- */

/* Where the next pixel goes and the next code is read. */
struct runs {
    const uint8_t *at;
    const uint8_t *end;
    uint32_t x;
    uint32_t y;
};

/* Bytes of `count` pixels as they stand in the file. */
static size_t literal_size(const struct bmp *bmp, uint32_t count)
{
    return bmp->compression == BMP_RLE4 ? (count + 1) / 2 : (size_t)count * (bmp->bits / 8);
}

/* `count` pixels from the file's bytes; a run repeats its one or, with 4 bits, two pixels. */
static bool put_pixels(
    const struct bmp *bmp,
    struct runs *runs,
    uint32_t count,
    const uint8_t *from,
    bool repeat)
{
    uint8_t *out;

    if (runs->y >= bmp->height)
        return false;
    /* A run that is too long ends with its line, as Windows has it. */
    if (count > bmp->width - runs->x)
        count = bmp->width - runs->x;
    out = row_at(bmp, runs->y) + (size_t)runs->x * 3;
    for (uint32_t i = 0; i < count; i++, out += 3) {
        uint32_t k = repeat ? i % 2 : i;

        if (bmp->compression == BMP_RLE4) {
            put_colour(bmp, k % 2 == 0 ? from[k / 2] >> 4 : from[k / 2] & 15, out);
        } else if (bmp->compression == BMP_RLE8) {
            put_colour(bmp, from[repeat ? 0 : i], out);
        } else {
            const uint8_t *pixel = from + (repeat ? 0 : 3 * (size_t)i);

            out[0] = pixel[2];
            out[1] = pixel[1];
            out[2] = pixel[0];
        }
    }
    runs->x += count;
    return true;
}

enum run_result { RUN_GOES_ON, RUN_ENDS, RUN_CUT, RUN_BAD };

/* The codes that begin with 0: end of line, end of picture, a jump, pixels as they are. */
static enum run_result read_escape(const struct bmp *bmp, struct runs *runs, uint32_t code)
{
    size_t size;

    switch (code) {
    case 0:
        runs->x = 0;
        runs->y++;
        return RUN_GOES_ON;
    case 1:
        return RUN_ENDS;
    case 2:
        if (runs->end - runs->at < 2)
            return RUN_CUT;
        runs->x += runs->at[0];
        runs->y += runs->at[1];
        runs->at += 2;
        return runs->x <= bmp->width && runs->y <= bmp->height ? RUN_GOES_ON : RUN_BAD;
    default:
        size = literal_size(bmp, code);
        if ((size_t)(runs->end - runs->at) < size)
            return RUN_CUT;
        if (!put_pixels(bmp, runs, code, runs->at, false))
            return RUN_BAD;
        runs->at += size;
        if (size % 2 != 0 && runs->at < runs->end)
            runs->at++; /* to the next even byte */
        return RUN_GOES_ON;
    }
}

static enum run_result read_code(const struct bmp *bmp, struct runs *runs)
{
    size_t size = bmp->compression == BMP_RLE24 ? 3 : 1;
    uint32_t count;

    if (runs->end - runs->at < 2)
        return RUN_CUT;
    count = runs->at[0];
    if (count == 0) {
        runs->at += 2;
        return read_escape(bmp, runs, runs->at[-1]);
    }
    if ((size_t)(runs->end - runs->at) < 1 + size)
        return RUN_CUT;
    if (!put_pixels(bmp, runs, count, runs->at + 1, true))
        return RUN_BAD;
    runs->at += 1 + size;
    return RUN_GOES_ON;
}

/* What the codes leave out has colour 0. */
static imgsim_status read_runs(struct bmp *bmp)
{
    struct runs runs = {
        .at = bmp->source->data + bmp->pixels_at, .end = bmp->source->data + bmp->source->size};
    size_t pixels = (size_t)bmp->width * bmp->height;
    enum run_result result = RUN_GOES_ON;

    if (bmp->top_down)
        return fail(bmp, "damaged", "run lengths go from bottom to top");
    for (size_t i = 0; i < pixels; i++)
        put_colour(bmp, 0, bmp->image->pixels + 3 * i);
    while (result == RUN_GOES_ON)
        result = read_code(bmp, &runs);
    /* A missing end behind the last row is nothing that anybody sees. */
    if (result == RUN_CUT &&
        !(runs.y == bmp->height || (runs.y + 1 == bmp->height && runs.x == bmp->width)))
        return fail(bmp, "truncated", NULL);
    return result == RUN_BAD ? fail(bmp, "damaged", "a run leaves the picture") : IMGSIM_OK;
}

/* ---- profile ---- */

/* The profile inside the file that a header of version 5 names; NULL if none changes anything. */
static const uint8_t *find_profile(const struct bmp *bmp, size_t *out_size)
{
    const struct ims_source *source = bmp->source;
    const uint8_t *header = source->data + FILE_HEADER, *profile;
    size_t at, size;

    if (bmp->header_size < V5_HEADER || little_32(header + 56) != 0x4d424544u) /* 'MBED' */
        return NULL;
    at = FILE_HEADER + (size_t)little_32(header + 112);
    size = little_32(header + 116);
    if (size < 132 || at > source->size || size > source->size - at)
        return NULL;
    profile = source->data + at;
    if (memcmp(profile + 16, "RGB ", 4) != 0 || ims_icc_is_srgb(profile, size))
        return NULL;
    *out_size = size;
    return profile;
}

static imgsim_status apply_profile(struct bmp *bmp)
{
    struct ims_icc_matrix matrix;
    imgsim_image *converted = NULL;
    imgsim_status status;
    struct ims_raw_pixels raw = {
        .data = bmp->image->pixels, .width = bmp->width, .height = bmp->height, .bands = 3};
    size_t size = 0;
    const uint8_t *profile = find_profile(bmp, &size);

    if (profile == NULL)
        return IMGSIM_OK;
    if (ims_icc_read_matrix(profile, size, &matrix)) {
        ims_icc_apply_matrix(&matrix, bmp->image->pixels, (size_t)bmp->width * bmp->height);
        return IMGSIM_OK;
    }
    raw.profile = profile;
    raw.profile_size = size;
    if ((status = ims_decode_alloc(bmp->source, bmp->width, bmp->height, "bmp", &converted)) !=
            IMGSIM_OK ||
        (status = ims_convert_pixels(bmp->source, &raw, converted)) != IMGSIM_OK) {
        imgsim_image_free(converted);
        return status;
    }
    imgsim_image_free(bmp->image);
    bmp->image = converted;
    return IMGSIM_OK;
}

bool ims_bmp_begins(const uint8_t *data, size_t size)
{
    uint32_t header;

    if (size < 2 || memcmp(data, "BM", 2) != 0)
        return false;
    if (size < FILE_HEADER + 4)
        return true;
    header = little_32(data + FILE_HEADER);
    return header == CORE_HEADER || (header >= 16 && header <= 65536);
}

imgsim_status ims_decode_bmp(const struct ims_source *source, imgsim_image **out_image)
{
    struct bmp bmp = {.source = source};
    imgsim_status status;

    if ((status = read_header(&bmp)) != IMGSIM_OK ||
        (status = ims_decode_alloc(source, bmp.width, bmp.height, "bmp", &bmp.image)) != IMGSIM_OK)
        return status;
    if (bmp.compression == BMP_RLE8 || bmp.compression == BMP_RLE4 || bmp.compression == BMP_RLE24)
        status = read_runs(&bmp);
    else
        status = read_rows(&bmp);
    if (status == IMGSIM_OK)
        status = apply_profile(&bmp);
    if (status == IMGSIM_OK)
        *out_image = bmp.image;
    else
        imgsim_image_free(bmp.image);
    return status;
}
