/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and examining by paths of any length: the system takes PATH_MAX bytes at a time. */
#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Enter as many whole folders of *path as fit into one call, from `folder`, and move *path behind them. The new folder, or -1;
 * `folder` is closed unless it is AT_FDCWD.
 */
static int enter_some(int folder, const char **path)
{
    char part[PATH_MAX];
    size_t length = PATH_MAX - 1;
    int next;

    while (length > 0 && (*path)[length] != '/')
        length--;
    if (length == 0) {
        next = -1;
        errno = ENAMETOOLONG;
    } else {
        memcpy(part, *path, length);
        part[length] = '\0';
        next = openat(folder, part, O_PATH | O_DIRECTORY | O_CLOEXEC);
        *path += length;
        while (**path == '/')
            (*path)++;
    }
    if (folder != AT_FDCWD) {
        int error = errno;

        close(folder);
        errno = error;
    }
    return next;
}

int ims_enter_path(const char **path)
{
    int folder = AT_FDCWD;

    while (strlen(*path) >= PATH_MAX)
        if ((folder = enter_some(folder, path)) < 0)
            return -1;
    if (**path == '\0')
        *path = "."; /* a slash at the end of a long path */
    return folder;
}

/* Keep errno of what was done in the folder. */
static void leave(int folder)
{
    int error = errno;

    if (folder != AT_FDCWD)
        close(folder);
    errno = error;
}

int ims_open_path(const char *path, int flags)
{
    int folder, descriptor;

    if (strlen(path) < PATH_MAX)
        return open(path, flags);
    if ((folder = ims_enter_path(&path)) == -1)
        return -1;
    descriptor = openat(folder, path, flags);
    leave(folder);
    return descriptor;
}

int ims_stat_path(const char *path, int flags, struct stat *out_info)
{
    int folder, result;

    if (strlen(path) < PATH_MAX)
        return fstatat(AT_FDCWD, path, out_info, flags);
    if ((folder = ims_enter_path(&path)) == -1)
        return -1;
    result = fstatat(folder, path, out_info, flags);
    leave(folder);
    return result;
}
