/* SPDX-License-Identifier: Apache-2.0 */
/* Partitions: numbering by size, sizes, medoids, and the agreement of two of them. */
#include "cluster/cluster.h"

#include "core/memory.h"
#include "simd/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbering ---- */

struct group {
    uint64_t size;
    int32_t first;
    int32_t number;
};

static int by_falling_size(const void *x, const void *y)
{
    const struct group *a = x, *b = y;

    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

imgsim_status
ims_renumber(int32_t *labels, size_t n, size_t bound, size_t *out_count, int32_t *out_order)
{
    struct group *groups = ims_calloc(bound, sizeof(*groups));
    int32_t *numbers = ims_alloc_array(bound, sizeof(int32_t));
    size_t count = 0;

    if (groups == NULL || numbers == NULL) {
        ims_free(groups);
        ims_free(numbers);
        return ims_fail_memory(bound * sizeof(*groups));
    }
    for (size_t i = 0; i < n; i++)
        if (labels[i] >= 0 && groups[labels[i]].size++ == 0)
            groups[labels[i]].first = (int32_t)i;
    for (size_t g = 0; g < bound; g++) {
        groups[g].number = (int32_t)g;
        if (groups[g].size > 0)
            groups[count++] = groups[g];
    }
    qsort(groups, count, sizeof(*groups), by_falling_size);
    for (size_t g = 0; g < count; g++) {
        numbers[groups[g].number] = (int32_t)g;
        if (out_order != NULL)
            out_order[g] = groups[g].number;
    }
    for (size_t i = 0; i < n; i++)
        labels[i] = labels[i] >= 0 ? numbers[labels[i]] : IMS_NOISE;
    *out_count = count;
    ims_free(groups);
    ims_free(numbers);
    return IMGSIM_OK;
}

/* ---- medoids ---- */

/* Rows put in order of their cluster, and each cluster's row nearest to its mean. */
struct medoid_job {
    const struct ims_cluster_job *job;
    const int32_t *order; /* rows, cluster after cluster */
    const size_t *starts; /* count + 1 */
    double *means;        /* d per worker */
    float *rounded;       /* d per worker */
};

static imgsim_status find_medoid(void *context, size_t item, uint32_t worker)
{
    const struct medoid_job *m = context;
    const size_t d = m->job->d;
    const size_t first = m->starts[item], end = m->starts[item + 1];
    double *mean = m->means + worker * d;
    float *rounded = m->rounded + worker * d;
    double best = HUGE_VAL;

    memset(mean, 0, d * sizeof(double));
    for (size_t i = first; i < end; i++) {
        const float *row = m->job->rows + (size_t)m->order[i] * d;

        for (size_t j = 0; j < d; j++)
            mean[j] += row[j];
    }
    for (size_t j = 0; j < d; j++)
        rounded[j] = (float)(mean[j] / (double)(end - first));
    for (size_t i = first; i < end; i++) {
        const double square =
            ims_exact_l2_squared(m->job->rows + (size_t)m->order[i] * d, rounded, d);

        if (square < best) {
            best = square;
            m->job->out->medoids[item] = m->order[i];
        }
    }
    return IMGSIM_OK;
}

static imgsim_status find_medoids(const struct ims_cluster_job *job)
{
    imgsim_clusters *out = job->out;
    const size_t threads = ims_pool_threads(job->pool);
    size_t *starts = ims_calloc(out->count + 2, sizeof(size_t));
    int32_t *order = ims_alloc_array(job->n, sizeof(int32_t));
    struct medoid_job m = {
        job, order, starts, ims_alloc_array(threads * job->d, sizeof(double)),
        ims_alloc_array(threads * job->d, sizeof(float))};
    imgsim_status status = IMGSIM_OK;

    if (starts == NULL || order == NULL || m.means == NULL || m.rounded == NULL) {
        status = ims_fail_memory(job->n * sizeof(int32_t));
        goto done;
    }
    /* Counting sort; starts[c + 1] runs ahead as cluster c fills, and ends at its end. */
    for (size_t c = 1; c < out->count; c++)
        starts[c + 1] = starts[c] + out->sizes[c - 1];
    for (size_t i = 0; i < job->n; i++)
        if (out->labels[i] >= 0)
            order[starts[out->labels[i] + 1]++] = (int32_t)i;
    ims_meter_phase(job->meter, "medoids", out->count);
    status = ims_cluster_run(job, out->count, 1, find_medoid, &m);

done:
    ims_free(starts);
    ims_free(order);
    ims_free(m.means);
    ims_free(m.rounded);
    return status;
}

imgsim_status ims_describe(const struct ims_cluster_job *job)
{
    imgsim_clusters *out = job->out;

    out->sizes = ims_calloc(out->count, sizeof(uint64_t));
    out->medoids = ims_calloc(out->count, sizeof(int64_t));
    if (out->sizes == NULL || out->medoids == NULL)
        return ims_fail_memory(out->count * sizeof(uint64_t));
    for (size_t i = 0; i < job->n; i++)
        if (out->labels[i] >= 0)
            out->sizes[out->labels[i]]++;
        else
            out->noise_count++;
    return find_medoids(job);
}

/* ---- agreement ---- */

static double pairs_of(double n)
{
    return n * (n - 1) / 2;
}

/* Compact copy: noise becomes number 0, others are numbered as they occur. */
static imgsim_status compact(const int32_t *labels, size_t n, int32_t *out, size_t *out_count)
{
    int32_t most = -1;
    int32_t *numbers;
    int32_t count = 0;

    for (size_t i = 0; i < n; i++)
        most = labels[i] > most ? labels[i] : most;
    if ((numbers = ims_calloc((size_t)most + 2, sizeof(int32_t))) == NULL)
        return ims_fail_memory(((size_t)most + 2) * sizeof(int32_t));
    for (size_t i = 0; i < n; i++) {
        int32_t *number = &numbers[labels[i] < 0 ? 0 : (size_t)labels[i] + 1];

        if (*number == 0)
            *number = ++count;
        out[i] = *number - 1;
    }
    ims_free(numbers);
    *out_count = (size_t)count;
    return IMGSIM_OK;
}

/* What both indices are made of. */
struct table_sums {
    double joint_pairs, a_pairs, b_pairs;
    double joint_entropy, a_entropy, b_entropy; /* natural logarithm */
};

static double entropy_term(double count, double n)
{
    return count > 0 ? -count / n * log(count / n) : 0;
}

static int by_value(const void *x, const void *y)
{
    const uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;

    return a < b ? -1 : a > b;
}

/* Sums over the cells of the table that are not empty: pairs of labels, sorted, equal ones together. */
static void add_cells(uint64_t *pairs, size_t n, struct table_sums *sums)
{
    qsort(pairs, n, sizeof(*pairs), by_value);
    for (size_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && pairs[end] == pairs[first];)
            end++;
        sums->joint_pairs += pairs_of((double)(end - first));
        sums->joint_entropy += entropy_term((double)(end - first), (double)n);
    }
}

static imgsim_status
add_margin(const int32_t *labels, size_t n, size_t count, double *out_pairs, double *out_entropy)
{
    uint64_t *sizes = ims_calloc(count, sizeof(*sizes));

    if (sizes == NULL)
        return ims_fail_memory(count * sizeof(*sizes));
    for (size_t i = 0; i < n; i++)
        sizes[labels[i]]++;
    for (size_t c = 0; c < count; c++) {
        *out_pairs += pairs_of((double)sizes[c]);
        *out_entropy += entropy_term((double)sizes[c], (double)n);
    }
    ims_free(sizes);
    return IMGSIM_OK;
}

static double adjusted_rand(const struct table_sums *s, size_t n)
{
    const double all = pairs_of((double)n);
    const double expected = all > 0 ? s->a_pairs * s->b_pairs / all : 0;
    const double most = (s->a_pairs + s->b_pairs) / 2;

    /* Both all in one, or all alone: the same partition. */
    return most == expected ? 1 : (s->joint_pairs - expected) / (most - expected);
}

static double mutual_information(const struct table_sums *s)
{
    const double shared = s->a_entropy + s->b_entropy - s->joint_entropy;
    const double mean = (s->a_entropy + s->b_entropy) / 2;

    if (mean <= 0)
        return 1;
    return shared <= 0 ? 0 : shared / mean > 1 ? 1 : shared / mean;
}

imgsim_status imgsim_compare_labels(
    const int32_t *a,
    const int32_t *b,
    size_t row_count,
    double *out_ari,
    double *out_nmi)
{
    struct table_sums sums = {0};
    int32_t *x = NULL, *y = NULL;
    uint64_t *pairs = NULL;
    size_t x_count, y_count;
    imgsim_status status;

    if (a == NULL || b == NULL || row_count == 0)
        return ims_fail(
            IMGSIM_ERROR_INVALID_ARGUMENT, "two partitions of at least one row are compared");
    x = ims_alloc_array(row_count, sizeof(int32_t));
    y = ims_alloc_array(row_count, sizeof(int32_t));
    pairs = ims_alloc_array(row_count, sizeof(uint64_t));
    if (x == NULL || y == NULL || pairs == NULL) {
        status = ims_fail_memory(row_count * sizeof(uint64_t));
        goto done;
    }
    if ((status = compact(a, row_count, x, &x_count)) != IMGSIM_OK ||
        (status = compact(b, row_count, y, &y_count)) != IMGSIM_OK ||
        (status = add_margin(x, row_count, x_count, &sums.a_pairs, &sums.a_entropy)) != IMGSIM_OK ||
        (status = add_margin(y, row_count, y_count, &sums.b_pairs, &sums.b_entropy)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < row_count; i++)
        pairs[i] = (uint64_t)(uint32_t)x[i] << 32 | (uint32_t)y[i];
    add_cells(pairs, row_count, &sums);
    if (out_ari != NULL)
        *out_ari = adjusted_rand(&sums, row_count);
    if (out_nmi != NULL)
        *out_nmi = mutual_information(&sums);

done:
    ims_free(x);
    ims_free(y);
    ims_free(pairs);
    return status;
}
