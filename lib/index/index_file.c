/* SPDX-License-Identifier: Apache-2.0 */
/* Saving an index as sections of an .ims file, and opening one by mapping it. */
#include "index/coarse.h"
#include "index/hnsw.h"
#include "index/planes.h"

#include "core/bitset.h"
#include "core/memory.h"
#include "simd/metric.h"

#include <math.h>
#include <string.h>

#define FILE_KIND "index"
/* 2: sparse rows with packed counts; files without such rows are still written as 1. */
#define FILE_VERSION 2

/* Section "head". */
struct index_header {
    uint32_t kind;
    uint32_t metric;
    uint32_t dimension;
    uint32_t form;
    uint32_t max_links;
    uint32_t build_width;
    uint32_t search_width;
    uint32_t has_graph;
    uint64_t seed;
    uint64_t slot_count;
    uint64_t entry_count;
    uint64_t free_count;
    int64_t largest_id;
};

/* Section "sparse", from version 2 on. */
struct sparse_header {
    uint32_t normalize;
    uint32_t has_planes;
    uint64_t large_count;
};

/* Section "planes". */
struct planes_header {
    uint32_t groups[IMS_COARSE_LEVELS];
    uint32_t levels;
    uint32_t by_edges; /* chi-square; 0: planes from before there were edges, to be made again */
    uint64_t made_at;
    uint64_t capacity;
};

/* ---- saving ---- */

/* Sections of the rows; returns their number. */
static size_t row_sections(
    const imgsim_index *index,
    const struct sparse_header *sparse,
    struct ims_section_data *sections)
{
    const struct ims_rows *rows = &index->rows;
    const size_t slots = rows->slot_count, entries = rows->entry_count;
    const size_t dimension = index->dimension;
    size_t count = 0;

    sections[count++] = (struct ims_section_data){"ids", rows->ids, slots * sizeof(*rows->ids)};
    sections[count++] = (struct ims_section_data){"sums", rows->sums, slots * sizeof(*rows->sums)};
    sections[count++] = (struct ims_section_data){
        "free", rows->free_slots, rows->free_count * sizeof(*rows->free_slots)};
    if (rows->form == IMS_ROWS_SPARSE) {
        sections[count++] =
            (struct ims_section_data){"offsets", rows->offsets, slots * sizeof(*rows->offsets)};
        sections[count++] =
            (struct ims_section_data){"lengths", rows->lengths, slots * sizeof(*rows->lengths)};
        sections[count++] =
            (struct ims_section_data){"bins", rows->bins, entries * sizeof(*rows->bins)};
        sections[count++] = (struct ims_section_data){"sparse", sparse, sizeof(*sparse)};
        if (rows->counts != NULL) {
            sections[count++] =
                (struct ims_section_data){"counts", rows->counts, entries * sizeof(*rows->counts)};
        } else {
            sections[count++] =
                (struct ims_section_data){"packed", rows->packed, entries * sizeof(*rows->packed)};
            sections[count++] = (struct ims_section_data){
                "large", rows->large, rows->large_count * sizeof(*rows->large)};
        }
    } else {
        sections[count++] = (struct ims_section_data){"rows", rows->data, slots * rows->row_size};
    }
    if (index->factor != NULL)
        sections[count++] = (struct ims_section_data){
            "factor", index->factor, dimension * dimension * sizeof(float)};
    return count;
}

/* Names of the sections of the planes, by level. */
static const char *const group_names[IMS_COARSE_LEVELS] = {"groups0", "groups1"};
static const char *const code_names[IMS_COARSE_LEVELS] = {"codes0", "codes1"};
static const char *const scale_names[IMS_COARSE_LEVELS] = {"scale0", "scale1"};
static const char *const extra_names[IMS_COARSE_LEVELS] = {"extra0", "extra1"};

/* Sections of the planes of sparse rows; returns their number. */
static size_t plane_sections(
    const struct ims_coarse *coarse,
    struct planes_header *header,
    struct ims_section_data *sections)
{
    const size_t step = ims_coarse_step(coarse);
    const size_t capacity = (coarse->slot_count + step - 1) / step * step;
    const size_t floats = capacity * sizeof(float);
    size_t count = 0;

    *header = (struct planes_header){
        .groups = {coarse->groups[0], coarse->groups[1]},
        .levels = (uint32_t)coarse->levels,
        .by_edges = coarse->by_edges,
        .made_at = coarse->made_at,
        .capacity = capacity,
    };
    sections[count++] = (struct ims_section_data){"planes", header, sizeof(*header)};
    sections[count++] = (struct ims_section_data){"offset", coarse->offset, floats};
    if (coarse->by_edges)
        sections[count++] = (struct ims_section_data){
            "edges", coarse->edges, coarse->groups[0] * IMS_COARSE_EDGES * sizeof(*coarse->edges)};
    for (int level = 0; level < IMS_COARSE_LEVELS; level++)
        sections[count++] = (struct ims_section_data){
            group_names[level], coarse->group_of[level],
            coarse->dimension * sizeof(*coarse->group_of[level])};
    for (int level = 0; level < coarse->levels; level++) {
        sections[count++] = (struct ims_section_data){
            code_names[level], coarse->codes[level],
            capacity * ims_coarse_code_size(coarse, level)};
        sections[count++] =
            (struct ims_section_data){scale_names[level], coarse->scale[level], floats};
        sections[count++] =
            (struct ims_section_data){extra_names[level], coarse->extra[level], floats};
    }
    return count;
}

/* Planes are saved with sparse rows that have them, or are enough to have them. */
static imgsim_status make_planes(const imgsim_index *index, bool *out_has)
{
    struct ims_pool *pool;
    imgsim_status status;

    *out_has = index->rows.form == IMS_ROWS_SPARSE && ims_coarse_serves(index) &&
               (index->coarse != NULL || index->rows.live_count >= IMS_COARSE_ROWS);
    if (!*out_has)
        return IMGSIM_OK;
    if ((status = ims_index_pool(index, &pool)) != IMGSIM_OK)
        return status;
    return ims_coarse_ready(index, pool);
}

imgsim_status imgsim_index_save(const imgsim_index *index, const char *path)
{
    imgsim_status status;
    struct ims_section_data sections[IMS_SECTIONS_MAX];
    struct ims_graph_header graph_header;
    struct index_header header;
    struct sparse_header sparse;
    struct planes_header planes;
    struct ims_planes_header axes;
    struct ims_pool *pool;
    size_t count = 2;
    bool has_planes;

    if (index == NULL || path == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "index and path must not be NULL");
    if (index->metric == IMGSIM_METRIC_CALLBACK)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "an index with a metric of the host cannot be saved");
    if (index->rows.present != NULL)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "the rows of this index belong to a feature");
    if ((status = ims_index_settle(index)) != IMGSIM_OK ||
        (status = make_planes(index, &has_planes)) != IMGSIM_OK ||
        (status = ims_index_pool(index, &pool)) != IMGSIM_OK ||
        (ims_index_wants_planes(index) && (status = ims_planes_prepare(index, pool)) != IMGSIM_OK))
        return status;

    header = (struct index_header){
        .kind = (uint32_t)imgsim_index_get_kind(index),
        .metric = (uint32_t)index->metric,
        .dimension = index->dimension,
        .form = (uint32_t)index->rows.form,
        .max_links = index->max_links,
        .build_width = index->build_width,
        .search_width = index->search_width,
        .has_graph = index->graph != NULL,
        .seed = index->seed,
        .slot_count = index->rows.slot_count,
        .entry_count = index->rows.entry_count,
        .free_count = index->rows.free_count,
        .largest_id = index->rows.largest_id,
    };
    sections[0] = (struct ims_section_data){"head", &header, sizeof(header)};
    sections[1] = (struct ims_section_data){
        "note", imgsim_index_get_note(index), strlen(imgsim_index_get_note(index))};
    sparse = (struct sparse_header){
        .normalize = index->rows.normalize,
        .has_planes = has_planes,
        .large_count = index->rows.large_count,
    };
    count += row_sections(index, &sparse, sections + count);
    if (has_planes)
        count += plane_sections(index->coarse, &planes, sections + count);
    if (index->planes != NULL && ims_index_wants_planes(index))
        count += ims_planes_sections(index->planes, &axes, sections + count);
    if (index->graph != NULL)
        count += ims_graph_sections(index->graph, &graph_header, sections + count);
    for (size_t i = 0; i < count; i++)
        if (sections[i].data == NULL)
            sections[i].data = "";
    return ims_sections_write(
        path, FILE_KIND, index->rows.form == IMS_ROWS_SPARSE ? FILE_VERSION : 1, sections, count);
}

/* ---- opening ---- */

static imgsim_status damaged(const imgsim_index *index, const char *what)
{
    return ims_fail(IMGSIM_ERROR_CORRUPT, "%s is damaged: %s", index->file.path, what);
}

/* A section of exactly this size. */
static imgsim_status
fixed_section(const imgsim_index *index, const char *name, uint64_t count, size_t size, void *out)
{
    imgsim_status status;
    const void *data;
    size_t found, wanted;

    if ((status = ims_reader_section(&index->file, name, &data, &found)) != IMGSIM_OK)
        return status;
    if (count > SIZE_MAX || !ims_mul_size((size_t)count, size, &wanted) || wanted != found)
        return ims_fail(
            IMGSIM_ERROR_CORRUPT, "%s is damaged: section %s has %zu bytes", index->file.path, name,
            found);
    memcpy(out, &data, sizeof(data));
    return IMGSIM_OK;
}

/* Whether the metric takes rows of this form and can be in a file. */
static bool form_fits(int32_t metric, uint32_t form)
{
    static const int32_t types[] = {IMGSIM_ROW_FLOAT32, IMGSIM_ROW_BITS, IMGSIM_ROW_UINT32};

    return form <= IMS_ROWS_SPARSE && metric != IMGSIM_METRIC_CALLBACK &&
           ims_metric_takes(metric, types[form]);
}

static imgsim_status read_header(imgsim_index *index, struct index_header *out)
{
    imgsim_status status;
    const struct index_header *header = NULL;

    if ((status = fixed_section(index, "head", 1, sizeof(*header), &header)) != IMGSIM_OK)
        return status;
    *out = *header;
    if ((out->kind != IMGSIM_INDEX_EXACT && out->kind != IMGSIM_INDEX_HNSW) ||
        out->metric > INT32_MAX || !form_fits((int32_t)out->metric, out->form) ||
        out->dimension == 0 || out->dimension > 65536 || out->slot_count > IMS_SLOTS_MAX ||
        out->free_count > out->slot_count || out->max_links < 2 || out->max_links > 128 ||
        out->build_width < out->max_links || out->build_width > 100000 || out->search_width == 0 ||
        out->search_width > 100000 || out->has_graph > 1 || out->largest_id < -1 ||
        (out->form == IMS_ROWS_BITS && out->dimension % 8 != 0) ||
        (out->has_graph != 0 &&
         (out->kind != IMGSIM_INDEX_HNSW || !ims_metric_has_graph((int32_t)out->metric))))
        return damaged(index, "its header makes no sense");
    return IMGSIM_OK;
}

static bool has_section(const imgsim_index *index, const char *name)
{
    for (uint32_t i = 0; i < index->file.section_count; i++)
        if (strncmp(index->file.sections[i].name, name, sizeof(index->file.sections[i].name)) == 0)
            return true;
    return false;
}

/* Counts of 32 bits, the only ones of version 1, or packed ones. */
static imgsim_status read_counts(imgsim_index *index, uint64_t entries)
{
    struct ims_rows *rows = &index->rows;
    const struct sparse_header *sparse = NULL;
    imgsim_status status;

    if (index->file.version >= 2) {
        if ((status = fixed_section(index, "sparse", 1, sizeof(*sparse), &sparse)) != IMGSIM_OK)
            return status;
        if (sparse->normalize > 1 || sparse->has_planes > 1 || sparse->large_count > entries)
            return damaged(index, "the header of its histograms makes no sense");
        rows->normalize = index->normalize = sparse->normalize != 0;
    }
    if (sparse == NULL || has_section(index, "counts"))
        return fixed_section(index, "counts", entries, sizeof(*rows->counts), &rows->counts);

    rows->large_count = (size_t)sparse->large_count;
    if ((status = fixed_section(index, "packed", entries, sizeof(*rows->packed), &rows->packed)) !=
            IMGSIM_OK ||
        (status = fixed_section(
             index, "large", rows->large_count, sizeof(*rows->large), &rows->large)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < rows->large_count; i++)
        if (rows->large[i].entry >= entries || rows->large[i].count > UINT32_MAX ||
            (i > 0 && rows->large[i].entry <= rows->large[i - 1].entry))
            return damaged(index, "its list of large counts makes no sense");
    return IMGSIM_OK;
}

/* Groups of bins as a file has them: each bin's lies below the level's number of groups. */
static imgsim_status read_groups(const imgsim_index *index, struct ims_coarse *coarse, int level)
{
    imgsim_status status;

    if ((status = fixed_section(
             index, group_names[level], coarse->dimension, sizeof(*coarse->group_of[level]),
             &coarse->group_of[level])) != IMGSIM_OK)
        return status;
    for (uint32_t bin = 0; bin < coarse->dimension; bin++)
        if (coarse->group_of[level][bin] >= coarse->groups[level])
            return damaged(index, "a bin lies outside the groups of its planes");
    return IMGSIM_OK;
}

static imgsim_status read_level(const imgsim_index *index, struct ims_coarse *coarse, int level)
{
    imgsim_status status;

    if ((status = fixed_section(
             index, code_names[level], coarse->capacity, ims_coarse_code_size(coarse, level),
             &coarse->codes[level])) != IMGSIM_OK ||
        (status = fixed_section(
             index, scale_names[level], coarse->capacity, sizeof(float), &coarse->scale[level])) !=
            IMGSIM_OK)
        return status;
    return fixed_section(
        index, extra_names[level], coarse->capacity, sizeof(float), &coarse->extra[level]);
}

/* Edges of levels: from above 0, rising. */
static imgsim_status read_edges(const imgsim_index *index, struct ims_coarse *coarse)
{
    imgsim_status status;

    if ((status = fixed_section(
             index, "edges", coarse->groups[0], IMS_COARSE_EDGES * sizeof(float),
             &coarse->edges)) != IMGSIM_OK)
        return status;
    for (size_t g = 0; g < coarse->groups[0]; g++)
        for (size_t i = 0; i < IMS_COARSE_EDGES; i++)
            if (!(coarse->edges[g * IMS_COARSE_EDGES + i] >
                  (i > 0 ? coarse->edges[g * IMS_COARSE_EDGES + i - 1] : 0)))
                return damaged(index, "the edges of its planes do not rise");
    return IMGSIM_OK;
}

static imgsim_status read_planes(imgsim_index *index, uint64_t slots)
{
    const struct planes_header *header = NULL;
    const struct sparse_header *sparse = NULL;
    struct ims_coarse *coarse;
    imgsim_status status;
    size_t step;

    if (index->file.version < 2)
        return IMGSIM_OK;
    if ((status = fixed_section(index, "sparse", 1, sizeof(*sparse), &sparse)) != IMGSIM_OK ||
        sparse->has_planes == 0 ||
        (status = fixed_section(index, "planes", 1, sizeof(*header), &header)) != IMGSIM_OK)
        return status;
    if (index->metric == IMGSIM_METRIC_CHI_SQUARE && header->by_edges == 0)
        return IMGSIM_OK;
    step = header->by_edges != 0 ? 2 * IMS_COARSE_BLOCK : IMS_COARSE_BLOCK;
    if (header->by_edges != (index->metric == IMGSIM_METRIC_CHI_SQUARE) || header->levels < 1 ||
        header->levels > IMS_COARSE_LEVELS || !ims_coarse_serves(index) || header->groups[0] == 0 ||
        header->groups[0] > header->groups[1] || header->groups[1] > IMS_COARSE_GROUPS_MAX ||
        header->groups[0] % 16 != 0 || header->groups[1] % 16 != 0 ||
        (header->by_edges != 0 && header->levels != 1) || header->capacity % step != 0 ||
        header->capacity < slots || header->capacity - slots >= step)
        return damaged(index, "the header of its planes makes no sense");
    if ((coarse = ims_calloc(1, sizeof(*coarse))) == NULL)
        return ims_fail_memory(sizeof(*coarse));
    index->coarse = coarse; /* released with the index */
    coarse->dimension = index->dimension;
    coarse->by_edges = header->by_edges != 0;
    coarse->levels = (int)header->levels;
    coarse->made_at = header->made_at;
    coarse->capacity = (size_t)header->capacity;
    coarse->slot_count = (size_t)slots;
    memcpy(coarse->groups, header->groups, sizeof(coarse->groups));
    if ((status = fixed_section(
             index, "offset", coarse->capacity, sizeof(float), &coarse->offset)) != IMGSIM_OK ||
        (coarse->by_edges && (status = read_edges(index, coarse)) != IMGSIM_OK))
        return status;
    for (int level = 0; level < IMS_COARSE_LEVELS && status == IMGSIM_OK; level++)
        status = read_groups(index, coarse, level);
    for (int level = 0; level < coarse->levels && status == IMGSIM_OK; level++)
        status = read_level(index, coarse, level);
    if (status == IMGSIM_OK)
        ims_coarse_find_parents(coarse);
    return status;
}

static imgsim_status read_sparse(imgsim_index *index, const struct index_header *header)
{
    struct ims_rows *rows = &index->rows;
    const uint64_t slots = header->slot_count, entries = header->entry_count;
    imgsim_status status;

    if ((status = fixed_section(index, "offsets", slots, sizeof(*rows->offsets), &rows->offsets)) !=
            IMGSIM_OK ||
        (status = fixed_section(index, "lengths", slots, sizeof(*rows->lengths), &rows->lengths)) !=
            IMGSIM_OK ||
        (status = fixed_section(index, "bins", entries, sizeof(*rows->bins), &rows->bins)) !=
            IMGSIM_OK ||
        (status = read_counts(index, entries)) != IMGSIM_OK)
        return status;
    for (uint64_t slot = 0; slot < slots; slot++)
        if (rows->offsets[slot] > entries || rows->lengths[slot] > entries - rows->offsets[slot])
            return damaged(index, "a row lies outside its section");
    rows->entry_count = (size_t)entries;
    return read_planes(index, slots);
}

/* Free slots: each once, and without a row. */
static imgsim_status read_free_slots(imgsim_index *index, const struct index_header *header)
{
    struct ims_rows *rows = &index->rows;
    struct ims_bitset met = {0};
    imgsim_status status;
    const uint32_t *slots = NULL;

    if ((status = fixed_section(index, "free", header->free_count, sizeof(*slots), &slots)) !=
        IMGSIM_OK)
        return status;
    if (!ims_bitset_init(&met, header->slot_count, false) ||
        (rows->free_slots = ims_alloc_array((size_t)header->free_count, sizeof(*slots))) == NULL) {
        status = ims_fail_memory((size_t)header->free_count * sizeof(*slots));
        goto done;
    }
    for (uint64_t i = 0; i < header->free_count; i++) {
        if (slots[i] >= header->slot_count || rows->ids[slots[i]] >= 0 ||
            ims_bitset_test(&met, slots[i])) {
            status = damaged(index, "its list of free rows makes no sense");
            goto done;
        }
        ims_bitset_set(&met, slots[i]);
        rows->free_slots[i] = slots[i];
    }
    rows->free_count = rows->free_capacity = (size_t)header->free_count;

done:
    ims_bitset_clear(&met);
    return status;
}

static imgsim_status read_rows(imgsim_index *index, const struct index_header *header)
{
    struct ims_rows *rows = &index->rows;
    imgsim_status status;

    rows->owned = false;
    rows->slot_count = (size_t)header->slot_count;
    if ((status = fixed_section(
             index, "ids", header->slot_count, sizeof(*rows->ids), &rows->ids)) != IMGSIM_OK ||
        (status = fixed_section(
             index, "sums", header->slot_count, sizeof(*rows->sums), &rows->sums)) != IMGSIM_OK)
        return status;
    status = rows->form == IMS_ROWS_SPARSE
                 ? read_sparse(index, header)
                 : fixed_section(index, "rows", header->slot_count, rows->row_size, &rows->data);
    if (status != IMGSIM_OK || (status = read_free_slots(index, header)) != IMGSIM_OK ||
        (status = ims_rows_index_ids(rows)) != IMGSIM_OK)
        return status;
    /* Ids are not given out again, not even those of rows removed since. */
    if (header->largest_id > rows->largest_id)
        rows->largest_id = header->largest_id;
    return IMGSIM_OK;
}

static imgsim_status read_factor(imgsim_index *index)
{
    const size_t entries = (size_t)index->dimension * index->dimension;
    imgsim_status status;
    const float *factor = NULL;

    if (index->metric != IMGSIM_METRIC_MAHALANOBIS)
        return IMGSIM_OK;
    if ((status = fixed_section(index, "factor", entries, sizeof(float), &factor)) != IMGSIM_OK)
        return status;
    if ((index->factor = ims_alloc_array(entries, sizeof(float))) == NULL)
        return ims_fail_memory(entries * sizeof(float));
    memcpy(index->factor, factor, entries * sizeof(float));
    return IMGSIM_OK;
}

static imgsim_status read_note(imgsim_index *index)
{
    imgsim_status status;
    const void *data;
    size_t size;

    if ((status = ims_reader_section(&index->file, "note", &data, &size)) != IMGSIM_OK)
        return status;
    if (size > IMS_NOTE_MAX || (size > 0 && memchr(data, '\0', size) != NULL))
        return damaged(index, "its note is no text");
    if ((index->note = ims_calloc(size + 1, 1)) == NULL)
        return ims_fail_memory(size + 1);
    if (size > 0)
        memcpy(index->note, data, size);
    return IMGSIM_OK;
}

static imgsim_status read_index(struct ims_reader *reader, imgsim_index **out_index)
{
    imgsim_index_options options;
    imgsim_index *index;
    struct index_header header;
    imgsim_status status;

    /* A handle for the errors first; then one as the header says. */
    memset(&options, 0, sizeof(options));
    {
        imgsim_index only_file = {.file = *reader};

        if ((status = read_header(&only_file, &header)) != IMGSIM_OK ||
            (status = imgsim_index_options_init(&options, sizeof(options))) != IMGSIM_OK)
            return status;
    }
    options.kind = (int32_t)header.kind;
    options.metric = (int32_t)header.metric;
    options.dimension = header.dimension;
    options.max_links = header.max_links;
    options.build_width = header.build_width;
    options.search_width = header.search_width;
    options.seed = header.seed;
    if ((status = ims_index_make(&options, (int)header.form, &index)) != IMGSIM_OK)
        return status;
    index->file = *reader;
    memset(reader, 0, sizeof(*reader)); /* now the index's */

    if ((status = read_rows(index, &header)) != IMGSIM_OK ||
        (status = read_factor(index)) != IMGSIM_OK || (status = read_note(index)) != IMGSIM_OK ||
        (header.has_graph != 0 && (status = ims_graph_open(index, &index->graph)) != IMGSIM_OK) ||
        (has_section(index, "axhead") &&
         (status = ims_planes_open(index, &index->planes)) != IMGSIM_OK)) {
        imgsim_index_free(index);
        return status;
    }
    if (index->planes != NULL) { /* rows that are added later get them at once */
        atomic_store(&index->planes_known, true);
        atomic_store(&index->scanned, UINT64_MAX / 2);
    }
    *out_index = index;
    return IMGSIM_OK;
}

imgsim_status imgsim_index_open(const char *path, int32_t verify, imgsim_index **out_index)
{
    struct ims_reader reader = {0};
    imgsim_status status;

    if (path == NULL || out_index == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "path and out_index must not be NULL");
    *out_index = NULL;
    if ((status = ims_reader_open(&reader, path, FILE_KIND, FILE_VERSION, verify != 0)) !=
        IMGSIM_OK)
        return status;
    status = read_index(&reader, out_index);
    ims_reader_close(&reader);
    return status;
}
