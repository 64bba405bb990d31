/* SPDX-License-Identifier: Apache-2.0 */
/* Inner loops of layouts: the same bits on every instruction set, and as exact as they say. */
#include "check.h"
#include "core/rng.h"
#include "map/fft.h"
#include "map/map_edges.h"
#include "map/map_kernels.h"
#include "map/tsne_repulsion.h"

#include <stdint.h>

#define POINTS 700
#define EDGES 9

static const char *const sets[] = {"scalar", "avx2", "avx512", "neon"};

static float flat[POINTS * 2], deep[POINTS * 3];
static uint64_t starts[POINTS + 1];
static uint32_t targets[POINTS * EDGES + IMS_LANES], rates[POINTS * EDGES + IMS_LANES];
static float weights[POINTS * EDGES];
static int16_t fixed[POINTS];

static void make_data(void)
{
    struct ims_rng rng;

    ims_rng_init(&rng, 3);
    for (size_t i = 0; i < POINTS * 3; i++)
        deep[i] = (float)(ims_rng_normal(&rng) * 8.0);
    for (size_t i = 0; i < POINTS * 2; i++)
        flat[i] = (float)(ims_rng_normal(&rng) * 12.0 + (i / 2 % 3 == 0 ? 30.0 : 0.0));
    for (size_t i = 0; i < POINTS; i++) {
        starts[i + 1] = (i + 1) * EDGES;
        fixed[i] = (int16_t)(ims_rng_below(&rng, 11000) - 5500);
        for (size_t e = i * EDGES; e < (i + 1) * EDGES; e++) {
            targets[e] = (uint32_t)((i + 1 + ims_rng_below(&rng, POINTS - 1)) % POINTS);
            rates[e] = (uint32_t)ims_rng_next(&rng);
            weights[e] = (float)ims_rng_double(&rng) / (POINTS * EDGES);
        }
    }
}

/* Every kernel on its data into one block of floats. */
#define OUT (POINTS * 16)

static void run_all(const struct ims_map_kernels *kernels, float b, float *out)
{
    struct ims_umap_step step = {
        .starts = starts,
        .targets = targets,
        .rates = rates,
        .positions = flat,
        .count = POINTS,
        .dimension = 2,
        .epoch = 5,
        .salt = 77,
        .negatives = 5,
        .a = 1.577f,
        .b = b,
        .alpha = 0.6f,
        .repulsion = 1.0f,
    };
    struct ims_tsne_edges edges = {starts, targets, weights, flat, 2};
    static uint32_t positions[POINTS];
    size_t used = 0;

    memset(out, 0, OUT * sizeof(float));
    kernels->umap_move(&step, 3, 7, 0, 99, out);
    used += 99 * 2;
    step.positions = deep;
    step.dimension = 3;
    kernels->umap_move(&step, 0, 1, 5, 100, out + used);
    used += 300;
    out[used] = (float)kernels->tsne_attract(&edges, 0, POINTS, 1, out + used + 1);
    used += POINTS * 2 + 1;
    kernels->power(weights, b, POINTS, out + used);
    used += POINTS;
    for (size_t i = 0; i < 70; i++) /* lengths that are no whole vectors */
        out[used++] = (float)kernels->dot_fixed(fixed + i, fixed + 2 * i, i);
    used += kernels->filter(flat, deep, POINTS, 5.0f, positions, out + used);
    out[used++] = (float)kernels->rank(flat, POINTS, flat[9], 9);
    CHECK(used < OUT);
}

static void all_sets_give_the_same_bits(void)
{
    static float expected[OUT], found[OUT];

    for (int round = 0; round < 2; round++) {
        const float b = round == 0 ? 0.895f : 1.0f;

        run_all(ims_map_kernels_named("scalar"), b, expected);
        for (size_t s = 1; s < sizeof(sets) / sizeof(sets[0]); s++) {
            const struct ims_map_kernels *kernels = ims_map_kernels_named(sets[s]);

            if (kernels == NULL)
                continue;
            run_all(kernels, b, found);
            CHECK(memcmp(expected, found, sizeof(found)) == 0);
        }
    }
}

static void powers_are_as_exact_as_stated(void)
{
    float values[2000], found[2000];
    const float exponents[] = {0.05f, 0.790495f, 0.895061f, 1.9f};

    for (size_t i = 0; i < 2000; i++)
        values[i] = (float)exp((double)i / 2000.0 * 60.0 - 30.0);
    for (size_t e = 0; e < 4; e++) {
        ims_map_kernels()->power(values, exponents[e], 2000, found);
        for (size_t i = 0; i < 2000; i++) {
            const double truth = pow(values[i], exponents[e]);

            CHECK(fabs(found[i] - truth) <= 1e-5 * truth);
        }
    }
}

/* Against the definition, for lengths of every radix. */
static void transforms_are_right(void)
{
    static const size_t lengths[] = {16, 18, 20, 24, 30, 60, 90, 128, 150, 162, 240, 1000};
    struct ims_rng rng;

    ims_rng_init(&rng, 8);
    for (size_t t = 0; t < sizeof(lengths) / sizeof(lengths[0]); t++) {
        const size_t n = lengths[t];
        float *data = malloc(n * 64 * sizeof(float)), *in = malloc(n * 32 * sizeof(float));
        double error = 0.0, size = 0.0;
        struct ims_fft fft;
        const float *found;

        CHECK_EQUAL(ims_fft_length(n - 1), n);
        CHECK_OK(ims_fft_init(&fft, n));
        for (size_t i = 0; i < n * 32; i++)
            in[i] = (float)ims_rng_normal(&rng);
        for (int inverse = 0; inverse < 2; inverse++) {
            memcpy(data, in, n * 32 * sizeof(float));
            found = ims_fft_run(&fft, data, data + n * 32, inverse);
            for (size_t k = 0; k < n; k += 7)
                for (size_t l = 0; l < 16; l += 5) {
                    double re = 0.0, im = 0.0;

                    for (size_t j = 0; j < n; j++) {
                        const double angle =
                            (inverse ? 2.0 : -2.0) * M_PI * (double)(j * k % n) / (double)n;

                        re += in[j * 32 + l] * cos(angle) - in[j * 32 + 16 + l] * sin(angle);
                        im += in[j * 32 + l] * sin(angle) + in[j * 32 + 16 + l] * cos(angle);
                    }
                    error += pow(re - found[k * 32 + l], 2) + pow(im - found[k * 32 + 16 + l], 2);
                    size += re * re + im * im;
                }
        }
        CHECK(sqrt(error / size) < 1e-6);
        ims_fft_clear(&fft);
        free(data);
        free(in);
    }
    CHECK_EQUAL(ims_fft_length(1001), 1024);
}

/* Root of the mean square error of forces, relative to their size, and error of the total. */
static void compare_fields(
    const float *positions,
    size_t count,
    size_t d,
    const float *forces,
    double total,
    double *out_forces,
    double *out_total)
{
    double error = 0.0, size = 0.0, sum = 0.0;

    for (size_t i = 0; i < count; i++) {
        double force[3] = {0.0};

        for (size_t j = 0; j < count; j++) {
            double square = 1.0;

            for (size_t c = 0; c < d; c++)
                square += pow((double)positions[i * d + c] - positions[j * d + c], 2);
            sum += i != j ? 1.0 / square : 0.0;
            for (size_t c = 0; c < d; c++)
                force[c] +=
                    ((double)positions[i * d + c] - positions[j * d + c]) / (square * square);
        }
        for (size_t c = 0; c < d; c++) {
            error += pow(force[c] - forces[i * d + c], 2);
            size += force[c] * force[c];
        }
    }
    *out_forces = sqrt(error / size);
    *out_total = fabs(total - sum) / sum;
}

static void repulsion_is_near_the_sum_over_pairs(void)
{
    static float forces[POINTS * 3], again[POINTS * 3];
    static double totals[POINTS];
    struct ims_pool *pool = NULL;
    struct ims_grid *grid = NULL;
    struct ims_tree *tree = NULL;
    double total, in_forces, in_total, sum = 0.0;

    CHECK_OK(ims_pool_new(3, &pool));
    CHECK_OK(ims_grid_new(&grid));
    /* As large as at the end of a layout, then as small as at its start. */
    for (int round = 0; round < 3; round++) {
        CHECK_OK(ims_grid_repulsion(grid, pool, flat, POINTS, forces, &total));
        compare_fields(flat, POINTS, 2, forces, total, &in_forces, &in_total);
        printf("grid: forces %.2g, total %.2g\n", in_forces, in_total);
        /* A few far points have little but near neighbours: the worst case of a grid. */
        CHECK(in_forces < 0.05);
        CHECK(in_total < 1e-5);
        for (size_t i = 0; i < POINTS * 2; i++)
            flat[i] *= 0.03f;
    }
    CHECK_OK(ims_grid_fields_at(grid, pool, flat, POINTS, again, totals));
    ims_grid_free(grid);

    CHECK_OK(ims_tree_new(&tree));
    CHECK_OK(ims_tree_repulsion(tree, pool, deep, POINTS, forces, &total));
    compare_fields(deep, POINTS, 3, forces, total, &in_forces, &in_total);
    printf("tree: forces %.2g, total %.2g\n", in_forces, in_total);
    CHECK(in_forces < 0.02);
    CHECK(in_total < 0.01);
    CHECK_OK(ims_tree_fields_at(tree, pool, deep, POINTS, again, totals));
    CHECK(memcmp(forces, again, sizeof(forces)) == 0);
    for (size_t i = 0; i < POINTS; i++)
        sum += totals[i];
    CHECK_NEAR(sum - POINTS, total, 1e-6 * total);
    ims_tree_free(tree);
    ims_pool_free(pool);
}

/* a and b as SciPy's curve_fit finds them for umap-learn. */
static void curves_are_fitted(void)
{
    static const double known[][3] = {
        {0.0, 1.932809, 0.790495},  {0.001, 1.929074, 0.791504}, {0.01, 1.895606, 0.800638},
        {0.05, 1.750225, 0.842055}, {0.1, 1.576944, 0.895061},   {0.25, 1.121436, 1.057500},
        {0.5, 0.583030, 1.334167},  {0.8, 0.232062, 1.681235},   {0.99, 0.119306, 1.916389},
    };
    double a, b;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        ims_umap_curve(known[i][0], 1.0, &a, &b);
        CHECK_NEAR(a, known[i][1], 1e-4);
        CHECK_NEAR(b, known[i][2], 1e-4);
    }
    /* In another unit it is the same curve. */
    ims_umap_curve(0.2, 2.0, &a, &b);
    CHECK_NEAR(a * pow(2.0, 2.0 * b), 1.576944, 1e-4);
}

int main(void)
{
    make_data();
    all_sets_give_the_same_bits();
    powers_are_as_exact_as_stated();
    transforms_are_right();
    repulsion_is_near_the_sum_over_pairs();
    curves_are_fitted();
    return 0;
}
