/* SPDX-License-Identifier: Apache-2.0 */
/* What page and projector share: growing bytes, packed numbers, the order of points, sprites. */
#ifndef IMS_PAGE_PACK_H
#define IMS_PAGE_PACK_H

#include "core/file.h"
#include "image/image.h"
#include "page/page.h"

/* ---- pack.c: bytes and numbers ---- */

/* Growing bytes; zero it, release it with ims_bytes_clear(). Once memory runs out it stays failed. */
struct ims_bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed;
};
void ims_bytes_add(struct ims_bytes *bytes, const void *data, size_t size);
void ims_bytes_text(struct ims_bytes *bytes, const char *text);
void ims_bytes_clear(struct ims_bytes *bytes);
/* OK, or that memory ran out. */
imgsim_status ims_bytes_status(const struct ims_bytes *bytes);

/* Seven bits a byte, the lowest first, the high bit set on all but the last. */
void ims_bytes_varint(struct ims_bytes *bytes, uint32_t value);
/* A number in decimal, the same in every locale; what is not finite becomes null. */
void ims_bytes_number(struct ims_bytes *bytes, double value, int digits);
void ims_bytes_count(struct ims_bytes *bytes, uint64_t value);
/*
 * A JSON string of any bytes: invalid UTF-8 replaced; '<', line separators and what reverses the
 * direction of writing escaped, so that it may stand inside a script element.
 */
void ims_bytes_json(struct ims_bytes *bytes, const char *text);

/* Signed differences as small unsigned numbers: 0, -1, 1, -2, ... become 0, 1, 2, 3, ... */
static inline uint32_t ims_zigzag(int32_t value)
{
    return ((uint32_t)value << 1) ^ (uint32_t)(value < 0 ? -1 : 0);
}
/*
 * Numbers as planes of bytes, lowest first: all first bytes, then all second bytes, ... A plane of
 * high bytes hardly varies and compresses to nothing.
 */
void ims_bytes_planes(struct ims_bytes *bytes, const uint32_t *values, size_t count, int planes);
/* Bytes needed for the largest of the values, 1 to 4. */
int ims_planes_needed(const uint32_t *values, size_t count);

/* Compress into zlib's format (RFC 1950), appended. */
imgsim_status ims_bytes_deflate(struct ims_bytes *out, const void *data, size_t size);
/* Bytes of base64 to a file. */
imgsim_status ims_write_base64(struct ims_writer *writer, const uint8_t *data, size_t size);
/* Standard base64, appended. */
void ims_bytes_base64(struct ims_bytes *bytes, const uint8_t *data, size_t size);

/*
 * Sorted strings with what each shares with the one before: three streams, lengths of the shared
 * beginnings, lengths of the rest, the rests.
 */
struct ims_front_coder {
    struct ims_bytes shared;
    struct ims_bytes lengths;
    struct ims_bytes rests;
    const uint8_t *last;
    size_t last_size;
};
void ims_front_add(struct ims_front_coder *coder, const void *text, size_t size);
void ims_front_clear(struct ims_front_coder *coder);

/* ---- order.c: where points lie ---- */

/* Positions in 16 bits per axis over one cube that holds all points, and how to get back. */
struct ims_quantised {
    uint16_t *values; /* count x dimension */
    uint32_t dimension;
    double low[3];
    double scale; /* units of the map per step */
};
imgsim_status
ims_quantise(const float *positions, size_t count, uint32_t dimension, struct ims_quantised *out);
void ims_quantised_clear(struct ims_quantised *quantised);

/*
 * Points along a Z-shaped curve (Morton, "A computer oriented geodetic data base", IBM 1966):
 * neighbours in the map become neighbours in the file. Equal codes in order of number.
 */
imgsim_status ims_curve_order(
    const struct ims_quantised *quantised,
    size_t count,
    uint32_t *out_order,
    uint32_t *out_codes);

/*
 * Points that stand for the map, coarse to fine: each level quarters the cells of the one before,
 * and each cell without a representative gets the point nearest to the mean of its points; within
 * a level crowded cells come first. `codes` are sorted, `order` as from ims_curve_order(). Returned
 * as places in `order`.
 */
imgsim_status ims_representatives(
    const struct ims_quantised *quantised,
    const uint32_t *order,
    const uint32_t *codes,
    size_t count,
    size_t wanted,
    uint32_t *out_places,
    size_t *out_count);

/* ---- sprite.c: pictures side by side ---- */

/* A sheet of equal cells, row by row from the top left. */
struct ims_sprite {
    imgsim_image *canvas;
    uint32_t side;
    uint32_t columns;
    uint32_t rows;
};
imgsim_status ims_sprite_new(
    struct ims_sprite *sprite,
    uint32_t side,
    uint32_t columns,
    uint32_t rows,
    uint8_t grey);
void ims_sprite_clear(struct ims_sprite *sprite);
/* The middle of the JPEG over a whole cell; nothing for a picture that cannot be read. */
imgsim_status
ims_sprite_fill(struct ims_sprite *sprite, uint32_t cell, const uint8_t *jpeg, size_t size);
/*
 * Draw the JPEG into a cell, at its top left, as large as fits; what remains of the cell repeats
 * the picture's edge, so that compression does not bleed in. *out_width and *out_height are 0 for a
 * picture that cannot be read.
 */
imgsim_status ims_sprite_draw(
    struct ims_sprite *sprite,
    uint32_t cell,
    const uint8_t *jpeg,
    size_t size,
    uint8_t *out_width,
    uint8_t *out_height);

#endif
