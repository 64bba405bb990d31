/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the rows of all features are what was written: possible at all, and matching their checksums. */
#include "catalog/verify.h"

#include "core/memory.h"

#include <stdio.h>
#include <string.h>

/* Runs of damaged rows that are told one by one. */
#define RUNS_MAX 20

/* What is wrong with rows of a run; told as "the row of id 7 WORDS". */
static const char not_finite[] = "has values that are not finite";
static const char no_histogram[] = "is no histogram";
static const char no_picture[] = "is no JPEG file";
static const char other_bytes[] = "does not match its checksum";

/* Damaged rows of one feature, neighbours told together. */
struct runs {
    struct ims_check *check;
    const char *feature;
    const char *words; /* of the run that is open, NULL: none */
    uint64_t first, last, rows;
    uint64_t told, untold; /* runs; rows of the others */
};

static const char *row_fault(const imgsim_features *features, uint64_t id)
{
    const struct ims_feature_set *set = &features->set;
    const uint8_t *bytes;
    uint32_t length, zeros = 0;

    switch (set->row_type) {
    case IMGSIM_ROW_FLOAT32:
        return ims_row_check_finite(
                   (const float *)features->rows + id * set->dimension, set->dimension,
                   (int64_t)id) == IMGSIM_OK
                   ? NULL
                   : not_finite;
    case IMGSIM_ROW_UINT32:
        for (uint32_t i = 0; i < features->lengths[id]; i++)
            zeros += features->counts[features->offsets[id] + i] == 0;
        return zeros == 0 && ims_sparse_row_sound(features, (int64_t)id) ? NULL : no_histogram;
    case IMGSIM_ROW_BYTES: /* thumbnails: from a JPEG file's first marker to its last */
        bytes = features->bytes + features->offsets[id];
        length = features->lengths[id];
        return length >= 4 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[length - 2] == 0xff &&
                       bytes[length - 1] == 0xd9
                   ? NULL
                   : no_picture;
    default:
        return NULL;
    }
}

static uint64_t row_checksum(const imgsim_features *features, uint64_t id)
{
    const struct ims_feature_set *set = &features->set;
    size_t row_size;

    if (set->row_type == IMGSIM_ROW_UINT32)
        return ims_checksum_sparse(
            features->bins + features->offsets[id], features->counts + features->offsets[id],
            features->lengths[id]);
    if (set->row_type == IMGSIM_ROW_BYTES)
        return ims_checksum_bytes(features->bytes + features->offsets[id], features->lengths[id]);
    row_size = ims_row_size(set->row_type, set->dimension);
    return ims_checksum_bytes((const uint8_t *)features->rows + id * row_size, row_size);
}

/* ---- telling ---- */

/* Path of an image, "" if none has the id any more. */
static imgsim_status path_of(struct ims_check *check, uint64_t id, char *out, size_t size)
{
    sqlite3_stmt *statement;
    imgsim_status status;
    bool row;

    out[0] = '\0';
    if ((status = ims_db_statement(check->db, IMS_SQL_FILE_BY_ID, &statement)) != IMGSIM_OK)
        return status;
    sqlite3_bind_int64(statement, 1, (int64_t)id);
    if ((status = ims_db_step(check->db, statement, &row)) == IMGSIM_OK && row)
        snprintf(out, size, "%s", ims_db_text(statement, 0));
    sqlite3_reset(statement);
    return status;
}

static imgsim_status tell_run(struct runs *runs)
{
    imgsim_status status;
    char path[512];

    if (runs->words == NULL)
        return IMGSIM_OK;
    if (runs->told == RUNS_MAX) {
        runs->untold += runs->rows;
        runs->words = NULL;
        return IMGSIM_OK;
    }
    runs->told++;
    if ((status = path_of(runs->check, runs->first, path, sizeof(path))) != IMGSIM_OK)
        return status;
    if (runs->rows == 1)
        ims_check_report(
            runs->check, "feature \"%s\": the row of id %llu %s%s%s", runs->feature,
            (unsigned long long)runs->first, runs->words, path[0] != '\0' ? ": " : "", path);
    else
        ims_check_report(
            runs->check, "feature \"%s\": each of %llu rows of ids %llu to %llu %s%s%s",
            runs->feature, (unsigned long long)runs->rows, (unsigned long long)runs->first,
            (unsigned long long)runs->last, runs->words,
            path[0] != '\0' ? "; the first is of " : "", path);
    runs->words = NULL;
    return IMGSIM_OK;
}

/* One more row, in order of id: `words` NULL for a sound one. */
static imgsim_status add_row(struct runs *runs, uint64_t id, const char *words)
{
    imgsim_status status = IMGSIM_OK;

    runs->check->rows.damaged += words != NULL;
    if (words != runs->words && (status = tell_run(runs)) != IMGSIM_OK)
        return status;
    if (words == NULL)
        return IMGSIM_OK;
    if (runs->words == NULL) {
        runs->words = words;
        runs->first = id;
        runs->rows = 0;
    }
    runs->last = id;
    runs->rows++;
    return IMGSIM_OK;
}

/* ---- the features ---- */

static imgsim_status check_rows(struct ims_check *check, const imgsim_features *features)
{
    struct runs runs = {.check = check, .feature = features->set.name};
    struct ims_checksum_reader reader;
    imgsim_status status = ims_checksums_open(&reader, check->db, features->set.number);

    for (uint64_t id = 0; id < features->row_count && status == IMGSIM_OK; id++) {
        const char *words;
        uint64_t checksum;

        if (!ims_bitset_test(&features->present, (int64_t)id))
            continue;
        if ((status = ims_checksums_get(&reader, id, &checksum)) != IMGSIM_OK)
            break;
        words = row_fault(features, id);
        if (words == NULL && checksum != IMS_CHECKSUM_NONE &&
            row_checksum(features, id) != checksum)
            words = other_bytes;
        check->rows.rows++;
        check->rows.unknown += checksum == IMS_CHECKSUM_NONE;
        status = add_row(&runs, id, words);
    }
    if (status == IMGSIM_OK)
        status = tell_run(&runs);
    if (status == IMGSIM_OK && runs.untold > 0)
        ims_check_report(
            check, "feature \"%s\": %llu more rows are damaged", features->set.name,
            (unsigned long long)runs.untold);
    return status;
}

/* Rows of vanished images count, too: they may come back. */
static imgsim_status check_feature(struct ims_check *check, const struct ims_snapshot_set *named)
{
    struct ims_snapshot_set set = *named;
    imgsim_features *features = NULL;
    imgsim_status status;

    memset(&set.present, 0, sizeof(set.present));
    if (!ims_bitset_init(&set.present, check->snapshot.id_count, false))
        return ims_fail_memory((size_t)check->snapshot.id_count / 8);
    if ((status = ims_bits_load(
             check->db, (int32_t)set.set.number, set.present.bytes, check->snapshot.id_count)) !=
        IMGSIM_OK)
        goto done;
    status = ims_features_map(&check->snapshot, &set, check->catalog->folder, &features);
    if (status == IMGSIM_OK) {
        status = check_rows(check, features);
    } else if (status != IMGSIM_ERROR_OUT_OF_MEMORY) {
        ims_check_report(check, "feature \"%s\": %s", set.set.name, imgsim_last_error());
        status = IMGSIM_OK;
    }

done:
    imgsim_features_free(features);
    ims_bitset_clear(&set.present);
    return status;
}

imgsim_status ims_check_features(struct ims_check *check)
{
    imgsim_status status = IMGSIM_OK;

    for (size_t i = 0; i < check->snapshot.set_count && status == IMGSIM_OK; i++)
        status = check_feature(check, &check->snapshot.sets[i]);
    return status;
}
