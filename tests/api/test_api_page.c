/* SPDX-License-Identifier: Apache-2.0 */
/* Pages and projector files of maps, from plain rows and from a catalog, through the public API alone. */
#include "public_bed.h"

#include <sys/stat.h>

#define ROWS 60u
#define VALUES 5u

static float rows[ROWS * VALUES];

static void make_rows(void)
{
    for (size_t i = 0; i < ROWS * VALUES; i++)
        rows[i] = (float)(sin((double)i * 1.7) + (i % VALUES == i / VALUES % 3 ? 3 : 0));
}

static imgsim_map *map_of_rows(uint32_t dimension)
{
    imgsim_map_options options;
    imgsim_map *map = NULL;

    CHECK_OK(imgsim_map_options_init(&options, sizeof(options)));
    options.layout = IMGSIM_LAYOUT_PCA;
    options.dimension = dimension;
    CHECK_OK(imgsim_map_new(rows, ROWS, VALUES, NULL, &options, &map));
    return map;
}

/* A whole file as text; release with free(). */
static char *text_of(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat info;
    char *text;

    CHECK(file != NULL && fstat(fileno(file), &info) == 0);
    CHECK((text = calloc(1, (size_t)info.st_size + 1)) != NULL);
    CHECK(fread(text, 1, (size_t)info.st_size, file) == (size_t)info.st_size);
    fclose(file);
    return text;
}

static int64_t size_of(const char *folder, const char *name)
{
    struct stat info;
    char path[700];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return stat(path, &info) == 0 ? (int64_t)info.st_size : -1;
}

static int32_t no_pictures(uint64_t place, const void **out_data, size_t *out_size, void *user_data)
{
    (void)place;
    (void)out_size;
    *out_data = NULL;
    ++*(int *)user_data;
    return 0;
}

static int32_t
broken_pictures(uint64_t place, const void **out_data, size_t *out_size, void *user_data)
{
    (void)out_data;
    (void)out_size;
    (void)user_data;
    return place == 7;
}

static int32_t stop_at_once(const imgsim_progress *progress, void *user_data)
{
    (void)progress;
    (void)user_data;
    return 1;
}

/* ---- plain rows ---- */

static void add_everything(imgsim_page *page)
{
    static const char *const groups[] = {"low", "</script>", "high"};
    const char *paths[ROWS];
    char texts[ROWS][32];
    int32_t values[ROWS];
    int64_t dates[ROWS];
    uint32_t neighbours[ROWS * 2];

    for (size_t i = 0; i < ROWS; i++) {
        snprintf(texts[i], sizeof(texts[i]), "/photos/%zu/%zu.jpg", i % 4, i);
        paths[i] = texts[i];
        values[i] = (int32_t)(i % 4) - 1;
        dates[i] = i % 5 == 0 ? IMGSIM_PAGE_NO_DATE : (int64_t)i * 86400;
        neighbours[2 * i] = (uint32_t)((i + 1) % ROWS);
        neighbours[2 * i + 1] = (uint32_t)((i + 3) % ROWS);
    }
    CHECK_OK(imgsim_page_add_paths(page, paths));
    CHECK_OK(imgsim_page_add_dates(page, dates));
    CHECK_OK(imgsim_page_add_neighbours(page, neighbours, 2));
    CHECK_OK(imgsim_page_add_column(page, "Group", values, groups, 3));
    CHECK_OK(imgsim_page_add_column(page, "Cluster", values, NULL, 3));
    CHECK_OK(imgsim_page_add_column(page, "Group", values, groups, 3)); /* again: replaced */
    CHECK_OK(imgsim_page_add_figure(page, "trustworthiness", 0.91, "1 is best"));
    CHECK_OK(imgsim_page_add_figure(page, "kl", NAN, NULL));
    neighbours[5] = ROWS;
    CHECK_FAILS(
        imgsim_page_add_neighbours(page, neighbours, 2), IMGSIM_ERROR_INVALID_ARGUMENT, "point 2");
    CHECK_FAILS(
        imgsim_page_add_column(page, "Group", values, groups, 2), IMGSIM_ERROR_INVALID_ARGUMENT,
        "Group");
    CHECK_FAILS(
        imgsim_page_add_column(page, "Group", values, groups, 0), IMGSIM_ERROR_INVALID_ARGUMENT,
        "Group");
}

static void check_page(const char *path)
{
    char *text = text_of(path);

    CHECK(strstr(text, "\"count\":60") != NULL);
    CHECK(strstr(text, "\"flat\":true") != NULL && strstr(text, "\"deep\":true") != NULL);
    CHECK(strstr(text, "\"title\":\"Group\"") != NULL);
    CHECK(strstr(text, "\"Cluster 3\"") != NULL);
    CHECK(strstr(text, "\"neighbours\":2") != NULL);
    CHECK(strstr(text, "\"value\":0.91") != NULL && strstr(text, "\"value\":null") != NULL);
    CHECK(strstr(text, "\"title\":\"Sixty\"") != NULL);
    free(text);
}

static void check_projector(const char *folder, int with_vectors)
{
    char path[700], *text;

    CHECK_EQUAL(size_of(folder, "map.bytes"), ROWS * 3 * 4);
    CHECK_EQUAL(size_of(folder, "vectors.bytes"), with_vectors ? (int64_t)(ROWS * VALUES * 4) : -1);
    CHECK(size_of(folder, "bookmarks.json") > 0 && size_of(folder, "sprite.jpg") == -1);
    snprintf(path, sizeof(path), "%s/metadata.tsv", folder);
    text = text_of(path);
    CHECK(strncmp(text, "name\tfolder\tGroup\tCluster\tdate\n", 31) == 0);
    free(text);
    snprintf(path, sizeof(path), "%s/projector_config.pbtxt", folder);
    text = text_of(path);
    CHECK((strstr(text, "vectors.bytes") != NULL) == with_vectors);
    CHECK(strstr(text, "tensor_shape: 60") != NULL && strstr(text, "sprite") == NULL);
    free(text);
}

static void plain_rows_become_a_page(const char *folder)
{
    imgsim_map *flat = map_of_rows(2), *deep = map_of_rows(3);
    imgsim_page_options options;
    imgsim_page *page = NULL;
    char path[600], projector[600];
    int calls = 0;

    snprintf(path, sizeof(path), "%s/map.html", folder);
    snprintf(projector, sizeof(projector), "%s/projector", folder);
    CHECK_OK(imgsim_page_new(flat, &page));
    CHECK_OK(imgsim_page_add_map(page, deep));
    CHECK_FAILS(imgsim_page_add_map(page, deep), IMGSIM_ERROR_INVALID_ARGUMENT, "already");
    imgsim_map_free(flat); /* copied */
    imgsim_map_free(deep);
    add_everything(page);

    CHECK_OK(imgsim_page_options_init(&options, sizeof(options)));
    options.title = "Sixty";
    options.threads = 1;
    CHECK_OK(imgsim_page_set_pictures(page, NULL, NULL));
    CHECK_OK(imgsim_page_write_html(page, &options, path));
    check_page(path);
    CHECK_OK(imgsim_page_write_projector(page, rows, VALUES, &options, projector));
    check_projector(projector, 1);

    CHECK_OK(imgsim_page_set_pictures(page, no_pictures, &calls));
    CHECK_OK(imgsim_page_write_html(page, &options, path));
    CHECK_EQUAL(calls, ROWS);
    CHECK_OK(imgsim_page_set_pictures(page, broken_pictures, NULL));
    CHECK_FAILS(imgsim_page_write_html(page, NULL, path), IMGSIM_ERROR_CALLBACK, "point 7");
    check_page(path); /* the one before */
    imgsim_page_free(page);
    imgsim_page_free(NULL);
}

static void bad_requests_are_refused(const char *folder)
{
    imgsim_map *map = map_of_rows(2);
    imgsim_page_options options;
    imgsim_page *page = NULL;
    float vectors[ROWS * 2] = {0};
    char path[600];
    int calls = 0;

    snprintf(path, sizeof(path), "%s/refused.html", folder);
    CHECK_FAILS(imgsim_page_new(NULL, &page), IMGSIM_ERROR_INVALID_ARGUMENT, "map");
    CHECK_OK(imgsim_page_new(map, &page));
    CHECK_OK(imgsim_page_options_init(&options, sizeof(options)));
    options.neighbours = 17;
    CHECK_FAILS(imgsim_page_write_html(page, &options, path), IMGSIM_ERROR_INVALID_ARGUMENT, "17");
    options.neighbours = 0;
    options.sprite_count = 100001;
    CHECK_FAILS(
        imgsim_page_write_projector(page, NULL, 0, &options, folder), IMGSIM_ERROR_INVALID_ARGUMENT,
        "100001");
    vectors[7] = INFINITY;
    CHECK_FAILS(
        imgsim_page_write_projector(page, vectors, 2, NULL, folder), IMGSIM_ERROR_INVALID_ARGUMENT,
        "vector 3");
    CHECK_FAILS(
        imgsim_page_write_projector(page, vectors, 0, NULL, folder), IMGSIM_ERROR_INVALID_ARGUMENT,
        "0 values");
    CHECK_OK(imgsim_page_options_init(&options, sizeof(options)));
    CHECK_OK(imgsim_page_set_pictures(page, no_pictures, &calls));
    options.threads = 1;
    options.progress = stop_at_once;
    CHECK_FAILS(imgsim_page_write_html(page, &options, path), IMGSIM_ERROR_CANCELLED, "");
    CHECK(size_of(folder, "refused.html") == -1);
    imgsim_page_free(page);
    imgsim_map_free(map);
}

/* ---- a catalog ---- */

static void a_catalog_becomes_a_page(const char *folder)
{
    imgsim_map_options options;
    imgsim_map *map = NULL;
    imgsim_page *page = NULL;
    struct public_bed bed;
    char path[600], *text;

    snprintf(path, sizeof(path), "%s/catalog.html", folder);
    bed_open(&bed, 3);
    CHECK_OK(imgsim_catalog_add_label(bed.catalog, 0, "first"));
    CHECK_OK(imgsim_map_options_init(&options, sizeof(options)));
    options.layout = IMGSIM_LAYOUT_PCA;
    CHECK_OK(imgsim_map_new_catalog(bed.catalog, NULL, &options, &map));
    CHECK_OK(imgsim_page_new(map, &page));
    CHECK_OK(imgsim_page_add_catalog(page, bed.catalog));
    CHECK_OK(imgsim_page_write_html(page, NULL, path));
    text = text_of(path);
    CHECK(strstr(text, "\"layout\":\"PCA of embedding\"") != NULL);
    CHECK(strstr(text, "\"title\":\"Label\",\"names\":[\"first\"]") != NULL);
    CHECK(strstr(text, "id=\"d-files\"") != NULL && strstr(text, "id=\"d-dates\"") != NULL);
    /* A scan keeps thumbnails unless told not to. */
    CHECK(strstr(text, "id=\"d-sheet0\"") != NULL);
    free(text);
    imgsim_page_free(page);
    imgsim_map_free(map);
    bed_close(&bed);

    map = map_of_rows(2); /* ids 0 to 59: more than the catalog has */
    bed_open(&bed, 1);
    CHECK_OK(imgsim_page_new(map, &page));
    CHECK_FAILS(
        imgsim_page_add_catalog(page, bed.catalog), IMGSIM_ERROR_NOT_FOUND, "not in the catalog");
    imgsim_page_free(page);
    imgsim_map_free(map);
    bed_close(&bed);
}

int main(void)
{
    const char *folder = check_temporary_folder();

    make_rows();
    plain_rows_become_a_page(folder);
    bad_requests_are_refused(folder);
    a_catalog_becomes_a_page(folder);
    return 0;
}
