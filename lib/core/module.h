/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modules: libraries of ours that are opened when they are first needed, so that programs which
 * never need them do not load what they bring along (libtorch, libvips, the C++ runtime).
 */
#ifndef IMS_CORE_MODULE_H
#define IMS_CORE_MODULE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What is known of a module before it is opened. A module exports one function, which takes nothing
 * and returns a table of functions; the table begins with the number of its contract, a uint32_t.
 */
struct ims_module {
    const char *file; /* "libimgsim-torch.so" */
    const char
        *variable; /* names the file in the environment, and then it is looked for nowhere else */
    const char *symbol;
    uint32_t contract;
    pthread_mutex_t lock;
    const void *functions; /* NULL until it is open; a module once opened stays */
};

/*
 * The module's table, or NULL with the reason in `why`. Looked for beside this library (or the
 * program that contains it), in the sub-folder "imgsim" there, where it is installed relative to
 * programs, and by the loader's own rules. A module that was missing is looked for again next time.
 */
const void *ims_module_open(struct ims_module *module, char *why, size_t why_size);

/*
 * Path of a program of ours that is installed beside the modules: the one that the environment
 * names, or else where modules are looked for. False, with where it should have been, when it is
 * not there.
 */
bool ims_module_find_program(const char *file, const char *variable, char *path, size_t size);

/*
 * For a process that cannot open modules any more: called, under the module's lock, before one is
 * opened. Set it while there is one thread; NULL for nothing.
 */
void ims_module_before_opening(void (*callback)(void));

#endif
