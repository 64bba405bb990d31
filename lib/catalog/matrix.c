/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix files: plain .npy with data from byte 4096, written row by row, mapped for reading. */
#include "catalog/catalog_internal.h"

#include "core/memory.h"
#include "core/npy.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Room is made ahead in steps of an eighth of the file within these bounds. */
#define STEP_MIN (UINT64_C(1) << 20)
#define STEP_MAX (UINT64_C(64) << 20)
/* The part of the header that a new row count changes: one sector, so that it is never half new. */
#define HEADER_CHANGES 256
/* Bytes copied at a time. */
#define COPY_SIZE ((size_t)1 << 20)
/* Rows that follow each other are written together up to so many bytes. */
#define PENDING_SIZE ((size_t)64 << 10)

size_t ims_set_files(int32_t row_type, uint32_t dimension, struct ims_set_file out_files[4])
{
    static const struct ims_set_file sparse[IMS_SET_FILES_MAX] = {
        [IMS_SPARSE_OFFSETS] = {".offsets.npy", "<u8", 0, 8, true},
        [IMS_SPARSE_LENGTHS] = {".lengths.npy", "<u4", 0, 4, true},
        [IMS_SPARSE_BINS] = {".bins.npy", "<u2", 0, 2, false},
        [IMS_SPARSE_COUNTS] = {".counts.npy", "<u4", 0, 4, false},
    };

    if (row_type == IMGSIM_ROW_UINT32) {
        memcpy(out_files, sparse, sizeof(sparse));
        return IMS_SET_FILES_MAX;
    }
    if (row_type == IMGSIM_ROW_BYTES) {
        memcpy(out_files, sparse, 2 * sizeof(sparse[0]));
        out_files[IMS_BYTES_DATA] = (struct ims_set_file){".bytes.npy", "|u1", 0, 1, false};
        return 3;
    }
    out_files[0] = (struct ims_set_file){
        .suffix = ".npy",
        .dtype = row_type == IMGSIM_ROW_BITS ? "|u1" : "<f4",
        .columns = row_type == IMGSIM_ROW_BITS ? dimension / 8 : dimension,
        .row_size = ims_row_size(row_type, dimension),
        .by_id = true,
    };
    return 1;
}

/* ---- the header ---- */

static imgsim_status
check_shape(const struct ims_npy *npy, const struct ims_set_file *shape, const char *path)
{
    uint32_t dimensions = shape->columns != 0 ? 2 : 1;
    uint64_t columns = shape->columns != 0 ? shape->columns : 1;

    if (strcmp(npy->dtype, shape->dtype) != 0)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "%s has values of type %s, the catalog expects %s", path,
            npy->dtype, shape->dtype);
    if (npy->dimensions != dimensions || npy->shape[1] != columns)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT,
            "%s has %u dimensions and %llu columns, the catalog expects %u and %llu", path,
            npy->dimensions, (unsigned long long)npy->shape[1], dimensions,
            (unsigned long long)columns);
    if (npy->data_offset != IMS_NPY_DATA)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "%s has data from byte %llu, expected %d", path,
            (unsigned long long)npy->data_offset, IMS_NPY_DATA);
    return IMGSIM_OK;
}

/*
 * Read and check the header and that the file has `rows` rows. How many rows the header names is
 * for other programs: the catalog is the truth. A writer may be changing that number just now, so a
 * header that cannot be read is read again.
 */
static imgsim_status check_file(
    int fd,
    const struct ims_set_file *shape,
    uint64_t rows,
    const char *path,
    uint64_t *out_size,
    uint64_t *out_header_rows)
{
    const struct timespec pause = {.tv_nsec = 1000000L};
    uint8_t header[IMS_NPY_DATA];
    imgsim_status status;
    struct ims_npy npy;
    struct stat info;

    if (fstat(fd, &info) != 0)
        return ims_fail_errno(errno, "cannot examine %s", path);
    if (!S_ISREG(info.st_mode))
        return ims_fail(IMGSIM_ERROR_CORRUPT, "%s is not a regular file", path);
    if (info.st_size < IMS_NPY_DATA ||
        (uint64_t)(info.st_size - IMS_NPY_DATA) / shape->row_size < rows)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT,
            "%s has %lld bytes, too few for the %llu rows that the catalog names", path,
            (long long)info.st_size, (unsigned long long)rows);
    for (int attempt = 0;; attempt++) {
        if ((status = ims_pread_all(fd, header, sizeof(header), 0, path)) != IMGSIM_OK)
            return status;
        if ((status = ims_npy_parse(header, sizeof(header), path, &npy)) == IMGSIM_OK)
            break;
        if (attempt == 2)
            return status;
        nanosleep(&pause, NULL);
    }
    *out_size = (uint64_t)info.st_size;
    *out_header_rows = npy.shape[0];
    return check_shape(&npy, shape, path);
}

/* ---- reading ---- */

imgsim_status ims_matrix_map(
    int fd,
    const struct ims_set_file *shape,
    uint64_t rows,
    const char *name,
    struct ims_mapping *out_mapping)
{
    uint64_t file_size, header_rows;
    imgsim_status status;
    size_t size;
    void *data;

    if ((status = check_file(fd, shape, rows, name, &file_size, &header_rows)) != IMGSIM_OK)
        return status;
    if (rows > SIZE_MAX || !ims_mul_size((size_t)rows, shape->row_size, &size) ||
        !ims_add_size(size, IMS_NPY_DATA, &size))
        return ims_fail(IMGSIM_ERROR_LIMIT, "%s does not fit into this process", name);
    if ((data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
        return ims_fail_errno(errno, "cannot map %s", name);
    out_mapping->data = data;
    out_mapping->size = size;
    return IMGSIM_OK;
}

void ims_mapping_clear(struct ims_mapping *mapping)
{
    if (mapping->data != NULL)
        munmap(mapping->data, mapping->size);
    mapping->data = NULL;
    mapping->size = 0;
}

/* ---- writing ---- */

static imgsim_status write_header(struct ims_matrix *matrix, uint64_t rows, size_t size)
{
    uint8_t header[IMS_NPY_DATA];
    imgsim_status status;

    if ((status = ims_npy_header(matrix->shape.dtype, rows, matrix->shape.columns, header)) !=
            IMGSIM_OK ||
        (status = ims_pwrite_all(matrix->fd, header, size, 0, matrix->path)) != IMGSIM_OK)
        return status;
    matrix->header_rows = rows;
    return IMGSIM_OK;
}

imgsim_status ims_matrix_create(struct ims_matrix *matrix, char *path)
{
    struct ims_set_file shape = matrix->shape;

    *matrix = (struct ims_matrix){.fd = -1, .path = path, .shape = shape, .touched = true};
    unlink(path); /* what an interrupted writer left: the catalog does not name it */
    if ((matrix->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) < 0)
        return ims_fail_errno(errno, "cannot create %s", path);
    matrix->size = IMS_NPY_DATA;
    return write_header(matrix, 0, IMS_NPY_DATA);
}

imgsim_status ims_matrix_open(struct ims_matrix *matrix, char *path, uint64_t rows)
{
    struct ims_set_file shape = matrix->shape;

    *matrix = (struct ims_matrix){.fd = -1, .path = path, .shape = shape};
    if ((matrix->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK)) < 0) {
        if (errno == ENOENT)
            return ims_fail(
                IMGSIM_ERROR_CORRUPT, "%s is missing; remove the feature and compute it again",
                path);
        return ims_fail_errno(errno, "cannot open %s", path);
    }
    return check_file(matrix->fd, &matrix->shape, rows, path, &matrix->size, &matrix->header_rows);
}

void ims_matrix_close(struct ims_matrix *matrix)
{
    if (matrix->path != NULL && matrix->fd >= 0)
        close(matrix->fd);
    ims_free(matrix->path);
    ims_free(matrix->pending);
    matrix->path = NULL;
    matrix->pending = NULL;
    matrix->pending_size = 0;
    matrix->fd = -1;
}

/*
 * Allocate blocks up to `size`, so that a full disk shows before rows are written. 0 or an errno
 * value.
 */
static int allocate(const struct ims_matrix *matrix, uint64_t size)
{
    if (fallocate(matrix->fd, 0, (off_t)matrix->size, (off_t)(size - matrix->size)) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR)
        return errno;
    return ftruncate(matrix->fd, (off_t)size) == 0 ? 0 : errno;
}

static imgsim_status reserve(struct ims_matrix *matrix, uint64_t rows)
{
    uint64_t needed, step, target;
    int error;

    if (__builtin_mul_overflow(rows, (uint64_t)matrix->shape.row_size, &needed) ||
        needed > INT64_MAX - IMS_NPY_DATA - STEP_MAX)
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "%s would grow beyond what a file can hold", matrix->path);
    needed += IMS_NPY_DATA;
    if (needed <= matrix->size)
        return IMGSIM_OK;

    step = matrix->size / 8;
    step = step < STEP_MIN ? STEP_MIN : step > STEP_MAX ? STEP_MAX : step;
    target = needed > matrix->size + step ? needed : matrix->size + step;
    if ((error = allocate(matrix, target)) != 0 && target != needed) {
        target = needed;
        error = allocate(matrix, target);
    }
    if (error != 0)
        return ims_fail_errno(error, "cannot enlarge %s", matrix->path);
    matrix->size = target;
    matrix->touched = true;
    return IMGSIM_OK;
}

/* Write the rows that wait. They go on waiting when that fails, so that no later sync passes over them. */
static imgsim_status write_pending(struct ims_matrix *matrix)
{
    imgsim_status status;

    if (matrix->pending_size == 0)
        return IMGSIM_OK;
    status = ims_pwrite_all(
        matrix->fd, matrix->pending, matrix->pending_size, matrix->pending_at, matrix->path);
    if (status == IMGSIM_OK)
        matrix->pending_size = 0;
    return status;
}

imgsim_status
ims_matrix_write(struct ims_matrix *matrix, uint64_t first, uint64_t count, const void *rows)
{
    size_t row_size = matrix->shape.row_size, size = (size_t)count * row_size;
    uint64_t at = IMS_NPY_DATA + first * row_size;
    imgsim_status status;

    if (count == 0)
        return IMGSIM_OK;
    if ((status = reserve(matrix, first + count)) != IMGSIM_OK)
        return status;
    matrix->touched = true;
    if ((at != matrix->pending_at + matrix->pending_size ||
         size > PENDING_SIZE - matrix->pending_size) &&
        (status = write_pending(matrix)) != IMGSIM_OK)
        return status;
    if (matrix->pending == NULL && size < PENDING_SIZE)
        matrix->pending = ims_alloc(PENDING_SIZE);
    if (matrix->pending == NULL || size >= PENDING_SIZE)
        return ims_pwrite_all(matrix->fd, rows, size, at, matrix->path);
    if (matrix->pending_size == 0)
        matrix->pending_at = at;
    memcpy(matrix->pending + matrix->pending_size, rows, size);
    matrix->pending_size += size;
    return IMGSIM_OK;
}

imgsim_status ims_matrix_read(struct ims_matrix *matrix, uint64_t first, uint64_t count, void *rows)
{
    size_t row_size = matrix->shape.row_size;
    imgsim_status status;

    if ((status = write_pending(matrix)) != IMGSIM_OK)
        return status;
    return ims_pread_all(
        matrix->fd, rows, (size_t)count * row_size, IMS_NPY_DATA + first * row_size, matrix->path);
}

/*
 * A set that gets no rows still has to cover the new ids. It is extended by a hole, far ahead, so
 * that this (and the sync it needs) is rare.
 */
static imgsim_status cover(struct ims_matrix *matrix, uint64_t rows)
{
    uint64_t size;

    if (__builtin_mul_overflow(rows, (uint64_t)matrix->shape.row_size, &size) ||
        size > INT64_MAX / 2)
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "%s would grow beyond what a file can hold", matrix->path);
    if (size + IMS_NPY_DATA <= matrix->size)
        return IMGSIM_OK;
    size += IMS_NPY_DATA + size / 4;
    if (ftruncate(matrix->fd, (off_t)size) != 0)
        return ims_fail_errno(errno, "cannot enlarge %s", matrix->path);
    matrix->size = size;
    matrix->touched = true;
    return IMGSIM_OK;
}

imgsim_status ims_matrix_sync(struct ims_matrix *matrix, uint64_t rows)
{
    imgsim_status status;
    int result;

    if ((status = write_pending(matrix)) != IMGSIM_OK ||
        (status = cover(matrix, rows)) != IMGSIM_OK)
        return status;
    if (matrix->header_rows != rows &&
        (status = write_header(matrix, rows, HEADER_CHANGES)) != IMGSIM_OK)
        return status;
    if (!matrix->touched)
        return IMGSIM_OK;
    while ((result = fdatasync(matrix->fd)) != 0 && errno == EINTR)
        continue;
    if (result != 0)
        return ims_fail_errno(errno, "cannot write %s", matrix->path);
    matrix->touched = false;
    return IMGSIM_OK;
}

void ims_matrix_trim(struct ims_matrix *matrix, uint64_t rows)
{
    uint64_t size = IMS_NPY_DATA + rows * matrix->shape.row_size;

    if (matrix->header_rows != rows && write_header(matrix, rows, HEADER_CHANGES) != IMGSIM_OK)
        return;
    if (size < matrix->size && ftruncate(matrix->fd, (off_t)size) == 0)
        matrix->size = size;
}

imgsim_status ims_matrix_copy(struct ims_matrix *matrix, struct ims_matrix *from, uint64_t rows)
{
    size_t row_size = matrix->shape.row_size;
    uint64_t step = COPY_SIZE / row_size != 0 ? COPY_SIZE / row_size : 1;
    imgsim_status status = IMGSIM_OK;
    uint8_t *buffer;

    assert(from->shape.row_size == row_size);
    if ((buffer = ims_alloc_array((size_t)step, row_size)) == NULL)
        return ims_fail_memory((size_t)step * row_size);
    for (uint64_t row = 0; row < rows && status == IMGSIM_OK; row += step) {
        uint64_t count = rows - row < step ? rows - row : step;

        if ((status = ims_matrix_read(from, row, count, buffer)) == IMGSIM_OK)
            status = ims_matrix_write(matrix, row, count, buffer);
    }
    ims_free(buffer);
    return status;
}
