/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hamming: the k nearest, rows within a distance and all pairs within one are those of comparing all with all, for rows of
 * any size, copies, clusters, filters, numbers of threads and instruction sets.
 */
#include "core/rng.h"
#include "core/topk.h"
#include "each_set.h"
#include "simd/kernels.h"

#include <imgsim/index.h>

#define ROWS 1600
#define SIZE_MAX_ROW 40
#define QUERIES 8
#define K_MOST 1600

static uint8_t rows[ROWS * SIZE_MAX_ROW];
static int64_t ids[ROWS];
static size_t row_size;

enum data { DRAWN, CLUSTERS, COPIES };

static void make_rows(enum data kind)
{
    struct ims_rng rng;

    ims_rng_init(&rng, 3 + (uint64_t)kind);
    for (size_t row = 0; row < ROWS; row++) {
        uint8_t *out = rows + row * row_size;
        const size_t centre = kind == COPIES ? row % 5 : row % 40;

        for (size_t i = 0; i < row_size; i++)
            out[i] = kind == DRAWN || row < 40 ? (uint8_t)ims_rng_next(&rng)
                                               : rows[centre * row_size + i];
        for (size_t flips = kind == CLUSTERS ? row % 9 : 0; flips > 0; flips--) {
            const uint64_t bit = ims_rng_below(&rng, row_size * 8);

            out[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        ids[row] = (int64_t)(row * 7919 % ROWS) * 2;
    }
}

static imgsim_index *new_index(void)
{
    imgsim_index_options options;
    imgsim_index *index;

    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.metric = IMGSIM_METRIC_HAMMING;
    options.dimension = (uint32_t)(row_size * 8);
    options.threads = 2;
    CHECK_OK(imgsim_index_new(&options, &index));
    CHECK_OK(imgsim_index_add_bits(index, rows, ROWS, ids));
    return index;
}

static uint32_t distance_of(const uint8_t *a, const uint8_t *b)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < row_size; i++)
        sum += (uint32_t)__builtin_popcount(a[i] ^ b[i]);
    return sum;
}

static void
check_search(const imgsim_index *index, size_t k, const uint8_t *filter, float max_distance)
{
    static int64_t found[QUERIES * K_MOST];
    static float distances[QUERIES * K_MOST];
    static struct ims_neighbour items[K_MOST];
    imgsim_search_options options;

    CHECK_OK(imgsim_search_options_init(&options, sizeof(options)));
    options.filter = filter;
    options.filter_bits = filter != NULL ? 2 * ROWS : 0;
    options.max_distance = max_distance;
    for (uint32_t threads = 1; threads <= 2; threads++)
        for (size_t first = 0; first < QUERIES; first += threads == 1 ? QUERIES : 1) {
            options.threads = threads;
            CHECK_OK(imgsim_index_search_bits(
                index, rows + first * 77 * row_size, 1, k, &options, found, distances));
            struct ims_topk topk;

            ims_topk_init(&topk, items, k);
            for (size_t row = 0; row < ROWS; row++)
                if (filter == NULL || (filter[ids[row] / 8] >> (ids[row] % 8) & 1) != 0)
                    ims_topk_push(
                        &topk, distance_of(rows + first * 77 * row_size, rows + row * row_size),
                        ids[row]);
            ims_topk_sort(&topk);
            for (size_t i = 0; i < k; i++) {
                const bool there = i < topk.count && items[i].distance <= (double)max_distance;

                CHECK_EQUAL(found[i], there ? items[i].id : -1);
                CHECK(!there || (double)distances[i] == items[i].distance);
            }
        }
}

/* ---- pairs ---- */

struct seen {
    uint8_t *distances; /* ROWS x ROWS by id / 2: 1 + distance */
    size_t count;
    size_t stop_at; /* 0: never */
};

static int32_t
note_pairs(const int64_t *a, const int64_t *b, const float *distances, size_t count, void *data)
{
    struct seen *seen = data;

    for (size_t i = 0; i < count; i++) {
        uint8_t *cell = &seen->distances[a[i] / 2 * ROWS + b[i] / 2];

        CHECK(a[i] < b[i]);
        CHECK_EQUAL(*cell, 0); /* each once */
        *cell = (uint8_t)(1 + distances[i]);
    }
    seen->count += count;
    return seen->stop_at > 0 && seen->count >= seen->stop_at;
}

static void check_pairs(const imgsim_index *index, uint32_t limit, uint32_t threads)
{
    imgsim_pairs_options options;
    struct seen seen = {.distances = calloc(ROWS, ROWS)};
    size_t expected = 0;

    CHECK(seen.distances != NULL);
    CHECK_OK(imgsim_pairs_options_init(&options, sizeof(options)));
    options.max_distance = limit;
    options.threads = threads;
    CHECK_OK(imgsim_index_pairs(index, &options, note_pairs, &seen));
    for (size_t a = 0; a < ROWS; a++)
        for (size_t b = a + 1; b < ROWS; b++) {
            const uint32_t distance = distance_of(rows + a * row_size, rows + b * row_size);
            const size_t low = (size_t)(ids[a] < ids[b] ? ids[a] : ids[b]) / 2;
            const size_t high = (size_t)(ids[a] < ids[b] ? ids[b] : ids[a]) / 2;

            expected += distance <= limit;
            CHECK_EQUAL(seen.distances[low * ROWS + high], distance <= limit ? 1 + distance : 0);
        }
    CHECK_EQUAL(seen.count, expected);
    free(seen.distances);
}

static int32_t stop_at_once(const imgsim_progress *progress, void *data)
{
    (void)progress;
    (void)data;
    return 1;
}

static void pairs_stop_and_refuse(void)
{
    imgsim_index *index = new_index(), *other;
    imgsim_index_options options;
    imgsim_pairs_options pairs;
    struct seen seen = {.distances = calloc(ROWS, ROWS), .stop_at = 1};

    CHECK(seen.distances != NULL);
    CHECK_OK(imgsim_pairs_options_init(&pairs, sizeof(pairs)));
    CHECK_FAILS(
        imgsim_index_pairs(index, &pairs, note_pairs, &seen), IMGSIM_ERROR_CANCELLED, "callback");
    pairs.threads = 1;
    pairs.progress = stop_at_once;
    seen.stop_at = 0;
    memset(seen.distances, 0, (size_t)ROWS * ROWS);
    CHECK_EQUAL(imgsim_index_pairs(index, &pairs, note_pairs, &seen), IMGSIM_ERROR_CANCELLED);
    pairs.progress = NULL;
    pairs.max_distance = (uint32_t)(row_size * 8 + 1);
    CHECK_FAILS(
        imgsim_index_pairs(index, &pairs, note_pairs, &seen), IMGSIM_ERROR_INVALID_ARGUMENT,
        "max_distance");
    CHECK_FAILS(
        imgsim_index_pairs(index, NULL, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT, "callback");
    CHECK_OK(imgsim_index_options_init(&options, sizeof(options)));
    options.dimension = 8;
    CHECK_OK(imgsim_index_new(&options, &other));
    CHECK_FAILS(
        imgsim_index_pairs(other, NULL, note_pairs, &seen), IMGSIM_ERROR_UNSUPPORTED, "cosine");
    imgsim_index_free(other);
    options.metric = IMGSIM_METRIC_HAMMING;
    CHECK_OK(imgsim_index_new(&options, &other));
    CHECK_OK(imgsim_index_pairs(other, NULL, note_pairs, &seen)); /* no rows, no pairs */
    imgsim_index_free(other);
    imgsim_index_free(index);
    free(seen.distances);
}

static void all_checks(void)
{
    static const size_t sizes[] = {8, 32, 1, 5, 40};
    static uint8_t filter[2 * ROWS / 8];

    for (size_t i = 0; i < sizeof(filter); i++)
        filter[i] = (uint8_t)(i * 37);
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (enum data kind = DRAWN; kind <= COPIES; kind++) {
            imgsim_index *index;

            row_size = sizes[s];
            make_rows(kind);
            index = new_index();
            check_search(index, 10, NULL, INFINITY);
            check_search(index, 1, filter, INFINITY);
            check_search(index, K_MOST, NULL, 9.5f);
            check_search(index, 50, filter, (float)(row_size * 3));
            check_search(index, 3, NULL, -1);
            check_pairs(index, 0, 2);
            check_pairs(index, row_size == 1 ? 1 : 5, 1);
            check_pairs(index, row_size == 1 ? 3 : 8, 2);
            if (s == 1)
                check_pairs(index, 31, 2);
            imgsim_index_free(index);
        }
    pairs_stop_and_refuse();
}

int main(void)
{
    return with_each_set(all_checks);
}
