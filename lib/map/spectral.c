/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A start for layouts from the neighbour graph: eigenvectors of its normalised adjacency D^-1/2 W D^-1/2 next to the largest,
 * which are those of the normalised Laplacian next to 0 (Belkin & Niyogi, Neural Computation 15, 2003), found by subspace
 * iteration filtered with Chebyshev polynomials (Zhou, Saad, Tiago & Chelikowsky, J. Comput. Phys. 219, 2006).
 *
 * The number of steps is fixed. Where the eigenvectors have not converged by then, as on graphs that nearly fall apart, what the
 * steps have made of the principal components is a smooth start as well; nothing waits for convergence.
 */
#include "map/map_layout.h"

#include "core/memory.h"
#include "core/rng.h"
#include "linalg/linalg.h"

#include <math.h>
#include <string.h>

/* Vectors iterated together: the known one, up to three wanted, and some more for speed. */
#define BLOCK 8
#define ROUNDS 6
#define DEGREE 8
/* Eigenvalues below this are damped by the filter. */
#define CUT 0.85
#define ROWS 4096
/* Smaller parts of a graph are laid out by their principal components. */
#define PART_LEAST 32

/* One connected part of the graph, as a graph of its own. */
struct part {
    size_t count;
    uint64_t *starts;
    uint32_t *targets;
    float *weights; /* w_ij / sqrt(d_i d_j) */
    float *roots;   /* sqrt(d_i) */
    struct ims_pool *pool;
};

/* ---- the operator ---- */

struct product {
    const struct part *part;
    const float *in;       /* n x BLOCK */
    const float *previous; /* n x BLOCK, or NULL */
    float *out;
    float scale; /* out = scale (S - shift) in - previous */
    float shift;
};

static imgsim_status multiply_rows(void *context, size_t item, uint32_t worker)
{
    const struct product *product = context;
    const struct part *part = product->part;
    const size_t first = item * ROWS;
    const size_t end = first + ROWS < part->count ? first + ROWS : part->count;

    (void)worker;
    for (size_t i = first; i < end; i++) {
        float sums[BLOCK] = {0.0f};

        for (uint64_t e = part->starts[i]; e < part->starts[i + 1]; e++) {
            const float *row = product->in + (size_t)part->targets[e] * BLOCK;

            for (int c = 0; c < BLOCK; c++)
                sums[c] += part->weights[e] * row[c];
        }
        for (int c = 0; c < BLOCK; c++) {
            const float own = product->in[i * BLOCK + c];
            const float before =
                product->previous != NULL ? product->previous[i * BLOCK + c] : 0.0f;

            product->out[i * BLOCK + c] =
                product->scale * (sums[c] - product->shift * own) - before;
        }
    }
    return IMGSIM_OK;
}

static imgsim_status multiply(
    const struct part *part,
    const float *in,
    const float *previous,
    float scale,
    float shift,
    float *out)
{
    struct product product = {part, in, previous, out, scale, shift};

    return ims_pool_run(part->pool, (part->count + ROWS - 1) / ROWS, multiply_rows, &product);
}

/* ---- small matrices ---- */

/* a^T b (BLOCK x BLOCK), summed in order. */
static void products(const float *a, const float *b, size_t count, double *out)
{
    memset(out, 0, BLOCK * BLOCK * sizeof(double));
    for (size_t i = 0; i < count; i++)
        for (int r = 0; r < BLOCK; r++)
            for (int c = 0; c < BLOCK; c++)
                out[r * BLOCK + c] += (double)a[i * BLOCK + r] * b[i * BLOCK + c];
}

/* x = x * m, m BLOCK x BLOCK given by rows of its transpose. */
static void rotate(float *x, size_t count, const double *m)
{
    for (size_t i = 0; i < count; i++) {
        double row[BLOCK];

        for (int c = 0; c < BLOCK; c++) {
            row[c] = 0.0;
            for (int r = 0; r < BLOCK; r++)
                row[c] += x[i * BLOCK + r] * m[c * BLOCK + r];
        }
        for (int c = 0; c < BLOCK; c++)
            x[i * BLOCK + c] = (float)row[c];
    }
}

/* Orthonormal columns that span the same space: by the eigenvectors of x^T x. */
static imgsim_status orthonormalise(float *x, size_t count)
{
    double gram[BLOCK * BLOCK], values[BLOCK], vectors[BLOCK * BLOCK];
    imgsim_status status;

    products(x, x, count, gram);
    if ((status = ims_eigen_symmetric(gram, BLOCK, BLOCK, values, vectors)) != IMGSIM_OK)
        return status;
    for (int c = 0; c < BLOCK; c++) {
        /* A direction that is lost in rounding becomes 0, and stays so. */
        const double scale = values[c] > 1e-12 * values[0] ? 1.0 / sqrt(values[c]) : 0.0;

        for (int r = 0; r < BLOCK; r++)
            vectors[c * BLOCK + r] *= scale;
    }
    rotate(x, count, vectors);
    return IMGSIM_OK;
}

/* Take the known eigenvector, roots of the degrees, out of every column. */
static void deflate(const struct part *part, float *x)
{
    double dots[BLOCK] = {0.0}, square = 0.0;

    for (size_t i = 0; i < part->count; i++) {
        square += (double)part->roots[i] * part->roots[i];
        for (int c = 0; c < BLOCK; c++)
            dots[c] += (double)part->roots[i] * x[i * BLOCK + c];
    }
    for (size_t i = 0; i < part->count; i++)
        for (int c = 0; c < BLOCK; c++)
            x[i * BLOCK + c] -= (float)(dots[c] / square * part->roots[i]);
}

/* ---- the iteration ---- */

/* x = T_DEGREE of the operator mapped so that [-1, CUT] becomes [-1, 1]; `a` and `b` are work space. The result is in *x. */
static imgsim_status chebyshev(const struct part *part, float **x, float **a, float **b)
{
    const float half = (CUT + 1.0f) / 2.0f, middle = (CUT - 1.0f) / 2.0f;
    imgsim_status status = multiply(part, *x, NULL, 1.0f / half, middle, *a);

    for (int step = 2; step <= DEGREE && status == IMGSIM_OK; step++) {
        float *oldest = *x;

        status = multiply(part, *a, *x, 2.0f / half, middle, *b);
        *x = *a;
        *a = *b;
        *b = oldest;
    }
    {
        float *result = *a;

        *a = *x;
        *x = result;
    }
    return status;
}

static imgsim_status iterate(const struct ims_map_job *job, const struct part *part, float **x)
{
    const size_t size = part->count * BLOCK * sizeof(float);
    float *a = ims_alloc_aligned(size), *b = ims_alloc_aligned(size);
    double h[BLOCK * BLOCK], values[BLOCK], vectors[BLOCK * BLOCK];
    imgsim_status status = IMGSIM_OK;

    if (a == NULL || b == NULL) {
        status = ims_fail_memory(size);
        goto done;
    }
    for (int round = 0; round < ROUNDS; round++) {
        deflate(part, *x);
        if ((status = orthonormalise(*x, part->count)) != IMGSIM_OK ||
            (status = chebyshev(part, x, &a, &b)) != IMGSIM_OK ||
            (status = ims_meter_tick(job->meter, false)) != IMGSIM_OK)
            goto done;
    }
    deflate(part, *x);
    if ((status = orthonormalise(*x, part->count)) != IMGSIM_OK ||
        (status = multiply(part, *x, NULL, 1.0f, 0.0f, a)) != IMGSIM_OK)
        goto done;
    products(*x, a, part->count, h);
    if ((status = ims_eigen_symmetric(h, BLOCK, BLOCK, values, vectors)) == IMGSIM_OK)
        rotate(*x, part->count, vectors);

done:
    ims_free_aligned(a);
    ims_free_aligned(b);
    return status;
}

/* ---- parts ---- */

static void part_clear(struct part *part)
{
    ims_free(part->starts);
    ims_free(part->targets);
    ims_free(part->weights);
    ims_free(part->roots);
}

/* The graph of the vertices `members`, whose numbers within the part are in `local`. */
static imgsim_status part_init(
    struct part *part,
    const struct ims_map_edges *edges,
    const uint32_t *members,
    size_t count,
    const uint32_t *local)
{
    uint64_t used = 0;

    part->count = count;
    for (size_t i = 0; i < count; i++)
        used += edges->starts[members[i] + 1] - edges->starts[members[i]];
    part->starts = ims_alloc_array(count + 1, sizeof(uint64_t));
    part->targets = ims_alloc_array(used, sizeof(uint32_t));
    part->weights = ims_alloc_array(used, sizeof(float));
    part->roots = ims_alloc_array(count, sizeof(float));
    if (part->starts == NULL || part->targets == NULL || part->weights == NULL ||
        part->roots == NULL)
        return ims_fail_memory(used * sizeof(float));
    used = 0;
    for (size_t i = 0; i < count; i++) {
        double degree = 0.0;

        part->starts[i] = used;
        for (uint64_t e = edges->starts[members[i]]; e < edges->starts[members[i] + 1]; e++) {
            part->targets[used] = local[edges->targets[e]];
            part->weights[used++] = edges->weights[e];
            degree += edges->weights[e];
        }
        part->roots[i] = (float)sqrt(degree);
    }
    part->starts[count] = used;
    for (size_t i = 0; i < count; i++)
        for (uint64_t e = part->starts[i]; e < part->starts[i + 1]; e++)
            part->weights[e] /= part->roots[i] * part->roots[part->targets[e]];
    return IMGSIM_OK;
}

/* Centre the rows of `members` and scale them so that the largest coordinate is `radius`. */
static void
fit_radius(float *positions, uint32_t d, const uint32_t *members, size_t count, double radius)
{
    double means[IMGSIM_MAP_DIMENSION_MAX] = {0.0}, largest = 0.0;

    for (size_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < d; c++)
            means[c] += (double)positions[(size_t)members[i] * d + c] / (double)count;
    for (size_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < d; c++)
            largest = fmax(largest, fabs(positions[(size_t)members[i] * d + c] - means[c]));
    for (size_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < d; c++) {
            float *at = &positions[(size_t)members[i] * d + c];

            *at = largest > 0.0 ? (float)((*at - means[c]) * radius / largest) : 0.0f;
        }
}

/* Replace the principal components of a part's vertices by its eigenvectors. */
static imgsim_status lay_part(
    const struct ims_map_job *job,
    const struct ims_map_edges *edges,
    const uint32_t *members,
    size_t count,
    const uint32_t *local,
    float *positions)
{
    const uint32_t d = job->options->dimension;
    struct part part = {.pool = job->pool};
    imgsim_status status;
    struct ims_rng rng;
    float *x = NULL;

    if ((status = part_init(&part, edges, members, count, local)) != IMGSIM_OK)
        goto done;
    if ((x = ims_alloc_aligned(count * BLOCK * sizeof(float))) == NULL) {
        status = ims_fail_memory(count * BLOCK * sizeof(float));
        goto done;
    }
    ims_rng_init(&rng, job->options->seed ^ members[0]);
    fit_radius(positions, d, members, count, 1.0);
    for (size_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < BLOCK; c++)
            x[i * BLOCK + c] = c < d ? positions[(size_t)members[i] * d + c] * part.roots[i]
                                     : (float)ims_rng_normal(&rng) * 0.1f;
    if ((status = iterate(job, &part, &x)) != IMGSIM_OK)
        goto done;
    for (size_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < d; c++)
            positions[(size_t)members[i] * d + c] = x[i * BLOCK + c];

done:
    part_clear(&part);
    ims_free_aligned(x);
    return status;
}

/* Number the connected parts by their smallest vertex: part_of and how many. `queue` is work space. */
static uint32_t find_parts(const struct ims_map_edges *edges, uint32_t *part_of, uint32_t *queue)
{
    uint32_t parts = 0;

    for (size_t i = 0; i < edges->count; i++)
        part_of[i] = UINT32_MAX;
    for (size_t i = 0; i < edges->count; i++) {
        size_t head = 0, tail = 0;

        if (part_of[i] != UINT32_MAX)
            continue;
        queue[tail++] = (uint32_t)i;
        part_of[i] = parts;
        while (head < tail) {
            const uint32_t vertex = queue[head++];

            for (uint64_t e = edges->starts[vertex]; e < edges->starts[vertex + 1]; e++)
                if (part_of[edges->targets[e]] == UINT32_MAX) {
                    part_of[edges->targets[e]] = parts;
                    queue[tail++] = edges->targets[e];
                }
        }
        parts++;
    }
    return parts;
}

/* How far a part may reach: half the way to the nearest other part's middle, at least a little. */
static double reach(const double *middles, uint32_t d, uint32_t part, uint32_t parts)
{
    double nearest = INFINITY;

    for (uint32_t other = 0; other < parts; other++) {
        double square = 0.0;

        for (uint32_t c = 0; c < d; c++) {
            const double delta = middles[other * d + c] - middles[part * d + c];

            square += delta * delta;
        }
        if (other != part && square < nearest)
            nearest = square;
    }
    return fmax(sqrt(nearest) / 2.0, 0.01);
}

/* Parts of the graph, laid out each around the middle of its principal components. */
struct layout_parts {
    uint32_t *part_of;
    uint32_t *members; /* vertices by part */
    uint32_t *local;   /* number of a vertex within its part */
    size_t *starts;
    double *middles;
    uint32_t count;
};

static imgsim_status sort_parts(
    struct layout_parts *parts,
    const struct ims_map_edges *edges,
    uint32_t d,
    const float *positions)
{
    const size_t n = edges->count;
    size_t *next;

    parts->starts = ims_calloc((size_t)parts->count + 1, sizeof(size_t));
    parts->middles = ims_calloc((size_t)parts->count * d, sizeof(double));
    next = ims_calloc(parts->count, sizeof(size_t));
    if (parts->starts == NULL || parts->middles == NULL || next == NULL) {
        ims_free(next);
        return ims_fail_memory(parts->count * sizeof(size_t));
    }
    for (size_t i = 0; i < n; i++)
        parts->starts[parts->part_of[i] + 1]++;
    for (uint32_t p = 0; p < parts->count; p++)
        parts->starts[p + 1] += parts->starts[p];
    for (size_t i = 0; i < n; i++) {
        const uint32_t p = parts->part_of[i];

        parts->local[i] = (uint32_t)next[p];
        parts->members[parts->starts[p] + next[p]++] = (uint32_t)i;
        for (uint32_t c = 0; c < d; c++)
            parts->middles[p * d + c] += positions[i * d + c];
    }
    for (uint32_t p = 0; p < parts->count; p++)
        for (uint32_t c = 0; c < d; c++)
            parts->middles[p * d + c] /= (double)next[p];
    ims_free(next);
    return IMGSIM_OK;
}

/* Above so many parts the distances between all middles are too many: then all parts are small. */
#define PARTS_MOST 4096

static imgsim_status lay_parts(
    const struct ims_map_job *job,
    const struct ims_map_edges *edges,
    const struct layout_parts *parts,
    float *positions)
{
    const uint32_t d = job->options->dimension;
    imgsim_status status = IMGSIM_OK;

    for (uint32_t p = 0; p < parts->count && status == IMGSIM_OK; p++) {
        const uint32_t *members = parts->members + parts->starts[p];
        const size_t count = parts->starts[p + 1] - parts->starts[p];

        if (count < PART_LEAST && parts->count > 1)
            continue;
        if (count > BLOCK + 2)
            status = lay_part(job, edges, members, count, parts->local, positions);
        if (parts->count == 1)
            break;
        fit_radius(
            positions, d, members, count,
            parts->count <= PARTS_MOST ? reach(parts->middles, d, p, parts->count) : 0.01);
        for (size_t i = 0; i < count; i++)
            for (uint32_t c = 0; c < d; c++)
                positions[(size_t)members[i] * d + c] += (float)parts->middles[p * d + c];
    }
    return status;
}

imgsim_status
ims_map_spectral(const struct ims_map_job *job, const struct ims_map_edges *edges, float *positions)
{
    const size_t n = edges->count;
    struct layout_parts parts = {0};
    imgsim_status status;

    parts.part_of = ims_alloc_array(n, sizeof(uint32_t));
    parts.members = ims_alloc_array(n, sizeof(uint32_t));
    parts.local = ims_alloc_array(n, sizeof(uint32_t));
    if (parts.part_of == NULL || parts.members == NULL || parts.local == NULL) {
        status = ims_fail_memory(n * sizeof(uint32_t));
        goto done;
    }
    parts.count = find_parts(edges, parts.part_of, parts.members);
    if ((status = sort_parts(&parts, edges, job->options->dimension, positions)) == IMGSIM_OK)
        status = lay_parts(job, edges, &parts, positions);

done:
    ims_free(parts.part_of);
    ims_free(parts.members);
    ims_free(parts.local);
    ims_free(parts.starts);
    ims_free(parts.middles);
    return status;
}
