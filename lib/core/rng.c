/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeded random numbers: Blackman & Vigna, "Scrambled linear pseudorandom number generators",
 * arXiv:1805.01407.
 */
#include "core/rng.h"

#include <math.h>

/* The golden ratio in 64 bits: the step of splitmix64. */
#define SPLITMIX_STEP UINT64_C(0x9e3779b97f4a7c15)

uint64_t ims_mix64(uint64_t value)
{
    value += SPLITMIX_STEP;
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

void ims_rng_init(struct ims_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        rng->state[i] = ims_mix64(seed);
        seed += SPLITMIX_STEP;
    }
}

static uint64_t rotate_left(uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

/* xoshiro256**, version 1.0. */
uint64_t ims_rng_next(struct ims_rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double ims_rng_double(struct ims_rng *rng)
{
    return (double)(ims_rng_next(rng) >> 11) * 0x1.0p-53;
}

uint64_t ims_rng_below(struct ims_rng *rng, uint64_t bound)
{
    /* The lowest 2^64 mod bound numbers are refused, so that each remainder is equally likely. */
    uint64_t refused = (UINT64_C(0) - bound) % bound;
    uint64_t value;

    do
        value = ims_rng_next(rng);
    while (value < refused);
    return value % bound;
}

/*
 * Polar method: Marsaglia & Bray, SIAM Review 6(3), 1964. The second number of a pair is not kept.
 */
double ims_rng_normal(struct ims_rng *rng)
{
    double x, y, square;

    do {
        x = 2.0 * ims_rng_double(rng) - 1.0;
        y = 2.0 * ims_rng_double(rng) - 1.0;
        square = x * x + y * y;
    } while (square >= 1.0 || square == 0.0);
    return x * sqrt(-2.0 * log(square) / square);
}
