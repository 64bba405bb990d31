/* SPDX-License-Identifier: Apache-2.0 */
/* Extractors inside the library: one table of functions per kind. */
#ifndef IMS_EXTRACTOR_H
#define IMS_EXTRACTOR_H

#include <imgsim/extractor.h>

#include "core/status.h"

#include <stdatomic.h>
#include <stdbool.h>

/*
 * How a kind works. Kinds with batches (networks) split the work: `prepare` turns one image into input_size bytes on the thread
 * that decoded it, and `run` turns a batch of inputs into rows. Kinds without (input_size 0) only have `extract`.
 */
struct ims_extractor_kind {
    const char *name;
    /* One row from one image; NULL for kinds with batches. */
    imgsim_status (
        *extract)(const imgsim_extractor *extractor, const imgsim_image *image, void *out_row);
    /* image -> input_size bytes */
    imgsim_status (
        *prepare)(const imgsim_extractor *extractor, const imgsim_image *image, void *out_input);
    /* count inputs -> count rows; count at most batch_size; one call at a time per process (the kind locks) */
    imgsim_status (
        *run)(const imgsim_extractor *extractor, const void *inputs, size_t count, void *out_rows);
    /* All images at once: the host's extractor. */
    imgsim_status (*extract_many)(
        const imgsim_extractor *extractor,
        const imgsim_image *const *images,
        size_t count,
        void *out_rows);
    /* Release what the kind added to its struct (optional); spec and struct are released afterwards. */
    void (*free)(imgsim_extractor *extractor);
};

/* First member of every kind's own struct. */
struct imgsim_extractor {
    const struct ims_extractor_kind *kind;
    atomic_uint references;
    uint32_t dimension;
    int32_t row_type;
    int32_t metric;
    uint32_t min_side;
    size_t row_size;
    size_t input_size; /* bytes per prepared input; 0: no batches */
    uint32_t batch_size;
    bool serial; /* extract and extract_many one call at a time */
    char name[64];
    char *spec;
    char fingerprint[33];
};

/* Count a reference, so that queries can keep an extractor alive; imgsim_extractor_free() gives one back. */
const imgsim_extractor *ims_extractor_keep(const imgsim_extractor *extractor);

/* Fill in the common part of a new extractor (references 1, row_size from dimension and type, spec copied, fingerprint of spec + extra). */
imgsim_status ims_extractor_init(
    imgsim_extractor *extractor,
    const struct ims_extractor_kind *kind,
    const char *name,
    int32_t row_type,
    uint32_t dimension,
    int32_t metric,
    const char *spec,
    const char *fingerprint_extra);

/* Name of the feature that holds a network's classes. */
#define IMS_CLASSES_FEATURE "classes"

/* 1 if the torch module can be opened, else 0 (the thread's error text then says why). */
int ims_torch_available(void);

/*
 * Make a CNN extractor again from the specification and fingerprint that a catalog recorded: opens the model at its recorded path,
 * threads and batch as by default. NOT_FOUND if it is gone, CORRUPT if its weights are others now, UNSUPPORTED for TorchScript.
 */
imgsim_status
ims_extractor_new_cnn_spec(const char *spec, const char *fingerprint, imgsim_extractor **out);

/*
 * Make an extractor for another process that decodes: complete where an image gives the row, only `prepare` where a network does
 * (the model is not opened). UNSUPPORTED for the host's own.
 */
imgsim_status ims_extractor_new_remote(const char *spec, imgsim_extractor **out);
/* The part of it that is a network's. */
imgsim_status ims_extractor_new_cnn_input(const char *spec, imgsim_extractor **out);

#endif
