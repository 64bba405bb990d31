/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite runs out of memory, once, at each of its allocations; and each of its steps is cut off, once, by an error of its own. The
 * call of the library says so, the catalog is sound, and the next run has everything.
 */
#include "faults/fault_bed.h"

#include <sqlite3.h>
#include <stdatomic.h>

#define EACH 2u
#define IMAGES (BED_FAMILIES * EACH)

/* ---- memory ---- */

static sqlite3_mem_methods plain;
static atomic_long allocations_left;
static atomic_long refused;

static int refuse(atomic_long *left)
{
    if (atomic_load(left) <= 0 || atomic_fetch_sub(left, 1) != 1)
        return 0;
    atomic_fetch_add(&refused, 1);
    return 1;
}

static void *failing_malloc(int size)
{
    return refuse(&allocations_left) ? NULL : plain.xMalloc(size);
}

static void *failing_realloc(void *memory, int size)
{
    return refuse(&allocations_left) ? NULL : plain.xRealloc(memory, size);
}

static void use_failing_memory(void)
{
    sqlite3_mem_methods failing;

    CHECK(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain) == SQLITE_OK);
    failing = plain;
    failing.xMalloc = failing_malloc;
    failing.xRealloc = failing_realloc;
    CHECK(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) == SQLITE_OK);
    /* Small allocations come from here, too, not from a pool. */
    CHECK(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK);
}

/* ---- files: a layer over the system's that fails the n-th call ---- */

static sqlite3_vfs layer, *below;
static atomic_long calls_left;
static int error_to_give;

struct layer_file {
    sqlite3_file base;
    sqlite3_file *real;
};

#define REAL(file) (((struct layer_file *)(file))->real)
#define FAIL_OR(error)       \
    if (refuse(&calls_left)) \
    return error_to_give != 0 ? error_to_give : (error)

static int layer_close(sqlite3_file *file)
{
    int code = REAL(file)->pMethods->xClose(REAL(file));

    sqlite3_free(REAL(file));
    return code;
}

static int layer_read(sqlite3_file *file, void *data, int size, sqlite3_int64 position)
{
    FAIL_OR(SQLITE_IOERR_READ);
    return REAL(file)->pMethods->xRead(REAL(file), data, size, position);
}

static int layer_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 position)
{
    FAIL_OR(SQLITE_IOERR_WRITE);
    return REAL(file)->pMethods->xWrite(REAL(file), data, size, position);
}

static int layer_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    FAIL_OR(SQLITE_IOERR_TRUNCATE);
    return REAL(file)->pMethods->xTruncate(REAL(file), size);
}

static int layer_sync(sqlite3_file *file, int flags)
{
    FAIL_OR(SQLITE_IOERR_FSYNC);
    return REAL(file)->pMethods->xSync(REAL(file), flags);
}

static int layer_size(sqlite3_file *file, sqlite3_int64 *size)
{
    FAIL_OR(SQLITE_IOERR_FSTAT);
    return REAL(file)->pMethods->xFileSize(REAL(file), size);
}

static int layer_lock(sqlite3_file *file, int lock)
{
    FAIL_OR(SQLITE_IOERR_LOCK);
    return REAL(file)->pMethods->xLock(REAL(file), lock);
}

static int layer_unlock(sqlite3_file *file, int lock)
{
    return REAL(file)->pMethods->xUnlock(REAL(file), lock);
}

static int layer_check(sqlite3_file *file, int *out)
{
    return REAL(file)->pMethods->xCheckReservedLock(REAL(file), out);
}

static int layer_control(sqlite3_file *file, int operation, void *argument)
{
    return REAL(file)->pMethods->xFileControl(REAL(file), operation, argument);
}

static int layer_sector(sqlite3_file *file)
{
    return REAL(file)->pMethods->xSectorSize(REAL(file));
}

static int layer_traits(sqlite3_file *file)
{
    return REAL(file)->pMethods->xDeviceCharacteristics(REAL(file));
}

static int
layer_shared_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
    FAIL_OR(SQLITE_IOERR_SHMMAP);
    return REAL(file)->pMethods->xShmMap(REAL(file), region, size, extend, out);
}

static int layer_shared_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return REAL(file)->pMethods->xShmLock(REAL(file), offset, count, flags);
}

static void layer_barrier(sqlite3_file *file)
{
    REAL(file)->pMethods->xShmBarrier(REAL(file));
}

static int layer_shared_unmap(sqlite3_file *file, int remove_it)
{
    return REAL(file)->pMethods->xShmUnmap(REAL(file), remove_it);
}

static const sqlite3_io_methods layer_methods = {
    .iVersion = 2,
    .xClose = layer_close,
    .xRead = layer_read,
    .xWrite = layer_write,
    .xTruncate = layer_truncate,
    .xSync = layer_sync,
    .xFileSize = layer_size,
    .xLock = layer_lock,
    .xUnlock = layer_unlock,
    .xCheckReservedLock = layer_check,
    .xFileControl = layer_control,
    .xSectorSize = layer_sector,
    .xDeviceCharacteristics = layer_traits,
    .xShmMap = layer_shared_map,
    .xShmLock = layer_shared_lock,
    .xShmBarrier = layer_barrier,
    .xShmUnmap = layer_shared_unmap};

static int
layer_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
    struct layer_file *opened = (struct layer_file *)(void *)file;
    int code;

    (void)vfs;
    opened->base.pMethods = NULL;
    FAIL_OR(SQLITE_CANTOPEN);
    if ((opened->real = sqlite3_malloc(below->szOsFile)) == NULL)
        return SQLITE_NOMEM;
    memset(opened->real, 0, (size_t)below->szOsFile);
    if ((code = below->xOpen(below, name, opened->real, flags, out_flags)) != SQLITE_OK) {
        if (opened->real->pMethods != NULL)
            opened->real->pMethods->xClose(opened->real);
        sqlite3_free(opened->real);
        return code;
    }
    opened->base.pMethods = &layer_methods;
    return SQLITE_OK;
}

static void use_layer(void)
{
    CHECK(sqlite3_initialize() == SQLITE_OK);
    below = sqlite3_vfs_find(NULL);
    layer = *below;
    layer.zName = "layer";
    layer.szOsFile = (int)sizeof(struct layer_file);
    layer.xOpen = layer_open;
    CHECK(sqlite3_vfs_register(&layer, 1) == SQLITE_OK);
}

/* ---- what is tried ---- */

static struct public_bed bed;

static imgsim_status write_all(void)
{
    imgsim_catalog_options options;
    imgsim_scan_report report;
    imgsim_status status;
    uint64_t counts[IMGSIM_FILE_STATE_COUNT];

    CHECK_OK(imgsim_catalog_options_init(&options, sizeof(options)));
    options.create = 1;
    if ((status = imgsim_catalog_open(bed.catalog_path, &options, &bed.catalog)) != IMGSIM_OK ||
        (status = bed_try_scan(&bed, 1, &report)) != IMGSIM_OK ||
        (status = imgsim_catalog_add_label(bed.catalog, 0, "x")) != IMGSIM_OK ||
        (status = imgsim_catalog_refresh(bed.catalog)) != IMGSIM_OK ||
        (status = imgsim_catalog_count_states(bed.catalog, counts)) != IMGSIM_OK)
        return status;
    CHECK_EQUAL(counts[IMGSIM_FILE_OK], IMAGES);
    return IMGSIM_OK;
}

/* Without faults: what there is is sound, and the next run has everything. */
static void check_after(void)
{
    imgsim_catalog_free(bed.catalog);
    bed.catalog = bed_open_catalog(bed.catalog_path, 1);
    bed_verify(bed.catalog);
    imgsim_catalog_free(bed.catalog);
    bed.catalog = NULL;
    CHECK_OK(write_all());
    bed_verify(bed.catalog);
    imgsim_catalog_free(bed.catalog);
    bed.catalog = NULL;
    bed_remove_folder(bed.catalog_path);
}

static void fail_each(const char *what, atomic_long *left, int error, imgsim_status expected)
{
    long n = 1, failures = 0, hits;
    imgsim_status status;

    do {
        atomic_store(&refused, 0);
        error_to_give = error;
        atomic_store(left, n);
        status = write_all();
        atomic_store(left, 0);
        hits = atomic_load(&refused);
        if (status != IMGSIM_OK && status != expected && status != IMGSIM_ERROR_IO)
            fprintf(
                stderr, "%s %ld: %s: %s\n", what, n, imgsim_status_name(status),
                imgsim_last_error());
        CHECK(status == IMGSIM_OK || status == expected || status == IMGSIM_ERROR_IO);
        CHECK(hits > 0 || status == IMGSIM_OK);
        failures += status != IMGSIM_OK;
        check_after();
        n += n < 100 ? 1 : n / 25;
    } while (hits > 0);
    CHECK(failures > 10);
    printf("%s: %ld failures\n", what, failures);
}

int main(void)
{
    use_memory_folder();
    CHECK_OK(imgsim_set_blas_threads(1));
    use_failing_memory();
    use_layer();
    bed_open(&bed, EACH);
    imgsim_catalog_free(bed.catalog);
    bed.catalog = NULL;
    bed_remove_folder(bed.catalog_path);

    fail_each("allocation", &allocations_left, 0, IMGSIM_ERROR_OUT_OF_MEMORY);
    fail_each("I/O error", &calls_left, 0, IMGSIM_ERROR_IO);
    fail_each("full disk", &calls_left, SQLITE_FULL, IMGSIM_ERROR_NO_SPACE);
    bed_close(&bed);
    return 0;
}
