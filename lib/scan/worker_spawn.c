/* SPDX-License-Identifier: Apache-2.0 */
/* Starts the worker program. */
#include "scan/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

#define DESCRIPTORS (IMS_WORKER_PIXELS - IMS_WORKER_SOCKET + 1)

/*
 * The child's descriptors are moved out of the way of the places they will have there, so that none is overwritten before it
 * was copied.
 */
static int copy_away(const int fds[DESCRIPTORS], int away[DESCRIPTORS])
{
    for (int i = 0; i < DESCRIPTORS; i++)
        away[i] = -1;
    for (int i = 0; i < DESCRIPTORS; i++)
        if (fds[i] >= 0 && (away[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, IMS_WORKER_PIXELS + 1)) < 0)
            return errno;
    return 0;
}

static int set_actions(posix_spawn_file_actions_t *actions, const int away[DESCRIPTORS])
{
    int error = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

    if (error == 0)
        error = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_WRONLY, 0);
    for (int i = 0; i < DESCRIPTORS && error == 0; i++)
        if (away[i] >= 0)
            error = posix_spawn_file_actions_adddup2(actions, away[i], IMS_WORKER_SOCKET + i);
    /* Descriptors of the host's that are not closed by exec are nobody's business. */
    if (error == 0)
        error = posix_spawn_file_actions_addclosefrom_np(
            actions,
            IMS_WORKER_SOCKET + (away[DESCRIPTORS - 1] >= 0 ? DESCRIPTORS : DESCRIPTORS - 1));
    return error;
}

/* Default handlers, nothing blocked, and a session of its own: keys pressed for the host are not meant for its workers. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t all, none;
    int error;

    sigfillset(&all);
    sigemptyset(&none);
    if ((error = posix_spawnattr_setsigdefault(attributes, &all)) != 0 ||
        (error = posix_spawnattr_setsigmask(attributes, &none)) != 0)
        return error;
    return posix_spawnattr_setflags(
        attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
}

imgsim_status ims_worker_spawn(const char *program, int socket, const int fds[3], pid_t *out_pid)
{
    const int all[DESCRIPTORS] = {socket, fds[0], fds[1], fds[2]};
    char name[] = IMS_WORKER_PROGRAM;
    char *arguments[] = {name, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int away[DESCRIPTORS], error;
    pid_t pid = 0;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return ims_fail_memory(sizeof(actions));
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return ims_fail_memory(sizeof(attributes));
    }
    if ((error = copy_away(all, away)) == 0 && (error = set_actions(&actions, away)) == 0 &&
        (error = set_attributes(&attributes)) == 0)
        error = posix_spawn(&pid, program, &actions, &attributes, arguments, environ);
    for (int i = 0; i < DESCRIPTORS; i++)
        if (away[i] >= 0)
            close(away[i]);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error == ENOMEM)
        return ims_fail_errno(error, "starting %s", program);
    if (error != 0)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "no worker can be started (%s: %s); isolation none decodes in this process", program,
            strerror(error));
    *out_pid = pid;
    return IMGSIM_OK;
}
