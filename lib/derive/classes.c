/* SPDX-License-Identifier: Apache-2.0 */
/* What people say images are: their labels, or the folders they lie in. */
#include "derive/derive_internal.h"

#include "core/memory.h"

#include <stdlib.h>
#include <string.h>

struct pair {
    int64_t id;
    int32_t class_number;
};

struct gathering {
    struct ims_classes *classes;
    struct pair *pairs;
    size_t count;
    size_t room;
};

void ims_classes_clear(struct ims_classes *classes)
{
    for (size_t i = 0; i < classes->count; i++)
        ims_free(classes->names[i]);
    ims_free(classes->names);
    ims_free(classes->starts);
    ims_free(classes->of);
    memset(classes, 0, sizeof(*classes));
}

static imgsim_status add_name(struct ims_classes *classes, const char *name)
{
    if (!ims_grow((void **)&classes->names, &classes->room, classes->count + 1, sizeof(char *)) ||
        (classes->names[classes->count] = ims_strdup(name)) == NULL)
        return ims_fail_memory(strlen(name) + 1);
    classes->count++;
    return IMGSIM_OK;
}

static imgsim_status add_pair(struct gathering *g, int64_t id, int32_t class_number)
{
    if (!ims_grow((void **)&g->pairs, &g->room, g->count + 1, sizeof(*g->pairs)))
        return ims_fail_memory((g->count + 1) * sizeof(*g->pairs));
    g->pairs[g->count++] = (struct pair){id, class_number};
    return IMGSIM_OK;
}

/* Put the pairs in order of id; classes of an id stay in theirs. */
static imgsim_status finish(struct gathering *g, uint64_t id_count)
{
    struct ims_classes *classes = g->classes;
    uint64_t *next;

    classes->id_count = id_count;
    classes->starts = ims_calloc(id_count + 2, sizeof(uint64_t));
    classes->of = ims_alloc_array(g->count, sizeof(int32_t));
    if (classes->starts == NULL || classes->of == NULL)
        return ims_fail_memory(id_count * sizeof(uint64_t));
    /* next[id] runs from where an id's classes begin to where they end, which is where the next id's begin. */
    next = classes->starts + 1;
    for (size_t i = 0; i < g->count; i++)
        if ((uint64_t)g->pairs[i].id + 1 < id_count)
            next[g->pairs[i].id + 1]++;
    for (uint64_t id = 1; id < id_count; id++)
        next[id] += next[id - 1];
    for (size_t i = 0; i < g->count; i++)
        if ((uint64_t)g->pairs[i].id < id_count)
            classes->of[next[g->pairs[i].id]++] = g->pairs[i].class_number;
    return IMGSIM_OK;
}

/* ---- labels ---- */

static bool is_ours(const char *label)
{
    return strncmp(label, IMS_CLUSTER_PREFIX, strlen(IMS_CLUSTER_PREFIX)) == 0 ||
           strncmp(label, IMS_PREDICTED_PREFIX, strlen(IMS_PREDICTED_PREFIX)) == 0;
}

/* Labels come in order, so that a new one is new. */
static imgsim_status take_label(int64_t id, const char *label, void *user_data)
{
    struct gathering *g = user_data;
    struct ims_classes *classes = g->classes;
    imgsim_status status;

    if (is_ours(label))
        return IMGSIM_OK;
    if ((classes->count == 0 || strcmp(classes->names[classes->count - 1], label) != 0) &&
        (status = add_name(classes, label)) != IMGSIM_OK)
        return status;
    return add_pair(g, id, (int32_t)classes->count - 1);
}

imgsim_status ims_classes_by_label(const imgsim_catalog *catalog, struct ims_classes *out)
{
    struct gathering g = {.classes = out};
    imgsim_status status;

    memset(out, 0, sizeof(*out));
    status = ims_catalog_visit_label_pairs(catalog, take_label, &g);
    if (status == IMGSIM_OK)
        status = finish(&g, imgsim_catalog_get_id_count(catalog));
    ims_free(g.pairs);
    if (status != IMGSIM_OK)
        ims_classes_clear(out);
    return status;
}

/* ---- folders ---- */

/* The name of each image's folder, and its id. */
struct folder {
    char *name;
    int64_t id;
};

struct folders {
    struct folder *items;
    size_t count;
    size_t room;
    imgsim_status status;
};

static int32_t take_folder(const imgsim_file_info *file, void *user_data)
{
    struct folders *folders = user_data;
    const char *slash = strrchr(file->directory, '/');
    const char *name = slash != NULL ? slash + 1 : file->directory;
    char *copy;

    if (file->id < 0 || name[0] == '\0')
        return 0;
    if (!ims_grow(
            (void **)&folders->items, &folders->room, folders->count + 1,
            sizeof(*folders->items)) ||
        (copy = ims_strdup(name)) == NULL) {
        folders->status = ims_fail_memory(strlen(name) + 1);
        return 1;
    }
    folders->items[folders->count++] = (struct folder){copy, file->id};
    return 0;
}

static int by_name(const void *x, const void *y)
{
    const struct folder *a = x, *b = y;
    const int order = strcmp(a->name, b->name);

    return order != 0 ? order : a->id < b->id ? -1 : a->id > b->id;
}

imgsim_status ims_classes_by_folder(const imgsim_catalog *catalog, struct ims_classes *out)
{
    struct gathering g = {.classes = out};
    struct folders folders = {.status = IMGSIM_OK};
    imgsim_status status;

    memset(out, 0, sizeof(*out));
    status = imgsim_catalog_visit_files(catalog, IMGSIM_FILE_OK, take_folder, &folders);
    if (status == IMGSIM_OK)
        status = folders.status;
    if (folders.count > 0)
        qsort(folders.items, folders.count, sizeof(*folders.items), by_name);
    for (size_t i = 0; i < folders.count && status == IMGSIM_OK; i++) {
        if (i == 0 || strcmp(folders.items[i].name, folders.items[i - 1].name) != 0)
            status = add_name(out, folders.items[i].name);
        if (status == IMGSIM_OK)
            status = add_pair(&g, folders.items[i].id, (int32_t)out->count - 1);
    }
    if (status == IMGSIM_OK)
        status = finish(&g, imgsim_catalog_get_id_count(catalog));
    for (size_t i = 0; i < folders.count; i++)
        ims_free(folders.items[i].name);
    ims_free(folders.items);
    ims_free(g.pairs);
    if (status != IMGSIM_OK)
        ims_classes_clear(out);
    return status;
}
