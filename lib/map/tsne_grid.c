/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repulsion in the plane by interpolation on a grid and Fourier transforms: FIt-SNE, Linderman, Rachh, Hoskins, Steinerberger &
 * Kluger, Nature Methods 16, 2019.
 *
 * Departures. The paper convolves two kernels with four charges and takes differences of the results, which cancels many digits
 * and asks for double precision; here one charge, the density, is convolved with the three kernels that are wanted, 1/(1+r^2),
 * x/(1+r^2)^2 and y/(1+r^2)^2, so that single precision is enough. The nodes form one grid across cells, with interpolation by cubic
 * splines, whose filter is taken into the kernels' transforms (Essmann et al., J. Chem. Phys. 103, 1995), instead of three
 * nodes inside each box: more exact at a spacing of 1/2 than theirs at 1/3. The grid's size takes few
 * values, so the transforms of the kernels are computed only when it changes; half of the input and half of the output
 * are known not to matter and are left out.
 */
#include "map/tsne_repulsion.h"

#include "core/memory.h"
#include "map/fft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LANES IMS_FFT_LANES
/* Spacing of the nodes, and the fewest of them across the map: a small map has a finer grid. */
#define SPACING 0.5
#define NODES_LEAST 48
/* Nodes around the map that interpolation needs. */
#define MARGIN 4
/* Rows of the density that one task fills, and points of one task. */
#define STRIP 16
#define POINTS 1024
/* A map wider than this many nodes gets a coarser grid: memory stays bounded. */
#define NODES_MOST 4096

struct ims_grid {
    struct ims_fft fft;
    size_t n;      /* length of the transforms, at least 2 m */
    size_t m;      /* nodes in use on each side */
    size_t blocks; /* of 16 columns of half a spectrum: n / 2 + 1 */
    double spacing;
    double origin[2];      /* of node 0, 0 */
    float near_kernel[16]; /* K1, filtered, at 0 to 3 nodes down and across */
    float *kernels;        /* 3 x blocks x n x 16: real K1, imaginary Kx and Ky, over n^2 */
    float *half;           /* blocks x n x [re, im] x 16: spectrum of the rows */
    float *fields;         /* 3 x blocks x m x [re, im] x 16 */
    float *density;        /* n x n while kernels are made, m x m in use */
    float *potential;      /* m x m x 4: K1, Kx, Ky */
    /* Points in order of their row of cells. */
    uint32_t *order;
    size_t order_room;
    size_t *row_starts; /* m + 1 */
    /* Work of a call. */
    const float *positions;
    size_t count;
    size_t rows; /* of the input of a forward transform */
    float *forces;
    double *totals; /* one per task, or per point */
    bool per_point;
};

imgsim_status ims_grid_new(struct ims_grid **out_grid)
{
    *out_grid = ims_calloc(1, sizeof(**out_grid));
    return *out_grid != NULL ? IMGSIM_OK : ims_fail_memory(sizeof(**out_grid));
}

static void free_arrays(struct ims_grid *grid)
{
    ims_fft_clear(&grid->fft);
    ims_free_aligned(grid->kernels);
    ims_free_aligned(grid->half);
    ims_free_aligned(grid->fields);
    ims_free_aligned(grid->density);
    ims_free_aligned(grid->potential);
    ims_free(grid->row_starts);
    grid->kernels = grid->half = grid->fields = grid->density = grid->potential = NULL;
    grid->row_starts = NULL;
    grid->n = 0;
}

void ims_grid_free(struct ims_grid *grid)
{
    if (grid == NULL)
        return;
    free_arrays(grid);
    ims_free(grid->order);
    ims_free(grid);
}

/* ---- forward: rows, two real ones in a complex one ---- */

static size_t room(const struct ims_grid *grid)
{
    return grid->n * 2 * LANES;
}

/* The rows 2 l and 2 l + 1 after `first` into lane l. */
static void pack_rows(const struct ims_grid *grid, size_t first, float *data)
{
    const size_t stride = grid->rows; /* the input is square */

    memset(data, 0, room(grid) * sizeof(float));
    for (size_t r = 0; r < 2 * LANES && first + r < grid->rows; r++) {
        const float *row = grid->density + (first + r) * stride;
        float *lane = data + (r % 2) * LANES + r / 2;

        for (size_t c = 0; c < stride; c++)
            lane[c * 2 * LANES] = row[c];
    }
}

/* Spectra of two real rows from that of the complex one: (Z_k + conj Z_-k) / 2 and (Z_k - conj Z_-k) / 2i. */
static void unpack_rows(const struct ims_grid *grid, size_t first, const float *data)
{
    const size_t n = grid->n;

    for (size_t k = 0; k <= n / 2; k++) {
        const float *z = data + k * 2 * LANES;
        const float *mirror = data + (k == 0 ? 0 : n - k) * 2 * LANES;
        float *block = grid->half + (k / LANES) * room(grid) + k % LANES;

        for (size_t l = 0; l < LANES && first + 2 * l < grid->rows; l++) {
            float *even = block + (first + 2 * l) * 2 * LANES;
            float *odd = even + 2 * LANES;

            even[0] = 0.5f * (z[l] + mirror[l]);
            even[LANES] = 0.5f * (z[LANES + l] - mirror[LANES + l]);
            if (first + 2 * l + 1 >= grid->rows)
                continue;
            odd[0] = 0.5f * (z[LANES + l] + mirror[LANES + l]);
            odd[LANES] = 0.5f * (mirror[l] - z[l]);
        }
    }
}

static imgsim_status forward_rows(void *context, size_t item, uint32_t worker)
{
    struct ims_grid *grid = context;
    float *data = ims_alloc_aligned(2 * room(grid) * sizeof(float));

    (void)worker;
    if (data == NULL)
        return ims_fail_memory(2 * room(grid) * sizeof(float));
    pack_rows(grid, item * 2 * LANES, data);
    unpack_rows(grid, item * 2 * LANES, ims_fft_run(&grid->fft, data, data + room(grid), 0));
    ims_free_aligned(data);
    return IMGSIM_OK;
}

/* ---- columns: forward, times a kernel, back ---- */

/* Copy what the rows left of a block of columns; below it is 0. */
static void load_columns(const struct ims_grid *grid, size_t block, float *data)
{
    const size_t used = grid->rows * 2 * LANES;

    memcpy(data, grid->half + block * room(grid), used * sizeof(float));
    memset(data + used, 0, (room(grid) - used) * sizeof(float));
}

static imgsim_status kernel_columns(void *context, size_t item, uint32_t worker)
{
    struct ims_grid *grid = context;
    float *data = ims_alloc_aligned(2 * room(grid) * sizeof(float));
    const float *result;

    (void)worker;
    if (data == NULL)
        return ims_fail_memory(2 * room(grid) * sizeof(float));
    load_columns(grid, item, data);
    result = ims_fft_run(&grid->fft, data, data + room(grid), 0);
    memcpy(grid->half + item * room(grid), result, room(grid) * sizeof(float));
    ims_free_aligned(data);
    return IMGSIM_OK;
}

/* The spectrum times a real kernel (K1), or times an imaginary one (Kx, Ky). */
static void apply_kernel(
    const float *restrict spectrum,
    const float *restrict kernel,
    size_t n,
    bool turns,
    float *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        const float *in = spectrum + i * 2 * LANES, *factor = kernel + i * LANES;
        float *to = out + i * 2 * LANES;

        if (turns)
            for (size_t l = 0; l < LANES; l++) {
                to[l] = -in[LANES + l] * factor[l];
                to[LANES + l] = in[l] * factor[l];
            }
        else
            for (size_t l = 0; l < LANES; l++) {
                to[l] = in[l] * factor[l];
                to[LANES + l] = in[LANES + l] * factor[l];
            }
    }
}

static imgsim_status convolve_columns(void *context, size_t item, uint32_t worker)
{
    struct ims_grid *grid = context;
    float *data = ims_alloc_aligned(4 * room(grid) * sizeof(float));
    const size_t used = grid->m * 2 * LANES;
    const float *spectrum;
    float *spare;

    (void)worker;
    if (data == NULL)
        return ims_fail_memory(4 * room(grid) * sizeof(float));
    load_columns(grid, item, data);
    spectrum = ims_fft_run(&grid->fft, data, data + room(grid), 0);
    spare = data + 2 * room(grid);
    for (size_t f = 0; f < 3; f++) {
        const float *result;

        apply_kernel(
            spectrum, grid->kernels + (f * grid->blocks + item) * grid->n * LANES, grid->n, f > 0,
            spare);
        result = ims_fft_run(&grid->fft, spare, spare + room(grid), 1);
        memcpy(grid->fields + (f * grid->blocks + item) * used, result, used * sizeof(float));
    }
    ims_free_aligned(data);
    return IMGSIM_OK;
}

/* ---- back: rows ---- */

/* Two rows of half spectra of real rows as one complex spectrum: A + i B, and its mirror conj A + i conj B. */
static void pack_spectra(const struct ims_grid *grid, size_t field, size_t first, float *data)
{
    const size_t n = grid->n, used = grid->m * 2 * LANES;

    for (size_t k = 0; k <= n / 2; k++) {
        const float *block = grid->fields + (field * grid->blocks + k / LANES) * used + k % LANES;
        float *z = data + k * 2 * LANES;
        float *mirror = data + (k == 0 ? 0 : n - k) * 2 * LANES;

        for (size_t l = 0; l < LANES; l++) {
            const size_t row = first + 2 * l;
            const float *a = block + (row < grid->m ? row : 0) * 2 * LANES;
            const float *b = block + (row + 1 < grid->m ? row + 1 : 0) * 2 * LANES;
            const float a_re = a[0], a_im = a[LANES], b_re = b[0], b_im = b[LANES];

            mirror[l] = a_re + b_im;
            mirror[LANES + l] = b_re - a_im;
            z[l] = a_re - b_im;
            z[LANES + l] = a_im + b_re;
        }
    }
}

static imgsim_status inverse_rows(void *context, size_t item, uint32_t worker)
{
    struct ims_grid *grid = context;
    const size_t m = grid->m, tasks = (m + 2 * LANES - 1) / (2 * LANES);
    const size_t field = item / tasks, first = item % tasks * 2 * LANES;
    float *data = ims_alloc_aligned(2 * room(grid) * sizeof(float));
    const float *result;

    (void)worker;
    if (data == NULL)
        return ims_fail_memory(2 * room(grid) * sizeof(float));
    pack_spectra(grid, field, first, data);
    result = ims_fft_run(&grid->fft, data, data + room(grid), 1);
    for (size_t r = 0; r < 2 * LANES && first + r < m; r++) {
        const float *lane = result + (r % 2) * LANES + r / 2;
        float *row = grid->potential + (first + r) * m * 4 + field;

        for (size_t c = 0; c < m; c++)
            row[c * 4] = lane[c * 2 * LANES];
    }
    ims_free_aligned(data);
    return IMGSIM_OK;
}

/* ---- kernels ---- */

/* Kernel `field` at the differences of nodes, those below 0 wrapped around. */
static void fill_kernel(const struct ims_grid *grid, int field)
{
    const size_t n = grid->n;

    for (size_t r = 0; r < n; r++)
        for (size_t c = 0; c < n; c++) {
            const double x = (c <= n / 2 ? (double)c : (double)c - (double)n) * grid->spacing;
            const double y = (r <= n / 2 ? (double)r : (double)r - (double)n) * grid->spacing;
            const double q = 1.0 / (1.0 + x * x + y * y);
            /* Half way round a difference has no sign. */
            const double odd_x = c == n / 2 ? 0.0 : x, odd_y = r == n / 2 ? 0.0 : y;

            grid->density[r * n + c] =
                (float)(field == 0 ? q : (field == 1 ? odd_x : odd_y) * q * q);
        }
}

/*
 * Splines through given values have other coefficients than the values: those are the values divided, in the transform, by that of
 * 1/6, 4/6, 1/6. Here it counts twice, for spreading and for gathering.
 */
static double spline_filter(size_t k, size_t n)
{
    const double once = (2.0 + cos(2.0 * M_PI * (double)k / (double)n)) / 3.0;

    return once * once;
}

/* Values of 1 / (1/6, 4/6, 1/6) applied twice, at 0 to NEAR nodes either way: sqrt 3 (sqrt 3 - 2)^|i| once. */
#define NEAR 20

static void fill_near_kernel(struct ims_grid *grid)
{
    const double ratio = sqrt(3.0) - 2.0;
    double twice[2 * NEAR + 1] = {0.0};

    for (int i = -NEAR; i <= NEAR; i++)
        for (int j = -2 * NEAR; j <= 2 * NEAR; j++)
            twice[i + NEAR] += 3.0 * pow(ratio, abs(j)) * pow(ratio, abs(i - j));
    for (int at = 0; at < 16; at++) {
        double sum = 0.0;

        for (int i = -NEAR; i <= NEAR; i++)
            for (int j = -NEAR; j <= NEAR; j++) {
                const double y = (at / 4 - i) * grid->spacing, x = (at % 4 - j) * grid->spacing;

                sum += twice[i + NEAR] * twice[j + NEAR] / (1.0 + x * x + y * y);
            }
        grid->near_kernel[at] = (float)sum;
    }
}

static imgsim_status make_kernels(struct ims_grid *grid, struct ims_pool *pool)
{
    const size_t n = grid->n;
    const double scale = 1.0 / ((double)n * (double)n);
    imgsim_status status;

    grid->rows = n;
    fill_near_kernel(grid);
    for (int field = 0; field < 3; field++) {
        fill_kernel(grid, field);
        if ((status = ims_pool_run(pool, (n + 2 * LANES - 1) / (2 * LANES), forward_rows, grid)) !=
                IMGSIM_OK ||
            (status = ims_pool_run(pool, grid->blocks, kernel_columns, grid)) != IMGSIM_OK)
            return status;
        for (size_t i = 0; i < grid->blocks * n; i++)
            for (size_t l = 0; l < LANES; l++) {
                const double filter = spline_filter(i / n * LANES + l, n) * spline_filter(i % n, n);

                grid->kernels[((size_t)field * grid->blocks * n + i) * LANES + l] =
                    (float)(scale / filter) *
                    grid->half[i * 2 * LANES + (field > 0 ? LANES : 0) + l];
            }
    }
    return IMGSIM_OK;
}

static imgsim_status resize(struct ims_grid *grid, struct ims_pool *pool, size_t n, double spacing)
{
    imgsim_status status;
    size_t m = n / 2;

    free_arrays(grid);
    if ((status = ims_fft_init(&grid->fft, n)) != IMGSIM_OK)
        return status;
    grid->m = m;
    grid->blocks = (n / 2 + LANES) / LANES;
    grid->spacing = spacing;
    grid->kernels = ims_alloc_aligned(3 * grid->blocks * n * LANES * sizeof(float));
    grid->half = ims_alloc_aligned(grid->blocks * n * 2 * LANES * sizeof(float));
    grid->fields = ims_alloc_aligned(3 * grid->blocks * m * 2 * LANES * sizeof(float));
    grid->density = ims_alloc_aligned(n * n * sizeof(float));
    grid->potential = ims_alloc_aligned(m * m * 4 * sizeof(float));
    grid->row_starts = ims_alloc_array(m + 1, sizeof(size_t));
    if (grid->kernels == NULL || grid->half == NULL || grid->fields == NULL ||
        grid->density == NULL || grid->potential == NULL || grid->row_starts == NULL)
        return ims_fail_memory(n * n * 16);
    /* The last block's columns beyond n / 2 are never written by the rows. */
    memset(grid->half, 0, grid->blocks * n * 2 * LANES * sizeof(float));
    memset(grid->potential, 0, m * m * 4 * sizeof(float));
    grid->n = n;
    if ((status = make_kernels(grid, pool)) != IMGSIM_OK)
        grid->n = 0;
    return status;
}

/* ---- points ---- */

/* Weights of the nodes at -1, 0, 1 and 2 for a place t beyond node 0: the cubic B-spline. */
static void node_weights(float t, float out[4])
{
    const float s = 1.0f - t;

    out[0] = s * s * s / 6.0f;
    out[1] = (4.0f - 6.0f * t * t + 3.0f * t * t * t) / 6.0f;
    out[2] = (4.0f - 6.0f * s * s + 3.0f * s * s * s) / 6.0f;
    out[3] = t * t * t / 6.0f;
}

/* Cell of a place along one axis, the place within it in *out_t; outside the grid, its edge. */
static size_t find_cell(const struct ims_grid *grid, float position, int axis, float *out_t)
{
    const double at = ((double)position - grid->origin[axis]) / grid->spacing;
    const double most = (double)grid->m - 3.0;
    const double inside = at < 1.0 ? 1.0 : (at > most ? most : at);
    const size_t cell = (size_t)inside;

    *out_t = (float)(inside - (double)cell);
    return cell;
}

static void sort_points(struct ims_grid *grid)
{
    float t;

    memset(grid->row_starts, 0, (grid->m + 1) * sizeof(size_t));
    for (size_t i = 0; i < grid->count; i++)
        grid->row_starts[find_cell(grid, grid->positions[i * 2 + 1], 1, &t) + 1]++;
    for (size_t r = 0; r < grid->m; r++)
        grid->row_starts[r + 1] += grid->row_starts[r];
    for (size_t i = 0; i < grid->count; i++)
        grid->order[grid->row_starts[find_cell(grid, grid->positions[i * 2 + 1], 1, &t)]++] =
            (uint32_t)i;
    for (size_t r = grid->m; r > 0; r--)
        grid->row_starts[r] = grid->row_starts[r - 1];
    grid->row_starts[0] = 0;
}

/* Spread the points onto a strip of rows: those of its cells and of the cells next to it. */
static imgsim_status spread_strip(void *context, size_t item, uint32_t worker)
{
    struct ims_grid *grid = context;
    const size_t m = grid->m, first = item * STRIP;
    const size_t end = first + STRIP < m ? first + STRIP : m;
    const size_t from = first > 2 ? first - 2 : 0, to = end + 1 < m ? end + 1 : m;

    (void)worker;
    memset(grid->density + first * m, 0, (end - first) * m * sizeof(float));
    for (size_t i = grid->row_starts[from]; i < grid->row_starts[to]; i++) {
        const float *y = grid->positions + (size_t)grid->order[i] * 2;
        float t[2], across[4], down[4];
        const size_t column = find_cell(grid, y[0], 0, &t[0]) - 1;
        const size_t row = find_cell(grid, y[1], 1, &t[1]) - 1;

        node_weights(t[0], across);
        node_weights(t[1], down);
        for (size_t r = 0; r < 4; r++)
            if (row + r >= first && row + r < end)
                for (size_t c = 0; c < 4; c++)
                    grid->density[(row + r) * m + column + c] += down[r] * across[c];
    }
    return IMGSIM_OK;
}

/*
 * What interpolation makes of a point's own part, which is 1: the weights' correlation with themselves, at 0 to 3 nodes either
 * way, with the kernel there.
 */
static float own_part(const struct ims_grid *grid, const float across[4], const float down[4])
{
    float x[4] = {0.0f}, y[4] = {0.0f}, sum = 0.0f;

    for (size_t shift = 0; shift < 4; shift++)
        for (size_t i = 0; i + shift < 4; i++) {
            x[shift] += (shift > 0 ? 2.0f : 1.0f) * across[i] * across[i + shift];
            y[shift] += (shift > 0 ? 2.0f : 1.0f) * down[i] * down[i + shift];
        }
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++)
            sum += y[i] * x[j] * grid->near_kernel[i * 4 + j];
    return sum;
}

static imgsim_status gather_points(void *context, size_t item, uint32_t worker)
{
    struct ims_grid *grid = context;
    const size_t m = grid->m, first = item * POINTS;
    const size_t end = first + POINTS < grid->count ? first + POINTS : grid->count;
    double total = 0.0;

    (void)worker;
    for (size_t i = first; i < end; i++) {
        const float *y = grid->positions + i * 2;
        float t[2], across[4], down[4], sums[4] = {0.0f};
        const size_t column = find_cell(grid, y[0], 0, &t[0]) - 1;
        const size_t row = find_cell(grid, y[1], 1, &t[1]) - 1;

        node_weights(t[0], across);
        node_weights(t[1], down);
        for (size_t r = 0; r < 4; r++) {
            const float *nodes = grid->potential + ((row + r) * m + column) * 4;

            for (size_t c = 0; c < 4; c++)
                for (size_t f = 0; f < 4; f++)
                    sums[f] += down[r] * across[c] * nodes[c * 4 + f];
        }
        if (!grid->per_point)
            total += (double)sums[0] - own_part(grid, across, down);
        grid->forces[i * 2] = sums[1];
        grid->forces[i * 2 + 1] = sums[2];
        if (grid->per_point)
            grid->totals[i] = sums[0];
    }
    if (!grid->per_point)
        grid->totals[item] = total;
    return IMGSIM_OK;
}

/* ---- all together ---- */

/* Size and place of the grid for these points: the spacing goes down in steps of the root of 2 where the map is small. */
static imgsim_status fit_grid(struct ims_grid *grid, struct ims_pool *pool)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY}, span;
    double spacing = SPACING;
    imgsim_status status;
    size_t n;

    for (size_t i = 0; i < grid->count; i++)
        for (int axis = 0; axis < 2; axis++) {
            low[axis] = fmin(low[axis], grid->positions[i * 2 + axis]);
            high[axis] = fmax(high[axis], grid->positions[i * 2 + axis]);
        }
    span = fmax(fmax(high[0] - low[0], high[1] - low[1]), 1e-12);
    while (span / spacing < NODES_LEAST)
        spacing *= M_SQRT1_2;
    while (span / spacing > NODES_MOST)
        spacing *= M_SQRT2;
    n = ims_fft_length(2 * ((size_t)ceil(span / spacing) + 2 * MARGIN));
    if ((grid->n != n || grid->spacing != spacing) &&
        (status = resize(grid, pool, n, spacing)) != IMGSIM_OK)
        return status;
    for (int axis = 0; axis < 2; axis++)
        grid->origin[axis] =
            (low[axis] + high[axis]) / 2.0 - spacing * ((double)grid->m - 1.0) / 2.0;
    return IMGSIM_OK;
}

static imgsim_status convolve(struct ims_grid *grid, struct ims_pool *pool)
{
    const size_t m = grid->m, row_tasks = (m + 2 * LANES - 1) / (2 * LANES);
    imgsim_status status;

    grid->rows = m;
    if ((status = ims_pool_run(pool, (m + STRIP - 1) / STRIP, spread_strip, grid)) != IMGSIM_OK ||
        (status = ims_pool_run(pool, row_tasks, forward_rows, grid)) != IMGSIM_OK ||
        (status = ims_pool_run(pool, grid->blocks, convolve_columns, grid)) != IMGSIM_OK)
        return status;
    return ims_pool_run(pool, 3 * row_tasks, inverse_rows, grid);
}

imgsim_status ims_grid_repulsion(
    struct ims_grid *grid,
    struct ims_pool *pool,
    const float *positions,
    size_t count,
    float *out_forces,
    double *out_total)
{
    const size_t tasks = (count + POINTS - 1) / POINTS;
    double *totals = ims_alloc_array(tasks, sizeof(double));
    imgsim_status status;

    *out_total = 0.0;
    if (totals == NULL ||
        !ims_grow((void **)&grid->order, &grid->order_room, count, sizeof(uint32_t))) {
        ims_free(totals);
        return ims_fail_memory(count * sizeof(uint32_t));
    }
    grid->positions = positions;
    grid->count = count;
    grid->forces = out_forces;
    grid->totals = totals;
    grid->per_point = false;
    if ((status = fit_grid(grid, pool)) != IMGSIM_OK)
        goto done;
    sort_points(grid);
    if ((status = convolve(grid, pool)) != IMGSIM_OK ||
        (status = ims_pool_run(pool, tasks, gather_points, grid)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < tasks; i++)
        *out_total += totals[i];

done:
    ims_free(totals);
    return status;
}

imgsim_status ims_grid_fields_at(
    struct ims_grid *grid,
    struct ims_pool *pool,
    const float *positions,
    size_t count,
    float *out_forces,
    double *out_totals)
{
    grid->positions = positions;
    grid->count = count;
    grid->forces = out_forces;
    grid->totals = out_totals;
    grid->per_point = true;
    return ims_pool_run(pool, (count + POINTS - 1) / POINTS, gather_points, grid);
}
