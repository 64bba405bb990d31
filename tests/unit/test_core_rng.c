/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers: the published sequences, ranges, evenness. */
#include "check.h"

#include "core/rng.h"

static void splitmix64_gives_its_published_sequence(void)
{
    /* The reference program's first outputs for the seed 1234567. */
    CHECK(ims_mix64(1234567) == UINT64_C(6457827717110365317));
    CHECK(ims_mix64(1234567 + UINT64_C(0x9e3779b97f4a7c15)) == UINT64_C(3203168211198807973));
}

static void xoshiro256_gives_its_published_sequence(void)
{
    /* First outputs for the state 1, 2, 3, 4 by the reference program. */
    struct ims_rng rng = {{1, 2, 3, 4}};

    CHECK(ims_rng_next(&rng) == UINT64_C(11520));
    CHECK(ims_rng_next(&rng) == UINT64_C(0));
    CHECK(ims_rng_next(&rng) == UINT64_C(1509978240));
    CHECK(ims_rng_next(&rng) == UINT64_C(1215971899390074240));
}

static void equal_seeds_give_equal_numbers_and_others_do_not(void)
{
    struct ims_rng a, b, c;
    int same = 0;

    ims_rng_init(&a, 7);
    ims_rng_init(&b, 7);
    ims_rng_init(&c, 8);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = ims_rng_next(&a);

        CHECK(value == ims_rng_next(&b));
        same += value == ims_rng_next(&c);
    }
    CHECK_EQUAL(same, 0);
}

static void numbers_below_a_bound_are_even(void)
{
    struct ims_rng rng;
    int counts[7] = {0};

    ims_rng_init(&rng, 1);
    for (int i = 0; i < 70000; i++) {
        uint64_t value = ims_rng_below(&rng, 7);

        CHECK(value < 7);
        counts[value]++;
    }
    for (int i = 0; i < 7; i++)
        CHECK_NEAR(counts[i], 10000, 500);
    for (int i = 0; i < 100; i++) {
        CHECK_EQUAL(ims_rng_below(&rng, 1), 0);
        CHECK(ims_rng_below(&rng, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    }
}

static void doubles_and_normals_have_their_moments(void)
{
    struct ims_rng rng;
    double sum = 0.0, normal_sum = 0.0, normal_squares = 0.0;
    const int count = 100000;

    ims_rng_init(&rng, 3);
    for (int i = 0; i < count; i++) {
        double value = ims_rng_double(&rng);
        double normal = ims_rng_normal(&rng);

        CHECK(value >= 0.0 && value < 1.0);
        sum += value;
        normal_sum += normal;
        normal_squares += normal * normal;
    }
    CHECK_NEAR(sum / count, 0.5, 0.01);
    CHECK_NEAR(normal_sum / count, 0.0, 0.02);
    CHECK_NEAR(normal_squares / count, 1.0, 0.03);
}

int main(void)
{
    splitmix64_gives_its_published_sequence();
    xoshiro256_gives_its_published_sequence();
    equal_seeds_give_equal_numbers_and_others_do_not();
    numbers_below_a_bound_are_even();
    doubles_and_normals_have_their_moments();
    return 0;
}
