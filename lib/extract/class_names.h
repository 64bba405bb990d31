/* SPDX-License-Identifier: Apache-2.0 */
/* What the classes of a network are called. */
#ifndef IMS_CLASS_NAMES_H
#define IMS_CLASS_NAMES_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

/* Longest name in bytes: a label with a prefix has to take it. */
#define IMS_CLASS_NAME_MAX 240

/* Zero it before use. */
struct ims_class_names {
    char *text;
    const char **items; /* count, in order of class; inside the text */
    size_t count;
};

/*
 * Names of `count` classes: the lines of a text file, or if it is NULL those of "classes" among the metadata of a safetensors file. A
 * first line "background" more than there are classes is left out. NOT_FOUND: a file is missing, or the model names no classes;
 * INVALID_ARGUMENT: another number of names, or one that cannot be a label.
 */
imgsim_status ims_class_names_read(
    const char *names_path,
    const char *model_path,
    size_t count,
    struct ims_class_names *out);
void ims_class_names_clear(struct ims_class_names *names);

#endif
