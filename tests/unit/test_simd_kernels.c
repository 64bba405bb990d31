/* SPDX-License-Identifier: Apache-2.0 */
/* Every set of kernels this processor has agrees with double precision, for any length and alignment. */
#include "check.h"
#include "core/rng.h"
#include "simd/kernels.h"
#include "simd/reference.h"

#include <float.h>

#define LENGTH_MAX 131
#define OFFSETS 3
#define ROOM (4 * (LENGTH_MAX + 8) + OFFSETS)

static const char *const set_names[] = {"scalar", "avx2", "avx512", "neon"};

static float a[ROOM], b[ROOM];

/* |float sum - true sum| for `count` terms whose magnitudes add up to `magnitude`, a few roundings per term. */
static double bound(size_t count, double magnitude)
{
    return (double)(count + 8) * (FLT_EPSILON / 2) * magnitude + 1e-37;
}

static void check_vectors(const struct ims_kernels *set, size_t count, size_t offset)
{
    const float *x = a + offset, *y = b + OFFSETS - offset;
    double magnitude = 0;

    for (size_t i = 0; i < count; i++)
        magnitude += fabs((double)x[i] * y[i]);
    CHECK_NEAR(set->dot(x, y, count), ims_exact_dot(x, y, count), bound(count, magnitude));
    CHECK_NEAR(
        set->l2_squared(x, y, count), ims_exact_l2_squared(x, y, count),
        bound(count, ims_exact_l2_squared(x, y, count)));
    CHECK_NEAR(
        set->l1(x, y, count), ims_exact_l1(x, y, count), bound(count, ims_exact_l1(x, y, count)));
}

/* Rows kept column after column: the same bits as adding in order, whatever the set. */
static void check_columns(const struct ims_kernels *set, size_t count)
{
    static float columns[IMS_COLUMN_ROWS * LENGTH_MAX], out[IMS_COLUMN_ROWS];

    for (size_t i = 0; i < count * IMS_COLUMN_ROWS; i++)
        columns[i] = a[(i * 7) % ROOM] + (float)(i % 11);
    set->columns_l2_squared(columns, b, count, out);
    for (size_t row = 0; row < IMS_COLUMN_ROWS; row++) {
        float sum = 0;

        for (size_t i = 0; i < count; i++) {
            const float difference = columns[i * IMS_COLUMN_ROWS + row] - b[i];

            sum += difference * difference;
        }
        CHECK(sum == out[row]);
    }
}

static void check_four_rows(const struct ims_kernels *set, size_t count, size_t offset)
{
    const size_t stride = count + offset;
    const float *query = a + offset;
    float dots[4], distances[4];

    set->dot4(query, b + offset, stride, count, dots);
    set->l2_squared4(query, b + offset, stride, count, distances);
    for (size_t row = 0; row < 4; row++) {
        const float *y = b + offset + row * stride;
        const double squared = ims_exact_l2_squared(query, y, count);
        double magnitude = 0;

        for (size_t i = 0; i < count; i++)
            magnitude += fabs((double)query[i] * y[i]);
        CHECK_NEAR(dots[row], ims_exact_dot(query, y, count), bound(count, magnitude));
        CHECK_NEAR(distances[row], squared, bound(count, squared));
    }
}

static void check_histograms(const struct ims_kernels *set, size_t count, size_t offset)
{
    float x[LENGTH_MAX + OFFSETS], y[LENGTH_MAX + OFFSETS];
    double roots = 0;

    for (size_t i = 0; i < count; i++) {
        x[offset + i] = i % 3 == 0 ? 0 : fabsf(a[i]);
        y[offset + i] = i % 4 == 0 ? 0 : fabsf(b[i]);
        roots += sqrt((double)x[offset + i] * y[offset + i]);
    }
    CHECK_NEAR(
        set->chi_square(x + offset, y + offset, count),
        ims_exact_chi_square(x + offset, y + offset, count),
        bound(count, ims_exact_chi_square(x + offset, y + offset, count)));
    CHECK_NEAR(
        set->intersection(x + offset, y + offset, count),
        ims_exact_intersection(x + offset, y + offset, count),
        bound(count, ims_exact_intersection(x + offset, y + offset, count)));
    CHECK_NEAR(set->sqrt_dot(x + offset, y + offset, count), roots, bound(count, roots));
}

static void check_integers(const struct ims_kernels *set, size_t count, size_t offset)
{
    const struct ims_kernels *scalar = ims_kernels_named("scalar");
    const uint8_t *x = (const uint8_t *)a + offset, *y = (const uint8_t *)b + OFFSETS - offset;
    uint8_t extreme[LENGTH_MAX];
    const uint8_t *const rows[4] = {x, extreme, y, x + 1};
    int32_t sums[4], expected = 0;
    uint32_t both[2], any[2];

    for (size_t i = 0; i < count; i++) {
        extreme[i] = i % 5 == 4 ? 0 : 255;
        expected += extreme[i] * (int8_t)y[i];
    }
    CHECK_EQUAL(set->hamming(x, y, count), scalar->hamming(x, y, count));
    set->jaccard(x, y, count, &both[0], &any[0]);
    scalar->jaccard(x, y, count, &both[1], &any[1]);
    CHECK_EQUAL(both[0], both[1]);
    CHECK_EQUAL(any[0], any[1]);
    set->dot_u8i8_four(rows, (const int8_t *)y, count, sums);
    CHECK_EQUAL(sums[1], expected);
    for (size_t row = 0; row < 4; row++) {
        CHECK_EQUAL(set->dot_u8i8(rows[row], (const int8_t *)y, count), sums[row]);
        CHECK_EQUAL(scalar->dot_u8i8(rows[row], (const int8_t *)y, count), sums[row]);
    }
}

/* A sparse row of `count` entries in 4 * count + 1 bins; counts beyond 2^31 are among them. */
static void check_sparse(const struct ims_kernels *set, size_t count, size_t offset)
{
    static float query[4 * LENGTH_MAX + 1];
    uint16_t bins[LENGTH_MAX + OFFSETS];
    uint32_t counts[LENGTH_MAX + OFFSETS];
    const float scale = 1e-9f;
    double least = 0, root = 0, dot = 0, l1 = 0, chi = 0, l1_size = 0, chi_size = 0;

    for (size_t bin = 0; bin < 4 * count + 1; bin++)
        query[bin] = bin % 5 == 0 ? 0 : fabsf(a[bin % ROOM]);
    for (size_t e = 0; e < count; e++) {
        const size_t bin = 4 * e + e % 5;
        const uint32_t number = 1 + (uint32_t)(e * 0x9e3779b1u);
        const double q = query[bin], v = (double)number * scale;

        bins[offset + e] = (uint16_t)bin;
        counts[offset + e] = number;
        least += q < v ? q : v;
        root += sqrt(q * v);
        dot += q * v;
        l1 += fabs(q - v) - q;
        l1_size += fabs(q - v) + q;
        chi += q > 0 ? (q - v) * (q - v) / q - q : 0;
        chi_size += q > 0 ? (q + v) * (q + v) / q + q : 0;
    }
    CHECK_NEAR(
        set->sparse_intersection(query, bins + offset, counts + offset, count, scale), least,
        bound(count, least));
    CHECK_NEAR(
        set->sparse_sqrt_dot(query, bins + offset, counts + offset, count, scale), root,
        bound(count, root));
    CHECK_NEAR(
        set->sparse_dot(query, bins + offset, counts + offset, count, scale), dot,
        bound(count, dot));
    CHECK_NEAR(
        set->sparse_l1_part(query, bins + offset, counts + offset, count, scale), l1,
        bound(count, l1_size));
    CHECK_NEAR(
        set->sparse_chi_part(query, bins + offset, counts + offset, count, scale), chi,
        bound(count, chi_size));
}

/* Planes of merged bins: 64 rows, groups by a list; and one row with its codes in a line. */
static void check_planes(const struct ims_kernels *set, struct ims_rng *rng)
{
    uint8_t codes[64 * 64];
    uint16_t list[64];
    float q[64], scales[64], out[64];
    double dot[64] = {0}, least[64] = {0};
    size_t count = 0;

    for (size_t i = 0; i < sizeof(codes); i++)
        codes[i] = (uint8_t)(ims_rng_below(rng, 4) == 0 ? 0 : ims_rng_below(rng, 256));
    for (size_t g = 0; g < 64; g++) {
        scales[g] = (float)(ims_rng_double(rng) / 65025);
        q[g] = (float)ims_rng_double(rng);
        if (ims_rng_below(rng, 3) > 0)
            list[count++] = (uint16_t)g;
    }
    for (size_t g = 0; g < count; g++)
        for (size_t row = 0; row < 64; row++) {
            const double u = codes[list[g] * 64 + row], s = scales[row];

            dot[row] += u * q[g];
            least[row] += s * u * u < (double)q[g] ? s * u * u : (double)q[g];
        }
    set->plane_dot(codes, list, count, q, out);
    for (size_t row = 0; row < 64; row++)
        CHECK_NEAR(out[row], dot[row], bound(count, dot[row]));
    set->plane_min(codes, list, count, q, scales, out);
    for (size_t row = 0; row < 64; row++)
        CHECK_NEAR(out[row], least[row], bound(count, least[row]));

    dot[0] = least[0] = 0;
    for (size_t g = 0; g < 64; g++) {
        const double mass = (double)scales[0] * codes[g] * codes[g];

        dot[0] += (double)q[g] * codes[g];
        least[0] += mass < (double)q[g] ? mass : (double)q[g];
    }
    CHECK_NEAR(set->row_dot(codes, 64, q), dot[0], bound(64, dot[0]));
    CHECK_NEAR(set->row_min(codes, 64, q, scales[0]), least[0], bound(64, least[0]));
}

/* Sums of tables by codes of four bits, those that run over included, are the same everywhere. */
static void check_levels(const struct ims_kernels *set, struct ims_rng *rng, size_t groups)
{
    uint8_t codes[40 * 64], tables[40 * 32];
    uint16_t list[40], out[64];
    size_t count = 0;

    for (size_t i = 0; i < sizeof(codes); i++)
        codes[i] = (uint8_t)ims_rng_below(rng, 256);
    for (size_t g = 0; g < groups; g++) {
        if (ims_rng_below(rng, 3) == 0)
            continue;
        for (size_t level = 0; level < 16; level++) {
            const uint64_t entry = ims_rng_below(
                rng, level == 15   ? 65536
                     : groups > 20 ? 4000
                                   : 90);

            tables[count * 32 + level] = (uint8_t)entry;
            tables[count * 32 + 16 + level] = (uint8_t)(entry >> 8);
        }
        list[count++] = (uint16_t)g;
    }
    for (int shift = 0; shift <= 4; shift += 4) {
        set->plane_levels(codes, list, count, tables, shift, shift == 0 ? 64 : 0, out);
        for (size_t row = 0; row < 64; row++) {
            uint32_t sum = 0;

            for (size_t g = 0; g < count; g++) {
                const uint8_t *table = tables + g * 32 + (codes[list[g] * 64 + row] >> shift & 15);

                sum += table[0] + 256u * table[16];
            }
            CHECK_EQUAL(out[row], sum < 65535 ? sum : 65535);
        }
    }
}

/* Integer sums are the same everywhere, and bounds differ by rounding only. */
static void check_axes(const struct ims_kernels *set, size_t count, size_t offset)
{
    const struct ims_kernels *scalar = ims_kernels_named("scalar");
    static uint8_t blocks[3 * (LENGTH_MAX + 5) * IMS_PLANE_ROWS + 3 * 128 + OFFSETS];
    const size_t axes = count / 4 * 4, block = axes * IMS_PLANE_ROWS + 128;
    const uint8_t *bytes = (const uint8_t *)b + offset;
    const uint8_t *const rows[4] = {bytes, bytes + count, bytes + 2 * count, bytes + offset};
    const int8_t *high = (const int8_t *)a + offset;
    static int8_t low[LENGTH_MAX + OFFSETS];
    struct ims_plane_query query = {high, low + offset, 77, -5, 3e-4f, 2e-6f, 0.25f, 1.5f, 0.5f};
    float lower[2][3 * IMS_PLANE_ROWS], least[2][IMS_PLANE_ROWS];
    int32_t sums[2][4];

    for (size_t i = 0; i < sizeof(low); i++)
        low[i] = (int8_t)((int)(i * 37 % 128) - 64);
    set->record_dots(rows, high, low + offset, count, sums[0]);
    scalar->record_dots(rows, high, low + offset, count, sums[1]);
    for (size_t row = 0; row < 4; row++)
        CHECK_EQUAL(sums[0][row], sums[1][row]);

    for (size_t i = 0; i < 3 * block; i++)
        blocks[offset + i] = (uint8_t)(i * 131 + i / 7);
    for (size_t i = 0; i < 3; i++)
        memcpy(
            blocks + offset + i * block + axes * IMS_PLANE_ROWS, a + 32 * i,
            2 * IMS_PLANE_ROWS * sizeof(float));
    set->plane_scan(blocks + offset, 3, axes, &query, lower[0], least[0]);
    scalar->plane_scan(blocks + offset, 3, axes, &query, lower[1], least[1]);
    for (size_t row = 0; row < 3 * IMS_PLANE_ROWS; row++)
        CHECK_NEAR(lower[0][row], lower[1][row], 1e-6 * (10 + 4.0 * (double)axes));
    for (size_t row = 0; row < IMS_PLANE_ROWS; row++)
        CHECK_NEAR(least[0][row], least[1][row], 1e-6 * (10 + 4.0 * (double)axes));
}

/* NaN is not above anything. */
static void check_not_above(const struct ims_kernels *set, size_t count, size_t offset)
{
    const struct ims_kernels *scalar = ims_kernels_named("scalar");
    static float values[LENGTH_MAX + OFFSETS];
    uint32_t positions[2][LENGTH_MAX + 1];
    size_t found;

    for (size_t i = 0; i < count; i++)
        values[offset + i] = i % 11 == 3   ? NAN
                             : i % 7 == 2  ? -INFINITY
                             : i % 13 == 1 ? INFINITY
                                           : a[i];
    found = set->not_above(values + offset, count, 0.2f, positions[0]);
    CHECK_EQUAL(found, scalar->not_above(values + offset, count, 0.2f, positions[1]));
    CHECK(count < 20 || (found > 0 && found < count));
    CHECK(memcmp(positions[0], positions[1], found * sizeof(positions[0][0])) == 0);
}

int main(void)
{
    struct ims_rng rng;
    size_t tested = 0;

    ims_rng_init(&rng, 7);
    for (size_t i = 0; i < ROOM; i++) {
        a[i] = (float)ims_rng_normal(&rng);
        b[i] = (float)ims_rng_normal(&rng);
    }

    for (size_t s = 0; s < sizeof(set_names) / sizeof(set_names[0]); s++) {
        const struct ims_kernels *set = ims_kernels_named(set_names[s]);

        if (set == NULL)
            continue;
        CHECK_TEXT(set->name, set_names[s]);
        tested++;
        for (size_t count = 0; count <= LENGTH_MAX; count++)
            for (size_t offset = 0; offset < OFFSETS; offset++) {
                check_vectors(set, count, offset);
                check_four_rows(set, count, offset);
                check_columns(set, count);
                check_histograms(set, count, offset);
                check_integers(set, count, offset);
                check_sparse(set, count, offset);
                check_axes(set, count, offset);
                check_not_above(set, count, offset);
            }
        for (size_t i = 0; i < 200; i++) {
            check_planes(set, &rng);
            check_levels(set, &rng, i % 41);
        }
        printf("%s agrees\n", set->name);
    }
    CHECK(tested >= 1);
    CHECK(ims_kernels_named("none such") == NULL);
    return 0;
}
