/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns of files: the input is a pattern, a NUL, and a path. */
#include "fuzz.h"

#include <imgsim/scan.h>

#include "scan/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    size_t length = end != NULL ? (size_t)(end - data) : size;
    char *pattern = fuzz_text(data, length);
    char *path = fuzz_text(data + length + (end != NULL), size - length - (end != NULL));
    int32_t as_file = -1, as_folder = -1;
    imgsim_status status = imgsim_scan_match(pattern, path, 0, &as_file);

    if (status != IMGSIM_OK) {
        CHECK(status == IMGSIM_ERROR_INVALID_ARGUMENT);
        fuzz_check_refused(status);
        CHECK_EQUAL(as_file, 0);
    } else {
        CHECK_OK(imgsim_scan_match(pattern, path, 1, &as_folder));
        CHECK(as_file == 0 || as_file == 1);
        /* What matches a file matches a folder of that name. */
        CHECK(as_folder >= as_file);
    }
    free(pattern);
    free(path);
    return 0;
}
