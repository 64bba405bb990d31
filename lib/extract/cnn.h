/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the CNN extractor: the torch module, and the model file that goes into it. */
#ifndef IMS_CNN_H
#define IMS_CNN_H

#include "core/status.h"
#include "torch/torch_module.h"

#include <imgsim/extractor.h>

/*
 * Open the torch module, once per process, where core/module.h says. $IMGSIM_TORCH_MODULE names
 * another file. UNSUPPORTED tells what is missing.
 */
imgsim_status ims_torch_open(const struct ims_torch_functions **out_functions);

/* A network made from a model file. Zero it before use. */
struct ims_cnn_model {
    const struct ims_torch_functions *functions;
    void *network;
    /* Constant: an architecture's name, or "torchscript". */
    const char *architecture;
    uint32_t input_size;
    uint32_t dimension;
    /* Hash of the tensors that the network uses, by name, type, shape and content. */
    char weights_hash[33];
};

/* Open, check and build; options were read and checked before. */
imgsim_status ims_cnn_model_open(struct ims_cnn_model *model, const imgsim_cnn_options *options);
/*
 * One batch: count x input_size x input_size x 3 bytes -> count x dimension floats. One at a time
 * per process.
 */
imgsim_status
ims_cnn_model_run(const struct ims_cnn_model *model, const void *pixels, size_t count, float *rows);
void ims_cnn_model_close(struct ims_cnn_model *model);

#endif
