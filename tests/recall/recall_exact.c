/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact search on random cases: the ids are those of the true distances, ties by id, however the index came about.
 *
 * usage: recall_exact [CASES [SEED]]      a case is one query against one set of rows; default 20000
 *
 * Sets of rows differ in number, dimension (1 to 4,096), spectrum, metric, and in what is wrong with them: duplicates, ties, rows
 * of zeros, denormals, huge and tiny lengths, a mean far from the origin, single rows far from all others. Rows are added in
 * parts and some are removed and replaced in between; queries come alone and in batches, on one thread and two, with and without a
 * filter, before and after the index was saved and opened. The instruction set is that of IMGSIM_SIMD.
 */
#include "check.h"
#include "core/rng.h"
#include "core/topk.h"
#include "index/index.h"
#include "simd/reference.h"

#include <imgsim/index.h>

#include <unistd.h>

#define ROWS_MAX 3000
#define VALUES_MAX (1500 * 1024)
#define QUERIES 48
#define K_MAX 40

enum trouble {
    NONE,
    DUPLICATES,
    TIES,
    ZEROS,
    DENORMALS,
    LENGTHS,
    TRANSLATED,
    OUTLIERS,
    CONSTANT,
    TROUBLES
};

static const char *const trouble_names[TROUBLES] = {"none",       "duplicates", "ties",
                                                    "zeros",      "denormals",  "lengths",
                                                    "translated", "outliers",   "constant"};

struct set {
    uint32_t dimension;
    size_t row_count;
    int32_t metric;
    enum trouble trouble;
    size_t rank; /* directions with most of the variance */
    size_t k;
    float *rows;      /* by id */
    uint8_t *present; /* per id */
    uint8_t *filter;  /* bits */
    float *queries;
    double *factor; /* Mahalanobis: the matrix */
};

static struct ims_rng rng;
static uint64_t with_planes, searched;

static double uniform(double low, double high)
{
    return low + (high - low) * ims_rng_double(&rng);
}

/* ---- rows ---- */

static void fill_row(const struct set *set, const float *directions, float *row)
{
    const uint32_t dimension = set->dimension;
    double length = 1;

    for (uint32_t i = 0; i < dimension; i++)
        row[i] = (float)(ims_rng_normal(&rng) * (set->rank > 0 ? 0.02 : 1));
    for (size_t r = 0; r < set->rank; r++) {
        const float weight = (float)(ims_rng_normal(&rng) / sqrt((double)r + 1));

        for (uint32_t i = 0; i < dimension; i++)
            row[i] += weight * directions[r * dimension + i];
    }
    if (set->trouble == LENGTHS)
        length = pow(10, uniform(-12, 12));
    if (set->trouble == OUTLIERS && ims_rng_below(&rng, 200) == 0)
        length = pow(10, uniform(2, 15));
    if (set->trouble == DENORMALS)
        length = pow(10, uniform(-45, -36));
    for (uint32_t i = 0; i < dimension; i++) {
        double value = row[i] * length;

        if (set->trouble == TIES)
            value = (double)((int)(value * 2) % 3);
        if (set->trouble == TRANSLATED)
            value = 3000 + value;
        if (set->trouble == CONSTANT)
            value = 0.37;
        row[i] = (float)value;
    }
    if (set->trouble == ZEROS && ims_rng_below(&rng, 3) == 0)
        memset(row, 0, dimension * sizeof(*row));
}

static void fill(const struct set *set)
{
    const uint32_t dimension = set->dimension;
    float *directions = malloc((set->rank + 1) * dimension * sizeof(*directions));

    CHECK(directions != NULL);
    for (size_t i = 0; i < set->rank * dimension; i++)
        directions[i] = (float)(ims_rng_normal(&rng) / sqrt(dimension));
    for (size_t i = 0; i < set->row_count; i++) {
        float *row = set->rows + i * dimension;

        if (set->trouble == DUPLICATES && i > 10 && ims_rng_below(&rng, 2) == 0)
            memcpy(
                row, set->rows + ims_rng_below(&rng, ims_rng_below(&rng, 2) ? 10 : i) * dimension,
                dimension * sizeof(*row));
        else
            fill_row(set, directions, row);
    }
    for (size_t i = 0; i < QUERIES; i++) {
        float *query = set->queries + i * dimension;

        fill_row(set, directions, query);
        if (i % 4 == 1)
            memcpy(
                query, set->rows + ims_rng_below(&rng, set->row_count) * dimension,
                dimension * sizeof(*query));
        if (i % 8 == 5)
            query[ims_rng_below(&rng, dimension)] *= 1.0000001f;
        if (i == 7)
            memset(query, 0, dimension * sizeof(*query));
        for (uint32_t j = 0; j < dimension && i % 16 == 3; j++)
            query[j] *= 1e-3f;
    }
    free(directions);
}

static void choose(struct set *set)
{
    static const uint32_t ranges[][2] = {{1, 20}, {16, 130}, {100, 520}, {500, 1100}, {2048, 4096}};
    const uint64_t draw = ims_rng_below(&rng, 40);
    const size_t range = draw < 10 ? 0 : draw < 24 ? 1 : draw < 36 ? 2 : draw < 39 ? 3 : 4;
    size_t most;

    set->dimension =
        ranges[range][0] + (uint32_t)ims_rng_below(&rng, ranges[range][1] - ranges[range][0] + 1);
    most = VALUES_MAX / set->dimension < ROWS_MAX ? VALUES_MAX / set->dimension : ROWS_MAX;
    most = most < 1100 ? 1100 : most;
    set->row_count = ims_rng_below(&rng, 8) == 0 ? 1 + ims_rng_below(&rng, 900)
                                                 : 1024 + ims_rng_below(&rng, most - 1024 + 1);
    set->metric = (int32_t[]){
        IMGSIM_METRIC_COSINE, IMGSIM_METRIC_INNER_PRODUCT, IMGSIM_METRIC_L2, IMGSIM_METRIC_ANGULAR,
        IMGSIM_METRIC_MAHALANOBIS}[ims_rng_below(&rng, set->dimension <= 40 ? 5 : 4)];
    set->trouble = (enum trouble)ims_rng_below(&rng, TROUBLES);
    /* The transformed rows of a huge matrix times a huge row are refused. */
    if (set->metric == IMGSIM_METRIC_MAHALANOBIS && set->trouble == OUTLIERS)
        set->trouble = NONE;
    set->rank = ims_rng_below(&rng, 2) == 0 ? 0 : 1 + ims_rng_below(&rng, set->dimension / 3 + 1);
    set->rank = set->rank < 40 ? set->rank : 40;
    set->k = 1 + ims_rng_below(&rng, ims_rng_below(&rng, 4) == 0 ? K_MAX : 10);
    set->rows = malloc(set->row_count * set->dimension * sizeof(float));
    set->queries = malloc(QUERIES * set->dimension * sizeof(float));
    set->present = calloc(set->row_count, 1);
    set->filter = calloc(set->row_count / 8 + 1, 1);
    set->factor = calloc((size_t)set->dimension * set->dimension, sizeof(double));
    CHECK(
        set->rows != NULL && set->queries != NULL && set->present != NULL && set->filter != NULL &&
        set->factor != NULL);
    for (uint32_t i = 0; i < set->dimension; i++)
        set->factor[(size_t)i * set->dimension + i] =
            1.0 / 64 * (1 + i % 5) * (1 + i % 5); /* has a root */
    fill(set);
}

static void release(struct set *set)
{
    free(set->rows);
    free(set->queries);
    free(set->present);
    free(set->filter);
    free(set->factor);
}

/* ---- the truth ---- */

static double true_key(const struct set *set, const float *query, const float *row)
{
    const uint32_t dimension = set->dimension;

    switch (set->metric) {
    case IMGSIM_METRIC_INNER_PRODUCT:
        return -ims_exact_dot(query, row, dimension);
    case IMGSIM_METRIC_L2:
        return ims_exact_l2_squared(query, row, dimension);
    default:
        return 1 - ims_exact_cosine(query, row, dimension);
    }
}

/* Mahalanobis with a diagonal matrix: rows times its root, in float as the index keeps them. */
static void to_index_space(const struct set *set, const float *row, float *out)
{
    for (uint32_t i = 0; i < set->dimension; i++)
        out[i] = (float)((double)(float)sqrt(set->factor[(size_t)i * set->dimension + i]) * row[i]);
}

static void find_truth(const struct set *set, const float *query, bool filtered, int64_t *out)
{
    static struct ims_neighbour all[ROWS_MAX + 8];
    float *a = malloc(2 * set->dimension * sizeof(float)), *b = a + set->dimension;
    size_t count = 0;

    CHECK(a != NULL);
    for (size_t i = 0; i < set->row_count; i++) {
        const float *row = set->rows + i * set->dimension;

        if (set->present[i] == 0 || (filtered && (set->filter[i / 8] >> (i % 8) & 1) == 0))
            continue;
        if (set->metric == IMGSIM_METRIC_MAHALANOBIS) {
            to_index_space(set, query, a);
            to_index_space(set, row, b);
            all[count++] =
                (struct ims_neighbour){ims_exact_l2_squared(a, b, set->dimension), (int64_t)i};
        } else {
            all[count++] = (struct ims_neighbour){true_key(set, query, row), (int64_t)i};
        }
    }
    ims_neighbours_sort(all, count);
    for (size_t i = 0; i < set->k; i++)
        out[i] = i < count ? all[i].id : -1;
    free(a);
}

/* ---- searching ---- */

static void check_search(
    const struct set *set,
    const imgsim_index *index,
    const int64_t *truth,
    size_t batch,
    uint32_t threads,
    bool filtered)
{
    static int64_t found[QUERIES * K_MAX];
    static float distances[QUERIES * K_MAX];
    imgsim_search_options options;
    imgsim_search_stats stats;

    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    CHECK_OK(imgsim_search_stats_init(&stats, sizeof(stats)));
    options.threads = threads;
    options.stats = &stats;
    options.filter = filtered ? set->filter : NULL;
    options.filter_bits = filtered ? set->row_count : 0;
    for (size_t start = 0; start < QUERIES; start += batch) {
        const size_t count = QUERIES - start < batch ? QUERIES - start : batch;

        CHECK_OK(imgsim_index_search(
            index, set->queries + start * set->dimension, count, set->k, &options,
            found + start * set->k, distances + start * set->k));
        CHECK_EQUAL(stats.certified, 1);
        CHECK_EQUAL(stats.queries, count);
        searched += count;
        with_planes += stats.plane_count > 0 ? count : 0;
    }
    for (size_t i = 0; i < QUERIES * set->k; i++)
        if (found[i] != truth[i]) {
            fprintf(
                stderr,
                "%s, %u values, %zu rows, rank %zu, trouble %s, k %zu, batch %zu, threads %u%s: "
                "query %zu rank %zu "
                "is %lld, expected %lld\n",
                imgsim_metric_name(set->metric), (unsigned)set->dimension, set->row_count,
                set->rank, trouble_names[set->trouble], set->k, batch, (unsigned)threads,
                filtered ? ", filter" : "", i / set->k, i % set->k, (long long)found[i],
                (long long)truth[i]);
            exit(1);
        }
}

/* Bounds that other rooms ask for are below the keys, and not all of them idle. */
static void check_bounds(const struct set *set, const imgsim_index *index)
{
    static double lower[ROWS_MAX + 16], refined[ROWS_MAX + 16], keys[ROWS_MAX + 16];
    static uint32_t slots[ROWS_MAX + 16];

    for (size_t i = 0; i < 3; i++) {
        struct ims_bounds *bounds;
        size_t count = 0, slot_count;

        CHECK_OK(ims_bounds_new(index, set->queries + i * 9 * set->dimension, &bounds));
        if (bounds == NULL)
            return;
        slot_count = ims_bounds_slot_count(bounds);
        ims_bounds_block(bounds, 0, slot_count, lower);
        for (size_t slot = 0; slot < slot_count; slot++) {
            const int64_t id = ims_bounds_id(bounds, (uint32_t)slot);

            CHECK(id < 0 || set->present[id] != 0);
            if (id < 0)
                continue;
            CHECK_EQUAL(ims_bounds_slot(bounds, id), slot);
            slots[count++] = (uint32_t)(slot * 7919 % slot_count);
            if (ims_bounds_id(bounds, slots[count - 1]) < 0)
                slots[count - 1] = (uint32_t)slot;
        }
        CHECK_OK(ims_bounds_refine(bounds, slots, count, INFINITY, refined));
        ims_bounds_keys(bounds, slots, count, keys);
        for (size_t j = 0; j < count; j++) {
            CHECK(lower[slots[j]] <= keys[j] && refined[j] <= keys[j]);
            CHECK(refined[j] >= lower[slots[j]] - 1e-6 * fabs(lower[slots[j]]));
        }
        ims_bounds_free(bounds);
    }
}

/* All batches and threads; returns the queries checked. */
static void check_all(struct set *set, const imgsim_index *index)
{
    static int64_t truth[QUERIES * K_MAX];
    const bool filtered = ims_rng_below(&rng, 3) == 0;
    const uint64_t share = 1 + ims_rng_below(&rng, 12);

    memset(set->filter, 0, set->row_count / 8 + 1);
    for (size_t i = 0; i < set->row_count; i++)
        if (ims_rng_below(&rng, share) == 0)
            set->filter[i / 8] |= (uint8_t)(1u << (i % 8));
    for (size_t i = 0; i < QUERIES; i++)
        find_truth(set, set->queries + i * set->dimension, filtered, truth + i * set->k);
    check_bounds(set, index);
    check_search(set, index, truth, 1, 1, filtered);
    check_search(set, index, truth, 7, 2, filtered);
    check_search(set, index, truth, QUERIES, 1 + (uint32_t)ims_rng_below(&rng, 2), filtered);
}

static void add(struct set *set, imgsim_index *index, size_t start, size_t end)
{
    int64_t *ids = malloc((end - start + 1) * sizeof(*ids));

    CHECK(ids != NULL);
    for (size_t i = start; i < end; i++) {
        ids[i - start] = (int64_t)i;
        set->present[i] = 1;
    }
    CHECK_OK(imgsim_index_add(index, set->rows + start * set->dimension, end - start, ids));
    free(ids);
}

/* Remove some rows, and put others or the same ones in their place later. */
static void replace_some(struct set *set, imgsim_index *index, size_t end)
{
    size_t removed;

    for (size_t i = 0; i < end; i++)
        if (set->present[i] != 0 && ims_rng_below(&rng, 9) == 0) {
            const int64_t id = (int64_t)i;

            CHECK_OK(imgsim_index_remove(index, &id, 1, &removed));
            CHECK_EQUAL(removed, 1);
            set->present[i] = 0;
        }
    check_all(set, index);
    for (size_t i = 0; i < end; i++)
        if (set->present[i] == 0 && ims_rng_below(&rng, 2) == 0) {
            float *row = set->rows + i * set->dimension;
            const float *other = set->rows + ims_rng_below(&rng, end) * set->dimension;

            if (ims_rng_below(&rng, 2) == 0 && other != row)
                memcpy(row, other, set->dimension * sizeof(*row));
            add(set, index, i, i + 1);
        }
}

static void run_set(const char *path)
{
    struct set set;
    imgsim_index_options options;
    imgsim_index *index, *opened;
    size_t first;

    choose(&set);
    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.metric = set.metric;
    options.dimension = set.dimension;
    options.threads = 2;
    options.mahalanobis = set.metric == IMGSIM_METRIC_MAHALANOBIS ? set.factor : NULL;
    options.max_bytes = ims_rng_below(&rng, 6) == 0 ? 0 : UINT64_MAX; /* at once */
    if (ims_rng_below(&rng, 4) == 0)
        options.max_bytes = set.row_count * (80 + ims_rng_below(&rng, 300));
    CHECK_OK(imgsim_index_new(&options, &index));

    first = ims_rng_below(&rng, 2) == 0 ? set.row_count : set.row_count - set.row_count / 3;
    add(&set, index, 0, first);
    check_all(&set, index);
    if (ims_rng_below(&rng, 2) == 0)
        replace_some(&set, index, first);
    if (first < set.row_count)
        add(&set, index, first, set.row_count);
    check_all(&set, index);
    if (ims_rng_below(&rng, 4) == 0) {
        CHECK_OK(imgsim_index_save(index, path));
        CHECK_OK(imgsim_index_open(path, 1, &opened));
        imgsim_index_free(index);
        index = opened;
        check_all(&set, index);
        replace_some(&set, index, set.row_count);
        check_all(&set, index);
    }
    imgsim_index_free(index);
    release(&set);
}

int main(int argc, char **argv)
{
    const uint64_t cases = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    const char *folder = check_temporary_folder();
    char path[600];
    uint64_t sets = 0;

    snprintf(path, sizeof(path), "%s/index.ims", folder);
    for (; searched < cases; sets++) {
        ims_rng_init(&rng, seed * 1000003 + sets);
        run_set(path);
    }
    unlink(path);
    rmdir(folder);
    printf(
        "%s: %llu queries of %llu sets of rows are true, %llu of them by planes\n",
        imgsim_simd_name(), (unsigned long long)searched, (unsigned long long)sets,
        (unsigned long long)with_planes);
    CHECK(cases < 20000 || with_planes * 4 > searched);
    return 0;
}
