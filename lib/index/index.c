/* SPDX-License-Identifier: Apache-2.0 */
/* The index handle: options, life, properties, and what is made when it is first needed. */
#include "index/index.h"

#include "core/bitset.h"
#include "core/memory.h"
#include "core/options.h"
#include "index/coarse.h"
#include "index/hnsw.h"
#include "index/planes.h"
#include "linalg/linalg.h"
#include "simd/metric.h"
#include "simd/reference.h"

#include <math.h>
#include <string.h>

#define DIMENSION_MAX 65536
#define LINKS_MAX 128

/* ---- options ---- */

static const imgsim_index_options default_options = {
    .struct_size = sizeof(imgsim_index_options),
    .kind = IMGSIM_INDEX_EXACT,
    .metric = IMGSIM_METRIC_COSINE,
    .callback_row_type = IMGSIM_ROW_FLOAT32,
    .max_links = 16,
    .build_width = 200,
    .search_width = 128,
    .seed = 1,
};

imgsim_status imgsim_index_options_init(imgsim_index_options *options, size_t struct_size)
{
    if (options == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "options must not be NULL");
    return ims_options_init(options, struct_size, &default_options, sizeof(default_options));
}

bool ims_metric_has_graph(int32_t metric)
{
    return metric == IMGSIM_METRIC_COSINE || metric == IMGSIM_METRIC_INNER_PRODUCT ||
           metric == IMGSIM_METRIC_L2 || metric == IMGSIM_METRIC_ANGULAR ||
           metric == IMGSIM_METRIC_MAHALANOBIS;
}

imgsim_status ims_index_check_range(const char *name, uint32_t value, uint32_t least, uint32_t most)
{
    if (value < least || value > most)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "%s is %u, expected %u to %u", name, (unsigned)value,
            (unsigned)least, (unsigned)most);
    return IMGSIM_OK;
}

static imgsim_status check_metric(const imgsim_index_options *options)
{
    const char *name = imgsim_metric_name(options->metric);

    if (name == NULL)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown metric %d", (int)options->metric);
    if (options->kind == IMGSIM_INDEX_HNSW && !ims_metric_has_graph(options->metric))
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "hnsw does not serve the metric %s", name);
    if (options->metric == IMGSIM_METRIC_MAHALANOBIS && options->mahalanobis == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "mahalanobis needs its matrix");
    if (options->metric != IMGSIM_METRIC_CALLBACK)
        return IMGSIM_OK;
    if (options->callback == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "the metric callback needs a function");
    if (!ims_metric_takes(options->metric, options->callback_row_type))
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "unknown row type %d", (int)options->callback_row_type);
    return IMGSIM_OK;
}

/* Type of the rows queries are given in. */
static int32_t query_type(const imgsim_index_options *options)
{
    if (options->metric == IMGSIM_METRIC_CALLBACK)
        return options->callback_row_type;
    return ims_metric_takes(options->metric, IMGSIM_ROW_BITS) ? IMGSIM_ROW_BITS
                                                              : IMGSIM_ROW_FLOAT32;
}

static imgsim_status check_options(const imgsim_index_options *options)
{
    imgsim_status status;

    if (imgsim_index_kind_name(options->kind) == NULL)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown kind of index %d", (int)options->kind);
    if ((status = check_metric(options)) != IMGSIM_OK ||
        (status = ims_index_check_range("dimension", options->dimension, 1, DIMENSION_MAX)) !=
            IMGSIM_OK ||
        (status = ims_index_check_range("threads", options->threads, 0, IMS_THREADS_MAX)) !=
            IMGSIM_OK ||
        (status = ims_index_check_range("max_links", options->max_links, 2, LINKS_MAX)) !=
            IMGSIM_OK ||
        (status = ims_index_check_range(
             "build_width", options->build_width, options->max_links, IMS_WIDTH_MAX)) !=
            IMGSIM_OK ||
        (status = ims_index_check_range("search_width", options->search_width, 1, IMS_WIDTH_MAX)) !=
            IMGSIM_OK)
        return status;
    if (options->reserved != 0)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "options: reserved must be 0");
    if (options->normalize != 0 && !ims_metric_takes(options->metric, IMGSIM_ROW_UINT32))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "normalize is for histograms, %s does not take them",
            imgsim_metric_name(options->metric));
    if (query_type(options) == IMGSIM_ROW_BITS && options->dimension % 8 != 0)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "dimension is %u, bit rows need a multiple of 8",
            (unsigned)options->dimension);
    return IMGSIM_OK;
}

/* ---- life ---- */

static imgsim_status copy_factor(imgsim_index *index, const double *matrix)
{
    size_t entries;

    if (index->metric != IMGSIM_METRIC_MAHALANOBIS || matrix == NULL)
        return IMGSIM_OK;
    if (!ims_mul_size(index->dimension, index->dimension, &entries) ||
        (index->factor = ims_alloc_array(entries, sizeof(float))) == NULL)
        return ims_fail_memory(entries * sizeof(float));
    for (size_t i = 0; i < entries; i++)
        if (!isfinite(matrix[i]))
            return ims_fail(
                IMGSIM_ERROR_INVALID_ARGUMENT, "mahalanobis: entry %zu is not a finite number", i);
    return ims_square_root(matrix, index->dimension, index->factor);
}

imgsim_status ims_index_make(const imgsim_index_options *options, int form, imgsim_index **out)
{
    imgsim_index *index = ims_calloc(1, sizeof(*index));
    imgsim_status status;

    *out = NULL;
    if (index == NULL)
        return ims_fail_memory(sizeof(*index));
    pthread_mutex_init(&index->mutex, NULL);
    atomic_init(&index->kind, options->kind);
    atomic_init(&index->sums_known, true);
    atomic_init(&index->asked, 0);
    index->metric = options->metric;
    index->row_type = query_type(options);
    index->dimension = options->dimension;
    index->threads = options->threads > 0 ? options->threads : ims_cpu_count();
    index->max_links = options->max_links;
    index->build_width = options->build_width;
    index->search_width = options->search_width;
    index->seed = options->seed;
    index->max_bytes = options->max_bytes;
    index->callback = options->callback;
    index->user_data = options->user_data;
    index->progress = options->progress;
    index->progress_data = options->progress_data;
    ims_rows_init(&index->rows, form, options->dimension);
    index->normalize = options->normalize != 0;
    index->rows.normalize = form == IMS_ROWS_SPARSE && index->normalize;
    if ((status = copy_factor(index, options->mahalanobis)) != IMGSIM_OK) {
        imgsim_index_free(index);
        return status;
    }
    *out = index;
    return IMGSIM_OK;
}

static int dense_form(const imgsim_index_options *options)
{
    return query_type(options) == IMGSIM_ROW_BITS ? IMS_ROWS_BITS : IMS_ROWS_FLOAT;
}

imgsim_status imgsim_index_new(const imgsim_index_options *options, imgsim_index **out_index)
{
    imgsim_index_options known = default_options;
    imgsim_status status;

    if (options == NULL || out_index == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "options and out_index must not be NULL");
    *out_index = NULL;
    if ((status = ims_options_read(&known, sizeof(known), options)) != IMGSIM_OK ||
        (status = check_options(&known)) != IMGSIM_OK)
        return status;
    return ims_index_make(&known, dense_form(&known), out_index);
}

void imgsim_index_free(imgsim_index *index)
{
    if (index == NULL)
        return;
    ims_graph_free(index->graph);
    ims_coarse_free(index->coarse);
    ims_planes_free(index->planes);
    ims_rows_clear(&index->rows);
    ims_reader_close(&index->file);
    ims_pool_free(index->pool);
    pthread_mutex_destroy(&index->mutex);
    ims_free(index->factor);
    ims_free(index->note);
    ims_free(index);
}

/* ---- borrowed rows ---- */

/* Rows of a matrix that belongs to the caller. */
static void
borrow(imgsim_index *index, size_t row_count, const uint8_t *present, uint64_t bit_count)
{
    struct ims_rows *rows = &index->rows;

    rows->owned = false;
    rows->slot_count = row_count;
    rows->present = present;
    rows->present_bits = bit_count;
    for (size_t slot = 0; slot < row_count; slot++)
        if (ims_bits_test(present, bit_count, (int64_t)slot)) {
            rows->live_count++;
            rows->largest_id = (int64_t)slot;
        }
    atomic_store(&index->sums_known, false);
}

static imgsim_status check_borrowed(
    imgsim_index_options *known,
    const imgsim_index_options *options,
    size_t row_count,
    const uint8_t *present,
    imgsim_index **out_index)
{
    imgsim_status status;

    *known = default_options;
    if (options == NULL || out_index == NULL || (row_count > 0 && present == NULL))
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "options, rows and out_index must not be NULL");
    *out_index = NULL;
    if ((status = ims_options_read(known, sizeof(*known), options)) != IMGSIM_OK)
        return status;
    known->kind = IMGSIM_INDEX_EXACT;
    if (row_count > IMS_SLOTS_MAX)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "more than %u rows", IMS_SLOTS_MAX);
    return check_options(known);
}

/* Mahalanobis: rows are kept as R * row, so even borrowed ones are copied; each keeps its number as id. */
static imgsim_status copy_transformed(
    imgsim_index *index,
    const float *rows,
    size_t row_count,
    const uint8_t *present,
    uint64_t bit_count)
{
    imgsim_status status;
    struct ims_pool *pool;
    float *row = NULL;

    if ((status = ims_index_pool(index, &pool)) != IMGSIM_OK ||
        (status = ims_rows_reserve(&index->rows, row_count, 0, 0)) != IMGSIM_OK)
        return status;
    if ((row = ims_alloc_array(index->dimension, sizeof(float))) == NULL)
        return ims_fail_memory(index->dimension * sizeof(float));
    for (size_t i = 0; i < row_count && status == IMGSIM_OK; i++)
        if (ims_bits_test(present, bit_count, (int64_t)i) &&
            (status = ims_index_transform(index, NULL, rows + i * index->dimension, 1, row)) ==
                IMGSIM_OK)
            ims_rows_put(&index->rows, row, (int64_t)i);
    ims_free(row);
    return status;
}

imgsim_status ims_index_new_borrowed(
    const imgsim_index_options *options,
    const void *rows,
    size_t row_count,
    const uint8_t *present,
    uint64_t bit_count,
    imgsim_index **out_index)
{
    imgsim_index_options known;
    imgsim_index *index = NULL;
    imgsim_status status;

    if ((status = check_borrowed(&known, options, row_count, present, out_index)) != IMGSIM_OK ||
        (status = ims_index_make(&known, dense_form(&known), &index)) != IMGSIM_OK)
        return status;
    if (known.metric == IMGSIM_METRIC_MAHALANOBIS) {
        status = copy_transformed(index, rows, row_count, present, bit_count);
    } else {
        index->rows.data = (uint8_t *)rows; /* never written: the rows are not owned */
        borrow(index, row_count, present, bit_count);
    }
    if (status != IMGSIM_OK) {
        imgsim_index_free(index);
        return status;
    }
    *out_index = index;
    return IMGSIM_OK;
}

imgsim_status ims_index_check_sparse(int32_t metric)
{
    if (!ims_metric_takes(metric, IMGSIM_ROW_UINT32))
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "%s does not take sparse histograms",
            imgsim_metric_name(metric));
    return IMGSIM_OK;
}

imgsim_status ims_index_new_borrowed_sparse(
    const imgsim_index_options *options,
    const uint64_t *offsets,
    const uint32_t *lengths,
    const uint16_t *bins,
    const uint32_t *counts,
    size_t row_count,
    const uint8_t *present,
    uint64_t bit_count,
    int normalize,
    imgsim_index **out_index)
{
    imgsim_index_options known;
    imgsim_index *index = NULL;
    imgsim_status status;

    if ((status = check_borrowed(&known, options, row_count, present, out_index)) != IMGSIM_OK ||
        (status = ims_index_check_sparse(known.metric)) != IMGSIM_OK ||
        (status = ims_index_make(&known, IMS_ROWS_SPARSE, &index)) != IMGSIM_OK)
        return status;
    /* Never written: the rows are not owned. */
    index->rows.offsets = (uint64_t *)offsets;
    index->rows.lengths = (uint32_t *)lengths;
    index->rows.bins = (uint16_t *)bins;
    index->rows.counts = counts;
    index->rows.normalize = normalize != 0;
    borrow(index, row_count, present, bit_count);
    *out_index = index;
    return IMGSIM_OK;
}

/* ---- what is made when first needed ---- */

imgsim_status ims_index_pool(const imgsim_index *index, struct ims_pool **out_pool)
{
    imgsim_index *changed = (imgsim_index *)index; /* the pool is guarded by the mutex */
    imgsim_status status = IMGSIM_OK;

    *out_pool = NULL;
    if (index->threads == 1)
        return IMGSIM_OK;
    pthread_mutex_lock(&changed->mutex);
    if (changed->pool == NULL)
        status = ims_pool_new(index->threads, &changed->pool);
    *out_pool = changed->pool;
    pthread_mutex_unlock(&changed->mutex);
    return status;
}

imgsim_status ims_index_build_graph(imgsim_index *index, struct ims_pool *pool)
{
    imgsim_status status;
    struct ims_meter meter = {0};
    uint32_t *slots;
    size_t count = 0, done;

    if ((slots = ims_alloc_array(index->rows.live_count, sizeof(*slots))) == NULL)
        return ims_fail_memory(index->rows.live_count * sizeof(*slots));
    for (size_t slot = 0; slot < index->rows.slot_count; slot++)
        if (ims_rows_id(&index->rows, (uint32_t)slot) >= 0)
            slots[count++] = (uint32_t)slot;

    ims_meter_start(&meter, index->progress, index->progress_data);
    ims_meter_phase(&meter, "build", count);
    if ((status = ims_graph_new(index, &index->graph)) == IMGSIM_OK)
        status = ims_graph_add(index, slots, count, pool, &meter, &done);
    if (status != IMGSIM_OK) {
        ims_graph_free(index->graph);
        index->graph = NULL;
    }
    ims_free(slots);
    return status;
}

imgsim_status ims_index_settle(const imgsim_index *index)
{
    imgsim_index *changed = (imgsim_index *)index; /* decided once, guarded by the mutex */
    imgsim_status status;
    struct ims_pool *pool;

    if (atomic_load(&changed->kind) != IMGSIM_INDEX_AUTO)
        return IMGSIM_OK;
    if ((status = ims_index_pool(index, &pool)) != IMGSIM_OK)
        return status;
    pthread_mutex_lock(&changed->mutex);
    if (atomic_load(&changed->kind) == IMGSIM_INDEX_AUTO) {
        const bool planes = ims_metric_has_planes(index->metric) &&
                            index->dimension >= IMS_PLANES_DIMENSION && index->max_bytes != 1;
        const bool graph =
            ims_metric_has_graph(index->metric) &&
            index->rows.live_count >= (planes ? IMS_AUTO_PLANES_ROWS : IMS_AUTO_HNSW_ROWS);

        if (graph)
            status = ims_index_build_graph(changed, pool);
        if (status == IMGSIM_OK)
            atomic_store(&changed->kind, graph ? IMGSIM_INDEX_HNSW : IMGSIM_INDEX_EXACT);
    }
    pthread_mutex_unlock(&changed->mutex);
    return status;
}

/* ---- properties ---- */

uint64_t imgsim_index_get_count(const imgsim_index *index)
{
    return index != NULL ? index->rows.live_count : 0;
}

uint32_t imgsim_index_get_dimension(const imgsim_index *index)
{
    return index != NULL ? index->dimension : 0;
}

int32_t imgsim_index_get_metric(const imgsim_index *index)
{
    return index != NULL ? index->metric : IMGSIM_METRIC_DEFAULT;
}

int32_t imgsim_index_get_kind(const imgsim_index *index)
{
    return index != NULL ? atomic_load(&((imgsim_index *)index)->kind) : IMGSIM_INDEX_AUTO;
}

const char *imgsim_index_kind_name(int32_t kind)
{
    switch (kind) {
    case IMGSIM_INDEX_AUTO:
        return "auto";
    case IMGSIM_INDEX_EXACT:
        return "exact";
    case IMGSIM_INDEX_HNSW:
        return "hnsw";
    default:
        return NULL;
    }
}

imgsim_status imgsim_index_kind_from_name(const char *name, int32_t *out_kind)
{
    if (name == NULL || out_kind == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "name and out_kind must not be NULL");
    for (int32_t kind = IMGSIM_INDEX_AUTO; kind <= IMGSIM_INDEX_HNSW; kind++)
        if (strcmp(imgsim_index_kind_name(kind), name) == 0) {
            *out_kind = kind;
            return IMGSIM_OK;
        }
    if (strcmp(name, "ivf") == 0 || strcmp(name, "ivfpq") == 0)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "the kind \"%s\" is not built in", name);
    return ims_fail(
        IMGSIM_ERROR_INVALID_ARGUMENT, "unknown kind of index \"%s\"; known: auto, exact, hnsw",
        name);
}

imgsim_status imgsim_index_set_note(imgsim_index *index, const char *note)
{
    char *copy;

    if (index == NULL || note == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "index and note must not be NULL");
    if (strlen(note) > IMS_NOTE_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "note has %zu bytes, at most %d are kept", strlen(note),
            IMS_NOTE_MAX);
    if ((copy = ims_strdup(note)) == NULL)
        return ims_fail_memory(strlen(note) + 1);
    ims_free(index->note);
    index->note = copy;
    return IMGSIM_OK;
}

const char *imgsim_index_get_note(const imgsim_index *index)
{
    return index != NULL && index->note != NULL ? index->note : "";
}
