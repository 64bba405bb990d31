/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Perceptual hashes: pHash, dHash and aHash of 64 or 256 bits. Integer arithmetic: the same bits
 * on every machine.
 */
#include "extract/extractor.h"
#include "image/image.h"

#include "core/memory.h"
#include "core/options.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Bits per side of the hash, and the square of luma that pHash transforms. */
enum { SIDE_MAX = 16, SQUARE_MAX = 64, COSINE_BITS = 14 };

struct hash_extractor {
    imgsim_extractor common;
    int32_t kind;
    uint32_t side; /* 8 or 16 */
};

static const imgsim_hash_options default_options = {
    .struct_size = sizeof(imgsim_hash_options),
    .kind = IMGSIM_HASH_PHASH,
    .bits = 64,
};

imgsim_status imgsim_hash_options_init(imgsim_hash_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &default_options, sizeof(default_options));
}

/* Bit `index` in reading order, most significant bit of the first byte first. */
static void set_bit(uint8_t *row, uint32_t index)
{
    row[index / 8] |= (uint8_t)(0x80u >> (index % 8));
}

/* ---- pHash ---- */

/* cos((2 n + 1) k pi / (2 N)) in units of 2^-14, for N = 32 and 64. */
static int32_t cosines_32[8][32];
static int32_t cosines_64[16][64];
static pthread_once_t cosines_once = PTHREAD_ONCE_INIT;

/*
 * Only the first quarter is computed; the rest follows by symmetry. Opposite values are thus
 * opposite exactly, and the frequencies above 0 of an even area are 0 instead of the rounding's
 * noise.
 */
static int32_t cosine(uint32_t k, uint32_t n, uint32_t length)
{
    uint32_t turn = 4 * length; /* steps of a full circle */
    uint32_t step = (2 * n + 1) * k % turn;
    int32_t sign = 1;

    if (step > turn / 2)
        step = turn - step;
    if (step > turn / 4) {
        step = turn / 2 - step;
        sign = -1;
    }
    return sign *
           (int32_t)floor(
               cos(step * 3.14159265358979323846 / (2.0 * length)) * (1 << COSINE_BITS) + 0.5);
}

static void make_cosines(void)
{
    for (uint32_t k = 0; k < 8; k++)
        for (uint32_t n = 0; n < 32; n++)
            cosines_32[k][n] = cosine(k, n, 32);
    for (uint32_t k = 0; k < 16; k++)
        for (uint32_t n = 0; n < 64; n++)
            cosines_64[k][n] = cosine(k, n, 64);
}

/*
 * The first `side` frequencies of `length` numbers that stand `step` apart, by the symmetry of the cosines: those of even frequencies
 * are the same from both ends, those of odd ones opposite, so that sums and differences of opposite numbers need half the products.
 */
static void transform(
    const int64_t *numbers,
    size_t step,
    const int32_t *cosines,
    uint32_t side,
    uint32_t length,
    int64_t *out)
{
    int64_t folded[2][SQUARE_MAX / 2];
    uint32_t half = length / 2;

    for (uint32_t n = 0; n < half; n++) {
        int64_t near = numbers[n * step], far = numbers[(length - 1 - n) * step];

        folded[0][n] = near + far;
        folded[1][n] = near - far;
    }
    for (uint32_t k = 0; k < side; k++) {
        const int32_t *cosine_k = cosines + k * length;
        const int64_t *factors = folded[k % 2];
        int64_t sum = 0;

        for (uint32_t n = 0; n < half; n++)
            sum += factors[n] * cosine_k[n];
        out[k] = sum;
    }
}

/* Put the numbers in such an order that none before place k is above that there, and none behind it below: Hoare, CACM 4(7), 1961. */
static void select_number(int64_t *numbers, int32_t count, int32_t k)
{
    int32_t first = 0, last = count - 1;

    while (first < last) {
        int64_t pivot = numbers[k];
        int32_t i = first, j = last;

        while (i <= j) {
            while (numbers[i] < pivot)
                i++;
            while (numbers[j] > pivot)
                j--;
            if (i <= j) {
                int64_t swapped = numbers[i];

                numbers[i++] = numbers[j];
                numbers[j--] = swapped;
            }
        }
        if (j < k)
            first = i;
        if (k < i)
            last = j;
    }
}

/* The sum of the two numbers in the middle of an even count, which is twice the median; changes their order. */
static int64_t twice_the_median(int64_t *numbers, size_t count)
{
    int64_t above;

    select_number(numbers, (int32_t)count, (int32_t)count / 2 - 1);
    above = numbers[count / 2];
    for (size_t i = count / 2 + 1; i < count; i++)
        if (numbers[i] < above)
            above = numbers[i];
    return numbers[count / 2 - 1] + above;
}

/*
 * Zauner (2010), section 3.2.1: the lowest side x side frequencies of the two-dimensional DCT-II
 * of a square of 4 side x 4 side pixels, each against their median.
 *
 * Departures: the frequency 0 is kept, as in Python's imagehash, whose bit order this is; the
 * square comes from area means instead of a 7 x 7 mean filter and a resize. Luma has 8 bits after
 * the point, the cosines 14: sums stay below 2^57.
 */
static void phash(const float *luma, uint32_t side, uint8_t *row)
{
    const int32_t *cosines = side == 8 ? &cosines_32[0][0] : &cosines_64[0][0];
    uint32_t length = 4 * side, count = side * side;
    int64_t half[SQUARE_MAX * SIDE_MAX]; /* rows of pixels, columns of frequencies */
    int64_t full[SIDE_MAX * SIDE_MAX], ordered[SIDE_MAX * SIDE_MAX]; /* by columns */
    int64_t values[SQUARE_MAX], median;

    for (uint32_t y = 0; y < length; y++) {
        for (uint32_t x = 0; x < length; x++)
            values[x] = (int32_t)(luma[y * length + x] * 256.0f + 0.5f);
        transform(values, 1, cosines, side, length, half + y * side);
    }
    for (uint32_t k = 0; k < side; k++)
        transform(half + k, side, cosines, side, length, full + k * side);

    /* Above the mean of the two in the middle; doubled, so that it stays whole. */
    memcpy(ordered, full, count * sizeof(ordered[0]));
    median = twice_the_median(ordered, count);
    for (uint32_t i = 0; i < count; i++)
        if (2 * full[i % side * side + i / side] > median)
            set_bit(row, i);
}

/* ---- dHash and aHash ---- */

/*
 * side x side bits: is the right neighbour brighter? Luma is rounded to whole numbers first,
 * against noise in even areas.
 */
static void dhash(const float *luma, uint32_t side, uint8_t *row)
{
    for (uint32_t y = 0; y < side; y++)
        for (uint32_t x = 0; x < side; x++) {
            const float *pixel = luma + y * (side + 1) + x;

            if ((int32_t)(pixel[0] + 0.5f) < (int32_t)(pixel[1] + 0.5f))
                set_bit(row, y * side + x);
        }
}

/* side x side bits: is the pixel brighter than the mean of all? */
static void ahash(const float *luma, uint32_t side, uint8_t *row)
{
    int32_t count = (int32_t)(side * side), sum = 0;

    for (int32_t i = 0; i < count; i++)
        sum += (int32_t)(luma[i] + 0.5f);
    for (int32_t i = 0; i < count; i++)
        if ((int32_t)(luma[i] + 0.5f) * count > sum)
            set_bit(row, (uint32_t)i);
}

static imgsim_status
hash_extract(const imgsim_extractor *extractor, const imgsim_image *image, void *out_row)
{
    const struct hash_extractor *hash = (const struct hash_extractor *)extractor;
    imgsim_status status;
    float luma[SQUARE_MAX * SQUARE_MAX];
    uint32_t width = hash->side, height = hash->side;

    if (hash->kind == IMGSIM_HASH_PHASH)
        width = height = 4 * hash->side;
    else if (hash->kind == IMGSIM_HASH_DHASH)
        width = hash->side + 1;
    if ((status = ims_resample_grey(image, width, height, luma)) != IMGSIM_OK)
        return status;

    memset(out_row, 0, extractor->row_size);
    if (hash->kind == IMGSIM_HASH_PHASH)
        phash(luma, hash->side, out_row);
    else if (hash->kind == IMGSIM_HASH_DHASH)
        dhash(luma, hash->side, out_row);
    else
        ahash(luma, hash->side, out_row);
    return IMGSIM_OK;
}

static const struct ims_extractor_kind hash_kind = {.name = "hash", .extract = hash_extract};

imgsim_status
imgsim_extractor_new_hash(const imgsim_hash_options *options, imgsim_extractor **out_extractor)
{
    static const char *const kinds[] = {"phash", "dhash", "ahash"};
    imgsim_status status;
    imgsim_hash_options read = default_options;
    struct hash_extractor *hash;
    char spec[64];

    if (out_extractor == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_extractor must not be NULL");
    *out_extractor = NULL;
    if ((status = ims_options_read(&read, sizeof(read), options)) != IMGSIM_OK)
        return status;
    if (read.kind < IMGSIM_HASH_PHASH || read.kind > IMGSIM_HASH_AHASH)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown kind of hash %d", (int)read.kind);
    if (read.bits != 64 && read.bits != 256)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a hash has 64 or 256 bits, not %u", read.bits);
    if ((hash = ims_calloc(1, sizeof(*hash))) == NULL)
        return ims_fail_memory(sizeof(*hash));

    hash->kind = read.kind;
    hash->side = read.bits == 64 ? 8 : 16;
    pthread_once(&cosines_once, make_cosines);
    snprintf(spec, sizeof(spec), "hash:kind=%s,bits=%u", kinds[read.kind], read.bits);
    status = ims_extractor_init(
        &hash->common, &hash_kind, "hash", IMGSIM_ROW_BITS, read.bits, IMGSIM_METRIC_HAMMING, spec,
        NULL);
    if (status != IMGSIM_OK) {
        ims_free(hash->common.spec);
        ims_free(hash);
        return status;
    }
    /* Two pixels per cell are enough: reduced decoding is itself a mean over areas. */
    hash->common.min_side = read.kind == IMGSIM_HASH_PHASH ? 8 * hash->side : 4 * hash->side;
    *out_extractor = &hash->common;
    return IMGSIM_OK;
}
