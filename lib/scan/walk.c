/* SPDX-License-Identifier: Apache-2.0 */
/* The walk: every path below the given folders, once, in the order of the bytes of the paths, without opening a file. */
#include "scan/walk.h"

#include "core/file.h"
#include "core/memory.h"
#include "core/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A folder that was entered. */
struct visit {
    uint64_t device;
    uint64_t inode;
    uint64_t path_hash; /* 0: the catalog's own folder */
    bool used;
};

/* A folder whose names are being taken one after another. */
struct level {
    struct ims_listing listing;
    size_t next;
    size_t length; /* of its path */
    uint32_t stored;
    bool included;
};

/* A link to a folder, followed after the real folders. */
struct link {
    char *path;
    size_t root_length;
    dev_t device;
    bool included;
};

struct walker {
    const struct ims_walk_options *options;
    struct ims_walk *walk;
    /* Path of the folder being walked; grows and shrinks with the depth. */
    char *path;
    size_t path_capacity;
    size_t length;
    /* The scanned folder it lies below: what patterns do not see of the path, and the file system. */
    size_t root_length;
    dev_t device;
    /* For the patterns. */
    char *relative;
    size_t relative_capacity;
    /* From the scanned folder down to the one being walked: no recursion, as nobody knows how deep a tree is. */
    struct level *levels;
    size_t level_count;
    size_t level_capacity;
    struct visit *visits; /* open addressing, power of two */
    size_t visit_count;
    size_t visit_capacity;
    struct link *links;
    size_t link_count;
    size_t link_capacity;
    uint32_t since_tick;
};

static uint64_t hash_path(const char *path)
{
    uint64_t hash = 0x9e3779b97f4a7c15u;

    for (; *path != '\0'; path++)
        hash = ims_mix64(hash ^ (uint8_t)*path);
    return hash | 1;
}

/* ---- folders visited ---- */

static struct visit *find_visit(struct visit *visits, size_t capacity, uint64_t dev, uint64_t ino)
{
    size_t at = (size_t)ims_mix64(dev * 31 + ino) & (capacity - 1);

    while (visits[at].used && (visits[at].device != dev || visits[at].inode != ino))
        at = (at + 1) & (capacity - 1);
    return &visits[at];
}

static imgsim_status grow_visits(struct walker *walker)
{
    size_t capacity = walker->visit_capacity == 0 ? 256 : walker->visit_capacity * 2;
    struct visit *visits = ims_calloc(capacity, sizeof(*visits));

    if (visits == NULL)
        return ims_fail_memory(capacity * sizeof(*visits));
    for (size_t i = 0; i < walker->visit_capacity; i++)
        if (walker->visits[i].used)
            *find_visit(visits, capacity, walker->visits[i].device, walker->visits[i].inode) =
                walker->visits[i];
    ims_free(walker->visits);
    walker->visits = visits;
    walker->visit_capacity = capacity;
    return IMGSIM_OK;
}

/* Enter a folder in the set: *out_before is its older entry, with used false when it is new. */
static imgsim_status visit_folder(
    struct walker *walker,
    const struct stat *info,
    uint64_t hash,
    struct visit *out_before)
{
    imgsim_status status;
    struct visit *visit;

    if (walker->visit_count * 2 >= walker->visit_capacity &&
        (status = grow_visits(walker)) != IMGSIM_OK)
        return status;
    visit = find_visit(walker->visits, walker->visit_capacity, info->st_dev, info->st_ino);
    *out_before = *visit;
    if (!visit->used) {
        *visit = (struct visit){info->st_dev, info->st_ino, hash, true};
        walker->visit_count++;
    }
    return IMGSIM_OK;
}

/* ---- entries ---- */

/* Bytes that the stored form of a path leaves away at the front: the same for all names of a folder. */
static imgsim_status stored_offset(const struct walker *walker, const char *path, uint32_t *out)
{
    char *stored = ims_catalog_store_path(walker->options->catalog, path);
    size_t length = strlen(path), stored_length;
    imgsim_status status = IMGSIM_OK;

    if (stored == NULL)
        return ims_fail_memory(length + 1);
    stored_length = strlen(stored);
    if (stored_length > length || strcmp(path + length - stored_length, stored) != 0)
        status = ims_fail(IMGSIM_ERROR_INTERNAL, "%s is stored as %s", path, stored);
    else
        *out = (uint32_t)(length - stored_length);
    ims_free(stored);
    return status;
}

/* Add walker->path, with '/' and `name` behind it unless that is empty. */
static imgsim_status
add_entry(struct walker *walker, const char *name, const struct ims_child *child, uint32_t stored)
{
    struct ims_walk *walk = walker->walk;
    size_t name_length = strlen(name);
    size_t size = walker->length + (name_length > 0 ? 1 : 0) + name_length + 1;
    struct ims_entry *entry;
    char *text;

    if (!ims_grow((void **)&walk->text, &walk->text_capacity, walk->text_size + size, 1) ||
        !ims_grow((void **)&walk->entries, &walk->capacity, walk->count + 1, sizeof(*entry)))
        return ims_fail_memory(walk->text_size + size);

    text = walk->text + walk->text_size;
    memcpy(text, walker->path, walker->length);
    text += walker->length;
    /* The root folder ends with the slash already. */
    if (name_length > 0 && (walker->length == 0 || text[-1] != '/'))
        *text++ = '/';
    memcpy(text, name, name_length + 1);
    text += name_length + 1;

    entry = &walk->entries[walk->count++];
    *entry = (struct ims_entry){walk->text_size, child->bytes, child->mtime_ns,
                                stored,          child->kind,  child->error};
    walk->text_size = (size_t)(text - walk->text);
    atomic_fetch_add_explicit(&walker->options->meter->done, 1, memory_order_relaxed);
    return IMGSIM_OK;
}

/* Add walker->path itself, for what cannot be entered. */
static imgsim_status add_folder_entry(struct walker *walker, enum ims_entry_kind kind, int error)
{
    struct ims_child child = {.kind = (uint16_t)kind, .error = (uint16_t)error};
    imgsim_status status;
    uint32_t stored = 0;

    if ((status = stored_offset(walker, walker->path, &stored)) != IMGSIM_OK)
        return status;
    return add_entry(walker, "", &child, stored);
}

static imgsim_status tick(struct walker *walker, uint32_t steps)
{
    walker->since_tick += steps;
    if (walker->since_tick < 64)
        return IMGSIM_OK;
    walker->since_tick = 0;
    return ims_meter_tick(walker->options->meter, false);
}

/* ---- one folder ---- */

/* Cut walker->path to `length` and append '/' and a name (none if empty). */
static imgsim_status set_path(struct walker *walker, size_t length, const char *name)
{
    size_t size = strlen(name) + 1;

    if (!ims_grow((void **)&walker->path, &walker->path_capacity, length + size + 1, 1))
        return ims_fail_memory(length + size + 1);
    if (size > 1 && length > 0 && walker->path[length - 1] != '/')
        walker->path[length++] = '/';
    memcpy(walker->path + length, name, size);
    walker->length = length + size - 1;
    return IMGSIM_OK;
}

/* The machine's want, not the folder's fault. */
static bool ends_scan(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

static imgsim_status take_unreadable(struct walker *walker, int error)
{
    if (ends_scan(error))
        return ims_fail_errno(error, "%s", walker->path);
    ims_log(IMGSIM_LOG_WARNING, "%s: unreadable folder: %s", walker->path, strerror(error));
    return add_folder_entry(walker, IMS_ENTRY_FOLDER_UNREADABLE, error);
}

/* Whether to walk an open folder. */
static imgsim_status
judge_folder(struct walker *walker, const struct stat *info, bool is_root, bool *out_enter)
{
    uint64_t hash = hash_path(walker->path);
    imgsim_status status;
    struct visit before;

    *out_enter = false;
    if (is_root)
        walker->device = info->st_dev;
    else if (walker->options->one_file_system && info->st_dev != walker->device)
        return add_folder_entry(walker, IMS_ENTRY_OTHER_FILE_SYSTEM, 0);
    if ((status = visit_folder(walker, info, hash, &before)) != IMGSIM_OK)
        return status;
    if (before.used && before.path_hash != 0 && before.path_hash != hash)
        return add_folder_entry(walker, IMS_ENTRY_FOLDER_SEEN, 0);
    *out_enter = !before.used;
    return IMGSIM_OK;
}

static struct ims_place place_of(struct walker *walker, bool included)
{
    size_t length = walker->length - walker->root_length;
    const char *path = walker->path + walker->root_length;

    while (length > 0 && *path == '/') {
        path++;
        length--;
    }
    if (ims_grow((void **)&walker->relative, &walker->relative_capacity, length + 1, 1)) {
        memcpy(walker->relative, path, length);
        walker->relative[length] = '\0';
    } else {
        length = SIZE_MAX;
    }
    return (struct ims_place){
        .options = walker->options,
        .relative = &walker->relative,
        .relative_capacity = &walker->relative_capacity,
        .relative_length = length,
        .device = walker->device,
        .included = included};
}

/* Read the folder in walker->path as the deepest level. */
static imgsim_status add_level(struct walker *walker, int folder, bool included)
{
    struct ims_place place = place_of(walker, included);
    struct level *level;
    imgsim_status status;
    char *probe = NULL;
    int error;

    if (place.relative_length == SIZE_MAX || !ims_grow(
                                                 (void **)&walker->levels, &walker->level_capacity,
                                                 walker->level_count + 1, sizeof(*level))) {
        close(folder);
        return ims_fail_memory(walker->length);
    }
    level = &walker->levels[walker->level_count++];
    *level = (struct level){.length = walker->length, .included = included};
    if ((status = ims_listing_read(&level->listing, folder, &place, &error)) != IMGSIM_OK)
        return status;
    /* What was read counts; the rest shows up as a folder that could not be read. */
    if (error != 0 && (status = take_unreadable(walker, error)) != IMGSIM_OK)
        return status;
    if (level->listing.count == 0)
        return IMGSIM_OK;
    if ((probe = ims_join_path(walker->path, "x")) == NULL)
        return ims_fail_memory(walker->length);
    status = stored_offset(walker, probe, &level->stored);
    ims_free(probe);
    return status;
}

/* Open the folder in walker->path and make it the deepest level, unless there is a reason not to. */
static imgsim_status enter(struct walker *walker, bool follow, bool is_root, bool included)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW);
    imgsim_status status;
    struct stat info;
    bool wanted;
    int folder;

    if ((status = tick(walker, 16)) != IMGSIM_OK)
        return status;
    if (walker->length >= IMS_WALK_PATH_MAX)
        return add_folder_entry(walker, IMS_ENTRY_PATH_TOO_LONG, 0);
    folder = ims_open_path(walker->path, flags);
    if (folder < 0 || fstat(folder, &info) != 0) {
        int error = errno;

        if (folder >= 0)
            close(folder);
        return take_unreadable(walker, error);
    }
    status = judge_folder(walker, &info, is_root, &wanted);
    if (status != IMGSIM_OK || !wanted) {
        close(folder);
        return status;
    }
    return add_level(walker, folder, included);
}

/* Keep level / name for later. */
static imgsim_status defer_link(struct walker *walker, const struct ims_child *child)
{
    char *path = ims_join_path(walker->path, child->at.name);

    if (path == NULL || !ims_grow(
                            (void **)&walker->links, &walker->link_capacity, walker->link_count + 1,
                            sizeof(*walker->links))) {
        ims_free(path);
        return ims_fail_memory(walker->length);
    }
    walker->links[walker->link_count++] =
        (struct link){path, walker->root_length, walker->device, child->included};
    return IMGSIM_OK;
}

/* The next name of the deepest level, with that level's path in walker->path. */
static imgsim_status take_child(struct walker *walker, const struct ims_child *child)
{
    const struct level *level = &walker->levels[walker->level_count - 1];
    imgsim_status status;

    if (child->folder) {
        bool included = level->included || child->included;

        if ((status = set_path(walker, walker->length, child->at.name)) != IMGSIM_OK)
            return status;
        return enter(walker, false, false, included);
    }
    if (child->kind == IMS_ENTRY_FOLDER_LINK && walker->options->follow_links)
        return defer_link(walker, child);
    return add_entry(walker, child->at.name, child, level->stored);
}

/* Walk from the folder in walker->path down. */
static imgsim_status walk_tree(struct walker *walker, bool follow, bool is_root, bool included)
{
    imgsim_status status = enter(walker, follow, is_root, included);

    while (status == IMGSIM_OK && walker->level_count > 0) {
        struct level *level = &walker->levels[walker->level_count - 1];

        if (level->next == level->listing.count) {
            ims_listing_clear(&level->listing);
            walker->level_count--;
            continue;
        }
        walker->path[level->length] = '\0';
        walker->length = level->length;
        status = take_child(walker, &level->listing.children[level->next++]);
    }
    return status;
}

/* ---- the whole ---- */

/* Absolute forms of the given paths, and that each of them is there. */
static imgsim_status check_roots(struct walker *walker)
{
    const struct ims_walk_options *options = walker->options;
    struct ims_walk *walk = walker->walk;
    imgsim_status status;
    struct stat info;

    walk->roots = ims_calloc(options->path_count, sizeof(*walk->roots));
    if (walk->roots == NULL)
        return ims_fail_memory(options->path_count * sizeof(*walk->roots));
    for (size_t i = 0; i < options->path_count; i++) {
        if ((status = ims_absolute_path(options->paths[i], &walk->roots[i])) != IMGSIM_OK)
            return status;
        walk->root_count++;
        if (ims_stat_path(walk->roots[i], 0, &info) != 0 &&
            ims_stat_path(walk->roots[i], AT_SYMLINK_NOFOLLOW, &info) != 0)
            return ims_fail_errno(errno, "%s", options->paths[i]);
    }
    return IMGSIM_OK;
}

/* A path that was named is taken, whatever the rules say. */
static imgsim_status walk_root(struct walker *walker, const char *root)
{
    struct ims_child child = {0};
    imgsim_status status;
    const char *rest = root;
    struct stat info;
    uint32_t stored;
    int folder;

    if (strlen(root) >= IMS_WALK_PATH_MAX)
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "a path of %zu bytes, at most %d are possible", strlen(root),
            IMS_WALK_PATH_MAX - 1);
    if ((status = set_path(walker, 0, root)) != IMGSIM_OK)
        return status;
    walker->root_length = walker->length;
    if (ims_stat_path(root, 0, &info) == 0 && S_ISDIR(info.st_mode))
        return walk_tree(walker, true, true, false);

    if ((folder = ims_enter_path(&rest)) == -1)
        return take_unreadable(walker, errno);
    ims_child_examine(folder, rest, &child);
    if (folder >= 0)
        close(folder);
    if ((status = stored_offset(walker, root, &stored)) != IMGSIM_OK)
        return status;
    return add_entry(walker, "", &child, stored);
}

static imgsim_status walk_link(struct walker *walker, const struct link *link)
{
    imgsim_status status = set_path(walker, 0, link->path);

    walker->root_length = link->root_length;
    walker->device = link->device;
    return status != IMGSIM_OK ? status : walk_tree(walker, true, false, link->included);
}

static const char *stored_text(const struct ims_walk *walk, size_t i)
{
    return walk->text + walk->entries[i].path + walk->entries[i].stored;
}

static int compare_entries(const void *a, const void *b, void *context)
{
    const struct ims_walk *walk = context;
    const struct ims_entry *first = a, *second = b;

    return strcmp(
        walk->text + first->path + first->stored, walk->text + second->path + second->stored);
}

/* Several roots and followed links come in any order and may name a path twice. */
static void put_in_order(struct ims_walk *walk)
{
    bool ordered = true;
    size_t kept = 0;

    for (size_t i = 1; i < walk->count && ordered; i++)
        ordered = strcmp(stored_text(walk, i - 1), stored_text(walk, i)) < 0;
    if (ordered)
        return;
    qsort_r(walk->entries, walk->count, sizeof(*walk->entries), compare_entries, walk);
    for (size_t i = 0; i < walk->count; i++)
        if (kept == 0 || strcmp(stored_text(walk, kept - 1), stored_text(walk, i)) != 0)
            walk->entries[kept++] = walk->entries[i];
    walk->count = kept;
}

imgsim_status ims_walk_run(const struct ims_walk_options *options, struct ims_walk *walk)
{
    struct walker *walker = ims_calloc(1, sizeof(*walker));
    imgsim_status status;
    struct visit before;
    struct stat info;

    if (walker == NULL)
        return ims_fail_memory(sizeof(*walker));
    walker->options = options;
    walker->walk = walk;
    ims_meter_phase(options->meter, "walk", 0);

    if ((status = check_roots(walker)) != IMGSIM_OK)
        goto done;
    if (stat(imgsim_catalog_get_path(options->catalog), &info) == 0 &&
        (status = visit_folder(walker, &info, 0, &before)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < walk->root_count && status == IMGSIM_OK; i++)
        status = walk_root(walker, walk->roots[i]);
    /* Real folders first: a folder's files are named by its own path, not by a link's. */
    for (size_t i = 0; i < walker->link_count && status == IMGSIM_OK; i++) {
        const struct link link = walker->links[i]; /* the array may grow */

        status = walk_link(walker, &link);
    }
    if (status != IMGSIM_OK)
        goto done;
    put_in_order(walk);
    status = ims_meter_tick(options->meter, false);

done:
    for (size_t i = 0; i < walker->level_count; i++)
        ims_listing_clear(&walker->levels[i].listing);
    for (size_t i = 0; i < walker->link_count; i++)
        ims_free(walker->links[i].path);
    ims_free(walker->levels);
    ims_free(walker->links);
    ims_free(walker->visits);
    ims_free(walker->path);
    ims_free(walker->relative);
    ims_free(walker);
    return status;
}

void ims_walk_close(struct ims_walk *walk)
{
    for (size_t i = 0; i < walk->root_count; i++)
        ims_free(walk->roots[i]);
    ims_free(walk->roots);
    ims_free(walk->text);
    ims_free(walk->entries);
    *walk = (struct ims_walk){0};
}
