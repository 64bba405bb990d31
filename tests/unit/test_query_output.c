/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sheets and pages: whole files of the right kind, safe with any file name, also when pictures are
 * gone.
 */
#include "query_bed.h"

#include "core/memory.h"
#include "image/image.h"
#include "query/query.h"

#define GALLERY 6

static struct bed bed;
static char names[GALLERY][900];

/* ---- a gallery with names that are not nice ---- */

static const char *const bad_names[GALLERY] = {
    "plain.png",
    "<script>alert(1)<script>.png",
    "a \"quoted\" & 'odd' name % #1?.png",
    "broken \xff\xc0\xaf utf8 \xe2\x82.png",
    "control \x01\n\x7f.png",
    "very-long-name-that-does-not-fit-below-its-picture-and-has-to-be-shortened-somewhere.png",
};

static void write_bytes(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    CHECK(file != NULL);
    CHECK_EQUAL(fwrite(data, 1, size, file), size);
    CHECK(fclose(file) == 0);
}

static void write_picture(const char *path, int kind, uint32_t width, uint32_t height)
{
    imgsim_image *image;
    uint8_t *data;
    size_t size;

    CHECK_OK(ims_image_alloc(width, height, &image));
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint8_t *pixel = image->pixels + ((size_t)y * width + x) * 3;

            pixel[0] = (uint8_t)(x * 255 / width);
            pixel[1] = (uint8_t)(kind * 40);
            pixel[2] = (uint8_t)(y * 255 / height);
        }
    CHECK_OK(ims_image_encode(image, "png", 6, &data, &size));
    write_bytes(path, data, size);
    ims_free(data);
    imgsim_image_free(image);
}

static void put_gallery(void)
{
    struct ims_catalog_writer *writer;
    imgsim_feature_definition definition = {0};
    uint32_t number;

    definition.struct_size = sizeof(definition);
    definition.name = "made";
    definition.dimension = 2;
    definition.row_type = IMGSIM_ROW_FLOAT32;
    definition.metric = IMGSIM_METRIC_COSINE;
    CHECK_OK(ims_catalog_writer_open(bed.catalog, "test", &writer));
    CHECK_OK(ims_catalog_writer_feature(writer, &definition, 0, &number));
    for (int i = 0; i < GALLERY; i++) {
        struct ims_file_record record = {0};
        float row[2] = {1, 0.2f * (float)i};

        snprintf(names[i], sizeof(names[i]), "%s/%s", bed.folder, bad_names[i]);
        write_picture(names[i], i, i % 2 == 0 ? 300 : 120, i % 3 == 0 ? 180 : 400);
        CHECK_OK(ims_catalog_writer_new_id(writer, &record.id));
        CHECK_OK(ims_catalog_writer_put_row(writer, number, record.id, row));
        record.path = bad_names[i];
        record.format = "png";
        record.reason = "";
        record.width = 300;
        record.height = 180;
        record.features = UINT64_C(1) << number;
        CHECK_OK(ims_uuid_new(record.uuid));
        CHECK_OK(ims_catalog_writer_put_file(writer, &record));
    }
    CHECK_OK(ims_catalog_writer_commit(writer));
    ims_catalog_writer_close(writer);
    CHECK_OK(imgsim_catalog_refresh(bed.catalog));
}

/* ---- helpers ---- */

static char *read_text(const char *path, size_t *out_size)
{
    FILE *file = fopen(path, "rb");
    char *text;
    long size;

    CHECK(file != NULL);
    CHECK(fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) > 0);
    rewind(file);
    CHECK((text = malloc((size_t)size + 1)) != NULL);
    CHECK_EQUAL(fread(text, 1, (size_t)size, file), size);
    text[size] = '\0';
    fclose(file);
    *out_size = (size_t)size;
    return text;
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;

    for (const char *p = text; (p = strstr(p, word)) != NULL; p++)
        count++;
    return count;
}

static void search(uint32_t k, imgsim_query **out_query, imgsim_result **out_result)
{
    imgsim_query_options options;

    CHECK_OK(imgsim_query_options_init(&options, sizeof(options)));
    options.k = k;
    CHECK_OK(imgsim_query_new(bed.catalog, &options, out_query));
    CHECK_OK(imgsim_query_add_id(*out_query, 0, 1));
    CHECK_OK(imgsim_query_search(*out_query, out_result));
}

/* Write a sheet and read it back. */
static imgsim_image *sheet_of(imgsim_result *result, imgsim_query *query, const char *name)
{
    char path[800];
    imgsim_image *image;

    snprintf(path, sizeof(path), "%s/%s", bed.folder, name);
    CHECK_OK(imgsim_result_write_sheet(result, query, path));
    CHECK_OK(imgsim_image_load_file(path, NULL, &image));
    return image;
}

/* Pixels near this colour, in a lossless sheet. */
static size_t pixels_of(const imgsim_image *image, uint32_t rgb)
{
    size_t count = 0;

    for (size_t i = 0; i < (size_t)image->width * image->height; i++)
        count += image->pixels[i * 3] == rgb >> 16 &&
                 image->pixels[i * 3 + 1] == (rgb >> 8 & 255) &&
                 image->pixels[i * 3 + 2] == (rgb & 255);
    return count;
}

/* ---- tests ---- */

static void sheets_are_written_in_three_formats(void)
{
    imgsim_query *query;
    imgsim_result *result;
    imgsim_image *image;
    static const char *const files[][2] = {
        {"s.jpg", "jpeg"}, {"s.JPEG", "jpeg"}, {"s.png", "png"}, {"s.webp", "webp"}};

    search(5, &query, &result);
    for (int i = 0; i < 4; i++) {
        image = sheet_of(result, query, files[i][0]);
        CHECK_TEXT(imgsim_image_get_format(image), files[i][1]);
        CHECK(image->width > 6 * 200 && image->width < 2500); /* query and five hits in a row */
        CHECK(image->height > 300 && image->height < 600);
        imgsim_image_free(image);
    }
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static void a_sheet_frames_queries_and_shows_hits(void)
{
    imgsim_query *query;
    imgsim_result *result;
    imgsim_image *image;
    size_t positive, negative;

    search(5, &query, &result);
    image = sheet_of(result, query, "s.png");
    positive = pixels_of(image, 0x2463EB);
    CHECK(positive > 4000); /* the frame and the score bars */
    CHECK_EQUAL(pixels_of(image, 0xD6303E), 0);
    imgsim_image_free(image);

    CHECK_OK(imgsim_query_add_id(query, 5, -0.5));
    image = sheet_of(result, query, "s.png");
    negative = pixels_of(image, 0xD6303E);
    CHECK(negative > 3000); /* the frame of what hits should not look like */
    imgsim_image_free(image);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static void files_that_cannot_be_written_are_named(void)
{
    imgsim_query *query;
    imgsim_result *result;

    search(5, &query, &result);
    CHECK_FAILS(
        imgsim_result_write_sheet(result, query, "sheet.bmp"), IMGSIM_ERROR_INVALID_ARGUMENT,
        ".jpg");
    CHECK_FAILS(
        imgsim_result_write_sheet(result, query, "jpg"), IMGSIM_ERROR_INVALID_ARGUMENT, ".jpg");
    CHECK_FAILS(
        imgsim_result_write_sheet(result, query, "/no/such/folder/s.jpg"), IMGSIM_ERROR_NOT_FOUND,
        "/no/such/folder");
    CHECK_FAILS(
        imgsim_result_write_html(result, query, "/no/such/folder/s.html"), IMGSIM_ERROR_NOT_FOUND,
        "/no/such/folder");
    CHECK_FAILS(
        imgsim_result_write_sheet(NULL, query, "s.jpg"), IMGSIM_ERROR_INVALID_ARGUMENT, "result");
    CHECK_FAILS(
        imgsim_result_write_html(result, NULL, "s.html"), IMGSIM_ERROR_INVALID_ARGUMENT, "query");
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static void a_page_holds_everything_and_runs_nothing(void)
{
    imgsim_query *query;
    imgsim_result *result;
    char path[800], *page;
    size_t size;

    search(5, &query, &result);
    snprintf(path, sizeof(path), "%s/page.html", bed.folder);
    CHECK_OK(imgsim_result_write_html(result, query, path));
    page = read_text(path, &size);
    CHECK_EQUAL(strlen(page), size);
    CHECK(strncmp(page, "<!DOCTYPE html>", 15) == 0);
    CHECK(strcmp(page + size - 8, "</html>\n") == 0);
    CHECK_EQUAL(count_of(page, "data:image/jpeg;base64,/9j/"), 6);
    CHECK_EQUAL(count_of(page, "<figure"), 6);
    CHECK_EQUAL(count_of(page, "</figure>"), 6);
    CHECK_EQUAL(count_of(page, "<tr>"), 5);
    CHECK_EQUAL(count_of(page, "<script"), 0);
    CHECK_EQUAL(count_of(page, "&lt;script&gt;alert(1)&lt;script&gt;.png"), 2); /* title and name */
    CHECK_EQUAL(count_of(page, "%3Cscript%3Ealert%281%29%3Cscript%3E.png"), 1);
    CHECK_EQUAL(count_of(page, "a &quot;quoted&quot; &amp; &#39;odd&#39; name % #1?.png"), 2);
    CHECK_EQUAL(count_of(page, "%22quoted%22%20%26%20%27odd%27%20name%20%25%20%231%3F.png"), 1);
    CHECK_EQUAL(count_of(page, "control%20%01%0A%7F.png"), 1);
    CHECK_EQUAL(count_of(page, "control \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD.png"), 2);
    CHECK_EQUAL(count_of(page, "%FF%C0%AF"), 1);
    CHECK_EQUAL(count_of(page, "http"), 1); /* http-equiv: nothing is fetched from elsewhere */
    free(page);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

static void a_page_is_valid_utf8(void)
{
    static const char bytes[] = "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x88 \xff\xc0\xaf \xed\xa0\x80 "
                                "\xf4\x90\x80\x80 \xc2\x85 \xe2\x82";
    struct ims_text text = {0};

    ims_text_add_html(&text, bytes);
    CHECK_TEXT(
        text.bytes, "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x88 "
                    "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD "
                    "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD "
                    "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD "
                    "\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD");
    ims_text_clear(&text);
}

static void check_decimal(double value, int digits, const char *expected)
{
    struct ims_text text = {0};

    ims_text_add_decimal(&text, value, digits);
    CHECK_TEXT(text.bytes, expected);
    ims_text_clear(&text);
}

static void numbers_and_base64_are_right(void)
{
    struct ims_text text = {0};

    check_decimal(0.9305, 3, "0.931");
    check_decimal(-0.5, 2, "-0.50");
    check_decimal(-0.0001, 2, "0.00");
    check_decimal(12.04, 1, "12.0");
    check_decimal(0.9999, 3, "1.000");
    check_decimal(70, 0, "70");
    check_decimal(1e300 * 1e10, 3, "inf");

    ims_text_add_count(&text, 0);
    ims_text_add(&text, " ");
    ims_text_add_count(&text, 999);
    ims_text_add(&text, " ");
    ims_text_add_count(&text, 1234567);
    CHECK_TEXT(text.bytes, "0 999 1,234,567");
    ims_text_clear(&text);

    for (size_t size = 0; size <= 3; size++) {
        ims_text_add_base64(&text, (const uint8_t *)"Man", size);
        ims_text_add(&text, " ");
    }
    CHECK_TEXT(text.bytes, " TQ== TWE= TWFu ");
    ims_text_clear(&text);
}

static void empty_results_have_sheet_and_page(void)
{
    imgsim_query *query;
    imgsim_result *result;
    imgsim_image *image;
    uint8_t none = 0;
    char path[800], *page;
    size_t size;

    search(5, &query, &result);
    imgsim_result_free(result);
    CHECK_OK(imgsim_query_filter_bits(query, &none, 1));
    CHECK_OK(imgsim_query_search(query, &result));
    CHECK_EQUAL(imgsim_result_get_count(result), 0);
    image = sheet_of(result, query, "s.png");
    imgsim_image_free(image);
    snprintf(path, sizeof(path), "%s/page.html", bed.folder);
    CHECK_OK(imgsim_result_write_html(result, query, path));
    page = read_text(path, &size);
    CHECK_EQUAL(count_of(page, "Nothing found"), 1);
    free(page);
    imgsim_query_clear_images(query);
    image = sheet_of(result, query, "s.png"); /* not even a query image */
    imgsim_image_free(image);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

/* This comes last: it takes the pictures away. */
static void pictures_that_are_gone_leave_an_empty_frame(void)
{
    imgsim_query *query;
    imgsim_result *result;
    imgsim_image *image;
    char path[800], *page;
    size_t size;

    search(5, &query, &result);
    for (int i = 0; i < GALLERY; i++)
        if (i % 2 == 0)
            CHECK(unlink(names[i]) == 0);
        else
            write_bytes(names[i], "no picture any more", 19);
    image = sheet_of(result, query, "s.png");
    CHECK(image->width > 6 * 200);
    imgsim_image_free(image);
    snprintf(path, sizeof(path), "%s/page.html", bed.folder);
    CHECK_OK(imgsim_result_write_html(result, query, path));
    page = read_text(path, &size);
    CHECK_EQUAL(count_of(page, "data:image"), 0);
    CHECK_EQUAL(count_of(page, "no picture"), 6);
    CHECK_EQUAL(count_of(page, "plain.png"), 3);
    free(page);
    imgsim_result_free(result);
    imgsim_query_free(query);
}

int main(void)
{
    bed_open_empty(&bed);
    put_gallery();
    sheets_are_written_in_three_formats();
    a_sheet_frames_queries_and_shows_hits();
    files_that_cannot_be_written_are_named();
    a_page_holds_everything_and_runs_nothing();
    a_page_is_valid_utf8();
    numbers_and_base64_are_right();
    empty_results_have_sheet_and_page();
    pictures_that_are_gone_leave_an_empty_frame();
    bed_close(&bed);
    return 0;
}
