/* SPDX-License-Identifier: Apache-2.0 */
/* What scan, derive and query may do with a catalog beyond the public header. */
#ifndef IMS_CATALOG_H
#define IMS_CATALOG_H

#include <imgsim/catalog.h>

#include "core/bitset.h"
#include "core/status.h"

/* Count a reference; imgsim_catalog_free() gives one back. */
const imgsim_catalog *ims_catalog_keep(const imgsim_catalog *catalog);

/* Whether the handle must not write: 1 or 0. */
int ims_catalog_read_only(const imgsim_catalog *catalog);

/* ---- one writer: what a scan needs ---- */

/* What is known about a file; texts are borrowed. */
struct ims_file_record {
    const char *path; /* as stored: relative to the root, or absolute */
    const char *format;
    const char *reason;
    int64_t id; /* -1: none */
    uint8_t uuid[16];
    uint8_t content_hash[16];
    int32_t has_hash;
    int32_t state;
    uint32_t width;
    uint32_t height;
    uint64_t bytes;
    int64_t mtime_ns;
    uint64_t features; /* bit per feature set that has this id's row */
};

/*
 * A writing transaction series: holds the catalog's writer lock (BUSY names the holder's process
 * id).
 */
struct ims_catalog_writer;
imgsim_status ims_catalog_writer_open(
    imgsim_catalog *catalog,
    const char *purpose,
    struct ims_catalog_writer **out_writer);
/* Rolls back what was not committed. */
void ims_catalog_writer_close(struct ims_catalog_writer *writer);

/*
 * Find or make the feature set of a definition (row_type UINT32 allowed: sparse storage) and its
 * number (bit). A set of the same name, other fingerprint: INVALID_ARGUMENT unless `replace`.
 */
imgsim_status ims_catalog_writer_feature(
    struct ims_catalog_writer *writer,
    const imgsim_feature_definition *definition,
    int replace,
    uint32_t *out_number);

/* Reserve the next id. */
imgsim_status ims_catalog_writer_new_id(struct ims_catalog_writer *writer, int64_t *out_id);
/* Write one row of feature `number`; UINT32 rows come dense and are stored sparse. */
imgsim_status ims_catalog_writer_put_row(
    struct ims_catalog_writer *writer,
    uint32_t number,
    int64_t id,
    const void *row);
/* The same for a UINT32 row whose bins that are not 0 are known, rising. */
imgsim_status ims_catalog_writer_put_sparse_row(
    struct ims_catalog_writer *writer,
    uint32_t number,
    int64_t id,
    uint32_t length,
    const uint16_t *bins,
    const uint32_t *counts);
/* Entries of a dense row: fills bins and counts (room for `dimension`), returns how many. */
uint32_t ims_sparse_encode(
    const uint32_t *row,
    uint32_t dimension,
    uint16_t *out_bins,
    uint32_t *out_counts);
/*
 * The id has the row of feature `number` that was put: for rows that come without a file's record,
 * as those of projections.
 */
imgsim_status
ims_catalog_writer_mark_row(struct ims_catalog_writer *writer, uint32_t number, int64_t id);
/*
 * Insert or update by path. A record with an id and a zero UUID keeps the UUID of its path, or gets
 * a new one; features are added to those the id has. An id that the path had before is dead then.
 */
imgsim_status ims_catalog_writer_put_file(
    struct ims_catalog_writer *writer,
    const struct ims_file_record *record);
/* The same for a path that is known to have no record yet; fails if it has one. */
imgsim_status ims_catalog_writer_add_file(
    struct ims_catalog_writer *writer,
    const struct ims_file_record *record);
/*
 * Give the record at `old_path` the path, size, time, state and reason of `record` (a moved file);
 * all else stays. What stood at the new path is forgotten.
 */
imgsim_status ims_catalog_writer_move_file(
    struct ims_catalog_writer *writer,
    const char *old_path,
    const struct ims_file_record *record);
/* Forget what stands at a path, if anything does; its id is dead then. */
imgsim_status ims_catalog_writer_forget_file(struct ims_catalog_writer *writer, const char *path);
/* Sync the matrices, then commit the transaction and begin the next. */
imgsim_status ims_catalog_writer_commit(struct ims_catalog_writer *writer);

/* Look up by stored path: 1 found. `out` texts are valid until the next call. */
imgsim_status ims_catalog_writer_get_file(
    struct ims_catalog_writer *writer,
    const char *path,
    struct ims_file_record *out,
    int *out_found);
/* Records of this content and size, for finding moved files. */
typedef int32_t (*ims_record_callback)(const struct ims_file_record *record, void *user_data);
imgsim_status ims_catalog_writer_find_content(
    struct ims_catalog_writer *writer,
    const uint8_t hash[16],
    uint64_t bytes,
    ims_record_callback callback,
    void *user_data);
/* All records in order of their stored path's bytes. */
imgsim_status ims_catalog_writer_visit(
    struct ims_catalog_writer *writer,
    ims_record_callback callback,
    void *user_data);

/* ---- paths ---- */

/* Stored form of an absolute path, and back; release with ims_free(). NULL: out of memory. */
char *ims_catalog_store_path(const imgsim_catalog *catalog, const char *absolute);
char *ims_catalog_full_path(const imgsim_catalog *catalog, const char *stored);
/* Path of a file inside the catalog's folder, "features/x.npy"; release with ims_free(). */
char *ims_catalog_inner_path(const imgsim_catalog *catalog, const char *name);

/* ---- checking ---- */

/* Rows of all features that a check has looked at. */
struct ims_verified {
    uint64_t rows;
    uint64_t unknown; /* those without checksum: of catalogs that are older than checksums */
    uint64_t damaged;
};
/* imgsim_catalog_verify() that says more; *out is filled whatever comes. */
imgsim_status ims_catalog_verify(
    const imgsim_catalog *catalog,
    void (*callback)(const char *problem, void *user_data),
    void *user_data,
    struct ims_verified *out);

/* ---- reading ---- */

/*
 * Ids in state OK as of the handle's snapshot. Borrowed, belongs to the catalog until it is
 * refreshed or freed.
 */
const struct ims_bitset *ims_catalog_live(const imgsim_catalog *catalog);
/* Live ids that have a row of the feature: belongs to the features handle. */
const struct ims_bitset *ims_features_present(const imgsim_features *features);
/* The feature's fingerprint, spec and source; belong to the handle. */
const char *ims_features_fingerprint(const imgsim_features *features);
const char *ims_features_spec(const imgsim_features *features);
const char *ims_features_source(const imgsim_features *features);
const char *ims_features_name(const imgsim_features *features);
/*
 * Ids with a label, or below a folder (absolute or relative to the working folder or root): fills a
 * zeroed set. NOT_FOUND if none.
 */
imgsim_status ims_catalog_ids_with_label(
    const imgsim_catalog *catalog,
    const char *label,
    struct ims_bitset *out_ids);
/* Gets the file of ids[position]; a status other than OK ends the visit. */
typedef imgsim_status (
    *ims_id_callback)(const imgsim_file_info *file, size_t position, void *user_data);
/* As imgsim_catalog_get_file() for some ids at once, as of one moment; those that are not found are passed over. */
imgsim_status ims_catalog_visit_ids(
    const imgsim_catalog *catalog,
    const int64_t *ids,
    size_t count,
    ims_id_callback callback,
    void *user_data);
/* Each image in state OK with each of its labels, in order of label, then id. A status other than OK ends the visit. */
imgsim_status ims_catalog_visit_label_pairs(
    const imgsim_catalog *catalog,
    imgsim_status (*callback)(int64_t id, const char *label, void *user_data),
    void *user_data);
/*
 * Each image in state OK whose file has the content of another, with the lowest id of that content. Those of one content come
 * after each other.
 */
imgsim_status ims_catalog_visit_copies(
    const imgsim_catalog *catalog,
    void (*callback)(int64_t first, int64_t id, void *user_data),
    void *user_data);
imgsim_status ims_catalog_ids_below(
    const imgsim_catalog *catalog,
    const char *directory,
    struct ims_bitset *out_ids);

#endif
