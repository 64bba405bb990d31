/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each system call that touches a file fails once: opening, writing, syncing, renaming, mapping, enlarging. Whatever it is, the call
 * of the library says so, the catalog is sound, and the next run has everything.
 *
 * This program's own functions stand before those of the C library for the library and for SQLite alike. They refuse the n-th call
 * of one kind on files below the test's folder, for n from 1 on, until nothing is refused any more.
 */
#include "faults/fault_bed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define EACH 3u
#define IMAGES (BED_FAMILIES * EACH)

enum kind {
    CALL_OPEN,
    CALL_READ,
    CALL_WRITE,
    CALL_SYNC,
    CALL_RENAME,
    CALL_MAP,
    CALL_ENLARGE,
    CALL_KINDS
};
static const char *const kind_names[CALL_KINDS] = {"open",   "read", "write",  "sync",
                                                   "rename", "map",  "enlarge"};

/* ---- the calls ---- */

#pragma GCC visibility push(default)
int open(const char *path, int flags, ...);
int open64(const char *path, int flags, ...);
int openat(int folder, const char *path, int flags, ...);
int openat64(int folder, const char *path, int flags, ...);
ssize_t read(int fd, void *data, size_t size);
ssize_t pread(int fd, void *data, size_t size, off_t position);
ssize_t pread64(int fd, void *data, size_t size, off64_t position);
ssize_t write(int fd, const void *data, size_t size);
ssize_t pwrite(int fd, const void *data, size_t size, off_t position);
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t position);
int fsync(int fd);
int fdatasync(int fd);
int rename(const char *from, const char *to);
void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t position);
void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t position);
int ftruncate(int fd, off_t size);
int ftruncate64(int fd, off64_t size);
int fallocate(int fd, int mode, off_t position, off_t size);
#pragma GCC visibility pop

static atomic_int kind_to_fail = -1;
static atomic_int error_to_give;
static atomic_long calls_left;
static atomic_long refused;
static char watched[600]; /* the test's folder */

static int is_watched(const char *path)
{
    return watched[0] != '\0' && path != NULL && strncmp(path, watched, strlen(watched)) == 0;
}

static int is_watched_file(int fd)
{
    char link[64], path[1200];
    ssize_t size;

    if (fd < 0 || atomic_load(&kind_to_fail) < 0)
        return 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    size = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof(path) - 1);
    if (size < 0)
        return 0;
    path[size] = '\0';
    return is_watched(path);
}

/* Whether this call is the one; then errno is set. */
static int refuse(enum kind kind)
{
    if (atomic_load(&kind_to_fail) != (int)kind || atomic_fetch_sub(&calls_left, 1) != 1)
        return 0;
    atomic_fetch_add(&refused, 1);
    errno = atomic_load(&error_to_give);
    return 1;
}

static int do_open(int folder, const char *path, int flags, mode_t mode)
{
    if (atomic_load(&kind_to_fail) == CALL_OPEN &&
        (is_watched(path) || (folder != AT_FDCWD && is_watched_file(folder))) && refuse(CALL_OPEN))
        return -1;
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define OPEN_BODY(folder)                                          \
    va_list arguments;                                             \
    mode_t mode;                                                   \
                                                                   \
    va_start(arguments, flags);                                    \
    mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0; \
    va_end(arguments);                                             \
    return do_open(folder, path, flags, mode)

int open(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}

int open64(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}

int openat(int folder, const char *path, int flags, ...)
{
    OPEN_BODY(folder);
}

int openat64(int folder, const char *path, int flags, ...)
{
    OPEN_BODY(folder);
}

ssize_t read(int fd, void *data, size_t size)
{
    return is_watched_file(fd) && refuse(CALL_READ) ? -1
                                                    : (ssize_t)syscall(SYS_read, fd, data, size);
}

ssize_t pread(int fd, void *data, size_t size, off_t position)
{
    if (is_watched_file(fd) && refuse(CALL_READ))
        return -1;
    return (ssize_t)syscall(SYS_pread64, fd, data, size, position);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t position)
{
    return pread(fd, data, size, position);
}

ssize_t write(int fd, const void *data, size_t size)
{
    return is_watched_file(fd) && refuse(CALL_WRITE) ? -1
                                                     : (ssize_t)syscall(SYS_write, fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t position)
{
    if (is_watched_file(fd) && refuse(CALL_WRITE))
        return -1;
    return (ssize_t)syscall(SYS_pwrite64, fd, data, size, position);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t position)
{
    return pwrite(fd, data, size, position);
}

int fsync(int fd)
{
    return is_watched_file(fd) && refuse(CALL_SYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return is_watched_file(fd) && refuse(CALL_SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int rename(const char *from, const char *to)
{
    if (is_watched(to) && refuse(CALL_RENAME))
        return -1;
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t position)
{
    if ((flags & MAP_ANONYMOUS) == 0 && is_watched_file(fd) && refuse(CALL_MAP))
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, position);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t position)
{
    return mmap(at, size, protection, flags, fd, position);
}

int ftruncate(int fd, off_t size)
{
    return is_watched_file(fd) && refuse(CALL_ENLARGE) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t position, off_t size)
{
    if (is_watched_file(fd) && refuse(CALL_ENLARGE))
        return -1;
    return (int)syscall(SYS_fallocate, fd, mode, position, size);
}

/* ---- what is tried ---- */

static struct public_bed bed;
static float expected[IMAGES][BED_VALUES];

/* All that writes: a new catalog, a scan, labels, a projection, an index, exports. */
static imgsim_status write_all(void)
{
    imgsim_catalog_options catalog;
    imgsim_projection_options projection;
    imgsim_index_options index;
    imgsim_scan_report report;
    imgsim_status status;
    char path[800];

    CHECK_OK(imgsim_catalog_options_init(&catalog, sizeof(catalog)));
    CHECK_OK(imgsim_projection_options_init(&projection, sizeof(projection)));
    CHECK_OK(imgsim_index_options_init(&index, sizeof(index)));
    catalog.create = 1;
    projection.dimension = 4;
    index.kind = IMGSIM_INDEX_HNSW;
    index.metric = IMGSIM_METRIC_DEFAULT;
    index.threads = 1;
    snprintf(path, sizeof(path), "%s/table.csv", bed.folder);
    if ((status = imgsim_catalog_open(bed.catalog_path, &catalog, &bed.catalog)) != IMGSIM_OK ||
        (status = bed_try_scan(&bed, 1, &report)) != IMGSIM_OK ||
        (status = imgsim_catalog_add_label(bed.catalog, 0, "x")) != IMGSIM_OK ||
        (status = imgsim_derive_projection(bed.catalog, &projection, NULL)) != IMGSIM_OK ||
        (status = imgsim_derive_index(bed.catalog, NULL, &index, NULL)) != IMGSIM_OK ||
        (status = imgsim_catalog_export_csv(bed.catalog, path)) != IMGSIM_OK)
        return status;
    return IMGSIM_OK;
}

static void check_status(enum kind kind, int error, long n, imgsim_status status)
{
    int right =
        status == IMGSIM_OK || status == IMGSIM_ERROR_IO ||
        (status == IMGSIM_ERROR_NO_SPACE && error == ENOSPC) ||
        (status == IMGSIM_ERROR_OUT_OF_MEMORY && error == ENOMEM) ||
        /* SQLite's view of a file that it cannot open or read. */
        (status == IMGSIM_ERROR_CORRUPT && (kind == CALL_READ || kind == CALL_OPEN)) ||
        /* Fewer images than the projection has components, because some could not be read. */
        status == IMGSIM_ERROR_NOT_READY || status == IMGSIM_ERROR_NOT_FOUND ||
        status == IMGSIM_ERROR_UNSUPPORTED;

    if (!right)
        fprintf(
            stderr, "%s %ld, %s: %s: %s\n", kind_names[kind], n, strerror(error),
            imgsim_status_name(status), imgsim_last_error());
    CHECK(right);
    if (status != IMGSIM_OK)
        CHECK(imgsim_last_error()[0] != '\0');
}

/* From the start, as write_all() opens the catalog itself. */
static void write_again(void)
{
    CHECK_OK(imgsim_derive_verify(bed.catalog, bed_print_problem, NULL));
    imgsim_catalog_free(bed.catalog);
    bed.catalog = NULL;
    CHECK_OK(write_all());
}

static void fail_each(enum kind kind, int error)
{
    long n = 1, failures = 0, hits;
    imgsim_status status;

    do {
        atomic_store(&refused, 0);
        atomic_store(&calls_left, n);
        atomic_store(&error_to_give, error);
        atomic_store(&kind_to_fail, (int)kind);
        status = write_all();
        atomic_store(&kind_to_fail, -1);
        hits = atomic_load(&refused);
        check_status(kind, error, n, status);
        if (hits == 0)
            CHECK_OK(status);
        failures += status != IMGSIM_OK;
        fault_check_again(&bed, EACH, expected, write_again);
        n += n < 60 ? 1 : n / 30;
    } while (hits > 0);
    printf("%s, %s: %ld calls failed in turn\n", kind_names[kind], strerror(error), failures);
}

int main(void)
{
    use_memory_folder();
    CHECK_OK(imgsim_set_blas_threads(1));
    bed_open(&bed, EACH);
    fault_read_rows(&bed, EACH, expected);
    imgsim_catalog_free(bed.catalog);
    bed.catalog = NULL;
    bed_remove_folder(bed.catalog_path);
    snprintf(watched, sizeof(watched), "%s", bed.folder);

    fail_each(CALL_WRITE, EIO);
    fail_each(CALL_WRITE, ENOSPC);
    fail_each(CALL_SYNC, EIO);
    fail_each(CALL_RENAME, EIO);
    fail_each(CALL_ENLARGE, ENOSPC);
    fail_each(CALL_MAP, ENOMEM);
    fail_each(CALL_READ, EIO);
    fail_each(CALL_OPEN, EIO);
    fail_each(CALL_OPEN, EMFILE);
    bed_close(&bed);
    return 0;
}
