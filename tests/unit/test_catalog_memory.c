/* SPDX-License-Identifier: Apache-2.0 */
/* Whichever allocation fails, the catalog says so, stays sound on disk, and nothing leaks. */
#include "catalog_fixture.h"

#include "core/memory.h"

#include <unistd.h>

/* Return the status of the first step that fails. */
#define TRY(call)                           \
    do {                                    \
        if ((status = (call)) != IMGSIM_OK) \
            goto done;                      \
    } while (0)

static int32_t ignore_file(const imgsim_file_info *file, void *user_data)
{
    (void)user_data;
    return file->path[0] != '/';
}

static int32_t ignore_label(const char *label, uint64_t image_count, void *user_data)
{
    (void)label;
    (void)image_count;
    (void)user_data;
    return 0;
}

static imgsim_status write_some(imgsim_catalog *catalog, const char *name)
{
    imgsim_feature_definition color =
        fixture_definition("color", IMGSIM_ROW_UINT32, FIXTURE_BINS, "h1");
    struct ims_file_record record = {.path = name, .format = "png", .state = IMGSIM_FILE_OK};
    static uint32_t histogram[FIXTURE_BINS];
    struct ims_catalog_writer *writer = NULL;
    imgsim_status status;
    uint32_t number;

    TRY(ims_catalog_writer_open(catalog, "scan", &writer));
    TRY(ims_catalog_writer_feature(writer, &color, 0, &number));
    TRY(ims_catalog_writer_new_id(writer, &record.id));
    fixture_histogram(record.id, histogram);
    TRY(ims_catalog_writer_put_row(writer, number, record.id, histogram));
    record.features = UINT64_C(1) << number;
    TRY(ims_catalog_writer_put_file(writer, &record));
    TRY(ims_catalog_writer_commit(writer));

done:
    ims_catalog_writer_close(writer);
    return status;
}

/* One of everything. */
static imgsim_status scenario(const char *path, const char *csv, const char *npy)
{
    imgsim_feature_definition own = fixture_definition("own", IMGSIM_ROW_FLOAT32, 2, "1");
    imgsim_catalog_options options;
    static uint32_t histogram[FIXTURE_BINS];
    imgsim_features *features = NULL;
    imgsim_catalog *catalog = NULL;
    struct ims_bitset ids = {0};
    float row[2] = {1, 2};
    imgsim_status status;
    int64_t id;

    TRY(imgsim_catalog_options_init(&options, sizeof(options)));
    options.create = 1;
    TRY(imgsim_catalog_open(path, &options, &catalog));
    TRY(write_some(catalog, "a/b.png"));
    TRY(imgsim_catalog_refresh(catalog));
    TRY(imgsim_catalog_find(catalog, "a/b.png", &id));
    TRY(imgsim_catalog_put_features(catalog, &own, &id, 1, row, sizeof(row)));
    row[0] += (float)id;
    TRY(imgsim_catalog_put_features(catalog, &own, &id, 1, row, sizeof(row)));
    TRY(imgsim_catalog_add_label(catalog, id, "x"));
    TRY(imgsim_catalog_set_setting(catalog, "k", "v"));
    TRY(imgsim_catalog_open_features(catalog, "color", &features));
    TRY(imgsim_features_read(features, &id, 1, histogram, sizeof(histogram)));
    TRY(imgsim_catalog_visit_files(catalog, -1, ignore_file, NULL));
    TRY(imgsim_catalog_get_file(catalog, id, ignore_file, NULL));
    TRY(imgsim_catalog_visit_labels(catalog, -1, ignore_label, NULL));
    TRY(ims_catalog_ids_with_label(catalog, "x", &ids));
    ims_bitset_clear(&ids);
    TRY(ims_catalog_ids_below(catalog, "a", &ids));
    TRY(imgsim_catalog_export_csv(catalog, csv));
    TRY(imgsim_catalog_export_npy(catalog, "color", npy));
    TRY(imgsim_catalog_verify(catalog, NULL, NULL));
    TRY(imgsim_catalog_remove_features(catalog, "own"));

done:
    ims_bitset_clear(&ids);
    imgsim_features_free(features);
    imgsim_catalog_free(catalog);
    return status;
}

int main(void)
{
    char folder[512], path[600], csv[600], npy[600];
    imgsim_status status = IMGSIM_OK;
    imgsim_catalog *catalog;

    /* Hundreds of runs with their syncs: in memory where there is such a folder. */
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    snprintf(path, sizeof(path), "%s/photos/.imgsim", folder);
    snprintf(csv, sizeof(csv), "%s/x.csv", folder);
    snprintf(npy, sizeof(npy), "%s/x.npy", folder);
    for (uint64_t n = 1, used = 1; n <= used + 40; n++) {
        ims_memory_fail_at(n);
        status = scenario(path, csv, npy);
        used = ims_memory_count();
        ims_memory_fail_at(0);
        /* Some can do without, the sweep of leftovers for instance. */
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_OUT_OF_MEMORY);
        if (n % 16 == 0 && imgsim_catalog_open(path, NULL, &catalog) == IMGSIM_OK) {
            CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
            imgsim_catalog_free(catalog);
        }
    }
    CHECK_OK(status);
    catalog = fixture_open(path, 0);
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
    imgsim_catalog_free(catalog);
    fixture_remove_folder(folder);
    return 0;
}
