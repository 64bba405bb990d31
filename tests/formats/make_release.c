/* SPDX-License-Identifier: Apache-2.0 */
/* Writes what a release leaves on disk, for tests/data/VERSION: formats_make FOLDER. */
#include "formats/release_bed.h"

static void make_collection(const char *folder)
{
    struct public_bed bed;

    bed_begin(&bed);
    CHECK(rmdir(bed.photos) == 0 && rmdir(bed.folder) == 0);
    snprintf(bed.photos, sizeof(bed.photos), "%s/collection", folder);
    CHECK(mkdir(bed.photos, 0777) == 0);
    snprintf(bed.catalog_path, sizeof(bed.catalog_path), "%s/.imgsim", bed.photos);
    for (unsigned family = 0; family < BED_FAMILIES; family++)
        for (unsigned number = 0; number < RELEASE_EACH; number++)
            bed_write_picture(&bed, family, number);
    bed_write_file(bed_path(&bed, "damaged.png"), "\x89PNG\r\n\x1a\n", 8);
    bed_write_file(bed_path(&bed, "notes.txt"), "no picture\n", 11);

    bed.catalog = bed_open_catalog(bed.catalog_path, 1);
    bed_scan(&bed);
    CHECK_OK(imgsim_catalog_add_label(bed.catalog, 1, "chosen"));
    CHECK_OK(imgsim_catalog_add_label(bed.catalog, 2, "gr\xc3\xbcn"));
    CHECK_OK(imgsim_catalog_set_setting(bed.catalog, "release", RELEASE_NOTE));
    bed_derive(&bed, RELEASE_PCA);
    bed_verify(bed.catalog);
    imgsim_catalog_free(bed.catalog);
    for (int i = 0; i < 3; i++)
        imgsim_extractor_free(bed.extractors[i]);
}

int main(int argc, char **argv)
{
    imgsim_projector *projector;
    char path[1000];

    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    CHECK_OK(imgsim_set_blas_threads(1));
    (void)mkdir(argv[1], 0777);
    make_collection(argv[1]);
    for (size_t i = 0; i < RELEASE_INDEXES; i++) {
        imgsim_index *index = release_make_index(&release_indexes[i], release_indexes[i].kind);

        snprintf(path, sizeof(path), "%s/%s", argv[1], release_indexes[i].name);
        CHECK_OK(imgsim_index_save(index, path));
        imgsim_index_free(index);
    }
    projector = release_make_projector();
    snprintf(path, sizeof(path), "%s/projector.ims", argv[1]);
    CHECK_OK(imgsim_projector_save(projector, path));
    imgsim_projector_free(projector);
    return 0;
}
