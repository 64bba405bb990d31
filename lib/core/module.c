/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and opens the libraries of ours that are loaded at run time. */
#include "core/module.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * Folder of the library or program that holds this code; false if unknown. Of a program the loader
 * knows only the name it was started by, which need not be a path.
 */
static bool own_folder(char *folder, size_t size)
{
    static const char here = 0;
    Dl_info info;
    char *slash;

    if (dladdr(&here, &info) == 0 || info.dli_fname == NULL)
        return false;
    if (strchr(info.dli_fname, '/') != NULL) {
        if (snprintf(folder, size, "%s", info.dli_fname) >= (int)size)
            return false;
    } else {
        ssize_t length = readlink("/proc/self/exe", folder, size);

        if (length < 0 || (size_t)length >= size)
            return false;
        folder[length] = '\0';
    }
    if ((slash = strrchr(folder, '/')) == NULL)
        return false;
    slash[1] = '\0';
    return true;
}

static const char *const places[] = {"", "imgsim/", "../" IMS_LIBRARY_FOLDER "/imgsim/"};

#define PLACE_COUNT (sizeof(places) / sizeof(places[0]))

/*
 * Open one place. Of several failures the words are kept that tell most: of a file that is there
 * but does not load, or that lacks another library; else those of the first place.
 */
static void *try_open(const char *path, char *why, size_t why_size)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *words = library == NULL ? dlerror() : NULL;

    if (words != NULL &&
        (*why == '\0' || access(path, F_OK) == 0 || strncmp(words, path, strlen(path)) != 0))
        snprintf(why, why_size, "%s", words);
    return library;
}

static void *open_somewhere(const struct ims_module *module, char *why, size_t why_size)
{
    const char *chosen = secure_getenv(module->variable);
    char folder[3072], path[4096];
    void *library = NULL;

    if (chosen != NULL && *chosen != '\0')
        return try_open(chosen, why, why_size);
    if (own_folder(folder, sizeof(folder)))
        for (size_t i = 0; i < PLACE_COUNT && library == NULL; i++) {
            snprintf(path, sizeof(path), "%s%s%s", folder, places[i], module->file);
            library = try_open(path, why, why_size);
        }
    return library != NULL ? library : try_open(module->file, why, why_size);
}

static void (*before_opening)(void);

static const void *open_table(const struct ims_module *module, char *why, size_t why_size)
{
    const void *(*get)(void) = NULL;
    void *library = open_somewhere(module, why, why_size);
    const uint32_t *table;
    void *symbol;

    if (library == NULL)
        return NULL;
    symbol = dlsym(library, module->symbol);
    /* C has no cast from an object's pointer to a function's; POSIX gives them the same form. */
    memcpy(&get, &symbol, sizeof(get));
    table = get != NULL ? get() : NULL;
    if (table == NULL || *table != module->contract) {
        dlclose(library);
        snprintf(why, why_size, "the file found is of another version of libimgsim");
        return NULL;
    }
    return table;
}

const void *ims_module_open(struct ims_module *module, char *why, size_t why_size)
{
    const void *functions;

    *why = '\0';
    pthread_mutex_lock(&module->lock);
    if (module->functions == NULL && before_opening != NULL)
        before_opening();
    if (module->functions == NULL)
        module->functions = open_table(module, why, why_size);
    functions = module->functions;
    pthread_mutex_unlock(&module->lock);
    return functions;
}

bool ims_module_find_program(const char *file, const char *variable, char *path, size_t size)
{
    const char *chosen = secure_getenv(variable);
    char folder[3072];

    if (chosen != NULL && *chosen != '\0')
        return snprintf(path, size, "%s", chosen) < (int)size && access(path, X_OK) == 0;
    snprintf(path, size, "%s", file);
    if (!own_folder(folder, sizeof(folder)))
        return false;
    for (size_t i = 0; i < PLACE_COUNT; i++)
        if (snprintf(path, size, "%s%s%s", folder, places[i], file) < (int)size &&
            access(path, X_OK) == 0)
            return true;
    snprintf(path, size, "%s%s", folder, file);
    return false;
}

void ims_module_before_opening(void (*callback)(void))
{
    before_opening = callback;
}
