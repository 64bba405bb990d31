/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact search on random cases: the ids are those of the true distances, ties by id, however the index came about.
 *
 * usage: recall_exact [CASES [SEED]]      a case is one query against one set of rows; default 4000
 *
 * True are the distances of the real numbers that the floats are: in double precision, and without rounding where that leaves
 * an order open (true_order.h). Sets of rows differ in number, dimension (1 to 4,096), spectrum, metric, and in what is wrong with
 * them (exact_sets.h). Rows are added in parts and some are removed and replaced in between; each case is searched alone, in a
 * small batch and in one of up to 1,000, on one thread and two, with and without a filter, for one answer up to all rows; in
 * memory, mapped from a file, copied from there, borrowed from a matrix, and past a graph. Distances must be those of
 * simd/reference.h to the last bit. The instruction set is that of IMGSIM_SIMD.
 */
#include "exact_sets.h"
#include "index/index.h"
#include "simd/reference.h"
#include "true_order.h"

#include <unistd.h>

/* Queries of a set that are also searched for one by one. */
#define ALONE 130

static uint64_t cases, searched, with_planes;

/* ---- what is true ---- */

/* The rows as distances take them: those of the set, or after the root of the matrix, in floats as the index keeps them. */
struct space {
    enum true_kind kind;
    const float *rows;
    const float *queries;
    double *squares; /* of the rows */
    float *changed;
};

static double sum_products(const float *a, const float *b, size_t count)
{
    double sum[4] = {0};

    for (size_t i = 0; i < count; i++)
        sum[i % 4] += (double)a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static double sum_differences(const float *a, const float *b, size_t count)
{
    double sum[4] = {0};

    for (size_t i = 0; i < count; i++) {
        const double difference = (double)a[i] - b[i];

        sum[i % 4] += difference * difference;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void change(const struct set *set, const float *rows, size_t count, float *out)
{
    const uint32_t dimension = set->dimension;

    for (size_t i = 0; i < count * dimension; i++) {
        const size_t j = i % dimension;

        out[i] = (float)((double)(float)sqrt(set->matrix[j * dimension + j]) * rows[i]);
    }
}

static void enter(const struct set *set, struct space *space)
{
    const size_t row_values = set->row_count * set->dimension;

    *space = (struct space){.rows = set->rows, .queries = set->queries};
    space->kind = set->metric == IMGSIM_METRIC_INNER_PRODUCT ? TRUE_PRODUCT
                  : set->metric == IMGSIM_METRIC_L2 || set->metric == IMGSIM_METRIC_MAHALANOBIS
                      ? TRUE_L2
                      : TRUE_COSINE;
    space->squares = malloc(set->row_count * sizeof(double));
    CHECK(space->squares != NULL);
    if (set->metric == IMGSIM_METRIC_MAHALANOBIS) {
        space->changed = malloc((row_values + set->query_count * set->dimension) * sizeof(float));
        CHECK(space->changed != NULL);
        change(set, set->rows, set->row_count, space->changed);
        change(set, set->queries, set->query_count, space->changed + row_values);
        space->rows = space->changed;
        space->queries = space->changed + row_values;
    }
    for (size_t i = 0; i < set->row_count; i++) {
        const float *row = space->rows + i * set->dimension;

        space->squares[i] = sum_products(row, row, set->dimension);
    }
}

/* Key of a row, and how far it may be off: n additions in any order, and what comes before and after them. */
static struct true_row
measure(const struct space *space, uint32_t dimension, const float *query, double squared, size_t i)
{
    const double unit = (dimension + 40) * (DBL_EPSILON / 2);
    struct true_row row = {.id = (int64_t)i, .row = space->rows + i * dimension};
    const double norm = sqrt(squared) * sqrt(space->squares[i]);

    if (space->kind == TRUE_L2) {
        row.key = sum_differences(query, row.row, dimension);
        row.error = 2 * unit * row.key;
    } else if (space->kind == TRUE_PRODUCT) {
        row.key = -sum_products(query, row.row, dimension);
        row.error = unit * norm;
    } else {
        row.key = norm > 0 ? 1 - sum_products(query, row.row, dimension) / norm : 1;
        row.error = norm > 0 ? 4 * unit : 0;
    }
    return row;
}

/* What the library says of a row: the key by its reference. */
static double
told_key(const struct space *space, uint32_t dimension, const float *query, const float *row)
{
    return space->kind == TRUE_L2        ? ims_exact_l2_squared(query, row, dimension)
           : space->kind == TRUE_PRODUCT ? -ims_exact_dot(query, row, dimension)
                                         : 1 - ims_exact_cosine(query, row, dimension);
}

struct answers {
    int64_t *ids; /* query_count x k */
    float *distances;
};

static void find_truth(
    const struct set *set,
    const struct space *space,
    size_t query,
    bool filtered,
    const struct answers *out)
{
    static struct true_row rows[ROWS_MAX + 8];
    static double room[ROWS_MAX + 8];
    const uint32_t dimension = set->dimension;
    const float *values = space->queries + query * dimension;
    const double squared = sum_products(values, values, dimension);
    double told = -INFINITY;
    size_t count = 0;

    for (size_t i = 0; i < set->row_count; i++)
        if (set->present[i] != 0 && (!filtered || (set->filter[i / 8] >> (i % 8) & 1) != 0))
            rows[count++] = measure(space, dimension, values, squared, i);
    count = count > 0 ? true_order(space->kind, values, dimension, rows, count, set->k, room) : 0;
    for (size_t i = 0; i < set->k; i++) {
        out->ids[query * set->k + i] = i < count ? rows[i].id : -1;
        if (i < count)
            told = fmax(told, told_key(space, dimension, values, rows[i].row));
        out->distances[query * set->k + i] = (float)(i >= count ? INFINITY
                                                     : set->metric == IMGSIM_METRIC_ANGULAR
                                                         ? acos(1 - told)
                                                         : told);
    }
}

/* ---- searching ---- */

static void tell(
    const struct set *set,
    const struct answers *truth,
    const struct answers *found,
    size_t i,
    const char *how)
{
    fprintf(
        stderr,
        "%s, %u values, %zu rows, %zu queries, rank %zu, trouble %s, k %zu, %s: query %zu rank %zu "
        "is %lld at %.9g, expected %lld "
        "at %.9g\n",
        imgsim_metric_name(set->metric), (unsigned)set->dimension, set->row_count, set->query_count,
        set->rank, trouble_names[set->trouble], set->k, how, i / set->k, i % set->k,
        (long long)found->ids[i], (double)found->distances[i], (long long)truth->ids[i],
        (double)truth->distances[i]);
    exit(1);
}

static void check_search(
    const struct set *set,
    const imgsim_index *index,
    const struct answers *truth,
    const struct answers *found,
    size_t query_count,
    size_t batch,
    uint32_t threads,
    bool filtered)
{
    imgsim_search_options options;
    imgsim_search_stats stats;
    char how[80];

    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    CHECK_OK(imgsim_search_stats_init(&stats, sizeof(stats)));
    options.threads = threads;
    options.stats = &stats;
    options.exact = 1;
    options.filter = filtered ? set->filter : NULL;
    options.filter_bits = filtered ? set->row_count : 0;
    for (size_t start = 0; start < query_count; start += batch) {
        const size_t count = query_count - start < batch ? query_count - start : batch;

        CHECK_OK(imgsim_index_search(
            index, set->queries + start * set->dimension, count, set->k, &options,
            found->ids + start * set->k, found->distances + start * set->k));
        CHECK_EQUAL(stats.certified, 1);
        CHECK_EQUAL(stats.queries, count);
        searched += count;
        with_planes += stats.plane_count > 0 ? count : 0;
    }
    snprintf(
        how, sizeof(how), "batch %zu, threads %u%s", batch, (unsigned)threads,
        filtered ? ", filter" : "");
    for (size_t i = 0; i < query_count * set->k; i++)
        if (found->ids[i] != truth->ids[i] ||
            memcmp(&found->distances[i], &truth->distances[i], sizeof(float)) != 0)
            tell(set, truth, found, i, how);
}

/* Bounds that other rooms ask for are below the keys, and not all of them idle. */
static void check_bounds(const struct set *set, const imgsim_index *index)
{
    static double lower[ROWS_MAX + 16], refined[ROWS_MAX + 16], keys[ROWS_MAX + 16];
    static uint32_t slots[ROWS_MAX + 16];

    for (size_t i = 0; i < 3 && i * 3 < set->query_count; i++) {
        struct ims_bounds *bounds;
        size_t count = 0, slot_count;

        CHECK_OK(ims_bounds_new(index, set->queries + i * 3 * set->dimension, &bounds));
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

static void choose_filter(struct set *set)
{
    const size_t share = 1 + below(12);

    memset(set->filter, 0, set->row_count / 8 + 1);
    for (size_t i = 0; i < set->row_count; i++)
        if (below(share) == 0)
            set->filter[i / 8] |= (uint8_t)(1u << (i % 8));
}

/* All batches and threads. */
static void check_all(struct set *set, const imgsim_index *index)
{
    const size_t count = set->query_count, answers = count * set->k;
    const bool filtered = below(3) == 0;
    struct answers truth, found;
    struct space space;

    truth.ids = malloc(2 * answers * sizeof(int64_t));
    truth.distances = malloc(2 * answers * sizeof(float));
    CHECK(truth.ids != NULL && truth.distances != NULL);
    found = (struct answers){truth.ids + answers, truth.distances + answers};
    choose_filter(set);
    enter(set, &space);
    for (size_t i = 0; i < count; i++)
        find_truth(set, &space, i, filtered, &truth);
    cases += count;
    check_bounds(set, index);
    check_search(set, index, &truth, &found, count < ALONE ? count : ALONE, 1, 1, filtered);
    check_search(set, index, &truth, &found, count, 2 + below(60), 2, filtered);
    check_search(set, index, &truth, &found, count, count, 1 + (uint32_t)below(2), filtered);
    free(space.squares);
    free(space.changed);
    free(truth.ids);
    free(truth.distances);
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
        if (set->present[i] != 0 && below(9) == 0) {
            const int64_t id = (int64_t)i;

            CHECK_OK(imgsim_index_remove(index, &id, 1, &removed));
            CHECK_EQUAL(removed, 1);
            set->present[i] = 0;
        }
    check_all(set, index);
    for (size_t i = 0; i < end; i++)
        if (set->present[i] == 0 && below(2) == 0) {
            float *row = set->rows + i * set->dimension;
            const float *other = set->rows + below(end) * set->dimension;

            if (below(2) == 0 && other != row)
                memcpy(row, other, set->dimension * sizeof(*row));
            add(set, index, i, i + 1);
        }
}

/* ---- where an index may come from ---- */

static void check_saved(struct set *set, imgsim_index **index, const char *path)
{
    imgsim_index *opened;

    CHECK_OK(imgsim_index_save(*index, path));
    CHECK_OK(imgsim_index_open(path, 1, &opened));
    imgsim_index_free(*index);
    *index = opened;
    check_all(set, *index);
    replace_some(set, *index, set->row_count); /* which copies it into memory */
    check_all(set, *index);
}

static void check_borrowed(struct set *set, const imgsim_index_options *options)
{
    imgsim_index *index;

    memset(set->bits, 0, set->row_count / 8 + 1);
    for (size_t i = 0; i < set->row_count; i++)
        if (set->present[i] != 0)
            set->bits[i / 8] |= (uint8_t)(1u << (i % 8));
    CHECK_OK(ims_index_new_borrowed(
        options, set->rows, set->row_count, set->bits, set->row_count, &index));
    check_all(set, index);
    imgsim_index_free(index);
}

/* Comparing with every row of an index that has a graph. */
static void check_graph(struct set *set, const imgsim_index_options *options)
{
    imgsim_index_options others = *options;
    imgsim_index *index;

    others.kind = IMGSIM_INDEX_HNSW;
    others.build_width = 20;
    others.max_links = 4;
    CHECK_OK(imgsim_index_new(&others, &index));
    memset(set->present, 0, set->row_count);
    add(set, index, 0, set->row_count);
    check_all(set, index);
    imgsim_index_free(index);
}

static void run_set(const char *path)
{
    struct set set;
    imgsim_index_options options;
    imgsim_index *index;
    size_t first;

    choose(&set);
    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.metric = set.metric;
    options.dimension = set.dimension;
    options.threads = 2;
    options.mahalanobis = set.metric == IMGSIM_METRIC_MAHALANOBIS ? set.matrix : NULL;
    options.max_bytes = below(6) == 0 ? 0 : UINT64_MAX; /* at once */
    if (below(4) == 0)
        options.max_bytes = set.row_count * (80 + below(300));
    CHECK_OK(imgsim_index_new(&options, &index));

    first = below(2) == 0 ? set.row_count : set.row_count - set.row_count / 3;
    add(&set, index, 0, first);
    check_all(&set, index);
    if (below(2) == 0)
        replace_some(&set, index, first);
    if (first < set.row_count)
        add(&set, index, first, set.row_count);
    check_all(&set, index);
    if (below(4) == 0)
        check_saved(&set, &index, path);
    imgsim_index_free(index);
    if (below(6) == 0)
        check_borrowed(&set, &options);
    if (below(24) == 0 && set.dimension <= 130)
        check_graph(&set, &options);
    release(&set);
}

int main(int argc, char **argv)
{
    const uint64_t wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : 4000;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    const char *folder = check_temporary_folder();
    char path[600];
    uint64_t sets = 0;

    snprintf(path, sizeof(path), "%s/index.ims", folder);
    for (; cases < wanted; sets++) {
        ims_rng_init(&rng, seed * 1000003 + sets);
        run_set(path);
    }
    unlink(path);
    rmdir(folder);
    printf(
        "%s: %llu cases of %llu sets of rows are true in %llu searches, %llu of them by planes\n",
        imgsim_simd_name(), (unsigned long long)cases, (unsigned long long)sets,
        (unsigned long long)searched, (unsigned long long)with_planes);
    /* Few sets with many queries may happen to be those without. */
    CHECK(cases < 100000 || with_planes * 5 > searched);
    return 0;
}
