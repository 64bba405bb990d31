/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of a drawn collection: all that went in comes out, whatever the names, the threads and the memory. */
#include "page_bed.h"
#include "page_read.h"

#include "page/write.h"

#include "core/threads.h"

#include <sys/stat.h>
#include <unistd.h>

#define POINTS 1500
#define LINKS 6

static const struct ims_page_settings settings = {
    .picture_count = 300,
    .picture_side = 48,
    .neighbours_shown = 4};

static char page_path[600];

/* ---- reading a page back ---- */

/* Places of the points, by their positions: order[place] is the point. */
static void read_order(const char *page, const struct page_bed *bed, uint32_t *order)
{
    struct ims_bytes flat = page_block(page, "flat");
    struct ims_quantised quantised = {0};
    uint32_t codes[POINTS];
    uint16_t last[2] = {0};

    CHECK_EQUAL(flat.size, 4 * POINTS);
    CHECK_OK(ims_quantise(bed->flat, POINTS, 2, &quantised));
    CHECK_OK(ims_curve_order(&quantised, POINTS, order, codes));
    for (size_t place = 0; place < POINTS; place++)
        for (size_t axis = 0; axis < 2; axis++) {
            const uint8_t *planes = flat.data + axis * 2 * POINTS;
            uint32_t step = planes[place] | (uint32_t)planes[POINTS + place] << 8;

            last[axis] = (uint16_t)(last[axis] + unzigzag(step));
            CHECK_EQUAL(last[axis], quantised.values[2 * order[place] + axis]);
        }
    ims_quantised_clear(&quantised);
    ims_bytes_clear(&flat);
}

static void check_columns(const char *page, const struct page_bed *bed, const uint32_t *order)
{
    struct ims_bytes clusters = page_block(page, "column0"), labels = page_block(page, "column1");
    struct ims_bytes dates = page_block(page, "dates"), links = page_block(page, "neighbours");

    CHECK_EQUAL(clusters.size, POINTS);
    for (size_t place = 0; place < POINTS; place++) {
        int64_t date = bed->dates[order[place]];
        uint32_t stored = plane_value(&dates, POINTS, place);

        CHECK_EQUAL(plane_value(&clusters, POINTS, place), bed->clusters[order[place]] + 1);
        CHECK_EQUAL(plane_value(&labels, POINTS, place), bed->labels[order[place]] + 1);
        CHECK((stored == 0) == (date == IMS_PAGE_NO_DATE));
        for (size_t rank = 0; rank < 4; rank++) {
            int32_t step = unzigzag(plane_value(&links, POINTS * 4, rank * POINTS + place));

            CHECK(order[(int32_t)place + step] == bed->neighbours[order[place] * LINKS + rank]);
        }
    }
    ims_bytes_clear(&clusters);
    ims_bytes_clear(&labels);
    ims_bytes_clear(&dates);
    ims_bytes_clear(&links);
}

/* Every path, put together again from folder and name, byte for byte. */
static void check_names(const char *page, const struct page_bed *bed, const uint32_t *order)
{
    struct ims_bytes folders = page_block(page, "folders"),
                     counts = page_block(page, "foldersizes");
    struct ims_bytes files = page_block(page, "files"), places = page_block(page, "places");
    struct ims_bytes folder_texts, file_texts;
    const uint8_t *at = counts.data;
    const char *folder, *file, *root;
    size_t folder_count = 0, name = 0;

    while (at < counts.data + counts.size) {
        read_varint(&at);
        folder_count++;
    }
    folder_texts = front_texts(&folders, folder_count);
    file_texts = front_texts(&files, POINTS);
    root = (const char *)folder_texts.data;
    folder = root + strlen(root) + 1;
    file = (const char *)file_texts.data;
    at = counts.data;
    CHECK_EQUAL(read_varint(&at), 0);
    for (size_t f = 1; f < folder_count; f++, folder += strlen(folder) + 1)
        for (uint32_t left = read_varint(&at); left > 0; left--, name++, file += strlen(file) + 1) {
            char path[1024];
            size_t point = order[plane_value(&places, POINTS, name)];

            snprintf(
                path, sizeof(path), "%s/%s%s%s", root, folder, folder[0] != '\0' ? "/" : "", file);
            CHECK_TEXT(path, bed->paths[point]);
        }
    CHECK_EQUAL(name, POINTS);
    ims_bytes_clear(&folders);
    ims_bytes_clear(&counts);
    ims_bytes_clear(&files);
    ims_bytes_clear(&places);
    ims_bytes_clear(&folder_texts);
    ims_bytes_clear(&file_texts);
}

/* Sheets are JPEGs of the stated cells; the table names each representative once. */
static void check_pictures(const char *page)
{
    struct ims_bytes table = page_block(page, "pictures"), sheet;
    imgsim_image *image = NULL;
    uint8_t seen[POINTS] = {0};

    CHECK_EQUAL(table.size, 300 * 6);
    for (size_t i = 0; i < 300; i++) {
        uint32_t place = 0;

        for (int plane = 0; plane < 4; plane++)
            place |= (uint32_t)table.data[plane * 300 + i] << (8 * plane);
        CHECK(place < POINTS && !seen[place]);
        seen[place] = 1;
        CHECK(table.data[1200 + i] > 0 && table.data[1200 + i] <= 48);
        CHECK_EQUAL(
            table.data[1500 + i] > table.data[1200 + i] ? table.data[1500 + i]
                                                        : table.data[1200 + i],
            48);
    }
    sheet = base64_bytes(find_block(page, "sheet0"));
    CHECK_OK(imgsim_image_load_memory(sheet.data, sheet.size, NULL, &image));
    CHECK_EQUAL(imgsim_image_get_width(image), 16 * 48);
    CHECK_EQUAL(imgsim_image_get_height(image), 16 * 48);
    imgsim_image_free(image);
    ims_bytes_clear(&sheet);
    sheet = base64_bytes(find_block(page, "sheet1"));
    CHECK_OK(imgsim_image_load_memory(sheet.data, sheet.size, NULL, &image));
    CHECK_EQUAL(imgsim_image_get_height(image), 3 * 48); /* 44 pictures are left */
    CHECK(find_block(page, "sheet2") == NULL);
    imgsim_image_free(image);
    ims_bytes_clear(&sheet);
    ims_bytes_clear(&table);
}

static void all_comes_back(void)
{
    struct page_bed bed;
    uint32_t order[POINTS];
    char *page;

    bed_open(&bed, POINTS, LINKS);
    CHECK_OK(ims_page_write(&bed.input, &settings, page_path));
    page = page_text(page_path);
    read_order(page, &bed, order);
    check_columns(page, &bed, order);
    check_names(page, &bed, order);
    check_pictures(page);
    /* Nothing may be fetched, and only the viewer's own script and style may run. */
    CHECK(strstr(page, "default-src 'none'") != NULL);
    CHECK(strstr(page, "unsafe") == NULL);
    CHECK(strstr(page, "http://") == NULL && strstr(page, "https://") == NULL);
    CHECK(strstr(page, "\"base\":\"file:///photos/\"") != NULL);
    free(page);
    bed_close(&bed);
}

/* ---- the same page ---- */

static void threads_change_nothing(void)
{
    struct page_bed bed;
    struct ims_pool *pool = NULL;
    char *one, *three;

    bed_open(&bed, POINTS, LINKS);
    CHECK_OK(ims_page_write(&bed.input, &settings, page_path));
    one = page_text(page_path);
    CHECK_OK(ims_pool_new(3, &pool));
    bed.input.pool = pool;
    CHECK_OK(ims_page_write(&bed.input, &settings, page_path));
    three = page_text(page_path);
    CHECK_TEXT(three, one);
    ims_pool_free(pool);
    free(one);
    free(three);
    bed_close(&bed);
}

/* ---- little and odd ---- */

static void rename_point(struct page_bed *bed, size_t point, const char *path)
{
    ims_free(bed->paths[point]);
    CHECK((bed->paths[point] = ims_strdup(path)) != NULL);
}

static void odd_names_come_back(void)
{
    static const char *const odd[] = {
        "/photos/</script><script>alert(1)</script>.jpg",
        "/photos/\"quotes\" & 'more'.jpg",
        "/photos/\xE2\x80\xAEgnp.exe",
        "/photos/\xFF\xFE invalid \xC3.jpg",
        "/photos/new\nline\ttab.jpg",
        "/photos/-->/<!--/x",
        "/photos/a-b/c",
        "/photos/a/c",
        "/photos/a.b/c",
        "/photos/same", /* twice the same path, here and at the end */
        "/photos/same",
        "/photos/ ",
    };
    struct page_bed bed;
    uint32_t order[POINTS];
    char *page;

    bed_open(&bed, POINTS, LINKS);
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        rename_point(&bed, i * 7, odd[i]);
    bed.columns[1].title = "</script>";
    CHECK_OK(ims_page_write(&bed.input, &settings, page_path));
    page = page_text(page_path);
    read_order(page, &bed, order);
    check_names(page, &bed, order);
    CHECK(strstr(page, "alert(1)") == NULL);
    free(page);
    bed_close(&bed);
}

static void few_points(void)
{
    struct page_bed bed;
    char *page;

    for (size_t count = 1; count <= 5; count++) {
        bed_open(&bed, 5, LINKS);
        bed.input.count = count;
        bed.input.neighbours = NULL;
        CHECK_OK(ims_page_write(&bed.input, &settings, page_path));
        bed.input.flat = NULL; /* only in space */
        bed.input.paths = NULL;
        bed.input.dates = NULL;
        bed.input.picture = NULL;
        bed.input.column_count = 0;
        CHECK_OK(ims_page_write(&bed.input, &settings, page_path));
        page = page_text(page_path);
        CHECK(find_block(page, "flat") == NULL && find_block(page, "deep") != NULL);
        CHECK(find_block(page, "files") == NULL && find_block(page, "sheet0") == NULL);
        free(page);
        bed.input.count = 5;
        bed_close(&bed);
    }
}

static void common_folders(void)
{
    static const char *const same[] = {"/a/b/x", "/a/b/y", "/a/b/c/z"};
    static const char *const near[] = {"/a/bc/x", "/a/b/y"};
    static const char *const none[] = {"x", "y"};
    static const char *const root[] = {"/x", "/y/z"};

    CHECK_EQUAL(ims_common_folder(same, 3), 4);
    CHECK_EQUAL(ims_common_folder(near, 2), 2);
    CHECK_EQUAL(ims_common_folder(none, 2), 0);
    CHECK_EQUAL(ims_common_folder(root, 2), 0);
    CHECK_EQUAL(ims_common_folder(same, 1), 4);
}

/* A page that lies above its pictures links them relatively: both can be moved. */
static void links_are_relative(const char *folder)
{
    struct page_bed bed;
    char path[700], *page;

    bed_open(&bed, POINTS, LINKS);
    for (size_t i = 0; i < POINTS; i++) {
        snprintf(path, sizeof(path), "%s/my photos/%zu.jpg", folder, i);
        rename_point(&bed, i, path);
    }
    CHECK_OK(ims_page_write(&bed.input, &settings, page_path));
    page = page_text(page_path);
    CHECK(strstr(page, "\"base\":\"my%20photos/\"") != NULL);
    free(page);
    bed_close(&bed);
}

static void tiles_lie_beside(const char *folder)
{
    struct page_bed bed;
    struct ims_page_settings with_tiles = settings;
    struct ims_bytes sizes;
    imgsim_image *image = NULL;
    char tiles[700], path[800], *page;

    snprintf(tiles, sizeof(tiles), "%s/map tiles", folder);
    with_tiles.tiles_folder = tiles;
    bed_open(&bed, POINTS, LINKS);
    CHECK_OK(ims_page_write(&bed.input, &with_tiles, page_path));
    page = page_text(page_path);
    CHECK(strstr(page, "\"tiles\":\"map%20tiles/\"") != NULL);
    sizes = page_block(page, "tilesizes");
    CHECK_EQUAL(sizes.size, 2 * POINTS);
    for (size_t i = 0; i < POINTS; i++)
        CHECK(sizes.data[i] > 0 && sizes.data[POINTS + i] > 0);
    for (int tile = 0; tile < 6; tile++) {
        snprintf(path, sizeof(path), "%s/000/%03d.jpg", tiles, tile);
        CHECK_OK(imgsim_image_load_file(path, NULL, &image));
        CHECK_EQUAL(imgsim_image_get_width(image), 16 * 48);
        imgsim_image_free(image);
    }
    snprintf(path, sizeof(path), "%s/000/006.jpg", tiles);
    CHECK(access(path, F_OK) != 0);
    ims_bytes_clear(&sizes);
    free(page);
    bed_close(&bed);
}

/* ---- errors ---- */

static imgsim_status no_picture(void *user_data, size_t point, uint8_t **out_data, size_t *out_size)
{
    (void)user_data;
    *out_data = NULL;
    *out_size = 0;
    return point == 4 ? ims_fail(IMGSIM_ERROR_IO, "picture 4 cannot be read") : IMGSIM_OK;
}

static void bad_input(void)
{
    struct page_bed bed;
    struct ims_page_settings wrong = settings;

    bed_open(&bed, POINTS, LINKS);
    bed.neighbours[9 * LINKS] = POINTS;
    CHECK_FAILS(
        ims_page_write(&bed.input, &settings, page_path), IMGSIM_ERROR_INVALID_ARGUMENT,
        "point 9 has neighbour 1500");
    bed.neighbours[9 * LINKS] = 0;
    bed.labels[3] = BED_GROUPS;
    CHECK_FAILS(
        ims_page_write(&bed.input, &settings, page_path), IMGSIM_ERROR_INVALID_ARGUMENT, "Label");
    bed.labels[3] = -1;
    bed.flat[5] = INFINITY;
    CHECK_FAILS(
        ims_page_write(&bed.input, &settings, page_path), IMGSIM_ERROR_INVALID_ARGUMENT, "point 2");
    bed.flat[5] = 0;
    wrong.picture_side = 8;
    CHECK_FAILS(
        ims_page_write(&bed.input, &wrong, page_path), IMGSIM_ERROR_INVALID_ARGUMENT, "16 to 240");
    CHECK_FAILS(
        ims_page_write(&bed.input, &settings, "/nowhere/at all/map.html"), IMGSIM_ERROR_NOT_FOUND,
        "/nowhere");
    bed.input.picture = no_picture;
    CHECK_FAILS(ims_page_write(&bed.input, &settings, page_path), IMGSIM_ERROR_IO, "picture 4");
    bed.input.picture = NULL;
    bed.input.flat = bed.input.deep = NULL;
    CHECK_FAILS(
        ims_page_write(&bed.input, &settings, page_path), IMGSIM_ERROR_INVALID_ARGUMENT,
        "no positions");
    bed.input.count = 0;
    CHECK_FAILS(ims_page_write(&bed.input, &settings, page_path), IMGSIM_ERROR_LIMIT, "0 points");
    bed.input.count = POINTS;
    bed_close(&bed);
}

/* Out of memory anywhere: an error, and the page of before stays. */
static void memory_runs_out(void)
{
    struct page_bed bed;
    struct ims_page_settings few = settings;
    imgsim_status status = IMGSIM_ERROR_OUT_OF_MEMORY;
    char *before, *after;
    uint64_t n;

    few.picture_count = 4;
    bed_open(&bed, 40, LINKS);
    CHECK_OK(ims_page_write(&bed.input, &few, page_path));
    before = page_text(page_path);
    bed.input.title = "Another";
    for (n = 1; status != IMGSIM_OK; n++) {
        ims_memory_fail_at(n);
        status = ims_page_write(&bed.input, &few, page_path);
        ims_memory_fail_at(0);
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_OUT_OF_MEMORY);
        after = page_text(page_path);
        CHECK((strcmp(before, after) == 0) == (status != IMGSIM_OK));
        free(after);
    }
    CHECK(n > 25); /* it is not one allocation */
    free(before);
    bed_close(&bed);
}

int main(int argc, char **argv)
{
    const char *folder;

    /* A page to look at: test_page_write FILE.html POINTS */
    if (argc == 3) {
        struct page_bed bed;
        struct ims_page_settings full = {
            .picture_count = 5000, .picture_side = 64, .neighbours_shown = 5};

        bed_open(&bed, (size_t)atoll(argv[2]), LINKS);
        CHECK_OK(ims_page_write(&bed.input, &full, argv[1]));
        bed_close(&bed);
        return 0;
    }
    folder = check_temporary_folder();
    snprintf(page_path, sizeof(page_path), "%s/map.html", folder);
    all_comes_back();
    threads_change_nothing();
    odd_names_come_back();
    few_points();
    common_folders();
    links_are_relative(folder);
    tiles_lie_beside(folder);
    bad_input();
    memory_runs_out();
    return 0;
}
