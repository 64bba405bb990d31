/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damaged catalogs: each is found, repaired, and the next scan has every image with its features again. Images whose record
 * survived keep id, UUID and label.
 */
#include "faults/fault_bed.h"

#include <fcntl.h>
#include <stdbool.h>
#include <time.h>

#define EACH 12u
#define IMAGES (BED_FAMILIES * EACH)
#define PAGE 4096

static struct public_bed bed;
static char pristine[800], name_space[900];
static float expected[IMAGES][BED_VALUES];
static imgsim_repair_report report;
static uint64_t lines;

static const char *inner(const char *name)
{
    snprintf(name_space, sizeof(name_space), "%s/%s", bed.catalog_path, name);
    return name_space;
}

static void shell(const char *format, const char *a, const char *b)
{
    char command[2000];

    snprintf(command, sizeof(command), format, a, b);
    CHECK(system(command) == 0);
}

/* The catalog as it was before all damage; nobody has it open. */
static void restore(void)
{
    if (access(bed.catalog_path, F_OK) == 0)
        bed_remove_folder(bed.catalog_path);
    shell("cp -a '%s' '%s'", pristine, bed.catalog_path);
}

static void count_line(const char *line, void *user_data)
{
    (void)user_data;
    CHECK(line[0] != '\0' && strchr(line, '\n') == NULL);
    lines++;
}

static imgsim_status try_repair(void)
{
    imgsim_repair_options options;
    imgsim_status status;

    lines = 0;
    memset(&report, 0, sizeof(report));
    report.struct_size = sizeof(report);
    CHECK_OK(imgsim_repair_options_init(&options, sizeof(options)));
    options.callback = count_line;
    status = imgsim_catalog_repair(bed.catalog_path, &options, &report);
    CHECK_EQUAL(report.changes, lines);
    return status;
}

/* What verify says of a catalog that may not even open. */
static bool is_sound(void)
{
    imgsim_catalog *catalog = NULL;
    imgsim_status status = imgsim_catalog_open(bed.catalog_path, NULL, &catalog);

    if (status == IMGSIM_OK && (status = imgsim_catalog_verify(catalog, NULL, NULL)) == IMGSIM_OK)
        status = imgsim_derive_verify(catalog, NULL, NULL);
    imgsim_catalog_free(catalog);
    CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_CORRUPT);
    return status == IMGSIM_OK;
}

/* After a repair: sound, and a scan has all images with their rows again. */
static void check_whole(void)
{
    static float rows[IMAGES][BED_VALUES];
    imgsim_scan_report scanned;

    CHECK(is_sound());
    bed.catalog = bed_open_catalog(bed.catalog_path, 0);
    scanned = bed_scan(&bed);
    CHECK_EQUAL(scanned.failed, 0);
    CHECK_EQUAL(scanned.missing, 0);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), IMAGES);
    bed_verify(bed.catalog);
    fault_read_rows(&bed, EACH, rows);
    CHECK(memcmp(rows, expected, sizeof(rows)) == 0);
    imgsim_catalog_free(bed.catalog);
    bed.catalog = NULL;
}

static void overwrite(const char *path, off_t position, int fill, size_t size)
{
    static uint8_t bytes[1 << 16];
    int fd = open(path, O_WRONLY);

    CHECK(fd >= 0 && size <= sizeof(bytes));
    memset(bytes, fill, size);
    CHECK(pwrite(fd, bytes, size, position) == (ssize_t)size && close(fd) == 0);
}

static off_t size_of(const char *path)
{
    struct stat info;

    CHECK(stat(path, &info) == 0);
    return info.st_size;
}

static unsigned count_survivors(void);

/* ---- matrices ---- */

static void a_sound_catalog_is_left_alone(void)
{
    restore();
    CHECK_OK(try_repair());
    CHECK_EQUAL(report.changes, 0);
    shell("cmp '%s/catalog.db' '%s/catalog.db'", pristine, bed.catalog_path);
    shell("diff -r '%s/features' '%s/features'", pristine, bed.catalog_path);
    check_whole();
}

static void damaged_rows_are_dropped(void)
{
    restore();
    overwrite(inner("features/embedding.npy"), PAGE + 7 * (off_t)sizeof(expected[0]), 0xff, 8);
    overwrite(inner("features/color.counts.npy"), PAGE, 0, 4);
    overwrite(inner("features/color.offsets.npy"), PAGE + 8 * 5, 0x7f, 8);
    overwrite(inner("features/thumbnail.bytes.npy"), PAGE, 0, 2);
    CHECK(!is_sound());
    CHECK_OK(try_repair());
    CHECK_EQUAL(report.rows_dropped, 4);
    CHECK_EQUAL(report.features_dropped, 0);
    CHECK_EQUAL(report.files_lost, 0);
    check_whole();
}

/* Bits that turned around in rows that still could be: checksums tell. */
static void rows_of_other_bytes_are_dropped(void)
{
    static const struct {
        const char *name;
        off_t byte;
    } flips[] = {
        {"features/embedding.npy", 7 * (off_t)sizeof(expected[0]) + 1},
        {"features/hash.npy", 3},
        {"features/color.bins.npy", 0},
        {"features/color.counts.npy", 4},
        {"features/thumbnail.bytes.npy", 100},
        {"features/embedding-pca4.npy", 16 * 5},
    };

    for (size_t i = 0; i < sizeof(flips) / sizeof(flips[0]); i++) {
        uint8_t byte;
        int fd;

        restore();
        CHECK((fd = open(inner(flips[i].name), O_RDWR)) >= 0);
        CHECK(pread(fd, &byte, 1, PAGE + flips[i].byte) == 1);
        byte ^= 1;
        CHECK(pwrite(fd, &byte, 1, PAGE + flips[i].byte) == 1 && close(fd) == 0);
        CHECK(!is_sound());
        CHECK_OK(try_repair());
        CHECK_EQUAL(report.rows_dropped, 1);
        CHECK_EQUAL(report.features_dropped, 0);
        CHECK_EQUAL(count_survivors(), IMAGES);
        check_whole();
    }
}

/* A catalog that is older than checksums gets them. */
static void rows_without_checksums_get_them(void)
{
    char script[1200];

    if (system("python3 -c 'import sqlite3' 2>/dev/null") != 0)
        return;
    restore();
    snprintf(
        script, sizeof(script),
        "python3 -c 'import sqlite3; c = sqlite3.connect(\"%s\"); c.execute(\"DROP TABLE "
        "checksums\");"
        " c.commit(); c.close()'",
        inner("catalog.db"));
    CHECK(system(script) == 0);
    CHECK(is_sound());
    CHECK_OK(try_repair());
    CHECK_EQUAL(report.changes, 5); /* a line for each feature */
    CHECK_EQUAL(report.rows_dropped, 0);
    CHECK_OK(try_repair());
    CHECK_EQUAL(report.changes, 0);
    overwrite(inner("features/hash.npy"), PAGE, 0x55, 3);
    CHECK(!is_sound());
    CHECK_OK(try_repair());
    CHECK_EQUAL(report.rows_dropped, 1);
    check_whole();
}

static void short_files_lose_what_is_beyond_their_end(void)
{
    static const char *const names[] = {"features/embedding.npy",     "features/hash.npy",
                                        "features/color.offsets.npy", "features/color.lengths.npy",
                                        "features/color.bins.npy",    "features/color.counts.npy"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        for (int part = 0; part <= 4; part++) {
            off_t whole;

            restore();
            whole = size_of(inner(names[i]));
            CHECK(
                truncate(
                    inner(names[i]), part == 0 ? 100 : (whole - PAGE) * (part - 1) / 4 + PAGE) ==
                0);
            CHECK(!is_sound());
            CHECK_OK(try_repair());
            CHECK(part == 0 ? report.features_dropped == 1 : report.rows_dropped > 0);
            CHECK(part == 0 || report.features_dropped == 0);
            check_whole();
        }
}

static void files_that_are_gone_or_strange_take_their_feature_along(void)
{
    static const char *const names[] = {
        "features/embedding.npy", "features/hash.npy", "features/color.bins.npy"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        for (int way = 0; way < 3; way++) {
            restore();
            if (way == 0)
                CHECK(unlink(inner(names[i])) == 0);
            else if (way == 1)
                overwrite(inner(names[i]), 0, 0xa5, 512);
            else
                shell("cp '%s/features/embedding-pca4.npy' '%s'", pristine, inner(names[i]));
            CHECK(!is_sound());
            CHECK_OK(try_repair());
            CHECK_EQUAL(report.features_dropped, 1);
            check_whole();
        }
}

/* ---- derived ---- */

static void damaged_indexes_and_projectors_go(void)
{
    char command[1000];

    restore();
    snprintf(command, sizeof(command), "truncate -s -1 '%s'/indexes/*.ims", bed.catalog_path);
    CHECK(system(command) == 0);
    CHECK(!is_sound());
    CHECK_OK(try_repair());
    CHECK_EQUAL(report.derived_dropped, 1);
    CHECK_EQUAL(report.features_dropped, 0);
    check_whole();

    restore();
    overwrite(inner("features/embedding-pca4.pca.ims"), 200, 0x11, 16);
    CHECK(!is_sound());
    CHECK_OK(try_repair());
    CHECK_EQUAL(report.features_dropped, 1);
    CHECK(report.derived_dropped >= 2); /* the index of the projection, too */
    check_whole();
}

static void leftovers_are_removed(void)
{
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

    restore();
    bed_write_file(inner("catalog.db.new"), "x", 1);
    bed_write_file(inner("features/color-9.bins.npy"), "x", 1);
    bed_write_file(inner("indexes/a.l2.ims.tmp-abcdef"), "x", 1);
    CHECK(utimensat(AT_FDCWD, inner("indexes/a.l2.ims.tmp-abcdef"), old, 0) == 0);
    bed_write_file(inner("indexes/b.l2.ims.tmp-abcdef"), "being written", 13);
    CHECK(mkdir(inner("maps"), 0777) == 0);
    bed_write_file(inner("maps/a.umap-2.ims.tmp-abcdef"), "x", 1);
    CHECK(utimensat(AT_FDCWD, inner("maps/a.umap-2.ims.tmp-abcdef"), old, 0) == 0);
    bed_write_file(inner("features/notes.txt"), "mine", 4);
    CHECK(is_sound());
    CHECK_OK(try_repair());
    CHECK_EQUAL(report.leftovers, 4);
    CHECK(access(inner("indexes/b.l2.ims.tmp-abcdef"), F_OK) == 0);
    CHECK(access(inner("features/notes.txt"), F_OK) == 0);
    check_whole();
}

/* ---- the database ---- */

/* Paths and what they had before. */
struct known {
    int64_t id;
    char uuid[40];
};
static struct known before[IMAGES];

static int32_t note_known(const imgsim_file_info *file, void *user_data)
{
    struct known *known = user_data;

    known->id = file->id;
    snprintf(known->uuid, sizeof(known->uuid), "%s", file->uuid);
    return 0;
}

/* How many images still are who they were; none may have become another. */
static unsigned count_survivors(void)
{
    unsigned survivors = 0;

    bed.catalog = bed_open_catalog(bed.catalog_path, 0);
    for (unsigned i = 0; i < IMAGES; i++) {
        struct known now = {.id = -1};
        int64_t id;

        if (imgsim_catalog_find(bed.catalog, bed_path(&bed, fault_picture(i, EACH)), &id) !=
            IMGSIM_OK)
            continue;
        CHECK_OK(imgsim_catalog_get_file(bed.catalog, id, note_known, &now));
        CHECK_EQUAL(now.id, before[i].id);
        CHECK_TEXT(now.uuid, before[i].uuid);
        survivors++;
    }
    imgsim_catalog_free(bed.catalog);
    bed.catalog = NULL;
    return survivors;
}

static void damaged_pages_cost_their_rows_only(void)
{
    static const int fills[] = {0x00, 0xff, 0x5a};
    off_t pages;
    unsigned rebuilt = 0, refused = 0, kept = 0, tried = 0;

    restore();
    pages = size_of(inner("catalog.db")) / PAGE;
    CHECK(pages >= 15);
    for (off_t page = 0; page < pages; page++)
        for (size_t fill = 0; fill < 3; fill++) {
            imgsim_status status;

            restore();
            overwrite(inner("catalog.db"), page * PAGE, fills[fill], PAGE);
            (void)is_sound();
            status = try_repair();
            tried++;
            if (status == IMGSIM_ERROR_CORRUPT) {
                /* The table of files itself: then the catalog is left as it was. */
                refused++;
                CHECK_EQUAL(report.rebuilt, 0);
                continue;
            }
            CHECK_OK(status);
            rebuilt += report.rebuilt != 0;
            if (report.rebuilt != 0)
                CHECK(access(inner("catalog.db.damaged"), F_OK) == 0);
            kept += count_survivors();
            check_whole();
        }
    printf(
        "%u damaged pages: %u rebuilt, %u given up, %u of %u images kept\n", tried, rebuilt,
        refused, kept, (tried - refused) * IMAGES);
    CHECK(rebuilt >= tried / 3);
    CHECK(refused <= 6);
    CHECK(kept >= (tried - refused) * IMAGES * 8 / 10);
}

static void a_database_cut_short_is_salvaged_or_left(void)
{
    off_t whole;

    restore();
    whole = size_of(inner("catalog.db"));
    for (off_t size = 0; size < whole; size += whole / 9 + 1) {
        imgsim_status status;

        restore();
        CHECK(truncate(inner("catalog.db"), size) == 0);
        CHECK(!is_sound());
        if ((status = try_repair()) == IMGSIM_OK) {
            (void)count_survivors();
            check_whole();
        } else {
            CHECK_EQUAL(status, IMGSIM_ERROR_CORRUPT);
            CHECK_EQUAL(size_of(inner("catalog.db")), size);
        }
    }
}

/* Values that SQLite takes for sound and that do not agree. */
static void what_disagrees_is_made_to_agree(void)
{
    static const char *const changes[] = {
        "UPDATE meta SET value = 3 WHERE key = 'next_id'",
        "UPDATE meta SET value = value + 5 WHERE key = 'files_0'",
        "DELETE FROM bits WHERE number = -1",
        "UPDATE files SET uuid = NULL WHERE number < 9",
        "DELETE FROM meta",
        "UPDATE bits SET bits = x'ffffffffffffffffffffffffff' WHERE number >= 0",
        "UPDATE files SET state = 77 WHERE number = 4",
        "UPDATE files SET content_hash = x'00' WHERE number = 5",
        "UPDATE features SET stem = '../../x' WHERE name = 'hash'",
        "UPDATE features SET dimension = 77 WHERE name = 'hash'",
        "DROP INDEX files_id",
        "DELETE FROM files WHERE number = 3",
    };
    char script[2000];

    if (system("python3 -c 'import sqlite3' 2>/dev/null") != 0) {
        printf("not tested: disagreeing values, as python3 with sqlite3 is not there\n");
        return;
    }
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        restore();
        snprintf(
            script, sizeof(script),
            "import sqlite3\nc = "
            "sqlite3.connect(\"%s\")\nc.execute(\"%s\")\nc.commit()\nc.close()\n",
            inner("catalog.db"), changes[i]);
        bed_write_file(inner("script.py"), script, strlen(script));
        shell("python3 '%s'%s", inner("script.py"), "");
        if (try_repair() != IMGSIM_OK)
            fprintf(stderr, "%s: %s\n", changes[i], imgsim_last_error());
        CHECK(is_sound());
        check_whole();
    }
}

static void what_is_not_ours_is_not_touched(void)
{
    restore();
    bed_write_file(inner("catalog.db"), "SQLite format 3", 16);
    CHECK(unlink(inner("lock")) == 0);
    CHECK_FAILS(try_repair(), IMGSIM_ERROR_CORRUPT, "not a catalog");
    CHECK_EQUAL(size_of(inner("catalog.db")), 16);
    bed_remove_folder(bed.catalog_path);
    CHECK_FAILS(try_repair(), IMGSIM_ERROR_NOT_FOUND, "no catalog");
    CHECK(access(bed.catalog_path, F_OK) != 0);
    restore();
}

static void a_writer_keeps_repairs_away(void)
{
    imgsim_catalog *catalog;
    char lock[32];
    int fd;

    restore();
    catalog = bed_open_catalog(bed.catalog_path, 0);
    CHECK((fd = open(inner("lock"), O_RDWR)) >= 0);
    snprintf(lock, sizeof(lock), "flock -n %d", fd);
    CHECK(system(lock) == 0);
    CHECK_FAILS(try_repair(), IMGSIM_ERROR_BUSY, "");
    close(fd);
    CHECK_OK(try_repair());
    imgsim_catalog_free(catalog);
}

int main(void)
{
    use_memory_folder();
    CHECK_OK(imgsim_set_blas_threads(1));
    bed_open(&bed, EACH);
    bed_derive(&bed, 4);
    fault_read_rows(&bed, EACH, expected);
    for (unsigned i = 0; i < IMAGES; i++) {
        int64_t id = bed_find(&bed, bed.catalog, fault_picture(i, EACH));

        CHECK_OK(imgsim_catalog_get_file(bed.catalog, id, note_known, &before[i]));
        CHECK_OK(imgsim_catalog_add_label(bed.catalog, id, "dear"));
    }
    imgsim_catalog_free(bed.catalog);
    bed.catalog = NULL;
    snprintf(pristine, sizeof(pristine), "%s/pristine", bed.folder);
    shell("cp -a '%s' '%s'", bed.catalog_path, pristine);

    a_sound_catalog_is_left_alone();
    damaged_rows_are_dropped();
    rows_of_other_bytes_are_dropped();
    rows_without_checksums_get_them();
    short_files_lose_what_is_beyond_their_end();
    files_that_are_gone_or_strange_take_their_feature_along();
    damaged_indexes_and_projectors_go();
    leftovers_are_removed();
    damaged_pages_cost_their_rows_only();
    a_database_cut_short_is_salvaged_or_left();
    what_disagrees_is_made_to_agree();
    what_is_not_ours_is_not_touched();
    a_writer_keeps_repairs_away();
    bed_close(&bed);
    return 0;
}
