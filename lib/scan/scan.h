/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a scan and what they hand on: walk -> plan -> pipeline (read, prepare) -> store. */
#ifndef IMS_SCAN_H
#define IMS_SCAN_H

#include <imgsim/scan.h>

#include "catalog/catalog.h"
#include "core/progress.h"
#include "core/status.h"
#include "scan/pattern.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Feature numbers are bits of a 64-bit mask; positions of extractors are bits of a mask as well. */
#define IMS_SCAN_EXTRACTORS_MAX 64
#define IMS_REASON_SIZE 192
/* Key of the catalog's setting that holds the shorter side to which the last scan decoded, as a decimal number; 0: in full. */
#define IMS_SCAN_MIN_SIDE "scan.min_side"

/* ---- walk.c: folders -> entries ---- */

/* What the walk found out about a path without opening it. Everything but IMS_ENTRY_FILE is not read. */
enum ims_entry_kind {
    IMS_ENTRY_FILE = 0,
    IMS_ENTRY_NOT_REGULAR,
    IMS_ENTRY_BROKEN_LINK,
    IMS_ENTRY_FOLDER_LINK,
    IMS_ENTRY_FOLDER_SEEN,
    IMS_ENTRY_FOLDER_UNREADABLE,
    IMS_ENTRY_PATH_TOO_LONG,
    IMS_ENTRY_UNREADABLE,
    /* Left out by the scan's options. */
    IMS_ENTRY_HIDDEN,
    IMS_ENTRY_FOLDER_HIDDEN,
    IMS_ENTRY_EXCLUDED,
    IMS_ENTRY_FOLDER_EXCLUDED,
    IMS_ENTRY_NOT_INCLUDED,
    IMS_ENTRY_OTHER_FILE_SYSTEM,
    IMS_ENTRY_TOO_FEW_BYTES
};

/* Longer paths, in bytes, are not followed: no file system has them except for having them. */
#define IMS_WALK_PATH_MAX 65536

struct ims_entry {
    uint64_t path; /* where the absolute path begins in ims_walk.text */
    uint64_t bytes;
    int64_t mtime_ns;
    uint32_t stored; /* the stored path is the absolute one without this many bytes */
    uint16_t kind;
    uint16_t error; /* errno where the kind has one */
};

struct ims_walk_options {
    const imgsim_catalog *catalog;
    const char *const *paths;
    size_t path_count;
    struct ims_meter *meter;
    /* Compared with paths below the given ones; the second wins. */
    const struct ims_patterns *include;
    const struct ims_patterns *exclude;
    uint64_t min_bytes;
    bool include_hidden;
    bool follow_links;
    bool one_file_system;
};

/* Every path below the given ones, once, in order of the bytes of its stored form. Zero it before use. */
struct ims_walk {
    char *text;
    size_t text_size;
    size_t text_capacity;
    struct ims_entry *entries;
    size_t count;
    size_t capacity;
    /* The given paths in absolute form. */
    char **roots;
    size_t root_count;
};

/* NOT_FOUND names a given path that is not there; CANCELLED; OUT_OF_MEMORY. */
imgsim_status ims_walk_run(const struct ims_walk_options *options, struct ims_walk *walk);
void ims_walk_close(struct ims_walk *walk);

/* ---- reasons.c: what becomes of entries that are not read ---- */

/* State and reason of an entry that is no file: false for IMS_ENTRY_FILE. The reason has IMS_REASON_SIZE bytes. */
bool ims_entry_judge(
    enum ims_entry_kind kind,
    int error,
    int32_t *out_state,
    char out_reason[IMS_REASON_SIZE]);
/* Left out because this scan was told so: patterns, file system, size. Its image leaves the answers. */
bool ims_entry_was_told(enum ims_entry_kind kind);
/* A hidden file, left out by default: what is known about its image stays. */
bool ims_entry_by_default(enum ims_entry_kind kind);
/* Whether a record of this reason stands for a folder that was not entered. */
bool ims_reason_is_folder(const char *reason);
/* Whether a failure had a cause outside the file, so that it is tried again although the file is unchanged. */
bool ims_reason_passes(const char *reason);

/* ---- plan.c: entries and records -> what has to be done ---- */

/* What the catalog knows about an image, kept while the scan runs. */
struct ims_known {
    int64_t id; /* -1: never decoded */
    uint64_t features;
    uint64_t bytes;
    int64_t mtime_ns;
    int32_t state;
    uint32_t width;
    uint32_t height;
    bool has_hash;
    bool claimed; /* vanished ones: a moved file took this record over */
    uint8_t hash[16];
    uint8_t uuid[16];
    char format[16];
    size_t missing; /* vanished ones: position in ims_plan.missing */
};

/* A vanished file. */
struct ims_vanished {
    size_t path;   /* where its stored path begins in ims_plan.text */
    bool in_scope; /* below the given paths and not known as missing yet: to be marked */
    bool moved;    /* found again under another path */
    bool folder;   /* stood for a folder that was not entered: to be forgotten */
    uint16_t kind; /* IMS_ENTRY_FILE, or that of a folder above that was left out */
};

#define IMS_NONE UINT32_MAX

struct ims_isolation;

/* One file to look at. */
struct ims_item {
    const char *path;   /* absolute; belongs to the walk */
    const char *stored; /* as in the catalog; its end */
    uint64_t bytes;
    int64_t mtime_ns;
    uint32_t known; /* its record in ims_plan.known, or IMS_NONE */
    uint16_t kind;
    uint16_t error;
};

/*
 * A file's bytes as they take time. The first ones count twice: a picture of few bytes has few pixels, each of which is worked on for
 * histogram, hash and thumbnail as well; from some size on larger pictures are decoded at a reduced size, and what is done for them
 * beyond their bytes grows no more. Measured on JPEG files of 1 kB to 1.4 MB, whose times follow from this within a tenth.
 */
#define IMS_TWICE_BYTES UINT64_C(12000)

static inline uint64_t ims_file_work(uint64_t bytes)
{
    return bytes + (bytes < IMS_TWICE_BYTES ? bytes : IMS_TWICE_BYTES);
}

/*
 * Measured on one core, in the same unit: the work that takes as long as all else that is done for a file (opening and storing;
 * with a network that, of MobileNetV2 to ResNet-50), and the seconds of a unit.
 */
#define IMS_FILE_WORK 2.3e3
#define IMS_NETWORK_WORK 1.5e6
#define IMS_WORK_SECONDS 8.9e-9

struct ims_plan {
    struct ims_item *items;
    size_t item_count;
    size_t item_capacity;
    struct ims_known *known;
    size_t known_count;
    size_t known_capacity;
    /* Records with an id whose file is gone, in order of hash, then path: where moved files come from. */
    struct ims_known *gone;
    size_t gone_count;
    size_t gone_capacity;
    /* In order of their stored paths. */
    struct ims_vanished *missing;
    size_t missing_count;
    size_t missing_capacity;
    char *text;
    size_t text_size;
    size_t text_capacity;
    uint64_t unchanged;
};

struct ims_plan_options {
    imgsim_catalog *catalog;
    struct ims_catalog_writer *writer;
    const struct ims_walk *walk;
    uint64_t wanted;    /* features every image shall have */
    uint64_t max_bytes; /* files refused for their size are tried again when this has grown */
    const struct ims_isolation
        *isolation; /* NULL: none; the same for files that workers did not survive */
    bool recheck;
};

/* Merge the walk with the catalog's records, both in order of stored path. Zero the plan before. */
imgsim_status ims_plan_make(const struct ims_plan_options *options, struct ims_plan *plan);
void ims_plan_close(struct ims_plan *plan);
/* First vanished image of this content in plan->gone, or gone_count; others of the same content follow it. */
size_t ims_plan_find_gone(const struct ims_plan *plan, const uint8_t hash[16]);

/* ---- prepare.c: one file -> a plain result; knows neither catalog nor threads ---- */

/* What the files of one scan have in common. */
struct ims_prepare_settings {
    const imgsim_extractor *const *extractors;
    size_t extractor_count;
    imgsim_image_options image;
    /* Extractor i: its row at row_at[i] and its network input at input_at[i] of a block of block_size bytes. */
    size_t row_at[IMS_SCAN_EXTRACTORS_MAX];
    size_t input_at[IMS_SCAN_EXTRACTORS_MAX];
    size_t block_size;
    uint64_t network_mask; /* extractors that work in batches */
    /* Set by another thread: images in work are given up, with CANCELLED. NULL: never. */
    const atomic_bool *stop;
    /* Told before each step on an image: IMS_STEP_DECODE, or the position of an extractor. NULL: nobody is. */
    void (*note_step)(void *context, uint32_t step);
    void *step_context;
};

#define IMS_STEP_DECODE UINT32_MAX

/* What became of a file. Zero it before use, release with ims_prepared_file_clear(). */
struct ims_prepared_file {
    int32_t state;
    char reason[IMS_REASON_SIZE];
    char format[16];
    uint32_t width;
    uint32_t height;
    bool has_hash;
    uint8_t hash[16];
    uint64_t bytes;
    int64_t mtime_ns;
    uint64_t bytes_read;
    uint64_t rows;   /* extractors whose row is in the block */
    uint64_t inputs; /* extractors whose network input is in the block */
    uint8_t *block;  /* allocated when the image is there, unless it is there before */
    uint8_t *packed; /* the rows once they are packed (parcel.h), and not in the block any more */
    bool is_packed;
};

/* A buffer that is used for one file after another. Zero it before use, release with ims_free(data). */
struct ims_file_buffer {
    uint8_t *data;
    size_t capacity;
    size_t size;
    /* Gives data and capacity room for `size` bytes, or false; what was there may be lost. NULL: memory of ims_alloc(). */
    bool (*reserve)(struct ims_file_buffer *buffer, size_t size);
};

/* Compute where rows and inputs stand in a block; sets block_size and network_mask. */
imgsim_status ims_prepare_layout(struct ims_prepare_settings *settings);

/*
 * Read a whole file into `buffer` and hash it: fills state, reason, hash, bytes and mtime. The state is OK when it is to be
 * decoded. Only running out of memory is an error.
 */
imgsim_status ims_prepare_read(
    const struct ims_prepare_settings *settings,
    const char *path,
    struct ims_file_buffer *buffer,
    struct ims_prepared_file *out);
/*
 * Decode what was read: size, format and *out_image. An image that fails has state and reason, and *out_image is NULL; errors are
 * those that end the scan.
 */
imgsim_status ims_prepare_image(
    const struct ims_prepare_settings *settings,
    const char *path,
    const struct ims_file_buffer *buffer,
    struct ims_prepared_file *out,
    imgsim_image **out_image);
/* Let the extractors of the mask `needed` work on an image; networks only prepare their input. Errors as before. */
imgsim_status ims_prepare_extract(
    const struct ims_prepare_settings *settings,
    const char *path,
    const imgsim_image *image,
    uint64_t needed,
    struct ims_prepared_file *out);
/* Both, one after the other. */
imgsim_status ims_prepare_decode(
    const struct ims_prepare_settings *settings,
    const char *path,
    const struct ims_file_buffer *buffer,
    uint64_t needed,
    struct ims_prepared_file *out);
/* Run the networks on `count` results that have inputs, in batches; rows land in the results' blocks. */
imgsim_status ims_prepare_networks(
    const struct ims_prepare_settings *settings,
    struct ims_prepared_file *const *results,
    size_t count);
void ims_prepared_file_clear(struct ims_prepared_file *prepared);
/* Set state and reason (one line, shortened to fit). */
void ims_prepared_set(struct ims_prepared_file *prepared, int32_t state, const char *format, ...)
    IMS_PRINTF(3, 4);

/* ---- decoder.c: decoding here or in a worker ---- */

/* A file that needs more memory than there is; a worker adds its limit. */
#define IMS_REASON_MEMORY "too large for memory"
/* Times the limit on a file's processor time, by the clock. */
#define IMS_WORKER_PATIENCE 4

/* How the images of one scan are decoded; set up by ims_isolation_choose(). */
struct ims_isolation {
    int32_t mode; /* IMGSIM_ISOLATION_... */
    uint32_t timeout_ms;
    uint64_t memory;
    char program[4096];
    /* Threads find out together that there can be no workers: AUTO only, and not once one was there. */
    atomic_bool started;
    atomic_bool given_up;
};

/* Whether a file of this state and reason may do better by another version or wider limits. worker_reason.c */
bool ims_reason_outgrown(int32_t state, const char *reason, const struct ims_isolation *isolation);

/* Look for the worker program. UNSUPPORTED: not there, and nothing else was allowed. */
imgsim_status ims_isolation_choose(struct ims_isolation *isolation);

/* One file to decode. */
struct ims_job {
    const char *path;
    struct ims_file_buffer *buffer; /* from ims_decoder_buffer() */
    uint64_t needed;                /* extractors */
    struct ims_prepared_file *out;
};

/* For one thread, which frees it as well: the end of the thread is the end of its worker. `halt` may be set by another thread. */
struct ims_decoder;
imgsim_status ims_decoder_new(
    const struct ims_prepare_settings *settings,
    struct ims_isolation *isolation,
    const atomic_bool *halt,
    struct ims_decoder **out_decoder);
void ims_decoder_free(struct ims_decoder *decoder);
/* Files that are read before they are decoded together, at most; 1 or more. */
size_t ims_decoder_batch_size(const struct ims_decoder *decoder);
/* Where to read file i of the next batch; after file i - 1 was read. */
struct ims_file_buffer *ims_decoder_buffer(struct ims_decoder *decoder, size_t i);
/*
 * Decode files that were read and let the extractors work, as ims_prepare_decode() does. The buffers may have moved afterwards.
 * Gives up with CANCELLED when `halt` or settings->stop is set.
 */
imgsim_status
ims_decoder_run(struct ims_decoder *decoder, const struct ims_job *jobs, size_t count);

/* ---- sniff.c: what the first bytes tell ---- */

/* Whether a file that begins so may be an image of any format that libimgsim or a newer one may know. */
bool ims_sniff_image(const uint8_t *data, size_t size);
/* About how many bytes decoding will take at a time: from the header where the format is common, else from the file's size. */
uint64_t ims_sniff_memory(const uint8_t *data, size_t size, uint32_t min_side);

/* ---- store.c: results -> catalog ---- */

/* Images of one transaction. */
#define IMS_TRANSACTION_MAX 10000

struct ims_store {
    struct ims_catalog_writer *writer;
    struct ims_plan *plan;
    const struct ims_prepare_settings *settings;
    /* Feature number of each extractor. */
    uint32_t numbers[IMS_SCAN_EXTRACTORS_MAX];
    /* Random UUIDs for the next images; those at random_left and above were given. */
    uint8_t random[64][16];
    uint32_t random_left;
    imgsim_scan_report *report;
    /* The report as of the last commit. */
    imgsim_scan_report committed;
    struct ims_meter *meter;
    uint32_t transaction_size;
    uint32_t uncommitted;
    double last_commit;
};

/* What an item's content tells before it is decoded. */
struct ims_verdict {
    uint64_t needed; /* extractors that must work; 0: no need to decode */
    bool same;       /* the content is that of the item's record, whose id stays */
    size_t moved;    /* position in plan->gone of the image that this file was, or SIZE_MAX */
};

/* Decide by the content's hash. Decoding threads may ask; what other files have taken over meanwhile is decided when storing. */
void ims_store_judge(
    const struct ims_store *store,
    const struct ims_item *item,
    const struct ims_prepared_file *prepared,
    struct ims_verdict *out);
/*
 * Write one finished result, in the order of the items; commits now and then. *out_again: nothing was written, the file has to be
 * prepared with every extractor after all, because the vanished image it was taken for went to another file; then
 * `forced` is set.
 */
imgsim_status ims_store_put(
    struct ims_store *store,
    const struct ims_item *item,
    const struct ims_prepared_file *prepared,
    bool forced,
    bool *out_again);
/* Mark what has vanished. */
imgsim_status ims_store_finish(struct ims_store *store);
/* Commit what is left. */
imgsim_status ims_store_commit(struct ims_store *store);

/* ---- pipeline.c: threads ---- */

struct ims_pipeline_options {
    const struct ims_plan *plan;
    const struct ims_prepare_settings *settings;
    struct ims_isolation *isolation;
    struct ims_store *store;
    struct ims_meter *meter;
    uint32_t threads;
};

/* Prepare every item of the plan on `threads` threads and store the results in order, from the calling thread. */
imgsim_status ims_pipeline_run(const struct ims_pipeline_options *options);

#endif
