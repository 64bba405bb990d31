/* SPDX-License-Identifier: Apache-2.0 */
/* The k nearest of a stream are the first k of the sorted stream, ties by id. */
#include "check.h"

#include "core/rng.h"
#include "core/topk.h"

#define STREAM_MAX 300

static int by_distance_then_id(const void *a, const void *b)
{
    const struct ims_neighbour *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Few different distances, so that there are many ties; sometimes infinity. */
static double draw_distance(struct ims_rng *rng)
{
    uint64_t value = ims_rng_below(rng, 40);

    return value == 39 ? INFINITY : value == 38 ? -0.0 : (double)value - 3.0;
}

static void check_stream(struct ims_rng *rng, size_t length, size_t k)
{
    struct ims_neighbour stream[STREAM_MAX], kept[STREAM_MAX];
    struct ims_topk topk;

    ims_topk_init(&topk, kept, k);
    for (size_t i = 0; i < length; i++) {
        double bound = ims_topk_bound(&topk);
        bool was_kept;

        stream[i].distance = draw_distance(rng);
        stream[i].id = (int64_t)(i * 7919 % 1009);
        was_kept = ims_topk_push(&topk, stream[i].distance, stream[i].id);
        if (stream[i].distance > bound)
            CHECK(!was_kept);
        if (stream[i].distance < bound)
            CHECK(was_kept);
        CHECK(!ims_topk_push(&topk, NAN, 1));
    }
    CHECK_EQUAL(topk.count, length < k ? length : k);
    ims_topk_sort(&topk);
    qsort(stream, length, sizeof(stream[0]), by_distance_then_id);
    for (size_t i = 0; i < topk.count; i++) {
        CHECK_EQUAL(kept[i].id, stream[i].id);
        CHECK(kept[i].distance == stream[i].distance);
    }
}

static void the_k_nearest_are_kept_whatever_the_order(void)
{
    struct ims_rng rng;

    ims_rng_init(&rng, 11);
    for (int round = 0; round < 3000; round++)
        check_stream(&rng, ims_rng_below(&rng, STREAM_MAX), ims_rng_below(&rng, 60));
}

static void the_bound_is_infinite_until_full(void)
{
    struct ims_neighbour items[2];
    struct ims_topk topk;

    ims_topk_init(&topk, items, 2);
    CHECK(isinf(ims_topk_bound(&topk)));
    CHECK(ims_topk_push(&topk, 5.0, 1));
    CHECK(isinf(ims_topk_bound(&topk)));
    CHECK(ims_topk_push(&topk, 3.0, 2));
    CHECK_NEAR(ims_topk_bound(&topk), 5.0, 0.0);
    CHECK(!ims_topk_push(&topk, 5.0, 1));
    CHECK(!ims_topk_push(&topk, 5.0, 9));
    CHECK(ims_topk_push(&topk, 5.0, 0));
}

static void lists_are_sorted_as_by_qsort(void)
{
    struct ims_neighbour a[STREAM_MAX], b[STREAM_MAX];
    struct ims_rng rng;

    ims_rng_init(&rng, 12);
    for (int round = 0; round < 1000; round++) {
        size_t count = ims_rng_below(&rng, STREAM_MAX);

        for (size_t i = 0; i < count; i++) {
            a[i].distance = draw_distance(&rng);
            a[i].id = (int64_t)(i * 7919 % 1009);
        }
        memcpy(b, a, sizeof(a));
        ims_neighbours_sort(a, count);
        qsort(b, count, sizeof(b[0]), by_distance_then_id);
        for (size_t i = 0; i < count; i++)
            CHECK_EQUAL(a[i].id, b[i].id);
    }
}

int main(void)
{
    the_k_nearest_are_kept_whatever_the_order();
    the_bound_is_infinite_until_full();
    lists_are_sorted_as_by_qsort();
    return 0;
}
