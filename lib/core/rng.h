/* SPDX-License-Identifier: Apache-2.0 */
/* Seeded random numbers: xoshiro256** started by splitmix64 (Blackman & Vigna, 2018). */
#ifndef IMS_CORE_RNG_H
#define IMS_CORE_RNG_H

#include <stdint.h>

struct ims_rng {
    uint64_t state[4];
};

void ims_rng_init(struct ims_rng *rng, uint64_t seed);
uint64_t ims_rng_next(struct ims_rng *rng);
/* In [0, 1). */
double ims_rng_double(struct ims_rng *rng);
/* In [0, bound), without bias; bound > 0. */
uint64_t ims_rng_below(struct ims_rng *rng, uint64_t bound);
/* Standard normal. */
double ims_rng_normal(struct ims_rng *rng);
/* One splitmix64 step: a good hash of an integer. */
uint64_t ims_mix64(uint64_t value);

#endif
