/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many threads read one handle while another handle writes; every handle sees one consistent state.
 */
#include "catalog_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define READERS 6
#define BATCHES 25

static atomic_bool writing = true;

static int32_t count_file(const imgsim_file_info *file, void *user_data)
{
    CHECK(file->id < 20 && file->path[0] == '/');
    ++*(int *)user_data;
    return 0;
}

/* A callback may ask the catalog again. */
static int32_t ask_again(const imgsim_file_info *file, void *user_data)
{
    const imgsim_catalog *catalog = user_data;
    int64_t id;
    int count = 0;

    CHECK_OK(imgsim_catalog_find(catalog, file->uuid, &id));
    CHECK_EQUAL(id, file->id);
    CHECK_OK(imgsim_catalog_get_file(catalog, id, count_file, &count));
    return count != 1;
}

static int32_t ignore_label(const char *label, uint64_t image_count, void *user_data)
{
    (void)user_data;
    CHECK(label[0] == 'x' && image_count <= 20);
    return 0;
}

/* Read one shared handle. */
static void *read_shared(void *context)
{
    const imgsim_catalog *catalog = context;

    do {
        struct ims_bitset below = {0};
        int count = 0;

        CHECK_EQUAL(imgsim_catalog_get_id_count(catalog), 20);
        CHECK_EQUAL(fixture_check_floats(catalog), 20);
        CHECK_OK(imgsim_catalog_visit_files(catalog, IMGSIM_FILE_OK, ask_again, context));
        CHECK_OK(imgsim_catalog_get_file(catalog, 7, count_file, &count));
        CHECK_EQUAL(count, 1);
        CHECK_OK(imgsim_catalog_visit_labels(catalog, -1, ignore_label, NULL));
        CHECK_OK(ims_catalog_ids_below(catalog, "dir3", &below));
        CHECK_EQUAL(ims_bitset_popcount(&below), 3);
        ims_bitset_clear(&below);
    } while (atomic_load(&writing));
    return NULL;
}

/* Refresh a handle of its own: ids only grow, and all that is named is there. */
static void *refresh_own(void *context)
{
    imgsim_catalog *catalog = fixture_open(context, 0);
    uint64_t ids = 0;

    do {
        CHECK_OK(imgsim_catalog_refresh(catalog));
        CHECK(imgsim_catalog_get_id_count(catalog) >= ids);
        ids = imgsim_catalog_get_id_count(catalog);
        CHECK_EQUAL(fixture_check_floats(catalog), imgsim_catalog_get_image_count(catalog));
    } while (atomic_load(&writing));
    imgsim_catalog_free(catalog);
    return NULL;
}

static void write_batches(const char *path)
{
    imgsim_feature_definition definition = fixture_definition("own", IMGSIM_ROW_FLOAT32, 1, "");
    imgsim_catalog *catalog = fixture_open(path, 0);
    struct ims_catalog_writer *writer;
    struct fixture_sets sets;
    char text[64];

    for (int batch = 0; batch < BATCHES; batch++) {
        float value = (float)batch;

        CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
        sets = fixture_add_sets(writer);
        for (int i = 0; i < 10; i++) {
            snprintf(text, sizeof(text), "more%d/image%d.jpg", batch, i);
            fixture_add_image(writer, &sets, text);
        }
        CHECK_OK(ims_catalog_writer_commit(writer));
        ims_catalog_writer_close(writer);
        snprintf(text, sizeof(text), "x%d", batch);
        CHECK_OK(imgsim_catalog_add_label(catalog, batch % 20, text));
        definition.fingerprint = text;
        CHECK_OK(imgsim_catalog_put_features(
            catalog, &definition, &(int64_t){batch % 20}, 1, &value, sizeof(value)));
    }
    imgsim_catalog_free(catalog);
}

int main(void)
{
    pthread_t readers[READERS], refreshers[2];
    imgsim_catalog *catalog;
    char folder[512], path[600];

    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    snprintf(path, sizeof(path), "%s/photos/.imgsim", folder);
    catalog = fixture_collection(path, 20);
    for (int i = 0; i < READERS; i++)
        CHECK(pthread_create(&readers[i], NULL, read_shared, catalog) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&refreshers[i], NULL, refresh_own, path) == 0);
    write_batches(path);
    atomic_store(&writing, false);
    for (int i = 0; i < READERS; i++)
        CHECK(pthread_join(readers[i], NULL) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(refreshers[i], NULL) == 0);
    CHECK_OK(imgsim_catalog_refresh(catalog));
    CHECK_EQUAL(fixture_check_rows(catalog), 20 + 10 * BATCHES);
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
    imgsim_catalog_free(catalog);
    fixture_remove_folder(folder);
    return 0;
}
