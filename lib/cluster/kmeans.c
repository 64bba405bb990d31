/* SPDX-License-Identifier: Apache-2.0 */
/* k-means: the rounds of Lloyd's algorithm, means and their moves, empty clusters, several runs, and assigning other rows. */
#include "cluster/lloyd.h"

#include "core/memory.h"
#include "project/projector.h"
#include "simd/reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define COLUMNS_PER_ITEM ((size_t)64)
#define ROWS_PER_ITEM ((size_t)512)

/* ---- distances to the own mean ---- */

struct own_job {
    const struct ims_cluster_job *job;
    const float *means;
    const int32_t *labels;
    double *squares;
};

static imgsim_status measure_own(void *context, size_t item, uint32_t worker)
{
    const struct own_job *own = context;
    const size_t d = own->job->d, n = own->job->n;

    (void)worker;
    for (size_t i = item * ROWS_PER_ITEM; i < n && i < (item + 1) * ROWS_PER_ITEM; i++)
        own->squares[i] = ims_exact_l2_squared(
            own->job->rows + i * d, own->means + (size_t)own->labels[i] * d, d);
    return IMGSIM_OK;
}

static imgsim_status measure_all_own(
    const struct ims_cluster_job *job,
    const float *means,
    const int32_t *labels,
    double **out_squares)
{
    struct own_job own = {job, means, labels, ims_alloc_array(job->n, sizeof(double))};
    imgsim_status status;

    *out_squares = own.squares;
    if (own.squares == NULL)
        return ims_fail_memory(job->n * sizeof(double));
    status =
        ims_cluster_run(job, (job->n + ROWS_PER_ITEM - 1) / ROWS_PER_ITEM, 0, measure_own, &own);
    return status;
}

imgsim_status ims_inertia(
    const struct ims_cluster_job *job,
    const float *means,
    const int32_t *labels,
    double *out)
{
    double *squares;
    imgsim_status status = measure_all_own(job, means, labels, &squares);

    *out = 0;
    for (size_t i = 0; i < job->n && status == IMGSIM_OK; i++)
        *out += squares[i];
    ims_free(squares);
    return status;
}

/* ---- means ---- */

/* A row went from one cluster (or none) to another. */
struct change {
    int32_t row, from, to;
};

struct update_job {
    struct ims_lloyd *l;
    const struct change *changes;
    size_t count;
};

/* Each item owns some columns and takes the changes in order, so the sums do not depend on the threads. */
static imgsim_status update_columns(void *context, size_t item, uint32_t worker)
{
    const struct update_job *u = context;
    const size_t d = u->l->job->d, first = item * COLUMNS_PER_ITEM;
    const size_t count = d - first < COLUMNS_PER_ITEM ? d - first : COLUMNS_PER_ITEM;

    (void)worker;
    for (size_t c = 0; c < u->count; c++) {
        const struct change *change = &u->changes[c];
        const float *row = u->l->job->rows + (size_t)change->row * d + first;
        double *to = u->l->sums + (size_t)change->to * d + first;

        for (size_t j = 0; j < count; j++)
            to[j] += row[j];
        if (change->from >= 0) {
            double *from = u->l->sums + (size_t)change->from * d + first;

            for (size_t j = 0; j < count; j++)
                from[j] -= row[j];
        }
    }
    return IMGSIM_OK;
}

static imgsim_status
update_sums(struct ims_lloyd *l, const struct change *changes, size_t count, bool *touched)
{
    struct update_job u = {l, changes, count};
    const size_t items = (l->job->d + COLUMNS_PER_ITEM - 1) / COLUMNS_PER_ITEM;

    for (size_t c = 0; c < count; c++) {
        l->counts[changes[c].to]++;
        touched[changes[c].to] = true;
        if (changes[c].from >= 0) {
            l->counts[changes[c].from]--;
            touched[changes[c].from] = true;
        }
    }
    return ims_pool_run(l->job->pool, items, update_columns, &u);
}

/* Move a mean to the middle of its rows; with cosine, out to length 1. */
static void move_mean(struct ims_lloyd *l, size_t mean)
{
    const size_t d = l->job->d;
    const double *sums = l->sums + mean * d;
    float *out = l->means + mean * d;
    double scale = 1.0 / (double)l->counts[mean], length = 0, square = 0;

    if (l->job->options.metric == IMGSIM_METRIC_COSINE) {
        for (size_t j = 0; j < d; j++)
            length += sums[j] * sums[j];
        scale = length > 0 ? 1.0 / sqrt(length) : 0;
    }
    for (size_t j = 0; j < d; j++) {
        const float next = (float)(sums[j] * scale);
        const double step = (double)next - out[j];

        square += step * step;
        out[j] = next;
    }
    l->moves[mean] = (float)(sqrt(square) * (1 + 1e-6));
    l->move_squares += square;
    if (l->moves[mean] > l->move_most)
        l->move_most = l->moves[mean];
}

static void move_means(struct ims_lloyd *l, const bool *touched)
{
    l->move_most = 0;
    l->move_squares = 0;
    for (size_t mean = 0; mean < l->k; mean++) {
        l->moves[mean] = 0;
        if (touched[mean] && l->counts[mean] > 0)
            move_mean(l, mean);
    }
    ims_lloyd_place_means(l);
}

/* ---- empty clusters ---- */

/* The row farthest from its mean whose cluster has others, the first of equals; n if all rows lie on their means. */
static size_t farthest_row(const struct ims_lloyd *l, const double *squares)
{
    size_t farthest = l->job->n;

    for (size_t i = 0; i < l->job->n; i++)
        if (squares[i] > 0 && l->counts[l->labels[i]] > 1 &&
            (farthest == l->job->n || squares[i] > squares[farthest]))
            farthest = i;
    return farthest;
}

/* Give each empty cluster the row that is farthest from its mean. */
static imgsim_status fill_empty(struct ims_lloyd *l, bool *touched)
{
    double *squares = NULL;
    imgsim_status status = IMGSIM_OK;

    for (size_t mean = 0; mean < l->k && status == IMGSIM_OK; mean++) {
        struct change change;
        size_t i;

        if (l->counts[mean] > 0)
            continue;
        if (squares == NULL &&
            (status = measure_all_own(l->job, l->means, l->labels, &squares)) != IMGSIM_OK)
            break;
        if ((i = farthest_row(l, squares)) == l->job->n)
            break;
        change = (struct change){(int32_t)i, l->labels[i], (int32_t)mean};
        squares[i] = 0;
        l->labels[i] = (int32_t)mean;
        /* Nothing is known of where this row stands: the next round looks at all means. */
        l->upper[i] = FLT_MAX / 4;
        l->far[i] = 0;
        l->slot_counts[i] = 0;
        status = update_sums(l, &change, 1, touched);
    }
    ims_free(squares);
    return status;
}

/* ---- rounds ---- */

/* Changes of the last assignment, in order of row. */
static size_t list_changes(const struct ims_lloyd *l, struct change *out)
{
    size_t count = 0;

    for (size_t i = 0; i < l->job->n; i++)
        if (l->labels[i] != l->before[i])
            out[count++] = (struct change){(int32_t)i, l->before[i], l->labels[i]};
    return count;
}

/* Rounds until nothing changes, the moves are small, or there were enough; labels then belong to the means. */
static imgsim_status
run_rounds(struct ims_lloyd *l, struct change *changes, bool *touched, uint32_t *out_iterations)
{
    const struct ims_cluster_job *job = l->job;
    const double small = job->options.tolerance * l->spread;
    imgsim_status status;
    uint32_t round = 0;

    for (;;) {
        size_t count;

        if ((status = ims_lloyd_assign(l)) != IMGSIM_OK)
            return status;
        count = list_changes(l, changes);
        atomic_store(&job->meter->done, round);
        if (round > 0 && (count == 0 || l->move_squares <= small))
            break;
        if (round == job->options.max_iterations)
            break;
        memset(touched, 0, l->k * sizeof(bool));
        if ((status = update_sums(l, changes, count, touched)) != IMGSIM_OK ||
            (status = fill_empty(l, touched)) != IMGSIM_OK)
            return status;
        move_means(l, touched);
        round++;
    }
    *out_iterations = round;
    return IMGSIM_OK;
}

imgsim_status ims_lloyd(
    const struct ims_cluster_job *job,
    size_t k,
    float *means,
    int32_t *labels,
    uint32_t *out_iterations)
{
    struct ims_lloyd l;
    struct change *changes = ims_alloc_array(job->n, sizeof(*changes));
    bool *touched = ims_calloc(k, sizeof(bool));
    imgsim_status status = ims_lloyd_open(&l, job, k, means, labels);

    if (status == IMGSIM_OK && (changes == NULL || touched == NULL))
        status = ims_fail_memory(job->n * sizeof(*changes));
    if (status == IMGSIM_OK) {
        ims_lloyd_place_means(&l);
        status = run_rounds(&l, changes, touched, out_iterations);
    }
    ims_lloyd_close(&l);
    ims_free(changes);
    ims_free(touched);
    return status;
}

/* ---- the method ---- */

static imgsim_status first_means(const struct ims_cluster_job *job, uint32_t run, float *means)
{
    const size_t k = job->options.k, d = job->d;
    int64_t *rows;
    imgsim_status status;

    if (job->options.initial_means != NULL) {
        memcpy(means, job->options.initial_means, k * d * sizeof(float));
        return ims_check_finite(means, k, d, 0);
    }
    if ((rows = ims_alloc_array(k, sizeof(*rows))) == NULL)
        return ims_fail_memory(k * sizeof(*rows));
    ims_meter_phase(job->meter, "seed", k);
    status = ims_kmeans_seed(job, k, job->options.seed + run, rows);
    for (size_t c = 0; c < k && status == IMGSIM_OK; c++)
        memcpy(means + c * d, job->rows + (size_t)rows[c] * d, d * sizeof(float));
    ims_free(rows);
    return status;
}

/* One run; kept in the result if it is the best so far. */
static imgsim_status
run_once(const struct ims_cluster_job *job, uint32_t run, float *means, int32_t *labels)
{
    imgsim_clusters *out = job->out;
    uint32_t iterations = 0;
    imgsim_status status;
    double inertia;

    if ((status = first_means(job, run, means)) != IMGSIM_OK)
        return status;
    ims_meter_phase(job->meter, "assign", job->options.max_iterations);
    if ((status = ims_lloyd(job, job->options.k, means, labels, &iterations)) != IMGSIM_OK ||
        (status = ims_inertia(job, means, labels, &inertia)) != IMGSIM_OK)
        return status;
    if (run > 0 && inertia >= out->inertia)
        return IMGSIM_OK;
    out->inertia = inertia;
    out->iterations = iterations;
    memcpy(out->labels, labels, job->n * sizeof(int32_t));
    memcpy(out->means, means, job->options.k * job->d * sizeof(float));
    return IMGSIM_OK;
}

/* Number the clusters, and put the means in that order; empty ones are dropped. */
static imgsim_status number_clusters(const struct ims_cluster_job *job, const float *means)
{
    imgsim_clusters *out = job->out;
    int32_t *order = ims_alloc_array(job->options.k, sizeof(int32_t));
    imgsim_status status;

    if (order == NULL)
        return ims_fail_memory(job->options.k * sizeof(int32_t));
    status = ims_renumber(out->labels, job->n, job->options.k, &out->count, order);
    for (size_t c = 0; c < out->count && status == IMGSIM_OK; c++)
        memcpy(out->means + c * job->d, means + (size_t)order[c] * job->d, job->d * sizeof(float));
    ims_free(order);
    return status;
}

imgsim_status ims_kmeans(const struct ims_cluster_job *job)
{
    const size_t k = job->options.k;
    int32_t *labels = ims_alloc_array(job->n, sizeof(int32_t));
    float *means = NULL;
    imgsim_status status = IMGSIM_OK;
    uint32_t runs = job->options.initial_means != NULL ? 1 : job->options.runs;
    size_t size;

    if (!ims_mul_size(k, job->d * sizeof(float), &size) || labels == NULL ||
        (means = ims_alloc_aligned(size)) == NULL ||
        (job->out->means = ims_alloc_array(k * job->d, sizeof(float))) == NULL) {
        status = ims_fail_memory(k * job->d * sizeof(float));
        goto done;
    }
    for (uint32_t run = 0; run < runs && status == IMGSIM_OK; run++)
        status = run_once(job, run, means, labels);
    if (status == IMGSIM_OK) {
        memcpy(means, job->out->means, size);
        status = number_clusters(job, means);
    }

done:
    ims_free(labels);
    ims_free_aligned(means);
    return status;
}

/* ---- other rows ---- */

static imgsim_status assign_rows(
    const struct ims_cluster_job *job,
    const imgsim_clusters *clusters,
    float *means,
    int32_t *out_labels,
    float *out_distances)
{
    struct ims_lloyd l;
    imgsim_status status = ims_lloyd_open(&l, job, clusters->count, means, out_labels);

    if (status == IMGSIM_OK) {
        ims_lloyd_place_means(&l);
        status = ims_lloyd_assign(&l);
    }
    ims_lloyd_close(&l);
    if (status == IMGSIM_OK && out_distances != NULL) {
        double *squares;

        status = measure_all_own(job, means, out_labels, &squares);
        for (size_t i = 0; i < job->n && status == IMGSIM_OK; i++)
            out_distances[i] = (float)sqrt(squares[i]);
        ims_free(squares);
    }
    return status;
}

imgsim_status imgsim_clusters_assign(
    const imgsim_clusters *clusters,
    const float *rows,
    size_t row_count,
    int32_t *out_labels,
    float *out_distances)
{
    struct ims_meter meter = {0};
    struct ims_cluster_job job = {.rows = rows, .n = row_count, .meter = &meter};
    imgsim_status status;
    float *copy = NULL;

    if (clusters == NULL || rows == NULL || out_labels == NULL)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "clusters, rows and out_labels must not be NULL");
    if (clusters->means == NULL)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY, "%s has no means to assign rows to",
            imgsim_cluster_method_name(clusters->method));
    job.d = clusters->dimension;
    if (row_count == 0)
        return IMGSIM_OK;
    if ((status = ims_cluster_check_values(rows, row_count, job.d)) != IMGSIM_OK)
        return status;
    job.options.metric = clusters->metric;
    ims_meter_start(&meter, NULL, NULL);
    if (clusters->metric == IMGSIM_METRIC_COSINE) {
        if ((status = ims_unit_rows(rows, row_count, job.d, &copy)) != IMGSIM_OK)
            return status;
        job.rows = copy != NULL ? copy : rows;
    }
    if ((status = ims_pool_new(clusters->threads, &job.pool)) == IMGSIM_OK)
        status = assign_rows(&job, clusters, clusters->means, out_labels, out_distances);
    ims_pool_free(job.pool);
    ims_free_aligned(copy);
    return status;
}
