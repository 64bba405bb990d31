/* SPDX-License-Identifier: Apache-2.0 */
/* Rows for the tests of clusters: groups around centres, and calling the library in one line. */
#ifndef IMS_TESTS_CLUSTER_ROWS_H
#define IMS_TESTS_CLUSTER_ROWS_H

#include "check.h"
#include "core/rng.h"
#include "simd/reference.h"

#include <imgsim/cluster.h>

#include <stdbool.h>

/* n rows of d values around `groups` centres, `spread` wide, moved by `offset`. */
static inline float *
grouped_rows(uint64_t seed, size_t n, size_t d, size_t groups, double spread, double offset)
{
    struct ims_rng rng;
    double *centres = malloc(groups * d * sizeof(double));
    float *rows = malloc(n * d * sizeof(float));

    CHECK(centres != NULL && rows != NULL);
    ims_rng_init(&rng, seed);
    for (size_t i = 0; i < groups * d; i++)
        centres[i] = 4 * ims_rng_normal(&rng);
    for (size_t i = 0; i < n; i++) {
        const size_t group = ims_rng_below(&rng, groups);

        for (size_t j = 0; j < d; j++)
            rows[i * d + j] =
                (float)(centres[group * d + j] + spread * ims_rng_normal(&rng) + offset);
    }
    free(centres);
    return rows;
}

static inline imgsim_cluster_options options_of(int32_t method, uint32_t threads)
{
    imgsim_cluster_options options;

    CHECK_OK(imgsim_cluster_options_init(&options, sizeof(options)));
    options.method = method;
    options.threads = threads;
    return options;
}

static inline imgsim_clusters *
cluster(const float *rows, size_t n, size_t d, const imgsim_cluster_options *options)
{
    imgsim_clusters *clusters = NULL;

    CHECK_OK(imgsim_cluster_rows(rows, n, (uint32_t)d, options, &clusters));
    return clusters;
}

/* Both label sets are the same partition, noise included. */
static inline bool same_partition(const int32_t *a, const int32_t *b, size_t n)
{
    double ari;

    for (size_t i = 0; i < n; i++)
        if ((a[i] < 0) != (b[i] < 0))
            return false;
    CHECK_OK(imgsim_compare_labels(a, b, n, &ari, NULL));
    return ari == 1;
}

static inline double square_of(const float *rows, size_t d, size_t a, size_t b)
{
    return ims_exact_l2_squared(rows + a * d, rows + b * d, d);
}

#endif
