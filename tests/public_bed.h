/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder of small pictures made byte by byte, and a catalog of them with everything in it, by the
 * public headers alone.
 */
#ifndef IMS_TESTS_PUBLIC_BED_H
#define IMS_TESTS_PUBLIC_BED_H

#include "check.h"

#include <imgsim/imgsim.h>

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#define BED_WIDTH 36u
#define BED_HEIGHT 30u
#define BED_PIXELS (BED_WIDTH * BED_HEIGHT * 3)
#define BED_FAMILIES 5
/* Tiles of the host's extractor, 4 x 4 of three colours: one embedding. */
#define BED_TILES 4u
#define BED_VALUES (BED_TILES * BED_TILES * 3)

struct public_bed {
    char folder[600]; /* removed at the end */
    char photos[640];
    char catalog_path[700];
    imgsim_catalog *catalog;
    imgsim_extractor *extractors[3]; /* color, hash, the host's "embedding" */
};

/* ---- pictures ---- */

/* A picture: the family decides ground and figure, the number moves and tints the figure. */
static inline void bed_pixels(unsigned family, unsigned number, uint8_t *pixels)
{
    static const uint8_t grounds[BED_FAMILIES][3] = {
        {200, 40, 30}, {30, 160, 60}, {40, 70, 210}, {220, 200, 60}, {30, 210, 220}};
    const uint8_t *ground = grounds[family % BED_FAMILIES];
    unsigned left = 3 + number * 5 % 19, top = 2 + number * 7 % 17;

    for (unsigned y = 0; y < BED_HEIGHT; y++)
        for (unsigned x = 0; x < BED_WIDTH; x++, pixels += 3) {
            int inside = x >= left && x < left + 11 && y >= top && y < top + 9;
            int striped = (x + (family + 1) * y + number) % (6 + family) < 2;

            for (unsigned c = 0; c < 3; c++)
                pixels[c] = (uint8_t)(inside    ? 250 - 11 * (number % 9) - 30 * c * (family % 3)
                                      : striped ? ground[c] / 2
                                                : ground[c]);
        }
}

static inline void bed_write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK(fwrite(data, 1, size, file) == size);
    CHECK(fclose(file) == 0);
}

/* A PPM file's bytes; returns their number. */
static inline size_t bed_ppm(const uint8_t *pixels, uint8_t out[BED_PIXELS + 32])
{
    int header = snprintf((char *)out, 32, "P6\n%u %u\n255\n", BED_WIDTH, BED_HEIGHT);

    memcpy(out + header, pixels, BED_PIXELS);
    return BED_PIXELS + (size_t)header;
}

static inline uint8_t *bed_big_32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
    return out + 4;
}

/* Length, name, data, CRC-32 of name and data (PNG specification, 5.3). */
static inline uint8_t *
bed_png_chunk(uint8_t *out, const char *name, const uint8_t *data, uint32_t size)
{
    uint32_t crc = UINT32_MAX;

    out = bed_big_32(out, size);
    memcpy(out, name, 4);
    if (size != 0)
        memcpy(out + 4, data, size);
    for (uint32_t i = 0; i < size + 4; i++) {
        crc ^= out[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? UINT32_C(0xedb88320) : 0);
    }
    return bed_big_32(out + 4 + size, ~crc);
}

/* A PNG file's bytes: filter 0, one stored block (RFC 1951, 3.2.4); returns their number. */
static inline size_t bed_png(const uint8_t *pixels, uint8_t out[BED_PIXELS + 256])
{
    enum { ROW = BED_WIDTH * 3 + 1, RAW = ROW * BED_HEIGHT };
    static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    uint8_t header[13] = {0}, data[RAW + 11];
    uint32_t a = 1, b = 0; /* Adler-32, RFC 1950 */
    uint8_t *end = out;

    bed_big_32(bed_big_32(header, BED_WIDTH), BED_HEIGHT);
    header[8] = 8;
    header[9] = 2;
    memcpy(
        data, (uint8_t[]){0x78, 0x01, 0x01, RAW & 255, RAW >> 8, ~RAW & 255, (~RAW >> 8) & 255}, 7);
    for (unsigned y = 0; y < BED_HEIGHT; y++) {
        data[7 + y * ROW] = 0;
        memcpy(data + 8 + y * ROW, pixels + (size_t)y * BED_WIDTH * 3, BED_WIDTH * 3);
    }
    for (size_t i = 0; i < RAW; i++) {
        a = (a + data[7 + i]) % 65521;
        b = (b + a) % 65521;
    }
    bed_big_32(data + 7 + RAW, b << 16 | a);

    memcpy(end, signature, sizeof(signature));
    end = bed_png_chunk(end + sizeof(signature), "IHDR", header, sizeof(header));
    end = bed_png_chunk(end, "IDAT", data, sizeof(data));
    end = bed_png_chunk(end, "IEND", NULL, 0);
    return (size_t)(end - out);
}

/* Absolute path of a file of the photos folder, in one of a few static buffers. */
static inline const char *bed_path(const struct public_bed *bed, const char *name)
{
    static char buffers[4][1000];
    static int next;
    char *path = buffers[next++ % 4];

    snprintf(path, sizeof(buffers[0]), "%s/%s", bed->photos, name);
    return path;
}

/* Write picture `number` of a family into its folder, even numbers as PNG, odd ones as PPM. */
static inline const char *
bed_write_picture(const struct public_bed *bed, unsigned family, unsigned number)
{
    uint8_t pixels[BED_PIXELS], data[BED_PIXELS + 256];
    char name[64];
    const char *path;
    size_t size;

    snprintf(name, sizeof(name), "family%u", family);
    (void)mkdir(bed_path(bed, name), 0777);
    snprintf(
        name, sizeof(name), "family%u/%02u.%s", family, number, number % 2 == 0 ? "png" : "ppm");
    path = bed_path(bed, name);
    bed_pixels(family, number, pixels);
    size = number % 2 == 0 ? bed_png(pixels, data) : bed_ppm(pixels, data);
    bed_write_file(path, data, size);
    return path;
}

static inline imgsim_image *bed_image(unsigned family, unsigned number)
{
    uint8_t pixels[BED_PIXELS];
    imgsim_image *image = NULL;

    bed_pixels(family, number, pixels);
    CHECK_OK(imgsim_image_new(pixels, BED_WIDTH, BED_HEIGHT, 0, &image));
    return image;
}

/* ---- the host's extractor: mean colour of tiles, less the middle of the range ---- */

static inline void bed_tiles_of(const imgsim_image *image, float *row)
{
    const uint8_t *pixels = imgsim_image_get_pixels(image);
    uint32_t width = imgsim_image_get_width(image), height = imgsim_image_get_height(image);
    uint32_t counts[BED_TILES * BED_TILES] = {0};

    memset(row, 0, BED_VALUES * sizeof(*row));
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++, pixels += 3) {
            uint32_t tile = y * BED_TILES / height * BED_TILES + x * BED_TILES / width;

            counts[tile]++;
            for (uint32_t c = 0; c < 3; c++)
                row[tile * 3 + c] += (float)pixels[c] - 127.5F;
        }
    for (uint32_t i = 0; i < BED_VALUES; i++)
        row[i] /= counts[i / 3] == 0 ? 1.0F : (float)counts[i / 3] * 128.0F;
}

static inline int32_t
bed_extract(const imgsim_image *const *images, size_t count, void *out_rows, void *user_data)
{
    float *rows = out_rows;

    (void)user_data;
    for (size_t i = 0; i < count; i++)
        bed_tiles_of(images[i], rows + i * BED_VALUES);
    return 0;
}

static inline imgsim_extractor *bed_host_extractor(void)
{
    imgsim_host_extractor table = {
        .struct_size = sizeof(table),
        .name = "embedding",
        .version = "tiles 4 x 4",
        .dimension = BED_VALUES,
        .row_type = IMGSIM_ROW_FLOAT32,
        .default_metric = IMGSIM_METRIC_COSINE,
        .concurrent = 1,
        .extract = bed_extract,
    };
    imgsim_extractor *extractor = NULL;

    CHECK_OK(imgsim_extractor_new_host(&table, NULL, &extractor));
    return extractor;
}

/* ---- the catalog ---- */

static inline imgsim_catalog *bed_open_catalog(const char *path, int32_t create)
{
    imgsim_catalog_options options;
    imgsim_catalog *catalog = NULL;

    CHECK_OK(imgsim_catalog_options_init(&options, sizeof(options)));
    options.create = create;
    CHECK_OK(imgsim_catalog_open(path, &options, &catalog));
    return catalog;
}

static inline imgsim_status
bed_try_scan(struct public_bed *bed, uint32_t threads, imgsim_scan_report *out_report)
{
    const char *paths[1] = {bed->photos};
    imgsim_scan_options options;

    CHECK_OK(imgsim_scan_options_init(&options, sizeof(options)));
    options.extractors = (const imgsim_extractor *const *)bed->extractors;
    options.extractor_count = 3;
    options.threads = threads;
    options.transaction_size = 10;
    memset(out_report, 0, sizeof(*out_report));
    out_report->struct_size = sizeof(*out_report);
    return imgsim_scan(bed->catalog, paths, 1, &options, out_report);
}

static inline imgsim_scan_report bed_scan(struct public_bed *bed)
{
    imgsim_scan_report report;

    CHECK_OK(bed_try_scan(bed, 2, &report));
    CHECK_EQUAL(
        report.unchanged + report.added + report.refreshed + report.moved + report.skipped +
            report.failed,
        report.seen);
    return report;
}

/* A folder without pictures, extractors, no catalog yet. */
static inline void bed_begin(struct public_bed *bed)
{
    memset(bed, 0, sizeof(*bed));
    snprintf(bed->folder, sizeof(bed->folder), "%s", check_temporary_folder());
    snprintf(bed->photos, sizeof(bed->photos), "%s/photos", bed->folder);
    snprintf(bed->catalog_path, sizeof(bed->catalog_path), "%s/.imgsim", bed->photos);
    CHECK(mkdir(bed->photos, 0777) == 0);
    CHECK_OK(imgsim_extractor_new_color(NULL, &bed->extractors[0]));
    CHECK_OK(imgsim_extractor_new_hash(NULL, &bed->extractors[1]));
    bed->extractors[2] = bed_host_extractor();
}

/* Pictures 0 to each - 1 of every family, scanned. */
static inline void bed_open(struct public_bed *bed, unsigned each)
{
    imgsim_scan_report report;

    bed_begin(bed);
    for (unsigned family = 0; family < BED_FAMILIES; family++)
        for (unsigned number = 0; number < each; number++)
            bed_write_picture(bed, family, number);
    bed->catalog = bed_open_catalog(bed->catalog_path, 1);
    report = bed_scan(bed);
    CHECK_EQUAL(report.added, (uint64_t)BED_FAMILIES * each);
}

/* The projection "embedding-pcaN" and its HNSW index. */
static inline void bed_derive(struct public_bed *bed, uint32_t dimension)
{
    imgsim_projection_options projection;
    imgsim_index_options index;

    CHECK_OK(imgsim_projection_options_init(&projection, sizeof(projection)));
    projection.dimension = dimension;
    CHECK_OK(imgsim_derive_projection(bed->catalog, &projection, NULL));
    CHECK_OK(imgsim_index_options_init(&index, sizeof(index)));
    index.kind = IMGSIM_INDEX_HNSW;
    index.metric = IMGSIM_METRIC_DEFAULT;
    CHECK_OK(imgsim_derive_index(bed->catalog, NULL, &index, NULL));
}

static inline int
bed_remove(const char *path, const struct stat *info, int kind, struct FTW *position)
{
    (void)info;
    (void)kind;
    (void)position;
    return remove(path);
}

static inline void bed_remove_folder(const char *path)
{
    CHECK(nftw(path, bed_remove, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

static inline void bed_close(struct public_bed *bed)
{
    imgsim_catalog_free(bed->catalog);
    for (int i = 0; i < 3; i++)
        imgsim_extractor_free(bed->extractors[i]);
    bed_remove_folder(bed->folder);
}

static inline void bed_print_problem(const char *problem, void *user_data)
{
    (void)user_data;
    fprintf(stderr, "problem: %s\n", problem);
}

static inline void bed_verify(const imgsim_catalog *catalog)
{
    CHECK_OK(imgsim_catalog_verify(catalog, bed_print_problem, NULL));
}

/* ---- answers ---- */

static inline int64_t
bed_find(const struct public_bed *bed, const imgsim_catalog *catalog, const char *name)
{
    int64_t id = -1;

    CHECK_OK(imgsim_catalog_find(catalog, bed_path(bed, name), &id));
    return id;
}

static inline imgsim_hit bed_hit(const imgsim_result *result, size_t position)
{
    imgsim_hit hit = {.struct_size = sizeof(hit)};

    CHECK_OK(imgsim_result_get_hit(result, position, &hit));
    return hit;
}

#endif
