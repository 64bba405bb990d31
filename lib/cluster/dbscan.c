/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DBSCAN: Ester, Kriegel, Sander & Xu, KDD 1996. Neighbourhoods are never stored: one pass counts, one joins core rows that are
 * near each other, one finds a cluster for the rows at the border.
 */
#include "cluster/dbscan.h"

#include "cluster/tiles.h"
#include "core/memory.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_MIN_SAMPLES 5
/* Rows whose distances suggest eps. */
#define SUGGEST_ROWS ((size_t)4096)

/* ---- any number of values: tiles ---- */

struct tile_scan {
    struct ims_dbscan *scan;
    struct ims_tiles tiles;
    _Atomic uint32_t *counts;
    const int32_t *list;
    size_t list_count;
};

static bool is_near(const struct tile_scan *t, const struct ims_tile *tile, size_t i, size_t j)
{
    const size_t row = ims_tile_row(tile, i), other = tile->other_first + j;
    const float square = tile->products[i * IMS_TILE_ROWS + j];
    const double loss = ims_tile_loss(&t->tiles, row, other);

    if (square + loss < t->scan->square)
        return true;
    if (square - loss > t->scan->square)
        return false;
    return ims_row_square(t->scan->job, row, other) <= t->scan->square;
}

/* Count pairs of the item-th tile and those after it on both sides. */
static imgsim_status count_tile(void *context, size_t item, uint32_t worker)
{
    const struct tile_scan *t = context;
    struct ims_tile tile;

    ims_tile_begin(&t->tiles, NULL, 0, item, worker, &tile);
    for (size_t other = item; other < t->tiles.count; other++) {
        ims_tile_compare(&t->tiles, &tile, other);
        for (size_t i = 0; i < tile.count; i++)
            for (size_t j = other == item ? i + 1 : 0; j < tile.other_count; j++)
                if (is_near(t, &tile, i, j)) {
                    atomic_fetch_add_explicit(&t->counts[tile.first + i], 1, memory_order_relaxed);
                    atomic_fetch_add_explicit(
                        &t->counts[tile.other_first + j], 1, memory_order_relaxed);
                }
    }
    return IMGSIM_OK;
}

static imgsim_status join_tile(void *context, size_t item, uint32_t worker)
{
    const struct tile_scan *t = context;
    struct ims_tile tile;

    ims_tile_begin(&t->tiles, NULL, 0, item, worker, &tile);
    for (size_t other = item; other < t->tiles.count; other++) {
        ims_tile_compare(&t->tiles, &tile, other);
        for (size_t i = 0; i < tile.count; i++) {
            if (!t->scan->core[tile.first + i])
                continue;
            for (size_t j = other == item ? i + 1 : 0; j < tile.other_count; j++)
                if (t->scan->core[tile.other_first + j] && is_near(t, &tile, i, j))
                    ims_sets_join(
                        t->scan->links, (uint32_t)(tile.first + i),
                        (uint32_t)(tile.other_first + j));
        }
    }
    return IMGSIM_OK;
}

/* Rows at the border, from the list: the cluster whose first core row comes first. */
static imgsim_status label_tile(void *context, size_t item, uint32_t worker)
{
    const struct tile_scan *t = context;
    struct ims_tile tile;

    ims_tile_begin(&t->tiles, t->list, t->list_count, item, worker, &tile);
    for (size_t other = 0; other < t->tiles.count; other++) {
        ims_tile_compare(&t->tiles, &tile, other);
        for (size_t i = 0; i < tile.count; i++) {
            int32_t *label = &t->scan->job->out->labels[tile.rows[i]];

            for (size_t j = 0; j < tile.other_count; j++) {
                const size_t row = tile.other_first + j;
                int32_t root;

                if (!t->scan->core[row] || !is_near(t, &tile, i, j))
                    continue;
                root = (int32_t)ims_sets_find(t->scan->links, (uint32_t)row);
                if (*label < 0 || root < *label)
                    *label = root;
            }
        }
    }
    return IMGSIM_OK;
}

static imgsim_status run_tiles(struct tile_scan *t, const char *phase, size_t items, ims_task task)
{
    ims_meter_phase(t->scan->job->meter, phase, items * IMS_TILE_ROWS);
    return ims_cluster_run(t->scan->job, items, IMS_TILE_ROWS, task, t);
}

static imgsim_status scan_by_tiles(struct ims_dbscan *scan)
{
    const struct ims_cluster_job *job = scan->job;
    struct tile_scan t = {.scan = scan};
    int32_t *list = ims_alloc_array(job->n, sizeof(int32_t));
    imgsim_status status = ims_tiles_open(&t.tiles, job);

    t.counts = ims_calloc(job->n, sizeof(*t.counts));
    if (status == IMGSIM_OK && (list == NULL || t.counts == NULL))
        status = ims_fail_memory(job->n * sizeof(int32_t));
    if (status != IMGSIM_OK ||
        (status = run_tiles(&t, "count", t.tiles.count, count_tile)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < job->n; i++) {
        scan->core[i] = t.counts[i] + 1 >= scan->min_samples;
        if (!scan->core[i] && t.counts[i] > 0)
            list[t.list_count++] = (int32_t)i;
    }
    t.list = list;
    if ((status = run_tiles(&t, "join", t.tiles.count, join_tile)) == IMGSIM_OK)
        status =
            run_tiles(&t, "border", (t.list_count + IMS_TILE_ROWS - 1) / IMS_TILE_ROWS, label_tile);
    for (size_t i = 0; i < job->n && status == IMGSIM_OK; i++)
        if (scan->core[i])
            job->out->labels[i] = (int32_t)ims_sets_find(scan->links, (uint32_t)i);

done:
    ims_tiles_close(&t.tiles);
    ims_free((void *)t.counts);
    ims_free(list);
    return status;
}

/* ---- eps ---- */

static int by_size(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;

    return a < b ? -1 : a > b;
}

/*
 * The knee of sorted values: where they lie farthest below the line from the first to the last.
 * Satopaa, Albrecht, Irwin & Raghavan, ICDCS Workshops 2011.
 */
static double find_knee(double *values, size_t count)
{
    double best = -1, knee;

    qsort(values, count, sizeof(*values), by_size);
    knee = values[count - 1];
    for (size_t i = 0; i < count && values[count - 1] > values[0]; i++) {
        const double x = (double)i / (double)(count - 1);
        const double y = (values[i] - values[0]) / (values[count - 1] - values[0]);

        if (x - y > best) {
            best = x - y;
            knee = values[i];
        }
    }
    return knee;
}

/* Distances to the min_samples-th row, of all rows or of some spread evenly. */
static imgsim_status
measure_sample(const struct ims_cluster_job *job, size_t k, double **out, size_t *out_count)
{
    const size_t count = job->n < SUGGEST_ROWS ? job->n : SUGGEST_ROWS;
    int32_t *list = ims_alloc_array(count, sizeof(int32_t));
    int32_t *rows = ims_alloc_array(count * k, sizeof(int32_t));
    double *squares = ims_alloc_array(count * k, sizeof(double));
    struct ims_tiles tiles = {0};
    imgsim_status status;

    *out = ims_alloc_array(count, sizeof(double));
    *out_count = count;
    if (list == NULL || rows == NULL || squares == NULL || *out == NULL) {
        status = ims_fail_memory(count * k * sizeof(double));
        goto done;
    }
    for (size_t i = 0; i < count; i++)
        list[i] = (int32_t)((uint64_t)i * job->n / count);
    if ((status = ims_tiles_open(&tiles, job)) != IMGSIM_OK)
        goto done;
    ims_meter_phase(job->meter, "eps", count);
    status = ims_nearest_by_tiles(&tiles, list, count, k, rows, squares);
    for (size_t i = 0; i < count && status == IMGSIM_OK; i++)
        (*out)[i] = sqrt(squares[i * k + k - 1]);

done:
    ims_tiles_close(&tiles);
    ims_free(list);
    ims_free(rows);
    ims_free(squares);
    return status;
}

static imgsim_status
suggest_eps(const struct ims_cluster_job *job, uint32_t min_samples, double *out_eps)
{
    const size_t k = min_samples < job->n ? min_samples : job->n;
    double *distances = NULL;
    size_t count;
    imgsim_status status = measure_sample(job, k, &distances, &count);

    if (status == IMGSIM_OK)
        *out_eps = find_knee(distances, count);
    ims_free(distances);
    return status;
}

/* ---- the method ---- */

static imgsim_status run_scan(struct ims_dbscan *scan)
{
    imgsim_clusters *out = scan->job->out;
    imgsim_status status = IMGSIM_OK;
    bool done = false;

    for (size_t i = 0; i < scan->job->n; i++)
        out->labels[i] = IMS_NOISE;
    if (scan->job->d <= IMS_GRID_DIMENSION_MAX && scan->square > 0)
        status = ims_dbscan_grid(scan, &done);
    if (status == IMGSIM_OK && !done)
        status = scan_by_tiles(scan);
    if (status == IMGSIM_OK)
        status = ims_renumber(out->labels, scan->job->n, scan->job->n, &out->count, NULL);
    return status;
}

imgsim_status ims_dbscan(const struct ims_cluster_job *job)
{
    struct ims_dbscan scan = {.job = job, .min_samples = job->options.min_samples};
    imgsim_status status;
    double eps = job->options.eps;

    if (scan.min_samples == 0)
        scan.min_samples = DEFAULT_MIN_SAMPLES;
    if (eps == 0 && (status = suggest_eps(job, scan.min_samples, &eps)) != IMGSIM_OK)
        return status;
    job->out->eps = eps;
    scan.square = eps * eps > DBL_MIN ? eps * eps : DBL_MIN; /* 0: equal rows are near */
    scan.core = ims_calloc(job->n, 1);
    scan.links = ims_alloc_array(job->n, sizeof(*scan.links));
    if (scan.core == NULL || scan.links == NULL) {
        status = ims_fail_memory(job->n * sizeof(*scan.links));
    } else {
        ims_sets_init(scan.links, job->n);
        status = run_scan(&scan);
    }
    ims_free(scan.core);
    ims_free((void *)scan.links);
    return status;
}
