/* SPDX-License-Identifier: Apache-2.0 */
/* Squared distances in tiles, and the nearest rows of every row by them. */
#include "cluster/tiles.h"

#include "core/memory.h"
#include "core/topk.h"
#include "linalg/linalg.h"
#include "simd/reference.h"

#include <math.h>
#include <string.h>

#define MEAN_ROWS ((size_t)4096)

double ims_row_square(const struct ims_cluster_job *job, size_t a, size_t b)
{
    return ims_exact_l2_squared(job->rows + a * job->d, job->rows + b * job->d, job->d);
}

/* About the mean: that of some rows spread over all. Only makes the margins small. */
static void find_shift(const struct ims_cluster_job *job, float *shift, double *sums)
{
    const size_t count = job->n < MEAN_ROWS ? job->n : MEAN_ROWS;

    memset(sums, 0, job->d * sizeof(double));
    for (size_t i = 0; i < count; i++) {
        const float *row =
            job->rows + (size_t)((double)i / (double)count * (double)job->n) * job->d;

        for (size_t j = 0; j < job->d; j++)
            sums[j] += row[j];
    }
    for (size_t j = 0; j < job->d; j++)
        shift[j] = (float)(sums[j] / (double)count);
}

static imgsim_status square_tile(void *context, size_t item, uint32_t worker)
{
    const struct ims_tiles *tiles = context;
    const size_t d = tiles->job->d, n = tiles->job->n;

    (void)worker;
    for (size_t i = item * IMS_TILE_ROWS; i < n && i < (item + 1) * IMS_TILE_ROWS; i++) {
        double square = 0;

        for (size_t j = 0; j < d; j++) {
            const float value = tiles->job->rows[i * d + j] - tiles->shift[j];

            square += (double)value * value;
        }
        tiles->squares[i] = (float)square;
    }
    return IMGSIM_OK;
}

imgsim_status ims_tiles_open(struct ims_tiles *tiles, const struct ims_cluster_job *job)
{
    double *sums = ims_alloc_array(job->d, sizeof(double));

    memset(tiles, 0, sizeof(*tiles));
    tiles->job = job;
    tiles->margin = (float)(4 * ims_float_margin(job->d));
    tiles->count = (job->n + IMS_TILE_ROWS - 1) / IMS_TILE_ROWS;
    tiles->scratch_size = IMS_TILE_ROWS * (2 * job->d + IMS_TILE_ROWS);
    tiles->shift = ims_alloc_array(job->d, sizeof(float));
    tiles->squares = ims_alloc_array(job->n, sizeof(float));
    tiles->scratch =
        ims_alloc_aligned(ims_pool_threads(job->pool) * tiles->scratch_size * sizeof(float));
    if (sums == NULL || tiles->shift == NULL || tiles->squares == NULL || tiles->scratch == NULL) {
        ims_free(sums);
        ims_tiles_close(tiles);
        return ims_fail_memory(job->n * sizeof(float));
    }
    find_shift(job, tiles->shift, sums);
    ims_free(sums);
    return ims_cluster_run(job, tiles->count, 0, square_tile, tiles);
}

void ims_tiles_close(struct ims_tiles *tiles)
{
    ims_free(tiles->shift);
    ims_free(tiles->squares);
    ims_free_aligned(tiles->scratch);
    memset(tiles, 0, sizeof(*tiles));
}

static void load(const struct ims_tiles *tiles, size_t row, float *out)
{
    const float *values = tiles->job->rows + row * tiles->job->d;

    for (size_t j = 0; j < tiles->job->d; j++)
        out[j] = values[j] - tiles->shift[j];
}

void ims_tile_begin(
    const struct ims_tiles *tiles,
    const int32_t *list,
    size_t list_count,
    size_t item,
    uint32_t worker,
    struct ims_tile *tile)
{
    const size_t all = list != NULL ? list_count : tiles->job->n;
    const size_t d = tiles->job->d;

    tile->first = item * IMS_TILE_ROWS;
    tile->count = all - tile->first < IMS_TILE_ROWS ? all - tile->first : IMS_TILE_ROWS;
    tile->rows = list != NULL ? list + tile->first : NULL;
    tile->left = tiles->scratch + worker * tiles->scratch_size;
    tile->right = tile->left + IMS_TILE_ROWS * d;
    tile->products = tile->right + IMS_TILE_ROWS * d;
    for (size_t i = 0; i < tile->count; i++)
        load(tiles, ims_tile_row(tile, i), tile->left + i * d);
}

void ims_tile_compare(const struct ims_tiles *tiles, struct ims_tile *tile, size_t other)
{
    const size_t d = tiles->job->d, n = tiles->job->n;

    tile->other_first = other * IMS_TILE_ROWS;
    tile->other_count =
        n - tile->other_first < IMS_TILE_ROWS ? n - tile->other_first : IMS_TILE_ROWS;
    for (size_t j = 0; j < tile->other_count; j++)
        load(tiles, tile->other_first + j, tile->right + j * d);
    ims_gemm_nt(
        tile->count, tile->other_count, d, tile->left, d, tile->right, d, tile->products,
        IMS_TILE_ROWS);
    for (size_t i = 0; i < tile->count; i++) {
        const float own = tiles->squares[ims_tile_row(tile, i)];
        const float *squares = tiles->squares + tile->other_first;
        float *out = tile->products + i * IMS_TILE_ROWS;

        for (size_t j = 0; j < tile->other_count; j++)
            out[j] = own + squares[j] - 2 * out[j];
    }
}

/* ---- nearest rows ---- */

struct nearest_job {
    const struct ims_tiles *tiles;
    const int32_t *list;
    size_t list_count;
    size_t k;
    int32_t *out_rows;
    double *out_squares;
    struct ims_neighbour *heaps; /* IMS_TILE_ROWS x k per worker */
};

/* Offer the rows of one comparison that the margin does not exclude. */
static void
offer_tile(const struct nearest_job *job, const struct ims_tile *tile, struct ims_topk *topk)
{
    for (size_t i = 0; i < tile->count; i++) {
        const size_t row = ims_tile_row(tile, i);
        const float *squares = tile->products + i * IMS_TILE_ROWS;
        double bound = ims_topk_bound(&topk[i]);

        for (size_t j = 0; j < tile->other_count; j++) {
            const size_t other = tile->other_first + j;

            if (squares[j] - ims_tile_loss(job->tiles, row, other) > bound)
                continue;
            if (ims_topk_push(
                    &topk[i], ims_row_square(job->tiles->job, row, other), (int64_t)other))
                bound = ims_topk_bound(&topk[i]);
        }
    }
}

static imgsim_status find_nearest(void *context, size_t item, uint32_t worker)
{
    const struct nearest_job *job = context;
    struct ims_neighbour *heaps = job->heaps + worker * IMS_TILE_ROWS * job->k;
    struct ims_topk topk[IMS_TILE_ROWS];
    struct ims_tile tile;

    ims_tile_begin(job->tiles, job->list, job->list_count, item, worker, &tile);
    for (size_t i = 0; i < tile.count; i++)
        ims_topk_init(&topk[i], heaps + i * job->k, job->k);
    for (size_t other = 0; other < job->tiles->count; other++) {
        ims_tile_compare(job->tiles, &tile, (item + other) % job->tiles->count);
        offer_tile(job, &tile, topk);
    }
    for (size_t i = 0; i < tile.count; i++) {
        const size_t out = (tile.first + i) * job->k;

        ims_topk_sort(&topk[i]);
        for (size_t j = 0; j < job->k; j++) {
            job->out_rows[out + j] = (int32_t)topk[i].items[j].id;
            job->out_squares[out + j] = topk[i].items[j].distance;
        }
    }
    return IMGSIM_OK;
}

imgsim_status ims_nearest_by_tiles(
    const struct ims_tiles *tiles,
    const int32_t *list,
    size_t list_count,
    size_t k,
    int32_t *out_rows,
    double *out_squares)
{
    const size_t rows = list != NULL ? list_count : tiles->job->n;
    const size_t threads = ims_pool_threads(tiles->job->pool);
    struct nearest_job job = {
        tiles,
        list,
        list_count,
        k,
        out_rows,
        out_squares,
        ims_alloc_array(threads * IMS_TILE_ROWS * k, sizeof(struct ims_neighbour))};
    imgsim_status status;

    if (job.heaps == NULL)
        return ims_fail_memory(threads * IMS_TILE_ROWS * k * sizeof(struct ims_neighbour));
    status = ims_cluster_run(
        tiles->job, (rows + IMS_TILE_ROWS - 1) / IMS_TILE_ROWS, IMS_TILE_ROWS, find_nearest, &job);
    ims_free(job.heaps);
    return status;
}
