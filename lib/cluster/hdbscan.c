/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HDBSCAN: Campello, Moulavi & Sander, PAKDD 2013; McInnes & Healy, ICDM Workshops 2017. The spanning tree becomes a tree of joins; from
 * the top down, splits that leave fewer rows than a cluster needs are rows falling out; of what is left the most stable clusters, or
 * the leaves, are taken. selection_epsilon: Malzer & Baum, MFI 2020.
 *
 * Rows at distance 0 of each other are never split.
 */
#include "cluster/cluster.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

/* A cluster of the condensed tree; 0 is the root. Children come after their parent. */
struct node {
    int32_t parent;
    int32_t children; /* the first of two, or -1 */
    double birth;     /* lambda = 1 / distance at which it parted from its parent */
    double end;       /* greatest lambda of its rows and of its split */
    double stability;
    uint64_t size;
    bool chosen;
    int32_t label;
};

struct condensed {
    const struct ims_cluster_job *job;
    const double *tree;
    size_t n;
    struct node *nodes;
    size_t node_count, node_room;
    int32_t *row_node; /* n: cluster a row falls out of */
    double *row_lambda;
    int64_t *stack; /* 2 n: tree nodes, with their cluster below */
    int32_t *stack_node;
    int64_t *fall; /* n: tree nodes whose rows fall out */
};

/* ---- condensing ---- */

static size_t size_below(const struct condensed *c, int64_t top)
{
    return top < (int64_t)c->n ? 1 : (size_t)c->tree[4 * ((size_t)top - c->n) + 3];
}

/* All rows below a tree node fall out of a cluster. */
static void fall_out(struct condensed *c, int64_t top, int32_t node, double lambda)
{
    size_t count = 0;

    c->fall[count++] = top;
    while (count > 0) {
        const int64_t at = c->fall[--count];

        if (at < (int64_t)c->n) {
            c->row_node[at] = node;
            c->row_lambda[at] = lambda;
        } else {
            c->fall[count++] = (int64_t)c->tree[4 * ((size_t)at - c->n)];
            c->fall[count++] = (int64_t)c->tree[4 * ((size_t)at - c->n) + 1];
        }
    }
    if (lambda > c->nodes[node].end)
        c->nodes[node].end = lambda;
    c->nodes[node].stability += (lambda - c->nodes[node].birth) * (double)size_below(c, top);
}

static imgsim_status add_node(struct condensed *c, int32_t parent, double birth, uint64_t size)
{
    if (!ims_grow((void **)&c->nodes, &c->node_room, c->node_count + 1, sizeof(*c->nodes)))
        return ims_fail_memory((c->node_count + 1) * sizeof(*c->nodes));
    c->nodes[c->node_count++] =
        (struct node){.parent = parent, .children = -1, .birth = birth, .end = birth, .size = size};
    return IMGSIM_OK;
}

/* A split of a cluster into two: both are clusters of their own, and it ends. */
static imgsim_status
split_node(struct condensed *c, int32_t node, double lambda, const int64_t *sides)
{
    const int32_t first = (int32_t)c->node_count;
    imgsim_status status;

    for (int side = 0; side < 2; side++)
        if ((status = add_node(c, node, lambda, size_below(c, sides[side]))) != IMGSIM_OK)
            return status;
    c->nodes[node].children = first;
    c->nodes[node].end = lambda > c->nodes[node].end ? lambda : c->nodes[node].end;
    for (int side = 0; side < 2; side++)
        c->nodes[node].stability +=
            (lambda - c->nodes[node].birth) * (double)size_below(c, sides[side]);
    return IMGSIM_OK;
}

static imgsim_status condense(struct condensed *c)
{
    const size_t least = c->job->options.min_cluster_size;
    imgsim_status status = add_node(c, -1, 0, c->n);
    size_t count = 0;

    c->stack[count] = (int64_t)(2 * c->n - 2);
    c->stack_node[count++] = 0;
    while (count > 0 && status == IMGSIM_OK) {
        const int64_t top = c->stack[--count];
        const int32_t node = c->stack_node[count];
        const double *join = top >= (int64_t)c->n ? c->tree + 4 * ((size_t)top - c->n) : NULL;
        int64_t sides[2];
        double lambda;
        bool large[2];

        if (join == NULL || join[2] == 0) {
            fall_out(c, top, node, HUGE_VAL);
            continue;
        }
        lambda = 1 / join[2];
        for (int side = 0; side < 2; side++) {
            sides[side] = (int64_t)join[side];
            large[side] = size_below(c, sides[side]) >= least;
        }
        if (large[0] && large[1])
            status = split_node(c, node, lambda, sides);
        for (int side = 0; side < 2 && status == IMGSIM_OK; side++) {
            if (!large[side]) {
                fall_out(c, sides[side], node, lambda);
                continue;
            }
            c->stack[count] = sides[side];
            c->stack_node[count++] = large[0] && large[1] ? c->nodes[node].children + side : node;
        }
    }
    return status;
}

/* ---- choosing ---- */

static void unchoose_below(struct condensed *c, int32_t node)
{
    /* Children come after their parent: one pass marks all that descend from it. */
    for (int32_t i = c->nodes[node].children; i >= 0 && i < (int32_t)c->node_count; i++) {
        int32_t above = c->nodes[i].parent;

        while (above > node)
            above = c->nodes[above].parent;
        if (above == node)
            c->nodes[i].chosen = false;
    }
}

/* Excess of mass: from the leaves up, a cluster is taken unless its parts are more stable together. */
static void choose_stable(struct condensed *c, double *sums)
{
    const int32_t last = c->job->options.allow_single ? 0 : 1;

    for (int32_t i = (int32_t)c->node_count - 1; i >= last; i--) {
        struct node *node = &c->nodes[i];
        const double parts =
            node->children >= 0 ? sums[node->children] + sums[node->children + 1] : 0;

        node->chosen = node->children < 0 || !(parts > node->stability);
        sums[i] = node->chosen ? node->stability : parts;
    }
    /* Of nested ones the outermost counts. */
    for (int32_t i = 1; i < (int32_t)c->node_count; i++) {
        const struct node *parent = &c->nodes[c->nodes[i].parent];

        if (parent->label == 1 || parent->chosen) {
            c->nodes[i].chosen = false;
            c->nodes[i].label = 1; /* below a chosen one */
        }
    }
    for (size_t i = 0; i < c->node_count; i++)
        c->nodes[i].label = -1;
}

static void choose_leaves(struct condensed *c)
{
    for (size_t i = 0; i < c->node_count; i++)
        c->nodes[i].chosen = c->nodes[i].children < 0 && i > 0;
    /* A tree without splits is one cluster or none. */
    if (c->node_count == 1)
        c->nodes[0].chosen = c->job->options.allow_single != 0;
}

/* Climb from a cluster that parted below epsilon to the one that did not. */
static int32_t climb(const struct condensed *c, int32_t node)
{
    const double epsilon = c->job->options.selection_epsilon;

    while (c->nodes[node].parent > 0) {
        const int32_t parent = c->nodes[node].parent;

        if (1 / c->nodes[parent].birth > epsilon)
            return parent;
        node = parent;
    }
    if (c->nodes[node].parent == 0 && c->job->options.allow_single)
        return 0;
    return node;
}

static void join_near(struct condensed *c)
{
    for (int32_t i = (int32_t)c->node_count - 1; i > 0; i--) {
        int32_t top;

        if (!c->nodes[i].chosen || !(1 / c->nodes[i].birth < c->job->options.selection_epsilon))
            continue;
        top = climb(c, i);
        c->nodes[i].chosen = false;
        c->nodes[top].chosen = true;
        unchoose_below(c, top);
    }
}

/* ---- labels ---- */

/* Whether a row that fell out of the root belongs to the root as the only cluster. */
static bool in_single(const struct condensed *c, size_t row)
{
    const double epsilon = c->job->options.selection_epsilon;

    return epsilon > 0 ? c->row_lambda[row] >= 1 / epsilon : c->row_lambda[row] >= c->nodes[0].end;
}

static float probability(const struct node *node, double lambda)
{
    if (!isfinite(lambda) || node->end == 0)
        return 1.0f;
    return (float)(lambda < node->end ? lambda / node->end : 1.0);
}

static imgsim_status label_rows(struct condensed *c)
{
    imgsim_clusters *out = c->job->out;
    int32_t count = 0;

    for (size_t i = 0; i < c->node_count; i++) {
        struct node *node = &c->nodes[i];

        if (node->chosen)
            node->label = count++;
        else
            node->label = node->parent >= 0 ? c->nodes[node->parent].label : -1;
    }
    for (size_t row = 0; row < c->n; row++) {
        int32_t at = c->row_node[row];

        out->labels[row] = c->nodes[at].label;
        if (at == 0 && c->nodes[0].chosen && !in_single(c, row))
            out->labels[row] = IMS_NOISE;
        while (at > 0 && !c->nodes[at].chosen)
            at = c->nodes[at].parent;
        out->probabilities[row] =
            out->labels[row] >= 0 ? probability(&c->nodes[at], c->row_lambda[row]) : 0.0f;
    }
    return ims_renumber(out->labels, c->n, (size_t)count, &out->count, NULL);
}

/* ---- the method ---- */

static imgsim_status choose_and_label(struct condensed *c)
{
    double *sums;
    imgsim_status status = condense(c);

    if (status != IMGSIM_OK)
        return status;
    if ((sums = ims_calloc(c->node_count, sizeof(double))) == NULL)
        return ims_fail_memory(c->node_count * sizeof(double));
    if (c->job->options.selection == IMGSIM_SELECT_EOM)
        choose_stable(c, sums);
    else
        choose_leaves(c);
    ims_free(sums);
    if (c->job->options.selection_epsilon > 0)
        join_near(c);
    return label_rows(c);
}

static imgsim_status cluster_tree(const struct ims_cluster_job *job)
{
    const size_t n = job->n;
    struct condensed c = {.job = job, .tree = job->out->tree, .n = n};
    imgsim_status status;

    ims_meter_phase(job->meter, "tree", n);
    c.row_node = ims_calloc(n, sizeof(int32_t));
    c.row_lambda = ims_calloc(n, sizeof(double));
    c.stack = ims_alloc_array(2 * n, sizeof(int64_t));
    c.stack_node = ims_alloc_array(2 * n, sizeof(int32_t));
    c.fall = ims_alloc_array(2 * n, sizeof(int64_t));
    if (c.row_node == NULL || c.row_lambda == NULL || c.stack == NULL || c.stack_node == NULL ||
        c.fall == NULL)
        status = ims_fail_memory(n * sizeof(double));
    else
        status = choose_and_label(&c);
    ims_free(c.nodes);
    ims_free(c.row_node);
    ims_free(c.row_lambda);
    ims_free(c.stack);
    ims_free(c.stack_node);
    ims_free(c.fall);
    return status;
}

imgsim_status ims_hdbscan(const struct ims_cluster_job *job)
{
    const size_t n = job->n;
    imgsim_clusters *out = job->out;
    struct ims_edge *edges = ims_alloc_array(n, sizeof(*edges));
    uint32_t samples = job->options.min_samples;
    imgsim_status status;

    if (samples == 0)
        samples = job->options.min_cluster_size < 10000 ? job->options.min_cluster_size : 10000;
    out->leaf_count = n;
    out->tree = ims_alloc_array(4 * n, sizeof(double));
    out->probabilities = ims_calloc(n, sizeof(float));
    if (edges == NULL || out->tree == NULL || out->probabilities == NULL)
        status = ims_fail_memory(4 * n * sizeof(double));
    else if (
        (status = ims_spanning_tree(job, samples + 1, edges, NULL)) == IMGSIM_OK &&
        (status = ims_tree_of_edges(edges, n, out->tree)) == IMGSIM_OK)
        status = cluster_tree(job);
    ims_free(edges);
    return status;
}
