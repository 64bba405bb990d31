/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contract between libimgsim and libimgsim-torch.so: plain C, opened at run time by
 * lib/extract/cnn.c.
 */
#ifndef IMS_TORCH_MODULE_H
#define IMS_TORCH_MODULE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised with every change of this file; both sides compare it. */
#define IMS_TORCH_CONTRACT 2

/* A tensor of a safetensors file, mapped; data is little-endian, C order, possibly unaligned. */
struct ims_torch_tensor {
    const char *name;
    const void *data;
    /* "F32", "F16", "BF16", "F64", "I64" */
    const char *dtype;
    uint32_t rank;
    int64_t shape[8];
};

struct ims_torch_config {
    /* Architecture's name, or NULL for TorchScript. */
    const char *architecture;
    /* TorchScript only. */
    const char *script_path;
    int32_t bf16;
    uint32_t threads;
    /* Side of the square input. */
    uint32_t input_size;
    /*
     * InceptionV3 only: non-zero scales the input from ImageNet's mean and deviation to [-1, 1], as
     * torchvision's own weights expect.
     */
    uint32_t transform_input;
    /* Classes of the last layer, whose tensors are then given, too; 0: it is left out. */
    uint32_t class_count;
    uint32_t reserved;
};

/* What went wrong: values of imgsim_status. The text goes to `error` (error_size bytes). */
struct ims_torch_functions {
    uint32_t contract;
    /* Build the network and copy the weights in. */
    int32_t (*create)(
        const struct ims_torch_config *config,
        const struct ims_torch_tensor *tensors,
        size_t tensor_count,
        void **out_network,
        uint32_t *out_dimension,
        char *error,
        size_t error_size);
    /*
     * count images, count x size x size x 3 bytes RGB -> count x dimension floats, pooled, not
     * normalised, and with class_count > 0 count x class_count floats: what the last layer gives,
     * before softmax.
     */
    int32_t (*run)(
        void *network,
        const uint8_t *pixels,
        size_t count,
        float *out_rows,
        float *out_logits,
        char *error,
        size_t error_size);
    void (*destroy)(void *network);
};

/* The module's one exported symbol. */
const struct ims_torch_functions *imgsim_torch_functions(void);
#define IMS_TORCH_SYMBOL "imgsim_torch_functions"

#ifdef __cplusplus
}
#endif

#endif
