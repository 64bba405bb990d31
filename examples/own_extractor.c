/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A feature of your own: 4 x 4 brightnesses. Scans and queries take it like the built-in ones, see
 * imgsim_scan_options.extractors and imgsim_query_set_extractor(); here it compares two pictures.
 *
 * cc own_extractor.c -o own_extractor $(pkg-config --cflags --libs imgsim)
 * ./own_extractor a.jpg b.jpg
 */
#include <imgsim/imgsim.h>

#include <stdio.h>

#define SIDE 4

/* Called with a batch of decoded pictures; fills one row of SIDE x SIDE floats for each. */
static int32_t
extract(const imgsim_image *const *images, size_t count, void *out_rows, void *user_data)
{
    float *row = out_rows;

    (void)user_data;
    for (size_t i = 0; i < count; i++) {
        const uint64_t width = imgsim_image_get_width(images[i]);
        const uint64_t height = imgsim_image_get_height(images[i]);
        const uint8_t *pixels = imgsim_image_get_pixels(images[i]);

        /* One green value from the middle of each cell will do here. */
        for (uint32_t cell = 0; cell < SIDE * SIDE; cell++) {
            const uint64_t x = (2 * (cell % SIDE) + 1) * width / (2 * SIDE);
            const uint64_t y = (2 * (cell / SIDE) + 1) * height / (2 * SIDE);

            *row++ = pixels[3 * (y * width + x) + 1] / 255.0f;
        }
    }
    return 0; /* anything else: these pictures have no such feature */
}

static const imgsim_host_extractor table = {
    .struct_size = sizeof(imgsim_host_extractor),
    .name = "layout",
    .version = "1, 4 x 4 green values",
    .dimension = SIDE * SIDE,
    .row_type = IMGSIM_ROW_FLOAT32,
    .default_metric = IMGSIM_METRIC_L2,
    .concurrent = 1,
    .extract = extract,
};

int main(int argc, char **argv)
{
    imgsim_extractor *extractor = NULL;
    imgsim_image *images[2] = {NULL, NULL};
    float rows[2][SIDE * SIDE];
    double distance;
    imgsim_status status;

    if (argc != 3) {
        fprintf(stderr, "usage: %s IMAGE IMAGE\n", argv[0]);
        return 2;
    }
    if ((status = imgsim_extractor_new_host(&table, NULL, &extractor)) != IMGSIM_OK ||
        (status = imgsim_image_load_file(argv[1], NULL, &images[0])) != IMGSIM_OK ||
        (status = imgsim_image_load_file(argv[2], NULL, &images[1])) != IMGSIM_OK ||
        (status = imgsim_extractor_extract(
             extractor, (const imgsim_image *const *)images, 2, rows, sizeof(rows))) != IMGSIM_OK ||
        (status = imgsim_compare(
             IMGSIM_METRIC_L2, IMGSIM_ROW_FLOAT32, rows[0], rows[1], SIDE * SIDE, &distance)) !=
            IMGSIM_OK)
        fprintf(stderr, "%s: %s\n", argv[0], imgsim_last_error());
    else
        printf("%s: distance %.4f\n", imgsim_extractor_get_name(extractor), distance);

    imgsim_image_free(images[0]);
    imgsim_image_free(images[1]);
    imgsim_extractor_free(extractor);
    return status == IMGSIM_OK ? 0 : 1;
}
