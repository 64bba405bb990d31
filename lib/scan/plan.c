/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of a scan: which files are new, changed, moved or gone, found by merging the walk with the catalog's records. */
#include "scan/scan.h"

#include "core/file.h"
#include "core/memory.h"
#include "core/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Sizes of the files seen, as a bit set of hashed values: a vanished file of another size cannot have moved. */
#define SIZE_BITS (1u << 20)

struct merge {
    const struct ims_plan_options *options;
    struct ims_plan *plan;
    size_t next; /* first entry not merged yet */
    uint8_t *sizes;
    imgsim_status status;
};

static const char *entry_path(const struct ims_walk *walk, const struct ims_entry *entry)
{
    return walk->text + entry->path;
}

static size_t size_bit(uint64_t bytes)
{
    return (size_t)(ims_mix64(bytes) & (SIZE_BITS - 1));
}

static void note_sizes(struct merge *merge)
{
    const struct ims_walk *walk = merge->options->walk;

    for (size_t i = 0; i < walk->count; i++) {
        size_t bit = size_bit(walk->entries[i].bytes);

        merge->sizes[bit >> 3] |= (uint8_t)(1u << (bit & 7));
    }
}

static bool size_was_seen(const struct merge *merge, uint64_t bytes)
{
    size_t bit = size_bit(bytes);

    return (merge->sizes[bit >> 3] >> (bit & 7) & 1) != 0;
}

/* ---- entries ---- */

static imgsim_status add_item(struct merge *merge, const struct ims_entry *entry, uint32_t known)
{
    struct ims_plan *plan = merge->plan;
    const char *path = entry_path(merge->options->walk, entry);

    if (!ims_grow(
            (void **)&plan->items, &plan->item_capacity, plan->item_count + 1,
            sizeof(*plan->items)))
        return ims_fail_memory((plan->item_count + 1) * sizeof(*plan->items));
    plan->items[plan->item_count++] =
        (struct ims_item){path,  path + entry->stored, entry->bytes, entry->mtime_ns,
                          known, entry->kind,          entry->error};
    return IMGSIM_OK;
}

static void copy_record(struct ims_known *known, const struct ims_file_record *record)
{
    *known = (struct ims_known){
        .id = record->id,
        .features = record->features,
        .bytes = record->bytes,
        .mtime_ns = record->mtime_ns,
        .state = record->state,
        .width = record->width,
        .height = record->height,
        .has_hash = record->has_hash != 0};
    memcpy(known->hash, record->content_hash, sizeof(known->hash));
    memcpy(known->uuid, record->uuid, sizeof(known->uuid));
    if (record->format != NULL)
        strncpy(known->format, record->format, sizeof(known->format) - 1);
}

/* Whether the record of an entry that is no file to read says so already. */
static bool is_judged(const struct ims_entry *entry, const struct ims_file_record *record)
{
    char reason[IMS_REASON_SIZE];
    int32_t state;

    /* What is left out without being asked for stays what it is known to be. */
    if (ims_entry_by_default(entry->kind) && record->id >= 0 &&
        record->state != IMGSIM_FILE_MISSING)
        return true;
    ims_entry_judge(entry->kind, entry->error, &state, reason);
    return record->state == state &&
           strcmp(record->reason != NULL ? record->reason : "", reason) == 0 &&
           (entry->kind >= IMS_ENTRY_HIDDEN ||
            (record->bytes == entry->bytes && record->mtime_ns == entry->mtime_ns));
}

/* Whether the record says all there is to know about the entry. */
static bool is_unchanged(
    const struct merge *merge,
    const struct ims_entry *entry,
    const struct ims_file_record *record)
{
    const struct ims_plan_options *options = merge->options;
    const char *reason = record->reason != NULL ? record->reason : "";

    if (entry->kind != IMS_ENTRY_FILE)
        return is_judged(entry, record);
    if (options->recheck || record->state == IMGSIM_FILE_MISSING || record->bytes != entry->bytes ||
        record->mtime_ns != entry->mtime_ns)
        return false;
    if (record->state == IMGSIM_FILE_OK)
        return (record->features & options->wanted) == options->wanted;
    if (strcmp(reason, "too many bytes") == 0 && record->bytes <= options->max_bytes)
        return false;
    if (options->isolation != NULL &&
        ims_reason_outgrown(record->state, reason, options->isolation))
        return false;
    return !ims_reason_passes(reason);
}

static imgsim_status
take_known(struct merge *merge, const struct ims_entry *entry, const struct ims_file_record *record)
{
    struct ims_plan *plan = merge->plan;

    if (is_unchanged(merge, entry, record)) {
        plan->unchanged++;
        return IMGSIM_OK;
    }
    if (!ims_grow(
            (void **)&plan->known, &plan->known_capacity, plan->known_count + 1,
            sizeof(*plan->known)))
        return ims_fail_memory((plan->known_count + 1) * sizeof(*plan->known));
    copy_record(&plan->known[plan->known_count], record);
    return add_item(merge, entry, (uint32_t)plan->known_count++);
}

/* ---- records whose file was not seen ---- */

static bool is_below(const char *path, const char *root)
{
    size_t length = strlen(root);

    if (strncmp(path, root, length) != 0)
        return false;
    return path[length] == '\0' || path[length] == '/' || (length > 0 && root[length - 1] == '/');
}

/* Whether a record stands for a folder that was not entered, a link to one perhaps. */
static bool is_folder_record(const struct ims_file_record *record)
{
    return record->id < 0 && record->reason != NULL && ims_reason_is_folder(record->reason);
}

/* Nothing there, or a folder that was entered in its place. What exists but was left out by this scan's options stays as it is. */
static bool has_vanished(const char *path, const struct ims_file_record *record)
{
    struct stat info;

    if (ims_stat_path(path, is_folder_record(record) ? 0 : AT_SYMLINK_NOFOLLOW, &info) == 0)
        return S_ISDIR(info.st_mode);
    return errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
}

/* Order of an entry's stored path and the first `length` bytes of another. */
static int compare_prefix(const char *stored, const char *path, size_t length)
{
    int order = strncmp(stored, path, length);

    return order != 0 ? order : stored[length] != '\0';
}

/* The kind of the folder above a stored path that this scan was told to leave out; IMS_ENTRY_FILE: none. */
static enum ims_entry_kind left_out_above(const struct ims_walk *walk, const char *path)
{
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        size_t length = (size_t)(slash - path), low = 0, high = walk->count;

        while (low < high) {
            size_t middle = low + (high - low) / 2;
            const struct ims_entry *entry = &walk->entries[middle];
            int order = compare_prefix(entry_path(walk, entry) + entry->stored, path, length);

            if (order == 0 && ims_entry_was_told(entry->kind))
                return entry->kind;
            if (order < 0)
                low = middle + 1;
            else
                high = middle;
        }
    }
    return IMS_ENTRY_FILE;
}

static imgsim_status add_vanished(
    struct merge *merge,
    const struct ims_file_record *record,
    enum ims_entry_kind kind,
    bool in_scope,
    bool movable)
{
    struct ims_plan *plan = merge->plan;
    size_t size = strlen(record->path) + 1;

    if (!ims_grow((void **)&plan->text, &plan->text_capacity, plan->text_size + size, 1) ||
        !ims_grow(
            (void **)&plan->missing, &plan->missing_capacity, plan->missing_count + 1,
            sizeof(*plan->missing)) ||
        !ims_grow(
            (void **)&plan->gone, &plan->gone_capacity, plan->gone_count + 1, sizeof(*plan->gone)))
        return ims_fail_memory(plan->text_size + size);
    memcpy(plan->text + plan->text_size, record->path, size);
    plan->missing[plan->missing_count] = (struct ims_vanished){
        .path = plan->text_size,
        .in_scope = in_scope,
        .folder = is_folder_record(record),
        .kind = (uint16_t)kind};
    plan->text_size += size;
    if (movable) {
        copy_record(&plan->gone[plan->gone_count], record);
        plan->gone[plan->gone_count++].missing = plan->missing_count;
    }
    plan->missing_count++;
    return IMGSIM_OK;
}

/* A record that is there, but below a folder that is not to be entered. */
static imgsim_status take_left_out(struct merge *merge, const struct ims_file_record *record)
{
    enum ims_entry_kind kind = left_out_above(merge->options->walk, record->path);
    char reason[IMS_REASON_SIZE];
    int32_t state;

    if (kind == IMS_ENTRY_FILE)
        return IMGSIM_OK;
    if (kind == IMS_ENTRY_FOLDER_EXCLUDED)
        kind = IMS_ENTRY_EXCLUDED;
    ims_entry_judge(kind, 0, &state, reason);
    if (record->state == state && record->reason != NULL && strcmp(record->reason, reason) == 0)
        return IMGSIM_OK;
    return add_vanished(merge, record, kind, true, false);
}

static imgsim_status take_unseen(struct merge *merge, const struct ims_file_record *record)
{
    const struct ims_walk *walk = merge->options->walk;
    bool movable = record->id >= 0 && record->has_hash && size_was_seen(merge, record->bytes);
    bool in_scope = false;
    imgsim_status status = IMGSIM_OK;
    char *path;

    if (!movable && record->state == IMGSIM_FILE_MISSING)
        return IMGSIM_OK;
    path = ims_catalog_full_path(merge->options->catalog, record->path);
    if (path == NULL)
        return ims_fail_memory(strlen(record->path));
    for (size_t i = 0; i < walk->root_count && record->state != IMGSIM_FILE_MISSING; i++)
        in_scope = in_scope || is_below(path, walk->roots[i]);
    if ((movable || in_scope) && has_vanished(path, record))
        status = add_vanished(merge, record, IMS_ENTRY_FILE, in_scope, movable);
    else if (in_scope)
        status = take_left_out(merge, record);
    ims_free(path);
    return status;
}

/* ---- the merge ---- */

static int32_t merge_record(const struct ims_file_record *record, void *context)
{
    struct merge *merge = context;
    const struct ims_walk *walk = merge->options->walk;
    imgsim_status status = IMGSIM_OK;
    int order = 1;

    while (status == IMGSIM_OK && merge->next < walk->count) {
        const struct ims_entry *entry = &walk->entries[merge->next];

        order = strcmp(entry_path(walk, entry) + entry->stored, record->path);
        if (order >= 0)
            break;
        merge->next++;
        status = add_item(merge, entry, IMS_NONE);
    }
    if (status == IMGSIM_OK) {
        if (merge->next < walk->count && order == 0)
            status = take_known(merge, &walk->entries[merge->next++], record);
        else
            status = take_unseen(merge, record);
    }
    merge->status = status;
    return status != IMGSIM_OK;
}

static int compare_gone(const void *a, const void *b)
{
    const struct ims_known *first = a, *second = b;
    int order = memcmp(first->hash, second->hash, sizeof(first->hash));

    if (order != 0)
        return order;
    return first->missing < second->missing ? -1 : first->missing > second->missing;
}

imgsim_status ims_plan_make(const struct ims_plan_options *options, struct ims_plan *plan)
{
    struct merge merge = {.options = options, .plan = plan};
    imgsim_status status;

    merge.sizes = ims_calloc(SIZE_BITS / 8, 1);
    if (merge.sizes == NULL)
        return ims_fail_memory(SIZE_BITS / 8);
    note_sizes(&merge);

    status = ims_catalog_writer_visit(options->writer, merge_record, &merge);
    if (status == IMGSIM_OK)
        status = merge.status;
    for (; status == IMGSIM_OK && merge.next < options->walk->count; merge.next++)
        status = add_item(&merge, &options->walk->entries[merge.next], IMS_NONE);
    if (status == IMGSIM_OK && plan->gone_count > 1)
        qsort(plan->gone, plan->gone_count, sizeof(*plan->gone), compare_gone);
    ims_free(merge.sizes);
    return status;
}

void ims_plan_close(struct ims_plan *plan)
{
    ims_free(plan->items);
    ims_free(plan->known);
    ims_free(plan->gone);
    ims_free(plan->missing);
    ims_free(plan->text);
    *plan = (struct ims_plan){0};
}

size_t ims_plan_find_gone(const struct ims_plan *plan, const uint8_t hash[16])
{
    size_t low = 0, high = plan->gone_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (memcmp(plan->gone[middle].hash, hash, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < plan->gone_count && memcmp(plan->gone[low].hash, hash, 16) == 0)
        return low;
    return plan->gone_count;
}
