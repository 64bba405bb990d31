/* SPDX-License-Identifier: Apache-2.0 */
/* Indexes kept with a catalog: found again while fresh, rebuilt or removed when not. */
#include "catalog_fixture.h"

#include "core/memory.h"
#include "derive/derive.h"

#include <sys/stat.h>
#include <unistd.h>

#define IMAGES 300

static char folder[4096];

static imgsim_catalog *new_collection(void)
{
    fixture_remove_folder(folder);
    return fixture_collection(folder, IMAGES);
}

static imgsim_index_options options_of(int32_t kind)
{
    imgsim_index_options options;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.kind = kind;
    options.metric = IMGSIM_METRIC_DEFAULT;
    return options;
}

/* Inode of a stored index, which changes when it is written anew; 0 if there is none. */
static ino_t stored(const char *name)
{
    char path[4200];
    struct stat info;

    snprintf(path, sizeof(path), "%s/indexes/%s", folder, name);
    return stat(path, &info) == 0 ? info.st_ino : 0;
}

/* Each image is its own nearest. */
static void check_finds_itself(const imgsim_index *index)
{
    for (int64_t id = 0; id < IMAGES; id += 29) {
        int64_t found[2];
        float distances[2];

        if (imgsim_index_get_metric(index) == IMGSIM_METRIC_HAMMING) {
            uint8_t bits[FIXTURE_BITS / 8];

            fixture_bits(id, bits);
            CHECK_OK(imgsim_index_search_bits(index, bits, 1, 2, NULL, found, distances));
        } else {
            float row[FIXTURE_FLOATS];

            fixture_floats(id, row);
            CHECK_OK(imgsim_index_search(index, row, 1, 2, NULL, found, distances));
        }
        CHECK_EQUAL(found[0], id);
        CHECK_NEAR(distances[0], 0.0, 1e-6);
        CHECK(distances[1] > 0.01f);
    }
}

static void an_index_is_built_and_found_again(void)
{
    static const int32_t kinds[] = {IMGSIM_INDEX_EXACT, IMGSIM_INDEX_HNSW, IMGSIM_INDEX_AUTO};
    imgsim_catalog *catalog = new_collection();

    for (int i = 0; i < 3; i++) {
        imgsim_index_options options = options_of(kinds[i]);
        imgsim_index *index;
        ino_t inode;

        CHECK_OK(imgsim_derive_index(catalog, "embedding", &options, &index));
        CHECK_EQUAL(imgsim_index_get_count(index), IMAGES);
        CHECK_EQUAL(imgsim_index_get_metric(index), IMGSIM_METRIC_COSINE);
        if (kinds[i] != IMGSIM_INDEX_AUTO)
            CHECK_EQUAL(imgsim_index_get_kind(index), kinds[i]);
        CHECK(strncmp(imgsim_index_get_note(index), "feature=embedding fingerprint=f1 ", 33) == 0);
        check_finds_itself(index);
        imgsim_index_free(index);
        CHECK((inode = stored("embedding.cosine.ims")) != 0);

        CHECK_OK(ims_derive_open_index(catalog, "embedding", IMGSIM_METRIC_DEFAULT, &index));
        CHECK(index != NULL);
        check_finds_itself(index);
        imgsim_index_free(index);
        CHECK_OK(imgsim_derive_index(catalog, "embedding", &options, NULL));
        CHECK(stored("embedding.cosine.ims") == inode);
    }
    imgsim_catalog_free(catalog);
}

static void other_settings_build_it_anew(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_index_options options = options_of(IMGSIM_INDEX_HNSW);
    imgsim_index *index;
    char note[512];

    CHECK_OK(imgsim_derive_index(catalog, "embedding", &options, &index));
    snprintf(note, sizeof(note), "%s", imgsim_index_get_note(index));
    imgsim_index_free(index);
    options.max_links = 8;
    CHECK_OK(imgsim_derive_index(catalog, "embedding", &options, &index));
    CHECK(strcmp(imgsim_index_get_note(index), note) != 0);
    CHECK(strstr(imgsim_index_get_note(index), "links=8 ") != NULL);
    imgsim_index_free(index);

    options.metric = IMGSIM_METRIC_L2;
    CHECK_OK(imgsim_derive_index(catalog, "embedding", &options, NULL));
    CHECK(stored("embedding.l2.ims") != 0 && stored("embedding.cosine.ims") != 0);
    CHECK_OK(ims_derive_open_index(catalog, "embedding", IMGSIM_METRIC_L1, &index));
    CHECK(index == NULL);
    imgsim_catalog_free(catalog);
}

static void the_feature_is_chosen_as_written(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_projection_options projection;
    imgsim_index_options options = options_of(IMGSIM_INDEX_EXACT);
    imgsim_index *index;

    CHECK_OK(imgsim_derive_index(catalog, "hash", NULL, &index));
    CHECK_EQUAL(imgsim_index_get_metric(index), IMGSIM_METRIC_HAMMING);
    check_finds_itself(index);
    imgsim_index_free(index);
    CHECK(stored("hash.hamming.ims") != 0);

    CHECK_OK(imgsim_derive_index(catalog, NULL, &options, NULL));
    CHECK(stored("embedding.cosine.ims") != 0);
    CHECK_OK(imgsim_projection_options_init(&projection, sizeof(projection)));
    projection.dimension = 6;
    CHECK_OK(imgsim_derive_projection(catalog, &projection, NULL));
    CHECK_OK(imgsim_derive_index(catalog, NULL, &options, &index));
    CHECK(stored("embedding-pca6.cosine.ims") != 0);
    CHECK_EQUAL(imgsim_index_get_dimension(index), 6);
    imgsim_index_free(index);
    imgsim_catalog_free(catalog);
}

static void what_cannot_be_kept_is_refused(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_feature_definition definition =
        fixture_definition("own", IMGSIM_ROW_FLOAT32, FIXTURE_FLOATS, "");
    imgsim_index_options options = options_of(IMGSIM_INDEX_HNSW);
    float row[FIXTURE_FLOATS] = {1.0f};
    int64_t id = 0;

    CHECK_FAILS(
        imgsim_derive_index(catalog, "color", NULL, NULL), IMGSIM_ERROR_UNSUPPORTED, "histogram");
    CHECK_FAILS(
        imgsim_derive_index(catalog, "nothing", NULL, NULL), IMGSIM_ERROR_NOT_FOUND, "nothing");
    CHECK_EQUAL(imgsim_derive_index(catalog, "hash", &options, NULL), IMGSIM_ERROR_UNSUPPORTED);
    options.metric = IMGSIM_METRIC_MAHALANOBIS;
    CHECK_FAILS(
        imgsim_derive_index(catalog, "embedding", &options, NULL), IMGSIM_ERROR_UNSUPPORTED,
        "matrix");
    CHECK_OK(imgsim_catalog_put_features(catalog, &definition, &id, 1, row, sizeof(row)));
    CHECK_FAILS(
        imgsim_derive_index(catalog, "own", NULL, NULL), IMGSIM_ERROR_UNSUPPORTED, "fingerprint");
    CHECK_FAILS(
        imgsim_derive_index(NULL, "own", NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "catalog");
    imgsim_catalog_free(catalog);
}

/* Put one image more, or let image 3 vanish. */
static void change_images(imgsim_catalog *catalog, bool add)
{
    struct ims_catalog_writer *writer;
    struct fixture_sets sets;

    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    sets = fixture_add_sets(writer);
    if (add) {
        fixture_add_image(writer, &sets, "new.jpg");
    } else {
        struct ims_file_record record;
        int found;

        CHECK_OK(ims_catalog_writer_get_file(writer, "dir3/image3.jpg", &record, &found));
        CHECK(found);
        record.path = "dir3/image3.jpg";
        record.format = "jpeg";
        record.reason = "gone";
        record.state = IMGSIM_FILE_MISSING;
        CHECK_OK(ims_catalog_writer_put_file(writer, &record));
    }
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(catalog));
}

static void a_vanished_image_leaves_it_fresh_and_a_new_one_does_not(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_index *index;
    size_t changes;

    CHECK_OK(imgsim_derive_index(catalog, "embedding", NULL, NULL));
    change_images(catalog, false);
    CHECK_EQUAL(imgsim_catalog_get_image_count(catalog), IMAGES - 1);
    CHECK_OK(ims_derive_open_index(catalog, "embedding", IMGSIM_METRIC_COSINE, &index));
    CHECK(index != NULL);
    imgsim_index_free(index);
    CHECK_OK(imgsim_derive_refresh(catalog, &changes));
    CHECK_EQUAL(changes, 0);

    /* As many images as before, but another one. */
    change_images(catalog, true);
    CHECK_OK(ims_derive_open_index(catalog, "embedding", IMGSIM_METRIC_COSINE, &index));
    CHECK(index == NULL);
    CHECK_OK(imgsim_derive_refresh(catalog, &changes));
    CHECK_EQUAL(changes, 1);
    CHECK(stored("embedding.cosine.ims") == 0);

    CHECK_OK(imgsim_derive_index(catalog, "embedding", NULL, &index));
    CHECK_EQUAL(imgsim_index_get_count(index), IMAGES);
    check_finds_itself(index);
    imgsim_index_free(index);
    imgsim_catalog_free(catalog);
}

static void put_text(const char *name, const char *text)
{
    char path[4200];
    FILE *file;

    snprintf(path, sizeof(path), "%s/indexes/%s", folder, name);
    CHECK((file = fopen(path, "wb")) != NULL);
    CHECK_EQUAL(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
}

static void damaged_and_orphaned_files_are_not_used(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_index *index;
    size_t changes;

    CHECK_OK(imgsim_derive_index(catalog, "embedding", NULL, NULL));
    put_text("embedding.cosine.ims", "not an index");
    CHECK_OK(ims_derive_open_index(catalog, "embedding", IMGSIM_METRIC_COSINE, &index));
    CHECK(index == NULL);
    CHECK_OK(imgsim_derive_index(catalog, "embedding", NULL, &index));
    check_finds_itself(index);
    imgsim_index_free(index);

    put_text("hash.hamming.ims", "not an index");
    put_text("gone.cosine.ims", "not an index");
    put_text("notes.txt", "somebody's own file");
    put_text("some.thing.else.ims", "somebody's own file");
    CHECK_OK(imgsim_derive_refresh(catalog, &changes));
    CHECK_EQUAL(changes, 2);
    CHECK(stored("hash.hamming.ims") == 0 && stored("gone.cosine.ims") == 0);
    CHECK(stored("notes.txt") != 0 && stored("some.thing.else.ims") != 0);
    CHECK(stored("embedding.cosine.ims") != 0);

    CHECK_OK(imgsim_catalog_remove_features(catalog, "embedding"));
    CHECK_OK(imgsim_derive_refresh(catalog, &changes));
    CHECK_EQUAL(changes, 1);
    CHECK(stored("embedding.cosine.ims") == 0);
    imgsim_catalog_free(catalog);
}

static int32_t count_and_stop(const imgsim_progress *progress, void *user_data)
{
    int *calls = user_data;

    CHECK_TEXT(progress->phase, "build");
    CHECK_EQUAL(progress->total, IMAGES);
    CHECK(progress->done <= progress->total);
    return ++*calls < 0;
}

static int32_t stop_at_once(const imgsim_progress *progress, void *user_data)
{
    (void)progress;
    (void)user_data;
    return 1;
}

static void progress_is_told_and_may_stop(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_index_options options = options_of(IMGSIM_INDEX_HNSW);
    imgsim_status status;
    int calls = 0;

    options.progress = stop_at_once;
    status = imgsim_derive_index(catalog, "embedding", &options, NULL);
    CHECK(status == IMGSIM_ERROR_CANCELLED || status == IMGSIM_OK);
    CHECK((stored("embedding.cosine.ims") != 0) == (status == IMGSIM_OK));
    options.progress = count_and_stop;
    options.progress_data = &calls;
    options.max_links = 9;
    CHECK_OK(imgsim_derive_index(catalog, "embedding", &options, NULL));
    imgsim_catalog_free(catalog);
}

static void running_out_of_memory_leaves_no_half_index(void)
{
    imgsim_catalog *catalog = new_collection();
    imgsim_index_options options = options_of(IMGSIM_INDEX_HNSW);
    imgsim_index *index = NULL;
    imgsim_status status;
    uint64_t n = 0;

    do {
        ims_memory_fail_at(n += 1 + n / 16);
        status = imgsim_derive_index(catalog, "embedding", &options, &index);
        ims_memory_fail_at(0);
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_OUT_OF_MEMORY);
        CHECK((index != NULL) == (status == IMGSIM_OK));
    } while (status != IMGSIM_OK && n < 100000);
    CHECK_OK(status);
    check_finds_itself(index);
    imgsim_index_free(index);
    imgsim_catalog_free(catalog);
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    an_index_is_built_and_found_again();
    other_settings_build_it_anew();
    the_feature_is_chosen_as_written();
    what_cannot_be_kept_is_refused();
    a_vanished_image_leaves_it_fresh_and_a_new_one_does_not();
    damaged_and_orphaned_files_are_not_used();
    progress_is_told_and_may_stop();
    running_out_of_memory_leaves_no_half_index();
    fixture_remove_folder(folder);
    return 0;
}
