/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the CNN extractor: the torch module, the model file that goes into it, its classes. */
#ifndef IMS_CNN_H
#define IMS_CNN_H

#include "core/status.h"
#include "extract/extractor.h"
#include "torch/torch_module.h"

#include <imgsim/extractor.h>

#include <pthread.h>

/* Most classes of a last layer. */
#define IMS_NETWORK_CLASSES_MAX 65536

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
    /* Classes of the last layer, 0 if it is left out, and the hash of its tensors. */
    uint32_t class_count;
    char last_hash[33];
};

/* Open, check and build; options were read and checked before. */
imgsim_status ims_cnn_model_open(struct ims_cnn_model *model, const imgsim_cnn_options *options);
/*
 * One batch: count x input_size x input_size x 3 bytes -> count x dimension floats, and with a last
 * layer count x class_count logits. One at a time per process.
 */
imgsim_status ims_cnn_model_run(
    const struct ims_cnn_model *model,
    const void *pixels,
    size_t count,
    float *rows,
    float *logits);
void ims_cnn_model_close(struct ims_cnn_model *model);

/* ---- the extractor ---- */

/* What the network said about the images of its last batch; see cnn_classes.c. */
struct ims_class_memory;

struct ims_cnn {
    imgsim_extractor base;
    struct ims_cnn_model model;
    int32_t preprocess;
    struct ims_class_memory *memory; /* NULL without a last layer */
};

/* Scale an image to the network's input: input_size x input_size x 3 bytes. */
imgsim_status
ims_cnn_prepare(const imgsim_extractor *extractor, const imgsim_image *image, void *out_input);

/* ---- cnn_classes.c ---- */

imgsim_status ims_class_memory_new(struct ims_class_memory **out_memory);
void ims_class_memory_free(struct ims_class_memory *memory);
/* Run the network, and remember the classes that it tells if it has a last layer; rows are not normalised. */
imgsim_status
ims_cnn_run(const struct ims_cnn *cnn, const void *inputs, size_t count, float *out_rows);

#endif
