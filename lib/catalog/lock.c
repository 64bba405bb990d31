/* SPDX-License-Identifier: Apache-2.0 */
/* One writer at a time: the lock file, and small changes under it. */
#include "catalog/catalog_internal.h"

#include "core/file.h"
#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 10

/* BUSY, naming the process that wrote itself into the lock file. */
static imgsim_status fail_busy(int fd)
{
    char text[128] = "";
    ssize_t size = pread(fd, text, sizeof(text) - 1, 0);
    char *purpose;
    long process;

    text[size > 0 ? size : 0] = '\0';
    process = strtol(text, &purpose, 10);
    purpose[strcspn(purpose, "\n")] = '\0';
    while (*purpose == ' ')
        purpose++;
    if (process <= 0)
        return ims_fail(IMGSIM_ERROR_BUSY, "the catalog is being written by another process");
    return ims_fail(
        IMGSIM_ERROR_BUSY, "the catalog is being written by process %ld (%s)", process,
        *purpose != '\0' ? purpose : "no purpose given");
}

/*
 * flock() belongs to the open file, not to the process: two handles of one process exclude each
 * other, too.
 */
static imgsim_status wait_for_lock(int fd, const char *path, uint32_t wait_ms)
{
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};

    for (uint32_t waited = 0; flock(fd, LOCK_EX | LOCK_NB) != 0;) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return ims_fail_errno(errno, "cannot lock %s", path);
        if (waited >= wait_ms)
            return fail_busy(fd);
        nanosleep(&pause, NULL);
        waited += POLL_MS;
    }
    return IMGSIM_OK;
}

imgsim_status ims_lock_take(const char *folder, const char *purpose, uint32_t wait_ms, int *out_fd)
{
    char *path = ims_join_path(folder, "lock");
    imgsim_status status;
    char text[96];
    int fd = -1;

    *out_fd = -1;
    if (path == NULL)
        return ims_fail_memory(strlen(folder));
    if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0) {
        status = ims_fail_errno(errno, "cannot open %s", path);
        goto done;
    }
    if ((status = wait_for_lock(fd, path, wait_ms)) != IMGSIM_OK)
        goto done;

    /* Only a hint for others: a full disk is no reason not to write. */
    snprintf(text, sizeof(text), "%ld %.60s\n", (long)getpid(), purpose);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, strlen(text), 0) < 0)
        ims_log(IMGSIM_LOG_DEBUG, "cannot write into %s", path);
    *out_fd = fd;
    fd = -1;

done:
    if (fd >= 0)
        close(fd);
    ims_free(path);
    return status;
}

void ims_lock_release(int fd)
{
    if (fd < 0)
        return;
    if (ftruncate(fd, 0) != 0)
        ims_log(IMGSIM_LOG_DEBUG, "cannot empty the catalog's lock file");
    close(fd);
}

/* ---- small changes ---- */

imgsim_status ims_change_begin(
    imgsim_catalog *catalog,
    const char *purpose,
    uint32_t wait_ms,
    struct ims_change *change)
{
    imgsim_status status;

    if (catalog->read_only)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "the catalog was opened read-only");
    if ((status = ims_lock_take(catalog->folder, purpose, wait_ms, &change->lock)) != IMGSIM_OK)
        return status;
    change->locked = true;
    if ((status = ims_db_open(catalog->database, IMS_DB_WRITE, &change->db)) != IMGSIM_OK ||
        (status = ims_db_exec(change->db, "PRAGMA journal_mode=WAL")) != IMGSIM_OK ||
        (status = ims_db_exec(change->db, "BEGIN IMMEDIATE")) != IMGSIM_OK)
        ims_change_end(change);
    return status;
}

imgsim_status ims_change_commit(struct ims_change *change)
{
    return ims_db_exec(change->db, "COMMIT");
}

void ims_change_end(struct ims_change *change)
{
    if (change->db != NULL) {
        for (int i = 0; i < IMS_SQL_COUNT; i++)
            sqlite3_reset(change->db->statements[i]);
        if (sqlite3_get_autocommit(change->db->handle) == 0)
            sqlite3_exec(change->db->handle, "ROLLBACK", NULL, NULL, NULL);
        ims_db_close(change->db);
        change->db = NULL;
    }
    if (change->locked)
        ims_lock_release(change->lock);
    change->locked = false;
}
