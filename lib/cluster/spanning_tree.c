/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Minimum spanning tree by mutual reachability: Boruvka's algorithm, exact (Curtin, Ram & Gray, "Fast Euclidean minimum spanning
 * tree", KDD 2010, is the dual-tree form; here every row asks by itself).
 *
 * A row's nearest row outside its component only gets farther from round to round, so what was found once holds until that row
 * joins the component. Lists of nearest rows, which the core distances need anyway, answer the first rounds. A row asks anew only if
 * what it may find is not beyond what its component has. Joins of equal weight are taken in a fixed order.
 */
#include "cluster/kdtree.h"
#include "cluster/sets.h"
#include "cluster/tiles.h"
#include "core/memory.h"

#include <math.h>
#include <string.h>

/* Nearest rows that are listed at least. */
#define LISTED_BY_TREE 4
#define LISTED_BY_TILES 24
#define ROWS_PER_ITEM ((size_t)1024)

struct search {
    const struct ims_cluster_job *job;
    size_t n, k;
    struct ims_kdtree *tree; /* or NULL: tiles */
    struct ims_tiles tiles;
    int32_t *near_rows;   /* n x k */
    double *near_squares; /* n x k */
    double *core;         /* n */
    ims_set_link *links;  /* n */
    uint32_t *component;  /* n: root */
    int32_t *found;       /* n: nearest row outside the component, -1: not known */
    double *weight;       /* n: its weight, or what it is at least */
    _Atomic uint64_t
        *least;            /* per root: least weight out of the component so far, as ordered bits */
    struct ims_edge *best; /* per root */
    uint32_t *node_component; /* per node of the tree: that of all its rows, or UINT32_MAX */
    double *node_core;        /* per node: least core distance */
    int32_t *list;            /* rows that ask */
    size_t list_count;
};

/* ---- weights that threads lower together ---- */

/* Numbers from 0 on are ordered as their bits are. */
static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double value_of(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void lower_least(_Atomic uint64_t *least, double weight)
{
    const uint64_t bits = bits_of(weight);
    uint64_t present = atomic_load_explicit(least, memory_order_relaxed);

    while (bits < present && !atomic_compare_exchange_weak_explicit(
                                 least, &present, bits, memory_order_relaxed, memory_order_relaxed))
        ;
}

static double least_of(const struct search *s, size_t i)
{
    return value_of(atomic_load_explicit(&s->least[s->component[i]], memory_order_relaxed));
}

static double reach(const struct search *s, size_t i, size_t j, double square)
{
    const double core = s->core[i] > s->core[j] ? s->core[i] : s->core[j];

    return square > core ? square : core;
}

/* ---- from what is known ---- */

/* The nearest row outside by the list, if the list tells. */
static void look_at_list(const struct search *s, size_t i)
{
    const int32_t *rows = s->near_rows + i * s->k;
    const double *squares = s->near_squares + i * s->k;
    const double beyond = reach(s, i, i, squares[s->k - 1]);
    double weight = HUGE_VAL;
    int32_t found = -1;

    for (size_t e = 0; e < s->k; e++) {
        double w;

        if (s->component[rows[e]] == s->component[i])
            continue;
        w = reach(s, i, (size_t)rows[e], squares[e]);
        if (w < weight) {
            weight = w;
            found = rows[e];
        }
    }
    if (found >= 0 && weight <= beyond) {
        s->found[i] = found;
        s->weight[i] = weight;
    } else {
        s->found[i] = -1;
        s->weight[i] = beyond > s->weight[i] ? beyond : s->weight[i];
    }
}

static imgsim_status look_at_rows(void *context, size_t item, uint32_t worker)
{
    const struct search *s = context;

    (void)worker;
    for (size_t i = item * ROWS_PER_ITEM; i < s->n && i < (item + 1) * ROWS_PER_ITEM; i++) {
        if (s->found[i] < 0 || s->component[s->found[i]] == s->component[i])
            look_at_list(s, i);
        if (s->found[i] >= 0)
            lower_least(&s->least[s->component[i]], s->weight[i]);
    }
    return IMGSIM_OK;
}

/* ---- asking the tree ---- */

static void mark_nodes(struct search *s)
{
    const struct ims_kdtree *tree = s->tree;
    const size_t leaves = (size_t)1 << tree->depth;

    for (size_t node = 2 * leaves - 1; node >= leaves; node--) {
        const size_t end = ims_kdtree_end(tree, node, tree->depth);
        size_t i = ims_kdtree_first(tree, node, tree->depth);
        uint32_t component = s->component[tree->rows[i]];

        for (; i < end && component != UINT32_MAX; i++)
            if (s->component[tree->rows[i]] != component)
                component = UINT32_MAX;
        s->node_component[node] = component;
    }
    for (size_t node = leaves - 1; node >= 1; node--)
        s->node_component[node] = s->node_component[2 * node] == s->node_component[2 * node + 1]
                                      ? s->node_component[2 * node]
                                      : UINT32_MAX;
}

static void find_node_cores(struct search *s)
{
    const struct ims_kdtree *tree = s->tree;
    const size_t leaves = (size_t)1 << tree->depth;

    for (size_t node = 2 * leaves - 1; node >= 1; node--) {
        double least = HUGE_VAL;

        if (node < leaves) {
            const double *cores = s->node_core + 2 * node;

            least = cores[0] < cores[1] ? cores[0] : cores[1];
        } else {
            for (size_t i = ims_kdtree_first(tree, node, tree->depth);
                 i < ims_kdtree_end(tree, node, tree->depth); i++)
                least = s->core[tree->rows[i]] < least ? s->core[tree->rows[i]] : least;
        }
        s->node_core[node] = least;
    }
}

/* A question on its way through the tree. */
struct question {
    const float *point;
    uint32_t component;
    double core;
    double weight; /* not beyond this, and below it once found */
    int32_t found;
};

static inline bool may_hold(const struct question *q, double weight)
{
    return weight < q->weight || (weight == q->weight && q->found < 0);
}

static void ask_leaf(const struct search *s, size_t node, struct question *q)
{
    const struct ims_kdtree *tree = s->tree;
    const size_t end = ims_kdtree_end(tree, node, tree->depth);

    for (size_t i = ims_kdtree_first(tree, node, tree->depth); i < end; i++) {
        const int32_t row = tree->rows[i];
        double weight;

        if (s->component[row] == q->component)
            continue;
        weight = ims_kdtree_square(q->point, tree->values + i * tree->d, tree->d);
        weight = weight > q->core ? weight : q->core;
        weight = weight > s->core[row] ? weight : s->core[row];
        if (may_hold(q, weight)) {
            q->weight = weight;
            q->found = row;
        }
    }
}

/* What a node may hold at least; beyond everything if it is all of the own component. */
static inline double node_weight(const struct search *s, size_t node, const struct question *q)
{
    double weight;

    if (s->node_component[node] == q->component)
        return HUGE_VAL;
    weight = ims_kdtree_box_square(s->tree, node, q->point);
    weight = weight > q->core ? weight : q->core;
    return weight > s->node_core[node] ? weight : s->node_core[node];
}

static void ask_tree(const struct search *s, struct question *q)
{
    struct {
        size_t node;
        double weight;
    } stack[IMS_KDTREE_DEPTH_MAX + 1];
    const size_t leaves = (size_t)1 << s->tree->depth;
    size_t count = 0;

    stack[count].node = 1;
    stack[count++].weight = 0;
    while (count > 0) {
        size_t node = stack[--count].node;
        double weight = stack[count].weight;

        while (may_hold(q, weight) && weight < HUGE_VAL) {
            double left, right, square_left, square_right;
            bool left_first;

            if (node >= leaves) {
                ask_leaf(s, node, q);
                break;
            }
            left = node_weight(s, 2 * node, q);
            right = node_weight(s, 2 * node + 1, q);
            left_first = left < right;
            if (left == right && left < HUGE_VAL) {
                /* Core distances hide which is nearer. */
                square_left = ims_kdtree_box_square(s->tree, 2 * node, q->point);
                square_right = ims_kdtree_box_square(s->tree, 2 * node + 1, q->point);
                left_first = square_left <= square_right;
            }
            stack[count].node = 2 * node + left_first;
            stack[count++].weight = left_first ? right : left;
            node = 2 * node + !left_first;
            weight = left_first ? left : right;
        }
    }
}

static imgsim_status ask_rows(void *context, size_t item, uint32_t worker)
{
    const struct search *s = context;

    (void)worker;
    for (size_t e = item * ROWS_PER_ITEM; e < s->list_count && e < (item + 1) * ROWS_PER_ITEM;
         e++) {
        const size_t i = (size_t)s->list[e];
        struct question q = {
            s->tree->values + (size_t)s->tree->places[i] * s->tree->d, s->component[i], s->core[i],
            least_of(s, i), -1};

        if (s->weight[i] > q.weight)
            continue;
        ask_tree(s, &q);
        if (q.found < 0)
            continue;
        s->found[i] = q.found;
        s->weight[i] = q.weight;
        lower_least(&s->least[s->component[i]], q.weight);
    }
    return IMGSIM_OK;
}

/* ---- asking tile by tile ---- */

static void ask_one_tile(const struct search *s, const struct ims_tile *tile, double *limits)
{
    for (size_t i = 0; i < tile->count; i++) {
        const size_t row = ims_tile_row(tile, i);
        const float *squares = tile->products + i * IMS_TILE_ROWS;

        if (limits[i] < 0)
            continue;
        for (size_t j = 0; j < tile->other_count; j++) {
            const size_t other = tile->other_first + j;
            const double low = squares[j] - ims_tile_loss(&s->tiles, row, other);
            double weight;

            if (low > limits[i] || s->core[other] > limits[i] ||
                s->component[other] == s->component[row])
                continue;
            weight = reach(s, row, other, ims_row_square(s->job, row, other));
            if (weight < limits[i] ||
                (weight == limits[i] && (s->found[row] < 0 || (int32_t)other < s->found[row]))) {
                limits[i] = weight;
                s->found[row] = (int32_t)other;
            }
        }
    }
}

static imgsim_status ask_tiles(void *context, size_t item, uint32_t worker)
{
    const struct search *s = context;
    double limits[IMS_TILE_ROWS];
    struct ims_tile tile;
    size_t asking = 0;

    ims_tile_begin(&s->tiles, s->list, s->list_count, item, worker, &tile);
    for (size_t i = 0; i < tile.count; i++) {
        const size_t row = ims_tile_row(&tile, i);
        const double least = least_of(s, row);

        limits[i] = s->weight[row] > least ? -1 : least;
        asking += limits[i] >= 0;
    }
    for (size_t other = 0; other < s->tiles.count && asking > 0; other++) {
        ims_tile_compare(&s->tiles, &tile, other);
        ask_one_tile(s, &tile, limits);
    }
    for (size_t i = 0; i < tile.count; i++) {
        const size_t row = ims_tile_row(&tile, i);

        if (s->found[row] < 0)
            continue;
        s->weight[row] = limits[i];
        lower_least(&s->least[s->component[row]], limits[i]);
    }
    return IMGSIM_OK;
}

/* ---- rounds ---- */

/* Rows of which nothing is known but that may lead out of their component by less than it has; in the tree's order. */
static void list_asking(struct search *s)
{
    s->list_count = 0;
    for (size_t e = 0; e < s->n; e++) {
        const size_t i = s->tree != NULL ? (size_t)s->tree->rows[e] : e;

        if (s->found[i] < 0 && s->weight[i] <= least_of(s, i))
            s->list[s->list_count++] = (int32_t)i;
    }
}

/* The least edge out of each component, by (weight, row, row). */
static void find_best(struct search *s)
{
    for (size_t i = 0; i < s->n; i++)
        s->best[i].weight = HUGE_VAL;
    for (size_t i = 0; i < s->n; i++) {
        struct ims_edge *best = &s->best[s->component[i]];
        struct ims_edge edge = {s->weight[i], (int32_t)i, s->found[i]};

        if (edge.b < 0)
            continue;
        if (edge.b < edge.a)
            edge = (struct ims_edge){edge.weight, edge.b, edge.a};
        if (best->weight == HUGE_VAL || ims_edge_less(&edge, best))
            *best = edge;
    }
}

/*
 * Join by the least edges, lightest first. An edge whose ends are joined already is left out: it can only have been by edges of equal
 * weight, so the tree stays a minimum one.
 */
static imgsim_status join_components(struct search *s, struct ims_edge *edges, size_t *count)
{
    struct ims_edge *chosen = s->best;
    size_t chosen_count = 0;
    imgsim_status status;

    for (size_t i = 0; i < s->n; i++)
        if (s->component[i] == i && s->best[i].weight < HUGE_VAL)
            chosen[chosen_count++] = s->best[i];
    if ((status = ims_sort_edges(chosen, chosen_count)) != IMGSIM_OK)
        return status;
    for (size_t e = 0; e < chosen_count; e++)
        if (ims_sets_join(s->links, (uint32_t)chosen[e].a, (uint32_t)chosen[e].b))
            edges[(*count)++] = chosen[e];
    return IMGSIM_OK;
}

static imgsim_status ask(struct search *s)
{
    if (s->tree == NULL)
        return ims_cluster_run(
            s->job, (s->list_count + IMS_TILE_ROWS - 1) / IMS_TILE_ROWS, 0, ask_tiles, s);
    mark_nodes(s);
    return ims_cluster_run(
        s->job, (s->list_count + ROWS_PER_ITEM - 1) / ROWS_PER_ITEM, 0, ask_rows, s);
}

static imgsim_status run_rounds(struct search *s, struct ims_edge *edges)
{
    const size_t items = (s->n + ROWS_PER_ITEM - 1) / ROWS_PER_ITEM;
    imgsim_status status = IMGSIM_OK;
    size_t count = 0;

    ims_meter_phase(s->job->meter, "join", s->n - 1);
    while (count + 1 < s->n && status == IMGSIM_OK) {
        for (size_t i = 0; i < s->n; i++) {
            s->component[i] = ims_sets_find(s->links, (uint32_t)i);
            atomic_store_explicit(&s->least[i], bits_of(HUGE_VAL), memory_order_relaxed);
        }
        if ((status = ims_cluster_run(s->job, items, 0, look_at_rows, s)) != IMGSIM_OK)
            break;
        list_asking(s);
        if ((status = ask(s)) != IMGSIM_OK)
            break;
        find_best(s);
        status = join_components(s, edges, &count);
        atomic_store(&s->job->meter->done, count);
    }
    return status == IMGSIM_OK ? ims_sort_edges(edges, count) : status;
}

/* ---- memory ---- */

static imgsim_status find_lists(struct search *s)
{
    imgsim_status status;

    ims_meter_phase(s->job->meter, "neighbours", s->n);
    if (s->job->d <= IMS_KDTREE_DIMENSION_MAX) {
        if ((status = ims_kdtree_new(s->job, &s->tree)) != IMGSIM_OK)
            return status;
        return ims_nearest_by_kdtree(s->tree, s->job, s->k, s->near_rows, s->near_squares);
    }
    if ((status = ims_tiles_open(&s->tiles, s->job)) != IMGSIM_OK)
        return status;
    return ims_nearest_by_tiles(&s->tiles, NULL, 0, s->k, s->near_rows, s->near_squares);
}

static bool alloc_search(struct search *s)
{
    size_t size;

    if (!ims_mul_size(s->n, s->k, &size))
        return false;
    s->near_rows = ims_alloc_array(size, sizeof(int32_t));
    s->near_squares = ims_alloc_array(size, sizeof(double));
    s->core = ims_alloc_array(s->n, sizeof(double));
    s->links = ims_alloc_array(s->n, sizeof(*s->links));
    s->component = ims_alloc_array(s->n, sizeof(uint32_t));
    s->found = ims_alloc_array(s->n, sizeof(int32_t));
    s->weight = ims_calloc(s->n, sizeof(double));
    s->least = ims_alloc_array(s->n, sizeof(*s->least));
    s->best = ims_alloc_array(s->n, sizeof(*s->best));
    s->list = ims_alloc_array(s->n, sizeof(int32_t));
    return s->near_rows != NULL && s->near_squares != NULL && s->core != NULL && s->links != NULL &&
           s->component != NULL && s->found != NULL && s->weight != NULL && s->least != NULL &&
           s->best != NULL && s->list != NULL;
}

static void clear_search(struct search *s)
{
    ims_kdtree_free(s->tree);
    ims_tiles_close(&s->tiles);
    ims_free(s->near_rows);
    ims_free(s->near_squares);
    ims_free(s->core);
    ims_free((void *)s->links);
    ims_free(s->component);
    ims_free(s->found);
    ims_free(s->weight);
    ims_free((void *)s->least);
    ims_free(s->best);
    ims_free(s->list);
    ims_free(s->node_component);
    ims_free(s->node_core);
}

static imgsim_status prepare(struct search *s, uint32_t min_samples)
{
    imgsim_status status;

    if ((status = find_lists(s)) != IMGSIM_OK)
        return status;
    for (size_t i = 0; i < s->n; i++) {
        s->core[i] = s->near_squares[i * s->k + min_samples - 1];
        s->found[i] = -1;
    }
    ims_sets_init(s->links, s->n);
    if (s->tree == NULL)
        return IMGSIM_OK;
    s->node_component = ims_alloc_array((size_t)2 << s->tree->depth, sizeof(uint32_t));
    s->node_core = ims_alloc_array((size_t)2 << s->tree->depth, sizeof(double));
    if (s->node_component == NULL || s->node_core == NULL)
        return ims_fail_memory(((size_t)2 << s->tree->depth) * sizeof(double));
    find_node_cores(s);
    return IMGSIM_OK;
}

imgsim_status ims_spanning_tree(
    const struct ims_cluster_job *job,
    uint32_t min_samples,
    struct ims_edge *out_edges,
    double *out_core)
{
    struct search s = {.job = job, .n = job->n};
    const uint32_t listed = job->d <= IMS_KDTREE_DIMENSION_MAX ? LISTED_BY_TREE : LISTED_BY_TILES;
    imgsim_status status;

    if (min_samples > job->n)
        min_samples = (uint32_t)job->n;
    s.k = min_samples > listed ? min_samples : listed;
    s.k = s.k < job->n ? s.k : job->n;
    if (!alloc_search(&s))
        status = ims_fail_memory(job->n * s.k * sizeof(double));
    else if ((status = prepare(&s, min_samples)) == IMGSIM_OK)
        status = run_rounds(&s, out_edges);
    if (status == IMGSIM_OK && out_core != NULL)
        memcpy(out_core, s.core, job->n * sizeof(double));
    clear_search(&s);
    return status;
}
