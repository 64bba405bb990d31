/* SPDX-License-Identifier: Apache-2.0 */
/* Model files: told apart by their content, checked, recognised, and handed to the torch module. */
#include "extract/cnn.h"
#include "extract/safetensors.h"

#include "core/file.h"
#include "core/hash.h"
#include "core/memory.h"
#include "core/threads.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* libtorch's number of threads belongs to the whole process: one call at a time. */
static pthread_mutex_t run_lock = PTHREAD_MUTEX_INITIALIZER;

/* What is known about an architecture without building it. */
static const struct architecture {
    const char *name;
    uint32_t input_size;
    /* Smaller inputs vanish on the way through. */
    uint32_t min_input_size;
    /* Layers after the embedding: their tensors may be there or not. */
    const char *ignored[2];
    /* The layer among these that gives the classes. */
    const char *last;
    /* A tensor that the others do not have; ResNets are told apart by their blocks instead. */
    const char *mark;
    int blocks[2];
    int bottleneck;
} architectures[] = {
    {"mobilenet_v2",
     224,
     32,
     {"classifier.", NULL},
     "classifier.1",
     "features.18.0.weight",
     {0, 0},
     0},
    {"squeezenet1_1",
     224,
     32,
     {"classifier.", NULL},
     "classifier.1",
     "features.3.squeeze.weight",
     {0, 0},
     0},
    {"inception_v3",
     299,
     75,
     {"fc.", "AuxLogits."},
     "fc",
     "Mixed_7c.branch_pool.conv.weight",
     {0, 0},
     0},
    {"resnet18", 224, 32, {"fc.", NULL}, "fc", NULL, {2, 2}, 0},
    {"resnet34", 224, 32, {"fc.", NULL}, "fc", NULL, {4, 6}, 0},
    {"resnet50", 224, 32, {"fc.", NULL}, "fc", NULL, {4, 6}, 1},
    {"resnet101", 224, 32, {"fc.", NULL}, "fc", NULL, {4, 23}, 1},
    {"resnet152", 224, 32, {"fc.", NULL}, "fc", NULL, {8, 36}, 1},
};

#define ARCHITECTURE_COUNT (sizeof(architectures) / sizeof(architectures[0]))
#define KNOWN                                                                              \
    "mobilenet_v2, squeezenet1_1, resnet18, resnet34, resnet50, resnet101, resnet152 and " \
    "inception_v3"

static const struct architecture *find_architecture(const char *name)
{
    for (size_t i = 0; name != NULL && i < ARCHITECTURE_COUNT; i++)
        if (strcmp(architectures[i].name, name) == 0)
            return &architectures[i];
    return NULL;
}

static int count_blocks(const struct ims_safetensors *file, int stage)
{
    char name[64];
    int count = 0;

    do
        snprintf(name, sizeof(name), "layer%d.%d.conv1.weight", stage, count++);
    while (ims_safetensors_find(file, name) != NULL);
    return count - 1;
}

static int looks_like(const struct ims_safetensors *file, const struct architecture *candidate)
{
    if (candidate->mark != NULL)
        return ims_safetensors_find(file, candidate->mark) != NULL;
    return count_blocks(file, 2) == candidate->blocks[0] &&
           count_blocks(file, 3) == candidate->blocks[1] &&
           (ims_safetensors_find(file, "layer1.0.conv3.weight") != NULL) == candidate->bottleneck;
}

/*
 * The caller's word, the header's, or what the tensors look like. Building the network verifies it.
 */
static imgsim_status choose_architecture(
    const struct ims_safetensors *file,
    const char *wanted,
    const struct architecture **out)
{
    const char *noted = ims_safetensors_metadata(file, "architecture");

    if (wanted != NULL) {
        if ((*out = find_architecture(wanted)) == NULL)
            return ims_fail(
                IMGSIM_ERROR_UNSUPPORTED, "unknown architecture \"%.100s\", known are " KNOWN,
                wanted);
        return IMGSIM_OK;
    }
    if ((*out = find_architecture(noted)) != NULL)
        return IMGSIM_OK;
    for (size_t i = 0; i < ARCHITECTURE_COUNT; i++) {
        if (looks_like(file, &architectures[i])) {
            *out = &architectures[i];
            return IMGSIM_OK;
        }
    }
    return ims_fail(
        IMGSIM_ERROR_UNSUPPORTED, "the weights are of no known architecture; known are " KNOWN
                                  " with torchvision's tensor names");
}

static int ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static int is_ignored(const struct architecture *architecture, const char *name)
{
    for (size_t i = 0; i < 2; i++) {
        const char *prefix = architecture->ignored[i];

        if (prefix != NULL && strncmp(name, prefix, strlen(prefix)) == 0)
            return 1;
    }
    return ends_with(name, ".num_batches_tracked");
}

/* Move the tensors of the network to the front, still in order of name; returns how many. */
static size_t keep_used(struct ims_safetensors *file, const struct architecture *architecture)
{
    size_t used = 0;

    for (size_t i = 0; i < file->tensor_count; i++)
        if (!is_ignored(architecture, file->tensors[i].name))
            file->tensors[used++] = file->tensors[i];
    return used;
}

/* The two tensors of the last layer, and how many classes it tells apart. */
static imgsim_status find_last(
    const struct ims_safetensors *file,
    const struct architecture *architecture,
    struct ims_torch_tensor out[2],
    uint32_t *out_classes)
{
    static const char *const parts[2] = {"weight", "bias"};
    char name[64];

    for (size_t i = 0; i < 2; i++) {
        const struct ims_torch_tensor *tensor;

        snprintf(name, sizeof(name), "%s.%s", architecture->last, parts[i]);
        if ((tensor = ims_safetensors_find(file, name)) == NULL)
            return ims_fail(
                IMGSIM_ERROR_UNSUPPORTED,
                "the model has no last layer to tell classes (%s is missing): convert weights that "
                "still have it",
                name);
        out[i] = *tensor;
    }
    if (out[1].rank != 1 || out[1].shape[0] < 1 || out[1].shape[0] > IMS_NETWORK_CLASSES_MAX)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "tensor %s has an impossible shape, expected one size of 1 to %d",
            name, IMS_NETWORK_CLASSES_MAX);
    *out_classes = (uint32_t)out[1].shape[0];
    return IMGSIM_OK;
}

/* Same tensors, same hash, whatever their order in the file and the rest of its header. */
static imgsim_status hash_tensors(
    const struct ims_torch_tensor *tensors,
    size_t count,
    uint32_t transform_input,
    char out[33])
{
    struct ims_fingerprint *fingerprint = ims_fingerprint_new();

    if (fingerprint == NULL)
        return ims_fail_memory(sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        ims_fingerprint_add_text(fingerprint, tensors[i].name);
        ims_fingerprint_add_text(fingerprint, tensors[i].dtype);
        ims_fingerprint_add(
            fingerprint, tensors[i].shape, tensors[i].rank * sizeof(tensors[i].shape[0]));
        ims_fingerprint_add(fingerprint, tensors[i].data, ims_safetensors_size(&tensors[i]));
    }
    if (transform_input)
        ims_fingerprint_add_text(fingerprint, "transform_input");
    ims_fingerprint_text(fingerprint, out);
    ims_fingerprint_free(fingerprint);
    return IMGSIM_OK;
}

/* Let the module build the network; its words become ours. */
static imgsim_status create(
    struct ims_cnn_model *model,
    const imgsim_cnn_options *options,
    struct ims_torch_config *config,
    const struct ims_torch_tensor *tensors,
    size_t tensor_count)
{
    char error[768] = "";
    imgsim_status status;

    config->bf16 = options->precision == IMGSIM_PRECISION_BF16;
    config->threads = options->threads != 0 ? options->threads : ims_cpu_count();
    config->input_size = model->input_size;

    pthread_mutex_lock(&run_lock);
    status = model->functions->create(
        config, tensors, tensor_count, &model->network, &model->dimension, error, sizeof(error));
    pthread_mutex_unlock(&run_lock);
    if (status != IMGSIM_OK)
        return ims_fail(status, "model is not a usable %s: %s", model->architecture, error);
    return IMGSIM_OK;
}

static imgsim_status open_safetensors(
    struct ims_cnn_model *model,
    const imgsim_cnn_options *options,
    const struct ims_map *map)
{
    const struct architecture *architecture = NULL;
    struct ims_safetensors file = {0};
    struct ims_torch_config config = {0};
    struct ims_torch_tensor last[2];
    const char *transform;
    imgsim_status status;
    size_t used, last_count = 0;

    if ((status = ims_safetensors_parse(&file, map->data, map->size)) != IMGSIM_OK ||
        (status = choose_architecture(&file, options->architecture, &architecture)) != IMGSIM_OK)
        goto done;

    model->architecture = architecture->name;
    model->input_size = options->input_size != 0 ? options->input_size : architecture->input_size;
    if (model->input_size < architecture->min_input_size) {
        status = ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "input_size is %u, %s needs at least %u",
            model->input_size, architecture->name, architecture->min_input_size);
        goto done;
    }

    if (options->classes) {
        if ((status = find_last(&file, architecture, last, &config.class_count)) != IMGSIM_OK)
            goto done;
        last_count = 2;
    }
    used = keep_used(&file, architecture);
    /* Behind the network's own tensors there is room: those of the last layer were left out. */
    if (last_count > 0)
        memcpy(file.tensors + used, last, sizeof(last));
    model->class_count = config.class_count;
    transform = ims_safetensors_metadata(&file, "transform_input");
    config.architecture = architecture->name;
    config.transform_input = transform != NULL && strcasecmp(transform, "true") == 0 &&
                             strcmp(architecture->name, "inception_v3") == 0;
    if ((status = create(model, options, &config, file.tensors, used + last_count)) != IMGSIM_OK ||
        (status = hash_tensors(file.tensors, used, config.transform_input, model->weights_hash)) !=
            IMGSIM_OK ||
        (status = hash_tensors(file.tensors + used, last_count, 0, model->last_hash)) != IMGSIM_OK)
        goto done;

done:
    ims_safetensors_close(&file);
    return status;
}

static imgsim_status open_torchscript(
    struct ims_cnn_model *model,
    const imgsim_cnn_options *options,
    const struct ims_map *map)
{
    struct ims_torch_config config = {.script_path = options->model_path};
    uint8_t hash[16];

    if (options->classes)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "classes need weights in a .safetensors file: what a TorchScript module's last layer "
            "gives is not known");
    model->architecture = "torchscript";
    model->input_size = options->input_size != 0 ? options->input_size : 224;
    ims_hash128(map->data, map->size, hash);
    ims_hex(hash, sizeof(hash), model->weights_hash);
    return create(model, options, &config, NULL, 0);
}

static int contains(const struct ims_map *map, const char *text)
{
    return memmem(map->data, map->size, text, strlen(text)) != NULL;
}

/*
 * What a file is by its first bytes. A safetensors file has its JSON at byte 8, which rules the
 * others out.
 */
static imgsim_status
open_any(struct ims_cnn_model *model, const imgsim_cnn_options *options, const struct ims_map *map)
{
    const int safetensors = map->size > 8 && map->data[8] == '{';
    const int zip = map->size > 8 && memcmp(map->data, "PK\003\004", 4) == 0;
    const int pickle = map->size > 2 && map->data[0] == 0x80 && map->data[1] <= 5;

    if (safetensors || (!zip && !pickle))
        return open_safetensors(model, options, map);
    /* torch.jit.save() writes constants.pkl, torch.save() does not. */
    if (zip && contains(map, "/constants.pkl")) {
        if (!options->trust_model)
            return ims_fail(
                IMGSIM_ERROR_UNSUPPORTED,
                "the model is a TorchScript file, which is a program; if you trust it, "
                "set trust_model (--trust-model)");
        return open_torchscript(model, options, map);
    }
    return ims_fail(
        IMGSIM_ERROR_UNSUPPORTED,
        "the model is a pickled PyTorch file, which can run any code; convert it with "
        "python3 -m imgsim.convert IN.pth OUT.safetensors");
}

static imgsim_status check_sha256(const struct ims_map *map, const char *wanted)
{
    char found[65];
    imgsim_status status;

    if (wanted == NULL)
        return IMGSIM_OK;
    if ((status = ims_sha256(map->data, map->size, found)) != IMGSIM_OK)
        return status;
    if (strcasecmp(found, wanted) != 0)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "the model's SHA-256 is %s, expected %s", found, wanted);
    return IMGSIM_OK;
}

imgsim_status ims_cnn_model_open(struct ims_cnn_model *model, const imgsim_cnn_options *options)
{
    struct ims_map map = {0};
    imgsim_status status;

    if ((status = ims_map_open(&map, options->model_path)) != IMGSIM_OK ||
        (status = check_sha256(&map, options->sha256)) != IMGSIM_OK ||
        (status = ims_torch_open(&model->functions)) != IMGSIM_OK ||
        (status = open_any(model, options, &map)) != IMGSIM_OK)
        goto done;

done:
    ims_map_close(&map);
    if (status != IMGSIM_OK)
        ims_cnn_model_close(model);
    return status;
}

imgsim_status ims_cnn_model_run(
    const struct ims_cnn_model *model,
    const void *pixels,
    size_t count,
    float *rows,
    float *logits)
{
    char error[768] = "";
    imgsim_status status;

    pthread_mutex_lock(&run_lock);
    status =
        model->functions->run(model->network, pixels, count, rows, logits, error, sizeof(error));
    pthread_mutex_unlock(&run_lock);
    return status == IMGSIM_OK ? IMGSIM_OK : ims_fail(status, "%s: %s", model->architecture, error);
}

void ims_cnn_model_close(struct ims_cnn_model *model)
{
    if (model->network != NULL) {
        pthread_mutex_lock(&run_lock);
        model->functions->destroy(model->network);
        pthread_mutex_unlock(&run_lock);
    }
    memset(model, 0, sizeof(*model));
}
