/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that fills up after so many bytes: NO_SPACE, what was committed stays, and with room again the next run goes on.
 *
 * This program's own write(), pwrite() and fallocate() stand before those of the C library for the library and for SQLite alike;
 * they refuse to write to regular files when the room is used up.
 */
#include "public_bed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define EACH 8u
#define IMAGES (BED_FAMILIES * EACH)

/* ---- the disk ---- */

/* Seen by the libraries, although all of our own code is compiled with hidden symbols. */
#pragma GCC visibility push(default)
ssize_t write(int fd, const void *data, size_t size);
ssize_t pwrite(int fd, const void *data, size_t size, off_t position);
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t position);
int fallocate(int fd, int mode, off_t position, off_t size);
#pragma GCC visibility pop

static atomic_llong room = INT64_MAX;
static atomic_llong refused;

/* Take room for `size` bytes in a file; how many may be written, or -1. */
static ssize_t take_room(int fd, size_t size)
{
    struct stat info;
    long long left;

    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return (ssize_t)size;
    left = atomic_fetch_sub(&room, (long long)size);
    if (left >= (long long)size)
        return (ssize_t)size;
    if (left > 0 && size > 1)
        return (ssize_t)left; /* as a disk does: a part, then the error */
    atomic_fetch_add(&refused, 1);
    errno = ENOSPC;
    return -1;
}

ssize_t write(int fd, const void *data, size_t size)
{
    ssize_t allowed = take_room(fd, size);

    return allowed < 0 ? -1 : (ssize_t)syscall(SYS_write, fd, data, (size_t)allowed);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t position)
{
    ssize_t allowed = take_room(fd, size);

    return allowed < 0 ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, data, (size_t)allowed, position);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t position)
{
    return pwrite(fd, data, size, position);
}

int fallocate(int fd, int mode, off_t position, off_t size)
{
    if (take_room(fd, (size_t)size) != (ssize_t)size) {
        errno = ENOSPC;
        return -1;
    }
    return (int)syscall(SYS_fallocate, fd, mode, position, size);
}

static void set_room(long long bytes)
{
    atomic_store(&refused, 0);
    atomic_store(&room, bytes);
}

static void set_endless_room(void)
{
    atomic_store(&room, INT64_MAX);
}

/* ---- what is tried ---- */

static struct public_bed bed;

/* A status that a full disk may give; refused writes must not be passed over in silence. */
static void check_status(imgsim_status status)
{
    if (status != IMGSIM_OK && status != IMGSIM_ERROR_NO_SPACE)
        fprintf(stderr, "%s: %s\n", imgsim_status_name(status), imgsim_last_error());
    CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_NO_SPACE);
    if (status == IMGSIM_ERROR_NO_SPACE)
        CHECK(atomic_load(&refused) > 0);
}

/* Temporary files of atomic writing that were left in a folder. */
static int leftovers;

static int count_leftovers(const char *path, const struct stat *info, int flag, struct FTW *ftw)
{
    (void)info;
    (void)flag;
    (void)ftw;
    leftovers += strstr(path, ".tmp-") != NULL;
    return 0;
}

static void check_no_leftovers(void)
{
    leftovers = 0;
    CHECK(nftw(bed.folder, count_leftovers, 16, FTW_PHYS) == 0);
    CHECK_EQUAL(leftovers, 0);
}

/* Scan with ever more room; the images stored so far never become fewer. */
static void a_scan_goes_on_when_there_is_room(void)
{
    uint64_t before = 0, failures = 0;
    imgsim_status status = IMGSIM_ERROR_NO_SPACE;

    for (long long bytes = 4000; status != IMGSIM_OK; bytes += 150000) {
        imgsim_scan_report report;

        set_room(bytes);
        status = bed_try_scan(&bed, 2, &report);
        set_endless_room();
        check_status(status);
        failures += status != IMGSIM_OK;
        imgsim_catalog_free(bed.catalog);
        bed.catalog = bed_open_catalog(bed.catalog_path, 0);
        bed_verify(bed.catalog);
        CHECK(imgsim_catalog_get_image_count(bed.catalog) >= before);
        CHECK_EQUAL(before + report.added, imgsim_catalog_get_image_count(bed.catalog));
        before = imgsim_catalog_get_image_count(bed.catalog);
        CHECK(failures < 200);
    }
    printf("scan: %llu times no space\n", (unsigned long long)failures);
    CHECK(failures >= 3);
    bed_scan(&bed);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), IMAGES);
}

/* ---- small changes and files: each is there as a whole, or not at all ---- */

static imgsim_index *kept;
static char out_path[800];

static imgsim_status save_index(void)
{
    return imgsim_index_save(kept, out_path);
}

static imgsim_status export_npy(void)
{
    return imgsim_catalog_export_npy(bed.catalog, "color", out_path);
}

static imgsim_status export_csv(void)
{
    return imgsim_catalog_export_csv(bed.catalog, out_path);
}

/* One answer for all pages: the time that a search took stands in them, so pages of two searches differ in size. */
static imgsim_query *query;
static imgsim_result *result;

static void ask(void)
{
    CHECK_OK(imgsim_query_new(bed.catalog, NULL, &query));
    CHECK_OK(imgsim_query_add_id(query, 3, 1));
    CHECK_OK(imgsim_query_search(query, &result));
}

static imgsim_status write_html(void)
{
    return imgsim_result_write_html(result, query, out_path);
}

static imgsim_status write_sheet(void)
{
    return imgsim_result_write_sheet(result, query, out_path);
}

static long file_size(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 ? (long)info.st_size : -1;
}

/* With too little room a file that was there stays as it was; nothing else is left behind. */
static void check_file(const char *name, imgsim_status (*writing)(void))
{
    long whole;

    snprintf(out_path, sizeof(out_path), "%s/%s", bed.folder, name);
    CHECK_OK(writing());
    whole = file_size(out_path);
    CHECK(whole > 0);
    CHECK(remove(out_path) == 0);
    set_room(0);
    CHECK_FAILS(writing(), IMGSIM_ERROR_NO_SPACE, "");
    set_endless_room();
    CHECK_EQUAL(file_size(out_path), -1);
    bed_write_file(out_path, "before", 6);
    for (long part = 1; part <= 3; part++) {
        set_room(whole * part / 4);
        CHECK_FAILS(writing(), IMGSIM_ERROR_NO_SPACE, "");
        set_endless_room();
        CHECK_EQUAL(file_size(out_path), 6);
    }
    check_no_leftovers();
    CHECK_OK(writing());
    CHECK_EQUAL(file_size(out_path), whole);
}

static imgsim_status change_label(void)
{
    imgsim_status status = imgsim_catalog_add_label(bed.catalog, 1, "new");

    return status != IMGSIM_OK ? status : imgsim_catalog_remove_label(bed.catalog, 1, "new");
}

static imgsim_status change_features(void)
{
    static float rows[IMAGES * 64];
    static int64_t ids[IMAGES];
    imgsim_feature_definition definition = {
        .struct_size = sizeof(definition),
        .name = "own",
        .fingerprint = "1",
        .dimension = 64,
        .row_type = IMGSIM_ROW_FLOAT32,
        .metric = IMGSIM_METRIC_L2,
    };

    for (int64_t i = 0; i < IMAGES; i++)
        ids[i] = i;
    rows[0] += 1; /* others than before, so that they are written anew */
    return imgsim_catalog_put_features(bed.catalog, &definition, ids, IMAGES, rows, sizeof(rows));
}

static imgsim_status derive(void)
{
    imgsim_projection_options projection;
    imgsim_index_options index;
    imgsim_status status;

    CHECK_OK(imgsim_projection_options_init(&projection, sizeof(projection)));
    projection.dimension = 8;
    CHECK_OK(imgsim_index_options_init(&index, sizeof(index)));
    index.kind = IMGSIM_INDEX_HNSW;
    index.metric = IMGSIM_METRIC_DEFAULT;
    if ((status = imgsim_derive_projection(bed.catalog, &projection, NULL)) != IMGSIM_OK)
        return status;
    return imgsim_derive_index(bed.catalog, NULL, &index, NULL);
}

/* A change of the catalog with ever more room: sound after each failure, done in the end. */
static void check_change(const char *name, imgsim_status (*change)(void))
{
    imgsim_status status = IMGSIM_ERROR_NO_SPACE;
    int failures = 0;

    for (long long bytes = 0; status != IMGSIM_OK; bytes += 20000) {
        set_room(bytes);
        status = change();
        set_endless_room();
        check_status(status);
        failures += status != IMGSIM_OK;
        bed_verify(bed.catalog);
        CHECK(failures < 400);
    }
    printf("%s: %d times no space\n", name, failures);
    CHECK(failures >= 1);
    check_no_leftovers();
}

int main(void)
{
    CHECK_OK(imgsim_set_blas_threads(1));
    bed_begin(&bed);
    for (unsigned i = 0; i < IMAGES; i++)
        bed_write_picture(&bed, i / EACH, i % EACH);
    bed.catalog = bed_open_catalog(bed.catalog_path, 1);
    a_scan_goes_on_when_there_is_room();

    CHECK_OK(imgsim_derive_index(bed.catalog, "embedding", NULL, &kept));
    check_file("index.ims", save_index);
    check_file("color.npy", export_npy);
    check_file("files.csv", export_csv);
    ask();
    check_file("page.html", write_html);
    check_file("sheet.png", write_sheet);
    imgsim_result_free(result);
    imgsim_query_free(query);
    imgsim_index_free(kept);

    check_change("label", change_label);
    check_change("features", change_features);
    check_change("derive", derive);
    bed_close(&bed);
    return 0;
}
