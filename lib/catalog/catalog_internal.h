/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the catalog share: connections, the writer's lock, the snapshot, matrix files.
 */
#ifndef IMS_CATALOG_INTERNAL_H
#define IMS_CATALOG_INTERNAL_H

#include "catalog/catalog.h"
#include "simd/metric.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

/* "imgs", in the header of every catalog.db of ours. */
#define IMS_CATALOG_APPLICATION 0x696d6773
/* Version of the schema, SQLite's user_version. */
#define IMS_CATALOG_VERSION 1
/* Feature sets of a catalog: one bit each in ims_file_record.features. */
#define IMS_SETS_MAX 62
/* More ids than this are taken for damage. */
#define IMS_IDS_MAX (UINT64_C(1) << 31)
#define IMS_DIMENSION_MAX 65536u
/* Sets of ids are kept in blocks of this many bytes, one row of table `bits` each. */
#define IMS_BLOCK_BYTES 512
#define IMS_BLOCK_IDS (IMS_BLOCK_BYTES * 8)
/* Number of the bit set of live ids in table `bits`; feature sets have theirs, from 0. */
#define IMS_BITS_LIVE (-1)
/* Checksums are kept in blocks of so many ids, one row of table `checksums` each. */
#define IMS_CHECKSUM_IDS 512

/* ---- connections (db.c) ---- */

/* Statements that a connection keeps prepared. */
enum ims_sql {
    IMS_SQL_FILE_BY_PATH,
    IMS_SQL_FILE_BY_ID,
    IMS_SQL_FILE_BY_UUID,
    IMS_SQL_FILES_BY_CONTENT,
    IMS_SQL_RETIRED,
    IMS_SQL_PLACE,
    IMS_SQL_INSERT_FILE,
    IMS_SQL_UPDATE_FILE,
    IMS_SQL_DELETE_FILE,
    IMS_SQL_RETIRE,
    IMS_SQL_PUT_BITS,
    IMS_SQL_PUT_META,
    IMS_SQL_GET_CHECKSUMS,
    IMS_SQL_PUT_CHECKSUMS,
    IMS_SQL_LABELS_OF,
    IMS_SQL_COUNT
};

/* Columns of a file as ims_db_record() reads them. */
#define IMS_FILE_COLUMNS \
    "path, format, reason, id, uuid, content_hash, state, width, height, bytes, mtime_ns"

/* One connection; used by one thread at a time. */
struct ims_db {
    sqlite3 *handle;
    sqlite3_stmt *statements[IMS_SQL_COUNT];
    struct ims_db *next;
};

/* How the database can be opened; found out once. */
enum ims_db_mode { IMS_DB_WRITE, IMS_DB_READ, IMS_DB_IMMUTABLE };

imgsim_status ims_db_open(const char *path, enum ims_db_mode mode, struct ims_db **out_db);
void ims_db_close(struct ims_db *db);
/* The connection's last error as ours; always a failure. */
imgsim_status ims_db_fail(const struct ims_db *db);
imgsim_status ims_db_exec(struct ims_db *db, const char *sql);
/* A new statement; finalise it with sqlite3_finalize(). */
imgsim_status ims_db_prepare(struct ims_db *db, const char *sql, sqlite3_stmt **out_statement);
/* A kept statement, reset, without bindings. Belongs to the connection. */
imgsim_status ims_db_statement(struct ims_db *db, enum ims_sql sql, sqlite3_stmt **out_statement);
/* One step: *out_row says whether there is a row. */
imgsim_status ims_db_step(struct ims_db *db, sqlite3_stmt *statement, bool *out_row);
/* Run a statement that gives no rows, and reset it. */
imgsim_status ims_db_run(struct ims_db *db, sqlite3_stmt *statement);
/* First column of the first row as a number; CORRUPT when there is none. */
imgsim_status ims_db_number(struct ims_db *db, const char *sql, int64_t *out_number);
/* Text of a column, "" for NULL. */
const char *ims_db_text(sqlite3_stmt *statement, int column);
/* Read a row of IMS_FILE_COLUMNS; texts stay valid until the statement moves. Features are 0. */
imgsim_status ims_db_record(sqlite3_stmt *statement, struct ims_file_record *out_record);

/* Borrow a reading connection of the catalog; many threads may at once. */
imgsim_status ims_db_lease(const imgsim_catalog *catalog, struct ims_db **out_db);
/* Close the connections that nobody has borrowed. */
void ims_db_drain(const imgsim_catalog *catalog);
/* Give it back; NULL is fine. */
void ims_db_return(const imgsim_catalog *catalog, struct ims_db *db);

/* The catalog's folder for what people name: itself, or the .imgsim in it; NOT_FOUND (catalog.c). */
imgsim_status ims_catalog_choose_folder(const char *path, char **out_folder, bool *out_exists);

/* ---- the folder (schema.c) ---- */

/* Make an empty database; nothing of it is visible before it is whole. */
imgsim_status ims_schema_create(const char *folder, const char *database);
/* The same as a file of any name, synced; it must not be there. */
imgsim_status ims_schema_fill(const char *path);
/* That the file is a catalog of ours, by its first bytes, before SQLite touches it. */
imgsim_status ims_schema_check_file(const char *database);
/* That its version is one we know. */
imgsim_status ims_schema_check_version(struct ims_db *db, const char *database);

/* ---- the writer's lock (lock.c) ---- */

/* Take the lock, waiting up to wait_ms; BUSY names the holder. -1 in *out_fd on failure. */
imgsim_status ims_lock_take(const char *folder, const char *purpose, uint32_t wait_ms, int *out_fd);
void ims_lock_release(int fd);

/* A small change of the catalog in one transaction, under the writer's lock. Zero it before use. */
struct ims_change {
    struct ims_db *db;
    int lock;
    bool locked;
};
imgsim_status ims_change_begin(
    imgsim_catalog *catalog,
    const char *purpose,
    uint32_t wait_ms,
    struct ims_change *change);
imgsim_status ims_change_commit(struct ims_change *change);
/* Roll back what was not committed and release the lock; a zeroed change is fine. */
void ims_change_end(struct ims_change *change);
/* What short changes wait for another writer. */
#define IMS_CHANGE_WAIT_MS 2000

/* ---- feature sets ---- */

/*
 * Files a set consists of: one matrix, the four arrays of sparse rows, or offsets, lengths and data of rows of bytes. Sparse rows
 * and rows of bytes share what finds a row among the entries: bins, or bytes.
 */
#define IMS_SET_FILES_MAX 4
enum { IMS_SPARSE_OFFSETS, IMS_SPARSE_LENGTHS, IMS_SPARSE_BINS, IMS_SPARSE_COUNTS };
enum { IMS_BYTES_DATA = IMS_SPARSE_LENGTHS + 1 };

/* What one file of a set looks like. */
struct ims_set_file {
    const char *suffix; /* after the set's stem: ".npy", ".bins.npy" */
    const char *dtype;  /* NumPy's */
    uint64_t columns;   /* 0: 1-D */
    size_t row_size;
    bool by_id; /* a row per id; else a row per entry */
};
/* Files of a set of this row type; returns their number. */
size_t ims_set_files(int32_t row_type, uint32_t dimension, struct ims_set_file out_files[4]);

/* A row of table `features`. */
struct ims_feature_set {
    uint32_t number;
    uint32_t dimension;
    int32_t row_type;
    int32_t metric;
    int64_t sequence;
    uint64_t entries; /* of a sparse set or one of bytes, committed */
    char *name;
    char *spec;
    char *fingerprint;
    char *source;
    char *stem; /* of its files, "embedding" or "embedding-7" */
};

void ims_set_clear(struct ims_feature_set *set);
/* Read the table into a new array, in order of making; release with ims_sets_free(). */
imgsim_status
ims_sets_load(struct ims_db *db, struct ims_feature_set **out_sets, size_t *out_count);
void ims_sets_free(struct ims_feature_set *sets, size_t count);
/* Read the bit set `number` as bytes for `count` ids. `bytes` are zero before. */
imgsim_status ims_bits_load(struct ims_db *db, int32_t number, uint8_t *bytes, uint64_t count);
/* Whether a text may name a feature set (or stand before the suffixes of its files). */
bool ims_set_name_valid(const char *name);
/* Whether a definition is sound; INVALID_ARGUMENT says what is not. */
imgsim_status ims_definition_check(const imgsim_feature_definition *definition);
/* INVALID_ARGUMENT naming id and column if a float row has NaN or infinity. */
imgsim_status ims_row_check_finite(const float *row, uint32_t dimension, int64_t id);

/* ---- the snapshot (snapshot.c) ---- */

/*
 * A feature set as a reader sees it: its files are held open, so that it can be mapped after it was
 * replaced.
 */
struct ims_snapshot_set {
    struct ims_feature_set set;
    struct ims_bitset present;
    uint64_t image_count;
    int fds[IMS_SET_FILES_MAX];
    int open_error; /* errno of the first that could not be opened */
    uint32_t missing_file;
};

struct ims_snapshot {
    uint64_t id_count;
    uint64_t image_count;
    uint64_t state_counts[IMGSIM_FILE_STATE_COUNT];
    struct ims_bitset live;
    struct ims_snapshot_set *sets;
    size_t set_count;
};

/* Fill a zeroed snapshot from one consistent read. */
imgsim_status
ims_snapshot_load(const imgsim_catalog *catalog, struct ims_db *db, struct ims_snapshot *out);
void ims_snapshot_clear(struct ims_snapshot *snapshot);
/* Take in the catalog's own changes of feature sets; ids and live images stay as they were. */
imgsim_status ims_snapshot_reload_sets(imgsim_catalog *catalog);
/* Map a set of a snapshot (features.c). */
imgsim_status ims_features_map(
    const struct ims_snapshot *snapshot,
    const struct ims_snapshot_set *set,
    const char *folder,
    imgsim_features **out_features);

/* ---- the handles ---- */

struct ims_db_pool {
    pthread_mutex_t mutex;
    struct ims_db *idle;
    uint32_t idle_count;
};

struct imgsim_catalog {
    atomic_uint references;
    char *folder;   /* absolute */
    char *root;     /* absolute; "/" or without slash at the end */
    char *database; /* folder/catalog.db */
    int32_t read_only;
    enum ims_db_mode mode;
    struct timespec stamp; /* of a file opened as immutable: its time of change then */
    struct ims_db_pool *pool;
    struct ims_snapshot snapshot;
};

/* A file mapped for reading, by its descriptor. */
struct ims_mapping {
    uint8_t *data;
    size_t size;
};

struct imgsim_features {
    struct ims_feature_set set;
    uint64_t row_count;
    struct ims_bitset present;
    struct ims_mapping maps[IMS_SET_FILES_MAX];
    const void *rows; /* dense sets */
    /* Sparse sets and sets of bytes: copies, so that nobody changes them after they were checked. */
    uint64_t *offsets;
    uint32_t *lengths;
    const uint16_t *bins;
    const uint32_t *counts;
    const uint8_t *bytes;
    pthread_mutex_t mutex;
    int32_t sparse_checked; /* 0: not yet; 1: sound; -1: damaged. Under the mutex. */
    int64_t damaged_id;     /* -1: none found */
};

/* ---- matrices (matrix.c) ---- */

/* One .npy of ours being written. */
struct ims_matrix {
    int fd;
    char *path;
    struct ims_set_file shape;
    uint64_t size;        /* of the file */
    uint64_t header_rows; /* as its header says */
    bool touched;         /* has writes that are not synced */
    uint8_t *pending;     /* rows that wait to be written together; NULL before the first */
    size_t pending_size;
    uint64_t pending_at; /* byte of the file that they begin at */
};

/*
 * Make a new file, or open one that has at least `rows` rows (CORRUPT otherwise). Takes `path`
 * over.
 */
imgsim_status ims_matrix_create(struct ims_matrix *matrix, char *path);
imgsim_status ims_matrix_open(struct ims_matrix *matrix, char *path, uint64_t rows);
void ims_matrix_close(struct ims_matrix *matrix);
/*
 * Write rows from `first` on; grows the file at once, so that a full disk shows. The rows themselves may wait in memory until
 * ims_matrix_read(), ims_matrix_sync() or rows elsewhere; ims_matrix_close() drops those that wait.
 */
imgsim_status
ims_matrix_write(struct ims_matrix *matrix, uint64_t first, uint64_t count, const void *rows);
imgsim_status
ims_matrix_read(struct ims_matrix *matrix, uint64_t first, uint64_t count, void *rows);
/*
 * Make it cover `rows` rows (holes are fine), note the count in the header and sync what must be.
 */
imgsim_status ims_matrix_sync(struct ims_matrix *matrix, uint64_t rows);
/* Give back room beyond `rows` and let the header say `rows`; failing is harmless. */
void ims_matrix_trim(struct ims_matrix *matrix, uint64_t rows);
/* Copy the content of `from`, which has `rows` rows. */
imgsim_status ims_matrix_copy(struct ims_matrix *matrix, struct ims_matrix *from, uint64_t rows);
/* Map `rows` rows for reading and check dtype, shape and length; `name` is for messages. */
imgsim_status ims_matrix_map(
    int fd,
    const struct ims_set_file *shape,
    uint64_t rows,
    const char *name,
    struct ims_mapping *out_mapping);
void ims_mapping_clear(struct ims_mapping *mapping);

/* ---- sparse rows (sparse.c) ---- */

/*
 * Copy offsets and lengths of a sparse set or one of bytes; rows without the feature get length 0;
 * CORRUPT if a row lies outside the entries.
 */
imgsim_status ims_sparse_attach(imgsim_features *features);
/* Check one row's bins: ascending, below the dimension. */
bool ims_sparse_row_sound(const imgsim_features *features, int64_t id);
/* Check all rows, once. */
imgsim_status ims_sparse_check(imgsim_features *features);
/* Expand a row. */
void ims_sparse_decode(const imgsim_features *features, int64_t id, uint32_t *out_row);

/* ---- checksums of rows (checksums.c) ---- */

/* Stands for "there is none". */
#define IMS_CHECKSUM_NONE UINT64_C(0)
/* Blocks that a writer keeps of each set until it writes them. */
#define IMS_CHECKSUM_BLOCKS 8
/* The table; catalogs that were made before there was one get it from their next writer. */
#define IMS_CHECKSUMS_TABLE                                      \
    "checksums(number INTEGER NOT NULL, block INTEGER NOT NULL," \
    "  checksums BLOB NOT NULL, PRIMARY KEY(number, block)) STRICT, WITHOUT ROWID;"

/* XXH3-64 of a dense row or one of bytes; of a histogram that of the two of its bins and counts. Never NONE. */
uint64_t ims_checksum_bytes(const void *row, size_t size);
uint64_t ims_checksum_sparse(const uint16_t *bins, const uint32_t *counts, uint32_t length);

imgsim_status ims_checksums_make(struct ims_db *db);
imgsim_status ims_checksums_exist(struct ims_db *db, bool *out_exist);
/* Forget those of a set. */
imgsim_status ims_checksums_drop(struct ims_db *db, uint32_t number);

/* Checksums of one set, read in order of id; nothing to release. */
struct ims_checksum_reader {
    struct ims_db *db;
    uint32_t number;
    bool exist;
    int64_t block; /* the one at hand, -1: none */
    uint64_t checksums[IMS_CHECKSUM_IDS];
};
imgsim_status
ims_checksums_open(struct ims_checksum_reader *reader, struct ims_db *db, uint32_t number);
imgsim_status
ims_checksums_get(struct ims_checksum_reader *reader, uint64_t id, uint64_t *out_checksum);

/* Blocks that a writer has changed. */
struct ims_checksum_table {
    uint64_t *checksums; /* IMS_CHECKSUM_BLOCKS blocks; NULL before the first row */
    int64_t blocks[IMS_CHECKSUM_BLOCKS];
    size_t count;
};
struct ims_store;
struct ims_catalog_writer;
/* Note a row's checksum, in this transaction. */
imgsim_status ims_checksums_put(
    struct ims_catalog_writer *writer,
    struct ims_store *store,
    int64_t id,
    uint64_t checksum);
/* Write what was noted, in this transaction. */
imgsim_status ims_checksums_save(struct ims_db *db, struct ims_store *store);
void ims_checksums_clear(struct ims_checksum_table *table);

/* ---- files of the collection (records.c) ---- */

/*
 * Text space that a record is spelled out in. Zero it before use, release `text` with ims_free().
 */
struct ims_info_space {
    char *text;
    size_t capacity;
    char uuid[37];
    char hash[33];
};
imgsim_status ims_info_fill(
    const imgsim_catalog *catalog,
    const struct ims_file_record *record,
    struct ims_info_space *space,
    imgsim_file_info *out_info);
/* Visit on a connection of the caller's; state -1 visits all. */
imgsim_status ims_records_visit(
    const imgsim_catalog *catalog,
    struct ims_db *db,
    int32_t state,
    imgsim_file_callback callback,
    void *user_data);
/* Remember or forget (NULL) a setting on a writing connection (labels.c). */
imgsim_status ims_setting_put(struct ims_db *db, const char *key, const char *value);
/* "ok", "skipped", ... */
const char *ims_state_name(int32_t state);

/*
 * Stored forms of a path given by people, in the order in which they are tried; release each with
 * ims_free().
 */
imgsim_status
ims_path_candidates(const imgsim_catalog *catalog, const char *text, char *out_candidates[2]);

/* ---- writer.c, shared with put_features ---- */

/* A set of ids in blocks, with what has to be written back. */
struct ims_bit_table {
    uint8_t *bytes;
    uint8_t *dirty; /* one per block */
    size_t blocks;
};

/* A feature set being written. */
struct ims_store {
    struct ims_feature_set set;
    struct ims_bit_table present;
    struct ims_checksum_table checksums;
    struct ims_matrix files[IMS_SET_FILES_MAX];
    size_t file_count;
    uint64_t entries; /* of a sparse set or one of bytes, written so far */
    bool open;        /* its files */
    bool made;        /* its files are new and not committed */
    bool dirty;       /* its row in table `features` */
    char *old_stem;   /* files to remove after the commit */
};

struct ims_catalog_writer {
    imgsim_catalog *catalog;
    struct ims_change change;
    struct ims_error failed; /* the first database error: nothing more is written then */
    uint64_t next_id;
    uint64_t committed_id; /* next_id at the last commit */
    int64_t generation;
    uint64_t state_counts[IMGSIM_FILE_STATE_COUNT];
    struct ims_bit_table live;
    struct ims_store stores[IMS_SETS_MAX]; /* by number */
    bool used[IMS_SETS_MAX];
    uint16_t *bins; /* space for one sparse row */
    uint32_t *counts;
    bool folder_touched; /* files were made in features/ */
};

imgsim_status ims_writer_start(
    imgsim_catalog *catalog,
    const char *purpose,
    uint32_t wait_ms,
    struct ims_catalog_writer **out_writer);
/* Note the first failure of the database; returns `status`. */
imgsim_status ims_writer_poison(struct ims_catalog_writer *writer, imgsim_status status);
bool ims_bit_table_grow(struct ims_bit_table *table, uint64_t ids);
bool ims_bit_table_test(const struct ims_bit_table *table, int64_t id);
void ims_bit_table_put(struct ims_bit_table *table, int64_t id, bool value);
void ims_bit_table_clear(struct ims_bit_table *table);

/* ---- stores (store.c) ---- */

imgsim_status ims_store_open(struct ims_catalog_writer *writer, struct ims_store *store);
/* Put new, empty files (copy 0) or copies of the old ones in the place of a set's files. */
imgsim_status
ims_store_renew(struct ims_catalog_writer *writer, struct ims_store *store, bool copy);
imgsim_status ims_store_put_row(
    struct ims_catalog_writer *writer,
    struct ims_store *store,
    int64_t id,
    const void *row);
imgsim_status ims_store_put_sparse_row(
    struct ims_catalog_writer *writer,
    struct ims_store *store,
    int64_t id,
    uint32_t length,
    const uint16_t *bins,
    const uint32_t *counts);
/* Before the commit: cover all ids, sync. */
imgsim_status ims_store_sync(struct ims_catalog_writer *writer, struct ims_store *store);
/* Close the files; remove them if they were made and not committed. */
void ims_store_close(struct ims_catalog_writer *writer, struct ims_store *store);
/* After a commit: what was made is now named by the catalog, what it replaced can go. */
void ims_store_committed(struct ims_catalog_writer *writer, struct ims_store *store);
void ims_store_remove_files(const imgsim_catalog *catalog, const char *stem);
/* Whether a name in features/ is that of a matrix file that no set of the handle's snapshot has. */
bool ims_store_is_unnamed(const imgsim_catalog *catalog, const char *name);
/* Remove matrix files that the catalog does not name: what a crash left behind. */
void ims_store_sweep(struct ims_catalog_writer *writer);

#endif
