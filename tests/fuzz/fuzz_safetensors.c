/* SPDX-License-Identifier: Apache-2.0 */
/* Weights files: the tensors of whatever is accepted lie inside the file and can be found by name. */
#include "fuzz/fuzz.h"

#include "extract/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ims_safetensors file = {0};
    imgsim_status status = ims_safetensors_parse(&file, data, size);

    if (status != IMGSIM_OK)
        fuzz_check_refused(status);
    else
        for (size_t i = 0; i < file.tensor_count; i++) {
            const struct ims_torch_tensor *tensor = &file.tensors[i];
            const uint8_t *begin = tensor->data;
            size_t bytes = ims_safetensors_size(tensor);

            CHECK(ims_safetensors_find(&file, tensor->name) == tensor);
            CHECK(begin >= data && bytes <= size && begin + bytes <= data + size);
        }
    if (status == IMGSIM_OK)
        (void)ims_safetensors_metadata(&file, "format");
    ims_safetensors_close(&file);
    return 0;
}
