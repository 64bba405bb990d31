/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all extractors have in common: making, counting, asking, specifications, and running over
 * images.
 */
#include "extract/extractor.h"
#include "extract/thumb.h"

#include "core/hash.h"
#include "core/memory.h"
#include "simd/metric.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Raised when the rows of an extractor change with unchanged settings. Part of every fingerprint.
 */
#define DEFINITION_VERSION "imgsim-extractor-1"

/* ---- the handle ---- */

static imgsim_status make_fingerprint(imgsim_extractor *extractor, const char *extra)
{
    struct ims_fingerprint *fingerprint = ims_fingerprint_new();

    if (fingerprint == NULL)
        return ims_fail_memory(0);
    ims_fingerprint_add_text(fingerprint, DEFINITION_VERSION);
    ims_fingerprint_add_text(fingerprint, extractor->kind->name);
    ims_fingerprint_add_text(fingerprint, extractor->spec);
    ims_fingerprint_add_text(fingerprint, extra != NULL ? extra : "");
    ims_fingerprint_text(fingerprint, extractor->fingerprint);
    ims_fingerprint_free(fingerprint);
    return IMGSIM_OK;
}

imgsim_status ims_extractor_init(
    imgsim_extractor *extractor,
    const struct ims_extractor_kind *kind,
    const char *name,
    int32_t row_type,
    uint32_t dimension,
    int32_t metric,
    const char *spec,
    const char *fingerprint_extra)
{
    extractor->kind = kind;
    atomic_init(&extractor->references, 1);
    extractor->dimension = dimension;
    extractor->row_type = row_type;
    extractor->metric = metric;
    extractor->row_size = ims_row_size(row_type, dimension);
    snprintf(extractor->name, sizeof(extractor->name), "%s", name);
    if ((extractor->spec = ims_strdup(spec)) == NULL)
        return ims_fail_memory(strlen(spec) + 1);
    return make_fingerprint(extractor, fingerprint_extra);
}

const imgsim_extractor *ims_extractor_keep(const imgsim_extractor *extractor)
{
    atomic_fetch_add_explicit(
        &((imgsim_extractor *)extractor)->references, 1, memory_order_relaxed);
    return extractor;
}

void imgsim_extractor_free(imgsim_extractor *extractor)
{
    if (extractor == NULL ||
        atomic_fetch_sub_explicit(&extractor->references, 1, memory_order_acq_rel) != 1)
        return;
    if (extractor->kind->free != NULL)
        extractor->kind->free(extractor);
    ims_free(extractor->spec);
    ims_free(extractor);
}

uint32_t imgsim_extractor_get_dimension(const imgsim_extractor *extractor)
{
    return extractor != NULL ? extractor->dimension : 0;
}

int32_t imgsim_extractor_get_row_type(const imgsim_extractor *extractor)
{
    return extractor != NULL ? extractor->row_type : 0;
}

size_t imgsim_extractor_get_row_size(const imgsim_extractor *extractor)
{
    return extractor != NULL ? extractor->row_size : 0;
}

int32_t imgsim_extractor_get_default_metric(const imgsim_extractor *extractor)
{
    return extractor != NULL ? extractor->metric : IMGSIM_METRIC_DEFAULT;
}

const char *imgsim_extractor_get_name(const imgsim_extractor *extractor)
{
    return extractor != NULL ? extractor->name : "";
}

const char *imgsim_extractor_get_spec(const imgsim_extractor *extractor)
{
    return extractor != NULL ? extractor->spec : "";
}

const char *imgsim_extractor_get_fingerprint(const imgsim_extractor *extractor)
{
    return extractor != NULL ? extractor->fingerprint : "";
}

uint32_t imgsim_extractor_get_min_side(const imgsim_extractor *extractor)
{
    return extractor != NULL ? extractor->min_side : 0;
}

/* ---- specifications ---- */

/* One "key=value" of a specification; the texts are not terminated. */
struct setting {
    const char *key;
    size_t key_size;
    const char *value;
    size_t value_size;
};

/* Take the next setting off *text; false at the end. A setting without '=' has an empty value. */
static bool next_setting(const char **text, struct setting *out)
{
    const char *end, *equals;

    if (**text == '\0')
        return false;
    end = *text + strcspn(*text, ",");
    equals = memchr(*text, '=', (size_t)(end - *text));
    out->key = *text;
    out->key_size = (size_t)((equals != NULL ? equals : end) - *text);
    out->value = equals != NULL ? equals + 1 : end;
    out->value_size = (size_t)(end - out->value);
    *text = *end == ',' ? end + 1 : end;
    return true;
}

static bool text_is(const char *text, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(text, word, size) == 0;
}

static imgsim_status fail_setting(const char *spec, const struct setting *setting)
{
    return ims_fail(
        IMGSIM_ERROR_INVALID_ARGUMENT, "extractor \"%s\": cannot understand \"%.*s\"", spec,
        (int)(setting->value + setting->value_size - setting->key), setting->key);
}

/* Decimal digits only. */
static bool parse_number(const char *text, size_t size, uint32_t *out)
{
    uint32_t value = 0;

    if (size == 0 || size > 6)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    *out = value;
    return true;
}

/* "16x16x16", or "16" for three times the same. */
static bool parse_bins(const struct setting *setting, uint32_t bins[3])
{
    const char *text = setting->value, *end = text + setting->value_size;

    for (int i = 0; i < 3; i++) {
        const char *cross = memchr(text, 'x', (size_t)(end - text));
        size_t size = (size_t)((cross != NULL ? cross : end) - text);

        if (!parse_number(text, size, &bins[i]))
            return false;
        if (cross == NULL) {
            if (i == 0)
                bins[1] = bins[2] = bins[0];
            return i != 1;
        }
        text = cross + 1;
    }
    return false;
}

/* Position of a word in a list that ends with NULL, -1 if it is not there. */
static int32_t find_word(const struct setting *setting, const char *const *words)
{
    for (int32_t i = 0; words[i] != NULL; i++)
        if (text_is(setting->value, setting->value_size, words[i]))
            return i;
    return -1;
}

static imgsim_status new_color_spec(const char *spec, const char *text, imgsim_extractor **out)
{
    static const char *const spaces[] = {"rgb", "hsv", "lab", NULL};
    imgsim_color_options options;
    imgsim_status status = imgsim_color_options_init(&options, sizeof(options));
    struct setting setting;

    if (status != IMGSIM_OK)
        return status;
    while (next_setting(&text, &setting)) {
        if (text_is(setting.key, setting.key_size, "space")) {
            if ((options.space = find_word(&setting, spaces)) < 0)
                return fail_setting(spec, &setting);
        } else if (
            !text_is(setting.key, setting.key_size, "bins") ||
            !parse_bins(&setting, options.bins)) {
            return fail_setting(spec, &setting);
        }
    }
    return imgsim_extractor_new_color(&options, out);
}

static imgsim_status new_hash_spec(const char *spec, const char *text, imgsim_extractor **out)
{
    static const char *const kinds[] = {"phash", "dhash", "ahash", NULL};
    imgsim_hash_options options;
    imgsim_status status = imgsim_hash_options_init(&options, sizeof(options));
    struct setting setting;

    if (status != IMGSIM_OK)
        return status;
    while (next_setting(&text, &setting)) {
        if (text_is(setting.key, setting.key_size, "kind")) {
            if ((options.kind = find_word(&setting, kinds)) < 0)
                return fail_setting(spec, &setting);
        } else if (
            !text_is(setting.key, setting.key_size, "bits") ||
            !parse_number(setting.value, setting.value_size, &options.bits)) {
            return fail_setting(spec, &setting);
        }
    }
    return imgsim_extractor_new_hash(&options, out);
}

imgsim_status imgsim_extractor_new_spec(const char *spec, imgsim_extractor **out_extractor)
{
    const char *settings;
    size_t kind_size;

    if (spec == NULL || out_extractor == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "spec and out_extractor must not be NULL");
    *out_extractor = NULL;

    kind_size = strcspn(spec, ":");
    settings = spec[kind_size] == ':' ? spec + kind_size + 1 : spec + kind_size;
    if (text_is(spec, kind_size, "color"))
        return new_color_spec(spec, settings, out_extractor);
    if (text_is(spec, kind_size, "hash"))
        return new_hash_spec(spec, settings, out_extractor);
    if (text_is(spec, kind_size, "cnn") || text_is(spec, kind_size, "classes"))
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "extractor \"%s\" needs its model file: make it as a network",
            spec);
    if (text_is(spec, kind_size, "host"))
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED,
            "extractor \"%s\" needs the functions of the program it came from", spec);
    return ims_fail(
        IMGSIM_ERROR_INVALID_ARGUMENT,
        "extractor \"%s\" is of an unknown kind, known are color and hash", spec);
}

imgsim_status ims_extractor_new_remote(const char *spec, imgsim_extractor **out)
{
    if (strncmp(spec, "cnn:", 4) == 0 || strncmp(spec, "classes:", 8) == 0)
        return ims_extractor_new_cnn_input(spec, out);
    if (ims_thumb_spec_side(spec) != 0)
        return ims_extractor_new_thumb(ims_thumb_spec_side(spec), out);
    return imgsim_extractor_new_spec(spec, out);
}

/* ---- running ---- */

/* A network: prepare each image, run them batch by batch. */
static imgsim_status extract_batches(
    const imgsim_extractor *extractor,
    const imgsim_image *const *images,
    size_t count,
    uint8_t *out_rows)
{
    imgsim_status status = IMGSIM_OK;
    size_t batch_size = count < extractor->batch_size ? count : extractor->batch_size;
    uint8_t *inputs = ims_alloc_array(batch_size, extractor->input_size);

    if (inputs == NULL)
        return ims_fail_memory(batch_size * extractor->input_size);

    for (size_t start = 0; start < count && status == IMGSIM_OK; start += batch_size) {
        size_t batch = count - start < batch_size ? count - start : batch_size;

        for (size_t i = 0; i < batch && status == IMGSIM_OK; i++)
            status = extractor->kind->prepare(
                extractor, images[start + i], inputs + i * extractor->input_size);
        if (status == IMGSIM_OK)
            status = extractor->kind->run(
                extractor, inputs, batch, out_rows + start * extractor->row_size);
    }
    ims_free(inputs);
    return status;
}

static imgsim_status extract_each(
    const imgsim_extractor *extractor,
    const imgsim_image *const *images,
    size_t count,
    uint8_t *out_rows)
{
    imgsim_status status = IMGSIM_OK;

    for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
        status = extractor->kind->extract(extractor, images[i], out_rows + i * extractor->row_size);
    return status;
}

imgsim_status imgsim_extractor_extract(
    const imgsim_extractor *extractor,
    const imgsim_image *const *images,
    size_t image_count,
    void *out_rows,
    size_t out_size)
{
    size_t needed = 0;

    if (extractor == NULL || (image_count > 0 && (images == NULL || out_rows == NULL)))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "extractor, images and out_rows must not be NULL");
    if (!ims_mul_size(image_count, extractor->row_size, &needed) || out_size < needed)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "out_rows has %zu bytes, %zu rows need %zu", out_size,
            image_count, needed);
    for (size_t i = 0; i < image_count; i++)
        if (images[i] == NULL)
            return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "image %zu is NULL", i);
    if (image_count == 0)
        return IMGSIM_OK;

    if (extractor->input_size > 0)
        return extract_batches(extractor, images, image_count, out_rows);
    if (extractor->kind->extract_many != NULL)
        return extractor->kind->extract_many(extractor, images, image_count, out_rows);
    return extract_each(extractor, images, image_count, out_rows);
}
