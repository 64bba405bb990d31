/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The neighbour graph of a large set, approximately: rows are reduced to principal components and put into lists around k-means
 * centres; every row is compared with the lists near it by matrix products; one round of descent along the graph found mends
 * the borders; and the candidates are ranked by nearly true distances, see map_fixed.c.
 *
 * Sources: inverted lists: Sivic & Zisserman, ICCV 2003, doi:10.1109/ICCV.2003.1238663; descent: Dong, Moses & Li (NN-descent),
 * WWW 2011, doi:10.1145/1963405.1963487.
 *
 * What the components leave of two rows is nearly orthogonal where many directions share it, so the distance is estimated by that
 * of the components plus both remainders' squares: with 128 components that keeps 99 of 100 neighbours among 44 candidates where
 * the components alone keep 90 (444,668 drawn rows of 2,048 values).
 *
 * Work is cut by list and each list writes its own points, so the graph does not depend on the threads.
 */
#include "map/map_graph.h"

#include "core/memory.h"
#include "linalg/linalg.h"
#include "map/map_kernels.h"
#include "simd/kernels.h"

#include <math.h>
#include <string.h>

/* k-means on so many rows per list, in so many rounds. */
#define ROWS_PER_LIST 24
#define ROUNDS 5
/* Lists that a row is compared with, its own counted, of a set of up to PROBES_ROWS rows; beyond that their sixth root more. */
#define PROBES 40
#define PROBES_ROWS 60000
/* A list is at most so many times the mean: what does not fit (identical rows) opens another. */
#define CROWDED 6
/* Rows of a tile of products. */
#define TILE_ROWS 256
#define JOIN_ROWS 512
#define TILE_POINTS 512
/* Neighbours whose neighbours are looked at, on either side. */
#define DESCENT 14

struct lists {
    const struct ims_map_job *job;
    const struct ims_map_metric *metric;
    uint32_t k;
    uint32_t keep; /* candidates of a point */
    uint32_t m;    /* components */
    uint32_t list_count;
    uint32_t probes;
    float *mean;    /* of the rows, or nearly */
    float *reduced; /* n x m; after sorting, in order of list */
    float *rest;    /* n, in the same order: |row|^2 that the components leave */
    float *norms;   /* n, |reduced row|^2 + rest */
    float *centres; /* list_count x m */
    float *centre_norms;
    uint32_t *list_of; /* n, by point */
    uint32_t *order;   /* n: point at each place in order of list */
    size_t *starts;    /* list_count + 1 */
    float *keys;       /* n x keep, by place in order of list */
    uint32_t *places;  /* n x keep, places in order of list */
    uint32_t *mended;  /* n x keep: the same after descent */
    struct ims_map_fixed fixed;
    uint32_t *neighbours;
    float *distances;
};

static void lists_clear(struct lists *lists)
{
    ims_free(lists->mean);
    ims_free_aligned(lists->reduced);
    ims_free(lists->rest);
    ims_free(lists->norms);
    ims_free_aligned(lists->centres);
    ims_free(lists->centre_norms);
    ims_free(lists->list_of);
    ims_free(lists->order);
    ims_free(lists->starts);
    ims_free(lists->keys);
    ims_free(lists->places);
    ims_free(lists->mended);
    ims_map_fixed_clear(&lists->fixed);
}

static void row_norms(const float *rows, size_t count, size_t m, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = ims_kernels()->dot(rows + i * m, rows + i * m, m);
}

/* ---- k-means ---- */

struct assignment {
    const struct lists *lists;
    const float *rows;
    size_t count;
    uint32_t *out;
};

static imgsim_status assign_tile(void *context, size_t item, uint32_t worker)
{
    const struct assignment *assignment = context;
    const struct lists *lists = assignment->lists;
    const size_t m = lists->m, first = item * TILE_ROWS;
    const size_t count =
        assignment->count - first < TILE_ROWS ? assignment->count - first : TILE_ROWS;
    float *dots = ims_alloc_aligned((size_t)TILE_ROWS * lists->list_count * sizeof(float));

    (void)worker;
    if (dots == NULL)
        return ims_fail_memory((size_t)TILE_ROWS * lists->list_count * sizeof(float));
    ims_gemm_nt(
        count, lists->list_count, m, assignment->rows + first * m, m, lists->centres, m, dots,
        lists->list_count);
    for (size_t i = 0; i < count; i++) {
        const float *row = dots + i * lists->list_count;
        float best = INFINITY;
        uint32_t place = 0;

        for (uint32_t c = 0; c < lists->list_count; c++) {
            const float key = lists->centre_norms[c] - 2.0f * row[c];

            if (key < best) {
                best = key;
                place = c;
            }
        }
        assignment->out[first + i] = place;
    }
    ims_free_aligned(dots);
    return IMGSIM_OK;
}

static imgsim_status
assign(const struct lists *lists, const float *rows, size_t count, uint32_t *out)
{
    struct assignment assignment = {lists, rows, count, out};

    return ims_pool_run(
        lists->job->pool, (count + TILE_ROWS - 1) / TILE_ROWS, assign_tile, &assignment);
}

/* Means of the rows of each centre; an empty one stays. Summed in order of the rows. */
static imgsim_status
move_centres(struct lists *lists, const float *rows, size_t count, const uint32_t *nearest)
{
    const size_t m = lists->m;
    double *sums = ims_calloc((size_t)lists->list_count * (m + 1), sizeof(double));

    if (sums == NULL)
        return ims_fail_memory(lists->list_count * (m + 1) * sizeof(double));
    for (size_t i = 0; i < count; i++) {
        double *sum = sums + nearest[i] * (m + 1);

        for (size_t c = 0; c < m; c++)
            sum[c] += rows[i * m + c];
        sum[m] += 1.0;
    }
    for (size_t list = 0; list < lists->list_count; list++) {
        const double *sum = sums + list * (m + 1);

        for (size_t c = 0; c < m && sum[m] > 0.0; c++)
            lists->centres[list * m + c] = (float)(sum[c] / sum[m]);
    }
    ims_free(sums);
    row_norms(lists->centres, lists->list_count, m, lists->centre_norms);
    return IMGSIM_OK;
}

static imgsim_status find_centres(struct lists *lists)
{
    const size_t n = lists->job->rows->count, m = lists->m;
    const size_t wanted = (size_t)lists->list_count * ROWS_PER_LIST;
    const size_t step = n > wanted ? n / wanted : 1;
    const size_t count = n / step;
    float *sample = ims_alloc_aligned(count * m * sizeof(float));
    uint32_t *nearest = ims_alloc_array(count, sizeof(uint32_t));
    imgsim_status status = IMGSIM_OK;

    if (sample == NULL || nearest == NULL) {
        status = ims_fail_memory(count * m * sizeof(float));
        goto done;
    }
    for (size_t i = 0; i < count; i++)
        memcpy(sample + i * m, lists->reduced + i * step * m, m * sizeof(float));
    for (size_t c = 0; c < lists->list_count; c++)
        memcpy(
            lists->centres + c * m, sample + c * count / lists->list_count * m, m * sizeof(float));
    row_norms(lists->centres, lists->list_count, m, lists->centre_norms);
    for (int round = 0; round < ROUNDS && status == IMGSIM_OK; round++) {
        if ((status = assign(lists, sample, count, nearest)) != IMGSIM_OK ||
            (status = move_centres(lists, sample, count, nearest)) != IMGSIM_OK)
            break;
        status = ims_meter_tick(lists->job->meter, false);
    }

done:
    ims_free_aligned(sample);
    ims_free(nearest);
    return status;
}

/* ---- lists ---- */

/* Split lists that are too long: the surplus becomes lists of their own around the same centre. */
static imgsim_status split_crowded(struct lists *lists)
{
    const size_t n = lists->job->rows->count, m = lists->m;
    const size_t most = CROWDED * (n / lists->list_count + 1);
    size_t *sizes = ims_calloc(lists->list_count, sizeof(size_t));
    uint32_t *tails = ims_alloc_array(lists->list_count, sizeof(uint32_t));
    uint32_t count = lists->list_count;
    imgsim_status status = IMGSIM_OK;
    float *centres, *norms;
    size_t room;

    if (sizes == NULL || tails == NULL) {
        status = ims_fail_memory(lists->list_count * sizeof(size_t));
        goto done;
    }
    for (size_t i = 0; i < n; i++)
        sizes[lists->list_of[i]]++;
    room = lists->list_count;
    for (uint32_t list = 0; list < lists->list_count; list++)
        room += sizes[list] / most;
    centres = ims_alloc_aligned(room * m * sizeof(float));
    norms = ims_alloc_array(room, sizeof(float));
    if (centres == NULL || norms == NULL) {
        ims_free_aligned(centres);
        ims_free(norms);
        status = ims_fail_memory(room * m * sizeof(float));
        goto done;
    }
    memcpy(centres, lists->centres, lists->list_count * m * sizeof(float));
    memcpy(norms, lists->centre_norms, lists->list_count * sizeof(float));
    memset(sizes, 0, lists->list_count * sizeof(size_t));
    for (uint32_t list = 0; list < lists->list_count; list++)
        tails[list] = list;
    for (size_t i = 0; i < n; i++) {
        const uint32_t list = lists->list_of[i];

        if (sizes[list] == most) {
            memcpy(centres + count * m, centres + list * m, m * sizeof(float));
            norms[count] = norms[list];
            tails[list] = count++;
            sizes[list] = 0;
        }
        sizes[list]++;
        lists->list_of[i] = tails[list];
    }
    ims_free_aligned(lists->centres);
    ims_free(lists->centre_norms);
    lists->centres = centres;
    lists->centre_norms = norms;
    lists->list_count = count;

done:
    ims_free(sizes);
    ims_free(tails);
    return status;
}

/* Sort the reduced rows by list, each list in order of point. */
static imgsim_status sort_rows(struct lists *lists)
{
    const size_t n = lists->job->rows->count, m = lists->m;
    float *sorted = ims_alloc_aligned(n * m * sizeof(float));
    float *rest = ims_alloc_array(n, sizeof(float));
    size_t *next = ims_alloc_array(lists->list_count, sizeof(size_t));

    lists->starts = ims_calloc((size_t)lists->list_count + 1, sizeof(size_t));
    if (sorted == NULL || rest == NULL || next == NULL || lists->starts == NULL) {
        ims_free_aligned(sorted);
        ims_free(rest);
        ims_free(next);
        return ims_fail_memory(n * m * sizeof(float));
    }
    for (size_t i = 0; i < n; i++)
        lists->starts[lists->list_of[i] + 1]++;
    for (uint32_t list = 0; list < lists->list_count; list++) {
        next[list] = lists->starts[list];
        lists->starts[list + 1] += lists->starts[list];
    }
    for (size_t i = 0; i < n; i++) {
        const size_t place = next[lists->list_of[i]]++;

        lists->order[place] = (uint32_t)i;
        rest[place] = lists->rest[i];
        memcpy(sorted + place * m, lists->reduced + i * m, m * sizeof(float));
    }
    ims_free(next);
    ims_free_aligned(lists->reduced);
    ims_free(lists->rest);
    lists->reduced = sorted;
    lists->rest = rest;
    row_norms(sorted, n, m, lists->norms);
    for (size_t i = 0; i < n; i++)
        lists->norms[i] += rest[i];
    return IMGSIM_OK;
}

/* ---- joining lists ---- */

/* Work space of joining the rows of one list, JOIN_ROWS at a time. */
struct join {
    float *dots; /* rows x lists, then rows x TILE_POINTS */
    float *rows; /* those of one product, gathered */
    float *keys;
    uint32_t *places;
    uint32_t *starts; /* lists + 1: who is compared with each list */
    uint16_t *asking; /* rows by list */
    uint32_t *chosen; /* probes of each row */
    struct ims_nearest nearest[JOIN_ROWS];
    uint16_t all[JOIN_ROWS];
    uint32_t found_places[TILE_POINTS];
    float found_keys[TILE_POINTS];
};

static void join_free(struct join *join)
{
    if (join == NULL)
        return;
    ims_free_aligned(join->dots);
    ims_free_aligned(join->rows);
    ims_free(join->keys);
    ims_free(join->places);
    ims_free(join->starts);
    ims_free(join->asking);
    ims_free(join->chosen);
    ims_free_aligned(join);
}

static imgsim_status join_new(const struct lists *lists, struct join **out_join)
{
    const size_t keep = lists->keep > lists->probes ? lists->keep : lists->probes;
    const size_t capacity = ims_nearest_capacity(keep);
    const size_t width = lists->list_count > TILE_POINTS ? lists->list_count : TILE_POINTS;
    struct join *join = ims_alloc_aligned(sizeof(*join));

    if ((*out_join = join) == NULL)
        return ims_fail_memory(sizeof(*join));
    memset(join, 0, sizeof(*join));
    join->dots = ims_alloc_aligned(JOIN_ROWS * width * sizeof(float));
    join->rows = ims_alloc_aligned((size_t)JOIN_ROWS * lists->m * sizeof(float));
    join->keys = ims_alloc_array(JOIN_ROWS * capacity, sizeof(float));
    join->places = ims_alloc_array(JOIN_ROWS * capacity, sizeof(uint32_t));
    join->starts = ims_alloc_array((size_t)lists->list_count + 2, sizeof(uint32_t));
    join->asking = ims_alloc_array((size_t)JOIN_ROWS * lists->probes, sizeof(uint16_t));
    join->chosen = ims_alloc_array((size_t)JOIN_ROWS * lists->probes, sizeof(uint32_t));
    if (join->dots == NULL || join->rows == NULL || join->keys == NULL || join->places == NULL ||
        join->starts == NULL || join->asking == NULL || join->chosen == NULL)
        return ims_fail_memory(JOIN_ROWS * width * sizeof(float));
    for (size_t q = 0; q < JOIN_ROWS; q++)
        join->all[q] = (uint16_t)q;
    return IMGSIM_OK;
}

/* The lists around whose centres a row looks for its neighbours: the nearest ones but its own, which comes first anyway. */
static void choose_lists(const struct lists *lists, struct join *join, size_t q, uint32_t own)
{
    const size_t wanted = lists->probes - 1;
    uint32_t *chosen = join->chosen + q * wanted;
    const float *dots = join->dots + q * lists->list_count;
    struct ims_nearest nearest;

    ims_nearest_init(&nearest, wanted, join->keys, join->places);
    for (size_t at = 0; at < lists->list_count; at += TILE_POINTS) {
        const size_t count =
            lists->list_count - at < TILE_POINTS ? lists->list_count - at : TILE_POINTS;
        const size_t found = ims_map_kernels()->filter(
            dots + at, lists->centre_norms + at, count, nearest.bound, join->found_places,
            join->found_keys);

        for (size_t f = 0; f < found; f++)
            if (at + join->found_places[f] != own)
                ims_nearest_push(
                    &nearest, join->found_keys[f], (uint32_t)(at + join->found_places[f]));
    }
    ims_nearest_shrink(&nearest);
    memcpy(chosen, nearest.places, wanted * sizeof(uint32_t));
}

/* Rows by the lists that they chose: counted, then put in place, which moves the starts on by one list. */
static void sort_choices(const struct lists *lists, struct join *join, size_t count)
{
    const size_t wanted = lists->probes - 1;

    memset(join->starts, 0, ((size_t)lists->list_count + 2) * sizeof(uint32_t));
    for (size_t i = 0; i < count * wanted; i++)
        join->starts[join->chosen[i] + 2]++;
    for (size_t list = 2; list <= lists->list_count; list++)
        join->starts[list] += join->starts[list - 1];
    for (size_t i = 0; i < count * wanted; i++)
        join->asking[join->starts[join->chosen[i] + 1]++] = (uint16_t)(i / wanted);
}

/* Compare some of the rows from `first` on with all points of a list. */
static void compare(
    const struct lists *lists,
    struct join *join,
    size_t first,
    const uint16_t *asking,
    size_t count,
    uint32_t list)
{
    const size_t m = lists->m, end = lists->starts[list + 1];

    for (size_t q = 0; q < count; q++)
        memcpy(join->rows + q * m, lists->reduced + (first + asking[q]) * m, m * sizeof(float));
    for (size_t at = lists->starts[list]; at < end; at += TILE_POINTS) {
        const size_t points = end - at < TILE_POINTS ? end - at : TILE_POINTS;

        ims_gemm_nt(
            count, points, m, join->rows, m, lists->reduced + at * m, m, join->dots, TILE_POINTS);
        for (size_t q = 0; q < count; q++) {
            struct ims_nearest *nearest = &join->nearest[asking[q]];
            const size_t found = ims_map_kernels()->filter(
                join->dots + q * TILE_POINTS, lists->norms + at, points, nearest->bound,
                join->found_places, join->found_keys);

            for (size_t f = 0; f < found; f++)
                if (at + join->found_places[f] != first + asking[q])
                    ims_nearest_push(
                        nearest, join->found_keys[f], (uint32_t)(at + join->found_places[f]));
        }
    }
}

/* The candidates found, nearest first, keys as squared distances. */
static void
take_candidates(const struct lists *lists, struct join *join, size_t first, size_t count)
{
    for (size_t q = 0; q < count; q++) {
        struct ims_nearest *nearest = &join->nearest[q];
        float *keys = lists->keys + (first + q) * lists->keep;
        uint32_t *places = lists->places + (first + q) * lists->keep;

        ims_nearest_shrink(nearest);
        ims_map_sort_neighbours(nearest->keys, nearest->places, nearest->count);
        for (size_t i = 0; i < nearest->count; i++) {
            keys[i] = nearest->keys[i] + lists->norms[first + q];
            places[i] = nearest->places[i];
        }
        /* Too few points in all the lists compared: the row ends early. */
        for (size_t i = nearest->count; i < lists->keep; i++) {
            keys[i] = INFINITY;
            places[i] = UINT32_MAX;
        }
    }
}

/* Rows of one list against the points of the lists near them: their own, then those that each of them chose. */
static void
join_rows(const struct lists *lists, struct join *join, uint32_t own, size_t first, size_t count)
{
    const size_t capacity = ims_nearest_capacity(lists->keep), m = lists->m;

    if (lists->probes > 1) {
        ims_gemm_nt(
            count, lists->list_count, m, lists->reduced + first * m, m, lists->centres, m,
            join->dots, lists->list_count);
        for (size_t q = 0; q < count; q++)
            choose_lists(lists, join, q, own);
        sort_choices(lists, join, count);
    }
    for (size_t q = 0; q < count; q++)
        ims_nearest_init(
            &join->nearest[q], lists->keep, join->keys + q * capacity, join->places + q * capacity);
    compare(lists, join, first, join->all, count, own);
    for (uint32_t list = 0; list < lists->list_count && lists->probes > 1; list++)
        if (join->starts[list + 1] > join->starts[list])
            compare(
                lists, join, first, join->asking + join->starts[list],
                join->starts[list + 1] - join->starts[list], list);
    take_candidates(lists, join, first, count);
}

static imgsim_status join_list(void *context, size_t item, uint32_t worker)
{
    const struct lists *lists = context;
    const size_t end = lists->starts[item + 1];
    imgsim_status status = IMGSIM_OK;
    struct join *join = NULL;

    if (worker == 0 && (status = ims_meter_tick(lists->job->meter, false)) != IMGSIM_OK)
        return status;
    if ((status = join_new(lists, &join)) == IMGSIM_OK) {
        for (size_t first = lists->starts[item]; first < end; first += JOIN_ROWS)
            join_rows(
                lists, join, (uint32_t)item, first,
                end - first < JOIN_ROWS ? end - first : JOIN_ROWS);
        atomic_fetch_add(&lists->job->meter->done, (end - lists->starts[item]) / 2);
    }
    join_free(join);
    return status;
}

/* ---- descent ---- */

/* Work space of mending points one after another. */
struct mend {
    struct ims_nearest nearest;
    /* Who is a candidate already, by open addressing; entries of earlier points have other stamps. */
    uint64_t *known;
    size_t mask;
    uint32_t stamp;
    uint32_t fresh[DESCENT * DESCENT];
    size_t fresh_count;
};

static imgsim_status mend_init(struct mend *mend, const struct lists *lists)
{
    const size_t capacity = ims_nearest_capacity(lists->keep);
    size_t size = 64;

    while (size < 2 * (lists->keep + 1 + DESCENT * DESCENT))
        size *= 2;
    mend->mask = size - 1;
    mend->known = ims_calloc(size, sizeof(uint64_t));
    ims_nearest_init(
        &mend->nearest, lists->keep, ims_alloc_array(capacity, sizeof(float)),
        ims_alloc_array(capacity, sizeof(uint32_t)));
    return mend->known != NULL && mend->nearest.keys != NULL && mend->nearest.places != NULL
               ? IMGSIM_OK
               : ims_fail_memory(capacity * sizeof(float));
}

static void mend_clear(struct mend *mend)
{
    ims_free(mend->known);
    ims_free(mend->nearest.keys);
    ims_free(mend->nearest.places);
}

/* Note a place; false if it was noted before. */
static bool note(struct mend *mend, uint32_t place)
{
    const uint64_t entry = (uint64_t)mend->stamp << 32 | place;
    size_t at = (place * 0x9e3779b1u >> 7) & mend->mask;

    while (mend->known[at] >> 32 == mend->stamp) {
        if (mend->known[at] == entry)
            return false;
        at = (at + 1) & mend->mask;
    }
    mend->known[at] = entry;
    return true;
}

/* Offer the neighbours of a point's nearest neighbours to it. The graph before stays as it is: order does not matter. */
static void mend_point(const struct lists *lists, size_t place, struct mend *mend)
{
    const size_t m = lists->m, keep = lists->keep;
    const uint32_t *own = lists->places + place * keep;
    const float *own_keys = lists->keys + place * keep;
    const float *row = lists->reduced + place * m;
    struct ims_nearest *nearest = &mend->nearest;

    nearest->count = 0;
    nearest->bound = INFINITY;
    mend->stamp++;
    mend->fresh_count = 0;
    note(mend, (uint32_t)place);
    for (size_t i = 0; i < keep && own[i] != UINT32_MAX; i++) {
        note(mend, own[i]);
        ims_nearest_push(nearest, own_keys[i], own[i]);
    }
    for (size_t i = 0; i < keep && i < DESCENT && own[i] != UINT32_MAX; i++) {
        const uint32_t *others = lists->places + own[i] * keep;

        for (size_t j = 0; j < keep && j < DESCENT && others[j] != UINT32_MAX; j++)
            if (note(mend, others[j]))
                mend->fresh[mend->fresh_count++] = others[j];
    }
    if (own_keys[keep - 1] < nearest->bound)
        nearest->bound = own_keys[keep - 1];
    for (size_t i = 0; i < mend->fresh_count; i++) {
        const uint32_t other = mend->fresh[i];

        ims_nearest_push(
            nearest,
            ims_kernels()->l2_squared(row, lists->reduced + other * m, m) + lists->rest[place] +
                lists->rest[other],
            other);
    }
    ims_nearest_shrink(nearest);
}

static imgsim_status mend_tile(void *context, size_t item, uint32_t worker)
{
    const struct lists *lists = context;
    const size_t n = lists->job->rows->count, first = item * TILE_ROWS;
    const size_t end = first + TILE_ROWS < n ? first + TILE_ROWS : n;
    struct mend mend = {0};
    imgsim_status status = mend_init(&mend, lists);

    if (status == IMGSIM_OK && worker == 0)
        status = ims_meter_tick(lists->job->meter, false);
    for (size_t place = first; place < end && status == IMGSIM_OK; place++) {
        uint32_t *out = lists->mended + place * lists->keep;

        mend_point(lists, place, &mend);
        memcpy(out, mend.nearest.places, mend.nearest.count * sizeof(uint32_t));
        for (size_t i = mend.nearest.count; i < lists->keep; i++)
            out[i] = UINT32_MAX;
    }
    mend_clear(&mend);
    return status;
}

/* ---- ranking ---- */

/* Rows with fewer candidates than k (tiny lists) are filled up from the places around them. */
static size_t fill_up(const struct lists *lists, size_t place, uint32_t *candidates, size_t count)
{
    const size_t n = lists->job->rows->count;

    for (size_t step = 1; count < lists->k; step++) {
        const size_t other = (place + step) % n;
        bool known = other == place;

        for (size_t i = 0; i < count && !known; i++)
            known = candidates[i] == other;
        if (!known)
            candidates[count++] = (uint32_t)other;
    }
    return count;
}

static imgsim_status rank_tile(void *context, size_t item, uint32_t worker)
{
    const struct lists *lists = context;
    const size_t n = lists->job->rows->count, first = item * TILE_ROWS;
    const size_t end = first + TILE_ROWS < n ? first + TILE_ROWS : n;
    const uint32_t k = lists->k;
    float *distances = ims_alloc_array(lists->keep, sizeof(float));
    uint32_t *points = ims_alloc_array(lists->keep, sizeof(uint32_t));
    imgsim_status status = IMGSIM_OK;

    if (distances == NULL || points == NULL)
        status = ims_fail_memory(lists->keep * sizeof(float));
    else if (worker == 0)
        status = ims_meter_tick(lists->job->meter, false);
    for (size_t place = first; place < end && status == IMGSIM_OK; place++) {
        uint32_t *candidates = lists->mended + place * lists->keep;
        const uint32_t point = lists->order[place];
        size_t count = 0;

        while (count < lists->keep && candidates[count] != UINT32_MAX)
            count++;
        count = fill_up(lists, place, candidates, count);
        for (size_t i = 0; i < count; i++) {
            points[i] = lists->order[candidates[i]];
            distances[i] = ims_map_fixed_distance(&lists->fixed, place, candidates[i]);
        }
        ims_map_sort_neighbours(distances, points, count);
        memcpy(lists->neighbours + (size_t)point * k, points, k * sizeof(uint32_t));
        memcpy(lists->distances + (size_t)point * k, distances, k * sizeof(float));
    }
    ims_free(distances);
    ims_free(points);
    if (status == IMGSIM_OK)
        atomic_fetch_add(&lists->job->meter->done, (end - first) / 2);
    return status;
}

/* ---- all steps ---- */

static void choose_sizes(struct lists *lists)
{
    const struct ims_map_rows *rows = lists->job->rows;
    const double root = sqrt((double)rows->count);

    lists->m = rows->dimension < IMS_MAP_COMPONENTS ? rows->dimension : IMS_MAP_COMPONENTS;
    /* Ranking needs more of what is left over the fewer are wanted. */
    lists->keep = (lists->k <= 30 ? 2 * lists->k : lists->k + lists->k / 2) + 16;
    if (lists->keep > rows->count - 1)
        lists->keep = (uint32_t)(rows->count - 1);
    lists->list_count = (uint32_t)(2.0 * root);
    lists->probes =
        (uint32_t)(PROBES * pow(fmax(1.0, (double)rows->count / PROBES_ROWS), 1.0 / 6.0));
    if (lists->list_count < lists->probes)
        lists->list_count = lists->probes;
    if (lists->list_count > rows->count)
        lists->list_count = (uint32_t)rows->count;
}

static imgsim_status lists_alloc(struct lists *lists)
{
    const size_t n = lists->job->rows->count, m = lists->m;

    lists->mean = ims_alloc_array(lists->job->rows->dimension, sizeof(float));
    lists->reduced = ims_alloc_aligned(n * m * sizeof(float));
    lists->rest = ims_alloc_array(n, sizeof(float));
    lists->norms = ims_alloc_array(n, sizeof(float));
    lists->centres = ims_alloc_aligned(lists->list_count * m * sizeof(float));
    lists->centre_norms = ims_alloc_array(lists->list_count, sizeof(float));
    lists->list_of = ims_alloc_array(n, sizeof(uint32_t));
    lists->order = ims_alloc_array(n, sizeof(uint32_t));
    if (lists->mean == NULL || lists->reduced == NULL || lists->rest == NULL ||
        lists->norms == NULL || lists->centres == NULL || lists->centre_norms == NULL ||
        lists->list_of == NULL || lists->order == NULL)
        return ims_fail_memory(n * m * sizeof(float));
    return IMGSIM_OK;
}

static imgsim_status join_all(struct lists *lists)
{
    const size_t n = lists->job->rows->count;
    const size_t tiles = (n + TILE_ROWS - 1) / TILE_ROWS;
    imgsim_status status;

    if (lists->probes > lists->list_count)
        lists->probes = lists->list_count;
    lists->keys = ims_alloc_array(n * lists->keep, sizeof(float));
    lists->places = ims_alloc_array(n * lists->keep, sizeof(uint32_t));
    lists->mended = ims_alloc_array(n * lists->keep, sizeof(uint32_t));
    if (lists->keys == NULL || lists->places == NULL || lists->mended == NULL)
        return ims_fail_memory(n * lists->keep * sizeof(float));
    if ((status = ims_pool_run(lists->job->pool, lists->list_count, join_list, lists)) != IMGSIM_OK)
        return status;
    return ims_pool_run(lists->job->pool, tiles, mend_tile, lists);
}

imgsim_status ims_map_graph_lists(
    const struct ims_map_job *job,
    const struct ims_map_metric *metric,
    uint32_t k,
    uint32_t *neighbours,
    float *distances)
{
    const size_t n = job->rows->count;
    struct lists lists = {.job = job, .metric = metric, .k = k};
    imgsim_status status;

    lists.neighbours = neighbours;
    lists.distances = distances;
    choose_sizes(&lists);
    if ((status = lists_alloc(&lists)) != IMGSIM_OK ||
        (status = ims_map_principal_rest(
             job, lists.m, IMS_MAP_FIT_ROWS, lists.reduced, lists.mean, lists.rest)) != IMGSIM_OK ||
        (status = find_centres(&lists)) != IMGSIM_OK ||
        (status = assign(&lists, lists.reduced, n, lists.list_of)) != IMGSIM_OK ||
        (status = split_crowded(&lists)) != IMGSIM_OK ||
        (status = sort_rows(&lists)) != IMGSIM_OK || (status = join_all(&lists)) != IMGSIM_OK)
        goto done;

    /* What ranking does not need is a good deal of memory. */
    ims_free_aligned(lists.reduced);
    ims_free(lists.keys);
    ims_free(lists.places);
    lists.reduced = NULL;
    lists.keys = NULL;
    lists.places = NULL;
    if ((status = ims_map_fixed_init(
             &lists.fixed, metric, lists.order, lists.mean,
             job->fixed_bytes > 0 ? job->fixed_bytes : IMS_MAP_FIXED_BYTES, job->pool)) ==
        IMGSIM_OK)
        status = ims_pool_run(job->pool, (n + TILE_ROWS - 1) / TILE_ROWS, rank_tile, &lists);

done:
    lists_clear(&lists);
    return status;
}
