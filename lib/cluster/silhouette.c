/* SPDX-License-Identifier: Apache-2.0 */
/* Silhouettes (Rousseeuw, J. Comput. Appl. Math. 20, 1987), exact, by tiles: no matrix of all distances is kept. */
#include "cluster/tiles.h"

#include "core/memory.h"
#include "core/rng.h"

#include <math.h>
#include <string.h>

struct silhouette {
    struct ims_tiles tiles;
    const int32_t *labels;
    size_t cluster_count;
    uint64_t *sizes;
    const int32_t *list; /* rows that are looked at */
    size_t list_count;
    bool cosine;
    double *sums;   /* per worker: IMS_TILE_ROWS x cluster_count */
    double *values; /* per row of the list */
};

/* Distances of a tile's rows to all rows, summed by cluster. */
static void sum_tile(const struct silhouette *s, const struct ims_tile *tile, double *sums)
{
    for (size_t i = 0; i < tile->count; i++) {
        const float *squares = tile->products + i * IMS_TILE_ROWS;
        double *row = sums + i * s->cluster_count;

        for (size_t j = 0; j < tile->other_count; j++) {
            const size_t other = tile->other_first + j;
            double square = squares[j];

            if (s->labels[other] < 0 || other == ims_tile_row(tile, i))
                continue;
            /* Near rows lose digits in the product: they are computed again. */
            if (square < 1e-3 * (s->tiles.squares[ims_tile_row(tile, i)] + s->tiles.squares[other]))
                square = ims_row_square(s->tiles.job, ims_tile_row(tile, i), other);
            row[s->labels[other]] += s->cosine ? square / 2 : sqrt(square);
        }
    }
}

static double value_of(const struct silhouette *s, size_t row, const double *sums)
{
    const int32_t own = s->labels[row];
    double inside, outside = HUGE_VAL;

    if (s->sizes[own] < 2)
        return 0;
    inside = sums[own] / (double)(s->sizes[own] - 1);
    for (size_t c = 0; c < s->cluster_count; c++)
        if ((int32_t)c != own && s->sizes[c] > 0 && sums[c] / (double)s->sizes[c] < outside)
            outside = sums[c] / (double)s->sizes[c];
    if (inside == outside)
        return 0;
    return (outside - inside) / (inside > outside ? inside : outside);
}

static imgsim_status measure_tile(void *context, size_t item, uint32_t worker)
{
    const struct silhouette *s = context;
    double *sums = s->sums + worker * IMS_TILE_ROWS * s->cluster_count;
    struct ims_tile tile;

    memset(sums, 0, IMS_TILE_ROWS * s->cluster_count * sizeof(double));
    ims_tile_begin(&s->tiles, s->list, s->list_count, item, worker, &tile);
    for (size_t other = 0; other < s->tiles.count; other++) {
        ims_tile_compare(&s->tiles, &tile, other);
        sum_tile(s, &tile, sums);
    }
    for (size_t i = 0; i < tile.count; i++)
        s->values[tile.first + i] = value_of(s, (size_t)tile.rows[i], sums + i * s->cluster_count);
    return IMGSIM_OK;
}

/* Sizes of the clusters; two of them must have rows. */
static imgsim_status count_clusters(struct silhouette *s, size_t n)
{
    size_t filled = 0;

    for (size_t i = 0; i < n; i++)
        if (s->labels[i] >= 0 && (size_t)s->labels[i] >= s->cluster_count)
            s->cluster_count = (size_t)s->labels[i] + 1;
    if (s->cluster_count > n)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "label %zu, expected less than the %zu rows",
            s->cluster_count - 1, n);
    if ((s->sizes = ims_calloc(s->cluster_count, sizeof(uint64_t))) == NULL)
        return ims_fail_memory(s->cluster_count * sizeof(uint64_t));
    for (size_t i = 0; i < n; i++)
        if (s->labels[i] >= 0 && s->sizes[s->labels[i]]++ == 0)
            filled++;
    if (filled < 2)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "a silhouette needs two clusters, the labels have %zu",
            filled);
    return IMGSIM_OK;
}

/* Rows with a label, all of them or as many as the sample has. */
static size_t
choose_rows(const int32_t *labels, size_t n, size_t sample, uint64_t seed, int32_t *out)
{
    size_t count = 0, taken = 0;
    struct ims_rng rng;

    for (size_t i = 0; i < n; i++)
        if (labels[i] >= 0)
            out[count++] = (int32_t)i;
    if (sample == 0 || sample >= count)
        return count;
    ims_rng_init(&rng, seed);
    for (size_t i = 0; taken < sample; i++)
        if (ims_rng_below(&rng, count - i) < sample - taken)
            out[taken++] = out[i];
    return sample;
}

static imgsim_status
run(struct silhouette *s,
    const struct ims_cluster_job *job,
    size_t sample,
    uint64_t seed,
    int32_t *list)
{
    const size_t threads = ims_pool_threads(job->pool);
    imgsim_status status;

    if ((status = count_clusters(s, job->n)) != IMGSIM_OK ||
        (status = ims_tiles_open(&s->tiles, job)) != IMGSIM_OK)
        return status;
    s->list = list;
    s->list_count = choose_rows(s->labels, job->n, sample, seed, list);
    s->sums = ims_alloc_array(threads * IMS_TILE_ROWS * s->cluster_count, sizeof(double));
    s->values = ims_alloc_array(s->list_count, sizeof(double));
    if (s->sums == NULL || s->values == NULL)
        return ims_fail_memory(threads * IMS_TILE_ROWS * s->cluster_count * sizeof(double));
    return ims_cluster_run(
        job, (s->list_count + IMS_TILE_ROWS - 1) / IMS_TILE_ROWS, IMS_TILE_ROWS, measure_tile, s);
}

static void report(const struct silhouette *s, size_t n, double *out_mean, float *out_values)
{
    double sum = 0;

    for (size_t i = 0; i < n && out_values != NULL; i++)
        out_values[i] = NAN;
    for (size_t i = 0; i < s->list_count; i++) {
        sum += s->values[i];
        if (out_values != NULL)
            out_values[s->list[i]] = (float)s->values[i];
    }
    *out_mean = sum / (double)s->list_count;
}

imgsim_status imgsim_silhouette(
    const float *rows,
    size_t row_count,
    uint32_t dimension,
    const int32_t *labels,
    int32_t metric,
    size_t sample,
    uint64_t seed,
    uint32_t threads,
    double *out_mean,
    float *out_values)
{
    struct silhouette s = {.labels = labels, .cosine = metric == IMGSIM_METRIC_COSINE};
    struct ims_meter meter = {0};
    struct ims_cluster_job job = {.rows = rows, .n = row_count, .d = dimension, .meter = &meter};
    int32_t *list = NULL;
    float *copy = NULL;
    imgsim_status status;

    if (rows == NULL || labels == NULL || out_mean == NULL || row_count == 0 || dimension == 0 ||
        row_count >= INT32_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "rows, labels and out_mean must not be NULL or empty");
    if (metric != IMGSIM_METRIC_L2 && metric != IMGSIM_METRIC_COSINE)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "metric %d, silhouettes are by L2 or cosine", metric);
    if ((status = ims_cluster_check_values(rows, row_count, dimension)) != IMGSIM_OK)
        return status;
    ims_meter_start(&meter, NULL, NULL);
    if (s.cosine && (status = ims_unit_rows(rows, row_count, dimension, &copy)) != IMGSIM_OK)
        return status;
    job.rows = copy != NULL ? copy : rows;
    if ((status = ims_pool_new(threads, &job.pool)) != IMGSIM_OK)
        goto done;
    if ((list = ims_alloc_array(row_count, sizeof(int32_t))) == NULL)
        status = ims_fail_memory(row_count * sizeof(int32_t));
    else if ((status = run(&s, &job, sample, seed, list)) == IMGSIM_OK)
        report(&s, row_count, out_mean, out_values);

done:
    ims_tiles_close(&s.tiles);
    ims_pool_free(job.pool);
    ims_free(s.sizes);
    ims_free(s.sums);
    ims_free(s.values);
    ims_free(list);
    ims_free_aligned(copy);
    return status;
}
