/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The classes that a network tells apart by its last layer: an extractor beside the embedding's. Both share one network, which
 * remembers what it said about its last batch, so that a scan sends each image through it once.
 */
#include "extract/cnn.h"

#include "core/hash.h"
#include "core/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROW_SIZE (IMGSIM_TOP_CLASSES * 8)
#define MEMORY_IMAGES 256

/* A row of bytes as the catalog takes it: the length, then records. */
struct class_row {
    uint32_t length;
    struct {
        uint32_t number;
        float probability;
    } classes[IMGSIM_TOP_CLASSES];
};

_Static_assert(sizeof(struct class_row) == 4 + ROW_SIZE, "rows lie next to each other");

struct ims_class_memory {
    pthread_mutex_t lock;
    size_t count;
    struct {
        uint8_t input_hash[16];
        struct class_row row;
    } images[MEMORY_IMAGES];
};

imgsim_status ims_class_memory_new(struct ims_class_memory **out_memory)
{
    if ((*out_memory = ims_calloc(1, sizeof(**out_memory))) == NULL)
        return ims_fail_memory(sizeof(**out_memory));
    pthread_mutex_init(&(*out_memory)->lock, NULL);
    return IMGSIM_OK;
}

void ims_class_memory_free(struct ims_class_memory *memory)
{
    if (memory == NULL)
        return;
    pthread_mutex_destroy(&memory->lock);
    ims_free(memory);
}

/* ---- probabilities ---- */

/* Softmax in double precision of the largest logits, equal ones in order of number; false if one is not finite. */
static bool find_top(const float *logits, uint32_t count, struct class_row *out)
{
    const uint32_t wanted = count < IMGSIM_TOP_CLASSES ? count : IMGSIM_TOP_CLASSES;
    uint32_t kept = 0;
    double sum = 0;

    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t place = kept < wanted ? kept++ : wanted;

        if (!isfinite(logits[i]))
            return false;
        while (place > 0 && logits[out->classes[place - 1].number] < logits[i])
            place--;
        if (place == wanted)
            continue;
        memmove(
            &out->classes[place + 1], &out->classes[place],
            (kept - 1 - place) * sizeof(out->classes[0]));
        out->classes[place].number = i;
    }
    for (uint32_t i = 0; i < count; i++)
        sum += exp((double)logits[i] - logits[out->classes[0].number]);
    for (uint32_t i = 0; i < kept; i++)
        out->classes[i].probability =
            (float)(exp((double)logits[out->classes[i].number] - logits[out->classes[0].number]) / sum);
    out->length = kept * 8;
    return true;
}

/* What the network said takes the place of what it said before. */
static void remember(
    const struct ims_cnn *cnn,
    const uint8_t *inputs,
    size_t count,
    const struct class_row *classes)
{
    struct ims_class_memory *memory = cnn->memory;

    pthread_mutex_lock(&memory->lock);
    memory->count = count < MEMORY_IMAGES ? count : MEMORY_IMAGES;
    for (size_t i = 0; i < memory->count; i++) {
        ims_hash128(
            inputs + i * cnn->base.input_size, cnn->base.input_size, memory->images[i].input_hash);
        memory->images[i].row = classes[i];
    }
    pthread_mutex_unlock(&memory->lock);
}

/* Rows and classes of a batch. */
static imgsim_status
ask(const struct ims_cnn *cnn,
    const void *inputs,
    size_t count,
    float *out_rows,
    struct class_row *out_classes)
{
    const uint32_t classes = cnn->model.class_count;
    float *logits = ims_alloc_array(count, classes * sizeof(float));
    imgsim_status status;

    if (logits == NULL)
        return ims_fail_memory(count * classes * sizeof(float));
    status = ims_cnn_model_run(&cnn->model, inputs, count, out_rows, logits);
    for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
        if (!find_top(logits + i * classes, classes, &out_classes[i]))
            status = ims_fail(
                IMGSIM_ERROR_CORRUPT,
                "%s gives classes that are not finite: its last layer is unusable",
                cnn->model.architecture);
    ims_free(logits);
    return status;
}

imgsim_status
ims_cnn_run(const struct ims_cnn *cnn, const void *inputs, size_t count, float *out_rows)
{
    struct class_row *classes;
    imgsim_status status;

    if (cnn->memory == NULL)
        return ims_cnn_model_run(&cnn->model, inputs, count, out_rows, NULL);
    if ((classes = ims_alloc_array(count, sizeof(*classes))) == NULL)
        return ims_fail_memory(count * sizeof(*classes));
    if ((status = ask(cnn, inputs, count, out_rows, classes)) == IMGSIM_OK)
        remember(cnn, inputs, count, classes);
    ims_free(classes);
    return status;
}

/* ---- the extractor ---- */

struct classes_extractor {
    imgsim_extractor base;
    const imgsim_extractor *network;
};

static imgsim_status
prepare(const imgsim_extractor *extractor, const imgsim_image *image, void *out_input)
{
    return ims_cnn_prepare(
        ((const struct classes_extractor *)extractor)->network, image, out_input);
}

/* The classes of all inputs, if the network remembers them; inputs mostly come in the order they were seen in. */
static bool
recall(const struct ims_cnn *cnn, const uint8_t *inputs, size_t count, struct class_row *out)
{
    struct ims_class_memory *memory = cnn->memory;
    size_t found = 0, at = 0;

    pthread_mutex_lock(&memory->lock);
    while (found < count) {
        uint8_t hash[16];
        size_t tried = 0;

        ims_hash128(inputs + found * cnn->base.input_size, cnn->base.input_size, hash);
        while (tried < memory->count &&
               memcmp(memory->images[at % memory->count].input_hash, hash, sizeof(hash)) != 0) {
            at++;
            tried++;
        }
        if (tried == memory->count)
            break;
        out[found++] = memory->images[at++ % memory->count].row;
    }
    pthread_mutex_unlock(&memory->lock);
    return found == count;
}

static imgsim_status
run(const imgsim_extractor *extractor, const void *inputs, size_t count, void *out_rows)
{
    const struct ims_cnn *cnn =
        (const struct ims_cnn *)((const struct classes_extractor *)extractor)->network;
    struct class_row *classes = ims_alloc_array(count, sizeof(*classes));
    imgsim_status status = IMGSIM_OK;
    float *rows = NULL;

    if (classes == NULL)
        return ims_fail_memory(count * sizeof(*classes));
    if (!recall(cnn, inputs, count, classes)) {
        rows = ims_alloc_array(count, cnn->model.dimension * sizeof(float));
        status = rows != NULL ? ask(cnn, inputs, count, rows, classes)
                              : ims_fail_memory(count * cnn->model.dimension * sizeof(float));
    }
    if (status == IMGSIM_OK)
        memcpy(out_rows, classes, count * sizeof(*classes));
    ims_free(classes);
    ims_free(rows);
    return status;
}

static void free_classes(imgsim_extractor *extractor)
{
    imgsim_extractor_free(
        (imgsim_extractor *)(uintptr_t)((struct classes_extractor *)extractor)->network);
}

static const struct ims_extractor_kind classes_kind = {
    .name = "classes",
    .prepare = prepare,
    .run = run,
    .free = free_classes,
};

/* The network's specification with the number of classes; the fingerprint does not depend on where the file lies. */
static imgsim_status name_classes(struct classes_extractor *classes, const struct ims_cnn *cnn)
{
    const char *settings = strchr(cnn->base.spec, ':') + 1;
    const size_t size = strlen(settings) + 64;
    char head[64], extra[80];
    char *spec = ims_alloc(size);
    imgsim_status status;

    if (spec == NULL)
        return ims_fail_memory(size);
    snprintf(head, sizeof(head), "classes:count=%u", cnn->model.class_count);
    snprintf(spec, size, "%s,%s", head, settings);
    snprintf(extra, sizeof(extra), "%s:%s", cnn->base.fingerprint, cnn->model.last_hash);
    status = ims_extractor_init(
        &classes->base, &classes_kind, IMS_CLASSES_FEATURE, IMGSIM_ROW_BYTES, ROW_SIZE,
        IMGSIM_METRIC_DEFAULT, head, extra);
    ims_free(classes->base.spec);
    classes->base.spec = spec;
    return status;
}

imgsim_status
imgsim_extractor_new_classes(const imgsim_extractor *network, imgsim_extractor **out_extractor)
{
    const struct ims_cnn *cnn = (const struct ims_cnn *)network;
    struct classes_extractor *classes;
    imgsim_status status;

    if (out_extractor == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_extractor must not be NULL");
    *out_extractor = NULL;
    if (network == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "network must not be NULL");
    if (strcmp(network->kind->name, "cnn") != 0 || cnn->memory == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT,
            "extractor \"%s\" tells no classes: make a network with the option classes",
            network->name);
    if ((classes = ims_calloc(1, sizeof(*classes))) == NULL)
        return ims_fail_memory(sizeof(*classes));
    if ((status = name_classes(classes, cnn)) != IMGSIM_OK) {
        ims_free(classes->base.spec);
        ims_free(classes);
        return status;
    }
    classes->network = ims_extractor_keep(network);
    classes->base.min_side = network->min_side;
    classes->base.input_size = network->input_size;
    classes->base.batch_size = network->batch_size;
    *out_extractor = &classes->base;
    return IMGSIM_OK;
}
