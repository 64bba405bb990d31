/* SPDX-License-Identifier: Apache-2.0 */
/* Every set of pixel functions gives the same numbers; reduced pictures are means over areas. */
#include "check.h"
#include "core/rng.h"
#include "image/image.h"
#include "image/pixels.h"
#include "simd/kernels.h"

#include <math.h>

enum { LENGTH_MAX = 300, ROWS_MAX = 9, OFFSETS = 3 };

static const char *const set_names[] = {"scalar", "avx2", "avx512"};
static uint8_t bytes[ROWS_MAX * (LENGTH_MAX + OFFSETS) + 64];

static void check_sums(const struct ims_pixel_kernels *set, size_t size, size_t offset)
{
    const size_t stride = size + offset, count = 1 + (size + offset) % ROWS_MAX;
    uint16_t out[LENGTH_MAX], weights[ROWS_MAX], left = IMS_REDUCE_ONE;
    int16_t weighed[LENGTH_MAX];
    uint32_t sums[LENGTH_MAX];

    for (size_t y = 0; y < count; y++) {
        weights[y] = y + 1 < count ? (uint16_t)(left / 3) : left;
        left = (uint16_t)(left - weights[y]);
    }
    set->sum_rows(bytes + offset, stride, count, size, out);
    for (size_t i = 0; i < size; i++) {
        uint32_t expected = 0;

        for (size_t y = 0; y < count; y++)
            expected += bytes[offset + y * stride + i];
        CHECK_EQUAL(out[i], expected);
        sums[i] = (uint32_t)i;
    }
    set->add_weighted(out, 1000003, size, sums);
    for (size_t i = 0; i < size; i++)
        CHECK_EQUAL(sums[i], (uint32_t)i + out[i] * 1000003u);
    for (int one = 0; one < 2; one++) {
        /* The second time one row has all the weight. */
        for (size_t y = 0; one && y < count; y++)
            weights[y] = y + 1 == count ? IMS_REDUCE_ONE : 0;
        set->weigh_rows(bytes + offset, stride, weights, count, size, weighed);
        for (size_t i = 0; i < size; i++) {
            int32_t expected = -32768;

            for (size_t y = 0; y < count; y++)
                expected += bytes[offset + y * stride + i] * weights[y];
            CHECK_EQUAL(weighed[i], expected);
        }
    }
}

/* Memory of exactly the size needed. */
static void check_cells(const struct ims_pixel_kernels *set, size_t size, size_t count)
{
    static const uint32_t edges[][2] = {{0, 0}, {0, 7}, {127, 0}, {31, 127}};
    uint32_t out[LENGTH_MAX];

    for (size_t e = 0; e < 4; e++) {
        const struct ims_cell cell = {
            .first = edges[e][0], .count = (uint32_t)count, .last = edges[e][1], .whole = 128};
        const size_t above = cell.first > 0, below = cell.last > 0;
        uint8_t *rows = malloc((above + count + below) * size + 1);

        CHECK(rows != NULL);
        memcpy(rows, bytes, (above + count + below) * size);
        set->sum_cell(rows, size, &cell, size, out);
        for (size_t i = 0; i < size; i++) {
            uint32_t expected = 0;

            if (above)
                expected += rows[i] * cell.first;
            for (size_t y = 0; y < count; y++)
                expected += rows[(above + y) * size + i] * cell.whole;
            if (below)
                expected += rows[(above + count) * size + i] * cell.last;
            CHECK_EQUAL(out[i], expected);
        }
        free(rows);
    }
}

/* Memory of exactly the size needed, so that a sanitizer sees every byte read too many. */
static void check_bins(const struct ims_pixel_kernels *set, size_t count)
{
    uint8_t *pixels = malloc(3 * count + 1);
    uint16_t out[LENGTH_MAX];

    CHECK(pixels != NULL);
    memcpy(pixels, bytes, 3 * count);
    set->bins_16(pixels, count, out);
    for (size_t i = 0; i < count; i++)
        CHECK_EQUAL(
            out[i],
            pixels[3 * i] / 16 * 256 + pixels[3 * i + 1] / 16 * 16 + pixels[3 * i + 2] / 16);
    free(pixels);
}

static void check_reduce_row(const struct ims_pixel_kernels *set, size_t width)
{
    enum { TAPS = 4 };
    static const uint16_t weights[TAPS] = {100, 1, 155, 0};
    static int16_t pairs[(LENGTH_MAX + 3) / 4 * TAPS / 2 * IMS_REDUCE_PAIRS];
    int16_t values[3 * (LENGTH_MAX + TAPS) + IMS_REDUCE_SLACK];
    uint32_t starts[LENGTH_MAX];
    uint8_t *out = malloc(3 * width + 1);

    CHECK(out != NULL);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        values[i] = (int16_t)(bytes[i % sizeof(bytes)] * IMS_REDUCE_ONE - 32768);
    for (size_t x = 0; x < width; x++) {
        starts[x] = (uint32_t)(x * 7 % (LENGTH_MAX - 1));
        for (size_t k = 0; k < TAPS; k++)
            for (size_t i = 0; i < 4; i++)
                pairs[(x / 4 * TAPS + k) / 2 * IMS_REDUCE_PAIRS + x % 4 * 8 + 2 * i + k % 2] =
                    (int16_t)weights[k];
    }
    set->reduce_row(values, starts, pairs, TAPS, width, out);
    for (size_t x = 0; x < width; x++)
        for (size_t c = 0; c < 3; c++) {
            uint32_t sum = 1u << 15;

            for (size_t k = 0; k < TAPS; k++)
                sum += (uint32_t)(values[3 * (starts[x] + k) + c] + 32768) * weights[k];
            CHECK_EQUAL(out[3 * x + c], sum >> 16);
        }
    free(out);
}

static void every_set_gives_the_same(void)
{
    for (size_t s = 0; s < sizeof(set_names) / sizeof(set_names[0]); s++) {
        const struct ims_pixel_kernels *set = ims_pixel_kernels_named(set_names[s]);

        if (set == NULL || ims_kernels_named(set_names[s]) == NULL) {
            printf("no %s here\n", set_names[s]);
            continue;
        }
        for (size_t size = 0; size < LENGTH_MAX; size++) {
            for (size_t offset = 0; offset < OFFSETS; offset++)
                check_sums(set, size, offset);
            for (size_t count = 0; count < ROWS_MAX - 2; count++)
                check_cells(set, size, count);
            check_bins(set, size);
            check_reduce_row(set, size);
        }
    }
    CHECK(ims_pixel_kernels_named("none") == NULL);
}

static void sums_of_many_rows_fit(void)
{
    enum { SIZE = 70 };
    uint8_t *rows = malloc((size_t)SIZE * IMS_SUM_ROWS_MAX);
    uint16_t out[SIZE];

    CHECK(rows != NULL);
    memset(rows, 255, (size_t)SIZE * IMS_SUM_ROWS_MAX);
    ims_pixel_kernels()->sum_rows(rows, SIZE, IMS_SUM_ROWS_MAX, SIZE, out);
    for (size_t i = 0; i < SIZE; i++)
        CHECK_EQUAL(out[i], 65535);
    free(rows);
}

/* Part of input pixel i in output pixel c, both in pixels of the input. */
static double overlap(double i, double c, double scale)
{
    double start = fmax(i, c * scale), end = fmin(i + 1, (c + 1) * scale);

    return end > start ? end - start : 0;
}

static double exact_mean(
    const imgsim_image *image,
    uint32_t x,
    uint32_t y,
    uint32_t c,
    double x_scale,
    double y_scale)
{
    double sum = 0;

    for (uint32_t j = 0; j < image->height; j++)
        for (uint32_t i = 0; i < image->width; i++)
            sum += image->pixels[((size_t)j * image->width + i) * 3 + c] * overlap(i, x, x_scale) *
                   overlap(j, y, y_scale);
    return sum / (x_scale * y_scale);
}

static void check_reduced(uint32_t width, uint32_t height, uint32_t to_width, uint32_t to_height)
{
    imgsim_image *image = NULL;
    uint8_t *out = malloc((size_t)to_width * to_height * 3);
    double worst = 0;

    CHECK(out != NULL);
    CHECK_OK(ims_image_alloc(width, height, &image));
    for (size_t i = 0; i < (size_t)width * height * 3; i++)
        image->pixels[i] = bytes[i % sizeof(bytes)];
    CHECK_OK(ims_reduce_rgb(image, to_width, to_height, out));
    for (uint32_t y = 0; y < to_height; y++)
        for (uint32_t x = 0; x < to_width; x++)
            for (uint32_t c = 0; c < 3; c++) {
                double mean = exact_mean(
                    image, x, y, c, (double)width / to_width, (double)height / to_height);

                worst = fmax(worst, fabs(mean - out[((size_t)y * to_width + x) * 3 + c]));
            }
    printf("%u x %u to %u x %u: off by %.2f at most\n", width, height, to_width, to_height, worst);
    CHECK(worst < 2.0);

    /* White stays white, whatever the weights are rounded to. */
    memset(image->pixels, 255, (size_t)width * height * 3);
    CHECK_OK(ims_reduce_rgb(image, to_width, to_height, out));
    for (size_t i = 0; i < (size_t)to_width * to_height * 3; i++)
        CHECK_EQUAL(out[i], 255);
    imgsim_image_free(image);
    free(out);
}

static void reduced_pictures_are_means(void)
{
    imgsim_image *image = NULL;
    uint8_t out[3 * 64];

    check_reduced(60, 45, 16, 12);
    check_reduced(101, 67, 16, 11);
    check_reduced(17, 300, 1, 16);
    check_reduced(33, 20, 32, 19);
    check_reduced(8, 8, 8, 8);
    check_reduced(1, 1, 1, 1);
    CHECK_OK(ims_image_alloc(4, 4, &image));
    CHECK_FAILS(ims_reduce_rgb(image, 5, 4, out), IMGSIM_ERROR_INVALID_ARGUMENT, "5 x 4");
    CHECK_FAILS(ims_reduce_rgb(image, 4, 0, out), IMGSIM_ERROR_INVALID_ARGUMENT, "4 x 0");
    imgsim_image_free(image);
}

/* A very long picture: more rows in a cell than the weights have units. */
static void long_pictures_are_reduced(void)
{
    imgsim_image *image = NULL;
    uint8_t out[3 * 16];

    CHECK_OK(ims_image_alloc(1, 100000, &image));
    memset(image->pixels, 77, 300000);
    CHECK_OK(ims_reduce_rgb(image, 1, 16, out));
    for (size_t i = 0; i < sizeof(out); i++)
        CHECK_EQUAL(out[i], 77);
    imgsim_image_free(image);
}

int main(void)
{
    struct ims_rng rng;

    ims_rng_init(&rng, 5);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)ims_rng_below(&rng, 256);
    every_set_gives_the_same();
    sums_of_many_rows_fit();
    reduced_pictures_are_means();
    long_pictures_are_reduced();
    return 0;
}
