/* SPDX-License-Identifier: Apache-2.0 */
/* Clusters: settings, checks, the call itself, and reading the result. */
#include "cluster/cluster.h"

#include "core/memory.h"
#include "core/options.h"
#include "project/projector.h"
#include "simd/reference.h"

#include <math.h>
#include <string.h>

static const imgsim_cluster_options defaults = {
    .struct_size = sizeof(imgsim_cluster_options),
    .method = IMGSIM_CLUSTER_KMEANS,
    .metric = IMGSIM_METRIC_L2,
    .seed = 1,
    .k = 8,
    .max_iterations = 100,
    .runs = 1,
    .tolerance = 1e-4,
    .min_cluster_size = 15,
    .micro_clusters = 20000,
    .memory_limit = UINT64_C(4) << 30,
};

static const char *const method_names[] = {NULL, "kmeans", "dbscan", "hdbscan", "agglomerative"};
#define METHOD_COUNT (sizeof(method_names) / sizeof(method_names[0]))

imgsim_status imgsim_cluster_options_init(imgsim_cluster_options *options, size_t struct_size)
{
    return ims_options_init(options, struct_size, &defaults, sizeof(defaults));
}

const char *imgsim_cluster_method_name(int32_t method)
{
    return method > 0 && (size_t)method < METHOD_COUNT ? method_names[method] : NULL;
}

imgsim_status imgsim_cluster_method_from_name(const char *name, int32_t *out_method)
{
    if (name == NULL || out_method == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "name and out_method must not be NULL");
    for (size_t i = 1; i < METHOD_COUNT; i++)
        if (strcmp(name, method_names[i]) == 0) {
            *out_method = (int32_t)i;
            return IMGSIM_OK;
        }
    return ims_fail(
        IMGSIM_ERROR_NOT_FOUND,
        "no method \"%s\"; there are kmeans, dbscan, hdbscan and agglomerative", name);
}

/* ---- checks ---- */

static imgsim_status check_range(const char *name, double value, double least, double most)
{
    if (value >= least && value <= most)
        return IMGSIM_OK;
    return ims_fail(
        IMGSIM_ERROR_INVALID_ARGUMENT, "%s is %g, expected %g to %g", name, value, least, most);
}

static imgsim_status check_k(const imgsim_cluster_options *o, size_t n)
{
    const bool cut = o->method == IMGSIM_CLUSTER_AGGLOMERATIVE;

    if (o->method != IMGSIM_CLUSTER_KMEANS && !cut)
        return IMGSIM_OK;
    if (o->k > n)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "k is %u, but there are only %zu rows", o->k, n);
    if (o->k == 0 && !cut)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "k is 0, expected 1 to %zu", n);
    if (cut && o->linkage == IMGSIM_LINKAGE_WARD && n > o->micro_clusters &&
        o->k > o->micro_clusters)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "k is %u, but there are only %u micro-clusters", o->k,
            o->micro_clusters);
    return IMGSIM_OK;
}

static imgsim_status check_kinds(const imgsim_cluster_options *o)
{
    if (o->method < 1 || (size_t)o->method >= METHOD_COUNT)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown method %d", o->method);
    if (o->metric != IMGSIM_METRIC_L2 && o->metric != IMGSIM_METRIC_COSINE)
        return ims_fail(
            IMGSIM_ERROR_UNSUPPORTED, "metric %d, clusters are by L2 or cosine", o->metric);
    if (o->linkage < IMGSIM_LINKAGE_WARD || o->linkage > IMGSIM_LINKAGE_AVERAGE)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown linkage %d", o->linkage);
    if (o->selection != IMGSIM_SELECT_EOM && o->selection != IMGSIM_SELECT_LEAF)
        return ims_fail(IMGSIM_ERROR_UNSUPPORTED, "unknown selection %d", o->selection);
    return IMGSIM_OK;
}

static imgsim_status check_options(const imgsim_cluster_options *o, size_t n)
{
    imgsim_status status;

    if ((status = check_kinds(o)) != IMGSIM_OK || (status = check_k(o, n)) != IMGSIM_OK ||
        (status = check_range("max_iterations", o->max_iterations, 1, UINT32_MAX)) != IMGSIM_OK ||
        (status = check_range("runs", o->runs, 1, 1000)) != IMGSIM_OK ||
        (status = check_range("tolerance", o->tolerance, 0, HUGE_VAL)) != IMGSIM_OK ||
        (status = check_range("eps", o->eps, 0, 1e30)) != IMGSIM_OK ||
        (status = check_range("min_samples", o->min_samples, 0, 10000)) != IMGSIM_OK ||
        (status = check_range("min_cluster_size", o->min_cluster_size, 2, UINT32_MAX)) !=
            IMGSIM_OK ||
        (status = check_range("selection_epsilon", o->selection_epsilon, 0, HUGE_VAL)) !=
            IMGSIM_OK ||
        (status = check_range("micro_clusters", o->micro_clusters, 2, 65536)) != IMGSIM_OK)
        return status;
    return check_range("cut_height", o->cut_height, 0, HUGE_VAL);
}

/* ---- rows ---- */

/* Beyond this, squares of differences would not fit a float. */
#define VALUE_MAX 1e15f

imgsim_status ims_cluster_check_values(const float *rows, size_t n, size_t d)
{
    imgsim_status status;

    for (size_t i = 0; i < n; i++) {
        const float *row = rows + i * d;
        float most = 0;
        bool odd = false;

        for (size_t j = 0; j < d; j++) {
            const float value = fabsf(row[j]);

            most = value > most ? value : most;
            odd |= !(value <= VALUE_MAX);
        }
        if (!odd)
            continue;
        if ((status = ims_check_finite(row, 1, d, i)) != IMGSIM_OK)
            return status;
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "row %zu has a value of %g, expected at most %g", i,
            (double)most, (double)VALUE_MAX);
    }
    return IMGSIM_OK;
}

/*
 * Copy of rows scaled to length 1 in double precision; rows of zeros stay. Rows that have that length already are not copied.
 */
imgsim_status ims_unit_rows(const float *rows, size_t n, size_t d, float **out_copy)
{
    float *copy = NULL;
    size_t size;

    *out_copy = NULL;
    for (size_t i = 0; i < n; i++) {
        const float *row = rows + i * d;
        const double square = ims_exact_dot(row, row, d);

        if (copy == NULL && (square == 0 || fabs(square - 1) < 1e-6))
            continue;
        if (copy == NULL) {
            if (!ims_mul_size(n, d * sizeof(float), &size) ||
                (copy = ims_alloc_aligned(size)) == NULL)
                return ims_fail_memory(n * d * sizeof(float));
            memcpy(copy, rows, i * d * sizeof(float));
        }
        for (size_t j = 0; j < d; j++)
            copy[i * d + j] = square > 0 ? (float)(row[j] / sqrt(square)) : 0.0f;
    }
    *out_copy = copy;
    return IMGSIM_OK;
}

/* Items between two looks at the clock: a hundredth of all, whole rounds of the threads. */
static size_t slice_length(const struct ims_cluster_job *job, size_t count)
{
    const size_t threads = ims_pool_threads(job->pool);
    const size_t slice = count / 100 + 1;

    return (slice + 4 * threads - 1) / (4 * threads) * (4 * threads);
}

struct slice {
    ims_task task;
    void *context;
    size_t first;
};

static imgsim_status run_slice_item(void *context, size_t item, uint32_t worker)
{
    const struct slice *slice = context;

    return slice->task(slice->context, slice->first + item, worker);
}

imgsim_status ims_cluster_run(
    const struct ims_cluster_job *job,
    size_t count,
    uint64_t weight,
    ims_task task,
    void *context)
{
    const size_t length = slice_length(job, count);
    struct slice slice = {task, context, 0};
    imgsim_status status = IMGSIM_OK;

    for (; slice.first < count && status == IMGSIM_OK; slice.first += length) {
        const size_t here = count - slice.first < length ? count - slice.first : length;

        status = ims_pool_run(job->pool, here, run_slice_item, &slice);
        atomic_fetch_add(&job->meter->done, here * weight);
        if (status == IMGSIM_OK)
            status = ims_meter_tick(job->meter, false);
    }
    return status;
}

/* ---- the call ---- */

static imgsim_status run_method(const struct ims_cluster_job *job)
{
    switch (job->options.method) {
    case IMGSIM_CLUSTER_KMEANS:
        return ims_kmeans(job);
    case IMGSIM_CLUSTER_DBSCAN:
        return ims_dbscan(job);
    case IMGSIM_CLUSTER_HDBSCAN:
        return ims_hdbscan(job);
    default:
        return ims_agglomerative(job);
    }
}

static imgsim_status make_result(struct ims_cluster_job *job)
{
    imgsim_clusters *out = job->out;
    imgsim_status status;

    out->row_count = job->n;
    out->dimension = (uint32_t)job->d;
    out->method = job->options.method;
    out->metric = job->options.metric;
    out->threads = job->options.threads;
    if ((out->labels = ims_alloc_array(job->n, sizeof(int32_t))) == NULL)
        return ims_fail_memory(job->n * sizeof(int32_t));
    if ((status = run_method(job)) != IMGSIM_OK || (status = ims_describe(job)) != IMGSIM_OK)
        return status;
    return ims_meter_tick(job->meter, true);
}

static imgsim_status
check_input(const float *rows, size_t n, uint32_t d, const imgsim_cluster_options *options)
{
    imgsim_status status;

    if (rows == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "rows must not be NULL");
    if (d == 0 || d > IMS_CLUSTER_DIMENSION_MAX)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "dimension %u, expected 1 to %d", d,
            IMS_CLUSTER_DIMENSION_MAX);
    if (n == 0)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "no rows to cluster");
    if (n >= INT32_MAX)
        return ims_fail(IMGSIM_ERROR_LIMIT, "%zu rows, at most %d are clustered", n, INT32_MAX - 1);
    if ((status = check_options(options, n)) != IMGSIM_OK)
        return status;
    return ims_cluster_check_values(rows, n, d);
}

imgsim_status imgsim_cluster_rows(
    const float *rows,
    size_t row_count,
    uint32_t dimension,
    const imgsim_cluster_options *options,
    imgsim_clusters **out_clusters)
{
    struct ims_meter meter = {0};
    struct ims_cluster_job job = {.rows = rows, .n = row_count, .d = dimension, .meter = &meter};
    imgsim_status status;
    float *copy = NULL;

    if (out_clusters == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "out_clusters must not be NULL");
    *out_clusters = NULL;
    job.options = defaults;
    if ((status = ims_options_read(&job.options, sizeof(job.options), options)) != IMGSIM_OK ||
        (status = check_input(rows, row_count, dimension, &job.options)) != IMGSIM_OK)
        return status;

    ims_meter_start(&meter, job.options.progress, job.options.user_data);
    if ((job.out = ims_calloc(1, sizeof(*job.out))) == NULL)
        return ims_fail_memory(sizeof(*job.out));
    if ((status = ims_pool_new(job.options.threads, &job.pool)) != IMGSIM_OK)
        goto done;
    if (job.options.metric == IMGSIM_METRIC_COSINE) {
        if ((status = ims_unit_rows(rows, row_count, dimension, &copy)) != IMGSIM_OK)
            goto done;
        job.rows = copy != NULL ? copy : rows;
    }
    if ((status = make_result(&job)) != IMGSIM_OK)
        goto done;
    *out_clusters = job.out;
    job.out = NULL; /* now the caller's */

done:
    imgsim_clusters_free(job.out);
    ims_pool_free(job.pool);
    ims_free_aligned(copy);
    return status;
}

void imgsim_clusters_free(imgsim_clusters *clusters)
{
    if (clusters == NULL)
        return;
    ims_free(clusters->labels);
    ims_free(clusters->sizes);
    ims_free(clusters->medoids);
    ims_free(clusters->probabilities);
    ims_free(clusters->means);
    ims_free(clusters->tree);
    ims_free(clusters->leaves);
    ims_free(clusters);
}

/* ---- reading ---- */

size_t imgsim_clusters_get_row_count(const imgsim_clusters *clusters)
{
    return clusters->row_count;
}

size_t imgsim_clusters_get_count(const imgsim_clusters *clusters)
{
    return clusters->count;
}

size_t imgsim_clusters_get_noise_count(const imgsim_clusters *clusters)
{
    return clusters->noise_count;
}

const int32_t *imgsim_clusters_get_labels(const imgsim_clusters *clusters)
{
    return clusters->labels;
}

const uint64_t *imgsim_clusters_get_sizes(const imgsim_clusters *clusters)
{
    return clusters->sizes;
}

const int64_t *imgsim_clusters_get_medoids(const imgsim_clusters *clusters)
{
    return clusters->medoids;
}

const float *imgsim_clusters_get_probabilities(const imgsim_clusters *clusters)
{
    return clusters->probabilities;
}

const float *imgsim_clusters_get_means(const imgsim_clusters *clusters)
{
    return clusters->means;
}

double imgsim_clusters_get_inertia(const imgsim_clusters *clusters)
{
    return clusters->inertia;
}

uint32_t imgsim_clusters_get_iterations(const imgsim_clusters *clusters)
{
    return clusters->iterations;
}

double imgsim_clusters_get_eps(const imgsim_clusters *clusters)
{
    return clusters->eps;
}

size_t imgsim_clusters_get_leaf_count(const imgsim_clusters *clusters)
{
    return clusters->leaf_count;
}

const double *imgsim_clusters_get_tree(const imgsim_clusters *clusters)
{
    return clusters->tree;
}

const int32_t *imgsim_clusters_get_leaves(const imgsim_clusters *clusters)
{
    return clusters->leaves;
}

imgsim_status imgsim_clusters_cut(
    const imgsim_clusters *clusters,
    size_t k,
    double height,
    int32_t *out_labels,
    size_t *out_count)
{
    const size_t n = clusters != NULL ? clusters->row_count : 0;
    int32_t *leaves;
    imgsim_status status;
    size_t count;

    if (clusters == NULL || out_labels == NULL)
        return ims_fail(IMGSIM_ERROR_INVALID_ARGUMENT, "clusters and out_labels must not be NULL");
    if (clusters->tree == NULL && clusters->leaf_count != 1)
        return ims_fail(
            IMGSIM_ERROR_NOT_READY, "%s makes no tree to cut",
            imgsim_cluster_method_name(clusters->method));
    if (k > clusters->leaf_count)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "k is %zu, but the tree has only %zu leaves", k,
            clusters->leaf_count);
    if ((leaves = ims_alloc_array(clusters->leaf_count, sizeof(int32_t))) == NULL)
        return ims_fail_memory(clusters->leaf_count * sizeof(int32_t));
    status = ims_cut_tree(clusters->tree, clusters->leaf_count, k, height, leaves, &count);
    for (size_t i = 0; i < n && status == IMGSIM_OK; i++)
        out_labels[i] = leaves[clusters->leaves != NULL ? clusters->leaves[i] : (int32_t)i];
    ims_free(leaves);
    if (status == IMGSIM_OK)
        status = ims_renumber(out_labels, n, count, &count, NULL);
    if (status == IMGSIM_OK && out_count != NULL)
        *out_count = count;
    return status;
}
