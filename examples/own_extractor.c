/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A feature of your own: 4 x 4 mean brightnesses, scanned, stored and searched like the built-in
 * ones.
 *
 * cc own_extractor.c -o own_extractor $(pkg-config --cflags --libs imgsim)
 * ./own_extractor photos photos/cat.jpg
 */
#include <imgsim/imgsim.h>

#include <stdio.h>

#define SIDE 4

/* Called with a batch of decoded pictures; fills one row of SIDE x SIDE floats each. */
static int32_t
extract(const imgsim_image *const *images, size_t count, void *out_rows, void *user_data)
{
    float *row = out_rows;

    (void)user_data;
    for (size_t i = 0; i < count; i++, row += SIDE * SIDE) {
        const uint32_t width = imgsim_image_get_width(images[i]);
        const uint32_t height = imgsim_image_get_height(images[i]);
        const uint8_t *pixels = imgsim_image_get_pixels(images[i]);

        for (uint32_t cell = 0; cell < SIDE * SIDE; cell++) {
            /* One green value from the middle of each cell will do here. */
            const uint64_t x = (2 * (cell % SIDE) + 1) * (uint64_t)width / (2 * SIDE);
            const uint64_t y = (2 * (cell / SIDE) + 1) * (uint64_t)height / (2 * SIDE);

            row[cell] = pixels[3 * (y * width + x) + 1] / 255.0f;
        }
    }
    return 0;
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

static imgsim_status
run(const char *photos,
    const char *image,
    imgsim_catalog **catalog,
    imgsim_extractor **extractor,
    imgsim_query **query,
    imgsim_result **result)
{
    imgsim_catalog_options catalog_options;
    imgsim_scan_options scan_options;
    imgsim_status status;
    char folder[4096];

    snprintf(folder, sizeof(folder), "%s/.imgsim", photos);
    imgsim_catalog_options_init(&catalog_options, sizeof(catalog_options));
    catalog_options.create = 1;
    imgsim_scan_options_init(&scan_options, sizeof(scan_options));
    scan_options.extractors = (const imgsim_extractor *const *)extractor;
    scan_options.extractor_count = 1;
    if ((status = imgsim_extractor_new_host(&table, NULL, extractor)) != IMGSIM_OK ||
        (status = imgsim_catalog_open(folder, &catalog_options, catalog)) != IMGSIM_OK ||
        (status = imgsim_scan(*catalog, &photos, 1, &scan_options, NULL)) != IMGSIM_OK ||
        (status = imgsim_query_new(*catalog, NULL, query)) != IMGSIM_OK ||
        (status = imgsim_query_add_channel(*query, "layout", NULL)) != IMGSIM_OK ||
        (status = imgsim_query_set_extractor(*query, "layout", *extractor)) != IMGSIM_OK ||
        (status = imgsim_query_add_file(*query, image, 1.0)) != IMGSIM_OK)
        return status;
    return imgsim_query_search(*query, result);
}

int main(int argc, char **argv)
{
    imgsim_catalog *catalog = NULL;
    imgsim_extractor *extractor = NULL;
    imgsim_query *query = NULL;
    imgsim_result *result = NULL;
    imgsim_status status;

    if (argc != 3) {
        fprintf(stderr, "usage: %s FOLDER IMAGE\n", argv[0]);
        return 2;
    }
    status = run(argv[1], argv[2], &catalog, &extractor, &query, &result);
    if (status != IMGSIM_OK)
        fprintf(stderr, "%s: %s\n", argv[0], imgsim_last_error());
    for (size_t i = 0; status == IMGSIM_OK && i < imgsim_result_get_count(result); i++) {
        imgsim_hit hit = {.struct_size = sizeof(hit)};

        if (imgsim_result_get_hit(result, i, &hit) == IMGSIM_OK)
            printf("%zu  %.3f  %s\n", i + 1, hit.score, hit.path);
    }
    imgsim_result_free(result);
    imgsim_query_free(query);
    imgsim_extractor_free(extractor);
    imgsim_catalog_free(catalog);
    return status == IMGSIM_OK ? 0 : 1;
}
