/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loops themselves, compiled once per instruction set: the including file defines IMS_MAP_SET and IMS_MAP_SET_NAME. Written in
 * lanes of 16, which the compiler turns into the vectors of the set.
 */
#include "map/map_kernels.h"

#include <math.h>
#include <string.h>

#define LANES IMS_LANES
#define INLINE static inline __attribute__((always_inline))

/* ---- elementary functions ---- */

INLINE int32_t bits_of(float value)
{
    int32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

INLINE float from_bits(int32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/*
 * log2 x, x positive and normal. x = 2^e m with m in [sqrt 1/2, sqrt 2); with s = (m - 1) / (m + 1), |s| <= 0.172,
 * log2 m = 2 / ln 2 (s + s^3/3 + s^5/5 + s^7/7 + ...): the first term left out is below 1e-8.
 */
INLINE float log2_of(float x)
{
    const int32_t bits = bits_of(x);
    const int32_t shifted = bits - 0x3f3504f3; /* sqrt 1/2 */
    const int32_t exponent = shifted >> 23;
    const float m = from_bits(bits - (int32_t)((uint32_t)exponent << 23));
    const float s = (m - 1.0f) / (m + 1.0f);
    const float s2 = s * s;
    const float series =
        s * (2.8853900818f + s2 * (0.9617966939f + s2 * (0.5770780164f + s2 * 0.4121985831f)));

    return (float)exponent + series;
}

/* 2^x by Taylor's series on [-1/2, 1/2]: the first term left out is below 2e-7. x is cut to +-125. */
INLINE float exp2_of(float x)
{
    const float cut = x < -125.0f ? -125.0f : (x > 125.0f ? 125.0f : x);
    const float shifted = cut + 12582912.0f; /* 1.5 * 2^23: rounds to the nearest integer */
    const int32_t whole = bits_of(shifted) - 0x4b400000;
    const float r = cut - (shifted - 12582912.0f);
    const float series =
        1.0f + r * (0.6931471806f +
                    r * (0.2402265070f +
                         r * (0.0555041087f +
                              r * (0.0096181291f + r * (0.0013333558f + r * 0.0001540353f)))));

    return series * from_bits((whole + 127) << 23);
}

INLINE float power_of(float x, float exponent)
{
    return exp2_of(exponent * log2_of(x));
}

static void power(const float *values, float exponent, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = power_of(values[i], exponent);
}

/*
 * x^b for forces, relative error at most 3e-4 for b up to 1.5: polynomials of least largest error for log2 m, m in [sqrt 1/2, sqrt 2),
 * and for 2^r, r in [-1/2, 1/2], in pairs, as the steps of a layout wait for one another.
 */
INLINE float rough_power_of(float x, float exponent)
{
    const int32_t bits = bits_of(x);
    const int32_t whole = (bits - 0x3f3504f3) >> 23;
    const float t = from_bits(bits - (int32_t)((uint32_t)whole << 23)) - 1.0f;
    const float series =
        (1.4417606483f - 0.7249041616f * t) + t * t * (0.5175093903f - 0.3296297200f * t);
    const float power = exponent * ((float)whole + t * series);
    const float above = power > -125.0f ? power : -125.0f;
    const float cut = above < 125.0f ? above : 125.0f;
    const float shifted = cut + 12582912.0f;
    const float r = cut - (shifted - 12582912.0f);
    const float scale = from_bits((bits_of(shifted) - 0x4b400000 + 127) << 23);

    return ((0.9999280736f + 0.6932609858f * r) + r * r * (0.2426111221f + 0.0551716672f * r)) *
           scale;
}

INLINE float clip_to(float most, float value)
{
    const float above = value > -most ? value : -most;

    return above < most ? above : most;
}

INLINE float clip(float value)
{
    return clip_to(4.0f, value);
}

/* ---- candidates of a neighbour graph ---- */

static size_t filter(
    const float *dots,
    const float *norms,
    size_t count,
    float bound,
    uint32_t *out_positions,
    float *out_keys)
{
    size_t found = 0;
    size_t j = 0;

    for (; j + LANES <= count; j += LANES) {
        float keys[LANES];
        int32_t any = 0;

        for (int l = 0; l < LANES; l++)
            keys[l] = norms[j + l] - 2.0f * dots[j + l];
        for (int l = 0; l < LANES; l++)
            any |= keys[l] < bound;
        if (!any)
            continue;
        for (int l = 0; l < LANES; l++) {
            out_positions[found] = (uint32_t)(j + l);
            out_keys[found] = keys[l];
            found += keys[l] < bound;
        }
    }
    for (; j < count; j++) {
        const float key = norms[j] - 2.0f * dots[j];

        out_positions[found] = (uint32_t)j;
        out_keys[found] = key;
        found += key < bound;
    }
    return found;
}

static int32_t dot_fixed(const int16_t *a, const int16_t *b, size_t count)
{
    int32_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += (int32_t)a[i] * b[i];
    return sum;
}

/* ---- UMAP ---- */

INLINE uint32_t scramble(uint32_t h)
{
    /* The finaliser of MurmurHash3 (Appleby, public domain). */
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    h ^= h >> 16;
    return h;
}

/*
 * Whether an edge pulls in this epoch: its phase, the same at both ends, advances by its rate, and it pulls when that
 * passes 2^32.
 */
INLINE uint32_t fires(uint32_t i, uint32_t j, uint32_t rate, uint32_t epoch)
{
    const uint32_t phase = scramble((i + j) * 0x9e3779b1u ^ (i ^ j));
    const uint32_t before = phase + rate * epoch;

    return ((uint32_t)(before + rate) < rate) | (rate == UINT32_MAX);
}

/* Coordinates of points, in lanes; two of them are read as one. */
INLINE void gather(
    const float *restrict positions,
    uint32_t dimension,
    const uint32_t *restrict points,
    float (*restrict out)[LANES])
{
    if (dimension == 2) {
        float pairs[2 * LANES];

        for (int l = 0; l < LANES; l++)
            memcpy(pairs + 2 * l, positions + (size_t)points[l] * 2, 2 * sizeof(float));
        for (int l = 0; l < LANES; l++) {
            out[0][l] = pairs[2 * l];
            out[1][l] = pairs[2 * l + 1];
        }
        return;
    }
    for (uint32_t c = 0; c < dimension; c++)
        for (int l = 0; l < LANES; l++)
            out[c][l] = positions[(int32_t)(points[l] * dimension + c)];
}

/* x^b in lanes, as forces need it. */
INLINE void power_lanes(float b, const float *restrict x, float *restrict out)
{
    if (b == 1.0f)
        for (int l = 0; l < LANES; l++)
            out[l] = x[l];
    else
        for (int l = 0; l < LANES; l++)
            out[l] = rough_power_of(x[l], b);
}

/*
 * The pull of one edge on each of 16 points: -2ab r^(2b-2) / (1 + a r^2b) (y_i - y_j), each coordinate cut to +-4. Both ends move
 * in UMAP, and each edge stands in both lists, so this end moves twice as far. A point that is its own other end stays.
 */
INLINE void pull_lanes(
    const struct ims_umap_step *step,
    uint32_t dimension,
    const uint32_t *own,
    const uint32_t *other,
    float (*y)[LANES])
{
    const float numerator = -2.0f * step->a * step->b, twice = 2.0f * step->alpha, a = step->a;
    float square[LANES] = {0.0f}, safe[LANES], power_b[LANES], factor[LANES];
    float delta[3][LANES], there[3][LANES];

    gather(step->positions, dimension, other, there);
    for (uint32_t c = 0; c < dimension; c++) {
        for (int l = 0; l < LANES; l++) {
            delta[c][l] = y[c][l] - there[c][l];
            square[l] += delta[c][l] * delta[c][l];
        }
    }
    for (int l = 0; l < LANES; l++)
        safe[l] = square[l] > 1e-30f ? square[l] : 1.0f;
    power_lanes(step->b, safe, power_b);
    for (int l = 0; l < LANES; l++)
        factor[l] = numerator * power_b[l] / (safe[l] * (1.0f + a * power_b[l]));
    for (int l = 0; l < LANES; l++)
        factor[l] = other[l] == own[l] ? 0.0f : factor[l];
    for (int l = 0; l < LANES; l++)
        factor[l] = square[l] > 1e-30f ? factor[l] : 0.0f;
    for (uint32_t c = 0; c < dimension; c++)
        for (int l = 0; l < LANES; l++)
            y[c][l] += twice * clip(factor[l] * delta[c][l]);
}

/* Halves are added to each other: 4 additions after one another, not 16. */
INLINE float sum_lanes(const float *values)
{
    typedef float eight __attribute__((vector_size(32)));
    typedef float four __attribute__((vector_size(16)));
    eight low, high;
    four quarters[2];

    memcpy(&low, values, sizeof(low));
    memcpy(&high, values + LANES / 2, sizeof(high));
    low += high;
    memcpy(quarters, &low, sizeof(quarters));
    quarters[0] += quarters[1];
    return (quarters[0][0] + quarters[0][2]) + (quarters[0][1] + quarters[0][3]);
}

/*
 * The push of `slots` strangers, drawn by a hash of epoch, vertex and slot: 2b / ((0.001 + r^2) (1 + a r^2b)) (y_i - y_k). All are
 * seen from the same place and move the point no farther together than one may of every sixteen: one of a crowd that pushes
 * first would have moved it out of the others' reach.
 */
INLINE void push(
    const struct ims_umap_step *step,
    uint32_t dimension,
    uint32_t vertex,
    uint32_t slots,
    float *y)
{
    const uint32_t base = step->salt ^ (vertex * 0x9e3779b9u);
    const float numerator = 2.0f * step->repulsion * step->b;
    const float most = 4.0f * (float)(slots / LANES);
    float sums[3][LANES] = {{0.0f}};

    for (uint32_t slot = 0; slot < slots; slot += LANES) {
        uint32_t other[LANES];
        float square[LANES], safe[LANES], power_b[LANES], factor[LANES];
        float delta[3][LANES], there[3][LANES];

        for (int l = 0; l < LANES; l++)
            other[l] =
                (uint32_t)(((uint64_t)scramble(base + (slot + (uint32_t)l) * 0x85ebca77u) * step->count) >> 32);
        for (int l = 0; l < LANES; l++)
            square[l] = 0.0f;
        gather(step->positions, dimension, other, there);
        for (uint32_t c = 0; c < dimension; c++) {
            for (int l = 0; l < LANES; l++) {
                delta[c][l] = y[c] - there[c][l];
                square[l] += delta[c][l] * delta[c][l];
            }
        }
        for (int l = 0; l < LANES; l++)
            safe[l] = square[l] > 1e-30f ? square[l] : 1.0f;
        power_lanes(step->b, safe, power_b);
        for (int l = 0; l < LANES; l++)
            factor[l] = numerator / ((0.001f + safe[l]) * (1.0f + step->a * power_b[l]));
        for (int l = 0; l < LANES; l++)
            factor[l] = other[l] == vertex ? 0.0f : factor[l];
        for (int l = 0; l < LANES; l++)
            factor[l] = square[l] > 1e-30f ? factor[l] : 0.0f;
        for (uint32_t c = 0; c < dimension; c++)
            for (int l = 0; l < LANES; l++)
                sums[c][l] += clip(factor[l] * delta[c][l]);
    }
    for (uint32_t c = 0; c < dimension; c++)
        y[c] += step->alpha * clip_to(most, sum_lanes(sums[c]));
}

/* So many strangers, in whole vectors, that no lane stays idle: up or down by chance, on average as many as wanted. */
INLINE uint32_t whole_vectors(const struct ims_umap_step *step, uint32_t vertex, uint32_t slots)
{
    const uint32_t chance = scramble(step->salt + vertex * 0xc2b2ae35u) % LANES;

    return (slots + chance) / LANES * LANES;
}

/* Pulls of each of 16 points that are collected before they are done. */
#define ROUND 32

/*
 * The next edges of a vertex up to `last` that pull in this epoch, at most ROUND, into lane `lane`; returns how many. Whether is
 * found for LANES of them at a time, those of the vertices after it among them.
 */
INLINE uint32_t collect(
    const struct ims_umap_step *step,
    uint32_t vertex,
    uint64_t *cursor,
    uint64_t last,
    int lane,
    uint32_t (*fired)[LANES])
{
    uint32_t count = 0, pulls[LANES];
    uint64_t e = *cursor;

    for (; e < last && count + LANES <= ROUND; e += LANES) {
        const uint32_t *targets = step->targets + e, *rates = step->rates + e;
        const int left = last - e < LANES ? (int)(last - e) : LANES;

        for (int l = 0; l < LANES; l++)
            pulls[l] = fires(vertex, targets[l], rates[l], step->epoch);
        for (int l = 0; l < left; l++) {
            fired[count][lane] = targets[l];
            count += pulls[l];
        }
    }
    *cursor = e;
    return count;
}

/* Move up to 16 points, whose pulls are done side by side: the first of each, the second of each, and so on. */
INLINE void move_group(
    const struct ims_umap_step *step,
    uint32_t dimension,
    const uint32_t *vertices,
    const uint64_t *starts,
    size_t count,
    float *moved)
{
    uint32_t fired[ROUND + 1][LANES], pulls[LANES] = {0};
    uint64_t cursors[LANES];
    float y[3][LANES], own[3];
    int busy = 1;

    for (size_t l = 0; l < LANES; l++)
        for (uint32_t c = 0; c < dimension; c++)
            y[c][l] = step->positions[(size_t)vertices[l] * dimension + c];
    for (size_t l = 0; l < count; l++)
        cursors[l] = starts[l];
    while (busy) {
        uint32_t most = 0;

        busy = 0;
        for (uint32_t s = 0; s < ROUND; s++)
            memcpy(fired[s], vertices, sizeof(fired[s]));
        for (size_t l = 0; l < count; l++) {
            const uint32_t found =
                collect(step, vertices[l], &cursors[l], starts[l + 1], (int)l, fired);

            fired[found][l] = vertices[l]; /* what a test that failed has left */
            most = found > most ? found : most;
            pulls[l] += found;
            busy |= cursors[l] < starts[l + 1];
        }
        for (uint32_t s = 0; s < most; s++)
            pull_lanes(step, dimension, vertices, fired[s], y);
    }
    for (size_t l = 0; l < count; l++) {
        for (uint32_t c = 0; c < dimension; c++)
            own[c] = y[c][l];
        push(
            step, dimension, vertices[l],
            whole_vectors(step, vertices[l], pulls[l] * step->negatives), own);
        for (uint32_t c = 0; c < dimension; c++)
            moved[l * dimension + c] = own[c];
    }
}

INLINE void move_vertices(
    const struct ims_umap_step *step,
    uint32_t dimension,
    size_t first,
    size_t stride,
    size_t begin,
    size_t end,
    float *moved)
{
    for (size_t i = begin; i < end; i += LANES) {
        const size_t count = end - i < LANES ? end - i : LANES;
        uint32_t vertices[LANES];

        for (size_t l = 0; l < LANES; l++)
            vertices[l] = (uint32_t)(first + (l < count ? i + l : i) * stride);
        move_group(step, dimension, vertices, step->starts + i, count, moved + i * dimension);
    }
}

static void umap_move(
    const struct ims_umap_step *step,
    size_t first,
    size_t stride,
    size_t begin,
    size_t end,
    float *moved)
{
    if (step->dimension == 2)
        move_vertices(step, 2, first, stride, begin, end, moved);
    else
        move_vertices(step, 3, first, stride, begin, end, moved);
}

/* ---- t-SNE: attraction ---- */

INLINE double attract(
    const struct ims_tsne_edges *edges,
    uint32_t dimension,
    size_t begin,
    size_t end,
    int divergence,
    float *out)
{
    double total = 0.0;

    for (size_t i = begin; i < end; i++) {
        const float *y = edges->positions + i * dimension;
        const uint64_t last = edges->starts[i + 1];
        float sums[3][LANES] = {{0.0f}};
        float logs[LANES] = {0.0f};

        for (uint64_t e = edges->starts[i]; e < last; e += LANES) {
            const int count = last - e < LANES ? (int)(last - e) : LANES;
            float factor[LANES], square[LANES], weight[LANES];
            float delta[3][LANES], there[3][LANES];
            uint32_t other[LANES];

            if (count == LANES) {
                for (int l = 0; l < LANES; l++) {
                    other[l] = edges->targets[e + (uint64_t)l];
                    weight[l] = edges->weights[e + (uint64_t)l];
                }
            } else {
                for (int l = 0; l < LANES; l++) {
                    other[l] = l < count ? edges->targets[e + (uint64_t)l] : 0;
                    weight[l] = l < count ? edges->weights[e + (uint64_t)l] : 0.0f;
                }
            }
            for (int l = 0; l < LANES; l++)
                square[l] = 1.0f;
            gather(edges->positions, dimension, other, there);
            for (uint32_t c = 0; c < dimension; c++) {
                for (int l = 0; l < LANES; l++) {
                    delta[c][l] = y[c] - there[c][l];
                    square[l] += delta[c][l] * delta[c][l];
                }
            }
            for (int l = 0; l < LANES; l++)
                factor[l] = weight[l] / square[l];
            for (uint32_t c = 0; c < dimension; c++)
                for (int l = 0; l < LANES; l++)
                    sums[c][l] += factor[l] * delta[c][l];
            if (divergence)
                for (int l = 0; l < LANES; l++)
                    logs[l] += weight[l] * log2_of(square[l]);
        }
        for (uint32_t c = 0; c < dimension; c++) {
            float sum = 0.0f;

            for (int l = 0; l < LANES; l++)
                sum += sums[c][l];
            out[(i - begin) * dimension + c] = sum;
        }
        for (int l = 0; l < LANES; l++)
            total += (double)logs[l];
    }
    return total * 0.69314718055994530942;
}

static double tsne_attract(
    const struct ims_tsne_edges *edges,
    size_t begin,
    size_t end,
    int divergence,
    float *out)
{
    return edges->dimension == 2 ? attract(edges, 2, begin, end, divergence, out)
                                 : attract(edges, 3, begin, end, divergence, out);
}

/* ---- t-SNE: repulsion in space ---- */

/* Add the field of one charge, or of a cell of them. */
INLINE void add_charge(
    const float *place,
    float mass,
    float (*restrict y)[LANES],
    float (*restrict fields)[LANES])
{
    for (int l = 0; l < LANES; l++) {
        const float dx = y[0][l] - place[0], dy = y[1][l] - place[1], dz = y[2][l] - place[2];
        const float q = 1.0f / (1.0f + (dx * dx + dy * dy + dz * dz));
        const float mass_q = mass * q, force = mass_q * q;

        fields[0][l] += force * dx;
        fields[1][l] += force * dy;
        fields[2][l] += force * dz;
        fields[3][l] += mass_q;
    }
}

/* Whether a cell is near enough to any of the places that it has to be opened. */
INLINE int too_near(const struct ims_bh_cell *cell, float (*y)[LANES])
{
    int32_t near = 0;

    for (int l = 0; l < LANES; l++) {
        const float dx = y[0][l] - cell->centre[0], dy = y[1][l] - cell->centre[1],
                    dz = y[2][l] - cell->centre[2];

        near |= dx * dx + dy * dy + dz * dz < cell->reach;
    }
    return near;
}

static void tree_walk(
    const struct ims_bh_cell *cells,
    size_t cell_count,
    const float *charges,
    float (*y)[LANES],
    float (*fields)[LANES])
{
    size_t at = 0;

    memset(fields, 0, 4 * LANES * sizeof(float));
    while (at < cell_count) {
        const struct ims_bh_cell *cell = &cells[at];

        if (!too_near(cell, y)) {
            add_charge(cell->centre, cell->mass, y, fields);
            at = cell->skip;
        } else if (cell->leaf > 0) {
            for (uint32_t i = 0; i < cell->leaf; i++)
                add_charge(charges + (size_t)(cell->first + i) * 3, 1.0f, y, fields);
            at = cell->skip;
        } else {
            at++;
        }
    }
}

/* ---- quality ---- */

static void low_distances(
    const float *const *columns,
    uint32_t dimension,
    const float *point,
    size_t count,
    float *out)
{
    const float x = point[0], y = point[1], z = dimension > 2 ? point[2] : 0.0f;
    const float *first = columns[0], *second = columns[1];

    for (size_t j = 0; j < count; j++) {
        const float dx = first[j] - x, dy = second[j] - y;

        out[j] = dx * dx + dy * dy;
    }
    if (dimension > 2)
        for (size_t j = 0; j < count; j++) {
            const float dz = columns[2][j] - z;

            out[j] += dz * dz;
        }
}

static size_t rank(const float *values, size_t count, float bound, size_t before)
{
    const size_t first = before < count ? before : count;
    uint32_t below = 0;

    for (size_t i = 0; i < first; i++)
        below += values[i] <= bound;
    for (size_t i = first; i < count; i++)
        below += values[i] < bound;
    return below;
}

#include "map/map_kernels_fft.h"

const struct ims_map_kernels IMS_MAP_SET = {
    .name = IMS_MAP_SET_NAME,
    .filter = filter,
    .dot_fixed = dot_fixed,
    .umap_move = umap_move,
    .tsne_attract = tsne_attract,
    .low_distances = low_distances,
    .rank = rank,
    .tree_walk = tree_walk,
    .fft_pass = fft_pass,
    .power = power,
};
