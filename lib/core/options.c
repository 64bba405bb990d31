/* SPDX-License-Identifier: Apache-2.0 */
/* Growable options structs: the library's defaults overlaid with the caller's bytes. */
#include "core/options.h"

#include <string.h>

/* More than any struct of ours will have: larger means that the size was never written. */
#define SIZE_MAX_SANE 65536

imgsim_status ims_options_init(void *out, size_t size, const void *defaults, size_t known)
{
    if (out == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "options must not be NULL");
    if (size < sizeof(size_t) || size > SIZE_MAX_SANE)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "options: struct_size is %zu, expected the size of the struct (%zu here)", size, known);

    memset(out, 0, size);
    memcpy(out, defaults, size < known ? size : known);
    memcpy(out, &size, sizeof(size));
    return IMGSIM_OK;
}

imgsim_status ims_options_read(void *out, size_t known, const void *options)
{
    const unsigned char *bytes = options;
    size_t size;

    if (options == NULL)
        return IMGSIM_OK;
    memcpy(&size, bytes, sizeof(size));
    if (size < sizeof(size_t) || size > SIZE_MAX_SANE)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "options: struct_size is %zu, were they filled by their init function?", size);

    /*
     * Fields that a newer header added: zero means "as before", anything else is not understood
     * here.
     */
    for (size_t i = known; i < size; i++)
        if (bytes[i] != 0)
            return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "options: library too old (byte %zu)", i);

    memcpy(out, bytes, size < known ? size : known);
    memcpy(out, &known, sizeof(known));
    return IMGSIM_OK;
}
