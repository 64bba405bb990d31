/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of faults share: where they run, and whether every picture still has its row. */
#ifndef IMS_TESTS_FAULT_BED_H
#define IMS_TESTS_FAULT_BED_H

#include "public_bed.h"

/* Hundreds of runs with their syncs: in memory where there is such a folder. */
static inline void use_memory_folder(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
}

/* Name of picture i, of `each` in a family. */
static inline const char *fault_picture(unsigned i, unsigned each)
{
    static char name[64];
    unsigned number = i % each;

    snprintf(
        name, sizeof(name), "family%u/%02u.%s", i / each, number, number % 2 == 0 ? "png" : "ppm");
    return name;
}

/* The embeddings by picture, whatever ids these got. */
static inline void
fault_read_rows(const struct public_bed *bed, unsigned each, float (*rows)[BED_VALUES])
{
    imgsim_features *features = NULL;

    CHECK_OK(imgsim_catalog_open_features(bed->catalog, "embedding", &features));
    for (unsigned i = 0; i < BED_FAMILIES * each; i++) {
        int64_t id = bed_find(bed, bed->catalog, fault_picture(i, each));

        CHECK_OK(imgsim_features_read(features, &id, 1, rows[i], sizeof(rows[i])));
    }
    imgsim_features_free(features);
}

/* After a fault: the catalog is sound as it is, and after `again` it has every picture and the rows expected. It is removed then. */
static inline void fault_check_again(
    struct public_bed *bed,
    unsigned each,
    float (*expected)[BED_VALUES],
    void (*again)(void))
{
    const size_t size = sizeof(float[BED_VALUES]) * BED_FAMILIES * each;
    float(*rows)[BED_VALUES] = malloc(size);

    CHECK(rows != NULL);
    imgsim_catalog_free(bed->catalog);
    bed->catalog = bed_open_catalog(bed->catalog_path, 1);
    CHECK_OK(imgsim_catalog_check(bed->catalog, NULL, NULL));
    again();
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed->catalog), BED_FAMILIES * each);
    CHECK_OK(imgsim_catalog_check(bed->catalog, NULL, NULL));
    fault_read_rows(bed, each, rows);
    CHECK(memcmp(rows, expected, size) == 0);
    free(rows);
    imgsim_catalog_free(bed->catalog);
    bed->catalog = NULL;
    bed_remove_folder(bed->catalog_path);
}

#endif
