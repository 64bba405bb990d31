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

static void maps_are_measured(void)
{
    imgsim_map_options options = settings(IMGSIM_LAYOUT_TSNE, 2);
    imgsim_quality quality = {.struct_size = sizeof(quality)};
    imgsim_quality_options how;
    imgsim_map *map = NULL;

    CHECK_OK(imgsim_quality_options_init(&how, sizeof(how)));
    how.neighbours = 10;
    CHECK_OK(imgsim_map_new(rows, ROWS, VALUES, ids, &options, &map));
    CHECK_OK(
        imgsim_map_measure(rows, ROWS, VALUES, imgsim_map_get_positions(map), 2, &how, &quality));
    CHECK_EQUAL(quality.anchors, ROWS);
    CHECK_EQUAL(quality.neighbours, 10);
    CHECK(quality.trustworthiness > 0.85 && quality.trustworthiness <= 1.0);
    CHECK(quality.continuity > 0.85 && quality.continuity <= 1.0);
    CHECK(quality.preservation > 0.3 && quality.preservation <= 1.0);

    /* Rows as their own map lose nothing. */
    how.metric = IMGSIM_METRIC_L2;
    CHECK_OK(imgsim_map_measure(rows, ROWS, 3, rows, 3, &how, &quality));
    CHECK_NEAR(quality.trustworthiness, 1.0, 1e-6);
    CHECK_NEAR(quality.continuity, 1.0, 1e-6);
    CHECK_NEAR(quality.preservation, 1.0, 1e-3);

    how.neighbours = ROWS / 2;
    CHECK_FAILS(
        imgsim_map_measure(rows, ROWS, VALUES, imgsim_map_get_positions(map), 2, &how, &quality),
        IMGSIM_ERROR_INVALID_ARGUMENT, "150");
    how.neighbours = 10;
    how.metric = IMGSIM_METRIC_HAMMING;
    CHECK_FAILS(
        imgsim_map_measure(rows, ROWS, VALUES, imgsim_map_get_positions(map), 2, &how, &quality),
        IMGSIM_ERROR_UNSUPPORTED, "cosine");
    imgsim_map_free(map);
}

/* New rows near a cloud land in it; a row of the map gets its own place. */
static void new_rows_are_placed(int32_t layout)
{
    imgsim_map_options options = settings(layout, 2);
    float fresh[4 * VALUES], positions[4 * 2];
    imgsim_map *map = NULL;

    CHECK_OK(imgsim_map_new(rows, ROWS, VALUES, ids, &options, &map));
    memcpy(fresh, rows, sizeof(fresh));
    for (size_t i = 0; i < 3 * VALUES; i++)
        fresh[i] = (rows[i] + rows[i + 3 * VALUES]) / 2.0F; /* of the same cloud */
    CHECK_OK(imgsim_map_place(map, rows, VALUES, fresh, 4, &options, positions));
    CHECK(memcmp(positions + 6, imgsim_map_get_positions(map) + 6, 2 * sizeof(float)) == 0);
    for (size_t i = 0; i < 3; i++) {
        double best = INFINITY;
        size_t nearest = 0;

        for (size_t j = 0; j < ROWS; j++) {
            const float *at = imgsim_map_get_positions(map) + 2 * j;
            const double square =
                pow(at[0] - positions[2 * i], 2) + pow(at[1] - positions[2 * i + 1], 2);

            if (square < best) {
                best = square;
                nearest = j;
            }
        }
        CHECK_EQUAL(nearest % 3, i);
    }
    imgsim_map_free(map);
    options = settings(IMGSIM_LAYOUT_PCA, 2);
    CHECK_OK(imgsim_map_new(rows, ROWS, VALUES, ids, &options, &map));
    CHECK_FAILS(
        imgsim_map_place(map, rows, VALUES, fresh, 4, &options, positions),
        IMGSIM_ERROR_UNSUPPORTED, "PCA");
    imgsim_map_free(map);
}

static size_t file_size(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 ? (size_t)info.st_size : 0;
}

static void maps_are_written(const char *folder)
{
    imgsim_map_options options = settings(IMGSIM_LAYOUT_UMAP, 3);
    imgsim_map *map = NULL, *again = NULL;
    int32_t groups[ROWS];
    static const char *const names[] = {"first", "second & more", "third"};
    imgsim_plot_options how;
    char path[700];

    for (size_t i = 0; i < ROWS; i++)
        groups[i] = i % 7 == 0 ? -1 : (int32_t)(i % 3);
    CHECK_OK(imgsim_map_new(rows, ROWS, VALUES, ids, &options, &map));
    snprintf(path, sizeof(path), "%s/kept.ims", folder);
    CHECK_OK(imgsim_map_save(map, path));
    CHECK_OK(imgsim_map_load(path, &again));
    CHECK(
        memcmp(
            imgsim_map_get_positions(map), imgsim_map_get_positions(again),
            ROWS * 3 * sizeof(float)) == 0);
    CHECK_EQUAL(imgsim_map_get_neighbour_count(again), 14);
    CHECK(
        memcmp(
            imgsim_map_get_neighbours(map), imgsim_map_get_neighbours(again),
            ROWS * 14 * sizeof(uint32_t)) == 0);
    imgsim_map_free(again);
    CHECK(imgsim_map_load("/nowhere/map.ims", &again) == IMGSIM_ERROR_NOT_FOUND);

    CHECK_OK(imgsim_plot_options_init(&how, sizeof(how)));
    how.color_by = IMGSIM_COLOR_GROUPS;
    how.width = 700;
    how.height = 500;
    snprintf(path, sizeof(path), "%s/map.svg", folder);
    CHECK_FAILS(
        imgsim_map_write_plot(map, NULL, &how, path), IMGSIM_ERROR_INVALID_ARGUMENT, "groups");
    how.groups = groups;
    how.group_names = names;
    how.group_count = 3;
    CHECK_OK(imgsim_map_write_plot(map, NULL, &how, path));
    CHECK(file_size(path) > 3000);
    snprintf(path, sizeof(path), "%s/map.bmp", folder);
    CHECK_FAILS(
        imgsim_map_write_plot(map, NULL, &how, path), IMGSIM_ERROR_INVALID_ARGUMENT, "map.bmp");
    snprintf(path, sizeof(path), "%s/map.npy", folder);
    CHECK_OK(imgsim_map_write_npy(map, path));
    CHECK_EQUAL(file_size(path), 4096 + ROWS * 3 * 4);
    snprintf(path, sizeof(path), "%s/map.ids.npy", folder);
    CHECK_EQUAL(file_size(path), 4096 + ROWS * 8);
    snprintf(path, sizeof(path), "%s/map.csv", folder);
    CHECK_OK(imgsim_map_write_csv(map, NULL, IMGSIM_COLOR_AUTO, path));
    CHECK(file_size(path) > ROWS * 10);
    imgsim_map_free(map);
}

static int32_t stop(const imgsim_progress *progress, void *user_data)
{
    ++*(int *)user_data;
    return strcmp(progress->phase, "layout") == 0;
}

static void a_layout_can_be_stopped(void)
{
    imgsim_map_options options = settings(IMGSIM_LAYOUT_UMAP, 2);
    imgsim_map *map = NULL;
    int calls = 0;

    options.epochs = 100000;
    options.progress = stop;
    options.progress_data = &calls;
    CHECK(imgsim_map_new(rows, ROWS, VALUES, ids, &options, &map) == IMGSIM_ERROR_CANCELLED);
    CHECK(map == NULL && calls > 0);
}

/* Begun where the last map ended, with one point that has no place yet. */
static void a_map_goes_on_from_another(int32_t layout)
{
    imgsim_map_options options = settings(layout, 2);
    float start[ROWS * 2];
    imgsim_map *map = NULL, *next = NULL;

    CHECK_OK(imgsim_map_new(rows, ROWS, VALUES, ids, &options, &map));
    memcpy(start, imgsim_map_get_positions(map), sizeof(start));
    start[2 * 9] = NAN;
    options.start_positions = start;
    options.epochs = 50;
    options.learning_rate = layout == IMGSIM_LAYOUT_UMAP ? 0.1 : 0.0;
    CHECK_OK(imgsim_map_new(rows, ROWS, VALUES, ids, &options, &next));
    check_clouds(next);
    imgsim_map_free(map);
    imgsim_map_free(next);
}

/* Rows that are all the same, or few, or of one value. */
static void odd_rows_are_laid_out(int32_t layout)
{
    static const float ones[40 * 3] = {1.0F};
    static const float line[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    imgsim_map_options options = settings(layout, 2);
    imgsim_map *map = NULL;

    CHECK_OK(imgsim_map_new(ones, 40, 3, NULL, &options, &map));
    for (size_t i = 0; i < 80; i++)
        CHECK(isfinite(imgsim_map_get_positions(map)[i]));
    imgsim_map_free(map);
    options.metric = IMGSIM_METRIC_L2;
    options.neighbours = 100; /* more than there are */
    CHECK_OK(imgsim_map_new(line, 8, 1, NULL, &options, &map));
    CHECK_EQUAL(imgsim_map_get_neighbour_count(map), layout == IMGSIM_LAYOUT_PCA ? 0 : 7);
    for (size_t i = 0; i < 16; i++)
        CHECK(isfinite(imgsim_map_get_positions(map)[i]));
    imgsim_map_free(map);
    options.neighbours = 0;
    CHECK_OK(imgsim_map_new(line, 4, 1, NULL, &options, &map));
    imgsim_map_free(map);
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

/* The file that keeps a map: asked for again it is read, not made. */
static void a_map_is_kept(struct public_bed *bed, imgsim_map_options options)
{
    imgsim_quality quality = {.struct_size = sizeof(quality)};
    imgsim_quality_options how;
    imgsim_map *map = NULL, *again = NULL;
    char path[900];
    int calls = 0;

    options.layout = IMGSIM_LAYOUT_UMAP;
    CHECK_OK(imgsim_map_new_catalog(bed->catalog, NULL, &options, &map));
    snprintf(path, sizeof(path), "%s/maps/embedding.umap-2.ims", bed->catalog_path);
    CHECK(file_size(path) > 0);
    snprintf(path, sizeof(path), "%s/maps/embedding.cosine.graph.ims", bed->catalog_path);
    CHECK(file_size(path) > 0);
    options.progress = stop;
    options.progress_data = &calls;
    CHECK_OK(imgsim_map_new_catalog(bed->catalog, NULL, &options, &again));
    CHECK_EQUAL(calls, 0);
    CHECK(
        memcmp(
            imgsim_map_get_positions(map), imgsim_map_get_positions(again),
            imgsim_map_get_count(map) * 2 * sizeof(float)) == 0);
    imgsim_map_free(again);

    /* A file that is damaged is made again. */
    CHECK(truncate(path, 100) == 0);
    options.progress = NULL;
    options.seed = 2;
    CHECK_OK(imgsim_map_new_catalog(bed->catalog, NULL, &options, &again));
    CHECK(file_size(path) > 100);
    imgsim_map_free(again);

    CHECK_OK(imgsim_quality_options_init(&how, sizeof(how)));
    how.neighbours = 3;
    CHECK_OK(imgsim_map_measure_catalog(map, bed->catalog, &how, &quality));
    CHECK(quality.trustworthiness > 0.5);
    snprintf(path, sizeof(path), "%s/table.csv", bed->folder);
    CHECK_OK(imgsim_map_write_csv(map, bed->catalog, IMGSIM_COLOR_FOLDER, path));
    CHECK(file_size(path) > imgsim_map_get_count(map) * 60);
    snprintf(path, sizeof(path), "%s/map.svg", bed->folder);
    CHECK_OK(imgsim_map_write_plot(map, bed->catalog, NULL, path));
    maps_are_written(bed->folder);
    imgsim_map_free(map);
}

/* Lines of a file that hold a text. */
static int count_lines(const char *path, const char *text)
{
    FILE *file = fopen(path, "rb");
    char line[4096];
    int count = 0;

    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL)
        count += strstr(line, text) != NULL;
    fclose(file);
    return count;
}

static void
the_page_tells_quality(imgsim_page *page, const imgsim_map *map, const imgsim_catalog *catalog)
{
    imgsim_quality quality = {.struct_size = sizeof(quality)}, same = quality;
    imgsim_quality_options options;
    imgsim_map *other = NULL;

    CHECK_OK(imgsim_quality_options_init(&options, sizeof(options)));
    options.neighbours = 2;
    CHECK_OK(imgsim_page_add_quality(page, map, catalog, &options, &quality));
    CHECK_OK(imgsim_map_measure_catalog(map, catalog, &options, &same));
    CHECK(memcmp(&quality, &same, sizeof(quality)) == 0);
    options.neighbours = 1000;
    CHECK_FAILS(
        imgsim_page_add_quality(page, map, catalog, &options, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
        "1000");
    CHECK_OK(imgsim_map_new(rows, 20, VALUES, NULL, NULL, &other));
    CHECK_FAILS(
        imgsim_page_add_quality(page, other, catalog, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
        "not one of this map");
    CHECK_FAILS(
        imgsim_page_add_quality(page, map, NULL, NULL, NULL), IMGSIM_ERROR_INVALID_ARGUMENT,
        "catalog");
    imgsim_map_free(other);
}

static void clusters_colour_a_map(struct public_bed *bed, imgsim_map_options options)
{
    imgsim_cluster_labels_options clustering;
    imgsim_cluster_options how;
    imgsim_plot_options plot;
    imgsim_page *page = NULL;
    imgsim_map *map = NULL;
    char path[900];
    int count = 0;

    CHECK_OK(imgsim_map_new_catalog(bed->catalog, NULL, &options, &map));
    CHECK_OK(imgsim_plot_options_init(&plot, sizeof(plot)));
    plot.color_by = IMGSIM_COLOR_CLUSTER;
    snprintf(path, sizeof(path), "%s/clusters.csv", bed->folder);
    CHECK_FAILS(
        imgsim_map_write_table(map, bed->catalog, &plot, path), IMGSIM_ERROR_NOT_FOUND,
        "no clusters");
    CHECK_FAILS(
        imgsim_map_write_csv(map, bed->catalog, IMGSIM_COLOR_PREDICTED, path),
        IMGSIM_ERROR_NOT_FOUND, "label --predict");

    CHECK_OK(imgsim_cluster_options_init(&how, sizeof(how)));
    how.k = BED_FAMILIES;
    CHECK_OK(imgsim_cluster_labels_options_init(&clustering, sizeof(clustering)));
    clustering.cluster = &how;
    clustering.feature = "embedding";
    CHECK_OK(imgsim_derive_clusters(bed->catalog, &clustering, NULL, NULL));
    clustering.name = "other";
    CHECK_OK(imgsim_derive_clusters(bed->catalog, &clustering, NULL, NULL));
    plot.cluster = "other";
    CHECK_OK(imgsim_map_write_table(map, bed->catalog, &plot, path));
    CHECK(count_lines(path, ",0\r\n") > 0);
    CHECK_EQUAL(count_lines(path, ",5\r\n"), 0);
    for (size_t i = 0; i < BED_FAMILIES; i++) {
        char ending[16];

        snprintf(ending, sizeof(ending), ",%zu\r\n", i);
        count += count_lines(path, ending);
    }
    CHECK_EQUAL(count, imgsim_map_get_count(map));
    plot.cluster = "missing";
    CHECK_FAILS(
        imgsim_map_write_table(map, bed->catalog, &plot, path), IMGSIM_ERROR_NOT_FOUND, "missing");

    /* In a picture clusters are named after what most of their images are. */
    plot.cluster = NULL;
    snprintf(path, sizeof(path), "%s/clusters.svg", bed->folder);
    CHECK_OK(imgsim_map_write_plot(map, bed->catalog, &plot, path));
    CHECK_EQUAL(count_lines(path, ">0: "), 1);
    plot.color_by = IMGSIM_COLOR_LABEL;
    CHECK_OK(imgsim_map_write_plot(map, bed->catalog, &plot, path));
    CHECK_EQUAL(count_lines(path, "cluster:"), 0);

    CHECK_OK(imgsim_page_new(map, &page));
    CHECK_OK(imgsim_page_add_catalog(page, bed->catalog));
    the_page_tells_quality(page, map, bed->catalog);
    snprintf(path, sizeof(path), "%s/clusters.html", bed->folder);
    CHECK_OK(imgsim_page_write_html(page, NULL, path));
    CHECK_EQUAL(count_lines(path, "\"title\":\"Cluster: kmeans\""), 1);
    CHECK_EQUAL(count_lines(path, "\"Silhouette (Cluster: kmeans)\""), 1);
    CHECK_EQUAL(count_lines(path, "\"Trustworthiness\""), 1);
    CHECK_EQUAL(count_lines(path, "\"title\":\"Cluster: other\""), 1);
    imgsim_page_free(page);
    imgsim_map_free(map);
}

/* Place of an id on a map; the count if it is not there. */
static size_t place_of(const imgsim_map *map, int64_t id)
{
    size_t i = 0;

    while (i < imgsim_map_get_count(map) && imgsim_map_get_ids(map)[i] != id)
        i++;
    return i;
}

/* Images that come later are placed among the others, which stay; what no longer fits is removed by a refresh. */
static void new_images_are_placed(struct public_bed *bed, imgsim_map_options options)
{
    imgsim_map *map = NULL, *grown = NULL, *anew = NULL;
    char path[900], graph[900];
    size_t changes = 0, same = 0, stayed = 0;
    int64_t gone = bed_find(bed, bed->catalog, "family2/02.png");

    options.layout = IMGSIM_LAYOUT_UMAP;
    options.neighbours = 4;
    snprintf(path, sizeof(path), "%s/maps/embedding.umap-2.ims", bed->catalog_path);
    snprintf(graph, sizeof(graph), "%s/maps/embedding.cosine.graph.ims", bed->catalog_path);
    CHECK_OK(imgsim_map_new_catalog(bed->catalog, NULL, &options, &map));
    CHECK_OK(imgsim_derive_refresh(bed->catalog, &changes));
    CHECK_EQUAL(changes, 0);

    for (unsigned family = 0; family < BED_FAMILIES; family++)
        bed_write_picture(bed, family, 6);
    CHECK(remove(bed_path(bed, "family2/02.png")) == 0);
    CHECK_EQUAL(bed_scan(bed).added, BED_FAMILIES);
    CHECK_OK(imgsim_derive_refresh(bed->catalog, &changes));
    CHECK_EQUAL(changes, 1);
    CHECK_EQUAL(file_size(graph), 0);
    CHECK(file_size(path) > 0);

    options.place = 1;
    CHECK_OK(imgsim_map_new_catalog(bed->catalog, NULL, &options, &grown));
    CHECK_EQUAL(imgsim_map_get_count(grown), imgsim_map_get_count(map) + BED_FAMILIES - 1);
    CHECK_EQUAL(place_of(grown, gone), imgsim_map_get_count(grown));
    for (size_t i = 0; i < imgsim_map_get_count(grown); i++) {
        const size_t before = place_of(map, imgsim_map_get_ids(grown)[i]);
        const float *now = imgsim_map_get_positions(grown) + 2 * i;

        CHECK(isfinite(now[0]) && isfinite(now[1]));
        if (before == imgsim_map_get_count(map))
            continue;
        stayed++;
        same += memcmp(now, imgsim_map_get_positions(map) + 2 * before, 2 * sizeof(float)) == 0;
    }
    CHECK_EQUAL(stayed, imgsim_map_get_count(map) - 1);
    CHECK_EQUAL(same, stayed);
    CHECK_EQUAL(imgsim_map_get_neighbour_count(grown), 3);

    /* Kept: asked for again it is the same, asked for without `place` another. */
    CHECK_OK(imgsim_map_new_catalog(bed->catalog, NULL, &options, &anew));
    CHECK(
        memcmp(
            imgsim_map_get_positions(grown), imgsim_map_get_positions(anew),
            imgsim_map_get_count(grown) * 2 * sizeof(float)) == 0);
    imgsim_map_free(anew);
    options.place = 0;
    CHECK_OK(imgsim_map_new_catalog(bed->catalog, NULL, &options, &anew));
    CHECK(
        memcmp(
            imgsim_map_get_positions(grown), imgsim_map_get_positions(anew),
            imgsim_map_get_count(grown) * 2 * sizeof(float)) != 0);
    imgsim_map_free(anew);
    imgsim_map_free(grown);
    imgsim_map_free(map);
    options.reserved = 1;
    CHECK_FAILS(
        imgsim_map_new_catalog(bed->catalog, NULL, &options, &map), IMGSIM_ERROR_UNSUPPORTED,
        "reserved");

    CHECK_OK(imgsim_catalog_remove_features(bed->catalog, "embedding"));
    CHECK_OK(imgsim_derive_refresh(bed->catalog, &changes));
    CHECK(changes >= 2);
    CHECK_EQUAL(file_size(graph) + file_size(path), 0);
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
    a_map_is_kept(&bed, options);
    clusters_colour_a_map(&bed, options);
    new_images_are_placed(&bed, options);
    bed_close(&bed);
}

int main(void)
{
    make_rows();
    for (int32_t layout = IMGSIM_LAYOUT_PCA; layout <= IMGSIM_LAYOUT_TSNE; layout++) {
        plain_rows_are_laid_out(layout);
        odd_rows_are_laid_out(layout);
    }
    a_map_goes_on_from_another(IMGSIM_LAYOUT_UMAP);
    a_map_goes_on_from_another(IMGSIM_LAYOUT_TSNE);
    new_rows_are_placed(IMGSIM_LAYOUT_UMAP);
    new_rows_are_placed(IMGSIM_LAYOUT_TSNE);
    maps_are_measured();
    a_layout_can_be_stopped();
    bad_requests_are_refused();
    a_catalog_is_laid_out();
    return 0;
}
