/* SPDX-License-Identifier: Apache-2.0 */
/* One folder of the walk: its names, what they are, which are left out and why. */
#include "scan/walk.h"

#include "core/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t mtime_of(const struct stat *info)
{
    return (int64_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec;
}

/* ---- reading the names ---- */

/* Names that are nobody's: the folder itself, its parent, catalogs. */
static bool is_ours(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, ".imgsim") == 0;
}

static imgsim_status add_child(struct ims_listing *listing, const struct dirent *item)
{
    size_t size = strlen(item->d_name) + 1;
    struct ims_child *child;

    if (!ims_grow(
            (void **)&listing->names, &listing->names_capacity, listing->names_size + size, 1) ||
        !ims_grow(
            (void **)&listing->children, &listing->capacity, listing->count + 1, sizeof(*child)))
        return ims_fail_memory(listing->names_size + size);
    child = &listing->children[listing->count++];
    *child = (struct ims_child){
        .at.offset = listing->names_size, .inode = item->d_ino, .type = item->d_type};
    memcpy(listing->names + listing->names_size, item->d_name, size);
    listing->names_size += size;
    return IMGSIM_OK;
}

static imgsim_status read_names(struct ims_listing *listing, DIR *stream, int *out_error)
{
    imgsim_status status;
    struct dirent *item;

    *out_error = 0;
    while (errno = 0, (item = readdir(stream)) != NULL)
        if (!is_ours(item->d_name) && (status = add_child(listing, item)) != IMGSIM_OK)
            return status;
    *out_error = errno;
    /* The names do not move any more. */
    for (size_t i = 0; i < listing->count; i++)
        listing->children[i].at.name = listing->names + listing->children[i].at.offset;
    return IMGSIM_OK;
}

static int compare_inodes(const void *a, const void *b)
{
    const struct ims_child *first = a, *second = b;

    return first->inode < second->inode ? -1 : first->inode > second->inode;
}

/* By bytes, folders as if a slash followed their name: then whole paths come in the order of their bytes, too. */
static int compare_children(const void *a, const void *b)
{
    const struct ims_child *first = a, *second = b;
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

/* ---- what a name stands for ---- */

/* What stat says about a file, or about the target of a link. */
static void classify(const struct stat *info, struct ims_child *child)
{
    child->bytes = S_ISREG(info->st_mode) ? (uint64_t)info->st_size : 0;
    child->mtime_ns = mtime_of(info);
    child->kind = S_ISREG(info->st_mode) ? IMS_ENTRY_FILE : IMS_ENTRY_NOT_REGULAR;
}

/* *out_device: of what the name stands for. */
static void examine(int folder, const char *name, struct ims_child *child, dev_t *out_device)
{
    struct stat info;

    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        child->kind = IMS_ENTRY_UNREADABLE;
        child->error = (uint16_t)errno;
        return;
    }
    *out_device = info.st_dev;
    if (S_ISDIR(info.st_mode)) {
        child->folder = true;
        return;
    }
    if (!S_ISLNK(info.st_mode)) {
        classify(&info, child);
        return;
    }
    child->mtime_ns = mtime_of(&info);
    if (fstatat(folder, name, &info, 0) != 0) {
        child->kind = IMS_ENTRY_BROKEN_LINK;
        child->error = (uint16_t)errno;
        return;
    }
    *out_device = info.st_dev;
    if (S_ISDIR(info.st_mode))
        child->kind = IMS_ENTRY_FOLDER_LINK;
    else
        classify(&info, child);
}

void ims_child_examine(int folder, const char *name, struct ims_child *child)
{
    dev_t device;

    examine(folder, name, child, &device);
}

/* ---- the rules ---- */

/* Leave a name out. Nothing but its reason is kept, so that its record changes only with the rules. */
static void leave_out(struct ims_child *child, enum ims_entry_kind kind)
{
    child->kind = (uint16_t)kind;
    child->bytes = 0;
    child->mtime_ns = 0;
    child->error = 0;
    child->folder = false;
}

/* The name behind the folder's path, for the patterns; NULL: out of memory. */
static const char *relative_path(const struct ims_place *place, const char *name)
{
    size_t length = place->relative_length, size = strlen(name) + 1;
    char *at;

    if (!ims_grow((void **)place->relative, place->relative_capacity, length + size + 1, 1))
        return NULL;
    at = *place->relative + length;
    if (length > 0)
        *at++ = '/';
    memcpy(at, name, size);
    return *place->relative;
}

static imgsim_status judge_patterns(const struct ims_place *place, struct ims_child *child)
{
    const struct ims_walk_options *options = place->options;
    bool is_folder = child->folder || child->kind == IMS_ENTRY_FOLDER_LINK, matches;
    const char *path;

    if (options->include->count + options->exclude->count == 0)
        return IMGSIM_OK;
    if ((path = relative_path(place, child->at.name)) == NULL)
        return ims_fail_memory(strlen(child->at.name));
    if (ims_patterns_match(options->exclude, path, is_folder)) {
        leave_out(child, is_folder ? IMS_ENTRY_FOLDER_EXCLUDED : IMS_ENTRY_EXCLUDED);
        return IMGSIM_OK;
    }
    matches = place->included || options->include->count == 0 ||
              ims_patterns_match(options->include, path, is_folder);
    if (is_folder)
        child->included = matches && options->include->count > 0;
    else if (!matches)
        leave_out(child, IMS_ENTRY_NOT_INCLUDED);
    return IMGSIM_OK;
}

static imgsim_status look_at(int folder, const struct ims_place *place, struct ims_child *child)
{
    const struct ims_walk_options *options = place->options;
    const char *name = child->at.name;
    dev_t device = place->device;
    imgsim_status status;

    /* A folder says all there is to know about it when it is opened. */
    if (child->type == DT_DIR)
        child->folder = true;
    else if (name[0] != '.' || options->include_hidden || child->type == DT_UNKNOWN)
        examine(folder, name, child, &device);
    if (name[0] == '.' && !options->include_hidden) {
        leave_out(child, child->folder ? IMS_ENTRY_FOLDER_HIDDEN : IMS_ENTRY_HIDDEN);
        return IMGSIM_OK;
    }
    if ((status = judge_patterns(place, child)) != IMGSIM_OK || child->folder)
        return status;
    if (options->one_file_system && device != place->device &&
        (child->kind == IMS_ENTRY_FILE || child->kind == IMS_ENTRY_FOLDER_LINK))
        leave_out(child, IMS_ENTRY_OTHER_FILE_SYSTEM);
    else if (child->kind == IMS_ENTRY_FILE && child->bytes < options->min_bytes)
        leave_out(child, IMS_ENTRY_TOO_FEW_BYTES);
    return IMGSIM_OK;
}

imgsim_status ims_listing_read(
    struct ims_listing *listing,
    int folder,
    const struct ims_place *place,
    int *out_error)
{
    DIR *stream = fdopendir(folder);
    imgsim_status status;

    if (stream == NULL) {
        status = ims_fail_errno(errno, "reading a folder");
        close(folder);
        return status;
    }
    status = read_names(listing, stream, out_error);
    if (status == IMGSIM_OK && listing->count > 1)
        qsort(listing->children, listing->count, sizeof(*listing->children), compare_inodes);
    for (size_t i = 0; i < listing->count && status == IMGSIM_OK; i++) {
        status = look_at(dirfd(stream), place, &listing->children[i]);
        if (status == IMGSIM_OK && i % 64 == 63)
            status = ims_meter_tick(place->options->meter, false);
    }
    if (status == IMGSIM_OK && listing->count > 1)
        qsort(listing->children, listing->count, sizeof(*listing->children), compare_children);
    closedir(stream);
    return status;
}

void ims_listing_clear(struct ims_listing *listing)
{
    ims_free(listing->names);
    ims_free(listing->children);
    *listing = (struct ims_listing){0};
}
