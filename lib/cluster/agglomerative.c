/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agglomerative clustering: single linkage from the spanning tree; complete and average linkage by the nearest-neighbour chain
 * (Murtagh, The Computer Journal 26(4), 1983) on a stored matrix with the updates of Lance & Williams (1967); Ward in ward.c.
 */
#include "cluster/cluster.h"

#include "core/memory.h"
#include "simd/reference.h"

#include <math.h>
#include <string.h>

#define ROWS_PER_ITEM ((size_t)16)

/* ---- a stored matrix ---- */

struct matrix {
    const struct ims_cluster_job *job;
    double *distances; /* above the diagonal, row after row */
    double *sizes;     /* of the cluster at a place; 0: joined away */
    size_t n;
};

static size_t place(const struct matrix *m, size_t i, size_t j)
{
    return i < j ? i * (2 * m->n - i - 1) / 2 + j - i - 1 : j * (2 * m->n - j - 1) / 2 + i - j - 1;
}

static imgsim_status fill_rows(void *context, size_t item, uint32_t worker)
{
    const struct matrix *m = context;

    (void)worker;
    for (size_t i = item * ROWS_PER_ITEM; i < m->n && i < (item + 1) * ROWS_PER_ITEM; i++)
        for (size_t j = i + 1; j < m->n; j++)
            m->distances[place(m, i, j)] = sqrt(ims_exact_l2_squared(
                m->job->rows + i * m->job->d, m->job->rows + j * m->job->d, m->job->d));
    return IMGSIM_OK;
}

/* The nearest cluster, the first of equals unless `prefer` is one of them. */
static size_t nearest_of(const struct matrix *m, size_t i, size_t prefer)
{
    size_t nearest = prefer;
    double least = prefer < m->n ? m->distances[place(m, i, prefer)] : HUGE_VAL;

    for (size_t j = 0; j < m->n; j++) {
        if (j == i || m->sizes[j] == 0)
            continue;
        if (m->distances[place(m, i, j)] < least || nearest >= m->n) {
            least = m->distances[place(m, i, j)];
            nearest = j;
        }
    }
    return nearest;
}

/* Cluster b takes in a. */
static void join_places(const struct matrix *m, size_t a, size_t b)
{
    const double share = m->sizes[a] / (m->sizes[a] + m->sizes[b]);

    for (size_t j = 0; j < m->n; j++) {
        double *to;
        double from;

        if (j == a || j == b || m->sizes[j] == 0)
            continue;
        from = m->distances[place(m, a, j)];
        to = &m->distances[place(m, b, j)];
        if (m->job->options.linkage == IMGSIM_LINKAGE_COMPLETE)
            *to = from > *to ? from : *to;
        else
            *to = share * from + (1 - share) * *to;
    }
    m->sizes[b] += m->sizes[a];
    m->sizes[a] = 0;
}

static imgsim_status run_chain(const struct matrix *m, size_t *chain, struct ims_join *joins)
{
    imgsim_status status = IMGSIM_OK;
    size_t length = 0, start = 0;

    for (size_t count = 0; count + 1 < m->n && status == IMGSIM_OK;) {
        size_t last, next;

        if (length == 0) {
            while (m->sizes[start] == 0)
                start++;
            chain[length++] = start;
        }
        last = chain[length - 1];
        next = nearest_of(m, last, length > 1 ? chain[length - 2] : m->n);
        if (length == 1 || next != chain[length - 2]) {
            chain[length++] = next;
            continue;
        }
        joins[count++] =
            (struct ims_join){m->distances[place(m, last, next)], (int32_t)last, (int32_t)next};
        join_places(m, last < next ? last : next, last < next ? next : last);
        length -= 2;
        atomic_store(&m->job->meter->done, count);
        status = ims_meter_tick(m->job->meter, false);
    }
    return status;
}

static imgsim_status by_matrix(const struct ims_cluster_job *job, double *out)
{
    const size_t n = job->n;
    const uint64_t need = 4 * (uint64_t)n * (n - 1);
    struct matrix m = {.job = job, .n = n};
    size_t *chain = ims_alloc_array(n, sizeof(size_t));
    struct ims_join *joins = ims_alloc_array(n, sizeof(*joins));
    imgsim_status status;

    if (need > job->options.memory_limit) {
        status = ims_fail(
            IMGSIM_ERROR_LIMIT,
            "complete and average linkage of %zu rows need a matrix of %llu bytes, memory_limit is "
            "%llu; Ward and single "
            "linkage need none",
            n, (unsigned long long)need, (unsigned long long)job->options.memory_limit);
        goto done;
    }
    m.distances = ims_alloc_array(n * (n - 1) / 2, sizeof(double));
    m.sizes = ims_alloc_array(n, sizeof(double));
    if (chain == NULL || joins == NULL || m.distances == NULL || m.sizes == NULL) {
        status = ims_fail_memory((size_t)need);
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        m.sizes[i] = 1;
    ims_meter_phase(job->meter, "distances", n);
    if ((status = ims_cluster_run(
             job, (n + ROWS_PER_ITEM - 1) / ROWS_PER_ITEM, ROWS_PER_ITEM, fill_rows, &m)) !=
        IMGSIM_OK)
        goto done;
    ims_meter_phase(job->meter, "join", n - 1);
    if ((status = run_chain(&m, chain, joins)) == IMGSIM_OK)
        status = ims_tree_of_joins(joins, n, out);

done:
    ims_free(m.distances);
    ims_free(m.sizes);
    ims_free(chain);
    ims_free(joins);
    return status;
}

/* ---- single linkage ---- */

static imgsim_status by_spanning_tree(const struct ims_cluster_job *job, double *out)
{
    struct ims_edge *edges = ims_alloc_array(job->n, sizeof(*edges));
    imgsim_status status;

    if (edges == NULL)
        return ims_fail_memory(job->n * sizeof(*edges));
    if ((status = ims_spanning_tree(job, 1, edges, NULL)) == IMGSIM_OK)
        status = ims_tree_of_edges(edges, job->n, out);
    ims_free(edges);
    return status;
}

/* ---- Ward, with micro-clusters where rows are many ---- */

static imgsim_status ward_of_rows(const struct ims_cluster_job *job)
{
    double *weights = ims_alloc_array(job->n, sizeof(double));
    imgsim_status status;

    if (weights == NULL)
        return ims_fail_memory(job->n * sizeof(double));
    for (size_t i = 0; i < job->n; i++)
        weights[i] = 1;
    status = ims_ward(job, job->rows, weights, job->n, job->out->tree);
    ims_free(weights);
    return status;
}

/* The means of the micro-clusters that have rows, their sizes, and the leaf of each row. */
static size_t compact_means(
    const struct ims_cluster_job *job,
    size_t k,
    float *means,
    double *weights,
    int32_t *leaves)
{
    int32_t *numbers = leaves + job->n; /* k of work space behind the leaves */
    size_t count = 0;

    for (size_t c = 0; c < k; c++)
        numbers[c] = 0;
    for (size_t i = 0; i < job->n; i++)
        numbers[leaves[i]]++;
    for (size_t c = 0; c < k; c++) {
        if (numbers[c] == 0)
            continue;
        weights[count] = numbers[c];
        memmove(means + count * job->d, means + c * job->d, job->d * sizeof(float));
        numbers[c] = (int32_t)count++;
    }
    for (size_t i = 0; i < job->n; i++)
        leaves[i] = numbers[leaves[i]];
    return count;
}

static imgsim_status ward_of_micro_clusters(const struct ims_cluster_job *job)
{
    struct ims_cluster_job micro = *job;
    const size_t k = job->options.micro_clusters, d = job->d;
    imgsim_clusters *out = job->out;
    int64_t *seeds = ims_alloc_array(k, sizeof(*seeds));
    double *weights = ims_alloc_array(k, sizeof(*weights));
    float *means = ims_alloc_array(k * d, sizeof(float));
    imgsim_status status;
    uint32_t rounds;

    if ((out->leaves = ims_alloc_array(job->n + k, sizeof(int32_t))) == NULL || seeds == NULL ||
        weights == NULL || means == NULL) {
        status = ims_fail_memory(k * d * sizeof(float));
        goto done;
    }
    micro.options.metric = IMGSIM_METRIC_L2; /* Ward joins means as they are */
    if (micro.options.max_iterations > 10)
        micro.options.max_iterations = 10;
    ims_meter_phase(job->meter, "seed", k);
    if ((status = ims_kmeans_seed(&micro, k, job->options.seed, seeds)) != IMGSIM_OK)
        goto done;
    for (size_t c = 0; c < k; c++)
        memcpy(means + c * d, job->rows + (size_t)seeds[c] * d, d * sizeof(float));
    ims_meter_phase(job->meter, "assign", micro.options.max_iterations);
    if ((status = ims_lloyd(&micro, k, means, out->leaves, &rounds)) != IMGSIM_OK)
        goto done;
    out->leaf_count = compact_means(job, k, means, weights, out->leaves);
    status = ims_ward(job, means, weights, out->leaf_count, out->tree);

done:
    ims_free(seeds);
    ims_free(weights);
    ims_free(means);
    return status;
}

/* ---- the method ---- */

static imgsim_status build_tree(const struct ims_cluster_job *job)
{
    imgsim_clusters *out = job->out;
    const bool micro =
        job->options.linkage == IMGSIM_LINKAGE_WARD && job->n > job->options.micro_clusters;

    out->leaf_count = micro ? job->options.micro_clusters : job->n;
    if ((out->tree = ims_alloc_array(4 * out->leaf_count, sizeof(double))) == NULL)
        return ims_fail_memory(4 * out->leaf_count * sizeof(double));
    if (job->n == 1)
        return IMGSIM_OK;
    if (micro)
        return ward_of_micro_clusters(job);
    if (job->options.linkage == IMGSIM_LINKAGE_WARD)
        return ward_of_rows(job);
    if (job->options.linkage == IMGSIM_LINKAGE_SINGLE)
        return by_spanning_tree(job, out->tree);
    return by_matrix(job, out->tree);
}

imgsim_status ims_agglomerative(const struct ims_cluster_job *job)
{
    imgsim_clusters *out = job->out;
    imgsim_status status;
    size_t k = job->options.k;

    if ((status = build_tree(job)) != IMGSIM_OK)
        return status;
    if (k > out->leaf_count)
        k = out->leaf_count; /* fewer distinct rows than micro-clusters */
    return imgsim_clusters_cut(out, k, job->options.cut_height, out->labels, &out->count);
}
