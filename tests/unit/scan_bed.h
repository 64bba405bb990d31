/* SPDX-License-Identifier: Apache-2.0 */
/* A folder with small pictures and a catalog of it, for the tests of scanning. */
#ifndef IMS_TESTS_SCAN_BED_H
#define IMS_TESTS_SCAN_BED_H

#include "check.h"

#include <imgsim/catalog.h>
#include <imgsim/scan.h>

#include "core/memory.h"
#include "core/rng.h"
#include "image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct bed {
    char folder[600]; /* removed at the end */
    char photos[640]; /* what is scanned */
    char catalog_path[700];
    imgsim_catalog *catalog;
    imgsim_scan_options options;
    imgsim_scan_report report;
};

/* A file of the catalog, copied. */
struct bed_file {
    int found;
    int64_t id;
    int32_t state;
    uint32_t width;
    uint32_t height;
    uint64_t bytes;
    char uuid[40];
    char format[32];
    char reason[256];
    char hash[40];
};

static inline void bed_open_catalog(struct bed *bed)
{
    imgsim_catalog_options options;

    CHECK_OK(imgsim_catalog_options_init(&options, sizeof(options)));
    options.create = 1;
    CHECK_OK(imgsim_catalog_open(bed->catalog_path, &options, &bed->catalog));
}

static inline void bed_open(struct bed *bed)
{
    memset(bed, 0, sizeof(*bed));
    snprintf(bed->folder, sizeof(bed->folder), "%s", check_temporary_folder());
    snprintf(bed->photos, sizeof(bed->photos), "%s/photos", bed->folder);
    snprintf(bed->catalog_path, sizeof(bed->catalog_path), "%s/.imgsim", bed->photos);
    CHECK(mkdir(bed->photos, 0777) == 0);
    bed_open_catalog(bed);
    CHECK_OK(imgsim_scan_options_init(&bed->options, sizeof(bed->options)));
    bed->options.threads = 2;
    /* The same tests run with workers, too. */
    if (getenv("IMGSIM_TEST_ISOLATION") != NULL)
        bed->options.isolation = IMGSIM_ISOLATION_WORKERS;
}

static inline int
bed_remove(const char *path, const struct stat *info, int kind, struct FTW *position)
{
    (void)info;
    (void)kind;
    (void)position;
    return remove(path);
}

static inline void bed_close(struct bed *bed)
{
    imgsim_catalog_free(bed->catalog);
    CHECK(nftw(bed->folder, bed_remove, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

/* Absolute path of a file in the photos folder, in one of a few static buffers. */
static inline const char *bed_path(const struct bed *bed, const char *name)
{
    static char buffers[4][5200];
    static int next;
    char *path = buffers[next++ % 4];

    snprintf(path, sizeof(buffers[0]), "%s/%s", bed->photos, name);
    return path;
}

static inline void bed_folder(const struct bed *bed, const char *name)
{
    CHECK(mkdir(bed_path(bed, name), 0777) == 0);
}

static inline void bed_write(const struct bed *bed, const char *name, const void *data, size_t size)
{
    FILE *file = fopen(bed_path(bed, name), "wb");

    CHECK(file != NULL);
    CHECK(fwrite(data, 1, size, file) == size);
    CHECK(fclose(file) == 0);
}

/* A picture that the seed decides: blocks of colour over a gradient. */
static inline imgsim_image *bed_picture(uint64_t seed, uint32_t width, uint32_t height)
{
    imgsim_image *image = NULL;
    struct ims_rng rng;

    ims_rng_init(&rng, seed);
    CHECK_OK(ims_image_alloc(width, height, &image));
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint8_t *pixel = image->pixels + 3 * ((size_t)y * width + x);

            pixel[0] = (uint8_t)(x * 255 / width);
            pixel[1] = (uint8_t)(y * 255 / height);
            pixel[2] = (uint8_t)seed;
        }
    for (int block = 0; block < 6; block++) {
        uint32_t left = (uint32_t)ims_rng_below(&rng, width / 2);
        uint32_t top = (uint32_t)ims_rng_below(&rng, height / 2);

        ims_canvas_fill(
            image, (int32_t)left, (int32_t)top, width / 3, height / 3,
            (uint32_t)(ims_rng_next(&rng) & 0xffffff));
    }
    return image;
}

/* Write a picture as "jpeg", "png", "webp" or "pnm". */
static inline void
bed_image(const struct bed *bed, const char *name, uint64_t seed, const char *format)
{
    imgsim_image *image = bed_picture(seed, 60 + (uint32_t)(seed % 7), 48);
    uint8_t *data = NULL;
    size_t size = 0;

    if (strcmp(format, "pnm") == 0) {
        size_t pixels = (size_t)image->width * image->height * 3;
        int header;

        CHECK((data = ims_alloc(pixels + 64)) != NULL);
        header = snprintf((char *)data, 64, "P6\n%u %u\n255\n", image->width, image->height);
        memcpy(data + header, image->pixels, pixels);
        size = pixels + (size_t)header;
    } else {
        CHECK_OK(ims_image_encode(image, format, 90, &data, &size));
    }
    bed_write(bed, name, data, size);
    ims_free(data);
    imgsim_image_free(image);
}

/* Set a file's time to a number of seconds since 1970. */
static inline void bed_touch(const struct bed *bed, const char *name, time_t seconds)
{
    struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds, .tv_nsec = 5}};

    CHECK(utimensat(AT_FDCWD, bed_path(bed, name), times, 0) == 0);
}

static inline imgsim_status bed_try_scan(struct bed *bed)
{
    const char *paths[1] = {bed->photos};

    memset(&bed->report, 0, sizeof(bed->report));
    bed->report.struct_size = sizeof(bed->report);
    return imgsim_scan(bed->catalog, paths, 1, &bed->options, &bed->report);
}

/* Scan; every file seen must be counted in exactly one way. */
static inline void bed_scan(struct bed *bed)
{
    const imgsim_scan_report *report = &bed->report;

    CHECK_OK(bed_try_scan(bed));
    CHECK_EQUAL(
        report->unchanged + report->added + report->refreshed + report->moved + report->skipped +
            report->failed,
        report->seen);
}

struct bed_search {
    const char *path;
    struct bed_file *out;
};

static inline int32_t bed_match(const imgsim_file_info *file, void *user_data)
{
    struct bed_search *search = user_data;
    struct bed_file *out = search->out;

    if (strcmp(file->path, search->path) != 0)
        return 0;
    out->found++;
    out->id = file->id;
    out->state = file->state;
    out->width = file->width;
    out->height = file->height;
    out->bytes = file->bytes;
    snprintf(out->uuid, sizeof(out->uuid), "%s", file->uuid);
    snprintf(out->format, sizeof(out->format), "%s", file->format);
    snprintf(out->reason, sizeof(out->reason), "%s", file->reason);
    snprintf(out->hash, sizeof(out->hash), "%s", file->content_hash);
    return 0;
}

/* How many records a path has: 0 or 1. */
static inline int bed_records(const struct bed *bed, const char *name)
{
    struct bed_file file = {.id = -2};
    struct bed_search search = {bed_path(bed, name), &file};

    CHECK_OK(imgsim_catalog_visit_files(bed->catalog, -1, bed_match, &search));
    return file.found;
}

/* What the catalog says about a file; it must be there exactly once. */
static inline struct bed_file bed_get(const struct bed *bed, const char *name)
{
    struct bed_file file = {.id = -2};
    struct bed_search search = {bed_path(bed, name), &file};

    CHECK_OK(imgsim_catalog_visit_files(bed->catalog, -1, bed_match, &search));
    if (file.found != 1)
        fprintf(stderr, "%s: %d records\n", name, file.found);
    CHECK(file.found == 1);
    return file;
}

static inline void
bed_check_state(const struct bed *bed, const char *name, int32_t state, const char *reason)
{
    struct bed_file file = bed_get(bed, name);

    if (file.state != state || strcmp(file.reason, reason) != 0)
        fprintf(stderr, "%s: state %d, \"%s\"\n", name, file.state, file.reason);
    CHECK_EQUAL(file.state, state);
    CHECK_TEXT(file.reason, reason);
}

static inline void bed_count(const struct bed *bed, uint64_t counts[IMGSIM_FILE_STATE_COUNT])
{
    CHECK_OK(imgsim_catalog_count_states(bed->catalog, counts));
}

/* One row of a feature, dense; it must be there. */
static inline void
bed_row(const struct bed *bed, const char *feature, int64_t id, void *row, size_t row_size)
{
    imgsim_features *features = NULL;

    CHECK_OK(imgsim_catalog_open_features(bed->catalog, feature, &features));
    CHECK_OK(imgsim_features_read(features, &id, 1, row, row_size));
    imgsim_features_free(features);
}

static inline int bed_has_row(const struct bed *bed, const char *feature, int64_t id)
{
    imgsim_features *features = NULL;
    int has;

    CHECK_OK(imgsim_catalog_open_features(bed->catalog, feature, &features));
    has = imgsim_features_has_row(features, id);
    imgsim_features_free(features);
    return has;
}

#endif
