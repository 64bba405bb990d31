/* SPDX-License-Identifier: Apache-2.0 */
/* Files: mapped for reading, replaced atomically, and folders. */
#include "core/file.h"

#include "core/hash.h"
#include "core/memory.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE ((size_t)256 << 10)

/* ---- mapped for reading ---- */

/* Check what was opened and map it. */
static imgsim_status map_descriptor(struct ims_map *map, int fd, const char *path)
{
    struct stat info;
    void *data;

    if (fstat(fd, &info) != 0)
        return ims_fail_errno(errno, "cannot examine %s", path);
    if (!S_ISREG(info.st_mode))
        return ims_fail(
            IMGSIM_ERROR_IO, "%s is %s, expected a file", path,
            S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
    if ((uintmax_t)info.st_size > SIZE_MAX)
        return ims_fail(IMGSIM_ERROR_LIMIT, "%s does not fit into this process", path);
    if (info.st_size == 0)
        return IMGSIM_OK;
    data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return ims_fail_errno(errno, "cannot map %s", path);
    map->data = data;
    map->size = (size_t)info.st_size;
    return IMGSIM_OK;
}

imgsim_status ims_map_open(struct ims_map *map, const char *path)
{
    imgsim_status status;
    int fd;

    map->data = NULL;
    map->size = 0;
    /* O_NONBLOCK: opening a pipe must not wait for its other end. */
    if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
        return ims_fail_errno(errno, "cannot open %s", path);
    status = map_descriptor(map, fd, path);
    close(fd);
    return status;
}

void ims_map_close(struct ims_map *map)
{
    if (map->data != NULL)
        munmap((void *)(uintptr_t)map->data, map->size);
    map->data = NULL;
    map->size = 0;
}

/* ---- whole reads and writes ---- */

imgsim_status
ims_pwrite_all(int fd, const void *data, size_t size, uint64_t position, const char *path)
{
    const uint8_t *bytes = data;

    while (size > 0) {
        ssize_t written = pwrite(fd, bytes, size, (off_t)position);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return ims_fail_errno(written < 0 ? errno : EIO, "cannot write %s", path);
        bytes += written;
        size -= (size_t)written;
        position += (uint64_t)written;
    }
    return IMGSIM_OK;
}

imgsim_status ims_pread_all(int fd, void *data, size_t size, uint64_t position, const char *path)
{
    uint8_t *bytes = data;

    while (size > 0) {
        ssize_t got = pread(fd, bytes, size, (off_t)position);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ims_fail_errno(errno, "cannot read %s", path);
        if (got == 0)
            return ims_fail(
                IMGSIM_ERROR_CORRUPT, "%s ends early, at byte %llu", path,
                (unsigned long long)position);
        bytes += got;
        size -= (size_t)got;
        position += (uint64_t)got;
    }
    return IMGSIM_OK;
}

/* ---- replaced atomically ---- */

/*
 * Create "PATH.tmp-XXXXXX" exclusively. Not mkstemp(), which makes files private: open() lets the
 * kernel apply the umask, which cannot be asked for without changing it for all threads.
 */
static int create_beside(const char *path, char *temporary, size_t size)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        uint8_t noise[3];
        char suffix[7];
        int fd;

        if (getrandom(noise, sizeof(noise), 0) != (ssize_t)sizeof(noise))
            continue;
        ims_hex(noise, sizeof(noise), suffix);
        snprintf(temporary, size, "%s.tmp-%s", path, suffix);
        fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || (errno != EEXIST && errno != EINTR))
            return fd;
    }
    errno = EEXIST;
    return -1;
}

imgsim_status ims_writer_open(struct ims_writer *writer, const char *path)
{
    size_t size = strlen(path) + sizeof(".tmp-XXXXXX");
    imgsim_status status = IMGSIM_OK;

    memset(writer, 0, sizeof(*writer));
    writer->fd = -1;
    if ((writer->path = ims_strdup(path)) == NULL ||
        (writer->temporary = ims_alloc(size)) == NULL ||
        (writer->buffer = ims_alloc(BUFFER_SIZE)) == NULL)
        status = ims_fail_memory(BUFFER_SIZE);
    else if ((writer->fd = create_beside(path, writer->temporary, size)) < 0)
        status = ims_fail_errno(errno, "cannot create %s", writer->temporary);
    writer->open = status == IMGSIM_OK;
    if (status != IMGSIM_OK)
        ims_writer_close(writer);
    return status;
}

static imgsim_status flush_buffer(struct ims_writer *writer)
{
    size_t used = writer->used;

    writer->used = 0;
    return ims_pwrite_all(
        writer->fd, writer->buffer, used, writer->position - used, writer->temporary);
}

imgsim_status ims_writer_write(struct ims_writer *writer, const void *data, size_t size)
{
    imgsim_status status;

    assert(writer->open);
    if (size == 0)
        return IMGSIM_OK;
    if (writer->used + size > BUFFER_SIZE && (status = flush_buffer(writer)) != IMGSIM_OK)
        return status;
    if (size > BUFFER_SIZE) {
        if ((status = ims_pwrite_all(
                 writer->fd, data, size, writer->position, writer->temporary)) != IMGSIM_OK)
            return status;
    } else {
        memcpy(writer->buffer + writer->used, data, size);
        writer->used += size;
    }
    writer->position += size;
    return IMGSIM_OK;
}

imgsim_status
ims_writer_patch(struct ims_writer *writer, uint64_t position, const void *data, size_t size)
{
    imgsim_status status;

    assert(writer->open && position + size <= writer->position);
    if ((status = flush_buffer(writer)) != IMGSIM_OK)
        return status;
    return ims_pwrite_all(writer->fd, data, size, position, writer->temporary);
}

/* Sync the folder that holds `path`, so that a rename in it lasts. */
static imgsim_status sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    imgsim_status status;
    char *folder;

    if (slash == NULL)
        return ims_fsync_folder(".");
    if (slash == path)
        return ims_fsync_folder("/");
    if ((folder = ims_strdup(path)) == NULL)
        return ims_fail_memory(strlen(path));
    folder[slash - path] = '\0';
    status = ims_fsync_folder(folder);
    ims_free(folder);
    return status;
}

imgsim_status ims_writer_commit(struct ims_writer *writer)
{
    imgsim_status status;
    int result;

    assert(writer->open);
    if ((status = flush_buffer(writer)) != IMGSIM_OK)
        goto done;
    while ((result = fsync(writer->fd)) != 0 && errno == EINTR)
        continue;
    if (result != 0) {
        status = ims_fail_errno(errno, "cannot write %s", writer->path);
        goto done;
    }
    result = close(writer->fd);
    writer->fd = -1;
    if (result != 0 && errno != EINTR) {
        status = ims_fail_errno(errno, "cannot write %s", writer->path);
        goto done;
    }
    if (rename(writer->temporary, writer->path) != 0) {
        status = ims_fail_errno(errno, "cannot replace %s", writer->path);
        goto done;
    }
    writer->open = false; /* the temporary name is gone */
    status = sync_parent(writer->path);

done:
    ims_writer_close(writer);
    return status;
}

void ims_writer_close(struct ims_writer *writer)
{
    if (writer->temporary == NULL && writer->path == NULL) /* zeroed: fd 0 is not ours */
        return;
    if (writer->fd >= 0)
        close(writer->fd);
    if (writer->open)
        unlink(writer->temporary);
    ims_free(writer->path);
    ims_free(writer->temporary);
    ims_free(writer->buffer);
    memset(writer, 0, sizeof(*writer));
    writer->fd = -1;
}

/* ---- folders and paths ---- */

imgsim_status ims_fsync_folder(const char *path)
{
    imgsim_status status = IMGSIM_OK;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return ims_fail_errno(errno, "cannot open folder %s", path);
    /* EINVAL: a file system that has nothing to sync in a folder. */
    if (fsync(fd) != 0 && errno != EINVAL)
        status = ims_fail_errno(errno, "cannot sync folder %s", path);
    close(fd);
    return status;
}

/* Make one folder, or find it there. */
static imgsim_status make_one(const char *path)
{
    struct stat info;
    int error;

    if (mkdir(path, 0777) == 0)
        return IMGSIM_OK;
    error = errno;
    /* A parent may be there and still refuse mkdir: on a read-only medium for instance. */
    if (stat(path, &info) != 0)
        return ims_fail_errno(error, "cannot make folder %s", path);
    if (!S_ISDIR(info.st_mode))
        return ims_fail(IMGSIM_ERROR_IO, "%s is not a folder", path);
    return IMGSIM_OK;
}

imgsim_status ims_make_folder(const char *path)
{
    imgsim_status status = IMGSIM_OK;
    char *part;

    if ((part = ims_strdup(path)) == NULL)
        return ims_fail_memory(strlen(path));
    for (size_t i = 1; part[0] != '\0' && part[i] != '\0' && status == IMGSIM_OK; i++) {
        if (part[i] != '/' || part[i - 1] == '/')
            continue;
        part[i] = '\0';
        status = make_one(part);
        part[i] = '/';
    }
    if (status == IMGSIM_OK)
        status = make_one(path);
    ims_free(part);
    return status;
}

/*
 * Drop the last name of an absolute path that is being put together. The parent of a link to a
 * folder is the parent of what the link names, so that one is resolved.
 */
static void drop_last(char *path, size_t *length)
{
    struct stat info;

    path[*length] = '\0';
    if (*length > 0 && lstat(path, &info) == 0 && S_ISLNK(info.st_mode)) {
        char *real = realpath(path, NULL);
        size_t real_length = real != NULL ? strlen(real) : SIZE_MAX;

        /* A path is never longer than PATH_MAX, and there is room for one. */
        if (real_length < PATH_MAX) {
            memcpy(path, real, real_length + 1);
            *length = real_length;
        }
        free(real);
    }
    while (*length > 0 && path[*length - 1] != '/')
        (*length)--;
    if (*length > 0)
        (*length)--;
}

/*
 * Append the names of `path` to `out`, which begins as "" or an absolute path without final slash.
 */
static void append_names(char *out, size_t *length, const char *path)
{
    while (*path != '\0') {
        size_t size = strcspn(path, "/");

        if (size == 2 && path[0] == '.' && path[1] == '.') {
            drop_last(out, length);
        } else if (size > 0 && !(size == 1 && path[0] == '.')) {
            out[(*length)++] = '/';
            memcpy(out + *length, path, size);
            *length += size;
        }
        path += size;
        while (*path == '/')
            path++;
    }
}

imgsim_status ims_absolute_path(const char *path, char **out_path)
{
    char *here = NULL;
    size_t size, length = 0;
    char *out;

    *out_path = NULL;
    if (*path == '\0')
        return ims_fail(IMGSIM_ERROR_NOT_FOUND, "the path is empty");
    if (*path != '/' && (here = getcwd(NULL, 0)) == NULL)
        return ims_fail_errno(errno, "cannot find out the working folder");

    size = (here != NULL ? strlen(here) : 0) + strlen(path) + PATH_MAX + 3;
    if ((out = ims_alloc(size)) == NULL) {
        free(here);
        return ims_fail_memory(size);
    }
    if (here != NULL)
        append_names(out, &length, here);
    append_names(out, &length, path);
    if (length == 0)
        out[length++] = '/';
    out[length] = '\0';
    free(here);
    *out_path = out;
    return IMGSIM_OK;
}

char *ims_join_path(const char *folder, const char *name)
{
    size_t folder_length = strlen(folder);
    size_t size = folder_length + strlen(name) + 2;
    char *path = ims_alloc(size);

    if (path != NULL) {
        const char *slash = folder_length > 0 && folder[folder_length - 1] == '/' ? "" : "/";

        snprintf(path, size, "%s%s%s", folder, slash, name);
    }
    return path;
}
