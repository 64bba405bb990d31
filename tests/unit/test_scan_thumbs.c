/* SPDX-License-Identifier: Apache-2.0 */
/* Thumbnails of a scan: made by default, added to older catalogs, kept through changes, and damage is found. */
#include "scan_bed.h"

/* Blocks of strong colours are what halved chroma is worst at; another picture is three times as far. */
#define ALIKE 14

static imgsim_image *load_thumb(const struct bed *bed, int64_t id)
{
    imgsim_features *features = NULL;
    imgsim_image *image = NULL;
    const void *data;
    size_t size;

    CHECK_OK(imgsim_catalog_open_features(bed->catalog, "thumbnail", &features));
    CHECK_OK(imgsim_features_get_bytes(features, id, &data, &size));
    CHECK_OK(imgsim_image_load_memory(data, size, NULL, &image));
    imgsim_features_free(features);
    return image;
}

static double mean_difference(const imgsim_image *a, const imgsim_image *b)
{
    size_t count = (size_t)a->width * a->height * 3;
    double sum = 0;

    CHECK_EQUAL(a->width, b->width);
    CHECK_EQUAL(a->height, b->height);
    for (size_t i = 0; i < count; i++)
        sum += abs(a->pixels[i] - b->pixels[i]);
    return sum / (double)count;
}

static void they_are_made_by_default(void)
{
    struct bed bed;

    bed_open(&bed);
    for (uint64_t i = 0; i < 40; i++) {
        char name[32];

        snprintf(name, sizeof(name), "%02d.jpg", (int)i);
        bed_image(&bed, name, i, i % 2 != 0 ? "jpeg" : "pnm");
    }
    bed.options.transaction_size = 7;
    bed_scan(&bed);
    for (uint64_t i = 0; i < 40; i++) {
        imgsim_image *picture = bed_picture(i, 60 + (uint32_t)(i % 7), 48), *thumb;
        char name[32];

        snprintf(name, sizeof(name), "%02d.jpg", (int)i);
        thumb = load_thumb(&bed, bed_get(&bed, name).id);
        CHECK(mean_difference(picture, thumb) < ALIKE);
        imgsim_image_free(picture);
        imgsim_image_free(thumb);
    }
    CHECK_OK(imgsim_catalog_verify(bed.catalog, NULL, NULL));
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.unchanged, 40);
    bed_close(&bed);
}

static void older_catalogs_get_them(void)
{
    imgsim_features *features = NULL;
    struct bed bed;
    int64_t id;

    bed_open(&bed);
    bed_image(&bed, "a.jpg", 1, "jpeg");
    bed_image(&bed, "b.jpg", 2, "jpeg");
    bed.options.thumb_side = 0;
    bed_scan(&bed);
    id = bed_get(&bed, "b.jpg").id;
    CHECK_FAILS(
        imgsim_catalog_open_features(bed.catalog, "thumbnail", &features), IMGSIM_ERROR_NOT_FOUND,
        "thumbnail");
    bed.options.thumb_side = IMGSIM_THUMB_SIDE_AS_IS;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.refreshed, 2);
    CHECK_EQUAL(bed_get(&bed, "b.jpg").id, id);
    imgsim_image_free(load_thumb(&bed, id));
    bed_close(&bed);
}

static void the_side_stays(void)
{
    imgsim_image *thumb;
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "a.jpg", 1, "jpeg");
    bed.options.thumb_side = 32;
    bed_scan(&bed);
    bed_image(&bed, "b.jpg", 2, "jpeg");
    bed.options.thumb_side = IMGSIM_THUMB_SIDE_AS_IS;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 1);
    thumb = load_thumb(&bed, bed_get(&bed, "b.jpg").id);
    CHECK_EQUAL(thumb->width, 32);
    CHECK_EQUAL(thumb->height, 25);
    imgsim_image_free(thumb);

    bed.options.thumb_side = 64;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_INVALID_ARGUMENT, "remove it first");
    CHECK_OK(imgsim_catalog_remove_features(bed.catalog, "thumbnail"));
    bed_scan(&bed);
    thumb = load_thumb(&bed, bed_get(&bed, "a.jpg").id);
    CHECK_EQUAL(thumb->width, 61);
    imgsim_image_free(thumb);

    bed.options.thumb_side = 8;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_INVALID_ARGUMENT, "16 to 512");
    bed_close(&bed);
}

static void a_changed_picture_gets_another(void)
{
    imgsim_image *picture, *thumb;
    struct bed bed;
    int64_t before;

    bed_open(&bed);
    bed_image(&bed, "a.jpg", 1, "jpeg");
    bed_scan(&bed);
    before = bed_get(&bed, "a.jpg").id;
    bed_image(&bed, "a.jpg", 8, "jpeg");
    bed_touch(&bed, "a.jpg", 1000);
    bed_scan(&bed);
    CHECK(bed_get(&bed, "a.jpg").id != before);
    picture = bed_picture(8, 61, 48);
    thumb = load_thumb(&bed, bed_get(&bed, "a.jpg").id);
    CHECK(mean_difference(picture, thumb) < ALIKE);
    imgsim_image_free(picture);
    picture = bed_picture(1, 61, 48);
    CHECK(mean_difference(picture, thumb) > 3 * ALIKE);
    imgsim_image_free(picture);
    imgsim_image_free(thumb);
    bed_close(&bed);
}

static void rows_of_bytes_are_no_matrix(void)
{
    imgsim_features *features = NULL;
    struct bed bed;
    const void *data = &bed;
    uint8_t row[64];
    int64_t id = 0;
    size_t size = 1;

    bed_open(&bed);
    bed_image(&bed, "a.jpg", 1, "jpeg");
    bed_scan(&bed);
    CHECK_OK(imgsim_catalog_open_features(bed.catalog, "thumbnail", &features));
    CHECK(imgsim_features_get_rows(features) == NULL);
    CHECK_FAILS(
        imgsim_features_read(features, &id, 1, row, sizeof(row)), IMGSIM_ERROR_UNSUPPORTED,
        "imgsim_features_get_bytes");
    CHECK_FAILS(
        imgsim_features_get_bytes(features, 1, &data, &size), IMGSIM_ERROR_NOT_FOUND, "id 1");
    CHECK(data == NULL);
    CHECK_EQUAL(size, 0);
    imgsim_features_free(features);
    CHECK_FAILS(
        imgsim_catalog_export_npy(bed.catalog, "thumbnail", "/nowhere/x.npy"),
        IMGSIM_ERROR_UNSUPPORTED, "matrix");
    CHECK_OK(imgsim_catalog_open_features(bed.catalog, "color", &features));
    CHECK_FAILS(
        imgsim_features_get_bytes(features, 0, &data, &size), IMGSIM_ERROR_UNSUPPORTED, "bytes");
    imgsim_features_free(features);
    bed_close(&bed);
}

/* Overwrite bytes of a file of the catalog. */
static void spoil(const struct bed *bed, const char *name, long offset, const void *bytes, size_t n)
{
    char path[900];
    FILE *file;

    snprintf(path, sizeof(path), "%s/features/%s", bed->catalog_path, name);
    CHECK((file = fopen(path, "r+b")) != NULL);
    CHECK(fseek(file, offset, SEEK_SET) == 0);
    CHECK(fwrite(bytes, 1, n, file) == n);
    CHECK(fclose(file) == 0);
}

static void damage_is_found(void)
{
    static const uint64_t far = UINT64_MAX / 2;
    static const uint8_t zeros[2];
    imgsim_features *features = NULL;
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "a.jpg", 1, "jpeg");
    bed_image(&bed, "b.jpg", 2, "jpeg");
    bed_scan(&bed);
    spoil(&bed, "thumbnail.bytes.npy", 4096, zeros, sizeof(zeros));
    CHECK_FAILS(
        imgsim_catalog_verify(bed.catalog, NULL, NULL), IMGSIM_ERROR_CORRUPT,
        "the row of id 0 is no JPEG file");
    spoil(&bed, "thumbnail.offsets.npy", 4096 + 8, &far, sizeof(far));
    CHECK_FAILS(
        imgsim_catalog_open_features(bed.catalog, "thumbnail", &features), IMGSIM_ERROR_CORRUPT,
        "id 1 lies outside");
    CHECK(features == NULL);

    /* The way out of every damaged feature. */
    CHECK_OK(imgsim_catalog_remove_features(bed.catalog, "thumbnail"));
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.refreshed, 2);
    CHECK_OK(imgsim_catalog_verify(bed.catalog, NULL, NULL));
    bed_close(&bed);
}

int main(void)
{
    they_are_made_by_default();
    older_catalogs_get_them();
    the_side_stays();
    a_changed_picture_gets_another();
    rows_of_bytes_are_no_matrix();
    damage_is_found();
    return 0;
}
