/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's extractor, specifications and references: what is checked, who is called when, and
 * what is released.
 */
#include "check.h"

#include "extract/extractor.h"
#include "image/image.h"

#include <math.h>
#include <pthread.h>

/* What the callbacks saw. */
struct host {
    atomic_int calls;
    atomic_int inside;
    atomic_int together; /* 1 once two calls overlapped */
    int fail_batches;
    int fail_width; /* an image of this width fails */
    int infinite;
    int released;
};

static int32_t host_extract(const imgsim_image *const *images, size_t count, void *rows, void *data)
{
    struct host *host = data;
    float *out = rows;

    if (atomic_fetch_add(&host->inside, 1) > 0)
        atomic_store(&host->together, 1);
    atomic_fetch_add(&host->calls, 1);
    for (volatile int i = 0; i < 20000; i = i + 1)
        ;
    atomic_fetch_sub(&host->inside, 1);
    if (host->fail_batches && count > 1)
        return 7;
    for (size_t i = 0; i < count; i++) {
        if (host->fail_width == (int)imgsim_image_get_width(images[i]))
            return 9;
        out[2 * i] = (float)imgsim_image_get_width(images[i]);
        out[2 * i + 1] = host->infinite ? INFINITY : 1.0f;
    }
    return 0;
}

static void host_release(void *data)
{
    ((struct host *)data)->released++;
}

static imgsim_host_extractor good_table(void)
{
    imgsim_host_extractor table = {
        .struct_size = sizeof(table),
        .name = "width",
        .version = "v1",
        .dimension = 2,
        .row_type = IMGSIM_ROW_FLOAT32,
        .default_metric = IMGSIM_METRIC_L2,
        .extract = host_extract,
        .release = host_release};

    return table;
}

static void test_each_field_is_checked(void)
{
    struct host host = {0};
    imgsim_extractor *extractor = NULL;
    imgsim_host_extractor table;
    char long_name[65];

    memset(long_name, 'a', 64);
    long_name[64] = '\0';
    for (int field = 0; field < 12; field++) {
        static const char *const words[12] = {"name",           "name",           "name",
                                              "version",        "extract",        "dimension",
                                              "dimension",      "row_type",       "dimension",
                                              "default_metric", "default_metric", "default_metric"};

        table = good_table();
        table.name = field == 0 ? NULL : field == 1 ? "Width" : field == 2 ? long_name : "width";
        table.version = field == 3 ? NULL : "v1";
        table.extract = field == 4 ? NULL : host_extract;
        table.dimension = field == 5 ? 0 : field == 6 ? 65537 : field == 8 ? 12 : 2;
        table.row_type = field == 7 ? 9 : field == 8 ? IMGSIM_ROW_BITS : IMGSIM_ROW_FLOAT32;
        table.default_metric = field == 9    ? IMGSIM_METRIC_HAMMING
                               : field == 10 ? IMGSIM_METRIC_CALLBACK
                               : field == 11 ? IMGSIM_METRIC_DEFAULT
                                             : IMGSIM_METRIC_L2;
        CHECK_FAILS(
            imgsim_extractor_new_host(&table, &host, &extractor), IMGSIM_ERROR_INVALID_ARGUMENT,
            words[field]);
        CHECK(extractor == NULL);
    }
    table = good_table();
    table.struct_size = 0;
    CHECK(imgsim_extractor_new_host(&table, &host, &extractor) == IMGSIM_ERROR_INVALID_ARGUMENT);
    CHECK_EQUAL(host.released, 0);
}

static void make_images(imgsim_image *images[3])
{
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_OK(ims_image_alloc(10 + i, 4, &images[i]));
        memset(images[i]->pixels, 0, (10 + i) * 4 * 3);
    }
}

static void test_batches_and_failures(void)
{
    struct host host = {0};
    imgsim_host_extractor table = good_table();
    imgsim_extractor *extractor = NULL;
    imgsim_image *images[3];
    float rows[6];

    make_images(images);
    CHECK_OK(imgsim_extractor_new_host(&table, &host, &extractor));
    CHECK_TEXT(imgsim_extractor_get_name(extractor), "width");
    CHECK_OK(imgsim_extractor_extract(
        extractor, (const imgsim_image *const *)images, 3, rows, sizeof(rows)));
    CHECK_EQUAL(atomic_load(&host.calls), 1);
    CHECK(rows[0] == 10.0f && rows[2] == 11.0f && rows[4] == 12.0f);

    /* A failing batch is tried image by image. */
    host.fail_batches = 1;
    CHECK_OK(imgsim_extractor_extract(
        extractor, (const imgsim_image *const *)images, 3, rows, sizeof(rows)));
    CHECK_EQUAL(atomic_load(&host.calls), 5);
    host.fail_width = 11;
    CHECK_FAILS(
        imgsim_extractor_extract(
            extractor, (const imgsim_image *const *)images, 3, rows, sizeof(rows)),
        IMGSIM_ERROR_CALLBACK, "image 2 of 3");
    host.fail_width = 0;
    host.infinite = 1;
    CHECK_FAILS(
        imgsim_extractor_extract(
            extractor, (const imgsim_image *const *)images, 1, rows, sizeof(rows)),
        IMGSIM_ERROR_CALLBACK, "not finite");

    CHECK_FAILS(
        imgsim_extractor_extract(
            extractor, (const imgsim_image *const *)images, 3, rows, sizeof(rows) - 1),
        IMGSIM_ERROR_INVALID_ARGUMENT, "bytes");
    CHECK_OK(imgsim_extractor_extract(extractor, NULL, 0, NULL, 0));
    imgsim_image_free(images[1]);
    images[1] = NULL;
    CHECK_FAILS(
        imgsim_extractor_extract(
            extractor, (const imgsim_image *const *)images, 3, rows, sizeof(rows)),
        IMGSIM_ERROR_INVALID_ARGUMENT, "image 1");

    /* Released once, with the last reference. */
    ims_extractor_keep(extractor);
    imgsim_extractor_free(extractor);
    CHECK_EQUAL(host.released, 0);
    imgsim_extractor_free(extractor);
    CHECK_EQUAL(host.released, 1);
    imgsim_image_free(images[0]);
    imgsim_image_free(images[2]);
    imgsim_extractor_free(NULL);
}

static imgsim_extractor *shared;
static imgsim_image *shared_image;

static void *call_often(void *unused)
{
    (void)unused;
    for (int i = 0; i < 50; i++) {
        const imgsim_image *image = shared_image;
        float row[2];

        CHECK_OK(imgsim_extractor_extract(shared, &image, 1, row, sizeof(row)));
    }
    return NULL;
}

static void test_hosts_that_are_not_concurrent_are_called_one_at_a_time(void)
{
    struct host host = {0};
    imgsim_host_extractor table = good_table();
    pthread_t threads[4];

    CHECK_OK(imgsim_extractor_new_host(&table, &host, &shared));
    CHECK_OK(ims_image_alloc(5, 5, &shared_image));
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, call_often, NULL) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQUAL(atomic_load(&host.calls), 200);
    CHECK_EQUAL(atomic_load(&host.together), 0);
    imgsim_extractor_free(shared);
    imgsim_image_free(shared_image);
}

static void check_spec(const char *spec, const char *canonical)
{
    imgsim_extractor *extractor = NULL, *again = NULL;

    CHECK_OK(imgsim_extractor_new_spec(spec, &extractor));
    CHECK_TEXT(imgsim_extractor_get_spec(extractor), canonical);
    CHECK_OK(imgsim_extractor_new_spec(imgsim_extractor_get_spec(extractor), &again));
    CHECK_TEXT(
        imgsim_extractor_get_fingerprint(again), imgsim_extractor_get_fingerprint(extractor));
    imgsim_extractor_free(extractor);
    imgsim_extractor_free(again);
}

static void test_specifications(void)
{
    static const char *const wrong[] = {
        "",
        "colour:",
        "color:bins=",
        "color:bins=16x16",
        "color:bins=16x16x16x16",
        "color:bins=1x16x16",
        "color:bins=16x16x-1",
        "color:bins=99999999",
        "color:space=cmyk",
        "color:depth=3",
        "hash:kind=md5",
        "hash:bits=128",
        "hash:bits",
    };
    imgsim_extractor *extractor = NULL;

    check_spec("color", "color:space=rgb,bins=16x16x16");
    check_spec("color:", "color:space=rgb,bins=16x16x16");
    check_spec("color:bins=8", "color:space=rgb,bins=8x8x8");
    check_spec("color:bins=8x4x2,space=hsv", "color:space=hsv,bins=8x4x2");
    check_spec("hash:", "hash:kind=phash,bits=64");
    check_spec("hash:kind=dhash,bits=256", "hash:kind=dhash,bits=256");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK(imgsim_extractor_new_spec(wrong[i], &extractor) == IMGSIM_ERROR_INVALID_ARGUMENT);
        CHECK(extractor == NULL);
    }
    CHECK_FAILS(
        imgsim_extractor_new_spec("cnn:architecture=resnet18", &extractor),
        IMGSIM_ERROR_UNSUPPORTED, "model");
    CHECK_FAILS(
        imgsim_extractor_new_spec("host:name=x", &extractor), IMGSIM_ERROR_UNSUPPORTED, "program");
    CHECK_FAILS(imgsim_extractor_new_spec(NULL, &extractor), IMGSIM_ERROR_INVALID_ARGUMENT, "NULL");
}

int main(void)
{
    test_each_field_is_checked();
    test_batches_and_failures();
    test_hosts_that_are_not_concurrent_are_called_one_at_a_time();
    test_specifications();
    return 0;
}
