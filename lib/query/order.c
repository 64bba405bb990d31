/* SPDX-License-Identifier: Apache-2.0 */
/* Ranking every image of a channel: a stable radix sort of doubles. */
#include "query/query.h"

#include "core/memory.h"

#include <string.h>

#define DIGITS 8 /* of 8 bits each */

bool ims_order_init(struct ims_order *order, size_t count)
{
    order->items = ims_alloc_array(count, sizeof(*order->items));
    order->spare = ims_alloc_array(count, sizeof(*order->spare));
    return order->items != NULL && order->spare != NULL;
}

void ims_order_clear(struct ims_order *order)
{
    ims_free(order->items);
    ims_free(order->spare);
    memset(order, 0, sizeof(*order));
}

/* Bits whose order as integers is the order of the numbers; both zeros are one. */
static uint64_t sortable(double number)
{
    uint64_t bits;

    number += 0.0; /* -0 becomes 0 */
    memcpy(&bits, &number, sizeof(bits));
    return bits >> 63 != 0 ? ~bits : bits | UINT64_C(1) << 63;
}

/* Move all items to their places by one digit; `counts` tells how many have each value of it. */
static void
sort_by_digit(struct ims_order *order, size_t count, int digit, const size_t counts[256])
{
    size_t places[256];
    size_t place = 0;
    struct ims_ordered *sorted = order->spare;

    for (int value = 0; value < 256; value++) {
        places[value] = place;
        place += counts[value];
    }
    for (size_t i = 0; i < count; i++)
        sorted[places[order->items[i].key >> (8 * digit) & 255]++] = order->items[i];
    order->spare = order->items;
    order->items = sorted;
}

void ims_order_by_key(struct ims_order *order, const double *key, size_t count)
{
    size_t counts[DIGITS][256];

    memset(counts, 0, sizeof(counts));
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = sortable(key[i]);

        order->items[i].key = bits;
        order->items[i].position = i;
        for (int digit = 0; digit < DIGITS; digit++)
            counts[digit][bits >> (8 * digit) & 255]++;
    }
    /* A digit that all have in common changes nothing. */
    for (int digit = 0; digit < DIGITS; digit++)
        if (count > 0 && counts[digit][order->items[0].key >> (8 * digit) & 255] < count)
            sort_by_digit(order, count, digit, counts[digit]);
}
