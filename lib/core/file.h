/* SPDX-License-Identifier: Apache-2.0 */
/* Files: mapped for reading, written atomically, and our sectioned format with checksums (.ims). */
#ifndef IMS_CORE_FILE_H
#define IMS_CORE_FILE_H

#include "core/status.h"

#include <stdbool.h>

/* ---- mapped for reading ---- */

/* Zero it before use. */
struct ims_map {
    const uint8_t *data;
    size_t size;
};

/* Map a whole regular file read-only; an empty file gives size 0. Names the path in errors. */
imgsim_status ims_map_open(struct ims_map *map, const char *path);
void ims_map_close(struct ims_map *map);

/* ---- replaced atomically ---- */

/* A file being written beside its place. Zero it before use. */
struct ims_writer {
    int fd;
    char *path;
    char *temporary;
    uint8_t *buffer;
    size_t used;
    uint64_t position;
    bool open;
};

/* Start writing "PATH.tmp-XXXXXX" in the same folder. */
imgsim_status ims_writer_open(struct ims_writer *writer, const char *path);
imgsim_status ims_writer_write(struct ims_writer *writer, const void *data, size_t size);
/* Overwrite bytes written earlier (a header that is known only at the end). */
imgsim_status
ims_writer_patch(struct ims_writer *writer, uint64_t position, const void *data, size_t size);
/* Flush, fsync, rename over the path, fsync the folder. */
imgsim_status ims_writer_commit(struct ims_writer *writer);
/* Give up, removing the temporary file; fine after an error and after commit. */
void ims_writer_close(struct ims_writer *writer);

/* pwrite()/pread() everything or fail, EINTR handled; `path` is for the message. */
imgsim_status
ims_pwrite_all(int fd, const void *data, size_t size, uint64_t position, const char *path);
imgsim_status ims_pread_all(int fd, void *data, size_t size, uint64_t position, const char *path);
imgsim_status ims_fsync_folder(const char *path);
/* mkdir -p; an existing folder is fine. */
imgsim_status ims_make_folder(const char *path);
/* Absolute form of a path without resolving links; release with ims_free(). */
imgsim_status ims_absolute_path(const char *path, char **out_path);
/* folder + '/' + name; NULL when out of memory. Release with ims_free(). */
char *ims_join_path(const char *folder, const char *name);

/* ---- paths of any length ---- */

struct stat;

/*
 * open() and fstatat(AT_FDCWD, ...) for paths that may be longer than the PATH_MAX bytes that the system takes at a time: the
 * folders are entered some at a time, each by the rules for the whole. -1 and errno on failure.
 */
int ims_open_path(const char *path, int flags);
int ims_stat_path(const char *path, int flags, struct stat *out_info);
/* Enter folders until the rest is short: AT_FDCWD or a descriptor to be closed, and *path behind it; -1 on failure. */
int ims_enter_path(const char **path);

/* ---- .ims: sections with checksums; sections.c has the layout ---- */

/* Table entry on disk, little-endian; checksum is XXH3-64 of the section's bytes. */
struct ims_section {
    char name[8];
    uint64_t offset;
    uint64_t size;
    uint64_t checksum;
};

#define IMS_SECTIONS_MAX 32

/* One section to write; names are at most 8 bytes. */
struct ims_section_data {
    const char *name;
    const void *data;
    size_t size;
};

/* Write a whole .ims file atomically. The header carries a checksum of itself and the table. */
imgsim_status ims_sections_write(
    const char *path,
    const char *kind,
    uint32_t version,
    const struct ims_section_data *sections,
    size_t section_count);

/* An .ims file opened for reading. Zero it before use. */
struct ims_reader {
    struct ims_map map;
    char *path;
    uint32_t version;
    uint32_t section_count;
    struct ims_section sections[IMS_SECTIONS_MAX];
};

/*
 * Map and check magic, kind, version (newer than max_version: UNSUPPORTED), header checksum and
 * that every section lies inside the file; with `verify` also each section's checksum. CORRUPT
 * names path and what is wrong.
 */
imgsim_status ims_reader_open(
    struct ims_reader *reader,
    const char *path,
    const char *kind,
    uint32_t max_version,
    bool verify);
/* A section by name: pointer and size; CORRUPT if missing. */
imgsim_status ims_reader_section(
    const struct ims_reader *reader,
    const char *name,
    const void **out_data,
    size_t *out_size);
/* Copy a section out that must have this size; CORRUPT if it is missing or has another. */
imgsim_status
ims_reader_copy(const struct ims_reader *reader, const char *name, void *out, size_t size);
void ims_reader_close(struct ims_reader *reader);

#endif
