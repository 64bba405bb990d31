/* SPDX-License-Identifier: Apache-2.0 */
/* The walk: every path below the given folders, once, in the order of the bytes of the paths, without opening a file. */
#include "scan/scan.h"

#include "core/file.h"
#include "core/memory.h"
#include "core/rng.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that was entered. */
struct visit {
    uint64_t device;
    uint64_t inode;
    uint64_t path_hash; /* 0: the catalog's own folder */
    bool used;
};

/* A name in the folder being read. */
struct child {
    union {
        size_t offset; /* in names, while the folder is read */
        const char *name;
    } at;
    uint64_t bytes;
    int64_t mtime_ns;
    uint16_t kind;
    uint16_t error;
    bool folder;
};

/* What one folder holds. */
struct listing {
    char *names;
    size_t names_size;
    size_t names_capacity;
    struct child *children;
    size_t count;
    size_t capacity;
};

struct walker {
    const struct ims_walk_options *options;
    struct ims_walk *walk;
    /* Path of the folder being walked; grows and shrinks with the depth. */
    char path[PATH_MAX];
    size_t length;
    struct visit *visits; /* open addressing, power of two */
    size_t visit_count;
    size_t visit_capacity;
    char **links; /* links to folders, followed after the real ones */
    size_t link_count;
    size_t link_capacity;
    uint32_t since_tick;
};

static int64_t mtime_of(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec;
}

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
add_entry(struct walker *walker, const char *name, const struct child *child, uint32_t stored)
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
    struct child child = {.kind = (uint16_t)kind, .error = (uint16_t)error};
    imgsim_status status;
    uint32_t stored = 0;

    if ((status = stored_offset(walker, walker->path, &stored)) != IMGSIM_OK)
        return status;
    return add_entry(walker, "", &child, stored);
}

/* ---- one folder ---- */

/* What stat says about a file, a folder or a link that was followed. */
static void classify(const struct stat *info, struct child *child)
{
    child->bytes = S_ISREG(info->st_mode) ? (uint64_t)info->st_size : 0;
    child->mtime_ns = mtime_of(info);
    if (S_ISREG(info->st_mode))
        child->kind = IMS_ENTRY_FILE;
    else
        child->kind = IMS_ENTRY_NOT_REGULAR;
}

static void look_at(int folder, const char *name, struct child *child)
{
    struct stat info;

    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        child->kind = IMS_ENTRY_UNREADABLE;
        child->error = (uint16_t)errno;
        return;
    }
    if (S_ISLNK(info.st_mode)) {
        child->mtime_ns = mtime_of(&info);
        if (fstatat(folder, name, &info, 0) != 0) {
            child->kind = IMS_ENTRY_BROKEN_LINK;
            child->error = (uint16_t)errno;
        } else if (S_ISDIR(info.st_mode)) {
            child->kind = IMS_ENTRY_FOLDER_LINK;
        } else {
            classify(&info, child);
        }
        return;
    }
    if (S_ISDIR(info.st_mode))
        child->folder = true;
    else
        classify(&info, child);
}

/* Names that are left out without a word: hidden ones, unless asked for, and catalogs. */
static bool left_out(const struct walker *walker, const char *name)
{
    if (name[0] != '.')
        return false;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, ".imgsim") == 0)
        return true;
    return !walker->options->include_hidden;
}

static imgsim_status tick(struct walker *walker, uint32_t steps)
{
    walker->since_tick += steps;
    if (walker->since_tick < 64)
        return IMGSIM_OK;
    walker->since_tick = 0;
    return ims_meter_tick(walker->options->meter, false);
}

static imgsim_status read_names(struct walker *walker, DIR *folder, struct listing *listing)
{
    imgsim_status status;
    struct dirent *item;

    while (errno = 0, (item = readdir(folder)) != NULL) {
        size_t size = strlen(item->d_name) + 1;
        struct child *child;

        if (left_out(walker, item->d_name))
            continue;
        if (!ims_grow(
                (void **)&listing->names, &listing->names_capacity, listing->names_size + size,
                1) ||
            !ims_grow(
                (void **)&listing->children, &listing->capacity, listing->count + 1,
                sizeof(*child)))
            return ims_fail_memory(listing->names_size + size);
        child = &listing->children[listing->count++];
        *child = (struct child){.at.offset = listing->names_size};
        memcpy(listing->names + listing->names_size, item->d_name, size);
        listing->names_size += size;
        look_at(dirfd(folder), item->d_name, child);
        if ((status = tick(walker, 1)) != IMGSIM_OK)
            return status;
    }
    /* What was read so far counts; the rest shows up as a folder that could not be read. */
    if (errno != 0)
        return add_folder_entry(walker, IMS_ENTRY_FOLDER_UNREADABLE, errno);
    return IMGSIM_OK;
}

/* By bytes, folders as if a slash followed their name: then whole paths come in the order of their bytes, too. */
static int compare_children(const void *a, const void *b)
{
    const struct child *first = a, *second = b;
    const uint8_t *x = (const uint8_t *)first->at.name, *y = (const uint8_t *)second->at.name;
    int left, right;

    while (*x != '\0' && *x == *y) {
        x++;
        y++;
    }
    left = *x != '\0' ? *x : first->folder ? '/' : 0;
    right = *y != '\0' ? *y : second->folder ? '/' : 0;
    return left - right;
}

static void sort_listing(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        listing->children[i].at.name = listing->names + listing->children[i].at.offset;
    if (listing->count > 1)
        qsort(listing->children, listing->count, sizeof(*listing->children), compare_children);
}

/* Keep walker->path / name for later. */
static imgsim_status defer_link(struct walker *walker, const char *name)
{
    char *path = ims_join_path(walker->path, name);

    if (path == NULL || !ims_grow(
                            (void **)&walker->links, &walker->link_capacity, walker->link_count + 1,
                            sizeof(*walker->links))) {
        ims_free(path);
        return ims_fail_memory(PATH_MAX);
    }
    walker->links[walker->link_count++] = path;
    return IMGSIM_OK;
}

static imgsim_status walk_folder(struct walker *walker, bool follow);

/* Walk a folder in walker->path. */
static imgsim_status walk_child(struct walker *walker, const char *name)
{
    size_t length = walker->length, name_length = strlen(name);
    imgsim_status status;

    if (walker->path[length - 1] != '/')
        walker->path[walker->length++] = '/';
    memcpy(walker->path + walker->length, name, name_length + 1);
    walker->length += name_length;
    status = walk_folder(walker, false);
    walker->length = length;
    walker->path[length] = '\0';
    return status;
}

static imgsim_status take_child(struct walker *walker, struct child *child, uint32_t stored)
{
    const char *name = child->at.name;

    if (walker->length + 1 + strlen(name) >= PATH_MAX) {
        child->kind = IMS_ENTRY_PATH_TOO_LONG;
        return add_entry(walker, name, child, stored);
    }
    if (child->folder)
        return walk_child(walker, name);
    if (child->kind == IMS_ENTRY_FOLDER_LINK && walker->options->follow_links)
        return defer_link(walker, name);
    return add_entry(walker, name, child, stored);
}

/* Open walker->path and decide whether to walk it: *out_folder stays NULL when not. */
static imgsim_status open_folder(struct walker *walker, bool follow, DIR **out_folder)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW);
    int descriptor = open(walker->path, flags), error;
    imgsim_status status = IMGSIM_OK;
    uint64_t hash = hash_path(walker->path);
    struct visit before;
    struct stat info;

    *out_folder = NULL;
    if (descriptor < 0 || fstat(descriptor, &info) != 0) {
        error = errno;
        ims_log(IMGSIM_LOG_WARNING, "%s: unreadable folder: %s", walker->path, strerror(error));
        status = add_folder_entry(walker, IMS_ENTRY_FOLDER_UNREADABLE, error);
        goto done;
    }
    if ((status = visit_folder(walker, &info, hash, &before)) != IMGSIM_OK)
        goto done;
    if (before.used) {
        if (before.path_hash != 0 && before.path_hash != hash)
            status = add_folder_entry(walker, IMS_ENTRY_FOLDER_SEEN, 0);
        goto done;
    }
    if ((*out_folder = fdopendir(descriptor)) == NULL)
        status = ims_fail_errno(errno, "%s", walker->path);
    else
        descriptor = -1; /* now the stream's */

done:
    if (descriptor >= 0)
        close(descriptor);
    return status;
}

/*
 * Walk the folder in walker->path. Only one folder is open at a time, however deep the tree is; the depth is bounded by
 * PATH_MAX.
 */
static imgsim_status walk_folder(struct walker *walker, bool follow)
{
    struct listing listing = {0};
    imgsim_status status;
    DIR *folder = NULL;
    uint32_t stored = 0;

    if ((status = tick(walker, 16)) != IMGSIM_OK ||
        (status = open_folder(walker, follow, &folder)) != IMGSIM_OK || folder == NULL)
        goto done;
    status = read_names(walker, folder, &listing);
    closedir(folder);
    if (status != IMGSIM_OK)
        goto done;
    sort_listing(&listing);

    if (listing.count > 0) {
        char *probe = ims_join_path(walker->path, "x");

        status = probe == NULL ? ims_fail_memory(PATH_MAX) : stored_offset(walker, probe, &stored);
        ims_free(probe);
    }
    for (size_t i = 0; i < listing.count && status == IMGSIM_OK; i++)
        status = take_child(walker, &listing.children[i], stored);

done:
    ims_free(listing.names);
    ims_free(listing.children);
    return status;
}

/* ---- the whole ---- */

/* Make `path` the walker's; false when it is too long. */
static bool set_path(struct walker *walker, const char *path)
{
    walker->length = strlen(path);
    if (walker->length >= sizeof(walker->path))
        return false;
    memcpy(walker->path, path, walker->length + 1);
    return true;
}

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
        if (stat(walk->roots[i], &info) != 0 && lstat(walk->roots[i], &info) != 0)
            return ims_fail_errno(errno, "%s", options->paths[i]);
    }
    return IMGSIM_OK;
}

static imgsim_status walk_root(struct walker *walker, const char *root)
{
    struct child child = {0};
    imgsim_status status;
    struct stat info;
    uint32_t stored;

    if (!set_path(walker, root))
        return ims_fail(
            IMGSIM_ERROR_LIMIT, "a path of %zu bytes, at most %d are possible", strlen(root),
            PATH_MAX - 1);
    if (stat(root, &info) == 0 && S_ISDIR(info.st_mode))
        return walk_folder(walker, true);

    look_at(AT_FDCWD, root, &child);
    if ((status = stored_offset(walker, root, &stored)) != IMGSIM_OK)
        return status;
    return add_entry(walker, "", &child, stored);
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
        (void)set_path(walker, walker->links[i]);
        status = walk_folder(walker, true);
    }
    if (status != IMGSIM_OK)
        goto done;
    put_in_order(walk);
    status = ims_meter_tick(options->meter, false);

done:
    for (size_t i = 0; i < walker->link_count; i++)
        ims_free(walker->links[i]);
    ims_free(walker->links);
    ims_free(walker->visits);
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
