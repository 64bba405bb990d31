/* SPDX-License-Identifier: Apache-2.0 */
/* From folders to a catalog: walk, decode once, extract, store; run again to resume or refresh. */
#ifndef IMGSIM_SCAN_H
#define IMGSIM_SCAN_H

#include <imgsim/catalog.h>
#include <imgsim/extractor.h>

#ifdef __cplusplus
extern "C" {
#endif

/** See imgsim_scan_options.thumb_side. Since 0.1. */
#define IMGSIM_THUMB_SIDE_AS_IS UINT32_MAX

/** Where images are decoded during a scan. Since 0.1. */
enum {
    /** In the calling process, by threads of the library. A decoder that crashes takes the process with it. */
    IMGSIM_ISOLATION_NONE = 0,
    /**
     * In worker processes, one per thread, that may do nothing but decode: a decoder that crashes, hangs, exits or eats memory costs the
     * file it was working on. The scan fails where there can be none.
     */
    IMGSIM_ISOLATION_WORKERS = 1,
    /** In worker processes if there can be any, which the log tells otherwise; else in the calling process. */
    IMGSIM_ISOLATION_AUTO = 2
};

/** Settings of a scan; fill with imgsim_scan_options_init(). Since 0.1. */
typedef struct imgsim_scan_options {
    /** Written by the init function. */
    size_t struct_size;
    /**
     * extractor_count extractors, borrowed during the scan; NULL with count 0: the colour histogram and the
     * perceptual hash with default settings. A feature is named after its extractor; images that lack one are decoded again.
     */
    const imgsim_extractor *const *extractors;
    size_t extractor_count;
    /** Limits of decoding, NULL for the defaults; min_side 0 means what the extractors need. */
    const imgsim_image_options *image_options;
    /** Told about progress; non-zero stops within 200 ms and keeps what is finished (optional). */
    imgsim_progress_callback progress;
    void *user_data;
    /** Threads that decode, 0 for one per processor (default). */
    uint32_t threads;
    /** Images per transaction, 1 to 10000. Default 500. */
    uint32_t transaction_size;
    /** Shorter side in pixels to which decoding may be reduced; 0 decodes in full. Default 256. */
    uint32_t min_side;
    /** Non-zero: also files and folders whose name begins with a dot. Default 0. */
    int32_t include_hidden;
    /** Non-zero: follow symbolic links to folders, each folder once. Default 0. */
    int32_t follow_links;
    /** Non-zero: read every file again, even if size and time are as before. Default 0. */
    int32_t recheck;
    /**
     * Patterns of the files to take, include_count of them, borrowed; count 0 takes all. One that matches a folder takes all below
     * it. A pattern with a slash that is not its last character is compared with the path below the scanned folder, others with the
     * name: * is any number of characters but slashes, ** of any characters, ? one, [a-z] and [!a-z] one of a set; \ takes a
     * character literally; a slash at the end asks for a folder. Upper and lower case differ.
     */
    const char *const *include;
    size_t include_count;
    /** Patterns of the files and folders to leave out; they win over `include`. */
    const char *const *exclude;
    size_t exclude_count;
    /** Leave out files of fewer bytes. Default 0. */
    uint64_t min_bytes;
    /** Non-zero: stay on the file system of each given path. Default 0. */
    int32_t one_file_system;
    /**
     * Longer side of the thumbnails that are kept with the catalog as its feature "thumbnail", 16 to 512; 0: none are made.
     * IMGSIM_THUMB_SIDE_AS_IS (default): that of the catalog's thumbnails, 128 where it has none yet. Another side than theirs is
     * refused as other settings of any feature are. imgsim_features_get_bytes() reads them.
     */
    uint32_t thumb_side;
    /**
     * Where images are decoded: IMGSIM_ISOLATION_... Default NONE, so that no host gets child processes that it did not ask for. Workers
     * are the program imgsim-worker (beside the library's modules, or $IMGSIM_WORKER), started with posix_spawn() and ended with
     * the scan; a host's handler of SIGCHLD is called, and should not wait for children that it did not start.
     */
    int32_t isolation;
    /**
     * Processor time in milliseconds that one file may take in a worker, and four times as much by the clock; 100 or more. 0 means the
     * default, 30000.
     */
    uint32_t file_timeout_ms;
    /** Bytes that a worker may allocate, at least 2^26; contents of files come on top. 0 means the default, 2^31. */
    uint64_t worker_memory;
} imgsim_scan_options;

/** Write the defaults into `options`, whose size the caller passes. Since 0.1. */
IMGSIM_API imgsim_status imgsim_scan_options_init(imgsim_scan_options *options, size_t struct_size);

/**
 * Whether a pattern as in `include` and `exclude` matches a path below a scanned folder.
 *
 * @param path         "holiday/2019/a.jpg"
 * @param is_folder    non-zero: the path is that of a folder
 * @param out_matches  1 or 0
 *
 * @return IMGSIM_OK; IMGSIM_ERROR_INVALID_ARGUMENT (NULL; a pattern that cannot be read: the text says why). Since 0.1.
 */
IMGSIM_API imgsim_status
imgsim_scan_match(const char *pattern, const char *path, int32_t is_folder, int32_t *out_matches);

/**
 * What a scan did; zero it, set struct_size. seen = unchanged + added + refreshed + moved + skipped + failed
 * when it came to its end. Since 0.1.
 */
typedef struct imgsim_scan_report {
    /** sizeof(imgsim_scan_report). */
    size_t struct_size;
    /** Files seen below the given paths. */
    uint64_t seen;
    /** Of these: known before, whatever their state, and not opened; or opened and found to have the content they had. */
    uint64_t unchanged;
    /** New images stored. */
    uint64_t added;
    /** Images whose content changed, or which lacked a feature, decoded again. */
    uint64_t refreshed;
    /** Images found again under another path. */
    uint64_t moved;
    /** Files looked at in this scan and skipped, by whatever reason. */
    uint64_t skipped;
    /** Files looked at in this scan that failed, crashed or took too long. */
    uint64_t failed;
    /** Files known before that this scan found gone. */
    uint64_t missing;
    /** Bytes read. */
    uint64_t bytes;
    double seconds;
    /** Of the failed ones: files that a worker did not survive. */
    uint64_t crashed;
    /** Of the failed ones: files that took too long in a worker. */
    uint64_t timed_out;
} imgsim_scan_report;

/**
 * Bring a catalog up to date with folders and files.
 *
 * Whatever `include`, `exclude`, `min_bytes` and `one_file_system` leave out is recorded as skipped with its reason; an image that
 * is left out so leaves the answers, keeps id, UUID, features and labels, and comes back when a scan takes it in again. Paths
 * that are given themselves are always taken.
 *
 * Files known and unchanged (size and time) are not opened. Others are read once, hashed, decoded once, and every
 * extractor gets the same pixels. Rows are synced before the transaction that names them; whatever was
 * committed survives a kill at any moment and is not done again.
 *
 * @param paths       path_count folders or files
 * @param path_count  at least 1
 * @param options     NULL for the defaults
 * @param out_report  NULL, or filled also when the scan was cancelled
 *
 * @return IMGSIM_OK, also when single files failed; IMGSIM_ERROR_NOT_FOUND (a path);
 *         IMGSIM_ERROR_UNSUPPORTED (IMGSIM_ISOLATION_WORKERS, and no worker can be started);
 *         IMGSIM_ERROR_BUSY (another scan writes to this catalog; the text says which process);
 *         IMGSIM_ERROR_CANCELLED; IMGSIM_ERROR_NO_SPACE; IMGSIM_ERROR_IO;
 *         IMGSIM_ERROR_INVALID_ARGUMENT (two extractors of one name, a feature of this name with another
 *         shape or settings: the text says how to replace it; a pattern that cannot be read). Since 0.1.
 */
IMGSIM_API imgsim_status imgsim_scan(
    imgsim_catalog *catalog,
    const char *const *paths,
    size_t path_count,
    const imgsim_scan_options *options,
    imgsim_scan_report *out_report);

#ifdef __cplusplus
}
#endif

#endif
