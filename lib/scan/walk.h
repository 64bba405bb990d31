/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the walk share: the names in one folder, and the rules by which some are left out. */
#ifndef IMS_SCAN_WALK_H
#define IMS_SCAN_WALK_H

#include "scan/scan.h"

#include <sys/stat.h>
#include <sys/types.h>

/* A name in the folder being read. */
struct ims_child {
    union {
        size_t offset; /* in names, while the folder is read */
        const char *name;
    } at;
    uint64_t inode;
    uint64_t bytes;
    int64_t mtime_ns;
    uint16_t kind;
    uint16_t error;
    uint8_t type; /* d_type, until the name was examined */
    bool folder;
    bool included; /* folders: all below them is taken, whatever the patterns say */
};

/* What one folder holds. Zero it before use, release with ims_listing_clear(). */
struct ims_listing {
    char *names;
    size_t names_size;
    size_t names_capacity;
    struct ims_child *children;
    size_t count;
    size_t capacity;
};

/* The folder being read, for the rules. */
struct ims_place {
    const struct ims_walk_options *options;
    /* Path below the scanned folder, "" for that itself; grows by a name while that is looked at. */
    char **relative;
    size_t *relative_capacity;
    size_t relative_length;
    dev_t device; /* of the scanned folder */
    bool included;
};

/*
 * Read the names of an open folder, examine each in the order of the inodes (that of the disk, for most file systems) and put
 * them in the order of the bytes of their paths. *out_error: errno when reading broke off.
 */
imgsim_status ims_listing_read(
    struct ims_listing *listing,
    int folder,
    const struct ims_place *place,
    int *out_error);
void ims_listing_clear(struct ims_listing *listing);

/* What stat says about a path that was named: no rule leaves it out. */
void ims_child_examine(int folder, const char *name, struct ims_child *child);

#endif
