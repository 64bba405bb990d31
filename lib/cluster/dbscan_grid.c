/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DBSCAN of one to three values by a grid whose cells are so small that all rows of a cell are near each other: Gunawan, "A faster
 * algorithm for DBSCAN", TU Eindhoven, 2013; Wang, Gu & Shun, SIGMOD 2020. A cell with enough rows has only core rows; core rows of
 * a cell are one cluster; two cells are joined by the first pair of core rows near each other.
 */
#include "cluster/dbscan.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

/* A hair below eps / sqrt(d), so that rounding cannot put two rows that are too far apart into one cell. */
#define SHRINK (1 - 1e-9)
/* Cells within which a near row can lie, on either side. */
#define REACH 2
#define KEY_BITS 63
#define RADIX_BITS 11
#define CELLS_PER_ITEM ((size_t)256)

struct entry {
    uint64_t key;
    int32_t row;
};

struct grid {
    struct ims_dbscan *scan;
    size_t n, d;
    double least[IMS_GRID_DIMENSION_MAX];
    double side;
    unsigned bits[IMS_GRID_DIMENSION_MAX]; /* of each coordinate, the first in the lowest bits */
    struct entry *entries;                 /* sorted by key */
    float *values;                         /* n x d in that order */
    uint8_t *core;                         /* in that order */
    size_t cell_count;
    uint64_t *keys;   /* of each cell */
    uint32_t *starts; /* cell_count + 1 */
    uint32_t *core_counts;
    ims_set_link *links;   /* cells of a cluster */
    uint32_t *first_cores; /* per root: first core row */
};

/* ---- cells ---- */

/* Extent and bits of the coordinates; false if they do not fit a key. */
static bool measure_extent(struct grid *g, const float *rows)
{
    unsigned total = 0;

    for (size_t j = 0; j < g->d; j++) {
        float least = rows[j], most = rows[j];
        double cells;

        for (size_t i = 1; i < g->n; i++) {
            const float value = rows[i * g->d + j];

            least = value < least ? value : least;
            most = value > most ? value : most;
        }
        g->least[j] = least;
        cells = ((double)most - least) / g->side + 2 * REACH + 2;
        if (!(cells < 4e15))
            return false;
        while (((uint64_t)1 << g->bits[j]) < (uint64_t)cells)
            g->bits[j]++;
        total += g->bits[j];
    }
    return total <= KEY_BITS;
}

static uint64_t key_of(const struct grid *g, const float *row)
{
    uint64_t key = 0;

    for (size_t j = g->d; j-- > 0;)
        key = key << g->bits[j] | ((uint64_t)(((double)row[j] - g->least[j]) / g->side) + REACH);
    return key;
}

/* Least significant digit first; rows of a cell stay in order. */
static bool sort_entries(struct grid *g)
{
    const unsigned bits = g->bits[0] + (g->d > 1 ? g->bits[1] : 0) + (g->d > 2 ? g->bits[2] : 0);
    struct entry *from = g->entries, *to = ims_alloc_array(g->n, sizeof(*to));
    uint32_t counts[(1 << RADIX_BITS) + 1];

    if (to == NULL)
        return false;
    for (unsigned shift = 0; shift < bits; shift += RADIX_BITS) {
        struct entry *swap = from;

        memset(counts, 0, sizeof(counts));
        for (size_t i = 0; i < g->n; i++)
            counts[(from[i].key >> shift & ((1 << RADIX_BITS) - 1)) + 1]++;
        for (size_t digit = 0; digit < 1 << RADIX_BITS; digit++)
            counts[digit + 1] += counts[digit];
        for (size_t i = 0; i < g->n; i++)
            to[counts[from[i].key >> shift & ((1 << RADIX_BITS) - 1)]++] = from[i];
        from = to;
        to = swap;
    }
    g->entries = from;
    ims_free(to);
    return true;
}

static void find_cells(struct grid *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (i == 0 || g->entries[i].key != g->entries[i - 1].key) {
            g->keys[g->cell_count] = g->entries[i].key;
            g->starts[g->cell_count++] = (uint32_t)i;
        }
    g->starts[g->cell_count] = (uint32_t)g->n;
}

static bool build_grid(struct grid *g, const float *rows)
{
    g->entries = ims_alloc_array(g->n, sizeof(*g->entries));
    g->values = ims_alloc_array(g->n * g->d, sizeof(float));
    g->core = ims_calloc(g->n, 1);
    g->keys = ims_alloc_array(g->n, sizeof(*g->keys));
    g->starts = ims_alloc_array(g->n + 1, sizeof(*g->starts));
    g->core_counts = ims_calloc(g->n, sizeof(*g->core_counts));
    g->links = ims_alloc_array(g->n, sizeof(*g->links));
    g->first_cores = ims_alloc_array(g->n, sizeof(*g->first_cores));
    if (g->entries == NULL || g->values == NULL || g->core == NULL || g->keys == NULL ||
        g->starts == NULL || g->core_counts == NULL || g->links == NULL || g->first_cores == NULL)
        return false;
    for (size_t i = 0; i < g->n; i++)
        g->entries[i] = (struct entry){key_of(g, rows + i * g->d), (int32_t)i};
    if (!sort_entries(g))
        return false;
    for (size_t i = 0; i < g->n; i++)
        memcpy(g->values + i * g->d, rows + (size_t)g->entries[i].row * g->d, g->d * sizeof(float));
    find_cells(g);
    ims_sets_init(g->links, g->cell_count);
    return true;
}

static void clear_grid(struct grid *g)
{
    ims_free(g->entries);
    ims_free(g->values);
    ims_free(g->core);
    ims_free(g->keys);
    ims_free(g->starts);
    ims_free(g->core_counts);
    ims_free((void *)g->links);
    ims_free(g->first_cores);
}

/* ---- neighbours ---- */

/* The first cell whose key is at least this. */
static size_t find_cell(const struct grid *g, uint64_t key)
{
    size_t first = 0, end = g->cell_count;

    while (first < end) {
        const size_t middle = first + (end - first) / 2;

        if (g->keys[middle] < key)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

/*
 * Runs of cells that hold whatever is near a cell: one per line of the first coordinate, itself included. Cells are visited in order
 * of their keys, so each line's run only moves on.
 */
#define LINES_MAX ((2 * REACH + 1) * (2 * REACH + 1))

struct runs {
    size_t first[LINES_MAX];
    size_t end[LINES_MAX];
    uint64_t offset[LINES_MAX]; /* key of the line less that of the cell */
    size_t count;
};

/* Before the first of some cells in order. */
static void begin_runs(const struct grid *g, size_t cell, struct runs *runs)
{
    const int y_reach = g->d > 1 ? REACH : 0, z_reach = g->d > 2 ? REACH : 0;

    runs->count = 0;
    for (int z = -z_reach; z <= z_reach; z++)
        for (int y = -y_reach; y <= y_reach; y++) {
            const uint64_t offset = ((uint64_t)(int64_t)y << g->bits[0]) +
                                    ((uint64_t)(int64_t)z << (g->bits[0] + g->bits[1]));

            runs->offset[runs->count] = offset;
            runs->first[runs->count] = find_cell(g, g->keys[cell] + offset - REACH);
            runs->end[runs->count] = runs->first[runs->count];
            runs->count++;
        }
}

static void move_runs(const struct grid *g, size_t cell, struct runs *runs)
{
    for (size_t run = 0; run < runs->count; run++) {
        const uint64_t line = g->keys[cell] + runs->offset[run];
        size_t first = runs->first[run], end;

        while (first < g->cell_count && g->keys[first] < line - REACH)
            first++;
        end = runs->end[run] > first ? runs->end[run] : first;
        while (end < g->cell_count && g->keys[end] <= line + REACH)
            end++;
        runs->first[run] = first;
        runs->end[run] = end;
    }
}

static inline bool near_values(const struct grid *g, size_t a, size_t b)
{
    const float *x = g->values + a * g->d, *y = g->values + b * g->d;
    double square = 0;

    for (size_t j = 0; j < g->d; j++) {
        const double difference = (double)x[j] - y[j];

        square += difference * difference;
    }
    return square <= g->scan->square;
}

/* ---- core rows ---- */

/* Rows of its own cell are near; those of other cells are looked at until there are enough. */
static bool is_core(const struct grid *g, const struct runs *runs, size_t cell, size_t i)
{
    uint32_t count = g->starts[cell + 1] - g->starts[cell];

    for (size_t run = 0; run < runs->count; run++)
        for (size_t other = runs->first[run]; other < runs->end[run]; other++) {
            if (other == cell)
                continue;
            for (size_t j = g->starts[other]; j < g->starts[other + 1]; j++)
                if (near_values(g, i, j) && ++count >= g->scan->min_samples)
                    return true;
        }
    return false;
}

/* The cells of an item. */
static size_t cells_end(const struct grid *g, size_t item)
{
    return (item + 1) * CELLS_PER_ITEM < g->cell_count ? (item + 1) * CELLS_PER_ITEM
                                                       : g->cell_count;
}

static imgsim_status count_cells(void *context, size_t item, uint32_t worker)
{
    struct grid *g = context;
    struct runs runs;

    (void)worker;
    begin_runs(g, item * CELLS_PER_ITEM, &runs);
    for (size_t cell = item * CELLS_PER_ITEM; cell < cells_end(g, item); cell++) {
        const size_t first = g->starts[cell], end = g->starts[cell + 1];

        if (end - first >= g->scan->min_samples) {
            memset(g->core + first, 1, end - first);
            g->core_counts[cell] = (uint32_t)(end - first);
            continue;
        }
        move_runs(g, cell, &runs);
        for (size_t i = first; i < end; i++)
            if (is_core(g, &runs, cell, i)) {
                g->core[i] = 1;
                g->core_counts[cell]++;
            }
    }
    return IMGSIM_OK;
}

/* ---- joining cells ---- */

/* Whether a row can be near any of a cell's: distance to the cell as a box. */
static bool near_box(const struct grid *g, size_t i, const float *least, const float *most)
{
    double square = 0;

    for (size_t j = 0; j < g->d; j++) {
        const double value = g->values[i * g->d + j];
        const double gap = value < least[j]  ? least[j] - value
                           : value > most[j] ? value - most[j]
                                             : 0;

        square += gap * gap;
    }
    return square <= g->scan->square;
}

static void core_box(const struct grid *g, size_t cell, float *least, float *most)
{
    for (size_t j = 0; j < g->d; j++) {
        least[j] = HUGE_VALF;
        most[j] = -HUGE_VALF;
    }
    for (size_t i = g->starts[cell]; i < g->starts[cell + 1]; i++)
        for (size_t j = 0; j < g->d && g->core[i]; j++) {
            const float value = g->values[i * g->d + j];

            least[j] = value < least[j] ? value : least[j];
            most[j] = value > most[j] ? value : most[j];
        }
}

/* Whether some core row of one cell is near one of the other. */
static bool cells_touch(const struct grid *g, size_t a, size_t b)
{
    float least[IMS_GRID_DIMENSION_MAX], most[IMS_GRID_DIMENSION_MAX];

    core_box(g, b, least, most);
    for (size_t i = g->starts[a]; i < g->starts[a + 1]; i++) {
        if (!g->core[i] || !near_box(g, i, least, most))
            continue;
        for (size_t j = g->starts[b]; j < g->starts[b + 1]; j++)
            if (g->core[j] && near_values(g, i, j))
                return true;
    }
    return false;
}

static imgsim_status join_cells(void *context, size_t item, uint32_t worker)
{
    const struct grid *g = context;
    struct runs runs;

    (void)worker;
    begin_runs(g, item * CELLS_PER_ITEM, &runs);
    for (size_t cell = item * CELLS_PER_ITEM; cell < cells_end(g, item); cell++) {
        if (g->core_counts[cell] == 0)
            continue;
        move_runs(g, cell, &runs);
        for (size_t run = 0; run < runs.count; run++)
            for (size_t other = runs.first[run]; other < runs.end[run] && other < cell; other++)
                if (g->core_counts[other] > 0 &&
                    ims_sets_find(g->links, (uint32_t)other) !=
                        ims_sets_find(g->links, (uint32_t)cell) &&
                    cells_touch(g, cell, other))
                    ims_sets_join(g->links, (uint32_t)other, (uint32_t)cell);
    }
    return IMGSIM_OK;
}

/* ---- labels ---- */

/* First core row of each cluster, at its root. */
static void find_first_cores(struct grid *g)
{
    for (size_t cell = 0; cell < g->cell_count; cell++)
        g->first_cores[cell] = UINT32_MAX;
    for (size_t cell = 0; cell < g->cell_count; cell++) {
        uint32_t *first = &g->first_cores[ims_sets_find(g->links, (uint32_t)cell)];

        for (size_t i = g->starts[cell]; i < g->starts[cell + 1]; i++)
            if (g->core[i] && (uint32_t)g->entries[i].row < *first)
                *first = (uint32_t)g->entries[i].row;
    }
}

/* The cluster of a border row: of those with a core row near it, the one whose first core row comes first. */
static int32_t border_label(const struct grid *g, const struct runs *runs, size_t i)
{
    uint32_t label = UINT32_MAX;

    for (size_t run = 0; run < runs->count; run++)
        for (size_t cell = runs->first[run]; cell < runs->end[run]; cell++) {
            uint32_t first;

            if (g->core_counts[cell] == 0)
                continue;
            first = g->first_cores[ims_sets_find(g->links, (uint32_t)cell)];
            for (size_t j = g->starts[cell]; first < label && j < g->starts[cell + 1]; j++)
                if (g->core[j] && near_values(g, i, j))
                    label = first;
        }
    return label == UINT32_MAX ? IMS_NOISE : (int32_t)label;
}

static imgsim_status label_cells(void *context, size_t item, uint32_t worker)
{
    const struct grid *g = context;
    int32_t *labels = g->scan->job->out->labels;
    struct runs runs;

    (void)worker;
    begin_runs(g, item * CELLS_PER_ITEM, &runs);
    for (size_t cell = item * CELLS_PER_ITEM; cell < cells_end(g, item); cell++) {
        const uint32_t root = ims_sets_find(g->links, (uint32_t)cell);
        const size_t first = g->starts[cell], end = g->starts[cell + 1];

        if (g->core_counts[cell] < end - first)
            move_runs(g, cell, &runs);
        for (size_t i = first; i < end; i++)
            labels[g->entries[i].row] =
                g->core[i] ? (int32_t)g->first_cores[root] : border_label(g, &runs, i);
    }
    return IMGSIM_OK;
}

static imgsim_status run_cells(struct grid *g, const char *phase, ims_task task)
{
    ims_meter_phase(g->scan->job->meter, phase, g->cell_count);
    return ims_cluster_run(
        g->scan->job, (g->cell_count + CELLS_PER_ITEM - 1) / CELLS_PER_ITEM, CELLS_PER_ITEM, task,
        g);
}

imgsim_status ims_dbscan_grid(struct ims_dbscan *scan, bool *out_done)
{
    const struct ims_cluster_job *job = scan->job;
    struct grid g = {
        .scan = scan,
        .n = job->n,
        .d = job->d,
        .side = sqrt(scan->square / (double)job->d) * SHRINK,
    };
    imgsim_status status = IMGSIM_OK;

    *out_done = g.side > 0 && measure_extent(&g, job->rows);
    if (!*out_done)
        return IMGSIM_OK;
    if (!build_grid(&g, job->rows))
        status = ims_fail_memory(job->n * sizeof(struct entry));
    if (status == IMGSIM_OK && (status = run_cells(&g, "count", count_cells)) == IMGSIM_OK &&
        (status = run_cells(&g, "join", join_cells)) == IMGSIM_OK) {
        find_first_cores(&g);
        status = run_cells(&g, "border", label_cells);
    }
    clear_grid(&g);
    return status;
}
