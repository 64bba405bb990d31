/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ward's method (JASA 58, 1963) on means and weights, without a matrix of distances: all pairs that are each other's nearest are joined
 * in one round, which for a reducible linkage gives the tree of joining one by one (Bruynooghe, Statistique et Analyse des Donnees 3,
 * 1977; Murtagh, The Computer Journal 26(4), 1983).
 *
 * Each cluster keeps a few near ones and a bound on all others. Joining others cannot bring them nearer than the nearer of both, so the
 * bound holds on, and only new clusters, and those whose list has run dry, look at all, by matrix products in single precision with a
 * margin. Nearest ones are decided, and heights computed, in double precision.
 */
#include "cluster/cluster.h"

#include "core/hash.h"
#include "core/memory.h"
#include "linalg/linalg.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 12
#define TILE_ROWS ((size_t)128)
#define TILE_COLUMNS ((size_t)512)
#define CLUSTERS_PER_ITEM ((size_t)256)

/* A near cluster: valid as long as that has the same version. */
struct near {
    double height; /* squared */
    int32_t cluster;
    uint32_t version;
};

struct ward {
    const struct ims_cluster_job *job;
    size_t n, d;
    double *means;     /* n x d */
    double *weights;   /* 0: joined away */
    uint32_t *version; /* how often it took another in */
    int32_t *into;     /* where a joined one went */
    struct near *near; /* n x SLOTS */
    uint8_t *near_count;
    double *beyond;   /* all clusters not listed are at least so far */
    int32_t *nearest; /* -1: unknown */
    double *height;   /* squared, to the nearest */
    int32_t *active;  /* clusters left, ascending */
    size_t active_count;
    float *values;  /* active_count x d, less the mean of all */
    float *squares; /* of values */
    float *masses;  /* weights of the active */
    int32_t *list;  /* places among the active that look at all */
    size_t list_count;
    double *centre; /* d */
    struct ims_join *joins;
    size_t join_count;
    float *scratch;
    size_t scratch_size;
    float margin;
};

static double exact_height(const struct ward *w, size_t a, size_t b)
{
    const double *x = w->means + a * w->d, *y = w->means + b * w->d;
    double sum[4] = {0};
    size_t j = 0;

    for (; j + 4 <= w->d; j += 4)
        for (size_t lane = 0; lane < 4; lane++) {
            const double difference = x[j + lane] - y[j + lane];

            sum[lane] += difference * difference;
        }
    for (; j < w->d; j++)
        sum[0] += (x[j] - y[j]) * (x[j] - y[j]);
    return 2 * w->weights[a] * w->weights[b] / (w->weights[a] + w->weights[b]) *
           ((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* ---- joining ---- */

/* Cluster a takes in b. */
static void join_pair(struct ward *w, size_t a, size_t b, double height)
{
    const double total = w->weights[a] + w->weights[b];
    double *to = w->means + a * w->d;
    const double *from = w->means + b * w->d;

    w->joins[w->join_count++] = (struct ims_join){sqrt(height), (int32_t)a, (int32_t)b};
    for (size_t j = 0; j < w->d; j++)
        to[j] += w->weights[b] / total * (from[j] - to[j]);
    w->weights[a] = total;
    w->weights[b] = 0;
    w->version[a]++;
    w->into[b] = (int32_t)a;
    w->near_count[a] = 0;
    w->beyond[a] = 0;
    w->nearest[a] = -1;
}

struct sort_row {
    uint64_t hash;
    int32_t row;
};

static int by_hash(const void *x, const void *y)
{
    const struct sort_row *a = x, *b = y;

    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

/* Equal points are joined at height 0 before all else: they would only tie with each other. */
static imgsim_status join_equal(struct ward *w, const float *points)
{
    struct sort_row *rows = ims_alloc_array(w->n, sizeof(*rows));
    const size_t size = w->d * sizeof(float);

    if (rows == NULL)
        return ims_fail_memory(w->n * sizeof(*rows));
    for (size_t i = 0; i < w->n; i++)
        rows[i] = (struct sort_row){ims_hash64(points + i * w->d, size), (int32_t)i};
    qsort(rows, w->n, sizeof(*rows), by_hash);
    for (size_t first = 0, i = 1; i < w->n; i++) {
        if (rows[i].hash == rows[first].hash &&
            memcmp(
                points + (size_t)rows[i].row * w->d, points + (size_t)rows[first].row * w->d,
                size) == 0)
            join_pair(w, (size_t)rows[first].row, (size_t)rows[i].row, 0);
        else
            first = i;
    }
    ims_free(rows);
    return IMGSIM_OK;
}

/* ---- looking at all ---- */

/* Gather the clusters left, as floats about the mean of all. */
static void gather(struct ward *w)
{
    size_t count = 0;

    for (size_t e = 0; e < w->active_count; e++) {
        const int32_t i = w->active[e];
        double square = 0;

        if (w->weights[i] == 0)
            continue;
        w->active[count] = i;
        w->masses[count] = (float)w->weights[i];
        for (size_t j = 0; j < w->d; j++) {
            const float value = (float)(w->means[(size_t)i * w->d + j] - w->centre[j]);

            w->values[count * w->d + j] = value;
            square += (double)value * value;
        }
        w->squares[count++] = (float)square;
    }
    w->active_count = count;
}

/* The nearest so far of one cluster, by lower bounds. */
struct near_floats {
    float low[SLOTS];
    int32_t place[SLOTS];
    size_t count, worst;
    float beyond;
};

static void keep(struct near_floats *near, float low, int32_t place)
{
    if (near->count < SLOTS) {
        near->low[near->count] = low;
        near->place[near->count] = place;
        if (low > near->low[near->worst])
            near->worst = near->count;
        near->count++;
        return;
    }
    if (near->low[near->worst] < near->beyond)
        near->beyond = near->low[near->worst];
    near->low[near->worst] = low;
    near->place[near->worst] = place;
    for (size_t s = 0; s < SLOTS; s++)
        near->worst = near->low[s] > near->low[near->worst] ? s : near->worst;
}

/* Lower bounds on the squared heights of joining one cluster with a tile of others, from products. */
static void
bound_tile(const struct ward *w, size_t own, size_t first, size_t count, float *restrict products)
{
    const float *restrict squares = w->squares + first, *restrict masses = w->masses + first;
    const float square = w->squares[own], mass = w->masses[own], margin = w->margin;

    for (size_t j = 0; j < count; j++) {
        const float both = square + squares[j];
        const float factor = 2 * mass * masses[j] / (mass + masses[j]);

        products[j] = factor * (both - 2 * products[j] - margin * both);
    }
}

/* Exact heights of the listed; the nearest, the first of equals. */
static void find_nearest(struct ward *w, size_t i)
{
    const struct near *near = w->near + i * SLOTS;

    w->nearest[i] = -1;
    for (size_t s = 0; s < w->near_count[i]; s++)
        if (w->nearest[i] < 0 || near[s].height < w->height[i] ||
            (near[s].height == w->height[i] && near[s].cluster < w->nearest[i])) {
            w->nearest[i] = near[s].cluster;
            w->height[i] = near[s].height;
        }
}

static void compare_with_all(struct ward *w, size_t i)
{
    w->near_count[i] = 0;
    for (size_t e = 0; e < w->active_count; e++) {
        const size_t other = (size_t)w->active[e];
        double height;

        if (other == i)
            continue;
        height = exact_height(w, i, other);
        if (w->near_count[i] == 0 || height < w->near[i * SLOTS].height) {
            w->near[i * SLOTS] = (struct near){height, (int32_t)other, w->version[other]};
            w->near_count[i] = 1;
        }
    }
    w->beyond[i] = w->near_count[i] > 0 ? w->near[i * SLOTS].height : 0;
}

static void finish_row(struct ward *w, size_t i, const struct near_floats *found)
{
    struct near *near = w->near + i * SLOTS;

    for (size_t s = 0; s < found->count; s++) {
        const int32_t other = w->active[found->place[s]];

        near[s] = (struct near){exact_height(w, i, (size_t)other), other, w->version[other]};
    }
    w->near_count[i] = (uint8_t)found->count;
    w->beyond[i] = found->beyond;
    find_nearest(w, i);
    if (w->nearest[i] >= 0 && w->height[i] > w->beyond[i]) {
        /* Rounding leaves open which is the nearest. */
        compare_with_all(w, i);
        find_nearest(w, i);
    }
}

static imgsim_status look_at_all(void *context, size_t item, uint32_t worker)
{
    struct ward *w = context;
    const size_t first = item * TILE_ROWS, d = w->d;
    const size_t rows = w->list_count - first < TILE_ROWS ? w->list_count - first : TILE_ROWS;
    float *left = w->scratch + worker * w->scratch_size, *products = left + TILE_ROWS * d;
    struct near_floats found[TILE_ROWS];

    for (size_t r = 0; r < rows; r++) {
        found[r] = (struct near_floats){.beyond = HUGE_VALF};
        memcpy(left + r * d, w->values + (size_t)w->list[first + r] * d, d * sizeof(float));
    }
    for (size_t column = 0; column < w->active_count; column += TILE_COLUMNS) {
        const size_t left_over = w->active_count - column;
        const size_t count = left_over < TILE_COLUMNS ? left_over : TILE_COLUMNS;

        ims_gemm_nt(rows, count, d, left, d, w->values + column * d, d, products, TILE_COLUMNS);
        for (size_t r = 0; r < rows; r++) {
            const size_t own = (size_t)w->list[first + r];
            float *low = products + r * TILE_COLUMNS;

            bound_tile(w, own, column, count, low);
            for (size_t j = 0; j < count; j++)
                if (column + j != own &&
                    (found[r].count < SLOTS || low[j] < found[r].low[found[r].worst]))
                    keep(&found[r], low[j], (int32_t)(column + j));
                else if (column + j != own && low[j] < found[r].beyond)
                    found[r].beyond = low[j];
        }
    }
    for (size_t r = 0; r < rows; r++)
        finish_row(w, (size_t)w->active[w->list[first + r]], &found[r]);
    return IMGSIM_OK;
}

/* ---- lists ---- */

/* Replace listed clusters that were joined with others by what they are now, each once. */
static void refresh_list(struct ward *w, size_t i)
{
    struct near *near = w->near + i * SLOTS;
    size_t count = 0;

    for (size_t s = 0; s < w->near_count[i]; s++) {
        struct near entry = near[s];
        bool twice = false;

        if (w->version[entry.cluster] != entry.version || w->weights[entry.cluster] == 0) {
            while (w->weights[entry.cluster] == 0)
                entry.cluster = w->into[entry.cluster];
            entry.version = w->version[entry.cluster];
            entry.height = -1;
        }
        for (size_t before = 0; before < count && !twice; before++)
            twice = near[before].cluster == entry.cluster;
        if (twice)
            continue;
        if (entry.height < 0)
            entry.height = exact_height(w, i, (size_t)entry.cluster);
        near[count++] = entry;
    }
    w->near_count[i] = (uint8_t)count;
    find_nearest(w, i);
    if (w->nearest[i] >= 0 && w->height[i] > w->beyond[i])
        w->nearest[i] = -1;
}

static imgsim_status refresh_lists(void *context, size_t item, uint32_t worker)
{
    struct ward *w = context;

    (void)worker;
    for (size_t e = item * CLUSTERS_PER_ITEM;
         e < w->active_count && e < (item + 1) * CLUSTERS_PER_ITEM; e++)
        refresh_list(w, (size_t)w->active[e]);
    return IMGSIM_OK;
}

static imgsim_status find_all_nearest(struct ward *w)
{
    imgsim_status status = ims_pool_run(
        w->job->pool, (w->active_count + CLUSTERS_PER_ITEM - 1) / CLUSTERS_PER_ITEM, refresh_lists,
        w);

    w->list_count = 0;
    for (size_t e = 0; e < w->active_count; e++)
        if (w->nearest[w->active[e]] < 0)
            w->list[w->list_count++] = (int32_t)e;
    if (status != IMGSIM_OK)
        return status;
    return ims_cluster_run(w->job, (w->list_count + TILE_ROWS - 1) / TILE_ROWS, 0, look_at_all, w);
}

/* Join all pairs that are each other's nearest. If ties leave none, join the nearest pair of all. */
static void join_pairs(struct ward *w)
{
    const size_t before = w->join_count;
    size_t least = (size_t)w->active[0];

    for (size_t e = 0; e < w->active_count; e++) {
        const size_t i = (size_t)w->active[e];

        if (w->height[i] < w->height[least])
            least = i;
    }
    for (size_t e = 0; e < w->active_count; e++) {
        const size_t i = (size_t)w->active[e];
        const int32_t other = w->nearest[i];

        /* A pair is met at its first member; what was joined in this round has no nearest. */
        if (other > (int32_t)i && w->nearest[other] == (int32_t)i)
            join_pair(w, i, (size_t)other, w->height[i]);
    }
    if (w->join_count == before) {
        const size_t other = (size_t)w->nearest[least];

        join_pair(
            w, least < other ? least : other, least < other ? other : least, w->height[least]);
    }
}

static imgsim_status run_rounds(struct ward *w)
{
    imgsim_status status = IMGSIM_OK;

    ims_meter_phase(w->job->meter, "join", w->n - 1);
    while (w->join_count + 1 < w->n && status == IMGSIM_OK) {
        gather(w);
        if ((status = find_all_nearest(w)) != IMGSIM_OK)
            break;
        join_pairs(w);
        atomic_store(&w->job->meter->done, w->join_count);
        status = ims_meter_tick(w->job->meter, false);
    }
    return status;
}

/* ---- memory ---- */

static bool alloc_ward(struct ward *w)
{
    const size_t n = w->n, d = w->d;

    w->scratch_size = TILE_ROWS * (d + TILE_COLUMNS);
    w->scratch =
        ims_alloc_aligned(ims_pool_threads(w->job->pool) * w->scratch_size * sizeof(float));
    w->means = ims_alloc_array(n * d, sizeof(double));
    w->weights = ims_alloc_array(n, sizeof(double));
    w->version = ims_calloc(n, sizeof(uint32_t));
    w->into = ims_alloc_array(n, sizeof(int32_t));
    w->near = ims_alloc_array(n * SLOTS, sizeof(*w->near));
    w->near_count = ims_calloc(n, 1);
    w->beyond = ims_calloc(n, sizeof(double));
    w->nearest = ims_alloc_array(n, sizeof(int32_t));
    w->height = ims_calloc(n, sizeof(double));
    w->active = ims_alloc_array(n, sizeof(int32_t));
    w->values = ims_alloc_aligned(n * d * sizeof(float));
    w->squares = ims_alloc_array(n, sizeof(float));
    w->masses = ims_alloc_array(n, sizeof(float));
    w->list = ims_alloc_array(n, sizeof(int32_t));
    w->centre = ims_calloc(d, sizeof(double));
    w->joins = ims_alloc_array(n, sizeof(*w->joins));
    return w->scratch != NULL && w->means != NULL && w->weights != NULL && w->version != NULL &&
           w->into != NULL && w->near != NULL && w->near_count != NULL && w->beyond != NULL &&
           w->nearest != NULL && w->height != NULL && w->active != NULL && w->values != NULL &&
           w->squares != NULL && w->masses != NULL && w->list != NULL && w->centre != NULL &&
           w->joins != NULL;
}

static void clear_ward(struct ward *w)
{
    ims_free_aligned(w->scratch);
    ims_free(w->means);
    ims_free(w->weights);
    ims_free(w->version);
    ims_free(w->into);
    ims_free(w->near);
    ims_free(w->near_count);
    ims_free(w->beyond);
    ims_free(w->nearest);
    ims_free(w->height);
    ims_free(w->active);
    ims_free_aligned(w->values);
    ims_free(w->squares);
    ims_free(w->masses);
    ims_free(w->list);
    ims_free(w->centre);
    ims_free(w->joins);
}

static void load_points(struct ward *w, const float *points, const double *weights)
{
    for (size_t i = 0; i < w->n; i++) {
        w->active[i] = (int32_t)i;
        w->nearest[i] = -1;
        w->weights[i] = weights[i];
        for (size_t j = 0; j < w->d; j++) {
            w->means[i * w->d + j] = points[i * w->d + j];
            w->centre[j] += points[i * w->d + j] / (double)w->n;
        }
    }
    w->active_count = w->n;
    /* Twice what a product may lose, and the rounding of the means and of the bounds themselves. */
    w->margin = (float)(4 * ims_float_margin(w->d)) + 8 * FLT_EPSILON;
}

imgsim_status ims_ward(
    const struct ims_cluster_job *job,
    const float *points,
    const double *weights,
    size_t count,
    double *out)
{
    struct ward w = {.job = job, .n = count, .d = job->d};
    imgsim_status status;

    if (count < 2)
        return IMGSIM_OK;
    if (!alloc_ward(&w)) {
        status = ims_fail_memory(count * job->d * sizeof(double));
        goto done;
    }
    load_points(&w, points, weights);
    if ((status = join_equal(&w, points)) == IMGSIM_OK && (status = run_rounds(&w)) == IMGSIM_OK)
        status = ims_tree_of_joins(w.joins, count, out);

done:
    clear_ward(&w);
    return status;
}
