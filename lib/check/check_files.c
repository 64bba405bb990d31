/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the images' files are still what was scanned; nothing is changed. */
#include "check/check.h"

#include "catalog/catalog.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes read at a time. */
#define PIECE ((size_t)1 << 20)

struct files {
    struct ims_check_all *check;
    struct ims_hasher *hasher;
    uint8_t *piece;
    imgsim_status status; /* of a visit */
};

static void tell(struct files *files, const imgsim_file_info *file, const char *what)
{
    const imgsim_check_options *options = &files->check->options;
    char line[IMS_ERROR_TEXT_SIZE];

    snprintf(line, sizeof(line), "%.800s: %s", file->path, what);
    for (size_t i = 0; line[i] != '\0'; i++)
        if (line[i] == '\n' || line[i] == '\r')
            line[i] = ' ';
    if (options->callback != NULL)
        options->callback(IMGSIM_CHECK_FILE, line, options->user_data);
}

static void tell_error(struct files *files, const imgsim_file_info *file, int error)
{
    char what[200];

    if (error == ENOENT || error == ENOTDIR) {
        files->check->report.files_gone++;
        tell(files, file, "is gone");
        return;
    }
    files->check->report.files_unreadable++;
    snprintf(what, sizeof(what), "cannot be read: %s", strerror(error));
    tell(files, file, what);
}

/* Hash the content; 0 or an errno value. CANCELLED in files->status when the host says so. */
static int hash_file(struct files *files, int fd, char out[33])
{
    uint8_t hash[16];

    for (;;) {
        ssize_t size = read(fd, files->piece, PIECE);

        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return errno;
        if (size == 0)
            break;
        ims_hasher_add(files->hasher, files->piece, (size_t)size);
        atomic_fetch_add_explicit(&files->check->meter.bytes, (uint64_t)size, memory_order_relaxed);
        if ((files->status = ims_meter_tick(&files->check->meter, false)) != IMGSIM_OK)
            break;
    }
    ims_hasher_take(files->hasher, hash);
    ims_hex(hash, sizeof(hash), out);
    return 0;
}

/* A file of the size and time that the catalog knows, or at least of the size. */
static void compare_content(struct files *files, const imgsim_file_info *file, bool same_time)
{
    int fd = ims_open_path(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error;
    char hash[33] = "";

    if (fd < 0) {
        tell_error(files, file, errno);
        return;
    }
    error = hash_file(files, fd, hash);
    close(fd);
    if (files->status != IMGSIM_OK)
        return;
    if (error != 0) {
        tell_error(files, file, error);
    } else if (strcmp(hash, file->content_hash) != 0) {
        if (same_time) {
            files->check->report.files_damaged++;
            tell(files, file, "has other content than was scanned, at the same size and time");
        } else {
            files->check->report.files_changed++;
            tell(files, file, "has changed since it was scanned");
        }
    }
}

static int32_t compare_file(const imgsim_file_info *file, void *user_data)
{
    struct files *files = user_data;
    struct ims_check_all *check = files->check;
    struct stat info;
    bool same_size, same_time;

    check->report.files++;
    if (ims_stat_path(file->path, 0, &info) != 0) {
        tell_error(files, file, errno);
        return 0;
    }
    same_size = S_ISREG(info.st_mode) && (uint64_t)info.st_size == file->bytes;
    same_time = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec == file->mtime_ns;
    if (!same_size || (!same_time && (check->options.files != IMGSIM_CHECK_FILES_CONTENT ||
                                      file->content_hash[0] == '\0'))) {
        check->report.files_changed++;
        tell(files, file, "has changed since it was scanned");
    } else if (
        check->options.files == IMGSIM_CHECK_FILES_CONTENT && file->content_hash[0] != '\0') {
        compare_content(files, file, same_time);
    }
    return 0;
}

static imgsim_status compare_all(struct files *files)
{
    struct ims_check_all *check = files->check;
    const struct ims_bitset *live = ims_catalog_live(check->catalog);
    imgsim_status status = IMGSIM_OK;

    ims_meter_phase(&check->meter, "files", imgsim_catalog_get_image_count(check->catalog));
    for (uint64_t id = 0; id < live->count && status == IMGSIM_OK; id++) {
        if (!ims_bitset_test(live, (int64_t)id))
            continue;
        /* One short read each, so that a check of hours keeps no old state of the database alive. */
        status = imgsim_catalog_get_file(check->catalog, (int64_t)id, compare_file, files);
        if (status == IMGSIM_ERROR_NOT_FOUND) /* no longer live */
            status = IMGSIM_OK;
        if (status == IMGSIM_OK)
            status = files->status;
        atomic_fetch_add_explicit(&check->meter.done, 1, memory_order_relaxed);
        if (status == IMGSIM_OK)
            status = ims_meter_tick(&check->meter, false);
    }
    if (status == IMGSIM_OK)
        status = ims_meter_tick(&check->meter, true);
    return status;
}

imgsim_status ims_check_image_files(struct ims_check_all *check)
{
    struct files files = {.check = check};
    imgsim_status status;

    if ((files.hasher = ims_hasher_new()) == NULL || (files.piece = ims_alloc(PIECE)) == NULL)
        status = ims_fail_memory(PIECE);
    else
        status = compare_all(&files);
    ims_hasher_free(files.hasher);
    ims_free(files.piece);
    return status;
}
