/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plain scan that a fused search is compared with: every row of every channel by the library's own kernels in single precision,
 * on its own threads, the k best kept per thread. Built as a shared object and called by bench_fused.py.
 */
#include "core/threads.h"
#include "core/topk.h"
#include "simd/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512
#define WORKERS 64
#define K_MAX 100

struct fused_rows {
    uint64_t count;
    uint32_t dimension;
    uint32_t hash_size;
    const float *vectors;
    const float *norms;
    const uint64_t *offsets;
    const uint32_t *lengths;
    const uint16_t *bins;
    const uint32_t *counts;
    const float *scales; /* 1 / sum of a histogram */
    const uint8_t *hashes;
};

struct fused_query {
    const float *vector; /* of length 1 */
    const float *histogram;
    const uint8_t *hash;
    double shares[3];
    double sum; /* of the histogram's values */
    int64_t exclude;
    int32_t chi_square;
    int32_t k;
};

struct scan {
    const struct fused_rows *rows;
    const struct fused_query *query;
    struct ims_topk best[WORKERS];
    struct ims_neighbour items[WORKERS][K_MAX];
};

static double unit(double value)
{
    return value < 0 ? 0 : value > 1 ? 1 : value;
}

static double color(const struct scan *scan, size_t row)
{
    const struct fused_rows *rows = scan->rows;
    const struct ims_kernels *kernels = ims_kernels();
    const uint16_t *bins = rows->bins + rows->offsets[row];
    const uint32_t *counts = rows->counts + rows->offsets[row];
    const float *query = scan->query->histogram;

    if (scan->query->chi_square == 0)
        return unit((double)kernels->sparse_intersection(
            query, bins, counts, rows->lengths[row], rows->scales[row]));
    return 1 / (1 + fmax(
                        0, scan->query->sum +
                               (double)kernels->sparse_chi_part(
                                   query, bins, counts, rows->lengths[row], rows->scales[row])));
}

static imgsim_status scan_block(void *context, size_t block, uint32_t worker)
{
    struct scan *scan = context;
    const struct fused_rows *rows = scan->rows;
    const struct fused_query *query = scan->query;
    const struct ims_kernels *kernels = ims_kernels();
    const size_t end = (block + 1) * BLOCK < rows->count ? (block + 1) * BLOCK : rows->count;
    struct ims_topk *best = &scan->best[worker];
    float dots[4];

    for (size_t row = block * BLOCK; row < end; row++) {
        const float *vector = rows->vectors + row * rows->dimension;
        const size_t lane = row % 4;
        double score;

        if (lane == 0 && row + 4 <= end)
            kernels->dot4(query->vector, vector, rows->dimension, rows->dimension, dots);
        else if (row - lane + 4 > end)
            dots[lane] = kernels->dot(query->vector, vector, rows->dimension);
        score = query->shares[0] * unit((double)(dots[lane] / rows->norms[row])) +
                query->shares[1] * color(scan, row) +
                query->shares[2] *
                    (1 - (double)kernels->hamming(
                             query->hash, rows->hashes + row * rows->hash_size, rows->hash_size) /
                             (8.0 * rows->hash_size));
        if (-score < ims_topk_bound(best) && (int64_t)row != query->exclude)
            ims_topk_push(best, -score, (int64_t)row);
    }
    return IMGSIM_OK;
}

void *fused_pool(uint32_t threads);
int fused_scan(
    void *pool,
    const struct fused_rows *rows,
    const struct fused_query *query,
    int64_t *out_ids);

void *fused_pool(uint32_t threads)
{
    struct ims_pool *pool = NULL;

    return ims_pool_new(threads, &pool) == IMGSIM_OK ? pool : NULL;
}

/* The k best ids, best first; returns their number. */
int fused_scan(
    void *pool,
    const struct fused_rows *rows,
    const struct fused_query *query,
    int64_t *out_ids)
{
    struct scan *scan = calloc(1, sizeof(*scan));
    const size_t k = (size_t)query->k;
    struct ims_neighbour all[K_MAX];
    struct ims_topk best;

    if (scan == NULL || k > K_MAX || ims_pool_threads(pool) > WORKERS)
        abort();
    scan->rows = rows;
    scan->query = query;
    for (size_t i = 0; i < WORKERS; i++)
        ims_topk_init(&scan->best[i], scan->items[i], k);
    ims_pool_run(pool, (rows->count + BLOCK - 1) / BLOCK, scan_block, scan);
    ims_topk_init(&best, all, k);
    for (size_t i = 0; i < WORKERS; i++)
        for (size_t j = 0; j < scan->best[i].count; j++)
            ims_topk_push(&best, scan->items[i][j].distance, scan->items[i][j].id);
    ims_topk_sort(&best);
    for (size_t i = 0; i < best.count; i++)
        out_ids[i] = best.items[i].id;
    free(scan);
    return (int)best.count;
}
