/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A catalog is made, filled, read by other handles, moved as a whole, and its files keep what they
 * are known by.
 */
#include "catalog_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

/* What a callback saw of one file. */
struct seen {
    int count;
    int64_t id;
    int32_t state;
    char path[512];
    char directory[512];
    char name[256];
    char uuid[40];
    char reason[64];
};

static int32_t see(const imgsim_file_info *file, void *user_data)
{
    struct seen *seen = user_data;

    seen->count++;
    seen->id = file->id;
    seen->state = file->state;
    snprintf(seen->path, sizeof(seen->path), "%s", file->path);
    snprintf(seen->directory, sizeof(seen->directory), "%s", file->directory);
    snprintf(seen->name, sizeof(seen->name), "%s", file->name);
    snprintf(seen->uuid, sizeof(seen->uuid), "%s", file->uuid);
    snprintf(seen->reason, sizeof(seen->reason), "%s", file->reason);
    return 0;
}

static void rows_and_files_are_read_back(const char *folder)
{
    char path[600];
    struct seen seen = {0};
    imgsim_catalog *catalog, *second;
    uint64_t states[IMGSIM_FILE_STATE_COUNT];
    int64_t id;

    snprintf(path, sizeof(path), "%s/photos/.imgsim", folder);
    catalog = fixture_collection(path, 1500);
    CHECK_EQUAL(imgsim_catalog_get_id_count(catalog), 1500);
    CHECK_EQUAL(imgsim_catalog_get_image_count(catalog), 1500);
    CHECK_EQUAL(fixture_check_rows(catalog), 1500);
    CHECK_OK(imgsim_catalog_count_states(catalog, states));
    CHECK_EQUAL(states[IMGSIM_FILE_OK], 1500);
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));

    /* The folder that holds .imgsim names the catalog, too. */
    snprintf(path, sizeof(path), "%s/photos", folder);
    second = fixture_open(path, 0);
    CHECK_TEXT(imgsim_catalog_get_path(second), imgsim_catalog_get_path(catalog));
    CHECK_TEXT(imgsim_catalog_get_root(second), path);
    imgsim_catalog_free(catalog);
    CHECK_EQUAL(fixture_check_rows(second), 1500);

    CHECK_OK(imgsim_catalog_get_file(second, 8, see, &seen));
    snprintf(path, sizeof(path), "%s/photos/dir1/image8.jpg", folder);
    CHECK_TEXT(seen.path, path);
    CHECK_TEXT(seen.name, "image8.jpg");
    snprintf(path, sizeof(path), "%s/photos/dir1", folder);
    CHECK_TEXT(seen.directory, path);

    CHECK_OK(imgsim_catalog_find(second, seen.uuid, &id));
    CHECK_EQUAL(id, 8);
    CHECK_OK(imgsim_catalog_find(second, seen.path, &id));
    CHECK_EQUAL(id, 8);
    CHECK_OK(imgsim_catalog_find(second, "dir1/image8.jpg", &id));
    CHECK_EQUAL(id, 8);
    snprintf(path, sizeof(path), "%s/photos/dir1", folder);
    CHECK(mkdir(path, 0777) == 0);
    CHECK(chdir(path) == 0);
    CHECK_OK(imgsim_catalog_find(second, "../dir1/./image8.jpg", &id));
    CHECK_EQUAL(id, 8);
    CHECK(chdir("/") == 0);
    CHECK_FAILS(
        imgsim_catalog_find(second, "dir1/image9.jpg", &id), IMGSIM_ERROR_NOT_FOUND,
        "dir1/image9.jpg");
    CHECK_EQUAL(id, -1);
    CHECK_FAILS(imgsim_catalog_get_file(second, 1500, see, &seen), IMGSIM_ERROR_NOT_FOUND, "1500");
    CHECK_FAILS(imgsim_catalog_get_file(second, -1, see, &seen), IMGSIM_ERROR_NOT_FOUND, "-1");
    imgsim_catalog_free(second);
}

static void a_collection_moved_as_a_whole_keeps_working(const char *folder)
{
    char from[600], to[600];
    struct seen seen = {0};
    imgsim_catalog *catalog;

    snprintf(from, sizeof(from), "%s/photos", folder);
    snprintf(to, sizeof(to), "%s/pictures of 2024", folder);
    CHECK(rename(from, to) == 0);
    CHECK_FAILS(imgsim_catalog_open(from, NULL, &catalog), IMGSIM_ERROR_NOT_FOUND, "imgsim scan");
    CHECK(catalog == NULL);
    catalog = fixture_open(to, 0);
    CHECK_EQUAL(fixture_check_rows(catalog), 1500);
    CHECK_OK(imgsim_catalog_get_file(catalog, 3, see, &seen));
    snprintf(from, sizeof(from), "%s/pictures of 2024/dir3/image3.jpg", folder);
    CHECK_TEXT(seen.path, from);
    imgsim_catalog_free(catalog);
}

static void paths_of_any_bytes_are_kept(const char *folder)
{
    static const char *const names[] = {
        "with space.jpg",
        "line\nbreak.jpg",
        "quote\"s and, commas.jpg",
        "bad utf8 \xff\xfe.jpg",
        "-dash",
        "'; DROP TABLE files; --",
        "%s%n",
        "/elsewhere/abs.jpg",
        "\xe4\xb8\xad\xe6\x96\x87/\xc3\xa9.png",
        "trailing ",
        "a",
    };
    const size_t count = sizeof(names) / sizeof(names[0]);
    struct ims_catalog_writer *writer;
    imgsim_catalog *catalog;
    struct fixture_sets sets;
    char path[600];

    snprintf(path, sizeof(path), "%s/odd/.imgsim", folder);
    catalog = fixture_open(path, 1);
    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    sets = fixture_add_sets(writer);
    for (size_t i = 0; i < count; i++)
        CHECK_EQUAL(fixture_add_image(writer, &sets, names[i]), i);
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(catalog));
    for (size_t i = 0; i < count; i++) {
        struct seen seen = {0};
        int64_t id;

        CHECK_OK(imgsim_catalog_get_file(catalog, (int64_t)i, see, &seen));
        if (names[i][0] == '/')
            snprintf(path, sizeof(path), "%s", names[i]);
        else
            snprintf(path, sizeof(path), "%s/odd/%s", folder, names[i]);
        CHECK_TEXT(seen.path, path);
        CHECK_OK(imgsim_catalog_find(catalog, path, &id));
        CHECK_EQUAL(id, i);
    }
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
    imgsim_catalog_free(catalog);
}

static void changed_content_keeps_the_uuid_and_gets_a_new_id(const char *folder)
{
    struct seen before = {0}, after = {0}, stale = {0};
    struct ims_catalog_writer *writer;
    imgsim_catalog *catalog, *old;
    struct fixture_sets sets;
    char path[600];
    int64_t id;

    snprintf(path, sizeof(path), "%s/changing/.imgsim", folder);
    catalog = fixture_collection(path, 10);
    CHECK_OK(imgsim_catalog_get_file(catalog, 4, see, &before));
    CHECK_OK(imgsim_catalog_add_label(catalog, 4, "lake"));
    old = fixture_open(path, 0);

    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    sets = fixture_add_sets(writer);
    CHECK_EQUAL(fixture_add_image(writer, &sets, "dir4/image4.jpg"), 10);
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(catalog));

    CHECK_EQUAL(imgsim_catalog_get_id_count(catalog), 11);
    CHECK_EQUAL(imgsim_catalog_get_image_count(catalog), 10);
    CHECK_FAILS(imgsim_catalog_get_file(catalog, 4, see, &after), IMGSIM_ERROR_NOT_FOUND, "4");
    CHECK_OK(imgsim_catalog_get_file(catalog, 10, see, &after));
    CHECK_TEXT(after.uuid, before.uuid);
    CHECK_TEXT(after.path, before.path);
    CHECK_OK(imgsim_catalog_find(catalog, before.uuid, &id));
    CHECK_EQUAL(id, 10);
    {
        struct ims_bitset ids = {0};

        CHECK_OK(ims_catalog_ids_with_label(catalog, "lake", &ids));
        CHECK_EQUAL(ims_bitset_popcount(&ids), 1);
        CHECK(ims_bitset_test(&ids, 10));
        ims_bitset_clear(&ids);
    }

    /* A handle opened before still resolves the id its answers name. */
    CHECK_OK(imgsim_catalog_get_file(old, 4, see, &stale));
    CHECK_EQUAL(stale.id, 4);
    CHECK_TEXT(stale.path, before.path);
    CHECK_EQUAL(fixture_check_rows(old), 10);
    CHECK_EQUAL(fixture_check_rows(catalog), 10);
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
    imgsim_catalog_free(old);
    imgsim_catalog_free(catalog);
}

static void states_are_counted_and_visited_in_order(const char *folder)
{
    struct ims_file_record record = {.id = -1, .format = "", .bytes = 7};
    static const char *const names[] = {"z.txt", "b.jpg", "a.jpg"};
    uint64_t counts[IMGSIM_FILE_STATE_COUNT];
    struct ims_catalog_writer *writer;
    struct seen seen = {0};
    imgsim_catalog *catalog;
    char path[600];
    int found;

    snprintf(path, sizeof(path), "%s/states/.imgsim", folder);
    catalog = fixture_collection(path, 5);
    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    for (int i = 0; i < 3; i++) {
        record.path = names[i];
        record.state = i == 0 ? IMGSIM_FILE_SKIPPED : IMGSIM_FILE_FAILED;
        record.reason = i == 0 ? "not an image" : "truncated";
        CHECK_OK(ims_catalog_writer_put_file(writer, &record));
    }
    record.state = IMGSIM_FILE_OK;
    CHECK_FAILS(ims_catalog_writer_put_file(writer, &record), IMGSIM_ERROR_INVALID_ARGUMENT, "id");
    CHECK_OK(ims_catalog_writer_get_file(writer, "dir2/image2.jpg", &record, &found));
    CHECK(found && record.id == 2 && record.features == 7);
    record.state = IMGSIM_FILE_MISSING;
    CHECK_OK(ims_catalog_writer_put_file(writer, &record));
    CHECK_OK(ims_catalog_writer_get_file(writer, "nowhere", &record, &found));
    CHECK(!found);
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);

    CHECK_OK(imgsim_catalog_count_states(catalog, counts));
    CHECK_EQUAL(counts[IMGSIM_FILE_OK], 5); /* until it is refreshed */
    CHECK_OK(imgsim_catalog_refresh(catalog));
    CHECK_OK(imgsim_catalog_count_states(catalog, counts));
    CHECK_EQUAL(counts[IMGSIM_FILE_OK], 4);
    CHECK_EQUAL(counts[IMGSIM_FILE_SKIPPED], 1);
    CHECK_EQUAL(counts[IMGSIM_FILE_FAILED], 2);
    CHECK_EQUAL(counts[IMGSIM_FILE_MISSING], 1);
    CHECK_EQUAL(imgsim_catalog_get_image_count(catalog), 4);
    CHECK(!ims_bitset_test(ims_catalog_live(catalog), 2));

    CHECK_OK(imgsim_catalog_visit_files(catalog, IMGSIM_FILE_FAILED, see, &seen));
    CHECK_EQUAL(seen.count, 2);
    CHECK_TEXT(seen.name, "b.jpg");
    CHECK_TEXT(seen.reason, "truncated");
    CHECK_TEXT(seen.uuid, "");
    seen.count = 0;
    CHECK_OK(imgsim_catalog_visit_files(catalog, -1, see, &seen));
    CHECK_EQUAL(seen.count, 8);
    CHECK_EQUAL(seen.id, 4);
    CHECK_OK(imgsim_catalog_visit_files(catalog, IMGSIM_FILE_MISSING, see, &seen));
    CHECK_EQUAL(seen.id, 2);
    CHECK_FAILS(
        imgsim_catalog_find(catalog, "a.jpg", &(int64_t){0}), IMGSIM_ERROR_NOT_FOUND,
        "never decoded");
    CHECK_FAILS(
        imgsim_catalog_visit_files(catalog, 6, see, &seen), IMGSIM_ERROR_INVALID_ARGUMENT, "state");
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
    imgsim_catalog_free(catalog);
}

static int32_t remember_path(const struct ims_file_record *record, void *user_data)
{
    snprintf(user_data, 64, "%s", record->path);
    return 0;
}

static int32_t in_order(const struct ims_file_record *record, void *user_data)
{
    char *last = user_data;

    CHECK(strcmp(last, record->path) < 0);
    snprintf(last, 64, "%s", record->path);
    return 0;
}

static void a_moved_file_keeps_everything(const char *folder)
{
    struct ims_file_record record = {.path = "new/place.jpg", .bytes = 1000, .mtime_ns = 5};
    struct seen before = {0}, after = {0};
    struct ims_catalog_writer *writer;
    imgsim_catalog *catalog;
    uint8_t hash[16];
    char path[600], found[64] = "";

    snprintf(path, sizeof(path), "%s/moving/.imgsim", folder);
    catalog = fixture_collection(path, 10);
    CHECK_OK(imgsim_catalog_get_file(catalog, 6, see, &before));
    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    ims_hash128("dir6/image6.jpg", strlen("dir6/image6.jpg"), hash);
    CHECK_OK(ims_catalog_writer_find_content(writer, hash, 1000, remember_path, found));
    CHECK_TEXT(found, "dir6/image6.jpg");
    found[0] = '\0';
    CHECK_OK(ims_catalog_writer_find_content(writer, hash, 1001, remember_path, found));
    CHECK_TEXT(found, "");
    CHECK_OK(ims_catalog_writer_move_file(writer, "dir6/image6.jpg", &record));
    CHECK_FAILS(
        ims_catalog_writer_move_file(writer, "dir6/image6.jpg", &record), IMGSIM_ERROR_NOT_FOUND,
        "dir6/image6.jpg");
    /* Onto a path that is taken: what was there is forgotten. */
    record.path = "dir0/image0.jpg";
    CHECK_OK(ims_catalog_writer_move_file(writer, "dir1/image1.jpg", &record));
    found[0] = '\0';
    CHECK_OK(ims_catalog_writer_visit(writer, in_order, found));
    CHECK_TEXT(found, "new/place.jpg");
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(catalog));

    CHECK_OK(imgsim_catalog_get_file(catalog, 6, see, &after));
    CHECK_TEXT(after.name, "place.jpg");
    CHECK_TEXT(after.uuid, before.uuid);
    CHECK_EQUAL(imgsim_catalog_get_image_count(catalog), 9);
    CHECK_EQUAL(fixture_check_rows(catalog), 9);
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
    imgsim_catalog_free(catalog);
}

static void folders_are_matched_as_folders(const char *folder)
{
    static const char *const names[] = {"a/1.jpg", "a/b/2.jpg",      "ab/3.jpg", "a.jpg",
                                        "a/b",     "/outside/4.jpg", "a-b/5.jpg"};
    struct ims_catalog_writer *writer;
    struct ims_bitset ids = {0};
    struct fixture_sets sets;
    imgsim_catalog *catalog;
    char path[600];

    snprintf(path, sizeof(path), "%s/below/.imgsim", folder);
    catalog = fixture_open(path, 1);
    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    sets = fixture_add_sets(writer);
    for (size_t i = 0; i < 7; i++)
        fixture_add_image(writer, &sets, names[i]);
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(catalog));

    CHECK_OK(ims_catalog_ids_below(catalog, "a", &ids));
    CHECK_EQUAL(ids.bytes[0], 1 | 2 | 16);
    ims_bitset_clear(&ids);
    CHECK_OK(ims_catalog_ids_below(catalog, "a/b///", &ids));
    CHECK_EQUAL(ids.bytes[0], 2 | 16);
    ims_bitset_clear(&ids);
    snprintf(path, sizeof(path), "%s/below", folder);
    CHECK_OK(ims_catalog_ids_below(catalog, path, &ids));
    CHECK_EQUAL(ids.bytes[0], 0x7f & ~32);
    ims_bitset_clear(&ids);
    snprintf(path, sizeof(path), "%s/below/ab", folder);
    CHECK_OK(ims_catalog_ids_below(catalog, path, &ids));
    CHECK_EQUAL(ids.bytes[0], 4);
    ims_bitset_clear(&ids);
    CHECK_OK(ims_catalog_ids_below(catalog, "/outside", &ids));
    CHECK_EQUAL(ids.bytes[0], 32);
    ims_bitset_clear(&ids);
    CHECK_FAILS(ims_catalog_ids_below(catalog, "b", &ids), IMGSIM_ERROR_NOT_FOUND, "b");
    imgsim_catalog_free(catalog);
}

static void a_catalog_elsewhere_stores_absolute_paths(const char *folder)
{
    imgsim_catalog *catalog;
    char path[600];
    char *stored;

    snprintf(path, sizeof(path), "%s/deep/er/my-catalog", folder);
    catalog = fixture_open(path, 1);
    CHECK_TEXT(imgsim_catalog_get_root(catalog), "/");
    CHECK((stored = ims_catalog_store_path(catalog, "/x/y.jpg")) != NULL);
    CHECK_TEXT(stored, "/x/y.jpg");
    free(stored);
    imgsim_catalog_free(catalog);
}

int main(void)
{
    char folder[512];

    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    rows_and_files_are_read_back(folder);
    a_collection_moved_as_a_whole_keeps_working(folder);
    paths_of_any_bytes_are_kept(folder);
    changed_content_keeps_the_uuid_and_gets_a_new_id(folder);
    states_are_counted_and_visited_in_order(folder);
    a_moved_file_keeps_everything(folder);
    folders_are_matched_as_folders(folder);
    a_catalog_elsewhere_stores_absolute_paths(folder);
    fixture_remove_folder(folder);
    return 0;
}
