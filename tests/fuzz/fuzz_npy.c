/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of .npy files: whatever is accepted describes a matrix whose size can be computed. */
#include "fuzz/fuzz.h"

#include "core/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ims_npy npy = {0};
    imgsim_status status = ims_npy_parse(data, size, "a.npy", &npy);

    if (status != IMGSIM_OK) {
        fuzz_check_refused(status);
        return 0;
    }
    CHECK(npy.dimensions == 1 || npy.dimensions == 2);
    CHECK(npy.item_size >= 1 && npy.item_size <= 8);
    CHECK(npy.data_offset <= size);
    CHECK(memchr(npy.dtype, '\0', sizeof(npy.dtype)) != NULL);
    CHECK(npy.dimensions == 2 || npy.shape[1] == 1);
    return 0;
}
