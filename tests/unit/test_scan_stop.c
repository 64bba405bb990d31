/* SPDX-License-Identifier: Apache-2.0 */
/* A scan that is stopped, killed or run twice loses nothing; ids do not depend on the number of threads. */
#include "scan_bed.h"

#include <signal.h>
#include <sys/wait.h>

#define PICTURES 120

static void write_pictures(const struct bed *bed)
{
    static const char *const formats[] = {"png", "jpeg", "pnm"};
    char name[64];

    bed_folder(bed, "one");
    bed_folder(bed, "two");
    for (int i = 0; i < PICTURES; i++) {
        snprintf(name, sizeof(name), "%s/p%d", i % 2 == 0 ? "one" : "two", i);
        bed_image(bed, name, (uint64_t)i, formats[i % 3]);
    }
    bed_write(bed, "one/text", "no picture", 10);
    bed_write(bed, "two/empty", "", 0);
}

/* ---- what a catalog holds, as text without UUIDs and times ---- */

static int32_t print_file(const imgsim_file_info *file, void *user_data)
{
    FILE *out = user_data;

    fprintf(
        out, "%lld|%s|%s|%s|%s|%d|%u|%u|%llu\n", (long long)file->id,
        strstr(file->path, "/photos/"), file->format, file->reason, file->content_hash, file->state,
        file->width, file->height, (unsigned long long)file->bytes);
    return 0;
}

static void print_rows(const struct bed *bed, const char *feature, size_t row_size, FILE *out)
{
    imgsim_features *features;
    uint8_t *row = ims_alloc(row_size);

    CHECK_OK(imgsim_catalog_open_features(bed->catalog, feature, &features));
    for (int64_t id = 0; id < (int64_t)imgsim_catalog_get_id_count(bed->catalog); id++) {
        uint64_t sum = 0;

        if (!imgsim_features_has_row(features, id))
            continue;
        CHECK_OK(imgsim_features_read(features, &id, 1, row, row_size));
        for (size_t i = 0; i < row_size; i++)
            sum = ims_mix64(sum ^ row[i]);
        fprintf(out, "%s %lld %llx\n", feature, (long long)id, (unsigned long long)sum);
    }
    imgsim_features_free(features);
    ims_free(row);
}

/* Release with free(). */
static char *describe(const struct bed *bed)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    CHECK(out != NULL);
    CHECK_OK(imgsim_catalog_visit_files(bed->catalog, -1, print_file, out));
    print_rows(bed, "color", 4096 * 4, out);
    print_rows(bed, "hash", 8, out);
    CHECK(fclose(out) == 0);
    return text;
}

/* Throw the catalog away and start anew. */
static void start_anew(struct bed *bed)
{
    imgsim_catalog_free(bed->catalog);
    CHECK(nftw(bed->catalog_path, bed_remove, 16, FTW_DEPTH | FTW_PHYS) == 0);
    bed_open_catalog(bed);
}

/* What an undisturbed scan comes to. */
static char *expected_text(struct bed *bed)
{
    bed_scan(bed);
    CHECK_EQUAL(bed->report.added, PICTURES);
    return describe(bed);
}

static void the_same_folder_gives_the_same_ids_on_any_number_of_threads(void)
{
    static const uint32_t threads[] = {1, 2, 4, 13};
    struct bed bed;
    char *expected, *text;

    bed_open(&bed);
    write_pictures(&bed);
    expected = expected_text(&bed);
    for (int i = 0; i < 4; i++) {
        start_anew(&bed);
        bed.options.threads = threads[i];
        bed.options.transaction_size = 7;
        bed_scan(&bed);
        text = describe(&bed);
        CHECK_TEXT(text, expected);
        free(text);
    }
    free(expected);
    bed_close(&bed);
}

/* ---- stopped ---- */

struct watcher {
    uint64_t stop_at; /* files done */
    uint64_t last_done;
    uint64_t last_total;
    int calls;
    int wrong;
};

static int32_t watch(const imgsim_progress *progress, void *user_data)
{
    struct watcher *watcher = user_data;

    watcher->calls++;
    if (strcmp(progress->phase, "scan") != 0)
        return 0;
    if (progress->done < watcher->last_done || progress->done > progress->total ||
        progress->failed > progress->done)
        watcher->wrong++;
    watcher->last_done = progress->done;
    watcher->last_total = progress->total;
    return progress->done >= watcher->stop_at;
}

/* Slows a scan down, so that there is something to stop. */
static int32_t
slow_extract(const imgsim_image *const *images, size_t image_count, void *out_rows, void *user_data)
{
    (void)images;
    (void)user_data;
    for (size_t i = 0; i < image_count; i++)
        ((float *)out_rows)[i] = 1.0f;
    usleep(5000);
    return 0;
}

static void a_stopped_scan_keeps_what_is_done_and_goes_on(void)
{
    imgsim_host_extractor table = {
        .struct_size = sizeof(table),
        .name = "slow",
        .version = "1",
        .dimension = 1,
        .row_type = IMGSIM_ROW_FLOAT32,
        .default_metric = IMGSIM_METRIC_L2,
        .extract = slow_extract};
    imgsim_extractor *extractors[3];
    struct watcher watcher = {.stop_at = 30};
    struct bed bed;
    uint64_t done;

    bed_open(&bed);
    write_pictures(&bed);
    CHECK_OK(imgsim_extractor_new_color(NULL, &extractors[0]));
    CHECK_OK(imgsim_extractor_new_hash(NULL, &extractors[1]));
    CHECK_OK(imgsim_extractor_new_host(&table, NULL, &extractors[2]));
    bed.options.extractors = (const imgsim_extractor *const *)extractors;
    bed.options.extractor_count = 3;
    bed.options.progress = watch;
    bed.options.user_data = &watcher;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_CANCELLED, "");
    done = bed.report.added;
    CHECK(done >= 29 && done < PICTURES);
    CHECK_EQUAL(bed.report.seen, PICTURES + 2);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), done);
    CHECK_EQUAL(watcher.last_total, PICTURES + 2);

    watcher = (struct watcher){.stop_at = UINT64_MAX};
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, PICTURES - done);
    CHECK(watcher.calls > 0 && watcher.wrong == 0);
    CHECK_EQUAL(watcher.last_done, watcher.last_total);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), PICTURES);
    CHECK_EQUAL(imgsim_catalog_get_id_count(bed.catalog), PICTURES);
    for (int i = 0; i < 3; i++)
        imgsim_extractor_free(extractors[i]);
    bed_close(&bed);
}

/* ---- two at once ---- */

struct second {
    const struct bed *bed;
    imgsim_status status;
    char text[256];
};

static int32_t scan_as_well(const imgsim_progress *progress, void *user_data)
{
    struct second *second = user_data;
    const char *paths[1] = {second->bed->photos};
    imgsim_catalog *catalog;

    (void)progress;
    if (second->status != IMGSIM_OK)
        return 0;
    CHECK_OK(imgsim_catalog_open(second->bed->catalog_path, NULL, &catalog));
    second->status = imgsim_scan(catalog, paths, 1, NULL, NULL);
    snprintf(second->text, sizeof(second->text), "%s", imgsim_last_error());
    imgsim_catalog_free(catalog);
    return 0;
}

static void a_second_scan_is_told_who_is_at_work(void)
{
    struct second second = {0};
    char process[32];
    struct bed bed;

    bed_open(&bed);
    write_pictures(&bed);
    second.bed = &bed;
    bed.options.progress = scan_as_well;
    bed.options.user_data = &second;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, PICTURES);
    CHECK_EQUAL(second.status, IMGSIM_ERROR_BUSY);
    snprintf(process, sizeof(process), "%ld", (long)getpid());
    CHECK(strstr(second.text, process) != NULL);
    bed_close(&bed);
}

/* ---- killed ---- */

/* What the program does when it is started with a catalog and a folder: one scan. */
static int scan_once(const char *catalog_path, const char *folder)
{
    imgsim_scan_options options;
    imgsim_catalog *catalog;

    CHECK_OK(imgsim_scan_options_init(&options, sizeof(options)));
    options.threads = 2;
    options.transaction_size = 5;
    CHECK_OK(imgsim_catalog_open(catalog_path, NULL, &catalog));
    CHECK_OK(imgsim_scan(catalog, &folder, 1, &options, NULL));
    imgsim_catalog_free(catalog);
    return 0;
}

/* Start a scan in a process of its own and kill it; it may have come to its end. True if it has not. */
static int kill_one_scan(const struct bed *bed, useconds_t after)
{
    pid_t child = fork();
    int status;

    CHECK(child >= 0);
    if (child == 0) {
        execl("/proc/self/exe", "test_scan_stop", bed->catalog_path, bed->photos, (char *)NULL);
        _exit(127);
    }
    usleep(after);
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void check_problem(const char *problem, void *user_data)
{
    (void)user_data;
    fprintf(stderr, "%s\n", problem);
}

static void killed_scans_come_to_the_same_in_the_end(void)
{
    struct ims_rng rng;
    struct bed bed;
    char *expected, *text;
    int killed = 0;

    bed_open(&bed);
    write_pictures(&bed);
    bed.options.transaction_size = 5;
    expected = expected_text(&bed);
    ims_rng_init(&rng, 42);
    for (int round = 0; round < 4; round++) {
        start_anew(&bed);
        for (int i = 0; i < 5; i++) {
            killed += kill_one_scan(&bed, (useconds_t)ims_rng_below(&rng, 120000));
            CHECK_OK(imgsim_catalog_refresh(bed.catalog));
            CHECK_OK(imgsim_catalog_verify(bed.catalog, check_problem, NULL));
        }
        bed_scan(&bed);
        CHECK_OK(imgsim_catalog_verify(bed.catalog, check_problem, NULL));
        text = describe(&bed);
        CHECK_TEXT(text, expected);
        free(text);
    }
    printf("%d of 20 scans were killed before their end\n", killed);
    free(expected);
    bed_close(&bed);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return scan_once(argv[1], argv[2]);
    the_same_folder_gives_the_same_ids_on_any_number_of_threads();
    a_stopped_scan_keeps_what_is_done_and_goes_on();
    a_second_scan_is_told_who_is_at_work();
    killed_scans_come_to_the_same_in_the_end();
    return 0;
}
