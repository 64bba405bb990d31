/* SPDX-License-Identifier: Apache-2.0 */
/* The collection: files and their states, images and their ids, labels, feature matrices. */
#ifndef IMGSIM_CATALOG_H
#define IMGSIM_CATALOG_H

#include <imgsim/base.h>
#include <imgsim/metric.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A collection on disk. Open it with imgsim_catalog_open(), release it with imgsim_catalog_free().
 *
 * Every decoded image has a dense integer id, its row in every feature matrix, and a UUID. Ids are given
 * once: when a file's content changes it keeps its UUID and gets a new id; the old id is dead. One process
 * writes at a time, any number read. A handle sees the ids and rows that were committed when it was opened
 * or last refreshed. Since 0.1.
 */
typedef struct imgsim_catalog imgsim_catalog;

/** A feature set of a catalog, mapped for reading. Release it with imgsim_features_free(). Since 0.1. */
typedef struct imgsim_features imgsim_features;

/** What has become of a file. Since 0.1. */
enum {
    /** Decoded; has an id and all features. */
    IMGSIM_FILE_OK = 0,
    /** Left alone on purpose; the reason says why ("not an image", "too large"). */
    IMGSIM_FILE_SKIPPED = 1,
    /** Could not be decoded or read; the reason says why ("truncated", "empty"). */
    IMGSIM_FILE_FAILED = 2,
    /** Its decoder crashed; the reason names the signal. */
    IMGSIM_FILE_CRASHED = 3,
    /** Its decoder took too long. */
    IMGSIM_FILE_TIMEOUT = 4,
    /** Was there once and is gone; keeps id, UUID and labels. */
    IMGSIM_FILE_MISSING = 5
};
/** Number of file states. Since 0.1. */
#define IMGSIM_FILE_STATE_COUNT 6

/** How to open; fill with imgsim_catalog_options_init(). Since 0.1. */
typedef struct imgsim_catalog_options {
    /** Written by the init function. */
    size_t struct_size;
    /** Non-zero: make the catalog if there is none. Default 0. */
    int32_t create;
    /**
     * Non-zero: never write, also not to mend; works on a read-only medium. On a writable one SQLite may
     * leave its side files catalog.db-shm and (empty) catalog.db-wal. Default 0.
     */
    int32_t read_only;
} imgsim_catalog_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_catalog_options_init(imgsim_catalog_options *options, size_t struct_size);

/**
 * Open a catalog.
 *
 * @param path         the catalog's folder ("photos/.imgsim"), or a folder that holds one named .imgsim
 * @param options      NULL for the defaults
 * @param out_catalog  returned: release with imgsim_catalog_free()
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (no catalog there, and create is 0);
 *         IMGSIM_ERROR_CORRUPT (not a catalog of ours, damaged); IMGSIM_ERROR_UNSUPPORTED (made by a newer
 *         version); IMGSIM_ERROR_BUSY; IMGSIM_ERROR_IO; IMGSIM_ERROR_NO_SPACE. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_catalog_open(
    const char *path,
    const imgsim_catalog_options *options,
    imgsim_catalog **out_catalog);

/** Release a catalog; NULL is fine. Feature handles made from it stay valid. */
IMGSIM_API void imgsim_catalog_free(imgsim_catalog *catalog);

/** Take in what other handles and processes have committed since. Since 0.1. */
IMGSIM_API imgsim_status imgsim_catalog_refresh(imgsim_catalog *catalog);

/** Absolute path of the catalog's folder. */
IMGSIM_API const char *imgsim_catalog_get_path(const imgsim_catalog *catalog);
/** Absolute path of the folder that relative paths in the catalog start from. */
IMGSIM_API const char *imgsim_catalog_get_root(const imgsim_catalog *catalog);
/** Ids given so far; ids run from 0 to this less 1, some of them missing or dead. */
IMGSIM_API uint64_t imgsim_catalog_get_id_count(const imgsim_catalog *catalog);
/** Images that answers may name: files in state OK. */
IMGSIM_API uint64_t imgsim_catalog_get_image_count(const imgsim_catalog *catalog);

/**
 * Count the files in each state; their sum is the number of files ever seen and not forgotten.
 *
 * @param out_counts  IMGSIM_FILE_STATE_COUNT numbers, by state. Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_catalog_count_states(const imgsim_catalog *catalog, uint64_t *out_counts);

/** One file of a catalog. Only the library makes these; the texts are valid during the callback. Since 0.1. */
typedef struct imgsim_file_info {
    size_t struct_size;
    /** The image's id; -1 when the file was never decoded. */
    int64_t id;
    /** UUID in its usual 36 characters; "" without id. */
    const char *uuid;
    /** Absolute path; any bytes but NUL. */
    const char *path;
    /** Folder part of the path. */
    const char *directory;
    /** File name part of the path. */
    const char *name;
    /** Image format, "jpeg" for instance; "" when unknown. */
    const char *format;
    /** Why the file is not OK; "" for OK. */
    const char *reason;
    /** XXH3-128 of the file's content, 32 hexadecimal digits; "" when it was not read. */
    const char *content_hash;
    /** IMGSIM_FILE_OK, ... */
    int32_t state;
    /** Size of the upright image in pixels. */
    uint32_t width;
    uint32_t height;
    uint32_t reserved;
    /** Size of the file. */
    uint64_t bytes;
    /** Time of the last modification, nanoseconds since 1970. */
    int64_t mtime_ns;
} imgsim_file_info;

/** Gets one file; non-zero ends the visit, which then returns IMGSIM_OK. Since 0.1. */
typedef int32_t (*imgsim_file_callback)(const imgsim_file_info *file, void *user_data);

/**
 * Visit the files of one state in order of id, then path; state -1 visits all. Since 0.1.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_CORRUPT; IMGSIM_ERROR_IO
 */
IMGSIM_API imgsim_status imgsim_catalog_visit_files(
    const imgsim_catalog *catalog,
    int32_t state,
    imgsim_file_callback callback,
    void *user_data);

/**
 * Look one image up by its id and pass it to the callback once.
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (no such id, or dead). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_catalog_get_file(
    const imgsim_catalog *catalog,
    int64_t id,
    imgsim_file_callback callback,
    void *user_data);

/**
 * Find an image's id by UUID (36 characters) or by path (absolute, relative to the working folder, or as in
 * the catalog, tried in this order).
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND. Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_catalog_find(const imgsim_catalog *catalog, const char *text, int64_t *out_id);

/* ---- labels ---- */

/**
 * Give an image a label. An image may have several; labels stay with the UUID.
 *
 * @param label  1 to 255 bytes of UTF-8 without control characters
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT; IMGSIM_ERROR_NOT_FOUND (id); IMGSIM_ERROR_BUSY. Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_catalog_add_label(imgsim_catalog *catalog, int64_t id, const char *label);

/**
 * The same for many images in one transaction: all or nothing.
 *
 * @param ids     count ids
 * @param labels  count labels
 */
IMGSIM_API imgsim_status imgsim_catalog_add_labels(
    imgsim_catalog *catalog,
    const int64_t *ids,
    const char *const *labels,
    size_t count);

/**
 * Take away all labels that begin with a prefix, and give new ones, in one transaction: for labels that a program gives and
 * brings up to date, as "cluster:NAME/".
 *
 * @param prefix  1 to 255 bytes, which every label begins with
 * @param ids     count ids
 * @param labels  count labels
 * @return as imgsim_catalog_add_label(); nothing is changed on an error. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_catalog_replace_labels(
    imgsim_catalog *catalog,
    const char *prefix,
    const int64_t *ids,
    const char *const *labels,
    size_t count);

/** Take a label from an image; not having it is fine. Since 0.1. */
IMGSIM_API imgsim_status
imgsim_catalog_remove_label(imgsim_catalog *catalog, int64_t id, const char *label);

/** Gets one label and how many images in state OK have it; non-zero ends the visit. Since 0.1. */
typedef int32_t (*imgsim_label_callback)(const char *label, uint64_t image_count, void *user_data);

/** Visit the labels in order of their bytes: all of them, or with id >= 0 those of one image. Since 0.1. */
IMGSIM_API imgsim_status imgsim_catalog_visit_labels(
    const imgsim_catalog *catalog,
    int64_t id,
    imgsim_label_callback callback,
    void *user_data);

/* ---- features ---- */

/** Describes a feature set. Only the library makes these; the texts are valid during the callback. Since 0.1. */
typedef struct imgsim_feature_info {
    size_t struct_size;
    /** "color", "hash", "embedding", "embedding-pca128", ... */
    const char *name;
    /** Specification of its extractor, or of its projection. */
    const char *spec;
    /** Changes with whatever changes the rows. */
    const char *fingerprint;
    /** Name of the feature it was computed from, "" if from images. */
    const char *source;
    /** Values, or bits, in a row; the most bytes of one. */
    uint32_t dimension;
    /** IMGSIM_ROW_FLOAT32, UINT32, BITS or BYTES. */
    int32_t row_type;
    /** Default metric. */
    int32_t metric;
    uint32_t reserved;
    /** Images in state OK that have a row. */
    uint64_t image_count;
} imgsim_feature_info;

/** Gets one feature set; non-zero ends the visit. Since 0.1. */
typedef int32_t (*imgsim_feature_callback)(const imgsim_feature_info *feature, void *user_data);

/** Visit the feature sets in the order in which they were made. Since 0.1. */
IMGSIM_API imgsim_status imgsim_catalog_visit_features(
    const imgsim_catalog *catalog,
    imgsim_feature_callback callback,
    void *user_data);

/**
 * Map the rows of a feature set as committed when the catalog was opened or refreshed.
 *
 * @param out_features  returned: release with imgsim_features_free(); may outlive the catalog
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (no such feature; the text lists those there are);
 *         IMGSIM_ERROR_CORRUPT (a matrix is missing, shorter than the catalog says, or of other shape). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_catalog_open_features(
    const imgsim_catalog *catalog,
    const char *name,
    imgsim_features **out_features);

/** Release a feature handle; NULL is fine. Its mapped rows are gone then. */
IMGSIM_API void imgsim_features_free(imgsim_features *features);
/** Rows, one per id given so far. */
IMGSIM_API uint64_t imgsim_features_get_row_count(const imgsim_features *features);
/** Values, or bits, in a row; the most bytes of one. */
IMGSIM_API uint32_t imgsim_features_get_dimension(const imgsim_features *features);
/** IMGSIM_ROW_FLOAT32, UINT32, BITS or BYTES. */
IMGSIM_API int32_t imgsim_features_get_row_type(const imgsim_features *features);
/** Default metric. */
IMGSIM_API int32_t imgsim_features_get_metric(const imgsim_features *features);
/** Whether the image of this id has a row and is in state OK: 1 or 0. */
IMGSIM_API int32_t imgsim_features_has_row(const imgsim_features *features, int64_t id);
/** All rows, mapped, row = id; rows of ids without this feature are unspecified. NULL for UINT32 rows, which are kept
 *  sparse, and for BYTES rows; belongs to the handle. */
IMGSIM_API const void *imgsim_features_get_rows(const imgsim_features *features);

/**
 * Copy rows out, dense, whatever the storage.
 *
 * @param ids       id_count ids
 * @param out_rows  id_count rows
 * @param out_size  bytes of out_rows
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (an id without a row); IMGSIM_ERROR_UNSUPPORTED (BYTES rows);
 *         IMGSIM_ERROR_INVALID_ARGUMENT. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_features_read(
    const imgsim_features *features,
    const int64_t *ids,
    size_t id_count,
    void *out_rows,
    size_t out_size);

/**
 * The bytes of one row of a feature whose rows consist of bytes: of the feature "thumbnail", the thumbnail of the image, a JPEG file
 * upright in sRGB. To read many, keep the handle; any number of threads may.
 *
 * @param out_data  mapped, belongs to the handle
 * @param out_size  bytes
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND (an id without a row); IMGSIM_ERROR_UNSUPPORTED (a feature of other rows). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_features_get_bytes(
    const imgsim_features *features,
    int64_t id,
    const void **out_data,
    size_t *out_size);

/**
 * Mapped sparse rows of a histogram feature: row i has the entries offsets[i] to offsets[i] + lengths[i] - 1.
 *
 * @param out_offsets  row_count offsets
 * @param out_lengths  row_count lengths
 * @param out_bins     bin of each entry, ascending within a row
 * @param out_counts   its count, at least 1
 * @return IMGSIM_OK; IMGSIM_ERROR_UNSUPPORTED (not a histogram feature). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_features_get_sparse(
    const imgsim_features *features,
    const uint64_t **out_offsets,
    const uint32_t **out_lengths,
    const uint16_t **out_bins,
    const uint32_t **out_counts);

/** A feature set of the host's or of a projection; zero it, set struct_size, fill it. Since 0.1. */
typedef struct imgsim_feature_definition {
    /** sizeof(imgsim_feature_definition). */
    size_t struct_size;
    /** Name, 1 to 63 of [a-z0-9_-], the first a letter. */
    const char *name;
    /** What made it, as text; NULL or "" if nothing to say. */
    const char *spec;
    /** Changes with whatever changes the rows; NULL or "" for none. */
    const char *fingerprint;
    /** Feature it was computed from, NULL or "" for none. */
    const char *source;
    /** Values, or bits, in a row: 1 to 65536. */
    uint32_t dimension;
    /** IMGSIM_ROW_FLOAT32 or BITS (UINT32 comes only from a scan). */
    int32_t row_type;
    /** Default metric. */
    int32_t metric;
    uint32_t reserved;
} imgsim_feature_definition;

/**
 * Write rows of a feature set, making or replacing it: rows are written and synced before the
 * transaction that names them. A set of the same name with another fingerprint is replaced as a whole.
 *
 * @param ids        id_count ids given before
 * @param rows       id_count rows
 * @param rows_size  bytes of rows
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (also NaN or infinity in a row: the text names id and
 *         column); IMGSIM_ERROR_BUSY; IMGSIM_ERROR_NO_SPACE; IMGSIM_ERROR_IO. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_catalog_put_features(
    imgsim_catalog *catalog,
    const imgsim_feature_definition *definition,
    const int64_t *ids,
    size_t id_count,
    const void *rows,
    size_t rows_size);

/** Drop a feature set and its files. Since 0.1. */
IMGSIM_API imgsim_status imgsim_catalog_remove_features(imgsim_catalog *catalog, const char *name);

/**
 * Write a feature set as two dense .npy files: PATH with one row per image in state OK that has one, and beside it
 * PATH with ".ids.npy" instead of ".npy", their ids as int64. Histograms become dense uint32. Replaced atomically. Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_catalog_export_npy(const imgsim_catalog *catalog, const char *feature, const char *path);

/**
 * Write a table of all files as CSV (RFC 4180): id,uuid,path,directory,name,format,width,height,bytes,mtime_ns,
 * content_hash,state,reason,labels; labels joined by '|'. Replaced atomically. Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_catalog_export_csv(const imgsim_catalog *catalog, const char *path);

/**
 * Remember a text under a key: settings that belong to the collection, such as the model file of its embedding.
 *
 * @param key    1 to 63 of [a-z0-9_.-]
 * @param value  NULL forgets the key
 */
IMGSIM_API imgsim_status
imgsim_catalog_set_setting(imgsim_catalog *catalog, const char *key, const char *value);

/**
 * Copy a remembered text.
 *
 * @param out_value   buffer, always ended with NUL
 * @param value_size  its size
 * @return IMGSIM_OK; IMGSIM_ERROR_NOT_FOUND; IMGSIM_ERROR_LIMIT (buffer too small). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_catalog_get_setting(
    const imgsim_catalog *catalog,
    const char *key,
    char *out_value,
    size_t value_size);

/**
 * Check the catalog, its matrices and their agreement; reports each problem as a line.
 *
 * @param callback  gets one line per problem; NULL for none
 * @return IMGSIM_OK (sound); IMGSIM_ERROR_CORRUPT (problems were found). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_catalog_verify(
    const imgsim_catalog *catalog,
    void (*callback)(const char *problem, void *user_data),
    void *user_data);

#ifdef __cplusplus
}
#endif

#endif
