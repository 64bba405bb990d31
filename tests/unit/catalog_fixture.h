/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the catalog share: images with rows that can be told from their ids. */
#ifndef IMS_TESTS_CATALOG_FIXTURE_H
#define IMS_TESTS_CATALOG_FIXTURE_H

#include "check.h"

#include "catalog/catalog.h"
#include "core/hash.h"
#include "core/rng.h"

#include <ftw.h>

#define FIXTURE_FLOATS 24u
#define FIXTURE_BITS 64u
#define FIXTURE_BINS 4096u

/* Numbers of the fixture's three sets. */
struct fixture_sets {
    uint32_t floats;
    uint32_t bits;
    uint32_t histogram;
};

static inline imgsim_feature_definition
fixture_definition(const char *name, int32_t row_type, uint32_t dimension, const char *fingerprint)
{
    imgsim_feature_definition definition = {
        .struct_size = sizeof(definition),
        .name = name,
        .spec = "made by a test",
        .fingerprint = fingerprint,
        .dimension = dimension,
        .row_type = row_type,
        .metric = row_type == IMGSIM_ROW_BITS     ? IMGSIM_METRIC_HAMMING
                  : row_type == IMGSIM_ROW_UINT32 ? IMGSIM_METRIC_CHI_SQUARE
                                                  : IMGSIM_METRIC_COSINE,
    };

    return definition;
}

/* Rows follow from a seed (mostly the id) alone. */
static inline void fixture_floats(int64_t seed, float row[FIXTURE_FLOATS])
{
    for (uint32_t i = 0; i < FIXTURE_FLOATS; i++)
        row[i] = (float)(ims_mix64((uint64_t)seed * 1000 + i) % 2000) / 1000.0f - 1.0f;
}

static inline void fixture_bits(int64_t seed, uint8_t row[FIXTURE_BITS / 8])
{
    for (uint32_t i = 0; i < FIXTURE_BITS / 8; i++)
        row[i] = (uint8_t)ims_mix64((uint64_t)seed * 77 + i);
}

static inline void fixture_histogram(int64_t seed, uint32_t row[FIXTURE_BINS])
{
    uint64_t filled = ims_mix64((uint64_t)seed) % 300;

    memset(row, 0, FIXTURE_BINS * sizeof(*row));
    for (uint64_t i = 0; i < filled; i++) {
        uint64_t draw = ims_mix64((uint64_t)seed * 4099 + i);

        row[draw % FIXTURE_BINS] += (uint32_t)(draw >> 40) + 1;
    }
    if (seed % 3 == 0)
        row[0] = 1;
    if (seed % 3 == 1)
        row[FIXTURE_BINS - 1] = UINT32_MAX;
}

static inline imgsim_catalog *fixture_open(const char *path, int create)
{
    imgsim_catalog_options options;
    imgsim_catalog *catalog;

    CHECK_OK(imgsim_catalog_options_init(&options, sizeof(options)));
    options.create = create;
    CHECK_OK(imgsim_catalog_open(path, &options, &catalog));
    return catalog;
}

static inline struct fixture_sets fixture_add_sets(struct ims_catalog_writer *writer)
{
    imgsim_feature_definition floats =
        fixture_definition("embedding", IMGSIM_ROW_FLOAT32, FIXTURE_FLOATS, "f1");
    imgsim_feature_definition bits =
        fixture_definition("hash", IMGSIM_ROW_BITS, FIXTURE_BITS, "b1");
    imgsim_feature_definition histogram =
        fixture_definition("color", IMGSIM_ROW_UINT32, FIXTURE_BINS, "h1");
    struct fixture_sets sets;

    CHECK_OK(ims_catalog_writer_feature(writer, &floats, 0, &sets.floats));
    CHECK_OK(ims_catalog_writer_feature(writer, &bits, 0, &sets.bits));
    CHECK_OK(ims_catalog_writer_feature(writer, &histogram, 0, &sets.histogram));
    return sets;
}

static inline void
fixture_put_rows(struct ims_catalog_writer *writer, const struct fixture_sets *sets, int64_t id)
{
    static uint32_t histogram[FIXTURE_BINS];
    float floats[FIXTURE_FLOATS];
    uint8_t bits[FIXTURE_BITS / 8];

    fixture_floats(id, floats);
    fixture_bits(id, bits);
    fixture_histogram(id, histogram);
    CHECK_OK(ims_catalog_writer_put_row(writer, sets->floats, id, floats));
    CHECK_OK(ims_catalog_writer_put_row(writer, sets->bits, id, bits));
    CHECK_OK(ims_catalog_writer_put_row(writer, sets->histogram, id, histogram));
}

static inline uint64_t fixture_mask(const struct fixture_sets *sets)
{
    return UINT64_C(1) << sets->floats | UINT64_C(1) << sets->bits | UINT64_C(1) << sets->histogram;
}

/* An image with all rows, not committed yet. */
static inline int64_t fixture_add_image(
    struct ims_catalog_writer *writer,
    const struct fixture_sets *sets,
    const char *stored_path)
{
    struct ims_file_record record = {
        .path = stored_path,
        .format = "jpeg",
        .reason = "",
        .has_hash = 1,
        .state = IMGSIM_FILE_OK,
        .width = 640,
        .height = 480,
        .bytes = 1000,
        .mtime_ns = 1234567890123456789};

    CHECK_OK(ims_catalog_writer_new_id(writer, &record.id));
    fixture_put_rows(writer, sets, record.id);
    ims_hash128(stored_path, strlen(stored_path), record.content_hash);
    record.features = fixture_mask(sets);
    CHECK_OK(ims_catalog_writer_put_file(writer, &record));
    return record.id;
}

/* A committed catalog at `path` with `count` images "dir<i % 7>/image<i>.jpg". */
static inline imgsim_catalog *fixture_collection(const char *path, int count)
{
    imgsim_catalog *catalog = fixture_open(path, 1);
    struct ims_catalog_writer *writer;
    struct fixture_sets sets;
    char name[64];

    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    sets = fixture_add_sets(writer);
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "dir%d/image%d.jpg", i % 7, i);
        CHECK_EQUAL(fixture_add_image(writer, &sets, name), i);
    }
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(catalog));
    return catalog;
}

/*
 * All rows that the handle has must be those of their ids; returns how many of the embedding there
 * are.
 */
static inline uint64_t fixture_check_rows(const imgsim_catalog *catalog)
{
    static uint32_t histogram[FIXTURE_BINS], expected[FIXTURE_BINS];
    imgsim_features *floats, *bits, *color;
    float float_row[FIXTURE_FLOATS];
    uint8_t bit_row[FIXTURE_BITS / 8];
    uint64_t present = 0;

    CHECK_OK(imgsim_catalog_open_features(catalog, "embedding", &floats));
    CHECK_OK(imgsim_catalog_open_features(catalog, "hash", &bits));
    CHECK_OK(imgsim_catalog_open_features(catalog, "color", &color));
    CHECK_EQUAL(imgsim_features_get_row_count(floats), imgsim_catalog_get_id_count(catalog));
    for (int64_t id = 0; id < (int64_t)imgsim_catalog_get_id_count(catalog); id++) {
        if (!imgsim_features_has_row(floats, id))
            continue;
        present++;
        CHECK(imgsim_features_has_row(bits, id) && imgsim_features_has_row(color, id));
        fixture_floats(id, float_row);
        fixture_bits(id, bit_row);
        fixture_histogram(id, expected);
        CHECK(
            memcmp(
                (const float *)imgsim_features_get_rows(floats) + id * FIXTURE_FLOATS, float_row,
                sizeof(float_row)) == 0);
        CHECK(
            memcmp(
                (const uint8_t *)imgsim_features_get_rows(bits) + id * (FIXTURE_BITS / 8), bit_row,
                sizeof(bit_row)) == 0);
        CHECK_OK(imgsim_features_read(color, &id, 1, histogram, sizeof(histogram)));
        CHECK(memcmp(histogram, expected, sizeof(expected)) == 0);
    }
    imgsim_features_free(floats);
    imgsim_features_free(bits);
    imgsim_features_free(color);
    return present;
}

/* The same for the embedding alone, from several threads. */
static inline uint64_t fixture_check_floats(const imgsim_catalog *catalog)
{
    float row[FIXTURE_FLOATS];
    imgsim_features *floats;
    uint64_t present = 0;

    CHECK_OK(imgsim_catalog_open_features(catalog, "embedding", &floats));
    for (int64_t id = 0; id < (int64_t)imgsim_catalog_get_id_count(catalog); id++) {
        if (!imgsim_features_has_row(floats, id))
            continue;
        present++;
        fixture_floats(id, row);
        CHECK(
            memcmp(
                (const float *)imgsim_features_get_rows(floats) + id * FIXTURE_FLOATS, row,
                sizeof(row)) == 0);
    }
    imgsim_features_free(floats);
    return present;
}

static inline int
fixture_remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

/* Remove a test's folder with all that is in it. */
static inline void fixture_remove_folder(const char *path)
{
    CHECK(nftw(path, fixture_remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

static inline void fixture_print_problem(const char *problem, void *user_data)
{
    (void)user_data;
    fprintf(stderr, "problem: %s\n", problem);
}

#endif
