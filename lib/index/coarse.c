/* SPDX-License-Identifier: Apache-2.0 */
/* Making the planes of merged bins, and keeping them in step with the rows. */
#include "index/coarse.h"

#include "core/memory.h"
#include "simd/metric.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* Rows that the groups are chosen by, rows that edges of levels are chosen by, and rows encoded by one thread at a time. */
#define SAMPLE_ROWS 4096
#define FIT_ROWS 1024
#define ENCODE_ROWS 1024
/* Groups are chosen again when there are this many times the rows they were chosen for. */
#define GROWTH 4

/* Groups of the levels that planes come with, the first that fits into max_bytes is taken; 0: no second level. */
static const uint32_t root_sizes[][IMS_COARSE_LEVELS] = {{64, 256}, {64, 0}};
static const uint32_t edge_sizes[][IMS_COARSE_LEVELS] = {{512, 0}, {256, 0}, {128, 0}};

/* What is merged: values, or their squares for correlation. */
static bool squares(const imgsim_index *index)
{
    return index->metric == IMGSIM_METRIC_CORRELATION;
}

static bool has_edges(const imgsim_index *index)
{
    return index->metric == IMGSIM_METRIC_CHI_SQUARE;
}

static size_t size_count(const imgsim_index *index)
{
    return has_edges(index) ? sizeof(edge_sizes) / sizeof(*edge_sizes)
                            : sizeof(root_sizes) / sizeof(*root_sizes);
}

/* Bytes of codes, scales, extras and offsets of so many slots. */
static double
planes_bytes(bool by_edges, const uint32_t groups[IMS_COARSE_LEVELS], int levels, size_t slots)
{
    size_t row = sizeof(float);

    for (int level = 0; level < levels; level++)
        row += (by_edges ? groups[level] / 2 : groups[level]) + 2 * sizeof(float);
    return (double)row * (double)slots;
}

size_t ims_coarse_bytes(const struct ims_coarse *coarse)
{
    return (size_t)planes_bytes(coarse->by_edges, coarse->groups, coarse->levels, coarse->capacity);
}

/* The largest size of planes that fits, -1 if none does. Edges, groups of bins and the handle are as much for any number of rows. */
static int fitting_size(const imgsim_index *index)
{
    const bool by_edges = has_edges(index);
    const uint32_t all = (index->dimension + 15) / 16 * 16;
    const size_t step = 2 * IMS_COARSE_BLOCK;
    const size_t slots = (index->rows.slot_count + step - 1) / step * step;

    for (size_t size = 0; size < size_count(index); size++) {
        const uint32_t *wanted = by_edges ? edge_sizes[size] : root_sizes[size];
        const uint32_t groups[IMS_COARSE_LEVELS] = {
            wanted[0] < all ? wanted[0] : all, wanted[1] < all ? wanted[1] : all};

        if (index->max_bytes == 0 || planes_bytes(by_edges, groups, wanted[1] > 0 ? 2 : 1, slots) <=
                                         (double)index->max_bytes)
            return (int)size;
    }
    return -1;
}

static bool metric_serves(const imgsim_index *index)
{
    switch (index->metric) {
    case IMGSIM_METRIC_CORRELATION:
    case IMGSIM_METRIC_CHI_SQUARE:
    case IMGSIM_METRIC_INTERSECTION:
    case IMGSIM_METRIC_BHATTACHARYYA:
        return true;
    case IMGSIM_METRIC_L1: /* dense rows may hold negative numbers */
        return index->rows.form == IMS_ROWS_SPARSE;
    default:
        return false;
    }
}

bool ims_coarse_serves(const imgsim_index *index)
{
    return metric_serves(index) && fitting_size(index) >= 0;
}

/* ---- memory ---- */

void ims_coarse_free(struct ims_coarse *coarse)
{
    if (coarse == NULL)
        return;
    for (int level = 0; level < IMS_COARSE_LEVELS && coarse->owned; level++) {
        ims_free(coarse->group_of[level]);
        ims_free_aligned(coarse->codes[level]);
        ims_free(coarse->scale[level]);
        ims_free(coarse->extra[level]);
    }
    if (coarse->owned) {
        ims_free(coarse->offset);
        ims_free(coarse->edges);
    }
    ims_free(coarse);
}

/* Room for `slots` slots in whole blocks; false when out of memory, everything as before then. */
static bool grow(struct ims_coarse *coarse, size_t slots)
{
    const size_t step = ims_coarse_step(coarse);
    size_t capacity = coarse->capacity + coarse->capacity / 2;

    if (slots <= coarse->capacity)
        return true;
    capacity = capacity < slots || coarse->tight ? slots : capacity;
    capacity = (capacity + step - 1) / step * step;
    for (int level = 0; level < coarse->levels; level++) {
        const size_t code_size = ims_coarse_code_size(coarse, level);
        size_t scale = coarse->capacity, extra = coarse->capacity, size;
        uint8_t *codes;

        if (!ims_mul_size(capacity, code_size, &size) ||
            !ims_grow((void **)&coarse->scale[level], &scale, capacity, sizeof(float)) ||
            !ims_grow((void **)&coarse->extra[level], &extra, capacity, sizeof(float)) ||
            (codes = ims_alloc_aligned(size)) == NULL)
            return false;
        if (coarse->slot_count > 0)
            memcpy(codes, coarse->codes[level], coarse->capacity * code_size);
        memset(codes + coarse->capacity * code_size, 0, (capacity - coarse->capacity) * code_size);
        ims_free_aligned(coarse->codes[level]);
        coarse->codes[level] = codes;
    }
    {
        size_t offset = coarse->capacity;

        if (!ims_grow((void **)&coarse->offset, &offset, capacity, sizeof(float)))
            return false;
    }
    /* Rows of the last block that are not there: never excluded by their codes, passed over by their ids. */
    for (size_t slot = coarse->capacity; slot < capacity; slot++) {
        coarse->offset[slot] = 0;
        for (int level = 0; level < coarse->levels; level++) {
            coarse->scale[level][slot] = 0;
            coarse->extra[level][slot] = INFINITY;
        }
    }
    coarse->capacity = capacity;
    return true;
}

imgsim_status ims_coarse_own(struct ims_coarse *coarse)
{
    struct ims_coarse copy;
    bool complete = true;

    if (coarse == NULL || coarse->owned)
        return IMGSIM_OK;
    copy = *coarse;
    copy.owned = true;
    copy.capacity = copy.slot_count = 0;
    copy.offset = NULL;
    if (coarse->by_edges) {
        const size_t edges = (size_t)coarse->groups[0] * IMS_COARSE_EDGES;

        if ((copy.edges = ims_alloc_array(edges, sizeof(*copy.edges))) != NULL)
            memcpy(copy.edges, coarse->edges, edges * sizeof(*copy.edges));
        complete = copy.edges != NULL;
    }
    for (int level = 0; level < IMS_COARSE_LEVELS; level++) {
        copy.group_of[level] = ims_alloc_array(copy.dimension, sizeof(**copy.group_of));
        copy.codes[level] = NULL;
        copy.scale[level] = copy.extra[level] = NULL;
        complete = complete && copy.group_of[level] != NULL;
    }
    for (int level = 0; level < IMS_COARSE_LEVELS && complete; level++)
        memcpy(
            copy.group_of[level], coarse->group_of[level],
            copy.dimension * sizeof(**copy.group_of));
    if (complete && (complete = grow(&copy, coarse->slot_count)))
        for (int level = 0; level < copy.levels; level++) {
            memcpy(
                copy.codes[level], coarse->codes[level],
                copy.capacity * ims_coarse_code_size(&copy, level));
            memcpy(copy.scale[level], coarse->scale[level], coarse->slot_count * sizeof(float));
            memcpy(copy.extra[level], coarse->extra[level], coarse->slot_count * sizeof(float));
        }
    if (!complete) {
        struct ims_coarse *lost = ims_alloc(sizeof(*lost));

        if (lost != NULL)
            *lost = copy;
        ims_coarse_free(lost);
        return ims_fail_memory(coarse->capacity * (coarse->groups[0] + coarse->groups[1]));
    }
    memcpy(copy.offset, coarse->offset, coarse->slot_count * sizeof(float));
    copy.slot_count = coarse->slot_count;
    *coarse = copy;
    return IMGSIM_OK;
}

/* ---- one row ---- */

/* The same of a sparse row, whose values are counts times a scale: off by the rounding of values to floats, which bounds allow. */
static void add_entries(
    const struct ims_rows *rows,
    const uint16_t *group_of,
    uint32_t slot,
    bool square,
    double *masses)
{
    const double scale = ims_rows_scale(rows, slot), factor = square ? scale * scale : scale;
    const size_t first = rows->offsets[slot], length = rows->lengths[slot];
    uint32_t room[IMS_ENTRIES];

    for (size_t start = 0; start < length; start += IMS_ENTRIES) {
        const size_t used = length - start < IMS_ENTRIES ? length - start : IMS_ENTRIES;
        const uint16_t *bins = rows->bins + first + start;
        const uint32_t *counts = ims_rows_counts(rows, first + start, used, room);

        for (size_t e = 0; e < used; e++)
            if (bins[e] < rows->dimension) /* a mapped matrix is not to be trusted */
                masses[group_of[bins[e]]] +=
                    factor * (square ? (double)counts[e] * counts[e] : (double)counts[e]);
    }
}

/* A row's values as they come: adds each value, or its square, to its group of the second level. */
static void
add_masses(const imgsim_index *index, const uint16_t *group_of, uint32_t slot, double *masses)
{
    const struct ims_rows *rows = &index->rows;
    const bool square = squares(index);

    if (rows->form == IMS_ROWS_FLOAT) {
        const float *row = ims_rows_at(rows, slot);

        for (uint32_t bin = 0; bin < index->dimension; bin++)
            if (row[bin] != 0)
                masses[group_of[bin]] += square ? (double)row[bin] * row[bin] : (double)row[bin];
    } else {
        add_entries(rows, group_of, slot, square, masses);
    }
}

/* Codes of a row's groups, and the scale and extra that go with them, not yet divided by the row's norm. */
static struct ims_coarse_row
encode_groups(const imgsim_index *index, const double *masses, uint32_t groups, uint8_t *codes)
{
    const bool by_mass =
        index->metric != IMGSIM_METRIC_CORRELATION && index->metric != IMGSIM_METRIC_BHATTACHARYYA;
    double largest = 0, extra = 0;
    float step, scale;

    for (uint32_t g = 0; g < groups; g++)
        largest = masses[g] > largest ? masses[g] : largest;
    step = (float)(sqrt(largest) / 255) * (1 + FLT_EPSILON);
    scale = step * step;
    for (uint32_t g = 0; g < groups; g++) {
        const double root = sqrt(masses[g]);
        const double code = step > 0 ? floor(root / (double)step + 0.5) : 0;
        const double left =
            by_mass ? masses[g] - (double)scale * code * code : root - (double)step * code;

        codes[g] = (uint8_t)(code < 255 ? code : 255);
        extra += by_mass ? (left > 0 ? left : 0) : left * left;
    }
    if (!by_mass)
        extra = sqrt(extra);
    return (struct ims_coarse_row){by_mass ? scale : step, (float)(extra * 1.000001)};
}

/* What the key divides by or adds for each row: a factor of scale and extra, and the offset. False: out of range. */
static bool
row_terms(const imgsim_index *index, struct ims_row_sums sums, double *factor, float *offset)
{
    const double variance = sums.squared - sums.sum * sums.sum / index->dimension;

    *factor = 1;
    *offset = 0;
    if (index->metric == IMGSIM_METRIC_CORRELATION) {
        if (!(variance >= 1e-6 * sums.squared && variance >= 1e-7 && sums.squared <= 1e18))
            return false;
        *factor = 1 / sqrt(variance);
        *offset = (float)(sums.sum / (index->dimension * sqrt(variance)));
        return true;
    }
    if (sums.sum == 0) /* an empty histogram: everything is 0 */
        return true;
    if (!(sums.sum >= IMS_COARSE_LEAST && sums.sum <= IMS_COARSE_MOST))
        return false;
    if (index->metric == IMGSIM_METRIC_BHATTACHARYYA)
        *factor = 1 / sqrt(sums.sum);
    if (index->metric == IMGSIM_METRIC_L1)
        *offset = (float)sums.sum;
    return true;
}

static struct ims_row_sums sums_of(const imgsim_index *index, uint32_t slot)
{
    return index->rows.sums != NULL ? index->rows.sums[slot] : ims_rows_sum(&index->rows, slot);
}

static void encode_levels(const imgsim_index *index, struct ims_coarse *coarse, uint32_t slot)
{
    double masses[IMS_COARSE_GROUPS_MAX] = {0}, factor;

    add_masses(index, coarse->group_of[0], slot, masses);
    ims_levels_encode(coarse, slot, masses);
    coarse->scale[0][slot] = 0;
    coarse->extra[0][slot] =
        row_terms(index, sums_of(index, slot), &factor, &coarse->offset[slot]) ? 0 : INFINITY;
}

static void encode(const imgsim_index *index, struct ims_coarse *coarse, uint32_t slot)
{
    double masses[IMS_COARSE_GROUPS_MAX] = {0}, merged[IMS_COARSE_GROUPS_MAX] = {0};
    uint8_t first[IMS_COARSE_GROUPS_MAX];
    uint8_t second[IMS_COARSE_GROUPS_MAX];
    struct ims_coarse_row row[IMS_COARSE_LEVELS];
    double factor;

    if (coarse->by_edges) {
        encode_levels(index, coarse, slot);
        return;
    }
    add_masses(index, coarse->group_of[1], slot, masses);
    for (uint32_t g = 0; g < coarse->groups[1]; g++)
        merged[coarse->parent_of[g]] += masses[g];
    row[0] = encode_groups(index, merged, coarse->groups[0], first);
    row[1] = encode_groups(index, masses, coarse->groups[1], second);
    if (coarse->levels > 1)
        memcpy(coarse->codes[1] + (size_t)slot * coarse->groups[1], second, coarse->groups[1]);
    for (uint32_t g = 0; g < coarse->groups[0]; g++)
        coarse->codes[0]
                     [((size_t)slot / IMS_COARSE_BLOCK * coarse->groups[0] + g) * IMS_COARSE_BLOCK +
                      slot % IMS_COARSE_BLOCK] = first[g];
    if (!row_terms(index, sums_of(index, slot), &factor, &coarse->offset[slot]))
        factor = NAN;
    for (int level = 0; level < coarse->levels; level++) {
        const float scale = row[level].scale * (float)factor;
        const float extra = row[level].extra * (float)factor;

        coarse->scale[level][slot] = isfinite(scale) ? scale : 0;
        coarse->extra[level][slot] = isfinite(extra) && isfinite(scale) ? extra : INFINITY;
    }
}

/* ---- all rows ---- */

struct encoding {
    const imgsim_index *index;
    struct ims_coarse *coarse;
    size_t from;
    size_t end;
};

static imgsim_status encode_rows(void *context, size_t item, uint32_t worker)
{
    const struct encoding *work = context;
    const size_t start = (work->from / ENCODE_ROWS + item) * ENCODE_ROWS;
    const size_t first = start > work->from ? start : work->from;
    const size_t last = start + ENCODE_ROWS < work->end ? start + ENCODE_ROWS : work->end;

    (void)worker;
    for (size_t slot = first; slot < last; slot++)
        if (ims_rows_id(&work->index->rows, (uint32_t)slot) >= 0)
            encode(work->index, work->coarse, (uint32_t)slot);
    return IMGSIM_OK;
}

/* Share of the bins in the rows, over a sample of them. */
static void weigh_bins(const imgsim_index *index, const uint16_t *bin_of, double *weights)
{
    const struct ims_rows *rows = &index->rows;
    const size_t step = rows->slot_count / SAMPLE_ROWS + 1;
    double *row = weights + index->dimension;

    for (size_t slot = 0; slot < rows->slot_count; slot += step) {
        double total = 0;

        if (ims_rows_id(rows, (uint32_t)slot) < 0)
            continue;
        memset(row, 0, index->dimension * sizeof(*row));
        add_masses(index, bin_of, (uint32_t)slot, row);
        for (uint32_t bin = 0; bin < index->dimension; bin++)
            total += row[bin];
        for (uint32_t bin = 0; bin < index->dimension && total > 0; bin++)
            weights[bin] += row[bin] / total;
    }
}

/* Edges of levels from a sample of the rows. */
static imgsim_status fit_edges(const imgsim_index *index, struct ims_coarse *coarse)
{
    imgsim_status status = IMGSIM_OK;
    const size_t slots = index->rows.slot_count, groups = coarse->groups[0];
    const size_t step = slots / FIT_ROWS + 1;
    float *masses = ims_calloc(slots / step + 1, groups * sizeof(*masses));
    size_t rows = 0;

    coarse->edges = ims_alloc_array(groups, IMS_COARSE_EDGES * sizeof(*coarse->edges));
    if (masses == NULL || coarse->edges == NULL) {
        status = ims_fail_memory((slots / step + 1) * groups * sizeof(*masses));
        goto done;
    }
    for (size_t slot = 0; slot < slots; slot += step) {
        double row[IMS_COARSE_GROUPS_MAX] = {0};

        if (ims_rows_id(&index->rows, (uint32_t)slot) < 0)
            continue;
        add_masses(index, coarse->group_of[0], (uint32_t)slot, row);
        for (size_t g = 0; g < groups; g++)
            masses[rows * groups + g] = (float)row[g];
        rows++;
    }
    status = ims_levels_fit(coarse, masses, rows);

done:
    ims_free(masses);
    return status;
}

/* Planes without rows, whose groups suit the rows that are there. */
static imgsim_status make(const imgsim_index *index, int size, struct ims_coarse **out)
{
    imgsim_status status = IMGSIM_OK;
    struct ims_coarse *coarse = ims_calloc(1, sizeof(*coarse));
    uint16_t *bin_of = ims_alloc_array(index->dimension, sizeof(*bin_of));
    double *weights = ims_calloc(index->dimension, 2 * sizeof(*weights));
    const bool by_edges = has_edges(index);
    const uint32_t *wanted = by_edges ? edge_sizes[size] : root_sizes[size];
    uint32_t counts[IMS_COARSE_LEVELS] = {wanted[0], wanted[1] > 0 ? wanted[1] : wanted[0]};
    bool complete = coarse != NULL && bin_of != NULL && weights != NULL;

    for (int level = 0; level < IMS_COARSE_LEVELS && complete; level++)
        complete = (coarse->group_of[level] =
                        ims_alloc_array(index->dimension, sizeof(**coarse->group_of))) != NULL;
    if (coarse != NULL)
        coarse->owned = true;
    if (!complete) {
        status = ims_fail_memory(index->dimension * 2 * sizeof(*weights));
        goto done;
    }
    for (uint32_t bin = 0; bin < index->dimension; bin++)
        bin_of[bin] = (uint16_t)bin;
    weigh_bins(index, bin_of, weights);
    if ((status = ims_coarse_merge(weights, index->dimension, counts, coarse->group_of)) !=
        IMGSIM_OK)
        goto done;
    coarse->dimension = index->dimension;
    coarse->by_edges = by_edges;
    coarse->size = size;
    coarse->tight = index->max_bytes > 0;
    coarse->levels = wanted[1] > 0 ? 2 : 1;
    coarse->made_at = index->rows.slot_count;
    for (int level = 0; level < IMS_COARSE_LEVELS; level++)
        coarse->groups[level] = (counts[level] + 15) / 16 * 16;
    ims_coarse_find_parents(coarse);
    if (by_edges && (status = fit_edges(index, coarse)) != IMGSIM_OK)
        goto done;
    *out = coarse;
    coarse = NULL;

done:
    ims_coarse_free(coarse);
    ims_free(bin_of);
    ims_free(weights);
    return status;
}

void ims_coarse_find_parents(struct ims_coarse *coarse)
{
    for (uint32_t bin = 0; bin < coarse->dimension; bin++)
        coarse->parent_of[coarse->group_of[1][bin]] = coarse->group_of[0][bin];
}

/* Whether the planes say something about every slot. */
static bool complete(const imgsim_index *index)
{
    return index->coarse != NULL && index->coarse->slot_count == index->rows.slot_count;
}

static imgsim_status extend(imgsim_index *index, struct ims_pool *pool)
{
    imgsim_status status;
    struct encoding work = {.index = index, .end = index->rows.slot_count};
    const int size = fitting_size(index);
    size_t chunks; /* whole ones: rows of two blocks share bytes */

    assert(size >= 0);
    if (index->coarse != NULL && (work.end > GROWTH * index->coarse->made_at + 1024 ||
                                  (index->max_bytes > 0 && size != index->coarse->size))) {
        ims_coarse_free(index->coarse);
        index->coarse = NULL;
    }
    if (index->coarse == NULL && (status = make(index, size, &index->coarse)) != IMGSIM_OK)
        return status;
    if ((status = ims_coarse_own(index->coarse)) != IMGSIM_OK ||
        (status = ims_rows_pack_counts(&index->rows, pool)) != IMGSIM_OK)
        return status;
    if (!grow(index->coarse, work.end))
        return ims_fail_memory(work.end * (index->coarse->groups[0] + index->coarse->groups[1]));
    work.coarse = index->coarse;
    work.from = index->coarse->slot_count;
    chunks = (work.end + ENCODE_ROWS - 1) / ENCODE_ROWS - work.from / ENCODE_ROWS;
    status = ims_pool_run(pool, chunks, encode_rows, &work);
    if (status == IMGSIM_OK)
        index->coarse->slot_count = work.end;
    return status;
}

imgsim_status ims_coarse_ready(const imgsim_index *index, struct ims_pool *pool)
{
    imgsim_index *changed = (imgsim_index *)index; /* what only caches is guarded by the mutex */
    imgsim_status status = IMGSIM_OK;

    pthread_mutex_lock(&changed->mutex);
    if (!complete(index))
        status = extend(changed, pool);
    pthread_mutex_unlock(&changed->mutex);
    return status;
}

void ims_coarse_update(imgsim_index *index, uint32_t slot)
{
    if (index->coarse != NULL && slot < index->coarse->slot_count)
        encode(index, index->coarse, slot);
}
