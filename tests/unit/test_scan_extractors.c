/* SPDX-License-Identifier: Apache-2.0 */
/* Extractors of all sorts in a scan: the host's own, networks with batches, failing ones, and ones that come later. */
#include "scan_bed.h"

#include "extract/extractor.h"

#include <stdatomic.h>

/* ---- the host's ---- */

struct host {
    atomic_int calls;
    atomic_int inside;
    atomic_int together; /* most calls at once */
    uint32_t fail_width; /* images of this width fail */
    float value;
};

static int32_t
host_extract(const imgsim_image *const *images, size_t image_count, void *out_rows, void *user_data)
{
    struct host *host = user_data;
    float *rows = out_rows;
    int inside = atomic_fetch_add(&host->inside, 1) + 1, most = atomic_load(&host->together);
    int32_t result = 0;

    atomic_fetch_add(&host->calls, 1);
    while (inside > most && !atomic_compare_exchange_weak(&host->together, &most, inside))
        ;
    for (size_t i = 0; i < image_count; i++) {
        rows[2 * i] = (float)imgsim_image_get_width(images[i]);
        rows[2 * i + 1] = host->value;
        if (imgsim_image_get_width(images[i]) == host->fail_width)
            result = 1;
    }
    usleep(500);
    atomic_fetch_sub(&host->inside, 1);
    return result;
}

static imgsim_extractor *new_host(struct host *host, const char *name, int concurrent)
{
    imgsim_host_extractor table = {
        .struct_size = sizeof(table),
        .name = name,
        .version = "1",
        .dimension = 2,
        .row_type = IMGSIM_ROW_FLOAT32,
        .default_metric = IMGSIM_METRIC_L2,
        .concurrent = concurrent,
        .extract = host_extract};
    imgsim_extractor *extractor;

    CHECK_OK(imgsim_extractor_new_host(&table, host, &extractor));
    return extractor;
}

static void write_pictures(const struct bed *bed, int count)
{
    char name[32];

    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "p%03d.png", i);
        bed_image(bed, name, (uint64_t)i, "png");
    }
}

static void use(struct bed *bed, const imgsim_extractor *const *extractors, size_t count)
{
    bed->options.extractors = extractors;
    bed->options.extractor_count = count;
}

static void the_hosts_extractor_works_and_a_serial_one_alone(void)
{
    struct host host = {.value = 7.0f};
    imgsim_extractor *extractor = new_host(&host, "mine", 0);
    struct bed bed;
    float row[2];

    bed_open(&bed);
    write_pictures(&bed, 12);
    use(&bed, (const imgsim_extractor *const *)&extractor, 1);
    bed.options.threads = 4;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 12);
    CHECK_EQUAL(atomic_load(&host.calls), 12);
    CHECK_EQUAL(atomic_load(&host.together), 1);
    bed_row(&bed, "mine", bed_get(&bed, "p003.png").id, row, sizeof(row));
    CHECK_NEAR(row[0], 63.0, 0.0);
    CHECK_NEAR(row[1], 7.0, 0.0);
    imgsim_extractor_free(extractor);
    bed_close(&bed);
}

static void an_image_that_an_extractor_refuses_is_failed_and_tried_again(void)
{
    struct host host = {.value = 1.0f, .fail_width = 62};
    imgsim_extractor *extractor = new_host(&host, "mine", 1);
    struct bed_file file;
    struct bed bed;

    bed_open(&bed);
    write_pictures(&bed, 7);
    use(&bed, (const imgsim_extractor *const *)&extractor, 1);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 6);
    CHECK_EQUAL(bed.report.failed, 1);
    file = bed_get(&bed, "p002.png");
    CHECK_EQUAL(file.state, IMGSIM_FILE_FAILED);
    CHECK(strncmp(file.reason, "extractor mine", 14) == 0);
    CHECK_EQUAL(file.id, -1);
    host.fail_width = 0;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.unchanged, 6);
    CHECK_EQUAL(bed.report.added, 1);
    imgsim_extractor_free(extractor);
    bed_close(&bed);
}

static void values_that_are_not_finite_fail_the_image(void)
{
    struct host host = {.value = NAN};
    imgsim_extractor *extractor = new_host(&host, "mine", 1);
    struct bed bed;

    bed_open(&bed);
    write_pictures(&bed, 1);
    use(&bed, (const imgsim_extractor *const *)&extractor, 1);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.failed, 1);
    CHECK(strstr(bed_get(&bed, "p000.png").reason, "finite") != NULL);
    imgsim_extractor_free(extractor);
    bed_close(&bed);
}

/* ---- one that comes later ---- */

static void a_new_extractor_adds_its_rows_under_the_same_ids(void)
{
    struct host host = {.value = 3.0f};
    imgsim_extractor *extractors[2] = {NULL, NULL};
    uint32_t before[4096], after[4096];
    struct bed_file file;
    struct bed bed;
    float row[2];

    bed_open(&bed);
    write_pictures(&bed, 5);
    CHECK_OK(imgsim_extractor_new_color(NULL, &extractors[0]));
    extractors[1] = new_host(&host, "mine", 1);
    use(&bed, (const imgsim_extractor *const *)extractors, 1);
    bed_scan(&bed);
    file = bed_get(&bed, "p004.png");
    bed_row(&bed, "color", file.id, before, sizeof(before));

    use(&bed, (const imgsim_extractor *const *)extractors, 2);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.refreshed, 5);
    CHECK_EQUAL(bed.report.unchanged, 0);
    CHECK_EQUAL(bed_get(&bed, "p004.png").id, file.id);
    CHECK_EQUAL(imgsim_catalog_get_id_count(bed.catalog), 5);
    bed_row(&bed, "mine", file.id, row, sizeof(row));
    CHECK_NEAR(row[1], 3.0, 0.0);
    bed_row(&bed, "color", file.id, after, sizeof(after));
    CHECK(memcmp(before, after, sizeof(before)) == 0);

    /* With fewer extractors nothing is missed. */
    use(&bed, (const imgsim_extractor *const *)&extractors[1], 1);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.unchanged, 5);

    /* A moved file that lacks a feature is decoded and still moved. */
    use(&bed, (const imgsim_extractor *const *)&extractors[1], 1);
    bed_image(&bed, "x.png", 20, "png");
    bed_scan(&bed);
    CHECK(rename(bed_path(&bed, "x.png"), bed_path(&bed, "y.png")) == 0);
    use(&bed, (const imgsim_extractor *const *)extractors, 2);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.moved, 1);
    CHECK(bed_has_row(&bed, "color", bed_get(&bed, "y.png").id));
    CHECK_EQUAL(bed_get(&bed, "y.png").id, 5);
    imgsim_extractor_free(extractors[0]);
    imgsim_extractor_free(extractors[1]);
    bed_close(&bed);
}

/* ---- a network: its input is the mean colour, its row tells the batch it was in ---- */

struct network {
    struct imgsim_extractor common;
    atomic_int runs;
    atomic_int inside;
    uint32_t fail_width;
    imgsim_status fail_status;
};

struct input {
    float mean;
    float width;
};

static imgsim_status
network_prepare(const imgsim_extractor *extractor, const imgsim_image *image, void *out_input)
{
    struct input *input = out_input;
    double sum = 0;

    (void)extractor;
    for (size_t i = 0; i < (size_t)image->width * image->height * 3; i++)
        sum += image->pixels[i];
    input->mean = (float)(sum / ((double)image->width * image->height * 3));
    input->width = (float)image->width;
    return IMGSIM_OK;
}

static imgsim_status
network_run(const imgsim_extractor *extractor, const void *inputs, size_t count, void *out_rows)
{
    struct network *network = (struct network *)extractor;
    const struct input *input = inputs;
    float *rows = out_rows;

    CHECK_EQUAL(atomic_fetch_add(&network->inside, 1), 0);
    CHECK(count >= 1 && count <= extractor->batch_size);
    atomic_fetch_add(&network->runs, 1);
    for (size_t i = 0; i < count; i++) {
        if (network->fail_width != 0 && input[i].width == (float)network->fail_width) {
            atomic_fetch_sub(&network->inside, 1);
            return ims_fail(network->fail_status, "the width is %u", network->fail_width);
        }
        rows[2 * i] = input[i].mean;
        rows[2 * i + 1] = (float)(count * 100 + i);
    }
    usleep(2000);
    atomic_fetch_sub(&network->inside, 1);
    return IMGSIM_OK;
}

static void network_free(imgsim_extractor *extractor)
{
    (void)extractor;
}

static const struct ims_extractor_kind network_kind =
    {.name = "test", .prepare = network_prepare, .run = network_run, .free = network_free};

static void set_up_network(struct network *network, uint32_t batch_size)
{
    memset(network, 0, sizeof(*network));
    CHECK_OK(ims_extractor_init(
        &network->common, &network_kind, "embedding", IMGSIM_ROW_FLOAT32, 2, IMGSIM_METRIC_COSINE,
        "test", ""));
    network->common.input_size = sizeof(struct input);
    network->common.batch_size = batch_size;
}

static void a_network_gets_its_images_in_batches_and_in_order(void)
{
    const imgsim_extractor *extractors[2];
    imgsim_extractor *color;
    struct network network;
    struct bed bed;
    char name[32];
    float row[2];

    bed_open(&bed);
    write_pictures(&bed, 21);
    bed_write(&bed, "p010x.txt", "no picture", 10);
    set_up_network(&network, 8);
    CHECK_OK(imgsim_extractor_new_color(NULL, &color));
    extractors[0] = color;
    extractors[1] = &network.common;
    use(&bed, extractors, 2);
    bed.options.transaction_size = 3;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 21);
    CHECK_EQUAL(bed.report.skipped, 1);
    CHECK_EQUAL(atomic_load(&network.runs), 3);
    for (int i = 0; i < 21; i++) {
        snprintf(name, sizeof(name), "p%03d.png", i);
        CHECK_EQUAL(bed_get(&bed, name).id, i);
        bed_row(&bed, "embedding", i, row, sizeof(row));
        CHECK_EQUAL(row[1], (i < 16 ? 800 : 500) + i % 8);
    }
    CHECK(bed_has_row(&bed, "color", 20));
    ims_free(network.common.spec);
    imgsim_extractor_free(color);
    bed_close(&bed);
}

static void one_bad_image_does_not_spoil_its_batch(void)
{
    const imgsim_extractor *extractors[1];
    struct network network;
    struct bed bed;

    bed_open(&bed);
    write_pictures(&bed, 6);
    set_up_network(&network, 8);
    network.fail_width = 62;
    network.fail_status = IMGSIM_ERROR_INTERNAL;
    extractors[0] = &network.common;
    use(&bed, extractors, 1);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 5);
    CHECK_EQUAL(bed.report.failed, 1);
    bed_check_state(&bed, "p002.png", IMGSIM_FILE_FAILED, "extractor embedding: the width is 62");
    CHECK_EQUAL(bed_get(&bed, "p003.png").id, 2);

    /* Running out of memory is not the image's fault: it ends the scan, and what was committed stays. */
    bed_image(&bed, "q.png", 2, "png");
    network.fail_status = IMGSIM_ERROR_OUT_OF_MEMORY;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_OUT_OF_MEMORY, "the width is 62");
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), 5);
    network.fail_width = 0;
    bed_scan(&bed);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), 7);
    ims_free(network.common.spec);
    bed_close(&bed);
}

/* Moved images are not handed to the network again; only the second of two copies is. */
static void moved_images_bypass_the_network(void)
{
    const imgsim_extractor *extractors[1];
    struct network network;
    struct bed bed;

    bed_open(&bed);
    write_pictures(&bed, 4);
    set_up_network(&network, 2);
    extractors[0] = &network.common;
    use(&bed, extractors, 1);
    bed_scan(&bed);
    CHECK_EQUAL(atomic_load(&network.runs), 2);
    CHECK(rename(bed_path(&bed, "p000.png"), bed_path(&bed, "x.png")) == 0);
    CHECK(rename(bed_path(&bed, "p001.png"), bed_path(&bed, "y.png")) == 0);
    bed_image(&bed, "z.png", 0, "png");
    bed_image(&bed, "a.png", 30, "png");
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.moved, 2);
    CHECK_EQUAL(bed.report.added, 2);
    CHECK_EQUAL(atomic_load(&network.runs), 4);
    CHECK_EQUAL(bed_get(&bed, "x.png").id, 0);
    CHECK_EQUAL(bed_get(&bed, "y.png").id, 1);
    CHECK_EQUAL(bed_get(&bed, "a.png").id, 4);
    CHECK_EQUAL(bed_get(&bed, "z.png").id, 5);
    CHECK(bed_has_row(&bed, "embedding", 5));
    ims_free(network.common.spec);
    bed_close(&bed);
}

int main(void)
{
    the_hosts_extractor_works_and_a_serial_one_alone();
    an_image_that_an_extractor_refuses_is_failed_and_tried_again();
    values_that_are_not_finite_fail_the_image();
    a_new_extractor_adds_its_rows_under_the_same_ids();
    a_network_gets_its_images_in_batches_and_in_order();
    one_bad_image_does_not_spoil_its_batch();
    moved_images_bypass_the_network();
    return 0;
}
