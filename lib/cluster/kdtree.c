/* SPDX-License-Identifier: Apache-2.0 */
/* Building the k-d tree, and the nearest rows of every row by it. */
#include "cluster/kdtree.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

#define LEAF_ROWS ((size_t)16)
#define PLACES_PER_ITEM ((size_t)1024)

/* ---- building ---- */

struct key {
    float value;
    int32_t row;
};

static inline bool key_less(struct key a, struct key b)
{
    return a.value < b.value || (a.value == b.value && a.row < b.row);
}

static inline void swap_keys(struct key *a, struct key *b)
{
    const struct key swap = *a;

    *a = *b;
    *b = swap;
}

/* Put the `middle` smallest keys first: quickselect with the median of three; keys are all different. */
static void split_keys(struct key *keys, size_t count, size_t middle)
{
    size_t first = 0, end = count;

    while (end - first > 1) {
        struct key *a = &keys[first], *b = &keys[first + (end - first) / 2], *c = &keys[end - 1];
        struct key pivot;
        size_t i = first, j = end - 1;

        if (key_less(*b, *a))
            swap_keys(a, b);
        if (key_less(*c, *b))
            swap_keys(b, c);
        if (key_less(*b, *a))
            swap_keys(a, b);
        pivot = *b;
        for (;;) {
            while (key_less(keys[i], pivot))
                i++;
            while (key_less(pivot, keys[j]))
                j--;
            if (i >= j)
                break;
            swap_keys(&keys[i++], &keys[j--]);
        }
        /* Keys before i are at most the pivot, those from i on at least. */
        if (i == first)
            i++;
        if (middle == i)
            return;
        if (middle < i)
            end = i;
        else
            first = i;
    }
}

struct build {
    struct ims_kdtree *tree;
    const float *source;
    struct key *keys;
    unsigned level;
};

/* Box of a node of the present level; gives the axis along which it is widest. */
static size_t find_box(const struct build *b, size_t node, size_t first, size_t end)
{
    const size_t d = b->tree->d;
    float *least = b->tree->boxes + node * 2 * d, *most = least + d;
    size_t widest = 0;

    for (size_t j = 0; j < d; j++) {
        least[j] = HUGE_VALF;
        most[j] = -HUGE_VALF;
    }
    for (size_t i = first; i < end; i++) {
        const float *values = b->source + (size_t)b->tree->rows[i] * d;

        for (size_t j = 0; j < d; j++) {
            least[j] = values[j] < least[j] ? values[j] : least[j];
            most[j] = values[j] > most[j] ? values[j] : most[j];
        }
    }
    for (size_t j = 1; j < d; j++)
        if (most[j] - least[j] > most[widest] - least[widest])
            widest = j;
    return widest;
}

static imgsim_status build_node(void *context, size_t item, uint32_t worker)
{
    const struct build *b = context;
    struct ims_kdtree *tree = b->tree;
    const size_t node = ((size_t)1 << b->level) + item;
    const size_t first = ims_kdtree_first(tree, node, b->level);
    const size_t end = ims_kdtree_end(tree, node, b->level);
    const size_t axis = find_box(b, node, first, end);

    (void)worker;
    if (b->level == tree->depth)
        return IMGSIM_OK;
    for (size_t i = first; i < end; i++)
        b->keys[i] = (struct key){b->source[(size_t)tree->rows[i] * tree->d + axis], tree->rows[i]};
    split_keys(
        b->keys + first, end - first, ims_kdtree_first(tree, 2 * node + 1, b->level + 1) - first);
    for (size_t i = first; i < end; i++)
        tree->rows[i] = b->keys[i].row;
    return IMGSIM_OK;
}

static imgsim_status build_tree(struct ims_kdtree *tree, const struct ims_cluster_job *job)
{
    struct build b = {tree, job->rows, ims_alloc_array(tree->n, sizeof(struct key)), 0};
    imgsim_status status = IMGSIM_OK;

    if (b.keys == NULL)
        return ims_fail_memory(tree->n * sizeof(struct key));
    for (size_t i = 0; i < tree->n; i++)
        tree->rows[i] = (int32_t)i;
    for (; b.level <= tree->depth && status == IMGSIM_OK; b.level++)
        status = ims_cluster_run(job, (size_t)1 << b.level, 0, build_node, &b);
    for (size_t i = 0; i < tree->n; i++) {
        memcpy(
            tree->values + i * tree->d, job->rows + (size_t)tree->rows[i] * tree->d,
            tree->d * sizeof(float));
        tree->places[tree->rows[i]] = (int32_t)i;
    }
    ims_free(b.keys);
    return status;
}

imgsim_status ims_kdtree_new(const struct ims_cluster_job *job, struct ims_kdtree **out_tree)
{
    struct ims_kdtree *tree = ims_calloc(1, sizeof(*tree));
    imgsim_status status;

    *out_tree = NULL;
    if (tree == NULL)
        return ims_fail_memory(sizeof(*tree));
    tree->n = job->n;
    tree->d = job->d;
    while ((job->n >> tree->depth) > LEAF_ROWS)
        tree->depth++;
    tree->values = ims_alloc_array(job->n * job->d, sizeof(float));
    tree->rows = ims_alloc_array(job->n, sizeof(int32_t));
    tree->places = ims_alloc_array(job->n, sizeof(int32_t));
    tree->boxes = ims_alloc_array((size_t)4 << tree->depth, job->d * sizeof(float));
    if (tree->values == NULL || tree->rows == NULL || tree->places == NULL || tree->boxes == NULL)
        status = ims_fail_memory(job->n * job->d * sizeof(float));
    else
        status = build_tree(tree, job);
    if (status != IMGSIM_OK) {
        ims_kdtree_free(tree);
        return status;
    }
    *out_tree = tree;
    return IMGSIM_OK;
}

void ims_kdtree_free(struct ims_kdtree *tree)
{
    if (tree == NULL)
        return;
    ims_free(tree->values);
    ims_free(tree->rows);
    ims_free(tree->places);
    ims_free(tree->boxes);
    ims_free(tree);
}

/* ---- nearest rows ---- */

/* The nearest so far, in order of (squared distance, row). */
struct near_list {
    double *squares;
    int32_t *rows;
    size_t count, k;
};

static inline void near_push(struct near_list *list, double square, int32_t row)
{
    size_t i;

    if (list->count == list->k) {
        const size_t last = list->k - 1;

        if (square > list->squares[last] ||
            (square == list->squares[last] && row > list->rows[last]))
            return;
        i = last;
    } else {
        i = list->count++;
    }
    for (; i > 0 && (list->squares[i - 1] > square ||
                     (list->squares[i - 1] == square && list->rows[i - 1] > row));
         i--) {
        list->squares[i] = list->squares[i - 1];
        list->rows[i] = list->rows[i - 1];
    }
    list->squares[i] = square;
    list->rows[i] = row;
}

static inline void
scan_leaf(const struct ims_kdtree *tree, size_t node, const float *point, struct near_list *list)
{
    const size_t end = ims_kdtree_end(tree, node, tree->depth);

    for (size_t i = ims_kdtree_first(tree, node, tree->depth); i < end; i++) {
        const double square = ims_kdtree_square(point, tree->values + i * tree->d, tree->d);

        if (list->count < list->k || square <= list->squares[list->k - 1])
            near_push(list, square, tree->rows[i]);
    }
}

/* Depth first, the nearer child first. */
static void find_nearest(const struct ims_kdtree *tree, const float *point, struct near_list *list)
{
    struct {
        size_t node;
        double square;
    } stack[IMS_KDTREE_DEPTH_MAX + 1];
    const size_t leaves = (size_t)1 << tree->depth;
    size_t count = 0;

    stack[count].node = 1;
    stack[count++].square = 0;
    while (count > 0) {
        size_t node = stack[--count].node;
        double square = stack[count].square;

        while (list->count < list->k || square <= list->squares[list->k - 1]) {
            double left, right;

            if (node >= leaves) {
                scan_leaf(tree, node, point, list);
                break;
            }
            left = ims_kdtree_box_square(tree, 2 * node, point);
            right = ims_kdtree_box_square(tree, 2 * node + 1, point);
            stack[count].node = 2 * node + (left <= right);
            stack[count++].square = left <= right ? right : left;
            node = 2 * node + (left > right);
            square = left <= right ? left : right;
        }
    }
}

struct nearest_job {
    const struct ims_kdtree *tree;
    size_t k;
    int32_t *out_rows;
    double *out_squares;
};

static imgsim_status find_all_nearest(void *context, size_t item, uint32_t worker)
{
    const struct nearest_job *job = context;
    const struct ims_kdtree *tree = job->tree;

    (void)worker;
    for (size_t i = item * PLACES_PER_ITEM; i < tree->n && i < (item + 1) * PLACES_PER_ITEM; i++) {
        const size_t out = (size_t)tree->rows[i] * job->k;
        struct near_list list = {job->out_squares + out, job->out_rows + out, 0, job->k};

        find_nearest(tree, tree->values + i * tree->d, &list);
    }
    return IMGSIM_OK;
}

imgsim_status ims_nearest_by_kdtree(
    const struct ims_kdtree *tree,
    const struct ims_cluster_job *job,
    size_t k,
    int32_t *out_rows,
    double *out_squares)
{
    struct nearest_job nearest = {tree, k, out_rows, out_squares};

    return ims_cluster_run(
        job, (job->n + PLACES_PER_ITEM - 1) / PLACES_PER_ITEM, PLACES_PER_ITEM, find_all_nearest,
        &nearest);
}
