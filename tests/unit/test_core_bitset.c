/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of ids against a plain array of flags. */
#include "check.h"

#include "core/bitset.h"
#include "core/rng.h"

#define COUNT_MAX 200

static void compare(const struct ims_bitset *set, const bool *flags, uint64_t count)
{
    uint64_t total = 0;

    CHECK_EQUAL(set->count, count);
    for (uint64_t i = 0; i < count; i++) {
        CHECK_EQUAL(ims_bitset_test(set, (int64_t)i), flags[i]);
        total += flags[i];
    }
    CHECK_EQUAL(ims_bitset_popcount(set), total);
    CHECK(!ims_bitset_test(set, (int64_t)count));
    CHECK(!ims_bitset_test(set, -1));
    CHECK(!ims_bitset_test(set, INT64_MAX));
    for (uint64_t i = count; i < (count + 7) / 8 * 8; i++)
        CHECK(((set->bytes[i / 8] >> (i % 8)) & 1) == 0);
}

static void new_sets_are_empty_or_full(void)
{
    for (uint64_t count = 0; count <= COUNT_MAX; count++) {
        struct ims_bitset empty, full;
        bool none[COUNT_MAX + 1] = {false}, all[COUNT_MAX + 1];

        memset(all, 1, sizeof(all));
        CHECK(ims_bitset_init(&empty, count, false));
        CHECK(ims_bitset_init(&full, count, true));
        compare(&empty, none, count);
        compare(&full, all, count);
        ims_bitset_clear(&empty);
        ims_bitset_clear(&full);
        CHECK(empty.bytes == NULL && empty.count == 0);
    }
}

static void fill_randomly(struct ims_rng *rng, struct ims_bitset *set, bool *flags, uint64_t count)
{
    CHECK(ims_bitset_init(set, count, false));
    for (uint64_t i = 0; i < count; i++) {
        flags[i] = ims_rng_below(rng, 2) != 0;
        ims_bitset_set(set, (int64_t)i);
        if (!flags[i])
            ims_bitset_unset(set, (int64_t)i);
    }
}

static void and_and_or_work_for_all_pairs_of_lengths(void)
{
    struct ims_rng rng;

    ims_rng_init(&rng, 5);
    for (uint64_t count = 0; count <= 70; count++) {
        for (uint64_t other_count = 0; other_count <= 70; other_count++) {
            struct ims_bitset a, b, c;
            bool flags_a[COUNT_MAX], flags_b[COUNT_MAX] = {false}, expected[COUNT_MAX];

            fill_randomly(&rng, &a, flags_a, count);
            fill_randomly(&rng, &b, flags_b, other_count);
            CHECK(ims_bitset_copy(&c, a.bytes, count));
            ims_bitset_and(&a, &b);
            for (uint64_t i = 0; i < count; i++)
                expected[i] = flags_a[i] && i < other_count && flags_b[i];
            compare(&a, expected, count);
            ims_bitset_or(&c, &b);
            for (uint64_t i = 0; i < count; i++)
                expected[i] = flags_a[i] || (i < other_count && flags_b[i]);
            compare(&c, expected, count);
            ims_bitset_clear(&a);
            ims_bitset_clear(&b);
            ims_bitset_clear(&c);
        }
    }
}

static void a_copy_has_no_bits_beyond_its_count(void)
{
    static const uint8_t bytes[2] = {0xff, 0xff};
    struct ims_bitset set;

    CHECK(ims_bitset_copy(&set, bytes, 11));
    CHECK_EQUAL(ims_bitset_popcount(&set), 11);
    CHECK_EQUAL(set.bytes[1], 0x07);
    ims_bitset_clear(&set);
}

int main(void)
{
    new_sets_are_empty_or_full();
    and_and_or_work_for_all_pairs_of_lengths();
    a_copy_has_no_bits_beyond_its_count();
    return 0;
}
