/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what the classes of a network are called: one name per line, from a file or from a model's metadata. */
#include "extract/class_names.h"

#include "core/file.h"
#include "core/memory.h"
#include "core/text.h"
#include "extract/safetensors.h"

#include <string.h>

#define WAYS                                                                             \
    "give a file with a name per line (--names), or put one into the model: python3 -m " \
    "imgsim.convert --classes FILE"

static imgsim_status copy_text(const void *data, size_t size, struct ims_class_names *out)
{
    if ((out->text = ims_alloc(size + 1)) == NULL)
        return ims_fail_memory(size + 1);
    if (size > 0)
        memcpy(out->text, data, size);
    out->text[size] = '\0';
    return IMGSIM_OK;
}

static imgsim_status read_file(const char *path, struct ims_class_names *out)
{
    struct ims_map map = {0};
    imgsim_status status = ims_map_open(&map, path);

    if (status == IMGSIM_OK)
        status = copy_text(map.data, map.size, out);
    ims_map_close(&map);
    return status;
}

static imgsim_status read_metadata(const char *path, struct ims_class_names *out)
{
    struct ims_safetensors file = {0};
    struct ims_map map = {0};
    const char *text = NULL;
    imgsim_status status = ims_map_open(&map, path);

    if (status != IMGSIM_OK) {
        status = ims_fail(
            IMGSIM_ERROR_NOT_FOUND, "the model %s, which may name its classes, is gone; " WAYS,
            path);
        goto done;
    }
    if ((status = ims_safetensors_parse(&file, map.data, map.size)) != IMGSIM_OK)
        goto done;
    if ((text = ims_safetensors_metadata(&file, "classes")) == NULL)
        status =
            ims_fail(IMGSIM_ERROR_NOT_FOUND, "the model %s does not name its classes; " WAYS, path);
    else
        status = copy_text(text, strlen(text), out);

done:
    ims_safetensors_close(&file);
    ims_map_close(&map);
    return status;
}

static imgsim_status check_name(const char *name, size_t line, const char *source)
{
    const unsigned char *at = (const unsigned char *)name;

    if (*at == '\0' || strlen(name) > IMS_CLASS_NAME_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%s: line %zu has %zu bytes, expected a name of 1 to %d",
            source, line, strlen(name), IMS_CLASS_NAME_MAX);
    while (*at != '\0') {
        const size_t size = ims_utf8_size(at);

        if (size == 0 || ims_utf8_is_control(at, size))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT,
                "%s: line %zu is not UTF-8 without control characters", source, line);
        at += size;
    }
    return IMGSIM_OK;
}

/* Cut the text at its line ends; the names that there are, at most `most`. */
static size_t split(char *text, const char **items, size_t most)
{
    size_t count = 0;

    if (strncmp(text, "\xEF\xBB\xBF", 3) == 0)
        text += 3; /* a byte order mark */
    while (*text != '\0' && count < most) {
        const size_t length = strcspn(text, "\n");
        const bool last = text[length] == '\0';

        items[count++] = text;
        text[length] = '\0';
        if (length > 0 && text[length - 1] == '\r')
            text[length - 1] = '\0';
        text += last ? length : length + 1;
    }
    return count;
}

static imgsim_status find_names(struct ims_class_names *names, const char *source, size_t count)
{
    imgsim_status status = IMGSIM_OK;

    names->items = ims_alloc_array(count + 2, sizeof(*names->items));
    if (names->items == NULL)
        return ims_fail_memory((count + 2) * sizeof(*names->items));
    names->count = split(names->text, names->items, count + 2);
    if (names->count == count + 1 && strcmp(names->items[0], "background") == 0)
        memmove(names->items, names->items + 1, --names->count * sizeof(*names->items));
    if (names->count != count)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%s has %s%zu lines, the network has %zu classes",
            source, names->count > count + 1 ? "more than " : "",
            names->count > count + 1 ? count + 1 : names->count, count);
    for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
        status = check_name(names->items[i], i + 1, source);
    return status;
}

imgsim_status ims_class_names_read(
    const char *names_path,
    const char *model_path,
    size_t count,
    struct ims_class_names *out)
{
    const char *source = names_path != NULL ? names_path : model_path;
    imgsim_status status =
        names_path != NULL ? read_file(names_path, out) : read_metadata(model_path, out);

    if (status == IMGSIM_OK)
        status = find_names(out, source, count);
    if (status != IMGSIM_OK)
        ims_class_names_clear(out);
    return status;
}

void ims_class_names_clear(struct ims_class_names *names)
{
    ims_free(names->text);
    ims_free(names->items);
    memset(names, 0, sizeof(*names));
}
