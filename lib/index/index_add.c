/* SPDX-License-Identifier: Apache-2.0 */
/* Adding rows to an index and removing them: checks, copies, and links in the graph. */
#include "index/coarse.h"
#include "index/hnsw.h"
#include "index/planes.h"

#include "core/memory.h"
#include "simd/metric.h"
#include "simd/reference.h"

#include <math.h>

/* Rows turned into R * row at a time, and by one thread. */
#define TRANSFORM_ROWS 256
#define TRANSFORM_BLOCK 16

/* ---- Mahalanobis: |R a - R b| ---- */

struct transform_work {
    const imgsim_index *index;
    const float *rows;
    float *out;
    size_t count;
};

static imgsim_status transform_rows(void *context, size_t item, uint32_t worker)
{
    const struct transform_work *work = context;
    const size_t dimension = work->index->dimension;
    const size_t end = (item + 1) * TRANSFORM_BLOCK;

    (void)worker;
    for (size_t row = item * TRANSFORM_BLOCK; row < end && row < work->count; row++)
        for (size_t i = 0; i < dimension; i++) /* R is upper triangular */
            work->out[row * dimension + i] = (float)ims_exact_dot(
                work->index->factor + i * dimension + i, work->rows + row * dimension + i,
                dimension - i);
    return IMGSIM_OK;
}

imgsim_status ims_index_transform(
    const imgsim_index *index,
    struct ims_pool *pool,
    const float *rows,
    size_t count,
    float *out)
{
    struct transform_work work = {index, rows, out, count};
    imgsim_status status =
        ims_pool_run(pool, (count + TRANSFORM_BLOCK - 1) / TRANSFORM_BLOCK, transform_rows, &work);

    for (size_t i = 0; i < count * index->dimension && status == IMGSIM_OK; i++)
        if (!isfinite(out[i]))
            status = ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "row %zu: too large for this mahalanobis matrix",
                i / index->dimension);
    return status;
}

/* ---- checks of rows ---- */

imgsim_status ims_index_check_floats(
    const imgsim_index *index,
    const char *what,
    const float *rows,
    size_t row_count,
    const int64_t *ids)
{
    const bool counts =
        ims_metric_is_histogram(index->metric) ||
        (index->rows.form == IMS_ROWS_SPARSE && index->metric != IMGSIM_METRIC_CALLBACK);

    for (size_t row = 0; row < row_count; row++)
        for (uint32_t i = 0; i < index->dimension; i++) {
            const float value = rows[row * index->dimension + i];

            if (isfinite(value) && !(counts && value < 0))
                continue;
            if (ids != NULL)
                return ims_fail(
                    IMGSIM_ERROR_INVALID_ARGUMENT,
                    "%s %zu (id %lld): value %u is %g, expected a %s number", what, row,
                    (long long)ids[row], (unsigned)i, (double)value,
                    isfinite(value) ? "non-negative" : "finite");
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "%s %zu: value %u is %g, expected a %s number", what,
                row, (unsigned)i, (double)value, isfinite(value) ? "non-negative" : "finite");
        }
    return IMGSIM_OK;
}

static imgsim_status
check_entries(const imgsim_index *index, const uint16_t *bins, uint32_t length, size_t row)
{
    for (uint32_t e = 0; e < length; e++) {
        if (bins[e] >= index->dimension)
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "row %zu: bin %u, index has %u bins", row,
                (unsigned)bins[e], (unsigned)index->dimension);
        if (e > 0 && bins[e] <= bins[e - 1])
            return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "row %zu: bins are not ascending", row);
    }
    return IMGSIM_OK;
}

/* ---- adding ---- */

/* What an add call gives: one of the three kinds of rows. */
struct addition {
    const void *rows; /* floats or bits */
    const uint64_t *offsets;
    const uint32_t *lengths;
    const uint16_t *bins;
    const uint32_t *counts;
    size_t count;
    size_t entries;
    size_t large; /* counts beyond 16 bits */
};

static imgsim_status own_everything(imgsim_index *index)
{
    imgsim_status status;

    if (index->rows.ids == NULL && !index->rows.owned)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "the rows of this index belong to a feature");
    if ((status = ims_rows_own(&index->rows)) != IMGSIM_OK ||
        (index->graph != NULL && (status = ims_graph_own(index->graph)) != IMGSIM_OK) ||
        (status = ims_coarse_own(index->coarse)) != IMGSIM_OK ||
        (index->planes != NULL && (status = ims_planes_own(index->planes)) != IMGSIM_OK))
        return status;
    ims_reader_close(&index->file);
    return IMGSIM_OK;
}

/* Copy the rows into slots, R * row for Mahalanobis. */
static imgsim_status put_rows(
    imgsim_index *index,
    const struct addition *addition,
    struct ims_pool *pool,
    const int64_t *ids,
    uint32_t *slots,
    size_t *out_put)
{
    imgsim_status status = IMGSIM_OK;
    struct ims_rows *rows = &index->rows;
    float *changed = NULL;

    *out_put = 0;
    if (index->factor != NULL &&
        (changed = ims_alloc_array(TRANSFORM_ROWS, index->dimension * sizeof(float))) == NULL)
        return ims_fail_memory(TRANSFORM_ROWS * index->dimension * sizeof(float));
    for (size_t i = 0; i < addition->count && status == IMGSIM_OK; i++) {
        const uint8_t *row = addition->rows;

        if (addition->offsets != NULL) {
            const uint64_t start = addition->offsets[i];

            slots[i] = ims_rows_put_sparse(
                rows, addition->bins + start, addition->counts + start, addition->lengths[i],
                ids[i]);
        } else if (changed == NULL) {
            slots[i] = ims_rows_put(rows, row + i * rows->row_size, ids[i]);
        } else {
            const size_t left = addition->count - i;

            if (i % TRANSFORM_ROWS == 0 &&
                (status = ims_index_transform(
                     index, pool, (const float *)addition->rows + i * index->dimension,
                     left < TRANSFORM_ROWS ? left : TRANSFORM_ROWS, changed)) != IMGSIM_OK)
                break;
            slots[i] = ims_rows_put(rows, changed + i % TRANSFORM_ROWS * index->dimension, ids[i]);
        }
        ims_coarse_update(index, slots[i]);
        ++*out_put;
    }
    ims_free(changed);
    return status;
}

/* Planes follow new rows in slots used before at once, other rows when they are needed next. */
static void follow_rows(imgsim_index *index, const uint32_t *slots, size_t count)
{
    atomic_store(&index->planes_known, false);
    for (size_t i = 0; i < count && index->planes != NULL; i++)
        if (ims_planes_replace(index, index->planes, slots[i]) != IMGSIM_OK) {
            ims_planes_free(index->planes); /* to be made anew */
            index->planes = NULL;
            index->planes_tried = 0;
        }
}

/* Take rows out again, which were put or linked last. */
static void take_back(imgsim_index *index, const uint32_t *slots, size_t start, size_t count)
{
    for (size_t i = start; i < count; i++) {
        const bool kept = index->graph != NULL && ims_graph_remove(index->graph, slots[i]);

        if (index->planes != NULL)
            ims_planes_forget(index->planes, slots[i]);
        ims_rows_forget(&index->rows, slots[i]);
        if (!kept)
            ims_rows_release(&index->rows, slots[i]);
    }
}

/* Link new rows, or build the graph when there are enough rows for one. */
static imgsim_status
link_rows(imgsim_index *index, struct ims_pool *pool, const uint32_t *slots, size_t count)
{
    imgsim_status status;
    struct ims_meter meter = {0};
    size_t done = 0;

    if (atomic_load(&index->kind) != IMGSIM_INDEX_HNSW)
        return IMGSIM_OK;
    if (index->graph == NULL) {
        if (index->rows.live_count < IMS_GRAPH_ROWS)
            return IMGSIM_OK;
        if ((status = ims_index_build_graph(index, pool)) != IMGSIM_OK)
            take_back(index, slots, 0, count);
        return status;
    }
    ims_meter_start(&meter, index->progress, index->progress_data);
    ims_meter_phase(&meter, "build", count);
    status = ims_graph_add(index, slots, count, pool, &meter, &done);
    if (status != IMGSIM_OK)
        take_back(index, slots, status == IMGSIM_ERROR_CANCELLED ? done : 0, count);
    return status;
}

static imgsim_status
add_rows(imgsim_index *index, const struct addition *addition, const int64_t *ids)
{
    imgsim_status status;
    struct ims_pool *pool;
    uint32_t *slots = NULL;
    int64_t *checked = NULL;
    size_t put;

    slots = ims_alloc_array(addition->count, sizeof(*slots));
    checked = ims_alloc_array(addition->count, sizeof(*checked));
    if (slots == NULL || checked == NULL) {
        status = ims_fail_memory(addition->count * sizeof(*checked));
        goto done;
    }
    if ((status = ims_rows_check_ids(&index->rows, ids, addition->count, checked)) != IMGSIM_OK ||
        (status = own_everything(index)) != IMGSIM_OK ||
        (status = ims_index_pool(index, &pool)) != IMGSIM_OK ||
        (status = ims_rows_reserve(
             &index->rows, addition->count, addition->entries, addition->large)) != IMGSIM_OK)
        goto done;
    if ((status = put_rows(index, addition, pool, checked, slots, &put)) != IMGSIM_OK) {
        for (size_t i = 0; i < put; i++) {
            ims_rows_forget(&index->rows, slots[i]);
            ims_rows_release(&index->rows, slots[i]);
        }
        goto done;
    }
    follow_rows(index, slots, addition->count);
    status = link_rows(index, pool, slots, addition->count);

done:
    ims_free(slots);
    ims_free(checked);
    return status;
}

imgsim_status
imgsim_index_add(imgsim_index *index, const float *rows, size_t row_count, const int64_t *ids)
{
    const struct addition addition = {.rows = rows, .count = row_count};
    imgsim_status status;

    if (index == NULL || (rows == NULL && row_count > 0))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "index and rows must not be NULL");
    if (index->rows.form != IMS_ROWS_FLOAT || index->row_type != IMGSIM_ROW_FLOAT32)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "this %s index does not take rows of floats",
            imgsim_metric_name(index->metric));
    if (index->normalize)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "an index that normalizes takes sparse histograms only");
    if (row_count == 0)
        return IMGSIM_OK;
    if ((status = ims_index_check_floats(index, "row", rows, row_count, ids)) != IMGSIM_OK)
        return status;
    return add_rows(index, &addition, ids);
}

imgsim_status imgsim_index_add_bits(
    imgsim_index *index,
    const uint8_t *rows,
    size_t row_count,
    const int64_t *ids)
{
    const struct addition addition = {.rows = rows, .count = row_count};

    if (index == NULL || (rows == NULL && row_count > 0))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "index and rows must not be NULL");
    if (index->rows.form != IMS_ROWS_BITS)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "this %s index does not take bit rows",
            imgsim_metric_name(index->metric));
    return row_count == 0 ? IMGSIM_OK : add_rows(index, &addition, ids);
}

imgsim_status imgsim_index_add_sparse(
    imgsim_index *index,
    const uint64_t *offsets,
    const uint32_t *lengths,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t row_count,
    const int64_t *ids)
{
    struct addition addition = {
        .offsets = offsets, .lengths = lengths, .bins = bins, .counts = counts, .count = row_count};
    imgsim_status status;

    if (index == NULL || (row_count > 0 && (offsets == NULL || lengths == NULL)))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "index, offsets and lengths must not be NULL");
    if ((status = ims_index_check_sparse(index->metric)) != IMGSIM_OK)
        return status;
    if (index->rows.form != IMS_ROWS_SPARSE &&
        (index->rows.slot_count > 0 || index->row_type == IMGSIM_ROW_BITS))
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "this index holds dense rows already");
    for (size_t row = 0; row < row_count; row++) {
        if (lengths[row] > 0 && (bins == NULL || counts == NULL))
            return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "bins and counts must not be NULL");
        if ((status = check_entries(index, bins + offsets[row], lengths[row], row)) != IMGSIM_OK)
            return status;
        addition.entries += lengths[row];
        for (uint32_t e = 0; e < lengths[row]; e++)
            addition.large += counts[offsets[row] + e] >= IMS_COUNT_LARGE;
    }
    if (row_count == 0)
        return IMGSIM_OK;

    /* The first rows decide that the index holds sparse ones. */
    if (index->rows.form != IMS_ROWS_SPARSE) {
        ims_coarse_free(index->coarse);
        index->coarse = NULL;
        ims_rows_clear(&index->rows);
        ims_rows_init(&index->rows, IMS_ROWS_SPARSE, index->dimension);
        index->rows.normalize = index->normalize;
    }
    return add_rows(index, &addition, ids);
}

/* ---- removing ---- */

imgsim_status
imgsim_index_remove(imgsim_index *index, const int64_t *ids, size_t id_count, size_t *out_removed)
{
    imgsim_status status;
    struct ims_pool *pool;
    size_t removed = 0;

    if (out_removed != NULL)
        *out_removed = 0;
    if (index == NULL || (ids == NULL && id_count > 0))
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "index and ids must not be NULL");
    if (id_count == 0)
        return IMGSIM_OK;
    if ((status = own_everything(index)) != IMGSIM_OK ||
        (status = ims_index_pool(index, &pool)) != IMGSIM_OK ||
        (status = ims_rows_reserve(&index->rows, 0, 0, 0)) != IMGSIM_OK)
        return status;

    for (size_t i = 0; i < id_count; i++) {
        const uint32_t slot = ims_rows_find(&index->rows, ids[i]);

        if (slot == IMS_NO_SLOT)
            continue;
        take_back(index, &slot, 0, 1);
        removed++;
    }
    if (out_removed != NULL)
        *out_removed = removed;
    return index->graph != NULL ? ims_graph_sweep(index, pool) : IMGSIM_OK;
}
