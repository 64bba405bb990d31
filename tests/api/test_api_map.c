/* SPDX-License-Identifier: Apache-2.0 */
/* Maps from plain rows and from a catalog, through the public API alone. */
#include "public_bed.h"

#define ROWS 300u
#define VALUES 12u

static float rows[ROWS * VALUES];
static int64_t ids[ROWS];

/* Numbers that repeat on every machine: three clouds, long in the first directions. */
static void make_rows(void)
{
    uint64_t state = 4711;

    for (size_t i = 0; i < ROWS; i++) {
        ids[i] = 1000 + 3 * (int64_t)i;
        for (size_t c = 0; c < VALUES; c++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            rows[i * VALUES + c] =
                (float)((double)(state >> 40) / (1 << 24) - 0.5) + (c == i % 3 ? 4.0F : 0.0F);
        }
    }
}

static imgsim_map_options settings(int32_t layout, uint32_t dimension)
{
    imgsim_map_options options;

    CHECK_OK(imgsim_map_options_init(&options, sizeof(options)));
    options.layout = layout;
    options.dimension = dimension;
    options.threads = 2;
    return options;
}

static void check_properties(const imgsim_map *map, int32_t layout, uint32_t dimension)
{
    const uint32_t k = imgsim_map_get_neighbour_count(map);

    CHECK_EQUAL(imgsim_map_get_count(map), ROWS);
    CHECK_EQUAL(imgsim_map_get_dimension(map), dimension);
    CHECK_EQUAL(imgsim_map_get_layout(map), layout);
    CHECK(memcmp(imgsim_map_get_ids(map), ids, sizeof(ids)) == 0);
    CHECK_TEXT(imgsim_map_get_feature(map), "");
    for (size_t i = 0; i < ROWS * (size_t)dimension; i++)
        CHECK(isfinite(imgsim_map_get_positions(map)[i]));
    CHECK((layout == IMGSIM_LAYOUT_PCA) == (k == 0));
    CHECK((k == 0) == (imgsim_map_get_neighbours(map) == NULL));
    CHECK((k == 0) == (imgsim_map_get_distances(map) == NULL));
    CHECK((layout == IMGSIM_LAYOUT_TSNE) == isfinite(imgsim_map_get_kl(map)));
}

/* The three clouds must lie apart: points of one are nearer to its mean than to another's. */
static void check_clouds(const imgsim_map *map)
{
    const uint32_t d = imgsim_map_get_dimension(map);
    const float *positions = imgsim_map_get_positions(map);
    double means[3][3] = {{0}};

    for (size_t i = 0; i < ROWS; i++)
        for (uint32_t c = 0; c < d; c++)
            means[i % 3][c] += (double)positions[i * d + c] / (ROWS / 3);
    for (size_t i = 0; i < ROWS; i++) {
        double distances[3] = {0};

        for (size_t m = 0; m < 3; m++)
            for (uint32_t c = 0; c < d; c++)
                distances[m] += pow(positions[i * d + c] - means[m][c], 2);
        CHECK(distances[i % 3] < distances[(i + 1) % 3]);
        CHECK(distances[i % 3] < distances[(i + 2) % 3]);
    }
}

static void plain_rows_are_laid_out(int32_t layout)
{
    for (uint32_t dimension = 2; dimension <= 3; dimension++) {
        imgsim_map_options options = settings(layout, dimension);
        imgsim_map *map = NULL, *again = NULL;

        CHECK_OK(imgsim_map_new(rows, ROWS, VALUES, ids, &options, &map));
        check_properties(map, layout, dimension);
        check_clouds(map);
        options.threads = 1;
        CHECK_OK(imgsim_map_new(rows, ROWS, VALUES, ids, &options, &again));
        CHECK(
            memcmp(
                imgsim_map_get_positions(map), imgsim_map_get_positions(again),
                ROWS * dimension * sizeof(float)) == 0);
        imgsim_map_free(map);
        imgsim_map_free(again);
    }
}

static void bad_requests_are_refused(void)
{
    imgsim_map_options options = settings(IMGSIM_LAYOUT_PCA, 2);
    float kept = rows[5 * VALUES + 7];
    imgsim_map *map = NULL;
    int32_t layout = 0;

    CHECK_FAILS(
        imgsim_map_new(NULL, ROWS, VALUES, NULL, &options, &map), IMGSIM_ERROR_INVALID_ARGUMENT,
        "rows");
    CHECK_FAILS(
        imgsim_map_new(rows, 3, VALUES, NULL, &options, &map), IMGSIM_ERROR_INVALID_ARGUMENT, "3");
    CHECK_FAILS(
        imgsim_map_new(rows, ROWS, 0, NULL, &options, &map), IMGSIM_ERROR_INVALID_ARGUMENT, "0");
    rows[5 * VALUES + 7] = NAN;
    CHECK_FAILS(
        imgsim_map_new(rows, ROWS, VALUES, NULL, &options, &map), IMGSIM_ERROR_INVALID_ARGUMENT,
        "row 5");
    rows[5 * VALUES + 7] = kept;
    options.dimension = 4;
    CHECK_FAILS(
        imgsim_map_new(rows, ROWS, VALUES, NULL, &options, &map), IMGSIM_ERROR_INVALID_ARGUMENT,
        "4");
    options = settings(77, 2);
    CHECK_FAILS(
        imgsim_map_new(rows, ROWS, VALUES, NULL, &options, &map), IMGSIM_ERROR_UNSUPPORTED, "77");
    options = settings(IMGSIM_LAYOUT_PCA, 2);
    options.metric = IMGSIM_METRIC_HAMMING;
    CHECK_FAILS(
        imgsim_map_new(rows, ROWS, VALUES, NULL, &options, &map), IMGSIM_ERROR_UNSUPPORTED,
        "hamming");
    CHECK(map == NULL);
    CHECK_FAILS(imgsim_layout_from_name("mds", &layout), IMGSIM_ERROR_INVALID_ARGUMENT, "mds");
    CHECK_OK(imgsim_layout_from_name("tsne", &layout));
    CHECK_EQUAL(layout, IMGSIM_LAYOUT_TSNE);
    CHECK_TEXT(imgsim_layout_name(layout), "tsne");
}

static void a_catalog_is_laid_out(void)
{
    imgsim_map_options options = settings(IMGSIM_LAYOUT_PCA, 2);
    struct public_bed bed;
    imgsim_map *map = NULL;

    bed_open(&bed, 3);
    CHECK_OK(imgsim_map_new_catalog(bed.catalog, NULL, &options, &map));
    CHECK_EQUAL(imgsim_map_get_count(map), imgsim_catalog_get_image_count(bed.catalog));
    CHECK_TEXT(imgsim_map_get_feature(map), "embedding");
    imgsim_map_free(map);
    CHECK_FAILS(
        imgsim_map_new_catalog(bed.catalog, "nothing", &options, &map), IMGSIM_ERROR_NOT_FOUND,
        "nothing");
    CHECK_FAILS(
        imgsim_map_new_catalog(bed.catalog, "hash", &options, &map), IMGSIM_ERROR_UNSUPPORTED,
        "hash");
    CHECK(map == NULL);
    bed_close(&bed);
}

int main(void)
{
    make_rows();
    plain_rows_are_laid_out(IMGSIM_LAYOUT_PCA);
    bad_requests_are_refused();
    a_catalog_is_laid_out();
    return 0;
}
