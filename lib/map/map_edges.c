/* SPDX-License-Identifier: Apache-2.0 */
/* Affinities of UMAP and t-SNE, and making them symmetric. */
#include "map/map_edges.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

#define ROWS 2048

void ims_map_edges_clear(struct ims_map_edges *edges)
{
    ims_free(edges->starts);
    ims_free(edges->targets);
    ims_free(edges->weights);
    memset(edges, 0, sizeof(*edges));
}

/* ---- UMAP ---- */

/* Bisection as in the paper's reference: this many steps, to this tolerance. */
#define STEPS 64
#define TOLERANCE 1e-5
/* sigma is at least this share of the mean distance. */
#define SIGMA_LEAST 1e-3

static double weight_sum(const float *distances, uint32_t k, double rho, double sigma)
{
    double sum = 0.0;

    for (uint32_t j = 0; j < k; j++) {
        const double beyond = distances[j] - rho;

        sum += beyond > 0.0 ? exp(-beyond / sigma) : 1.0;
    }
    return sum;
}

static double find_sigma(const float *distances, uint32_t k, double rho)
{
    const double target = log2((double)k + 1.0);
    double low = 0.0, high = INFINITY, sigma = 1.0;

    for (int step = 0; step < STEPS; step++) {
        const double sum = weight_sum(distances, k, rho, sigma);

        if (fabs(sum - target) < TOLERANCE)
            break;
        if (sum > target) {
            high = sigma;
            sigma = (low + high) / 2.0;
        } else {
            low = sigma;
            sigma = isinf(high) ? sigma * 2.0 : (low + high) / 2.0;
        }
    }
    return sigma;
}

void ims_umap_weights_row(const float *distances, uint32_t k, double all_mean, float *out_weights)
{
    double rho = 0.0, mean = 0.0, sigma, least;

    for (uint32_t j = 0; j < k; j++) {
        if (rho == 0.0 && distances[j] > 0.0f)
            rho = distances[j];
        mean += distances[j];
    }
    /* The row's mean counts the point itself, at distance 0. */
    mean /= (double)k + 1.0;
    sigma = find_sigma(distances, k, rho);
    least = SIGMA_LEAST * (rho > 0.0 ? mean : all_mean);
    if (sigma < least)
        sigma = least;
    for (uint32_t j = 0; j < k; j++) {
        const double beyond = distances[j] - rho;

        out_weights[j] = beyond <= 0.0 || sigma == 0.0 ? 1.0f : (float)exp(-beyond / sigma);
    }
}

void ims_umap_weights_new(const float *distances, uint32_t k, float *out_weights)
{
    double mean = 0.0, sigma;

    for (uint32_t j = 0; j < k; j++)
        mean += distances[j] / (double)k;
    sigma = fmax(find_sigma(distances, k, 0.0), SIGMA_LEAST * mean);
    for (uint32_t j = 0; j < k; j++)
        out_weights[j] = sigma > 0.0 ? (float)exp(-distances[j] / sigma) : 1.0f;
}

struct weighing {
    size_t count;
    uint32_t k;
    double perplexity; /* 0: UMAP */
    double all_mean;
    const float *distances;
    float *out;
};

static imgsim_status weigh_rows(void *context, size_t item, uint32_t worker)
{
    const struct weighing *weighing = context;
    const size_t first = item * ROWS, k = weighing->k;
    const size_t end = first + ROWS < weighing->count ? first + ROWS : weighing->count;

    (void)worker;
    for (size_t i = first; i < end; i++) {
        const float *distances = weighing->distances + i * k;
        float *out = weighing->out + i * k;

        if (weighing->perplexity > 0.0)
            ims_tsne_weights_row(distances, weighing->k, weighing->perplexity, out);
        else
            ims_umap_weights_row(distances, weighing->k, weighing->all_mean, out);
    }
    return IMGSIM_OK;
}

imgsim_status ims_umap_weights(
    const struct ims_map_job *job,
    uint32_t k,
    const float *distances,
    float *out_weights)
{
    const size_t n = job->rows->count;
    struct weighing weighing = {n, k, 0.0, 0.0, distances, out_weights};

    for (size_t i = 0; i < n; i++) {
        double sum = 0.0;

        for (uint32_t j = 0; j < k; j++)
            sum += distances[i * k + j];
        weighing.all_mean += sum / ((double)k + 1.0);
    }
    weighing.all_mean /= (double)n;
    return ims_pool_run(job->pool, (n + ROWS - 1) / ROWS, weigh_rows, &weighing);
}

/* ---- t-SNE ---- */

void ims_tsne_weights_row(const float *distances, uint32_t k, double perplexity, float *out_weights)
{
    const double target = log(perplexity);
    /* Everything relative to the nearest: exp() cannot vanish for all. */
    const double nearest = (double)distances[0] * distances[0];
    double low = 0.0, high = INFINITY, mean = 0.0, beta, sum = 0.0;

    for (uint32_t j = 0; j < k; j++)
        mean += (double)distances[j] * distances[j] - nearest;
    mean /= k;
    beta = mean > 0.0 ? 1.0 / mean : 1.0;
    for (int step = 0; step < 200; step++) {
        double moment = 0.0, entropy;

        sum = 0.0;
        for (uint32_t j = 0; j < k; j++) {
            const double square = (double)distances[j] * distances[j] - nearest;
            const double weight = exp(-beta * square);

            sum += weight;
            moment += weight * square;
        }
        entropy = log(sum) + beta * moment / sum;
        if (fabs(entropy - target) < 1e-8)
            break;
        if (entropy > target) {
            low = beta;
            beta = isinf(high) ? beta * 2.0 : (low + high) / 2.0;
        } else {
            high = beta;
            beta = (low + high) / 2.0;
        }
        if (!(beta < 1e300)) /* ties that no bandwidth tells apart */
            break;
    }
    for (uint32_t j = 0; j < k; j++)
        out_weights[j] =
            (float)(exp(-beta * ((double)distances[j] * distances[j] - nearest)) / sum);
}

imgsim_status ims_tsne_weights(
    const struct ims_map_job *job,
    uint32_t k,
    double perplexity,
    const float *distances,
    float *out_weights)
{
    const size_t n = job->rows->count;
    struct weighing weighing = {n, k, perplexity, 0.0, distances, out_weights};

    return ims_pool_run(job->pool, (n + ROWS - 1) / ROWS, weigh_rows, &weighing);
}

/* ---- symmetric ---- */

struct merge {
    size_t count;
    uint32_t k;
    enum ims_union kind;
    const uint32_t *neighbours;
    const float *weights;
    const uint64_t *in_starts; /* edges that come in, by target */
    const uint32_t *in_sources;
    const float *in_weights;
    uint32_t *lengths; /* edges of each vertex */
    struct ims_map_edges *edges;
};

struct half {
    uint32_t other;
    float weight;
};

/* A vertex's own edges in order of target. */
static void sort_own(const struct merge *merge, size_t vertex, struct half *out)
{
    const size_t k = merge->k;

    for (size_t i = 0; i < k; i++) {
        const struct half half = {
            merge->neighbours[vertex * k + i], merge->weights[vertex * k + i]};
        size_t j = i;

        for (; j > 0 && out[j - 1].other > half.other; j--)
            out[j] = out[j - 1];
        out[j] = half;
    }
}

static float united(const struct merge *merge, float a, float b)
{
    return merge->kind == IMS_UNION_FUZZY ? a + b - a * b
                                          : (float)(((double)a + b) / (2.0 * (double)merge->count));
}

/* Merge the edges that go out with those that come in; with `targets` NULL only count. */
static size_t merge_vertex(
    const struct merge *merge,
    size_t vertex,
    struct half *own,
    uint32_t *targets,
    float *weights)
{
    const uint64_t in_end = merge->in_starts[vertex + 1];
    uint64_t in = merge->in_starts[vertex];
    size_t out = 0, count = 0;

    sort_own(merge, vertex, own);
    while (out < merge->k || in < in_end) {
        const uint32_t a = out < merge->k ? own[out].other : UINT32_MAX;
        const uint32_t b = in < in_end ? merge->in_sources[in] : UINT32_MAX;
        const float weight_a = a <= b ? own[out++].weight : 0.0f;
        const float weight_b = b <= a ? merge->in_weights[in++] : 0.0f;
        const float weight = united(merge, weight_a, weight_b);

        if (!(weight > 0.0f))
            continue;
        if (targets != NULL) {
            targets[count] = a < b ? a : b;
            weights[count] = weight;
        }
        count++;
    }
    return count;
}

static imgsim_status merge_rows(void *context, size_t item, uint32_t worker)
{
    const struct merge *merge = context;
    const size_t first = item * ROWS;
    const size_t end = first + ROWS < merge->count ? first + ROWS : merge->count;
    struct half *own = ims_alloc_array(merge->k, sizeof(*own));

    (void)worker;
    if (own == NULL)
        return ims_fail_memory(merge->k * sizeof(*own));
    for (size_t i = first; i < end; i++)
        if (merge->edges->targets == NULL)
            merge->lengths[i] = (uint32_t)merge_vertex(merge, i, own, NULL, NULL);
        else
            merge_vertex(
                merge, i, own, merge->edges->targets + merge->edges->starts[i],
                merge->edges->weights + merge->edges->starts[i]);
    ims_free(own);
    return IMGSIM_OK;
}

/* The directed edges by target, each target's in order of source. */
static imgsim_status transpose(
    size_t n,
    uint32_t k,
    const uint32_t *neighbours,
    const float *weights,
    uint64_t *starts,
    uint32_t *sources,
    float *in_weights)
{
    uint64_t *next = ims_alloc_array(n, sizeof(uint64_t));

    if (next == NULL)
        return ims_fail_memory(n * sizeof(uint64_t));
    for (size_t e = 0; e < n * k; e++)
        starts[neighbours[e] + 1]++;
    for (size_t i = 0; i < n; i++) {
        starts[i + 1] += starts[i];
        next[i] = starts[i];
    }
    for (size_t e = 0; e < n * k; e++) {
        const uint64_t at = next[neighbours[e]]++;

        sources[at] = (uint32_t)(e / k);
        in_weights[at] = weights[e];
    }
    ims_free(next);
    return IMGSIM_OK;
}

imgsim_status ims_map_symmetric(
    const struct ims_map_job *job,
    uint32_t k,
    const uint32_t *neighbours,
    const float *weights,
    enum ims_union kind,
    struct ims_map_edges *out_edges)
{
    const size_t n = job->rows->count;
    const size_t tiles = (n + ROWS - 1) / ROWS;
    uint64_t *starts = ims_calloc(n + 1, sizeof(uint64_t));
    uint32_t *sources = ims_alloc_array(n * k, sizeof(uint32_t));
    float *in_weights = ims_alloc_array(n * k, sizeof(float));
    uint32_t *lengths = ims_alloc_array(n, sizeof(uint32_t));
    struct merge merge = {n,      k,       kind,       neighbours, weights,
                          starts, sources, in_weights, lengths,    out_edges};
    imgsim_status status;

    memset(out_edges, 0, sizeof(*out_edges));
    out_edges->count = n;
    out_edges->starts = ims_calloc(n + 1, sizeof(uint64_t));
    if (starts == NULL || sources == NULL || in_weights == NULL || lengths == NULL ||
        out_edges->starts == NULL) {
        status = ims_fail_memory(n * k * sizeof(float));
        goto done;
    }
    if ((status = transpose(n, k, neighbours, weights, starts, sources, in_weights)) != IMGSIM_OK ||
        (status = ims_pool_run(job->pool, tiles, merge_rows, &merge)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < n; i++)
        out_edges->starts[i + 1] = out_edges->starts[i] + lengths[i];
    out_edges->targets = ims_alloc_array(out_edges->starts[n], sizeof(uint32_t));
    out_edges->weights = ims_alloc_array(out_edges->starts[n], sizeof(float));
    if (out_edges->targets == NULL || out_edges->weights == NULL) {
        status = ims_fail_memory(out_edges->starts[n] * sizeof(float));
        goto done;
    }
    status = ims_pool_run(job->pool, tiles, merge_rows, &merge);

done:
    if (status != IMGSIM_OK)
        ims_map_edges_clear(out_edges);
    ims_free(starts);
    ims_free(sources);
    ims_free(in_weights);
    ims_free(lengths);
    return status;
}

/* ---- the curve ---- */

#define CURVE_POINTS 300

struct curve {
    double x[CURVE_POINTS];
    double y[CURVE_POINTS];
};

static double curve_error(const struct curve *curve, double a, double b)
{
    double sum = 0.0;

    for (int i = 0; i < CURVE_POINTS; i++) {
        const double off = 1.0 / (1.0 + a * pow(curve->x[i], 2.0 * b)) - curve->y[i];

        sum += off * off;
    }
    return sum;
}

/* Sums of J^T J and J^T r; the point x = 0 has no slope. */
static void curve_normal(const struct curve *curve, double a, double b, double h[3], double g[2])
{
    h[0] = h[1] = h[2] = g[0] = g[1] = 0.0;
    for (int i = 1; i < CURVE_POINTS; i++) {
        const double power = pow(curve->x[i], 2.0 * b);
        const double value = 1.0 / (1.0 + a * power);
        const double slope_a = -power * value * value;
        const double slope_b = 2.0 * a * log(curve->x[i]) * slope_a;
        const double off = value - curve->y[i];

        h[0] += slope_a * slope_a;
        h[1] += slope_a * slope_b;
        h[2] += slope_b * slope_b;
        g[0] += slope_a * off;
        g[1] += slope_b * off;
    }
}

void ims_umap_curve(double min_dist, double spread, double *out_a, double *out_b)
{
    double a = 1.0, b = 1.0, damping = 1e-3, error;
    const double touching = min_dist / spread;
    struct curve curve;

    /* In units of the spread: a then takes its unit back. */
    for (int i = 0; i < CURVE_POINTS; i++) {
        curve.x[i] = 3.0 * i / (CURVE_POINTS - 1);
        curve.y[i] = curve.x[i] < touching ? 1.0 : exp(touching - curve.x[i]);
    }
    error = curve_error(&curve, a, b);
    for (int step = 0; step < 500 && damping < 1e12; step++) {
        double h[3], g[2], determinant, next_a, next_b, next_error;

        curve_normal(&curve, a, b, h, g);
        h[0] *= 1.0 + damping;
        h[2] *= 1.0 + damping;
        determinant = h[0] * h[2] - h[1] * h[1];
        next_a = a - (h[2] * g[0] - h[1] * g[1]) / determinant;
        next_b = b - (h[0] * g[1] - h[1] * g[0]) / determinant;
        next_error = next_a > 0.0 && next_b > 0.0 ? curve_error(&curve, next_a, next_b) : INFINITY;
        if (!(next_error <= error)) {
            damping *= 10.0;
            continue;
        }
        if (error - next_error < 1e-15 * error && fabs(next_a - a) < 1e-10 * a)
            break;
        a = next_a;
        b = next_b;
        error = next_error;
        damping = fmax(damping / 10.0, 1e-12);
    }
    *out_a = a * pow(spread, -2.0 * b);
    *out_b = b;
}
