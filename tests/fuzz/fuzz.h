/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share. */
#ifndef IMS_TESTS_FUZZ_H
#define IMS_TESTS_FUZZ_H

#include "check.h"

#include "core/hash.h"

#include <ftw.h>
#include <sys/mman.h>
#include <unistd.h>

/* Try one input; what is wrong shows in a crash, a failed check or a sanitizer's report. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file in memory with these bytes, and a path under which the library can open it. Zero it before use. */
struct fuzz_file {
    int fd;
    char path[64];
};

static inline void fuzz_file_open(struct fuzz_file *file, const void *data, size_t size)
{
    file->fd = memfd_create("fuzz", MFD_CLOEXEC);
    CHECK(file->fd >= 0);
    CHECK(pwrite(file->fd, data, size, 0) == (ssize_t)size);
    snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
}

static inline void fuzz_file_close(struct fuzz_file *file)
{
    CHECK(close(file->fd) == 0);
}

static inline uint64_t fuzz_number(const uint8_t *bytes, int size)
{
    uint64_t value = 0;

    for (int i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static inline void fuzz_put_number(uint8_t *bytes, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

/*
 * The bytes of an .ims file with checksums that fit, so that what lies behind them is reached; the layout is that of
 * lib/core/sections.c. Release with free().
 */
static inline uint8_t *fuzz_mend_sums(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    size_t header = 32;

    CHECK(copy != NULL);
    if (size != 0)
        memcpy(copy, data, size);
    if (size < header)
        return copy;
    for (uint64_t left = fuzz_number(copy + 20, 4) % 33; left > 0 && header + 32 <= size; left--) {
        uint64_t offset = fuzz_number(copy + header + 8, 8);
        uint64_t length = fuzz_number(copy + header + 16, 8);

        if (offset <= size && length <= size - offset)
            fuzz_put_number(copy + header + 24, ims_hash64(copy + offset, (size_t)length));
        header += 32;
    }
    fuzz_put_number(copy + 24, 0);
    fuzz_put_number(copy + 24, ims_hash64(copy, header));
    return copy;
}

/* A text from bytes: ends at the first NUL. Release with free(). */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    CHECK(text != NULL);
    if (size != 0)
        memcpy(text, data, size);
    text[size] = '\0';
    return text;
}

static inline int
fuzz_remove(const char *path, const struct stat *info, int flag, struct FTW *position)
{
    (void)info;
    (void)flag;
    (void)position;
    return remove(path);
}

static inline void fuzz_remove_folder(const char *path)
{
    (void)nftw(path, fuzz_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* A refusal has a text of one line. */
static inline void fuzz_check_refused(imgsim_status status)
{
    const char *text = imgsim_last_error();

    CHECK(status < 0 && status >= IMGSIM_ERROR_INTERNAL);
    CHECK(status != IMGSIM_ERROR_INTERNAL);
    CHECK(text[0] != '\0');
    CHECK(strchr(text, '\n') == NULL);
}

#endif
