/* SPDX-License-Identifier: Apache-2.0 */
/* A damaged catalog: what can be restored, and what had to be dropped. */
#ifndef IMGSIM_REPAIR_H
#define IMGSIM_REPAIR_H

#include <imgsim/catalog.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How to repair; fill with imgsim_repair_options_init(). Since 0.1. */
typedef struct imgsim_repair_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Gets a line for each thing that was changed or dropped (optional). */
    void (*callback)(const char *line, void *user_data);
    void *user_data;
} imgsim_repair_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_repair_options_init(imgsim_repair_options *options, size_t struct_size);

/** What a repair did; zero it, set struct_size. All 0: there was nothing to do. Since 0.1. */
typedef struct imgsim_repair_report {
    /** sizeof(imgsim_repair_report). */
    size_t struct_size;
    /** Changes made in all. */
    uint64_t changes;
    /** Records of files that could not be read any more; the next scan finds these files as new ones. */
    uint64_t files_lost;
    /** Rows dropped from features; the next scan computes them. */
    uint64_t rows_dropped;
    /** Features dropped as a whole. */
    uint64_t features_dropped;
    /** Indexes and projectors removed. */
    uint64_t derived_dropped;
    /** Files removed that an interrupted writer had left. */
    uint64_t leftovers;
    /** 1: catalog.db was built anew from what could be read; the old one is kept beside it as catalog.db.damaged. */
    uint64_t rebuilt;
} imgsim_repair_report;

/**
 * Repair a catalog: whatever imgsim_catalog_verify() and imgsim_derive_verify() complain about is put right or dropped, so that the
 * next scan computes it anew. A sound catalog is left as it is, apart from files that an interrupted writer left.
 *
 * - A catalog.db with damaged pages is read as far as it can be and built anew; the old one is kept. Open handles of it have to
 *   be opened again.
 * - Sets of ids, counts and UUIDs are made to agree with the records of the files.
 * - A matrix that is cut short loses the rows beyond its end, a damaged row (not finite, a histogram that cannot be, one that does
 *   not match its checksum) itself. A feature whose file is missing or of another shape is dropped as a whole. Rows without
 *   checksum, of catalogs that are older than checksums, get one.
 * - Indexes that are damaged or stale, and projectors that cannot be read, are removed with what needs them.
 *
 * @param path        as for imgsim_catalog_open()
 * @param options     NULL for the defaults
 * @param out_report  NULL, or filled also when the repair failed
 *
 * @return IMGSIM_OK (sound now); IMGSIM_ERROR_CORRUPT (not a catalog, or nothing of it can be read; it is left as it was);
 *         IMGSIM_ERROR_NOT_FOUND; IMGSIM_ERROR_BUSY (somebody writes); IMGSIM_ERROR_UNSUPPORTED (of a newer version);
 *         IMGSIM_ERROR_IO; IMGSIM_ERROR_NO_SPACE; IMGSIM_ERROR_INVALID_ARGUMENT. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_catalog_repair(
    const char *path,
    const imgsim_repair_options *options,
    imgsim_repair_report *out_report);

#ifdef __cplusplus
}
#endif

#endif
