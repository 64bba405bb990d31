/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of ids as bits. */
#include "core/bitset.h"

#include "core/memory.h"

#include <string.h>

static size_t byte_count(uint64_t count)
{
    return (size_t)(count / 8 + (count % 8 != 0));
}

/* Bits beyond `count` in the last byte become 0. */
static void clear_tail(struct ims_bitset *set)
{
    if (set->count % 8 != 0)
        set->bytes[set->count / 8] &= (uint8_t)((1u << (set->count % 8)) - 1);
}

bool ims_bitset_init(struct ims_bitset *set, uint64_t count, bool value)
{
    set->count = 0;
    if ((set->bytes = ims_alloc(byte_count(count))) == NULL)
        return false;
    set->count = count;
    memset(set->bytes, value ? 0xff : 0, byte_count(count));
    clear_tail(set);
    return true;
}

bool ims_bitset_copy(struct ims_bitset *set, const uint8_t *bytes, uint64_t count)
{
    if (!ims_bitset_init(set, count, false))
        return false;
    if (count > 0)
        memcpy(set->bytes, bytes, byte_count(count));
    clear_tail(set);
    return true;
}

void ims_bitset_clear(struct ims_bitset *set)
{
    ims_free(set->bytes);
    set->bytes = NULL;
    set->count = 0;
}

void ims_bitset_and(struct ims_bitset *set, const struct ims_bitset *other)
{
    size_t own = byte_count(set->count);
    size_t common = byte_count(other->count);

    if (common > own)
        common = own;
    for (size_t i = 0; i < common; i++)
        set->bytes[i] &= other->bytes[i];
    if (own > common)
        memset(set->bytes + common, 0, own - common);
}

void ims_bitset_or(struct ims_bitset *set, const struct ims_bitset *other)
{
    size_t own = byte_count(set->count);
    size_t common = byte_count(other->count);

    if (common > own)
        common = own;
    for (size_t i = 0; i < common; i++)
        set->bytes[i] |= other->bytes[i];
    if (own > 0)
        clear_tail(set);
}

uint64_t ims_bitset_popcount(const struct ims_bitset *set)
{
    size_t bytes = byte_count(set->count);
    uint64_t total = 0;
    size_t i = 0;

    for (; i + 8 <= bytes; i += 8) {
        uint64_t word;

        memcpy(&word, set->bytes + i, 8);
        total += (uint64_t)__builtin_popcountll(word);
    }
    for (; i < bytes; i++)
        total += (uint64_t)__builtin_popcount(set->bytes[i]);
    return total;
}
