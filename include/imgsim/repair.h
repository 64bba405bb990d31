/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a catalog is sound, and a damaged one: what can be restored, and what had to be dropped. */
#ifndef IMGSIM_REPAIR_H
#define IMGSIM_REPAIR_H

#include <imgsim/catalog.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a line of a check is about. Since 0.1. */
enum {
    /** The catalog or what was derived from it is damaged; a repair puts that right. */
    IMGSIM_CHECK_CATALOG = 0,
    /** An image's file is gone, or no longer what was scanned. The catalog is not damaged by that; a scan takes changes in. */
    IMGSIM_CHECK_FILE = 1
};

/** Gets one line of a check; `about` is IMGSIM_CHECK_CATALOG or IMGSIM_CHECK_FILE. Since 0.1. */
typedef void (*imgsim_check_callback)(int32_t about, const char *line, void *user_data);

/** How the images' files are compared with the catalog. Since 0.1. */
enum {
    /** Not at all. */
    IMGSIM_CHECK_FILES_NONE = 0,
    /** Whether they are there, of the size and time of modification that were scanned. */
    IMGSIM_CHECK_FILES_TIMES = 1,
    /** Also whether their content has the hash that was scanned: reads every file. */
    IMGSIM_CHECK_FILES_CONTENT = 2
};

/** What to check; fill with imgsim_check_options_init(). Since 0.1. */
typedef struct imgsim_check_options {
    /** Written by the init function. */
    size_t struct_size;
    /** IMGSIM_CHECK_FILES_NONE (default), ... */
    int32_t files;
    uint32_t reserved;
    /** Gets a line for each problem, and for each file that is not what was scanned (optional). */
    imgsim_check_callback callback;
    void *user_data;
    /** Told while files are compared; non-zero stops (optional). */
    imgsim_progress_callback progress;
    void *progress_data;
} imgsim_check_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_check_options_init(imgsim_check_options *options, size_t struct_size);

/** What a check found; zero it, set struct_size. Since 0.1. */
typedef struct imgsim_check_report {
    /** sizeof(imgsim_check_report). */
    size_t struct_size;
    /** Problems of the catalog and of what was derived from it. */
    uint64_t problems;
    /** Rows of features looked at, those of vanished images among them. */
    uint64_t rows;
    /** Of these, rows without a checksum, which only had to be possible: a repair gives them one. */
    uint64_t rows_unknown;
    /** Rows that cannot be, or do not match their checksums. */
    uint64_t rows_damaged;
    /** Files of images looked at. */
    uint64_t files;
    /** Files that are gone. */
    uint64_t files_gone;
    /** Files of another size, time or, where contents are compared, of another content instead of the time. */
    uint64_t files_changed;
    /** Files of the same size and time with another content: what a failing disk does. */
    uint64_t files_damaged;
    /** Files that cannot be read. */
    uint64_t files_unreadable;
} imgsim_check_report;

/**
 * Check a catalog with all that belongs to it, changing nothing: what imgsim_catalog_verify() and imgsim_derive_verify() check; the
 * maps and neighbour graphs kept with it (header, checksums, values, their feature and ids); and with options->files the
 * images' files.
 *
 * Stale indexes and maps are no problem: they are noticed and not used.
 *
 * @param options     NULL for the defaults
 * @param out_report  NULL, or filled also when the check failed
 *
 * @return IMGSIM_OK (sound, whatever was found about files); IMGSIM_ERROR_CORRUPT (problems were found); IMGSIM_ERROR_CANCELLED
 *         (by the callback); IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_UNSUPPORTED (files); IMGSIM_ERROR_IO. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_catalog_check(
    const imgsim_catalog *catalog,
    const imgsim_check_options *options,
    imgsim_check_report *out_report);

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
    /** Indexes, projectors and maps removed. */
    uint64_t derived_dropped;
    /** Files removed that an interrupted writer had left. */
    uint64_t leftovers;
    /** 1: catalog.db was built anew from what could be read; the old one is kept beside it as catalog.db.damaged. */
    uint64_t rebuilt;
} imgsim_repair_report;

/**
 * Repair a catalog: whatever imgsim_catalog_check() complains about is put right or dropped, so that the next scan computes it anew. A sound catalog is left as it is, apart from files that an interrupted writer left.
 *
 * - A catalog.db with damaged pages is read as far as it can be and built anew; the old one is kept. Open handles of it have to
 *   be opened again.
 * - Sets of ids, counts and UUIDs are made to agree with the records of the files.
 * - A matrix that is cut short loses the rows beyond its end, a damaged row (not finite, a histogram that cannot be, one that does
 *   not match its checksum) itself. A feature whose file is missing or of another shape is dropped as a whole. Rows without
 *   checksum, of catalogs that are older than checksums, get one.
 * - Indexes that are damaged or stale, projectors that cannot be read, and maps that are damaged or whose feature is gone are removed
 *   with what needs them.
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
