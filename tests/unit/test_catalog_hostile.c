/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is no catalog, damaged, made by a newer version or on a read-only medium is met with a
 * message, never with a crash.
 */
#include "catalog_fixture.h"

#include "core/file.h"
#include "core/npy.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A fresh collection of 30 images at folder/name; its .imgsim is in a static buffer. */
static const char *make_collection(const char *folder, const char *name)
{
    static char path[600];
    imgsim_catalog *catalog;

    snprintf(path, sizeof(path), "%s/%s/.imgsim", folder, name);
    catalog = fixture_collection(path, 30);
    CHECK_OK(imgsim_catalog_add_label(catalog, 3, "label"));
    CHECK_OK(imgsim_catalog_set_setting(catalog, "key", "value"));
    imgsim_catalog_free(catalog);
    return path;
}

static char *inner(const char *path, const char *name)
{
    static char out[700];

    snprintf(out, sizeof(out), "%s/%s", path, name);
    return out;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

/* Change the database behind the library's back. */
static void run_sql(const char *path, const char *sql)
{
    char *text = NULL;
    sqlite3 *db;

    CHECK(sqlite3_open(inner(path, "catalog.db"), &db) == SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
        fprintf(stderr, "%s: %s\n", sql, text);
    CHECK(text == NULL);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

static void check_open_fails(const char *path, imgsim_status status, const char *word)
{
    imgsim_catalog *catalog = (imgsim_catalog *)1;

    CHECK_FAILS(imgsim_catalog_open(path, NULL, &catalog), status, word);
    CHECK(catalog == NULL);
}

static void files_that_are_no_catalog_are_told_apart(const char *folder)
{
    imgsim_catalog_options options;
    imgsim_catalog *catalog;
    char path[600];
    sqlite3 *db;

    snprintf(path, sizeof(path), "%s/none", folder);
    check_open_fails(path, IMGSIM_ERROR_NOT_FOUND, "run imgsim scan first");
    CHECK(mkdir(path, 0777) == 0);
    check_open_fails(path, IMGSIM_ERROR_NOT_FOUND, "run imgsim scan first");
    check_open_fails("", IMGSIM_ERROR_NOT_FOUND, "empty");

    write_file(inner(path, "catalog.db"), "", 0);
    check_open_fails(path, IMGSIM_ERROR_CORRUPT, "not a catalog of imgsim");
    write_file(inner(path, "catalog.db"), "just some text that is no database at all", 41);
    check_open_fails(path, IMGSIM_ERROR_CORRUPT, "not a catalog of imgsim");
    CHECK(unlink(inner(path, "catalog.db")) == 0);
    CHECK(sqlite3_open(inner(path, "catalog.db"), &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "CREATE TABLE files(path)", NULL, NULL, NULL) == SQLITE_OK);
    sqlite3_close(db);
    check_open_fails(path, IMGSIM_ERROR_CORRUPT, "not a catalog of imgsim");

    /* Also with `create`: what is there is never overwritten. */
    CHECK_OK(imgsim_catalog_options_init(&options, sizeof(options)));
    options.create = 1;
    CHECK_FAILS(
        imgsim_catalog_open(path, &options, &catalog), IMGSIM_ERROR_CORRUPT,
        "not a catalog of imgsim");
    CHECK(unlink(inner(path, "catalog.db")) == 0);
    CHECK(mkdir(inner(path, "catalog.db"), 0777) == 0);
    check_open_fails(path, IMGSIM_ERROR_CORRUPT, "regular file");
    CHECK(rmdir(inner(path, "catalog.db")) == 0);
    CHECK(mkfifo(inner(path, "catalog.db"), 0666) == 0);
    check_open_fails(path, IMGSIM_ERROR_CORRUPT, "regular file");

    options.read_only = 1;
    CHECK_FAILS(
        imgsim_catalog_open(path, &options, &catalog), IMGSIM_ERROR_INVALID_ARGUMENT, "read_only");
    options.struct_size = 0;
    CHECK_FAILS(imgsim_catalog_open(path, &options, &catalog), IMGSIM_ERROR_INVALID_ARGUMENT, "");
}

static void a_newer_version_is_refused_with_both_numbers(const char *folder)
{
    const char *path = make_collection(folder, "newer");

    run_sql(path, "PRAGMA user_version=7");
    check_open_fails(
        path, IMGSIM_ERROR_UNSUPPORTED, "version 7, this library reads up to version 1");
    run_sql(path, "PRAGMA user_version=0");
    check_open_fails(path, IMGSIM_ERROR_CORRUPT, "version 0");
}

/*
 * Everything a reader may do with a catalog that may be damaged; only crashes and hangs are wrong.
 */
static int32_t any_file(const imgsim_file_info *file, void *user_data)
{
    *(size_t *)user_data += strlen(file->path) + strlen(file->directory) + strlen(file->name) +
                            strlen(file->reason) + strlen(file->format) + strlen(file->uuid);
    return 0;
}

static int32_t any_label(const char *label, uint64_t count, void *user_data)
{
    *(size_t *)user_data += strlen(label) + count;
    return 0;
}

static void use_features(const imgsim_catalog *catalog, const char *name, uint64_t *sum)
{
    imgsim_features *features;
    const uint64_t *offsets;
    const uint32_t *lengths, *counts;
    const uint16_t *bins;
    const uint8_t *rows;

    if (imgsim_catalog_open_features(catalog, name, &features) != IMGSIM_OK)
        return;
    rows = imgsim_features_get_rows(features);
    if (rows != NULL) {
        size_t bits = imgsim_features_get_row_type(features) == IMGSIM_ROW_BITS ? 1 : 32;
        size_t size = (size_t)imgsim_features_get_row_count(features) *
                      imgsim_features_get_dimension(features) * bits / 8;

        for (size_t i = 0; i < size; i++)
            *sum += rows[i];
    } else if (
        imgsim_features_get_sparse(features, &offsets, &lengths, &bins, &counts) == IMGSIM_OK) {
        for (uint64_t id = 0; id < imgsim_features_get_row_count(features); id++)
            for (uint32_t i = 0; i < lengths[id]; i++) {
                CHECK(bins[offsets[id] + i] < imgsim_features_get_dimension(features));
                *sum += counts[offsets[id] + i];
            }
    }
    imgsim_features_free(features);
}

static void use_everything(const char *path)
{
    struct ims_bitset ids = {0};
    struct ims_catalog_writer *writer;
    imgsim_catalog *catalog;
    uint64_t sum = 0;
    int64_t id;

    if (imgsim_catalog_open(path, NULL, &catalog) != IMGSIM_OK)
        return;
    imgsim_catalog_verify(catalog, NULL, NULL);
    imgsim_catalog_visit_files(catalog, -1, any_file, &sum);
    imgsim_catalog_visit_labels(catalog, -1, any_label, &sum);
    imgsim_catalog_get_file(catalog, 3, any_file, &sum);
    imgsim_catalog_find(catalog, "dir3/image3.jpg", &id);
    if (ims_catalog_ids_below(catalog, "dir3", &ids) == IMGSIM_OK)
        ims_bitset_clear(&ids);
    if (ims_catalog_ids_with_label(catalog, "label", &ids) == IMGSIM_OK)
        ims_bitset_clear(&ids);
    use_features(catalog, "embedding", &sum);
    use_features(catalog, "hash", &sum);
    use_features(catalog, "color", &sum);
    if (ims_catalog_writer_open(catalog, "scan", &writer) == IMGSIM_OK) {
        if (ims_catalog_writer_new_id(writer, &id) == IMGSIM_OK)
            ims_catalog_writer_commit(writer);
        ims_catalog_writer_close(writer);
    }
    imgsim_catalog_free(catalog);
}

static void truncated_databases_are_reported(const char *folder)
{
    const char *path = make_collection(folder, "truncated");
    struct stat info;

    CHECK(stat(inner(path, "catalog.db"), &info) == 0);
    CHECK(info.st_size > 20000);
    for (off_t size = info.st_size - 4096; size >= 0; size = size * 3 / 4 - 1) {
        imgsim_catalog *catalog;

        CHECK(truncate(inner(path, "catalog.db"), size) == 0);
        if (imgsim_catalog_open(path, NULL, &catalog) == IMGSIM_OK) {
            CHECK_FAILS(imgsim_catalog_verify(catalog, NULL, NULL), IMGSIM_ERROR_CORRUPT, "");
            imgsim_catalog_free(catalog);
        } else {
            check_open_fails(path, IMGSIM_ERROR_CORRUPT, "catalog.db");
        }
        use_everything(path);
    }
}

/* Bytes of a file changed at random, many times, from the same sound copy. */
static void random_damage_never_crashes(const char *folder)
{
    const char *path = make_collection(folder, "random");
    static const char *const names[] = {
        "catalog.db",
        "catalog.db",
        "features/embedding.npy",
        "features/color.bins.npy",
        "features/hash.npy",
        "features/color.offsets.npy",
        "features/color.lengths.npy"};
    struct ims_rng rng;

    ims_rng_init(&rng, 7);
    for (int round = 0; round < 280; round++) {
        const char *name = names[ims_rng_below(&rng, 7)];
        struct ims_map map = {0};
        uint8_t *sound, *damaged;
        size_t size;

        CHECK_OK(ims_map_open(&map, inner(path, name)));
        size = map.size;
        sound = malloc(size);
        damaged = malloc(size);
        CHECK(sound != NULL && damaged != NULL);
        memcpy(sound, map.data, size);
        memcpy(damaged, map.data, size);
        ims_map_close(&map);
        for (uint64_t i = 0; i < 1 + (uint64_t)round % 50; i++)
            damaged[ims_rng_below(&rng, i % 3 == 0 && size > 200 ? 200 : size)] =
                (uint8_t)ims_rng_next(&rng);
        write_file(inner(path, name), damaged, size);
        use_everything(path);
        unlink(inner(path, "catalog.db-wal"));
        unlink(inner(path, "catalog.db-shm"));
        write_file(inner(path, name), sound, size);
        free(sound);
        free(damaged);
        /* Matrices that a damaged catalog did not name are gone now. */
        if (access(inner(path, "features/embedding.npy"), F_OK) != 0 ||
            access(inner(path, "features/hash.npy"), F_OK) != 0 ||
            access(inner(path, "features/color.bins.npy"), F_OK) != 0) {
            char again[32];

            snprintf(again, sizeof(again), "random-%d", round);
            path = make_collection(folder, again);
        }
    }
}

static void check_features_fail(const char *path, const char *name, const char *word)
{
    imgsim_catalog *catalog = fixture_open(path, 0);
    imgsim_features *features;

    CHECK_FAILS(imgsim_catalog_open_features(catalog, name, &features), IMGSIM_ERROR_CORRUPT, word);
    CHECK(features == NULL);
    CHECK_FAILS(imgsim_catalog_verify(catalog, NULL, NULL), IMGSIM_ERROR_CORRUPT, word);
    imgsim_catalog_free(catalog);
}

/* Overwrite bytes of a file of a collection. */
static void patch(const char *path, const char *name, off_t position, const void *data, size_t size)
{
    int fd = open(inner(path, name), O_WRONLY);

    CHECK(fd >= 0 && pwrite(fd, data, size, position) == (ssize_t)size && close(fd) == 0);
}

static void matrices_that_do_not_fit_are_reported(const char *folder)
{
    const char *path = make_collection(folder, "matrices");
    uint8_t header[IMS_NPY_DATA];
    float row[FIXTURE_FLOATS];
    imgsim_catalog *catalog;
    struct stat info;

    CHECK(stat(inner(path, "features/embedding.npy"), &info) == 0);
    CHECK_EQUAL(info.st_size, IMS_NPY_DATA + 30 * FIXTURE_FLOATS * 4);
    CHECK(truncate(inner(path, "features/embedding.npy"), info.st_size + 100000) == 0);
    catalog = fixture_open(path, 0);
    CHECK_EQUAL(fixture_check_rows(catalog), 30); /* longer is fine */
    imgsim_catalog_free(catalog);
    CHECK(truncate(inner(path, "features/embedding.npy"), info.st_size - 1) == 0);
    check_features_fail(path, "embedding", "too few for the 30 rows");
    CHECK(truncate(inner(path, "features/embedding.npy"), info.st_size) == 0);
    fixture_floats(29, row);
    patch(path, "features/embedding.npy", info.st_size - (off_t)sizeof(row), row, sizeof(row));

    CHECK_OK(ims_npy_header("<f4", 30, FIXTURE_FLOATS + 1, header));
    patch(path, "features/embedding.npy", 0, header, sizeof(header));
    check_features_fail(path, "embedding", "25 columns, the catalog expects 2 and 24");
    CHECK_OK(ims_npy_header("<i4", 30, FIXTURE_FLOATS, header));
    patch(path, "features/embedding.npy", 0, header, sizeof(header));
    check_features_fail(path, "embedding", "<i4, the catalog expects <f4");
    CHECK_OK(ims_npy_header("<f4", 30, FIXTURE_FLOATS, header));
    patch(path, "features/embedding.npy", 0, header, sizeof(header));
    patch(
        path, "features/embedding.npy", IMS_NPY_DATA + 4 * FIXTURE_FLOATS * 4 + 8, &(float){NAN},
        4);
    catalog = fixture_open(path, 0);
    CHECK_FAILS(
        imgsim_catalog_verify(catalog, NULL, NULL), IMGSIM_ERROR_CORRUPT,
        "row of id 4 has values that are not finite: dir4/image4.jpg");
    imgsim_catalog_free(catalog);
    fixture_floats(4, row);
    patch(path, "features/embedding.npy", IMS_NPY_DATA + 4 * FIXTURE_FLOATS * 4 + 8, &row[2], 4);

    CHECK(unlink(inner(path, "features/hash.npy")) == 0);
    check_features_fail(path, "hash", "missing");
    CHECK(mkdir(inner(path, "features/hash.npy"), 0777) == 0);
    check_features_fail(path, "hash", "regular file");

    /* The way out that the messages name. */
    catalog = fixture_open(path, 0);
    CHECK(rmdir(inner(path, "features/hash.npy")) == 0);
    CHECK_OK(imgsim_catalog_remove_features(catalog, "hash"));
    CHECK_OK(imgsim_catalog_remove_features(catalog, "embedding"));
    CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
    imgsim_catalog_free(catalog);
}

static void hostile_histograms_are_reported(const char *folder)
{
    const char *path = make_collection(folder, "histograms");
    const uint64_t far = UINT64_MAX - 2;
    const uint32_t many = 60000;
    const uint16_t large = 4096;
    const uint64_t *offsets;
    const uint32_t *lengths, *counts;
    const uint16_t *bins;
    imgsim_features *features;
    imgsim_catalog *catalog;
    uint64_t offset;
    uint32_t length;
    int fd;

    patch(path, "features/color.offsets.npy", IMS_NPY_DATA + 8 * 5, &far, 8);
    check_features_fail(path, "color", "id 5 lies outside");
    offset = 0;
    patch(path, "features/color.offsets.npy", IMS_NPY_DATA + 8 * 5, &offset, 8);
    CHECK((fd = open(inner(path, "features/color.lengths.npy"), O_RDONLY)) >= 0);
    CHECK(pread(fd, &length, 4, IMS_NPY_DATA + 4 * 6) == 4 && close(fd) == 0);
    patch(path, "features/color.lengths.npy", IMS_NPY_DATA + 4 * 6, &many, 4);
    check_features_fail(path, "color", "id 6 lies outside");
    patch(path, "features/color.lengths.npy", IMS_NPY_DATA + 4 * 6, &length, 4);

    patch(path, "features/color.bins.npy", IMS_NPY_DATA + 2 * 3, &large, 2);
    catalog = fixture_open(path, 0);
    CHECK_OK(imgsim_catalog_open_features(catalog, "color", &features));
    CHECK_FAILS(
        imgsim_features_get_sparse(features, &offsets, &lengths, &bins, &counts),
        IMGSIM_ERROR_CORRUPT, "histogram of id");
    CHECK(bins == NULL);
    CHECK_FAILS(
        imgsim_features_get_sparse(features, &offsets, &lengths, &bins, &counts),
        IMGSIM_ERROR_CORRUPT, "histogram of id");
    CHECK_FAILS(
        imgsim_catalog_verify(catalog, NULL, NULL), IMGSIM_ERROR_CORRUPT,
        "row of id 0 is no histogram");
    imgsim_features_free(features);
    imgsim_catalog_free(catalog);
}

static void hostile_tables_are_reported(const char *folder)
{
    static const struct {
        const char *sql;
        const char *word;
    } cases[] = {
        {"UPDATE features SET stem = '../../../etc/passwd' WHERE number = 0", "embedding"},
        {"UPDATE features SET name = 'x/y' WHERE number = 0", "x/y"},
        {"UPDATE features SET dimension = 0 WHERE number = 0", "embedding"},
        {"UPDATE features SET dimension = 4294967320 WHERE number = 0", "embedding"},
        {"UPDATE features SET row_type = 17 WHERE number = 0", "embedding"},
        {"UPDATE features SET entries = -5 WHERE number = 2", "color"},
        {"UPDATE features SET number = 70 WHERE number = 0", "embedding"},
        {"UPDATE meta SET value = -1 WHERE key = 'next_id'", "ids"},
        {"UPDATE meta SET value = 1 << 40 WHERE key = 'next_id'", "ids"},
        {"DELETE FROM meta", "missing"},
        {"UPDATE bits SET bits = zeroblob(100000) WHERE number = -1", "set of ids"},
        {"UPDATE bits SET block = 1 << 50 WHERE number = -1", "set of ids"},
        {"DROP TABLE features", "features"},
        {"DROP TABLE bits; CREATE VIEW bits AS SELECT 1 AS number, 2 AS block, 3 AS bits", "bits"},
    };
    char name[32];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *path;

        snprintf(name, sizeof(name), "tables-%zu", i);
        path = make_collection(folder, name);
        run_sql(path, cases[i].sql);
        check_open_fails(path, IMGSIM_ERROR_CORRUPT, cases[i].word);
    }
}

static void verify_finds_what_does_not_agree(const char *folder)
{
    static const struct {
        const char *sql;
        const char *word;
    } cases[] = {
        {"UPDATE files SET state = 2 WHERE id = 4", "dir4/image4.jpg"},
        {"UPDATE files SET id = 1000 WHERE id = 4", "1000 was never given"},
        {"UPDATE files SET uuid = NULL WHERE id = 4", "no UUID"},
        {"UPDATE files SET state = 9 WHERE id = 4", "dir4/image4.jpg"},
        {"DELETE FROM files WHERE id = 4", "29 files"},
        {"UPDATE meta SET value = 31 WHERE key = 'files_0'", "31"},
        {"DELETE FROM bits WHERE number = -1", "live"},
        {"UPDATE checksums SET checksums = randomblob(4096)",
         "each of 30 rows of ids 0 to 29 does not match its checksum"},
    };
    char name[32];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        imgsim_catalog *catalog;
        const char *path;

        snprintf(name, sizeof(name), "verify-%zu", i);
        path = make_collection(folder, name);
        run_sql(path, cases[i].sql);
        catalog = fixture_open(path, 0);
        CHECK_FAILS(
            imgsim_catalog_verify(catalog, NULL, NULL), IMGSIM_ERROR_CORRUPT, cases[i].word);
        imgsim_catalog_free(catalog);
    }
}

/* As a user who may only read. */
static void a_read_only_medium_can_be_read(const char *folder)
{
    const char *path = make_collection(folder, "medium");
    pid_t child;
    int result;

    CHECK(chmod(folder, 0755) == 0);
    CHECK(chmod(path, 0555) == 0);
    if ((child = fork()) == 0) {
        imgsim_catalog_options options;
        imgsim_catalog *catalog;

        if (geteuid() == 0)
            CHECK(setgid(65534) == 0 && setuid(65534) == 0);
        for (int read_only = 0; read_only < 2; read_only++) {
            CHECK_OK(imgsim_catalog_options_init(&options, sizeof(options)));
            options.read_only = read_only;
            CHECK_OK(imgsim_catalog_open(path, &options, &catalog));
            CHECK_EQUAL(fixture_check_rows(catalog), 30);
            CHECK_OK(imgsim_catalog_verify(catalog, fixture_print_problem, NULL));
            if (read_only)
                CHECK_FAILS(
                    imgsim_catalog_add_label(catalog, 1, "x"), IMGSIM_ERROR_INVALID_ARGUMENT,
                    "read-only");
            else
                CHECK_FAILS(imgsim_catalog_add_label(catalog, 1, "x"), IMGSIM_ERROR_IO, "lock");
            imgsim_catalog_free(catalog);
        }
        CHECK(access(inner(path, "catalog.db-shm"), F_OK) != 0);
        _exit(0);
    }
    CHECK(waitpid(child, &result, 0) == child && WIFEXITED(result));
    CHECK_EQUAL(WEXITSTATUS(result), 0);
    CHECK(chmod(path, 0755) == 0);
}

static void another_users_changes_are_noticed(const char *folder)
{
    const char *path = make_collection(folder, "shared");
    int ready[2], changed[2], result;
    imgsim_catalog *catalog;
    char byte = 0;
    pid_t child;

    CHECK(pipe(ready) == 0 && pipe(changed) == 0);
    CHECK(chmod(path, 0755) == 0);
    if ((child = fork()) == 0) {
        int64_t id;

        if (geteuid() != 0)
            _exit(0); /* one user sees no difference */
        CHECK(setgid(65534) == 0 && setuid(65534) == 0);
        CHECK_OK(imgsim_catalog_open(path, NULL, &catalog));
        CHECK(write(ready[1], &byte, 1) == 1 && read(changed[0], &byte, 1) == 1);
        CHECK_FAILS(
            imgsim_catalog_find(catalog, "dir1/image1.jpg", &id), IMGSIM_ERROR_BUSY, "refresh");
        CHECK_OK(imgsim_catalog_refresh(catalog));
        CHECK_OK(imgsim_catalog_find(catalog, "dir1/image1.jpg", &id));
        imgsim_catalog_free(catalog);
        _exit(0);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) == 1) {
        catalog = fixture_open(path, 0);
        CHECK_OK(imgsim_catalog_add_label(catalog, 1, "x"));
        imgsim_catalog_free(catalog);
        CHECK(write(changed[1], &byte, 1) == 1);
    }
    CHECK(waitpid(child, &result, 0) == child && WIFEXITED(result));
    CHECK_EQUAL(WEXITSTATUS(result), 0);
}

int main(void)
{
    char folder[512];

    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    files_that_are_no_catalog_are_told_apart(folder);
    a_newer_version_is_refused_with_both_numbers(folder);
    truncated_databases_are_reported(folder);
    matrices_that_do_not_fit_are_reported(folder);
    hostile_histograms_are_reported(folder);
    hostile_tables_are_reported(folder);
    verify_finds_what_does_not_agree(folder);
    a_read_only_medium_can_be_read(folder);
    another_users_changes_are_noticed(folder);
    random_damage_never_crashes(folder);
    fixture_remove_folder(folder);
    return 0;
}
