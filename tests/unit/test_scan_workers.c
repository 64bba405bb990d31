/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding in workers: results are the same as without, and whatever a decoder does costs the file it was working on. */
#include "scan_bed.h"

#include "scan/scan.h"

#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define VERSION " (imgsim " IMGSIM_VERSION ")"

static void open_bed(struct bed *bed)
{
    bed_open(bed);
    bed->options.isolation = IMGSIM_ISOLATION_WORKERS;
}

/* Wait for the processes that a scan left to us (the test adopts orphans): there must be none that goes on. */
static void check_nothing_is_left(void)
{
    for (int i = 0; i < 200; i++) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);

        if (pid < 0 && errno == ECHILD)
            return;
        if (pid == 0)
            usleep(10000);
    }
    fprintf(stderr, "a process was left behind\n");
    exit(1);
}

/* A healthy picture with an order to the murderous decoder. */
static void write_murder(const struct bed *bed, const char *name, const char *order, uint64_t seed)
{
    imgsim_image *image = bed_picture(seed, 64, 48);
    size_t pixels = (size_t)64 * 48 * 3;
    uint8_t *data = ims_alloc(pixels + 128);
    int header;

    CHECK(data != NULL);
    header = snprintf((char *)data, 128, "P6\n#MURDER %s\n64 48\n255\n", order);
    memcpy(data + header, image->pixels, pixels);
    bed_write(bed, name, data, pixels + (size_t)header);
    ims_free(data);
    imgsim_image_free(image);
}

static void write_pictures(const struct bed *bed, int count)
{
    static const char *const formats[] = {"png", "jpeg", "pnm", "webp", "jpeg"};
    char name[32];

    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "p%03d", i);
        bed_image(bed, name, (uint64_t)i, formats[i % 5]);
    }
}

static long read_all(const struct bed *bed, const char *name, uint8_t **out_data)
{
    char path[900];
    FILE *file;
    long size;

    snprintf(path, sizeof(path), "%s/features/%s", bed->catalog_path, name);
    CHECK((file = fopen(path, "rb")) != NULL);
    CHECK(fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) > 0);
    rewind(file);
    CHECK((*out_data = ims_alloc((size_t)size)) != NULL);
    CHECK(fread(*out_data, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    return size;
}

/* Every file of features of `a` is in `b`, byte by byte. */
static void check_same_features(const struct bed *a, const struct bed *b)
{
    char folder[900];
    struct dirent *entry;
    DIR *listing;
    int count = 0;

    snprintf(folder, sizeof(folder), "%s/features", a->catalog_path);
    CHECK((listing = opendir(folder)) != NULL);
    while ((entry = readdir(listing)) != NULL) {
        uint8_t *data[2];
        long size;

        if (entry->d_name[0] == '.')
            continue;
        size = read_all(a, entry->d_name, &data[0]);
        CHECK_EQUAL(read_all(b, entry->d_name, &data[1]), size);
        CHECK(memcmp(data[0], data[1], (size_t)size) == 0);
        ims_free(data[0]);
        ims_free(data[1]);
        count++;
    }
    closedir(listing);
    CHECK(count >= 3);
}

/* Files, states and rows of both catalogs are the same. */
static void check_same(const struct bed *a, const struct bed *b, int count)
{
    char name[32];

    for (int i = 0; i < count; i++) {
        uint32_t colors[2][4096];
        uint8_t hashes[2][8];
        struct bed_file first, second;

        snprintf(name, sizeof(name), "p%03d", i);
        first = bed_get(a, name);
        second = bed_get(b, name);
        CHECK_EQUAL(first.state, IMGSIM_FILE_OK);
        CHECK_EQUAL(second.state, IMGSIM_FILE_OK);
        CHECK_EQUAL(second.id, first.id);
        CHECK_EQUAL(second.width, first.width);
        CHECK_EQUAL(second.height, first.height);
        CHECK_TEXT(second.format, first.format);
        CHECK_TEXT(second.hash, first.hash);
        bed_row(a, "color", first.id, colors[0], sizeof(colors[0]));
        bed_row(b, "color", second.id, colors[1], sizeof(colors[1]));
        CHECK(memcmp(colors[0], colors[1], sizeof(colors[0])) == 0);
        bed_row(a, "hash", first.id, hashes[0], sizeof(hashes[0]));
        bed_row(b, "hash", second.id, hashes[1], sizeof(hashes[1]));
        CHECK(memcmp(hashes[0], hashes[1], sizeof(hashes[0])) == 0);
    }
}

static void workers_give_the_same_as_no_workers(void)
{
    static const uint32_t threads[] = {1, 3};
    struct bed here, there;

    for (int i = 0; i < 2; i++) {
        bed_open(&here);
        open_bed(&there);
        here.options.threads = there.options.threads = threads[i];
        write_pictures(&here, 90);
        write_pictures(&there, 90);
        bed_write(&here, "text", "no picture", 10);
        bed_write(&there, "text", "no picture", 10);
        bed_write(&here, "cut", "\x89PNG\r\n\x1a\n cut here", 17);
        bed_write(&there, "cut", "\x89PNG\r\n\x1a\n cut here", 17);
        bed_scan(&here);
        bed_scan(&there);
        CHECK_EQUAL(there.report.added, 90);
        CHECK_EQUAL(there.report.failed, 1);
        CHECK_EQUAL(there.report.skipped, 1);
        check_same(&here, &there, 90);
        check_same_features(&here, &there);
        bed_check_state(&there, "cut", IMGSIM_FILE_FAILED, bed_get(&here, "cut").reason);
        bed_close(&here);
        bed_close(&there);
        check_nothing_is_left();
    }
}

/* ---- murders ---- */

static const struct murder {
    const char *name;
    const char *order;
    int32_t state;
    const char *reason;
    int plain_only; /* sanitizers do otherwise */
} murders[] = {
    {"m-segfault", "segfault", IMGSIM_FILE_CRASHED, "SIGSEGV while decoding" VERSION, 0},
    {"m-segfault-later", "segfault 1", IMGSIM_FILE_CRASHED, "SIGSEGV in extractor hash" VERSION, 0},
    {"m-abort", "abort", IMGSIM_FILE_CRASHED, "SIGABRT while decoding" VERSION, 0},
    {"m-exit-0", "exit 0", IMGSIM_FILE_CRASHED, "exit 0 while decoding" VERSION, 0},
    {"m-exit-3", "exit 3", IMGSIM_FILE_CRASHED, "exit 3 while decoding" VERSION, 0},
    {"m-exit-97", "exit 97", IMGSIM_FILE_CRASHED, "exit 97 while decoding" VERSION, 0},
    {"m-loop", "loop", IMGSIM_FILE_TIMEOUT, "200 ms while decoding", 0},
    {"m-loop-later", "loop 0", IMGSIM_FILE_TIMEOUT, "200 ms in extractor color", 0},
    {"m-sleep", "sleep", IMGSIM_FILE_TIMEOUT, "stuck for 800 ms while decoding", 0},
    {"m-memory", "memory", IMGSIM_FILE_FAILED, "too large for memory (limit 64 MB)", 1},
    {"m-stack", "stack", IMGSIM_FILE_CRASHED, "SIGSEGV (stack overflow) while decoding" VERSION, 1},
    {"m-socket", "socket", IMGSIM_FILE_CRASHED, NULL, 1},
};

#define MURDERS (sizeof(murders) / sizeof(murders[0]))

static void every_murder_costs_one_file(void)
{
    struct bed here, there;
    uint64_t written = 0, counts[IMGSIM_FILE_STATE_COUNT];

    bed_open(&here);
    open_bed(&there);
    write_pictures(&here, 60);
    write_pictures(&there, 60);
    for (size_t i = 0; i < MURDERS; i++) {
        if (SANITIZED && murders[i].plain_only)
            continue;
        write_murder(&there, murders[i].name, murders[i].order, i);
        written++;
    }
    there.options.file_timeout_ms = 200;
    there.options.worker_memory = UINT64_C(1) << 26;
    bed_scan(&here);
    bed_scan(&there);
    CHECK_EQUAL(there.report.added, 60);
    CHECK_EQUAL(there.report.failed, written);
    CHECK_EQUAL(there.report.timed_out, 3);
    CHECK_EQUAL(there.report.crashed, written - 3 - !SANITIZED);
    check_same(&here, &there, 60);
    for (size_t i = 0; i < MURDERS; i++) {
        const struct murder *murder = &murders[i];

        if (SANITIZED && murder->plain_only)
            continue;
        if (strncmp(murder->order, "loop", 4) == 0 &&
            strncmp(bed_get(&there, murder->name).reason, "stuck", 5) == 0)
            continue; /* a busy machine gave it less than a quarter of its time */
        if (murder->reason != NULL)
            bed_check_state(&there, murder->name, murder->state, murder->reason);
        else
            CHECK(strstr(bed_get(&there, murder->name).reason, "SIGSYS (system call ") != NULL);
    }
    bed_count(&there, counts);
    CHECK_EQUAL(counts[IMGSIM_FILE_CRASHED], there.report.crashed);
    CHECK_EQUAL(counts[IMGSIM_FILE_TIMEOUT], 3);
    CHECK_OK(imgsim_catalog_verify(there.catalog, NULL, NULL));
    check_nothing_is_left();

    /* Known: not tried again, unless asked for or under wider limits. */
    bed_scan(&there);
    CHECK_EQUAL(there.report.unchanged, 60 + written);
    there.options.file_timeout_ms = 400;
    bed_scan(&there);
    CHECK_EQUAL(there.report.timed_out, 3);
    CHECK_EQUAL(there.report.failed, 3);
    CHECK(strstr(bed_get(&there, "m-sleep").reason, "stuck for 1600 ms") != NULL);
    if (!SANITIZED) {
        there.options.worker_memory = UINT64_C(1) << 27;
        bed_scan(&there);
        CHECK_EQUAL(there.report.failed, 1);
        bed_check_state(
            &there, "m-memory", IMGSIM_FILE_FAILED, "too large for memory (limit 128 MB)");
    }
    /* Nor without workers, where they would end us: here the very same files are healthy. */
    there.options.isolation = IMGSIM_ISOLATION_NONE;
    bed_scan(&there);
    CHECK_EQUAL(there.report.failed, 0);
    CHECK_EQUAL(there.report.refreshed + there.report.added, SANITIZED ? 0 : 1);
    there.options.recheck = 1;
    bed_scan(&there);
    CHECK_EQUAL(there.report.failed, 0);
    CHECK_EQUAL(imgsim_catalog_get_image_count(there.catalog), 60 + written);
    bed_close(&here);
    bed_close(&there);
    check_nothing_is_left();
}

/* A crash every few files, in the middle of batches. */
static void many_crashes_leave_all_others_right(void)
{
    struct bed here, there;
    char name[32];

    bed_open(&here);
    open_bed(&there);
    write_pictures(&here, 100);
    write_pictures(&there, 100);
    for (int i = 0; i < 100; i += 3) {
        snprintf(name, sizeof(name), "p%03dm", i);
        write_murder(&there, name, i % 2 == 0 ? "segfault" : "exit 1", (uint64_t)i);
    }
    bed_scan(&here);
    bed_scan(&there);
    CHECK_EQUAL(there.report.added, 100);
    CHECK_EQUAL(there.report.crashed, 34);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "p%03d", i);
        CHECK_EQUAL(bed_get(&there, name).state, IMGSIM_FILE_OK);
    }
    bed_close(&here);
    bed_close(&there);
    check_nothing_is_left();
}

/* ---- stopping ---- */

struct stopper {
    double begun;
    double asked;
};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int32_t stop_soon(const imgsim_progress *progress, void *user_data)
{
    struct stopper *stopper = user_data;

    if (strcmp(progress->phase, "scan") != 0)
        return 0;
    if (stopper->begun == 0)
        stopper->begun = now();
    if (now() - stopper->begun < 0.5)
        return 0;
    stopper->asked = now();
    return 1;
}

static void a_busy_worker_does_not_hold_up_stopping(void)
{
    struct stopper stopper = {0};
    double took;
    struct bed bed;

    open_bed(&bed);
    write_murder(&bed, "endless-1", "loop", 1);
    write_murder(&bed, "endless-2", "sleep", 2);
    bed.options.progress = stop_soon;
    bed.options.user_data = &stopper;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_CANCELLED, "");
    took = now() - stopper.asked;
    printf("stopped after %.0f ms\n", took * 1000);
    CHECK(took < 5.0); /* of 30 s; the machine may be busy */
    CHECK_EQUAL(bed.report.failed, 0);
    bed_close(&bed);
    check_nothing_is_left();
}

/* ---- somebody else ends workers ---- */

/* Our children, by /proc; the number of them. */
static int find_children(pid_t *children, int most)
{
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;

    CHECK(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        char path[300];
        FILE *file;
        int pid;

        snprintf(path, sizeof(path), "/proc/self/task/%s/children", entry->d_name);
        if (entry->d_name[0] == '.' || (file = fopen(path, "r")) == NULL)
            continue;
        while (count < most && fscanf(file, "%d", &pid) == 1)
            children[count++] = pid;
        fclose(file);
    }
    closedir(folder);
    return count;
}

struct killer {
    int ticks; /* 50 ms at least */
    int kills;
    int most_files; /* open in a worker */
};

static int count_files(pid_t pid)
{
    char path[64], name[32] = "";
    struct dirent *entry;
    int count = 0;
    DIR *folder;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    if ((file = fopen(path, "r")) == NULL)
        return 0;
    (void)!fgets(name, sizeof(name), file);
    fclose(file);
    if (strcmp(name, "imgsim-keeper\n") != 0)
        return 0; /* still on its way */
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    if ((folder = opendir(path)) == NULL)
        return 0;
    while ((entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static int32_t kill_workers(const imgsim_progress *progress, void *user_data)
{
    struct killer *killer = user_data;
    pid_t children[8];
    int count = find_children(children, 8);

    (void)progress;
    for (int i = 0; i < count; i++) {
        int files = count_files(children[i]);

        if (killer->most_files < files)
            killer->most_files = files;
    }
    /* One at a time, and not twice in a row: what kills two workers on a file is taken for the file's fault. */
    if (count > 0 && ++killer->ticks % 5 == 2) {
        killer->kills++;
        kill(children[killer->kills % count], SIGKILL);
    }
    return 0;
}

static int32_t
slow_extract(const imgsim_image *const *images, size_t image_count, void *out_rows, void *user_data)
{
    atomic_int *calls = user_data;

    for (size_t i = 0; i < image_count; i++) {
        ((float *)out_rows)[2 * i] = (float)imgsim_image_get_width(images[i]);
        ((float *)out_rows)[2 * i + 1] = imgsim_image_get_pixels(images[i])[100];
    }
    atomic_fetch_add(calls, 1);
    usleep(20000);
    return 0;
}

/* With an extractor of the host's, which gets the pixels from the worker. */
static void workers_that_are_killed_are_replaced(void)
{
    atomic_int calls = 0;
    imgsim_host_extractor table = {
        .struct_size = sizeof(table),
        .name = "slow",
        .version = "1",
        .dimension = 2,
        .row_type = IMGSIM_ROW_FLOAT32,
        .default_metric = IMGSIM_METRIC_L2,
        .extract = slow_extract};
    imgsim_extractor *extractors[3];
    struct killer killer = {0};
    int open_fds[20]; /* not closed by exec */
    struct bed here, there;

    for (int i = 0; i < 20; i++)
        CHECK((open_fds[i] = open("/dev/null", O_RDONLY)) >= 0);
    CHECK_OK(imgsim_extractor_new_color(NULL, &extractors[0]));
    CHECK_OK(imgsim_extractor_new_hash(NULL, &extractors[1]));
    CHECK_OK(imgsim_extractor_new_host(&table, &calls, &extractors[2]));
    bed_open(&here);
    open_bed(&there);
    write_pictures(&here, 40);
    write_pictures(&there, 40);
    here.options.extractors = there.options.extractors =
        (const imgsim_extractor *const *)extractors;
    here.options.extractor_count = there.options.extractor_count = 3;
    there.options.progress = kill_workers;
    there.options.user_data = &killer;
    bed_scan(&here);
    bed_scan(&there);
    CHECK(killer.kills >= 2 && atomic_load(&calls) >= 80);
    /* Standard ones, socket, control, contents, pixels, and some that libvips reads when it starts; none of ours. */
    CHECK(killer.most_files >= 7 && killer.most_files < 20);
    CHECK_EQUAL(there.report.added, 40);
    check_same(&here, &there, 40);
    for (int64_t id = 0; id < 40; id++) {
        float a[2], b[2];

        bed_row(&here, "slow", id, a, sizeof(a));
        bed_row(&there, "slow", id, b, sizeof(b));
        CHECK(memcmp(a, b, sizeof(a)) == 0);
    }
    for (int i = 0; i < 3; i++)
        imgsim_extractor_free(extractors[i]);
    for (int i = 0; i < 20; i++)
        close(open_fds[i]);
    bed_close(&here);
    bed_close(&there);
    check_nothing_is_left();
}

/* A host that does not want to hear of its children. */
static void a_host_may_ignore_its_children(void)
{
    struct bed bed;

    signal(SIGCHLD, SIG_IGN);
    open_bed(&bed);
    write_pictures(&bed, 20);
    write_murder(&bed, "m", "abort", 1);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 20);
    bed_check_state(&bed, "m", IMGSIM_FILE_CRASHED, "SIGABRT while decoding" VERSION);
    bed_close(&bed);
    signal(SIGCHLD, SIG_DFL);
    check_nothing_is_left();
}

/* ---- no worker ---- */

static char last_line[1024];

static void keep_line(int32_t level, const char *text, void *user_data)
{
    (void)user_data;
    if (level <= IMGSIM_LOG_WARNING)
        snprintf(last_line, sizeof(last_line), "%s", text);
}

static void check_no_worker(const char *program, const char *word)
{
    struct bed bed;
    char *before = strdup(getenv("IMGSIM_WORKER"));

    setenv("IMGSIM_WORKER", program, 1);
    open_bed(&bed);
    write_pictures(&bed, 5);
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_UNSUPPORTED, word);
    CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), 0);
    last_line[0] = '\0';
    bed.options.isolation = IMGSIM_ISOLATION_AUTO;
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 5);
    CHECK(strstr(last_line, "decoded in this process") != NULL);
    bed_close(&bed);
    setenv("IMGSIM_WORKER", before, 1);
    free(before);
    check_nothing_is_left();
}

static void without_workers_there_is_a_message_or_another_way(void)
{
    imgsim_set_log_callback(keep_line, NULL);
    check_no_worker("/nowhere/imgsim-worker", "/nowhere/imgsim-worker");
    check_no_worker("/bin/true", "ended before it was ready");
    imgsim_set_log_callback(NULL, NULL);
}

static void wrong_options_are_refused(void)
{
    struct bed bed;

    open_bed(&bed);
    bed.options.isolation = 3;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_UNSUPPORTED, "isolation 3");
    bed.options.isolation = IMGSIM_ISOLATION_WORKERS;
    bed.options.file_timeout_ms = 99;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_INVALID_ARGUMENT, "file_timeout_ms");
    bed.options.file_timeout_ms = 0;
    bed.options.worker_memory = 1000;
    CHECK_FAILS(bed_try_scan(&bed), IMGSIM_ERROR_INVALID_ARGUMENT, "worker_memory");
    bed.options.worker_memory = 0;
    write_pictures(&bed, 3);
    bed_scan(&bed);
    CHECK_EQUAL(bed.report.added, 3);
    bed_close(&bed);
}

/* ---- memory of the host's process ---- */

/* Fail one allocation after the other: the scan ends with that, or without loss, and leaves no process. */
static void want_of_memory_ends_the_scan(void)
{
    imgsim_status status = IMGSIM_ERROR_OUT_OF_MEMORY;
    int failures = 0;

    for (uint64_t n = 1; status != IMGSIM_OK; n += 1 + n / 16) {
        struct bed bed;

        open_bed(&bed);
        write_pictures(&bed, 8);
        ims_memory_fail_at(n);
        status = bed_try_scan(&bed);
        if (status == IMGSIM_OK && ims_memory_count() >= n)
            status =
                IMGSIM_ERROR_OUT_OF_MEMORY; /* one that can be done without; there are others */
        ims_memory_fail_at(0);
        CHECK(status == IMGSIM_OK || status == IMGSIM_ERROR_OUT_OF_MEMORY);
        failures += status != IMGSIM_OK;
        bed_scan(&bed);
        CHECK_EQUAL(imgsim_catalog_get_image_count(bed.catalog), 8);
        CHECK_EQUAL(bed.report.failed, 0);
        bed_close(&bed);
    }
    CHECK(failures > 20);
    check_nothing_is_left();
}

/* ---- reasons ---- */

static void check_outgrown(int32_t state, const char *reason, int expected)
{
    struct ims_isolation isolation = {
        .mode = IMGSIM_ISOLATION_WORKERS, .timeout_ms = 30000, .memory = UINT64_C(1) << 31};

    CHECK_EQUAL(ims_reason_outgrown(state, reason, &isolation), expected);
    if (state == IMGSIM_FILE_FAILED)
        return;
    isolation.mode = IMGSIM_ISOLATION_NONE;
    CHECK(!ims_reason_outgrown(state, reason, &isolation));
}

static void reasons_tell_whether_another_try_is_worth_it(void)
{
    check_outgrown(IMGSIM_FILE_CRASHED, "SIGSEGV while decoding" VERSION, 0);
    check_outgrown(IMGSIM_FILE_CRASHED, "SIGSEGV while decoding (imgsim 0.0.9)", 1);
    check_outgrown(IMGSIM_FILE_CRASHED, "", 1);
    check_outgrown(IMGSIM_FILE_TIMEOUT, "30 s while decoding", 0);
    check_outgrown(IMGSIM_FILE_TIMEOUT, "29999 ms in extractor color", 1);
    check_outgrown(IMGSIM_FILE_TIMEOUT, "31 s while decoding", 0);
    check_outgrown(IMGSIM_FILE_TIMEOUT, "stuck for 120 s while decoding", 0);
    check_outgrown(IMGSIM_FILE_TIMEOUT, "stuck for 800 ms while decoding", 1);
    check_outgrown(IMGSIM_FILE_FAILED, "too large for memory (limit 2048 MB)", 0);
    check_outgrown(IMGSIM_FILE_FAILED, "too large for memory (limit 2047 MB)", 1);
    check_outgrown(IMGSIM_FILE_FAILED, "too large for memory", 0);
    check_outgrown(IMGSIM_FILE_FAILED, "damaged", 0);
    check_outgrown(IMGSIM_FILE_OK, "", 0);
}

int main(void)
{
    setenv("IMGSIM_WORKER", MURDEROUS_WORKER, 0);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    workers_give_the_same_as_no_workers();
    every_murder_costs_one_file();
    many_crashes_leave_all_others_right();
    a_busy_worker_does_not_hold_up_stopping();
    workers_that_are_killed_are_replaced();
    a_host_may_ignore_its_children();
    without_workers_there_is_a_message_or_another_way();
    wrong_options_are_refused();
    reasons_tell_whether_another_try_is_worth_it();
    want_of_memory_ends_the_scan();
    printf("ok\n");
    return 0;
}
