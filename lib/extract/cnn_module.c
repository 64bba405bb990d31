/* SPDX-License-Identifier: Apache-2.0 */
/* Opens libimgsim-torch.so, so that programs without CNNs load neither libtorch nor the C++ runtime. */
#include "core/module.h"
#include "extract/cnn.h"
#include "extract/extractor.h"

static struct ims_module module = {
    .file = "libimgsim-torch.so",
    .variable = "IMGSIM_TORCH_MODULE",
    .symbol = IMS_TORCH_SYMBOL,
    .contract = IMS_TORCH_CONTRACT,
    .lock = PTHREAD_MUTEX_INITIALIZER,
};

imgsim_status ims_torch_open(const struct ims_torch_functions **out_functions)
{
    char why[512];

    *out_functions = ims_module_open(&module, why, sizeof(why));
    if (*out_functions == NULL)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "CNN embeddings need the torch module (libimgsim-torch.so, package libimgsim-torch; "
            "built with IMGSIM_TORCH=ON and libtorch): %s",
            why);
    return IMGSIM_OK;
}

int ims_torch_available(void)
{
    const struct ims_torch_functions *functions;

    return ims_torch_open(&functions) == IMGSIM_OK;
}
