/* SPDX-License-Identifier: Apache-2.0 */
/* Rows have checksums: a bit that changed in a matrix is found, whatever was written, replaced or interrupted before. */
#include "catalog_fixture.h"

#include "catalog/catalog_internal.h"
#include "core/npy.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#define IMAGES 40
/* More blocks of checksums than a writer keeps. */
#define MANY (IMS_CHECKSUM_IDS * (IMS_CHECKSUM_BLOCKS + 3) + 7)

static char inner_path[900];

static const char *inner(const imgsim_catalog *catalog, const char *name)
{
    snprintf(inner_path, sizeof(inner_path), "%s/%s", imgsim_catalog_get_path(catalog), name);
    return inner_path;
}

static imgsim_catalog *make(const char *folder, const char *name, int count)
{
    char path[800];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return fixture_collection(path, count);
}

static struct ims_verified verify(const imgsim_catalog *catalog)
{
    struct ims_verified verified;

    CHECK_OK(ims_catalog_verify(catalog, fixture_print_problem, NULL, &verified));
    CHECK_EQUAL(verified.damaged, 0);
    return verified;
}

static void run_sql(const imgsim_catalog *catalog, const char *sql)
{
    sqlite3 *db;

    CHECK(sqlite3_open(inner(catalog, "catalog.db"), &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

/* Turn one bit of a file around; calling it again undoes it. */
static void flip(const imgsim_catalog *catalog, const char *name, off_t byte, int bit)
{
    int fd = open(inner(catalog, name), O_RDWR);
    uint8_t value;

    CHECK(fd >= 0 && pread(fd, &value, 1, byte) == 1);
    value ^= (uint8_t)(1 << bit);
    CHECK(pwrite(fd, &value, 1, byte) == 1 && close(fd) == 0);
}

/* ---- damage ---- */

static void keep_problem(const char *problem, void *user_data)
{
    char *text = user_data;

    snprintf(text + strlen(text), 4000 - strlen(text), "%s\n", problem);
}

static void any_bit_of_any_row_is_found(const char *folder)
{
    static const struct {
        const char *name;
        const char *feature;
        size_t row_size;
    } files[] = {
        {"features/embedding.npy", "feature \"embedding\"", 4 * FIXTURE_FLOATS},
        {"features/hash.npy", "feature \"hash\"", FIXTURE_BITS / 8},
        {"features/color.offsets.npy", "feature \"color\"", 8},
        {"features/color.lengths.npy", "feature \"color\"", 4},
        {"features/color.bins.npy", "feature \"color\"", 0},
        {"features/color.counts.npy", "feature \"color\"", 0},
    };
    imgsim_catalog *catalog = make(folder, "flips", IMAGES);
    struct ims_verified verified;
    struct ims_rng rng;

    ims_rng_init(&rng, 3);
    verified = verify(catalog);
    CHECK_EQUAL(verified.rows, 3 * IMAGES);
    CHECK_EQUAL(verified.unknown, 0);
    for (int round = 0; round < 300; round++) {
        size_t f = (size_t)round % (sizeof(files) / sizeof(files[0]));
        size_t size = files[f].row_size * IMAGES;
        char text[4000] = "", word[100];
        off_t byte;
        int bit = (int)ims_rng_below(&rng, 8);
        struct stat info;

        CHECK(stat(inner(catalog, files[f].name), &info) == 0);
        size = size != 0 ? size : (size_t)info.st_size - IMS_NPY_DATA;
        byte = (off_t)ims_rng_below(&rng, size);
        flip(catalog, files[f].name, IMS_NPY_DATA + byte, bit);
        CHECK_FAILS(
            ims_catalog_verify(catalog, keep_problem, text, &verified), IMGSIM_ERROR_CORRUPT,
            files[f].feature);
        if (files[f].row_size != 0) {
            snprintf(word, sizeof(word), "row of id %zu ", (size_t)byte / files[f].row_size);
            CHECK(strstr(text, word) != NULL);
        }
        flip(catalog, files[f].name, IMS_NPY_DATA + byte, bit);
    }
    verify(catalog);
    imgsim_catalog_free(catalog);
}

static void neighbours_are_told_together(const char *folder)
{
    imgsim_catalog *catalog = make(folder, "runs", IMAGES);
    char text[4000] = "";
    struct ims_verified verified;

    for (int id = 5; id < 20; id++)
        flip(catalog, "features/hash.npy", IMS_NPY_DATA + id * (FIXTURE_BITS / 8), 1);
    flip(catalog, "features/hash.npy", IMS_NPY_DATA + 39 * (FIXTURE_BITS / 8) + 7, 1);
    CHECK_FAILS(
        ims_catalog_verify(catalog, keep_problem, text, &verified), IMGSIM_ERROR_CORRUPT,
        "2 problems");
    CHECK_EQUAL(verified.damaged, 16);
    CHECK_TEXT(
        text, "feature \"hash\": each of 15 rows of ids 5 to 19 does not match its checksum; the "
              "first is of dir5/image5.jpg\n"
              "feature \"hash\": the row of id 39 does not match its checksum: dir4/image39.jpg\n");
    imgsim_catalog_free(catalog);
}

static void many_damaged_rows_are_counted(const char *folder)
{
    imgsim_catalog *catalog = make(folder, "counted", 100);
    char text[4000] = "";
    struct ims_verified verified;

    for (int id = 0; id < 100; id += 2)
        flip(catalog, "features/hash.npy", IMS_NPY_DATA + id * (FIXTURE_BITS / 8), 1);
    CHECK_FAILS(
        ims_catalog_verify(catalog, keep_problem, text, &verified), IMGSIM_ERROR_CORRUPT,
        "21 problems");
    CHECK_EQUAL(verified.damaged, 50);
    CHECK(strstr(text, "feature \"hash\": 30 more rows are damaged\n") != NULL);
    imgsim_catalog_free(catalog);
}

/* A vanished image may come back, so its rows are checked as well. */
static void rows_of_vanished_images_are_checked(const char *folder)
{
    imgsim_catalog *catalog = make(folder, "vanished", IMAGES);
    struct ims_catalog_writer *writer;
    struct ims_file_record record;
    struct ims_verified verified;
    int found;

    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    CHECK_OK(ims_catalog_writer_get_file(writer, "dir3/image3.jpg", &record, &found));
    CHECK(found);
    record.path = "dir3/image3.jpg";
    record.state = IMGSIM_FILE_MISSING;
    CHECK_OK(ims_catalog_writer_put_file(writer, &record));
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_EQUAL(verify(catalog).rows, 3 * IMAGES);
    flip(catalog, "features/embedding.npy", IMS_NPY_DATA + 3 * 4 * FIXTURE_FLOATS, 0);
    CHECK_FAILS(
        ims_catalog_verify(catalog, NULL, NULL, &verified), IMGSIM_ERROR_CORRUPT, "row of id 3 ");
    imgsim_catalog_free(catalog);
}

/* ---- writing ---- */

static void
put(imgsim_catalog *catalog, const char *print, const int64_t *ids, size_t count, float value)
{
    imgsim_feature_definition definition = fixture_definition("mine", IMGSIM_ROW_FLOAT32, 2, print);
    float *rows = malloc(count * 2 * sizeof(float));

    CHECK(rows != NULL);
    for (size_t i = 0; i < count; i++) {
        rows[2 * i] = (float)ids[i];
        rows[2 * i + 1] = value;
    }
    CHECK_OK(imgsim_catalog_put_features(
        catalog, &definition, ids, count, rows, count * 2 * sizeof(float)));
    free(rows);
}

static void check_mine(imgsim_catalog *catalog, uint64_t rows)
{
    struct ims_verified verified = verify(catalog);

    CHECK_EQUAL(verified.rows, 3 * imgsim_catalog_get_image_count(catalog) + rows);
    CHECK_EQUAL(verified.unknown, 0);
}

static void checksums_follow_what_the_host_writes(const char *folder)
{
    imgsim_catalog *catalog = make(folder, "host", MANY);
    int64_t *ids = malloc(MANY * sizeof(*ids));

    CHECK(ids != NULL);
    for (int i = 0; i < MANY; i++) /* back and forth, so that blocks come and go */
        ids[i] = i % 2 == 0 ? i / 2 : MANY - 1 - i / 2;
    put(catalog, "a", ids, MANY / 2, 1);
    check_mine(catalog, MANY / 2);
    put(catalog, "a", ids, MANY, 1); /* the same again, and new ones */
    check_mine(catalog, MANY);
    put(catalog, "a", ids + 100, 50, 2); /* changes rows: new files */
    check_mine(catalog, MANY);
    put(catalog, "b", ids + 7, 3, 3); /* replaces the set */
    check_mine(catalog, 3);
    CHECK_OK(imgsim_catalog_remove_features(catalog, "mine"));
    check_mine(catalog, 0);
    put(catalog, "c", ids, 10, 4); /* under the number of the one that was removed */
    check_mine(catalog, 10);
    free(ids);
    imgsim_catalog_free(catalog);
}

/* What was not committed leaves nothing behind; rows of the same ids are written again. */
static void interrupted_writers_leave_no_checksums(const char *folder)
{
    imgsim_catalog *catalog = make(folder, "stopped", IMAGES);
    struct ims_catalog_writer *writer;
    struct fixture_sets sets;
    char name[64];

    for (int way = 0; way < 3; way++) {
        pid_t child = fork();
        int status;

        CHECK(child >= 0);
        if (child == 0) {
            CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
            sets = fixture_add_sets(writer);
            for (int i = 0; i < MANY; i++) {
                snprintf(name, sizeof(name), "other%d/%d.jpg", way, i);
                (void)fixture_add_image(writer, &sets, name);
                if (way == 2 && i == MANY / 2)
                    CHECK_OK(ims_catalog_writer_commit(writer));
            }
            if (way == 0)
                ims_catalog_writer_close(writer);
            _exit(0); /* as good as killed */
        }
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && status == 0);
        CHECK_OK(imgsim_catalog_refresh(catalog));
        check_mine(catalog, 0);
    }
    CHECK_EQUAL(imgsim_catalog_get_image_count(catalog), IMAGES + MANY / 2 + 1);
    imgsim_catalog_free(catalog);
}

/* ---- catalogs without ---- */

static void catalogs_without_checksums_still_work(const char *folder)
{
    imgsim_catalog *catalog = make(folder, "old", IMAGES);
    struct ims_catalog_writer *writer;
    struct ims_verified verified;
    struct fixture_sets sets;

    run_sql(catalog, "DROP TABLE checksums");
    CHECK_OK(imgsim_catalog_refresh(catalog));
    verified = verify(catalog);
    CHECK_EQUAL(verified.rows, 3 * IMAGES);
    CHECK_EQUAL(verified.unknown, 3 * IMAGES);

    /* A writer that commits nothing changes nothing; then new rows have one, the old ones still none. */
    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    ims_catalog_writer_close(writer);
    CHECK_EQUAL(verify(catalog).unknown, 3 * IMAGES);
    CHECK_OK(ims_catalog_writer_open(catalog, "scan", &writer));
    sets = fixture_add_sets(writer);
    CHECK_EQUAL(fixture_add_image(writer, &sets, "new.jpg"), IMAGES);
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(catalog));
    verified = verify(catalog);
    CHECK_EQUAL(verified.rows, 3 * IMAGES + 3);
    CHECK_EQUAL(verified.unknown, 3 * IMAGES);
    flip(catalog, "features/hash.npy", IMS_NPY_DATA + IMAGES * (FIXTURE_BITS / 8), 3);
    CHECK_FAILS(
        ims_catalog_verify(catalog, NULL, NULL, &verified), IMGSIM_ERROR_CORRUPT, "row of id 40 ");

    /* Removing works without the table, too. */
    run_sql(catalog, "DROP TABLE checksums");
    CHECK_OK(imgsim_catalog_remove_features(catalog, "hash"));
    verify(catalog);
    /* Blobs that no writer of ours made. */
    run_sql(
        catalog, "CREATE TABLE checksums(number, block, checksums);"
                 "INSERT INTO checksums VALUES(0, 0, x'01'), (0, 0, NULL), (2, -7, 'text')");
    verify(catalog);
    imgsim_catalog_free(catalog);
}

int main(void)
{
    char folder[512];

    snprintf(folder, sizeof(folder), "%s", check_temporary_folder());
    any_bit_of_any_row_is_found(folder);
    neighbours_are_told_together(folder);
    many_damaged_rows_are_counted(folder);
    rows_of_vanished_images_are_checked(folder);
    checksums_follow_what_the_host_writes(folder);
    interrupted_writers_leave_no_checksums(folder);
    catalogs_without_checksums_still_work(folder);
    fixture_remove_folder(folder);
    return 0;
}
