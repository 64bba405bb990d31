/* SPDX-License-Identifier: Apache-2.0 */
/* Images are decoded on many threads, and many threads share images and extractors. */
#include "public_bed.h"
#include "threads/together.h"

#include <stdatomic.h>

#define THREADS 6
#define ROUNDS 12
#define PICTURES 5

static imgsim_extractor *extractors[4]; /* color, hash, concurrent host, serial host */
static imgsim_image *images[PICTURES];
static uint8_t expected[4][PICTURES][4096 * sizeof(uint32_t)];
static atomic_int inside;

/* The host's function that says it may be called from one thread at a time. */
static int32_t
extract_alone(const imgsim_image *const *given, size_t count, void *out_rows, void *user_data)
{
    int32_t result;

    CHECK_EQUAL(atomic_fetch_add(&inside, 1), 0);
    result = bed_extract(given, count, out_rows, user_data);
    CHECK_EQUAL(atomic_fetch_sub(&inside, 1), 1);
    return result;
}

static imgsim_extractor *serial_extractor(void)
{
    imgsim_host_extractor table = {
        .struct_size = sizeof(table),
        .name = "alone",
        .version = "1",
        .dimension = BED_VALUES,
        .row_type = IMGSIM_ROW_FLOAT32,
        .default_metric = IMGSIM_METRIC_COSINE,
        .extract = extract_alone,
    };
    imgsim_extractor *extractor = NULL;

    CHECK_OK(imgsim_extractor_new_host(&table, NULL, &extractor));
    return extractor;
}

static imgsim_image *decode(unsigned number)
{
    uint8_t pixels[BED_PIXELS], data[BED_PIXELS + 256];
    imgsim_image *image = NULL;
    size_t size;

    bed_pixels(number % BED_FAMILIES, number, pixels);
    size = number % 2 == 0 ? bed_png(pixels, data) : bed_ppm(pixels, data);
    CHECK_OK(imgsim_image_load_memory(data, size, NULL, &image));
    CHECK(memcmp(imgsim_image_get_pixels(image), pixels, sizeof(pixels)) == 0);
    CHECK_FAILS(
        imgsim_image_load_memory(data, size / 3, NULL, (imgsim_image *[]){NULL}),
        IMGSIM_ERROR_BAD_IMAGE, "");
    return image;
}

static void work(int thread)
{
    static _Thread_local uint8_t row[4096 * sizeof(uint32_t)];

    for (int round = 0; round < ROUNDS; round++) {
        unsigned number = (unsigned)(thread + round) % PICTURES;
        unsigned kind = (unsigned)(thread * 3 + round) % 4;
        size_t size = imgsim_extractor_get_row_size(extractors[kind]);
        imgsim_image *own = decode(number);
        const imgsim_image *both[2] = {images[number], own};

        for (int i = 0; i < 2; i++) {
            CHECK_OK(imgsim_extractor_extract(extractors[kind], &both[i], 1, row, sizeof(row)));
            CHECK(memcmp(row, expected[kind][number], size) == 0);
        }
        imgsim_image_free(own);
    }
}

int main(void)
{
    CHECK_OK(imgsim_extractor_new_color(NULL, &extractors[0]));
    CHECK_OK(imgsim_extractor_new_hash(NULL, &extractors[1]));
    extractors[2] = bed_host_extractor();
    extractors[3] = serial_extractor();
    for (unsigned i = 0; i < PICTURES; i++) {
        images[i] = decode(i);
        for (int kind = 0; kind < 4; kind++)
            CHECK_OK(imgsim_extractor_extract(
                extractors[kind], (const imgsim_image *const *)&images[i], 1, expected[kind][i],
                sizeof(expected[kind][i])));
    }
    run_together(THREADS, work);
    for (int i = 0; i < PICTURES; i++)
        imgsim_image_free(images[i]);
    for (int i = 0; i < 4; i++)
        imgsim_extractor_free(extractors[i]);
    return 0;
}
