/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights files in the safetensors format: a JSON header and raw tensors, checked, never executed.
 */
#ifndef IMS_SAFETENSORS_H
#define IMS_SAFETENSORS_H

#include "core/status.h"
#include "torch/torch_module.h"

/* A parsed file. Zero it before use. */
struct ims_safetensors {
    /* The parsed header (json_t), which holds the names. */
    void *header;
    /* In order of name. */
    struct ims_torch_tensor *tensors;
    size_t tensor_count;
};

/*
 * Check the header of a file in memory, which must outlive `file`: CORRUPT if a length, offset,
 * shape, type or name does not fit, if tensors overlap or leave gaps, or if the header is no JSON
 * or longer than 100 MB.
 *
 * Source of the format: https://github.com/huggingface/safetensors, "Format".
 */
imgsim_status ims_safetensors_parse(struct ims_safetensors *file, const uint8_t *data, size_t size);

void ims_safetensors_close(struct ims_safetensors *file);

/* A tensor by name; NULL if there is none. */
const struct ims_torch_tensor *
ims_safetensors_find(const struct ims_safetensors *file, const char *name);

/* Bytes of a tensor of a parsed file. */
size_t ims_safetensors_size(const struct ims_torch_tensor *tensor);

/* A text of the header's "__metadata__"; NULL if there is none. */
const char *ims_safetensors_metadata(const struct ims_safetensors *file, const char *key);

#endif
