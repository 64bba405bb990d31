/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How alike are two pictures? Colour histograms and perceptual hashes, without a catalog.
 *
 * cc compare_two.c -o compare_two $(pkg-config --cflags --libs imgsim)
 * ./compare_two a.jpg b.jpg
 */
#include <imgsim/imgsim.h>

#include <stdio.h>
#include <stdlib.h>

/* One row per picture; the rows are released with free(). */
static imgsim_status rows_of(
    const imgsim_extractor *extractor,
    const imgsim_image *const images[2],
    unsigned char **out_rows)
{
    const size_t size = 2 * imgsim_extractor_get_row_size(extractor);

    *out_rows = malloc(size);
    if (*out_rows == NULL)
        return IMGSIM_ERROR_OUT_OF_MEMORY;
    return imgsim_extractor_extract(extractor, images, 2, *out_rows, size);
}

static imgsim_status
print_metric(const imgsim_extractor *extractor, int32_t metric, const unsigned char *rows)
{
    const uint32_t dimension = imgsim_extractor_get_dimension(extractor);
    double value, similarity;
    imgsim_status status = imgsim_compare(
        metric, imgsim_extractor_get_row_type(extractor), rows,
        rows + imgsim_extractor_get_row_size(extractor), dimension, &value);

    if (status == IMGSIM_OK)
        status = imgsim_metric_similarity(metric, dimension, value, &similarity);
    if (status == IMGSIM_OK)
        printf("%-14s %12.6g  similarity %.4f\n", imgsim_metric_name(metric), value, similarity);
    return status;
}

int main(int argc, char **argv)
{
    imgsim_extractor *color = NULL, *hash = NULL;
    imgsim_image *a = NULL, *b = NULL;
    unsigned char *histograms = NULL, *bits = NULL;
    imgsim_status status;

    if (argc != 3) {
        fprintf(stderr, "usage: %s IMAGE IMAGE\n", argv[0]);
        return 2;
    }
    if ((status = imgsim_image_load_file(argv[1], NULL, &a)) != IMGSIM_OK ||
        (status = imgsim_image_load_file(argv[2], NULL, &b)) != IMGSIM_OK ||
        (status = imgsim_extractor_new_color(NULL, &color)) != IMGSIM_OK ||
        (status = imgsim_extractor_new_hash(NULL, &hash)) != IMGSIM_OK ||
        (status = rows_of(color, (const imgsim_image *[2]){a, b}, &histograms)) != IMGSIM_OK ||
        (status = rows_of(hash, (const imgsim_image *[2]){a, b}, &bits)) != IMGSIM_OK ||
        (status = print_metric(color, IMGSIM_METRIC_CORRELATION, histograms)) != IMGSIM_OK ||
        (status = print_metric(color, IMGSIM_METRIC_BHATTACHARYYA, histograms)) != IMGSIM_OK ||
        (status = print_metric(hash, IMGSIM_METRIC_HAMMING, bits)) != IMGSIM_OK)
        fprintf(stderr, "%s: %s\n", argv[0], imgsim_last_error());

    free(histograms);
    free(bits);
    imgsim_extractor_free(color);
    imgsim_extractor_free(hash);
    imgsim_image_free(a);
    imgsim_image_free(b);
    return status == IMGSIM_OK ? 0 : 1;
}
