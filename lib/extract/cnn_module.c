/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and opens libimgsim-torch.so, so that programs without CNNs load neither libtorch nor the C++ runtime. */
#include "extract/cnn.h"
#include "extract/extractor.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "libimgsim-torch.so"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Once opened it stays: libtorch cannot be unloaded. */
static const struct ims_torch_functions *opened;

/* Folder of the library (or program) that holds this code, with its last slash; false if unknown. */
static int own_folder(char *folder, size_t size)
{
    static const char here = 0;
    Dl_info info;
    const char *slash;

    if (dladdr(&here, &info) == 0 || info.dli_fname == NULL ||
        (slash = strrchr(info.dli_fname, '/')) == NULL)
        return 0;
    return snprintf(folder, size, "%.*s/", (int)(slash - info.dli_fname), info.dli_fname) <
           (int)size;
}

/* dlopen one place; the loader's words of the first file that is there but does not load are kept in `why`. */
static void *try_open(const char *path, char *why, size_t why_size)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *words = library == NULL ? dlerror() : NULL;

    if (words != NULL && (*why == '\0' || access(path, F_OK) == 0))
        snprintf(why, why_size, "%s", words);
    return library;
}

static void *open_somewhere(char *why, size_t why_size)
{
    const char *chosen = secure_getenv("IMGSIM_TORCH_MODULE");
    char folder[3072], path[4096];
    void *library = NULL;

    if (chosen != NULL && *chosen != '\0')
        return try_open(chosen, why, why_size);
    if (own_folder(folder, sizeof(folder))) {
        snprintf(path, sizeof(path), "%s" MODULE, folder);
        library = try_open(path, why, why_size);
        if (library == NULL) {
            snprintf(path, sizeof(path), "%simgsim/" MODULE, folder);
            library = try_open(path, why, why_size);
        }
    }
    return library != NULL ? library : try_open(MODULE, why, why_size);
}

static imgsim_status open_locked(void)
{
    const struct ims_torch_functions *(*get)(void) = NULL;
    const struct ims_torch_functions *functions;
    char why[512] = "";
    void *library, *symbol;

    library = open_somewhere(why, sizeof(why));
    if (library == NULL)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "CNN embeddings need the torch module (" MODULE
            ", package libimgsim-torch; built with IMGSIM_TORCH=ON and libtorch): %s",
            why);

    symbol = dlsym(library, IMS_TORCH_SYMBOL);
    /* C has no cast from an object's pointer to a function's; POSIX gives them the same form. */
    memcpy(&get, &symbol, sizeof(get));
    functions = get != NULL ? get() : NULL;
    if (functions == NULL || functions->contract != IMS_TORCH_CONTRACT) {
        dlclose(library);
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "the torch module found is of another version of libimgsim");
    }
    opened = functions;
    return IMGSIM_OK;
}

imgsim_status ims_torch_open(const struct ims_torch_functions **out_functions)
{
    imgsim_status status = IMGSIM_OK;

    pthread_mutex_lock(&lock);
    if (opened == NULL)
        status = open_locked();
    *out_functions = opened;
    pthread_mutex_unlock(&lock);
    return status;
}

int ims_torch_available(void)
{
    const struct ims_torch_functions *functions;

    return ims_torch_open(&functions) == IMGSIM_OK;
}
