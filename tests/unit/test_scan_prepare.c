/* SPDX-License-Identifier: Apache-2.0 */
/* One file becomes one plain result, whatever it is; what the first bytes tell is right. */
#include "scan_bed.h"

#include "core/hash.h"
#include "extract/extractor.h"
#include "scan/scan.h"

#include <pthread.h>
#include <stdatomic.h>

static struct ims_prepare_settings settings;
static const imgsim_extractor *extractors[2];

static void set_up(void)
{
    imgsim_extractor *color, *hash;

    CHECK_OK(imgsim_extractor_new_color(NULL, &color));
    CHECK_OK(imgsim_extractor_new_hash(NULL, &hash));
    extractors[0] = color;
    extractors[1] = hash;
    settings.extractors = extractors;
    settings.extractor_count = 2;
    CHECK_OK(imgsim_image_options_init(&settings.image, sizeof(settings.image)));
    CHECK_OK(ims_prepare_layout(&settings));
}

static void rows_do_not_overlap_in_a_block(void)
{
    CHECK(settings.row_at[0] % 64 == 0 && settings.row_at[1] % 64 == 0);
    CHECK(settings.row_at[1] >= settings.row_at[0] + extractors[0]->row_size);
    CHECK(settings.block_size >= settings.row_at[1] + extractors[1]->row_size);
    CHECK_EQUAL(settings.network_mask, 0);
}

static void a_picture_is_read_hashed_and_extracted(void)
{
    struct ims_file_buffer buffer = {0};
    struct ims_prepared_file prepared = {0};
    uint8_t hash[16];
    struct bed bed;

    bed_open(&bed);
    bed_image(&bed, "a.png", 1, "png");
    CHECK_OK(ims_prepare_read(&settings, bed_path(&bed, "a.png"), &buffer, &prepared));
    CHECK_EQUAL(prepared.state, IMGSIM_FILE_OK);
    CHECK_EQUAL(prepared.bytes, buffer.size);
    ims_hash128(buffer.data, buffer.size, hash);
    CHECK(prepared.has_hash && memcmp(hash, prepared.hash, 16) == 0);
    CHECK_OK(ims_prepare_decode(&settings, "a.png", &buffer, 2, &prepared));
    CHECK_EQUAL(prepared.rows, 2);
    ims_prepared_file_clear(&prepared);
    ims_free(buffer.data);
    bed_close(&bed);
}

/* A file of 100 kB without picture is given up after its first bytes. */
static void what_is_no_image_is_not_read_through(void)
{
    struct ims_file_buffer buffer = {0};
    struct ims_prepared_file prepared = {0};
    char *text = ims_calloc(1000000, 1);
    struct bed bed;

    bed_open(&bed);
    memset(text, 'x', 1000000);
    bed_write(&bed, "long.txt", text, 1000000);
    CHECK_OK(ims_prepare_read(&settings, bed_path(&bed, "long.txt"), &buffer, &prepared));
    CHECK_EQUAL(prepared.state, IMGSIM_FILE_SKIPPED);
    CHECK_TEXT(prepared.reason, "not an image");
    CHECK(prepared.bytes_read < 100000);
    CHECK(!prepared.has_hash);
    ims_prepared_file_clear(&prepared);
    ims_free(buffer.data);
    ims_free(text);
    bed_close(&bed);
}

static void a_fifo_in_the_place_of_a_file_does_not_block(void)
{
    struct ims_file_buffer buffer = {0};
    struct ims_prepared_file prepared = {0};
    struct bed bed;

    bed_open(&bed);
    CHECK(mkfifo(bed_path(&bed, "pipe"), 0666) == 0);
    CHECK_OK(ims_prepare_read(&settings, bed_path(&bed, "pipe"), &buffer, &prepared));
    CHECK_TEXT(prepared.reason, "not a regular file");
    prepared = (struct ims_prepared_file){0};
    CHECK_OK(ims_prepare_read(&settings, bed_path(&bed, "gone"), &buffer, &prepared));
    CHECK_EQUAL(prepared.state, IMGSIM_FILE_FAILED);
    CHECK(strncmp(prepared.reason, "unreadable", 10) == 0);
    ims_free(buffer.data);
    bed_close(&bed);
}

struct toucher {
    int descriptor;
    atomic_bool end;
};

static void *touch_on_and_on(void *context)
{
    struct toucher *toucher = context;

    for (long i = 0; !atomic_load(&toucher->end); i++) {
        struct timespec times[2] = {{.tv_sec = i}, {.tv_sec = i}};

        CHECK(futimens(toucher->descriptor, times) == 0);
    }
    return NULL;
}

static void a_file_that_changes_all_the_time_is_failed(void)
{
    struct ims_file_buffer buffer = {0};
    struct ims_prepared_file prepared = {0};
    const size_t size = 64u << 20;
    struct toucher toucher = {0};
    uint8_t *data = ims_calloc(size, 1);
    struct bed bed;
    pthread_t thread;

    bed_open(&bed);
    memcpy(data, "\xff\xd8\xff", 3);
    bed_write(&bed, "a.jpg", data, size);
    ims_free(data);
    CHECK((toucher.descriptor = open(bed_path(&bed, "a.jpg"), O_RDWR)) >= 0);
    CHECK(pthread_create(&thread, NULL, touch_on_and_on, &toucher) == 0);
    /* On a busy machine the other thread may sleep for as long as the reading takes. */
    for (int i = 0; i < 100 && prepared.state == IMGSIM_FILE_OK; i++) {
        prepared = (struct ims_prepared_file){0};
        CHECK_OK(ims_prepare_read(&settings, bed_path(&bed, "a.jpg"), &buffer, &prepared));
    }
    atomic_store(&toucher.end, true);
    pthread_join(thread, NULL);
    close(toucher.descriptor);
    CHECK_EQUAL(prepared.state, IMGSIM_FILE_FAILED);
    CHECK_TEXT(prepared.reason, "changed while being read");
    ims_free(buffer.data);
    bed_close(&bed);
}

static void reasons_are_one_short_line(void)
{
    struct ims_prepared_file prepared = {0};
    char text[1000];

    memset(text, 'a', sizeof(text));
    text[10] = '\n';
    text[999] = '\0';
    ims_prepared_set(&prepared, IMGSIM_FILE_FAILED, "%s", text);
    CHECK_EQUAL(strlen(prepared.reason), IMS_REASON_SIZE - 1);
    CHECK(strchr(prepared.reason, '\n') == NULL);
}

static bool sniff(const char *bytes, size_t size)
{
    return ims_sniff_image((const uint8_t *)bytes, size);
}

static void first_bytes_tell_images_from_others(void)
{
    static const char jpeg[] = "\xff\xd8\xff\xe0";
    static const char heic[] = "\0\0\0\x18"
                               "ftypheic\0\0\0\0mif1heic";
    static const char film[] = "\0\0\0\x18"
                               "ftypisom\0\0\0\0isommp42";

    CHECK(sniff(jpeg, 4) && sniff("\x89PNG\r\n\x1a\n", 8) && sniff("P6\n1 1", 6));
    CHECK(sniff(heic, sizeof(heic) - 1) && !sniff(film, sizeof(film) - 1));
    CHECK(!sniff("P9\n", 3) && !sniff("PK\3\4", 4) && !sniff("", 0) && !sniff("\xff", 1));
    CHECK(!sniff("RIFF....WAVE", 12) && sniff("RIFF....WEBP", 12));
}

static void memory_is_estimated_from_the_header(void)
{
    imgsim_image *image = bed_picture(1, 400, 300);
    uint8_t *data;
    size_t size;

    CHECK_OK(ims_image_encode(image, "jpeg", 90, &data, &size));
    CHECK_EQUAL(ims_sniff_memory(data, size, 0), 401 * 301 * 3);
    CHECK_EQUAL(ims_sniff_memory(data, size, 100), 201 * 151 * 3);
    /* Cut off anywhere it is some guess, not a crash. */
    for (size_t cut = 0; cut < 700 && cut < size; cut++)
        CHECK(ims_sniff_memory(data, cut, 100) > 0);
    ims_free(data);
    CHECK_OK(ims_image_encode(image, "png", 90, &data, &size));
    CHECK_EQUAL(ims_sniff_memory(data, size, 0), 400 * 300 * 4);
    ims_free(data);
    imgsim_image_free(image);
}

int main(void)
{
    set_up();
    rows_do_not_overlap_in_a_block();
    a_picture_is_read_hashed_and_extracted();
    what_is_no_image_is_not_read_through();
    a_fifo_in_the_place_of_a_file_does_not_block();
    a_file_that_changes_all_the_time_is_failed();
    reasons_are_one_short_line();
    first_bytes_tell_images_from_others();
    memory_is_estimated_from_the_header();
    imgsim_extractor_free((imgsim_extractor *)extractors[0]);
    imgsim_extractor_free((imgsim_extractor *)extractors[1]);
    return 0;
}
