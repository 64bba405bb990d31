/* SPDX-License-Identifier: Apache-2.0 */
/* Images in classes: by labels, by folders, or by what this library found. */
#include "catalog/classes.h"

#include "core/memory.h"

#include <stdlib.h>
#include <string.h>

struct pair {
    int64_t id;
    int32_t class_number;
};

struct gathering {
    struct ims_classes *classes;
    const char *prefix; /* of the labels; NULL: those that are not ours */
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

static bool begins(const char *label, const char *prefix)
{
    return strncmp(label, prefix, strlen(prefix)) == 0;
}

/* Labels come in order, so that a new one is new. */
static imgsim_status take_label(int64_t id, const char *label, void *user_data)
{
    struct gathering *g = user_data;
    struct ims_classes *classes = g->classes;
    const char *name = g->prefix != NULL ? label + strlen(g->prefix) : label;
    imgsim_status status;

    if (g->prefix != NULL
            ? !begins(label, g->prefix)
            : begins(label, IMS_CLUSTER_PREFIX) || begins(label, IMS_PREDICTED_PREFIX))
        return IMGSIM_OK;
    if ((classes->count == 0 || strcmp(classes->names[classes->count - 1], name) != 0) &&
        (status = add_name(classes, name)) != IMGSIM_OK)
        return status;
    return add_pair(g, id, (int32_t)classes->count - 1);
}

imgsim_status
ims_classes_by_prefix(const imgsim_catalog *catalog, const char *prefix, struct ims_classes *out)
{
    struct gathering g = {.classes = out, .prefix = prefix};
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

imgsim_status ims_classes_by_label(const imgsim_catalog *catalog, struct ims_classes *out)
{
    return ims_classes_by_prefix(catalog, NULL, out);
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

imgsim_status ims_classes_by_any(const imgsim_catalog *catalog, struct ims_classes *out)
{
    imgsim_status status = ims_classes_by_label(catalog, out);

    if (status != IMGSIM_OK || out->count > 0)
        return status;
    ims_classes_clear(out);
    return ims_classes_by_folder(catalog, out);
}

/* ---- groups and classes ---- */

static void vote(
    const struct ims_classes *classes,
    const size_t *members,
    size_t count,
    const int64_t *ids,
    uint32_t *votes,
    int32_t *best,
    uint64_t *best_count)
{
    memset(votes, 0, classes->count * sizeof(*votes));
    *best = -1;
    *best_count = 0;
    for (size_t i = 0; i < count; i++) {
        const uint64_t id = (uint64_t)ids[members[i]];

        for (uint64_t e = classes->starts[id]; e < classes->starts[id + 1]; e++)
            votes[classes->of[e]]++;
    }
    for (size_t c = 0; c < classes->count; c++)
        if (votes[c] > *best_count) {
            *best_count = votes[c];
            *best = (int32_t)c;
        }
}

imgsim_status ims_classes_most_frequent(
    const struct ims_classes *classes,
    const int64_t *ids,
    const int32_t *groups,
    size_t count,
    size_t group_count,
    int32_t *best,
    uint64_t *best_count)
{
    uint32_t *votes = ims_calloc(classes->count, sizeof(*votes));
    size_t *starts = ims_calloc(group_count + 2, sizeof(*starts));
    size_t *members = ims_alloc_array(count, sizeof(*members));
    imgsim_status status = IMGSIM_OK;

    if (votes == NULL || starts == NULL || members == NULL) {
        status = ims_fail_memory(count * sizeof(*members));
        goto done;
    }
    /* starts[g + 1] runs from where a group's members begin to where they end, which is where the next one's begin. */
    for (size_t i = 0; i < count; i++)
        if (groups[i] >= 0 && (uint64_t)ids[i] < classes->id_count)
            starts[groups[i] + 2]++;
    for (size_t g = 2; g < group_count + 2; g++)
        starts[g] += starts[g - 1];
    for (size_t i = 0; i < count; i++)
        if (groups[i] >= 0 && (uint64_t)ids[i] < classes->id_count)
            members[starts[groups[i] + 1]++] = i;
    for (size_t g = 0; g < group_count; g++)
        vote(
            classes, members + starts[g], starts[g + 1] - starts[g], ids, votes, &best[g],
            &best_count[g]);

done:
    ims_free(votes);
    ims_free(starts);
    ims_free(members);
    return status;
}

/* ---- sets of clusters ---- */

struct set_visit {
    struct ims_cluster_sets *sets;
    imgsim_status status;
};

/* Labels come in order: those of a set follow each other, but where a name is the beginning of another's. */
static bool is_known(const struct ims_cluster_sets *sets, const char *name, size_t length)
{
    for (size_t i = 0; i < sets->count; i++)
        if (strlen(sets->names[i]) == length && memcmp(sets->names[i], name, length) == 0)
            return true;
    return false;
}

static int32_t take_set(const char *label, uint64_t image_count, void *user_data)
{
    struct set_visit *visit = user_data;
    struct ims_cluster_sets *sets = visit->sets;
    const char *name, *slash;
    size_t length;

    if (image_count == 0 || !begins(label, IMS_CLUSTER_PREFIX))
        return 0;
    name = label + strlen(IMS_CLUSTER_PREFIX);
    if ((slash = strrchr(name, '/')) == NULL || slash == name)
        return 0;
    length = (size_t)(slash - name);
    if (is_known(sets, name, length))
        return 0;
    if (!ims_grow((void **)&sets->names, &sets->room, sets->count + 1, sizeof(char *)) ||
        (sets->names[sets->count] = ims_strdup(name)) == NULL) {
        visit->status = ims_fail_memory(length + 1);
        return 1;
    }
    sets->names[sets->count++][length] = '\0';
    return 0;
}

static int by_bytes(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

imgsim_status ims_cluster_sets_find(const imgsim_catalog *catalog, struct ims_cluster_sets *out)
{
    struct set_visit visit = {out, IMGSIM_OK};
    imgsim_status status;

    memset(out, 0, sizeof(*out));
    status = imgsim_catalog_visit_labels(catalog, -1, take_set, &visit);
    if (status == IMGSIM_OK)
        status = visit.status;
    if (status != IMGSIM_OK)
        ims_cluster_sets_clear(out);
    else if (out->count > 0)
        qsort(out->names, out->count, sizeof(char *), by_bytes);
    return status;
}

void ims_cluster_sets_clear(struct ims_cluster_sets *sets)
{
    for (size_t i = 0; i < sets->count; i++)
        ims_free(sets->names[i]);
    ims_free(sets->names);
    memset(sets, 0, sizeof(*sets));
}
