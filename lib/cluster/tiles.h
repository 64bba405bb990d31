/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Squared distances of all rows to all rows in tiles, by matrix products in single precision. Each carries a margin for its
 * rounding; what the margin leaves open is computed in double precision.
 */
#ifndef IMS_CLUSTER_TILES_H
#define IMS_CLUSTER_TILES_H

#include "cluster/cluster.h"

#define IMS_TILE_ROWS ((size_t)256)

struct ims_tiles {
    const struct ims_cluster_job *job;
    float *shift;   /* d: about the mean, taken off before products */
    float *squares; /* n: squared lengths then */
    float margin;
    float *scratch; /* per worker: two tiles of rows, one of products */
    size_t scratch_size;
    size_t count; /* tiles */
};

/* One tile against another: out[i * IMS_TILE_ROWS + j] is within loss(i, j) of the squared distance. */
struct ims_tile {
    size_t first, count;             /* rows of the tile, or of the list */
    size_t other_first, other_count; /* rows compared with */
    const int32_t *rows;             /* numbers of the tile's rows; NULL: first, first + 1, ... */
    float *left, *right, *products;
};

imgsim_status ims_tiles_open(struct ims_tiles *tiles, const struct ims_cluster_job *job);
void ims_tiles_close(struct ims_tiles *tiles);

/* Begin with the item-th tile of all rows, or of a list of `list_count` row numbers. */
void ims_tile_begin(
    const struct ims_tiles *tiles,
    const int32_t *list,
    size_t list_count,
    size_t item,
    uint32_t worker,
    struct ims_tile *tile);
/* Squared distances to the other-th tile of all rows. */
void ims_tile_compare(const struct ims_tiles *tiles, struct ims_tile *tile, size_t other);

static inline size_t ims_tile_row(const struct ims_tile *tile, size_t i)
{
    return tile->rows != NULL ? (size_t)tile->rows[i] : tile->first + i;
}

static inline float ims_tile_loss(const struct ims_tiles *tiles, size_t row, size_t other)
{
    return tiles->margin * (tiles->squares[row] + tiles->squares[other]);
}

/*
 * The `k` nearest rows of every row, or of those of a list, itself counted, in order of (squared distance, row): row i of the
 * outputs, of k values each, belongs to row i or list[i].
 */
imgsim_status ims_nearest_by_tiles(
    const struct ims_tiles *tiles,
    const int32_t *list,
    size_t list_count,
    size_t k,
    int32_t *out_rows,
    double *out_squares);

/* In double precision. */
double ims_row_square(const struct ims_cluster_job *job, size_t a, size_t b);

#endif
