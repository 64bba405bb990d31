/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums of the rows of features, in table `checksums`: one per row, in blocks by id.
 *
 * They are written in the transaction that names the rows, after these were synced; and as a row that the catalog names is never
 * overwritten, the two agree whatever is interrupted. A checksum of 0 says that there is none: rows of catalogs that were written
 * before there were checksums.
 */
#include "catalog/catalog_internal.h"

#include "core/hash.h"
#include "core/memory.h"

#include <string.h>

_Static_assert(
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
    "checksums are stored as they are in memory");

#define BLOCK_SIZE (IMS_CHECKSUM_IDS * sizeof(uint64_t))

/* ---- of one row ---- */

static uint64_t never_none(uint64_t checksum)
{
    return checksum != IMS_CHECKSUM_NONE ? checksum : 1;
}

uint64_t ims_checksum_bytes(const void *row, size_t size)
{
    return never_none(ims_hash64(row, size));
}

uint64_t ims_checksum_sparse(const uint16_t *bins, const uint32_t *counts, uint32_t length)
{
    const uint64_t parts[2] = {
        ims_hash64(bins, length * sizeof(*bins)), ims_hash64(counts, length * sizeof(*counts))};

    return never_none(ims_hash64(parts, sizeof(parts)));
}

/* ---- the table ---- */

imgsim_status ims_checksums_make(struct ims_db *db)
{
    return ims_db_exec(db, "CREATE TABLE IF NOT EXISTS " IMS_CHECKSUMS_TABLE);
}

imgsim_status ims_checksums_exist(struct ims_db *db, bool *out_exist)
{
    int64_t count = 0;
    imgsim_status status = ims_db_number(
        db, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'checksums'",
        &count);

    *out_exist = count != 0;
    return status;
}

imgsim_status ims_checksums_drop(struct ims_db *db, uint32_t number)
{
    sqlite3_stmt *statement = NULL;
    imgsim_status status;
    bool exist;

    if ((status = ims_checksums_exist(db, &exist)) != IMGSIM_OK || !exist ||
        (status = ims_db_prepare(db, "DELETE FROM checksums WHERE number = ?1", &statement)) !=
            IMGSIM_OK)
        return status;
    sqlite3_bind_int64(statement, 1, number);
    status = ims_db_run(db, statement);
    sqlite3_finalize(statement);
    return status;
}

/* One block; what is not in the table is none. */
static imgsim_status
read_block(struct ims_db *db, uint32_t number, int64_t block, uint64_t out[IMS_CHECKSUM_IDS])
{
    sqlite3_stmt *statement;
    imgsim_status status;
    bool row;

    memset(out, 0, BLOCK_SIZE);
    if ((status = ims_db_statement(db, IMS_SQL_GET_CHECKSUMS, &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_int64(statement, 1, number);
    sqlite3_bind_int64(statement, 2, block);
    if ((status = ims_db_step(db, statement, &row)) == IMGSIM_OK && row) {
        const void *blob = sqlite3_column_blob(statement, 0);
        size_t size = (size_t)sqlite3_column_bytes(statement, 0);

        if (blob != NULL)
            memcpy(out, blob, size < BLOCK_SIZE ? size / 8 * 8 : BLOCK_SIZE);
    }
    sqlite3_reset(statement);
    return status;
}

imgsim_status
ims_checksums_open(struct ims_checksum_reader *reader, struct ims_db *db, uint32_t number)
{
    reader->db = db;
    reader->number = number;
    reader->block = -1;
    return ims_checksums_exist(db, &reader->exist);
}

imgsim_status
ims_checksums_get(struct ims_checksum_reader *reader, uint64_t id, uint64_t *out_checksum)
{
    int64_t block = (int64_t)(id / IMS_CHECKSUM_IDS);
    imgsim_status status;

    *out_checksum = IMS_CHECKSUM_NONE;
    if (!reader->exist)
        return IMGSIM_OK;
    if (block != reader->block &&
        (status = read_block(reader->db, reader->number, block, reader->checksums)) != IMGSIM_OK)
        return status;
    reader->block = block;
    *out_checksum = reader->checksums[id % IMS_CHECKSUM_IDS];
    return IMGSIM_OK;
}

/* ---- writing ---- */

static uint64_t *block_at(const struct ims_checksum_table *table, size_t place)
{
    return table->checksums + place * IMS_CHECKSUM_IDS;
}

/* Where a block is kept, reading it if it is not kept yet. */
static imgsim_status
find_block(struct ims_db *db, struct ims_store *store, int64_t block, size_t *out_place)
{
    struct ims_checksum_table *table = &store->checksums;
    imgsim_status status;

    for (size_t i = table->count; i-- > 0;)
        if (table->blocks[i] == block) {
            *out_place = i;
            return IMGSIM_OK;
        }
    if (table->count == IMS_CHECKSUM_BLOCKS &&
        (status = ims_checksums_save(db, store)) != IMGSIM_OK)
        return status;
    if (table->checksums == NULL &&
        (table->checksums = ims_alloc(IMS_CHECKSUM_BLOCKS * BLOCK_SIZE)) == NULL)
        return ims_fail_memory(IMS_CHECKSUM_BLOCKS * BLOCK_SIZE);
    *out_place = table->count;
    if ((status = read_block(db, store->set.number, block, block_at(table, table->count))) !=
        IMGSIM_OK)
        return status;
    table->blocks[table->count++] = block;
    return IMGSIM_OK;
}

imgsim_status ims_checksums_put(
    struct ims_catalog_writer *writer,
    struct ims_store *store,
    int64_t id,
    uint64_t checksum)
{
    int64_t block = id / IMS_CHECKSUM_IDS;
    imgsim_status status;
    size_t place = 0;

    if ((status = find_block(writer->change.db, store, block, &place)) != IMGSIM_OK)
        return status == IMGSIM_ERROR_OUT_OF_MEMORY ? status : ims_writer_poison(writer, status);
    block_at(&store->checksums, place)[id % IMS_CHECKSUM_IDS] = checksum;
    return IMGSIM_OK;
}

imgsim_status ims_checksums_save(struct ims_db *db, struct ims_store *store)
{
    struct ims_checksum_table *table = &store->checksums;
    sqlite3_stmt *statement;
    imgsim_status status;

    for (; table->count > 0; table->count--) {
        size_t place = table->count - 1;

        if ((status = ims_db_statement(db, IMS_SQL_PUT_CHECKSUMS, &statement)) != IMGSIM_OK)
            return status;
        sqlite3_bind_int64(statement, 1, store->set.number);
        sqlite3_bind_int64(statement, 2, table->blocks[place]);
        sqlite3_bind_blob(statement, 3, block_at(table, place), BLOCK_SIZE, SQLITE_STATIC);
        if ((status = ims_db_run(db, statement)) != IMGSIM_OK)
            return status;
    }
    return IMGSIM_OK;
}

void ims_checksums_clear(struct ims_checksum_table *table)
{
    ims_free(table->checksums);
    memset(table, 0, sizeof(*table));
}
