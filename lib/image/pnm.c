/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Netpbm's PBM, PGM and PPM, plain and raw: simple enough to need no loader that libvips itself
 * does not trust.
 */
#include "image/decode.h"

#include <string.h>

/* Reading position in the file. */
struct pnm {
    const struct ims_source *source;
    size_t at;
    uint32_t kind; /* 1 to 6, the digit after 'P' */
    uint32_t width;
    uint32_t height;
    uint32_t maximum;
};

static bool is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_space(struct pnm *pnm)
{
    const struct ims_source *source = pnm->source;

    while (pnm->at < source->size) {
        if (source->data[pnm->at] == '#')
            while (pnm->at < source->size && source->data[pnm->at] != '\n')
                pnm->at++;
        else if (is_space(source->data[pnm->at]))
            pnm->at++;
        else
            return;
    }
}

/* A number of the header or of a plain file; false at anything else and beyond 2^31. */
static bool read_number(struct pnm *pnm, uint32_t *out)
{
    const struct ims_source *source = pnm->source;
    uint64_t value = 0;
    size_t start;

    skip_space(pnm);
    start = pnm->at;
    while (pnm->at < source->size && source->data[pnm->at] >= '0' && source->data[pnm->at] <= '9') {
        value = value * 10 + (source->data[pnm->at++] - '0');
        if (value > INT32_MAX)
            return false;
    }
    *out = (uint32_t)value;
    return pnm->at > start;
}

static imgsim_status fail_here(const struct pnm *pnm)
{
    const char *reason = pnm->at >= pnm->source->size ? "truncated" : "damaged";

    return ims_decode_fail(pnm->source, IMGSIM_ERROR_BAD_IMAGE, reason, NULL);
}

static imgsim_status read_header(struct pnm *pnm)
{
    pnm->kind = (uint32_t)(pnm->source->data[1] - '0');
    pnm->at = 2;
    pnm->maximum = 1;
    if (!read_number(pnm, &pnm->width) || !read_number(pnm, &pnm->height) ||
        (pnm->kind != 1 && pnm->kind != 4 && !read_number(pnm, &pnm->maximum)))
        return fail_here(pnm);
    if (pnm->maximum == 0 || pnm->maximum > 65535)
        return ims_decode_fail(
            pnm->source, IMGSIM_ERROR_BAD_IMAGE, "damaged", "the largest value must be 1 to 65535");
    if (pnm->kind >= 4)
        pnm->at++; /* one white space before the raster */
    return ims_decode_check_size(pnm->source, pnm->width, pnm->height, 1);
}

/* 0..maximum to 0..255; of 16 bits the upper byte, as everywhere else. */
static uint8_t scale_value(uint32_t value, uint32_t maximum)
{
    if (value > maximum)
        value = maximum;
    if (maximum == 65535)
        return (uint8_t)(value >> 8);
    return maximum == 255 ? (uint8_t)value : (uint8_t)((value * 255 + maximum / 2) / maximum);
}

/* In PBM 1 is black. Plain PBM needs no white space between its digits. */
static bool read_plain(struct pnm *pnm, uint32_t bands, uint8_t *row)
{
    for (size_t i = 0; i < (size_t)pnm->width * bands; i++) {
        uint32_t value;

        if (pnm->kind == 1) {
            skip_space(pnm);
            if (pnm->at >= pnm->source->size || (pnm->source->data[pnm->at] | 1) != '1')
                return false;
            row[i] = pnm->source->data[pnm->at++] == '1' ? 0 : 255;
        } else {
            if (!read_number(pnm, &value))
                return false;
            row[i] = scale_value(value, pnm->maximum);
        }
    }
    return true;
}

static bool read_raw(struct pnm *pnm, uint32_t bands, uint8_t *row)
{
    size_t count = (size_t)pnm->width * bands;
    size_t bytes = pnm->kind == 4 ? (count + 7) / 8 : pnm->maximum > 255 ? count * 2 : count;
    const uint8_t *in = pnm->source->data + pnm->at;

    if (pnm->at > pnm->source->size || bytes > pnm->source->size - pnm->at) {
        pnm->at = pnm->source->size;
        return false;
    }
    pnm->at += bytes;
    for (size_t i = 0; i < count; i++) {
        if (pnm->kind == 4)
            row[i] = (in[i / 8] >> (7 - i % 8)) & 1 ? 0 : 255;
        else if (pnm->maximum > 255)
            row[i] = scale_value((uint32_t)in[i * 2] << 8 | in[i * 2 + 1], pnm->maximum);
        else
            row[i] = scale_value(in[i], pnm->maximum);
    }
    return true;
}

/* One grey value per pixel, at the start of the row, to three. */
static void spread_grey(uint8_t *row, uint32_t width)
{
    for (size_t i = width; i-- > 0;)
        row[i * 3] = row[i * 3 + 1] = row[i * 3 + 2] = row[i];
}

imgsim_status ims_decode_pnm(const struct ims_source *source, imgsim_image **out_image)
{
    imgsim_status status;
    struct pnm pnm = {.source = source};
    imgsim_image *image = NULL;
    uint32_t bands;

    if ((status = read_header(&pnm)) != IMGSIM_OK ||
        (status = ims_decode_alloc(source, pnm.width, pnm.height, "pnm", &image)) != IMGSIM_OK)
        goto done;
    bands = pnm.kind % 3 == 0 ? 3 : 1;
    for (uint32_t y = 0; y < pnm.height; y++) {
        uint8_t *row = image->pixels + (size_t)y * pnm.width * 3;

        if (!(pnm.kind < 4 ? read_plain(&pnm, bands, row) : read_raw(&pnm, bands, row))) {
            status = fail_here(&pnm);
            goto done;
        }
        if (bands == 1)
            spread_grey(row, pnm.width);
    }
    *out_image = image;
    image = NULL;

done:
    imgsim_image_free(image);
    return status;
}
