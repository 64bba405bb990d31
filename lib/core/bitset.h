/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of ids as bits, least significant bit of the first byte first: the form of the public
 * filters.
 */
#ifndef IMS_CORE_BITSET_H
#define IMS_CORE_BITSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero it for an empty set; bits of `bytes` beyond `count` are 0. */
struct ims_bitset {
    uint8_t *bytes;
    uint64_t count;
};

/* Room for `count` bits, all `value`; false when out of memory. */
bool ims_bitset_init(struct ims_bitset *set, uint64_t count, bool value);
bool ims_bitset_copy(struct ims_bitset *set, const uint8_t *bytes, uint64_t count);
void ims_bitset_clear(struct ims_bitset *set); /* release */
/* set &= other; bits beyond other's count become 0. */
void ims_bitset_and(struct ims_bitset *set, const struct ims_bitset *other);
void ims_bitset_or(struct ims_bitset *set, const struct ims_bitset *other);
uint64_t ims_bitset_popcount(const struct ims_bitset *set);

static inline bool ims_bits_test(const uint8_t *bytes, uint64_t count, int64_t id)
{
    return (uint64_t)id < count && ((bytes[id >> 3] >> (id & 7)) & 1) != 0;
}
static inline bool ims_bitset_test(const struct ims_bitset *set, int64_t id)
{
    return ims_bits_test(set->bytes, set->count, id);
}
static inline void ims_bitset_set(struct ims_bitset *set, int64_t id)
{
    set->bytes[id >> 3] |= (uint8_t)(1u << (id & 7));
}
static inline void ims_bitset_unset(struct ims_bitset *set, int64_t id)
{
    set->bytes[id >> 3] &= (uint8_t) ~(1u << (id & 7));
}

#endif
